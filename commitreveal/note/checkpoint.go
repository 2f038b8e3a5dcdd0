package note

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal"
)

// Checkpoint is the tree head that a note of the log states (tlog-checkpoint, Note text).
type Checkpoint struct {
	Origin     string
	Size       uint64 // entries
	Root       commitreveal.Hash
	Extensions []string // Scrim's own checkpoints have none
}

// Text is the text of the note.
func (c Checkpoint) Text() string {
	lines := append([]string{c.Origin, strconv.FormatUint(c.Size, 10), base64.StdEncoding.EncodeToString(c.Root[:])}, c.Extensions...)
	return strings.Join(lines, "\n") + "\n"
}

// ParseCheckpoint is the inverse of [Checkpoint.Text].
func ParseCheckpoint(text string) (Checkpoint, error) {
	body, ok := strings.CutSuffix(text, "\n")
	lines := strings.Split(body, "\n")
	if !ok || len(lines) < 3 || len(text) > MaxSize {
		return Checkpoint{}, fmt.Errorf("%w: a checkpoint has at least three lines", ErrEncoding)
	}
	if err := plain(text); err != nil {
		return Checkpoint{}, err
	}
	for _, line := range lines { // "at least three non-empty lines [...] Extension lines, if any, MUST be non-empty"
		if line == "" {
			return Checkpoint{}, fmt.Errorf("%w: an empty line in a checkpoint", ErrEncoding)
		}
	}
	c := Checkpoint{Origin: lines[0]}
	var err error
	if c.Size, err = parseDecimal(lines[1]); err != nil {
		return Checkpoint{}, err
	}
	root, err := parseBase64(lines[2])
	if err != nil {
		return Checkpoint{}, err
	}
	if len(root) != commitreveal.HashSize {
		return Checkpoint{}, fmt.Errorf("%w: a root of %d bytes", ErrEncoding, len(root))
	}
	c.Root = commitreveal.Hash(root)
	if len(lines) > 3 {
		c.Extensions = lines[3:]
	}
	return c, nil
}

// ParseSigned reads a note whose text is a checkpoint. It verifies nothing.
func ParseSigned(b []byte) (*Note, Checkpoint, error) {
	n, err := Parse(b)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	return n, c, nil
}

// parseDecimal reads a decimal without leading zeros (tlog-checkpoint, Note text: "no leading zeroes (unless the tree is
// empty [...])").
func parseDecimal(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%w: %.40q is not a decimal number without leading zeros", ErrEncoding, s)
	}
	return n, nil
}
