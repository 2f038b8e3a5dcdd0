package keygen

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

const (
	domainConsent = "scrim/terms-consent/v1"

	signedTermsFormat = "scrim-signed-terms/v1" // in the JSON form
)

// Consent is a member's word that it takes part under exactly these terms: an
// Ed25519 signature by its identity over
//
//	domain | 32 terms hash
//
// The hash covers the chain id, the epoch, the attempt and all members' keys.
type Consent struct {
	Member    uint32 // 1 to n
	Signature [64]byte
}

type consentJSON struct {
	Member    uint32   `json:"member"`
	Signature hexBytes `json:"signature"`
}

// MarshalJSON writes the signature as hex after "0x".
func (c Consent) MarshalJSON() ([]byte, error) {
	return json.Marshal(consentJSON{c.Member, c.Signature[:]})
}

// UnmarshalJSON refuses unknown fields and a signature of a wrong length. It does not verify.
func (c *Consent) UnmarshalJSON(b []byte) error {
	var j consentJSON
	if err := unmarshalStrict(b, &j); err != nil {
		return fmt.Errorf("keygen: consent: %w", err)
	}
	if len(j.Signature) != len(c.Signature) {
		return fmt.Errorf("keygen: consent of member %d: a signature has %d bytes, not %d", j.Member, len(c.Signature), len(j.Signature))
	}
	c.Member = j.Member
	copy(c.Signature[:], j.Signature)
	return nil
}

func consentBytes(hash [32]byte) []byte { return append([]byte(domainConsent), hash[:]...) }

// SignConsent signs the terms for the member whose secret it is. Whoever calls
// it has shown them to that member before. ErrNotMember if the terms do not name
// it with exactly its keys.
func SignConsent(t *Terms, s *MemberSecret) (Consent, error) {
	if err := t.Validate(); err != nil {
		return Consent{}, err
	}
	index, err := t.IndexOf(s)
	if err != nil {
		return Consent{}, err
	}
	c := Consent{Member: index}
	copy(c.Signature[:], ed25519.Sign(s.Identity(), consentBytes(t.Hash())))
	return c, nil
}

// IndexOf is the index, among the members of the committee that is to come, of the member whose secret it is, 1 to n. ErrNotMember if
// the terms do not name it, or name it with a key that is not its own: a right
// identity beside another's encryption key is what an unfaithful drafter would try.
func (t *Terms) IndexOf(s *MemberSecret) (uint32, error) {
	roles, err := t.Roles(s)
	if err != nil {
		return 0, err
	}
	if t.isPrevious(roles[0]) {
		return 0, ErrNotMember
	}
	return roles[0], nil
}

// ConsentError says whose consent is missing, and whose does not hold.
type ConsentError struct {
	Missing []string // members, as people call them
	Wrong   []string
}

func (e *ConsentError) Error() string {
	var parts []string
	if len(e.Missing) > 0 {
		parts = append(parts, "missing from "+strings.Join(e.Missing, ", "))
	}
	if len(e.Wrong) > 0 {
		parts = append(parts, "wrong: "+strings.Join(e.Wrong, ", "))
	}
	return "keygen: consent to the terms: " + strings.Join(parts, "; ")
}

// VerifyConsent checks that all members have consented to the terms: exactly one
// consent of each, ascending. The error says who is missing or wrong; it is a
// *ConsentError if the terms themselves are valid.
func VerifyConsent(t *Terms, consents []Consent) error {
	if err := t.Validate(); err != nil {
		return err
	}
	e := t.wrongConsents(consents)
	for j := uint32(1); int(j) <= t.N(); j++ {
		if !slices.ContainsFunc(consents, func(c Consent) bool { return c.Member == j }) {
			e.Missing = append(e.Missing, t.name(j))
		}
	}
	if len(e.Missing)+len(e.Wrong) > 0 {
		return e
	}
	return nil
}

// wrongConsents judges those that are there.
func (t *Terms) wrongConsents(consents []Consent) *ConsentError {
	e := new(ConsentError)
	hash, last := t.Hash(), uint32(0)
	for _, c := range consents {
		switch {
		case c.Member < 1 || int64(c.Member) > int64(t.N()):
			e.Wrong = append(e.Wrong, fmt.Sprintf("there is no member %d", c.Member))
		case c.Member <= last:
			e.Wrong = append(e.Wrong, t.name(c.Member)+" is out of order or there twice")
		case !ed25519.Verify(t.member(c.Member).Identity, consentBytes(hash), c.Signature[:]):
			e.Wrong = append(e.Wrong, t.name(c.Member)+" did not sign these terms")
		}
		last = max(last, c.Member)
	}
	return e
}

// SignedTerms is terms with the consents that are there so far: the file that
// goes from member to member.
type SignedTerms struct {
	Terms    Terms
	Consents []Consent // ascending by member, each at most once, all verified
}

// Validate checks the terms, and the consents that are there; some may be missing.
func (s *SignedTerms) Validate() error {
	if err := s.Terms.Validate(); err != nil {
		return err
	}
	if e := s.Terms.wrongConsents(s.Consents); len(e.Wrong) > 0 {
		return e
	}
	return nil
}

// Sign adds the consent of the member whose secret it is, and gives its index.
// A second time changes nothing.
func (s *SignedTerms) Sign(secret *MemberSecret) (uint32, error) {
	c, err := SignConsent(&s.Terms, secret)
	if err != nil {
		return 0, err
	}
	s.add(c)
	return c.Member, nil
}

// Merge adds the consents of other, which must be for the same terms.
func (s *SignedTerms) Merge(other *SignedTerms) error {
	if err := other.Validate(); err != nil {
		return err
	}
	if have, want := other.Terms.Hash(), s.Terms.Hash(); have != want {
		return fmt.Errorf("%w: consents to terms %s cannot be merged with those to terms %s", ErrTerms, short(have), short(want))
	}
	for _, c := range other.Consents {
		s.add(c)
	}
	return nil
}

func (s *SignedTerms) add(c Consent) {
	i, found := slices.BinarySearchFunc(s.Consents, c.Member, func(c Consent, j uint32) int { return int(int64(c.Member) - int64(j)) })
	if !found {
		s.Consents = slices.Insert(slices.Clone(s.Consents), i, c)
	}
}

// Consented says whether the member's consent is there.
func (s *SignedTerms) Consented(member uint32) bool {
	return slices.ContainsFunc(s.Consents, func(c Consent) bool { return c.Member == member })
}

type signedTermsJSON struct {
	Format   string    `json:"format"` // signedTermsFormat
	Terms    Terms     `json:"terms"`
	Consents []Consent `json:"consents"`
}

// MarshalJSON writes the file form.
func (s *SignedTerms) MarshalJSON() ([]byte, error) {
	return json.Marshal(signedTermsJSON{signedTermsFormat, s.Terms, append([]Consent{}, s.Consents...)})
}

// UnmarshalJSON refuses unknown fields, and what Validate refuses.
func (s *SignedTerms) UnmarshalJSON(b []byte) error {
	var j signedTermsJSON
	if err := unmarshalStrict(b, &j); err != nil {
		return fmt.Errorf("keygen: signed terms: %w", err)
	}
	if j.Format != signedTermsFormat {
		return fmt.Errorf("%w: format %q is not %q", ErrTerms, j.Format, signedTermsFormat)
	}
	out := SignedTerms{j.Terms, j.Consents}
	if err := out.Validate(); err != nil {
		return err
	}
	*s = out
	return nil
}

// ReadSignedTerms reads a file of signed terms, which holds nothing else. The consents that it has are verified.
func ReadSignedTerms(text []byte) (*SignedTerms, error) {
	s := new(SignedTerms)
	return s, readOnly(text, s)
}
