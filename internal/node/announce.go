package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

const (
	// announceEvery is the shortest time between two announcements: what is received within it goes out together. Each repeats
	// what is not committed, so each id adds announceID: under load the work of announcing stays a small part of a core.
	announceEvery = 10 * time.Millisecond
	announceID    = 100 * time.Microsecond
	// keptAnnouncements of each member: its newest, and what else may fit a state that is behind or a statement that conflicts.
	keptAnnouncements = 16
	tailPage          = 1000
)

// logStore is this member's receive log on disk.
type logStore interface {
	ReceivedAfter(ctx context.Context, after uint64, limit int) ([]pg.Received, error)
	ReceiveHead(ctx context.Context, position uint64) (commitreveal.Hash, error)
	ResumeLog(ctx context.Context, position uint64, head commitreveal.Hash) error
	// SettleReceived returns when no write into the log is under way, also none that seemed to fail.
	SettleReceived(ctx context.Context) error
	// ReserveTime makes durable up to which time watermarks may be signed, ReservedTime gives it.
	ReserveTime(ctx context.Context, until uint64) error
	ReservedTime(ctx context.Context) (until uint64, err error)
}

// announcer tells the other members what this one has received, and keeps what they tell. It signs nothing that is not
// durable: what it announces comes from appended, which is called after the write.
type announcer struct {
	chainID string
	key     ed25519.PrivateKey
	store   logStore
	blame   evidenceKeeper
	net     network
	log     *slog.Logger
	clock   *ingressClock
	wake    chan struct{} // capacity 1: there is something to announce
	ahead   chan struct{} // capacity 1: time is to be reserved

	mu       sync.Mutex
	state    *ordering.State
	own      []logEntry // of this member's log, after the committed part
	last     logEntry   // the newest of it all, also when own is empty
	broken   string     // why nothing is signed; "" mostly
	gap      bool       // the database has, or may have, an entry that is not in own
	promised uint64     // the latest watermark that was signed
	reserved uint64     // no later one is signed: after a restart the clock goes on from here
	begun    uint64     // ciphertexts that went on their way into the log
	written  uint64     // those of them that have arrived, or never will
	heard    map[uint32]*heard
	changed  chan struct{} // closed, and replaced, when something in here has changed
	proven   []forkProof
	room     admission
	lost     [][]threshold.ID // of each member's log, what this one should have and lacks
	fetch    chan struct{}    // capacity 1: lost has something
}

type logEntry struct {
	position uint64
	id       threshold.ID
	head     commitreveal.Hash
	at       uint64 // when it was received
}

// forkProof is evidence, and of which statement.
type forkProof struct {
	*fair.Equivocation
	epoch, height, position uint64
}

// heard is what a member of the committee in office has announced, newest last; signatures hold.
type heard struct {
	epoch         uint64
	announcements []*fair.Announcement
	at            []time.Time // when each came
	forked        bool        // that it has two logs is proven: one proof is enough, and nobody fills the database with more
}

func newAnnouncer() *announcer {
	return &announcer{clock: newIngressClock(), wake: make(chan struct{}, 1), ahead: make(chan struct{}, 1), heard: make(map[uint32]*heard), changed: make(chan struct{}), room: newAdmission(), fetch: make(chan struct{}, 1)}
}

func (a *announcer) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// signal wakes those that wait for a change. a.mu is held.
func (a *announcer) signal() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// load reads the part of the log that the chain has not committed.
func (a *announcer) load(ctx context.Context, s *ordering.State) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state = s
	base, _ := a.committedLocked()
	committed, head := base.Sequence, base.Head
	if have, err := a.store.ReceiveHead(ctx, committed); errors.Is(err, pg.ErrNotFound) {
		a.broken = "the database does not have the part of this member's receive log that the chain has committed"
	} else if err != nil {
		return err
	} else if have != head {
		a.broken = "the chain has committed another receive log of this member than the database has"
	}
	a.last = logEntry{position: committed, head: head}
	a.promise(base.Watermark)
	reserved, err := a.store.ReservedTime(ctx)
	if err != nil {
		return err
	}
	a.reserved = reserved
	a.clock.atLeast(reserved)
	if committed > 0 { // the last committed entry, for its time
		rows, err := a.store.ReceivedAfter(ctx, committed-1, 1)
		if err != nil {
			return err
		}
		for i := range rows {
			a.clock.atLeast(uint64(max(0, rows[i].Time)))
		}
	}
	if err := a.readLocked(ctx); err != nil {
		return err
	}
	a.settleLocked()
	return nil
}

// readLocked takes what the database has after the last entry.
func (a *announcer) readLocked(ctx context.Context) error {
	for {
		rows, err := a.store.ReceivedAfter(ctx, a.last.position, tailPage)
		if err != nil {
			return err
		}
		if a.gap = false; len(rows) == 0 {
			return nil
		}
		before := a.last.position
		for i := range rows {
			a.appendLocked(&rows[i])
		}
		if a.last.position == before { // an entry is missing in the database
			return nil
		}
	}
}

// promise remembers what was promised of the times to come, by this process or, as far as the chain knows, before it.
func (a *announcer) promise(watermark uint64) {
	a.promised = max(a.promised, watermark)
	a.clock.atLeast(watermark)
}

// committedLocked is this member's log as the chain has it, also when the member is not in office; zeros if it never was.
func (a *announcer) committedLocked() (base fair.Base, live int) {
	return a.state.CommittedLog(a.identity())
}

func (a *announcer) identity() ed25519.PublicKey { return a.key.Public().(ed25519.PublicKey) }

func (a *announcer) memberLocked() uint32 { return a.state.Member(a.identity()) }

// receiver is as what this member receives now; member 0 if it is not in office.
func (a *announcer) receiver() pg.Receiver {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.Office() == nil {
		return pg.Receiver{}
	}
	return pg.Receiver{Epoch: a.state.Office().Epoch(), Member: a.memberLocked()}
}

// timedLocked: statements have times, and receipts are compared with them.
func (a *announcer) timedLocked() bool {
	return a.state.Genesis().Params.Order.Rule == fair.ReceiveTime
}

// appendLocked takes the next entry. One whose write seemed to fail may be missing before it: then it is read again. The time in
// the log is always that of the database, which the receipt has too. One that breaks what was promised comes of an older database.
func (a *announcer) appendLocked(r *pg.Received) {
	switch {
	case r.Position <= a.last.position:
		return
	case r.Position > a.last.position+1:
		a.gap = true
		return
	}
	at := min(uint64(max(0, r.Time)), fair.MaxTime)
	if promised := max(a.last.at, a.promised); at < promised && a.timedLocked() && a.broken == "" {
		a.broken = "the database has an entry of this member's receive log with an earlier time than the member has promised: it is an older copy, or was changed"
		a.log.Error("receive log not announced any more", "reason", a.broken, "position", r.Position, "time", at, "promised", promised)
	}
	a.last = logEntry{r.Position, r.ID, r.Head, at}
	a.clock.atLeast(at)
	a.own = append(a.own, a.last)
	a.room.note(r.ID)
}

// begin and appended are around the write of ciphertexts into the log.
func (a *announcer) begin(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begun += uint64(n)
	a.reserveLocked()
}

// failed is appended for n ciphertexts of which it is not known whether the log has them.
func (a *announcer) failed(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.written += uint64(n)
	a.gap = true
	a.clock.fail()
	a.signal()
	a.poke()
}

// appended takes rows of the log that are durable now, also some that were before.
func (a *announcer) appended(n int, rows []pg.Received) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.written += uint64(n)
	for i := range rows {
		a.appendLocked(&rows[i])
	}
	a.signal()
	a.poke()
}

// takeDoor makes room in the log for what a client brings: an error of admission if there is none.
func (a *announcer) takeDoor(id threshold.ID, client string, mempoolFull bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken != "" {
		return errLogFull
	}
	return a.room.takeDoor(id, client, mempoolFull)
}

// takeRelayed makes room for what another member has relayed; false if there is none now.
func (a *announcer) takeRelayed(id threshold.ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.broken == "" && a.room.takeRelayed(id)
}

// held is how many ids of the log are not done: see [admission.counts].
func (a *announcer) held() (common, door, relayed int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.room.counts()
}

// limits is an admission that holds nothing.
func (a *announcer) limits() admission {
	a.mu.Lock()
	defer a.mu.Unlock()
	return admission{limit: a.room.limit, common: a.room.common, share: a.room.share}
}

// landed: what was taken is in the log now, or does not come into it.
func (a *announcer) landed(ids ...threshold.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		a.room.landed(id)
	}
}

// settleLocked counts anew what is live after a block, and looks what other members' logs have.
func (a *announcer) settleLocked() {
	logs, ok := a.state.ReceiveLogs()
	if !ok {
		return
	}
	a.room.resize(int(a.state.Genesis().Params.Order.MaxLive), logs.Params().Members, a.state.Office().Epoch())
	self := a.memberLocked()
	live := make(map[threshold.ID]bool)
	for _, id := range logs.Waiting(self) {
		live[id] = true
	}
	for _, e := range a.own {
		live[e.id] = true
	}
	a.room.settle(live)
	windows := make([][]threshold.ID, logs.Params().Members)
	for i := range windows {
		if member := uint32(i + 1); self > 0 && member != self {
			windows[i] = a.windowLocked(logs, member)
		}
	}
	a.lost = a.room.look(windows)
	if slices.ContainsFunc(a.lost, func(ids []threshold.ID) bool { return len(ids) > 0 }) {
		select {
		case a.fetch <- struct{}{}:
		default:
		}
	}
}

// windowLocked is the beginning of what is not done of a member's log, committed or announced.
func (a *announcer) windowLocked(logs fair.Logs, member uint32) []threshold.ID {
	ids := logs.Waiting(member)
	h, base := a.heard[member], fair.Base{}
	if b, _, err := logs.Base(member); err == nil {
		base = b
	}
	if len(ids) >= a.room.share || h == nil || h.epoch != a.state.Committee().Epoch {
		return ids
	}
	var newest *fair.Announcement
	for _, an := range h.announcements {
		if rest := an.After(base.Sequence); rest != nil && (newest == nil || rest.Statement.Sequence > newest.Statement.Sequence) {
			newest = rest
		}
	}
	if newest == nil {
		return ids
	}
	for _, id := range newest.IDs {
		if !a.state.WasOrdered(id) && !a.state.IsQueued(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// wanted gives, once, the ids of members' logs that this member lacks, and whom to ask.
func (a *announcer) wanted() (from []ed25519.PublicKey, lost [][]threshold.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, ids := range a.lost {
		if identity := a.state.Identity(uint32(i + 1)); len(ids) > 0 && identity != nil {
			from, lost = append(from, identity), append(lost, ids)
		}
	}
	a.lost = nil
	return from, lost
}

// trouble says why this member's log is not announced; "" if it is.
func (a *announcer) trouble() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.broken
}

// committed takes over a durable state, and what its block said for the order, nil if nothing.
func (a *announcer) committed(s *ordering.State, round *ordering.Round) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if round != nil && round.Section != nil && s.Height() == a.state.Height()+1 {
		a.compareLocked(a.state.Statements(round.Section))
	}
	a.state = s
	base, _ := a.committedLocked()
	sequence, head := base.Sequence, base.Head
	a.promise(base.Watermark)
	for len(a.own) > 0 && a.own[0].position <= sequence {
		if e := a.own[0]; e.position == sequence && e.head != head && a.broken == "" {
			a.broken = "the chain has committed another receive log of this member than the database has"
			a.log.Error("receive log not announced any more", "reason", a.broken, "position", sequence)
		}
		a.own = a.own[1:]
	}
	if sequence > a.last.position && a.broken == "" {
		a.broken = "the database does not have the part of this member's receive log that the chain has committed"
		a.log.Warn("receive log not announced for now", "reason", a.broken, "committed", sequence, "here", a.last.position)
	}
	a.settleLocked()
	a.signal()
	a.poke()
}

// resume lets a lost log go on where the chain has committed it. It is called when the node has caught up.
func (a *announcer) resume(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	base, _ := a.committedLocked()
	sequence, head := base.Sequence, base.Head
	if a.broken == "" || sequence <= a.last.position {
		return nil
	}
	if err := a.store.ResumeLog(ctx, sequence, head); err != nil {
		return err
	}
	a.log.Warn("receive log goes on where the chain has committed it; what was received after that and before the loss is not in it", "position", sequence)
	a.own, a.last, a.broken = nil, logEntry{position: sequence, head: head}, ""
	a.settleLocked()
	return nil
}

// run announces until ctx ends.
func (a *announcer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		if err := a.fill(ctx); err != nil {
			a.log.Error("receive log not read again; what is missing is not announced", "err", err)
		}
		n, err := a.announce()
		if err != nil {
			a.log.Error("receive log not announced", "err", err)
		}
		a.keepProven(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(announceEvery + time.Duration(n)*announceID):
		}
	}
}

// fill reads entries that the database has and this one has not heard of.
func (a *announcer) fill(ctx context.Context) error {
	a.mu.Lock()
	gap := a.gap
	a.mu.Unlock()
	if !gap {
		return nil
	}
	if err := a.store.SettleReceived(ctx); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.readLocked(ctx); err != nil || a.gap {
		return err
	}
	a.clock.sure()
	return nil
}

// announce signs the head of the log and sends it with the ids since the committed head, n of them.
func (a *announcer) announce() (n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	member := a.memberLocked()
	logs, ok := a.state.ReceiveLogs()
	if member == 0 || !ok || a.broken != "" {
		return 0, nil
	}
	base, live, err := logs.Base(member)
	if err != nil {
		return 0, err
	}
	p := logs.Params()
	c := a.chunkLocked(member, base, min(len(a.own), p.MaxChunk, p.MaxLive-live))
	if err := logs.Check(c); err != nil {
		return 0, err
	}
	an, err := logs.Rule().Say(a.key, a.chainID, a.state.Height(), c)
	if err != nil {
		return 0, err
	}
	a.promise(c.Watermark)
	wire, err := an.MarshalBinary()
	if err != nil {
		return 0, err
	}
	a.keepLocked(an)
	a.net.Broadcast(append([]byte{messageAnnouncement}, wire...))
	return len(c.IDs), nil
}

// chunkLocked is the beginning of what is not committed, with n entries. The watermark is not above the time of the next one.
func (a *announcer) chunkLocked(member uint32, base fair.Base, n int) fair.Chunk {
	c := fair.Chunk{Member: member, Sequence: base.Sequence, Head: base.Head, TimesHead: base.Times}
	for _, e := range a.own[:n] {
		at := max(e.at, base.Watermark)
		c.IDs, c.Times = append(c.IDs, e.id), append(c.Times, at)
		c.Sequence, c.Head, c.TimesHead = e.position, e.head, fair.NextTimes(c.TimesHead, at)
	}
	c.Watermark = min(a.clock.promise(), a.reserved)
	a.reserveLocked()
	if n < len(a.own) {
		c.Watermark = min(c.Watermark, a.own[n].at)
	}
	if n > 0 {
		c.Watermark = max(c.Watermark, c.Times[n-1])
	}
	c.Watermark = max(c.Watermark, base.Watermark)
	return c
}

// receive takes another member's announcement.
func (a *announcer) receive(identity ed25519.PublicKey, body []byte) error {
	a.mu.Lock()
	rule := a.state.Genesis().Params.Order.Rule
	a.mu.Unlock()
	an, err := rule.ParseAnnouncement(body)
	if err != nil {
		return fmt.Errorf("%w: %w", errPeerMessage, err)
	}
	st := an.Statement
	a.mu.Lock()
	member, known := a.state.Member(identity), a.knownLocked(&st)
	a.mu.Unlock()
	if known {
		return nil
	}
	if st.ChainID != a.chainID {
		return errPeerSender
	}
	if err := an.Verify(identity); err != nil {
		return fmt.Errorf("%w: %w", errPeerMessage, err)
	}
	if st.Member != member { // it is some blocks ahead or behind, in another committee
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keepLocked(an)
	a.signal()
	return nil
}

func (a *announcer) knownLocked(st *fair.Statement) bool {
	if h := a.heard[st.Member]; h != nil {
		for _, k := range h.announcements {
			if k.Statement == *st {
				return true
			}
		}
	}
	return false
}

// keepLocked keeps an announcement whose signature holds. Two heads for one length of a log are evidence.
func (a *announcer) keepLocked(an *fair.Announcement) {
	st := an.Statement
	epoch := a.state.Committee().Epoch
	h := a.heard[st.Member]
	if h == nil || h.epoch != epoch {
		h = &heard{epoch: epoch}
		a.heard[st.Member] = h
	}
	a.proveLocked(h, an)
	if len(h.announcements) == keptAnnouncements {
		h.announcements, h.at = h.announcements[1:], h.at[1:]
	}
	h.announcements, h.at = append(h.announcements, an), append(h.at, time.Now())
}

// compareLocked compares what a block says with what was heard: a member may tell one log to some, and another one to the rest.
func (a *announcer) compareLocked(said []*fair.Announcement) {
	for _, an := range said {
		if h := a.heard[an.Statement.Member]; h != nil && h.epoch == a.state.Committee().Epoch {
			a.proveLocked(h, an)
		}
	}
}

// proveLocked looks for evidence in what a member was heard to say, and another announcement of it. Signatures hold.
func (a *announcer) proveLocked(h *heard, an *fair.Announcement) {
	for _, k := range h.announcements {
		if e := k.Fork(an); e != nil && !h.forked {
			h.forked = true
			st := an.Statement
			a.proven = append(a.proven, forkProof{e, h.epoch, st.Height, st.Sequence})
			a.poke()
		}
	}
}

// keepProven stores the evidence that came up where no database may be waited for.
func (a *announcer) keepProven(ctx context.Context) {
	a.mu.Lock()
	proven := a.proven
	a.proven = nil
	a.mu.Unlock()
	for _, e := range proven {
		a.log.Warn("a member has signed two receive logs", "member", e.Member(), "position", e.position)
		wire, err := e.MarshalBinary()
		if err == nil {
			err = a.blame.AddEvidence(ctx, pg.Evidence{Kind: e.Kind(), Epoch: e.epoch, Member: e.Member(), Height: e.height, Body: wire})
		}
		if err != nil {
			a.log.Error("evidence not stored", "kind", e.Kind(), "member", e.Member(), "err", err)
		}
	}
}
