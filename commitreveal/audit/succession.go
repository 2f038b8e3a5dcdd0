package audit

import (
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
)

// tenure is a committee and the heights at which it may take batches.
type tenure struct {
	CommitteeInfo
	since uint64 // height of the block that put it in office: its first batch is later
	until uint64 // last height at which a batch may be for its epoch, once there is a next one
	over  bool   // there is a next one
}

// Tenure is a committee as a report names it.
type Tenure struct {
	Epoch       uint64            `json:"epoch"`
	Height      uint64            `json:"height"`    // of the block that put it in office
	LogIndex    uint64            `json:"log_index"` // of its entry
	TermsHash   commitreveal.Hash `json:"terms_hash"`
	Certificate []byte            `json:"-"` // that its entry names
}

// checkCommittee checks a committee's certificate: the first by the bundle's terms, each
// other by the committee in office before it.
func (a *auditor) checkCommittee(certificate []byte) (CommitteeInfo, error) {
	if a.current == nil {
		return a.checks.Certificate(a.header.Terms, certificate)
	}
	return a.checks.Succession(a.current.certificate, certificate)
}

// takeOffice ends the tenure of the committee before. If the key stays, its last batch
// is that of the block of the change; if not, the old key is taken for the overlap, which
// its last committee serves.
func (a *auditor) takeOffice(index uint64, e commitreveal.CommitteeEntry, info CommitteeInfo) {
	if old := a.current; old != nil {
		old.over, old.until = true, e.Height+info.Overlap
	}
	a.current = &tenure{CommitteeInfo: info, since: e.Height}
	a.committees[info.Committee.Epoch] = a.current
	a.report.Committees = append(a.report.Committees, Tenure{
		Epoch: info.Committee.Epoch, Height: e.Height, LogIndex: index, TermsHash: info.TermsHash, Certificate: info.certificate,
	})
}

// entitled is the committee that a batch is for. If it may not have it, the error says
// why, and the committee is that of the batch's epoch, or the one in office if there is none.
func (a *auditor) entitled(e commitreveal.CommitEntry) (*tenure, error) {
	t := a.committees[e.Epoch]
	switch {
	case t == nil:
		return a.current, fmt.Errorf("the batch is for epoch %d, the committee in office is that of epoch %d", e.Epoch, a.current.Committee.Epoch)
	case t.over && e.Height > t.until:
		return t, fmt.Errorf("the batch is for epoch %d, whose committee had its last batch at height %d", e.Epoch, t.until)
	case e.Height <= t.since && len(a.report.Committees) > 1: // the first one's may be in its own block
		return t, fmt.Errorf("the batch is for epoch %d, whose committee came into office with block %d and has its first batch after it", e.Epoch, t.since)
	}
	return t, nil
}
