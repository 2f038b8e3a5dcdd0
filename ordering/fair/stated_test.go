package fair_test

import (
	"crypto/ed25519"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// A statement is read without the log before it, and only as what was signed: with another chain, key, head, hash of times, id or
// time it proves nothing, and nothing that was signed under one rule reads under the other.
func TestStated(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	who := key.Public().(ed25519.PublicKey)
	head, times := commitreveal.Hash{1}, commitreveal.Hash{2}
	c := fair.Chunk{Member: 3, Sequence: 12, IDs: []threshold.ID{{7}, {8}}, Times: []uint64{50, 60}, Watermark: 70}
	c.Head = commitreveal.NextHead(commitreveal.NextHead(head, c.IDs[0]), c.IDs[1])
	c.TimesHead = fair.NextTimes(fair.NextTimes(times, 50), 60)
	for _, rule := range []fair.Rule{fair.ReceiveOrder, fair.ReceiveTime} {
		said, err := rule.Say(key, "chain", 5, c)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := said.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		got, err := rule.Stated("chain", who, wire, head, times)
		if err != nil || got.Member != 3 || got.Sequence != 12 || len(got.IDs) != 2 || got.IDs[1] != c.IDs[1] || rule == fair.ReceiveTime && got.Times[1] != 60 || rule == fair.ReceiveOrder && got.Times != nil {
			t.Errorf("%v: %+v %v", rule, got, err)
		}
		if _, err := (1 - rule).Stated("chain", who, wire, head, times); err == nil {
			t.Errorf("%v: read under the other rule", rule)
		}
		if _, err := rule.Stated("other", who, wire, head, times); err == nil {
			t.Errorf("%v: of another chain", rule)
		}
		if _, err := rule.Stated("chain", who[:31], wire, head, times); err == nil {
			t.Errorf("%v: with half a key", rule)
		}
		if _, err := rule.Stated("chain", who, wire, commitreveal.Hash{3}, times); err == nil {
			t.Errorf("%v: after another head", rule)
		}
		if _, err := rule.Stated("chain", who, wire, head, commitreveal.Hash{3}); (err == nil) != (rule == fair.ReceiveOrder) {
			t.Errorf("%v: after other times: %v", rule, err)
		}
		for i := range wire {
			changed := append([]byte{}, wire...)
			changed[i] ^= 1
			if _, err := rule.Stated("chain", who, changed, head, times); err == nil {
				t.Fatalf("%v: byte %d does not matter", rule, i)
			}
		}
	}
}
