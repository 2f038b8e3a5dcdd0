package member

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/succession"
	"github.com/scrimlabs/scrim/internal/wallet/wallettest"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/ordering"
)

func makeHome(t *testing.T, name string) (*home.Home, *keygen.Card) {
	t.Helper()
	dir := t.TempDir()
	h, err := home.Open(filepath.Join(dir, "home"), filepath.Join(dir, "identity.txt"))
	if err != nil {
		t.Fatal(err)
	}
	card, err := h.Make(name, "", true)
	if err != nil {
		t.Fatal(err)
	}
	return h, card
}

func sign(t *testing.T, s *SignedTerms, h *home.Home) {
	t.Helper()
	secret, err := h.Secret()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(secret); err != nil {
		t.Fatal(err)
	}
}

func TestDraft(t *testing.T) {
	_, a := makeHome(t, "alice")
	_, b := makeHome(t, "bob")
	s, err := Draft{ChainID: "x"}.Terms([]*keygen.Card{b, a})
	if err != nil {
		t.Fatal(err)
	}
	want := keygen.Terms{ChainID: "x", Epoch: 1, Attempt: 1, Threshold: 2, StartHeight: 1,
		Phases:  keygen.EqualPhases(DefaultPhase),
		Members: []keygen.Member{b.Member, a.Member}, Limits: ordering.DefaultParams().Hash(), Change: keygen.ChangeFirst}
	if diff := cmp.Diff(want, s.Terms); diff != "" {
		t.Error(diff)
	}
	given := Draft{ChainID: "x", Epoch: 7, Attempt: 2, Threshold: 2, StartHeight: 9, Phases: keygen.Phases{Deal: 1, Respond: 2, Justify: 3, Certify: 4, Store: 5}}
	if s, err = given.Terms([]*keygen.Card{a, b}); err != nil || s.Terms.Epoch != 7 || s.Terms.Attempt != 2 || s.Terms.StartHeight != 9 || s.Terms.Phases != given.Phases {
		t.Errorf("%+v, %v", s, err)
	}
	forged := *a
	forged.Member.Encryption = b.Member.Encryption
	for name, cards := range map[string][]*keygen.Card{"nobody": nil, "twice": {a, a}, "forged": {&forged}} {
		if _, err := (Draft{ChainID: "x"}).Terms(cards); err == nil {
			t.Errorf("%s: drafted", name)
		}
	}
}

// Terms are read from each file that has them, and as what they are.
func TestReadTerms(t *testing.T) {
	h, card := makeHome(t, "alice")
	s, err := Draft{ChainID: "x"}.Terms([]*keygen.Card{card})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Assemble([]*SignedTerms{s}); err == nil {
		t.Error("assembled without a consent")
	}
	if _, err := Assemble(nil); err == nil {
		t.Error("assembled from nothing")
	}
	sign(t, s, h)
	g, err := Assemble([]*SignedTerms{s})
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{"signed": s, "committee": g, "genesis": map[string]any{"chain_id": "x", "app_state": g}} {
		path := filepath.Join(t.TempDir(), name)
		if err := WriteNew(path, v); err != nil {
			t.Fatal(err)
		}
		if err := WriteNew(path, v); err != nil {
			t.Errorf("%s: the same again: %v", name, err)
		}
		if err := WriteNew(path, "other"); err == nil {
			t.Errorf("%s: overwritten", name)
		}
		back, err := ReadTerms(path)
		if err != nil || cmp.Diff(s, back) != "" {
			t.Errorf("%s: %v %s", name, err, cmp.Diff(s, back))
		}
	}
	for _, text := range []string{"", "{}", "[]", "null", `{"format":"x"}`, `{"app_state":{}}`, `{"app_state":7}`} {
		if _, err := parseTerms([]byte(text)); err == nil {
			t.Errorf("%q: taken for terms", text)
		}
	}
}

func levels(checks []Check) map[string]Level {
	out := map[string]Level{}
	for _, c := range checks {
		if out[c.Name] != Fail {
			out[c.Name] = c.Level
		}
	}
	return out
}

// Whatever is changed on a member that is ready, the right line says so.
func TestPreflight(t *testing.T) {
	ready := map[string]Level{"keys": OK, "listed": OK, "consent": OK, "threshold": OK, "phases": OK, "share folder": OK, "share file": OK, "seed file": OK, "disk": OK, "node": Warn}
	for name, test := range map[string]struct {
		change func(t *testing.T, p *Preflight)
		check  string
		want   Level
	}{
		"nothing":          {func(*testing.T, *Preflight) {}, "keys", OK},
		"disk full":        {func(_ *testing.T, p *Preflight) { p.Free = func(string) (uint64, error) { return 1<<30 - 1, nil } }, "disk", Fail},
		"disk filling":     {func(_ *testing.T, p *Preflight) { p.Free = func(string) (uint64, error) { return 10<<30 - 1, nil } }, "disk", Warn},
		"disk unknown":     {func(_ *testing.T, p *Preflight) { p.Free = func(string) (uint64, error) { return 0, errors.New("x") } }, "disk", Warn},
		"clock of 1970":    {func(_ *testing.T, p *Preflight) { p.Now = func() time.Time { return time.Unix(5, 0) } }, "clock", Fail},
		"short phase":      {func(_ *testing.T, p *Preflight) { p.Terms.Terms.Phases.Justify = AdvisedPhase(1) - 1 }, "phases", Warn},
		"too short phase":  {func(_ *testing.T, p *Preflight) { p.Terms.Terms.Phases.Certify = ShortestPhase(1) - 1 }, "phases", Fail},
		"not signed":       {func(_ *testing.T, p *Preflight) { p.Terms.Consents = nil }, "consent", Fail},
		"identity lost":    {func(t *testing.T, p *Preflight) { p.Home.IdentityFile = "none" }, "keys", Fail},
		"identity beside":  {func(t *testing.T, p *Preflight) { move(t, &p.Home.IdentityFile, filepath.Join(p.Home.Dir, "i.txt")) }, "age identity", Warn},
		"folder missing":   {func(t *testing.T, p *Preflight) { p.Home.ShareDir = filepath.Join(t.TempDir(), "none") }, "share folder", Fail},
		"folder readable":  {func(t *testing.T, p *Preflight) { must(t, os.Chmod(p.Home.ShareDir, 0o755)) }, "share folder", Warn},
		"own seed":         {func(t *testing.T, p *Preflight) { writeSeed(t, p, p.Terms.Terms.Hash()) }, "seed file", OK},
		"seed of another":  {func(t *testing.T, p *Preflight) { writeSeed(t, p, [32]byte{1}) }, "seed file", Fail},
		"share is garbage": {func(t *testing.T, p *Preflight) { must(t, os.WriteFile(p.Home.ShareFile(&p.Terms.Terms), nil, 0o600)) }, "share file", Fail},
		"other keys": {func(t *testing.T, p *Preflight) {
			_, other := makeHome(t, "other")
			p.Terms.Terms.Members[0].Encryption = other.Member.Encryption
		}, "listed", Fail},
		"node away": {func(t *testing.T, p *Preflight) {
			c, err := client.New("http://127.0.0.1:1", client.Options{Retries: -1})
			must(t, err)
			p.Node = c
		}, "node", Fail},
	} {
		t.Run(name, func(t *testing.T) {
			h, card := makeHome(t, "alice")
			s, err := Draft{ChainID: "x"}.Terms([]*keygen.Card{card})
			must(t, err)
			sign(t, s, h)
			p := &Preflight{Home: h, Terms: s, Free: func(string) (uint64, error) { return 1 << 40, nil }}
			test.change(t, p)
			checks := p.Run(t.Context())
			got := levels(checks)
			if got[test.check] != test.want {
				t.Errorf("%s: %q, want %q in %v", test.check, got[test.check], test.want, checks)
			}
			if Failed(checks) != (test.want == Fail) {
				t.Errorf("failed: %v", checks)
			}
			if name == "nothing" {
				if diff := cmp.Diff(ready, got); diff != "" {
					t.Error(diff)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(h.ShareDir, ".preflight*")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, path *string, to string) {
	t.Helper()
	must(t, os.Rename(*path, to))
	*path = to
}

func writeSeed(t *testing.T, p *Preflight, ceremony [32]byte) {
	t.Helper()
	_, recipients, err := p.Home.Identities()
	must(t, err)
	must(t, sharefile.WriteSeed(p.Home.SeedFile(&p.Terms.Terms), ceremony, [32]byte{}, recipients))
}

// A node is believed to be the right one, and fit, only if it is.
func TestPreflightNode(t *testing.T) {
	c := wallettest.NewCommittee(t, "member-test")
	terms := &SignedTerms{keygen.SignedTerms{Terms: *c.Certificate.Terms}, ordering.DefaultParams()}
	for name, test := range map[string]struct {
		change func(m *wallettest.Member, p *Preflight)
		check  string
		want   Level
	}{
		"fine":               {func(*wallettest.Member, *Preflight) {}, "node", OK},
		"same version":       {func(_ *wallettest.Member, p *Preflight) { p.Version = "v0.0.0-test" }, "version", OK},
		"another version":    {func(_ *wallettest.Member, p *Preflight) { p.Version = "v9" }, "version", Warn},
		"no committee":       {reason("no_committee"), "node", OK},
		"no peers":           {reason("no_peers"), "node", Warn},
		"catching up":        {reason("catching_up"), "node", Fail},
		"database":           {reason("database"), "node", Fail},
		"3 seconds":          {clock(3 * time.Second), "clock", Warn},
		"-3 seconds":         {clock(-3 * time.Second), "clock", Warn},
		"a minute":           {clock(time.Minute), "clock", Fail},
		"other chain":        {func(_ *wallettest.Member, p *Preflight) { p.Terms.Terms.ChainID = "y" }, "chain", Fail},
		"other terms":        {func(_ *wallettest.Member, p *Preflight) { p.Terms.Terms.Attempt = 2 }, "chain", Fail},
		"clock agrees":       {clock(0), "clock", OK},
		"same chain, is it?": {func(*wallettest.Member, *Preflight) {}, "chain", OK},
	} {
		t.Run(name, func(t *testing.T) {
			m := c.Member(1)
			copied := *terms
			p := &Preflight{Terms: &copied, Now: time.Now}
			test.change(m, p)
			p.useTerms()
			node, err := client.New(m.Serve(t), client.Options{})
			must(t, err)
			p.Node = node
			p.node(t.Context())
			if got := levels(p.checks)[test.check]; got != test.want {
				t.Errorf("%q, want %q in %v", got, test.want, p.checks)
			}
		})
	}
}

func reason(code string) func(*wallettest.Member, *Preflight) {
	return func(m *wallettest.Member, _ *Preflight) { m.Reasons = []v1.Reason{{Code: code, Detail: "detail"}} }
}

func clock(off time.Duration) func(*wallettest.Member, *Preflight) {
	return func(m *wallettest.Member, _ *Preflight) { m.Now = func() time.Time { return time.Now().Add(off) } }
}

func TestReadCertificate(t *testing.T) {
	c := wallettest.NewCommittee(t, "member-test").Certificate
	b, err := c.MarshalBinary()
	must(t, err)
	hex := v1.HexOf(b).String()
	for _, text := range []string{string(b), hex, hex[2:], hex + "\n", strings.ToUpper(hex[2:])} {
		if got, err := ReadCertificate(strings.NewReader(text)); err != nil || got.Transcript != c.Transcript {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	for _, text := range []string{"", "0x", hex + "00", hex[:len(hex)-2], string(b) + "\n", "{}"} {
		if _, err := ReadCertificate(strings.NewReader(text)); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	line, err := succession.Verify(c)
	must(t, err)
	earlier := *c.Terms
	earlier.Attempt = 2
	if err := Verify(line, Expected{Terms: &keygen.SignedTerms{Terms: earlier}}); !errors.Is(err, ErrOtherAttempt) {
		t.Errorf("another attempt: %v", err)
	}
	earlier.Threshold = 4
	if err := Verify(line, Expected{Terms: &keygen.SignedTerms{Terms: earlier}}); !errors.Is(err, keygen.ErrCertificate) {
		t.Errorf("other terms: %v", err)
	}
	if err := Verify(line, Expected{Terms: &keygen.SignedTerms{Terms: *c.Terms}}); err == nil {
		t.Error("without the consents")
	}
	hash := [32]byte{1}
	if err := Verify(line, Expected{TermsPin: &hash}); !errors.Is(err, keygen.ErrCertificate) {
		t.Errorf("another pin: %v", err)
	}
	if err := Verify(line, Expected{TermsHash: &hash}); !errors.Is(err, keygen.ErrCertificate) {
		t.Errorf("another hash: %v", err)
	}
}
