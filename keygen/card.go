package keygen

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	domainCard        = "scrim/member-card/v1"
	domainFingerprint = "scrim/member-fingerprint/v1"

	cardFormat = "scrim-member-card/v1" // in the JSON form
)

// ErrCard says that a member card is not one, or not signed by who it is of.
var ErrCard = errors.New("keygen: member card")

// Card is a member's public part as it is handed around: signed by its own
// identity, so that nobody can put another key under it. Whose identity it is,
// the signature cannot say: people compare the fingerprint.
type Card struct {
	Member    Member
	Address   string // host:port at which the other members reach its node; may be empty
	Signature [64]byte
}

// NewCard signs a card. The address may be empty.
func NewCard(s *MemberSecret, name, address string) (*Card, error) {
	c := &Card{Member: s.Member(name), Address: address}
	if err := c.validate(); err != nil {
		return nil, err
	}
	copy(c.Signature[:], ed25519.Sign(s.Identity(), c.append([]byte(domainCard))))
	return c, nil
}

// Verify checks the form and the signature; errors wrap ErrCard.
func (c *Card) Verify() error {
	if err := c.validate(); err != nil {
		return err
	}
	if !ed25519.Verify(c.Member.Identity, c.append([]byte(domainCard)), c.Signature[:]) {
		return fmt.Errorf("%w of %s: %w", ErrCard, c.Member.Name, ErrSignature)
	}
	return nil
}

func (c *Card) validate() error {
	if err := c.Member.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrCard, err)
	}
	if c.Address != "" && !validAddress(c.Address) {
		return fmt.Errorf("%w of %s: address %q is not host:port with a port from 1 to 65535", ErrCard, c.Member.Name, c.Address)
	}
	return nil
}

// validAddress takes names, IPv4 addresses and IPv6 addresses in brackets, in the form in which they are written.
func validAddress(s string) bool {
	i := strings.LastIndexByte(s, ':')
	if i < 1 || len(s) > 255 {
		return false
	}
	host, port := s[:i], s[i+1:]
	letters := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(inner, "]"); !ok {
			return false
		}
		letters = "0123456789abcdefABCDEF:."
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return host != "" && strings.Trim(host, letters) == "" && err == nil && n > 0 && port == strconv.FormatUint(n, 10)
}

// append adds what is signed, without the domain: 1 version | member | text address.
func (c *Card) append(b []byte) []byte {
	return appendText(c.Member.append(append(b, wireVersion)), c.Address)
}

// MarshalBinary is: 1 version | member | text address | 64 signature.
func (c *Card) MarshalBinary() ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	return append(c.append(nil), c.Signature[:]...), nil
}

// ParseCard is the inverse of MarshalBinary. The card it gives is verified.
func ParseCard(b []byte) (*Card, error) {
	r := newReader(b)
	r.Version(wireVersion)
	c := &Card{Member: r.member(), Address: r.Text()}
	r.Fill(c.Signature[:])
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCard, err)
	}
	return c, c.Verify()
}

type cardJSON struct {
	Format     string   `json:"format"` // cardFormat
	Name       string   `json:"name"`
	Identity   hexBytes `json:"identity"`
	Validator  hexBytes `json:"validator"`
	Node       hexBytes `json:"node"`
	Encryption hexBytes `json:"encryption"`
	Address    string   `json:"address"` // host:port, or empty
	Signature  hexBytes `json:"signature"`
}

// MarshalJSON writes the file form: one object, bytes as hex after "0x".
func (c *Card) MarshalJSON() ([]byte, error) {
	m := &c.Member
	return json.Marshal(cardJSON{
		cardFormat, m.Name, hexBytes(m.Identity), hexBytes(m.Validator), hexBytes(m.Node), m.Encryption[:], c.Address, c.Signature[:],
	})
}

// UnmarshalJSON refuses unknown fields and fields of a wrong length. The card it gives is verified.
func (c *Card) UnmarshalJSON(b []byte) error {
	var j cardJSON
	if err := unmarshalStrict(b, &j); err != nil {
		return fmt.Errorf("%w: %w", ErrCard, err)
	}
	if j.Format != cardFormat {
		return fmt.Errorf("%w: format %q is not %q", ErrCard, j.Format, cardFormat)
	}
	out := Card{
		Member:  Member{Name: j.Name, Identity: ed25519.PublicKey(j.Identity), Validator: ed25519.PublicKey(j.Validator), Node: ed25519.PublicKey(j.Node)},
		Address: j.Address,
	}
	if len(j.Encryption) != len(out.Member.Encryption) || len(j.Signature) != len(out.Signature) {
		return fmt.Errorf("%w of %s: encryption key or signature has a wrong length", ErrCard, j.Name)
	}
	copy(out.Member.Encryption[:], j.Encryption)
	copy(out.Signature[:], j.Signature)
	if err := out.Verify(); err != nil {
		return err
	}
	*c = out
	return nil
}

// ReadCard reads a card file, which holds nothing else. The card is verified.
func ReadCard(text []byte) (*Card, error) {
	c := new(Card)
	return c, readOnly(text, c)
}

// Fingerprint is the member's, see Member.Fingerprint.
func (c *Card) Fingerprint() string { return c.Member.Fingerprint() }

const (
	fingerprintGroups = 6
	fingerprintGroup  = 100_000 // five digits
)

// Fingerprint is what people read to each other to make sure that they have the
// same name and keys of a member: six groups of five digits, 99 bits. It does not
// cover an address. It is made of SHA-256(domain | canonical member): group i is
// bytes 5i to 5i+4 as an integer modulo 100000.
func (m Member) Fingerprint() string {
	h := sha256.Sum256(m.append(append([]byte(domainFingerprint), wireVersion)))
	groups := make([]string, fingerprintGroups)
	for i := range groups {
		v := uint64(0)
		for _, b := range h[5*i : 5*i+5] {
			v = v<<8 | uint64(b)
		}
		groups[i] = fmt.Sprintf("%05d", v%fingerprintGroup)
	}
	return strings.Join(groups, " ")
}

// readOnly reads one JSON value and makes sure that nothing follows. What it
// is read into is strict by its own UnmarshalJSON.
func readOnly(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is more after the JSON object", ErrEncoding)
	}
	return nil
}
