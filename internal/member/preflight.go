package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
)

// Level says how a check came out.
type Level string

// The levels, the best first.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it may work; look at it
	Fail Level = "fail" // it will not work
)

// Check is one line of a preflight.
type Check struct {
	Name  string `json:"name"`
	Level Level  `json:"level"`
	Text  string `json:"text"` // what was found, and what to do about it
}

// Failed says whether any check failed.
func Failed(checks []Check) bool {
	return slices.ContainsFunc(checks, func(c Check) bool { return c.Level == Fail })
}

// Bounds of the checks. Phases: a message that is lost is sent again after half a
// second, which is a dozen blocks, and every member checks what all others say.
const (
	clockWarn = 2 * time.Second
	clockFail = 10 * time.Second // receipts carry the member's time
	diskFail  = 1 << 30
	diskWarn  = 10 << 30
)

// ShortestPhase is the fewest blocks that a phase among n members can be held in.
func ShortestPhase(n int) uint64 { return uint64(20 + 2*n) }

// AdvisedPhase is the fewest blocks that leave time for a slow machine.
func AdvisedPhase(n int) uint64 { return uint64(200 + 20*n) }

// firstPossibleTime is that of the genesis of every chain; a clock before it is wrong.
var firstPossibleTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Preflight looks whether this member can hold the ceremony under the terms. It
// changes nothing but that it writes, and removes, a small file in the share folder.
type Preflight struct {
	Home    *home.Home
	Terms   *keygen.SignedTerms
	Node    *client.Client                   // the member's own node; nil: not asked
	Version string                           // of this program; "" if unknown
	Now     func() time.Time                 // nil: time.Now
	Free    func(dir string) (uint64, error) // bytes that may still be written; nil: as the system says

	checks []Check
}

func (p *Preflight) add(level Level, name, format string, args ...any) {
	p.checks = append(p.checks, Check{name, level, fmt.Sprintf(format, args...)})
}

// Run makes all checks, in the order in which they are best mended.
func (p *Preflight) Run(ctx context.Context) []Check {
	if p.Now == nil {
		p.Now = time.Now
	}
	if p.Free == nil {
		p.Free = freeSpace
	}
	p.checks = nil
	p.member()
	p.phases()
	p.shareDir()
	p.ceremonyFiles()
	p.disk()
	p.node(ctx)
	return p.checks
}

// member checks the keys: that they open, that the terms have exactly them, that they signed.
func (p *Preflight) member() {
	t := &p.Terms.Terms
	secret, err := p.Home.Secret()
	if err != nil {
		p.add(Fail, "keys", "%v", err)
		return
	}
	defer secret.Wipe()
	p.add(OK, "keys", "%s opens", p.Home.MemberFile)
	if file := p.Home.IdentityFile; file != "" && strings.HasPrefix(file, p.Home.Dir+string(filepath.Separator)) {
		p.add(Warn, "age identity", "%s lies beside what it opens: keep a copy elsewhere, and move it to another device", file)
	}
	index, err := t.IndexOf(secret)
	if err != nil {
		p.add(Fail, "listed", "%v: do not sign; ask who drafted them to use your member.json", err)
		return
	}
	name := t.Members[index-1].Name
	p.add(OK, "listed", "the terms name you as member %d, %s, with your keys", index, name)
	switch {
	case !p.Terms.Consented(index):
		p.add(Fail, "consent", "your consent is missing: scrim member terms sign FILE")
	case keygen.VerifyConsent(t, p.Terms.Consents) != nil:
		p.add(Warn, "consent", "you have signed; %s", consentText(p.Terms))
	default:
		p.add(OK, "consent", "%s", consentText(p.Terms))
	}
}

func (p *Preflight) phases() {
	t := &p.Terms.Terms
	shortest := min(t.Phases.Deal, t.Phases.Respond, t.Phases.Justify, t.Phases.Certify, t.Phases.Store)
	level, advice := OK, "long enough"
	switch n := t.N(); {
	case shortest < ShortestPhase(n):
		level, advice = Fail, fmt.Sprintf("%d members need at least %d, better %d: draft again", n, ShortestPhase(n), AdvisedPhase(n))
	case shortest < AdvisedPhase(n):
		level, advice = Warn, fmt.Sprintf("%d members should have at least %d: a machine that is slow or restarts will be late", n, AdvisedPhase(n))
	}
	p.add(level, "phases", "the shortest lasts %d blocks, %v at %v a block: %s", shortest, time.Duration(shortest)*fastBlock, fastBlock, advice)
}

func (p *Preflight) shareDir() {
	dir := p.Home.ShareDir
	f, err := os.CreateTemp(dir, ".preflight-*")
	if err != nil {
		p.add(Fail, "share folder", "%v: make %s, writable for the user of the node and nobody else", err, dir)
		return
	}
	_, err = f.WriteString("preflight")
	if err := errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name())); err != nil {
		p.add(Fail, "share folder", "%v: look after the disk", err)
		return
	}
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		p.add(Warn, "share folder", "%s can be read by other users: chmod 700 it", dir)
		return
	}
	p.add(OK, "share folder", "%s is writable", dir)
}

// ceremonyFiles looks whether the places of this ceremony's secrets are free, or hold this ceremony's.
func (p *Preflight) ceremonyFiles() {
	t := &p.Terms.Terms
	ids, _, err := p.Home.Identities()
	if err != nil {
		return // said with the keys
	}
	const another = "%s is another ceremony's: move it away, or draft the terms with the next attempt number"
	share := p.Home.ShareFile(t)
	switch meta, _, err := sharefile.ReadShare(share, ids); {
	case errors.Is(err, sharefile.ErrNotFound):
		p.add(OK, "share file", "%s is free", share)
	case err != nil:
		p.add(Fail, "share file", "%v", err)
	case meta.Ceremony != t.Hash():
		p.add(Fail, "share file", another, share)
	default:
		p.add(Warn, "share file", "%s is there already: this ceremony was held here", share)
	}
	seed := p.Home.SeedFile(t)
	switch _, err := sharefile.ReadSeed(seed, t.Hash(), ids); {
	case errors.Is(err, sharefile.ErrNotFound):
		p.add(OK, "seed file", "%s is free", seed)
	case errors.Is(err, sharefile.ErrOther):
		p.add(Fail, "seed file", another, seed)
	case err != nil:
		p.add(Fail, "seed file", "%v", err)
	default:
		p.add(OK, "seed file", "%s is this ceremony's: it has begun here and will go on", seed)
	}
}

func (p *Preflight) disk() {
	free, err := p.Free(p.Home.Dir)
	switch gib := free >> 30; {
	case err != nil:
		p.add(Warn, "disk", "free space of %s: %v", p.Home.Dir, err)
	case free < diskFail:
		p.add(Fail, "disk", "%d MiB free at %s: make room, the chain grows", free>>20, p.Home.Dir)
	case free < diskWarn:
		p.add(Warn, "disk", "%d GiB free at %s: make room soon, the chain grows", gib, p.Home.Dir)
	default:
		p.add(OK, "disk", "%d GiB free at %s", gib, p.Home.Dir)
	}
}

func (p *Preflight) node(ctx context.Context) {
	before := p.Now()
	if before.Before(firstPossibleTime) {
		p.add(Fail, "clock", "it says %s: set it, and let NTP keep it", before.UTC().Format(time.RFC3339))
	}
	if p.Node == nil {
		p.add(Warn, "node", "not asked; once yours runs, give --node http://127.0.0.1:8080")
		return
	}
	health, err := p.Node.Health(ctx)
	if err != nil {
		p.add(Fail, "node", "%v: start it (scrimd start), or correct --node", err)
		return
	}
	p.clock(before, p.Now(), health.Time.Time())
	p.sameChain(ctx, health)
	p.synced(ctx)
	switch {
	case p.Version == "" || health.Version == "" || p.Version == health.Version:
		p.add(OK, "version", "node %s", orElse(health.Version, "unknown"))
	default:
		p.add(Warn, "version", "node %s, this program %s: install the same release of both", health.Version, p.Version)
	}
}

// clock compares with the node's, as of the middle of the request.
func (p *Preflight) clock(before, after, theirs time.Time) {
	off := theirs.Sub(before.Add(after.Sub(before) / 2)).Abs().Round(10 * time.Millisecond)
	uncertain := after.Sub(before) / 2
	switch {
	case off > clockFail+uncertain:
		p.add(Fail, "clock", "this machine and the node differ by %v: set both by NTP", off)
	case off > clockWarn+uncertain:
		p.add(Warn, "clock", "this machine and the node differ by %v: let NTP keep both", off)
	default:
		p.add(OK, "clock", "agrees with the node's")
	}
}

func (p *Preflight) sameChain(ctx context.Context, health *v1.Health) {
	t := &p.Terms.Terms
	if health.ChainID != t.ChainID {
		p.add(Fail, "chain", "the node is of chain %s, the terms are for %s: give the node the right genesis.json", health.ChainID, t.ChainID)
		return
	}
	hash := t.Hash()
	c, err := p.Node.Ceremonies(ctx)
	switch known := err == nil && slices.ContainsFunc(c.Ceremonies, func(s v1.CeremonySummary) bool { return bytes.Equal(s.ID, hash[:]) }); {
	case err != nil:
		p.add(Fail, "chain", "ceremonies of the node: %v", err)
	case !known:
		p.add(Fail, "chain", "the node knows no ceremony with terms hash 0x%x: its genesis.json is made from other terms", hash)
	default:
		p.add(OK, "chain", "node %s of chain %s holds this ceremony", health.Node, health.ChainID)
	}
}

func (p *Preflight) synced(ctx context.Context) {
	ready, err := p.Node.Ready(ctx)
	if err != nil {
		p.add(Fail, "node", "%v", err)
		return
	}
	level, text := OK, []string{}
	for _, r := range ready.Reasons {
		switch r.Code {
		case "no_committee": // that is what the ceremony is for
		case "no_peers":
			text = append(text, r.Detail+": look whether p2p.peers is right and their nodes run")
			if level == OK {
				level = Warn
			}
		default:
			text, level = append(text, r.Detail), Fail
		}
	}
	if len(text) == 0 {
		text = []string{"follows the chain"}
	}
	p.add(level, "node", "height %d, %d peers: %s", ready.Height, ready.Peers, strings.Join(text, "; "))
}

// WriteChecks writes a line for each check.
func WriteChecks(out io.Writer, checks []Check) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range checks {
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Level, c.Name, c.Text)
	}
	return w.Flush()
}
