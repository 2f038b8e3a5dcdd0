package commitreveal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

const chainID = "scrim-test"

// committeeOf4 is a 3-of-4 committee with its secrets.
var committeeOf4 = sync.OnceValues(func() (*threshold.Committee, []*threshold.SecretShare) {
	return thresholdtest.Deal("commitreveal", 1, 4, 3)
})

// identity is a member's identity key.
func identity(member uint32) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "identity %d", member))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicIdentity(member uint32) ed25519.PublicKey {
	return identity(member).Public().(ed25519.PublicKey)
}

// sealed gives ciphertexts of n plaintexts "0", "1", and so on.
func sealed(t testing.TB, n int) (cts []*threshold.Checked, ids []threshold.ID) {
	t.Helper()
	c, _ := committeeOf4()
	rng := rand.NewChaCha8([32]byte{1})
	for i := range n {
		ct, err := threshold.Seal(rng, c.Key, threshold.SealOptions{ChainID: chainID, Namespace: "rollup-a", ValidUntil: 100}, fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		checked, err := ct.Check()
		if err != nil {
			t.Fatal(err)
		}
		cts, ids = append(cts, checked), append(ids, checked.ID())
	}
	return cts, ids
}

// shared gives a member's signed share of a batch of height 7, with its
// checkpoint.
func shared(t testing.TB, member uint32, cts []*threshold.Checked, ids []threshold.ID) (ShareMessage, Checkpoint) {
	t.Helper()
	_, secrets := committeeOf4()
	b, err := NewBatch(7, 1, ids)
	if err != nil {
		t.Fatal(err)
	}
	cp := b.CheckpointAt(chainID, mustAppend(t, Log{}, []byte("entry")))
	signed, err := cp.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	share, err := secrets[member-1].ShareBatch(cts)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := secrets[member-1].Sign(signed)
	if err != nil {
		t.Fatal(err)
	}
	m := ShareMessage{ChainID: chainID, Epoch: 1, Height: 7, Root: b.Root, Share: *share, Signature: signature}
	if err := m.Sign(identity(member)); err != nil {
		t.Fatal(err)
	}
	return m, cp
}

// certificate is the committee's signature on a checkpoint.
func certificate(t testing.TB, cp Checkpoint) threshold.Signature {
	t.Helper()
	c, secrets := committeeOf4()
	signed, err := cp.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var shares []threshold.SignatureShare
	for _, s := range secrets[:3] {
		share, err := s.Sign(signed)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, share)
	}
	sig, _, err := threshold.CombineSignature(c, signed, shares)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func testReceipt(t testing.TB) Receipt {
	t.Helper()
	r := Receipt{
		ChainID: chainID, ID: id("a"), Epoch: 1, Member: 2, ValidUntil: 100, Time: 1700000000123,
		Position: 1, Head: NextHead(Hash{}, id("a")),
	}
	if err := SignReceipt(identity(2), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// namespaces gives a namespace for each of n ciphertexts: two of them, in turn.
func namespaces(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = []string{"rollup-a", "rollup-b"}[i%2]
	}
	return out
}
