package abci

import (
	"crypto/sha256"
	"errors"
	"sync"

	"github.com/scrimlabs/scrim/ordering"
)

// docket lets one piece of evidence of each charge into the mempool: a member can sign as much against itself as it likes, and
// each may be large. A sweep of the mempool begins with an empty docket and fills it anew.
type docket struct {
	mu      sync.Mutex
	waiting map[ordering.Charge][sha256.Size]byte // transaction by its hash
}

var errCharged = errors.New("evidence_waiting: other evidence of the same charge is in the mempool")

// first refuses evidence of a charge that another transaction makes.
func (d *docket) first(tx []byte) error {
	c, ok := ordering.ChargeOf(tx)
	if !ok {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if hash, taken := d.waiting[c]; taken && hash != sha256.Sum256(tx) {
		return errCharged
	}
	return nil
}

// enter takes note of a transaction that the mempool takes.
func (d *docket) enter(tx []byte) {
	c, ok := ordering.ChargeOf(tx)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, taken := d.waiting[c]; taken {
		return
	}
	if d.waiting == nil {
		d.waiting = make(map[ordering.Charge][sha256.Size]byte)
	}
	d.waiting[c] = sha256.Sum256(tx)
}

// clear begins anew, before a sweep.
func (d *docket) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.waiting)
}
