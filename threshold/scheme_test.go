package threshold_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// randomness is a source that is the same in every run.
func randomness(t testing.TB) *rand.ChaCha8 {
	var seed [32]byte
	copy(seed[:], t.Name())
	return rand.NewChaCha8(seed)
}

var options = threshold.SealOptions{ChainID: "scrim-test-1", Namespace: "rollup.a", ValidUntil: 1000}

func seal(t testing.TB, rand io.Reader, key *threshold.PublicKey, plaintext string) *threshold.Checked {
	t.Helper()
	ct, err := threshold.Seal(rand, key, options, []byte(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	return check(t, ct)
}

func check(t testing.TB, ct *threshold.Ciphertext) *threshold.Checked {
	t.Helper()
	c, err := ct.Check()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func parse(t testing.TB, b []byte) *threshold.Ciphertext {
	t.Helper()
	ct, err := threshold.ParseCiphertext(b)
	if err != nil {
		t.Fatal(err)
	}
	return ct
}

// sealBatch seals the plaintexts "0", "1" ...
func sealBatch(t testing.TB, rand io.Reader, key *threshold.PublicKey, n int) []*threshold.Checked {
	t.Helper()
	batch := make([]*threshold.Checked, n)
	for i := range batch {
		batch[i] = seal(t, rand, key, fmt.Sprint(i))
	}
	return batch
}

func share(t testing.TB, s *threshold.SecretShare, batch []*threshold.Checked) *threshold.BatchShare {
	t.Helper()
	b, err := s.ShareBatch(batch)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func shareAll(t testing.TB, secrets []*threshold.SecretShare, batch []*threshold.Checked) (all []*threshold.BatchShare) {
	t.Helper()
	for _, s := range secrets {
		all = append(all, share(t, s, batch))
	}
	return all
}

func open(t testing.TB, o threshold.VerifiedOpening) string {
	t.Helper()
	b, err := threshold.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func expect(t testing.TB, err error, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestSizes(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	r := randomness(t)
	for _, tc := range []struct {
		size       int
		least, got uint8
	}{
		{0, 0, 0}, {1, 0, 0}, {252, 0, 0}, {253, 0, 1}, {508, 0, 1}, {509, 0, 2}, {1, 3, 3}, {100000, 0, 9},
		{threshold.MaxPlaintext - 1, 0, 9}, {threshold.MaxPlaintext, 0, 9}, {threshold.MaxPlaintext, 9, 9},
	} {
		plaintext := bytes.Repeat([]byte{0, 7, 0}, tc.size)[:tc.size] // begins and ends like padding
		o := options
		o.MinSizeClass = tc.least
		ct, err := threshold.Seal(r, c.Key, o, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if ct.Header().SizeClass != tc.got {
			t.Errorf("%d bytes: class %d, want %d", tc.size, ct.Header().SizeClass, tc.got)
		}
		batch := []*threshold.Checked{check(t, parse(t, ct.Bytes()))}
		openings, bad, err := threshold.Combine(c, batch, shareAll(t, secrets[:3], batch))
		if err != nil || bad != nil {
			t.Fatal(bad, err)
		}
		if got := open(t, openings[0]); got != string(plaintext) {
			t.Errorf("%d bytes: opened to something else", tc.size)
		}
	}
	_, err := threshold.Seal(r, c.Key, options, make([]byte, threshold.MaxPlaintext+1))
	expect(t, err, threshold.ErrTooLarge)
	longest := threshold.SealOptions{ChainID: strings.Repeat("c", 50), Namespace: strings.Repeat("n", 32)}
	ct, err := threshold.Seal(r, c.Key, longest, make([]byte, threshold.MaxPlaintext))
	if err != nil || len(ct.Bytes()) != threshold.MaxCiphertext {
		t.Errorf("the largest ciphertext is not MaxCiphertext: %v", err)
	}
}

func TestSealRefuses(t *testing.T) {
	c, _ := thresholdtest.Deal(t.Name(), 1, 1, 1)
	with := func(f func(*threshold.SealOptions)) threshold.SealOptions { o := options; f(&o); return o }
	for name, tc := range map[string]struct {
		rand io.Reader
		key  *threshold.PublicKey
		o    threshold.SealOptions
		want error
	}{
		"no key":       {randomness(t), nil, options, threshold.ErrKey},
		"chain id":     {randomness(t), c.Key, with(func(o *threshold.SealOptions) { o.ChainID = "a b" }), threshold.ErrChainID},
		"no chain id":  {randomness(t), c.Key, with(func(o *threshold.SealOptions) { o.ChainID = "" }), threshold.ErrChainID},
		"namespace":    {randomness(t), c.Key, with(func(o *threshold.SealOptions) { o.Namespace = "-a" }), threshold.ErrNamespace},
		"size class":   {randomness(t), c.Key, with(func(o *threshold.SealOptions) { o.MinSizeClass = 10 }), threshold.ErrEncoding},
		"short source": {bytes.NewReader(make([]byte, 31)), c.Key, options, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := threshold.Seal(tc.rand, tc.key, tc.o, nil)
			expect(t, err, tc.want)
		})
	}
}

// A source of randomness that repeats itself must not repeat a secret for another message.
func TestSealWithRepeatedRandomness(t *testing.T) {
	c, _ := thresholdtest.Deal(t.Name(), 1, 1, 1)
	d, _ := thresholdtest.Deal(t.Name()+"2", 1, 1, 1)
	seen := map[string]string{}
	later := options
	later.ValidUntil++
	for name, sealIt := range map[string]func() (*threshold.Ciphertext, error){
		"a":            func() (*threshold.Ciphertext, error) { return threshold.Seal(same(), c.Key, options, []byte("a")) },
		"b":            func() (*threshold.Ciphertext, error) { return threshold.Seal(same(), c.Key, options, []byte("b")) },
		"other header": func() (*threshold.Ciphertext, error) { return threshold.Seal(same(), c.Key, later, []byte("a")) },
		"other key":    func() (*threshold.Ciphertext, error) { return threshold.Seal(same(), d.Key, options, []byte("a")) },
	} {
		ct, err := sealIt()
		if err != nil {
			t.Fatal(err)
		}
		u := string(thresholdtest.U(ct))
		if before, ok := seen[u]; ok {
			t.Errorf("%q and %q have the same U", before, name)
		}
		seen[u] = name
		again, _ := sealIt()
		if again.ID() != ct.ID() {
			t.Errorf("%q: not a function of its inputs", name)
		}
	}
}

func same() io.Reader { return bytes.NewReader(make([]byte, 32)) }

// Every subset of t members gives the same openings, and fewer give none.
func TestOpeningsAreUnique(t *testing.T) {
	for _, m := range []struct{ n, t int }{{1, 1}, {2, 2}, {4, 3}, {5, 2}, {7, 5}} {
		c, secrets := thresholdtest.Deal(t.Name(), 1, m.n, m.t)
		batch := sealBatch(t, randomness(t), c.Key, 3)
		shares := shareAll(t, secrets, batch)
		var want []threshold.Opening
		for set := range 1 << m.n {
			var chosen []*threshold.BatchShare
			for j := range m.n {
				if set>>j&1 == 1 {
					chosen = append([]*threshold.BatchShare{shares[j]}, chosen...) // in descending order
				}
			}
			openings, bad, err := threshold.Combine(c, batch, chosen)
			if len(chosen) < m.t {
				expect(t, err, threshold.ErrTooFew)
				continue
			}
			if err != nil || bad != nil {
				t.Fatal(bad, err)
			}
			var got []threshold.Opening
			for i, o := range openings {
				got = append(got, o.Opening())
				if text := open(t, o); text != fmt.Sprint(i) {
					t.Errorf("opened %q in place %d", text, i)
				}
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d of %d: members %b give other openings", m.t, m.n, set)
			}
		}
	}
}

// Every bit of a ciphertext is authenticated.
func TestCheckFindsEveryFlip(t *testing.T) {
	c, _ := thresholdtest.Deal(t.Name(), 1, 1, 1)
	wire := seal(t, randomness(t), c.Key, "to be spoilt").Ciphertext().Bytes()
	for i := range wire {
		b := slices.Clone(wire)
		b[i] ^= 1 << (i % 8)
		ct, err := threshold.ParseCiphertext(b)
		if err != nil {
			continue
		}
		if _, err := ct.Check(); err == nil {
			t.Errorf("byte %d may be changed", i)
		}
	}
	parse(t, wire)
	for _, b := range [][]byte{nil, wire[:1], wire[:len(wire)-1], append(slices.Clone(wire), 0)} {
		_, err := threshold.ParseCiphertext(b)
		expect(t, err, threshold.ErrEncoding)
	}
}

// parts of a ciphertext, to be put together anew.
type parts struct{ header, u, ub, e, z, payload []byte }

func split(ct *threshold.Ciphertext) parts {
	b := ct.Bytes()
	h := len(thresholdtest.Header(ct.Header()))
	return parts{b[:h], b[h : h+48], b[h+48 : h+96], b[h+96 : h+112], b[h+112 : h+144], b[h+144:]}
}

func (p parts) join() []byte {
	return bytes.Join([][]byte{p.header, p.u, p.ub, p.e, p.z, p.payload}, nil)
}

func TestCheckRefusesExchangedParts(t *testing.T) {
	c, _ := thresholdtest.Deal(t.Name(), 1, 1, 1)
	d, _ := thresholdtest.Deal(t.Name()+"2", 1, 1, 1)
	r := randomness(t)
	a, b := seal(t, r, c.Key, "a").Ciphertext(), seal(t, r, c.Key, "b").Ciphertext()
	other := seal(t, r, d.Key, "a").Ciphertext()
	pa, pb := split(a), split(b)
	with := func(f func(*parts)) []byte { p := pa; f(&p); return p.join() }
	later := a.Header()
	later.ValidUntil++
	for name, wire := range map[string][]byte{
		"payload":   with(func(p *parts) { p.payload = pb.payload }),
		"proof":     with(func(p *parts) { p.e, p.z = pb.e, pb.z }),
		"challenge": with(func(p *parts) { p.e = pb.e }),
		"response":  with(func(p *parts) { p.z = pb.z }),
		"U":         with(func(p *parts) { p.u = pb.u }),
		"Ub":        with(func(p *parts) { p.ub = pb.ub }),
		"capsule":   with(func(p *parts) { p.u, p.ub, p.e, p.z = pb.u, pb.ub, pb.e, pb.z }),
		"U for Ub":  with(func(p *parts) { p.u, p.ub = p.ub, p.u }),
		"header":    with(func(p *parts) { p.header = thresholdtest.Header(later) }),
		"key id":    with(func(p *parts) { p.header = split(other).header }),
		"mauled U": with(func(p *parts) {
			p.u, p.ub = twice(t, p.u), twice(t, p.ub) // same payload; opens to twice the opening
		}),
		"mauled U, adapted response": with(func(p *parts) { // 2U, 2Ub, and z with 2k in the place of k needs w
			p.u, p.ub = twice(t, p.u), twice(t, p.ub)
			var z, e fr.Element
			z.SetBytes(p.z)
			e.SetBytes(p.e)
			z.Double(&z)
			zb := z.Bytes()
			p.z = zb[:]
		}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, wire).Check()
			expect(t, err, threshold.ErrProof)
		})
	}
	// Somebody else's U cannot be taken over under a proof of one's own.
	t.Run("own proof for another's U", func(t *testing.T) {
		own := thresholdtest.NewSealing(c.Key, pa.header, thresholdtest.Scalar([]byte{5}), thresholdtest.Scalar([]byte{6}))
		own.U, own.Ub = pb.u, pb.ub
		_, err := parse(t, own.Encrypt(make([]byte, 256)).Prove().Wire()).Check()
		expect(t, err, threshold.ErrProof)
	})
	// U and Ub with different logarithms: the second generator has to be powered too.
	t.Run("Ub of another logarithm", func(t *testing.T) {
		own := thresholdtest.NewSealing(c.Key, pa.header, thresholdtest.Scalar([]byte{5}), thresholdtest.Scalar([]byte{6}))
		own.Ub = twice(t, own.Ub)
		_, err := parse(t, own.Encrypt(make([]byte, 256)).Prove().Wire()).Check()
		expect(t, err, threshold.ErrProof)
	})
}

func twice(t testing.TB, point []byte) []byte {
	t.Helper()
	return thresholdtest.Multiply([]byte{2}, point)
}

// smallOrder is the compressed sum of p, which may be nil, and a point of order 3: on the curve, outside the group.
func smallOrder(t testing.TB, p []byte) []byte {
	t.Helper()
	var a, small bls.G1Affine
	small.Y.SetUint64(2)
	if p != nil {
		if _, err := a.SetBytes(p); err != nil {
			t.Fatal(err)
		}
	}
	b := a.Add(&a, &small).Bytes()
	if _, err := new(bls.G1Affine).SetBytes(b[:]); err == nil {
		t.Fatal("the point is in the group")
	}
	return b[:]
}

var infinity = append([]byte{0xc0}, make([]byte, 47)...)

// badPoints are 48 bytes that no decoder of a point may take; near is a good point.
func badPoints(t testing.TB, near []byte) map[string]struct {
	b    []byte
	want error
} {
	t.Helper()
	flip := func(i int, bit byte) []byte { b := slices.Clone(near); b[i] ^= bit; return b }
	x := slices.Clone(near)
	x[0] &= 0x1f
	above := new(big.Int).Add(fp.Modulus(), big.NewInt(3)).FillBytes(make([]byte, 48)) // 3, not reduced
	above[0] |= 0x80
	prime := fp.Modulus().FillBytes(make([]byte, 48)) // the x of the point of order 3, not reduced
	prime[0] |= 0x80
	type bad = struct {
		b    []byte
		want error
	}
	return map[string]bad{
		"infinity":          {infinity, threshold.ErrPoint},
		"order 3":           {smallOrder(t, nil), threshold.ErrPoint},
		"plus order 3":      {smallOrder(t, near), threshold.ErrPoint},
		"infinity and x":    {flip(0, 0x40), threshold.ErrEncoding},
		"infinity and sign": {append([]byte{0xe0}, make([]byte, 47)...), threshold.ErrEncoding},
		"not compressed":    {x, threshold.ErrEncoding},
		"x not reduced":     {above, threshold.ErrEncoding},
		"x is p":            {prime, threshold.ErrEncoding},
		"zeros":             {make([]byte, 48), threshold.ErrEncoding},
		"ones":              {bytes.Repeat([]byte{0xff}, 48), threshold.ErrEncoding},
	}
}

func TestCheckRefusesBadPoints(t *testing.T) {
	c, _ := thresholdtest.Deal(t.Name(), 1, 1, 1)
	p := split(seal(t, randomness(t), c.Key, "x").Ciphertext())
	for name, bad := range badPoints(t, p.u) {
		for _, which := range []string{"U", "Ub"} {
			t.Run(which+" "+name, func(t *testing.T) {
				q := p
				if which == "U" {
					q.u = bad.b
				} else {
					q.ub = bad.b
				}
				_, err := parse(t, q.join()).Check()
				expect(t, err, bad.want)
			})
		}
	}
}

// A prover who plays with small orders could guess the challenge modulo 3; the subgroup check stops it.
func TestCheckRefusesProvenPointOfSmallOrder(t *testing.T) {
	c, _ := thresholdtest.Deal(t.Name(), 1, 1, 1)
	h := seal(t, randomness(t), c.Key, "").Header()
	for w := byte(1); w < 200; w++ {
		own := thresholdtest.NewSealing(c.Key, thresholdtest.Header(h), thresholdtest.Scalar([]byte{5}), thresholdtest.Scalar([]byte{w}))
		own.U = smallOrder(t, own.U)
		wire := own.Encrypt(make([]byte, 256)).Prove().Wire()
		if new(big.Int).Mod(new(big.Int).SetBytes(own.E), big.NewInt(3)).Sign() != 0 {
			continue
		}
		// e U has lost the small component: but for the subgroup check this would pass.
		_, err := parse(t, wire).Check()
		expect(t, err, threshold.ErrPoint)
		return
	}
	t.Fatal("no challenge is divisible by 3")
}

func TestParseRefusesResponseNotReduced(t *testing.T) {
	c, _ := thresholdtest.Deal(t.Name(), 1, 1, 1)
	p := split(seal(t, randomness(t), c.Key, "x").Ciphertext())
	for _, add := range []int64{0, 1} {
		p.z = new(big.Int).Add(thresholdtest.Order, big.NewInt(add)).FillBytes(make([]byte, 32))
		_, err := threshold.ParseCiphertext(p.join())
		expect(t, err, threshold.ErrEncoding)
	}
	z := new(big.Int).SetBytes(split(seal(t, randomness(t), c.Key, "x").Ciphertext()).z)
	if z.Add(z, thresholdtest.Order); z.BitLen() <= 256 { // the same response, not reduced
		p.z = z.FillBytes(make([]byte, 32))
		_, err := threshold.ParseCiphertext(p.join())
		expect(t, err, threshold.ErrEncoding)
	}
}

func TestParseRefusesHeaders(t *testing.T) {
	c, _ := thresholdtest.Deal(t.Name(), 1, 1, 1)
	ct := seal(t, randomness(t), c.Key, "x").Ciphertext()
	p := split(ct)
	with := func(f func(*threshold.Header)) []byte {
		h, q := ct.Header(), p
		f(&h)
		q.header = thresholdtest.Header(h)
		return q.join()
	}
	version := ct.Bytes()
	version[0] = 2
	for name, tc := range map[string]struct {
		b    []byte
		want error
	}{
		"version":    {version, threshold.ErrEncoding},
		"chain id":   {with(func(h *threshold.Header) { h.ChainID = "é" }), threshold.ErrChainID},
		"long chain": {with(func(h *threshold.Header) { h.ChainID = strings.Repeat("a", 51) }), threshold.ErrChainID},
		"namespace":  {with(func(h *threshold.Header) { h.Namespace = "A" }), threshold.ErrNamespace},
		"size class": {with(func(h *threshold.Header) { h.SizeClass = 10 }), threshold.ErrEncoding},
		"class 255":  {with(func(h *threshold.Header) { h.SizeClass = 255 }), threshold.ErrEncoding},
		"length":     {with(func(h *threshold.Header) { h.SizeClass = 1 }), threshold.ErrEncoding},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := threshold.ParseCiphertext(tc.b)
			expect(t, err, tc.want)
		})
	}
}

func TestNames(t *testing.T) {
	for s, ok := range map[string]bool{
		"a": true, "0": true, "a-b": true, "a.b": true, "a..b": true, strings.Repeat("z", 32): true,
		"": false, "-": false, ".a": false, "a-": false, "A": false, "a_b": false, "a b": false, "ä": false, "a\x00": false, strings.Repeat("z", 33): false,
	} {
		if err := threshold.ValidNamespace(s); (err == nil) != ok || err != nil && err != threshold.ErrNamespace {
			t.Errorf("namespace %q: %v", s, err)
		}
	}
	for s, ok := range map[string]bool{
		"a": true, "Scrim_test-1.0": true, "-": true, strings.Repeat("Z", 50): true,
		"": false, "a b": false, "a/b": false, "é": false, strings.Repeat("Z", 51): false,
	} {
		if err := threshold.ValidChainID(s); (err == nil) != ok || err != nil && err != threshold.ErrChainID {
			t.Errorf("chain id %q: %v", s, err)
		}
	}
}

func TestCheckBatch(t *testing.T) {
	c, _ := thresholdtest.Deal(t.Name(), 1, 1, 1)
	good := seal(t, randomness(t), c.Key, "x").Ciphertext()
	p := split(good)
	p.e = make([]byte, 16)
	checked, errs := threshold.CheckBatch([]*threshold.Ciphertext{good, parse(t, p.join()), nil, good})
	if checked[0] == nil || errs[0] != nil || checked[3] == nil || errs[3] != nil || checked[1] != nil || checked[2] != nil {
		t.Errorf("%v %v", checked, errs)
	}
	expect(t, errs[1], threshold.ErrProof)
	expect(t, errs[2], threshold.ErrEncoding)
	if checked[0].ID() != good.ID() || checked[0].Ciphertext() != good || checked[0].Header() != good.Header() {
		t.Error("the checked ciphertext is another")
	}
	if checked, errs := threshold.CheckBatch(nil); len(checked)+len(errs) != 0 {
		t.Error("results for nothing")
	}
}

// bent returns a copy of shares in which f has changed member j's.
func bent(shares []*threshold.BatchShare, j uint32, f func(*threshold.BatchShare)) []*threshold.BatchShare {
	out := slices.Clone(shares)
	for i, s := range out {
		if s.Member == j {
			c := &threshold.BatchShare{Member: s.Member, Points: slices.Clone(s.Points)}
			f(c)
			out[i] = c
		}
	}
	return out
}

func TestCombineFindsBadShares(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	other, otherSecrets := thresholdtest.Deal(t.Name()+"2", 1, 4, 3)
	r := randomness(t)
	batch := sealBatch(t, r, c.Key, 5)
	shares := shareAll(t, secrets, batch)
	want, _, err := threshold.Combine(c, batch, shares)
	if err != nil {
		t.Fatal(err)
	}
	foreign := share(t, otherSecrets[1], sealBatch(t, r, other.Key, 5))
	point := func(b []byte) func(*threshold.BatchShare) {
		return func(s *threshold.BatchShare) { s.Points[3] = [48]byte(b) }
	}
	cases := map[string]func(*threshold.BatchShare){
		"wrong point":         point(shares[0].Points[3][:]),
		"generator":           point(thresholdtest.Multiply([]byte{1}, shares[0].Points[0][:])),
		"negated":             func(s *threshold.BatchShare) { s.Points[3][0] ^= 0x20 },
		"swapped points":      func(s *threshold.BatchShare) { s.Points[3], s.Points[4] = s.Points[4], s.Points[3] },
		"another member's":    func(s *threshold.BatchShare) { s.Points = shares[2].Points },
		"another committee's": func(s *threshold.BatchShare) { s.Points = foreign.Points },
		"too short":           func(s *threshold.BatchShare) { s.Points = s.Points[:4] },
		"too long":            func(s *threshold.BatchShare) { s.Points = append(s.Points, s.Points[0]) },
		"empty":               func(s *threshold.BatchShare) { s.Points = nil },
	}
	for name, bad := range badPoints(t, shares[1].Points[3][:]) {
		cases["point "+name] = point(bad.b)
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			got, bad, err := threshold.Combine(c, batch, bent(shares, 2, f))
			harmless := name == "point plus order 3" // member 2's weight among 1, 2, 3 is -3, which takes it away
			if err != nil || !slices.Equal(bad, []uint32{2}) && !harmless {
				t.Fatalf("bad %v, %v", bad, err)
			}
			for i := range got {
				if got[i].Opening() != want[i].Opening() {
					t.Error("other openings")
				}
			}
			if text := open(t, got[3]); text != "3" {
				t.Errorf("opened %q", text)
			}
			_, bad, err = threshold.Combine(c, batch, bent(shares, 2, f)[:3])
			if !harmless {
				expect(t, err, threshold.ErrTooFew)
				if !slices.Equal(bad, []uint32{2}) {
					t.Errorf("bad %v", bad)
				}
			}
			_, err = threshold.VerifyBatchShare(c, batch, bent(shares, 2, f)[1])
			if !errors.Is(err, threshold.ErrShare) && !errors.Is(err, threshold.ErrPoint) && !errors.Is(err, threshold.ErrEncoding) {
				t.Errorf("verified by itself: %v", err)
			}
		})
	}
	t.Run("small order that stays", func(t *testing.T) {
		f := func(s *threshold.BatchShare) { s.Points[3] = [48]byte(smallOrder(t, s.Points[3][:])) }
		got, bad, err := threshold.Combine(c, batch, bent(shares, 3, f))
		if err != nil || !slices.Equal(bad, []uint32{3}) || got[3].Opening() != want[3].Opening() {
			t.Errorf("bad %v, %v", bad, err)
		}
	})
	t.Run("two bad", func(t *testing.T) {
		spoilt := bent(bent(shares, 4, cases["negated"]), 1, cases["too short"])
		_, bad, err := threshold.Combine(c, batch, spoilt)
		expect(t, err, threshold.ErrTooFew)
		if !slices.Equal(bad, []uint32{1, 4}) {
			t.Errorf("bad %v", bad)
		}
	})
}

// Two liars whose errors cancel out in one ciphertext are still found, and errors that cancel over a batch too.
func TestVerifyFindsCancellingErrors(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	batch := sealBatch(t, randomness(t), c.Key, 2)
	s := share(t, secrets[0], batch)
	var a, b, d bls.G1Affine
	a.SetBytes(s.Points[0][:])
	b.SetBytes(s.Points[1][:])
	d.SetBytes(thresholdtest.U(batch[0].Ciphertext()))
	s.Points[0] = a.Add(&a, &d).Bytes()
	s.Points[1] = b.Sub(&b, &d).Bytes()
	_, err := threshold.VerifyBatchShare(c, batch, s)
	expect(t, err, threshold.ErrShare)
}

func TestCombineIgnoresWhatIsNoMembers(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	batch := sealBatch(t, randomness(t), c.Key, 2)
	s := shareAll(t, secrets, batch)
	stranger := func(j uint32) *threshold.BatchShare { return &threshold.BatchShare{Member: j, Points: s[0].Points} }
	wrong := &threshold.BatchShare{Member: 1, Points: s[1].Points}
	for name, tc := range map[string]struct {
		shares []*threshold.BatchShare
		bad    []uint32
		err    error
	}{
		"strangers":             {[]*threshold.BatchShare{stranger(0), s[0], stranger(5), s[1], stranger(1 << 31), s[2], nil}, nil, nil},
		"too few and strangers": {[]*threshold.BatchShare{stranger(0), s[0], stranger(5), s[1]}, nil, threshold.ErrTooFew},
		"repeated":              {[]*threshold.BatchShare{s[0], s[0], s[1], s[1], s[2]}, nil, nil},
		"too few, repeated":     {[]*threshold.BatchShare{s[0], s[0], s[1], s[1]}, nil, threshold.ErrTooFew},
		"first one counts":      {[]*threshold.BatchShare{s[0], wrong, s[1], s[2]}, nil, nil},
		"first one is wrong":    {[]*threshold.BatchShare{wrong, s[0], s[1], s[2]}, []uint32{1}, threshold.ErrTooFew},
		"none":                  {nil, nil, threshold.ErrTooFew},
	} {
		t.Run(name, func(t *testing.T) {
			_, bad, err := threshold.Combine(c, batch, tc.shares)
			if !slices.Equal(bad, tc.bad) || !errors.Is(err, tc.err) {
				t.Errorf("bad %v, error %v; want %v, %v", bad, err, tc.bad, tc.err)
			}
		})
	}
}

// Shares for some ciphertexts tell nothing that opens another.
func TestUnselectedCiphertextStaysClosed(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	r := randomness(t)
	selected, closed := sealBatch(t, r, c.Key, 3), seal(t, r, c.Key, "closed")
	shares := shareAll(t, secrets, selected)
	openings, _, err := threshold.Combine(c, selected, shares)
	if err != nil {
		t.Fatal(err)
	}
	for i := range selected {
		o := openings[i].Opening()
		_, err := threshold.VerifyOpenings(c.Key, []*threshold.Checked{closed}, []threshold.Opening{o})
		expect(t, err, threshold.ErrOpening)
		if _, err := thresholdtest.Open(closed.Ciphertext(), o[:]); err == nil {
			t.Error("opened with another's opening")
		}
		batch := slices.Clone(selected)
		batch[i] = closed
		_, bad, err := threshold.Combine(c, batch, shares)
		expect(t, err, threshold.ErrTooFew)
		if len(bad) != 4 {
			t.Errorf("bad %v", bad)
		}
	}
}

func TestEmptyBatch(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	shares := shareAll(t, secrets, nil)
	openings, bad, err := threshold.Combine(c, nil, shares)
	if len(openings) != 0 || bad != nil || err != nil {
		t.Error(openings, bad, err)
	}
	_, _, err = threshold.Combine(c, nil, shares[:2])
	expect(t, err, threshold.ErrTooFew)
	if _, err := threshold.VerifyOpenings(c.Key, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestSameCiphertextAndSameU(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	h := thresholdtest.Header(seal(t, randomness(t), c.Key, "").Header())
	k := thresholdtest.Scalar([]byte{77})
	var batch []*threshold.Checked
	for i, text := range []string{"a", "b"} { // a sender that uses k twice
		s := thresholdtest.NewSealing(c.Key, h, k, thresholdtest.Scalar([]byte{byte(i + 1)}))
		batch = append(batch, check(t, parse(t, s.Encrypt(thresholdtest.Pad([]byte(text), 0)).Prove().Wire())))
	}
	batch = append(batch, batch[0])
	openings, bad, err := threshold.Combine(c, batch, shareAll(t, secrets, batch)[1:])
	if err != nil || bad != nil {
		t.Fatal(bad, err)
	}
	for i, want := range []string{"a", "b", "a"} {
		if got := open(t, openings[i]); got != want {
			t.Errorf("opened %q, want %q", got, want)
		}
	}
	if openings[0].Opening() != openings[1].Opening() || batch[0].ID() == batch[1].ID() {
		t.Error("the same U has the same opening, but is another ciphertext")
	}
}

func TestVerifyOpenings(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	other, _ := thresholdtest.Deal(t.Name()+"2", 1, 4, 3)
	batch := sealBatch(t, randomness(t), c.Key, 9)
	verified, _, err := threshold.Combine(c, batch, shareAll(t, secrets, batch))
	if err != nil {
		t.Fatal(err)
	}
	good := make([]threshold.Opening, len(batch))
	for i := range good {
		good[i] = verified[i].Opening()
	}
	again, err := threshold.VerifyOpenings(c.Key, batch, good)
	if err != nil {
		t.Fatal(err)
	}
	for i := range again {
		if open(t, again[i]) != fmt.Sprint(i) || again[i].Opening() != good[i] || again[i].Ciphertext() != batch[i] {
			t.Errorf("opening %d", i)
		}
	}
	bad := map[string]threshold.Opening{"another's": good[0], "twice": threshold.Opening(twice(t, good[0][:]))}
	for name, p := range badPoints(t, good[4][:]) {
		bad[name] = threshold.Opening(p.b)
	}
	for name, p := range bad {
		for _, at := range []int{1, 4, 8} {
			openings := slices.Clone(good)
			openings[at] = p
			openings[8][0] ^= 0x20 // and a later one
			_, err := threshold.VerifyOpenings(c.Key, batch, openings)
			expect(t, err, threshold.ErrOpening)
			var oe *threshold.OpeningError
			if !errors.As(err, &oe) || oe.Index != at || oe.ID != batch[at].ID() {
				t.Errorf("%s at %d: %v", name, at, err)
			}
		}
	}
	_, err = threshold.VerifyOpenings(c.Key, batch, good[:8])
	expect(t, err, threshold.ErrEncoding)
	_, err = threshold.VerifyOpenings(other.Key, batch, good)
	expect(t, err, threshold.ErrKey)
	_, err = threshold.VerifyOpenings(nil, batch, good)
	expect(t, err, threshold.ErrKey)
	// Errors that cancel out in the sum are found.
	var a, b, d bls.G1Affine
	a.SetBytes(good[0][:])
	b.SetBytes(good[1][:])
	d.SetBytes(good[2][:])
	openings := slices.Clone(good)
	openings[0], openings[1] = a.Add(&a, &d).Bytes(), b.Sub(&b, &d).Bytes()
	_, err = threshold.VerifyOpenings(c.Key, batch, openings)
	expect(t, err, threshold.ErrOpening)
}

// Old and new shares do not mix, and an old ciphertext opens under the new ones.
func TestResharing(t *testing.T) {
	before, oldSecrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	after, newSecrets := thresholdtest.Reshare(t.Name(), "second", 2, 7, 5)
	if before.Key.ID() != after.Key.ID() {
		t.Fatal("a resharing changed the key")
	}
	batch := sealBatch(t, randomness(t), before.Key, 2)
	older, newer := shareAll(t, oldSecrets, batch), shareAll(t, newSecrets, batch)
	was, _, err := threshold.Combine(before, batch, older)
	if err != nil {
		t.Fatal(err)
	}
	is, bad, err := threshold.Combine(after, batch, newer)
	if err != nil || bad != nil {
		t.Fatal(bad, err)
	}
	for i := range is {
		if is[i].Opening() != was[i].Opening() || open(t, is[i]) != fmt.Sprint(i) {
			t.Error("the new committee opens it differently")
		}
	}
	mixed := append(slices.Clone(older[:2]), newer[2:5]...)
	_, bad, err = threshold.Combine(after, batch, mixed)
	expect(t, err, threshold.ErrTooFew)
	if !slices.Equal(bad, []uint32{1, 2}) {
		t.Errorf("bad %v", bad)
	}
	mixed = append(slices.Clone(newer[:1]), older[1:4]...)
	got, bad, err := threshold.Combine(before, batch, mixed)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Opening() != was[0].Opening() {
		t.Error("another opening")
	}
	_ = bad // a new share that was not needed may go unnoticed
	v, err := threshold.VerifyBatchShare(before, batch, older[0])
	if err != nil {
		t.Fatal(err)
	}
	_, err = threshold.CombineVerified(after, batch, slices.Repeat([]*threshold.VerifiedBatchShare{v}, 5))
	expect(t, err, threshold.ErrShare)
}

func TestCombineVerified(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	r := randomness(t)
	batch, another := sealBatch(t, r, c.Key, 2), sealBatch(t, r, c.Key, 2)
	var shares, foreign []*threshold.VerifiedBatchShare
	for i, s := range secrets {
		v, err := threshold.VerifyBatchShare(c, batch, share(t, s, batch))
		if err != nil {
			t.Fatal(err)
		}
		if v.Member() != uint32(i+1) {
			t.Errorf("member %d", v.Member())
		}
		w, err := threshold.VerifyBatchShare(c, another, share(t, s, another))
		if err != nil {
			t.Fatal(err)
		}
		shares, foreign = append(shares, v), append(foreign, w)
	}
	openings, err := threshold.CombineVerified(c, batch, []*threshold.VerifiedBatchShare{shares[3], shares[0], shares[0], shares[1]})
	if err != nil {
		t.Fatal(err)
	}
	if open(t, openings[1]) != "1" {
		t.Error("opened to something else")
	}
	for name, tc := range map[string]struct {
		shares []*threshold.VerifiedBatchShare
		want   error
	}{
		"too few":       {shares[:2], threshold.ErrTooFew},
		"repeated":      {[]*threshold.VerifiedBatchShare{shares[0], shares[0], shares[1]}, threshold.ErrTooFew},
		"other batch":   {foreign, threshold.ErrOpening},
		"one of others": {[]*threshold.VerifiedBatchShare{shares[0], shares[1], foreign[2]}, threshold.ErrOpening},
		"zero value":    {[]*threshold.VerifiedBatchShare{shares[0], shares[1], {}}, threshold.ErrShare},
		"nil":           {[]*threshold.VerifiedBatchShare{shares[0], shares[1], nil}, threshold.ErrShare},
	} {
		_, err := threshold.CombineVerified(c, batch, tc.shares)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

func TestVoid(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	lengthTooLarge := binary.BigEndian.AppendUint32(nil, 253)
	dirty := thresholdtest.Pad([]byte("x"), 0)
	dirty[255] = 1
	batch := []*threshold.Checked{
		seal(t, randomness(t), c.Key, "fine"),
		check(t, thresholdtest.Void("noise", c.Key, options)),
		check(t, thresholdtest.BadPadding("long", c.Key, options, append(lengthTooLarge, make([]byte, 252)...))),
		check(t, thresholdtest.BadPadding("longer", c.Key, options, bytes.Repeat([]byte{0xff}, 256))),
		check(t, thresholdtest.BadPadding("dirty", c.Key, options, dirty)),
	}
	openings, bad, err := threshold.Combine(c, batch, shareAll(t, secrets, batch))
	if err != nil || bad != nil {
		t.Fatal(bad, err)
	}
	if open(t, openings[0]) != "fine" {
		t.Error("a void ciphertext spoils another")
	}
	for _, o := range openings[1:] {
		_, err := threshold.Open(o)
		expect(t, err, threshold.ErrVoid)
	}
}

// What was never checked does nothing, and nothing panics.
func TestZeroValues(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 1, 1)
	for _, batch := range [][]*threshold.Checked{{nil}, {{}}} {
		_, err := secrets[0].ShareBatch(batch)
		expect(t, err, threshold.ErrProof)
		_, _, err = threshold.Combine(c, batch, nil)
		expect(t, err, threshold.ErrProof)
		_, err = threshold.VerifyOpenings(c.Key, batch, make([]threshold.Opening, 1))
		expect(t, err, threshold.ErrProof)
	}
	_, err := threshold.Open(threshold.VerifiedOpening{})
	expect(t, err, threshold.ErrOpening)
	for _, c := range []*threshold.Committee{nil, {}, {Key: new(threshold.PublicKey), Threshold: 1, Members: c.Members}, {Key: c.Key}, {Key: c.Key, Threshold: 1, Members: []*threshold.MemberKey{nil}}, {Key: c.Key, Threshold: 2, Members: c.Members}} {
		_, _, err := threshold.Combine(c, nil, nil)
		expect(t, err, threshold.ErrCommittee)
		_, err = threshold.VerifyBatchShare(c, nil, &threshold.BatchShare{Member: 1})
		expect(t, err, threshold.ErrCommittee)
		_, _, err = threshold.CombineSignature(c, nil, nil)
		expect(t, err, threshold.ErrCommittee)
		_, err = c.MarshalBinary()
		expect(t, err, threshold.ErrCommittee)
	}
	_, err = threshold.VerifyBatchShare(c, nil, nil)
	expect(t, err, threshold.ErrShare)
	_, err = new(threshold.Ciphertext).Check()
	expect(t, err, threshold.ErrEncoding)
	_, err = threshold.Seal(randomness(t), new(threshold.PublicKey), options, nil)
	expect(t, err, threshold.ErrKey)
	_, err = new(threshold.SecretShare).Sign(nil)
	expect(t, err, threshold.ErrWiped)
	new(threshold.SecretShare).Wipe()
}

// Keys, committees, shares and ciphertexts may be used by many goroutines; run with -race.
func TestConcurrentUse(t *testing.T) {
	c, secrets := thresholdtest.Deal(t.Name(), 1, 4, 3)
	batch := sealBatch(t, randomness(t), c.Key, 2)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var shares []*threshold.BatchShare
			for _, s := range secrets {
				b, err := s.ShareBatch(batch)
				if err != nil {
					t.Error(err)
					return
				}
				shares = append(shares, b)
			}
			_, errs := threshold.CheckBatch([]*threshold.Ciphertext{batch[0].Ciphertext()})
			_, _, err := threshold.Combine(c, batch, shares)
			_, serr := threshold.Seal(same(), c.Key, options, nil)
			if err := errors.Join(errs[0], err, serr); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// The same inputs give the same bytes: what nodes agree on depends on nothing else.
func TestDeterminism(t *testing.T) {
	var last []string
	for range 3 {
		c, secrets := thresholdtest.Deal(t.Name(), 1, 7, 5)
		batch := sealBatch(t, randomness(t), c.Key, 4)
		shares := bent(shareAll(t, secrets, batch), 3, func(s *threshold.BatchShare) { s.Points[0][0] ^= 0x20 })
		openings, bad, err := threshold.Combine(c, batch, shares)
		got := []string{fmt.Sprint(bad, err)}
		for _, o := range openings {
			got = append(got, fmt.Sprintf("%x", o.Opening()))
		}
		if diff := cmp.Diff(last, got); last != nil && diff != "" {
			t.Error(diff)
		}
		last = got
	}
}

// The second implementation, on circl, agrees in every step.
func TestAgreesWithCircl(t *testing.T) {
	source := randomness(t)
	r := rand.New(source)
	for round := range 6 {
		n := 1 + r.IntN(7)
		c, secrets := thresholdtest.Deal(fmt.Sprint(t.Name(), round), 1, n, 1+r.IntN(n))
		plaintext := make([]byte, r.IntN(600))
		source.Read(plaintext)

		var seed [32]byte
		source.Read(seed[:])
		ct, err := threshold.Seal(bytes.NewReader(seed[:]), c.Key, options, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		header := thresholdtest.Header(ct.Header())
		k, w := threshold.SealScalars(seed, header, plaintext)
		theirs := thresholdtest.NewSealing(c.Key, header, thresholdtest.Scalar(k[:]), thresholdtest.Scalar(w[:])).
			Encrypt(thresholdtest.Pad(plaintext, ct.Header().SizeClass)).Prove()
		if !bytes.Equal(theirs.Wire(), ct.Bytes()) {
			t.Fatal("sealed differently")
		}
		if !thresholdtest.Check(ct) {
			t.Error("circl finds the proof wrong")
		}
		batch := []*threshold.Checked{check(t, ct)}
		theirShares := map[uint32][]byte{}
		shares := shareAll(t, secrets, batch)
		for i, s := range shares {
			secret := secrets[i].ExposeSecretBytes()
			if want := thresholdtest.Multiply(secret[:], theirs.U); !bytes.Equal(s.Points[0][:], want) {
				t.Error("shared differently")
			}
			if !thresholdtest.SamePower(s.Points[0][:], theirs.U, c.Members[i].Bytes()) {
				t.Error("circl finds a share wrong")
			}
			if len(theirShares) < c.Threshold {
				theirShares[s.Member] = s.Points[0][:]
			}
		}
		openings, bad, err := threshold.Combine(c, batch, shares)
		if err != nil || bad != nil {
			t.Fatal(bad, err)
		}
		o := openings[0].Opening()
		if !bytes.Equal(o[:], thresholdtest.Interpolate(theirShares)) || !bytes.Equal(o[:], theirs.P) {
			t.Error("combined differently")
		}
		if !thresholdtest.SamePower(o[:], theirs.U, c.Key.Bytes()[48:]) {
			t.Error("circl finds the opening wrong")
		}
		back, err := thresholdtest.Open(ct, o[:])
		if err != nil || !bytes.Equal(back, plaintext) || open(t, openings[0]) != string(plaintext) {
			t.Error("opened differently", err)
		}
		msg := []byte(fmt.Sprint("message ", round))
		ss, err := secrets[0].Sign(msg)
		if err != nil {
			t.Fatal(err)
		}
		secret := secrets[0].ExposeSecretBytes()
		if !bytes.Equal(ss.Point[:], thresholdtest.Multiply(secret[:], thresholdtest.HashMessage(msg))) {
			t.Error("signed differently")
		}
	}
}
