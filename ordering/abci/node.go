package abci

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	abcitypes "github.com/cometbft/cometbft/abci/types"
	cmtcfg "github.com/cometbft/cometbft/config"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/mempool"
	cmtnode "github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/store"
	cmttypes "github.com/cometbft/cometbft/types"

	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// Config is what a member decides about its CometBFT node.
type Config struct {
	Home     string // directory of CometBFT's own stores; created if missing
	Moniker  string
	Genesis  []byte // the genesis file that MakeGenesis wrote
	Listen   string // "tcp://host:port"
	External string // address that others dial, if it is not Listen
	Peers    []string

	TimeoutCommit  time.Duration // at or above the largest one-way delay between members
	TimeoutPropose time.Duration
	TimeoutVote    time.Duration
	MempoolSize    int // transactions

	MaxMessage int // bytes of the largest message on the members' channel

	Validator ed25519.PrivateKey
	Node      ed25519.PrivateKey

	State    *ordering.State // what the engine last made durable
	Verifier *ordering.Verifier
	Engine   Engine
	Peer     Peers
	Metrics  bool // in Prometheus' default registry, so for one node of a process
	Log      *slog.Logger

	Tamper func(txs [][]byte) [][]byte // changes what this node proposes, to show that the others reject it; nil but in tests
}

// Node is a running CometBFT node with the application in it.
type Node struct {
	app     *app
	comet   *cmtnode.Node
	reactor *reactor
	fail    *failure
	peers   []string // configured ones, "id@host:port"
}

// Errors that New explains at more length.
var (
	ErrStateAhead  = errors.New("abci: Postgres is ahead of CometBFT's block store")
	ErrSignState   = errors.New("abci: the validator's last-signed state is missing")
	ErrMempoolFull = errors.New("abci: the mempool is full")
)

// New makes the node and replays the blocks that the engine's store is behind; the
// engine is called during it. It does not open the network.
func New(c Config) (_ *Node, err error) {
	// CometBFT panics for some states of its stores. Whatever it is, it is an error here.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("CometBFT cannot start from its stores in %s: %v", c.Home, r)
		}
	}()
	peers, err := peerIDs(c.Peers)
	if err != nil {
		return nil, err
	}
	cfg, err := c.comet()
	if err != nil {
		return nil, err
	}
	blocks, err := blockHeight(cfg)
	if err != nil {
		return nil, err
	}
	if c.State.Height() > blocks {
		return nil, fmt.Errorf("%w: the database is at height %d, the blocks in %s end at %d. Either the block store was restored from an older copy or lost: "+
			"give the node an empty database as well (then it fetches all blocks from the others), or restore the newer block store. Never restore an older priv_validator_state.json",
			ErrStateAhead, c.State.Height(), cfg.DBDir(), blocks)
	}
	signer, err := loadSigner(cfg, c.Validator, blocks > 0)
	if err != nil {
		return nil, err
	}
	n := &Node{fail: newFailure(), peers: c.Peers}
	n.reactor = newReactor(membersOf(c.State, peers), c.Peer, c.MaxMessage)
	n.app = &app{moved: make(chan struct{}, 1), engine: c.Engine, verifier: c.Verifier, reactor: n.reactor, peers: peers, tamper: c.Tamper}
	n.app.state.Store(c.State)
	genesis := func() (*cmttypes.GenesisDoc, error) { return cmttypes.GenesisDocFromJSON(c.Genesis) }
	n.comet, err = cmtnode.NewNode(cfg, signer, &p2p.NodeKey{PrivKey: cmted25519.PrivKey(c.Node)},
		proxy.NewConnSyncLocalClientCreator(n.app), genesis, cmtcfg.DefaultDBProvider,
		cmtnode.DefaultMetricsProvider(&cmtcfg.InstrumentationConfig{Prometheus: c.Metrics, Namespace: "cometbft"}),
		logger{c.Log, n.fail}, cmtnode.CustomReactors(map[string]p2p.Reactor{"SHARES": n.reactor}))
	if err != nil {
		return nil, fmt.Errorf("CometBFT cannot start from its stores in %s: %w", c.Home, err)
	}
	return n, nil
}

// maxInbound is how many nodes can connect to this one: two committees of the largest
// size, and as many again of which it is not known yet who they are.
const maxInbound = 4 * threshold.MaxMembers

// comet gives CometBFT the settings of a private network of known members. What was
// measured for each is in docs/decisions.
func (c *Config) comet() (*cmtcfg.Config, error) {
	cfg := cmtcfg.DefaultConfig().SetRoot(c.Home)
	cfg.Moniker = c.Moniker
	for _, dir := range []string{cfg.DBDir(), filepath.Dir(cfg.PrivValidatorStateFile()), filepath.Dir(cfg.GenesisFile())} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	p := cfg.P2P
	p.ListenAddress, p.ExternalAddress = c.Listen, c.External
	p.PersistentPeers = strings.Join(c.Peers, ",")
	// Who may connect changes with the committees: the application says so (app.Query). These
	// are bounds only. CometBFT's list of unconditional peers cannot be changed while it runs.
	cfg.FilterPeers = true
	p.MaxNumInboundPeers, p.MaxNumOutboundPeers = maxInbound, 0
	p.PexReactor, p.AddrBookStrict, p.AllowDuplicateIP = false, false, true
	p.PersistentPeersMaxDialPeriod = 2 * time.Second
	p.FlushThrottleTimeout = time.Millisecond
	p.SendRate, p.RecvRate = 500<<20, 500<<20
	p.MaxPacketMsgPayloadSize = 32 << 10
	cfg.RPC.ListenAddress, cfg.RPC.GRPCListenAddress = "", ""
	cfg.TxIndex.Indexer = "null"
	cfg.Storage.DiscardABCIResponses = true
	m := cfg.Mempool
	m.Size, m.CacheSize, m.MaxTxBytes = c.MempoolSize, 2*c.MempoolSize, ordering.MaxMempoolTx
	m.MaxTxsBytes = int64(c.MempoolSize) * 16 << 10
	m.Recheck = false // it would hold the mempool, and with it the next proposal, after each block: see sweep
	t := cfg.Consensus
	t.PeerGossipSleepDuration = 5 * time.Millisecond
	t.TimeoutCommit, t.TimeoutPropose, t.TimeoutProposeDelta = c.TimeoutCommit, c.TimeoutPropose, c.TimeoutPropose/3
	t.TimeoutPrevote, t.TimeoutPrecommit = c.TimeoutVote, c.TimeoutVote
	t.TimeoutPrevoteDelta, t.TimeoutPrecommitDelta = c.TimeoutVote/2, c.TimeoutVote/2
	t.CreateEmptyBlocks = false
	if err := cfg.ValidateBasic(); err != nil {
		return nil, fmt.Errorf("settings for CometBFT: %w", err)
	}
	return cfg, nil
}

// blockHeight is the height of the last block in CometBFT's own store.
func blockHeight(cfg *cmtcfg.Config) (uint64, error) {
	db, err := cmtcfg.DefaultDBProvider(&cmtcfg.DBContext{ID: "blockstore", Config: cfg})
	if err != nil {
		return 0, fmt.Errorf("open the block store in %s (is another scrimd using it?): %w", cfg.DBDir(), err)
	}
	defer db.Close()
	return uint64(store.NewBlockStore(db).Height()), nil
}

// Start opens the network and takes part in consensus.
func (n *Node) Start() error {
	if err := n.comet.Start(); err != nil {
		return err
	}
	go n.redial()
	go n.sweep()
	return nil
}

// redialEvery is how often a configured peer that is not connected is dialled.
const redialEvery = 5 * time.Second

// redial goes on where CometBFT gives up: it stops dialling a persistent peer after some
// time, and at once if the peer hangs up while the dialling before is not quite over, as
// one does that does not know this node yet (decision 0095).
func (n *Node) redial() {
	tick := time.NewTicker(redialEvery)
	defer tick.Stop()
	sw := n.comet.Switch()
	for {
		select {
		case <-sw.Quit():
			return
		case <-tick.C:
		}
		for _, peer := range n.peers {
			id, _, _ := strings.Cut(peer, "@")
			if sw.Peers().Has(p2p.ID(id)) {
				continue
			}
			if addr, err := p2p.NewNetAddressString(peer); err == nil { // else its name is not known now
				go func() { _ = sw.DialPeerWithAddress(addr) }() // tried again at the next tick
			}
		}
	}
}

// sweepEvery is the shortest time between two sweeps.
const sweepEvery = time.Second

// sweep looks after blocks at what still waits in the mempool: what has become invalid leaves it, and the node around is told of
// ciphertexts once more. CometBFT's own recheck does so within each block's commit, for as long as much waits: then the next
// proposal is late, more waits, and so on (decision 0137).
func (n *Node) sweep() {
	quit := n.comet.Switch().Quit()
	for {
		select {
		case <-quit:
			return
		case <-n.app.moved:
		}
		n.sweepOnce()
		select {
		case <-quit:
			return
		case <-time.After(sweepEvery):
		}
	}
}

func (n *Node) sweepOnce() {
	pool := n.comet.Mempool()
	n.app.docket.clear()
	for _, tx := range pool.ReapMaxTxs(-1) {
		if n.app.recheck(tx) {
			continue
		}
		pool.Lock()                      // a block that has it may be committed right now
		_ = pool.RemoveTxByKey(tx.Key()) // it is gone already
		pool.Unlock()
	}
}

// Stop ends it; nothing that was durable is lost.
func (n *Node) Stop() error {
	if err := n.comet.Stop(); err != nil {
		return err
	}
	n.comet.Wait()
	return nil
}

// Failed gives the reason, once, when consensus has failed at this node. The process
// must end then: CometBFT does not vote any more.
func (n *Node) Failed() <-chan error { return n.fail.ch }

// State is the state after the last committed block.
func (n *Node) State() *ordering.State { return n.app.state.Load() }

// CatchingUp reports whether the node still fetches blocks that the others have.
func (n *Node) CatchingUp() bool { return n.comet.ConsensusReactor().WaitSync() }

// PeersUp is the number of nodes that are connected: members', and those that follow the chain.
func (n *Node) PeersUp() int { return n.comet.Switch().Peers().Size() }

// MempoolSize is the number of transactions that wait.
func (n *Node) MempoolSize() int { return n.comet.Mempool().Size() }

// Submit offers a transaction to the mempool, from where it reaches the other members.
// done, if not nil, is called once with the verdict: nil also if the transaction is
// waiting already. ErrMempoolFull is returned at once.
func (n *Node) Submit(tx []byte, done func(error)) error {
	verdict := func(r *abcitypes.ResponseCheckTx) {
		if done == nil {
			return
		}
		if r.Code != abcitypes.CodeTypeOK {
			done(errors.New(r.Log))
			return
		}
		done(nil)
	}
	err := n.comet.Mempool().CheckTx(tx, verdict, mempool.TxInfo{})
	switch {
	case errors.Is(err, mempool.ErrTxInCache):
		if done != nil {
			done(nil)
		}
		return nil
	case errors.As(err, &mempool.ErrMempoolIsFull{}):
		return ErrMempoolFull
	default:
		return err
	}
}

// Broadcast sends a message to all connected nodes. It does not wait.
func (n *Node) Broadcast(message []byte) { n.reactor.broadcast(message) }

// Send sends a message to one member's node, and reports whether it was taken. It does not wait.
func (n *Node) Send(identity ed25519.PublicKey, message []byte) bool {
	return n.reactor.send(identity, message)
}
