package node

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
)

// accuseEvery is how often evidence that is not in the log yet is offered to the mempool again.
const accuseEvery = 5 * time.Second

// evidenceStore is what keeps evidence, in the order in which it came.
type evidenceStore interface {
	AddEvidence(ctx context.Context, e pg.Evidence) error
	Accusations(ctx context.Context, after, epoch uint64) (all []pg.Accusation, upTo uint64, err error)
	NextEvidence(ctx context.Context, a pg.Accusation, after uint64) (*pg.Evidence, error)
}

// accuser keeps evidence against members, and offers it to the mempool until the log has it, or the chain never will.
// What was kept before a restart, it finds in the store. It holds no bodies: a member can give cause for a lot.
type accuser struct {
	store  evidenceStore
	submit func(tx []byte) error
	log    *slog.Logger

	wake     chan struct{} // capacity 1: there is new evidence
	seen     uint64        // number up to which the store was asked
	verifier *ordering.Verifier
	// waiting is what is to be recorded, with the number of the evidence before the one that is offered: those were refused for good.
	waiting map[pg.Accusation]uint64
}

func newAccuser(store evidenceStore, verifier *ordering.Verifier, log *slog.Logger) *accuser {
	return &accuser{store: store, verifier: verifier, log: log, wake: make(chan struct{}, 1), waiting: make(map[pg.Accusation]uint64)}
}

// AddEvidence keeps a piece of evidence, as pg.Store does, and has it offered soon.
func (a *accuser) AddEvidence(ctx context.Context, e pg.Evidence) error {
	if err := a.store.AddEvidence(ctx, e); err != nil {
		return err
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
	return nil
}

// run offers evidence until ctx ends.
func (a *accuser) run(ctx context.Context, state func() *ordering.State, catchingUp func() bool) {
	tick := time.NewTicker(accuseEvery)
	defer tick.Stop()
	for {
		if !catchingUp() {
			if err := a.round(ctx, state()); err != nil && ctx.Err() == nil {
				a.log.Error("evidence not offered to the chain; it stays here, and is offered again", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-tick.C:
		}
	}
}

// round looks for new evidence and offers all that the log does not have.
func (a *accuser) round(ctx context.Context, s *ordering.State) error {
	if s.Office() == nil {
		return nil // of what comes now the chain will know the committee, or none
	}
	found, upTo, err := a.store.Accusations(ctx, a.seen, s.Tenures()[0].Epoch())
	if err != nil {
		return err
	}
	a.seen = upTo
	for _, x := range found {
		if _, known := a.waiting[x]; !known {
			a.waiting[x] = 0
		}
	}
	for x := range a.waiting {
		if err := a.offer(ctx, s, x); err != nil {
			return err
		}
	}
	return nil
}

// offer puts the oldest evidence of an accusation into the mempool that the chain could record.
func (a *accuser) offer(ctx context.Context, s *ordering.State, x pg.Accusation) error {
	kind, ok := ordering.EvidenceKindOf(x.Kind)
	if !ok || x.Epoch < s.Tenures()[0].Epoch() || s.HasRecorded(ordering.Charge{Epoch: x.Epoch, Member: x.Member, Kind: kind}) {
		delete(a.waiting, x)
		return nil
	}
	if x.Epoch > s.Office().Epoch() {
		return nil // of a ceremony that runs
	}
	for {
		e, err := a.store.NextEvidence(ctx, x, a.waiting[x])
		if errors.Is(err, pg.ErrNotFound) {
			delete(a.waiting, x) // should there be more one day, it is found as new
			return nil
		}
		if err != nil {
			return err
		}
		tx, err := ordering.EvidenceTx(ordering.Evidence{Kind: kind, Epoch: x.Epoch, Body: e.Body})
		if err == nil {
			err = ordering.CheckTx(s, a.verifier, tx)
		}
		if err == nil {
			return a.submit(tx)
		}
		a.log.Warn("evidence is not for the log; it stays with this node", "kind", x.Kind, "epoch", x.Epoch, "member", x.Member, "number", e.Number, "reason", err)
		a.waiting[x] = e.Number
	}
}
