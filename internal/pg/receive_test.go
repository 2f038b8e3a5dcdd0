package pg_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/threshold"
)

// alice is as whom the tests receive.
var alice = pg.Receiver{Epoch: epoch, Member: 2}

func receivers(n int) []pg.Receiver { return slices.Repeat([]pg.Receiver{alice}, n) }

func receive(t testing.TB, s *pg.Store, now int64, cts ...*threshold.Ciphertext) []pg.Received {
	t.Helper()
	got, err := s.Receive(t.Context(), now, receivers(len(cts)), cts)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReceive(t *testing.T) {
	s, _ := newStore(t)
	cts := plain(seal(t, 1, 5, "shop", 100))
	if got := receive(t, s, 1); got != nil {
		t.Errorf("nothing: %v", got)
	}
	first := receive(t, s, 1000, cts[0], cts[1], cts[0]) // one of them twice
	var head commitreveal.Hash
	var want []pg.Received
	for i, ct := range cts[:2] {
		head = commitreveal.NextHead(head, ct.ID())
		want = append(want, pg.Received{Position: uint64(i + 1), ID: ct.ID(), Namespace: "shop", ValidUntil: 100,
			Ciphertext: ct.Bytes(), Time: 1000, Head: head, Receiver: alice})
	}
	equal(t, "first", first, []pg.Received{want[0], want[1], want[0]})

	// Old ids keep their entry; new ones follow without a gap.
	second := receive(t, s, 2000, cts[1], cts[2], cts[0])
	head = commitreveal.NextHead(head, cts[2].ID())
	third := pg.Received{Position: 3, ID: cts[2].ID(), Namespace: "shop", ValidUntil: 100, Ciphertext: cts[2].Bytes(), Time: 2000, Head: head, Receiver: alice}
	equal(t, "second", second, []pg.Received{want[1], third, want[0]})

	if _, err := s.Receive(t.Context(), 1, receivers(1), plain(seal(t, 9, 1, "shop", 1<<63))); !errors.Is(err, pg.ErrInvalid) {
		t.Errorf("valid for ever: %v", err)
	}
	n, _, _, _, err := s.Counts(t.Context())
	if n != 3 || err != nil {
		t.Errorf("counts %d %v", n, err)
	}
}

// Many callers with overlapping ids: every id has one entry that all callers agree on,
// positions have no gap, heads are one chain.
func TestReceiveConcurrently(t *testing.T) {
	s, url := newStore(t)
	other := open(t, url) // another process
	cts := plain(seal(t, 1, 40, "shop", 100))
	var mu sync.Mutex
	byID := map[threshold.ID]pg.Received{}
	var wg sync.WaitGroup
	for w := range 12 {
		store := []*pg.Store{s, other}[w%2]
		wg.Go(func() {
			for i := 0; i < len(cts); i += 4 {
				part := slices.Clone(cts[i : i+4])
				if w%3 == 0 {
					slices.Reverse(part) // locks are taken in any order
				}
				got, err := store.Receive(t.Context(), int64(1000*w+i), receivers(len(part)), part)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for j, r := range got {
					if r.ID != part[j].ID() {
						t.Errorf("entry %d is of another id", j)
					}
					if before, ok := byID[r.ID]; ok && (before.Position != r.Position || before.Head != r.Head || before.Time != r.Time) {
						t.Errorf("two receipts for one id: %+v and %+v", before, r)
					}
					byID[r.ID] = r
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(byID) != len(cts) {
		t.Fatalf("%d ids, want %d", len(byID), len(cts))
	}
	byPosition := make([]pg.Received, len(cts))
	for _, r := range byID {
		if r.Position < 1 || r.Position > uint64(len(cts)) {
			t.Fatalf("position %d of %d", r.Position, len(cts))
		}
		byPosition[r.Position-1] = r
	}
	var head commitreveal.Hash
	for i, r := range byPosition {
		head = commitreveal.NextHead(head, r.ID)
		if r.Head != head {
			t.Fatalf("the chain of heads breaks at position %d", i+1)
		}
	}
}

func TestWaiting(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	here := seal(t, 1, 6, "shop", 3)
	long := seal(t, 2, 2, "shop", 100)
	elsewhere := seal(t, 3, 1, "shop", 100)
	receive(t, s, 1, plain(here)...)
	receive(t, s, 1, plain(long)...)
	waiting := func(height, after uint64, limit int) (positions []uint64) {
		t.Helper()
		got, err := s.Waiting(ctx, height, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			positions = append(positions, r.Position)
			if want := slices.Concat(here, long); r.Position <= 8 && string(r.Ciphertext) != string(want[r.Position-1].Ciphertext().Bytes()) {
				t.Errorf("position %d has another body", r.Position)
			}
		}
		return positions
	}
	equal(t, "all", waiting(1, 0, 0), []uint64{1, 2, 3, 4, 5, 6, 7, 8})
	equal(t, "page", waiting(1, 2, 3), []uint64{3, 4, 5})
	equal(t, "not the expired", waiting(4, 0, 0), []uint64{7, 8})

	commit(t, s, c.order(append(slices.Clone(here[1:3]), elsewhere...)))
	equal(t, "not the ordered", waiting(2, 0, 0), []uint64{1, 4, 5, 6, 7, 8})

	// A wallet brings what came in elsewhere and was ordered: it is in the log, and waits no more.
	if got := receive(t, s, 5, plain(elsewhere)...); got[0].Position != 9 {
		t.Errorf("position %d", got[0].Position)
	}
	equal(t, "ordered before it came", waiting(2, 0, 0), []uint64{1, 4, 5, 6, 7, 8})

	commit(t, s, c.empty(), c.empty()) // height 3: expired, and the bodies are forgotten
	tx, err := s.Transaction(ctx, here[0].ID())
	if err != nil {
		t.Fatal(err)
	}
	if tx.Ciphertext != nil || tx.Received == nil || tx.Received.Position != 1 || tx.Height != 0 {
		t.Errorf("an expired transaction: %+v", tx)
	}
	equal(t, "the long ones", waiting(4, 0, 0), []uint64{7, 8})
	// It was there: the same receipt.
	if got := receive(t, s, 9, here[0].Ciphertext()); got[0].Position != 1 || got[0].Time != 1 {
		t.Errorf("again: %+v", got[0])
	}
}

// What was reserved never goes back, also not by hand.
func TestReserveTime(t *testing.T) {
	s, url := newStore(t)
	is := func(s *pg.Store, want uint64) {
		t.Helper()
		if got, err := s.ReservedTime(t.Context()); got != want || err != nil {
			t.Errorf("%d %v, want %d", got, err, want)
		}
	}
	is(s, 0)
	for _, step := range [][2]uint64{{5000, 5000}, {7000, 7000}, {6000, 7000}} {
		if err := s.ReserveTime(t.Context(), step[0]); err != nil {
			t.Fatal(err)
		}
		is(open(t, url), step[1])
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, q := range []string{`UPDATE receive_clock SET until = 1`, `DELETE FROM receive_clock`} {
		if _, err := conn.Exec(t.Context(), q); err == nil {
			t.Errorf("%s: taken", q)
		}
	}
	is(s, 7000)
}

// Settle waits for an append that is under way.
func TestSettleReceived(t *testing.T) {
	s, url := newStore(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock($1)`, int64(0x7363_7269_6d_01)); err != nil {
		t.Fatal(err)
	}
	settled := make(chan error, 1)
	go func() { settled <- s.SettleReceived(t.Context()) }()
	select {
	case err := <-settled:
		t.Fatalf("settled during an append: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-settled; err != nil {
		t.Error(err)
	}
}
