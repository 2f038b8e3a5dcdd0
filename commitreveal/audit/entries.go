package audit

import (
	"crypto/sha256"
	"slices"

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

// voids compares the void entries that follow a reveal with the batch's outcomes: there
// is one for each void, in order, and none besides.
type voids struct {
	index  uint64 // of the reveal entry
	height uint64
	known  bool     // the batch's outcomes are
	want   [32]byte // see nextVoid
	got    [32]byte
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
	v.got = nextVoid(v.got, e)
}

// closeVoids judges the void entries of the batch that was revealed last.
func (a *auditor) closeVoids() {
	v := a.voids
	a.voids = nil
	if v != nil && v.known && v.got != v.want {
		a.found(v.index, CodeVoid, v.height, "the void entries after the reveal are not those of the batch")
	}
}

// expiredAt is an expired entry and where in the log it stands.
type expiredAt struct {
	commitreveal.ExpiredEntry
	index uint64
}

// maxExpired bounds the expired entries that wait for the replay of their block.
const maxExpired = 1 << 16

// expired keeps an entry about a ciphertext that was set aside until the replay knows
// what its block had to set aside.
func (a *auditor) expired(index uint64, e commitreveal.ExpiredEntry) {
	a.report.Expired++
	a.at(index, e.Height)
	if a.rule == nil {
		return
	}
	if len(a.expiries) >= maxExpired {
		a.stop("more than %d expired entries wait for a batch", maxExpired)
		return
	}
	a.expiries = append(a.expiries, expiredAt{e, index})
}

// settleExpired compares the expired entries of blocks up to a height with what the
// receive logs decide: all of that, by height and id, and nothing besides. It waits for
// a commit entry, which shows that the rounds in the bundle are those of the log.
func (a *auditor) settleExpired(height uint64) {
	if a.rule == nil {
		return
	}
	due, err := a.rule.Expired(height)
	if err != nil {
		a.unruly(-1, height, err)
		return
	}
	a.compareExpired(height, due)
}

func (a *auditor) compareExpired(height uint64, due []commitreveal.ExpiredEntry) {
	n := 0
	for n < len(a.expiries) && a.expiries[n].Height <= height {
		n++
	}
	said := a.expiries[:n]
	a.expiries = a.expiries[n:]
	for len(due) > 0 || len(said) > 0 {
		switch {
		case len(said) > 0 && len(due) > 0 && said[0].ExpiredEntry == due[0]:
			said, due = said[1:], due[1:]
		case len(said) > 0 && !slices.Contains(due, said[0].ExpiredEntry):
			a.found(said[0].index, CodeExpiry, said[0].Height, "%s is said to be set aside (%s), which the receive logs do not decide, or not here", commitreveal.Hash(said[0].ID), said[0].Reason)
			said = said[1:]
		default:
			a.found(a.log.Size()-1, CodeMissingExpiry, due[0].Height, "%s was set aside (%s), and no entry in its place says so", commitreveal.Hash(due[0].ID), due[0].Reason)
			due = due[1:]
		}
	}
}

// settleLast settles what the log says after its last batch, which nobody has signed
// yet. A batch of the very last height may still be to come, if what is audited ends
// before it: then its block cannot be replayed, and what it set aside is for the next
// audit.
func (a *auditor) settleLast() {
	n := len(a.expiries)
	if a.rule == nil || n == 0 {
		return
	}
	last := a.expiries[n-1].Height
	a.settleExpired(last - 1)
	if a.rule == nil {
		return
	}
	if due, err := a.rule.Expired(last); err == nil {
		a.compareExpired(last, due)
	}
}

// at checks that the height of an entry is not below those before.
func (a *auditor) at(index, height uint64) {
	if height < a.height {
		a.found(index, CodeHeight, height, "the entry follows one of height %d", a.height)
	}
	a.height = max(a.height, height)
}
