package audit

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/threshold"
)

const (
	// CompletenessFormat names the format of the file of a [Completeness].
	CompletenessFormat = "scrim-completeness/v1"
	// MaxCompletenessSize bounds such a file in bytes.
	MaxCompletenessSize = 16 << 20
)

// ErrCompleteness: the bytes are not a file that shows what a namespace has in a batch.
var ErrCompleteness = errors.New("audit: not a proof of what a namespace has in a batch")

// Completeness shows all transactions that a namespace has in a batch, or that it has
// none, to whoever knows the committee: what nodes serve under /v1/log/namespace
// (docs/spec/log.md), with the committee's certificate. As a file it is one line of JSON
// with one spelling; see docs/spec/evidence.md.
type Completeness struct {
	Certificate []byte // of the committee that the batch is of
	Entry       []byte // the batch's commit entry
	Namespace   []byte // commitreveal.NamespaceProof
	Proof       []byte // .tlog-proof of the commit entry, at the batch's checkpoint
}

type completenessJSON struct {
	Format      string `json:"format"`
	Certificate Bytes  `json:"certificate"`
	Entry       Bytes  `json:"entry"`
	Namespace   Bytes  `json:"namespace"`
	Proof       string `json:"proof"`
}

// completeness is one that was read.
type completeness struct {
	entry     commitreveal.CommitEntry
	namespace *commitreveal.NamespaceProof
	proof     *note.Proof
}

func (p *Completeness) read() (c completeness, err error) {
	if n := len(p.Certificate); n == 0 || n > commitreveal.MaxCertificateSize {
		return c, fmt.Errorf("%w: a certificate of %d bytes, 1 to %d allowed", ErrCompleteness, n, commitreveal.MaxCertificateSize)
	}
	e, err := commitreveal.ParseEntry(p.Entry)
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrCompleteness, err)
	}
	commit, ok := e.(commitreveal.CommitEntry)
	if !ok {
		return c, fmt.Errorf("%w: the entry commits no batch", ErrCompleteness)
	}
	c.entry = commit
	if c.namespace, err = commitreveal.ParseNamespaceProof(p.Namespace); err != nil {
		return c, fmt.Errorf("%w: %w", ErrCompleteness, err)
	}
	if c.proof, err = note.ParseProof(p.Proof); err != nil {
		return c, fmt.Errorf("%w: %w", ErrCompleteness, err)
	}
	return c, nil
}

// Marshal gives the file, with the line feed that ends it.
func (p *Completeness) Marshal() ([]byte, error) {
	if _, err := p.read(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(completenessJSON{CompletenessFormat, p.Certificate, p.Entry, p.Namespace, string(p.Proof)})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCompleteness, err)
	}
	return append(b, '\n'), nil
}

// ParseCompleteness reads the file of a [Completeness]. It verifies nothing. Errors wrap
// [ErrCompleteness].
func ParseCompleteness(b []byte) (*Completeness, error) {
	if len(b) > MaxCompletenessSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d allowed", ErrCompleteness, len(b), MaxCompletenessSize)
	}
	var j completenessJSON
	if err := strictJSON(b, &j); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCompleteness, err)
	}
	if j.Format != CompletenessFormat {
		return nil, fmt.Errorf("%w: format %q, want %q", ErrCompleteness, j.Format, CompletenessFormat)
	}
	p := &Completeness{j.Certificate, j.Entry, j.Namespace, []byte(j.Proof)}
	if err := oneSpelling(p, b, ErrCompleteness); err != nil {
		return nil, err
	}
	return p, nil
}

// CompletenessReport is what a [Completeness] proves.
type CompletenessReport struct {
	ProofReport
	Transactions []PlacedID `json:"transactions"` // in the batch's order; empty: the namespace has none in it
}

// PlacedID is a transaction of a batch.
type PlacedID struct {
	Position uint32            `json:"position"` // in the batch, from 0
	ID       commitreveal.Hash `json:"id"`
}

// Verify checks the committee's certificate, its signature on the batch, that the commit
// entry is in the signed log, and that the transactions are all that the namespace has in
// the tree that the entry names. That the tree itself is complete is the committee's word:
// who has the batch recomputes it, and [Completeness.Omits] proves that it is false.
// checks.Committee is needed. If termsHash is given, the committee must be the one with
// these terms.
func (p *Completeness) Verify(checks Checks, termsHash *[32]byte) (*CompletenessReport, error) {
	if checks.Committee == nil {
		return nil, errors.New("audit: the check of certificates is needed")
	}
	r := &CompletenessReport{ProofReport: newProofReport(), Transactions: []PlacedID{}}
	p.verify(r, checks, termsHash)
	r.conclude()
	return r, nil
}

func (p *Completeness) verify(r *CompletenessReport, checks Checks, termsHash *[32]byte) {
	c, err := p.read()
	if err != nil {
		r.missing("%v", err)
		return
	}
	r.Namespace, r.Height, r.Count = c.namespace.Namespace, c.entry.Height, c.entry.Count
	info := r.committee(checks, p.Certificate, termsHash)
	if info == nil || !r.committed(info, c.proof, c.entry) {
		return
	}
	if err := c.namespace.Verify(c.entry); err != nil {
		r.found(CodeNamespaces, WhoProof, "the transactions are not shown to be those of the namespace: %v", err)
		return
	}
	for _, t := range c.namespace.Transactions {
		r.Transactions = append(r.Transactions, PlacedID{t.Position, commitreveal.Hash(t.ID)})
	}
}

// Omits makes the evidence that the committee left a transaction of the same batch out of
// its namespace. Both must have been verified. [ErrNotFound] if the transaction is not one
// of that batch and namespace, or is there.
func (p *Completeness) Omits(tx *TxProof) (*EvidenceFile, error) {
	c, err := p.read()
	if err != nil {
		return nil, err
	}
	t, err := tx.transaction()
	if err != nil {
		return nil, err
	}
	ct, err := threshold.ParseCiphertext(t.Ciphertext)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTxProof, err)
	}
	there := slices.Contains(c.namespace.Transactions, commitreveal.NamespaceID{Position: t.Position, ID: ct.ID()})
	if there || t.Entry != c.entry || ct.Header().Namespace != c.namespace.Namespace {
		return nil, fmt.Errorf("%w: %s as a transaction that the proof omits", ErrNotFound, commitreveal.Hash(ct.ID()))
	}
	log, err := c.log()
	if err != nil {
		return nil, err
	}
	log.Entries = []Bytes{p.Entry}
	chainID, err := c.chainID()
	if err != nil {
		return nil, err
	}
	proof := &OmittedTransaction{Log: *log, Completeness: p.Namespace, Position: t.Position, Path: append([]commitreveal.Hash{}, t.Path...), Ciphertexts: []Bytes{t.Ciphertext}}
	return &EvidenceFile{ChainID: chainID, Certificates: [][]byte{p.Certificate}, Proof: proof}, nil
}

func (c *completeness) chainID() (string, error) {
	checkpoint, err := c.certified()
	if err != nil {
		return "", err
	}
	parsed, _, err := checkpoint.parse()
	if err != nil {
		return "", err
	}
	return parsed.ChainID, nil
}

// certified is the checkpoint with the committee's signature.
func (c *completeness) certified() (Certified, error) {
	for _, s := range c.proof.Note.Signatures {
		if checkpoint, certificate, err := note.Certified(c.proof.Note.Text, s.Data); err == nil && checkpoint.BatchRoot == c.entry.Root {
			return NewCertified(checkpoint, certificate)
		}
	}
	return Certified{}, fmt.Errorf("%w: the committee's signature on the checkpoint", ErrNotFound)
}

// log is the log before the commit entry: its right edge is the entry's own proof.
func (c *completeness) log() (*Range, error) {
	head, err := note.ParseCheckpoint(c.proof.Note.Text)
	if err != nil {
		return nil, err
	}
	if head.Size != c.proof.Index+1 {
		return nil, fmt.Errorf("%w: the commit entry is not the last one of the checkpoint", ErrCompleteness)
	}
	signed, err := c.certified()
	if err != nil {
		return nil, err
	}
	edge, err := edgeOf(c.proof.Index, c.proof.Path)
	return &Range{Before: edge, Signed: signed}, err
}

// edgeOf is the inverse of lastPath: the log of a size whose next entry has this proof.
func edgeOf(size uint64, path []commitreveal.Hash) (Bytes, error) {
	empty, err := commitreveal.Log{}.MarshalBinary()
	if err != nil {
		return nil, err
	}
	b := binary.BigEndian.AppendUint64(Bytes{empty[0]}, size)
	for _, h := range slices.Backward(path) {
		b = append(b, h[:]...)
	}
	if _, err := commitreveal.ParseLog(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCompleteness, err)
	}
	return b, nil
}

// ProveNamespace shows all transactions of a namespace in the batch of a height, from what
// a node exported or a mirror holds. checks.Committee is needed. [ErrNotFound] if there is
// no such batch, or it is not revealed yet. It is not verified.
func ProveNamespace(lines Lines, checks Checks, height uint64, namespace string) (*Completeness, error) {
	if checks.Committee == nil {
		return nil, errors.New("audit: the check of certificates is needed")
	}
	w := walker{lines: lines}
	for {
		b, err := w.next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: a batch of height %d", ErrNotFound, height)
		}
		if err != nil {
			return nil, err
		}
		if b.commit.Height == height {
			return w.proveNamespace(checks, b, namespace)
		}
	}
}

func (w *walker) proveNamespace(checks Checks, b *walked, namespace string) (*Completeness, error) {
	names := make([]string, len(b.transactions))
	for i, t := range b.transactions {
		ct, err := threshold.ParseCiphertext(t.Ciphertext)
		if err != nil {
			return nil, err
		}
		names[i] = ct.Header().Namespace
	}
	complete, err := commitreveal.ProveNamespace(b.ids, names, namespace)
	if err != nil {
		return nil, err
	}
	proof, err := w.proveCommit(checks, b)
	if err != nil {
		return nil, err
	}
	p := &Completeness{Certificate: b.committee, Entry: b.entry}
	if p.Namespace, err = complete.MarshalBinary(); err != nil {
		return nil, err
	}
	p.Proof, err = proof.Marshal()
	return p, err
}
