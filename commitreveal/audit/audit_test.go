package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// honest is a network with three certified batches and one that is pending.
func honest(t testing.TB) *network {
	n := newNetwork(t)
	n.block(3, n.seal("a"), n.seal("b"), n.seal("c"))
	n.block(4, n.seal("d"), n.void("v"))
	n.block(9, n.seal(""), n.seal("e"))
	n.block(10, n.seal("f"))
	return n
}

func TestHonest(t *testing.T) {
	n := honest(t)
	termsHash := sha256.Sum256([]byte(testTerms))
	got := run(t, n.bundle(), Options{TermsHash: &termsHash})
	want := &Report{
		Verdict: Verified, Findings: []Finding{}, Missing: []string{}, Receipts: []ReceiptResult{},
		ChainID: chainID, TermsHash: termsHash, Anchored: true, Epochs: []uint64{1}, Misbehaviour: []Misbehaviour{}, Checkpoints: []CheckpointResult{}, Evidence: []EvidenceResult{},
		LogSize: 9, LogRoot: n.log.Root(), CertifiedSize: 7, CertifiedHeight: 9, LastHeight: 10,
		Batches: 4, Revealed: 3, Pending: 1, Ciphertexts: 8, Plaintexts: 6, Voids: 1,
	}
	c, _ := committeeOf4()
	committee, err := c.MarshalBinary()
	n.must(err)
	want.Committees = []Tenure{{Epoch: 1, Height: 2, TermsHash: termsHash, Certificate: certify([]byte(testTerms), committee)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestHonestShapes: bundles of other shapes that an honest network gives.
func TestHonestShapes(t *testing.T) {
	tests := map[string]func(n *network){
		"one batch, revealed":      func(n *network) { n.block(3, n.seal("a")); n.reveal(0) },
		"committee in its block":   func(n *network) { n.block(2, n.seal("a")); n.reveal(0) },
		"all void":                 func(n *network) { n.block(3, n.void("v"), n.void("w")); n.reveal(0) },
		"ordered at its last time": func(n *network) { n.block(3, n.seal("a", validUntil(3))); n.reveal(0) },
		"several pending": func(n *network) {
			n.block(3, n.seal("a"))
			n.withhold = true
			n.block(4, n.seal("b"))
			n.block(5, n.seal("c"))
			n.reveal(0)
			n.reveal(0)
		},
		"revealed in blocks without a batch": func(n *network) {
			n.block(3, n.seal("a"))
			n.reveal(0) // in block 4
			n.block(6, n.seal("b"), n.seal("c"), n.seal("d"))
			n.reveal(0)
		},
		"a batch in the block that reveals two": func(n *network) {
			n.withhold = true
			n.block(3, n.seal("a"))
			n.block(4, n.seal("b"))
			n.withhold = false
			n.block(5, n.seal("c"), n.seal("d"), n.seal("e"))
			n.reveal(0)
		},
		"opened before the log says so": func(n *network) {
			n.block(3, n.seal("a"))
			n.block(4, n.seal("b"))
			n.block(5, n.seal("c"))
			p := n.pending[0]
			o := n.outcomes(p.cts)[0]
			p.lines[0].Opening, p.lines[0].Plaintext = &o.Opening, o.Plaintext
		},
		"one member down, and then another one": func(n *network) {
			n.signers = []int{0, 1, 3}
			n.block(3, n.seal("a"))
			n.block(4, n.seal("b"))
			n.signers = []int{1, 2, 3}
			n.block(5, n.seal("c"))
			n.reveal(0)
		},
		"several namespaces": func(n *network) {
			n.block(3, n.seal("a", namespace("b")), n.seal("b", namespace("a")), n.seal("c", namespace("b")), n.seal("d"))
			n.reveal(0)
		},
		"some expired, and a member caught": func(n *network) {
			lost := n.seal("lost", validUntil(4))
			n.block(3, n.seal("a"), n.void("v"))
			n.caught(4, "bad_point", n.badPoint(false))
			n.aside(5, lost)
			n.caught(5, "ceremony", []byte("bad deal"))
			n.caught(5, "receive_log_fork", []byte("fork of logs"))
			n.append(asideEntry(5, lost))
			n.block(6, n.seal("b"))
			n.reveal(0)
		},
		"some set aside by a block with a batch, and by the last one": func(n *network) {
			a, b, c := n.seal("a", validUntil(4)), n.seal("b", validUntil(2)), n.seal("c", validUntil(3))
			n.block(3, n.seal("x"))
			n.aside(5, a, b)
			n.reveal(0)
			n.append(asideEntry(5, a))
			n.append(asideEntry(5, b))
			n.block(5, n.seal("y"))
			n.reveal(0)
			n.aside(7, c)
			n.append(asideEntry(7, c))
		},
		"largest and smallest": func(n *network) {
			n.block(3, n.seal(strings.Repeat("x", 1<<17-4)), n.seal(""))
			n.reveal(0)
		},
	}
	for name, build := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			build(n)
			if r := run(t, n.bundle(), Options{}); r.Verdict != Verified {
				t.Errorf("%s: %v %v", r.Verdict, r.Findings, r.Missing)
			}
		})
	}
}

// planted is a fault of the corpus: what is wrong, and what exactly is found.
type planted struct {
	build func(n *network)
	want  []string // "code height who"
	proof []string // kinds of the evidence that comes with it
}

// dishonest are faults of a committee, which signs them.
func dishonest() map[string]planted {
	swap := func(cts []*threshold.Ciphertext) []*threshold.Ciphertext { slices.Reverse(cts); return cts }
	otherCommittee, _ := thresholdtest.Deal("other", 1, 4, 3)
	return map[string]planted{
		"ordered twice": {func(n *network) {
			ct := n.seal("x")
			n.block(5, ct)
			n.block(6, n.seal("y"), ct)
		}, []string{"duplicate 6 " + committeeOf}, nil},
		"twice in one batch": {func(n *network) {
			n.lyingBlock(5, lies{cts: func(cts []*threshold.Ciphertext) []*threshold.Ciphertext { return append(cts, cts[0]) }}, n.seal("x"))
		}, []string{"duplicate 5 " + committeeOf, "order 5 " + committeeOf}, []string{KindWrongOrder}},
		"ordered too late": {func(n *network) {
			n.block(5, n.seal("x", validUntil(4)))
		}, []string{"expired 5 " + committeeOf}, nil},
		"ordered again when forgotten": {func(n *network) {
			ct := n.seal("x", validUntil(5))
			n.block(5, ct)
			n.block(6, ct)
		}, []string{"expired 6 " + committeeOf, "duplicate 6 " + committeeOf}, nil},
		"ciphertext of another chain": {func(n *network) {
			n.block(5, n.seal("x", func(o *threshold.SealOptions) { o.ChainID = "other" }))
		}, []string{"chain_id 5 " + committeeOf}, nil},
		"ciphertext to another key": {func(n *network) {
			ct, err := threshold.Seal(n.rng, otherCommittee.Key, sealOptions(), []byte("x"))
			n.must(err)
			n.block(5, ct, n.seal("y"))
		}, []string{"key_id 5 " + committeeOf}, nil},
		"opened without a proof": {func(n *network) {
			b := n.seal("x").Bytes()
			b[len(b)-1]++
			ct, err := threshold.ParseCiphertext(b)
			n.must(err)
			n.block(5, ct, n.seal("y"))
		}, []string{"ciphertext_proof 5 " + committeeOf}, nil},
		"another order": {func(n *network) {
			n.lyingBlock(5, lies{cts: swap}, n.seal("x"), n.seal("y"))
		}, []string{"order 5 " + committeeOf}, []string{KindWrongOrder}},
		"other rounds": {func(n *network) {
			n.lyingBlock(5, lies{commit: func(e *commitreveal.CommitEntry) { e.Rounds[0]++ }}, n.seal("x"))
		}, []string{"order 5 bundle"}, nil},
		"another order of execution": {func(n *network) {
			n.lyingBlock(5, lies{reveal: func(e *commitreveal.RevealEntry) { e.Order[0]++ }}, n.seal("x"), n.seal("y"))
		}, []string{"order 5 " + committeeOf}, nil},
		"a round that was not said": {func(n *network) {
			n.block(5, n.seal("x"))
			n.lines = append(n.lines, &commitreveal.BundleRound{Height: 6, Section: []byte("s")})
			n.block(7, n.seal("y"))
		}, []string{"order 7 bundle"}, nil},
		"a round with what is no ciphertext": {func(n *network) {
			n.lines = append(n.lines, &commitreveal.BundleRound{Height: 5, Aside: [][]byte{{1, 2, 3}}})
			n.block(6, n.seal("y"))
		}, []string{"order 5 bundle"}, nil},
		"a round that does not hold": {func(n *network) {
			n.round(5, "bad")
			n.block(6, n.seal("y"))
		}, []string{"order 5 bundle"}, nil},
		"another epoch": {func(n *network) {
			n.lyingBlock(5, lies{commit: func(e *commitreveal.CommitEntry) { e.Epoch = 2 }}, n.seal("x"))
		}, []string{"epoch 5 " + committeeOf}, nil},
		"another key id": {func(n *network) {
			n.lyingBlock(5, lies{commit: func(e *commitreveal.CommitEntry) { e.KeyID[0]++ }}, n.seal("x"))
		}, []string{"key_id 5 " + committeeOf}, nil},
		"a height again": {func(n *network) {
			n.lyingBlock(4, lies{}, n.seal("x"))
		}, []string{"height 4 " + committeeOf}, []string{KindConflictCommit}},
		"wrong opening": {func(n *network) {
			n.lyingBlock(5, lies{outcome: func(o []commitreveal.Outcome) { o[0].Opening = o[1].Opening }}, n.seal("x"), n.seal("y"))
		}, []string{"opening 5 " + committeeOf}, nil},
		"no opening at all": {func(n *network) {
			n.lyingBlock(5, lies{outcome: func(o []commitreveal.Outcome) { o[0].Opening, o[1].Opening = threshold.Opening{}, threshold.Opening{} }}, n.seal("x"), n.seal("y"), n.seal("z"))
		}, []string{"opening 5 " + committeeOf, "opening 5 " + committeeOf}, nil},
		"wrong plaintext": {func(n *network) {
			n.lyingBlock(5, lies{outcome: func(o []commitreveal.Outcome) { o[0].Plaintext = []byte("z") }}, n.seal("x"))
		}, []string{"plaintext 5 " + committeeOf}, nil},
		"void, but it decrypts": {func(n *network) {
			n.lyingBlock(5, lies{outcome: func(o []commitreveal.Outcome) { o[0].Void, o[0].Plaintext = true, nil }}, n.seal("x"))
		}, []string{"void 5 " + committeeOf}, nil},
		"a plaintext, but it is void": {func(n *network) {
			n.lyingBlock(5, lies{outcome: func(o []commitreveal.Outcome) { o[0].Void, o[0].Plaintext = false, []byte("x") }}, n.void("x"))
		}, []string{"void 5 " + committeeOf}, nil},
		"other outcomes in the log": {func(n *network) {
			n.lyingBlock(5, lies{reveal: func(e *commitreveal.RevealEntry) { e.Openings[0]++ }}, n.seal("x"))
		}, []string{"outcomes 5 " + committeeOf}, nil},
		"voids miscounted": {func(n *network) {
			n.lyingBlock(5, lies{reveal: func(e *commitreveal.RevealEntry) { e.Voids++ }}, n.seal("x"))
		}, []string{"outcomes 5 " + committeeOf}, nil},
		"reveals another root": {func(n *network) {
			n.lyingBlock(5, lies{reveal: func(e *commitreveal.RevealEntry) { e.Root[0]++ }}, n.seal("x"))
		}, []string{"reveal 5 " + committeeOf}, nil},
		"reveals out of order": {func(n *network) {
			n.withhold = true
			n.block(5, n.seal("x"))
			n.block(6, n.seal("y"))
			n.withhold = false
			n.reveal(len(n.pending) - 1)
		}, []string{"reveal 6 " + committeeOf}, nil},
		"reveals twice": {func(n *network) {
			n.block(5, n.seal("x"))
			n.append(commitreveal.RevealEntry{Height: 4})
			n.block(7, n.seal("y"))
		}, []string{"reveal 4 " + committeeOf}, nil},
		"certificate for something else": {func(n *network) {
			sig := n.sign(commitreveal.Checkpoint{ChainID: chainID, Height: 5, LogSize: 1})
			n.lyingBlock(5, lies{reveal: func(e *commitreveal.RevealEntry) { e.Certificate = sig }}, n.seal("x"))
		}, []string{"certificate 5 " + committeeOf}, nil},
		"another root over the namespaces": {func(n *network) {
			n.lyingBlock(5, lies{commit: func(e *commitreveal.CommitEntry) { e.Namespaces[0]++ }}, n.seal("x"), n.seal("y", namespace("b")))
		}, []string{"namespaces 5 " + committeeOf}, []string{KindOmitted}},
		"a transaction left out of its namespace": {func(n *network) {
			x, y := n.seal("x"), n.seal("y")
			n.lyingBlock(5, lies{commit: func(e *commitreveal.CommitEntry) {
				root, err := commitreveal.NamespaceRoot([]threshold.ID{x.ID()}, []string{"rollup-a"})
				n.must(err)
				e.Namespaces = root
			}}, x, y)
		}, []string{"namespaces 5 " + committeeOf}, []string{KindOmitted}},
		"a void entry left out": {func(n *network) {
			n.lyingBlock(5, lies{voids: func(v []commitreveal.VoidEntry) []commitreveal.VoidEntry { return v[:1] }}, n.void("x"), n.void("y"))
		}, []string{"void 5 " + committeeOf}, nil},
		"a void entry for what decrypts": {func(n *network) {
			x := n.seal("x")
			n.lyingBlock(5, lies{voids: func(v []commitreveal.VoidEntry) []commitreveal.VoidEntry {
				return append(v, commitreveal.VoidEntry{Height: 5, ID: x.ID()})
			}}, x)
		}, []string{"void 5 " + committeeOf}, nil},
		"a void entry of another batch": {func(n *network) {
			n.block(5, n.seal("x"))
			n.append(commitreveal.VoidEntry{Height: 3})
		}, []string{"void 3 " + committeeOf}, nil},
		"no void entry": {func(n *network) {
			n.lyingBlock(5, lies{voids: func([]commitreveal.VoidEntry) []commitreveal.VoidEntry { return nil }}, n.void("v"), n.seal("a"))
		}, []string{"void 5 " + committeeOf}, nil},
		"void entries in another order": {func(n *network) {
			n.lyingBlock(5, lies{voids: func(v []commitreveal.VoidEntry) []commitreveal.VoidEntry { slices.Reverse(v); return v }}, n.void("x"), n.void("y"))
		}, []string{"void 5 " + committeeOf}, nil},
		"said to have expired, but ordered": {func(n *network) {
			x := n.seal("x", validUntil(30))
			n.block(5, x)
			n.append(commitreveal.ExpiredEntry{Height: 6, ID: x.ID(), ValidUntil: 5, Reason: commitreveal.ReasonTooLate})
		}, []string{"false_expiry 6 " + committeeOf}, nil},
		"said to be set aside, and was not": {func(n *network) {
			n.append(commitreveal.ExpiredEntry{Height: 5, ID: threshold.ID{7}, ValidUntil: 5, Reason: commitreveal.ReasonKey})
			n.block(5, n.seal("x"))
		}, []string{"false_expiry 5 " + committeeOf}, nil},
		"set aside, and the log is silent": {func(n *network) {
			n.aside(5, n.seal("x", validUntil(4)))
			n.block(6, n.seal("y"))
		}, []string{"missing_expiry 5 " + committeeOf}, nil},
		"set aside, and the log of a block with a batch is silent": {func(n *network) {
			x, z := n.seal("x", validUntil(4)), n.seal("z", validUntil(4))
			n.aside(5, x, z)
			n.append(asideEntry(5, z))
			n.block(5, n.seal("y"))
		}, []string{"missing_expiry 5 " + committeeOf}, nil},
		"set aside in the bundle only": {func(n *network) {
			n.lines = append(n.lines, &commitreveal.BundleRound{Height: 6, Aside: [][]byte{n.seal("x", validUntil(4)).Bytes()}})
			n.round(7, "s")
			n.block(8, n.seal("y"))
		}, []string{"order 8 bundle"}, nil},
		"set aside for another reason": {func(n *network) {
			x := n.seal("x", validUntil(4))
			e := asideEntry(5, x)
			e.Reason = commitreveal.ReasonInvalid
			n.aside(5, x)
			n.append(e)
			n.block(5, n.seal("y"))
		}, []string{"false_expiry 5 " + committeeOf, "missing_expiry 5 " + committeeOf}, nil},
		"set aside, and said after the batch": {func(n *network) {
			x := n.seal("x", validUntil(4))
			n.aside(5, x)
			n.block(5, n.seal("y"))
			n.append(asideEntry(5, x))
		}, []string{"false_expiry 5 " + committeeOf, "missing_expiry 5 " + committeeOf}, nil},
		"set aside, and said twice": {func(n *network) {
			x := n.seal("x", validUntil(4))
			n.aside(5, x)
			n.append(asideEntry(5, x))
			n.append(asideEntry(5, x))
			n.block(5, n.seal("y"))
		}, []string{"false_expiry 5 " + committeeOf}, nil},
		"set aside in another block": {func(n *network) {
			x := n.seal("x", validUntil(4))
			n.aside(5, x)
			n.append(asideEntry(6, x))
			n.block(7, n.seal("y"))
		}, []string{"false_expiry 6 " + committeeOf, "missing_expiry 5 " + committeeOf}, nil},
		"misbehaviour that nobody did": {func(n *network) { n.caught(5, "bad_point", n.badPoint(true)) }, []string{"misbehaviour 5 " + committeeOf}, nil},
		"misbehaviour with evidence of something else": {func(n *network) {
			n.caught(5, "bad_signature", n.badPoint(false))
		}, []string{"misbehaviour 5 " + committeeOf}, nil},
		"misbehaviour of somebody else": {func(n *network) {
			body := n.badPoint(false)
			n.accuse(5, 1, 3, "bad_point", commitreveal.EvidenceHash(body), body)
		}, []string{"misbehaviour 5 " + committeeOf}, nil},
		"somebody else's deal": {func(n *network) {
			body := []byte("conflict")
			n.accuse(5, 1, 1, "ceremony", commitreveal.EvidenceHash(body), body)
		}, []string{"misbehaviour 5 " + committeeOf}, nil},
		"somebody else's fork": {func(n *network) {
			body := []byte("fork of times")
			n.accuse(5, 1, 1, KindTimesFork, commitreveal.EvidenceHash(body), body)
		}, []string{"misbehaviour 5 " + committeeOf}, nil},
		"misbehaviour in an epoch without a committee": {func(n *network) {
			body := n.badPoint(false)
			n.accuse(5, 2, 2, "bad_point", commitreveal.EvidenceHash(body), body)
		}, []string{"misbehaviour 5 " + committeeOf}, nil},
		"misbehaviour with bytes that are nothing": {func(n *network) { n.caught(5, "bad_point", []byte("nothing")) }, []string{"misbehaviour 5 " + committeeOf}, nil},
		"misbehaviour recorded twice": {func(n *network) {
			n.caught(5, "bad_point", n.badPoint(false))
			n.caught(6, "bad_point", n.badPoint(false))
		}, []string{"misbehaviour 6 " + committeeOf}, nil},
		"misbehaviour after the batch": {func(n *network) {
			n.block(5, n.seal("x"))
			n.caught(5, "bad_point", n.badPoint(false))
		}, []string{"misbehaviour 5 " + committeeOf}, nil},
		"misbehaviour after what was set aside": {func(n *network) {
			x := n.seal("x", validUntil(4))
			n.aside(5, x)
			n.append(asideEntry(5, x))
			n.caught(5, "bad_point", n.badPoint(false))
			n.block(5, n.seal("y"))
		}, []string{"misbehaviour 5 " + committeeOf}, nil},
		"evidence that the log does not name": {func(n *network) {
			n.accuse(5, 1, 2, "bad_point", commitreveal.Hash{1}, n.badPoint(false))
		}, []string{"misbehaviour 5 bundle"}, nil},
		"misbehaviour recorded in the past": {func(n *network) {
			n.caught(2, "bad_point", n.badPoint(false))
		}, []string{"height 2 " + committeeOf}, nil},
		"epoch again": {func(n *network) { n.activate(5, nil) }, []string{"epoch 5 " + committeeOf}, nil},
		"committee at an earlier height": {func(n *network) {
			n.activate(1, nil)
		}, []string{"epoch 1 " + committeeOf, "height 1 " + committeeOf}, nil},
		"the entry's committee is another": {func(n *network) {
			n.activate(5, func(e *commitreveal.CommitteeEntry) { e.Committee[0]++ })
		}, []string{"committee 5 " + committeeOf, "epoch 5 " + committeeOf}, nil},
	}
}

// TestDishonestCommittee: the committee does wrong and signs it. After the lie
// two more batches follow, so that its own signature covers it.
func TestDishonestCommittee(t *testing.T) {
	for name, tt := range dishonest() {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			n.block(3, n.seal("a"), n.seal("b"))
			n.block(4, n.seal("c"))
			tt.build(n)
			n.block(20, n.seal("d"))
			n.block(21, n.seal("e"))
			n.reveal(0)
			r := run(t, n.bundle(), Options{})
			got := short(r)
			slices.Sort(got)
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s\n%+v", diff, r.Findings)
			}
			if r.Verdict != Violated {
				t.Errorf("verdict %s, missing %v", r.Verdict, r.Missing)
			}
			if diff := cmp.Diff(tt.proof, proofs(t, r)); diff != "" {
				t.Errorf("evidence -want +got:\n%s", diff)
			}
		})
	}
}

// proofs gives the kinds of a report's evidence, each of which a judge believes who
// has nothing but the file.
func proofs(t *testing.T, r *Report) (kinds []string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Proof == nil {
			continue
		}
		e := judged(t, f.Proof)
		if f.Code != CodeReceipt && f.Code != CodeContradiction && e.Height != f.Height {
			t.Errorf("evidence about height %d for a finding at height %d", e.Height, f.Height)
		}
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// judged writes the file, reads it, and verifies what was read.
func judged(t *testing.T, f *EvidenceFile) *Established {
	t.Helper()
	b, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseEvidence(b)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	e, err := read.Verify(testChecks())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestAlteredBundle: the committee is honest, but not who made the bundle. Nobody
// else is blamed.
func TestAlteredBundle(t *testing.T) {
	for name, tt := range altered() {
		t.Run(name, func(t *testing.T) {
			n := honest(t)
			tt.build(n)
			r := run(t, n.bundle(), Options{})
			got := short(r)
			if diff := cmp.Diff(tt.want, got); diff != "" || r.Verdict != Violated || len(proofs(t, r)) > 0 {
				t.Errorf("%s, -want +got:\n%s\n%+v", r.Verdict, diff, r.Findings)
			}
		})
	}
	t.Run("committed before there is a committee", func(t *testing.T) {
		n := silentNetwork(t)
		n.block(3, n.seal("a"))
		n.activate(4, nil)
		n.block(5, n.seal("b"))
		r := run(t, n.bundle(), Options{})
		if diff := cmp.Diff([]string{"committee 3 bundle"}, short(r)); diff != "" || r.Verdict != Violated {
			t.Errorf("%s, -want +got:\n%s", r.Verdict, diff)
		}
	})
}

// altered are faults of whoever made the bundle.
func altered() map[string]planted {
	// the honest bundle's lines: 0 header, 1 committee, 2 its certificate, 3 commit 3, 4-6 its transactions, 7 reveal 3,
	// 8 commit 4, 9-10, 11 reveal 4, 12 its void, 13 commit 9, 14-15, 16 reveal 9, 17 commit 10, 18
	tx := func(n *network, line int) *commitreveal.BundleTransaction {
		return n.lines[line].(*commitreveal.BundleTransaction)
	}
	entry := func(n *network, line int, change func(e commitreveal.Entry) commitreveal.Entry) {
		l := n.lines[line].(*commitreveal.BundleEntry)
		e, err := commitreveal.ParseEntry(l.Entry)
		n.must(err)
		l.Entry, err = commitreveal.MarshalEntry(change(e))
		n.must(err)
	}
	commit := func(change func(e *commitreveal.CommitEntry)) func(e commitreveal.Entry) commitreveal.Entry {
		return func(e commitreveal.Entry) commitreveal.Entry { c := e.(commitreveal.CommitEntry); change(&c); return c }
	}
	reveal := func(change func(e *commitreveal.RevealEntry)) func(e commitreveal.Entry) commitreveal.Entry {
		return func(e commitreveal.Entry) commitreveal.Entry { c := e.(commitreveal.RevealEntry); change(&c); return c }
	}
	voidLine := func(n *network) int {
		if tx(n, 9).Void {
			return 9
		}
		return 10
	}
	return map[string]planted{
		"plaintext":          {func(n *network) { tx(n, 5).Plaintext = []byte("z") }, []string{"plaintext 3 bundle"}, nil},
		"plaintext, emptied": {func(n *network) { tx(n, 5).Plaintext = nil }, []string{"plaintext 3 bundle"}, nil},
		"void claimed":       {func(n *network) { tx(n, 5).Void, tx(n, 5).Plaintext = true, nil }, []string{"void 3 bundle"}, nil},
		"void denied":        {func(n *network) { tx(n, voidLine(n)).Void = false }, []string{"void 4 bundle"}, nil},
		"opening":            {func(n *network) { tx(n, 5).Opening = tx(n, 6).Opening }, []string{"opening 3 bundle"}, nil},
		"ciphertext":         {func(n *network) { tx(n, 5).Ciphertext = n.seal("z").Bytes() }, []string{"batch_root 3 bundle"}, nil},
		"ciphertexts swapped": {func(n *network) {
			a, b := tx(n, 5), tx(n, 6)
			a.Ciphertext, b.Ciphertext = b.Ciphertext, a.Ciphertext
		}, []string{"batch_root 3 bundle"}, nil},
		"pending ciphertext": {func(n *network) { tx(n, 18).Ciphertext = n.seal("z").Bytes() }, []string{"batch_root 10 bundle"}, nil},
		"pending, falsely opened": {func(n *network) {
			tx(n, 18).Opening, tx(n, 18).Plaintext = tx(n, 5).Opening, []byte("z")
		}, []string{"opening 10 bundle"}, nil},
		"pending, wrong plaintext": {func(n *network) {
			o := n.outcomes(n.pending[0].cts)[0]
			tx(n, 18).Opening, tx(n, 18).Plaintext = &o.Opening, []byte("z")
		}, []string{"plaintext 10 bundle"}, nil},
		"batch root": {func(n *network) {
			entry(n, 8, commit(func(e *commitreveal.CommitEntry) { e.Root[0]++ }))
		}, []string{"batch_root 4 bundle", "reveal 4 bundle", "certificate 4 bundle"}, nil},
		"rounds": {func(n *network) {
			entry(n, 17, commit(func(e *commitreveal.CommitEntry) { e.Rounds[0]++ }))
		}, []string{"order 10 bundle"}, nil},
		"order": {func(n *network) {
			entry(n, 16, reveal(func(e *commitreveal.RevealEntry) { e.Order[0]++ }))
		}, []string{"order 9 bundle"}, nil},
		"key id": {func(n *network) {
			entry(n, 17, commit(func(e *commitreveal.CommitEntry) { e.KeyID[0]++ }))
		}, []string{"key_id 10 bundle"}, nil},
		"epoch": {func(n *network) {
			entry(n, 13, commit(func(e *commitreveal.CommitEntry) { e.Epoch++ }))
		}, []string{"epoch 9 bundle", "certificate 9 bundle"}, nil},
		"outcomes root": {func(n *network) {
			entry(n, 16, reveal(func(e *commitreveal.RevealEntry) { e.Openings[0]++ }))
		}, []string{"outcomes 9 bundle"}, nil},
		"outcomes root, earlier": {func(n *network) {
			entry(n, 7, reveal(func(e *commitreveal.RevealEntry) { e.Openings[0]++ }))
		}, []string{"outcomes 3 bundle", "certificate 4 bundle"}, nil},
		"voids": {func(n *network) {
			entry(n, 16, reveal(func(e *commitreveal.RevealEntry) { e.Voids++ }))
		}, []string{"outcomes 9 bundle"}, nil},
		"certificate": {func(n *network) {
			entry(n, 16, reveal(func(e *commitreveal.RevealEntry) { e.Certificate[11]++ }))
		}, []string{"certificate 9 bundle"}, nil},
		"certificate of another batch": {func(n *network) {
			entry(n, 11, reveal(func(e *commitreveal.RevealEntry) {
				e.Certificate = n.sign(commitreveal.Checkpoint{ChainID: chainID, Height: 1, LogSize: 1})
			}))
		}, []string{"certificate 4 bundle"}, nil},
		"committee certificate": {func(n *network) {
			n.lines[2].(*commitreveal.BundleCertificate).Certificate[0]++
		}, []string{"committee 2 bundle"}, nil},
		"committee certificate's hash": {func(n *network) {
			entry(n, 1, func(e commitreveal.Entry) commitreveal.Entry {
				c := e.(commitreveal.CommitteeEntry)
				c.Certificate[0]++
				return c
			})
		}, []string{"committee 2 bundle"}, nil},
		"void entry": {func(n *network) {
			entry(n, 12, func(e commitreveal.Entry) commitreveal.Entry {
				v := e.(commitreveal.VoidEntry)
				v.Opening[3]++
				return v
			})
		}, []string{"void 4 bundle", "certificate 9 bundle"}, nil},
		"namespaces": {func(n *network) {
			entry(n, 17, commit(func(e *commitreveal.CommitEntry) { e.Namespaces[0]++ }))
		}, []string{"namespaces 10 bundle"}, nil},
		"committee height": {func(n *network) {
			entry(n, 1, func(e commitreveal.Entry) commitreveal.Entry {
				c := e.(commitreveal.CommitteeEntry)
				c.Height--
				return c
			})
		}, []string{"certificate 3 bundle"}, nil},
		"terms":    {func(n *network) { n.lines[0].(*commitreveal.BundleHeader).Terms[0]++ }, []string{"committee 2 bundle"}, nil},
		"chain id": {func(n *network) { n.lines[0].(*commitreveal.BundleHeader).ChainID = "other" }, []string{"chain_id 2 bundle"}, nil},
	}
}

// TestCannotTell: nothing contradicts, but something is missing.
func TestCannotTell(t *testing.T) {
	whole := honest(t).bundle()
	lines := strings.SplitAfter(whole, "\n")
	join := func(parts ...[]string) string { return strings.Join(slices.Concat(parts...), "") }
	opened := honest(t)
	for _, i := range []int{4, 5, 6} {
		l := opened.lines[i].(*commitreveal.BundleTransaction)
		l.Opening, l.Void, l.Plaintext = nil, false, nil
	}
	partly := honest(t)
	l := partly.lines[5].(*commitreveal.BundleTransaction)
	l.Opening, l.Void, l.Plaintext = nil, false, nil
	malformed := honest(t)
	malformed.lines[5].(*commitreveal.BundleTransaction).Ciphertext = []byte("garbage")
	onlyCommittee := newNetwork(t)
	uncertified := newNetwork(t)
	uncertified.block(3, uncertified.seal("a"))
	tests := map[string]struct{ bundle, missing string }{
		"empty file":                  {"", "bundle line 1"},
		"not a bundle":                {"{\"a\":1}\n", "bundle line 1"},
		"cut in a line":               {whole[:len(whole)/2], "in the middle of a line"},
		"cut between lines":           {join(lines[:13]), "before the line that ends it"},
		"end left out":                {join(lines[:len(lines)-2]), "before the line that ends it"},
		"an entry left out":           {join(lines[:7], lines[8:]), "log entry 3 where entry 2 is due"},
		"a transaction left out":      {join(lines[:5], lines[6:]), "transaction 2 where 1 is due"},
		"the last transaction":        {join(lines[:6], lines[7:]), "2 of its 3 ciphertexts"},
		"a garbled byte":              {strings.Replace(whole, "0x", "0y", 1), "bundle line 1"},
		"openings left out":           {opened.bundle(), "its openings, though the log reveals it"},
		"an opening left out":         {partly.bundle(), "1 of its 3 openings"},
		"an unreadable ciphertext":    {malformed.bundle(), "ciphertext 1 cannot be read"},
		"a header alone":              {silentNetwork(t).bundle(), "no checkpoint that the committee signed"},
		"a committee alone":           {onlyCommittee.bundle(), "no checkpoint that the committee signed"},
		"nothing revealed yet":        {uncertified.bundle(), "no checkpoint that the committee signed"},
		"the end without the entries": {join(lines[:1], lines[len(lines)-2:]), "bundle line 2"},
	}
	for name, tt := range tests {
		r := run(t, tt.bundle, Options{})
		if r.Verdict != CannotTell || len(r.Findings) > 0 || !strings.Contains(strings.Join(r.Missing, "\n"), tt.missing) {
			t.Errorf("%s: %s, findings %v, missing %q, want %q", name, r.Verdict, r.Findings, r.Missing, tt.missing)
		}
	}
	r := runReader(t, io.MultiReader(strings.NewReader(whole[:2000]), iotest.ErrReader(errors.New("disk on fire"))), Options{})
	if r.Verdict != CannotTell || !strings.Contains(strings.Join(r.Missing, "\n"), "disk on fire") {
		t.Errorf("a reader that fails: %s, %q", r.Verdict, r.Missing)
	}
	other := sha256.Sum256([]byte("other terms"))
	r = run(t, whole, Options{TermsHash: &other})
	if r.Verdict != CannotTell || r.Anchored || !strings.Contains(r.Missing[0], "not about the trusted one") {
		t.Errorf("another committee than the trusted one: %s, %q", r.Verdict, r.Missing)
	}
	if _, err := Run(strings.NewReader(whole), Checks{}, Options{}); err == nil {
		t.Error("an audit without checks")
	}
}

// TestCount: the number in a commit entry is not that of its transactions.
func TestCount(t *testing.T) {
	n := honest(t)
	l := n.lines[17].(*commitreveal.BundleEntry) // the pending batch of one
	e, err := commitreveal.ParseEntry(l.Entry)
	n.must(err)
	commit := e.(commitreveal.CommitEntry)
	commit.Count = 2
	two, err := commitreveal.MarshalEntry(commit)
	n.must(err)
	whole := n.bundle()
	r := run(t, strings.Replace(whole, hex.EncodeToString(l.Entry), hex.EncodeToString(two), 1), Options{})
	if diff := cmp.Diff([]string{"batch_root 10 bundle"}, short(r)); diff != "" || r.Verdict != Violated {
		t.Errorf("the root is over fewer: %s, -want +got:\n%s", r.Verdict, diff)
	}
	lines := strings.SplitAfter(whole, "\n")
	more := strings.Replace(lines[18], `"position":0`, `"position":1`, 1)
	r = run(t, strings.Join(slices.Insert(lines, 19, more), ""), Options{})
	if r.Verdict != CannotTell || !strings.Contains(strings.Join(r.Missing, ""), "more than its 1 transactions") {
		t.Errorf("a transaction too many: %s %q %v", r.Verdict, r.Missing, r.Findings)
	}
}

// TestViolationOutweighsMissing: what was found before the cut stands.
func TestViolationOutweighsMissing(t *testing.T) {
	n := newNetwork(t)
	n.lyingBlock(3, lies{outcome: func(o []commitreveal.Outcome) { o[0].Plaintext = []byte("z") }}, n.seal("x"))
	n.block(4, n.seal("a"))
	n.block(5, n.seal("b"))
	whole := n.bundle()
	r := run(t, whole[:len(whole)-20], Options{})
	if diff := cmp.Diff([]string{"plaintext 3 " + committeeOf}, short(r)); diff != "" || r.Verdict != Violated || len(r.Missing) == 0 {
		t.Errorf("%s, missing %q, -want +got:\n%s", r.Verdict, r.Missing, diff)
	}
}

// A receipt and a receive log that the same member signed, and that exclude each other, are the member's doing; a receipt that the
// log confirms is not.
func TestReceiptsAgainstTheCommittedLog(t *testing.T) {
	n := newNetwork(t)
	a := n.seal("a")
	n.round(2, bobHas(a.ID()))
	n.block(3, a)
	n.block(4, n.seal("b"))
	before := commitreveal.NextHead(commitreveal.Hash{}, threshold.ID{1})
	later := receipt(t, 2, a, 8, before)
	later.Time++
	n.must(commitreveal.SignReceipt(identity(2), &later))
	for name, tt := range map[string]struct {
		receipt commitreveal.Receipt
		want    []string
	}{
		"as signed":         {receipt(t, 2, a, 8, before), []string{}},
		"another time":      {later, []string{"receipt_log 2 member 2 (bob)"}},
		"another head":      {receipt(t, 2, a, 8, commitreveal.Hash{5}), []string{"receipt_log 2 member 2 (bob)"}},
		"another id there":  {receipt(t, 2, a, 7, commitreveal.Hash{}), []string{"receipt_log 2 member 2 (bob)"}},
		"outside the part":  {receipt(t, 2, a, 9, commitreveal.Hash{5}), []string{}},
		"of another member": {receipt(t, 3, a, 8, commitreveal.Hash{5}), []string{}},
	} {
		r := run(t, n.bundle(), Options{Receipts: []commitreveal.Receipt{tt.receipt}})
		if diff := cmp.Diff(tt.want, short(r)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
		for _, f := range r.Findings { // the evidence stands by itself
			if f.Proof == nil {
				t.Fatalf("%s: no evidence of %+v", name, f)
			}
			e, err := f.Proof.Verify(testChecks())
			if err != nil || e.Who != bobOf1 || r.Receipts[0].Status != ReceiptBroken {
				t.Errorf("%s: %+v, %v, the receipt is %s", name, e, err, r.Receipts[0].Status)
			}
		}
	}
}

func TestReceipts(t *testing.T) {
	n := newNetwork(t)
	a, late, lost, wide, tail := n.seal("a", validUntil(8)), n.seal("late", validUntil(4)), n.seal("lost", validUntil(4)), n.seal("wide"), n.seal("tail")
	n.block(3, a, n.seal("b"))
	n.block(5, late)
	n.block(6, n.seal("c"))
	n.block(7, tail)
	whole := n.bundle()
	first := receipt(t, 2, a, 1, commitreveal.Hash{})
	second := receipt(t, 2, lost, 2, first.Head)
	forged := first
	forged.Signature[0]++
	foreign := first
	foreign.ChainID = "other"
	stranger := receipt(t, 5, a, 1, commitreveal.Hash{})
	if err := commitreveal.SignReceipt(identity(2), &foreign); err != nil {
		t.Fatal(err)
	}
	wrongHeight := first
	wrongHeight.ValidUntil = 9
	if err := commitreveal.SignReceipt(identity(2), &wrongHeight); err != nil {
		t.Fatal(err)
	}
	const bob, anon = "member 2 (bob)", "member 3"
	tests := map[string]struct {
		receipts []commitreveal.Receipt
		bundle   string
		verdict  Verdict
		status   []string
		findings []string
	}{
		"kept":               {[]commitreveal.Receipt{first, receipt(t, 3, a, 9, commitreveal.Hash{1})}, whole, Verified, []string{ReceiptKept, ReceiptKept}, []string{}},
		"never ordered":      {[]commitreveal.Receipt{first, second}, whole, Violated, []string{ReceiptKept, ReceiptBroken}, []string{"receipt 4 " + bob}},
		"by another member":  {[]commitreveal.Receipt{receipt(t, 3, lost, 2, commitreveal.Hash{1})}, whole, Violated, []string{ReceiptBroken}, []string{"receipt 4 " + anon}},
		"not due":            {[]commitreveal.Receipt{receipt(t, 2, wide, 2, first.Head)}, whole, CannotTell, []string{ReceiptPending}, []string{}},
		"not certified yet":  {[]commitreveal.Receipt{receipt(t, 2, tail, 2, first.Head)}, whole, CannotTell, []string{ReceiptPending}, []string{}},
		"forged":             {[]commitreveal.Receipt{forged}, whole, CannotTell, []string{ReceiptInvalid}, []string{}},
		"of another chain":   {[]commitreveal.Receipt{foreign}, whole, CannotTell, []string{ReceiptInvalid}, []string{}},
		"of no member":       {[]commitreveal.Receipt{stranger}, whole, CannotTell, []string{ReceiptInvalid}, []string{}},
		"no member at all":   {[]commitreveal.Receipt{{}}, whole, CannotTell, []string{ReceiptInvalid}, []string{}},
		"of another height":  {[]commitreveal.Receipt{wrongHeight}, whole, Violated, []string{ReceiptBroken}, []string{"receipt 3 " + bob}},
		"one position twice": {[]commitreveal.Receipt{first, receipt(t, 2, tail, 1, commitreveal.Hash{})}, whole, Violated, []string{ReceiptKept, ReceiptPending}, []string{"receipt_conflict 100 " + bob}},
		"one id twice":       {[]commitreveal.Receipt{first, receipt(t, 2, a, 5, commitreveal.Hash{1})}, whole, Violated, []string{ReceiptKept, ReceiptKept}, []string{"receipt_conflict 8 " + bob}},
		"not chained":        {[]commitreveal.Receipt{receipt(t, 2, tail, 2, commitreveal.Hash{7}), first}, whole, Violated, []string{ReceiptPending, ReceiptKept}, []string{"receipt_conflict 100 " + bob}},
		"two members, one position": {[]commitreveal.Receipt{first, receipt(t, 3, tail, 1, commitreveal.Hash{})}, whole,
			CannotTell, []string{ReceiptKept, ReceiptPending}, []string{}},
		"no log": {[]commitreveal.Receipt{first}, "", CannotTell, []string{ReceiptInvalid}, []string{}},
	}
	// the log orders "late" at height 5 though it was valid until 4
	const expired = "expired 5 " + committeeOf
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := run(t, tt.bundle, Options{Receipts: tt.receipts})
			var status []string
			for _, s := range r.Receipts {
				status = append(status, s.Status)
			}
			if diff := cmp.Diff(tt.status, status); diff != "" {
				t.Errorf("status -want +got:\n%s", diff)
			}
			got := slices.DeleteFunc(short(r), func(s string) bool { return s == expired })
			if diff := cmp.Diff(tt.findings, got); diff != "" {
				t.Errorf("findings -want +got:\n%s", diff)
			}
			if tt.bundle != "" && len(got) == len(r.Findings) {
				t.Errorf("%q was not found", expired)
			}
			if len(got) > 0 != (tt.verdict == Violated) || len(r.Missing) > 0 != slices.ContainsFunc(tt.status, func(s string) bool { return s == ReceiptPending || s == ReceiptInvalid }) {
				t.Errorf("want %s: findings %v, missing %q", tt.verdict, got, r.Missing)
			}
		})
	}
	t.Run("ordered too late", func(t *testing.T) {
		r := run(t, whole, Options{Receipts: []commitreveal.Receipt{receipt(t, 2, late, 1, commitreveal.Hash{})}})
		if diff := cmp.Diff([]string{expired, "receipt 5 " + bob}, short(r)); diff != "" || r.Receipts[0].Status != ReceiptBroken || r.Receipts[0].Height != 5 {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("perhaps in a batch that is altered", func(t *testing.T) {
		altered := newNetwork(t)
		altered.block(3, altered.seal("x"))
		altered.block(5, altered.seal("y"))
		altered.reveal(0)
		altered.lines[4].(*commitreveal.BundleTransaction).Ciphertext = altered.seal("z").Bytes()
		r := run(t, altered.bundle(), Options{Receipts: []commitreveal.Receipt{second}})
		if diff := cmp.Diff([]string{"batch_root 3 bundle"}, short(r)); diff != "" || r.Receipts[0].Status != ReceiptPending {
			t.Errorf("the member is blamed for the bundle: %v, -want +got:\n%s", r.Receipts, diff)
		}
	})
}

// TestEveryByteMatters flips bytes all over a bundle. None may leave it verified,
// for every line has one way to be written.
func TestEveryByteMatters(t *testing.T) {
	n := newNetwork(t)
	n.block(3, n.seal("a"), n.void("v"))
	n.block(4, n.seal("b"))
	n.block(6, n.seal("c"))
	whole := []byte(n.bundle())
	if r := run(t, string(whole), Options{}); r.Verdict != Verified {
		t.Fatalf("%s: %v %v", r.Verdict, r.Findings, r.Missing)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	flip := func(at int, with byte) {
		bad := bytes.Clone(whole)
		bad[at] ^= with
		if r := run(t, string(bad), Options{}); r.Verdict == Verified {
			t.Errorf("byte %d changed from %q to %q: still verified", at, whole[at], bad[at])
		}
	}
	// some bytes of every line, so that short lines and long ones are met alike
	start := 0
	for line := range bytes.Lines(whole) {
		for range 12 {
			at := start + rng.IntN(len(line))
			flip(at, byte(1+rng.IntN(255)))
			if hexDigit(whole[at]) {
				flip(at, whole[at]^hexFlip(whole[at], rng.IntN(15)))
			}
		}
		start += len(line)
	}
}

func hexDigit(c byte) bool { return strings.IndexByte("0123456789abcdef", c) >= 0 }

// hexFlip is another hexadecimal digit than c.
func hexFlip(c byte, i int) byte {
	return strings.ReplaceAll("0123456789abcdef", string(c), "")[i]
}

// FuzzRun: a changed bundle is never verified, and nothing makes the audit panic.
func FuzzRun(f *testing.F) {
	n := newNetwork(f)
	n.block(3, n.seal("a"))
	n.block(4, n.seal("b"))
	n.reveal(0)
	whole := n.bundle()
	f.Add(uint32(0), uint32(0), []byte(nil))
	f.Add(uint32(5), uint32(1), []byte("x"))
	f.Add(uint32(len(whole)-3), uint32(2), []byte("\n"))
	f.Fuzz(func(t *testing.T, at, remove uint32, insert []byte) {
		from := min(int(at), len(whole))
		to := min(from+int(remove), len(whole))
		changed := whole[:from] + string(insert) + whole[to:]
		r, err := Run(strings.NewReader(changed), testChecks(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if (r.Verdict == Verified) != (changed == whole) {
			t.Errorf("%d bytes at %d replaced by %q: %s", to-from, from, insert, r.Verdict)
		}
	})
}

// TestMemoryIsBoundedByABatch streams a long bundle and looks at what is kept.
func TestMemoryIsBoundedByABatch(t *testing.T) {
	n := newNetwork(t)
	n.block(3, n.seal("a"))
	var kept []int
	for h := uint64(4); h < 24; h++ {
		n.block(h, n.seal("x", validUntil(h)))
	}
	n.reveal(0)
	a := newAuditor(testChecks(), Options{})
	a.seen.next = 4
	lines := commitreveal.NewBundleReader(strings.NewReader(n.bundle()))
	for {
		l, err := lines.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		a.line(l)
		for _, b := range a.pending {
			if b.transactions != nil {
				t.Fatal("a checked batch keeps its transactions")
			}
		}
		kept = append(kept, len(a.pending)+len(a.findings))
		if len(a.seen.at) > 4 && a.seen.next == 4 {
			t.Fatal("ids are never forgotten")
		}
	}
	if slices.Max(kept) > 1 {
		t.Errorf("kept %v", kept)
	}
	if r := a.finish(); r.Verdict != Verified {
		t.Errorf("%s: %v %v", r.Verdict, r.Findings, r.Missing)
	}
}

func TestSeenForgets(t *testing.T) {
	s := newSeenIDs()
	for h := range uint64(200) {
		for i := range uint64(100) {
			id := threshold.ID(sha256.Sum256([]byte{byte(h), byte(i), 1}))
			if _, again := s.add(id, h+3, h); again {
				t.Fatal("a new id was seen")
			}
		}
		s.forget(h)
	}
	if len(s.at) > 2*minForget {
		t.Errorf("%d ids are remembered", len(s.at))
	}
	if before, again := s.add(sha256.Sum256([]byte{199, 5, 1}), 202, 200); !again || before != 199 {
		t.Errorf("an id that is still valid was forgotten: %d, %v", before, again)
	}
}

func TestManyFindings(t *testing.T) {
	n := newNetwork(t)
	var cts []*threshold.Ciphertext
	for range 3 {
		cts = append(cts, n.seal("x"))
	}
	for h := uint64(3); h < 45; h++ {
		n.block(h, cts...)
	}
	r := run(t, n.bundle(), Options{})
	if r.Verdict != Violated || len(r.Findings) != maxFindings || r.MoreFindings != 3*41-maxFindings {
		t.Errorf("%s: %d findings and %d more", r.Verdict, len(r.Findings), r.MoreFindings)
	}
}

// TestManyFindingsWait: what waits for its reveal is bounded too.
func TestManyFindingsWait(t *testing.T) {
	n := newNetwork(t)
	n.withhold = true
	for h := uint64(3); h < 5; h++ {
		var cts []*threshold.Ciphertext
		for range 60 {
			cts = append(cts, n.seal("x"))
		}
		n.block(h, cts...)
	}
	for _, p := range n.pending {
		for i, o := range n.outcomes(p.cts) {
			p.lines[i].Opening, p.lines[i].Plaintext = &o.Opening, []byte("y")
		}
	}
	r := run(t, n.bundle(), Options{})
	if r.Verdict != Violated || len(r.Findings) != maxFindings || r.MoreFindings != 120-maxFindings || r.Findings[0].Who != WhoBundle {
		t.Errorf("%s: %d findings and %d more", r.Verdict, len(r.Findings), r.MoreFindings)
	}
}

func TestReportJSON(t *testing.T) {
	r := run(t, honest(t).bundle(), Options{})
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"verdict":"verified"`, `"findings":[]`, `"missing":[]`, `"receipts":[]`, `"certified_height":9`, `"log_root":"0x`} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if got := Verdict(7).String(); got != "verdict(7)" {
		t.Error(got)
	}
}
