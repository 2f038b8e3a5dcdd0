package ordering

import (
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering/fair"
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
	chunks []fair.Chunk // of the block's section
	round  Round
	ids    []threshold.ID                         // of the block's ciphertexts, in its order
	bodies map[threshold.ID]*threshold.Ciphertext // of ids; never iterated
	at     map[threshold.ID]int                   // where in the block the bodies are; never iterated
	last   txKind                                 // kind of the transaction before
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
		result: &Result{Height: b.Height, Grace: s.genesis.Params.grace(), Txs: make([]string, len(b.Txs))},
		round:  Round{Height: b.Height},
		bodies: make(map[threshold.ID]*threshold.Ciphertext), at: make(map[threshold.ID]int),
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

// tx applies one transaction. The kinds come in the order openings, section, evidence,
// ceremony messages, ciphertexts.
func (f *folding) tx(i int, tx []byte) error {
	kind, body, err := splitTx(tx)
	if err != nil {
		return reject(codeProposal, "%v", err)
	}
	if f.last == kindCiphertext && kind != kindCiphertext || kind == kindOpenings && i != 0 || kind == kindSection && (i > 1 || i == 1 && f.last != kindOpenings) ||
		kind == kindEvidence && f.last == kindCeremony {
		return reject(codeProposal, "a transaction of kind %d is out of place", kind)
	}
	f.last = kind
	switch kind {
	case kindOpenings:
		return f.openings(body)
	case kindSection:
		return f.section(body)
	case kindEvidence:
		return f.evidence(body)
	case kindCeremony:
		return f.ceremony(body)
	case kindCiphertext:
		return f.ciphertext(i, body)
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
	for i := range reveals {
		if err := f.appendReveal(&reveals[i]); err != nil {
			return err
		}
	}
	f.next.pending = f.next.pending[len(bs):]
	f.result.Reveals = reveals
	return nil
}

// appendReveal says what a batch turned out to be: the reveal entry, and directly after it a void entry for each ciphertext that
// does not decrypt, by position.
func (f *folding) appendReveal(r *Reveal) error {
	if err := f.append(r.entry); err != nil {
		return err
	}
	for i, o := range r.Outcomes {
		if !o.Void {
			continue
		}
		if err := f.append(commitreveal.VoidEntry{Height: r.Batch.Height, Position: uint32(i), ID: o.ID, Opening: o.Opening}); err != nil {
			return err
		}
	}
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
	order := FinalOrder(f.prev.genesis.Params, p.Frames, commitreveal.Beacon(o.Certificate), p.Batch.IDs)
	entry, err := p.Batch.Reveal(outcomes, order, o.Certificate)
	if err != nil {
		return Reveal{}, err
	}
	batch, _, err := commitreveal.Step(p.Batch, commitreveal.Opened{Entry: entry})
	if err != nil {
		return Reveal{}, err
	}
	return Reveal{Batch: batch, Outcomes: outcomes, Order: order, Certificate: o.Certificate, entry: entry}, nil
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
	entry, err := commitreveal.NewCommitteeEntry(f.next.height, wire, c.Committee)
	if err != nil {
		return err
	}
	f.result.Certificates = append(f.result.Certificates, wire)
	return f.append(entry)
}

// section takes the members' head statements.
func (f *folding) section(body []byte) error {
	if f.prev.Office() == nil {
		return reject(codeSection, "there is no committee that could have signed it")
	}
	chunks, err := f.prev.parseSection(body, f.prev.identities())
	if err != nil {
		return reject(codeSection, "%v", err)
	}
	f.chunks, f.round.Section = chunks, body
	return nil
}

// ciphertext keeps a body. Whether the block may have it is seen when it is decided which it must have.
func (f *folding) ciphertext(i int, body []byte) error {
	if len(f.ids) >= int(f.prev.genesis.Params.MaxBatch) {
		return reject(codeProposal, "more than %d ciphertexts", f.prev.genesis.Params.MaxBatch)
	}
	ct, err := threshold.ParseCiphertext(body)
	if err != nil {
		return malformed(err)
	}
	id := ct.ID()
	if f.bodies[id] != nil {
		return reject(CodeAlreadyOrdered, "twice in one block")
	}
	f.bodies[id], f.at[id] = ct, i
	f.ids = append(f.ids, id)
	return nil
}

// order decides what the block orders, and commits it to the log as the block's last entry:
// the batch's checkpoint covers the log so far. Before it stands what the block set aside for good.
func (f *folding) order(strict bool) error {
	if f.prev.Office() == nil {
		if strict && len(f.ids) > 0 {
			return reject(CodeNoCommittee, "ciphertexts before there is a committee")
		}
		for _, id := range f.ids {
			f.result.Txs[f.at[id]] = CodeNoCommittee
		}
		return f.handOver()
	}
	logs, queue, forgotten, err := f.prev.agenda.decide(f.prev, f.chunks)
	if err != nil {
		return err // parseSection has checked the chunks
	}
	h, err := f.prev.take(f.prev.admitter(f.v), queue, func(id threshold.ID) *threshold.Ciphertext { return f.bodies[id] })
	if strict && err != nil {
		return reject(codeProposal, "%v", err)
	}
	if strict && !slices.Equal(h.bodies, f.ids) {
		return reject(codeProposal, "the ciphertexts are not exactly the %d that are decided, ascending by id", len(h.bodies))
	}
	for _, id := range f.ids {
		if _, due := slices.BinarySearchFunc(h.bodies, id, compareIDs); !due {
			f.result.Txs[f.at[id]] = codeProposal
		}
	}
	f.next.agenda.logs, f.next.agenda.queue = logs, h.rest
	for _, e := range h.seen {
		f.next.seen.add(e)
	}
	for _, id := range h.aside {
		f.round.Aside = append(f.round.Aside, f.bodies[id].Bytes())
	}
	if f.round.Section != nil || len(h.aside) > 0 {
		f.next.agenda.chain = f.round.next(f.prev.agenda.chain, h.aside)
		f.result.Round = &f.round
	}
	f.result.Dropped, f.result.Forgotten = h.dropped, forgotten
	if err := f.handOver(); err != nil {
		return err
	}
	for _, e := range h.expired(f.next.height) {
		if err := f.append(e); err != nil {
			return err
		}
	}
	return f.commit(h)
}

// handOver gives the receive logs to a committee that the block has put in office.
func (f *folding) handOver() (err error) {
	if f.result.Activated == nil {
		return nil
	}
	var before []keygen.Member
	if t := f.prev.Office(); t != nil {
		before = t.Terms().Members
	}
	after := f.result.Activated.Terms().Members
	f.next.agenda, err = f.next.agenda.handOver(f.next.genesis.Params, f.next.height, identities(before), identities(after))
	return err
}

func (f *folding) commit(h *haul) error {
	if len(h.batch) == 0 {
		return nil
	}
	ids := make([]threshold.ID, len(h.batch))
	for i, k := range h.batch {
		ids[i] = k.ID()
	}
	batch, err := commitreveal.NewBatch(f.next.height, h.holder, ids)
	if err != nil {
		return err
	}
	namespaces := make([]string, len(h.batch))
	for i, k := range h.batch {
		namespaces[i] = k.Header().Namespace
	}
	entry, err := batch.Commit(f.prev.Tenure(h.holder).Committee().Key.ID(), f.next.agenda.chain, namespaces)
	if err != nil {
		return err
	}
	if err := f.append(entry); err != nil {
		return err
	}
	checkpoint := batch.CheckpointAt(f.next.genesis.ChainID, f.next.log)
	if batch, _, err = commitreveal.Step(batch, commitreveal.Logged{Checkpoint: checkpoint}); err != nil {
		return err
	}
	b := &OrderedBatch{Batch: batch, Ciphertexts: h.batch, Frames: h.frames}
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
	f.next.forgetCharges()
	var err error
	if f.next.appHash, err = f.next.computeAppHash(); err != nil {
		return err
	}
	f.result.AppHash = f.next.appHash
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
