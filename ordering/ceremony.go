package ordering

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/keygen"
)

// ceremonies are the one that counts and those before it that came to nothing. A value:
// what it points to is never changed.
type ceremonies struct {
	current *keygen.State
	past    []*keygen.Record // oldest first
	chain   [32]byte         // hash over past, for the app hash
}

const domainPast = "scrim/past-ceremonies/v1"

// add puts a ceremony to the past:
//
//	chain = SHA-256(domain | chain before, zeros at first | record)
func (c *ceremonies) add(r *keygen.Record) error {
	wire, err := r.MarshalBinary()
	if err != nil {
		return err
	}
	h := sha256.New()
	h.Write([]byte(domainPast))
	h.Write(c.chain[:])
	h.Write(wire)
	c.past = append(c.past[:len(c.past):len(c.past)], r)
	c.chain = [32]byte(h.Sum(nil))
	return nil
}

// step folds an event into the ceremony. A proposal of a new attempt puts the one before
// to the past and begins the next.
func (c ceremonies) step(e keygen.Event) (ceremonies, []keygen.Effect, error) {
	if e.Message == nil || e.Message.Kind != keygen.KindProposal {
		next, effects, err := keygen.Step(c.current, e)
		c.current = next
		return c, effects, err
	}
	next, err := c.retry(e.Height, e.Message)
	if err != nil {
		return c, nil, err
	}
	if err := c.add(c.current.Record()); err != nil {
		return c, nil, err
	}
	c.current = next
	return c, nil, nil
}

// admit says whether a block of the height could take the message.
func (c ceremonies) admit(height uint64, m *keygen.Message) error {
	if m.Kind != keygen.KindProposal {
		return c.current.Admit(m)
	}
	_, err := c.retry(height, m)
	return err
}

// maxPast bounds what one member can add to the state by proposing and rejecting.
const maxPast = 255

func (c ceremonies) retry(height uint64, m *keygen.Message) (*keygen.State, error) {
	if len(c.past) >= maxPast {
		return nil, fmt.Errorf("ordering: this chain has held %d ceremonies in vain; begin a new chain", maxPast+1)
	}
	return keygen.BeginRetry(c.current, height, m)
}

const ceremoniesVersion = 1

// encode is what Result.Ceremony holds:
//
//	version (1) | count of past ceremonies (2) | each: record (4 + n) | state of the current one (4 + n)
func (c ceremonies) encode() ([]byte, error) {
	b := binary.BigEndian.AppendUint16([]byte{ceremoniesVersion}, uint16(len(c.past)))
	for _, r := range c.past {
		wire, err := r.MarshalBinary()
		if err != nil {
			return nil, err
		}
		b = appendBytes(b, wire)
	}
	wire, err := c.current.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return appendBytes(b, wire), nil
}

func parseCeremonies(b []byte) (c ceremonies, err error) {
	r := reader{b: b}
	if r.uint(1) != ceremoniesVersion {
		return c, errors.New("version")
	}
	for i := range r.uint(2) {
		record, err := keygen.ParseRecord(r.field())
		if err != nil {
			return c, fmt.Errorf("past ceremony %d: %w", i, err)
		}
		if err := c.add(record); err != nil {
			return c, err
		}
	}
	if c.current, err = keygen.ParseState(r.field()); err != nil {
		return c, err
	}
	if r.bad || len(r.b) != 0 {
		return c, errors.New("length")
	}
	return c, nil
}
