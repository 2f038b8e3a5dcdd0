package pg_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// history is a chain with ceremonies that came to nothing, and with some that did not.
func history(t *testing.T) *sim.Chain {
	t.Helper()
	c := sim.New(t, 4, ordering.DefaultParams()).Fail()
	c.Retry(1, c.State.Height()+5, 1, 2).Fail()
	c.Retry(2, c.State.Height()+5, 1, 2, 3, 4).Ceremony()
	c.Agree(c.Next(keygen.ChangeReshare, 3, c.Secrets...), c.Secrets...)
	c.Block(ordering.Proposal{})
	c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindAbort, c.Secrets[:3]...)})
	return c.Reshare(3, append(c.Secrets[1:], c.Newcomers(1)...)...).Rotate(7, 3, c.Secrets...)
}

func begin(t *testing.T, c *sim.Chain) *pg.Store {
	t.Helper()
	s := open(t, pgtest.New(t))
	snapshot, err := c.Initial.Snapshot()
	c.Must(err)
	c.Must(s.InitChain(t.Context(), pg.Chain{ChainID: sim.ChainID, AppHash: c.Initial.AppHash(), Snapshot: snapshot}))
	return s
}

// Every ceremony that has ended is found again with all that was said in it, once,
// whatever became of it.
func TestCeremonies(t *testing.T) {
	c := history(t)
	s := begin(t, c)
	ctx := t.Context()
	none, err := s.Ceremonies(ctx, 0, 0, 0)
	c.Must(err)
	equal(t, "before the first block", none, []pg.Ceremony{})

	var want []pg.Ceremony // newest first
	for _, r := range c.Results {
		commit(t, s, r)
		commit(t, s, r) // the answer was lost
		for _, e := range r.Ended {
			terms := e.Terms()
			row := pg.Ceremony{ID: e.Ceremony(), Epoch: terms.Epoch, Attempt: terms.Attempt, Height: r.Height, Outcome: e.Phase().String(), Change: terms.Change.String(),
				PreviousEpoch: terms.Epoch - 1, Overlap: terms.Overlap, Threshold: 3, Members: 4, StartHeight: terms.StartHeight}
			want = slices.Insert(want, 0, row)
			one, err := s.Ceremony(ctx, row.ID)
			c.Must(err)
			equal(t, "one", *one, row)
			wire, err := e.MarshalBinary()
			c.Must(err)
			state, err := s.CeremonyState(ctx, row.ID)
			c.Must(err)
			if !bytes.Equal(state, wire) {
				t.Errorf("epoch %d attempt %d: another state", row.Epoch, row.Attempt)
			}
		}
	}
	var outcomes []string
	for _, w := range want {
		outcomes = append(outcomes, w.Outcome)
	}
	equal(t, "the test's", outcomes, []string{"active", "active", "aborted", "active", "rejected", "failed"})
	all, err := s.Ceremonies(ctx, 0, 0, 0)
	c.Must(err)
	equal(t, "all", all, want)

	page, err := s.Ceremonies(ctx, want[1].Epoch, want[1].Attempt, 2)
	c.Must(err)
	equal(t, "a page", page, want[2:4])
	page, err = s.Ceremonies(ctx, 2, 99, 0)
	c.Must(err)
	equal(t, "before one that runs", page, want[1:])
	page, err = s.Ceremonies(ctx, 1<<64-1, 1, 1)
	c.Must(err)
	equal(t, "no such epoch", page, want[:1])
	page, err = s.Ceremonies(ctx, 1, 1, 0)
	c.Must(err)
	equal(t, "before the first", page, []pg.Ceremony{})
	if _, err := s.Ceremony(ctx, [32]byte{1}); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
	if _, err := s.CeremonyState(ctx, [32]byte{1}); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
}

// A node that replays its blocks into an empty database has the same ceremonies.
func TestCeremoniesOfAReplay(t *testing.T) {
	c := history(t)
	first, second := begin(t, c), begin(t, c)
	state := c.Initial
	for i, b := range c.Blocks {
		next, r, err := ordering.Step(state, ordering.NewVerifier(0), b)
		c.Must(err)
		commit(t, first, c.Results[i])
		commit(t, second, r)
		state = next
	}
	one, err := first.Ceremonies(t.Context(), 0, 0, 0)
	c.Must(err)
	two, err := second.Ceremonies(t.Context(), 0, 0, 0)
	c.Must(err)
	equal(t, "replayed", two, one)
	for _, row := range one {
		a, err := first.CeremonyState(t.Context(), row.ID)
		c.Must(err)
		b, err := second.CeremonyState(t.Context(), row.ID)
		c.Must(err)
		if !bytes.Equal(a, b) {
			t.Errorf("epoch %d attempt %d: another state", row.Epoch, row.Attempt)
		}
	}
}

// A result that says a ceremony has ended that runs, or that one has ended again, is
// refused whole.
func TestCeremonyThatCannotEnd(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Fail()
	s := begin(t, c)
	last := len(c.Results) - 1
	commit(t, s, c.Results[:last]...)
	bad := *c.Results[last]
	bad.Ended = []*keygen.State{c.Initial.Ceremony()}
	if err := s.CommitBlock(t.Context(), &bad); !errors.Is(err, pg.ErrInvalid) {
		t.Errorf("one that runs: %v", err)
	}
	bad.Ended = []*keygen.State{c.State.Ceremony(), c.State.Ceremony()}
	if err := s.CommitBlock(t.Context(), &bad); !errors.Is(err, pg.ErrConflict) {
		t.Errorf("twice: %v", err)
	}
	if rows, err := s.Ceremonies(t.Context(), 0, 0, 0); len(rows) != 0 || err != nil {
		t.Errorf("%d rows of a block that was refused, %v", len(rows), err)
	}
	commit(t, s, c.Results[last])
}
