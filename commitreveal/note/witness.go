package note

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal"
)

// AddCheckpoint is a request to a witness (tlog-witness, add-checkpoint).
type AddCheckpoint struct {
	OldSize uint64              // of the checkpoint that the witness cosigned last, 0 if none
	Proof   []commitreveal.Hash // of consistency from OldSize to the note's size; at most 63
	Note    *Note
}

// WitnessSizeType is the media type of a witness' answer 409, which says the size it knows.
const WitnessSizeType = "text/x.tlog.size"

// MaxAddCheckpoint bounds a request in bytes.
const MaxAddCheckpoint = MaxSize + 64*64

// Marshal gives the request's body.
func (r *AddCheckpoint) Marshal() ([]byte, error) {
	if len(r.Proof) > maxPath { // "MUST NOT send more than 63 consistency proof lines"
		return nil, fmt.Errorf("%w: a consistency proof of %d hashes", ErrEncoding, len(r.Proof))
	}
	signed, err := r.Note.Marshal()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("old " + strconv.FormatUint(r.OldSize, 10) + "\n")
	writeHashes(&b, r.Proof)
	b.WriteByte('\n')
	b.Write(signed)
	return []byte(b.String()), nil
}

// ParseAddCheckpoint is the inverse of [AddCheckpoint.Marshal]. It verifies nothing.
func ParseAddCheckpoint(b []byte) (*AddCheckpoint, error) {
	if len(b) > MaxAddCheckpoint {
		return nil, fmt.Errorf("%w: a request of %d bytes, at most %d allowed", ErrEncoding, len(b), MaxAddCheckpoint)
	}
	head, signed, ok := strings.Cut(string(b), "\n\n")
	lines := strings.SplitN(head, "\n", maxPath+3)
	size, old := strings.CutPrefix(lines[0], "old ")
	if !ok || !old {
		return nil, fmt.Errorf("%w: no old size line", ErrEncoding)
	}
	r := new(AddCheckpoint)
	var err error
	if r.OldSize, err = parseDecimal(size); err != nil {
		return nil, err
	}
	if r.Proof, err = parseHashes(lines[1:]); err != nil {
		return nil, err
	}
	r.Note, _, err = ParseSigned([]byte(signed))
	return r, err
}

// ParseWitnessSize reads the body of an answer 409: the size that the witness cosigned last and a line feed.
func ParseWitnessSize(b []byte) (uint64, error) {
	s, ok := strings.CutSuffix(string(b), "\n")
	if !ok {
		return 0, fmt.Errorf("%w: a witness' size without a line feed", ErrEncoding)
	}
	return parseDecimal(s)
}

// maxWitnessLines bounds the signature lines that are read of a witness' answer.
const maxWitnessLines = 16

// ParseCosignatures reads the body of an answer 200 and gives the signature by the witness' key on the text, verified.
// Lines of other keys are ignored ("MUST ignore any cosignatures from unknown keys").
func ParseCosignatures(b []byte, text string, witness Key) (Signature, error) {
	n := &Note{Text: text}
	for line := range strings.Lines(string(b)) {
		if len(n.Signatures) == maxWitnessLines {
			return Signature{}, fmt.Errorf("%w: more than %d signatures of a witness", ErrEncoding, maxWitnessLines)
		}
		s, err := ParseLine(line)
		if err != nil {
			return Signature{}, err
		}
		n.Signatures = append(n.Signatures, s)
	}
	if _, err := witness.Verify(n); err != nil {
		return Signature{}, err
	}
	s, _ := witness.Find(n)
	return s, nil
}
