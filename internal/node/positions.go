package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// A trace is bounded: nobody who asks makes a node look through more than this much of its chain. Pages are bounded in
// bytes besides, see [pg.Store.Mentions].
const tracePages = 8

var traceRounds = 128 // of a page

// seats are a committee whose members' statements the blocks after since have.
type seats struct {
	epoch, since uint64
	identities   []ed25519.PublicKey
}

// officeBefore is the committee in office before the block of a height; pg.ErrNotFound if there was none.
func (b backend) officeBefore(ctx context.Context, height uint64) (*seats, error) {
	for _, t := range b.n.state().Tenures() {
		if t.Since < height && (t.Until == 0 || height <= t.Until) {
			return newSeats(t.Since, t.Terms()), nil
		}
	}
	wire, since, err := b.n.store.OfficeBefore(ctx, height)
	if err != nil {
		return nil, err
	}
	c, err := keygen.ParseCertificate(wire)
	if err != nil {
		return nil, fmt.Errorf("committee before block %d: %w", height, err)
	}
	return newSeats(since, c.Terms), nil
}

func newSeats(since uint64, terms *keygen.Terms) *seats {
	o := &seats{epoch: terms.Epoch, since: since}
	for _, m := range terms.Members {
		o.identities = append(o.identities, m.Identity)
	}
	return o
}

// logged is where a receive log has an id.
type logged struct {
	height   uint64 // of the block that committed it
	position uint64 // from 1
	time     uint64 // receive-time: milliseconds since 1970
}

// trace is where the committed receive logs have some ids. A log goes on over all committees, so it is its identity key's.
type trace struct {
	entries map[threshold.ID]map[string]logged // never iterated
	after   uint64                             // what blocks up to there committed was not searched
}

// trace searches the blocks up to a height, the newest first, until done says that it has enough, or it has looked through
// as much as it may.
func (b backend) trace(ctx context.Context, last uint64, done func(*trace) bool, ids ...threshold.ID) (*trace, error) {
	t := &trace{entries: make(map[threshold.ID]map[string]logged), after: last}
	for _, id := range ids {
		t.entries[id] = make(map[string]logged)
	}
	var o *seats
	for range tracePages {
		rounds, rest, err := b.n.store.Mentions(ctx, ids, t.after, traceRounds)
		if err != nil {
			return nil, err
		}
		for _, r := range rounds {
			if o == nil || r.Height <= o.since {
				if o, err = b.officeBefore(ctx, r.Height); err != nil {
					return nil, err
				}
			}
			if err := t.read(b.n.state().Genesis().Params, o, r); err != nil {
				return nil, err
			}
		}
		if t.after = rest; rest == 0 || done(t) {
			break
		}
	}
	return t, nil
}

// read takes the ids out of what a block said. Who states an id twice is held to the first time, as the order does.
func (t *trace) read(p ordering.Params, o *seats, r ordering.Round) error {
	chunks, err := p.Order.Rule.Chunks(p.Fair(len(o.identities)), r.Section)
	if err != nil {
		return fmt.Errorf("statements of block %d: %w", r.Height, err)
	}
	for _, c := range chunks {
		before := c.Sequence - uint64(len(c.IDs))
		for i, id := range slices.Backward(c.IDs) {
			if of := t.entries[id]; of != nil {
				e := logged{height: r.Height, position: before + uint64(i) + 1}
				if c.Times != nil {
					e.time = c.Times[i]
				}
				of[string(o.identities[c.Member-1])] = e
			}
		}
	}
	return nil
}

// in gives the entries for an id in the logs of a committee's members, as they were after the block of a height; nil where a
// log did not have it.
func (t *trace) in(o *seats, id threshold.ID, height uint64) []*logged {
	out := make([]*logged, len(o.identities))
	for i, key := range o.identities {
		if e, ok := t.entries[id][string(key)]; ok && e.height <= height {
			out[i] = &e
		}
	}
	return out
}

// has says whether the entries of all logs that have a place for the id are found, and that the committee has as many logs;
// without places, those of all logs.
func (t *trace) has(o *seats, id threshold.ID, height uint64, places []uint32) bool {
	if places != nil && len(places) != len(o.identities) {
		return false
	}
	for i, e := range t.in(o, id, height) {
		if e == nil && (places == nil || places[i] > 0) {
			return false
		}
	}
	return true
}

// positions is where the receive logs have an id, as they were after the block of a height, under the committee that decided it: the
// one before that block, or an earlier one if the id waited for room since. Places are those of its frame, nil if that has none.
func (b backend) positions(ctx context.Context, id threshold.ID, height uint64, places []uint32) (*seats, []*logged, *trace, error) {
	o, err := b.decidedBy(ctx, height, places)
	if err != nil {
		return nil, nil, nil, err
	}
	t, err := b.trace(ctx, height, func(t *trace) bool { return t.has(o, id, height, places) }, id)
	if err != nil {
		return nil, nil, nil, err
	}
	if places != nil && !t.has(o, id, height, places) {
		earlier, err := b.decidedBy(ctx, o.since, places)
		switch {
		case err == nil && t.has(earlier, id, height, places):
			o = earlier
		case err != nil && !errors.Is(err, pg.ErrNotFound):
			return nil, nil, nil, err
		}
	}
	return o, t.in(o, id, height), t, nil
}

// decidedBy is the committee before the block of a height, or the last one before it that has as many logs as there are places.
func (b backend) decidedBy(ctx context.Context, height uint64, places []uint32) (*seats, error) {
	o, err := b.officeBefore(ctx, height)
	for err == nil && places != nil && len(o.identities) != len(places) {
		o, err = b.officeBefore(ctx, o.since)
	}
	return o, err
}

// votes counts the logs that have x before y and y before x, of the committee before the earlier batch, when the later one was
// ordered. A log with one of the two has that one first. It is 0 and 0 if the batches are too far apart to search both.
func (b backend) votes(ctx context.Context, x, y threshold.ID, earlier, later uint64) (forward, backward uint32, err error) {
	o, err := b.officeBefore(ctx, earlier)
	if err != nil {
		return 0, 0, err
	}
	all := func(t *trace) bool { return t.has(o, x, later, nil) && t.has(o, y, later, nil) }
	t, err := b.trace(ctx, later, all, x, y)
	if err != nil || t.after >= earlier {
		return 0, 0, err
	}
	theirs := t.in(o, y, later)
	for i, e := range t.in(o, x, later) {
		switch other := theirs[i]; {
		case e != nil && (other == nil || e.position < other.position):
			forward++
		case other != nil:
			backward++
		}
	}
	return forward, backward, nil
}
