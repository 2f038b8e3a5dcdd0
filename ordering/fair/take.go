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

// HasSolid reports whether an id is solid and not done: further heights order it, even without further statements.
func (s State) HasSolid() bool {
	for i := range s.ids {
		if s.ids[i].solid != 0 {
			return true
		}
	}
	return false
}

// Holders are the members whose committed logs hold an id that is not done, ascending.
func (s State) Holders(id threshold.ID) []uint32 {
	x, known := findID(s.ids, id)
	if !known {
		return nil
	}
	var out []uint32
	for i := range s.members {
		for _, y := range s.members[i].live {
			if int(y) == x {
				out = append(out, uint32(i+1))
				break
			}
		}
	}
	return out
}

// Skip is the state at a later height if nothing is stated until then. It goes as far as nothing can happen: not at all
// while an id is not done.
func (s State) Skip(height uint64) State {
	if len(s.ids) == 0 && height > s.height {
		s.height = height
	}
	return s
}
