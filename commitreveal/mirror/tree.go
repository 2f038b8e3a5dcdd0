package mirror

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

// tree reads hashes of the log of a checkpoint from a node or from the disk. Each
// tile is checked against the checkpoint's root before a hash of it is given out.
type tree struct {
	get  func(tile tiles.Tile) ([]byte, error)
	head note.Checkpoint
	read tlog.HashReader
	// cached are tiles that were checked, and old the order in which they came.
	cached map[tlog.Tile][]byte
	old    []tlog.Tile
}

// maxCached is how many tiles are kept: all levels of a few places in the log.
const maxCached = 64

// remoteTree reads from a node.
func remoteTree(ctx context.Context, c *Client, head note.Checkpoint) *tree {
	return newTree(head, func(tile tiles.Tile) ([]byte, error) {
		b, err := c.get(ctx, logPrefix+tile.Path(), int64(tile.Width*commitreveal.HashSize))
		if err == nil && len(b) != tile.Width*commitreveal.HashSize {
			err = fmt.Errorf("%w: %s has %d bytes", ErrServer, tile.Path(), len(b))
		}
		return b, err
	})
}

// diskTree reads from a mirror's own tiles.
func diskTree(s *store, head note.Checkpoint) *tree {
	return newTree(head, func(tile tiles.Tile) ([]byte, error) {
		b, err := s.read(tile.Path(), int64(tile.Width*commitreveal.HashSize))
		if err == nil && len(b) != tile.Width*commitreveal.HashSize {
			err = fmt.Errorf("mirror: %s has %d bytes", tile.Path(), len(b))
		}
		return b, err
	})
}

func newTree(head note.Checkpoint, get func(tile tiles.Tile) ([]byte, error)) *tree {
	t := &tree{get: get, head: head, cached: map[tlog.Tile][]byte{}}
	t.read = tlog.TileHashReader(tlog.Tree{N: int64(head.Size), Hash: tlog.Hash(head.Root)}, t)
	return t
}

// Height implements tlog.TileReader.
func (*tree) Height() int { return 8 }

// ReadTiles implements tlog.TileReader.
func (t *tree) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(wanted))
	for i, w := range wanted {
		if b := t.cached[w]; b != nil {
			out[i] = b
			continue
		}
		b, err := t.get(tiles.Tile{Level: w.L, Index: uint64(w.N), Width: w.W})
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	return out, nil
}

// SaveTiles implements tlog.TileReader: it is given tiles that were checked.
func (t *tree) SaveTiles(checked []tlog.Tile, content [][]byte) {
	for i, tile := range checked {
		if t.cached[tile] == nil {
			t.cached[tile] = content[i]
			t.old = append(t.old, tile)
		}
	}
	for len(t.old) > maxCached {
		delete(t.cached, t.old[0])
		t.old = t.old[1:]
	}
}

// hashes implements tiles.Reader.
func (t *tree) hashes(indexes []int64) ([]commitreveal.Hash, error) {
	got, err := t.read.ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("%w: the tiles do not fit the checkpoint of %d entries: %w", ErrServer, t.head.Size, err)
	}
	out := make([]commitreveal.Hash, len(got))
	for i, h := range got {
		out[i] = commitreveal.Hash(h)
	}
	return out, nil
}

// root is the root of the first size entries of the checkpoint's log.
func (t *tree) root(size uint64) (commitreveal.Hash, error) {
	if size == t.head.Size {
		return t.head.Root, nil
	}
	return tiles.Root(size, t.hashes)
}

// leaves are the leaf hashes of a tile of entries.
func (t *tree) leaves(tile tiles.Tile) ([]commitreveal.Hash, error) {
	from, count := tile.Range()
	indexes := make([]int64, count)
	for i := range indexes {
		indexes[i] = tiles.StoredIndex(0, from+uint64(i))
	}
	return t.hashes(indexes)
}
