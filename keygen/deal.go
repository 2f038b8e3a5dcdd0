package keygen

import (
	"bytes"
	"crypto/ecdh"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"

	"github.com/cloudflare/circl/hpke"
	"go.dedis.ch/kyber/v3"
	"go.dedis.ch/kyber/v3/share"

	"github.com/scrimlabs/scrim/keygen/internal/g1"
	"github.com/scrimlabs/scrim/threshold"
)

const (
	domainPossession = "scrim/possession/v1"
	domainDealShare  = "scrim/deal-share/v1"
)

const (
	pointSize  = g1.PointSize
	scalarSize = g1.ScalarSize
	sealedSize = 32 + scalarSize + 16 // encapsulated key, share, tag
)

// deal is a dealer's polynomial as everybody sees it: commitments to its
// coefficients, a proof that the dealer knows the constant one, and a share
// for every member, encrypted to it.
type deal struct {
	commits []*g1.Point // exactly t; commits[0] is not infinity
	proof   possession
	sealed  [][sealedSize]byte // sealed[j-1] is for member j
	binding [32]byte           // digest, of a deal that was read
}

// append gives the body of a deal:
//
//	2 number of commitments | 48 each | 48 R | 32 z | 2 number of shares | 80 each
func (d *deal) append(b []byte) []byte { //nolint:unparam // as all encoders here
	b = appendPoints(binary.BigEndian.AppendUint16(b, uint16(len(d.commits))), d.commits)
	b = d.proof.append(b)
	b = binary.BigEndian.AppendUint16(b, uint16(len(d.sealed)))
	for i := range d.sealed {
		b = append(b, d.sealed[i][:]...)
	}
	return b
}

// readDeal takes the body apart and checks all that can be checked without a
// member's key. The fault is 0 for a valid deal.
func readDeal(t *Terms, ceremony [32]byte, dealer uint32, body []byte) (*deal, FaultKind) {
	r := newReader(body)
	commits := make([][]byte, r.count(pointSize))
	for i := range commits {
		commits[i] = r.Bytes(pointSize)
	}
	nonce, response := r.Bytes(pointSize), r.Bytes(scalarSize)
	d := &deal{sealed: make([][sealedSize]byte, r.count(sealedSize))}
	for i := range d.sealed {
		r.Fill(d.sealed[i][:])
	}
	if r.End() != nil {
		return nil, FaultEncoding
	}
	if len(commits) != t.Threshold {
		return nil, FaultCommitments
	}
	if len(d.sealed) != t.N() {
		return nil, FaultShareCount
	}
	for _, c := range commits {
		p, err := parsePoint(c)
		if err != nil {
			return nil, FaultEncoding
		}
		d.commits = append(d.commits, p)
	}
	var err error
	if d.proof, err = parsePossession(nonce, response); err != nil {
		return nil, FaultEncoding
	}
	if !d.proof.holds(t, ceremony, dealer, d.commits[0]) {
		return nil, FaultPossession
	}
	if t.Change == ChangeReshare {
		if key := t.handedOver(dealer); key == nil || !key.MatchesG1(commits[0]) {
			return nil, FaultReshare
		}
	}
	d.binding = sha256.Sum256(body[2 : 2+len(commits)*pointSize])
	return d, 0
}

// handedOver is the key of the share that a dealer of a resharing deals; nil if
// the terms, which evidence may bring along, have none.
func (t *Terms) handedOver(dealer uint32) *threshold.MemberKey {
	if t.Previous == nil || t.Previous.Committee == nil {
		return nil
	}
	if j := t.previousIndex(dealer); j >= 1 && uint64(j) <= uint64(t.Previous.Committee.N()) {
		return t.Previous.Committee.Members[j-1]
	}
	return nil
}

// poly is the public polynomial, for kyber to evaluate.
func (d *deal) poly() *share.PubPoly { return pubPoly(d.commits) }

// digest binds the encrypted shares to the commitments; see binding.
func (d *deal) digest() [32]byte { return sha256.Sum256(appendPoints(nil, d.commits)) }

// fits reports whether v is the polynomial's value at member. Constant time in v.
func (d *deal) fits(member uint32, v kyber.Scalar) bool {
	return g1.Secret.Point().Mul(v, nil).Equal(evalAt(d.poly(), member))
}

// kyber's index i stands for the argument i+1; a member's index is the argument.

func evalAt(p *share.PubPoly, member uint32) *g1.Point {
	return p.Eval(int(member) - 1).V.(*g1.Point)
}

func pubPoly(commits []*g1.Point) *share.PubPoly {
	points := make([]kyber.Point, len(commits))
	for i, c := range commits {
		points[i] = c
	}
	return share.NewPubPoly(g1.Public, nil, points)
}

func parsePoint(b []byte) (*g1.Point, error) {
	p := g1.Public.Point().(*g1.Point)
	return p, p.UnmarshalBinary(b)
}

func parseScalar(b []byte) (*g1.Scalar, error) {
	s := new(g1.Scalar)
	return s, s.UnmarshalBinary(b)
}

func appendPoints(b []byte, points []*g1.Point) []byte {
	for _, p := range points {
		enc := p.Bytes()
		b = append(b, enc[:]...)
	}
	return b
}

// possession is a Schnorr proof that a dealer knows the discrete logarithm a
// of its constant term A = aG: R = kG, z = k + ca. Without it a dealer that
// speaks last could choose A so that the sum of all is what it likes.
type possession struct {
	nonce    *g1.Point
	response *g1.Scalar
}

func (p possession) append(b []byte) []byte {
	z := p.response.Bytes()
	return append(appendPoints(b, []*g1.Point{p.nonce}), z[:]...)
}

func parsePossession(nonce, response []byte) (p possession, err error) {
	if p.nonce, err = parsePoint(nonce); err != nil {
		return p, err
	}
	p.response, err = parseScalar(response)
	return p, err
}

// provePossession needs k fresh for every A.
func provePossession(t *Terms, ceremony [32]byte, dealer uint32, a, k kyber.Scalar) possession {
	public := g1.Secret.Point().Mul(a, nil).(*g1.Point)
	p := possession{nonce: g1.Secret.Point().Mul(k, nil).(*g1.Point), response: new(g1.Scalar)}
	p.response.Mul(p.challenge(t, ceremony, dealer, public), a)
	p.response.Add(p.response, k)
	return p
}

func (p possession) holds(t *Terms, ceremony [32]byte, dealer uint32, public *g1.Point) bool {
	if public.IsInfinity() {
		return false
	}
	left := g1.Public.Point().Mul(p.response, nil)
	right := g1.Public.Point().Mul(p.challenge(t, ceremony, dealer, public), public)
	return left.Equal(right.Add(right, p.nonce))
}

// challenge is SHA-512 of
//
//	domain | 1 length | chain id | 32 ceremony | 4 dealer | 48 A | 48 R
//
// as an integer, modulo the order.
func (p possession) challenge(t *Terms, ceremony [32]byte, dealer uint32, public *g1.Point) *g1.Scalar {
	b := append(appendText([]byte(domainPossession), t.ChainID), ceremony[:]...)
	b = appendPoints(binary.BigEndian.AppendUint32(b, dealer), []*g1.Point{public, p.nonce})
	h := sha512.Sum512(b)
	c := new(g1.Scalar)
	c.SetBytes(h[:])
	return c
}

// Shares are encrypted with HPKE (RFC 9180), base mode, single shot.
var shareSuite = hpke.NewSuite(hpke.KEM_X25519_HKDF_SHA256, hpke.KDF_HKDF_SHA256, hpke.AEAD_ChaCha20Poly1305)

// sealContext says between whom a share travels, and under which commitments.
type sealContext struct {
	terms            *Terms
	ceremony         [32]byte
	dealer, receiver uint32
	commitments      [32]byte // deal.digest
}

// info is: domain | 1 length | chain id | 32 ceremony | 4 dealer | 4 receiver
func (c sealContext) info() []byte {
	b := append(appendText([]byte(domainDealShare), c.terms.ChainID), c.ceremony[:]...)
	b = binary.BigEndian.AppendUint32(b, c.dealer)
	return binary.BigEndian.AppendUint32(b, c.receiver)
}

// seal encrypts a share to its receiver. ephemeral is HPKE's input keying
// material: the same one gives the same bytes, which is how a dealer later
// proves what it has encrypted.
func (c sealContext) seal(v *g1.Scalar, ephemeral [32]byte) (out [sealedSize]byte, err error) {
	scheme := hpke.KEM_X25519_HKDF_SHA256.Scheme()
	key, err := scheme.UnmarshalBinaryPublicKey(c.terms.member(c.receiver).Encryption[:])
	if err != nil {
		return out, fmt.Errorf("encryption key of %s: %w", c.terms.name(c.receiver), err)
	}
	sender, err := shareSuite.NewSender(key, c.info())
	if err != nil {
		return out, err
	}
	enc, sealer, err := sender.Setup(bytes.NewReader(ephemeral[:]))
	if err != nil {
		return out, fmt.Errorf("encrypt to %s: %w", c.terms.name(c.receiver), err)
	}
	plain := v.Bytes()
	defer clear(plain[:])
	ct, err := sealer.Seal(plain[:], c.commitments[:])
	if err != nil {
		return out, err
	}
	copy(out[copy(out[:], enc):], ct)
	return out, nil
}

// open decrypts a share; what it gives is a scalar, not yet one that fits.
func (c sealContext) open(key *ecdh.PrivateKey, sealed [sealedSize]byte) (*g1.Scalar, error) {
	private, err := hpke.KEM_X25519_HKDF_SHA256.Scheme().UnmarshalBinaryPrivateKey(key.Bytes())
	if err != nil {
		return nil, err
	}
	receiver, err := shareSuite.NewReceiver(private, c.info())
	if err != nil {
		return nil, err
	}
	opener, err := receiver.Setup(sealed[:32])
	if err != nil {
		return nil, err
	}
	plain, err := opener.Open(sealed[32:], c.commitments[:])
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return parseScalar(plain)
}
