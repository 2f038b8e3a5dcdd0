package fair

import "github.com/scrimlabs/scrim/threshold"

// CutOrder is the order in which the frame's ids go into blocks if they do not fit into one: component by component,
// topologically along the strong edges, ids (ascending) where that leaves it open. No beacon is in it, for it must be
// known which bodies a block has before the beacon is. Inside a part, the order is still that of [Frame.Order].
func (f *Frame) CutOrder(p Params) []Component {
	rank := make([]int, len(f.IDs)) // ids are ascending
	for i := range rank {
		rank[i] = i
	}
	return f.order(p, ties{rank: rank, limit: maxRanked})
}

// Cut splits the frame in two: first goes now, rest goes later, before anything of a later frame. First is the longest
// run of whole components at the beginning of [Frame.CutOrder] that fits; fits is asked about all ids that would go
// first, and what does not fit must not fit with more ids either. First is therefore closed under predecessors, and no
// pair that the logs decide is inverted by the cut. Either part is nil if it has no ids.
//
// A component that does not fit waits whole, unless it stands at the beginning and inside is true: then it is cut too,
// in the order of its ranked pairs. That is for a block that is empty otherwise, because such a component would wait for ever.
//
// A proposer's fits counts bodies and bytes. Who checks a block lets fits say whether the block has all these ids,
// and then compares first with what the block has.
func (f *Frame) Cut(p Params, fits func(first []threshold.ID) bool, inside bool) (first, rest *Frame) {
	if fits(f.IDs) {
		return f, nil
	}
	order := f.CutOrder(p)
	ids := make([]threshold.ID, 0, len(f.IDs))
	for _, c := range order {
		ids = append(ids, c...)
	}
	taken := 0
	for _, c := range order {
		if fits(ids[:taken+len(c)]) {
			taken += len(c)
			continue
		}
		if inside && taken == 0 {
			for taken < len(c) && fits(ids[:taken+1]) {
				taken++
			}
		}
		break
	}
	return f.split(ids[:taken])
}

// split gives the part of the frame with the taken ids, and the part with the others.
func (f *Frame) split(taken []threshold.ID) (first, rest *Frame) {
	in := make(map[threshold.ID]bool, len(taken)) // never iterated
	for _, id := range taken {
		in[id] = true
	}
	return f.only(func(id threshold.ID) bool { return in[id] }), f.only(func(id threshold.ID) bool { return !in[id] })
}

// only is the frame without the ids that keep refuses; nil if none is left.
func (f *Frame) only(keep func(id threshold.ID) bool) *Frame {
	out := &Frame{Forced: f.Forced, Logs: make([][]uint32, len(f.Logs))}
	const gone = ^uint32(0)
	moved := make([]uint32, len(f.IDs))
	for x, id := range f.IDs {
		moved[x] = gone
		if keep(id) {
			moved[x] = uint32(len(out.IDs))
			out.IDs = append(out.IDs, id)
		}
	}
	if len(out.IDs) == 0 {
		return nil
	}
	for i, log := range f.Logs {
		out.Logs[i] = make([]uint32, 0, len(log))
		for _, x := range log {
			if moved[x] != gone {
				out.Logs[i] = append(out.Logs[i], moved[x])
			}
		}
	}
	return out
}
