// Package node is the shell around Scrim's pure core: it loads the state, runs consensus
// and the REST interface, writes each block in one database transaction, and only then
// performs what the block allows, such as releasing this member's share.
//
// [Run] is a committee member's whole day; [Export] writes the audit bundle without a
// running node; [LoadConfig] and [InitHome] are what comes before.
//
// The rules of the protocol are not here but in ordering, keygen, commitreveal and
// threshold.
package node

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/httpapi"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/abci"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Errors of Run that callers branch on.
var (
	// ErrConsensusFailure: CometBFT stopped voting. The process must end (exit code 70);
	// started again with the same stores it would fail again.
	ErrConsensusFailure = errors.New("node: consensus failure")
	// ErrNotMember: the member's keys are not among the genesis' members.
	ErrNotMember = errors.New("node: this member is not in the genesis")
)

const (
	verifierMemory  = 64 << 20        // bytes of ciphertexts whose proof is remembered
	shutdownTimeout = 3 * time.Second // for requests that run, and then for a block that is being written
	syncPoll        = 50 * time.Millisecond
)

// MakeGenesis writes the genesis file of a chain.
func MakeGenesis(g *ordering.Genesis) ([]byte, error) { return abci.MakeGenesis(g) }

// NodeID is the p2p id of a member's node key.
func NodeID(node ed25519.PublicKey) string { //nolint:revive // CometBFT calls it the node ID
	return abci.NodeID(node)
}

// running is a node with all its parts.
type running struct {
	cfg      *Config
	log      *slog.Logger
	self     keygen.Member
	member   uint32
	store    *pg.Store
	verifier *ordering.Verifier
	comet    *abci.Node
	opener   *opener
	intake   *intake
	metrics  *metrics

	secret    ed25519.PrivateKey // the member's identity key
	announcer *announcer
	bodies    *bodies
}

func (n *running) state() *ordering.State { return n.comet.State() }

// Run runs a member's node until ctx ends or something makes it impossible to go on;
// the error then says what, and what to do. It returns nil after ctx has ended.
func Run(ctx context.Context, cfg *Config, log *slog.Logger) error {
	return run(ctx, cfg, log, func(s sharer) sharer { return s })
}

// run is Run with a say in what the member's share is; only the build for fault
// injection uses it (byzantine.go).
func run(ctx context.Context, cfg *Config, log *slog.Logger, wrap func(sharer) sharer) error {
	genesis, g, err := readGenesis(cfg.GenesisFile())
	if err != nil {
		return err
	}
	secret, err := cfg.Member()
	if err != nil {
		return err
	}
	defer secret.Wipe()
	member, err := memberIndex(g, secret)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := store.Claim(ctx); err != nil {
		return err
	}
	chain := chainOf(g, genesis, g.Terms.Members[member-1].Identity)
	stored, err := storedChain(ctx, store)
	if err != nil {
		return err
	}
	if err := checkOwner(stored, chain); err != nil {
		return err
	}
	state, err := loadState(ctx, store, g, stored)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	n := &running{cfg: cfg, log: log, self: g.Terms.Members[member-1], member: member, store: store, verifier: ordering.NewVerifier(verifierMemory), metrics: newMetrics(registry)}
	n.opener = n.newOpener(g, secret)
	n.opener.committed(state)
	n.metrics.ceremony(state)
	cer, err := n.newCeremony(state.Ceremony(), secret, func(s *threshold.SecretShare) { n.opener.setShare(wrap(s)) })
	if err != nil {
		return err
	}
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	eng := &engine{ctx: writing, store: store, chain: chain, opener: n.opener, metrics: n.metrics, log: log}
	eng.onCommitted = append(eng.onCommitted, cer.poke)
	n.secret = secret.Identity()
	if err := n.newAnnouncer(ctx, eng, state); err != nil {
		return err
	}
	n.intake = n.newIntake(g, secret)
	eng.arrived = n.intake.arrived
	n.comet, err = abci.New(n.cometConfig(genesis, secret, state, eng))
	if err != nil {
		return err
	}
	n.opener.net, n.announcer.net, n.bodies.net, n.intake.comet = n.comet, n.comet, n.comet, n.comet
	cer.submit = func(tx []byte) error { return n.comet.Submit(tx, nil) }
	return n.run(ctx, cer, registry, stopWriting)
}

// readGenesis also gives the file's bytes.
func readGenesis(path string) ([]byte, *ordering.Genesis, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s does not exist; 'scrimd genesis assemble' makes it once for all members, and it must lie in every home", path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read genesis: %w", err)
	}
	g, err := abci.ReadGenesis(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, g, nil
}

const domainDatabase = "scrim/database/v1"

// chainOf says whose database it must be: this chain's and this member's. Two members
// with one database would give each other's receipts, and mix up their guards.
func chainOf(g *ordering.Genesis, genesis []byte, member ed25519.PublicKey) pg.Chain {
	h := sha256.New()
	h.Write([]byte(domainDatabase))
	h.Write(member)
	h.Write(genesis)
	return pg.Chain{ChainID: g.ChainID, GenesisHash: [32]byte(h.Sum(nil))}
}

func memberIndex(g *ordering.Genesis, secret *keygen.MemberSecret) (uint32, error) {
	identity := secret.Identity().Public().(ed25519.PublicKey)
	for i, m := range g.Terms.Members {
		if m.Identity.Equal(identity) {
			return uint32(i + 1), nil
		}
	}
	return 0, fmt.Errorf("%w: chain %q has no member with identity 0x%x; the home has the wrong genesis.json or the wrong member file", ErrNotMember, g.ChainID, []byte(identity))
}

func openStore(ctx context.Context, cfg *Config) (*pg.Store, error) {
	url, err := cfg.PostgresURL()
	if err != nil {
		return nil, err
	}
	return pg.Open(ctx, url)
}

func (n *running) newOpener(g *ordering.Genesis, secret *keygen.MemberSecret) *opener {
	o := newOpener()
	o.chainID, o.identity, o.maxBatch = g.ChainID, secret.Identity(), int(g.Params.MaxBatch)
	for _, m := range g.Terms.Members {
		o.identities = append(o.identities, m.Identity)
	}
	o.guard, o.verifier, o.metrics, o.log = n.store, n.verifier, n.metrics, n.log
	return o
}

func (n *running) newCeremony(s *keygen.State, secret *keygen.MemberSecret, onShare func(*threshold.SecretShare)) (*ceremony, error) {
	ids, recipients, err := n.cfg.Identities()
	if err != nil {
		return nil, err
	}
	c := &ceremony{
		secret: secret, identities: ids, recipients: recipients, dir: n.cfg.ShareDir(), index: n.member, attempts: uint32(n.cfg.Ceremony.Attempts),
		onShare: onShare, log: n.log, wake: make(chan struct{}, 1),
		keep: n.store.AddEvidence, kept: make(map[[32]byte]int),
	}
	return c, c.open(s)
}

func (n *running) newIntake(g *ordering.Genesis, secret *keygen.MemberSecret) *intake {
	i := newIntake()
	i.chainID, i.member, i.key = g.ChainID, n.member, secret.Identity()
	i.store, i.announcer, i.metrics, i.log = n.store, n.announcer, n.metrics, n.log
	return i
}

func (n *running) cometConfig(genesis []byte, secret *keygen.MemberSecret, s *ordering.State, e *engine) abci.Config {
	return abci.Config{
		Home: n.cfg.CometDir(), Moniker: n.self.Name, Genesis: genesis,
		Listen: n.cfg.P2P.Listen, External: n.cfg.P2P.External, Peers: n.cfg.P2P.Peers,
		TimeoutCommit: n.cfg.Consensus.TimeoutCommit, TimeoutPropose: n.cfg.Consensus.TimeoutPropose, TimeoutVote: n.cfg.Consensus.TimeoutVote,
		MempoolSize: n.cfg.Mempool.Size,
		MaxMessage:  n.maxMessage(s.Genesis().Params),
		Validator:   secret.Validator(), Node: secret.Node(),
		State: s, Verifier: n.verifier, Engine: e, Peer: peers{n.opener, n.announcer, n.bodies}, Metrics: true, Log: n.log.With("part", "cometbft"),
	}
}

// maxMessage is the size of the largest message on the members' channel.
func (n *running) maxMessage(p ordering.Params) int {
	announcement := fair.MaxAnnouncementSize(fair.Params{MaxChunk: int(p.Order.MaxChunk)})
	return 1 + max(commitreveal.MaxShareMessageSize(int(p.MaxBatch)), announcement, len(threshold.ID{})*int(p.MaxBatch), ordering.MaxTxSize)
}

// run starts all parts and waits for the first that ends. A block that is being written
// then is finished, unless the database is away: stopWriting gives it up.
func (n *running) run(ctx context.Context, cer *ceremony, registry *prometheus.Registry, stopWriting func()) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", n.cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("http.listen: %w", err)
	}
	server := n.server(registry)
	if err := n.comet.Start(); err != nil {
		_ = listener.Close()
		return fmt.Errorf("start CometBFT: %w", err)
	}
	n.log.Info("node started", "member", n.member, "name", n.self.Name, "height", n.state().Height(), "http", listener.Addr().String(), "p2p", n.cfg.P2P.Listen)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { n.opener.run(ctx); return nil })
	group.Go(func() error { n.intake.run(ctx); return nil })
	group.Go(func() error { n.announcer.run(ctx); return nil })
	group.Go(func() error { n.bodies.run(ctx); return nil })
	group.Go(func() error { n.afterSync(ctx); return nil })
	group.Go(func() error { return cer.run(ctx, n.state, n.comet.CatchingUp) })
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("http server: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		select {
		case err := <-n.comet.Failed():
			return fmt.Errorf("%w: %w. The other members go on without this one; keep its stores for analysis, and see docs/runbooks", ErrConsensusFailure, err)
		case <-ctx.Done():
			return nil
		}
	})
	group.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if server.Shutdown(stop) != nil {
			_ = server.Close()
		}
		return nil
	})
	err = group.Wait()
	time.AfterFunc(shutdownTimeout, stopWriting)
	if stopErr := n.comet.Stop(); stopErr != nil && err == nil {
		n.log.Warn("CometBFT did not stop cleanly", "err", stopErr)
	}
	n.log.Info("node stopped", "height", n.state().Height())
	return err
}

// afterSync lets the opener release shares once this node has caught up, and offers what
// was received before a restart.
func (n *running) afterSync(ctx context.Context) {
	tick := time.NewTicker(syncPoll)
	defer tick.Stop()
	for n.comet.CatchingUp() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	n.log.Info("caught up with the other members", "height", n.state().Height())
	if err := n.announcer.resume(ctx); err != nil {
		n.log.Error("receive log not resumed; its head is not announced until the next start", "err", err)
	}
	n.opener.setActive(true)
	n.intake.open.Store(true)
	n.intake.offerWaiting(ctx, func() uint64 { return n.state().Height() })
}

func (n *running) server(registry *prometheus.Registry) *http.Server {
	handler := httpapi.New(backend{n}, httpapi.Options{
		Log: n.log.With("part", "http"), Registerer: registry,
		// CometBFT's metrics, the Go runtime's and the process' are in the default registry.
		Gatherer: prometheus.Gatherers{registry, prometheus.DefaultGatherer},
		MaxBody:  n.cfg.HTTP.MaxBodyBytes, RatePerMinute: n.cfg.HTTP.RatePerMinute, TrustedProxies: n.cfg.HTTP.Proxies(),
		CORSOrigins: n.cfg.HTTP.CORSOrigins,
	})
	return httpapi.NewServer(n.cfg.HTTP.Listen, handler)
}

// Export writes the audit bundle of the node whose home this is; the node may be running
// or not.
func Export(ctx context.Context, cfg *Config, w io.Writer) error {
	_, g, err := readGenesis(cfg.GenesisFile())
	if err != nil {
		return err
	}
	store, err := openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer store.Close()
	stored, err := storedChain(ctx, store)
	if err != nil {
		return err
	}
	s, err := loadState(ctx, store, g, stored)
	if err != nil {
		return err
	}
	return export(ctx, store, s, w)
}
