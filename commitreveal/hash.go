package commitreveal

import (
	"encoding/hex"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// HashSize is the size of a [Hash] in bytes.
const HashSize = 32

// Hash is a SHA-256 value: a Merkle root, a node of the log, a receive-log
// head. As text and in JSON it is "0x" and 64 lower-case hexadecimal digits.
type Hash [HashSize]byte

// String gives the hash as 0x-hex.
func (h Hash) String() string { return hexText(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it accepts exactly what
// MarshalText gives.
func (h *Hash) UnmarshalText(text []byte) error {
	return parseHexInto(h[:], string(text))
}

// hexText is the one text form of bytes: 0x and lower-case hexadecimal.
func hexText(b []byte) string { return "0x" + hex.EncodeToString(b) }

// parseHex accepts exactly what hexText gives.
func parseHex(s string) ([]byte, error) {
	if len(s) < 2 || s[:2] != "0x" {
		return nil, fmt.Errorf("%w: hex text without 0x", ErrEncoding)
	}
	for i := 2; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'F' {
			return nil, fmt.Errorf("%w: hex text in capitals", ErrEncoding)
		}
	}
	b, err := hex.DecodeString(s[2:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return b, nil
}

// parseHexInto parses hex text of exactly len(dst) bytes.
func parseHexInto(dst []byte, s string) error {
	if len(s) != 2+2*len(dst) {
		return fmt.Errorf("%w: hex text of %d characters, want %d", ErrEncoding, len(s), 2+2*len(dst))
	}
	b, err := parseHex(s)
	if err != nil {
		return err
	}
	copy(dst, b)
	return nil
}

// merkleRoot is the RFC 6962 root over records.
func merkleRoot(records [][]byte) Hash {
	var edge []subtree
	for _, r := range records {
		last := subtree{0, tlog.RecordHash(r)}
		for n := len(edge); n > 0 && edge[n-1].level == last.level; n-- { // as grow, but nothing is stored
			last = subtree{last.level + 1, tlog.NodeHash(edge[n-1].root, last.root)}
			edge = edge[:n-1]
		}
		edge = append(edge, last)
	}
	return edgeRoot(edge)
}
