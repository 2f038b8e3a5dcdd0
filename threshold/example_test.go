package threshold_test

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

// A transaction's way: a wallet seals it, everybody checks it, three of four members share it once its place is fixed, and
// whoever has the shares opens it.
func Example() {
	committee, secrets := thresholdtest.Deal("example", 1, 4, 3) // in earnest: a key ceremony

	// The wallet.
	sealed, err := threshold.Seal(rand.Reader, committee.Key, threshold.SealOptions{
		ChainID: "scrim-1", Namespace: "rollup.a", ValidUntil: 1200,
	}, []byte("transfer 5 to Ada"))
	if err != nil {
		panic(err)
	}

	// Every node, before it admits the ciphertext.
	received, err := threshold.ParseCiphertext(sealed.Bytes())
	if err != nil {
		panic(err)
	}
	checked, err := received.Check()
	if err != nil {
		panic(err)
	}
	batch := []*threshold.Checked{checked}

	// The members, once the order of the batch is final. Member 2 is down.
	var shares []*threshold.BatchShare
	for _, secret := range []*threshold.SecretShare{secrets[0], secrets[2], secrets[3]} {
		share, err := secret.ShareBatch(batch)
		if err != nil {
			panic(err)
		}
		shares = append(shares, share)
	}

	// Anybody.
	openings, bad, err := threshold.Combine(committee, batch, shares)
	if err != nil {
		panic(err)
	}
	plaintext, err := threshold.Open(openings[0])
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s (bad members: %v)\n", plaintext, bad)
	// Output: transfer 5 to Ada (bad members: [])
}

func ExampleSeal() {
	committee, _ := thresholdtest.Deal("example", 1, 4, 3)
	options := threshold.SealOptions{ChainID: "scrim-1", Namespace: "rollup.a", ValidUntil: 1200}
	for _, size := range []int{0, 252, 253} {
		ct, err := threshold.Seal(rand.Reader, committee.Key, options, make([]byte, size))
		if err != nil {
			panic(err)
		}
		fmt.Printf("%d bytes: size class %d, %d bytes sealed\n", size, ct.Header().SizeClass, len(ct.Bytes()))
	}
	_, err := threshold.Seal(rand.Reader, committee.Key, options, make([]byte, threshold.MaxPlaintext+1))
	fmt.Println(err)
	// Output:
	// 0 bytes: size class 0, 475 bytes sealed
	// 252 bytes: size class 0, 475 bytes sealed
	// 253 bytes: size class 1, 731 bytes sealed
	// seal: threshold: plaintext is larger than the largest size class
}

// Two members out of four are one too few; one that sends a wrong share is named.
func ExampleCombine() {
	committee, secrets := thresholdtest.Deal("example", 1, 4, 3)
	ct, err := threshold.Seal(rand.Reader, committee.Key, threshold.SealOptions{ChainID: "scrim-1", Namespace: "a"}, []byte("hello"))
	if err != nil {
		panic(err)
	}
	checked, err := ct.Check()
	if err != nil {
		panic(err)
	}
	batch := []*threshold.Checked{checked}
	var shares []*threshold.BatchShare
	for _, s := range secrets {
		share, err := s.ShareBatch(batch)
		if err != nil {
			panic(err)
		}
		shares = append(shares, share)
	}

	_, _, err = threshold.Combine(committee, batch, shares[:2])
	fmt.Println(errors.Is(err, threshold.ErrTooFew), err)

	shares[1].Points[0] = shares[0].Points[0] // member 2 lies
	openings, bad, err := threshold.Combine(committee, batch, shares)
	fmt.Println(len(openings), bad, err)
	// Output:
	// true combine: 2 of 3: threshold: fewer valid shares than the threshold
	// 1 [2] <nil>
}

// An auditor has the ciphertext and its opening from the log, and the committee's key. It needs to know no member.
func ExampleVerifyOpenings() {
	committee, secrets := thresholdtest.Deal("example", 1, 1, 1)
	ct, err := threshold.Seal(rand.Reader, committee.Key, threshold.SealOptions{ChainID: "scrim-1", Namespace: "a"}, []byte("hello"))
	if err != nil {
		panic(err)
	}
	checked, err := ct.Check()
	if err != nil {
		panic(err)
	}
	batch := []*threshold.Checked{checked}
	share, err := secrets[0].ShareBatch(batch)
	if err != nil {
		panic(err)
	}
	opening := threshold.Opening(share.Points[0]) // of a committee of one, the share is the opening

	verified, err := threshold.VerifyOpenings(committee.Key, batch, []threshold.Opening{opening})
	if err != nil {
		panic(err)
	}
	plaintext, err := threshold.Open(verified[0])
	fmt.Printf("%s %v\n", plaintext, err)

	opening[0] ^= 0x20 // the negated point
	_, err = threshold.VerifyOpenings(committee.Key, batch, []threshold.Opening{opening})
	var wrong *threshold.OpeningError
	fmt.Println(errors.As(err, &wrong), wrong.Index)
	// Output:
	// hello <nil>
	// true 0
}

// The committee signs checkpoints with the same shares, in a domain of its own.
func ExampleCombineSignature() {
	committee, secrets := thresholdtest.Deal("example", 1, 4, 3)
	checkpoint := []byte("scrim-1, height 12, root ...")
	var shares []threshold.SignatureShare
	for _, s := range secrets[1:] {
		share, err := s.Sign(checkpoint)
		if err != nil {
			panic(err)
		}
		shares = append(shares, share)
	}
	sig, _, err := threshold.CombineSignature(committee, checkpoint, shares)
	if err != nil {
		panic(err)
	}
	fmt.Println(threshold.VerifySignature(committee.Key, checkpoint, sig))
	fmt.Println(threshold.VerifySignature(committee.Key, []byte("another"), sig))
	// Output:
	// <nil>
	// verify signature: threshold: signature does not verify
}
