package e2e

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror"
	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/devnet"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/internal/pgcluster"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// program is scrimd with fault injection, which is off unless BYZANTINE is set.
var program string

func TestMain(m *testing.M) {
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scrim-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "scrimd")
	cmd := exec.Command("go", "build", "-tags", "byzantine", "-o", program, "./byzantine")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the node: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// network is a running committee and a wallet that knows all its nodes.
type network struct {
	*devnet.Net
	t      *testing.T
	ctx    context.Context
	wallet *wallet.Wallet
	sent   []*transaction
}

type transaction struct {
	plaintext []byte
	sealed    *threshold.Ciphertext
	record    *wallet.Record
}

// start makes and starts a committee; env gives node i further environment variables.
func start(t *testing.T, env func(i int) []string) *network {
	t.Helper()
	return startFor(t, 3*time.Minute, env)
}

// startFor is start for a test that may take so long.
func startFor(t *testing.T, limit time.Duration, env func(i int) []string) *network {
	t.Helper()
	n := open(t, limit, func(*node.Config) {}, nil)
	for i, member := range n.Nodes {
		var extra []string
		if env != nil {
			extra = env(i)
		}
		n.must(member.Start(extra...))
	}
	n.must(n.WaitReady(n.ctx))
	n.openWallet()
	return n
}

// open makes a committee and starts no node. Nodes that are left running when the test
// ends are ended, and their logs shown if it failed.
func open(t *testing.T, limit time.Duration, configure func(*node.Config), genesis func(*ordering.Genesis), more ...func(*devnet.Options)) *network {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	options := devnet.Options{
		Command: []string{program}, Dir: t.TempDir(), Postgres: []pgcluster.Option{pgcluster.WithoutSync()},
		Configure: func(_ int, c *node.Config) { c.HTTP.RatePerMinute = 0; configure(c) },
		Genesis:   genesis,
	}
	for _, option := range more {
		option(&options)
	}
	net, err := devnet.Open(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	n := &network{Net: net, t: t, ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			n.logs()
		}
		net.Close()
	})
	return n
}

// openWallet needs an active committee.
func (n *network) openWallet() {
	n.t.Helper()
	var err error
	n.wallet, err = wallet.Open(n.ctx, n.URLs(), wallet.Options{TrustFile: filepath.Join(n.t.TempDir(), "trust.json")})
	n.must(err)
}

func (n *network) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// logs prints the end of each node's log.
func (n *network) logs() {
	for _, member := range n.Nodes {
		text, err := os.ReadFile(member.LogFile)
		if err != nil {
			continue
		}
		n.t.Logf("%s ends with:\n%s", member.Name, text[max(0, len(text)-3000):])
	}
}

// seal seals a plaintext for namespace "e2e" and remembers it.
func (n *network) seal(plaintext []byte) *transaction {
	n.t.Helper()
	ct, err := n.wallet.Seal(crand.Reader, wallet.SealOptions{Namespace: "e2e"}, plaintext)
	n.must(err)
	tx := &transaction{plaintext: plaintext, sealed: ct}
	n.sent = append(n.sent, tx)
	return tx
}

// send submits to all nodes that run; at least one receipt must come back.
func (n *network) send(tx *transaction) {
	n.t.Helper()
	record, _, err := n.wallet.Submit(n.ctx, tx.sealed)
	n.must(err)
	tx.record = record
}

// sendTo submits to one node only.
func (n *network) sendTo(i int, tx *transaction) {
	n.t.Helper()
	receipt, err := n.wallet.SubmitTo(n.ctx, i, tx.sealed)
	n.must(err)
	tx.record = recordOf(tx, receipt)
}

func recordOf(tx *transaction, receipt *commitreveal.Receipt) *wallet.Record {
	r := wallet.NewRecord(tx.sealed)
	r.Receipts = append(r.Receipts, *receipt)
	return r
}

// allOpened waits until every node that runs shows every transaction that was sent as
// finally opened, and checks it as a wallet does.
func (n *network) allOpened() {
	n.t.Helper()
	for _, tx := range n.sent {
		for i, member := range n.Nodes {
			if !member.Running() {
				continue
			}
			status := n.final(i, tx.sealed.ID())
			got, err := n.wallet.Check(n.ctx, status, tx.sealed)
			n.must(err)
			if !bytes.Equal(got, tx.plaintext) || !bytes.Equal(status.Plaintext, tx.plaintext) {
				n.t.Fatalf("%s shows another plaintext for %s", member.Name, tx.sealed.ID())
			}
		}
	}
}

func (n *network) final(i int, id threshold.ID) *v1.Transaction {
	n.t.Helper()
	for {
		tx, err := n.Nodes[i].Client.Transaction(n.ctx, v1.HexOf(id[:]))
		if err == nil && tx.RevealHeight != nil {
			return tx
		}
		select {
		case <-n.ctx.Done():
			n.t.Fatalf("%s never showed %s as opened: %+v, %v", n.Nodes[i].Name, id, tx, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sameBatches checks that all running nodes tell the same of every batch.
func (n *network) sameBatches() {
	n.t.Helper()
	var first string
	for _, member := range n.Nodes {
		if !member.Running() {
			continue
		}
		var all strings.Builder
		for before := uint64(0); ; {
			page, err := member.Client.Batches(n.ctx, before, 100)
			n.must(err)
			for _, b := range page.Batches {
				fmt.Fprintln(&all, b.Height, b.Root, b.Checkpoint.LogRoot, b.Certificate, *b.RevealHeight)
			}
			if page.Next == nil {
				break
			}
			before = *page.Next
		}
		if first == "" {
			first = all.String()
		}
		if all.String() != first {
			n.t.Errorf("%s tells other batches than %s", member.Name, n.Nodes[0].Name)
		}
	}
}

// audited replays node i's bundle offline, with all receipts, and requires that it is verified.
func (n *network) audited(i int) *audit.Report {
	n.t.Helper()
	var bundle bytes.Buffer
	n.must(n.Nodes[i].Client.Export(n.ctx, &bundle))
	var records []wallet.Record
	for _, tx := range n.sent {
		if tx.record != nil {
			records = append(records, *tx.record)
		}
	}
	report, err := wallet.Audit(&bundle, audit.Options{TermsHash: &n.wallet.TermsHash, Receipts: wallet.Receipts(records)})
	n.must(err)
	if report.Verdict != audit.Verified {
		n.t.Errorf("audit of %s: %s: %+v", n.Nodes[i].Name, report.Verdict, report.Findings)
	}
	return report
}

func payload(size int) []byte {
	b := make([]byte, size)
	crand.Read(b)
	return b
}

func TestHappyPath(t *testing.T) {
	n := start(t, nil)
	for i, size := range []int{0, 1, 2, 252, 253, 1000, 20_000, threshold.MaxPlaintext} {
		n.sendTo(i%4, n.seal(payload(size)))
	}
	for range 12 {
		n.send(n.seal(payload(300)))
	}
	n.allOpened()
	n.sameBatches()
	n.audited(0)
	n.audited(3)

	t.Run("a repeated submission is the same answer", func(t *testing.T) {
		tx := n.sent[0]
		receipt, err := n.wallet.SubmitTo(n.ctx, 0, tx.sealed)
		if err != nil || *receipt != tx.record.Receipts[0] {
			t.Errorf("got %+v, %v, first %+v", receipt, err, tx.record.Receipts[0])
		}
	})
	t.Run("the namespace's stream has all of them in order", func(t *testing.T) {
		seen := make(map[string]bool)
		var last v1.Cursor
		for after := (v1.Cursor{}); ; {
			page, err := n.Nodes[1].Client.Stream(n.ctx, "e2e", after, 3)
			n.must(err)
			for _, tx := range page.Transactions {
				at := v1.Cursor{Height: *tx.Height, Place: *tx.Place}
				if at.Height < last.Height || at.Height == last.Height && at.Place <= last.Place && last.Height > 0 {
					t.Errorf("%v comes after %v", at, last)
				}
				last = at
				seen[tx.ID.String()] = true
			}
			if after = page.Next; !page.More {
				break
			}
		}
		if len(seen) != len(n.sent) {
			t.Errorf("%d of %d", len(seen), len(n.sent))
		}
	})
	t.Run("a ciphertext that does not decrypt is void, with its opening", func(t *testing.T) {
		void := thresholdtest.Void("e2e", n.wallet.Certificate.Committee.Key, threshold.SealOptions{
			ChainID: n.wallet.ChainID(), Namespace: "e2e", ValidUntil: n.wallet.Limits.Height + 1000,
		})
		_, err := n.wallet.SubmitTo(n.ctx, 2, void)
		n.must(err)
		tx := n.final(1, void.ID())
		if _, err := n.wallet.Check(n.ctx, tx, void); err != nil || tx.Status != v1.StatusVoid || len(tx.Opening) != 48 {
			t.Errorf("%+v, %v", tx, err)
		}
	})
	t.Run("the pages work in a browser", func(t *testing.T) { pagesInABrowser(t, n) })
	t.Run("bad input is refused with a reason", func(t *testing.T) { badInput(t, n) })
	t.Run("an idle chain makes no blocks", func(t *testing.T) {
		height := func() uint64 {
			h, err := n.Nodes[0].Client.Health(n.ctx)
			n.must(err)
			return h.Height
		}
		time.Sleep(500 * time.Millisecond) // the proof block after the last reveal
		before := height()
		time.Sleep(700 * time.Millisecond)
		if after := height(); after != before {
			t.Errorf("went from %d to %d", before, after)
		}
		n.send(n.seal([]byte("wake up")))
		n.allOpened()
	})
}

func badInput(t *testing.T, n *network) {
	good := n.sent[0].sealed
	flip := func(i int) []byte {
		b := bytes.Clone(good.Bytes())
		b[(len(b)+i)%len(b)] ^= 1
		return b
	}
	seal := func(o threshold.SealOptions) []byte {
		ct, err := threshold.Seal(crand.Reader, n.wallet.Certificate.Committee.Key, o, nil)
		n.must(err)
		return ct.Bytes()
	}
	chain := n.wallet.ChainID()
	for _, test := range []struct {
		name, namespace string
		ciphertext      []byte
		code            string
	}{
		{"payload changed", "e2e", flip(-1), "invalid_proof"},
		{"cut short", "e2e", good.Bytes()[:200], "malformed_ciphertext"},
		{"nothing", "e2e", nil, "malformed_ciphertext"},
		{"another chain", "e2e", seal(threshold.SealOptions{ChainID: "other", Namespace: "e2e", ValidUntil: 1000}), "wrong_chain"},
		{"expired", "e2e", seal(threshold.SealOptions{ChainID: chain, Namespace: "e2e", ValidUntil: 1}), "expired"},
		{"valid for ever", "e2e", seal(threshold.SealOptions{ChainID: chain, Namespace: "e2e", ValidUntil: 1 << 40}), "valid_until_too_far"},
		{"another namespace", "other", good.Bytes(), "namespace_mismatch"},
	} {
		_, err := n.Nodes[0].Client.Submit(n.ctx, test.namespace, test.ciphertext)
		var problem *client.Problem
		if !errors.As(err, &problem) || problem.Code != test.code || problem.Detail == "" {
			t.Errorf("%s: got %v, want %s", test.name, err, test.code)
		}
	}
	for _, test := range []struct{ name, body, code string }{
		{"not JSON", "{", "malformed_json"},
		{"not hex", `{"namespace":"e2e","ciphertext":"0xzz"}`, "malformed_hex"},
		{"unknown field", `{"namespace":"e2e","ciphertext":"0x00","gas":1}`, "malformed_json"},
	} {
		resp, err := http.Post(n.Nodes[0].URL+"/v1/transactions", "application/json", strings.NewReader(test.body))
		n.must(err)
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		n.must(err)
		if resp.StatusCode/100 != 4 || !strings.Contains(string(text), `"code":"`+test.code+`"`) {
			t.Errorf("%s: %s %s", test.name, resp.Status, text)
		}
	}
}

// One member dies at a random moment under load and comes back: nothing that any member
// accepted is lost, and all four end with the same log.
func TestOneMemberKilled(t *testing.T) {
	n := start(t, nil)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	const total = 60
	victim, at := n.Nodes[rng.IntN(4)], 5+rng.IntN(20)
	for i := range total {
		switch i {
		case at:
			victim.Kill()
		case at + 20:
			n.must(victim.Start())
		}
		n.send(n.seal(payload(200)))
		time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
	}
	n.must(victim.WaitReady(n.ctx))
	n.allOpened()
	n.sameBatches()
	n.audited(rng.IntN(4))
}

// A member with wrong shares delays nothing, and everybody's log says what it did.
func TestMemberSendsBadShares(t *testing.T) {
	n := start(t, func(i int) []string {
		if i == 3 {
			return []string{"BYZANTINE=1"}
		}
		return nil
	})
	for range 20 {
		n.send(n.seal(payload(200)))
		time.Sleep(10 * time.Millisecond)
	}
	n.allOpened()
	n.sameBatches()
	n.audited(0)
	blamed := false
	for _, member := range n.Nodes[:3] {
		resp, err := http.Get(member.URL + "/metrics")
		n.must(err)
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		n.must(err)
		blamed = blamed || strings.Contains(string(text), `scrim_bad_shares_total{epoch="1",member="4"}`)
		if strings.Contains(string(text), `scrim_bad_shares_total{epoch="1",member="1"}`) {
			t.Errorf("%s blames an honest member", member.Name)
		}
	}
	if !blamed {
		t.Error("nobody blames member 4")
	}
	var bodies [][]byte
	for i := range n.Nodes {
		bodies = append(bodies, n.caught(i))
	}
	for i, body := range bodies {
		if !bytes.Equal(body, bodies[0]) {
			t.Errorf("%s serves other evidence than %s", n.Nodes[i].Name, n.Nodes[0].Name)
		}
	}

	// A mirror has the evidence too; the file that comes of it convinces somebody who has nothing else.
	dir := filepath.Join(t.TempDir(), "mirror")
	m, err := mirror.Open(dir, mirror.Options{Checks: wallet.Checks(), TermsHash: &n.wallet.TermsHash})
	n.must(err)
	c, err := mirror.NewClient(n.Nodes[3].URL, nil) // the one that was caught serves it as well
	n.must(err)
	_, err = m.Update(n.ctx, c)
	n.must(err)
	source, err := wallet.NewLogSource(dir)
	n.must(err)
	report, err := source.Verify(wallet.VerifyOptions{TermsHash: &n.wallet.TermsHash})
	n.must(err)
	if report.Verdict != audit.Verified || len(report.Misbehaviour) != 1 || !report.Misbehaviour[0].Proved {
		t.Fatalf("audit of the mirror: %s: %v %v %+v", report.Verdict, report.Findings, report.Missing, report.Misbehaviour)
	}
	files, err := source.WriteEvidence(report, filepath.Join(dir, "found"))
	n.must(err)
	proved := false
	for _, file := range files {
		text, err := os.ReadFile(file)
		n.must(err)
		f, err := audit.ParseEvidence(text)
		n.must(err)
		e, err := f.Verify(wallet.Checks())
		n.must(err)
		proved = proved || e.Kind == audit.KindBadShare && strings.HasPrefix(e.Who, "member 4 ")
	}
	if !proved {
		t.Errorf("no file proves it: %v", files)
	}

	// After a restart nobody says it again, and the chain rests.
	for _, member := range n.Nodes {
		member.Kill()
	}
	n.must(n.Net.Start())
	n.must(n.WaitReady(n.ctx))
	n.send(n.seal(payload(200)))
	n.allOpened()
	time.Sleep(7 * time.Second) // longer than evidence waits to be offered again
	if report := n.audited(1); len(report.Misbehaviour) != 1 {
		t.Errorf("the log has %d entries about members after a restart", len(report.Misbehaviour))
	}
	n.resting()
}

// caught waits until node i's log says that member 4 sent bad points, and gives the evidence as the node serves it.
func (n *network) caught(i int) []byte {
	n.t.Helper()
	for {
		report := n.audited(i)
		if n.t.Failed() || n.ctx.Err() != nil {
			n.t.Fatalf("the log of %s does not say what member 4 did: %+v", n.Nodes[i].Name, report.Misbehaviour)
		}
		if len(report.Misbehaviour) == 0 {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		m := report.Misbehaviour[0]
		if len(report.Misbehaviour) != 1 || m.Member != 4 || m.Epoch != 1 || m.Kind != "bad_point" || !m.Proved {
			n.t.Fatalf("the log of %s says %+v", n.Nodes[i].Name, report.Misbehaviour)
		}
		body, err := n.Nodes[i].Client.LogEvidence(n.ctx, v1.HexOf(m.Evidence[:]))
		n.must(err)
		if commitreveal.EvidenceHash(body) != m.Evidence {
			n.t.Errorf("%s serves evidence that the log does not name", n.Nodes[i].Name)
		}
		return body
	}
}

// resting requires that the chain makes no blocks.
func (n *network) resting() {
	n.t.Helper()
	before := n.height(0)
	time.Sleep(time.Second)
	if after := n.height(0); after != before {
		n.t.Errorf("an idle chain made %d blocks in a second", after-before)
	}
}

// All four die while ciphertexts wait, some of them accepted by one member only, and
// start again: everything that got a receipt is ordered and opened.
func TestAllRestarted(t *testing.T) {
	n := start(t, nil)
	for range 2 {
		for i := range 16 {
			n.sendTo(i%4, n.seal(payload(500)))
		}
		var wg sync.WaitGroup
		for _, member := range n.Nodes {
			wg.Go(member.Kill)
		}
		wg.Wait()
		n.must(n.Net.Start())
		n.must(n.WaitReady(n.ctx))
		n.allOpened()
	}
	n.sameBatches()
	n.audited(2)
}
