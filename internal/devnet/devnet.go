// Package devnet runs a whole committee on one machine: a private Postgres and
// one node process for each member, all of them ended when the program that
// started them ends, however it does.
//
//	net, err := devnet.Open(ctx, devnet.Options{Dir: dir, Command: []string{scrimd}})
//	defer net.Close()
//	err = net.Start()
//	err = net.WaitReady(ctx)
//	net.Nodes[1].Kill() // SIGKILL; Nodes[1].Start() brings it back
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
	// Genesis and Configure may change what a new devnet is made of; i is from 0.
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
	Nodes   []*Node

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
	n := &Net{Dir: dir}
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
	if n.postgres, err = pgcluster.Provide(ctx, filepath.Join(dir, "postgres"), o.Log, o.Postgres...); err != nil {
		return nil, err
	}
	for _, member := range m.Members {
		if err := n.postgres.CreateDatabase(ctx, member.Database); err != nil {
			return nil, err
		}
	}
	configs, err := n.configure(m, isNew, o)
	if err != nil {
		return nil, err
	}
	if n.Genesis, err = node.ReadGenesis(configs[0].GenesisFile()); err != nil {
		return nil, err
	}
	if err := writeManifest(dir, m); err != nil {
		return nil, err
	}
	return n, n.makeNodes(m, configs, o)
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
	if o.Members != 0 && o.Members != len(m.Members) {
		return nil, false, fmt.Errorf("devnet: the one in %s has %d members, not %d; use another folder or remove this one", dir, len(m.Members), o.Members)
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
func (n *Net) configure(m *manifest, isNew bool, o Options) ([]*node.Config, error) {
	homes := Homes{ChainID: m.ChainID, Genesis: o.Genesis}
	for i, member := range m.Members {
		c := node.DefaultConfig()
		c.Home = filepath.Join(n.Dir, member.Name)
		c.Secrets.IdentityFile = node.IdentityName
		c.HTTP.RatePerMinute = 0
		if !isNew {
			var err error
			if c, err = node.LoadConfigFile(c.Home); err != nil {
				return nil, err
			}
		}
		c.Postgres.URL = n.postgres.URL(member.Database)
		c.P2P.Listen = "tcp://" + member.P2P
		c.HTTP.Listen = member.HTTP
		if o.Configure != nil {
			o.Configure(i, c)
		}
		homes.Members = append(homes.Members, Member{Name: member.Name, Config: c, Address: member.P2P})
	}
	if isNew {
		if err := homes.Make(); err != nil {
			return nil, err
		}
	} else if err := homes.connect(); err != nil {
		return nil, err
	}
	var configs []*node.Config
	for _, member := range homes.Members {
		configs = append(configs, member.Config)
	}
	return configs, nil
}

func (n *Net) makeNodes(m *manifest, configs []*node.Config, o Options) error {
	for i, c := range configs {
		url := "http://" + m.Members[i].HTTP
		api, err := client.New(url, client.Options{Timeout: 5 * time.Second, Retries: -1})
		if err != nil {
			return err
		}
		n.Nodes = append(n.Nodes, &Node{
			Name:    m.Members[i].Name,
			URL:     url,
			Config:  c,
			LogFile: filepath.Join(c.Home, "node.log"),
			Client:  api,
			command: o.Command,
			env:     o.Env,
		})
	}
	return nil
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

// WaitReady waits until every node that runs says that it is ready: it follows the
// chain and there is a committee. A node that ends meanwhile is an error with the
// end of its log.
func (n *Net) WaitReady(ctx context.Context) error {
	for _, node := range n.Nodes {
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
