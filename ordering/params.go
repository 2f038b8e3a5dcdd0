package ordering

import (
	"fmt"

	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// OrderParams are the parameters of the fair order (docs/spec/fair-order.md) for a committee of any size: with n
// members, of whom f = floor((n-1)/3) may be faulty, an id is solid in s = n - f - SolidSlack logs, and the agreement of
// h* = n - f - AgreementSlack honest members on a pair is honoured. Where that is below what the rule needs, it is what the rule needs.
type OrderParams struct {
	Rule           fair.Rule `json:"rule"` // receive-order or receive-time; the slacks mean nothing to the second
	SolidSlack     uint8     `json:"solid_slack"`
	AgreementSlack uint8     `json:"agreement_slack"`
	Wait           uint32    `json:"wait"`      // W: heights after which a solid id waits no longer; f+1 if that is more
	Stale          uint8     `json:"stale"`     // D: how many heights before the newest one a head statement may be
	MaxChunk       uint32    `json:"max_chunk"` // new ids of one member in one block; half of it for more than 30 members
	MaxLive        uint32    `json:"max_live"`  // ids of one log that are not done; a log that is full stops
}

func defaultOrderParams() OrderParams {
	return OrderParams{Wait: 4, Stale: 2, MaxChunk: 512, MaxLive: 4096}
}

const (
	maxMaxChunk   = 1024
	maxDictionary = 1<<16 - 1 // ids of one section, which it refers to with two bytes
	maxMaxLive    = 1 << 16
	maxWait       = 1000
	manyMembers   = 30
)

func (o OrderParams) validate() error {
	switch {
	case !o.Rule.Valid():
		return fmt.Errorf("order.rule is %v, it must be %v or %v", o.Rule, fair.ReceiveOrder, fair.ReceiveTime)
	case o.Wait < 1 || o.Wait > maxWait:
		return fmt.Errorf("order.wait is %d, it must be from 1 to %d", o.Wait, maxWait)
	case o.MaxChunk < 1 || o.MaxChunk > maxMaxChunk:
		return fmt.Errorf("order.max_chunk is %d, it must be from 1 to %d", o.MaxChunk, maxMaxChunk)
	case o.MaxLive < o.MaxChunk || o.MaxLive > maxMaxLive:
		return fmt.Errorf("order.max_live is %d, it must be from %d to %d", o.MaxLive, o.MaxChunk, maxMaxLive)
	}
	return nil
}

// Fair gives the parameters of the fair order for a committee of n members.
func (p Params) Fair(n int) fair.Params {
	f := (n - 1) / 3
	s := max(2*f+1, n-f-int(p.Order.SolidSlack))
	agreement := max(n-(s+1)/2+1, n-f-int(p.Order.AgreementSlack))
	chunk := int(p.Order.MaxChunk)
	if n > manyMembers {
		chunk = max(1, min(chunk/2, maxDictionary/n))
	}
	return fair.Params{
		Members: n, Faulty: f, Solid: s, Agreement: agreement,
		Wait: uint64(max(int(p.Order.Wait), f+1)), Stale: uint64(p.Order.Stale), MaxChunk: chunk, MaxLive: int(p.Order.MaxLive),
		// What is forgotten has expired.
		Horizon: max(p.MaxValidity, uint64(max(int(p.Order.Wait), f+1))+1),
	}
}

// of gives the parameters for the committee that a set is from. A set of the second rule is ordered without.
func (p Params) of(f fair.Set) fair.Params { return p.Fair(max(1, f.LogCount())) }

// grace is how long after its valid-until a ciphertext may still be decided: it was logged before, and is forgotten by the
// horizon, or forced after the wait.
func (p Params) grace() uint64 {
	worst := p.Fair(threshold.MaxMembers)
	return worst.Horizon + worst.Wait
}
