package mirror_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/ordering"
)

// A chain that has recorded one misdeed of each kind: the mirror has the evidence, the audit proves each with the nodes' own
// function, and the files that come of it convince somebody who has nothing else.
func TestRecordedEvidence(t *testing.T) {
	c := newChain()
	var txs [][]byte
	for _, e := range c.Misdeeds(2, "") {
		txs = append(txs, c.Accuse(e))
	}
	var hashes []commitreveal.Hash
	for range len(txs) / ordering.MaxEvidenceTxs {
		r := c.Block(ordering.Proposal{Txs: txs})
		for _, m := range r.Misbehaviour {
			hashes = append(hashes, m.Entry.Evidence)
		}
	}
	grow(c, 2)
	s := server(t, c)
	body := slices.Clone(s.Recorded(hashes[0]))
	s.AddEvidence(body) // the node that saw it lists it too
	dir := filepath.Join(t.TempDir(), "m")
	m, from := open(t, dir), client(t, s)

	s.SetRecorded(hashes[0], append(slices.Clone(body), 0))
	if _, err := m.Update(t.Context(), from); !errors.Is(err, mirror.ErrServer) {
		t.Errorf("evidence that the log does not name is taken: %v", err)
	}
	s.SetRecorded(hashes[0], nil)
	if _, err := m.Update(t.Context(), from); err == nil {
		t.Error("a node that keeps evidence back is mirrored as if it were whole")
	}
	s.SetRecorded(hashes[0], body)
	update(t, m, from)
	if files, err := os.ReadDir(filepath.Join(dir, "evidence")); err == nil && len(files) > 0 {
		t.Errorf("evidence is there twice: %v", files)
	}

	r := verify(t, dir, audit.Options{})
	if r.Verdict != audit.Verified || len(r.Misbehaviour) != len(txs) {
		t.Fatalf("%s: %v %v, %d entries", r.Verdict, r.Findings, r.Missing, len(r.Misbehaviour))
	}
	for i, e := range r.Misbehaviour {
		if !e.Proved || e.Evidence != hashes[i] || e.Member != 2 || !strings.HasPrefix(e.Who, "member 2 (member-2)") {
			t.Errorf("entry %d: %+v", i, e)
			continue
		}
		text, err := e.File.Marshal()
		must(t, err)
		f, err := audit.ParseEvidence(text)
		must(t, err)
		if proved, err := f.Verify(wallet.Checks()); err != nil || proved.Who != e.Who {
			t.Errorf("%s: %+v, %v", e.Kind, proved, err)
		}
	}

	// Lost, or altered, in the directory.
	name := filepath.Join(dir, "recorded", hashes[3].String())
	must(t, os.Rename(name, name+".away"))
	if r := verify(t, dir, audit.Options{}); r.Verdict != audit.CannotTell || len(r.Missing) != 1 {
		t.Errorf("without a body: %s %v %v", r.Verdict, r.Findings, r.Missing)
	}
	must(t, os.WriteFile(name, []byte("something else"), 0o600))
	if r := verify(t, dir, audit.Options{}); r.Verdict != audit.Violated || len(r.Findings) != 1 || r.Findings[0].Code != audit.CodeMisbehaviour || r.Findings[0].Who != audit.WhoBundle {
		t.Errorf("with another body: %s %+v %v", r.Verdict, r.Findings, r.Missing)
	}
}
