package audit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
)

// Verdict is the answer of an audit. Its number is the exit code of scrim audit.
type Verdict int

// The three verdicts.
const (
	Verified   Verdict = 0
	Violated   Verdict = 1
	CannotTell Verdict = 2
)

var verdictNames = [...]string{Verified: "verified", Violated: "violated", CannotTell: "cannot tell"}

// String gives "verified", "violated" or "cannot tell".
func (v Verdict) String() string {
	if v < 0 || int(v) >= len(verdictNames) {
		return fmt.Sprintf("verdict(%d)", int(v))
	}
	return verdictNames[v]
}

// MarshalText implements encoding.TextMarshaler.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// The codes of findings.
const (
	CodeCommittee     = "committee"        // not certified, or a batch before any committee
	CodeEpoch         = "epoch"            // a batch for a committee that is not in office
	CodeHeight        = "height"           // heights do not grow along the log
	CodeChain         = "chain_id"         // something of another chain
	CodeKey           = "key_id"           // a batch or ciphertext for another key
	CodeOrder         = "order"            // not what the receive logs decide
	CodeBatchRoot     = "batch_root"       // the ciphertexts do not give the committed root
	CodeDuplicate     = "duplicate"        // ordered twice
	CodeExpired       = "expired"          // ordered after its valid-until height
	CodeProof         = "ciphertext_proof" // ordered though its proof does not hold
	CodeOpening       = "opening"          // an opening that does not verify
	CodePlaintext     = "plaintext"        // not what the opening gives
	CodeVoid          = "void"             // claimed void but decrypts, or the reverse
	CodeNamespaces    = "namespaces"       // the namespaces' root is not that of the batch
	CodeExpiry        = "false_expiry"     // said to be set aside, which its block did not do
	CodeMisbehaviour  = "misbehaviour"     // an entry about a member that its evidence does not prove, or that is out of place
	CodeMissingExpiry = "missing_expiry"   // set aside by its block, and the log does not say so
	CodeOutcomes      = "outcomes"         // the log's outcomes are not those of the openings
	CodeReveal        = "reveal"           // out of order, of no batch, or of another root
	CodeCertificate   = "certificate"      // the committee's signature does not fit the checkpoint
	CodeLogRoot       = "log_root"         // the log is not the one that was signed
	CodePolicy        = "policy"           // a checkpoint does not have the signatures that the user's policy asks for
	CodeSplitView     = "split_view"       // two logs shown under one signature
	CodeReceipt       = "receipt"          // a member's promise that was not kept
	CodeLog           = "receipt_log"      // a receipt and a signed receive log of one member that exclude each other
	CodeContradiction = "receipt_conflict" // receipts of one member that exclude each other
)

// WhoBundle is to blame for a contradiction that no valid signature covers:
// whoever made or altered the file.
const WhoBundle = "bundle"

// WhoProof is to blame for what is not true in a transaction proof: whoever made it.
const WhoProof = "proof"

// Finding is one broken promise, or one thing in the bundle that is not true.
type Finding struct {
	Code   string `json:"code"`   // one of the Code constants
	Height uint64 `json:"height"` // of the batch, or the one that a receipt promises
	Who    string `json:"who"`    // "committee of epoch 1", "member 2 (alice)", or WhoBundle
	What   string `json:"what"`   // one sentence for people
	// Evidence is the name of the file with the evidence, as whoever wrote it says.
	Evidence string `json:"evidence,omitempty"`
	// Proof is portable evidence, if there is some: it has been verified. Otherwise
	// what was audited is the evidence.
	Proof *EvidenceFile `json:"-"`
	// Late is a receipt that was not kept: [ProveNotOrdered] makes the evidence from
	// the same lines, read once more.
	Late *commitreveal.Receipt `json:"-"`
}

// Report is the result of a run.
type Report struct {
	Verdict      Verdict         `json:"verdict"`
	Findings     []Finding       `json:"findings"`      // by height; at most 100
	MoreFindings int             `json:"more_findings"` // that are not listed
	Missing      []string        `json:"missing"`       // why one cannot tell
	Receipts     []ReceiptResult `json:"receipts"`      // in the order of Options.Receipts

	ChainID   string            `json:"chain_id"`
	TermsHash commitreveal.Hash `json:"terms_hash"` // of the first committee: whose chain this is about
	Anchored  bool              `json:"anchored"`   // the user gave that hash
	Epochs    []uint64          `json:"epochs"`     // of the committees, in order

	Committees []Tenure `json:"committees"` // in order

	LogSize         uint64            `json:"log_size"` // entries read
	LogRoot         commitreveal.Hash `json:"log_root"`
	CertifiedSize   uint64            `json:"certified_size"`   // entries that the committee's signature covers
	CertifiedHeight uint64            `json:"certified_height"` // of the batch whose certificate that is
	LastHeight      uint64            `json:"last_height"`      // of the last batch

	Batches     uint64 `json:"batches"`
	Revealed    uint64 `json:"revealed"`
	Pending     uint64 `json:"pending"` // committed, not revealed
	Ciphertexts uint64 `json:"ciphertexts"`
	Plaintexts  uint64 `json:"plaintexts"` // that are what their opening gives
	Voids       uint64 `json:"voids"`      // that their opening proves void
	Expired     uint64 `json:"expired"`    // entries for ciphertexts that can no longer be ordered
	// Misbehaviour is what the log records of members, oldest first, at most 100. That a
	// member was caught changes no verdict: the log is honest about it. An entry that its evidence
	// does not prove is a finding.
	Misbehaviour     []Misbehaviour `json:"misbehaviour"`
	MoreMisbehaviour int            `json:"more_misbehaviour"` // entries that are not listed
	// Checkpoints are the signed ones of Options, by size.
	Checkpoints []CheckpointResult `json:"checkpoints"`
	// Evidence is what came of the evidence of Options.
	Evidence []EvidenceResult `json:"evidence"`
}

// Misbehaviour is a log entry about a member, and what came of its evidence, which is beside the log.
type Misbehaviour struct {
	Height   uint64            `json:"height"`
	Epoch    uint64            `json:"epoch"`
	Member   uint32            `json:"member"`
	Kind     string            `json:"kind"`
	Evidence commitreveal.Hash `json:"evidence"` // commitreveal.EvidenceHash of it
	Who      string            `json:"who"`      // "member 2 (alice) of epoch 1"
	Proved   bool              `json:"proved"`   // by the evidence
	What     string            `json:"what"`     // the member did, if proved
	// File is the evidence with the certificate that it needs, if proved.
	File *EvidenceFile `json:"-"`
}

// Conclude sets the verdict that follows from what was found and what is missing.
func (r *Report) Conclude() { r.Verdict = verdictOf(len(r.Findings), len(r.Missing)) }

// finding is a Finding that may still turn out to be the committee's.
type finding struct {
	Finding
	entry int64 // the log entry that commits to it; -1 if none

}

// certify: a valid certificate covers the first size entries.
func (f *finding) certify(size, epoch uint64) {
	if f.Who == "" && f.entry >= 0 && uint64(f.entry) < size {
		f.Who = fmt.Sprintf("committee of epoch %d", epoch)
	}
}

// member names a member for people.
func (c *CommitteeInfo) member(j uint32) string {
	if j >= 1 && int(j) <= len(c.Names) && c.Names[j-1] != "" {
		return fmt.Sprintf("member %d (%s)", j, c.Names[j-1])
	}
	return fmt.Sprintf("member %d", j)
}

// finish concludes.
func (a *auditor) finish() *Report {
	if !a.stopped { // else some may be in what could not be read
		a.closeVoids()
		a.settleLast()
	}
	r := a.report
	r.LogSize, r.LogRoot = a.log.Size(), a.log.Root()
	r.CertifiedSize, r.CertifiedHeight = a.certified, a.certHeight
	r.LastHeight, r.Pending = a.lastCommit, uint64(len(a.pending))
	for _, b := range a.pending {
		a.blame(b, -1)
	}
	if a.certified == 0 && !a.stopped {
		a.missing("no checkpoint that the committee signed: nothing in the log is certified yet")
	}
	a.checkReceipts()
	a.checkHeads()
	a.checkEvidence()
	for _, f := range a.findings {
		if f.Who == "" {
			f.Who = WhoBundle
		}

		r.Findings = append(r.Findings, f.Finding)
	}
	slices.SortStableFunc(r.Findings, func(x, y Finding) int { return cmp.Compare(x.Height, y.Height) })
	r.Conclude()
	return r
}
