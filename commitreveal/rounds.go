package commitreveal

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/scrimlabs/scrim/threshold"
)

const domainRounds = "scrim/order/rounds/v1"

// NextRounds is the hash over all rounds, which commit entries have, after one more: what the block of a
// height said for the order beside its batch, a section (empty if it has none) and the ids that it set aside, ascending.
//
//	SHA-256(domain | hash before (32), zeros at first | height (8) | length of section (4) | section | number of ids (4) | ids (32 each))
func NextRounds(before Hash, height uint64, section []byte, aside []threshold.ID) Hash {
	h := sha256.New()
	h.Write([]byte(domainRounds))
	h.Write(before[:])
	b := binary.BigEndian.AppendUint64(nil, height)
	b = binary.BigEndian.AppendUint32(b, uint32(len(section)))
	b = append(b, section...)
	h.Write(binary.BigEndian.AppendUint32(b, uint32(len(aside))))
	for _, id := range aside {
		h.Write(id[:])
	}
	return Hash(h.Sum(nil))
}
