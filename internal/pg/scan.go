package pg

import "fmt"

// fixed scans a bytea of exactly the length of dst into it.
func fixed(dst []byte) *fixedBytes { return (*fixedBytes)(&dst) }

type fixedBytes []byte

// ScanBytes implements pgtype.BytesScanner.
func (f *fixedBytes) ScanBytes(src []byte) error {
	if len(src) != len(*f) {
		return fmt.Errorf("%d bytes in the database where %d belong", len(src), len(*f))
	}
	copy(*f, src)
	return nil
}

// optional is fixed for a column that may be null; set says whether it was not.
type optional struct {
	dst []byte
	set bool
}

// ScanBytes implements pgtype.BytesScanner.
func (o *optional) ScanBytes(src []byte) error {
	if src == nil {
		return nil
	}
	o.set = true
	return fixed(o.dst).ScanBytes(src)
}

// notNil keeps "no bytes" from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
