// Package devnet runs a whole committee on one machine: a private Postgres and
// one node process for each member, all of them ended when the program that
// started them ends, however it does.
//
//	net, err := devnet.Open(ctx, devnet.Options{Dir: dir, Command: []string{scrimd}})
//	defer net.Close()
//	err = net.Start()
//	err = net.WaitReady(ctx)
//	net.Nodes[1].Kill() // SIGKILL; Nodes[1].Start() brings it back
//	erin, err := net.AddNode(ctx, "erin") // who may become a member: erin.CardFile(), erin.Home()
//
// A folder is a devnet: opened again, it goes on where it stopped. Everything
// that was chosen (ports, databases, chain id) is in its devnet.json. The demo and
// the end-to-end tests are built on it; it is not for production: all members'
// secrets lie side by side.
package devnet

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/scrimlabs/scrim/httpapi/client"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/internal/pgcluster"
	"github.com/scrimlabs/scrim/ordering"
)

// Options of a devnet. Only Command is needed.
type Options struct {
	// Command runs scrimd: the program and what stands before "start --home DIR".
	Command []string
	// Dir is the devnet's folder.
	Dir string
	// Members is how many; 0 means 4. An existing devnet keeps its number.
	Members int
	// ChainID of a new devnet; empty means one that was never used before.
	ChainID string
	// Env is added to the environment of all nodes.
	Env []string
	// Genesis and Configure may change what a new devnet is made of, and Configure a node
	// that is added; i is from 0.
	Genesis   func(*ordering.Genesis)
	Configure func(i int, c *node.Config)
	// Postgres passes options to the private cluster.
	Postgres []pgcluster.Option
	// Log gets what happens to Postgres; nil means nothing.
	Log *slog.Logger
}

// DefaultMembers is the smallest committee that goes on without one of its members.
const DefaultMembers = 4

// Net is a devnet.
type Net struct {
	Dir     string
	Genesis *ordering.Genesis
	Nodes   []*Node // those of the genesis in its order, then those that were added

	options  Options
	manifest *manifest
	homes    Homes
	postgres *pgcluster.Server
	lock     *os.File
}

// manifest is devnet.json.
type manifest struct {
	ChainID string           `json:"chain_id"`
	Members []manifestMember `json:"members"`
}

type manifestMember struct {
	Name     string `json:"name"`
	HTTP     string `json:"http"` // host:port
	P2P      string `json:"p2p"`  // host:port
	Database string `json:"database"`
	Added    bool   `json:"added,omitempty"` // after the genesis was made
}

// founders is how many are in the genesis.
func (m *manifest) founders() (n int) {
	for _, member := range m.Members {
		if !member.Added {
			n++
		}
	}
	return n
}

const manifestName = "devnet.json"

// Open provides Postgres and prepares the homes of the members; it starts no node.
// ctx bounds the call.
func Open(ctx context.Context, o Options) (_ *Net, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.Command) == 0 {
		return nil, errors.New("devnet: no command to run nodes with")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { // Postgres may run as another user and must get through
		return nil, fmt.Errorf("devnet: %w", err)
	}
	n := &Net{Dir: dir, options: o}
	defer func() {
		if err != nil {
			_ = n.Close() // what went wrong before it says more
		}
	}()
	if n.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	m, isNew, err := readManifest(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	n.manifest = m
	if n.postgres, err = pgcluster.Provide(ctx, filepath.Join(dir, "postgres"), o.Log, o.Postgres...); err != nil {
		return nil, err
	}
	for _, member := range m.Members {
		if err := n.postgres.CreateDatabase(ctx, member.Database); err != nil {
			return nil, err
		}
	}
	if err := n.configure(isNew); err != nil {
		return nil, err
	}
	if n.Genesis, err = node.ReadGenesis(n.homes.Members[0].Config.GenesisFile()); err != nil {
		return nil, err
	}
	if err := writeManifest(dir, m); err != nil {
		return nil, err
	}
	for i := range m.Members {
		if err := n.makeNode(i); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// readManifest gives the devnet of dir, or draws up a new one.
func readManifest(ctx context.Context, dir string, o Options) (m *manifest, isNew bool, err error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		m, err := newManifest(ctx, dir, o)
		return m, true, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("devnet: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err = d.Decode(&m)
	if err == nil && (m == nil || len(m.Members) == 0) {
		err = errors.New("it has no members")
	}
	if err != nil {
		return nil, false, fmt.Errorf("devnet: %s is damaged (%w); remove the folder %s to begin anew", manifestName, err, dir)
	}
	if o.Members != 0 && o.Members != m.founders() {
		return nil, false, fmt.Errorf("devnet: the one in %s has %d members, not %d; use another folder or remove this one", dir, m.founders(), o.Members)
	}
	return m, false, m.choosePorts(ctx)
}

func newManifest(ctx context.Context, dir string, o Options) (*manifest, error) {
	left, err := filepath.Glob(filepath.Join(dir, "member*"))
	if err != nil {
		return nil, err
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("devnet: %s has members but no %s: its first start was interrupted; remove the folder and start again", dir, manifestName)
	}
	tag := make([]byte, 4)
	if _, err := io.ReadFull(rand.Reader, tag); err != nil {
		return nil, err
	}
	m := &manifest{ChainID: o.ChainID}
	if m.ChainID == "" {
		m.ChainID = "scrim-devnet-" + hex.EncodeToString(tag)
	}
	members := o.Members
	if members == 0 {
		members = DefaultMembers
	}
	for i := range members {
		m.Members = append(m.Members, manifestMember{
			Name:     fmt.Sprintf("member%d", i+1),
			Database: fmt.Sprintf("scrim_%x_%d", tag, i+1), // DATABASE_URL may name a server with others on it
		})
	}
	return m, m.choosePorts(ctx)
}

func writeManifest(dir string, m *manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, manifestName), append(text, '\n'))
}

// writeFile replaces a file at once.
func writeFile(path string, text []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, text, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// configure gives every member's configuration, written to its home. Ports and
// databases may have changed since the devnet was last open.
func (n *Net) configure(isNew bool) error {
	n.homes = Homes{ChainID: n.manifest.ChainID, Genesis: n.options.Genesis}
	for i, member := range n.manifest.Members {
		c := n.newConfig(member)
		if !isNew {
			var err error
			if c, err = node.LoadConfigFile(c.Home); err != nil {
				return err
			}
		}
		n.place(i, c)
	}
	if isNew {
		return n.homes.Make()
	}
	return n.homes.connect()
}

func (n *Net) newConfig(m manifestMember) *node.Config {
	c := node.DefaultConfig()
	c.Home = filepath.Join(n.Dir, m.Name)
	c.Secrets.IdentityFile = node.IdentityName
	c.HTTP.RatePerMinute = 0
	return c
}

// place gives the configuration of member i its addresses, and puts it to the homes.
func (n *Net) place(i int, c *node.Config) {
	m := n.manifest.Members[i]
	c.Postgres.URL, c.Postgres.AllowUnsafe = n.postgres.URL(m.Database), true // tests and measurements run on servers that do not sync
	c.P2P.Listen = "tcp://" + m.P2P
	c.HTTP.Listen = m.HTTP
	if n.options.Configure != nil {
		n.options.Configure(i, c)
	}
	n.homes.Members = append(n.homes.Members, Member{Name: m.Name, Config: c, Address: m.P2P})
}

func (n *Net) makeNode(i int) error {
	m, c := n.manifest.Members[i], n.homes.Members[i].Config
	url := "http://" + m.HTTP
	api, err := client.New(url, client.Options{Timeout: 5 * time.Second, Retries: -1})
	if err != nil {
		return err
	}
	n.Nodes = append(n.Nodes, &Node{
		Name:    m.Name,
		URL:     url,
		Config:  c,
		LogFile: filepath.Join(c.Home, "node.log"),
		Client:  api,
		command: n.options.Command,
		env:     n.options.Env,
	})
	return nil
}

// AddNode makes the home of one more member, who is in no committee yet: own keys, card,
// database, ports, the chain's genesis, and all others as peers. It is the last of Nodes
// and does not run yet. Nodes that run let it in as soon as a proposal in a block names it
// as a member of the next committee, or when they have been started again, since their
// configurations name it from then on: start it after that, for CometBFT asks a node that
// has refused it only now and then. A devnet that is opened again has it too. Not for more
// than one goroutine.
func (n *Net) AddNode(ctx context.Context, name string) (*Node, error) {
	m := *n.manifest
	m.Members = slices.Clone(m.Members)
	if slices.ContainsFunc(m.Members, func(one manifestMember) bool { return one.Name == name }) {
		return nil, fmt.Errorf("devnet: there is a %s already", name)
	}
	member := manifestMember{Name: name, Database: fmt.Sprintf("%s_%d", m.Members[0].Database, len(m.Members)+1), Added: true}
	m.Members = append(m.Members, member)
	if err := m.Members[len(m.Members)-1].choosePorts(ctx); err != nil {
		return nil, err
	}
	if err := n.postgres.CreateDatabase(ctx, member.Database); err != nil {
		return nil, err
	}
	before, homes := n.manifest, n.homes.Members
	undo := func(err error) (*Node, error) {
		n.manifest, n.homes.Members = before, homes
		return nil, err
	}
	n.manifest = &m
	i := len(m.Members) - 1
	n.place(i, n.newConfig(m.Members[i]))
	if err := n.homes.add(i); err != nil {
		return undo(err)
	}
	if err := writeManifest(n.Dir, &m); err != nil {
		return undo(err)
	}
	if err := n.makeNode(i); err != nil {
		return nil, err
	}
	return n.Nodes[i], nil
}

// URLs are the nodes' addresses.
func (n *Net) URLs() []string {
	var urls []string
	for _, node := range n.Nodes {
		urls = append(urls, node.URL)
	}
	return urls
}

// Start starts all nodes that do not run.
func (n *Net) Start() error {
	for _, node := range n.Nodes {
		if node.Running() {
			continue
		}
		if err := node.Start(); err != nil {
			return err
		}
	}
	return nil
}

// WaitReady waits until every node that was started says that it is ready: it follows the
// chain and there is a committee. A node that ends meanwhile is an error with the
// end of its log.
func (n *Net) WaitReady(ctx context.Context) error {
	for _, node := range n.Nodes {
		if node.process() == nil {
			continue // added, and not started yet
		}
		if err := node.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Watch returns when ctx ends, with nil, or when one of these nodes (none: any) or
// Postgres ends, with an error.
func (n *Net) Watch(ctx context.Context, nodes ...*Node) error {
	if len(nodes) == 0 {
		nodes = n.Nodes
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan *Node)
	for _, node := range nodes {
		go func() {
			select {
			case <-node.Done():
				select {
				case ended <- node:
				case <-ctx.Done():
				}
			case <-ctx.Done():
			}
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case node := <-ended:
		return node.endError()
	case <-n.postgres.Done():
		return errors.New("devnet: the Postgres server ended by itself")
	}
}

// Stop ends all nodes, politely first, at the same time.
func (n *Net) Stop() {
	stopped := make(chan struct{})
	for _, node := range n.Nodes {
		go func() {
			node.Stop()
			stopped <- struct{}{}
		}()
	}
	for range n.Nodes {
		<-stopped
	}
}

// Close ends all nodes and Postgres. The folder stays.
func (n *Net) Close() error {
	n.Stop()
	var err error
	if n.postgres != nil {
		err = n.postgres.Stop()
	}
	if n.lock != nil {
		_ = n.lock.Close()
		n.lock = nil
	}
	return err
}

// Remove closes the devnet and deletes what it made.
func (n *Net) Remove() error {
	n.Stop()
	errs := []error{n.postgres.Remove(), n.Close()}
	for _, node := range n.Nodes {
		errs = append(errs, os.RemoveAll(node.Config.Home))
	}
	for _, name := range []string{manifestName, lockName, "postgres"} {
		errs = append(errs, os.RemoveAll(filepath.Join(n.Dir, name)))
	}
	_ = os.Remove(n.Dir) // unless something else is in it
	return errors.Join(errs...)
}
