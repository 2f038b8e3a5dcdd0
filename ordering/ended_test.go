package ordering_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// Every ceremony is in the result of the block that ended it, once, as it was then: also
// two of one block, and those that the state forgets.
func TestEnded(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams())
	want := []string{}
	ends := func(outcome keygen.Phase) {
		t.Helper()
		s := c.State.Ceremony()
		if s.Phase() != outcome {
			t.Fatalf("%s, want %s", s.Phase(), outcome)
		}
		want = append(want, fmt.Sprintf("%d: epoch %d attempt %d %s", c.State.Height(), s.Terms().Epoch, s.Terms().Attempt, outcome))
	}
	vote := func(by *keygen.MemberSecret, terms *keygen.Terms, k keygen.Kind) []byte {
		words, err := keygen.Votes(by, terms, k)
		c.Must(err)
		return c.Message(words[0])
	}

	c.Block(ordering.Proposal{})
	aborts := c.Votes(keygen.KindAbort, c.Secrets[:3]...)
	second := c.State.Ceremony().Terms().Retry(c.State.Height() + 5)
	height := c.State.Height() + 1
	r := c.Apply(append(aborts, c.ProposalTx(c.Secrets[1], second), vote(c.Secrets[2], second, keygen.KindRejection)))
	want = append(want, fmt.Sprintf("%d: epoch 1 attempt 1 aborted", height))
	ends(keygen.PhaseRejected)
	if len(r.Ended) != 2 || len(r.Ended[0].Aborting()) != 3 {
		t.Fatalf("%d ended in the block", len(r.Ended))
	}
	c.Retry(1, c.State.Height()+5, 1, 2, 3, 4).Fail()
	ends(keygen.PhaseFailed)
	c.Retry(1, c.State.Height()+5, 1, 2, 3, 4).Ceremony()
	ends(keygen.PhaseActive)
	c.Block(ordering.Proposal{})
	c.Agree(c.Next(keygen.ChangeReshare, 3, c.Secrets...), c.Secrets...).Fail()
	ends(keygen.PhaseFailed)
	c.Reshare(3, append(c.Secrets[1:], c.Newcomers(1)...)...)
	ends(keygen.PhaseActive)
	c.Rotate(1, 3, c.Secrets...)
	ends(keygen.PhaseActive)
	for range 3 {
		c.Block(ordering.Proposal{})
	}

	got := []string{}
	for _, r := range c.Results {
		for _, s := range r.Ended {
			got = append(got, fmt.Sprintf("%d: epoch %d attempt %d %s", r.Height, s.Terms().Epoch, s.Terms().Attempt, s.Phase()))
			wire, err := s.MarshalBinary()
			c.Must(err)
			again, err := keygen.ParseState(wire)
			c.Must(err)
			if again.Hash() != s.Hash() {
				t.Errorf("%s: another one when it is read", got[len(got)-1])
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := len(c.State.Tenures()) + len(c.State.PastCeremonies()); n >= len(got) {
		t.Fatalf("the test is wrong: the state knows %d of them", n)
	}

	// A node that replays the chain, also through its own snapshots, finds the same.
	s, w := c.Initial, sim.NewRows()
	for i, b := range c.Blocks {
		_, r, err := ordering.Step(s, ordering.NewVerifier(0), b)
		c.Must(err)
		if len(r.Ended) != len(c.Results[i].Ended) {
			t.Fatalf("height %d: %d ended, first %d", b.Height, len(r.Ended), len(c.Results[i].Ended))
		}
		for j, e := range r.Ended {
			if e.Hash() != c.Results[i].Ended[j].Hash() {
				t.Errorf("height %d: ceremony %d is another one", b.Height, j)
			}
		}
		w.Add(r)
		s, err = ordering.Restore(c.Genesis, r.Snapshot, w.Restore())
		c.Must(err)
	}
}
