package keygen

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"go.dedis.ch/kyber/v3"
	"go.dedis.ch/kyber/v3/share"

	"github.com/scrimlabs/scrim/keygen/internal/g1"
	"github.com/scrimlabs/scrim/threshold"
)

const domainParticipant = "scrim/ceremony-secret/v1"

var (
	// ErrNotMember says that a secret is none of the terms' members'.
	ErrNotMember = errors.New("keygen: the secret does not belong to a member of these terms")
	// ErrTooSoon says that the shares are not settled yet.
	ErrTooSoon = errors.New("keygen: the ceremony has not come to certifying")
	// ErrNotStored asks for ConfirmStored.
	ErrNotStored = errors.New("keygen: store the share and confirm it before it can be certified")
	// ErrNotReadBack asks for ConfirmReadBack.
	ErrNotReadBack = errors.New("keygen: read the share back from where it is stored, and confirm it, before it can be called stored")
	// ErrShareLost says that a qualified dealer sent this member a wrong share
	// and that the member did not complain in time.
	ErrShareLost = errors.New("keygen: a dealer's share for this member does not fit, and the time to complain is over")
	// ErrWrongShare says that the stored share is not the one of this ceremony.
	ErrWrongShare = errors.New("keygen: the stored share is not the one of this ceremony")
)

// Participant is the private half of a ceremony: what one member knows. All of
// it is computed from the member's secret, the terms and the seed, so a member
// that restarts says the same bytes again. It is for one goroutine.
type Participant struct {
	secret   *MemberSecret
	terms    *Terms
	ceremony [32]byte
	index    uint32
	root     []byte            // of all private values of this ceremony
	stored   *[scalarSize]byte // of ConfirmStored
	readBack *[scalarSize]byte // of ConfirmReadBack
}

// NewParticipant takes part in the ceremony under terms. The seed is drawn at
// random once for these terms, and must be stored before Next is called: with
// another seed the member would contradict itself.
func NewParticipant(secret *MemberSecret, terms *Terms, seed [32]byte) (*Participant, error) {
	if err := terms.Validate(); err != nil {
		return nil, err
	}
	index, err := findMember(secret, terms)
	if err != nil {
		return nil, err
	}
	material := append(secret.derive("ceremony"), seed[:]...)
	defer clear(material)
	root, err := hkdf.Extract(sha256.New, material, []byte(domainParticipant))
	if err != nil {
		return nil, fmt.Errorf("keygen: participant: %w", err)
	}
	return &Participant{secret: secret, terms: terms, ceremony: terms.Hash(), index: index, root: root}, nil
}

// findMember tells which member the secret belongs to. Its public keys must be
// the ones in the terms, all four.
func findMember(secret *MemberSecret, terms *Terms) (uint32, error) {
	for i, m := range terms.Members {
		own := secret.Member(m.Name)
		if !own.Identity.Equal(m.Identity) {
			continue
		}
		if !own.Validator.Equal(m.Validator) || !own.Node.Equal(m.Node) || own.Encryption != m.Encryption {
			return 0, fmt.Errorf("%w: %s has this identity but other keys", ErrNotMember, terms.name(uint32(i+1)))
		}
		return uint32(i + 1), nil
	}
	return 0, ErrNotMember
}

// Index is the member's number, 1 to n.
func (p *Participant) Index() uint32 { return p.index }

// Wipe overwrites what the participant knows. The member's secret stays.
func (p *Participant) Wipe() {
	clear(p.root)
	for _, secret := range []*[scalarSize]byte{p.stored, p.readBack} {
		if secret != nil {
			clear(secret[:])
		}
	}
}

// Format hides the participant from every fmt verb.
func (*Participant) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[participant]") }

// LogValue hides the participant from slog.
func (*Participant) LogValue() slog.Value { return slog.StringValue("[participant]") }

// Next gives the message that this member owes in the state's phase, nil if it
// owes none. Send it until it is in the state. Call it with states of the
// committed log only: what it gives is signed. In certifying it wants the
// share stored first (ErrNotStored, see ConfirmStored); ErrShareLost then says
// that this member will not have one, and the others go on without it. In storing
// it wants it read back once more (ErrNotReadBack, see ConfirmReadBack). To
// proposed terms it owes nothing: see Vote.
func (p *Participant) Next(s *State) (*Message, error) {
	if s.ceremony != p.ceremony {
		return nil, ErrOtherCeremony
	}
	k := s.phase.kind()
	if k == 0 || k == KindConsent || !s.asks(k, p.index) || s.entry(k, p.index) != nil {
		return nil, nil
	}
	body, err := p.body(s, k)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", k, p.terms.name(p.index), err)
	}
	return newMessage(p.secret.Identity(), p.terms, p.ceremony, k, p.index, body), nil
}

func (p *Participant) body(s *State, k Kind) ([]byte, error) {
	switch k {
	case KindDeal:
		return p.dealBody(p.poly())
	case KindResponse:
		return p.responseBody(s)
	case KindJustification:
		return p.justificationBody(s)
	case KindCertification:
		return p.certificationBody(s)
	default:
		return p.storedBody(s)
	}
}

// Vote is a member's word without a body: KindConsent or KindRejection to proposed
// terms, KindAbort to end the ceremony without a key. It takes no participant, so
// that a member can say it from anywhere.
func Vote(secret *MemberSecret, t *Terms, k Kind) (*Message, error) {
	if k != KindConsent && k != KindRejection && k != KindAbort {
		return nil, fmt.Errorf("%w: a %s is not a vote", ErrKind, k)
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	index, err := findMember(secret, t)
	if err != nil {
		return nil, err
	}
	return newMessage(secret.Identity(), t, t.Hash(), k, index, nil), nil
}

// derive gives private bytes for one purpose and index in this ceremony.
func (p *Participant) derive(purpose string, index uint32, length int) []byte {
	info := append([]byte(domainParticipant+" "+purpose), p.ceremony[:]...)
	out, err := hkdf.Expand(sha256.New, p.root, string(binary.BigEndian.AppendUint32(info, index)), length)
	if err != nil {
		panic("keygen: derive: " + err.Error()) // only for absurd lengths
	}
	return out
}

// scalar is uniform up to a bias below 2^-128.
func (p *Participant) scalar(purpose string, index uint32) kyber.Scalar {
	b := p.derive(purpose, index, 48)
	defer clear(b)
	return new(g1.Scalar).SetBytes(b)
}

func (p *Participant) ephemeral(receiver uint32) [32]byte {
	return [32]byte(p.derive("ephemeral", receiver, 32))
}

// poly is the secret polynomial of degree t-1.
func (p *Participant) poly() *share.PriPoly {
	coefficients := make([]kyber.Scalar, p.terms.Threshold)
	for k := range coefficients {
		coefficients[k] = p.scalar("coefficient", uint32(k))
	}
	return share.CoefficientsToPriPoly(g1.Secret, coefficients)
}

// shareFor is the polynomial's value at a member.
func shareFor(poly *share.PriPoly, member uint32) *g1.Scalar {
	return poly.Eval(int(member) - 1).V.(*g1.Scalar)
}

func (p *Participant) dealBody(poly *share.PriPoly) ([]byte, error) {
	_, commits := poly.Commit(g1.Secret.Point().Base()).Info()
	d := &deal{sealed: make([][sealedSize]byte, p.terms.N())}
	for _, c := range commits {
		public := g1.Public.Point().(*g1.Point)
		d.commits = append(d.commits, public.Set(c).(*g1.Point))
	}
	d.proof = provePossession(p.terms, p.ceremony, p.index, poly.Secret(), p.scalar("possession", 0))
	binding := d.digest()
	for i := range d.sealed {
		receiver := uint32(i + 1)
		ctx := sealContext{p.terms, p.ceremony, p.index, receiver, binding}
		var err error
		if d.sealed[i], err = ctx.seal(shareFor(poly, receiver), p.ephemeral(receiver)); err != nil {
			return nil, err
		}
	}
	return d.append(nil), nil
}

func (p *Participant) responseBody(s *State) ([]byte, error) {
	body := make([]byte, p.terms.N())
	key := p.secret.encryption()
	for i := range body {
		dealer := uint32(i + 1)
		d := s.deal(dealer)
		if d == nil {
			continue
		}
		body[i] = byte(approval)
		if v, err := dealtShare(key, s, dealer, p.index); err != nil || !d.fits(p.index, v) {
			body[i] = byte(complaint)
		}
	}
	return body, nil
}

func (p *Participant) justificationBody(s *State) ([]byte, error) {
	poly := p.poly()
	var answers []answer
	for _, member := range s.complaints(p.index) {
		answers = append(answers, answer{member, shareFor(poly, member), p.ephemeral(member)})
	}
	return appendAnswers(nil, answers), nil
}

func (p *Participant) certificationBody(s *State) ([]byte, error) {
	if p.stored == nil {
		return nil, ErrNotStored
	}
	own, err := p.confirmed(s, p.stored)
	if err != nil {
		return nil, err
	}
	defer own.Wipe()
	signature, err := own.Sign(s.outcome.message)
	if err != nil {
		return nil, err
	}
	c := Certification{Member: p.index, Key: own.MemberKey().Bytes(), Share: signature}
	return c.body(s.outcome.transcript), nil
}

// storedBody is the hash of the certificate.
func (p *Participant) storedBody(s *State) ([]byte, error) {
	if p.readBack == nil {
		return nil, ErrNotReadBack
	}
	own, err := p.confirmed(s, p.readBack)
	if err != nil {
		return nil, err
	}
	own.Wipe()
	hash := s.certificateHash
	return hash[:], nil
}

// confirmed is the share that was read from the disk, if it is the member's: the one
// value that the committee's polynomial has at the member.
func (p *Participant) confirmed(s *State, read *[scalarSize]byte) (*threshold.SecretShare, error) {
	if s.outcome == nil {
		return nil, ErrTooSoon
	}
	v, err := parseScalar(read[:])
	if err != nil || !s.outcome.fits(p.index, v) {
		return nil, ErrWrongShare
	}
	return threshold.NewSecretShare(p.index, read)
}

// ConfirmStored tells the participant, before it certifies, that the share is on
// disk, fsynced. Give it what was read back from there.
func (p *Participant) ConfirmStored(share *threshold.SecretShare) error {
	return p.confirm(&p.stored, share)
}

// ConfirmReadBack tells the participant, in storing, that the share was read a
// second time: opened and decrypted anew, from the disk or from a backup, and
// not taken from what ConfirmStored was given.
func (p *Participant) ConfirmReadBack(share *threshold.SecretShare) error {
	return p.confirm(&p.readBack, share)
}

func (p *Participant) confirm(into **[scalarSize]byte, share *threshold.SecretShare) error {
	if share.Member() != p.index {
		return fmt.Errorf("%w: it is member %d's", ErrWrongShare, share.Member())
	}
	secret := share.ExposeSecretBytes()
	*into = &secret
	return nil
}

// Share is the member's share of the committee's secret; from certifying on.
func (p *Participant) Share(s *State) (*threshold.SecretShare, error) {
	if s.ceremony != p.ceremony {
		return nil, ErrOtherCeremony
	}
	return RecoverShare(p.secret, s)
}

// RecoverShare computes a member's share from its long-term secret and the
// ceremony's public state alone: the shares are in the log, encrypted to the
// member. It works without the participant's seed, in certifying and in every
// later state, as long as somebody has the log.
func RecoverShare(secret *MemberSecret, s *State) (*threshold.SecretShare, error) {
	index, err := findMember(secret, s.terms)
	if err != nil {
		return nil, err
	}
	if s.outcome == nil {
		return nil, ErrTooSoon
	}
	key := secret.encryption()
	sum := g1.Secret.Scalar().Zero()
	for _, dealer := range s.outcome.qualified {
		v, err := settledShare(key, s, dealer, index)
		if err != nil {
			return nil, err
		}
		sum.Add(sum, v)
	}
	if !s.outcome.fits(index, sum) {
		return nil, fmt.Errorf("%w: dealt by %s", ErrShareLost, s.terms.name(wrongDealer(key, s, index)))
	}
	b := sum.(*g1.Scalar).Bytes()
	defer clear(b[:])
	return threshold.NewSecretShare(index, &b)
}

// wrongDealer finds the qualified dealer whose share for a member does not fit.
func wrongDealer(key *ecdh.PrivateKey, s *State, member uint32) uint32 {
	for _, dealer := range s.outcome.qualified {
		if v, err := settledShare(key, s, dealer, member); err != nil || !s.deal(dealer).fits(member, v) {
			return dealer
		}
	}
	return 0
}

// settledShare is what a qualified dealer gave to a member: published if there
// was a complaint, else from the deal. It need not fit.
func settledShare(key *ecdh.PrivateKey, s *State, dealer, member uint32) (*g1.Scalar, error) {
	if e := s.entry(KindJustification, dealer); e != nil {
		for _, a := range e.answers {
			if a.member == member {
				return a.share, nil
			}
		}
	}
	return dealtShare(key, s, dealer, member)
}

// dealtShare decrypts a member's share of a deal. It need not fit.
func dealtShare(key *ecdh.PrivateKey, s *State, dealer, member uint32) (*g1.Scalar, error) {
	v, err := s.sealContext(dealer, member).open(key, s.deal(dealer).sealed[member-1])
	if err != nil {
		return nil, fmt.Errorf("%w: dealt by %s", ErrShareLost, s.terms.name(dealer))
	}
	return v, nil
}
