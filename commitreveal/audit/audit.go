// Package audit replays an audit bundle offline and says whether the committee
// kept its promises.
//
// [Run] is the whole of it: it reads a bundle as a stream, recomputes everything
// that the bundle says, and gives a [Report] with one of three verdicts, which
// are never merged:
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
// What is recomputed is listed in docs/spec/bundle.md. This package knows
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
	"github.com/scrimlabs/scrim/threshold"
)

// Checks are the checks that this package does not make itself. All must
// be pure and must stand hostile input.
type Checks struct {
	// Certificate checks the first committee's certificate against the bundle's terms.
	Certificate func(terms, certificate []byte) (CommitteeInfo, error)
	// Succession checks a later committee's certificate against that of the one before it.
	Succession func(previous, certificate []byte) (CommitteeInfo, error)
	// Rule begins a replay of the chain's ordering rule with the limits in the bundle's header.
	Rule func(chainID string, limits []byte) (Rule, error)
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
}

// LogPart is the next part of a member's receive log, as the member signed it.
type LogPart struct {
	Member uint32            // 1..n, of the committee in office
	After  uint64            // positions before it
	Head   commitreveal.Hash // head before it
	IDs    []threshold.ID
}

// CommitteeInfo is what a certificate proves.
type CommitteeInfo struct {
	Committee  *threshold.Committee
	Identities []ed25519.PublicKey // Identities[j-1] is member j's
	Names      []string            // optional: Names[j-1] is what people call member j
	ChainID    string
	TermsHash  [32]byte // of the committee's terms
	Limits     [32]byte // hash of the chain's limits, as its members agreed to them
	Overlap    uint64   // blocks after it came into office during which what is sealed to the key before its own is ordered
}

// Options of a run.
type Options struct {
	// TermsHash is the hash of the terms that the user trusts. Without it the
	// report is about the committee that the bundle names, and says which.
	TermsHash *[32]byte
	// Receipts are those that the user holds.
	Receipts []commitreveal.Receipt
}

// Run audits a bundle. The error is nil unless a check is missing: a bundle that
// cannot be read gives a report, with the verdict CannotTell.
func Run(r io.Reader, checks Checks, opts Options) (*Report, error) {
	if checks.Certificate == nil || checks.Succession == nil || checks.Rule == nil {
		return nil, errors.New("audit: all checks are needed")
	}
	a := newAuditor(checks, opts)
	a.read(commitreveal.NewBundleReader(r))
	return a.finish(), nil
}

// auditor is a replay on its way.
type auditor struct {
	checks Checks
	opts   Options
	report *Report

	header     *commitreveal.BundleHeader
	log        commitreveal.Log
	committees map[uint64]*tenure // by epoch
	current    *tenure            // in office
	height     uint64             // of the last committee or commit entry
	lastCommit uint64
	rule       Rule     // nil when the order cannot be replayed further
	open       *batch   // whose transactions are being read
	pending    []*batch // committed, not revealed; oldest first
	seen       seenIDs

	findings      []*finding
	waiting       int    // findings that wait in a batch for its reveal
	certified     uint64 // log entries that a valid certificate covers
	certHeight    uint64 // of the last certified batch
	certBroken    bool   // the last certificate did not verify
	bodiesMissing bool   // some batch is not in the bundle as it was committed
	receipts      *receipts
	stopped       bool
}

// maxPending bounds the batches that wait for their reveal.
const maxPending = 1 << 16

func newAuditor(checks Checks, opts Options) *auditor {
	return &auditor{
		checks: checks, opts: opts,
		report:     &Report{Findings: []Finding{}, Missing: []string{}, Receipts: []ReceiptResult{}, Epochs: []uint64{}, Committees: []Tenure{}},
		committees: make(map[uint64]*tenure),
		seen:       newSeenIDs(),
		receipts:   newReceipts(opts.Receipts),
	}
}

// read replays line by line until the end, or until nothing further can be
// concluded.
func (a *auditor) read(lines *commitreveal.BundleReader) {
	for !a.stopped {
		line, err := lines.Next()
		if errors.Is(err, commitreveal.ErrBundle) {
			a.stop("%v", err)
			return
		}
		if err != nil {
			return // io.EOF: the bundle is whole
		}
		a.line(line)
	}
}

func (a *auditor) line(line commitreveal.BundleLine) {
	if t, ok := line.(*commitreveal.BundleTransaction); ok {
		a.transaction(t)
		return
	}
	a.closeBatch()
	switch l := line.(type) {
	case *commitreveal.BundleHeader:
		a.begin(l)
	case *commitreveal.BundleRound:
		a.round(l)
	case *commitreveal.BundleEntry:
		a.entry(l)
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
	if a.log, _, err = a.log.Append(l.Entry); err != nil {
		a.stop("log entry %d: %v", l.Index, err)
		return
	}
	switch e := e.(type) {
	case commitreveal.CommitteeEntry:
		a.committee(l.Index, e)
	case commitreveal.CommitEntry:
		a.commit(l.Index, e)
	case commitreveal.RevealEntry:
		a.reveal(l.Index, e)
	}
}

// committee takes a committee into office, if its ceremony's certificate holds.
func (a *auditor) committee(index uint64, e commitreveal.CommitteeEntry) {
	if e.Height < a.height {
		a.found(index, CodeHeight, e.Height, "the committee entry follows one of height %d", a.height)
	}
	info, err := a.checkCommittee(e)
	if err == nil && (info.Committee == nil || info.Committee.Key == nil) {
		err = errors.New("it names no committee")
	}
	if err != nil {
		a.found(index, CodeCommittee, e.Height, "the committee of epoch %d is not certified: %v", e.Committee.Epoch, err)
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
	if !sameCommittee(info.Committee, e.Committee) {
		a.found(index, CodeCommittee, e.Height, "the committee entry names a committee that its certificate does not certify")
	}
	if a.current != nil && info.Committee.Epoch <= a.current.Committee.Epoch {
		a.found(index, CodeEpoch, e.Height, "epoch %d follows epoch %d", info.Committee.Epoch, a.current.Committee.Epoch)
	}
	a.height = max(a.height, e.Height)
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

func sameCommittee(a, b *threshold.Committee) bool {
	x, errX := a.MarshalBinary()
	y, errY := b.MarshalBinary()
	return errX == nil && errY == nil && string(x) == string(y)
}

// commit checks what a commit entry says of itself, and opens its batch.
func (a *auditor) commit(index uint64, e commitreveal.CommitEntry) {
	if a.current == nil {
		a.found(index, CodeCommittee, e.Height, "a batch is committed before there is a committee")
		a.stopped = true
		return
	}
	if len(a.pending) >= maxPending {
		a.stop("more than %d batches wait for their reveal", maxPending)
		return
	}
	if e.Height <= a.lastCommit || e.Height < a.height {
		a.found(index, CodeHeight, e.Height, "the batch follows an entry of height %d", max(a.lastCommit, a.height))
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
		index: index, entry: e, committee: &committee.CommitteeInfo,
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
	if b.checkpoint.LogSize <= a.certified {
		return
	}
	a.certified, a.certHeight = b.checkpoint.LogSize, b.entry.Height
	for _, f := range a.findings {
		f.certify(a.certified, b.committee.Committee.Epoch)
	}
}

// found records a broken promise that the log entry of an index commits to.
func (a *auditor) found(index uint64, code string, height uint64, format string, args ...any) {
	a.add(&finding{entry: int64(index), Finding: Finding{Code: code, Height: height, What: fmt.Sprintf(format, args...)}})
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
