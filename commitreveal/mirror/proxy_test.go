package mirror_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror"
	"github.com/scrimlabs/scrim/commitreveal/mirror/mirrortest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/ordering"
)

// proxy stands between a mirror and an honest node, and does what networks and caches that are broken or hostile do: it cuts
// answers off, gives those of other requests, swaps entries and lines, and shows what the node said earlier.
type proxy struct {
	node *mirrortest.Server

	mu     sync.Mutex
	rng    *rand.Rand
	often  int               // of 100 answers so many are not the node's
	before map[string][]byte // the first answer for each path
	all    [][]byte
	did    map[string]int
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	p.node.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		w.WriteHeader(rec.Code)
		return
	}
	p.mu.Lock()
	b, whole := p.change(r.URL.Path, rec.Body.Bytes())
	p.mu.Unlock()
	if whole {
		_, _ = w.Write(b)
		return
	}
	// The connection breaks in the middle of the body.
	w.Header().Set("Content-Length", fmt.Sprint(len(b)+1+p.draw(100)))
	_, _ = w.Write(b)
	panic(http.ErrAbortHandler)
}

func (p *proxy) draw(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rng.IntN(n)
}

// change gives what is answered, and whether it is all of it.
func (p *proxy) change(path string, b []byte) (answer []byte, whole bool) {
	b = bytes.Clone(b)
	if p.before[path] == nil {
		p.before[path] = b
	}
	p.all = append(p.all, b)
	if p.rng.IntN(100) >= p.often {
		return b, true
	}
	kind := []string{"cut", "shortened", "of another request", "earlier", "lines swapped", "halves swapped", "flipped"}[p.rng.IntN(7)]
	p.did[kind]++
	b = bytes.Clone(b)
	switch kind {
	case "cut":
		return b[:p.rng.IntN(len(b)+1)], false
	case "shortened":
		return b[:p.rng.IntN(len(b)+1)], true
	case "of another request":
		return p.all[p.rng.IntN(len(p.all))], true
	case "earlier":
		return p.before[path], true
	case "lines swapped":
		lines := bytes.SplitAfter(b, []byte("\n"))
		p.rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		return bytes.Join(lines, nil), true
	case "halves swapped":
		at := len(b) / 2
		return slices.Concat(b[at:], b[:at]), true
	default:
		if len(b) > 0 {
			b[p.rng.IntN(len(b))] ^= 1 << p.rng.IntN(8)
		}
		return b, true
	}
}

// accusing is a real chain that has recorded what a member did.
var accusing = sync.OnceValue(func() *sim.Chain {
	c := newChain()
	c.Block(ordering.Proposal{Txs: [][]byte{c.Accuse(c.BadPoint(2, ""))}})
	return grow(c, 10)
})

// TestThroughAHostileProxy mirrors a log that grows, again and again, through such a proxy. Nobody is accused (there is one
// log), the mirror never loses what it had, and is whole and right after one update that the proxy leaves alone.
func TestThroughAHostileProxy(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 4
	}
	did := map[string]int{}
	rolledBack := 0
	for seed := range seeds {
		s := server(t, accusing())
		full := s.Size
		p := &proxy{node: s, rng: rand.New(rand.NewPCG(seed, 7)), often: 4 + int(seed%3)*10, before: map[string][]byte{}, did: did}
		dir := filepath.Join(t.TempDir(), "m")
		c := client(t, p)
		c.Attempts = 1 + int(seed%2)
		had := uint64(0)
		for i := range 25 {
			s.Size = min(full, 2+uint64(i))
			m := open(t, dir) // a new process each time
			_, err := m.Update(t.Context(), c)
			if errors.Is(err, mirror.ErrRollback) {
				rolledBack++
			}
			var fork *mirror.ForkError
			if errors.As(err, &fork) && fork.Proved == nil { // a checkpoint was changed, so that nobody's signature is on it
				err = mirror.ErrUntrusted
			}
			if err != nil && !errors.Is(err, mirror.ErrServer) && !errors.Is(err, mirror.ErrRollback) && !errors.Is(err, mirror.ErrUntrusted) {
				t.Fatalf("seed %d, update %d: %v", seed, i, err)
			}
			if m.Size() < had || m.Size() > s.Size {
				t.Fatalf("seed %d, update %d: %d entries after %d", seed, i, m.Size(), had)
			}
			had = m.Size()
		}
		s.Size = full
		update(t, open(t, dir), client(t, s))
		if r := verify(t, dir, audit.Options{}); r.Verdict != audit.Verified || r.LogSize != full || len(r.Evidence) > 0 || len(r.Misbehaviour) != 1 || !r.Misbehaviour[0].Proved {
			t.Fatalf("seed %d: %s, %d of %d entries, %v %v %+v %+v", seed, r.Verdict, r.LogSize, full, r.Missing, r.Findings, r.Evidence, r.Misbehaviour)
		}
	}
	if len(did) < 7 || rolledBack == 0 {
		t.Errorf("the proxy did %v, and rolled back %d times", did, rolledBack)
	}
}

// FuzzMirrorFiles changes a file of a mirror: nothing makes the reader or the audit panic, nobody is accused, and what was changed
// is not verified, unless the audit does not need it.
func FuzzMirrorFiles(f *testing.F) {
	s := mirrortest.New(sim.ChainID, accusing().Secrets[0].Identity())
	must(f, s.Add(mirrortest.FromChain(f, accusing())...))
	node := httptest.NewServer(s)
	defer node.Close()
	dir := filepath.Join(f.TempDir(), "m")
	m, err := mirror.Open(dir, mirror.Options{Checks: wallet.Checks()})
	must(f, err)
	c, err := mirror.NewClient(node.URL, nil)
	must(f, err)
	_, err = m.Update(f.Context(), c)
	must(f, err)
	must(f, m.Close())
	var names []string
	must(f, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, path)
		}
		return err
	}))
	for i, name := range names {
		b, err := os.ReadFile(name)
		must(f, err)
		f.Add(uint(i), b[:len(b)/2])
		f.Add(uint(i), append(bytes.Clone(b), '\n'))
	}
	f.Fuzz(func(t *testing.T, i uint, content []byte) {
		name := names[i%uint(len(names))]
		before, err := os.ReadFile(name)
		must(t, err)
		must(t, os.WriteFile(name, content, 0o600))
		defer func() { must(t, os.WriteFile(name, before, 0o600)) }()
		l, err := mirror.OpenLines(dir)
		if err != nil {
			return
		}
		defer l.Close()
		r, err := audit.Replay(l, wallet.Checks(), audit.Options{})
		must(t, err)
		for _, found := range r.Findings {
			if found.Who != audit.WhoBundle {
				t.Errorf("%s is accused for a changed file: %+v", found.Who, found)
			}
		}
		rel, err := filepath.Rel(dir, name)
		must(t, err)
		first, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
		needed := first == "batch" || first == "rounds" || first == "recorded" || first == "certificate" || first == "limits" || strings.Contains(rel, "entries")
		if needed && r.Verdict == audit.Verified && !bytes.Equal(content, before) {
			t.Errorf("%s was changed, and is verified", rel)
		}
	})
}

// TestEvidenceListOfAHostileNode: the list is bounded, and a node that serves a broken one does not spoil what is mirrored.
func TestEvidenceListOfAHostileNode(t *testing.T) {
	for name, list := range map[string]string{
		"no JSON":       "evidence",
		"another hash":  `{"evidence":[{"number":1,"hash":"0x` + strings.Repeat("00", 32) + `"}],"next":null}`,
		"a hash cut":    `{"evidence":[{"number":1,"hash":"0x00"}],"next":null}`,
		"backwards":     `{"evidence":[],"next":0}`,
		"never the end": `{"evidence":[],"next":18446744073709551615}`,
	} {
		s := server(t, chain())
		s.AddEvidence([]byte("whatever"))
		dir := t.TempDir()
		asked := 0
		hostile := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/evidence" {
				asked++
				_, _ = w.Write([]byte(list))
				return
			}
			s.ServeHTTP(w, r)
		})
		_, err := open(t, dir).Update(t.Context(), client(t, hostile))
		if err != nil && !errors.Is(err, mirror.ErrServer) || asked > 3 {
			t.Errorf("%s: %v, asked %d times", name, err, asked)
		}
		update(t, open(t, dir), client(t, s))
		if r := verify(t, dir, audit.Options{}); r.Verdict != audit.Verified || r.LogSize != s.Size {
			t.Errorf("%s: %s %v %v", name, r.Verdict, r.Missing, r.Findings)
		}
	}
}
