// Package wallettest makes committees and nodes for tests of what a wallet and a member believe.
//
// A [Committee] comes from a real ceremony, and so does the one after it ([Committee.Succeed]).
// Its [Member] is an HTTP server with the real API before real ceremony states, that
// orders and opens what it gets at once, and whose answers a test can falsify.
package wallettest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// Person is somebody who is, or may become, a member.
type Person struct {
	Name   string
	Secret *keygen.MemberSecret
}

// NewPerson draws the secret of somebody.
func NewPerson(t testing.TB, name string) Person {
	t.Helper()
	return Person{name, must(keygen.NewMemberSecret(rand.Reader))(t)}
}

// Committee is a real one, made by a real ceremony.
type Committee struct {
	People      []Person
	Before      *Committee // that handed over to it; nil: none
	Certificate *keygen.Certificate

	shares []*threshold.SecretShare // of member i+1
	states []*keygen.State          // after each event
}

// Secret is what member index, from 1, keeps.
func (c *Committee) Secret(index uint32) *keygen.MemberSecret { return c.People[index-1].Secret }

// Share is the share of member index, from 1.
func (c *Committee) Share(index uint32) *threshold.SecretShare { return c.shares[index-1] }

// Since is the height at which the nodes say that it came into office: 40 for each before it.
func (c *Committee) Since() uint64 {
	if c.Before == nil {
		return 40
	}
	return c.Before.Since() + 40
}

// line are the committees up to this one, the first first.
func (c *Committee) line() []*Committee {
	if c.Before == nil {
		return []*Committee{c}
	}
	return append(c.Before.line(), c)
}

// Ceremony is the ceremony when it was in the given phase.
func (c *Committee) Ceremony(t testing.TB, p keygen.Phase) *keygen.State {
	t.Helper()
	for _, s := range c.states {
		if s.Phase() == p {
			return s
		}
	}
	t.Fatalf("the ceremony was never %v", p)
	return nil
}

// NewCommittee plays a ceremony of alice, bob, carol and dave, three of whom open.
func NewCommittee(t testing.TB, chain string) *Committee {
	t.Helper()
	c := &Committee{}
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		c.People = append(c.People, NewPerson(t, name))
	}
	terms := &keygen.Terms{ChainID: chain, Epoch: 1, Attempt: 1, Threshold: 3, Phases: keygen.EqualPhases(5), StartHeight: 1,
		Limits: ordering.DefaultParams().Hash(), Change: keygen.ChangeFirst, Members: members(c.People)}
	return c.play(t, terms, must(keygen.New(terms))(t))
}

// Succeed plays the ceremony of the next committee, of these people. change may alter its
// terms, which are those of a resharing.
func (c *Committee) Succeed(t testing.TB, change func(*keygen.Terms), people ...Person) *Committee {
	t.Helper()
	next := &Committee{People: people, Before: c}
	state := c.Propose(t, c.Next(t, change, people...), 100)
	for _, p := range next.everybody() {
		state = Vote(t, state, keygen.KindConsent, p.Secret)
	}
	return next.play(t, state.Terms(), state)
}

// Next are the terms of a resharing to these people; change may alter them.
func (c *Committee) Next(t testing.TB, change func(*keygen.Terms), people ...Person) *keygen.Terms {
	t.Helper()
	terms := &keygen.Terms{ChainID: c.Certificate.Terms.ChainID, Epoch: c.Certificate.Terms.Epoch + 1, Attempt: 1, Threshold: keygen.DefaultThreshold(len(people)),
		Phases: keygen.EqualPhases(5), StartHeight: 110, Limits: c.Certificate.Terms.Limits, Change: keygen.ChangeReshare,
		Previous: must(keygen.PreviousOf(c.Certificate))(t), Members: members(people)}
	if change != nil {
		change(terms)
	}
	return terms
}

// Propose is the ceremony under the terms after the first member has proposed it.
func (c *Committee) Propose(t testing.TB, terms *keygen.Terms, height uint64) *keygen.State {
	t.Helper()
	m := must(keygen.ProposeTerms(c.Secret(1), terms))(t)
	return must(keygen.BeginSuccession(c.Certificate, terms.Attempt, height, m))(t)
}

// Vote gives the state after somebody has said what it thinks, in all its roles that are asked.
func Vote(t testing.TB, s *keygen.State, k keygen.Kind, secret *keygen.MemberSecret) *keygen.State {
	t.Helper()
	for _, m := range must(keygen.Votes(secret, s.Terms(), k))(t) {
		if s.Admit(m) != nil {
			continue // enough of that role have said it
		}
		next, _, err := keygen.Step(s, keygen.Event{Height: s.Height(), Message: m})
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	return s
}

func members(people []Person) (out []keygen.Member) {
	for _, p := range people {
		out = append(out, p.Secret.Member(p.Name))
	}
	return out
}

// everybody has a role in the committee's ceremony.
func (c *Committee) everybody() []Person {
	all := slices.Clone(c.People)
	if c.Before == nil {
		return all
	}
	for _, p := range c.Before.People {
		if !slices.ContainsFunc(all, func(o Person) bool { return identity(o).Equal(identity(p)) }) {
			all = append(all, p)
		}
	}
	return all
}

func identity(p Person) ed25519.PublicKey { return p.Secret.Member("").Identity }

// play holds the ceremony from a state on to its end, with everybody.
func (c *Committee) play(t testing.TB, terms *keygen.Terms, state *keygen.State) *Committee {
	t.Helper()
	players := c.players(t, terms)
	c.states = []*keygen.State{state}
	for height := state.Height() + 1; !state.Done() && height < state.Height()+50; height++ {
		messages := []*keygen.Message{nil} // a nil ends the height
		for _, p := range players {
			messages = append(c.speak(t, p, state), messages...)
		}
		for _, m := range messages {
			next, _, err := keygen.Step(state, keygen.Event{Height: height, Message: m})
			if err != nil {
				t.Fatal(err)
			}
			state = next
			c.states = append(c.states, state)
		}
	}
	if c.Certificate = state.Certificate(); c.Certificate == nil {
		t.Fatalf("the ceremony ended %v: %v", state.Phase(), state.Blame())
	}
	return c
}

func (c *Committee) players(t testing.TB, terms *keygen.Terms) (players []*keygen.Participant) {
	t.Helper()
	c.shares = make([]*threshold.SecretShare, terms.N())
	for i, person := range c.everybody() {
		p := must(keygen.NewParticipant(person.Secret, terms, [32]byte{byte(i)}))(t)
		if terms.Change == keygen.ChangeReshare {
			for j, old := range c.Before.People {
				if identity(old).Equal(identity(person)) {
					check(t, p.UseShare(c.Before.shares[j]))
				}
			}
		}
		players = append(players, p)
	}
	return players
}

// speak is what a participant says now. The share is kept, which stands for the disk.
func (c *Committee) speak(t testing.TB, p *keygen.Participant, state *keygen.State) []*keygen.Message {
	t.Helper()
	if i := p.Index(); i > 0 && state.Phase() == keygen.PhaseCertifying && c.shares[i-1] == nil {
		c.shares[i-1] = must(p.Share(state))(t)
		check(t, p.ConfirmStored(c.shares[i-1]))
	} else if i > 0 && state.Phase() == keygen.PhaseStoring {
		check(t, p.ConfirmReadBack(c.shares[i-1]))
	}
	return must(p.Next(state))(t)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Member is a node of one member: it orders and opens what it gets at once. The
// functions, if set, change what it says.
type Member struct {
	httpapi.Backend
	committee *Committee
	index     uint32
	Height    uint64
	Now       func() time.Time // the node's clock
	State     *keygen.State    // of the newest ceremony; the end of the committee's own by default; Relay changes it
	Past      []*keygen.State  // ceremonies for the same epoch that came to nothing, oldest first
	Reasons   []v1.Reason      // for not being ready

	// OnAccepted is called, once, when Relay has brought the newest ceremony as far as accepted. It
	// stands for the nodes of all members, which then hold it; see Hold.
	OnAccepted func(*Member)

	mu      sync.Mutex
	txs     map[threshold.ID]v1.Transaction
	batches map[uint64]v1.Batch

	LieCommittees func(*v1.Committees)
	LieTranscript func([]byte) []byte
	LieKeys       func(*v1.EncryptionKeys)
	LieLimits     func(*v1.Limits)
	LieReceipt    func(*commitreveal.Receipt) // before it is signed
	LieAnswer     func(*v1.Transaction)       // to a submission
	LieStatus     func(*v1.Transaction)
	LieBatch      func(*v1.Batch)
}

// Member is the node of a member, from 1. Nodes of one committee know nothing of each other.
func (c *Committee) Member(index uint32) *Member {
	return &Member{committee: c, index: index, Height: 100, Now: time.Now, State: c.states[len(c.states)-1], txs: map[threshold.ID]v1.Transaction{}, batches: map[uint64]v1.Batch{}}
}

// Serve gives the node's address; it serves until the test ends.
func (m *Member) Serve(t testing.TB) string {
	s := httptest.NewServer(httpapi.New(m, httpapi.Options{}))
	t.Cleanup(s.Close)
	return s.URL
}

// Limits is part of httpapi.Backend.
func (m *Member) Limits(context.Context) v1.Limits {
	l := v1.Limits{ChainID: m.committee.Certificate.Terms.ChainID, Height: m.height(), MaxValidity: 1000, MaxSizeClass: 9}
	if m.LieLimits != nil {
		m.LieLimits(&l)
	}
	return l
}

// Health is part of httpapi.Backend.
func (m *Member) Health(context.Context) v1.Health {
	return v1.Health{Status: "ok", ChainID: m.ceremony().Terms().ChainID, Node: m.committee.People[m.index-1].Name, Height: m.height(), Version: "v0.0.0-test", Time: v1.TimeOf(m.Now())}
}

// Ready is part of httpapi.Backend.
func (m *Member) Ready(context.Context) v1.Readiness {
	return v1.Readiness{Ready: len(m.Reasons) == 0, Height: m.height(), Peers: 3, Reasons: append([]v1.Reason{}, m.Reasons...)}
}

// Ceremonies is part of httpapi.Backend.
func (m *Member) Ceremonies(_ context.Context, before string, limit int) (v1.Ceremonies, error) {
	var out v1.Ceremonies
	from := before == ""
	for _, s := range m.ceremonies() {
		c, err := m.describe(s)
		if err != nil {
			return out, err
		}
		if !from {
			from = c.ID.String() == before
			continue
		}
		if len(out.Ceremonies) == limit {
			out.Next = out.Ceremonies[limit-1].ID
			break
		}
		out.Ceremonies = append(out.Ceremonies, c.CeremonySummary)
	}
	return out, nil
}

// ceremonies are all that the node knows, newest first.
func (m *Member) ceremonies() []*keygen.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := []*keygen.State{m.State}
	for _, s := range slices.Backward(m.Past) {
		all = append(all, s)
	}
	for _, c := range slices.Backward(m.committee.line()) {
		if s := c.states[len(c.states)-1]; m.State.Ceremony() != s.Ceremony() {
			all = append(all, s)
		}
	}
	return all
}

// find gives the ceremony with an id, "0x" and 64 digits.
func (m *Member) find(id string) (*keygen.State, error) {
	for _, s := range m.ceremonies() {
		have := s.Ceremony()
		if id == v1.Hex(have[:]).String() {
			return s, nil
		}
	}
	return nil, httpapi.Errorf(v1.CodeNotFound, "unknown")
}

// Ceremony is part of httpapi.Backend.
func (m *Member) Ceremony(_ context.Context, id string) (v1.Ceremony, error) {
	s, err := m.find(id)
	if err != nil {
		return v1.Ceremony{}, err
	}
	return m.describe(s)
}

// Transcript is part of httpapi.Backend.
func (m *Member) Transcript(_ context.Context, id string) ([]byte, error) {
	s, err := m.find(id)
	if err != nil {
		return nil, err
	}
	b, err := s.MarshalBinary()
	if err == nil && m.LieTranscript != nil {
		b = m.LieTranscript(b)
	}
	return b, err
}

func (m *Member) describe(state *keygen.State) (v1.Ceremony, error) {
	t, status, id := state.Terms(), state.Status(), state.Ceremony()
	terms, err := t.MarshalBinary()
	if err != nil {
		return v1.Ceremony{}, err
	}
	deadline := status.Deadline
	out := v1.Ceremony{
		CeremonySummary: v1.CeremonySummary{ID: v1.HexOf(id[:]), Epoch: t.Epoch, Attempt: t.Attempt, Threshold: uint32(t.Threshold), Change: t.Change.String(), Overlap: t.Overlap,
			Members: uint32(t.N()), Outcome: v1.CeremonyRunning, Phase: status.Phase, StartHeight: t.StartHeight, Deadline: &deadline},
		ChainID: t.ChainID, Waiting: status.Waiting, Aborting: status.Aborting, Blame: []v1.Fault{}, Evidence: []v1.Hex{}, Terms: terms,
	}
	if t.Previous != nil {
		out.PreviousEpoch = &t.Previous.Committee.Epoch
	}
	if state.Done() {
		out.Outcome, out.Deadline, out.EndedIn = v1.CeremonyFailed, nil, &status.EndedIn
	}
	switch state.Phase() {
	case keygen.PhaseAborted:
		out.Outcome = v1.CeremonyAborted
	case keygen.PhaseRejected:
		out.Outcome = v1.CeremonyRejected
	}
	if c := state.Certificate(); c != nil {
		out.Outcome = v1.CeremonySucceeded
		if out.Certificate, err = c.MarshalBinary(); err != nil {
			return v1.Ceremony{}, err
		}
	}
	for _, one := range status.Members {
		out.Status = append(out.Status, v1.CeremonyMember{Index: one.Index, Role: one.Role, Name: one.Name, Identity: v1.HexOf(t.Speaker(one.Index).Identity), Consent: one.Consent, Deal: one.Deal,
			Response: one.Response, Justification: one.Justification, Certification: one.Certification, Stored: one.Stored, Qualified: one.Qualified})
	}
	for _, f := range state.Blame() {
		out.Blame = append(out.Blame, v1.Fault{Member: f.Member, Phase: f.Phase.String(), Height: f.Height, Reason: f.String()})
	}
	return out, nil
}

// ceremony is the state that counts now.
func (m *Member) ceremony() *keygen.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.State
}

func (m *Member) height() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Height
}

// Relay is part of httpapi.Backend: what the ceremony takes is in the next block at once.
func (m *Member) Relay(_ context.Context, id string, wire []byte) (v1.CeremonyMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	message, err := keygen.ParseMessage(wire)
	if err != nil {
		return v1.CeremonyMessage{}, httpapi.Errorf(v1.CodeMalformedMessage, "%v", err)
	}
	current := m.State.Ceremony()
	if id != v1.Hex(current[:]).String() {
		return v1.CeremonyMessage{}, httpapi.Errorf(v1.CodeNotFound, "unknown")
	}
	next, err := m.step(message)
	if err != nil {
		return v1.CeremonyMessage{}, httpapi.Errorf(v1.CodeNotAdmitted, "%v", err)
	}
	m.State = next
	m.Height++
	if held := m.OnAccepted; held != nil && m.State.Phase() == keygen.PhaseAccepted {
		m.OnAccepted = nil
		held(m)
	}
	return v1.CeremonyMessage{Ceremony: v1.HexOf(message.Ceremony[:]), Kind: message.Kind.String(), Member: message.Member}, nil
}

// step gives the newest ceremony after a message, which may begin another.
func (m *Member) step(message *keygen.Message) (*keygen.State, error) {
	if message.Kind != keygen.KindProposal {
		next, _, err := keygen.Step(m.State, keygen.Event{Height: m.Height + 1, Message: message})
		return next, err
	}
	if m.State.Terms().Change == keygen.ChangeFirst && m.State.Phase() != keygen.PhaseActive {
		next, err := keygen.BeginRetry(m.State, m.Height+1, message)
		return next, err
	}
	if !m.State.Done() {
		return nil, keygen.ErrRetry
	}
	attempt := uint32(1)
	if m.State.Terms().Epoch == m.committee.Certificate.Terms.Epoch+1 {
		attempt = m.State.Terms().Attempt + 1
	}
	next, err := keygen.BeginSuccession(m.committee.Certificate, attempt, m.Height+1, message)
	if err == nil && attempt > 1 {
		m.Past = append(m.Past, m.State)
	}
	return next, err
}

// Hold lets everybody hold the newest ceremony to its end: its committee, of these people, is
// in office then. It is to be called from OnAccepted.
func (m *Member) Hold(t testing.TB, people ...Person) *Committee {
	t.Helper()
	next := &Committee{People: people, Before: m.committee}
	next.play(t, m.State.Terms(), m.State)
	m.committee, m.State = next, next.states[len(next.states)-1]
	m.Height = m.State.Height()
	return next
}

// EncryptionKeys is part of httpapi.Backend.
func (m *Member) EncryptionKeys(context.Context) (v1.EncryptionKeys, error) {
	c := m.committee.Certificate
	id := c.Committee.Key.ID()
	keys := v1.EncryptionKeys{ChainID: c.Terms.ChainID, Height: m.Height, Keys: []v1.EncryptionKey{{KeyID: id[:], PublicKey: c.Committee.Key.Bytes(), Suite: threshold.Suite}}}
	if m.LieKeys != nil {
		m.LieKeys(&keys)
	}
	return keys, nil
}

// Committees is part of httpapi.Backend: pages of two.
func (m *Member) Committees(_ context.Context, from uint64, _ int) (v1.Committees, error) {
	out := v1.Committees{ChainID: m.committee.Certificate.Terms.ChainID, Height: m.height(), Committees: []v1.CommitteeRecord{}}
	line := m.committee.line()
	for i, c := range line {
		terms := c.Certificate.Terms
		if terms.Epoch < from {
			continue
		}
		if len(out.Committees) == 2 {
			out.Next = &terms.Epoch
			break
		}
		r, err := c.record()
		if err != nil {
			return out, err
		}
		if i+1 < len(line) {
			until := line[i+1].Since()
			r.Until = &until
		}
		r.LogIndex = uint64(10 * i)
		out.Committees = append(out.Committees, r)
	}
	if m.LieCommittees != nil {
		m.LieCommittees(&out)
	}
	return out, nil
}

func (c *Committee) record() (v1.CommitteeRecord, error) {
	terms, id := c.Certificate.Terms, c.Certificate.Committee.Key.ID()
	hash := terms.Hash()
	b, err := c.Certificate.MarshalBinary()
	return v1.CommitteeRecord{Epoch: terms.Epoch, Change: terms.Change.String(), Threshold: uint32(terms.Threshold), Members: uint32(terms.N()), Since: c.Since(),
		KeyID: id[:], TermsHash: hash[:], Certificate: b}, err
}

// Submit is part of httpapi.Backend.
func (m *Member) Submit(_ context.Context, namespace string, ciphertext []byte) (v1.Transaction, error) {
	ct, err := threshold.ParseCiphertext(ciphertext)
	if err != nil {
		return v1.Transaction{}, err
	}
	id := ct.ID()
	m.mu.Lock()
	defer m.mu.Unlock()
	r := commitreveal.Receipt{ChainID: ct.Header().ChainID, ID: id, Epoch: m.committee.Certificate.Terms.Epoch, Member: m.index, ValidUntil: ct.Header().ValidUntil, Time: 1_700_000_000_000,
		Position: uint64(len(m.txs) + 1), Head: commitreveal.NextHead(commitreveal.Hash{}, id)}
	if m.LieReceipt != nil {
		m.LieReceipt(&r)
	}
	if err := commitreveal.SignReceipt(m.committee.Secret(m.index).Identity(), &r); err != nil {
		return v1.Transaction{}, err
	}
	tx, err := m.open(ct)
	if err != nil {
		return v1.Transaction{}, err
	}
	tx.Receipt = &v1.Receipt{ChainID: r.ChainID, ID: r.ID[:], Epoch: r.Epoch, Member: r.Member, ValidUntil: r.ValidUntil, Time: v1.UnixMilli(r.Time),
		Position: r.Position, Head: r.Head[:], Signature: r.Signature[:]}
	m.txs[id] = tx
	if m.LieAnswer != nil {
		m.LieAnswer(&tx)
	}
	return tx, nil
}

// open orders and opens: it makes a batch of the ciphertext alone.
func (m *Member) open(ct *threshold.Ciphertext) (v1.Transaction, error) {
	c, id := m.committee.Certificate.Committee, ct.ID()
	m.Height++
	height, position, reveal := m.Height, uint32(0), m.Height+1
	tx := v1.Transaction{ID: id[:], Namespace: ct.Header().Namespace, Status: v1.StatusRevealed, ValidUntil: ct.Header().ValidUntil,
		Height: &height, Position: &position, Place: &position, RevealHeight: &reveal}
	checked, err := ct.Check()
	if err != nil {
		return tx, err
	}
	batch := []*threshold.Checked{checked}
	checkpoint := commitreveal.Checkpoint{ChainID: ct.Header().ChainID, Height: height, Epoch: c.Epoch, BatchRoot: commitreveal.BatchRoot([]threshold.ID{id}), LogSize: height}
	message, err := checkpoint.MarshalBinary()
	if err != nil {
		return tx, err
	}
	var shares []*threshold.BatchShare
	var signatures []threshold.SignatureShare
	for _, s := range m.committee.shares[:c.Threshold] {
		share, err := s.ShareBatch(batch)
		if err != nil {
			return tx, err
		}
		signature, err := s.Sign(message)
		if err != nil {
			return tx, err
		}
		shares, signatures = append(shares, share), append(signatures, signature)
	}
	openings, _, err := threshold.Combine(c, batch, shares)
	if err != nil {
		return tx, err
	}
	certificate, _, err := threshold.CombineSignature(c, message, signatures)
	if err != nil {
		return tx, err
	}
	opening := openings[0].Opening()
	tx.Opening = opening[:]
	if tx.Plaintext, err = threshold.Open(openings[0]); err != nil {
		return tx, err
	}
	m.batches[height] = v1.Batch{
		BatchSummary: v1.BatchSummary{Height: height, Epoch: c.Epoch, Phase: v1.PhaseRevealed, Count: 1, RevealHeight: &reveal, Certificate: certificate[:],
			Checkpoint: &v1.Checkpoint{ChainID: checkpoint.ChainID, Height: height, Epoch: c.Epoch, LogSize: checkpoint.LogSize, LogRoot: checkpoint.LogRoot[:], Message: message}},
		Transactions: []v1.BatchItem{{ID: id[:], Status: v1.StatusRevealed, Opening: opening[:]}},
	}
	return tx, nil
}

// Transaction is part of httpapi.Backend.
func (m *Member) Transaction(_ context.Context, id threshold.ID) (v1.Transaction, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx, ok := m.txs[id]
	if !ok {
		return tx, httpapi.Errorf(v1.CodeNotFound, "unknown")
	}
	if m.LieStatus != nil {
		m.LieStatus(&tx)
	}
	return tx, nil
}

// Batch is part of httpapi.Backend.
func (m *Member) Batch(_ context.Context, height uint64) (v1.Batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.batches[height]
	if !ok {
		return b, httpapi.Errorf(v1.CodeNotFound, "unknown")
	}
	if m.LieBatch != nil {
		m.LieBatch(&b)
	}
	return b, nil
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
