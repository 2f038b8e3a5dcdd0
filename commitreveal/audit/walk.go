package audit

import (
	"errors"
	"fmt"
	"io"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// walker goes through a log batch by batch, to gather what a proof needs. It
// checks only what it has to: whoever gets the proof verifies it.
type walker struct {
	lines Lines
	// each, if set, is called for every entry, with the log before it.
	each func(before commitreveal.Log, entry []byte, e commitreveal.Entry)

	chainID    string
	log        commitreveal.Log
	committees map[uint64][]byte // certificates by epoch
	epochs     []uint64          // in order
	revealed   map[uint64]threshold.Signature
	epoch      uint64                  // of the last committee entry
	ahead      commitreveal.BundleLine // read, and not used yet
}

// walked is a batch with its transactions.
type walked struct {
	before       commitreveal.Log
	entry        []byte
	commit       commitreveal.CommitEntry
	checkpoint   commitreveal.Checkpoint
	committee    []byte // certificate
	ids          []threshold.ID
	transactions []*commitreveal.BundleTransaction
}

// next gives the next batch, io.EOF at the end.
func (w *walker) next() (*walked, error) {
	for {
		b, err := w.entry()
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		return b, w.fill(b)
	}
}

func (w *walker) line() (commitreveal.BundleLine, error) {
	if l := w.ahead; l != nil {
		w.ahead = nil
		return l, nil
	}
	return w.lines.Next()
}

// entry reads the next line, and gives a batch if it was a commit entry.
func (w *walker) entry() (*walked, error) {
	line, err := w.line()
	if err != nil {
		return nil, err
	}
	switch l := line.(type) {
	case *commitreveal.BundleHeader:
		w.chainID = l.ChainID
	case *commitreveal.BundleEntry:
		return w.logEntry(l)
	case *commitreveal.BundleCertificate:
		w.takeOffice(l.Certificate)
	}
	return nil, nil
}

func (w *walker) takeOffice(certificate []byte) {
	if w.committees == nil {
		w.committees = map[uint64][]byte{}
	}
	if w.committees[w.epoch] == nil {
		w.epochs = append(w.epochs, w.epoch)
	}
	w.committees[w.epoch] = certificate
}

func (w *walker) logEntry(l *commitreveal.BundleEntry) (*walked, error) {
	e, err := commitreveal.ParseEntry(l.Entry)
	if err != nil {
		return nil, fmt.Errorf("log entry %d: %w", l.Index, err)
	}
	before := w.log
	if w.log, _, err = w.log.Append(l.Entry); err != nil {
		return nil, fmt.Errorf("log entry %d: %w", l.Index, err)
	}
	if w.each != nil {
		w.each(before, l.Entry, e)
	}
	switch e := e.(type) {
	case commitreveal.CommitteeEntry:
		w.epoch = e.Epoch
	case commitreveal.RevealEntry:
		if w.revealed != nil {
			w.revealed[e.Height] = e.Certificate
		}
	case commitreveal.CommitEntry:
		return &walked{
			before: before, entry: l.Entry, commit: e, committee: w.committees[e.Epoch],
			checkpoint: commitreveal.Checkpoint{
				ChainID: w.chainID, Height: e.Height, Epoch: e.Epoch, BatchRoot: e.Root,
				LogSize: w.log.Size(), LogRoot: w.log.Root(),
			},
		}, nil
	}
	return nil, nil
}

// fill reads the batch's transactions.
func (w *walker) fill(b *walked) error {
	for {
		line, err := w.line()
		if err != nil {
			return err
		}
		t, ok := line.(*commitreveal.BundleTransaction)
		if !ok {
			w.ahead = line
			return nil
		}
		ct, err := threshold.ParseCiphertext(t.Ciphertext)
		if err != nil {
			return fmt.Errorf("batch of height %d: %w", b.commit.Height, err)
		}
		b.ids, b.transactions = append(b.ids, ct.ID()), append(b.transactions, t)
	}
}

// certificate reads on until the batch is revealed.
func (w *walker) certificate(b *walked) (threshold.Signature, error) {
	w.revealed = map[uint64]threshold.Signature{}
	each := w.each
	w.each = nil
	defer func() { w.each, w.revealed = each, nil }()
	for {
		_, err := w.entry()
		if errors.Is(err, io.EOF) {
			return threshold.Signature{}, fmt.Errorf("%w: the committee's signature on the batch of height %d", ErrNotFound, b.commit.Height)
		}
		if err != nil {
			return threshold.Signature{}, err
		}
		if certificate, ok := w.revealed[b.commit.Height]; ok {
			return certificate, nil
		}
	}
}

// excerpt is a run of the log under a committee's signature, with the ids of its
// batches.
type excerpt struct {
	chainID      string
	log          Range
	certificates [][]byte // of the committees up to there, by epoch
	batches      [][]commitreveal.Hash
	heights      []uint64 // of the batches
}

// maxExcerpt bounds an excerpt in bytes, so that the evidence fits its file.
const maxExcerpt = MaxEvidenceSize / 2 / 2

// cut gives the log from the last batch at or below height from (from the log's
// beginning, if from is 0) to the first one above height to.
func cut(lines Lines, from, to uint64) (*excerpt, error) {
	x := &excerpt{}
	var before commitreveal.Log
	var entries []Bytes
	size := 0
	w := &walker{lines: lines}
	w.each = func(log commitreveal.Log, entry []byte, e commitreveal.Entry) {
		if c, ok := e.(commitreveal.CommitEntry); ok && c.Height <= from {
			entries, x.batches, x.heights, size = nil, nil, nil, 0
		}
		if len(entries) == 0 {
			before = log
		}
		entries = append(entries, entry)
		size += len(entry)
	}
	for {
		b, err := w.next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: a certified batch above height %d", ErrNotFound, to)
		}
		if err != nil {
			return nil, err
		}
		if size += len(b.ids) * commitreveal.HashSize; size > maxExcerpt {
			return nil, fmt.Errorf("%w: the log from block %d to block %d has more than %d bytes", ErrEvidence, from, to, maxExcerpt)
		}
		if b.commit.Height <= to {
			x.batches, x.heights = append(x.batches, hashesOf(b.ids)), append(x.heights, b.commit.Height)
			continue
		}
		return x, x.finish(w, b, before, entries)
	}
}

func (x *excerpt) finish(w *walker, last *walked, before commitreveal.Log, entries []Bytes) error {
	edge, err := before.MarshalBinary()
	if err != nil {
		return err
	}
	certificate, err := w.certificate(last)
	if err != nil {
		return err
	}
	signed, err := NewCertified(last.checkpoint, certificate)
	if err != nil {
		return err
	}
	x.chainID, x.log = w.chainID, Range{Before: edge, Entries: entries, Signed: signed}
	for _, epoch := range w.epochs[max(0, len(w.epochs)-maxCertificates):] {
		x.certificates = append(x.certificates, w.committees[epoch])
	}
	return nil
}

// ProveNotOrdered makes the evidence against a receipt whose ciphertext was not
// ordered in time, from what a node exported or a mirror holds. The log is taken
// from the last batch at or below height from; 0 is its beginning, which leaves
// nothing open. The evidence is not verified: the receipt may have been kept.
func ProveNotOrdered(lines Lines, r *commitreveal.Receipt, from uint64) (*EvidenceFile, error) {
	receipt, err := r.MarshalBinary()
	if err != nil {
		return nil, err
	}
	x, err := cut(lines, from, r.ValidUntil)
	if err != nil {
		return nil, err
	}
	if x.batches == nil {
		x.batches = [][]commitreveal.Hash{}
	}
	return &EvidenceFile{
		ChainID: x.chainID, Certificates: x.certificates,
		Proof: &BrokenReceipt{Receipt: receipt, Log: &x.log, Batches: x.batches},
	}, nil
}

// ProveEarlyShare makes the evidence against a share of a batch that was not
// committed, from the log of a node or a mirror. It is not verified: the share may
// be of the committed batch.
func ProveEarlyShare(lines Lines, m *commitreveal.ShareMessage) (*EvidenceFile, error) {
	message, err := m.MarshalBinary()
	if err != nil {
		return nil, err
	}
	x, err := cut(lines, m.Height, m.Height)
	if err != nil {
		return nil, err
	}
	return &EvidenceFile{ChainID: x.chainID, Certificates: x.certificates, Proof: &EarlyShare{Message: message, Log: x.log}}, nil
}
