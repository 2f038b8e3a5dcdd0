package mirror

import (
	"context"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

// ErrNoEntries: a log does not have as many entries as were asked about.
var ErrNoEntries = errors.New("mirror: the log does not have so many entries")

// Prover makes proofs from the files of a log, at its newest checkpoint. What it gives is checked against that checkpoint;
// who signed it is not looked at.
type Prover struct {
	head   *signedHead
	hashes tiles.Reader
	// size is how many entries the files have: those of the checkpoint or, in a mirror whose update was stopped, more.
	size uint64
	read func(tile tiles.Tile) ([]byte, error)
}

// NewProver reads the mirror in a directory. Errors wrap [ErrMirror].
func NewProver(dir string) (*Prover, error) {
	s := &store{dir: dir}
	b, err := s.read(stateName, maxStateSize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMirror, err)
	}
	state, log, err := parseState(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMirror, stateName, err)
	}
	signed, err := s.read(checkpointName, note.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMirror, err)
	}
	head, err := parseHead(signed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMirror, err)
	}
	if head.Size > state.Size {
		return nil, fmt.Errorf("%w: a checkpoint of %d entries, and %d of them", ErrMirror, head.Size, state.Size)
	}
	return &Prover{
		head: head, size: state.Size,
		hashes: diskTree(s, note.Checkpoint{Size: log.Size(), Root: log.Root()}).hashes,
		read:   func(tile tiles.Tile) ([]byte, error) { return s.read(tile.Path(), maxBundle) },
	}, nil
}

// NewRemoteProver asks a node for its newest checkpoint; proofs are made from the node's tiles as they are needed. Errors wrap [ErrServer], or are the
// context's.
func NewRemoteProver(ctx context.Context, c *Client) (*Prover, error) {
	signed, err := c.get(ctx, logPrefix+checkpointName, note.MaxSize)
	if err != nil {
		return nil, err
	}
	head, err := parseHead(signed)
	if err != nil {
		return nil, err
	}
	return &Prover{
		head: head, size: head.Size,
		hashes: remoteTree(ctx, c, head.Checkpoint).hashes,
		read:   func(tile tiles.Tile) ([]byte, error) { return c.get(ctx, logPrefix+tile.Path(), maxBundle) },
	}, nil
}

// Entry proves that an entry is in the log, and has its bytes as Extra. [ErrNoEntries] if the checkpoint does not cover it.
func (p *Prover) Entry(index uint64) (*note.Proof, error) {
	if index >= p.head.Size {
		return nil, fmt.Errorf("%w: entry %d of %d, counted from 0", ErrNoEntries, index, p.head.Size)
	}
	path, err := tiles.ProveInclusion(p.head.Size, index, p.hashes)
	if err != nil {
		return nil, err
	}
	entry, err := p.entry(index)
	if err != nil {
		return nil, err
	}
	proof := &note.Proof{Extra: entry, Index: index, Path: path, Note: p.head.note}
	if _, err := proof.Check(entry); err != nil {
		return nil, fmt.Errorf("the files do not fit the checkpoint of %d entries: %w", p.head.Size, err)
	}
	return proof, nil
}

func (p *Prover) entry(index uint64) ([]byte, error) {
	tile := tiles.Tile{Level: tiles.Entries, Index: index / tiles.Width, Width: tiles.Width}
	if from, _ := tile.Range(); p.size-from < tiles.Width {
		tile.Width = int(p.size - from)
	}
	b, err := p.read(tile)
	if err != nil {
		return nil, err
	}
	entries, err := tiles.ParseEntries(tile, b)
	if err != nil {
		return nil, err
	}
	return entries[index%tiles.Width], nil
}

// Consistency proves that the log extends its first old entries. [ErrNoEntries] if the checkpoint has fewer.
func (p *Prover) Consistency(old uint64) (*note.AddCheckpoint, error) {
	if old > p.head.Size {
		return nil, fmt.Errorf("%w: it has %d, not %d", ErrNoEntries, p.head.Size, old)
	}
	root, err := p.root(old)
	if err != nil {
		return nil, err
	}
	hashes, err := tiles.ProveConsistency(old, p.head.Size, p.hashes)
	if err != nil {
		return nil, err
	}
	proof := &note.AddCheckpoint{OldSize: old, Proof: hashes, Note: p.head.note}
	if _, err := proof.Check(note.Checkpoint{Origin: p.head.Origin, Size: old, Root: root}); err != nil {
		return nil, fmt.Errorf("the files do not fit the checkpoint of %d entries: %w", p.head.Size, err)
	}
	return proof, nil
}

func (p *Prover) root(size uint64) (commitreveal.Hash, error) {
	if size == p.head.Size {
		return p.head.Root, nil
	}
	return tiles.Root(size, p.hashes)
}
