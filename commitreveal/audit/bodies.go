package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

// EvidenceBody is a piece of evidence as somebody keeps it: an evidence file, or
// what nodes serve: evidence of package commitreveal, keygen or ordering/fair, or the two
// notes of a split view, each after its length in four bytes.
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

// evidenceFile reads an evidence file, or makes one of what nodes keep: evidence of
// package commitreveal, keygen or fair, or two notes.
func (a *auditor) evidenceFile(b []byte) (*EvidenceFile, error) {
	p := packer{checks: a.checks, tree: a.opts.Tree}
	if a.header != nil {
		p.chainID = a.header.ChainID
	}
	for _, epoch := range a.report.Epochs {
		p.committees = append(p.committees, a.office(epoch))
	}
	return p.file(b)
}

// PackEvidence makes the file of a piece of evidence as a node serves it (GET
// /v1/evidence/{number}): evidence of packages commitreveal, keygen or ordering/fair, or the
// two notes of a split view. certificates are those of the chain's committees, tree gives
// the stored hashes of the log, which a split view of two sizes needs; else it may be nil.
// It is not verified. Errors wrap [ErrEvidence] if the body is none of them.
func PackEvidence(checks Checks, body []byte, tree tiles.Reader, certificates ...[]byte) (*EvidenceFile, error) {
	if checks.Committee == nil {
		return nil, errors.New("audit: the check of certificates is needed")
	}
	p := packer{checks: checks, tree: tree}
	for _, c := range certificates {
		info, err := checks.Committee(c)
		if err == nil && (info.Committee == nil || info.Committee.Key == nil) {
			err = errors.New("it names no committee")
		}
		if err != nil {
			return nil, fmt.Errorf("the committee is not certified: %w", err)
		}
		info.certificate = c
		p.chainID, p.committees = info.ChainID, append(p.committees, &info)
	}
	return p.file(body)
}

// packer makes files of evidence that nodes keep.
type packer struct {
	checks     Checks
	chainID    string
	committees []*CommitteeInfo // of the chain, in order
	tree       tiles.Reader
}

// file reads an evidence file, or makes one of what nodes keep.
func (p *packer) file(b []byte) (*EvidenceFile, error) {
	if bytes.HasPrefix(b, []byte("{")) {
		return ParseEvidence(b)
	}
	if e, err := commitreveal.ParseEvidence(b); err == nil {
		return p.shareFile(e)
	}
	if x, y, ok := twoNotes(b); ok {
		return p.splitFile(x, y)
	}
	for _, info := range p.committees {
		if f, err := p.checks.fileOf(info, b); err == nil {
			return f, nil
		}
	}
	return nil, fmt.Errorf("%w, nor evidence of a kind that is known, against members of a committee of this log", ErrEvidence)
}

func (p *packer) shareFile(e commitreveal.Evidence) (*EvidenceFile, error) {
	proof, err := NewBadShare(e)
	if err != nil {
		return nil, err
	}
	f := &EvidenceFile{ChainID: e.ChainID(), Proof: proof}
	for _, info := range p.committees {
		if info.Committee.Epoch == e.Epoch() {
			f.Certificates = [][]byte{info.certificate}
		}
	}
	return f, nil
}

// twoNotes reads two notes, each after its length in four bytes, as nodes keep a
// split view.
func twoNotes(b []byte) (x, y []byte, ok bool) {
	next := func() []byte {
		if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
			return nil
		}
		n := binary.BigEndian.Uint32(b)
		text := b[4 : 4+n]
		b = b[4+n:]
		return text
	}
	x, y = next(), next()
	return x, y, len(x) > 0 && len(y) > 0 && len(b) == 0
}

func (p *packer) splitFile(x, y []byte) (*EvidenceFile, error) {
	proof, err := NewSplitView(x, y, p.tree)
	if err != nil {
		return nil, err
	}
	f := &EvidenceFile{ChainID: p.chainID, Proof: proof}
	for _, info := range p.committees[max(0, len(p.committees)-maxCertificates):] {
		f.Certificates = append(f.Certificates, info.certificate)
	}
	return f, nil
}
