package abci

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"slices"
	"testing"

	abcitypes "github.com/cometbft/cometbft/abci/types"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// judge is an application at a height at which a batch is pending, six ids are in the members' logs, and, with the first rule, one that is
// not solid; with honest proposals of that height, the last one of other proposers' statements.
type judge struct {
	t      testing.TB
	c      *sim.Chain
	app    *app
	engine *memory
	txs    [][]byte
	honest [][][]byte
	stale  []*fair.Announcement // of four heights before
}

func newJudge(t testing.TB, rule fair.Rule) *judge {
	params := ordering.DefaultParams()
	params.Order.Rule = rule
	c := sim.New(t, 4, params).Ceremony()
	j := &judge{t: t, c: c, engine: &memory{}, stale: c.Announce()}
	if rule == fair.ReceiveOrder { // with the other rule it would keep back all that comes later
		early := c.SealTxs("early")
		c.Receive(1, early...)
		c.Receive(2, early...)
	}
	c.Block(ordering.Proposal{Txs: c.SealTxs("opened")})
	c.Block(ordering.Proposal{Openings: c.OpenAll()})
	c.Block(ordering.Proposal{})
	c.Block(ordering.Proposal{Txs: c.SealTxs("pending")})
	j.txs = c.SealTxs("1", "2", "3", "4", "5", "6")
	for m := range 4 {
		c.Receive(m+1, sim.Shuffled(j.txs, uint64(m))...)
	}
	for _, members := range [][]int{{1, 2, 3, 4}, {1, 2, 3}, {2, 3, 4}} {
		j.honest = append(j.honest, ordering.Propose(c.State, c.Verifier, ordering.Proposal{
			MaxBytes: 1 << 20, Announcements: c.Announce(members...), Txs: j.txs, Bodies: ordering.Hold(j.txs), Openings: c.OpenAll(),
		}))
	}
	j.app = &app{engine: j.engine, verifier: c.Verifier, reactor: newReactor(membersOf(c.State, nil), j.engine, 1)}
	j.app.state.Store(c.State)
	return j
}

// process gives the verdict, which is never an error, and what would be ordered; nil ids if nothing.
func (j *judge) process(t testing.TB, txs [][]byte) (accepted bool, ids []threshold.ID) {
	t.Helper()
	height := int64(j.c.State.Height() + 1)
	r, err := j.app.ProcessProposal(context.Background(), &abcitypes.RequestProcessProposal{Height: height, Txs: txs, Hash: []byte("h")})
	if err != nil {
		t.Fatalf("an error instead of a verdict: %v", err)
	}
	if r.Status == abcitypes.ResponseProcessProposal_ACCEPT {
		if j.app.judged.result.Batch != nil {
			ids = j.app.judged.result.Batch.Batch.IDs
		}
		return true, ids
	}
	if r.Status != abcitypes.ResponseProcessProposal_REJECT {
		t.Fatalf("the verdict %v", r.Status)
	}
	return false, nil
}

// The statements that the design lists as attacks, in a block of a proposer who signs for nobody else: oversize, duplicated, stale, of a
// non-member, for another height, unchained, equivocating, and some more; with either rule. And the bodies: copied, mauled, exchanged.
func TestHostileProposals(t *testing.T) {
	for _, rule := range []fair.Rule{fair.ReceiveOrder, fair.ReceiveTime} {
		t.Run(rule.String(), func(t *testing.T) { hostileProposals(t, newJudge(t, rule)) })
	}
}

func hostileProposals(t *testing.T, j *judge) {
	c, rule := j.c, j.c.Genesis.Params.Order.Rule
	next := c.State.Height() + 1
	honest := j.honest[0]
	at := slices.IndexFunc(honest, func(tx []byte) bool { return tx[0] == 4 })
	if ok, ids := j.process(t, honest); !ok || len(ids) != 6 || at < 0 {
		t.Fatalf("the honest one: %v, %d ids, section at %d, of %d: %v", ok, len(ids), at, len(honest), j.engine.rejected)
	}
	section := func(entries []*fair.Announcement) []byte {
		t.Helper()
		s := fair.Section{Height: next}
		for _, e := range entries {
			s.Entries = append(s.Entries, *e)
		}
		wire, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return ordering.SectionTx(wire)
	}
	// again is member m's entry with another content, under its own good signature (member 4 is the proposer's friend).
	again := func(m int, key ed25519.PrivateKey, height uint64, chain string, change func(c *fair.Chunk)) *fair.Announcement {
		t.Helper()
		logs, _ := c.State.ReceiveLogs()
		base, _, err := logs.Base(uint32(min(m, 4)))
		c.Must(err)
		a := c.Announce(min(m, 4))[0]
		ch := fair.Chunk{Member: uint32(m), Sequence: a.Statement.Sequence, IDs: slices.Clone(a.IDs)}
		for range ch.IDs {
			ch.Times = append(ch.Times, base.Watermark+1)
		}
		ch.Watermark = base.Watermark + 2
		if change != nil {
			change(&ch)
		}
		ch.Head, ch.TimesHead = base.Head, base.Times
		for i, id := range ch.IDs {
			ch.Head = commitreveal.NextHead(ch.Head, id)
			ch.TimesHead = fair.NextTimes(ch.TimesHead, ch.Times[i])
		}
		said, err := rule.Say(key, chain, height, ch)
		c.Must(err)
		return said
	}
	own := func(height uint64, change func(c *fair.Chunk)) *fair.Announcement {
		return again(4, c.Secrets[3].Identity(), height, sim.ChainID, change)
	}
	most := c.Announce(1, 2, 3)
	with := func(last ...*fair.Announcement) []byte { return section(append(slices.Clone(most), last...)) }
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	h := next - 1
	if ok, _ := j.process(t, replaced(honest, at, with(own(h, nil)))); !ok {
		t.Fatal("the test is wrong: what all refusals below are changed from is refused itself")
	}
	oversize := func(ch *fair.Chunk) {
		for i := range int(c.Genesis.Params.Order.MaxChunk) {
			ch.IDs, ch.Times = append(ch.IDs, threshold.ID{0xee, byte(i), byte(i >> 8)}), append(ch.Times, ch.Times[0])
			ch.Sequence++
		}
	}
	for name, tx := range map[string][]byte{
		"oversize":                  with(own(h, oversize)),
		"stale, by one height":      with(own(h-uint64(c.Genesis.Params.Order.Stale)-1, nil)),
		"of another chain":          with(again(4, c.Secrets[3].Identity(), h, "another", nil)),
		"of a non-member":           with(again(5, stranger, h, sim.ChainID, nil)),
		"signed by a stranger":      with(again(4, stranger, h, sim.ChainID, nil)),
		"signed by another member":  with(again(4, c.Secrets[2].Identity(), h, sim.ChainID, nil)),
		"skips its first id":        with(own(h, func(ch *fair.Chunk) { ch.IDs, ch.Times = ch.IDs[1:], ch.Times[1:] })),
		"skips one, and counts so":  with(own(h, func(ch *fair.Chunk) { ch.Sequence++ })),
		"truncates its log":         with(own(h, func(ch *fair.Chunk) { ch.Sequence-- })),
		"stated before, once more":  section([]*fair.Announcement{j.stale[0], j.stale[1], j.stale[2]}),
		"of two members":            section(most[:2]),
		"another head for its ids":  with(forked(own(h, nil))),
		"of all, in another's name": section([]*fair.Announcement{most[0], most[1], again(4, c.Secrets[0].Identity(), h, sim.ChainID, nil)}),
	} {
		if ok, _ := j.process(t, replaced(honest, at, tx)); ok {
			t.Errorf("statement %s: accepted", name)
		}
		if ok, _ := j.process(t, [][]byte{tx}); ok {
			t.Errorf("statement %s, without bodies: accepted", name)
		}
	}
	// What no encoding can say: made from the honest bytes.
	good := honest[at]
	for name, tx := range map[string][]byte{"cut": good[:len(good)-1], "trailing": append(bytes.Clone(good), 0), "empty": good[:1], "another version": replacedByte(good, 1)} {
		if ok, _ := j.process(t, replaced(honest, at, tx)); ok {
			t.Errorf("section %s: accepted", name)
		}
	}
	if ok, _ := j.process(t, slices.Insert(slices.Clone(honest), at, good)); ok {
		t.Error("the section twice: accepted")
	}
	// An equivocating member's two logs are one log in a block: either is taken, never both, and the set is the one that the taken one gives.
	swapped := own(h, func(ch *fair.Chunk) { slices.Reverse(ch.IDs) })
	if ok, ids := j.process(t, replaced(honest, at, with(swapped))); !ok || len(ids) != 6 {
		t.Errorf("the other log of an equivocating member alone: %v, %d ids", ok, len(ids))
	}
	// Bodies.
	body := at + 1
	mauled := bytes.Clone(honest[body])
	mauled[len(mauled)-1] ^= 1
	otherNamespace := bytes.Replace(honest[body], []byte("test"), []byte("tesu"), 1) // copied under another name: another id, and its proof does not hold
	for name, txs := range map[string][][]byte{
		"a mauled body for a decided one":    replaced(honest, body, mauled),
		"a mauled copy beside it":            append(slices.Clone(honest), mauled),
		"a copy for another sender":          replaced(honest, body, otherNamespace),
		"a copy for another sender, beside":  append(slices.Clone(honest), otherNamespace),
		"a body twice":                       slices.Insert(slices.Clone(honest), body, honest[body]),
		"a body for another":                 replaced(honest, body, honest[body+1]),
		"all bodies but the last":            honest[:len(honest)-1],
		"no bodies":                          honest[:body],
		"bodies without statements":          slices.Delete(slices.Clone(honest), at, at+1),
		"ordered before":                     append(slices.Clone(honest), c.SealTxs("not in a log")...),
		"in another order":                   append(slices.Clone(honest[:body]), reversed(honest[body:])...),
		"the statements after the bodies":    append(slices.Delete(slices.Clone(honest), at, at+1), good),
		"a transaction of no kind":           append([][]byte{{}}, honest...),
		"a transaction of an unknown kind":   append(slices.Clone(honest), []byte{77, 1}),
		"a transaction of a million nothing": append(slices.Clone(honest), make([]byte, 1<<20)),
	} {
		if bytes.Equal(otherNamespace, honest[body]) {
			t.Fatal("the test is wrong: no namespace to change")
		}
		if ok, _ := j.process(t, txs); ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

func replaced(txs [][]byte, at int, tx []byte) [][]byte {
	out := slices.Clone(txs)
	out[at] = tx
	return out
}

func replacedByte(b []byte, at int) []byte {
	out := bytes.Clone(b)
	out[at] ^= 0x55
	return out
}

func reversed(txs [][]byte) [][]byte {
	out := slices.Clone(txs)
	slices.Reverse(out)
	return out
}

// forked is an entry whose signature is for another head than its ids give.
func forked(an *fair.Announcement) *fair.Announcement {
	a := *an
	a.IDs = slices.Clone(a.IDs)
	a.IDs[0][0] ^= 1
	return &a
}

// FuzzProcessProposal changes honest proposals by a program of up to 64 bytes: bytes, lengths, the order and number of transactions, and
// parts of other honest proposals of the same height. The answer is a verdict and never an error; what is accepted orders exactly what an
// honest proposal orders, or nothing (with the logs of members 1 to 3 only, an id that is not solid keeps all back); and what is rejected can be finalized all the same, since a decided block must be.
func FuzzProcessProposal(f *testing.F) {
	judges := []*judge{newJudge(f, fair.ReceiveOrder), newJudge(f, fair.ReceiveTime)}
	var sets [][]threshold.ID
	for _, j := range judges {
		ok, ids := j.process(f, j.honest[0])
		if !ok || len(ids) != 6 {
			f.Fatalf("%v, %d ids", ok, len(ids))
		}
		for _, txs := range j.honest {
			if ok, other := j.process(f, txs); !ok || other != nil && !slices.Equal(ids, other) {
				f.Fatalf("an honest proposal: %v, %d ids", ok, len(other))
			}
		}
		sets = append(sets, ids)
	}
	f.Add(uint8(0), []byte{})
	f.Add(uint8(0), []byte{0, 1, 9, 4})
	f.Add(uint8(1), []byte{1, 2, 40, 0, 3, 1, 2, 0})
	f.Add(uint8(0), []byte{5, 1, 1, 0, 4, 3, 4, 0})
	f.Add(uint8(1), []byte{6, 1, 2, 1, 6, 3, 2, 2})
	f.Add(uint8(0), []byte{2, 1, 0, 7, 7, 1, 30, 200})
	f.Fuzz(func(t *testing.T, which uint8, program []byte) {
		j, want := judges[which%2], sets[which%2]
		txs := mutated(j.honest, j.txs, program[:min(len(program), 64)])
		accepted, ids := j.process(t, txs)
		if accepted && ids != nil && !slices.Equal(ids, want) {
			t.Fatal("another set is accepted")
		}
		if accepted && ids == nil && slices.ContainsFunc(txs, func(tx []byte) bool { return len(tx) > 0 && tx[0] == 1 }) {
			t.Fatal("ciphertexts are accepted, and not ordered")
		}
		// A quorum of dishonest members could decide it: then nobody may halt over it.
		if _, err := j.app.FinalizeBlock(context.Background(), &abcitypes.RequestFinalizeBlock{Height: int64(j.c.State.Height() + 1), Txs: txs, Hash: []byte("decided")}); err != nil {
			t.Fatalf("decided, and not finalized: %v", err)
		}
		j.app.decided = folded{}
	})
}

// mutated runs a program of four bytes an instruction: what, which transaction, where, with what.
func mutated(honest [][][]byte, bodies [][]byte, program []byte) [][]byte {
	txs := slices.Clone(honest[0])
	for ; len(program) >= 4; program = program[4:] {
		op, x, y, z := program[0]%9, int(program[1]), int(program[2]), program[3]
		if len(txs) == 0 {
			txs = slices.Clone(honest[1])
		}
		i := x % len(txs)
		tx := bytes.Clone(txs[i])
		switch op {
		case 0: // a byte, near the front or the back
			if len(tx) > 0 {
				at := y % len(tx)
				if z&1 == 1 {
					at = len(tx) - 1 - at
				}
				tx[at] ^= z | 1
			}
			txs[i] = tx
		case 1:
			txs[i] = tx[:y*len(tx)/256]
		case 2:
			txs[i] = append(tx, bytes.Repeat([]byte{z}, y+1)...)
		case 3:
			txs = slices.Delete(txs, i, i+1)
		case 4:
			k := y % len(txs)
			txs[i], txs[k] = txs[k], txs[i]
		case 5: // twice
			txs = slices.Insert(txs, y%(len(txs)+1), tx)
		case 6: // another honest proposal's
			other := honest[int(z)%len(honest)]
			txs[i] = other[y%len(other)]
		case 7: // a piece of another transaction inside this one
			other := honest[int(z)%len(honest)]
			from := other[y%len(other)]
			if n := min(len(tx), len(from)); n > 0 {
				copy(tx[n/2:], from[n/2:n])
			}
			txs[i] = tx
		case 8: // a ciphertext from the mempool
			txs = append(txs, bodies[y%len(bodies)])
		}
	}
	return txs
}
