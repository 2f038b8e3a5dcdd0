package threshold_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	circl "github.com/cloudflare/circl/ecc/bls12381"
	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// The vectors in testdata/v1 fix every byte of the formats; testdata/v1/README.md says what they hold. They were written
// once, by this flag, and are not to change: a new format gets a folder of its own.
var writeMissing = flag.Bool("write-missing", false, "write the vectors and fuzz seeds that do not exist; never overwrites")

const vectorFolder = "testdata/v1"

type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }
func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

type keyVector struct {
	Name          string     `json:"name"`
	Epoch         uint64     `json:"epoch"`
	Threshold     int        `json:"threshold"`
	SecretShares  []hexBytes `json:"secret_shares"`
	MemberKeys    []hexBytes `json:"member_keys"`
	PublicKey     hexBytes   `json:"public_key"`
	KeyID         hexBytes   `json:"key_id"`
	Committee     hexBytes   `json:"committee"`
	CommitteeHash hexBytes   `json:"committee_sha256"`
}

type keyVectors struct {
	Suite           string      `json:"suite"`
	SecondGenerator hexBytes    `json:"second_generator"`
	Committees      []keyVector `json:"committees"`
}

type ciphertextVector struct {
	Name         string   `json:"name"`
	Committee    string   `json:"committee"`
	ChainID      string   `json:"chain_id"`
	Namespace    string   `json:"namespace"`
	ValidUntil   uint64   `json:"valid_until"`
	MinSizeClass uint8    `json:"min_size_class"`
	Plaintext    hexBytes `json:"plaintext"`
	Void         bool     `json:"void"`
	Seed         hexBytes `json:"seed,omitempty"`
	K            hexBytes `json:"k"`
	W            hexBytes `json:"w"`
	Header       hexBytes `json:"header"`
	U            hexBytes `json:"u"`
	Ub           hexBytes `json:"ub"`
	Opening      hexBytes `json:"opening"`
	PayloadKey   hexBytes `json:"payload_key"`
	A            hexBytes `json:"a"`
	Ab           hexBytes `json:"ab"`
	E            hexBytes `json:"e"`
	Z            hexBytes `json:"z"`
	Wire         hexBytes `json:"wire"`
	ID           hexBytes `json:"id"`
}

type batchVector struct {
	Name        string     `json:"name"`
	Committee   string     `json:"committee"`
	Ciphertexts []string   `json:"ciphertexts"`
	Shares      []hexBytes `json:"shares"`
	Openings    []hexBytes `json:"openings"`
}

type signatureVector struct {
	Name      string     `json:"name"`
	Committee string     `json:"committee"`
	Message   hexBytes   `json:"message"`
	Base      hexBytes   `json:"base"`
	Shares    []hexBytes `json:"shares"`
	Signature hexBytes   `json:"signature"`
}

type invalidVector struct {
	Name  string   `json:"name"`
	Kind  string   `json:"kind"` // what it fails to be
	Bytes hexBytes `json:"bytes"`
	Error string   `json:"error"`
}

type accumulatedVector struct {
	Rounds int      `json:"rounds"`
	Hash   hexBytes `json:"sha256"`
}

var errorNames = map[string]error{
	"encoding": threshold.ErrEncoding, "point": threshold.ErrPoint, "proof": threshold.ErrProof, "key": threshold.ErrKey,
	"committee": threshold.ErrCommittee, "chain_id": threshold.ErrChainID, "namespace": threshold.ErrNamespace,
}

// vectors reads a file of vectors, which make writes if it is missing and the flag is set.
func vectors[T any](t *testing.T, name string, make func() T) T {
	t.Helper()
	path := filepath.Join(vectorFolder, name)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && *writeMissing {
		b, err := json.MarshalIndent(make(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v T
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

// committeeOf rebuilds a vector's committee from its bytes.
func committeeOf(t *testing.T, name string) (*threshold.Committee, []*threshold.SecretShare) {
	t.Helper()
	for _, v := range vectors(t, "keys.json", makeKeys).Committees {
		if v.Name != name {
			continue
		}
		c, err := threshold.ParseCommittee(v.Committee)
		if err != nil {
			t.Fatal(err)
		}
		var secrets []*threshold.SecretShare
		for i, s := range v.SecretShares {
			share, err := threshold.NewSecretShare(uint32(i+1), (*[32]byte)(s))
			if err != nil {
				t.Fatal(err)
			}
			secrets = append(secrets, share)
		}
		return c, secrets
	}
	t.Fatalf("no committee %q", name)
	return nil, nil
}

func makeKeys() keyVectors {
	out := keyVectors{Suite: threshold.Suite, SecondGenerator: thresholdtest.SecondGenerator().BytesCompressed()}
	add := func(name string, c *threshold.Committee, secrets []*threshold.SecretShare) {
		v := keyVector{Name: name, Epoch: c.Epoch, Threshold: c.Threshold, PublicKey: c.Key.Bytes()}
		id := c.Key.ID()
		v.KeyID = id[:]
		for i, s := range secrets {
			b := s.ExposeSecretBytes()
			v.SecretShares = append(v.SecretShares, b[:])
			v.MemberKeys = append(v.MemberKeys, c.Members[i].Bytes())
		}
		v.Committee, _ = c.MarshalBinary()
		h := sha256.Sum256(v.Committee)
		v.CommitteeHash = h[:]
		out.Committees = append(out.Committees, v)
	}
	deal := func(name string, epoch uint64, n, t int) {
		c, s := thresholdtest.Deal("vectors "+name, epoch, n, t)
		add(name, c, s)
	}
	deal("one of one", 1, 1, 1)
	deal("three of four", 1, 4, 3)
	c, s := thresholdtest.Reshare("vectors three of four", "reshared", 2, 7, 5)
	add("five of seven, reshared from three of four", c, s)
	deal("eleven of sixteen", 1<<40, 16, 11)
	return out
}

func TestKeyVectors(t *testing.T) {
	v := vectors(t, "keys.json", makeKeys)
	if v.Suite != threshold.Suite {
		t.Errorf("suite %q", v.Suite)
	}
	equal(t, "second generator", thresholdtest.SecondGenerator().BytesCompressed(), v.SecondGenerator)
	for _, k := range v.Committees {
		t.Run(k.Name, func(t *testing.T) {
			c, secrets := committeeOf(t, k.Name)
			again, _ := c.MarshalBinary()
			equal(t, "committee", again, k.Committee)
			h := sha256.Sum256(k.Committee)
			equal(t, "hash", h[:], k.CommitteeHash)
			key, err := threshold.ParsePublicKey(k.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "public key", c.Key.Bytes(), k.PublicKey)
			id := key.ID()
			equal(t, "key id", id[:], k.KeyID)
			theirs := sha256.Sum256(append([]byte("scrim/key-id/v1scrim/tdh2-bls12381g1/v1"), k.PublicKey[:48]...))
			equal(t, "key id by hand", id[:], theirs[:])
			if c.Epoch != k.Epoch || c.Threshold != k.Threshold || c.N() != len(k.MemberKeys) {
				t.Error("other numbers")
			}
			for i, s := range secrets {
				equal(t, "member key", s.MemberKey().Bytes(), k.MemberKeys[i])
				equal(t, "member key in committee", c.Members[i].Bytes(), k.MemberKeys[i])
			}
		})
	}
}

func makeCiphertexts(t *testing.T) []ciphertextVector {
	var out []ciphertextVector
	add := func(name, committee string, plaintext []byte, o threshold.SealOptions) {
		c, _ := committeeOf(t, committee)
		seed := sha256.Sum256([]byte("vectors " + name))
		ct, err := threshold.Seal(bytes.NewReader(seed[:]), c.Key, o, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		header := thresholdtest.Header(ct.Header())
		k, w := threshold.SealScalars(seed, header, plaintext)
		v := ciphertextVector{Name: name, Committee: committee, Plaintext: plaintext, Seed: seed[:]}
		v.fill(c.Key, o, header, k[:], w[:], func(s *thresholdtest.Sealing) {
			s.Encrypt(thresholdtest.Pad(plaintext, ct.Header().SizeClass))
		})
		out = append(out, v)
	}
	odd := func(name string, payload func(*thresholdtest.Sealing)) {
		c, _ := committeeOf(t, "three of four")
		h := threshold.Header{ChainID: "scrim-1", Namespace: "void", KeyID: c.Key.ID(), ValidUntil: 7}
		k, w := sha256.Sum256([]byte(name+" k")), sha256.Sum256([]byte(name+" w"))
		v := ciphertextVector{Name: name, Committee: "three of four", Void: true}
		kb, _ := thresholdtest.Scalar(k[:]).MarshalBinary()
		wb, _ := thresholdtest.Scalar(w[:]).MarshalBinary()
		v.fill(c.Key, threshold.SealOptions{ChainID: h.ChainID, Namespace: h.Namespace, ValidUntil: 7}, thresholdtest.Header(h), kb, wb, payload)
		out = append(out, v)
	}
	o := threshold.SealOptions{ChainID: "scrim-1", Namespace: "a", ValidUntil: 100}
	longest := threshold.SealOptions{
		ChainID: "AZaz09-_.23456789012345678901234567890123456789ABCDE", Namespace: "abcdefghijklmnop.qrstu-vwxyz0123", ValidUntil: 1<<64 - 1, MinSizeClass: 2,
	}
	longest.ChainID = longest.ChainID[:50]
	add("empty", "three of four", nil, o)
	add("hello", "three of four", []byte("hello"), o)
	add("fills class 0", "three of four", bytes.Repeat([]byte{0xa5}, 252), o)
	add("begins class 1", "three of four", bytes.Repeat([]byte{0xa5}, 253), o)
	add("zeros", "three of four", make([]byte, 100), o)
	add("longest names", "three of four", []byte("x"), longest)
	add("valid until 0", "one of one", []byte("y"), threshold.SealOptions{ChainID: "c", Namespace: "0"})
	add("sixteen", "eleven of sixteen", []byte("sixteen members"), o)
	odd("noise for a payload", func(s *thresholdtest.Sealing) { s.Payload = bytes.Repeat([]byte{0x5a}, 272) })
	odd("length above the padding", func(s *thresholdtest.Sealing) {
		s.Encrypt(append([]byte{0, 0, 0, 253}, make([]byte, 252)...))
	})
	odd("dirty padding", func(s *thresholdtest.Sealing) {
		b := thresholdtest.Pad([]byte("x"), 0)
		b[255] = 1
		s.Encrypt(b)
	})
	return out
}

// fill computes the vector with the second implementation.
func (v *ciphertextVector) fill(key *threshold.PublicKey, o threshold.SealOptions, header, k, w []byte, payload func(*thresholdtest.Sealing)) {
	s := thresholdtest.NewSealing(key, header, thresholdtest.Scalar(k), thresholdtest.Scalar(w))
	payload(s)
	s.Prove()
	v.ChainID, v.Namespace, v.ValidUntil, v.MinSizeClass = o.ChainID, o.Namespace, o.ValidUntil, o.MinSizeClass
	v.K, v.W, v.Header = k, w, header
	v.U, v.Ub, v.Opening, v.PayloadKey, v.A, v.Ab, v.E, v.Z = s.U, s.Ub, s.P, s.PayloadKey, s.A, s.Ab, s.E, s.Z
	v.Wire = s.Wire()
	id := sha256.Sum256(append([]byte("scrim/ciphertext-id/v1"), v.Wire...))
	v.ID = id[:]
}

func ciphertextVectors(t *testing.T) []ciphertextVector {
	t.Helper()
	return vectors(t, "ciphertexts.json", func() []ciphertextVector { return makeCiphertexts(t) })
}

func TestCiphertextVectors(t *testing.T) {
	for _, v := range ciphertextVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			c, _ := committeeOf(t, v.Committee)
			ct := parse(t, v.Wire)
			id := ct.ID()
			equal(t, "id", id[:], v.ID)
			equal(t, "wire", ct.Bytes(), v.Wire)
			h := ct.Header()
			if h.ChainID != v.ChainID || h.Namespace != v.Namespace || h.ValidUntil != v.ValidUntil || h.SizeClass < v.MinSizeClass || h.KeyID != c.Key.ID() {
				t.Errorf("header %+v", h)
			}
			checked := check(t, ct)
			if !thresholdtest.Check(ct) {
				t.Error("circl finds the proof wrong")
			}
			if v.Seed != nil {
				o := threshold.SealOptions{ChainID: v.ChainID, Namespace: v.Namespace, ValidUntil: v.ValidUntil, MinSizeClass: v.MinSizeClass}
				again, err := threshold.Seal(bytes.NewReader(v.Seed), c.Key, o, v.Plaintext)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "sealed", again.Bytes(), v.Wire)
				k, w := threshold.SealScalars([32]byte(v.Seed), v.Header, v.Plaintext)
				equal(t, "k", k[:], v.K)
				equal(t, "w", w[:], v.W)
			}
			p := ciphertextVector{Name: v.Name, Committee: v.Committee, Plaintext: v.Plaintext, Void: v.Void, Seed: v.Seed}
			p.fill(c.Key, threshold.SealOptions{ChainID: v.ChainID, Namespace: v.Namespace, ValidUntil: v.ValidUntil, MinSizeClass: v.MinSizeClass},
				thresholdtest.Header(h), v.K, v.W, func(s *thresholdtest.Sealing) { s.Payload = split(ct).payload })
			if diff := cmp.Diff(v, p); diff != "" {
				t.Error(diff)
			}
			opened, err := threshold.VerifyOpenings(c.Key, []*threshold.Checked{checked}, []threshold.Opening{threshold.Opening(v.Opening)})
			if err != nil {
				t.Fatal(err)
			}
			plaintext, err := threshold.Open(opened[0])
			if v.Void {
				expect(t, err, threshold.ErrVoid)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "plaintext", plaintext, v.Plaintext)
		})
	}
}

func batchOf(t *testing.T, names []string) (batch []*threshold.Checked) {
	t.Helper()
	all := ciphertextVectors(t)
	for _, name := range names {
		i := slices.IndexFunc(all, func(v ciphertextVector) bool { return v.Name == name })
		if i < 0 {
			t.Fatalf("no ciphertext %q", name)
		}
		batch = append(batch, check(t, parse(t, all[i].Wire)))
	}
	return batch
}

func makeBatches(t *testing.T) (out []batchVector) {
	ours := []string{"zeros", "hello", "noise for a payload", "empty", "hello", "longest names"}
	for _, v := range []batchVector{
		{Name: "empty batch", Committee: "three of four", Ciphertexts: []string{}},
		{Name: "six", Committee: "three of four", Ciphertexts: ours},
		{Name: "six, reshared", Committee: "five of seven, reshared from three of four", Ciphertexts: ours},
		{Name: "one of one", Committee: "one of one", Ciphertexts: []string{"valid until 0"}},
		{Name: "sixteen", Committee: "eleven of sixteen", Ciphertexts: []string{"sixteen"}},
	} {
		_, secrets := committeeOf(t, v.Committee)
		batch := batchOf(t, v.Ciphertexts)
		v.Openings = []hexBytes{}
		for _, c := range batch {
			points := map[uint32][]byte{}
			for i, s := range secrets {
				b := s.ExposeSecretBytes()
				points[uint32(i+1)] = thresholdtest.Multiply(b[:], thresholdtest.U(c.Ciphertext()))
			}
			v.Openings = append(v.Openings, thresholdtest.Interpolate(points)) // through all n: the polynomial is the same
		}
		for i, s := range secrets {
			b := s.ExposeSecretBytes()
			wire := binary.BigEndian.AppendUint32([]byte{1}, uint32(i+1))
			wire = binary.BigEndian.AppendUint32(wire, uint32(len(batch)))
			for _, c := range batch {
				wire = append(wire, thresholdtest.Multiply(b[:], thresholdtest.U(c.Ciphertext()))...)
			}
			v.Shares = append(v.Shares, wire)
		}
		out = append(out, v)
	}
	return out
}

func TestBatchVectors(t *testing.T) {
	for _, v := range vectors(t, "batches.json", func() []batchVector { return makeBatches(t) }) {
		t.Run(v.Name, func(t *testing.T) {
			c, secrets := committeeOf(t, v.Committee)
			batch := batchOf(t, v.Ciphertexts)
			var shares []*threshold.BatchShare
			for i, s := range secrets {
				b, err := share(t, s, batch).MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "share", b, v.Shares[i])
				parsed, err := threshold.ParseBatchShare(v.Shares[i])
				if err != nil {
					t.Fatal(err)
				}
				if _, err := threshold.VerifyBatchShare(c, batch, parsed); err != nil {
					t.Error(err)
				}
				shares = append(shares, parsed)
			}
			for i := range len(shares) - c.Threshold + 1 {
				openings, bad, err := threshold.Combine(c, batch, shares[i:i+c.Threshold])
				if err != nil || bad != nil {
					t.Fatal(bad, err)
				}
				for i, o := range openings {
					p := o.Opening()
					equal(t, "opening", p[:], v.Openings[i])
				}
			}
		})
	}
}

func makeSignatures(t *testing.T) (out []signatureVector) {
	for _, v := range []signatureVector{
		{Name: "empty message", Committee: "three of four", Message: []byte{}},
		{Name: "checkpoint", Committee: "three of four", Message: []byte("a checkpoint")},
		{Name: "checkpoint, reshared", Committee: "five of seven, reshared from three of four", Message: []byte("a checkpoint")},
	} {
		_, secrets := committeeOf(t, v.Committee)
		v.Base = thresholdtest.HashMessage(v.Message)
		points := map[uint32][]byte{}
		for i, s := range secrets {
			b := s.ExposeSecretBytes()
			points[uint32(i+1)] = thresholdtest.Multiply(b[:], v.Base)
			v.Shares = append(v.Shares, points[uint32(i+1)])
		}
		v.Signature = thresholdtest.Interpolate(points)
		out = append(out, v)
	}
	return out
}

func TestSignatureVectors(t *testing.T) {
	for _, v := range vectors(t, "signatures.json", func() []signatureVector { return makeSignatures(t) }) {
		t.Run(v.Name, func(t *testing.T) {
			c, secrets := committeeOf(t, v.Committee)
			equal(t, "base", thresholdtest.HashMessage(v.Message), v.Base)
			var shares []threshold.SignatureShare
			for i, s := range secrets {
				sh, err := s.Sign(v.Message)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "share", sh.Point[:], v.Shares[i])
				shares = append(shares, sh)
			}
			sig, bad, err := threshold.CombineSignature(c, v.Message, shares)
			if err != nil || bad != nil {
				t.Fatal(bad, err)
			}
			equal(t, "signature", sig[:], v.Signature)
			if err := threshold.VerifySignature(c.Key, v.Message, threshold.Signature(v.Signature)); err != nil {
				t.Error(err)
			}
			if !thresholdtest.SamePower(v.Signature, v.Base, c.Key.Bytes()[48:]) {
				t.Error("circl finds the signature wrong")
			}
		})
	}
}

func makeInvalid(t *testing.T) (out []invalidVector) {
	add := func(kind, name, err string, b []byte) {
		out = append(out, invalidVector{Name: name, Kind: kind, Bytes: b, Error: err})
	}
	named := func(err error) string {
		for name, e := range errorNames {
			if err == e {
				return name
			}
		}
		panic(err)
	}
	sorted := func(m map[string]struct {
		b    []byte
		want error
	}) (names []string) {
		for name := range m {
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	c, _ := committeeOf(t, "three of four")
	cts := batchOf(t, []string{"hello", "zeros"})
	p, q := split(cts[0].Ciphertext()), split(cts[1].Ciphertext())
	with := func(f func(*parts)) []byte { x := p; f(&x); return x.join() }
	bad := badPoints(t, p.u)
	for _, name := range sorted(bad) {
		add("ciphertext", "U "+name, named(bad[name].want), with(func(x *parts) { x.u = bad[name].b }))
		add("ciphertext", "Ub "+name, named(bad[name].want), with(func(x *parts) { x.ub = bad[name].b }))
	}
	add("ciphertext", "payload of another", "proof", with(func(x *parts) { x.payload = q.payload }))
	add("ciphertext", "capsule of another", "proof", with(func(x *parts) { x.u, x.ub, x.e, x.z = q.u, q.ub, q.e, q.z }))
	add("ciphertext", "proof of another", "proof", with(func(x *parts) { x.e, x.z = q.e, q.z }))
	add("ciphertext", "valid until raised", "proof", with(func(x *parts) {
		x.header = slices.Clone(x.header)
		x.header[len(x.header)-2]++
	}))
	add("ciphertext", "key id changed", "proof", with(func(x *parts) {
		x.header = slices.Clone(x.header)
		x.header[len(x.header)-10]++
	}))
	add("ciphertext", "z is the order", "encoding", with(func(x *parts) { x.z = circl.Order() }))
	add("ciphertext", "size class 10", "encoding", with(func(x *parts) {
		x.header = slices.Clone(x.header)
		x.header[len(x.header)-1] = 10
	}))
	add("ciphertext", "version 2", "encoding", append([]byte{2}, p.join()[1:]...))
	add("ciphertext", "one byte less", "encoding", p.join()[:len(p.join())-1])
	add("ciphertext", "one byte more", "encoding", append(p.join(), 0))
	add("ciphertext", "empty", "encoding", []byte{})
	add("ciphertext", "chain id with a space", "chain_id", with(func(x *parts) { x.header = bytes.Replace(x.header, []byte("scrim-1"), []byte("scrim 1"), 1) }))
	add("ciphertext", "namespace in capitals", "namespace", with(func(x *parts) { x.header = bytes.Replace(x.header, []byte("\x01a"), []byte("\x01A"), 1) }))

	key, other := c.Key.Bytes(), vectors(t, "keys.json", makeKeys).Committees[0].PublicKey
	bad = badPoints(t, key[:48])
	for _, name := range sorted(bad) {
		add("public_key", "Y "+name, named(bad[name].want), append(slices.Clone(bad[name].b), key[48:]...))
	}
	add("public_key", "Y2 of another", "key", append(slices.Clone(key[:48]), other[48:]...))
	add("public_key", "one byte less", "encoding", key[:143])
	add("public_key", "one byte more", "encoding", append(slices.Clone(key), 0))

	bad2 := badPoints2(c.Members[0].Bytes())
	var names []string
	for name := range bad2 {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		_, err := threshold.ParseMemberKey(bad2[name])
		want := "encoding"
		if errors.Is(err, threshold.ErrPoint) {
			want = "point"
		}
		add("member_key", name, want, bad2[name])
	}

	wire, _ := c.MarshalBinary()
	change := func(i int, v byte) []byte { b := slices.Clone(wire); b[i] = v; return b }
	add("committee", "threshold 2", "committee", change(12, 2))
	add("committee", "threshold 5", "committee", change(12, 5))
	swapped := slices.Clone(wire)
	copy(swapped[157:], wire[157+96:157+192])
	copy(swapped[157+96:], wire[157:157+96])
	add("committee", "swapped members", "committee", swapped)
	add("committee", "version 2", "encoding", change(0, 2))
	add("committee", "one byte less", "encoding", wire[:len(wire)-1])
	add("committee", "one byte more", "encoding", append(slices.Clone(wire), 0))

	add("batch_share", "member 0", "encoding", []byte{1, 0, 0, 0, 0, 0, 0, 0, 0})
	add("batch_share", "member 257", "encoding", []byte{1, 0, 0, 1, 1, 0, 0, 0, 0})
	add("batch_share", "count above the bytes", "encoding", []byte{1, 0, 0, 0, 1, 0, 0, 0, 1})
	add("batch_share", "one byte more", "encoding", []byte{1, 0, 0, 0, 1, 0, 0, 0, 0, 0})
	add("batch_share", "version 0", "encoding", []byte{0, 0, 0, 0, 1, 0, 0, 0, 0})
	return out
}

func TestInvalidVectors(t *testing.T) {
	decode := map[string]func([]byte) error{
		"ciphertext": func(b []byte) error {
			ct, err := threshold.ParseCiphertext(b)
			if err == nil {
				_, err = ct.Check()
			}
			return err
		},
		"public_key":  func(b []byte) error { _, err := threshold.ParsePublicKey(b); return err },
		"member_key":  func(b []byte) error { _, err := threshold.ParseMemberKey(b); return err },
		"committee":   func(b []byte) error { _, err := threshold.ParseCommittee(b); return err },
		"batch_share": func(b []byte) error { _, err := threshold.ParseBatchShare(b); return err },
	}
	for _, v := range vectors(t, "invalid.json", func() []invalidVector { return makeInvalid(t) }) {
		t.Run(v.Kind+" "+v.Name, func(t *testing.T) {
			want := errorNames[v.Error]
			if want == nil || decode[v.Kind] == nil {
				t.Fatalf("unknown error %q or kind %q", v.Error, v.Kind)
			}
			expect(t, decode[v.Kind](v.Bytes), want)
		})
	}
}

// accumulate hashes everything that many random rounds give.
func accumulate(t *testing.T, rounds int) []byte {
	source := rand.NewChaCha8([32]byte([]byte("scrim threshold v1 accumulated..")))
	r := rand.New(source)
	h := sha256.New()
	for i := range rounds {
		n := 1 + r.IntN(8)
		c, secrets := thresholdtest.Deal(fmt.Sprint("accumulated ", i), r.Uint64(), n, 1+r.IntN(n))
		b, err := c.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		h.Write(b)
		o := threshold.SealOptions{ChainID: "acc", Namespace: "acc", ValidUntil: r.Uint64(), MinSizeClass: uint8(r.IntN(3))}
		var batch []*threshold.Checked
		for range r.IntN(4) {
			plaintext := make([]byte, r.IntN(700))
			source.Read(plaintext)
			ct, err := threshold.Seal(source, c.Key, o, plaintext)
			if err != nil {
				t.Fatal(err)
			}
			h.Write(ct.Bytes())
			batch = append(batch, check(t, ct))
		}
		shares := shareAll(t, secrets, batch)
		for _, s := range shares {
			b, _ := s.MarshalBinary()
			h.Write(b)
		}
		r.Shuffle(n, func(i, j int) { shares[i], shares[j] = shares[j], shares[i] })
		openings, _, err := threshold.Combine(c, batch, shares[:c.Threshold])
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range openings {
			p := o.Opening()
			h.Write(p[:])
			h.Write([]byte(open(t, o)))
		}
		sig, err := secrets[0].Sign(b)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(sig.Point[:])
	}
	return h.Sum(nil)
}

func TestAccumulatedVector(t *testing.T) {
	const rounds = 60
	v := vectors(t, "accumulated.json", func() accumulatedVector { return accumulatedVector{rounds, accumulate(t, rounds)} })
	equal(t, "hash of everything", accumulate(t, v.Rounds), v.Hash)
}
