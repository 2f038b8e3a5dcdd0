package node

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// table is a committee of ceremony drivers around one simulated chain. Their files are
// real; what a driver submits is in the next block.
type table struct {
	t       *testing.T
	chain   *sim.Chain
	drivers []*ceremony
	dirs    []string
	secrets []*keygen.MemberSecret
	given   []map[uint64]*threshold.SecretShare // by epoch: what the drivers gave away
	margin  uint64                              // as the members' configurations have it
	mempool [][]byte
	errs    []error // the last of each

	attempts uint32       // as the members' configurations have it
	away     map[int]bool // members that do nothing
	keys     []*age.X25519Identity

	// The ops of member 1 are counted: every encryption to a file, every decryption of
	// one, and both sides of every submission. kill is the one that it does not survive.
	op, kill int
}

// crash is what a driver dies of.
type crash struct{ op int }

func newTable(t *testing.T, n int) *table {
	b := &table{t: t, chain: sim.New(t, n, ordering.DefaultParams()), kill: -1, margin: 1000}
	b.join(b.chain.Secrets...)
	return b
}

// join makes drivers for more members.
func (b *table) join(secrets ...*keygen.MemberSecret) {
	for _, secret := range secrets {
		i := len(b.drivers)
		key, err := age.GenerateX25519Identity()
		b.must(err)
		b.keys = append(b.keys, key)
		b.dirs = append(b.dirs, filepath.Join(b.t.TempDir(), fmt.Sprintf("member-%d", i+1)))
		b.drivers, b.secrets = append(b.drivers, nil), append(b.secrets, secret)
		b.given = append(b.given, nil)
		b.errs = append(b.errs, nil)
		b.start(i)
	}
}

func (b *table) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// did counts an operation of member 1, and kills it there.
func (b *table) did(i int) {
	if i != 0 {
		return
	}
	op := b.op
	b.op++
	if op == b.kill {
		panic(crash{op})
	}
}

// mortal wraps what encrypts and decrypts a member's files.
type mortal struct {
	b   *table
	i   int
	key *age.X25519Identity
}

func (m mortal) Wrap(key []byte) ([]*age.Stanza, error) {
	m.b.did(m.i)
	return m.key.Recipient().Wrap(key)
}

func (m mortal) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	m.b.did(m.i)
	return m.key.Unwrap(stanzas)
}

// alive runs f as member i+1, which may die of it and then starts again.
func (b *table) alive(i int, f func()) {
	b.t.Helper()
	defer func() {
		switch p := recover(); p.(type) {
		case nil:
		case crash:
			b.start(i)
		default:
			panic(p)
		}
	}()
	f()
}

// start makes a new driver for a member, with nothing but its files and the chain.
func (b *table) start(i int) {
	b.alive(i, func() {
		m := mortal{b, i, b.keys[i]}
		c := newCeremony(&keeper{
			vault:  vault{b.dirs[i], []age.Identity{m}, []age.Recipient{m}},
			secret: b.secrets[i], own: b.secrets[i].Identity().Public().(ed25519.PublicKey),
			margin: b.margin, ended: b.ended, settled: make(map[uint64]bool), past: make(map[uint64]uint64), log: slog.New(slog.DiscardHandler),
			give: func(epoch uint64, s *threshold.SecretShare) { b.given[i][epoch] = s },
		})
		c.attempts = b.attempts
		c.keep = func(context.Context, pg.Evidence) error { return nil }
		c.submit = func(tx []byte) error {
			b.did(i)
			b.mempool = append(b.mempool, tx)
			b.did(i)
			return nil
		}
		b.drivers[i], b.given[i] = c, make(map[uint64]*threshold.SecretShare)
	})
}

// block lets every driver act on the state, then makes a block of what they submitted.
func (b *table) block() {
	b.t.Helper()
	for i := range b.drivers {
		if b.away[i] {
			continue
		}
		b.alive(i, func() {
			d, now := b.drivers[i], b.chain.State
			if err := errors.Join(d.hold(now, true), d.step(now), d.sweep(context.Background(), now)); err != nil {
				b.errs[i] = err
			}
		})
	}
	txs := b.mempool
	b.mempool = nil
	b.chain.Block(ordering.Proposal{Txs: txs})
}

// run makes blocks until the ceremony is over, and ends it at every member.
func (b *table) run() {
	b.t.Helper()
	for range 60 {
		if b.chain.State.Ceremony().Done() {
			break
		}
		b.block()
	}
	s := b.chain.State.Ceremony()
	if !s.Done() {
		b.t.Fatalf("no end: %s, waiting for %v", s.Phase(), s.Waiting())
	}
	for i := range b.drivers {
		for range 2 { // it may die once
			b.alive(i, func() { b.must(b.drivers[i].hold(b.chain.State, true)) })
		}
	}
}

// holds reports whether member i+1 gave its opener its share of the ceremony's committee.
func (b *table) holds(i int, s *keygen.State) bool {
	share := b.given[i][s.Terms().Epoch]
	return share != nil && keyMatches(s.Certificate().Committee, share)
}

// ended finds in the chain's blocks what the node asks its database.
func (b *table) ended(_ context.Context, epoch uint64) (uint64, error) {
	for _, r := range b.chain.Results {
		if r.Activated != nil && r.Activated.Epoch() == epoch+1 {
			return r.Height, nil
		}
	}
	return 0, nil
}

func (b *table) file(i int, kind string) string {
	return filepath.Join(b.dirs[i], fmt.Sprintf("epoch-1-attempt-1.%s.age", kind))
}

// Member 1 dies at every operation there is, once in each ceremony, and begins again from
// its files. Nobody notices: it says what it had said before, and its share is the same.
func TestCrashAtEveryOperation(t *testing.T) {
	var whole [32]byte
	var died int
	for kill := 0; ; kill++ {
		b := newTable(t, 4)
		// The seed is the only thing drawn. A fixed one makes all ceremonies the same.
		for i := range b.drivers {
			b.plant(i)
		}
		b.kill = kill
		b.op = 0
		b.start(0)
		b.run()
		s := b.chain.State.Ceremony()
		if s.Phase() != keygen.PhaseActive || len(s.Blame()) > 0 {
			t.Fatalf("killed at operation %d: %s, %v", kill, s.Phase(), s.Blame())
		}
		for i := range b.drivers {
			if !b.holds(i, s) {
				t.Fatalf("killed at operation %d: member %d has not its share", kill, i+1)
			}
		}
		if len(s.Stored()) != 4 {
			t.Errorf("killed at operation %d: stored by %v", kill, s.Stored())
		}
		if kill == 0 {
			whole = s.Certificate().Transcript
		}
		if s.Certificate().Transcript != whole {
			t.Errorf("killed at operation %d: another transcript", kill)
		}
		leftovers(t, b.dirs[0])
		if b.op <= kill { // it lived: there are no more operations
			died = kill
			break
		}
	}
	// seed read; deal, response, certification, stored: before and after each is sent;
	// share: encrypted, read; read again; and at the end once more.
	if died < 13 {
		t.Errorf("only %d operations were found", died)
	}
}

// plant gives a member the seed that the test wants it to have drawn.
func (b *table) plant(i int) {
	b.t.Helper()
	b.must(os.RemoveAll(b.dirs[i]))
	b.plantFor(i, &b.chain.Genesis.Terms)
	b.start(i)
}

func (b *table) plantFor(i int, t *keygen.Terms) {
	b.t.Helper()
	writeSeed(b.t, home.CeremonyFile(b.dirs[i], t, "seed"), t.Hash(), sha256.Sum256([]byte{byte(i), byte(t.Epoch)}), b.keys[i])
}

// leftovers reports files that a crash left behind and nobody will use.
func leftovers(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left in %s", e.Name(), dir)
		}
	}
}

// The first thing a member does is to draw a seed and store it. If it dies before it is
// stored, it has said nothing; if after, it goes on with that seed.
func TestCrashWhenTheSeedIsDrawn(t *testing.T) {
	for kill, files := range map[int]int{0: 0, 1: 1} { // encrypted; submitted
		b := newTable(t, 4)
		b.must(os.RemoveAll(b.dirs[0]))
		b.op, b.kill = 0, kill
		func() {
			defer func() {
				if _, ok := recover().(crash); !ok && kill == 0 {
					t.Error("it lived")
				}
			}()
			m := mortal{b, 0, b.keys[0]}
			b.start(0)
			c := b.drivers[0]
			c.vault = vault{b.dirs[0], []age.Identity{m}, []age.Recipient{m}}
			b.must(c.step(b.chain.State))
		}()
		if len(b.mempool) > 0 {
			t.Error("it spoke before its seed was stored")
		}
		if found, _ := filepath.Glob(b.file(0, "seed")); len(found) != files {
			t.Errorf("killed at %d: %d seed files", kill, len(found))
		}
		b.kill = -1
		before, _ := os.ReadFile(b.file(0, "seed"))
		b.start(0)
		b.run()
		after, err := os.ReadFile(b.file(0, "seed"))
		b.must(err)
		if before != nil && !slices.Equal(before, after) {
			t.Error("the seed was drawn twice")
		}
		if s := b.chain.State.Ceremony(); s.Phase() != keygen.PhaseActive || len(s.Blame()) > 0 {
			t.Errorf("%s, %v", s.Phase(), s.Blame())
		}
	}
}

// until makes blocks until the phase has begun.
func (b *table) until(p keygen.Phase) {
	b.t.Helper()
	for range 40 {
		if b.chain.State.Ceremony().Phase() == p {
			return
		}
		b.block()
	}
	b.t.Fatalf("the ceremony is %s, not %s", b.chain.State.Ceremony().Phase(), p)
}

// A disk that loses the share between the certification and the second reading is found
// out. The others go on; the member is shown, and gets its share back from the chain.
func TestShareLostBeforeItIsReadAgain(t *testing.T) {
	b := newTable(t, 4)
	b.until(keygen.PhaseStoring)
	b.must(os.Remove(b.file(3, "share")))
	b.run()
	s := b.chain.State.Ceremony()
	if s.Phase() != keygen.PhaseActive || !slices.Equal(s.Stored(), []uint32{1, 2, 3}) {
		t.Fatalf("%s, stored by %v", s.Phase(), s.Stored())
	}
	if err := b.errs[3]; !errors.Is(err, sharefile.ErrNotFound) || !strings.Contains(err.Error(), "restore the file before height") {
		t.Errorf("member 4 is told: %v", err)
	}
	if cell := s.Status().Members[3].Stored; cell != keygen.CellAbsent {
		t.Errorf("the status says %q", cell)
	}
	if !b.holds(3, s) {
		t.Error("member 4 did not get its share back")
	}
	if _, err := os.Stat(b.file(3, "share")); err != nil {
		t.Error(err)
	}
}

// With fewer than t shares on disks there is no committee, although there is a certificate.
func TestSharesLostAtTooMany(t *testing.T) {
	b := newTable(t, 4)
	b.until(keygen.PhaseStoring)
	b.must(os.Remove(b.file(2, "share")))
	writeSeed(t, b.file(2, "share"), [32]byte{1}, [32]byte{2}, b.keys[2]) // a file of another kind
	b.must(os.Remove(b.file(3, "share")))
	b.run()
	s := b.chain.State.Ceremony()
	if s.Phase() != keygen.PhaseFailed || len(s.Blame()) != 2 || b.chain.State.Committee() != nil {
		t.Fatalf("%s, %v", s.Phase(), s.Blame())
	}
	if slices.ContainsFunc(b.given, func(m map[uint64]*threshold.SecretShare) bool { return len(m) > 0 }) {
		t.Error("a share was handed out without a committee")
	}
}

// A member that lost its seed after it has dealt must not deal again.
func TestSeedLostAfterTheDeal(t *testing.T) {
	b := newTable(t, 4)
	b.block()
	b.must(os.Remove(b.file(0, "seed")))
	b.start(0)
	if err := b.drivers[0].open(b.chain.State.Ceremony()); err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
		t.Errorf("opened: %v", err)
	}
	if _, err := os.Stat(b.file(0, "seed")); err == nil {
		t.Error("a second seed was drawn")
	}
}

// The loop sends what is owed without being asked, and ends with its context.
func TestCeremonyLoop(t *testing.T) {
	b := newTable(t, 1)
	ctx, cancel := context.WithCancel(context.Background())
	sent := make(chan []byte, 10)
	c := b.drivers[0]
	c.submit = func(tx []byte) error { sent <- tx; cancel(); return nil }
	b.must(c.run(ctx, func() *ordering.State { return b.chain.State }, func() bool { return false }))
	if len(sent) == 0 {
		t.Error("nothing was sent")
	}
}

func writeSeed(t *testing.T, path string, ceremony, seed [32]byte, key *age.X25519Identity) {
	t.Helper()
	if err := sharefile.WriteSeed(path, ceremony, seed, []age.Recipient{key.Recipient()}); err != nil {
		t.Fatal(err)
	}
}

// With attempts allowed, members try again by themselves: the first attempt fails because
// two of four are away, the second succeeds when they are back. Each attempt has a seed
// and a share file of its own.
func TestAttemptsByThemselves(t *testing.T) {
	b := newTable(t, 4)
	for i := range b.drivers {
		b.drivers[i].attempts = 2
	}
	b.attempts = 2
	b.away = map[int]bool{2: true, 3: true}
	for range 30 {
		if b.chain.State.Ceremony().Done() {
			break
		}
		b.block()
	}
	if p := b.chain.State.Ceremony().Phase(); p != keygen.PhaseFailed {
		t.Fatal(p)
	}
	b.away = nil
	b.until(keygen.PhaseAccepted)
	past := b.chain.State.PastCeremonies()[0]
	if past.Outcome != keygen.PhaseFailed || past.Terms.Attempt != 1 || past.EndedIn != keygen.PhaseDealing || len(past.Blame) != 2 {
		t.Errorf("%+v", past)
	}
	failed := prometheus.NewRegistry()
	newMetrics(failed).ceremony(b.chain.State)
	if n := metric(t, failed, "scrim_ceremonies_failed"); n != 1 {
		t.Errorf("%v ceremonies failed", n)
	}
	b.start(1) // restarts between the attempts
	b.run()
	s := b.chain.State.Ceremony()
	if s.Phase() != keygen.PhaseActive || s.Terms().Attempt != 2 || len(s.Blame()) > 0 {
		t.Fatalf("attempt %d %s, %v", s.Terms().Attempt, s.Phase(), s.Blame())
	}
	for i := range b.drivers {
		if !b.holds(i, s) {
			t.Errorf("member %d has not its share", i+1)
		}
	}
	for _, name := range []string{"epoch-1-attempt-1.seed.age", "epoch-1-attempt-2.seed.age", "epoch-1-attempt-2.share.age"} {
		if _, err := os.Stat(filepath.Join(b.dirs[0], name)); err != nil {
			t.Error(err)
		}
	}

	registry := prometheus.NewRegistry()
	newMetrics(registry).ceremony(b.chain.State)
	if n := metric(t, registry, "scrim_ceremonies_failed"); n != 0 {
		t.Errorf("%v ceremonies failed after one succeeded", n)
	}
}

// By default a member neither proposes nor accepts another attempt by itself, and never
// one with other phases than those that its operator knew.
func TestNoAttemptsByDefault(t *testing.T) {
	b := newTable(t, 4)
	b.attempts = 1
	for i := range b.drivers {
		b.start(i)
	}
	b.chain.Fail()
	b.block()
	b.block()
	if s := b.chain.State.Ceremony(); s.Terms().Attempt != 1 {
		t.Fatalf("attempt %d", s.Terms().Attempt)
	}
	propose := func(change func(*keygen.Terms)) {
		terms := b.chain.State.Ceremony().Terms().Retry(b.chain.State.Height() + 6)
		change(terms)
		m, err := keygen.ProposeTerms(b.chain.Secrets[1], terms)
		b.must(err)
		b.mempool = append(b.mempool, b.chain.Message(m))
		b.block()
		b.block()
		b.block()
	}
	propose(func(*keygen.Terms) {})
	if s := b.chain.State.Ceremony(); s.Terms().Attempt != 2 || len(s.Waiting()) != 4 {
		t.Fatalf("attempt %d, waiting for %v", s.Terms().Attempt, s.Waiting())
	}
	b.chain.Fail()
	for _, c := range b.drivers {
		c.attempts = 9
	}
	b.drivers[0].attempts = 3 // proposes no fourth one
	propose(func(x *keygen.Terms) { x.Phases = keygen.EqualPhases(1) })
	if s := b.chain.State.Ceremony(); s.Terms().Attempt != 3 || len(s.Waiting()) != 4 {
		t.Fatalf("attempt %d, waiting for %v", s.Terms().Attempt, s.Waiting())
	}
}

// Evidence is stored when it is found, and again after a failure to store it.
func TestEvidenceIsKept(t *testing.T) {
	b := newTable(t, 4)
	for seed := range byte(2) {
		p, err := keygen.NewParticipant(b.chain.Secrets[1], &b.chain.Genesis.Terms, [32]byte{seed})
		b.must(err)
		m, err := p.Next(b.chain.State.Ceremony())
		b.must(err)
		b.mempool = append(b.mempool, b.chain.Message(m[0]))
	}
	txs := b.mempool
	b.mempool = nil
	b.chain.Block(ordering.Proposal{Txs: txs})

	c := b.drivers[0]
	calls, away := 0, errors.New("the database is away")
	var kept []byte
	c.keep = func(_ context.Context, e pg.Evidence) error {
		if calls++; calls == 1 {
			return away
		}
		if e.Kind != "ceremony" || e.Epoch != 1 || e.Member != 2 || e.Height != 1 {
			t.Errorf("%s, epoch %d, member %d, height %d", e.Kind, e.Epoch, e.Member, e.Height)
		}
		kept = e.Body
		return nil
	}
	s := b.chain.State.Ceremony()
	if err := c.keepEvidence(t.Context(), s); !errors.Is(err, away) {
		t.Error(err)
	}
	b.must(c.keepEvidence(t.Context(), s))
	b.must(c.keepEvidence(t.Context(), s))
	if calls != 2 {
		t.Errorf("%d calls", calls)
	}
	e, err := keygen.ParseEvidence(kept)
	b.must(err)
	b.must(e.Verify(&b.chain.Genesis.Terms))
}
