package audit

import (
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
)

// ProofReport is what the reports about one thing in the log have in common. Verdict is
// Verified if all of it holds, Violated if something in it is not true, CannotTell if
// something is missing.
type ProofReport struct {
	Verdict   Verdict           `json:"verdict"`
	Findings  []Finding         `json:"findings"`
	Missing   []string          `json:"missing"`
	ChainID   string            `json:"chain_id"`
	TermsHash commitreveal.Hash `json:"terms_hash"`
	Anchored  bool              `json:"anchored"` // that hash is the one the user gave
	Epoch     uint64            `json:"epoch"`
	Namespace string            `json:"namespace"`
	Height    uint64            `json:"height"` // of the batch
	Count     uint32            `json:"count"`  // of the batch
	LogSize   uint64            `json:"log_size"`
	LogRoot   commitreveal.Hash `json:"log_root"`
}

func newProofReport() ProofReport { return ProofReport{Findings: []Finding{}, Missing: []string{}} }

func (r *ProofReport) found(code, who, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Code: code, Height: r.Height, Who: who, What: fmt.Sprintf(format, args...)})
}

func (r *ProofReport) missing(format string, args ...any) {
	r.Missing = append(r.Missing, fmt.Sprintf(format, args...))
}

// conclude sets the verdict that follows.
func (r *ProofReport) conclude() { r.Verdict = verdictOf(len(r.Findings), len(r.Missing)) }

// committee is that of the certificate, if it is certified and the one that the user trusts; else nil.
func (r *ProofReport) committee(checks Checks, certificate []byte, termsHash *[32]byte) *CommitteeInfo {
	info, err := checks.Committee(certificate)
	if err == nil && (info.Committee == nil || info.Committee.Key == nil) {
		err = errors.New("it names no committee")
	}
	if err != nil {
		r.found(CodeCommittee, WhoProof, "the committee is not certified: %v", err)
		return nil
	}
	r.ChainID, r.TermsHash, r.Epoch = info.ChainID, info.TermsHash, info.Committee.Epoch
	if termsHash != nil && info.TermsHash != *termsHash {
		r.missing("the proof is about a committee with the terms %s, not about the trusted one with the terms %s", r.TermsHash, commitreveal.Hash(*termsHash))
		return nil
	}
	r.Anchored = termsHash != nil
	return &info
}

// committed checks that the commit entry is in the log of the proof's checkpoint, and that
// the committee signed that checkpoint with the entry's batch.
func (r *ProofReport) committed(info *CommitteeInfo, proof *note.Proof, e commitreveal.CommitEntry) bool {
	entry, err := commitreveal.MarshalEntry(e)
	if err != nil {
		r.missing("%v", err)
		return false
	}
	head, err := proof.Check(entry)
	if err != nil {
		r.found(CodeLogRoot, WhoProof, "the commit entry is not in the log of the checkpoint: %v", err)
		return false
	}
	r.LogSize, r.LogRoot = head.Size, head.Root
	key := note.CommitteeKey(info.ChainID, info.Committee.Key)
	line, there := key.Find(proof.Note)
	if !there {
		r.missing("the committee's signature on the checkpoint: the batch was not revealed when the proof was made")
		return false
	}
	if _, err := key.Verify(proof.Note); err != nil {
		r.found(CodeCertificate, WhoProof, "%v", err)
		return false
	}
	c, _, err := note.Certified(proof.Note.Text, line.Data)
	if err != nil || c.ChainID != info.ChainID || c.Height != e.Height || c.Epoch != e.Epoch || c.Epoch != r.Epoch || c.BatchRoot != e.Root {
		r.found(CodeCertificate, WhoProof, "the committee's signature is not on the checkpoint of this batch")
		return false
	}
	return true
}
