package node

import (
	"sync"
	"time"

	"github.com/scrimlabs/scrim/ordering/fair"
)

// ingressClock gives the times of what this member receives, and what it may promise of the times to come: it never goes back,
// also when the machine's clock does. Over a restart it goes on from the times that are durable, see announcer.load.
type ingressClock struct {
	now func() time.Time

	mu      sync.Mutex
	last    uint64 // the latest time that was given or promised
	writing bool   // something with the time stamp is on its way into the log
	stamp   uint64
	unsure  bool // something with the time doubt seemed to fail, and may be in the log
	doubt   uint64
}

func newIngressClock() *ingressClock { return &ingressClock{now: time.Now} }

// atLeast lets the clock go on from a time, if it is not beyond.
func (c *ingressClock) atLeast(t uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, min(t, fair.MaxTime))
}

func (c *ingressClock) tickLocked() uint64 {
	now := uint64(max(0, c.now().UnixMilli()))
	c.last = max(c.last, min(now, fair.MaxTime))
	return c.last
}

// begin gives the time for a write into the log, in milliseconds since 1970; end is called when it is over and the announcer
// has its rows. There is one write at a time.
func (c *ingressClock) begin() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing, c.stamp = true, c.tickLocked()
	return c.stamp
}

func (c *ingressClock) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
}

// fail is end for a write that may have come to something or not.
func (c *ingressClock) fail() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	if !c.unsure {
		c.unsure, c.doubt = true, c.stamp
	}
}

// sure: the announcer has whatever came of the writes that failed.
func (c *ingressClock) sure() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unsure = false
}

// promise gives a watermark: nothing that the announcer does not have yet gets an earlier time.
func (c *ingressClock) promise() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.unsure:
		return c.doubt
	case c.writing:
		return c.stamp
	}
	return c.tickLocked()
}
