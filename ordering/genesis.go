package ordering

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// Params are the limits that all members of a chain share. They are part of the
// genesis, because admission must give the same answer at every member.
type Params struct {
	// MaxSizeClass is the largest size class that is admitted (threshold.Header).
	MaxSizeClass uint8 `json:"max_size_class"`
	// MaxValidity is how many heights ahead a ciphertext's valid-until may lie. It
	// bounds how long ordered ids are remembered.
	MaxValidity uint64 `json:"max_validity"`
	// MaxBatch is the most ciphertexts that one block orders.
	MaxBatch uint32 `json:"max_batch"`
	// MaxPending is the most batches that may wait for their openings; while so
	// many wait, no block orders further ciphertexts.
	MaxPending uint32 `json:"max_pending"`
	// Order are those of the fair order.
	Order OrderParams `json:"order"`
}

// DefaultParams suit a committee of up to about ten members on one continent.
func DefaultParams() Params {
	return Params{MaxSizeClass: threshold.MaxSizeClass, MaxValidity: 20_000, MaxBatch: 256, MaxPending: 16, Order: defaultOrderParams()}
}

// Upper limits of the parameters: what the wire formats and a block's size can hold.
const (
	maxMaxBatch    = 1024
	maxMaxPending  = 64
	maxMaxValidity = 1_000_000
)

func (p Params) validate() error {
	switch {
	case p.MaxSizeClass > threshold.MaxSizeClass:
		return fmt.Errorf("max_size_class is %d, the largest there is is %d", p.MaxSizeClass, threshold.MaxSizeClass)
	case p.MaxValidity < 1 || p.MaxValidity > maxMaxValidity:
		return fmt.Errorf("max_validity is %d, it must be from 1 to %d", p.MaxValidity, maxMaxValidity)
	case p.MaxBatch < 1 || p.MaxBatch > maxMaxBatch:
		return fmt.Errorf("max_batch is %d, it must be from 1 to %d", p.MaxBatch, maxMaxBatch)
	case p.MaxPending < 1 || p.MaxPending > maxMaxPending:
		return fmt.Errorf("max_pending is %d, it must be from 1 to %d", p.MaxPending, maxMaxPending)
	}
	return p.Order.validate()
}

const domainParams = "scrim/params/v3"

// Hash is what all terms of the chain carry as their limits, so that whoever consents to
// them consents to these parameters:
//
//	SHA-256("scrim/params/v3" | max size class (1) | max validity (8) | max batch (4) | max pending (4) |
//	        order rule (1) | solid slack (1) | agreement slack (1) | wait (4) | stale (1) | max chunk (4) | max live (4))
func (p Params) Hash() [32]byte {
	b := append([]byte(domainParams), p.MaxSizeClass)
	b = binary.BigEndian.AppendUint64(b, p.MaxValidity)
	b = binary.BigEndian.AppendUint32(b, p.MaxBatch)
	b = append(binary.BigEndian.AppendUint32(b, p.MaxPending), byte(p.Order.Rule), p.Order.SolidSlack, p.Order.AgreementSlack)
	b = append(binary.BigEndian.AppendUint32(b, p.Order.Wait), p.Order.Stale)
	b = binary.BigEndian.AppendUint32(b, p.Order.MaxChunk)
	return sha256.Sum256(binary.BigEndian.AppendUint32(b, p.Order.MaxLive))
}

// Genesis is what a chain starts from: the app_state of CometBFT's genesis file.
type Genesis struct {
	ChainID string       `json:"chain_id"`
	Params  Params       `json:"params"`
	Terms   keygen.Terms `json:"terms"` // of the first ceremony; its members are the first validators
	// Consents are the signatures of all members to the terms: nobody who makes a
	// genesis can put a key in whose owner did not agree to it.
	Consents []keygen.Consent `json:"consents"`
}

// Validate reports what is wrong with the genesis: limits, terms, and whose consent is
// missing or wrong (a *keygen.ConsentError).
func (g *Genesis) Validate() error {
	if err := threshold.ValidChainID(g.ChainID); err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	if err := g.Params.validate(); err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	if err := g.Terms.Validate(); err != nil {
		return fmt.Errorf("genesis: terms: %w", err)
	}
	if g.Terms.ChainID != g.ChainID {
		return fmt.Errorf("genesis: the terms are for chain %q, the genesis for %q", g.Terms.ChainID, g.ChainID)
	}
	if limits := g.Params.Hash(); g.Terms.Limits != limits {
		return fmt.Errorf("genesis: the members agreed to limits with hash %x, params have %x; use the params that they signed", g.Terms.Limits, limits)
	}
	if g.Terms.Change != keygen.ChangeFirst {
		return fmt.Errorf("genesis: the terms are for a %s; a chain begins with a first key", g.Terms.Change)
	}
	if err := keygen.VerifyConsent(&g.Terms, g.Consents); err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	return nil
}

// ParseGenesis reads the JSON form strictly and validates it.
func ParseGenesis(b []byte) (*Genesis, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var g Genesis
	if err := d.Decode(&g); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("genesis: there is more after the JSON object")
	}
	return &g, g.Validate()
}
