package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// still is consensus that makes no blocks by itself: the simulated chain's are made by the test.
type still struct {
	chain   *sim.Chain
	syncing bool
	peers   int

	mu   sync.Mutex
	sent [][]byte
}

func (s *still) State() *ordering.State { return s.chain.State }
func (s *still) CatchingUp() bool       { return s.syncing }
func (s *still) PeersUp() int           { return s.peers }
func (s *still) MempoolSize() int       { return 0 }
func (s *still) Submit(tx []byte, done func(error)) error {
	s.mu.Lock()
	s.sent = append(s.sent, tx)
	s.mu.Unlock()
	if done != nil {
		done(nil)
	}
	return nil
}

// desk is a node's door and REST interface over a simulated chain, with a database of its own.
type desk struct {
	backend
	registry *prometheus.Registry
	comet    *still
	store    *pg.Store
	done     int // blocks that are in the store
}

func newDesk(t *testing.T, c *sim.Chain, secret *keygen.MemberSecret) *desk {
	t.Helper()
	store, err := pg.Open(t.Context(), pgtest.New(t))
	c.Must(err)
	t.Cleanup(store.Close)
	snapshot, err := c.Initial.Snapshot()
	c.Must(err)
	c.Must(store.InitChain(t.Context(), pg.Chain{ChainID: sim.ChainID, AppHash: c.Initial.AppHash(), Snapshot: snapshot}))
	d := &desk{registry: prometheus.NewRegistry(), comet: &still{chain: c, peers: 3}, store: store}
	n := &running{
		cfg: DefaultConfig(), log: slog.New(slog.DiscardHandler), self: secret.Identity().Public().(ed25519.PublicKey), card: "dora",
		store: store, verifier: ordering.NewVerifier(1 << 20), metrics: newMetrics(d.registry), chain: d.comet,
	}
	n.opener = n.newOpener(c.Genesis, secret)
	n.cfg.Home = t.TempDir()
	n.publish, err = n.newPublisher(c.Genesis, secret)
	c.Must(err)
	c.Must(n.newAnnouncer(t.Context(), &engine{}, secret, c.Initial))
	n.intake = n.newIntake(c.Genesis, secret)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { n.intake.run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	d.backend = backend{n}
	shareHeld(d.registry, n.holdsShare)
	d.follow()
	return d
}

// follow makes the chain's new blocks durable.
func (d *desk) follow() {
	c := d.comet.chain
	for ; d.done < len(c.Results); d.done++ {
		c.Must(d.store.CommitBlock(context.Background(), c.Results[d.done]))
	}
	d.n.opener.committed(c.State)
	d.n.announcer.committed(c.State, nil)
	if d.done > 0 {
		d.n.metricsOf(c.State, c.Results[d.done-1])
	}
}

func (d *desk) submit(t *testing.T, ct *threshold.Ciphertext) (v1.Transaction, error) {
	return d.Submit(t.Context(), ct.Header().Namespace, ct.Bytes())
}

func code(err error) string {
	var e *httpapi.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// A node whose member is in no committee answers reads and takes no transactions. When its
// member is in office it takes them; when it has left it stands by what it said.
func TestFollowerAtTheDoor(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams())
	newcomer := c.Newcomers(1)[0]
	d := newDesk(t, c, newcomer)
	shows := func(epoch, member, share float64) {
		t.Helper()
		got := []float64{metric(t, d.registry, "scrim_committee_epoch"), metric(t, d.registry, "scrim_committee_member"), metric(t, d.registry, "scrim_share_held")}
		if diff := cmp.Diff([]float64{epoch, member, share}, got); diff != "" {
			t.Errorf("metrics: %s", diff)
		}
	}
	ready := func(want bool, inOffice bool, reasons ...string) {
		t.Helper()
		r := d.Ready(t.Context())
		var got []string
		for _, reason := range r.Reasons {
			got = append(got, reason.Code)
		}
		if diff := cmp.Diff(reasons, got); r.Ready != want || r.InOffice != inOffice || diff != "" {
			t.Errorf("ready %v, in office %v: %s", r.Ready, r.InOffice, diff)
		}
	}
	ready(false, false, "no_committee")
	c.Ceremony()
	d.follow()
	first := c.Seal("first")
	_, err := d.submit(t, first)
	if e := new(httpapi.Error); code(err) != v1.CodeNotInOffice || !errors.As(err, &e) || e.Extra["epoch"] != uint64(1) {
		t.Fatalf("a follower took a transaction: %v", err)
	}
	if n, _, _, _, err := d.store.Counts(t.Context()); n != 0 || err != nil || len(d.comet.sent) > 0 {
		t.Errorf("%d received, %d offered, %v", n, len(d.comet.sent), err)
	}
	if _, err := d.Submit(t.Context(), "test", []byte("garbage")); code(err) != v1.CodeMalformedCiphertext {
		t.Errorf("garbage: %v", err)
	}
	ready(true, false)
	shows(1, 0, 0)
	d.comet.peers = 0
	ready(false, false, "no_peers")
	d.comet.syncing = true
	ready(false, false, "catching_up", "no_peers")
	if _, err := d.submit(t, first); code(err) != v1.CodeNotSynced {
		t.Errorf("while catching up: %v", err)
	}
	d.comet.syncing, d.comet.peers = false, 3
	if got := d.Health(t.Context()).Node; got != "dora" {
		t.Errorf("it is called %q", got)
	}

	c.Reshare(3, append(c.Secrets[:3:3], newcomer)...) // member 4 of epoch 2
	d.follow()
	ready(false, true, "missing_share")
	shows(2, 4, 0)
	d.n.opener.setShare(2, c.EpochShares(2)[3])
	ready(true, true)
	shows(2, 4, 1)
	if got := d.Health(t.Context()).Node; got != "member-5" {
		t.Errorf("it is called %q", got)
	}
	second := c.Seal("second")
	tx, err := d.submit(t, second)
	c.Must(err)
	if tx.Receipt.Epoch != 2 || tx.Receipt.Member != 4 {
		t.Errorf("a receipt of member %d in epoch %d", tx.Receipt.Member, tx.Receipt.Epoch)
	}
	c.Must(commitreveal.VerifyReceipt(d.n.self, receiptOf(t, tx.Receipt)))

	c.Reshare(3, append(c.Secrets[:3:3], c.Newcomers(1)...)...) // it left
	d.follow()
	ready(true, false)
	shows(3, 0, 0)
	if _, err := d.submit(t, c.Seal("third")); code(err) != v1.CodeNotInOffice {
		t.Errorf("after it left: %v", err)
	}
	again, err := d.submit(t, second)
	c.Must(err)
	if diff := cmp.Diff(text(t, tx), text(t, again)); diff != "" {
		t.Errorf("another answer after it left: %s", diff)
	}
	d.comet.sent = nil // what it promised is offered on
	c.Must(d.n.intake.offerOlder(t.Context(), c.State.Height(), 1<<62))
	if len(d.comet.sent) != 1 || !bytes.Equal(d.comet.sent[0], ordering.CiphertextTx(second.Bytes())) {
		t.Errorf("%d transactions offered", len(d.comet.sent))
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func receiptOf(t *testing.T, r *v1.Receipt) *commitreveal.Receipt {
	t.Helper()
	out := new(commitreveal.Receipt)
	if err := out.UnmarshalJSON([]byte(text(t, r))); err != nil {
		t.Fatal(err)
	}
	return out
}

// Keys, committees, ceremonies and transcripts over two successions.
func TestSuccessionsAreShown(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	first := c.State.Ceremony()
	members := c.Secrets
	c.Reshare(4, append(c.Secrets[1:], c.Newcomers(2)...)...)
	c.Block(ordering.Proposal{Txs: c.SealTxs("keeps epoch 2 here")})
	old := c.State.Committee().Key.ID()
	c.Rotate(30, 3, c.Secrets[:4]...)
	d := newDesk(t, c, members[3])
	ctx := t.Context()

	keys, err := d.EncryptionKeys(ctx)
	c.Must(err)
	office := c.State.Office()
	if len(keys.Keys) != 2 || keys.Keys[0].Epoch != 3 || keys.Keys[0].ValidUntil != nil || keys.Keys[0].ValidFrom != office.Since+1 ||
		keys.Keys[1].Epoch != 2 || !bytes.Equal(keys.Keys[1].KeyID, old[:]) || *keys.Keys[1].ValidUntil != office.Since+30 {
		t.Errorf("keys %+v", keys.Keys)
	}
	committee, err := d.Committee(ctx)
	c.Must(err)
	if committee.Epoch != 3 || committee.Change != v1.ChangeRotate || committee.Since != office.Since || len(committee.Members) != 4 {
		t.Errorf("committee %+v", committee)
	}

	all, err := d.Committees(ctx, 0, 100)
	c.Must(err)
	var before *keygen.Certificate
	for i, r := range all.Committees {
		cert, err := keygen.ParseCertificate(r.Certificate)
		c.Must(err)
		if before != nil {
			c.Must(keygen.VerifySuccession(cert, before))
		}
		before = cert
		last := i == len(all.Committees)-1
		if r.Epoch != uint64(i+1) || (r.Until == nil) != last || !last && *r.Until != all.Committees[i+1].Since {
			t.Errorf("committee %+v", r)
		}
	}
	if len(all.Committees) != 3 || all.Next != nil || all.Height != c.State.Height() {
		t.Errorf("%d committees, next %v", len(all.Committees), all.Next)
	}
	page, err := d.Committees(ctx, 2, 1)
	c.Must(err)
	if len(page.Committees) != 1 || page.Committees[0].Change != v1.ChangeReshare || page.Next == nil || *page.Next != 3 {
		t.Errorf("page %+v", page)
	}

	list, err := d.Ceremonies(ctx, "", 100)
	c.Must(err)
	if len(list.Ceremonies) != 3 || list.Next != nil || list.Ceremonies[0].Epoch != 3 || list.Ceremonies[0].Overlap != 30 || *list.Ceremonies[0].PreviousEpoch != 2 ||
		list.Ceremonies[1].Epoch != 2 || list.Ceremonies[1].Change != v1.ChangeReshare ||
		list.Ceremonies[2].Epoch != 1 || list.Ceremonies[2].Change != v1.ChangeFirst || list.Ceremonies[2].PreviousEpoch != nil {
		t.Errorf("ceremonies %+v", list.Ceremonies)
	}
	shown, err := d.Ceremony(ctx, list.Ceremonies[1].ID.String())
	c.Must(err)
	if len(shown.Status) != 9 || shown.Status[4].Role != v1.RoleMember || shown.Status[5].Role != v1.RolePrevious || shown.Status[5].Index != 6 ||
		!bytes.Equal(shown.Status[5].Identity, members[0].Member("").Identity) || shown.Certificate == nil {
		t.Errorf("ceremony %+v", shown)
	}

	wire, err := d.Transcript(ctx, shown.ID.String())
	c.Must(err)
	state, err := keygen.ParseState(wire)
	c.Must(err)
	share, err := keygen.RecoverShare(members[3], state)
	c.Must(err)
	if !keyMatches(state.Certificate().Committee, share) {
		t.Error("the share that the transcript gives does not fit")
	}
	// The state has forgotten the first committee, and the node has not.
	gone := first.Ceremony()
	if c.State.Tenure(1) != nil {
		t.Fatal("the test is wrong: the first committee is needed")
	}
	wire, err = d.Transcript(ctx, v1.Hex(gone[:]).String())
	c.Must(err)
	if old, err := keygen.ParseState(wire); err != nil || old.Hash() != first.Hash() {
		t.Errorf("the first committee's: %v", err)
	} else if share, err := keygen.RecoverShare(members[0], old); err != nil || !keyMatches(first.Certificate().Committee, share) {
		t.Errorf("what it gives: %v", err)
	}
	if _, err := d.Transcript(ctx, v1.Hex(make([]byte, 32)).String()); code(err) != v1.CodeNotFound {
		t.Errorf("nobody's: %v", err)
	}

	// Words to a ceremony that another followed come too late; a proposal follows the newest.
	votes, err := keygen.Votes(members[3], state.Terms(), keygen.KindAbort)
	c.Must(err)
	abort, err := votes[0].MarshalBinary()
	c.Must(err)
	_, err = d.Relay(ctx, shown.ID.String(), abort)
	if e := new(httpapi.Error); !errors.As(err, &e) || e.Extra["reason"] != v1.ReasonOver {
		t.Errorf("an abort of a former ceremony: %v", err)
	}
	m, err := keygen.ProposeTerms(c.Secrets[0], c.Next(keygen.ChangeReshare, 3, c.Secrets...))
	c.Must(err)
	proposal, err := m.MarshalBinary()
	c.Must(err)
	taken, err := d.Relay(ctx, list.Ceremonies[0].ID.String(), proposal)
	c.Must(err)
	if taken.Kind != "proposal" || len(d.comet.sent) != 1 {
		t.Errorf("%+v, %d sent", taken, len(d.comet.sent))
	}
}

// A ciphertext for a key that is gone is refused with the keys that are not.
func TestRetiredKeyAtTheDoor(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	old := c.State.Committee().Key
	c.Rotate(2, 3, c.Secrets...)
	d := newDesk(t, c, c.Secrets[0])
	refused := func(want string, ct *threshold.Ciphertext, keys int) {
		t.Helper()
		_, err := d.submit(t, ct)
		var e *httpapi.Error
		if !errors.As(err, &e) || e.Code != want {
			t.Fatalf("%v, want %s", err, want)
		}
		if ids, ok := e.Extra["key_ids"].([]v1.Hex); !ok || len(ids) != keys {
			t.Errorf("%s: keys %v", want, e.Extra["key_ids"])
		}
	}
	refused(v1.CodeKeyRetiring, c.SealTo(old, "x", c.State.Height()+50), 2)
	for range 3 {
		c.Block(ordering.Proposal{})
	}
	d.follow()
	refused(v1.CodeKeyRetired, c.SealTo(old, "x", c.State.Height()+50), 1)
}

// The bundle begins with the terms of the first committee, from which the later ones follow.
func TestExportOverSuccessions(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("one")})
	c.Reshare(3, append(c.Secrets[1:], c.Newcomers(1)...)...)
	c.Block(ordering.Proposal{Txs: c.SealTxs("two"), Openings: c.OpenAll()})
	c.Block(ordering.Proposal{Openings: c.OpenAll()})
	d := newDesk(t, c, c.Secrets[0])
	var b bytes.Buffer
	c.Must(d.Export(t.Context(), &b))
	header, _, _ := bytes.Cut(b.Bytes(), []byte("\n"))
	var h struct {
		Terms v1.Hex `json:"terms"`
	}
	c.Must(json.Unmarshal(header, &h))
	terms, err := keygen.ParseTerms(h.Terms)
	c.Must(err)
	if terms.Hash() != c.Genesis.Terms.Hash() {
		t.Errorf("the terms of epoch %d", terms.Epoch)
	}
}
