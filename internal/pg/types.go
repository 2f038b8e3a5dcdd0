package pg

import (
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// Sentinels for callers that branch. The errors around them carry the facts.
var (
	// ErrEmpty: there is no chain in the database yet; InitChain comes first.
	ErrEmpty = errors.New("pg: the database holds no chain yet")
	// ErrNotFound: no such transaction or batch.
	ErrNotFound = errors.New("pg: not found")
	// ErrForeignChain: the database belongs to another chain or member (a *ForeignChainError).
	ErrForeignChain = errors.New("pg: the database belongs to another chain or another member")
	// ErrGap: a block that does not follow the last committed one (a *GapError).
	ErrGap = errors.New("pg: the block does not follow the last committed one")
	// ErrConflict: what is stored says otherwise than what was given. What is stored stays.
	ErrConflict = errors.New("pg: conflicts with what is stored")
	// ErrGuard: no share may leave for this batch root, now or ever.
	ErrGuard = errors.New("pg: the share guard refuses")
	// ErrClaimed: another process works with this database.
	ErrClaimed = errors.New("pg: another process works with this database; each member needs its own")
	// ErrNewerSchema: a newer version of Scrim has migrated the database.
	ErrNewerSchema = errors.New("pg: the database was migrated by a newer version")
	// ErrUnsafe: the server may forget what it said it stored.
	ErrUnsafe = errors.New("pg: the database server does not keep what it says it stored")
	// ErrInvalid: the caller handed over something that no block or message can be.
	ErrInvalid = errors.New("pg: invalid argument")
)

// Identity tells one chain from another.
type Identity struct {
	ChainID     string
	GenesisHash [32]byte
}

// ForeignChainError says whose database it is and whose was wanted.
type ForeignChainError struct{ Have, Want Identity }

func (e *ForeignChainError) Error() string {
	return fmt.Sprintf("%v: it holds %s (genesis %x), not %s (genesis %x); configure this member's own database or an empty one",
		ErrForeignChain, e.Have.ChainID, e.Have.GenesisHash[:4], e.Want.ChainID, e.Want.GenesisHash[:4])
}

// Unwrap makes errors.Is(err, ErrForeignChain) hold.
func (e *ForeignChainError) Unwrap() error { return ErrForeignChain }

// GapError says which height is there and which was offered.
type GapError struct{ Have, Want uint64 }

func (e *GapError) Error() string {
	return fmt.Sprintf("%v: the database is at height %d, the block is %d", ErrGap, e.Have, e.Want)
}

// Unwrap makes errors.Is(err, ErrGap) hold.
func (e *GapError) Unwrap() error { return ErrGap }

// Chain is the chain's name and its state after its last committed block.
type Chain struct {
	ChainID     string
	GenesisHash [32]byte
	Height      uint64   // of the last committed block; 0: none yet
	AppHash     [32]byte // after that block
	Snapshot    []byte   // ordering.Result.Snapshot of that block
	Ceremony    []byte   // the last ordering.Result.Ceremony
}

// Receiver says as whom this member received: its place in the committee then in office.
type Receiver struct {
	Epoch  uint64
	Member uint32 // index, from 1
}

// Received is one entry of this member's receive log.
type Received struct {
	Position   uint64 // gapless, from 1
	ID         threshold.ID
	Namespace  string
	ValidUntil uint64 // last height at which it may be ordered
	Ciphertext []byte // wire bytes; nil inside a Transaction, which has them itself
	Time       int64  // when it was received, Unix milliseconds
	Head       commitreveal.Hash
	Receiver   // the receipt names it
}

// Transaction is all that this member knows about one ciphertext.
type Transaction struct {
	ID         threshold.ID
	Namespace  string
	ValidUntil uint64

	Received *Received // nil: it came in at another member

	Height   uint64 // of the block that ordered it; 0: not ordered
	Position uint32 // in that block's batch, which is ascending by id, from 0

	Dropped string // decided, but not executed any more: why, a code; "" otherwise

	Revealed     bool
	RevealHeight uint64 // of the block that carried the opening
	Place        uint32 // in the order of execution of its batch, from 0; known when revealed
	Opening      threshold.Opening
	Void         bool   // opened, but the payload does not decrypt
	Plaintext    []byte // nil if void or not revealed

	Times // of its batch's blocks; not in a Stream

	// Ciphertext is the wire bytes. It is nil in a Stream, and for a ciphertext
	// that expired before it was ordered: that one is forgotten on purpose.
	Ciphertext []byte
}

// BatchInfo is a batch with its reveal, if it has one.
type BatchInfo struct {
	commitreveal.Batch
	RevealHeight uint64 // 0: not revealed
	Certificate  threshold.Signature
	Voids        uint32
	Times
}

// Times are those of the blocks of a batch, Unix milliseconds, 0 if unknown. They are CometBFT's: a header's time is the
// median of when the members voted for the block before.
type Times struct {
	Header   int64 // in the header of the block that ordered the batch
	Ordered  int64 // in that of the block after: when the members voted for the batch's block
	Recorded int64 // in that of the block after the revealing one
}

// LogEntry is one entry of the commit-reveal log.
type LogEntry struct {
	Index uint64 // from 0
	Entry []byte // commitreveal.MarshalEntry
}

// Evidence is something that a member signed and should not have.
type Evidence struct {
	Number uint64 // in the order it was recorded, from 1, with gaps; 0 when it is handed over
	Kind   string
	Epoch  uint64 // of the committee or ceremony in which Member counts
	Member uint32 // index; of a ceremony, as a speaker
	Height uint64
	Body   []byte
}
