package keygen

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/threshold"
)

// Change says what terms do to the chain's committee.
type Change uint8

// The kinds of change. In JSON and text: "first", "reshare", "rotate".
const (
	ChangeFirst   Change = 1 // the chain's first committee, with a new key
	ChangeReshare Change = 2 // the same key, dealt anew by who holds it to who shall
	ChangeRotate  Change = 3 // a new key, which the new members make
)

var changeNames = [...]string{"", "first", "reshare", "rotate"}

func (c Change) valid() bool { return c >= ChangeFirst && c <= ChangeRotate }

func (c Change) String() string {
	if c.valid() {
		return changeNames[c]
	}
	return fmt.Sprintf("change %d", uint8(c))
}

// MarshalText gives the name.
func (c Change) MarshalText() ([]byte, error) {
	if !c.valid() {
		return nil, fmt.Errorf("%w: %s is none of first, reshare, rotate", ErrTerms, c)
	}
	return []byte(changeNames[c]), nil
}

// UnmarshalText takes the name.
func (c *Change) UnmarshalText(text []byte) error {
	i := slices.Index(changeNames[1:], string(text))
	if i < 0 {
		return fmt.Errorf("%w: change %q is none of first, reshare, rotate", ErrTerms, text)
	}
	*c = Change(i + 1)
	return nil
}

// Previous is the committee that hands over: what the terms of its successor say
// about it, so that they can be read without anything else.
type Previous struct {
	Certificate [32]byte             // Certificate.Hash of the committee in office
	Committee   *threshold.Committee // its epoch, threshold and keys
	Members     []Member             // Members[j-1] is its member j

	// checked is the committee if its keys were found to be of one polynomial, so that this is done once.
	checked *threshold.Committee
}

// PreviousOf describes the committee of a certificate, which must have been
// verified, for the terms of the next one.
func PreviousOf(c *Certificate) (*Previous, error) {
	if c == nil || c.Terms == nil || c.Committee == nil {
		return nil, fmt.Errorf("%w: terms or committee are missing", ErrCertificate)
	}
	hash, err := c.Hash()
	if err != nil {
		return nil, err
	}
	return &Previous{hash, c.Committee, slices.Clone(c.Terms.Members), c.Committee}, nil
}

// Equal reports whether both say the same, byte for byte.
func (p *Previous) Equal(q *Previous) bool {
	if p == nil || q == nil {
		return p == q
	}
	return bytes.Equal(p.append(nil), q.append(nil))
}

// is compares with one that was read, and the bytes of its committee.
func (p *Previous) is(read *Previous, committee []byte) bool {
	own, err := p.Committee.MarshalBinary()
	return err == nil && read != nil && read.Certificate == p.Certificate && bytes.Equal(committee, own) &&
		bytes.Equal(appendMemberList(nil, read.Members), appendMemberList(nil, p.Members))
}

func (p *Previous) clone() *Previous {
	if p == nil {
		return nil
	}
	own := *p
	own.Members = slices.Clone(p.Members)
	return &own
}

// validate checks what the terms of an epoch say about the committee before it.
func (p *Previous) validate(epoch uint64) error {
	k := p.Committee
	switch {
	case k == nil:
		return errors.New("the previous committee has no keys")
	case k.N() != len(p.Members):
		return fmt.Errorf("the previous committee has keys for %d members, and names %d", k.N(), len(p.Members))
	case k.Threshold > k.N() || 2*k.Threshold <= k.N():
		return fmt.Errorf("the previous committee has threshold %d of %d members; it must be more than half and at most all", k.Threshold, k.N())
	case epoch == 0 || k.Epoch != epoch-1:
		return fmt.Errorf("epoch %d does not follow epoch %d, that of the previous committee", epoch, k.Epoch)
	}
	if _, err := distinct(p.Members); err != nil {
		return fmt.Errorf("previous committee: %w", err)
	}
	if k == p.checked {
		return nil
	}
	if _, err := threshold.NewCommittee(k.Epoch, k.Threshold, k.Key, k.Members); err != nil {
		return fmt.Errorf("previous committee: %w", err)
	}
	return nil
}

// distinct checks each member, and that no name and no key occurs twice. It
// gives, for each key, the index in the list of whose it is.
func distinct(members []Member) (owners map[string]int, err error) {
	owners = make(map[string]int, 4*len(members))
	names := make(map[string]bool, len(members))
	for i, m := range members {
		if err := m.Validate(); err != nil {
			return nil, fmt.Errorf("member %d: %w", i+1, err)
		}
		if names[m.Name] {
			return nil, fmt.Errorf("two members have the name %s", m.Name)
		}
		names[m.Name] = true
		for _, key := range m.keys() {
			if other, ok := owners[key]; ok {
				return nil, fmt.Errorf("member %s has a key of member %s, or the same key twice", m.Name, members[other].Name)
			}
			owners[key] = i
		}
	}
	return owners, nil
}

// append adds: 32 certificate hash | 4 length | committee | 2 number of members | members
func (p *Previous) append(b []byte) []byte {
	b = append(b, p.Certificate[:]...)
	committee, _ := p.Committee.MarshalBinary() // empty for one that is not well-formed, which Validate refuses
	return appendMemberList(appendBlock(b, committee), p.Members)
}

// previous reads it but for the committee, whose bytes it gives.
func (r *reader) previous() (p *Previous, committee []byte) {
	p = new(Previous)
	r.Fill(p.Certificate[:])
	committee = r.block()
	for range r.count(memberMinLen - 1) {
		p.Members = append(p.Members, r.member())
	}
	return p, committee
}

func (p *Previous) parseCommittee(b []byte) (err error) {
	p.Committee, err = threshold.ParseCommittee(b)
	p.checked = p.Committee
	return err
}

type previousJSON struct {
	Certificate hexBytes `json:"certificate"`
	Committee   hexBytes `json:"committee"`
	Members     []Member `json:"members"`
}

// MarshalJSON writes the hash and the committee's canonical form as hex after "0x".
func (p *Previous) MarshalJSON() ([]byte, error) {
	committee, err := p.Committee.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return json.Marshal(previousJSON{p.Certificate[:], committee, p.Members})
}

// UnmarshalJSON refuses unknown fields and a committee whose keys are not of one polynomial.
func (p *Previous) UnmarshalJSON(b []byte) error {
	var j previousJSON
	if err := unmarshalStrict(b, &j); err != nil {
		return fmt.Errorf("keygen: previous committee: %w", err)
	}
	if len(j.Certificate) != 32 {
		return fmt.Errorf("keygen: previous committee: a certificate hash has 32 bytes, not %d", len(j.Certificate))
	}
	out := Previous{Certificate: [32]byte(j.Certificate), Members: j.Members}
	if err := out.parseCommittee(j.Committee); err != nil {
		return fmt.Errorf("keygen: previous committee: %w", err)
	}
	*p = out
	return nil
}
