package mirror_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror"
	"github.com/scrimlabs/scrim/commitreveal/mirror/mirrortest"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// chain is a real one: ten batches, three with a void, of which the last waits for its
// reveal.
var chain = sync.OnceValue(func() *sim.Chain { return grow(newChain(), 10) })

var t0 testing.TB = new(quiet)

// quiet lets sim make chains outside of one test.
type quiet struct{ testing.T }

func (*quiet) Helper() {}

func newChain() *sim.Chain { return sim.New(t0, 4, ordering.DefaultParams()).Ceremony() }

// grow adds batches; each block opens the batch before.
func grow(c *sim.Chain, batches int) *sim.Chain {
	for i := range batches {
		txs := c.SealTxs(fmt.Sprintf("a %d", i), fmt.Sprintf("b %d", i))
		if i%4 == 1 {
			o := threshold.SealOptions{ChainID: sim.ChainID, Namespace: "other", ValidUntil: c.State.Height() + 10}
			txs = append(txs, ordering.CiphertextTx(thresholdtest.Void(fmt.Sprint(i), c.State.Committee().Key, o).Bytes()))
		}
		c.Block(ordering.Proposal{Txs: txs, Openings: c.Open(1, 2, 3)})
	}
	return c
}

// growBy adds batches of a size.
func growBy(c *sim.Chain, batches, size int) {
	for range batches {
		var texts []string
		for i := range size {
			texts = append(texts, fmt.Sprintf("transaction %d", i))
		}
		c.Block(ordering.Proposal{Txs: c.SealTxs(texts...), Openings: c.Open(1, 2, 3)})
	}
}

func server(t *testing.T, c *sim.Chain) *mirrortest.Server {
	t.Helper()
	s := mirrortest.New(sim.ChainID, c.Secrets[0].Identity())
	must(t, s.Add(mirrortest.FromChain(t, c)...))
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *mirror.Mirror {
	t.Helper()
	return openWith(t, dir, mirror.Options{Checks: wallet.Checks()})
}

var openMirrors = map[string]*mirror.Mirror{}

// openWith opens a mirror as a new process: the one before has ended.
func openWith(t *testing.T, dir string, o mirror.Options) *mirror.Mirror {
	t.Helper()
	if before := openMirrors[dir]; before != nil {
		must(t, before.Close())
	}
	m, err := mirror.Open(dir, o)
	must(t, err)
	openMirrors[dir] = m
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func client(t *testing.T, h http.Handler) *mirror.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := mirror.NewClient(s.URL, nil)
	must(t, err)
	c.Pause, c.Idle = time.Millisecond, 2*time.Second
	return c
}

func verify(t *testing.T, dir string, o audit.Options) *audit.Report {
	t.Helper()
	l, err := mirror.OpenLines(dir)
	must(t, err)
	defer l.Close()
	notes, err := mirror.Checkpoints(dir)
	must(t, err)
	for name, text := range notes {
		o.Checkpoints = append(o.Checkpoints, audit.SignedNote{Name: name, Text: text, Policy: name == "checkpoint"})
	}
	if o.Evidence, err = mirror.Evidence(dir); err != nil {
		t.Fatal(err)
	}
	r, err := audit.Replay(l, wallet.Checks(), o)
	must(t, err)
	for _, d := range l.Damage() {
		t.Error(d)
	}
	return r
}

func update(t *testing.T, m *mirror.Mirror, c *mirror.Client) *mirror.Update {
	t.Helper()
	u, err := m.Update(t.Context(), c)
	must(t, err)
	return u
}

func TestMirror(t *testing.T) {
	s := server(t, chain())
	full := s.Size
	dir := filepath.Join(t.TempDir(), "m")
	m, c := open(t, dir), client(t, s)
	for size := uint64(2); size <= full; size += 3 { // as it grows
		s.Size = size
		update(t, m, c)
		if m.Size() != size {
			t.Fatalf("%d entries, want %d", m.Size(), size)
		}
	}
	s.Size = full
	m = open(t, dir) // a new process goes on
	update(t, m, c)
	if u := update(t, m, c); u.Before != full || u.After != full || u.Batches != 0 {
		t.Errorf("nothing new: %+v", u)
	}
	terms := chain().Genesis.Terms.Hash()
	policy, err := note.ParsePolicy(note.CommitteePolicy(sim.ChainID, identities(chain()), 0))
	must(t, err)
	r := verify(t, dir, audit.Options{TermsHash: &terms, Policy: policy})
	if r.Verdict != audit.Verified || r.LogSize != full || r.Batches != 10 || r.Pending != 1 || len(r.Checkpoints) != 2 || !r.Checkpoints[0].Matches {
		t.Errorf("%s: %+v", r.Verdict, r)
	}
	strict, err := note.ParsePolicy(note.CommitteePolicy(sim.ChainID, identities(chain()), 2))
	must(t, err)
	if r := verify(t, dir, audit.Options{Policy: strict}); r.Verdict != audit.CannotTell || !strings.Contains(r.Missing[0], "quorum") {
		t.Errorf("a quorum that is not there: %s %v", r.Verdict, r.Missing)
	}
	s.Cosigners = []ed25519.PrivateKey{chain().Secrets[1].Identity(), chain().Secrets[2].Identity()}
	update(t, m, c)
	if r := verify(t, dir, audit.Options{Policy: strict}); r.Verdict != audit.Verified {
		t.Errorf("a quorum that is there: %s %v %v", r.Verdict, r.Missing, r.Findings)
	}
}

func identities(c *sim.Chain) (out []ed25519.PublicKey) {
	for _, s := range c.Secrets {
		out = append(out, s.Identity().Public().(ed25519.PublicKey))
	}
	return out
}

// TestLayout: other tools read the directory: paths and content are tlog-tiles'.
func TestLayout(t *testing.T) {
	s := server(t, chain())
	dir := t.TempDir()
	update(t, open(t, dir), client(t, s))
	for _, name := range []string{"checkpoint", "tile/0/000.p/%d", "tile/entries/000.p/%d"} {
		if strings.Contains(name, "%d") {
			name = fmt.Sprintf(name, s.Size)
		}
		want := httptest.NewRecorder()
		s.ServeHTTP(want, httptest.NewRequest(http.MethodGet, "/v1/log/"+name, nil))
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil || string(got) != want.Body.String() {
			t.Errorf("%s is not what the node serves: %v", name, err)
		}
	}
}

// fault changes one answer of a server.
func fault(h http.Handler, path string, change func(b []byte) []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, path) {
			h.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if b := change(rec.Body.Bytes()); b != nil {
			_, _ = w.Write(b)
		} else {
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

func flip(b []byte) []byte { b[len(b)/2] ^= 1; return b }
func cut(b []byte) []byte  { return b[:max(0, len(b)-1)] }
func more(b []byte) []byte { return append(b, '\n') }
func none([]byte) []byte   { return nil }
func swapLines(b []byte) []byte {
	lines := strings.SplitAfter(string(b), "\n")
	lines[0], lines[1] = lines[1], lines[0]
	return []byte(strings.Join(lines, ""))
}

// TestHostileServer: nothing that does not fit what was signed is stored, and the
// mirror is whole afterwards.
func TestHostileServer(t *testing.T) {
	big := func([]byte) []byte { return make([]byte, 20<<20) }
	for path, changes := range map[string]map[string]func([]byte) []byte{
		"/log/checkpoint":   {"cut": cut, "flipped": flip, "more": more, "none": none, "big": big},
		"/log/tile/0":       {"cut": cut, "flipped": flip, "more": more, "none": none, "big": big},
		"/log/tile/entries": {"cut": cut, "flipped": flip, "more": more, "none": none, "big": big},
		"/log/batch/":       {"cut": cut, "flipped": flip, "more": more, "none": none, "reordered": swapLines},
		"/log/certificate/": {"cut": cut, "flipped": flip, "more": more, "none": none, "big": big},
		"/log/limits":       {"cut": cut, "flipped": flip, "more": more, "none": none, "big": big},
		"/log/rounds/":      {"cut": cut, "flipped": flip, "more": more, "none": none, "empty": func([]byte) []byte { return []byte{} }, "doubled": func(b []byte) []byte { return append(b, b...) }},
	} {
		for name, change := range changes {
			t.Run(path+" "+name, func(t *testing.T) {
				s := server(t, chain())
				full := s.Size
				s.Size = 1 // the committee
				if path == "/log/certificate/" || path == "/log/limits" || path == "/log/tile/0" {
					s.Size = full
				}
				dir := t.TempDir()
				m := open(t, dir)
				if s.Size == 1 {
					update(t, m, client(t, s))
				}
				s.Size = full
				before := m.Size()
				if _, err := m.Update(t.Context(), client(t, fault(s, path, change))); !errors.Is(err, mirror.ErrServer) {
					t.Errorf("error %v", err)
				}
				if m.Size() != before {
					t.Errorf("%d entries after a failed update, %d before", m.Size(), before)
				}
				update(t, m, client(t, s))
				if r := verify(t, dir, audit.Options{}); r.Verdict != audit.Verified || r.LogSize != full {
					t.Errorf("%s %v %v", r.Verdict, r.Missing, r.Findings)
				}
			})
		}
	}
}

func TestServerFails(t *testing.T) {
	s := server(t, chain())
	var asked sync.Map
	flaky := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, again := asked.LoadOrStore(r.URL.Path, true); !again {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s.ServeHTTP(w, r)
	})
	dir := t.TempDir()
	update(t, open(t, dir), client(t, flaky))
	if r := verify(t, dir, audit.Options{}); r.Verdict != audit.Verified {
		t.Errorf("%s %v %v", r.Verdict, r.Missing, r.Findings)
	}
}

func TestSlowServer(t *testing.T) {
	stall := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "scrim/")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	c := client(t, stall)
	c.Idle, c.Attempts = 30*time.Millisecond, 2
	if _, err := open(t, t.TempDir()).Update(t.Context(), c); !errors.Is(err, mirror.ErrServer) {
		t.Errorf("a server that stalls: %v", err)
	}
	drip := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "s")
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	})
	c = client(t, drip)
	c.Total, c.Attempts = 100*time.Millisecond, 1
	if _, err := open(t, t.TempDir()).Update(t.Context(), c); !errors.Is(err, mirror.ErrServer) {
		t.Errorf("a server that drips: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := open(t, t.TempDir()).Update(ctx, client(t, stall)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller who stops: %v", err)
	}
}

func TestRollback(t *testing.T) {
	s := server(t, chain())
	full := s.Size
	dir := t.TempDir()
	m, c := open(t, dir), client(t, s)
	update(t, m, c)
	s.Size = full - 3
	if _, err := m.Update(t.Context(), c); !errors.Is(err, mirror.ErrRollback) || errors.Is(err, mirror.ErrFork) {
		t.Errorf("an older checkpoint: %v", err)
	}
	if _, err := open(t, dir).Update(t.Context(), c); !errors.Is(err, mirror.ErrRollback) {
		t.Errorf("an older checkpoint, to a new process: %v", err)
	}
	s.Size = full
	update(t, m, c)
	if r := verify(t, dir, audit.Options{}); r.Verdict != audit.Verified {
		t.Errorf("%s %v %v", r.Verdict, r.Missing, r.Findings)
	}
}

// other is a chain with the same members and another log.
func other(t *testing.T, batches int) *sim.Chain {
	t.Helper()
	c := newChain()
	c.Block(ordering.Proposal{Txs: c.SealTxs("another")})
	return grow(c, batches)
}

// TestFork: one node, two logs. Whatever the sizes, both checkpoints are kept, and the
// file of evidence convinces a judge who has nothing else.
func TestFork(t *testing.T) {
	for name, sizes := range map[string][2]uint64{"larger": {6, 9}, "equal": {8, 8}, "smaller": {12, 5}} {
		t.Run(name, func(t *testing.T) {
			a, b := server(t, chain()), server(t, other(t, 8))
			a.Size, b.Size = sizes[0], sizes[1]
			dir := t.TempDir()
			m := open(t, dir)
			update(t, m, client(t, a))
			_, err := m.Update(t.Context(), client(t, b))
			var fork *mirror.ForkError
			if !errors.As(err, &fork) || fork.Proved == nil || len(fork.Kept) != 2 {
				t.Fatalf("error %v", err)
			}
			text, err := os.ReadFile(fork.Evidence)
			must(t, err)
			file, err := audit.ParseEvidence(text)
			must(t, err)
			proved, err := file.Verify(wallet.Checks())
			if err != nil || proved.Who != "member 1 (member-1) of epoch 1" || proved.Remains != "" {
				t.Errorf("%+v, %v", proved, err)
			}
			r := verify(t, dir, audit.Options{})
			if r.Verdict != audit.Violated {
				t.Errorf("%s: %v %v", r.Verdict, r.Findings, r.Missing)
			}
			if _, err := m.Update(t.Context(), client(t, b)); !errors.Is(err, mirror.ErrFork) {
				t.Errorf("the other log again: %v", err)
			}
			update(t, m, client(t, a)) // the log that was shown first goes on
		})
	}
	t.Run("of two members", func(t *testing.T) {
		a, b := server(t, chain()), server(t, other(t, 8))
		a.Size, b.Size = 8, 8
		b.Publisher = chain().Secrets[2].Identity()
		m := open(t, t.TempDir())
		update(t, m, client(t, a))
		_, err := m.Update(t.Context(), client(t, b))
		var fork *mirror.ForkError
		if !errors.As(err, &fork) || fork.Proved == nil || fork.Proved.Remains == "" || !strings.Contains(fork.Proved.Who, " or ") {
			t.Fatalf("error %v, proved %+v", err, fork.Proved)
		}
	})
	t.Run("of nobody", func(t *testing.T) {
		a, b := server(t, chain()), server(t, other(t, 8))
		a.Size, b.Size = 8, 8
		_, b.Publisher, _ = ed25519.GenerateKey(nil)
		m := open(t, t.TempDir())
		update(t, m, client(t, a))
		_, err := m.Update(t.Context(), client(t, b))
		var fork *mirror.ForkError
		if !errors.As(err, &fork) || fork.Proved != nil || fork.Evidence != "" || len(fork.Kept) > 1 {
			t.Fatalf("error %v", err)
		}
	})
}

func TestUntrusted(t *testing.T) {
	s := server(t, chain())
	honest := s.Publisher
	_, s.Publisher, _ = ed25519.GenerateKey(nil)
	dir := t.TempDir()
	m := open(t, dir)
	if _, err := m.Update(t.Context(), client(t, s)); !errors.Is(err, mirror.ErrUntrusted) {
		t.Errorf("a stranger's checkpoint: %v", err)
	}
	s.Publisher = honest
	update(t, m, client(t, s)) // and nothing of it is remembered
	terms := [32]byte{1}
	must(t, m.Close())
	if _, err := mirror.Open(dir, mirror.Options{Checks: wallet.Checks(), TermsHash: &terms}); !errors.Is(err, mirror.ErrUntrusted) {
		t.Errorf("a mirror of another committee than the trusted one: %v", err)
	}
	m, err := mirror.Open(t.TempDir(), mirror.Options{Checks: wallet.Checks(), TermsHash: &terms})
	must(t, err)
	if _, err := m.Update(t.Context(), client(t, s)); !errors.Is(err, mirror.ErrUntrusted) {
		t.Errorf("a node of another committee than the trusted one: %v", err)
	}
	if _, err := mirror.Open("mirror_test.go", mirror.Options{Checks: wallet.Checks()}); err == nil {
		t.Error("a file is a mirror")
	}
	strange := t.TempDir()
	must(t, os.WriteFile(filepath.Join(strange, "x"), nil, 0o600))
	if _, err := mirror.Open(strange, mirror.Options{Checks: wallet.Checks()}); err == nil {
		t.Error("somebody's folder is a mirror")
	}
}

// TestCrash stops the mirror at every request. A new process goes on, and ends with
// the same.
func TestCrash(t *testing.T) {
	s := server(t, chain())
	for stop := int64(1); ; stop++ {
		dir := t.TempDir()
		var n atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		stopping := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) == stop {
				cancel()
				<-r.Context().Done()
				return
			}
			s.ServeHTTP(w, r)
		})
		c := client(t, stopping)
		_, err := open(t, dir).Update(ctx, c)
		cancel()
		if err == nil {
			return // it never came to that request
		}
		n.Store(stop)
		update(t, open(t, dir), c)
		if r := verify(t, dir, audit.Options{}); r.Verdict != audit.Verified || r.LogSize != s.Size {
			t.Errorf("stopped at request %d: %s %v %v", stop, r.Verdict, r.Missing, r.Findings)
		}
	}
}

// TestLostFile: what is missing in the directory is said, and nobody is blamed.
func TestLostFile(t *testing.T) {
	s := server(t, chain())
	whole := t.TempDir()
	update(t, open(t, whole), client(t, s))
	var names []string
	must(t, filepath.WalkDir(whole, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != ".lock" {
			rel, _ := filepath.Rel(whole, path)
			names = append(names, rel)
		}
		return err
	}))
	if len(names) < 14 {
		t.Fatalf("only %d files: %v", len(names), names)
	}
	for _, name := range names {
		dir := t.TempDir()
		must(t, os.CopyFS(dir, os.DirFS(whole)))
		must(t, os.Remove(filepath.Join(dir, name)))
		l, err := mirror.OpenLines(dir)
		if err != nil {
			if name != "mirror.json" || !errors.Is(err, mirror.ErrMirror) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		r, err := audit.Replay(l, wallet.Checks(), audit.Options{})
		must(t, err)
		harmless := strings.HasPrefix(name, "checkpoint") || strings.HasPrefix(name, filepath.Join("tile", "0"))
		if len(r.Findings) > 0 || (r.Verdict == audit.Verified) != harmless {
			t.Errorf("without %s: %s %v %v", name, r.Verdict, r.Findings, r.Missing)
		}
		if strings.HasPrefix(name, filepath.Join("tile", "0")) && len(l.Damage()) != 1 {
			t.Errorf("without %s: damage %v", name, l.Damage())
		}
	}
}

// TestFalseRounds: what blocks said for the order is not signed for by itself, but every commit entry has the hash of it. What does
// not give that hash is refused when it comes, nothing of the update is counted, and the next update gets what is true.
func TestFalseRounds(t *testing.T) {
	for name, tt := range map[string]struct {
		had   uint64 // entries that an honest node gave before
		false func([]byte) []byte
	}{
		"all of it is left out":                      {0, func([]byte) []byte { return []byte{} }},
		"the first round of each answer is left out": {3, func(b []byte) []byte { return b[bytes.IndexByte(b, '\n')+1:] }},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t, chain())
			full := s.Size
			dir := t.TempDir()
			m := open(t, dir)
			if tt.had > 0 {
				s.Size = tt.had
				update(t, m, client(t, s))
				s.Size = full
			}
			lost := fault(s, "/log/rounds/", tt.false)
			if _, err := m.Update(t.Context(), client(t, lost)); !errors.Is(err, mirror.ErrServer) || !strings.Contains(err.Error(), "said for the order") || m.Size() != tt.had {
				t.Errorf("%v, %d entries", err, m.Size())
			}
			update(t, m, client(t, s))
			if r := verify(t, dir, audit.Options{}); r.Verdict != audit.Verified || r.LogSize != full {
				t.Errorf("%s %v %v", r.Verdict, r.Findings, r.Missing)
			}
		})
	}
}

// TestFalseRoundsAtTheEnd: before a committee entry there is no hash to compare with. A lie there is kept until a commit entry
// comes, and does not spoil the mirror.
func TestFalseRoundsAtTheEnd(t *testing.T) {
	c := newChain()
	c.Block(ordering.Proposal{Txs: c.SealTxs("first")})
	c.Block(ordering.Proposal{Openings: c.OpenAll()})
	c.Reshare(4, c.Secrets...)
	handed, handedAt := c.State.Log().Size(), c.State.Office().Since
	c.Block(ordering.Proposal{Txs: c.SealTxs("second")})
	c.Block(ordering.Proposal{Openings: c.OpenAll()})
	s := server(t, c)
	full := s.Size
	s.Size = handed - 1
	dir := t.TempDir()
	update(t, open(t, dir), client(t, s)) // without the committee entry, so honest
	s.Size = handed
	invented, err := commitreveal.MarshalBundleLine(&commitreveal.BundleRound{Height: handedAt, Section: []byte("nobody said that"), Aside: [][]byte{}})
	must(t, err)
	liar := fault(s, "/log/rounds/", func(b []byte) []byte { return append(b, append(invented, '\n')...) })
	lie := func(m *mirror.Mirror) error {
		_, err := m.Update(t.Context(), client(t, liar))
		return err
	}
	if err := lie(open(t, dir)); err != nil {
		t.Fatalf("nothing contradicts it yet: %v", err)
	}
	s.Size = full
	if err := lie(open(t, dir)); !errors.Is(err, mirror.ErrServer) {
		t.Errorf("contradicted: %v", err)
	}
	update(t, open(t, dir), client(t, s))
	if r := verify(t, dir, audit.Options{}); r.Verdict != audit.Verified || r.LogSize != full {
		t.Errorf("%s %v %v", r.Verdict, r.Findings, r.Missing)
	}
}

// TestOneProcess: a mirror that is open is nobody else's, and readers do not mind.
func TestOneProcess(t *testing.T) {
	s := server(t, chain())
	dir := filepath.Join(t.TempDir(), "m")
	m := open(t, dir)
	if _, err := mirror.Open(dir, mirror.Options{Checks: wallet.Checks()}); !errors.Is(err, mirror.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("a second one: %v", err)
	}
	update(t, m, client(t, s))
	if r := verify(t, dir, audit.Options{}); r.Verdict != audit.Verified {
		t.Errorf("%s %v %v", r.Verdict, r.Findings, r.Missing)
	}
	must(t, errors.Join(m.Close(), m.Close()))
	again, err := mirror.Open(dir, mirror.Options{Checks: wallet.Checks()})
	must(t, err)
	if again.Size() != s.Size {
		t.Errorf("%d entries", again.Size())
	}
	must(t, again.Close())
}

func TestEvidenceIsMirrored(t *testing.T) {
	s := server(t, chain())
	s.AddEvidence([]byte("whatever"))
	dir := t.TempDir()
	update(t, open(t, dir), client(t, s))
	got, err := mirror.Evidence(dir)
	if err != nil || len(got) != 1 || string(got[0].Body) != "whatever" {
		t.Errorf("%v %v", got, err)
	}
	r := verify(t, dir, audit.Options{})
	if r.Verdict != audit.Verified || len(r.Evidence) != 1 || r.Evidence[0].Proved || r.Evidence[0].Hash != commitreveal.EvidenceHash([]byte("whatever")) {
		t.Errorf("%s %+v", r.Verdict, r.Evidence)
	}
}

// TestSuccession: a node of a later committee is believed if that committee follows
// the one before, and not because its certificate is valid by itself.
func TestSuccession(t *testing.T) {
	second := sim.New(t0, 5, ordering.DefaultParams()).Ceremony()
	certificate, err := second.State.Ceremony().Certificate().MarshalBinary()
	must(t, err)
	s := server(t, chain())
	entry, err := commitreveal.NewCommitteeEntry(99, certificate, second.State.Committee())
	must(t, err)
	wire, err := commitreveal.MarshalEntry(entry)
	must(t, err)
	must(t, s.Add(&commitreveal.BundleEntry{Entry: wire}, &commitreveal.BundleCertificate{Certificate: certificate}))
	s.Publisher = second.Secrets[4].Identity()
	dir := t.TempDir()
	if _, err := open(t, dir).Update(t.Context(), client(t, s)); !errors.Is(err, mirror.ErrUntrusted) {
		t.Errorf("a committee that made itself: %v", err)
	}
	checks := wallet.Checks()
	asked := 0
	checks.Succession = func(previous, next []byte) (audit.CommitteeInfo, error) {
		asked++
		before, err := checks.Committee(previous)
		must(t, err)
		if len(before.Identities) != 4 {
			t.Errorf("the committee before has %d members", len(before.Identities))
		}
		return checks.Committee(next)
	}
	for range 2 { // and again, by a new process
		m := openWith(t, dir, mirror.Options{Checks: checks})
		update(t, m, client(t, s))
		if len(m.Committees()) != 2 || asked != 1 {
			t.Errorf("%d committees, asked %d times", len(m.Committees()), asked)
		}
	}
}

// TestHandOvers mirrors a chain whose committee hands its key over and whose key is then
// replaced: every newer node's signature is believed, and all of it verifies.
func TestHandOvers(t *testing.T) {
	c := newChain()
	order := func(text string) {
		c.Block(ordering.Proposal{Txs: c.SealTxs(text)})
		c.Block(ordering.Proposal{Openings: c.OpenAll()})
	}
	order("first")
	c.Reshare(4, append(slices.Clone(c.Secrets[1:]), c.Newcomers(2)...)...)
	order("second")
	c.Rotate(1000, 4, c.Secrets...)
	order("third")
	s := mirrortest.New(sim.ChainID, c.Secrets[4].Identity()) // a newcomer's
	must(t, s.Add(mirrortest.FromChain(t, c)...))
	dir := t.TempDir()
	m := open(t, dir)
	update(t, m, client(t, s))
	terms := c.Genesis.Terms.Hash()
	r := verify(t, dir, audit.Options{TermsHash: &terms})
	if r.Verdict != audit.Verified || len(m.Committees()) != 3 || len(r.Committees) != 3 || len(r.Checkpoints[0].Signers) == 0 {
		t.Errorf("%s: %v %v, %d committees, %+v", r.Verdict, r.Findings, r.Missing, len(m.Committees()), r.Checkpoints)
	}
}

// A block that sets ciphertexts aside says so in the log; a mirror has what proves it, also while the batch of the same block
// waits for its reveal and the replay stops before it.
func TestSetAside(t *testing.T) {
	params := ordering.DefaultParams()
	params.MaxBatch = 3
	ch := sim.New(t, 4, params).Ceremony()
	var short [][]byte
	for i := range 5 {
		short = append(short, ordering.CiphertextTx(ch.SealUntil(fmt.Sprint(i), ch.State.Height()+1).Bytes()))
	}
	ch.Block(ordering.Proposal{Txs: short})
	r := ch.Block(ordering.Proposal{Txs: ch.SealTxs("good"), Openings: ch.OpenAll()})
	if len(r.Dropped) != 2 || r.Batch == nil || len(r.Records) != 4 {
		t.Fatalf("%d dropped, batch %v, %d entries", len(r.Dropped), r.Batch, len(r.Records))
	}
	dir := filepath.Join(t.TempDir(), "m")
	update(t, open(t, dir), client(t, server(t, ch)))
	if r := verify(t, dir, audit.Options{}); r.Verdict != audit.Verified || r.Expired != 2 {
		t.Errorf("%s %+v %v, %d expired", r.Verdict, r.Findings, r.Missing, r.Expired)
	}
	l, err := mirror.FollowLines(dir)
	must(t, err)
	defer l.Close()
	f, err := audit.Follow(wallet.Checks(), audit.Options{})
	must(t, err)
	if !f.Read(l) || f.Entries() != l.Size()-1 {
		t.Fatalf("%d of %d entries are read", f.Entries(), l.Size())
	}
	if r := f.Report(); r.Verdict != audit.Verified || r.Expired != 2 {
		t.Errorf("up to the batch: %s %+v %v, %d expired", r.Verdict, r.Findings, r.Missing, r.Expired)
	}
}
