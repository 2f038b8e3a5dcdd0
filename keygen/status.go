package keygen

import (
	"encoding/hex"
	"slices"
)

// Status is a ceremony for people: one line for each member, one cell for each
// phase, whom it waits for, and who did what wrong.
type Status struct {
	Ceremony  string         `json:"ceremony"` // terms hash, hex after 0x
	ChainID   string         `json:"chain_id"`
	Epoch     uint64         `json:"epoch"`
	Attempt   uint32         `json:"attempt"`
	Threshold int            `json:"threshold"`
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

// MemberStatus is a member's line. A cell is one of the Cell constants.
type MemberStatus struct {
	Index         uint32 `json:"index"`
	Name          string `json:"name"`
	Consent       string `json:"consent"`
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
		Threshold: s.terms.Threshold,
		Phase:     s.phase.String(),
		Height:    s.height,
		Deadline:  s.deadline,
		Members:   make([]MemberStatus, s.terms.N()),
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
		out.Members[i] = MemberStatus{
			Index:         j,
			Name:          s.terms.Members[i].Name,
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
	if e := s.entry(k, member); e != nil {
		switch {
		case e.fault != 0 || s.equivocated(k, member):
			return CellBad
		case slices.Contains(e.verdicts, complaint):
			return CellComplains
		}
		return CellDone
	}
	if k == KindConsent && s.entry(KindRejection, member) != nil {
		return CellRejects
	}
	absent := slices.ContainsFunc(s.faults, func(f Fault) bool {
		return f.Member == member && f.Phase.kind() == k && (f.Kind == FaultAbsent || f.Kind == FaultUnanswered)
	})
	first, _ := k.phases()
	switch {
	case absent:
		return CellAbsent
	case s.phase.kind() == k && s.asks(k, member):
		return CellAwaited
	case !s.Done() && s.phase < first:
		return CellLater
	}
	return CellNotNeeded
}
