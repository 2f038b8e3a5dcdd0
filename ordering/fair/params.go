package fair

import (
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/threshold"
)

// ErrParams means that parameters break one of their rules.
var ErrParams = errors.New("fair: invalid parameters")

// Params are what all members of a chain share about the order.
type Params struct {
	Members   int    // n: logs there are
	Faulty    int    // f: members that may behave in any way, 3f < n
	Solid     int    // s: logs that must hold an id before it is ordered, 2f+1 <= s <= n-f
	Agreement int    // h*: honest members whose agreement on a pair is honoured, floor(n - s/2) + 1 <= h* <= n-f
	Wait      uint64 // W: heights after which a solid id is ordered even if it has unsolid predecessors
	Stale     uint64 // D: how many heights before the newest one a head statement may be
	MaxChunk  int    // new ids that one member can add at one height
	MaxLive   int    // ids that one log can hold before it stops; it never skips one
	Horizon   uint64 // heights after which an id that is not solid is forgotten; at least the chain's max_validity
}

// Upper limits of the parameters, from the wire formats.
const (
	maxMaxChunk = 1024
	// maxDictionary is how many ids the statements of a block can have.
	maxDictionary = 1<<16 - 1
	maxMaxLive    = 1 << 16
	maxHeights    = 1 << 32 // of Wait, Horizon
	maxStale      = 255
)

// DefaultParams are those of ordering.md for n members: f as large as it can be, s = h* = n-f; and W above f, so that f
// proposers in a row that leave logs out do not force a frame (docs/decisions/0107-wait-above-f.md).
func DefaultParams(members int) Params {
	f := (members - 1) / 3
	p := Params{
		Members: members, Faulty: f, Solid: members - f, Agreement: members - f,
		Wait: uint64(max(4, f+1)), Stale: 2, MaxChunk: 128, MaxLive: 4096, Horizon: 20_000,
	}
	if members > 30 { // a block's evidence stays below half a megabyte
		p.MaxChunk = 64
	}
	return p
}

// Tau is s - n + h*: so many logs say "x before y" where a strong edge is. It is above Rho and at least f+1.
func (p Params) Tau() int { return p.Solid - p.Members + p.Agreement }

// Rho is n - h*: at most so many logs say the opposite of a strong edge.
func (p Params) Rho() int { return p.Members - p.Agreement }

// Quorum is n - f: a block has statements of so many members, or none.
func (p Params) Quorum() int { return p.Members - p.Faulty }

// Validate reports what is wrong with the parameters.
func (p Params) Validate() error {
	n, f, s := p.Members, p.Faulty, p.Solid
	outside := func(name string, v, low, high int) error {
		return fmt.Errorf("%w: %s is %d, it must be from %d to %d", ErrParams, name, v, low, high)
	}
	lowest := n - (s+1)/2 + 1 // floor(n - s/2) + 1
	switch {
	case n < 1 || n > threshold.MaxMembers:
		return outside("members", n, 1, threshold.MaxMembers)
	case f < 0 || 3*f >= n:
		return outside("faulty", f, 0, (n-1)/3)
	case s < 2*f+1 || s > n-f:
		return outside("solid", s, 2*f+1, n-f)
	case p.Agreement < lowest || p.Agreement > n-f:
		return outside("agreement", p.Agreement, lowest, n-f)
	case p.Wait < 1 || p.Wait > maxHeights:
		return outside("wait", int(p.Wait), 1, maxHeights)
	case p.Stale > maxStale:
		return outside("stale", int(p.Stale), 0, maxStale)
	case p.MaxChunk < 1 || p.MaxChunk > min(maxMaxChunk, maxDictionary/n):
		return outside("max_chunk", p.MaxChunk, 1, min(maxMaxChunk, maxDictionary/n))
	case p.MaxLive < p.MaxChunk || p.MaxLive > maxMaxLive:
		return outside("max_live", p.MaxLive, p.MaxChunk, maxMaxLive)
	case p.Horizon <= p.Wait || p.Horizon > maxHeights:
		return outside("horizon", int(p.Horizon), int(p.Wait)+1, maxHeights)
	}
	return nil
}
