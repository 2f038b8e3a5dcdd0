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

// Preflight looks whether this member can hold the ceremony under the terms: those of a
// file, or those that Status shows. It changes nothing but that it writes, and removes, a
// small file in the share folder.
type Preflight struct {
	Home    *home.Home
	Terms   *SignedTerms                     // nil: the terms are those of Status
	Status  *Status                          // nil: there is no chain yet
	Node    *client.Client                   // the member's own node; nil: not asked
	Version string                           // of this program; "" if unknown
	Now     func() time.Time                 // nil: time.Now
	Free    func(dir string) (uint64, error) // bytes that may still be written; nil: as the system says

	terms  *keygen.Terms
	roles  []uint32
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
	p.checks, p.roles = nil, nil
	if p.useTerms(); p.terms == nil {
		return p.checks
	}
	p.member()
	p.threshold()
	p.phases()
	p.shareDir()
	p.ceremonyFiles()
	p.disk()
	p.node(ctx)
	return p.checks
}

// useTerms finds the terms that all checks are about.
func (p *Preflight) useTerms() {
	if p.Terms != nil {
		p.terms = &p.Terms.Terms
		return
	}
	t, err := keygen.ParseTerms(p.Status.Ceremony.Terms)
	if err != nil {
		p.add(Fail, "terms", "%s shows terms that cannot be read: %v", p.Status.Node, err)
		return
	}
	p.terms = t
}

// member checks the keys: that they open, that the terms have exactly them, that they signed.
func (p *Preflight) member() {
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
	if p.roles, err = p.terms.Roles(secret); err != nil && p.Status != nil && p.Status.Over() {
		p.add(Fail, "listed", "%s; to join: give your member.json to somebody in office, who proposes you: scrim member reshare --add member.json", notInIt)
		return
	}
	if err != nil {
		p.add(Fail, "listed", "%v: do not sign; ask who drafted them to use your member.json", err)
		return
	}
	for _, j := range p.roles {
		p.listed(j)
	}
	p.consent()
	p.oldShare(secret)
}

func (p *Preflight) listed(j uint32) {
	name, n := p.terms.Speaker(j).Name, uint32(p.terms.N())
	if j <= n {
		p.add(OK, "listed", "the terms name you as member %d, %s, with your keys", j, name)
		return
	}
	p.add(OK, "listed", "the terms name you as member %d, %s, of the committee that hands over", j-n, name)
}

// consent says whether the member has agreed, in the file or in the chain's log.
func (p *Preflight) consent() {
	switch {
	case p.Terms == nil:
		p.consentInLog()
	case !p.Terms.Consented(p.roles[0]):
		p.add(Fail, "consent", "your consent is missing: scrim member terms sign FILE")
	case keygen.VerifyConsent(p.terms, p.Terms.Consents) != nil:
		p.add(Warn, "consent", "you have signed; %s", consentText(p.Terms))
	default:
		p.add(OK, "consent", "%s", consentText(p.Terms))
	}
}

func (p *Preflight) consentInLog() {
	c := &p.Status.Ceremony
	missing := slices.ContainsFunc(p.roles, func(j uint32) bool { return consent(c, j) == keygen.CellAwaited })
	switch {
	case c.Phase != keygen.PhaseProposed.String():
		p.add(OK, "consent", "the ceremony is %s: who had to has agreed", c.Phase)
	case missing:
		p.add(Warn, "consent", "yours is missing: scrim member accept --node %s; missing of all: %s", p.Status.Node, p.Status.names(c.Waiting))
	default:
		p.add(OK, "consent", "you have accepted; missing: %s", orElse(p.Status.names(c.Waiting), "nobody"))
	}
}

// oldShare looks for the share that a resharing is dealt from.
func (p *Preflight) oldShare(secret *keygen.MemberSecret) {
	t := p.terms
	if t.Change != keygen.ChangeReshare || int(p.roles[len(p.roles)-1]) <= t.N() {
		return
	}
	ids, _, err := p.Home.Identities()
	if err != nil {
		return // said with the keys
	}
	own := secret.Member("").Identity
	i := slices.IndexFunc(t.Previous.Members, func(m keygen.Member) bool { return m.Identity.Equal(own) })
	files, err := filepath.Glob(filepath.Join(p.Home.ShareDir, fmt.Sprintf("epoch-%d-attempt-*.share.age", t.Epoch-1)))
	if err != nil || i < 0 {
		p.add(Fail, "old share", "%v", err)
		return
	}
	for _, path := range files {
		_, share, err := sharefile.ReadShare(path, ids)
		if err != nil {
			continue
		}
		fits := bytes.Equal(share.MemberKey().Bytes(), t.Previous.Committee.Members[i].Bytes())
		share.Wipe()
		if fits {
			p.add(OK, "old share", "%s is your share of the key of epoch %d, of which your node deals", path, t.Epoch-1)
			return
		}
	}
	p.add(Fail, "old share", "there is no share of the key of epoch %d in %s: scrim member recover --node URL, or put the backup there", t.Epoch-1, p.Home.ShareDir)
}

// threshold warns of one with which too few members for blocks come into office.
func (p *Preflight) threshold() {
	if risk := standstill(p.terms); risk != "" {
		p.add(Warn, "threshold", "%s", risk)
		return
	}
	p.add(OK, "threshold", "%d of %d: who is enough to open a batch is enough for blocks", p.terms.Threshold, p.terms.N())
}

func (p *Preflight) phases() {
	t := p.terms
	shortest := min(t.Phases.Deal, t.Phases.Respond, t.Phases.Justify, t.Phases.Certify, t.Phases.Store)
	level, advice := OK, "long enough"
	switch n := max(t.N(), t.Speakers()-t.N()); {
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
	t := p.terms
	ids, _, err := p.Home.Identities()
	if err != nil {
		return // said with the keys
	}
	const another = "%s is another ceremony's: move it away, or draft the terms with the next attempt number"
	if len(p.roles) > 0 && int(p.roles[0]) > t.N() {
		p.add(OK, "share file", "you leave, and get no new share")
		return
	}
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
	t := p.terms
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
