package keygen

import (
	"encoding/binary"

	"go.dedis.ch/kyber/v3/share"

	"github.com/scrimlabs/scrim/keygen/internal/g1"
)

// verdict is what a response says about one dealer: one byte.
type verdict uint8

const (
	noDeal    verdict = 0 // there is no valid deal to judge
	approval  verdict = 1
	complaint verdict = 2
)

// readResponse takes one byte for each dealer, which speak about exactly the
// valid deals.
func readResponse(s *State, body []byte) ([]verdict, FaultKind) {
	first, count := s.terms.dealers()
	if len(body) != count {
		return nil, FaultEncoding
	}
	out := make([]verdict, len(body))
	for i, b := range body {
		out[i] = verdict(b)
		dealt := s.deal(first+uint32(i)) != nil
		if out[i] > complaint || dealt != (out[i] != noDeal) {
			return nil, FaultEncoding
		}
	}
	return out, 0
}

// answer is a dealer's answer to one complaint: the share in the clear, and
// what it was encrypted with, so that everybody can redo the encryption.
type answer struct {
	member    uint32 // who complained
	share     *g1.Scalar
	ephemeral [32]byte
}

const answerSize = 4 + scalarSize + 32

func appendAnswers(b []byte, answers []answer) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(answers)))
	for _, a := range answers {
		v := a.share.Bytes()
		b = append(binary.BigEndian.AppendUint32(b, a.member), v[:]...)
		b = append(b, a.ephemeral[:]...)
	}
	return b
}

// parseAnswers takes the body of a justification apart.
func parseAnswers(body []byte) (answers []answer, err error) {
	r := newReader(body)
	for range r.count(answerSize) {
		a := answer{member: r.Uint32()}
		v, err := parseScalar(r.Bytes(scalarSize))
		if err != nil {
			return nil, err
		}
		a.share = v
		r.Fill(a.ephemeral[:])
		answers = append(answers, a)
	}
	return answers, r.End()
}

// answers reports whether an answer opens what was dealt: the share must fit the
// commitments and must be what the deal had encrypted.
func (d *deal) answers(ctx sealContext, a answer) bool {
	if !d.poly().Check(&share.PriShare{I: int(a.member) - 1, V: a.share}) {
		return false
	}
	sealed, err := ctx.seal(a.share, a.ephemeral)
	return err == nil && sealed == d.sealed[a.member-1]
}

// readJustification takes answers to exactly the complaints about dealer, in
// the order of members, and checks each. other names the complaint that was
// answered wrongly.
func readJustification(s *State, dealer uint32, body []byte) (answers []answer, fault FaultKind, other uint32) {
	complaints := s.complaints(dealer)
	answers, err := parseAnswers(body)
	if err != nil || len(answers) != len(complaints) {
		return nil, FaultEncoding, 0
	}
	for i, a := range answers {
		if a.member != complaints[i] {
			return nil, FaultEncoding, 0
		}
	}
	d := s.deal(dealer)
	for _, a := range answers {
		if !d.answers(s.sealContext(dealer, a.member), a) {
			return nil, FaultJustification, a.member
		}
	}
	return answers, 0, 0
}
