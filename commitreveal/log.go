package commitreveal

import (
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Log is the commit-reveal log as far as appending to it needs: its size and
// the roots of the complete subtrees along its right edge, O(log n) hashes.
// The zero Log is empty. It is a value: Append leaves the receiver alone.
//
// Stored hashes, roots and proofs are those of golang.org/x/mod/sumdb/tlog
// (RFC 6962) over the entries as [MarshalEntry] gives them.
type Log struct {
	edge []subtree // widest first; never written to after it is in a Log
}

// subtree is a complete subtree of 1<<level records.
type subtree struct {
	level int
	root  tlog.Hash
}

// maxLogSize keeps stored-hash indexes inside int64.
const maxLogSize = 1 << 60

// Size is the number of entries.
func (l Log) Size() uint64 { return edgeSize(l.edge) }

// Root is the RFC 6962 root; of the empty log, SHA-256 of nothing.
func (l Log) Root() Hash { return edgeRoot(l.edge) }

// Append adds an entry as record number l.Size(). stored are the hashes that
// the record adds to a store of them, to be written from index
// tlog.StoredHashIndex(0, l.Size()) on.
func (l Log) Append(entry []byte) (next Log, stored []Hash, err error) {
	if len(entry) > MaxEntrySize {
		return l, nil, fmt.Errorf("%w: log entry of %d bytes, at most %d allowed", ErrInvalid, len(entry), MaxEntrySize)
	}
	if l.Size() >= maxLogSize {
		return l, nil, fmt.Errorf("%w: the log is full", ErrInvalid)
	}
	edge, hashes := grow(slices.Clone(l.edge), tlog.RecordHash(entry))
	for _, h := range hashes {
		stored = append(stored, Hash(h))
	}
	return Log{edge: edge}, stored, nil
}

// MarshalBinary encodes the log's right edge: version, size, and one hash for
// each bit set in the size, widest subtree first.
func (l Log) MarshalBinary() ([]byte, error) {
	b := appendUint64([]byte{version}, l.Size())
	for _, s := range l.edge {
		b = append(b, s.root[:]...)
	}
	return b, nil
}

// ParseLog is the inverse of [Log.MarshalBinary].
func ParseLog(b []byte) (Log, error) {
	d := newDecoder(b)
	d.Version(version)
	size := d.Uint64()
	if size > maxLogSize {
		d.Fail("a log of %d entries", size)
	}
	var edge []subtree
	for d.OK() && size > 0 {
		level := bits.Len64(size) - 1
		edge = append(edge, subtree{level, tlog.Hash(d.hash())})
		size &^= 1 << level
	}
	if err := d.End(); err != nil {
		return Log{}, fmt.Errorf("parse log: %w", err)
	}
	return Log{edge: edge}, nil
}

// grow adds a record's hash to a right edge, in place. stored is the record's
// hash and the roots of the subtrees that it completes, lowest first, which is
// tlog's order.
func grow(edge []subtree, record tlog.Hash) (next []subtree, stored []tlog.Hash) {
	last := subtree{0, record}
	stored = []tlog.Hash{record}
	for len(edge) > 0 && edge[len(edge)-1].level == last.level {
		left := edge[len(edge)-1]
		edge = edge[:len(edge)-1]
		last = subtree{last.level + 1, tlog.NodeHash(left.root, last.root)}
		stored = append(stored, last.root)
	}
	return append(edge, last), stored
}

func edgeSize(edge []subtree) (n uint64) {
	for _, s := range edge {
		n += 1 << s.level
	}
	return n
}

func edgeRoot(edge []subtree) Hash {
	if len(edge) == 0 {
		empty, _ := tlog.TreeHash(0, nil) // a constant: SHA-256 of nothing
		return Hash(empty)
	}
	root := edge[len(edge)-1].root
	for i := len(edge) - 2; i >= 0; i-- {
		root = tlog.NodeHash(edge[i].root, root)
	}
	return Hash(root)
}
