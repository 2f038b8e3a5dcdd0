// Package tiles is the commit-reveal log as static files: which hashes and entries a tile has, under which path,
// and the RFC 6962 proofs that are computed from them.
//
// A node answers with [Tile.HashIndexes] and [AppendEntries]; a mirror asks for [Needed], reads with [ParseHashes] and
// [ParseEntries], and checks with [CheckConsistency] and [CheckInclusion]. The tree is the one of commitreveal.Log.
//
// Invariants: everything is a pure function of its arguments; a path has one spelling, a tile one encoding, and a parser
// accepts nothing else; nothing is allocated that the length of the input does not bound.
//
// The formats are those of c2sp.org/tlog-tiles; what of it the log uses is in docs/spec/log.md.
package tiles

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/scrimlabs/scrim/commitreveal"
)

// Errors on which callers branch.
var (
	// ErrPath: not the path of a tile.
	ErrPath = errors.New("tiles: not the path of a tile")
	// ErrEncoding: the bytes are not those of the tile.
	ErrEncoding = errors.New("tiles: not the content of the tile")
	// ErrProof: a Merkle proof does not hold.
	ErrProof = errors.New("tiles: the proof does not hold")
)

const (
	// Width is the number of hashes or entries of a full tile (tlog-tiles, Merkle Tree: "Full tiles MUST be exactly 256
	// hashes wide").
	Width = 256
	// Entries is the level of a tile that holds entries, an "entry bundle".
	Entries = -1
	// MaxLevel is the highest level of a path (tlog-tiles, Merkle Tree: "between 0 and 63"). A log of 2^60 entries has no
	// tile above level 7.
	MaxLevel = 63
	// MaxSize is the most entries that a log can have.
	MaxSize = 1 << 60

	height = 8 // levels of the tree in a tile
)

// Tile names one tile of the log.
type Tile struct {
	Level int    // 0 to MaxLevel, or Entries
	Index uint64 // from 0, below 2^60
	Width int    // hashes or entries: 1 to 255 if partial, 256 if full
}

// Path is the tile's path below the log's prefix, as "tile/0/x001/234.p/5" or "tile/entries/000".
func (t Tile) Path() string {
	level := "entries"
	if t.Level != Entries {
		level = strconv.Itoa(t.Level)
	}
	path := "tile/" + level + "/" + indexPath(t.Index)
	if t.Width != Width {
		path += ".p/" + strconv.Itoa(t.Width)
	}
	return path
}

// indexPath is an index in groups of three digits, all but the last after an x (tlog-tiles, Merkle Tree: "<N> is").
func indexPath(n uint64) string {
	path := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	return path
}

// maxPath is the length of the longest path there is.
const maxPath = len("tile/entries/") + 7*len("x000/") + len(".p/255")

// ParsePath is the inverse of [Tile.Path]: ErrPath for everything that it does not give, such as leading zeros.
func ParsePath(path string) (Tile, error) {
	t, ok := parsePath(path)
	if !ok || !t.valid() || t.Path() != path {
		return Tile{}, fmt.Errorf("%w: %.80q", ErrPath, path)
	}
	return t, nil
}

func parsePath(path string) (t Tile, ok bool) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok || len(path) > maxPath {
		return t, false
	}
	level, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return t, false
	}
	t.Level, t.Width = Entries, Width
	var err error
	if level != "entries" {
		if t.Level, err = strconv.Atoi(level); err != nil || t.Level < 0 {
			return t, false
		}
	}
	index, width, partial := strings.Cut(rest, ".p/")
	if partial {
		if t.Width, err = strconv.Atoi(width); err != nil || t.Width == Width {
			return t, false
		}
	}
	// Path, which gives the one spelling, is compared by the caller.
	digits := strings.NewReplacer("x", "", "/", "").Replace(index)
	t.Index, err = strconv.ParseUint(digits, 10, 64)
	return t, err == nil
}

func (t Tile) valid() bool {
	return t.Level >= Entries && t.Level <= MaxLevel && t.Width >= 1 && t.Width <= Width && t.Index < MaxSize
}

// Needed gives all tiles of the tree of a size on one level, [Entries] included, from the index on: full ones, and
// the partial one at the end if there is one (tlog-tiles, Partial Tiles: "floor(s / 256**l) mod 256").
func Needed(size uint64, level int, from uint64) []Tile {
	n := size
	for range level {
		n /= Width
	}
	var out []Tile
	for i := from; i < n/Width; i++ {
		out = append(out, Tile{level, i, Width})
	}
	if w := int(n % Width); w > 0 && n/Width >= from {
		out = append(out, Tile{level, n / Width, w})
	}
	return out
}

// HashIndexes are the indexes at which the tile's hashes are stored (commitreveal.Log.Append, in the order of
// golang.org/x/mod/sumdb/tlog). They are of complete subtrees, so a hash is there or the tile is not. ErrPath if
// the tile holds entries or lies beyond the largest log.
func (t Tile) HashIndexes() ([]int64, error) {
	if !t.valid() || t.Level == Entries || t.Level >= 60/height || t.Index >= MaxSize>>(height*(t.Level+1)) {
		return nil, fmt.Errorf("%w: %s has no hashes", ErrPath, t.Path())
	}
	out := make([]int64, t.Width)
	for i := range out {
		out[i] = tlog.StoredHashIndex(height*t.Level, int64(t.Index*Width)+int64(i))
	}
	return out, nil
}

// Range gives the first entry of a tile of entries, and their number.
func (t Tile) Range() (from uint64, count int) { return t.Index * Width, t.Width }

// AppendHashes appends the content of a tile of hashes.
func AppendHashes(b []byte, hashes []commitreveal.Hash) []byte {
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

// ParseHashes reads the content of the tile of hashes t.
func ParseHashes(t Tile, b []byte) ([]commitreveal.Hash, error) {
	if !t.valid() || t.Level == Entries || len(b) != t.Width*commitreveal.HashSize {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrEncoding, t.Path(), len(b))
	}
	out := make([]commitreveal.Hash, t.Width)
	for i := range out {
		copy(out[i][:], b[i*commitreveal.HashSize:])
	}
	return out, nil
}

// AppendEntries appends the content of a tile of entries: each after its length in two bytes (tlog-tiles, Log entries).
func AppendEntries(b []byte, entries [][]byte) ([]byte, error) {
	for _, e := range entries {
		if len(e) > commitreveal.MaxEntrySize {
			return nil, fmt.Errorf("%w: an entry of %d bytes, at most %d allowed", ErrEncoding, len(e), commitreveal.MaxEntrySize)
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(e))), e...)
	}
	return b, nil
}

// ParseEntries reads the content of the tile of entries t. The entries share b's memory; what they say is not looked at.
func ParseEntries(t Tile, b []byte) ([][]byte, error) {
	if !t.valid() || t.Level != Entries {
		return nil, fmt.Errorf("%w: %s has no entries", ErrEncoding, t.Path())
	}
	out := make([][]byte, 0, t.Width)
	for range t.Width {
		if len(b) < 2 {
			return nil, fmt.Errorf("%w: %s ends after %d entries", ErrEncoding, t.Path(), len(out))
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b)-2 < n {
			return nil, fmt.Errorf("%w: %s ends in entry %d", ErrEncoding, t.Path(), len(out))
		}
		out = append(out, b[2:2+n:2+n])
		b = b[2+n:]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: %s has %d bytes left over", ErrEncoding, t.Path(), len(b))
	}
	return out, nil
}

// LeafHash is the RFC 6962 hash of an entry.
func LeafHash(entry []byte) commitreveal.Hash { return commitreveal.Hash(tlog.RecordHash(entry)) }

// NodeHash is the RFC 6962 hash of an inner node.
func NodeHash(left, right commitreveal.Hash) commitreveal.Hash {
	return commitreveal.Hash(tlog.NodeHash(tlog.Hash(left), tlog.Hash(right)))
}
