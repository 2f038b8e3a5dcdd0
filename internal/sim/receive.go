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
	IDs []threshold.ID
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
func (c *Chain) Announce(members ...int) []fair.Announcement {
	c.t.Helper()
	if len(members) == 0 {
		for i := range c.Identities() {
			members = append(members, i+1)
		}
	}
	logs, ok := c.State.ReceiveLogs()
	out := []fair.Announcement{}
	for _, m := range members {
		if ok {
			out = append(out, c.announcement(logs, m))
		}
	}
	return out
}

func (c *Chain) announcement(logs fair.State, member int) fair.Announcement {
	c.t.Helper()
	committed, head, live, err := logs.Log(uint32(member))
	c.Must(err)
	fresh := c.Log(member).IDs[committed:]
	fresh = fresh[:min(len(fresh), logs.Params().MaxChunk, logs.Params().MaxLive-live)]
	return c.Statement(member, committed, head, fresh)
}

// Statement is what a member signs that says: after the committed head come these ids.
func (c *Chain) Statement(member int, committed uint64, head commitreveal.Hash, fresh []threshold.ID) fair.Announcement {
	c.t.Helper()
	for _, id := range fresh {
		head = commitreveal.NextHead(head, id)
	}
	a := fair.Announcement{IDs: fresh, Statement: fair.Statement{
		ChainID: ChainID, Height: c.State.Height(), Member: uint32(member), Sequence: committed + uint64(len(fresh)), Head: head,
	}}
	c.Must(fair.SignStatement(c.keys[string(c.Identities()[member-1])], &a.Statement))
	return a
}

// Bodies are the ciphertexts with these ids, as far as some member received them.
func (c *Chain) Bodies(ids []threshold.ID) (out [][]byte) {
	for _, id := range ids {
		if body := c.bodies[id]; body != nil {
			out = append(out, body)
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
