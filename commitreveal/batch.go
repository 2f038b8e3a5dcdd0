package commitreveal

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/threshold"
)

const (
	domainBatchLeaf   = "scrim/batch-leaf/v1"
	domainOutcomeLeaf = "scrim/outcome-leaf/v1"
)

// BatchRoot is the RFC 6962 root over one record per id, in order. A record is
// "scrim/batch-leaf/v1" | 4 count | 4 position from 0 | 32 id, so that an
// inclusion proof also proves the position and how many there are.
func BatchRoot(ids []threshold.ID) Hash {
	records := make([][]byte, len(ids))
	for i, id := range ids {
		records[i] = batchRecord(len(ids), i, id)
	}
	return merkleRoot(records)
}

func batchRecord(count, position int, id threshold.ID) []byte {
	b := appendUint32([]byte(domainBatchLeaf), uint32(count))
	return append(appendUint32(b, uint32(position)), id[:]...)
}

// Outcome is what a ciphertext turned out to be.
type Outcome struct {
	ID        threshold.ID
	Opening   threshold.Opening
	Void      bool   // the payload does not decrypt under its opening
	Plaintext []byte // nil if void
}

// OutcomesRoot is the RFC 6962 root over one record per outcome, in the
// batch's order: "scrim/outcome-leaf/v1" | 4 count | 4 position from 0 | 32 id |
// 48 opening | 1 outcome (1 plaintext, 2 void) | 32 SHA-256 of the plaintext,
// zeros if void.
func OutcomesRoot(outcomes []Outcome) Hash {
	records := make([][]byte, len(outcomes))
	for i, o := range outcomes {
		records[i] = outcomeRecord(len(outcomes), i, o)
	}
	return merkleRoot(records)
}

func outcomeRecord(count, position int, o Outcome) []byte {
	b := appendUint32([]byte(domainOutcomeLeaf), uint32(count))
	b = append(appendUint32(b, uint32(position)), o.ID[:]...)
	b = append(b, o.Opening[:]...)
	if o.Void {
		return append(append(b, 2), make([]byte, sha256.Size)...)
	}
	sum := sha256.Sum256(o.Plaintext)
	return append(append(b, 1), sum[:]...)
}

// Phase is how far a batch has come.
type Phase uint8

// The phases of a batch, in order. Zero is none of them.
const (
	Ordered   Phase = iota + 1 // a block fixed which ciphertexts, in which order
	Committed                  // its root is in the log, and the log's root in its checkpoint
	Sharing                    // the commitment is durable here: this member's share may leave
	Revealed                   // openings and certificate are in the log
)

var phaseNames = [...]string{Ordered: "ordered", Committed: "committed", Sharing: "sharing", Revealed: "revealed"}

// String gives the lower-case name.
func (p Phase) String() string {
	if p == 0 || int(p) >= len(phaseNames) {
		return fmt.Sprintf("phase(%d)", uint8(p))
	}
	return phaseNames[p]
}

// ParsePhase is the inverse of [Phase.String].
func ParsePhase(s string) (Phase, error) {
	if i := slices.Index(phaseNames[:], s); i > 0 {
		return Phase(i), nil
	}
	return 0, fmt.Errorf("%w: batch phase %q", ErrEncoding, s)
}

// Batch is the ciphertexts that one block ordered, and how far they have come.
// Make one with [NewBatch] and move it with [Step].
type Batch struct {
	Height     uint64
	Epoch      uint64
	IDs        []threshold.ID // ascending in blocks, for the order of execution is not known yet; treat as immutable
	Root       Hash           // BatchRoot(IDs)
	Checkpoint Checkpoint     // set from Committed on
	Phase      Phase
}

// NewBatch makes an ordered batch of 1 to [MaxBatch] distinct ids.
func NewBatch(height, epoch uint64, ids []threshold.ID) (Batch, error) {
	if height == 0 {
		return Batch{}, fmt.Errorf("%w: batch of height 0", ErrInvalid)
	}
	if len(ids) == 0 || len(ids) > MaxBatch {
		return Batch{}, fmt.Errorf("%w: batch of %d ciphertexts, 1 to %d allowed", ErrInvalid, len(ids), MaxBatch)
	}
	seen := make(map[threshold.ID]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			return Batch{}, fmt.Errorf("%w: batch holds %s twice", ErrInvalid, hexText(id[:]))
		}
		seen[id] = true
	}
	return Batch{Height: height, Epoch: epoch, IDs: slices.Clone(ids), Root: BatchRoot(ids), Phase: Ordered}, nil
}

// Commit is the log entry that commits the batch, given the key that opens it,
// the hash over what decides about the order, and the namespace of each of its
// ciphertexts, as they stand in the batch.
func (b Batch) Commit(key threshold.KeyID, rounds [32]byte, namespaces []string) (CommitEntry, error) {
	root, err := NamespaceRoot(b.IDs, namespaces)
	if err != nil {
		return CommitEntry{}, fmt.Errorf("commit batch of height %d: %w", b.Height, err)
	}
	return CommitEntry{Height: b.Height, Epoch: b.Epoch, KeyID: key, Count: uint32(len(b.IDs)), Root: b.Root, Rounds: rounds, Namespaces: root}, nil
}

// CheckpointAt is the batch's checkpoint, log being the log right after the
// batch's commit entry was appended.
func (b Batch) CheckpointAt(chainID string, log Log) Checkpoint {
	return Checkpoint{
		ChainID: chainID, Height: b.Height, Epoch: b.Epoch,
		BatchRoot: b.Root, LogSize: log.Size(), LogRoot: log.Root(),
	}
}

// Reveal is the log entry that reveals the batch. The outcomes must be those of
// the batch's ids, as they stand in the batch; order has the same ids in the order of execution.
func (b Batch) Reveal(outcomes []Outcome, order []threshold.ID, certificate threshold.Signature) (RevealEntry, error) {
	if len(outcomes) != len(b.IDs) {
		return RevealEntry{}, fmt.Errorf("%w: %d outcomes for a batch of %d", ErrInvalid, len(outcomes), len(b.IDs))
	}
	if !samePermuted(order, b.IDs) {
		return RevealEntry{}, fmt.Errorf("%w: the order is not one of the batch's %d ids", ErrInvalid, len(b.IDs))
	}
	e := RevealEntry{Height: b.Height, Root: b.Root, Openings: OutcomesRoot(outcomes), Order: BatchRoot(order), Certificate: certificate}
	for i, o := range outcomes {
		if o.ID != b.IDs[i] {
			return RevealEntry{}, fmt.Errorf("%w: outcome %d is of another ciphertext", ErrInvalid, i)
		}
		if o.Void {
			e.Voids++
		}
	}
	return e, nil
}

// samePermuted: a has the ids of b, which are distinct, each once.
func samePermuted(a, b []threshold.ID) bool {
	left := make(map[threshold.ID]bool, len(b))
	for _, id := range b {
		left[id] = true
	}
	for _, id := range a {
		if !left[id] {
			return false
		}
		delete(left, id)
	}
	return len(left) == 0
}

// Event is something that happened to a batch: [Logged], [Durable] or [Opened].
type Event interface {
	event() eventKind
}

type eventKind uint8

const (
	logged eventKind = iota
	durable
	opened
	eventKinds
)

// Logged: the batch's commit entry was appended to the log, which gave this
// checkpoint ([Batch.CheckpointAt]).
type Logged struct{ Checkpoint Checkpoint }

// Durable: the block that committed the batch is on disk, and so is the
// share guard's record of (height, Root), which forbids any other root for
// that height for ever. It may happen again after a restart.
type Durable struct{ Root Hash }

// Opened: the batch's reveal entry was appended to the log. A node that
// catches up sees it without ever having shared.
type Opened struct{ Entry RevealEntry }

func (Logged) event() eventKind  { return logged }
func (Durable) event() eventKind { return durable }
func (Opened) event() eventKind  { return opened }

// Effect is what the shell must do once the step is durable. There is one:
// [ReleaseShare].
type Effect interface{ effect() }

// ReleaseShare: compute this member's share of the batch and of the signature
// on its checkpoint, and send them. Sending twice does no harm.
type ReleaseShare struct {
	Height, Epoch uint64
	Root          Hash
	Checkpoint    Checkpoint
}

func (ReleaseShare) effect() {}

// StepError is an event that a batch's phase does not allow.
type StepError struct {
	Height uint64
	Phase  Phase
	Event  string
}

func (e *StepError) Error() string {
	return fmt.Sprintf("commitreveal: batch %d: event %s is not allowed when %s", e.Height, e.Event, e.Phase)
}

// Unwrap makes errors.Is(err, ErrInvalid) hold.
func (e *StepError) Unwrap() error { return ErrInvalid }

var eventNames = [eventKinds]string{logged: "logged", durable: "durable", opened: "opened"}

// transitions is every legal move; a zero is an illegal one.
var transitions = [...][eventKinds]Phase{
	Ordered:   {logged: Committed},
	Committed: {durable: Sharing, opened: Revealed},
	Sharing:   {durable: Sharing, opened: Revealed},
	Revealed:  {},
}

// Step folds one event into a batch. On error the event was not legal, or was
// about another batch, and next equals b. Callers make next durable before
// they perform an effect.
func Step(b Batch, ev Event) (next Batch, effects []Effect, err error) {
	if ev == nil {
		return b, nil, fmt.Errorf("%w: no event", ErrInvalid)
	}
	kind := ev.event()
	to := Phase(0)
	if int(b.Phase) < len(transitions) {
		to = transitions[b.Phase][kind]
	}
	if to == 0 {
		return b, nil, &StepError{Height: b.Height, Phase: b.Phase, Event: eventNames[kind]}
	}
	next = b
	next.Phase = to
	switch ev := ev.(type) {
	case Logged:
		c := ev.Checkpoint
		if err := c.validate(); err != nil {
			return b, nil, err
		}
		if c.Height != b.Height || c.Epoch != b.Epoch || c.BatchRoot != b.Root {
			return b, nil, b.foreign("checkpoint", c.Height, c.BatchRoot)
		}
		next.Checkpoint = c
	case Durable:
		if ev.Root != b.Root {
			return b, nil, b.foreign("share guard", b.Height, ev.Root)
		}
		effects = []Effect{ReleaseShare{Height: b.Height, Epoch: b.Epoch, Root: b.Root, Checkpoint: b.Checkpoint}}
	case Opened:
		if ev.Entry.Height != b.Height || ev.Entry.Root != b.Root {
			return b, nil, b.foreign("reveal entry", ev.Entry.Height, ev.Entry.Root)
		}
	}
	return next, effects, nil
}

func (b Batch) foreign(what string, height uint64, root Hash) error {
	return fmt.Errorf("%w: batch %d with root %s: the %s is for height %d and root %s",
		ErrInvalid, b.Height, b.Root, what, height, root)
}
