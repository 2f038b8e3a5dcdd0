package abci

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"

	cmtcfg "github.com/cometbft/cometbft/config"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"
)

// loadSigner gives CometBFT its file-backed signer with a key that is only in memory.
// The file holds what was signed last, which is what keeps a restarted validator from
// signing twice; a node with blocks and without that file is refused.
func loadSigner(cfg *cmtcfg.Config, key ed25519.PrivateKey, hasBlocks bool) (*privval.FilePV, error) {
	path := cfg.PrivValidatorStateFile()
	pv := privval.NewFilePV(cmted25519.PrivKey(key), "", path)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if hasBlocks {
			return nil, fmt.Errorf("%w: %s is not there, but there are blocks. Signing without it could sign two blocks of one height. "+
				"Restore the newest copy, or remove CometBFT's data and the database to fetch all blocks again, and start only when no other copy of this member runs", ErrSignState, path)
		}
		pv.LastSignState.Save()
		return pv, nil
	}
	if err != nil {
		return nil, err
	}
	var last privval.FilePVLastSignState
	if err := cmtjson.Unmarshal(raw, &last); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	s := &pv.LastSignState
	s.Height, s.Round, s.Step, s.Signature, s.SignBytes = last.Height, last.Round, last.Step, last.Signature, last.SignBytes
	return pv, nil
}
