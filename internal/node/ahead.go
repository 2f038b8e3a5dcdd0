package node

import (
	"context"
	"time"

	"github.com/scrimlabs/scrim/ordering/fair"
)

const (
	// reserveAhead is for how long ahead, in milliseconds, a reservation of time lasts; it is renewed when half of it is left.
	reserveAhead = 2000
	reserveRetry = 200 * time.Millisecond
)

// reserveLocked asks for a reservation before the last one is used up.
func (a *announcer) reserveLocked() {
	if !a.timedLocked() || a.clock.promise()+reserveAhead/2 < a.reserved {
		return
	}
	select {
	case a.ahead <- struct{}{}:
	default:
	}
}

// runAhead reserves time until ctx ends: what a watermark promises must be known after a restart, and a write for each would be
// a hundred in a second. It writes once in a second, and not at all while nothing is announced.
func (a *announcer) runAhead(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.ahead:
		}
		if err := a.reserve(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("time not reserved; the watermark stands still", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(reserveRetry):
			}
			a.poke() // whoever announces asks again
		}
	}
}

func (a *announcer) reserve(ctx context.Context) error {
	a.mu.Lock()
	promise, reserved := a.clock.promise(), a.reserved
	a.mu.Unlock()
	until := min(promise+reserveAhead, fair.MaxTime)
	if promise+reserveAhead/2 < reserved || until <= reserved {
		return nil
	}
	if err := a.store.ReserveTime(ctx, until); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reserved = max(a.reserved, until)
	a.poke()
	return nil
}
