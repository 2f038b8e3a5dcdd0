package fair_test

import (
	"crypto/sha256"
	"fmt"
	"log"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Three of four members tell what they received. The first two ids come before the third in all logs; the logs do not
// agree on which of the two was first, so it depends on the beacon, which is known only afterwards.
func ExampleStep() {
	params := fair.DefaultParams(4)
	state, err := fair.New(params, 0)
	if err != nil {
		log.Fatal(err)
	}
	name := map[threshold.ID]string{}
	id := func(s string) threshold.ID {
		id := threshold.ID(sha256.Sum256([]byte(s)))
		name[id] = s
		return id
	}
	chunk := func(member uint32, ids ...threshold.ID) fair.Chunk {
		var head commitreveal.Hash
		for _, id := range ids {
			head = commitreveal.NextHead(head, id)
		}
		return fair.Chunk{Member: member, Sequence: uint64(len(ids)), Head: head, IDs: ids}
	}
	a, b, c := id("a"), id("b"), id("c")
	_, decision, err := fair.Step(state, 1, []fair.Chunk{
		chunk(1, a, b, c), chunk(2, b, a, c), chunk(3, a, b, c), chunk(4, b, a, c),
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	beacon := [32]byte{1}
	for _, frame := range decision.Frames {
		for _, component := range frame.Order(params, beacon) {
			fmt.Println(name[component[0]], frame.Forced)
		}
	}
	// Output:
	// a false
	// b false
	// c false
}
