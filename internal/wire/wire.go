// Package wire reads the strict binary formats of the pure packages: every value has one encoding, integers are big-endian.
//
//	r := wire.NewReader(b, ErrEncoding)
//	r.Version(1)
//	v := T{Height: r.Uint64(), Name: r.Text(), Items: make([]Item, r.Count(2, maxItems, itemSize))}
//	err := r.End()                        // of all that was read; bytes left over are one
//
// The first failure sticks, and every later read gives zero, so that callers check once, at the end. Nothing is allocated by a
// length that the bytes only announce. It knows no format: those are in docs/spec, and their decoders where their types are.
package wire

import "fmt"

// Reader takes bytes apart from the front.
type Reader struct {
	rest     []byte
	encoding error
	err      error
}

// NewReader reads b, which it never changes. Failures wrap the error encoding.
func NewReader(b []byte, encoding error) Reader { return Reader{rest: b, encoding: encoding} }

// Err is the first failure, nil so far.
func (r *Reader) Err() error { return r.err }

// OK reports whether nothing has failed so far.
func (r *Reader) OK() bool { return r.err == nil }

// Left is the number of bytes that are not read; 0 after a failure.
func (r *Reader) Left() int { return len(r.rest) }

// Fail says why the bytes are no encoding, as [fmt.Errorf] would, unless something has failed before.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.Keep(fmt.Errorf("%w: "+format, append([]any{r.encoding}, args...)...))
	}
}

// Keep makes an error the failure, unless it is nil or there is one.
func (r *Reader) Keep(err error) {
	if r.err == nil && err != nil {
		r.err, r.rest = err, nil
	}
}

// Bytes gives the next n bytes without copying them, nil if they are not there.
func (r *Reader) Bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.Fail("%d bytes are missing", n-len(r.rest))
		return nil
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
}

// Fill copies as many bytes as out is long.
func (r *Reader) Fill(out []byte) { copy(out, r.Bytes(len(out))) }

// Uint reads an integer of 1 to 8 bytes.
func (r *Reader) Uint(size int) (v uint64) {
	for _, c := range r.Bytes(size) {
		v = v<<8 | uint64(c)
	}
	return v
}

// Byte reads one byte.
func (r *Reader) Byte() byte { return byte(r.Uint(1)) }

// Uint16 reads two bytes.
func (r *Reader) Uint16() uint16 { return uint16(r.Uint(2)) }

// Uint32 reads four bytes.
func (r *Reader) Uint32() uint32 { return uint32(r.Uint(4)) }

// Uint64 reads eight bytes.
func (r *Reader) Uint64() uint64 { return r.Uint(8) }

// Flag reads a byte that is 0 or 1.
func (r *Reader) Flag() bool {
	v := r.Byte()
	if v > 1 {
		r.Fail("flag is %d", v)
	}
	return v == 1
}

// Count reads, in so many bytes, the number of items that follow, each of at least size bytes. It is at most max, and they are
// there.
func (r *Reader) Count(bytes, max, size int) int {
	n := r.Uint(bytes)
	switch {
	case n > uint64(max):
		r.Fail("%d items, at most %d allowed", n, max)
	case n*uint64(size) > uint64(len(r.rest)):
		r.Fail("%d items are announced and not there", n)
	default:
		return int(n)
	}
	return 0
}

// Block reads a four-byte length of at most max, and gives so many bytes without copying them.
func (r *Reader) Block(max int) []byte {
	n := r.Uint(4)
	if n > uint64(max) {
		r.Fail("%d bytes, at most %d allowed", n, max)
		return nil
	}
	return r.Bytes(int(n))
}

// Text reads a length byte and so many bytes.
func (r *Reader) Text() string { return string(r.Bytes(int(r.Byte()))) }

// Literal reads bytes that can only be s.
func (r *Reader) Literal(s string) {
	if got := r.Bytes(len(s)); r.err == nil && string(got) != s {
		r.Fail("not %q", s)
	}
}

// Version reads a byte that can only be want.
func (r *Reader) Version(want byte) {
	if v := r.Byte(); v != want {
		r.Fail("version %d, want %d", v, want)
	}
}

// End is the failure of the whole reading; bytes left over are one.
func (r *Reader) End() error {
	if len(r.rest) > 0 {
		r.Fail("%d bytes left over", len(r.rest))
	}
	return r.err
}
