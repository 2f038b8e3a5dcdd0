package node

import (
	"context"

	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Further messages of the members' p2p channel, see opener.go.
const (
	messageAnnouncement = 3 // body: fair.Announcement
	messageWantBodies   = 4 // body: ids (32 each) of ciphertexts that are asked for
	messageBody         = 5 // body: a ciphertext
)

// peers gives what comes from other members' nodes to who handles it. It is abci.Peers.
type peers struct {
	opener    *opener
	announcer *announcer
	bodies    *bodies
}

func (p peers) PeerUp(member uint32) {
	p.opener.PeerUp(member)
	p.announcer.poke()
}

func (p peers) Receive(member uint32, message []byte) error {
	if len(message) == 0 {
		return errPeerMessage
	}
	switch body := message[1:]; message[0] {
	case messageAnnouncement:
		return p.announcer.receive(member, body)
	case messageWantBodies:
		return p.bodies.receiveRequest(member, body)
	case messageBody:
		return p.bodies.receiveBody(body)
	default:
		return p.opener.Receive(member, message)
	}
}

func (e *engine) Announcements(s *ordering.State) []fair.Announcement { return e.announcer.gather(s) }

func (e *engine) Bodies(ids []threshold.ID) [][]byte { return e.bodies.find(e.ctx, ids) }

func (e *engine) Arrived(ct *threshold.Ciphertext) { e.arrived(ct) }

// newAnnouncer and newBodies connect the two with the node's parts; the network comes later.
func (n *running) newAnnouncer(ctx context.Context, e *engine, s *ordering.State) error {
	a := newAnnouncer()
	a.chainID, a.key, a.store, a.log = s.Genesis().ChainID, n.secret, n.store, n.log
	if err := a.load(ctx, s); err != nil {
		return err
	}
	b := newBodies()
	b.store, b.maxBatch, b.log = n.store, int(s.Genesis().Params.MaxBatch), n.log
	b.members = func() int { return len(n.state().Genesis().Terms.Members) }
	n.announcer, n.bodies = a, b
	e.announcer, e.bodies = a, b
	return nil
}
