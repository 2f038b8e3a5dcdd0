// Package note is how the log's tree heads travel: signed notes, checkpoints, cosignatures, proofs and policies, in the
// formats of C2SP that public tools read.
//
// A node signs with [SignLog] and [Cosign] and puts a [Note] together; an auditor reads with [Parse] and
// [ParseCheckpoint], and checks with [Key.Verify], [Policy.Check] or [Proof.Check]. [LogKey], [MemberKey] and
// [CommitteeKey] are the keys of a chain's members and of its committee.
//
// Invariants: everything is a pure function of its arguments, the time included; every text has one spelling, and a parser
// refuses all others, also where public ones are lax (leading zeros, base64 that is not canonical, carriage returns,
// anything left over); sizes are bounded before anything is allocated.
//
// Formats: c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof, tlog-policy and tlog-witness. What of them
// the log uses is in docs/spec/log.md; comments name the section that a check is from.
package note

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Errors on which callers branch.
var (
	// ErrEncoding: the text is not the one spelling of any value.
	ErrEncoding = errors.New("note: not a canonical text")
	// ErrSignature: a signature does not verify, or there is none by the key.
	ErrSignature = errors.New("note: signature does not verify")
	// ErrPolicy: a checkpoint does not have the signatures that a policy asks for.
	ErrPolicy = errors.New("note: the policy is not satisfied")
)

const (
	// MaxSize bounds a note in bytes.
	MaxSize = 256 << 10
	// MaxSignatures bounds its signatures: every member of the largest committee, and outside witnesses (signed-note,
	// Format: "MUST accept at least up to 16").
	MaxSignatures = 512
	// MaxName bounds a key's name in bytes.
	MaxName = 256

	maxSignature = 8 << 10 // signed-note, Format: "post-quantum signatures can be up to nearly 5kB"
)

// Note is a text and its signatures. Nothing of the text may be believed before a signature of a trusted key on it has been
// verified.
type Note struct {
	Text       string // ends with a line feed
	Signatures []Signature
}

// Signature is a signature line.
type Signature struct {
	Name  string
	KeyID uint32
	Data  []byte // without the key id
}

const linePrefix = "\u2014 " // signed-note, Format: "em dash (U+2014), space (U+0020)"

// Marshal gives the note's bytes. ErrEncoding if it has no signature, or is what no parser accepts.
func (n *Note) Marshal() ([]byte, error) {
	if err := n.validate(); err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(n.Text)
	b.WriteByte('\n')
	for _, s := range n.Signatures {
		b.WriteString(s.Line())
	}
	if b.Len() > MaxSize {
		return nil, fmt.Errorf("%w: a note of %d bytes, at most %d allowed", ErrEncoding, b.Len(), MaxSize)
	}
	return []byte(b.String()), nil
}

func (n *Note) validate() error {
	if !strings.HasSuffix(n.Text, "\n") {
		return fmt.Errorf("%w: the text of a note must end with a line feed", ErrEncoding)
	}
	if err := plain(n.Text); err != nil {
		return err
	}
	if len(n.Signatures) == 0 || len(n.Signatures) > MaxSignatures {
		return fmt.Errorf("%w: a note with %d signatures, 1 to %d allowed", ErrEncoding, len(n.Signatures), MaxSignatures)
	}
	type key struct {
		name string
		id   uint32
	}
	seen := make(map[key]bool, len(n.Signatures))
	for _, s := range n.Signatures {
		if err := s.validate(); err != nil {
			return err
		}
		// signed-note, Signatures: name and id "uniquely identifies the key"; two signatures of one key say nothing more.
		if seen[key{s.Name, s.KeyID}] {
			return fmt.Errorf("%w: two signatures by the key %s of id %08x", ErrEncoding, s.Name, s.KeyID)
		}
		seen[key{s.Name, s.KeyID}] = true
	}
	return nil
}

// plain: signed-note, Format: "MUST be valid UTF-8 and MUST NOT contain any ASCII control characters [...] other than newline".
func plain(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: not UTF-8", ErrEncoding)
	}
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\n' {
			return fmt.Errorf("%w: control character %#02x", ErrEncoding, s[i])
		}
	}
	return nil
}

// validName: signed-note, Format: "non-empty and MUST NOT contain any Unicode spaces or plus".
func validName(s string) error {
	if s == "" || len(s) > MaxName || !utf8.ValidString(s) {
		return fmt.Errorf("%w: key name of %d bytes, 1 to %d of UTF-8 allowed", ErrEncoding, len(s), MaxName)
	}
	for _, r := range s {
		if r < ' ' || r == '+' || unicode.IsSpace(r) {
			return fmt.Errorf("%w: key name %.40q has a space, a plus or a control character", ErrEncoding, s)
		}
	}
	return nil
}

func (s *Signature) validate() error {
	if n := len(s.Data); n == 0 || n > maxSignature {
		return fmt.Errorf("%w: signature of %d bytes, 1 to %d allowed", ErrEncoding, n, maxSignature)
	}
	return validName(s.Name)
}

// Line is the signature's line, with its line feed.
func (s *Signature) Line() string {
	b := append(binary.BigEndian.AppendUint32(nil, s.KeyID), s.Data...)
	return linePrefix + s.Name + " " + base64.StdEncoding.EncodeToString(b) + "\n"
}

// ParseLine is the inverse of [Signature.Line].
func ParseLine(line string) (Signature, error) {
	body, ok := strings.CutPrefix(line, linePrefix)
	body, lf := strings.CutSuffix(body, "\n")
	name, text, space := strings.Cut(body, " ")
	if !ok || !lf || !space || len(line) > 2*maxSignature {
		return Signature{}, fmt.Errorf("%w: signature line %.60q", ErrEncoding, line)
	}
	b, err := parseBase64(text)
	if err != nil {
		return Signature{}, err
	}
	if len(b) < 5 {
		return Signature{}, fmt.Errorf("%w: signature of %d bytes with its key id", ErrEncoding, len(b))
	}
	s := Signature{Name: name, KeyID: binary.BigEndian.Uint32(b), Data: b[4:]}
	return s, s.validate()
}

// Parse is the inverse of [Note.Marshal]. It verifies nothing.
func Parse(b []byte) (*Note, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: a note of %d bytes, at most %d allowed", ErrEncoding, len(b), MaxSize)
	}
	if err := plain(string(b)); err != nil {
		return nil, err
	}
	// signed-note, Format: "the text is separated from the signatures by the last empty line in the note".
	at := strings.LastIndex(string(b), "\n\n")
	if at < 0 {
		return nil, fmt.Errorf("%w: no empty line before the signatures", ErrEncoding)
	}
	n := &Note{Text: string(b[:at+1])}
	for line := range strings.Lines(string(b[at+2:])) {
		if len(n.Signatures) == MaxSignatures {
			return nil, fmt.Errorf("%w: more than %d signatures", ErrEncoding, MaxSignatures)
		}
		s, err := ParseLine(line)
		if err != nil {
			return nil, err
		}
		n.Signatures = append(n.Signatures, s)
	}
	return n, n.validate()
}

// parseBase64 accepts what RFC 4648, section 4 gives and nothing else: Go's decoder skips line ends.
func parseBase64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s {
		return nil, fmt.Errorf("%w: %.60q is not canonical base64", ErrEncoding, s)
	}
	return b, nil
}
