package ordering

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// agenda is what the fair order works on between blocks. A value: what it points to is never changed.
type agenda struct {
	logs  fair.Logs  // committed receive logs of the committee in office; nil before there is one
	queue []fair.Set // decided, in no block yet; oldest first
	chain [32]byte   // hash over everything that blocks have said for the order, see Round
	// former are the logs of those that were members and are not, ascending by identity: should they come back, they go on there.
	former []formerLog
}

type formerLog struct {
	identity [ed25519.PublicKeySize]byte
	base     fair.Base
}

// Round is what a block said for the order beside its batch: with the batches it is all that a replay needs.
type Round struct {
	Height  uint64
	Section []byte   // fair.Section; nil if the block has none
	Aside   [][]byte // ciphertexts that the block had to carry and its batch does not have, ascending by id
}

// Dropped is a decided ciphertext that could not be executed any more.
type Dropped struct {
	Seen
	Code string // why, a code of Rejection
}

// next puts a round behind those before it.
func (r *Round) next(before [32]byte, aside []threshold.ID) [32]byte {
	return commitreveal.NextRounds(before, r.Height, r.Section, aside)
}

// maxBatchBytes: a batch takes no further ciphertext when those that it has are together so large. With the largest
// one on top it leaves half of a block to openings, statements and ceremony messages.
const maxBatchBytes = 2 << 20

// full: so much is decided and waits that blocks take no further statements.
func (a *agenda) full(p Params) bool {
	n := 0
	for _, f := range a.queue {
		n += len(f.Content())
	}
	return n >= int(p.Order.MaxLive)
}

// decide steps the logs and puts what they decide behind what waits.
func (a *agenda) decide(s *State, chunks []fair.Chunk) (logs fair.Logs, queue []fair.Set, forgotten []threshold.ID, err error) {
	queued := make(map[threshold.ID]bool) // never iterated
	for _, f := range a.queue {
		for _, id := range f.Content() {
			queued[id] = true
		}
	}
	done := func(id threshold.ID) bool { return queued[id] || s.seen.has(id) }
	logs, sets, forgotten, err := a.logs.Next(s.height+1, chunks, done)
	if err != nil {
		return nil, nil, nil, err
	}
	return logs, slices.Concat(a.queue, sets), forgotten, nil
}

// haul is the beginning of the queue that one block takes.
type haul struct {
	frames  []fair.Set           // what leaves the queue, in order; they have the dropped ids too
	rest    []fair.Set           // what stays
	batch   []*threshold.Checked // what is executed, ascending by id
	holder  uint64               // epoch of the committee that opens the batch
	dropped []Dropped
	seen    []Seen         // all ids that leave the queue
	bodies  []threshold.ID // ids whose bodies the block carries, ascending
	aside   []threshold.ID // those of them that are not in the batch, ascending
}

// errBody: a body that is needed is not there.
type errBody struct{ id threshold.ID }

func (e *errBody) Error() string {
	return fmt.Sprintf("the body of 0x%s, which is decided, is missing", e.id)
}

// admitter says whether the next block may execute a ciphertext, and the epoch of the committee that opens it then.
type admitter func(ct *threshold.Ciphertext) (k *threshold.Checked, epoch uint64, err error)

func (s *State) admitter(v *Verifier) admitter {
	return func(ct *threshold.Ciphertext) (*threshold.Checked, uint64, error) {
		k, holder, err := admit(s, v, ct.Bytes())
		if err != nil {
			return nil, 0, err
		}
		return k, holder.Epoch(), nil
	}
}

// take walks along the queue: frame after frame, in a frame along its Sequence, until the batch is full, or before the
// first one that another committee opens: its body is in the block as the proof of that. What it takes
// follows from the queue and the bodies of what it takes, and from nothing else. If a body is missing, it gives what comes before,
// and an *errBody.
func (s *State) take(admit admitter, queue []fair.Set, body func(threshold.ID) *threshold.Ciphertext) (*haul, error) {
	h := &haul{rest: queue}
	if len(s.pending) >= int(s.genesis.Params.MaxPending) {
		return h, nil
	}
	size := 0
	for i, f := range queue {
		p := s.genesis.Params.of(f)
		n, err := 0, error(nil)
		for _, id := range f.Sequence(p) {
			if len(h.bodies) >= int(s.genesis.Params.MaxBatch) || size >= maxBatchBytes {
				break
			}
			ct := body(id)
			if ct == nil {
				err = &errBody{id}
				break
			}
			size += len(ct.Bytes())
			if !h.add(admit, ct) {
				break
			}
			n++
		}
		first, rest := f.Part(p, n)
		h.rest = queue[i+1:]
		if first != nil {
			h.frames = append(h.frames, first)
		}
		if rest != nil {
			h.rest = append([]fair.Set{rest}, h.rest...)
			h.sort()
			return h, err
		}
	}
	h.sort()
	return h, nil
}

// add takes a ciphertext; false if it must wait for the next block, because another committee opens it.
func (h *haul) add(admit admitter, ct *threshold.Ciphertext) bool {
	id := ct.ID()
	h.bodies = append(h.bodies, id)
	k, epoch, err := admit(ct)
	if err == nil && len(h.batch) > 0 && epoch != h.holder {
		h.aside = append(h.aside, id)
		return false
	}
	seen := Seen{ID: id, ValidUntil: ct.Header().ValidUntil}
	h.seen = append(h.seen, seen)
	if err != nil {
		h.dropped = append(h.dropped, Dropped{seen, codeOf(err)})
		h.aside = append(h.aside, id)
		return true
	}
	h.batch, h.holder = append(h.batch, k), epoch
	return true
}

// expired are the log entries for what is dropped, by id.
func (h *haul) expired(height uint64) []commitreveal.ExpiredEntry {
	out := make([]commitreveal.ExpiredEntry, len(h.dropped))
	for i, d := range h.dropped {
		out[i] = commitreveal.ExpiredEntry{Height: height, ID: d.ID, ValidUntil: d.ValidUntil, Reason: ExpiryReason(d.Code)}
	}
	slices.SortFunc(out, func(a, b commitreveal.ExpiredEntry) int { return compareIDs(a.ID, b.ID) })
	return out
}

// ExpiryReason is why a dropped ciphertext was set aside. It is coarser than the code: it must not depend on how long the state remembers a key that was replaced.
func ExpiryReason(code string) commitreveal.ExpiryReason {
	switch code {
	case CodeExpired:
		return commitreveal.ReasonTooLate
	case CodeKeyRetired, CodeWrongKey:
		return commitreveal.ReasonKey
	default:
		return commitreveal.ReasonInvalid
	}
}

func (h *haul) sort() {
	slices.SortFunc(h.bodies, compareIDs)
	slices.SortFunc(h.aside, compareIDs)
	slices.SortFunc(h.batch, func(a, b *threshold.Checked) int { return compareIDs(a.ID(), b.ID()) })
}

func compareIDs(a, b threshold.ID) int { return bytes.Compare(a[:], b[:]) }

// FinalOrder puts the ids of a batch into the order of execution: frame after frame, each as [fair.Set] says,
// without ids that the batch does not have. The beacon is commitreveal.Beacon of the certificate on the batch's checkpoint.
func FinalOrder(p Params, frames []fair.Set, beacon [32]byte, ids []threshold.ID) []threshold.ID {
	in := make(map[threshold.ID]bool, len(ids)) // never iterated
	for _, id := range ids {
		in[id] = true
	}
	out := make([]threshold.ID, 0, len(ids))
	for _, f := range frames {
		for _, c := range f.Final(p.of(f), beacon) {
			for _, id := range c {
				if in[id] {
					out = append(out, id)
				}
			}
		}
	}
	return out
}

// identities are the keys with which the members in office sign their head statements.
func (s *State) identities() []ed25519.PublicKey {
	if t := s.Office(); t != nil {
		return identities(t.Terms().Members)
	}
	return nil
}

func identities(members []keygen.Member) []ed25519.PublicKey {
	out := make([]ed25519.PublicKey, len(members))
	for i, m := range members {
		out[i] = m.Identity
	}
	return out
}

// handOver gives the logs of the members before to those after: who stays goes on with its log and what is in it, who comes
// back where its log was, others with an empty one. What is in the logs is counted anew (fair.Reform, fair.ReformTimed).
func (a agenda) handOver(p Params, height uint64, before, after []ed25519.PublicKey) (agenda, error) {
	from, base := make([]uint32, len(after)), make([]fair.Base, len(after))
	former := slices.Clone(a.former)
	find := func(key ed25519.PublicKey) (int, bool) {
		return slices.BinarySearchFunc(former, key, func(l formerLog, k ed25519.PublicKey) int { return bytes.Compare(l.identity[:], k) })
	}
	for i, key := range before {
		if at, known := find(key); !known {
			base, _, err := a.logs.Base(uint32(i + 1))
			if err != nil {
				return a, err
			}
			former = slices.Insert(former, at, formerLog{[ed25519.PublicKeySize]byte(key), base})
		}
	}
	for i, key := range after {
		if at, known := find(key); known {
			base[i] = former[at].base
			former = slices.Delete(former, at, at+1)
		}
		from[i] = uint32(slices.IndexFunc(before, func(k ed25519.PublicKey) bool { return k.Equal(key) }) + 1)
	}
	var err error
	if len(before) == 0 {
		a.logs, err = p.Order.Rule.Begin(p.Fair(len(after)), height)
	} else {
		a.logs, err = a.logs.Reformed(p.Fair(len(after)), height, from, base)
	}
	a.former = former
	return a, err
}

// Member is the index, from 1, of the member in office with this identity; 0 if there is none.
func (s *State) Member(identity ed25519.PublicKey) uint32 {
	return uint32(slices.IndexFunc(s.identities(), func(k ed25519.PublicKey) bool { return k.Equal(identity) }) + 1)
}

// Identity is the key with which a member in office (from 1) signs; nil if there is none.
func (s *State) Identity(member uint32) ed25519.PublicKey {
	all := s.identities()
	if member < 1 || int(member) > len(all) {
		return nil
	}
	return all[member-1]
}

// Identities are the keys with which the members in office sign, member i's at i-1; do not change them.
func (s *State) Identities() []ed25519.PublicKey { return s.identities() }

// CommittedLog is how far the chain has committed somebody's receive log, and how many of its ids are not done. A member that is
// not in office any more has its log kept; zeros if the identity never was in office.
func (s *State) CommittedLog(identity ed25519.PublicKey) (base fair.Base, live int) {
	if m := s.Member(identity); m > 0 {
		base, live, _ = s.agenda.logs.Base(m) // there is such a member
		return base, live
	}
	for _, l := range s.agenda.former {
		if bytes.Equal(l.identity[:], identity) {
			return l.base, 0
		}
	}
	return base, 0
}

// ReceiveLogs are the committed receive logs of the committee in office; ok is false while there is none.
func (s *State) ReceiveLogs() (logs fair.Logs, ok bool) { return s.agenda.logs, s.Office() != nil }

// Queued is the number of ciphertexts that are decided and wait for a block with room.
func (s *State) Queued() (n int) {
	for _, f := range s.agenda.queue {
		n += len(f.Content())
	}
	return n
}

// Rounds is the hash over all rounds so far.
func (s *State) Rounds() [32]byte { return s.agenda.chain }

// parseSection reads a block's section and checks all of it.
func (s *State) parseSection(body []byte, identities []ed25519.PublicKey) ([]fair.Chunk, error) {
	if s.agenda.full(s.genesis.Params) {
		return nil, fmt.Errorf("%d ids are decided and wait for a block; no further statements are taken", s.Queued())
	}
	return s.agenda.logs.Read(s.genesis.ChainID, body, identities)
}

// Statements gives the members' statements in the section of the block after s, which s has accepted, with their signatures;
// nil if there are none. They may differ from what the members told others.
func (s *State) Statements(section []byte) []*fair.Announcement {
	if s.agenda.logs == nil {
		return nil
	}
	said, err := s.agenda.logs.Said(s.genesis.ChainID, section)
	if err != nil {
		return nil
	}
	return said
}

// busy: heights to come order something, also if nothing new is received.
func (a *agenda) busy() bool { return len(a.queue) > 0 || a.logs != nil && a.logs.Busy() }

const (
	fairHeightFrom = 1 // where the encoding of the logs has the height
	fairHeightTo   = 9
)

// hash is for the app hash. The height of the logs is left out: it is that of the state, and does not move while it idles.
func (a *agenda) hash() ([32]byte, error) {
	h := sha256.New()
	h.Write(a.chain[:])
	logs, err := a.marshalLogs()
	if err != nil {
		return [32]byte{}, err
	}
	if len(logs) > 0 {
		logs = append(logs[:fairHeightFrom:fairHeightFrom], logs[fairHeightTo:]...)
	}
	h.Write(appendBytes(nil, logs))
	queue, err := appendFrames(nil, a.queue)
	if err != nil {
		return [32]byte{}, err
	}
	h.Write(queue)
	h.Write(a.appendFormer(nil))
	return [32]byte(h.Sum(nil)), nil
}

func (a *agenda) marshalLogs() ([]byte, error) {
	if a.logs == nil {
		return nil, nil
	}
	return a.logs.MarshalBinary()
}

// appendTo encodes the agenda:
//
//	hash of the rounds (32) | rule (1) | logs (4 + n), empty while there is no committee | queue, see appendFrames |
//	count of former logs (4) | each: identity (32) | number of ids (8) | head (32) | times (32) | watermark (8)
func (a *agenda) appendTo(b []byte, rule fair.Rule) ([]byte, error) {
	logs, err := a.marshalLogs()
	if err != nil {
		return nil, err
	}
	b = appendBytes(append(append(b, a.chain[:]...), byte(rule)), logs)
	if b, err = appendFrames(b, a.queue); err != nil {
		return nil, err
	}
	return a.appendFormer(b), nil
}

func (a *agenda) appendFormer(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(a.former)))
	for _, l := range a.former {
		b = append(b, l.identity[:]...)
		b = append(binary.BigEndian.AppendUint64(b, l.base.Sequence), l.base.Head[:]...)
		b = binary.BigEndian.AppendUint64(append(b, l.base.Times[:]...), l.base.Watermark)
	}
	return b
}

// appendFrames encodes
//
//	count (4) | each: rule (1) | number of logs (2), 0 in the second rule | frame (4 + n)
func appendFrames(b []byte, frames []fair.Set) ([]byte, error) {
	b = binary.BigEndian.AppendUint32(b, uint32(len(frames)))
	for _, f := range frames {
		wire, err := f.MarshalBinary()
		if err != nil {
			return nil, err
		}
		b = appendBytes(binary.BigEndian.AppendUint16(append(b, byte(f.Rule())), uint16(f.LogCount())), wire)
	}
	return b, nil
}

// MarshalFrames encodes the frames of a batch: number of frames (4), then for each: rule (1), number of logs (2),
// 0 in the second rule, frame (4 + n).
func MarshalFrames(frames []fair.Set) ([]byte, error) { return appendFrames(nil, frames) }

// ParseFrames is the inverse of [MarshalFrames] for a chain with these parameters.
func ParseFrames(p Params, b []byte) ([]fair.Set, error) {
	r := reader{b: b}
	frames, err := r.frames(p)
	if err != nil {
		return nil, fmt.Errorf("parse frames: %w", err)
	}
	if r.bad || len(r.b) > 0 {
		return nil, errors.New("parse frames: length")
	}
	return frames, nil
}

// IsQueued reports whether an id is decided and waits for a block with room.
func (s *State) IsQueued(id threshold.ID) bool { return s.QueuedSet(id) != nil }

// QueuedSet is the set with which an id was decided that waits for a block with room, as far as it waits too; nil if the id does
// not.
func (s *State) QueuedSet(id threshold.ID) fair.Set {
	at := slices.IndexFunc(s.agenda.queue, func(f fair.Set) bool {
		_, found := slices.BinarySearchFunc(f.Content(), id, compareIDs)
		return found
	})
	if at < 0 {
		return nil
	}
	return s.agenda.queue[at]
}

func (r *reader) frames(p Params) ([]fair.Set, error) {
	var out []fair.Set
	for range r.uint(4) {
		rule, members := fair.Rule(r.uint(1)), int(r.uint(2))
		wire := r.field()
		if r.bad || rule != p.Order.Rule || members > threshold.MaxMembers || (members == 0) != (rule == fair.ReceiveTime) {
			return nil, errors.New("frames")
		}
		if members == 0 {
			members = threshold.MaxMembers // a bound; the frame has keys, and no logs
		}
		f, err := rule.ParseSet(p.Fair(members), wire)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// agenda is the inverse of appendTo; members is the size of the committee in office, 0 if there is none.
func (r *reader) agenda(p Params, members int) (a agenda, err error) {
	a.chain = [32]byte(r.take(32))
	if rule := fair.Rule(r.uint(1)); rule != p.Order.Rule {
		return a, fmt.Errorf("of a chain with the order rule %v", rule)
	}
	logs := r.field()
	if (len(logs) > 0) != (members > 0) {
		return a, errors.New("receive logs without a committee, or a committee without")
	}
	if members > 0 {
		if a.logs, err = p.Order.Rule.ParseLogs(p.Fair(members), logs); err != nil {
			return a, err
		}
	}
	if a.queue, err = r.frames(p); err != nil {
		return a, err
	}
	for range r.uint(4) {
		l := formerLog{identity: [ed25519.PublicKeySize]byte(r.take(ed25519.PublicKeySize)), base: fair.Base{
			Sequence: r.uint(8), Head: [32]byte(r.take(32)), Times: [32]byte(r.take(32)), Watermark: r.uint(8),
		}}
		if n := len(a.former); r.bad || n > 0 && bytes.Compare(a.former[n-1].identity[:], l.identity[:]) >= 0 {
			return a, errors.New("former logs")
		}
		a.former = append(a.former, l)
	}
	return a, nil
}
