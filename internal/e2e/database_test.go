package e2e

import (
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
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
	t.Run("lost altogether", func(t *testing.T) {
		databaseLost(t, n, 1, func() {
			admin("DROP DATABASE " + database + " WITH (FORCE)")
			admin("CREATE DATABASE " + database)
		})
	})
}

// databaseLost takes everything that a member has in Postgres, while the others go on. It reads the chain again from its own blocks, its
// receive log goes on after what the chain has of it, and all receipts, its own from before the loss too, are kept.
func databaseLost(t *testing.T, n *network, victim int, drop func()) {
	member, place := n.Nodes[victim], uint32(victim+1)
	old := n.sent[len(n.sent)-3] // sent to the victim
	if r := old.record.Receipts[0]; r.Member != place {
		t.Fatalf("the test is wrong: receipt of member %d", r.Member)
	}
	member.Kill()
	drop()
	for i := range 9 {
		n.sendTo([]int{0, 2, 3}[i%3], n.seal(payload(100)))
	}
	n.must(member.Start())
	n.must(member.WaitReady(n.ctx))
	fresh := len(n.sent)
	for range 6 {
		n.sendTo(victim, n.seal(payload(100)))
	}
	n.allOpened()
	n.sameBatches()
	for _, tx := range n.sent[fresh:] {
		r, id := tx.record.Receipts[0], tx.sealed.ID()
		if r.Member != place || r.Position <= old.record.Receipts[0].Position {
			t.Errorf("after the loss it gives position %d, before it gave %d", r.Position, old.record.Receipts[0].Position)
		}
		order, err := n.Nodes[0].Client.Order(n.ctx, v1.HexOf(id[:]), nil)
		n.must(err)
		if order.State != v1.OrderOrdered || len(order.Logs) != 4 {
			t.Fatalf("%+v", order)
		}
	}
	// What it announces since then is in blocks: its log holds what only it was sent, at the latest with the next ones.
	for said := false; !said; {
		n.must(n.ctx.Err())
		tx := n.seal(payload(100))
		n.sendTo(victim, tx)
		n.allOpened()
		id := tx.sealed.ID()
		order, err := n.Nodes[0].Client.Order(n.ctx, v1.HexOf(id[:]), nil)
		n.must(err)
		said = order.Logs[victim].Place != nil
	}
	for _, one := range n.Nodes {
		list, err := one.Client.EvidenceList(n.ctx, 0, 10)
		n.must(err)
		if len(list.Evidence) > 0 {
			t.Errorf("%s accuses somebody: %+v", one.Name, list.Evidence)
		}
	}
	n.audited(0) // with the receipts from before the loss, and the later ones
	n.audited(victim)
}
