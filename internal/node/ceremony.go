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
// and stores the member's share before it says that it has it.
type ceremony struct {
	secret     *keygen.MemberSecret
	identities []age.Identity
	recipients []age.Recipient
	dir        string
	index      uint32 // of this member
	submit     func(tx []byte) error
	onShare    func(*threshold.SecretShare)
	log        *slog.Logger

	participant *keygen.Participant
	stored      bool // the share is on disk; certifying
	readBack    bool // and was read from there again; storing
	phase       keygen.Phase
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
	c.participant, err = keygen.NewParticipant(c.secret, s.Terms(), seed)
	clear(seed[:])
	return err
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
	if s.Status().Members[c.index-1].Deal != keygen.CellAwaited && s.Phase() != keygen.PhaseAccepted {
		return seed, fmt.Errorf("node: %s is missing, and this member has dealt with it or is too late to deal; restore it from a backup, "+
			"or start this node again when the others have ended the ceremony", path)
	}
	if _, err := rand.Read(seed[:]); err != nil {
		return seed, err
	}
	return seed, sharefile.WriteSeed(path, t.Hash(), seed, c.recipients)
}

// run sends what is owed, after every block and from time to time, until the ceremony
// is over.
func (c *ceremony) run(ctx context.Context, state func() *ordering.State, catchingUp func() bool) error {
	tick := time.NewTicker(ceremonyEvery)
	defer tick.Stop()
	for {
		s := state().Ceremony()
		if s.Phase() != c.phase {
			c.phase = s.Phase()
			c.log.Info("ceremony", "epoch", s.Terms().Epoch, "phase", c.phase, "deadline", s.Deadline())
		}
		if s.Done() {
			return c.finish(s)
		}
		if !catchingUp() {
			if err := c.step(s); err != nil {
				c.log.Error("ceremony message not sent", "phase", s.Phase(), "err", err)
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

func (c *ceremony) poke(*ordering.State, *ordering.Result) {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *ceremony) step(s *keygen.State) error {
	err := c.prepare(s)
	if errors.Is(err, keygen.ErrShareLost) {
		return nil // said at the end; the others go on without this member's share
	}
	if err != nil {
		return err
	}
	m, err := c.participant.Next(s)
	if err != nil || m == nil {
		return err
	}
	wire, err := m.MarshalBinary()
	if err != nil {
		return err
	}
	return c.submit(ordering.CeremonyTx(wire))
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
		for _, fault := range s.Blame() {
			c.log.Error("ceremony failed", "fault", fault.String())
		}
		return nil
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
