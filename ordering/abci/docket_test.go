package abci

import (
	"context"
	"strings"
	"testing"

	abcitypes "github.com/cometbft/cometbft/abci/types"

	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
)

// Of each charge one piece of evidence waits in the mempool, so that nobody fills it with what it signed against itself; after a block
// it is recorded, and the others are refused.
func TestOneEvidenceOfAChargeWaits(t *testing.T) {
	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
	a := &app{verifier: ordering.NewVerifier(1 << 20)}
	a.state.Store(c.State)
	check := func(tx []byte, kind abcitypes.CheckTxType) string {
		r, err := a.CheckTx(context.Background(), &abcitypes.RequestCheckTx{Tx: tx, Type: kind})
		c.Must(err)
		if r.Code != abcitypes.CodeTypeOK {
			code, _, _ := strings.Cut(r.Log, ":")
			return code
		}
		return ""
	}
	one, two, other := c.Accuse(c.LogFork(2, "one")), c.Accuse(c.LogFork(2, "two")), c.Accuse(c.LogFork(3, "one"))
	for i, step := range []struct {
		tx   []byte
		kind abcitypes.CheckTxType
		want string
	}{
		{one, abcitypes.CheckTxType_New, ""},
		{one, abcitypes.CheckTxType_New, ""}, // the mempool itself knows that it has it
		{two, abcitypes.CheckTxType_New, "evidence_waiting"},
		{other, abcitypes.CheckTxType_New, ""},
		{append(c.Accuse(c.LogFork(4, "x")), 0), abcitypes.CheckTxType_New, "evidence"},
		{c.Accuse(c.LogFork(4, "x")), abcitypes.CheckTxType_New, ""}, // what was refused does not stand in its way
	} {
		if got := check(step.tx, step.kind); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	// A block without them: the mempool's first stays.
	a.docket.clear()
	if first, second := check(two, abcitypes.CheckTxType_Recheck), check(one, abcitypes.CheckTxType_Recheck); first != "" || second != "evidence_waiting" {
		t.Errorf("checked again: %q and %q", first, second)
	}
	// A block with one of them.
	c.Block(ordering.Proposal{Txs: [][]byte{two}})
	a.state.Store(c.State)
	a.docket.clear()
	for _, tx := range [][]byte{one, two} {
		if got := check(tx, abcitypes.CheckTxType_Recheck); got != ordering.CodeEvidenceRecorded {
			t.Errorf("after the block: %q", got)
		}
	}
	if got := check(other, abcitypes.CheckTxType_Recheck); got != "" {
		t.Errorf("another charge: %q", got)
	}
}
