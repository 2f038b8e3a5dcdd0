package thresholdtest

import (
	"crypto/sha256"

	circl "github.com/cloudflare/circl/ecc/bls12381"

	"github.com/scrimlabs/scrim/threshold"
)

// Void makes a ciphertext that passes every check but does not decrypt: its sender has put noise in the payload's place. The
// same seed gives the same ciphertext.
func Void(seed string, key *threshold.PublicKey, o threshold.SealOptions) *threshold.Ciphertext {
	s := NewSealing(key, Header(headerOf(key, o)), seedScalar(seed, "k"), seedScalar(seed, "w"))
	s.Payload = make([]byte, 256<<o.MinSizeClass+16)
	for i := range s.Payload {
		s.Payload[i] = seed[i%len(seed)]
	}
	return mustParse(s.Prove().Wire())
}

// BadPadding makes a ciphertext that passes every check and decrypts, but to a plaintext with these bytes in the place of
// the length and the padding that belong there.
func BadPadding(seed string, key *threshold.PublicKey, o threshold.SealOptions, padded []byte) *threshold.Ciphertext {
	s := NewSealing(key, Header(headerOf(key, o)), seedScalar(seed, "k"), seedScalar(seed, "w"))
	return mustParse(s.Encrypt(padded).Prove().Wire())
}

func headerOf(key *threshold.PublicKey, o threshold.SealOptions) threshold.Header {
	return threshold.Header{
		ChainID: o.ChainID, Namespace: o.Namespace, KeyID: key.ID(), ValidUntil: o.ValidUntil, SizeClass: o.MinSizeClass,
	}
}

func seedScalar(seed, name string) *circl.Scalar {
	h := sha256.Sum256([]byte(seed + "/" + name))
	return Scalar(h[:])
}

func mustParse(b []byte) *threshold.Ciphertext {
	c, err := threshold.ParseCiphertext(b)
	if err != nil {
		panic(err)
	}
	return c
}
