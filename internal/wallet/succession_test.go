package wallet

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/wallet/wallettest"
	"github.com/scrimlabs/scrim/keygen"
)

func rotate(t *keygen.Terms) { t.Change, t.Overlap = keygen.ChangeRotate, 50 }

// three are a chain's first committee, the one that it handed its key to (erin for dave), and one with a new key.
func three(t *testing.T) (first, second, third *wallettest.Committee) {
	t.Helper()
	first = wallettest.NewCommittee(t, "wallet-test")
	second = first.Succeed(t, nil, append(slices.Clone(first.People[:3]), wallettest.NewPerson(t, "erin"), wallettest.NewPerson(t, "frank"))...)
	return first, second, second.Succeed(t, rotate, second.People[1:]...)
}

// A wallet that has pinned the first committee goes on through every change, and seals to the newest key.
func TestFollowsTheCommittees(t *testing.T) {
	first, second, third := three(t)
	trust := filepath.Join(t.TempDir(), "trust.json")
	o := Options{TrustFile: trust, Client: quick}
	before := must(Open(t.Context(), []string{first.Member(1).Serve(t)}, o))(t)
	if !before.FirstUse {
		t.Error("the first use was not said")
	}
	for i, c := range []*wallettest.Committee{second, third} {
		w := must(Open(t.Context(), []string{c.Member(1).Serve(t)}, o))(t)
		if w.FirstUse || w.Certificate.Terms.Hash() != c.Certificate.Terms.Hash() || w.TermsHash != first.Certificate.Terms.Hash() || w.TermsPin != first.Certificate.Terms.Pin() {
			t.Errorf("committee %d: %+v", i+2, w)
		}
	}
	// A node that is behind is no lie; the newest committee counts.
	w := must(Open(t.Context(), []string{first.Member(1).Serve(t), third.Member(2).Serve(t), second.Member(1).Serve(t)}, o))(t)
	ct := must(w.Seal(rand.Reader, SealOptions{Namespace: "eth"}, []byte("x")))(t)
	if ct.Header().KeyID != third.Certificate.Committee.Key.ID() || first.Certificate.Committee.Key.ID() != second.Certificate.Committee.Key.ID() {
		t.Error("not sealed to the newest key")
	}
	// Another line from the same first committee is a fork.
	other := first.Succeed(t, nil, first.People...)
	if _, err := Open(t.Context(), []string{third.Member(1).Serve(t), other.Member(1).Serve(t)}, o); !errors.Is(err, ErrDisagree) {
		t.Errorf("a fork: %v", err)
	}
}

// Receipts and openings of each epoch hold, also if the wallet was opened before it began.
func TestReceiptsOfAnotherEpoch(t *testing.T) {
	first, second, third := three(t)
	for _, c := range []*wallettest.Committee{second, third} {
		node := first.Member(1)
		w := must(Open(t.Context(), []string{node.Serve(t)}, Options{Client: quick}))(t)
		old := must(w.Seal(rand.Reader, SealOptions{Namespace: "eth"}, []byte("old")))(t)
		must(w.SubmitTo(t.Context(), 0, old))(t)
		tx := must(w.Status(t.Context(), old.ID()))(t)

		later := c.Member(2)
		v := must(Open(t.Context(), []string{later.Serve(t)}, Options{Client: quick}))(t)
		v.nodes = append(v.nodes, w.nodes...) // the batch of then
		if _, err := v.Check(t.Context(), tx, old); err != nil {
			t.Errorf("an opening of epoch 1, with a wallet of epoch %d: %v", c.Certificate.Terms.Epoch, err)
		}

		w.nodes = v.nodes[:1]
		ct := must(v.Seal(rand.Reader, SealOptions{Namespace: "eth"}, []byte("new")))(t)
		r, err := w.SubmitTo(t.Context(), 0, ct)
		if err != nil || r.Epoch != c.Certificate.Terms.Epoch {
			t.Fatalf("epoch %d: %+v, %v", c.Certificate.Terms.Epoch, r, err)
		}
		if _, err := w.Check(t.Context(), must(w.Status(t.Context(), ct.ID()))(t), ct); err != nil {
			t.Errorf("an opening of epoch %d, with a wallet of epoch 1: %v", c.Certificate.Terms.Epoch, err)
		}
		moved := *r
		moved.Epoch = 1
		if err := w.CheckReceipt(&moved); !errors.Is(err, ErrFalseClaim) {
			t.Errorf("a receipt in another epoch's name: %v", err)
		}
		if err := w.Refresh(t.Context()); err != nil || w.Certificate.Terms.Epoch != c.Certificate.Terms.Epoch {
			t.Errorf("refreshed: epoch %d, %v", w.Certificate.Terms.Epoch, err)
		}
		node.LieReceipt = func(r *commitreveal.Receipt) { r.Epoch = 9 }
		w.nodes = must(Open(t.Context(), []string{node.Serve(t)}, Options{Client: quick}))(t).nodes
		if _, err := w.SubmitTo(t.Context(), 0, old); !errors.Is(err, ErrFalseClaim) {
			t.Errorf("a receipt of an epoch that never was: %v", err)
		}
	}
}

// A node that hands out committees to which nobody handed over is as good as none.
func TestRefusesForgedSuccessions(t *testing.T) {
	first, second, third := three(t)
	strangers := wallettest.NewCommittee(t, "wallet-test")
	// A committee of the same people that a stranger's committee handed over to.
	usurper := strangers.Succeed(t, nil, second.People...)
	certificate := func(c *keygen.Certificate) v1.Hex { return must(c.MarshalBinary())(t) }
	forge := func(change func(c *keygen.Certificate)) v1.Hex {
		c := *second.Certificate
		terms := *c.Terms
		c.Terms = &terms
		change(&c)
		return certificate(&c)
	}
	for name, forged := range map[string]func(c []v1.CommitteeRecord) []v1.CommitteeRecord{
		"another's approvals": func(c []v1.CommitteeRecord) []v1.CommitteeRecord {
			c[1].Certificate = forge(func(c *keygen.Certificate) { c.Approvals = usurper.Certificate.Approvals })
			return c
		},
		"too few approvals": func(c []v1.CommitteeRecord) []v1.CommitteeRecord {
			c[1].Certificate = forge(func(c *keygen.Certificate) { c.Approvals = c.Approvals[:2] })
			return c
		},
		"one approval twice": func(c []v1.CommitteeRecord) []v1.CommitteeRecord {
			c[1].Certificate = forge(func(c *keygen.Certificate) {
				c.Approvals = append(slices.Clone(c.Approvals[:1]), c.Approvals[:len(c.Approvals)-1]...)
			})
			return c
		},
		"another key": func(c []v1.CommitteeRecord) []v1.CommitteeRecord {
			c[1].Certificate = forge(func(c *keygen.Certificate) {
				k := *third.Certificate.Committee
				k.Epoch = 2
				c.Committee = &k
			})
			return c
		},
		"another previous": func(c []v1.CommitteeRecord) []v1.CommitteeRecord {
			c[1].Certificate = certificate(usurper.Certificate)
			return c[:2]
		},
		"another certificate before": func(c []v1.CommitteeRecord) []v1.CommitteeRecord {
			c[1].Certificate = forge(func(c *keygen.Certificate) {
				p := *c.Terms.Previous
				p.Certificate[0] ^= 1
				c.Terms.Previous = &p
			})
			return c
		},
		"one left out": func(c []v1.CommitteeRecord) []v1.CommitteeRecord { return slices.Delete(c, 1, 2) },
		"no first":     func(c []v1.CommitteeRecord) []v1.CommitteeRecord { return c[1:] },
		"twice":        func(c []v1.CommitteeRecord) []v1.CommitteeRecord { return append(c, c[2]) },
	} {
		t.Run(name, func(t *testing.T) {
			liar := third.Member(1)
			url := liar.Serve(t)
			if _, err := Open(t.Context(), []string{url}, Options{Client: quick}); err != nil {
				t.Fatalf("before the lie: %v", err)
			}
			whole := must(third.Member(2).Committees(t.Context(), 0, 0))(t)
			rest := must(third.Member(2).Committees(t.Context(), *whole.Next, 0))(t)
			liar.LieCommittees = func(c *v1.Committees) {
				c.Next = nil
				c.Committees = forged(slices.Concat(whole.Committees, rest.Committees))
			}
			if _, err := Open(t.Context(), []string{url}, Options{Client: quick}); !errors.Is(err, ErrNoNode) {
				t.Errorf("alone: %v", err)
			}
		})
	}
	// Real, but of somebody else: the pin says so.
	pin := first.Certificate.Terms.Pin()
	if _, err := Open(t.Context(), []string{usurper.Member(1).Serve(t)}, Options{TermsPin: &pin, Client: quick}); !errors.Is(err, ErrPin) {
		t.Errorf("another line: %v", err)
	}
}
