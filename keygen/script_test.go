package keygen

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.dedis.ch/kyber/v3/share"

	"github.com/scrimlabs/scrim/keygen/internal/g1"
	"github.com/scrimlabs/scrim/threshold"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata/ceremonies print into them")

// TestScripts plays testdata/ceremonies/*.txt. A script is commands, each
// followed by "----" and what it prints; -rewrite writes that anew.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/ceremonies/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scripts found: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playScript(t, string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// playScript gives the script with its outputs replaced.
func playScript(t *testing.T, script string) string {
	st := &stage{t: t}
	var out []string
	lines := strings.Split(strings.TrimRight(script, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		out = append(out, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if i+1 < len(lines) && lines[i+1] == "----" {
			for i++; i+1 < len(lines) && lines[i+1] != ""; i++ {
			}
		}
		out = append(out, "----")
		st.printed = nil
		st.command(strings.Fields(line))
		out = append(out, st.printed...)
	}
	return strings.Join(out, "\n") + "\n"
}

// stage is a ceremony with its members. Whenever a phase begins, somebody is blamed
// or some steps have passed, the state is written and read back, and the ceremony
// goes on with what was read.
type stage struct {
	t       testing.TB
	terms   *Terms
	secrets []*MemberSecret // secrets[j-1] is speaker j's
	actors  []*Participant  // actors[j-1] is speaker j's: the same one in both roles of a member
	state   *State
	height  uint64
	last    map[Kind][]*Message // what each speaker sent last
	printed []string
	steps   int  // counted, see step
	plain   bool // steps are taken and no more: for ceremonies that are only there to begin from

	office *State // the ceremony of the committee in office, if it has a successor
	sealed []sealedText
}

// sealedText is something that was sealed while a committee was in office.
type sealedText struct {
	ct  *threshold.Checked
	key threshold.KeyID
}

func testSecret(j int) *MemberSecret {
	return MemberSecretFromSeed(sha256.Sum256(fmt.Appendf(nil, "test member %d", j)))
}

func testSeed(j int) [32]byte { return sha256.Sum256(fmt.Appendf(nil, "test seed %d", j)) }

var testNames = []string{"ann", "bob", "cid", "dora", "eve", "fred", "gus", "hal", "ida", "jo", "kay", "leo", "mia", "nat", "olga", "pit"}

func testTerms(n, t int) *Terms {
	terms := &Terms{ChainID: "scrim-test", Epoch: 1, Attempt: 1, Threshold: t, Phases: EqualPhases(5), StartHeight: 1, Change: ChangeFirst}
	for j := 1; j <= n; j++ {
		terms.Members = append(terms.Members, testMember(j))
	}
	return terms
}

func testMember(j int) Member {
	name := fmt.Sprintf("m%d", j)
	if j <= len(testNames) {
		name = testNames[j-1]
	}
	return testSecret(j).Member(name)
}

// testNumber is the j of a test member's name.
func testNumber(name string) int {
	if i := slices.Index(testNames, name); i >= 0 {
		return i + 1
	}
	j, _ := strconv.Atoi(strings.TrimPrefix(name, "m"))
	return j
}

func newStage(t testing.TB, terms *Terms) *stage {
	st := &stage{t: t, height: 1}
	st.begin(must(New(terms))(t))
	return st
}

// begin goes on with another ceremony.
func (st *stage) begin(s *State) {
	st.state, st.terms, st.last = s, s.Terms(), map[Kind][]*Message{}
	n := st.terms.Speakers()
	st.secrets, st.actors = make([]*MemberSecret, n), make([]*Participant, n)
	for j := uint32(1); int(j) <= n; j++ {
		st.secrets[j-1] = testSecret(testNumber(st.terms.Speaker(j).Name))
		st.restart(j)
	}
}

// restart makes a speaker's participant anew, from nothing but secret, terms, seed, log, and the share that it holds.
func (st *stage) restart(j uint32) {
	number := testNumber(st.terms.Speaker(j).Name) + 100*(int(st.terms.Attempt)-1)
	p := must(NewParticipant(st.secrets[j-1], st.terms, testSeed(number)))(st.t)
	if last := p.roles[len(p.roles)-1]; st.terms.Change == ChangeReshare && st.terms.isPrevious(last) {
		if err := p.UseShare(must(RecoverShare(st.secrets[j-1], st.office))(st.t)); err != nil {
			st.t.Fatal(err)
		}
	}
	for _, role := range p.roles {
		st.actors[role-1] = p
	}
}

// one is the only one of what a member owes.
func one(t testing.TB, owed []*Message) *Message {
	t.Helper()
	if len(owed) != 1 {
		t.Fatalf("%d messages, not one", len(owed))
	}
	return owed[0]
}

// due is what a speaker owes; nil if nothing.
func (st *stage) due(j uint32) *Message {
	owed, err := st.actors[j-1].Next(st.state)
	if err != nil {
		st.t.Fatal(err)
	}
	for _, m := range owed {
		if m.Member == j {
			return m
		}
	}
	return nil
}

func (p *Participant) testPoly(t testing.TB) *share.PriPoly { return must(p.poly())(t) }

func (p *Participant) someDeal(t testing.TB, role uint32) []byte {
	return must(p.dealBody(role, p.testPoly(t)))(t)
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (st *stage) printf(format string, args ...any) {
	st.printed = append(st.printed, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// step feeds one event and says what came of it.
func (st *stage) step(m *Message) error {
	before := st.state
	if st.plain {
		next, _, err := Step(before, Event{st.height, m})
		st.state = next
		return err
	}
	beforeBytes := must(before.MarshalBinary())(st.t)
	if m != nil {
		m = must(ParseMessage(must(m.MarshalBinary())(st.t)))(st.t)
	}
	next, effects, err := Step(before, Event{st.height, m})
	if m != nil && (before.Admit(m) == nil) != (err == nil) {
		st.t.Fatalf("Admit and Step differ about %s by %d: %v", m.Kind, m.Member, err)
	}
	if again := must(before.MarshalBinary())(st.t); !bytes.Equal(again, beforeBytes) {
		st.t.Fatal("Step changed its input")
	}
	if err != nil {
		if next != before || effects != nil {
			st.t.Fatal("Step changed something and gave an error")
		}
		return err
	}
	st.state = next
	st.steps++
	if next.phase != before.phase || len(next.faults) != len(before.faults) || st.steps%4 == 0 {
		st.reread()
	}
	if p := st.state.Phase(); p != before.Phase() {
		if st.state.Done() {
			st.printf("-> %s", p)
		} else {
			st.printf("-> %s, until height %d", p, st.state.Deadline())
		}
	}
	for _, f := range st.state.Blame()[len(before.Blame()):] {
		if err := f.Verify(st.terms); err != nil && !errors.Is(err, ErrNoProof) {
			st.t.Errorf("fault without proof: %v: %v", f, err)
		}
		st.printf("blame: %s", f.describe(st.terms))
	}
	for _, e := range st.state.Evidence()[len(before.Evidence()):] {
		st.evidence(e)
	}
	for _, e := range effects {
		switch e := e.(type) {
		case Activated:
			if err := VerifyCertificate(e.Certificate, st.terms); err != nil {
				st.t.Errorf("certificate: %v", err)
			}
			if st.office != nil {
				if err := VerifySuccession(e.Certificate, st.office.Certificate()); err != nil {
					st.t.Errorf("succession: %v", err)
				}
			}
			st.printf("effect: activated, %d certifications, qualified %v", len(e.Certificate.Certifications), e.Certificate.Qualified)
		case Failed:
			st.printf("effect: failed, %d faults", len(e.Blame))
		case Aborted:
			st.printf("effect: aborted by %v", e.By)
		case Rejected:
			st.printf("effect: rejected, %d faults", len(e.Blame))
		}
	}
	return nil
}

// reread writes the state and goes on with what is read.
func (st *stage) reread() {
	next := st.state
	b := must(next.MarshalBinary())(st.t)
	st.state = must(ParseState(b))(st.t)
	if again := must(st.state.MarshalBinary())(st.t); !bytes.Equal(again, b) || st.state.Hash() != next.Hash() {
		st.t.Fatal("a state that was written and read is another")
	}
	if diff := cmp.Diff(next.Status(), st.state.Status()); diff != "" {
		st.t.Fatal(diff)
	}
}

// evidence must convince whoever has the terms, and nothing else.
func (st *stage) evidence(e Evidence) {
	back := must(ParseEvidence(must(e.MarshalBinary())(st.t)))(st.t)
	if diff := cmp.Diff(e, *back); diff != "" {
		st.t.Error(diff)
	}
	if err := back.Verify(st.terms); err != nil {
		st.t.Error(err)
	}
	st.printf("evidence: against %d, %d signed messages", e.Member, len(e.Statements))
}

func (st *stage) send(m *Message) {
	st.last[m.Kind] = append(slices.Clone(st.last[m.Kind]), m)
	if err := st.step(m); err != nil {
		reason, _, _ := strings.Cut(err.Error(), " (")
		st.printf("%s of %d refused: %s", m.Kind, m.Member, strings.TrimPrefix(reason, "keygen: "))
	}
}

// end ends heights until the given one has ended.
func (st *stage) end(to uint64) {
	for st.height <= to {
		if err := st.step(nil); err != nil {
			st.t.Fatal(err)
		}
		st.height++
	}
}

func (st *stage) command(words []string) {
	var members []uint32
	args := map[string]string{}
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			args[k] = v
		} else {
			members = append(members, st.speakers(commandKind[words[0]], w)...)
		}
	}
	switch words[0] {
	case "terms":
		st.setTerms(args)
	case "committee":
		n, t := must(strconv.Atoi(args["n"]))(st.t), must(strconv.Atoi(args["t"]))(st.t)
		*st = *finished(st.t, testTerms(n, t))
		st.printed, st.last = nil, map[Kind][]*Message{}
		st.printf("epoch %d: %d of %d", st.terms.Epoch, t, n)
	case "reshare", "rotate":
		st.succeed(words[0], args)
	case "seal":
		st.seal()
	case "propose":
		st.state = must(Propose(st.terms))(st.t)
		st.printf("%s, until height %d", st.state.Phase(), st.state.Deadline())
	case "retry":
		st.retry(int(members[0]), must(strconv.ParseUint(args["start"], 10, 64))(st.t))
	case "consent", "reject", "abort":
		for _, j := range members {
			words := must(Votes(st.secrets[j-1], st.terms, commandKind[words[0]]))(st.t)
			m := words[slices.IndexFunc(words, func(m *Message) bool { return m.Member == j })]
			if args["bad"] != "" {
				m = st.spoil(m, args["bad"])
			}
			st.send(m)
		}
	case "deal", "respond", "justify", "certify", "store":
		for _, j := range members {
			st.speak(words[0], j, args["bad"])
		}
	case "again": // the same bytes once more
		k := commandKind[args["kind"]]
		for _, j := range members {
			for _, m := range st.last[k] {
				if m.Member == j {
					st.send(m)
				}
			}
		}
	case "other-attempt":
		terms := *st.terms
		terms.Attempt++
		for _, j := range members {
			p := must(NewParticipant(st.secrets[j-1], &terms, testSeed(int(j))))(st.t)
			p.old = st.actors[j-1].old
			s := newState(&terms)
			s.enter(PhaseDealing, 0)
			st.send(one(st.t, must(p.Next(s))(st.t)))
		}
	case "forge": // member, signed by the next one
		for _, j := range members {
			m := st.due(j)
			next := st.secrets[int(j)%len(st.secrets)]
			st.send(newMessage(next.Identity(), st.terms, m.Ceremony, m.Kind, j, m.Body))
		}
	case "restart": // with nothing but secret, terms, seed and log
		for _, j := range members {
			st.restart(j)
		}
	case "end":
		st.end(must(strconv.ParseUint(args["height"], 10, 64))(st.t))
	case "status":
		st.status()
	case "open":
		st.open()
	default:
		st.t.Fatalf("unknown command %q", words[0])
	}
}

// speakers finds whom a word names, for a kind of message: "all" that it is asked
// of, a number, a name, or "old:" and a name, which is the member's previous role.
func (st *stage) speakers(k Kind, word string) (out []uint32) {
	if j, err := strconv.ParseUint(word, 10, 32); err == nil {
		return []uint32{uint32(j)}
	}
	name, old := strings.CutPrefix(word, "old:")
	for j := uint32(1); int(j) <= st.terms.Speakers(); j++ {
		asked := k == 0 || st.terms.speaks(k, j)
		if word == "all" && asked {
			out = append(out, j)
		}
		if st.terms.Speaker(j).Name == name && asked && (!old || st.terms.isPrevious(j)) {
			return []uint32{j}
		}
	}
	if len(out) == 0 {
		st.t.Fatalf("%q is nobody who says a %s", word, k)
	}
	return out
}

// dealerPlace is where a response speaks about a dealer.
func (st *stage) dealerPlace(dealer uint32) int {
	first, _ := st.terms.dealers()
	return int(dealer - first)
}

// succeed proposes the next committee: members=ann,bob t=2 start=10 by=ann, and
// overlap=5 of a rotation.
func (st *stage) succeed(change string, args map[string]string) {
	attempt := uint32(1)
	if st.state.Phase() == PhaseActive {
		st.office = st.state
	} else {
		attempt = st.terms.Attempt + 1
	}
	office := st.office.Certificate()
	terms := &Terms{ChainID: "scrim-test", Epoch: office.Terms.Epoch + 1, Attempt: attempt, Phases: EqualPhases(5), Previous: must(PreviousOf(office))(st.t)}
	if err := terms.Change.UnmarshalText([]byte(change)); err != nil {
		st.t.Fatal(err)
	}
	for _, name := range strings.Split(args["members"], ",") {
		terms.Members = append(terms.Members, testMember(testNumber(name)))
	}
	terms.Threshold, terms.StartHeight = must(strconv.Atoi(args["t"]))(st.t), must(strconv.ParseUint(args["start"], 10, 64))(st.t)
	if overlap, ok := args["overlap"]; ok {
		terms.Overlap = must(strconv.ParseUint(overlap, 10, 64))(st.t)
	}
	m := must(ProposeTerms(testSecret(testNumber(args["by"])), terms))(st.t)
	next, err := BeginSuccession(office, attempt, st.height, must(ParseMessage(must(m.MarshalBinary())(st.t)))(st.t))
	if err != nil {
		st.printf("refused: %s", strings.TrimPrefix(err.Error(), "keygen: "))
		return
	}
	if next.Terms().Hash() != terms.Hash() {
		st.t.Fatal("the ceremony has other terms than were proposed")
	}
	kept := st.last
	st.begin(must(ParseState(must(next.MarshalBinary())(st.t)))(st.t))
	st.last = kept
	st.printf("epoch %d, attempt %d %s, until height %d", terms.Epoch, terms.Attempt, st.state.Phase(), st.state.Deadline())
}

// seal keeps something that is sealed to the key in office.
func (st *stage) seal() {
	s := st.state
	if s.Phase() != PhaseActive {
		s = st.office
	}
	key := s.Certificate().Committee.Key
	ct := must(threshold.Seal(&counterReader{}, key, threshold.SealOptions{ChainID: st.terms.ChainID, Namespace: "test", ValidUntil: 100}, []byte("sealed before")))(st.t)
	st.sealed = append(st.sealed, sealedText{must(ct.Check())(st.t), key.ID()})
	st.printf("sealed to the key of epoch %d", s.Terms().Epoch)
}

func (st *stage) setTerms(args map[string]string) {
	n, t := must(strconv.Atoi(args["n"]))(st.t), must(strconv.Atoi(args["t"]))(st.t)
	terms := testTerms(n, t)
	if start, ok := args["start"]; ok {
		terms.StartHeight = must(strconv.ParseUint(start, 10, 64))(st.t)
	}
	*st = *newStage(st.t, terms)
	st.printf("%s, until height %d", st.state.Phase(), st.state.Deadline())
}

// retry begins the next attempt, with new participants.
func (st *stage) retry(by int, start uint64) {
	terms := st.terms.Retry(start)
	m := must(ProposeTerms(st.secrets[by-1], terms))(st.t)
	next, err := BeginRetry(st.state, st.height, must(ParseMessage(must(m.MarshalBinary())(st.t)))(st.t))
	if err != nil {
		st.printf("refused: %s", strings.TrimPrefix(err.Error(), "keygen: "))
		return
	}
	record := must(ParseRecord(must(st.state.Record().MarshalBinary())(st.t)))(st.t)
	st.printf("attempt %d %s in %s, %d faults", record.Terms.Attempt, record.Outcome, record.EndedIn, len(record.Blame))
	kept := st.last
	st.begin(must(ParseState(must(next.MarshalBinary())(st.t)))(st.t))
	st.last = kept
	st.printf("attempt %d %s, until height %d", terms.Attempt, st.state.Phase(), st.state.Deadline())
}

var commandKind = map[string]Kind{"deal": KindDeal, "respond": KindResponse, "justify": KindJustification, "certify": KindCertification,
	"consent": KindConsent, "reject": KindRejection, "abort": KindAbort, "store": KindStored}

// speak sends what the member owes, or something worse.
func (st *stage) speak(command string, j uint32, bad string) {
	k := commandKind[command]
	if k == KindCertification || k == KindStored {
		share, err := st.actors[j-1].Share(st.state)
		if errors.Is(err, ErrShareLost) {
			st.printf("%d has no share that fits", j)
			return
		}
		if err == nil {
			st.actors[j-1].ConfirmStored(share)
			if k == KindStored {
				st.actors[j-1].ConfirmReadBack(share)
			}
		}
	}
	m := st.outOfTurn(k, j)
	if st.state.Phase().kind() == k {
		if due := st.due(j); due != nil {
			m = due
		}
	}
	if bad != "" {
		m = st.spoil(m, bad)
	}
	st.send(m)
}

// outOfTurn makes up a message that is not due.
func (st *stage) outOfTurn(k Kind, j uint32) *Message {
	body := []byte("out of turn")
	if k == KindDeal {
		body = st.actors[j-1].someDeal(st.t, j)
	}
	return newMessage(st.secrets[j-1].Identity(), st.terms, st.terms.Hash(), k, j, body)
}

// spoil does what dishonest members do, and signs it.
func (st *stage) spoil(m *Message, how string) *Message {
	j := m.Member
	actor := st.actors[j-1]
	body := slices.Clone(m.Body)
	how, arg, _ := strings.Cut(how, ":")
	about := uint32(0)
	if arg != "" {
		about = uint32(must(strconv.Atoi(arg))(st.t))
	}
	one := g1.Secret.Scalar().One()
	switch how {
	case "garbage":
		body = []byte("garbage")
	case "share": // encrypts a wrong share, properly
		d, fault := readDeal(st.terms, m.Ceremony, j, body)
		if fault != 0 {
			st.t.Fatal(fault)
		}
		v := shareFor(actor.testPoly(st.t), about)
		v.Add(v, one)
		d.sealed[about-1] = must(sealContext{st.terms, m.Ceremony, j, about, d.digest()}.seal(v, actor.ephemeral(about)))(st.t)
		body = d.append(nil)
	case "ciphertext": // encrypts nothing
		d, _ := readDeal(st.terms, m.Ceremony, j, body)
		d.sealed[about-1] = [sealedSize]byte{9: 1}
		body = d.append(nil)
	case "degree": // a polynomial of another degree
		terms := *st.terms
		terms.Threshold = int(about)
		p := *actor
		p.terms = &terms
		body = p.someDeal(st.t, j)
	case "constant": // a polynomial whose constant is not the share that it holds
		p := *actor
		wrong := must(parseScalar(p.old[:]))(st.t)
		wrong.Add(wrong, one)
		b := wrong.Bytes()
		p.old = &b
		body = p.someDeal(st.t, j)
	case "shares": // leaves the last member out
		d, _ := readDeal(st.terms, m.Ceremony, j, body)
		d.sealed = d.sealed[:len(d.sealed)-1]
		body = d.append(nil)
	case "possession": // somebody else's secret
		d, _ := readDeal(st.terms, m.Ceremony, j, body)
		d.commits[0].Add(d.commits[0], g1.Public.Point().Base())
		body = d.append(nil)
	case "infinity":
		d, _ := readDeal(st.terms, m.Ceremony, j, body)
		d.commits[0].Null()
		body = d.append(nil)
	case "copy": // takes another dealer's deal for its own
		body = slices.Clone(st.state.entry(KindDeal, about).Body)
	case "other": // with another seed
		p := must(NewParticipant(st.secrets[j-1], st.terms, testSeed(int(j)+1000)))(st.t)
		p.old = actor.old
		body = p.someDeal(st.t, j)
	case "complain":
		body[st.dealerPlace(about)] = byte(complaint)
	case "approve":
		body[st.dealerPlace(about)] = byte(approval)
	case "answer": // stands by a wrong share
		answers := []answer{}
		for _, c := range st.state.complaints(j) {
			v := shareFor(actor.testPoly(st.t), c)
			v.Add(v, one)
			answers = append(answers, answer{c, v, actor.ephemeral(c)})
		}
		body = appendAnswers(nil, answers)
	case "transcript", "certificate":
		body[0] ^= 1
	case "key": // another member's
		other := must(st.actors[about-1].Share(st.state))(st.t)
		copy(body[32:], other.MemberKey().Bytes())
	case "signature":
		own := must(actor.Share(st.state))(st.t)
		sig := must(own.Sign([]byte("something else")))(st.t)
		copy(body[32+keySize:], sig.Point[:])
	default:
		st.t.Fatalf("unknown badness %q", how)
	}
	return newMessage(st.secrets[j-1].Identity(), st.terms, m.Ceremony, m.Kind, j, body)
}

func (st *stage) status() {
	s := st.state.Status()
	ended := ""
	if s.EndedIn != "" && st.state.Phase() != PhaseActive {
		ended = " in " + s.EndedIn
	}
	st.printf("%s%s, height %d, until %d, waiting for %v", s.Phase, ended, s.Height, s.Deadline, s.Waiting)
	for _, m := range s.Members {
		qualified := ""
		if m.Qualified {
			qualified = "qualified"
		}
		if m.Role == RolePrevious {
			qualified = fmt.Sprintf("%-9s previous", qualified)
		}
		consent := ""
		if m.Consent != CellNotNeeded {
			consent = fmt.Sprintf("%-10s ", m.Consent)
		}
		st.printf("%d %-5s %s%-10s %-10s %-10s %-10s %-10s %s", m.Index, m.Name, consent, m.Deal, m.Response, m.Justification, m.Certification, m.Stored, qualified)
	}
	if len(s.Aborting) > 0 {
		st.printf("asked to abort: %v", s.Aborting)
	}
}

// open uses the committee: something sealed to it opens with the shares of any
// t of the members that certified.
func (st *stage) open() {
	s := st.state
	if s.Phase() != PhaseActive && st.office != nil {
		s = st.office
		st.printf("the committee of epoch %d is in office", s.Terms().Epoch)
	}
	cert := s.Certificate()
	if cert == nil {
		st.printf("there is no committee")
		return
	}
	plain := []byte("until the curtain rises")
	rnd := &counterReader{}
	ct := must(threshold.Seal(rnd, cert.Committee.Key, threshold.SealOptions{ChainID: st.terms.ChainID, Namespace: "test", ValidUntil: 100}, plain))(st.t)
	batch := []*threshold.Checked{must(ct.Check())(st.t)}
	for _, s := range st.sealed {
		if s.key == cert.Committee.Key.ID() {
			batch = append(batch, s.ct)
		} else {
			st.printf("something is sealed to another key")
		}
	}
	var shares []*threshold.BatchShare
	for _, c := range cert.Certifications {
		own := must(RecoverShare(testSecret(testNumber(s.Terms().Members[c.Member-1].Name)), s))(st.t)
		if !bytes.Equal(own.MemberKey().Bytes(), c.Key) {
			st.t.Errorf("member %d: the share is not the certified one", c.Member)
		}
		shares = append(shares, must(own.ShareBatch(batch))(st.t))
	}
	openings, bad, err := threshold.Combine(cert.Committee, batch, shares[len(shares)-st.terms.Threshold:])
	if err != nil || len(bad) > 0 {
		st.t.Fatalf("combine: bad %v, %v", bad, err)
	}
	for _, o := range openings {
		st.printf("opened: %s", must(threshold.Open(o))(st.t))
	}
}

// counterReader is randomness for tests that is always the same.
type counterReader struct{ n byte }

func (r *counterReader) Read(b []byte) (int, error) {
	for i := range b {
		r.n++
		b[i] = r.n * 31
	}
	return len(b), nil
}
