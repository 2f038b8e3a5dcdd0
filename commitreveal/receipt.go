package commitreveal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/scrimlabs/scrim/threshold"
)

const (
	domainReceipt    = "scrim/receipt/v2"
	domainReceiveLog = "scrim/receive-log/v1"
)

// receiptVersion is the version byte of a receipt: 2 since it names the epoch.
const receiptVersion = 2

// Receipt is a member's signed promise about a ciphertext that it accepted: it
// stands at this position of the member's receive log, and it will be ordered
// at a height not above ValidUntil. Its JSON form is what wallets keep. The
// receive log is the identity's: it goes on when the committee changes, and
// receipts of two epochs are compared like those of one.
type Receipt struct {
	ChainID    string
	ID         threshold.ID
	Epoch      uint64 // of the committee in whose terms Member counts
	Member     uint32 // 1..n in that committee's terms
	ValidUntil uint64 // as in the ciphertext's header
	Time       int64  // when the member received it, Unix milliseconds, year 1970 to 9999
	Position   uint64 // in the member's receive log, from 1
	Head       Hash   // of the receive log after it, see NextHead
	Signature  [ed25519.SignatureSize]byte
}

// NextHead is the head of a receive log after id was appended:
// SHA-256("scrim/receive-log/v1" | head | id). The empty log's head is zero.
func NextHead(head Hash, id threshold.ID) Hash {
	b := append([]byte(domainReceiveLog), head[:]...)
	return sha256.Sum256(append(b, id[:]...))
}

// SignReceipt sets the signature. It refuses a receipt that no encoding has.
func SignReceipt(key ed25519.PrivateKey, r *Receipt) error {
	if err := r.validate(); err != nil {
		return fmt.Errorf("sign receipt: %w", err)
	}
	copy(r.Signature[:], ed25519.Sign(key, r.message()))
	return nil
}

// VerifyReceipt checks the signature under the member's identity key:
// ErrSignature if it is not that member's.
func VerifyReceipt(key ed25519.PublicKey, r *Receipt) error {
	if err := r.validate(); err != nil {
		return fmt.Errorf("verify receipt: %w", err)
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, r.message(), r.Signature[:]) {
		return fmt.Errorf("verify receipt of member %d: %w", r.Member, ErrSignature)
	}
	return nil
}

// Contradicts reports whether no honest receive log could give both receipts,
// which must be of one identity: one position with two ids or heads, one id at two
// positions, or neighbours that do not chain. Signatures are not checked here.
func (r *Receipt) Contradicts(other *Receipt) bool {
	a, b := r, other
	if a.Position > b.Position {
		a, b = b, a
	}
	switch {
	case a.ChainID != b.ChainID:
		return false
	case a.Position == b.Position:
		return a.ID != b.ID || a.Head != b.Head
	case a.ID == b.ID:
		return true
	case a.Position+1 == b.Position:
		return NextHead(a.Head, b.ID) != b.Head
	default:
		return false
	}
}

const maxTime = 253402300799999 // 9999-12-31T23:59:59.999Z

func (r *Receipt) validate() error {
	if err := threshold.ValidChainID(r.ChainID); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	switch {
	case !validMember(r.Member):
		return fmt.Errorf("%w: receipt of member %d", ErrInvalid, r.Member)
	case r.ValidUntil == 0:
		return fmt.Errorf("%w: receipt valid until height 0", ErrInvalid)
	case r.Time < 0 || r.Time > maxTime:
		return fmt.Errorf("%w: receipt time %d", ErrInvalid, r.Time)
	case r.Position == 0:
		return fmt.Errorf("%w: receipt position 0", ErrInvalid)
	}
	return nil
}

// body is the receipt without its signature.
func (r *Receipt) body() []byte {
	b := appendChainID([]byte{receiptVersion}, r.ChainID)
	b = appendUint32(appendUint64(append(b, r.ID[:]...), r.Epoch), r.Member)
	b = appendUint64(appendUint64(b, r.ValidUntil), uint64(r.Time))
	return append(appendUint64(b, r.Position), r.Head[:]...)
}

func (r *Receipt) message() []byte { return append([]byte(domainReceipt), r.body()...) }

// MarshalBinary encodes the receipt with its signature.
func (r *Receipt) MarshalBinary() ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("marshal receipt: %w", err)
	}
	return append(r.body(), r.Signature[:]...), nil
}

// ParseReceipt is the inverse of [Receipt.MarshalBinary]. The signature is not
// checked.
func ParseReceipt(b []byte) (*Receipt, error) {
	d := newDecoder(b)
	d.Version(receiptVersion)
	r := &Receipt{ChainID: d.chainID()}
	d.Fill(r.ID[:])
	r.Epoch = d.Uint64()
	r.Member = d.member()
	r.ValidUntil = d.Uint64()
	r.Time = int64(d.Uint64())
	r.Position = d.Uint64()
	r.Head = d.hash()
	d.Fill(r.Signature[:])
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("parse receipt: %w", err)
	}
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("parse receipt: %w: %w", ErrEncoding, err)
	}
	return r, nil
}

// receiptJSON is the JSON form: bytes as 0x-hex, the time in RFC 3339, UTC,
// with milliseconds.
type receiptJSON struct {
	ChainID    string  `json:"chain_id"`
	ID         string  `json:"id"`
	Epoch      *uint64 `json:"epoch"` // a pointer, because 0 is an epoch and no mark of absence
	Member     uint32  `json:"member"`
	ValidUntil uint64  `json:"valid_until"`
	Time       string  `json:"time"`
	Position   uint64  `json:"position"`
	Head       Hash    `json:"head"`
	Signature  string  `json:"signature"`
}

const timeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON implements json.Marshaler.
func (r Receipt) MarshalJSON() ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("marshal receipt: %w", err)
	}
	return json.Marshal(receiptJSON{
		ChainID: r.ChainID, ID: hexText(r.ID[:]), Epoch: &r.Epoch, Member: r.Member, ValidUntil: r.ValidUntil,
		Time: time.UnixMilli(r.Time).UTC().Format(timeLayout), Position: r.Position, Head: r.Head,
		Signature: hexText(r.Signature[:]),
	})
}

// UnmarshalJSON implements json.Unmarshaler. An unknown field, one that is
// missing, and any other spelling of a value are errors.
func (r *Receipt) UnmarshalJSON(b []byte) error {
	var j receiptJSON
	if err := decodeStrict(b, &j); err != nil {
		return fmt.Errorf("parse receipt: %w", err)
	}
	if j.Epoch == nil {
		return fmt.Errorf("parse receipt: %w: no epoch", ErrEncoding)
	}
	out := Receipt{ChainID: j.ChainID, Epoch: *j.Epoch, Member: j.Member, ValidUntil: j.ValidUntil, Position: j.Position, Head: j.Head}
	at, err := time.Parse(timeLayout, j.Time)
	if err != nil || at.UTC().Format(timeLayout) != j.Time {
		return fmt.Errorf("parse receipt: %w: time %q, want RFC 3339 in UTC with milliseconds", ErrEncoding, j.Time)
	}
	out.Time = at.UnixMilli()
	if err := parseHexInto(out.ID[:], j.ID); err != nil {
		return fmt.Errorf("parse receipt: id: %w", err)
	}
	if err := parseHexInto(out.Signature[:], j.Signature); err != nil {
		return fmt.Errorf("parse receipt: signature: %w", err)
	}
	if err := out.validate(); err != nil {
		return fmt.Errorf("parse receipt: %w: %w", ErrEncoding, err)
	}
	*r = out
	return nil
}

// decodeStrict decodes exactly one JSON value without unknown fields.
func decodeStrict(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one JSON value", ErrEncoding)
	}
	return nil
}
