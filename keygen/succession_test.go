package keygen

import (
	"bytes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/google/go-cmp/cmp"
	"go.dedis.ch/kyber/v3"
	"go.dedis.ch/kyber/v3/share"
	dkg "go.dedis.ch/kyber/v3/share/dkg/pedersen"
	"go.dedis.ch/kyber/v3/xof/blake2xb"

	"github.com/scrimlabs/scrim/keygen/internal/g1"
	"github.com/scrimlabs/scrim/threshold"
)

// succession is a stage on which ann, bob, cid and dora, 3 of 4, are in office and
// the command of a script has proposed who follows.
func succession(t testing.TB, command string) *stage {
	return successionOf(t, finishedOnce(), command)
}

func successionOf(t testing.TB, office *stage, command string) *stage {
	st := &stage{t: t, state: office.state, terms: office.terms, height: 1, last: map[Kind][]*Message{}}
	st.command(strings.Fields(command))
	if st.state.Phase() != PhaseProposed {
		t.Fatal(st.printed)
	}
	return st
}

// through plays the ceremony without incident up to a phase.
func (st *stage) through(phase Phase) *stage {
	st.plain = true
	defer func() { st.plain = false }()
	commands := map[Phase][]string{
		PhaseProposed: {"consent", "all"}, PhaseAccepted: {"end", fmt.Sprintf("height=%d", st.terms.StartHeight-1)},
		PhaseDealing: {"deal", "all"}, PhaseResponding: {"respond", "all"}, PhaseCertifying: {"certify", "all"}, PhaseStoring: {"store", "all"},
	}
	for st.state.Phase() != phase {
		c, ok := commands[st.state.Phase()]
		if !ok {
			st.t.Fatalf("the ceremony is %s: %v", st.state.Phase(), st.printed)
		}
		st.command(c)
	}
	return st
}

const (
	toReshare = "reshare members=ann,bob,eve,fred,gus t=4 start=10 by=ann"
	toRotate  = "rotate members=ann,bob,eve,fred,gus t=4 start=10 by=ann overlap=7"
)

func TestSuccessionTermsValidate(t *testing.T) {
	good := succession(t, toRotate).terms
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Terms){
		"no change":                 func(t *Terms) { t.Change = 0 },
		"unknown change":            func(t *Terms) { t.Change = 4 },
		"first with a previous one": func(t *Terms) { t.Change = ChangeFirst; t.Overlap = 0 },
		"rotation from nobody":      func(t *Terms) { t.Previous = nil },
		"resharing from nobody":     func(t *Terms) { t.Previous = nil; t.Change = ChangeReshare; t.Overlap = 0 },
		"resharing with overlap":    func(t *Terms) { t.Change = ChangeReshare },
		"endless overlap":           func(t *Terms) { t.Overlap = maxPhase + 1 },
		"same epoch":                func(t *Terms) { t.Epoch-- },
		"epoch left out":            func(t *Terms) { t.Epoch++ },
		"epoch 0":                   func(t *Terms) { t.Epoch = 0 },
		"no keys":                   func(t *Terms) { t.Previous.Committee = nil },
		"empty committee":           func(t *Terms) { t.Previous.Committee = &threshold.Committee{Epoch: 1} },
		"previous member missing":   func(t *Terms) { t.Previous.Members = t.Previous.Members[:3] },
		"previous members missing":  func(t *Terms) { t.Previous.Members = nil },
		"previous member invalid":   func(t *Terms) { t.Previous.Members[1].Name = "A B" },
		"previous members the same": func(t *Terms) { t.Previous.Members[1] = t.Previous.Members[0] },
		"previous member keyless":   func(t *Terms) { t.Previous.Members[2].Identity = nil },
		"previous threshold low":    func(t *Terms) { c := *t.Previous.Committee; c.Threshold = 2; t.Previous.Committee = &c },
		"previous threshold high":   func(t *Terms) { c := *t.Previous.Committee; c.Threshold = 5; t.Previous.Committee = &c },
		"keys of no polynomial": func(t *Terms) {
			c := *t.Previous.Committee
			c.Members = slices.Clone(c.Members)
			c.Members[0], c.Members[1] = c.Members[1], c.Members[0]
			t.Previous.Committee = &c
		},
		"previous member with other keys": func(t *Terms) { t.Members[0].Encryption = testMember(9).Encryption },
		"key of a previous member":        func(t *Terms) { t.Members[4].Validator = t.Previous.Members[3].Validator },
		"key in another place":            func(t *Terms) { t.Members[4].Validator = t.Previous.Members[3].Identity },
	} {
		terms := *good
		terms.Members, terms.Previous = slices.Clone(good.Members), good.Previous.clone()
		change(&terms)
		if err := terms.Validate(); !errors.Is(err, ErrTerms) {
			t.Errorf("%s: %v", name, err)
		}
		if b := terms.append(nil); bytes.Equal(b, good.append(nil)) {
			t.Errorf("%s: nothing changed", name)
		} else if _, err := ParseTerms(b); err == nil {
			t.Errorf("%s: read", name)
		}
		if _, err := terms.MarshalBinary(); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
	// A member may come back under another name, and another one may take the name over.
	renamed := *good
	renamed.Members = slices.Clone(good.Members)
	renamed.Members[0].Name, renamed.Members[4].Name = "annie", "dora"
	if err := renamed.Validate(); err != nil {
		t.Error(err)
	}
}

func TestSuccessionTermsRoundTrip(t *testing.T) {
	for _, command := range []string{toReshare, toRotate} {
		terms := succession(t, command).terms
		b := must(terms.MarshalBinary())(t)
		if diff := cmp.Diff(terms, must(ParseTerms(b))(t)); diff != "" {
			t.Error(diff)
		}
		text := must(json.Marshal(terms))(t)
		var back Terms
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(terms, &back); diff != "" || back.Hash() != terms.Hash() || back.Validate() != nil {
			t.Errorf("JSON: %s %v", diff, back.Validate())
		}
		for name, bad := range map[string]string{
			"unknown change":  strings.Replace(string(text), `"change":"r`, `"change":"x`, 1),
			"number":          strings.Replace(string(text), `"change":"`+terms.Change.String()+`"`, `"change":2`, 1),
			"short limits":    strings.Replace(string(text), `"limits":"0x00`, `"limits":"0x`, 1),
			"unknown field":   strings.Replace(string(text), `"certificate"`, `"colour":1,"certificate"`, 1),
			"short hash":      strings.Replace(string(text), `"certificate":"0x`, `"certificate":"0x00`, 1),
			"wrong committee": strings.Replace(string(text), `"committee":"0x01`, `"committee":"0x02`, 1),
		} {
			if bad == string(text) {
				t.Errorf("%s: nothing changed", name)
			}
			if err := json.Unmarshal([]byte(bad), new(Terms)); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
		for i := len(b) - len(terms.Previous.append(nil)) - 41; i < len(b); i += 5 {
			changed := bytes.Clone(b)
			changed[i] ^= 1
			if other, err := ParseTerms(changed); err == nil && (other.Hash() == terms.Hash() || !bytes.Equal(must(other.MarshalBinary())(t), changed)) {
				t.Fatalf("byte %d is not in the hash, or has two encodings", i)
			}
		}
		for _, n := range []int{0, 1, len(b) - 1} {
			if _, err := ParseTerms(b[:n]); err == nil {
				t.Errorf("%d bytes are read", n)
			}
		}
	}
}

// What a wallet pins survives a retry, and nothing else.
func TestPin(t *testing.T) {
	terms := succession(t, toRotate).terms
	retry := terms.Retry(99)
	retry.Phases = EqualPhases(77)
	if retry.Pin() != terms.Pin() || retry.Hash() == terms.Hash() {
		t.Error("a retry has another pin, or the same hash")
	}
	seen := map[[32]byte]string{terms.Pin(): "original", terms.Hash(): "hash"}
	for name, change := range map[string]func(*Terms){
		"chain":     func(t *Terms) { t.ChainID = "b" },
		"epoch":     func(t *Terms) { t.Epoch++ },
		"threshold": func(t *Terms) { t.Threshold++ },
		"member":    func(t *Terms) { t.Members[0].Name = "zoe" },
		"limits":    func(t *Terms) { t.Limits[31]++ },
		"change":    func(t *Terms) { t.Change = ChangeReshare },
		"overlap":   func(t *Terms) { t.Overlap++ },
		"previous":  func(t *Terms) { t.Previous.Certificate[0]++ },
	} {
		changed := *terms
		changed.Members, changed.Previous = slices.Clone(terms.Members), terms.Previous.clone()
		change(&changed)
		if other, ok := seen[changed.Pin()]; ok {
			t.Errorf("%s and %s have the same pin", name, other)
		}
		seen[changed.Pin()] = name
	}
	kept := *terms
	kept.Attempt, kept.Phases, kept.StartHeight = 0, Phases{}, 0
	if want := sha256.Sum256(kept.append([]byte("scrim/terms-pin/v1"))); want != terms.Pin() {
		t.Error("the pin is not of the documented bytes")
	}
}

// Who says what, as docs/spec/keygen.md has it.
func documentedSpeaker(k Kind, c Change, previous bool) bool {
	switch k {
	case KindConsent, KindRejection, KindAbort:
		return true
	case KindDeal, KindJustification:
		return previous == (c == ChangeReshare)
	default:
		return !previous
	}
}

// The specification's table says the same, and so does the code.
func TestSpeakersAreDocumented(t *testing.T) {
	spec := string(must(os.ReadFile("../docs/spec/keygen.md"))(t))
	terms := succession(t, toRotate).terms
	for kinds, cells := range map[string][2]string{
		"consent, rejection, abort":       {"all", "all"},
		"deal, justification":             {"members", "previous members"},
		"response, certification, stored": {"members", "members"},
	} {
		if row := fmt.Sprintf("| %s | %s | %s |", kinds, cells[0], cells[1]); !strings.Contains(spec, row) {
			t.Errorf("no row %q", row)
		}
		for i, change := range []Change{ChangeRotate, ChangeReshare} {
			terms.Change = change
			for _, name := range strings.Split(kinds, ", ") {
				for k := KindDeal; k <= KindStored; k++ {
					if k.String() != name {
						continue
					}
					for j, member := range map[uint32]string{1: "members", 6: "previous members"} {
						want := cells[i] == "all" || cells[i] == member
						if terms.speaks(k, j) != want || documentedSpeaker(k, change, j == 6) != want {
							t.Errorf("%s by %s in a %s", k, member, change)
						}
					}
				}
			}
		}
	}
}

// The table of moves over all pairs of a phase and a kind, for every speaker of a succession.
func TestAdmitAllPairsOfSuccessions(t *testing.T) {
	last := map[Kind]Phase{}
	for phase := PhaseProposed; phase <= PhaseAborted; phase++ {
		for _, k := range documentedMoves[phase] {
			last[k] = phase
		}
	}
	for _, command := range []string{toReshare, toRotate} {
		base := succession(t, command).state
		first, dealers := base.terms.dealers()
		for phase := PhaseProposed; phase <= PhaseAborted; phase++ {
			for kind := Kind(0); kind <= KindProposal+1; kind++ {
				for j := uint32(1); int(j) <= base.terms.Speakers(); j++ {
					s := base.clone()
					s.phase = phase
					// All dealt, member 3 complained about all, and all certified.
					for i := range dealers {
						s.entries[KindDeal-1][int(first)+i-1] = &entry{reading: reading{deal: &deal{}}}
					}
					s.entries[KindResponse-1][2] = &entry{reading: reading{verdicts: slices.Repeat([]verdict{complaint}, dealers)}}
					for i := range s.terms.N() {
						s.entries[KindCertification-1][i] = &entry{reading: reading{certification: &Certification{}}}
					}
					s.certificate = &Certificate{}
					s.entries[kindOr(kind, KindConsent)-1][j-1] = nil

					var want error
					switch {
					case last[kind] == 0:
						want = ErrKind
					case s.Done():
						want = ErrOver
					case phase > last[kind]:
						want = ErrLate
					case !slices.Contains(documentedMoves[phase], kind):
						want = ErrEarly
					case !documentedSpeaker(kind, s.terms.Change, s.terms.isPrevious(j)):
						want = ErrUnasked
					}
					secret := testSecret(testNumber(s.terms.Speaker(j).Name))
					m := newMessage(secret.Identity(), s.terms, s.ceremony, kind, j, []byte("x"))
					if err := s.Admit(m); !errors.Is(err, want) {
						t.Errorf("%s by %d in %s of a %s: %v, want %v", kind, j, phase, s.terms.Change, err, want)
					}
				}
			}
		}
	}
}

func TestBeginSuccessionRefuses(t *testing.T) {
	office := finishedOnce().state.Certificate()
	good := succession(t, toRotate).terms
	ann, eve := testSecret(1), testSecret(5)
	propose := func(change func(*Terms)) *Message {
		terms := *good
		terms.Members, terms.Previous = slices.Clone(good.Members), good.Previous.clone()
		change(&terms)
		return newMessage(ann.Identity(), &terms, terms.Hash(), KindProposal, 1, terms.append(nil))
	}
	same := propose(func(*Terms) {})
	for name, test := range map[string]struct {
		m       *Message
		attempt uint32
		want    error
	}{
		"nothing":       {same, 1, nil},
		"other attempt": {same, 2, ErrRetry},
		"another kind":  {newMessage(ann.Identity(), good, good.Hash(), KindConsent, 1, same.Body), 1, ErrRetry},
		"signature":     {&Message{same.Ceremony, KindProposal, 1, same.Body, [64]byte{}}, 1, ErrSignature},
		"previous role": {newMessage(ann.Identity(), good, good.Hash(), KindProposal, 6, same.Body), 1, nil},
		"of another":    {newMessage(ann.Identity(), good, good.Hash(), KindProposal, 2, same.Body), 1, ErrSignature},
		"who joins":     {newMessage(eve.Identity(), good, good.Hash(), KindProposal, 3, same.Body), 1, ErrRetry},
		"nobody":        {newMessage(ann.Identity(), good, good.Hash(), KindProposal, 10, same.Body), 1, ErrRetry},
		"other terms":   {newMessage(ann.Identity(), good, [32]byte{1}, KindProposal, 1, same.Body), 1, ErrRetry},
		"garbage":       {newMessage(ann.Identity(), good, good.Hash(), KindProposal, 1, []byte("garbage")), 1, ErrRetry},
		"first":         {propose(func(t *Terms) { t.Change, t.Previous, t.Overlap = ChangeFirst, nil, 0 }), 1, ErrRetry},
		"chain":         {propose(func(t *Terms) { t.ChainID = "other" }), 1, ErrSignature},
		"epoch":         {propose(func(t *Terms) { t.Epoch++ }), 1, ErrRetry},
		"soon":          {propose(func(t *Terms) { t.StartHeight = 6 }), 1, ErrRetry},
		"late":          {propose(func(t *Terms) { t.StartHeight = 6 + maxLead }), 1, ErrRetry},
		"threshold":     {propose(func(t *Terms) { t.Threshold = 2 }), 1, ErrTerms},
		"certificate":   {propose(func(t *Terms) { t.Previous.Certificate[0]++ }), 1, ErrRetry},
		"renamed":       {propose(func(t *Terms) { t.Previous.Members[3].Name = "zoe" }), 1, ErrRetry},
		"left out":      {propose(func(t *Terms) { t.Previous.Members = t.Previous.Members[:3] }), 1, ErrRetry},
		"committee":     {propose(func(t *Terms) { c := *t.Previous.Committee; c.Epoch++; t.Previous.Committee = &c }), 1, ErrRetry},
		"no committee":  {propose(func(t *Terms) { t.Previous.Committee = nil }), 1, ErrRetry},
		"change":        {propose(func(t *Terms) { t.Change = 77 }), 1, ErrTerms},
	} {
		s, err := BeginSuccession(office, test.attempt, 5, test.m)
		if !errors.Is(err, test.want) || (s == nil) == (err == nil) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if s != nil && (s.Phase() != PhaseProposed || s.Height() != 5 || s.Terms().Hash() != good.Hash()) {
			t.Errorf("%s: %s at %d", name, s.Phase(), s.Height())
		}
	}
	failed := succession(t, toReshare)
	failed.command([]string{"reject", "eve"})
	retry := must(ProposeTerms(ann, failed.terms.Retry(20)))(t)
	if _, err := BeginRetry(failed.state, 1, retry); !errors.Is(err, ErrRetry) {
		t.Errorf("a succession is retried as a first ceremony: %v", err)
	}
	if _, err := New(good); !errors.Is(err, ErrTerms) {
		t.Errorf("a succession begins without consent: %v", err)
	}
	if _, err := ProposeTerms(testSecret(9), good); !errors.Is(err, ErrNotMember) {
		t.Errorf("a stranger proposes: %v", err)
	}
}

// The largest proposal there can be fits into a message, and is read.
func TestLargestProposalFits(t *testing.T) {
	member := func(i, group int) Member {
		m := Member{Name: fmt.Sprintf("%032d", 1000*group+i)}
		key := func(what string) []byte {
			h := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", what, group, i))
			return h[:]
		}
		m.Identity, m.Validator, m.Node, m.Encryption = key("identity"), key("validator"), key("node"), [32]byte(key("encryption"))
		return m
	}
	c := *finishedOnce().state.Certificate().Committee
	terms := &Terms{ChainID: strings.Repeat("c", 50), Change: ChangeReshare, Previous: &Previous{Committee: &c}}
	c.Members = nil
	for i := range threshold.MaxMembers {
		terms.Members = append(terms.Members, member(i, 1))
		terms.Previous.Members = append(terms.Previous.Members, member(i, 2))
		c.Members = append(c.Members, finishedOnce().state.Certificate().Committee.Members[0])
	}
	m := &Message{Kind: KindProposal, Body: terms.append(nil)}
	b := must(m.MarshalBinary())(t)
	if MaxMessageSize >= 128<<10 || len(b) > MaxMessageSize || len(b) < MaxMessageSize-8<<10 {
		t.Errorf("%d bytes of %d", len(b), MaxMessageSize)
	}
	back, committee, err := unpackTerms(must(ParseMessage(b))(t).Body)
	if err != nil || back.Speakers() != 512 || len(committee) != len(must(c.MarshalBinary())(t)) {
		t.Errorf("read: %v", err)
	}
}

func TestVerifySuccessorCertificate(t *testing.T) {
	office := finishedOnce().state.Certificate()
	other := finished(t, func() *Terms { o := testTerms(4, 3); o.Attempt = 2; return o }()).state.Certificate()
	for _, command := range []string{toReshare, toRotate} {
		st := succession(t, command).through(PhaseActive)
		original := st.state.Certificate()
		if err := VerifyCertificate(original, st.terms); err != nil {
			t.Fatal(err)
		}
		if err := VerifySuccession(original, office); err != nil {
			t.Fatal(err)
		}
		again := must(cloneCertificate(t, original).MarshalBinary())(t)
		if !bytes.Equal(again, must(original.MarshalBinary())(t)) {
			t.Error("another encoding")
		}
		if len(original.Approvals) != 3 {
			t.Errorf("%d approvals", len(original.Approvals))
		}
		for name, change := range map[string]func(*Certificate){
			"no approvals":       func(c *Certificate) { c.Approvals = nil },
			"too few":            func(c *Certificate) { c.Approvals = c.Approvals[:2] },
			"twice":              func(c *Certificate) { c.Approvals[1] = c.Approvals[0] },
			"order":              func(c *Certificate) { a := c.Approvals; a[0], a[1] = a[1], a[0] },
			"by a new member":    func(c *Certificate) { c.Approvals[0] = Approval{1, st.state.Message(KindConsent, 1).Signature} },
			"by nobody":          func(c *Certificate) { c.Approvals[2].Member = 10 },
			"signature":          func(c *Certificate) { c.Approvals[0].Signature[5] ^= 1 },
			"another's":          func(c *Certificate) { c.Approvals[0].Signature = c.Approvals[1].Signature },
			"to another attempt": func(c *Certificate) { c.Terms = c.Terms.Retry(10) },
			"stranger qualified": func(c *Certificate) { c.Qualified[0] = 77 },
			"other role qualified": func(c *Certificate) {
				first, _ := c.Terms.dealers()
				c.Qualified[0] = 7 - first // dealers begin at 1 or 6
			},
			"too few qualified": func(c *Certificate) { c.Qualified = c.Qualified[:2] },
			"change":            func(c *Certificate) { c.Terms.Change ^= ChangeReshare ^ ChangeRotate; c.Terms.Overlap = 0 },
			"previous key":      func(c *Certificate) { c.Terms.Previous.Committee = other.Committee },
		} {
			c := cloneCertificate(t, original)
			change(c)
			if err := VerifyCertificate(c, nil); !errors.Is(err, ErrCertificate) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, test := range map[string][2]*Certificate{
			"backwards": {office, original}, "of itself": {original, original}, "of another": {original, other},
			"of nobody": {original, nil}, "nobody": {nil, office}, "empty": {&Certificate{}, office},
			"of a chain with another name": {original, func() *Certificate { c := cloneCertificate(t, office); c.Terms.ChainID = "other"; return c }()},
		} {
			if err := VerifySuccession(test[0], test[1]); !errors.Is(err, ErrCertificate) {
				t.Errorf("succession %s: %v", name, err)
			}
		}
		if !bytes.Equal(original.Committee.Key.Bytes(), office.Committee.Key.Bytes()) == (st.terms.Change == ChangeReshare) {
			t.Errorf("a %s with the wrong key", st.terms.Change)
		}
	}
	unasked := cloneCertificate(t, office)
	unasked.Approvals = []Approval{{1, [64]byte{}}}
	if err := VerifyCertificate(unasked, nil); !errors.Is(err, ErrCertificate) {
		t.Errorf("a first certificate with approvals: %v", err)
	}
}

// A rotation whose members make the old key again is not one.
func TestKeyMustFollowTheChange(t *testing.T) {
	c := cloneCertificate(t, succession(t, toReshare).through(PhaseActive).state.Certificate())
	hash := c.Terms.Hash()
	if err := c.verifySuccessor(hash); err != nil {
		t.Fatal(err)
	}
	c.Terms.Change = ChangeRotate // the approvals are checked against the hash that was signed
	if err := c.verifySuccessor(hash); err == nil {
		t.Error("the old key after a rotation")
	}
	c.Terms.Change, c.Committee.Key = ChangeReshare, succession(t, toRotate).through(PhaseActive).state.Certificate().Committee.Key
	if err := c.verifySuccessor(hash); err == nil {
		t.Error("another key after a resharing")
	}
}

// ParseState does not take a succession whose members did not agree.
func TestParseSuccessionState(t *testing.T) {
	for _, command := range []string{toReshare, toRotate} {
		st := succession(t, command).through(PhaseActive)
		var taken int
		for k := KindDeal; k <= kinds; k++ {
			for j := range st.state.entries[k-1] {
				s := st.state.clone()
				if s.entries[k-1][j] == nil {
					continue
				}
				s.entries[k-1][j] = nil
				if back, err := ParseState(must(s.MarshalBinary())(t)); err == nil {
					taken++
					if k == KindConsent && st.terms.isNew(uint32(j+1)) || len(back.approvals()) < 3 {
						t.Errorf("without the %s of %d", k, j+1)
					}
				}
			}
		}
		t.Logf("%d messages could be left out", taken)

		s := st.state.clone() // a member speaks where it has no role
		m := newMessage(st.secrets[0].Identity(), st.terms, s.ceremony, KindCertification, 6, nil)
		s.entries[KindCertification-1][5] = &entry{Message: m, digest: m.digest()}
		if _, err := ParseState(must(s.MarshalBinary())(t)); err == nil {
			t.Error("a previous member certified")
		}
	}
}

func TestUseShare(t *testing.T) {
	st := succession(t, "reshare members=ann,eve,fred,gus t=3 start=10 by=ann").through(PhaseDealing)
	ann, bob := testSecret(1), testSecret(2)
	annShare, bobShare := must(RecoverShare(ann, st.office))(t), must(RecoverShare(bob, st.office))(t)

	p := must(NewParticipant(ann, st.terms, testSeed(1)))(t)
	if !slices.Equal(p.Roles(), []uint32{1, 5}) || p.Index() != 1 {
		t.Errorf("roles %v, index %d", p.Roles(), p.Index())
	}
	if owed, err := p.Next(st.state); !errors.Is(err, ErrNoOldShare) || len(owed) != 0 {
		t.Errorf("a deal without a share: %v, %v", owed, err)
	}
	forged := must(threshold.NewSecretShare(1, &[32]byte{31: 7}))(t)
	for name, wrong := range map[string]*threshold.SecretShare{"another's": bobShare, "no": forged} {
		if err := p.UseShare(wrong); !errors.Is(err, ErrWrongShare) {
			t.Errorf("%s share: %v", name, err)
		}
	}
	if err := p.UseShare(annShare); err != nil {
		t.Fatal(err)
	}
	first := one(t, must(p.Next(st.state))(t))
	if first.Member != 5 || first.Kind != KindDeal {
		t.Errorf("%s by %d", first.Kind, first.Member)
	}

	// Restarted, it says the same bytes; with another seed it deals the same constant with other coefficients.
	p = must(NewParticipant(ann, st.terms, testSeed(1)))(t)
	if err := p.UseShare(annShare); err != nil {
		t.Fatal(err)
	}
	if again := one(t, must(p.Next(st.state))(t)); !bytes.Equal(must(again.MarshalBinary())(t), must(first.MarshalBinary())(t)) {
		t.Error("the same member deals something else")
	}
	q := must(NewParticipant(ann, st.terms, testSeed(9)))(t)
	if err := q.UseShare(annShare); err != nil {
		t.Fatal(err)
	}
	other := one(t, must(q.Next(st.state))(t))
	if !bytes.Equal(first.Body[2:50], other.Body[2:50]) || bytes.Equal(first.Body[50:98], other.Body[50:98]) {
		t.Error("another seed deals another constant, or the same polynomial")
	}
	p.Wipe()
	if *p.old != [32]byte{} {
		t.Error("Wipe leaves the old share")
	}

	// Who leaves deals and does nothing else; who joins has nothing to deal.
	left := must(NewParticipant(bob, st.terms, testSeed(2)))(t)
	if left.Index() != 0 || !slices.Equal(left.Roles(), []uint32{6}) {
		t.Errorf("index %d, roles %v", left.Index(), left.Roles())
	}
	if _, err := left.Share(st.state); !errors.Is(err, ErrNotMember) {
		t.Errorf("share of a previous member: %v", err)
	}
	if err := left.ConfirmStored(bobShare); !errors.Is(err, ErrWrongShare) {
		t.Errorf("a previous member stores a share: %v", err)
	}
	joins := must(NewParticipant(testSecret(5), st.terms, testSeed(5)))(t)
	if err := joins.UseShare(annShare); !errors.Is(err, ErrWrongShare) {
		t.Errorf("a new member hands over: %v", err)
	}
	if owed, err := joins.Next(st.state); owed != nil || err != nil {
		t.Errorf("a new member deals: %v, %v", owed, err)
	}
	rotation := must(NewParticipant(ann, succession(t, toRotate).terms, testSeed(1)))(t)
	if err := rotation.UseShare(annShare); !errors.Is(err, ErrWrongShare) {
		t.Errorf("a share in a rotation: %v", err)
	}
}

func TestVotesOfAllRoles(t *testing.T) {
	terms := succession(t, toReshare).terms
	for j, want := range map[int][]uint32{1: {1, 6}, 3: {8}, 5: {3}} {
		for _, k := range []Kind{KindConsent, KindRejection, KindAbort} {
			var got []uint32
			for _, m := range must(Votes(testSecret(j), terms, k))(t) {
				got = append(got, m.Member)
				if m.Kind != k || terms.verifySigned(terms.Hash(), k, m.Member, m.digest(), m.Signature) != nil {
					t.Errorf("%s of %d", m.Kind, m.Member)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("member %d speaks as %v, want %v", j, got, want)
			}
		}
	}
	if _, err := Votes(testSecret(9), terms, KindConsent); !errors.Is(err, ErrNotMember) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := Votes(testSecret(1), terms, KindDeal); !errors.Is(err, ErrKind) {
		t.Errorf("a deal as a vote: %v", err)
	}
	if j, err := terms.IndexOf(testSecret(3)); !errors.Is(err, ErrNotMember) {
		t.Errorf("who leaves is member %d: %v", j, err)
	}
}

func integer(t testing.TB, s *threshold.SecretShare) *big.Int {
	b := s.ExposeSecretBytes()
	return new(big.Int).SetBytes(b[:])
}

// interpolate is plain Lagrange interpolation at 0, over integers.
func interpolate(values map[int64]*big.Int) *big.Int {
	r, sum := fr.Modulus(), new(big.Int)
	for j, v := range values {
		term := new(big.Int).Set(v)
		for k := range values {
			if k != j {
				term.Mul(term, big.NewInt(k))
				term.Mul(term, new(big.Int).ModInverse(new(big.Int).Mod(big.NewInt(k-j), r), r))
			}
		}
		sum.Add(sum, term)
	}
	return sum.Mod(sum, r)
}

// The outcome of a resharing against plain integers: any t of the new shares make the
// secret of the old ones, and each is the sum of what the dealers dealt, with Lagrange's weights.
func TestReshareAgainstIntegers(t *testing.T) {
	st := succession(t, toReshare).through(PhaseDealing)
	st.command(strings.Fields("deal ann bob dora"))
	st.command(strings.Fields("deal cid bad=constant"))
	st.through(PhaseActive)
	if diff := cmp.Diff([]uint32{6, 7, 9}, st.state.Qualified()); diff != "" {
		t.Fatal(diff)
	}
	old, fresh := map[int64]*big.Int{}, map[int64]*big.Int{}
	for j := int64(1); j <= 4; j++ {
		old[j] = integer(t, must(RecoverShare(testSecret(int(j)), st.office))(t))
	}
	for i, secret := range st.secrets[:5] {
		fresh[int64(i+1)] = integer(t, must(RecoverShare(secret, st.state))(t))
	}
	some := func(from map[int64]*big.Int, js ...int64) map[int64]*big.Int {
		out := map[int64]*big.Int{}
		for _, j := range js {
			out[j] = from[j]
		}
		return out
	}
	secret := interpolate(some(old, 1, 2, 4))
	for _, js := range [][]int64{{1, 2, 3, 4}, {2, 3, 4, 5}, {1, 2, 3, 4, 5}} {
		if interpolate(some(fresh, js...)).Cmp(secret) != 0 {
			t.Errorf("new shares %v make another secret", js)
		}
	}
	if interpolate(some(fresh, 1, 2, 3)).Cmp(secret) == 0 {
		t.Error("t-1 new shares make the secret")
	}
	for j := int64(1); j <= 5; j++ {
		dealt := map[int64]*big.Int{}
		for _, dealer := range []int64{1, 2, 4} {
			b := shareFor(st.actors[5+dealer-1].testPoly(t), uint32(j)).Bytes()
			dealt[dealer] = new(big.Int).SetBytes(b[:])
		}
		if interpolate(dealt).Cmp(fresh[j]) != 0 {
			t.Errorf("share %d is another", j)
		}
	}
	var k g1.Scalar
	b := make([]byte, scalarSize)
	if err := k.UnmarshalBinary(secret.FillBytes(b)); err != nil {
		t.Fatal(err)
	}
	y := g1.Secret.Point().Mul(&k, nil).(*g1.Point).Bytes()
	if !bytes.Equal(y[:], st.state.Certificate().Committee.Key.Bytes()[:pointSize]) {
		t.Error("the secret is not the key's")
	}
}

// kyber's own resharing, given the same polynomials, comes to the same key and the same shares.
func TestReshareAgreesWithKyber(t *testing.T) {
	office := finished(t, testTerms(3, 3)) // all deal: kyber interpolates with the first t dealers only
	st := successionOf(t, office, "reshare members=dora,eve,fred,gus t=3 start=10 by=ann").through(PhaseDealing)
	coefficients := func(j int) cipher.Stream { return blake2xb.New([]byte{byte(j)}) }
	long, public := make([]kyber.Scalar, 7), make([]kyber.Point, 7)
	for i := range long {
		long[i] = g1.Secret.Scalar().Pick(blake2xb.New([]byte{100, byte(i)}))
		public[i] = g1.Secret.Point().Mul(long[i], nil)
	}
	_, commits := office.state.outcome.poly().Info()
	gens := make([]*dkg.DistKeyGenerator, 7)
	for i := range gens {
		c := &dkg.Config{
			Suite: g1.Suite{Group: g1.Secret, Random: coefficients(i + 1)}, Longterm: long[i], OldNodes: public[:3], NewNodes: public[3:],
			Threshold: 3, OldThreshold: 3, PublicCoeffs: commits,
		}
		if i < 3 {
			own := must(RecoverShare(testSecret(i+1), st.office))(t).ExposeSecretBytes()
			v := must(parseScalar(own[:]))(t)
			c.PublicCoeffs, c.Share = nil, &dkg.DistKeyShare{Commits: commits, Share: &share.PriShare{I: i, V: v}}
			role := uint32(4 + i + 1)
			body := must(st.actors[role-1].dealBody(role, share.NewPriPoly(g1.Secret, 3, v, coefficients(i+1))))(t)
			st.send(newMessage(st.secrets[role-1].Identity(), st.terms, st.terms.Hash(), KindDeal, role, body))
		}
		gens[i] = must(dkg.NewDistKeyHandler(c))(t)
	}
	st.through(PhaseActive)

	var responses []*dkg.Response
	for _, g := range gens[:3] {
		for to, d := range must(g.Deals())(t) {
			responses = append(responses, must(gens[3+to].ProcessDeal(d))(t))
		}
	}
	for i, g := range gens[3:] {
		for _, r := range responses {
			if int(r.Response.Index) != i {
				must(g.ProcessResponse(r))(t)
			}
		}
		theirs := must(g.DistKeyShare())(t)
		ours := must(RecoverShare(st.secrets[i], st.state))(t).ExposeSecretBytes()
		if b, _ := theirs.PriShare().V.MarshalBinary(); !bytes.Equal(b, ours[:]) {
			t.Errorf("member %d: kyber's share is another", i+1)
		}
		if b, _ := theirs.Public().MarshalBinary(); !bytes.Equal(b, office.state.Certificate().Committee.Key.Bytes()[:pointSize]) {
			t.Errorf("member %d: kyber's committee key is another", i+1)
		}
	}
}

// t-1 old shares and t-1 new ones open nothing, in any numbering that could be tried.
func TestOldAndNewSharesDoNotMix(t *testing.T) {
	st := succession(t, "reshare members=ann,bob,cid,dora t=3 start=10 by=ann").through(PhaseActive)
	before, after := st.office.Certificate().Committee, st.state.Certificate().Committee
	ct := must(threshold.Seal(&counterReader{}, before.Key, threshold.SealOptions{ChainID: "scrim-test", Namespace: "test", ValidUntil: 9}, []byte("secret")))(t)
	batch := []*threshold.Checked{must(ct.Check())(t)}
	var old, fresh []*threshold.BatchShare
	values := map[bool][]*share.PriShare{}
	for j := 1; j <= 4; j++ {
		for isNew, s := range map[bool]*State{false: st.office, true: st.state} {
			own := must(RecoverShare(testSecret(j), s))(t)
			b := own.ExposeSecretBytes()
			values[isNew] = append(values[isNew], &share.PriShare{I: j - 1, V: must(parseScalar(b[:]))(t)})
			if isNew {
				fresh = append(fresh, must(own.ShareBatch(batch))(t))
			} else {
				old = append(old, must(own.ShareBatch(batch))(t))
			}
		}
	}
	for name, test := range map[string]struct {
		committee *threshold.Committee
		shares    []*threshold.BatchShare
		opens     bool
	}{
		"the old ones to the old committee": {before, old[:3], true},
		"the new ones to the new committee": {after, fresh[1:], true},
		"the old ones to the new committee": {after, old[:3], true}, // which is why they are destroyed
		"two and two, to the old committee": {before, []*threshold.BatchShare{old[0], old[1], fresh[2], fresh[3]}, false},
		"two and two, to the new committee": {after, []*threshold.BatchShare{old[0], old[1], fresh[2], fresh[3]}, false},
	} {
		_, bad, err := threshold.Combine(test.committee, batch, test.shares)
		if (err == nil) != test.opens || test.opens != (len(bad) == 0) {
			t.Errorf("%s: bad %v, %v", name, bad, err)
		}
	}
	key := before.Key.Bytes()[:pointSize]
	makes := func(shares ...*share.PriShare) bool {
		secret := must(share.RecoverSecret(g1.Secret, shares, len(shares), 4))(t)
		b, _ := g1.Secret.Point().Mul(secret, nil).MarshalBinary()
		return bytes.Equal(b, key)
	}
	o, n := values[false], values[true]
	if !makes(o[0], o[1], o[2]) || !makes(n[1], n[2], n[3]) {
		t.Error("t shares of one kind do not make the key")
	}
	for _, mixed := range [][]*share.PriShare{{o[0], o[1], n[2]}, {o[0], n[1], n[2]}, {o[0], o[1], n[2], n[3]}, {n[0], n[1], o[2], o[3]}} {
		if makes(mixed...) {
			t.Error("a mixture makes the key")
		}
	}
}

// Messages of a phase may come in any order, one of them more or less often: the
// ceremony ends in the same state.
func TestOrderWithinAPhaseDoesNotMatter(t *testing.T) {
	for _, command := range []string{"", toReshare, toRotate} {
		hashes := map[[32]byte]bool{}
		for seed := range uint64(4) {
			c := coin{rand.New(rand.NewPCG(seed, 7))}
			st := newStage(t, testTerms(5, 4))
			if command != "" {
				st = succession(t, command)
				st.command(strings.Fields("consent ann bob eve fred gus old:ann old:bob old:dora"))
				st.through(PhaseDealing)
			}
			for _, phase := range []string{"deal", "respond", "certify", "store"} {
				speakers := st.speakers(commandKind[phase], "all")
				if phase == "deal" {
					speakers = speakers[:len(speakers)-1] // one is absent, and the deadline comes
				}
				c.Shuffle(len(speakers), func(i, j int) { speakers[i], speakers[j] = speakers[j], speakers[i] })
				for _, j := range speakers {
					st.speak(phase, j, "")
					if c.heads(30) {
						st.command([]string{"again", fmt.Sprint(j), "kind=" + phase})
					}
				}
				if phase == "deal" {
					st.end(st.state.Deadline())
				}
			}
			if st.state.Phase() != PhaseActive {
				t.Fatalf("%s: %v", st.state.Phase(), st.printed)
			}
			hashes[st.state.Hash()] = true
		}
		if len(hashes) != 1 {
			t.Errorf("%q: %d states", command, len(hashes))
		}
	}
}

// TestSuccessionChaos is TestChaos for resharings and rotations.
func TestSuccessionChaos(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(16) {
		c := coin{rand.New(rand.NewPCG(seed, 2))}
		command := []string{
			toReshare, toRotate,
			"reshare members=eve,fred,gus,hal t=3 start=10 by=ann",
			"reshare members=dora,cid,bob,ann t=3 start=10 by=ann",
			"reshare members=ann,bob,cid t=2 start=10 by=ann",
			"rotate members=eve,fred,gus,hal t=3 start=10 by=ann",
		}[c.IntN(6)]
		ch := &chaos{coin: c, stage: succession(t, command).through(PhaseDealing), cheats: map[uint32]bool{}}
		if c.heads(60) { // somebody cheats in all of its roles
			name := ch.terms.Speaker(uint32(1 + c.IntN(ch.terms.Speakers()))).Name
			for j := uint32(1); int(j) <= ch.terms.Speakers(); j++ {
				ch.cheats[j] = ch.terms.Speaker(j).Name == name
			}
		}
		ch.loss = []int{0, 10, 60, 92}[c.IntN(4)]
		ch.unrest = []int{0, 0, 50}[c.IntN(3)]
		ch.observers = []*State{ch.state}
		ch.run()
		outcomes[ch.state.Phase().String()]++
		if ch.loss <= 10 && ch.unrest == 0 && ch.state.Phase() != PhaseActive {
			t.Errorf("seed %d: %s with loss %d%%: %v", seed, ch.state.Phase(), ch.loss, ch.state.Blame())
		}
		if t.Failed() {
			t.Fatalf("seed %d, cheats %v: %v", seed, ch.cheats, strings.Join(ch.printed, "\n"))
		}
	}
	if outcomes["active"] < 5 || outcomes["failed"] < 2 || outcomes["aborted"] < 2 {
		t.Errorf("the accidents are not varied enough: %v", outcomes)
	}
}

// Evidence against old dealers convinces whoever has the terms.
func TestReshareEvidence(t *testing.T) {
	st := succession(t, toReshare).through(PhaseDealing)
	for _, c := range []string{"deal ann", "deal ann bad=other", "deal bob bad=constant", "deal cid dora"} {
		st.command(strings.Fields(c))
	}
	got := map[uint32]FaultKind{}
	for _, e := range st.state.Evidence() {
		got[e.Member] = e.Fault
		terms := must(ParseTerms(must(st.terms.MarshalBinary())(t)))(t)
		if err := e.Verify(terms); err != nil {
			t.Error(err)
		}
		broken := *terms // terms that nobody validated
		for _, change := range []func(){
			func() { broken.Previous = nil },
			func() { broken.Previous = &Previous{Members: terms.Previous.Members} },
			func() {
				broken.Previous = &Previous{Members: terms.Previous.Members, Committee: &threshold.Committee{}}
			},
		} {
			change()
			e.Ceremony = broken.Hash()
			e.Verify(&broken)
			e.shows(&broken)
		}
	}
	if diff := cmp.Diff(map[uint32]FaultKind{6: FaultEquivocation, 7: FaultReshare}, got); diff != "" {
		t.Error(diff)
	}
	// A deal of another speaker is none of a dealer's business.
	honest := Evidence{st.state.ceremony, FaultReshare, 9, []Statement{st.state.entry(KindDeal, 9).statement()}}
	if err := honest.Verify(st.terms); !errors.Is(err, ErrEvidence) {
		t.Errorf("an honest deal: %v", err)
	}
	m := newMessage(st.secrets[0].Identity(), st.terms, st.state.ceremony, KindDeal, 1, []byte("garbage"))
	unasked := Evidence{st.state.ceremony, FaultEncoding, 1, []Statement{{KindDeal, m.Body, m.digest(), m.Signature}}}
	if err := unasked.Verify(st.terms); !errors.Is(err, ErrEvidence) {
		t.Errorf("a deal by who does not deal: %v", err)
	}
}

func TestRecordOfASuccession(t *testing.T) {
	st := succession(t, toReshare).through(PhaseDealing)
	for _, c := range []string{"deal bob bad=garbage", "deal ann", "deal ann bad=other", "abort old:ann old:bob old:cid"} {
		st.command(strings.Fields(c))
	}
	r := st.state.Record()
	back := must(ParseRecord(must(r.MarshalBinary())(t)))(t)
	if diff := cmp.Diff(r, back); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(back.Aborting, []uint32{6, 7, 8}) || len(back.Evidence()) != 1 || back.Evidence()[0].Verify(st.terms) != nil {
		t.Errorf("%+v", back)
	}
}

// FuzzBeginSuccession lets a member in office propose any bytes.
func FuzzBeginSuccession(f *testing.F) {
	office := finishedOnce().state.Certificate()
	for _, command := range []string{toReshare, toRotate} {
		f.Add(uint32(1), succession(f, command).terms.append(nil))
		f.Add(uint32(6), succession(f, command).terms.append(nil))
	}
	f.Add(uint32(1), testTerms(4, 3).append(nil))
	f.Fuzz(func(t *testing.T, member uint32, body []byte) {
		if len(body) > maxProposal {
			return
		}
		m := newMessage(testSecret(1).Identity(), &Terms{ChainID: "scrim-test"}, hashTerms(body), KindProposal, member, body)
		s, err := BeginSuccession(office, 1, 1, m)
		if err != nil {
			return
		}
		if !bytes.Equal(must(s.Terms().MarshalBinary())(t), body) || s.Terms().Validate() != nil {
			t.Fatal("other terms than were proposed")
		}
		must(ParseState(must(s.MarshalBinary())(t)))(t)
	})
}

// FuzzReshareDeal puts any body into the dealing of a resharing, signed.
func FuzzReshareDeal(f *testing.F) {
	st := succession(f, toReshare).through(PhaseDealing)
	good := st.actors[5].someDeal(f, 6)
	f.Add(good)
	f.Add(st.actors[6].someDeal(f, 7))
	f.Add(binary.BigEndian.AppendUint16(nil, 4))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > maxBody {
			return
		}
		m := newMessage(st.secrets[5].Identity(), st.terms, st.state.ceremony, KindDeal, 6, body)
		next, _, err := Step(st.state, Event{st.state.height, m})
		if err != nil {
			t.Fatal(err)
		}
		if e := next.entry(KindDeal, 6); e.fault == 0 && (!bytes.Equal(e.deal.append(nil), body) || !bytes.Equal(body[2:50], good[2:50])) {
			t.Fatal("a deal of something else, or with two encodings")
		}
		must(ParseState(must(next.MarshalBinary())(t)))(t)
	})
}
