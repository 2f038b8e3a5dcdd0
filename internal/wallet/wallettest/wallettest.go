// Package wallettest makes committees and nodes for tests of what a wallet believes.
//
// A [Committee] comes from a real ceremony. Its [Member] is an HTTP server with the
// real API that orders and opens what it gets at once, and whose answers a test can
// falsify.
package wallettest

import (
	"context"
	"crypto/rand"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// Committee is a real one, made by a real ceremony.
type Committee struct {
	secrets     []*keygen.MemberSecret
	shares      []*threshold.SecretShare
	states      []*keygen.State // after each event
	Certificate *keygen.Certificate
}

// Secret is what member index, 1 to 4, keeps.
func (c *Committee) Secret(index uint32) *keygen.MemberSecret { return c.secrets[index-1] }

// Share is the share of member index, 1 to 4.
func (c *Committee) Share(index uint32) *threshold.SecretShare { return c.shares[index-1] }

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
	terms := &keygen.Terms{ChainID: chain, Epoch: 1, Attempt: 1, Threshold: 3, Phases: keygen.EqualPhases(5), StartHeight: 1}
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		s := must(keygen.NewMemberSecret(rand.Reader))(t)
		c.secrets = append(c.secrets, s)
		terms.Members = append(terms.Members, s.Member(name))
	}
	var participants []*keygen.Participant
	for i, s := range c.secrets {
		participants = append(participants, must(keygen.NewParticipant(s, terms, [32]byte{byte(i)}))(t))
	}
	state := must(keygen.New(terms))(t)
	c.states = []*keygen.State{state}
	for height := uint64(1); !state.Done() && height < 50; height++ {
		messages := []*keygen.Message{nil} // a nil ends the height
		for i, p := range participants {
			if state.Phase() == keygen.PhaseCertifying && len(c.shares) < len(participants) {
				share := must(p.Share(state))(t)
				c.shares = append(c.shares, share)
				if err := p.ConfirmStored(share); err != nil {
					t.Fatal(err)
				}
			}
			if state.Phase() == keygen.PhaseStoring {
				if err := p.ConfirmReadBack(c.shares[i]); err != nil {
					t.Fatal(err)
				}
			}
			if m := must(p.Next(state))(t); m != nil {
				messages = append([]*keygen.Message{m}, messages...)
			}
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

// Member is a node of one member: it orders and opens what it gets at once. The
// functions, if set, change what it says.
type Member struct {
	httpapi.Backend
	committee *Committee
	index     uint32
	Height    uint64
	Now       func() time.Time // the node's clock
	State     *keygen.State    // of the ceremony; the end of it by default; Relay changes it
	Reasons   []v1.Reason      // for not being ready

	mu      sync.Mutex
	txs     map[threshold.ID]v1.Transaction
	batches map[uint64]v1.Batch

	LieCommittee func(*v1.Committee)
	LieKeys      func(*v1.EncryptionKeys)
	LieLimits    func(*v1.Limits)
	LieReceipt   func(*commitreveal.Receipt) // before it is signed
	LieAnswer    func(*v1.Transaction)       // to a submission
	LieStatus    func(*v1.Transaction)
	LieBatch     func(*v1.Batch)
}

// Member is the node of a member, 1 to 4. Nodes of one committee know nothing of each other.
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
	t := m.ceremony().Terms()
	return v1.Health{Status: "ok", ChainID: t.ChainID, Node: t.Members[m.index-1].Name, Height: m.height(), Version: "v0.0.0-test", Time: v1.TimeOf(m.Now())}
}

// Ready is part of httpapi.Backend.
func (m *Member) Ready(context.Context) v1.Readiness {
	return v1.Readiness{Ready: len(m.Reasons) == 0, Height: m.height(), Peers: 3, Reasons: append([]v1.Reason{}, m.Reasons...)}
}

// Ceremonies is part of httpapi.Backend.
func (m *Member) Ceremonies(ctx context.Context) (v1.Ceremonies, error) {
	c, err := m.Ceremony(ctx, "")
	return v1.Ceremonies{Ceremonies: []v1.CeremonySummary{c.CeremonySummary}}, err
}

// Ceremony is part of httpapi.Backend.
func (m *Member) Ceremony(_ context.Context, wanted string) (v1.Ceremony, error) {
	state := m.ceremony()
	t, status, id := state.Terms(), state.Status(), state.Ceremony()
	if wanted != "" && wanted != v1.Hex(id[:]).String() {
		return v1.Ceremony{}, httpapi.Errorf(v1.CodeNotFound, "unknown")
	}
	terms, err := t.MarshalBinary()
	if err != nil {
		return v1.Ceremony{}, err
	}
	deadline := status.Deadline
	out := v1.Ceremony{
		CeremonySummary: v1.CeremonySummary{ID: v1.HexOf(id[:]), Epoch: t.Epoch, Attempt: t.Attempt, Threshold: uint32(t.Threshold),
			Members: uint32(t.N()), Outcome: v1.CeremonyRunning, Phase: status.Phase, StartHeight: t.StartHeight, Deadline: &deadline},
		ChainID: t.ChainID, Waiting: status.Waiting, Aborting: status.Aborting, Blame: []v1.Fault{}, Evidence: []v1.Hex{}, Terms: terms,
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
	for i, one := range status.Members {
		out.Status = append(out.Status, v1.CeremonyMember{Index: one.Index, Name: one.Name, Identity: v1.HexOf(t.Members[i].Identity), Consent: one.Consent, Deal: one.Deal,
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
	var next *keygen.State
	if message.Kind == keygen.KindProposal {
		next, err = keygen.BeginRetry(m.State, m.Height+1, message)
	} else {
		next, _, err = keygen.Step(m.State, keygen.Event{Height: m.Height + 1, Message: message})
	}
	if err != nil {
		return v1.CeremonyMessage{}, httpapi.Errorf(v1.CodeNotAdmitted, "%v", err)
	}
	m.State = next
	m.Height++
	return v1.CeremonyMessage{Ceremony: v1.HexOf(message.Ceremony[:]), Kind: message.Kind.String(), Member: message.Member}, nil
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

// Committee is part of httpapi.Backend.
func (m *Member) Committee(context.Context) (v1.Committee, error) {
	c := m.committee.Certificate
	b, err := c.MarshalBinary()
	if err != nil {
		return v1.Committee{}, err
	}
	out := v1.Committee{ChainID: c.Terms.ChainID, Certificate: b, Members: []v1.CommitteeMember{}}
	if m.LieCommittee != nil {
		m.LieCommittee(&out)
	}
	return out, nil
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
	r := commitreveal.Receipt{ChainID: ct.Header().ChainID, ID: id, Member: m.index, ValidUntil: ct.Header().ValidUntil, Time: 1_700_000_000_000,
		Position: uint64(len(m.txs) + 1), Head: commitreveal.NextHead(commitreveal.Hash{}, id)}
	if m.LieReceipt != nil {
		m.LieReceipt(&r)
	}
	if err := commitreveal.SignReceipt(m.committee.secrets[m.index-1].Identity(), &r); err != nil {
		return v1.Transaction{}, err
	}
	tx, err := m.open(ct)
	if err != nil {
		return v1.Transaction{}, err
	}
	tx.Receipt = &v1.Receipt{ChainID: r.ChainID, ID: r.ID[:], Member: r.Member, ValidUntil: r.ValidUntil, Time: v1.UnixMilli(r.Time),
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
	for _, s := range m.committee.shares[:3] {
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
