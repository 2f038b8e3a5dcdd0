package keygen

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	domainState = "scrim/ceremony-state/v2"

	stateVersion = 2
)

// MarshalBinary is the whole state:
//
//	1 version | 4 length | terms | 1 phase | 1 phase in which it ended, or 0 | 8 height | 8 deadline
//	| for each kind from deal to stored, for each speaker: 0, or 1 | 4 length | body | 64 signature
//	| 4 number of faults | 115 each, 211 for an equivocation
func (s *State) MarshalBinary() ([]byte, error) {
	return s.append(nil, func(b []byte, e *entry) []byte { return appendBlock(b, e.Body) }), nil
}

// Hash names the state: SHA-256 of "scrim/ceremony-state/v2" and the encoding
// with every "4 length | body" replaced by the body's SHA-256 hash. It is
// cheap also for many members.
func (s *State) Hash() [32]byte {
	return sha256.Sum256(s.append([]byte(domainState), func(b []byte, e *entry) []byte { return append(b, e.digest[:]...) }))
}

func (s *State) append(b []byte, body func([]byte, *entry) []byte) []byte {
	b = appendBlock(append(b, stateVersion), s.terms.append(nil))
	b = append(b, byte(s.phase), byte(s.ended))
	b = binary.BigEndian.AppendUint64(b, s.height)
	b = binary.BigEndian.AppendUint64(b, s.deadline)
	for _, entries := range s.entries {
		for _, e := range entries {
			b = appendBool(b, e != nil)
			if e != nil {
				b = append(body(b, e), e.Signature[:]...)
			}
		}
	}
	return appendFaults(b, s.faults)
}

// ParseState is the inverse of MarshalBinary. Messages are checked again, so
// that a state holds nothing that its members did not sign.
func ParseState(b []byte) (*State, error) {
	r := newReader(b)
	r.Version(stateVersion)
	termsBytes := r.block()
	if !r.OK() {
		return nil, fmt.Errorf("ceremony state: %w", r.Err())
	}
	terms, err := ParseTerms(termsBytes)
	if err != nil {
		return nil, fmt.Errorf("ceremony state: %w", err)
	}
	s := newState(terms)
	s.phase, s.ended, s.height, s.deadline = Phase(r.Byte()), Phase(r.Byte()), r.Uint64(), r.Uint64()
	if s.height > maxHeight || s.deadline > 2*maxHeight {
		r.Fail("height %d, deadline %d", s.height, s.deadline)
	}
	if !s.phase.runs() && !s.phase.over() || s.phase.over() != s.ended.runs() || s.phase.runs() && s.ended != 0 {
		r.Fail("no ceremony is in %s, ended in %s", s.phase, s.ended)
	}
	for k := KindDeal; k <= kinds && r.OK(); k++ {
		if k == KindCertification && s.reached() >= PhaseCertifying {
			s.outcome = s.computeOutcome()
		}
		if k == KindStored {
			r.Keep(s.restoreCertificate())
		}
		s.readEntries(&r, k)
	}
	s.faults = r.faults(terms)
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("ceremony state: %w", err)
	}
	return s, s.checkPhase()
}

// restoreCertificate makes the certificate of a state that came to storing.
func (s *State) restoreCertificate() error {
	if s.reached() < PhaseStoring {
		return nil
	}
	if n := len(s.certifications()); s.outcome == nil || n < s.terms.Threshold {
		return fmt.Errorf("%w: %s with %d certifications", ErrEncoding, s.phase, n)
	}
	return s.makeCertificate()
}

func (s *State) readEntries(r *reader, k Kind) {
	for j := uint32(1); int(j) <= s.terms.Speakers(); j++ {
		if !r.Flag() {
			continue
		}
		m := &Message{Ceremony: s.ceremony, Kind: k, Member: j, Body: bytes.Clone(r.block())}
		r.Fill(m.Signature[:])
		if !r.OK() {
			return
		}
		if !s.mayHold(m) {
			r.Fail("%s by member %d has no place in %s", k, j, s.phase)
			return
		}
		if err := s.terms.verifySigned(s.ceremony, k, j, m.digest(), m.Signature); err != nil {
			r.Keep(err)
			return
		}
		s.entries[k-1][j-1] = s.read(m)
	}
}

// mayHold reports whether the message can have been taken on the way to the phase.
func (s *State) mayHold(m *Message) bool {
	if len(m.Body) > maxBody {
		return false
	}
	if first, _ := m.Kind.phases(); s.reached() < first {
		return false
	}
	return s.asks(m.Kind, m.Member) && (m.Kind != KindCertification || s.outcome != nil)
}

// checkPhase refuses a parsed state whose messages do not lead to its phase.
func (s *State) checkPhase() error {
	wrong := func(what string) error {
		return fmt.Errorf("ceremony state: %w: %s %s", ErrEncoding, s.phase, what)
	}
	t := s.terms.Threshold
	switch {
	case s.phase == PhaseCertifying && s.outcome == nil:
		return wrong("without a qualified set")
	case s.phase == PhaseActive && (s.ended != PhaseStoring || s.tally(KindStored) < t):
		return wrong("without enough stored shares")
	case (s.phase == PhaseAborted) != s.aborted():
		return wrong("although others asked to abort, or too few")
	case s.phase == PhaseRejected && (s.ended != PhaseProposed || s.accepted() && !s.rejected()):
		return wrong("after it was accepted")
	case s.phase != PhaseRejected && s.rejected():
		return wrong("although it was rejected")
	case s.terms.Previous != nil && s.reached() > PhaseProposed && !s.accepted():
		return wrong("without the members' consent")
	}
	return nil
}
