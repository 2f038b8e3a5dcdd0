// Package demo shows Scrim's whole path on one machine, and fails if any of it
// does not hold: a committee of node processes makes its key, real transactions go
// in sealed and come out ordered and opened while one member is killed and comes
// back, and the run is audited offline.
//
// [Run] is all there is. It plays the wallet with internal/wallet, as cmd/scrim does,
// and believes the nodes nothing that it can check.
package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/devnet"
	"github.com/scrimlabs/scrim/internal/wallet"
)

// The 100 transactions of Ethereum mainnet block 18189758 in 0x-hex, one a line.
//
//go:embed ethereum-mainnet-18189758.txt
var block []byte

// Options of the demo.
type Options struct {
	Command   []string  // runs scrimd, see devnet.Options
	Dir       string    // for everything it makes; empty: a temporary one, kept only if something went wrong
	Members   int       // of the committee; 0 means 4
	Input     string    // file with a transaction in 0x-hex on each line; empty: the Ethereum block
	Namespace string    // of the transactions; empty means eth
	Rate      float64   // transactions a second; 0 means 20
	Keep      bool      // leave the committee running at the end until ctx ends
	Out       io.Writer // where it is shown; a terminal is updated in place
}

const (
	startWait   = 60 * time.Second // for a committee to be there
	openWait    = 30 * time.Second // for the last transaction to be opened
	catchUpWait = 45 * time.Second // for the killed member to have what the others have
	downTime    = 2 * time.Second  // from the kill to the restart
)

// demo is one run.
type demo struct {
	Options
	screen *screen
	net    *devnet.Net
	wallet *wallet.Wallet
	victim *devnet.Node // is killed
	sent   []*transaction

	tracker    *tracker
	plaintexts [][]byte
	began      time.Time
	bundle     string // the exported audit bundle
}

// Run plays the demo. It returns when all is shown and ended; no process stays behind.
func Run(ctx context.Context, o Options) (err error) {
	d := &demo{Options: o, began: time.Now(), screen: newScreen(o.Out)}
	if d.Members == 0 {
		d.Members = devnet.DefaultMembers
	}
	if d.Rate <= 0 {
		d.Rate = 20
	}
	if d.Namespace == "" {
		d.Namespace = "eth"
	}
	if d.Members < devnet.DefaultMembers {
		return fmt.Errorf("a committee of %d does not go on without one of its members: %d at least", d.Members, devnet.DefaultMembers)
	}
	if d.plaintexts, err = d.readInput(); err != nil {
		return err
	}
	temporary := d.Dir == ""
	if err := d.makeDir(); err != nil {
		return err
	}
	defer func() {
		d.screen.settle()
		err = errors.Join(err, d.end(temporary && (err == nil || ctx.Err() != nil)))
		if err != nil && ctx.Err() != nil {
			err = errors.New("interrupted; all processes are ended")
		} else if err != nil {
			err = fmt.Errorf("%w\nEverything, with the nodes' logs, is in %s", err, d.Dir)
		}
	}()
	for _, step := range []func(context.Context) error{d.start, d.ceremony, d.transactions, d.checkPlaintexts, d.exportAndAudit, d.compare, d.summary} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if !d.Keep {
		return nil
	}
	return d.net.Watch(ctx)
}

func (d *demo) makeDir() (err error) {
	if d.Dir != "" {
		return os.MkdirAll(d.Dir, 0o755)
	}
	if d.Dir, err = os.MkdirTemp("", "scrim-demo-"); err != nil {
		return err
	}
	return os.Chmod(d.Dir, 0o755) // Postgres may run as another user and must get through
}

// end ends all processes and, if all went well, removes what they made.
func (d *demo) end(remove bool) error {
	var err error
	if d.net != nil {
		err = d.net.Close()
		if remove {
			err = errors.Join(err, d.net.Remove())
		}
	}
	if remove {
		err = errors.Join(err, os.RemoveAll(d.Dir))
	}
	return err
}

func (d *demo) readInput() ([][]byte, error) {
	if d.Input == "" {
		return wallet.ParseHexLines(bytes.NewReader(block))
	}
	f, err := os.Open(d.Input)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	plaintexts, err := wallet.ParseHexLines(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Input, err)
	}
	return plaintexts, nil
}

// start provides Postgres and starts the nodes.
func (d *demo) start(ctx context.Context) (err error) {
	source := "Ethereum mainnet block 18189758"
	if d.Input != "" {
		source = d.Input
	}
	d.screen.line("Scrim: %d transactions of %s, a committee of %d members", len(d.plaintexts), source, d.Members)
	d.screen.title("Committee")
	d.screen.live("starting Postgres")
	logFile, err := os.Create(filepath.Join(d.Dir, "demo.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	d.net, err = devnet.Open(ctx, devnet.Options{
		Command: d.Command,
		Dir:     d.Dir,
		Members: d.Members,
		Log:     slog.New(slog.NewTextHandler(logFile, nil)),
	})
	if err != nil {
		return err
	}
	if err := d.net.Start(); err != nil {
		return err
	}
	d.victim = d.net.Nodes[len(d.net.Nodes)-1]
	d.screen.done("Postgres and %d nodes started: chain %s, folder %s", len(d.net.Nodes), d.net.Genesis.ChainID, d.Dir)
	return nil
}

// ceremony shows the key ceremony until every member is ready.
func (d *demo) ceremony(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- d.net.WaitReady(ctx) }()
	began, phase := time.Now(), ""
	d.screen.live("waiting for the nodes to answer")
	for {
		select {
		case err := <-ready:
			if err != nil {
				return err
			}
			return d.openWallet(ctx, began)
		case <-time.After(50 * time.Millisecond):
		}
		c, err := newestCeremony(ctx, d.net.Nodes[0].Client)
		if err != nil || c == nil {
			continue // the node is not there yet; WaitReady says so if it never is
		}
		if c.Final() && c.Outcome != v1.CeremonySucceeded {
			return fmt.Errorf("the key ceremony %s: %s", c.Outcome, blame(c))
		}
		if c.Phase != phase {
			phase = c.Phase
			d.screen.done("ceremony: %s (%s)", phase, seconds(time.Since(began)))
		}
		d.screen.live("ceremony: %s", d.progress(ctx, c))
	}
}

func newestCeremony(ctx context.Context, c *client.Client) (*v1.Ceremony, error) {
	all, err := c.Ceremonies(ctx)
	if err != nil || len(all.Ceremonies) == 0 {
		return nil, err
	}
	return c.Ceremony(ctx, all.Ceremonies[0].ID)
}

func blame(c *v1.Ceremony) string {
	text := ""
	for _, f := range c.Blame {
		text += fmt.Sprintf("member %d, %s: %s; ", f.Member, f.Phase, f.Reason)
	}
	return text + "attempt " + fmt.Sprint(c.Attempt)
}

// progress says how many members the phase still waits for.
func (d *demo) progress(ctx context.Context, c *v1.Ceremony) string {
	text := fmt.Sprintf("%s, %d of %d members", c.Phase, len(c.Status)-len(c.Waiting), len(c.Status))
	if health, err := d.net.Nodes[0].Client.Health(ctx); err == nil {
		text += fmt.Sprintf(", height %d", health.Height)
	}
	return text
}

// openWallet checks the committee as a wallet does, with its terms pinned.
func (d *demo) openWallet(ctx context.Context, began time.Time) (err error) {
	pin := d.net.Genesis.Terms.Hash()
	d.wallet, err = wallet.Open(ctx, d.net.URLs(), wallet.Options{TermsHash: &pin, Client: client.Options{Timeout: 5 * time.Second, Retries: -1}})
	if err != nil {
		return err
	}
	c := d.wallet.Certificate
	d.screen.done("a key that %d of %d members open, certified by %d, nobody ever had it whole (%s)",
		c.Committee.Threshold, c.Committee.N(), len(c.Certifications), seconds(time.Since(began)))
	d.screen.done("terms 0x%x", pin)
	return nil
}

// transactions sends all, kills a member in the middle, and waits until all are opened.
func (d *demo) transactions(ctx context.Context) error {
	d.screen.title("Transactions")
	tracker := newTracker(d.net.Nodes[0].Client)
	ctx, cancel := context.WithCancelCause(ctx)
	var background, submissions sync.WaitGroup
	defer func() {
		cancel(nil)
		background.Wait()
		submissions.Wait()
	}()
	background.Go(func() { tracker.run(ctx) })
	background.Go(func() { // only the victim may end
		if err := d.net.Watch(ctx, d.net.Nodes[:len(d.net.Nodes)-1]...); err != nil {
			cancel(err)
		}
	})
	stopShow := d.show(ctx, tracker)
	defer stopShow()

	restarted := make(chan error, 1)
	tick := time.NewTicker(time.Duration(float64(time.Second) / d.Rate))
	defer tick.Stop()
	for i, plaintext := range d.plaintexts {
		if i == len(d.plaintexts)/2 {
			background.Go(func() { restarted <- d.killAndRestart(ctx) })
		}
		tx, err := d.seal(plaintext)
		if err != nil {
			return err
		}
		d.sent = append(d.sent, tx)
		tracker.add(tx)
		submissions.Go(func() {
			if err := tx.submit(ctx, d.wallet); err != nil {
				cancel(err)
			}
		})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	select {
	case err := <-restarted:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-tracker.waitOpened(len(d.plaintexts)):
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(openWait):
		return fmt.Errorf("only %d of %d transactions were opened in %v after the last was sent", tracker.counts().opened, len(d.plaintexts), openWait)
	}
	submissions.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stopShow()
	d.screen.done("%s", tracker.line())
	d.tracker = tracker
	return nil
}

func (d *demo) seal(plaintext []byte) (*transaction, error) {
	ct, err := d.wallet.Seal(rand.Reader, wallet.SealOptions{Namespace: d.Namespace}, plaintext)
	if err != nil {
		return nil, err
	}
	return &transaction{id: ct.ID(), plaintext: plaintext, ciphertext: ct}, nil
}

// show updates the screen until the returned function is called.
func (d *demo) show(ctx context.Context, t *tracker) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(d.screen.interval):
				d.screen.live("%s", t.line())
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (d *demo) killAndRestart(ctx context.Context) error {
	pid := d.victim.PID()
	d.victim.Kill()
	d.screen.done("%s (process %d) killed with SIGKILL; the others go on", d.victim.Name, pid)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(downTime):
	}
	if err := d.victim.Start(); err != nil {
		return err
	}
	d.screen.done("%s started again (process %d)", d.victim.Name, d.victim.PID())
	return nil
}

// checkPlaintexts compares what came out with what went in.
func (d *demo) checkPlaintexts(ctx context.Context) error {
	d.screen.title("Checks")
	ctx, cancel := context.WithTimeout(ctx, openWait)
	defer cancel()
	began := time.Now()
	for i, tx := range d.sent {
		d.screen.live("checking openings: %d of %d", i, len(d.sent))
		status, err := d.wallet.Await(ctx, tx.id)
		if err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
		plaintext, err := d.wallet.Check(ctx, status, tx.ciphertext)
		if err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
		if !bytes.Equal(plaintext, tx.plaintext) {
			return fmt.Errorf("transaction %d: what was opened is not what was sealed", i)
		}
	}
	d.screen.done("%d of %d plaintexts equal what was sent; openings and batch certificates checked here (%s)",
		len(d.sent), len(d.sent), seconds(time.Since(began)))
	return nil
}

// exportAndAudit takes one member's word for everything, and checks all of it.
func (d *demo) exportAndAudit(ctx context.Context) (err error) {
	began := time.Now()
	d.screen.live("exporting and auditing")
	d.bundle = filepath.Join(d.Dir, "bundle.jsonl")
	if err := d.export(ctx); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	var receipts []wallet.Record
	for _, tx := range d.sent {
		receipts = append(receipts, *tx.record)
	}
	f, err := os.Open(d.bundle)
	if err != nil {
		return err
	}
	defer f.Close()
	o := audit.Options{TermsHash: &d.wallet.TermsHash, Receipts: wallet.Receipts(receipts)}
	report, err := wallet.Audit(f, o)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if report.Verdict != audit.Verified {
		var text strings.Builder
		report.Findings = report.Findings[:min(5, len(report.Findings))]
		return errors.Join(wallet.WriteReport(&text, report), fmt.Errorf("the audit of %s did not verify:\n%s", d.bundle, text.String()))
	}
	d.screen.done("bundle of %s audited offline: verified, with all %d receipts honoured (%s)", d.net.Nodes[0].Name, len(o.Receipts), seconds(time.Since(began)))
	return nil
}

func (d *demo) export(ctx context.Context) error {
	f, err := os.Create(d.bundle)
	if err != nil {
		return err
	}
	return errors.Join(d.net.Nodes[0].Client.Export(ctx, f), f.Close())
}

// compare waits until all members, also the killed one, have the same history.
func (d *demo) compare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpWait)
	defer cancel()
	began := time.Now()
	want, err := history(ctx, d.net.Nodes[0].Client)
	if err != nil {
		return err
	}
	for _, n := range d.net.Nodes[1:] {
		d.screen.live("waiting for %s to have what the others have", n.Name)
		if err := n.WaitReady(ctx); err != nil {
			return err
		}
		for {
			have, err := history(ctx, n.Client)
			if err == nil {
				err = want.compare(have)
			}
			if err == nil {
				break
			}
			if errors.Is(err, errDiffer) {
				return fmt.Errorf("%s: %w", n.Name, err)
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s has not caught up: %w", n.Name, err)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	last := want[len(want)-1].Checkpoint
	d.screen.done("%s caught up; all %d members have the same %d batches and log root %.18s… at %d entries (%s)",
		d.victim.Name, len(d.net.Nodes), len(want), last.LogRoot, last.LogSize, seconds(time.Since(began)))
	return nil
}

func (d *demo) summary(context.Context) error {
	c := d.tracker.counts()
	d.screen.title("Summary")
	d.screen.done("everything held, in %s", seconds(time.Since(d.began)))
	d.screen.done("%d sealed here, %d ordered blind by %d members, %d opened only then, 0 lost", c.sealed, c.ordered, len(d.net.Nodes), c.opened)
	d.screen.done("from sealed to ordered: %s", d.tracker.ordered())
	d.screen.done("from sealed to opened:  %s (one member down for %s)", d.tracker.opened(), seconds(downTime))
	for _, n := range d.net.Nodes {
		d.screen.done("%s %s", n.Name, n.URL)
	}
	if !d.Keep {
		d.screen.done("(ended with the demo; --keep leaves them running)")
		return nil
	}
	d.screen.title("Running until Ctrl-C. Try")
	d.screen.done("curl %s/v1/batches", d.net.Nodes[0].URL)
	d.screen.done("scrim audit --terms-hash 0x%x %s", d.wallet.TermsHash, d.bundle)
	return nil
}

func seconds(t time.Duration) string { return fmt.Sprintf("%.1f s", t.Seconds()) }
