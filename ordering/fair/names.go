package fair

import "github.com/scrimlabs/scrim/threshold"

// Names that callers still use.
type (
	Said       = *Announcement
	TimedChunk = Chunk
	TimedBase  = Base
)

// Head is the statement.
func (a *Announcement) Head() Statement { return a.Statement }

// New are the ids.
func (a *Announcement) New() []threshold.ID { return a.IDs }
