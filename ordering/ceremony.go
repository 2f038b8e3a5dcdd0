package ordering

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// ceremonies are the committees that they made, the one that counts now, and those
// before it, of the same epoch, that came to nothing. A value: what it points to is
// never changed.
type ceremonies struct {
	limits   [32]byte  // Params.Hash of the chain
	tenures  []*Tenure // oldest first; the last is in office
	rotated  []threshold.KeyID
	current  *keygen.State // the office's own, or one for the next epoch
	proposer [32]byte      // identity that proposed current; zeros if nobody had to, and while it is the office's
	past     []attempt     // for the epoch of current, oldest first
	base     [32]byte      // chain before the first of past
	chain    [32]byte      // hash over all that ever came to nothing, for the app hash
}

// attempt is a ceremony that came to nothing, and whose proposal it was.
type attempt struct {
	proposer [32]byte
	record   *keygen.Record
}

const (
	domainPast = "scrim/past-ceremonies/v2"

	// maxProposals is how many ceremonies a member can propose for one epoch. Each may be in
	// vain and leaves a record; whoever uses up its own takes nothing from the others.
	maxProposals = 16
	// maxRotated is how many of the keys that were replaced are remembered, to tell a wallet
	// what is wrong. An older one is a wrong key like any other.
	maxRotated = 16
	// maxTenures is how many committees there are at once, at most: all of them are part of
	// the state, and their members have to go on.
	maxTenures = 16
)

func (c ceremonies) office() *Tenure {
	if len(c.tenures) == 0 {
		return nil
	}
	return c.tenures[len(c.tenures)-1]
}

// settled says whether the newest ceremony is the one that made the committee in office.
func (c ceremonies) settled() bool {
	office := c.office()
	return office != nil && office.Ceremony == c.current
}

// add puts a ceremony to the past:
//
//	chain = SHA-256(domain | chain before, zeros at first | proposer | record)
func (c *ceremonies) add(a attempt) error {
	wire, err := a.record.MarshalBinary()
	if err != nil {
		return err
	}
	h := sha256.New()
	h.Write([]byte(domainPast))
	h.Write(c.chain[:])
	h.Write(a.proposer[:])
	h.Write(wire)
	c.past = append(slices.Clip(c.past), a)
	c.chain = [32]byte(h.Sum(nil))
	return nil
}

// step folds an event into the ceremonies. A proposal puts the one before to the past,
// if it came to nothing, and begins the next. Activated is the committee that the event
// put in office, if it did.
func (c ceremonies) step(e keygen.Event) (_ ceremonies, activated *Tenure, err error) {
	if e.Message != nil && e.Message.Kind == keygen.KindProposal {
		next, err := c.propose(e.Height, e.Message)
		return next, nil, err
	}
	next, effects, err := keygen.Step(c.current, e)
	if err != nil {
		return c, nil, err
	}
	c.current = next
	for _, effect := range effects {
		if _, ok := effect.(keygen.Activated); ok {
			c = c.activate(e.Height)
			activated = c.office()
		}
	}
	return c, activated, nil
}

// activate puts the committee of the newest ceremony in office.
func (c ceremonies) activate(height uint64) ceremonies {
	next := newTenure(c.current)
	if before := c.office(); before == nil {
		next.Since, next.keyFrom = height, height+1
		c.tenures = []*Tenure{next}
	} else {
		former, office := before.succeed(next, height)
		c.tenures = append(slices.Clone(c.tenures[:len(c.tenures)-1]), former, office)
		if office.Terms().Change == keygen.ChangeRotate {
			c.rotated = append(slices.Clip(c.rotated), former.Committee().Key.ID())
			c.rotated = c.rotated[max(0, len(c.rotated)-maxRotated):]
		}
	}
	c.past, c.base, c.proposer = nil, c.chain, [32]byte{}
	return c
}

// drop forgets the former committees that have nothing left to open after the height.
func (c ceremonies) drop(height uint64, pending []*OrderedBatch) ceremonies {
	office := c.office()
	needed := func(t *Tenure) bool {
		return t == office || t.orders(height+1) ||
			slices.ContainsFunc(pending, func(b *OrderedBatch) bool { return b.Batch.Epoch == t.Epoch() })
	}
	if slices.IndexFunc(c.tenures, func(t *Tenure) bool { return !needed(t) }) < 0 {
		return c
	}
	c.tenures = slices.DeleteFunc(slices.Clone(c.tenures), func(t *Tenure) bool { return !needed(t) })
	return c
}

// admit says whether a block of the height could take the message.
func (c ceremonies) admit(height uint64, m *keygen.Message) error {
	if m.Kind != keygen.KindProposal {
		return c.current.Admit(m)
	}
	_, _, err := c.begin(height, m)
	return err
}

func (c ceremonies) propose(height uint64, m *keygen.Message) (ceremonies, error) {
	next, proposer, err := c.begin(height, m)
	if err != nil {
		return c, err
	}
	if r := c.current.Record(); r != nil {
		if err := c.add(attempt{c.proposer, r}); err != nil {
			return c, err
		}
	}
	c.current, c.proposer = next, proposer
	return c, nil
}

// begin gives the ceremony that a message proposes, and whose identity proposes it.
func (c ceremonies) begin(height uint64, m *keygen.Message) (next *keygen.State, proposer [32]byte, err error) {
	if office := c.office(); office == nil {
		next, err = keygen.BeginRetry(c.current, height, m)
	} else {
		next, err = c.beginSuccession(office, height, m)
	}
	if err != nil {
		return nil, proposer, err
	}
	proposer = [32]byte(next.Terms().Speaker(m.Member).Identity)
	if n := c.proposals(proposer); n >= maxProposals {
		return nil, proposer, fmt.Errorf("%w: this member has proposed %d ceremonies for epoch %d, all in vain, and may propose no more; let another member do it",
			keygen.ErrRetry, n, next.Terms().Epoch)
	}
	return next, proposer, nil
}

func (c ceremonies) beginSuccession(office *Tenure, height uint64, m *keygen.Message) (*keygen.State, error) {
	if n := len(c.tenures); n >= maxTenures {
		return nil, fmt.Errorf("%w: %d committees still have something to open, or keys in use; wait until one of them is done", keygen.ErrRetry, n)
	}
	expected := uint32(1)
	if !c.settled() {
		if !c.current.Done() {
			return nil, fmt.Errorf("%w: the ceremony for epoch %d, attempt %d, is %s; wait for its end", keygen.ErrRetry, c.current.Terms().Epoch, c.current.Terms().Attempt, c.current.Phase())
		}
		expected = c.current.Terms().Attempt + 1
	}
	next, err := keygen.BeginSuccession(office.Certificate(), expected, height, m)
	if err != nil {
		return nil, err
	}
	if t := next.Terms(); t.Limits != c.limits {
		return nil, fmt.Errorf("%w: the terms are for limits with hash %x, this chain's have %x", keygen.ErrRetry, t.Limits, c.limits)
	}
	return next, nil
}

// proposals counts those of an identity for the epoch that is being attempted.
func (c ceremonies) proposals(identity [32]byte) (n int) {
	for _, a := range c.past {
		if a.proposer == identity {
			n++
		}
	}
	if c.proposer == identity {
		n++
	}
	return n
}

// same says whether nothing was changed since o; current changes with whatever else does,
// but for the tenures.
func (c ceremonies) same(o ceremonies) bool {
	return c.current == o.current && slices.Equal(c.tenures, o.tenures)
}

const ceremoniesVersion = 2

// encode is what Result.Ceremony holds:
//
//	version (1) | hash over the past before (32) | count of past ceremonies (2) | each: proposer (32), record (4 + n)
//	| count of rotated keys (1) | each: key id (32) | count of tenures (2) | each: tenure
//	| proposer (32) | state of the newest ceremony (4 + n), empty if it is the last tenure's
//	tenure: since (8) | until (8) | key from (8) | key until (8) | state of the ceremony (4 + n)
func (c ceremonies) encode() ([]byte, error) {
	b := append([]byte{ceremoniesVersion}, c.base[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.past)))
	for _, a := range c.past {
		wire, err := a.record.MarshalBinary()
		if err != nil {
			return nil, err
		}
		b = appendBytes(append(b, a.proposer[:]...), wire)
	}
	b = append(b, byte(len(c.rotated)))
	for _, id := range c.rotated {
		b = append(b, id[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.tenures)))
	for _, t := range c.tenures {
		wire, err := t.Ceremony.MarshalBinary()
		if err != nil {
			return nil, err
		}
		b = appendBytes(t.appendSpan(b), wire)
	}
	var current []byte
	if !c.settled() {
		var err error
		if current, err = c.current.MarshalBinary(); err != nil {
			return nil, err
		}
	}
	return appendBytes(append(b, c.proposer[:]...), current), nil
}

func (t *Tenure) appendSpan(b []byte) []byte {
	for _, v := range []uint64{t.Since, t.Until, t.keyFrom, t.keyUntil} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func parseCeremonies(limits [32]byte, b []byte) (ceremonies, error) {
	c := ceremonies{limits: limits}
	r := reader{b: b}
	if r.uint(1) != ceremoniesVersion {
		return c, errors.New("version")
	}
	c.base = [32]byte(r.take(32))
	c.chain = c.base
	for i := range r.uint(2) {
		proposer := [32]byte(r.take(32))
		record, err := keygen.ParseRecord(r.field())
		if err != nil {
			return c, fmt.Errorf("past ceremony %d: %w", i, err)
		}
		if err := c.add(attempt{proposer, record}); err != nil {
			return c, err
		}
	}
	for range r.uint(1) {
		c.rotated = append(c.rotated, threshold.KeyID(r.take(len(threshold.KeyID{}))))
	}
	for i := range r.uint(2) {
		t, err := parseTenure(&r)
		if err != nil {
			return c, fmt.Errorf("tenure %d: %w", i, err)
		}
		c.tenures = append(c.tenures, t)
	}
	c.proposer = [32]byte(r.take(32))
	current := r.field()
	if r.bad || len(r.b) != 0 {
		return c, errors.New("length")
	}
	err := c.restoreCurrent(current)
	return c, err
}

func parseTenure(r *reader) (*Tenure, error) {
	since, until, keyFrom, keyUntil := r.uint(8), r.uint(8), r.uint(8), r.uint(8)
	ceremony, err := keygen.ParseState(r.field())
	if err != nil {
		return nil, err
	}
	if ceremony.Certificate() == nil {
		return nil, fmt.Errorf("its ceremony is %s", ceremony.Phase())
	}
	t := newTenure(ceremony)
	t.Since, t.Until, t.keyFrom, t.keyUntil = since, until, keyFrom, keyUntil
	return t, nil
}

func (c *ceremonies) restoreCurrent(wire []byte) (err error) {
	if len(wire) > 0 {
		c.current, err = keygen.ParseState(wire)
		return err
	}
	office := c.office()
	if office == nil {
		return errors.New("no ceremony")
	}
	c.current = office.Ceremony
	return nil
}
