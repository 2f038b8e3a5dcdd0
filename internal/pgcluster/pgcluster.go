// Package pgcluster provides a Postgres server to the demo, the devnet and the
// tests, without set-up: the one that DATABASE_URL names, or else the installed
// server programs run as a private cluster on a unix socket.
//
//	server, err := pgcluster.Provide(ctx, dir, log)
//	defer server.Stop()
//	err = server.CreateDatabase(ctx, "member_1")
//	url := server.URL("member_1")
//
// A private cluster keeps its data below dir and finds it again the next time.
// It listens on no network port; only its user (and root) can reach the socket.
// Started by root, it steps down to the user postgres, or nobody, because
// Postgres refuses to run as root. It runs in its own process group, so that
// Ctrl-C reaches the nodes first, and it does not outlive the process that
// started it, however that one ends.
//
// This is for one machine's demo, devnet and tests. A production member has its own
// Postgres and names it in its configuration.
package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
)

// EnvURL is the environment variable that names a server to use instead of a
// private cluster: a postgres:// URL or a libpq connection string of a role that
// may create databases.
const EnvURL = "DATABASE_URL"

var (
	// ErrNoPostgres: no server programs were found, and they could not be installed.
	ErrNoPostgres = errors.New("no PostgreSQL server found: set " + EnvURL +
		", or install it (Debian, Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17)")
	// ErrInUse: another process runs the cluster in this folder.
	ErrInUse = errors.New("another process runs the Postgres of this folder")
	// ErrVersion: the folder's cluster needs another version of the programs.
	ErrVersion = errors.New("the cluster was made by another major version of PostgreSQL")
)

// Server is a Postgres server to use. It is safe for concurrent use.
type Server struct {
	admin   string   // connection string of the database "postgres", or what DATABASE_URL says
	private *cluster // nil if DATABASE_URL names the server
}

// Option changes how a private cluster runs.
type Option func(*options)

type options struct {
	noSync      bool
	noNamespace bool
	private     bool
	path        string   // list of folders to search first, as in PATH
	globs       []string // further folders
}

// WithoutSync trades durability for speed: a crash of the machine may corrupt the
// cluster. For tests only.
func WithoutSync() Option { return func(o *options) { o.noSync = true } }

// Private starts a private cluster also if DATABASE_URL names a server: for tests that end it, or need it durable.
func Private() Option { return func(o *options) { o.private = true } }

// Provide gives the server that DATABASE_URL names, or starts a private cluster
// with its files below dir, which is created if needed. If root calls it and the
// user stepped down to cannot reach dir (it is below root's home, say), the server runs in a
// user namespace; where there are none, its data goes to a temporary folder that dir
// remembers and only [Server.Remove] deletes. The programs are installed with apt-get if
// they are missing, the process is root and apt-get exists.
//
// ctx bounds the start only; the server runs until [Server.Stop]. Errors are
// ErrNoPostgres, ErrInUse, ErrVersion, or what the server said.
func Provide(ctx context.Context, dir string, log *slog.Logger, opts ...Option) (*Server, error) {
	o := options{path: os.Getenv("PATH"), globs: usualFolders}
	for _, opt := range opts {
		opt(&o)
	}
	if u := os.Getenv(EnvURL); u != "" && !o.private {
		log.Info("using the Postgres named by the environment", "variable", EnvURL)
		return &Server{admin: u}, nil
	}
	c, err := startCluster(ctx, dir, o, log)
	if err != nil {
		return nil, fmt.Errorf("private Postgres: %w", err)
	}
	return &Server{admin: c.url("postgres"), private: c}, nil
}

// AdminURL connects to a database from which others can be created.
// It may hold a password: do not log it.
func (s *Server) AdminURL() string { return s.admin }

// URL connects to the database db of this server.
func (s *Server) URL(db string) string {
	if s.private != nil {
		return s.private.url(db)
	}
	u, err := url.Parse(s.admin)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return s.admin + " dbname=" + db // keyword=value: the last dbname counts
	}
	q := u.Query()
	q.Del("dbname")
	u.Path, u.RawQuery = "/"+db, encodeQuery(q)
	return u.String()
}

// encodeQuery writes a space as libpq reads it.
func encodeQuery(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }

// Done is closed when a private cluster's server has ended, whether asked to or
// not. For a server named by DATABASE_URL it never is.
func (s *Server) Done() <-chan struct{} {
	if s.private == nil {
		return nil
	}
	return s.private.done
}

// Stop ends a private cluster cleanly, disconnecting whoever is still there, and
// returns when it is gone. The data stays. Stopping twice, or a server that
// DATABASE_URL names, does nothing.
func (s *Server) Stop() error {
	if s.private == nil {
		return nil
	}
	return s.private.stop()
}

// Crash ends all processes of a private cluster at once, by SIGKILL, and gives its folder back: [Provide] starts it again,
// and it recovers from its log. For tests, on Linux; a server that DATABASE_URL names is left alone.
func (s *Server) Crash() error {
	if s.private == nil {
		return errors.New("the server is not ours to crash")
	}
	return s.private.crash()
}

// Remove stops a private cluster and deletes its data and what Provide put into
// its folder; ErrInUse if another process runs it by now. Removing twice does nothing.
func (s *Server) Remove() error {
	if s.private == nil {
		return nil
	}
	return s.private.remove()
}
