package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/wallet/wallettest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"scrim": main})
}

// The scripts run the real command line without a network. "code N command..."
// runs a command that must end with that exit code; "edit old new from to" replaces
// old by new once. bundle.jsonl is what a devnet exported, receipts.jsonl what its
// wallet kept; both are fixed, as their formats are.
func TestScripts(t *testing.T) {
	runScripts(t, "testdata/script", nil)
}

// These scripts have nodes: $ALICE and $BOB, who are honest, $MALLORY of the same
// committee, who shows another plaintext than what was opened, and $OTHER of
// another committee of the same chain. $TERMS is the terms hash.
func TestScriptsWithNodes(t *testing.T) {
	c := wallettest.NewCommittee(t, "script-test")
	mallory := c.Member(3)
	mallory.LieStatus = func(tx *v1.Transaction) { tx.Plaintext = v1.Hex("something else") }
	terms := c.Certificate.Terms.Hash()
	runScripts(t, "testdata/nodes", map[string]string{
		"ALICE":   c.Member(1).Serve(t),
		"BOB":     c.Member(2).Serve(t),
		"MALLORY": mallory.Serve(t),
		"OTHER":   wallettest.NewCommittee(t, "script-test").Member(1).Serve(t),
		"TERMS":   v1.Hex(terms[:]).String(),
	})
}

func runScripts(t *testing.T, dir string, env map[string]string) {
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"code": code, "edit": edit},
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/home/config")
			e.Setenv("SCRIM_NODES", "")
			for name, value := range env {
				e.Setenv(name, value)
			}
			for _, name := range []string{"bundle.jsonl", "receipts.jsonl"} {
				b, err := os.ReadFile("testdata/" + name)
				if err != nil {
					return err
				}
				if err := os.WriteFile(e.WorkDir+"/"+name, b, 0o600); err != nil {
					return err
				}
			}
			return os.Mkdir(e.WorkDir+"/home", 0o700)
		},
	})
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
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = strings.TrimPrefix(exit.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("%s: exit code %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}
