package ordering_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// The first attempt fails, the second one succeeds, and ciphertexts flow. A node that
// restarts after every block agrees, and still knows of the first.
func TestSecondAttempt(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Fail()
	if p := c.State.Ceremony().Phase(); p != keygen.PhaseFailed || c.State.Committee() != nil || c.State.Busy() {
		t.Fatalf("%s, busy %v", p, c.State.Busy())
	}
	first := c.State.Ceremony()
	c.Retry(2, c.State.Height()+5, 1, 2, 3, 4)
	if p := c.State.Ceremony().Phase(); p != keygen.PhaseAccepted || !c.State.Busy() {
		t.Fatalf("after the consent of all: %s", p)
	}
	c.Ceremony()
	r := c.Block(ordering.Proposal{Txs: c.SealTxs("second time lucky")})
	if r.Batch == nil {
		t.Fatal("nothing was ordered")
	}
	r = c.Block(ordering.Proposal{Openings: c.Open(1, 2, 4)})
	if diff := cmp.Diff([]string{"second time lucky"}, sim.Plaintexts(r.Reveals[0])); diff != "" {
		t.Error(diff)
	}
	if err := keygen.VerifyCertificate(c.State.Ceremony().Certificate(), c.Genesis.Terms.Retry(c.State.Ceremony().Terms().StartHeight)); err != nil {
		t.Error(err)
	}

	s, err := ordering.New(c.Genesis)
	c.Must(err)
	w := sim.NewRows()
	var second *ordering.State
	for _, b := range c.Blocks {
		_, r, err := ordering.Step(s, ordering.NewVerifier(0), b)
		c.Must(err)
		w.Add(r)
		if s, err = ordering.Restore(c.Genesis, r.Snapshot, w.Restore()); err != nil {
			t.Fatalf("height %d: %v", b.Height, err)
		}
		if s.Ceremony().Terms().Attempt == 2 && !s.Ceremony().Done() {
			second = s
		}
	}
	if s.AppHash() != c.State.AppHash() {
		t.Error("app hashes differ")
	}
	if past := s.PastCeremonies(); len(past) != 0 {
		t.Errorf("%d ceremonies in vain are kept after one has succeeded", len(past))
	}
	// In the middle of the second attempt the first is known, also after a restart.
	past := second.PastCeremonies()
	if len(past) != 1 || past[0].Terms.Hash() != first.Ceremony() || past[0].Outcome != keygen.PhaseFailed || past[0].EndedIn != keygen.PhaseDealing {
		t.Fatalf("past: %+v", past)
	}
	if diff := cmp.Diff(first.Blame(), past[0].Blame); diff != "" || len(past[0].Blame) != 4 {
		t.Errorf("blame: %s", diff)
	}
}

// A past that differs makes another app hash, and one that was changed is refused.
func TestPastIsInTheAppHash(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Fail().Retry(1, 20, 1, 2)
	good := c.Rows.Restore()
	s, err := ordering.Restore(c.Genesis, c.Rows.Last.Snapshot, good)
	c.Must(err)
	if s.AppHash() != c.State.AppHash() {
		t.Fatal("restored to another app hash")
	}
	// The blame of the past record ends with the height of its last fault.
	record, err := c.State.PastCeremonies()[0].MarshalBinary()
	c.Must(err)
	at := bytes.Index(good.Ceremony, record)
	if at < 0 {
		t.Fatal("the record is not in the encoding")
	}
	for _, i := range []int{at, at + len(record)/2, at + len(record) - 1, at + len(record) - 100} {
		bad := good
		bad.Ceremony = slices.Clone(good.Ceremony)
		bad.Ceremony[i] ^= 1
		if _, err := ordering.Restore(c.Genesis, c.Rows.Last.Snapshot, bad); err == nil {
			t.Errorf("a change at byte %d is believed", i-at)
		}
	}
}

// Whose proposal is taken, and when: at the door and in a block alike.
func TestProposals(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams())
	propose := func(by int, change func(*keygen.Terms)) []byte {
		terms := c.State.Ceremony().Terms().Retry(c.State.Height() + 5)
		if change != nil {
			change(terms)
		}
		return c.ProposalTx(c.Secrets[by-1], terms)
	}
	taken := func(tx []byte) bool {
		t.Helper()
		door := ordering.CheckTx(c.State, c.Verifier, tx)
		block := ordering.Check(c.State, c.Verifier, ordering.Block{Height: c.State.Height() + 1, Txs: [][]byte{tx}})
		if (door == nil) != (block == nil) {
			t.Errorf("the door says %v, the block %v", door, block)
		}
		if n := len(ordering.Propose(c.State, c.Verifier, ordering.Proposal{Txs: [][]byte{tx}, MaxBytes: 1 << 20})); (n == 1) != (door == nil) {
			t.Errorf("the proposer takes %d", n)
		}
		return door == nil
	}
	if taken(propose(1, nil)) {
		t.Error("a second attempt while the first runs")
	}
	c.Fail()
	for name, change := range map[string]func(*keygen.Terms){
		"the same attempt":  func(x *keygen.Terms) { x.Attempt-- },
		"a later attempt":   func(x *keygen.Terms) { x.Attempt++ },
		"another epoch":     func(x *keygen.Terms) { x.Epoch++ },
		"another chain":     func(x *keygen.Terms) { x.ChainID = "other" },
		"another threshold": func(x *keygen.Terms) { x.Threshold++ },
		"fewer members":     func(x *keygen.Terms) { x.Members = x.Members[:3] },
		"members swapped":   func(x *keygen.Terms) { x.Members[0], x.Members[1] = x.Members[1], x.Members[0] },
		"too soon":          func(x *keygen.Terms) { x.StartHeight = c.State.Height() + 2 },
		"too late":          func(x *keygen.Terms) { x.StartHeight = 1 << 40 },
	} {
		if taken(propose(1, change)) {
			t.Errorf("%s: taken", name)
		}
	}
	forged := propose(1, nil)
	forged[len(forged)-1] ^= 1
	if taken(forged) {
		t.Error("a forged one is taken")
	}
	for name, tx := range map[string][]byte{
		"as it should be": propose(3, nil),
		"longer phases":   propose(3, func(x *keygen.Terms) { x.Phases = keygen.EqualPhases(50) }),
	} {
		if !taken(tx) {
			t.Errorf("%s: not taken", name)
		}
	}
	c.Retry(3, c.State.Height()+4, 1, 2, 3, 4).Ceremony()
	if taken(propose(1, nil)) {
		t.Error("another attempt after one has succeeded")
	}
}

// Attempts that are rejected, or to which not all consent, count; the next one may succeed.
func TestThirdAttempt(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Fail()
	c.Retry(1, c.State.Height()+4, 1, 2, 3).Fail()
	if p := c.State.Ceremony().Phase(); p != keygen.PhaseRejected {
		t.Fatal(p)
	}
	c.Retry(4, c.State.Height()+4, 1, 2)
	c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindRejection, c.Secrets[2])})
	if p := c.State.Ceremony().Phase(); p != keygen.PhaseRejected {
		t.Fatal(p)
	}
	c.Retry(4, c.State.Height()+4, 4, 3, 2, 1)
	var got []string
	for _, r := range c.State.PastCeremonies() {
		got = append(got, r.Outcome.String())
	}
	if diff := cmp.Diff([]string{"failed", "rejected", "rejected"}, got); diff != "" || c.State.Ceremony().Terms().Attempt != 4 {
		t.Error(diff)
	}
	c.Ceremony()
}
