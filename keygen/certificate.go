package keygen

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"go.dedis.ch/kyber/v3"
	"go.dedis.ch/kyber/v3/share"

	"github.com/scrimlabs/scrim/keygen/internal/g1"
	"github.com/scrimlabs/scrim/threshold"
)

const (
	domainTranscript  = "scrim/transcript/v1"
	domainCertificate = "scrim/certificate/v1"
	domainStored      = "scrim/stored-certificate/v2"

	certificateVersion = 2
)

// outcome is what the deals, complaints and answers came to.
type outcome struct {
	qualified  []uint32
	weights    []*g1.Scalar // of the qualified dealers' polynomials in the committee's; nil if all are 1
	commits    []*g1.Point  // of the committee's polynomial
	transcript [32]byte
	message    []byte // what every member signs with its share
}

func newOutcome(s *State, qualified []uint32) *outcome {
	o := &outcome{qualified: qualified, commits: make([]*g1.Point, s.terms.Threshold)}
	if s.terms.Change == ChangeReshare {
		o.weights = lagrangeAtZero(s.terms, qualified)
	}
	for k := range o.commits {
		column := make([]*g1.Point, len(qualified))
		for i, j := range qualified {
			column[i] = s.deal(j).commits[k]
		}
		o.commits[k] = o.sum(column)
	}
	o.transcript = s.transcript(o)
	o.message = certifiedMessage(s.terms.ChainID, s.ceremony, o.transcript, o.commits[0].Bytes())
	return o
}

// sum combines one point of each qualified dealer.
func (o *outcome) sum(points []*g1.Point) *g1.Point {
	if o.weights != nil {
		return g1.Combine(points, o.weights)
	}
	sum := g1.Public.Point().(*g1.Point)
	for _, p := range points {
		sum.Add(sum, p)
	}
	return sum
}

// hasKey reports whether the outcome's key is this one.
func (o *outcome) hasKey(key *threshold.PublicKey) bool {
	y := o.commits[0].Bytes()
	return bytes.Equal(y[:], key.Bytes()[:pointSize])
}

// lagrangeAtZero gives the coefficients by which the dealers' shares of the previous
// committee's secret add up to it: prod_{k != j} x_k / (x_k - x_j), with x the
// indexes in the previous committee.
func lagrangeAtZero(t *Terms, dealers []uint32) []*g1.Scalar {
	at := func(j uint32) *g1.Scalar {
		return g1.Public.Scalar().SetInt64(int64(t.previousIndex(j))).(*g1.Scalar)
	}
	out := make([]*g1.Scalar, len(dealers))
	for i, j := range dealers {
		above, below := g1.Public.Scalar().One(), g1.Public.Scalar().One()
		for _, k := range dealers {
			if k != j {
				above.Mul(above, at(k))
				below.Mul(below, g1.Public.Scalar().Sub(at(k), at(j)))
			}
		}
		out[i] = above.Div(above, below).(*g1.Scalar)
	}
	return out
}

func (o *outcome) poly() *share.PubPoly { return pubPoly(o.commits) }

// fits reports whether v is the committee polynomial's value at member. Constant time in v.
func (o *outcome) fits(member uint32, v kyber.Scalar) bool {
	return g1.Secret.Point().Mul(v, nil).Equal(evalAt(o.poly(), member))
}

// transcript is the hash of all that was said until certifying, and of what it came to:
//
//	domain | 32 ceremony | for deal, response, justification, for each speaker: 0, or 1 | 32 SHA-256(body) | 64 signature
//	| 2 number of qualified | 4 each | 48 each commitment of the committee's polynomial
func (s *State) transcript(o *outcome) [32]byte {
	h := sha256.New()
	h.Write([]byte(domainTranscript))
	h.Write(s.ceremony[:])
	for k := KindDeal; k <= KindJustification; k++ {
		for _, e := range s.entries[k-1] {
			h.Write(appendBool(nil, e != nil))
			if e != nil {
				h.Write(e.digest[:])
				h.Write(e.Signature[:])
			}
		}
	}
	h.Write(appendMembers(nil, o.qualified))
	h.Write(appendPoints(nil, o.commits))
	return [32]byte(h.Sum(nil))
}

func appendMembers(b []byte, members []uint32) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(members)))
	for _, j := range members {
		b = binary.BigEndian.AppendUint32(b, j)
	}
	return b
}

// certifiedMessage is: domain | 1 length | chain id | 32 ceremony | 32 transcript | 48 committee key Y
func certifiedMessage(chainID string, ceremony, transcript [32]byte, y [pointSize]byte) []byte {
	b := append(appendText([]byte(domainCertificate), chainID), ceremony[:]...)
	return append(append(b, transcript[:]...), y[:]...)
}

// Certification is a member's word that the ceremony ended with this
// transcript and that it holds its share: its key in G2, and a signature with
// the share.
type Certification struct {
	Member uint32
	Key    []byte // V_j, 96 bytes, as threshold.MemberKey
	Share  threshold.SignatureShare
	// Signature is that of the ceremony message: the member's identity, over
	// chain, ceremony and a body that is transcript | Key | Share.
	Signature [64]byte
}

const (
	keySize           = threshold.Point2Size
	certificationBody = 32 + keySize + pointSize
)

// body is: 32 transcript | 96 V_j | 48 signature share
func (c *Certification) body(transcript [32]byte) []byte {
	return append(append(transcript[:], c.Key...), c.Share.Point[:]...)
}

// readCertification checks a certification against the state's outcome. The
// signature is filled in by State.certifications.
func readCertification(s *State, member uint32, body []byte) (*Certification, FaultKind) {
	if len(body) != certificationBody {
		return nil, FaultEncoding
	}
	r := newReader(body)
	if !bytes.Equal(r.Bytes(32), s.outcome.transcript[:]) {
		return nil, FaultTranscript
	}
	c := &Certification{Member: member, Key: r.Bytes(keySize), Share: threshold.SignatureShare{Member: member}}
	r.Fill(c.Share.Point[:])
	key, err := threshold.ParseMemberKey(c.Key)
	if err != nil {
		return nil, FaultEncoding
	}
	public := evalAt(s.outcome.poly(), member).Bytes()
	switch {
	case threshold.VerifyMember(key, public[:], s.outcome.message, c.Share):
		return c, 0
	case !key.MatchesG1(public[:]):
		return nil, FaultKey
	default:
		return nil, FaultShare
	}
}

// certifications lists the valid ones, in the order of members.
func (s *State) certifications() (out []Certification) {
	for _, e := range s.entries[KindCertification-1] {
		if e != nil && e.certification != nil {
			c := *e.certification
			c.Signature = e.Signature
			out = append(out, c)
		}
	}
	return out
}

// Certificate proves to anybody that a ceremony made a committee. It needs no
// log: VerifyCertificate checks all of it. The log, if one has it, proves the
// transcript.
type Certificate struct {
	Terms          *Terms
	Transcript     [32]byte
	Qualified      []uint32 // dealers whose deals count, as speakers, ascending
	Committee      *threshold.Committee
	Approvals      []Approval      // of the previous committee, at least its threshold, ascending; none if there was none
	Certifications []Certification // at least the threshold, ascending by member
}

// Approval is a previous member's consent to the terms: the signature of its message.
type Approval struct {
	Member    uint32 // as which it speaks, n+1 to n+m
	Signature [64]byte
}

// approvals lists those that count.
func (s *State) approvals() (out []Approval) {
	for _, j := range s.approving() {
		out = append(out, Approval{j, s.entry(KindConsent, j).Signature})
	}
	return out
}

// ErrCertificate says that a certificate does not prove what it claims.
var ErrCertificate = errors.New("keygen: certificate")

func newCertificate(s *State, valid []Certification) (*Certificate, error) {
	known := make(map[uint32]*threshold.MemberKey, len(valid))
	for _, c := range valid {
		key, err := threshold.ParseMemberKey(c.Key)
		if err != nil {
			return nil, err
		}
		known[c.Member] = key
	}
	members, y2, err := threshold.CompleteMembers(s.terms.N(), s.terms.Threshold, known)
	if err != nil {
		return nil, err
	}
	y := s.outcome.commits[0].Bytes()
	key, err := threshold.ParsePublicKey(append(y[:], y2...))
	if err != nil {
		return nil, err
	}
	committee, err := threshold.NewCommittee(s.terms.Epoch, s.terms.Threshold, key, members)
	if err != nil {
		return nil, err
	}
	return &Certificate{s.terms, s.outcome.transcript, s.outcome.qualified, committee, s.approvals(), valid}, nil
}

// VerifyCertificate checks a certificate from anywhere: that the committee is
// one of the terms, that its keys are consistent, and that at least the
// threshold of its members certified it, each with its identity and with its
// share. If terms is not nil, the certificate must be for exactly these: whoever
// has pinned them need not trust the certificate's source. Errors wrap ErrCertificate.
func VerifyCertificate(c *Certificate, terms *Terms) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrCertificate, fmt.Errorf(format, args...))
	}
	if c.Terms == nil || c.Committee == nil || c.Committee.Key == nil {
		return bad("terms or committee are missing")
	}
	if err := c.Terms.Validate(); err != nil {
		return bad("%w", err)
	}
	ceremony := c.Terms.Hash()
	if terms != nil && terms.Hash() != ceremony {
		return bad("it is for terms %s, not for %s", short(ceremony), short(terms.Hash()))
	}
	n, t := c.Terms.N(), c.Terms.Threshold
	k := c.Committee
	if k.Epoch != c.Terms.Epoch || k.Threshold != t || len(k.Members) != n {
		return bad("committee is epoch %d, %d of %d; terms say epoch %d, %d of %d", k.Epoch, k.Threshold, len(k.Members), c.Terms.Epoch, t, n)
	}
	if _, err := threshold.NewCommittee(k.Epoch, k.Threshold, k.Key, k.Members); err != nil {
		return bad("committee: %w", err)
	}
	if err := c.verifySuccessor(ceremony); err != nil {
		return bad("%w", err)
	}
	first, dealers := c.Terms.dealers()
	if err := ascending(c.Qualified, first, dealers, c.Terms.dealsNeeded()); err != nil {
		return bad("qualified dealers: %w", err)
	}
	certified := make([]uint32, len(c.Certifications))
	for i, one := range c.Certifications {
		certified[i] = one.Member
	}
	if err := ascending(certified, 1, n, t); err != nil {
		return bad("certifications: %w", err)
	}
	message := certifiedMessage(c.Terms.ChainID, ceremony, c.Transcript, [pointSize]byte(k.Key.Bytes()))
	for _, one := range c.Certifications {
		if err := c.verifyOne(ceremony, message, one); err != nil {
			return bad("%s: %w", c.Terms.name(one.Member), err)
		}
	}
	return nil
}

// verifySuccessor checks the previous members' approvals, and that the key stays
// or changes as the terms say.
func (c *Certificate) verifySuccessor(ceremony [32]byte) error {
	approving := make([]uint32, len(c.Approvals))
	for i, a := range c.Approvals {
		approving[i] = a.Member
	}
	t := c.Terms
	if err := ascending(approving, uint32(t.N())+1, t.handsOver(), t.approvalsNeeded()); err != nil {
		return fmt.Errorf("approvals: %w", err)
	}
	nothing := sha256.Sum256(nil)
	for _, a := range c.Approvals {
		if err := t.verifySigned(ceremony, KindConsent, a.Member, nothing, a.Signature); err != nil {
			return err
		}
	}
	if t.Previous == nil {
		return nil
	}
	if same := bytes.Equal(c.Committee.Key.Bytes(), t.Previous.Committee.Key.Bytes()); same != (t.Change == ChangeReshare) {
		return fmt.Errorf("a %s with the wrong key: a resharing keeps the previous committee's, a rotation does not", t.Change)
	}
	return nil
}

// VerifySuccession checks that the committee of next follows that of prev: that
// next's terms name exactly prev as the committee that hands over, and the next
// epoch of the same chain. Both must have been verified by VerifyCertificate.
// Errors wrap ErrCertificate.
func VerifySuccession(next, prev *Certificate) error {
	if next == nil || next.Terms == nil {
		return fmt.Errorf("%w: terms are missing", ErrCertificate)
	}
	office, err := PreviousOf(prev)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	case next.Terms.ChainID != prev.Terms.ChainID:
		return fmt.Errorf("%w: chain %s does not follow chain %s", ErrCertificate, next.Terms.ChainID, prev.Terms.ChainID)
	case next.Terms.Previous == nil || next.Terms.Epoch != prev.Terms.Epoch+1 || !next.Terms.Previous.Equal(office):
		return fmt.Errorf("%w: epoch %d does not follow this certificate of epoch %d", ErrCertificate, next.Terms.Epoch, prev.Terms.Epoch)
	}
	return nil
}

func (c *Certificate) verifyOne(ceremony [32]byte, message []byte, one Certification) error {
	key := c.Committee.Members[one.Member-1]
	if !bytes.Equal(key.Bytes(), one.Key) {
		return errors.New("its key is not the committee's")
	}
	if one.Share.Member != one.Member {
		return errors.New("its signature share is another member's")
	}
	digest := sha256.Sum256(one.body(c.Transcript))
	if err := c.Terms.verifySigned(ceremony, KindCertification, one.Member, digest, one.Signature); err != nil {
		return err
	}
	return threshold.VerifySignatureShareKey(key, message, one.Share)
}

// ascending checks a set of speakers: each once, of the count from first on, at least t.
func ascending(members []uint32, first uint32, count, t int) error {
	last := first - 1
	for _, j := range members {
		if j <= last || uint64(j) >= uint64(first)+uint64(count) {
			return fmt.Errorf("member %d is out of order or does not exist", j)
		}
		last = j
	}
	if len(members) < t {
		return fmt.Errorf("%d of the %d that are needed", len(members), t)
	}
	return nil
}

// MarshalBinary is:
//
//	1 version | 4 length | terms | 32 transcript | 2 number of qualified | 4 each | 4 length | committee
//	| 2 number of approvals | each: 4 speaker | 64 signature
//	| 2 number of certifications | each: 4 member | 96 key | 48 signature share | 64 signature
func (c *Certificate) MarshalBinary() ([]byte, error) {
	terms, err := c.Terms.MarshalBinary()
	if err != nil {
		return nil, err
	}
	committee, err := c.Committee.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b := appendBlock([]byte{certificateVersion}, terms)
	b = appendMembers(append(b, c.Transcript[:]...), c.Qualified)
	b = appendBlock(b, committee)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Approvals)))
	for _, a := range c.Approvals {
		b = append(binary.BigEndian.AppendUint32(b, a.Member), a.Signature[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Certifications)))
	for _, one := range c.Certifications {
		if len(one.Key) != keySize || one.Share.Member != one.Member {
			return nil, fmt.Errorf("certificate: %w: certification of member %d", ErrEncoding, one.Member)
		}
		b = append(binary.BigEndian.AppendUint32(b, one.Member), one.Key...)
		b = append(append(b, one.Share.Point[:]...), one.Signature[:]...)
	}
	return b, nil
}

// Hash is what a member signs when it has read its share back:
// SHA-256("scrim/stored-certificate/v2" || MarshalBinary).
func (c *Certificate) Hash() ([32]byte, error) {
	b, err := c.MarshalBinary()
	if err != nil {
		return [32]byte{}, err
	}
	return sha256.Sum256(append([]byte(domainStored), b...)), nil
}

// ParseCertificate is the inverse of MarshalBinary. It checks the form only:
// call VerifyCertificate before believing it.
func ParseCertificate(b []byte) (*Certificate, error) {
	r := newReader(b)
	r.Version(certificateVersion)
	terms := r.block()
	var c Certificate
	r.Fill(c.Transcript[:])
	c.Qualified = make([]uint32, r.count(4))
	for i := range c.Qualified {
		c.Qualified[i] = r.Uint32()
	}
	committee := r.block()
	for range r.count(4 + 64) {
		a := Approval{Member: r.Uint32()}
		r.Fill(a.Signature[:])
		c.Approvals = append(c.Approvals, a)
	}
	c.Certifications = make([]Certification, r.count(4+keySize+pointSize+64))
	for i := range c.Certifications {
		one := &c.Certifications[i]
		one.Member = r.Uint32()
		one.Key = bytes.Clone(r.Bytes(keySize))
		one.Share.Member = one.Member
		r.Fill(one.Share.Point[:])
		r.Fill(one.Signature[:])
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	var err error
	if c.Terms, err = ParseTerms(terms); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	if c.Committee, err = threshold.ParseCommittee(committee); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return &c, nil
}
