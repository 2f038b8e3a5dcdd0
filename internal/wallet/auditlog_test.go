package wallet_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror"
	"github.com/scrimlabs/scrim/commitreveal/mirror/mirrortest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// TestEvidenceOfANode: what a node holds against members becomes files that need no
// node: two shares of one height, of which the log has one batch; two deals.
func TestEvidenceOfANode(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	for i := range 4 {
		c.Block(ordering.Proposal{Txs: c.SealTxs(fmt.Sprint(i)), Openings: c.Open(1, 2, 3)})
	}
	height := c.State.Height() - 2
	share := func(root commitreveal.Hash) commitreveal.ShareMessage {
		m := commitreveal.ShareMessage{ChainID: sim.ChainID, Epoch: 1, Height: height, Root: root}
		m.Share.Member, m.Signature.Member = 3, 3
		m.Share.Points = make([][threshold.PointSize]byte, 1)
		c.Must(m.Sign(c.Secrets[2].Identity()))
		return m
	}
	committed := c.Results[height-1].Batch.Batch.Root
	two, err := commitreveal.MarshalEvidence(commitreveal.NewConflictingShares(share(committed), share(commitreveal.Hash{1})))
	c.Must(err)
	dir := mirrorOf(t, c, two, equivocation(t, c), []byte("nothing"))
	source, err := wallet.NewLogSource(dir)
	c.Must(err)
	r, err := source.Verify(wallet.VerifyOptions{})
	c.Must(err)
	if r.Verdict != audit.Verified || len(r.Evidence) != 3 {
		t.Fatalf("%s: %v %+v", r.Verdict, r.Missing, r.Evidence)
	}
	files, err := source.WriteEvidence(r, filepath.Join(dir, "found"))
	c.Must(err)
	var got []string
	for _, name := range files {
		text, err := os.ReadFile(name)
		c.Must(err)
		f, err := audit.ParseEvidence(text)
		c.Must(err)
		e, err := f.Verify(wallet.Checks())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got = append(got, e.Kind+": "+e.Who)
	}
	slices.Sort(got)
	want := []string{
		"conflicting_ceremony_message: member 2 (member-2) in the ceremony of epoch 1",
		"conflicting_shares: member 3 (member-3) of epoch 1",
		"early_share: member 3 (member-3) of epoch 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// mirrorOf is the directory of a mirror of a node that holds this evidence.
func mirrorOf(t *testing.T, c *sim.Chain, evidence ...[]byte) string {
	t.Helper()
	node := mirrortest.New(sim.ChainID, c.Secrets[0].Identity())
	c.Must(node.Add(mirrortest.FromChain(t, c)...))
	for _, body := range evidence {
		node.AddEvidence(body)
	}
	server := httptest.NewServer(node)
	defer server.Close()
	client, err := mirror.NewClient(server.URL, nil)
	c.Must(err)
	dir := filepath.Join(t.TempDir(), "m")
	m, err := mirror.Open(dir, mirror.Options{Checks: wallet.Checks()})
	c.Must(err)
	_, err = m.Update(t.Context(), client)
	c.Must(err)
	c.Must(m.Close())
	return dir
}

// TestWholeLog: a finding against somebody that has no smaller evidence has the log itself, with all that is beside it, as a file
// that is replayed with nothing else; a bundle is its own; a mirror that is not whole gives none.
func TestWholeLog(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	c.Block(ordering.Proposal{Txs: [][]byte{c.Accuse(c.Misdeeds(2, "")[0])}})
	for i := range 3 {
		c.Block(ordering.Proposal{Txs: c.SealTxs(fmt.Sprint(i)), Openings: c.Open(1, 2, 3)})
	}
	dir := mirrorOf(t, c)
	findings := func() *audit.Report {
		return &audit.Report{Findings: []audit.Finding{{Code: audit.CodePlaintext, Who: "committee of epoch 1"}, {Code: audit.CodeOrder, Who: audit.WhoBundle}}}
	}
	write := func(from string) (files []string, evidence string) {
		source, err := wallet.NewLogSource(from)
		c.Must(err)
		r := findings()
		files, err = source.WriteEvidence(r, filepath.Join(dir, "found"))
		c.Must(err)
		if r.Findings[1].Evidence != "" {
			t.Errorf("a finding against nobody has evidence: %s", r.Findings[1].Evidence)
		}
		return files, r.Findings[0].Evidence
	}
	files, bundle := write(dir)
	if !slices.Equal(files, []string{bundle}) {
		t.Fatalf("%v, %q", files, bundle)
	}
	replayed := func(from string) *audit.Report {
		source, err := wallet.NewLogSource(from)
		c.Must(err)
		r, err := source.Verify(wallet.VerifyOptions{})
		c.Must(err)
		return r
	}
	if r, m := replayed(bundle), replayed(dir); r.Verdict != audit.Verified || r.LogSize != m.LogSize || r.LogRoot != m.LogRoot || len(r.Misbehaviour) != 1 || !r.Misbehaviour[0].Proved {
		t.Errorf("%s, %d of %d entries, %v %v %+v", r.Verdict, r.LogSize, m.LogSize, r.Findings, r.Missing, r.Misbehaviour)
	}
	if files, evidence := write(bundle); len(files) != 0 || evidence != bundle {
		t.Errorf("a bundle: %v, %q", files, evidence)
	}
	c.Must(os.RemoveAll(filepath.Join(dir, "batch")))
	c.Must(os.RemoveAll(filepath.Join(dir, "found")))
	if files, evidence := write(dir); len(files) != 0 || evidence != "" {
		t.Errorf("a mirror that is not whole: %v, %q", files, evidence)
	}
}

// equivocation is evidence that member 2 dealt twice.
func equivocation(t *testing.T, c *sim.Chain) []byte {
	t.Helper()
	terms := &c.Genesis.Terms
	state, err := keygen.New(terms)
	c.Must(err)
	for i := range byte(2) {
		p, err := keygen.NewParticipant(c.Secrets[1], terms, [32]byte{100 + i})
		c.Must(err)
		fresh, err := keygen.New(terms)
		c.Must(err)
		fresh, _, err = keygen.Step(fresh, keygen.Event{Height: 1})
		c.Must(err)
		m, err := p.Next(fresh)
		c.Must(err)
		if i == 0 {
			state = fresh
		}
		state, _, err = keygen.Step(state, keygen.Event{Height: 1, Message: m[0]})
		c.Must(err)
	}
	all := state.Evidence()
	if len(all) != 1 {
		t.Fatalf("%d pieces of evidence, blame %v", len(all), state.Blame())
	}
	b, err := all[0].MarshalBinary()
	c.Must(err)
	return b
}

// TestSources: what is no log is none.
func TestSources(t *testing.T) {
	if _, err := wallet.NewLogSource(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a source that is not there")
	}
	s, err := wallet.NewLogSource(t.TempDir())
	if err != nil || !s.IsMirror() {
		t.Errorf("a directory: %v", err)
	}
	if _, err := s.Verify(wallet.VerifyOptions{}); err == nil {
		t.Error("an empty directory is verified")
	}
	if _, err := s.ProveTx(threshold.ID{}, nil); err == nil {
		t.Error("an empty directory has a transaction")
	}
}
