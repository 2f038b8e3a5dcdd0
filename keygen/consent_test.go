package keygen

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func signedBy(t testing.TB, terms *Terms, members ...int) *SignedTerms {
	t.Helper()
	s := &SignedTerms{Terms: *terms}
	for _, j := range members {
		if index := must(s.Sign(testSecret(j)))(t); index != uint32(j) {
			t.Fatalf("member %d signed as %d", j, index)
		}
	}
	return s
}

func TestConsent(t *testing.T) {
	terms := testTerms(4, 3)
	all := signedBy(t, terms, 3, 1, 4, 2, 3) // any order, and twice
	if err := VerifyConsent(terms, all.Consents); err != nil {
		t.Fatal(err)
	}
	for i, c := range all.Consents {
		if c.Member != uint32(i+1) {
			t.Errorf("consent %d is of member %d", i, c.Member)
		}
	}
	hash := terms.Hash()
	if !ed25519.Verify(terms.Members[0].Identity, append([]byte("scrim/terms-consent/v1"), hash[:]...), all.Consents[0].Signature[:]) {
		t.Error("the signature is not over the documented bytes")
	}
}

func TestVerifyConsentSaysWho(t *testing.T) {
	terms := testTerms(4, 3)
	other := testTerms(4, 3)
	other.Epoch = 2
	good := signedBy(t, terms, 1, 2, 3, 4).Consents
	for _, test := range []struct {
		name    string
		change  func([]Consent) []Consent
		missing []string
		wrong   []string
	}{
		{"nobody", func([]Consent) []Consent { return nil }, []string{"member 1 (ann)", "member 2 (bob)", "member 3 (cid)", "member 4 (dora)"}, nil},
		{"one missing", func(c []Consent) []Consent { return slices.Delete(c, 1, 2) }, []string{"member 2 (bob)"}, nil},
		{"signature of other terms", func(c []Consent) []Consent { c[2] = signedBy(t, other, 3).Consents[0]; return c }, nil, []string{"member 3 (cid) did not sign these terms"}},
		{"somebody else's signature", func(c []Consent) []Consent { c[0].Signature = c[1].Signature; return c }, nil, []string{"member 1 (ann) did not sign these terms"}},
		{"twice", func(c []Consent) []Consent { return append(c, c[3]) }, nil, []string{"member 4 (dora) is out of order or there twice"}},
		{"twice in the place of another", func(c []Consent) []Consent { c[1] = c[0]; return c }, []string{"member 2 (bob)"}, []string{"member 1 (ann) is out of order or there twice"}},
		{"order", func(c []Consent) []Consent { c[0], c[1] = c[1], c[0]; return c }, nil, []string{"member 1 (ann) is out of order or there twice"}},
		{"member 0", func(c []Consent) []Consent { c[0].Member = 0; return c }, []string{"member 1 (ann)"}, []string{"there is no member 0"}},
		{"member 5", func(c []Consent) []Consent { return append(c, Consent{Member: 5}) }, nil, []string{"there is no member 5"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			consents := test.change(slices.Clone(good))
			var e *ConsentError
			if err := VerifyConsent(terms, consents); !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(&ConsentError{test.missing, test.wrong}, e); diff != "" {
				t.Error(diff)
			}
			for _, text := range append(test.missing, test.wrong...) {
				if !strings.Contains(e.Error(), text) {
					t.Errorf("%q does not name %q", e, text)
				}
			}
			// A file may lack consents, but not hold wrong ones.
			s := SignedTerms{*terms, consents}
			if err := s.Validate(); (err != nil) != (test.wrong != nil) {
				t.Errorf("as a file: %v", err)
			}
		})
	}
	invalid := testTerms(4, 3)
	invalid.Threshold = 1
	if err := VerifyConsent(invalid, good); !errors.Is(err, ErrTerms) {
		t.Errorf("invalid terms: %v", err)
	}
}

// A member signs only terms that name it with all of its keys.
func TestSignConsentLooksAtOwnKeys(t *testing.T) {
	stranger := testSecret(9).Member("zoe")
	for name, change := range map[string]func(m *Member){
		"encryption": func(m *Member) { m.Encryption = stranger.Encryption },
		"validator":  func(m *Member) { m.Validator = stranger.Validator },
		"node":       func(m *Member) { m.Node = stranger.Node },
		"identity":   func(m *Member) { m.Identity = stranger.Identity },
	} {
		terms := testTerms(4, 3)
		change(&terms.Members[1])
		if _, err := SignConsent(terms, testSecret(2)); !errors.Is(err, ErrNotMember) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := SignConsent(testTerms(4, 3), testSecret(5)); !errors.Is(err, ErrNotMember) {
		t.Error("a stranger signs")
	}
	bad := testTerms(4, 3)
	bad.Threshold = 0
	if _, err := SignConsent(bad, testSecret(1)); !errors.Is(err, ErrTerms) {
		t.Errorf("invalid terms are signed: %v", err)
	}
}

func TestMergeSignedTerms(t *testing.T) {
	terms := testTerms(4, 3)
	a, b := signedBy(t, terms, 1, 3), signedBy(t, terms, 3, 4, 2)
	if err := a.Merge(b); err != nil {
		t.Fatal(err)
	}
	if err := VerifyConsent(&a.Terms, a.Consents); err != nil {
		t.Error(err)
	}
	if len(b.Consents) != 3 || b.Consented(1) || !b.Consented(2) {
		t.Errorf("merging changed the other: %v", b.Consents)
	}
	changed := testTerms(4, 3)
	changed.Phases.Deal++
	if err := a.Merge(signedBy(t, changed, 1)); !errors.Is(err, ErrTerms) {
		t.Errorf("other terms: %v", err)
	}
	wrong := signedBy(t, terms, 2)
	wrong.Consents[0].Signature[0]++
	if err := signedBy(t, terms, 1).Merge(wrong); err == nil {
		t.Error("a wrong consent is merged")
	}
}

func TestSignedTermsFile(t *testing.T) {
	for _, members := range [][]int{nil, {2}, {1, 2, 3, 4}} {
		s := signedBy(t, testTerms(4, 3), members...)
		text := must(json.MarshalIndent(s, "", "  "))(t)
		back := must(ReadSignedTerms(append(text, '\n')))(t)
		if back.Terms.Hash() != s.Terms.Hash() || len(back.Consents) != len(members) || len(members) > 0 && cmp.Diff(s.Consents, back.Consents) != "" {
			t.Errorf("%v: another value", members)
		}
	}
	good := string(must(json.Marshal(signedBy(t, testTerms(2, 2), 1, 2)))(t))
	for name, bad := range map[string]string{
		"empty":                 "",
		"null":                  "null",
		"unknown field":         strings.Replace(good, `"terms"`, `"colour":1,"terms"`, 1),
		"unknown consent field": strings.Replace(good, `"member":1`, `"colour":1,"member":1`, 1),
		"another format":        strings.Replace(good, "terms/v1", "terms/v2", 1),
		"more":                  good + "{}",
		"changed terms":         strings.Replace(good, `"epoch":1`, `"epoch":2`, 1),
		"renamed member":        strings.Replace(good, `"name":"ann"`, `"name":"eve"`, 1),
		"swapped":               strings.Replace(strings.Replace(good, `"member":1`, `"member":7`, 1), `"member":2`, `"member":1`, 1),
		"short signature":       good[:len(good)-6] + `"}]}`,
	} {
		if _, err := ReadSignedTerms([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzReadSignedTerms(f *testing.F) {
	f.Add(must(json.Marshal(signedBy(f, testTerms(3, 2), 1, 3)))(f))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ReadSignedTerms(b)
		if err != nil {
			return
		}
		again := must(ReadSignedTerms(must(json.Marshal(s))(t)))(t)
		if again.Terms.Hash() != s.Terms.Hash() || len(again.Consents) != len(s.Consents) {
			t.Fatal("another value")
		}
	})
}
