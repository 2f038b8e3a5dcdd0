package keygen

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/keygen/internal/g1"
	"github.com/scrimlabs/scrim/threshold"
)

func TestTermsRoundTrip(t *testing.T) {
	for _, n := range []int{1, 4, 16} {
		terms := testTerms(n, DefaultThreshold(n))
		b := must(terms.MarshalBinary())(t)
		back := must(ParseTerms(b))(t)
		if diff := cmp.Diff(terms, back); diff != "" {
			t.Error(diff)
		}
		var fromJSON Terms
		if err := json.Unmarshal(must(json.Marshal(terms))(t), &fromJSON); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(terms, &fromJSON); diff != "" {
			t.Error(diff)
		}
		if terms.Hash() != fromJSON.Hash() {
			t.Error("JSON changes the hash")
		}
	}
}

// The hash is of the documented bytes, and every field is in it.
func TestTermsHash(t *testing.T) {
	terms := testTerms(4, 3)
	if want := sha256.Sum256(append([]byte("scrim/terms/v2"), must(terms.MarshalBinary())(t)...)); terms.Hash() != want {
		t.Error("the hash is not of the documented bytes")
	}
	seen := map[[32]byte]string{terms.Hash(): "original"}
	for name, change := range map[string]func(*Terms){
		"chain":     func(t *Terms) { t.ChainID = "b" },
		"epoch":     func(t *Terms) { t.Epoch++ },
		"attempt":   func(t *Terms) { t.Attempt++ },
		"threshold": func(t *Terms) { t.Threshold++ },
		"fewer":     func(t *Terms) { t.Members = t.Members[:3] },
		"order":     func(t *Terms) { t.Members[0], t.Members[1] = t.Members[1], t.Members[0] },
		"name":      func(t *Terms) { t.Members[0].Name = "zoe" },
		"deal":      func(t *Terms) { t.Phases.Deal++ },
		"respond":   func(t *Terms) { t.Phases.Respond++ },
		"justify":   func(t *Terms) { t.Phases.Justify++ },
		"certify":   func(t *Terms) { t.Phases.Certify++ },
		"store":     func(t *Terms) { t.Phases.Store++ },
		"start":     func(t *Terms) { t.StartHeight++ },
		"limits":    func(t *Terms) { t.Limits[7]++ },
		"change":    func(t *Terms) { t.Change = ChangeRotate },
		"overlap":   func(t *Terms) { t.Overlap++ },
	} {
		changed := testTerms(4, 3)
		change(changed)
		if other, ok := seen[changed.Hash()]; ok {
			t.Errorf("%s and %s have the same hash", name, other)
		}
		seen[changed.Hash()] = name
	}
}

func TestTermsValidate(t *testing.T) {
	for name, change := range map[string]func(*Terms){
		"no chain":            func(t *Terms) { t.ChainID = "" },
		"bad chain":           func(t *Terms) { t.ChainID = "a b" },
		"attempt 0":           func(t *Terms) { t.Attempt = 0 },
		"threshold 0":         func(t *Terms) { t.Threshold = 0 },
		"threshold half":      func(t *Terms) { t.Threshold = 2 },
		"threshold n+1":       func(t *Terms) { t.Threshold = 5 },
		"no members":          func(t *Terms) { t.Members = nil },
		"too many members":    func(t *Terms) { t.Members = make([]Member, threshold.MaxMembers+1) },
		"phase 0":             func(t *Terms) { t.Phases.Justify = 0 },
		"no store phase":      func(t *Terms) { t.Phases.Store = 0 },
		"endless phase":       func(t *Terms) { t.Phases.Deal = 1 << 40 },
		"start 0":             func(t *Terms) { t.StartHeight = 0 },
		"start far":           func(t *Terms) { t.StartHeight = 1 << 63 },
		"no name":             func(t *Terms) { t.Members[1].Name = "" },
		"long name":           func(t *Terms) { t.Members[1].Name = strings.Repeat("a", 33) },
		"name with space":     func(t *Terms) { t.Members[1].Name = "a b" },
		"same name":           func(t *Terms) { t.Members[1].Name = t.Members[0].Name },
		"same identity":       func(t *Terms) { t.Members[1].Identity = t.Members[0].Identity },
		"node is identity":    func(t *Terms) { t.Members[1].Node = t.Members[1].Identity },
		"validator of other":  func(t *Terms) { t.Members[1].Validator = t.Members[2].Identity },
		"short identity":      func(t *Terms) { t.Members[1].Identity = t.Members[1].Identity[:31] },
		"small-order X25519":  func(t *Terms) { t.Members[1].Encryption = [32]byte{1} },
		"encryption is zero":  func(t *Terms) { t.Members[1].Encryption = [32]byte{} },
		"encryption of other": func(t *Terms) { t.Members[1].Encryption = t.Members[0].Encryption },
	} {
		terms := testTerms(4, 3)
		change(terms)
		if err := terms.Validate(); !errors.Is(err, ErrTerms) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := New(terms); err == nil {
			t.Errorf("%s: a ceremony begins", name)
		}
		if _, err := terms.MarshalBinary(); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func TestJSONIsStrict(t *testing.T) {
	good := string(must(json.Marshal(testTerms(1, 1)))(t))
	for name, bad := range map[string]string{
		"unknown field":        strings.Replace(good, `"epoch"`, `"colour":1,"epoch"`, 1),
		"unknown member field": strings.Replace(good, `"identity"`, `"colour":1,"identity"`, 1),
		"no 0x":                strings.Replace(good, `"0x`, `"`, 1),
		"odd hex":              strings.Replace(good, `"0x`, `"0x1`, 1),
		"short key":            strings.Replace(good, `"encryption":"0x0000`, `"encryption":"0x`, 1),
		"number as text":       strings.Replace(good, `"epoch":1`, `"epoch":"1"`, 1),
	} {
		if name == "short key" {
			i := strings.Index(good, `"encryption":"0x`) + len(`"encryption":"0x`)
			bad = good[:i] + good[i+2:]
		}
		var terms Terms
		if err := json.Unmarshal([]byte(bad), &terms); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMemberRoundTrip(t *testing.T) {
	m := testSecret(1).Member("ann")
	b := must(m.MarshalBinary())(t)
	if diff := cmp.Diff(m, must(ParseMember(b))(t)); diff != "" {
		t.Error(diff)
	}
	var back Member
	if err := json.Unmarshal(must(json.Marshal(m))(t), &back); err != nil || cmp.Diff(m, back) != "" {
		t.Errorf("JSON: %v %s", err, cmp.Diff(m, back))
	}
	if again := MemberSecretFromSeed(testSecret(1).ExposeSeed()).Member("ann"); cmp.Diff(m, again) != "" {
		t.Error("the same seed makes another member")
	}
	drawn := must(NewMemberSecret(bytes.NewReader(make([]byte, 32))))(t)
	if drawn.ExposeSeed() != [32]byte{} {
		t.Error("the seed is not what was drawn")
	}
	if _, err := NewMemberSecret(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a seed of 31 bytes")
	}
}

// Derived keys may never change: members' files hold the seed alone.
func TestMemberKeysAreFixed(t *testing.T) {
	m := MemberSecretFromSeed([32]byte{}).Member("zero")
	b := must(m.MarshalBinary())(t)
	h := sha256.Sum256(b)
	if got, want := hex.EncodeToString(h[:]), memberKeysVector; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A whole ceremony is fixed too: terms, and every message up to the transcript.
func TestCeremonyIsFixed(t *testing.T) {
	st := finishedOnce()
	got := []string{short(st.terms.Hash()), short(st.state.Certificate().Transcript)}
	if diff := cmp.Diff(ceremonyVector, got); diff != "" {
		t.Error(diff)
	}
}

func TestMessageRoundTrip(t *testing.T) {
	m := &Message{Ceremony: [32]byte{1}, Kind: KindDeal, Member: 7, Body: []byte("body"), Signature: [64]byte{2}}
	b := must(m.MarshalBinary())(t)
	if diff := cmp.Diff(m, must(ParseMessage(b))(t)); diff != "" {
		t.Error(diff)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "cut": b[:len(b)-1], "long": append(bytes.Clone(b), 0),
		"version":  append([]byte{2}, b[1:]...),
		"length":   func() []byte { c := bytes.Clone(b); binary.BigEndian.PutUint32(c[38:], 1<<31); return c }(),
		"oversize": make([]byte, MaxMessageSize+1),
	} {
		if _, err := ParseMessage(bad); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for kind, most := range map[Kind]int{KindDeal: 36 << 10, KindConsent: 36 << 10, KindProposal: MaxMessageSize} {
		m := &Message{Kind: kind, Body: make([]byte, kind.maxBody())}
		b := must(m.MarshalBinary())(t)
		if len(b) != most {
			t.Errorf("the largest %s has %d bytes, not %d", kind, len(b), most)
		}
		must(ParseMessage(b))(t)
		m.Body = append(m.Body, 0)
		if _, err := m.MarshalBinary(); err == nil {
			t.Errorf("a larger %s is encoded", kind)
		}
		binary.BigEndian.PutUint32(b[38:], uint32(len(m.Body)))
		if _, err := ParseMessage(append(b, 0)); !errors.Is(err, ErrEncoding) {
			t.Errorf("a larger %s is read: %v", kind, err)
		}
	}
}

// The largest deal there can be fits into a message.
func TestLargestDealFits(t *testing.T) {
	n := threshold.MaxMembers
	size := 2 + n*pointSize + pointSize + scalarSize + 2 + n*sealedSize
	if size > maxBody {
		t.Errorf("a deal with n = t = %d has %d bytes, a body at most %d", n, size, maxBody)
	}
	if size := 2 + n*answerSize; size > maxBody {
		t.Errorf("a justification has %d bytes", size)
	}
}

var finishedOnce = sync.OnceValue(func() *stage {
	t := &testing.T{}
	return finished(t, testTerms(4, 3))
})

// clone gives a certificate that one may spoil.
func cloneCertificate(t testing.TB, c *Certificate) *Certificate {
	return must(ParseCertificate(must(c.MarshalBinary())(t)))(t)
}

// resign makes member i+1 sign what its certification says now.
func resign(c *Certificate, i int) {
	one := &c.Certifications[i]
	m := newMessage(testSecret(i+1).Identity(), c.Terms, c.Terms.Hash(), KindCertification, one.Member, one.body(c.Transcript))
	one.Signature = m.Signature
}

func TestCertificateRoundTrip(t *testing.T) {
	c := finishedOnce().state.Certificate()
	b := must(c.MarshalBinary())(t)
	back := must(ParseCertificate(b))(t)
	if again := must(back.MarshalBinary())(t); !bytes.Equal(again, b) {
		t.Error("written again it is another")
	}
	for name, terms := range map[string]*Terms{"pinned": testTerms(4, 3), "not pinned": nil} {
		if err := VerifyCertificate(back, terms); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerifyCertificateRefuses(t *testing.T) {
	st := finishedOnce()
	original := st.state.Certificate()
	// A second ceremony of the same members, to mix in.
	other := func() *Certificate {
		terms := testTerms(4, 3)
		terms.Attempt = 2
		return finished(t, terms).state.Certificate()
	}()
	sum := func(c *Certificate, i int) { c.Certifications[i].Key = c.Committee.Members[i].Bytes() }
	for name, change := range map[string]func(c *Certificate){
		"no terms":                   func(c *Certificate) { c.Terms = nil },
		"no committee":               func(c *Certificate) { c.Committee = nil },
		"other terms":                func(c *Certificate) { c.Terms = other.Terms },
		"bad terms":                  func(c *Certificate) { c.Terms.Threshold = 1 },
		"another epoch":              func(c *Certificate) { c.Committee.Epoch++ },
		"lower threshold":            func(c *Certificate) { c.Committee.Threshold-- },
		"fewer members":              func(c *Certificate) { c.Committee.Members = c.Committee.Members[:3] },
		"another committee":          func(c *Certificate) { c.Committee = other.Committee },
		"another committee and keys": func(c *Certificate) { c.Committee = other.Committee; sum(c, 0); sum(c, 1); sum(c, 2); sum(c, 3) },
		"another public key":         func(c *Certificate) { c.Committee.Key = other.Committee.Key },
		"another member key": func(c *Certificate) {
			c.Committee.Members[3] = other.Committee.Members[3]
			c.Certifications = c.Certifications[:3]
		},
		"members swapped": func(c *Certificate) {
			m := c.Committee.Members
			m[0], m[1] = m[1], m[0]
		},
		"another transcript": func(c *Certificate) { c.Transcript = other.Transcript },
		"too few":            func(c *Certificate) { c.Certifications = c.Certifications[:2] },
		"none":               func(c *Certificate) { c.Certifications = nil },
		"one twice":          func(c *Certificate) { c.Certifications[1] = c.Certifications[0] },
		"out of order":       func(c *Certificate) { s := c.Certifications; s[0], s[1] = s[1], s[0] },
		"stranger":           func(c *Certificate) { c.Certifications[3].Member = 5; c.Certifications[3].Share.Member = 5 },
		"member 0":           func(c *Certificate) { c.Certifications[0].Member = 0; c.Certifications[0].Share.Member = 0 },
		"another's share":    func(c *Certificate) { c.Certifications[0].Share = c.Certifications[1].Share },
		"share of the other": func(c *Certificate) { c.Certifications[0].Share = other.Certifications[0].Share },
		"renamed share": func(c *Certificate) {
			c.Certifications[0].Share.Point = c.Certifications[1].Share.Point
		},
		"another's signature":    func(c *Certificate) { c.Certifications[0].Signature = c.Certifications[1].Signature },
		"signature of the other": func(c *Certificate) { c.Certifications[0].Signature = other.Certifications[0].Signature },
		"no signature":           func(c *Certificate) { c.Certifications[0].Signature = [64]byte{} },
		"short key":              func(c *Certificate) { c.Certifications[0].Key = c.Certifications[0].Key[:48] },
		"certified another key": func(c *Certificate) {
			c.Certifications[0].Key = c.Committee.Members[1].Bytes()
			resign(c, 0)
		},
		"certified with another share": func(c *Certificate) {
			c.Certifications[0].Share.Point = c.Certifications[1].Share.Point
			resign(c, 0)
		},
		"too few qualified":  func(c *Certificate) { c.Qualified = c.Qualified[:2] },
		"qualified twice":    func(c *Certificate) { c.Qualified[1] = c.Qualified[0] },
		"qualified stranger": func(c *Certificate) { c.Qualified[3] = 5 },
	} {
		c := cloneCertificate(t, original)
		change(c)
		if err := VerifyCertificate(c, nil); !errors.Is(err, ErrCertificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := VerifyCertificate(original, other.Terms); !errors.Is(err, ErrCertificate) {
		t.Errorf("other pinned terms: %v", err)
	}
	if err := VerifyCertificate(other, other.Terms); err != nil {
		t.Errorf("the other one: %v", err)
	}
	three := cloneCertificate(t, original)
	three.Certifications = slices.Delete(three.Certifications, 1, 2)
	if err := VerifyCertificate(three, st.terms); err != nil {
		t.Errorf("with t certifications: %v", err)
	}
}

// ParseState does not believe what a file says its members said.
func TestParseStateChecks(t *testing.T) {
	st := finishedOnce()
	good := must(st.state.MarshalBinary())(t)
	dealt, _, err := Step(must(New(st.terms))(t), Event{1, st.state.Message(KindDeal, 4)})
	if err != nil {
		t.Fatal(err)
	}
	unsigned := must(dealt.MarshalBinary())(t)
	must(ParseState(unsigned))(t)
	unsigned[len(unsigned)-4-4*(kinds-1)-1] ^= 1 // the signature's end: no faults and empty places follow
	termsLen := 1 + 4 + len(must(st.terms.MarshalBinary())(t))
	entries := termsLen + 1 + 1 + 8 + 8
	for name, change := range map[string]func(b []byte) []byte{
		"version":         func(b []byte) []byte { b[0] = 1; return b },
		"cut":             func(b []byte) []byte { return b[:len(b)-1] },
		"long":            func(b []byte) []byte { return append(b, 0) },
		"phase unknown":   func(b []byte) []byte { b[termsLen] = 77; return b },
		"phase dealing":   func(b []byte) []byte { b[termsLen] = byte(PhaseDealing); return b },
		"phase rejected":  func(b []byte) []byte { b[termsLen] = byte(PhaseRejected); return b },
		"phase aborted":   func(b []byte) []byte { b[termsLen] = byte(PhaseAborted); return b },
		"not ended":       func(b []byte) []byte { b[termsLen+1] = 0; return b },
		"ended early":     func(b []byte) []byte { b[termsLen+1] = byte(PhaseCertifying); return b },
		"ended in an end": func(b []byte) []byte { b[termsLen+1] = byte(PhaseFailed); return b },
		"height":          func(b []byte) []byte { b[termsLen+2] = 0xff; return b },
		"deal changed":    func(b []byte) []byte { b[entries+5+20] ^= 1; return b },
		"flag":            func(b []byte) []byte { b[entries] = 2; return b },
		"another chain":   func(b []byte) []byte { b[1+4+2] = 'x'; return b },
		"many faults":     func(b []byte) []byte { b[len(b)-1] = 0xff; return b },
		"fault unknown":   func(b []byte) []byte { b[len(b)-1] = 1; return append(b, make([]byte, faultSize)...) },
		"nothing":         func([]byte) []byte { return nil },
		"unsigned":        func([]byte) []byte { return unsigned },
		"deals withdrawn": func(b []byte) []byte { return append(b[:entries], make([]byte, 4*kinds+4)...) },
		"stored withdrawn": func(b []byte) []byte {
			b = b[:len(b)-4-4*(1+4+32+64)]
			return append(b, make([]byte, 4+4)...)
		},
	} {
		if _, err := ParseState(change(bytes.Clone(good))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Fuzz targets: what a decoder takes, it gives back byte for byte.

func FuzzParseMember(f *testing.F) {
	f.Add(must(testSecret(1).Member("ann").MarshalBinary())(f))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := ParseMember(b); err == nil && !bytes.Equal(must(m.MarshalBinary())(t), b) {
			t.Fatal("another encoding")
		}
	})
}

func FuzzParseTerms(f *testing.F) {
	f.Add(must(testTerms(4, 3).MarshalBinary())(f))
	f.Add(must(testTerms(1, 1).MarshalBinary())(f))
	f.Add(must(succession(f, toReshare).terms.MarshalBinary())(f))
	f.Add(must(succession(f, toRotate).terms.MarshalBinary())(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := ParseTerms(b); err == nil && !bytes.Equal(must(v.MarshalBinary())(t), b) {
			t.Fatal("another encoding")
		}
	})
}

func FuzzTermsJSON(f *testing.F) {
	f.Add(must(json.Marshal(testTerms(4, 3)))(f))
	f.Add(must(json.Marshal(succession(f, toRotate).terms))(f))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v, again Terms
		if json.Unmarshal(b, &v) != nil || v.Validate() != nil {
			return
		}
		if err := json.Unmarshal(must(json.Marshal(&v))(t), &again); err != nil || v.Hash() != again.Hash() {
			t.Fatalf("another value: %v", err)
		}
	})
}

func FuzzParseMessage(f *testing.F) {
	st := finishedOnce()
	for k := KindDeal; k <= kinds; k++ {
		if m := st.state.Message(k, 1); m != nil {
			f.Add(must(m.MarshalBinary())(f))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := ParseMessage(b); err == nil && !bytes.Equal(must(m.MarshalBinary())(t), b) {
			t.Fatal("another encoding")
		}
	})
}

func FuzzParseState(f *testing.F) {
	f.Add(must(must(New(testTerms(2, 2)))(f).MarshalBinary())(f))
	f.Add(must(finishedOnce().state.MarshalBinary())(f))
	f.Add(must(succession(f, toReshare).state.MarshalBinary())(f))
	f.Add(must(succession(f, toReshare).through(PhaseActive).state.MarshalBinary())(f))
	f.Add(must(succession(f, toRotate).through(PhaseCertifying).state.MarshalBinary())(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseState(b)
		if err != nil {
			return
		}
		if !bytes.Equal(must(s.MarshalBinary())(t), b) {
			t.Fatal("another encoding")
		}
		s.Status()
		for h := s.height; h < s.height+3; h++ {
			if s, _, err = Step(s, Event{Height: h}); err != nil && !errors.Is(err, ErrHeight) {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseCertificate(f *testing.F) {
	f.Add(must(finishedOnce().state.Certificate().MarshalBinary())(f))
	f.Add(must(succession(f, toReshare).through(PhaseActive).state.Certificate().MarshalBinary())(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCertificate(b)
		if err != nil {
			return
		}
		if !bytes.Equal(must(c.MarshalBinary())(t), b) {
			t.Fatal("another encoding")
		}
		VerifyCertificate(c, nil)
		VerifySuccession(c, finishedOnce().state.Certificate())
	})
}

func TestRecordRoundTrip(t *testing.T) {
	st := crimes(t)
	if st.state.Record() != nil || finishedOnce().state.Record() != nil {
		t.Error("a record of a ceremony that runs, or has succeeded")
	}
	st.command([]string{"abort", "1", "2", "3", "4"})
	r := st.state.Record()
	if r == nil || r.Outcome != PhaseAborted || r.EndedIn != PhaseCertifying || len(r.Blame) < 6 {
		t.Fatalf("%+v", r)
	}
	b := must(r.MarshalBinary())(t)
	back := must(ParseRecord(b))(t)
	if diff := cmp.Diff(r, back); diff != "" {
		t.Error(diff)
	}
	if e := back.Evidence(); len(e) != 1 || e[0].Verify(testTerms(7, 4)) != nil || e[0].Member != 1 {
		t.Errorf("evidence %+v", e)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "cut": b[:len(b)-1], "long": append(bytes.Clone(b), 0), "version": append([]byte{2}, b[1:]...),
		"active":    func() []byte { c := bytes.Clone(b); c[5+termsSize(t, r.Terms)] = byte(PhaseActive); return c }(),
		"signature": func() []byte { c := bytes.Clone(b); c[len(c)-1] ^= 1; return c }(),
	} {
		if _, err := ParseRecord(bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func termsSize(t testing.TB, terms *Terms) int { return len(must(terms.MarshalBinary())(t)) }

func FuzzParseRecord(f *testing.F) {
	st := newStage(f, testTerms(4, 3))
	st.command([]string{"deal", "2"})
	st.command([]string{"deal", "2", "bad=garbage"})
	st.command([]string{"abort", "1", "2", "3"})
	f.Add(must(st.state.Record().MarshalBinary())(f))
	next := succession(f, toReshare).through(PhaseDealing)
	next.command([]string{"deal", "bob", "bad=garbage"})
	next.command([]string{"abort", "old:ann", "old:bob", "old:cid"})
	f.Add(must(next.state.Record().MarshalBinary())(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		if !bytes.Equal(must(r.MarshalBinary())(t), b) {
			t.Fatal("another encoding")
		}
		r.Evidence()
	})
}

func FuzzParseEvidence(f *testing.F) {
	st := newStage(f, testTerms(4, 3))
	st.command([]string{"deal", "1"})
	st.command([]string{"deal", "1", "bad=other"})
	st.command([]string{"deal", "2", "bad=possession"})
	next := succession(f, toReshare).through(PhaseDealing)
	next.command([]string{"deal", "bob", "bad=constant"})
	for _, e := range append(st.state.Evidence(), next.state.Evidence()...) {
		f.Add(must(e.MarshalBinary())(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEvidence(b)
		if err != nil {
			return
		}
		if !bytes.Equal(must(e.MarshalBinary())(t), b) {
			t.Fatal("another encoding")
		}
		e.Verify(st.terms)
		e.Verify(next.terms)
	})
}

// FuzzBody puts any body into every phase, signed: it is taken, and blamed or right, and never more.
func FuzzBody(f *testing.F) {
	terms := testTerms(4, 3)
	dealing := must(New(terms))(f)
	st := newStage(f, terms)
	f.Add(uint8(0), st.actors[0].someDeal(f, 1))
	st.command([]string{"deal", "all"})
	responding := st.state
	f.Add(uint8(1), must(st.actors[0].responseBody(st.state))(f))
	st.command([]string{"respond", "1", "bad=complain:4"})
	st.command([]string{"respond", "2", "3", "4"})
	justifying := st.state
	answers := must(st.actors[3].justificationBody(st.state, 4))(f)
	f.Add(uint8(2), answers)
	f.Add(uint8(2), append([]byte{0, 0}, answers[2:]...))
	f.Add(uint8(2), append([]byte{0, 2}, answers[2:]...))
	st.command([]string{"justify", "4"})
	certifying := st.state
	if justifying.Phase() != PhaseJustifying || certifying.Phase() != PhaseCertifying {
		f.Fatal(st.printed)
	}
	st.actors[0].ConfirmStored(must(st.actors[0].Share(certifying))(f))
	f.Add(uint8(3), must(st.actors[0].certificationBody(certifying))(f))

	st.command([]string{"certify", "all"})
	storing := st.state
	st.actors[0].ConfirmReadBack(must(st.actors[0].Share(storing))(f))
	f.Add(uint8(4), must(st.actors[0].storedBody(storing))(f))
	proposed := testTerms(4, 3)
	proposed.StartHeight = 10
	proposal := must(Propose(proposed))(f)
	f.Add(uint8(5), []byte{})
	f.Add(uint8(5), []byte{0})

	states := []*State{dealing, responding, justifying, certifying, storing, proposal}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		s := states[which%6]
		member := uint32(1)
		if s == justifying {
			member = 4
		}
		if len(body) > maxBody {
			return
		}
		m := newMessage(testSecret(int(member)).Identity(), s.terms, s.ceremony, s.Phase().kind(), member, body)
		next, _, err := Step(s, Event{s.height + 1, m})
		if err != nil {
			t.Fatal(err)
		}
		e := next.entry(m.Kind, member)
		if e.fault == 0 && s == dealing && !bytes.Equal(e.deal.append(nil), body) {
			t.Fatal("a deal with two encodings")
		}
		if e.fault == 0 && s == justifying && !bytes.Equal(appendAnswers(nil, e.answers), body) {
			t.Fatal("a justification with two encodings")
		}
		must(ParseState(must(next.MarshalBinary())(t)))(t)
	})
}

func TestPossession(t *testing.T) {
	terms := testTerms(4, 3)
	h := terms.Hash()
	a := g1.Secret.Scalar().SetInt64(12345)
	public := g1.Secret.Point().Mul(a, nil).(*g1.Point)
	p := provePossession(terms, h, 2, a, g1.Secret.Scalar().SetInt64(999))
	if !p.holds(terms, h, 2, public) {
		t.Fatal("a good proof does not hold")
	}
	otherChain := *terms
	otherChain.ChainID = "other"
	shifted := public.Clone().(*g1.Point)
	shifted.Add(shifted, g1.Public.Point().Base())
	for name, holds := range map[string]bool{
		"dealer":   p.holds(terms, h, 3, public),
		"ceremony": p.holds(terms, [32]byte{}, 2, public),
		"chain":    p.holds(&otherChain, h, 2, public),
		"key":      p.holds(terms, h, 2, shifted),
		"infinity": provePossession(terms, h, 2, g1.Secret.Scalar().Zero(), a).holds(terms, h, 2, g1.Public.Point().(*g1.Point)),
	} {
		if holds {
			t.Errorf("it holds for another %s", name)
		}
	}
}

func TestShareEncryptionIsBound(t *testing.T) {
	terms := testTerms(4, 3)
	ctx := sealContext{terms, terms.Hash(), 1, 2, [32]byte{7}}
	v := new(g1.Scalar)
	v.SetInt64(42)
	sealed := must(ctx.seal(v, [32]byte{1}))(t)
	if again := must(ctx.seal(v, [32]byte{1}))(t); again != sealed {
		t.Error("the same ephemeral gives other bytes")
	}
	key := testSecret(2).encryption()
	if got, err := ctx.open(key, sealed); err != nil || !got.Equal(v) {
		t.Fatalf("open: %v", err)
	}
	otherChain := *terms
	otherChain.ChainID = "other"
	for name, c := range map[string]sealContext{
		"chain":       {&otherChain, ctx.ceremony, 1, 2, ctx.commitments},
		"ceremony":    {terms, [32]byte{}, 1, 2, ctx.commitments},
		"dealer":      {terms, ctx.ceremony, 3, 2, ctx.commitments},
		"receiver":    {terms, ctx.ceremony, 1, 3, ctx.commitments},
		"commitments": {terms, ctx.ceremony, 1, 2, [32]byte{8}},
	} {
		if _, err := c.open(key, sealed); err == nil {
			t.Errorf("it opens under another %s", name)
		}
	}
	if _, err := ctx.open(testSecret(3).encryption(), sealed); err == nil {
		t.Error("it opens with another key")
	}
	sealed[50] ^= 1
	if _, err := ctx.open(key, sealed); err == nil {
		t.Error("it opens although it was changed")
	}
}

// Written down once; they change only with the wire format's version.
const memberKeysVector = "a559d37e60892ecf38a86a6f703c20fdad77eb300b64498c2c22b8b9fffcff7a"

var ceremonyVector = []string{"7899c9e9", "46409062"}
