package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/member"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/internal/wallet/wallettest"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"scrim": main})
}

// The scripts run the real command line without a network. "code N command..."
// runs a command that must end with that exit code; "edit old new from to" replaces
// old by new once. bundle.jsonl is what a node exports, receipts.jsonl what a wallet kept,
// succession.jsonl a bundle of three committees ($TERMS: hash of the first terms of both);
// TestGolden makes them.
func TestScripts(t *testing.T) {
	f, err := os.Open("testdata/bundle.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line, err := commitreveal.NewBundleReader(f).Next()
	if err != nil {
		t.Fatal(err)
	}
	terms, err := keygen.ParseTerms(line.(*commitreveal.BundleHeader).Terms)
	if err != nil {
		t.Fatal(err)
	}
	hash := terms.Hash()
	runScripts(t, "testdata/script", map[string]string{"TERMS": v1.Hex(hash[:]).String()}, nil)
}

// These scripts have nodes: $ALICE and $BOB, who are honest, $MALLORY of the same
// committee, who shows another plaintext than what was opened, and $OTHER of
// another committee of the same chain. $TERMS is the terms hash.
//
// $RESPONDING and $FAILED are nodes whose ceremony is not over, and has failed; $LATE's
// clock is wrong, and it is not synced. Those that vote.txt votes at are its own: $DYING,
// where carol has asked to abort, $OVER, where nobody has dealt, and $PROPOSED, where carol and
// dave have accepted a second attempt, $PROPOSAL, with more time for dealing. The homes alice and bob are theirs, with the share;
// terms.json has all consents, terms-partial.json alice's only, cert.hex is the certificate.
func TestScriptsWithNodes(t *testing.T) {
	c := wallettest.NewCommittee(t, "script-test")
	mallory := c.Member(3)
	mallory.LieStatus = func(tx *v1.Transaction) { tx.Plaintext = v1.Hex("something else") }
	responding := c.Member(1)
	responding.State, responding.Height = c.Ceremony(t, keygen.PhaseResponding), 2
	failed := c.Member(1)
	failed.State, failed.Height = failedCeremony(t, c.Certificate.Terms), 6
	dying, over, proposed := c.Member(1), c.Member(1), c.Member(2)
	dying.State, dying.Height = vote(t, c, c.Ceremony(t, keygen.PhaseResponding), keygen.KindAbort, 3), 2
	over.State, over.Height = failed.State, 6
	longer := failed.State.Terms().Retry(1000)
	longer.Phases.Deal = 70
	proposed.State, proposed.Height = vote(t, c, propose(t, c, failed.State, longer), keygen.KindConsent, 3, 4), 7
	late := c.Member(2)
	late.Now = func() time.Time { return time.Now().Add(-time.Minute) }
	late.Reasons = []v1.Reason{{Code: "catching_up", Detail: "the node still fetches blocks"}}
	terms, pin := c.Certificate.Terms.Hash(), c.Certificate.Terms.Pin()
	proposal := longer.Hash()
	runScripts(t, "testdata/nodes", map[string]string{
		"DYING":      dying.Serve(t),
		"OVER":       over.Serve(t),
		"PROPOSED":   proposed.Serve(t),
		"PROPOSAL":   v1.Hex(proposal[:]).String(),
		"ALICE":      c.Member(1).Serve(t),
		"BOB":        c.Member(2).Serve(t),
		"MALLORY":    mallory.Serve(t),
		"RESPONDING": responding.Serve(t),
		"FAILED":     failed.Serve(t),
		"LATE":       late.Serve(t),
		"OTHER":      wallettest.NewCommittee(t, "script-test").Member(1).Serve(t),
		"TERMS":      v1.Hex(terms[:]).String(),
		"PIN":        v1.Hex(pin[:]).String(),
	}, func(dir string) error { return writeCommittee(c, dir) })
}

// failedCeremony is one in which nobody dealt.
func failedCeremony(t *testing.T, terms *keygen.Terms) *keygen.State {
	s, err := keygen.New(terms)
	for h := uint64(1); err == nil && !s.Done(); h++ {
		s, _, err = keygen.Step(s, keygen.Event{Height: h})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// vote gives the state after the members have said what they think.
func vote(t *testing.T, c *wallettest.Committee, s *keygen.State, k keygen.Kind, members ...uint32) *keygen.State {
	for _, member := range members {
		s = wallettest.Vote(t, s, k, c.Secret(member))
	}
	return s
}

// propose begins another attempt, which dave proposes.
func propose(t *testing.T, c *wallettest.Committee, failed *keygen.State, terms *keygen.Terms) *keygen.State {
	m, err := keygen.ProposeTerms(c.Secret(4), terms)
	if err != nil {
		t.Fatal(err)
	}
	s, err := keygen.BeginRetry(failed, failed.Height()+1, m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func writeCommittee(c *wallettest.Committee, dir string) error {
	t := c.Certificate.Terms
	signed := func() *member.SignedTerms {
		return &member.SignedTerms{SignedTerms: keygen.SignedTerms{Terms: *t}, Limits: ordering.DefaultParams()}
	}
	partial, all := signed(), signed()
	for i, m := range t.Members {
		secret := c.Secret(uint32(i + 1))
		if _, err := all.Sign(secret); err != nil {
			return err
		}
		if i > 1 {
			continue
		}
		if i == 0 {
			if _, err := partial.Sign(secret); err != nil {
				return err
			}
		}
		if err := writeHome(filepath.Join(dir, m.Name), secret, m.Name, t, c.Share(uint32(i+1))); err != nil {
			return err
		}
	}
	certificate, err := c.Certificate.MarshalBinary()
	if err != nil {
		return err
	}
	return errors.Join(member.WriteNew(filepath.Join(dir, "terms.json"), all), member.WriteNew(filepath.Join(dir, "terms-partial.json"), partial),
		os.WriteFile(filepath.Join(dir, "cert.hex"), []byte(v1.HexOf(certificate).String()+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "cert.bin"), certificate, 0o600))
}

// writeHome makes a home for a secret, with its share of the terms' key if it is not nil.
func writeHome(dir string, secret *keygen.MemberSecret, name string, t *keygen.Terms, share *threshold.SecretShare) error {
	h, err := home.Open(dir, filepath.Join(dir, home.IdentityName))
	if err != nil {
		return err
	}
	if err := sharefile.CreateIdentity(h.IdentityFile); err != nil {
		return err
	}
	_, recipients, err := h.Identities()
	if err != nil {
		return err
	}
	if err := sharefile.WriteMember(h.MemberFile, secret, recipients); err != nil {
		return err
	}
	if _, err := h.Sign(name, ""); err != nil {
		return err
	}
	if share == nil {
		return os.MkdirAll(h.ShareDir, 0o700)
	}
	return writeShare(dir, t, share)
}

func runScripts(t *testing.T, dir string, env map[string]string, prepare func(dir string) error) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "edit": edit, "newest": newest, "certificates": certificates, "evidence": evidence,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/home/config")
			e.Setenv("SCRIM_NODES", "")
			for name, value := range env {
				e.Setenv(name, value)
			}
			for _, name := range []string{"bundle.jsonl", "receipts.jsonl", "succession.jsonl"} {
				b, err := os.ReadFile("testdata/" + name)
				if err != nil {
					return err
				}
				if err := os.WriteFile(e.WorkDir+"/"+name, b, 0o600); err != nil {
					return err
				}
			}
			if prepare != nil {
				if err := prepare(e.WorkDir); err != nil {
					return err
				}
			}
			return os.Mkdir(e.WorkDir+"/home", 0o700)
		},
	})
}

// evidence dir [number] copies a file of evidence in a folder, from 1, to proof.json; without a number there must be one only.
func evidence(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: evidence dir [number]")
	}
	files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*.json"))
	ts.Check(err)
	number, want := 1, 1
	if len(args) == 2 {
		number, err = strconv.Atoi(args[1])
		ts.Check(err)
		want = max(number, len(files))
	}
	if len(files) != want {
		ts.Fatalf("%d files of evidence: %v", len(files), files)
	}
	ts.Check(os.WriteFile(ts.MkAbs("proof.json"), []byte(ts.ReadFile(files[number-1])), 0o600))
}

// newest VARIABLE URL gives the terms hash of a node's newest ceremony.
func newest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: newest VARIABLE URL")
	}
	node, err := client.New(args[1], patience)
	ts.Check(err)
	all, err := node.Ceremonies(context.Background())
	ts.Check(err)
	ts.Setenv(args[0], all.Ceremonies[0].ID.String())
}

// certificates FILE writes the certificates of a bundle's committees as 1.bin, 2.bin ...
func certificates(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: certificates FILE")
	}
	report, err := wallet.Audit(strings.NewReader(ts.ReadFile(args[0])), audit.Options{})
	ts.Check(err)
	for i, c := range report.Committees {
		ts.Check(os.WriteFile(ts.MkAbs(fmt.Sprintf("%d.bin", i+1)), c.Certificate, 0o600))
	}
}

func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: edit old new from to")
	}
	text := ts.ReadFile(args[2])
	if !strings.Contains(text, args[0]) {
		ts.Fatalf("%s does not contain %q", args[2], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(strings.Replace(text, args[0], args[1], 1)), 0o600))
}

func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command...")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = strings.TrimPrefix(exit.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("%s: exit code %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}
