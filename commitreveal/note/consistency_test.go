package note_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

// grown is a log whose checkpoints of every size are signed by member 1 and cosigned by member 2.
type grown struct {
	entries [][]byte
	stored  []commitreveal.Hash
	roots   []commitreveal.Hash
}

func grow(t testing.TB, size int) *grown {
	t.Helper()
	var log commitreveal.Log
	g := &grown{roots: []commitreveal.Hash{log.Root()}}
	for i := range size {
		entry := fmt.Appendf(nil, "entry %d", i)
		next, hashes, err := log.Append(entry)
		if err != nil {
			t.Fatal(err)
		}
		log = next
		g.entries, g.stored, g.roots = append(g.entries, entry), append(g.stored, hashes...), append(g.roots, log.Root())
	}
	return g
}

func (g *grown) read(indexes []int64) (out []commitreveal.Hash, err error) {
	for _, i := range indexes {
		out = append(out, g.stored[i])
	}
	return out, nil
}

func (g *grown) head(size uint64) note.Checkpoint {
	return note.Checkpoint{Origin: note.Origin(chainID), Size: size, Root: g.roots[size]}
}

func (g *grown) note(size uint64) *note.Note {
	text := g.head(size).Text()
	return &note.Note{Text: text, Signatures: []note.Signature{note.SignLog(identity(1), chainID, text), note.Cosign(identity(2), chainID, text, 1700000000)}}
}

func (g *grown) consistency(t testing.TB, old, size uint64) *note.AddCheckpoint {
	t.Helper()
	proof, err := tiles.ProveConsistency(old, size, g.read)
	if err != nil {
		t.Fatal(err)
	}
	return &note.AddCheckpoint{OldSize: old, Proof: proof, Note: g.note(size)}
}

func (g *grown) inclusion(t testing.TB, index, size uint64) *note.Proof {
	t.Helper()
	path, err := tiles.ProveInclusion(size, index, g.read)
	if err != nil {
		t.Fatal(err)
	}
	return &note.Proof{Extra: g.entries[index], Index: index, Path: path, Note: g.note(size)}
}

// bothSign is a policy that asks for both signatures.
func bothSign(t testing.TB) *note.Policy {
	t.Helper()
	log, witness := note.LogKey(chainID, public(1)), note.MemberKey(chainID, public(2))
	p, err := note.ParsePolicy(fmt.Appendf(nil, "log %s\nwitness w %s\nquorum w\n", log, witness))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// checkConsistency is all that a reader does.
func checkConsistency(b []byte, old note.Checkpoint, p *note.Policy) error {
	r, err := note.ParseAddCheckpoint(b)
	if err != nil {
		return err
	}
	c, err := r.Check(old)
	if err != nil {
		return err
	}
	_, err = p.CheckNote(r.Note, c)
	return err
}

func checkEntry(b []byte, p *note.Policy) error {
	r, err := note.ParseProof(b)
	if err != nil {
		return err
	}
	c, err := r.Check(r.Extra)
	if err != nil {
		return err
	}
	_, err = p.CheckNote(r.Note, c)
	return err
}

func TestConsistencyOfAllSizes(t *testing.T) {
	const size = 70
	g, p := grow(t, size), bothSign(t)
	for to := uint64(0); to <= size; to++ {
		for old := uint64(0); old <= to; old++ {
			b := marshal(t, g.consistency(t, old, to))
			if err := checkConsistency(b, g.head(old), p); err != nil {
				t.Fatalf("%d extend %d: %v", to, old, err)
			}
			other := g.head(old)
			other.Root[31] ^= 1
			if err := checkConsistency(b, other, p); !errors.Is(err, tiles.ErrProof) {
				t.Fatalf("%d extend %d with another root: %v", to, old, err)
			}
			for _, wrong := range []uint64{old + 1, to + 1} {
				if wrong <= size {
					if err := checkConsistency(b, g.head(wrong), p); !errors.Is(err, tiles.ErrProof) {
						t.Fatalf("proof from %d, held to a checkpoint of %d: %v", old, wrong, err)
					}
				}
			}
		}
	}
}

// Nothing else is taken: a proof of another pair of sizes, of another log, longer or shorter, or of a size that no log has.
func TestConsistencyIsRefused(t *testing.T) {
	g := grow(t, 20)
	good := func() *note.AddCheckpoint { return g.consistency(t, 6, 19) }
	for name, bad := range map[string]func(r *note.AddCheckpoint, old *note.Checkpoint){
		"one hash less":     func(r *note.AddCheckpoint, _ *note.Checkpoint) { r.Proof = r.Proof[1:] },
		"one hash more":     func(r *note.AddCheckpoint, _ *note.Checkpoint) { r.Proof = append(r.Proof, commitreveal.Hash{}) },
		"no hashes":         func(r *note.AddCheckpoint, _ *note.Checkpoint) { r.Proof = nil },
		"another proof":     func(r *note.AddCheckpoint, _ *note.Checkpoint) { r.Proof = g.consistency(t, 7, 19).Proof },
		"another old size":  func(r *note.AddCheckpoint, _ *note.Checkpoint) { r.OldSize = 7 },
		"another old log":   func(_ *note.AddCheckpoint, old *note.Checkpoint) { old.Origin = "scrim/other" },
		"the log is larger": func(r *note.AddCheckpoint, _ *note.Checkpoint) { r.Note = g.note(20) },
		"the log shrinks":   func(r *note.AddCheckpoint, _ *note.Checkpoint) { r.Note = g.note(5) },
		"no such size": func(r *note.AddCheckpoint, old *note.Checkpoint) {
			r.Note = &note.Note{Text: note.Checkpoint{Origin: old.Origin, Size: 1<<64 - 1, Root: old.Root}.Text(), Signatures: r.Note.Signatures}
		},
		"both of no such size": func(r *note.AddCheckpoint, old *note.Checkpoint) {
			r.OldSize, old.Size, r.Proof = 1<<64-1, 1<<64-1, nil
			r.Note = &note.Note{Text: old.Text(), Signatures: r.Note.Signatures}
		},
		"from nothing, with hashes": func(r *note.AddCheckpoint, old *note.Checkpoint) { r.OldSize, *old = 0, g.head(0) },
		"to the same, with hashes":  func(r *note.AddCheckpoint, old *note.Checkpoint) { r.OldSize, *old = 19, g.head(19) },
		"from nothing, with a root": func(r *note.AddCheckpoint, old *note.Checkpoint) { r.OldSize, old.Size, r.Proof = 0, 0, nil },
		"to the same, another root": func(r *note.AddCheckpoint, old *note.Checkpoint) { r.OldSize, old.Size, r.Proof = 19, 19, nil },
		"from more than there is":   func(r *note.AddCheckpoint, old *note.Checkpoint) { r.OldSize, *old = 20, g.head(20) },
		"of a text that is no tree": func(r *note.AddCheckpoint, _ *note.Checkpoint) {
			r.Note = &note.Note{Text: "x\n", Signatures: r.Note.Signatures}
		},
		"another root at the newest": func(r *note.AddCheckpoint, _ *note.Checkpoint) {
			r.Note = &note.Note{Text: note.Checkpoint{Origin: note.Origin(chainID), Size: 19, Root: g.roots[18]}.Text(), Signatures: r.Note.Signatures}
		},
	} {
		r, old := good(), g.head(6)
		if _, err := r.Check(old); err != nil {
			t.Fatal(err)
		}
		bad(r, &old)
		if _, err := r.Check(old); err == nil {
			t.Errorf("%s: it holds", name)
		}
	}
}

// A byte that is changed, left out, or put in twice, anywhere in a file: refused.
func TestEveryByteOfAProofCounts(t *testing.T) {
	g, p := grow(t, 20), bothSign(t)
	for name, c := range map[string]struct {
		file  []byte
		check func(b []byte) error
	}{
		"consistency":         {marshal(t, g.consistency(t, 6, 19)), func(b []byte) error { return checkConsistency(b, g.head(6), p) }},
		"from nothing":        {marshal(t, g.consistency(t, 0, 19)), func(b []byte) error { return checkConsistency(b, g.head(0), p) }},
		"to the same":         {marshal(t, g.consistency(t, 19, 19)), func(b []byte) error { return checkConsistency(b, g.head(19), p) }},
		"entry":               {marshal(t, g.inclusion(t, 6, 19)), func(b []byte) error { return checkEntry(b, p) }},
		"entry of a log of 1": {marshal(t, g.inclusion(t, 0, 1)), func(b []byte) error { return checkEntry(b, p) }},
	} {
		if err := c.check(c.file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range c.file {
			for _, flip := range []byte{1, 0x20, 0x80, c.file[i] ^ '\n', c.file[i] ^ ' '} {
				b := bytes.Clone(c.file)
				b[i] ^= flip
				if flip != 0 && c.check(b) == nil {
					t.Errorf("%s: byte %d ^ %#02x is taken:\n%s", name, i, flip, b)
				}
			}
			less := append(bytes.Clone(c.file[:i]), c.file[i+1:]...)
			twice := append(bytes.Clone(c.file[:i+1]), c.file[i:]...)
			for what, b := range map[string][]byte{"missing": less, "there twice": twice, "the last one": c.file[:i]} {
				if c.check(b) == nil {
					t.Errorf("%s: byte %d %s is taken:\n%s", name, i, what, b)
				}
			}
		}
		if c.check(append(bytes.Clone(c.file), '\n')) == nil {
			t.Errorf("%s: something left over is taken", name)
		}
	}
}

// Without the signatures it proves nothing.
func TestConsistencyNeedsThePolicy(t *testing.T) {
	g := grow(t, 9)
	r := g.consistency(t, 4, 9)
	r.Note.Signatures = r.Note.Signatures[:1]
	if err := checkConsistency(marshal(t, r), g.head(4), bothSign(t)); !errors.Is(err, note.ErrPolicy) {
		t.Errorf("without a cosignature: %v", err)
	}
	r.Note.Signatures = []note.Signature{note.SignLog(identity(3), chainID, r.Note.Text), note.Cosign(identity(2), chainID, r.Note.Text, 1)}
	if err := checkConsistency(marshal(t, r), g.head(4), bothSign(t)); !errors.Is(err, note.ErrPolicy) {
		t.Errorf("signed by somebody else: %v", err)
	}
}

// FuzzConsistency: of a log, between two sizes, there is one proof; whatever else holds differs in signatures only.
func FuzzConsistency(f *testing.F) {
	g := grow(f, 20)
	want := g.consistency(f, 6, 19)
	f.Add(marshal(f, want))
	f.Add(marshal(f, g.consistency(f, 0, 19)))
	f.Add(marshal(f, g.consistency(f, 6, 6)))
	f.Add([]byte("old 18446744073709551615\n\nscrim/demo\n18446744073709551615\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u2014 x AAAAAAE=\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := note.ParseAddCheckpoint(b)
		if err != nil {
			if !errors.Is(err, note.ErrEncoding) {
				t.Error(err)
			}
			return
		}
		if again, err := r.Marshal(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q parses, and encodes to %q, %v", b, again, err)
		}
		c, err := r.Check(g.head(6))
		if err != nil {
			if !errors.Is(err, tiles.ErrProof) {
				t.Error(err)
			}
			return
		}
		if c.Size == 19 && c.Root == g.roots[19] && fmt.Sprint(r.Proof) != fmt.Sprint(want.Proof) {
			t.Errorf("a second proof: %v", r.Proof)
		}
	})
}

// An auditor who kept a checkpoint asks whether the newest one extends it.
func ExampleAddCheckpoint_Check() {
	g := grow(&testing.B{}, 9)
	file, err := g.consistency(&testing.B{}, 4, 9).Marshal()
	if err != nil {
		panic(err)
	}
	kept := g.head(4)
	policy, err := note.ParsePolicy(note.CommitteePolicy(chainID, []ed25519.PublicKey{public(1), public(2)}, 1))
	if err != nil {
		panic(err)
	}
	proof, err := note.ParseAddCheckpoint(file)
	if err != nil {
		panic(err)
	}
	newest, err := proof.Check(kept)
	if err != nil {
		panic(err)
	}
	signed, err := policy.CheckNote(proof.Note, newest)
	if err != nil {
		panic(err)
	}
	fmt.Println(newest.Size, "extend", kept.Size, "- cosigned by", len(signed.Witnesses))
	// Output: 9 extend 4 - cosigned by 1
}
