package pg_test

import (
	"errors"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// What blocks said for the order comes back as it was, and what they dropped is remembered and not waited for.
func TestRounds(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	cts := seal(t, 1, 3, "a", 50)
	if _, err := s.Receive(ctx, 1000, receivers(3), plain(cts)); err != nil {
		t.Fatal(err)
	}
	first, second, third := c.empty(), c.empty(), c.empty()
	first.Round = &ordering.Round{Height: first.Height, Section: []byte("said")}
	third.Round = &ordering.Round{Height: third.Height, Aside: [][]byte{cts[0].Ciphertext().Bytes()}}
	third.Dropped = []ordering.Dropped{{Seen: ordering.Seen{ID: cts[0].ID(), ValidUntil: 50}, Code: ordering.CodeExpired}}
	third.Forgotten = []threshold.ID{cts[1].ID()}
	commit(t, s, first, second, third)

	again := c.empty() // the same one once more changes nothing
	again.Dropped = []ordering.Dropped{{Seen: ordering.Seen{ID: cts[0].ID(), ValidUntil: 50}, Code: ordering.CodeKeyRetired}}
	commit(t, s, again)

	got, err := s.Rounds(ctx, 0, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "rounds", got, []ordering.Round{*first.Round, *third.Round})
	got, err = s.Rounds(ctx, 1, 2, 0)
	if err != nil || len(got) != 0 {
		t.Errorf("rounds of height 2: %v, %v", got, err)
	}
	seen, err := s.Seen(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "seen", seen, []ordering.Seen{third.Dropped[0].Seen})
	tx, err := s.Transaction(ctx, cts[0].ID())
	if err != nil || tx.Dropped != ordering.CodeExpired || tx.Ciphertext != nil {
		t.Errorf("dropped: %+v, %v", tx, err)
	}
	bodies, err := s.Bodies(ctx, []threshold.ID{cts[0].ID(), cts[1].ID(), cts[2].ID(), {7}})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "bodies that wait", bodies, [][]byte{cts[2].Ciphertext().Bytes()})
}

// Rounds are searched newest first, a page at a time, whether rows or bytes end it.
func TestMentions(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	a, b := threshold.ID{1, 0xaa}, threshold.ID{2, 0xbb}
	var rounds []*ordering.Result
	for i := range 6 {
		r := c.empty()
		section := []byte("said of ")
		if i == 1 || i == 4 {
			section = append(section, a[:]...)
		}
		if i == 2 {
			section = append(section, b[:]...)
		}
		if r.Round = (&ordering.Round{Height: r.Height, Section: section}); i == 3 {
			r.Round = &ordering.Round{Height: r.Height, Aside: [][]byte{a[:]}}
		}
		rounds = append(rounds, r)
	}
	commit(t, s, rounds...)
	search := func(last uint64, limit int, ids ...threshold.ID) (heights []uint64, rest uint64) {
		t.Helper()
		found, rest, err := s.Mentions(ctx, ids, last, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found {
			equal(t, "section", r.Section, rounds[r.Height-1].Round.Section)
			heights = append(heights, r.Height)
		}
		return heights, rest
	}
	check := func(last uint64, limit int, ids []threshold.ID, want []uint64, wantRest uint64) {
		t.Helper()
		got, rest := search(last, limit, ids...)
		equal(t, "heights", got, want)
		equal(t, "rest", rest, wantRest)
	}
	check(6, 0, []threshold.ID{a}, []uint64{5, 2}, 0)
	check(6, 0, []threshold.ID{a, b}, []uint64{5, 3, 2}, 0)
	check(4, 0, []threshold.ID{a}, []uint64{2}, 0)
	check(6, 2, []threshold.ID{a}, []uint64{5}, 4)
	check(4, 2, []threshold.ID{a}, nil, 2)
	check(0, 2, []threshold.ID{a}, nil, 0)
	check(6, 0, []threshold.ID{{9}}, nil, 0)
	defer pg.SetMentionBytes(1)()
	check(5, 0, []threshold.ID{a}, []uint64{5}, 4)
	check(4, 0, []threshold.ID{b}, []uint64{3}, 2) // without a section a round has no bytes
}

// What the logs said about a batch comes back.
func TestFrames(t *testing.T) {
	s, _ := newStore(t)
	c := &chain{t: t}
	r := c.order(seal(t, 1, 1, "a", 9))
	r.Batch.Frames = []fair.Set{&fair.Frame{IDs: r.Batch.Batch.IDs, Logs: [][]uint32{{0}}}}
	commit(t, s, r)
	b, err := s.Frames(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ordering.ParseFrames(ordering.DefaultParams(), b)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "frames", got, r.Batch.Frames)
	if _, err := s.Frames(t.Context(), 2); !errors.Is(err, pg.ErrNotFound) {
		t.Error(err)
	}
}

// A body is kept while its id may still be decided, and no longer.
func TestBodiesOutliveTheirTimeByTheGrace(t *testing.T) {
	s, _ := newStore(t)
	c := &chain{t: t}
	ct := seal(t, 1, 1, "a", 2)
	if _, err := s.Receive(t.Context(), 1000, receivers(1), plain(ct)); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		r := c.empty()
		r.Grace = 2
		commit(t, s, r)
		bodies, err := s.Bodies(t.Context(), []threshold.ID{ct[0].ID()})
		if err != nil || (len(bodies) == 1) != (r.Height < 4) {
			t.Errorf("after height %d: %d bodies, %v", r.Height, len(bodies), err)
		}
	}
}

// A receive log that was lost goes on where the chain has committed it; one that was not lost does not.
func TestResumeLog(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	cts := plain(seal(t, 1, 4, "a", 50))
	if _, err := s.Receive(ctx, 1, receivers(2), cts[:2]); err != nil {
		t.Fatal(err)
	}
	head := commitreveal.Hash{9}
	if err := s.ResumeLog(ctx, 2, head); !errors.Is(err, pg.ErrConflict) {
		t.Errorf("a log that is there: %v", err)
	}
	if err := s.ResumeLog(ctx, 10, head); err != nil {
		t.Fatal(err)
	}
	rows, err := s.Receive(ctx, 2, receivers(2), cts[2:])
	if err != nil || rows[0].Position != 11 || rows[0].Head != commitreveal.NextHead(head, cts[2].ID()) || rows[1].Position != 12 {
		t.Fatalf("%+v, %v", rows, err)
	}
	for position, want := range map[uint64]commitreveal.Hash{0: {}, 10: head, 12: rows[1].Head} {
		if got, err := s.ReceiveHead(ctx, position); err != nil || got != want {
			t.Errorf("head at %d: %v, %v", position, got, err)
		}
	}
	for _, position := range []uint64{3, 9, 13} {
		if _, err := s.ReceiveHead(ctx, position); !errors.Is(err, pg.ErrNotFound) {
			t.Errorf("head at %d: %v", position, err)
		}
	}
	after, err := s.ReceivedAfter(ctx, 1, 0)
	if err != nil || len(after) != 3 || after[0].Position != 2 || after[2].Position != 12 || after[2].ID != cts[3].ID() {
		t.Errorf("%+v, %v", after, err)
	}
}
