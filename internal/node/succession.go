package node

import (
	"context"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
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
