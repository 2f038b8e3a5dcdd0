package fair

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/commitreveal"
)

const testChain = "scrim-test"

// identity is a member's key in tests, member 1..n.
func identity(member int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(member)}, ed25519.SeedSize))
}

func identities(n int) (keys []ed25519.PublicKey) {
	for m := 1; m <= n; m++ {
		keys = append(keys, identity(m).Public().(ed25519.PublicKey))
	}
	return keys
}

// announce signs the next part of a member's log (from 0) at the chain's height.
func (c *chain) announce(member int, xs ...int) Announcement {
	return c.announceAt(c.s.Height(), member, xs...)
}

func (c *chain) announceAt(height uint64, member int, xs ...int) Announcement {
	ch := c.chunk(member, xs)
	a := Announcement{Statement: Statement{ChainID: testChain, Height: height, Member: ch.Member, Sequence: ch.Sequence, Head: ch.Head}, IDs: ch.IDs}
	if err := SignStatement(identity(member+1), &a.Statement); err != nil {
		c.t.Fatal(err)
	}
	return a
}

// refs are the announcements as a proposer holds them.
func refs(as []Announcement) (out []*Announcement) {
	for i := range as {
		out = append(out, &as[i])
	}
	return out
}

// grown is a chain of four members, two heights old, with something in every log.
func grown(t testing.TB) *chain {
	c := newChain(t, DefaultParams(4))
	c.step(map[int][]int{0: {1, 2, 3}, 1: {2, 1}, 2: {5}, 3: {}})
	c.step(map[int][]int{0: {4}, 1: {}, 2: {6}})
	return c
}

func section(c *chain) *Section {
	return &Section{Height: c.s.Height() + 1, Entries: []Announcement{
		c.announce(0, 7, 8, 9), c.announceAt(c.s.Height()-1, 1, 8, 7), c.announce(2), c.announceAt(c.s.Height()-2, 3, 9, 8, 10),
	}}
}

func TestSectionGoesThroughTheWire(t *testing.T) {
	c := grown(t)
	want := section(c)
	b, err := want.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseSection(c.s, testChain, b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got, gocmp.Transformer("ids", idInts)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	chunks, err := got.Verify(c.s, testChain, identities(4))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Step(c.s, got.Height, chunks, nil); err != nil {
		t.Error(err)
	}
	// Each of the four ids stands there once, and each of the eight uses takes two bytes.
	if size := 1 + 2 + 4*32 + 2 + 4*ReceiveOrder.entrySize() + 8*2; len(b) != size {
		t.Errorf("%d bytes, want %d", len(b), size)
	}
	empty := &Section{Height: c.s.Height() + 1}
	if b, err := empty.MarshalBinary(); err != nil || len(b) != 5 {
		t.Errorf("a section of nothing has %d bytes, %v", len(b), err)
	} else if _, err := ParseSection(c.s, testChain, b); err != nil {
		t.Error(err)
	}
}

// What the design lists against statements: oversize, twice, stale, not a member's, of another height or chain,
// unchained, too few, badly signed.
func TestSectionVerifyRefuses(t *testing.T) {
	c := grown(t)
	resign := func(a *Announcement) {
		if err := SignStatement(identity(int(a.Statement.Member)), &a.Statement); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		want   error
		change func(s *Section)
	}{
		"too few":              {ErrQuorum, func(s *Section) { s.Entries = s.Entries[:2] }},
		"twice":                {ErrMember, func(s *Section) { s.Entries[1] = s.Entries[0] }},
		"not a member":         {ErrMember, func(s *Section) { s.Entries[3].Statement.Member = 5; resign(&s.Entries[3]) }},
		"of the block itself":  {ErrStale, func(s *Section) { s.Entries[0].Statement.Height++; resign(&s.Entries[0]) }},
		"of the future":        {ErrStale, func(s *Section) { s.Entries[0].Statement.Height = 1 << 63; resign(&s.Entries[0]) }},
		"of another chain":     {ErrInvalid, func(s *Section) { s.Entries[0].Statement.ChainID = "other"; resign(&s.Entries[0]) }},
		"of another block":     {ErrHeight, func(s *Section) { s.Height++ }},
		"unchained":            {ErrChain, func(s *Section) { s.Entries[0].IDs = s.Entries[0].IDs[1:] }},
		"another head":         {ErrChain, func(s *Section) { s.Entries[0].Statement.Head[0] ^= 1; resign(&s.Entries[0]) }},
		"another's signature":  {ErrSignature, func(s *Section) { s.Entries[0].Statement.Signature = s.Entries[1].Statement.Signature }},
		"a height not signed":  {ErrSignature, func(s *Section) { s.Entries[0].Statement.Height-- }},
		"oversize":             {ErrLimit, func(s *Section) { s.Entries[0] = c.announce(0, make([]int, c.s.params.MaxChunk+1)...) }},
		"signed by nobody":     {ErrSignature, func(s *Section) { s.Entries[2].Statement.Signature = [64]byte{} }},
		"fresh again, as said": {nil, func(s *Section) {}},
	} {
		s := section(c)
		tc.change(s)
		if _, err := s.Verify(c.s, testChain, identities(4)); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	c.step(nil)
	c.step(nil)
	c.step(nil)
	old := Section{Height: c.s.Height() + 1, Entries: []Announcement{c.announce(0, 7), c.announceAt(c.s.Height()-3, 1, 7), c.announce(2)}}
	if _, err := old.Verify(c.s, testChain, identities(4)); !errors.Is(err, ErrStale) {
		t.Errorf("a statement of D+1 heights before: %v", err)
	}
	if _, err := old.Verify(c.s, testChain, identities(3)); !errors.Is(err, ErrInvalid) {
		t.Errorf("keys of three members: %v", err)
	}
}

// A proposer takes what fits, the longest log of each member, and nothing if there are not enough.
func TestNewSection(t *testing.T) {
	c := grown(t)
	stale := c.announceAt(c.s.Height()+1, 0, 7)
	unchained := c.announce(1, 7)
	unchained.IDs = nil
	held := []Announcement{c.announce(0, 7), stale, c.announce(0, 7, 8), c.announceAt(1, 0, 7, 8), unchained, c.announce(2), c.announce(3, 7)}
	s := NewSection(c.s, refs(held))
	if len(s.Entries) != 3 || len(s.Entries[0].IDs) != 2 || s.Entries[0].Statement.Height != c.s.Height() || s.Entries[1].Statement.Member != 3 {
		t.Errorf("entries %+v", s.Entries)
	}
	if _, err := s.Verify(c.s, testChain, identities(4)); err != nil {
		t.Error(err)
	}
	if s := NewSection(c.s, refs(held[:5])); len(s.Entries) != 0 || s.Height != c.s.Height()+1 {
		t.Errorf("of one member: %+v", s)
	}
}

// One member that overfills its log cannot make an honest proposer's block invalid: it is left out.
func TestNewSectionLeavesOutFullLogs(t *testing.T) {
	p := DefaultParams(4)
	p.MaxChunk, p.MaxLive = 3, 4
	c := newChain(t, p)
	c.step(map[int][]int{0: {}, 1: {}, 3: {101, 102, 103}})
	held := []Announcement{c.announce(0, 1), c.announce(1, 1), c.announce(2, 1), c.announce(3, 104, 105)}
	s := NewSection(c.s, refs(held))
	if len(s.Entries) != 3 {
		t.Fatalf("%d entries", len(s.Entries))
	}
	chunks, err := s.Verify(c.s, testChain, identities(4))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Step(c.s, s.Height, chunks, nil); err != nil {
		t.Error(err)
	}
	s.Entries = append(s.Entries, held[3])
	if _, err := s.Verify(c.s, testChain, identities(4)); !errors.Is(err, ErrLimit) {
		t.Errorf("with the full log: %v", err)
	}
}

func TestParseSectionRefuses(t *testing.T) {
	c := grown(t)
	for range 3 { // so that a statement can be too old
		c.step(nil)
	}
	good, err := section(c).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	first := 1 + 2 + 4*32 + 2 // offset of the first entry
	indexes := first + ReceiveOrder.entrySize()
	for name, change := range map[string]func(b []byte) []byte{
		"empty":                    func(b []byte) []byte { return nil },
		"another version":          func(b []byte) []byte { b[0] = 2; return b },
		"trailing byte":            func(b []byte) []byte { return append(b, 0) },
		"cut":                      func(b []byte) []byte { return b[:len(b)-1] },
		"dictionary too long":      func(b []byte) []byte { b[1], b[2] = 0xff, 0xff; return b },
		"an id twice":              func(b []byte) []byte { copy(b[3+32:], b[3:3+32]); return b },
		"an id not used":           func(b []byte) []byte { b[2]++; return slices.Insert(b, 3+4*32, make([]byte, 32)...) },
		"not in order of use":      func(b []byte) []byte { b[indexes+1], b[indexes+3] = 1, 0; return b },
		"index out of range":       func(b []byte) []byte { b[len(b)-1] = 4; return b },
		"member 0":                 func(b []byte) []byte { b[first+1] = 0; return b },
		"members out of order":     func(b []byte) []byte { b[first+1] = 2; return b },
		"too old":                  func(b []byte) []byte { b[first+2] = 3; return b },
		"another sequence":         func(b []byte) []byte { b[first+10]++; return b },
		"an entry more announced":  func(b []byte) []byte { b[first-1]++; return b },
		"an entry fewer announced": func(b []byte) []byte { b[first-1]--; return b },
	} {
		if s, err := ParseSection(c.s, testChain, change(bytes.Clone(good))); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	two := &Section{Height: c.s.Height() + 1, Entries: []Announcement{c.announce(0), c.announce(2)}}
	b := two.mustMarshal()
	head, one, three := b[:4:4], b[5:5+ReceiveOrder.entrySize()], b[5+ReceiveOrder.entrySize():]
	for name, b := range map[string][]byte{
		"a member twice":    slices.Concat(head, []byte{3}, one, one, three),
		"a member too late": slices.Concat(head, []byte{2}, three, one),
	} {
		if _, err := ParseSection(c.s, testChain, b); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseSection(c.s, testChain, slices.Concat(head, []byte{2}, one, three)); err != nil {
		t.Error(err)
	}
	if _, err := ParseSection(c.s, "", good); !errors.Is(err, ErrInvalid) {
		t.Errorf("no chain id: %v", err)
	}
}

func (c *Section) mustMarshal() []byte {
	b, err := c.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return b
}

func TestStatements(t *testing.T) {
	c := grown(t)
	st := c.announce(0, 7).Statement
	if err := st.Verify(identities(4)[0]); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(st *Statement){
		"chain":     func(st *Statement) { st.ChainID = "scrim-tesu" },
		"height":    func(st *Statement) { st.Height++ },
		"member":    func(st *Statement) { st.Member++ },
		"sequence":  func(st *Statement) { st.Sequence++ },
		"head":      func(st *Statement) { st.Head[31] ^= 1 },
		"signature": func(st *Statement) { st.Signature[0] ^= 1 },
	} {
		other := st
		change(&other)
		if err := other.Verify(identities(4)[0]); !errors.Is(err, ErrSignature) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	for name, bad := range map[string]Statement{
		"no chain":           {Member: 1},
		"member 0":           {ChainID: testChain},
		"member 257":         {ChainID: testChain, Member: 257},
		"a head of no ids":   {ChainID: testChain, Member: 1, Head: commitreveal.Hash{1}},
		"no head of one id":  {ChainID: testChain, Member: 1, Sequence: 1},
		"a chain id too odd": {ChainID: "a b", Member: 1},
	} {
		if err := SignStatement(identity(1), &bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("sign with %s: %v", name, err)
		}
		if _, err := bad.MarshalBinary(); !errors.Is(err, ErrInvalid) {
			t.Errorf("marshal with %s: %v", name, err)
		}
	}
	if err := st.Verify(nil); !errors.Is(err, ErrSignature) {
		t.Errorf("without a key: %v", err)
	}
}

// The signed bytes, so that a change of them is noticed.
func TestStatementBytes(t *testing.T) {
	st := Statement{ChainID: "scrim-test", Height: 7, Member: 2, Sequence: 1, Head: commitreveal.NextHead(commitreveal.Hash{}, intID(1))}
	const want = "736372696d2f686561642d73746174656d656e742f7631" + // the domain
		"01" + "0a" + "736372696d2d74657374" + "0000000000000007" + "00000002" + "0000000000000001"
	head := hex.EncodeToString(st.Head[:])
	if got := hex.EncodeToString(st.message()); got != want+head {
		t.Errorf("message %s", got)
	}
}

func TestEquivocation(t *testing.T) {
	c := grown(t)
	a, b := c.announce(0, 7).Statement, c.announceAt(1, 0, 8).Statement
	e, err := NewEquivocation(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if other, _ := NewEquivocation(b, a); *other != *e {
		t.Error("the order of the statements matters")
	}
	if err := e.Verify(testChain, identities(4)[0]); err != nil || e.Member() != 1 || e.Kind() != "receive_log_fork" {
		t.Errorf("%v, member %d", err, e.Member())
	}
	if err := e.Verify(testChain, identities(4)[1]); !errors.Is(err, ErrNoEvidence) {
		t.Errorf("with another's key: %v", err)
	}
	if err := e.Verify("other", identities(4)[0]); !errors.Is(err, ErrNoEvidence) {
		t.Errorf("for another chain: %v", err)
	}
	forged := *e
	forged.A.Signature[0] ^= 1
	if err := forged.Verify(testChain, identities(4)[0]); !errors.Is(err, ErrNoEvidence) {
		t.Errorf("forged: %v", err)
	}
	for name, pair := range map[string][2]Statement{
		"the same twice":       {a, a},
		"the same head, later": {a, c.announceAt(1, 0, 7).Statement},
		"two lengths":          {a, c.announce(0, 7, 8).Statement},
		"two members":          {a, c.announce(1, 8, 9).Statement},
	} {
		if _, err := NewEquivocation(pair[0], pair[1]); !errors.Is(err, ErrNoEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
	swapped := Equivocation{e.B, e.A}
	if _, err := swapped.MarshalBinary(); !errors.Is(err, ErrNoEvidence) {
		t.Errorf("the higher head first: %v", err)
	}
}

func TestReceiptsThatBreakStatements(t *testing.T) {
	c := grown(t)
	st := c.announce(0, 7).Statement
	r := commitreveal.Receipt{ChainID: testChain, Member: 1, Position: st.Sequence, Head: st.Head}
	if st.BrokenBy(&r) {
		t.Error("broken by its own receipt")
	}
	r.Head[0] ^= 1
	if !st.BrokenBy(&r) {
		t.Error("not broken by another head at its position")
	}
	for _, change := range []func(){func() { r.Position++ }, func() { r.Member++ }, func() { r.ChainID = "other" }} {
		change()
		if st.BrokenBy(&r) {
			t.Errorf("broken by %+v", r)
		}
		r = commitreveal.Receipt{ChainID: testChain, Member: 1, Position: st.Sequence}
	}
}

func TestParseStateRefuses(t *testing.T) {
	c := grown(t)
	good := encode(t, c.s)
	n := c.s.Live()
	if n < 3 {
		t.Fatalf("%d ids live", n)
	}
	ids := 1 + 8 + 4
	logs := ids + n*liveIDSize + 2
	for name, change := range map[string]func(b []byte) []byte{
		"empty":             func(b []byte) []byte { return nil },
		"another version":   func(b []byte) []byte { b[0] = 2; return b },
		"trailing byte":     func(b []byte) []byte { return append(b, 0) },
		"cut":               func(b []byte) []byte { return b[:len(b)-1] },
		"a count too large": func(b []byte) []byte { b[9] = 0xff; return b },
		"an earlier height": func(b []byte) []byte { b[8] = 1; return b },
		"ids out of order":  func(b []byte) []byte { copy(b[ids:ids+32], b[ids+liveIDSize:][:32]); return b },
		"not seen":          func(b []byte) []byte { clear(b[ids+32 : ids+40]); return b },
		"non-blank in time": func(b []byte) []byte { b[ids+47] ^= 2; return b },
		"solid in no time":  func(b []byte) []byte { b[ids+55] ^= 2; return b },
		"other members":     func(b []byte) []byte { b[logs-1]++; return b },
		"a head of nothing": func(b []byte) []byte { clear(b[logs : logs+32]); return b },
		"none of one":       func(b []byte) []byte { clear(b[logs+32 : logs+40]); return b },
		"more than it has":  func(b []byte) []byte { b[logs+39] = 1; return b },
		"an index twice":    func(b []byte) []byte { copy(b[logs+44:logs+48], b[logs+48:logs+52]); return b },
		"index out of range": func(b []byte) []byte {
			b[logs+44] = 1
			return b
		},
	} {
		if _, err := ParseState(c.s.params, change(bytes.Clone(good))); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	extra := bytes.Clone(good[:ids+n*liveIDSize]) // one more id, which no log holds
	extra[ids-1]++
	extra = append(extra, bytes.Repeat([]byte{0xff}, 32)...)
	extra = append(append(extra, make([]byte, 24)...), good[ids+n*liveIDSize:]...)
	if _, err := ParseState(c.s.params, extra); !errors.Is(err, ErrEncoding) {
		t.Errorf("an id in no log: %v", err)
	}
	if _, err := ParseState(Params{}, good); !errors.Is(err, ErrParams) {
		t.Errorf("no parameters: %v", err)
	}
	if _, err := (State{}).MarshalBinary(); !errors.Is(err, ErrInvalid) {
		t.Errorf("the zero state: %v", err)
	}
	if _, _, err := Step(State{}, 1, nil, nil); err != nil { // useless, and harmless
		t.Errorf("the zero state: %v", err)
	}
}

// Frames are stored until the beacon is known; what comes back gives the same order.
func TestFramesGoThroughTheWire(t *testing.T) {
	p := DefaultParams(7)
	rng := rand.New(rand.NewPCG(3, 3))
	c := newChain(t, p)
	logs := map[int][]int{}
	for m := range 7 {
		logs[m] = rng.Perm(20)
	}
	d := c.step(logs)
	if len(d.Frames) != 1 {
		t.Fatalf("%d frames", len(d.Frames))
	}
	d.Frames[0].Forced = true
	b, err := d.Frames[0].MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseFrame(p, b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(&d.Frames[0], f); diff != "" {
		t.Error(diff)
	}
	if diff := gocmp.Diff(d.Frames[0].Order(p, [32]byte{5}), f.Order(p, [32]byte{5})); diff != "" {
		t.Error(diff)
	}
	for name, change := range map[string]func(b []byte) []byte{
		"another version":  func(b []byte) []byte { b[0]++; return b },
		"forced is 2":      func(b []byte) []byte { b[1] = 2; return b },
		"trailing byte":    func(b []byte) []byte { return append(b, 0) },
		"ids out of order": func(b []byte) []byte { b[6] = 1; return b },
		"an unsolid id":    func(b []byte) []byte { return (&Frame{IDs: f.IDs[:1], Logs: make([][]uint32, 7)}).mustMarshal() },
		"no ids":           func(b []byte) []byte { return (&Frame{Logs: make([][]uint32, 7)}).mustMarshal() },
		"an id twice in a log": func(b []byte) []byte {
			logs := slices.Clone(f.Logs)
			logs[3] = append(slices.Clone(logs[3]), logs[3][0])
			return (&Frame{IDs: f.IDs, Logs: logs}).mustMarshal()
		},
		"six logs": func(b []byte) []byte { return (&Frame{IDs: f.IDs, Logs: f.Logs[:6]}).mustMarshal() },
	} {
		if _, err := ParseFrame(p, change(bytes.Clone(b))); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (f *Frame) mustMarshal() []byte {
	b, err := f.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return b
}

// roundTrip fuzzes a strict decoder: what it accepts encodes to the same bytes.
func roundTrip(f *testing.F, seeds [][]byte, parse func(b []byte) (interface{ MarshalBinary() ([]byte, error) }, error)) {
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, seed := range seeds {
		if _, err := parse(seed); err != nil {
			f.Fatalf("a seed does not parse: %v", err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parse(b)
		if err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Errorf("error %v", err)
			}
			return
		}
		if back, err := v.MarshalBinary(); err != nil || !bytes.Equal(back, b) {
			t.Errorf("%x became %x, %v", b, back, err)
		}
	})
}

type marshaler = interface{ MarshalBinary() ([]byte, error) }

func mustMarshal(f *testing.F, vs ...marshaler) (out [][]byte) {
	for _, v := range vs {
		b, err := v.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func FuzzParseStatement(f *testing.F) {
	st := grown(f).announce(0, 7).Statement
	roundTrip(f, mustMarshal(f, &st, &Statement{ChainID: "x", Member: 256}), func(b []byte) (marshaler, error) { return ReceiveOrder.ParseStatement(b) })
}

func FuzzParseAnnouncement(f *testing.F) {
	c := grown(f)
	a, b := c.announce(0, 7, 8), c.announce(3)
	roundTrip(f, mustMarshal(f, &a, &b), func(b []byte) (marshaler, error) { return ReceiveOrder.ParseAnnouncement(b) })
}

func FuzzParseEquivocation(f *testing.F) {
	c := grown(f)
	e, err := NewEquivocation(c.announce(0, 7).Statement, c.announce(0, 8).Statement)
	if err != nil {
		f.Fatal(err)
	}
	roundTrip(f, mustMarshal(f, e), func(b []byte) (marshaler, error) { return ReceiveOrder.ParseEquivocation(b) })
}

// A section's decoder is handed what a proposer made up; then everything that follows must stand it too.
// chunksAgree checks that a section that is read without the logs before it says what it says with them.
func chunksAgree(f *testing.F, s Logs, b []byte, section *Section, refused error) {
	chunks, err := s.Rule().Chunks(s.Params(), b)
	if err != nil && !errors.Is(err, ErrEncoding) {
		f.Errorf("Chunks: %v", err)
	}
	if refused != nil {
		return
	}
	if err != nil || len(chunks) != len(section.Entries) {
		f.Fatalf("%d chunks of %d entries, %v", len(chunks), len(section.Entries), err)
	}
	for i, a := range section.Entries {
		want, got := a.Chunk(), chunks[i]
		if want.Member != got.Member || want.Sequence != got.Sequence || want.Watermark != got.Watermark || !slices.Equal(want.IDs, got.IDs) || !slices.Equal(want.Times, got.Times) {
			f.Errorf("entry %d: %+v, want %+v", i, got, want)
		}
	}
}

func FuzzParseSection(f *testing.F) {
	c := grown(f)
	keys := identities(4)
	roundTrip(f, mustMarshal(f, section(c), &Section{Height: c.s.Height() + 1}), func(b []byte) (marshaler, error) {
		s, err := ParseSection(c.s, testChain, b)
		chunksAgree(f, c.s, b, s, err)
		if err == nil {
			if chunks, err := s.Verify(c.s, testChain, keys); err == nil {
				if _, _, err := Step(c.s, s.Height, chunks, nil); err != nil {
					f.Errorf("verified, and Step says %v", err)
				}
			}
		}
		return s, err
	})
}

func FuzzParseState(f *testing.F) {
	c := grown(f)
	empty, err := New(c.s.params, 0)
	if err != nil {
		f.Fatal(err)
	}
	roundTrip(f, mustMarshal(f, c.s, empty), func(b []byte) (marshaler, error) {
		s, err := ParseState(c.s.params, b)
		if err == nil && s.Height() < 1<<63 {
			if _, _, err := Step(s, s.Height()+1, nil, nil); err != nil {
				f.Errorf("parsed, and Step says %v", err)
			}
		}
		return s, err
	})
}

func FuzzParseFrame(f *testing.F) {
	p := DefaultParams(4)
	d := newChain(f, p).step(map[int][]int{0: {1, 2, 3}, 1: {2, 3, 1}, 2: {3, 1, 2}, 3: {9}})
	if len(d.Frames) != 1 {
		f.Fatal("no frame")
	}
	roundTrip(f, mustMarshal(f, &d.Frames[0]), func(b []byte) (marshaler, error) {
		frame, err := ParseFrame(p, b)
		if err == nil {
			n := 0
			for _, comp := range frame.Order(p, [32]byte{}) {
				n += len(comp)
			}
			if n != len(frame.IDs) {
				f.Errorf("%d of %d ids ordered", n, len(frame.IDs))
			}
		}
		return frame, err
	})
}

// FuzzStep feeds hostile chunks: never a panic, and what is refused changes nothing.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0x80, 0x41, 0x42, 0x80, 1, 2})
	f.Add([]byte{0x80, 0x80, 0x80})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := DefaultParams(4)
		p.Horizon = 6
		c, b := newChain(t, p), newBrute(ruleOf(p))
		chunks := map[int][]int{0: nil, 1: nil, 2: nil}
		for _, op := range script[:min(len(script), 60)] {
			if op < 0x80 { // member and id
				chunks[int(op>>5)] = append(chunks[int(op>>5)], int(op&7))
				continue
			}
			compareHeight(t, c, b, chunks, [32]byte{op})
			chunks = map[int][]int{0: nil, 1: nil, 2: nil}
			if op&1 == 1 {
				chunks = map[int][]int{1: nil, 2: nil, 3: nil}
			}
		}
		compareHeight(t, c, b, chunks, [32]byte{})
	})
}

// The design's form of a block's statements: each new id once, and of each member the sequence number, an index for each of
// its ids, and the signature. What else is in a section must not be a tenth of that.
func TestSectionHasTheDesignsSize(t *testing.T) {
	for _, n := range []int{4, 7, 20, 50} {
		for _, fresh := range []int{1, 16, 64} {
			c := newChain(t, DefaultParams(n))
			s := Section{Height: 1}
			for m := range n {
				var xs []int
				for x := range fresh {
					xs = append(xs, (x+m)%fresh)
				}
				s.Entries = append(s.Entries, c.announce(m, xs...))
			}
			design := fresh*32 + n*(8+2*fresh+ed25519.SignatureSize)
			if size := len(s.mustMarshal()); 10*size > 11*design || size < design {
				t.Errorf("n = %d, %d new ids: %d bytes, the design says %d", n, fresh, size, design)
			}
		}
	}
}

// Nothing of one rule is taken where the other one rules.
func TestRulesDoNotMix(t *testing.T) {
	c, timed := grown(t), timedGrown(t)
	mixed := section(c)
	mixed.Entries[1] = timedSection(timed).Entries[1]
	if _, err := mixed.MarshalBinary(); !errors.Is(err, ErrInvalid) {
		t.Errorf("a section of both: %v", err)
	}
	other := section(c)
	for i := range other.Entries { // of this state in everything but the rule
		a := &other.Entries[i]
		a.Statement.Rule, a.Statement.Times, a.Times = ReceiveTime, commitreveal.Hash{1}, make([]uint64, len(a.IDs))
		if err := SignStatement(identity(i+1), &a.Statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Verify(c.s, testChain, identities(4)); !errors.Is(err, ErrInvalid) {
		t.Errorf("a section of the other rule: %v", err)
	}
	if s := NewSection(c.s, refs(other.Entries)); s.Entries != nil {
		t.Errorf("a proposer takes %+v", s)
	}
	a := c.announce(0, 7)
	a.Times = []uint64{1}
	if _, err := a.MarshalBinary(); !errors.Is(err, ErrInvalid) {
		t.Errorf("an announcement of the first rule with times: %v", err)
	}
	b := other.Entries[0]
	b.Times = nil
	if _, err := b.MarshalBinary(); !errors.Is(err, ErrInvalid) {
		t.Errorf("an announcement of the second rule without times: %v", err)
	}
}

// Read does not hash what it has just hashed, and takes and refuses what ParseSection and Verify do.
func TestReadIsParseAndVerify(t *testing.T) {
	c, timed := grown(t), timedGrown(t)
	for _, tc := range []struct {
		logs Logs
		good *Section
	}{{c.s, section(c)}, {timed.s, timedSection(timed)}} {
		wire := tc.good.mustMarshal()
		taken := 0
		for i := -1; i < len(wire); i++ { // as it is, and with a bit of each byte turned
			b := bytes.Clone(wire)
			if i >= 0 {
				b[i] ^= 1 << (i % 8)
			}
			chunks, err := tc.logs.Read(testChain, b, identities(4))
			var want []Chunk
			s, wantErr := ParseSection(tc.logs, testChain, b)
			if wantErr == nil {
				want, wantErr = s.Verify(tc.logs, testChain, identities(4))
			}
			if (err == nil) != (wantErr == nil) || err == nil && gocmp.Diff(want, chunks) != "" {
				t.Fatalf("byte %d: %v, want %v", i, err, wantErr)
			}
			if err == nil {
				taken++
			}
		}
		if taken != 1 {
			t.Errorf("%d of the sections are taken", taken)
		}
	}
}

// Whatever is left out at the front leads to the same head.
func TestAnnouncementsAfter(t *testing.T) {
	c, timed := grown(t), timedGrown(t)
	plain := c.announce(0, 7, 8, 9)
	for _, a := range []*Announcement{&plain, &timedSection(timed).Entries[0]} {
		last := a.Statement.Sequence
		first := last - uint64(len(a.IDs))
		for at := first - 1; at <= last+1; at++ {
			rest := a.After(at)
			if (rest != nil) != (first <= at && at <= last) {
				t.Errorf("after %d of %d to %d: %+v", at, first, last, rest)
			}
			if rest == nil {
				continue
			}
			if _, err := rest.MarshalBinary(); err != nil || !slices.Equal(rest.IDs, a.IDs[at-first:]) || rest.Statement != a.Statement {
				t.Errorf("after %d: %+v, %v", at, rest, err)
			}
		}
	}
}
