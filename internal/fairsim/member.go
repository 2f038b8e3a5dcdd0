package fairsim

import (
	"crypto/ed25519"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

const chainID = "scrim-sim"

// entry is a line of a receive log: the number of a transaction, and the member's clock in milliseconds.
type entry struct {
	tx int
	at uint64
}

// lie is how a faulty member's log differs from what it received.
type lie int

const (
	honest    lie = iota
	silent        // it says nothing
	reversing     // what is new, backwards, as early as its clock allows
	inventing     // ids that nobody sent, and none of the victim's
	forking       // one log for one half of the members, another for the other
	breaking      // statements that nobody may take
)

// member is one of the committee, as a node that keeps a log, relays and signs.
type member struct {
	w     *world
	index int
	key   ed25519.PrivateKey
	lie   lie
	skew  int64   // of its clock, in milliseconds
	log   []entry // what it received, in order
	count int
	order map[int]int             // how many ids it received before this one; never iterated
	stamp map[int]uint64          // when; never iterated
	held  map[int][]*announcement // by sender, the last few; never iterated
}

// announcement is what a member sends once a height, for either rule.
type announcement struct {
	plain    fair.Announcement
	timed    fair.Announcement
	verified bool
}

// milliseconds is the member's clock.
func (m *member) milliseconds() uint64 {
	const start = 1_700_000_000_000
	return uint64(start + int64(m.w.now/millisecond) + m.skew)
}

// receive stamps and relays what it did not know. Faulty members do not relay.
func (m *member) receive(tx int) {
	if _, known := m.order[tx]; known {
		return
	}
	m.learn(tx)
	if m.lie != honest {
		return
	}
	t := &m.w.txs[tx]
	if t.received == 0 {
		t.received, t.receivedHeight, t.epoch = m.w.now, m.w.height(), m.w.epoch
	}
	for _, other := range m.w.members {
		if other != m {
			m.w.plan(m.w.net.arrives(m.w.now, m.index, other.index), func() { other.receive(tx) })
		}
	}
}

// learn puts what it did not know into the log.
func (m *member) learn(tx int) {
	m.count++
	m.order[tx], m.stamp[tx] = m.count, m.milliseconds()
	m.log = append(m.log, entry{tx, m.stamp[tx]})
}

// speak signs the log as it is and sends it to all.
func (m *member) speak(height uint64) {
	switch m.lie {
	case silent:
		return
	case inventing:
		m.log = slices.DeleteFunc(m.log, func(e entry) bool { return m.w.txs[e.tx].client == victim })
		for range 3 {
			m.log = append(m.log, entry{m.w.ghost(), m.milliseconds()})
		}
	}
	a, b := m.announce(height, false), (*announcement)(nil)
	if m.lie == forking {
		b = m.announce(height, true)
	}
	for _, other := range m.w.members {
		said := a
		if b != nil && other.index%2 == 1 {
			said = b
		}
		if m.lie == breaking && other != m {
			said = m.w.breakAnnouncement(a)
		}
		m.w.plan(m.w.net.arrives(m.w.now, m.index, other.index), func() { other.hear(m.index, said) })
	}
}

// hear keeps an announcement that its member signed, and notices when it is a second one for the same place.
func (m *member) hear(from int, a *announcement) {
	const kept = 4
	if !m.w.signed(from, a) {
		m.w.result.Dropped++
		return
	}
	for _, before := range m.held[from] {
		if e, err := fair.NewEquivocation(before.plain.Statement, a.plain.Statement); err == nil {
			m.w.accuse(from, e)
		}
	}
	m.held[from] = append(m.held[from], a)
	if list := m.held[from]; len(list) > kept {
		m.held[from] = list[1:]
	}
}

// fresh is what of its log the chain does not have yet, as the member wants it, and the first entry that has to wait.
func (m *member) fresh(twisted bool) (out []entry, next *entry) {
	committed := m.w.committed[m.index]
	for _, e := range m.log {
		if !committed[e.tx] {
			out = append(out, e)
		}
	}
	if m.lie == reversing || twisted {
		slices.Reverse(out)
	}
	if most := m.w.params.MaxChunk; len(out) > most {
		return out[:most], &out[most]
	}
	return out, nil
}

func (m *member) announce(height uint64, twisted bool) *announcement {
	number := uint32(m.index + 1)
	w := m.w
	ids := []threshold.ID{}
	times := []uint64{}
	base, _, err := w.timed.Base(number)
	w.check(err)
	last := base.Watermark
	mark := m.milliseconds()
	fresh, next := m.fresh(twisted)
	if next != nil {
		mark = min(mark, next.at)
	}
	if m.lie == reversing {
		mark = last // a clock that stands still gives the earliest times
	}
	mark = max(mark, last)
	for _, e := range fresh {
		at := e.at
		if m.lie == reversing {
			at = last
		}
		last = min(max(at, last), mark)
		ids, times = append(ids, w.txs[e.tx].id), append(times, last)
	}
	c := fair.Chunk{
		Member: number, Sequence: base.Sequence + uint64(len(ids)), Head: base.Head, IDs: ids, Times: times, TimesHead: base.Times, Watermark: mark,
	}
	for i, id := range ids {
		c.Head, c.TimesHead = commitreveal.NextHead(c.Head, id), fair.NextTimes(c.TimesHead, times[i])
	}
	plain, err := fair.ReceiveOrder.Say(m.key, chainID, height, c)
	w.check(err)
	timed, err := fair.ReceiveTime.Say(m.key, chainID, height, c)
	w.check(err)
	return &announcement{plain: *plain, timed: *timed}
}
