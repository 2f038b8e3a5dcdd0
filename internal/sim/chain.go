// Package sim runs a chain's pure state machine without processes or network, for tests:
// a committee that makes its key block by block, seals, orders and opens. Everything it
// draws comes from a seed.
//
//	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
//	c.Block(ordering.Proposal{Txs: c.SealTxs("hello")})
//	c.Block(ordering.Proposal{Openings: c.Open(1, 2, 3)})
package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// Chain is a committee that made its key on a chain of its own, block by block through
// Propose, Check and Step, as the members' nodes do.
type Chain struct {
	t       testing.TB
	members []*keygen.Participant

	Genesis *ordering.Genesis
	Secrets []*keygen.MemberSecret
	Shares  []*threshold.SecretShare // after the ceremony; of member i+1
	Rand    *rand.ChaCha8

	Verifier *ordering.Verifier
	State    *ordering.State
	Blocks   []ordering.Block   // all so far
	Results  []*ordering.Result // of Blocks
	Initial  *ordering.State    // before the first block
	Rows     Rows
	Logs     []*Log // receive log of member i+1
	bodies   map[threshold.ID][]byte
}

// Rows is what a store would hold for Restore.
type Rows struct {
	ceremony []byte
	seen     []ordering.Seen
	bodies   map[uint64][][]byte
	Last     *ordering.Result
}

// NewRows is an empty store.
func NewRows() Rows { return Rows{bodies: make(map[uint64][][]byte)} }

// ChainID is that of every simulated chain.
const ChainID = "scrim-test-1"

// New is a chain of n members before its first block.
func New(t testing.TB, n int, params ordering.Params) *Chain {
	t.Helper()
	c := &Chain{t: t, Rand: rand.NewChaCha8([32]byte{byte(n)}), Verifier: ordering.NewVerifier(1 << 20), Rows: NewRows(), bodies: make(map[threshold.ID][]byte)}
	terms := keygen.Terms{
		ChainID: ChainID, Epoch: 1, Attempt: 1, Threshold: n - (n-1)/3, StartHeight: 1,
		Phases: keygen.EqualPhases(10),
	}
	for i := range n {
		secret, err := keygen.NewMemberSecret(c.Rand)
		c.Must(err)
		c.Secrets = append(c.Secrets, secret)
		terms.Members = append(terms.Members, secret.Member(fmt.Sprintf("member-%d", i+1)))
	}
	c.Genesis = &ordering.Genesis{ChainID: ChainID, Params: params, Terms: terms}
	for _, secret := range c.Secrets {
		consent, err := keygen.SignConsent(&terms, secret)
		c.Must(err)
		c.Genesis.Consents = append(c.Genesis.Consents, consent)
	}
	var err error
	c.State, err = ordering.New(c.Genesis)
	c.Must(err)
	c.Initial = c.State
	for i, secret := range c.Secrets {
		p, err := keygen.NewParticipant(secret, &c.Genesis.Terms, [32]byte{byte(i + 1)})
		c.Must(err)
		c.members = append(c.members, p)
		c.Logs = append(c.Logs, &Log{})
	}
	return c
}

// Must ends the test on an error.
func (c *Chain) Must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// Ceremony runs blocks until the committee is active.
func (c *Chain) Ceremony() *Chain {
	c.t.Helper()
	for range 60 {
		if c.State.Committee() != nil {
			return c
		}
		c.Block(ordering.Proposal{Txs: c.ceremonyTxs()})
	}
	c.t.Fatalf("no committee after %d blocks: phase %s, blame %v", c.State.Height(), c.State.Ceremony().Phase(), c.State.Ceremony().Blame())
	return nil
}

// Fail runs blocks without a message of a member until the ceremony has failed.
func (c *Chain) Fail() *Chain {
	c.t.Helper()
	for range 60 {
		if c.State.Ceremony().Done() {
			return c
		}
		c.Block(ordering.Proposal{})
	}
	c.t.Fatalf("the ceremony does not fail: %s", c.State.Ceremony().Phase())
	return nil
}

// Retry proposes another attempt in the name of a member (from 1), with dealing from the
// start height on, and lets the given members consent.
func (c *Chain) Retry(by int, start uint64, consent ...int) *Chain {
	c.t.Helper()
	terms := c.State.Ceremony().Terms().Retry(start)
	c.members, c.Shares = nil, nil
	for i, secret := range c.Secrets {
		p, err := keygen.NewParticipant(secret, terms, [32]byte{byte(i + 1), byte(terms.Attempt)})
		c.Must(err)
		c.members = append(c.members, p)
	}
	m, err := keygen.ProposeRetry(c.Secrets[by-1], terms)
	c.Must(err)
	c.Block(ordering.Proposal{Txs: [][]byte{c.Message(m)}})
	var txs [][]byte
	for _, j := range consent {
		m, err := keygen.Vote(c.Secrets[j-1], terms, keygen.KindConsent)
		c.Must(err)
		txs = append(txs, c.Message(m))
	}
	c.Block(ordering.Proposal{Txs: txs})
	return c
}

// Message is a ceremony message as a block transaction.
func (c *Chain) Message(m *keygen.Message) []byte {
	c.t.Helper()
	wire, err := m.MarshalBinary()
	c.Must(err)
	return ordering.CeremonyTx(wire)
}

func (c *Chain) ceremonyTxs() (txs [][]byte) {
	c.t.Helper()
	for i, p := range c.members {
		if c.State.Ceremony().Phase() == keygen.PhaseCertifying && len(c.Shares) < len(c.members) {
			share, err := p.Share(c.State.Ceremony())
			c.Must(err)
			c.Must(p.ConfirmStored(share))
			c.Shares = append(c.Shares, share)
		}
		if c.State.Ceremony().Phase() == keygen.PhaseStoring {
			c.Must(p.ConfirmReadBack(c.Shares[i]))
		}
		m, err := p.Next(c.State.Ceremony())
		c.Must(err)
		if m == nil {
			continue
		}
		txs = append(txs, c.Message(m))
	}
	return txs
}

// Block makes, judges and applies the next block. Without announcements in p, all members receive the ciphertexts
// in p in its order and announce that.
func (c *Chain) Block(p ordering.Proposal) *ordering.Result {
	c.t.Helper()
	if p.MaxBytes == 0 {
		p.MaxBytes = 4 << 20
	}
	if p.Announcements == nil {
		for i := range c.Logs {
			c.Receive(i+1, p.Txs...)
		}
		p.Announcements = c.Announce()
	}
	p.Bodies = append(p.Bodies, c.Bodies(ordering.Wanted(c.State, p.Announcements, p.Txs))...)
	return c.Apply(ordering.Propose(c.State, c.Verifier, p))
}

// Apply judges and applies the next block.
func (c *Chain) Apply(txs [][]byte) *ordering.Result {
	c.t.Helper()
	b := ordering.Block{Height: c.State.Height() + 1, Txs: txs}
	// A fresh verifier: what Check answers may not depend on what is remembered.
	if err := ordering.Check(c.State, ordering.NewVerifier(0), b); err != nil {
		c.t.Fatalf("honest proposal of height %d refused: %v", b.Height, err)
	}
	next, r, err := ordering.Step(c.State, c.Verifier, b)
	c.Must(err)
	for i, code := range r.Txs {
		if code != "" {
			c.t.Fatalf("height %d: transaction %d not applied: %s", b.Height, i, code)
		}
	}
	c.State = next
	c.Blocks = append(c.Blocks, b)
	c.Results = append(c.Results, r)
	c.Rows.Add(r)
	return r
}

// Add takes what a block made durable.
func (w *Rows) Add(r *ordering.Result) {
	w.Last = r
	if r.Ceremony != nil {
		w.ceremony = r.Ceremony
	}
	for _, d := range r.Dropped {
		w.seen = append(w.seen, d.Seen)
	}
	if r.Batch == nil {
		return
	}
	for _, k := range r.Batch.Ciphertexts {
		w.seen = append(w.seen, ordering.Seen{ID: k.ID(), ValidUntil: k.Header().ValidUntil})
		w.bodies[r.Height] = append(w.bodies[r.Height], k.Ciphertext().Bytes())
	}
}

// Restore gives what ordering.Restore asks for.
func (w *Rows) Restore() ordering.Rows {
	return ordering.Rows{Ceremony: w.ceremony, Seen: w.seen, Ciphertexts: func(h uint64) ([][]byte, error) { return w.bodies[h], nil }}
}

// Seal seals a plaintext to the chain's committee.
func (c *Chain) Seal(plaintext string) *threshold.Ciphertext {
	c.t.Helper()
	return c.SealUntil(plaintext, c.State.Height()+c.Genesis.Params.MaxValidity)
}

// SealUntil seals with a valid-until height.
func (c *Chain) SealUntil(plaintext string, validUntil uint64) *threshold.Ciphertext {
	c.t.Helper()
	ct, err := threshold.Seal(c.Rand, c.State.Committee().Key, threshold.SealOptions{ChainID: ChainID, Namespace: "test", ValidUntil: validUntil}, []byte(plaintext))
	c.Must(err)
	return ct
}

// SealTxs seals plaintexts as block transactions.
func (c *Chain) SealTxs(plaintexts ...string) (txs [][]byte) {
	c.t.Helper()
	for _, p := range plaintexts {
		txs = append(txs, ordering.CiphertextTx(c.Seal(p).Bytes()))
	}
	return txs
}

// Open opens all pending batches with the shares of the given members (from 1).
func (c *Chain) Open(members ...int) (out []ordering.BatchOpenings) {
	c.t.Helper()
	for _, b := range c.State.Pending() {
		out = append(out, c.openBatch(b, members...))
	}
	return out
}

func (c *Chain) openBatch(b *ordering.OrderedBatch, members ...int) ordering.BatchOpenings {
	c.t.Helper()
	message, err := b.Batch.Checkpoint.MarshalBinary()
	c.Must(err)
	var shares []*threshold.BatchShare
	var signatures []threshold.SignatureShare
	for _, m := range members {
		share, err := c.Shares[m-1].ShareBatch(b.Ciphertexts)
		c.Must(err)
		signature, err := c.Shares[m-1].Sign(message)
		c.Must(err)
		shares, signatures = append(shares, share), append(signatures, signature)
	}
	verified, bad, err := threshold.Combine(c.State.Committee(), b.Ciphertexts, shares)
	c.Must(err)
	certificate, badSig, err := threshold.CombineSignature(c.State.Committee(), message, signatures)
	c.Must(err)
	if len(bad)+len(badSig) > 0 {
		c.t.Fatalf("honest members blamed: %v %v", bad, badSig)
	}
	o := ordering.BatchOpenings{Height: b.Batch.Height, Certificate: certificate}
	for _, v := range verified {
		o.Openings = append(o.Openings, v.Opening())
	}
	return o
}

// Plaintexts lists what a batch opened to.
func Plaintexts(r ordering.Reveal) (out []string) {
	for _, o := range r.Outcomes {
		out = append(out, string(o.Plaintext))
	}
	return out
}

// IDOf is the id of a ciphertext transaction.
func IDOf(tx []byte) threshold.ID {
	ct, err := threshold.ParseCiphertext(tx[1:])
	if err != nil {
		panic(err)
	}
	return ct.ID()
}

// Shuffled gives the transactions in another order.
func Shuffled(txs [][]byte, seed uint64) [][]byte {
	s := make([][]byte, len(txs))
	for i, j := range rand.New(rand.NewPCG(seed, 1)).Perm(len(txs)) {
		s[i] = txs[j]
	}
	return s
}
