package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A node that cannot work says what is wrong and what to do, and ends. It does so before
// it signs or sends anything.
func TestStartRefuses(t *testing.T) {
	n := start(t, nil)
	n.send(n.seal([]byte("something to keep")))
	n.allOpened()
	n.Net.Stop()
	member := n.Nodes[0]
	home := member.Config.Home

	// refused starts the node and wants it to end with these words.
	refused := func(name string, env []string, words ...string) {
		t.Helper()
		before, err := os.Stat(member.LogFile)
		n.must(err)
		n.must(member.Start(env...))
		select {
		case <-member.Done():
		case <-time.After(20 * time.Second):
			member.Kill()
			t.Errorf("%s: it runs", name)
			return
		}
		text, err := os.ReadFile(member.LogFile)
		n.must(err)
		said := string(text[before.Size():])
		for _, w := range words {
			if !strings.Contains(said, w) {
				t.Errorf("%s: it does not say %q:\n%s", name, w, said)
			}
		}
		if member.ExitCode() != 1 || strings.Contains(said, "panic:") {
			t.Errorf("%s: exit code %d:\n%s", name, member.ExitCode(), said)
		}
	}
	// away moves files aside and gives the function that brings them back.
	away := func(paths ...string) func() {
		t.Helper()
		for _, p := range paths {
			n.must(os.Rename(p, p+".away"))
		}
		return func() {
			for _, p := range paths {
				n.must(os.RemoveAll(p))
				n.must(os.Rename(p+".away", p))
			}
		}
	}
	shares, err := filepath.Glob(filepath.Join(member.Config.ShareDir(), "*.age"))
	n.must(err)
	if len(shares) != 2 {
		t.Fatalf("share folder holds %v, want a seed and a share", shares)
	}
	other, err := n.Nodes[1].Config.PostgresURL()
	n.must(err)

	refused("another member's database", []string{"SCRIM_POSTGRES_URL=" + other}, "another member", "own database")
	refused("no database", []string{"SCRIM_POSTGRES_URL=postgres://scrim@127.0.0.1:1/none"}, "127.0.0.1")
	refused("unknown key in the environment", []string{"SCRIM_HTTP_LISTEM=x"}, "SCRIM_HTTP_LISTEM")

	genesis, err := os.ReadFile(member.Config.GenesisFile())
	n.must(err)
	n.must(os.WriteFile(member.Config.GenesisFile(), []byte(strings.Replace(string(genesis), `"max_batch": 256`, `"max_batch": 255`, 1)), 0o600))
	refused("changed genesis", nil, "use the params that they signed")
	n.must(os.WriteFile(member.Config.GenesisFile(), genesis, 0o600))

	back := away(member.Config.GenesisFile())
	refused("no genesis", nil, "genesis.json does not exist")
	back()

	back = away(member.Config.MemberFile())
	refused("no member file", nil, "member.age")
	back()

	back = away(shares[1])
	n.must(os.WriteFile(shares[1], []byte("damaged"), 0o600))
	refused("share damaged", nil, shares[1], "backup")
	back()

	back = away(filepath.Join(home, "comet", "data", "priv_validator_state.json"))
	refused("last-signed state lost", nil, "priv_validator_state.json")
	back()

	back = away(filepath.Join(home, "comet"))
	refused("block store lost", nil, "ahead of CometBFT's block store", "empty database")
	back()

	// What can be mended without anybody is mended.
	back = away(shares...)
	n.must(member.Start())
	n.must(n.Net.Start())
	n.must(n.WaitReady(n.ctx))
	n.send(n.seal([]byte("opened with the share made again")))
	n.allOpened()
	if again, err := filepath.Glob(filepath.Join(member.Config.ShareDir(), "*.age")); err != nil || len(again) != 1 {
		t.Errorf("share folder holds %v, want the share", again)
	}
	member.Stop()
	back()
}
