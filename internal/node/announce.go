package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

const (
	// announceEvery is the shortest time between two announcements: what is received within it goes out together.
	announceEvery = 10 * time.Millisecond
	// gatherAll is how long a proposer waits for the announcements of all members that are there, gatherFor how long for those
	// without which nothing new is ordered.
	gatherAll = 25 * time.Millisecond
	gatherFor = 100 * time.Millisecond
	// keptAnnouncements of each member: its newest, and what else may fit a state that is behind or a statement that conflicts.
	keptAnnouncements = 16
	tailPage          = 1000
)

// logStore is this member's receive log on disk.
type logStore interface {
	ReceivedAfter(ctx context.Context, after uint64, limit int) ([]pg.Received, error)
	ReceiveHead(ctx context.Context, position uint64) (commitreveal.Hash, error)
	ResumeLog(ctx context.Context, position uint64, head commitreveal.Hash) error
	AddEvidence(ctx context.Context, e pg.Evidence) error
}

// announcer tells the other members what this one has received, and keeps what they tell. It signs nothing that is not
// durable: what it announces comes from appended, which is called after the write.
type announcer struct {
	chainID string
	key     ed25519.PrivateKey
	store   logStore
	net     network
	log     *slog.Logger
	clock   *ingressClock
	wake    chan struct{} // capacity 1: there is something to announce

	mu       sync.Mutex
	state    *ordering.State
	own      []logEntry // of this member's log, after the committed part
	last     logEntry   // the newest of it all, also when own is empty
	broken   string     // why nothing is signed; "" mostly
	gap      bool       // the database has an entry that is not in own
	promised uint64     // the latest watermark that was signed
	begun    uint64     // ciphertexts that went on their way into the log
	written  uint64     // those of them that have arrived, or never will
	heard    map[uint32]*heard
	changed  chan struct{} // closed, and replaced, when something in here has changed
	proven   []forkProof
}

type logEntry struct {
	position uint64
	id       threshold.ID
	head     commitreveal.Hash
	at       uint64 // when it was received
}

// forkProof is evidence, and of which statement.
type forkProof struct {
	fair.Fork
	height, position uint64
}

// heard is what a member of the committee in office has announced, newest last; signatures hold.
type heard struct {
	epoch         uint64
	announcements []fair.Said
	forked        bool // that it has two logs is proven: one proof is enough, and nobody fills the database with more
}

func newAnnouncer() *announcer {
	return &announcer{clock: newIngressClock(), wake: make(chan struct{}, 1), heard: make(map[uint32]*heard), changed: make(chan struct{})}
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
	if committed > 0 { // the last committed entry, for its time
		rows, err := a.store.ReceivedAfter(ctx, committed-1, 1)
		if err != nil {
			return err
		}
		for i := range rows {
			a.clock.atLeast(uint64(max(0, rows[i].Time)))
		}
	}
	return a.readLocked(ctx)
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
func (a *announcer) committedLocked() (base fair.TimedBase, live int) {
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

// appendLocked takes the next entry. One whose write seemed to fail may be missing before it: then it is read again. Such an
// entry may be older than what was promised meanwhile, and gets the time of the promise.
func (a *announcer) appendLocked(r *pg.Received) {
	switch {
	case r.Position <= a.last.position:
		return
	case r.Position > a.last.position+1:
		a.gap = true
		return
	}
	at := max(uint64(max(0, r.Time)), a.last.at, a.promised)
	a.last = logEntry{r.Position, r.ID, r.Head, min(at, fair.MaxTime)}
	a.clock.atLeast(at)
	a.own = append(a.own, a.last)
}

// begin and appended are around the write of ciphertexts into the log.
func (a *announcer) begin(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begun += uint64(n)
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

// room says whether the log takes further ids: it stops when it is full, and never skips one.
func (a *announcer) room() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, live := a.committedLocked()
	return a.broken == "" && live+len(a.own)+int(a.begun-a.written) < int(a.state.Genesis().Params.Order.MaxLive)
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
		if err := a.announce(); err != nil {
			a.log.Error("receive log not announced", "err", err)
		}
		a.keepProven(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(announceEvery):
		}
	}
}

// fill reads entries that the database has and this one has not heard of.
func (a *announcer) fill(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.gap {
		return nil
	}
	return a.readLocked(ctx)
}

// announce signs the head of the log and sends it with the ids since the committed head.
func (a *announcer) announce() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	member := a.memberLocked()
	logs, ok := a.state.ReceiveLogs()
	if member == 0 || !ok || a.broken != "" {
		return nil
	}
	base, live, err := logs.Base(member)
	if err != nil {
		return err
	}
	p := logs.Params()
	c := a.chunkLocked(member, base, min(len(a.own), p.MaxChunk, p.MaxLive-live))
	if err := logs.CheckNext(c); err != nil {
		return err
	}
	an, err := logs.Rule().Say(a.key, a.chainID, a.state.Height(), c)
	if err != nil {
		return err
	}
	a.promise(c.Watermark)
	wire, err := an.MarshalBinary()
	if err != nil {
		return err
	}
	a.keepLocked(an)
	a.net.Broadcast(append([]byte{messageAnnouncement}, wire...))
	return nil
}

// chunkLocked is the beginning of what is not committed, with n entries. The watermark is not above the time of the next one.
func (a *announcer) chunkLocked(member uint32, base fair.TimedBase, n int) fair.TimedChunk {
	c := fair.TimedChunk{Chunk: fair.Chunk{Member: member, Sequence: base.Sequence, Head: base.Head}, TimesHead: base.Times}
	for _, e := range a.own[:n] {
		at := max(e.at, base.Watermark)
		c.IDs, c.Times = append(c.IDs, e.id), append(c.Times, at)
		c.Sequence, c.Head, c.TimesHead = e.position, e.head, fair.NextTimes(c.TimesHead, at)
	}
	c.Watermark = a.clock.promise()
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
	an, err := rule.ParseSaid(body)
	if err != nil {
		return fmt.Errorf("%w: %w", errPeerMessage, err)
	}
	st := an.Head()
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
			if k.Head() == *st {
				return true
			}
		}
	}
	return false
}

// keepLocked keeps an announcement whose signature holds. Two heads for one length of a log are evidence.
func (a *announcer) keepLocked(an fair.Said) {
	st := an.Head()
	epoch := a.state.Committee().Epoch
	h := a.heard[st.Member]
	if h == nil || h.epoch != epoch {
		h = &heard{epoch: epoch}
		a.heard[st.Member] = h
	}
	a.proveLocked(h, an)
	if len(h.announcements) == keptAnnouncements {
		h.announcements = h.announcements[1:]
	}
	h.announcements = append(h.announcements, an)
}

// compareLocked compares what a block says with what was heard: a member may tell one log to some, and another one to the rest.
func (a *announcer) compareLocked(said []fair.Said) {
	for _, an := range said {
		if h := a.heard[an.Head().Member]; h != nil && h.epoch == a.state.Committee().Epoch {
			a.proveLocked(h, an)
		}
	}
}

// proveLocked looks for evidence in what a member was heard to say, and another announcement of it. Signatures hold.
func (a *announcer) proveLocked(h *heard, an fair.Said) {
	for _, k := range h.announcements {
		if e := k.Fork(an); e != nil && !h.forked {
			h.forked = true
			st := an.Head()
			a.proven = append(a.proven, forkProof{e, st.Height, st.Sequence})
			a.poke()
		}
	}
}

// keepProven stores the evidence that came up where no database may be waited for.
func (a *announcer) keepProven(ctx context.Context) {
	a.mu.Lock()
	proven := a.proven
	a.proven = nil
	var epoch uint64
	if t := a.state.Office(); t != nil {
		epoch = t.Epoch()
	}
	a.mu.Unlock()
	for _, e := range proven {
		a.log.Warn("a member has signed two receive logs", "member", e.Member(), "position", e.position)
		wire, err := e.MarshalBinary()
		if err == nil {
			err = a.store.AddEvidence(ctx, pg.Evidence{Kind: e.Kind(), Epoch: epoch, Member: e.Member(), Height: e.height, Body: wire})
		}
		if err != nil {
			a.log.Error("evidence not stored", "kind", e.Kind(), "member", e.Member(), "err", err)
		}
	}
}

// gather gives the announcements that fit the block after s. It waits a bounded moment: until what is on its way into this
// member's log has arrived there, and every member that was there lately has announced all that was in it then; for longer only
// while too few have.
func (a *announcer) gather(s *ordering.State) []fair.Said {
	all, timeout := time.NewTimer(gatherAll), time.NewTimer(gatherFor)
	defer all.Stop()
	defer timeout.Stop()
	a.mu.Lock()
	begun := a.begun
	a.mu.Unlock()
	var target []threshold.ID
	for arrived, patient := false, true; ; {
		a.mu.Lock()
		if !arrived && a.written >= begun {
			arrived, target = true, a.undecidedLocked(s)
		}
		found, changed := a.fittingLocked(s), a.changed
		a.mu.Unlock()
		if arrived && announced(s, found, target, patient) {
			return found
		}
		select {
		case <-changed:
		case <-all.C:
			patient = false
		case <-timeout.C:
			return found
		}
	}
}

// undecidedLocked gives what is in this member's log, not committed, and still to be decided.
func (a *announcer) undecidedLocked(s *ordering.State) (ids []threshold.ID) {
	most := int(s.Genesis().Params.Order.MaxChunk)
	for _, e := range a.own[:min(len(a.own), most)] {
		if !s.WasOrdered(e.id) && !s.IsQueued(e.id) {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// fittingLocked gives, of each member, the announcements without what s has committed already.
func (a *announcer) fittingLocked(s *ordering.State) (out []fair.Said) {
	logs, ok := s.ReceiveLogs()
	if !ok {
		return nil
	}
	for member := uint32(1); int(member) <= logs.Params().Members; member++ {
		h := a.heard[member]
		base, _, err := logs.Base(member)
		if h == nil || h.epoch != s.Committee().Epoch || err != nil {
			continue
		}
		for _, an := range h.announcements {
			if rest := an.After(base.Sequence); rest != nil {
				out = append(out, rest)
			}
		}
	}
	return out
}

// announced says whether the ids are in the logs, as far as they are committed or announced: of all members whose last
// announcement is not too old for the block, or, if not all are to be waited for, of so many that the ids are solid.
func announced(s *ordering.State, found []fair.Said, ids []threshold.ID, all bool) bool {
	logs, ok := s.ReceiveLogs()
	if !ok || len(ids) == 0 {
		return true
	}
	held := make(map[uint32]map[threshold.ID]bool)
	for i := range found {
		st := found[i].Head()
		if st.Height+logs.Params().Stale < s.Height() {
			continue
		}
		if held[st.Member] == nil {
			held[st.Member] = make(map[threshold.ID]bool)
			for _, id := range logs.Waiting(st.Member) {
				held[st.Member][id] = true
			}
		}
		for _, id := range found[i].New() {
			held[st.Member][id] = true
		}
	}
	need := logs.Params().Solid
	if all {
		need = max(need, len(held))
	}
	for _, id := range ids {
		n := 0
		for _, log := range held {
			if log[id] {
				n++
			}
		}
		if n < need {
			return false
		}
	}
	return true
}
