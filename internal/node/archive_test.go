package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// All that ended stays: what came to nothing, with who is to blame, what proves it and all
// that was said, also when later ones have succeeded.
func TestHistoryIsShown(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams())
	cheats(c, c.Secrets[1])
	c.Fail()
	first := c.State.Ceremony()
	c.Retry(1, c.State.Height()+5, 1, 2, 3, 4).Ceremony()
	c.Agree(c.Next(keygen.ChangeReshare, 3, c.Secrets...), c.Secrets...).Fail()
	failed := c.State.Ceremony()
	d := newDesk(t, c, c.Secrets[0])
	if list := outcomes(t, d); list != "2/1 failed, 1/2 succeeded, 1/1 failed" {
		t.Error(list)
	}
	c.Agree(c.Next(keygen.ChangeReshare, 3, c.Secrets...), c.Secrets...)
	if list := outcomes(t, d); list != "2/2 running, 2/1 failed, 1/2 succeeded, 1/1 failed" {
		t.Error(list)
	}
	// The store may be some blocks ahead of the state that an answer began with.
	behind := d.backend
	behind.n.chain = &still{chain: &sim.Chain{State: c.State}}
	c.Ceremony()
	d.follow()
	if list := outcomes(t, d); list != "2/2 running, 2/1 failed, 1/2 succeeded, 1/1 failed" {
		t.Error(list)
	}
	behind.n.chain = d.comet
	if list := outcomes(t, d); list != "2/2 succeeded, 2/1 failed, 1/2 succeeded, 1/1 failed" {
		t.Error(list)
	}

	ctx := t.Context()
	for _, want := range []*keygen.State{first, failed} {
		hash := want.Ceremony()
		id := v1.Hex(hash[:]).String()
		for range 2 { // read, and remembered
			got, err := d.Ceremony(ctx, id)
			c.Must(err)
			expected, err := ceremonyMatrix(want)
			c.Must(err)
			if diff := cmp.Diff(expected, got); diff != "" || got.Outcome != v1.CeremonyFailed || len(got.Blame) == 0 {
				t.Errorf("outcome %s, %d to blame: %s", got.Outcome, len(got.Blame), diff)
			}
		}
		wire, err := d.Transcript(ctx, id)
		c.Must(err)
		state, err := keygen.ParseState(wire)
		c.Must(err)
		if state.Hash() != want.Hash() {
			t.Errorf("the transcript of attempt %d is another one", want.Terms().Attempt)
		}
		votes, err := keygen.Votes(c.Secrets[1], want.Terms(), keygen.KindAbort)
		c.Must(err)
		abort, err := votes[0].MarshalBinary()
		c.Must(err)
		_, err = d.Relay(ctx, id, abort)
		if e := new(httpapi.Error); !errors.As(err, &e) || e.Extra["reason"] != v1.ReasonOver {
			t.Errorf("an abort of a former ceremony: %v", err)
		}
	}
	hash := first.Ceremony()
	shown, err := d.Ceremony(ctx, v1.Hex(hash[:]).String())
	c.Must(err)
	if len(shown.Evidence) == 0 {
		t.Fatal("nothing proves that a member cheated")
	}
	proof, err := keygen.ParseEvidence(shown.Evidence[0])
	c.Must(err)
	if proof.Member != 2 {
		t.Errorf("it accuses member %d", proof.Member)
	}
	c.Must(proof.Verify(&c.Genesis.Terms))
	if keys, err := d.EncryptionKeys(ctx); err != nil || len(keys.Keys) != 1 || keys.Keys[0].Epoch != 2 {
		t.Errorf("keys %+v, %v", keys, err)
	}
}

// cheats lets a member deal twice in the ceremony that runs: one block.
func cheats(c *sim.Chain, by *keygen.MemberSecret) {
	var txs [][]byte
	for seed := range byte(2) {
		p, err := keygen.NewParticipant(by, c.State.Ceremony().Terms(), [32]byte{seed})
		c.Must(err)
		said, err := p.Next(c.State.Ceremony())
		c.Must(err)
		txs = append(txs, c.Message(said[0]))
	}
	c.Apply(txs)
}

// outcomes follows the pages of the list, whatever their length, which changes nothing.
func outcomes(t *testing.T, d *desk) string {
	t.Helper()
	d.follow()
	var all string
	for _, limit := range []int{100, 1, 2, 3, 4} {
		var got []string
		for before := ""; ; {
			page, err := d.Ceremonies(t.Context(), before, limit)
			if err != nil || len(page.Ceremonies) > limit {
				t.Fatalf("%d of %d, %v", len(page.Ceremonies), limit, err)
			}
			for _, s := range page.Ceremonies {
				got = append(got, fmt.Sprintf("%d/%d %s", s.Epoch, s.Attempt, s.Outcome))
			}
			if page.Next == nil {
				break
			}
			before = page.Next.String()
		}
		if list := strings.Join(got, ", "); all == "" {
			all = list
		} else if list != all {
			t.Errorf("in pages of %d: %s, at once %s", limit, list, all)
		}
	}
	if _, err := d.Ceremonies(t.Context(), v1.Hex(make([]byte, 32)).String(), 1); code(err) != v1.CodeNotFound {
		t.Errorf("before nothing known: %v", err)
	}
	return all
}

// What ended is read anew when too many others have been asked for since.
func TestArchiveIsBounded(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams())
	for i := range archiveSize + 1 {
		c.Fail().Retry(i%4+1, c.State.Height()+5, 1)
	}
	d := newDesk(t, c, c.Secrets[0])
	for range 2 {
		for _, r := range c.State.PastCeremonies() {
			hash := r.Terms.Hash()
			got, err := d.Ceremony(t.Context(), v1.Hex(hash[:]).String())
			c.Must(err)
			if got.Attempt != r.Terms.Attempt || len(d.n.archive.kept) > archiveSize {
				t.Errorf("attempt %d for %d, %d kept", got.Attempt, r.Terms.Attempt, len(d.n.archive.kept))
			}
		}
	}
	if len(d.n.archive.kept) != archiveSize {
		t.Errorf("%d kept", len(d.n.archive.kept))
	}
}
