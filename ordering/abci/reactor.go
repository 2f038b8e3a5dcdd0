package abci

import (
	gogotypes "github.com/cosmos/gogoproto/types"

	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
)

// Peers hears of the other members' nodes and of what they send on our channel.
type Peers interface {
	// PeerUp tells that a member's node has connected.
	PeerUp(member uint32)
	// Receive takes a message that a member's node sent. It must not block for long. An
	// error means that an honest node would not have sent it: the connection is ended.
	Receive(member uint32, message []byte) error
}

// sharesChannel is our channel's number; CometBFT's own are below 0x70.
const sharesChannel = 0x5c

// reactor carries messages between members over CometBFT's encrypted, authenticated
// connections.
type reactor struct {
	p2p.BaseReactor
	members  map[p2p.ID]uint32
	handler  Peers
	capacity int
}

func newReactor(members map[p2p.ID]uint32, handler Peers, capacity int) *reactor {
	r := &reactor{members: members, handler: handler, capacity: capacity}
	r.BaseReactor = *p2p.NewBaseReactor("ScrimShares", r)
	return r
}

func (r *reactor) GetChannels() []*conn.ChannelDescriptor {
	return []*conn.ChannelDescriptor{{
		ID: sharesChannel, Priority: 8, SendQueueCapacity: 256,
		RecvMessageCapacity: r.capacity + 64, MessageType: &gogotypes.BytesValue{},
	}}
}

func (r *reactor) AddPeer(peer p2p.Peer) {
	if m, ok := r.members[peer.ID()]; ok {
		r.handler.PeerUp(m)
	}
}

func (r *reactor) Receive(e p2p.Envelope) {
	member, ok := r.members[e.Src.ID()]
	value, isBytes := e.Message.(*gogotypes.BytesValue)
	if !ok || !isBytes {
		r.Switch.StopPeerForError(e.Src, "scrim: not a member's message")
		return
	}
	if err := r.handler.Receive(member, value.Value); err != nil {
		r.Switch.StopPeerForError(e.Src, err)
	}
}

func (r *reactor) broadcast(message []byte) {
	r.Switch.TryBroadcast(envelope(message))
}

func (r *reactor) send(member uint32, message []byte) bool {
	for id, m := range r.members {
		if m != member {
			continue
		}
		peer := r.Switch.Peers().Get(id)
		return peer != nil && peer.TrySend(envelope(message))
	}
	return false
}

func envelope(message []byte) p2p.Envelope {
	return p2p.Envelope{ChannelID: sharesChannel, Message: &gogotypes.BytesValue{Value: message}}
}
