package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// disk is a receive log in memory. It keeps evidence too.
type disk struct {
	mu       sync.Mutex
	rows     []pg.Received
	resumed  uint64
	reserved []uint64
	evidence []string
}

func (d *disk) SettleReceived(context.Context) error { return nil }

func (d *disk) ReserveTime(_ context.Context, until uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reserved = append(d.reserved, until)
	return nil
}

func (d *disk) ReservedTime(context.Context) (until uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.reserved); n > 0 {
		until = d.reserved[n-1]
	}
	return until, nil
}

func (d *disk) ReceivedAfter(_ context.Context, after uint64, _ int) (out []pg.Received, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		if r.Position > after {
			out = append(out, r)
		}
	}
	return out, nil
}

func (d *disk) ReceiveHead(_ context.Context, position uint64) (head commitreveal.Hash, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		if r.Position == position {
			return r.Head, nil
		}
	}
	if position == 0 {
		return head, nil
	}
	return head, pg.ErrNotFound
}

func (d *disk) ResumeLog(_ context.Context, position uint64, _ commitreveal.Hash) error {
	d.resumed = position
	return nil
}

func (d *disk) AddEvidence(_ context.Context, e pg.Evidence) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.evidence = append(d.evidence, e.Kind)
	return nil
}

// write appends ids, as the database does.
func (d *disk) write(txs ...[]byte) []pg.Received {
	d.mu.Lock()
	defer d.mu.Unlock()
	from := len(d.rows)
	for _, tx := range txs {
		var last pg.Received
		if n := len(d.rows); n > 0 {
			last = d.rows[n-1]
		}
		id := sim.IDOf(tx)
		d.rows = append(d.rows, pg.Received{Position: last.Position + 1, ID: id, Head: commitreveal.NextHead(last.Head, id)})
	}
	return d.rows[from:]
}

// wire gives what a member broadcasts to all others' announcers.
type wire struct {
	member   uint32
	identity ed25519.PublicKey
	all      *[]*announcer
}

func (w *wire) Broadcast(message []byte) {
	for i, a := range *w.all {
		if uint32(i+1) != w.member {
			go func() { _ = a.receive(w.identity, message[1:]) }()
		}
	}
}

func (w *wire) Send(ed25519.PublicKey, []byte) bool { return false }

func announcers(t *testing.T, c *sim.Chain) (all []*announcer, disks []*disk) {
	t.Helper()
	for i := range c.Secrets {
		a, d := newAnnouncer(), &disk{}
		a.chainID, a.key, a.store, a.blame, a.log = sim.ChainID, c.Secrets[i].Identity(), d, d, slog.New(slog.DiscardHandler)
		a.net = &wire{member: uint32(i + 1), identity: c.Identities()[i], all: &all}
		c.Must(a.load(t.Context(), c.State))
		all, disks = append(all, a), append(disks, d)
	}
	return all, disks
}

// What members have received and written reaches a proposer, and orders; nothing is announced that is not written.
func TestAnnounced(t *testing.T) {
	for _, rule := range []fair.Rule{fair.ReceiveOrder, fair.ReceiveTime} {
		t.Run(rule.String(), func(t *testing.T) { announcedUnder(t, rule) })
	}
}

func announcedUnder(t *testing.T, rule fair.Rule) {
	params := ordering.DefaultParams()
	params.Order.Rule = rule
	c := sim.New(t, 4, params).Ceremony()
	all, disks := announcers(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for _, a := range all {
		running.Add(1)
		go func() { defer running.Done(); a.run(ctx) }()
	}
	txs := c.SealTxs("a", "b", "c")
	for i, a := range all {
		c.Receive(i+1, txs...) // the chain's bodies
		a.begin(len(txs))
		rows := disks[i].write(txs...)
		a.appended(len(txs), rows)
	}
	block := func() *ordering.Result {
		r := c.Block(ordering.Proposal{Announcements: all[2].gather(c.State), Txs: txs})
		for _, a := range all {
			a.committed(c.State, r.Round)
		}
		return r
	}
	ordered := 0
	for range 50 { // until all logs are committed: some proposals are too early
		if r := block(); r.Batch != nil {
			ordered += len(r.Batch.Ciphertexts)
		}
		logs, _ := c.State.ReceiveLogs()
		if base, _, err := logs.Base(1); err != nil || base.Sequence == 3 && ordered == 3 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if ordered != 3 {
		t.Fatalf("%d are ordered", ordered)
	}
	// A restarted member announces what is not committed, and nothing else.
	more := c.SealTxs("d")
	disks[0].write(more...)
	again := newAnnouncer()
	again.chainID, again.key, again.store, again.log, again.net = sim.ChainID, c.Secrets[0].Identity(), disks[0], slog.New(slog.DiscardHandler), &wire{member: 1, identity: c.Identities()[0], all: &all}
	c.Must(again.load(ctx, c.State))
	announceNow(t, again)
	found := again.gather(c.State)
	if len(found) != 1 || !slices.Equal(found[0].IDs, []threshold.ID{sim.IDOf(more[0])}) {
		t.Errorf("announced after a restart: %+v", found)
	}
	// Neither a lost log nor another one than is committed is announced.
	for name, d := range map[string]*disk{"lost": {}, "another": {rows: []pg.Received{{Position: 3, Head: commitreveal.Hash{1}}}}} {
		a := newAnnouncer()
		a.chainID, a.key, a.store, a.log, a.net = sim.ChainID, c.Secrets[0].Identity(), d, slog.New(slog.DiscardHandler), &wire{member: 1, identity: c.Identities()[0], all: &all}
		c.Must(a.load(ctx, c.State))
		announceNow(t, a)
		if a.trouble() == "" || hasRoom(a) || len(a.heard) > 0 {
			t.Errorf("%s: announced", name)
		}
	}
}

// A member whose database was lost goes on after the committed head once the node has caught up.
func TestLostLogGoesOn(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	c.Block(ordering.Proposal{Txs: c.SealTxs("a", "b")})
	logs, _ := c.State.ReceiveLogs()
	base, _, err := logs.Base(1)
	c.Must(err)
	sequence, head := base.Sequence, base.Head
	all, d := []*announcer{}, &disk{}
	a := newAnnouncer()
	a.chainID, a.key, a.store, a.log, a.net = sim.ChainID, c.Secrets[0].Identity(), d, slog.New(slog.DiscardHandler), &wire{member: 1, identity: c.Identities()[0], all: &all}
	c.Must(a.load(t.Context(), c.Initial)) // an empty database is before the first block
	a.committed(c.State, nil)
	if a.trouble() == "" || hasRoom(a) {
		t.Fatal("a log that was lost is announced")
	}
	c.Must(a.resume(t.Context()))
	if d.resumed != sequence || a.trouble() != "" || !hasRoom(a) {
		t.Fatalf("resumed at %d, %q", d.resumed, a.trouble())
	}
	id := sim.IDOf(c.SealTxs("c")[0])
	a.begin(1)
	a.appended(1, []pg.Received{{Position: sequence + 1, ID: id, Head: commitreveal.NextHead(head, id)}})
	announceNow(t, a)
	found := a.fittingLocked(c.State)
	if len(found) != 1 || !slices.Equal(found[0].IDs, []threshold.ID{id}) || found[0].Verify(c.Identities()[0]) != nil {
		t.Errorf("announced: %+v", found)
	}
}

// hasRoom takes an id that nobody else has.
func hasRoom(a *announcer) bool { return a.takeRelayed(threshold.ID{0xff, 7}) }

// Whatever a member announces is no harm to the others, and two logs are evidence.
func TestHostileAnnouncements(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	all, disks := announcers(t, c)
	a := all[0]
	txs := c.SealTxs("a", "b")
	id := []threshold.ID{sim.IDOf(txs[0])}
	good := c.Statement(2, 0, commitreveal.Hash{}, id)
	send := func(member uint32, an fair.Announcement) error {
		t.Helper()
		b, err := an.MarshalBinary()
		c.Must(err)
		return a.receive(c.Identities()[member-1], b)
	}
	c.Must(send(2, good))
	c.Must(send(2, good)) // again
	if err := send(3, c.Statement(2, 0, commitreveal.Hash{}, []threshold.ID{id[0], sim.IDOf(txs[1])})); !errors.Is(err, errPeerMessage) {
		t.Errorf("another's statement: %v", err)
	}
	forged := good
	forged.Statement.Signature[3] ^= 1
	if err := send(2, forged); !errors.Is(err, errPeerMessage) {
		t.Errorf("forged: %v", err)
	}
	if err := a.receive(c.Identities()[1], []byte{1, 2, 3}); !errors.Is(err, errPeerMessage) {
		t.Errorf("garbage: %v", err)
	}
	gap := c.Statement(3, 7, commitreveal.Hash{4}, id) // honest members that are ahead look like this
	c.Must(send(3, gap))
	if found := a.fittingLocked(c.State); len(found) != 1 || found[0].Statement != good.Statement {
		t.Errorf("fit the block: %+v", found)
	}
	c.Must(send(2, c.Statement(2, 0, commitreveal.Hash{}, []threshold.ID{sim.IDOf(txs[1])})))
	a.keepProven(t.Context())
	if !slices.Equal(disks[0].evidence, []string{"receive_log_fork"}) {
		t.Errorf("evidence: %v", disks[0].evidence)
	}
	for range 3 * keptAnnouncements { // what is kept is bounded
		id = append(id, sim.IDOf(c.SealTxs("x")[0]))
		c.Must(send(4, c.Statement(4, 0, commitreveal.Hash{}, id)))
	}
	if n := len(a.heard[4].announcements); n != keptAnnouncements {
		t.Errorf("%d are kept", n)
	}
	logs, _ := c.State.ReceiveLogs()
	if section, _, err := logs.Section(a.fittingLocked(c.State)); section != nil || err != nil {
		t.Error("a section of two members") // it has n-f or none
	}
}

// A member that tells some of the others one log and the rest another is found by those whose log is not the one in the block.
// One proof is kept, however many logs it signs.
func TestTwoLogsForTwoAudiences(t *testing.T) {
	for _, rule := range []fair.Rule{fair.ReceiveOrder, fair.ReceiveTime} {
		t.Run(rule.String(), func(t *testing.T) { twoLogsForTwoAudiences(t, rule) })
	}
}

func twoLogsForTwoAudiences(t *testing.T, rule fair.Rule) {
	params := ordering.DefaultParams()
	params.Order.Rule = rule
	c := sim.New(t, 4, params).Ceremony()
	all, disks := announcers(t, c)
	txs := c.SealTxs("a", "b")
	for m := 1; m <= 4; m++ {
		c.Receive(m, txs...)
	}
	first := c.Announce()[3]
	ids := slices.Clone(first.IDs)
	slices.Reverse(ids)
	var other *fair.Announcement
	if rule == fair.ReceiveTime {
		other = c.Timed(4, fair.Base{}, ids, first.Times, first.Statement.Watermark)
	} else {
		st := c.Statement(4, 0, commitreveal.Hash{}, ids)
		other = &st
	}
	tell := func(to int, an *fair.Announcement) {
		t.Helper()
		b, err := an.MarshalBinary()
		c.Must(err)
		c.Must(all[to-1].receive(c.Identities()[3], b))
	}
	tell(1, first)
	tell(2, other)
	r := c.Block(ordering.Proposal{Announcements: c.Announce(), Txs: txs}) // it has the first one
	for i := range 3 {
		all[i].committed(c.State, r.Round)
		all[i].keepProven(t.Context())
	}
	kind := map[fair.Rule]string{fair.ReceiveOrder: "receive_log_fork", fair.ReceiveTime: "receive_times_fork"}[rule]
	for i, want := range [][]string{nil, {kind}, nil} {
		if got := disks[i].evidence; !slices.Equal(got, want) {
			t.Errorf("member %d keeps %v, want %v", i+1, got, want)
		}
	}
	tell(2, first) // another proof of the same
	all[1].keepProven(t.Context())
	if got := disks[1].evidence; len(got) != 1 {
		t.Errorf("member 2 keeps %v", got)
	}
}

// shelf has some bodies.
type shelf map[threshold.ID][]byte

func (s shelf) Bodies(_ context.Context, ids []threshold.ID) (out [][]byte, err error) {
	for _, id := range ids {
		if b, ok := s[id]; ok {
			out = append(out, b)
		}
	}
	return out, nil
}

// hand delivers messages between two members' bodies.
type hand struct {
	self ed25519.PublicKey
	all  map[string]*bodies
}

func (h hand) Broadcast([]byte) {}

func (h hand) Send(to ed25519.PublicKey, m []byte) bool {
	b := h.all[string(to)]
	if b == nil {
		return false
	}
	go func() { _ = (peers{bodies: b}).Receive(h.self, m) }()
	return true
}

// A proposer finds what it lacks at a member that has it, past those that do not.
func TestBodiesAreFetched(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	txs := c.SealTxs("a", "b", "c")
	who := c.Identities()
	network := map[string]*bodies{}
	all := map[uint32]*bodies{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for m := uint32(1); m <= 4; m++ {
		b := newBodies()
		b.store, b.net, b.maxBatch, b.members, b.log = shelf{}, hand{who[m-1], network}, 8, func() []ed25519.PublicKey { return who }, slog.New(slog.DiscardHandler)
		all[m], network[string(who[m-1])] = b, b
		go b.run(ctx)
	}
	have := func(m uint32, tx []byte) { all[m].store.(shelf)[sim.IDOf(tx)] = tx[1:] }
	have(1, txs[0])
	have(3, txs[1])
	have(4, txs[2])
	want := []threshold.ID{sim.IDOf(txs[0]), sim.IDOf(txs[1]), sim.IDOf(txs[2])}
	if found := all[1].find(ctx, want); len(found) != 3 {
		t.Fatalf("%d found", len(found))
	}
	start := time.Now()
	if found := all[1].find(ctx, append(want, threshold.ID{1})); len(found) != 3 {
		t.Fatalf("%d found", len(found))
	}
	if d := time.Since(start); d < fetchFor || d > 20*fetchFor {
		t.Errorf("waited %v for what nobody has", d)
	}
	for name, m := range map[string][]byte{
		"no ids": {messageWantBodies}, "half an id": append([]byte{messageWantBodies}, make([]byte, 40)...), "too many ids": make([]byte, 1+32*9),
		"no body": {messageBody}, "too large": append([]byte{messageBody}, make([]byte, ordering.MaxTxSize+1)...), "nothing": {}, "unknown": {77},
	} {
		if name == "too many ids" {
			m[0] = messageWantBodies
		}
		if err := (peers{bodies: all[2], opener: newOpener()}).Receive(who[2], m); !errors.Is(err, errPeerMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.Must((peers{bodies: all[2]}).Receive(who[2], append([]byte{messageBody}, txs[0][1:]...))) // not asked for
	if len(all[2].wanted) > 0 {
		t.Error("kept what nobody asked for")
	}
}

func announceNow(t *testing.T, a *announcer) {
	t.Helper()
	if _, err := a.announce(); err != nil {
		t.Fatal(err)
	}
}

// A block that takes nothing of a log is noticed, if this node had heard of that log well before, and the block could have taken it.
func TestLogsLeftOut(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	all, _ := announcers(t, c)
	a := all[0]
	txs := c.SealTxs("1", "2", "3")
	for m := 1; m <= 4; m++ {
		c.Receive(m, txs[:2]...)
	}
	said := c.Announce()
	hear := func(said ...*fair.Announcement) {
		t.Helper()
		for _, an := range said {
			b, err := an.MarshalBinary()
			c.Must(err)
			if an.Statement.Member == 1 { // its own
				a.mu.Lock()
				a.keepLocked(an)
				a.mu.Unlock()
				continue
			}
			c.Must(a.receive(c.Identities()[an.Statement.Member-1], b))
		}
	}
	take := func(said ...*fair.Announcement) *ordering.State {
		t.Helper()
		p := ordering.Proposal{MaxBytes: 1 << 20, Announcements: said}
		p.Bodies = c.Bodies(ordering.Wanted(c.State, said, nil))
		next, _, err := ordering.CheckAndStep(c.State, c.Verifier, ordering.Block{Height: c.State.Height() + 1, Txs: ordering.Propose(c.State, c.Verifier, p)})
		c.Must(err)
		return next
	}
	check := func(what string, next *ordering.State, by time.Time, want ...uint32) {
		t.Helper()
		if got := a.leftOut(c.State, next, by); !slices.Equal(got, want) {
			t.Errorf("%s: %v are left out, want %v", what, got, want)
		}
	}
	start := time.Now().Add(-time.Hour)
	without := take(said[0], said[1], said[3])
	hear(said[0], said[1])
	check("too few were heard", take(), time.Now())
	hear(said[2:]...)
	check("all are in", take(said...), time.Now())
	check("one is not", without, time.Now(), 3)
	check("none is", take(), time.Now(), 1, 2, 3, 4)
	check("they had not come", without, start)
	for range 3 { // what is too old for the block is not missed, and what is decided says nothing new
		c.Apply(nil)
	}
	check("old statements", take(), time.Now())
	a.committed(c.State, nil)
	hear(c.Announce()...)
	check("new statements of the same", take(), time.Now(), 1, 2, 3, 4)
	c.Apply(ordering.Propose(c.State, c.Verifier, ordering.Proposal{MaxBytes: 1 << 20, Announcements: c.Announce(1, 2, 4), Bodies: c.Bodies(ordering.Wanted(c.State, c.Announce(1, 2, 4), nil))}))
	check("of a log that has nothing undecided", take(), time.Now())
}
