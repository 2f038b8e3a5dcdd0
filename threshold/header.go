package threshold

import (
	"encoding/binary"
	"fmt"
)

// What every ciphertext keeps to.
const (
	// Version is the version byte of the ciphertext's encoding.
	Version = 1

	MaxChainID   = 50 // bytes
	MaxNamespace = 32 // bytes
	MaxSizeClass = 9  // 128 KiB

	minPadded = 256 // bytes of padded plaintext in size class 0

	// MaxPlaintext is the most that one ciphertext holds, in bytes.
	MaxPlaintext = minPadded<<MaxSizeClass - lengthSize

	// MaxCiphertext is the largest encoding of a ciphertext, in bytes.
	MaxCiphertext = 1 + 1 + MaxChainID + 1 + MaxNamespace + 32 + 8 + 1 + capsuleSize + minPadded<<MaxSizeClass + tagSize

	lengthSize = 4 // of the length before the plaintext
)

// Header is the part of a ciphertext that everybody sees. It is authenticated: changing it breaks the proof.
type Header struct {
	ChainID    string // see ValidChainID
	Namespace  string // see ValidNamespace
	KeyID      KeyID
	ValidUntil uint64 // last height at which the ciphertext may be ordered
	SizeClass  uint8  // the plaintext is padded to 256<<SizeClass bytes
}

// ValidNamespace gives [ErrNamespace] unless s is 1 to 32 characters of a-z, 0-9, '-' and '.', of which the first and the
// last are letters or digits.
func ValidNamespace(s string) error {
	if len(s) < 1 || len(s) > MaxNamespace || !lowerOrDigit(s[0]) || !lowerOrDigit(s[len(s)-1]) {
		return ErrNamespace
	}
	for i := range len(s) {
		if c := s[i]; !lowerOrDigit(c) && c != '-' && c != '.' {
			return ErrNamespace
		}
	}
	return nil
}

// ValidChainID gives [ErrChainID] unless s is 1 to 50 characters of A-Z, a-z, 0-9, '-', '_' and '.'.
func ValidChainID(s string) error {
	if len(s) < 1 || len(s) > MaxChainID {
		return ErrChainID
	}
	for i := range len(s) {
		if c := s[i]; !lowerOrDigit(c) && !('A' <= c && c <= 'Z') && c != '-' && c != '_' && c != '.' {
			return ErrChainID
		}
	}
	return nil
}

func lowerOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func (h *Header) validate() error {
	if err := ValidChainID(h.ChainID); err != nil {
		return err
	}
	if err := ValidNamespace(h.Namespace); err != nil {
		return err
	}
	if h.SizeClass > MaxSizeClass {
		return fmt.Errorf("size class %d: %w", h.SizeClass, ErrEncoding)
	}
	return nil
}

// paddedSize is the length of the padded plaintext.
func (h *Header) paddedSize() int { return minPadded << h.SizeClass }

// append gives version | 1 length + chain id | 1 length + namespace | 32 key id | 8 valid until | 1 size class.
func (h *Header) append(b []byte) []byte {
	b = append(b, Version)
	b = append(b, byte(len(h.ChainID)))
	b = append(b, h.ChainID...)
	b = append(b, byte(len(h.Namespace)))
	b = append(b, h.Namespace...)
	b = append(b, h.KeyID[:]...)
	b = binary.BigEndian.AppendUint64(b, h.ValidUntil)
	return append(b, h.SizeClass)
}

// parseHeader reads a header from the front of b and gives its length.
func parseHeader(b []byte) (h Header, size int, err error) {
	r := reader{rest: b}
	if v := r.byte(); v != Version {
		return h, 0, fmt.Errorf("version %d: %w", v, ErrEncoding)
	}
	h.ChainID = string(r.take(int(r.byte())))
	h.Namespace = string(r.take(int(r.byte())))
	copy(h.KeyID[:], r.take(len(h.KeyID)))
	h.ValidUntil = r.uint64()
	h.SizeClass = r.byte()
	if r.short {
		return h, 0, fmt.Errorf("header ends early: %w", ErrEncoding)
	}
	return h, len(b) - len(r.rest), h.validate()
}

// reader takes fields from the front of a byte string; after the first that does not fit it gives zeros.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.short, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
