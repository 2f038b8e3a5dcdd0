package mirror_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/mirror"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/internal/sim"
)

// provers are those of a mirror and of the node that it is of.
func provers(t *testing.T, dir string, c *mirror.Client) map[string]*mirror.Prover {
	t.Helper()
	disk, err := mirror.NewProver(dir)
	must(t, err)
	node, err := mirror.NewRemoteProver(t.Context(), c)
	must(t, err)
	return map[string]*mirror.Prover{"mirror": disk, "node": node}
}

func marshalled(t *testing.T, m interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := m.Marshal()
	must(t, err)
	return b
}

// Every entry, and every earlier size, of a log that grows: both say the same, and it holds.
func TestProver(t *testing.T) {
	s := server(t, chain())
	full := s.Size
	dir := filepath.Join(t.TempDir(), "m")
	m, c := open(t, dir), client(t, s)
	signed := map[uint64]note.Checkpoint{0: {Origin: note.Origin(sim.ChainID), Root: commitreveal.Log{}.Root()}}
	for size := uint64(1); size <= full; size++ {
		b, err := s.Checkpoint(size)
		must(t, err)
		_, head, err := note.ParseSigned(b)
		must(t, err)
		signed[size] = head
	}
	for _, size := range []uint64{2, 7, full} {
		s.Size = size
		update(t, m, c)
		said := map[string][]byte{}
		for name, p := range provers(t, dir, c) {
			for index := range size {
				p, err := p.Entry(index)
				must(t, err)
				proof, err := note.ParseProof(marshalled(t, p))
				must(t, err)
				head, err := proof.Check(proof.Extra)
				if err != nil || head.Text() != signed[size].Text() || proof.Index != index {
					t.Errorf("%s: entry %d of %d: %v", name, index, size, err)
				}
				if _, err := commitreveal.ParseEntry(proof.Extra); err != nil {
					t.Error(err)
				}
				said[name] = append(said[name], marshalled(t, proof)...)
			}
			for old := range size + 1 {
				p, err := p.Consistency(old)
				must(t, err)
				proof, err := note.ParseAddCheckpoint(marshalled(t, p))
				must(t, err)
				if head, err := proof.Check(signed[old]); err != nil || head.Text() != signed[size].Text() {
					t.Errorf("%s: %d extend %d: %v", name, size, old, err)
				}
				said[name] = append(said[name], marshalled(t, proof)...)
			}
			for _, beyond := range []uint64{size, size + 1, tiles.MaxSize, 1<<64 - 1} {
				if _, err := p.Entry(beyond); !errors.Is(err, mirror.ErrNoEntries) {
					t.Errorf("%s: entry %d of %d: %v", name, beyond, size, err)
				}
				if _, err := p.Consistency(beyond); beyond > size && !errors.Is(err, mirror.ErrNoEntries) {
					t.Errorf("%s: %d extend %d: %v", name, size, beyond, err)
				}
			}
		}
		if !bytes.Equal(said["mirror"], said["node"]) {
			t.Errorf("of %d entries mirror and node say different things", size)
		}
	}
}

// An update that was stopped has more entries than its checkpoint: the proof is at the checkpoint.
func TestProverOfAStoppedUpdate(t *testing.T) {
	s := server(t, chain())
	full := s.Size
	dir := filepath.Join(t.TempDir(), "m")
	m, c := open(t, dir), client(t, s)
	s.Size = 7
	update(t, m, c)
	before, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	must(t, err)
	s.Size = full
	update(t, m, c)
	must(t, os.WriteFile(filepath.Join(dir, "checkpoint"), before, 0o600))
	p, err := mirror.NewProver(dir)
	must(t, err)
	proof, err := p.Entry(6)
	must(t, err)
	if head, err := proof.Check(proof.Extra); err != nil || head.Size != 7 {
		t.Errorf("in %d entries: %v", head.Size, err)
	}
	if _, err := p.Entry(7); !errors.Is(err, mirror.ErrNoEntries) {
		t.Error(err)
	}
	if extends, err := p.Consistency(2); err != nil || len(extends.Proof) == 0 {
		t.Error(err)
	}
}

// A mirror that is damaged, and nodes that lie, give no proof.
func TestProverOfWhatDoesNotFit(t *testing.T) {
	s := server(t, chain())
	dir := filepath.Join(t.TempDir(), "m")
	m, c := open(t, dir), client(t, s)
	update(t, m, c)
	spoil := func(name string, change func(b []byte) []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, change(bytes.Clone(b)), 0o600))
		p, err := mirror.NewProver(dir)
		if err == nil {
			if _, err = p.Entry(3); err == nil {
				t.Errorf("an entry of a mirror with another %s", name)
			}
		} else if !errors.Is(err, mirror.ErrMirror) {
			t.Errorf("another %s: %v", name, err)
		}
		must(t, os.WriteFile(path, b, 0o600))
	}
	tile := func(level int) tiles.Tile { return tiles.Needed(m.Size(), level, 0)[0] }
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	for _, change := range []func([]byte) []byte{flip, cut} {
		spoil(tile(0).Path(), change)
		spoil("checkpoint", change)
	}
	spoil("mirror.json", func(b []byte) []byte { return b[:len(b)/2] })
	spoil(tile(tiles.Entries).Path(), cut)
	spoil(tile(tiles.Entries).Path(), func(b []byte) []byte {
		entries, err := tiles.ParseEntries(tile(tiles.Entries), b)
		must(t, err)
		entries[3][5] ^= 1 // in b
		return b
	})
	if _, err := mirror.NewProver(t.TempDir()); !errors.Is(err, mirror.ErrMirror) {
		t.Errorf("no mirror: %v", err)
	}
	for _, level := range []string{"tile/0/", "tile/entries/", "checkpoint"} {
		liar := client(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, level) {
				s.ServeHTTP(w, r)
				return
			}
			_, _ = w.Write(bytes.Repeat([]byte{1}, 20*commitreveal.HashSize))
		}))
		p, err := mirror.NewRemoteProver(t.Context(), liar)
		if err == nil {
			_, err = p.Entry(3)
		}
		if err == nil {
			t.Errorf("a node lies about %s, and a proof is made", level)
		}
	}
}
