package note

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	// MaxProofSize bounds a .tlog-proof in bytes.
	MaxProofSize = 4 << 20

	maxPath = 63 // hashes of an inclusion proof
)

// Proof is a .tlog-proof: that an entry is in the log at a checkpoint (tlog-proof, Format).
type Proof struct {
	Extra []byte // of the application, not authenticated; nil: none
	Index uint64 // of the entry
	Path  []commitreveal.Hash
	Note  *Note // the checkpoint
}

// Marshal gives the proof's text.
func (p *Proof) Marshal() ([]byte, error) {
	if len(p.Path) > maxPath {
		return nil, fmt.Errorf("%w: a proof of %d hashes, at most %d allowed", ErrEncoding, len(p.Path), maxPath)
	}
	signed, err := p.Note.Marshal()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(proofHeader + "\n")
	if p.Extra != nil {
		b.WriteString("extra " + base64.StdEncoding.EncodeToString(p.Extra) + "\n")
	}
	b.WriteString("index " + strconv.FormatUint(p.Index, 10) + "\n")
	writeHashes(&b, p.Path)
	b.WriteByte('\n')
	b.Write(signed)
	if b.Len() > MaxProofSize {
		return nil, fmt.Errorf("%w: a proof of %d bytes, at most %d allowed", ErrEncoding, b.Len(), MaxProofSize)
	}
	return []byte(b.String()), nil
}

func writeHashes(b *strings.Builder, hashes []commitreveal.Hash) {
	for _, h := range hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
}

// ParseProof is the inverse of [Proof.Marshal]. It verifies nothing.
func ParseProof(b []byte) (*Proof, error) {
	if len(b) > MaxProofSize {
		return nil, fmt.Errorf("%w: a proof of %d bytes, at most %d allowed", ErrEncoding, len(b), MaxProofSize)
	}
	head, signed, ok := strings.Cut(string(b), "\n\n")
	lines := strings.SplitN(head, "\n", maxPath+4)
	if !ok || lines[0] != proofHeader {
		return nil, fmt.Errorf("%w: not a %s", ErrEncoding, proofHeader)
	}
	p := new(Proof)
	lines = lines[1:]
	var err error
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		if p.Extra, err = parseBase64(lines[0][len("extra "):]); err != nil {
			return nil, err
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return nil, fmt.Errorf("%w: no index line", ErrEncoding)
	}
	if p.Index, err = parseDecimal(lines[0][len("index "):]); err != nil {
		return nil, err
	}
	if p.Path, err = parseHashes(lines[1:]); err != nil {
		return nil, err
	}
	p.Note, _, err = ParseSigned([]byte(signed))
	return p, err
}

func parseHashes(lines []string) ([]commitreveal.Hash, error) {
	if len(lines) > maxPath {
		return nil, fmt.Errorf("%w: more than %d hashes", ErrEncoding, maxPath)
	}
	var out []commitreveal.Hash
	for _, line := range lines {
		h, err := parseBase64(line)
		if err != nil {
			return nil, err
		}
		if len(h) != commitreveal.HashSize {
			return nil, fmt.Errorf("%w: a hash of %d bytes", ErrEncoding, len(h))
		}
		out = append(out, commitreveal.Hash(h))
	}
	return out, nil
}

// Check checks that the entry is the one of the proof's index in the tree of its checkpoint, and gives the checkpoint,
// whose signatures are not looked at: [Policy.Check] or [Key.Verify] does that. tiles.ErrProof if it is not.
func (p *Proof) Check(entry []byte) (Checkpoint, error) {
	c, err := ParseCheckpoint(p.Note.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	return c, tiles.CheckInclusion(p.Path, c.Size, c.Root, p.Index, tiles.LeafHash(entry))
}
