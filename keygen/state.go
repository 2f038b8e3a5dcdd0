package keygen

import (
	"errors"
	"fmt"
	"slices"
)

// Phase is where a ceremony stands.
//
//	proposed ─> accepted ─> dealing ─> responding ─> justifying ─> certifying ─> storing ─> active
//	    └> rejected            └────────────┴─────────────┴────────────┴──> failed, aborted
//
// Justifying is left out when nobody complained. Proposed, rejected, storing
// and aborted are places for the consent, backup and abort messages that are
// not taken yet: today a ceremony begins in accepted, or in dealing if it
// starts with its chain, and goes from certifying to active.
type Phase uint8

const (
	PhaseProposed   Phase = 1
	PhaseRejected   Phase = 2
	PhaseAccepted   Phase = 3 // waits for its start height
	PhaseDealing    Phase = 4
	PhaseResponding Phase = 5 // members complain about shares
	PhaseJustifying Phase = 6 // dealers answer
	PhaseCertifying Phase = 7
	PhaseStoring    Phase = 8
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

// moves is the whole table of what may be said when: a message of a kind is
// taken in its phase and in no other.
//
// Places for what is to come: {PhaseProposed, KindConsent}, {PhaseProposed,
// KindRejection}, {PhaseStoring, KindStored}, KindAbort in every phase that
// is not over, and for a resharing {PhaseDealing, KindReshareDeal}.
var moves = []struct {
	phase Phase
	kind  Kind
	read  func(s *State, member uint32, body []byte) reading
}{
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
}

// reading is what a message's body turned out to be: one of the pointers, or a fault.
type reading struct {
	fault         FaultKind
	other         uint32 // of the fault
	deal          *deal
	verdicts      []verdict
	answers       []answer
	certification *Certification
}

// entry is a message that counted: a member's first one of its kind.
type entry struct {
	*Message
	digest [32]byte
	reading
}

// State is the public part of one ceremony: what everybody who reads the
// ordered log agrees on. It is a value: Step never changes its input, and
// states may share memory. The zero State is of no use; see New and ParseState.
type State struct {
	terms    *Terms
	ceremony [32]byte
	phase    Phase
	height   uint64 // of the last event; stands still once the ceremony is over
	deadline uint64
	entries  [kinds][]*entry // entries[kind-1][member-1], nil if there is none
	faults   []Fault

	// What follows is computed from the above.
	outcome     *outcome     // from certifying on
	certificate *Certificate // when active
}

// New begins a ceremony under the terms.
func New(t *Terms) (*State, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	s := newState(t)
	if t.StartHeight == 1 { // no height ends before it
		s.enter(PhaseDealing, 0)
	}
	return s, nil
}

func newState(t *Terms) *State {
	own := *t
	own.Members = slices.Clone(t.Members)
	s := &State{terms: &own, ceremony: t.Hash(), phase: PhaseAccepted, deadline: t.StartHeight - 1}
	for k := range s.entries {
		s.entries[k] = make([]*entry, t.N())
	}
	return s
}

// Terms are those of the ceremony; do not change them.
func (s *State) Terms() *Terms { return s.terms }

// Ceremony is the hash of the terms.
func (s *State) Ceremony() [32]byte { return s.ceremony }

func (s *State) Phase() Phase { return s.phase }

// Done reports whether the ceremony is over: active or failed.
func (s *State) Done() bool { return s.phase.over() }

// Deadline is the last height of the phase.
func (s *State) Deadline() uint64 { return s.deadline }

// Blame lists all faults so far, in the order in which they were found. A
// ceremony can have faults and still become active.
func (s *State) Blame() []Fault { return slices.Clone(s.faults) }

// Certificate is nil unless the ceremony is active. Do not change it.
func (s *State) Certificate() *Certificate { return s.certificate }

// Qualified lists the members whose deals count; nil before certifying.
func (s *State) Qualified() []uint32 {
	if s.outcome == nil {
		return nil
	}
	return slices.Clone(s.outcome.qualified)
}

// Message is the message of a kind that counted for a member, nil if there is none.
func (s *State) Message(k Kind, member uint32) *Message {
	if e := s.entry(k, member); e != nil {
		return e.Message
	}
	return nil
}

func (s *State) entry(k Kind, member uint32) *entry {
	if k < 1 || k > kinds || member < 1 || int(member) > s.terms.N() {
		return nil
	}
	return s.entries[k-1][member-1]
}

// deal is the dealer's deal if it is valid.
func (s *State) deal(dealer uint32) *deal {
	if e := s.entry(KindDeal, dealer); e != nil {
		return e.deal
	}
	return nil
}

// complaints lists who complained about a dealer, in the order of members.
func (s *State) complaints(dealer uint32) (members []uint32) {
	for i, e := range s.entries[KindResponse-1] {
		if e != nil && e.verdicts != nil && e.verdicts[dealer-1] == complaint {
			members = append(members, uint32(i+1))
		}
	}
	return members
}

// qualifies reports whether a dealer's deal counts, given what is in so far.
func (s *State) qualifies(dealer uint32) bool {
	if s.deal(dealer) == nil {
		return false
	}
	if len(s.complaints(dealer)) == 0 {
		return true
	}
	e := s.entry(KindJustification, dealer)
	return e != nil && e.answers != nil
}

func (s *State) sealContext(dealer, receiver uint32) sealContext {
	return sealContext{s.terms, s.ceremony, dealer, receiver, s.deal(dealer).digest()}
}

// kind is the kind of message that the phase takes; 0 if it takes none.
func (p Phase) kind() Kind {
	for _, m := range moves {
		if m.phase == p {
			return m.kind
		}
	}
	return 0
}

// asked reports whether the phase has a question to the member.
func (s *State) asked(member uint32) bool {
	return s.phase != PhaseJustifying || s.deal(member) != nil && len(s.complaints(member)) > 0
}

// Waiting lists the members from whom the phase still wants a message.
func (s *State) Waiting() (members []uint32) {
	k := s.phase.kind()
	if k == 0 {
		return nil
	}
	for j := uint32(1); int(j) <= s.terms.N(); j++ {
		if s.asked(j) && s.entry(k, j) == nil {
			members = append(members, j)
		}
	}
	return members
}

// Why a message is refused. A refused message changes nothing and nobody is blamed.
var (
	ErrOtherCeremony = errors.New("keygen: message is for another ceremony")
	ErrKind          = errors.New("keygen: no ceremony takes messages of this kind")
	ErrMember        = errors.New("keygen: no such member")
	ErrEarly         = errors.New("keygen: message is for a phase that has not begun; send it again then")
	ErrLate          = errors.New("keygen: message is for a phase that is over")
	ErrOver          = errors.New("keygen: the ceremony is over")
	ErrUnasked       = errors.New("keygen: nobody complained about this dealer")
	ErrDuplicate     = errors.New("keygen: message is known already")
	ErrHeight        = errors.New("keygen: heights may not go back")
)

// Admit says whether Step would take the message now: nil, or an error that
// wraps one of the above or ErrSignature. It is the check for CheckTx and
// ProcessProposal; it does not look into the body, since a signed message with
// a bad body is evidence.
func (s *State) Admit(m *Message) error {
	refuse := func(err error) error {
		return fmt.Errorf("%w (%s by member %d, ceremony %s, phase %s)", err, m.Kind, m.Member, short(m.Ceremony), s.phase)
	}
	phase := Phase(0)
	for _, move := range moves {
		if move.kind == m.Kind {
			phase = move.phase
		}
	}
	switch {
	case m.Ceremony != s.ceremony:
		return refuse(ErrOtherCeremony)
	case phase == 0:
		return refuse(ErrKind)
	case m.Member < 1 || int(m.Member) > s.terms.N():
		return refuse(ErrMember)
	case s.Done():
		return refuse(ErrOver)
	case s.phase < phase:
		return refuse(ErrEarly)
	case s.phase > phase:
		return refuse(ErrLate)
	case !s.asked(m.Member):
		return refuse(ErrUnasked)
	case len(m.Body) > maxBody:
		return refuse(ErrEncoding)
	}
	digest := m.digest()
	if first := s.entry(m.Kind, m.Member); first != nil && (first.digest == digest || s.equivocated(m.Kind, m.Member)) {
		return refuse(ErrDuplicate)
	}
	return s.terms.verifySigned(s.ceremony, m.Kind, m.Member, digest, m.Signature)
}

func (s *State) equivocated(k Kind, member uint32) bool {
	return slices.ContainsFunc(s.faults, func(f Fault) bool {
		return f.Kind == FaultEquivocation && f.Member == member && f.Message == k
	})
}
