package ordering_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// ids are those of ciphertext transactions.
func ids(txs [][]byte) (out []threshold.ID) {
	for _, tx := range txs {
		out = append(out, sim.IDOf(tx))
	}
	return out
}

// revealed runs blocks until everything is opened, and gives the order of execution.
func revealed(c *sim.Chain) (order []threshold.ID) {
	for range 20 {
		r := c.Block(ordering.Proposal{Openings: c.Open(1, 2, 3)})
		for _, v := range r.Reveals {
			order = append(order, v.Order...)
		}
		if !c.State.Busy() {
			break
		}
	}
	return order
}

// under runs a test with both order rules.
func under(t *testing.T, test func(t *testing.T, params ordering.Params)) {
	t.Helper()
	for _, rule := range []fair.Rule{fair.ReceiveOrder, fair.ReceiveTime} {
		t.Run(rule.String(), func(t *testing.T) {
			params := ordering.DefaultParams()
			params.Order.Rule = rule
			test(t, params)
		})
	}
}

// What all members received in one order is executed in this order, although batches are ascending by id.
func TestExecutedAsReceived(t *testing.T) { under(t, executedAsReceived) }

func executedAsReceived(t *testing.T, params ordering.Params) {
	c := sim.New(t, 4, params).Ceremony()
	txs := c.SealTxs("1", "2", "3", "4", "5", "6", "7", "8", "9")
	r := c.Block(ordering.Proposal{Txs: txs})
	if got := r.Batch.Batch.IDs; !slices.IsSortedFunc(got, func(a, b threshold.ID) int { return bytes.Compare(a[:], b[:]) }) {
		t.Errorf("the batch is %v", got)
	}
	if diff := cmp.Diff(ids(txs), revealed(c)); diff != "" {
		t.Errorf("-received +executed:\n%s", diff)
	}
}

// A member that reverses its log changes nothing on which the others agree if h* is below all honest members; n = 5, f = 1.
func TestReversedLog(t *testing.T) {
	params := ordering.DefaultParams()
	params.Order.AgreementSlack = 1
	c := sim.New(t, 7, params).Ceremony() // f = 2, s = 5; h* of 5 - 1 is raised to what s needs
	txs := c.SealTxs("1", "2", "3", "4", "5")
	for m := 1; m <= 6; m++ {
		c.Receive(m, txs...)
	}
	back := slices.Clone(txs)
	slices.Reverse(back)
	c.Receive(7, back...)
	c.Block(ordering.Proposal{Announcements: c.Announce()})
	if len(c.State.Pending()) != 1 {
		t.Fatal("nothing is ordered")
	}
	var order []threshold.ID
	for _, v := range c.Block(ordering.Proposal{Openings: c.Open(1, 2, 3, 4, 5)}).Reveals {
		order = append(order, v.Order...)
	}
	if diff := cmp.Diff(ids(txs), order); diff != "" {
		t.Errorf("-received +executed:\n%s", diff)
	}
}

// A proposer that leaves the statements out, or a ciphertext that is decided, delays by its turn or is refused.
func TestCensoringProposer(t *testing.T) { under(t, censoringProposer) }

func censoringProposer(t *testing.T, params ordering.Params) {
	c := sim.New(t, 4, params).Ceremony()
	victim, other := c.SealTxs("victim")[0], c.SealTxs("other")[0]
	for m := range 4 {
		c.Receive(m+1, victim, other)
	}
	c.Apply(nil) // no statements: its turn is lost
	if c.State.Busy() || len(c.State.Pending()) > 0 {
		t.Error("something is decided without statements")
	}
	bodies := ordering.Hold([][]byte{victim, other})
	honest := ordering.Propose(c.State, c.Verifier, ordering.Proposal{MaxBytes: 1 << 20, Announcements: c.Announce(), Bodies: bodies})
	censored := slices.DeleteFunc(slices.Clone(honest), func(tx []byte) bool { return bytes.Equal(tx, victim) })
	if len(honest) != 3 || len(censored) != 2 {
		t.Fatalf("%d transactions, %d without the victim", len(honest), len(censored))
	}
	if err := ordering.Check(c.State, c.Verifier, ordering.Block{Height: c.State.Height() + 1, Txs: censored}); err == nil {
		t.Error("a block without a decided ciphertext is accepted")
	}
	// Three logs are enough to order, two are not a section.
	if err := ordering.Check(c.State, c.Verifier, ordering.Block{Height: c.State.Height() + 1, Txs: [][]byte{sectionOf(t, c, 1, 2)}}); err == nil {
		t.Error("statements of two members are accepted")
	}
	if r := c.Block(ordering.Proposal{Announcements: c.Announce(1, 3, 4)}); r.Batch == nil || len(r.Batch.Ciphertexts) != 2 {
		t.Errorf("ordered %+v", r.Batch)
	}
}

// sectionOf is the transaction with the statements of these members.
func sectionOf(t *testing.T, c *sim.Chain, members ...int) []byte {
	t.Helper()
	s := fair.Section{Height: c.State.Height() + 1}
	for _, a := range c.Announce(members...) {
		s.Entries = append(s.Entries, *a)
	}
	wire, err := s.MarshalBinary()
	c.Must(err)
	return ordering.SectionTx(wire)
}

// An id that waits for a predecessor which does not become solid is forced after W heights, also without any statements.
func TestForcedAfterWait(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	shade, tx := c.SealTxs("shade")[0], c.SealTxs("x")[0]
	// Two logs hold the shade before x: non-blank, not solid, and it reaches x.
	c.Receive(1, shade, tx)
	c.Receive(2, shade, tx)
	c.Receive(3, tx)
	c.Block(ordering.Proposal{Announcements: c.Announce(1, 2, 3)})
	solid := c.State.Height()
	if !c.State.Busy() {
		t.Fatal("idle although an id waits")
	}
	empty := []*fair.Announcement{}
	for c.State.Height() < solid+3 {
		if r := c.Block(ordering.Proposal{Announcements: empty}); r.Batch != nil {
			t.Fatalf("ordered at height %d, solid at %d", r.Height, solid)
		}
	}
	r := c.Block(ordering.Proposal{Announcements: empty})
	if r.Batch == nil || !slices.Equal(r.Batch.Batch.IDs, ids([][]byte{tx})) || !r.Batch.Frames[0].IsForced() {
		t.Fatalf("at height %d: %+v", r.Height, r.Batch)
	}
	c.Block(ordering.Proposal{Announcements: empty, Openings: c.Open(1, 2, 3)})
	if c.State.Busy() {
		t.Error("busy for an id that too few members have")
	}
	// The shade comes to the third and is ordered then.
	c.Receive(3, shade)
	if r := c.Block(ordering.Proposal{Announcements: c.Announce(1, 2, 3)}); r.Batch == nil || !slices.Equal(r.Batch.Batch.IDs, ids([][]byte{shade})) {
		t.Errorf("%+v", r.Batch)
	}
}

// What is decided and does not fit waits in order, and goes before what comes later.
func TestQueue(t *testing.T) { under(t, queue) }

func queue(t *testing.T, params ordering.Params) {
	params.MaxBatch = 3
	c := sim.New(t, 4, params).Ceremony()
	txs := c.SealTxs("1", "2", "3", "4", "5", "6", "7")
	c.Block(ordering.Proposal{Txs: txs})
	if n := c.State.Queued(); n != 4 || !c.State.Busy() {
		t.Fatalf("%d are queued", n)
	}
	late := c.SealTxs("8")
	c.Block(ordering.Proposal{Txs: late})
	if n := c.State.Queued(); n != 2 {
		t.Fatalf("%d are queued", n)
	}
	if diff := cmp.Diff(append(ids(txs), ids(late)...), revealed(c)); diff != "" {
		t.Errorf("-received +executed:\n%s", diff)
	}
	if c.State.Queued() != 0 {
		t.Error("some are left")
	}
}

// Nobody can make the state grow: with a full queue, blocks take no statements.
func TestFullQueueTakesNoStatements(t *testing.T) { under(t, fullQueueTakesNoStatements) }

func fullQueueTakesNoStatements(t *testing.T, params ordering.Params) {
	params.MaxBatch, params.MaxPending, params.Order.MaxChunk, params.Order.MaxLive = 1, 1, 4, 4
	c := sim.New(t, 4, params).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("1")}) // pending, so that nothing leaves the queue
	c.Block(ordering.Proposal{Txs: c.SealTxs("2", "3", "4", "5")})
	if n := c.State.Queued(); n != 4 {
		t.Fatalf("%d are queued", n)
	}
	c.Block(ordering.Proposal{Txs: c.SealTxs("6")})
	if err := ordering.Check(c.State, c.Verifier, ordering.Block{Height: c.State.Height() + 1, Txs: [][]byte{sectionOf(t, c, 1, 2, 3, 4)}}); err == nil {
		t.Error("statements are taken although the queue is full")
	}
	if order := revealed(c); len(order) != 6 {
		t.Errorf("%d are executed", len(order))
	}
}

// A ciphertext that expires while it waits ends as expired: its body is in a block, it is neither opened nor ordered.
func TestExpiresWhileItWaits(t *testing.T) { under(t, expiresWhileItWaits) }

func expiresWhileItWaits(t *testing.T, params ordering.Params) {
	params.MaxBatch = 1
	c := sim.New(t, 4, params).Ceremony()
	soon := ordering.CiphertextTx(c.SealUntil("soon over", c.State.Height()+1).Bytes())
	first, last := c.SealTxs("first")[0], c.SealTxs("last")[0]
	c.Block(ordering.Proposal{Txs: [][]byte{first, soon, last}})
	r := c.Block(ordering.Proposal{})
	if r.Batch != nil || len(r.Dropped) != 1 || r.Dropped[0].ID != sim.IDOf(soon) || r.Dropped[0].Code != ordering.CodeExpired {
		t.Fatalf("batch %+v, dropped %+v", r.Batch, r.Dropped)
	}
	want := commitreveal.ExpiredEntry{Height: r.Height, ID: sim.IDOf(soon), ValidUntil: r.Height - 1, Reason: commitreveal.ReasonTooLate}
	if e := entries(t, r); len(e) != 1 || e[0] != want {
		t.Errorf("log entries %+v", e)
	}
	if r.Round == nil || len(r.Round.Aside) != 1 || !bytes.Equal(r.Round.Aside[0], soon[1:]) {
		t.Errorf("round %+v", r.Round)
	}
	if order := revealed(c); !slices.Equal(order, ids([][]byte{first, last})) {
		t.Errorf("executed %v", order)
	}
	if again := c.Block(ordering.Proposal{Txs: [][]byte{soon}}); again.Batch != nil || again.Dropped != nil {
		t.Error("it comes again")
	}
}

// entries are those that a block appended to the log.
func entries(t *testing.T, r *ordering.Result) (out []commitreveal.Entry) {
	t.Helper()
	for _, record := range r.Records {
		e, err := commitreveal.ParseEntry(record.Entry)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// expiredIn are the expired entries that a block appended; they must stand right before the commit entry, or last.
func expiredIn(t *testing.T, r *ordering.Result) (out []commitreveal.ExpiredEntry) {
	t.Helper()
	all := entries(t, r)
	for i, e := range all {
		if x, ok := e.(commitreveal.ExpiredEntry); ok {
			out = append(out, x)
			continue
		}
		if _, commit := e.(commitreveal.CommitEntry); len(out) > 0 && (!commit || i != len(all)-1) {
			t.Errorf("height %d: %T after an expired entry", r.Height, e)
		}
	}
	if !slices.IsSortedFunc(out, func(a, b commitreveal.ExpiredEntry) int { return bytes.Compare(a.ID[:], b.ID[:]) }) {
		t.Errorf("height %d: expired entries are not ascending by id", r.Height)
	}
	return out
}

// run makes a chain with everything in it: logs that differ, a queue, drops, rounds without a batch, forced frames.
func run(t *testing.T, params ordering.Params) *sim.Chain {
	params.MaxBatch, params.Order.Wait = 2, 2
	c := sim.New(t, 4, params).Ceremony()
	rng := rand.New(rand.NewPCG(7, 7))
	for range 20 {
		var txs [][]byte
		for range rng.IntN(5) {
			txs = append(txs, ordering.CiphertextTx(c.SealUntil("x", c.State.Height()+1+uint64(rng.IntN(6))).Bytes()))
		}
		for m := range 4 {
			c.Receive(m+1, sim.Shuffled(txs, rng.Uint64())[:len(txs)-rng.IntN(len(txs)+1)/2]...)
		}
		present := []int{1, 2, 3, 4}
		if rng.IntN(2) == 0 {
			present = slices.Delete(present, rng.IntN(4), 4)
		}
		if len(present) < 3 {
			present = []int{2, 3, 4}
		}
		p := ordering.Proposal{Announcements: c.Announce(present...)}
		if rng.IntN(3) > 0 {
			p.Openings = c.Open(1, 2, 3)
		}
		c.Block(p)
	}
	return c
}

// A replica that restarts after every block agrees, with everything that the order can hold.
func TestRestoreWithOrder(t *testing.T) { under(t, restoreWithOrder) }

func restoreWithOrder(t *testing.T, params ordering.Params) {
	c := run(t, params)
	s, err := ordering.New(c.Genesis)
	c.Must(err)
	w := sim.NewRows()
	var queued, dropped, forced int
	for i, b := range c.Blocks {
		_, r, err := ordering.Step(s, c.Verifier, b)
		c.Must(err)
		w.Add(r)
		if s, err = ordering.Restore(c.Genesis, r.Snapshot, w.Restore()); err != nil {
			t.Fatalf("height %d: %v", b.Height, err)
		}
		if r.AppHash != c.Results[i].AppHash || s.AppHash() != r.AppHash {
			t.Fatalf("height %d: another app hash", b.Height)
		}
		queued, dropped = queued+s.Queued(), dropped+len(r.Dropped)
		if r.Batch != nil {
			for _, f := range r.Batch.Frames {
				if f.IsForced() {
					forced++
				}
			}
		}
	}
	if queued == 0 || dropped == 0 || forced == 0 {
		t.Errorf("the run had %d queued, %d dropped, %d forced", queued, dropped, forced)
	}
	for i := range w.Last.Snapshot {
		if _, err := ordering.Restore(c.Genesis, w.Last.Snapshot[:i], w.Restore()); err == nil {
			t.Fatalf("a snapshot cut to %d bytes is accepted", i)
		}
	}
}

// replayed feeds what a chain said and ordered to a replay, changed by lie (nil: as it was).
func replayed(t *testing.T, c *sim.Chain, lie func(i int, round *ordering.Round, b *commitreveal.Batch, cts []*threshold.Ciphertext) []*threshold.Ciphertext) error {
	replay, err := ordering.NewReplay(sim.ChainID, c.Genesis.Params)
	if err != nil {
		return err
	}
	orders := map[uint64]func([32]byte) []threshold.ID{}
	active := false
	var logged, found []commitreveal.ExpiredEntry
	s := c.Initial
	for i, r := range c.Results {
		next, _, err := ordering.Step(s, c.Verifier, c.Blocks[i])
		c.Must(err)
		s = next
		if s.Committee() != nil && !active {
			active = true
			if err := replay.Committee(r.Height, s.Committee(), c.Identities(), 0); err != nil {
				return err
			}
		}
		for _, v := range r.Reveals {
			if got := orders[v.Batch.Height](commitreveal.Beacon(v.Certificate)); !slices.Equal(got, v.Order) {
				c.Must(ordering.ErrReplay)
			}
		}
		var round *ordering.Round
		if r.Round != nil {
			clone := *r.Round
			round = &clone
		}
		var b commitreveal.Batch
		var cts []*threshold.Ciphertext
		if r.Batch != nil {
			b = r.Batch.Batch
			for _, k := range r.Batch.Ciphertexts {
				cts = append(cts, k.Ciphertext())
			}
		}
		if lie != nil {
			cts = lie(i, round, &b, cts)
		}
		if round != nil {
			if _, err := replay.Round(*round); err != nil {
				return err
			}
		}
		if r.Batch != nil {
			if orders[b.Height], err = replay.Batch(b.Height, s.Rounds(), cts); err != nil {
				return err
			}
		}
		logged = append(logged, expiredIn(t, r)...)
		if i%3 == 0 || r.Batch == nil { // asked for rarely, it is all the same
			e, err := replay.Expired(r.Height)
			if err != nil {
				return err
			}
			found = append(found, e...)
		}
	}
	e, err := replay.Expired(s.Height())
	if found = append(found, e...); err == nil && !slices.Equal(found, logged) {
		err = ordering.ErrReplay
	}
	if len(logged) == 0 {
		t.Error("the chain set nothing aside")
	}
	return err
}

// An auditor who has the rounds and batches, and no blocks, finds the same, and finds every change.
func TestReplay(t *testing.T) { under(t, replay) }

func replay(t *testing.T, params ordering.Params) {
	c := run(t, params)
	c.Must(replayed(t, c, nil))
	rng := rand.New(rand.NewPCG(3, 9))
	for range 60 {
		at, kind, done := rng.IntN(len(c.Results)), rng.IntN(4), false
		err := replayed(t, c, func(i int, round *ordering.Round, b *commitreveal.Batch, cts []*threshold.Ciphertext) []*threshold.Ciphertext {
			switch {
			case i != at:
			case kind == 0 && round != nil && round.Section != nil:
				round.Section = bytes.Clone(round.Section)
				round.Section[rng.IntN(len(round.Section))] ^= 1 << rng.IntN(8)
				done = true
			case kind == 1 && round != nil && len(round.Aside) > 0:
				round.Aside, done = round.Aside[1:], true
			case kind == 2 && len(cts) > 1:
				done = true
				return cts[1:]
			case kind == 3 && round != nil && round.Section != nil && len(cts) > 0:
				round.Section, done = nil, true
			}
			return cts
		})
		// A section may also be changed where nothing follows that could tell; the log's certificate covers the rest.
		if done && err == nil && kind != 0 {
			t.Errorf("change %d at height %d is not found", kind, c.Results[at].Height)
		}
	}
	if _, err := ordering.NewReplay("with space", c.Genesis.Params); err == nil {
		t.Error("a replay of no chain")
	}
	replay, err := ordering.NewReplay(sim.ChainID, c.Genesis.Params)
	c.Must(err)
	if _, err := replay.Round(ordering.Round{Height: 3}); err == nil {
		t.Error("a round without a committee")
	}
	c.Must(replay.Committee(1<<60, c.State.Committee(), c.Identities(), 0)) // heights without anything cost nothing
	if _, err := replay.Round(ordering.Round{Height: 1 << 61}); err != nil {
		t.Error(err)
	}
	if _, err := replay.Batch(1<<62, [32]byte{}, nil); err == nil {
		t.Error("an empty batch")
	}
}

// FuzzProposal changes honest proposals: they are refused, or say the same; nothing panics, and no other set is ever ordered.
func FuzzProposal(f *testing.F) { fuzzProposal(f, ordering.DefaultParams()) }

// FuzzTimedProposal is FuzzProposal for the second rule.
func FuzzTimedProposal(f *testing.F) {
	params := ordering.DefaultParams()
	params.Order.Rule = fair.ReceiveTime
	fuzzProposal(f, params)
}

func fuzzProposal(f *testing.F, params ordering.Params) {
	c := sim.New(f, 4, params).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("pending")})
	txs := c.SealTxs("a", "b", "c")
	for m := range 4 {
		c.Receive(m+1, sim.Shuffled(txs, uint64(m))...)
	}
	honest := ordering.Propose(c.State, c.Verifier, ordering.Proposal{MaxBytes: 1 << 20, Announcements: c.Announce(), Txs: txs, Bodies: ordering.Hold(txs), Openings: c.Open(1, 2, 3)})
	_, want, err := ordering.CheckAndStep(c.State, c.Verifier, ordering.Block{Height: c.State.Height() + 1, Txs: honest})
	c.Must(err)
	f.Add(uint8(1), uint16(5), uint8(1), uint8(0))
	f.Add(uint8(1), uint16(60), uint8(128), uint8(1))
	f.Add(uint8(0), uint16(9), uint8(2), uint8(2))
	f.Add(uint8(3), uint16(200), uint8(4), uint8(3))
	f.Add(uint8(1), uint16(300), uint8(4), uint8(4))
	f.Fuzz(func(t *testing.T, tx uint8, at uint16, flip, how uint8) {
		changed := slices.Clone(honest)
		i := int(tx) % len(changed)
		changed[i] = bytes.Clone(changed[i])
		switch how % 5 {
		case 0:
			changed[i][int(at)%len(changed[i])] ^= flip
		case 1:
			changed[i] = changed[i][:int(at)%len(changed[i])]
		case 2:
			changed[i] = append(changed[i], flip)
		case 3:
			changed = slices.Delete(changed, i, i+1)
		case 4:
			j := int(at) % len(changed)
			changed[i], changed[j] = changed[j], changed[i]
		}
		b := ordering.Block{Height: c.State.Height() + 1, Txs: changed}
		if _, r, err := ordering.CheckAndStep(c.State, c.Verifier, b); err == nil {
			if r.Batch != nil && !slices.Equal(r.Batch.Batch.IDs, want.Batch.Batch.IDs) {
				t.Fatal("another set is accepted")
			}
			if r.Batch == nil && len(changed) > 1 {
				t.Fatal("a block without the set, and with more than openings, is accepted")
			}
		}
		if _, _, err := ordering.Step(c.State, c.Verifier, b); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzParseFrames: one encoding per value, and nothing panics.
func FuzzParseFrames(f *testing.F) {
	chains := []*sim.Chain{sim.New(f, 4, ordering.DefaultParams()).Ceremony(), timed(f, 4)}
	for _, c := range chains {
		r := c.Block(ordering.Proposal{Txs: c.SealTxs("a", "b", "c")})
		wire, err := ordering.MarshalFrames(r.Batch.Frames)
		c.Must(err)
		f.Add(wire)
		f.Add(wire[:len(wire)-1])
	}
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 0, 255, 255, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, c := range chains {
			frames, err := ordering.ParseFrames(c.Genesis.Params, b)
			if err != nil {
				continue
			}
			if again, err := ordering.MarshalFrames(frames); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("another encoding: %x, %v", again, err)
			}
		}
	})
}
