package ordering

import (
	"bytes"

	"github.com/google/btree"

	"github.com/scrimlabs/scrim/threshold"
)

// seenSet remembers the ids that were ordered until they are too old to be
// admitted anyway. It is persistent in the functional sense: clone is O(1), and a
// clone's changes are not seen by the original, which others may go on reading.
type seenSet struct {
	byID  *btree.BTreeG[Seen]
	byAge *btree.BTreeG[Seen]
}

const btreeDegree = 32

func newSeenSet() *seenSet {
	byID := func(a, b Seen) bool { return bytes.Compare(a.ID[:], b.ID[:]) < 0 }
	byAge := func(a, b Seen) bool {
		if a.ValidUntil != b.ValidUntil {
			return a.ValidUntil < b.ValidUntil
		}
		return byID(a, b)
	}
	return &seenSet{btree.NewG(btreeDegree, byID), btree.NewG(btreeDegree, byAge)}
}

func (s *seenSet) clone() *seenSet { return &seenSet{s.byID.Clone(), s.byAge.Clone()} }

func (s *seenSet) has(id threshold.ID) bool { return s.byID.Has(Seen{ID: id}) }

func (s *seenSet) add(e Seen) {
	s.byID.ReplaceOrInsert(e)
	s.byAge.ReplaceOrInsert(e)
}

// forget drops the ids that are not admissible after the given height.
func (s *seenSet) forget(height uint64) {
	for {
		e, ok := s.byAge.Min()
		if !ok || e.ValidUntil > height {
			return
		}
		s.byAge.DeleteMin()
		s.byID.Delete(e)
	}
}
