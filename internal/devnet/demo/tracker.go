package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/threshold"
)

// transaction is one that the demo sent.
type transaction struct {
	id         threshold.ID
	plaintext  []byte
	ciphertext *threshold.Ciphertext
	record     *wallet.Record // its receipts, once submitted

	sealed, ordered, opened time.Time // the latter two as seen by asking a node again and again
}

func (t *transaction) submit(ctx context.Context, w *wallet.Wallet) (err error) {
	// A killed member does not answer: one receipt is enough.
	t.record, _, err = w.Submit(ctx, t.ciphertext)
	return err
}

// tracker follows the transactions at one node.
type tracker struct {
	node *client.Client

	mu      sync.Mutex
	txs     []*transaction
	byID    map[threshold.ID]*transaction
	height  uint64
	targets []target
}

type target struct {
	opened  int
	reached chan struct{}
}

func newTracker(node *client.Client) *tracker {
	return &tracker{node: node, byID: map[threshold.ID]*transaction{}}
}

func (t *tracker) add(tx *transaction) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tx.sealed = time.Now()
	t.txs = append(t.txs, tx)
	t.byID[tx.id] = tx
}

// pollEvery bounds how exact the latencies are.
const pollEvery = 10 * time.Millisecond

// run asks for new batches, and again for those that are not open, until ctx ends.
func (t *tracker) run(ctx context.Context) {
	open := map[uint64]bool{} // heights of batches that need no more asking
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pollEvery):
		}
		page, err := t.node.Batches(ctx, 0, 50)
		if err != nil {
			continue // the next answer tells as much
		}
		for _, summary := range page.Batches {
			if open[summary.Height] {
				continue
			}
			batch, err := t.node.Batch(ctx, summary.Height)
			if err != nil {
				continue
			}
			t.see(batch)
			open[summary.Height] = batch.Phase == v1.PhaseRevealed
		}
	}
}

func (t *tracker) see(b *v1.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.height = max(t.height, b.Height)
	for _, item := range b.Transactions {
		if len(item.ID) != len(threshold.ID{}) {
			continue
		}
		tx := t.byID[threshold.ID(item.ID)]
		if tx == nil {
			continue
		}
		if tx.ordered.IsZero() {
			tx.ordered = now
		}
		if tx.opened.IsZero() && item.Status != v1.StatusOrdered {
			tx.opened = now
		}
	}
	opened := t.countsLocked().opened
	t.targets = slices.DeleteFunc(t.targets, func(g target) bool {
		if opened < g.opened {
			return false
		}
		close(g.reached)
		return true
	})
}

// waitOpened gives a channel that is closed when n transactions are opened.
func (t *tracker) waitOpened(n int) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	reached := make(chan struct{})
	if t.countsLocked().opened >= n {
		close(reached)
	} else {
		t.targets = append(t.targets, target{n, reached})
	}
	return reached
}

type counts struct{ sealed, ordered, opened int }

func (t *tracker) counts() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.countsLocked()
}

func (t *tracker) countsLocked() (c counts) {
	c.sealed = len(t.txs)
	for _, tx := range t.txs {
		if !tx.ordered.IsZero() {
			c.ordered++
		}
		if !tx.opened.IsZero() {
			c.opened++
		}
	}
	return c
}

func (t *tracker) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.countsLocked()
	return fmt.Sprintf("height %3d   sealed %3d   ordered %3d (%s)   opened %3d (%s)",
		t.height, c.sealed, c.ordered, t.latency(whenOrdered), c.opened, t.latency(whenOpened))
}

func (t *tracker) ordered() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.latency(whenOrdered)
}

func (t *tracker) opened() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.latency(whenOpened)
}

func whenOrdered(tx *transaction) time.Time { return tx.ordered }
func whenOpened(tx *transaction) time.Time  { return tx.opened }

// latency gives the median and the 99th percentile from sealed to another moment.
func (t *tracker) latency(at func(*transaction) time.Time) string {
	var all []time.Duration
	for _, tx := range t.txs {
		if !at(tx).IsZero() {
			all = append(all, at(tx).Sub(tx.sealed))
		}
	}
	return fmt.Sprintf("p50 %d, p99 %d ms", percentile(all, 50).Milliseconds(), percentile(all, 99).Milliseconds())
}

// percentile is the smallest value that at least p percent of all do not exceed.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[max(0, (len(all)*p+99)/100-1)]
}

// batches is a member's history, oldest first.
type batches []v1.BatchSummary

// errDiffer: two members committed different things. That must never be.
var errDiffer = errors.New("the histories differ")

// errBehind: a member does not have everything yet.
var errBehind = errors.New("it is behind")

func history(ctx context.Context, c *client.Client) (batches, error) {
	var all batches
	for before := uint64(0); ; {
		page, err := c.Batches(ctx, before, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Batches...)
		if page.Next == nil {
			break
		}
		before = *page.Next
	}
	slices.Reverse(all)
	if len(all) == 0 || all[len(all)-1].Checkpoint == nil {
		return nil, fmt.Errorf("%w: it has no batch", errBehind)
	}
	return all, nil
}

func (b batches) compare(other batches) error {
	for i := range min(len(b), len(other)) {
		x, y := &b[i], &other[i] //nolint:gosec // G602: i is below both lengths
		if x.Checkpoint == nil || y.Checkpoint == nil || x.RevealHeight == nil || y.RevealHeight == nil {
			return fmt.Errorf("%w: batch %d is not opened", errBehind, x.Height)
		}
		if !bytes.Equal(x.Checkpoint.Message, y.Checkpoint.Message) || !bytes.Equal(x.Certificate, y.Certificate) || *x.RevealHeight != *y.RevealHeight {
			return fmt.Errorf("%w at batch %d (the other has %d)", errDiffer, x.Height, y.Height)
		}
	}
	if len(b) > len(other) {
		return fmt.Errorf("%w: %d batches of %d", errBehind, len(other), len(b))
	}
	return nil
}
