// Package sim runs a chain's pure state machine without processes or network, for tests:
// a committee that makes its key block by block, seals, orders and opens. Everything it
// draws comes from a seed.
//
//	c := sim.New(t, 4, ordering.DefaultParams()).Ceremony()
//	c.Block(ordering.Proposal{Txs: c.SealTxs("hello")})
//	c.Block(ordering.Proposal{Openings: c.Open(1, 2, 3)})
//	c.Reshare(5, append(c.Secrets, c.Newcomers(3)...)...)   // see succession.go
package sim

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// Chain is a committee that made its key on a chain of its own, block by block through
// Propose, Check and Step, as the members' nodes do.
type Chain struct {
	t        testing.TB
	members  []*Member // of the newest ceremony
	names    map[[32]byte]string
	shares   map[uint64][]*threshold.SecretShare // by epoch
	incoming []*keygen.MemberSecret              // members of the newest ceremony's terms

	Genesis *ordering.Genesis
	Secrets []*keygen.MemberSecret   // of the committee in office; before the first, of the genesis
	Shares  []*threshold.SecretShare // of the committee in office; of member i+1
	Rand    *rand.ChaCha8

	Verifier *ordering.Verifier
	State    *ordering.State
	Blocks   []ordering.Block   // all so far
	Results  []*ordering.Result // of Blocks
	Initial  *ordering.State    // before the first block
	Rows     Rows
	logs     map[string]*Log               // receive logs by identity
	keys     map[string]ed25519.PrivateKey // of everybody, by identity
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
	c := &Chain{t: t, Rand: rand.NewChaCha8([32]byte{byte(n)}), Verifier: ordering.NewVerifier(1 << 20), Rows: NewRows(), bodies: make(map[threshold.ID][]byte),
		names: make(map[[32]byte]string), shares: make(map[uint64][]*threshold.SecretShare), logs: make(map[string]*Log), keys: make(map[string]ed25519.PrivateKey)}
	c.Secrets = c.Newcomers(n)
	terms := keygen.Terms{
		ChainID: ChainID, Epoch: 1, Attempt: 1, Threshold: n - (n-1)/3, StartHeight: 1,
		Phases: keygen.EqualPhases(10), Limits: params.Hash(), Change: keygen.ChangeFirst, Members: c.cards(c.Secrets),
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
	c.enrol(&c.Genesis.Terms, c.Secrets)
	return c
}

// Newcomers draws n members that are in no committee yet.
func (c *Chain) Newcomers(n int) (out []*keygen.MemberSecret) {
	c.t.Helper()
	for range n {
		secret, err := keygen.NewMemberSecret(c.Rand)
		c.Must(err)
		c.names[[32]byte(secret.Member("").Identity)] = fmt.Sprintf("member-%d", len(c.names)+1)
		c.keys[string(secret.Member("").Identity)] = secret.Identity()
		out = append(out, secret)
	}
	return out
}

func (c *Chain) cards(secrets []*keygen.MemberSecret) (out []keygen.Member) {
	for _, secret := range secrets {
		out = append(out, secret.Member(c.names[[32]byte(secret.Member("").Identity)]))
	}
	return out
}

// Must ends the test on an error.
func (c *Chain) Must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// Ceremony runs blocks until the newest ceremony has put its committee in office.
func (c *Chain) Ceremony() *Chain {
	c.t.Helper()
	for range 60 {
		if c.State.Ceremony().Phase() == keygen.PhaseActive {
			return c
		}
		c.Block(ordering.Proposal{Txs: c.CeremonyTxs()})
	}
	c.t.Fatalf("no committee at height %d: phase %s, blame %v", c.State.Height(), c.State.Ceremony().Phase(), c.State.Ceremony().Blame())
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

// Retry proposes another attempt at the first key in the name of a member (from 1), with
// dealing from the start height on, and lets the given members consent.
func (c *Chain) Retry(by int, start uint64, consent ...int) *Chain {
	c.t.Helper()
	c.Propose(c.Secrets[by-1], c.State.Ceremony().Terms().Retry(start), c.Secrets...)
	var who []*keygen.MemberSecret
	for _, j := range consent {
		who = append(who, c.Secrets[j-1])
	}
	c.Block(ordering.Proposal{Txs: c.Votes(keygen.KindConsent, who...)})
	return c
}

// Identity is the public identity of member i+1 of the committee in office.
func (c *Chain) Identity(i int) ed25519.PublicKey { return c.Secrets[i].Member("").Identity }

// Message is a ceremony message as a block transaction.
func (c *Chain) Message(m *keygen.Message) []byte {
	c.t.Helper()
	wire, err := m.MarshalBinary()
	c.Must(err)
	return ordering.CeremonyTx(wire)
}

// Block makes, judges and applies the next block. Without announcements in p, all members in office receive the ciphertexts
// in p in its order and announce that.
func (c *Chain) Block(p ordering.Proposal) *ordering.Result {
	c.t.Helper()
	if p.MaxBytes == 0 {
		p.MaxBytes = 4 << 20
	}
	if p.Announcements == nil {
		for i := range c.Identities() {
			c.Receive(i+1, p.Txs...)
		}
		p.Announcements = c.Announce()
	}
	if p.Bodies == nil {
		p.Bodies = ordering.Hold(p.Txs)
	}
	maps.Copy(p.Bodies, c.Bodies(ordering.Wanted(c.State, p.Announcements, p.Bodies)))
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
	if r.Activated != nil {
		c.takeOffice(r.Activated.Epoch())
	}
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

// Seal seals a plaintext to the key of the committee in office.
func (c *Chain) Seal(plaintext string) *threshold.Ciphertext {
	c.t.Helper()
	return c.SealUntil(plaintext, c.State.Height()+c.Genesis.Params.MaxValidity)
}

// SealUntil seals with a valid-until height.
func (c *Chain) SealUntil(plaintext string, validUntil uint64) *threshold.Ciphertext {
	c.t.Helper()
	return c.SealTo(c.State.Committee().Key, plaintext, validUntil)
}

// SealTo seals to a key.
func (c *Chain) SealTo(key *threshold.PublicKey, plaintext string, validUntil uint64) *threshold.Ciphertext {
	c.t.Helper()
	ct, err := threshold.Seal(c.Rand, key, threshold.SealOptions{ChainID: ChainID, Namespace: "test", ValidUntil: validUntil}, []byte(plaintext))
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

// Open opens all pending batches with the shares of the given members (from 1), each of
// the committee whose batch it is.
func (c *Chain) Open(members ...int) (out []ordering.BatchOpenings) {
	c.t.Helper()
	for _, b := range c.State.Pending() {
		out = append(out, c.openBatch(b, members...))
	}
	return out
}

// OpenAll opens all pending batches, with as many shares as it takes.
func (c *Chain) OpenAll() (out []ordering.BatchOpenings) {
	c.t.Helper()
	for _, b := range c.State.Pending() {
		var members []int
		for j := range c.State.Tenure(b.Batch.Epoch).Committee().Threshold {
			members = append(members, j+1)
		}
		out = append(out, c.openBatch(b, members...))
	}
	return out
}

// EpochShares are the shares of an epoch's committee, of member i+1.
func (c *Chain) EpochShares(epoch uint64) []*threshold.SecretShare { return c.shares[epoch] }

func (c *Chain) openBatch(b *ordering.OrderedBatch, members ...int) ordering.BatchOpenings {
	c.t.Helper()
	message, err := b.Batch.Checkpoint.MarshalBinary()
	c.Must(err)
	committee := c.State.Tenure(b.Batch.Epoch).Committee()
	var shares []*threshold.BatchShare
	var signatures []threshold.SignatureShare
	for _, m := range members {
		own := c.shares[b.Batch.Epoch][m-1]
		share, err := own.ShareBatch(b.Ciphertexts)
		c.Must(err)
		signature, err := own.Sign(message)
		c.Must(err)
		shares, signatures = append(shares, share), append(signatures, signature)
	}
	verified, bad, err := threshold.Combine(committee, b.Ciphertexts, shares)
	c.Must(err)
	certificate, badSig, err := threshold.CombineSignature(committee, message, signatures)
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
