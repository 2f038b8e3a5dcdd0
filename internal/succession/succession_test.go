package succession

import (
	"errors"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/wallet/wallettest"
	"github.com/scrimlabs/scrim/keygen"
)

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestLine(t *testing.T) {
	a := wallettest.NewCommittee(t, "succession-test")
	b := a.Succeed(t, nil, a.People[1:]...)
	c := b.Succeed(t, func(t *keygen.Terms) { t.Change, t.Overlap = keygen.ChangeRotate, 9 }, b.People...)
	fork := a.Succeed(t, nil, a.People[:3]...)
	line := must(Verify(a.Certificate, b.Certificate, c.Certificate))(t)

	node := c.Member(1)
	api := must(client.New(node.Serve(t), client.Options{Retries: -1}))(t)
	fetched := must(Fetch(t.Context(), api))(t)
	if len(fetched) != 3 || fetched.Office().Terms.Hash() != c.Certificate.Terms.Hash() || fetched[1].Since != b.Since() || *fetched[0].Until != b.Since() || fetched[2].Until != nil {
		t.Errorf("%+v", fetched)
	}
	if line.Pin() != a.Certificate.Terms.Pin() || line.TermsHash() != a.Certificate.Terms.Hash() || line.ChainID() != "succession-test" {
		t.Error("it does not begin with the first committee")
	}
	if line.Epoch(2) != b.Certificate || line.Epoch(4) != nil {
		t.Error("epochs")
	}
	if line.Key(a.Certificate.Committee.Key.ID()) == nil || line.Key(c.Certificate.Committee.Key.ID()) != c.Certificate.Committee.Key || line.Key([32]byte{}) != nil {
		t.Error("keys")
	}

	for name, certificates := range map[string][]*keygen.Certificate{
		"one left out":  {a.Certificate, c.Certificate},
		"turned round":  {b.Certificate, a.Certificate},
		"no beginning":  {b.Certificate, c.Certificate},
		"another's end": {a.Certificate, fork.Certificate, c.Certificate},
		"twice":         {a.Certificate, b.Certificate, b.Certificate},
		"empty":         {new(keygen.Certificate)},
	} {
		if _, err := Verify(certificates...); !errors.Is(err, ErrFalse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if part, err := VerifyPart(b.Certificate, c.Certificate); err != nil || len(part) != 2 {
		t.Errorf("a part: %v", err)
	}
	if _, err := VerifyPart(c.Certificate, b.Certificate); !errors.Is(err, ErrFalse) {
		t.Errorf("a part turned round: %v", err)
	}
	for _, none := range []error{second(Verify()), second(VerifyPart())} {
		if !errors.Is(none, ErrNoCommittee) {
			t.Errorf("nothing: %v", none)
		}
	}

	if longer, err := Longer(line[:1], line); err != nil || len(longer) != 3 {
		t.Errorf("%d, %v", len(longer), err)
	}
	if longer, err := Longer(line, nil); err != nil || len(longer) != 3 {
		t.Errorf("%d, %v", len(longer), err)
	}
	if _, err := Longer(line, must(Verify(a.Certificate, fork.Certificate))(t)); !errors.Is(err, ErrFork) {
		t.Errorf("a fork: %v", err)
	}

	node.LieCommittees = func(c *v1.Committees) { c.Committees, c.Next = []v1.CommitteeRecord{}, nil }
	if _, err := Fetch(t.Context(), api); !errors.Is(err, ErrNoCommittee) {
		t.Errorf("no committee: %v", err)
	}
	node.LieCommittees = func(c *v1.Committees) { again := uint64(0); c.Next = &again }
	if _, err := Fetch(t.Context(), api); !errors.Is(err, ErrFalse) {
		t.Errorf("a node that begins anew for ever: %v", err)
	}
	node.LieCommittees = func(c *v1.Committees) { c.Committees = slices.Repeat(c.Committees[:1], 3) }
	if _, err := Fetch(t.Context(), api); !errors.Is(err, ErrFalse) {
		t.Errorf("one again and again: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
