package audit

import (
	"errors"
	"fmt"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// VerifyCheckpoint checks the committee's signature on a batch's checkpoint with
// nothing but its public key: then t members vouch for the batch, its height and
// the log before it. The error wraps threshold.ErrSignature.
func VerifyCheckpoint(key *threshold.PublicKey, c *commitreveal.Checkpoint, certificate threshold.Signature) error {
	message, err := c.MarshalBinary()
	if err != nil {
		return err
	}
	if err := threshold.VerifySignature(key, message, certificate); err != nil {
		return fmt.Errorf("the committee did not sign the checkpoint of block %d: %w", c.Height, err)
	}
	return nil
}

// VerifyOpening checks one opening with nothing but the committee's public key,
// and gives the plaintext that it proves. If void, the ciphertext provably holds
// none. Errors are those of package threshold; ErrOpening is the common one.
func VerifyOpening(key *threshold.PublicKey, ciphertext []byte, opening threshold.Opening) (plaintext []byte, void bool, err error) {
	ct, err := threshold.ParseCiphertext(ciphertext)
	if err != nil {
		return nil, false, err
	}
	checked, err := ct.Check()
	if err != nil {
		return nil, false, err
	}
	verified, err := threshold.VerifyOpenings(key, []*threshold.Checked{checked}, []threshold.Opening{opening})
	if err != nil {
		return nil, false, err
	}
	plaintext, err = threshold.Open(verified[0])
	if errors.Is(err, threshold.ErrVoid) {
		return nil, true, nil
	}
	return plaintext, false, err
}

// VerifyReceipt checks that a receipt is signed by that member of the committee,
// on the committee's chain. Errors wrap commitreveal.ErrSignature.
func VerifyReceipt(c *CommitteeInfo, r *commitreveal.Receipt) error {
	if r.ChainID != c.ChainID {
		return fmt.Errorf("the receipt is of chain %q, the committee of %q: %w", r.ChainID, c.ChainID, commitreveal.ErrSignature)
	}
	if c.Committee != nil && r.Epoch != c.Committee.Epoch {
		return fmt.Errorf("the receipt is of epoch %d, the committee of %d: %w", r.Epoch, c.Committee.Epoch, commitreveal.ErrSignature)
	}
	return commitreveal.VerifyReceipt(c.identity(r.Member), r)
}
