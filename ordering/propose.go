package ordering

import (
	"math/bits"
	"slices"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Proposal is what a proposer has at hand for the next block.
type Proposal struct {
	MaxBytes      int64                // of all transactions together, in the block's encoding
	Txs           [][]byte             // from the mempool, in any order; evidence and ceremony messages are taken from them
	Openings      []BatchOpenings      // of pending batches, as far as they can be opened; they hold
	Announcements []*fair.Announcement // of members' receive logs; their signatures hold
	Bodies        Bodies               // among them those that are Wanted, as far as they can be had
}

// Bodies are ciphertexts at hand, by id.
type Bodies map[threshold.ID]*threshold.Ciphertext // never iterated

// Hold gives the ciphertexts that are among transactions.
func Hold(txs [][]byte) Bodies {
	b := make(Bodies, len(txs))
	for _, tx := range txs {
		if ct := CiphertextOf(tx); ct != nil {
			b[ct.ID()] = ct
		}
	}
	return b
}

// Add takes further ciphertexts; what is none is left out.
func (b Bodies) Add(wires [][]byte) {
	for _, wire := range wires {
		if ct, err := threshold.ParseCiphertext(wire); err == nil {
			b[ct.ID()] = ct
		}
	}
}

// Wanted lists the ids whose bodies the block after s must have if it takes these announcements, and maybe some more; without
// those that are held.
func Wanted(s *State, announcements []*fair.Announcement, held Bodies) []threshold.ID {
	plan := s.plan(announcements)
	if plan == nil || len(s.pending) >= int(s.genesis.Params.MaxPending) {
		return nil
	}
	var ids []threshold.ID
	for _, f := range plan.queue {
		ids = append(ids, f.Sequence(s.genesis.Params.of(f))...)
	}
	ids = ids[:min(len(ids), int(s.genesis.Params.MaxBatch))]
	return slices.DeleteFunc(ids, func(id threshold.ID) bool { return held[id] != nil })
}

// plan is what a section decides; the section is nil if it would say nothing new.
type plan struct {
	section []byte
	queue   []fair.Set
}

// plan is nil if there is no committee.
func (s *State) plan(announcements []*fair.Announcement) *plan {
	if s.Office() == nil {
		return nil
	}
	var p plan
	var chunks []fair.Chunk
	if !s.agenda.full(s.genesis.Params) {
		if wire, said, err := s.agenda.logs.Section(announcements); err == nil {
			p.section, chunks = wire, said
		}
	}
	_, queue, _, err := s.agenda.decide(s, chunks)
	if err != nil { // announcements that no honest member makes
		return &plan{queue: s.agenda.queue}
	}
	p.queue = queue
	return &p
}

// Propose fills the block after s. Check accepts what it returns, if all bodies are there that have to be: if only
// those are missing that the announcements would add, they are left out.
func Propose(s *State, v *Verifier, p Proposal) [][]byte {
	var section, bodies [][]byte
	for _, announcements := range [][]*fair.Announcement{p.Announcements, nil} {
		var ok bool
		if section, bodies, ok = s.fill(v, s.plan(announcements), p.Bodies); ok && cost(section)+cost(bodies) <= p.MaxBytes {
			break
		}
		section, bodies = nil, nil
	}
	b := builder{left: p.MaxBytes - cost(section) - cost(bodies)}
	evidence := s.accusations(v, p.Txs, b.left) // rare, bounded, and not to be crowded out
	b.left -= cost(evidence)
	if tx := fitOpenings(s, p.Openings, b.left); tx != nil {
		b.add(tx)
	}
	b.txs = slices.Concat(b.txs, section, evidence)
	running := s.ceremonies
	for _, tx := range p.Txs {
		if kind, body, err := splitTx(tx); err == nil && kind == kindCeremony {
			running = b.addCeremony(running, s.height+1, tx, body)
		}
	}
	return append(b.txs, bodies...)
}

// fill gives the transactions for a plan; ok is false if a body is missing.
func (s *State) fill(v *Verifier, p *plan, held Bodies) (section, bodies [][]byte, ok bool) {
	if p == nil {
		return nil, nil, true
	}
	h, err := s.take(s.admitter(v), p.queue, func(id threshold.ID) *threshold.Ciphertext { return held[id] })
	if err != nil {
		return nil, nil, false
	}
	if p.section != nil {
		section = [][]byte{SectionTx(p.section)}
	}
	for _, id := range h.bodies {
		bodies = append(bodies, CiphertextTx(held[id].Bytes()))
	}
	return section, bodies, true
}

func cost(txs [][]byte) (n int64) {
	for _, tx := range txs {
		n += txCost(tx)
	}
	return n
}

// fitOpenings takes as many of the pending batches, from the oldest on, as are there and fit.
func fitOpenings(s *State, have []BatchOpenings, maxBytes int64) []byte {
	n := 0
	for n < len(have) && n < len(s.pending) && have[n].Height == s.pending[n].Batch.Height {
		n++
	}
	for ; n > 0; n-- {
		if tx := openingsTx(have[:n]); txCost(tx) <= maxBytes {
			return tx
		}
	}
	return nil
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
