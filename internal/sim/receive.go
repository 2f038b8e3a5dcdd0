package sim

import (
	"crypto/ed25519"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Log is a member's receive log. Tests may change it, to play a member that lies.
type Log struct {
	IDs   []threshold.ID
	Times []uint64 // of IDs, for the second rule; those that are missing are made up, a millisecond after each other
	Mark  uint64   // the watermark, if it is above the last time
}

// time is that of an entry.
func (l *Log) time(i int) uint64 {
	for len(l.Times) <= i {
		next := l.Mark + 1
		if n := len(l.Times); n > 0 {
			next = max(next, l.Times[n-1]+1)
		}
		l.Times = append(l.Times, next)
	}
	return l.Times[i]
}

// Receive puts the ciphertexts among the transactions into a member's (from 1) receive log, each if the chain admits it and
// the log does not have it.
func (c *Chain) Receive(member int, txs ...[]byte) {
	c.t.Helper()
	for _, tx := range txs {
		ct := ordering.CiphertextOf(tx)
		if ct == nil || ordering.CheckTx(c.State, c.Verifier, tx) != nil {
			continue
		}
		c.bodies[ct.ID()] = ct.Bytes()
		c.Log(member).Add(ct.ID())
	}
}

// Log is the receive log of a member in office (from 1). It is its own over all committees.
func (c *Chain) Log(member int) *Log {
	identity := string(c.Identities()[member-1])
	if c.logs[identity] == nil {
		c.logs[identity] = &Log{}
	}
	return c.logs[identity]
}

// Add puts an id at the end, if the log does not have it.
func (l *Log) Add(id threshold.ID) {
	for _, have := range l.IDs {
		if have == id {
			return
		}
	}
	l.IDs = append(l.IDs, id)
}

// Announce gives the announcements of the members (from 1; none: all) after the last block.
func (c *Chain) Announce(members ...int) []*fair.Announcement {
	c.t.Helper()
	if len(members) == 0 {
		for i := range c.Identities() {
			members = append(members, i+1)
		}
	}
	logs, ok := c.State.ReceiveLogs()
	out := []*fair.Announcement{}
	for _, m := range members {
		if ok {
			out = append(out, c.announcement(logs, m))
		}
	}
	return out
}

func (c *Chain) announcement(logs fair.Logs, member int) *fair.Announcement {
	c.t.Helper()
	base, live, err := logs.Base(uint32(member))
	c.Must(err)
	log := c.Log(member)
	fresh := log.IDs[base.Sequence:]
	fresh = fresh[:min(len(fresh), logs.Params().MaxChunk, logs.Params().MaxLive-live)]
	times := make([]uint64, len(fresh))
	for i := range fresh {
		times[i] = log.time(int(base.Sequence) + i)
	}
	// Time goes on with the heights, so that ids do not wait for a watermark that stands still.
	log.Mark = max(log.Mark, base.Watermark+1, 1000*c.State.Height())
	if n := len(times); n > 0 {
		log.Mark = max(log.Mark, times[n-1]+1)
	}
	return c.say(member, base, fresh, times, log.Mark)
}

// Statement is what a member signs that says: after the committed head come these ids. It is of the first rule.
func (c *Chain) Statement(member int, committed uint64, head commitreveal.Hash, fresh []threshold.ID) fair.Announcement {
	c.t.Helper()
	a := c.say(member, fair.Base{Sequence: committed, Head: head}, fresh, nil, 0)
	if a.Statement.Rule != fair.ReceiveOrder {
		c.t.Fatal("a statement of the first rule on a chain of the second")
	}
	return *a
}

// Timed is a statement of the second rule: after the base come these ids with these times.
func (c *Chain) Timed(member int, base fair.Base, fresh []threshold.ID, times []uint64, watermark uint64) *fair.Announcement {
	c.t.Helper()
	a := c.say(member, base, fresh, times, watermark)
	if a.Statement.Rule != fair.ReceiveTime {
		c.t.Fatal("a statement of the second rule on a chain of the first")
	}
	return a
}

func (c *Chain) say(member int, base fair.Base, fresh []threshold.ID, times []uint64, watermark uint64) *fair.Announcement {
	c.t.Helper()
	chunk := fair.Chunk{
		Member: uint32(member), Sequence: base.Sequence + uint64(len(fresh)), Head: base.Head, IDs: fresh, Times: times, TimesHead: base.Times, Watermark: watermark,
	}
	for _, id := range fresh {
		chunk.Head = commitreveal.NextHead(chunk.Head, id)
	}
	for _, t := range times {
		chunk.TimesHead = fair.NextTimes(chunk.TimesHead, t)
	}
	said, err := c.Genesis.Params.Order.Rule.Say(c.keys[string(c.Identities()[member-1])], ChainID, c.State.Height(), chunk)
	c.Must(err)
	return said
}

// Bodies are the ciphertexts with these ids, as far as some member received them.
func (c *Chain) Bodies(ids []threshold.ID) ordering.Bodies {
	out := ordering.Bodies{}
	for _, id := range ids {
		if body := c.bodies[id]; body != nil {
			out.Add([][]byte{body})
		}
	}
	return out
}

// Identities are the identity keys of the members in office; before the first committee, of those to be.
func (c *Chain) Identities() (out []ed25519.PublicKey) {
	if c.State.Office() != nil {
		return c.State.Identities()
	}
	for _, m := range c.Genesis.Terms.Members {
		out = append(out, m.Identity)
	}
	return out
}
