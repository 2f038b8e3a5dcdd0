package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/member"
	"github.com/scrimlabs/scrim/keygen"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"scrimd": main})
}

// The scripts run the real command line without a network. "code N command..."
// runs a command that must end with that exit code; "agree CHAIN OUT HOME..." lets
// the homes' members sign terms, as the tool scrim does; "swap NAME CARD IN OUT" puts
// a card's keys in the place of a member's and "unsign N IN OUT" takes a consent out.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"code": code, "agree": agree, "swap": swap, "unsign": unsign},
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/home/config")
			e.Setenv("DATABASE_URL", "")
			return os.Mkdir(e.WorkDir+"/home", 0o700)
		},
	})
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

func agree(ts *testscript.TestScript, _ bool, args []string) {
	var homes []*home.Home
	var cards []*keygen.Card
	for _, dir := range args[2:] {
		h, err := home.Open(ts.MkAbs(dir), "")
		ts.Check(err)
		card, err := h.Card()
		ts.Check(err)
		homes, cards = append(homes, h), append(cards, card)
	}
	draft, err := member.Draft{ChainID: args[0]}.Terms(cards)
	ts.Check(err)
	for _, h := range homes {
		secret, err := h.Secret()
		ts.Check(err)
		_, err = draft.Sign(secret)
		ts.Check(err)
	}
	g, err := member.Assemble([]*member.SignedTerms{draft})
	ts.Check(err)
	ts.Check(member.WriteNew(ts.MkAbs(args[1]), g))
}

// changeTerms changes a file that is a genesis, or has one as its app_state.
func changeTerms(ts *testscript.TestScript, in, out string, change func(g map[string]any)) {
	var doc map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(in)), &doc))
	g, ok := doc["app_state"].(map[string]any)
	if !ok {
		g = doc
	}
	change(g)
	text, err := json.Marshal(doc)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(out), text, 0o600))
}

func swap(ts *testscript.TestScript, _ bool, args []string) {
	card, err := home.ReadCard(ts.MkAbs(args[1]))
	ts.Check(err)
	changeTerms(ts, args[2], args[3], func(g map[string]any) {
		for i, m := range g["terms"].(map[string]any)["members"].([]any) {
			if m.(map[string]any)["name"] == args[0] {
				g["terms"].(map[string]any)["members"].([]any)[i] = card.Member
				return
			}
		}
		ts.Fatalf("no member %s", args[0])
	})
}

func unsign(ts *testscript.TestScript, _ bool, args []string) {
	changeTerms(ts, args[1], args[2], func(g map[string]any) {
		var kept []any
		for _, c := range g["consents"].([]any) {
			if fmt.Sprint(c.(map[string]any)["member"]) != args[0] {
				kept = append(kept, c)
			}
		}
		g["consents"] = kept
	})
}
