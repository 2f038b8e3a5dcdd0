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

// Effect is something for the caller to do: Activated or Failed. It comes
// exactly once, with the event that ended the ceremony.
type Effect interface{ effect() }

// Activated says that there is a committee.
type Activated struct{ Certificate *Certificate }

// Failed says that there will be none from this ceremony, and why. A retry
// needs terms with the next attempt.
type Failed struct{ Blame []Fault }

func (Activated) effect() {}
func (Failed) effect()    {}

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
	if s.entry(m.Kind, m.Member) != nil {
		fault.Kind = FaultEquivocation
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
// in, or its last height has ended.
func (s *State) advance(ended bool) {
	for !s.Done() {
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
	case PhaseAccepted:
		s.enter(PhaseDealing, s.deadline)
	case PhaseDealing:
		s.enterIf(s.countQualified() >= s.terms.Threshold, PhaseResponding)
	case PhaseResponding:
		s.enter(PhaseJustifying, s.height) // left at once if nobody is asked
	case PhaseJustifying:
		s.enterIf(s.settle(), PhaseCertifying)
	case PhaseCertifying:
		s.enterIf(s.activate(), PhaseActive)
	}
}

// enter begins a phase after the height at which the one before ended.
func (s *State) enter(p Phase, after uint64) {
	t := s.terms.Phases
	blocks := map[Phase]uint64{PhaseDealing: t.Deal, PhaseResponding: t.Respond, PhaseJustifying: t.Justify, PhaseCertifying: t.Certify}
	s.phase = p
	s.deadline = after + blocks[p]
}

func (s *State) enterIf(ok bool, p Phase) {
	if !ok {
		p = PhaseFailed
	}
	s.enter(p, s.height)
}

func (s *State) countQualified() (n int) {
	for j := uint32(1); int(j) <= s.terms.N(); j++ {
		if s.qualifies(j) {
			n++
		}
	}
	return n
}

// settle fixes who is qualified, the public polynomial and the transcript.
func (s *State) settle() bool {
	s.outcome = s.computeOutcome()
	if s.outcome == nil && s.countQualified() >= s.terms.Threshold {
		s.blame(Fault{Kind: FaultZeroKey})
	}
	return s.outcome != nil
}

// computeOutcome gives nil if too few are qualified or their keys cancel out.
func (s *State) computeOutcome() *outcome {
	if s.countQualified() < s.terms.Threshold {
		return nil
	}
	if o := newOutcome(s); !o.commits[0].IsInfinity() {
		return o
	}
	return nil
}

// activate makes the committee out of the valid certifications.
func (s *State) activate() bool {
	valid := s.certifications()
	if len(valid) < s.terms.Threshold {
		return false
	}
	c, err := newCertificate(s, valid)
	if err != nil { // a member's key is infinity, and it could not have certified
		s.blame(Fault{Kind: FaultZeroKey})
		return false
	}
	s.certificate = c
	return true
}
