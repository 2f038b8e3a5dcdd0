package fair

import (
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/threshold"
)

// The second rule, which a genesis can choose instead: the same logs with a time at each id. An id's key is the
// (f+1)-th smallest of its times, and ids are ordered by key. It is simpler and has no cycles, but it believes clocks.
// docs/spec/fair-order.md has its definition and proofs, docs/fair-rules.md compares the two.

// noTime stands for the time of a log that does not hold the id.
const noTime = ^uint64(0)

// TimedState is what committed logs with times leave to be decided after a height. It is a value like [State].
type TimedState struct{ logs }

// TimedDecision is what a height fixed.
type TimedDecision struct {
	Frames    []TimedFrame   // ordered one after the other
	Forgotten []threshold.ID // not frozen when their horizon had passed, ascending
}

// NewTimed is the state after a height at which no log has anything. Of the parameters, Solid and Agreement have no meaning
// for this rule, but must be valid.
func NewTimed(p Params, height uint64) (TimedState, error) {
	l, err := begin(ReceiveTime, p, height)
	return TimedState{l}, err
}

// ReformTimed is the state after a height at which another set of members takes over, as [Reform] is: who stays goes on with
// its log, and keys are fixed anew.
func ReformTimed(s TimedState, p Params, height uint64, from []uint32, base []Base) (TimedState, error) {
	l, err := s.reform(p, height, from, base)
	if err != nil {
		return TimedState{}, err
	}
	next := TimedState{l}
	next.freeze()
	return next, nil
}

// TimedStep takes the chunks of the next height and decides what it orders. Done is as in [Step], and so are the errors.
func TimedStep(s TimedState, height uint64, chunks []Chunk, done func(threshold.ID) bool) (next TimedState, d TimedDecision, err error) {
	l, err := s.extend(height, chunks, done)
	if err != nil {
		return s, d, err
	}
	next = TimedState{l}
	next.decide(next.freeze(), &d)
	return next, d, nil
}

// Idle is as [State.Idle].
func (s TimedState) Idle(height uint64) Logs {
	s.idle(height)
	return s
}

// Next is [TimedStep].
func (s TimedState) Next(height uint64, chunks []Chunk, done func(threshold.ID) bool) (Logs, []Set, []threshold.ID, error) {
	next, d, err := TimedStep(s, height, chunks, done)
	return next, sets(d.Frames), d.Forgotten, err
}

// Reformed is [ReformTimed].
func (s TimedState) Reformed(p Params, height uint64, from []uint32, base []Base) (Logs, error) {
	return ReformTimed(s, p, height, from, base)
}

// freeze sets the keys of ids that 2f+1 logs hold by now, and gives the bound: nothing that is not frozen, seen or
// not, can still get a smaller key.
func (s *TimedState) freeze() (bound uint64) {
	n := len(s.members)
	marks := make([]uint64, n)
	for i, m := range s.members {
		marks[i] = m.Watermark
	}
	bound = s.smallest(slices.Clone(marks)) // of what nobody has seen
	for x, row := range s.times() {
		l := &s.ids[x]
		if l.solid != 0 {
			continue
		}
		held := 0
		least := slices.Clone(marks) // the times that it has, and the smallest that it can get
		for i, t := range row {
			if t != noTime {
				held++
				least[i] = t
			}
		}
		if held >= s.params.Freezes() {
			l.solid, l.key = s.height, s.smallest(row) // noTime is above all times
			continue
		}
		bound = min(bound, s.smallest(least))
	}
	return bound
}

// Freezes is 2f+1, the number of logs that must hold an id before its key is fixed.
func (p Params) Freezes() int { return 2*p.Faulty + 1 }

// smallest gives the (f+1)-th smallest of the times, which it sorts.
func (s *TimedState) smallest(times []uint64) uint64 {
	slices.Sort(times)
	return times[s.params.Faulty]
}

// times gives for each id its time in every log, noTime where the log does not hold it.
func (s *TimedState) times() [][]uint64 {
	n := len(s.members)
	all := make([]uint64, n*len(s.ids))
	for i := range all {
		all[i] = noTime
	}
	rows := make([][]uint64, len(s.ids))
	for x := range rows {
		rows[x] = all[x*n : (x+1)*n]
	}
	for i, m := range s.members {
		for j, x := range m.live {
			rows[x][i] = m.at[j]
		}
	}
	return rows
}

// keysPossible checks keys that were read: only a frozen one is there, and is one of the times.
func (s *TimedState) keysPossible() error {
	for x, row := range s.times() {
		if l := &s.ids[x]; l.solid == 0 && l.key != 0 || l.solid != 0 && (l.key == noTime || !slices.Contains(row, l.key)) {
			return fmt.Errorf("id %d cannot have the key %d", x, l.key)
		}
	}
	return nil
}

// decide orders what is below the bound, then what has been frozen for too long, and forgets.
func (s *TimedState) decide(bound uint64, d *TimedDecision) {
	left := s.all()
	take := func(forced bool, which func(l *liveID) bool) {
		f := TimedFrame{Forced: forced}
		for x := range s.ids {
			if l := &s.ids[x]; left.has(x) && l.solid != 0 && which(l) {
				f.IDs, f.Keys = append(f.IDs, l.id), append(f.Keys, l.key)
				left.clear(x)
			}
		}
		if len(f.IDs) > 0 {
			d.Frames = append(d.Frames, f)
		}
	}
	take(false, func(l *liveID) bool { return l.key < bound })
	var due uint64 // the largest key of those that can wait no longer
	found := false
	for x := range s.ids {
		if l := &s.ids[x]; left.has(x) && l.solid != 0 && s.height-l.solid >= s.params.Wait {
			due, found = max(due, l.key), true
		}
	}
	if found {
		take(true, func(l *liveID) bool { return l.key <= due })
	}
	d.Forgotten = s.forget(left)
	s.compact(left)
}

// Status tells how far an id has come, as [State.Status]: solid is being in 2f+1 logs, WaitsFor are the ids whose key may
// still be at most the one of this id.
func (s TimedState) Status(id threshold.ID) (*Status, error) {
	out, at, err := s.status(id)
	if err != nil || s.ids[at].solid == 0 {
		return out, err
	}
	for x, row := range s.times() {
		if s.ids[x].solid != 0 {
			continue
		}
		for i, t := range row {
			if t == noTime {
				row[i] = s.members[i].Watermark
			}
		}
		if s.smallest(row) <= s.ids[at].key {
			out.WaitsFor = append(out.WaitsFor, s.ids[x].id)
		}
	}
	return out, nil
}
