package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

var errTest = errors.New("test: not an encoding")

// sample has one of each thing.
var sample = []byte("\x07\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x01lit\x02ab\x00\x00\x00\x03xyz\x00\x02ABCD")

func read(r *Reader) (sum []byte) {
	r.Version(7)
	sum = binary.BigEndian.AppendUint64(sum, r.Uint64())
	sum = binary.BigEndian.AppendUint32(sum, r.Uint32())
	sum = binary.BigEndian.AppendUint16(sum, r.Uint16())
	sum = append(sum, r.Byte())
	if r.Flag() {
		sum = append(sum, 1)
	}
	r.Literal("lit")
	sum = append(sum, r.Text()...)
	sum = append(sum, r.Block(3)...)
	for range r.Count(2, 2, 2) {
		item := [2]byte{}
		r.Fill(item[:])
		sum = append(sum, item[:]...)
	}
	return sum
}

func TestReads(t *testing.T) {
	r := NewReader(sample, errTest)
	want := "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x01abxyzABCD"
	if got := read(&r); string(got) != want || !r.OK() || r.Left() != 0 || r.End() != nil {
		t.Errorf("%q, %v", got, r.End())
	}
}

// Whatever is cut off, or comes after, is a failure, and after it everything is zero.
func TestEveryCutFails(t *testing.T) {
	for n := range len(sample) {
		r := NewReader(sample[:n], errTest)
		read(&r)
		first := r.Err()
		if !errors.Is(first, errTest) || r.OK() || r.Left() != 0 {
			t.Fatalf("%d bytes: %v", n, first)
		}
		if r.Uint64() != 0 || r.Byte() != 0 || r.Flag() || r.Text() != "" || r.Block(9) != nil || r.Count(2, 9, 1) != 0 || r.Bytes(1) != nil {
			t.Errorf("%d bytes: something is read after the failure", n)
		}
		r.Keep(errors.New("another"))
		if r.End() != first {
			t.Errorf("%d bytes: %v became %v", n, first, r.End())
		}
	}
	r := NewReader(append(bytes.Clone(sample), 0), errTest)
	if read(&r); !r.OK() || r.Left() != 1 || !errors.Is(r.End(), errTest) {
		t.Errorf("a byte more: %v", r.End())
	}
}

func TestRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		b    string
		read func(r *Reader)
	}{
		"another version":         {"\x02", func(r *Reader) { r.Version(1) }},
		"no version":              {"", func(r *Reader) { r.Version(0) }},
		"flag of two":             {"\x02", func(r *Reader) { r.Flag() }},
		"other bytes":             {"abd", func(r *Reader) { r.Literal("abc") }},
		"more than allowed":       {"\x00\x03aaa", func(r *Reader) { r.Count(2, 2, 1) }},
		"more than there is":      {"\x00\x03aa", func(r *Reader) { r.Count(2, 3, 1) }},
		"a count that wraps":      {"\x80\x00\x00\x00\x00\x00\x00\x01", func(r *Reader) { r.Count(8, math.MaxInt, 2) }},
		"a long block":            {"\x00\x00\x00\x03aaa", func(r *Reader) { r.Block(2) }},
		"a block that is not all": {"\x00\x00\x00\x03aa", func(r *Reader) { r.Block(3) }},
		"a negative number":       {"aa", func(r *Reader) { r.Bytes(-1) }},
		"an error that is kept":   {"", func(r *Reader) { r.Keep(errTest) }},
	} {
		r := NewReader([]byte(tc.b), errTest)
		if tc.read(&r); !errors.Is(r.End(), errTest) {
			t.Errorf("%s: %v", name, r.End())
		}
	}
	inner := errors.New("inner")
	r := NewReader(nil, errTest)
	if r.Fail("number %d: %w", 3, inner); !errors.Is(r.Err(), inner) || !errors.Is(r.Err(), errTest) || r.Err().Error() != "test: not an encoding: number 3: inner" {
		t.Error(r.Err())
	}
	r = NewReader(nil, errTest)
	if r.Keep(nil); r.End() != nil || r.Uint(0) != 0 {
		t.Error("nothing, and it fails")
	}
}

// What is given can be appended to without changing what follows.
func TestBytesAreClosed(t *testing.T) {
	b := []byte("abcd")
	r := NewReader(b, errTest)
	_ = append(r.Bytes(2), 'x')
	if string(b) != "abcd" {
		t.Errorf("%q", b)
	}
}
