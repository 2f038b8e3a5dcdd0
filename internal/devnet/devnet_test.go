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
	erin := addNode(t, n)
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
	if last := again.Nodes[DefaultMembers]; last.Name != "erin" || last.Config.Postgres.URL == "" || !slices.Equal(last.Config.P2P.Peers, erin.Config.P2P.Peers) {
		t.Errorf("opened again, the added node is %+v", last.Config)
	}
	if err := again.Remove(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
		t.Errorf("Remove left %v", left)
	}
}

// addNode adds somebody who is in no committee to a devnet that runs.
func addNode(t *testing.T, n *Net) *Node {
	t.Helper()
	erin, err := n.AddNode(t.Context(), "erin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.AddNode(t.Context(), "member2"); err == nil {
		t.Error("two nodes of one name")
	}
	if len(n.Nodes) != DefaultMembers+1 || n.Nodes[DefaultMembers] != erin || len(erin.Config.P2P.Peers) != DefaultMembers {
		t.Errorf("%d nodes; the new one has the peers %v", len(n.Nodes), erin.Config.P2P.Peers)
	}
	card, err := erin.Card()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := erin.Config.Member()
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Wipe()
	if diff := cmp.Diff(secret.Member("erin"), card.Member); diff != "" {
		t.Error(diff)
	}
	if _, err := n.Genesis.Terms.IndexOf(secret); err == nil {
		t.Error("a member of the genesis was added")
	}
	own := node.NodeID(card.Member.Node) + "@" + strings.TrimPrefix(erin.Config.P2P.Listen, "tcp://")
	seen := map[string]bool{}
	for _, one := range n.Nodes {
		c, err := node.LoadConfigFile(one.Home())
		if err != nil {
			t.Fatal(err)
		}
		if seen[c.Postgres.URL] || seen[c.P2P.Listen] || seen[c.HTTP.Listen] {
			t.Errorf("%s shares a database or a port with another", one.Name)
		}
		seen[c.Postgres.URL], seen[c.P2P.Listen], seen[c.HTTP.Listen] = true, true, true
		if slices.Contains(c.P2P.Peers, own) != (one != erin) {
			t.Errorf("%s has the peers %v", one.Name, c.P2P.Peers)
		}
		if g, err := node.ReadGenesis(c.GenesisFile()); err != nil || g.Terms.Hash() != n.Genesis.Terms.Hash() {
			t.Errorf("%s has another genesis: %v", one.Name, err)
		}
	}
	if err := n.WaitReady(t.Context()); err != nil {
		t.Errorf("with a node that was not started: %v", err)
	}
	if err := erin.Start(); err != nil {
		t.Fatal(err)
	}
	if err := erin.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return erin
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
