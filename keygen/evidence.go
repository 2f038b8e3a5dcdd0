package keygen

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/threshold"
)

// Evidence proves a member's fault to whoever has the terms, and nothing else:
// it holds all that the member signed and that shows the fault. Not every fault
// has such a proof. Two different messages, a malformed message, a bad deal and a
// wrong answer do; a complaint that was false, another transcript, key or
// certificate are facts of the log, and an absence is one of the complete log.
type Evidence struct {
	Ceremony   [32]byte
	Fault      FaultKind
	Member     uint32
	Statements []Statement
}

// Statement is a message that was signed. The body may be left out where its
// hash is enough.
type Statement struct {
	Kind      Kind
	Body      []byte   // nil: left out
	Digest    [32]byte // SHA-256 of the body
	Signature [64]byte
}

const (
	maxStatements    = 2
	minStatementSize = 1 + 64 + 1 + 4
)

func said(k Kind, digest [32]byte, signature [64]byte) Statement {
	return Statement{Kind: k, Digest: digest, Signature: signature}
}

func (e *entry) statement() Statement {
	return Statement{e.Kind, append([]byte{}, e.Body...), e.digest, e.Signature}
}

// Evidence lists the proofs there are of the faults so far, in their order.
func (s *State) Evidence() (out []Evidence) {
	for _, f := range s.faults {
		e := Evidence{Ceremony: s.ceremony, Fault: f.Kind, Member: f.Member, Statements: s.statements(f)}
		if len(e.Statements) > 0 && e.Verify(s.terms) == nil {
			out = append(out, e)
		}
	}
	return out
}

// twoMessages are those of an equivocation.
func (f Fault) twoMessages() []Statement {
	if f.Kind != FaultEquivocation {
		return nil
	}
	return []Statement{said(f.Message, f.FirstDigest, f.FirstSignature), said(f.Message, f.Digest, f.Signature)}
}

// statements gathers what could prove a fault.
func (s *State) statements(f Fault) []Statement {
	if two := f.twoMessages(); two != nil {
		return two
	}
	e := s.entry(f.Message, f.Member)
	if e == nil {
		return nil
	}
	switch f.Kind {
	case FaultEncoding, FaultCommitments, FaultShareCount, FaultPossession, FaultReshare:
		return []Statement{e.statement()}
	case FaultJustification:
		return []Statement{s.entry(KindDeal, f.Member).statement(), e.statement()}
	}
	return nil
}

// Verify checks the proof. Errors wrap ErrEvidence or ErrSignature.
func (e Evidence) Verify(t *Terms) error {
	if e.Ceremony != t.Hash() {
		return fmt.Errorf("%w: it is about another ceremony", ErrEvidence)
	}
	for _, st := range e.Statements {
		if st.Body != nil && st.Digest != sha256.Sum256(st.Body) {
			return fmt.Errorf("%w: a body has another digest", ErrEvidence)
		}
		if err := t.verifySigned(e.Ceremony, st.Kind, e.Member, st.Digest, st.Signature); err != nil {
			return err
		}
	}
	if !e.shows(t) {
		return fmt.Errorf("%w: it does not show that %s %s", ErrEvidence, t.name(e.Member), e.Fault)
	}
	return nil
}

// shows reports whether the statements, which were signed, amount to the fault.
func (e Evidence) shows(t *Terms) bool {
	st := e.Statements
	unasked := func(st Statement) bool { return !t.speaks(st.Kind, e.Member) }
	switch {
	case slices.ContainsFunc(st, unasked):
		return false
	case e.Fault == FaultEquivocation:
		return len(st) == 2 && st[0].Kind == st[1].Kind && st[0].Digest != st[1].Digest && st[0].Body == nil && st[1].Body == nil
	case e.Fault == FaultJustification:
		return len(st) == 2 && st[0].Kind == KindDeal && st[1].Kind == KindJustification && st[0].Body != nil && st[1].Body != nil &&
			wrongAnswer(t, e.Ceremony, e.Member, st[0].Body, st[1].Body)
	case len(st) != 1 || st[0].Body == nil:
		return false
	case st[0].Kind == KindDeal:
		_, fault := readDeal(t, e.Ceremony, e.Member, st[0].Body)
		return fault != 0 && fault == e.Fault
	default:
		return e.Fault == FaultEncoding && malformed(t, st[0].Kind, st[0].Body)
	}
}

// malformed reports whether no log makes the body a right one of its kind.
func malformed(t *Terms, k Kind, body []byte) bool {
	switch k {
	case KindResponse:
		_, dealers := t.dealers()
		return len(body) != dealers || bytes.ContainsFunc(body, func(r rune) bool { return r > rune(complaint) })
	case KindJustification:
		_, err := parseAnswers(body)
		return err != nil
	case KindCertification:
		if len(body) != certificationBody {
			return true
		}
		_, err := threshold.ParseMemberKey(body[32 : 32+keySize])
		return err != nil
	case KindConsent, KindRejection, KindAbort:
		return len(body) > 0
	case KindStored:
		return len(body) != 32
	}
	return false
}

// wrongAnswer reports whether a dealer's answer does not open what it dealt.
func wrongAnswer(t *Terms, ceremony [32]byte, dealer uint32, dealBody, body []byte) bool {
	d, fault := readDeal(t, ceremony, dealer, dealBody)
	answers, err := parseAnswers(body)
	if fault != 0 || err != nil {
		return false
	}
	for _, a := range answers {
		if a.member >= 1 && int(a.member) <= t.N() && !d.answers(sealContext{t, ceremony, dealer, a.member, d.binding}, a) {
			return true
		}
	}
	return false
}

// MarshalBinary is:
//
//	1 version | 32 ceremony | 1 fault | 4 member | 1 number of statements
//	| each: 1 kind | 64 signature | 0 | 32 SHA-256(body), or 1 | 4 length | body
func (e Evidence) MarshalBinary() ([]byte, error) {
	if len(e.Statements) > maxStatements {
		return nil, fmt.Errorf("evidence: %w: %d statements", ErrEncoding, len(e.Statements))
	}
	return e.append(nil), nil
}

func (e Evidence) append(b []byte) []byte {
	b = append(append(b, wireVersion), e.Ceremony[:]...)
	b = binary.BigEndian.AppendUint32(append(b, byte(e.Fault)), e.Member)
	b = append(b, byte(len(e.Statements)))
	for _, st := range e.Statements {
		b = append(append(b, byte(st.Kind)), st.Signature[:]...)
		b = appendBool(b, st.Body != nil)
		if st.Body != nil {
			b = appendBlock(b, st.Body)
		} else {
			b = append(b, st.Digest[:]...)
		}
	}
	return b
}

// ParseEvidence is the inverse of MarshalBinary. It checks the form only: call Verify.
func ParseEvidence(b []byte) (*Evidence, error) {
	r := newReader(b)
	r.Version(wireVersion)
	var e Evidence
	r.Fill(e.Ceremony[:])
	e.Fault, e.Member = FaultKind(r.Byte()), r.Uint32()
	n := int(r.Byte())
	if n > maxStatements {
		r.Fail("%d statements", n)
	}
	for range n {
		if !r.OK() {
			break
		}
		e.Statements = append(e.Statements, r.statement())
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return &e, nil
}

func (r *reader) statement() (st Statement) {
	st.Kind = Kind(r.Byte())
	r.Fill(st.Signature[:])
	if !r.Flag() {
		r.Fill(st.Digest[:])
		return st
	}
	st.Body = append([]byte{}, r.block()...)
	if len(st.Body) > maxBody {
		r.Fail("a body of %d bytes", len(st.Body))
	}
	st.Digest = sha256.Sum256(st.Body)
	return st
}
