package keygen

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCardRoundTrip(t *testing.T) {
	for _, address := range []string{"", "ann.example.org:26656", "10.0.0.1:1", "[2001:db8::1]:65535"} {
		c := must(NewCard(testSecret(1), "ann", address))(t)
		b := must(c.MarshalBinary())(t)
		if diff := cmp.Diff(c, must(ParseCard(b))(t)); diff != "" {
			t.Error(diff)
		}
		text := must(json.MarshalIndent(c, "", "  "))(t)
		if diff := cmp.Diff(c, must(ReadCard(append(text, '\n')))(t)); diff != "" {
			t.Error(diff)
		}
		// The signature is over the documented bytes.
		signed := append([]byte("scrim/member-card/v1"), b[:len(b)-64]...)
		if !ed25519.Verify(c.Member.Identity, signed, b[len(b)-64:]) {
			t.Error("the signature is not over the documented bytes")
		}
	}
}

func TestCardAddress(t *testing.T) {
	for _, address := range []string{":1", "a", "a:", "a:0", "a:65536", "a:01", "a:+1", "a b:1", "a/b:1", "tcp://a:1", "[::1:1", "::1:1", "[a.b/c]:1", "[]:1", "a@b:1", strings.Repeat("a", 260) + ":1"} {
		if _, err := NewCard(testSecret(1), "ann", address); !errors.Is(err, ErrCard) {
			t.Errorf("address %q: %v", address, err)
		}
	}
	if _, err := NewCard(testSecret(1), "Ann", ""); !errors.Is(err, ErrCard) {
		t.Error("a name with a capital")
	}
}

// Whatever is changed in a card, it does not verify.
func TestCardIsSigned(t *testing.T) {
	other := testSecret(2).Member("bob")
	for name, change := range map[string]func(*Card){
		"name":       func(c *Card) { c.Member.Name = "eve" },
		"validator":  func(c *Card) { c.Member.Validator = other.Validator },
		"node":       func(c *Card) { c.Member.Node = other.Node },
		"encryption": func(c *Card) { c.Member.Encryption = other.Encryption },
		"identity":   func(c *Card) { c.Member.Identity = other.Identity },
		"address":    func(c *Card) { c.Address = "eve.example.org:26656" },
		"no address": func(c *Card) { c.Address = "" },
		"signature":  func(c *Card) { c.Signature[3]++ },
	} {
		c := must(NewCard(testSecret(1), "ann", "ann.example.org:26656"))(t)
		change(c)
		if err := c.Verify(); !errors.Is(err, ErrCard) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := ParseCard(must(c.MarshalBinary())(t)); !errors.Is(err, ErrCard) {
			t.Errorf("%s: binary: %v", name, err)
		}
		if _, err := ReadCard(must(json.Marshal(c))(t)); !errors.Is(err, ErrCard) {
			t.Errorf("%s: JSON: %v", name, err)
		}
	}
}

func TestCardFileIsStrict(t *testing.T) {
	good := string(must(json.Marshal(must(NewCard(testSecret(1), "ann", ""))(t)))(t))
	for name, bad := range map[string]string{
		"empty":           "",
		"null":            "null",
		"list":            "[]",
		"unknown field":   strings.Replace(good, `"name"`, `"colour":1,"name"`, 1),
		"another format":  strings.Replace(good, "card/v1", "card/v2", 1),
		"no format":       strings.Replace(good, `"format":"scrim-member-card/v1",`, "", 1),
		"more":            good + "{}",
		"short signature": strings.Replace(good, `"signature":"0x00`, `"signature":"0x`, 1)[:len(good)-4] + `"}`,
		"no 0x":           strings.Replace(good, `"0x`, `"`, 1),
	} {
		if _, err := ReadCard([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// People have written these down: they may never change.
func TestFingerprint(t *testing.T) {
	m := MemberSecretFromSeed([32]byte{}).Member("zero")
	if got, want := m.Fingerprint(), "73715 86182 75901 55888 97456 82359"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if !regexp.MustCompile(`^[0-9]{5}( [0-9]{5}){5}$`).MatchString(m.Fingerprint()) {
		t.Errorf("%q are not six groups of five digits", m.Fingerprint())
	}
	other := testSecret(2).Member("zero")
	for name, change := range map[string]func(*Member){
		"name":       func(m *Member) { m.Name = "one" },
		"identity":   func(m *Member) { m.Identity = other.Identity },
		"validator":  func(m *Member) { m.Validator = other.Validator },
		"node":       func(m *Member) { m.Node = other.Node },
		"encryption": func(m *Member) { m.Encryption = other.Encryption },
	} {
		changed := m
		change(&changed)
		if changed.Fingerprint() == m.Fingerprint() {
			t.Errorf("%s is not in the fingerprint", name)
		}
	}
	card := must(NewCard(MemberSecretFromSeed([32]byte{}), "zero", "zero.example.org:1"))(t)
	if card.Fingerprint() != m.Fingerprint() {
		t.Error("the address is in the fingerprint")
	}
}

func FuzzParseCard(f *testing.F) {
	f.Add(must(must(NewCard(testSecret(1), "ann", "ann:1"))(f).MarshalBinary())(f))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseCard(b); err == nil && !bytes.Equal(must(c.MarshalBinary())(t), b) {
			t.Fatal("another encoding")
		}
	})
}

func FuzzReadCard(f *testing.F) {
	f.Add(must(json.Marshal(must(NewCard(testSecret(1), "ann", "ann:1"))(f)))(f))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ReadCard(b)
		if err != nil {
			return
		}
		if diff := cmp.Diff(c, must(ReadCard(must(json.Marshal(c))(t)))(t)); diff != "" {
			t.Fatal(diff)
		}
	})
}
