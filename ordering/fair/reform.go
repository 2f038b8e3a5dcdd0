package fair

import (
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
)

// Base is where a log stands that was committed before: its number of ids and its head.
type Base struct {
	Sequence uint64
	Head     commitreveal.Hash
}

// Reform is the state after a height at which another set of members takes over. Member i of the new set (from 1) goes on with
// the log of member from[i-1] of the old one, with its ids that are not done; if that is 0, with an empty log that
// begins at base[i-1]. When an id was first seen, non-blank and solid begins anew, at this height: with other members and
// parameters the old heights say nothing. Ids that no new member has are gone.
func Reform(s State, p Params, height uint64, from []uint32, base []Base) (State, error) {
	if err := p.Validate(); err != nil {
		return State{}, err
	}
	if len(from) != p.Members || len(base) != p.Members || height != s.height {
		return State{}, fmt.Errorf("%w: reform to %d members from %d logs at height %d after %d", ErrInvalid, p.Members, len(from), height, s.height)
	}
	next := State{params: p, height: height, members: make([]memberLog, p.Members), ids: slices.Clone(s.ids)}
	taken := newBitset(len(s.members))
	left := newBitset(len(s.ids))
	for i, j := range from {
		m := &next.members[i]
		if j == 0 {
			m.sequence, m.head = base[i].Sequence, base[i].Head
			continue
		}
		if int(j) > len(s.members) || taken.has(int(j)-1) {
			return State{}, fmt.Errorf("%w: member %d goes on as two, or is none", ErrMember, j)
		}
		taken.set(int(j) - 1)
		*m = s.members[j-1]
		m.live = slices.Clone(m.live[:min(len(m.live), p.MaxLive)])
		for _, x := range m.live {
			left.set(int(x))
		}
	}
	for x := range next.ids {
		next.ids[x].first, next.ids[x].nonblank, next.ids[x].solid = height, 0, 0
	}
	next.compact(left)
	next.mark()
	return next, nil
}
