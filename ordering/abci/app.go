package abci

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	abcitypes "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/p2p"

	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Engine is what the application asks of the node around it.
type Engine interface {
	// InitChain makes the state before the first block durable.
	InitChain(s *ordering.State) error
	// Persist makes a block's result durable. It returns only when that is so, or when
	// it never will be; an error halts the node. at is the time in the block's header: for people, and in no hash of ours.
	Persist(next *ordering.State, r *ordering.Result, at time.Time) error
	// Misbehaved tells that a block, which is durable, has evidence against a member.
	Misbehaved(m Misbehaviour)
	// Rejected tells that this node votes against the proposal of a member, and why; epoch and member are 0 if it is unknown.
	Rejected(epoch uint64, member uint32, height uint64, reason error)
	// Accepted tells that this node votes for the proposal of a member, which turns before into next; epoch and member are 0 if it
	// is unknown. It must not block.
	Accepted(epoch uint64, member uint32, before, next *ordering.State)
	// Committed tells that r is durable and next is the state from now on.
	Committed(next *ordering.State, r *ordering.Result)
	// Openings gives the openings of s's pending batches, from the oldest on, as far
	// as this member can already open them.
	Openings(s *ordering.State) []ordering.BatchOpenings
	// Announcements gives the members' announcements for the block after s. It may wait a moment for them.
	Announcements(s *ordering.State) []*fair.Announcement
	// Bodies gives the ciphertexts with these ids, as far as they can be had soon.
	Bodies(ids []threshold.ID) [][]byte
	// Arrived tells of an admitted ciphertext in the mempool, at least once and, while it stays there, every second or so in which
	// there are blocks. It must not block.
	Arrived(ct *threshold.Ciphertext)
}

// app adapts ordering's pure functions to ABCI 2.0. CometBFT calls the methods of the
// consensus connection one after the other; CheckTx comes from its own goroutine.
type app struct {
	abcitypes.BaseApplication
	engine   Engine
	verifier *ordering.Verifier
	state    atomic.Pointer[ordering.State]
	reactor  *reactor
	peers    map[p2p.ID]bool         // of the configuration
	moved    chan struct{}           // capacity 1: there is a new state
	tamper   func([][]byte) [][]byte // Config.Tamper
	docket   docket

	// Of the consensus connection only.
	judged  folded // the last accepted proposal
	decided folded // the finalized block that waits for Commit
}

// Misbehaviour is evidence that CometBFT found and put into a block.
type Misbehaviour struct {
	Kind     string            // "duplicate_vote" or "light_client_attack"
	Identity ed25519.PublicKey // of the accused; nil if it is in no committee that the state still knows
	Epoch    uint64            // of the committee for which it voted
	Member   uint32            // its index there, from 1; 0 without identity
	Height   uint64            // at which it happened
	Proof    []byte            // CometBFT's record (protobuf); the votes themselves are in the block
}

// folded is a block's hash with what folding the block gave.
type folded struct {
	hash         []byte
	next         *ordering.State
	result       *ordering.Result
	at           time.Time // of its header
	misbehaviour []abcitypes.Misbehavior
}

const codespace = "scrim"

// Info tells CometBFT which block was the last to be made durable.
func (a *app) Info(context.Context, *abcitypes.RequestInfo) (*abcitypes.ResponseInfo, error) {
	s := a.state.Load()
	r := &abcitypes.ResponseInfo{LastBlockHeight: int64(s.Height())}
	if s.Height() > 0 {
		h := s.AppHash()
		r.LastBlockAppHash = h[:]
	}
	return r, nil
}

// InitChain starts a chain: the genesis that CometBFT has must be the one that the
// state was made from.
func (a *app) InitChain(_ context.Context, req *abcitypes.RequestInitChain) (*abcitypes.ResponseInitChain, error) {
	g, err := ordering.ParseGenesis(req.AppStateBytes)
	if err != nil {
		return nil, err
	}
	s, err := ordering.New(g)
	if err != nil {
		return nil, err
	}
	if have := a.state.Load(); have.AppHash() != s.AppHash() || req.ChainId != g.ChainID {
		return nil, errors.New("the genesis file does not belong to this node's state")
	}
	if err := a.engine.InitChain(s); err != nil {
		return nil, err
	}
	h := s.AppHash()
	return &abcitypes.ResponseInitChain{AppHash: h[:]}, nil
}

// CheckTx is the mempool's door.
func (a *app) CheckTx(_ context.Context, req *abcitypes.RequestCheckTx) (*abcitypes.ResponseCheckTx, error) {
	if err := a.admit(req.Tx, ordering.CheckTx); err != nil {
		return &abcitypes.ResponseCheckTx{Code: 1, Codespace: codespace, Log: err.Error()}, nil //nolint:nilerr // it is the answer
	}
	return &abcitypes.ResponseCheckTx{}, nil
}

// recheck says whether a transaction may stay in the mempool. It leaves out the proof, which cannot have become wrong.
func (a *app) recheck(tx []byte) bool { return a.admit(tx, ordering.RecheckTx) == nil }

// admit judges what waits or wants to wait in the mempool.
func (a *app) admit(tx []byte, check func(*ordering.State, *ordering.Verifier, []byte) error) error {
	if err := a.docket.first(tx); err != nil {
		return err
	}
	if err := check(a.state.Load(), a.verifier, tx); err != nil {
		return err
	}
	a.docket.enter(tx)
	if ct := ordering.CiphertextOf(tx); ct != nil {
		a.engine.Arrived(ct)
	}
	return nil
}

// PrepareProposal fills the next block.
func (a *app) PrepareProposal(_ context.Context, req *abcitypes.RequestPrepareProposal) (*abcitypes.ResponsePrepareProposal, error) {
	s := a.state.Load()
	announcements, held := a.engine.Announcements(s), ordering.Hold(req.Txs)
	held.Add(a.engine.Bodies(ordering.Wanted(s, announcements, held)))
	txs := ordering.Propose(s, a.verifier, ordering.Proposal{
		MaxBytes:      req.MaxTxBytes,
		Txs:           req.Txs,
		Announcements: announcements,
		Bodies:        held,
		Openings:      a.engine.Openings(s), // last: they may have come meanwhile
	})
	if a.tamper != nil {
		txs = a.tamper(txs)
	}
	return &abcitypes.ResponsePrepareProposal{Txs: txs}, nil
}

// ProcessProposal judges a proposal. Whatever is in it, the answer is accept or
// reject, never an error.
func (a *app) ProcessProposal(_ context.Context, req *abcitypes.RequestProcessProposal) (*abcitypes.ResponseProcessProposal, error) {
	s := a.state.Load()
	next, result, err := ordering.CheckAndStep(s, a.verifier, ordering.Block{Height: uint64(req.Height), Txs: req.Txs})
	_, epoch, member := accused(s, req.ProposerAddress, uint64(req.Height))
	if err != nil {
		a.engine.Rejected(epoch, member, uint64(req.Height), err)
		return &abcitypes.ResponseProcessProposal{Status: abcitypes.ResponseProcessProposal_REJECT}, nil
	}
	a.judged = folded{hash: bytes.Clone(req.Hash), next: next, result: result}
	a.engine.Accepted(epoch, member, s, next)
	return &abcitypes.ResponseProcessProposal{Status: abcitypes.ResponseProcessProposal_ACCEPT}, nil
}

// FinalizeBlock computes what a decided block changes; nothing is kept before Commit.
func (a *app) FinalizeBlock(_ context.Context, req *abcitypes.RequestFinalizeBlock) (*abcitypes.ResponseFinalizeBlock, error) {
	f := a.judged
	if f.result == nil || !bytes.Equal(f.hash, req.Hash) || f.result.Height != uint64(req.Height) {
		next, result, err := ordering.Step(a.state.Load(), a.verifier, ordering.Block{Height: uint64(req.Height), Txs: req.Txs})
		if err != nil {
			return nil, fmt.Errorf("finalize block %d: %w", req.Height, err)
		}
		f = folded{hash: req.Hash, next: next, result: result}
	}
	f.misbehaviour, f.at = req.Misbehavior, req.Time
	a.judged, a.decided = folded{}, f
	return &abcitypes.ResponseFinalizeBlock{
		TxResults: txResults(f.result.Txs), AppHash: f.result.AppHash[:], ValidatorUpdates: validatorUpdates(f.result.Validators),
	}, nil
}

// validatorDelay is how many blocks after the one that changes the validators their votes count.
const validatorDelay = 2

func validatorUpdates(changes []ordering.Validator) (out []abcitypes.ValidatorUpdate) {
	for _, v := range changes {
		out = append(out, abcitypes.Ed25519ValidatorUpdate(v.Key, v.Power))
	}
	return out
}

func txResults(codes []string) []*abcitypes.ExecTxResult {
	rs := make([]*abcitypes.ExecTxResult, len(codes))
	for i, code := range codes {
		rs[i] = &abcitypes.ExecTxResult{}
		if code != "" {
			rs[i] = &abcitypes.ExecTxResult{Code: 1, Codespace: codespace, Log: code}
		}
	}
	return rs
}

// Commit makes the finalized block durable, and only then lets anything act on it.
func (a *app) Commit(context.Context, *abcitypes.RequestCommit) (*abcitypes.ResponseCommit, error) {
	d := a.decided
	if d.result == nil {
		return nil, errors.New("commit without a finalized block")
	}
	a.decided = folded{}
	if err := a.engine.Persist(d.next, d.result, d.at); err != nil {
		return nil, fmt.Errorf("persist block %d: %w", d.result.Height, err)
	}
	a.state.Store(d.next)
	for _, m := range d.misbehaviour {
		a.engine.Misbehaved(misbehaviour(d.next, m))
	}
	select {
	case a.moved <- struct{}{}:
	default:
	}
	before := a.reactor.learn(membersOf(d.next, a.peers))
	a.engine.Committed(d.next, d.result)
	a.reactor.greet(before)
	return &abcitypes.ResponseCommit{}, nil
}

// misbehaviour names the member that the record accuses.
func misbehaviour(s *ordering.State, m abcitypes.Misbehavior) Misbehaviour {
	out := Misbehaviour{Kind: strings.ToLower(m.Type.String()), Height: uint64(m.Height)}
	out.Identity, out.Epoch, out.Member = accused(s, m.Validator.Address, out.Height)
	if proof, err := m.Marshal(); err == nil {
		out.Proof = proof
	}
	return out
}

// Query answers CometBFT, which asks before a node is connected (filter_peers): addresses
// may be any, node ids those of members and of the configuration's peers.
func (a *app) Query(_ context.Context, req *abcitypes.RequestQuery) (*abcitypes.ResponseQuery, error) {
	if id, ok := strings.CutPrefix(req.Path, "/p2p/filter/id/"); ok {
		if err := a.reactor.allow(p2p.ID(id)); err != nil {
			return &abcitypes.ResponseQuery{Code: 1, Codespace: codespace, Log: err.Error()}, nil //nolint:nilerr // it is the answer
		}
		return &abcitypes.ResponseQuery{}, nil
	}
	if strings.HasPrefix(req.Path, "/p2p/filter/addr/") {
		return &abcitypes.ResponseQuery{}, nil
	}
	return &abcitypes.ResponseQuery{Code: 1, Codespace: codespace, Log: "nothing is answered here; use the REST interface"}, nil
}
