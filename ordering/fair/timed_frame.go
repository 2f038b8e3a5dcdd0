package fair

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/threshold"
)

// TimedFrame is a set of ids that a height has fixed to be ordered together.
type TimedFrame struct {
	// Forced frames were ordered because their time was up, although something earlier could still have come.
	Forced bool
	IDs    []threshold.ID // ascending
	Keys   []uint64       // of IDs: milliseconds since 1970
}

// Order puts the frame into its final order: by key, ids of one millisecond by [TieKey]. A component is the ids of
// one millisecond.
func (f *TimedFrame) Order(beacon [32]byte) []Component {
	return f.order(func(a, b threshold.ID) int {
		x, y := TieKey(beacon, a), TieKey(beacon, b)
		return bytes.Compare(x[:], y[:])
	})
}

func (f *TimedFrame) order(tie func(a, b threshold.ID) int) (out []Component) {
	at := make([]int, len(f.IDs))
	for x := range at {
		at[x] = x
	}
	slices.SortFunc(at, func(x, y int) int { return cmp.Or(cmp.Compare(f.Keys[x], f.Keys[y]), tie(f.IDs[x], f.IDs[y])) })
	for i, x := range at {
		if i == 0 || f.Keys[at[i-1]] != f.Keys[x] {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], f.IDs[x])
	}
	return out
}

// Cut splits a frame whose bodies do not fit into one block: first are the most ids that fit by key, then by id, and rest
// goes later, before anything of a later frame. Fits is asked as in [Frame.Cut]; either part is nil if it has no ids.
func (f *TimedFrame) Cut(fits func(first []threshold.ID) bool) (first, rest *TimedFrame) {
	if fits(f.IDs) {
		return f, nil
	}
	ids := slices.Concat(f.order(compareIDs)...)
	n := 0
	for n < len(ids) && fits(ids[:n+1]) {
		n++
	}
	taken := slices.Clone(ids[:n])
	slices.SortFunc(taken, compareIDs)
	parts := [2]*TimedFrame{{Forced: f.Forced}, {Forced: f.Forced}}
	for x, id := range f.IDs {
		p := parts[1]
		if _, now := slices.BinarySearchFunc(taken, id, compareIDs); now {
			p = parts[0]
		}
		p.IDs, p.Keys = append(p.IDs, id), append(p.Keys, f.Keys[x])
	}
	if n == 0 {
		return nil, parts[1]
	}
	return parts[0], parts[1]
}

// Content are the ids.
func (f *TimedFrame) Content() []threshold.ID { return f.IDs }

// IsForced is Forced.
func (f *TimedFrame) IsForced() bool { return f.Forced }

// LogCount is 0: the keys are all that is left of the logs.
func (f *TimedFrame) LogCount() int { return 0 }

// Rule is ReceiveTime.
func (f *TimedFrame) Rule() Rule { return ReceiveTime }

// Final is Order.
func (f *TimedFrame) Final(_ Params, beacon [32]byte) []Component { return f.Order(beacon) }

// Sequence is the frame by key, then by id: the order in which [TimedFrame.Cut] cuts.
func (f *TimedFrame) Sequence(Params) []threshold.ID { return slices.Concat(f.order(compareIDs)...) }

// Part is Cut after n ids.
func (f *TimedFrame) Part(_ Params, n int) (first, rest Set) {
	a, b := f.Cut(func(ids []threshold.ID) bool { return len(ids) <= n })
	return set(a), set(b)
}

// Key is that of an id: the (f+1)-th smallest of its times, in milliseconds since 1970.
func (f *TimedFrame) Key(id threshold.ID) (key uint64, ok bool) {
	x, ok := slices.BinarySearchFunc(f.IDs, id, compareIDs)
	if !ok {
		return 0, false
	}
	return f.Keys[x], true
}

// Explain is as [Frame.Explain]: by the times, or, in one millisecond, by the beacon.
func (f *TimedFrame) Explain(_ Params, beacon [32]byte, a, b threshold.ID) (*Explanation, error) {
	x, okX := f.Key(a)
	y, okY := f.Key(b)
	if !okX || !okY || a == b {
		return nil, fmt.Errorf("%w: the frame has not both of %v and %v", ErrUnknown, a, b)
	}
	e := &Explanation{
		First: Place{ID: a, Key: TieKey(beacon, a)}, Second: Place{ID: b, Key: TieKey(beacon, b)}, Reason: ByTime, Forced: f.Forced,
	}
	if x > y || x == y && slices.Compare(e.First.Key[:], e.Second.Key[:]) > 0 {
		e.First, e.Second = e.Second, e.First
	}
	if x != y {
		return e, nil
	}
	e.Reason, e.Won, e.Lost = ByBeacon, e.First.ID, e.Second.ID
	for _, c := range f.Order(beacon) {
		if slices.Contains(c, a) {
			e.Component = c
		}
	}
	return e, nil
}
