package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
)

// accusing is an accuser on a real database, and what it offers.
type accusing struct {
	*accuser
	offered [][]byte
	full    error
}

func newAccusing(t *testing.T, store *pg.Store) *accusing {
	a := &accusing{accuser: newAccuser(store, ordering.NewVerifier(1<<20), slog.New(slog.DiscardHandler))}
	a.submit = func(tx []byte) error {
		a.offered = append(a.offered, tx)
		return a.full
	}
	return a
}

// offers runs a round and gives what it offered.
func (a *accusing) offers(t *testing.T, s *ordering.State) [][]byte {
	t.Helper()
	a.offered = nil
	if err := a.round(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(a.offered, bytes.Compare)
	return a.offered
}

func same(a, b [][]byte) bool {
	return slices.EqualFunc(a, b, bytes.Equal)
}

// What a node keeps it offers until the log has it, also after a restart; what the chain will never take stays with the node.
func TestNodesOfferEvidence(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	store, err := pg.Open(t.Context(), pgtest.New(t))
	c.Must(err)
	t.Cleanup(store.Close)
	a := newAccusing(t, store)
	keep := func(e ordering.Evidence) []byte {
		t.Helper()
		member := uint32(2)
		c.Must(a.AddEvidence(t.Context(), pg.Evidence{Kind: e.Kind.String(), Epoch: e.Epoch, Member: member, Height: 1, Body: e.Body}))
		select {
		case <-a.wake:
		default:
			t.Error("new evidence wakes nobody")
		}
		return c.Accuse(e)
	}
	if got := a.offers(t, c.State); len(got) > 0 {
		t.Fatalf("%d offers of nothing", len(got))
	}
	first := keep(c.BadPoint(2, "one"))
	keep(c.BadPoint(2, "two"))
	fork := keep(c.LogFork(2, ""))
	forged := c.BadSignature(2, "")
	forged.Body = slices.Clone(forged.Body)
	forged.Body[len(forged.Body)-1] ^= 1
	keep(forged)
	right := keep(c.BadSignature(2, "right"))
	keep(ordering.Evidence{Kind: ordering.EvidenceCeremony, Epoch: 1, Body: []byte("nonsense")})
	future := c.TwoShares(2, "")
	c.Must(store.AddEvidence(t.Context(), pg.Evidence{Kind: future.Kind.String(), Epoch: 2, Member: 2, Body: future.Body}))
	c.Must(store.AddEvidence(t.Context(), pg.Evidence{Kind: "split_view", Epoch: 1, Member: 2, Body: []byte("notes")}))

	want := [][]byte{first, fork, right}
	slices.SortFunc(want, bytes.Compare)
	if got := a.offers(t, c.State); !same(got, want) {
		t.Fatalf("%d offers, want %d: one for each charge that can be proved", len(got), len(want))
	}
	a.full = errors.New("mempool full")
	if err := a.round(t.Context(), c.State); !errors.Is(err, a.full) {
		t.Errorf("a full mempool: %v", err)
	}
	a.full = nil
	if got := a.offers(t, c.State); !same(got, want) {
		t.Errorf("%d offers, the second time", len(got))
	}
	if got := newAccusing(t, store).offers(t, c.State); !same(got, want) {
		t.Errorf("%d offers after a restart", len(got))
	}

	for range 2 {
		c.Block(ordering.Proposal{Txs: want})
	}
	if got := a.offers(t, c.State); len(got) > 0 {
		t.Errorf("%d offers of what is in the log", len(got))
	}
	if _, left := a.waiting[pg.Accusation{Kind: future.Kind.String(), Epoch: 2, Member: 2}]; len(a.waiting) != 1 || !left {
		t.Errorf("waiting: %v", a.waiting)
	}
	if got := newAccusing(t, store).offers(t, c.State); len(got) > 0 {
		t.Errorf("%d offers of what is in the log, after a restart", len(got))
	}
}

// Before the first committee nothing is offered, and nothing forgotten.
func TestEvidenceWaitsForTheCommittee(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams())
	store, err := pg.Open(t.Context(), pgtest.New(t))
	c.Must(err)
	t.Cleanup(store.Close)
	a := newAccusing(t, store)
	before := c.State
	c.Ceremony()
	deals := c.TwoDeals(3, "")
	c.Must(a.AddEvidence(context.Background(), pg.Evidence{Kind: "ceremony", Epoch: 1, Member: 3, Body: deals.Body}))
	if got := a.offers(t, before); len(got) > 0 {
		t.Errorf("%d offers before there is a committee", len(got))
	}
	if got := a.offers(t, c.State); !same(got, [][]byte{c.Accuse(deals)}) {
		t.Errorf("%d offers", len(got))
	}
}
