package fair

import (
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// AppendBinary appends the state's canonical encoding. The parameters are not in it: they are the genesis'.
func (s TimedState) AppendBinary(b []byte) ([]byte, error) {
	if s.params.Members == 0 {
		return nil, fmt.Errorf("%w: the zero state", ErrInvalid)
	}
	b = appendUint64(append(b, version), s.height)
	b = appendUint32(b, len(s.ids))
	for _, l := range s.ids {
		b = append(b, l.id[:]...)
		b = appendUint64(appendUint64(appendUint64(b, l.first), l.frozen), l.key)
	}
	b = appendUint16(b, len(s.members))
	for _, m := range s.members {
		b = append(append(b, m.head[:]...), m.times[:]...)
		b = appendUint32(appendUint64(appendUint64(b, m.sequence), m.watermark), len(m.live))
		for _, e := range m.live {
			b = appendUint64(appendUint32(b, int(e.index)), e.at)
		}
	}
	return b, nil
}

// MarshalBinary is AppendBinary to nothing.
func (s TimedState) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

const (
	timedIDSize = 32 + 3*8
	stampSize   = 4 + 8
)

// ParseTimedState is the inverse of [TimedState.MarshalBinary] for a chain with these parameters. It refuses what no
// sequence of steps leads to as far as the bytes alone tell.
func ParseTimedState(p Params, b []byte) (TimedState, error) {
	if err := p.Validate(); err != nil {
		return TimedState{}, err
	}
	d := &decoder{b: b}
	d.version()
	s := TimedState{params: p, height: d.uint(8)}
	s.ids = make([]timedID, d.count(4, p.Members*p.MaxLive, timedIDSize))
	for i := range s.ids {
		s.ids[i] = timedID{d.id(), d.uint(8), d.uint(8), d.uint(8)}
	}
	if m := d.uint(2); d.err == nil && m != uint64(p.Members) {
		d.fail("logs of %d members, want %d", m, p.Members)
	}
	s.members = make([]timedLog, p.Members)
	for i := range s.members {
		m := &s.members[i]
		*m = timedLog{head: d.hash(), times: d.hash(), sequence: d.uint(8), watermark: d.uint(8)}
		m.live = d.stamps(p.MaxLive, len(s.ids))
	}
	if err := d.end(); err != nil {
		return TimedState{}, fmt.Errorf("parse timed state: %w", err)
	}
	if err := s.consistent(); err != nil {
		return TimedState{}, fmt.Errorf("parse timed state: %w: %w", ErrEncoding, err)
	}
	return s, nil
}

// stamps reads entries of distinct indexes below ids and of times that do not fall.
func (d *decoder) stamps(max, ids int) []stamp {
	live := make([]stamp, d.count(4, max, stampSize))
	held := newBitset(ids)
	var last uint64
	for i := range live {
		x, at := d.uint(4), d.uint(8)
		switch {
		case d.err != nil:
			return nil
		case x >= uint64(ids) || held.has(int(x)):
			d.fail("index %d of %d, or twice in a log", x, ids)
			return nil
		case at < last:
			d.fail("time %d after %d", at, last)
			return nil
		}
		held.set(int(x))
		last = at
		live[i] = stamp{uint32(x), at}
	}
	return live
}

func (s TimedState) consistent() error {
	for i, m := range s.members {
		switch {
		case uint64(len(m.live)) > m.sequence || m.watermark > MaxTime || len(m.live) > 0 && m.live[len(m.live)-1].at > m.watermark,
			(m.sequence == 0) != (m.head == commitreveal.Hash{}), (m.sequence == 0) != (m.times == commitreveal.Hash{}):
			return fmt.Errorf("log of member %d: %d ids of %d, watermark %d", i+1, len(m.live), m.sequence, m.watermark)
		}
	}
	for x, row := range s.times() {
		l := &s.ids[x]
		held, possible := 0, false
		for _, t := range row {
			if t != noTime {
				held++
				possible = possible || t == l.key
			}
		}
		frozen := l.frozen != 0
		switch {
		case x > 0 && compareIDs(s.ids[x-1].id, l.id) >= 0:
			return fmt.Errorf("id %d is not above the one before", x)
		case held == 0 || l.first == 0 || l.first > s.height,
			frozen != (held >= s.params.Freezes()),
			frozen && (l.frozen < l.first || l.frozen > s.height || !possible),
			!frozen && l.key != 0:
			return fmt.Errorf("id %d in %d logs cannot have the heights %d, %d and the key %d", x, held, l.first, l.frozen, l.key)
		}
	}
	return nil
}

// MarshalBinary gives the frame's canonical encoding.
func (f *TimedFrame) MarshalBinary() ([]byte, error) {
	if len(f.IDs) != len(f.Keys) {
		return nil, fmt.Errorf("marshal timed frame: %w: %d keys of %d ids", ErrInvalid, len(f.Keys), len(f.IDs))
	}
	b := []byte{version, 0}
	if f.Forced {
		b[1] = 1
	}
	b = appendUint32(b, len(f.IDs))
	for i, id := range f.IDs {
		b = appendUint64(append(b, id[:]...), f.Keys[i])
	}
	return b, nil
}

// ParseTimedFrame is the inverse of [TimedFrame.MarshalBinary] for a chain with these parameters.
func ParseTimedFrame(p Params, b []byte) (*TimedFrame, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	d := &decoder{b: b}
	d.version()
	forced := d.uint(1)
	if forced > 1 {
		d.fail("forced is %d", forced)
	}
	n := d.count(4, p.Members*p.MaxLive, len(threshold.ID{})+8)
	f := &TimedFrame{Forced: forced == 1, IDs: make([]threshold.ID, n), Keys: make([]uint64, n)}
	for i := range n {
		f.IDs[i], f.Keys[i] = d.id(), d.uint(8)
		if i > 0 && compareIDs(f.IDs[i-1], f.IDs[i]) >= 0 || f.Keys[i] > MaxTime {
			d.fail("id %d is not above the one before, or its key is too large", i)
		}
	}
	if n == 0 {
		d.fail("no ids")
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("parse timed frame: %w", err)
	}
	return f, nil
}
