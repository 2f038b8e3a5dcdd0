package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"filippo.io/age"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// ErrNoShare: this member's share of the committee's key is not there and cannot be
// rebuilt.
var ErrNoShare = errors.New("node: this member's share of the key is missing")

// ceremonyEvery is how often a message that is not on the chain yet is sent again.
const ceremonyEvery = 500 * time.Millisecond

// ceremony plays this member's part in the key ceremony: it sends what the member owes,
// and stores the member's share before it says that it has it. When a ceremony came to
// nothing it waits for the next attempt, and follows it with a seed of its own.
type ceremony struct {
	secret     *keygen.MemberSecret
	identities []age.Identity
	recipients []age.Recipient
	dir        string
	index      uint32 // of this member
	attempts   uint32 // up to this one it proposes and accepts attempts by itself
	submit     func(tx []byte) error
	keep       func(ctx context.Context, kind string, member uint32, height uint64, body []byte) error // evidence, once
	onShare    func(*threshold.SecretShare)
	log        *slog.Logger

	current     [32]byte // ceremony that was opened
	participant *keygen.Participant
	stored      bool // the share is on disk; certifying
	readBack    bool // and was read from there again; storing
	phase       keygen.Phase
	kept        map[[32]byte]int // faults of a ceremony whose evidence is kept
	wake        chan struct{}
}

func (c *ceremony) path(t *keygen.Terms, kind string) string {
	return home.CeremonyFile(c.dir, t, kind)
}

// open prepares the member's part in the ceremony s. The seed is drawn once and stored
// before anything that depends on it is sent; all else follows from it, so that a member
// that comes back says exactly what it said before.
func (c *ceremony) open(s *keygen.State) error {
	seed, err := c.seed(s)
	if err != nil {
		return err
	}
	p, err := keygen.NewParticipant(c.secret, s.Terms(), seed)
	clear(seed[:])
	if err != nil {
		return err
	}
	if c.participant != nil {
		c.participant.Wipe()
	}
	c.participant, c.current, c.stored, c.readBack = p, s.Ceremony(), false, false
	return nil
}

func (c *ceremony) seed(s *keygen.State) (seed [32]byte, err error) {
	t := s.Terms()
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return seed, err
	}
	path := c.path(t, "seed")
	seed, err = sharefile.ReadSeed(path, t.Hash(), c.identities)
	if !errors.Is(err, sharefile.ErrNotFound) {
		return seed, err
	}
	if s.Done() {
		return seed, nil // the share itself does not depend on the seed
	}
	early := s.Phase() == keygen.PhaseProposed || s.Phase() == keygen.PhaseAccepted
	if !early && s.Status().Members[c.index-1].Deal != keygen.CellAwaited {
		return seed, fmt.Errorf("node: %s is missing, and this member has dealt with it or is too late to deal; restore it from a backup, "+
			"or start this node again when the others have ended the ceremony", path)
	}
	if _, err := rand.Read(seed[:]); err != nil {
		return seed, err
	}
	return seed, sharefile.WriteSeed(path, t.Hash(), seed, c.recipients)
}

// run sends what is owed, after every block and from time to time, until there is a
// committee.
func (c *ceremony) run(ctx context.Context, state func() *ordering.State, catchingUp func() bool) error {
	tick := time.NewTicker(ceremonyEvery)
	defer tick.Stop()
	for {
		now := state()
		s := now.Ceremony()
		c.tell(s)
		if err := c.keepEvidence(ctx, s); err != nil {
			c.log.Error("evidence not stored", "err", err)
		}
		if s.Phase() == keygen.PhaseActive {
			return c.finish(s)
		}
		if !catchingUp() {
			if err := c.step(now); err != nil {
				c.log.Error("ceremony message not sent", "attempt", s.Terms().Attempt, "phase", s.Phase(), "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-c.wake:
		}
	}
}

// keepEvidence stores what proves faults: the chain forgets most of it when another
// attempt follows.
func (c *ceremony) keepEvidence(ctx context.Context, s *keygen.State) error {
	faults := len(s.Blame())
	if c.kept[s.Ceremony()] == faults {
		return nil
	}
	for _, e := range s.Evidence() {
		wire, err := e.MarshalBinary()
		if err != nil {
			return err
		}
		if err := c.keep(ctx, "ceremony", e.Member, s.Height(), wire); err != nil {
			return err
		}
	}
	c.kept[s.Ceremony()] = faults
	return nil
}

// tell logs every phase once, and at the end who is to blame.
func (c *ceremony) tell(s *keygen.State) {
	if s.Phase() == c.phase {
		return
	}
	c.phase = s.Phase()
	c.log.Info("ceremony", "epoch", s.Terms().Epoch, "attempt", s.Terms().Attempt, "phase", c.phase, "deadline", s.Deadline())
	if !s.Done() || c.phase == keygen.PhaseActive {
		return
	}
	for _, fault := range s.Blame() {
		c.log.Error("ceremony came to nothing", "outcome", c.phase, "fault", fault.String())
	}
	c.log.Error("there is no committee: the members have to agree on another attempt", "outcome", c.phase, "ended_in", s.EndedIn(), "attempt", s.Terms().Attempt)
}

func (c *ceremony) poke(*ordering.State, *ordering.Result) {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *ceremony) step(now *ordering.State) error {
	s := now.Ceremony()
	if s.Ceremony() != c.current {
		if err := c.open(s); err != nil {
			return err
		}
	}
	m, err := c.says(now, s)
	if err != nil || m == nil {
		return err
	}
	wire, err := m.MarshalBinary()
	if err != nil {
		return err
	}
	return c.submit(ordering.CeremonyTx(wire))
}

// says is what the member has to say, nil if nothing.
func (c *ceremony) says(now *ordering.State, s *keygen.State) (*keygen.Message, error) {
	switch {
	case s.Phase() == keygen.PhaseActive:
		return nil, nil
	case s.Done():
		return c.proposal(now.Height(), s)
	case s.Phase() == keygen.PhaseProposed:
		return c.consent(now.PastCeremonies(), s)
	}
	err := c.prepare(s)
	if errors.Is(err, keygen.ErrShareLost) {
		return nil, nil // said at the end; the others go on without this member's share
	}
	if err != nil {
		return nil, err
	}
	return c.participant.Next(s)
}

// consentBlocks is how many blocks a proposal leaves for the consent of all, at most.
const consentBlocks = 1000

// proposal proposes the next attempt, if this member is the one who does, and may.
func (c *ceremony) proposal(height uint64, s *keygen.State) (*keygen.Message, error) {
	if c.index != 1 || s.Terms().Attempt >= c.attempts {
		return nil, nil
	}
	return c.participant.ProposeRetry(height + 2 + min(s.Terms().Phases.Deal, consentBlocks))
}

// consent accepts a proposal that changes nothing but the attempt and its start. What
// else is proposed is for people to judge.
func (c *ceremony) consent(past []*keygen.Record, s *keygen.State) (*keygen.Message, error) {
	t := s.Terms()
	if t.Attempt > c.attempts || len(past) == 0 || past[len(past)-1].Terms.Phases != t.Phases || !slices.Contains(s.Waiting(), c.index) {
		return nil, nil
	}
	return keygen.Vote(c.secret, t, keygen.KindConsent)
}

// prepare does on the disk what the phase's message will say was done.
func (c *ceremony) prepare(s *keygen.State) error {
	switch {
	case !slices.Contains(s.Waiting(), c.index):
		return nil
	case s.Phase() == keygen.PhaseCertifying && !c.stored:
		share, err := c.participant.Share(s)
		if err != nil {
			return err
		}
		defer share.Wipe()
		return c.store(s, share)
	case s.Phase() == keygen.PhaseStoring && !c.readBack:
		return c.readAgain(s)
	}
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

// store writes the share durably before the certification, which promises it, can leave.
// What is confirmed is what was read back from the file.
func (c *ceremony) store(s *keygen.State, share *threshold.SecretShare) error {
	t := s.Terms()
	meta := sharefile.ShareMeta{ChainID: t.ChainID, Ceremony: t.Hash(), Epoch: t.Epoch}
	err := sharefile.WriteShare(c.path(t, "share"), meta, share, c.recipients)
	if err != nil && !errors.Is(err, sharefile.ErrExists) {
		return err
	}
	stored, err := c.load(t)
	if err != nil {
		return err
	}
	defer stored.Wipe()
	if !bytes.Equal(stored.MemberKey().Bytes(), share.MemberKey().Bytes()) {
		return fmt.Errorf("%s holds another share than this ceremony gives; move it away and start again", c.path(t, "share"))
	}
	if err := c.participant.ConfirmStored(stored); err != nil {
		return err
	}
	c.stored = true
	return nil
}

func (c *ceremony) load(t *keygen.Terms) (*threshold.SecretShare, error) {
	meta, share, err := sharefile.ReadShare(c.path(t, "share"), c.identities)
	if err != nil {
		return nil, err
	}
	if meta.Ceremony != t.Hash() {
		return nil, fmt.Errorf("%s belongs to another ceremony; move it away", c.path(t, "share"))
	}
	return share, nil
}

// finish gives the share of an active committee to whoever opens batches. A share file
// that is lost is made again from the member's keys and the chain.
func (c *ceremony) finish(s *keygen.State) error {
	cert := s.Certificate()
	if cert == nil {
		return nil
	}
	if s.Ceremony() != c.current { // it ended while this node was catching up
		if err := c.open(s); err != nil {
			return err
		}
	}
	t := s.Terms()
	share, err := c.load(t)
	if errors.Is(err, sharefile.ErrNotFound) {
		if share, err = keygen.RecoverShare(c.secret, s); err == nil {
			c.log.Warn("share file was missing; made again from the member's keys and the chain", "file", c.path(t, "share"))
			err = c.store(s, share)
		}
	}
	if errors.Is(err, keygen.ErrShareLost) {
		c.log.Error("this member has no share of the key: it validates blocks, and the others open the batches without it", "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w. Restore %s from a backup of the same epoch, with the age identity that it was encrypted to", ErrNoShare, err, c.path(t, "share"))
	}
	if !keyMatches(cert.Committee, share) {
		return fmt.Errorf("%w: %s does not belong to member %d of epoch %d; restore the right file", ErrNoShare, c.path(t, "share"), share.Member(), t.Epoch)
	}
	c.onShare(share)
	return nil
}

func keyMatches(c *threshold.Committee, s *threshold.SecretShare) bool {
	if s.Member() < 1 || int(s.Member()) > c.N() {
		return false
	}
	return bytes.Equal(c.Members[s.Member()-1].Bytes(), s.MemberKey().Bytes())
}
