package audit

import (
	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// signed is a checkpoint with a valid signature of the committee in office.
type signed struct {
	checkpoint  commitreveal.Checkpoint
	certificate threshold.Signature
	committee   *CommitteeInfo
}

// maxKept bounds the ids that wait, over all batches, to become evidence.
const maxKept = 64 << 20

// notAscending keeps what proves ids that do not ascend, until the batch is certified.
func (a *auditor) notAscending(b *batch, f *finding, ids []threshold.ID) {
	b.unsorted = f
	if size := len(ids) * len(threshold.ID{}); a.kept+size <= maxKept {
		a.kept += size
		b.proved = ids
	}
}

// gather makes the evidence that a valid certificate completes.
func (a *auditor) gather(b *batch, certificate threshold.Signature) {
	now := &signed{b.checkpoint, certificate, b.committee}
	if b.proved != nil {
		a.proveOrder(b, now)
		a.kept -= len(b.proved) * len(threshold.ID{})
		b.proved = nil
	}
	if b.namespaces != nil {
		a.proveNamespaces(b, now)
		a.kept -= bodiesSize(b.bodies)
		b.namespaces, b.bodies = nil, nil
	}
	if before := a.signed; before != nil && b.height != nil {
		a.proveConflict(b.height, before, now)
	}
	a.signed = now
}

// wrongNamespaces keeps what proves a wrong namespace root, until the batch is
// certified.
func (a *auditor) wrongNamespaces(b *batch, f *finding) {
	var bodies []Bytes
	for _, t := range b.transactions {
		bodies = append(bodies, t.Ciphertext)
	}
	if size := bodiesSize(bodies); size <= maxExcerpt && a.kept+size <= maxKept {
		a.kept += size
		b.namespaces, b.bodies = f, bodies
	}
}

func bodiesSize(bodies []Bytes) (n int) {
	for _, b := range bodies {
		n += len(b)
	}
	return n
}

func (a *auditor) proveOrder(b *batch, s *signed) {
	a.attachCommit(b.unsorted, b, s, func(log Range) Proof { return &WrongOrder{Log: log, IDs: hashesOf(b.proved)} })
}

func (a *auditor) proveNamespaces(b *batch, s *signed) {
	a.attachCommit(b.namespaces, b, s, func(log Range) Proof {
		return &OmittedTransaction{Log: log, Path: []commitreveal.Hash{}, Ciphertexts: b.bodies}
	})
}

// attachCommit attaches evidence that rests on the batch's commit entry.
func (a *auditor) attachCommit(f *finding, b *batch, s *signed, proof func(log Range) Proof) {
	before, err := b.before.MarshalBinary()
	if err != nil {
		return
	}
	certified, err := NewCertified(s.checkpoint, s.certificate)
	if err != nil {
		return
	}
	a.attach(f, &EvidenceFile{
		ChainID: a.header.ChainID, Certificates: certificatesOf(s.committee),
		Proof: proof(Range{Before: before, Entries: []Bytes{b.raw}, Signed: certified}),
	})
}

func (a *auditor) proveConflict(f *finding, x, y *signed) {
	if _, conflict := checkpointConflict(&x.checkpoint, &y.checkpoint); !conflict {
		return
	}
	first, errX := NewCertified(x.checkpoint, x.certificate)
	second, errY := NewCertified(y.checkpoint, y.certificate)
	if errX != nil || errY != nil {
		return
	}
	a.attach(f, &EvidenceFile{
		ChainID: a.header.ChainID, Certificates: certificatesOf(x.committee, y.committee),
		Proof: NewConflictingCommit(first, second),
	})
}

// certificatesOf gives each committee's certificate once.
func certificatesOf(committees ...*CommitteeInfo) (out [][]byte) {
	var last *CommitteeInfo
	for _, c := range committees {
		if last == nil || c.Committee.Epoch != last.Committee.Epoch {
			out = append(out, c.certificate)
		}
		last = c
	}
	return out
}

// attach gives a finding its evidence, if it holds before a judge who has nothing
// else. Without the check of certificates nobody can judge it.
func (a *auditor) attach(f *finding, e *EvidenceFile) {
	if a.checks.Committee == nil {
		return
	}
	if _, err := e.Verify(a.checks); err == nil {
		f.Proof = e
	}
}
