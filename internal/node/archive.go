package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// archiveSize is how many answers an archive keeps.
const archiveSize = 16

// archive shows ceremonies that have ended, from the store. To read one is to check all its
// signatures again, 0.1 s for 32 members: so they are read one at a time, and the answers
// last made are kept, which never change. The zero value is empty.
type archive struct {
	mu   sync.Mutex
	kept []v1.Ceremony // the last made at the end
}

// show gives a ceremony with who did what; pg.ErrNotFound if none with the id has ended.
func (a *archive) show(ctx context.Context, store *pg.Store, id [32]byte) (v1.Ceremony, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.kept {
		if bytes.Equal(c.ID, id[:]) {
			return c, nil
		}
	}
	wire, err := store.CeremonyState(ctx, id) // also says if ctx has ended meanwhile
	if err != nil {
		return v1.Ceremony{}, err
	}
	s, err := keygen.ParseState(wire)
	if err != nil {
		return v1.Ceremony{}, fmt.Errorf("ceremony %x in the database: %w", id, err)
	}
	c, err := ceremonyMatrix(s)
	if err != nil {
		return v1.Ceremony{}, err
	}
	if len(a.kept) == archiveSize {
		a.kept = a.kept[1:]
	}
	a.kept = append(a.kept, c)
	return c, nil
}

// Ceremonies lists the ceremonies of the whole chain: the one that runs, from the state, and
// before it those that have ended, from the store.
func (b backend) Ceremonies(ctx context.Context, before string, limit int) (v1.Ceremonies, error) {
	out := v1.Ceremonies{Ceremonies: []v1.CeremonySummary{}}
	newest := b.n.state().Ceremony()
	var epoch uint64
	var attempt uint32 // of the ceremony before which those begin that the store gives; 0: at the newest
	switch running := !newest.Done(); {
	case before == "" && running:
		out.Ceremonies = append(out.Ceremonies, ceremonySummary(newest))
		fallthrough
	case running && isCeremony(newest.Terms(), before):
		epoch, attempt = newest.Terms().Epoch, newest.Terms().Attempt
	case before != "":
		c, err := b.ended(ctx, before)
		if err != nil {
			return v1.Ceremonies{}, err
		}
		epoch, attempt = c.Epoch, c.Attempt
	}
	rows, err := b.n.store.Ceremonies(ctx, epoch, attempt, limit+1-len(out.Ceremonies))
	if err != nil {
		return v1.Ceremonies{}, err
	}
	for i := range rows {
		out.Ceremonies = append(out.Ceremonies, endedSummary(&rows[i]))
	}
	if len(out.Ceremonies) > limit {
		out.Ceremonies = out.Ceremonies[:limit]
		out.Next = out.Ceremonies[limit-1].ID
	}
	return out, nil
}

func endedSummary(c *pg.Ceremony) v1.CeremonySummary {
	out := v1.CeremonySummary{
		ID: v1.HexOf(c.ID[:]), Epoch: c.Epoch, Attempt: c.Attempt, Threshold: c.Threshold, Members: c.Members, Change: c.Change,
		Overlap: c.Overlap, Outcome: outcome(c.Outcome), Phase: c.Outcome, StartHeight: c.StartHeight,
	}
	if c.PreviousEpoch > 0 {
		out.PreviousEpoch = &c.PreviousEpoch
	}
	return out
}

func (b backend) Ceremony(ctx context.Context, id string) (v1.Ceremony, error) {
	if c := findCeremony(b.n.state(), id); c != nil {
		return ceremonyMatrix(c)
	}
	hash, err := ceremonyID(id)
	if err != nil {
		return v1.Ceremony{}, err
	}
	c, err := b.n.archive.show(ctx, b.n.store, hash)
	return c, orNoCeremony(err, id)
}

func (b backend) Transcript(ctx context.Context, id string) ([]byte, error) {
	if c := findCeremony(b.n.state(), id); c != nil {
		return c.MarshalBinary()
	}
	hash, err := ceremonyID(id)
	if err != nil {
		return nil, err
	}
	state, err := b.n.store.CeremonyState(ctx, hash)
	return state, orNoCeremony(err, id)
}

// ended gives a ceremony that has ended, or the problem not_found.
func (b backend) ended(ctx context.Context, id string) (*pg.Ceremony, error) {
	hash, err := ceremonyID(id)
	if err != nil {
		return nil, err
	}
	c, err := b.n.store.Ceremony(ctx, hash)
	return c, orNoCeremony(err, id)
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

// ceremonyID reads an id, which httpapi gives in its one spelling.
func ceremonyID(id string) (hash [32]byte, err error) {
	b, err := v1.ParseHex(id)
	if err != nil || len(b) != len(hash) {
		return hash, noCeremony(id)
	}
	return [32]byte(b), nil
}

// orNoCeremony says it in the API's words if the store does not have the ceremony.
func orNoCeremony(err error, id string) error {
	if errors.Is(err, pg.ErrNotFound) {
		return noCeremony(id)
	}
	return err
}
