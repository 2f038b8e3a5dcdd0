package threshold_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// Every decoder is fuzzed: whatever it accepts, it encodes to the same bytes, and it never panics. The seeds are in
// testdata/fuzz, written by the same flag as the vectors.

func FuzzParseCiphertext(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		ct, err := threshold.ParseCiphertext(b)
		if err != nil {
			return
		}
		if !bytes.Equal(ct.Bytes(), b) {
			t.Fatal("another encoding of the same ciphertext")
		}
		if header := thresholdtest.Header(ct.Header()); !bytes.HasPrefix(b, header) {
			t.Fatal("another encoding of the same header")
		}
		checked, err := ct.Check()
		if (err == nil) != thresholdtest.Check(ct) {
			t.Fatalf("circl disagrees with %v", err)
		}
		if err == nil && checked.ID() != ct.ID() {
			t.Fatal("checked another")
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := threshold.ParsePublicKey(b); err == nil && !bytes.Equal(k.Bytes(), b) {
			t.Fatal("another encoding of the same key")
		}
	})
}

func FuzzParseMemberKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := threshold.ParseMemberKey(b); err == nil && !bytes.Equal(k.Bytes(), b) {
			t.Fatal("another encoding of the same key")
		}
	})
}

func FuzzParseCommittee(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := threshold.ParseCommittee(b)
		if err != nil {
			return
		}
		again, err := c.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatal("another encoding of the same committee", err)
		}
	})
}

func FuzzParseBatchShare(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := threshold.ParseBatchShare(b)
		if err != nil {
			return
		}
		again, err := s.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatal("another encoding of the same share", err)
		}
	})
}

// FuzzPoints gives 48 bytes to all that takes a point from a stranger.
func FuzzPoints(f *testing.F) {
	c, secrets := thresholdtest.Deal("fuzz points", 1, 1, 1)
	ct, err := threshold.Seal(bytes.NewReader(make([]byte, 32)), c.Key, options, nil)
	if err != nil {
		f.Fatal(err)
	}
	checked, err := ct.Check()
	if err != nil {
		f.Fatal(err)
	}
	batch := []*threshold.Checked{checked}
	good, err := secrets[0].ShareBatch(batch)
	if err != nil {
		f.Fatal(err)
	}
	signed, err := secrets[0].Sign(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != threshold.PointSize {
			return
		}
		p := [threshold.PointSize]byte(b)
		share := &threshold.BatchShare{Member: 1, Points: [][threshold.PointSize]byte{p}}
		_, verr := threshold.VerifyBatchShare(c, batch, share)
		_, _, cerr := threshold.Combine(c, batch, []*threshold.BatchShare{share})
		_, oerr := threshold.VerifyOpenings(c.Key, batch, []threshold.Opening{p})
		if ok := p == good.Points[0]; (verr == nil) != ok || (cerr == nil) != ok || (oerr == nil) != ok {
			t.Fatal(ok, verr, cerr, oerr)
		}
		if ok := p == signed.Point; (threshold.VerifySignature(c.Key, nil, p) == nil) != ok {
			t.Fatal("a second signature")
		}
	})
}

// fuzzSeeds are the seeds of every target.
func fuzzSeeds(t *testing.T) map[string][][]byte {
	seeds := map[string][][]byte{}
	add := func(target string, b []byte) { seeds[target] = append(seeds[target], b) }
	targets := map[string]string{
		"ciphertext": "FuzzParseCiphertext", "public_key": "FuzzParsePublicKey", "member_key": "FuzzParseMemberKey",
		"committee": "FuzzParseCommittee", "batch_share": "FuzzParseBatchShare",
	}
	for _, v := range ciphertextVectors(t) {
		if len(v.Wire) < 600 {
			add("FuzzParseCiphertext", v.Wire)
		}
	}
	for _, v := range vectors(t, "keys.json", makeKeys).Committees {
		add("FuzzParsePublicKey", v.PublicKey)
		add("FuzzParseMemberKey", v.MemberKeys[0])
		add("FuzzParseCommittee", v.Committee)
	}
	for _, v := range vectors(t, "batches.json", func() []batchVector { return makeBatches(t) }) {
		add("FuzzParseBatchShare", v.Shares[0])
	}
	for _, v := range vectors(t, "invalid.json", func() []invalidVector { return makeInvalid(t) }) {
		add(targets[v.Kind], v.Bytes)
	}
	c, secrets := thresholdtest.Deal("fuzz points", 1, 1, 1)
	ct, err := threshold.Seal(bytes.NewReader(make([]byte, 32)), c.Key, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	good := share(t, secrets[0], []*threshold.Checked{check(t, ct)}).Points[0]
	signed, err := secrets[0].Sign(nil)
	if err != nil {
		t.Fatal(err)
	}
	add("FuzzPoints", good[:])
	add("FuzzPoints", signed.Point[:])
	add("FuzzPoints", thresholdtest.U(ct))
	for _, bad := range badPoints(t, good[:]) {
		add("FuzzPoints", bad.b)
	}
	return seeds
}

// TestFuzzSeeds fails when a fuzz target has no seeds.
func TestFuzzSeeds(t *testing.T) {
	if *writeMissing {
		for target, seeds := range fuzzSeeds(t) {
			folder := filepath.Join("testdata", "fuzz", target)
			if _, err := os.Stat(folder); err == nil {
				continue
			}
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			for i, b := range seeds {
				text := fmt.Sprintf("go test fuzz v1\n[]byte(%+q)\n", b)
				if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("seed-%02d", i)), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), "fuzz_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(fn.Name.Name, "Fuzz") {
			continue
		}
		found++
		seeds, _ := filepath.Glob(filepath.Join("testdata", "fuzz", fn.Name.Name, "seed-*"))
		if len(seeds) < 3 {
			t.Errorf("%s has %d seeds", fn.Name.Name, len(seeds))
		}
	}
	if found < 6 {
		t.Errorf("%d fuzz targets found", found)
	}
}
