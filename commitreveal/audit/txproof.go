package audit

import (
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
	// TxProofFormat names the format of a transaction's bundle.
	TxProofFormat = "scrim-tx-proof/v1"
	// MaxTxProofSize bounds a transaction's bundle in bytes.
	MaxTxProofSize = 8 << 20
	maxTxReceipts  = threshold.MaxMembers
)

var (
	// ErrTxProof: the bytes are not a transaction's bundle.
	ErrTxProof = errors.New("audit: not the bundle of a transaction")
	// ErrNotFound: what is to be proved is not in the log.
	ErrNotFound = errors.New("audit: not in the log")
)

// TxProof is what proves one transaction to whoever knows the committee: the
// .tlog-proof that nodes serve (docs/spec/log.md), the committee's certificate,
// and receipts, if there are some. As a file it is one line of JSON with one
// spelling; see docs/spec/evidence.md.
type TxProof struct {
	Certificate []byte // of the committee that the batch is of
	Proof       []byte // .tlog-proof of the batch's commit entry, with commitreveal.TransactionProof as its extra
	Receipts    []commitreveal.Receipt
}

type txProofJSON struct {
	Format      string  `json:"format"`
	Certificate Bytes   `json:"certificate"`
	Proof       string  `json:"proof"`
	Receipts    []Bytes `json:"receipts"`
}

func (p *TxProof) validate() error {
	if n := len(p.Certificate); n == 0 || n > commitreveal.MaxCertificateSize {
		return fmt.Errorf("%w: a certificate of %d bytes, 1 to %d allowed", ErrTxProof, n, commitreveal.MaxCertificateSize)
	}
	if n := len(p.Receipts); n > maxTxReceipts {
		return fmt.Errorf("%w: %d receipts, at most %d allowed", ErrTxProof, n, maxTxReceipts)
	}
	if _, err := note.ParseProof(p.Proof); err != nil {
		return fmt.Errorf("%w: %w", ErrTxProof, err)
	}
	return nil
}

// Marshal gives the file, with the line feed that ends it.
func (p *TxProof) Marshal() ([]byte, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	j := txProofJSON{Format: TxProofFormat, Certificate: p.Certificate, Proof: string(p.Proof), Receipts: []Bytes{}}
	for i := range p.Receipts {
		b, err := p.Receipts[i].MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTxProof, err)
		}
		j.Receipts = append(j.Receipts, b)
	}
	b, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTxProof, err)
	}
	return append(b, '\n'), nil
}

// ParseTxProof reads a transaction's bundle. It verifies nothing: see
// [TxProof.Verify]. Errors wrap [ErrTxProof].
func ParseTxProof(b []byte) (*TxProof, error) {
	if len(b) > MaxTxProofSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d allowed", ErrTxProof, len(b), MaxTxProofSize)
	}
	var j txProofJSON
	if err := strictJSON(b, &j); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTxProof, err)
	}
	if j.Format != TxProofFormat {
		return nil, fmt.Errorf("%w: format %q, want %q", ErrTxProof, j.Format, TxProofFormat)
	}
	p := &TxProof{Certificate: j.Certificate, Proof: []byte(j.Proof)}
	for _, b := range j.Receipts {
		r, err := commitreveal.ParseReceipt(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTxProof, err)
		}
		p.Receipts = append(p.Receipts, *r)
	}
	if err := oneSpelling(p, b, ErrTxProof); err != nil {
		return nil, err
	}
	return p, nil
}

// ID is that of the ciphertext in the proof, of which nothing has been verified.
func (p *TxProof) ID() (threshold.ID, error) {
	tx, err := p.transaction()
	if err != nil {
		return threshold.ID{}, err
	}
	ct, err := threshold.ParseCiphertext(tx.Ciphertext)
	if err != nil {
		return threshold.ID{}, fmt.Errorf("%w: %w", ErrTxProof, err)
	}
	return ct.ID(), nil
}

// Epoch is that of the committee whose certificate the proof needs. Nothing has been verified.
func (p *TxProof) Epoch() (uint64, error) {
	tx, err := p.transaction()
	if err != nil {
		return 0, err
	}
	return tx.Entry.Epoch, nil
}

func (p *TxProof) transaction() (*commitreveal.TransactionProof, error) {
	proof, err := note.ParseProof(p.Proof)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTxProof, err)
	}
	tx, err := commitreveal.ParseTransactionProof(proof.Extra)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTxProof, err)
	}
	return tx, nil
}

// TxReport is what a transaction's bundle proves. Verdict is Verified if all of
// it holds and it is opened, Violated if something in it is not true, CannotTell if
// something is missing.
type TxReport struct {
	ProofReport
	ID        commitreveal.Hash `json:"id"`
	Position  uint32            `json:"position"`
	Void      bool              `json:"void"`
	Plaintext Bytes             `json:"plaintext"`
	Receipts  []ReceiptResult   `json:"receipts"`
}

// Verify checks a transaction's bundle: the committee's certificate, its signature
// on the batch, that the commit entry is in the signed log, the place in the
// batch, the opening, what it opens to, and the receipts. checks.Committee is
// needed. If termsHash is given, the committee must be the one with these terms.
func (p *TxProof) Verify(checks Checks, termsHash *[32]byte) (*TxReport, error) {
	if checks.Committee == nil {
		return nil, errors.New("audit: the check of certificates is needed")
	}
	r := &TxReport{ProofReport: newProofReport(), Receipts: []ReceiptResult{}, Plaintext: Bytes{}}
	p.verify(r, checks, termsHash)
	r.conclude()
	return r, nil
}

// verdictOf is the verdict of so many findings and things missing.
func verdictOf(findings, missing int) Verdict {
	switch {
	case findings > 0:
		return Violated
	case missing > 0:
		return CannotTell
	}
	return Verified
}

func (p *TxProof) verify(r *TxReport, checks Checks, termsHash *[32]byte) {
	if err := p.validate(); err != nil {
		r.missing("%v", err)
		return
	}
	info := r.committee(checks, p.Certificate, termsHash)
	if info == nil {
		return
	}
	tx := p.place(r, info)
	if tx == nil {
		return
	}
	tx.open(r, info)
	for i := range p.Receipts {
		r.Receipts = append(r.Receipts, r.receipt(info, &p.Receipts[i]))
	}
}

// placedTx is a transaction whose place in the log is proved.
type placedTx struct {
	*commitreveal.TransactionProof
	ct *threshold.Ciphertext
}

// place checks the .tlog-proof.
func (p *TxProof) place(r *TxReport, info *CommitteeInfo) *placedTx {
	proof, err := note.ParseProof(p.Proof)
	if err != nil {
		r.missing("%v", err)
		return nil
	}
	tx, err := commitreveal.ParseTransactionProof(proof.Extra)
	if err != nil {
		r.missing("the extra part of the proof cannot be read: %v", err)
		return nil
	}
	e := tx.Entry
	r.Height, r.Position, r.Count = e.Height, tx.Position, e.Count
	ct, err := tx.Verify()
	if err != nil {
		r.found(CodeBatchRoot, WhoProof, "the ciphertext is not where the proof says: %v", err)
		return nil
	}
	r.ID, r.Namespace = commitreveal.Hash(ct.ID()), ct.Header().Namespace
	if !r.committed(info, proof, e) {
		return nil
	}
	if h := ct.Header(); h.ChainID != info.ChainID {
		r.found(CodeChain, committeeName(r.Epoch), "a ciphertext for chain %q was ordered", h.ChainID)
	} else if h.ValidUntil < e.Height {
		r.found(CodeExpired, committeeName(r.Epoch), "a ciphertext was ordered that was valid until block %d", h.ValidUntil)
	}
	return &placedTx{tx, ct}
}

// open checks the opening and what it opens to.
func (p *placedTx) open(r *TxReport, info *CommitteeInfo) {
	if p.Opening == nil {
		r.missing("the opening: the batch was not revealed when the proof was made")
		return
	}
	plaintext, void, err := VerifyOpening(info.Committee.Key, p.Ciphertext, *p.Opening)
	switch {
	case errors.Is(err, threshold.ErrOpening):
		r.found(CodeOpening, WhoProof, "the opening does not verify")
	case errors.Is(err, threshold.ErrKey):
		r.found(CodeKey, committeeName(r.Epoch), "a ciphertext was ordered that is sealed to another key")
	case err != nil:
		r.found(CodeProof, committeeName(r.Epoch), "a ciphertext was ordered that does not hold its proof: %v", err)
	default:
		r.Void = void
		r.Plaintext = append(r.Plaintext, plaintext...)
	}
}

// receipt holds a member to its receipt, given that the place is proved.
func (r *TxReport) receipt(info *CommitteeInfo, receipt *commitreveal.Receipt) ReceiptResult {
	result := ReceiptResult{ID: commitreveal.Hash(receipt.ID), Member: receipt.Member, Status: ReceiptKept, Height: r.Height, Position: r.Position}
	switch {
	case VerifyReceipt(info, receipt) != nil:
		result.Status = ReceiptInvalid
		r.missing("receipt of member %d: it is not signed by that member of this committee", receipt.Member)
	case result.ID != r.ID:
		result.Status = ReceiptInvalid
		r.missing("receipt of member %d: it is for another ciphertext, %s", receipt.Member, result.ID)
	case r.Height > receipt.ValidUntil:
		result.Status = ReceiptBroken
		r.found(CodeReceipt, info.member(receipt.Member), "ordered after block %d, which the receipt promises", receipt.ValidUntil)
	}
	return result
}

// ProveTx looks for a ciphertext in what a node exported or a mirror holds, and
// proves it. checks.Committee is needed. The error is [ErrNotFound] if the
// ciphertext is not there, or its batch is not revealed yet.
func ProveTx(lines Lines, checks Checks, id threshold.ID) (*TxProof, error) {
	if checks.Committee == nil {
		return nil, errors.New("audit: the check of certificates is needed")
	}
	w := walker{lines: lines}
	for {
		b, err := w.next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: %s is in no batch", ErrNotFound, commitreveal.Hash(id))
		}
		if err != nil {
			return nil, err
		}
		if i := slices.Index(b.ids, id); i >= 0 {
			return w.prove(checks, b, i)
		}
	}
}

func (w *walker) prove(checks Checks, b *walked, i int) (*TxProof, error) {
	path, err := commitreveal.ProveInBatch(b.ids, i)
	if err != nil {
		return nil, err
	}
	proof, err := w.proveCommit(checks, b)
	if err != nil {
		return nil, err
	}
	tx := commitreveal.TransactionProof{
		Entry: b.commit, Position: uint32(i), Path: path,
		Ciphertext: b.transactions[i].Ciphertext, Opening: b.transactions[i].Opening,
	}
	if proof.Extra, err = tx.MarshalBinary(); err != nil {
		return nil, err
	}
	signed, err := proof.Marshal()
	if err != nil {
		return nil, err
	}
	p := &TxProof{Certificate: b.committee, Proof: signed}
	return p, p.validate()
}

// proveCommit proves that the batch's commit entry is the last of the log that the committee signed with it. It reads on to
// the reveal, which has the signature.
func (w *walker) proveCommit(checks Checks, b *walked) (*note.Proof, error) {
	info, err := checks.Committee(b.committee)
	if err != nil {
		return nil, err
	}
	certificate, err := w.certificate(b)
	if err != nil {
		return nil, err
	}
	last, err := lastPath(b.before)
	if err != nil {
		return nil, err
	}
	text := note.Checkpoint{Origin: note.Origin(w.chainID), Size: b.checkpoint.LogSize, Root: b.checkpoint.LogRoot}.Text()
	return &note.Proof{
		Index: b.checkpoint.LogSize - 1, Path: last,
		Note: &note.Note{Text: text, Signatures: []note.Signature{note.CertificateLine(info.Committee.Key, b.checkpoint, certificate)}},
	}, nil
}

// lastPath is the inclusion proof of an entry that is appended to the log: the
// roots along its right edge, the smallest subtree's first.
func lastPath(before commitreveal.Log) ([]commitreveal.Hash, error) {
	b, err := before.MarshalBinary() // version | 8 size | the roots, the widest subtree's first
	if err != nil {
		return nil, err
	}
	path := []commitreveal.Hash{}
	for b = b[9:]; len(b) >= commitreveal.HashSize; b = b[commitreveal.HashSize:] {
		path = append(path, commitreveal.Hash(b[:commitreveal.HashSize]))
	}
	slices.Reverse(path)
	return path, nil
}
