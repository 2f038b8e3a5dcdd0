package tiles

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/scrimlabs/scrim/commitreveal"
)

// Reader gives stored hashes of the log by their index, in the order asked for.
type Reader func(indexes []int64) ([]commitreveal.Hash, error)

// ReadHashes implements tlog.HashReader.
func (r Reader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes, err := r(indexes)
	if err != nil {
		return nil, err
	}
	if len(hashes) != len(indexes) {
		return nil, fmt.Errorf("%w: %d hashes for %d indexes", ErrProof, len(hashes), len(indexes))
	}
	return toTlog(hashes), nil
}

// StoredIndex is where the root of the n-th complete subtree of 1<<level entries is stored.
func StoredIndex(level int, n uint64) int64 { return tlog.StoredHashIndex(level, int64(n)) }

// StoredCount is how many hashes a log of a size stores; they have the indexes below it.
func StoredCount(size uint64) int64 { return tlog.StoredHashCount(int64(size)) }

// Root is the root of the tree of a size.
func Root(size uint64, r Reader) (commitreveal.Hash, error) {
	if size > MaxSize {
		return commitreveal.Hash{}, fmt.Errorf("%w: a tree of %d entries", ErrProof, size)
	}
	root, err := tlog.TreeHash(int64(size), r)
	if err != nil {
		return commitreveal.Hash{}, fmt.Errorf("root of %d entries: %w", size, err)
	}
	return commitreveal.Hash(root), nil
}

// ProveInclusion is the RFC 6962 audit path of the entry of an index in the tree of a size, from the leaf's sibling up.
func ProveInclusion(size, index uint64, r Reader) ([]commitreveal.Hash, error) {
	if size > MaxSize || index >= size {
		return nil, fmt.Errorf("%w: no entry %d in a tree of %d", ErrProof, index, size)
	}
	proof, err := tlog.ProveRecord(int64(size), int64(index), r)
	if err != nil {
		return nil, fmt.Errorf("prove entry %d of %d: %w", index, size, err)
	}
	return fromTlog(proof), nil
}

// CheckInclusion checks that path proves the leaf to be entry index of the tree; ErrProof if not.
func CheckInclusion(path []commitreveal.Hash, size uint64, root commitreveal.Hash, index uint64, leaf commitreveal.Hash) error {
	if size > MaxSize || index >= size {
		return fmt.Errorf("%w: no entry %d in a tree of %d", ErrProof, index, size)
	}
	if tlog.CheckRecord(toTlog(path), int64(size), tlog.Hash(root), int64(index), tlog.Hash(leaf)) != nil {
		return fmt.Errorf("%w: entry %d in the tree of %d with root %s", ErrProof, index, size, root)
	}
	return nil
}

// ProveConsistency is the RFC 6962 proof that the tree of newSize extends that of oldSize. It is empty if oldSize is 0 or
// equals newSize.
func ProveConsistency(oldSize, newSize uint64, r Reader) ([]commitreveal.Hash, error) {
	if newSize > MaxSize || oldSize > newSize {
		return nil, fmt.Errorf("%w: a tree of %d does not extend one of %d", ErrProof, newSize, oldSize)
	}
	if oldSize == 0 || oldSize == newSize {
		return nil, nil
	}
	proof, err := tlog.ProveTree(int64(newSize), int64(oldSize), r)
	if err != nil {
		return nil, fmt.Errorf("prove that %d entries extend %d: %w", newSize, oldSize, err)
	}
	return fromTlog(proof), nil
}

// CheckConsistency checks that the tree of newSize and newRoot extends that of oldSize and oldRoot; ErrProof if that does
// not follow from the proof.
func CheckConsistency(proof []commitreveal.Hash, oldSize uint64, oldRoot commitreveal.Hash, newSize uint64, newRoot commitreveal.Hash) error {
	bad := fmt.Errorf("%w: the tree of %d with root %s extends that of %d with root %s", ErrProof, newSize, newRoot, oldSize, oldRoot)
	switch {
	case newSize > MaxSize || oldSize > newSize:
		return bad
	case oldSize == newSize:
		if oldRoot != newRoot || len(proof) > 0 {
			return bad
		}
		return nil
	case oldSize == 0: // every tree extends the empty one
		if oldRoot != (commitreveal.Log{}).Root() || len(proof) > 0 {
			return bad
		}
		return nil
	}
	if tlog.CheckTree(toTlog(proof), int64(newSize), tlog.Hash(newRoot), int64(oldSize), tlog.Hash(oldRoot)) != nil {
		return bad
	}
	return nil
}

func toTlog(hashes []commitreveal.Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(hashes))
	for i, h := range hashes {
		out[i] = tlog.Hash(h)
	}
	return out
}

func fromTlog(hashes []tlog.Hash) []commitreveal.Hash {
	out := make([]commitreveal.Hash, len(hashes))
	for i, h := range hashes {
		out[i] = commitreveal.Hash(h)
	}
	return out
}
