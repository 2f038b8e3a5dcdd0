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

// Codes of rejected transactions.
const (
	CodeMalformed      = "malformed_ciphertext"
	CodeNoCommittee    = "no_committee"
	CodeWrongChain     = "wrong_chain"
	CodeWrongKey       = "wrong_key"
	CodeKeyRetired     = "key_retired"  // a rotation replaced the key, and the overlap is over
	CodeKeyRetiring    = "key_retiring" // it will be over before the ciphertext expires
	CodeOversize       = "oversize"
	CodeExpired        = "expired"
	CodeTooFar         = "valid_until_too_far"
	CodeAlreadyOrdered = "already_ordered"
	CodeInvalidPoint   = "invalid_point"
	CodeInvalidProof   = "invalid_proof"
	CodeBadNamespace   = "invalid_namespace"
	// Of evidence: it does not hold or cannot be read, its committee is not in the state, the charge is in the log.
	CodeEvidence         = "evidence"
	CodeEvidenceEpoch    = "evidence_epoch"
	CodeEvidenceRecorded = "evidence_recorded"
	codeCeremonyMessage  = "ceremony_message"
	codeOpenings         = "openings"
	codeProposal         = "proposal"
	codeSection          = "section"
)

func reject(code, format string, args ...any) *Rejection {
	return &Rejection{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Admit decides whether the ciphertext with these bytes may come in at the door (HTTP):
// whether the next block may order it, and no key is replaced before it expires. The
// error is a *Rejection. A ciphertext that was ordered before is refused with
// CodeAlreadyOrdered.
//
// Mempool, receive log and block have the first half of the rule alone: what came in before
// a rotation is ordered for as long as the overlap lasts, whatever its valid-until.
func Admit(s *State, v *Verifier, wire []byte) (*threshold.Checked, error) {
	k, holder, err := admit(s, v, wire)
	if err != nil {
		return nil, err
	}
	if until := k.Header().ValidUntil; !holder.orders(until) {
		return nil, reject(CodeKeyRetiring, "sealed to a key that was replaced and is in use until height %d, and valid until %d; fetch GET /v1/encryption-key and seal to the new key", holder.keyUntil, until)
	}
	return k, nil
}

// AdmitLogged decides whether a ciphertext that another member has logged may be logged by this one. Receive logs are to become equal,
// so what has expired meanwhile, or whose key was replaced, is taken too: the block that decides it shows its body, and that it ends as
// expired. The error is a *Rejection.
func AdmitLogged(s *State, v *Verifier, ct *threshold.Ciphertext) error {
	_, err := screen(s, ct)
	var r *Rejection
	if errors.As(err, &r) {
		switch r.Code {
		case CodeExpired, CodeKeyRetired, CodeWrongKey:
			err = nil
		}
	}
	if err == nil {
		_, err = prove(v, ct)
	}
	return err
}

// admit decides whether the next block may order a ciphertext, and says who opens it then.
func admit(s *State, v *Verifier, wire []byte) (*threshold.Checked, *Tenure, error) {
	ct, err := threshold.ParseCiphertext(wire)
	if err != nil {
		return nil, nil, malformed(err)
	}
	holder, err := screen(s, ct)
	if err != nil {
		return nil, nil, err
	}
	k, err := prove(v, ct)
	return k, holder, err
}

// prove checks a ciphertext's points and proof.
func prove(v *Verifier, ct *threshold.Ciphertext) (*threshold.Checked, error) {
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

// screen is the cheap part of admit: everything but the proof.
func screen(s *State, ct *threshold.Ciphertext) (holder *Tenure, err error) {
	h := ct.Header()
	switch {
	case s.Office() == nil:
		return nil, reject(CodeNoCommittee, "the committee has not made its key yet; try again when GET /v1/encryption-key gives one")
	case h.ChainID != s.genesis.ChainID:
		return nil, reject(CodeWrongChain, "sealed for chain %q, this is chain %q", h.ChainID, s.genesis.ChainID)
	}
	if holder = s.holder(h.KeyID); holder == nil {
		return nil, s.noHolder(h.KeyID)
	}
	return holder, s.screenLimits(ct)
}

// screenLimits is the part of screen that has nothing to do with committees.
func (s *State) screenLimits(ct *threshold.Ciphertext) error {
	h, next := ct.Header(), s.height+1
	switch {
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

func (s *State) noHolder(id threshold.KeyID) error {
	if s.rotatedAway(id) {
		return reject(CodeKeyRetired, "sealed to key 0x%s, which was replaced and is not in use any more; fetch GET /v1/encryption-key and seal again", id)
	}
	return reject(CodeWrongKey, "sealed to key 0x%s, the committee's key is 0x%s; fetch GET /v1/encryption-key and seal again", id, s.Committee().Key.ID())
}

// CheckTx decides whether a transaction may wait in the mempool.
func CheckTx(s *State, v *Verifier, tx []byte) error {
	return checkTx(s, tx, func(body []byte) error {
		_, _, err := admit(s, v, body)
		return err
	}, func(body []byte) error {
		_, err := s.accuse(v, body)
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
		_, err = screen(s, ct)
		return err
	}, func(body []byte) error {
		_, _, err := s.screenEvidence(body)
		return err
	})
}

// AdmitMessage says whether the next block could take a ceremony message. Errors wrap
// those of keygen's State.Admit, BeginRetry and BeginSuccession.
func AdmitMessage(s *State, m *keygen.Message) error {
	return s.ceremonies.admit(s.height+1, m)
}

func checkTx(s *State, tx []byte, ciphertext, evidence func([]byte) error) error {
	kind, body, err := splitTx(tx)
	if err != nil {
		return reject(codeProposal, "%v", err)
	}
	switch kind {
	case kindCiphertext:
		return ciphertext(body)
	case kindEvidence:
		return evidence(body)
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
