package ordering_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

func chargeOf(t testing.TB, tx []byte) ordering.Charge {
	t.Helper()
	c, ok := ordering.ChargeOf(tx)
	if !ok {
		t.Fatal("no charge in the transaction")
	}
	return c
}

// Each kind of evidence gets into the log once, where the specification says, with its body; then it is refused everywhere.
func TestMisbehaviourIsRecordedOnce(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	var txs, again [][]byte
	for _, e := range c.Misdeeds(2, "first") {
		txs = append(txs, c.Accuse(e))
	}
	for _, e := range c.Misdeeds(2, "second") {
		again = append(again, c.Accuse(e))
	}
	for i, tx := range txs {
		c.Must(ordering.CheckTx(c.State, ordering.NewVerifier(0), tx))
		c.Must(ordering.RecheckTx(c.State, ordering.NewVerifier(0), tx))
		if c.State.HasRecorded(chargeOf(t, tx)) {
			t.Errorf("charge %d is in the state before any block", i)
		}
	}
	var got []commitreveal.MisbehaviourEntry
	for range len(txs)/ordering.MaxEvidenceTxs + 1 {
		r := c.Block(ordering.Proposal{Txs: slices.Concat(txs, again)})
		if len(r.Misbehaviour) > ordering.MaxEvidenceTxs {
			t.Errorf("%d pieces of evidence in a block", len(r.Misbehaviour))
		}
		for i, m := range r.Misbehaviour {
			if e := entries(t, r)[i]; e != commitreveal.Entry(m.Entry) || m.Entry.Evidence != commitreveal.EvidenceHash(m.Body) || m.Entry.Height != r.Height {
				t.Errorf("entry %+v of the block for %+v", e, m.Entry)
			}
			got = append(got, m.Entry)
		}
	}
	if len(got) != len(txs) {
		t.Fatalf("%d entries for %d charges", len(got), len(txs))
	}
	for i, tx := range txs {
		charge := chargeOf(t, tx)
		if charge != (ordering.Charge{Epoch: 1, Member: 2, Kind: ordering.EvidenceKind(i + 1)}) {
			t.Errorf("charge %d is %+v", i, charge)
		}
		if e := got[i]; e.Epoch != 1 || e.Member != 2 || e.Kind != charge.Kind.String() || !c.State.HasRecorded(charge) {
			t.Errorf("charge %+v is recorded as %+v", charge, e)
		}
		for _, tx := range [][]byte{tx, again[i]} {
			for name, check := range map[string]func(*ordering.State, *ordering.Verifier, []byte) error{"check": ordering.CheckTx, "recheck": ordering.RecheckTx} {
				if code := rejection(check(c.State, ordering.NewVerifier(0), tx)); code != ordering.CodeEvidenceRecorded {
					t.Errorf("%s of a charge that is recorded: %s", name, code)
				}
			}
		}
	}
	if kind, ok := ordering.EvidenceKindOf("split_view"); ok {
		t.Errorf("split_view is kind %d", kind)
	}
}

// The entries of a block stand in the order reveals, misbehaviour, committee, commit.
func TestMisbehaviourStandsAfterRevealsAndBeforeTheBatch(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("a")})
	txs := slices.Concat(c.SealTxs("b"), [][]byte{c.Accuse(c.LogFork(1, "")), c.Accuse(c.BadPoint(4, ""))})
	r := c.Block(ordering.Proposal{Txs: txs, Openings: c.OpenAll()})
	var kinds []string
	for _, e := range entries(t, r) {
		kinds = append(kinds, fmt.Sprintf("%T", e))
	}
	want := []string{"commitreveal.RevealEntry", "commitreveal.MisbehaviourEntry", "commitreveal.MisbehaviourEntry", "commitreveal.CommitEntry"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if r.Batch.Batch.Checkpoint.LogSize != c.State.Log().Size() {
		t.Error("the commit entry is not the last of the block")
	}
}

// misplaced gives proposals that honest members vote against, each made of a good one.
func misplaced(c *sim.Chain) map[string][][]byte {
	a, b, third := c.Accuse(c.LogFork(1, "")), c.Accuse(c.BadPoint(3, "")), c.Accuse(c.BadPoint(4, ""))
	same := c.Accuse(c.LogFork(1, "another fork"))
	honest := ordering.Propose(c.State, c.Verifier, ordering.Proposal{MaxBytes: 4 << 20, Txs: [][]byte{a}, Openings: c.OpenAll(), Announcements: c.Announce()})
	at := slices.IndexFunc(honest, func(tx []byte) bool { return bytes.Equal(tx, a) })
	return map[string][][]byte{
		"twice":                 slices.Insert(slices.Clone(honest), at, a),
		"one charge twice":      slices.Insert(slices.Clone(honest), at, same),
		"too many":              slices.Insert(slices.Clone(honest), at, b, third),
		"before the openings":   append([][]byte{a}, honest[:at]...),
		"evidence of two kinds": slices.Insert(slices.Clone(honest), at, append([]byte{a[0], a[1], byte(ordering.EvidenceReceiveTimesFork)}, a[3:]...)),
		"no body":               slices.Insert(slices.Clone(honest), at, a[:11]),
		"trailing byte":         slices.Insert(slices.Clone(honest), at, append(slices.Clone(b), 0)),
	}
}

func TestProposalsWithBadEvidenceAreRejected(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("a", "b")})
	for name, txs := range misplaced(c) {
		b := ordering.Block{Height: c.State.Height() + 1, Txs: txs}
		if err := ordering.Check(c.State, ordering.NewVerifier(0), b); err == nil {
			t.Errorf("%s: accepted", name)
		}
		// Should a quorum decide it all the same, all replicas do the same with it: nothing that is refused is recorded.
		_, x, errX := ordering.Step(c.State, ordering.NewVerifier(0), b)
		_, y, errY := ordering.Step(c.State, c.Verifier, b)
		c.Must(errors.Join(errX, errY))
		if x.AppHash != y.AppHash || len(x.Misbehaviour) > ordering.MaxEvidenceTxs {
			t.Errorf("%s: decided, it gives %d entries and app hashes %x and %x", name, len(x.Misbehaviour), x.AppHash, y.AppHash)
		}
	}
	// Evidence stands before messages of a ceremony and before ciphertexts.
	terms := c.Next(keygen.ChangeReshare, 3, c.Secrets...)
	a, message := c.Accuse(c.LogFork(1, "")), c.ProposalTx(c.Secrets[0], terms)
	for name, txs := range map[string][][]byte{"after a message": {message, a}, "after a ciphertext": {c.SealTxs("x")[0], a}} {
		if err := ordering.Check(c.State, ordering.NewVerifier(0), ordering.Block{Height: c.State.Height() + 1, Txs: txs}); rejection(err) != "proposal" {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.Must(ordering.Check(c.State, ordering.NewVerifier(0), ordering.Block{Height: c.State.Height() + 1, Txs: [][]byte{a, message}}))
}

// Nobody is accused of what somebody else did, or nobody did.
func TestNobodyIsFramed(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	committee, terms := c.State.Committee(), c.State.Office().Terms()
	identity := c.Secrets[2].Identity()
	share := func(change func(b *ordering.OrderedBatch, m *commitreveal.ShareMessage)) ordering.Evidence {
		c.Block(ordering.Proposal{Txs: c.SealTxs(fmt.Sprint("x", c.State.Height()))})
		b := c.State.Pending()[0]
		m := c.ShareOf(b, 2, 2, b.Batch.Checkpoint) // an honest share of a batch on the chain
		change(b, &m)
		e, err := commitreveal.NewBadPoint(m, b.Ciphertexts, 0)
		c.Must(err)
		c.Block(ordering.Proposal{Openings: c.OpenAll()})
		body, err := commitreveal.MarshalEvidence(e)
		c.Must(err)
		return ordering.Evidence{Kind: ordering.EvidenceBadPoint, Epoch: 1, Body: body}
	}
	statements := func(change func(s *fair.Statement)) ordering.Evidence {
		a := fair.Statement{ChainID: sim.ChainID, Height: 9, Member: 2, Sequence: 5, Head: commitreveal.Hash{1}}
		b := a
		b.Head = commitreveal.Hash{2}
		c.Must(fair.SignStatement(c.Secrets[1].Identity(), &a))
		change(&b)
		e := &fair.Equivocation{A: a, B: b}
		body, err := e.MarshalBinary()
		c.Must(err)
		return ordering.Evidence{Kind: ordering.EvidenceReceiveLogFork, Epoch: 1, Body: body}
	}
	deals := c.TwoDeals(2, "")
	parsed, err := keygen.ParseEvidence(deals.Body)
	c.Must(err)
	parsed.Member = 3
	framed, err := parsed.MarshalBinary()
	c.Must(err)
	epoch := c.BadPoint(2, "")
	epoch.Epoch = 2
	tests := map[string]ordering.Evidence{
		"an honest share": share(func(*ordering.OrderedBatch, *commitreveal.ShareMessage) {}),
		"a share that somebody else signed in its name": share(func(_ *ordering.OrderedBatch, m *commitreveal.ShareMessage) {
			m.Share.Points[0][0] ^= 1
			c.Must(m.Sign(identity))
		}),
		"a share that was changed after it was signed": share(func(_ *ordering.OrderedBatch, m *commitreveal.ShareMessage) { m.Share.Points[0][5] ^= 1 }),
		"a share of another chain": share(func(_ *ordering.OrderedBatch, m *commitreveal.ShareMessage) {
			m.ChainID = "another-chain"
			m.Share.Points[0][5] ^= 1
			c.Must(m.Sign(c.Secrets[1].Identity()))
		}),
		"a head that somebody else signed": statements(func(s *fair.Statement) { c.Must(fair.SignStatement(identity, s)) }),
		"a head that nobody signed":        statements(func(*fair.Statement) {}),
		"somebody else's deals":            {Kind: ordering.EvidenceCeremony, Epoch: 1, Body: framed},
		"a share of another epoch":         epoch,
	}
	for name, e := range tests {
		if _, err := ordering.VerifyEvidence(committee, terms, e); err == nil {
			t.Errorf("%s: it holds", name)
		}
		tx := c.Accuse(e)
		if code := rejection(ordering.CheckTx(c.State, ordering.NewVerifier(0), tx)); code != ordering.CodeEvidence && !(code == ordering.CodeEvidenceEpoch && e.Epoch != 1) {
			t.Errorf("%s: %s", name, code)
		}
		if err := ordering.Check(c.State, ordering.NewVerifier(0), ordering.Block{Height: c.State.Height() + 1, Txs: [][]byte{tx}}); err == nil {
			t.Errorf("%s: a proposal with it is accepted", name)
		}
	}
	for _, e := range c.Misdeeds(2, "") {
		if member, err := ordering.VerifyEvidence(committee, terms, e); err != nil || member != 2 {
			t.Errorf("%s: against member %d: %v", e.Kind, member, err)
		}
	}
}

// One byte more or less, or another one, and evidence proves nothing or the same against the same member.
func TestMutatedEvidence(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	rng := rand.New(rand.NewPCG(1, 2))
	v := ordering.NewVerifier(1 << 20)
	for _, e := range c.Misdeeds(2, "") {
		tx := c.Accuse(e)
		want := chargeOf(t, tx)
		for range 60 {
			mutant := slices.Clone(tx)
			switch rng.IntN(4) {
			case 0:
				mutant = mutant[:rng.IntN(len(mutant))]
			case 1:
				mutant = slices.Insert(mutant, 1+rng.IntN(len(mutant)-1), byte(rng.IntN(256)))
			default:
				mutant[rng.IntN(len(mutant))] ^= 1 << rng.IntN(8)
			}
			if bytes.Equal(mutant, tx) || len(mutant) > 0 && mutant[0] != tx[0] {
				continue
			}
			if err := ordering.CheckTx(c.State, v, mutant); err == nil && chargeOf(t, mutant) != want {
				t.Errorf("%s: a mutant accuses %+v", e.Kind, chargeOf(t, mutant))
			}
		}
	}
}

// What a member can do wrong gives one entry for each kind and epoch, however much evidence there is, and it takes
// no room from others for long.
func TestFloodOfEvidence(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	var flood [][]byte
	for i := range 20 {
		flood = append(flood, c.Accuse(c.LogFork(2, fmt.Sprint(i))), c.Accuse(c.TimesFork(2, fmt.Sprint(i))))
	}
	flood = append(flood, c.Accuse(c.BadPoint(3, "")))
	recorded := 0
	for range 4 {
		r := c.Block(ordering.Proposal{Txs: flood})
		recorded += len(r.Misbehaviour)
		flood = slices.DeleteFunc(flood, func(tx []byte) bool { return ordering.RecheckTx(c.State, c.Verifier, tx) != nil })
	}
	if recorded != 3 || len(flood) != 0 {
		t.Errorf("%d entries, %d transactions left in the mempool", recorded, len(flood))
	}
	// An idle chain rests again.
	before := c.State.AppHash()
	c.Block(ordering.Proposal{})
	if c.State.AppHash() != before {
		t.Error("the chain does not rest")
	}
}

// With the log full to the brim, evidence gets in, and openings go on.
func TestEvidenceFitsBesideEverything(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	a, b := c.Accuse(c.LogFork(1, "")), c.Accuse(c.BadPoint(2, ""))
	c.Block(ordering.Proposal{Txs: c.SealTxs("x")})
	room := int64(len(a) + len(b) + 20)
	txs := ordering.Propose(c.State, c.Verifier, ordering.Proposal{MaxBytes: room, Txs: [][]byte{a, b}, Openings: c.OpenAll()})
	if len(txs) != 2 {
		t.Errorf("%d transactions in a block that has room for the evidence", len(txs))
	}
	txs = ordering.Propose(c.State, c.Verifier, ordering.Proposal{MaxBytes: int64(len(a) + 10), Txs: [][]byte{b, a}})
	if len(txs) != 1 || !bytes.Equal(txs[0], a) {
		t.Errorf("%d transactions in a block that has room for the smaller one", len(txs))
	}
}

// The limit holds everything that honest nodes keep: they take shares of at most max_batch points.
func TestEvidenceThatNodesKeepFits(t *testing.T) {
	const maxBatch = 1024 // see Params
	p := ordering.DefaultParams()
	p.MaxBatch = maxBatch + 1
	g := sim.New(t, 4, ordering.DefaultParams()).Genesis
	other := *g
	other.Params, other.Terms.Limits = p, p.Hash()
	if err := other.Validate(); err == nil {
		t.Fatal("max_batch has another limit")
	}
	share := commitreveal.MaxShareMessageSize(maxBatch)
	head := 1 + 1 + 4 + share
	checkpoint := 2*commitreveal.HashSize + 1 + threshold.MaxChainID + 100
	deal := 36 << 10 // keygen's bound of a message in a ceremony
	for name, size := range map[string]int{
		"bad_point":          head + 4 + 4 + 4 + int(ordering.MaxCiphertext(threshold.MaxSizeClass)) + 1 + 17*commitreveal.HashSize,
		"bad_signature":      head + checkpoint + threshold.PointSize,
		"conflicting_shares": head + 4 + share,
		"ceremony":           100 + 2*deal,
	} {
		if size > commitreveal.MaxEvidenceSize {
			t.Errorf("%s can have %d bytes, a block carries %d", name, size, commitreveal.MaxEvidenceSize)
		}
	}
	for _, n := range []int{0, commitreveal.MaxEvidenceSize + 1} {
		if _, err := ordering.EvidenceTx(ordering.Evidence{Kind: ordering.EvidenceBadPoint, Epoch: 1, Body: make([]byte, n)}); err == nil {
			t.Errorf("a transaction with evidence of %d bytes", n)
		}
	}
	if _, err := ordering.EvidenceTx(ordering.Evidence{Kind: ordering.EvidenceCeremony + 1, Epoch: 1, Body: []byte("x")}); err == nil {
		t.Error("a transaction of an unknown kind of evidence")
	}
}

// Whoever replays the blocks, also with a restart after each, has the same charges; they go when the committee goes, and
// evidence against members of a committee that is gone is refused.
func TestChargesLiveAsLongAsTheCommittee(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	early := c.Accuse(c.BadSignature(3, "never recorded"))
	recorded := c.Accuse(c.BadPoint(2, ""))
	c.Block(ordering.Proposal{Txs: [][]byte{recorded, c.Accuse(c.TwoDeals(4, ""))}})
	c.Block(ordering.Proposal{})
	first := chargeOf(t, recorded)

	// While a batch waits for the first committee it stays, and so do the charges.
	members := append(slices.Clone(c.Secrets), c.Newcomers(1)...)
	terms := c.Next(keygen.ChangeReshare, 4, members...)
	c.Agree(terms, members...)
	for c.State.Ceremony().Phase() != keygen.PhaseStoring {
		c.Block(ordering.Proposal{Txs: c.CeremonyTxs()})
	}
	c.Block(ordering.Proposal{Txs: c.SealTxs("late")})
	c.Ceremony()
	if c.State.Tenure(1) == nil || !c.State.HasRecorded(first) {
		t.Fatal("the first committee is gone although it has a batch to open")
	}
	c.Must(ordering.CheckTx(c.State, c.Verifier, early))
	second := c.Accuse(c.LogFork(5, ""))
	c.Block(ordering.Proposal{Txs: [][]byte{second}})
	c.Block(ordering.Proposal{Openings: c.OpenAll()})
	if c.State.Tenure(1) != nil || c.State.HasRecorded(first) || !c.State.HasRecorded(chargeOf(t, second)) {
		t.Error("charges do not go with their committee")
	}
	for _, tx := range [][]byte{early, recorded} {
		if code := rejection(ordering.RecheckTx(c.State, c.Verifier, tx)); code != ordering.CodeEvidenceEpoch {
			t.Errorf("evidence against a member of a committee that is gone: %s", code)
		}
	}

	s, err := ordering.New(c.Genesis)
	c.Must(err)
	w := sim.NewRows()
	for i, b := range c.Blocks {
		next, r, err := ordering.Step(s, ordering.NewVerifier(0), b)
		c.Must(err)
		if r.AppHash != c.Results[i].AppHash {
			t.Fatalf("block %d gives another app hash", b.Height)
		}
		if diff := cmp.Diff(c.Results[i].Misbehaviour, r.Misbehaviour); diff != "" {
			t.Errorf("block %d: %s", b.Height, diff)
		}
		w.Add(r)
		s, err = ordering.Restore(c.Genesis, r.Snapshot, w.Restore())
		c.Must(err)
		if s.HasRecorded(first) != next.HasRecorded(first) {
			t.Fatalf("block %d: the restored state has other charges", b.Height)
		}
	}
}

// A snapshot with other charges is refused.
func TestRestoreRefusesOtherCharges(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	r := c.Block(ordering.Proposal{Txs: [][]byte{c.Accuse(c.LogFork(1, "")), c.Accuse(c.LogFork(2, ""))}})
	const size = 13 // of a charge
	end := len(r.Snapshot)
	count := binary.BigEndian.Uint32(r.Snapshot[end-2*size-4:])
	if count != 2 {
		t.Fatalf("the snapshot ends otherwise: %d charges", count)
	}
	for name, change := range map[string]func(b []byte) []byte{
		"swapped": func(b []byte) []byte {
			return slices.Concat(b[:end-2*size], b[end-size:], b[end-2*size:end-size])
		},
		"twice":       func(b []byte) []byte { copy(b[end-size:], b[end-2*size:end-size]); return b },
		"member":      func(b []byte) []byte { b[end-2] = 3; return b },
		"no member":   func(b []byte) []byte { b[end-2] = 9; return b },
		"epoch":       func(b []byte) []byte { b[end-6] = 2; return b },
		"kind":        func(b []byte) []byte { b[end-1] = 0; return b },
		"cut":         func(b []byte) []byte { return b[:end-1] },
		"one missing": func(b []byte) []byte { b[end-2*size-1] = 1; return b[:end-size] },
		"more":        func(b []byte) []byte { return append(b, 0) },
	} {
		if _, err := ordering.Restore(c.Genesis, change(slices.Clone(r.Snapshot)), c.Rows.Restore()); !errors.Is(err, ordering.ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ordering.Restore(c.Genesis, r.Snapshot, c.Rows.Restore()); err != nil {
		t.Error(err)
	}
}

// FuzzEvidenceTx: whatever comes, it is refused or accuses somebody of the committee of something that the log does not have yet,
// and the transaction is the only one with that meaning.
func FuzzEvidenceTx(f *testing.F) {
	c := sim.New(f, 4, ordering.DefaultParams()).Ceremony()
	for _, e := range c.Misdeeds(2, "") {
		f.Add(c.Accuse(e)[1:])
	}
	f.Add([]byte{})
	f.Add(make([]byte, 11))
	v := ordering.NewVerifier(1 << 20)
	terms := c.State.Office().Terms()
	f.Fuzz(func(t *testing.T, body []byte) {
		tx := append([]byte{5}, body...)
		charge, ok := ordering.ChargeOf(tx)
		err := ordering.CheckTx(c.State, v, tx)
		block := ordering.Block{Height: c.State.Height() + 1, Txs: [][]byte{tx}}
		if rejected := ordering.Check(c.State, v, block) != nil; rejected != (err != nil) {
			t.Fatalf("mempool: %v, block: rejected %v", err, rejected)
		}
		if err != nil {
			return
		}
		if !ok || charge.Epoch != 1 || terms.Speaker(charge.Member) == nil {
			t.Fatalf("accepted: %+v", charge)
		}
		again, err := ordering.EvidenceTx(ordering.Evidence{Kind: charge.Kind, Epoch: charge.Epoch, Body: body[10:]})
		if err != nil || !bytes.Equal(again, tx) {
			t.Fatalf("another encoding: %v", err)
		}
	})
}
