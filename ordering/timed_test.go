package ordering_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// timed is a chain with the second rule.
func timed(t testing.TB, n int) *sim.Chain {
	params := ordering.DefaultParams()
	params.Order.Rule = fair.ReceiveTime
	return sim.New(t, n, params).Ceremony()
}

// The order is that of the (f+1)-th smallest time, whatever the order in the logs; the first rule would find a cycle or the beacon.
func TestOrderedByTime(t *testing.T) {
	c := timed(t, 4)
	txs := c.SealTxs("a", "b")
	a, b := sim.IDOf(txs[0]), sim.IDOf(txs[1])
	for m := range 4 {
		c.Receive(m+1, txs...)
	}
	// Two logs have b first. The second smallest times are 30 and 20.
	for m, log := range [][2]uint64{{10, 20}, {30, 40}, {70, 15}, {80, 75}} {
		l := c.Log(m + 1)
		l.IDs, l.Times = slices.Clone(l.IDs), []uint64{log[0], log[1]}
		if log[0] > log[1] {
			slices.Reverse(l.IDs)
			slices.Reverse(l.Times)
		}
	}
	c.Block(ordering.Proposal{Announcements: c.Announce()})
	if order := revealed(c); !slices.Equal(order, []threshold.ID{b, a}) {
		t.Errorf("executed %v, want %v, %v", order, b, a)
	}
}

// What nobody may overtake waits for the watermarks, also in blocks without ids; an idle chain takes no watermarks.
func TestWaitsForWatermarks(t *testing.T) {
	c := timed(t, 4)
	check := func(section []byte) error {
		return ordering.Check(c.State, c.Verifier, ordering.Block{Height: c.State.Height() + 1, Txs: [][]byte{section}})
	}
	if err := check(sectionOf(t, c, 1, 2, 3)); err == nil || !strings.Contains(err.Error(), "nothing new") {
		t.Errorf("watermarks for nothing: %v", err)
	}
	tx := c.SealTxs("x")
	id := ids(tx)
	var held []*fair.Announcement
	for m := 1; m <= 3; m++ {
		c.Receive(m, tx...)
		held = append(held, c.Timed(m, fair.Base{}, id, []uint64{1000}, 1000)) // something else of this millisecond may follow
	}
	r := c.Block(ordering.Proposal{Announcements: held})
	if r.Batch != nil || !c.State.Busy() {
		t.Fatalf("ordered before the watermarks have passed: %+v", r.Batch)
	}
	for m := range 3 {
		c.Log(m + 1).Times = []uint64{1000}
	}
	logs, _ := c.State.ReceiveLogs()
	if st, err := logs.Status(id[0]); err != nil || st.Time != 1000 || st.SolidAt != r.Height || st.Held != 3 || len(logs.Holders(id[0])) != 3 {
		t.Errorf("%+v, %v", st, err)
	}
	if r := c.Block(ordering.Proposal{Announcements: c.Announce(1, 2, 3)}); r.Batch == nil || r.Round == nil {
		t.Error("not ordered when the watermarks have passed")
	}
	if order := revealed(c); !slices.Equal(order, id) || c.State.Busy() {
		t.Errorf("executed %v", order)
	}
}

// An id that f+1 logs hold for ever keeps a later one back for W heights only.
func TestTimedForcedAfterWait(t *testing.T) {
	c := timed(t, 4)
	shade, tx := c.SealTxs("shade")[0], c.SealTxs("x")[0]
	c.Receive(1, shade, tx)
	c.Receive(2, shade, tx)
	c.Receive(3, tx)
	c.Receive(4, tx)
	c.Log(3).Mark, c.Log(4).Mark = 100, 100 // they have seen x later
	c.Block(ordering.Proposal{Announcements: c.Announce()})
	frozen := c.State.Height()
	logs, _ := c.State.ReceiveLogs()
	if st, err := logs.Status(sim.IDOf(tx)); err != nil || !slices.Equal(st.WaitsFor, ids([][]byte{shade})) {
		t.Fatalf("%+v, %v", st, err)
	}
	for range 10 {
		r := c.Block(ordering.Proposal{Announcements: c.Announce()})
		if r.Batch == nil {
			continue
		}
		if r.Height != frozen+4 || !r.Batch.Frames[0].IsForced() || !slices.Equal(r.Batch.Batch.IDs, ids([][]byte{tx})) {
			t.Errorf("at height %d, frozen at %d: %+v", r.Height, frozen, r.Batch)
		}
		return
	}
	t.Error("never ordered")
}

// Nothing of one rule is read under the other.
func TestRulesDoNotMix(t *testing.T) {
	first, second := sim.New(t, 4, ordering.DefaultParams()).Ceremony(), timed(t, 4)
	for _, c := range []*sim.Chain{first, second} {
		other := second
		if c == second {
			other = first
		}
		r := c.Block(ordering.Proposal{Txs: c.SealTxs("a", "b")})
		wire, err := ordering.MarshalFrames(r.Batch.Frames)
		c.Must(err)
		if _, err := ordering.ParseFrames(c.Genesis.Params, wire); err != nil {
			t.Error(err)
		}
		if _, err := ordering.ParseFrames(other.Genesis.Params, wire); err == nil {
			t.Error("frames of the other rule are read")
		}
		wrong := *c.Genesis
		wrong.Params.Order.Rule = other.Genesis.Params.Order.Rule
		if wrong.Params.Hash() == c.Genesis.Params.Hash() || wrong.Validate() == nil {
			t.Error("the rule is not what the members have signed")
		}
	}
}

// The rule is in the genesis by name, and receive-order if it is not.
func TestRuleInGenesis(t *testing.T) {
	text, err := json.Marshal(timed(t, 1).Genesis)
	if err != nil || !bytes.Contains(text, []byte(`"rule":"receive-time"`)) {
		t.Fatalf("%s, %v", text, err)
	}
	if g, err := ordering.ParseGenesis(text); err != nil || g.Params.Order.Rule != fair.ReceiveTime {
		t.Errorf("%v", err)
	}
	if _, err := ordering.ParseGenesis(bytes.Replace(text, []byte("receive-time"), []byte("receive-beer"), 1)); err == nil || !strings.Contains(err.Error(), "receive-beer") {
		t.Errorf("another rule: %v", err)
	}
	var p ordering.Params
	if err := json.Unmarshal([]byte(`{"order":{"wait":4}}`), &p); err != nil || p.Order.Rule != fair.ReceiveOrder {
		t.Errorf("without a rule: %v, %v", p.Order.Rule, err)
	}
}
