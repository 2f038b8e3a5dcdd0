package mirror_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror"
	"github.com/scrimlabs/scrim/commitreveal/mirror/mirrortest"
)

// watched is a network of three nodes and what a watcher of them saw.
type watched struct {
	t     *testing.T
	nodes []*mirrortest.Server
	w     *mirror.Watcher
}

func watch(t *testing.T, nodes ...*mirrortest.Server) *watched {
	var clients []*mirror.Client
	for _, s := range nodes {
		clients = append(clients, client(t, s))
	}
	w, err := mirror.NewWatcher(open(t, t.TempDir()), clients, audit.Options{})
	must(t, err)
	return &watched{t, nodes, w}
}

// round checks the kinds of events of a round.
func (w *watched) round(want ...string) {
	w.t.Helper()
	events, err := w.w.Round(w.t.Context())
	must(w.t, err)
	for i, e := range events {
		if e.Kind != want[i] {
			w.t.Errorf("node %d: %s (%v), want %s", i, e.Kind, e.Err, want[i])
		}
	}
}

func (w *watched) end(want audit.Verdict) *audit.Report {
	w.t.Helper()
	r, err := w.w.Close()
	must(w.t, err)
	if r.Verdict != want {
		w.t.Errorf("%s: %v %v, want %s", r.Verdict, r.Findings, r.Missing, want)
	}
	return r
}

const (
	extended, unchanged, behind = mirror.EventExtended, mirror.EventUnchanged, mirror.EventBehind
	rollback, forked, gone      = mirror.EventRollback, mirror.EventFork, mirror.EventUnreachable
)

func TestWatch(t *testing.T) {
	w := watch(t, server(t, chain()), server(t, chain()), server(t, chain()))
	full := w.nodes[0].Size
	show := func(sizes ...uint64) {
		for i, n := range sizes {
			w.nodes[i].Size = n
		}
	}
	show(5, 5, 4)
	w.round(extended, unchanged, behind)
	show(8, 9, 8)
	w.round(extended, extended, behind)
	show(8, 9, 3)
	w.round(behind, unchanged, rollback)
	show(full, full, full)
	w.round(extended, unchanged, unchanged)
	entries, findings, forks := w.w.Audited()
	if entries != full-1 || findings != 0 || forks != 0 { // the last batch waits for its reveal
		t.Errorf("%d of %d entries audited, %d findings, %d forks", entries, full, findings, forks)
	}
	if r := w.end(audit.Verified); r.Batches != 9 || r.Revealed != 9 {
		t.Errorf("%+v", r)
	}
}

func TestWatchSplitView(t *testing.T) {
	for name, sizes := range map[string][2]uint64{"larger": {6, 9}, "equal": {8, 8}, "smaller": {12, 5}} {
		t.Run(name, func(t *testing.T) {
			a, b := server(t, chain()), server(t, other(t, 8))
			a.Size, b.Size = sizes[0], sizes[1]
			w := watch(t, a, b)
			w.round(extended, forked)
			if r := w.end(audit.Violated); r.Findings[0].Code != audit.CodeSplitView || r.Findings[0].Evidence == "" {
				t.Errorf("%+v", r.Findings)
			}
		})
	}
	t.Run("of a stranger", func(t *testing.T) {
		a, b := server(t, chain()), server(t, other(t, 8))
		a.Size, b.Size, b.Publisher = 8, 8, other(t, 0).Secrets[0].Identity()
		b.Publisher = append([]byte(nil), b.Publisher...)
		b.Publisher[3] ^= 1
		w := watch(t, a, b)
		w.round(extended, forked)
		w.end(audit.CannotTell)
	})
}

func TestWatchWithoutNodes(t *testing.T) {
	down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s := httptest.NewServer(down)
	defer s.Close()
	c, err := mirror.NewClient(s.URL, nil)
	must(t, err)
	c.Attempts = 1
	w, err := mirror.NewWatcher(open(t, t.TempDir()), []*mirror.Client{c}, audit.Options{})
	must(t, err)
	ww := &watched{t, nil, w}
	ww.round(gone)
	ww.end(audit.CannotTell)
	if _, err := mirror.NewWatcher(open(t, t.TempDir()), nil, audit.Options{}); err == nil {
		t.Error("a watcher of nobody")
	}
}
