package ordering

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// State is a chain's state after a height. It is never changed once it exists.
type State struct {
	genesis    *Genesis
	height     uint64
	appHash    [32]byte
	ceremonies ceremonies
	log        commitreveal.Log
	pending    []*OrderedBatch // ordered and not opened yet, oldest first
	seen       *seenSet
	agenda     agenda
	charges    []Charge // recorded, against committees in ceremonies.tenures; ascending
}

// New is the state before the first block.
func New(g *Genesis) (*State, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	c, err := keygen.New(&g.Terms)
	if err != nil {
		return nil, fmt.Errorf("ordering: %w", err)
	}
	s := &State{genesis: g, ceremonies: ceremonies{limits: g.Params.Hash(), current: c}, seen: newSeenSet()}
	s.appHash, err = s.computeAppHash()
	return s, err
}

// Genesis is the chain's beginning; do not change it.
func (s *State) Genesis() *Genesis { return s.genesis }

// Height is that of the last block folded into the state, 0 before the first.
func (s *State) Height() uint64 { return s.height }

// AppHash is the hash on which the members agree for this state.
func (s *State) AppHash() [32]byte { return s.appHash }

// Log is the audit log after this block.
func (s *State) Log() commitreveal.Log { return s.log }

// Pending are the batches that are not opened yet, oldest first; do not change them.
func (s *State) Pending() []*OrderedBatch { return s.pending }

// Ceremony is the newest ceremony: one that runs, or the last one there was.
func (s *State) Ceremony() *keygen.State { return s.ceremonies.current }

// PastCeremonies are those before it, for the same epoch, which came to nothing, oldest
// first. Once one succeeds they are forgotten.
func (s *State) PastCeremonies() []*keygen.Record {
	out := make([]*keygen.Record, len(s.ceremonies.past))
	for i, a := range s.ceremonies.past {
		out[i] = a.record
	}
	return out
}

// MarshalCeremonies encodes the newest ceremony, the past ones and the tenures, for Rows.Ceremony.
func (s *State) MarshalCeremonies() ([]byte, error) { return s.ceremonies.encode() }

// Committee is that of Office, nil while there is none.
func (s *State) Committee() *threshold.Committee {
	if t := s.Office(); t != nil {
		return t.Committee()
	}
	return nil
}

// ActiveSince is the height of the block that put the committee in office; 0 while there is none.
func (s *State) ActiveSince() uint64 {
	if t := s.Office(); t != nil {
		return t.Since
	}
	return 0
}

// WasOrdered reports whether id was ordered and is still remembered.
func (s *State) WasOrdered(id threshold.ID) bool { return s.seen.has(id) }

// Busy reports whether there is work that only further blocks can finish: a
// ceremony that runs, batches that wait for their openings, or ids that wait for their order.
func (s *State) Busy() bool {
	return len(s.pending) > 0 || !s.ceremonies.current.Done() || s.agenda.busy()
}

const domainAppHash = "scrim/app-hash/v5"

// computeAppHash binds everything that decides about the future. CometBFT makes one
// more block whenever the hash changed, and otherwise rests until there is a
// transaction: so the height is part of the hash exactly while the state is busy,
// and an idle chain makes no blocks.
func (s *State) computeAppHash() ([32]byte, error) {
	agenda, err := s.agenda.hash()
	if err != nil {
		return agenda, err
	}
	h := sha256.New()
	u64 := func(v uint64) { h.Write(binary.BigEndian.AppendUint64(nil, v)) }
	h.Write([]byte(domainAppHash))
	u64(uint64(len(s.genesis.ChainID)))
	h.Write([]byte(s.genesis.ChainID))
	ceremony := s.ceremonies.current.Hash()
	h.Write(ceremony[:])
	h.Write(s.ceremonies.proposer[:])
	h.Write(s.ceremonies.chain[:])
	u64(uint64(len(s.ceremonies.tenures)))
	for _, t := range s.ceremonies.tenures {
		h.Write(t.appendSpan(t.hash[:]))
	}
	u64(uint64(len(s.ceremonies.rotated)))
	for _, id := range s.ceremonies.rotated {
		h.Write(id[:])
	}
	u64(s.log.Size())
	root := s.log.Root()
	h.Write(root[:])
	h.Write(agenda[:])
	u64(uint64(len(s.pending)))
	for _, b := range s.pending {
		u64(b.Batch.Height)
		u64(b.Batch.Epoch)
		h.Write(b.Batch.Root[:])
		frames, err := appendFrames(nil, b.Frames)
		if err != nil {
			return agenda, err
		}
		h.Write(frames)
	}
	h.Write(appendCharges(nil, s.charges))
	if s.Busy() {
		u64(s.height)
	}
	return [32]byte(h.Sum(nil)), nil
}

const snapshotVersion = 5

// Snapshot encodes the part of the state that Restore does not get from rows; a block's
// is in its Result.
//
//	version (1) | height (8) | app hash (32) | log (4 + n) | agenda |
//	count of pending batches (2) | per pending batch: height (8) | checkpoint (4 + n) | frames | charges
func (s *State) Snapshot() ([]byte, error) {
	b := []byte{snapshotVersion}
	b = binary.BigEndian.AppendUint64(b, s.height)
	b = append(b, s.appHash[:]...)
	log, err := s.log.MarshalBinary()
	if err != nil {
		return nil, err
	}
	if b, err = s.agenda.appendTo(appendBytes(b, log), s.genesis.Params.Order.Rule); err != nil {
		return nil, err
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.pending)))
	for _, p := range s.pending {
		c, err := p.Batch.Checkpoint.MarshalBinary()
		if err != nil {
			return nil, err
		}
		b = binary.BigEndian.AppendUint64(b, p.Batch.Height)
		if b, err = appendFrames(appendBytes(b, c), p.Frames); err != nil {
			return nil, err
		}
	}
	return appendCharges(b, s.charges), nil
}

func appendBytes(b, field []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
}

// ErrSnapshot means that a stored state cannot be read: the database is damaged, or
// was written by another version.
var ErrSnapshot = errors.New("ordering: stored state is damaged or of another version")

// Rows gives Restore what a snapshot leaves to the store.
type Rows struct {
	Ceremony    []byte                                // the last Result.Ceremony; before any, MarshalCeremonies of New's state
	Seen        []Seen                                // ordered ids with ValidUntil above the snapshot's height
	Ciphertexts func(height uint64) ([][]byte, error) // bodies of a pending batch, in order
}

// Restore rebuilds a state from what a Result made durable.
func Restore(g *Genesis, snapshot []byte, rows Rows) (*State, error) {
	s, err := New(g)
	if err != nil {
		return nil, err
	}
	r := reader{b: snapshot}
	if r.uint(1) != snapshotVersion {
		return nil, fmt.Errorf("%w: version", ErrSnapshot)
	}
	s.height = r.uint(8)
	stored := [32]byte(r.take(32))
	if s.log, err = commitreveal.ParseLog(r.field()); err != nil {
		return nil, fmt.Errorf("%w: log: %w", ErrSnapshot, err)
	}
	if s.ceremonies, err = parseCeremonies(s.ceremonies.limits, rows.Ceremony); err != nil {
		return nil, fmt.Errorf("%w: ceremony: %w", ErrSnapshot, err)
	}
	members := 0
	if c := s.Committee(); c != nil {
		members = c.N()
	}
	if s.agenda, err = r.agenda(g.Params, members); err != nil {
		return nil, fmt.Errorf("%w: order: %w", ErrSnapshot, err)
	}
	for range r.uint(2) {
		height := r.uint(8)
		b, err := restoreBatch(height, r.field(), rows)
		if err == nil {
			b.Frames, err = r.frames(g.Params)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: batch of height %d: %w", ErrSnapshot, height, err)
		}
		if s.Tenure(b.Batch.Epoch) == nil {
			return nil, fmt.Errorf("%w: batch of height %d: no committee of epoch %d", ErrSnapshot, height, b.Batch.Epoch)
		}
		s.pending = append(s.pending, b)
	}
	if s.charges, err = r.charges(s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("%w: length", ErrSnapshot)
	}
	for _, e := range rows.Seen {
		if e.ValidUntil > s.height {
			s.seen.add(e)
		}
	}
	if s.appHash, err = s.computeAppHash(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if s.appHash != stored {
		return nil, fmt.Errorf("%w: app hash at height %d is %x, stored %x", ErrSnapshot, s.height, s.appHash, stored)
	}
	return s, nil
}

func restoreBatch(height uint64, checkpoint []byte, rows Rows) (*OrderedBatch, error) {
	c, err := commitreveal.ParseCheckpoint(checkpoint)
	if err != nil {
		return nil, err
	}
	bodies, err := rows.Ciphertexts(height)
	if err != nil {
		return nil, err
	}
	b := &OrderedBatch{}
	ids := make([]threshold.ID, len(bodies))
	for i, body := range bodies {
		ct, err := threshold.ParseCiphertext(body)
		if err != nil {
			return nil, fmt.Errorf("ciphertext %d: %w", i, err)
		}
		k, err := ct.Check()
		if err != nil {
			return nil, fmt.Errorf("ciphertext %d: %w", i, err)
		}
		b.Ciphertexts = append(b.Ciphertexts, k)
		ids[i] = ct.ID()
	}
	if b.Batch, err = commitreveal.NewBatch(height, c.Epoch, ids); err != nil {
		return nil, err
	}
	b.Batch, _, err = commitreveal.Step(b.Batch, commitreveal.Logged{Checkpoint: *c})
	return b, err
}

// reader reads the snapshot's fields; after a short read everything is zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, min(n, 64))
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uint(n int) uint64 {
	var v uint64
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *reader) field() []byte {
	n := r.uint(4)
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	return r.take(int(n))
}
