package audit

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// What became of a receipt.
const (
	ReceiptKept    = "kept"    // ordered in time, as the committee certified
	ReceiptBroken  = "broken"  // not ordered in time, or the member contradicts itself
	ReceiptPending = "pending" // the certified log does not reach far enough to say
	ReceiptInvalid = "invalid" // not signed by that member of this committee
)

// ReceiptResult is the answer about one of the user's receipts.
type ReceiptResult struct {
	ID       commitreveal.Hash `json:"id"`
	Member   uint32            `json:"member"`
	Epoch    uint64            `json:"epoch"` // of the committee that the member is one of
	Status   string            `json:"status"`
	Height   uint64            `json:"height"`   // at which it was ordered; 0 if it was not
	Position uint32            `json:"position"` // in the batch of that height, from 0
	Place    *uint32           `json:"place"`    // in the order of execution of that batch, from 0; null if not known
}

// receipts are those of the user, with where their ciphertexts were ordered.
type receipts struct {
	all    []commitreveal.Receipt
	where  map[threshold.ID]*place // of all ids that a receipt names
	of     map[string][]int        // by identity of the member, as indexes of all
	denied map[int]denial          // by index in all: where the member signed another log
}

// place is where a ciphertext was first ordered. entry is that of the commit.
type place struct {
	found      bool
	entry      uint64
	height     uint64
	position   uint32
	place      *uint32
	validUntil uint64
	ciphertext []byte // if the receipt promises another height
}

// denial is a part of a member's receive log that one of its receipts contradicts.
type denial struct {
	height uint64
	part   LogPart
}

func newReceipts(all []commitreveal.Receipt) *receipts {
	r := &receipts{of: make(map[string][]int), denied: make(map[int]denial), all: all, where: make(map[threshold.ID]*place, len(all))}
	for i := range all {
		r.where[all[i].ID] = new(place)
	}
	return r
}

// ordered notes which ciphertexts of a batch the user holds receipts for.
func (r *receipts) ordered(b *batch, cts []*threshold.Ciphertext) {
	if len(r.where) == 0 {
		return
	}
	for i, ct := range cts {
		if p := r.where[ct.ID()]; p != nil && !p.found {
			*p = place{found: true, entry: b.index, height: b.entry.Height, position: uint32(i), validUntil: ct.Header().ValidUntil}
			if r.promiseOther(ct) {
				p.ciphertext = ct.Bytes()
			}
		}
	}
}

// committee tells whose the receipts of an epoch are.
func (r *receipts) committee(info CommitteeInfo) {
	for i := range r.all {
		if m := r.all[i].Member; r.all[i].Epoch == info.Committee.Epoch && m >= 1 && int64(m) <= int64(len(info.Identities)) {
			identity := string(info.Identities[m-1])
			r.of[identity] = append(r.of[identity], i)
		}
	}
}

// said compares receipts with a part of their member's receive log, which is one over all epochs.
func (r *receipts) said(identities []ed25519.PublicKey, height uint64, p LogPart) {
	if p.Member < 1 || int64(p.Member) > int64(len(identities)) {
		return
	}
	for _, i := range r.of[string(identities[p.Member-1])] {
		if p.denies(&r.all[i]) != "" {
			r.denied[i] = denial{height, p}
		}
	}
}

// denies tells how the part contradicts a receipt of the same member, "" if it does not. A member has one time for an id, in its log
// and in its receipt, so any other one is a lie in one of them.
func (p *LogPart) denies(r *commitreveal.Receipt) string {
	if r.Position <= p.After || r.Position-p.After > uint64(len(p.IDs)) {
		return ""
	}
	head, n := p.Head, r.Position-p.After
	for _, id := range p.IDs[:n] {
		head = commitreveal.NextHead(head, id)
	}
	switch {
	case head != r.Head || p.IDs[n-1] != r.ID:
		return "it signed a receive log that does not have what its receipt says at this position"
	case p.Times != nil && int64(p.Times[n-1]) != r.Time:
		return fmt.Sprintf("it signed a receive log with the time %d for this position, and a receipt with %d", p.Times[n-1], r.Time)
	}
	return ""
}

// executed notes where they stand in the order of execution.
func (r *receipts) executed(ids []threshold.ID) {
	for i, id := range ids {
		if p := r.where[id]; p != nil {
			at := uint32(i)
			p.place = &at
		}
	}
}

// promiseOther reports whether a receipt for the ciphertext promises another height than its header.
func (r *receipts) promiseOther(ct *threshold.Ciphertext) bool {
	return slices.ContainsFunc(r.all, func(r commitreveal.Receipt) bool {
		return r.ID == ct.ID() && r.ValidUntil != ct.Header().ValidUntil
	})
}

// checkReceipts holds the members to their receipts, when the log has been read.
func (a *auditor) checkReceipts() {
	var valid []*commitreveal.Receipt
	for i := range a.receipts.all {
		r := &a.receipts.all[i]
		result := ReceiptResult{ID: commitreveal.Hash(r.ID), Epoch: r.Epoch, Member: r.Member}
		if who := a.signer(r); who == nil {
			result.Status = ReceiptInvalid
			a.missing("receipt for %s: it is not signed by member %d of the committee of epoch %d on chain %q", result.ID, r.Member, r.Epoch, a.report.ChainID)
		} else {
			valid = append(valid, r)
			a.checkReceipt(r, a.receipts.where[r.ID], who, &result)
			if d, denied := a.receipts.denied[i]; denied {
				result.Status = ReceiptBroken
				f := &finding{entry: -1, Finding: Finding{Code: CodeLog, Height: d.height, Who: who.member(r.Member), What: d.part.denies(r) + " (" + result.ID.String() + ")"}}
				a.add(f)
				if p := &d.part; p.Statement != nil {
					a.proveReceipt(f, r, &BrokenReceipt{Statement: p.Statement, Head: &p.Head, Times: &p.TimesHead}, who)
				}
			}
		}
		a.report.Receipts = append(a.report.Receipts, result)
	}
	a.checkContradictions(valid)
}

// signer is the committee, of the receipt's epoch, whose member signed it; nil if none.
func (a *auditor) signer(r *commitreveal.Receipt) *CommitteeInfo {
	t := a.committees[r.Epoch]
	if t == nil || a.header == nil || r.ChainID != a.header.ChainID || r.Member == 0 || int64(r.Member) > int64(len(t.Identities)) {
		return nil
	}
	if commitreveal.VerifyReceipt(t.Identities[r.Member-1], r) != nil {
		return nil
	}
	return &t.CommitteeInfo
}

// identity is the key that signed a receipt that has a signer. A receive log is an
// identity's, in whichever committees it is a member.
func (a *auditor) identity(r *commitreveal.Receipt) string {
	return string(a.committees[r.Epoch].Identities[r.Member-1])
}

func (a *auditor) checkReceipt(r *commitreveal.Receipt, p *place, signer *CommitteeInfo, result *ReceiptResult) {
	blame := func(code, what string, height uint64) *finding {
		result.Status = ReceiptBroken
		f := &finding{entry: -1, Finding: Finding{Code: code, Height: height, Who: signer.member(r.Member), What: what + " (" + result.ID.String() + ")"}}
		a.add(f)
		return f
	}
	if p.found {
		result.Height, result.Position, result.Place = p.height, p.position, p.place
		switch {
		case p.entry >= a.certified:
			result.Status = ReceiptPending
			a.missing("receipt for %s: its batch of height %d is not certified yet", result.ID, p.height)
		case p.validUntil != r.ValidUntil:
			f := blame(CodeReceipt, "the receipt promises another height than the ciphertext's header", p.height)
			a.proveReceipt(f, r, &BrokenReceipt{Ciphertext: p.ciphertext}, signer)
		case p.height > r.ValidUntil:
			blame(CodeReceipt, "ordered after the height that the receipt promises", p.height).Late = r
		default:
			result.Status = ReceiptKept
		}
		return
	}
	switch {
	case a.certHeight <= r.ValidUntil:
		result.Status = ReceiptPending
		a.missing("receipt for %s: valid until height %d, the certified log reaches height %d", result.ID, r.ValidUntil, a.certHeight)
	case a.bodiesMissing:
		result.Status = ReceiptPending
		a.missing("receipt for %s: it may be in a batch that is not whole in the bundle", result.ID)
	default:
		blame(CodeReceipt, "accepted, but not ordered up to the height that the receipt promises", r.ValidUntil).Late = r
	}
}

// checkContradictions looks for receipts of one identity that no receive log gives.
func (a *auditor) checkContradictions(valid []*commitreveal.Receipt) {
	slices.SortStableFunc(valid, func(x, y *commitreveal.Receipt) int {
		return cmp.Or(cmp.Compare(a.identity(x), a.identity(y)), cmp.Compare(x.Position, y.Position))
	})
	type held struct {
		identity string
		id       threshold.ID
	}
	first := make(map[held]*commitreveal.Receipt)
	for i, r := range valid {
		var other *commitreveal.Receipt
		if i > 0 && a.identity(valid[i-1]) == a.identity(r) && valid[i-1].Contradicts(r) {
			other = valid[i-1]
		} else if o := first[held{a.identity(r), r.ID}]; o != nil && o.Contradicts(r) {
			other = o
		}
		first[held{a.identity(r), r.ID}] = r
		if other == nil {
			continue
		}
		who := a.signer(r)
		f := &finding{entry: -1, Finding: Finding{
			Code: CodeContradiction, Height: r.ValidUntil, Who: who.member(r.Member),
			What: "two receipts that no receive log gives, for " + commitreveal.Hash(other.ID).String() + " and " + commitreveal.Hash(r.ID).String(),
		}}
		a.add(f)
		if second, err := other.MarshalBinary(); err == nil {
			a.proveReceipt(f, r, &BrokenReceipt{Other: second}, who, a.signer(other))
		}
	}
}

// proveReceipt attaches the evidence that a receipt was not kept.
func (a *auditor) proveReceipt(f *finding, r *commitreveal.Receipt, proof *BrokenReceipt, signers ...*CommitteeInfo) {
	receipt, err := r.MarshalBinary()
	if err != nil {
		return
	}
	proof.Receipt = receipt
	slices.SortFunc(signers, func(x, y *CommitteeInfo) int { return cmp.Compare(x.Committee.Epoch, y.Committee.Epoch) })
	a.attach(f, &EvidenceFile{ChainID: r.ChainID, Certificates: certificatesOf(signers...), Proof: proof})
}
