package ordering

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/scrimlabs/scrim/threshold"
)

const domainOrder = "scrim/order/hash/v1"

// Order puts the ids of one block into the order in which they are executed: by
//
//	SHA-256("scrim/order/hash/v1" || height (8) || beacon (32) || id (32))
//
// lowest first. Beacon is commitreveal.Beacon of the latest certificate in the log
// before the batch's own commit entry, whose value nobody can choose. The result does not depend on the order
// of ids, which must be distinct; ids itself is not changed.
//
// This is the rule until receive-order fairness replaces it: a proposer cannot
// order within its block, but still chooses which ids are in it.
func Order(height uint64, beacon [32]byte, ids []threshold.ID) []threshold.ID {
	type keyed struct {
		key [sha256.Size]byte
		id  threshold.ID
	}
	prefix := binary.BigEndian.AppendUint64([]byte(domainOrder), height)
	prefix = append(prefix, beacon[:]...)
	ks := make([]keyed, len(ids))
	for i, id := range ids {
		ks[i] = keyed{sha256.Sum256(append(prefix[:len(prefix):len(prefix)], id[:]...)), id}
	}
	slices.SortFunc(ks, func(a, b keyed) int { return bytes.Compare(a.key[:], b.key[:]) })
	out := make([]threshold.ID, len(ks))
	for i, k := range ks {
		out[i] = k.id
	}
	return out
}
