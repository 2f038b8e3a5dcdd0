// Package v1 holds the JSON shapes of Scrim's REST API, version 1: what the
// server in httpapi writes and the client in httpapi/client reads. The contract
// itself is httpapi/openapi.yaml; docs/spec/rest.md says it in prose.
//
// Conventions, for every shape:
//
//   - field names are snake_case, every field is always present, and a value
//     that is not there (yet) is null;
//   - bytes are [Hex]: "0x" and an even number of lower-case digits;
//   - heights, epochs, positions and counts are JSON numbers below 2^53;
//   - times are [Time]: RFC 3339, UTC, milliseconds.
//
// The package needs the standard library only, so that a wallet links neither
// the server nor any cryptography by importing it.
package v1

// Status says how far a transaction has come.
type Status string

const (
	// StatusReceived: this node took the ciphertext and gave a receipt for it.
	StatusReceived Status = "received"
	// StatusOrdered: a block fixed its place; it is not open yet.
	StatusOrdered Status = "ordered"
	// StatusRevealed: the committee opened it; Plaintext is what it is. The log has it from RevealHeight on.
	StatusRevealed Status = "revealed"
	// StatusVoid: the committee opened it and its payload does not decrypt; Opening proves it.
	StatusVoid Status = "void"
	// StatusExpired: its valid_until height passed before it was ordered.
	StatusExpired Status = "expired"
)

// Final reports whether the status never changes again. RevealHeight may still follow.
func (s Status) Final() bool {
	return s == StatusRevealed || s == StatusVoid || s == StatusExpired
}

// Limits are the bounds that the node enforces on a submission and on a request.
type Limits struct {
	ChainID            string `json:"chain_id"`
	Height             uint64 `json:"height"`               // last committed block
	MaxSizeClass       uint8  `json:"max_size_class"`       // the padded plaintext is at most 256<<max_size_class bytes
	MaxPlaintextBytes  uint64 `json:"max_plaintext_bytes"`  // largest plaintext that still fits
	MaxCiphertextBytes uint64 `json:"max_ciphertext_bytes"` // largest ciphertext on the wire
	MaxValidity        uint64 `json:"max_validity"`         // valid_until may be at most this many blocks after height
	MaxBatch           uint32 `json:"max_batch"`            // ciphertexts in one batch
	MaxPending         uint32 `json:"max_pending"`          // ciphertexts waiting to be ordered or opened
	MaxBodyBytes       uint64 `json:"max_body_bytes"`       // request body; set by the server
	RatePerMinute      uint64 `json:"rate_per_minute"`      // submissions of one address in a minute, 0: unlimited; set by the server
	MaxPageSize        uint64 `json:"max_page_size"`        // largest value of a limit parameter; set by the server
}

// Health says that the process answers, and who it is.
type Health struct {
	Status  string `json:"status"` // "ok"
	ChainID string `json:"chain_id"`
	Node    string `json:"node"` // the member's name
	Height  uint64 `json:"height"`
	Version string `json:"version"` // of the program
	Time    Time   `json:"time"`    // the node's clock
}

// Readiness says whether the node can serve: it follows the chain, its database
// answers, and so on. A node that is not ready answers 503 with the reasons.
type Readiness struct {
	Ready    bool     `json:"ready"`
	Height   uint64   `json:"height"`
	Epoch    uint64   `json:"epoch"`     // of the committee in office, 0: none yet
	InOffice bool     `json:"in_office"` // whether this node is a member of that committee; others follow the chain, and take no transactions
	Peers    uint64   `json:"peers"`
	Reasons  []Reason `json:"reasons"` // empty when ready
}

// Reason is one reason for not being ready.
type Reason struct {
	Code   string `json:"code"` // snake_case, for machines: catching_up, no_peers, database, no_committee, missing_share, receive_log, halted ...
	Detail string `json:"detail"`
}

// EncryptionKeys are the keys that the next block may order by: one, and after a rotation
// also the one that retires. Wallets seal to the first.
type EncryptionKeys struct {
	ChainID string          `json:"chain_id"`
	Height  uint64          `json:"height"`
	Keys    []EncryptionKey `json:"keys"` // newest first
}

// EncryptionKey is a committee's public key.
type EncryptionKey struct {
	KeyID      Hex     `json:"key_id"` // 32 bytes
	Epoch      uint64  `json:"epoch"`
	Suite      string  `json:"suite"`
	PublicKey  Hex     `json:"public_key"` // 144 bytes: Y (G1, 48) || Y2 (G2, 96)
	Threshold  uint32  `json:"threshold"`
	Members    uint32  `json:"members"`
	ValidFrom  uint64  `json:"valid_from"`  // first height
	ValidUntil *uint64 `json:"valid_until"` // last height, null: open
}

// SubmitRequest is the body of POST /v1/transactions.
type SubmitRequest struct {
	Namespace  string `json:"namespace"` // must be the ciphertext's own
	Ciphertext Hex    `json:"ciphertext"`
}

// Why a transaction expired. Of one that the members' logs had decided, the log has the same reason.
const (
	ExpiredTooLate = "too_late" // its valid_until height passed before a block could take it
	ExpiredKey     = "key"      // it is sealed to a key that is not in use any more
	ExpiredInvalid = "invalid"  // the chain does not admit it
)

// Transaction is a ciphertext and what became of it.
type Transaction struct {
	ID           Hex      `json:"id"` // 32 bytes
	Namespace    string   `json:"namespace"`
	Status       Status   `json:"status"`
	Reason       *string  `json:"reason"`        // one of the Expired constants if it expired, null otherwise
	ValidUntil   uint64   `json:"valid_until"`   // last height at which it may be ordered
	Receipt      *Receipt `json:"receipt"`       // null if this node did not receive it itself
	Height       *uint64  `json:"height"`        // of its batch, null until ordered
	Position     *uint32  `json:"position"`      // in its batch, which is ascending by id, from 0, null until ordered
	Place        *uint32  `json:"place"`         // in the order of execution of its batch, from 0, null until the log has the opening
	Opening      Hex      `json:"opening"`       // 48 bytes, null until revealed or void
	Plaintext    Hex      `json:"plaintext"`     // null unless revealed
	RevealHeight *uint64  `json:"reveal_height"` // block that put the opening in the log, null until then

	Times *BlockTimes `json:"times"` // of its batch, null until ordered, in streams, and if unknown
}

// BlockTimes say when the blocks of a batch were made. They are CometBFT's (BFT time): a block's header has the median of
// the members' clocks when they voted for the block before. No member signs them for others to show, and no hash of Scrim covers them.
type BlockTimes struct {
	Header   Time  `json:"header"`   // in the header of the block that ordered the batch
	Ordered  *Time `json:"ordered"`  // when the members voted for that block; null until the next block says so
	Recorded *Time `json:"recorded"` // when they voted for the block that put the openings in the log; null until the next block says so
}

// Receipt is a member's signed promise that the ciphertext is at this position of its receive log.
type Receipt struct {
	ChainID    string `json:"chain_id"`
	ID         Hex    `json:"id"`     // 32 bytes
	Epoch      uint64 `json:"epoch"`  // of the committee in which member counts
	Member     uint32 `json:"member"` // index, from 1
	ValidUntil uint64 `json:"valid_until"`
	Time       Time   `json:"time"`
	Position   uint64 `json:"position"`  // from 1
	Head       Hex    `json:"head"`      // 32 bytes: the log's head after it
	Signature  Hex    `json:"signature"` // 64 bytes, Ed25519 by the member's identity key
}

// BatchSummary is a batch without its transactions.
type BatchSummary struct {
	Height       uint64      `json:"height"`
	Epoch        uint64      `json:"epoch"`
	Phase        string      `json:"phase"` // ordered, committed, sharing, revealed
	Count        uint32      `json:"count"`
	Root         Hex         `json:"root"`       // 32 bytes: Merkle root of the ids in order
	Checkpoint   *Checkpoint `json:"checkpoint"` // null until committed
	Voids        uint32      `json:"voids"`
	RevealHeight *uint64     `json:"reveal_height"` // null until revealed
	Certificate  Hex         `json:"certificate"`   // 48 bytes: the committee's signature on Checkpoint.Message, null until revealed
	Times        *BlockTimes `json:"times"`         // null if unknown
}

// PhaseRevealed is the phase in which a batch is final.
const PhaseRevealed = "revealed"

// Checkpoint is what the committee signs about a batch.
type Checkpoint struct {
	ChainID   string `json:"chain_id"`
	Height    uint64 `json:"height"`
	Epoch     uint64 `json:"epoch"`
	BatchRoot Hex    `json:"batch_root"` // 32 bytes
	LogSize   uint64 `json:"log_size"`
	LogRoot   Hex    `json:"log_root"` // 32 bytes
	Message   Hex    `json:"message"`  // the signed bytes
}

// Batch is a batch with its transactions in order.
type Batch struct {
	BatchSummary
	Transactions []BatchItem `json:"transactions"`
}

// BatchItem is one place of a batch. The plaintext is at /v1/transactions/{id}:
// a batch may hold more plaintext than one answer should carry.
type BatchItem struct {
	Position  uint32 `json:"position"` // from 0
	ID        Hex    `json:"id"`
	Namespace string `json:"namespace"`
	Status    Status `json:"status"`  // ordered, revealed or void
	Opening   Hex    `json:"opening"` // null until revealed or void
}

// Batches is a page of batches, newest first.
type Batches struct {
	Batches []BatchSummary `json:"batches"`
	Next    *uint64        `json:"next"` // give it as before= for the next (older) page, null: no more
}

// StreamPage is a page of a namespace's revealed transactions in their final order.
type StreamPage struct {
	Namespace    string        `json:"namespace"`
	Transactions []Transaction `json:"transactions"`
	Next         Cursor        `json:"next"` // give it as after= for what follows, now or later
	More         bool          `json:"more"` // whether there is more already
}

// Committee is the committee in office with what it takes to check it.
type Committee struct {
	ChainID     string            `json:"chain_id"`
	Epoch       uint64            `json:"epoch"`
	Change      string            `json:"change"` // how it came about: ChangeFirst, ChangeReshare or ChangeRotate
	Since       uint64            `json:"since"`  // height of the block that put it in office; its first batch is a later one's
	Threshold   uint32            `json:"threshold"`
	TermsHash   Hex               `json:"terms_hash"`  // 32 bytes
	Terms       Hex               `json:"terms"`       // canonical keygen terms
	Certificate Hex               `json:"certificate"` // canonical keygen certificate
	Committee   Hex               `json:"committee"`   // canonical threshold committee
	Members     []CommitteeMember `json:"members"`
}

// How a committee came about.
const (
	ChangeFirst   = "first"   // the chain's first committee made the first key
	ChangeReshare = "reshare" // the committee before it handed on its key
	ChangeRotate  = "rotate"  // it made a key of its own, with the consent of the committee before it
)

// Committees are the committees that the chain has had, oldest first. Each certificate
// but the first is checked against the one before it (keygen.VerifySuccession).
type Committees struct {
	ChainID    string            `json:"chain_id"`
	Height     uint64            `json:"height"` // last committed block
	Committees []CommitteeRecord `json:"committees"`
	Next       *uint64           `json:"next"` // give it as from= for the next (newer) page, null: no more
}

// CommitteeRecord is a committee that is or was in office.
type CommitteeRecord struct {
	Epoch       uint64  `json:"epoch"`
	Change      string  `json:"change"` // ChangeFirst, ChangeReshare or ChangeRotate
	Threshold   uint32  `json:"threshold"`
	Members     uint32  `json:"members"`
	Since       uint64  `json:"since"`       // height of the block that put it in office
	Until       *uint64 `json:"until"`       // height of the block that put the next in office, null: in office
	KeyID       Hex     `json:"key_id"`      // 32 bytes; a resharing keeps it
	TermsHash   Hex     `json:"terms_hash"`  // 32 bytes: the ceremony's id
	Certificate Hex     `json:"certificate"` // canonical keygen certificate, with the terms
	LogIndex    uint64  `json:"log_index"`   // of its entry in the commit-reveal log
}

// CommitteeMember is one member of the committee in office.
type CommitteeMember struct {
	Index     uint32 `json:"index"` // from 1
	Name      string `json:"name"`
	Identity  Hex    `json:"identity"` // 32 bytes, Ed25519
	Key       Hex    `json:"key"`      // 96 bytes, G2
	Certified bool   `json:"certified"`
}

// Outcomes of a ceremony.
const (
	CeremonyRunning   = "running"
	CeremonySucceeded = "succeeded"
	CeremonyFailed    = "failed"
	CeremonyAborted   = "aborted"  // its members ended it
	CeremonyRejected  = "rejected" // not all members consented to its terms
)

// CeremonySummary is a key ceremony in short.
type CeremonySummary struct {
	ID            Hex     `json:"id"` // 32 bytes: hash of the terms, which cover the attempt
	Epoch         uint64  `json:"epoch"`
	Attempt       uint32  `json:"attempt"`
	Threshold     uint32  `json:"threshold"`
	Members       uint32  `json:"members"`
	Change        string  `json:"change"`         // ChangeFirst, ChangeReshare or ChangeRotate
	PreviousEpoch *uint64 `json:"previous_epoch"` // of the committee that hands over, null for a first key
	Overlap       uint64  `json:"overlap"`        // rotation: blocks during which the old key is still taken
	Outcome       string  `json:"outcome"`        // running, succeeded, failed, aborted, rejected
	Phase         string  `json:"phase"`          // as package keygen names it
	StartHeight   uint64  `json:"start_height"`
	Deadline      *uint64 `json:"deadline"` // height at which the phase ends at the latest, null when over
}

// Ceremonies is a page of the chain's ceremonies, newest first.
type Ceremonies struct {
	Ceremonies []CeremonySummary `json:"ceremonies"`
	Next       Hex               `json:"next"` // before of the next page, null at the end
}

// Ceremony is a key ceremony with who did what.
type Ceremony struct {
	CeremonySummary
	ChainID     string           `json:"chain_id"`
	Status      []CeremonyMember `json:"status"`
	EndedIn     *string          `json:"ended_in"` // phase in which it ended, null while it runs
	Waiting     []uint32         `json:"waiting"`  // indices of the speakers that the phase waits for
	Aborting    []uint32         `json:"aborting"` // indices of the speakers that asked to abort; the threshold of either committee ends it
	Blame       []Fault          `json:"blame"`
	Evidence    []Hex            `json:"evidence"`    // canonical keygen evidence: proves faults to whoever has the terms
	Terms       Hex              `json:"terms"`       // canonical keygen terms
	Certificate Hex              `json:"certificate"` // canonical keygen certificate, null unless succeeded
}

// Final reports whether the answer never changes again.
func (c *CeremonySummary) Final() bool { return c.Outcome != CeremonyRunning }

// What a speaker of a ceremony is. A member of both committees speaks twice.
const (
	RoleMember   = "member"   // of the committee that the ceremony makes
	RolePrevious = "previous" // of the committee that hands over
)

// CeremonyMember is what one speaker has done, a word for each kind of message.
type CeremonyMember struct {
	Index         uint32 `json:"index"` // as a speaker, from 1: the new members, then the previous committee's
	Role          string `json:"role"`  // RoleMember or RolePrevious
	Name          string `json:"name"`
	Identity      Hex    `json:"identity"` // 32 bytes, Ed25519
	Consent       string `json:"consent"`
	Deal          string `json:"deal"`
	Response      string `json:"response"`
	Justification string `json:"justification"`
	Certification string `json:"certification"`
	Stored        string `json:"stored"` // that the member has read its share back
	Qualified     bool   `json:"qualified"`
}

// Fault is a reason to blame a member.
type Fault struct {
	Member uint32 `json:"member"` // index as a speaker, from 1; 0: nobody in particular
	Phase  string `json:"phase"`  // in which it was found
	Height uint64 `json:"height"` // at which it was found
	Reason string `json:"reason"` // for people
}

// MessageRequest is the body of POST /v1/ceremonies/{id}/messages.
type MessageRequest struct {
	Message Hex `json:"message"` // canonical keygen message, signed by its member
}

// CeremonyMessage says what a ceremony message was taken for.
type CeremonyMessage struct {
	Ceremony Hex    `json:"ceremony"` // 32 bytes: the ceremony that it belongs to; of a proposal, the one that it proposes
	Kind     string `json:"kind"`     // as package keygen names it
	Member   uint32 `json:"member"`   // the speaker that signed it, from 1
}

// Why a ceremony message is not admitted: the member reason of the problem not_admitted.
const (
	ReasonOtherCeremony = "other_ceremony" // it belongs to another ceremony than the one in the path
	ReasonKind          = "kind"           // the ceremony takes no messages of this kind
	ReasonMember        = "member"         // there is no such member
	ReasonSignature     = "signature"      // it is not signed by its member
	ReasonEarly         = "early"          // its phase has not begun
	ReasonLate          = "late"           // its phase is over
	ReasonOver          = "over"           // the ceremony is over
	ReasonUnasked       = "unasked"        // the phase has no question to this member
	ReasonDuplicate     = "duplicate"      // it is in the log already
	ReasonNotNext       = "not_next"       // a proposal that does not begin the next attempt
	ReasonOther         = "other"
)
