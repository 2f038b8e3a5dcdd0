package commitreveal

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/threshold"
)

// proves checks that evidence holds against member 2 alone, also after a round
// trip, and not once any byte of it is altered by change.
func proves(t *testing.T, e Evidence, kind string) Evidence {
	t.Helper()
	c, _ := committeeOf4()
	b, err := MarshalEvidence(e)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseEvidence(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, again); diff != "" {
		t.Errorf("-made +parsed:\n%s", diff)
	}
	if err := again.Verify(c, publicIdentity(2)); err != nil {
		t.Errorf("it does not hold: %v", err)
	}
	if again.Kind() != kind || again.Member() != 2 || again.Height() != 7 {
		t.Errorf("got %s against member %d at height %d", again.Kind(), again.Member(), again.Height())
	}
	refuted(t, "under another identity", again.Verify(c, publicIdentity(3)))
	other := *c
	other.Epoch++
	refuted(t, "for another epoch", again.Verify(&other, publicIdentity(2)))
	return again
}

func refuted(t *testing.T, name string, err error) {
	t.Helper()
	if !errors.Is(err, ErrNoEvidence) {
		t.Errorf("%s: %v", name, err)
	}
}

func resign(t *testing.T, m *ShareMessage) {
	t.Helper()
	if err := m.Sign(identity(2)); err != nil {
		t.Fatal(err)
	}
}

func TestBadPoint(t *testing.T) {
	c, _ := committeeOf4()
	cts, ids := sealed(t, 5)
	for _, point := range []string{"swapped", "no point"} {
		m, _ := shared(t, 2, cts, ids)
		m.Share.Points[3] = m.Share.Points[2]
		if point == "no point" {
			m.Share.Points[3] = [48]byte{1, 2, 3}
		}
		resign(t, &m)
		e, err := NewBadPoint(m, cts, 3)
		if err != nil {
			t.Fatal(err)
		}
		proves(t, e, "bad_point")
		good, err := NewBadPoint(m, cts, 1)
		if err != nil {
			t.Fatal(err)
		}
		refuted(t, "a good point of the same share", good.Verify(c, publicIdentity(2)))
		moved := *e
		moved.Position = 2
		refuted(t, "another position", moved.Verify(c, publicIdentity(2)))
		swapped := *e
		swapped.Ciphertext = cts[1].Ciphertext().Bytes()
		refuted(t, "another ciphertext", swapped.Verify(c, publicIdentity(2)))
		proof := *e
		proof.Proof = append([]Hash{{}}, e.Proof[1:]...)
		refuted(t, "another proof", proof.Verify(c, publicIdentity(2)))
	}
	honest, _ := shared(t, 2, cts, ids)
	for i := range cts {
		e, err := NewBadPoint(honest, cts, i)
		if err != nil {
			t.Fatal(err)
		}
		refuted(t, "an honest share", e.Verify(c, publicIdentity(2)))
	}
	fewer := honest
	fewer.Share.Points = honest.Share.Points[:4]
	resign(t, &fewer)
	e, err := NewBadPoint(fewer, cts, 0)
	if err != nil {
		t.Fatal(err)
	}
	proves(t, e, "bad_point")
	for _, position := range []int{-1, 5} {
		if _, err := NewBadPoint(honest, cts, position); !errors.Is(err, ErrInvalid) {
			t.Errorf("position %d: %v", position, err)
		}
	}
}

func TestBadSignature(t *testing.T) {
	c, secrets := committeeOf4()
	cts, ids := sealed(t, 2)
	m, cp := shared(t, 2, cts, ids)
	cert := certificate(t, cp)
	honest := BadSignature{m, cp, cert}
	refuted(t, "an honest share", honest.Verify(c, publicIdentity(2)))

	otherLog := cp
	otherLog.LogRoot[0]++
	refuted(t, "a checkpoint that nobody signed", (&BadSignature{m, otherLog, cert}).Verify(c, publicIdentity(2)))

	bad := m
	var err error
	if bad.Signature, err = secrets[1].Sign([]byte("something else")); err != nil {
		t.Fatal(err)
	}
	resign(t, &bad)
	proves(t, &BadSignature{bad, cp, cert}, "bad_signature")

	otherBatch := cp
	otherBatch.Height = 8
	refuted(t, "a checkpoint of another batch", (&BadSignature{bad, otherBatch, certificate(t, otherBatch)}).Verify(c, publicIdentity(2)))
}

func TestConflictingShares(t *testing.T) {
	c, _ := committeeOf4()
	cts, ids := sealed(t, 2)
	a, _ := shared(t, 2, cts, ids)
	b, _ := shared(t, 2, []*threshold.Checked{cts[1], cts[0]}, []threshold.ID{ids[1], ids[0]})
	proves(t, NewConflictingShares(a, b), "conflicting_shares")
	if diff := cmp.Diff(NewConflictingShares(a, b), NewConflictingShares(b, a)); diff != "" {
		t.Errorf("the order matters:\n%s", diff)
	}
	refuted(t, "one share twice", NewConflictingShares(a, a).Verify(c, publicIdentity(2)))
	later := b
	later.Height = 8
	resign(t, &later)
	refuted(t, "two heights", NewConflictingShares(a, later).Verify(c, publicIdentity(2)))
	other, _ := shared(t, 3, []*threshold.Checked{cts[1], cts[0]}, []threshold.ID{ids[1], ids[0]})
	refuted(t, "two members", NewConflictingShares(a, other).Verify(c, publicIdentity(2)))
	forged := b
	forged.Sig[0]++
	refuted(t, "a forged signature", NewConflictingShares(a, forged).Verify(c, publicIdentity(2)))
}
