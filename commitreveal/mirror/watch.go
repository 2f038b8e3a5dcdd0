package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

// What a node did since the round before.
const (
	EventExtended    = "extended"    // its checkpoint is larger, and its log an extension
	EventUnchanged   = "unchanged"   // it shows what is known
	EventBehind      = "behind"      // it shows an earlier state of the same log
	EventRollback    = "rollback"    // it shows an earlier state than it did itself
	EventFork        = "fork"        // it shows another log: see Err, a *ForkError
	EventUnreachable = "unreachable" // it cannot be reached, or answers what cannot be used
)

// Event is what a round saw of a node.
type Event struct {
	URL  string
	Kind string
	Size uint64 // of its checkpoint, if there is one
	Err  error  // for rollback, fork and unreachable
}

// Watcher follows several nodes of one chain: it keeps one mirror, compares what
// every node shows with it, and audits what is new. Use it from one goroutine.
type Watcher struct {
	m        *Mirror
	clients  []*Client
	shown    map[string]uint64 // the largest size that each node showed
	lines    *Lines
	follower *audit.Follower
	opts     audit.Options
	forks    []*ForkError
}

// NewWatcher watches nodes with a mirror of one's own. What it says is audited with
// o's trusted terms and receipts.
func NewWatcher(m *Mirror, clients []*Client, o audit.Options) (*Watcher, error) {
	if len(clients) == 0 {
		return nil, errors.New("mirror: no node to watch")
	}
	follower, err := audit.Follow(m.opts.Checks, o)
	if err != nil {
		return nil, err
	}
	return &Watcher{m: m, clients: clients, shown: map[string]uint64{}, follower: follower, opts: o}, nil
}

// Round asks every node once, and audits what is new. The error is the context's or
// the disk's; what nodes do is in the events, one for each, in their order.
func (w *Watcher) Round(ctx context.Context) ([]Event, error) {
	heads := w.heads(ctx)
	events := make([]Event, len(w.clients))
	for i, c := range w.clients {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := w.look(ctx, c, heads[i])
		if err != nil {
			return nil, err
		}
		events[i] = e
	}
	return events, w.audit()
}

type shownHead struct {
	head *signedHead
	err  error
}

func (w *Watcher) heads(ctx context.Context) []shownHead {
	out := make([]shownHead, len(w.clients))
	var wg sync.WaitGroup
	for i, c := range w.clients {
		wg.Go(func() {
			b, err := c.get(ctx, logPrefix+"checkpoint", note.MaxSize)
			if err == nil {
				out[i].head, err = parseHead(b)
			}
			out[i].err = err
		})
	}
	wg.Wait()
	return out
}

// look compares what a node shows with the mirror.
func (w *Watcher) look(ctx context.Context, c *Client, s shownHead) (Event, error) {
	e := Event{URL: c.URL(), Err: s.err}
	err := s.err
	if err == nil {
		e.Size = s.head.Size
		e.Kind, err = w.compare(ctx, c, s.head)
	}
	var fork *ForkError
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return e, ctx.Err()
	case errors.As(err, &fork):
		e.Kind, e.Err = EventFork, fork
		w.forks = append(w.forks, fork)
	case errors.Is(err, ErrServer), errors.Is(err, ErrUntrusted):
		e.Kind, e.Err = EventUnreachable, err
	default:
		return e, err
	}
	if e.Kind == EventBehind && e.Size < w.shown[c.URL()] {
		e.Kind, e.Err = EventRollback, fmt.Errorf("%w: %d entries now, %d before", ErrRollback, e.Size, w.shown[c.URL()])
	}
	if e.Kind != EventUnreachable && e.Kind != EventFork {
		w.shown[c.URL()] = max(w.shown[c.URL()], e.Size)
	}
	return e, nil
}

func (w *Watcher) compare(ctx context.Context, c *Client, h *signedHead) (kind string, err error) {
	m := w.m
	if m.state.Origin == "" || h.Size > m.state.Seen {
		_, err := m.Update(ctx, c)
		return EventExtended, err
	}
	if m.state.Origin != h.Origin {
		return "", fmt.Errorf("%w: the checkpoint is of %q, the mirror of %q", ErrServer, h.Origin, m.state.Origin)
	}
	if h.Size > m.Size() { // of a node that stopped half-way
		_, err := m.Update(ctx, c)
		return EventExtended, err
	}
	root, err := tiles.Root(h.Size, m.hashes)
	if err != nil {
		return "", m.damaged(err)
	}
	if root == h.Root {
		if h.Size < m.Size() {
			return EventBehind, nil
		}
		return EventUnchanged, nil
	}
	b, err := m.Checkpoint()
	if err != nil {
		return "", err
	}
	ours, err := parseHead(b)
	if err != nil {
		return "", m.damaged(err)
	}
	if ours.Size < h.Size {
		return "", m.split(ours, h, nil)
	}
	return "", m.split(h, ours, m.hashes)
}

// audit replays what is new.
func (w *Watcher) audit() error {
	if w.m.state.Origin == "" {
		return nil
	}
	var err error
	if w.lines == nil {
		w.lines, err = FollowLines(w.m.store.dir)
	} else {
		err = w.lines.Refresh()
	}
	if err != nil {
		return err
	}
	w.follower.Read(w.lines)
	return nil
}

// Audited is how many entries were audited, Findings how many broken promises were
// found in them, Forks how many times a node showed another log.
func (w *Watcher) Audited() (entries uint64, findings, forks int) {
	return w.follower.Entries(), w.follower.Findings(), len(w.forks)
}

// Close ends the watch, closes its mirror, and reports what it saw. A fork is in it: proved, as a
// finding; else as what is missing to tell who is to blame. So is the evidence that is in
// the directory: what nodes hold, and the split views of earlier watches.
func (w *Watcher) Close() (*audit.Report, error) {
	evidence, err := w.beside()
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	w.follower.Beside(evidence, w.m.hashes)
	r := w.follower.Report()
	for _, f := range w.forks {
		if f.Proved == nil {
			r.Missing = append(r.Missing, f.Error())
			continue
		}
		r.Findings = append(r.Findings, audit.Finding{Code: audit.CodeSplitView, Who: f.Proved.Who, What: f.Proved.What, Evidence: f.Evidence})
	}
	r.Conclude()
	return r, w.close()
}

func (w *Watcher) close() error {
	err := w.m.Close()
	if w.lines != nil {
		err = errors.Join(err, w.lines.Close())
	}
	return err
}

// beside is the evidence in the directory, but for the forks of this watch.
func (w *Watcher) beside() ([]audit.EvidenceBody, error) {
	all, err := Evidence(w.m.store.dir)
	return slices.DeleteFunc(all, func(e audit.EvidenceBody) bool {
		return slices.ContainsFunc(w.forks, func(f *ForkError) bool { return f.Evidence == w.m.store.path(e.Name) })
	}), err
}
