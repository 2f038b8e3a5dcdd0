package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// What a proposer knows of the ids in its log: how many are solid, and how many all members that are there have.
func TestTally(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	txs := c.SealTxs("1", "2", "3")
	var ids []threshold.ID
	for _, tx := range txs {
		ids = append(ids, sim.IDOf(tx))
	}
	c.Receive(1, txs...)
	c.Receive(2, txs[:2]...)
	c.Receive(3, txs[1], txs[0])
	c.Receive(4, txs[0])
	said := c.Announce()
	for name, test := range map[string]struct {
		said []*fair.Announcement
		ids  []threshold.ID
		want tallied
	}{
		"all":             {said, ids, tallied{solid: 2, everywhere: 1}},
		"one is silent":   {said[:3], ids, tallied{solid: 2, everywhere: 2}},
		"too few":         {said[:2], ids, tallied{}},
		"nothing to seek": {said, nil, tallied{}},
	} {
		if got := tally(c.State, test.said, test.ids); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
	for range 4 { // who said nothing for longer than D heights is not waited for, nor counted
		c.Apply(nil)
	}
	if got := tally(c.State, said, ids); got != (tallied{}) {
		t.Errorf("too old: %+v", got)
	}
}

// How long a proposer waits, by a clock that stands still while anybody works.
func TestGatherWaits(t *testing.T) {
	for name, test := range map[string]struct {
		n, members int  // so many members have announced n ids
		more       bool // and one is on its way into the proposer's own log, and never arrives
		want       time.Duration
	}{
		"everybody has everything":      {3, 4, false, 0},
		"one is missing":                {3, 3, false, 0},
		"nothing to wait for":           {0, 4, false, 0},
		"nothing would be decided":      {3, 2, false, gatherFor},
		"more is on its way":            {3, 4, true, gatherAll},
		"more is on its way to enough":  {enough, 3, true, 0},
		"more is on its way to nothing": {0, 4, true, gatherFor},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
				all, disks := announcers(t, c)
				var names []string
				for i := range test.n {
					names = append(names, string(rune('a'+i)))
				}
				txs := c.SealTxs(names...)
				for i, a := range all[:test.members] {
					a.begin(len(txs))
					a.appended(len(txs), disks[i].write(txs...))
					announceNow(t, a)
				}
				synctest.Wait() // until all have heard it
				if test.more {
					all[0].begin(1)
				}
				start := time.Now()
				all[0].gather(c.State)
				if waited := time.Since(start); waited != test.want {
					t.Errorf("waited %v, want %v", waited, test.want)
				}
			})
		})
	}
}

// What arrives in a proposer's log while it waits for that is waited for at the other members too.
func TestGatherWaitsForWhatArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
		all, disks := announcers(t, c)
		txs := c.SealTxs("a", "b")
		for i, a := range all {
			a.begin(1)
			a.appended(1, disks[i].write(txs[0]))
			announceNow(t, a)
		}
		synctest.Wait()
		all[0].begin(1)
		go func() {
			time.Sleep(gatherAll / 5)
			all[0].appended(1, disks[0].write(txs[1]))
		}()
		start := time.Now()
		all[0].gather(c.State)
		if waited := time.Since(start); waited != gatherAll {
			t.Errorf("waited %v, want %v", waited, gatherAll)
		}
	})
}
