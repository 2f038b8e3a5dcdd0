package keygen

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"go.dedis.ch/kyber/v3"
	"go.dedis.ch/kyber/v3/share"
	dkg "go.dedis.ch/kyber/v3/share/dkg/pedersen"
	"go.dedis.ch/kyber/v3/util/random"
	"go.dedis.ch/kyber/v3/xof/blake2xb"

	"github.com/scrimlabs/scrim/keygen/internal/g1"
	"github.com/scrimlabs/scrim/threshold"
)

// finished plays a ceremony without incident.
func finished(t testing.TB, terms *Terms) *stage {
	st := newStage(t, terms)
	st.plain = true
	for _, phase := range []string{"deal", "respond", "certify", "store"} {
		st.command([]string{phase, "all"})
	}
	st.plain = false
	if st.state.Phase() != PhaseActive {
		t.Fatalf("the ceremony is %s: %v", st.state.Phase(), st.printed)
	}
	return st
}

// The table of moves as docs/spec/keygen.md has it: what each phase takes.
var documentedMoves = map[Phase][]Kind{
	PhaseProposed:   {KindConsent, KindRejection},
	PhaseAccepted:   {KindAbort},
	PhaseDealing:    {KindDeal, KindAbort},
	PhaseResponding: {KindResponse, KindAbort},
	PhaseJustifying: {KindJustification, KindAbort},
	PhaseCertifying: {KindCertification, KindAbort},
	PhaseStoring:    {KindStored},
}

// The table is tested over all pairs of a phase and a kind.
func TestAdmitAllPairs(t *testing.T) {
	terms := testTerms(4, 3)
	base := must(New(terms))(t)
	last := map[Kind]Phase{}
	for phase := PhaseProposed; phase <= PhaseAborted; phase++ {
		for _, k := range documentedMoves[phase] {
			last[k] = phase
		}
	}
	for phase := PhaseProposed; phase <= PhaseAborted; phase++ {
		for kind := Kind(0); kind <= KindProposal+1; kind++ {
			s := base.clone()
			s.phase = phase
			// Member 1 dealt, member 2 complained, member 1 certified all the same.
			s.entries[KindDeal-1][0] = &entry{reading: reading{deal: &deal{}}}
			s.entries[KindResponse-1][1] = &entry{reading: reading{verdicts: []verdict{complaint, 0, 0, 0}}}
			s.entries[KindCertification-1][0] = &entry{reading: reading{certification: &Certification{}}}
			s.certificate = &Certificate{}
			s.entries[kindOr(kind, KindDeal)-1][0] = nil
			if kind == KindJustification {
				s.entries[KindDeal-1][0] = &entry{reading: reading{deal: &deal{}}}
			}
			var want error
			switch {
			case last[kind] == 0:
				want = ErrKind
			case slices.Contains([]Phase{PhaseRejected, PhaseActive, PhaseFailed, PhaseAborted}, phase):
				want = ErrOver
			case slices.Contains(documentedMoves[phase], kind):
			case phase > last[kind]:
				want = ErrLate
			default:
				want = ErrEarly
			}
			m := newMessage(testSecret(1).Identity(), terms, terms.Hash(), kind, 1, []byte("x"))
			if err := s.Admit(m); !errors.Is(err, want) {
				t.Errorf("%s in %s: %v, want %v", kind, phase, err, want)
			}
		}
	}
}

func kindOr(k, otherwise Kind) Kind {
	if k < 1 || k > kinds {
		return otherwise
	}
	return k
}

// The specification's table says the same.
func TestMovesAreDocumented(t *testing.T) {
	spec := string(must(os.ReadFile("../docs/spec/keygen.md"))(t))
	for phase := PhaseProposed; phase <= PhaseAborted; phase++ {
		row := fmt.Sprintf("| %d | %s |", phase, phase)
		_, rest, ok := strings.Cut(spec, row)
		if !ok {
			t.Errorf("no row %q", row)
			continue
		}
		cell, _, _ := strings.Cut(rest, "|")
		var want []string
		for _, k := range documentedMoves[phase] {
			want = append(want, k.String())
		}
		if got := strings.TrimSpace(cell); got != strings.Join(want, ", ") {
			t.Errorf("%s takes %q, want %q", phase, got, want)
		}
	}
}

func TestAdmitRefuses(t *testing.T) {
	terms := testTerms(4, 3)
	s := must(New(terms))(t)
	good := one(t, must(must(NewParticipant(testSecret(1), terms, testSeed(1)))(t).Next(s))(t))
	for name, test := range map[string]struct {
		change func(m *Message)
		want   error
	}{
		"nothing":          {func(*Message) {}, nil},
		"other ceremony":   {func(m *Message) { m.Ceremony[0] ^= 1 }, ErrOtherCeremony},
		"member 0":         {func(m *Message) { m.Member = 0 }, ErrMember},
		"member n+1":       {func(m *Message) { m.Member = 5 }, ErrMember},
		"huge member":      {func(m *Message) { m.Member = 1<<32 - 1 }, ErrMember},
		"another's name":   {func(m *Message) { m.Member = 2 }, ErrSignature},
		"changed body":     {func(m *Message) { m.Body[7] ^= 1 }, ErrSignature},
		"changed kind":     {func(m *Message) { m.Kind = KindResponse }, ErrEarly},
		"no signature":     {func(m *Message) { m.Signature = [64]byte{} }, ErrSignature},
		"oversize":         {func(m *Message) { m.Body = make([]byte, maxBody+1) }, ErrEncoding},
		"signature of 255": {func(m *Message) { m.Signature[63] = 0xff }, ErrSignature},
	} {
		m := *good
		m.Body = bytes.Clone(good.Body)
		test.change(&m)
		if err := s.Admit(&m); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		next, effects, err := Step(s, Event{1, &m})
		if !errors.Is(err, test.want) || effects != nil || (test.want != nil) != (next == s) {
			t.Errorf("%s: Step gives %v, %v", name, effects, err)
		}
	}
}

// A kind does not verify as another one, nor a chain's message on another chain.
func TestSignatureIsBound(t *testing.T) {
	terms := testTerms(4, 3)
	h := terms.Hash()
	m := newMessage(testSecret(1).Identity(), terms, h, KindDeal, 1, []byte("body"))
	if err := terms.verifySigned(h, KindDeal, 1, m.digest(), m.Signature); err != nil {
		t.Fatal(err)
	}
	other := *terms
	other.ChainID = "another"
	for name, err := range map[string]error{
		"kind":     terms.verifySigned(h, KindResponse, 1, m.digest(), m.Signature),
		"member":   terms.verifySigned(h, KindDeal, 2, m.digest(), m.Signature),
		"nobody":   terms.verifySigned(h, KindDeal, 9, m.digest(), m.Signature),
		"ceremony": terms.verifySigned([32]byte{1}, KindDeal, 1, m.digest(), m.Signature),
		"chain":    other.verifySigned(h, KindDeal, 1, m.digest(), m.Signature),
		"body":     terms.verifySigned(h, KindDeal, 1, [32]byte{}, m.Signature),
	} {
		if !errors.Is(err, ErrSignature) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

func TestHeightsDoNotGoBack(t *testing.T) {
	s := must(New(testTerms(4, 3)))(t)
	s, _, err := Step(s, Event{Height: 3})
	if err != nil {
		t.Fatal(err)
	}
	if again, _, err := Step(s, Event{Height: 3}); err != nil || again.Hash() != s.Hash() {
		t.Errorf("the same height: %v", err)
	}
	if _, _, err := Step(s, Event{Height: 2}); !errors.Is(err, ErrHeight) {
		t.Errorf("a lower height: %v", err)
	}
	if _, _, err := Step(s, Event{Height: 1 << 63}); !errors.Is(err, ErrHeight) {
		t.Errorf("a height that is none: %v", err)
	}
}

// Two futures of one state do not write into each other.
func TestStatesAreValues(t *testing.T) {
	terms := testTerms(7, 5)
	s := must(New(terms))(t)
	garbage := func(s *State, j uint32) *State {
		m := newMessage(testSecret(int(j)).Identity(), terms, terms.Hash(), KindDeal, j, []byte("garbage"))
		next, _, err := Step(s, Event{1, m})
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	for j := uint32(1); j <= 3; j++ {
		s = garbage(s, j)
		a := garbage(s, 4)
		before := a.Hash()
		b := garbage(s, 5)
		if a.Hash() != before || a.Blame()[j].Member != 4 || b.Blame()[j].Member != 5 {
			t.Fatalf("after %d: %v and %v", j, a.Blame(), b.Blame())
		}
	}
}

// As long as a ceremony runs, every height changes the state's hash; then it stands still.
func TestHashMovesWhileRunning(t *testing.T) {
	s := must(New(testTerms(4, 3)))(t)
	running := 0
	for h := uint64(1); h < 60; h++ {
		next, _, err := Step(s, Event{Height: h})
		if err != nil {
			t.Fatal(err)
		}
		if !s.Done() {
			running++
		}
		if moved := next.Hash() != s.Hash(); moved == s.Done() {
			t.Fatalf("height %d: done %v, moved %v", h, s.Done(), moved)
		}
		s = next
	}
	if running != 5 || s.Phase() != PhaseFailed || len(s.Blame()) != 4 {
		t.Errorf("with nobody there: %s after %d heights, %v", s.Phase(), running, s.Blame())
	}
}

// coin is a seeded source of accidents.
type coin struct{ *rand.Rand }

func (c coin) heads(percent int) bool { return c.IntN(100) < percent }

// TestChaos holds ceremonies in which messages are lost, repeated and permuted,
// members are away, and up to n-t members cheat. Whatever happens: observers
// agree, the ceremony ends, no honest member is blamed for more than absence,
// and who certified holds a share of the committee.
func TestChaos(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(30) {
		c := coin{rand.New(rand.NewPCG(seed, 1))}
		n := []int{4, 5, 7}[c.IntN(3)]
		ch := &chaos{coin: c, stage: newStage(t, testTerms(n, DefaultThreshold(n))), cheats: map[uint32]bool{}}
		for range c.IntN((n-1)/3 + 1) {
			ch.cheats[uint32(1+c.IntN(n))] = true
		}
		ch.loss = []int{0, 10, 50, 90}[c.IntN(4)]
		ch.unrest = []int{0, 0, 0, 5, 40}[c.IntN(5)]
		ch.observers = []*State{must(New(ch.terms))(t)}
		ch.run()
		outcomes[ch.state.Phase().String()]++
		if ch.loss <= 10 && ch.unrest == 0 && ch.state.Phase() != PhaseActive {
			t.Errorf("seed %d: %s with loss %d%%: %v", seed, ch.state.Phase(), ch.loss, ch.state.Blame())
		}
		if aborted := len(ch.state.Aborting()) >= ch.terms.Threshold; aborted != (ch.state.Phase() == PhaseAborted) {
			t.Errorf("seed %d: %s although %v asked to abort", seed, ch.state.Phase(), ch.state.Aborting())
		}
		if t.Failed() {
			t.Fatalf("seed %d, cheats %v: %v", seed, ch.cheats, strings.Join(ch.printed, "\n"))
		}
	}
	if outcomes["active"] < 8 || outcomes["failed"] < 2 || outcomes["aborted"] < 2 {
		t.Errorf("the accidents are not varied enough: %v", outcomes)
	}
}

type chaos struct {
	coin
	*stage
	cheats    map[uint32]bool
	loss      int // percent of messages that do not come through
	unrest    int // percent of words that are a call to abort
	observers []*State
}

var badness = map[Kind][]string{
	KindDeal:          {"garbage", "share", "ciphertext", "degree", "shares", "possession", "infinity", "other"},
	KindResponse:      {"garbage", "complain", "approve"},
	KindJustification: {"garbage", "answer"},
	KindCertification: {"garbage", "transcript", "signature"},
	KindStored:        {"garbage", "certificate"},
}

func (c *chaos) run() {
	for ; !c.state.Done(); c.height++ {
		if c.height > 50 {
			c.t.Fatalf("still %s at height %d", c.state.Phase(), c.height)
		}
		block := c.block()
		for _, m := range append(block, nil) {
			err := c.step(m)
			for i, s := range c.observers {
				if c.heads(10) { // an observer restarts
					s = must(ParseState(must(s.MarshalBinary())(c.t)))(c.t)
				}
				next, _, again := Step(s, Event{c.height, m})
				if (err == nil) != (again == nil) || next.Hash() != c.state.Hash() {
					c.t.Fatalf("observer %d differs: %v, %v", i, err, again)
				}
				c.observers[i] = next
			}
		}
	}
	c.check()
}

// block is what reaches the log at a height: in any order, some of it twice.
func (c *chaos) block() (block []*Message) {
	for i := range c.actors {
		if c.heads(c.loss) {
			continue
		}
		if m := c.says(uint32(i + 1)); m != nil {
			block = append(block, m)
			if c.heads(20) {
				block = append(block, m)
			}
		}
	}
	for k := KindDeal; k <= kinds; k++ { // old ones come through late
		for _, m := range c.last[k] {
			if c.heads(5) {
				block = append(block, m)
			}
		}
	}
	c.Shuffle(len(block), func(i, j int) { block[i], block[j] = block[j], block[i] })
	return block
}

func (c *chaos) says(j uint32) *Message {
	actor := c.actors[j-1]
	if c.heads(10) {
		c.command([]string{"restart", fmt.Sprint(j)})
		actor = c.actors[j-1]
	}
	if c.heads(c.unrest) {
		words := must(Votes(c.secrets[j-1], c.terms, KindAbort))(c.t)
		m := words[slices.IndexFunc(words, func(m *Message) bool { return m.Member == j })]
		c.last[KindAbort] = append(c.last[KindAbort], m)
		return m
	}
	if own, err := actor.Share(c.state); err == nil {
		actor.ConfirmStored(own)
		actor.ConfirmReadBack(own)
	}
	owed, err := actor.Next(c.state)
	if errors.Is(err, ErrShareLost) {
		return nil
	}
	if err != nil {
		c.t.Fatal(err)
	}
	owed = slices.DeleteFunc(owed, func(m *Message) bool { return m.Member != j })
	if len(owed) == 0 {
		return nil
	}
	m := one(c.t, owed)
	if c.cheats[j] && c.heads(80) {
		how := badness[m.Kind][c.IntN(len(badness[m.Kind]))]
		about := 1 + c.IntN(c.terms.N())
		if first, dealers := c.terms.dealers(); m.Kind == KindResponse {
			about = int(first) + c.IntN(dealers)
		}
		if m.Kind == KindDeal && c.terms.Change == ChangeReshare && c.heads(30) {
			how = "constant"
		}
		m = c.spoil(m, fmt.Sprintf("%s:%d", how, about))
	}
	c.last[m.Kind] = append(c.last[m.Kind], m)
	return m
}

func (c *chaos) check() {
	for _, f := range c.state.Blame() {
		if !c.cheats[f.Member] && f.Kind != FaultAbsent && !(f.Kind == FaultUnanswered && c.loss > 0) {
			c.t.Errorf("an honest member is blamed: %v", f)
		}
	}
	cert := c.state.Certificate()
	if cert == nil {
		return
	}
	if err := VerifyCertificate(cert, c.terms); err != nil {
		c.t.Error(err)
	}
	for i, secret := range c.secrets[:c.terms.N()] {
		own, err := RecoverShare(secret, c.state)
		if errors.Is(err, ErrShareLost) && c.loss > 0 {
			continue // it was away when there was time to complain
		}
		if err != nil {
			c.t.Errorf("member %d: %v", i+1, err)
			continue
		}
		if !bytes.Equal(own.MemberKey().Bytes(), cert.Committee.Members[i].Bytes()) {
			c.t.Errorf("member %d: share and committee differ", i+1)
		}
	}
	c.open()
}

// kyber's own DKG, given the same polynomials, comes to the same key and the same shares.
func TestAgreesWithKyberDKG(t *testing.T) {
	const n, threshold = 5, 3
	terms := testTerms(n, threshold)
	st := newStage(t, terms)
	seed := func(j int) *bytes.Reader {
		return bytes.NewReader(bytes.Repeat([]byte{byte(j)}, 1024))
	}
	coefficients := func(j int) cipher.Stream { return blake2xb.New([]byte{byte(j)}) }

	long := make([]kyber.Scalar, n)
	public := make([]kyber.Point, n)
	for i := range long {
		long[i] = g1.Secret.Scalar().Pick(blake2xb.New([]byte{100, byte(i)}))
		public[i] = g1.Secret.Point().Mul(long[i], nil)
	}
	gens := make([]*dkg.DistKeyGenerator, n)
	for i := range gens {
		// kyber draws the constant term from the reader and the others from the suite.
		constant := g1.Secret.Scalar().Pick(random.New(seed(i + 1)))
		poly := share.NewPriPoly(g1.Secret, threshold, constant, coefficients(i+1))
		body := must(st.actors[i].dealBody(uint32(i+1), poly))(t)
		st.send(newMessage(st.secrets[i].Identity(), terms, terms.Hash(), KindDeal, uint32(i+1), body))

		var err error
		gens[i], err = dkg.NewDistKeyHandler(&dkg.Config{
			Suite: g1.Suite{Group: g1.Secret, Random: coefficients(i + 1)}, Longterm: long[i], NewNodes: public,
			Threshold: threshold, Reader: seed(i + 1), UserReaderOnly: true,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	st.command([]string{"respond", "all"})
	st.command([]string{"certify", "all"})
	st.command([]string{"store", "all"})
	if st.state.Phase() != PhaseActive {
		t.Fatal(st.printed)
	}

	var responses []*dkg.Response
	for _, g := range gens {
		for to, d := range must(g.Deals())(t) {
			responses = append(responses, must(gens[to].ProcessDeal(d))(t))
		}
	}
	for i, g := range gens {
		for _, r := range responses {
			if int(r.Response.Index) != i {
				must(g.ProcessResponse(r))(t)
			}
		}
	}
	for i, g := range gens {
		theirs := must(g.DistKeyShare())(t)
		ours := must(RecoverShare(st.secrets[i], st.state))(t).ExposeSecretBytes()
		if b, _ := theirs.PriShare().V.MarshalBinary(); !bytes.Equal(b, ours[:]) {
			t.Errorf("member %d: kyber's share is another", i+1)
		}
		if b, _ := theirs.Public().MarshalBinary(); !bytes.Equal(b, st.state.Certificate().Committee.Key.Bytes()[:pointSize]) {
			t.Errorf("member %d: kyber's committee key is another", i+1)
		}
	}
}

// Any t shares make the secret of the committee's key; kyber's interpolation says so.
func TestSharesInterpolate(t *testing.T) {
	st := finished(t, testTerms(7, 5))
	var shares []*share.PriShare
	for i, secret := range st.secrets {
		b := must(RecoverShare(secret, st.state))(t).ExposeSecretBytes()
		shares = append(shares, &share.PriShare{I: i, V: must(parseScalar(b[:]))(t)})
	}
	want := st.state.Certificate().Committee.Key.Bytes()[:pointSize]
	for _, subset := range [][]int{{0, 1, 2, 3, 4}, {2, 3, 4, 5, 6}, {0, 2, 4, 5, 6}} {
		var some []*share.PriShare
		for _, i := range subset {
			some = append(some, shares[i])
		}
		secret := must(share.RecoverSecret(g1.Secret, some, 5, 7))(t)
		if b, _ := g1.Secret.Point().Mul(secret, nil).MarshalBinary(); !bytes.Equal(b, want) {
			t.Errorf("shares %v make another secret", subset)
		}
	}
}

func TestParticipantRepeatsItself(t *testing.T) {
	terms := testTerms(4, 3)
	s := must(New(terms))(t)
	next := func(secret *MemberSecret, terms *Terms, seed [32]byte) []byte {
		s := must(New(terms))(t)
		return must(one(t, must(must(NewParticipant(secret, terms, seed))(t).Next(s))(t)).MarshalBinary())(t)
	}
	first := next(testSecret(1), terms, testSeed(1))
	if !bytes.Equal(first, next(testSecret(1), terms, testSeed(1))) {
		t.Error("the same member says something else")
	}
	again := *terms
	again.Attempt++
	// Commitments begin 44 bytes into the message.
	for name, other := range map[string][]byte{
		"seed":    next(testSecret(1), terms, testSeed(2)),
		"attempt": next(testSecret(1), &again, testSeed(1)),
		"member":  next(testSecret(2), terms, testSeed(1)),
	} {
		if bytes.Equal(first[44:44+pointSize], other[44:44+pointSize]) {
			t.Errorf("another %s gives the same polynomial", name)
		}
	}
	if _, err := NewParticipant(testSecret(9), terms, testSeed(1)); !errors.Is(err, ErrNotMember) {
		t.Errorf("a stranger: %v", err)
	}
	tampered := *terms
	tampered.Members = slices.Clone(terms.Members)
	tampered.Members[0].Encryption = testSecret(9).Member("x").Encryption
	if _, err := NewParticipant(testSecret(1), &tampered, testSeed(1)); !errors.Is(err, ErrNotMember) {
		t.Errorf("terms with another encryption key: %v", err)
	}
	p := must(NewParticipant(testSecret(1), &again, testSeed(1)))(t)
	if _, err := p.Next(s); !errors.Is(err, ErrOtherCeremony) {
		t.Errorf("another ceremony's state: %v", err)
	}
}

func TestCertifyNeedsTheStoredShare(t *testing.T) {
	st := newStage(t, testTerms(4, 3))
	p := st.actors[0]
	if _, err := p.Share(st.state); !errors.Is(err, ErrTooSoon) {
		t.Errorf("share while dealing: %v", err)
	}
	st.command([]string{"deal", "all"})
	st.command([]string{"respond", "all"})
	if m, err := p.Next(st.state); !errors.Is(err, ErrNotStored) {
		t.Errorf("certification without a stored share: %v, %v", m, err)
	}
	if err := p.ConfirmStored(must(st.actors[1].Share(st.state))(t)); !errors.Is(err, ErrWrongShare) {
		t.Errorf("another member's share: %v", err)
	}
	wrong := must(threshold.NewSecretShare(1, &[32]byte{31: 1}))(t)
	if err := p.ConfirmStored(wrong); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Next(st.state); !errors.Is(err, ErrWrongShare) {
		t.Errorf("another ceremony's share: %v", err)
	}
	if err := p.ConfirmStored(must(p.Share(st.state))(t)); err != nil {
		t.Fatal(err)
	}
	if m, err := p.Next(st.state); err != nil || one(t, m).Kind != KindCertification {
		t.Errorf("with the right share: %v, %v", m, err)
	}

	st.command([]string{"certify", "all"})
	if m, err := p.Next(st.state); !errors.Is(err, ErrNotReadBack) {
		t.Errorf("stored without a second reading: %v, %v", m, err)
	}
	if err := p.ConfirmReadBack(must(st.actors[1].Share(st.state))(t)); !errors.Is(err, ErrWrongShare) {
		t.Errorf("another member's share: %v", err)
	}
	if err := p.ConfirmReadBack(wrong); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Next(st.state); !errors.Is(err, ErrWrongShare) {
		t.Errorf("another share read back: %v", err)
	}
	if err := p.ConfirmReadBack(must(p.Share(st.state))(t)); err != nil {
		t.Fatal(err)
	}
	if m, err := p.Next(st.state); err != nil || one(t, m).Kind != KindStored {
		t.Errorf("with the right share read back: %v, %v", m, err)
	}
	if st.state.Certificate() != nil {
		t.Error("there is a certificate before the shares are stored")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	secret := testSecret(1)
	p := must(NewParticipant(secret, testTerms(4, 3), testSeed(1)))(t)
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("x", "secret", secret, "participant", p)
	fmt.Fprintf(&out, "%v %+v %#v %s %x %d %v %+v %#v %s %x %d", secret, secret, secret, secret, secret, secret, p, p, p, p, p, p)
	seed := secret.ExposeSeed()
	for _, leak := range []string{fmt.Sprintf("%x", seed[:8]), fmt.Sprint(seed[:4])[1:], fmt.Sprintf("%x", p.root[:8])} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("a secret shows: %s", out.String())
		}
	}
	if n := strings.Count(out.String(), "[member secret]") + strings.Count(out.String(), "[participant]"); n != 14 {
		t.Errorf("%d redactions in %s", n, out.String())
	}
	p.Wipe()
	secret.Wipe()
	if secret.ExposeSeed() != [32]byte{} || !bytes.Equal(p.root, make([]byte, 32)) {
		t.Error("Wipe leaves something")
	}
}
