package commitreveal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/scrimlabs/scrim/threshold"
)

const (
	// BundleFormat names the format of an audit bundle.
	BundleFormat = "scrim-audit-bundle/v3"
	// MaxLimitsSize bounds the chain's limits in a bundle's header, in bytes.
	MaxLimitsSize = 4 << 10
	// MaxTermsSize bounds the terms in a bundle's header, in bytes.
	MaxTermsSize = 256 << 10
	// MaxBundleLine bounds a line of a bundle, in bytes without the line feed.
	MaxBundleLine = 2*MaxRoundSize + 1024
	// MaxRoundSize bounds what a block said for the order, in bytes: a block is smaller.
	MaxRoundSize = 4 << 20
)

// ErrBundle: a bundle is malformed, out of order or cut short. Nothing follows
// from that about the network whose bundle it claims to be.
var ErrBundle = errors.New("commitreveal: not a whole audit bundle")

// BundleError says at which line of a bundle reading stopped, and why.
type BundleError struct {
	Line int // from 1
	Err  error
}

func (e *BundleError) Error() string { return fmt.Sprintf("bundle line %d: %v", e.Line, e.Err) }

// Unwrap makes errors.Is(err, ErrBundle) hold, as well as the cause.
func (e *BundleError) Unwrap() []error { return []error{ErrBundle, e.Err} }

// BundleLine is a line of a bundle: a [BundleHeader], a [BundleEntry], a
// [BundleCertificate], a [BundleEvidence], a [BundleTransaction], a [BundleRound] or a [BundleEnd].
type BundleLine interface {
	validate() error
	json() any
}

// BundleHeader is the first line.
type BundleHeader struct {
	ChainID string
	Terms   []byte // of the ceremony, as keygen encodes them; 1 to MaxTermsSize bytes
	Limits  []byte // what the chain's members agreed on for the order, opaque here; 1 to MaxLimitsSize bytes
}

// BundleEntry is an entry of the commit-reveal log. All of them are in the
// bundle, from index 0 on. A [CommitteeEntry] is followed by its certificate, a
// [CommitEntry] by its batch's transactions, in order and all of them, a
// [MisbehaviourEntry] by the evidence, unless whoever made the bundle does not have it.
type BundleEntry struct {
	Index uint64
	Entry []byte // as MarshalEntry gives it
}

// BundleCertificate is the ceremony's certificate that the committee entry
// before it names. Whether its hash is the right one, the reader does not check.
type BundleCertificate struct {
	Certificate []byte // 1 to MaxCertificateSize bytes
}

// BundleEvidence is the evidence that the misbehaviour entry before it names. Neither
// its hash nor what it proves is checked by the reader.
type BundleEvidence struct {
	Body []byte // 1 to MaxEvidenceSize bytes
}

// BundleTransaction is one ciphertext of a batch, and what it opened to.
type BundleTransaction struct {
	Height     uint64 // of the batch
	Position   uint32 // in the batch, from 0
	Ciphertext []byte
	Opening    *threshold.Opening // nil while it is not revealed
	Void       bool               // revealed, but the payload does not decrypt
	Plaintext  []byte             // if revealed and not void
}

// BundleRound is what a block said for the order (ordering.Round). Rounds stand by height; before a commit, committee or expired entry
// stand all of its height and below.
type BundleRound struct {
	Height  uint64
	Section []byte   // nil if there is none
	Aside   [][]byte // ciphertexts
}

// BundleEnd is the last line: how much there was, so that a bundle that was
// cut is told from a whole one.
type BundleEnd struct {
	Entries      uint64
	Transactions uint64
}

// The JSON forms. A line is exactly what encodeLine gives.
type (
	headerJSON struct {
		Type    string `json:"type"`
		Format  string `json:"format"`
		ChainID string `json:"chain_id"`
		Terms   string `json:"terms"`
		Limits  string `json:"limits"`
	}
	entryJSON struct {
		Type  string `json:"type"`
		Index uint64 `json:"index"`
		Entry string `json:"entry"`
	}
	certificateJSON struct {
		Type        string `json:"type"`
		Certificate string `json:"certificate"`
	}
	evidenceJSON struct {
		Type string `json:"type"`
		Body string `json:"body"`
	}
	transactionJSON struct {
		Type       string  `json:"type"`
		Height     uint64  `json:"height"`
		Position   uint32  `json:"position"`
		Ciphertext string  `json:"ciphertext"`
		Opening    *string `json:"opening"`
		Void       bool    `json:"void"`
		Plaintext  *string `json:"plaintext"`
	}
	roundJSON struct {
		Type    string   `json:"type"`
		Height  uint64   `json:"height"`
		Section *string  `json:"section"`
		Aside   []string `json:"aside"`
	}
	endJSON struct {
		Type         string `json:"type"`
		Entries      uint64 `json:"entries"`
		Transactions uint64 `json:"transactions"`
	}
)

const (
	typeHeader      = "header"
	typeEntry       = "entry"
	typeCertificate = "certificate"
	typeEvidence    = "evidence"
	typeTransaction = "transaction"
	typeRound       = "round"
	typeEnd         = "end"
)

func (h *BundleHeader) validate() error {
	if err := threshold.ValidChainID(h.ChainID); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if n := len(h.Terms); n == 0 || n > MaxTermsSize {
		return fmt.Errorf("%w: terms of %d bytes, 1 to %d allowed", ErrInvalid, n, MaxTermsSize)
	}
	if n := len(h.Limits); n == 0 || n > MaxLimitsSize {
		return fmt.Errorf("%w: limits of %d bytes, 1 to %d allowed", ErrInvalid, n, MaxLimitsSize)
	}
	return nil
}

func (e *BundleEntry) validate() error {
	if len(e.Entry) > MaxEntrySize {
		return fmt.Errorf("%w: log entry of %d bytes, at most %d allowed", ErrInvalid, len(e.Entry), MaxEntrySize)
	}
	return nil
}

func (c *BundleCertificate) validate() error {
	if n := len(c.Certificate); n == 0 || n > MaxCertificateSize {
		return fmt.Errorf("%w: certificate of %d bytes, 1 to %d allowed", ErrInvalid, n, MaxCertificateSize)
	}
	return nil
}

func (e *BundleEvidence) validate() error {
	if n := len(e.Body); n == 0 || n > MaxEvidenceSize {
		return fmt.Errorf("%w: evidence of %d bytes, 1 to %d allowed", ErrInvalid, n, MaxEvidenceSize)
	}
	return nil
}

func (t *BundleTransaction) validate() error {
	switch {
	case len(t.Ciphertext) > maxCiphertextSize || len(t.Plaintext) > maxCiphertextSize:
		return fmt.Errorf("%w: ciphertext of %d and plaintext of %d bytes", ErrInvalid, len(t.Ciphertext), len(t.Plaintext))
	case t.Opening == nil && t.Void:
		return fmt.Errorf("%w: void without the opening that proves it", ErrInvalid)
	case !t.showsPlaintext() && len(t.Plaintext) > 0:
		return fmt.Errorf("%w: a plaintext that nothing opened", ErrInvalid)
	}
	return nil
}

func (t *BundleTransaction) showsPlaintext() bool { return t.Opening != nil && !t.Void }

func (r *BundleRound) validate() error {
	size := len(r.Section)
	for _, ct := range r.Aside {
		size += len(ct)
	}
	if size > MaxRoundSize || r.Section == nil && len(r.Aside) == 0 {
		return fmt.Errorf("%w: a round of %d bytes, at most %d allowed", ErrInvalid, size, MaxRoundSize)
	}
	return nil
}

func (*BundleEnd) validate() error { return nil }

func (h *BundleHeader) json() any {
	return headerJSON{typeHeader, BundleFormat, h.ChainID, hexText(h.Terms), hexText(h.Limits)}
}

func (e *BundleEntry) json() any { return entryJSON{typeEntry, e.Index, hexText(e.Entry)} }

func (c *BundleCertificate) json() any {
	return certificateJSON{typeCertificate, hexText(c.Certificate)}
}

func (e *BundleEvidence) json() any { return evidenceJSON{typeEvidence, hexText(e.Body)} }

func (t *BundleTransaction) json() any {
	j := transactionJSON{
		Type: typeTransaction, Height: t.Height, Position: t.Position,
		Ciphertext: hexText(t.Ciphertext), Void: t.Void,
	}
	if t.Opening != nil {
		s := hexText(t.Opening[:])
		j.Opening = &s
	}
	if t.showsPlaintext() {
		s := hexText(t.Plaintext)
		j.Plaintext = &s
	}
	return j
}

func (r *BundleRound) json() any {
	j := roundJSON{Type: typeRound, Height: r.Height, Aside: []string{}}
	if r.Section != nil {
		s := hexText(r.Section)
		j.Section = &s
	}
	for _, ct := range r.Aside {
		j.Aside = append(j.Aside, hexText(ct))
	}
	return j
}

func (e *BundleEnd) json() any { return endJSON{typeEnd, e.Entries, e.Transactions} }

// MarshalBundleLine gives the one encoding of a line, without the line feed.
func MarshalBundleLine(l BundleLine) ([]byte, error) {
	if l == nil {
		return nil, fmt.Errorf("%w: no line", ErrInvalid)
	}
	return encodeLine(l)
}

// ParseBundleLine is the inverse of [MarshalBundleLine].
func ParseBundleLine(b []byte) (BundleLine, error) {
	if len(b) > MaxBundleLine {
		return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrEncoding, MaxBundleLine)
	}
	return decodeLine(b)
}

// encodeLine gives the one encoding of a line, without the line feed.
func encodeLine(l BundleLine) ([]byte, error) {
	if err := l.validate(); err != nil {
		return nil, err
	}
	return json.Marshal(l.json())
}

// decodeLine is the inverse of encodeLine; it accepts nothing else.
func decodeLine(b []byte) (BundleLine, error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	var l BundleLine
	var err error
	switch head.Type {
	case typeHeader:
		l, err = decodeHeader(b)
	case typeEntry:
		l, err = decodeEntry(b)
	case typeCertificate:
		l, err = decodeCertificate(b)
	case typeEvidence:
		l, err = decodeEvidence(b)
	case typeTransaction:
		l, err = decodeTransaction(b)
	case typeRound:
		l, err = decodeRound(b)
	case typeEnd:
		var j endJSON
		err = decodeStrict(b, &j)
		l = &BundleEnd{j.Entries, j.Transactions}
	default:
		err = fmt.Errorf("%w: line of type %q", ErrEncoding, head.Type)
	}
	if err != nil {
		return nil, err
	}
	canonical, err := encodeLine(l)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(canonical, b) {
		return nil, fmt.Errorf("%w: the line is not written the one way it can be", ErrEncoding)
	}
	return l, nil
}

func decodeHeader(b []byte) (BundleLine, error) {
	var j headerJSON
	if err := decodeStrict(b, &j); err != nil {
		return nil, err
	}
	if j.Format != BundleFormat {
		return nil, fmt.Errorf("%w: format %q, want %q", ErrEncoding, j.Format, BundleFormat)
	}
	terms, err := parseHex(j.Terms)
	if err != nil {
		return nil, fmt.Errorf("terms: %w", err)
	}
	limits, err := parseHex(j.Limits)
	if err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	return &BundleHeader{j.ChainID, terms, limits}, nil
}

func decodeRound(b []byte) (BundleLine, error) {
	var j roundJSON
	if err := decodeStrict(b, &j); err != nil {
		return nil, err
	}
	r := &BundleRound{Height: j.Height}
	var err error
	if j.Section != nil {
		if r.Section, err = parseHex(*j.Section); err != nil {
			return nil, fmt.Errorf("section: %w", err)
		}
	}
	for _, text := range j.Aside {
		ct, err := parseHex(text)
		if err != nil {
			return nil, fmt.Errorf("aside: %w", err)
		}
		r.Aside = append(r.Aside, ct)
	}
	return r, nil
}

func decodeEntry(b []byte) (BundleLine, error) {
	var j entryJSON
	if err := decodeStrict(b, &j); err != nil {
		return nil, err
	}
	entry, err := parseHex(j.Entry)
	if err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	return &BundleEntry{j.Index, entry}, nil
}

func decodeCertificate(b []byte) (BundleLine, error) {
	var j certificateJSON
	if err := decodeStrict(b, &j); err != nil {
		return nil, err
	}
	certificate, err := parseHex(j.Certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return &BundleCertificate{certificate}, nil
}

func decodeEvidence(b []byte) (BundleLine, error) {
	var j evidenceJSON
	if err := decodeStrict(b, &j); err != nil {
		return nil, err
	}
	body, err := parseHex(j.Body)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return &BundleEvidence{body}, nil
}

func decodeTransaction(b []byte) (BundleLine, error) {
	var j transactionJSON
	if err := decodeStrict(b, &j); err != nil {
		return nil, err
	}
	t := &BundleTransaction{Height: j.Height, Position: j.Position, Void: j.Void}
	var err error
	if t.Ciphertext, err = parseHex(j.Ciphertext); err != nil {
		return nil, fmt.Errorf("ciphertext: %w", err)
	}
	if j.Opening != nil {
		t.Opening = new(threshold.Opening)
		if err := parseHexInto(t.Opening[:], *j.Opening); err != nil {
			return nil, fmt.Errorf("opening: %w", err)
		}
	}
	if j.Plaintext != nil {
		if t.Plaintext, err = parseHex(*j.Plaintext); err != nil {
			return nil, fmt.Errorf("plaintext: %w", err)
		}
	}
	return t, nil
}

// bundleOrder is the order of lines that writer and reader hold to: the header,
// entries by index, rounds by height between them, after a committee entry its certificate, after a misbehaviour entry
// its evidence or nothing, after a commit entry its transactions by position, the end.
type bundleOrder struct {
	started, ended bool
	entries        uint64
	transactions   uint64
	round          uint64       // height of the last one
	commit         *CommitEntry // if the last entry was one
	position       uint32       // of its next transaction
	certificate    bool         // the certificate of the last entry is due
	evidence       bool         // the evidence of the last entry may come
}

var errAfterEnd = fmt.Errorf("%w: lines after the end", ErrEncoding)

func (o *bundleOrder) accept(l BundleLine) error {
	if o.ended {
		return errAfterEnd
	}
	if _, header := l.(*BundleHeader); header == o.started {
		return fmt.Errorf("%w: the header must be the first line and only that", ErrEncoding)
	}
	if _, certificate := l.(*BundleCertificate); certificate != o.certificate {
		return fmt.Errorf("%w: a certificate must follow its committee entry, and only that", ErrEncoding)
	}
	if _, evidence := l.(*BundleEvidence); evidence && !o.evidence {
		return fmt.Errorf("%w: evidence must follow its misbehaviour entry", ErrEncoding)
	}
	o.evidence = false
	switch l := l.(type) {
	case *BundleHeader:
		o.started = true
	case *BundleCertificate:
		o.certificate = false
	case *BundleEntry:
		return o.entry(l)
	case *BundleTransaction:
		return o.transaction(l)
	case *BundleRound:
		if l.Height <= o.round {
			return fmt.Errorf("%w: a round of height %d after that of height %d", ErrEncoding, l.Height, o.round)
		}
		o.commit, o.round = nil, l.Height
	case *BundleEnd:
		if l.Entries != o.entries || l.Transactions != o.transactions {
			return fmt.Errorf("%w: the end counts %d entries and %d transactions, there were %d and %d",
				ErrEncoding, l.Entries, l.Transactions, o.entries, o.transactions)
		}
		o.ended = true
	}
	return nil
}

func (o *bundleOrder) entry(l *BundleEntry) error {
	if l.Index != o.entries {
		return fmt.Errorf("%w: log entry %d where entry %d is due", ErrEncoding, l.Index, o.entries)
	}
	commit, err := commitOf(l.Entry)
	if err != nil {
		return err
	}
	o.commit, o.position = commit, 0
	o.certificate = kindOf(l.Entry) == kindCommittee
	o.evidence = kindOf(l.Entry) == kindMisbehaviour
	o.entries++
	return nil
}

// kindOf gives the kind byte of an entry, 0 if it is too short to have one.
func kindOf(entry []byte) byte {
	const at = len(domainEntry) + 1
	if len(entry) <= at {
		return 0
	}
	return entry[at]
}

// commitOf parses an entry if it is a commit entry, and gives nil for another.
func commitOf(entry []byte) (*CommitEntry, error) {
	if kindOf(entry) != kindCommit {
		return nil, nil
	}
	e, err := ParseEntry(entry)
	if err != nil {
		return nil, err
	}
	commit := e.(CommitEntry)
	return &commit, nil
}

func (o *bundleOrder) transaction(l *BundleTransaction) error {
	if o.commit == nil || l.Height != o.commit.Height {
		return fmt.Errorf("%w: a transaction of height %d that does not follow its batch's commit entry", ErrEncoding, l.Height)
	}
	if l.Position != o.position || l.Position >= MaxBatch {
		return fmt.Errorf("%w: batch of height %d: transaction %d where %d is due", ErrEncoding, l.Height, l.Position, o.position)
	}
	o.position++
	o.transactions++
	return nil
}

// BundleWriter writes a bundle as a stream. The first error sticks.
type BundleWriter struct {
	w     *bufio.Writer
	order bundleOrder
	err   error
}

// NewBundleWriter starts a bundle.
func NewBundleWriter(w io.Writer, h BundleHeader) (*BundleWriter, error) {
	out := &BundleWriter{w: bufio.NewWriter(w)}
	if err := out.write(&h); err != nil {
		return nil, err
	}
	return out, nil
}

// Entry writes the next entry of the log, from index 0 on. After a commit
// entry the transactions of its batch are due, after a committee entry its
// certificate.
func (w *BundleWriter) Entry(index uint64, entry []byte) error {
	if err := w.batchIsWhole(); err != nil {
		return err
	}
	return w.write(&BundleEntry{index, entry})
}

// Certificate writes the certificate of the committee entry that was written last.
func (w *BundleWriter) Certificate(certificate []byte) error {
	return w.write(&BundleCertificate{certificate})
}

// Evidence writes the evidence of the misbehaviour entry that was written last.
func (w *BundleWriter) Evidence(body []byte) error { return w.write(&BundleEvidence{body}) }

// Round writes what a block said for the order.
func (w *BundleWriter) Round(r BundleRound) error {
	if err := w.batchIsWhole(); err != nil {
		return err
	}
	return w.write(&r)
}

// Transaction writes the next transaction of the batch that was last committed.
func (w *BundleWriter) Transaction(t BundleTransaction) error { return w.write(&t) }

// Line writes a line as a reader gives it. The header is written already, and the end is Close's.
func (w *BundleWriter) Line(l BundleLine) error {
	if _, ok := l.(*BundleTransaction); !ok {
		if err := w.batchIsWhole(); err != nil {
			return err
		}
	}
	return w.write(l)
}

// Close writes the end and flushes. It does not close the underlying writer.
func (w *BundleWriter) Close() error {
	if err := w.batchIsWhole(); err != nil {
		return err
	}
	if err := w.write(&BundleEnd{w.order.entries, w.order.transactions}); err != nil {
		return err
	}
	if err := w.w.Flush(); err != nil {
		w.err = fmt.Errorf("write bundle: %w", err)
	}
	return w.err
}

func (w *BundleWriter) batchIsWhole() error {
	c := w.order.commit
	if w.err == nil && c != nil && w.order.position != c.Count {
		w.err = fmt.Errorf("write bundle: %w: %d of the %d transactions of batch %d were written", ErrInvalid, w.order.position, c.Count, c.Height)
	}
	return w.err
}

func (w *BundleWriter) write(l BundleLine) error {
	if w.err != nil {
		return w.err
	}
	b, err := encodeLine(l)
	if err == nil {
		err = w.order.accept(l)
	}
	if err == nil {
		_, err = w.w.Write(append(b, '\n'))
	}
	if err != nil {
		w.err = fmt.Errorf("write bundle: %w", err)
	}
	return w.err
}

// BundleReader reads a bundle as a stream: one line at a time, none longer than
// [MaxBundleLine]. It checks the form of the lines, their order and their number,
// and nothing that they say.
type BundleReader struct {
	r     *bufio.Reader
	order bundleOrder
	line  int
	err   error
}

// NewBundleReader reads a bundle from r.
func NewBundleReader(r io.Reader) *BundleReader {
	return &BundleReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// Next gives the next line, and io.EOF after a [BundleEnd] with nothing behind
// it. Every other error is a [*BundleError], and final.
func (r *BundleReader) Next() (BundleLine, error) {
	if r.err != nil {
		return nil, r.err
	}
	l, err := r.next()
	switch {
	case err != nil:
		l, r.err = nil, &BundleError{r.line, err}
	case l == nil:
		r.err = io.EOF
	}
	return l, r.err
}

// next gives nil and no error after the end.
func (r *BundleReader) next() (BundleLine, error) {
	r.line++
	b, err := readLine(r.r)
	switch {
	case errors.Is(err, io.EOF) && r.order.ended:
		return nil, nil
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w before the line that ends it", io.ErrUnexpectedEOF)
	case err != nil:
		return nil, err
	}
	l, err := decodeLine(b)
	if err != nil {
		return nil, err
	}
	if err := r.order.accept(l); err != nil {
		return nil, err
	}
	return l, nil
}

// readLine reads a line of at most MaxBundleLine bytes and its line feed. The
// error is io.EOF only if there was nothing at all.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > MaxBundleLine+1 {
			return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrEncoding, MaxBundleLine)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, fmt.Errorf("%w in the middle of a line", io.ErrUnexpectedEOF)
		default:
			return nil, err
		}
	}
}
