// Package pgtest gives a test a Postgres database of its own.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		store, err := pg.Open(t.Context(), pgtest.New(t))
//
// The databases are copies of one that is migrated already: a few ten milliseconds
// each. They are on the server that DATABASE_URL names, which `make test` sets for all
// test processes (internal/pgcluster/withpg); without it, Main stops the private server that
// the first New starts for this process.
package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pgcluster"
	"github.com/scrimlabs/scrim/migrations"
)

const timeout = 2 * time.Minute

// state is this process's server; Main ends it.
var state struct {
	sync.Mutex
	hasMain bool
	server  *pgcluster.Server
	dir     string // of a private server
}

// Main runs a package's tests, removes a private server, and exits.
func Main(m *testing.M) {
	state.hasMain = true
	code := m.Run()
	if err := end(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	os.Exit(code) //nolint:forbidigo // it is the body of TestMain
}

func end() error {
	state.Lock()
	defer state.Unlock()
	if state.server == nil {
		return nil
	}
	return errors.Join(state.server.Remove(), os.RemoveAll(state.dir))
}

// New gives the URL of a fresh database with the current schema. It is dropped when the
// test ends.
func New(t testing.TB) string {
	t.Helper()
	return fromTemplate(t, migrated)
}

// Empty is New without a schema.
func Empty(t testing.TB) string {
	t.Helper()
	return fromTemplate(t, func(context.Context, *pgcluster.Server, *pgx.Conn) (string, error) { return "template1", nil })
}

// Copy gives the URL of a copy of a database that New or Empty gave, as it is now: a backup. Nobody may be connected to it.
func Copy(t testing.TB, url string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal("pgtest:", err)
	}
	return fromTemplate(t, func(context.Context, *pgcluster.Server, *pgx.Conn) (string, error) { return cfg.Database, nil })
}

type templateFunc func(context.Context, *pgcluster.Server, *pgx.Conn) (string, error)

func fromTemplate(t testing.TB, template templateFunc) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	server, err := provide(ctx)
	if err != nil {
		t.Fatal("pgtest:", err)
	}
	name := "scrim_test_" + rand.Text()
	if err := copyDatabase(ctx, server, name, template); err != nil {
		t.Fatal("pgtest:", err)
	}
	t.Cleanup(func() {
		if err := drop(server, name); err != nil {
			t.Error("pgtest:", err)
		}
	})
	return server.URL(name)
}

// Durable starts a server of the test's own that syncs what it stores, with an empty database "scrim". It can be crashed
// and started again with [Server.Restart], and goes when the test ends.
func Durable(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "scrim-durable-")
	if err != nil {
		t.Fatal("pgtest:", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { // for the user that the server runs as
		t.Fatal("pgtest:", err)
	}
	s := &Server{t: t, dir: dir}
	t.Cleanup(func() {
		if err := errors.Join(s.Remove(), os.RemoveAll(dir)); err != nil {
			t.Error("pgtest:", err)
		}
	})
	s.start()
	if err := s.CreateDatabase(context.Background(), "scrim"); err != nil {
		t.Fatal("pgtest:", err)
	}
	return s
}

// Server is a server of one test.
type Server struct {
	*pgcluster.Server
	t   testing.TB
	dir string
}

func (s *Server) start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	server, err := pgcluster.Provide(ctx, s.dir, slog.New(slog.DiscardHandler), pgcluster.Private())
	if err != nil {
		s.t.Fatal("pgtest:", err)
	}
	s.Server = server
}

// Restart starts the server after [pgcluster.Server.Crash]; it recovers from its log.
func (s *Server) Restart() {
	s.t.Helper()
	s.start()
}

// provide gives the process's server, starting it the first time.
func provide(ctx context.Context) (*pgcluster.Server, error) {
	state.Lock()
	defer state.Unlock()
	if state.server != nil {
		return state.server, nil
	}
	if !state.hasMain && os.Getenv(pgcluster.EnvURL) == "" {
		return nil, errors.New("without " + pgcluster.EnvURL + ", the package needs func TestMain(m *testing.M) { pgtest.Main(m) }")
	}
	dir, err := os.MkdirTemp("", "scrim-test-")
	if err != nil {
		return nil, err
	}
	// The server may run as another user, who must be able to pass through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := pgcluster.Provide(ctx, dir, log, pgcluster.WithoutSync())
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	state.server, state.dir = server, dir
	return server, nil
}

func copyDatabase(ctx context.Context, server *pgcluster.Server, name string, template templateFunc) error {
	admin, err := pgx.Connect(ctx, server.AdminURL())
	if err != nil {
		return err
	}
	defer admin.Close(ctx)
	from, err := template(ctx, server, admin)
	if err != nil {
		return fmt.Errorf("migrated template: %w", err)
	}
	_, err = admin.Exec(ctx, "CREATE DATABASE "+quote(name)+" TEMPLATE "+quote(from))
	return err
}

func drop(server *pgcluster.Server, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	admin, err := pgx.Connect(ctx, server.AdminURL())
	if err != nil {
		return err
	}
	defer admin.Close(ctx)
	_, err = admin.Exec(ctx, "DROP DATABASE IF EXISTS "+quote(name)+" WITH (FORCE)")
	return err
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// migrated gives the name of the migrated template, made by whoever comes first of
// all test processes. It is made under another name, so that it exists only complete.
func migrated(ctx context.Context, server *pgcluster.Server, admin *pgx.Conn) (string, error) {
	name, err := templateName()
	if err != nil {
		return "", err
	}
	lock := fnv.New64a()
	lock.Write([]byte(name))
	if _, err := admin.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(lock.Sum64())); err != nil {
		return "", err
	}
	defer admin.Exec(ctx, "SELECT pg_advisory_unlock($1)", int64(lock.Sum64())) //nolint:errcheck // the connection's end unlocks too
	var exists bool
	if err := admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil || exists {
		return name, err
	}
	return name, makeTemplate(ctx, server, admin, name)
}

func makeTemplate(ctx context.Context, server *pgcluster.Server, admin *pgx.Conn, name string) error {
	draft := name + "_draft"
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + quote(draft) + " WITH (FORCE)", "CREATE DATABASE " + quote(draft)} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			return err
		}
	}
	store, err := pg.Open(ctx, server.URL(draft))
	if err != nil {
		return err
	}
	store.Close()
	for _, sql := range []string{
		// Nobody connects to a template: a copy needs it to be alone.
		"ALTER DATABASE " + quote(draft) + " WITH ALLOW_CONNECTIONS false",
		"ALTER DATABASE " + quote(draft) + " RENAME TO " + quote(name),
	} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// templateName is bound to the migrations: a change of them makes another template.
func templateName() (string, error) {
	files, err := fs.Glob(migrations.FS, "*.sql") // sorted
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, f := range files {
		b, err := fs.ReadFile(migrations.FS, f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", f, len(b))
		h.Write(b)
	}
	return fmt.Sprintf("scrim_template_%x", h.Sum(nil)[:8]), nil
}
