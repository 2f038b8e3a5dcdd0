package commitreveal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func mustAppend(t testing.TB, l Log, entry []byte) Log {
	t.Helper()
	next, _, err := l.Append(entry)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// hashStore is a full store of hashes, which the log itself does not keep.
type hashStore []Hash

func (s hashStore) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(s)) {
			return nil, fmt.Errorf("hash %d is not stored", x)
		}
		out[i] = tlog.Hash(s[x])
	}
	return out, nil
}

// TestLogIsTlog compares every root and every stored hash with package tlog, and
// proves inclusion and consistency from what Append gave to store.
func TestLogIsTlog(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const n = 300
	var log Log
	var store hashStore
	var records []tlog.Hash
	roots := []tlog.Hash{tlog.Hash(log.Root())}
	for i := range int64(n) {
		entry := make([]byte, rng.IntN(40))
		for j := range entry {
			entry[j] = byte(rng.Uint32())
		}
		want, err := tlog.StoredHashes(i, entry, store)
		if err != nil {
			t.Fatal(err)
		}
		before := log.Root()
		next, stored, err := log.Append(entry)
		if err != nil {
			t.Fatal(err)
		}
		if log.Root() != before || log.Size() != uint64(i) {
			t.Fatalf("append %d changed its receiver", i)
		}
		if int64(len(store)) != tlog.StoredHashIndex(0, i) || len(stored) != len(want) {
			t.Fatalf("append %d stores %d hashes from %d on, tlog %d", i, len(stored), len(store), len(want))
		}
		for k := range want {
			if tlog.Hash(stored[k]) != want[k] {
				t.Fatalf("append %d: stored hash %d differs from tlog's", i, k)
			}
		}
		store = append(store, stored...)
		log = next
		root, err := tlog.TreeHash(i+1, store)
		if err != nil || tlog.Hash(log.Root()) != root || log.Size() != uint64(i+1) {
			t.Fatalf("after %d entries: root %s, tlog %v, %v", i+1, log.Root(), root, err)
		}
		roots, records = append(roots, root), append(records, tlog.RecordHash(entry))
		again := roundTripLog(t, log)
		if again.Root() != log.Root() {
			t.Fatalf("after %d entries: parsing changes the root", i+1)
		}
	}
	for range 200 {
		size := 1 + rng.Int64N(n)
		k := rng.Int64N(size)
		record, err := tlog.ProveRecord(size, k, store)
		if err != nil || tlog.CheckRecord(record, size, roots[size], k, records[k]) != nil {
			t.Fatalf("record %d of %d is not proved: %v", k, size, err)
		}
		tree, err := tlog.ProveTree(size, k+1, store)
		if err != nil || tlog.CheckTree(tree, size, roots[size], k+1, roots[k+1]) != nil {
			t.Fatalf("tree of %d is not proved in that of %d: %v", k+1, size, err)
		}
	}
}

func roundTripLog(t testing.TB, l Log) Log {
	t.Helper()
	b, err := l.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseLog(b)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// TestLogForks appends two ways from one log: values do not share what they write.
func TestLogForks(t *testing.T) {
	var log Log
	for i := range 7 {
		log = mustAppend(t, log, []byte{byte(i)})
	}
	a := mustAppend(t, log, []byte("a"))
	rootA := a.Root()
	a2 := mustAppend(t, a, []byte("a2"))
	rootA2 := a2.Root()
	b := mustAppend(t, mustAppend(t, log, []byte("b")), []byte("b2"))
	if a.Root() != rootA || a2.Root() != rootA2 || b.Root() == rootA2 {
		t.Error("appending to one fork changed another")
	}
}

func TestLogRefuses(t *testing.T) {
	if _, _, err := (Log{}).Append(make([]byte, MaxEntrySize+1)); !errors.Is(err, ErrInvalid) {
		t.Errorf("an entry over the limit: %v", err)
	}
	full := Log{edge: []subtree{{60, tlog.Hash{}}}}
	if _, _, err := full.Append(nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("a full log: %v", err)
	}
	good, _ := mustAppend(t, Log{}, []byte("x")).MarshalBinary()
	for name, b := range map[string][]byte{
		"nothing":    nil,
		"version":    append([]byte{2}, good[1:]...),
		"short":      good[:len(good)-1],
		"long":       append(good[:len(good):len(good)], 0),
		"size wrong": append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 3}, good[9:]...),
		"too large":  append([]byte{1, 0xff, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 8*32)...),
	} {
		if _, err := ParseLog(b); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
