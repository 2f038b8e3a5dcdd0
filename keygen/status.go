package keygen

import (
	"encoding/hex"
	"slices"
)

// Status is a ceremony for people: one line for each speaker, one cell for each
// phase, whom it waits for, and who did what wrong.
type Status struct {
	Ceremony  string         `json:"ceremony"` // terms hash, hex after 0x
	ChainID   string         `json:"chain_id"`
	Epoch     uint64         `json:"epoch"`
	Attempt   uint32         `json:"attempt"`
	Change    string         `json:"change"` // first, reshare, rotate
	Threshold int            `json:"threshold"`
	Approvals int            `json:"approvals"` // of previous members, that the proposal needs; 0 without a previous committee
	Phase     string         `json:"phase"`
	EndedIn   string         `json:"ended_in"` // phase in which it ended, "" while it runs
	Height    uint64         `json:"height"`   // of the last event
	Deadline  uint64         `json:"deadline"` // last height of the phase
	Members   []MemberStatus `json:"members"`
	Waiting   []uint32       `json:"waiting"`  // members whose message the phase still wants
	Aborting  []uint32       `json:"aborting"` // members that asked to abort; t of them end the ceremony
	Blame     []string       `json:"blame"`
	Evidence  []string       `json:"evidence"` // canonical encodings, hex after 0x: proofs for whoever has the terms
}

// What a line's role is: a member of the committee that is to come, or of the one that hands over.
const (
	RoleMember   = "member"
	RolePrevious = "previous"
)

// MemberStatus is a speaker's line. A cell is one of the Cell constants.
type MemberStatus struct {
	Index         uint32 `json:"index"` // see Terms.Speakers
	Role          string `json:"role"`  // RoleMember or RolePrevious
	Name          string `json:"name"`
	Consent       string `json:"consent"` // of a previous member: its approval
	Deal          string `json:"deal"`
	Response      string `json:"response"`
	Justification string `json:"justification"`
	Certification string `json:"certification"`
	Stored        string `json:"stored"`
	Qualified     bool   `json:"qualified"` // its deal counts, or would if the deals were settled now
}

// What a cell of the matrix says.
const (
	CellLater     = "later"      // the phase has not begun
	CellAwaited   = "awaited"    // the phase runs and wants this message
	CellDone      = "done"       // the message is in and good
	CellComplains = "complains"  // a response that holds complaints
	CellBad       = "bad"        // the message is in and faulty
	CellRejects   = "rejects"    // a rejection stands in the place of the consent
	CellAbsent    = "absent"     // the phase ended without it
	CellNotNeeded = "not needed" // the phase has no question to this member
)

// Status describes the state.
func (s *State) Status() Status {
	out := Status{
		Ceremony:  "0x" + hex.EncodeToString(s.ceremony[:]),
		ChainID:   s.terms.ChainID,
		Epoch:     s.terms.Epoch,
		Attempt:   s.terms.Attempt,
		Change:    s.terms.Change.String(),
		Threshold: s.terms.Threshold,
		Approvals: s.terms.approvalsNeeded(),
		Phase:     s.phase.String(),
		Height:    s.height,
		Deadline:  s.deadline,
		Members:   make([]MemberStatus, s.terms.Speakers()),
		Waiting:   append([]uint32{}, s.Waiting()...),
		Aborting:  append([]uint32{}, s.Aborting()...),
		Blame:     make([]string, len(s.faults)),
		Evidence:  []string{},
	}
	if s.Done() {
		out.EndedIn = s.ended.String()
	}
	for i := range out.Members {
		j := uint32(i + 1)
		role := RoleMember
		if s.terms.isPrevious(j) {
			role = RolePrevious
		}
		out.Members[i] = MemberStatus{
			Index:         j,
			Role:          role,
			Name:          s.terms.Speaker(j).Name,
			Consent:       s.cell(KindConsent, j),
			Deal:          s.cell(KindDeal, j),
			Response:      s.cell(KindResponse, j),
			Justification: s.cell(KindJustification, j),
			Certification: s.cell(KindCertification, j),
			Stored:        s.cell(KindStored, j),
			Qualified:     s.qualifies(j),
		}
	}
	for i, f := range s.faults {
		out.Blame[i] = f.describe(s.terms)
	}
	for _, e := range s.Evidence() {
		out.Evidence = append(out.Evidence, "0x"+hex.EncodeToString(e.append(nil)))
	}
	return out
}

func (s *State) cell(k Kind, member uint32) string {
	if !s.terms.speaks(k, member) {
		return CellNotNeeded
	}
	if k == KindConsent && s.said(KindRejection, member) {
		return CellRejects
	}
	if e := s.entry(k, member); e != nil {
		switch {
		case e.fault != 0 || s.equivocated(k, member):
			return CellBad
		case slices.Contains(e.verdicts, complaint):
			return CellComplains
		}
		return CellDone
	}
	absent := slices.ContainsFunc(s.faults, func(f Fault) bool {
		return f.Member == member && f.Phase.kind() == k && (f.Kind == FaultAbsent || f.Kind == FaultUnanswered)
	})
	first, _ := k.phases()
	switch {
	case absent:
		return CellAbsent
	case s.phase.kind() == k && s.awaits(k, member):
		return CellAwaited
	case !s.Done() && s.phase < first:
		return CellLater
	}
	return CellNotNeeded
}
