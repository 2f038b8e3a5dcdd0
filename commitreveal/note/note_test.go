package note_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	sumdb "golang.org/x/mod/sumdb/note"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

const chainID = "demo"

func identity(member int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "note %d", member))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(member int) ed25519.PublicKey { return identity(member).Public().(ed25519.PublicKey) }

var head = note.Checkpoint{Origin: note.Origin(chainID), Size: 7, Root: commitreveal.Hash{1, 2, 3}}

// signed is a checkpoint published by member 1 and cosigned by the given ones at second 1700000000.
func signed(cosigners ...int) *note.Note {
	n := &note.Note{Text: head.Text(), Signatures: []note.Signature{note.SignLog(identity(1), chainID, head.Text())}}
	for _, m := range cosigners {
		n.Signatures = append(n.Signatures, note.Cosign(identity(m), chainID, n.Text, 1700000000))
	}
	return n
}

func marshal(t testing.TB, m interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNoteRoundTrip(t *testing.T) {
	b := marshal(t, signed(1, 2))
	n, c, err := note.ParseSigned(b)
	if err != nil {
		t.Fatal(err)
	}
	if again := marshal(t, n); !bytes.Equal(again, b) {
		t.Errorf("%s became %s", b, again)
	}
	if c.Text() != head.Text() || c.Size != 7 || c.Root != head.Root {
		t.Errorf("checkpoint %+v", c)
	}
	if !strings.HasPrefix(string(b), "scrim/demo\n7\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u2014 scrim/demo ") {
		t.Errorf("it is\n%s", b)
	}
}

// golang.org/x/mod/sumdb/note opens our notes with our keys.
func TestSumdbOpensOurNotes(t *testing.T) {
	k := note.LogKey(chainID, public(1))
	v, err := sumdb.NewVerifier(k.String())
	if err != nil {
		t.Fatal(err)
	}
	if v.Name() != k.Name || v.KeyHash() != k.ID() {
		t.Errorf("they call it %s %08x, we %s %08x", v.Name(), v.KeyHash(), k.Name, k.ID())
	}
	n, err := sumdb.Open(marshal(t, signed(1, 2, 3)), sumdb.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if n.Text != head.Text() || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 3 {
		t.Errorf("%d verified and %d other signatures on %q", len(n.Sigs), len(n.UnverifiedSigs), n.Text)
	}
}

// And we read what it signs.
func TestWeOpenSumdbNotes(t *testing.T) {
	skey, vkey, err := sumdb.GenerateKey(bytes.NewReader(make([]byte, 64)), "example.com/log")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := sumdb.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	b, err := sumdb.Sign(&sumdb.Note{Text: "a\n\nb\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	k, err := note.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify(n); err != nil || n.Text != "a\n\nb\n" {
		t.Errorf("%q: %v", n.Text, err)
	}
}

func TestParseIsStrict(t *testing.T) {
	good := string(marshal(t, signed(2)))
	line := note.SignLog(identity(1), chainID, head.Text())
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in the note", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	// A base64 text whose last character has bits that are not used.
	loose := func() string {
		text := base64.StdEncoding.EncodeToString(append([]byte{0, 0, 0, 0}, line.Data...))
		at := len(text) - 2
		if text[at-1] == '=' {
			at--
		}
		return text[:at] + string(text[at]+1) + text[at+1:]
	}()
	for name, text := range map[string]string{
		"empty":                "",
		"no signatures":        head.Text() + "\n",
		"no empty line":        strings.Replace(good, "\n\n", "\n", 1),
		"carriage return":      replace("7\n", "7\r\n"),
		"crlf in a signature":  replace("=\n", "=\r\n"),
		"tab":                  replace("scrim/demo\n", "scrim/demo\t\n"),
		"zero byte":            replace("demo", "de\x00mo"),
		"not UTF-8":            replace("demo", "de\xffmo"),
		"hyphen":               replace("\u2014 ", "- "),
		"two spaces":           replace("\u2014 ", "\u2014  "),
		"no key name":          head.Text() + "\n\u2014  AAAAAAE=\n",
		"plus in the name":     replace("\u2014 scrim/", "\u2014 scrim+"),
		"no last line feed":    strings.TrimSuffix(good, "\n"),
		"left over":            good + "x",
		"line left over":       good + "x\n",
		"empty line left over": good + "\n",
		"base64, no padding":   strings.Replace(good, "==\n", "\n", 1) + "x",
		"base64, url":          head.Text() + "\n\u2014 x AAAA-_8=\n",
		"base64, bits":         head.Text() + "\n\u2014 scrim/demo " + loose + "\n",
		"base64, space":        head.Text() + "\n\u2014 x AAAA AAE=\n",
		"key id only":          head.Text() + "\n\u2014 x AAAAAA==\n",
		"no key id":            head.Text() + "\n\u2014 x AAA=\n",
		"signature twice":      good + line.Line(),
		"space like":           head.Text() + "\n\u2014 x\u00a0y AAAAAAE=\n",
		"too large":            strings.Repeat("x\n", note.MaxSize/2) + good,
		"too many":             head.Text() + "\n" + manyLines(note.MaxSignatures+1),
	} {
		if n, err := note.Parse([]byte(text)); !errors.Is(err, note.ErrEncoding) {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
	if n, err := note.Parse([]byte(head.Text() + "\n" + manyLines(note.MaxSignatures))); err != nil || len(n.Signatures) != note.MaxSignatures {
		t.Errorf("the most signatures: %v", err)
	}
}

func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		s := note.Signature{Name: "x", KeyID: uint32(i), Data: []byte{1}}
		b.WriteString(s.Line())
	}
	return b.String()
}

func TestCheckpointIsStrict(t *testing.T) {
	root := base64.StdEncoding.EncodeToString(head.Root[:])
	for name, text := range map[string]string{
		"empty":           "",
		"two lines":       "o\n7\n",
		"no line feed":    "o\n7\n" + root,
		"no origin":       "\n7\n" + root + "\n",
		"leading zero":    "o\n07\n" + root + "\n",
		"sign":            "o\n+7\n" + root + "\n",
		"negative":        "o\n-7\n" + root + "\n",
		"hex":             "o\n0x7\n" + root + "\n",
		"space":           "o\n7 \n" + root + "\n",
		"too large":       "o\n18446744073709551616\n" + root + "\n",
		"no size":         "o\n\n" + root + "\n",
		"short root":      "o\n7\n" + root[:40] + "\n",
		"long root":       "o\n7\n" + base64.StdEncoding.EncodeToString(make([]byte, 33)) + "\n",
		"root in hex":     "o\n7\n" + strings.Repeat("00", 32) + "\n",
		"root, no pad":    "o\n7\n" + strings.TrimRight(root, "=") + "\n",
		"root, bits":      "o\n7\n" + root[:len(root)-2] + "B=\n",
		"empty extension": "o\n7\n" + root + "\n\n",
		"carriage return": "o\r\n7\r\n" + root + "\r\n",
	} {
		if c, err := note.ParseCheckpoint(text); !errors.Is(err, note.ErrEncoding) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	for _, text := range []string{"o\n0\n" + root + "\n", "o\n18446744073709551615\n" + root + "\n", "o p\n7\n" + root + "\nextension\nanother\n"} {
		if c, err := note.ParseCheckpoint(text); err != nil || c.Text() != text {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestKeys(t *testing.T) {
	c, _ := committee()
	for _, k := range []note.Key{note.LogKey(chainID, public(1)), note.MemberKey(chainID, public(1)), note.CommitteeKey(chainID, c.Key)} {
		got, err := note.ParseKey(k.String())
		if err != nil || got.String() != k.String() || got.ID() != k.ID() || got.Name != k.Name {
			t.Errorf("%s: %+v, %v", k, got, err)
		}
	}
	k := note.LogKey(chainID, public(1))
	id := fmt.Sprintf("%08x", k.ID())
	mldsa := note.Key{Name: "x", Type: 6, Public: make([]byte, 32)}
	other := note.Key{Name: "x", Type: note.TypeUnassigned, Public: make([]byte, 96)} // no point
	for name, bad := range map[string]string{
		"empty": "", "one part": "x", "two parts": "x+00000000", "id in capitals": strings.Replace(k.String(), id, strings.ToUpper(id), 1) + strings.Repeat("+", b2i(id == strings.ToUpper(id))),
		"another id": strings.Replace(k.String(), id, "00000000", 1), "short id": strings.Replace(k.String(), id, id[1:], 1), "no name": "+" + id + "+AAAA",
		"short key": note.Key{Name: "x", Type: note.TypeEd25519, Public: make([]byte, 31)}.String(), "unknown type": mldsa.String(), "no point": other.String(),
		"left over": k.String() + "\n", "bits": k.String()[:len(k.String())-1] + "=", "no material": "x+00000000+",
	} {
		if got, err := note.ParseKey(bad); !errors.Is(err, note.ErrEncoding) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestVerify(t *testing.T) {
	n := signed(2, 3)
	if at, err := note.LogKey(chainID, public(1)).Verify(n); err != nil || at != 0 {
		t.Errorf("the log's: %d, %v", at, err)
	}
	if at, err := note.MemberKey(chainID, public(2)).Verify(n); err != nil || at != 1700000000 {
		t.Errorf("a member's: %d, %v", at, err)
	}
	for name, k := range map[string]note.Key{
		"not a signer":       note.MemberKey(chainID, public(4)),
		"another chain":      note.MemberKey("other", public(2)),
		"as a publisher":     note.LogKey(chainID, public(2)),
		"as a cosigner":      note.MemberKey(chainID, public(1)),
		"another's name":     {Name: note.LogKey(chainID, public(1)).Name, Type: note.TypeEd25519, Public: public(2)},
		"no such type":       {Name: "x", Type: 9},
		"without public key": {Name: "x", Type: note.TypeCosignature},
	} {
		if _, err := k.Verify(n); !errors.Is(err, note.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(n *note.Note){
		"text":      func(n *note.Note) { n.Text = strings.Replace(n.Text, "\n7\n", "\n8\n", 1) },
		"time":      func(n *note.Note) { n.Signatures[1].Data[7]++ },
		"signature": func(n *note.Note) { n.Signatures[1].Data[9]++ },
		"short":     func(n *note.Note) { n.Signatures[1].Data = n.Signatures[1].Data[:71] },
		"long":      func(n *note.Note) { n.Signatures[1].Data = append(n.Signatures[1].Data, 0) },
		"no time":   func(n *note.Note) { n.Signatures[1].Data = n.Signatures[1].Data[8:] },
	} {
		n := signed(2)
		change(n)
		if _, err := note.MemberKey(chainID, public(2)).Verify(n); !errors.Is(err, note.ErrSignature) {
			t.Errorf("altered %s: %v", name, err)
		}
	}
	far := &note.Note{Text: head.Text(), Signatures: []note.Signature{note.Cosign(identity(2), chainID, head.Text(), 1<<63)}}
	if _, err := note.MemberKey(chainID, public(2)).Verify(far); !errors.Is(err, note.ErrSignature) {
		t.Errorf("a time beyond 2^63-1: %v", err)
	}
	free := &note.Note{Text: "no checkpoint\n", Signatures: []note.Signature{note.Cosign(identity(2), chainID, "no checkpoint\n", 1)}}
	if _, err := note.MemberKey(chainID, public(2)).Verify(free); !errors.Is(err, note.ErrSignature) {
		t.Errorf("a cosignature on no checkpoint: %v", err)
	}
}

// A log's signature is no cosignature and the other way round, although the key is the same.
func TestSignaturesHaveOneMeaning(t *testing.T) {
	text := head.Text()
	asLog, asMember := note.LogKey(chainID, public(1)), note.MemberKey(chainID, public(1))
	log, member := note.SignLog(identity(1), chainID, text), note.Cosign(identity(1), chainID, text, 0)
	swapped := &note.Note{Text: text, Signatures: []note.Signature{
		{Name: asLog.Name, KeyID: asLog.ID(), Data: member.Data[8:]},
		{Name: asMember.Name, KeyID: asMember.ID(), Data: append(make([]byte, 8), log.Data...)},
	}}
	for _, k := range []note.Key{asLog, asMember} {
		if _, err := k.Verify(swapped); !errors.Is(err, note.ErrSignature) {
			t.Errorf("%s: %v", k.Name, err)
		}
	}
}

var committee = sync.OnceValues(func() (*threshold.Committee, []*threshold.SecretShare) {
	return thresholdtest.Deal("note", 1, 4, 3)
})

// certified is a batch checkpoint over the head, with the committee's signature.
func certified(t testing.TB) (commitreveal.Checkpoint, threshold.Signature) {
	t.Helper()
	c, shares := committee()
	cp := commitreveal.Checkpoint{ChainID: chainID, Height: 5, Epoch: 1, BatchRoot: commitreveal.Hash{9}, LogSize: head.Size, LogRoot: head.Root}
	message, err := cp.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var parts []threshold.SignatureShare
	for _, s := range shares[:3] {
		part, err := s.Sign(message)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part)
	}
	sig, _, err := threshold.CombineSignature(c, message, parts)
	if err != nil {
		t.Fatal(err)
	}
	return cp, sig
}

func TestCommitteeLine(t *testing.T) {
	c, _ := committee()
	cp, certificate := certified(t)
	k := note.CommitteeKey(chainID, c.Key)
	n := signed()
	n.Signatures = append(n.Signatures, note.CertificateLine(c.Key, cp, certificate))
	parsed, err := note.Parse(marshal(t, n))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify(parsed); err != nil {
		t.Error(err)
	}
	line, _ := k.Find(parsed)
	got, sig, err := note.Certified(parsed.Text, line.Data)
	if err != nil || got != cp || sig != certificate {
		t.Errorf("%+v, %v", got, err)
	}
	for i := range line.Data {
		bad := signed()
		data := bytes.Clone(line.Data)
		data[i] ^= 1
		bad.Signatures = append(bad.Signatures, note.Signature{Name: line.Name, KeyID: line.KeyID, Data: data})
		if _, err := k.Verify(bad); !errors.Is(err, note.ErrSignature) {
			t.Fatalf("byte %d altered: %v", i, err)
		}
	}
	other := note.Checkpoint{Origin: head.Origin, Size: head.Size + 1, Root: head.Root}
	if _, err := k.Verify(&note.Note{Text: other.Text(), Signatures: []note.Signature{line}}); !errors.Is(err, note.ErrSignature) {
		t.Errorf("on another size: %v", err)
	}
	foreign := note.Checkpoint{Origin: "example.com/log", Size: head.Size, Root: head.Root}
	if _, _, err := note.Certified(foreign.Text(), line.Data); !errors.Is(err, note.ErrEncoding) {
		t.Errorf("on another log: %v", err)
	}
}

func TestProofFile(t *testing.T) {
	entries := [][]byte{[]byte("a"), []byte("b"), []byte("c")}
	var l commitreveal.Log
	for _, e := range entries {
		l, _, _ = l.Append(e)
	}
	n := &note.Note{Text: note.Checkpoint{Origin: "scrim/demo", Size: 3, Root: l.Root()}.Text()}
	n.Signatures = []note.Signature{note.SignLog(identity(1), chainID, n.Text)}
	var ab commitreveal.Log
	ab, _, _ = ab.Append(entries[0])
	ab, _, _ = ab.Append(entries[1])
	for _, extra := range [][]byte{nil, {}, []byte("more")} {
		p := &note.Proof{Extra: extra, Index: 2, Path: []commitreveal.Hash{ab.Root()}, Note: n}
		b := marshal(t, p)
		got, err := note.ParseProof(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if again := marshal(t, got); !bytes.Equal(again, b) {
			t.Errorf("%s became %s", b, again)
		}
		if c, err := got.Check(entries[2]); err != nil || c.Size != 3 {
			t.Errorf("%+v, %v", c, err)
		}
		if _, err := got.Check(entries[1]); err == nil {
			t.Error("another entry is proved")
		}
	}
	good := string(marshal(t, &note.Proof{Extra: []byte("more"), Index: 2, Path: []commitreveal.Hash{ab.Root()}, Note: n}))
	for name, edit := range map[string][2]string{
		"header": {"@v1", "@v2"}, "index": {"index 2", "index 02"}, "negative": {"index 2", "index -2"}, "no index": {"index 2\n", ""}, "extra base64": {"bW9yZQ==", "bW9yZQ"},
		"extra after": {"extra bW9yZQ==\nindex 2\n", "index 2\nextra bW9yZQ==\n"}, "two extras": {"extra bW9yZQ==\n", "extra bW9yZQ==\nextra bW9yZQ==\n"},
		"crlf": {"index 2\n", "index 2\r\n"}, "hash in hex": {base64.StdEncoding.EncodeToString(hashBytes(ab.Root())), strings.Repeat("00", 32)}, "no checkpoint": {n.Text, ""},
		"space": {"index 2", "index  2"}, "empty line": {"index 2\n", "index 2\n\n"},
	} {
		if !strings.Contains(good, edit[0]) {
			t.Fatalf("%s: no %q", name, edit[0])
		}
		if p, err := note.ParseProof([]byte(strings.Replace(good, edit[0], edit[1], 1))); !errors.Is(err, note.ErrEncoding) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	long := &note.Proof{Index: 2, Path: make([]commitreveal.Hash, 64), Note: n}
	if _, err := long.Marshal(); !errors.Is(err, note.ErrEncoding) {
		t.Errorf("64 hashes: %v", err)
	}
}

func hashBytes(h commitreveal.Hash) []byte { return h[:] }

func TestAddCheckpoint(t *testing.T) {
	for _, proof := range [][]commitreveal.Hash{nil, {{1}, {2}}} {
		r := &note.AddCheckpoint{OldSize: 5, Proof: proof, Note: signed(2)}
		b := marshal(t, r)
		got, err := note.ParseAddCheckpoint(b)
		if err != nil || !bytes.Equal(marshal(t, got), b) || got.OldSize != 5 || len(got.Proof) != len(proof) {
			t.Errorf("%v\n%s", err, b)
		}
	}
	good := string(marshal(t, &note.AddCheckpoint{OldSize: 5, Proof: []commitreveal.Hash{{1}}, Note: signed()}))
	for name, bad := range map[string]string{
		"empty": "", "no old": strings.TrimPrefix(good, "old "), "zeros": strings.Replace(good, "old 5", "old 05", 1), "crlf": strings.Replace(good, "old 5\n", "old 5\r\n", 1),
		"64 hashes": strings.Replace(good, "old 5\n", "old 5\n"+strings.Repeat(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n", 64), 1), "cut": good[:len(good)-1],
	} {
		if _, err := note.ParseAddCheckpoint([]byte(bad)); !errors.Is(err, note.ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, want := range map[string]uint64{"7\n": 7, "0\n": 0} {
		if got, err := note.ParseWitnessSize([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "7", "07\n", "7\n\n", "-1\n", " 7\n"} {
		if _, err := note.ParseWitnessSize([]byte(bad)); !errors.Is(err, note.ErrEncoding) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	k := note.MemberKey(chainID, public(2))
	mine, other := note.Cosign(identity(2), chainID, head.Text(), 9), note.Cosign(identity(3), chainID, head.Text(), 9)
	if s, err := note.ParseCosignatures([]byte(other.Line()+mine.Line()), head.Text(), k); err != nil || s.Line() != mine.Line() {
		t.Errorf("%+v, %v", s, err)
	}
	for name, bad := range map[string]string{"another's only": other.Line(), "nothing": "", "garbage": "ok\n", "no end": strings.TrimSuffix(mine.Line(), "\n"), "many": manyLines(17) + mine.Line()} {
		if _, err := note.ParseCosignatures([]byte(bad), head.Text(), k); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func fuzz[T interface{ Marshal() ([]byte, error) }](f *testing.F, parse func([]byte) (T, error), seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parse(b)
		if err != nil {
			if !errors.Is(err, note.ErrEncoding) {
				t.Error(err)
			}
			return
		}
		if again, err := v.Marshal(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q parses, and encodes to %q, %v", b, again, err)
		}
	})
}

func FuzzNote(f *testing.F) {
	fuzz(f, note.Parse, marshal(f, signed(1, 2)), []byte("a\n\n\u2014 x AAAAAAE=\n"))
}

func FuzzProof(f *testing.F) {
	p := &note.Proof{Extra: []byte("x"), Index: 6, Path: []commitreveal.Hash{{1}}, Note: signed(2)}
	q := &note.Proof{Note: signed()}
	fuzz(f, note.ParseProof, marshal(f, p), marshal(f, q))
}

func FuzzAddCheckpoint(f *testing.F) {
	r := &note.AddCheckpoint{OldSize: 5, Proof: []commitreveal.Hash{{1}, {2}}, Note: signed(2)}
	fuzz(f, note.ParseAddCheckpoint, marshal(f, r))
}

func FuzzKey(f *testing.F) {
	c, _ := committee()
	for _, k := range []note.Key{note.LogKey(chainID, public(1)), note.MemberKey(chainID, public(1)), note.CommitteeKey(chainID, c.Key)} {
		f.Add(k.String())
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := note.ParseKey(s)
		if err == nil && k.String() != s {
			t.Errorf("%q is the key %q", s, k)
		}
		if err != nil && !errors.Is(err, note.ErrEncoding) {
			t.Error(err)
		}
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add(note.CommitteePolicy(chainID, []ed25519.PublicKey{public(1), public(2)}, 2))
	f.Add([]byte("# x\nquorum none\n"))
	signedNote := marshal(f, signed(1, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := note.ParsePolicy(b)
		if err != nil {
			if !errors.Is(err, note.ErrEncoding) {
				t.Error(err)
			}
			return
		}
		_, _ = p.Check(signedNote)
	})
}

// The committee's policy, as an auditor writes it to a file.
func ExampleCommitteePolicy() {
	keys := []ed25519.PublicKey{public(1), public(2), public(3), public(4)}
	policy, err := note.ParsePolicy(note.CommitteePolicy(chainID, keys, 3))
	if err != nil {
		panic(err)
	}
	for _, n := range []*note.Note{signed(1, 2), signed(1, 2, 4)} {
		b, err := n.Marshal()
		if err != nil {
			panic(err)
		}
		if s, err := policy.Check(b); err != nil {
			fmt.Println(errors.Is(err, note.ErrPolicy))
		} else {
			fmt.Println(s.Checkpoint.Size, len(s.Witnesses))
		}
	}
	// Output:
	// true
	// 7 3
}
