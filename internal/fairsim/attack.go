package fairsim

import (
	"cmp"
	"slices"

	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// scenario is what the faulty members, proposers and senders do. The last f members are the faulty ones.
type scenario struct {
	about     string
	lie       lie
	stall     bool // proposers leave all statements out
	censor    bool // proposers leave out the logs that know most of the victim
	hostile   bool // proposers tamper with what members signed
	partition bool // f honest members are cut off for a third of the time
	change    bool // a member is replaced with ids in flight
	partial   bool // a sender sends to faulty members and a few honest ones only
	condorcet bool // a sender makes cycles around what others send
	rotating  bool // a sender makes an endless chain, each id tied to the next
	farther   clock
	grind     bool // a sender picks ids that would be first under the last beacon
}

var scenarios = map[string]scenario{ // never iterated but for the sorted names
	"calm":      {about: "nobody lies"},
	"silent":    {about: "f members say nothing", lie: silent},
	"reversed":  {about: "f logs are reversed, their clocks stand still", lie: reversing},
	"invented":  {about: "f logs have ids of nobody, and none of a victim", lie: inventing},
	"forked":    {about: "f members sign two logs", lie: forking},
	"stalling":  {about: "f proposers leave all statements out", stall: true},
	"censoring": {about: "f members and proposers leave a victim out", lie: inventing, censor: true},
	"hostile":   {about: "f members send and propose broken statements", lie: breaking, hostile: true},
	"partition": {about: "f honest members are cut off for a third", partition: true},
	"change":    {about: "a member is replaced in the middle", change: true},
	"partial":   {about: "a sender sends to a part of the members", lie: reversing, partial: true},
	"condorcet": {about: "a sender makes cycles; f are silent", lie: silent, condorcet: true},
	"rotating":  {about: "an endless chain; f silent, others 20 ms farther", lie: silent, rotating: true, farther: 20 * millisecond},
	"grinding":  {about: "a sender picks its ids for the last beacon", grind: true},
	"together":  {about: "reversed, censoring, partial, condorcet", lie: reversing, censor: true, partial: true, condorcet: true},
}

// Scenarios are the names that a Config can have, in the order of the report.
func Scenarios() []string {
	return []string{"calm", "silent", "reversed", "invented", "forked", "stalling", "censoring", "hostile", "partition", "change",
		"partial", "condorcet", "rotating", "grinding", "together"}
}

// Clients with a part in an attack.
const (
	victim   = 0
	attacker = clients // its own place in the network is the first client's
)

// load plans what clients send.
func (w *world) load() {
	gap := int64(second) / int64(w.config.Rate)
	at := clock(0)
	for range w.config.Transactions {
		at += clock(w.rng.Int64N(2 * gap))
		client := w.rng.IntN(clients)
		sent := at
		w.plan(at, func() {
			x := w.newTx(client, sent)
			if w.scenario.grind && client == victim {
				w.ground(x)
			}
			for _, m := range w.members {
				w.plan(w.net.fromClient(w.now, client, m.index), func() { m.receive(x) })
			}
		})
	}
	end := w.loadEnds()
	for at := 300 * millisecond; at < end; at += 450 * millisecond {
		if w.scenario.partial {
			w.plan(at, w.sendPartially)
		}
		if w.scenario.condorcet {
			w.plan(at, w.sendAround)
		}
	}
	if w.scenario.rotating {
		w.rotate(end)
	}
}

// ground gives a transaction the id, of 64 that its sender tried, that is first under the newest beacon that it knows.
func (w *world) ground(x int) {
	best := w.txs[x].id
	for range 64 {
		id := best
		for i := range 8 {
			id[i] = byte(w.rng.Uint32())
		}
		if a, b := fair.TieKey(w.beacon, id), fair.TieKey(w.beacon, best); slices.Compare(a[:], b[:]) < 0 {
			best = id
		}
	}
	delete(w.numbers, w.txs[x].id)
	w.txs[x].id = best
	w.numbers[best] = x
}

// sendPartially sends to the faulty members and to as many honest ones as make the id non-blank with them.
func (w *world) sendPartially() {
	x := w.newTx(attacker, w.now)
	n, f := len(w.members), w.params.Faulty
	for i := range w.params.Tau() {
		m := w.members[(n-f+i)%n]
		w.plan(w.net.fromClient(w.now, attacker, m.index), func() { m.receive(x) })
	}
}

// group is a third of the honest members.
func (w *world) group(i int) (out []*member) {
	for _, m := range w.members[:len(w.members)-w.params.Faulty] {
		if m.index%3 == i {
			out = append(out, m)
		}
	}
	return out
}

func (w *world) deliver(group int, at clock, x int) {
	for _, m := range w.group(group) {
		w.plan(at, func() { m.receive(x) })
	}
}

// sendAround is the Condorcet attack with two transactions, as fast as to outrun the relaying of honest members: one third
// gets early, what others send, late; one third late, early, the others' ...; one third the others', late, early.
func (w *world) sendAround() {
	early, late := w.newTx(attacker, w.now), w.newTx(attacker, w.now)
	const span = 40 * millisecond
	w.deliver(0, w.now, early)
	w.deliver(0, w.now+span, late)
	w.deliver(1, w.now, late)
	w.deliver(1, w.now+1, early)
	w.deliver(2, w.now+span, late)
	w.deliver(2, w.now+span+1, early)
}

// rotate sends a chain without an end: each third of the members gets it in reversed windows of three, shifted by one, so
// that every id has a strong edge from the next one.
func (w *world) rotate(end clock) {
	const step = 8 * millisecond
	start := 500 * millisecond
	length := int(min(end-start, 3*second) / step)
	if length <= 0 {
		return
	}
	xs := make([]int, length+3)
	for i := range xs {
		xs[i] = -1
	}
	for g := range 3 {
		slot := 0
		for x := 0; x < length; {
			until := x + 3
			if x == 0 && g > 0 {
				until = g
			}
			for y := until - 1; y >= x; y-- {
				at := start + clock(slot)*step
				slot++
				w.plan(at, func() {
					if xs[y] < 0 {
						xs[y] = w.newTx(attacker, w.now)
					}
					w.deliver(g, w.now, xs[y])
				})
			}
			x = until
		}
	}
}

// leaveOut keeps n-f entries: those with the fewest ids of the victim.
func (w *world) leaveOut(section *fair.Section) {
	if len(section.Entries) == 0 {
		return
	}
	known := func(a fair.Announcement) (n int) {
		for _, id := range a.IDs {
			if w.txs[w.numbers[id]].client == victim {
				n++
			}
		}
		return n
	}
	slices.SortStableFunc(section.Entries, func(a, b fair.Announcement) int { return cmp.Compare(known(a), known(b)) })
	w.result.LeftOut += len(section.Entries) - w.params.Quorum()
	section.Entries = section.Entries[:w.params.Quorum()]
	slices.SortFunc(section.Entries, func(a, b fair.Announcement) int { return cmp.Compare(a.Statement.Member, b.Statement.Member) })
}

// breakAnnouncement gives another announcement, one that no honest member may take.
func (w *world) breakAnnouncement(a *announcement) *announcement {
	b := *a
	b.verified = false
	st := &b.plain.Statement
	switch w.rng.IntN(6) {
	case 0:
		st.Signature[w.rng.IntN(len(st.Signature))] ^= 1
	case 1:
		st.Sequence++ // a log that goes on elsewhere
	case 2:
		st.Head[0] ^= 1
	case 3:
		st.Member = uint32(len(w.members) + 1)
	case 4:
		st.Height += 1000
	case 5:
		st.ChainID = "another"
	}
	return &b
}

// breakSection gives the bytes of a section that must not be accepted: made from the good one, of which b is the encoding.
func (w *world) breakSection(section *fair.Section, b []byte) []byte {
	s := fair.Section{Height: section.Height, Entries: slices.Clone(section.Entries)}
	kind := w.rng.IntN(11)
	if len(s.Entries) == 0 {
		kind = 0
	}
	pick := func() int { return w.rng.IntN(max(1, len(s.Entries))) }
	switch kind {
	case 0: // cut, or with something behind it
		return append(slices.Clone(b), 0)
	case 1:
		return b[:w.rng.IntN(len(b))]
	case 2: // one byte
		out := slices.Clone(b)
		out[w.rng.IntN(len(out))] ^= byte(1 + w.rng.IntN(255))
		return out
	case 3: // too few
		s.Entries = s.Entries[:w.params.Quorum()-1]
	case 4: // a member twice
		s.Entries = append(s.Entries, s.Entries[len(s.Entries)-1])
	case 5: // skips the last id, or has one more
		e := &s.Entries[pick()]
		if e.IDs = slices.Clone(e.IDs); len(e.IDs) > 0 {
			e.IDs = e.IDs[:len(e.IDs)-1]
		} else {
			e.IDs = append(e.IDs, threshold.ID{1})
		}
	case 6: // other ids in their place
		e := &s.Entries[pick()]
		e.IDs = append(slices.Clone(e.IDs), threshold.ID{2})
		e.Statement.Sequence++
	case 7: // a statement of another height
		s.Entries[pick()].Statement.Height -= min(uint64(1), s.Height-1)
		if s.Height == 1 {
			return nil
		}
	case 8: // another's signature
		i := pick()
		s.Entries[i].Statement.Signature = s.Entries[(i+1)%len(s.Entries)].Statement.Signature
	case 9: // more than a chunk may have
		e := &s.Entries[pick()]
		e.IDs = slices.Clone(e.IDs)
		for i := range w.params.MaxChunk + 1 {
			e.IDs = append(e.IDs, threshold.ID{3, byte(i), byte(i >> 8)})
			e.Statement.Sequence++
		}
	case 10: // of a member that there is not, with a good signature of somebody
		e := &s.Entries[len(s.Entries)-1]
		e.Statement.Member = uint32(len(w.members) + 1)
		w.check(fair.SignStatement(w.members[0].key, &e.Statement))
	}
	out, err := s.MarshalBinary()
	if err != nil {
		return append(slices.Clone(b), 0) // not even an encoding: anything else that is none
	}
	return out
}

// signed says whether an announcement is its sender's, by its signature.
func (w *world) signed(from int, a *announcement) bool {
	if a.verified {
		return true
	}
	key := w.keys[from]
	st := &a.plain.Statement
	a.verified = int(st.Member) == from+1 && st.ChainID == chainID && st.Verify(key) == nil && a.timed.Statement.Verify(key) == nil
	return a.verified
}

// compare lets all members look for forks between what a block has and what they were told.
func (w *world) compare(section *fair.Section) {
	for i := range section.Entries {
		st := section.Entries[i].Statement
		for _, m := range w.members {
			for _, heard := range m.held[int(st.Member)-1] {
				if e, err := fair.NewEquivocation(heard.plain.Statement, st); err == nil && m.lie == honest {
					w.accuse(int(st.Member)-1, e)
				}
			}
		}
	}
}

// accuse counts proven forks.
func (w *world) accuse(from int, e *fair.Equivocation) {
	if err := e.Verify(chainID, w.keys[from]); err != nil {
		w.check(err)
		return
	}
	if w.members[from].lie == honest {
		w.check(fair.ErrNoEvidence)
	}
	if !slices.Contains(w.result.Forkers, from+1) {
		w.result.Forkers = append(w.result.Forkers, from+1)
	}
}
