package ordering_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
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
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// tenures writes a state's tenures for people: "1:5-20 2:20-".
func tenures(s *ordering.State) string {
	var out []string
	for _, t := range s.Tenures() {
		until := ""
		if t.Until > 0 {
			until = fmt.Sprint(t.Until)
		}
		out = append(out, fmt.Sprintf("%d:%d-%s", t.Epoch(), t.Since, until))
	}
	return strings.Join(out, " ")
}

func rejection(err error) string {
	var r *ordering.Rejection
	if errors.As(err, &r) {
		return r.Code
	}
	return fmt.Sprint(err)
}

// openedAll opens what is pending and lists the plaintexts, sorted.
func openedAll(c *sim.Chain) (out []string) {
	for _, reveal := range c.Block(ordering.Proposal{Openings: c.OpenAll()}).Reveals {
		out = append(out, sim.Plaintexts(reveal)...)
	}
	slices.Sort(out)
	return out
}

// A key is handed over while ciphertexts come in. What the old committee ordered it opens,
// and the new one what comes after; CometBFT's validators follow.
func TestReshare(t *testing.T) {
	for _, test := range []struct {
		name      string
		before    int
		threshold int
		keep, add int
		first     int // index of the first that is kept
	}{
		{name: "more members", before: 4, threshold: 5, keep: 4, add: 3},
		{name: "fewer members", before: 5, threshold: 3, keep: 4},
		{name: "the first leaves", before: 4, threshold: 3, keep: 3, first: 1},
		{name: "one replaced", before: 4, threshold: 3, keep: 3, add: 1, first: 1},
		{name: "all others", before: 4, threshold: 3, add: 4},
		{name: "the same, refreshed", before: 4, threshold: 3, keep: 4},
		{name: "another threshold", before: 4, threshold: 4, keep: 4},
		{name: "one alone", before: 1, threshold: 2, keep: 1, add: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := sim.New(t, test.before, ordering.DefaultParams()).Ceremony()
			before := c.Secrets
			key := c.State.Committee().Key.ID()
			joining := c.Newcomers(test.add)
			members := append(slices.Clone(before[test.first:test.first+test.keep]), joining...)
			terms := c.Next(keygen.ChangeReshare, test.threshold, members...)
			c.Agree(terms, members...)

			// A batch with every block of the ceremony, none of them opened before its end.
			var sent []string
			var last *ordering.Result
			for i := 0; last == nil || last.Activated == nil; i++ {
				text := fmt.Sprintf("during %02d", i)
				sent = append(sent, text)
				last = c.Block(ordering.Proposal{Txs: append(c.CeremonyTxs(), c.SealTxs(text)...)})
				if i > 14 {
					t.Fatalf("%s, blame %v", c.State.Ceremony().Phase(), c.State.Ceremony().Blame())
				}
			}
			h := last.Height
			if o := c.State.Office(); o != last.Activated || o.Epoch() != 2 || o.Since != h || o.Until != 0 || c.State.Committee().Key.ID() != key {
				t.Fatalf("in office: %+v", o)
			}
			if got := tenures(c.State); got != fmt.Sprintf("1:%d-%d 2:%d-", c.State.Tenures()[0].Since, h, h) {
				t.Fatalf("tenures %s", got)
			}
			var changes []string
			for _, v := range last.Validators {
				changes = append(changes, fmt.Sprintf("%x %d", v.Key, v.Power))
			}
			var want []string
			for _, s := range joining {
				want = append(want, fmt.Sprintf("%x 10", s.Member("").Validator))
			}
			for i, s := range before {
				if i < test.first || i >= test.first+test.keep {
					want = append(want, fmt.Sprintf("%x 0", s.Member("").Validator))
				}
			}
			if diff := cmp.Diff(want, changes); diff != "" {
				t.Errorf("validators: %s", diff)
			}
			if e, err := commitreveal.ParseEntry(last.Records[0].Entry); err != nil {
				t.Error(err)
			} else if entry, ok := e.(commitreveal.CommitteeEntry); !ok || entry.Height != h || entry.Epoch != 2 {
				t.Errorf("first entry of the block: %+v", e)
			}

			// The wallets notice nothing: one key, the same.
			if keys := c.State.Keys(); len(keys) != 1 || keys[0].Committee.Key.ID() != key || keys[0].Epoch != 2 || keys[0].ValidUntil != 0 || keys[0].ValidFrom != c.State.Tenures()[0].Since+1 {
				t.Errorf("keys: %+v", keys)
			}
			sent = append(sent, "after")
			r := c.Block(ordering.Proposal{Txs: c.SealTxs("after")})
			if r.Batch.Batch.Epoch != 2 {
				t.Errorf("batch of epoch %d", r.Batch.Batch.Epoch)
			}
			for _, b := range c.State.Pending()[:len(c.State.Pending())-1] {
				if b.Batch.Epoch != 1 {
					t.Errorf("batch of height %d is of epoch %d", b.Batch.Height, b.Batch.Epoch)
				}
			}
			slices.Sort(sent)
			if diff := cmp.Diff(sent, openedAll(c)); diff != "" {
				t.Errorf("opened: %s", diff)
			}
			if got := tenures(c.State); got != fmt.Sprintf("2:%d-", h) {
				t.Errorf("tenures after all is opened: %s", got)
			}
			c.Block(ordering.Proposal{})
			if at := c.State.AppHash(); c.Block(ordering.Proposal{}).AppHash != at {
				t.Error("the chain does not rest after a succession")
			}
		})
	}
}

// The old committee's shares open nothing that the new one has to open, and the other way.
func TestSharesOfOldAndNewDoNotMix(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	c.Reshare(3, c.Secrets...)
	c.Block(ordering.Proposal{Txs: c.SealTxs("new")})
	b := c.State.Pending()[0]
	mixed := []*threshold.SecretShare{c.EpochShares(1)[0], c.EpochShares(2)[1], c.EpochShares(2)[2]}
	var shares []*threshold.BatchShare
	for _, s := range mixed {
		share, err := s.ShareBatch(b.Ciphertexts)
		c.Must(err)
		shares = append(shares, share)
	}
	if _, bad, err := threshold.Combine(c.State.Committee(), b.Ciphertexts, shares); err == nil || !slices.Equal(bad, []uint32{1}) {
		t.Errorf("bad %v, %v", bad, err)
	}
}

// A new key, and for an overlap the old one as well: a block takes one of them, what was
// sealed to the old one is opened by the old committee, and then it is refused.
func TestRotation(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	old := c.State.Committee().Key
	first := c.State.Office().Since
	far := c.State.Height() + 10_000
	waiting := ordering.CiphertextTx(c.SealTo(old, "sealed before", far).Bytes())
	c.Block(ordering.Proposal{Txs: c.SealTxs("ordered before")})

	c.Rotate(5, 3, append(slices.Clone(c.Secrets[1:]), c.Newcomers(2)...)...)
	h := c.State.Height()
	key := c.State.Committee().Key
	if key.ID() == old.ID() || c.State.Committee().N() != 5 {
		t.Fatal("not a new key")
	}
	type row struct{ Epoch, From, Until uint64 }
	keys := func() (out []row) {
		for _, k := range c.State.Keys() {
			if k.Committee.Key.ID() != map[uint64]threshold.KeyID{1: old.ID(), 2: key.ID()}[k.Epoch] {
				t.Errorf("epoch %d with a wrong key", k.Epoch)
			}
			out = append(out, row{k.Epoch, k.ValidFrom, k.ValidUntil})
		}
		return out
	}
	both := []row{{2, h + 1, 0}, {1, first + 1, h + 5}}
	if diff := cmp.Diff(both, keys()); diff != "" {
		t.Error(diff)
	}

	// At the door, a ciphertext must not outlive its key; one that came in before may be ordered.
	late := c.SealTo(old, "too long", h+6)
	if _, err := ordering.Admit(c.State, c.Verifier, late.Bytes()); rejection(err) != ordering.CodeKeyRetiring {
		t.Errorf("valid for longer than its key: %v", err)
	}
	short := c.SealTo(old, "just in time", h+5)
	if _, err := ordering.Admit(c.State, c.Verifier, short.Bytes()); err != nil {
		t.Error(err)
	}
	for name, check := range map[string]func(*ordering.State, *ordering.Verifier, []byte) error{"check": ordering.CheckTx, "recheck": ordering.RecheckTx} {
		if err := check(c.State, c.Verifier, waiting); err != nil {
			t.Errorf("%s of what waits: %v", name, err)
		}
	}

	// One key for each block: that of the first in line.
	fresh := c.SealTxs("to the new key")[0]
	mixed := [][]byte{fresh, waiting, ordering.CiphertextTx(short.Bytes())}
	// The first one to the other key ends what the block takes; its body proves it.
	honest := filled(c, mixed...)
	if len(honest) != 3 {
		t.Fatalf("%d transactions: the section, what is ordered, and the proof", len(honest))
	}
	whole := append([][]byte{honest[0]}, mixed...)
	slices.SortFunc(whole[1:], func(a, b []byte) int {
		x, y := sim.IDOf(a), sim.IDOf(b)
		return bytes.Compare(x[:], y[:])
	})
	withoutProof := slices.DeleteFunc(slices.Clone(honest), func(tx []byte) bool { return bytes.Equal(tx, waiting) })
	for name, txs := range map[string][][]byte{"both": whole, "no proof": withoutProof} {
		if err := ordering.Check(c.State, c.Verifier, ordering.Block{Height: h + 1, Txs: txs}); err == nil {
			t.Errorf("a block with %s is accepted", name)
		}
	}
	if r := c.Block(ordering.Proposal{Txs: mixed}); r.Batch.Batch.Epoch != 2 || len(r.Batch.Ciphertexts) != 1 {
		t.Errorf("batch of epoch %d with %d", r.Batch.Batch.Epoch, len(r.Batch.Ciphertexts))
	}
	r := c.Block(ordering.Proposal{Txs: mixed[1:]})
	if r.Batch.Batch.Epoch != 1 || len(r.Batch.Ciphertexts) != 2 {
		t.Errorf("batch of epoch %d with %d", r.Batch.Batch.Epoch, len(r.Batch.Ciphertexts))
	}
	e, err := commitreveal.ParseEntry(r.Records[len(r.Records)-1].Entry)
	c.Must(err)
	if commit, ok := e.(commitreveal.CommitEntry); !ok || commit.Epoch != 1 || commit.KeyID != old.ID() {
		t.Errorf("the log says %+v", e)
	}
	if diff := cmp.Diff([]string{"just in time", "ordered before", "sealed before", "to the new key"}, openedAll(c)); diff != "" {
		t.Error(diff)
	}

	// To the last height of the overlap, and not further.
	if diff := cmp.Diff(both, keys()); diff != "" {
		t.Error(diff)
	}
	lastOnes := []*threshold.Ciphertext{c.SealTo(old, "at the last height", h+5), c.SealTo(old, "too late", h+500)}
	c.Block(ordering.Proposal{})
	r = c.Block(ordering.Proposal{Txs: [][]byte{ordering.CiphertextTx(lastOnes[0].Bytes())}})
	if r.Height != h+5 || r.Batch == nil {
		t.Fatalf("height %d, batch %v", r.Height, r.Batch)
	}
	if diff := cmp.Diff(both[:1], keys()); diff != "" {
		t.Error(diff)
	}
	if got := tenures(c.State); got != fmt.Sprintf("1:%d-%d 2:%d-", first, h, h) {
		t.Errorf("while its last batch is closed: %s", got)
	}
	_, err = ordering.Admit(c.State, c.Verifier, lastOnes[1].Bytes())
	if rejection(err) != ordering.CodeKeyRetired {
		t.Errorf("after the overlap: %v", err)
	}
	tx := ordering.CiphertextTx(lastOnes[1].Bytes())
	if err := ordering.RecheckTx(c.State, c.Verifier, tx); rejection(err) != ordering.CodeKeyRetired {
		t.Errorf("in the mempool: %v", err)
	}
	if err := ordering.Check(c.State, c.Verifier, ordering.Block{Height: h + 6, Txs: [][]byte{tx}}); err == nil {
		t.Errorf("in a block: %v", err)
	}
	if diff := cmp.Diff([]string{"at the last height"}, openedAll(c)); diff != "" {
		t.Error(diff)
	}
	if got := tenures(c.State); got != fmt.Sprintf("2:%d-", h) {
		t.Errorf("tenures when nothing is left: %s", got)
	}
	// The key is still told from one that never was.
	if _, err := ordering.Admit(c.State, c.Verifier, lastOnes[1].Bytes()); rejection(err) != ordering.CodeKeyRetired {
		t.Errorf("after the tenure: %v", err)
	}
	other := sim.New(t, 7, ordering.DefaultParams()).Ceremony()
	if _, err := ordering.Admit(c.State, c.Verifier, other.Seal("x").Bytes()); rejection(err) != ordering.CodeWrongKey {
		t.Errorf("a stranger's key: %v", err)
	}
}

// Without an overlap the old key ends with the block that puts the new one in its place.
func TestRotationWithoutOverlap(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	old := c.State.Committee().Key
	c.Rotate(0, 3, c.Secrets...)
	if got := tenures(c.State); got != fmt.Sprintf("2:%d-", c.State.Height()) || len(c.State.Keys()) != 1 {
		t.Errorf("tenures %s, %d keys", got, len(c.State.Keys()))
	}
	if _, err := ordering.Admit(c.State, c.Verifier, c.SealTo(old, "x", c.State.Height()+9).Bytes()); rejection(err) != ordering.CodeKeyRetired {
		t.Error(err)
	}
	if len(c.Results[len(c.Results)-1].Validators) != 0 {
		t.Error("the validators change although the members do not")
	}
}

// Successions that follow each other while an old key is still in use: it stays with the
// committee that has it, and those between go when they have nothing left to open.
func TestSuccessionsWithinAnOverlap(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	one := c.State.Committee().Key
	c.Rotate(40, 3, c.Secrets...)
	since, two := c.State.Height(), c.State.Committee().Key
	c.Reshare(3, append(slices.Clone(c.Secrets[1:]), c.Newcomers(1)...)...)
	if got := epochs(c.State); got != "1 3" {
		t.Errorf("epochs %s", got)
	}
	c.Rotate(40, 3, c.Secrets[1:]...)
	three := c.State.Committee().Key
	if got := epochs(c.State); got != "1 3 4" {
		t.Errorf("epochs %s", got)
	}
	keys := c.State.Keys()
	if len(keys) != 3 || keys[2].ValidUntil != since+40 || keys[1].ValidFrom != since+1 || keys[1].Epoch != 3 || keys[1].ValidUntil != c.State.Height()+40 {
		t.Errorf("keys %+v", keys)
	}
	for i, key := range []*threshold.PublicKey{one, two, three} {
		c.Block(ordering.Proposal{Txs: [][]byte{ordering.CiphertextTx(c.SealTo(key, fmt.Sprint(i+1), c.State.Height()+10).Bytes())}})
	}
	if diff := cmp.Diff([]string{"1", "2", "3"}, openedAll(c)); diff != "" {
		t.Error(diff)
	}
	for c.State.Height() < since+40 {
		c.Block(ordering.Proposal{})
	}
	if got := epochs(c.State); got != "3 4" {
		t.Errorf("epochs %s", got)
	}
	restored, err := ordering.Restore(c.Genesis, c.Rows.Last.Snapshot, c.Rows.Restore())
	c.Must(err)
	for i, want := range []string{ordering.CodeKeyRetired, "<nil>", "<nil>"} {
		ct := c.SealTo([]*threshold.PublicKey{one, two, three}[i], "x", c.State.Height()+3)
		if _, err := ordering.Admit(restored, c.Verifier, ct.Bytes()); rejection(err) != want {
			t.Errorf("key %d: %v", i+1, err)
		}
	}
}

// What successions leave behind is bounded: the keys that are remembered, and the committees.
func TestSuccessionsAreBounded(t *testing.T) {
	c := sim.New(t, 1, ordering.DefaultParams()).Ceremony()
	var old []*threshold.PublicKey
	for range 17 {
		old = append(old, c.State.Committee().Key)
		c.Rotate(0, 1, c.Secrets...)
	}
	for i, key := range old {
		want := ordering.CodeKeyRetired
		if i == 0 {
			want = ordering.CodeWrongKey
		}
		if _, err := ordering.Admit(c.State, c.Verifier, c.SealTo(key, "x", c.State.Height()+2).Bytes()); rejection(err) != want {
			t.Errorf("key %d of %d: %v", i+1, len(old), err)
		}
	}
	for range 15 {
		c.Rotate(1000, 1, c.Secrets...)
	}
	if n := len(c.State.Tenures()); n != 16 || len(c.State.Keys()) != 16 {
		t.Fatalf("%d committees, %d keys", n, len(c.State.Keys()))
	}
	tx := c.ProposalTx(c.Secrets[0], c.Next(keygen.ChangeReshare, 1, c.Secrets...))
	if err := ordering.CheckTx(c.State, c.Verifier, tx); err == nil || !strings.Contains(err.Error(), "16 committees") {
		t.Errorf("a 17th committee: %v", err)
	}
	_, err := ordering.Restore(c.Genesis, c.Rows.Last.Snapshot, c.Rows.Restore())
	c.Must(err)
}

func epochs(s *ordering.State) string {
	var out []string
	for _, t := range s.Tenures() {
		out = append(out, fmt.Sprint(t.Epoch()))
	}
	return strings.Join(out, " ")
}

// A succession that fails, is rejected or aborted changes nothing, and another may follow.
func TestSuccessionInVain(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	office, key := c.State.Office(), c.State.Committee().Key.ID()
	members := append(slices.Clone(c.Secrets[1:]), c.Newcomers(1)...)
	joining := members[3]
	texts := 0
	unchanged := func(phase keygen.Phase) {
		t.Helper()
		if p := c.State.Ceremony().Phase(); p != phase {
			t.Fatalf("%s, want %s", p, phase)
		}
		if c.State.Office() != office || len(c.State.Tenures()) != 1 || len(c.State.Keys()) != 1 || c.State.Committee().Key.ID() != key || c.State.Tenure(2) != nil {
			t.Errorf("a succession that is %s changed the office: %s", phase, tenures(c.State))
		}
		for _, r := range c.Results[3:] {
			if r.Activated != nil && r.Height > office.Since || len(r.Validators) != 0 {
				t.Errorf("height %d activates %v, validators %v", r.Height, r.Activated, r.Validators)
			}
		}
		texts++
		text := fmt.Sprint("still open for business ", texts)
		c.Block(ordering.Proposal{Txs: c.SealTxs(text)})
		if diff := cmp.Diff([]string{text}, openedAll(c)); diff != "" {
			t.Error(diff)
		}
	}
	next := func() *keygen.Terms { return c.Next(keygen.ChangeReshare, 3, members...) }

	c.Propose(c.Secrets[0], next(), members...)
	c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindRejection, joining)})
	unchanged(keygen.PhaseRejected)

	c.Propose(c.Secrets[1], next(), members...)
	c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindConsent, members...)[:1]})
	c.Fail()
	unchanged(keygen.PhaseRejected)

	c.Agree(next(), members...)
	c.Block(ordering.Proposal{Txs: c.CeremonyTxs()})
	c.Fail()
	unchanged(keygen.PhaseFailed)

	c.Agree(next(), members...)
	c.Block(ordering.Proposal{})
	c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindAbort, c.Secrets[:3]...)})
	unchanged(keygen.PhaseAborted)

	var got []string
	for _, r := range c.State.PastCeremonies() {
		got = append(got, fmt.Sprintf("%d %s", r.Terms.Attempt, r.Outcome))
	}
	if diff := cmp.Diff([]string{"1 rejected", "2 rejected", "3 failed"}, got); diff != "" {
		t.Error(diff)
	}
	c.Succeed(next(), members...)
	if o := c.State.Office(); o.Epoch() != 2 || o.Terms().Attempt != 5 || len(c.State.PastCeremonies()) != 0 {
		t.Errorf("epoch %d attempt %d, %d past", o.Epoch(), o.Terms().Attempt, len(c.State.PastCeremonies()))
	}
	// The epoch after that counts anew.
	c.Reshare(3, c.Secrets...)
	if o := c.State.Office(); o.Epoch() != 3 || o.Terms().Attempt != 1 {
		t.Errorf("epoch %d attempt %d", o.Epoch(), o.Terms().Attempt)
	}
	if r := c.Rows.Last; r.Activated == nil || len(r.Validators) != 0 {
		t.Errorf("the members stay, and the validators change: %v", r.Validators)
	}
}

// Whose proposal of a succession is taken, and which: at the door, by the proposer and in a block alike.
func TestSuccessionProposals(t *testing.T) {
	young := sim.New(t, 4, ordering.DefaultParams())
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	members := append(slices.Clone(c.Secrets[1:]), c.Newcomers(1)...)
	judge := func(c *sim.Chain, tx []byte) (bool, string) {
		t.Helper()
		door := ordering.CheckTx(c.State, c.Verifier, tx)
		block := ordering.Check(c.State, c.Verifier, ordering.Block{Height: c.State.Height() + 1, Txs: [][]byte{tx}})
		if (door == nil) != (block == nil) {
			t.Errorf("the door says %v, the block %v", door, block)
		}
		if n := len(ordering.Propose(c.State, c.Verifier, ordering.Proposal{Txs: [][]byte{tx}, MaxBytes: 1 << 20})); (n == 1) != (door == nil) {
			t.Errorf("the proposer takes %d", n)
		}
		return door == nil, fmt.Sprint(door)
	}
	propose := func(by *keygen.MemberSecret, change func(*keygen.Terms)) []byte {
		terms := c.Next(keygen.ChangeReshare, 3, members...)
		if change != nil {
			change(terms)
		}
		return c.ProposalTx(by, terms)
	}
	good := propose(c.Secrets[0], nil)
	if ok, _ := judge(young, good); ok {
		t.Error("a succession before there is a committee")
	}
	if ok, why := judge(c, propose(members[3], nil)); ok || !strings.Contains(why, "office") {
		t.Errorf("by who only joins: %s", why)
	}
	other := sim.New(t, 5, ordering.DefaultParams()).Ceremony()
	strange, err := keygen.PreviousOf(other.State.Office().Certificate())
	c.Must(err)
	for name, change := range map[string]func(*keygen.Terms){
		"other limits": func(x *keygen.Terms) { x.Limits[0] ^= 1 },
		"a later epoch": func(x *keygen.Terms) {
			x.Epoch++
			p := *x.Previous
			k := *p.Committee
			k.Epoch++
			p.Committee = &k
			x.Previous = &p
		},
		"attempt 2":     func(x *keygen.Terms) { x.Attempt = 2 },
		"too soon":      func(x *keygen.Terms) { x.StartHeight = c.State.Height() + 2 },
		"too late":      func(x *keygen.Terms) { x.StartHeight = 1 << 40 },
		"another chain": func(x *keygen.Terms) { x.ChainID = "other" },
		"another office": func(x *keygen.Terms) {
			x.Previous = strange
			x.Previous.Members = c.State.Office().Terms().Members[:4:4]
			x.Previous.Committee = strange.Committee
		},
		"a certificate that is not the office's": func(x *keygen.Terms) {
			p := *x.Previous
			p.Certificate[3] ^= 1
			x.Previous = &p
		},
	} {
		terms := c.Next(keygen.ChangeReshare, 3, members...)
		change(terms)
		if _, err := keygen.ProposeTerms(c.Secrets[0], terms); err != nil {
			continue // not even sayable
		}
		if ok, _ := judge(c, c.ProposalTx(c.Secrets[0], terms)); ok {
			t.Errorf("%s: taken", name)
		}
	}
	forged := slices.Clone(good)
	forged[len(forged)-1] ^= 1
	if ok, _ := judge(c, forged); ok {
		t.Error("a forged one is taken")
	}
	for name, tx := range map[string][]byte{
		"by a member that leaves": good,
		"by a member that stays":  propose(c.Secrets[2], nil),
		"a rotation":              propose(c.Secrets[3], func(x *keygen.Terms) { x.Change, x.Overlap = keygen.ChangeRotate, 100 }),
	} {
		if ok, why := judge(c, tx); !ok {
			t.Errorf("%s: %s", name, why)
		}
	}
	c.Propose(c.Secrets[0], c.Next(keygen.ChangeReshare, 3, members...), members...)
	if ok, why := judge(c, propose(c.Secrets[1], nil)); ok || !strings.Contains(why, "wait") {
		t.Errorf("while one runs: %s", why)
	}
}

// One member that proposes without end uses up its own proposals, and nobody else's.
func TestProposalsAreBounded(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	members := slices.Clone(c.Secrets)
	next := func() *keygen.Terms { return c.Next(keygen.ChangeReshare, 3, members...) }
	inVain := func(by int) {
		c.Propose(c.Secrets[by], next(), members...)
		c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindRejection, c.Secrets[3])})
	}
	for range 16 {
		inVain(1)
	}
	tx := c.ProposalTx(c.Secrets[1], next())
	restored, err := ordering.Restore(c.Genesis, c.Rows.Last.Snapshot, c.Rows.Restore())
	c.Must(err)
	for _, s := range []*ordering.State{c.State, restored} {
		if err := ordering.CheckTx(s, c.Verifier, tx); err == nil || !strings.Contains(err.Error(), "may propose no more") {
			t.Errorf("the 17th at the door: %v", err)
		}
		if err := ordering.Check(s, c.Verifier, ordering.Block{Height: s.Height() + 1, Txs: [][]byte{tx}}); err == nil {
			t.Error("the 17th is taken")
		}
	}
	inVain(2)
	if n := len(c.State.PastCeremonies()); n != 16 {
		t.Errorf("%d past ceremonies", n)
	}
	c.Propose(c.Secrets[2], next(), members...)
	c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindConsent, members...)})
	c.Ceremony()
	if o := c.State.Office(); o.Epoch() != 2 || o.Terms().Attempt != 18 {
		t.Fatalf("epoch %d attempt %d", o.Epoch(), o.Terms().Attempt)
	}
	if err := ordering.CheckTx(c.State, c.Verifier, c.ProposalTx(c.Secrets[1], next())); err != nil {
		t.Errorf("for the next epoch it may propose again: %v", err)
	}
}

// busyChain has all that can happen: a key handed over and one rotated, each with batches
// that wait, and a succession in vain.
func busyChain(t testing.TB) *sim.Chain {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("1")})
	members := append(slices.Clone(c.Secrets[1:]), c.Newcomers(2)...)
	c.Propose(c.Secrets[0], c.Next(keygen.ChangeReshare, 3, members...), members...)
	c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindRejection, members[0])})
	c.Reshare(3, members...)
	c.Block(ordering.Proposal{Txs: c.SealTxs("2")})
	old := c.State.Committee().Key
	c.Rotate(4, 3, c.Secrets[:4]...)
	c.Block(ordering.Proposal{Txs: c.SealTxs("3")})
	c.Block(ordering.Proposal{Txs: [][]byte{ordering.CiphertextTx(c.SealTo(old, "4", c.State.Height()+9).Bytes())}})
	c.Block(ordering.Proposal{Openings: c.OpenAll()[:2]})
	c.Block(ordering.Proposal{Openings: c.OpenAll()[:1], Txs: c.SealTxs("5")})
	c.Block(ordering.Proposal{})
	c.Block(ordering.Proposal{Openings: c.OpenAll()})
	c.Block(ordering.Proposal{})
	return c
}

// A node that restarts after any block agrees with one that never did.
func TestRestoreThroughSuccessions(t *testing.T) {
	c := busyChain(t)
	s, err := ordering.New(c.Genesis)
	c.Must(err)
	w := sim.NewRows()
	running := s
	for i, b := range c.Blocks {
		_, r, err := ordering.Step(s, ordering.NewVerifier(0), b)
		c.Must(err)
		w.Add(r)
		if s, err = ordering.Restore(c.Genesis, r.Snapshot, w.Restore()); err != nil {
			t.Fatalf("height %d: %v", b.Height, err)
		}
		if running, _, err = ordering.Step(running, c.Verifier, b); err != nil {
			t.Fatal(err)
		}
		if s.AppHash() != running.AppHash() || s.AppHash() != c.Results[i].AppHash {
			t.Fatalf("height %d: app hashes differ", b.Height)
		}
		if tenures(s) != tenures(running) || len(s.Keys()) != len(running.Keys()) || len(s.PastCeremonies()) != len(running.PastCeremonies()) {
			t.Fatalf("height %d: %s against %s", b.Height, tenures(s), tenures(running))
		}
		for j, k := range s.Keys() {
			o := running.Keys()[j]
			if k.Epoch != o.Epoch || k.ValidFrom != o.ValidFrom || k.ValidUntil != o.ValidUntil || k.Committee.Key.ID() != o.Committee.Key.ID() {
				t.Fatalf("height %d: keys differ", b.Height)
			}
		}
		one, err := s.Snapshot()
		c.Must(err)
		two, err := running.MarshalCeremonies()
		c.Must(err)
		three, err := s.MarshalCeremonies()
		c.Must(err)
		if !slices.Equal(one, r.Snapshot) || !slices.Equal(two, three) {
			t.Fatalf("height %d: encoded differently", b.Height)
		}
	}
	if got := epochs(s); got != "3" {
		t.Errorf("epochs at the end: %s", got)
	}
}

// No field of the ceremonies can be changed without being noticed.
func TestRestoreRefusesOtherCeremonies(t *testing.T) {
	c := sim.New(t, 1, ordering.DefaultParams()).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("1")})
	c.Rotate(100, 1, c.Secrets...)
	members := slices.Clone(c.Secrets)
	c.Propose(c.Secrets[0], c.Next(keygen.ChangeReshare, 1, members...), members...)
	c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindRejection, members[0])})
	c.Propose(c.Secrets[0], c.Next(keygen.ChangeReshare, 1, members...), members...)
	good := c.Rows.Restore()
	_, err := ordering.Restore(c.Genesis, c.Rows.Last.Snapshot, good)
	c.Must(err)
	// Past and tenures are long: their heads byte by byte, the rest here and there.
	rng := rand.New(rand.NewPCG(5, 6))
	at := []int{0, 1, 32, 33, 34, 35, 66, 67}
	for range 60 {
		at = append(at, rng.IntN(len(good.Ceremony)))
	}
	record, err := c.State.PastCeremonies()[0].MarshalBinary()
	c.Must(err)
	head := 1 + 32 + 2 + 32 + 4 + len(record)
	for i := range 1 + 32 + 2 + 32 + 4 { // rotated keys, and the first tenure's span
		at = append(at, head+i)
	}
	terms, err := c.State.Tenures()[0].Terms().MarshalBinary()
	c.Must(err)
	state := head + 1 + 32 + 2 + 32 + 4 + 1 + 4 + len(terms) // of the first tenure's ceremony, after its terms
	at = append(at, state, state+1, state+9, state+17)       // phases, height, deadline
	newest, err := c.State.Ceremony().MarshalBinary()
	c.Must(err)
	at = append(at, len(good.Ceremony)-len(newest)-5, len(good.Ceremony)-len(newest)-36) // its proposer
	for _, i := range at {
		bad := good
		bad.Ceremony = slices.Clone(good.Ceremony)
		bad.Ceremony[i] ^= 1
		if _, err := ordering.Restore(c.Genesis, c.Rows.Last.Snapshot, bad); !errors.Is(err, ordering.ErrSnapshot) {
			t.Errorf("a change at byte %d of %d: %v", i, len(good.Ceremony), err)
		}
	}
	for range 40 {
		bad := good
		bad.Ceremony = good.Ceremony[:rng.IntN(len(good.Ceremony))]
		if _, err := ordering.Restore(c.Genesis, c.Rows.Last.Snapshot, bad); !errors.Is(err, ordering.ErrSnapshot) {
			t.Errorf("cut to %d bytes: %v", len(bad.Ceremony), err)
		}
	}
}

// What Check accepts, Step applies in full, and what it refuses, Step does not: for blocks
// put together at random, in all phases of a succession.
func TestCheckAgreesWithStep(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	rng := rand.New(rand.NewPCG(7, 8))
	old := c.State.Committee().Key
	accepted, refused := 0, 0
	probe := func(extra ...[]byte) {
		t.Helper()
		h := c.State.Height() + 1
		pool := append(c.CeremonyTxs(), extra...)
		pool = append(pool, ordering.CiphertextTx(c.SealTo(old, "old", h+3).Bytes()), ordering.CiphertextTx(c.SealTo(c.State.Committee().Key, "new", h+3).Bytes()), c.Blocks[0].Txs[0], []byte{2})
		if len(c.State.Pending()) > 0 {
			pool = append(pool, ordering.OpeningsTx(c.OpenAll()[:1]))
		}
		for range 12 {
			var txs [][]byte
			for _, i := range rng.Perm(len(pool))[:rng.IntN(min(len(pool), 4))] {
				txs = append(txs, pool[i])
			}
			slices.SortStableFunc(txs, func(a, b []byte) int { return int(b[0]) - int(a[0]) })
			b := ordering.Block{Height: h, Txs: txs}
			checked := ordering.Check(c.State, ordering.NewVerifier(0), b)
			next, r, err := ordering.Step(c.State, c.Verifier, b)
			if err != nil {
				t.Fatal(err)
			}
			leftOut := slices.ContainsFunc(r.Txs, func(code string) bool { return code != "" })
			if checked == nil {
				accepted++
			} else {
				refused++
			}
			if checked == nil && leftOut || checked != nil && !leftOut && !strings.Contains(checked.Error(), "not in order") {
				t.Fatalf("height %d, %d transactions: Check says %v, Step %q", h, len(txs), checked, r.Txs)
			}
			again, r2, err := ordering.Step(c.State, ordering.NewVerifier(0), b)
			if err != nil || next.AppHash() != again.AppHash() || !slices.Equal(r.Snapshot, r2.Snapshot) {
				t.Fatalf("height %d: Step depends on what is remembered: %v", h, err)
			}
		}
	}
	members := append(slices.Clone(c.Secrets[1:]), c.Newcomers(1)...)
	for _, change := range []keygen.Change{keygen.ChangeReshare, keygen.ChangeRotate} {
		terms := c.Next(change, 3, members...)
		if change == keygen.ChangeRotate {
			terms.Overlap = 3
		}
		probe(c.ProposalTx(c.Secrets[1], terms))
		c.Propose(c.Secrets[0], terms, members...)
		probe(c.Votes(keygen.KindConsent, members...)...)
		c.Agreed()
		for c.State.Ceremony().Phase() != keygen.PhaseActive {
			probe()
			c.Block(ordering.Proposal{Txs: append(c.CeremonyTxs(), c.SealTxs("x")...), Openings: c.OpenAll()})
		}
		members = slices.Clone(c.Secrets)
	}
	for range 5 {
		probe()
		c.Block(ordering.Proposal{Txs: c.SealTxs("x")})
	}
	if accepted < 50 || refused < 50 {
		t.Errorf("%d accepted, %d refused: the test does not try both", accepted, refused)
	}
}

// The parameters' hash is what members sign; this one was computed with Python's hashlib.
func TestParamsHash(t *testing.T) {
	p := ordering.Params{MaxSizeClass: 9, MaxValidity: 20_000, MaxBatch: 256, MaxPending: 16,
		Order: ordering.OrderParams{Rule: fair.ReceiveTime, SolidSlack: 1, AgreementSlack: 2, Wait: 4, Stale: 3, MaxChunk: 128, MaxLive: 4096}}
	const want = "f7c78881e41ada6c033a400125e214200f658151796acd923525cdd09723b15f"
	if h := p.Hash(); hex.EncodeToString(h[:]) != want {
		t.Errorf("%x", h)
	}
	seen := map[[32]byte]bool{p.Hash(): true}
	for _, change := range []func(*ordering.Params){
		func(p *ordering.Params) { p.MaxSizeClass-- }, func(p *ordering.Params) { p.MaxValidity-- },
		func(p *ordering.Params) { p.MaxBatch-- }, func(p *ordering.Params) { p.MaxPending-- },
		func(p *ordering.Params) { p.Order.Rule-- }, func(p *ordering.Params) { p.Order.SolidSlack-- }, func(p *ordering.Params) { p.Order.AgreementSlack-- }, func(p *ordering.Params) { p.Order.Wait-- },
		func(p *ordering.Params) { p.Order.Stale-- }, func(p *ordering.Params) { p.Order.MaxChunk-- }, func(p *ordering.Params) { p.Order.MaxLive-- },
	} {
		q := p
		change(&q)
		if seen[q.Hash()] {
			t.Errorf("%+v has the hash of other parameters", q)
		}
		seen[q.Hash()] = true
	}
}

func FuzzRestore(f *testing.F) {
	c := sim.New(f, 1, ordering.DefaultParams()).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("1")})
	add := func() { f.Add(c.Rows.Last.Snapshot, c.Rows.Restore().Ceremony) }
	add()
	members := slices.Clone(c.Secrets)
	c.Propose(c.Secrets[0], c.Next(keygen.ChangeReshare, 1, members...), members...)
	c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindRejection, members[0])})
	c.Rotate(10, 1, c.Secrets...)
	add()
	c.Propose(c.Secrets[0], c.Next(keygen.ChangeReshare, 1, members...), members...)
	add()
	second := timed(f, 1)
	second.Block(ordering.Proposal{Txs: second.SealTxs("1")})
	f.Add(second.Rows.Last.Snapshot, second.Rows.Restore().Ceremony)
	f.Add([]byte{2}, binary.BigEndian.AppendUint64([]byte{2}, 1<<63))
	rows := c.Rows.Restore()
	f.Fuzz(func(t *testing.T, snapshot, ceremonies []byte) {
		rows := rows
		rows.Ceremony = ceremonies
		s, err := ordering.Restore(c.Genesis, snapshot, rows)
		if err != nil {
			rows := second.Rows.Restore()
			rows.Ceremony = ceremonies
			if s, err = ordering.Restore(second.Genesis, snapshot, rows); err != nil {
				return
			}
		}
		again, err := s.Snapshot()
		if err != nil || !slices.Equal(again, snapshot) {
			t.Fatalf("read, and written differently: %v", err)
		}
		if again, err = s.MarshalCeremonies(); err != nil || !slices.Equal(again, ceremonies) {
			t.Fatalf("ceremonies read, and written differently: %v", err)
		}
	})
}
