package keygen

import "fmt"

// Phase is where a ceremony stands.
//
//	proposed ─> accepted ─> dealing ─> responding ─> justifying ─> certifying ─> storing ─> active
//	    │           │          │            │             │             │           │
//	    │           │          └────────────┴─────────────┴─────────────┴───────────┴─────> failed
//	    │           └──────────┴────────────┴─────────────┴─────────────┴─────────────────> aborted
//	    └─────────────────────────────────────────────────────────────────────────────────> rejected
//
// Justifying is left out when nobody complained. A ceremony to which its members
// consented elsewhere, as those of a genesis do, begins in accepted, or in
// dealing if it starts with its chain.
type Phase uint8

// The phases, as far as they follow each other in their order.
const (
	PhaseProposed   Phase = 1 // waits for the consent of all members
	PhaseRejected   Phase = 2
	PhaseAccepted   Phase = 3 // waits for its start height
	PhaseDealing    Phase = 4
	PhaseResponding Phase = 5 // members complain about shares
	PhaseJustifying Phase = 6 // dealers answer
	PhaseCertifying Phase = 7
	PhaseStoring    Phase = 8 // the certificate is made; who certified reads its share back
	PhaseActive     Phase = 9
	PhaseFailed     Phase = 10
	PhaseAborted    Phase = 11
)

var phaseNames = [...]string{"", "proposed", "rejected", "accepted", "dealing", "responding", "justifying", "certifying", "storing", "active", "failed", "aborted"}

func (p Phase) String() string {
	if p >= 1 && int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// over reports whether nothing can follow.
func (p Phase) over() bool {
	return p == PhaseRejected || p == PhaseActive || p == PhaseFailed || p == PhaseAborted
}

// runs reports whether the phase is one of those in which a ceremony goes on.
func (p Phase) runs() bool { return p >= PhaseProposed && p <= PhaseStoring && !p.over() }

// moves is the whole table of what may be said when: a message of a kind is
// taken in its phases and in no other. The first move of a phase is the one that
// the phase waits for.
var moves = []struct {
	phase Phase
	kind  Kind
	read  func(s *State, member uint32, body []byte) reading
}{
	{PhaseProposed, KindConsent, readVote},
	{PhaseProposed, KindRejection, readVote},
	{PhaseDealing, KindDeal, func(s *State, member uint32, body []byte) (r reading) {
		r.deal, r.fault = readDeal(s.terms, s.ceremony, member, body)
		return r
	}},
	{PhaseResponding, KindResponse, func(s *State, _ uint32, body []byte) (r reading) {
		r.verdicts, r.fault = readResponse(s, body)
		return r
	}},
	{PhaseJustifying, KindJustification, func(s *State, member uint32, body []byte) (r reading) {
		r.answers, r.fault, r.other = readJustification(s, member, body)
		return r
	}},
	{PhaseCertifying, KindCertification, func(s *State, member uint32, body []byte) (r reading) {
		r.certification, r.fault = readCertification(s, member, body)
		return r
	}},
	{PhaseStoring, KindStored, func(s *State, _ uint32, body []byte) (r reading) {
		r.fault = readStored(s, body)
		return r
	}},
	{PhaseAccepted, KindAbort, readVote},
	{PhaseDealing, KindAbort, readVote},
	{PhaseResponding, KindAbort, readVote},
	{PhaseJustifying, KindAbort, readVote},
	{PhaseCertifying, KindAbort, readVote},
}

// readVote reads what has no body: a consent, a rejection, an abort.
func readVote(_ *State, _ uint32, body []byte) (r reading) {
	if len(body) > 0 {
		r.fault = FaultEncoding
	}
	return r
}

// readStored takes the hash of the certificate that the ceremony came to.
func readStored(s *State, body []byte) FaultKind {
	switch {
	case len(body) != 32:
		return FaultEncoding
	case [32]byte(body) != s.certificateHash:
		return FaultCertificate
	}
	return 0
}

// kind is the kind of message that the phase waits for; 0 if it waits for none.
func (p Phase) kind() Kind {
	for _, m := range moves {
		if m.phase == p && m.kind != KindAbort {
			return m.kind
		}
	}
	return 0
}

// phases are the first and the last in which a message of the kind is taken; 0 if there is none.
func (k Kind) phases() (first, last Phase) {
	for _, m := range moves {
		if m.kind == k {
			if first == 0 {
				first = m.phase
			}
			last = m.phase
		}
	}
	return first, last
}
