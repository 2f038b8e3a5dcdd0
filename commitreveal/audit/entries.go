package audit

import (
	"crypto/sha256"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// checkNamespaces recomputes the root over the namespaces of the batch.
func (a *auditor) checkNamespaces(b *batch, cts []*threshold.Ciphertext, ids []threshold.ID) {
	names := make([]string, len(cts))
	for i, ct := range cts {
		names[i] = ct.Header().Namespace
	}
	if root, err := commitreveal.NamespaceRoot(ids, names); err == nil && root != b.entry.Namespaces {
		a.wrongNamespaces(b, a.found(b.index, CodeNamespaces, b.entry.Height, "the root over the namespaces is not that of the batch's ciphertexts"))
	}
}

// voids compares the void entries that follow a reveal with the batch's outcomes. A
// log may do without (the outcomes root says what is void); one that has some of a
// batch has all of them, in order.
type voids struct {
	index  uint64 // of the reveal entry
	height uint64
	known  bool     // the batch's outcomes are
	want   [32]byte // see nextVoid
	got    [32]byte
	some   bool // there was an entry
}

// nextVoid folds a void entry into a hash over those of a batch. The hash never
// leaves memory.
func nextVoid(h [32]byte, e commitreveal.VoidEntry) [32]byte {
	b, err := commitreveal.MarshalEntry(e)
	if err != nil {
		return h // none that a log could hold
	}
	return sha256.Sum256(append(h[:], b...))
}

func newVoids(index uint64, b *batch) *voids {
	return &voids{index: index, height: b.entry.Height, known: b.asCommitted && b.opened && !b.untrue, want: b.voidsRoot}
}

func (a *auditor) void(index uint64, e commitreveal.VoidEntry) {
	v := a.voids
	if v == nil || v.height != e.Height {
		a.found(index, CodeVoid, e.Height, "a void entry does not follow the reveal of its batch")
		return
	}
	v.got, v.some = nextVoid(v.got, e), true
}

// closeVoids judges the void entries of the batch that was revealed last.
func (a *auditor) closeVoids() {
	v := a.voids
	a.voids = nil
	if v != nil && v.known && v.some && v.got != v.want {
		a.found(v.index, CodeVoid, v.height, "the void entries after the reveal are not those of the batch")
	}
}

// expired checks an entry about a ciphertext that was received and not ordered.
// That it was received at all, the log does not show.
func (a *auditor) expired(index uint64, e commitreveal.ExpiredEntry) {
	a.report.Expired++
	if at, ordered := a.seen.at[e.ID]; ordered {
		a.found(index, CodeExpiry, e.Height, "%s is said to have expired, but was ordered at height %d", commitreveal.Hash(e.ID), at.height)
	}
	a.at(index, e.Height)
}

func (a *auditor) misbehaviour(index uint64, e commitreveal.MisbehaviourEntry) {
	if len(a.report.Misbehaviour) < maxFindings {
		a.report.Misbehaviour = append(a.report.Misbehaviour, Misbehaviour{e.Height, e.Epoch, e.Member, e.Kind, e.Evidence})
	}
	a.at(index, e.Height)
}

// at checks that the height of an entry is not below those before.
func (a *auditor) at(index, height uint64) {
	if height < a.height {
		a.found(index, CodeHeight, height, "the entry follows one of height %d", a.height)
	}
	a.height = max(a.height, height)
}
