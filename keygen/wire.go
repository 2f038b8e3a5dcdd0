package keygen

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/scrimlabs/scrim/internal/wire"
)

// ErrEncoding says that bytes are not the one encoding of a value.
var ErrEncoding = errors.New("keygen: not a canonical encoding")

const wireVersion = 1

// reader takes a wire format apart.
type reader struct{ wire.Reader }

func newReader(b []byte) reader { return reader{wire.NewReader(b, ErrEncoding)} }

// count reads the number of items that follow, each at least size bytes long.
func (r *reader) count(size int) int { return r.Count(2, 1<<16-1, size) }

// block reads a four-byte length and as many bytes.
func (r *reader) block() []byte { return r.Block(1<<31 - 1) }

func appendText(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

func appendBlock(b, block []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(block))), block...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// hexBytes is bytes in JSON: "0x" and lower-case digits.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte("0x" + hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), "0x")
	if !ok {
		return errors.New(`keygen: bytes are written in hex after "0x"`)
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return fmt.Errorf("keygen: %w", err)
	}
	*h = b
	return nil
}

// unmarshalStrict refuses unknown fields.
func unmarshalStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
