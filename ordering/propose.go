package ordering

import (
	"math/bits"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// Proposal is what a proposer has at hand for the next block.
type Proposal struct {
	MaxBytes int64           // of all transactions together, in the block's encoding
	Txs      [][]byte        // from the mempool, in any order; what is not valid is left out
	Openings []BatchOpenings // of pending batches, as far as they can be opened; they hold
}

// Propose fills the block after s. Check accepts what it returns.
func Propose(s *State, v *Verifier, p Proposal) [][]byte {
	b := builder{left: p.MaxBytes}
	beacon := s.beacon
	if tx, last := fitOpenings(s, p.Openings, p.MaxBytes); tx != nil {
		b.add(tx)
		beacon = commitreveal.Beacon(last.Certificate)
	}
	running := s.ceremonies
	for _, tx := range p.Txs {
		if kind, body, err := splitTx(tx); err == nil && kind == kindCeremony {
			running = b.addCeremony(running, s.height+1, tx, body)
		}
	}
	b.addCiphertexts(s, v, beacon, p.Txs)
	return b.txs
}

// fitOpenings takes as many of the pending batches, from the oldest on, as are there
// and fit, and gives the newest of them.
func fitOpenings(s *State, have []BatchOpenings, maxBytes int64) (tx []byte, last BatchOpenings) {
	n := 0
	for n < len(have) && n < len(s.pending) && have[n].Height == s.pending[n].Batch.Height {
		n++
	}
	for ; n > 0; n-- {
		if tx := openingsTx(have[:n]); txCost(tx) <= maxBytes {
			return tx, have[n-1]
		}
	}
	return nil, BatchOpenings{}
}

type builder struct {
	left int64
	txs  [][]byte
}

// txCost is what a transaction takes of a block: its bytes and protobuf's frame.
func txCost(tx []byte) int64 {
	return int64(len(tx)) + 1 + int64((bits.Len64(uint64(len(tx))|1)+6)/7)
}

func (b *builder) add(tx []byte) bool {
	if c := txCost(tx); c <= b.left {
		b.left -= c
		b.txs = append(b.txs, tx)
		return true
	}
	return false
}

func (b *builder) addCeremony(c ceremonies, height uint64, tx, body []byte) ceremonies {
	m, err := keygen.ParseMessage(body)
	if err != nil {
		return c
	}
	next, _, err := c.step(keygen.Event{Height: height, Message: m})
	if err != nil || !b.add(tx) {
		return c
	}
	return next
}

func (b *builder) addCiphertexts(s *State, v *Verifier, beacon [32]byte, txs [][]byte) {
	if len(s.pending) >= int(s.genesis.Params.MaxPending) {
		return
	}
	chosen := builder{left: b.left}
	bodies := make(map[threshold.ID][]byte)
	var ids []threshold.ID
	var first *Tenure // one block, one key: that of the first that may be ordered
	for _, tx := range txs {
		if len(ids) >= int(s.genesis.Params.MaxBatch) {
			break
		}
		kind, body, err := splitTx(tx)
		if err != nil || kind != kindCiphertext {
			continue
		}
		k, holder, err := admit(s, v, body)
		if err != nil || first != nil && holder != first || bodies[k.ID()] != nil || !chosen.add(tx) {
			continue
		}
		first = holder
		bodies[k.ID()] = tx
		ids = append(ids, k.ID())
	}
	for _, id := range Order(s.height+1, beacon, ids) {
		b.add(bodies[id])
	}
}
