package devnet

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/internal/pgcluster"
	"github.com/scrimlabs/scrim/ordering"
)

// A devnet is made once, and goes on when it is opened again.
func TestOpenAgain(t *testing.T) {
	dir := t.TempDir()
	o := Options{
		Command:   []string{os.Args[0], "x"},
		Env:       []string{roleVariable + "=node"},
		Dir:       dir,
		Genesis:   func(g *ordering.Genesis) { g.Params.MaxBatch = 7 },
		Configure: func(_ int, c *node.Config) { c.Mempool.Size = 77 },
		Postgres:  []pgcluster.Option{pgcluster.WithoutSync()},
	}
	n, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if n.Genesis.Params.MaxBatch != 7 || n.Genesis.Terms.Threshold != 3 || len(n.Nodes) != DefaultMembers {
		t.Errorf("genesis %+v, %d nodes", n.Genesis.Params, len(n.Nodes))
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	ids := map[string]bool{}
	for i, one := range n.Nodes {
		c, err := node.LoadConfigFile(one.Config.Home)
		if err != nil {
			t.Fatal(err)
		}
		if c.Mempool.Size != 77 || c.Postgres.URL == "" || len(c.P2P.Peers) != DefaultMembers-1 {
			t.Errorf("%s: %+v", one.Name, c)
		}
		secret, err := c.Member()
		if err != nil {
			t.Fatal(err)
		}
		want := secret.Member(one.Name)
		secret.Wipe()
		if diff := cmp.Diff(want, n.Genesis.Terms.Members[i]); diff != "" {
			t.Errorf("%s is not the genesis's: %s", one.Name, diff)
		}
		own := node.NodeID(want.Node) + "@" + strings.TrimPrefix(c.P2P.Listen, "tcp://")
		if slices.Contains(c.P2P.Peers, own) {
			t.Errorf("%s is its own peer", one.Name)
		}
		ids[own] = true
	}
	for _, one := range n.Nodes {
		for _, peer := range one.Config.P2P.Peers {
			if !ids[peer] {
				t.Errorf("%s has the unknown peer %s", one.Name, peer)
			}
		}
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for _, one := range n.Nodes {
		if one.Running() {
			t.Errorf("%s runs after Close", one.Name)
		}
	}

	other := o
	other.Members = 7
	if _, err := Open(t.Context(), other); err == nil || !strings.Contains(err.Error(), "4 members, not 7") {
		t.Errorf("another number of members: %v", err)
	}
	again, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Genesis.Terms.Hash() != n.Genesis.Terms.Hash() || !slices.Equal(again.URLs(), n.URLs()) {
		t.Error("opened again, it is another devnet")
	}
	if err := again.Remove(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
		t.Errorf("Remove left %v", left)
	}
}

func TestOpenRefusesHalfMade(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "member1"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := Options{Command: []string{"x"}, Dir: dir}
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "remove the folder") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, manifestName), []byte(`{"chain":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
}
