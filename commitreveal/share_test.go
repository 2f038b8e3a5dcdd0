package commitreveal

import (
	"errors"
	"testing"

	"github.com/scrimlabs/scrim/threshold"
)

func TestShareMessageSignature(t *testing.T) {
	cts, ids := sealed(t, 2)
	m, _ := shared(t, 2, cts, ids)
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseShareMessage(b, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Verify(publicIdentity(2)); err != nil {
		t.Error(err)
	}
	if again.Member() != 2 || again.Height != 7 || again.Epoch != 1 || again.Root != BatchRoot(ids) {
		t.Errorf("parsed %+v", again)
	}
	c, _ := committeeOf4()
	if _, err := threshold.VerifyBatchShare(c, cts, &again.Share); err != nil {
		t.Error(err)
	}
	if err := again.Verify(publicIdentity(1)); !errors.Is(err, ErrSignature) {
		t.Errorf("another member's key: %v", err)
	}
	changes := map[string]func(m *ShareMessage){
		"chain id":  func(m *ShareMessage) { m.ChainID = "scrim-tesu" },
		"epoch":     func(m *ShareMessage) { m.Epoch++ },
		"height":    func(m *ShareMessage) { m.Height++ },
		"root":      func(m *ShareMessage) { m.Root[0]++ },
		"member":    func(m *ShareMessage) { m.Share.Member, m.Signature.Member = 3, 3 },
		"point":     func(m *ShareMessage) { m.Share.Points[1][20]++ },
		"signature": func(m *ShareMessage) { m.Signature.Point[20]++ },
		"sig":       func(m *ShareMessage) { m.Sig[20]++ },
	}
	for name, change := range changes {
		bad, err := ParseShareMessage(b, 2)
		if err != nil {
			t.Fatal(err)
		}
		change(bad)
		if err := bad.Verify(publicIdentity(2)); !errors.Is(err, ErrSignature) {
			t.Errorf("%s is not signed: %v", name, err)
		}
	}
}

func TestShareMessageBounds(t *testing.T) {
	m := plainShare("a,b")
	m.ChainID = "a-chain-id-of-the-greatest-length-of-all-which-is50"[:50]
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != MaxShareMessageSize(2) {
		t.Errorf("the largest share of 2 has %d bytes, MaxShareMessageSize(2) is %d", len(b), MaxShareMessageSize(2))
	}
	if _, err := ParseShareMessage(b, 2); err != nil {
		t.Errorf("a batch of 2: %v", err)
	}
	m = plainShare("a,b")
	short, _ := m.MarshalBinary()
	for name, b := range map[string][]byte{"over the size": b, "over the count": short} {
		if _, err := ParseShareMessage(b, 1); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// a count that the bytes do not hold allocates nothing
	huge := append([]byte{}, short...)
	at := 1 + 1 + len(chainID) + 8 + 8 + 32 + 4
	copy(huge[at:], []byte{0, 1, 0, 0})
	allocs := testing.AllocsPerRun(10, func() {
		if _, err := ParseShareMessage(huge, MaxBatch); !errors.Is(err, ErrEncoding) {
			t.Errorf("a count of 65536: %v", err)
		}
	})
	if allocs > 30 {
		t.Errorf("%v allocations", allocs)
	}
}
