package pg_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
	"github.com/scrimlabs/scrim/migrations"
)

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func schemaVersion(t testing.TB, c *pgx.Conn) (version, rows int) {
	t.Helper()
	if err := c.QueryRow(t.Context(), `SELECT max(version), count(*) FROM schema_version`).Scan(&version, &rows); err != nil {
		t.Fatal(err)
	}
	return version, rows
}

// Six starters at once find an empty database: all of them end up with the schema, and
// each migration ran once.
func TestOpenAtOnce(t *testing.T) {
	files, err := migrations.FS.ReadDir(".")
	if err != nil || len(files) == 0 {
		t.Fatal("no migrations", err)
	}
	for range 3 {
		url := pgtest.Empty(t)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				<-start
				s, err := pg.Open(t.Context(), url)
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				if _, err := s.Chain(t.Context()); !errors.Is(err, pg.ErrEmpty) {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		if version, rows := schemaVersion(t, connect(t, url)); version != len(files) || rows != 1 {
			t.Errorf("schema version %d in %d rows, want %d in 1", version, rows, len(files))
		}
	}
}

// A starter that dies in the middle of the migrations leaves nothing half done.
func TestOpenCancelled(t *testing.T) {
	url := pgtest.Empty(t)
	cancelled := 0
	for delay := time.Duration(0); delay < 40*time.Millisecond; delay += 4 * time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), delay)
		if s, err := pg.Open(ctx, url); err != nil {
			cancelled++
		} else {
			s.Close()
		}
		cancel()
	}
	if cancelled == 0 {
		t.Error("nothing was cancelled; the test proves nothing")
	}
	open(t, url)
}

func TestOpenNewerSchema(t *testing.T) {
	url := pgtest.New(t)
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), `UPDATE schema_version SET version = version + 1`); err != nil {
		t.Fatal(err)
	}
	before, _ := schemaVersion(t, c)
	_, err := pg.Open(t.Context(), url)
	if !errors.Is(err, pg.ErrNewerSchema) {
		t.Fatal(err)
	}
	for _, part := range []string{fmt.Sprintf("version %d,", before), fmt.Sprintf("up to %d;", before-1), "run the newer program"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
	if after, _ := schemaVersion(t, c); after != before {
		t.Errorf("the schema version was changed from %d to %d", before, after)
	}
}

func TestOpenErrors(t *testing.T) {
	ctx := t.Context()
	url := pgtest.New(t)
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	admin := connect(t, url)
	role := "scrim_guest_" + cfg.Database[len(cfg.Database)-6:]
	for _, sql := range []string{`CREATE ROLE "` + role + `" LOGIN PASSWORD 'hush-hush'`} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { admin.Exec(context.Background(), `DROP ROLE "`+role+`"`) })
	as := func(user, password, host string, port any, db string) string {
		return fmt.Sprintf("host='%s' port=%v user='%s' password='%s' dbname='%s' sslmode=disable", host, port, user, password, db)
	}
	closed := closedPort(t)
	at := func(port string) string { return "postgres://u:hush-hush@127.0.0.1:" + port + "/db?sslmode=disable" }

	for _, test := range []struct{ name, url, want string }{
		{"not a URL", "postgres://u:hush-hush@host:notaport/db", "cannot be parsed"},
		{"refused", "postgres://u:hush-hush@127.0.0.1:" + closed + "/db", "no server listens there; start Postgres"},
		{"wrong password", at(refusing(t, "28P01")), "refuses the role or its password"},
		{"starting up", at(refusing(t, "57P03")), "starting or stopping; try again"},
		{"no socket", "postgres:///db?user=u&password=hush-hush&host=/nonexistent", "no server listens there; start Postgres"},
		{"no database", as(cfg.User, cfg.Password, cfg.Host, cfg.Port, "nothing_here"), "create it with createdb nothing_here"},
		{"not the owner", as(role, "hush-hush", cfg.Host, cfg.Port, cfg.Database), "make it the owner"},
		{"no role", as("nobody_here", "hush-hush", cfg.Host, cfg.Port, cfg.Database), "refuses the role or its password"},
	} {
		s, err := pg.Open(ctx, test.url)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", test.name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("%s: the message shows the password: %v", test.name, err)
		}
	}
}

// refusing is the port of a server that answers every connection with an error.
func refusing(t *testing.T, code string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			server := pgproto3.NewBackend(conn, conn)
			if _, err := server.ReceiveStartupMessage(); err == nil {
				server.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: "refused"})
				_ = server.Flush() // the client's error shows whether it arrived
			}
			conn.Close()
		}
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// What was written to these tables stays, whoever asks.
func TestAppendOnly(t *testing.T) {
	s, url := newStore(t)
	ctx := t.Context()
	ch := &chain{t: t}
	b1 := ch.order(seal(t, 1, 2, "a", 100))
	commit(t, s, b1, ch.reveal(b1))
	receive(t, s, 1, plain(seal(t, 2, 1, "a", 100))...)
	if err := s.RecordShare(ctx, epoch, 1, b1.Batch.Batch.Root); err != nil {
		t.Fatal(err)
	}
	if err := s.AddEvidence(ctx, pg.Evidence{Kind: "bad share", Member: 2, Height: 1, Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	c := connect(t, url)
	if _, err := c.Exec(ctx, `INSERT INTO committees VALUES (1, 1, 'first', 1, 1, sha256('k'), sha256('t'), 0, 'certificate')`); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(ctx, `INSERT INTO ceremonies VALUES (sha256('t'), 1, 1, 1, 'active', 'first', NULL, 0, 1, 1, 1, 'state')`); err != nil {
		t.Fatal(err)
	}
	for table, column := range map[string]string{
		"ceremonies": "state", "committees": "certificate", "log_entries": "entry", "log_hashes": "hash", "share_guard": "root", "evidence": "body", "received": "head",
		"blocks": "app_hash", "ordered": "ciphertext", "openings": "plaintext",
	} {
		var rows int
		if err := c.QueryRow(ctx, `SELECT count(*) FROM `+table).Scan(&rows); err != nil || rows == 0 {
			t.Errorf("%s has no row to defend: %v", table, err)
		}
		for _, sql := range []string{
			`UPDATE ` + table + ` SET ` + column + ` = ` + column, `DELETE FROM ` + table, `TRUNCATE ` + table,
		} {
			_, err := c.Exec(ctx, sql)
			var refused *pgconn.PgError
			if !errors.As(err, &refused) || refused.Code != "23001" || !strings.Contains(refused.Message, table+" is append-only") {
				t.Errorf("%s: %v", sql, err)
			}
		}
	}
}

// What we answer as stored is on disk, whatever the server's default is.
func TestSynchronousCommit(t *testing.T) {
	url := pgtest.New(t)
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$`); err != nil {
		t.Fatal(err)
	}
	var setting string
	if err := connect(t, url).QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&setting); err != nil || setting != "off" {
		t.Fatalf("the database's default is %q, %v", setting, err)
	}
	s := open(t, url)
	if got, err := pg.Setting(t.Context(), s, "synchronous_commit"); err != nil || got != "on" {
		t.Errorf("synchronous_commit is %q, %v", got, err)
	}
}

func TestClaim(t *testing.T) {
	url := pgtest.New(t)
	first, second := open(t, url), open(t, url)
	if err := first.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := second.Claim(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second, with little patience: %v", err)
	}
	defer pg.SetClaimWait(200 * time.Millisecond)()
	if err := second.Claim(t.Context()); !errors.Is(err, pg.ErrClaimed) {
		t.Errorf("second: %v", err)
	}
	// Another database of the same server is another matter.
	if err := open(t, pgtest.New(t)).Claim(t.Context()); err != nil {
		t.Error(err)
	}
	pg.SetClaimWait(10 * time.Second)
	first.Close()
	if err := second.Claim(t.Context()); err != nil {
		t.Errorf("after the first is closed: %v", err)
	}
}
