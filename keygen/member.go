package keygen

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
)

const domainMemberSecret = "scrim/member-secret/v1" //nolint:gosec // G101: a domain, nothing secret

// MemberSecret is everything a member has to keep: one 32-byte seed. All its
// long-term private keys are derived from it. It has no textual form; the seed
// comes out through ExposeSeed only, for keygen/sharefile.
type MemberSecret struct{ seed [32]byte }

// NewMemberSecret draws a secret from rand.
func NewMemberSecret(rand io.Reader) (*MemberSecret, error) {
	var s MemberSecret
	if _, err := io.ReadFull(rand, s.seed[:]); err != nil {
		return nil, fmt.Errorf("keygen: draw member secret: %w", err)
	}
	return &s, nil
}

// MemberSecretFromSeed is the secret that ExposeSeed gave.
func MemberSecretFromSeed(seed [32]byte) *MemberSecret { return &MemberSecret{seed} }

// ExposeSeed gives the seed away.
func (s *MemberSecret) ExposeSeed() [32]byte { return s.seed }

// Wipe overwrites the seed.
func (s *MemberSecret) Wipe() { clear(s.seed[:]) }

// Format hides the secret from every fmt verb.
func (*MemberSecret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[member secret]") }

// LogValue hides the secret from slog.
func (*MemberSecret) LogValue() slog.Value { return slog.StringValue("[member secret]") }

// derive gives 32 bytes for one purpose: HKDF-SHA256 of the seed.
func (s *MemberSecret) derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, s.seed[:], nil, domainMemberSecret+" "+purpose, 32)
	if err != nil {
		panic("keygen: derive: " + err.Error()) // only for absurd lengths
	}
	return key
}

// Identity signs ceremony messages, receipts and share messages.
func (s *MemberSecret) Identity() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(s.derive("identity"))
}

// Validator is the CometBFT validator key.
func (s *MemberSecret) Validator() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(s.derive("validator"))
}

// Node is the CometBFT peer-to-peer key.
func (s *MemberSecret) Node() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(s.derive("node"))
}

// encryption is the X25519 key to which dealers encrypt this member's shares.
func (s *MemberSecret) encryption() *ecdh.PrivateKey {
	k, err := ecdh.X25519().NewPrivateKey(s.derive("encryption"))
	if err != nil {
		panic("keygen: X25519 key: " + err.Error()) // only for a wrong length
	}
	return k
}

// Member is the public part, under a name for people.
func (s *MemberSecret) Member(name string) Member {
	public := func(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }
	m := Member{
		Name:      name,
		Identity:  public(s.Identity()),
		Validator: public(s.Validator()),
		Node:      public(s.Node()),
	}
	copy(m.Encryption[:], s.encryption().PublicKey().Bytes())
	return m
}

// Member is what everybody knows of a committee member.
type Member struct {
	Name       string            // 1 to 32 characters of a-z, 0-9, '-', '.', '_'
	Identity   ed25519.PublicKey // signs ceremony messages, receipts and share messages
	Validator  ed25519.PublicKey // signs blocks
	Node       ed25519.PublicKey // names the node to its peers
	Encryption [32]byte          // X25519: shares are encrypted to it
}

const (
	maxName      = 32
	memberKeys   = 4 * 32
	memberMinLen = 1 + 1 + memberKeys
)

// Validate checks the name and the form of the keys.
func (m Member) Validate() error {
	if !validName(m.Name) {
		return fmt.Errorf("keygen: member name %q must be 1 to %d characters of a-z, 0-9, '-', '.', '_'", m.Name, maxName)
	}
	for _, k := range [][]byte{m.Identity, m.Validator, m.Node} {
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("keygen: member %s: an Ed25519 key has %d bytes, not %d", m.Name, ed25519.PublicKeySize, len(k))
		}
	}
	if !validX25519(m.Encryption[:]) {
		return fmt.Errorf("keygen: member %s: encryption key is not an X25519 key to which one can encrypt", m.Name)
	}
	return nil
}

func validName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// validX25519 refuses the keys of small order, with which no secret can be
// shared: every honest dealer would fail on them.
func validX25519(b []byte) bool {
	public, err := ecdh.X25519().NewPublicKey(b)
	if err != nil {
		return false
	}
	probe, err := ecdh.X25519().NewPrivateKey(append(make([]byte, 31), 1))
	if err != nil {
		return false
	}
	_, err = probe.ECDH(public)
	return err == nil
}

// keys lists the four keys.
func (m *Member) keys() []string {
	return []string{string(m.Identity), string(m.Validator), string(m.Node), string(m.Encryption[:])}
}

func (m *Member) sameKeys(o *Member) bool { return slices.Equal(m.keys(), o.keys()) }

func (m Member) append(b []byte) []byte {
	b = appendText(b, m.Name)
	b = append(b, m.Identity...)
	b = append(b, m.Validator...)
	b = append(b, m.Node...)
	return append(b, m.Encryption[:]...)
}

// appendMemberList adds: 2 number of members | members
func appendMemberList(b []byte, members []Member) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(members)))
	for _, m := range members {
		b = m.append(b)
	}
	return b
}

func (r *reader) member() Member {
	m := Member{Name: r.Text()}
	key := func() ed25519.PublicKey { return append(ed25519.PublicKey(nil), r.Bytes(ed25519.PublicKeySize)...) }
	m.Identity, m.Validator, m.Node = key(), key(), key()
	r.Fill(m.Encryption[:])
	return m
}

// MarshalBinary is: 1 version | 1 length | name | 32 identity | 32 validator | 32 node | 32 encryption.
func (m Member) MarshalBinary() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return m.append([]byte{wireVersion}), nil
}

// ParseMember is the inverse of MarshalBinary.
func ParseMember(b []byte) (Member, error) {
	r := newReader(b)
	r.Version(wireVersion)
	m := r.member()
	if err := r.End(); err != nil {
		return Member{}, fmt.Errorf("member: %w", err)
	}
	return m, m.Validate()
}

type memberJSON struct {
	Name       string   `json:"name"`
	Identity   hexBytes `json:"identity"`
	Validator  hexBytes `json:"validator"`
	Node       hexBytes `json:"node"`
	Encryption hexBytes `json:"encryption"`
}

// MarshalJSON writes keys as hex after "0x".
func (m Member) MarshalJSON() ([]byte, error) {
	return json.Marshal(memberJSON{m.Name, hexBytes(m.Identity), hexBytes(m.Validator), hexBytes(m.Node), m.Encryption[:]})
}

// UnmarshalJSON refuses unknown fields and keys of a wrong length.
func (m *Member) UnmarshalJSON(b []byte) error {
	var j memberJSON
	if err := unmarshalStrict(b, &j); err != nil {
		return fmt.Errorf("keygen: member: %w", err)
	}
	if len(j.Encryption) != len(m.Encryption) {
		return fmt.Errorf("keygen: member %s: an X25519 key has %d bytes, not %d", j.Name, len(m.Encryption), len(j.Encryption))
	}
	*m = Member{
		Name:      j.Name,
		Identity:  ed25519.PublicKey(j.Identity),
		Validator: ed25519.PublicKey(j.Validator),
		Node:      ed25519.PublicKey(j.Node),
	}
	copy(m.Encryption[:], j.Encryption)
	return m.Validate()
}
