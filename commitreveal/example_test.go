package commitreveal_test

import (
	"crypto/ed25519"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// A batch goes from ordered to the moment where this member's share may leave.
func ExampleStep() {
	var log commitreveal.Log
	batch, err := commitreveal.NewBatch(7, 1, []threshold.ID{{1}, {2}})
	if err != nil {
		panic(err)
	}

	// The block that orders it appends the commit entry to the log.
	commit, err := batch.Commit(threshold.KeyID{}, [32]byte{}, []string{"rollup-a", "rollup-b"})
	if err != nil {
		panic(err)
	}
	entry, err := commitreveal.MarshalEntry(commit)
	if err != nil {
		panic(err)
	}
	log, _, err = log.Append(entry) // the second result goes to a store of hashes
	if err != nil {
		panic(err)
	}
	batch, _, err = commitreveal.Step(batch, commitreveal.Logged{Checkpoint: batch.CheckpointAt("scrim-example", log)})
	if err != nil {
		panic(err)
	}
	fmt.Println(batch.Phase)

	// Only when block and guard are on disk does the share leave.
	batch, effects, err := commitreveal.Step(batch, commitreveal.Durable{Root: batch.Root})
	if err != nil {
		panic(err)
	}
	fmt.Println(batch.Phase)
	for _, e := range effects {
		fmt.Printf("release the share of height %d\n", e.(commitreveal.ReleaseShare).Height)
	}
	// Output:
	// committed
	// sharing
	// release the share of height 7
}

// A rollup shows that it has all its transactions of a batch.
func ExampleProveNamespace() {
	ids := []threshold.ID{{1}, {2}, {3}}
	namespaces := []string{"rollup-b", "rollup-a", "rollup-b"}
	batch, err := commitreveal.NewBatch(7, 1, ids)
	if err != nil {
		panic(err)
	}
	commit, err := batch.Commit(threshold.KeyID{}, [32]byte{}, namespaces) // the log has this entry
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"rollup-b", "rollup-c"} {
		proof, err := commitreveal.ProveNamespace(ids, namespaces, name)
		if err != nil {
			panic(err)
		}
		fmt.Println(name, len(proof.Transactions), proof.Verify(commit))
	}
	// Output:
	// rollup-b 2 <nil>
	// rollup-c 0 <nil>
}

// A member promises to order a ciphertext; the wallet keeps the promise.
func ExampleSignReceipt() {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	id := threshold.ID{1}
	r := commitreveal.Receipt{
		ChainID: "scrim-example", ID: id, Epoch: 1, Member: 1, ValidUntil: 100,
		Time: 1700000000123, Position: 1, Head: commitreveal.NextHead(commitreveal.Hash{}, id),
	}
	if err := commitreveal.SignReceipt(key, &r); err != nil {
		panic(err)
	}
	fmt.Println(commitreveal.VerifyReceipt(key.Public().(ed25519.PublicKey), &r))

	r.ValidUntil = 200
	fmt.Println(commitreveal.VerifyReceipt(key.Public().(ed25519.PublicKey), &r))
	// Output:
	// <nil>
	// verify receipt of member 1: commitreveal: signature does not verify
}
