package ordering

import (
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// Rejection says why a ciphertext, message or proposal is refused, with a code that
// callers and users may rely on (docs/errors.md).
type Rejection struct {
	Code   string
	Detail string // what was wrong and what to do, for a person
}

func (r *Rejection) Error() string { return r.Code + ": " + r.Detail }

// Codes of rejected ciphertexts.
const (
	CodeMalformed       = "malformed_ciphertext"
	CodeNoCommittee     = "no_committee"
	CodeWrongChain      = "wrong_chain"
	CodeWrongKey        = "wrong_key"
	CodeOversize        = "oversize"
	CodeExpired         = "expired"
	CodeTooFar          = "valid_until_too_far"
	CodeAlreadyOrdered  = "already_ordered"
	CodeInvalidPoint    = "invalid_point"
	CodeInvalidProof    = "invalid_proof"
	CodeBadNamespace    = "invalid_namespace"
	codeCeremonyMessage = "ceremony_message"
	codeOpenings        = "openings"
	codeProposal        = "proposal"
	codeSection         = "section"
)

func reject(code, format string, args ...any) *Rejection {
	return &Rejection{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Admit decides whether the ciphertext with these bytes may be ordered by the next
// block. It is the one rule of the door (HTTP), the mempool, the receive log and the block. The
// error is a *Rejection. A ciphertext that was ordered before is refused with
// CodeAlreadyOrdered.
func Admit(s *State, v *Verifier, wire []byte) (*threshold.Checked, error) {
	ct, err := threshold.ParseCiphertext(wire)
	if err != nil {
		return nil, malformed(err)
	}
	if err := Screen(s, ct); err != nil {
		return nil, err
	}
	k, err := v.Check(ct)
	switch {
	case err == nil:
		return k, nil
	case errors.Is(err, threshold.ErrPoint), errors.Is(err, threshold.ErrEncoding):
		return nil, reject(CodeInvalidPoint, "U or Ub is not a point of the prime-order group other than infinity; seal the transaction again")
	default:
		return nil, reject(CodeInvalidProof, "the ciphertext's proof does not hold for its header and payload; seal the transaction again, and send the bytes unchanged")
	}
}

func malformed(err error) *Rejection {
	switch {
	case errors.Is(err, threshold.ErrNamespace):
		return reject(CodeBadNamespace, "%v", err)
	case errors.Is(err, threshold.ErrTooLarge):
		return reject(CodeOversize, "%v", err)
	default:
		return reject(CodeMalformed, "%v; expected one ciphertext in Scrim's wire form, version %d", err, threshold.Version)
	}
}

// Screen is the cheap part of Admit: everything but the proof.
func Screen(s *State, ct *threshold.Ciphertext) error {
	h := ct.Header()
	next := s.height + 1
	switch {
	case s.committee == nil:
		return reject(CodeNoCommittee, "the committee has not made its key yet; try again when GET /v1/encryption-key gives one")
	case h.ChainID != s.genesis.ChainID:
		return reject(CodeWrongChain, "sealed for chain %q, this is chain %q", h.ChainID, s.genesis.ChainID)
	case h.KeyID != s.committee.Key.ID():
		return reject(CodeWrongKey, "sealed to key 0x%x, the committee's key is 0x%x; fetch GET /v1/encryption-key and seal again", h.KeyID, s.committee.Key.ID())
	case h.SizeClass > s.genesis.Params.MaxSizeClass:
		return reject(CodeOversize, "size class %d; the largest here is %d (%d bytes padded)", h.SizeClass, s.genesis.Params.MaxSizeClass, 256<<s.genesis.Params.MaxSizeClass)
	case h.ValidUntil < next:
		return reject(CodeExpired, "valid until height %d, the next block is %d; seal again with a later height", h.ValidUntil, next)
	case h.ValidUntil-next >= s.genesis.Params.MaxValidity:
		return reject(CodeTooFar, "valid until height %d, the next block is %d and at most %d heights are allowed", h.ValidUntil, next, s.genesis.Params.MaxValidity)
	case s.seen.has(ct.ID()):
		return reject(CodeAlreadyOrdered, "this ciphertext was ordered before")
	}
	return nil
}

// CheckTx decides whether a transaction may wait in the mempool.
func CheckTx(s *State, v *Verifier, tx []byte) error {
	return checkTx(s, tx, func(body []byte) error {
		_, err := Admit(s, v, body)
		return err
	})
}

// RecheckTx decides whether a transaction that CheckTx accepted may stay in the
// mempool after another block. It costs no curve arithmetic.
func RecheckTx(s *State, _ *Verifier, tx []byte) error {
	return checkTx(s, tx, func(body []byte) error {
		ct, err := threshold.ParseCiphertext(body)
		if err != nil {
			return malformed(err)
		}
		return Screen(s, ct)
	})
}

// AdmitMessage says whether the next block could take a ceremony message. Errors wrap
// those of keygen's State.Admit and BeginRetry.
func AdmitMessage(s *State, m *keygen.Message) error {
	return s.ceremonies.admit(s.height+1, m)
}

func checkTx(s *State, tx []byte, ciphertext func([]byte) error) error {
	kind, body, err := splitTx(tx)
	if err != nil {
		return reject(codeProposal, "%v", err)
	}
	switch kind {
	case kindCiphertext:
		return ciphertext(body)
	case kindCeremony:
		m, err := keygen.ParseMessage(body)
		if err == nil {
			err = AdmitMessage(s, m)
		}
		if err != nil {
			return reject(codeCeremonyMessage, "%v", err)
		}
		return nil
	default:
		return reject(codeProposal, "transactions of kind %d are not taken from outside", kind)
	}
}
