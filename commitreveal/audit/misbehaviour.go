package audit

import (
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
)

// accused is a misbehaviour entry whose evidence is the next line, if it is there.
type accused struct {
	commitreveal.MisbehaviourEntry
	index  uint64
	office *CommitteeInfo // of its epoch; nil if there is none in the log
}

// charge is what a log records once.
type charge struct {
	epoch  uint64
	member uint32
	kind   string
}

// maxCharges bounds what is remembered of misbehaviour entries.
const maxCharges = 1 << 16

// misbehaviour takes an entry about a member.
func (a *auditor) misbehaviour(index uint64, e commitreveal.MisbehaviourEntry) {
	if why := a.misplaced(e.Height); why != "" {
		a.found(index, CodeMisbehaviour, e.Height, "the entry about member %d of epoch %d stands %s of its block", e.Member, e.Epoch, why)
	}
	a.at(index, e.Height)
	c := charge{e.Epoch, e.Member, e.Kind}
	if a.charges[c] {
		a.found(index, CodeMisbehaviour, e.Height, "%s by member %d of epoch %d is in the log before", e.Kind, e.Member, e.Epoch)
	}
	if len(a.charges) >= maxCharges {
		a.stop("more than %d misbehaviour entries", maxCharges)
		return
	}
	a.charges[c] = true
	office := a.office(e.Epoch)
	if office == nil {
		a.found(index, CodeMisbehaviour, e.Height, "the entry accuses member %d of epoch %d, of which there was no committee", e.Member, e.Epoch)
	}
	a.accused = &accused{MisbehaviourEntry: e, index: index, office: office}
}

// misplaced says after which entry of its block one about a member stands, if it must not.
func (a *auditor) misplaced(height uint64) string {
	switch n := len(a.expiries); {
	case height != a.height: // the first of its block, or of no block
	case a.lastCommit == height:
		return "after the batch"
	case a.current != nil && a.current.since == height:
		return "after the new committee"
	case n > 0 && a.expiries[n-1].Height == height:
		return "after what was set aside"
	}
	return ""
}

// settleMisbehaviour judges the last entry, if its evidence is due; the body is nil if it does
// not follow. What users have beside the log is as good.
func (a *auditor) settleMisbehaviour(body []byte) {
	m := a.accused
	a.accused = nil
	if m == nil {
		if body != nil {
			a.stop("evidence without a misbehaviour entry before it")
		}
		return
	}
	for _, b := range a.opts.Evidence {
		if body == nil && commitreveal.EvidenceHash(b.Body) == m.Evidence {
			body = b.Body
		}
	}
	r := Misbehaviour{Height: m.Height, Epoch: m.Epoch, Member: m.Member, Kind: m.Kind, Evidence: m.Evidence}
	if m.office != nil {
		r.Who = memberOf(m.office, m.Member)
	}
	switch {
	case body == nil:
		a.missing("the evidence %s against member %d of epoch %d, which entry %d names, is not here", m.Evidence, m.Member, m.Epoch, m.index)
	case commitreveal.EvidenceHash(body) != m.Evidence:
		a.altered(CodeMisbehaviour, m.Height, "the evidence against member %d of epoch %d is not the one that the log names", m.Member, m.Epoch)
	case m.office != nil:
		a.judgeMisbehaviour(m, body, &r)
	}
	if len(a.report.Misbehaviour) >= maxFindings {
		a.report.MoreMisbehaviour++
		return
	}
	a.report.Misbehaviour = append(a.report.Misbehaviour, r)
}

// closeMisbehaviour judges the last entry, if its evidence did not follow.
func (a *auditor) closeMisbehaviour() {
	if a.accused != nil {
		a.settleMisbehaviour(nil)
	}
}

// judgeMisbehaviour compares what the evidence proves with what the entry says.
func (a *auditor) judgeMisbehaviour(m *accused, body []byte, r *Misbehaviour) {
	f, err := a.checks.fileOf(m.office, body)
	if err == nil {
		err = f.validate()
	}
	var proved *Established
	if err == nil {
		proved, err = f.Proof.check(&judge{chainID: a.header.ChainID, checks: a.checks, terms: m.office.Terms, committees: []*CommitteeInfo{m.office}})
	}
	switch {
	case errors.Is(err, errNoCheck):
		a.missing("the evidence against member %d of epoch %d cannot be checked: %v", m.Member, m.Epoch, err)
		return
	case err == nil && f.ChainID != a.header.ChainID:
		err = notProved("it is of chain %q", f.ChainID)
	case err == nil && (proved.member != m.Member || proved.entryKind != m.Kind):
		err = notProved("it proves %s against member %d", proved.entryKind, proved.member)
	}
	if err != nil {
		a.found(m.index, CodeMisbehaviour, m.Height, "the evidence does not prove %s by member %d of epoch %d: %v", m.Kind, m.Member, m.Epoch, err)
		return
	}
	r.Proved, r.Who, r.What, r.File = true, proved.Who, proved.What, f
}

// fileOf makes an evidence file against a member of a committee of what misbehaviour entries name.
func (c Checks) fileOf(info *CommitteeInfo, body []byte) (*EvidenceFile, error) {
	if e, err := commitreveal.ParseEvidence(body); err == nil {
		proof, err := NewBadShare(e)
		return &EvidenceFile{ChainID: e.ChainID(), Certificates: [][]byte{info.certificate}, Proof: proof}, err
	}
	if c.Fork != nil {
		if kind, _, err := c.Fork(*info, body); err == nil {
			return &EvidenceFile{ChainID: info.ChainID, Certificates: [][]byte{info.certificate}, Proof: NewLogFork(kind, body)}, nil
		}
	}
	if c.Ceremony != nil && len(info.Terms) > 0 {
		if f, err := c.Ceremony(info.Terms, body); err == nil {
			return &EvidenceFile{ChainID: f.ChainID, Terms: info.Terms, Proof: NewCeremonyFault(body, f.Conflict)}, nil
		}
	}
	if c.Fork == nil || c.Ceremony == nil {
		return nil, fmt.Errorf("%w: of receive logs, or of ceremonies", errNoCheck)
	}
	return nil, fmt.Errorf("%w, nor evidence that proves something against a member of the %s", ErrEvidence, committeeName(info.Committee.Epoch))
}
