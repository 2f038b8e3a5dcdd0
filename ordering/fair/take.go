package fair

import "github.com/scrimlabs/scrim/threshold"

// Sequence is [Frame.CutOrder] as one list: a block that cannot take the whole frame takes a beginning of it. What a
// block may take does then not depend on bodies that it does not have. A component may be cut in two: inside one no
// order is promised.
func (f *Frame) Sequence(p Params) []threshold.ID {
	out := make([]threshold.ID, 0, len(f.IDs))
	for _, c := range f.CutOrder(p) {
		out = append(out, c...)
	}
	return out
}

// Split gives the part of the frame with the first n ids of its [Frame.Sequence], and the part with the others; a part
// without ids is nil. No pair on which the logs decide is inverted by that, outside components.
func (f *Frame) Split(p Params, n int) (first, rest *Frame) {
	switch {
	case n <= 0:
		return nil, f
	case n >= len(f.IDs):
		return f, nil
	default:
		return f.split(f.Sequence(p)[:n])
	}
}

// Content are the ids.
func (f *Frame) Content() []threshold.ID { return f.IDs }

// IsForced is Forced.
func (f *Frame) IsForced() bool { return f.Forced }

// LogCount is the number of logs.
func (f *Frame) LogCount() int { return len(f.Logs) }

// Rule is ReceiveOrder.
func (f *Frame) Rule() Rule { return ReceiveOrder }

// Final is Order.
func (f *Frame) Final(p Params, beacon [32]byte) []Component { return f.Order(p, beacon) }

// Part is Split.
func (f *Frame) Part(p Params, n int) (first, rest Set) {
	a, b := f.Split(p, n)
	return set(a), set(b)
}
