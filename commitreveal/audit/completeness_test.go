package audit

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/threshold"
)

// twoNamespaces is a network whose batch of height 3 has transactions of two namespaces.
func twoNamespaces(t testing.TB) *network {
	n := newNetwork(t)
	n.block(3, n.seal("a"), n.seal("b", namespace("b")), n.seal("c"))
	n.block(4, n.seal("d"))
	return n
}

func (n *network) prove(height uint64, name string) *Completeness {
	p, err := ProveNamespace(n.reader(), testChecks(), height, name)
	n.must(err)
	return p
}

func TestCompleteness(t *testing.T) {
	n := twoNamespaces(t)
	termsHash := sha256.Sum256([]byte(testTerms))
	for name, want := range map[string]int{"rollup-a": 2, "b": 1, "absent": 0, "zzz": 0} {
		b, err := n.prove(3, name).Marshal()
		n.must(err)
		p, err := ParseCompleteness(b)
		n.must(err)
		r, err := recorded(p.Verify(testChecks(), &termsHash))
		n.must(err)
		if r.Verdict != Verified || !r.Anchored || len(r.Transactions) != want || r.Namespace != name || r.Height != 3 || r.Count != 3 {
			t.Errorf("%s: %+v", name, r)
		}
		for _, tx := range r.Transactions {
			if ct, err := threshold.ParseCiphertext(ciphertextsOf(n, 3)[tx.Position]); err != nil || commitreveal.Hash(ct.ID()) != tx.ID || ct.Header().Namespace != name {
				t.Errorf("%s: %+v, %v", name, tx, err)
			}
		}
	}
	wrong := [32]byte{1}
	if r, err := recorded(n.prove(3, "b").Verify(testChecks(), &wrong)); err != nil || r.Verdict != CannotTell {
		t.Errorf("another committee: %+v, %v", r, err)
	}
	for height, what := range map[uint64]string{4: "what is not revealed", 5: "what is not there"} {
		if _, err := ProveNamespace(n.reader(), testChecks(), height, "b"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := ProveNamespace(n.reader(), testChecks(), 3, "NO NAMESPACE"); err == nil {
		t.Error("a namespace that is none")
	}
}

// TestCompletenessLies changes each part of the proof.
func TestCompletenessLies(t *testing.T) {
	n := twoNamespaces(t)
	other := n.prove(3, "rollup-a")
	for name, tt := range map[string]struct {
		change func(p *Completeness, proof *note.Proof)
		code   string // "": cannot tell
	}{
		"a transaction of another": {func(p *Completeness, _ *note.Proof) {
			c, err := commitreveal.ParseNamespaceProof(p.Namespace)
			n.must(err)
			c.Transactions[0].ID[0]++
			p.Namespace, err = c.MarshalBinary()
			n.must(err)
		}, CodeNamespaces},
		"fewer namespaces": {func(p *Completeness, _ *note.Proof) {
			c, err := commitreveal.ParseNamespaceProof(p.Namespace)
			n.must(err)
			c.Namespaces++
			p.Namespace, err = c.MarshalBinary()
			n.must(err)
		}, CodeNamespaces},
		"entry": {func(p *Completeness, _ *note.Proof) {
			e, err := commitreveal.ParseEntry(p.Entry)
			n.must(err)
			c := e.(commitreveal.CommitEntry)
			c.Namespaces[0]++
			p.Entry, err = commitreveal.MarshalEntry(c)
			n.must(err)
		}, CodeLogRoot},
		"certificate": {func(p *Completeness, _ *note.Proof) { p.Certificate = []byte("of nobody") }, CodeCommittee},
		"signature":   {func(_ *Completeness, proof *note.Proof) { proof.Note.Signatures[0].Data[90] ^= 1 }, CodeCertificate},
		"not signed by the committee": {func(_ *Completeness, proof *note.Proof) {
			proof.Note.Signatures = []note.Signature{note.SignLog(identity(1), chainID, proof.Note.Text)}
		}, ""},
	} {
		p := *other
		proof, err := note.ParseProof(p.Proof)
		n.must(err)
		tt.change(&p, proof)
		p.Proof, err = proof.Marshal()
		n.must(err)
		r, err := recorded(p.Verify(testChecks(), nil))
		n.must(err)
		if tt.code == "" {
			if r.Verdict != CannotTell || len(r.Transactions) > 0 {
				t.Errorf("%s: %+v", name, r)
			}
			continue
		}
		if r.Verdict != Violated || len(r.Findings) != 1 || r.Findings[0].Code != tt.code || len(r.Transactions) > 0 {
			t.Errorf("%s: %s %+v %v", name, r.Verdict, r.Findings, r.Missing)
		}
	}
	broken := *other
	broken.Entry = []byte("no entry")
	if r, err := recorded(broken.Verify(testChecks(), nil)); err != nil || r.Verdict != CannotTell {
		t.Errorf("what cannot be read: %+v, %v", r, err)
	}
	if _, err := other.Verify(Checks{}, nil); err == nil {
		t.Error("without checks")
	}
}

// TestOmission: a committee that leaves a transaction out of its namespace is convicted by the two proofs that it signed.
func TestOmission(t *testing.T) {
	for _, absent := range []bool{true, false} { // y's namespace is not in the tree at all, or without y
		n := newNetwork(t)
		x, y := n.seal("x"), n.seal("y", namespace("b"))
		if !absent {
			y = n.seal("y")
		}
		lie := []threshold.ID{x.ID()}
		n.lyingBlock(3, lies{commit: func(e *commitreveal.CommitEntry) { e.Namespaces = namespaceRoot(n, x) }}, x, y)
		n.block(4, n.seal("z"))
		honest := n.prove(3, y.Header().Namespace)
		if r, err := recorded(honest.Verify(testChecks(), nil)); err != nil || r.Verdict != Violated || r.Findings[0].Code != CodeNamespaces {
			t.Errorf("the truth does not fit the lie: %+v, %v", r, err)
		}
		lying, err := commitreveal.ProveNamespace(lie, []string{"rollup-a"}, y.Header().Namespace)
		n.must(err)
		p := *honest
		p.Namespace, err = lying.MarshalBinary()
		n.must(err)
		if r, err := p.Verify(testChecks(), nil); err != nil || absent == (r.Verdict != Verified) || len(r.Transactions) != b2i(!absent) {
			t.Logf("%+v, %v", r, err) // x is at another position than in the batch, if y comes first
		}
		tx, err := ProveTx(n.reader(), testChecks(), y.ID())
		n.must(err)
		f, err := p.Omits(tx)
		n.must(err)
		if e := judged(t, f); e.Kind != KindOmitted || e.Who != committeeOf || e.Height != 3 {
			t.Errorf("%+v", e)
		}
		innocent, err := ProveTx(n.reader(), testChecks(), x.ID())
		n.must(err)
		if _, err := n.prove(3, "rollup-a").Omits(innocent); !errors.Is(err, ErrNotFound) {
			t.Errorf("a transaction that is there is omitted: %v", err)
		}
	}
	n := twoNamespaces(t)
	n.reveal(0)
	of4, err := threshold.ParseCiphertext(ciphertextsOf(n, 4)[0])
	n.must(err)
	tx, err := ProveTx(n.reader(), testChecks(), of4.ID())
	n.must(err)
	if _, err := n.prove(3, "rollup-a").Omits(tx); !errors.Is(err, ErrNotFound) {
		t.Errorf("a transaction of another batch is omitted: %v", err)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestCompletenessForm(t *testing.T) {
	n := twoNamespaces(t)
	valid, err := n.prove(3, "b").Marshal()
	n.must(err)
	for name, change := range map[string]func(s string) string{
		"nothing":        func(string) string { return "" },
		"no line feed":   func(s string) string { return s[:len(s)-1] },
		"spaces":         func(s string) string { return strings.Replace(s, `,`, `, `, 1) },
		"another format": func(s string) string { return strings.Replace(s, "completeness/v1", "completeness/v2", 1) },
		"a field more":   func(s string) string { return strings.Replace(s, `"entry"`, `"x":1,"entry"`, 1) },
		"two values":     func(s string) string { return s + s },
		"no certificate": func(s string) string {
			at := strings.Index(s, `"certificate":"0x`) + len(`"certificate":"0x`)
			return s[:at] + s[at+strings.IndexByte(s[at:], '"'):]
		},
	} {
		if _, err := ParseCompleteness([]byte(change(string(valid)))); !errors.Is(err, ErrCompleteness) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseCompleteness(slices.Repeat([]byte{' '}, MaxCompletenessSize+1)); !errors.Is(err, ErrCompleteness) {
		t.Errorf("a huge file: %v", err)
	}
}

func FuzzParseCompleteness(f *testing.F) {
	n := twoNamespaces(f)
	for _, name := range []string{"rollup-a", "b", "absent"} {
		b, err := n.prove(3, name).Marshal()
		n.must(err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseCompleteness(b)
		if err != nil {
			return
		}
		again, err := p.Marshal()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("two spellings: %v", err)
		}
		if _, err := p.Verify(testChecks(), nil); err != nil {
			t.Error(err)
		}
	})
}
