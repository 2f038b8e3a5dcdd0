package threshold

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"

	circl "github.com/cloudflare/circl/ecc/bls12381"
)

// SecretShare is member j's long-lived secret s_j. It has no text, JSON or binary form, and fmt and slog print a
// placeholder. All arithmetic with it is constant time. It may be used by several goroutines, but not while Wipe runs.
type SecretShare struct {
	member uint32
	secret func() *[ScalarSize]byte // behind a function, which fmt and reflection cannot look into
}

// NewSecretShare copies the scalar, which is big-endian and neither zero nor as large as the group's order; the caller
// wipes its own copy. Errors are [ErrEncoding] and, for a member number outside 1..256, [ErrShare].
func NewSecretShare(member uint32, scalar *[ScalarSize]byte) (*SecretShare, error) {
	if member < 1 || member > MaxMembers {
		return nil, fmt.Errorf("secret share of member %d: %w", member, ErrShare)
	}
	if err := new(circl.Scalar).UnmarshalBinary(scalar[:]); err != nil {
		return nil, fmt.Errorf("secret share: not below the order: %w", ErrEncoding)
	}
	own := *scalar
	s := &SecretShare{member: member, secret: func() *[ScalarSize]byte { return &own }}
	if s.wiped() {
		return nil, fmt.Errorf("secret share: zero: %w", ErrEncoding)
	}
	return s, nil
}

// bytes is where the secret is; a zero SecretShare is like a wiped one.
func (s *SecretShare) bytes() *[ScalarSize]byte {
	if s.secret == nil {
		return new([ScalarSize]byte)
	}
	return s.secret()
}

// wiped reports, in constant time, that there is no secret (any more).
func (s *SecretShare) wiped() bool {
	return subtle.ConstantTimeCompare(s.bytes()[:], make([]byte, ScalarSize)) == 1
}

// Member is the member's number, from 1.
func (s *SecretShare) Member() uint32 { return s.member }

// MemberKey is s_j H, the public key of the share; nil after Wipe.
func (s *SecretShare) MemberKey() *MemberKey {
	var k circl.Scalar
	if s.wiped() || k.UnmarshalBinary(s.bytes()[:]) != nil {
		return nil
	}
	var v circl.G2
	v.ScalarMult(&k, circl.G2Generator())
	k = circl.Scalar{}
	key, err := ParseMemberKey(v.BytesCompressed())
	if err != nil {
		return nil
	}
	return key
}

// ExposeSecretBytes is the only way out of the secret, and only for writing it to an encrypted file. The caller wipes
// what it gets. It is all zeros after Wipe.
func (s *SecretShare) ExposeSecretBytes() [ScalarSize]byte { return *s.bytes() }

// Wipe overwrites the secret; the share and all its copies give [ErrWiped] from then on. What Go's runtime may have
// left of it on a stack or in the heap is out of reach.
func (s *SecretShare) Wipe() { clear(s.bytes()[:]) }

const redacted = "threshold.SecretShare(redacted)"

// Format prints a placeholder, whatever the verb.
func (s SecretShare) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// GoString is a placeholder.
func (s SecretShare) GoString() string { return redacted }

// LogValue is a placeholder.
func (s SecretShare) LogValue() slog.Value { return slog.StringValue(redacted) }

// ShareBatch computes the member's share of a batch, s_j U for each of its ciphertexts, in constant time. The caller has made
// sure that the batch may be opened, and that it is sealed to the key of this share.
func (s *SecretShare) ShareBatch(batch []*Checked) (*BatchShare, error) {
	bases, err := basesOf(batch)
	if err != nil {
		return nil, fmt.Errorf("share batch: %w", err)
	}
	points, err := s.multiply(bases)
	if err != nil {
		return nil, fmt.Errorf("share batch: %w", err)
	}
	return &BatchShare{Member: s.member, Points: points}, nil
}

// Sign computes the member's share of the committee's BLS signature on msg.
func (s *SecretShare) Sign(msg []byte) (SignatureShare, error) {
	points, err := s.multiply([]g1{signatureBase(msg)})
	if err != nil {
		return SignatureShare{}, fmt.Errorf("sign: %w", err)
	}
	return SignatureShare{Member: s.member, Point: points[0]}, nil
}

// multiply gives the secret times each base; the bases are points of the group.
func (s *SecretShare) multiply(bases []g1) ([][PointSize]byte, error) {
	if s.wiped() {
		return nil, ErrWiped
	}
	f := newSecretFactor(s.bytes())
	defer f.wipe()
	return f.times(bases), nil
}
