package member

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/httpapi"
	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/wallet/wallettest"
	"github.com/scrimlabs/scrim/keygen"
)

func connect(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.New(url, client.Options{Retries: -1})
	must(t, err)
	return c
}

// failed is a ceremony in which nobody dealt.
func failed(t *testing.T, terms *keygen.Terms) *keygen.State {
	t.Helper()
	s, err := keygen.New(terms)
	for h := uint64(1); err == nil && !s.Done(); h++ {
		s, _, err = keygen.Step(s, keygen.Event{Height: h})
	}
	must(t, err)
	return s
}

// proposed is the attempt after it.
func proposed(t *testing.T, c *wallettest.Committee) *keygen.State {
	t.Helper()
	before := failed(t, c.Certificate.Terms)
	m, err := keygen.ProposeTerms(c.Secret(4), before.Terms().Retry(200))
	must(t, err)
	s, err := keygen.BeginRetry(before, before.Height()+1, m)
	must(t, err)
	return s
}

// In every phase a member may say exactly what the ceremony takes.
func TestVoteFitsThePhase(t *testing.T) {
	c := wallettest.NewCommittee(t, "member-test")
	accepted, err := keygen.New(c.Certificate.Terms.Retry(200))
	must(t, err)
	states := map[string]*keygen.State{"proposed": proposed(t, c), "accepted": accepted, "failed": failed(t, c.Certificate.Terms)}
	for _, p := range []keygen.Phase{keygen.PhaseDealing, keygen.PhaseResponding, keygen.PhaseCertifying, keygen.PhaseStoring, keygen.PhaseActive} {
		states[p.String()] = c.Ceremony(t, p)
	}
	for phase, s := range states {
		m := c.Member(1)
		m.State, m.Height = s, s.Height()+1
		v := &Voter{Nodes: []*client.Client{connect(t, m.Serve(t))}, Known: c.Certificate.Terms, Secret: c.Secret(2), Lead: 10}
		for _, k := range []keygen.Kind{keygen.KindAbort, keygen.KindProposal, keygen.KindConsent, keygen.KindRejection} {
			b, err := v.Prepare(t.Context(), k)
			if err != nil && !errors.Is(err, ErrWrongPhase) {
				t.Fatalf("%s in %s: %v", k, phase, err)
			}
			var taken bool
			if k == keygen.KindProposal {
				p, err := keygen.ProposeTerms(c.Secret(2), s.Terms().Retry(s.Height()+10))
				must(t, err)
				_, err = keygen.BeginRetry(s, s.Height()+1, p)
				taken = err == nil
			} else {
				words, err := keygen.Votes(c.Secret(2), s.Terms(), k)
				must(t, err)
				taken = s.Admit(words[0]) == nil
			}
			if taken != (err == nil) {
				t.Errorf("%s in %s: the tool says %v, the ceremony takes it: %v", k, phase, err, taken)
			}
			if err != nil {
				continue
			}
			var text bytes.Buffer
			must(t, b.Write(&text))
			for _, want := range []string{"you ", "bob, member 2 of 4", "you say", "terms hash  0x", "effect"} {
				if !strings.Contains(text.String(), want) {
					t.Errorf("%s in %s: no %q in\n%s", k, phase, want, text.String())
				}
			}
		}
	}
}

// Nothing is signed for whom the terms do not name, or for terms that are not the known ones.
func TestVoteRefusals(t *testing.T) {
	c, other := wallettest.NewCommittee(t, "member-test"), wallettest.NewCommittee(t, "member-test")
	longer := *c.Certificate.Terms
	longer.Phases.Deal++
	looser := *c.Certificate.Terms
	looser.Threshold++
	for name, test := range map[string]struct {
		change func(m *wallettest.Member, v *Voter)
		want   error
		says   string
	}{
		"not a member":    {func(_ *wallettest.Member, v *Voter) { v.Secret = other.Secret(1) }, keygen.ErrNotMember, ""},
		"other members":   {func(_ *wallettest.Member, v *Voter) { v.Known = other.Certificate.Terms }, ErrOtherTerms, "other members"},
		"other threshold": {func(_ *wallettest.Member, v *Voter) { v.Known = &looser }, ErrOtherTerms, ""},
		"the same attempt with other phases": {func(_ *wallettest.Member, v *Voter) { v.Known = &longer },
			ErrOtherTerms, "nothing was signed"},
		"behind": {func(m *wallettest.Member, _ *Voter) { m.Reasons = []v1.Reason{{Code: "catching_up", Detail: "far"}} }, nil, "the node is behind"},
		"answered": {func(m *wallettest.Member, _ *Voter) {
			m.State = wallettest.Vote(t, m.State, keygen.KindAbort, c.Secret(1))
		}, ErrAnswered, "alice has asked to abort"},
	} {
		m := c.Member(1)
		m.State, m.Height = c.Ceremony(t, keygen.PhaseDealing), 1
		v := &Voter{Known: c.Certificate.Terms, Secret: c.Secret(1)}
		test.change(m, v)
		v.Nodes = []*client.Client{connect(t, m.Serve(t))}
		_, err := v.Prepare(t.Context(), keygen.KindAbort)
		if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A node that names its terms with another hash is not believed.
func TestVoteChecksTheHash(t *testing.T) {
	c := wallettest.NewCommittee(t, "member-test")
	m := c.Member(1)
	m.State = proposed(t, c)
	liar := httptest.NewServer(httpapi.New(&otherID{m}, httpapi.Options{}))
	t.Cleanup(liar.Close)
	v := &Voter{Nodes: []*client.Client{connect(t, liar.URL)}, Known: c.Certificate.Terms, Secret: c.Secret(1)}
	if _, err := v.Prepare(t.Context(), keygen.KindConsent); !errors.Is(err, ErrOtherTerms) {
		t.Errorf("%v", err)
	}
}

// otherID shows the ceremony under another id.
type otherID struct{ *wallettest.Member }

func (o *otherID) Ceremony(ctx context.Context, id string) (v1.Ceremony, error) {
	c, err := o.Member.Ceremony(ctx, id)
	c.ID = make([]byte, 32)
	return c, err
}

// Of several nodes the one that is ahead counts, and one that is away or behind does no harm.
func TestVoteWithSeveralNodes(t *testing.T) {
	c := wallettest.NewCommittee(t, "member-test")
	old, now := c.Member(1), c.Member(2)
	old.State, old.Height = c.Ceremony(t, keygen.PhaseDealing), 1
	now.State, now.Height = proposed(t, c), 90
	v := &Voter{Known: c.Certificate.Terms, Secret: c.Secret(1), Every: time.Millisecond,
		Nodes: []*client.Client{connect(t, "http://127.0.0.1:1"), connect(t, old.Serve(t)), connect(t, now.Serve(t))}}
	b, err := v.Prepare(t.Context(), keygen.KindConsent)
	must(t, err)
	s, err := v.Cast(t.Context(), b)
	must(t, err)
	var text bytes.Buffer
	must(t, b.WriteResult(&text, s))
	if !strings.Contains(text.String(), "missing: bob, carol, dave; they have until height 199") {
		t.Error(text.String())
	}
	if _, err := v.Prepare(t.Context(), keygen.KindConsent); !errors.Is(err, ErrAnswered) {
		t.Errorf("%v", err)
	}
	v.Secret = c.Secret(2)
	b, err = v.Prepare(t.Context(), keygen.KindRejection)
	must(t, err)
	if s, err = v.Cast(t.Context(), b); err != nil || s.Ceremony.Outcome != v1.CeremonyRejected {
		t.Errorf("%+v, %v", s, err)
	}
}

// What a node forgets is sent again; what never comes into a block is said to be open.
func TestVoteIsSentAgain(t *testing.T) {
	c := wallettest.NewCommittee(t, "member-test")
	for name, test := range map[string]struct {
		forgets int
		want    error
	}{"once": {1, nil}, "always": {1 << 30, ErrNotShown}} {
		m := c.Member(1)
		m.State, m.Height = c.Ceremony(t, keygen.PhaseDealing), 1
		api, sent := httpapi.New(m, httpapi.Options{}), 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				if sent++; sent <= test.forgets {
					w.WriteHeader(http.StatusAccepted)
					w.Write([]byte("{}"))
					return
				}
			}
			api.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		v := &Voter{Known: c.Certificate.Terms, Secret: c.Secret(3), Every: 5 * time.Millisecond, Nodes: []*client.Client{connect(t, server.URL)}}
		b, err := v.Prepare(t.Context(), keygen.KindAbort)
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if test.want != nil {
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		}
		_, err = v.Cast(ctx, b)
		cancel()
		if !errors.Is(err, test.want) || sent < 2 {
			t.Errorf("%s: %v after sending %d times", name, err, sent)
		}
	}
}
