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
	// gatherFor is how long a proposer waits for the announcements of members that are there.
	gatherFor = 40 * time.Millisecond
	// keptAnnouncements of each member: its newest, and what else may fit a state that is behind or a statement that conflicts.
	keptAnnouncements = 16
	tailPage          = 1000
)

// logStore is this member's receive log on disk.
type logStore interface {
	ReceivedAfter(ctx context.Context, after uint64, limit int) ([]pg.Received, error)
	ReceiveHead(ctx context.Context, position uint64) (commitreveal.Hash, error)
	ResumeLog(ctx context.Context, position uint64, head commitreveal.Hash) error
	AddEvidence(ctx context.Context, kind string, member uint32, height uint64, body []byte) error
}

// announcer tells the other members what this one has received, and keeps what they tell. It signs nothing that is not
// durable: what it announces comes from appended, which is called after the write.
type announcer struct {
	chainID string
	key     ed25519.PrivateKey
	store   logStore
	net     network
	log     *slog.Logger
	wake    chan struct{} // capacity 1: there is something to announce

	mu      sync.Mutex
	state   *ordering.State
	own     []logEntry // of this member's log, after the committed part
	last    logEntry   // the newest of it all, also when own is empty
	broken  string     // why nothing is signed; "" mostly
	writing int        // ciphertexts that are on their way into the log
	heard   map[uint32]*heard
	changed chan struct{} // closed, and replaced, when something in here has changed
	proven  []*fair.Equivocation
}

type logEntry struct {
	position uint64
	id       threshold.ID
	head     commitreveal.Hash
}

// heard is what a member of the committee in office has announced, newest last; signatures hold.
type heard struct {
	epoch         uint64
	announcements []*fair.Announcement
}

func newAnnouncer() *announcer {
	return &announcer{wake: make(chan struct{}, 1), heard: make(map[uint32]*heard), changed: make(chan struct{})}
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
	committed, head, _ := a.committedLocked()
	if have, err := a.store.ReceiveHead(ctx, committed); errors.Is(err, pg.ErrNotFound) {
		a.broken = "the database does not have the part of this member's receive log that the chain has committed"
	} else if err != nil {
		return err
	} else if have != head {
		a.broken = "the chain has committed another receive log of this member than the database has"
	}
	a.last = logEntry{position: committed, head: head}
	for {
		rows, err := a.store.ReceivedAfter(ctx, a.last.position, tailPage)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		for i := range rows {
			a.appendLocked(&rows[i])
		}
	}
}

// committedLocked is this member's log as the chain has it; zeros if it is not in office.
func (a *announcer) committedLocked() (sequence uint64, head commitreveal.Hash, live int) {
	member := a.memberLocked()
	logs, ok := a.state.ReceiveLogs()
	if member == 0 || !ok {
		return 0, head, 0
	}
	sequence, head, live, err := logs.Log(member)
	if err != nil {
		return 0, commitreveal.Hash{}, 0
	}
	return sequence, head, live
}

func (a *announcer) memberLocked() uint32 {
	return a.state.Member(a.key.Public().(ed25519.PublicKey))
}

func (a *announcer) appendLocked(r *pg.Received) {
	if r.Position > a.last.position {
		a.last = logEntry{r.Position, r.ID, r.Head}
		a.own = append(a.own, a.last)
	}
}

// begin and appended are around the write of ciphertexts into the log.
func (a *announcer) begin(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writing += n
}

// appended takes rows of the log that are durable now, also some that were before.
func (a *announcer) appended(n int, rows []pg.Received) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writing -= n
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
	_, _, live := a.committedLocked()
	return a.broken == "" && live+len(a.own)+a.writing < int(a.state.Genesis().Params.Order.MaxLive)
}

// trouble says why this member's log is not announced; "" if it is.
func (a *announcer) trouble() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.broken
}

// committed takes over a durable state.
func (a *announcer) committed(s *ordering.State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state = s
	sequence, head, _ := a.committedLocked()
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
	sequence, head, _ := a.committedLocked()
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

// announce signs the head of the log and sends it with the ids since the committed head.
func (a *announcer) announce() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	member := a.memberLocked()
	logs, ok := a.state.ReceiveLogs()
	if member == 0 || !ok || a.broken != "" {
		return nil
	}
	sequence, head, live, err := logs.Log(member)
	if err != nil {
		return err
	}
	p := logs.Params()
	fresh := a.own[:min(len(a.own), p.MaxChunk, p.MaxLive-live)]
	an := &fair.Announcement{Statement: fair.Statement{ChainID: a.chainID, Height: a.state.Height(), Member: member, Sequence: sequence, Head: head}}
	for _, e := range fresh {
		an.IDs = append(an.IDs, e.id)
		an.Statement.Sequence, an.Statement.Head = e.position, e.head
	}
	if err := logs.Check(an.Chunk()); err != nil {
		return err
	}
	if err := fair.SignStatement(a.key, &an.Statement); err != nil {
		return err
	}
	wire, err := an.MarshalBinary()
	if err != nil {
		return err
	}
	a.keepLocked(an)
	a.net.Broadcast(append([]byte{messageAnnouncement}, wire...))
	return nil
}

// receive takes another member's announcement.
func (a *announcer) receive(member uint32, body []byte) error {
	an, err := fair.ParseAnnouncement(body)
	if err != nil {
		return fmt.Errorf("%w: %w", errPeerMessage, err)
	}
	st := &an.Statement
	a.mu.Lock()
	key, known := a.state.Identity(member), a.knownLocked(st)
	a.mu.Unlock()
	switch {
	case st.Member != member || st.ChainID != a.chainID:
		return errPeerSender
	case known || key == nil: // of a committee that this node does not know yet
		return nil
	}
	if err := st.Verify(key); err != nil {
		return fmt.Errorf("%w: %w", errPeerMessage, err)
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
	epoch := a.state.Committee().Epoch
	h := a.heard[an.Statement.Member]
	if h == nil || h.epoch != epoch {
		h = &heard{epoch: epoch}
		a.heard[an.Statement.Member] = h
	}
	for _, k := range h.announcements {
		if e, err := fair.NewEquivocation(k.Statement, an.Statement); err == nil {
			a.proven = append(a.proven, e)
			a.poke()
		}
	}
	if len(h.announcements) == keptAnnouncements {
		h.announcements = h.announcements[1:]
	}
	h.announcements = append(h.announcements, an)
}

// keepProven stores the evidence that came up where no database may be waited for.
func (a *announcer) keepProven(ctx context.Context) {
	a.mu.Lock()
	proven := a.proven
	a.proven = nil
	a.mu.Unlock()
	for _, e := range proven {
		a.log.Warn("a member has signed two receive logs", "member", e.Member(), "position", e.A.Sequence)
		wire, err := e.MarshalBinary()
		if err == nil {
			err = a.store.AddEvidence(ctx, e.Kind(), e.Member(), e.A.Height, wire)
		}
		if err != nil {
			a.log.Error("evidence not stored", "kind", e.Kind(), "member", e.Member(), "err", err)
		}
	}
}

// gather gives the announcements that fit the block after s. It waits a bounded moment, until every member that was there lately has
// announced all that this one's log has.
func (a *announcer) gather(s *ordering.State) []fair.Announcement {
	timeout := time.NewTimer(gatherFor)
	defer timeout.Stop()
	for {
		a.mu.Lock()
		found := a.fittingLocked(s)
		whole, changed := a.wholeLocked(s, found), a.changed
		a.mu.Unlock()
		if whole {
			return found
		}
		select {
		case <-changed:
		case <-timeout.C:
			return found
		}
	}
}

// fittingLocked gives, of each member, the announcements without what s has committed already.
func (a *announcer) fittingLocked(s *ordering.State) (out []fair.Announcement) {
	logs, ok := s.ReceiveLogs()
	if !ok {
		return nil
	}
	for member := uint32(1); int(member) <= logs.Params().Members; member++ {
		h := a.heard[member]
		sequence, _, _, err := logs.Log(member)
		if h == nil || h.epoch != s.Committee().Epoch || err != nil {
			continue
		}
		for _, an := range h.announcements {
			if first := an.Statement.Sequence - uint64(len(an.IDs)); first <= sequence && sequence <= an.Statement.Sequence {
				out = append(out, fair.Announcement{Statement: an.Statement, IDs: an.IDs[sequence-first:]})
			}
		}
	}
	return out
}

// wholeLocked says whether waiting is of no use: nothing is on its way into this member's log, and what is in it
// is in the announcements of all members whose last one is not too old for the block, of which there are enough.
func (a *announcer) wholeLocked(s *ordering.State, found []fair.Announcement) bool {
	if a.writing > 0 {
		return false
	}
	logs, ok := s.ReceiveLogs()
	if !ok || len(a.own) == 0 {
		return true
	}
	own := a.own[:min(len(a.own), logs.Params().MaxChunk)]
	said := make(map[uint32]map[threshold.ID]bool)
	for i := range found {
		st := &found[i].Statement
		if st.Height+logs.Params().Stale < s.Height() {
			continue
		}
		if said[st.Member] == nil {
			said[st.Member] = make(map[threshold.ID]bool)
		}
		for _, id := range found[i].IDs {
			said[st.Member][id] = true
		}
	}
	if len(said) < logs.Params().Quorum() {
		return false
	}
	for member, ids := range said {
		for _, id := range logs.Waiting(member) {
			ids[id] = true
		}
		for _, e := range own {
			if !ids[e.id] {
				return false
			}
		}
	}
	return true
}
