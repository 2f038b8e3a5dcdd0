package keygen

import (
	"encoding/binary"

	"go.dedis.ch/kyber/v3/share"

	"github.com/scrimlabs/scrim/keygen/internal/g1"
)

// verdict is what a response says about one dealer: one byte for each member.
type verdict uint8

const (
	noDeal    verdict = 0 // there is no valid deal to judge
	approval  verdict = 1
	complaint verdict = 2
)

// readResponse takes n bytes, one for each dealer, that speak about exactly
// the valid deals.
func readResponse(s *State, body []byte) ([]verdict, FaultKind) {
	if len(body) != s.terms.N() {
		return nil, FaultEncoding
	}
	out := make([]verdict, len(body))
	for i, b := range body {
		out[i] = verdict(b)
		dealt := s.deal(uint32(i+1)) != nil
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

// readJustification takes answers to exactly the complaints about dealer, in
// the order of members, and checks each: the share must fit the commitments
// and must be what the deal had encrypted. other names the complaint that was
// answered wrongly.
func readJustification(s *State, dealer uint32, body []byte) (answers []answer, fault FaultKind, other uint32) {
	complaints := s.complaints(dealer)
	r := reader{b: body}
	if n := r.count(answerSize); n != len(complaints) {
		return nil, FaultEncoding, 0
	}
	for _, member := range complaints {
		a := answer{member: r.u32()}
		v, err := parseScalar(r.bytes(scalarSize))
		r.fill(a.ephemeral[:])
		if err != nil || a.member != member {
			return nil, FaultEncoding, 0
		}
		a.share = v
		answers = append(answers, a)
	}
	if r.end() != nil {
		return nil, FaultEncoding, 0
	}
	d := s.deal(dealer)
	poly := d.poly()
	for _, a := range answers {
		if !poly.Check(&share.PriShare{I: int(a.member) - 1, V: a.share}) {
			return nil, FaultJustification, a.member
		}
		sealed, err := s.sealContext(dealer, a.member).seal(a.share, a.ephemeral)
		if err != nil || sealed != d.sealed[a.member-1] {
			return nil, FaultJustification, a.member
		}
	}
	return answers, 0, 0
}
