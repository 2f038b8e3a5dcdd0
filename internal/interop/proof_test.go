package interop

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"testing"

	formats "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/scrimlabs/scrim/commitreveal"
	scrim "github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

// transparency-dev/formats reads our .tlog-proof of an entry and writes the same bytes, sumdb/note opens the checkpoint in it, and
// transparency-dev/merkle believes the path; the file of a consistency proof has hashes that it believes too.
func TestPublicLibrariesReadProofFiles(t *testing.T) {
	const size = 21
	var log commitreveal.Log
	var stored []commitreveal.Hash
	var entries [][]byte
	roots := []commitreveal.Hash{log.Root()}
	for i := range size {
		entry := fmt.Appendf(nil, "entry %d", i)
		next, hashes, err := log.Append(entry)
		if err != nil {
			t.Fatal(err)
		}
		log, stored, entries, roots = next, append(stored, hashes...), append(entries, entry), append(roots, next.Root())
	}
	read := func(indexes []int64) (out []commitreveal.Hash, err error) {
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	}
	identity := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	verifier, err := note.NewVerifier(scrim.LogKey("demo", identity.Public().(ed25519.PublicKey)).String())
	if err != nil {
		t.Fatal(err)
	}
	text := scrim.Checkpoint{Origin: scrim.Origin("demo"), Size: size, Root: log.Root()}.Text()
	signed := &scrim.Note{Text: text, Signatures: []scrim.Signature{scrim.SignLog(identity, "demo", text)}}
	root := log.Root()
	for index := range uint64(size) {
		path, err := tiles.ProveInclusion(size, index, read)
		if err != nil {
			t.Fatal(err)
		}
		file, err := (&scrim.Proof{Extra: entries[index], Index: index, Path: path, Note: signed}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var p formats.TLogProof
		if err := p.Unmarshal(file); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.Marshal(), file) || !bytes.Equal(p.ExtraData, entries[index]) || p.Index != index {
			t.Errorf("entry %d reads as %+v", index, p)
		}
		opened, err := note.Open(p.Checkpoint, note.VerifierList(verifier))
		if err != nil || opened.Text != text {
			t.Errorf("checkpoint: %v", err)
		}
		var hashes [][]byte
		for _, h := range p.Hashes {
			hashes = append(hashes, h[:])
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, rfc6962.DefaultHasher.HashLeaf(p.ExtraData), hashes, root[:]); err != nil {
			t.Errorf("entry %d: %v", index, err)
		}
	}
	for old := uint64(1); old <= size; old++ {
		hashes, err := tiles.ProveConsistency(old, size, read)
		if err != nil {
			t.Fatal(err)
		}
		file, err := (&scrim.AddCheckpoint{OldSize: old, Proof: hashes, Note: signed}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		p, err := scrim.ParseAddCheckpoint(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, old, size, slices(p.Proof), roots[old][:], root[:]); err != nil {
			t.Errorf("%d extend %d: %v", size, old, err)
		}
	}
}
