package interop

import (
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

// The vectors of transparency-dev/merkle: our trees have their roots and hashes.
func TestMerkleVectors(t *testing.T) {
	var l commitreveal.Log
	var stored []commitreveal.Hash
	roots := testonly.RootHashes()
	if got := l.Root(); string(got[:]) != string(testonly.EmptyRootHash()) {
		t.Errorf("the empty root is %s", got)
	}
	for i, leaf := range testonly.LeafInputs() {
		next, hashes, err := l.Append(leaf)
		if err != nil {
			t.Fatal(err)
		}
		l, stored = next, append(stored, hashes...)
		if got := l.Root(); string(got[:]) != string(roots[i+1]) {
			t.Errorf("the root of %d is %s, want %x", i+1, got, roots[i+1])
		}
	}
	for level, hashes := range testonly.NodeHashes() {
		for i, want := range hashes {
			if got := stored[tiles.StoredIndex(level, uint64(i))]; string(got[:]) != string(want) {
				t.Errorf("node %d of level %d is %s, want %x", i, level, got, want)
			}
		}
	}
}

// Proofs of either side hold for the other, for every size up to 130, and altered ones for neither.
func TestMerkleProofs(t *testing.T) {
	theirs := testonly.New(rfc6962.DefaultHasher)
	var l commitreveal.Log
	var stored []commitreveal.Hash
	const n = 130
	for i := range n {
		leaf := []byte{byte(i), byte(i >> 1)}
		theirs.AppendData(leaf)
		next, hashes, err := l.Append(leaf)
		if err != nil {
			t.Fatal(err)
		}
		l, stored = next, append(stored, hashes...)
	}
	read := func(indexes []int64) ([]commitreveal.Hash, error) {
		out := make([]commitreveal.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	}
	for size := uint64(1); size <= n; size += 1 + size/7 {
		root := commitreveal.Hash(theirs.HashAt(size))
		for i := uint64(0); i < size; i += 1 + size/11 {
			leaf := theirs.LeafHash(i)
			ours, err := tiles.ProveInclusion(size, i, read)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, i, size, leaf, slices(ours), root[:]); err != nil {
				t.Errorf("they do not believe our proof of %d in %d: %v", i, size, err)
			}
			path, err := theirs.InclusionProof(i, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := tiles.CheckInclusion(hashes(path), size, root, i, commitreveal.Hash(leaf)); err != nil {
				t.Errorf("we do not believe their proof of %d in %d: %v", i, size, err)
			}
			for j := range path {
				path[j][3] ^= 1
				if tiles.CheckInclusion(hashes(path), size, root, i, commitreveal.Hash(leaf)) == nil {
					t.Errorf("proof of %d in %d with hash %d altered holds", i, size, j)
				}
				path[j][3] ^= 1
			}
		}
		for old := uint64(1); old <= size; old += 1 + size/11 {
			before := commitreveal.Hash(theirs.HashAt(old))
			ours, err := tiles.ProveConsistency(old, size, read)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, old, size, slices(ours), before[:], root[:]); err != nil {
				t.Errorf("they do not believe that %d extend %d: %v", size, old, err)
			}
			path, err := theirs.ConsistencyProof(old, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := tiles.CheckConsistency(hashes(path), old, before, size, root); err != nil {
				t.Errorf("we do not believe that %d extend %d: %v", size, old, err)
			}
		}
	}
}

func slices(in []commitreveal.Hash) (out [][]byte) {
	for _, h := range in {
		out = append(out, h[:])
	}
	return out
}

func hashes(in [][]byte) (out []commitreveal.Hash) {
	for _, h := range in {
		out = append(out, commitreveal.Hash(h))
	}
	return out
}
