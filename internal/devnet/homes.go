package devnet

import (
	"errors"
	"fmt"
	"os"

	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// Homes describes the homes of a whole committee, to be made in one go. It saves
// the members the exchange of files; so it knows all their secrets.
type Homes struct {
	ChainID string
	Members []Member
	// Genesis may change the genesis before it is written.
	Genesis func(*ordering.Genesis)
}

// Member is one of Homes.
type Member struct {
	Name    string
	Config  *node.Config // with Home set; Make sets the peers
	Address string       // host:port at which the others reach it
}

// phaseBlocks is how long a phase of a ceremony may last: with blocks of 40 ms about 12
// seconds, for a machine on which four nodes start at the same time.
const phaseBlocks = 300

// Make makes the homes, each with a new member, and the genesis in all of them.
func (h *Homes) Make() error {
	if len(h.Members) == 0 {
		return errors.New("devnet: no members")
	}
	g := &ordering.Genesis{ChainID: h.ChainID, Params: ordering.DefaultParams()}
	g.Terms = keygen.Terms{
		ChainID:     h.ChainID,
		Epoch:       1,
		Attempt:     1,
		Threshold:   keygen.DefaultThreshold(len(h.Members)),
		Phases:      keygen.EqualPhases(phaseBlocks),
		StartHeight: 1,
	}
	for _, m := range h.Members {
		member, err := node.InitHome(m.Config, m.Name, true)
		if err != nil {
			return err
		}
		g.Terms.Members = append(g.Terms.Members, *member)
	}
	if h.Genesis != nil {
		h.Genesis(g)
	}
	text, err := node.MakeGenesis(g)
	if err != nil {
		return err
	}
	for _, m := range h.Members {
		if err := os.WriteFile(m.Config.GenesisFile(), text, 0o644); err != nil {
			return err
		}
	}
	return h.connect()
}

// connect tells every member where the others are.
func (h *Homes) connect() error {
	g, err := node.ReadGenesis(h.Members[0].Config.GenesisFile())
	if err != nil {
		return err
	}
	if len(g.Terms.Members) != len(h.Members) {
		return fmt.Errorf("devnet: the genesis has %d members, the folder %d", len(g.Terms.Members), len(h.Members))
	}
	for i, m := range h.Members {
		m.Config.P2P.Peers = nil
		for j, peer := range h.Members {
			if i != j {
				m.Config.P2P.Peers = append(m.Config.P2P.Peers, node.NodeID(g.Terms.Members[j].Node)+"@"+peer.Address)
			}
		}
		if err := m.Config.Write(); err != nil {
			return err
		}
	}
	return nil
}
