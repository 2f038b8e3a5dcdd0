package commitreveal

import (
	"bytes"
	"encoding"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/threshold"
)

var update = flag.Bool("update", false, "rewrite testdata/golden")

// format is one wire format: how to parse it, what encodes it, and values that
// pin its bytes in testdata/golden/<name>*.hex, which also seed its fuzz target.
type format struct {
	name    string
	reparse func([]byte) ([]byte, error) // Marshal(Parse(b))
	samples func(t testing.TB) map[string][]byte
}

func must(t testing.TB) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func reparse[T encoding.BinaryMarshaler](parse func([]byte) (T, error)) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		v, err := parse(b)
		if err != nil {
			return nil, err
		}
		again, err := v.MarshalBinary()
		if err != nil {
			return nil, errors.Join(errUnmarshalable, err)
		}
		return again, nil
	}
}

var errUnmarshalable = errors.New("parsed, but has no encoding")

var (
	entryFormat = format{"entry", func(b []byte) ([]byte, error) {
		e, err := ParseEntry(b)
		if err != nil {
			return nil, err
		}
		again, err := MarshalEntry(e)
		if err != nil {
			return nil, errors.Join(errUnmarshalable, err)
		}
		return again, nil
	}, func(t testing.TB) map[string][]byte {
		c, _ := committeeOf4()
		committee, err := NewCommitteeEntry(3, []byte("certificate"), c)
		if err != nil {
			t.Fatal(err)
		}
		return map[string][]byte{
			"committee":    must(t)(MarshalEntry(committee)),
			"commit":       must(t)(MarshalEntry(CommitEntry{Height: 7, Epoch: 1, KeyID: threshold.KeyID(id("key")), Count: 3, Root: BatchRoot(ids("a,b,c")), Rounds: [32]byte{9}, Namespaces: Hash{8}})),
			"reveal":       must(t)(MarshalEntry(RevealEntry{Height: 7, Root: BatchRoot(ids("a,b,c")), Openings: Hash{4}, Order: Hash{7}, Voids: 1, Certificate: threshold.Signature{5}})),
			"void":         must(t)(MarshalEntry(VoidEntry{Height: 7, Position: 2, ID: id("c"), Opening: threshold.Opening{6}})),
			"expired":      must(t)(MarshalEntry(ExpiredEntry{Height: 101, ID: id("d"), ValidUntil: 100, Reason: ReasonTooLate})),
			"misbehaviour": must(t)(MarshalEntry(MisbehaviourEntry{Height: 9, Epoch: 1, Member: 3, Kind: "bad_point", Evidence: EvidenceHash([]byte("evidence"))})),
		}
	}}
	checkpointFormat = format{"checkpoint", reparse(ParseCheckpoint), func(t testing.TB) map[string][]byte {
		c := Checkpoint{ChainID: chainID, Height: 7, Epoch: 1, BatchRoot: BatchRoot(ids("a,b,c")), LogSize: 2, LogRoot: Hash{6}}
		return map[string][]byte{"": must(t)(c.MarshalBinary())}
	}}
	receiptFormat = format{"receipt", reparse(ParseReceipt), func(t testing.TB) map[string][]byte {
		r := testReceipt(t)
		return map[string][]byte{"": must(t)(r.MarshalBinary())}
	}}
	logFormat = format{"log", reparse(ParseLog), func(t testing.TB) map[string][]byte {
		l := Log{}
		for i := range 6 {
			l = mustAppend(t, l, []byte{byte(i)})
		}
		return map[string][]byte{"empty": must(t)(Log{}.MarshalBinary()), "six": must(t)(l.MarshalBinary())}
	}}
	shareFormat = format{"share", reparse(func(b []byte) (*ShareMessage, error) { return ParseShareMessage(b, 8) }), func(t testing.TB) map[string][]byte {
		m := plainShare("a,b")
		return map[string][]byte{"": must(t)(m.MarshalBinary())}
	}}
	evidenceFormat = format{"evidence", func(b []byte) ([]byte, error) {
		e, err := ParseEvidence(b)
		if err != nil {
			return nil, err
		}
		again, err := MarshalEvidence(e)
		if err != nil {
			return nil, errors.Join(errUnmarshalable, err)
		}
		return again, nil
	}, func(t testing.TB) map[string][]byte {
		m := plainShare("a,b")
		cp := Checkpoint{ChainID: chainID, Height: 7, Epoch: 1, BatchRoot: m.Root, LogSize: 2, LogRoot: Hash{6}}
		return map[string][]byte{
			"bad-point":     must(t)(MarshalEvidence(&BadPoint{Message: m, Position: 1, Count: 2, Ciphertext: []byte("ciphertext"), Proof: []Hash{{1}}})),
			"bad-signature": must(t)(MarshalEvidence(&BadSignature{Message: m, Checkpoint: cp, Certificate: threshold.Signature{1}})),
			"conflict":      must(t)(MarshalEvidence(NewConflictingShares(m, plainShare("b,a")))),
		}
	}}
	namespaceFormat = format{"namespace-proof", reparse(ParseNamespaceProof), func(t testing.TB) map[string][]byte {
		out := map[string][]byte{}
		for sample, name := range map[string]string{"all": "b", "between": "bb", "first": "a0", "last": "d"} {
			p, err := ProveNamespace(ids("a,b,c,d,e"), []string{"b", "c", "b", "aa", "b"}, name)
			if err != nil {
				t.Fatal(err)
			}
			out[sample] = must(t)(p.MarshalBinary())
		}
		return out
	}}
	txProofFormat = format{"tx-proof", reparse(ParseTransactionProof), func(t testing.TB) map[string][]byte {
		path, err := ProveInBatch(ids("a,b,c"), 1)
		if err != nil {
			t.Fatal(err)
		}
		p := TransactionProof{Entry: CommitEntry{Height: 7, Epoch: 1, Count: 3, Root: BatchRoot(ids("a,b,c"))}, Position: 1, Path: path, Ciphertext: []byte("ciphertext")}
		opened := p
		opened.Opening = &threshold.Opening{5}
		return map[string][]byte{"closed": must(t)(p.MarshalBinary()), "opened": must(t)(opened.MarshalBinary())}
	}}
	formats = []format{namespaceFormat, txProofFormat, entryFormat, checkpointFormat, receiptFormat, logFormat, shareFormat, evidenceFormat}
)

// plainShare is a share message whose points are no points, which parsing does
// not mind.
func plainShare(names string) ShareMessage {
	m := ShareMessage{ChainID: chainID, Epoch: 1, Height: 7, Root: BatchRoot(ids(names))}
	m.Share = threshold.BatchShare{Member: 2, Points: [][threshold.PointSize]byte{{1}, {2}}}
	m.Signature = threshold.SignatureShare{Member: 2, Point: [threshold.PointSize]byte{3}}
	m.Sig[0] = 4
	return m
}

func (f format) seeds(t testing.TB) map[string][]byte {
	files, err := filepath.Glob(filepath.Join("testdata", "golden", f.name+"*.hex"))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]byte)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[filepath.Base(file)] = b
	}
	if len(out) == 0 {
		t.Fatalf("the seed corpus of %s is empty: testdata/golden/%s*.hex", f.name, f.name)
	}
	return out
}

func goldenName(name, sample string) string {
	return strings.TrimSuffix(name+"-"+sample, "-") + ".hex"
}

// TestGolden pins the bytes of every format.
func TestGolden(t *testing.T) {
	for _, f := range formats {
		samples := f.samples(t)
		if *update {
			for sample, b := range samples {
				var text strings.Builder
				for line := range strings.SplitSeq(hex.EncodeToString(b), "") {
					text.WriteString(line)
					if text.Len()%97 == 96 {
						text.WriteString("\n")
					}
				}
				if err := os.WriteFile(filepath.Join("testdata", "golden", goldenName(f.name, sample)), []byte(strings.TrimSpace(text.String())+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		seeds := f.seeds(t)
		if len(seeds) != len(samples) {
			t.Errorf("%s: %d golden files for %d samples", f.name, len(seeds), len(samples))
		}
		for sample, want := range samples {
			file := goldenName(f.name, sample)
			if diff := cmp.Diff(hex.Dump(seeds[file]), hex.Dump(want)); diff != "" {
				t.Errorf("%s: the wire format has changed: -golden +now:\n%s", file, diff)
			}
		}
	}
}

// TestDecodersAreStrict cuts, extends and alters every golden encoding: what is
// accepted must encode to the very same bytes.
func TestDecodersAreStrict(t *testing.T) {
	for _, f := range formats {
		for name, good := range f.seeds(t) {
			if again, err := f.reparse(good); err != nil || !bytes.Equal(again, good) {
				t.Errorf("%s: %v", name, err)
			}
			for n := range good {
				if _, err := f.reparse(good[:n]); !errors.Is(err, ErrEncoding) {
					t.Errorf("%s cut to %d bytes: %v", name, n, err)
				}
			}
			if _, err := f.reparse(append(bytes.Clone(good), 0)); !errors.Is(err, ErrEncoding) {
				t.Errorf("%s with a byte too many: %v", name, err)
			}
			for i := range good {
				for _, bit := range []byte{0x01, 0x80} {
					bad := bytes.Clone(good)
					bad[i] ^= bit
					checkReparse(t, f, bad)
				}
			}
		}
	}
}

// checkReparse holds for every input: an error of its own kind, or the same
// bytes.
func checkReparse(t testing.TB, f format, b []byte) {
	t.Helper()
	again, err := f.reparse(b)
	switch {
	case err == nil && !bytes.Equal(again, b):
		t.Errorf("%s: %x parses, and encodes to %x", f.name, b, again)
	case errors.Is(err, errUnmarshalable):
		t.Errorf("%s: %x: %v", f.name, b, err)
	case err != nil && !errors.Is(err, ErrEncoding):
		t.Errorf("%s: %x: the error is not ErrEncoding: %v", f.name, b, err)
	}
}

func fuzzFormat(f *testing.F, fm format) {
	for _, seed := range fm.seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkReparse(t, fm, b) })
}

func FuzzEntry(f *testing.F)            { fuzzFormat(f, entryFormat) }
func FuzzCheckpoint(f *testing.F)       { fuzzFormat(f, checkpointFormat) }
func FuzzReceipt(f *testing.F)          { fuzzFormat(f, receiptFormat) }
func FuzzLog(f *testing.F)              { fuzzFormat(f, logFormat) }
func FuzzShare(f *testing.F)            { fuzzFormat(f, shareFormat) }
func FuzzNamespaceProof(f *testing.F)   { fuzzFormat(f, namespaceFormat) }
func FuzzTransactionProof(f *testing.F) { fuzzFormat(f, txProofFormat) }
func FuzzEvidence(f *testing.F)         { fuzzFormat(f, evidenceFormat) }

func TestMarshalRefuses(t *testing.T) {
	c, _ := committeeOf4()
	root := BatchRoot(ids("a"))
	share := func(change func(m *ShareMessage)) error {
		m := plainShare("a,b")
		change(&m)
		_, err := m.MarshalBinary()
		return err
	}
	entry := func(e Entry) error { _, err := MarshalEntry(e); return err }
	committeeEntry := func(certificate []byte, c *threshold.Committee) error {
		_, err := NewCommitteeEntry(1, certificate, c)
		return err
	}
	tests := map[string]error{
		"no entry":                entry(nil),
		"committee, no cert":      committeeEntry(nil, c),
		"committee, no committee": committeeEntry([]byte("c"), nil),
		"committee, large cert":   committeeEntry(make([]byte, MaxCertificateSize+1), c),
		"void, height 0":          entry(VoidEntry{}),
		"void, position":          entry(VoidEntry{Height: 1, Position: MaxBatch}),
		"expired, too early":      entry(ExpiredEntry{Height: 7, ValidUntil: 7, Reason: ReasonTooLate}),
		"expired, height 0":       entry(ExpiredEntry{Reason: ReasonKey}),
		"expired, no reason":      entry(ExpiredEntry{Height: 7, ValidUntil: 6}),
		"expired, unknown reason": entry(ExpiredEntry{Height: 7, ValidUntil: 6, Reason: ReasonInvalid + 1}),
		"misbehaviour, height 0":  entry(MisbehaviourEntry{Member: 1, Kind: "x"}),
		"misbehaviour, member":    entry(MisbehaviourEntry{Height: 1, Kind: "x"}),
		"misbehaviour, speaker":   entry(MisbehaviourEntry{Height: 1, Member: 2*threshold.MaxMembers + 1, Kind: "x"}),
		"misbehaviour, no kind":   entry(MisbehaviourEntry{Height: 1, Member: 1}),
		"misbehaviour, kind":      entry(MisbehaviourEntry{Height: 1, Member: 1, Kind: "Bad"}),
		"misbehaviour, long kind": entry(MisbehaviourEntry{Height: 1, Member: 1, Kind: strings.Repeat("x", MaxMisbehaviourKind+1)}),
		"commit, height 0":        entry(CommitEntry{Count: 1, Root: root}),
		"commit, count 0":         entry(CommitEntry{Height: 1, Root: root}),
		"commit, count too large": entry(CommitEntry{Height: 1, Count: MaxBatch + 1, Root: root}),
		"reveal, height 0":        entry(RevealEntry{}),
		"reveal, voids too many":  entry(RevealEntry{Height: 1, Voids: MaxBatch + 1}),
		"share, chain id":         share(func(m *ShareMessage) { m.ChainID = "" }),
		"share, height 0":         share(func(m *ShareMessage) { m.Height = 0 }),
		"share, no member":        share(func(m *ShareMessage) { m.Share.Member, m.Signature.Member = 0, 0 }),
		"share, two members":      share(func(m *ShareMessage) { m.Signature.Member = 3 }),
		"share, no points":        share(func(m *ShareMessage) { m.Share.Points = nil }),
		"share, too many points":  share(func(m *ShareMessage) { m.Share.Points = make([][48]byte, MaxBatch+1) }),
	}
	for name, err := range tests {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, cp := range map[string]Checkpoint{
		"chain id": {Height: 1, LogSize: 1}, "height": {ChainID: chainID, LogSize: 1}, "log size": {ChainID: chainID, Height: 1},
	} {
		if _, err := cp.MarshalBinary(); !errors.Is(err, ErrInvalid) {
			t.Errorf("checkpoint, %s: %v", name, err)
		}
	}
}

func TestHashText(t *testing.T) {
	h := Hash(id("x"))
	text, err := h.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var again Hash
	if err := again.UnmarshalText(text); err != nil || again != h {
		t.Errorf("got %s, %v", again, err)
	}
	for name, s := range map[string]string{
		"empty": "", "no 0x": string(text[2:]), "short": string(text[:64]), "long": string(text) + "0",
		"capitals": "0x" + strings.ToUpper(string(text[2:])), "0X": "0X" + string(text[2:]), "not hex": "0x" + strings.Repeat("g", 64),
	} {
		if err := again.UnmarshalText([]byte(s)); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEntriesFitTiles: the largest entry of each kind is far from what an entry bundle can hold; what grows with a batch or a
// committee is beside the log.
func TestEntriesFitTiles(t *testing.T) {
	c, _ := committeeOf4()
	largest, err := NewCommitteeEntry(1<<63, make([]byte, MaxCertificateSize), c)
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]Entry{
		"committee":    largest,
		"commit":       CommitEntry{Height: 1 << 63, Epoch: 1 << 63, Count: MaxBatch},
		"reveal":       RevealEntry{Height: 1 << 63, Voids: MaxBatch},
		"void":         VoidEntry{Height: 1 << 63, Position: MaxBatch - 1},
		"expired":      ExpiredEntry{Height: 1<<64 - 1, ValidUntil: 1 << 63, Reason: ReasonTooLate},
		"misbehaviour": MisbehaviourEntry{Height: 1 << 63, Epoch: 1 << 63, Member: threshold.MaxMembers, Kind: strings.Repeat("x", MaxMisbehaviourKind)},
	} {
		if b := must(t)(MarshalEntry(e)); len(b) > 256 || len(b) > MaxEntrySize {
			t.Errorf("%s: %d bytes", name, len(b))
		}
	}
}
