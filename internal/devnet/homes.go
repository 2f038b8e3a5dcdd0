package devnet

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/member"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// Homes describes the homes of a whole committee, to be made in one go. It saves
// the members the exchange of files; so it knows all their secrets.
type Homes struct {
	ChainID string
	Members []Member
	// Genesis may change the genesis before the members sign its terms.
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
	g, err := h.agree()
	if err != nil {
		return err
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

// agree makes the members and lets them agree on terms as people do: each has a card,
// the terms are drafted from the cards, every member signs them with its own secret.
func (h *Homes) agree() (*ordering.Genesis, error) {
	var cards []*keygen.Card
	for _, m := range h.Members {
		card, err := node.InitHome(m.Config, m.Name, m.Address, true)
		if err != nil {
			return nil, err
		}
		cards = append(cards, card)
	}
	draft, err := member.Draft{ChainID: h.ChainID, Phases: keygen.EqualPhases(phaseBlocks)}.Terms(cards)
	if err != nil {
		return nil, err
	}
	g := &ordering.Genesis{ChainID: h.ChainID, Params: draft.Limits, Terms: draft.Terms}
	if h.Genesis != nil {
		h.Genesis(g)
	}
	g.Terms.Limits = g.Params.Hash()
	var signed []*member.SignedTerms
	for _, m := range h.Members {
		own, err := sign(g, m.Config)
		if err != nil {
			return nil, fmt.Errorf("devnet: %s signs the terms: %w", m.Name, err)
		}
		signed = append(signed, own)
	}
	return member.Assemble(signed)
}

func sign(g *ordering.Genesis, c *node.Config) (*member.SignedTerms, error) {
	secret, err := c.Member()
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	s := member.TermsOf(g)
	_, err = s.Sign(secret)
	return s, err
}

// connect tells every member where the others are.
func (h *Homes) connect() error {
	g, err := node.ReadGenesis(h.Members[0].Config.GenesisFile())
	if err != nil {
		return err
	}
	if len(g.Terms.Members) > len(h.Members) {
		return fmt.Errorf("devnet: the genesis has %d members, the folder %d", len(g.Terms.Members), len(h.Members))
	}
	peers := make([]string, len(h.Members))
	for i, m := range h.Members {
		card, err := home.ReadCard(m.Config.CardFile())
		if err != nil {
			return err
		}
		if i < len(g.Terms.Members) && card.Fingerprint() != g.Terms.Members[i].Fingerprint() {
			return fmt.Errorf("devnet: %s is not member %d of the genesis", m.Name, i+1)
		}
		peers[i] = node.NodeID(card.Member.Node) + "@" + m.Address
	}
	for i, m := range h.Members {
		m.Config.P2P.Peers = slices.Concat(peers[:i], peers[i+1:])
		if err := m.Config.Write(); err != nil {
			return err
		}
	}
	return nil
}

// add makes the home of the member i, who is not in the genesis.
func (h *Homes) add(i int) error {
	m := h.Members[i]
	if _, err := node.InitHome(m.Config, m.Name, m.Address, true); err != nil {
		return err
	}
	genesis, err := os.ReadFile(h.Members[0].Config.GenesisFile())
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.Config.GenesisFile(), genesis, 0o644); err != nil {
		return err
	}
	return h.connect()
}
