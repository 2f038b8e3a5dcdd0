package audit

import (
	"bytes"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
)

// EvidenceBody is a piece of evidence as somebody keeps it: an evidence file, or
// the bare bytes of package commitreveal that nodes serve.
type EvidenceBody struct {
	Name string
	Body []byte
}

// EvidenceResult is what came of a piece of evidence. It changes no verdict unless
// it is about the log itself (a split view): that a member erred, and was caught, is
// no fault of the log.
type EvidenceResult struct {
	Name   string            `json:"name"`
	Hash   commitreveal.Hash `json:"hash"` // commitreveal.EvidenceHash
	Proved bool              `json:"proved"`
	// Established is what is proved, null if nothing is.
	Established *Established `json:"established"`
	Why         string       `json:"why"` // nothing is
	// File is the evidence with the certificate that it needs.
	File *EvidenceFile `json:"-"`
}

// checkEvidence judges the evidence with the certificates of the log.
func (a *auditor) checkEvidence() {
	for _, b := range a.opts.Evidence {
		r := EvidenceResult{Name: b.Name, Hash: commitreveal.EvidenceHash(b.Body)}
		f, err := a.evidenceFile(b.Body)
		if err == nil {
			r.Established, err = f.Verify(a.checks)
		}
		if err != nil {
			r.Why = err.Error()
		} else {
			r.Proved, r.File = true, f
		}
		a.report.Evidence = append(a.report.Evidence, r)
		if _, split := proofOf(f).(*SplitView); split && r.Proved && a.header != nil && f.ChainID == a.header.ChainID && a.ours(f) {
			finding := &finding{entry: -1, Finding: Finding{Code: CodeSplitView, Who: r.Established.Who, What: r.Established.What, Evidence: b.Name}}
			a.add(finding)
		}
	}
}

func proofOf(f *EvidenceFile) Proof {
	if f == nil {
		return nil
	}
	return f.Proof
}

// ours reports whether the file's certificates are those of the log: anybody can
// make up a committee and accuse it.
func (a *auditor) ours(f *EvidenceFile) bool {
	for _, c := range f.Certificates {
		known := slices.ContainsFunc(a.report.Epochs, func(epoch uint64) bool { return bytes.Equal(a.office(epoch).certificate, c) })
		if !known {
			return false
		}
	}
	return true
}

// evidenceFile reads an evidence file, or makes one of bare evidence.
func (a *auditor) evidenceFile(b []byte) (*EvidenceFile, error) {
	if bytes.HasPrefix(b, []byte("{")) {
		return ParseEvidence(b)
	}
	e, err := commitreveal.ParseEvidence(b)
	if err != nil {
		return nil, err
	}
	proof, err := NewBadShare(e)
	if err != nil {
		return nil, err
	}
	f := &EvidenceFile{ChainID: shareChain(e), Proof: proof}
	if info := a.office(shareEpoch(e)); info != nil {
		f.Certificates = [][]byte{info.certificate}
	}
	return f, nil
}

func shareEpoch(e commitreveal.Evidence) uint64 {
	switch e := e.(type) {
	case *commitreveal.BadPoint:
		return e.Message.Epoch
	case *commitreveal.BadSignature:
		return e.Message.Epoch
	case *commitreveal.ConflictingShares:
		return e.A.Epoch
	}
	return 0
}
