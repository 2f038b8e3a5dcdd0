package threshold

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

const (
	domainCiphertextID = "scrim/ciphertext-id/v1"
	domainProof        = "scrim/ciphertext-proof/v1"
	domainPayloadKey   = "scrim/payload-key/v1"
	domainSealSeed     = "scrim/seal-seed/v1"

	challengeSize = 16
	tagSize       = 16
	capsuleSize   = 2*PointSize + challengeSize + ScalarSize // U, Ub, e, z
)

// ID names a ciphertext: SHA-256("scrim/ciphertext-id/v1" || wire bytes).
type ID [sha256.Size]byte

// String is the id in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Ciphertext has been parsed: its header is well-formed, its lengths are right and its scalar is canonical. Its points and
// its proof are not checked yet; Check does that. It never changes.
type Ciphertext struct {
	wire       []byte
	header     Header
	headerSize int
	id         ID
	z          scalar
}

// ParseCiphertext parses header | 48 U | 48 Ub | 16 e | 32 z | payload, the payload being 256<<size class + 16 bytes. It
// keeps no reference to b. Errors are [ErrEncoding], [ErrChainID] and [ErrNamespace].
func ParseCiphertext(b []byte) (*Ciphertext, error) {
	h, n, err := parseHeader(b)
	if err != nil {
		return nil, fmt.Errorf("parse ciphertext: %w", err)
	}
	if want := n + capsuleSize + h.paddedSize() + tagSize; len(b) != want {
		return nil, fmt.Errorf("parse ciphertext: %d bytes instead of %d: %w", len(b), want, ErrEncoding)
	}
	c := &Ciphertext{wire: bytes.Clone(b), header: h, headerSize: n}
	if err := c.z.SetBytesCanonical(c.response()); err != nil {
		return nil, fmt.Errorf("parse ciphertext: response not reduced: %w", ErrEncoding)
	}
	c.setID()
	return c, nil
}

func (c *Ciphertext) setID() {
	h := sha256.New()
	h.Write([]byte(domainCiphertextID))
	h.Write(c.wire)
	h.Sum(c.id[:0])
}

// Bytes is the encoding that was parsed.
func (c *Ciphertext) Bytes() []byte { return bytes.Clone(c.wire) }

// ID names the ciphertext.
func (c *Ciphertext) ID() ID { return c.id }

// Header is what the ciphertext shows.
func (c *Ciphertext) Header() Header { return c.header }

func (c *Ciphertext) field(offset, size int) []byte { return c.wire[c.headerSize+offset:][:size] }

func (c *Ciphertext) headerBytes() []byte { return c.wire[:c.headerSize] }
func (c *Ciphertext) u() []byte           { return c.field(0, PointSize) }
func (c *Ciphertext) ub() []byte          { return c.field(PointSize, PointSize) }
func (c *Ciphertext) challenge() []byte   { return c.field(2*PointSize, challengeSize) }
func (c *Ciphertext) response() []byte    { return c.field(2*PointSize+challengeSize, ScalarSize) }
func (c *Ciphertext) payload() []byte     { return c.wire[c.headerSize+capsuleSize:] }

// SealOptions says where a ciphertext may be used.
type SealOptions struct {
	ChainID      string
	Namespace    string
	ValidUntil   uint64 // last height at which the ciphertext may be ordered
	MinSizeClass uint8  // pad to this class at least, to hide the length further
}

// Seal encrypts a plaintext of up to [MaxPlaintext] bytes to the committee's key. It reads 32 bytes from rand, which must
// be a cryptographic source. The one-use secrets are derived from them together with the key, the header and the
// plaintext, so that a source that repeats itself (a copied virtual machine) does not repeat a secret for
// another message. They are multiplied in variable time, which lives as long as this call does; see docs/spec/threshold.md.
//
// Errors are [ErrTooLarge], [ErrNamespace], [ErrChainID], [ErrEncoding] for an impossible size class, and rand's.
func Seal(rand io.Reader, key *PublicKey, o SealOptions, plaintext []byte) (*Ciphertext, error) {
	if !key.exists() {
		return nil, fmt.Errorf("seal: no key: %w", ErrKey)
	}
	class, err := sizeClass(len(plaintext), o.MinSizeClass)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	h := Header{ChainID: o.ChainID, Namespace: o.Namespace, KeyID: key.id, ValidUntil: o.ValidUntil, SizeClass: class}
	if err := h.validate(); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	header := h.append(nil)
	k, w, err := sealSecrets(rand, header, plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}

	p := sealPoints(key, k, w)
	c := &Ciphertext{header: h, headerSize: len(header)}
	c.wire = make([]byte, 0, len(header)+capsuleSize+h.paddedSize()+tagSize)
	c.wire = append(c.wire, header...)
	c.wire = append(c.wire, p.u[:]...)
	c.wire = append(c.wire, p.ub[:]...)
	c.wire = c.wire[:len(header)+capsuleSize] // e and z follow once the payload is known
	aead := c.aead(p.opening[:])
	aad := sha256.Sum256(header)
	c.wire = aead.Seal(c.wire, nonce[:], pad(plaintext, h.paddedSize()), aad[:])

	e := c.proofHash(p.a[:], p.ab[:])
	copy(c.challenge(), e[:])
	c.z.SetBytes(e[:])
	c.z.Mul(&c.z, k).Add(&c.z, w)
	z := c.z.Bytes()
	copy(c.response(), z[:])
	c.setID()
	return c, nil
}

// sizeClass is the smallest class, from least on, that holds n bytes of plaintext.
func sizeClass(n int, least uint8) (uint8, error) {
	if n > MaxPlaintext {
		return 0, ErrTooLarge
	}
	class := least
	for class < MaxSizeClass && minPadded<<class < n+lengthSize {
		class++
	}
	return class, nil
}

// sealSecrets draws k and w.
func sealSecrets(rand io.Reader, header, plaintext []byte) (k, w *scalar, err error) {
	var seed [32]byte
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return nil, nil, fmt.Errorf("read randomness: %w", err)
	}
	hh, hp := sha256.Sum256(header), sha256.Sum256(plaintext)
	info := domainSealSeed + string(hh[:]) + string(hp[:])
	out, err := hkdf.Key(sha256.New, seed[:], nil, info, 2*48)
	if err != nil {
		return nil, nil, err
	}
	k, w = new(scalar), new(scalar)
	k.SetBytes(out[:48]) // 384 bits: the bias of the reduction is below 2^-128
	w.SetBytes(out[48:])
	if k.IsZero() || w.IsZero() {
		return nil, nil, errors.New("threshold: zero drawn")
	}
	return k, w, nil
}

type sealed struct{ u, ub, opening, a, ab [PointSize]byte }

func sealPoints(key *PublicKey, k, w *scalar) sealed {
	g, gb := generatorTable(), secondGeneratorTable()
	p := affineBatch([]g1Jac{g.times(k), gb.times(k), newFactor(k).times(&key.y), g.times(w), gb.times(w)})
	return sealed{p[0].Bytes(), p[1].Bytes(), p[2].Bytes(), p[3].Bytes(), p[4].Bytes()}
}

// nonce is zero: a payload key encrypts one payload.
var nonce [12]byte

// aead is AES-256-GCM under the key that the opening P = xU gives.
func (c *Ciphertext) aead(opening []byte) cipher.AEAD {
	hh := sha256.Sum256(c.headerBytes())
	info := domainPayloadKey + string(c.header.KeyID[:]) + string(c.u()) + string(hh[:])
	key, err := hkdf.Key(sha256.New, opening, nil, info, 32)
	if err != nil {
		panic("threshold: " + err.Error()) // only for an output longer than HKDF gives
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("threshold: " + err.Error()) // only for a wrong key length
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("threshold: " + err.Error())
	}
	return gcm
}

// proofHash is the challenge: it binds the proof to the key, the header, the payload and both points, so that no part can
// be taken over into another ciphertext. All fields have fixed lengths.
func (c *Ciphertext) proofHash(a, ab []byte) [challengeSize]byte {
	hh, hc := sha256.Sum256(c.headerBytes()), sha256.Sum256(c.payload())
	h := sha256.New()
	h.Write([]byte(domainProof))
	h.Write(c.header.KeyID[:])
	h.Write(hh[:])
	h.Write(hc[:])
	h.Write(c.u())
	h.Write(c.ub())
	h.Write(a)
	h.Write(ab)
	return [challengeSize]byte(h.Sum(nil))
}

// pad gives 4 length | plaintext | zeros.
func pad(plaintext []byte, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint32(b, uint32(len(plaintext)))
	copy(b[lengthSize:], plaintext)
	return b
}

func unpad(b []byte) ([]byte, bool) {
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-lengthSize) {
		return nil, false
	}
	plaintext, rest := b[lengthSize:lengthSize+n], b[lengthSize+n:]
	for _, z := range rest {
		if z != 0 {
			return nil, false
		}
	}
	return plaintext, true
}

// Checked is a ciphertext whose proof holds: whoever made it knew its plaintext. Only it can be shared, combined and
// opened.
type Checked struct {
	ct *Ciphertext
	u  g1
}

// Ciphertext is the ciphertext that was checked.
func (c *Checked) Ciphertext() *Ciphertext { return c.ct }

// ID names the ciphertext.
func (c *Checked) ID() ID { return c.ct.id }

// Header is what the ciphertext shows.
func (c *Checked) Header() Header { return c.ct.header }

// Check verifies that U and Ub are canonical points of the subgroup, not infinity, and that the proof holds: that one
// scalar takes G to U and Gb to Ub, and that its owner made this header and this payload. Errors are [ErrEncoding],
// [ErrPoint] and [ErrProof]. The key id, the chain and the height are the caller's to compare.
func (c *Ciphertext) Check() (*Checked, error) {
	if c == nil || c.wire == nil {
		return nil, fmt.Errorf("check ciphertext: none: %w", ErrEncoding)
	}
	e := wnaf(words128([challengeSize]byte(c.challenge())), coefficientWidth).negated()
	u, eu, err := decodeTimes(c.u(), e)
	if err != nil {
		return nil, fmt.Errorf("check ciphertext: U: %w", err)
	}
	_, eub, err := decodeTimes(c.ub(), e)
	if err != nil {
		return nil, fmt.Errorf("check ciphertext: Ub: %w", err)
	}
	a, ab := generatorTable().times(&c.z), secondGeneratorTable().times(&c.z)
	p := affineBatch([]g1Jac{*a.AddAssign(&eu), *ab.AddAssign(&eub)})
	ba, bab := p[0].Bytes(), p[1].Bytes()
	want := c.proofHash(ba[:], bab[:])
	if subtle.ConstantTimeCompare(want[:], c.challenge()) != 1 {
		return nil, fmt.Errorf("check ciphertext: %w", ErrProof)
	}
	return &Checked{ct: c, u: u}, nil
}

// decodeTimes is decodeG1 with the product by k, which has at most 128 bits: the doublings serve the check of the subgroup
// and the multiplication.
func decodeTimes(b []byte, k digits) (p g1, product g1Jac, err error) {
	if p, err = decompress(b); err != nil {
		return p, product, err
	}
	var d doublings
	d.set(&p)
	if !d.inSubgroup(&p) {
		return p, product, fmt.Errorf("G1 point outside the subgroup: %w", ErrPoint)
	}
	return p, d.times(k), nil
}

// CheckBatch checks many ciphertexts. Both results have the length of cts: errs[i] says why checked[i] is nil.
func CheckBatch(cts []*Ciphertext) (checked []*Checked, errs []error) {
	checked, errs = make([]*Checked, len(cts)), make([]error, len(cts))
	for i, c := range cts {
		checked[i], errs[i] = c.Check()
	}
	return checked, errs
}
