package fairsim

import (
	"slices"

	"github.com/scrimlabs/scrim/ordering/fair"
)

// Result is what a run came to.
type Result struct {
	Config  Config
	Params  fair.Params
	Heights int   // blocks
	Rounds  int   // more than the first, that it took
	Sent    int   // transactions that an honest member received, those of attackers with them
	Dropped int   // announcements that were not their sender's
	Refused int   // blocks that were not accepted
	Stalled int   // blocks without statements
	LeftOut int   // statements that a censor held and left out
	Forkers []int // members that provably signed two logs

	First  Figures // the strong edges
	Second Figures // the times
}

// Figures are what one rule made of the run.
type Figures struct {
	Ordered, Lost, Ghosts int // transactions; Lost were received and never ordered, Ghosts ordered and never sent
	// Guaranteed are pairs that h* honest members received in the same order. Inverted of them are ordered the other way, not
	// in one component and not because a frame was forced; ForcedInverted are in a forced frame.
	Guaranteed, Inverted, ForcedInverted int
	// Apart are pairs of which all honest times of one are before all of the other; inverted as above.
	Apart, ApartInverted, ApartForced int
	// Split are pairs on which more than half of the honest members agree, but fewer than h*; SplitInverted of them are
	// ordered against that half.
	Split, SplitInverted int
	// Sent are pairs that honest clients sent 50 ms apart or more; SentInverted are ordered the other way.
	Sent, SentInverted int
	// DelayMS and DelayHeights are the p50 and p99 from the first honest receipt to the block that orders.
	DelayMS, DelayHeights [2]int
	// VictimMS are the same for the victim of the censoring scenarios.
	VictimMS [2]int
	// Cycles are components of more than one id, Largest is the size of the largest component.
	Cycles, Largest int
	// ForcedFrames, ForcedIDs were ordered because their time was up.
	ForcedFrames, ForcedIDs int
	// Live is the most ids that waited, SectionBytes the mean size of a block's statements.
	Live, SectionBytes int
}

// spot is where a rule ordered a transaction.
type spot struct {
	number, component int // of all that were ordered before
	height            uint64
	at                clock
	forced            bool
	epoch             int
}

// rule collects what one of the two rules does.
type rule struct {
	place      map[int]*spot // by number of the transaction; never iterated
	order      []int
	components []int // sizes
	frames     int   // forced ones
	bytes      []int
	live       int
}

func newRule() rule { return rule{place: map[int]*spot{}} }

func (w *world) record(r *rule, forced bool, comps []fair.Component) {
	if forced {
		r.frames++
	}
	for _, c := range comps {
		for _, id := range c {
			x := w.numbers[id]
			r.place[x] = &spot{len(r.order), len(r.components), w.height(), w.now, forced, w.epoch}
			r.order = append(r.order, x)
		}
		r.components = append(r.components, len(c))
	}
}

func (w *world) measure() {
	for i := range w.txs {
		if w.txs[i].received != 0 {
			w.result.Sent++
		}
	}
	slices.Sort(w.result.Forkers)
	w.result.First, w.result.Second = w.figures(&w.first), w.figures(&w.second)
}

func (w *world) figures(r *rule) (f Figures) {
	var honestMembers []*member
	for _, m := range w.members {
		if m.lie == honest {
			honestMembers = append(honestMembers, m)
		}
	}
	var ms, heights, victims []int
	for x := range w.txs {
		t, s := &w.txs[x], r.place[x]
		switch {
		case s == nil && t.received != 0:
			f.Lost++
		case s != nil && t.received == 0:
			f.Ghosts++
		case s != nil:
			f.Ordered++
			ms = append(ms, int((s.at-t.received)/millisecond))
			heights = append(heights, int(s.height-t.receivedHeight))
			if t.client == victim {
				victims = append(victims, ms[len(ms)-1])
			}
			if s.forced {
				f.ForcedIDs++
			}
		}
	}
	f.DelayMS, f.DelayHeights, f.VictimMS = percentiles(ms), percentiles(heights), percentiles(victims)
	for _, size := range r.components {
		if f.Largest = max(f.Largest, size); size > 1 {
			f.Cycles++
		}
	}
	f.ForcedFrames, f.Live = r.frames, r.live
	for _, b := range r.bytes {
		f.SectionBytes += b
	}
	f.SectionBytes /= max(1, len(r.bytes))
	for _, x := range r.order {
		for _, y := range r.order {
			if x != y && w.comparable(r, x, y) {
				w.pair(&f, r, honestMembers, x, y)
			}
		}
	}
	return f
}

func percentiles(xs []int) [2]int {
	if len(xs) == 0 {
		return [2]int{}
	}
	slices.Sort(xs)
	return [2]int{xs[(len(xs)-1)/2], xs[(len(xs)-1)*99/100]}
}

// comparable leaves pairs out between which the committee changed: no promise spans a change.
func (w *world) comparable(r *rule, x, y int) bool {
	a, b := &w.txs[x], &w.txs[y]
	return a.received != 0 && b.received != 0 && a.epoch == b.epoch && r.place[x].epoch == a.epoch && r.place[y].epoch == a.epoch
}

// pair counts what holds of "x before y".
func (w *world) pair(f *Figures, r *rule, members []*member, x, y int) {
	agree, latest, earliest := 0, uint64(0), ^uint64(0)
	for _, m := range members {
		a, hasX := m.order[x]
		b, hasY := m.order[y]
		if hasX && (!hasY || a < b) {
			agree++
		}
		if hasX {
			latest = max(latest, m.stamp[x])
		}
		if hasY {
			earliest = min(earliest, m.stamp[y])
		}
	}
	px, py := r.place[x], r.place[y]
	inverted, forced := px.component > py.component, px.forced || py.forced
	count := func(all, wrong, late *int) {
		*all++
		switch {
		case inverted && forced:
			*late++
		case inverted:
			*wrong++
		}
	}
	if agree >= w.params.Agreement {
		count(&f.Guaranteed, &f.Inverted, &f.ForcedInverted)
	} else if 2*agree > len(members) {
		f.Split++
		if px.number > py.number {
			f.SplitInverted++
		}
	}
	if latest < earliest {
		count(&f.Apart, &f.ApartInverted, &f.ApartForced)
	}
	a, b := &w.txs[x], &w.txs[y]
	if a.client >= 0 && a.client < clients && b.client >= 0 && b.client < clients && b.sent-a.sent >= 50*millisecond {
		f.Sent++
		if px.number > py.number {
			f.SentInverted++
		}
	}
}
