package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// agree proposes terms and lets everybody consent, as people do.
func (b *table) agree(terms *keygen.Terms) {
	b.t.Helper()
	b.mempool = append(b.mempool, b.chain.ProposalTx(b.speaker(terms.Previous.Members[0]), terms))
	b.block()
	var people []*keygen.MemberSecret
	for _, secret := range b.secrets {
		if _, err := terms.Roles(secret); err == nil {
			people = append(people, secret)
		}
	}
	b.mempool = append(b.mempool, b.chain.Votes(keygen.KindConsent, people...)...)
	b.block()
	if s := b.chain.State.Ceremony(); s.Ceremony() != terms.Hash() || s.Phase() == keygen.PhaseProposed {
		b.t.Fatalf("not agreed: %s, epoch %d attempt %d, waiting for %v", s.Phase(), s.Terms().Epoch, s.Terms().Attempt, s.Waiting())
	}
}

func (b *table) speaker(m keygen.Member) *keygen.MemberSecret {
	i := slices.IndexFunc(b.secrets, func(s *keygen.MemberSecret) bool { return s.Member("").Identity.Equal(m.Identity) })
	return b.secrets[i]
}

// succeed runs a whole succession.
func (b *table) succeed(change keygen.Change, threshold int, members ...*keygen.MemberSecret) *keygen.State {
	b.t.Helper()
	b.agree(b.chain.Next(change, threshold, members...))
	b.run()
	s := b.chain.State.Ceremony()
	if s.Phase() != keygen.PhaseActive || len(s.Blame()) > 0 || b.chain.State.Office().Ceremony != s {
		b.t.Fatalf("%s, %v", s.Phase(), s.Blame())
	}
	return s
}

// files is how many files of an epoch a member's folder has.
func (b *table) files(i int, epoch uint64) int {
	found, err := filepath.Glob(filepath.Join(b.dirs[i], fmt.Sprintf("epoch-%d-*", epoch)))
	b.must(err)
	return len(found)
}

// Members hand their key over, one leaves, two join; then the new ones make a new key.
// Drivers do all but consent.
func TestDriversSucceed(t *testing.T) {
	b := newTable(t, 4)
	b.run()
	first := b.chain.State.Ceremony()
	b.join(b.chain.Newcomers(2)...)
	second := b.succeed(keygen.ChangeReshare, 3, b.secrets[1:]...)
	if first.Certificate().Committee.Key.ID() != second.Certificate().Committee.Key.ID() {
		t.Error("a resharing changed the key")
	}
	for i := range b.drivers {
		if b.holds(i, second) != (i > 0) || b.holds(i, first) != (i < 4) {
			t.Errorf("member %d holds %d shares", i+1, len(b.given[i]))
		}
	}
	third := b.succeed(keygen.ChangeRotate, 2, b.secrets[4], b.secrets[5], b.secrets[0])
	if first.Certificate().Committee.Key.ID() == third.Certificate().Committee.Key.ID() {
		t.Error("a rotation did not change the key")
	}
	for i := range b.drivers {
		if b.holds(i, third) != (i == 0 || i > 3) {
			t.Errorf("member %d holds %d shares", i+1, len(b.given[i]))
		}
	}
	// A member that starts now finds the shares of the committees that are needed.
	b.start(5)
	b.must(b.drivers[5].hold(b.chain.State, true))
	if !b.holds(5, third) || len(b.given[5]) != len(b.chain.State.Tenures()) {
		t.Errorf("%d shares after a restart", len(b.given[5]))
	}
}

// Member 1, which hands over and goes on, dies at every operation of a resharing and begins
// again from its files: the others see the ceremony that they would have seen anyway.
func TestCrashInAResharing(t *testing.T) {
	var whole [32]byte
	for kill := 0; ; kill++ {
		b := newTable(t, 3)
		for i := range b.drivers {
			b.plant(i)
		}
		b.run()
		b.join(b.chain.Newcomers(1)...)
		terms := b.chain.Next(keygen.ChangeReshare, 2, b.secrets[0], b.secrets[2], b.secrets[3])
		for i := range b.drivers {
			b.plantFor(i, terms)
		}
		b.op, b.kill = 0, kill
		b.start(0)
		b.agree(terms)
		b.run()
		s := b.chain.State.Ceremony()
		if s.Phase() != keygen.PhaseActive || len(s.Blame()) > 0 || len(s.Stored()) != 3 {
			t.Fatalf("killed at operation %d: %s, %v", kill, s.Phase(), s.Blame())
		}
		for _, i := range []int{0, 2, 3} {
			if !b.holds(i, s) {
				t.Fatalf("killed at operation %d: member %d has not its share", kill, i+1)
			}
		}
		if kill == 0 {
			whole = s.Certificate().Transcript
		}
		if s.Certificate().Transcript != whole {
			t.Errorf("killed at operation %d: another transcript", kill)
		}
		leftovers(t, b.dirs[0])
		if b.op <= kill { // it lived: there are no more operations
			if kill < 13 {
				t.Errorf("only %d operations were found", kill)
			}
			return
		}
	}
}

// A member whose file of the old share is gone makes it again to hand it over.
func TestOldShareLostBeforeItIsHandedOver(t *testing.T) {
	b := newTable(t, 4)
	b.run()
	for i := range b.drivers {
		b.must(os.Remove(b.file(i, "share")))
		b.start(i)
	}
	b.succeed(keygen.ChangeReshare, 3, b.secrets...)
}

// One whose old share cannot be used says so, and is absent as a dealer only: it still
// gets a share of the new committee.
func TestOldShareUnusable(t *testing.T) {
	b := newTable(t, 4)
	b.run()
	b.must(os.Remove(b.file(3, "share")))
	writeSeed(t, b.file(3, "share"), [32]byte{1}, [32]byte{2}, b.keys[3]) // a file of another kind
	b.agree(b.chain.Next(keygen.ChangeReshare, 3, b.secrets...))
	b.run()
	s := b.chain.State.Ceremony()
	if s.Phase() != keygen.PhaseActive || !b.holds(3, s) {
		t.Fatalf("%s, %v", s.Phase(), s.Blame())
	}
	if err := b.errs[3]; !errors.Is(err, sharefile.ErrFormat) || !strings.Contains(err.Error(), "cannot hand over its share of epoch 1") {
		t.Errorf("member 4 is told: %v", err)
	}
}

// Who has no part in a ceremony is silent, draws nothing and does not fail.
func TestNoPartInTheCeremony(t *testing.T) {
	b := newTable(t, 4)
	b.run()
	b.join(b.chain.Newcomers(1)...)
	b.succeed(keygen.ChangeReshare, 3, b.secrets[:4]...)
	if b.errs[4] != nil || len(b.given[4]) > 0 {
		t.Errorf("%v, %d shares", b.errs[4], len(b.given[4]))
	}
	if _, err := os.Stat(b.dirs[4]); err == nil {
		t.Error("it has a folder of secrets")
	}
	if b.drivers[4].participant != nil {
		t.Error("it takes part")
	}
}

// Nobody consents to a new committee, or tries again, but people.
func TestDriversDoNotConsent(t *testing.T) {
	b := newTable(t, 4)
	b.attempts = 9
	for i := range b.drivers {
		b.start(i)
	}
	b.run()
	terms := b.chain.Next(keygen.ChangeReshare, 3, b.secrets[:3]...)
	b.mempool = append(b.mempool, b.chain.ProposalTx(b.secrets[0], terms))
	for range 2 {
		b.block()
	}
	if s := b.chain.State.Ceremony(); s.Ceremony() != terms.Hash() || len(s.Waiting()) < 3 {
		t.Fatalf("%s, waiting for %v", s.Phase(), s.Waiting())
	}
	for i := range b.drivers {
		if n := b.files(i, 2); n > 0 {
			t.Errorf("member %d has %d files of what is only proposed", i+1, n)
		}
	}
	for range 12 {
		b.block()
	}
	if s := b.chain.State.Ceremony(); s.Ceremony() != terms.Hash() || s.Phase() != keygen.PhaseRejected && s.Phase() != keygen.PhaseFailed {
		t.Errorf("epoch %d attempt %d: %s", s.Terms().Epoch, s.Terms().Attempt, s.Phase())
	}
}

// The secrets of a committee go when the chain needs it no more and the margin is over; not
// before, and not those of the committee in office. What is destroyed was overwritten.
func TestOldSharesAreDestroyed(t *testing.T) {
	b := newTable(t, 4)
	b.margin = 6
	for i := range b.drivers {
		b.start(i)
	}
	b.run()
	b.mempool = append(b.mempool, b.chain.SealTxs("ordered for the first committee")...)
	b.block()
	b.join(b.chain.Newcomers(1)...)
	b.succeed(keygen.ChangeReshare, 3, b.secrets[1:]...)
	activated := b.chain.State.Height()
	other := filepath.Join(t.TempDir(), "link")
	b.must(os.Link(b.file(0, "share"), other)) // the same file under another name
	before, err := os.ReadFile(other)
	b.must(err)

	for range 10 {
		b.block()
	}
	if b.chain.State.Tenure(1) == nil {
		t.Fatal("the first committee has a batch to open, and is forgotten")
	}
	for i := range 4 {
		if b.files(i, 1) != 1 { // the share; the seed of a ceremony that is long over is gone
			t.Fatalf("member %d has %d files of epoch 1", i+1, b.files(i, 1))
		}
	}
	// The share is needed and there after a restart, also of the member that left.
	b.start(0)
	b.must(b.drivers[0].hold(b.chain.State, true))
	if share := b.given[0][1]; share == nil {
		t.Fatal("the member that left has not its share of the batch that is open")
	}
	open := openAll(b)
	b.chain.Block(ordering.Proposal{Openings: open})
	if b.chain.State.Tenure(1) != nil {
		t.Fatal("the first committee has nothing to open, and is still there")
	}
	b.block() // the margin counts from the end of its office
	if b.chain.State.Height() < activated+b.margin {
		t.Fatal("the test is wrong")
	}
	for i := range 4 {
		if n := b.files(i, 1); n != 0 {
			t.Errorf("member %d still has %d files of epoch 1", i+1, n)
		}
		if n := b.files(i, 2); n != min(i, 1) { // also of the member that left, whose seed gives its old share away
			t.Errorf("member %d has %d files of epoch 2", i+1, n)
		}
	}
	after, err := os.ReadFile(other)
	b.must(err)
	if len(after) != len(before) || !bytes.Equal(after, make([]byte, len(before))) {
		t.Error("the file was removed, but not overwritten")
	}
	for i := range b.drivers { // nobody misses them
		b.start(i)
		b.must(b.drivers[i].hold(b.chain.State, true))
	}
}

// openAll opens what is pending with the shares that the drivers gave away.
func openAll(b *table) (out []ordering.BatchOpenings) {
	b.t.Helper()
	for _, batch := range b.chain.State.Pending() {
		committee := b.chain.State.Tenure(batch.Batch.Epoch).Committee()
		message, err := batch.Batch.Checkpoint.MarshalBinary()
		b.must(err)
		var shares []*threshold.BatchShare
		var signatures []threshold.SignatureShare
		for i := range b.drivers {
			own := b.given[i][batch.Batch.Epoch]
			if own == nil {
				continue
			}
			share, err := own.ShareBatch(batch.Ciphertexts)
			b.must(err)
			signature, err := own.Sign(message)
			b.must(err)
			shares, signatures = append(shares, share), append(signatures, signature)
		}
		opened, _, err := threshold.Combine(committee, batch.Ciphertexts, shares)
		b.must(err)
		certificate, _, err := threshold.CombineSignature(committee, message, signatures)
		b.must(err)
		found := ordering.BatchOpenings{Height: batch.Batch.Height, Certificate: certificate}
		for _, v := range opened {
			found.Openings = append(found.Openings, v.Opening())
		}
		out = append(out, found)
	}
	return out
}

// The margin holds: one block before its end everything is there. And what a failed attempt
// left goes in the same way.
func TestMarginAndFailedAttempts(t *testing.T) {
	b := newTable(t, 4)
	b.margin = 40
	for i := range b.drivers {
		b.start(i)
	}
	b.run()
	b.agree(b.chain.Next(keygen.ChangeReshare, 3, b.secrets...))
	b.until(keygen.PhaseStoring)
	b.away = map[int]bool{0: true, 1: true, 2: true, 3: true}
	for !b.chain.State.Ceremony().Done() {
		b.block()
	}
	b.away = nil
	failed := b.chain.State.Ceremony().Record()
	if failed == nil || b.files(0, 2) != 2 {
		t.Fatalf("%s, %d files", b.chain.State.Ceremony().Phase(), b.files(0, 2))
	}
	for b.chain.State.Height() < failed.Height+b.margin {
		b.block()
	}
	if n := b.files(0, 2); n != 2 { // the drivers looked at the block before
		t.Fatalf("%d files of the attempt before the margin's end", n)
	}
	b.block()
	if n := b.files(0, 2); n != 0 {
		t.Errorf("%d files of the attempt after it", n)
	}
	if n := b.files(0, 1); n != 1 {
		t.Errorf("%d files of the committee in office, not its share alone", n)
	}
	s := b.succeed(keygen.ChangeReshare, 3, b.secrets...)
	if s.Terms().Attempt != 2 {
		t.Errorf("attempt %d", s.Terms().Attempt)
	}
}

// An interruption between overwriting and removing leaves a file that is destroyed later,
// and that harms nobody meanwhile.
func TestDestroyIsFinished(t *testing.T) {
	b := newTable(t, 4)
	b.margin = 0
	for i := range b.drivers {
		b.start(i)
	}
	b.run()
	b.succeed(keygen.ChangeReshare, 3, b.secrets[1:]...)
	b.must(os.WriteFile(b.file(0, "share"), make([]byte, 300), 0o600))
	b.block()
	for i := range b.drivers {
		if n := b.files(i, 1); n != 0 {
			t.Errorf("member %d has %d files", i+1, n)
		}
	}
	b.must(os.WriteFile(b.file(1, "share")+".backup", nil, 0o600))
	b.must(os.Mkdir(b.file(1, "seed"), 0o700))
	b.block()
	if n := b.files(1, 1); n != 2 {
		t.Errorf("%d: what is not the vault's was destroyed", n)
	}
}

// While a node catches up it passes committees whose shares were destroyed long ago: it
// makes none again, and does not complain. At the end it is strict.
func TestHoldWhileCatchingUp(t *testing.T) {
	b := newTable(t, 4)
	b.run()
	s := b.chain.State
	path := b.file(0, "share")
	good, err := os.ReadFile(path)
	b.must(err)
	for what, text := range map[string][]byte{"none": nil, "destroyed by halves": make([]byte, 300)} {
		b.must(os.Remove(path))
		if text != nil {
			b.must(os.WriteFile(path, text, 0o600))
		}
		b.start(0)
		d := b.drivers[0]
		b.must(d.round(t.Context(), s, true))
		if len(b.given[0]) > 0 {
			t.Errorf("%s: a share was given", what)
		}
		if _, err := os.Stat(path); text == nil && err == nil {
			t.Errorf("%s: the share was made again", what)
		}
		if text == nil {
			b.must(os.WriteFile(path, good, 0o600))
			b.must(d.hold(s, false)) // it was there, but for a moment
			if len(b.given[0]) != 1 {
				t.Error("the share was not given")
			}
			continue
		}
		for _, err := range []error{d.hold(s, false), d.round(t.Context(), s, false)} { // at the start; caught up
			if !errors.Is(err, ErrNoShare) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	// A former committee's share that cannot be read ends nothing.
	b.must(os.WriteFile(path, good, 0o600))
	b.start(0)
	b.mempool = append(b.mempool, b.chain.SealTxs("x")...)
	b.block()
	second := b.succeed(keygen.ChangeReshare, 3, b.secrets...)
	b.must(os.WriteFile(path, make([]byte, 300), 0o600))
	b.start(0)
	b.must(b.drivers[0].hold(b.chain.State, true))
	if b.chain.State.Tenure(1) == nil || b.given[0][1] != nil || !b.holds(0, second) {
		t.Errorf("shares given: %d", len(b.given[0]))
	}
}

// The file of another ceremony under the right name is not taken for the share.
func TestShareOfAnotherCeremony(t *testing.T) {
	b := newTable(t, 4)
	b.run()
	other := newTable(t, 3)
	other.run()
	text := other.given[0][1]
	b.must(os.Remove(b.file(0, "share")))
	b.must(sharefile.WriteShare(b.file(0, "share"), sharefile.ShareMeta{ChainID: sim.ChainID, Ceremony: sha256.Sum256(nil), Epoch: 1}, text, b.drivers[0].recipients))
	b.start(0)
	if err := b.drivers[0].hold(b.chain.State, true); !errors.Is(err, ErrNoShare) || !strings.Contains(err.Error(), "another ceremony") {
		t.Error(err)
	}
	terms := b.chain.State.Office().Terms()
	if home.CeremonyFile(b.dirs[0], terms, "share") != b.file(0, "share") {
		t.Error("the test looks at another file than the node")
	}
}

// The loop goes on after a committee is in office, into the next ceremony.
func TestLoopNeverEnds(t *testing.T) {
	b := newTable(t, 1)
	b.run()
	ctx, cancel := context.WithCancel(t.Context())
	rounds := 0
	state := func() *ordering.State {
		if rounds++; rounds == 3 {
			cancel()
		}
		b.drivers[0].poke(nil, nil)
		return b.chain.State
	}
	b.must(b.drivers[0].run(ctx, state, func() bool { return false }))
	if rounds < 3 {
		t.Errorf("%d rounds", rounds)
	}
}
