package note

import (
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

// Check checks that the proof's checkpoint extends an earlier one of the same log, and gives it. It is how a reader uses
// the form as a file by itself, a consistency proof (docs/spec/log.md). Signatures of neither checkpoint are looked at: [Policy.Check]
// does that. tiles.ErrProof if it does not follow: then nothing is known, unless the two have one size.
func (r *AddCheckpoint) Check(old Checkpoint) (Checkpoint, error) {
	c, err := ParseCheckpoint(r.Note.Text)
	switch {
	case err != nil:
		return Checkpoint{}, err
	case r.OldSize != old.Size:
		return Checkpoint{}, fmt.Errorf("%w: it is from a checkpoint of %d entries, the one at hand has %d", tiles.ErrProof, r.OldSize, old.Size)
	case c.Origin != old.Origin:
		return Checkpoint{}, fmt.Errorf("%w: it is of the log %.80q, the checkpoint at hand of %.80q", tiles.ErrProof, c.Origin, old.Origin)
	}
	return c, tiles.CheckConsistency(r.Proof, old.Size, old.Root, c.Size, c.Root)
}
