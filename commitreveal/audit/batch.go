package audit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// batch is a committed batch. Its transactions are let go when they have been
// checked; what stays until the reveal is of a fixed size.
type batch struct {
	index        uint64 // of its commit entry
	entry        commitreveal.CommitEntry
	committee    *CommitteeInfo
	checkpoint   commitreveal.Checkpoint
	transactions []*commitreveal.BundleTransaction
	bytes        int              // that they hold
	before       commitreveal.Log // without its commit entry
	raw          []byte           // the commit entry
	height       *finding         // what is wrong with its height, and with its order; to be proved when it is certified
	unsorted     *finding         // that its ids do not ascend
	proved       []threshold.ID   // the ids, if that is to be proved
	namespaces   *finding         // what is wrong with the namespaces' root
	bodies       []Bytes          // the ciphertexts, if that is wrong

	order       func(beacon [32]byte) []threshold.ID // nil if it cannot be replayed
	asCommitted bool                                 // the transactions are those of the commit entry's root
	opened      bool                                 // all of them with openings
	outcomes    commitreveal.Hash
	voids       uint32
	voidsRoot   [32]byte  // over the void entries that its reveal brings
	untrue      bool      // some opening, plaintext or void is not true
	wrong       []Finding // which; they wait for the reveal
}

// closeBatch checks the batch whose transactions have all been read.
func (a *auditor) closeBatch() {
	b := a.open
	if b == nil {
		return
	}
	a.open = nil
	if cts, ids, ok := a.parse(b); ok {
		b.asCommitted = true
		a.checkHeaders(b, cts, ids)
		a.checkAscending(b, ids)
		a.checkNamespaces(b, cts, ids)
		a.checkOrder(b, cts)
		checked := a.checkProofs(b, cts)
		a.openBatch(b, ids, checked)
		a.receipts.ordered(b, cts)
	} else {
		a.bodiesMissing = true
		if a.rule != nil {
			a.rule = nil
			a.missing("the order of batches from height %d on could not be replayed", b.entry.Height)
		}
	}
	b.transactions = nil
	if b.proved == nil && b.namespaces == nil {
		b.before, b.raw = commitreveal.Log{}, nil
	}
	a.pending = append(a.pending, b)
}

// parse gives the batch's ciphertexts and ids, if they are the committed ones.
func (a *auditor) parse(b *batch) (cts []*threshold.Ciphertext, ids []threshold.ID, ok bool) {
	h := b.entry.Height
	for i, t := range b.transactions {
		ct, err := threshold.ParseCiphertext(t.Ciphertext)
		if err != nil {
			a.missing("batch of height %d: ciphertext %d cannot be read: %v", h, i, err)
			return nil, nil, false
		}
		cts = append(cts, ct)
		ids = append(ids, ct.ID())
	}
	a.report.Ciphertexts += uint64(len(cts))
	root := commitreveal.BatchRoot(ids)
	if len(ids) != int(b.entry.Count) {
		if root != b.entry.Root {
			a.missing("batch of height %d: %d of its %d ciphertexts are in the bundle", h, len(ids), b.entry.Count)
			return nil, nil, false
		}
		a.found(b.index, CodeBatchRoot, h, "the commitment counts %d ciphertexts, its root is over %d", b.entry.Count, len(ids))
	} else if root != b.entry.Root {
		a.altered(CodeBatchRoot, h, "the ciphertexts are not those of the committed batch root")
		return nil, nil, false
	}
	return cts, ids, true
}

// checkHeaders: no ciphertext may be ordered that is for another chain or key,
// after its time, or for the second time.
func (a *auditor) checkHeaders(b *batch, cts []*threshold.Ciphertext, ids []threshold.ID) {
	height, key := b.entry.Height, b.committee.Committee.Key.ID()
	for i, ct := range cts {
		switch h := ct.Header(); {
		case h.ChainID != a.header.ChainID:
			a.found(b.index, CodeChain, height, "ciphertext %d is for chain %q", i, h.ChainID)
		case h.KeyID != key:
			a.found(b.index, CodeKey, height, "ciphertext %d is sealed to another key", i)
		case h.ValidUntil < height:
			a.found(b.index, CodeExpired, height, "ciphertext %d was to be ordered up to height %d", i, h.ValidUntil)
		}
		if before, again := a.seen.add(ids[i], ct.Header().ValidUntil, height); again {
			a.found(b.index, CodeDuplicate, height, "ciphertext %d was ordered at height %d already", i, before)
		}
	}
	a.seen.forget(height)
}

// checkAscending: a batch is a set, which is committed ascending by id. This can be shown without the receive logs.
func (a *auditor) checkAscending(b *batch, ids []threshold.ID) {
	if !ascending(ids) {
		a.notAscending(b, a.found(b.index, CodeOrder, b.entry.Height, "the ciphertexts are not ascending by id"), ids)
	}
}

func compareIDs(a, b threshold.ID) int { return bytes.Compare(a[:], b[:]) }

func ascending(ids []threshold.ID) bool {
	for i := 1; i < len(ids); i++ {
		if compareIDs(ids[i-1], ids[i]) >= 0 {
			return false
		}
	}
	return true
}

// checkOrder replays what the receive logs decided: whether it is these ciphertexts, and in which order they are executed
// when the beacon is known.
func (a *auditor) checkOrder(b *batch, cts []*threshold.Ciphertext) {
	if a.rule == nil {
		return
	}
	if b.unsorted != nil { // which has been found
		a.rule = nil
		a.missing("the order of batches from height %d on could not be replayed", b.entry.Height)
		return
	}
	if a.rounds != b.entry.Rounds { // whoever made the bundle changed or left out what blocks said; the log is another matter
		a.unruly(-1, b.entry.Height, errors.New("what blocks said for the order is not in the bundle as the log commits to it"))
		return
	}
	order, err := a.rule.Batch(b.entry.Height, b.entry.Rounds, cts)
	if err != nil {
		a.unruly(int64(b.index), b.entry.Height, err)
		return
	}
	b.order = order
	a.settleExpired(b.entry.Height)
}

// compareOrder checks the order of execution that the reveal entry commits to.
func (a *auditor) compareOrder(index uint64, b *batch, e commitreveal.RevealEntry) {
	if b.order == nil {
		return
	}
	ids := b.order(commitreveal.Beacon(e.Certificate))
	if commitreveal.BatchRoot(ids) != e.Order {
		a.found(index, CodeOrder, b.entry.Height, "the log commits to another order of execution than the receive logs and the beacon give")
	}
	a.receipts.executed(ids)
}

// checkProofs checks every ciphertext's proof. checked[i] is nil if it fails.
func (a *auditor) checkProofs(b *batch, cts []*threshold.Ciphertext) []*threshold.Checked {
	checked, errs := threshold.CheckBatch(cts)
	for i, err := range errs {
		if err == nil {
			continue
		}
		what := "ordered"
		if b.transactions[i].Opening != nil {
			what = "ordered and opened"
		}
		a.found(b.index, CodeProof, b.entry.Height, "ciphertext %d was %s, but does not hold its proof: %v", i, what, err)
	}
	return checked
}

// openBatch checks every opening, and what it opens to. What is wrong waits for
// the reveal entry, which tells whether the log says the same.
func (a *auditor) openBatch(b *batch, ids []threshold.ID, checked []*threshold.Checked) {
	closed := 0
	outcomes := make([]commitreveal.Outcome, len(ids))
	for i, t := range b.transactions {
		if t.Opening == nil {
			closed++
			continue
		}
		outcomes[i] = commitreveal.Outcome{ID: ids[i], Opening: *t.Opening, Void: t.Void, Plaintext: t.Plaintext}
		if t.Void {
			b.voids++
			b.voidsRoot = nextVoid(b.voidsRoot, commitreveal.VoidEntry{Height: b.entry.Height, Position: uint32(i), ID: ids[i], Opening: *t.Opening})
		}
	}
	if closed == len(ids) {
		return
	}
	if closed > 0 {
		a.missing("batch of height %d: %d of its %d openings", b.entry.Height, closed, len(ids))
		return
	}
	b.opened = true
	b.outcomes = commitreveal.OutcomesRoot(outcomes)
	for _, o := range a.verifyOpenings(b, checked, outcomes) {
		a.checkOutcome(b, o.position, o.VerifiedOpening, outcomes[o.position])
	}
}

// positioned is a verified opening and where in the batch it is.
type positioned struct {
	threshold.VerifiedOpening
	position int
}

// maxBadOpenings is how many bad openings of a batch are looked for.
const maxBadOpenings = 8

// verifyOpenings verifies the openings of the ciphertexts that can be opened, and
// leaves out those that do not verify.
func (a *auditor) verifyOpenings(b *batch, checked []*threshold.Checked, outcomes []commitreveal.Outcome) []positioned {
	key := b.committee.Committee.Key
	var positions []int
	for i, c := range checked {
		if c != nil && c.Header().KeyID == key.ID() {
			positions = append(positions, i)
		}
	}
	for range maxBadOpenings {
		batch := make([]*threshold.Checked, len(positions))
		openings := make([]threshold.Opening, len(positions))
		for k, i := range positions {
			batch[k], openings[k] = checked[i], outcomes[i].Opening
		}
		verified, err := threshold.VerifyOpenings(key, batch, openings)
		if err == nil {
			out := make([]positioned, len(verified))
			for k, v := range verified {
				out[k] = positioned{v, positions[k]}
			}
			return out
		}
		var bad *threshold.OpeningError
		if !errors.As(err, &bad) {
			a.missing("batch of height %d: %v", b.entry.Height, err)
			return nil
		}
		a.wrong(b, CodeOpening, "the opening of ciphertext %d does not verify", positions[bad.Index])
		positions = slices.Delete(positions, bad.Index, bad.Index+1)
	}
	return nil
}

// checkOutcome compares what is claimed with what a verified opening gives.
func (a *auditor) checkOutcome(b *batch, i int, v threshold.VerifiedOpening, claimed commitreveal.Outcome) {
	plaintext, err := threshold.Open(v)
	switch void := errors.Is(err, threshold.ErrVoid); {
	case err != nil && !void:
		a.missing("batch of height %d: ciphertext %d cannot be opened: %v", b.entry.Height, i, err)
	case void && !claimed.Void:
		a.wrong(b, CodeVoid, "ciphertext %d is void, a plaintext is claimed", i)
	case void:
		a.report.Voids++
	case claimed.Void:
		a.wrong(b, CodeVoid, "ciphertext %d is claimed to be void, but decrypts", i)
	case !bytes.Equal(plaintext, claimed.Plaintext):
		a.wrong(b, CodePlaintext, "the plaintext of ciphertext %d is not what its opening gives", i)
	default:
		a.report.Plaintexts++
	}
}

// compareOutcomes compares the bundle's outcomes with those that the log commits
// to. If they are the same, then what is wrong with them is the log's fault.
func (a *auditor) compareOutcomes(index uint64, b *batch, e commitreveal.RevealEntry) {
	switch {
	case !b.asCommitted:
		return
	case !b.opened:
		a.missing("batch of height %d: its openings, though the log reveals it", b.entry.Height)
		return
	}
	same := b.outcomes == e.Openings
	if !same && !b.untrue {
		a.found(index, CodeOutcomes, b.entry.Height, "the log commits to other outcomes than the openings give")
	}
	if same && b.voids != e.Voids {
		a.found(index, CodeOutcomes, b.entry.Height, "the log counts %d void ciphertexts, there are %d", e.Voids, b.voids)
	}
	entry := int64(-1)
	if same {
		entry = int64(index)
	}
	a.blame(b, entry)
}

// blame records what is wrong with a batch's outcomes.
func (a *auditor) blame(b *batch, entry int64) {
	for _, f := range b.wrong {
		a.add(&finding{entry: entry, Finding: f})
	}
	a.waiting -= len(b.wrong)
	b.wrong = nil
}

// seenIDs remembers which ids were ordered, each until it would be refused as
// expired anyway.
type seenIDs struct {
	at   map[threshold.ID]seenAt
	next int // forget when there are so many
}

type seenAt struct{ height, validUntil uint64 }

const minForget = 4096

func newSeenIDs() seenIDs {
	return seenIDs{at: make(map[threshold.ID]seenAt), next: minForget}
}

// add gives the height at which the id was ordered before, if it was.
func (s *seenIDs) add(id threshold.ID, validUntil, height uint64) (before uint64, again bool) {
	if old, ok := s.at[id]; ok {
		return old.height, true
	}
	s.at[id] = seenAt{height, validUntil}
	return 0, false
}

// forget drops what cannot be ordered after height; amortized, it costs a
// constant per id.
func (s *seenIDs) forget(height uint64) {
	if len(s.at) < s.next {
		return
	}
	for id, at := range s.at {
		if at.validUntil <= height {
			delete(s.at, id)
		}
	}
	s.next = max(minForget, 2*len(s.at))
}

// wrong notes an outcome that is not true, until the reveal.
func (a *auditor) wrong(b *batch, code, format string, args ...any) {
	b.untrue = true
	if a.waiting >= maxFindings {
		a.report.MoreFindings++
		return
	}
	a.waiting++
	b.wrong = append(b.wrong, Finding{Code: code, Height: b.entry.Height, What: fmt.Sprintf(format, args...)})
}
