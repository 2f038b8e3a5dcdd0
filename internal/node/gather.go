package node

import (
	"slices"
	"time"

	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

const (
	// gatherAll is how long a proposer waits for the announcements of all members that are there, gatherFor how long for those
	// without which nothing would be decided.
	gatherAll = 25 * time.Millisecond
	gatherFor = 100 * time.Millisecond
	// enough is how many new solid ids a proposer does not wait for more with.
	enough = 32
	// omitMargin is how long before a proposal a statement must have been heard here to be missed in it.
	omitMargin = 150 * time.Millisecond
)

// gather gives the announcements that fit the block after s. It waits a bounded moment: until what is on its way into this
// member's log has arrived there, and every member that was there lately has announced all that was in it then; for longer only
// while nothing would be decided. Under load it waits for nobody: what comes later is in the next block, and a block
// that is late costs more than one that is not full.
func (a *announcer) gather(s *ordering.State) []*fair.Announcement {
	all, timeout := time.NewTimer(gatherAll), time.NewTimer(gatherFor)
	defer all.Stop()
	defer timeout.Stop()
	a.mu.Lock()
	begun := a.begun
	a.mu.Unlock()
	var target []threshold.ID
	for arrived, patient := false, true; ; {
		a.mu.Lock()
		if !arrived {
			arrived, target = a.written >= begun, a.undecidedLocked(s)
		}
		found, changed := a.fittingLocked(s), a.changed
		a.mu.Unlock()
		held := tally(s, found, target)
		switch {
		case held.solid >= enough, arrived && held.everywhere == len(target):
			return found
		case !patient && (held.solid > 0 || arrived && len(target) == 0):
			return found
		}
		select {
		case <-changed:
		case <-all.C:
			patient = false
		case <-timeout.C:
			return found
		}
	}
}

// undecidedLocked gives what is in this member's log, not committed, and still to be decided.
func (a *announcer) undecidedLocked(s *ordering.State) (ids []threshold.ID) {
	most := int(s.Genesis().Params.Order.MaxChunk)
	for _, e := range a.own[:min(len(a.own), most)] {
		if !s.WasOrdered(e.id) && !s.IsQueued(e.id) {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// fittingLocked gives, of each member, the announcements without what s has committed already.
func (a *announcer) fittingLocked(s *ordering.State) (out []*fair.Announcement) {
	logs, ok := s.ReceiveLogs()
	if !ok {
		return nil
	}
	for member := uint32(1); int(member) <= logs.Params().Members; member++ {
		h := a.heard[member]
		base, _, err := logs.Base(member)
		if h == nil || h.epoch != s.Committee().Epoch || err != nil {
			continue
		}
		for _, an := range h.announcements {
			if rest := an.After(base.Sequence); rest != nil {
				out = append(out, rest)
			}
		}
	}
	return out
}

// leftOut gives the members of whose log a block takes nothing, though this node had heard a statement of theirs by then that fits
// the block after before, and says something that is not decided. None if a block could take none: too few, or too much waits.
func (a *announcer) leftOut(before, next *ordering.State, by time.Time) (left []uint32) {
	was, ok := before.ReceiveLogs()
	is, _ := next.ReceiveLogs()
	if !ok || before.Office().Epoch() != next.Office().Epoch() || before.Queued() >= int(before.Genesis().Params.Order.MaxLive) {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p, there := was.Params(), 0
	for member := uint32(1); int(member) <= p.Members; member++ {
		base, _, err := was.Base(member)
		if err != nil || !a.newsLocked(before, member, base.Sequence, p.Stale, by) {
			continue
		}
		there++
		if now, _, err := is.Base(member); err == nil && now.Sequence == base.Sequence {
			left = append(left, member)
		}
	}
	if there < p.Members-p.Faulty {
		return nil
	}
	return left
}

// newsLocked: a statement of the member was there in time, fits after its committed log and has an id that is not decided.
func (a *announcer) newsLocked(s *ordering.State, member uint32, committed, stale uint64, by time.Time) bool {
	h := a.heard[member]
	if h == nil || h.epoch != s.Committee().Epoch {
		return false
	}
	for i, an := range h.announcements {
		if an.Statement.Height+stale < s.Height() || h.at[i].After(by) {
			continue
		}
		if rest := an.After(committed); rest != nil && slices.ContainsFunc(rest.IDs, func(id threshold.ID) bool { return !s.WasOrdered(id) && !s.IsQueued(id) }) {
			return true
		}
	}
	return false
}

// tallied are numbers of ids.
type tallied struct {
	solid      int // in so many logs that they are solid
	everywhere int // solid, and in the logs of all members whose last announcement is not too old for the block
}

// tally counts in how many logs the ids are, as far as these are committed or announced.
func tally(s *ordering.State, found []*fair.Announcement, ids []threshold.ID) (t tallied) {
	logs, ok := s.ReceiveLogs()
	if !ok || len(ids) == 0 {
		return t
	}
	held := make(map[uint32]map[threshold.ID]bool)
	for i := range found {
		st := found[i].Statement
		if st.Height+logs.Params().Stale < s.Height() {
			continue
		}
		if held[st.Member] == nil {
			held[st.Member] = make(map[threshold.ID]bool)
			for _, id := range logs.Waiting(st.Member) {
				held[st.Member][id] = true
			}
		}
		for _, id := range found[i].IDs {
			held[st.Member][id] = true
		}
	}
	need := logs.Params().Solid
	for _, id := range ids {
		n := 0
		for _, log := range held {
			if log[id] {
				n++
			}
		}
		if n >= need {
			t.solid++
		}
		if n >= max(need, len(held)) {
			t.everywhere++
		}
	}
	return t
}
