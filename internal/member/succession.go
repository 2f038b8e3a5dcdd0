package member

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/scrimlabs/scrim/keygen"
)

// ErrDraft says that the next committee cannot be drafted as it was asked for.
var ErrDraft = errors.New("the next committee")

// Succession says how the next committee is to differ from the one in office. The zero
// value of a field keeps what there is.
type Succession struct {
	Change    keygen.Change  // ChangeReshare or ChangeRotate
	Add       []*keygen.Card // of people who join; their place is after those who stay
	Remove    []string       // names of those who leave
	Members   []*keygen.Card // the whole new list instead, in this order
	Threshold int            // 0: as before if as many are members, else keygen.DefaultThreshold
	Overlap   uint64         // of a rotation: blocks
	Phases    keygen.Phases  // a length of 0 is as before
}

// Terms drafts the next committee's terms. office is the certificate of the one in
// office, which must have been verified; start is the height at which dealing begins.
func (d Succession) Terms(office *keygen.Certificate, attempt uint32, start uint64) (*keygen.Terms, error) {
	members, err := d.members(office.Terms.Members)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDraft, err)
	}
	previous, err := keygen.PreviousOf(office)
	if err != nil {
		return nil, err
	}
	t := &keygen.Terms{
		ChainID:     office.Terms.ChainID,
		Epoch:       office.Terms.Epoch + 1,
		Attempt:     attempt,
		Threshold:   d.Threshold,
		Members:     members,
		Phases:      phasesOr(d.Phases, office.Terms.Phases),
		StartHeight: start,
		Limits:      office.Terms.Limits,
		Change:      d.Change,
		Overlap:     d.Overlap,
		Previous:    previous,
	}
	switch {
	case t.Threshold != 0:
	case len(members) == office.Terms.N():
		t.Threshold = office.Terms.Threshold
	default:
		t.Threshold = keygen.DefaultThreshold(len(members))
	}
	return t, t.Validate()
}

func (d Succession) members(old []keygen.Member) ([]keygen.Member, error) {
	if len(d.Members) > 0 && len(d.Add)+len(d.Remove) > 0 {
		return nil, errors.New("give either the whole list of members, or who joins and who leaves")
	}
	for _, c := range slices.Concat(d.Members, d.Add) {
		if err := c.Verify(); err != nil {
			return nil, err
		}
	}
	if len(d.Members) > 0 {
		return cardMembers(d.Members), nil
	}
	var members []keygen.Member
	gone := slices.Clone(d.Remove)
	for _, m := range old {
		if i := slices.Index(gone, m.Name); i >= 0 {
			gone = slices.Delete(gone, i, i+1)
			continue
		}
		members = append(members, m)
	}
	if len(gone) > 0 {
		return nil, fmt.Errorf("%s cannot leave: the members in office are %s", strings.Join(gone, ", "), names(old))
	}
	for _, m := range cardMembers(d.Add) {
		if slices.ContainsFunc(members, func(o keygen.Member) bool { return o.Identity.Equal(m.Identity) }) {
			return nil, fmt.Errorf("%s is a member already", m.Name)
		}
		members = append(members, m)
	}
	if len(members) == 0 {
		return nil, errors.New("nobody is left")
	}
	return members, nil
}

func cardMembers(cards []*keygen.Card) (members []keygen.Member) {
	for _, c := range cards {
		members = append(members, c.Member)
	}
	return members
}

func names(members []keygen.Member) string {
	var all []string
	for _, m := range members {
		all = append(all, m.Name)
	}
	return strings.Join(all, ", ")
}

// Difference is a line of what a succession changes.
type Difference struct{ What, Text string }

// Differences says in words what the terms of a later committee change against the one
// before. phases are those of that one's terms.
func Differences(t *keygen.Terms, phases keygen.Phases) []Difference {
	if t.Previous == nil {
		return nil
	}
	old := t.Previous.Members
	joins := without(t.Members, old)
	leaves := without(old, t.Members)
	var out []Difference
	add := func(what, format string, args ...any) {
		out = append(out, Difference{what, fmt.Sprintf(format, args...)})
	}
	for _, m := range joins {
		add("joins", "%s, fingerprint %s", m.Name, m.Fingerprint())
	}
	for _, m := range leaves {
		add("leaves", "%s, fingerprint %s", m.Name, m.Fingerprint())
	}
	if stay := without(t.Members, joins); len(stay) > 0 {
		add("stays", "%s", names(stay))
	}
	was, is := fmt.Sprintf("%d of %d", t.Previous.Committee.Threshold, len(old)), fmt.Sprintf("%d of %d", t.Threshold, t.N())
	if was == is {
		add("threshold", "%s, as before", is)
	} else {
		add("threshold", "%s instead of %s", is, was)
	}
	id := t.Previous.Committee.Key.ID()
	if t.Change == keygen.ChangeReshare {
		add("key", "stays: id 0x%x; all shares are new, old ones do not fit them", id[:4])
	} else {
		add("key", "a new one; what is sealed to the old one (id 0x%x) is ordered for %d blocks after the change, then refused", id[:4], t.Overlap)
	}
	if changed := phaseDifferences(phases, t.Phases); len(changed) > 0 {
		add("phases", "%s", strings.Join(changed, "; "))
	}
	return out
}

// without lists the members whose identity is not among others.
func without(members, others []keygen.Member) (out []keygen.Member) {
	for _, m := range members {
		if !slices.ContainsFunc(others, func(o keygen.Member) bool { return o.Identity.Equal(m.Identity) }) {
			out = append(out, m)
		}
	}
	return out
}

func phaseDifferences(was, is keygen.Phases) (out []string) {
	for _, p := range []struct {
		name    string
		was, is uint64
	}{
		{"deal", was.Deal, is.Deal}, {"respond", was.Respond, is.Respond}, {"justify", was.Justify, is.Justify},
		{"certify", was.Certify, is.Certify}, {"store", was.Store, is.Store},
	} {
		if p.was != p.is {
			out = append(out, fmt.Sprintf("%s: %d blocks instead of %d", p.name, p.is, p.was))
		}
	}
	return out
}
