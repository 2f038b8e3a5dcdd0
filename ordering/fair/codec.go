package fair

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
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

// decoder reads canonical bytes. The first failure sticks, and every later read gives zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrEncoding}, args...)...)
		d.b = nil
	}
}

// bytes gives the next n bytes without copying them.
func (d *decoder) bytes(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.b) {
		d.fail("%d bytes are missing", n-len(d.b))
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) into(dst []byte) { copy(dst, d.bytes(len(dst))) }

func (d *decoder) uint(size int) (v uint64) {
	for _, c := range d.bytes(size) {
		v = v<<8 | uint64(c)
	}
	return v
}

// count reads a number of items of at least size bytes each; it is at most max, and they are there.
func (d *decoder) count(bytes, max, size int) int {
	n := d.uint(bytes)
	switch {
	case n > uint64(max):
		d.fail("%d items, at most %d allowed", n, max)
	case int(n)*size > len(d.b):
		d.fail("%d items are announced and not there", n)
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

func (d *decoder) version() {
	if v := d.uint(1); d.err == nil && v != version {
		d.fail("version %d, want %d", v, version)
	}
}

func (d *decoder) chainID() string {
	s := string(d.bytes(int(d.uint(1))))
	if d.err == nil {
		if err := threshold.ValidChainID(s); err != nil {
			d.fail("%v", err)
		}
	}
	return s
}

func (d *decoder) id() (id threshold.ID) {
	d.into(id[:])
	return id
}

func (d *decoder) hash() (h commitreveal.Hash) {
	d.into(h[:])
	return h
}

// end is the error of the whole decoding; bytes left over are one.
func (d *decoder) end() error {
	if len(d.b) > 0 {
		d.fail("%d bytes left over", len(d.b))
	}
	return d.err
}

// log reads distinct indexes below ids, at most max, and counts them.
func (d *decoder) log(max int, counts []int) []uint32 {
	n := d.count(4, max, 4)
	log := make([]uint32, 0, n)
	held := newBitset(len(counts))
	for range n {
		x := d.uint(4)
		if d.err == nil && (x >= uint64(len(counts)) || held.has(int(x))) {
			d.fail("index %d of %d, or twice in a log", x, len(counts))
		}
		if d.err != nil {
			return nil
		}
		held.set(int(x))
		counts[x]++
		log = append(log, uint32(x))
	}
	return log
}

func appendLog(b []byte, log []uint32) []byte {
	b = appendUint32(b, len(log))
	for _, x := range log {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return b
}

// AppendBinary appends the state's canonical encoding. The parameters are not in it: they are the genesis'.
func (s State) AppendBinary(b []byte) ([]byte, error) {
	if s.params.Members == 0 {
		return nil, fmt.Errorf("%w: the zero state", ErrInvalid)
	}
	b = appendUint64(append(b, version), s.height)
	b = appendUint32(b, len(s.ids))
	for _, l := range s.ids {
		b = append(b, l.id[:]...)
		b = appendUint64(appendUint64(appendUint64(b, l.first), l.nonblank), l.solid)
	}
	b = appendUint16(b, len(s.members))
	for _, m := range s.members {
		b = appendUint64(append(b, m.head[:]...), m.sequence)
		b = appendLog(b, m.live)
	}
	return b, nil
}

// MarshalBinary is AppendBinary to nothing.
func (s State) MarshalBinary() ([]byte, error) { return s.AppendBinary(nil) }

// ParseState is the inverse of [State.MarshalBinary] for a chain with these parameters. It refuses what no
// sequence of steps leads to as far as the bytes alone tell.
func ParseState(p Params, b []byte) (State, error) {
	if err := p.Validate(); err != nil {
		return State{}, err
	}
	d := &decoder{b: b}
	d.version()
	s := State{params: p, height: d.uint(8)}
	n := d.count(4, p.Members*p.MaxLive, liveIDSize)
	s.ids = make([]liveID, n)
	for i := range s.ids {
		s.ids[i] = liveID{d.id(), d.uint(8), d.uint(8), d.uint(8)}
	}
	if m := d.uint(2); d.err == nil && m != uint64(p.Members) {
		d.fail("logs of %d members, want %d", m, p.Members)
	}
	s.members = make([]memberLog, p.Members)
	counts := make([]int, n)
	for i := range s.members {
		s.members[i] = memberLog{d.hash(), d.uint(8), d.log(p.MaxLive, counts)}
	}
	if err := d.end(); err != nil {
		return State{}, fmt.Errorf("parse state: %w", err)
	}
	if err := s.consistent(counts); err != nil {
		return State{}, fmt.Errorf("parse state: %w: %w", ErrEncoding, err)
	}
	return s, nil
}

const liveIDSize = 32 + 3*8

func (s State) consistent(counts []int) error {
	for i, l := range s.ids {
		happened := func(height, before uint64, is bool) bool {
			return is == (height != 0) && (!is || before <= height && height <= s.height)
		}
		switch {
		case i > 0 && compareIDs(s.ids[i-1].id, l.id) >= 0:
			return fmt.Errorf("id %d is not above the one before", i)
		case !happened(l.first, 1, counts[i] > 0),
			!happened(l.nonblank, l.first, counts[i] >= s.params.Tau()),
			!happened(l.solid, l.nonblank, counts[i] >= s.params.Solid):
			return fmt.Errorf("id %d in %d logs cannot have the heights %d, %d, %d", i, counts[i], l.first, l.nonblank, l.solid)
		}
	}
	for i, m := range s.members {
		if uint64(len(m.live)) > m.sequence || (m.sequence == 0) != (m.head == commitreveal.Hash{}) {
			return fmt.Errorf("log of member %d: %d ids of %d, head %v", i+1, len(m.live), m.sequence, m.head)
		}
	}
	return nil
}

// MarshalBinary gives the frame's canonical encoding.
func (f *Frame) MarshalBinary() ([]byte, error) {
	b := []byte{version, 0}
	if f.Forced {
		b[1] = 1
	}
	b = appendUint32(b, len(f.IDs))
	for _, id := range f.IDs {
		b = append(b, id[:]...)
	}
	b = appendUint16(b, len(f.Logs))
	for _, log := range f.Logs {
		b = appendLog(b, log)
	}
	return b, nil
}

// ParseFrame is the inverse of [Frame.MarshalBinary] for a chain with these parameters. It refuses a frame that no
// step makes as far as the bytes alone tell: with none or an unsolid id, for instance.
func ParseFrame(p Params, b []byte) (*Frame, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	d := &decoder{b: b}
	d.version()
	forced := d.uint(1)
	if forced > 1 {
		d.fail("forced is %d", forced)
	}
	n := d.count(4, p.Members*p.MaxLive, len(threshold.ID{}))
	f := &Frame{Forced: forced == 1, IDs: make([]threshold.ID, n)}
	for i := range f.IDs {
		f.IDs[i] = d.id()
		if i > 0 && compareIDs(f.IDs[i-1], f.IDs[i]) >= 0 {
			d.fail("id %d is not above the one before", i)
		}
	}
	if m := d.uint(2); d.err == nil && m != uint64(p.Members) {
		d.fail("logs of %d members, want %d", m, p.Members)
	}
	f.Logs = make([][]uint32, p.Members)
	counts := make([]int, n)
	for i := range f.Logs {
		f.Logs[i] = d.log(p.MaxLive, counts)
	}
	if n == 0 {
		d.fail("no ids")
	}
	for i, c := range counts {
		if c < p.Solid {
			d.fail("id %d is in %d logs, not solid", i, c)
		}
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("parse frame: %w", err)
	}
	return f, nil
}
