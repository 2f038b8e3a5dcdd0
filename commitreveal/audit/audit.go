// Package audit checks a chain's log offline and says whether the committee kept
// its promises.
//
// [Run] replays a bundle as a stream ([Replay] a mirror, [Follow] a log that
// grows), recomputes everything that it says, and gives a [Report] with one of three
// verdicts, which are never merged:
//
//   - Verified: all of it follows from the committee's certificate and its
//     signatures on the checkpoints.
//   - Violated: something contradicts it. Each [Finding] says what, at which
//     height and whose it is: the committee's or a member's if a valid signature
//     of theirs covers the contradiction, and the bundle's (whoever made the
//     file) if none does.
//   - CannotTell: something that is needed is missing or unreadable, and nothing
//     contradicts.
//
// Memory is bounded by one batch, a fixed amount for each batch that is not yet
// revealed, and 40 bytes for each id that could still be ordered again; it does
// not grow with the length of the log.
//
// What is wrong comes with evidence that needs nothing else, where there can be
// such: [EvidenceFile], read by [ParseEvidence] and checked by its Verify. Light
// clients check one thing: [VerifyOpening], [VerifyCheckpoint], [VerifyReceipt], and
// one transaction with all of it, [TxProof].
//
// What is recomputed is listed in docs/spec/bundle.md, the files are specified in
// docs/spec/evidence.md. This package knows
// neither the ordering rule nor ceremonies: the caller passes them in as
// [Checks].
package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/threshold"
)

// Checks are the checks that this package does not make itself. All must be pure
// and must stand hostile input. A replay needs the first three.
type Checks struct {
	// Certificate checks the first committee's certificate against the bundle's terms.
	Certificate func(terms, certificate []byte) (CommitteeInfo, error)
	// Succession checks a later committee's certificate against that of the one before it.
	Succession func(previous, certificate []byte) (CommitteeInfo, error)
	// Rule begins a replay of the chain's ordering rule with the limits in the bundle's header.
	Rule func(chainID string, limits []byte) (Rule, error)
	// Committee checks a certificate by itself: that t members of the committee
	// that it names signed it. Evidence and transaction proofs need it.
	Committee func(certificate []byte) (CommitteeInfo, error)
	// Ceremony checks evidence of a fault in the ceremony of the terms.
	Ceremony func(terms, evidence []byte) (CeremonyFinding, error)
	// Statement checks what a member, by its identity key, signed of its receive log after a head and a hash of times. Of the
	// part it gives at least Member, After, IDs and Times.
	Statement func(chainID string, identity ed25519.PublicKey, statement []byte, head, times commitreveal.Hash) (LogPart, error)
	// Fork checks evidence that a member of the committee has two receive logs, and gives its kind ([KindLogFork] or [KindTimesFork]).
	Fork func(c CommitteeInfo, evidence []byte) (kind string, member uint32, err error)
}

// CeremonyFinding is what evidence about a ceremony proves.
type CeremonyFinding struct {
	ChainID   string
	Epoch     uint64
	TermsHash [32]byte
	Who       string // the member
	Member    uint32 // its number as a speaker of the ceremony
	What      string // it did
	Conflict  bool   // the proof is two messages that contradict each other
}

// Rule replays the ordering rule along the log. Heights grow. After an error it is not asked again.
type Rule interface {
	// Committee comes into office with the block of a height. It refuses one that agreed to other limits.
	Committee(height uint64, c CommitteeInfo) error
	// Round is what the block of a height said for the order. It gives what members of the committee in office say in it about their
	// receive logs, with signatures that hold.
	Round(r *commitreveal.BundleRound) ([]LogPart, error)
	// Batch is what the block of the same or a later height ordered. Rounds is the commit entry's. The function puts the ids into
	// the order of execution.
	Batch(height uint64, rounds [32]byte, cts []*threshold.Ciphertext) (order func(beacon [32]byte) []threshold.ID, err error)
	// Expired gives the log entries of what blocks up to the height, whose batches were all replayed, had to set aside: by height,
	// then as the log has them, each in one answer only.
	Expired(height uint64) ([]commitreveal.ExpiredEntry, error)
}

// LogPart is the next part of a member's receive log, as the member signed it.
type LogPart struct {
	Member uint32            // 1..n, of the committee in office
	After  uint64            // positions before it
	Head   commitreveal.Hash // head before it
	IDs    []threshold.ID

	Times     []uint64          // of IDs, in milliseconds since 1970; nil if the rule has none
	TimesHead commitreveal.Hash // hash of the times before it
	Statement []byte            // what the member signed, for evidence
}

// CommitteeInfo is what a certificate proves.
type CommitteeInfo struct {
	Committee  *threshold.Committee
	Identities []ed25519.PublicKey // Identities[j-1] is member j's
	Names      []string            // optional: Names[j-1] is what people call member j
	ChainID    string
	TermsHash  [32]byte // of the committee's terms
	Terms      []byte   // optional: of its ceremony, for evidence about it
	Limits     [32]byte // hash of the chain's limits, as its members agreed to them
	Overlap    uint64   // blocks after it came into office during which what is sealed to the key before its own is ordered

	certificate []byte // of a committee in office; for evidence
}

// Options of a run.
type Options struct {
	// TermsHash is the hash of the terms that the user trusts. Without it the
	// report is about the committee that the bundle names, and says which.
	TermsHash *[32]byte
	// Receipts are those that the user holds.
	Receipts []commitreveal.Receipt
	// Checkpoints are signed tree heads that the log must have.
	Checkpoints []SignedNote
	// Evidence is judged beside the log.
	Evidence []EvidenceBody
	// Tree gives the stored hashes of the log, if they are at hand: see package tiles.
	// Some evidence of a split view needs them.
	Tree tiles.Reader
	// Policy, if set, says which signatures those of Checkpoints that say so must have.
	Policy *note.Policy
	// Progress, if set, is told after each log entry how many there were.
	Progress func(entries uint64)
}

// Lines is what is replayed: the lines of a bundle, from its header to its end,
// then io.EOF. [commitreveal.BundleReader] is one; so is a mirror's reader. Any
// other error ends the replay, with the verdict CannotTell.
type Lines interface {
	Next() (commitreveal.BundleLine, error)
}

// Run audits a bundle. The error is nil unless a check is missing: a bundle that
// cannot be read gives a report, with the verdict CannotTell.
func Run(r io.Reader, checks Checks, opts Options) (*Report, error) {
	return Replay(commitreveal.NewBundleReader(r), checks, opts)
}

// Replay is [Run] for lines that come from elsewhere.
func Replay(lines Lines, checks Checks, opts Options) (*Report, error) {
	f, err := Follow(checks, opts)
	if err != nil {
		return nil, err
	}
	f.Read(lines)
	return f.Report(), nil
}

// Follower replays a log that grows. Use it from one goroutine.
type Follower struct{ a *auditor }

// Follow begins a replay; see [Run].
func Follow(checks Checks, opts Options) (*Follower, error) {
	if checks.Certificate == nil || checks.Succession == nil || checks.Rule == nil {
		return nil, errors.New("audit: all checks are needed")
	}
	a := newAuditor(checks, opts)
	a.readHeads()
	return &Follower{a}, nil
}

// Read replays lines up to io.EOF; the next call goes on there. It reports whether
// anything can still be concluded from more.
func (f *Follower) Read(lines Lines) bool {
	f.a.read(lines)
	return !f.a.stopped
}

// Beside takes what was found beside the log meanwhile, for [Follower.Report]: evidence, and the stored hashes of the log, which
// some of it needs. It replaces what [Options] had.
func (f *Follower) Beside(evidence []EvidenceBody, tree tiles.Reader) {
	f.a.opts.Evidence, f.a.opts.Tree = evidence, tree
}

// Entries is how many log entries were replayed so far.
func (f *Follower) Entries() uint64 { return f.a.log.Size() }

// Findings is how many broken promises were found so far.
func (f *Follower) Findings() int { return len(f.a.findings) + f.a.waiting }

// Report ends the replay and says what came of it.
func (f *Follower) Report() *Report {
	f.a.closeMisbehaviour()
	f.a.closeBatch()
	return f.a.finish()
}

// auditor is a replay on its way.
type auditor struct {
	checks Checks
	opts   Options
	report *Report

	header     *commitreveal.BundleHeader
	log        commitreveal.Log
	before     commitreveal.Log   // without the entry at hand
	committees map[uint64]*tenure // by epoch
	current    *tenure            // in office
	height     uint64             // of the last committee or commit entry
	lastCommit uint64
	rule       Rule              // nil when the order cannot be replayed further
	rounds     commitreveal.Hash // over those so far
	open       *batch            // whose transactions are being read
	pending    []*batch          // committed, not revealed; oldest first
	seen       seenIDs

	findings      []*finding
	waiting       int    // findings that wait in a batch for its reveal
	certified     uint64 // log entries that a valid certificate covers
	certHeight    uint64 // of the last certified batch
	certBroken    bool   // the last certificate did not verify
	signed        *signed
	heads         heads
	elected       *commitreveal.CommitteeEntry // whose certificate is the next line
	electedAt     uint64                       // its index
	voids         *voids                       // of the batch that was revealed last
	expiries      []expiredAt                  // whose blocks are not replayed yet
	kept          int                          // bytes of ids that wait to become evidence
	bodiesMissing bool                         // some batch is not in the bundle as it was committed
	accused       *accused                     // whose evidence may be the next line
	charges       map[charge]bool              // in the log so far
	receipts      *receipts
	stopped       bool
}

// maxPending bounds the batches that wait for their reveal.
const maxPending = 1 << 16

func newAuditor(checks Checks, opts Options) *auditor {
	return &auditor{
		checks: checks, opts: opts,
		report: &Report{
			Findings: []Finding{}, Missing: []string{}, Receipts: []ReceiptResult{}, Epochs: []uint64{}, Committees: []Tenure{},
			Misbehaviour: []Misbehaviour{}, Checkpoints: []CheckpointResult{}, Evidence: []EvidenceResult{},
		},
		committees: make(map[uint64]*tenure), charges: make(map[charge]bool),
		seen:     newSeenIDs(),
		receipts: newReceipts(opts.Receipts),
	}
}

// read replays line by line until the end, or until nothing further can be
// concluded.
func (a *auditor) read(lines Lines) {
	for !a.stopped {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, commitreveal.ErrBundle) {
			return // the bundle is whole
		}
		if err != nil {
			a.stop("%v", err)
			return
		}
		a.line(line)
	}
}

func (a *auditor) line(line commitreveal.BundleLine) {
	switch l := line.(type) {
	case *commitreveal.BundleTransaction:
		a.transaction(l)
		return
	case *commitreveal.BundleEvidence:
		a.settleMisbehaviour(l.Body)
		return
	}
	a.closeMisbehaviour()
	a.closeBatch()
	switch l := line.(type) {
	case *commitreveal.BundleHeader:
		a.begin(l)
	case *commitreveal.BundleRound:
		a.round(l)
	case *commitreveal.BundleEntry:
		a.entry(l)
	case *commitreveal.BundleCertificate:
		a.elect(l.Certificate)
	}
}

// maxBatchBytes bounds what is kept of a batch while it is checked. A block, and
// so a batch, is far smaller.
const maxBatchBytes = 512 << 20

// transaction keeps a transaction until its batch is whole.
func (a *auditor) transaction(t *commitreveal.BundleTransaction) {
	b := a.open
	b.transactions = append(b.transactions, t)
	b.bytes += len(t.Ciphertext) + len(t.Plaintext)
	switch {
	case len(b.transactions) > int(b.entry.Count):
		a.stop("batch of height %d: more than its %d transactions", t.Height, b.entry.Count)
	case b.bytes > maxBatchBytes:
		a.stop("batch of height %d: more than %d bytes", t.Height, maxBatchBytes)
	}
}

// begin reads the header.
func (a *auditor) begin(h *commitreveal.BundleHeader) {
	a.header = h
	a.report.ChainID = h.ChainID
	var err error
	if a.rule, err = a.checks.Rule(h.ChainID, h.Limits); err != nil {
		a.rule = nil
		a.stop("the limits of the chain cannot be read: %v", err)
	}
}

// round replays what a block said for the order.
func (a *auditor) round(l *commitreveal.BundleRound) {
	if a.rule == nil {
		return
	}
	aside := make([]threshold.ID, len(l.Aside))
	for i, body := range l.Aside {
		ct, err := threshold.ParseCiphertext(body)
		if err != nil {
			a.unruly(-1, l.Height, fmt.Errorf("ciphertext %d that was set aside: %w", i, err))
			return
		}
		aside[i] = ct.ID()
	}
	a.rounds = commitreveal.NextRounds(a.rounds, l.Height, l.Section, aside)
	parts, err := a.rule.Round(l)
	if err != nil {
		a.unruly(-1, l.Height, err)
		return
	}
	for _, p := range parts {
		if a.current != nil {
			a.receipts.said(a.current.Identities, l.Height, p)
		}
	}
}

// unruly records that the receive logs decide otherwise, and ends the replay of the order.
func (a *auditor) unruly(entry int64, height uint64, err error) {
	a.add(&finding{entry: entry, Finding: Finding{Code: CodeOrder, Height: height, What: err.Error()}})
	a.rule = nil
	a.missing("the order of batches after height %d could not be replayed", height)
}

// entry appends an entry to the log and checks what it says.
func (a *auditor) entry(l *commitreveal.BundleEntry) {
	e, err := commitreveal.ParseEntry(l.Entry)
	if err != nil {
		a.stop("log entry %d: %v", l.Index, err)
		return
	}
	a.before = a.log
	if a.log, _, err = a.log.Append(l.Entry); err != nil {
		a.stop("log entry %d: %v", l.Index, err)
		return
	}
	if _, void := e.(commitreveal.VoidEntry); !void {
		a.closeVoids()
	}
	switch e := e.(type) {
	case commitreveal.CommitteeEntry:
		a.elected, a.electedAt = &e, l.Index
	case commitreveal.CommitEntry:
		a.commit(l.Index, e, l.Entry)
	case commitreveal.RevealEntry:
		a.reveal(l.Index, e)
	case commitreveal.VoidEntry:
		a.void(l.Index, e)
	case commitreveal.ExpiredEntry:
		a.expired(l.Index, e)
	case commitreveal.MisbehaviourEntry:
		a.misbehaviour(l.Index, e)
	}
	a.reachHeads()
	if a.opts.Progress != nil {
		a.opts.Progress(a.log.Size())
	}
}

// elect takes a committee into office, if this is the certificate that the committee
// entry before names.
func (a *auditor) elect(certificate []byte) {
	index, e := a.electedAt, a.elected
	a.elected = nil
	if e == nil {
		a.stop("a certificate without a committee entry before it")
		return
	}
	if hash := commitreveal.CertificateHash(certificate); hash != e.Certificate {
		a.altered(CodeCommittee, e.Height, "the certificate of the committee of epoch %d is not the one that the log names", e.Epoch)
		a.stopped = true
		return
	}
	a.committee(index, *e, certificate)
}

// committee takes a committee into office, if its ceremony's certificate holds.
func (a *auditor) committee(index uint64, e commitreveal.CommitteeEntry, certificate []byte) {
	if e.Height < a.height {
		a.found(index, CodeHeight, e.Height, "the committee entry follows one of height %d", a.height)
	}
	info, err := a.checkCommittee(certificate)
	if err == nil && (info.Committee == nil || info.Committee.Key == nil) {
		err = errors.New("it names no committee")
	}
	if err != nil {
		a.found(index, CodeCommittee, e.Height, "the committee of epoch %d is not certified: %v", e.Epoch, err)
		a.stopped = true
		return
	}
	if a.current == nil && !a.trusted(&info) {
		return
	}
	if info.ChainID != a.header.ChainID {
		a.found(index, CodeChain, e.Height, "the bundle is of chain %q, its committee is certified for %q", a.header.ChainID, info.ChainID)
		a.stopped = true
		return
	}
	if hash, err := commitreveal.CommitteeHash(info.Committee); err != nil || hash != e.Committee || info.Committee.Epoch != e.Epoch {
		a.found(index, CodeCommittee, e.Height, "the committee entry names a committee that its certificate does not certify")
	}
	if a.current != nil && info.Committee.Epoch <= a.current.Committee.Epoch {
		a.found(index, CodeEpoch, e.Height, "epoch %d follows epoch %d", info.Committee.Epoch, a.current.Committee.Epoch)
	}
	a.height = max(a.height, e.Height)
	info.certificate = certificate
	if a.rule != nil {
		if err := a.rule.Committee(e.Height, info); err != nil {
			a.unruly(int64(index), e.Height, err)
		}
	}
	a.takeOffice(index, e, info)
	a.receipts.committee(info)
	a.report.Epochs = append(a.report.Epochs, info.Committee.Epoch)
}

// trusted compares the certified terms with those that the user trusts.
func (a *auditor) trusted(info *CommitteeInfo) bool {
	a.report.TermsHash = info.TermsHash
	if a.opts.TermsHash == nil {
		return true
	}
	if info.TermsHash != *a.opts.TermsHash {
		a.stop("the bundle is about a committee with the terms %s, not about the trusted one with the terms %s",
			commitreveal.Hash(info.TermsHash), commitreveal.Hash(*a.opts.TermsHash))
		return false
	}
	a.report.Anchored = true
	return true
}

// commit checks what a commit entry says of itself, and opens its batch.
func (a *auditor) commit(index uint64, e commitreveal.CommitEntry, raw []byte) {
	if a.current == nil {
		a.found(index, CodeCommittee, e.Height, "a batch is committed before there is a committee")
		a.stopped = true
		return
	}
	if len(a.pending) >= maxPending {
		a.stop("more than %d batches wait for their reveal", maxPending)
		return
	}
	var height *finding
	if e.Height <= a.lastCommit || e.Height < a.height {
		height = a.found(index, CodeHeight, e.Height, "the batch follows an entry of height %d", max(a.lastCommit, a.height))
	}
	committee, err := a.entitled(e)
	if err != nil {
		a.found(index, CodeEpoch, e.Height, "%v", err)
	}
	if e.KeyID != committee.Committee.Key.ID() {
		a.found(index, CodeKey, e.Height, "the batch is for another key than the committee's of epoch %d", committee.Committee.Epoch)
	}
	a.height, a.lastCommit = max(a.height, e.Height), max(a.lastCommit, e.Height)
	a.report.Batches++
	a.open = &batch{
		index: index, entry: e, committee: &committee.CommitteeInfo, before: a.before, raw: raw, height: height,
		checkpoint: commitreveal.Checkpoint{
			ChainID: a.header.ChainID, Height: e.Height, Epoch: e.Epoch,
			BatchRoot: e.Root, LogSize: a.log.Size(), LogRoot: a.log.Root(),
		},
	}
}

// reveal checks a reveal entry against its batch.
func (a *auditor) reveal(index uint64, e commitreveal.RevealEntry) {
	b := a.takePending(index, e.Height)
	if b == nil {
		return
	}
	a.report.Revealed++
	if e.Root != b.entry.Root {
		a.found(index, CodeReveal, e.Height, "the reveal names another batch root than the commitment")
	}
	a.compareOutcomes(index, b, e)
	a.voids = newVoids(index, b)
	a.compareOrder(index, b, e)
	a.certificate(index, b, e.Certificate)
}

// takePending removes the batch of a height, which should be the oldest one, from
// the pending ones. It is nil if there is none.
func (a *auditor) takePending(index, height uint64) *batch {
	for i, b := range a.pending {
		if b.entry.Height != height {
			continue
		}
		if i > 0 {
			a.found(index, CodeReveal, height, "the batch is revealed before that of height %d", a.pending[0].entry.Height)
		}
		a.pending = slices.Delete(a.pending, i, i+1)
		return b
	}
	a.found(index, CodeReveal, height, "no batch of that height waits to be revealed")
	return nil
}

// certificate checks the committee's signature on the checkpoint of a batch. One
// that holds makes every entry that it covers the committee's own.
func (a *auditor) certificate(index uint64, b *batch, certificate threshold.Signature) {
	message, err := b.checkpoint.MarshalBinary()
	if err == nil {
		err = threshold.VerifySignature(b.committee.Committee.Key, message, certificate)
	}
	if err != nil {
		if !a.certBroken { // one altered entry breaks all that follow: say it once
			a.found(index, CodeCertificate, b.entry.Height, "the committee's signature does not fit the checkpoint over the %d entries before: %v", b.checkpoint.LogSize, err)
		}
		a.certBroken = true
		return
	}
	a.certBroken = false
	a.gather(b, certificate)
	if b.checkpoint.LogSize <= a.certified {
		return
	}
	a.certified, a.certHeight = b.checkpoint.LogSize, b.entry.Height
	for _, f := range a.findings {
		f.certify(a.certified, b.committee.Committee.Epoch)
	}
}

// found records a broken promise that the log entry of an index commits to.
func (a *auditor) found(index uint64, code string, height uint64, format string, args ...any) *finding {
	f := &finding{entry: int64(index), Finding: Finding{Code: code, Height: height, What: fmt.Sprintf(format, args...)}}
	a.add(f)
	return f
}

// altered records a contradiction that is in the bundle only.
func (a *auditor) altered(code string, height uint64, format string, args ...any) {
	a.add(&finding{entry: -1, Finding: Finding{Code: code, Height: height, What: fmt.Sprintf(format, args...)}})
}

// maxFindings bounds what a report lists.
const maxFindings = 100

func (a *auditor) add(f *finding) {
	if len(a.findings) >= maxFindings {
		a.report.MoreFindings++
		return
	}
	f.certify(a.certified, a.epoch())
	a.findings = append(a.findings, f)
}

// office is the committee of an epoch that is, or was, in office; nil if none.
func (a *auditor) office(epoch uint64) *CommitteeInfo {
	if t := a.committees[epoch]; t != nil {
		return &t.CommitteeInfo
	}
	return nil
}

func (a *auditor) epoch() uint64 {
	if a.current == nil {
		return 0
	}
	return a.current.Committee.Epoch
}

// missing records something without which there is no verdict.
func (a *auditor) missing(format string, args ...any) {
	if len(a.report.Missing) < maxFindings {
		a.report.Missing = append(a.report.Missing, fmt.Sprintf(format, args...))
	}
}

// stop records it, and ends the replay.
func (a *auditor) stop(format string, args ...any) {
	a.missing(format, args...)
	a.stopped = true
}
