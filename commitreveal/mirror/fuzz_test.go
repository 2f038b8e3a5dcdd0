package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

func FuzzParseState(f *testing.F) {
	var log commitreveal.Log
	for range 5 {
		entry, err := commitreveal.MarshalEntry(commitreveal.VoidEntry{Height: 1})
		if err != nil {
			f.Fatal(err)
		}
		if log, _, err = log.Append(entry); err != nil {
			f.Fatal(err)
		}
	}
	edge, err := log.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	b, err := json.Marshal(state{Format: Format, Origin: "scrim/x", Size: 5, Log: edge, Committees: []commitreveal.Hash{{1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":"scrim-mirror/v2"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, log, err := parseState(b)
		if err == nil && (s.Format != Format || log.Size() != s.Size) {
			t.Errorf("%+v", s)
		}
	})
}

// batch is one of two ciphertexts, as its entries and its lines.
func batch(t testing.TB) (job, []byte) {
	t.Helper()
	c, _ := thresholdtest.Deal("mirror", 1, 4, 3)
	var ids []threshold.ID
	var outcomes []commitreveal.Outcome
	var lines []byte
	for i := range 2 {
		ct, err := threshold.Seal(rand.NewChaCha8([32]byte{byte(i)}), c.Key, threshold.SealOptions{ChainID: "x", Namespace: "n", ValidUntil: 9}, []byte("p"))
		if err != nil {
			t.Fatal(err)
		}
		o := commitreveal.Outcome{ID: ct.ID(), Opening: threshold.Opening{byte(i)}, Plaintext: []byte("p")}
		line, err := commitreveal.MarshalBundleLine(&commitreveal.BundleTransaction{
			Height: 7, Position: uint32(i), Ciphertext: ct.Bytes(), Opening: &o.Opening, Plaintext: o.Plaintext,
		})
		if err != nil {
			t.Fatal(err)
		}
		ids, outcomes, lines = append(ids, ct.ID()), append(outcomes, o), append(append(lines, line...), '\n')
	}
	b, err := commitreveal.NewBatch(7, 1, ids)
	if err != nil {
		t.Fatal(err)
	}
	commit, err := b.Commit(c.Key.ID(), [32]byte{}, []string{"n", "n"})
	if err != nil {
		t.Fatal(err)
	}
	reveal, err := b.Reveal(outcomes, ids, threshold.Signature{})
	if err != nil {
		t.Fatal(err)
	}
	return job{commit: &commit, reveal: &reveal}, lines
}

func FuzzParseEvidenceList(f *testing.F) {
	f.Add([]byte(`{"evidence":[{"number":1,"hash":"0x` + strings.Repeat("0a", 32) + `","kind":"x"}],"next":7}`))
	f.Add([]byte(`{"evidence":null}`))
	f.Add([]byte(`{"evidence":[{"hash":"0X"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		page, err := parseEvidenceList(b)
		if err != nil && !errors.Is(err, ErrServer) {
			t.Error(err)
		}
		if err == nil && len(page.Evidence) > len(b) {
			t.Errorf("%d pieces in %d bytes", len(page.Evidence), len(b))
		}
	})
}

// FuzzCopyBatch: only the lines that the entries name are ever taken.
func FuzzCopyBatch(f *testing.F) {
	j, lines := batch(f)
	f.Add(lines)
	f.Add(lines[:len(lines)-1])
	f.Add(bytes.Repeat(lines, 2))
	f.Add(bytes.Replace(lines, []byte(`"void":false`), []byte(`"void":true`), 1))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		err := copyBatch(&out, bytes.NewReader(b), j)
		if (err == nil) != bytes.Equal(b, lines) || err == nil && !bytes.Equal(out.Bytes(), lines) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	})
}

// FuzzReadRounds: what is taken are rounds of the heights that were asked for, as they came.
func FuzzReadRounds(f *testing.F) {
	var lines []byte
	for h := uint64(3); h < 6; h++ {
		line, err := commitreveal.MarshalBundleLine(&commitreveal.BundleRound{Height: h, Section: []byte{byte(h)}})
		if err != nil {
			f.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	f.Add(lines, uint64(2), uint64(5))
	f.Add(lines, uint64(3), uint64(5))
	f.Add(lines, uint64(2), uint64(4))
	f.Add(lines[:len(lines)-1], uint64(2), uint64(5))
	f.Add(bytes.Repeat(lines, 2), uint64(2), uint64(5))
	f.Add([]byte{}, uint64(2), uint64(5))
	f.Fuzz(func(t *testing.T, b []byte, after, upTo uint64) {
		page, last, hash, err := readRounds(bytes.NewReader(b), after, upTo, commitreveal.Hash{7})
		if err != nil {
			return
		}
		if !bytes.Equal(page, b) || (last == after) != (len(b) == 0) || (hash == commitreveal.Hash{7}) != (len(b) == 0) || last > max(after, upTo) {
			t.Errorf("%d bytes of %d, up to height %d of %d to %d", len(page), len(b), last, after, upTo)
		}
	})
}

// TestTileWriter writes a log of more than a full tile of the second level's entries
// in pieces, and compares every tile with what package tiles says.
func TestTileWriter(t *testing.T) {
	dir := t.TempDir()
	s := &store{dir: dir}
	w, err := loadTileWriter(s, 0)
	if err != nil {
		t.Fatal(err)
	}
	const size = 256*3 + 17
	var log commitreveal.Log
	var hashes []commitreveal.Hash
	var entries [][]byte
	for i := range uint64(size) {
		entry, err := commitreveal.MarshalEntry(commitreveal.VoidEntry{Height: i + 1})
		if err != nil {
			t.Fatal(err)
		}
		next, stored, err := log.Append(entry)
		if err != nil {
			t.Fatal(err)
		}
		log, hashes, entries = next, append(hashes, stored...), append(entries, entry)
		if err := w.add(entry, stored); err != nil {
			t.Fatal(err)
		}
		if i%37 != 0 && i != size-1 {
			continue
		}
		if err := errors.Join(w.flush(), s.sync()); err != nil {
			t.Fatal(err)
		}
		w.prune()
		if w, err = loadTileWriter(s, i+1); err != nil { // as after a restart
			t.Fatal(err)
		}
	}
	var want []string
	for _, level := range []int{tiles.Entries, 0, 1} {
		for _, tile := range tiles.Needed(size, level, 0) {
			want = append(want, tile.Path())
			got, err := s.read(tile.Path(), maxBundle)
			if err != nil {
				t.Fatal(err)
			}
			var content []byte
			if level == tiles.Entries {
				from, count := tile.Range()
				content, err = tiles.AppendEntries(nil, entries[from:from+uint64(count)])
			} else {
				var indexes []int64
				indexes, err = tile.HashIndexes()
				for _, x := range indexes {
					content = append(content, hashes[x][:]...)
				}
			}
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s is not right: %v", tile.Path(), err)
			}
		}
	}
	var have []string
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(dir, path)
			have = append(have, filepath.ToSlash(rel))
		}
		return err
	})
	slices.Sort(want)
	slices.Sort(have)
	if err != nil || !slices.Equal(have, want) {
		t.Errorf("files %v, want %v: %v", have, want, err)
	}
}

func TestStore(t *testing.T) {
	if _, _, err := parseState([]byte(strings.Repeat("[", 1000))); err == nil {
		t.Error("a state of brackets")
	}
	s := &store{dir: t.TempDir()}
	if err := s.write("x", make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.read("x", 9); err == nil {
		t.Error("a file that is too large")
	}
	fails := errors.New("fails")
	if err := s.writeFrom("y", func(io.Writer) error { return fails }); !errors.Is(err, fails) || s.has("y") {
		t.Errorf("a file half written: %v", err)
	}
	names, err := os.ReadDir(s.dir)
	if err != nil || len(names) != 1 {
		t.Errorf("%v is left over, %v", names, err)
	}
}
