package ordering

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Replay recomputes from rounds and batches, without blocks, what the receive logs decided: what an auditor does.
//
//	r, err := ordering.NewReplay(chainID, params)
//	err = r.Committee(height, committee, identities, 0)    // comes into office
//	parts, err := r.Round(round)                                   // of the next height that has one
//	order, err := r.Batch(height, rounds, ciphertexts)     // of the same height or of one without a round
//	entries, err := r.Expired(height)                      // what blocks up to there set aside for good
//
// Heights must grow. After an error nothing further can be replayed.
type Replay struct {
	s          *State
	v          *Verifier
	identities []ed25519.PublicKey
	offices    []replayOffice // oldest first
	change     *replayChange  // of a height to come
	round      *Round         // of the next height that has one, waits for its batch
	chunks     []fair.Chunk   // of its section
	expired    []commitreveal.ExpiredEntry
}

// replayOffice is a committee that may open what blocks order.
type replayOffice struct {
	epoch uint64
	key   threshold.KeyID
	until uint64 // last height at which a block orders what is sealed to the key for it to open; 0: open
}

// replayChange is a committee that comes into office with a height.
type replayChange struct {
	height     uint64
	office     replayOffice
	identities []ed25519.PublicKey
	overlap    uint64
}

// ErrReplay: the blocks did not do what the receive logs decide, or what is replayed is not what they said.
var ErrReplay = errors.New("ordering: not what the receive logs decide")

// NewReplay is before the first block of a chain with these parameters.
func NewReplay(chainID string, p Params) (*Replay, error) {
	if err := threshold.ValidChainID(chainID); err != nil {
		return nil, err
	}
	if err := p.validate(); err != nil {
		return nil, err
	}
	g := &Genesis{ChainID: chainID, Params: p}
	return &Replay{s: &State{genesis: g, seen: newSeenSet()}, v: NewVerifier(0)}, nil
}

// Params are those of the chain.
func (r *Replay) Params() Params { return r.s.genesis.Params }

// Committee takes the committee into office that the block of the height activated: its batch, if it has one, is still that of
// the committee before. Overlap is that of a rotation.
func (r *Replay) Committee(height uint64, c *threshold.Committee, identities []ed25519.PublicKey, overlap uint64) error {
	if height == 0 {
		return fmt.Errorf("%w: a committee at height 0", ErrReplay)
	}
	if err := r.advance(height - 1); err != nil {
		return err
	}
	if r.change != nil || r.s.height >= height {
		return fmt.Errorf("%w: height %d is over", ErrReplay, height)
	}
	r.change = &replayChange{height, replayOffice{epoch: c.Epoch, key: c.Key.ID()}, identities, overlap}
	return nil
}

// handOver puts the committee in office that the height brings.
func (r *Replay) handOver(next *State) (err error) {
	c := r.change
	if c == nil || c.height != next.height {
		return nil
	}
	if next.agenda, err = next.agenda.handOver(next.genesis.Params, next.height, r.identities, c.identities); err != nil {
		return fmt.Errorf("%w: %w", ErrReplay, err)
	}
	offices := slices.Clone(r.offices)
	if n := len(offices); n > 0 {
		if offices[n-1].until = c.height; offices[n-1].key != c.office.key {
			offices[n-1].until += c.overlap
		}
	}
	r.identities, r.offices, r.change = c.identities, slices.Concat(offices, []replayOffice{c.office}), nil
	return nil
}

// admit says who opens a ciphertext that the next block executes. Rules as in admit of a state.
func (r *Replay) admit(ct *threshold.Ciphertext) (*threshold.Checked, uint64, error) {
	if got := ct.Header().ChainID; got != r.s.genesis.ChainID {
		return nil, 0, reject(CodeWrongChain, "sealed for chain %q", got)
	}
	for _, o := range slices.Backward(r.offices) {
		if o.key != ct.Header().KeyID || o.until != 0 && r.s.height+1 > o.until {
			continue
		}
		if err := r.s.screenLimits(ct); err != nil {
			return nil, 0, err
		}
		k, err := prove(r.v, ct)
		return k, o.epoch, err
	}
	return nil, 0, reject(CodeWrongKey, "sealed to no key in use")
}

// LogPart is what a section adds to a member's committed receive log.
type LogPart struct {
	Member uint32            // 1..n, of the committee in office
	After  uint64            // sequence number before it
	Head   commitreveal.Hash // head before it
	IDs    []threshold.ID

	Times     []uint64          // of IDs, in milliseconds since 1970; nil under a rule without
	TimesHead commitreveal.Hash // hash of the times before it
	Statement []byte            // what the member signed, as its announcement's MarshalBinary
}

// Round takes what a block said for the order, and gives what members say in it. Their signatures are checked.
func (r *Replay) Round(round Round) ([]LogPart, error) {
	if round.Height == 0 {
		return nil, fmt.Errorf("%w: a round of height 0", ErrReplay)
	}
	if err := r.advance(round.Height - 1); err != nil {
		return nil, err
	}
	if len(r.offices) == 0 {
		return nil, fmt.Errorf("%w: a round of height %d without a committee", ErrReplay, round.Height)
	}
	r.round = &round
	if round.Section == nil {
		return nil, nil
	}
	chunks, err := r.s.parseSection(round.Section, r.identities)
	if err != nil {
		return nil, fmt.Errorf("%w: height %d: section: %w", ErrReplay, round.Height, err)
	}
	said, err := r.s.agenda.logs.Said(r.s.genesis.ChainID, round.Section)
	if err != nil {
		return nil, err
	}
	parts := make([]LogPart, 0, len(chunks))
	for i, c := range chunks {
		base, _, err := r.s.agenda.logs.Base(c.Member)
		if err != nil {
			return nil, err
		}
		statement, err := said[i].MarshalBinary()
		if err != nil {
			return nil, err
		}
		parts = append(parts, LogPart{
			Member: c.Member, After: base.Sequence, Head: base.Head, IDs: c.IDs, Times: c.Times, TimesHead: base.Times, Statement: statement,
		})
	}
	r.chunks = chunks
	return parts, nil
}

// Batch takes a batch with its ciphertexts, ascending by id; rounds is what its commit entry has. The function that it gives
// puts the ids into the order of execution, see FinalOrder. Proofs of ciphertexts that do not hold are errors.
func (r *Replay) Batch(height uint64, rounds [32]byte, cts []*threshold.Ciphertext) (order func(beacon [32]byte) []threshold.ID, err error) {
	if height == 0 || len(cts) == 0 {
		return nil, fmt.Errorf("%w: a batch of height %d with %d ciphertexts", ErrReplay, height, len(cts))
	}
	if err := r.advance(height - 1); err != nil {
		return nil, err
	}
	if len(r.offices) == 0 {
		return nil, fmt.Errorf("%w: a batch without a committee", ErrReplay)
	}
	h, err := r.step(cts)
	if err != nil {
		return nil, err
	}
	if r.s.agenda.chain != rounds {
		return nil, fmt.Errorf("%w: height %d: the block's hash over all rounds is another", ErrReplay, height)
	}
	ids := make([]threshold.ID, len(h.batch))
	for i, k := range h.batch {
		ids[i] = k.ID()
	}
	if !slices.EqualFunc(ids, cts, func(id threshold.ID, ct *threshold.Ciphertext) bool { return id == ct.ID() }) {
		return nil, fmt.Errorf("%w: height %d: the batch has %d ciphertexts, the logs decide on %d others", ErrReplay, height, len(cts), len(ids))
	}
	p := r.s.genesis.Params
	return func(beacon [32]byte) []threshold.ID { return FinalOrder(p, h.frames, beacon, ids) }, nil
}

// Expired gives the log entries of what blocks up to a height had to set aside for good, by height and id, each once. All
// batches up to there must have been replayed.
func (r *Replay) Expired(height uint64) ([]commitreveal.ExpiredEntry, error) {
	if height > r.s.height {
		if err := r.advance(height); err != nil {
			return nil, err
		}
	}
	n, _ := slices.BinarySearchFunc(r.expired, height, func(e commitreveal.ExpiredEntry, height uint64) int {
		if e.Height <= height {
			return -1
		}
		return 1
	})
	out := r.expired[:n:n]
	r.expired = r.expired[n:]
	return out, nil
}

// advance brings the replay to the state after a height.
func (r *Replay) advance(height uint64) error {
	if height < r.s.height {
		return fmt.Errorf("%w: height %d is over", ErrReplay, height)
	}
	for r.s.height < height {
		if r.round == nil && r.change == nil && (r.s.agenda.logs == nil || r.s.agenda.logs.Live() == 0) { // no height in between does anything
			next := *r.s
			next.height = height
			if next.agenda.logs != nil {
				next.agenda.logs = next.agenda.logs.Idle(height)
			}
			next.seen = r.s.seen.clone()
			next.seen.forget(height)
			r.s = &next
			return nil
		}
		if _, err := r.step(nil); err != nil {
			return err
		}
	}
	return nil
}

// step goes one height further: with the round that waits, if it is that height's, and with a batch, if there is one.
// A block that takes nothing from the queue has neither a batch nor ciphertexts aside.
func (r *Replay) step(cts []*threshold.Ciphertext) (*haul, error) {
	next := *r.s
	next.height++
	next.seen = r.s.seen.clone()
	round := &Round{Height: next.height}
	if r.round != nil && r.round.Height == next.height {
		round, r.round = r.round, nil
	}
	h := &haul{}
	if len(r.offices) > 0 {
		var err error
		if h, err = r.order(&next, round, cts); err != nil {
			return nil, err
		}
	}
	if err := r.handOver(&next); err != nil {
		return nil, err
	}
	next.seen.forget(next.height)
	r.s = &next
	return h, nil
}

func (r *Replay) order(next *State, round *Round, cts []*threshold.Ciphertext) (*haul, error) {
	bodies := make(map[threshold.ID]*threshold.Ciphertext) // never iterated
	for _, ct := range cts {
		bodies[ct.ID()] = ct
	}
	var aside []threshold.ID
	for _, wire := range round.Aside {
		ct, err := threshold.ParseCiphertext(wire)
		if err != nil {
			return nil, fmt.Errorf("%w: height %d: ciphertext aside: %w", ErrReplay, round.Height, err)
		}
		aside = append(aside, ct.ID())
		bodies[ct.ID()] = ct
	}
	var chunks []fair.Chunk
	if round.Section != nil {
		chunks, r.chunks = r.chunks, nil
	}
	logs, queue, _, err := r.s.agenda.decide(r.s, chunks)
	if err != nil {
		return nil, fmt.Errorf("%w: height %d: %w", ErrReplay, round.Height, err)
	}
	h := &haul{rest: queue}
	if len(bodies) > 0 {
		if h, err = r.s.take(r.admit, queue, func(id threshold.ID) *threshold.Ciphertext { return bodies[id] }); err != nil {
			return nil, fmt.Errorf("%w: height %d: %w", ErrReplay, round.Height, err)
		}
	}
	if !slices.Equal(h.aside, aside) || len(h.bodies) != len(bodies) {
		return nil, fmt.Errorf("%w: height %d: the block had %d ciphertexts, %d of them aside, the logs decide on %d and %d",
			ErrReplay, round.Height, len(bodies), len(aside), len(h.bodies), len(h.aside))
	}
	next.agenda.logs, next.agenda.queue = logs, h.rest
	r.expired = append(r.expired, h.expired(next.height)...)
	for _, e := range h.seen {
		next.seen.add(e)
	}
	if round.Section != nil || len(aside) > 0 {
		next.agenda.chain = round.next(r.s.agenda.chain, aside)
	}
	return h, nil
}

// StatedLog checks what a member announced and signed of its receive log after a head and a hash of times, under whichever rule: see
// [fair.Rule.Stated]. Who signed under one rule signed nothing that reads under the other.
func StatedLog(chainID string, identity ed25519.PublicKey, statement []byte, head, times commitreveal.Hash) (p LogPart, err error) {
	for _, rule := range []fair.Rule{fair.ReceiveTime, fair.ReceiveOrder} {
		var c fair.Chunk
		if c, err = rule.Stated(chainID, identity, statement, head, times); err == nil {
			return LogPart{
				Member: c.Member, After: c.Sequence - uint64(len(c.IDs)), Head: head, IDs: c.IDs, Times: c.Times, TimesHead: times, Statement: statement,
			}, nil
		}
	}
	return LogPart{}, err
}
