package pg_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
)

func TestRecordShare(t *testing.T) {
	s, url := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	b1, b2 := c.order(seal(t, 1, 2, "a", 100)), c.order(seal(t, 2, 2, "a", 100))
	root1, root2 := b1.Batch.Batch.Root, b2.Batch.Batch.Root

	// Nothing leaves before the commitment is there.
	if err := s.RecordShare(ctx, epoch, 1, root1); !errors.Is(err, pg.ErrGuard) {
		t.Errorf("before the commit: %v", err)
	}
	commit(t, s, b1, b2)
	if b, err := s.Batch(ctx, 1); err != nil || b.Phase != commitreveal.Committed {
		t.Errorf("phase before: %v %v", b, err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, pg.ErrGuard) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("a root that is not committed", s.RecordShare(ctx, epoch, 1, root2))
	refused("another epoch", s.RecordShare(ctx, epoch+1, 1, root1))
	for range 2 {
		if err := s.RecordShare(ctx, epoch, 1, root1); err != nil {
			t.Fatal(err)
		}
	}
	refused("another root", s.RecordShare(ctx, epoch, 1, root2))
	refused("another epoch after it", s.RecordShare(ctx, epoch+1, 1, root1))
	if b, err := s.Batch(ctx, 1); err != nil || b.Phase != commitreveal.Sharing {
		t.Errorf("phase after: %v %v", b, err)
	}

	// For ever: also when the batch's row is forged afterwards, and after a restart.
	forger := connect(t, url)
	if _, err := forger.Exec(ctx, `UPDATE batches SET root = $1 WHERE height = 1`, root2[:]); err != nil {
		t.Fatal(err)
	}
	again := open(t, url)
	refused("a forged batch", again.RecordShare(ctx, epoch, 1, root2))
	if err := again.RecordShare(ctx, epoch, 1, root1); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// Of two processes that would let their share of two batches of one height go, one does.
func TestRecordShareRace(t *testing.T) {
	_, url := newStore(t)
	ctx := t.Context()
	s := open(t, url)
	c := &chain{t: t}
	const n = 20
	var roots [n + 1]commitreveal.Hash
	for h := 1; h <= n; h++ {
		r := c.order(seal(t, uint64(h), 1, "a", 100))
		roots[h] = r.Batch.Batch.Root
		commit(t, s, r)
	}
	forger := connect(t, url)
	for h := uint64(1); h <= n; h++ {
		var won [2]atomic.Bool
		var wg sync.WaitGroup
		other := commitreveal.Hash{1, byte(h)}
		for i, root := range []commitreveal.Hash{roots[h], other} {
			wg.Go(func() {
				err := s.RecordShare(ctx, epoch, h, root)
				if err != nil && !errors.Is(err, pg.ErrGuard) {
					t.Error(err)
				}
				won[i].Store(err == nil)
			})
		}
		// Meanwhile the batch's row changes under them: either root may be the first.
		if _, err := forger.Exec(ctx, `UPDATE batches SET root = $1 WHERE height = $2`, other[:], h); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if won[0].Load() && won[1].Load() {
			t.Fatalf("height %d: both shares left", h)
		}
	}
}

func TestEvidence(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	add := func(kind string, member uint32, height uint64, body string) {
		t.Helper()
		if err := s.AddEvidence(ctx, pg.Evidence{Kind: kind, Epoch: epoch, Member: member, Height: height, Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	add("bad share", 2, 5, "one")
	add("bad share", 2, 5, "one")
	add("bad share", 1<<32-1, 6, "two")
	add("other kind", 2, 5, "one")
	got, err := s.Evidence(ctx, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Fatalf("%d pieces of evidence, want 3: %v", len(got), got)
	}
	after, err := s.Evidence(ctx, got[0].Number, 1)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "second page", after, got[1:2])
	for i := range got {
		got[i].Number = 0
	}
	equal(t, "evidence", got, []pg.Evidence{
		{Kind: "bad share", Epoch: epoch, Member: 2, Height: 5, Body: []byte("one")},
		{Kind: "bad share", Epoch: epoch, Member: 1<<32 - 1, Height: 6, Body: []byte("two")},
		{Kind: "other kind", Epoch: epoch, Member: 2, Height: 5, Body: []byte("one")},
	})
}

// What a block recorded is there with its hash, the same for two entries, and never changes.
func TestRecordedEvidence(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	accuse := func(r *ordering.Result, member uint32, body string) commitreveal.Hash {
		e := commitreveal.MisbehaviourEntry{Height: r.Height, Epoch: epoch, Member: member, Kind: "bad_point", Evidence: commitreveal.EvidenceHash([]byte(body))}
		wire, err := commitreveal.MarshalEntry(e)
		if err != nil {
			t.Fatal(err)
		}
		c.record(r, wire)
		r.Misbehaviour = append(r.Misbehaviour, ordering.Misbehaviour{Entry: e, Body: []byte(body)})
		return e.Evidence
	}
	first := c.empty()
	one, two := accuse(first, 1, "one"), accuse(first, 2, "two")
	commit(t, s, first)
	again := c.empty()
	accuse(again, 3, "one")
	commit(t, s, again)
	for hash, want := range map[commitreveal.Hash]string{one: "one", two: "two"} {
		if got, err := s.RecordedEvidence(ctx, hash); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := s.RecordedEvidence(ctx, commitreveal.Hash{1}); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("no such evidence: %v", err)
	}
	wrong := c.empty()
	accuse(wrong, 1, "three")
	wrong.Misbehaviour[0].Body = []byte("four")
	if err := s.CommitBlock(ctx, wrong); !errors.Is(err, pg.ErrInvalid) {
		t.Errorf("a body that is not the entry's: %v", err)
	}
	if _, err := s.RecordedEvidence(ctx, commitreveal.EvidenceHash([]byte("four"))); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("it is there: %v", err)
	}
}

// A node finds out what it holds, without the bodies, and takes one after the other.
func TestAccusations(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	var numbers []uint64
	add := func(kind string, epoch uint64, member uint32, body string) {
		t.Helper()
		if err := s.AddEvidence(ctx, pg.Evidence{Kind: kind, Epoch: epoch, Member: member, Height: 5, Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		all, err := s.Evidence(ctx, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, all[len(all)-1].Number)
	}
	add("a", 1, 2, "old")
	add("a", 2, 2, "one")
	add("a", 2, 2, "two")
	add("b", 2, 1, "three")
	all, upTo, err := s.Accusations(ctx, 0, 2)
	if err != nil || upTo != numbers[3] {
		t.Fatal(upTo, err)
	}
	a := pg.Accusation{Kind: "a", Epoch: 2, Member: 2}
	equal(t, "accusations", all, []pg.Accusation{{Kind: "b", Epoch: 2, Member: 1}, a})
	add("c", 3, 1, "four")
	all, upTo, err = s.Accusations(ctx, upTo, 0)
	if err != nil || upTo != numbers[4] {
		t.Fatal(upTo, err)
	}
	equal(t, "accusations", all, []pg.Accusation{{Kind: "c", Epoch: 3, Member: 1}})
	if none, same, err := s.Accusations(ctx, upTo, 0); err != nil || len(none) != 0 || same != upTo {
		t.Errorf("%v %d, %v", none, same, err)
	}
	after := uint64(0)
	for _, want := range []string{"one", "two"} {
		e, err := s.NextEvidence(ctx, a, after)
		if err != nil || string(e.Body) != want {
			t.Fatalf("%+v, %v, want %s", e, err, want)
		}
		after = e.Number
	}
	if _, err := s.NextEvidence(ctx, a, after); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("more evidence: %v", err)
	}
}
