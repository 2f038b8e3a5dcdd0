package v1

// Order is why a transaction stands where it stands, from the members' committed receive logs.
type Order struct {
	ID     Hex     `json:"id"`     // 32 bytes
	State  string  `json:"state"`  // one of the Order constants
	Height *uint64 `json:"height"` // of its batch, null until ordered
	Place  *uint32 `json:"place"`  // in the order of execution of its batch, from 0, null until the log has the opening
	Forced bool    `json:"forced"` // its set was ordered because its time was up
	Time   *Time   `json:"time"`   // with the order rule receive-time, once it is fixed: the (f+1)-th smallest of the members' times; null otherwise

	Epoch        *uint64 `json:"epoch"`         // of the committee in which the members of logs count, null if logs is empty
	SearchedFrom *uint64 `json:"searched_from"` // height from which on blocks were searched for positions, null if none were; what older ones committed is not found

	Logs  []LogPlace    `json:"logs"`  // one for each member of the committee that decided it, or is to
	Wait  *OrderWait    `json:"wait"`  // null once it is decided
	Other *OrderBetween `json:"other"` // null if no other transaction was asked about, or the two cannot be compared yet
}

// How far the order of a transaction has come.
const (
	OrderUnstated = "unstated" // in no committed receive log
	OrderStated   = "stated"   // in some, not decided
	OrderDecided  = "decided"  // waits for a block with room
	OrderOrdered  = "ordered"  // in a batch
	OrderDropped  = "dropped"  // decided when it could not be executed any more
)

// LogPlace is where a transaction stands in a member's receive log.
type LogPlace struct {
	Member uint32  `json:"member"` // index, from 1
	Place  *uint32 `json:"place"`  // among those decided together with it (of those that wait), from 1; null if the log did not hold it, and for what receive-time decided

	// Position is in the whole log, from 1, as in receipts; null if no block up to that of the batch committed it. With one and
	// without a place, the log had it too late to count.
	Position *uint64 `json:"position"`
	Time     *Time   `json:"time"` // with receive-time, what the log has at that position; null otherwise
}

// OrderWait is what a transaction that is not decided waits for.
type OrderWait struct {
	Held        uint32  `json:"held"`         // logs that hold it
	Solid       uint32  `json:"solid"`        // logs that must hold it
	SolidAt     *uint64 `json:"solid_at"`     // height since which so many do
	DueAt       *uint64 `json:"due_at"`       // height by which it is ordered whatever happens
	ForgottenAt *uint64 `json:"forgotten_at"` // height at which it is forgotten unless it is solid by then
	WaitsFor    []Hex   `json:"waits_for"`    // ids before it that too few logs hold
}

// OrderBetween is the order of two transactions and the reason for it.
type OrderBetween struct {
	First     Hex    `json:"first"`     // id, 32 bytes
	Second    Hex    `json:"second"`    // id, 32 bytes
	Reason    string `json:"reason"`    // "blocks", "frames", "edges", "ranked_pairs", "score", "beacon" or "times"
	Forward   uint32 `json:"forward"`   // logs that say first before second; where another batch, frame or time decides, from positions, and 0 if the batches are too far apart to search
	Backward  uint32 `json:"backward"`  // logs that say the opposite
	Chain     []Hex  `json:"chain"`     // for edges and ranked pairs: ids from first to second, each before the next
	Component []Hex  `json:"component"` // if both are in a cycle: its ids in their order
	Won       Hex    `json:"won"`       // for the beacon: the id whose key was smaller, null otherwise
	Lost      Hex    `json:"lost"`      // and the one whose was larger
}
