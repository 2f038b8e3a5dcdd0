package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/internal/pgcluster"
)

func TestCommand(t *testing.T) {
	signals := make(chan os.Signal, 1)
	for _, test := range []struct {
		name string
		args []string
		code int
		err  bool
	}{
		{"success", []string{"sh", "-c", `test "$DATABASE_URL" = some-url`}, 0, false},
		{"exit code", []string{"sh", "-c", `exit 3`}, 3, false},
		{"killed", []string{"sh", "-c", `kill -KILL $$`}, 1, false},
		{"a signal is passed on", []string{"sh", "-c", `trap 'kill $!; exit 7' TERM; sleep 20 & wait`}, 7, false},
		{"no such program", []string{"/no/such/program"}, 1, true},
	} {
		if test.code == 7 {
			time.AfterFunc(500*time.Millisecond, func() { signals <- syscall.SIGTERM })
		}
		code, err := command(test.args, "some-url", signals)
		if code != test.code || (err != nil) != test.err {
			t.Errorf("%s: exit code %d, want %d (%v)", test.name, code, test.code, err)
		}
	}
}

func TestRun(t *testing.T) {
	t.Setenv(pgcluster.EnvURL, "")
	seen := filepath.Join(t.TempDir(), "seen")
	code, err := run([]string{"sh", "-c", `psql -X -A -t -d "$DATABASE_URL" -c "SELECT 40 + 2" > "$1"; echo "$DATABASE_URL" >> "$1"; exit 5`, "sh", seen})
	if code != 5 || err != nil {
		t.Errorf("exit code %d, want 5 (%v)", code, err)
	}
	said, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	answer, admin, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
	if answer != "42" {
		t.Errorf("the command's query said %q", answer)
	}
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	dir := u.Query().Get("host")
	if dir == "" {
		t.Fatalf("no folder in %s", admin)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}
