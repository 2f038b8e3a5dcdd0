package keygen

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

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
	// ErrNoOldShare asks for UseShare.
	ErrNoOldShare = errors.New("keygen: give the share of the committee in office, to deal it anew")
)

// Participant is the private half of a ceremony: what one member knows. All of
// it is computed from the member's secret, the terms and the seed, so a member
// that restarts says the same bytes again. It is for one goroutine.
type Participant struct {
	secret   *MemberSecret
	terms    *Terms
	ceremony [32]byte
	roles    []uint32          // the new one first
	index    uint32            // the new role; 0 if there is none
	root     []byte            // of all private values of this ceremony
	old      *[scalarSize]byte // of UseShare
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
	roles, err := terms.Roles(secret)
	if err != nil {
		return nil, err
	}
	material := append(secret.derive("ceremony"), seed[:]...)
	defer clear(material)
	root, err := hkdf.Extract(sha256.New, material, []byte(domainParticipant))
	if err != nil {
		return nil, fmt.Errorf("keygen: participant: %w", err)
	}
	p := &Participant{secret: secret, terms: terms, ceremony: terms.Hash(), roles: roles, root: root}
	if terms.isNew(roles[0]) {
		p.index = roles[0]
	}
	return p, nil
}

// Index is the member's number in the committee that is to come, 1 to n; 0 if it
// is a member of the previous one only.
func (p *Participant) Index() uint32 { return p.index }

// Roles lists the speakers as which the member speaks, the new role first.
func (p *Participant) Roles() []uint32 { return slices.Clone(p.roles) }

// UseShare gives a previous member's participant the share that it deals anew in
// a resharing. ErrWrongShare if it is not this member's share of the committee in
// office.
func (p *Participant) UseShare(old *threshold.SecretShare) error {
	role := p.roles[len(p.roles)-1]
	if p.terms.Change != ChangeReshare || p.terms.isNew(role) {
		return fmt.Errorf("%w: %s has no share to hand over in a %s", ErrWrongShare, p.terms.name(role), p.terms.Change)
	}
	if old.Member() != p.terms.previousIndex(role) || !bytes.Equal(old.MemberKey().Bytes(), p.terms.handedOver(role).Bytes()) {
		return fmt.Errorf("%w: it is not that of %s in the committee of epoch %d", ErrWrongShare, p.terms.name(role), p.terms.Previous.Committee.Epoch)
	}
	secret := old.ExposeSecretBytes()
	p.old = &secret
	return nil
}

// Wipe overwrites what the participant knows. The member's secret stays.
func (p *Participant) Wipe() {
	clear(p.root)
	for _, secret := range []*[scalarSize]byte{p.old, p.stored, p.readBack} {
		if secret != nil {
			clear(secret[:])
		}
	}
}

// Format hides the participant from every fmt verb.
func (*Participant) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[participant]") }

// LogValue hides the participant from slog.
func (*Participant) LogValue() slog.Value { return slog.StringValue("[participant]") }

// Next gives the messages that this member owes in the state's phase, in all its
// roles; none if it owes none. Send them until they are in the state. Call it with states of the
// committed log only: what it gives is signed. In certifying it wants the
// share stored first (ErrNotStored, see ConfirmStored); ErrShareLost then says
// that this member will not have one, and the others go on without it. In storing
// it wants it read back once more (ErrNotReadBack, see ConfirmReadBack). A
// previous member deals a resharing only with its share (ErrNoOldShare, see
// UseShare). What its other roles owe comes along with an error. To proposed
// terms it owes nothing: see Votes.
func (p *Participant) Next(s *State) (owed []*Message, err error) {
	if s.ceremony != p.ceremony {
		return nil, ErrOtherCeremony
	}
	k := s.phase.kind()
	if k == 0 || k == KindConsent {
		return nil, nil
	}
	for _, role := range p.roles {
		if !s.awaits(k, role) {
			continue
		}
		body, failed := p.body(s, k, role)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s of %s: %w", k, p.terms.name(role), failed))
			continue
		}
		owed = append(owed, newMessage(p.secret.Identity(), p.terms, p.ceremony, k, role, body))
	}
	return owed, err
}

func (p *Participant) body(s *State, k Kind, role uint32) ([]byte, error) {
	switch k {
	case KindDeal:
		poly, err := p.poly()
		if err != nil {
			return nil, err
		}
		return p.dealBody(role, poly)
	case KindResponse:
		return p.responseBody(s)
	case KindJustification:
		return p.justificationBody(s, role)
	case KindCertification:
		return p.certificationBody(s)
	default:
		return p.storedBody(s)
	}
}

// Votes is a member's word without a body, in each of its roles: KindConsent or
// KindRejection to proposed terms, KindAbort to end the ceremony without a key. It
// takes no participant, so that a member can say it from anywhere.
func Votes(secret *MemberSecret, t *Terms, k Kind) (words []*Message, err error) {
	if k != KindConsent && k != KindRejection && k != KindAbort {
		return nil, fmt.Errorf("%w: a %s is not a vote", ErrKind, k)
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	roles, err := t.Roles(secret)
	if err != nil {
		return nil, err
	}
	for _, role := range roles {
		words = append(words, newMessage(secret.Identity(), t, t.Hash(), k, role, nil))
	}
	return words, nil
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

// poly is the secret polynomial of degree t-1. In a resharing its constant is the
// share that is dealt anew.
func (p *Participant) poly() (*share.PriPoly, error) {
	coefficients := make([]kyber.Scalar, p.terms.Threshold)
	for k := range coefficients {
		coefficients[k] = p.scalar("coefficient", uint32(k))
	}
	if p.terms.Change == ChangeReshare {
		if p.old == nil {
			return nil, ErrNoOldShare
		}
		constant, err := parseScalar(p.old[:])
		if err != nil {
			return nil, ErrWrongShare
		}
		coefficients[0] = constant
	}
	return share.CoefficientsToPriPoly(g1.Secret, coefficients), nil
}

// shareFor is the polynomial's value at a member.
func shareFor(poly *share.PriPoly, member uint32) *g1.Scalar {
	return poly.Eval(int(member) - 1).V.(*g1.Scalar)
}

func (p *Participant) dealBody(role uint32, poly *share.PriPoly) ([]byte, error) {
	_, commits := poly.Commit(g1.Secret.Point().Base()).Info()
	d := &deal{sealed: make([][sealedSize]byte, p.terms.N())}
	for _, c := range commits {
		public := g1.Public.Point().(*g1.Point)
		d.commits = append(d.commits, public.Set(c).(*g1.Point))
	}
	d.proof = provePossession(p.terms, p.ceremony, role, poly.Secret(), p.scalar("possession", 0))
	binding := d.digest()
	for i := range d.sealed {
		receiver := uint32(i + 1)
		ctx := sealContext{p.terms, p.ceremony, role, receiver, binding}
		var err error
		if d.sealed[i], err = ctx.seal(shareFor(poly, receiver), p.ephemeral(receiver)); err != nil {
			return nil, err
		}
	}
	return d.append(nil), nil
}

func (p *Participant) responseBody(s *State) ([]byte, error) {
	first, count := p.terms.dealers()
	body := make([]byte, count)
	key := p.secret.encryption()
	for i := range body {
		dealer := first + uint32(i)
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

func (p *Participant) justificationBody(s *State, role uint32) ([]byte, error) {
	poly, err := p.poly()
	if err != nil {
		return nil, err
	}
	var answers []answer
	for _, member := range s.complaints(role) {
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
	index, err := s.terms.IndexOf(secret)
	if err != nil {
		return nil, err
	}
	if s.outcome == nil {
		return nil, ErrTooSoon
	}
	key := secret.encryption()
	sum := g1.Secret.Scalar().Zero()
	for i, dealer := range s.outcome.qualified {
		v, err := settledShare(key, s, dealer, index)
		if err != nil {
			return nil, err
		}
		if weights := s.outcome.weights; weights != nil {
			sum.Add(sum, g1.Secret.Scalar().Mul(weights[i], v))
		} else {
			sum.Add(sum, v)
		}
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
