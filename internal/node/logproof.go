package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/pg"
)

// LogEntryProof is part of httpapi.LogBackend.
func (b backend) LogEntryProof(ctx context.Context, index uint64) ([]byte, error) {
	signed, size, err := b.newestSigned(ctx)
	if err != nil {
		return nil, err
	}
	if index >= size {
		return nil, httpapi.Errorf(v1.CodeNotFound, "the log has %d entries, counted from 0; it grows by blocks", size)
	}
	entries, err := b.n.store.LogEntries(ctx, index, 1)
	if err != nil {
		return nil, err
	}
	if len(entries) != 1 {
		return nil, fmt.Errorf("log entry %d is not there", index)
	}
	proof := &note.Proof{Extra: entries[0].Entry, Index: index, Note: signed}
	if proof.Path, err = tiles.ProveInclusion(size, index, b.n.publish.reader(ctx)); err != nil {
		return nil, err
	}
	return proof.Marshal()
}

// LogConsistency is part of httpapi.LogBackend.
func (b backend) LogConsistency(ctx context.Context, old uint64) ([]byte, error) {
	signed, size, err := b.newestSigned(ctx)
	if err != nil {
		return nil, err
	}
	if old > size {
		return nil, httpapi.Errorf(v1.CodeNotFound, "the log has %d entries here, not %d; it grows by blocks", size, old)
	}
	proof := &note.AddCheckpoint{OldSize: old, Note: signed}
	if proof.Proof, err = tiles.ProveConsistency(old, size, b.n.publish.reader(ctx)); err != nil {
		return nil, err
	}
	return proof.Marshal()
}

// newestSigned is the newest checkpoint with this node's signature, and its size.
func (b backend) newestSigned(ctx context.Context) (*note.Note, uint64, error) {
	row, err := b.n.store.LogCheckpoint(ctx, 0)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, 0, httpapi.Errorf(v1.CodeNotFound, "the log has no entries yet; it grows by blocks")
	}
	if err != nil {
		return nil, 0, err
	}
	signed, err := b.n.publish.signed(ctx, row)
	if errors.Is(err, errSignedMore) {
		return nil, 0, errNotSynced
	}
	return signed, row.Size, err
}
