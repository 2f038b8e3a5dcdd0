package keygen

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// FaultKind says what a member did wrong. Numbers are part of the wire format.
type FaultKind uint8

// The kinds of fault.
const (
	FaultAbsent        FaultKind = 1  // sent nothing in the phase
	FaultEncoding      FaultKind = 2  // signed a message whose body is malformed
	FaultCommitments   FaultKind = 3  // dealt a number of commitments that is not the threshold
	FaultShareCount    FaultKind = 4  // dealt a number of shares that is not the number of members
	FaultPossession    FaultKind = 5  // does not know the secret to which it committed
	FaultEquivocation  FaultKind = 6  // signed a second, different message
	FaultComplaint     FaultKind = 7  // complained about a share that was right
	FaultUnanswered    FaultKind = 8  // left a complaint without an answer
	FaultJustification FaultKind = 9  // answered a complaint with a share that is wrong, or that it had not sent
	FaultTranscript    FaultKind = 10 // certified another transcript
	FaultKey           FaultKind = 11 // certified a key that is not the one of its share
	FaultShare         FaultKind = 12 // certified with a signature that its key does not verify
	FaultZeroKey       FaultKind = 13 // nobody's: the keys add up to a degenerate one
	FaultCertificate   FaultKind = 14 // confirmed its share of another certificate
	FaultReshare       FaultKind = 15 // dealt something else than its share of the key
)

var faultWords = map[FaultKind]string{
	FaultAbsent:        "sent nothing before the deadline",
	FaultEncoding:      "signed a malformed message",
	FaultCommitments:   "sent a wrong number of commitments",
	FaultShareCount:    "sent a wrong number of shares",
	FaultPossession:    "did not prove to know the secret it committed to",
	FaultEquivocation:  "signed two different messages",
	FaultComplaint:     "complained about a share that was right",
	FaultUnanswered:    "did not answer a complaint",
	FaultJustification: "answered a complaint wrongly",
	FaultTranscript:    "certified another transcript",
	FaultKey:           "certified a key that does not belong to its share",
	FaultShare:         "certified with a signature that does not verify",
	FaultZeroKey:       "the dealt keys cancel out",
	FaultCertificate:   "confirmed its share of another certificate",
	FaultReshare:       "did not deal its share of the key",
}

func (k FaultKind) String() string {
	if s, ok := faultWords[k]; ok {
		return s
	}
	return fmt.Sprintf("fault %d", k)
}

// Fault is blame: who did what and when. It names the message that proves it,
// where there is one; an absence is proved by the log alone. What it proves to
// whom: [State.Evidence].
type Fault struct {
	Member    uint32 // a speaker; 0 if nobody in particular is to blame
	Kind      FaultKind
	Phase     Phase  // in which it was found
	Other     uint32 // the other party of a complaint, else 0
	Height    uint64 // at which it was found
	Message   Kind   // kind of the message that proves it; 0 if there is none
	Digest    [32]byte
	Signature [64]byte // over that message, whose body has the SHA-256 hash Digest

	// Of an equivocation: the message of the same kind that the member signed before.
	FirstDigest    [32]byte
	FirstSignature [64]byte
}

const (
	faultSize = 4 + 1 + 1 + 4 + 8 + 1 + signedSize
	// signedSize is a digest and a signature: what a member has said, without the body.
	signedSize = 32 + 64
)

var (
	// ErrNoProof says that a fault is the absence of a message.
	ErrNoProof = errors.New("keygen: the fault is an absence: only the complete log proves it")
	// ErrEvidence says that evidence does not prove what it claims.
	ErrEvidence = errors.New("keygen: evidence")
)

// Verify checks that the member did sign the message that the fault names, and
// for an equivocation that it signed two different ones: then the fault is
// proved by itself. Otherwise it takes the body as well, see [Evidence].
func (f Fault) Verify(t *Terms) error {
	if f.Message == 0 {
		return ErrNoProof
	}
	ceremony := t.Hash()
	if f.Kind == FaultEquivocation {
		if f.Digest == f.FirstDigest {
			return fmt.Errorf("%w: the two messages are the same", ErrEvidence)
		}
		if err := t.verifySigned(ceremony, f.Message, f.Member, f.FirstDigest, f.FirstSignature); err != nil {
			return err
		}
	}
	return t.verifySigned(ceremony, f.Message, f.Member, f.Digest, f.Signature)
}

// plausible checks the form of what was read.
func (f Fault) plausible(t *Terms) bool {
	n := int64(t.Speakers())
	return f.Kind >= FaultAbsent && f.Kind <= FaultReshare && int64(f.Member) <= n && int64(f.Other) <= n &&
		(f.Message == 0 && f.Kind != FaultEquivocation || t.speaks(f.Message, f.Member))
}

func (f Fault) String() string { return f.describe((*Terms)(nil)) }

func (f Fault) describe(t *Terms) string {
	name := func(j uint32) string {
		if t == nil {
			return fmt.Sprintf("member %d", j)
		}
		return t.name(j)
	}
	what := f.Kind.String()
	if f.Member != 0 {
		what = name(f.Member) + " " + what
	}
	if f.Kind == FaultEquivocation {
		what += " of kind " + f.Message.String()
	}
	if f.Other != 0 {
		role := "complaint of "
		if f.Kind == FaultComplaint {
			role = "dealt by "
		}
		what += " (" + role + name(f.Other) + ")"
	}
	return fmt.Sprintf("%s; %s, height %d", what, f.Phase, f.Height)
}

func (f Fault) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, f.Member)
	b = append(b, byte(f.Kind), byte(f.Phase))
	b = binary.BigEndian.AppendUint32(b, f.Other)
	b = binary.BigEndian.AppendUint64(b, f.Height)
	b = append(append(b, byte(f.Message)), f.Digest[:]...)
	b = append(b, f.Signature[:]...)
	if f.Kind == FaultEquivocation {
		b = append(append(b, f.FirstDigest[:]...), f.FirstSignature[:]...)
	}
	return b
}

func (r *reader) fault() Fault {
	f := Fault{Member: r.Uint32(), Kind: FaultKind(r.Byte()), Phase: Phase(r.Byte()), Other: r.Uint32(), Height: r.Uint64(), Message: Kind(r.Byte())}
	r.Fill(f.Digest[:])
	r.Fill(f.Signature[:])
	if f.Kind == FaultEquivocation {
		r.Fill(f.FirstDigest[:])
		r.Fill(f.FirstSignature[:])
	}
	return f
}

func appendFaults(b []byte, faults []Fault) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(faults)))
	for _, f := range faults {
		b = f.append(b)
	}
	return b
}

// faults reads what appendFaults wrote, and checks the signatures.
func (r *reader) faults(t *Terms) (out []Fault) {
	n := r.Uint32()
	if uint64(n)*faultSize > uint64(r.Left()) {
		r.Fail("%d faults do not fit", n)
		return nil
	}
	for range n {
		f := r.fault()
		if !f.plausible(t) || f.Message != 0 && f.Verify(t) != nil {
			r.Fail("fault %d of member %d", f.Kind, f.Member)
			return nil
		}
		out = append(out, f)
	}
	return out
}
