package threshold

import (
	"errors"
	"fmt"
)

// What callers branch on. Functions wrap these; use errors.Is.
var (
	ErrEncoding  = errors.New("threshold: not a canonical encoding")
	ErrProof     = errors.New("threshold: ciphertext proof does not hold")
	ErrPoint     = errors.New("threshold: not a point of the prime-order subgroup")
	ErrKey       = errors.New("threshold: wrong key")
	ErrShare     = errors.New("threshold: share does not verify")
	ErrTooFew    = errors.New("threshold: fewer valid shares than the threshold")
	ErrOpening   = errors.New("threshold: opening does not verify")
	ErrSignature = errors.New("threshold: signature does not verify")
	ErrVoid      = errors.New("threshold: ciphertext is void: its payload does not decrypt under its opening")
	ErrTooLarge  = errors.New("threshold: plaintext is larger than the largest size class")
	ErrNamespace = errors.New("threshold: namespace must be 1 to 32 characters of a-z, 0-9, '-', '.', starting and ending with a letter or digit")
	ErrChainID   = errors.New("threshold: chain id must be 1 to 50 characters of A-Z, a-z, 0-9, '-', '_', '.'")
	ErrCommittee = errors.New("threshold: not a committee")
	ErrWiped     = errors.New("threshold: secret share has been wiped")
)

// OpeningError names the first opening of a batch that does not verify. It is an [ErrOpening].
type OpeningError struct {
	Index int // position in the batch
	ID    ID  // of the ciphertext
}

func (e *OpeningError) Error() string {
	return fmt.Sprintf("threshold: opening %d, of ciphertext %x, does not verify", e.Index, e.ID[:])
}

// Unwrap makes errors.Is(err, ErrOpening) hold.
func (e *OpeningError) Unwrap() error { return ErrOpening }
