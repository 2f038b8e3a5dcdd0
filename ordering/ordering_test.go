package ordering_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
	"github.com/scrimlabs/scrim/threshold/thresholdtest"
)

func TestSealedOrderedOpened(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	sent := []string{"alpha", "beta", "", strings.Repeat("long", 1000), "omega"}
	r := c.Block(ordering.Proposal{Txs: c.SealTxs(sent...)})
	if r.Batch == nil || len(r.Batch.Ciphertexts) != len(sent) {
		t.Fatalf("batch %+v", r.Batch)
	}
	if r.Batch.Batch.Phase != commitreveal.Committed {
		t.Errorf("batch is %s after its block", r.Batch.Batch.Phase)
	}
	openings := c.Open(1, 3, 4)
	if diff := cmp.Diff(openings, c.Open(2, 3, 4)); diff != "" {
		t.Errorf("openings depend on whose shares they are made of:\n%s", diff)
	}
	r = c.Block(ordering.Proposal{Openings: openings})
	if len(r.Reveals) != 1 || r.Reveals[0].Batch.Phase != commitreveal.Revealed {
		t.Fatalf("reveals %+v", r.Reveals)
	}
	got := sim.Plaintexts(r.Reveals[0])
	slices.Sort(got)
	slices.Sort(sent)
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Errorf("opened is not what was sealed:\n%s", diff)
	}
	// committee, commit, reveal
	if n := c.State.Log().Size(); n != 3 {
		t.Errorf("log has %d entries", n)
	}
}

// A payload that does not decrypt is a fact about its sender, proven by the opening; the
// rest of the batch is not held up.
func TestVoidCiphertext(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	void := thresholdtest.Void("void", c.State.Committee().Key, threshold.SealOptions{ChainID: sim.ChainID, Namespace: "test", ValidUntil: c.State.Height() + 10})
	c.Block(ordering.Proposal{Txs: append(c.SealTxs("good"), ordering.CiphertextTx(void.Bytes()))})
	r := c.Block(ordering.Proposal{Openings: c.Open(1, 2, 4)})
	for _, o := range r.Reveals[0].Outcomes {
		if o.ID == void.ID() != o.Void || !o.Void && string(o.Plaintext) != "good" {
			t.Errorf("%+v", o)
		}
		if o.Opening == (threshold.Opening{}) {
			t.Error("no opening")
		}
	}
	log := entries(t, r)
	if len(log) != 2 {
		t.Fatalf("log entries %+v", log)
	}
	v, ok := log[1].(commitreveal.VoidEntry)
	if !ok || v.ID != void.ID() || v.Height != r.Reveals[0].Batch.Height || v.Opening != r.Reveals[0].Outcomes[v.Position].Opening {
		t.Errorf("after the reveal stands %+v", log[1])
	}
}

// An idle chain must rest (equal app hashes), and one with unfinished work must not.
func TestAppHashMovesExactlyWhileThereIsWork(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams())
	empty := func() bool {
		before := c.State.AppHash()
		c.Block(ordering.Proposal{})
		return c.State.AppHash() != before
	}
	if !empty() {
		t.Error("rests in the middle of a ceremony")
	}
	c.Ceremony()
	c.Block(ordering.Proposal{})
	if empty() {
		t.Error("moves although idle after the ceremony")
	}
	c.Block(ordering.Proposal{Txs: c.SealTxs("x")})
	for range 2 {
		if !empty() {
			t.Error("rests although a batch waits for its openings")
		}
	}
	c.Block(ordering.Proposal{Openings: c.Open(1, 2, 3)})
	c.Block(ordering.Proposal{})
	if empty() {
		t.Error("moves although idle after the reveal")
	}
}

// Every replica must get the same hashes, also one that restarts from its store after
// every block.
func TestReplicaThatRestartsAfterEveryBlock(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("a", "b")})
	c.Block(ordering.Proposal{Txs: c.SealTxs("c")})
	c.Block(ordering.Proposal{Openings: c.Open(1, 2, 3), Txs: c.SealTxs("d", "e", "f")})
	c.Block(ordering.Proposal{})
	c.Block(ordering.Proposal{Openings: c.Open(2, 3, 4)})

	s, err := ordering.New(c.Genesis)
	c.Must(err)
	w := sim.NewRows()
	for _, b := range c.Blocks {
		next, r, err := ordering.Step(s, ordering.NewVerifier(0), b)
		c.Must(err)
		w.Add(r)
		if s, err = ordering.Restore(c.Genesis, r.Snapshot, w.Restore()); err != nil {
			t.Fatalf("height %d: %v", b.Height, err)
		}
		if s.AppHash() != next.AppHash() || s.Height() != next.Height() || s.Rounds() != next.Rounds() || s.Busy() != next.Busy() || s.ActiveSince() != next.ActiveSince() {
			t.Fatalf("height %d: restored state differs", b.Height)
		}
	}
	if s.AppHash() != c.State.AppHash() {
		t.Error("app hashes differ")
	}
}

func TestRestoreRefusesDamage(t *testing.T) {
	c := sim.New(t, 1, ordering.DefaultParams()).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("a")})
	good := c.Rows.Last.Snapshot
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		bad := slices.Clone(good)
		bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		s, err := ordering.Restore(c.Genesis, bad, c.Rows.Restore())
		if err == nil && s.AppHash() != c.State.AppHash() {
			t.Fatal("a damaged snapshot gives another state")
		}
	}
	for i := range good {
		if _, err := ordering.Restore(c.Genesis, good[:i], c.Rows.Restore()); !errors.Is(err, ordering.ErrSnapshot) {
			t.Fatalf("a snapshot cut to %d bytes: %v", i, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	params := ordering.DefaultParams()
	params.MaxBatch, params.MaxPending, params.MaxValidity = 4, 2, 100
	c := sim.New(t, 4, params).Ceremony()
	ordered := c.SealTxs("ordered before")[0]
	soon := ordering.CiphertextTx(c.SealUntil("soon over", c.State.Height()+2).Bytes())
	c.Block(ordering.Proposal{Txs: [][]byte{ordered}})
	first := c.Open(1, 2, 3)[0]
	c.Block(ordering.Proposal{Txs: c.SealTxs("second")})
	second := c.Open(1, 2, 3)[1]
	c.Block(ordering.Proposal{})
	full := c.SealTxs("no room")[0]

	other := sim.New(t, 7, params).Ceremony()
	openings := func(bs ...ordering.BatchOpenings) []byte { return ordering.OpeningsTx(bs) }
	changed := func(f func(o *ordering.BatchOpenings)) []byte {
		o := first
		o.Openings = slices.Clone(o.Openings)
		f(&o)
		return openings(o)
	}
	type block struct {
		name, want string
		txs        [][]byte
	}
	judge := func(tests []block) {
		t.Helper()
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				b := ordering.Block{Height: c.State.Height() + 1, Txs: test.txs}
				err := ordering.Check(c.State, c.Verifier, b)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("got %v, want %q", err, test.want)
				}
				if _, r, err := ordering.Step(c.State, c.Verifier, b); err != nil || !slices.ContainsFunc(r.Txs, func(code string) bool { return code != "" }) && !strings.Contains(test.want, "exactly") && !strings.Contains(test.want, "is missing") {
					t.Fatalf("Step must name what it leaves out: %v, %v", r, err)
				}
			})
		}
	}
	judge([]block{
		{"too many batches pending", "not exactly the 0", [][]byte{full}},
		{"second batch before the first", "oldest pending batch", [][]byte{openings(second)}},
		{"openings swapped", "oldest pending batch", [][]byte{openings(second, first)}},
		{"openings not first", "out of place", [][]byte{openings(first), openings(second)}},
		{"more openings than ciphertexts", "oldest pending batch", [][]byte{changed(func(o *ordering.BatchOpenings) { o.Openings = append(o.Openings, o.Openings[0]) })}},
		{"opening of another ciphertext", "opening", [][]byte{changed(func(o *ordering.BatchOpenings) { o.Openings[0] = second.Openings[0] })}},
		{"opening with a flipped bit", "opening", [][]byte{changed(func(o *ordering.BatchOpenings) { o.Openings[0][20] ^= 1 })}},
		{"certificate of another checkpoint", "signature", [][]byte{changed(func(o *ordering.BatchOpenings) { o.Certificate = second.Certificate })}},
		{"openings with trailing bytes", "trailing", [][]byte{append(openings(first), 0)}},
		{"openings cut short", "truncated", [][]byte{openings(first)[:20]}},
		{"no openings in it", "out of range", [][]byte{openings()}},
		{"empty transaction", "no kind", [][]byte{{}}},
		{"unknown kind", "unknown", [][]byte{{9, 1, 2}}},
		{"ceremony message that is none", "ceremony_message", [][]byte{{2, 1, 2}}},
		{"block of kind openings, empty", "truncated", [][]byte{{3}}},
	})
	c.Block(ordering.Proposal{Openings: []ordering.BatchOpenings{first, second}})

	good := c.SealTxs("1", "2", "3", "4", "5")
	far := ordering.CiphertextTx(c.SealUntil("far", c.State.Height()+1+params.MaxValidity).Bytes())
	damaged := slices.Clone(good[0])
	damaged[len(damaged)-1] ^= 1
	wrongChain, err := threshold.Seal(c.Rand, c.State.Committee().Key, threshold.SealOptions{ChainID: "other", Namespace: "test", ValidUntil: c.State.Height() + 9}, nil)
	c.Must(err)
	sorted := filled(c, good[:4]...)
	section := sorted[0]
	with := func(txs ...[]byte) [][]byte { return append([][]byte{section}, txs...) }
	damagedSection := slices.Clone(section)
	damagedSection[len(damagedSection)-20] ^= 1 // in the last signature
	judge([]block{
		{"ciphertexts out of order", "exactly the 4", with(sorted[2], sorted[1], sorted[3], sorted[4])},
		{"one left out", "is missing", with(sorted[1:4]...)},
		{"all left out", "is missing", with()},
		{"another one instead", "is missing", with(sorted[1], sorted[2], sorted[3], good[4])},
		{"one more than is decided", "more than 4", with(append(sorted[1:5:5], good[4])...)},
		{"what no log has", "exactly the 0", [][]byte{good[4]}},
		{"no section", "exactly the 0", sorted[1:]},
		{"two sections", "out of place", with(section)},
		{"section after a ciphertext", "out of place", append(sorted[1:5:5], section)},
		{"forged section", "section", append([][]byte{damagedSection}, sorted[1:]...)},
		{"section cut short", "section", [][]byte{section[:len(section)-1]}},
		{"empty section", "section", [][]byte{ordering.SectionTx(nil)}},
		{"section without ids", "nothing new", [][]byte{ordering.SectionTx([]byte{1, 0, 0, 0, 0})}},
		{"twice in one block", "already_ordered", with(sorted[1], sorted[1])},
		{"ordered before", "exactly the 0", [][]byte{ordered}},
		{"expired", "exactly the 0", [][]byte{soon}},
		{"valid for too long", "exactly the 0", [][]byte{far}},
		{"proof does not hold", "exactly the 0", [][]byte{damaged}},
		{"other chain", "exactly the 0", [][]byte{ordering.CiphertextTx(wrongChain.Bytes())}},
		{"other key", "exactly the 0", other.SealTxs("x")},
		{"ciphertext cut short", "malformed_ciphertext", [][]byte{good[0][:100]}},
		{"openings after a ciphertext", "out of place", [][]byte{good[0], openings(first)}},
		{"openings when nothing is pending", "0 are pending", [][]byte{openings(first)}},
	})
	if err := ordering.Check(c.State, c.Verifier, ordering.Block{Height: c.State.Height() + 2}); err == nil {
		t.Error("a block of another height is accepted")
	}
	c.Apply(sorted)
}

// filled gives the next block's transactions when all members have received these.
func filled(c *sim.Chain, txs ...[]byte) [][]byte {
	for i := range c.Secrets {
		c.Receive(i+1, txs...)
	}
	return ordering.Propose(c.State, c.Verifier, ordering.Proposal{MaxBytes: 4 << 20, Announcements: c.Announce(), Txs: txs, Bodies: ordering.Hold(txs)})
}

// What a bad proposer put into a decided block must not keep the rest from being applied.
func TestStepLeavesOutWhatIsInvalid(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	good := c.SealTxs("a", "b")
	damaged := slices.Clone(c.SealTxs("c")[0])
	damaged[len(damaged)-1] ^= 1
	txs := append(filled(c, good...), damaged, []byte{}, good[0])
	next, r, err := ordering.Step(c.State, c.Verifier, ordering.Block{Height: c.State.Height() + 1, Txs: txs})
	c.Must(err)
	if diff := cmp.Diff([]string{"", "", "", "proposal", "proposal", ordering.CodeAlreadyOrdered}, r.Txs); diff != "" {
		t.Error(diff)
	}
	if len(r.Batch.Ciphertexts) != 2 || len(next.Pending()) != 1 {
		t.Errorf("batch of %d", len(r.Batch.Ciphertexts))
	}
}

func TestNoCommitteeNoCiphertexts(t *testing.T) {
	ready := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	tx := ready.SealTxs("x")[0]
	c := sim.New(t, 4, ordering.DefaultParams())
	if err := ordering.CheckTx(c.State, c.Verifier, tx); err == nil || !strings.Contains(err.Error(), ordering.CodeNoCommittee) {
		t.Errorf("got %v", err)
	}
}

// Ids are remembered exactly as long as their ciphertexts would be admitted otherwise.
func TestNeverOrderedTwice(t *testing.T) {
	params := ordering.DefaultParams()
	params.MaxValidity = 6
	c := sim.New(t, 4, params).Ceremony()
	tx := ordering.CiphertextTx(c.SealUntil("once", c.State.Height()+4).Bytes())
	c.Block(ordering.Proposal{Txs: [][]byte{tx}})
	for range 8 {
		if r := c.Block(ordering.Proposal{Txs: [][]byte{tx}, Openings: c.Open(1, 2, 3)}); r.Batch != nil {
			t.Fatalf("ordered again at height %d", c.State.Height())
		}
		if err := ordering.CheckTx(c.State, c.Verifier, tx); err == nil {
			t.Fatalf("admitted again after height %d", c.State.Height())
		}
		if err := ordering.RecheckTx(c.State, c.Verifier, tx); err == nil {
			t.Fatalf("stays in the mempool after height %d", c.State.Height())
		}
	}
	if c.State.WasOrdered(sim.IDOf(tx)) {
		t.Error("remembered after it has expired")
	}
}

// What a block has may depend on nothing but the logs.
func TestProposalDoesNotDependOnTheMempool(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	txs := c.SealTxs("a", "b", "c", "d", "e", "f", "g", "h")
	want := filled(c, txs...)
	for seed := range uint64(10) {
		got := ordering.Propose(c.State, c.Verifier, ordering.Proposal{MaxBytes: 1 << 20, Txs: sim.Shuffled(txs, seed), Bodies: ordering.Hold(txs), Announcements: c.Announce()})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

// A block that has no room for the ciphertexts leaves out the statements, for who orders them must have them.
func TestProposalRespectsItsSize(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("pending")})
	txs := c.SealTxs("a", "b", "c")
	size := func(txs [][]byte) (n int64) {
		for _, tx := range txs {
			n += int64(len(tx)) + 4
		}
		return n
	}
	all := size(filled(c, txs...))
	for _, test := range []struct {
		max  int64
		want int // transactions, openings and section included
	}{{0, 0}, {64, 0}, {200, 1}, {all / 2, 1}, {all + 200, 5}, {1 << 20, 5}} {
		got := ordering.Propose(c.State, c.Verifier, ordering.Proposal{MaxBytes: test.max, Txs: txs, Bodies: ordering.Hold(txs), Openings: c.Open(1, 2, 3), Announcements: c.Announce()})
		if len(got) != test.want || len(got) > 0 && size(got) > test.max+16 {
			t.Errorf("room for %d bytes: %d transactions of %d bytes, want %d", test.max, len(got), size(got), test.want)
		}
	}
}

func TestParams(t *testing.T) {
	good := sim.New(t, 4, ordering.DefaultParams()).Genesis
	for _, test := range []struct {
		name   string
		change func(g *ordering.Genesis)
	}{
		{"size class", func(g *ordering.Genesis) { g.Params.MaxSizeClass = 10 }},
		{"no validity", func(g *ordering.Genesis) { g.Params.MaxValidity = 0 }},
		{"no batch", func(g *ordering.Genesis) { g.Params.MaxBatch = 0 }},
		{"batch too large", func(g *ordering.Genesis) { g.Params.MaxBatch = 1 << 20 }},
		{"no pending", func(g *ordering.Genesis) { g.Params.MaxPending = 0 }},
		{"chain of the terms", func(g *ordering.Genesis) { g.Terms.ChainID = "other" }},
		{"chain id", func(g *ordering.Genesis) { g.ChainID = "with space" }},
		{"limits that nobody signed", func(g *ordering.Genesis) { g.Params.MaxBatch-- }},
		{"other limits in the terms", func(g *ordering.Genesis) { g.Terms.Limits[31] ^= 1 }},
	} {
		g := *good
		test.change(&g)
		if _, err := ordering.New(&g); err == nil {
			t.Errorf("%s: accepted", test.name)
		}
	}
	for _, text := range []string{"", "{}", `{"chain_id":"x","unknown":1}`, "null", "[]"} {
		if _, err := ordering.ParseGenesis([]byte(text)); err == nil {
			t.Errorf("genesis %q accepted", text)
		}
	}
}

// A chain begins with a first key, and with limits to which its members agreed.
func TestGenesisTerms(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	g := *c.Genesis
	g.Terms = *c.Next(keygen.ChangeReshare, 3, c.Secrets...)
	g.Consents = nil
	for _, s := range c.Secrets {
		consent, err := keygen.SignConsent(&g.Terms, s)
		c.Must(err)
		g.Consents = append(g.Consents, consent)
	}
	if _, err := ordering.New(&g); err == nil || !strings.Contains(err.Error(), "begins with a first key") {
		t.Errorf("a resharing: %v", err)
	}
	g = *c.Genesis
	g.Params.MaxPending++
	if _, err := ordering.New(&g); err == nil || !strings.Contains(err.Error(), "use the params that they signed") {
		t.Errorf("other limits: %v", err)
	}
}

// A genesis needs the consent of every member to exactly its terms.
func TestGenesisNeedsAllConsents(t *testing.T) {
	good := sim.New(t, 4, ordering.DefaultParams())
	stranger := sim.New(t, 5, ordering.DefaultParams())
	for _, test := range []struct {
		name   string
		change func(g *ordering.Genesis)
		says   string
	}{
		{"none", func(g *ordering.Genesis) { g.Consents = nil }, "missing from member 1 (member-1), member 2"},
		{"one missing", func(g *ordering.Genesis) { g.Consents = g.Consents[:3] }, "missing from member 4 (member-4)"},
		{"of other terms", func(g *ordering.Genesis) { g.Consents = stranger.Genesis.Consents[:4] }, "member 2 (member-2) did not sign these terms"},
		{"a key exchanged", func(g *ordering.Genesis) {
			g.Terms.Members = slices.Clone(g.Terms.Members)
			g.Terms.Members[2] = stranger.Secrets[4].Member("member-3")
		}, "member 3 (member-3) did not sign these terms"},
		{"terms changed", func(g *ordering.Genesis) { g.Terms.Phases.Deal++ }, "did not sign these terms"},
		{"order", func(g *ordering.Genesis) {
			g.Consents = slices.Clone(g.Consents)
			slices.Reverse(g.Consents)
		}, "out of order"},
	} {
		g := *good.Genesis
		test.change(&g)
		_, err := ordering.New(&g)
		var consent *keygen.ConsentError
		if !errors.As(err, &consent) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.name, err)
		}
		text, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ordering.ParseGenesis(text); err == nil {
			t.Errorf("%s: accepted as a file", test.name)
		}
	}
	text, err := json.Marshal(good.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ordering.ParseGenesis(text); err != nil {
		t.Error(err)
	}
}

func FuzzCheck(f *testing.F) {
	c := sim.New(f, 4, ordering.DefaultParams()).Ceremony()
	old := c.State.Committee().Key
	c.Block(ordering.Proposal{Txs: c.SealTxs("pending")})
	c.Rotate(1000, 3, c.Secrets...)
	c.Block(ordering.Proposal{Txs: c.SealTxs("pending too")})
	f.Add(c.SealTxs("seed")[0])
	f.Add(ordering.CiphertextTx(c.SealTo(old, "seed", c.State.Height()+5000).Bytes()))
	f.Add(ordering.OpeningsTx(c.OpenAll()))
	f.Add(c.ProposalTx(c.Secrets[1], c.Next(keygen.ChangeReshare, 3, c.Secrets...)))
	f.Add(c.Blocks[0].Txs[0])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, tx []byte) {
		b := ordering.Block{Height: c.State.Height() + 1, Txs: [][]byte{tx}}
		refused := ordering.Check(c.State, c.Verifier, b)
		_, r, err := ordering.Step(c.State, c.Verifier, b)
		if err != nil {
			t.Fatal(err)
		}
		if (refused == nil) != (r.Txs[0] == "") {
			t.Fatalf("Check says %v, Step %q", refused, r.Txs[0])
		}
	})
}

// What a Verifier may keep is bounded in bytes, whatever is sent to it.
func TestVerifierForgets(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	ct := c.Seal("x")
	v := ordering.NewVerifier(3 * (len(ct.Bytes()) + 1024))
	var last *threshold.Checked
	for i := range 10 {
		k, err := v.Check(c.Seal(fmt.Sprint(i)))
		c.Must(err)
		last = k
	}
	if again, err := v.Check(last.Ciphertext()); err != nil || again != last {
		t.Errorf("the newest is not remembered: %v", err)
	}
	if n := v.Remembered(); n != 3 {
		t.Errorf("%d are remembered, room is for 3", n)
	}
}
