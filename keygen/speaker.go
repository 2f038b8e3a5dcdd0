package keygen

import "fmt"

// Who speaks in a ceremony: speakers 1 to n are the members of the committee
// that is to come, n+1 to n+m those of the previous one, if there is one. Who is
// in both has two roles, and says in each what is asked of that role.

// Speakers is their number.
func (t *Terms) Speakers() int { return len(t.Members) + t.handsOver() }

// handsOver is the number of members of the previous committee.
func (t *Terms) handsOver() int {
	if t.Previous == nil {
		return 0
	}
	return len(t.Previous.Members)
}

// Speaker gives the public part of speaker j; nil if there is none.
func (t *Terms) Speaker(j uint32) *Member {
	n := uint64(len(t.Members))
	switch i := uint64(j); {
	case i < 1 || i > uint64(t.Speakers()):
		return nil
	case i <= n:
		return &t.Members[i-1]
	default:
		return &t.Previous.Members[i-n-1]
	}
}

// isNew and isPrevious tell the two roles apart, for a speaker that exists.
func (t *Terms) isNew(j uint32) bool      { return uint64(j) <= uint64(len(t.Members)) }
func (t *Terms) isPrevious(j uint32) bool { return !t.isNew(j) }

// previousIndex is the number that a speaker has in the previous committee, from 1.
func (t *Terms) previousIndex(j uint32) uint32 { return j - uint32(len(t.Members)) }

// Roles lists the speakers as which a member's secret speaks: the new role
// first. ErrNotMember if there is none, or if the terms name the identity with a
// key that is not its own.
func (t *Terms) Roles(s *MemberSecret) (roles []uint32, err error) {
	own := s.Member("")
	for j := uint32(1); int(j) <= t.Speakers(); j++ {
		switch m := t.Speaker(j); {
		case !own.Identity.Equal(m.Identity):
		case !own.sameKeys(m):
			return nil, fmt.Errorf("%w: %s has this identity but other keys", ErrNotMember, t.name(j))
		default:
			roles = append(roles, j)
		}
	}
	if len(roles) == 0 {
		return nil, ErrNotMember
	}
	return roles, nil
}

// dealers are the first speaker that deals, and how many do: in a resharing who
// holds the key, else who shall hold it.
func (t *Terms) dealers() (first uint32, count int) {
	if t.Change == ChangeReshare {
		return uint32(len(t.Members)) + 1, t.handsOver()
	}
	return 1, len(t.Members)
}

// dealsNeeded is how many valid deals make a key.
func (t *Terms) dealsNeeded() int {
	if t.Change == ChangeReshare {
		return t.Previous.Committee.Threshold
	}
	return t.Threshold
}

// approvalsNeeded is how many previous members must consent.
func (t *Terms) approvalsNeeded() int {
	if t.Previous == nil {
		return 0
	}
	return t.Previous.Committee.Threshold
}

// speaks reports whether messages of a kind are asked of a speaker at all.
func (t *Terms) speaks(k Kind, j uint32) bool {
	if t.Speaker(j) == nil {
		return false
	}
	switch k {
	case KindConsent, KindRejection, KindAbort:
		return true
	case KindDeal, KindJustification:
		first, count := t.dealers()
		return j >= first && uint64(j) < uint64(first)+uint64(count)
	case KindResponse, KindCertification, KindStored:
		return t.isNew(j)
	}
	return false
}

// member gives the public part of member j, which must be 1 to n.
func (t *Terms) member(j uint32) *Member { return &t.Members[j-1] }

// name is how messages for people call speaker j.
func (t *Terms) name(j uint32) string {
	m := t.Speaker(j)
	switch {
	case m == nil:
		return fmt.Sprintf("member %d", j)
	case t.isPrevious(j):
		return fmt.Sprintf("member %d (%s, previous)", j, m.Name)
	default:
		return fmt.Sprintf("member %d (%s)", j, m.Name)
	}
}
