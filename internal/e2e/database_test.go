package e2e

import (
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// psql finds the program that the private cluster was made with.
func psql(t *testing.T) string {
	t.Helper()
	if p, err := exec.LookPath("psql"); err == nil {
		return p
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/psql")
	if err != nil || len(found) == 0 {
		t.Skip("psql is not installed, and the database can't be shut without it")
	}
	return found[len(found)-1]
}

// One member's database refuses everybody for some seconds. The member stands still, the
// others go on, and it catches up by itself; nothing it accepted is lost.
func TestDatabaseAway(t *testing.T) {
	n := start(t, nil)
	program := psql(t)
	member := n.Nodes[1]
	own, err := member.Config.PostgresURL()
	n.must(err)
	u, err := url.Parse(own)
	n.must(err)
	database := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	admin := func(sql string) {
		t.Helper()
		if out, err := exec.Command(program, u.String(), "-qAtc", sql).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for i := range 8 {
		n.sendTo(i%4, n.seal(payload(100)))
	}
	admin("ALTER DATABASE " + database + " ALLOW_CONNECTIONS false")
	admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + database + "'")
	for until := time.Now().Add(3 * time.Second); time.Now().Before(until); {
		n.sendTo(0, n.seal(payload(100)))
		time.Sleep(50 * time.Millisecond)
	}
	if ready, err := member.Client.Ready(n.ctx); err != nil || ready.Ready {
		t.Errorf("it says that it is ready: %+v, %v", ready, err)
	}
	if _, err := n.wallet.SubmitTo(n.ctx, 1, n.seal(payload(100)).sealed); err == nil {
		t.Error("it gives a receipt that it cannot keep")
	}
	n.sent = n.sent[:len(n.sent)-1]
	admin("ALTER DATABASE " + database + " ALLOW_CONNECTIONS true")
	n.must(member.WaitReady(n.ctx))
	for i := range 8 {
		n.sendTo(i%4, n.seal(payload(100)))
	}
	n.allOpened()
	n.sameBatches()
	n.audited(1)
	if !member.Running() {
		t.Error("it ended")
	}
}
