package abci

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/p2p"
	cmttypes "github.com/cometbft/cometbft/types"

	"github.com/scrimlabs/scrim/ordering"
)

// MaxBlockBytes is the largest block. A few hundred small ciphertexts, or thirty of
// the largest size class, fit.
const MaxBlockBytes = 4 << 20

// NodeID is the p2p address of a node key: its hash in lower-case hex.
func NodeID(node ed25519.PublicKey) string {
	return string(p2p.PubKeyToID(cmted25519.PubKey(node)))
}

// genesisTime is that of every chain: only the first block carries it. A fixed time makes
// the genesis file a function of what the members agreed on.
var genesisTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// MakeGenesis writes CometBFT's genesis file for g: its app state is g, its validators
// are the members of g's terms. The same g gives the same bytes, whoever makes it.
func MakeGenesis(g *ordering.Genesis) ([]byte, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	state, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	params := cmttypes.DefaultConsensusParams()
	params.Block.MaxBytes = MaxBlockBytes
	params.Evidence.MaxBytes = MaxBlockBytes / 4
	doc := &cmttypes.GenesisDoc{
		GenesisTime: genesisTime, ChainID: g.ChainID, InitialHeight: 1,
		ConsensusParams: params, AppState: state,
	}
	for _, m := range g.Terms.Members {
		key := cmted25519.PubKey(m.Validator)
		doc.Validators = append(doc.Validators, cmttypes.GenesisValidator{
			Address: key.Address(), PubKey: key, Power: ordering.VotingPower, Name: m.Name,
		})
	}
	if err := doc.ValidateAndComplete(); err != nil {
		return nil, err
	}
	return cmtjson.MarshalIndent(doc, "", "  ")
}

// ReadGenesis reads what MakeGenesis wrote, and checks that the validators are exactly
// the members of the terms.
func ReadGenesis(b []byte) (*ordering.Genesis, error) {
	var ours struct {
		AppState json.RawMessage `json:"app_state"`
	}
	if err := json.Unmarshal(b, &ours); err != nil {
		return nil, fmt.Errorf("not a genesis file: %w", err)
	}
	if len(ours.AppState) == 0 {
		return nil, errors.New("not a genesis file of Scrim: it has no app_state")
	}
	doc, err := cmttypes.GenesisDocFromJSON(b)
	if err != nil {
		return nil, fmt.Errorf("genesis file: %w", err)
	}
	g, err := ordering.ParseGenesis(doc.AppState)
	if err != nil {
		return nil, fmt.Errorf("genesis file: app_state: %w", err)
	}
	if doc.ChainID != g.ChainID || doc.InitialHeight != 1 {
		return nil, fmt.Errorf("genesis file: chain %q from height %d, its app_state is for %q from height 1", doc.ChainID, doc.InitialHeight, g.ChainID)
	}
	if len(doc.Validators) != len(g.Terms.Members) {
		return nil, fmt.Errorf("genesis file: %d validators, the terms have %d members", len(doc.Validators), len(g.Terms.Members))
	}
	for i, m := range g.Terms.Members {
		v := doc.Validators[i]
		if v.Power != ordering.VotingPower || !v.PubKey.Equals(cmted25519.PubKey(m.Validator)) {
			return nil, fmt.Errorf("genesis file: validator %d is not member %d (%s) of the terms with power %d", i+1, i+1, m.Name, ordering.VotingPower)
		}
	}
	return g, nil
}
