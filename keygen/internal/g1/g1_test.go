package g1_test

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"math/big"
	"math/rand/v2"
	"testing"

	circl "github.com/cloudflare/circl/ecc/bls12381"
	gnark "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fp"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"go.dedis.ch/kyber/v3"
	"go.dedis.ch/kyber/v3/share"
	dkg "go.dedis.ch/kyber/v3/share/dkg/pedersen"
	vss "go.dedis.ch/kyber/v3/share/vss/pedersen"
	"go.dedis.ch/kyber/v3/xof/blake2xb"

	"github.com/scrimlabs/scrim/keygen/internal/g1"
)

func stream(seed string) cipher.Stream { return blake2xb.New([]byte(seed)) }

func suite(seed string) g1.Suite { return g1.Suite{Group: g1.Secret, Random: stream(seed)} }

// scalars are random ones among values at the edges.
func scalars(t testing.TB) []kyber.Scalar {
	var out []kyber.Scalar
	for _, v := range []int64{0, 1, -1, 2, -2, 3, 255, 1<<16 - 1, 1 << 16, 1 << 32, 1<<63 - 1, -1 << 63} {
		out = append(out, g1.Secret.Scalar().SetInt64(v))
	}
	rnd := stream(t.Name())
	for range 6 {
		out = append(out, g1.Secret.Scalar().Pick(rnd))
	}
	return out
}

func integer(s kyber.Scalar) *big.Int {
	b, _ := s.MarshalBinary()
	return new(big.Int).SetBytes(b)
}

func TestScalarArithmeticAgreesWithIntegers(t *testing.T) {
	r := fr.Modulus()
	mod := func(x *big.Int) *big.Int { return x.Mod(x, r) }
	for _, a := range scalars(t) {
		for _, b := range scalars(t) {
			x, y := integer(a), integer(b)
			check := func(op string, got kyber.Scalar, want *big.Int) {
				t.Helper()
				if integer(got).Cmp(want) != 0 {
					t.Fatalf("%s of %x and %x: %x, want %x", op, x, y, integer(got), want)
				}
			}
			check("add", g1.Secret.Scalar().Add(a, b), mod(new(big.Int).Add(x, y)))
			check("sub", g1.Secret.Scalar().Sub(a, b), mod(new(big.Int).Sub(x, y)))
			check("mul", g1.Secret.Scalar().Mul(a, b), mod(new(big.Int).Mul(x, y)))
			check("neg", g1.Secret.Scalar().Neg(a), mod(new(big.Int).Neg(x)))
			if y.Sign() != 0 {
				inv := new(big.Int).ModInverse(y, r)
				check("inv", g1.Secret.Scalar().Inv(b), inv)
				check("div", g1.Secret.Scalar().Div(a, b), mod(inv.Mul(inv, x)))
			}
			aliased := a.Clone()
			check("aliased mul", aliased.Mul(aliased, b), mod(new(big.Int).Mul(x, y)))
			aliased = a.Clone()
			check("aliased div", aliased.Div(b, aliased.Set(b)), func() *big.Int {
				if y.Sign() == 0 {
					return new(big.Int)
				}
				return big.NewInt(1)
			}())
		}
	}
}

func TestScalarSetBytesReduces(t *testing.T) {
	rnd := rand.NewChaCha8([32]byte{1})
	for n := range 100 {
		b := make([]byte, n)
		rnd.Read(b)
		want := new(big.Int).SetBytes(b)
		want.Mod(want, fr.Modulus())
		if got := integer(g1.Secret.Scalar().SetBytes(b)); got.Cmp(want) != 0 {
			t.Fatalf("%x: %x, want %x", b, got, want)
		}
	}
	all := bytes.Repeat([]byte{0xff}, 64)
	want := new(big.Int).Mod(new(big.Int).SetBytes(all), fr.Modulus())
	if got := integer(g1.Secret.Scalar().SetBytes(all)); got.Cmp(want) != 0 {
		t.Fatalf("%x, want %x", got, want)
	}
}

// Three ways to multiply agree: constant time, variable time, and gnark on integers.
func TestMultiplicationsAgree(t *testing.T) {
	_, _, g, _ := gnark.Generators()
	for _, s := range scalars(t) {
		for _, b := range scalars(t) {
			q := g1.Public.Point().Mul(b, nil)
			slow := g1.Secret.Point().Mul(s, q)
			fast := g1.Public.Point().Mul(s, q)
			product := new(big.Int).Mul(integer(s), integer(b))
			var want gnark.G1Affine
			want.ScalarMultiplication(&g, product.Mod(product, fr.Modulus()))
			wantBytes := want.Bytes()
			for _, p := range []kyber.Point{slow, fast} {
				if got, _ := p.MarshalBinary(); !bytes.Equal(got, wantBytes[:]) {
					t.Fatalf("%x times %x: %x, want %x", integer(s), integer(b), got, wantBytes)
				}
			}
			if !slow.Equal(fast) || !fast.Equal(slow) {
				t.Fatal("equal points are not Equal")
			}
		}
		var want circl.G1
		var k circl.Scalar
		enc, _ := s.MarshalBinary()
		k.UnmarshalBinary(enc)
		want.ScalarMult(&k, circl.G1Generator())
		for _, grp := range []g1.Group{g1.Secret, g1.Public} {
			if got, _ := grp.Point().Mul(s, nil).MarshalBinary(); !bytes.Equal(got, want.BytesCompressed()) {
				t.Fatalf("base times %x: %x, want %x", integer(s), got, want.BytesCompressed())
			}
		}
	}
}

func TestCombine(t *testing.T) {
	var points []*g1.Point
	var weights []*g1.Scalar
	sum := g1.Secret.Point()
	for i, s := range scalars(t) {
		points = append(points, g1.Public.Point().Mul(g1.Secret.Scalar().SetInt64(int64(i)), nil).(*g1.Point)) // infinity among them
		weights = append(weights, s.(*g1.Scalar))
		sum.Add(sum, g1.Secret.Point().Mul(s, points[i]))
		if got := g1.Combine(points, weights); !got.Equal(sum) {
			t.Fatalf("of %d: %v, want %v", i+1, got, sum)
		}
	}
	if !g1.Combine(nil, nil).IsInfinity() {
		t.Error("the sum of nothing is not the neutral element")
	}
}

func TestPointArithmetic(t *testing.T) {
	for _, a := range scalars(t) {
		for _, b := range scalars(t) {
			p, q := g1.Public.Point().Mul(a, nil), g1.Public.Point().Mul(b, nil)
			sum := g1.Public.Point().Add(p, q)
			if !sum.Equal(g1.Public.Point().Mul(g1.Secret.Scalar().Add(a, b), nil)) {
				t.Fatalf("%x + %x", integer(a), integer(b))
			}
			if !g1.Public.Point().Sub(sum, q).Equal(p) {
				t.Fatal("sum - q != p")
			}
			if neg := g1.Public.Point().Neg(p); !neg.Add(neg, p).Equal(g1.Secret.Point().Null()) {
				t.Fatal("p - p is not the neutral element")
			}
			if aliased := p.Clone(); !aliased.Sub(q, aliased).Equal(g1.Public.Point().Sub(q, p)) {
				t.Fatal("aliased Sub")
			}
		}
	}
}

func TestUnmarshalIsStrict(t *testing.T) {
	good := g1.Public.Point().Mul(g1.Secret.Scalar().SetInt64(7), nil)
	enc, _ := good.MarshalBinary()
	back := g1.Public.Point()
	if err := back.UnmarshalBinary(enc); err != nil || !back.Equal(good) {
		t.Fatalf("a good point: %v", err)
	}
	infinity := append([]byte{0xc0}, make([]byte, 47)...)
	if err := back.UnmarshalBinary(infinity); err != nil || !back.(*g1.Point).IsInfinity() {
		t.Fatalf("infinity: %v", err)
	}

	outside := gnark.GeneratePointNotInG1(fp.One())
	var outsideAffine gnark.G1Affine
	outsideAffine.FromJacobian(&outside)
	outsideBytes := outsideAffine.Bytes()
	modulus := fp.Modulus().FillBytes(make([]byte, 48))
	modulus[0] |= 0x80
	raw := func() []byte { var a gnark.G1Affine; a.SetBytes(enc); b := a.RawBytes(); return b[:] }()
	for name, b := range map[string][]byte{
		"empty":                       nil,
		"short":                       enc[:47],
		"long":                        append(bytes.Clone(enc), 0),
		"uncompressed":                raw,
		"uncompressed, cut":           raw[:48],
		"outside the subgroup":        outsideBytes[:],
		"x = p":                       modulus,
		"infinity with a sign":        append([]byte{0xe0}, make([]byte, 47)...),
		"infinity with a bit":         append(append([]byte{0xc0}, make([]byte, 46)...), 1),
		"compression flag is missing": append([]byte{enc[0] & 0x7f}, enc[1:]...),
	} {
		if err := g1.Public.Point().UnmarshalBinary(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}

	order, _ := hex.DecodeString("73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001")
	largest := bytes.Clone(order)
	largest[31]--
	if err := g1.Secret.Scalar().UnmarshalBinary(largest); err != nil {
		t.Errorf("r-1: %v", err)
	}
	for name, b := range map[string][]byte{
		"r": order, "ones": bytes.Repeat([]byte{0xff}, 32), "short": make([]byte, 31), "long": make([]byte, 33),
	} {
		if err := g1.Secret.Scalar().UnmarshalBinary(b); err == nil {
			t.Errorf("scalar %s: accepted", name)
		}
	}
}

// kyber's own sharing works over the adapter.
func TestShare(t *testing.T) {
	const n, threshold = 7, 5
	poly := share.NewPriPoly(g1.Secret, threshold, nil, stream("poly"))
	pub := poly.Commit(g1.Secret.Point().Base())
	shares := poly.Shares(n)
	for _, s := range shares {
		if !pub.Check(s) {
			t.Fatalf("share %d does not fit", s.I)
		}
	}
	if pub.Check(&share.PriShare{I: 1, V: shares[0].V}) {
		t.Fatal("a share fits another's index")
	}
	secret, err := share.RecoverSecret(g1.Secret, shares[2:], threshold, n)
	if err != nil || !secret.Equal(poly.Secret()) {
		t.Fatalf("recovered secret: %v", err)
	}
	commit, err := share.RecoverCommit(g1.Public, pub.Shares(n)[1:], threshold, n)
	if err != nil || !commit.Equal(pub.Commit()) {
		t.Fatalf("recovered commitment: %v", err)
	}
	if few, err := share.RecoverSecret(g1.Secret, shares[:threshold-1], threshold, n); err == nil {
		t.Fatalf("recovered %v from too few", few)
	}
}

func TestVSS(t *testing.T) {
	const n, threshold = 5, 3
	s := suite("vss")
	keys := make([]kyber.Scalar, n)
	pubs := make([]kyber.Point, n)
	for i := range keys {
		keys[i] = s.Scalar().Pick(s.Random)
		pubs[i] = s.Point().Mul(keys[i], nil)
	}
	long := s.Scalar().Pick(s.Random)
	secret := s.Scalar().Pick(s.Random)
	dealer, err := vss.NewDealer(s, long, secret, pubs, threshold)
	if err != nil {
		t.Fatal(err)
	}
	deals, err := dealer.EncryptedDeals()
	if err != nil {
		t.Fatal(err)
	}
	verifiers := make([]*vss.Verifier, n)
	var responses []*vss.Response
	for i := range verifiers {
		if verifiers[i], err = vss.NewVerifier(s, keys[i], s.Point().Mul(long, nil), pubs); err != nil {
			t.Fatal(err)
		}
		r, err := verifiers[i].ProcessEncryptedDeal(deals[i])
		if err != nil {
			t.Fatal(err)
		}
		responses = append(responses, r)
	}
	var plain []*vss.Deal
	for i, v := range verifiers {
		for _, r := range responses {
			if int(r.Index) != i {
				if err := v.ProcessResponse(r); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !v.DealCertified() {
			t.Fatalf("verifier %d: deal is not certified", i)
		}
		plain = append(plain, v.Deal())
	}
	got, err := vss.RecoverSecret(s, plain, n, threshold)
	if err != nil || !got.Equal(secret) {
		t.Fatalf("recovered: %v", err)
	}
}

func TestDKG(t *testing.T) {
	const n, threshold = 4, 3
	s := suite("dkg")
	keys := make([]kyber.Scalar, n)
	pubs := make([]kyber.Point, n)
	for i := range keys {
		keys[i] = s.Scalar().Pick(s.Random)
		pubs[i] = s.Point().Mul(keys[i], nil)
	}
	gens := make([]*dkg.DistKeyGenerator, n)
	for i := range gens {
		var err error
		if gens[i], err = dkg.NewDistKeyGenerator(s, keys[i], pubs, threshold); err != nil {
			t.Fatal(err)
		}
	}
	var responses []*dkg.Response
	for _, g := range gens {
		deals, err := g.Deals()
		if err != nil {
			t.Fatal(err)
		}
		for to, d := range deals {
			r, err := gens[to].ProcessDeal(d)
			if err != nil {
				t.Fatal(err)
			}
			responses = append(responses, r)
		}
	}
	for i, g := range gens {
		for _, r := range responses {
			if int(r.Response.Index) == i {
				continue
			}
			if j, err := g.ProcessResponse(r); err != nil || j != nil {
				t.Fatalf("response: %v %v", j, err)
			}
		}
	}
	var shares []*share.PriShare
	var public kyber.Point
	for _, g := range gens {
		if !g.Certified() {
			t.Fatal("not certified")
		}
		k, err := g.DistKeyShare()
		if err != nil {
			t.Fatal(err)
		}
		if !share.NewPubPoly(g1.Public, nil, k.Commits).Check(k.PriShare()) {
			t.Fatal("share does not fit the committee")
		}
		shares, public = append(shares, k.PriShare()), k.Public()
	}
	secret, err := share.RecoverSecret(g1.Secret, shares[1:], threshold, n)
	if err != nil || !g1.Secret.Point().Mul(secret, nil).Equal(public) {
		t.Fatalf("recovered: %v", err)
	}
}

func FuzzPoint(f *testing.F) {
	for _, s := range scalars(f) {
		b, _ := g1.Public.Point().Mul(s, nil).MarshalBinary()
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := g1.Public.Point()
		if p.UnmarshalBinary(b) != nil {
			return
		}
		if again, _ := p.MarshalBinary(); !bytes.Equal(again, b) {
			t.Fatalf("%x was accepted, its encoding is %x", b, again)
		}
	})
}

func BenchmarkMul(b *testing.B) {
	s := g1.Secret.Scalar().Pick(stream("b"))
	q := g1.Public.Point().Pick(stream("q"))
	b.Run("secret base", func(b *testing.B) {
		for b.Loop() {
			g1.Secret.Point().Mul(s, nil)
		}
	})
	b.Run("public", func(b *testing.B) {
		for b.Loop() {
			g1.Public.Point().Mul(s, q)
		}
	})
}
