package thresholdtest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/big"

	circl "github.com/cloudflare/circl/ecc/bls12381"

	"github.com/scrimlabs/scrim/threshold"
)

// This file is the scheme a second time, on circl instead of gnark-crypto, written from docs/spec/threshold.md without
// any optimisation and without a line in common with package threshold. Tests hold the two against each other.

// Order is the order of the groups.
var Order = new(big.Int).SetBytes(circl.Order())

// Scalar reads a big-endian scalar and reduces it.
func Scalar(b []byte) *circl.Scalar {
	var k circl.Scalar
	k.SetBytes(b)
	return &k
}

// SecondGenerator is Gb.
func SecondGenerator() *circl.G1 {
	var g circl.G1
	g.Hash([]byte("scrim/tdh2-bls12381g1/v1"), []byte("scrim/second-generator/v1"))
	return &g
}

// Sealing is a ciphertext in the making, with every intermediate value, for vectors and for tests that spoil one of them.
type Sealing struct {
	Header []byte
	K, W   *circl.Scalar
	Key    *threshold.PublicKey

	U, Ub, P, A, Ab []byte // compressed
	PayloadKey      []byte
	Payload         []byte
	E               []byte // 16 bytes
	Z               []byte // 32 bytes
}

// NewSealing computes everything up to the payload key.
func NewSealing(key *threshold.PublicKey, header []byte, k, w *circl.Scalar) *Sealing {
	s := &Sealing{Header: header, K: k, W: w, Key: key}
	var y circl.G1
	if err := y.SetBytes(key.Bytes()[:48]); err != nil {
		panic(err)
	}
	s.U, s.Ub = times(k, circl.G1Generator()), times(k, SecondGenerator())
	s.A, s.Ab = times(w, circl.G1Generator()), times(w, SecondGenerator())
	s.P = times(k, &y)
	s.PayloadKey = PayloadKey(key.ID(), header, s.U, s.P)
	return s
}

// Encrypt sets the payload to the encryption of padded.
func (s *Sealing) Encrypt(padded []byte) *Sealing {
	aad := sha256.Sum256(s.Header)
	s.Payload = gcm(s.PayloadKey).Seal(nil, make([]byte, 12), padded, aad[:])
	return s
}

// Prove sets the challenge and the response.
func (s *Sealing) Prove() *Sealing {
	s.E = Challenge(s.Key.ID(), s.Header, s.Payload, s.U, s.Ub, s.A, s.Ab)
	z := Scalar(s.E)
	z.Mul(z, s.K)
	z.Add(z, s.W)
	s.Z, _ = z.MarshalBinary()
	return s
}

// Wire is the ciphertext.
func (s *Sealing) Wire() []byte {
	return bytes.Join([][]byte{s.Header, s.U, s.Ub, s.E, s.Z, s.Payload}, nil)
}

// Header encodes a header.
func Header(h threshold.Header) []byte {
	b := []byte{1, byte(len(h.ChainID))}
	b = append(b, h.ChainID...)
	b = append(b, byte(len(h.Namespace)))
	b = append(b, h.Namespace...)
	b = append(b, h.KeyID[:]...)
	b = binary.BigEndian.AppendUint64(b, h.ValidUntil)
	return append(b, h.SizeClass)
}

// Pad gives 4 length | plaintext | zeros.
func Pad(plaintext []byte, class uint8) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(plaintext)))
	b = append(b, plaintext...)
	return append(b, make([]byte, 256<<class-len(b))...)
}

// PayloadKey derives the key of the payload from the opening.
func PayloadKey(key threshold.KeyID, header, u, p []byte) []byte {
	hh := sha256.Sum256(header)
	info := bytes.Join([][]byte{[]byte("scrim/payload-key/v1"), key[:], u, hh[:]}, nil)
	k, err := hkdf.Key(sha256.New, p, nil, string(info), 32)
	if err != nil {
		panic(err)
	}
	return k
}

// Challenge is the proof's hash, 16 bytes.
func Challenge(key threshold.KeyID, header, payload, u, ub, a, ab []byte) []byte {
	hh, hc := sha256.Sum256(header), sha256.Sum256(payload)
	h := sha256.Sum256(bytes.Join([][]byte{[]byte("scrim/ciphertext-proof/v1"), key[:], hh[:], hc[:], u, ub, a, ab}, nil))
	return h[:16]
}

// Check checks a ciphertext that parses.
func Check(c *threshold.Ciphertext) bool {
	header := Header(c.Header())
	b := c.Bytes()[len(header):]
	u, ub, e, z, payload := b[:48], b[48:96], b[96:112], b[112:144], b[144:]
	var pu, pub circl.G1
	if pu.SetBytes(u) != nil || pub.SetBytes(ub) != nil || pu.IsIdentity() || pub.IsIdentity() {
		return false
	}
	if new(big.Int).SetBytes(z).Cmp(Order) >= 0 {
		return false
	}
	commitment := func(g, p *circl.G1) []byte { // zG - eP
		var l, r circl.G1
		l.ScalarMult(Scalar(z), g)
		r.ScalarMult(Scalar(e), p)
		r.Neg()
		l.Add(&l, &r)
		return l.BytesCompressed()
	}
	a, ab := commitment(circl.G1Generator(), &pu), commitment(SecondGenerator(), &pub)
	return bytes.Equal(e, Challenge(c.Header().KeyID, header, payload, u, ub, a, ab))
}

// U is the ciphertext's point.
func U(c *threshold.Ciphertext) []byte { return c.Bytes()[len(Header(c.Header())):][:48] }

// Multiply is a scalar times a compressed point.
func Multiply(secret, point []byte) []byte {
	var p circl.G1
	if err := p.SetBytes(point); err != nil {
		panic(err)
	}
	return times(Scalar(secret), &p)
}

// SamePower reports whether e(p, H) = e(base, q).
func SamePower(p, base, q []byte) bool {
	var a, b circl.G1
	var c circl.G2
	if a.SetBytes(p) != nil || b.SetBytes(base) != nil || c.SetBytes(q) != nil {
		return false
	}
	return circl.Pair(&a, circl.G2Generator()).IsEqual(circl.Pair(&b, &c))
}

// Interpolate combines shares, by member, into the opening.
func Interpolate(shares map[uint32][]byte) []byte {
	var sum circl.G1
	sum.SetIdentity()
	for j, share := range shares {
		num, den := big.NewInt(1), big.NewInt(1)
		for m := range shares {
			if m != j {
				num.Mul(num, big.NewInt(int64(m)))
				den.Mul(den, big.NewInt(int64(m)-int64(j)))
			}
		}
		num.Mul(num, new(big.Int).ModInverse(den.Mod(den, Order), Order)).Mod(num, Order)
		var p circl.G1
		if err := p.SetBytes(share); err != nil {
			panic(err)
		}
		p.ScalarMult(Scalar(num.Bytes()), &p)
		sum.Add(&sum, &p)
	}
	return sum.BytesCompressed()
}

// Open decrypts with an opening.
func Open(c *threshold.Ciphertext, opening []byte) ([]byte, error) {
	header := Header(c.Header())
	aad := sha256.Sum256(header)
	key := PayloadKey(c.Header().KeyID, header, U(c), opening)
	b, err := gcm(key).Open(nil, make([]byte, 12), c.Bytes()[len(header)+144:], aad[:])
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(b)
	if int(n) > len(b)-4 || len(bytes.TrimRight(b[4+n:], "\x00")) > 0 {
		return nil, errors.New("padding")
	}
	return b[4 : 4+n], nil
}

// HashMessage is the point that a signature on msg is a power of.
func HashMessage(msg []byte) []byte {
	var h circl.G1
	h.Hash(msg, []byte("scrim/committee-signature/v1"))
	return h.BytesCompressed()
}

func times(k *circl.Scalar, p *circl.G1) []byte {
	var q circl.G1
	q.ScalarMult(k, p)
	return q.BytesCompressed()
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}
