package node

import (
	"errors"
	"testing"

	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// What is relayed is what the next block could take; everything else has a code and a reason.
func TestRelayAdmits(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams())
	d := newDesk(t, c, c.Secrets[0])
	wire := func(m *keygen.Message, err error) []byte {
		t.Helper()
		c.Must(err)
		b, err := m.MarshalBinary()
		c.Must(err)
		return b
	}
	vote := func(member int, k keygen.Kind) []byte {
		votes, err := keygen.Votes(c.Secrets[member-1], c.State.Ceremony().Terms(), k)
		c.Must(err)
		return wire(votes[0], nil)
	}
	current := func() string {
		id := c.State.Ceremony().Ceremony()
		return v1.Hex(id[:]).String()
	}
	check := func(what, id string, message []byte, code, reason string) {
		t.Helper()
		d.follow()
		m, err := d.admitMessage(t.Context(), id, message)
		if code == "" {
			if err != nil || m == nil {
				t.Errorf("%s: %v", what, err)
			}
			return
		}
		var e *httpapi.Error
		if !errors.As(err, &e) || e.Code != code || e.Detail == "" {
			t.Fatalf("%s: %v, want %s", what, err, code)
		}
		if _, ok := httpapi.ProblemTypeOf(e.Code); !ok {
			t.Errorf("%s is not in the table", e.Code)
		}
		if reason != "" && e.Extra["reason"] != reason {
			t.Errorf("%s: reason %v, want %s", what, e.Extra["reason"], reason)
		}
	}

	first, abort := current(), vote(2, keygen.KindAbort)
	forged := append([]byte{}, abort...)
	forged[len(forged)-1] ^= 1
	stranger, err := keygen.ParseMessage(abort)
	c.Must(err)
	stranger.Member = 9
	proposal := wire(keygen.ProposeTerms(c.Secrets[0], c.State.Ceremony().Terms().Retry(100)))
	check("an abort", first, abort, "", "")
	check("cut short", first, abort[:20], "malformed_message", "")
	check("with more behind", first, append(abort[:len(abort):len(abort)], 0), "malformed_message", "")
	check("too large", first, make([]byte, keygen.MaxMessageSize+1), "malformed_message", "")
	check("to no ceremony", v1.Hex(make([]byte, 32)).String(), abort, "not_found", "")
	check("forged", first, forged, "not_admitted", v1.ReasonSignature)
	check("by nobody", first, wire(stranger, nil), "not_admitted", v1.ReasonMember)
	check("a consent to what runs", first, vote(2, keygen.KindConsent), "not_admitted", v1.ReasonLate)
	check("a proposal while it runs", first, proposal, "not_admitted", v1.ReasonNotNext)

	c.Apply([][]byte{ordering.CeremonyTx(abort)})
	check("the abort again", first, abort, "not_admitted", v1.ReasonDuplicate)
	check("another's", first, vote(3, keygen.KindAbort), "", "")
	c.Fail()
	check("an abort of what failed", first, vote(3, keygen.KindAbort), "not_admitted", v1.ReasonOver)
	good := wire(keygen.ProposeTerms(c.Secrets[0], c.State.Ceremony().Terms().Retry(c.State.Height()+20)))
	check("the next attempt", first, good, "", "")
	check("one that began too early", first, wire(keygen.ProposeTerms(c.Secrets[0], c.State.Ceremony().Terms().Retry(1))), "not_admitted", v1.ReasonNotNext)
	c.Apply([][]byte{ordering.CeremonyTx(good)})
	check("a consent", current(), vote(2, keygen.KindConsent), "", "")
	check("a consent sent to the one before", first, vote(2, keygen.KindConsent), "not_admitted", v1.ReasonOver)
	check("an abort of the one before", current(), abort, "not_admitted", v1.ReasonOtherCeremony)
	check("an abort of what is proposed", current(), vote(2, keygen.KindAbort), "not_admitted", v1.ReasonEarly)
	check("a rejection", current(), vote(4, keygen.KindRejection), "", "")
}
