package pg_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
)

// The servers of tests do not sync: the store says so, and which settings it is.
func TestServerThatDoesNotSync(t *testing.T) {
	s := open(t, pgtest.New(t))
	fsync, err := pg.Setting(t.Context(), s, "fsync")
	if err != nil {
		t.Fatal(err)
	}
	err = s.CheckDurable(t.Context())
	if fsync == "on" {
		t.Skipf("DATABASE_URL names a server that syncs: %v", err)
	}
	if !errors.Is(err, pg.ErrUnsafe) || !strings.Contains(err.Error(), "fsync = off") || !strings.Contains(err.Error(), "full_page_writes = off") || !strings.Contains(err.Error(), "postgresql.conf") {
		t.Errorf("%v", err)
	}
	if strings.Contains(err.Error(), "synchronous_commit") {
		t.Errorf("synchronous_commit is on: %v", err)
	}
}

// A durable server is taken, and what a connection asks for wins over the defaults of the server, the database and the role, and over
// what the URL says.
func TestSynchronousCommitWhateverTheDefault(t *testing.T) {
	server := pgtest.Durable(t)
	ctx := t.Context()
	url := server.URL("scrim")
	conn := connect(t, url)
	for _, sql := range []string{
		`ALTER SYSTEM SET synchronous_commit = off`, `SELECT pg_reload_conf()`,
		`ALTER DATABASE scrim SET synchronous_commit = off`, `ALTER ROLE CURRENT_USER SET synchronous_commit = off`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range []string{url, url + "&synchronous_commit=off", url + "&options=-c%20synchronous_commit%3Doff"} {
		s := open(t, u)
		if err := s.CheckDurable(ctx); err != nil {
			t.Errorf("%s: %v", u, err)
		}
		if got, err := pg.Setting(ctx, s, "synchronous_commit"); err != nil || got != "on" {
			t.Errorf("%s: synchronous_commit = %s, %v", u, got, err)
		}
	}
	var plain string
	if err := connect(t, url).QueryRow(ctx, `SHOW synchronous_commit`).Scan(&plain); err != nil || plain != "off" {
		t.Errorf("the defaults did not take: %s, %v", plain, err) // or the test shows nothing
	}
}
