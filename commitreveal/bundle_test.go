package commitreveal

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/threshold"
)

// bundleLines is a small bundle of every kind of line. Its contents are in
// order; whether they are true is package audit's business.
func bundleLines(t testing.TB) []BundleLine {
	t.Helper()
	commit := func(height uint64, names string) []byte {
		b, err := NewBatch(height, 1, ids(names))
		if err != nil {
			t.Fatal(err)
		}
		c, err := b.Commit(threshold.KeyID{1}, [32]byte{}, namespaces(len(b.IDs)))
		if err != nil {
			t.Fatal(err)
		}
		return must(t)(MarshalEntry(c))
	}
	committee := must(t)(MarshalEntry(CommitteeEntry{Height: 3, Epoch: 1, Certificate: CertificateHash([]byte("certificate"))}))
	reveal := must(t)(MarshalEntry(RevealEntry{Height: 7}))
	return []BundleLine{
		&BundleHeader{chainID, []byte("terms"), []byte("limits")},
		&BundleEntry{0, committee},
		&BundleCertificate{[]byte("certificate")},
		&BundleRound{Height: 5, Section: []byte("said")},
		&BundleRound{Height: 6, Aside: [][]byte{[]byte("x"), []byte("y")}},
		&BundleEntry{1, commit(7, "a,b,c")},
		&BundleTransaction{Height: 7, Position: 0, Ciphertext: []byte("a"), Opening: &threshold.Opening{1}, Plaintext: []byte("x")},
		&BundleTransaction{Height: 7, Position: 1, Ciphertext: []byte("b"), Opening: &threshold.Opening{2}, Void: true},
		&BundleTransaction{Height: 7, Position: 2, Ciphertext: []byte("c"), Opening: &threshold.Opening{3}, Plaintext: []byte{}},
		&BundleEntry{2, reveal},
		&BundleEntry{3, commit(8, "d")},
		&BundleTransaction{Height: 8, Position: 0, Ciphertext: []byte("d")},
		&BundleEnd{4, 4},
	}
}

func writeBundle(lines []BundleLine) ([]byte, error) {
	var out bytes.Buffer
	w, err := NewBundleWriter(&out, *lines[0].(*BundleHeader))
	if err != nil {
		return nil, err
	}
	for _, l := range lines[1:] {
		switch l := l.(type) {
		case *BundleEntry:
			w.Entry(l.Index, l.Entry)
		case *BundleCertificate:
			w.Certificate(l.Certificate)
		case *BundleRound:
			w.Round(*l)
		case *BundleTransaction:
			w.Transaction(*l)
		}
	}
	err = w.Close()
	return out.Bytes(), err
}

func readBundle(b []byte) (lines []BundleLine, err error) {
	r := NewBundleReader(bytes.NewReader(b))
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			if _, again := r.Next(); again != err {
				return nil, errors.New("the error is not final")
			}
			return lines, err
		}
		lines = append(lines, l)
	}
}

func TestBundleRoundTrip(t *testing.T) {
	want := bundleLines(t)
	b, err := writeBundle(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readBundle(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	if first := `{"type":"header","format":"scrim-audit-bundle/v3","chain_id":"scrim-test","terms":"0x7465726d73","limits":"0x6c696d697473"}`; !strings.HasPrefix(string(b), first+"\n") {
		t.Errorf("it starts %.120s", b)
	}
}

// TestBundleReaderIsStrict edits the text of a bundle.
func TestBundleReaderIsStrict(t *testing.T) {
	good, err := writeBundle(bundleLines(t))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(good), "\n"), "\n")
	without := func(i int) string {
		return strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), "") + "\n"
	}
	swap := func(i, j int) string {
		l := append(append([]string{}, lines[:len(lines)-1]...), lines[len(lines)-1]+"\n")
		l[i], l[j] = l[j], l[i]
		return strings.Join(l, "")
	}
	replace := func(old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("no %s in the bundle", old)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	tests := map[string]string{
		"empty":                    "",
		"an empty line":            "\n" + string(good),
		"no header":                without(0),
		"two headers":              lines[0] + string(good),
		"other format":             replace("bundle/v3", "bundle/v1"),
		"no terms":                 replace(`"terms":"0x7465726d73"`, `"terms":"0x"`),
		"bad chain id":             replace(`"scrim-test"`, `"scrim test"`),
		"an entry left out":        without(7),
		"entries swapped":          swap(7, 8),
		"a transaction left out":   without(5),
		"the last one left out":    without(6), // noticed by the count at the end
		"transactions swapped":     swap(4, 5),
		"transaction moved":        swap(7, 9),
		"transaction first":        swap(1, 4),
		"no end":                   strings.Join(lines[:len(lines)-1], ""),
		"cut in a line":            string(good[:len(good)-10]),
		"no last line feed":        strings.TrimSuffix(string(good), "\n"),
		"something after the end":  string(good) + "\n",
		"an end after the end":     string(good) + lines[len(lines)-1] + "\n",
		"end counts wrong":         replace(`"entries":4`, `"entries":5`),
		"no certificate":           without(2),
		"certificate too late":     swap(2, 3),
		"two certificates":         replace(lines[2], lines[2]+lines[2]),
		"certificate after commit": replace(lines[3], lines[3]+lines[2]),
		"empty certificate":        replace(`"certificate":"0x6365`, `"certificate":"0x","x":"0x6365`),
		"unknown field":            replace(`"void":false`, `"void":false,"extra":1`),
		"field left out":           replace(`,"void":false`, ``),
		"field twice":              replace(`"void":false`, `"void":false,"void":false`),
		"field in capitals":        replace(`"void"`, `"Void"`),
		"a space":                  replace(`"void":false`, `"void": false`),
		"carriage return":          replace("\n", "\r\n"),
		"hex in capitals":          replace("0x7465726d73", "0x7465726D73"),
		"no 0x":                    replace("0x7465726d73", "7465726d73"),
		"unknown type":             replace(`"type":"end"`, `"type":"fin"`),
		"void without opening":     replace(`"opening":null,"void":false`, `"opening":null,"void":true`),
		"plaintext, no opening":    replace(`"opening":null,"void":false,"plaintext":null`, `"opening":null,"void":false,"plaintext":"0x"`),
		"plaintext though void":    replace(`"void":true,"plaintext":null`, `"void":true,"plaintext":"0x00"`),
		"no plaintext, not void":   replace(`"plaintext":"0x78"`, `"plaintext":null`),
		"opening too short":        replace(`"opening":"0x01`, `"opening":"0x`),
		"a line without an end":    strings.Repeat("a", MaxBundleLine+2),
	}
	for name, text := range tests {
		_, err := readBundle([]byte(text))
		var where *BundleError
		if !errors.Is(err, ErrBundle) || !errors.As(err, &where) || where.Line == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBundleWriterRefuses(t *testing.T) {
	lines := bundleLines(t)
	tests := map[string]func(l []BundleLine) []BundleLine{
		"an entry left out":        func(l []BundleLine) []BundleLine { return append(l[:7:7], l[8:]...) },
		"a transaction left out":   func(l []BundleLine) []BundleLine { return append(l[:6:6], l[7:]...) },
		"the last batch not whole": func(l []BundleLine) []BundleLine { return append(l[:9:9], l[10]) },
		"a transaction too many": func(l []BundleLine) []BundleLine {
			return append(l[:10:10], &BundleTransaction{Height: 8, Position: 1}, l[10])
		},
		"void without opening": func(l []BundleLine) []BundleLine {
			return append(l[:9:9], &BundleTransaction{Height: 8, Void: true}, l[10])
		},
		"plaintext without opening": func(l []BundleLine) []BundleLine {
			return append(l[:9:9], &BundleTransaction{Height: 8, Plaintext: []byte("early")}, l[10])
		},
		"no terms": func(l []BundleLine) []BundleLine {
			return append([]BundleLine{&BundleHeader{ChainID: chainID}}, l[1:]...)
		},
		"no certificate": func(l []BundleLine) []BundleLine { return append(l[:2:2], l[3:]...) },
		"empty certificate": func(l []BundleLine) []BundleLine {
			return append(append(l[:2:2], &BundleCertificate{}), l[3:]...)
		},
		"certificate too large": func(l []BundleLine) []BundleLine {
			return append(append(l[:2:2], &BundleCertificate{make([]byte, MaxCertificateSize+1)}), l[3:]...)
		},
		"entry too large": func(l []BundleLine) []BundleLine {
			return []BundleLine{l[0], &BundleEntry{0, make([]byte, MaxEntrySize+1)}}
		},
		"ciphertext too large": func(l []BundleLine) []BundleLine {
			return append(l[:9:9], &BundleTransaction{Height: 8, Ciphertext: make([]byte, 1<<20)}, l[10])
		},
	}
	for name, change := range tests {
		if _, err := writeBundle(change(lines)); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	failing, err := NewBundleWriter(failingWriter{}, *lines[0].(*BundleHeader))
	if err != nil {
		t.Fatal(err)
	}
	if err := failing.Close(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestBundleLineLimit: the largest line there is can be read.
func TestBundleLineLimit(t *testing.T) {
	var out bytes.Buffer
	w, err := NewBundleWriter(&out, BundleHeader{chainID, make([]byte, MaxTermsSize), make([]byte, MaxLimitsSize)})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Entry(0, make([]byte, MaxEntrySize)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := readBundle(out.Bytes()); err != nil {
		t.Error(err)
	}
	full := &BundleTransaction{
		Height: 1<<64 - 1, Position: 1<<32 - 1, Ciphertext: make([]byte, maxCiphertextSize),
		Opening: new(threshold.Opening), Plaintext: make([]byte, maxCiphertextSize),
	}
	if b, err := encodeLine(full); err != nil || len(b) > MaxBundleLine {
		t.Errorf("the largest transaction takes %d bytes, %v", len(b), err)
	}
}

// FuzzBundleLine: a line that is accepted is the one way to write what it says.
func FuzzBundleLine(f *testing.F) {
	for _, l := range bundleLines(f) {
		f.Add(must(f)(encodeLine(l)))
	}
	f.Add(must(f)(encodeLine(&BundleEvidence{[]byte("evidence")})))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseBundleLine(b)
		if err != nil {
			return
		}
		if again, err := MarshalBundleLine(l); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s reads, and is written %s, %v", b, again, err)
		}
	})
}

// Evidence follows its misbehaviour entry, once, or is left out.
func TestBundleEvidence(t *testing.T) {
	entry := must(t)(MarshalEntry(MisbehaviourEntry{Height: 9, Epoch: 1, Member: 3, Kind: "bad_point", Evidence: EvidenceHash([]byte("evidence"))}))
	header, first, body, end := &BundleHeader{chainID, []byte("terms"), []byte("limits")}, &BundleEntry{0, entry}, &BundleEvidence{[]byte("evidence")}, &BundleEnd{1, 0}
	text := func(lines ...BundleLine) []byte {
		var out bytes.Buffer
		for _, l := range lines {
			out.Write(append(must(t)(encodeLine(l)), '\n'))
		}
		return out.Bytes()
	}
	for name, lines := range map[string][]BundleLine{"with evidence": {header, first, body, end}, "without": {header, first, end}} {
		got, err := readBundle(text(lines...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(lines, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	committee := must(t)(MarshalEntry(CommitteeEntry{Height: 3}))
	for name, b := range map[string][]byte{
		"twice":                text(header, first, body, body, end),
		"before its entry":     text(header, body, first, end),
		"after a round":        text(header, first, &BundleRound{Height: 5, Section: []byte("said")}, body, end),
		"of a committee entry": text(header, &BundleEntry{0, committee}, body, end),
		"empty":                bytes.Replace(text(header, first, body, end), []byte("0x65766964656e6365\"}\n"), []byte("0x\"}\n"), 1),
		"not hex":              bytes.Replace(text(header, first, body, end), []byte("0x65766964656e6365\"}\n"), []byte("0xz\"}\n"), 1),
	} {
		if _, err := readBundle(b); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n, fits := range map[int]bool{0: false, 1: true, MaxEvidenceSize: true, MaxEvidenceSize + 1: false} {
		w, err := NewBundleWriter(io.Discard, *header)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Entry(0, entry), w.Evidence(make([]byte, n)), w.Close()); (err == nil) != fits {
			t.Errorf("evidence of %d bytes: %v", n, err)
		}
	}
}
