package e2e

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// Transactions come in all the time. Meanwhile a fifth member takes the place of the
// first, with the same key; then the four make a new key. One member dies in each of
// the two ceremonies, and the one who joins dies before it has stored its share. The
// members type what docs/runbooks/replace-member.md and rotate-key.md say. Whatever got
// a receipt is opened, the validators are those of the committee, and the audit holds.
func TestResharingAndRotationUnderLoad(t *testing.T) {
	n := open(t, 5*time.Minute, func(*node.Config) {}, func(g *ordering.Genesis) { g.Params.MaxValidity = 5000 })
	for i, member := range n.Nodes {
		env := []string{}
		if i == 1 {
			env = append(env, "DIE_IN=dealing", "DIE_EPOCH=2")
		}
		n.must(member.Start(env...))
	}
	n.must(n.WaitReady(n.ctx))
	n.openWallet()
	firstKey := n.wallet.Certificate.Committee.Key.ID()
	m := &members{t: t, n: n, scrim: buildScrim(t, n.ctx)}

	erin, err := n.AddNode(n.ctx, "erin")
	n.must(err)
	l := n.load(0, 1, 2, 3)

	m.says(0, "is proposed", "reshare", "--yes", "--add", filepath.Join(erin.Config.Home, "member.json"), "--remove", "member1", "--start-in", "300")
	n.must(erin.Start("DIE_IN=certifying", "DIE_EPOCH=2")) // from now on the others know its node
	for i := range 4 {
		m.says(i, "", "accept", "--yes", "--hash", m.proposed(i))
	}
	joined := m.joins(4, m.proposed(0))
	m.dies(1)
	n.must(n.Nodes[1].Start("DIE_IN=responding", "DIE_EPOCH=3"))
	m.dies(4)
	n.must(erin.Start())
	m.inOffice(2, 0, 1, 2, 3, 4)
	if out := joined(); !strings.Contains(out, "done: the committee of epoch 2 is in office") {
		t.Errorf("erin's join says\n%s", out)
	}
	l.move(1, 2, 3, 4)
	l.settle()
	if _, err := n.Nodes[0].Client.Submit(n.ctx, "e2e", l.unsent(0).sealed.Bytes()); !isCode(err, v1.CodeNotInOffice) {
		t.Errorf("member1 has left and answers %v", err)
	}
	if key := l.key(); key != firstKey {
		t.Errorf("the key was to stay, and went from %x to %x", firstKey, key)
	}
	n.Nodes[0].Stop()
	n.Nodes[3].Kill() // member4: the others are a quorum only if erin is a validator, with a share
	l.settle()
	n.must(n.Nodes[3].Start())
	n.must(n.Nodes[3].WaitReady(n.ctx))

	early := l.unsent(350) // sealed to the first key, sent when it is the old one
	m.says(2, "is proposed", "rotate", "--yes", "--overlap", "250", "--start-in", "150")
	for _, i := range []int{1, 2, 3, 4} {
		m.says(i, "", "accept", "--yes", "--hash", m.proposed(i))
	}
	m.dies(1)
	n.must(n.Nodes[1].Start())
	m.inOffice(3, 1, 2, 3, 4)
	keys, err := n.Nodes[2].Client.EncryptionKeys(n.ctx)
	n.must(err)
	if len(keys.Keys) != 2 || bytes.Equal(keys.Keys[0].KeyID, firstKey[:]) || !bytes.Equal(keys.Keys[1].KeyID, firstKey[:]) || keys.Keys[1].ValidUntil == nil {
		t.Fatalf("keys in the overlap: %+v", keys)
	}
	l.send(2, early)
	l.settle()
	if key := l.key(); key == firstKey {
		t.Error("wallets still seal to the old key")
	}
	late := l.sealTo(firstKey)
	for until := *keys.Keys[1].ValidUntil; n.height(2) <= until; {
		time.Sleep(200 * time.Millisecond)
		n.must(n.ctx.Err())
	}
	if _, err := n.Nodes[2].Client.Submit(n.ctx, "e2e", late.Bytes()); !isCode(err, v1.CodeKeyRetired) {
		t.Errorf("the old key is retired, and a ciphertext to it gets %v", err)
	}

	l.end()
	t.Logf("%d transactions had a receipt, %d were refused", len(n.sent), l.refused)
	for i, tx := range n.sent { // each at one node; that the nodes tell the same is checked below
		status := n.final(1+i%4, tx.sealed.ID())
		if got, err := n.wallet.Check(n.ctx, status, tx.sealed); err != nil || !bytes.Equal(got, tx.plaintext) {
			t.Fatalf("transaction %d of %d: %v", i, len(n.sent), err)
		}
	}
	n.sameBatches()
	report := n.audited(4)
	if len(report.Epochs) != 3 {
		t.Errorf("the audit saw the epochs %v", report.Epochs)
	}
}

// members type commands, each in its own home and at its own node.
type members struct {
	t     *testing.T
	n     *network
	scrim string
}

func buildScrim(t *testing.T, ctx context.Context) string {
	t.Helper()
	scrim := filepath.Join(t.TempDir(), "scrim")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", scrim, "../../cmd/scrim").CombinedOutput(); err != nil {
		t.Fatalf("build scrim: %v\n%s", err, out)
	}
	return scrim
}

func (m *members) command(i int, args ...string) *exec.Cmd {
	args = append([]string{"member"}, append(args, "--home", m.n.Nodes[i].Config.Home, "--node", m.n.Nodes[i].URL)...)
	return exec.CommandContext(m.n.ctx, m.scrim, args...)
}

// says types a command as member i.
func (m *members) says(i int, want string, args ...string) {
	m.t.Helper()
	cmd := m.command(i, args...)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
		m.t.Fatalf("%s types %s: %v, want %q in\n%s", m.n.Nodes[i].Name, strings.Join(cmd.Args[1:], " "), err, want, out)
	}
}

// proposed is the hash of the terms that node i sees proposed, which the members would
// compare by voice.
func (m *members) proposed(i int) string {
	m.t.Helper()
	for {
		all, err := m.n.Nodes[i].Client.Ceremonies(m.n.ctx)
		if err == nil && all.Ceremonies[0].Phase == "proposed" {
			return all.Ceremonies[0].ID.String()
		}
		m.n.must(m.n.ctx.Err())
		time.Sleep(20 * time.Millisecond)
	}
}

// joins types join as member i and again when its node was away, and gives what it said at the end.
func (m *members) joins(i int, hash string) func() string {
	said := make(chan string, 1)
	go func() {
		for {
			out, err := m.command(i, "join", "--yes", "--hash", hash).CombinedOutput()
			if err == nil || m.n.ctx.Err() != nil {
				said <- string(out)
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	}()
	return func() string { return <-said }
}

// dies waits until node i has killed itself.
func (m *members) dies(i int) {
	m.t.Helper()
	select {
	case <-m.n.Nodes[i].Done():
	case <-time.After(2 * time.Minute):
		m.t.Fatalf("%s did not come to the phase in which it was to die", m.n.Nodes[i].Name)
	}
}

// inOffice waits until the nodes see the committee of an epoch in office and are ready.
func (m *members) inOffice(epoch uint64, nodes ...int) {
	m.t.Helper()
	for _, i := range nodes {
		for {
			r, err := m.n.Nodes[i].Client.Ready(m.n.ctx)
			if err == nil && r.Ready && r.Epoch == epoch {
				break
			}
			select {
			case <-m.n.ctx.Done():
				m.t.Fatalf("%s is not ready in epoch %d: %+v, %v", m.n.Nodes[i].Name, epoch, r, err)
			case <-m.n.Nodes[i].Done():
				m.t.Fatalf("%s ended", m.n.Nodes[i].Name)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

func (n *network) height(i int) uint64 {
	h, err := n.Nodes[i].Client.Health(n.ctx)
	n.must(err)
	return h.Height
}

func isCode(err error, code string) bool {
	var p *client.Problem
	return errors.As(err, &p) && p.Code == code
}

// load sends transactions to the nodes of a network, one at a time, and keeps what got a receipt.
type load struct {
	n      *network
	w      *wallet.Wallet
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // of everything below, and of the wallet
	nodes   []int
	refused int
	certs   []*keygen.Certificate // that the wallet had, oldest first
}

// load begins, with a wallet of its own; n.sent is the load's until end.
func (n *network) load(nodes ...int) *load {
	n.t.Helper()
	w, err := wallet.Open(n.ctx, n.URLs(), wallet.Options{Client: client.Options{Retries: -1}}) // a node that is down is asked in vain, once
	n.must(err)
	ctx, cancel := context.WithCancel(n.ctx)
	l := &load{n: n, w: w, cancel: cancel, done: make(chan struct{}), nodes: nodes, certs: []*keygen.Certificate{w.Certificate}}
	go l.run(ctx)
	n.t.Cleanup(cancel)
	return l
}

func (l *load) run(ctx context.Context) {
	defer close(l.done)
	for i := 0; ctx.Err() == nil; i++ {
		l.once(ctx, i)
		time.Sleep(40 * time.Millisecond)
	}
}

func (l *load) once(ctx context.Context, i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i%20 == 0 {
		_ = l.w.Refresh(ctx) // a node that is away is no reason to stop
		if l.w.Certificate != l.certs[len(l.certs)-1] {
			l.certs = append(l.certs, l.w.Certificate)
		}
	}
	plaintext := payload(1 + rand.IntN(600))
	ct, err := l.w.Seal(crand.Reader, wallet.SealOptions{Namespace: "e2e"}, plaintext)
	if err != nil {
		l.refused++
		return
	}
	l.submit(ctx, l.nodes[i%len(l.nodes)], &transaction{plaintext: plaintext, sealed: ct})
}

// submit keeps a transaction that got a receipt. Without one there is no promise.
func (l *load) submit(ctx context.Context, node int, tx *transaction) bool {
	receipt, err := l.w.SubmitTo(ctx, node, tx.sealed)
	if err != nil {
		l.refused++
		return false
	}
	tx.record = recordOf(tx, receipt)
	l.n.sent = append(l.n.sent, tx)
	return true
}

// send is submit for a transaction that must be taken.
func (l *load) send(node int, tx *transaction) {
	l.n.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.submit(l.n.ctx, node, tx) {
		l.n.t.Fatal("not taken")
	}
}

// unsent seals a transaction and does not send it.
func (l *load) unsent(validity uint64) *transaction {
	l.n.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	plaintext := payload(50)
	ct, err := l.w.Seal(crand.Reader, wallet.SealOptions{Namespace: "e2e", Validity: validity}, plaintext)
	l.n.must(err)
	return &transaction{plaintext: plaintext, sealed: ct}
}

// sealTo seals to a key that the wallet had before.
func (l *load) sealTo(key threshold.KeyID) *threshold.Ciphertext {
	l.n.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.certs {
		if c.Committee.Key.ID() == key {
			ct, err := threshold.Seal(crand.Reader, c.Committee.Key, threshold.SealOptions{
				ChainID: l.w.ChainID(), Namespace: "e2e", ValidUntil: l.w.Limits.Height + 4000,
			}, []byte("too late"))
			l.n.must(err)
			return ct
		}
	}
	l.n.t.Fatalf("the wallet never had key %x", key)
	return nil
}

// move changes the nodes that transactions are sent to.
func (l *load) move(nodes ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = nodes
}

// key is what the wallet seals to now.
func (l *load) key() threshold.KeyID {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n.must(l.w.Refresh(l.n.ctx))
	return l.w.Certificate.Committee.Key.ID()
}

// settle waits until everything that was sent up to now is opened.
func (l *load) settle() {
	l.n.t.Helper()
	l.mu.Lock()
	sent, nodes := l.n.sent[:len(l.n.sent):len(l.n.sent)], l.nodes
	l.mu.Unlock()
	for _, i := range nodes {
		if !l.n.Nodes[i].Running() {
			continue
		}
		for _, tx := range sent[max(0, len(sent)-200):] {
			l.n.final(i, tx.sealed.ID())
		}
		return
	}
}

func (l *load) end() {
	l.cancel()
	<-l.done
	l.n.wallet = l.w
	l.n.must(l.w.Refresh(l.n.ctx))
}
