package v1

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Hex is bytes as "0x" and lower-case digits. A nil Hex is JSON null, an empty
// one is "0x": use [HexOf] where empty bytes are a value.
type Hex []byte

// ErrHex is given for text that is not the one encoding of some bytes.
var ErrHex = errors.New(`v1: hex must be "0x" and an even number of the digits 0-9, a-f`)

// HexOf is b, never nil.
func HexOf(b []byte) Hex {
	if b == nil {
		return Hex{}
	}
	return Hex(b)
}

// ParseHex parses "0x..." strictly: lower case, even length, nothing else.
func ParseHex(s string) (Hex, error) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok {
		return nil, fmt.Errorf("%w: the 0x is missing", ErrHex)
	}
	if len(digits)%2 != 0 {
		return nil, fmt.Errorf("%w: %d digits is an odd number", ErrHex, len(digits))
	}
	for i := range len(digits) {
		if c := digits[i]; !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return nil, fmt.Errorf("%w: character %d is none of them", ErrHex, i+3)
		}
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHex, err)
	}
	return Hex(b), nil
}

// String is the "0x..." form.
func (h Hex) String() string { return "0x" + hex.EncodeToString(h) }

// MarshalJSON writes "0x...", or null for nil.
func (h Hex) MarshalJSON() ([]byte, error) {
	if h == nil {
		return []byte("null"), nil
	}
	out := make([]byte, 0, 2*len(h)+4)
	out = append(out, `"0x`...)
	out = hex.AppendEncode(out, h)
	return append(out, '"'), nil
}

// UnmarshalJSON reads "0x..." or null.
func (h *Hex) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*h = nil
		return nil
	}
	// The digits need no JSON escapes, and one encoding is enough.
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return ErrHex
	}
	v, err := ParseHex(string(b[1 : len(b)-1]))
	if err != nil {
		return err
	}
	*h = v
	return nil
}

// Time is a moment, in UTC with milliseconds, as "2006-01-02T15:04:05.000Z".
type Time struct{ t time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// ErrTime is given for text that is not a Time.
var ErrTime = errors.New("v1: time must be of the form 2006-01-02T15:04:05.000Z")

// TimeOf is t to the millisecond.
func TimeOf(t time.Time) Time { return UnixMilli(t.UnixMilli()) }

// UnixMilli is the Time ms milliseconds after 1970.
func UnixMilli(ms int64) Time { return Time{time.UnixMilli(ms).UTC()} }

// UnixMilli is the number of milliseconds since 1970.
func (t Time) UnixMilli() int64 { return t.t.UnixMilli() }

// Time is the moment as the standard library has it.
func (t Time) Time() time.Time { return t.t }

// String is the one form of the moment.
func (t Time) String() string { return t.t.UTC().Format(timeLayout) }

// MarshalText writes the one form.
func (t Time) MarshalText() ([]byte, error) {
	if y := t.t.UTC().Year(); y < 0 || y > 9999 {
		return nil, fmt.Errorf("%w: year %d", ErrTime, y)
	}
	return []byte(t.String()), nil
}

// UnmarshalText reads the one form.
func (t *Time) UnmarshalText(b []byte) error {
	v, err := time.Parse(timeLayout, string(b))
	if err != nil || v.Format(timeLayout) != string(b) {
		return ErrTime
	}
	*t = Time{v.UTC()}
	return nil
}

// Cursor is a place in the ordered stream: everything up to and including the
// transaction at Place in the order of execution of the batch of Height. The zero Cursor is the
// beginning. Its text is "<height>-<place>".
type Cursor struct {
	Height uint64
	Place  uint32
}

// MaxInteger bounds every integer of the API: it is exact in a float64.
const MaxInteger = 1<<53 - 1

// ErrCursor is given for text that is not a Cursor.
var ErrCursor = errors.New("v1: cursor must be the next value of an earlier page, as 17-3")

// ParseCursor parses "<height>-<place>": decimal, no leading zeros or signs.
func ParseCursor(s string) (Cursor, error) {
	height, place, ok := strings.Cut(s, "-")
	if !ok {
		return Cursor{}, ErrCursor
	}
	h, err := ParseInteger(height, MaxInteger)
	if err != nil {
		return Cursor{}, ErrCursor
	}
	p, err := ParseInteger(place, 1<<32-1)
	if err != nil {
		return Cursor{}, ErrCursor
	}
	return Cursor{h, uint32(p)}, nil
}

// ParseInteger parses a decimal number of at most max: digits only, no leading zeros.
func ParseInteger(s string, max uint64) (uint64, error) {
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || v > max || strconv.FormatUint(v, 10) != s {
		return 0, fmt.Errorf("v1: %.40q is not a decimal number of at most %d", s, max)
	}
	return v, nil
}

// String is "<height>-<place>".
func (c Cursor) String() string { return fmt.Sprintf("%d-%d", c.Height, c.Place) }

// MarshalText writes "<height>-<place>".
func (c Cursor) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads "<height>-<place>".
func (c *Cursor) UnmarshalText(b []byte) error {
	v, err := ParseCursor(string(b))
	if err != nil {
		return err
	}
	*c = v
	return nil
}
