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
	r.compareLogs(tx, o)
	return o
}

// compareLogs checks positions and times of the members in office against their receive logs: none where there is none, and
// never a place without a position.
func (r *room) compareLogs(tx []byte, o v1.Order) {
	r.t.Helper()
	for _, l := range o.Logs {
		log := r.c.Log(int(l.Member))
		at := slices.Index(log.IDs, sim.IDOf(tx))
		switch {
		case l.Position == nil && (l.Place != nil || l.Time != nil):
			r.t.Errorf("member %d: a place or a time without a position: %+v", l.Member, l)
		case l.Position == nil:
		case *l.Position != uint64(at+1):
			r.t.Errorf("member %d: position %d, its log has it at %d", l.Member, *l.Position, at+1)
		case (l.Time != nil) != (r.c.Genesis.Params.Order.Rule == fair.ReceiveTime):
			r.t.Errorf("member %d: time %v", l.Member, l.Time)
		case l.Time != nil && uint64(l.Time.UnixMilli()) != log.Times[at]:
			r.t.Errorf("member %d: time %v, its log says %d", l.Member, l.Time, log.Times[at])
		}
	}
}

// positions are those in all logs, 0 for none.
func positions(o v1.Order) (out []uint64) {
	for _, l := range o.Logs {
		if l.Position == nil {
			out = append(out, 0)
			continue
		}
		out = append(out, *l.Position)
	}
	return out
}

// until makes blocks with all statements until a transaction is ordered and the beacon known.
func (r *room) until(tx []byte) {
	r.t.Helper()
	for range 10 {
		r.block(1, 2, 3, 4)
		if o := r.order(tx, nil); o.Place != nil {
			return
		}
	}
	r.t.Fatalf("not ordered: %+v", r.order(tx, nil))
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
	if e := r.between(abc[0], after, "blocks"); e.Forward != 4 || e.Backward != 0 || e.Chain != nil {
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

// Positions are those in whole logs under either rule, and so are the counts where no frame has them: one log has it another way
// round, one lacks it until the batch is over.
func TestPositionsInWholeLogs(t *testing.T) {
	for _, rule := range []fair.Rule{fair.ReceiveOrder, fair.ReceiveTime} {
		t.Run(rule.String(), func(t *testing.T) {
			params := ordering.DefaultParams()
			params.Order.Rule = rule
			r := newRoom(t, params)
			c := r.c
			before := c.SealTxs("1", "2", "3")
			for m := range 4 {
				c.Receive(m+1, before...)
			}
			r.until(before[2])
			if o := r.order(before[1], nil); !slices.Equal(positions(o), []uint64{2, 2, 2, 2}) || *o.Epoch != 1 || *o.SearchedFrom < 1 || *o.SearchedFrom > *o.Height {
				t.Errorf("%+v", o)
			}

			a, b := c.SealTxs("a")[0], c.SealTxs("b")[0]
			c.Receive(1, a, b)
			c.Receive(2, b, a)
			r.block(1, 2, 3)
			if o := r.order(a, nil); o.State != v1.OrderStated || !slices.Equal(positions(o), []uint64{4, 5, 0, 0}) || o.Wait.Held != 2 {
				t.Errorf("stated by two: %+v", o)
			}
			c.Receive(3, a, b)
			r.until(a)
			r.until(b)
			var next []byte
			for range 2 { // nor does what a log says when the batch is over change what is said
				one, two := r.order(a, b), r.order(b, a)
				if !slices.Equal(positions(one), []uint64{4, 5, 4, 0}) || !slices.Equal(positions(two), []uint64{5, 4, 5, 0}) {
					t.Errorf("%+v and %+v", one.Logs, two.Logs)
				}
				forward, backward := one.Other.Forward, one.Other.Backward
				if one.Other.First.String() != hexID(a) {
					forward, backward = backward, forward
				}
				if forward != 2 || backward != 1 || two.Other.Forward != one.Other.Forward || two.Other.Backward != one.Other.Backward {
					t.Errorf("%d and %d, %+v", forward, backward, two.Other)
				}
				if e := r.between(before[0], a, "blocks"); e.Forward != 4 || e.Backward != 0 { // one log has the first one only
					t.Errorf("%+v", e)
				}
				c.Log(4).Add(sim.IDOf(b))
				c.Log(4).Add(sim.IDOf(a))
				next = c.SealTxs("next")[0]
				for m := range 4 {
					c.Receive(m+1, next)
				}
				r.until(next)
			}
			if last := r.order(next, nil); !slices.Equal(positions(last), []uint64{7, 7, 7, 7}) { // as late as "a" was in the last one
				t.Errorf("%+v", last)
			}
		})
	}
}

// What is decided and waits for room has its positions, and a log that comes to it then has one without a place.
func TestPositionsWhileDecided(t *testing.T) {
	params := ordering.DefaultParams()
	params.MaxBatch = 1
	r := newRoom(t, params)
	c := r.c
	txs := c.SealTxs("a", "b", "c")
	for m := range 3 {
		c.Receive(m+1, txs...)
	}
	r.block(1, 2, 3)
	if o := r.order(txs[2], nil); o.State != v1.OrderDecided || !slices.Equal(positions(o), []uint64{3, 3, 3, 0}) || o.Logs[0].Place == nil || o.Wait != nil {
		t.Fatalf("%+v", o)
	}
	c.Log(4).Add(sim.IDOf(txs[2]))
	r.block(1, 2, 3, 4)
	r.block(1, 2, 3, 4)
	r.block()
	o := r.order(txs[2], nil)
	if o.State != v1.OrderOrdered || !slices.Equal(positions(o), []uint64{3, 3, 3, 1}) || o.Logs[3].Place != nil || o.Logs[2].Place == nil {
		t.Errorf("%+v", o)
	}
}

// What is asked costs a bounded search: what is further back is not found, and the answer says how far it went.
func TestPositionsFarBack(t *testing.T) {
	r := newRoom(t, ordering.DefaultParams())
	c := r.c
	first, late := c.SealTxs("first")[0], c.SealTxs("late")[0]
	for m := range 4 {
		c.Receive(m+1, first)
	}
	r.until(first)
	c.Receive(1, late)
	c.Receive(2, late)
	r.block(1, 2, 3, 4)
	for range tracePages {
		tx := c.SealTxs("in between")[0]
		for m := range 4 {
			c.Receive(m+1, tx)
		}
		r.block(1, 2, 3, 4)
	}
	c.Receive(4, late)
	r.until(late)
	if o := r.order(late, first); !slices.Equal(positions(o), []uint64{2, 2, 0, 10}) || o.Other.Forward != 4 {
		t.Errorf("%+v %+v", o, o.Other)
	}
	defer func(n int) { traceRounds = n }(traceRounds)
	traceRounds = 1
	id, other := sim.IDOf(late), sim.IDOf(first)
	o, err := r.Order(t.Context(), id, &other)
	c.Must(err)
	if !slices.Equal(positions(o), []uint64{0, 0, 0, 10}) || *o.SearchedFrom != *o.Height-tracePages+1 || o.Logs[0].Place == nil {
		t.Errorf("%+v", o)
	}
	if o.Other.Forward != 0 || o.Other.Backward != 0 || o.Other.Reason != "blocks" {
		t.Errorf("%+v", o.Other)
	}
}

// A log goes on over committees: what it said as another member is found, and who is meant says the epoch.
func TestPositionsOverCommittees(t *testing.T) {
	for _, rule := range []fair.Rule{fair.ReceiveOrder, fair.ReceiveTime} {
		t.Run(rule.String(), func(t *testing.T) {
			params := ordering.DefaultParams()
			params.Order.Rule = rule
			r := newRoom(t, params)
			c := r.c
			old, carried := c.SealTxs("old")[0], c.SealTxs("carried")[0]
			for m := range 4 {
				c.Receive(m+1, old)
			}
			r.until(old)
			c.Receive(2, carried)
			c.Receive(3, carried)
			r.block(1, 2, 3)
			c.Reshare(3, c.Secrets[2], c.Newcomers(1)[0], c.Secrets[1], c.Secrets[0])
			r.follow()
			if o := r.order(carried, nil); o.State != v1.OrderStated || *o.Epoch != 2 || !slices.Equal(positions(o), []uint64{2, 0, 2, 0}) {
				t.Errorf("%+v", o)
			}
			c.Receive(2, carried)
			r.until(carried)
			if o := r.order(carried, nil); *o.Epoch != 2 || !slices.Equal(positions(o), []uint64{2, 1, 2, 0}) {
				t.Errorf("%+v", o)
			}
			second := sim.IDOf(carried)
			o, err := r.Order(t.Context(), sim.IDOf(old), &second)
			c.Must(err)
			if *o.Epoch != 1 || !slices.Equal(positions(o), []uint64{1, 1, 1, 1}) || o.Other.Forward != 4 || o.Other.Backward != 0 {
				t.Errorf("%+v %+v", o, o.Other)
			}
		})
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
