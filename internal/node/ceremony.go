package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/ordering"
)

// ceremonyEvery is how often a message that is not on the chain yet is sent again.
const ceremonyEvery = 500 * time.Millisecond

// ceremony plays this member's part in the chain's key ceremonies, one after the other, as
// long as the node runs: it sends what the member owes in each of its roles, and stores the
// member's share before it says that it has it. It hands over its share in a resharing,
// and is silent in ceremonies that the member has no part in.
//
// By itself it accepts and proposes only further attempts at the chain's first key, and
// only as many as its operator allowed. To a new committee people consent.
type ceremony struct {
	*keeper
	attempts uint32 // up to this one it proposes and accepts attempts by itself
	submit   func(tx []byte) error
	keep     func(ctx context.Context, e pg.Evidence) error // once

	current     [32]byte            // ceremony that was opened
	participant *keygen.Participant // nil if the member has no part in it
	stored      bool                // the share is on disk; certifying
	readBack    bool                // and was read from there again; storing
	handsOver   bool                // the member deals its share of the key in office anew
	hasOld      bool                // the participant has that share

	told   told // what the log says of the ceremony
	kept   told // whose evidence is kept
	failed string
	wake   chan struct{}
}

// told is how far a ceremony was.
type told struct {
	ceremony [32]byte
	phase    keygen.Phase
	faults   int
}

func newCeremony(k *keeper) *ceremony {
	return &ceremony{keeper: k, wake: make(chan struct{}, 1)}
}

// open prepares the member's part in the ceremony s. The seed is drawn once and stored
// before anything that depends on it is sent; all else follows from it, so that a member
// that comes back says exactly what it said before.
func (c *ceremony) open(s *keygen.State) error {
	if s.Ceremony() == c.current {
		return nil
	}
	roles, err := s.Terms().Roles(c.secret)
	if errors.Is(err, keygen.ErrNotMember) {
		c.log.Info("this member has no part in the ceremony", "epoch", s.Terms().Epoch, "attempt", s.Terms().Attempt, "reason", err)
		c.take(s, nil)
		return nil
	}
	if err != nil {
		return err
	}
	seed, err := c.seed(s, roles)
	if err != nil {
		return err
	}
	p, err := keygen.NewParticipant(c.secret, s.Terms(), seed)
	clear(seed[:])
	if err != nil {
		return err
	}
	c.take(s, p)
	return nil
}

func (c *ceremony) take(s *keygen.State, p *keygen.Participant) {
	if c.participant != nil {
		c.participant.Wipe()
	}
	c.participant, c.current = p, s.Ceremony()
	c.stored, c.readBack, c.hasOld = false, false, false
	// The old role comes last.
	c.handsOver = p != nil && s.Terms().Change == keygen.ChangeReshare && p.Roles()[len(p.Roles())-1] != p.Index()
}

// seed reads the ceremony's seed, or draws it if the member has not dealt with another.
func (c *ceremony) seed(s *keygen.State, roles []uint32) ([32]byte, error) {
	t := s.Terms()
	seed, err := c.readSeed(t)
	if !errors.Is(err, sharefile.ErrNotFound) {
		return seed, err
	}
	for _, m := range s.Status().Members {
		if slices.Contains(roles, m.Index) && (m.Deal == keygen.CellDone || m.Deal == keygen.CellBad) {
			return seed, fmt.Errorf("node: %s is missing, and this member has dealt with it; restore it from a backup, "+
				"or the others end the ceremony without this member", c.path(t, "seed"))
		}
	}
	return c.drawSeed(t)
}

// run does what is to be done after every block, and from time to time, until ctx ends. It
// ends with an error only if the member's share of the key in office is missing.
func (c *ceremony) run(ctx context.Context, state func() *ordering.State, catchingUp func() bool) error {
	tick := time.NewTicker(ceremonyEvery)
	defer tick.Stop()
	for {
		if err := c.round(ctx, state(), catchingUp()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-c.wake:
		}
	}
}

func (c *ceremony) round(ctx context.Context, now *ordering.State, catchingUp bool) error {
	s := now.Ceremony()
	c.tell(now)
	if err := c.keepEvidence(ctx, s); err != nil {
		c.log.Error("evidence not stored", "err", err)
	}
	err := c.hold(now, !catchingUp)
	if catchingUp {
		return nil // the committee in office may be one of long ago, whose share was destroyed
	}
	if err != nil {
		return err
	}
	c.complain(s, c.step(now))
	if err := c.sweep(ctx, now); err != nil {
		c.log.Error("secrets that are not needed any more are still there", "err", err)
	}
	return nil
}

// complain logs what went wrong, once as long as it is the same.
func (c *ceremony) complain(s *keygen.State, err error) {
	if err == nil {
		c.failed = ""
		return
	}
	if text := err.Error(); text != c.failed {
		c.failed = text
		c.log.Error("ceremony message not sent", "epoch", s.Terms().Epoch, "attempt", s.Terms().Attempt, "phase", s.Phase(), "err", err)
	}
}

// keepEvidence stores what proves faults: the chain forgets most of it when another
// ceremony follows.
func (c *ceremony) keepEvidence(ctx context.Context, s *keygen.State) error {
	now := told{ceremony: s.Ceremony(), faults: len(s.Blame())}
	if c.kept == now {
		return nil
	}
	for _, e := range s.Evidence() {
		wire, err := e.MarshalBinary()
		if err != nil {
			return err
		}
		if err := c.keep(ctx, pg.Evidence{Kind: "ceremony", Epoch: s.Terms().Epoch, Member: e.Member, Height: s.Height(), Body: wire}); err != nil {
			return err
		}
	}
	c.kept = now
	return nil
}

// tell logs every phase once, and at the end who is to blame, or who is in office.
func (c *ceremony) tell(chain *ordering.State) {
	s, t := chain.Ceremony(), chain.Ceremony().Terms()
	if now := (told{ceremony: s.Ceremony(), phase: s.Phase()}); c.told != now {
		c.told = now
	} else {
		return
	}
	c.log.Info("ceremony", "epoch", t.Epoch, "attempt", t.Attempt, "change", t.Change, "phase", s.Phase(), "deadline", s.Deadline())
	switch {
	case !s.Done():
	case s.Phase() == keygen.PhaseActive:
		c.log.Info("committee in office", "epoch", t.Epoch, "change", t.Change, "threshold", t.Threshold, "members", len(t.Members), "this_member", indexOf(t.Members, c.own))
	default:
		for _, fault := range s.Blame() {
			c.log.Error("ceremony came to nothing", "outcome", s.Phase(), "fault", fault.String())
		}
		ended := []any{"outcome", s.Phase(), "ended_in", s.EndedIn(), "epoch", t.Epoch, "attempt", t.Attempt}
		if office := chain.Office(); office != nil {
			c.log.Error("the committee in office stays; its members may propose another attempt", append(ended, "in_office", office.Epoch())...)
			return
		}
		c.log.Error("there is no committee: the members have to agree on another attempt", ended...)
	}
}

func (c *ceremony) poke(*ordering.State, *ordering.Result) {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// step submits what the member has to say. What one of its roles cannot say keeps the
// others' words not back.
func (c *ceremony) step(now *ordering.State) error {
	messages, err := c.says(now)
	for _, m := range messages {
		wire, failed := m.MarshalBinary()
		if failed == nil {
			failed = c.submit(ordering.CeremonyTx(wire))
		}
		err = errors.Join(err, failed)
	}
	return err
}

// says is what the member has to say, in all its roles.
func (c *ceremony) says(now *ordering.State) ([]*keygen.Message, error) {
	s := now.Ceremony()
	switch {
	case s.Phase() == keygen.PhaseActive:
		return nil, nil
	case s.Done():
		return c.proposal(now.Height(), s)
	case s.Phase() == keygen.PhaseProposed:
		return c.consent(now.PastCeremonies(), s)
	}
	if err := c.open(s); err != nil || c.participant == nil {
		return nil, err
	}
	err := c.prepare(now, s)
	if errors.Is(err, keygen.ErrShareLost) {
		return nil, nil // hold says so; the others go on without this member's share
	}
	if err != nil {
		return nil, err
	}
	return c.participant.Next(s)
}

// consentBlocks is how many blocks a proposal leaves for the consent of all, at most.
const consentBlocks = 1000

// proposal proposes the next attempt at the first key, if this member is the one who
// does, and may. Of a committee that hands over, people decide what to try next.
func (c *ceremony) proposal(height uint64, s *keygen.State) ([]*keygen.Message, error) {
	t := s.Terms()
	if t.Change != keygen.ChangeFirst || indexOf(t.Members, c.own) != 1 || t.Attempt >= c.attempts {
		return nil, nil
	}
	m, err := keygen.ProposeTerms(c.secret, t.Retry(height+2+min(t.Phases.Deal, consentBlocks)))
	if err != nil {
		return nil, err
	}
	return []*keygen.Message{m}, nil
}

// consent accepts a proposal that changes nothing but the attempt and its start. What
// else is proposed is for people to judge.
func (c *ceremony) consent(past []*keygen.Record, s *keygen.State) ([]*keygen.Message, error) {
	t := s.Terms()
	if t.Change != keygen.ChangeFirst || t.Attempt > c.attempts || len(past) == 0 || past[len(past)-1].Terms.Phases != t.Phases ||
		!slices.Contains(s.Waiting(), indexOf(t.Members, c.own)) {
		return nil, nil
	}
	return keygen.Votes(c.secret, t, keygen.KindConsent)
}

// prepare does on the disk what the phase's messages need, or will say was done.
func (c *ceremony) prepare(now *ordering.State, s *keygen.State) error {
	asked := func(role uint32) bool { return slices.Contains(s.Waiting(), role) }
	switch s.Phase() {
	case keygen.PhaseDealing, keygen.PhaseJustifying:
		if c.handsOver && !c.hasOld && slices.ContainsFunc(c.participant.Roles(), asked) {
			return c.useOldShare(now)
		}
	case keygen.PhaseCertifying:
		if asked(c.participant.Index()) && !c.stored {
			return c.storeShare(s)
		}
	case keygen.PhaseStoring:
		if asked(c.participant.Index()) && !c.readBack {
			return c.readAgain(s)
		}
	}
	return nil
}

// useOldShare gives the participant the share of the committee in office. It is the same
// after every restart, so that the deal is, too.
func (c *ceremony) useOldShare(now *ordering.State) error {
	office := now.Office()
	if office == nil {
		return errors.New("node: there is no committee in office to hand over from")
	}
	old, err := c.load(office.Terms())
	if err != nil {
		return fmt.Errorf("this member cannot hand over its share of epoch %d: %w", office.Epoch(), err)
	}
	defer old.Wipe()
	if err := c.participant.UseShare(old); err != nil {
		return err
	}
	c.hasOld = true
	return nil
}

// storeShare writes the share durably before the certification, which promises it, can
// leave. What is confirmed is what was read back from the file.
func (c *ceremony) storeShare(s *keygen.State) error {
	share, err := c.participant.Share(s)
	if err != nil {
		return err
	}
	defer share.Wipe()
	stored, err := c.store(s.Terms(), share)
	if err != nil {
		return err
	}
	defer stored.Wipe()
	if err := c.participant.ConfirmStored(stored); err != nil {
		return err
	}
	c.stored = true
	return nil
}

// readAgain opens the share file anew, in a phase of its own: what is confirmed comes from
// the disk alone. A file that is gone by now is not made again here, because a disk that
// loses files is what the phase is there to find.
func (c *ceremony) readAgain(s *keygen.State) error {
	share, err := c.load(s.Terms())
	if err != nil {
		return fmt.Errorf("%w. This member certified that it has its share; restore the file before height %d, or the others go on without it", err, s.Deadline())
	}
	defer share.Wipe()
	if err := c.participant.ConfirmReadBack(share); err != nil {
		return err
	}
	c.readBack = true
	return nil
}
