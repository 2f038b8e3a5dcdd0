package commitreveal

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/scrimlabs/scrim/threshold"
)

// ProveInBatch is the RFC 6962 inclusion proof of the id at a position of a
// batch, under its [BatchRoot].
func ProveInBatch(ids []threshold.ID, position int) ([]Hash, error) {
	if position < 0 || position >= len(ids) {
		return nil, fmt.Errorf("%w: position %d in a batch of %d", ErrInvalid, position, len(ids))
	}
	records := make([][]byte, len(ids))
	for i, id := range ids {
		records[i] = batchRecord(len(ids), i, id)
	}
	return proveRecord(records, position)
}

// VerifyInBatch checks what [ProveInBatch] gives: that the batch with this root
// has count ciphertexts, and the one at position, from 0, has this id. The error
// wraps ErrInvalid.
func VerifyInBatch(root Hash, count, position uint32, id threshold.ID, proof []Hash) error {
	if count == 0 || count > MaxBatch || position >= count || len(proof) > maxProof {
		return fmt.Errorf("%w: position %d in a batch of %d, %d proof hashes", ErrInvalid, position, count, len(proof))
	}
	path := make(tlog.RecordProof, len(proof))
	for i, h := range proof {
		path[i] = tlog.Hash(h)
	}
	record := tlog.RecordHash(batchRecord(int(count), int(position), id))
	if err := tlog.CheckRecord(path, int64(count), tlog.Hash(root), int64(position), record); err != nil {
		return fmt.Errorf("%w: %s is not at position %d of the batch of %d with root %s", ErrInvalid, hexText(id[:]), position, count, root)
	}
	return nil
}
