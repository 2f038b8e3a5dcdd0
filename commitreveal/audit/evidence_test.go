package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// lines reads what the network has done so far.
func (n *network) reader() Lines {
	return commitreveal.NewBundleReader(strings.NewReader(n.bundle()))
}

func (n *network) certificate() []byte {
	return n.lines[2].(*commitreveal.BundleCertificate).Certificate
}

func (n *network) file(p Proof) *EvidenceFile {
	return &EvidenceFile{ChainID: chainID, Certificates: [][]byte{n.certificate()}, Proof: p}
}

// hashes is the tree of the network's log.
func (n *network) hashes() tiles.Reader {
	var stored []commitreveal.Hash
	var log commitreveal.Log
	for _, l := range n.lines {
		if e, ok := l.(*commitreveal.BundleEntry); ok {
			next, more, err := log.Append(e.Entry)
			n.must(err)
			log, stored = next, append(stored, more...)
		}
	}
	return func(indexes []int64) (out []commitreveal.Hash, err error) {
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	}
}

// note is the checkpoint of the log so far, signed by members.
func (n *network) note(size uint64, members ...uint32) []byte {
	root, err := tiles.Root(size, n.hashes())
	n.must(err)
	text := note.Checkpoint{Origin: note.Origin(chainID), Size: size, Root: root}.Text()
	out := &note.Note{Text: text}
	for i, m := range members {
		s := note.SignLog(identity(m), chainID, text)
		if i > 0 {
			s = note.Cosign(identity(m), chainID, text, 1700000000)
		}
		out.Signatures = append(out.Signatures, s)
	}
	b, err := out.Marshal()
	n.must(err)
	return b
}

// shareOf is a member's share message for a batch of a height; the points are the
// generator of nothing in particular.
func (n *network) shareOf(member uint32, height uint64, root commitreveal.Hash, points int) *commitreveal.ShareMessage {
	m := &commitreveal.ShareMessage{ChainID: chainID, Epoch: 1, Height: height, Root: root}
	m.Share.Member, m.Signature.Member = member, member
	m.Share.Points = make([][threshold.PointSize]byte, points)
	n.must(m.Sign(identity(member)))
	return m
}

func (n *network) commitOf(height uint64) commitreveal.CommitEntry {
	for _, l := range n.lines {
		if b, ok := l.(*commitreveal.BundleEntry); ok {
			e, err := commitreveal.ParseEntry(b.Entry)
			n.must(err)
			if c, ok := e.(commitreveal.CommitEntry); ok && c.Height == height {
				return c
			}
		}
	}
	n.t.Fatalf("no batch of height %d", height)
	return commitreveal.CommitEntry{}
}

// rangeOf is the log up to the batch of a height, certified.
func (n *network) rangeOf(height uint64) Range {
	x, err := cut(n.reader(), 0, height-1)
	n.must(err)
	return x.log
}

func (n *network) newSplit(a, b []byte, read tiles.Reader) *SplitView {
	p, err := NewSplitView(a, b, read)
	n.must(err)
	return p
}

func proofOfReceipt(n *network, r commitreveal.Receipt, p BrokenReceipt) *BrokenReceipt {
	b, err := r.MarshalBinary()
	n.must(err)
	p.Receipt = b
	return &p
}

func marshaled(n *network, m interface{ MarshalBinary() ([]byte, error) }) Bytes {
	b, err := m.MarshalBinary()
	n.must(err)
	return b
}

// accusation is evidence that holds, and the same against somebody innocent.
type accusation struct {
	guilty, innocent *EvidenceFile
	who              string
	height           uint64
	remains          string // part of what is left open
}

const bobOf1 = "member 2 (bob) of epoch 1"

// accusations has every kind of evidence.
func accusations(t testing.TB) map[string]accusation {
	t.Helper()
	n := honest(t)
	n.reveal(0) // all is certified up to block 10
	n.block(12, n.seal("z"))
	n.reveal(0)
	other := newNetwork(t)
	other.rng = rand.NewChaCha8([32]byte{9})
	other.block(3, other.seal("another"))
	other.block(4, other.seal("log"))
	other.block(9, other.seal("than n's"))
	other.reveal(0)
	out := map[string]accusation{}
	views := func(name string, a, b, c []byte, read, readC tiles.Reader, who, remains string) {
		out["split view, "+name] = accusation{n.file(n.newSplit(a, b, read)), n.file(n.newSplit(a, c, readC)), who, 0, remains}
	}
	views("one size", n.note(4, 2), other.note(4, 2), n.note(6, 2), nil, n.hashes(), bobOf1, "")
	views("the other is larger", n.note(4, 2), other.note(6, 3, 2), n.note(6, 2), other.hashes(), n.hashes(), bobOf1, "")
	views("of two members", n.note(4, 2), other.note(4, 3), n.note(6, 3), nil, n.hashes(), bobOf1+" or member 3 of epoch 1", "which of the two")

	lost := n.seal("lost", validUntil(9))
	r := receipt(t, 2, lost, 7, commitreveal.Hash{1})
	made := func(r commitreveal.Receipt, from uint64) *EvidenceFile {
		f, err := ProveNotOrdered(n.reader(), &r, from)
		n.must(err)
		return f
	}
	kept, err := threshold.ParseCiphertext(n.lines[4].(*commitreveal.BundleTransaction).Ciphertext)
	n.must(err)
	promise := receipt(t, 2, kept, 8, commitreveal.Hash{2})
	promise.ValidUntil = 9
	n.must(commitreveal.SignReceipt(identity(2), &promise))
	out["broken receipt, not ordered"] = accusation{made(r, 0), made(promise, 0), bobOf1, 9, ""}
	out["broken receipt, not ordered of late"] = accusation{made(r, 5), made(promise, 0), bobOf1, 9, "before block 4"}
	out["broken receipt, another height"] = accusation{
		n.file(proofOfReceipt(n, promise, BrokenReceipt{Ciphertext: kept.Bytes()})),
		n.file(proofOfReceipt(n, receipt(t, 2, kept, 8, commitreveal.Hash{2}), BrokenReceipt{Ciphertext: kept.Bytes()})), bobOf1, 9, "",
	}
	same := receipt(t, 2, kept, 7, commitreveal.Hash{2})
	next := receipt(t, 2, kept, 8, r.Head)
	out["broken receipt, contradicted"] = accusation{
		n.file(proofOfReceipt(n, r, BrokenReceipt{Other: marshaled(n, &same)})),
		n.file(proofOfReceipt(n, r, BrokenReceipt{Other: marshaled(n, &next)})), bobOf1, 9, "",
	}

	said := Bytes(bobHas(kept.ID()))
	inLog := receipt(t, 2, kept, 8, commitreveal.NextHead(commitreveal.Hash{}, threshold.ID{1}))
	otherTime := inLog
	otherTime.Time--
	n.must(commitreveal.SignReceipt(identity(2), &otherTime))
	stated := BrokenReceipt{Statement: said, Head: &commitreveal.Hash{}, Times: &commitreveal.Hash{7}}
	out["broken receipt, another time"] = accusation{n.file(proofOfReceipt(n, otherTime, stated)), n.file(proofOfReceipt(n, inLog, stated)), bobOf1, inLog.ValidUntil, ""}
	otherHead := receipt(t, 2, kept, 8, commitreveal.Hash{5})
	elsewhere := receipt(t, 2, kept, 9, commitreveal.Hash{5})
	out["broken receipt, another log"] = accusation{n.file(proofOfReceipt(n, otherHead, stated)), n.file(proofOfReceipt(n, elsewhere, stated)), bobOf1, inLog.ValidUntil, ""}

	liar := newNetwork(t)
	x, y := liar.seal("x"), liar.seal("y", namespace("b"))
	liar.lyingBlock(3, lies{
		cts:    func(cts []*threshold.Ciphertext) []*threshold.Ciphertext { slices.Reverse(cts); return cts },
		commit: func(e *commitreveal.CommitEntry) { e.Namespaces = namespaceRoot(liar, x) },
	}, x, y)
	liar.block(4, liar.seal("z"))
	liar.reveal(0)
	ids := func(n *network, height uint64) (out []commitreveal.Hash) {
		for _, b := range ciphertextsOf(n, height) {
			ct, err := threshold.ParseCiphertext(b)
			n.must(err)
			out = append(out, commitreveal.Hash(ct.ID()))
		}
		return out
	}
	out["wrong order"] = accusation{
		liar.file(&WrongOrder{liar.rangeOf(3), ids(liar, 3)}), n.file(&WrongOrder{n.rangeOf(3), ids(n, 3)}), committeeOf, 3, "",
	}
	out["omitted transaction, whole batch"] = accusation{
		liar.file(&OmittedTransaction{Log: liar.rangeOf(3), Path: []commitreveal.Hash{}, Ciphertexts: ciphertextsOf(liar, 3)}),
		n.file(&OmittedTransaction{Log: n.rangeOf(3), Path: []commitreveal.Hash{}, Ciphertexts: ciphertextsOf(n, 3)}), committeeOf, 3, "",
	}
	out["omitted transaction, false completeness"] = accusation{omission(liar, y, 3, x), omission(n, kept, 3, nil), committeeOf, 3, ""}

	checkpoint := func(n *network, cp commitreveal.Checkpoint) Certified {
		c, err := NewCertified(cp, n.sign(cp))
		n.must(err)
		return c
	}
	cp := commitreveal.Checkpoint{ChainID: chainID, Height: 5, Epoch: 1, LogSize: 9}
	twin, later := cp, cp
	twin.BatchRoot[0], later.Height, later.LogSize = 1, 6, 12
	out["conflicting commit"] = accusation{
		n.file(NewConflictingCommit(checkpoint(n, cp), checkpoint(n, twin))), n.file(NewConflictingCommit(checkpoint(n, cp), checkpoint(n, later))), committeeOf, 5, "",
	}

	early := func(height uint64, root commitreveal.Hash) *EvidenceFile {
		f, err := ProveEarlyShare(n.reader(), n.shareOf(2, height, root, 1))
		n.must(err)
		return f
	}
	out["early share, of another batch"] = accusation{early(4, commitreveal.Hash{1}), early(4, n.commitOf(4).Root), bobOf1, 4, "when the share was made"}
	out["early share, of no batch"] = accusation{early(7, commitreveal.Hash{1}), early(9, n.commitOf(9).Root), bobOf1, 7, "when the share was made"}

	badShare := func(e commitreveal.Evidence) *EvidenceFile {
		p, err := NewBadShare(e)
		n.must(err)
		return n.file(p)
	}
	checked, err := kept.Check()
	n.must(err)
	_, secrets := committeeOf4()
	share, err := secrets[1].ShareBatch([]*threshold.Checked{checked})
	n.must(err)
	good := n.shareOf(2, 5, commitreveal.BatchRoot([]threshold.ID{kept.ID()}), 1)
	good.Share.Points = share.Points
	n.must(good.Sign(identity(2)))
	point := func(m *commitreveal.ShareMessage) *EvidenceFile {
		e, err := commitreveal.NewBadPoint(*m, []*threshold.Checked{checked}, 0)
		n.must(err)
		return badShare(e)
	}
	out["bad share"] = accusation{point(n.shareOf(2, 5, commitreveal.BatchRoot([]threshold.ID{kept.ID()}), 1)), point(good), bobOf1, 5, ""}
	forged := *n.shareOf(2, 5, commitreveal.Hash{2}, 1)
	forged.Sig[0]++
	conflict := func(b commitreveal.ShareMessage) *EvidenceFile {
		return badShare(commitreveal.NewConflictingShares(*n.shareOf(2, 5, commitreveal.Hash{1}, 1), b))
	}
	out["conflicting shares"] = accusation{conflict(*n.shareOf(2, 5, commitreveal.Hash{2}, 1)), conflict(forged), bobOf1, 5, ""}

	ceremony := func(evidence string, isConflict bool) *EvidenceFile {
		return &EvidenceFile{ChainID: chainID, Terms: []byte(testTerms), Proof: NewCeremonyFault([]byte(evidence), isConflict)}
	}
	out["conflicting ceremony message"] = accusation{ceremony("conflict", true), ceremony("bad deal", true), "bob in the ceremony of epoch 1", 0, ""}
	fork := func(kind, evidence string) *EvidenceFile { return n.file(NewLogFork(kind, []byte(evidence))) }
	out["receive log fork"] = accusation{fork(KindLogFork, "fork of logs"), fork(KindLogFork, "nothing"), bobOf1, 0, "which of the committees"}
	out["receive times fork"] = accusation{fork(KindTimesFork, "fork of times"), fork(KindTimesFork, "fork of logs"), bobOf1, 0, "which of the committees"}
	out["bad deal"] = accusation{ceremony("bad deal", false), ceremony("nothing", false), "bob in the ceremony of epoch 1", 0, ""}
	return out
}

func ciphertextsOf(n *network, height uint64) (out []Bytes) {
	for _, l := range n.lines {
		if t, ok := l.(*commitreveal.BundleTransaction); ok && t.Height == height {
			out = append(out, t.Ciphertext)
		}
	}
	return out
}

func namespaceRoot(n *network, cts ...*threshold.Ciphertext) commitreveal.Hash {
	var ids []threshold.ID
	var names []string
	for _, ct := range cts {
		ids, names = append(ids, ct.ID()), append(names, ct.Header().Namespace)
	}
	root, err := commitreveal.NamespaceRoot(ids, names)
	n.must(err)
	return root
}

// omission is a proof of the completeness of ct's namespace in a tree over others, or
// over the whole batch if there are none.
func omission(n *network, ct *threshold.Ciphertext, height uint64, others *threshold.Ciphertext) *EvidenceFile {
	var all []*threshold.Ciphertext
	var ids []threshold.ID
	var names []string
	for _, b := range ciphertextsOf(n, height) {
		c, err := threshold.ParseCiphertext(b)
		n.must(err)
		all, ids, names = append(all, c), append(ids, c.ID()), append(names, c.Header().Namespace)
	}
	at := slices.Index(ids, ct.ID())
	path, err := commitreveal.ProveInBatch(ids, at)
	n.must(err)
	if others != nil {
		ids, names = []threshold.ID{others.ID()}, []string{others.Header().Namespace}
	}
	proof, err := commitreveal.ProveNamespace(ids, names, ct.Header().Namespace)
	n.must(err)
	if path == nil {
		path = []commitreveal.Hash{}
	}
	return n.file(&OmittedTransaction{
		Log: n.rangeOf(height), Completeness: marshaled(n, proof), Position: uint32(at), Path: path, Ciphertexts: []Bytes{all[at].Bytes()},
	})
}

// TestEvidence: each kind convinces a judge who has nothing but the file, and none
// convinces it against the innocent.
func TestEvidence(t *testing.T) {
	kinds := map[string]bool{}
	for name, a := range accusations(t) {
		t.Run(name, func(t *testing.T) {
			e := judged(t, a.guilty)
			if e.Who != a.who || e.Height != a.height || e.ChainID != chainID || e.What == "" || len(e.TermsHashes) != 1 {
				t.Errorf("%+v", e)
			}
			if (e.Remains == "") != (a.remains == "") || !strings.Contains(e.Remains, a.remains) {
				t.Errorf("what remains: %q, want %q", e.Remains, a.remains)
			}
			kinds[e.Kind] = true
			if e, err := a.innocent.Verify(testChecks()); !errors.Is(err, ErrNotProved) {
				t.Errorf("the innocent are accused: %+v, %v", e, err)
			}
		})
	}
	for _, kind := range constants(t, "evidence.go", "Kind") {
		if !kinds[kind] {
			t.Errorf("no evidence of kind %q", kind)
		}
	}
}

// TestEvidenceNeedsTheRightCommittee: whoever is not certified accuses nobody.
func TestEvidenceNeedsTheRightCommittee(t *testing.T) {
	for name, a := range accusations(t) {
		if len(a.guilty.Certificates) == 0 {
			continue
		}
		f := *a.guilty
		wrong := bytes.Clone(f.Certificates[0])
		wrong[3]++
		f.Certificates = [][]byte{wrong}
		if _, err := f.Verify(testChecks()); !errors.Is(err, ErrNotProved) {
			t.Errorf("%s: a certificate that does not hold: %v", name, err)
		}
		f.Certificates = [][]byte{a.guilty.Certificates[0], a.guilty.Certificates[0]}
		if _, err := f.Verify(testChecks()); !errors.Is(err, ErrNotProved) {
			t.Errorf("%s: a certificate twice: %v", name, err)
		}
		f = *a.guilty
		f.ChainID = "other"
		if _, err := f.Verify(testChecks()); !errors.Is(err, ErrNotProved) {
			t.Errorf("%s: another chain: %v", name, err)
		}
		if _, err := a.guilty.Verify(Checks{}); err == nil || errors.Is(err, ErrNotProved) {
			t.Errorf("%s: without checks: %v", name, err)
		}
	}
}

// TestEvidenceBytesMatter changes digits all over the files: what still parses proves
// the same, or nothing. (In a split view there may be more signatures than needed.)
func TestEvidenceBytesMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for name, a := range accusations(t) {
		b, err := a.guilty.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "split view") || len(a.guilty.Certificates) == 0 {
			continue
		}
		for range 150 {
			at := rng.IntN(len(b))
			if !hexDigit(b[at]) {
				continue
			}
			bad := bytes.Clone(b)
			bad[at] = hexFlip(b[at], rng.IntN(15))
			f, err := ParseEvidence(bad)
			if err != nil {
				continue
			}
			if e, err := f.Verify(testChecks()); err == nil {
				t.Errorf("%s: byte %d from %q to %q: still proved: %s (%s)", name, at, b[at], bad[at], e, bad[max(0, at-30):at+5])
			}
		}
	}
}

func TestEvidenceForm(t *testing.T) {
	n := honest(t)
	valid, err := n.file(n.newSplit(n.note(2, 1), n.note(4, 1), n.hashes())).Marshal()
	n.must(err)
	for name, change := range map[string]func(s string) string{
		"nothing":        func(string) string { return "" },
		"no line feed":   func(s string) string { return s[:len(s)-1] },
		"two line feeds": func(s string) string { return s + "\n" },
		"spaces":         func(s string) string { return strings.Replace(s, `,`, `, `, 1) },
		"another format": func(s string) string { return strings.Replace(s, "evidence/v1", "evidence/v2", 1) },
		"another kind":   func(s string) string { return strings.Replace(s, "split_view", "wrong_order", 1) },
		"no kind":        func(s string) string { return strings.Replace(s, "split_view", "", 1) },
		"a field more":   func(s string) string { return strings.Replace(s, `"kind"`, `"x":1,"kind"`, 1) },
		"capitals": func(s string) string {
			i := strings.Index(s, `["0x`) + 4
			return s[:i] + strings.ToUpper(s[i:i+40]) + s[i+40:]
		},
		"two values": func(s string) string { return s + s },
		"no certificates": func(s string) string {
			before, rest, _ := strings.Cut(s, `"certificates":`)
			_, after, _ := strings.Cut(rest, `"proof"`)
			return before + `"certificates":[],"proof"` + after
		},
		"terms of a ceremony": func(s string) string { return strings.Replace(s, `"terms":"0x"`, `"terms":"0x01"`, 1) },
	} {
		changed := change(string(valid))
		if changed == string(valid) {
			t.Fatalf("%s changes nothing", name)
		}
		if _, err := ParseEvidence([]byte(changed)); !errors.Is(err, ErrEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseEvidence(make([]byte, MaxEvidenceSize+1)); !errors.Is(err, ErrEvidence) {
		t.Errorf("a huge file: %v", err)
	}
}

// constants gives the values of the string constants of a file whose names begin with
// a prefix.
func constants(t *testing.T, file, prefix string) (values []string) {
	t.Helper()
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(syntax, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) || len(spec.Values) != 1 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			value, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	if len(values) < 5 {
		t.Fatalf("only %d constants %s* in %s", len(values), prefix, file)
	}
	return values
}

// TestCorpus: for each code that the audit finds there is a bundle that breaks this
// and nothing else, and the audit finds exactly it.
func TestCorpus(t *testing.T) {
	alone := map[string]bool{CodeReceipt: true, CodeContradiction: true, CodeLog: true} // TestReceipts
	for _, table := range []map[string]planted{dishonest(), altered(), besides()} {
		for _, p := range table {
			codes := map[string]bool{}
			for _, f := range p.want {
				code, _, _ := strings.Cut(f, " ")
				codes[code] = true
			}
			if len(codes) == 1 {
				for code := range codes {
					alone[code] = true
				}
			}
		}
	}
	for _, code := range constants(t, "report.go", "Code") {
		if !alone[code] {
			t.Errorf("nothing in the corpus breaks %q alone", code)
		}
	}
}

// besides are faults of what is held against an honest log: checkpoints and evidence.
// What they want is found with the options of besideOptions.
func besides() map[string]planted {
	nothing := func(*network) {}
	return map[string]planted{
		"a checkpoint of another root":      {nothing, []string{"log_root 0 member 2 (bob) of epoch 1"}, nil},
		"a stranger's checkpoint":           {nothing, []string{"log_root 0 bundle"}, nil},
		"a checkpoint with a bad signature": {nothing, []string{"policy 0 bundle"}, nil},
		"a split view":                      {nothing, []string{"split_view 0 member 2 (bob) of epoch 1"}, nil},
	}
}

func besideOptions(t *testing.T, n *network, name string) Options {
	other := newNetwork(t)
	other.block(3, other.seal("of another log"))
	other.block(4, other.seal("b"))
	var members []ed25519.PublicKey
	for j := range uint32(4) {
		members = append(members, identity(j+1).Public().(ed25519.PublicKey))
	}
	policy, err := note.ParsePolicy(note.CommitteePolicy(chainID, members, 1))
	n.must(err)
	var o Options
	switch name {
	case "a checkpoint of another root":
		o.Checkpoints = []SignedNote{{Name: "bob's", Text: other.note(4, 2)}}
	case "a stranger's checkpoint":
		o.Checkpoints = []SignedNote{{Name: "a stranger's", Text: other.note(4, 9)}}
	case "a checkpoint with a bad signature":
		signed := n.note(4, 1, 2)
		lines := bytes.SplitAfter(signed, []byte("\n"))
		cosigned := lines[len(lines)-2]
		at := len(cosigned) - 12
		cosigned[at] = map[bool]byte{true: 'B', false: 'A'}[cosigned[at] == 'A']
		o.Checkpoints, o.Policy = []SignedNote{{Name: "changed", Text: bytes.Join(lines, nil), Policy: true}}, policy
	case "a split view":
		b, err := n.file(n.newSplit(n.note(4, 2), other.note(4, 2), nil)).Marshal()
		n.must(err)
		o.Evidence = []EvidenceBody{{"split.json", b}}
	default:
		t.Fatal(name)
	}
	return o
}

func TestBesides(t *testing.T) {
	for name, tt := range besides() {
		t.Run(name, func(t *testing.T) {
			n := honest(t)
			r := run(t, n.bundle(), besideOptions(t, n, name))
			if got := short(r); !slices.Equal(got, tt.want) || r.Verdict != Violated {
				t.Errorf("%s: %q, want %q; %v", r.Verdict, got, tt.want, r.Findings)
			}
		})
	}
}

func TestCheckpoints(t *testing.T) {
	n := honest(t)
	beyond := newNetwork(t)
	for h := uint64(3); h < 9; h++ {
		beyond.block(h, beyond.seal("x"))
	}
	foreign := []byte(strings.Replace(string(n.note(4, 1)), "scrim/", "scrim/x", 1))
	for name, tt := range map[string]struct {
		text    []byte
		verdict Verdict
		matches bool
		signers int
	}{
		"of the whole log":       {n.note(n.log.Size(), 1), Verified, true, 1},
		"of an earlier one":      {n.note(2, 3, 4), Verified, true, 2},
		"of nobody":              {n.note(2, 9), CannotTell, true, 0},
		"beyond the log":         {beyond.note(12, 1), CannotTell, false, 1},
		"not a note":             {[]byte("x"), CannotTell, false, 0},
		"of another chain":       {foreign, Violated, false, 0},
		"of the empty beginning": {n.note(0, 1), Verified, true, 1},
	} {
		r := run(t, n.bundle(), Options{Checkpoints: []SignedNote{{Name: name, Text: tt.text}}})
		if r.Verdict != tt.verdict {
			t.Errorf("%s: %s, want %s: %v %v", name, r.Verdict, tt.verdict, r.Missing, r.Findings)
		}
		if len(r.Checkpoints) == 1 && (r.Checkpoints[0].Matches != tt.matches || len(r.Checkpoints[0].Signers) != tt.signers) {
			t.Errorf("%s: %+v", name, r.Checkpoints[0])
		}
	}
}

func TestEvidenceBeside(t *testing.T) {
	n := honest(t)
	a := accusations(t)
	file, err := a["conflicting shares"].guilty.Marshal()
	n.must(err)
	bare := a["bad share"].guilty.Proof.(*BadShare).Evidence
	r := run(t, n.bundle(), Options{Evidence: []EvidenceBody{{"file", file}, {"bare", bare}, {"junk", []byte("junk")}, {"ceremony", []byte("conflict")}, {"logs", []byte("fork of logs")}}})
	if r.Verdict != Verified || len(r.Evidence) != 5 || !r.Evidence[4].Proved || !r.Evidence[0].Proved || !r.Evidence[1].Proved || r.Evidence[2].Proved || r.Evidence[2].Why == "" || !r.Evidence[3].Proved {
		t.Errorf("%s %+v", r.Verdict, r.Evidence)
	}
	if e := judged(t, r.Evidence[3].File); e.Kind != KindCeremonyConflict {
		t.Errorf("%+v", e)
	}
	if e := judged(t, r.Evidence[1].File); e.Who != bobOf1 {
		t.Errorf("%+v", e)
	}
	if e := judged(t, r.Evidence[4].File); e.Who != bobOf1 || e.Kind != KindLogFork {
		t.Errorf("%+v", e)
	}
}

// TestPackEvidence: what a node serves becomes the same file with the certificates beside it.
func TestPackEvidence(t *testing.T) {
	n := honest(t)
	for name, tt := range map[string]struct {
		body []byte
		kind string
	}{
		"a bad share": {accusations(t)["bad share"].guilty.Proof.(*BadShare).Evidence, KindBadShare},
		"a ceremony":  {[]byte("bad deal"), KindBadDeal},
		"two logs":    {[]byte("fork of logs"), KindLogFork},
	} {
		f, err := PackEvidence(testChecks(), tt.body, nil, n.certificate())
		n.must(err)
		if e := judged(t, f); e.Kind != tt.kind {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if _, err := PackEvidence(testChecks(), []byte("junk"), nil, n.certificate()); !errors.Is(err, ErrEvidence) {
		t.Errorf("junk: %v", err)
	}
	if _, err := PackEvidence(testChecks(), []byte("fork of logs"), nil, []byte("no certificate")); err == nil {
		t.Error("a committee that nobody certified")
	}
	if _, err := PackEvidence(Checks{}, []byte("fork of logs"), nil, n.certificate()); err == nil {
		t.Error("without checks")
	}
}

// FuzzTwoNotes: what is read as two notes is written as these bytes.
func FuzzTwoNotes(f *testing.F) {
	n := honest(f)
	a, b := n.note(4, 1), n.note(6, 1)
	body := func(a, b []byte) []byte {
		out := append(binary.BigEndian.AppendUint32(nil, uint32(len(a))), a...)
		return append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
	}
	certificate := n.certificate()
	f.Add(body(a, b))
	f.Add(body(a, nil))
	f.Add([]byte("fork of logs"))
	f.Add([]byte("bad deal"))
	f.Add(n.badPoint(false))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, y, ok := twoNotes(b)
		if ok && (len(x) == 0 || len(y) == 0 || !bytes.Equal(body(x, y), b)) {
			t.Errorf("%x is read as %x and %x", b, x, y)
		}
		if f, err := PackEvidence(testChecks(), b, nil, certificate); (err == nil) != (f != nil && f.Proof != nil) {
			t.Errorf("%x is packed as %v, %v", b, f, err)
		}
	})
}

// TestNotesBeside: nodes keep a split view as two notes. Of two sizes the tree is
// needed.
func TestNotesBeside(t *testing.T) {
	n, other := honest(t), newNetwork(t)
	other.block(3, other.seal("of another log"))
	other.block(4, other.seal("b"))
	body := func(a, b []byte) []EvidenceBody {
		out := append(binary.BigEndian.AppendUint32(nil, uint32(len(a))), a...)
		return []EvidenceBody{{"notes", append(append(out, byte(len(b)>>24), byte(len(b)>>16), byte(len(b)>>8), byte(len(b))), b...)}}
	}
	two := body(other.note(4, 2), n.note(6, 2))
	for name, tt := range map[string]struct {
		o       Options
		verdict Verdict
	}{
		"of one size":              {Options{Evidence: body(other.note(4, 2), n.note(4, 2))}, Violated},
		"of two":                   {Options{Evidence: two, Tree: n.hashes()}, Violated},
		"of two, without the tree": {Options{Evidence: two}, Verified},
		"of one log":               {Options{Evidence: body(n.note(4, 2), n.note(6, 2)), Tree: n.hashes()}, Verified},
		"cut":                      {Options{Evidence: []EvidenceBody{{"notes", two[0].Body[:100]}}}, Verified},
	} {
		r := run(t, n.bundle(), tt.o)
		if r.Verdict != tt.verdict || r.Evidence[0].Proved != (tt.verdict == Violated) {
			t.Errorf("%s: %s %+v", name, r.Verdict, r.Evidence)
		}
		if tt.verdict == Violated && r.Findings[0].Who != bobOf1 {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}

func TestTxProof(t *testing.T) {
	n := honest(t)
	tx := n.lines[4].(*commitreveal.BundleTransaction)
	ct, err := threshold.ParseCiphertext(tx.Ciphertext)
	n.must(err)
	prove := func(id threshold.ID) *TxProof {
		p, err := ProveTx(n.reader(), testChecks(), id)
		n.must(err)
		return p
	}
	p := prove(ct.ID())
	p.Receipts = []commitreveal.Receipt{receipt(t, 2, ct, 1, commitreveal.Hash{})}
	b, err := p.Marshal()
	n.must(err)
	read, err := ParseTxProof(b)
	n.must(err)
	termsHash := sha256.Sum256([]byte(testTerms))
	r, err := recorded(read.Verify(testChecks(), &termsHash))
	n.must(err)
	if r.Verdict != Verified || !bytes.Equal(r.Plaintext, tx.Plaintext) || r.Height != 3 || r.Count != 3 || !r.Anchored || r.Receipts[0].Status != ReceiptKept || r.Namespace != "rollup-a" {
		t.Errorf("%+v", r)
	}
	wrong := [32]byte{1}
	if r, err := recorded(read.Verify(testChecks(), &wrong)); err != nil || r.Verdict != CannotTell {
		t.Errorf("another committee: %+v, %v", r, err)
	}
	void, err := threshold.ParseCiphertext(n.lines[voidAt(n)].(*commitreveal.BundleTransaction).Ciphertext)
	n.must(err)
	if r, err := recorded(prove(void.ID()).Verify(testChecks(), nil)); err != nil || r.Verdict != Verified || !r.Void {
		t.Errorf("a void: %+v, %v", r, err)
	}
	if _, err := ProveTx(n.reader(), testChecks(), threshold.ID{1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}
	pending, err := threshold.ParseCiphertext(n.lines[18].(*commitreveal.BundleTransaction).Ciphertext)
	n.must(err)
	if _, err := ProveTx(n.reader(), testChecks(), pending.ID()); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is not certified: %v", err)
	}
	for name, tt := range map[string]struct {
		receipt commitreveal.Receipt
		verdict Verdict
		status  string
	}{
		"of another ciphertext": {receipt(t, 2, void, 1, commitreveal.Hash{}), CannotTell, ReceiptInvalid},
		"of a stranger":         {receipt(t, 5, ct, 1, commitreveal.Hash{}), CannotTell, ReceiptInvalid},
		"until an earlier block": {func() commitreveal.Receipt {
			r := receipt(t, 2, ct, 1, commitreveal.Hash{})
			r.ValidUntil = 2
			n.must(commitreveal.SignReceipt(identity(2), &r))
			return r
		}(), Violated, ReceiptBroken},
	} {
		p.Receipts = []commitreveal.Receipt{tt.receipt}
		if r, err := recorded(p.Verify(testChecks(), nil)); err != nil || r.Verdict != tt.verdict || r.Receipts[0].Status != tt.status {
			t.Errorf("receipt %s: %+v, %v", name, r, err)
		}
	}
}

func voidAt(n *network) int {
	if n.lines[9].(*commitreveal.BundleTransaction).Void {
		return 9
	}
	return 10
}

// TestTxProofLies changes each part of a transaction's proof.
func TestTxProofLies(t *testing.T) {
	n := honest(t)
	first := n.lines[4].(*commitreveal.BundleTransaction)
	ct, err := threshold.ParseCiphertext(first.Ciphertext)
	n.must(err)
	second := n.lines[5].(*commitreveal.BundleTransaction)
	for name, tt := range map[string]struct {
		change func(p *note.Proof, tx *commitreveal.TransactionProof)
		code   string
	}{
		"ciphertext": {func(_ *note.Proof, tx *commitreveal.TransactionProof) { tx.Ciphertext = second.Ciphertext }, CodeBatchRoot},
		"position":   {func(_ *note.Proof, tx *commitreveal.TransactionProof) { tx.Position = 1 }, CodeBatchRoot},
		"entry":      {func(_ *note.Proof, tx *commitreveal.TransactionProof) { tx.Entry.Rounds[0]++ }, CodeLogRoot},
		"height":     {func(_ *note.Proof, tx *commitreveal.TransactionProof) { tx.Entry.Height++ }, CodeLogRoot},
		"opening":    {func(_ *note.Proof, tx *commitreveal.TransactionProof) { tx.Opening = second.Opening }, CodeOpening},
		"log's path": {func(p *note.Proof, _ *commitreveal.TransactionProof) { p.Path[0][0]++ }, CodeLogRoot},
		"index":      {func(p *note.Proof, _ *commitreveal.TransactionProof) { p.Index = 0 }, CodeLogRoot},
		"signature":  {func(p *note.Proof, _ *commitreveal.TransactionProof) { p.Note.Signatures[0].Data[90] ^= 1 }, CodeCertificate},
		"signature on another batch": {func(p *note.Proof, tx *commitreveal.TransactionProof) {
			cp := commitreveal.Checkpoint{ChainID: chainID, Height: 3, Epoch: 1, BatchRoot: commitreveal.Hash{1}, LogSize: p.Index + 1}
			head, err := note.ParseCheckpoint(p.Note.Text)
			n.must(err)
			cp.LogRoot = head.Root
			c, _ := committeeOf4()
			p.Note.Signatures[0] = note.CertificateLine(c.Key, cp, n.sign(cp))
		}, CodeCertificate},
		"no opening": {func(_ *note.Proof, tx *commitreveal.TransactionProof) { tx.Opening = nil }, ""},
		"no signature of the committee": {func(p *note.Proof, _ *commitreveal.TransactionProof) {
			p.Note.Signatures = []note.Signature{note.SignLog(identity(1), chainID, p.Note.Text)}
		}, ""},
	} {
		p, err := ProveTx(n.reader(), testChecks(), ct.ID())
		n.must(err)
		proof, err := note.ParseProof(p.Proof)
		n.must(err)
		tx, err := commitreveal.ParseTransactionProof(proof.Extra)
		n.must(err)
		tt.change(proof, tx)
		proof.Extra, err = tx.MarshalBinary()
		n.must(err)
		p.Proof, err = proof.Marshal()
		n.must(err)
		r, err := recorded(p.Verify(testChecks(), nil))
		n.must(err)
		if tt.code == "" {
			if r.Verdict != CannotTell {
				t.Errorf("%s: %+v", name, r)
			}
			continue
		}
		if r.Verdict != Violated || len(r.Findings) != 1 || r.Findings[0].Code != tt.code || r.Findings[0].Who != WhoProof {
			t.Errorf("%s: %s %+v %v", name, r.Verdict, r.Findings, r.Missing)
		}
	}
}

// TestTxProofOfADishonestCommittee: what the committee signed and should not have is its fault, and not that of who made the proof.
func TestTxProofOfADishonestCommittee(t *testing.T) {
	otherCommittee, _ := thresholdtest.Deal("other", 1, 4, 3)
	for name, tt := range map[string]struct {
		seal func(n *network) *threshold.Ciphertext
		code string
	}{
		"too late": {func(n *network) *threshold.Ciphertext { return n.seal("x", validUntil(2)) }, CodeExpired},
		"other chain": {func(n *network) *threshold.Ciphertext {
			return n.seal("x", func(o *threshold.SealOptions) { o.ChainID = "other" })
		}, CodeChain},
		"other key": {func(n *network) *threshold.Ciphertext {
			ct, err := threshold.Seal(n.rng, otherCommittee.Key, sealOptions(), []byte("x"))
			n.must(err)
			return ct
		}, CodeKey},
		"no proof": {func(n *network) *threshold.Ciphertext {
			b := n.seal("x").Bytes()
			b[len(b)-1]++
			ct, err := threshold.ParseCiphertext(b)
			n.must(err)
			return ct
		}, CodeProof},
	} {
		n := newNetwork(t)
		ct := tt.seal(n)
		n.block(3, ct)
		n.block(4, n.seal("y"))
		p, err := ProveTx(n.reader(), testChecks(), ct.ID())
		n.must(err)
		r, err := recorded(p.Verify(testChecks(), nil))
		n.must(err)
		if r.Verdict != Violated || len(r.Findings) != 1 || r.Findings[0].Code != tt.code || r.Findings[0].Who != committeeOf {
			t.Errorf("%s: %s %+v %v", name, r.Verdict, r.Findings, r.Missing)
		}
	}
	n := honest(t)
	ct, err := threshold.ParseCiphertext(ciphertextsOf(n, 3)[0])
	n.must(err)
	p, err := ProveTx(n.reader(), testChecks(), ct.ID())
	n.must(err)
	proof, err := note.ParseProof(p.Proof)
	n.must(err)
	proof.Extra = []byte("nothing of ours")
	p.Proof, err = proof.Marshal()
	n.must(err)
	if r, err := recorded(p.Verify(testChecks(), nil)); err != nil || r.Verdict != CannotTell {
		t.Errorf("an extra part that cannot be read: %+v, %v", r, err)
	}
}

func TestLastPath(t *testing.T) {
	var log commitreveal.Log
	for i := range 40 {
		entry, err := commitreveal.MarshalEntry(commitreveal.VoidEntry{Height: uint64(i + 1)})
		if err != nil {
			t.Fatal(err)
		}
		path, err := lastPath(log)
		if err != nil {
			t.Fatal(err)
		}
		if log, _, err = log.Append(entry); err != nil {
			t.Fatal(err)
		}
		if err := tiles.CheckInclusion(path, log.Size(), log.Root(), log.Size()-1, commitreveal.Hash(tlog.RecordHash(entry))); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

func FuzzParseEvidence(f *testing.F) {
	for _, a := range accusations(f) {
		b, err := a.guilty.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEvidence(b)
		if err != nil {
			return
		}
		again, err := e.Marshal()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("two spellings: %v", err)
		}
		_, _ = e.Verify(testChecks())
	})
}

func FuzzParseTxProof(f *testing.F) {
	n := honest(f)
	for _, i := range []int{4, 9, 10} {
		ct, err := threshold.ParseCiphertext(n.lines[i].(*commitreveal.BundleTransaction).Ciphertext)
		n.must(err)
		p, err := ProveTx(n.reader(), testChecks(), ct.ID())
		n.must(err)
		p.Receipts = []commitreveal.Receipt{receipt(f, 2, ct, 1, commitreveal.Hash{})}
		b, err := p.Marshal()
		n.must(err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseTxProof(b)
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
