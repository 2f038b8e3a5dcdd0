package abci

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/p2p"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// members are the nodes that may connect: those of the committees that are or may come,
// each with its member's identity, and others that only follow the chain. A value that is
// never changed.
type members struct {
	identities map[p2p.ID]ed25519.PublicKey
	others     map[p2p.ID]bool
}

// membersOf gathers the members of the newest ceremony, both who hand over and who take
// over, and of all committees that still have something to open. If a node key is in
// several, the later word counts, and the committee's in office above all. The others are
// the peers of the configuration and those with whom the chain began.
func membersOf(s *ordering.State, peers map[p2p.ID]bool) *members {
	m := &members{identities: make(map[p2p.ID]ed25519.PublicKey), others: maps.Clone(peers)}
	if m.others == nil {
		m.others = make(map[p2p.ID]bool)
	}
	for _, member := range s.Genesis().Terms.Members {
		m.others[p2p.ID(NodeID(member.Node))] = true
	}
	newest := s.Ceremony().Terms()
	if newest.Previous != nil {
		m.add(newest.Previous.Members)
	}
	m.add(newest.Members)
	for _, t := range s.Tenures() {
		m.add(t.Terms().Members)
	}
	return m
}

func (m *members) add(list []keygen.Member) {
	for _, member := range list {
		m.identities[p2p.ID(NodeID(member.Node))] = member.Identity
	}
}

// identity is that of the member whose node it is; nil if it is none's.
func (m *members) identity(id p2p.ID) ed25519.PublicKey { return m.identities[id] }

func (m *members) allowed(id p2p.ID) bool { return m.others[id] || m.identities[id] != nil }

func (m *members) equal(o *members) bool {
	return maps.Equal(m.others, o.others) && maps.EqualFunc(m.identities, o.identities, func(a, b ed25519.PublicKey) bool { return a.Equal(b) })
}

// peerIDs reads the node ids of the configuration's peers. A peer need not be a member: it
// may become one, or only follow the chain.
func peerIDs(peers []string) (map[p2p.ID]bool, error) {
	ids := make(map[p2p.ID]bool, len(peers))
	for _, peer := range peers {
		id, address, _ := strings.Cut(peer, "@")
		host, port, err := net.SplitHostPort(address)
		raw, notHex := hex.DecodeString(id)
		if err != nil || notHex != nil || len(raw) != p2p.IDByteLength || host == "" || port == "" {
			return nil, fmt.Errorf("peer %q: want node-id@host:port, the node id being %d hex digits", peer, 2*p2p.IDByteLength)
		}
		ids[p2p.ID(id)] = true
	}
	return ids, nil
}

// body is a committee as evidence sees it: from when on its votes count, if that is known.
type body struct {
	epoch   uint64
	from    uint64
	members []keygen.Member
}

// bodies are all committees that the state knows of, newest first.
func bodies(s *ordering.State) (out []body) {
	for _, t := range slices.Backward(s.Tenures()) {
		out = append(out, body{t.Epoch(), t.Since + validatorDelay, t.Terms().Members})
	}
	if p := s.Ceremony().Terms().Previous; p != nil && s.Tenure(p.Committee.Epoch) == nil {
		out = append(out, body{p.Committee.Epoch, 0, p.Members})
	}
	first := &s.Genesis().Terms
	return append(out, body{first.Epoch, 0, first.Members})
}

// accused finds the member whose validator key has an address: in the newest committee
// whose votes counted at the height. Identity is nil if no committee that the state still
// knows of has it.
func accused(s *ordering.State, address []byte, height uint64) (identity ed25519.PublicKey, epoch uint64, member uint32) {
	for _, b := range bodies(s) {
		if b.from > height {
			continue
		}
		for i, m := range b.members {
			if bytes.Equal(cmted25519.PubKey(m.Validator).Address(), address) {
				return m.Identity, b.epoch, uint32(i + 1)
			}
		}
	}
	return nil, 0, 0
}
