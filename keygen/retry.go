package keygen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrRetry says that a message does not begin a new attempt, at the first key or at a succession.
var ErrRetry = errors.New("keygen: not a new attempt")

// maxLead bounds, in blocks, how long a proposal may wait for its start height.
const maxLead = 1 << 16

// Retry gives the terms of the next attempt: the same, with the attempt's number
// and the height at which dealing starts.
func (t *Terms) Retry(start uint64) *Terms {
	next := *t
	next.Members, next.Previous = slices.Clone(t.Members), t.Previous.clone()
	next.Attempt++
	next.StartHeight = start
	return &next
}

// ProposeTerms proposes terms through the log: those of another attempt at the
// first key, or those of the next committee. It is signed in the member's first
// role. It is not a consent: the member that proposes consents too, see Votes.
func ProposeTerms(secret *MemberSecret, t *Terms) (*Message, error) {
	body, err := t.MarshalBinary()
	if err != nil {
		return nil, err
	}
	roles, err := t.Roles(secret)
	if err != nil {
		return nil, err
	}
	return newMessage(secret.Identity(), t, t.Hash(), KindProposal, roles[0], body), nil
}

// ProposeRetry proposes another attempt at a ceremony that came to nothing, with
// dealing from the start height on.
func (p *Participant) ProposeRetry(start uint64) (*Message, error) {
	return ProposeTerms(p.secret, p.terms.Retry(start))
}

// BeginRetry begins the ceremony that a member proposes at a height, after one for the
// chain's first key has failed or was aborted or rejected. The terms must be those of the one
// before, with the next attempt and perhaps other phases, and start after the
// next height. Errors wrap ErrRetry, ErrTerms or ErrSignature.
func BeginRetry(before *State, height uint64, m *Message) (*State, error) {
	refuse := func(format string, args ...any) (*State, error) {
		return nil, fmt.Errorf("%w: %s", ErrRetry, fmt.Sprintf(format, args...))
	}
	switch {
	case m.Kind != KindProposal:
		return refuse("a %s does not propose one", m.Kind)
	case before.terms.Change != ChangeFirst:
		return refuse("the one before was a %s of a committee in office", before.terms.Change)
	case !before.Done():
		return refuse("attempt %d is %s", before.terms.Attempt, before.phase)
	case before.phase == PhaseActive:
		return refuse("attempt %d has succeeded", before.terms.Attempt)
	case height < before.height:
		return nil, fmt.Errorf("%w: from %d to %d", ErrHeight, before.height, height)
	}
	// The members are the same, and a signature is cheaper to check than terms.
	if err := before.terms.verifySigned(m.Ceremony, KindProposal, m.Member, m.digest(), m.Signature); err != nil {
		return nil, err
	}
	t, _, err := unpackTerms(m.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRetry, err)
	}
	want := before.terms.Retry(t.StartHeight)
	want.Phases = t.Phases
	switch {
	case hashTerms(m.Body) != m.Ceremony:
		return refuse("the terms are not those that the message names")
	case want.Hash() != m.Ceremony:
		return refuse("only the attempt, the phases and the start height may differ from attempt %d, and the attempt must be the next", before.terms.Attempt)
	case t.StartHeight < height+2 || t.StartHeight > height+maxLead:
		return refuse("start height %d leaves no block for consent, or too many; it is height %d", t.StartHeight, height)
	}
	return proposeAt(want, height)
}

func proposeAt(t *Terms, height uint64) (*State, error) {
	s, err := Propose(t)
	if err != nil {
		return nil, err
	}
	s.height = height
	return s, nil
}

// BeginSuccession begins the ceremony that a member of the committee in office
// proposes at a height, to hand its key over or to have another one made. office is
// that committee's certificate, and attempt the number that the proposal must have:
// 1, and one more for each attempt at this epoch that came to nothing. Errors wrap
// ErrRetry, ErrTerms or ErrSignature.
//
// A member that only joins cannot propose: else anybody could, under a name made up
// for it, and keep the others from proposing.
func BeginSuccession(office *Certificate, attempt uint32, height uint64, m *Message) (*State, error) {
	refuse := func(format string, args ...any) (*State, error) {
		return nil, fmt.Errorf("%w: %s", ErrRetry, fmt.Sprintf(format, args...))
	}
	if m.Kind != KindProposal {
		return refuse("a %s does not propose one", m.Kind)
	}
	t, committee, err := unpackTerms(m.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRetry, err)
	}
	// The bytes may be anybody's: what is cheap is checked first, and the keys of
	// the previous committee are compared, not parsed.
	by := t.Speaker(m.Member)
	if by == nil || !slices.ContainsFunc(office.Terms.Members, func(o Member) bool { return bytes.Equal(o.Identity, by.Identity) }) {
		return refuse("only members of the committee in office propose, and speaker %d is not one", m.Member)
	}
	digest := m.digest()
	if err := (&Terms{ChainID: office.Terms.ChainID, Members: t.Members, Previous: t.Previous}).verifySigned(m.Ceremony, KindProposal, m.Member, digest, m.Signature); err != nil {
		return nil, err
	}
	switch {
	case hashTerms(m.Body) != m.Ceremony:
		return refuse("the terms are not those that the message names")
	case t.ChainID != office.Terms.ChainID || t.Epoch != office.Terms.Epoch+1:
		return refuse("it is for epoch %d of chain %q; the next is epoch %d of chain %q", t.Epoch, t.ChainID, office.Terms.Epoch+1, office.Terms.ChainID)
	case t.Attempt != attempt:
		return refuse("it is attempt %d; the next is %d", t.Attempt, attempt)
	case t.StartHeight < height+2 || t.StartHeight > height+maxLead:
		return refuse("start height %d leaves no block for consent, or too many; it is height %d", t.StartHeight, height)
	}
	previous, err := PreviousOf(office)
	if err != nil {
		return nil, err
	}
	if !previous.is(t.Previous, committee) {
		return refuse("the committee that is to hand over is not the one in office")
	}
	t.Previous = previous
	return proposeAt(t, height)
}

// Record is what is kept of a ceremony that came to nothing: how it ended, and who
// is to blame.
type Record struct {
	Terms    *Terms
	Outcome  Phase    // failed, aborted or rejected
	EndedIn  Phase    // the phase before
	Height   uint64   // at which it ended
	Aborting []uint32 // who asked to abort, ascending
	Blame    []Fault
}

// Record gives the record of a ceremony that is over without a committee; else nil.
func (s *State) Record() *Record {
	if !s.Done() || s.phase == PhaseActive {
		return nil
	}
	return &Record{Terms: s.terms, Outcome: s.phase, EndedIn: s.ended, Height: s.height, Aborting: s.Aborting(), Blame: s.Blame()}
}

// Evidence lists the proofs that the faults carry by themselves: those of
// equivocations. Others need messages, which a record does not keep.
func (r *Record) Evidence() (out []Evidence) {
	ceremony := r.Terms.Hash()
	for _, f := range r.Blame {
		if e := (Evidence{ceremony, f.Kind, f.Member, f.twoMessages()}); e.Statements != nil {
			out = append(out, e)
		}
	}
	return out
}

// MarshalBinary is:
//
//	1 version | 4 length | terms | 1 outcome | 1 phase before | 8 height | 2 number of members that asked to abort | 4 each
//	| 4 number of faults | each, as in a state
func (r *Record) MarshalBinary() ([]byte, error) {
	terms, err := r.Terms.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b := appendBlock([]byte{wireVersion}, terms)
	b = append(b, byte(r.Outcome), byte(r.EndedIn))
	b = binary.BigEndian.AppendUint64(b, r.Height)
	b = appendMembers(b, r.Aborting)
	return appendFaults(b, r.Blame), nil
}

// ParseRecord is the inverse of MarshalBinary. It checks the signatures of the faults.
func ParseRecord(b []byte) (*Record, error) {
	r := newReader(b)
	r.Version(wireVersion)
	termsBytes := r.block()
	if !r.OK() {
		return nil, fmt.Errorf("ceremony record: %w", r.Err())
	}
	terms, err := ParseTerms(termsBytes)
	if err != nil {
		return nil, fmt.Errorf("ceremony record: %w", err)
	}
	out := &Record{Terms: terms, Outcome: Phase(r.Byte()), EndedIn: Phase(r.Byte()), Height: r.Uint64()}
	if !out.Outcome.over() || out.Outcome == PhaseActive || !out.EndedIn.runs() {
		r.Fail("%s in %s", out.Outcome, out.EndedIn)
	}
	for range r.count(4) {
		out.Aborting = append(out.Aborting, r.Uint32())
	}
	r.Keep(ascending(out.Aborting, 1, terms.Speakers(), 0))
	out.Blame = r.faults(terms)
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("ceremony record: %w", err)
	}
	return out, nil
}
