package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/abci"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// retryEvery is the pause between attempts to reach a database that is away. The node
// stands still meanwhile and the other members go on.
const retryEvery = 200 * time.Millisecond

// engine makes blocks durable and then tells the parts of the node that act on them.
// It is abci.Engine.
type engine struct {
	ctx         context.Context // ends the wait for a database when the node stops
	store       *pg.Store
	chain       pg.Chain // chain id and genesis hash
	opener      *opener
	announcer   *announcer
	bodies      *bodies
	arrived     func(*threshold.Ciphertext)
	tamper      func(*pg.Store, []*fair.Announcement) []*fair.Announcement // nil but in fault injection
	persisted   prometheus.Observer                                        // seconds
	rejected    *prometheus.CounterVec                                     // by epoch and member
	omitting    *prometheus.CounterVec                                     // by epoch and member
	log         *slog.Logger
	onCommitted []func(*ordering.State, *ordering.Result)
}

func (e *engine) InitChain(s *ordering.State) error {
	snapshot, err := s.Snapshot()
	if err != nil {
		return err
	}
	ceremony, err := s.MarshalCeremonies()
	if err != nil {
		return err
	}
	c := e.chain
	c.Ceremony = ceremony
	c.Height, c.AppHash, c.Snapshot = 0, s.AppHash(), snapshot
	return e.untilDurable("initial state", func() error { return e.store.InitChain(e.ctx, c) })
}

func (e *engine) Persist(_ *ordering.State, r *ordering.Result, at time.Time) error {
	start := time.Now()
	err := e.untilDurable(fmt.Sprintf("block %d", r.Height), func() error { return e.store.CommitBlockAt(e.ctx, r, at.UnixMilli()) })
	e.persisted.Observe(time.Since(start).Seconds())
	return err
}

// untilDurable repeats write until it succeeds or can't: an error that says that the
// database is another one than expected is final, any other may pass.
func (e *engine) untilDurable(what string, write func() error) error {
	for {
		err := write()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, pg.ErrGap), errors.Is(err, pg.ErrConflict), errors.Is(err, pg.ErrForeignChain), errors.Is(err, pg.ErrInvalid):
			return err
		case e.ctx.Err() != nil:
			return e.ctx.Err()
		}
		e.log.Error("database does not take what was decided; the node waits for it", "what", what, "err", err)
		select {
		case <-e.ctx.Done():
			return e.ctx.Err()
		case <-time.After(retryEvery):
		}
	}
}

// Committed runs after r is durable, and only then.
func (e *engine) Committed(next *ordering.State, r *ordering.Result) {
	e.opener.committed(next)
	e.announcer.committed(next, r.Round)
	for _, f := range e.onCommitted {
		f(next, r)
	}
}

// Rejected says what a proposer did wrong. It is no evidence: an honest proposer that is
// behind may be rejected too.
func (e *engine) Rejected(epoch uint64, member uint32, height uint64, reason error) {
	e.rejected.WithLabelValues(fmt.Sprint(epoch), fmt.Sprint(member)).Inc()
	e.log.Warn("proposal rejected", "height", height, "epoch", epoch, "member", member, "err", reason)
}

// Accepted counts proposals that leave out a log of which this node had heard. It is no evidence: the proposer may not have.
func (e *engine) Accepted(epoch uint64, member uint32, before, next *ordering.State) {
	if left := e.announcer.leftOut(before, next, time.Now().Add(-omitMargin)); len(left) > 0 {
		e.omitting.WithLabelValues(fmt.Sprint(epoch), fmt.Sprint(member)).Inc()
		e.log.Debug("proposal leaves out receive logs", "height", next.Height(), "epoch", epoch, "member", member, "logs", left)
	}
}

// Misbehaved keeps CometBFT's evidence beside ours.
func (e *engine) Misbehaved(m abci.Misbehaviour) {
	e.log.Warn("a validator misbehaved", "kind", m.Kind, "epoch", m.Epoch, "member", m.Member, "height", m.Height)
	if err := e.store.AddEvidence(e.ctx, pg.Evidence{Kind: m.Kind, Epoch: m.Epoch, Member: m.Member, Height: m.Height, Body: m.Proof}); err != nil {
		e.log.Error("evidence not stored", "kind", m.Kind, "epoch", m.Epoch, "member", m.Member, "err", err)
	}
}

func (e *engine) Openings(s *ordering.State) []ordering.BatchOpenings { return e.opener.openings(s) }

// storedChain is what the database holds, nil if it is empty.
func storedChain(ctx context.Context, store *pg.Store) (*pg.Chain, error) {
	c, err := store.Chain(ctx)
	if errors.Is(err, pg.ErrEmpty) {
		return nil, nil //nolint:nilnil // nothing is there, and that is no error
	}
	return c, err
}

// checkOwner refuses a database that is another chain's or another member's.
func checkOwner(c *pg.Chain, want pg.Chain) error {
	if c == nil {
		return nil
	}
	if c.ChainID != want.ChainID || c.GenesisHash != want.GenesisHash {
		return &pg.ForeignChainError{Have: pg.Identity{ChainID: c.ChainID, GenesisHash: c.GenesisHash}, Want: pg.Identity{ChainID: want.ChainID, GenesisHash: want.GenesisHash}}
	}
	return nil
}

// loadState rebuilds the state after the last durable block, or gives the one before
// the first.
func loadState(ctx context.Context, store *pg.Store, g *ordering.Genesis, c *pg.Chain) (*ordering.State, error) {
	if c == nil {
		return ordering.New(g)
	}
	seen, err := store.Seen(ctx, c.Height+1)
	if err != nil {
		return nil, err
	}
	return ordering.Restore(g, c.Snapshot, ordering.Rows{
		Ceremony:    c.Ceremony,
		Seen:        seen,
		Ciphertexts: func(height uint64) ([][]byte, error) { return store.Ciphertexts(ctx, height) },
	})
}
