package note

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// The signature types (signed-note, Signature types).
const (
	TypeEd25519     = 0x01 // on the text: a log's own
	TypeCosignature = 0x04 // Ed25519 with a time: tlog-cosignature's cosignature/v1
	TypeUnassigned  = 0xff // of these we know one: the committee's batch certificate
)

// domainCommittee is the longer identifier that signed-note asks for after 0xff.
const domainCommittee = "scrim/batch-certificate/v1"

// Key is a public key that signs notes.
type Key struct {
	Name   string
	Type   byte
	Public []byte // 32 bytes of Ed25519; of TypeUnassigned, the committee's 96 bytes
}

// Origin is the identity of a chain's log: "scrim/" and the chain id. All nodes have the same log, so they share it.
func Origin(chainID string) string { return "scrim/" + chainID }

// chainOf is the inverse of Origin.
func chainOf(origin string) (string, error) {
	id, ok := strings.CutPrefix(origin, "scrim/")
	if !ok || threshold.ValidChainID(id) != nil {
		return "", fmt.Errorf("%w: %.80q is not the origin of a Scrim log", ErrEncoding, origin)
	}
	return id, nil
}

// LogKey is a member's key as a publisher of the log: its name is the log's origin (tlog-checkpoint, Signatures).
func LogKey(chainID string, identity ed25519.PublicKey) Key {
	return Key{Origin(chainID), TypeEd25519, identity}
}

// MemberKey is a member's key as a cosigner. The name holds the first 8 bytes of the identity key, because a member's
// index can be another after a ceremony, and its name is not unique over time.
func MemberKey(chainID string, identity ed25519.PublicKey) Key {
	return Key{Origin(chainID) + "/member/" + hex.EncodeToString(identity[:min(8, len(identity))]), TypeCosignature, identity}
}

// CommitteeKey is the committee's key as the signer of batch certificates.
func CommitteeKey(chainID string, key *threshold.PublicKey) Key {
	return Key{Origin(chainID) + "/committee", TypeUnassigned, key.Bytes()}
}

// material is what follows the name in the key id and in a verifier key.
func (k Key) material() []byte {
	b := []byte{k.Type}
	if k.Type == TypeUnassigned {
		b = append(b, domainCommittee...)
	}
	return append(b, k.Public...)
}

// ID is the key id: SHA-256(name | line feed | type | public key)[:4] (signed-note, Signatures).
func (k Key) ID() uint32 {
	sum := sha256.Sum256(append([]byte(k.Name+"\n"), k.material()...))
	return binary.BigEndian.Uint32(sum[:])
}

// String is the verifier key: name+id+base64 (signed-note, Verifier keys).
func (k Key) String() string {
	return fmt.Sprintf("%s+%08x+%s", k.Name, k.ID(), base64.StdEncoding.EncodeToString(k.material()))
}

// ParseKey is the inverse of [Key.String]. Types other than the three above are ErrEncoding.
func ParseKey(vkey string) (Key, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	_, text, ok := strings.Cut(rest, "+")
	if !ok || len(vkey) > 2*MaxName {
		return Key{}, fmt.Errorf("%w: verifier key %.80q is not of the form name+id+base64", ErrEncoding, vkey)
	}
	if err := validName(name); err != nil {
		return Key{}, err
	}
	b, err := parseBase64(text)
	if err != nil {
		return Key{}, err
	}
	k := Key{Name: name}
	if len(b) > 0 {
		k.Type, k.Public = b[0], b[1:]
	}
	switch k.Type {
	case TypeEd25519, TypeCosignature:
		ok = len(k.Public) == ed25519.PublicKeySize
	case TypeUnassigned:
		material, known := strings.CutPrefix(string(k.Public), domainCommittee)
		k.Public = []byte(material)
		_, err := threshold.ParsePublicKey(k.Public)
		ok = known && err == nil
	default:
		ok = false
	}
	if !ok {
		return Key{}, fmt.Errorf("%w: verifier key %.80q is of an unknown type or length", ErrEncoding, vkey)
	}
	if k.String() != vkey {
		return Key{}, fmt.Errorf("%w: verifier key %.80q has another id than its key, %08x", ErrEncoding, vkey, k.ID())
	}
	return k, nil
}

// Find gives the key's signature on the note, if it has one.
func (k Key) Find(n *Note) (Signature, bool) {
	id := k.ID()
	for _, s := range n.Signatures {
		if s.Name == k.Name && s.KeyID == id {
			return s, true
		}
	}
	return Signature{}, false
}

// Verify checks the key's signature on the note, whose text must be a checkpoint unless the key is of TypeEd25519.
// ErrSignature if there is none or it does not verify. The time is that of a cosignature, in seconds since 1970, else 0.
func (k Key) Verify(n *Note) (time uint64, err error) {
	s, ok := k.Find(n)
	if !ok {
		return 0, fmt.Errorf("%w: no signature by %s", ErrSignature, k.Name)
	}
	switch k.Type {
	case TypeEd25519:
		ok = len(k.Public) == ed25519.PublicKeySize && ed25519.Verify(k.Public, []byte(n.Text), s.Data)
	case TypeCosignature:
		time, ok = k.verifyCosignature(n.Text, s.Data)
	case TypeUnassigned:
		ok = k.verifyCertificate(n.Text, s.Data)
	default:
		ok = false
	}
	if !ok {
		return 0, fmt.Errorf("%w: that of %s", ErrSignature, k.Name)
	}
	return time, nil
}

// cosigned is the message of a cosignature (tlog-cosignature, Ed25519 signed message).
func cosigned(text string, time uint64) []byte {
	return []byte("cosignature/v1\ntime " + strconv.FormatUint(time, 10) + "\n" + text)
}

func (k Key) verifyCosignature(text string, data []byte) (time uint64, ok bool) {
	if len(data) != 8+ed25519.SignatureSize || len(k.Public) != ed25519.PublicKeySize {
		return 0, false
	}
	time = binary.BigEndian.Uint64(data)
	// tlog-cosignature, Format: "It MUST NOT exceed 2^63 - 1".
	if time > math.MaxInt64 {
		return 0, false
	}
	if _, err := ParseCheckpoint(text); err != nil {
		return 0, false
	}
	return time, ed25519.Verify(k.Public, cosigned(text, time), data[8:])
}

// SignLog signs a checkpoint as a publisher of the log. The caller has made durable that it never signs another root for
// this size.
func SignLog(identity ed25519.PrivateKey, chainID string, text string) Signature {
	k := LogKey(chainID, identity.Public().(ed25519.PublicKey))
	return Signature{k.Name, k.ID(), ed25519.Sign(identity, []byte(text))}
}

// Cosign signs a checkpoint as a cosigner, at a time in seconds since 1970, at most 2^63-1. The caller has checked that it
// is consistent with the largest one that it has cosigned.
func Cosign(identity ed25519.PrivateKey, chainID string, text string, time uint64) Signature {
	k := MemberKey(chainID, identity.Public().(ed25519.PublicKey))
	return Signature{k.Name, k.ID(), append(binary.BigEndian.AppendUint64(nil, time), ed25519.Sign(identity, cosigned(text, time))...)}
}

// certificateSize is height (8), epoch (8), batch root (32) and signature (48).
const certificateSize = 8 + 8 + commitreveal.HashSize + threshold.PointSize

// CertificateLine gives the committee's signature on a batch's checkpoint the form of a signature line: with the note's
// size and root, its 96 bytes are all that the signed message needs.
func CertificateLine(key *threshold.PublicKey, c commitreveal.Checkpoint, certificate threshold.Signature) Signature {
	k := CommitteeKey(c.ChainID, key)
	b := binary.BigEndian.AppendUint64(nil, c.Height)
	b = append(binary.BigEndian.AppendUint64(b, c.Epoch), c.BatchRoot[:]...)
	return Signature{k.Name, k.ID(), append(b, certificate[:]...)}
}

// Certified gives the batch checkpoint and certificate that a line of CertificateLine stands for. Nothing is verified.
func Certified(text string, data []byte) (c commitreveal.Checkpoint, certificate threshold.Signature, err error) {
	head, err := ParseCheckpoint(text)
	if err != nil {
		return c, certificate, err
	}
	chainID, err := chainOf(head.Origin)
	if err != nil {
		return c, certificate, err
	}
	if len(data) != certificateSize {
		return c, certificate, fmt.Errorf("%w: batch certificate of %d bytes, want %d", ErrEncoding, len(data), certificateSize)
	}
	c = commitreveal.Checkpoint{
		ChainID: chainID, Height: binary.BigEndian.Uint64(data), Epoch: binary.BigEndian.Uint64(data[8:]),
		BatchRoot: commitreveal.Hash(data[16:48]), LogSize: head.Size, LogRoot: head.Root,
	}
	return c, threshold.Signature(data[48:]), nil
}

func (k Key) verifyCertificate(text string, data []byte) bool {
	c, certificate, err := Certified(text, data)
	if err != nil {
		return false
	}
	key, err := threshold.ParsePublicKey(k.Public)
	if err != nil {
		return false
	}
	message, err := c.MarshalBinary()
	return err == nil && threshold.VerifySignature(key, message, certificate) == nil
}
