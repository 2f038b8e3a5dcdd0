package fair

import (
	"errors"
	"slices"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// Members that stay go on with their logs; ids that only leaving members had are gone; new members begin where they stood.
func TestReform(t *testing.T) {
	p := DefaultParams(4)
	s, err := New(p, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := threshold.ID{1}, threshold.ID{2}, threshold.ID{3}
	logs := [][]threshold.ID{{a, b}, {b, a}, {c}, {}}
	var chunks []Chunk
	for i, ids := range logs {
		chunks = append(chunks, Chunk{Member: uint32(i + 1), Sequence: uint64(len(ids)), Head: extendHead(commitreveal.Hash{}, ids), IDs: ids})
	}
	s, d, err := Step(s, 1, chunks, nil)
	if err != nil || len(d.Frames) != 0 {
		t.Fatal(d, err)
	}
	base := []Base{{}, {}, {Sequence: 7, Head: commitreveal.Hash{9}}, {}, {}}
	next, err := Reform(s, DefaultParams(5), 1, []uint32{2, 0, 0, 1, 4}, base)
	if err != nil {
		t.Fatal(err)
	}
	for member, want := range map[uint32][]threshold.ID{1: {b, a}, 2: {}, 3: {}, 4: {a, b}, 5: {}} {
		if got := next.Waiting(member); !slices.Equal(got, want) {
			t.Errorf("member %d has %v, want %v", member, got, want)
		}
	}
	if b, _, _ := next.Base(1); b.Sequence != 2 || b.Head != extendHead(commitreveal.Hash{}, logs[1]) {
		t.Errorf("member 1 is at %d", b.Sequence)
	}
	if b, _, _ := next.Base(3); b.Sequence != 7 || b.Head != (commitreveal.Hash{9}) {
		t.Errorf("member 3 is at %d", b.Sequence)
	}
	if next.Live() != 2 {
		t.Errorf("%d ids", next.Live())
	}
	wire, err := next.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseState(DefaultParams(5), wire); err != nil || back.Live() != 2 {
		t.Errorf("what Reform gives is not a state: %v", err)
	}
	// With what it takes to be solid there at once, it is: the next height orders it.
	small, err := Reform(s, DefaultParams(2), 1, []uint32{1, 2}, base[:2])
	if err != nil {
		t.Fatal(err)
	}
	if _, d, err := Step(small, 2, nil, nil); err != nil || len(d.Frames) != 1 || len(d.Frames[0].IDs) != 2 {
		t.Errorf("decided %+v, %v", d, err)
	}
	for _, from := range [][]uint32{{1, 1, 0, 0, 0}, {5, 0, 0, 0, 0}, {1, 2}} {
		if _, err := Reform(s, DefaultParams(5), 1, from, base); !errors.Is(err, ErrMember) && !errors.Is(err, ErrInvalid) {
			t.Errorf("from %v: %v", from, err)
		}
	}
}
