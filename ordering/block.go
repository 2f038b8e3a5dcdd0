package ordering

import (
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// Block is the content of a proposed or decided block.
type Block struct {
	Height uint64
	Txs    [][]byte
}

// Check judges a proposal: nil if an honest proposer could have made it from s. The
// error is a *Rejection. A block that Check accepts is applied by Step without leaving
// anything out.
func Check(s *State, v *Verifier, b Block) error {
	_, _, err := fold(s, v, b, true)
	return err
}

// Step applies a decided block. What is not valid in it (which an honest quorum never
// decides) changes nothing and is named in Result.Txs. The error means that the caller
// gave a block of another height, or that s itself cannot be encoded.
func Step(s *State, v *Verifier, b Block) (*State, *Result, error) {
	return fold(s, v, b, false)
}

// CheckAndStep is Check that also gives the outcome, for a caller that keeps it until
// the block is decided.
func CheckAndStep(s *State, v *Verifier, b Block) (*State, *Result, error) {
	return fold(s, v, b, true)
}

// folding is a block on its way through: the state that becomes the next one, and
// what it produced.
type folding struct {
	prev   *State
	next   *State
	v      *Verifier
	result *Result
	ids    []threshold.ID
	bodies map[threshold.ID]*threshold.Checked // never iterated
	holder *Tenure                             // opens what the block orders; nil until a ciphertext says who
	last   txKind                              // kind of the transaction before
}

func fold(s *State, v *Verifier, b Block, strict bool) (*State, *Result, error) {
	if b.Height != s.height+1 {
		return nil, nil, reject(codeProposal, "block %d does not follow height %d", b.Height, s.height)
	}
	next := *s
	next.height = b.Height
	next.pending = slices.Clone(s.pending)
	next.seen = s.seen.clone()
	f := &folding{
		prev: s, next: &next, v: v,
		result: &Result{Height: b.Height, Txs: make([]string, len(b.Txs))},
		bodies: make(map[threshold.ID]*threshold.Checked),
	}
	for i, tx := range b.Txs {
		err := f.tx(i, tx)
		if err == nil {
			continue
		}
		if strict {
			return nil, nil, fmt.Errorf("transaction %d: %w", i, err)
		}
		f.result.Txs[i] = codeOf(err)
	}
	if err := f.endCeremonyHeight(); err != nil {
		return nil, nil, err
	}
	if err := f.order(strict); err != nil {
		return nil, nil, err
	}
	if err := f.finish(); err != nil {
		return nil, nil, err
	}
	return f.next, f.result, nil
}

func codeOf(err error) string {
	var r *Rejection
	if errors.As(err, &r) {
		return r.Code
	}
	return codeProposal
}

// tx applies one transaction. The kinds come in the order openings, ceremony
// messages, ciphertexts.
func (f *folding) tx(i int, tx []byte) error {
	kind, body, err := splitTx(tx)
	if err != nil {
		return reject(codeProposal, "%v", err)
	}
	if f.last == kindCiphertext && kind != kindCiphertext || kind == kindOpenings && i != 0 {
		return reject(codeProposal, "a transaction of kind %d is out of place", kind)
	}
	f.last = kind
	switch kind {
	case kindOpenings:
		return f.openings(body)
	case kindCeremony:
		return f.ceremony(body)
	case kindCiphertext:
		return f.ciphertext(body)
	default:
		return reject(codeProposal, "transactions of kind %d are unknown", kind)
	}
}

// openings opens pending batches, strictly from the oldest on.
func (f *folding) openings(body []byte) error {
	bs, err := parseOpenings(body, f.prev.genesis.Params)
	if err != nil {
		return reject(codeOpenings, "%v", err)
	}
	if len(bs) > len(f.prev.pending) {
		return reject(codeOpenings, "%d batches opened, %d are pending", len(bs), len(f.prev.pending))
	}
	reveals := make([]Reveal, len(bs))
	for i, o := range bs {
		if reveals[i], err = f.reveal(f.prev.pending[i], o); err != nil {
			return reject(codeOpenings, "batch of height %d: %v", o.Height, err)
		}
	}
	for _, r := range reveals {
		if err := f.append(r.entry); err != nil {
			return err
		}
		f.next.beacon = commitreveal.Beacon(r.Certificate)
	}
	f.next.pending = f.next.pending[len(bs):]
	f.result.Reveals = reveals
	return nil
}

func (f *folding) reveal(p *OrderedBatch, o BatchOpenings) (Reveal, error) {
	if o.Height != p.Batch.Height || len(o.Openings) != len(p.Ciphertexts) {
		return Reveal{}, fmt.Errorf("the oldest pending batch is that of height %d, with %d ciphertexts", p.Batch.Height, len(p.Ciphertexts))
	}
	message, err := p.Batch.Checkpoint.MarshalBinary()
	if err != nil {
		return Reveal{}, err
	}
	holder := f.prev.Tenure(p.Batch.Epoch)
	if holder == nil {
		return Reveal{}, fmt.Errorf("no committee of epoch %d", p.Batch.Epoch)
	}
	key := holder.Committee().Key
	if err := f.v.signature(key, message, o.Certificate); err != nil {
		return Reveal{}, err
	}
	verified, err := f.v.openings(key, p, o)
	if err != nil {
		return Reveal{}, err
	}
	outcomes, err := Outcomes(p, verified)
	if err != nil {
		return Reveal{}, err
	}
	entry, err := p.Batch.Reveal(outcomes, o.Certificate)
	if err != nil {
		return Reveal{}, err
	}
	batch, _, err := commitreveal.Step(p.Batch, commitreveal.Opened{Entry: entry})
	if err != nil {
		return Reveal{}, err
	}
	return Reveal{Batch: batch, Outcomes: outcomes, Certificate: o.Certificate, entry: entry}, nil
}

// Outcomes decrypts a batch with its openings. A ciphertext whose payload does not
// decrypt is void.
func Outcomes(b *OrderedBatch, openings []threshold.VerifiedOpening) ([]commitreveal.Outcome, error) {
	out := make([]commitreveal.Outcome, len(openings))
	for i, o := range openings {
		plaintext, err := threshold.Open(o)
		if err != nil && !errors.Is(err, threshold.ErrVoid) {
			return nil, fmt.Errorf("open ciphertext %d: %w", i, err)
		}
		out[i] = commitreveal.Outcome{ID: b.Batch.IDs[i], Opening: o.Opening(), Void: err != nil, Plaintext: plaintext}
	}
	return out, nil
}

func (f *folding) ceremony(body []byte) error {
	m, err := keygen.ParseMessage(body)
	if err != nil {
		return reject(codeCeremonyMessage, "%v", err)
	}
	return f.stepCeremony(keygen.Event{Height: f.next.height, Message: m})
}

func (f *folding) stepCeremony(e keygen.Event) error {
	next, activated, err := f.next.ceremonies.step(e)
	if err != nil {
		return reject(codeCeremonyMessage, "%v", err)
	}
	if !f.next.ceremonies.current.Done() && next.current.Done() {
		f.result.Ended = append(f.result.Ended, next.current)
	}
	before := f.next.validators()
	f.next.ceremonies = next
	if activated == nil {
		return nil
	}
	f.result.Activated = activated
	f.result.Validators = changedValidators(before, f.next.validators())
	c := activated.Certificate()
	wire, err := c.MarshalBinary()
	if err != nil {
		return err
	}
	return f.append(commitreveal.CommitteeEntry{Height: f.next.height, Certificate: wire, Committee: c.Committee})
}

func (f *folding) ciphertext(body []byte) error {
	if len(f.prev.pending) >= int(f.prev.genesis.Params.MaxPending) {
		return reject(codeProposal, "%d batches wait for their openings; no further ciphertexts are ordered until one is opened", len(f.prev.pending))
	}
	if len(f.ids) >= int(f.prev.genesis.Params.MaxBatch) {
		return reject(codeProposal, "more than %d ciphertexts", f.prev.genesis.Params.MaxBatch)
	}
	k, holder, err := admit(f.prev, f.v, body)
	if err != nil {
		return err
	}
	if f.holder != nil && f.holder != holder {
		return reject(codeProposal, "ciphertexts to two keys in one block, those of epochs %d and %d", f.holder.Epoch(), holder.Epoch())
	}
	id := k.ID()
	if f.bodies[id] != nil {
		return reject(CodeAlreadyOrdered, "twice in one block")
	}
	f.holder = holder
	f.bodies[id] = k
	f.ids = append(f.ids, id)
	return nil
}

// order fixes the block's batch and commits it to the log, as the block's last entry:
// the batch's checkpoint covers the log so far.
func (f *folding) order(strict bool) error {
	if len(f.ids) == 0 {
		return nil
	}
	ordered := Order(f.next.height, f.next.beacon, f.ids)
	if strict && !slices.Equal(ordered, f.ids) {
		return reject(codeProposal, "the ciphertexts are not in order")
	}
	batch, err := commitreveal.NewBatch(f.next.height, f.holder.Epoch(), ordered)
	if err != nil {
		return err
	}
	if err := f.append(batch.Commit(f.holder.Committee().Key.ID(), f.next.beacon)); err != nil {
		return err
	}
	checkpoint := batch.CheckpointAt(f.next.genesis.ChainID, f.next.log)
	if batch, _, err = commitreveal.Step(batch, commitreveal.Logged{Checkpoint: checkpoint}); err != nil {
		return err
	}
	b := &OrderedBatch{Batch: batch, Ciphertexts: make([]*threshold.Checked, len(ordered))}
	for i, id := range ordered {
		b.Ciphertexts[i] = f.bodies[id]
		f.next.seen.add(Seen{ID: id, ValidUntil: f.bodies[id].Header().ValidUntil})
	}
	f.next.pending = append(f.next.pending, b)
	f.result.Batch = b
	return nil
}

func (f *folding) endCeremonyHeight() error {
	if f.next.ceremonies.current.Done() {
		return nil
	}
	return f.stepCeremony(keygen.Event{Height: f.next.height})
}

// finish closes the height.
func (f *folding) finish() error {
	f.next.seen.forget(f.next.height)
	f.next.ceremonies = f.next.ceremonies.drop(f.next.height, f.next.pending)
	f.next.appHash = f.next.computeAppHash()
	f.result.AppHash = f.next.appHash
	var err error
	if !f.next.ceremonies.same(f.prev.ceremonies) {
		if f.result.Ceremony, err = f.next.ceremonies.encode(); err != nil {
			return err
		}
	}
	f.result.Snapshot, err = f.next.Snapshot()
	return err
}

func (f *folding) append(e commitreveal.Entry) error {
	wire, err := commitreveal.MarshalEntry(e)
	if err != nil {
		return err
	}
	next, hashes, err := f.next.log.Append(wire)
	if err != nil {
		return err
	}
	record := Record{Index: f.next.log.Size(), Entry: wire, Hashes: hashes}
	f.next.log = next
	f.result.Records = append(f.result.Records, record)
	return nil
}
