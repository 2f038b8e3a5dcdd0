package fair

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

func TestRuleNames(t *testing.T) {
	for _, r := range []Rule{ReceiveOrder, ReceiveTime} {
		text, err := r.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again Rule = 9
		if err := again.UnmarshalText(text); err != nil || again != r || !r.Valid() {
			t.Errorf("%s is read as %v, %v", text, again, err)
		}
	}
	if _, err := Rule(2).MarshalText(); !errors.Is(err, ErrInvalid) || Rule(2).Valid() {
		t.Error("a third rule")
	}
	var r Rule
	for _, text := range []string{"", "receive", "Receive-Order", "0"} {
		if err := r.UnmarshalText([]byte(text)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// pair are two conflicting timed statements, signed.
func pair(t testing.TB) (key ed25519.PrivateKey, a, b Statement) {
	t.Helper()
	key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	id := threshold.ID{1}
	a = Statement{Rule: ReceiveTime, ChainID: "c", Height: 3, Member: 2, Sequence: 1, Head: commitreveal.NextHead(commitreveal.Hash{}, id), Times: NextTimes(commitreveal.Hash{}, 5), Watermark: 9}
	b = a
	b.Times, b.Height = NextTimes(commitreveal.Hash{}, 6), 4
	for _, st := range []*Statement{&a, &b} {
		if err := SignStatement(key, st); err != nil {
			t.Fatal(err)
		}
	}
	return key, a, b
}

func TestTimedEquivocation(t *testing.T) {
	key, a, b := pair(t)
	public := key.Public().(ed25519.PublicKey)
	e, err := NewEquivocation(a, b)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewEquivocation(b, a)
	if err != nil || *other != *e || e.Member() != 2 {
		t.Errorf("the other way round: %+v, %v", other, err)
	}
	if err := e.Verify("c", public); err != nil {
		t.Error(err)
	}
	wire, err := e.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ReceiveTime.ParseEquivocation(wire); err != nil || *again != *e {
		t.Errorf("%+v, %v", again, err)
	}
	forged := *e
	forged.B.Signature[0] ^= 1
	for what, err := range map[string]error{
		"another chain": e.Verify("d", public), "another's key": e.Verify("c", make(ed25519.PublicKey, ed25519.PublicKeySize)),
		"forged": forged.Verify("c", public), "reversed": (&Equivocation{e.B, e.A}).Verify("c", public),
	} {
		if !errors.Is(err, ErrNoEvidence) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if e.Kind() != "receive_times_fork" {
		t.Error(e.Kind())
	}
	plain := a // the other rule's statement, of another log
	plain.Rule, plain.Times, plain.Watermark, plain.Head = ReceiveOrder, commitreveal.Hash{}, 0, commitreveal.Hash{1}
	if _, err := NewEquivocation(a, plain); !errors.Is(err, ErrNoEvidence) {
		t.Errorf("statements of two rules: %v", err)
	}
	later := a // a later watermark is no conflict
	later.Watermark = 10
	if _, err := NewEquivocation(a, later); !errors.Is(err, ErrNoEvidence) {
		t.Errorf("a later watermark: %v", err)
	}
}

func FuzzParseTimedEquivocation(f *testing.F) {
	_, a, b := pair(f)
	e, err := NewEquivocation(a, b)
	if err != nil {
		f.Fatal(err)
	}
	wire, err := e.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Add(wire[:len(wire)-1])
	f.Add([]byte{1, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ReceiveTime.ParseEquivocation(b)
		if err != nil {
			return
		}
		if again, err := e.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("another encoding: %x, %v", again, err)
		}
	})
}

// Whatever prefix a block takes, the rest goes on in the same order, and nothing later by key stands before.
func TestTimedParts(t *testing.T) {
	f := &TimedFrame{IDs: []threshold.ID{{1}, {2}, {3}, {4}}, Keys: []uint64{7, 5, 7, 1}}
	want := []threshold.ID{{4}, {2}, {1}, {3}}
	if got := f.Sequence(Params{}); !slices.Equal(got, want) {
		t.Fatalf("sequence %v", got)
	}
	for n := range len(want) + 2 {
		first, rest := f.Part(Params{}, n)
		var got []threshold.ID
		for _, s := range []Set{first, rest} {
			if s != nil {
				got = append(got, s.Sequence(Params{})...)
			}
		}
		if !slices.Equal(got, want) || (first == nil) != (n == 0) || (rest == nil) != (n >= len(want)) {
			t.Errorf("%d: %v and %v", n, first, rest)
		}
		if first != nil && len(first.Content()) != min(n, len(want)) {
			t.Errorf("%d: %v", n, first.Content())
		}
	}
}

// An explanation agrees with the order.
func TestTimedExplain(t *testing.T) {
	f := &TimedFrame{IDs: []threshold.ID{{1}, {2}, {3}, {4}}, Keys: []uint64{7, 5, 7, 1}}
	beacon := [32]byte{3}
	order := slices.Concat(f.Order(beacon)...)
	for _, a := range f.IDs {
		for _, b := range f.IDs {
			e, err := f.Explain(Params{}, beacon, a, b)
			if a == b {
				if !errors.Is(err, ErrUnknown) {
					t.Errorf("with itself: %v", err)
				}
				continue
			}
			x, _ := f.Key(a)
			y, _ := f.Key(b)
			if err != nil || slices.Index(order, e.First.ID) > slices.Index(order, e.Second.ID) || (e.Reason == ByBeacon) != (x == y) || (e.Reason == ByTime) != (x != y) {
				t.Errorf("%v and %v: %+v, %v", a, b, e, err)
			}
		}
	}
	if _, err := f.Explain(Params{}, beacon, threshold.ID{1}, threshold.ID{9}); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	if ByTime.String() != "times" {
		t.Error(ByTime)
	}
}
