// Package thresholdtest deals committees for tests. Its dealer knows every secret: real committees are made by a key
// ceremony (package keygen), in which nobody does.
package thresholdtest

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"

	"github.com/scrimlabs/scrim/threshold"
)

// Deal makes a committee of n members with threshold t and all its secret shares, shares[j-1] being member j's. The same
// seed gives the same committee. It panics if the numbers make no committee.
func Deal(seed string, epoch uint64, n, t int) (*threshold.Committee, []*threshold.SecretShare) {
	return deal(polynomial(seed, "", t), epoch, n, t)
}

// Reshare is Deal with new shares of the same secret: another polynomial through the same public key.
func Reshare(seed, round string, epoch uint64, n, t int) (*threshold.Committee, []*threshold.SecretShare) {
	p := polynomial(seed, round, t)
	p[0] = polynomial(seed, "", 1)[0]
	return deal(p, epoch, n, t)
}

func polynomial(seed, round string, t int) []fr.Element {
	p := make([]fr.Element, t)
	for i := range p {
		var b []byte
		for half := range 2 {
			in := binary.BigEndian.AppendUint32([]byte(seed+"/"+round+"/"), uint32(2*i+half))
			h := sha256.Sum256(in)
			b = append(b, h[:]...)
		}
		p[i].SetBytes(b)
	}
	return p
}

func deal(p []fr.Element, epoch uint64, n, t int) (*threshold.Committee, []*threshold.SecretShare) {
	shares := make([]*threshold.SecretShare, n)
	known := make(map[uint32]*threshold.MemberKey)
	for j := uint32(1); j <= uint32(n); j++ {
		var x, s fr.Element
		x.SetUint64(uint64(j))
		for i := len(p) - 1; i >= 0; i-- {
			s.Mul(&s, &x).Add(&s, &p[i])
		}
		b := s.Bytes()
		share, err := threshold.NewSecretShare(j, &b)
		if err != nil {
			panic(err)
		}
		shares[j-1] = share
		if len(known) < t {
			known[j] = share.MemberKey()
		}
	}
	members, y2, err := threshold.CompleteMembers(n, t, known)
	if err != nil {
		panic(err)
	}
	_, _, g, _ := bls.Generators()
	var y bls.G1Affine
	yb := y.ScalarMultiplication(&g, p[0].BigInt(new(big.Int))).Bytes()
	key, err := threshold.ParsePublicKey(append(yb[:], y2...))
	if err != nil {
		panic(err)
	}
	c, err := threshold.NewCommittee(epoch, t, key, members)
	if err != nil {
		panic(err)
	}
	return c, shares
}
