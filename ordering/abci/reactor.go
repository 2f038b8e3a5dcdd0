package abci

import (
	"crypto/ed25519"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	gogotypes "github.com/cosmos/gogoproto/types"

	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
)

// Peers hears of the other members' nodes and of what they send on our channel. Members
// are named by their identity keys, which stay the same from committee to committee.
type Peers interface {
	// PeerUp tells that a member's node has connected, or that a connected node has become
	// a member's. It may be told more than once.
	PeerUp(identity ed25519.PublicKey)
	// Receive takes a message that a member's node sent. It must not block for long. An
	// error means that an honest node would not have sent it: the connection is ended.
	Receive(identity ed25519.PublicKey, message []byte) error
}

// sharesChannel is our channel's number; CometBFT's own are below 0x70.
const sharesChannel = 0x5c

// reactor carries messages between members over CometBFT's encrypted, authenticated
// connections. It also knows who may connect.
type reactor struct {
	p2p.BaseReactor
	members  atomic.Pointer[members]
	pace     pace
	handler  Peers
	capacity int
}

func newReactor(m *members, handler Peers, capacity int) *reactor {
	r := &reactor{handler: handler, capacity: capacity}
	r.members.Store(m)
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
	if identity := r.members.Load().identity(peer.ID()); identity != nil {
		r.handler.PeerUp(identity)
	}
}

// Receive hands on what members send. A node that only follows the chain, or that we do
// not know as a member's yet because we are some blocks behind, is not heard.
func (r *reactor) Receive(e p2p.Envelope) {
	value, isBytes := e.Message.(*gogotypes.BytesValue)
	if !isBytes {
		r.Switch.StopPeerForError(e.Src, "scrim: not a message of this channel")
		return
	}
	identity := r.members.Load().identity(e.Src.ID())
	if identity == nil {
		return
	}
	if err := r.handler.Receive(identity, value.Value); err != nil {
		r.Switch.StopPeerForError(e.Src, err)
	}
}

// allow says whether a node may be connected now: a member's, or one that the operator
// named, and not too often.
func (r *reactor) allow(id p2p.ID) error {
	if !r.members.Load().allowed(id) {
		return fmt.Errorf("node %s is no member's, and is not among the peers of the configuration", id)
	}
	if !r.pace.take(id, time.Now()) {
		return fmt.Errorf("node %s connects too often", id)
	}
	return nil
}

// A connection that the other side ends at once, as long as it does not know us as a
// member's node, CometBFT dials again without a pause. If we refuse it ourselves, it waits
// for some seconds.
const (
	burst = 8 // connections in a row
	every = 2 * time.Second
)

// pace bounds how often each node may connect. Its nodes are those that are allowed at all.
type pace struct {
	mu   sync.Mutex
	paid map[p2p.ID]time.Time // until when the connections so far are spread out evenly
}

func (p *pace) take(id p2p.ID, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	paid := p.paid[id]
	if paid.Before(now) {
		paid = now
	}
	if paid.Sub(now) > (burst-1)*every {
		return false
	}
	if p.paid == nil {
		p.paid = make(map[p2p.ID]time.Time)
	}
	p.paid[id] = paid.Add(every)
	return true
}

// learn takes the members after a block, and gives those before it.
func (r *reactor) learn(next *members) (before *members) { return r.members.Swap(next) }

// greet hears of connected nodes that have become members', and parts with those that are
// nobody's any more.
func (r *reactor) greet(before *members) {
	next := r.members.Load()
	if r.Switch == nil || before.equal(next) { // no Switch: blocks are replayed, and nothing is connected
		return
	}
	peers := r.Switch.Peers().Copy()
	// Not on consensus' own goroutine: CometBFT asks its reactors when a connection ends.
	go func() {
		for _, peer := range peers {
			was, is := before.identity(peer.ID()), next.identity(peer.ID())
			switch {
			case !next.allowed(peer.ID()):
				r.Switch.StopPeerGracefully(peer)
			case is != nil && !is.Equal(was):
				r.handler.PeerUp(is)
			}
		}
	}()
}

func (r *reactor) broadcast(message []byte) {
	r.Switch.TryBroadcast(envelope(message))
}

func (r *reactor) send(identity ed25519.PublicKey, message []byte) bool {
	m := r.members.Load()
	for _, peer := range r.Switch.Peers().Copy() {
		if identity.Equal(m.identity(peer.ID())) {
			return peer.TrySend(envelope(message))
		}
	}
	return false
}

func envelope(message []byte) p2p.Envelope {
	return p2p.Envelope{ChannelID: sharesChannel, Message: &gogotypes.BytesValue{Value: message}}
}
