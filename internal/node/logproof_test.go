package node

import (
	"errors"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
)

// Every entry is proved to be in the newest checkpoint, and that to extend all earlier sizes, as the log grows.
func TestPublishedProofsOfAnyEntry(t *testing.T) {
	p := newPublishing(t)
	ctx, b, policy := t.Context(), p.backend(2), p.policy(0)
	roots := []commitreveal.Hash{commitreveal.Log{}.Root()}
	check := func() {
		t.Helper()
		log := p.State.Log()
		for size := uint64(len(roots)); size <= log.Size(); size++ {
			root, err := tiles.Root(size, p.publishers[0].reader(ctx))
			p.Must(err)
			roots = append(roots, root)
		}
		if roots[log.Size()] != log.Root() {
			t.Fatal("another root")
		}
		entries, err := p.stores[1].LogEntries(ctx, 0, 100)
		p.Must(err)
		if uint64(len(entries)) != log.Size() {
			t.Fatalf("%d of %d entries", len(entries), log.Size())
		}
		for i, e := range entries {
			text, err := b.LogEntryProof(ctx, uint64(i))
			p.Must(err)
			proof, err := note.ParseProof(text)
			p.Must(err)
			head, err := proof.Check(e.Entry)
			p.Must(err)
			if string(proof.Extra) != string(e.Entry) || head.Size != log.Size() || head.Root != log.Root() {
				t.Errorf("entry %d in %d entries", i, head.Size)
			}
			if _, err := policy.CheckNote(proof.Note, head); err != nil {
				t.Error(err)
			}
		}
		for old, root := range roots {
			text, err := b.LogConsistency(ctx, uint64(old))
			p.Must(err)
			proof, err := note.ParseAddCheckpoint(text)
			p.Must(err)
			head, err := proof.Check(note.Checkpoint{Origin: note.Origin(sim.ChainID), Size: uint64(old), Root: root})
			p.Must(err)
			if _, err := policy.CheckNote(proof.Note, head); err != nil || head.Size != log.Size() {
				t.Errorf("%d entries extend %d: %v", head.Size, old, err)
			}
		}
		for _, beyond := range []uint64{log.Size(), log.Size() + 1, 1<<53 - 1} {
			if _, err := b.LogEntryProof(ctx, beyond); !isNotFound(err) {
				t.Errorf("entry %d of %d: %v", beyond, log.Size(), err)
			}
			if _, err := b.LogConsistency(ctx, beyond); beyond > log.Size() && !isNotFound(err) {
				t.Errorf("%d extend %d: %v", log.Size(), beyond, err)
			}
		}
	}
	p.block(ordering.Proposal{Txs: p.SealTxs("a", "b", "c")})
	check()
	p.block(ordering.Proposal{Openings: p.Open(1, 2, 3), Txs: p.SealTxs("d")})
	check()
}

// A node whose database is behind what its member has signed proves nothing.
func TestNoProofWhileBehind(t *testing.T) {
	p := newPublishing(t)
	ctx, b := t.Context(), p.backend(2)
	p.block(ordering.Proposal{Txs: p.SealTxs("a")})
	row, err := p.stores[1].LogCheckpoint(ctx, 0)
	p.Must(err)
	before := p.publishers[1].before
	before.mu.Lock()
	before.last = head{row.Size + 5, commitreveal.Hash{1}}
	before.mu.Unlock()
	if _, err := b.LogEntryProof(ctx, 0); !errors.Is(err, errNotSynced) {
		t.Errorf("entry: %v", err)
	}
	if _, err := b.LogConsistency(ctx, 0); !errors.Is(err, errNotSynced) {
		t.Errorf("consistency: %v", err)
	}
}
