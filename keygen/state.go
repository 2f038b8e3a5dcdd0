package keygen

import (
	"errors"
	"fmt"
	"slices"
)

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
	ended    Phase  // in which the ceremony ended, 0 while it runs
	height   uint64 // of the last event; stands still once the ceremony is over
	deadline uint64
	entries  [kinds][]*entry // entries[kind-1][speaker-1], nil if there is none
	faults   []Fault

	// What follows is computed from the above.
	outcome         *outcome     // from certifying on
	certificate     *Certificate // from storing on
	certificateHash [32]byte
}

// New begins a ceremony for a chain's first committee, under terms to which the
// members have consented elsewhere. Others are proposed: see BeginSuccession.
func New(t *Terms) (*State, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	if t.Change != ChangeFirst {
		return nil, fmt.Errorf("%w: a %s begins with a proposal", ErrTerms, t.Change)
	}
	s := newState(t)
	if t.StartHeight == 1 { // no height ends before it
		s.enter(PhaseDealing, 0)
	}
	return s, nil
}

// Propose begins a ceremony under terms to which the members have yet to consent,
// each with a message, before the start height.
func Propose(t *Terms) (*State, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	if t.StartHeight < 2 {
		return nil, fmt.Errorf("%w: start height %d leaves no block for the members' consent", ErrTerms, t.StartHeight)
	}
	s := newState(t)
	s.phase = PhaseProposed
	return s, nil
}

func newState(t *Terms) *State {
	own := *t
	own.Members, own.Previous = slices.Clone(t.Members), t.Previous.clone()
	s := &State{terms: &own, ceremony: t.Hash(), phase: PhaseAccepted, deadline: t.StartHeight - 1}
	for k := range s.entries {
		s.entries[k] = make([]*entry, t.Speakers())
	}
	return s
}

// tally counts the valid messages of a kind.
func (s *State) tally(k Kind) int { return len(s.valid(k)) }

// valid lists the speakers whose message of a kind is in and good.
func (s *State) valid(k Kind) (members []uint32) {
	for i, e := range s.entries[k-1] {
		if e != nil && e.fault == 0 {
			members = append(members, uint32(i+1))
		}
	}
	return members
}

// approving lists the previous members that consented and did not reject.
func (s *State) approving() []uint32 {
	return slices.DeleteFunc(s.valid(KindConsent), func(j uint32) bool {
		return s.terms.isNew(j) || s.said(KindRejection, j)
	})
}

// said reports whether a speaker's message of a kind is in and good.
func (s *State) said(k Kind, speaker uint32) bool {
	e := s.entry(k, speaker)
	return e != nil && e.fault == 0
}

// accepted reports whether all new members consent, and enough of the previous ones.
func (s *State) accepted() bool {
	for j := uint32(1); int(j) <= s.terms.N(); j++ {
		if !s.said(KindConsent, j) {
			return false
		}
	}
	return len(s.approving()) >= s.terms.approvalsNeeded()
}

// rejected reports whether a new member rejects, or so many previous ones that too few are left to approve.
func (s *State) rejected() bool {
	byPrevious := 0
	for _, j := range s.valid(KindRejection) {
		if s.terms.isNew(j) {
			return true
		}
		byPrevious++
	}
	return byPrevious > s.terms.handsOver()-s.terms.approvalsNeeded()
}

// aborted reports whether the threshold of the new members, or that of the previous ones, asks to abort.
func (s *State) aborted() bool {
	byNew, byPrevious := 0, 0
	for _, j := range s.Aborting() {
		if s.terms.isNew(j) {
			byNew++
		} else {
			byPrevious++
		}
	}
	return byNew >= s.terms.Threshold || s.terms.Previous != nil && byPrevious >= s.terms.approvalsNeeded()
}

// Aborting lists the speakers that asked to abort the ceremony.
func (s *State) Aborting() []uint32 { return s.valid(KindAbort) }

// Stored lists the members that have read their share back.
func (s *State) Stored() []uint32 { return s.valid(KindStored) }

// Terms are those of the ceremony; do not change them.
func (s *State) Terms() *Terms { return s.terms }

// Ceremony is the hash of the terms.
func (s *State) Ceremony() [32]byte { return s.ceremony }

// Phase is where the ceremony is.
func (s *State) Phase() Phase { return s.phase }

// Done reports whether the ceremony is over: active, failed, aborted or rejected.
func (s *State) Done() bool { return s.phase.over() }

// EndedIn is the phase in which the ceremony ended, 0 while it runs.
func (s *State) EndedIn() Phase { return s.ended }

// reached is the last phase in which the ceremony went on.
func (s *State) reached() Phase {
	if s.Done() {
		return s.ended
	}
	return s.phase
}

// Height is that of the last event.
func (s *State) Height() uint64 { return s.height }

// Deadline is the last height of the phase.
func (s *State) Deadline() uint64 { return s.deadline }

// Blame lists all faults so far, in the order in which they were found. A
// ceremony can have faults and still become active.
func (s *State) Blame() []Fault { return slices.Clone(s.faults) }

// Certificate is nil unless the ceremony is active. Do not change it.
func (s *State) Certificate() *Certificate {
	if s.phase != PhaseActive {
		return nil
	}
	return s.certificate
}

// Qualified lists the dealers whose deals count; nil before certifying.
func (s *State) Qualified() []uint32 {
	if s.outcome == nil {
		return nil
	}
	return slices.Clone(s.outcome.qualified)
}

// Message is the message of a kind that counted for a speaker, nil if there is none.
func (s *State) Message(k Kind, member uint32) *Message {
	if e := s.entry(k, member); e != nil {
		return e.Message
	}
	return nil
}

func (s *State) entry(k Kind, member uint32) *entry {
	if k < 1 || k > kinds || member < 1 || uint64(member) > uint64(s.terms.Speakers()) {
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
	first, _ := s.terms.dealers()
	for i, e := range s.entries[KindResponse-1] {
		if e != nil && e.verdicts != nil && e.verdicts[dealer-first] == complaint {
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
	return sealContext{s.terms, s.ceremony, dealer, receiver, s.deal(dealer).binding}
}

// asks reports whether the ceremony takes a message of the kind from the speaker:
// from whoever has the role for it; answers from dealers with complaints, read-backs
// from who certified.
func (s *State) asks(k Kind, member uint32) bool {
	switch {
	case !s.terms.speaks(k, member):
		return false
	case k == KindJustification:
		return s.deal(member) != nil && len(s.complaints(member)) > 0
	case k == KindStored:
		e := s.entry(KindCertification, member)
		return s.certificate != nil && e != nil && e.certification != nil
	}
	return true
}

// awaits reports whether the phase still wants a message of its kind from the
// speaker. Previous members may approve of a proposal, and are waited for only
// as long as too few do.
func (s *State) awaits(k Kind, speaker uint32) bool {
	if !s.asks(k, speaker) || s.entry(k, speaker) != nil {
		return false
	}
	if k == KindConsent && s.terms.isPrevious(speaker) {
		return s.entry(KindRejection, speaker) == nil && len(s.approving()) < s.terms.approvalsNeeded()
	}
	return true
}

// Waiting lists the speakers from whom the phase still wants a message.
func (s *State) Waiting() (members []uint32) {
	k := s.phase.kind()
	if k == 0 {
		return nil
	}
	for j := uint32(1); int(j) <= s.terms.Speakers(); j++ {
		if s.awaits(k, j) {
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
	ErrUnasked       = errors.New("keygen: the phase has no question to this member")
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
	first, last := m.Kind.phases()
	switch {
	case m.Ceremony != s.ceremony:
		return refuse(ErrOtherCeremony)
	case first == 0:
		return refuse(ErrKind)
	case s.terms.Speaker(m.Member) == nil:
		return refuse(ErrMember)
	case s.Done():
		return refuse(ErrOver)
	case s.phase < first:
		return refuse(ErrEarly)
	case s.phase > last:
		return refuse(ErrLate)
	case !s.asks(m.Kind, m.Member):
		return refuse(ErrUnasked)
	case len(m.Body) > maxBody: // longer ones are proposals only
		return refuse(ErrEncoding)
	}
	digest := m.digest()
	if e := s.entry(m.Kind, m.Member); e != nil && (e.digest == digest || s.equivocated(m.Kind, m.Member)) {
		return refuse(ErrDuplicate)
	}
	return s.terms.verifySigned(s.ceremony, m.Kind, m.Member, digest, m.Signature)
}

func (s *State) equivocated(k Kind, member uint32) bool {
	return slices.ContainsFunc(s.faults, func(f Fault) bool {
		return f.Kind == FaultEquivocation && f.Member == member && f.Message == k
	})
}
