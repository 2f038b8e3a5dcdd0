package fair

import (
	"crypto/ed25519"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/threshold"
)

// Rule is how a chain orders: one of the two of this package.
type Rule uint8

// The rules. Their numbers are on the wire.
const (
	// ReceiveOrder is the first rule: strong edges, see [State]. It is the default.
	ReceiveOrder Rule = iota
	// ReceiveTime is the second rule: the (f+1)-th smallest time, see [TimedState].
	ReceiveTime
)

var rules = [...]string{ReceiveOrder: "receive-order", ReceiveTime: "receive-time"}

// Valid reports whether there is such a rule.
func (r Rule) Valid() bool { return int(r) < len(rules) }

// String is the rule's name in a genesis.
func (r Rule) String() string {
	if !r.Valid() {
		return fmt.Sprintf("rule %d", uint8(r))
	}
	return rules[r]
}

// MarshalText is the rule's name; ErrInvalid if there is no such rule.
func (r Rule) MarshalText() ([]byte, error) {
	if !r.Valid() {
		return nil, fmt.Errorf("%w: order rule %d", ErrInvalid, uint8(r))
	}
	return []byte(rules[r]), nil
}

// UnmarshalText is the inverse of MarshalText.
func (r *Rule) UnmarshalText(b []byte) error {
	at := slices.Index(rules[:], string(b))
	if at < 0 {
		return fmt.Errorf("%w: order rule %q; it must be %q or %q", ErrInvalid, b, rules[ReceiveOrder], rules[ReceiveTime])
	}
	*r = Rule(at)
	return nil
}

// Logs are the committed receive logs under one of the rules: a [State] or a [TimedState]. They are never changed.
type Logs interface {
	Params() Params
	Height() uint64
	Live() int
	// Base is where a member's log stands, and how many of its ids are not done. Without times in the first rule.
	Base(member uint32) (b TimedBase, live int, err error)
	Waiting(member uint32) []threshold.ID
	Holders(id threshold.ID) []uint32
	Status(id threshold.ID) (*Status, error)
	// Busy reports whether further heights order something also without further ids.
	Busy() bool
	// Idle is Skip.
	Idle(height uint64) Logs
	// CheckNext reports why a chunk does not continue its member's log.
	CheckNext(c TimedChunk) error
	// Next is [Step] or [TimedStep]. The first rule takes of the chunks what it knows.
	Next(height uint64, chunks []TimedChunk, done func(threshold.ID) bool) (next Logs, sets []Set, forgotten []threshold.ID, err error)
	// Reformed is [Reform] or [ReformTimed].
	Reformed(p Params, height uint64, from []uint32, base []TimedBase) (Logs, error)
	// Section encodes the section of the next block from verified announcements; nil if it would say nothing new.
	Section(held []Said) (wire []byte, chunks []TimedChunk, err error)
	// Read parses and verifies the section of the next block. One that says nothing new is ErrInvalid.
	Read(chainID string, section []byte, identities []ed25519.PublicKey) ([]TimedChunk, error)
	// Said gives the announcements of the section of the next block, as their members signed them. Signatures are not checked.
	Said(chainID string, section []byte) ([]Said, error)
	// Rule is the one of the logs.
	Rule() Rule
	MarshalBinary() ([]byte, error)
}

// Set is a set of ids that a height has fixed to be ordered together: a *[Frame] or a *[TimedFrame]. It is never changed.
type Set interface {
	// Content are the ids, ascending; do not change them.
	Content() []threshold.ID
	IsForced() bool
	// LogCount is the number of receive logs that the set has parts of; 0 in the second rule, whose sets have keys.
	LogCount() int
	// Sequence is the order in which blocks take the set, Part splits it after the first n of it; a part without ids is nil.
	Sequence(p Params) []threshold.ID
	Part(p Params, n int) (first, rest Set)
	// Final is the order of execution.
	Final(p Params, beacon [32]byte) []Component
	Explain(p Params, beacon [32]byte, a, b threshold.ID) (*Explanation, error)
	Rule() Rule
	MarshalBinary() ([]byte, error)
}

// Said is what a member announces of its log under one of the rules: an *[Announcement] or a *[TimedAnnouncement].
type Said interface {
	// Head is what both kinds of statement say. The signature is that of the whole statement.
	Head() Statement
	// New are the last ids of the log.
	New() []threshold.ID
	// After is the announcement without the ids up to a sequence number; nil if it does not begin there or before, or ends before.
	After(sequence uint64) Said
	// Verify checks the signature: ErrSignature.
	Verify(key ed25519.PublicKey) error
	// Fork is evidence, if both are of one place of one log and differ; nil otherwise. Signatures are not checked.
	Fork(other Said) Fork
	MarshalBinary() ([]byte, error)
}

// Fork is evidence that a member has two logs: an *[Equivocation] or a *[TimedEquivocation].
type Fork interface {
	Kind() string
	Member() uint32
	Verify(chainID string, identity ed25519.PublicKey) error
	MarshalBinary() ([]byte, error)
}

// Begin is [New] or [NewTimed].
func (r Rule) Begin(p Params, height uint64) (Logs, error) {
	if r == ReceiveTime {
		return NewTimed(p, height)
	}
	return New(p, height)
}

// ParseLogs is the inverse of Logs.MarshalBinary.
func (r Rule) ParseLogs(p Params, b []byte) (Logs, error) {
	if r == ReceiveTime {
		return ParseTimedState(p, b)
	}
	return ParseState(p, b)
}

// ParseSet is the inverse of Set.MarshalBinary.
func (r Rule) ParseSet(p Params, b []byte) (Set, error) {
	if r == ReceiveTime {
		return orNil(ParseTimedFrame(p, b))
	}
	return orNil(ParseFrame(p, b))
}

// orNil keeps a nil pointer from becoming a Set that is not nil.
func orNil[T any, P interface {
	*T
	Set
}](f P, err error) (Set, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// ParseSaid is the inverse of Said.MarshalBinary. The signature is not checked.
func (r Rule) ParseSaid(b []byte) (Said, error) {
	if r == ReceiveTime {
		a, err := ParseTimedAnnouncement(b)
		if err != nil {
			return nil, err
		}
		return a, nil
	}
	a, err := ParseAnnouncement(b)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// MaxSaidSize is the size in bytes of the largest announcement.
func (r Rule) MaxSaidSize(p Params) int {
	if r == ReceiveTime {
		return MaxTimedAnnouncementSize(p)
	}
	return MaxAnnouncementSize(p)
}

// Say signs an announcement of a chunk at a height with the member's identity key.
func (r Rule) Say(key ed25519.PrivateKey, chainID string, height uint64, c TimedChunk) (Said, error) {
	if r == ReceiveTime {
		a := &TimedAnnouncement{IDs: c.IDs, Times: c.Times, Statement: TimedStatement{
			ChainID: chainID, Height: height, Member: c.Member, Sequence: c.Sequence, Head: c.Head, Times: c.TimesHead, Watermark: c.Watermark,
		}}
		return a, SignTimedStatement(key, &a.Statement)
	}
	a := &Announcement{IDs: c.IDs, Statement: Statement{ChainID: chainID, Height: height, Member: c.Member, Sequence: c.Sequence, Head: c.Head}}
	return a, SignStatement(key, &a.Statement)
}

// errNoNews is of a section that nothing follows from.
var errNoNews = fmt.Errorf("%w: the section says nothing new", ErrInvalid)

// Rule is ReceiveOrder.
func (s State) Rule() Rule { return ReceiveOrder }

// Base is as Log.
func (s State) Base(member uint32) (TimedBase, int, error) {
	sequence, head, live, err := s.Log(member)
	return TimedBase{Sequence: sequence, Head: head}, live, err
}

// Busy is HasSolid.
func (s State) Busy() bool { return s.HasSolid() }

// Idle is Skip.
func (s State) Idle(height uint64) Logs { return s.Skip(height) }

// CheckNext is Check.
func (s State) CheckNext(c TimedChunk) error { return s.Check(c.Chunk) }

// Next is [Step].
func (s State) Next(height uint64, chunks []TimedChunk, done func(threshold.ID) bool) (Logs, []Set, []threshold.ID, error) {
	plain := make([]Chunk, len(chunks))
	for i, c := range chunks {
		plain[i] = c.Chunk
	}
	next, d, err := Step(s, height, plain, done)
	sets := make([]Set, len(d.Frames))
	for i := range d.Frames {
		sets[i] = &d.Frames[i]
	}
	return next, sets, d.Forgotten, err
}

// Reformed is [Reform].
func (s State) Reformed(p Params, height uint64, from []uint32, base []TimedBase) (Logs, error) {
	plain := make([]Base, len(base))
	for i, b := range base {
		plain[i] = Base{Sequence: b.Sequence, Head: b.Head}
	}
	return Reform(s, p, height, from, plain)
}

// Section encodes [NewSection]; nil if no id is new.
func (s State) Section(held []Said) ([]byte, []TimedChunk, error) {
	var own []Announcement
	for _, a := range held {
		if a, ok := a.(*Announcement); ok {
			own = append(own, *a)
		}
	}
	c := NewSection(s, own)
	if !c.news() {
		return nil, nil, nil
	}
	wire, err := c.MarshalBinary()
	if err != nil {
		return nil, nil, err
	}
	chunks := make([]Chunk, len(c.Entries))
	for i := range c.Entries {
		chunks[i] = c.Entries[i].Chunk()
	}
	return wire, untimedChunks(chunks), nil
}

// Read is [ParseSection] and [Section.Verify].
func (s State) Read(chainID string, section []byte, identities []ed25519.PublicKey) ([]TimedChunk, error) {
	c, err := ParseSection(s, chainID, section)
	if err != nil {
		return nil, err
	}
	if !c.news() {
		return nil, errNoNews
	}
	chunks, err := c.Verify(s, chainID, identities)
	return untimedChunks(chunks), err
}

func (c *Section) news() bool {
	return slices.ContainsFunc(c.Entries, func(a Announcement) bool { return len(a.IDs) > 0 })
}

func untimedChunks(chunks []Chunk) []TimedChunk {
	out := make([]TimedChunk, len(chunks))
	for i, c := range chunks {
		out[i].Chunk = c
	}
	return out
}

// Rule is ReceiveTime.
func (s TimedState) Rule() Rule { return ReceiveTime }

// Base gives where a member's log stands, and how many of its ids are not done; ErrMember if there is no such member.
func (s TimedState) Base(member uint32) (TimedBase, int, error) {
	sequence, head, times, watermark, err := s.Log(member)
	if err != nil {
		return TimedBase{}, 0, err
	}
	return TimedBase{Sequence: sequence, Head: head, Times: times, Watermark: watermark}, len(s.members[member-1].live), nil
}

// Waiting is as [State.Waiting].
func (s TimedState) Waiting(member uint32) []threshold.ID {
	if member < 1 || int(member) > len(s.members) {
		return nil
	}
	out := make([]threshold.ID, 0, len(s.members[member-1].live))
	for _, e := range s.members[member-1].live {
		out = append(out, s.ids[e.index].id)
	}
	return out
}

// Holders is as [State.Holders].
func (s TimedState) Holders(id threshold.ID) (out []uint32) {
	st, err := s.Status(id)
	if err != nil {
		return nil
	}
	for i, p := range st.Logs {
		if p > 0 {
			out = append(out, uint32(i+1))
		}
	}
	return out
}

// Busy reports whether a key is frozen: further heights order its id, even without further statements.
func (s TimedState) Busy() bool {
	return slices.ContainsFunc(s.ids, func(l timedID) bool { return l.frozen != 0 })
}

// Idle is as [State.Skip].
func (s TimedState) Idle(height uint64) Logs {
	if len(s.ids) == 0 && height > s.height {
		s.height = height
	}
	return s
}

// CheckNext is Check.
func (s TimedState) CheckNext(c TimedChunk) error { return s.Check(c) }

// Next is [TimedStep].
func (s TimedState) Next(height uint64, chunks []TimedChunk, done func(threshold.ID) bool) (Logs, []Set, []threshold.ID, error) {
	next, d, err := TimedStep(s, height, chunks, done)
	sets := make([]Set, len(d.Frames))
	for i := range d.Frames {
		sets[i] = &d.Frames[i]
	}
	return next, sets, d.Forgotten, err
}

// Reformed is [ReformTimed].
func (s TimedState) Reformed(p Params, height uint64, from []uint32, base []TimedBase) (Logs, error) {
	return ReformTimed(s, p, height, from, base)
}

// Section encodes [NewTimedSection]; nil if it has neither an id nor a watermark that ids in the logs may wait for.
func (s TimedState) Section(held []Said) ([]byte, []TimedChunk, error) {
	var own []TimedAnnouncement
	for _, a := range held {
		if a, ok := a.(*TimedAnnouncement); ok {
			own = append(own, *a)
		}
	}
	c := NewTimedSection(s, own)
	if !c.news(s) {
		return nil, nil, nil
	}
	wire, err := c.MarshalBinary()
	if err != nil {
		return nil, nil, err
	}
	chunks := make([]TimedChunk, len(c.Entries))
	for i := range c.Entries {
		chunks[i] = c.Entries[i].Chunk()
	}
	return wire, chunks, nil
}

// Read is [ParseTimedSection] and [TimedSection.Verify].
func (s TimedState) Read(chainID string, section []byte, identities []ed25519.PublicKey) ([]TimedChunk, error) {
	c, err := ParseTimedSection(s, chainID, section)
	if err != nil {
		return nil, err
	}
	if !c.news(s) {
		return nil, errNoNews
	}
	return c.Verify(s, chainID, identities)
}

// news: an idle chain takes no watermarks, or it would never rest.
func (c *TimedSection) news(s TimedState) bool {
	return slices.ContainsFunc(c.Entries, func(a TimedAnnouncement) bool {
		if len(a.IDs) > 0 {
			return true
		}
		_, _, _, watermark, err := s.Log(a.Statement.Member)
		return err == nil && s.Busy() && a.Statement.Watermark > watermark
	})
}

// Status tells how far an id has come, as [State.Status]: solid is being in 2f+1 logs, WaitsFor are the ids whose key may
// still be at most the one of this id.
func (s TimedState) Status(id threshold.ID) (*Status, error) {
	at, ok := s.find(id)
	if !ok {
		return nil, fmt.Errorf("%w: no committed log holds %v, or it is done", ErrUnknown, id)
	}
	l := &s.ids[at]
	out := &Status{Place: Place{ID: id, Logs: make([]uint32, len(s.members))}, FirstAt: l.first, SolidAt: l.frozen, Time: l.key}
	for i, m := range s.members {
		x := slices.IndexFunc(m.live, func(e stamp) bool { return int(e.index) == at })
		if out.Logs[i] = uint32(x + 1); x >= 0 {
			out.Held++
		}
	}
	if l.frozen == 0 {
		out.ForgottenAt = l.first + s.params.Horizon
		return out, nil
	}
	out.DueAt = l.frozen + s.params.Wait
	for x, row := range s.times() {
		if s.ids[x].frozen != 0 {
			continue
		}
		for i, t := range row {
			if t == noTime {
				row[i] = s.members[i].watermark
			}
		}
		if s.smallest(row) <= l.key {
			out.WaitsFor = append(out.WaitsFor, s.ids[x].id)
		}
	}
	return out, nil
}

// Content are the ids.
func (f *Frame) Content() []threshold.ID { return f.IDs }

// IsForced is Forced.
func (f *Frame) IsForced() bool { return f.Forced }

// LogCount is the number of logs.
func (f *Frame) LogCount() int { return len(f.Logs) }

// Rule is ReceiveOrder.
func (f *Frame) Rule() Rule { return ReceiveOrder }

// Final is Order.
func (f *Frame) Final(p Params, beacon [32]byte) []Component { return f.Order(p, beacon) }

// Part is Split.
func (f *Frame) Part(p Params, n int) (first, rest Set) {
	a, b := f.Split(p, n)
	return set(a), set(b)
}

// Content are the ids.
func (f *TimedFrame) Content() []threshold.ID { return f.IDs }

// IsForced is Forced.
func (f *TimedFrame) IsForced() bool { return f.Forced }

// LogCount is 0: the keys are all that is left of the logs.
func (f *TimedFrame) LogCount() int { return 0 }

// Rule is ReceiveTime.
func (f *TimedFrame) Rule() Rule { return ReceiveTime }

// Final is Order.
func (f *TimedFrame) Final(_ Params, beacon [32]byte) []Component { return f.Order(beacon) }

// Sequence is the frame by key, then by id: the order in which [TimedFrame.Cut] cuts.
func (f *TimedFrame) Sequence(Params) []threshold.ID { return slices.Concat(f.order(compareIDs)...) }

// Part is Cut after n ids.
func (f *TimedFrame) Part(_ Params, n int) (first, rest Set) {
	a, b := f.Cut(func(ids []threshold.ID) bool { return len(ids) <= n })
	return set(a), set(b)
}

// set keeps a nil pointer from becoming a Set that is not nil.
func set[T any, P interface {
	*T
	Set
}](f P) Set {
	if f == nil {
		return nil
	}
	return f
}

// Key is that of an id: the (f+1)-th smallest of its times, in milliseconds since 1970.
func (f *TimedFrame) Key(id threshold.ID) (key uint64, ok bool) {
	x, ok := slices.BinarySearchFunc(f.IDs, id, compareIDs)
	if !ok {
		return 0, false
	}
	return f.Keys[x], true
}

// Explain is as [Frame.Explain]: by the times, or, in one millisecond, by the beacon.
func (f *TimedFrame) Explain(_ Params, beacon [32]byte, a, b threshold.ID) (*Explanation, error) {
	x, okX := f.Key(a)
	y, okY := f.Key(b)
	if !okX || !okY || a == b {
		return nil, fmt.Errorf("%w: the frame has not both of %v and %v", ErrUnknown, a, b)
	}
	e := &Explanation{
		First: Place{ID: a, Key: TieKey(beacon, a)}, Second: Place{ID: b, Key: TieKey(beacon, b)}, Reason: ByTime, Forced: f.Forced,
	}
	if x > y || x == y && slices.Compare(e.First.Key[:], e.Second.Key[:]) > 0 {
		e.First, e.Second = e.Second, e.First
	}
	if x != y {
		return e, nil
	}
	e.Reason, e.Won, e.Lost = ByBeacon, e.First.ID, e.Second.ID
	for _, c := range f.Order(beacon) {
		if slices.Contains(c, a) {
			e.Component = c
		}
	}
	return e, nil
}

// Head is the statement.
func (a *Announcement) Head() Statement { return a.Statement }

// New are the ids.
func (a *Announcement) New() []threshold.ID { return a.IDs }

// Verify is that of the statement.
func (a *Announcement) Verify(key ed25519.PublicKey) error { return a.Statement.Verify(key) }

// After leaves ids out that are up to the sequence number.
func (a *Announcement) After(sequence uint64) Said {
	n, ok := beyond(a.Statement.Sequence, len(a.IDs), sequence)
	if !ok {
		return nil
	}
	return &Announcement{Statement: a.Statement, IDs: a.IDs[n:]}
}

// Fork is [NewEquivocation].
func (a *Announcement) Fork(other Said) Fork {
	if b, ok := other.(*Announcement); ok {
		if e, err := NewEquivocation(a.Statement, b.Statement); err == nil {
			return e
		}
	}
	return nil
}

// beyond is how many of the last n ids of a log with this sequence number are up to another one; false if that one is not among them.
func beyond(sequence uint64, n int, after uint64) (int, bool) {
	first := sequence - uint64(n)
	if first > after || after > sequence {
		return 0, false
	}
	return int(after - first), true
}

// Head is the statement without times.
func (a *TimedAnnouncement) Head() Statement {
	st := *a.Statement.untimed()
	st.Signature = a.Statement.Signature
	return st
}

// New are the ids.
func (a *TimedAnnouncement) New() []threshold.ID { return a.IDs }

// Verify is that of the statement.
func (a *TimedAnnouncement) Verify(key ed25519.PublicKey) error { return a.Statement.Verify(key) }

// After leaves entries out that are up to the sequence number.
func (a *TimedAnnouncement) After(sequence uint64) Said {
	n, ok := beyond(a.Statement.Sequence, len(a.IDs), sequence)
	if !ok {
		return nil
	}
	return &TimedAnnouncement{Statement: a.Statement, IDs: a.IDs[n:], Times: a.Times[n:]}
}

// Fork is [NewTimedEquivocation].
func (a *TimedAnnouncement) Fork(other Said) Fork {
	if b, ok := other.(*TimedAnnouncement); ok {
		if e, err := NewTimedEquivocation(a.Statement, b.Statement); err == nil {
			return e
		}
	}
	return nil
}

var (
	_ Logs = State{}
	_ Logs = TimedState{}
	_ Set  = (*Frame)(nil)
	_ Set  = (*TimedFrame)(nil)
	_ Fork = (*Equivocation)(nil)
	_ Fork = (*TimedEquivocation)(nil)
)
