package abci

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	abcitypes "github.com/cometbft/cometbft/abci/types"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"
	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

func TestGenesis(t *testing.T) {
	g := sim.New(t, 4, ordering.DefaultParams()).Genesis
	first, err := MakeGenesis(g)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := MakeGenesis(g); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the same genesis gives other bytes: %v", err)
	}
	read, err := ReadGenesis(first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(g.Terms.Hash(), read.Terms.Hash()); diff != "" || read.Params != g.Params {
		t.Error("read back differently")
	}
	for _, test := range []struct{ name, old, new string }{
		{"power", `"power": "10"`, `"power": "11"`},
		{"chain", `"chain_id": "` + sim.ChainID, `"chain_id": "other`},
		{"height", `"initial_height": "1"`, `"initial_height": "2"`},
		{"parameter", `"max_batch": 256`, `"max_batch": 0`},
		{"unknown parameter", `"max_batch"`, `"max_botch"`},
		{"no JSON", "{", ""},
	} {
		bad := bytes.Replace(first, []byte(test.old), []byte(test.new), 1)
		if bytes.Equal(bad, first) {
			t.Fatalf("%s: nothing replaced", test.name)
		}
		if _, err := ReadGenesis(bad); err == nil {
			t.Errorf("%s: accepted", test.name)
		}
	}
	// A peer need not be a member, but must be a node.
	stranger := strings.Repeat("ab", 20)
	for peer, ok := range map[string]bool{
		stranger + "@127.0.0.1:1": true, stranger + "@node.example:26656": true, "127.0.0.1:1": false, "nobody@127.0.0.1:1": false,
		stranger + "@127.0.0.1": false, stranger + "@:1": false, stranger[2:] + "@127.0.0.1:1": false, "": false,
	} {
		ids, err := peerIDs([]string{peer})
		if (err == nil) != ok || ok && !ids[p2p.ID(stranger)] {
			t.Errorf("peer %s: %v", peer, err)
		}
	}
}

func TestLogNoticesConsensusFailureAndHidesBodies(t *testing.T) {
	var out bytes.Buffer
	fail := newFailure()
	l := logger{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), fail}
	l.With("module", "consensus").Error("CONSENSUS FAILURE!!!", "err", "wrong app hash", "stack", "secret stack")
	l.Error("CONSENSUS FAILURE!!!", "err", "again")
	l.Info("added", "tx", "secret body", "peer ID", "x")
	select {
	case err := <-fail.ch:
		if !strings.Contains(err.Error(), "wrong app hash") {
			t.Error(err)
		}
	default:
		t.Error("not noticed")
	}
	if text := out.String(); strings.Contains(text, "secret") || !strings.Contains(text, "peer_id=x") {
		t.Error(text)
	}
}

// memory is an engine that keeps nothing and may be told to fail.
type memory struct {
	accused   []Misbehaviour
	rejected  []error
	announced []*fair.Announcement
	arrived   []threshold.ID
	fail      atomic.Bool
	at        time.Time // in the last header
	heights   chan uint64
}

func (m *memory) InitChain(*ordering.State) error { return nil }
func (m *memory) Persist(_ *ordering.State, _ *ordering.Result, at time.Time) error {
	m.at = at
	if m.fail.Load() {
		return errors.New("disk gone")
	}
	return nil
}
func (m *memory) Committed(s *ordering.State, _ *ordering.Result) {
	select {
	case m.heights <- s.Height():
	default:
	}
}
func (m *memory) Misbehaved(x Misbehaviour)                                 { m.accused = append(m.accused, x) }
func (m *memory) Openings(*ordering.State) []ordering.BatchOpenings         { return nil }
func (m *memory) Announcements(*ordering.State) []*fair.Announcement        { return m.announced }
func (m *memory) Bodies([]threshold.ID) [][]byte                            { return nil }
func (m *memory) Accepted(uint64, uint32, *ordering.State, *ordering.State) {}

func (m *memory) Rejected(_ uint64, _ uint32, height uint64, err error) {
	m.rejected = append(m.rejected, err)
}
func (m *memory) Arrived(ct *threshold.Ciphertext)        { m.arrived = append(m.arrived, ct.ID()) }
func (m *memory) PeerUp(ed25519.PublicKey)                {}
func (m *memory) Receive(ed25519.PublicKey, []byte) error { return nil }

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "tcp://" + l.Addr().String()
}

func testConfig(t *testing.T, c *sim.Chain, m *memory) Config {
	t.Helper()
	genesis, err := MakeGenesis(c.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Home: t.TempDir(), Moniker: "test", Genesis: genesis, Listen: freePort(t),
		TimeoutCommit: 10 * time.Millisecond, TimeoutPropose: 200 * time.Millisecond, TimeoutVote: 100 * time.Millisecond,
		MempoolSize: 100, MaxMessage: 1 << 16, Validator: c.Secrets[0].Validator(), Node: c.Secrets[0].Node(),
		State: c.Initial, Verifier: c.Verifier, Engine: m, Peer: m, Log: slog.New(slog.DiscardHandler),
	}
}

// A real CometBFT node with the only member of its committee: it makes blocks while the
// ceremony runs, refuses what is not a transaction, and says when consensus has failed.
func TestNode(t *testing.T) {
	c := sim.New(t, 1, ordering.DefaultParams())
	m := &memory{heights: make(chan uint64, 100)}
	n, err := New(testConfig(t, c, m))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	for range 3 {
		select {
		case <-m.heights:
		case <-time.After(20 * time.Second):
			t.Fatal("no blocks although a ceremony runs")
		}
	}
	verdict := make(chan error, 1)
	for _, tx := range [][]byte{{}, {1}, {2, 3}, {3, 1, 0, 1}, {9}} {
		if err := n.Submit(tx, func(err error) { verdict <- err }); err != nil {
			t.Fatal(err)
		}
		if err := <-verdict; err == nil {
			t.Errorf("transaction %x accepted", tx)
		}
	}
	if err := n.Submit(make([]byte, ordering.MaxMempoolTx+1), nil); err == nil {
		t.Error("oversize transaction taken")
	}
	if n.Send(make(ed25519.PublicKey, ed25519.PublicKeySize), nil) {
		t.Error("sent to a member that does not exist")
	}
	m.fail.Store(true)
	select {
	case err := <-n.Failed():
		if !strings.Contains(err.Error(), "disk gone") {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("failure not noticed")
	}
}

// What may not be ordered any more leaves the mempool; of the rest the node is told once more.
func TestSweep(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams())
	m := &memory{}
	n, err := New(testConfig(t, c, m))
	if err != nil {
		t.Fatal(err)
	}
	c.Ceremony()
	n.app.state.Store(c.State)
	txs := c.SealTxs("a", "b")
	for _, tx := range txs {
		if err := n.Submit(tx, nil); err != nil {
			t.Fatal(err)
		}
	}
	m.arrived = nil
	n.sweepOnce()
	if n.MempoolSize() != 2 || len(m.arrived) != 2 || m.arrived[0] != sim.IDOf(txs[0]) {
		t.Fatalf("%d wait, told of %v", n.MempoolSize(), m.arrived)
	}
	c.Block(ordering.Proposal{Txs: txs[:1]})
	n.app.state.Store(c.State)
	m.arrived = nil
	n.sweepOnce()
	if n.MempoolSize() != 1 || len(m.arrived) != 1 || m.arrived[0] != sim.IDOf(txs[1]) {
		t.Errorf("%d wait, told of %v", n.MempoolSize(), m.arrived)
	}
}

// Stores that do not fit each other are refused before anything is signed.
func TestNewRefuses(t *testing.T) {
	c := sim.New(t, 1, ordering.DefaultParams())
	c.Block(ordering.Proposal{})
	cfg := testConfig(t, c, &memory{})
	cfg.State = c.State
	if _, err := New(cfg); !errors.Is(err, ErrStateAhead) {
		t.Errorf("state ahead of the blocks: %v", err)
	}
	cfg = testConfig(t, c, &memory{})
	cfg.Peers = []string{"nobody@127.0.0.1:1"}
	if _, err := New(cfg); err == nil {
		t.Error("unknown peer accepted")
	}
	cfg = testConfig(t, c, &memory{})
	comet, err := cfg.comet()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loadSigner(comet, cfg.Validator, true); !errors.Is(err, ErrSignState) {
		t.Errorf("blocks without the last-signed state: %v", err)
	}
	if _, err := loadSigner(comet, cfg.Validator, false); err != nil {
		t.Error(err)
	}
	pv, err := loadSigner(comet, cfg.Validator, true)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pv.Key.PubKey.Bytes(), cfg.Validator.Public().(ed25519.PublicKey)) {
		t.Error("wrong key")
	}
	pv.LastSignState.Height, pv.LastSignState.Round = 42, 3
	pv.LastSignState.Save()
	if pv, err = loadSigner(comet, cfg.Validator, true); err != nil || pv.LastSignState.Height != 42 || pv.LastSignState.Round != 3 {
		t.Errorf("last-signed state not read back: %v", err)
	}
	if err := os.WriteFile(comet.PrivValidatorStateFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSigner(comet, cfg.Validator, true); err == nil {
		t.Error("damaged last-signed state accepted")
	}
	if files, err := filepath.Glob(filepath.Join(cfg.Home, "config", "*key*")); err != nil || len(files) > 0 {
		t.Errorf("keys on disk: %v", files)
	}
}

// Whatever a proposer sends, the answer is accept or reject.
func TestProposals(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	engine := &memory{}
	a := &app{engine: engine, verifier: c.Verifier, reactor: newReactor(membersOf(c.State, nil), engine, 1)}
	a.state.Store(c.State)
	ctx := context.Background()
	good := c.SealTxs("a", "b")
	for i := range c.Secrets {
		c.Receive(i+1, good...)
	}
	engine.announced = c.Announce()
	if r, err := a.CheckTx(ctx, &abcitypes.RequestCheckTx{Tx: good[0]}); err != nil || r.Code != 0 {
		t.Errorf("%v: %v", r, err)
	}
	if len(engine.arrived) != 1 || engine.arrived[0] != sim.IDOf(good[0]) {
		t.Errorf("told of %v", engine.arrived)
	}
	prepared, err := a.PrepareProposal(ctx, &abcitypes.RequestPrepareProposal{MaxTxBytes: 1 << 20, Txs: append([][]byte{{7}}, good...)})
	if err != nil || len(prepared.Txs) != 3 {
		t.Fatalf("%d transactions, %v", len(prepared.Txs), err)
	}
	height := int64(c.State.Height() + 1)
	for _, test := range []struct {
		txs    [][]byte
		height int64
		want   abcitypes.ResponseProcessProposal_ProposalStatus
	}{
		{prepared.Txs, height, abcitypes.ResponseProcessProposal_ACCEPT},
		{nil, height, abcitypes.ResponseProcessProposal_ACCEPT},
		{[][]byte{prepared.Txs[0], prepared.Txs[2], prepared.Txs[1]}, height, abcitypes.ResponseProcessProposal_REJECT},
		{prepared.Txs[:2], height, abcitypes.ResponseProcessProposal_REJECT},
		{prepared.Txs[1:], height, abcitypes.ResponseProcessProposal_REJECT},
		{[][]byte{{}}, height, abcitypes.ResponseProcessProposal_REJECT},
		{[][]byte{{3, 1, 255, 255}}, height, abcitypes.ResponseProcessProposal_REJECT},
		{nil, height + 1, abcitypes.ResponseProcessProposal_REJECT},
	} {
		r, err := a.ProcessProposal(ctx, &abcitypes.RequestProcessProposal{Height: test.height, Txs: test.txs, Hash: []byte("h")})
		if err != nil || r.Status != test.want {
			t.Errorf("%d transactions at %d: %v, %v", len(test.txs), test.height, r.Status, err)
		}
	}
	// The judged proposal was another one than what is decided.
	header := time.UnixMilli(1_800_000_000_123)
	f, err := a.FinalizeBlock(ctx, &abcitypes.RequestFinalizeBlock{Height: height, Time: header, Txs: [][]byte{prepared.Txs[0], {9}}, Hash: []byte("other"), Misbehavior: []abcitypes.Misbehavior{{
		Type: abcitypes.MisbehaviorType_DUPLICATE_VOTE, Height: 2,
		Validator: abcitypes.Validator{Address: cmted25519.PubKey(c.Genesis.Terms.Members[2].Validator).Address(), Power: 10},
	}}})
	if err != nil || f.TxResults[0].Code != 0 || f.TxResults[1].Code == 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	if a.state.Load().Height() != uint64(height-1) {
		t.Error("state moved before the commit")
	}
	if _, err := a.Commit(ctx, nil); err != nil || a.state.Load().Height() != uint64(height) {
		t.Errorf("commit: %v", err)
	}
	if !engine.at.Equal(header) {
		t.Errorf("the block is stored with the time %v, its header has %v", engine.at, header)
	}
	third := c.Genesis.Terms.Members[2].Identity
	if len(engine.rejected) == 0 {
		t.Error("nobody is told of rejected proposals")
	}
	if len(engine.accused) != 1 || !third.Equal(engine.accused[0].Identity) || engine.accused[0].Member != 3 || engine.accused[0].Epoch != 1 || engine.accused[0].Kind != "duplicate_vote" || engine.accused[0].Height != 2 {
		t.Errorf("accused: %+v", engine.accused)
	}
	if _, err := a.Commit(ctx, nil); err == nil {
		t.Error("commit without a finalized block")
	}
}
