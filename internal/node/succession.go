package node

import (
	"context"
	"slices"

	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// Committees gives all that the chain has had.
func (b backend) Committees(ctx context.Context, from uint64, limit int) (v1.Committees, error) {
	s := b.n.state()
	out := v1.Committees{ChainID: s.Genesis().ChainID, Height: s.Height(), Committees: []v1.CommitteeRecord{}}
	rows, err := b.n.store.Committees(ctx, from, limit)
	if err != nil {
		return v1.Committees{}, err
	}
	for _, c := range rows {
		r := v1.CommitteeRecord{
			Epoch: c.Epoch, Change: c.Change, Threshold: c.Threshold, Members: c.Members, Since: c.Since,
			KeyID: v1.HexOf(c.KeyID[:]), TermsHash: v1.HexOf(c.TermsHash[:]), Certificate: c.Certificate, LogIndex: c.LogIndex,
		}
		if c.Until > 0 {
			r.Until = &c.Until
		}
		out.Committees = append(out.Committees, r)
	}
	if n := len(rows); n > 0 && rows[n-1].Until > 0 {
		next := rows[n-1].Epoch + 1
		out.Next = &next
	}
	return out, nil
}

// Ceremonies lists the newest, the attempts before it that came to nothing, and those of
// the committees that the state still needs.
func (b backend) Ceremonies(context.Context) (v1.Ceremonies, error) {
	return ceremoniesOf(b.n.state()), nil
}

func ceremoniesOf(s *ordering.State) v1.Ceremonies {
	out := v1.Ceremonies{Ceremonies: []v1.CeremonySummary{ceremonySummary(s.Ceremony())}}
	for _, r := range slices.Backward(s.PastCeremonies()) {
		out.Ceremonies = append(out.Ceremonies, termsSummary(r.Terms, r.Outcome))
	}
	for _, t := range slices.Backward(s.Tenures()) {
		if t.Ceremony.Ceremony() != s.Ceremony().Ceremony() {
			out.Ceremonies = append(out.Ceremonies, ceremonySummary(t.Ceremony))
		}
	}
	return out
}

func (b backend) Ceremony(_ context.Context, id string) (v1.Ceremony, error) {
	s := b.n.state()
	if c := findCeremony(s, id); c != nil {
		return ceremonyMatrix(c)
	}
	for _, r := range s.PastCeremonies() {
		if isCeremony(r.Terms, id) {
			return pastCeremony(r)
		}
	}
	return v1.Ceremony{}, noCeremony(id)
}

// findCeremony gives a ceremony of which the state has all that was said.
func findCeremony(s *ordering.State, id string) *keygen.State {
	if isCeremony(s.Ceremony().Terms(), id) {
		return s.Ceremony()
	}
	for _, t := range s.Tenures() {
		if isCeremony(t.Terms(), id) {
			return t.Ceremony
		}
	}
	return nil
}

// isPast reports whether the id names a ceremony that another has followed.
func isPast(s *ordering.State, id string) bool {
	return findCeremony(s, id) != nil || slices.ContainsFunc(s.PastCeremonies(), func(r *keygen.Record) bool { return isCeremony(r.Terms, id) })
}

func (b backend) Transcript(_ context.Context, id string) ([]byte, error) {
	s := b.n.state()
	if c := findCeremony(s, id); c != nil {
		return c.MarshalBinary()
	}
	if isPast(s, id) {
		return nil, httpapi.Errorf("not_found", "the ceremony %s came to nothing, and what was said in it is only in the chain's blocks", id)
	}
	return nil, noCeremony(id)
}
