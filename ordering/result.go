package ordering

import (
	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Result is everything that one block changed: what the shell makes durable in
// one transaction before it performs any effect. All of it is a function of the
// state before the block and the block.
type Result struct {
	Height  uint64
	AppHash [32]byte
	// Snapshot is the small part of the state after the block, for Restore. The
	// rest (ids still remembered, bodies of pending batches) is in the rows below.
	Snapshot []byte
	// Ceremony is the ceremonies after the block (State.MarshalCeremonies), nil if the
	// block left them alone: they are large, and mostly still.
	Ceremony []byte
	// Ended are the ceremonies that came to their end in the block, whatever became of them, in
	// the order in which they did: with all that was said. None ever changes again, and the
	// state forgets each when others have followed; this is the one time to write it down.
	Ended []*keygen.State
	// Activated is the committee that the block put in office; mostly nil.
	Activated *Tenure
	// Validators are the changes that the block makes to CometBFT's validator set, which
	// heeds them from the block after the next on.
	Validators []Validator
	// Batch is what the block ordered; nil if it ordered nothing.
	Batch *OrderedBatch
	// Reveals are the earlier batches that the block opened, oldest first.
	Reveals []Reveal
	// Round is what the block said for the order beside its batch; nil if nothing.
	Round *Round
	// Dropped are ciphertexts that were decided and could not be executed any more.
	Dropped []Dropped
	// Grace is for how many heights after its valid-until a ciphertext may still be decided, and must be kept.
	Grace uint64
	// Forgotten are ids that have left the receive logs because too few members ever held them.
	Forgotten []threshold.ID
	// Misbehaviour is what the block recorded of members, with the evidence.
	Misbehaviour []Misbehaviour
	// Records are the entries the block appended to the commit-reveal log.
	Records []Record
	// Certificates are the ceremony certificates that committee entries among Records name by their hash.
	Certificates [][]byte
	// Txs says, for each transaction of the block, why it was not applied ("" if it was).
	Txs []string
}

// OrderedBatch is a batch as its block fixed it.
type OrderedBatch struct {
	Batch       commitreveal.Batch
	Ciphertexts []*threshold.Checked // ascending by id; Ciphertexts[i].ID() == Batch.IDs[i]
	Frames      []fair.Set           // what the receive logs say about them, for FinalOrder
}

// Reveal is a batch with its openings and what they opened to.
type Reveal struct {
	Batch       commitreveal.Batch
	Outcomes    []commitreveal.Outcome // in the batch's order, by id
	Order       []threshold.ID         // the batch's ids in the order of execution, see FinalOrder
	Certificate threshold.Signature

	entry commitreveal.RevealEntry
}

// Record is one entry of the commit-reveal log with the tree hashes it adds.
type Record struct {
	Index  uint64
	Entry  []byte              // commitreveal.MarshalEntry
	Hashes []commitreveal.Hash // stored hashes in tlog order
}

// Seen is an id that was ordered and may not be ordered again.
type Seen struct {
	ID         threshold.ID
	ValidUntil uint64 // forgotten after this height, when the ciphertext is refused as expired anyway
}
