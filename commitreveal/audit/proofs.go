package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// ConflictingCommit is two checkpoints that no one log has, both signed by the
// committee: two batches or logs for one height, two roots for one size, or a
// later batch in a log that is not longer. The lower encoding comes first.
type ConflictingCommit struct {
	A Certified `json:"a"`
	B Certified `json:"b"`
}

// NewConflictingCommit puts two signed checkpoints in order.
func NewConflictingCommit(a, b Certified) *ConflictingCommit {
	if bytes.Compare(a.Checkpoint, b.Checkpoint) > 0 {
		a, b = b, a
	}
	return &ConflictingCommit{a, b}
}

// Kind implements [Proof].
func (*ConflictingCommit) Kind() string { return KindConflictCommit }

func (p *ConflictingCommit) validate() error {
	_, _, errA := p.A.parse()
	_, _, errB := p.B.parse()
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	if bytes.Compare(p.A.Checkpoint, p.B.Checkpoint) >= 0 {
		return fmt.Errorf("%w: the checkpoints must be two, the lower encoding first", ErrEvidence)
	}
	return nil
}

func (p *ConflictingCommit) check(j *judge) (*Established, error) {
	a, who, err := p.A.verify(j)
	if err != nil {
		return nil, err
	}
	b, other, err := p.B.verify(j)
	if err != nil {
		return nil, err
	}
	what, conflict := checkpointConflict(a, b)
	if !conflict {
		return nil, notProved("one log can have both checkpoints")
	}
	return &Established{Who: twoCommittees(who, other), Height: max(a.Height, b.Height), What: what}, nil
}

func twoCommittees(a, b *CommitteeInfo) string {
	if a == b {
		return committeeName(a.Committee.Epoch)
	}
	return fmt.Sprintf("committees of epochs %d and %d", min(a.Committee.Epoch, b.Committee.Epoch), max(a.Committee.Epoch, b.Committee.Epoch))
}

// checkpointConflict says why no log has both checkpoints of a chain.
func checkpointConflict(a, b *commitreveal.Checkpoint) (what string, conflict bool) {
	if a.Height > b.Height {
		a, b = b, a
	}
	switch {
	case *a == *b:
		return "", false
	case a.Height == b.Height && a.BatchRoot != b.BatchRoot:
		return fmt.Sprintf("signed two batches for block %d, with the roots %s and %s", a.Height, a.BatchRoot, b.BatchRoot), true
	case a.Height == b.Height:
		return fmt.Sprintf("signed two logs for block %d: %d entries with root %s, %d entries with root %s", a.Height, a.LogSize, a.LogRoot, b.LogSize, b.LogRoot), true
	case a.LogSize == b.LogSize && a.LogRoot != b.LogRoot:
		return fmt.Sprintf("signed two logs of %d entries, with the roots %s and %s", a.LogSize, a.LogRoot, b.LogRoot), true
	case a.LogSize >= b.LogSize:
		return fmt.Sprintf("signed a log of %d entries at block %d and one of %d at block %d", a.LogSize, a.Height, b.LogSize, b.Height), true
	}
	return "", false
}

// WrongOrder is a certified batch whose ciphertexts do not ascend by id, each once. (That it
// has others than the receive logs decide on, or another order of execution, is shown by a bundle.) The range ends with the batch's commit entry.
type WrongOrder struct {
	Log Range               `json:"log"`
	IDs []commitreveal.Hash `json:"ids"` // of the batch, as it was committed
}

// Kind implements [Proof].
func (*WrongOrder) Kind() string { return KindWrongOrder }

func (p *WrongOrder) validate() error {
	if len(p.IDs) > commitreveal.MaxBatch {
		return fmt.Errorf("%w: %d ids", ErrEvidence, len(p.IDs))
	}
	return p.Log.validate()
}

func (p *WrongOrder) check(j *judge) (*Established, error) {
	log, c, err := p.Log.verifyLast(j)
	if err != nil {
		return nil, err
	}
	ids, err := idsOf(c, p.IDs)
	if err != nil {
		return nil, err
	}
	if ascending(ids) {
		return nil, notProved("the ciphertexts ascend by id")
	}
	what := fmt.Sprintf("committed the %d ciphertexts of block %d not ascending by id", c.Count, c.Height)
	if _, distinct := sortedIDs(ids); !distinct {
		what = fmt.Sprintf("ordered a ciphertext twice in block %d", c.Height)
	}
	return &Established{Who: committeeName(log.committee.Committee.Epoch), Height: c.Height, What: what}, nil
}

// verifyLast is verify, which also gives the last entry: the commit entry of the signed checkpoint.
func (r *Range) verifyLast(j *judge) (*proved, *commitreveal.CommitEntry, error) {
	p, err := r.verify(j)
	if err != nil {
		return nil, nil, err
	}
	c, ok := p.entries[len(p.entries)-1].(commitreveal.CommitEntry)
	if !ok || c.Height != p.checkpoint.Height || c.Root != p.checkpoint.BatchRoot {
		return nil, nil, notProved("the last entry is not the commit entry of the signed batch")
	}
	return p, &c, nil
}

// EarlyShare is a member's share of a batch that was not committed at its height,
// with the log that shows what was. That a share of the right batch left before the
// batch was durable, nothing in a log can show.
type EarlyShare struct {
	Message Bytes `json:"message"` // as commitreveal.ShareMessage's MarshalBinary
	Log     Range `json:"log"`     // has the commit entry of the height, or its neighbours
}

// Kind implements [Proof].
func (*EarlyShare) Kind() string { return KindEarlyShare }

func (p *EarlyShare) validate() error {
	if _, err := commitreveal.ParseShareMessage(p.Message, commitreveal.MaxBatch); err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	return p.Log.validate()
}

func (p *EarlyShare) check(j *judge) (*Established, error) {
	m, err := commitreveal.ParseShareMessage(p.Message, commitreveal.MaxBatch)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	info, err := j.committee(m.Epoch)
	if err != nil {
		return nil, err
	}
	if m.ChainID != j.chainID {
		return nil, notProved("the share is of chain %q", m.ChainID)
	}
	if err := m.Verify(info.identity(m.Member())); err != nil {
		return nil, notProved("%w", err)
	}
	log, err := p.Log.verify(j)
	if err != nil {
		return nil, err
	}
	committed, err := log.at(m.Height)
	if err != nil {
		return nil, err
	}
	e := &Established{
		Who: memberOf(info, m.Member()), Height: m.Height,
		Remains: "when the share was made: it may have been before the block was decided, or after another one was",
	}
	switch {
	case committed == nil:
		e.What = fmt.Sprintf("shared a batch of block %d, which committed none", m.Height)
	case committed.Root != m.Root:
		e.What = fmt.Sprintf("shared a batch of block %d with root %s; the committed one has root %s", m.Height, m.Root, committed.Root)
	default:
		return nil, notProved("the share is of the committed batch")
	}
	return e, nil
}

// at gives the commit entry of a height, nil if the log has none. The error says
// that the range does not tell.
func (p *proved) at(height uint64) (*commitreveal.CommitEntry, error) {
	below := p.first == 0
	for _, c := range p.commits() {
		switch {
		case c.Height == height:
			return &c, nil
		case c.Height < height:
			below = true
		case below:
			return nil, nil
		default:
			return nil, notProved("the log entries begin after block %d", height)
		}
	}
	return nil, notProved("the log entries end before block %d", height)
}

// identity is a member's identity key; nil if there is no such member.
func (c *CommitteeInfo) identity(member uint32) ed25519.PublicKey {
	if member < 1 || int(member) > len(c.Identities) {
		return nil
	}
	return c.Identities[member-1]
}

// BadShare is a share that does not verify, or two that conflict, as package
// commitreveal keeps them.
type BadShare struct {
	Evidence Bytes `json:"evidence"` // as commitreveal.MarshalEvidence gives it
	kind     string
}

// NewBadShare wraps a piece of evidence of package commitreveal.
func NewBadShare(e commitreveal.Evidence) (*BadShare, error) {
	b, err := commitreveal.MarshalEvidence(e)
	if err != nil {
		return nil, err
	}
	return &BadShare{Evidence: b, kind: shareKind(e)}, nil
}

func shareKind(e commitreveal.Evidence) string {
	if _, conflict := e.(*commitreveal.ConflictingShares); conflict {
		return KindConflictShare
	}
	return KindBadShare
}

// Kind implements [Proof].
func (p *BadShare) Kind() string { return p.kind }

func (p *BadShare) validate() error {
	e, err := commitreveal.ParseEvidence(p.Evidence)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if shareKind(e) != p.kind {
		return fmt.Errorf("%w: %s in a file of kind %s", ErrEvidence, e.Kind(), p.kind)
	}
	return nil
}

func (p *BadShare) check(j *judge) (*Established, error) {
	e, err := commitreveal.ParseEvidence(p.Evidence)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	last := notProved("no certificate is in the file")
	for _, info := range j.committees { // of which at most one has the epoch
		err := e.Verify(info.Committee, info.identity(e.Member()))
		if err != nil {
			last = notProved("%w", err)
			continue
		}
		if chain := e.ChainID(); chain != j.chainID {
			return nil, notProved("the share is of chain %q", chain)
		}
		return &Established{Who: memberOf(info, e.Member()), Height: e.Height(), What: shareFault(e), member: e.Member(), entryKind: e.Kind()}, nil
	}
	return nil, last
}

func shareFault(e commitreveal.Evidence) string {
	switch e := e.(type) {
	case *commitreveal.BadPoint:
		return fmt.Sprintf("sent a point for ciphertext %d of block %d that is not its share of it", e.Position, e.Height())
	case *commitreveal.BadSignature:
		return fmt.Sprintf("sent a share of the signature of block %d that does not verify", e.Height())
	default:
		return fmt.Sprintf("shared two batches of block %d", e.Height())
	}
}

// CeremonyFault is a fault in a key ceremony, as package keygen proves it: a
// message that contradicts an earlier one, or one that is wrong in itself.
type CeremonyFault struct {
	Evidence Bytes `json:"evidence"` // as keygen.Evidence's MarshalBinary
	kind     string
}

// NewCeremonyFault wraps a piece of evidence of package keygen: conflict says
// whether it is two messages that contradict each other.
func NewCeremonyFault(evidence []byte, conflict bool) *CeremonyFault {
	return &CeremonyFault{Evidence: evidence, kind: ceremonyKind(conflict)}
}

func ceremonyKind(conflict bool) string {
	if conflict {
		return KindCeremonyConflict
	}
	return KindBadDeal
}

const maxCeremonyEvidence = 1 << 20

// Kind implements [Proof].
func (p *CeremonyFault) Kind() string { return p.kind }

func (p *CeremonyFault) validate() error {
	if n := len(p.Evidence); n == 0 || n > maxCeremonyEvidence {
		return fmt.Errorf("%w: ceremony evidence of %d bytes", ErrEvidence, n)
	}
	return nil
}

func (p *CeremonyFault) check(j *judge) (*Established, error) {
	if j.checks.Ceremony == nil {
		return nil, fmt.Errorf("%w: of ceremonies", errNoCheck)
	}
	f, err := j.checks.Ceremony(j.terms, p.Evidence)
	if err != nil {
		return nil, notProved("%w", err)
	}
	if f.ChainID != j.chainID {
		return nil, notProved("the ceremony is of chain %q", f.ChainID)
	}
	if ceremonyKind(f.Conflict) != p.kind {
		return nil, notProved("the fault is not a %s: it %s", p.kind, f.What)
	}
	return &Established{
		Who: fmt.Sprintf("%s in the ceremony of epoch %d", f.Who, f.Epoch), What: f.What,
		TermsHashes: []commitreveal.Hash{f.TermsHash},
		member:      f.Member, entryKind: entryCeremony,
	}, nil
}

// entryCeremony is how misbehaviour entries name evidence of a ceremony, whatever the fault.
const entryCeremony = "ceremony"

// LogFork is two statements of a member about one place of its receive log that exclude
// each other, as package fair proves it.
type LogFork struct {
	Evidence Bytes `json:"evidence"` // as fair.Equivocation's or fair.TimedEquivocation's MarshalBinary
	kind     string
}

// NewLogFork wraps a piece of evidence of package fair, of [KindLogFork] or [KindTimesFork].
func NewLogFork(kind string, evidence []byte) *LogFork {
	return &LogFork{Evidence: evidence, kind: kind}
}

// maxFork bounds two statements in bytes.
const maxFork = 4 << 10

// Kind implements [Proof].
func (p *LogFork) Kind() string { return p.kind }

func (p *LogFork) validate() error {
	if n := len(p.Evidence); n == 0 || n > maxFork {
		return fmt.Errorf("%w: statements of %d bytes", ErrEvidence, n)
	}
	return nil
}

func (p *LogFork) check(j *judge) (*Established, error) {
	if j.checks.Fork == nil {
		return nil, fmt.Errorf("%w: of receive logs", errNoCheck)
	}
	last := notProved("no certificate is in the file")
	for _, info := range j.committees {
		kind, member, err := j.checks.Fork(*info, p.Evidence)
		switch {
		case err != nil:
			last = notProved("%w", err)
		case kind != p.kind:
			return nil, notProved("it is a %s", kind)
		default:
			return &Established{
				Who: memberOf(info, member), What: "signed two receive logs that differ at one place", member: member, entryKind: kind,
				Remains: "in which of the committees with the same member of the same number it signed them: statements name no epoch",
			}, nil
		}
	}
	return nil, last
}

// errNoCheck: the caller did not give a check that is needed.
var errNoCheck = errors.New("audit: a check is needed")

// BrokenReceipt is a receipt that its member did not keep, and one of: another
// receipt of it that contradicts, the ciphertext whose header promises another
// height, a statement about its receive log that contradicts, or the log that does not
// order it in time.
type BrokenReceipt struct {
	Receipt    Bytes                 `json:"receipt"`    // as commitreveal.Receipt's MarshalBinary
	Other      Bytes                 `json:"other"`      // a second receipt, or empty
	Ciphertext Bytes                 `json:"ciphertext"` // or empty
	Log        *Range                `json:"log"`        // up to a batch after the promised height, or null
	Batches    [][]commitreveal.Hash `json:"batches"`    // the ids of each batch in the range up to that height
	Statement  Bytes                 `json:"statement"`  // an announcement of the member's receive log, or empty
	Head       *commitreveal.Hash    `json:"head"`       // of that log before it, or null
	Times      *commitreveal.Hash    `json:"times"`      // hash of that log's times before it, or null
}

// Kind implements [Proof].
func (*BrokenReceipt) Kind() string { return KindBrokenReceipt }

func (p *BrokenReceipt) validate() error {
	if _, err := commitreveal.ParseReceipt(p.Receipt); err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	forms := 0
	if len(p.Other) > 0 {
		forms++
		if _, err := commitreveal.ParseReceipt(p.Other); err != nil {
			return fmt.Errorf("%w: %w", ErrEvidence, err)
		}
	}
	if len(p.Ciphertext) > 0 {
		forms++
		if _, err := threshold.ParseCiphertext(p.Ciphertext); err != nil {
			return fmt.Errorf("%w: %w", ErrEvidence, err)
		}
	}
	if p.Log != nil {
		forms++
		if err := p.Log.validate(); err != nil {
			return err
		}
	}
	stated := len(p.Statement) > 0
	if stated {
		forms++
	}
	if forms != 1 || (p.Log == nil) != (p.Batches == nil) || (p.Head != nil) != stated || (p.Times != nil) != stated {
		return fmt.Errorf("%w: a broken receipt needs a second receipt, a ciphertext, a statement or a log, and one of them", ErrEvidence)
	}
	return nil
}

func (p *BrokenReceipt) check(j *judge) (*Established, error) {
	r, err := commitreveal.ParseReceipt(p.Receipt)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	info, err := j.signer(r)
	if err != nil {
		return nil, err
	}
	e := &Established{Who: memberOf(info, r.Member), Height: r.ValidUntil}
	switch {
	case p.Log != nil:
		err = p.notOrdered(j, r, e)
	case len(p.Other) > 0:
		err = p.contradicted(j, r, e)
	case len(p.Statement) > 0:
		err = p.stated(j, info.identity(r.Member), r, e)
	default:
		err = p.otherHeight(r, e)
	}
	return e, err
}

// signer is the committee whose member signed the receipt.
func (j *judge) signer(r *commitreveal.Receipt) (*CommitteeInfo, error) {
	if r.ChainID != j.chainID {
		return nil, notProved("the receipt is of chain %q", r.ChainID)
	}
	signer, err := j.committee(r.Epoch)
	if err != nil {
		return nil, err
	}
	if commitreveal.VerifyReceipt(signer.identity(r.Member), r) != nil {
		return nil, notProved("the receipt is not signed by member %d of the committee of epoch %d", r.Member, r.Epoch)
	}
	return signer, nil
}

func (p *BrokenReceipt) contradicted(j *judge, r *commitreveal.Receipt, e *Established) error {
	other, err := commitreveal.ParseReceipt(p.Other)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	info, err := j.signer(other)
	if err != nil {
		return err
	}
	mine, err := j.signer(r)
	if err != nil {
		return err
	}
	if !bytes.Equal(info.identity(other.Member), mine.identity(r.Member)) {
		return notProved("the receipts are of two members")
	}
	if !r.Contradicts(other) {
		return notProved("one receive log can give both receipts")
	}
	e.What = fmt.Sprintf("signed two receipts that no receive log gives: position %d for %s, position %d for %s",
		r.Position, commitreveal.Hash(r.ID), other.Position, commitreveal.Hash(other.ID))
	return nil
}

// stated: the member's number may be another one in the statement, if that is of another committee. The key is the same.
func (p *BrokenReceipt) stated(j *judge, identity ed25519.PublicKey, r *commitreveal.Receipt, e *Established) error {
	if j.checks.Statement == nil {
		return errors.New("audit: the check of statements about receive logs is needed")
	}
	part, err := j.checks.Statement(j.chainID, identity, p.Statement, *p.Head, *p.Times)
	if err != nil {
		return notProved("%w", err)
	}
	part.Head = *p.Head
	if e.What = part.denies(r); e.What == "" {
		return notProved("the receipt says what the receive log says, or is not of this part of it")
	}
	e.What = strings.TrimPrefix(e.What, "it ")
	return nil
}

func (p *BrokenReceipt) otherHeight(r *commitreveal.Receipt, e *Established) error {
	ct, err := threshold.ParseCiphertext(p.Ciphertext)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if ct.ID() != r.ID {
		return notProved("the receipt is for another ciphertext")
	}
	if ct.Header().ValidUntil == r.ValidUntil && ct.Header().ChainID == r.ChainID {
		return notProved("the receipt promises what the ciphertext's header says")
	}
	e.What = fmt.Sprintf("signed a receipt until block %d on chain %s for a ciphertext that is valid until block %d on chain %s",
		r.ValidUntil, r.ChainID, ct.Header().ValidUntil, ct.Header().ChainID)
	return nil
}

func (p *BrokenReceipt) notOrdered(j *judge, r *commitreveal.Receipt, e *Established) error {
	log, err := p.Log.verify(j)
	if err != nil {
		return err
	}
	if log.checkpoint.Height <= r.ValidUntil {
		return notProved("the log ends at block %d, the receipt is valid until block %d", log.checkpoint.Height, r.ValidUntil)
	}
	var due []commitreveal.CommitEntry
	for _, c := range log.commits() {
		if c.Height <= r.ValidUntil {
			due = append(due, c)
		}
	}
	if len(p.Batches) != len(due) {
		return notProved("the ids of %d batches, the log has %d up to block %d", len(p.Batches), len(due), r.ValidUntil)
	}
	for i := range due {
		ids, err := idsOf(&due[i], p.Batches[i])
		if err != nil {
			return err
		}
		if slices.Contains(ids, r.ID) {
			return notProved("the ciphertext was ordered in block %d", due[i].Height)
		}
	}
	e.What = fmt.Sprintf("accepted %s to be ordered up to block %d: it was not", commitreveal.Hash(r.ID), r.ValidUntil)
	if log.first > 0 {
		from := r.ValidUntil + 1
		if len(due) > 0 {
			from = due[0].Height
		}
		e.Remains = fmt.Sprintf("that it was not ordered before block %d: the file begins at log entry %d", from, log.first)
	}
	return nil
}
