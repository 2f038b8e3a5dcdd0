package node

import (
	"context"
	"crypto/ed25519"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Further messages of the members' p2p channel, see opener.go.
const (
	messageAnnouncement = 3 // body: fair.Announcement
	messageWantBodies   = 4 // body: ids (32 each) of ciphertexts that are asked for
	messageBody         = 5 // body: a ciphertext
	messageCosignature  = 8 // body: cosignatureSize bytes, see docs/spec/log.md
)

// peers gives what comes from other members' nodes to who handles it. It is abci.Peers.
type peers struct {
	opener    *opener
	announcer *announcer
	bodies    *bodies
	publish   *publisher
}

func (p peers) PeerUp(identity ed25519.PublicKey) {
	p.publish.peerUp(identity)
	p.opener.PeerUp(identity)
	p.announcer.poke()
}

func (p peers) Receive(identity ed25519.PublicKey, message []byte) error {
	if len(message) == 0 {
		return errPeerMessage
	}
	switch body := message[1:]; message[0] {
	case messageAnnouncement:
		return p.announcer.receive(identity, body)
	case messageWantBodies:
		return p.bodies.receiveRequest(identity, body)
	case messageBody:
		return p.bodies.receiveBody(body)
	case messageCosignature:
		return p.publish.receive(identity, body)
	default:
		return p.opener.Receive(identity, message)
	}
}

func (e *engine) Announcements(s *ordering.State) []*fair.Announcement {
	found := e.announcer.gather(s)
	if e.tamper != nil {
		found = e.tamper(e.store, found)
	}
	return found
}

func (e *engine) Bodies(ids []threshold.ID) [][]byte { return e.bodies.find(e.ctx, ids) }

func (e *engine) Arrived(ct *threshold.Ciphertext) { e.arrived(ct) }

// newAnnouncer and newBodies connect the two with the node's parts; the network comes later.
func (n *running) newAnnouncer(ctx context.Context, e *engine, secret *keygen.MemberSecret, s *ordering.State) error {
	a := newAnnouncer()
	a.chainID, a.key, a.store, a.log = s.Genesis().ChainID, secret.Identity(), n.store, n.log
	if err := a.load(ctx, s); err != nil {
		return err
	}
	b := newBodies()
	b.store, b.maxBatch, b.log = n.store, int(s.Genesis().Params.MaxBatch), n.log
	b.members = func() []ed25519.PublicKey { return n.state().Identities() }
	n.announcer, n.bodies = a, b
	e.announcer, e.bodies = a, b
	return nil
}
