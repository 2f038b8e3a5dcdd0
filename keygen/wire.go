package keygen

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrEncoding says that bytes are not the one encoding of a value.
var ErrEncoding = errors.New("keygen: not a canonical encoding")

const wireVersion = 1

// reader takes a wire format apart. After a failure everything it gives is
// zero and err stays set, so that callers check once, at the end.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrEncoding, fmt.Sprintf(format, args...))
	}
}

// keep remembers a failure.
func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

// bytes gives the next n bytes, not copied.
func (r *reader) bytes(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		r.fail("truncated")
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) fill(out []byte) { copy(out, r.bytes(len(out))) }

func (r *reader) u8() uint8 {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// count reads the number of items that follow, each at least size bytes long.
func (r *reader) count(size int) int {
	n := int(r.u16())
	if n*size > len(r.b) {
		r.fail("%d items do not fit", n)
		return 0
	}
	return n
}

// bool takes 0 and 1 only.
func (r *reader) bool() bool {
	v := r.u8()
	if v > 1 {
		r.fail("flag is %d", v)
	}
	return v == 1
}

// text reads a length byte and as many bytes.
func (r *reader) text() string { return string(r.bytes(int(r.u8()))) }

// block reads a four-byte length and as many bytes.
func (r *reader) block() []byte {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)) {
		r.fail("truncated")
		return nil
	}
	return r.bytes(int(n))
}

func (r *reader) version() { r.versionIs(wireVersion) }

func (r *reader) versionIs(want uint8) {
	if v := r.u8(); r.err == nil && v != want {
		r.fail("version %d is not known, only %d", v, want)
	}
}

// end checks that nothing follows.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes follow", len(r.b))
	}
	return r.err
}

func appendText(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func appendBlock(b, block []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(block))), block...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// hexBytes is bytes in JSON: "0x" and lower-case digits.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte("0x" + hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), "0x")
	if !ok {
		return errors.New(`keygen: bytes are written in hex after "0x"`)
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return fmt.Errorf("keygen: %w", err)
	}
	*h = b
	return nil
}

// unmarshalStrict refuses unknown fields.
func unmarshalStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
