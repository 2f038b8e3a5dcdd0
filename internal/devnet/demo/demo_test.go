package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/threshold"
)

func TestBlock(t *testing.T) {
	txs, err := wallet.ParseHexLines(bytes.NewReader(block))
	if err != nil || len(txs) != 100 {
		t.Fatalf("%d transactions, %v", len(txs), err)
	}
	seen := map[string]bool{}
	for i, tx := range txs {
		if len(tx) < 100 || seen[string(tx)] {
			t.Errorf("transaction %d: %d bytes, seen before: %v", i, len(tx), seen[string(tx)])
		}
		seen[string(tx)] = true
	}
}

func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.txt")
	if err := os.WriteFile(bad, []byte("0x00\nsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"no input":    {Options{Input: filepath.Join(dir, "none")}, "no such file"},
		"bad input":   {Options{Input: bad}, "bad.txt: line 2"},
		"three":       {Options{Members: 3}, "4 at least"},
		"no programs": {Options{Dir: filepath.Join(dir, "demo")}, "no command"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.o.Out = new(bytes.Buffer)
			err := Run(context.Background(), tc.o)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	var all []time.Duration
	if percentile(all, 50) != 0 {
		t.Error("of nothing")
	}
	for i := 100; i >= 1; i-- {
		all = append(all, time.Duration(i))
	}
	for p, want := range map[int]time.Duration{1: 1, 50: 50, 99: 99, 100: 100} {
		if got := percentile(all, p); got != want {
			t.Errorf("p%d of 1..100 is %d", p, got)
		}
	}
	if got := percentile([]time.Duration{7}, 99); got != 7 {
		t.Errorf("p99 of one is %d", got)
	}
}

func TestTracker(t *testing.T) {
	tr := newTracker(nil)
	a, b := &transaction{id: threshold.ID{1}}, &transaction{id: threshold.ID{2}}
	tr.add(a)
	tr.add(b)
	both := tr.waitOpened(2)
	item := func(tx *transaction, s v1.Status) v1.BatchItem { return v1.BatchItem{ID: tx.id[:], Status: s} }
	batch := func(h uint64, items ...v1.BatchItem) *v1.Batch {
		return &v1.Batch{BatchSummary: v1.BatchSummary{Height: h}, Transactions: items}
	}
	tr.see(batch(3, item(a, v1.StatusOrdered), v1.BatchItem{ID: v1.Hex{9}}))
	if c := tr.counts(); c != (counts{2, 1, 0}) || !a.opened.IsZero() {
		t.Errorf("ordered: %+v", c)
	}
	tr.see(batch(3, item(a, v1.StatusRevealed)))
	at := a.ordered
	tr.see(batch(3, item(a, v1.StatusRevealed)))
	if a.ordered != at {
		t.Error("the moment changed")
	}
	select {
	case <-both:
		t.Error("one is not both")
	default:
	}
	tr.see(batch(5, item(b, v1.StatusVoid)))
	<-both
	<-tr.waitOpened(1)
	if c := tr.counts(); c != (counts{2, 2, 2}) || !strings.HasPrefix(tr.line(), "height   5   sealed   2   ordered   2") {
		t.Errorf("%+v %s", c, tr.line())
	}
}

func TestCompareHistories(t *testing.T) {
	summary := func(h uint64) v1.BatchSummary {
		reveal := h + 1
		return v1.BatchSummary{Height: h, Checkpoint: &v1.Checkpoint{Message: v1.Hex{byte(h)}}, Certificate: v1.Hex{byte(h)}, RevealHeight: &reveal}
	}
	want := batches{summary(1), summary(2)}
	change := func(f func(*v1.BatchSummary)) batches {
		b := batches{summary(1), summary(2)}
		f(&b[1])
		return b
	}
	for name, tc := range map[string]struct {
		other batches
		want  error
	}{
		"same":              {batches{summary(1), summary(2)}, nil},
		"ahead":             {batches{summary(1), summary(2), summary(3)}, nil},
		"behind":            {batches{summary(1)}, errBehind},
		"not open":          {change(func(b *v1.BatchSummary) { b.RevealHeight = nil }), errBehind},
		"other checkpoint":  {change(func(b *v1.BatchSummary) { b.Checkpoint = &v1.Checkpoint{Message: v1.Hex{9}} }), errDiffer},
		"other certificate": {change(func(b *v1.BatchSummary) { b.Certificate = v1.Hex{9} }), errDiffer},
		"other height":      {change(func(b *v1.BatchSummary) { h := uint64(9); b.RevealHeight = &h }), errDiffer},
	} {
		if err := want.compare(tc.other); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Without a terminal there are whole lines only, and live ones now and then.
func TestScreenWithoutTerminal(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.title("Part")
	for i := range 5 {
		s.live("step %d", i)
	}
	s.done("%d steps", 5)
	s.settle()
	if got, want := out.String(), "\nPart\n  step 0\n  5 steps\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestScreenOnTerminal(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.terminal = true
	s.live("a")
	s.live("a")
	s.live("b")
	s.done("c")
	if got, want := out.String(), clearLine+"  a"+clearLine+"  b"+clearLine+"  c\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
