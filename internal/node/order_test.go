package node

import (
	"slices"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// room is a node's REST interface over a simulated chain, to ask it for the order.
type room struct {
	*desk
	t *testing.T
	c *sim.Chain
}

func newRoom(t *testing.T, params ordering.Params) *room {
	c := sim.New(t, 4, params).Ceremony()
	r := &room{newDesk(t, c, c.Secrets[0]), t, c}
	r.follow()
	return r
}

// block makes one, with the statements of the members (from 1), or of none.
func (r *room) block(members ...int) *ordering.Result {
	r.t.Helper()
	p := ordering.Proposal{Announcements: []*fair.Announcement{}, Openings: r.c.OpenAll()}
	if len(members) > 0 {
		p.Announcements = r.c.Announce(members...)
	}
	res := r.c.Block(p)
	r.follow()
	return res
}

func (r *room) order(tx, other []byte) v1.Order {
	r.t.Helper()
	var second *threshold.ID
	if other != nil {
		id := sim.IDOf(other)
		second = &id
	}
	o, err := r.Order(r.t.Context(), sim.IDOf(tx), second)
	r.c.Must(err)
	return o
}

// between asks for two transactions both ways, which must agree, also with the places.
func (r *room) between(a, b []byte, reason string) *v1.OrderBetween {
	r.t.Helper()
	one, two := r.order(a, b), r.order(b, a)
	if one.Other == nil || two.Other == nil {
		r.t.Fatalf("%+v, %+v: not compared", one, two)
	}
	if o := one.Other; o.Reason != reason || two.Other.Reason != reason || o.First.String() != two.Other.First.String() || o.Forward != two.Other.Forward {
		r.t.Fatalf("want %s, got %+v and %+v", reason, o, two.Other)
	}
	before := *one.Height < *two.Height || *one.Height == *two.Height && *one.Place < *two.Place
	if id := sim.IDOf(a); before != (one.Other.First.String() == v1.HexOf(id[:]).String()) {
		r.t.Errorf("%s: %+v, but the places are %d and %d", reason, one.Other, *one.Place, *two.Place)
	}
	return one.Other
}

func hexID(tx []byte) string {
	id := sim.IDOf(tx)
	return v1.HexOf(id[:]).String()
}

func texts(ids []v1.Hex) (out []string) {
	for _, id := range ids {
		out = append(out, id.String())
	}
	return out
}

// Every reason that the first rule can have, with the figures that go with it: blocks, frames, edges, ranked pairs, beacon, and
// the forced frame; and what is said before that.
func TestOrderIsExplained(t *testing.T) {
	r := newRoom(t, ordering.DefaultParams())
	c := r.c

	own := c.Seal("own") // in this member's database; its log on the simulated chain is another one
	if _, err := r.submit(t, own); err != nil {
		t.Fatal(err)
	}

	// All members alike: an edge with all votes.
	abc := c.SealTxs("a", "b", "c")
	for m := range 4 {
		c.Receive(m+1, abc...)
	}
	r.block(1, 2, 3, 4)
	if o := r.order(abc[0], abc[1]); o.State != v1.OrderOrdered || o.Place != nil || o.Other != nil {
		t.Errorf("before the beacon is known: %+v", o)
	}
	r.block()
	e := r.between(abc[0], abc[2], "edges")
	if e.First.String() != hexID(abc[0]) || e.Forward != 4 || e.Backward != 0 || !slices.Equal(texts(e.Chain), []string{hexID(abc[0]), hexID(abc[2])}) || e.Component != nil {
		t.Errorf("%+v", e)
	}
	if o := r.order(abc[1], nil); o.Forced || len(o.Logs) != 4 || o.Logs[3].Member != 4 || *o.Logs[3].Place != 2 || o.Other != nil || o.Wait != nil {
		t.Errorf("%+v", o)
	}

	// A cycle of three: ranked pairs inside it, and an edge to what all have after it.
	cycle, after := c.SealTxs("x", "y", "z"), c.SealTxs("after")[0]
	for m := range 3 {
		c.Receive(m+1, append(slices.Concat(cycle[m:], cycle[:m]), after)...)
	}
	r.block(1, 2, 3)
	r.block()
	pairs := 0
	for i, x := range cycle {
		y := cycle[(i+1)%3]
		switch o := r.order(x, y); o.Other.Reason {
		case "ranked_pairs":
			pairs++
			if e := r.between(x, y, "ranked_pairs"); len(e.Component) != 3 || len(e.Chain) < 2 || e.Forward+e.Backward != 3 {
				t.Errorf("%+v", e)
			}
		default:
			t.Errorf("in a cycle: %+v", o.Other)
		}
	}
	if pairs != 3 {
		t.Errorf("%d pairs in the cycle", pairs)
	}
	if e := r.between(cycle[1], after, "edges"); e.Forward != 3 || e.Backward != 0 {
		t.Errorf("%+v", e)
	}
	if e := r.between(abc[0], after, "blocks"); e.Forward != 0 || e.Chain != nil {
		t.Errorf("%+v", e)
	}

	// Two against two: the beacon, and whose keys.
	split := c.SealTxs("p", "q")
	for m := range 4 {
		log := slices.Clone(split)
		if m%2 == 1 {
			slices.Reverse(log)
		}
		c.Receive(m+1, log...)
	}
	r.block(1, 2, 3, 4)
	r.block()
	e = r.between(split[0], split[1], "beacon")
	won, lost := threshold.ID(e.Won), threshold.ID(e.Lost)
	batch, err := r.store.Batch(t.Context(), *r.order(split[0], nil).Height)
	c.Must(err)
	beacon := commitreveal.Beacon(batch.Certificate)
	if x, y := fair.TieKey(beacon, won), fair.TieKey(beacon, lost); e.Forward != 2 || e.Backward != 2 || e.Won.String() != e.First.String() || slices.Compare(x[:], y[:]) >= 0 {
		t.Errorf("%+v", e)
	}

	// A shade that too few have keeps another one back, until its time is up.
	shade, tx := c.SealTxs("shade")[0], c.SealTxs("kept back")[0]
	c.Receive(1, shade, tx)
	c.Receive(2, shade, tx)
	c.Receive(3, tx)
	solid := r.block(1, 2, 3).Height
	w := r.order(tx, nil)
	if w.State != v1.OrderStated || w.Wait == nil || w.Wait.Held != 3 || w.Wait.Solid != 3 || *w.Wait.SolidAt != solid || *w.Wait.DueAt != solid+4 ||
		!slices.Equal(texts(w.Wait.WaitsFor), []string{hexID(shade)}) || len(w.Logs) != 4 || *w.Logs[0].Place != 2 || w.Logs[3].Place != nil {
		t.Errorf("%+v %+v", w, w.Wait)
	}
	for c.State.Height() < solid+4 {
		r.block()
	}
	r.block()
	if o := r.order(tx, split[0]); o.State != v1.OrderOrdered || !o.Forced || *o.Height != solid+4 || o.Other.Reason != "blocks" {
		t.Errorf("%+v", o)
	}

	// Two frames of one block: what waits too long is forced, and what is free comes behind it or before it.
	c.Receive(3, shade) // done with
	r.block(1, 2, 3)
	frames(t, r)

	// What nobody has said, and nobody knows.
	if o := r.order(ordering.CiphertextTx(own.Bytes()), nil); o.State != v1.OrderUnstated || o.Wait != nil {
		t.Errorf("%+v", o)
	}
	if _, err := r.Order(t.Context(), threshold.ID{1}, nil); code(err) != v1.CodeNotFound {
		t.Errorf("unknown: %v", err)
	}
	id, unknown := sim.IDOf(abc[0]), threshold.ID{1}
	if _, err := r.Order(t.Context(), id, &unknown); code(err) != v1.CodeNotFound || !strings.Contains(err.Error(), "compared") {
		t.Errorf("with an unknown one: %v", err)
	}
}

// frames makes a block with a frame of what is free and a forced one: the reason between them.
func frames(t *testing.T, r *room) {
	t.Helper()
	c := r.c
	shade, kept, free := c.SealTxs("shade 2")[0], c.SealTxs("kept back 2")[0], c.SealTxs("free")[0]
	c.Receive(1, shade, kept)
	c.Receive(2, shade, kept)
	c.Receive(3, free)
	c.Receive(4, free, kept)
	solid := r.block(1, 2, 4).Height
	for c.State.Height() < solid+3 {
		r.block()
	}
	c.Receive(1, free) // two logs say this one first, two the other: no edge
	r.block(1, 3, 4)
	r.block()
	a, b := r.order(kept, free), r.order(free, kept)
	if a.State != v1.OrderOrdered || b.State != v1.OrderOrdered {
		t.Fatalf("%+v %+v", a, b)
	}
	if a.Height == nil || *a.Height != *b.Height || !a.Forced || b.Forced {
		t.Fatalf("not two frames of one block: %+v %+v", a, b)
	}
	r.between(kept, free, "frames")
}

// The second rule: times, the beacon between equal ones, blocks, and what is still open.
func TestOrderByTimeIsExplained(t *testing.T) {
	params := ordering.DefaultParams()
	params.Order.Rule = fair.ReceiveTime
	r := newRoom(t, params)
	c := r.c
	txs := c.SealTxs("a", "b", "c")
	for m := range 4 {
		c.Receive(m+1, txs...)
	}
	r.block(1, 2, 3, 4)
	for range 3 {
		r.block(1, 2, 3, 4)
	}
	for i, a := range txs {
		for _, b := range txs[i+1:] {
			one, two := r.order(a, b), r.order(b, a)
			if one.State != v1.OrderOrdered || one.Time == nil || two.Time == nil || one.Other == nil {
				t.Fatalf("%+v %+v", one, two)
			}
			want := "times"
			if one.Time.UnixMilli() == two.Time.UnixMilli() {
				want = "beacon"
			}
			if *one.Height != *two.Height {
				want = "blocks"
			}
			r.between(a, b, want)
		}
	}
}

// A transaction that expired says why: its time, or its key, and so does the log.
func TestExpiredHasAReason(t *testing.T) {
	params := ordering.DefaultParams()
	params.MaxBatch = 1
	r := newRoom(t, params)
	c := r.c
	first := c.SealTxs("first")[0]
	decided := c.SealUntil("decided, too late", c.State.Height()+1)
	alone := c.SealUntil("in one log only", c.State.Height()+1)
	old := c.SealTo(c.State.Committee().Key, "sealed to the old key", c.State.Height()+500)
	for _, ct := range []*threshold.Ciphertext{decided, alone, old} {
		if _, err := r.submit(t, ct); err != nil {
			t.Fatal(err)
		}
	}
	for m := range 4 {
		c.Receive(m+1, first, ordering.CiphertextTx(decided.Bytes()))
	}
	show := func(ct *threshold.Ciphertext) v1.Transaction {
		t.Helper()
		tx, err := r.Transaction(t.Context(), ct.ID())
		c.Must(err)
		return tx
	}
	if tx := show(decided); tx.Status != v1.StatusReceived || tx.Reason != nil {
		t.Errorf("%+v", tx)
	}
	r.block(1, 2, 3, 4)
	r.block()
	for name, ct := range map[string]*threshold.Ciphertext{"decided": decided, "in one log": alone} {
		if tx := show(ct); tx.Status != v1.StatusExpired || tx.Reason == nil || *tx.Reason != v1.ExpiredTooLate || tx.Receipt == nil {
			t.Errorf("%s: %+v", name, tx)
		}
	}
	if o := r.order(ordering.CiphertextTx(decided.Bytes()), nil); o.State != v1.OrderDropped {
		t.Errorf("%+v", o)
	}
	// Sealed to a key that a rotation without overlap retires before it is decided.
	c.Receive(1, ordering.CiphertextTx(old.Bytes()))
	c.Rotate(0, 3, c.Secrets...)
	for m := range 4 {
		c.Log(m + 1).Add(old.ID())
	}
	r.follow()
	for range 3 {
		r.block(1, 2, 3, 4)
	}
	if tx := show(old); tx.Status != v1.StatusExpired || tx.Reason == nil || *tx.Reason != v1.ExpiredKey {
		t.Errorf("sealed to the old key: %+v, order %+v", tx, r.order(ordering.CiphertextTx(old.Bytes()), nil))
	}
}
