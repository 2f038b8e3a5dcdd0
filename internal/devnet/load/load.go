// Package load measures a running committee: it sends sealed transactions at a fixed
// rate and tells how long they took to be ordered and opened.
//
// The rate is open-loop: a slow answer does not slow down what is sent, so that latencies
// include the waiting that overload causes. Everything is sealed before the clock starts.
package load

import (
	"context"
	"crypto/rand"
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

// Options say what is sent. Bounds: see Validate.
type Options struct {
	Rate     int // transactions a second, over all nodes
	Duration time.Duration
	Size     int // bytes of plaintext
}

// Most that one run sends, and the longest it waits for the last to be opened.
const (
	MaxTransactions = 100_000
	drain           = 30 * time.Second
	poll            = 5 * time.Millisecond
	watched         = 3   // batches on a page
	inFlight        = 256 // submissions that wait for their answer at once
)

// Validate reports what is out of bounds.
func (o Options) Validate() error {
	n := int(o.Duration.Seconds() * float64(o.Rate))
	if o.Rate < 1 || o.Duration < time.Second || n > MaxTransactions {
		return fmt.Errorf("rate %d for %v: at least 1 a second for 1s, and at most %d transactions", o.Rate, o.Duration, MaxTransactions)
	}
	if o.Size < 0 || o.Size > threshold.MaxPlaintext {
		return fmt.Errorf("size %d: from 0 to %d bytes", o.Size, threshold.MaxPlaintext)
	}
	return nil
}

// Quantiles of a latency.
type Quantiles struct{ P50, P99, Max time.Duration }

// Report is what a run gave.
type Report struct {
	Sent, Refused, Ordered, Opened int
	Rate                           float64   // transactions a second, opened, from the first sent to the last opened
	Answered                       Quantiles // submission to receipt
	OrderedIn, OpenedIn, FinalIn   Quantiles // submission to ordered, to plaintext served by a node, to reveal recorded by a block
	FirstError                     error
}

// sample is one transaction's times.
type sample struct{ sent, answered, ordered, opened, final time.Time }

type run struct {
	mu      sync.Mutex
	byID    map[threshold.ID]*sample
	samples []*sample
	report  Report
	last    time.Time
}

// Run sends to the wallet's nodes in turn, and watches the first of nodes.
func Run(ctx context.Context, w *wallet.Wallet, nodes []*client.Client, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	sealed, err := sealAll(w, int(o.Duration.Seconds()*float64(o.Rate)), o.Size)
	if err != nil {
		return nil, err
	}
	r := &run{byID: make(map[threshold.ID]*sample, len(sealed))}
	for _, ct := range sealed {
		s := &sample{}
		r.samples = append(r.samples, s)
		r.byID[ct.ID()] = s
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var watcher sync.WaitGroup
	watcher.Go(func() { r.watch(watching, nodes[0]) })
	start := time.Now()
	r.send(ctx, nodes, sealed, o.Rate)
	for deadline := time.Now().Add(drain); !r.done() && time.Now().Before(deadline) && ctx.Err() == nil; {
		time.Sleep(poll)
	}
	stop()
	watcher.Wait()
	return r.summary(start), ctx.Err()
}

func sealAll(w *wallet.Wallet, n, size int) ([]*threshold.Ciphertext, error) {
	sealed := make([]*threshold.Ciphertext, n)
	plaintext := make([]byte, size)
	for i := range sealed {
		if _, err := rand.Read(plaintext); err != nil {
			return nil, err
		}
		ct, err := w.Seal(rand.Reader, wallet.SealOptions{Namespace: "load"}, plaintext)
		if err != nil {
			return nil, err
		}
		sealed[i] = ct
	}
	return sealed, nil
}

func (r *run) send(ctx context.Context, nodes []*client.Client, sealed []*threshold.Ciphertext, rate int) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, inFlight)
	start := time.Now()
	for i, ct := range sealed {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		r.at(func() { r.samples[i].sent = due })
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			header := ct.Header()
			_, err := nodes[i%len(nodes)].Submit(ctx, header.Namespace, ct.Bytes())
			r.at(func() {
				r.report.Sent++
				if err == nil {
					r.samples[i].answered = time.Now()
					return
				}
				r.report.Refused++
				if r.report.FirstError == nil {
					r.report.FirstError = err
				}
			})
		})
	}
}

func (r *run) at(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *run) done() (all bool) {
	r.at(func() { all = r.report.Opened >= r.report.Sent-r.report.Refused })
	return all
}

// watch asks a node for its newest batches again and again, and for each until it is revealed.
func (r *run) watch(ctx context.Context, node *client.Client) {
	known, open := make(map[uint64]bool), make(map[uint64]bool)
	if page, err := node.Batches(ctx, 0, 1); err == nil {
		for _, b := range page.Batches { // of an earlier run
			known[b.Height] = true
		}
	}
	for ctx.Err() == nil {
		for _, height := range newBatches(ctx, node, known) {
			known[height], open[height] = true, true
		}
		for height := range open {
			batch, err := node.Batch(ctx, height)
			if err != nil {
				continue
			}
			r.see(batch)
			if batch.RevealHeight != nil {
				delete(open, height)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(poll):
		}
	}
}

// newBatches gives the heights of the batches that are not known, from the newest down to one that is. The pages are small so
// that watching costs the node little.
func newBatches(ctx context.Context, node *client.Client, known map[uint64]bool) (heights []uint64) {
	for before := uint64(0); ; {
		page, err := node.Batches(ctx, before, watched)
		if err != nil || len(page.Batches) == 0 {
			return heights
		}
		for _, b := range page.Batches {
			if known[b.Height] {
				return heights
			}
			heights, before = append(heights, b.Height), b.Height
		}
	}
}

func (r *run) see(b *v1.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, item := range b.Transactions {
		if len(item.ID) != len(threshold.ID{}) {
			continue
		}
		s := r.byID[threshold.ID(item.ID)]
		if s == nil {
			continue
		}
		if s.ordered.IsZero() {
			s.ordered = now
			r.report.Ordered++
		}
		if s.opened.IsZero() && item.Status != v1.StatusOrdered {
			s.opened = now
			r.report.Opened++
			r.last = now
		}
		if s.final.IsZero() && b.RevealHeight != nil {
			s.final = now
		}
	}
}

func (r *run) summary(start time.Time) *Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.report
	if took := r.last.Sub(start).Seconds(); took > 0 {
		out.Rate = float64(out.Opened) / took
	}
	out.Answered = r.quantiles(func(s *sample) time.Time { return s.answered })
	out.OrderedIn = r.quantiles(func(s *sample) time.Time { return s.ordered })
	out.OpenedIn = r.quantiles(func(s *sample) time.Time { return s.opened })
	out.FinalIn = r.quantiles(func(s *sample) time.Time { return s.final })
	if out.Opened < out.Sent-out.Refused && out.FirstError == nil {
		out.FirstError = errors.New("not everything that was accepted was opened in time")
	}
	return &out
}

func (r *run) quantiles(at func(*sample) time.Time) Quantiles {
	var all []time.Duration
	for _, s := range r.samples {
		if t := at(s); !t.IsZero() {
			all = append(all, t.Sub(s.sent))
		}
	}
	if len(all) == 0 {
		return Quantiles{}
	}
	slices.Sort(all)
	return Quantiles{P50: all[len(all)/2], P99: all[len(all)*99/100], Max: all[len(all)-1]}
}
