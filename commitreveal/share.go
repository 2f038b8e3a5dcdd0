package commitreveal

import (
	"crypto/ed25519"
	"fmt"

	"github.com/scrimlabs/scrim/threshold"
)

const domainShare = "scrim/share-message/v1"

// ShareMessage is one member's share of a batch as it travels: one point for
// each ciphertext and one for the committee's signature on the batch's
// checkpoint, signed by the member's identity key.
//
// Parsing does no curve arithmetic. Check height, epoch, member and root
// against what is wanted, then the signature ([ShareMessage.Verify]), and only
// then hand Share and Signature to package threshold.
type ShareMessage struct {
	ChainID   string
	Epoch     uint64
	Height    uint64
	Root      Hash                     // of the batch
	Share     threshold.BatchShare     // 1 to MaxBatch points
	Signature threshold.SignatureShare // of the same member
	Sig       [ed25519.SignatureSize]byte
}

// shareFixed is the size of a share message without chain id and points.
const shareFixed = 1 + 1 + 8 + 8 + HashSize + 4 + 4 + threshold.PointSize + ed25519.SignatureSize

// MaxShareMessageSize is the size in bytes of the largest share message for
// batches of at most maxBatch ciphertexts.
func MaxShareMessageSize(maxBatch int) int {
	return shareFixed + threshold.MaxChainID + maxBatch*threshold.PointSize
}

// Member is the index of the member that the share claims to be of.
func (m *ShareMessage) Member() uint32 { return m.Share.Member }

func (m *ShareMessage) validate() error {
	if err := threshold.ValidChainID(m.ChainID); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	n := len(m.Share.Points)
	switch {
	case m.Height == 0:
		return fmt.Errorf("%w: share of height 0", ErrInvalid)
	case !validMember(m.Share.Member) || m.Signature.Member != m.Share.Member:
		return fmt.Errorf("%w: share of member %d with signature share of member %d", ErrInvalid, m.Share.Member, m.Signature.Member)
	case n == 0 || n > MaxBatch:
		return fmt.Errorf("%w: share of %d points, 1 to %d allowed", ErrInvalid, n, MaxBatch)
	}
	return nil
}

// body is the message without its Ed25519 signature.
func (m *ShareMessage) body() []byte {
	b := make([]byte, 0, MaxShareMessageSize(len(m.Share.Points)))
	b = appendChainID(append(b, version), m.ChainID)
	b = append(appendUint64(appendUint64(b, m.Epoch), m.Height), m.Root[:]...)
	b = appendUint32(appendUint32(b, m.Share.Member), uint32(len(m.Share.Points)))
	for i := range m.Share.Points {
		b = append(b, m.Share.Points[i][:]...)
	}
	return append(b, m.Signature.Point[:]...)
}

// Sign sets Sig. It refuses a message that no encoding has.
func (m *ShareMessage) Sign(key ed25519.PrivateKey) error {
	if err := m.validate(); err != nil {
		return fmt.Errorf("sign share message: %w", err)
	}
	copy(m.Sig[:], ed25519.Sign(key, append([]byte(domainShare), m.body()...)))
	return nil
}

// Verify checks Sig under the member's identity key. It says nothing about the
// points.
func (m *ShareMessage) Verify(key ed25519.PublicKey) error {
	if err := m.validate(); err != nil {
		return fmt.Errorf("verify share message: %w", err)
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, append([]byte(domainShare), m.body()...), m.Sig[:]) {
		return fmt.Errorf("verify share message of member %d: %w", m.Share.Member, ErrSignature)
	}
	return nil
}

// MarshalBinary encodes the message with its signature.
func (m *ShareMessage) MarshalBinary() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("marshal share message: %w", err)
	}
	return append(m.body(), m.Sig[:]...), nil
}

// ParseShareMessage is the inverse of [ShareMessage.MarshalBinary] for batches
// of at most maxBatch ciphertexts. It allocates nothing before the size is
// known to fit, decompresses no point and checks no signature.
func ParseShareMessage(b []byte, maxBatch int) (*ShareMessage, error) {
	if maxBatch < 0 || maxBatch > MaxBatch {
		maxBatch = MaxBatch
	}
	if len(b) > MaxShareMessageSize(maxBatch) {
		return nil, fmt.Errorf("parse share message: %w: %d bytes, at most %d allowed", ErrEncoding, len(b), MaxShareMessageSize(maxBatch))
	}
	d := newDecoder(b)
	d.Version(version)
	m := &ShareMessage{ChainID: d.chainID(), Epoch: d.Uint64(), Height: d.Uint64(), Root: d.hash()}
	m.Share.Member = d.member()
	m.Signature.Member = m.Share.Member
	m.Share.Points = readPoints(d, maxBatch)
	d.Fill(m.Signature.Point[:])
	d.Fill(m.Sig[:])
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse share message: %w", err)
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("parse share message: %w: %w", ErrEncoding, err)
	}
	return m, nil
}

func readPoints(d *decoder, maxBatch int) [][threshold.PointSize]byte {
	n := d.Uint32()
	if d.OK() && uint64(n) > uint64(maxBatch) {
		d.Fail("%d points, at most %d allowed", n, maxBatch)
	}
	raw := d.Bytes(int(n) * threshold.PointSize)
	if !d.OK() {
		return nil
	}
	points := make([][threshold.PointSize]byte, n)
	for i := range points {
		copy(points[i][:], raw[i*threshold.PointSize:])
	}
	return points
}
