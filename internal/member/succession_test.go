package member

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/wallet/wallettest"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/threshold"
)

func cardOf(t *testing.T, p wallettest.Person) *keygen.Card {
	t.Helper()
	c, err := keygen.NewCard(p.Secret, p.Name, "")
	must(t, err)
	return c
}

func memberNames(t *keygen.Terms) string { return names(t.Members) }

// What is asked for is what is drafted, and the words say what is different.
func TestDraftSuccession(t *testing.T) {
	c := wallettest.NewCommittee(t, "member-test")
	office := c.Certificate
	erin, otherDave := wallettest.NewPerson(t, "erin"), wallettest.NewPerson(t, "dave")
	forged := cardOf(t, erin)
	forged.Member.Encryption[0] ^= 1
	key := office.Committee.Key.ID()
	stays := fmt.Sprintf("key: stays: id 0x%x; all shares are new, old ones do not fit them", key[:4])
	for name, test := range map[string]struct {
		d       Succession
		members string
		t       int
		says    []string
		err     string
	}{
		"refresh": {Succession{Change: keygen.ChangeReshare}, "alice, bob, carol, dave", 3,
			[]string{"stays: alice, bob, carol, dave", "threshold: 3 of 4, as before", stays}, ""},
		"one joins": {Succession{Change: keygen.ChangeReshare, Add: []*keygen.Card{cardOf(t, erin)}}, "alice, bob, carol, dave, erin", 4,
			[]string{"joins: erin, fingerprint " + cardOf(t, erin).Fingerprint(), "stays: alice, bob, carol, dave", "threshold: 4 of 5 instead of 3 of 4", stays}, ""},
		"one leaves": {Succession{Change: keygen.ChangeReshare, Remove: []string{"bob"}}, "alice, carol, dave", 3,
			[]string{"leaves: bob, fingerprint " + cardOf(t, c.People[1]).Fingerprint(), "stays: alice, carol, dave", "threshold: 3 of 3 instead of 3 of 4", stays}, ""},
		"one is replaced by another of the same name": {Succession{Change: keygen.ChangeReshare, Add: []*keygen.Card{cardOf(t, otherDave)}, Remove: []string{"dave"}}, "alice, bob, carol, dave", 3,
			[]string{"joins: dave, fingerprint " + cardOf(t, otherDave).Fingerprint(), "leaves: dave, fingerprint " + cardOf(t, c.People[3]).Fingerprint(),
				"stays: alice, bob, carol", "threshold: 3 of 4, as before", stays}, ""},
		"a new list": {Succession{Change: keygen.ChangeReshare, Members: []*keygen.Card{cardOf(t, erin), cardOf(t, c.People[0])}, Threshold: 2}, "erin, alice", 2,
			[]string{"joins: erin, fingerprint " + cardOf(t, erin).Fingerprint(), "leaves: bob, fingerprint " + cardOf(t, c.People[1]).Fingerprint(),
				"leaves: carol, fingerprint " + cardOf(t, c.People[2]).Fingerprint(), "leaves: dave, fingerprint " + cardOf(t, c.People[3]).Fingerprint(),
				"stays: alice", "threshold: 2 of 2 instead of 3 of 4", stays}, ""},
		"rotation": {Succession{Change: keygen.ChangeRotate, Overlap: 77, Threshold: 4, Phases: keygen.Phases{Store: 9}}, "alice, bob, carol, dave", 4,
			[]string{"stays: alice, bob, carol, dave", "threshold: 4 of 4 instead of 3 of 4",
				fmt.Sprintf("key: a new one; what is sealed to the old one (id 0x%x) is ordered for 77 blocks after the change, then refused", key[:4]), "phases: store: 9 blocks instead of 5"}, ""},
		"nobody of that name":  {Succession{Change: keygen.ChangeReshare, Remove: []string{"zoe", "bob"}}, "", 0, nil, "zoe cannot leave: the members in office are alice, bob, carol, dave"},
		"a member again":       {Succession{Change: keygen.ChangeReshare, Add: []*keygen.Card{cardOf(t, c.People[0])}}, "", 0, nil, "alice is a member already"},
		"two of a name":        {Succession{Change: keygen.ChangeReshare, Add: []*keygen.Card{cardOf(t, otherDave)}}, "", 0, nil, "two members have the name dave"},
		"everybody leaves":     {Succession{Change: keygen.ChangeReshare, Remove: []string{"alice", "bob", "carol", "dave"}}, "", 0, nil, "nobody is left"},
		"both kinds of lists":  {Succession{Change: keygen.ChangeReshare, Members: []*keygen.Card{cardOf(t, erin)}, Remove: []string{"bob"}}, "", 0, nil, "either the whole list"},
		"forged card":          {Succession{Change: keygen.ChangeReshare, Add: []*keygen.Card{forged}}, "", 0, nil, "card"},
		"too low a threshold":  {Succession{Change: keygen.ChangeReshare, Threshold: 2}, "", 0, nil, "more than half"},
		"overlap of a reshare": {Succession{Change: keygen.ChangeReshare, Overlap: 5}, "", 0, nil, "only a rotation has one"},
	} {
		t.Run(name, func(t *testing.T) {
			terms, err := test.d.Terms(office, 2, 500)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("got %v, want %q", err, test.err)
				}
				return
			}
			must(t, err)
			if memberNames(terms) != test.members || terms.Threshold != test.t || terms.Epoch != 2 || terms.Attempt != 2 || terms.StartHeight != 500 || terms.Limits != office.Terms.Limits {
				t.Errorf("%+v", terms)
			}
			var says []string
			for _, d := range Differences(terms, office.Terms.Phases) {
				says = append(says, d.What+": "+d.Text)
			}
			if diff := cmp.Diff(test.says, says); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// stage is a succession as it stands, and a node that shows it.
type stage struct {
	first *wallettest.Committee
	next  *wallettest.Committee // after it
	node  *wallettest.Member
	all   map[string]wallettest.Person
}

// successions: dave leaves, erin joins, the others stay. Each state is of the real ceremony.
func successionStage(t *testing.T, change func(*keygen.Terms)) *stage {
	t.Helper()
	first := wallettest.NewCommittee(t, "member-test")
	s := &stage{first: first, node: first.Member(1), all: map[string]wallettest.Person{"zoe": wallettest.NewPerson(t, "zoe")}}
	people := append(slices.Clone(first.People[:3]), wallettest.NewPerson(t, "erin"))
	for _, p := range append(slices.Clone(first.People), people[3]) {
		s.all[p.Name] = p
	}
	s.next = first.Succeed(t, change, people...)
	return s
}

func (s *stage) identity(name string) ed25519.PublicKey {
	if name == "" {
		return nil
	}
	return s.all[name].Secret.Member("").Identity
}

func rotate(t *keygen.Terms) { t.Change, t.Overlap = keygen.ChangeRotate, 50 }

// The next thing to type is right for the one who asks: in every phase, for a first key, a
// resharing and a rotation, for who stays, leaves, joins, or has nothing to do with it.
func TestStatusNext(t *testing.T) {
	reshare, rotation := successionStage(t, nil), successionStage(t, rotate)
	first := reshare.first
	proposed := func(s *stage, voted ...string) *keygen.State {
		state := s.first.Propose(t, s.next.Ceremony(t, keygen.PhaseActive).Terms(), 100)
		for _, name := range voted {
			state = wallettest.Vote(t, state, keygen.KindConsent, s.all[name].Secret)
		}
		return state
	}
	at := func(s *stage, p keygen.Phase) *keygen.State { return s.next.Ceremony(t, p) }
	aborting := wallettest.Vote(t, at(reshare, keygen.PhaseResponding), keygen.KindAbort, reshare.all["dave"].Secret)
	over := func(s *keygen.State) *keygen.State {
		for h := s.Height() + 1; !s.Done(); h++ {
			var err error
			s, _, err = keygen.Step(s, keygen.Event{Height: h})
			must(t, err)
		}
		return s
	}
	const accept, reject = "then: scrim member accept --node http://", "or: scrim member reject --node http://"
	for _, test := range []struct {
		what  string
		stage *stage
		state *keygen.State
		own   string
		next  []string
	}{
		{"first", reshare, first.Ceremony(t, keygen.PhaseDealing), "alice", []string{"your own message is awaited"}},
		{"first", reshare, first.Ceremony(t, keygen.PhaseDealing), "", []string{"ask alice, bob, carol, dave to start"}},
		{"first", reshare, first.Ceremony(t, keygen.PhaseCertifying), "dave", []string{"your own message is awaited"}},
		{"first", reshare, first.Ceremony(t, keygen.PhaseActive), "bob", []string{"scrim member verify --node http://", "publish the terms pin", "epoch-1-attempt-1.share.age", "confirm-stored COPY --node"}},
		{"first", reshare, first.Ceremony(t, keygen.PhaseActive), "zoe", []string{"you are not a member of the newest ceremony", "scrim member reshare --add member.json"}},
		{"first", reshare, over(first.Ceremony(t, keygen.PhaseDealing)), "bob", []string{"scrim member retry --node http://", "ceremony.attempts to 2", "a new chain is needed"}},

		{"proposed", reshare, proposed(reshare), "alice", []string{"all members have to answer", accept, reject}},
		{"proposed", reshare, proposed(reshare), "dave", []string{"hand over and leave", accept, reject}},
		{"proposed", reshare, proposed(reshare), "erin", []string{"asked to join", "scrim member join --node http://", reject}},
		{"proposed", reshare, proposed(reshare), "zoe", []string{"nothing to type", "in neither committee", "alice, bob, carol, erin, dave (previous)"}},
		{"proposed", reshare, proposed(reshare), "", []string{accept}},
		{"proposed", reshare, proposed(reshare, "alice"), "alice", []string{"nothing to type; ask bob, carol, erin", "scrim member accept (those who are new: scrim member join)"}},
		{"proposed", rotation, proposed(rotation), "erin", []string{"scrim member join --node http://"}},
		{"accepted", reshare, proposed(reshare, "alice", "bob", "carol", "dave", "erin"), "erin", []string{"nothing to type", "begins after height 109"}},
		{"dealing", reshare, at(reshare, keygen.PhaseDealing), "alice", []string{"your deal is awaited", "scrimd start", "scrim member recover --node http://"}},
		{"dealing", reshare, at(reshare, keygen.PhaseDealing), "dave", []string{"your deal is awaited"}},
		{"dealing", reshare, at(reshare, keygen.PhaseDealing), "erin", []string{"nothing to type", "ask alice (previous), bob (previous), carol (previous), dave (previous) to start theirs"}},
		{"dealing", rotation, at(rotation, keygen.PhaseDealing), "erin", []string{"your own message is awaited"}},
		{"dealing", rotation, at(rotation, keygen.PhaseDealing), "dave", []string{"nothing to type; keep the node running, and ask alice, bob, carol, erin"}},
		{"responding", reshare, at(reshare, keygen.PhaseResponding), "erin", []string{"your own message is awaited"}},
		{"responding", reshare, at(reshare, keygen.PhaseResponding), "dave", []string{"nothing to type; keep the node running"}},
		{"responding", reshare, at(reshare, keygen.PhaseResponding), "zoe", []string{"nothing to type; you are in neither committee"}},
		{"aborting", reshare, aborting, "alice", []string{"dave (previous) asked to end", "scrim member abort --node http://"}},
		{"aborting", reshare, aborting, "dave", []string{"nothing to type; keep the node running"}},
		{"certifying", reshare, at(reshare, keygen.PhaseCertifying), "erin", []string{"your own message is awaited"}},
		{"storing", reshare, at(reshare, keygen.PhaseStoring), "alice", []string{"your own message is awaited"}},
		{"active", reshare, at(reshare, keygen.PhaseActive), "alice", []string{"scrim member verify --node http://", "epoch-2-attempt-1.share.age", "confirm-stored COPY", "delete the copies of the old share"}},
		{"active", reshare, at(reshare, keygen.PhaseActive), "erin", []string{"epoch-2-attempt-1.share.age", "confirm-stored COPY"}},
		{"active", reshare, at(reshare, keygen.PhaseActive), "dave", []string{"you are no member any more", "destroyed your old share", "1000 if config.toml says nothing else) after height 77 (it is 103)", "SCRIM_CEREMONY_KEEP_OLD_SHARES=0", "the age identity or member.age with its backups"}},
		{"active", reshare, at(reshare, keygen.PhaseActive), "zoe", []string{"nothing to type", "scrim member verify"}},
		{"active", rotation, at(rotation, keygen.PhaseActive), "bob", []string{"confirm-stored COPY"}},
		{"failed", reshare, over(at(reshare, keygen.PhaseDealing)), "alice", []string{"the committee of epoch 1 stays in office", "scrim member retry --node http://", "scrim member reshare"}},
		{"failed", rotation, over(at(rotation, keygen.PhaseDealing)), "dave", []string{"stays in office", "scrim member rotate"}},
		{"rejected", reshare, wallettest.Vote(t, proposed(reshare), keygen.KindRejection, reshare.all["erin"].Secret), "bob", []string{"stays in office"}},
	} {
		t.Run(test.what+" "+test.own, func(t *testing.T) {
			m := test.stage.node
			m.State, m.Height = test.state, 103
			m.LieCommittees = func(all *v1.Committees) {
				for i := range all.Committees {
					all.Committees[i].Until = new(uint64)
					*all.Committees[i].Until = 77
				}
			}
			s, err := GetStatus(t.Context(), connect(t, m.Serve(t)), test.stage.identity(test.own))
			must(t, err)
			for _, want := range test.next {
				if !strings.Contains(s.Next, want) {
					t.Errorf("%q, want %q", s.Next, want)
				}
			}
			if s.Over() != (s.BlocksLeft == nil) || s.Succeeded() != (test.state.Phase() == keygen.PhaseActive) {
				t.Errorf("%+v", s)
			}
			var text bytes.Buffer
			must(t, s.Write(&text))
			wants := []string{"terms hash 0x", "justification", "next  "}
			if test.what != "first" {
				wants = append(wants, "of the committee of epoch 1, ", "4  erin", "8  dave (previous)")
			}
			for _, want := range wants {
				if !strings.Contains(text.String(), want) {
					t.Errorf("no %q in\n%s", want, text.String())
				}
			}
		})
	}
}

func (s *stage) voter(t *testing.T, name string) *Voter {
	t.Helper()
	return &Voter{Nodes: []*client.Client{connect(t, s.node.Serve(t))}, Known: s.first.Certificate.Terms, Secret: s.all[name].Secret, Every: time.Millisecond, Lead: 10}
}

func (s *stage) say(t *testing.T, name string, k keygen.Kind, next *Succession) (*Ballot, string) {
	t.Helper()
	v := s.voter(t, name)
	v.Next = next
	b, err := v.Prepare(t.Context(), k)
	must(t, err)
	var text bytes.Buffer
	must(t, b.Write(&text))
	shown, err := v.Cast(t.Context(), b)
	must(t, err)
	must(t, b.WriteResult(&text, shown))
	return b, text.String()
}

// From the proposal to the new committee, by what people type.
func TestSuccessionByHand(t *testing.T) {
	s := successionStage(t, nil)
	erin := s.all["erin"]
	next := &Succession{Change: keygen.ChangeReshare, Add: []*keygen.Card{cardOf(t, erin)}, Remove: []string{"dave"}}
	if _, err := s.voter(t, "erin").Prepare(t.Context(), keygen.KindConsent); !errors.Is(err, keygen.ErrNotMember) {
		t.Errorf("somebody whom the ceremony does not name: %v", err)
	}
	v := s.voter(t, "erin")
	v.Next = next
	if _, err := v.Prepare(t.Context(), keygen.KindProposal); !errors.Is(err, ErrNotInOffice) {
		t.Errorf("a proposal of somebody who is not in office: %v", err)
	}
	_, text := s.say(t, "alice", keygen.KindProposal, next)
	for _, want := range []string{"member 1 of 4 of the next committee, member 1 of 4 of the one in office", "let the next committee be this one", "joins       erin", "leaves      dave", "key         stays",
		"done: it is in a block; attempt 1 is proposed", "missing: alice, bob, carol, erin", "scrim member accept (those who are new: scrim member join)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if _, err := s.voter(t, "zoe").Prepare(t.Context(), keygen.KindConsent); !errors.Is(err, keygen.ErrNotMember) {
		t.Errorf("a stranger: %v", err)
	}
	if _, _, err := s.voter(t, "zoe").NeedsConsent(t.Context()); !errors.Is(err, ErrNoPart) {
		t.Errorf("a stranger: %v", err)
	}
	// Both roles of one who stays are in.
	b, text := s.say(t, "alice", keygen.KindConsent, nil)
	if len(b.Roles) != 2 || !strings.Contains(text, "I hand over, and take part, under these terms") {
		t.Errorf("%v\n%s", b.Roles, text)
	}
	if _, err := s.voter(t, "alice").Prepare(t.Context(), keygen.KindConsent); !errors.Is(err, ErrAnswered) {
		t.Errorf("twice: %v", err)
	}
	if _, text = s.say(t, "dave", keygen.KindConsent, nil); !strings.Contains(text, "I hand over under these terms, and leave") {
		t.Error(text)
	}
	s.say(t, "bob", keygen.KindConsent, nil)
	s.say(t, "carol", keygen.KindConsent, nil)
	if _, asked, err := s.voter(t, "erin").NeedsConsent(t.Context()); err != nil || !asked {
		t.Errorf("erin is not asked: %v", err)
	}
	s.node.OnAccepted = func(m *wallettest.Member) { s.next = m.Hold(t, append(slices.Clone(s.first.People[:3]), erin)...) }
	status, _, err := s.voter(t, "erin").NeedsConsent(t.Context())
	must(t, err)
	s.say(t, "erin", keygen.KindConsent, nil)
	shows := 0
	c, err := s.voter(t, "erin").Follow(t.Context(), status, func(*Status) { shows++ })
	if err != nil || c.Terms.Hash() != s.next.Certificate.Terms.Hash() || shows == 0 {
		t.Fatalf("%v after %d views", err, shows)
	}

	// The node stores erin's share a little later; dave has none any more.
	h := homeOf(t, erin)
	go func() {
		time.Sleep(50 * time.Millisecond)
		storeShare(t, h, c, s.next.Share(4))
	}()
	if path, index, err := AwaitShare(t.Context(), h, c); err != nil || index != 4 || path != h.ShareFile(c.Terms) {
		t.Errorf("%s, %d, %v", path, index, err)
	}
	if _, _, err := AwaitShare(t.Context(), homeOf(t, s.all["dave"]), c); !errors.Is(err, ErrNoPart) {
		t.Errorf("dave: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := AwaitShare(ctx, homeOf(t, s.all["bob"]), c); !errors.Is(err, ErrNotStored) {
		t.Errorf("bob: %v", err)
	}
}

// A succession that the node shows is one from the known committee, or nothing is signed.
func TestSuccessionIsCheckedBeforeSigning(t *testing.T) {
	s := successionStage(t, nil)
	stranger := wallettest.NewCommittee(t, "member-test")
	terms := s.next.Certificate.Terms
	good := s.first.Propose(t, terms, 100)
	s.node.State, s.node.Height = good, 101
	if _, err := s.voter(t, "alice").Prepare(t.Context(), keygen.KindConsent); err != nil {
		t.Fatal(err)
	}
	usurped := stranger.Next(t, nil, s.first.People...)
	limits := *terms
	limits.Limits[0] ^= 1
	for name, test := range map[string]struct {
		change func(v *Voter)
	}{
		"another first committee": {func(v *Voter) { v.Known = stranger.Certificate.Terms }},
		"another hands over":      {func(*Voter) { s.node.State = stranger.Propose(t, usurped, 100) }},
		"other limits":            {func(*Voter) { s.node.State = s.first.Propose(t, &limits, 100) }},
		"forged committees": {func(*Voter) {
			s.node.LieCommittees = func(c *v1.Committees) { c.Committees[0].Certificate[400] ^= 1 }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s.node.State, s.node.LieCommittees = good, nil
			v := s.voter(t, "alice")
			test.change(v)
			if _, err := v.Prepare(t.Context(), keygen.KindConsent); err == nil {
				t.Error("signed")
			}
		})
	}
}

// Another attempt at a succession, and another one altogether, have the next number.
func TestSuccessionAgain(t *testing.T) {
	s := successionStage(t, nil)
	s.say(t, "alice", keygen.KindProposal, &Succession{Change: keygen.ChangeReshare})
	if _, text := s.say(t, "bob", keygen.KindRejection, nil); !strings.Contains(text, "attempt 1 is rejected") || !strings.Contains(text, "scrim member retry") {
		t.Error(text)
	}
	if b, text := s.say(t, "bob", keygen.KindProposal, nil); b.Terms.Attempt != 2 || b.Terms.Epoch != 2 || !strings.Contains(text, "attempt 2 is proposed") {
		t.Errorf("%+v\n%s", b.Terms, text)
	}
	v := s.voter(t, "carol")
	v.Next = &Succession{Change: keygen.ChangeRotate}
	if _, err := v.Prepare(t.Context(), keygen.KindProposal); !errors.Is(err, ErrWrongPhase) {
		t.Errorf("beside one that waits: %v", err)
	}
	s.say(t, "bob", keygen.KindRejection, nil)
	if b, _ := s.say(t, "carol", keygen.KindProposal, &Succession{Change: keygen.ChangeRotate, Overlap: 9}); b.Terms.Attempt != 3 || b.Terms.Change != keygen.ChangeRotate {
		t.Errorf("%+v", b.Terms)
	}
}

func homeOf(t *testing.T, p wallettest.Person) *home.Home {
	t.Helper()
	dir := t.TempDir()
	h, err := home.Open(filepath.Join(dir, "home"), filepath.Join(dir, "identity.txt"))
	must(t, err)
	must(t, os.MkdirAll(h.ShareDir, 0o700))
	must(t, sharefile.CreateIdentity(h.IdentityFile))
	_, recipients, err := h.Identities()
	must(t, err)
	must(t, sharefile.WriteMember(h.MemberFile, p.Secret, recipients))
	return h
}

func storeShare(t *testing.T, h *home.Home, c *keygen.Certificate, share *threshold.SecretShare) {
	t.Helper()
	_, recipients, err := h.Identities()
	must(t, err)
	meta := sharefile.ShareMeta{ChainID: c.Terms.ChainID, Ceremony: c.Terms.Hash(), Epoch: c.Terms.Epoch}
	must(t, sharefile.WriteShare(h.ShareFile(c.Terms), meta, share, recipients))
}

// A share that is lost comes back from the log, of whichever committee, and nothing is overwritten.
func TestRecover(t *testing.T) {
	s := successionStage(t, nil)
	third := s.next.Succeed(t, rotate, s.next.People...)
	known := s.first.Certificate.Terms
	node := third.Member(1)
	recovery := func(h *home.Home, urls ...string) *Recovery {
		r := &Recovery{Home: h, Known: known}
		for _, url := range urls {
			r.Nodes = append(r.Nodes, connect(t, url))
		}
		return r
	}
	for _, test := range []struct {
		who   string
		epoch uint64
		of    *wallettest.Committee
		index uint32
	}{{"alice", 1, s.first, 1}, {"erin", 2, s.next, 4}, {"erin", 0, third, 4}, {"dave", 1, s.first, 4}} {
		h := homeOf(t, s.all[test.who])
		r := recovery(h, "http://127.0.0.1:1", node.Serve(t))
		r.Epoch = test.epoch
		done, err := r.Run(t.Context())
		if err != nil || done.Member != test.index || done.Existed || done.Path != h.ShareFile(test.of.Certificate.Terms) {
			t.Fatalf("%s, epoch %d: %+v, %v", test.who, test.epoch, done, err)
		}
		ids, _, err := h.Identities()
		must(t, err)
		_, share, err := sharefile.ReadShare(done.Path, ids)
		if err != nil || share.ExposeSecretBytes() != test.of.Share(test.index).ExposeSecretBytes() {
			t.Errorf("%s, epoch %d: another share, %v", test.who, test.epoch, err)
		}
		if done, err := r.Run(t.Context()); err != nil || !done.Existed {
			t.Errorf("again: %+v, %v", done, err)
		}
	}

	if _, err := recovery(homeOf(t, s.all["dave"]), node.Serve(t)).Run(t.Context()); !errors.Is(err, keygen.ErrNotMember) {
		t.Errorf("who has left: %v", err)
	}
	h := homeOf(t, s.all["alice"])
	must(t, os.WriteFile(h.ShareFile(third.Certificate.Terms), []byte("something"), 0o600))
	if _, err := recovery(h, node.Serve(t)).Run(t.Context()); !errors.Is(err, sharefile.ErrExists) || !strings.Contains(err.Error(), "move ") {
		t.Errorf("a file in the way: %v", err)
	}
	if b, err := os.ReadFile(h.ShareFile(third.Certificate.Terms)); err != nil || string(b) != "something" {
		t.Errorf("it was overwritten: %q, %v", b, err)
	}
	for name, lie := range map[string]func([]byte) []byte{
		"garbage":          func([]byte) []byte { return []byte("garbage") },
		"changed":          func(b []byte) []byte { b = slices.Clone(b); b[len(b)/2] ^= 1; return b },
		"another ceremony": func([]byte) []byte { b, _ := s.next.Ceremony(t, keygen.PhaseActive).MarshalBinary(); return b },
		"unfinished":       func([]byte) []byte { b, _ := third.Ceremony(t, keygen.PhaseCertifying).MarshalBinary(); return b },
	} {
		liar := third.Member(2)
		liar.LieTranscript = lie
		h := homeOf(t, s.all["alice"])
		if _, err := recovery(h, liar.Serve(t)).Run(t.Context()); !errors.Is(err, ErrRecover) {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(filepath.Join(h.ShareDir, "*")); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
		if _, err := recovery(h, liar.Serve(t), node.Serve(t)).Run(t.Context()); err != nil {
			t.Errorf("%s, with an honest node after it: %v", name, err)
		}
	}
	other := recovery(homeOf(t, s.all["alice"]), node.Serve(t))
	other.Known = wallettest.NewCommittee(t, "member-test").Certificate.Terms
	if _, err := other.Run(t.Context()); !errors.Is(err, ErrOtherTerms) {
		t.Errorf("another chain: %v", err)
	}
}

// Before a resharing it is looked whether the share that it is dealt from is there.
func TestPreflightOfASuccession(t *testing.T) {
	s := successionStage(t, func(terms *keygen.Terms) { terms.Phases = keygen.EqualPhases(1000) })
	for _, test := range []struct {
		who   string
		share bool
		want  map[string]Level
	}{
		{"alice", true, map[string]Level{"listed": OK, "consent": Warn, "old share": OK, "phases": OK, "chain": OK, "share file": OK}},
		{"alice", false, map[string]Level{"old share": Fail}},
		{"dave", true, map[string]Level{"listed": OK, "old share": OK, "share file": OK}},
		{"erin", false, map[string]Level{"listed": OK, "old share": "", "share file": OK, "seed file": OK}},
		{"zoe", false, map[string]Level{"listed": Fail}},
	} {
		s.node.State, s.node.Height = s.first.Propose(t, s.next.Certificate.Terms, 100), 101
		node := connect(t, s.node.Serve(t))
		status, err := GetStatus(t.Context(), node, s.identity(test.who))
		must(t, err)
		h := homeOf(t, s.all[test.who])
		if test.share {
			i := slices.IndexFunc(s.first.People, func(p wallettest.Person) bool { return p.Name == test.who })
			storeShare(t, h, s.first.Certificate, s.first.Share(uint32(i+1)))
		}
		p := &Preflight{Home: h, Status: status, Node: node, Free: func(string) (uint64, error) { return 1 << 40, nil }}
		got := levels(p.Run(t.Context()))
		for name, want := range test.want {
			if got[name] != want {
				t.Errorf("%s, share %v: %s is %q, want %q: %v", test.who, test.share, name, got[name], want, p.checks)
			}
		}
	}
}

// A threshold with which a committee can come into office that cannot make blocks is warned of,
// wherever somebody decides about it.
func TestLowThresholdIsWarnedOf(t *testing.T) {
	for _, test := range []struct {
		n, threshold int
		low          bool
	}{{1, 1, false}, {2, 2, false}, {3, 2, true}, {3, 3, false}, {4, 3, false}, {5, 3, true}, {5, 4, false}, {6, 4, true}, {7, 4, true}, {7, 5, false}, {9, 6, true}, {9, 7, false}} {
		risk := standstill(&keygen.Terms{Threshold: test.threshold, Members: make([]keygen.Member, test.n)})
		if (risk != "") != test.low || !test.low && 3*test.threshold <= 2*test.n {
			t.Errorf("%d of %d: %q", test.threshold, test.n, risk)
		}
	}

	s := successionStage(t, nil)
	next := &Succession{Change: keygen.ChangeReshare, Add: []*keygen.Card{cardOf(t, s.all["erin"])}, Threshold: 3}
	const warning = "blocks need 4 of 5: with fewer running, also right after the change, the chain stands still; better --threshold 4"
	_, text := s.say(t, "alice", keygen.KindProposal, next)
	_, accepted := s.say(t, "bob", keygen.KindConsent, nil)
	for _, text := range []string{text, accepted} {
		if !strings.Contains(text, warning) {
			t.Errorf("no warning in\n%s", text)
		}
	}
	status, err := GetStatus(t.Context(), connect(t, s.node.Serve(t)), nil)
	must(t, err)
	p := &Preflight{Home: homeOf(t, s.all["erin"]), Status: status}
	if checks := p.Run(t.Context()); levels(checks)["threshold"] != Warn {
		t.Error(checks)
	}
}

// A ceremony that waits because there are no blocks is told apart from one that waits for somebody.
func TestStatusSaysThatThereAreNoBlocks(t *testing.T) {
	c := wallettest.NewCommittee(t, "member-test")
	m := c.Member(1)
	for _, test := range []struct {
		phase         keygen.Phase
		reasons       []v1.Reason
		alone, behind bool
	}{
		{keygen.PhaseDealing, nil, false, false},
		{keygen.PhaseDealing, []v1.Reason{{Code: "no_committee"}}, false, false},
		{keygen.PhaseDealing, []v1.Reason{{Code: "no_committee"}, {Code: "no_peers"}}, true, false},
		{keygen.PhaseActive, []v1.Reason{{Code: "no_peers"}}, false, false},
		{keygen.PhaseActive, []v1.Reason{{Code: "catching_up"}}, false, true},
	} {
		m.State, m.Reasons = c.Ceremony(t, test.phase), test.reasons
		s, err := GetStatus(t.Context(), connect(t, m.Serve(t)), nil)
		must(t, err)
		var text bytes.Buffer
		must(t, s.Write(&text))
		for warning, want := range map[string]bool{"connected to too few members": test.alone, "what it shows is past": test.behind} {
			if strings.Contains(text.String(), warning) != want {
				t.Errorf("%s, %v, %q:\n%s", test.phase, test.reasons, warning, text.String())
			}
		}
	}
}
