package fair

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/wire"
	"github.com/scrimlabs/scrim/threshold"
)

// ErrEncoding: the bytes are not the canonical encoding of any value.
var ErrEncoding = errors.New("fair: not a canonical encoding")

// ErrInvalid: a value breaks a rule of its type and has no encoding.
var ErrInvalid = errors.New("fair: invalid value")

// version is the version byte of every format of this package.
const version = 1

func appendUint16(b []byte, v int) []byte    { return binary.BigEndian.AppendUint16(b, uint16(v)) }
func appendUint32(b []byte, v int) []byte    { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func appendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// appendTime appends 6 bytes, which MaxTime fits into.
func appendTime(b []byte, t uint64) []byte { return appendUint32(appendUint16(b, int(t>>32)), int(t)) }

// decoder reads canonical bytes.
type decoder struct{ wire.Reader }

func newDecoder(b []byte) *decoder { return &decoder{wire.NewReader(b, ErrEncoding)} }

func (d *decoder) chainID() string {
	s := string(d.Bytes(int(d.Uint(1))))
	if d.OK() {
		if err := threshold.ValidChainID(s); err != nil {
			d.Fail("%v", err)
		}
	}
	return s
}

func (d *decoder) id() (id threshold.ID) {
	d.Fill(id[:])
	return id
}

func (d *decoder) hash() (h commitreveal.Hash) {
	d.Fill(h[:])
	return h
}

// log reads distinct indexes below ids, at most max, and counts them; with times, which do not fall, in the second rule.
func (d *decoder) log(r Rule, max int, counts []int) (log []uint32, at []uint64) {
	size := 4
	if r == ReceiveTime {
		size += 8
	}
	n := d.Count(4, max, size)
	log = make([]uint32, 0, n)
	held := newBitset(len(counts))
	for range n {
		x := d.Uint(4)
		if d.OK() && (x >= uint64(len(counts)) || held.has(int(x))) {
			d.Fail("index %d of %d, or twice in a log", x, len(counts))
		}
		if r == ReceiveTime {
			at = append(at, d.Uint(8))
		}
		if !d.OK() {
			return nil, nil
		}
		held.set(int(x))
		counts[x]++
		log = append(log, uint32(x))
	}
	if !slices.IsSorted(at) {
		d.Fail("times fall in a log")
	}
	return log, at
}

func appendLog(b []byte, log []uint32, at []uint64) []byte {
	b = appendUint32(b, len(log))
	for i, x := range log {
		b = binary.BigEndian.AppendUint32(b, x)
		if at != nil {
			b = appendUint64(b, at[i])
		}
	}
	return b
}

// AppendBinary appends the state's canonical encoding. The parameters are not in it: they are the genesis'.
func (s logs) AppendBinary(b []byte) ([]byte, error) {
	if s.params.Members == 0 {
		return nil, fmt.Errorf("%w: the zero state", ErrInvalid)
	}
	timed := s.rule == ReceiveTime
	b = appendUint64(append(b, version), s.height)
	b = appendUint32(b, len(s.ids))
	for _, l := range s.ids {
		b = appendUint64(append(b, l.id[:]...), l.first)
		if timed {
			b = appendUint64(appendUint64(b, l.solid), l.key)
		} else {
			b = appendUint64(appendUint64(b, l.nonblank), l.solid)
		}
	}
	b = appendUint16(b, len(s.members))
	for _, m := range s.members {
		b = append(b, m.Head[:]...)
		if timed {
			b = append(b, m.Times[:]...)
		}
		b = appendUint64(b, m.Sequence)
		if timed {
			b = appendUint64(b, m.Watermark)
		}
		b = appendLog(b, m.live, m.at)
	}
	return b, nil
}

// MarshalBinary is AppendBinary to nothing.
func (s logs) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

// ParseState is the inverse of [State.MarshalBinary] for a chain with these parameters. It refuses what no
// sequence of steps leads to as far as the bytes alone tell.
func ParseState(p Params, b []byte) (State, error) {
	l, err := parseLogs(ReceiveOrder, p, b)
	return State{l}, err
}

// ParseTimedState is the inverse of [TimedState.MarshalBinary], as [ParseState] is.
func ParseTimedState(p Params, b []byte) (TimedState, error) {
	l, err := parseLogs(ReceiveTime, p, b)
	if err != nil {
		return TimedState{}, err
	}
	s := TimedState{l}
	if err := s.keysPossible(); err != nil {
		return TimedState{}, fmt.Errorf("parse state: %w: %w", ErrEncoding, err)
	}
	return s, nil
}

const liveIDSize = 32 + 3*8

func parseLogs(r Rule, p Params, b []byte) (logs, error) {
	d := newDecoder(b)
	d.Version(version)
	s, err := begin(r, p, d.Uint(8))
	if err != nil {
		return logs{}, err
	}
	s.ids = make([]liveID, d.Count(4, p.Members*p.MaxLive, liveIDSize))
	for i := range s.ids {
		l := &s.ids[i]
		if l.id, l.first = d.id(), d.Uint(8); r == ReceiveTime {
			l.solid, l.key = d.Uint(8), d.Uint(8)
		} else {
			l.nonblank, l.solid = d.Uint(8), d.Uint(8)
		}
	}
	d.members(p)
	counts := make([]int, len(s.ids))
	for i := range s.members {
		m := &s.members[i]
		m.Head = d.hash()
		if r == ReceiveTime {
			m.Times = d.hash()
		}
		m.Sequence = d.Uint(8)
		if r == ReceiveTime {
			m.Watermark = d.Uint(8)
		}
		m.live, m.at = d.log(r, p.MaxLive, counts)
	}
	if err := d.End(); err != nil {
		return logs{}, fmt.Errorf("parse state: %w", err)
	}
	if err := s.consistent(counts); err != nil {
		return logs{}, fmt.Errorf("parse state: %w: %w", ErrEncoding, err)
	}
	return s, nil
}

// members reads the number of logs.
func (d *decoder) members(p Params) {
	if m := d.Uint(2); d.OK() && m != uint64(p.Members) {
		d.Fail("logs of %d members, want %d", m, p.Members)
	}
}

func (s logs) consistent(counts []int) error {
	for i, l := range s.ids {
		happened := func(height, before uint64, is bool) bool {
			return is == (height != 0) && (!is || before <= height && height <= s.height)
		}
		possible := counts[i] > 0 && happened(l.first, 1, true)
		if s.rule == ReceiveTime {
			possible = possible && happened(l.solid, l.first, counts[i] >= s.params.Freezes())
		} else {
			possible = possible && happened(l.nonblank, l.first, counts[i] >= s.params.Tau()) && happened(l.solid, l.nonblank, counts[i] >= s.params.Solid)
		}
		switch {
		case i > 0 && compareIDs(s.ids[i-1].id, l.id) >= 0:
			return fmt.Errorf("id %d is not above the one before", i)
		case !possible:
			return fmt.Errorf("id %d in %d logs cannot have the heights %d, %d, %d", i, counts[i], l.first, l.nonblank, l.solid)
		}
	}
	zero := commitreveal.Hash{}
	for i, m := range s.members {
		if uint64(len(m.live)) > m.Sequence || (m.Sequence == 0) != (m.Head == zero) || (m.Sequence == 0 || s.rule == ReceiveOrder) != (m.Times == zero) || !rise(0, m.at, m.Watermark) {
			return fmt.Errorf("log of member %d: %d ids of %d, head %v, times %v until %d", i+1, len(m.live), m.Sequence, m.Head, m.Times, m.Watermark)
		}
	}
	return nil
}

// appendFrame encodes the beginning of a frame: all of it in the second rule, where each id has a key.
func appendFrame(forced bool, ids []threshold.ID, keys []uint64) []byte {
	b := []byte{version, 0}
	if forced {
		b[1] = 1
	}
	b = appendUint32(b, len(ids))
	for i, id := range ids {
		b = append(b, id[:]...)
		if keys != nil {
			b = appendUint64(b, keys[i])
		}
	}
	return b
}

// frame reads what appendFrame wrote.
func (d *decoder) frame(r Rule, p Params) (forced bool, ids []threshold.ID, keys []uint64) {
	d.Version(version)
	f := d.Uint(1)
	if f > 1 {
		d.Fail("forced is %d", f)
	}
	size := len(threshold.ID{})
	if r == ReceiveTime {
		size += 8
	}
	n := d.Count(4, p.Members*p.MaxLive, size)
	if n == 0 {
		d.Fail("no ids")
	}
	ids = make([]threshold.ID, n)
	for i := range ids {
		if ids[i] = d.id(); i > 0 && compareIDs(ids[i-1], ids[i]) >= 0 {
			d.Fail("id %d is not above the one before", i)
		}
		if r == ReceiveTime {
			keys = append(keys, d.Uint(8))
			if keys[i] > MaxTime {
				d.Fail("the key of id %d is too large", i)
			}
		}
	}
	return f == 1, ids, keys
}

// MarshalBinary gives the frame's canonical encoding.
func (f *Frame) MarshalBinary() ([]byte, error) {
	b := appendUint16(appendFrame(f.Forced, f.IDs, nil), len(f.Logs))
	for _, log := range f.Logs {
		b = appendLog(b, log, nil)
	}
	return b, nil
}

// ParseFrame is the inverse of [Frame.MarshalBinary] for a chain with these parameters. It refuses a frame that no
// step makes as far as the bytes alone tell: with none or an unsolid id, for instance.
func ParseFrame(p Params, b []byte) (*Frame, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	d := newDecoder(b)
	f := &Frame{Logs: make([][]uint32, p.Members)}
	f.Forced, f.IDs, _ = d.frame(ReceiveOrder, p)
	d.members(p)
	counts := make([]int, len(f.IDs))
	for i := range f.Logs {
		f.Logs[i], _ = d.log(ReceiveOrder, p.MaxLive, counts)
	}
	for i, c := range counts {
		if c < p.Solid {
			d.Fail("id %d is in %d logs, not solid", i, c)
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse frame: %w", err)
	}
	return f, nil
}

// MarshalBinary gives the frame's canonical encoding.
func (f *TimedFrame) MarshalBinary() ([]byte, error) {
	if len(f.IDs) != len(f.Keys) {
		return nil, fmt.Errorf("marshal timed frame: %w: %d keys of %d ids", ErrInvalid, len(f.Keys), len(f.IDs))
	}
	return appendFrame(f.Forced, f.IDs, f.Keys), nil
}

// ParseTimedFrame is the inverse of [TimedFrame.MarshalBinary] for a chain with these parameters.
func ParseTimedFrame(p Params, b []byte) (*TimedFrame, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	d := newDecoder(b)
	f := &TimedFrame{}
	f.Forced, f.IDs, f.Keys = d.frame(ReceiveTime, p)
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse timed frame: %w", err)
	}
	return f, nil
}
