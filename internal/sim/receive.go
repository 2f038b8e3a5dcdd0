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
	log := c.Logs[member-1]
	for _, tx := range txs {
		if len(tx) == 0 {
			continue
		}
		k, err := ordering.Admit(c.State, c.Verifier, tx[1:])
		if err != nil {
			continue
		}
		c.bodies[k.ID()] = tx[1:]
		log.Add(k.ID())
	}
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
		for i := range c.Logs {
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
	fresh := c.Logs[member-1].IDs[committed:]
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
	c.Must(fair.SignStatement(c.Secrets[member-1].Identity(), &a.Statement))
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

// Identities are the members' identity keys.
func (c *Chain) Identities() (out []ed25519.PublicKey) {
	for _, m := range c.Genesis.Terms.Members {
		out = append(out, m.Identity)
	}
	return out
}
