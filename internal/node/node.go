// Package node is the shell around Scrim's pure core: it loads the state, runs consensus
// and the REST interface, writes each block in one database transaction, and only then
// performs what the block allows, such as releasing this member's share.
//
// [Run] is a committee member's whole day, from before its first committee until after its
// last; [Export] writes the audit bundle without a running node; [LoadConfig] and
// [InitHome] are what comes before.
//
// The rules of the protocol are not here but in ordering, keygen, commitreveal and
// threshold.
package node

import (
	"cmp"
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
	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/ordering/abci"
	"github.com/scrimlabs/scrim/ordering/fair"
	"github.com/scrimlabs/scrim/threshold"
)

// Errors of Run that callers branch on.
//
// ErrConsensusFailure: CometBFT stopped voting. The process must end (exit code 70);
// started again with the same stores it would fail again.
var ErrConsensusFailure = errors.New("node: consensus failure")

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
	self     ed25519.PublicKey // this member's identity; it is in the committee in office or not
	card     string            // this member's name, while no committee gives it one
	store    *pg.Store
	verifier *ordering.Verifier
	comet    *abci.Node
	chain    consensus // comet
	opener   *opener
	intake   *intake
	publish  *publisher
	metrics  *metrics

	accuser   *accuser
	announcer *announcer
	bodies    *bodies
	archive   archive
}

// consensus is what the door and the REST interface need of CometBFT; it is an *abci.Node.
type consensus interface {
	State() *ordering.State
	CatchingUp() bool
	PeersUp() int
	MempoolSize() int
	Submit(tx []byte, done func(error)) error
}

func (n *running) state() *ordering.State { return n.chain.State() }

// Run runs a member's node until ctx ends or something makes it impossible to go on;
// the error then says what, and what to do. It returns nil after ctx has ended.
func Run(ctx context.Context, cfg *Config, log *slog.Logger) error {
	return runWith(ctx, cfg, log, tampering{})
}

// tampering is what a build for fault injection does otherwise (byzantine.go); nothing here.
type tampering struct {
	share   func(sharer) sharer
	log     func(group []submission, more <-chan submission) []submission
	propose func(*pg.Store, []*fair.Announcement) []*fair.Announcement
	block   func(txs [][]byte) [][]byte
	channel func(*running, network) network // to the other members: of announcements and bodies
}

func runWith(ctx context.Context, cfg *Config, log *slog.Logger, t tampering) error {
	wrap := t.share
	if wrap == nil {
		wrap = func(s sharer) sharer { return s }
	}
	return run(ctx, cfg, log, wrap, t)
}

func run(ctx context.Context, cfg *Config, log *slog.Logger, wrap func(sharer) sharer, tamper tampering) error {
	genesis, g, err := readGenesis(cfg.GenesisFile())
	if err != nil {
		return err
	}
	secret, err := cfg.Member()
	if err != nil {
		return err
	}
	defer secret.Wipe()
	self := secret.Identity().Public().(ed25519.PublicKey)
	store, err := openStore(ctx, cfg)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := checkDurable(ctx, store, cfg, log); err != nil {
		return err
	}
	if err := store.Claim(ctx); err != nil {
		return err
	}
	chain := chainOf(g, genesis, self)
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
	n := &running{cfg: cfg, log: log, self: self, card: cardName(cfg), store: store, verifier: ordering.NewVerifier(verifierMemory), metrics: newMetrics(registry)}
	n.accuser = newAccuser(store, n.verifier, log)
	n.opener = n.newOpener(g, secret)
	n.opener.committed(state)
	if n.publish, err = n.newPublisher(g, secret); err != nil {
		return err
	}
	n.publish.begin(state)
	keeper, err := n.newKeeper(secret, wrap)
	if err != nil {
		return err
	}
	if err := keeper.hold(state, false); err != nil {
		return err
	}
	cer := newCeremony(keeper)
	cer.attempts, cer.keep = uint32(n.cfg.Ceremony.Attempts), n.accuser.AddEvidence
	n.metrics.ceremony(state)
	n.metrics.place(state, n.place(state))
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	eng := &engine{ctx: writing, store: store, chain: chain, opener: n.opener, log: log}
	eng.persisted, eng.rejected, eng.omitting = n.metrics.persist, n.metrics.badProposals, n.metrics.omitting
	eng.onCommitted = append(eng.onCommitted, n.metricsOf, cer.poke, n.publish.committed)
	if err := n.newAnnouncer(ctx, eng, secret, state); err != nil {
		return err
	}
	n.announcer.blame = n.accuser
	n.intake = n.newIntake(g, secret)
	eng.arrived, eng.tamper, n.intake.tamper = n.intake.arrived, tamper.propose, tamper.log
	c := n.cometConfig(genesis, secret, state, eng)
	c.Tamper = tamper.block
	n.comet, err = abci.New(c)
	if err != nil {
		return err
	}
	n.chain, n.intake.chain = n.comet, n.comet
	n.opener.net, n.announcer.net, n.bodies.net, n.publish.net = n.comet, n.comet, n.comet, n.comet
	if tamper.channel != nil {
		n.announcer.net = tamper.channel(n, n.comet)
		n.bodies.net = n.announcer.net
	}
	shareHeld(registry, n.holdsShare)
	cer.submit = func(tx []byte) error { return n.comet.Submit(tx, nil) }
	n.accuser.submit = cer.submit
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

func openStore(ctx context.Context, cfg *Config) (*pg.Store, error) {
	url, err := cfg.PostgresURL()
	if err != nil {
		return nil, err
	}
	return pg.Open(ctx, url)
}

// checkDurable refuses a server that may forget what it said it stored, unless the configuration allows it.
func checkDurable(ctx context.Context, store *pg.Store, cfg *Config, log *slog.Logger) error {
	err := store.CheckDurable(ctx)
	if !errors.Is(err, pg.ErrUnsafe) {
		return err
	}
	if !cfg.Postgres.AllowUnsafe {
		return fmt.Errorf("%w. A member that forgets what it has signed and shared can break the chain's promises. For a throw-away network set postgres.allow_unsafe = true in %s", err, cfg.File())
	}
	log.Warn("UNSAFE DATABASE: postgres.allow_unsafe lets this member run on a server that may forget; never do so in a network that matters", "err", err)
	return nil
}

func (n *running) newOpener(g *ordering.Genesis, secret *keygen.MemberSecret) *opener {
	o := newOpener()
	o.chainID, o.identity, o.maxBatch = g.ChainID, secret.Identity(), int(g.Params.MaxBatch)
	o.guard, o.evidence, o.verifier, o.metrics, o.log = n.store, n.accuser, n.verifier, n.metrics, n.log
	return o
}

func (n *running) newKeeper(secret *keygen.MemberSecret, wrap func(sharer) sharer) (*keeper, error) {
	ids, recipients, err := n.cfg.Identities()
	if err != nil {
		return nil, err
	}
	return &keeper{
		vault:  vault{n.cfg.ShareDir(), ids, recipients},
		secret: secret, own: n.self, margin: uint64(n.cfg.Ceremony.KeepOldShares), ended: n.store.OfficeEnded,
		give:    func(epoch uint64, s *threshold.SecretShare) { n.opener.setShare(epoch, wrap(s)) },
		settled: make(map[uint64]bool), past: make(map[uint64]uint64), log: n.log,
	}, nil
}

// holdsShare reports whether the node has its share of the key in office.
func (n *running) holdsShare() bool { return n.opener.hasShare(n.place(n.state()).Epoch) }

func (n *running) metricsOf(s *ordering.State, r *ordering.Result) {
	n.metrics.committed(s, r)
	_, live := s.CommittedLog(n.self)
	n.metrics.order.committed(s, r, live)
	n.metrics.order.admitted(n.announcer.held())
	n.metrics.place(s, n.place(s))
}

// cardName is the name that the home's card gives the member, "" if there is no card.
func cardName(cfg *Config) string {
	card, err := home.ReadCard(cfg.CardFile())
	if err != nil {
		return ""
	}
	return card.Member.Name
}

// name is what others call this member: in the committee in office, in one that may
// come, or as its card says.
func (n *running) name(s *ordering.State) string {
	lists := [][]keygen.Member{s.Ceremony().Terms().Members}
	if t := s.Office(); t != nil {
		lists = [][]keygen.Member{t.Terms().Members, lists[0]}
	}
	for _, members := range lists {
		if i := indexOf(members, n.self); i > 0 {
			return members[i-1].Name
		}
	}
	return cmp.Or(n.card, "follower")
}

// place is this member's in the committee in office; member 0 if it has none.
func (n *running) place(s *ordering.State) pg.Receiver {
	t := s.Office()
	if t == nil {
		return pg.Receiver{}
	}
	return pg.Receiver{Epoch: t.Epoch(), Member: indexOf(t.Terms().Members, n.self)}
}

func (n *running) newIntake(g *ordering.Genesis, secret *keygen.MemberSecret) *intake {
	i := newIntake()
	i.chainID, i.key = g.ChainID, secret.Identity()
	i.store, i.chain, i.announcer, i.metrics, i.log = n.store, n.chain, n.announcer, n.metrics, n.log
	return i
}

func (n *running) cometConfig(genesis []byte, secret *keygen.MemberSecret, s *ordering.State, e *engine) abci.Config {
	return abci.Config{
		Home: n.cfg.CometDir(), Moniker: n.name(s), Genesis: genesis,
		Listen: n.cfg.P2P.Listen, External: n.cfg.P2P.External, Peers: n.cfg.P2P.Peers,
		TimeoutCommit: n.cfg.Consensus.TimeoutCommit, TimeoutPropose: n.cfg.Consensus.TimeoutPropose, TimeoutVote: n.cfg.Consensus.TimeoutVote,
		MempoolSize: n.cfg.Mempool.Size,
		MaxMessage:  n.maxMessage(s.Genesis().Params),
		Validator:   secret.Validator(), Node: secret.Node(),
		State: s, Verifier: n.verifier, Engine: e, Peer: peers{n.opener, n.announcer, n.bodies, n.publish}, Metrics: true, Log: n.log.With("part", "cometbft"),
	}
}

// maxMessage is the size of the largest message on the members' channel.
func (n *running) maxMessage(p ordering.Params) int {
	announcement := p.Order.Rule.MaxAnnouncementSize(fair.Params{MaxChunk: int(p.Order.MaxChunk)})
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
	s := n.state()
	n.log.Info("node started", "name", n.name(s), "epoch", n.place(s).Epoch, "member", n.place(s).Member, "height", s.Height(), "http", listener.Addr().String(), "p2p", n.cfg.P2P.Listen)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { n.opener.run(ctx); return nil })
	group.Go(func() error { n.intake.run(ctx); return nil })
	group.Go(func() error { n.accuser.run(ctx, n.state, n.comet.CatchingUp); return nil })
	group.Go(func() error { n.publish.run(ctx); return nil })
	for _, w := range n.witnesses() {
		group.Go(func() error { w.run(ctx); return nil })
	}
	group.Go(func() error { n.announcer.run(ctx); return nil })
	group.Go(func() error { n.announcer.runAhead(ctx); return nil })
	group.Go(func() error { n.bodies.run(ctx); return nil })
	group.Go(func() error { n.intake.fetchLogged(ctx, n.bodies, n.admitLogged); return nil })
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
	n.publish.setActive()
	n.intake.open.Store(true)
	if s := n.state(); s.Office() != nil && n.place(s).Member == 0 {
		n.log.Info("this member is not in the committee in office: the node follows the chain and takes no transactions", "epoch", n.place(s).Epoch)
	}
	n.intake.offerWaiting(ctx, func() uint64 { return n.state().Height() })
}

// admitLogged says whether what another member has logged may be logged here.
func (n *running) admitLogged(ct *threshold.Ciphertext) error {
	return ordering.AdmitLogged(n.state(), n.verifier, ct)
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
