package keygen

import (
	"fmt"
	"slices"
)

// Event is what the ordered log brings: a message in the block at a height, or
// the end of that block.
type Event struct {
	Height  uint64
	Message *Message // nil: the height has ended
}

// Effect is something for the caller to do: Activated, Failed, Aborted or Rejected.
// It comes exactly once, with the event that ended the ceremony.
type Effect interface{ effect() }

// Activated says that there is a committee.
type Activated struct{ Certificate *Certificate }

// Failed says that there will be none from this ceremony, and why. A retry
// needs terms with the next attempt.
type Failed struct{ Blame []Fault }

// Aborted says that the members ended the ceremony, and which of them.
type Aborted struct{ By []uint32 }

// Rejected says that proposed terms did not find the consent of all members.
type Rejected struct{ Blame []Fault }

func (Activated) effect() {}
func (Failed) effect()    {}
func (Aborted) effect()   {}
func (Rejected) effect()  {}

// Step folds one event into s. It reads no clock, randomness or store, and s
// stays as it was. An error says that the event was not a valid one; then next
// is s. What members do wrong is not an error but a Fault in the next state.
//
// The height of the last event is part of the state until the ceremony is
// over: as long as it runs, every block changes the state's hash.
func Step(s *State, ev Event) (next *State, effects []Effect, err error) {
	if ev.Height < s.height || ev.Height > maxHeight {
		return s, nil, fmt.Errorf("%w: from %d to %d", ErrHeight, s.height, ev.Height)
	}
	if s.Done() && ev.Message == nil {
		return s, nil, nil
	}
	next = s.clone()
	next.height = ev.Height
	if next.phase == PhaseAccepted && ev.Height >= s.terms.StartHeight {
		next.enter(PhaseDealing, s.deadline)
	}
	if ev.Message != nil {
		if err := next.Admit(ev.Message); err != nil {
			return s, nil, err
		}
		next.take(ev.Message)
	}
	next.advance(ev.Message == nil)
	switch next.phase {
	case PhaseActive:
		effects = append(effects, Activated{next.certificate})
	case PhaseFailed:
		effects = append(effects, Failed{next.Blame()})
	case PhaseAborted:
		effects = append(effects, Aborted{next.Aborting()})
	case PhaseRejected:
		effects = append(effects, Rejected{next.Blame()})
	}
	return next, effects, nil
}

// clone is deep enough for take and blame, which write entries and append faults.
func (s *State) clone() *State {
	c := *s
	for k := range c.entries {
		c.entries[k] = slices.Clone(s.entries[k])
	}
	c.faults = slices.Clone(s.faults)
	return &c
}

func (s *State) blame(f Fault) {
	f.Phase, f.Height = s.phase, s.height
	s.faults = append(s.faults, f)
}

// take puts an admitted message into the state. The first one of a kind
// counts; a second one is evidence.
func (s *State) take(m *Message) {
	fault := Fault{Member: m.Member, Message: m.Kind, Digest: m.digest(), Signature: m.Signature}
	if first := s.entry(m.Kind, m.Member); first != nil {
		fault.Kind, fault.FirstDigest, fault.FirstSignature = FaultEquivocation, first.digest, first.Signature
		s.blame(fault)
		return
	}
	e := s.read(m)
	s.entries[m.Kind-1][m.Member-1] = e
	if e.fault != 0 {
		fault.Kind, fault.Other = e.fault, e.other
		s.blame(fault)
	}
	// An answer that holds shows that the complaint did not.
	for _, a := range e.answers {
		c := s.entry(KindResponse, a.member)
		s.blame(Fault{Member: a.member, Kind: FaultComplaint, Other: m.Member,
			Message: KindResponse, Digest: c.digest, Signature: c.Signature})
	}
}

// read looks into a message's body.
func (s *State) read(m *Message) *entry {
	own := *m
	own.Body = slices.Clone(m.Body)
	e := &entry{Message: &own, digest: m.digest()}
	for _, move := range moves {
		if move.kind == m.Kind {
			e.reading = move.read(s, m.Member, own.Body)
		}
	}
	return e
}

// advance ends every phase that has nothing left to wait for: all messages are
// in, or its last height has ended. Enough aborts or rejections end the ceremony
// at once.
func (s *State) advance(ended bool) {
	for !s.Done() {
		if s.aborted() {
			s.enter(PhaseAborted, s.height)
			return
		}
		if s.rejected() {
			s.enter(PhaseRejected, s.height)
			return
		}
		due := ended && s.height >= s.deadline
		if !due && (s.phase == PhaseAccepted || len(s.Waiting()) > 0) {
			return
		}
		s.leave()
	}
}

// leave blames the absent and goes to the next phase.
func (s *State) leave() {
	for _, j := range s.Waiting() {
		f := Fault{Member: j, Kind: FaultAbsent}
		if s.phase == PhaseJustifying {
			f.Kind, f.Other = FaultUnanswered, s.complaints(j)[0]
		}
		s.blame(f)
	}
	switch s.phase {
	case PhaseProposed:
		s.enterOr(s.accepted(), PhaseAccepted, PhaseRejected)
	case PhaseAccepted:
		s.enter(PhaseDealing, s.deadline)
	case PhaseDealing:
		s.enterOr(len(s.qualifying()) >= s.terms.dealsNeeded(), PhaseResponding, PhaseFailed)
	case PhaseResponding:
		s.enter(PhaseJustifying, s.height) // left at once if nobody is asked
	case PhaseJustifying:
		s.enterOr(s.settle(), PhaseCertifying, PhaseFailed)
	case PhaseCertifying:
		s.enterOr(s.certify(), PhaseStoring, PhaseFailed)
	case PhaseStoring:
		s.enterOr(s.tally(KindStored) >= s.terms.Threshold, PhaseActive, PhaseFailed)
	}
}

// enter begins a phase after the height at which the one before ended.
func (s *State) enter(p Phase, after uint64) {
	if p.over() {
		s.ended = s.phase
	}
	s.phase, s.deadline = p, after
	t := s.terms.Phases
	switch p {
	case PhaseAccepted:
		s.deadline = s.terms.StartHeight - 1
	case PhaseDealing:
		s.deadline += t.Deal
	case PhaseResponding:
		s.deadline += t.Respond
	case PhaseJustifying:
		s.deadline += t.Justify
	case PhaseCertifying:
		s.deadline += t.Certify
	case PhaseStoring:
		s.deadline += t.Store
	}
}

func (s *State) enterOr(ok bool, p, otherwise Phase) {
	if !ok {
		p = otherwise
	}
	s.enter(p, s.height)
}

// qualifying lists the dealers that qualify, given what is in so far.
func (s *State) qualifying() (dealers []uint32) {
	first, count := s.terms.dealers()
	for i := range count {
		if j := first + uint32(i); s.qualifies(j) {
			dealers = append(dealers, j)
		}
	}
	return dealers
}

// settle fixes who is qualified, the public polynomial and the transcript.
func (s *State) settle() bool {
	s.outcome = s.computeOutcome()
	if s.outcome == nil && len(s.qualifying()) >= s.terms.dealsNeeded() {
		s.blame(Fault{Kind: FaultZeroKey})
	}
	return s.outcome != nil
}

// computeOutcome gives nil if too few are qualified or their keys cancel out.
func (s *State) computeOutcome() *outcome {
	qualified := s.qualifying()
	if len(qualified) < s.terms.dealsNeeded() {
		return nil
	}
	o := newOutcome(s, qualified)
	if o.commits[0].IsInfinity() || s.terms.Change == ChangeReshare && !o.hasKey(s.terms.Previous.Committee.Key) {
		return nil
	}
	return o
}

// certify makes the certificate out of the valid certifications.
func (s *State) certify() bool {
	if len(s.certifications()) < s.terms.Threshold {
		return false
	}
	if err := s.makeCertificate(); err != nil { // a member's key is infinity, and it could not have certified
		s.blame(Fault{Kind: FaultZeroKey})
		return false
	}
	return true
}

func (s *State) makeCertificate() (err error) {
	if s.certificate, err = newCertificate(s, s.certifications()); err != nil {
		return err
	}
	s.certificateHash, err = s.certificate.Hash()
	return err
}
