package keygen

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

const domainMessage = "scrim/ceremony-message/v1"

// Kind says what a ceremony message is. The table of moves (moves.go) says in
// which phases it is taken.
type Kind uint8

// The kinds of message.
const (
	KindDeal          Kind = 1
	KindResponse      Kind = 2
	KindJustification Kind = 3
	KindCertification Kind = 4
	KindConsent       Kind = 5 // accepts the proposed terms
	KindRejection     Kind = 6 // refuses the proposed terms
	KindAbort         Kind = 7 // asks to end the ceremony without a key
	KindStored        Kind = 8 // has read its share back from where it is stored

	// KindProposal proposes terms: it begins a ceremony, see BeginRetry and BeginSuccession.
	KindProposal Kind = 10
)

const kinds = 8 // that a state holds: KindDeal to KindStored

var kindNames = map[Kind]string{
	KindDeal: "deal", KindResponse: "response", KindJustification: "justification", KindCertification: "certification",
	KindConsent: "consent", KindRejection: "rejection", KindAbort: "abort", KindStored: "stored", KindProposal: "proposal",
}

func (k Kind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("kind %d", k)
}

const (
	// MaxMessageSize bounds an encoded message in bytes; the largest is a proposal
	// in which 256 members hand over to 256 others.
	MaxMessageSize = 112 << 10
	// maxInCeremony bounds every other kind; the largest is a deal among 256 members.
	maxInCeremony = 36 << 10

	messageHeader = 1 + 32 + 1 + 4 + 4
	maxProposal   = MaxMessageSize - messageHeader - ed25519.SignatureSize
	maxBody       = maxInCeremony - messageHeader - ed25519.SignatureSize
)

// maxBody bounds the body of a kind in bytes.
func (k Kind) maxBody() int {
	if k == KindProposal {
		return maxProposal
	}
	return maxBody
}

// ErrSignature says that a signature is not its member's.
var ErrSignature = errors.New("keygen: signature does not verify")

// Message is what a member says in a ceremony. It goes through the ordered
// log. What the body holds depends on the kind: docs/spec/keygen.md.
type Message struct {
	Ceremony  [32]byte // hash of the terms, which cover chain, epoch and attempt
	Kind      Kind
	Member    uint32 // who speaks: see Terms.Speakers
	Body      []byte
	Signature [64]byte // by the member's identity, over signedBytes
}

// MarshalBinary is:
//
//	1 version | 32 ceremony | 1 kind | 4 member | 4 length | body | 64 signature
func (m *Message) MarshalBinary() ([]byte, error) {
	if most := m.Kind.maxBody(); len(m.Body) > most {
		return nil, fmt.Errorf("keygen: a %s with a body of %d bytes; at most %d", m.Kind, len(m.Body), most)
	}
	b := make([]byte, 0, messageHeader+len(m.Body)+len(m.Signature))
	b = append(append(b, wireVersion), m.Ceremony[:]...)
	b = binary.BigEndian.AppendUint32(append(b, byte(m.Kind)), m.Member)
	return append(appendBlock(b, m.Body), m.Signature[:]...), nil
}

// ParseMessage is the inverse of MarshalBinary. It does not look into the
// body, nor at the signature: State.Admit does.
func ParseMessage(b []byte) (*Message, error) {
	if len(b) > MaxMessageSize {
		return nil, fmt.Errorf("message: %w: %d bytes, at most %d", ErrEncoding, len(b), MaxMessageSize)
	}
	r := newReader(b)
	var m Message
	r.Version(wireVersion)
	r.Fill(m.Ceremony[:])
	m.Kind, m.Member = Kind(r.Byte()), r.Uint32()
	m.Body = append([]byte(nil), r.block()...)
	r.Fill(m.Signature[:])
	if len(m.Body) > m.Kind.maxBody() {
		r.Fail("a %s with a body of %d bytes", m.Kind, len(m.Body))
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	return &m, nil
}

func (m *Message) digest() [32]byte { return sha256.Sum256(m.Body) }

// signedBytes is what an identity signs. It holds the body's hash instead of
// the body, so that a hash and a signature alone prove what a member has said:
//
//	domain | 1 length | chain id | 32 ceremony | 1 kind | 4 member | 32 SHA-256(body)
func signedBytes(chainID string, ceremony [32]byte, k Kind, member uint32, digest [32]byte) []byte {
	b := appendText([]byte(domainMessage), chainID)
	b = append(append(b, ceremony[:]...), byte(k))
	b = binary.BigEndian.AppendUint32(b, member)
	return append(b, digest[:]...)
}

// verifySigned checks that a speaker said something whose body has the digest.
func (t *Terms) verifySigned(ceremony [32]byte, k Kind, member uint32, digest [32]byte, sig [64]byte) error {
	m := t.Speaker(member)
	if m == nil {
		return fmt.Errorf("%w: there is no member %d", ErrSignature, member)
	}
	if len(m.Identity) != ed25519.PublicKeySize || !ed25519.Verify(m.Identity, signedBytes(t.ChainID, ceremony, k, member, digest), sig[:]) {
		return fmt.Errorf("%w: %s by %s", ErrSignature, k, t.name(member))
	}
	return nil
}

// newMessage signs a body.
func newMessage(key ed25519.PrivateKey, t *Terms, ceremony [32]byte, k Kind, member uint32, body []byte) *Message {
	m := &Message{Ceremony: ceremony, Kind: k, Member: member, Body: body}
	copy(m.Signature[:], ed25519.Sign(key, signedBytes(t.ChainID, ceremony, k, member, m.digest())))
	return m
}
