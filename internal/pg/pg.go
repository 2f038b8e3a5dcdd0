// Package pg keeps a member's state in Postgres: one database for each member.
//
// A node calls [Open] and [Store.Claim], then [Store.InitChain] or [Store.Chain] at the start,
// [Store.Receive] for what comes in at its door, and [Store.CommitBlock] for
// every block. REST and export use the reads.
//
// What holds:
//
//   - A block is one transaction. It is there completely or not at all, and
//     offering it again is harmless.
//   - Heights, log indexes and receive-log positions have no gaps.
//   - Log entries, log hashes, ended ceremonies, the share guard, evidence and the receive log are
//     append-only; the database itself refuses anything else.
//   - There is no secret in the database, and no plaintext before the block that
//     reveals it.
//   - What is answered as stored is on disk.
//
// Nothing is retried here: after an error the call's effect is there completely
// or not at all, and the same call may be made again. Safe for concurrent use,
// but for Claim and Close.
//
// Tables and rules: docs/spec/postgres.md. Only this package and pgtest import pgx.
package pg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Connections of one store. Writes have their own, so that no crowd of readers can
// keep a block from being committed.
const (
	writeConns = 4
	readConns  = 12
)

const (
	// MaxPage is the most rows that a paged read gives; a limit of 0 means it.
	MaxPage = 1000
	// pageIDs bounds the ids in one page of batches, as pageBytes does bodies.
	pageIDs = 1 << 20
)

// pageBytes bounds the bodies in one page. A page always has at least one row, so a
// page that is shorter than its limit need not be the last. 200 of the largest
// ciphertexts fit.
var pageBytes = 32 << 20

// Store is one member's database.
type Store struct {
	write, read *pgxpool.Pool
	claim       *pgx.Conn // holds the lock of Claim
}

// Open connects to the database that url names (postgres:// or keyword=value) and
// brings its schema up to date. Several processes may do so at once. The role must
// own the database. Errors say what to do and never show the password;
// ErrNewerSchema if a newer version has been here.
func Open(ctx context.Context, url string) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The parser's own message can quote the URL, and with it the password.
		return nil, fmt.Errorf("%w: the database URL cannot be parsed; expected postgres://user@host:5432/database", ErrInvalid)
	}
	for name, value := range map[string]string{
		"application_name":                    "scrim",
		"search_path":                         "public",
		"synchronous_commit":                  "on", // what we answer as stored is on disk
		"idle_in_transaction_session_timeout": "60s",
		"plan_cache_mode":                     "force_custom_plan", // a plan for any page size is a bad plan for a small one
		"enable_seqscan":                      "off",               // what we look for has an index; a young table without statistics looks small to the planner
		"jit":                                 "off",
	} {
		cfg.ConnConfig.RuntimeParams[name] = value
	}
	s := &Store{}
	if s.write, err = newPool(ctx, cfg, writeConns); err != nil {
		return nil, err
	}
	if s.read, err = newPool(ctx, cfg, readConns); err != nil {
		s.write.Close()
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		s.Close()
		return nil, explainConnect(err, cfg.ConnConfig)
	}
	return s, nil
}

func newPool(ctx context.Context, cfg *pgxpool.Config, conns int32) (*pgxpool.Pool, error) {
	cfg = cfg.Copy()
	cfg.MaxConns = conns
	return pgxpool.NewWithConfig(ctx, cfg) // connects when it is first used
}

func (s *Store) prepare(ctx context.Context) error {
	conn, err := s.write.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return migrate(ctx, conn.Conn())
}

// Close closes all connections and waits for calls that are still running.
func (s *Store) Close() {
	if s.claim != nil {
		_ = s.claim.Close(context.Background()) // the lock goes with the connection, however that ends
	}
	s.write.Close()
	s.read.Close()
}

// Ping checks that the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.read.Ping(ctx); err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// explainConnect says what went wrong in words that help whoever wrote the
// configuration. Nothing in it comes from the password.
func explainConnect(err error, c *pgx.ConnConfig) error {
	at := fmt.Sprintf("database %q as %q at %s", c.Database, c.User, address(c))
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "28P01", "28000":
			return fmt.Errorf("pg: %s: the server refuses the role or its password: %w", at, err)
		case "3D000":
			return fmt.Errorf("pg: %s: there is no such database; create it with createdb %s: %w", at, c.Database, err)
		case "42501":
			return fmt.Errorf("pg: %s: the role may not create tables; make it the owner of the database: %w", at, err)
		case "57P03":
			return fmt.Errorf("pg: %s: the server is starting or stopping; try again: %w", at, err)
		}
	}
	var connect *pgconn.ConnectError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("pg: %s: no server listens there; start Postgres, or correct the URL: %w", at, err)
	case errors.As(err, &connect):
		return fmt.Errorf("pg: %s: cannot connect: %w", at, err)
	}
	return err
}

func address(c *pgx.ConnConfig) string {
	if strings.HasPrefix(c.Host, "/") {
		return c.Host
	}
	return net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
}

// inTx runs f in one read-committed transaction: what waits for a lock then sees
// what the lock's holder committed, which both the guarded height and the receive log need.
func (s *Store) inTx(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.write, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, f)
}

func pageLimit(limit int) int {
	if limit <= 0 || limit > MaxPage {
		return MaxPage
	}
	return limit
}
