package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

const (
	// EvidenceFormat names the format of an evidence file.
	EvidenceFormat = "scrim-evidence/v1"
	// MaxEvidenceSize bounds an evidence file in bytes.
	MaxEvidenceSize = 64 << 20
	maxCertificates = 8
)

// The kinds of evidence.
const (
	KindSplitView        = "split_view"         // two logs shown under one signature
	KindBrokenReceipt    = "broken_receipt"     // a member's promise that was not kept
	KindWrongOrder       = "wrong_order"        // a certified batch in another order than the rule's
	KindConflictCommit   = "conflicting_commit" // two certified batches or logs for one height
	KindEarlyShare       = "early_share"        // a share of something that was never committed
	KindBadShare         = "bad_share"          // a share that does not verify
	KindConflictShare    = "conflicting_shares" // shares of two batches of one height
	KindCeremonyConflict = "conflicting_ceremony_message"
	KindBadDeal          = "bad_deal"            // a deal, answer or message of a ceremony that is wrong in itself
	KindLogFork          = "receive_log_fork"    // two heads for one place of a member's receive log
	KindTimesFork        = "receive_times_fork"  // two heads or times for one place of it, with times
	KindOmitted          = "omitted_transaction" // a namespace root that leaves out a transaction of its batch
)

var (
	// ErrEvidence: the bytes are not an evidence file.
	ErrEvidence = errors.New("audit: not an evidence file")
	// ErrNotProved: an evidence file does not prove what it says.
	ErrNotProved = errors.New("audit: the evidence proves nothing")
)

// Bytes is a byte string; in JSON it is "0x" and lower-case hexadecimal.
type Bytes []byte

// MarshalText implements encoding.TextMarshaler.
func (b Bytes) MarshalText() ([]byte, error) { return []byte("0x" + hex.EncodeToString(b)), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Other spellings than MarshalText's are errors.
func (b *Bytes) UnmarshalText(text []byte) error {
	digits, ok := bytes.CutPrefix(text, []byte("0x"))
	if !ok || bytes.ContainsAny(digits, "ABCDEF") {
		return fmt.Errorf("%w: a byte string is 0x and lower-case hexadecimal", ErrEvidence)
	}
	out := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(out, digits); err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	*b = out
	return nil
}

// EvidenceFile is one piece of evidence with all that a judge needs besides the
// knowledge of which committee is the right one: what was signed, and the
// certificates (or, for a ceremony, the terms) of who signed it. As a file it is
// one line of JSON with one spelling, at most [MaxEvidenceSize] bytes; see
// docs/spec/evidence.md.
type EvidenceFile struct {
	ChainID      string
	Terms        []byte   // of the ceremony, for the kinds that are about one; else empty
	Certificates [][]byte // of the committees concerned, by epoch; empty for those kinds
	Proof        Proof
}

// Proof is what an evidence file shows: [*SplitView], [*BrokenReceipt],
// [*WrongOrder], [*ConflictingCommit], [*EarlyShare], [*BadShare],
// [*CeremonyFault], [*LogFork] or [*OmittedTransaction].
type Proof interface {
	// Kind is one of the Kind constants.
	Kind() string
	// check establishes what it can; errors wrap ErrNotProved.
	check(j *judge) (*Established, error)
	// validate refuses what a file may not hold, before anything is computed.
	validate() error
}

// Established is what a verified evidence file proves.
type Established struct {
	Kind    string `json:"kind"`
	ChainID string `json:"chain_id"`
	Who     string `json:"who"`    // "committee of epoch 1", "member 2 (alice) of epoch 1"
	Height  uint64 `json:"height"` // of the batch; 0 if it is not about one
	What    string `json:"what"`   // one sentence for people
	// Remains says what the file alone does not establish; "" if nothing.
	Remains string `json:"remains"`
	// TermsHashes are those of the committees (or of the ceremony) that the file
	// names. The evidence is against the members of these terms: whether they are
	// the chain's, the file cannot say.
	TermsHashes []commitreveal.Hash `json:"terms_hashes"`

	// Of the kinds that the log records: whom and how a misbehaviour entry names it.
	member    uint32
	entryKind string
}

// String gives it as a sentence.
func (e *Established) String() string { return fmt.Sprintf("%s: %s", e.Who, e.What) }

type evidenceJSON struct {
	Format       string          `json:"format"`
	Kind         string          `json:"kind"`
	ChainID      string          `json:"chain_id"`
	Terms        Bytes           `json:"terms"`
	Certificates []Bytes         `json:"certificates"`
	Proof        json.RawMessage `json:"proof"`
}

func newProof(kind string) Proof {
	switch kind {
	case KindSplitView:
		return new(SplitView)
	case KindBrokenReceipt:
		return new(BrokenReceipt)
	case KindWrongOrder:
		return new(WrongOrder)
	case KindConflictCommit:
		return new(ConflictingCommit)
	case KindEarlyShare:
		return new(EarlyShare)
	case KindBadShare, KindConflictShare:
		return &BadShare{kind: kind}
	case KindCeremonyConflict, KindBadDeal:
		return &CeremonyFault{kind: kind}
	case KindLogFork, KindTimesFork:
		return &LogFork{kind: kind}
	case KindOmitted:
		return new(OmittedTransaction)
	}
	return nil
}

func (f *EvidenceFile) validate() error {
	if err := threshold.ValidChainID(f.ChainID); err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if f.Proof == nil {
		return fmt.Errorf("%w: no proof", ErrEvidence)
	}
	_, ceremony := f.Proof.(*CeremonyFault)
	switch n := len(f.Certificates); {
	case ceremony && (len(f.Terms) == 0 || n != 0):
		return fmt.Errorf("%w: evidence about a ceremony needs its terms and no certificate", ErrEvidence)
	case !ceremony && (len(f.Terms) != 0 || n == 0 || n > maxCertificates):
		return fmt.Errorf("%w: %d certificates (1 to %d are needed) and terms of %d bytes (none are)", ErrEvidence, n, maxCertificates, len(f.Terms))
	case len(f.Terms) > commitreveal.MaxTermsSize:
		return fmt.Errorf("%w: terms of %d bytes", ErrEvidence, len(f.Terms))
	}
	return f.Proof.validate()
}

// Marshal gives the file, with the line feed that ends it.
func (f *EvidenceFile) Marshal() ([]byte, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	proof, err := json.Marshal(f.Proof)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	j := evidenceJSON{
		Format: EvidenceFormat, Kind: f.Proof.Kind(), ChainID: f.ChainID, Terms: f.Terms,
		Certificates: []Bytes{}, Proof: proof,
	}
	for _, c := range f.Certificates {
		j.Certificates = append(j.Certificates, c)
	}
	b, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if len(b) >= MaxEvidenceSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d allowed", ErrEvidence, len(b)+1, MaxEvidenceSize)
	}
	return append(b, '\n'), nil
}

// ParseEvidence reads an evidence file. It verifies nothing: see
// [EvidenceFile.Verify]. Errors wrap [ErrEvidence].
func ParseEvidence(b []byte) (*EvidenceFile, error) {
	if len(b) > MaxEvidenceSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d allowed", ErrEvidence, len(b), MaxEvidenceSize)
	}
	var j evidenceJSON
	if err := strictJSON(b, &j); err != nil {
		return nil, err
	}
	if j.Format != EvidenceFormat {
		return nil, fmt.Errorf("%w: format %q, want %q", ErrEvidence, j.Format, EvidenceFormat)
	}
	f := &EvidenceFile{ChainID: j.ChainID, Proof: newProof(j.Kind)}
	if f.Proof == nil {
		return nil, fmt.Errorf("%w: kind %q", ErrEvidence, j.Kind)
	}
	if err := strictJSON(j.Proof, f.Proof); err != nil {
		return nil, err
	}
	if len(j.Terms) > 0 {
		f.Terms = j.Terms
	}
	for _, c := range j.Certificates {
		f.Certificates = append(f.Certificates, c)
	}
	if err := oneSpelling(f, b, ErrEvidence); err != nil {
		return nil, err
	}
	return f, nil
}

// strictJSON decodes one JSON value without unknown fields.
func strictJSON(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one JSON value", ErrEvidence)
	}
	return nil
}

// oneSpelling is nil if a file that was parsed is written as Marshal writes it; else the error wraps refused.
func oneSpelling(parsed interface{ Marshal() ([]byte, error) }, b []byte, refused error) error {
	canonical, err := parsed.Marshal()
	if err != nil {
		return err
	}
	if !bytes.Equal(canonical, b) {
		return fmt.Errorf("%w: it is not written the one way it can be", refused)
	}
	return nil
}

// judge holds what a proof is checked with.
type judge struct {
	chainID    string
	checks     Checks
	terms      []byte
	committees []*CommitteeInfo // of distinct epochs
}

func notProved(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotProved}, args...)...)
}

// Verify checks the evidence: nil and what it establishes, or an error that wraps
// [ErrNotProved]. It needs nothing but the file. checks.Committee, checks.Ceremony
// and checks.Fork are needed, as far as the kind asks for them.
func (f *EvidenceFile) Verify(checks Checks) (*Established, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	j := &judge{chainID: f.ChainID, checks: checks, terms: f.Terms}
	var hashes []commitreveal.Hash
	for i, certificate := range f.Certificates {
		if checks.Committee == nil {
			return nil, errors.New("audit: the check of certificates is needed")
		}
		info, err := checks.Committee(certificate)
		if err == nil && (info.Committee == nil || info.Committee.Key == nil) {
			err = errors.New("it names no committee")
		}
		if err != nil {
			return nil, notProved("certificate %d does not hold: %w", i, err)
		}
		if info.ChainID != f.ChainID {
			return nil, notProved("certificate %d is of chain %q, the evidence is about %q", i, info.ChainID, f.ChainID)
		}
		if _, err := j.committee(info.Committee.Epoch); err == nil {
			return nil, notProved("two certificates of epoch %d", info.Committee.Epoch)
		}
		j.committees = append(j.committees, &info)
		hashes = append(hashes, info.TermsHash)
	}
	e, err := f.Proof.check(j)
	if err != nil {
		return nil, err
	}
	e.Kind, e.ChainID = f.Proof.Kind(), f.ChainID
	e.TermsHashes = append(hashes, e.TermsHashes...)
	return e, nil
}

func (j *judge) committee(epoch uint64) (*CommitteeInfo, error) {
	for _, c := range j.committees {
		if c.Committee.Epoch == epoch {
			return c, nil
		}
	}
	return nil, notProved("the certificate of the committee of epoch %d is not in the file", epoch)
}

// certified checks the committee's signature on a checkpoint of the chain.
func (j *judge) certified(c *commitreveal.Checkpoint, certificate threshold.Signature) (*CommitteeInfo, error) {
	if c.ChainID != j.chainID {
		return nil, notProved("a checkpoint is of chain %q", c.ChainID)
	}
	info, err := j.committee(c.Epoch)
	if err != nil {
		return nil, err
	}
	if err := VerifyCheckpoint(info.Committee.Key, c, certificate); err != nil {
		return nil, notProved("%w", err)
	}
	return info, nil
}

// Certified is a checkpoint with the committee's signature on it.
type Certified struct {
	Checkpoint  Bytes `json:"checkpoint"`  // as commitreveal.Checkpoint's MarshalBinary
	Certificate Bytes `json:"certificate"` // 48 bytes
}

// NewCertified encodes a checkpoint and its certificate.
func NewCertified(c commitreveal.Checkpoint, certificate threshold.Signature) (Certified, error) {
	b, err := c.MarshalBinary()
	return Certified{b, certificate[:]}, err
}

func (c *Certified) parse() (*commitreveal.Checkpoint, threshold.Signature, error) {
	checkpoint, err := commitreveal.ParseCheckpoint(c.Checkpoint)
	if err != nil {
		return nil, threshold.Signature{}, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if len(c.Certificate) != len(threshold.Signature{}) {
		return nil, threshold.Signature{}, fmt.Errorf("%w: a certificate of %d bytes", ErrEvidence, len(c.Certificate))
	}
	return checkpoint, threshold.Signature(c.Certificate), nil
}

func (c *Certified) verify(j *judge) (*commitreveal.Checkpoint, *CommitteeInfo, error) {
	checkpoint, certificate, err := c.parse()
	if err != nil {
		return nil, nil, err
	}
	info, err := j.certified(checkpoint, certificate)
	return checkpoint, info, err
}

// Range is a run of log entries that a committee's signature covers: from what
// stood before the first of them to the last that the checkpoint covers, the
// commit entry of the checkpoint's batch.
type Range struct {
	Before  Bytes     `json:"before"`  // the log before the first entry, as commitreveal.Log's MarshalBinary
	Entries []Bytes   `json:"entries"` // one after the other
	Signed  Certified `json:"signed"`
}

func (r *Range) validate() error {
	if _, err := commitreveal.ParseLog(r.Before); err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if len(r.Entries) == 0 {
		return fmt.Errorf("%w: no log entries", ErrEvidence)
	}
	for i, b := range r.Entries {
		if _, err := commitreveal.ParseEntry(b); err != nil {
			return fmt.Errorf("%w: log entry %d: %w", ErrEvidence, i, err)
		}
	}
	_, _, err := r.Signed.parse()
	return err
}

// proved is a range that was verified.
type proved struct {
	first      uint64 // index of the first entry
	entries    []commitreveal.Entry
	checkpoint *commitreveal.Checkpoint
	committee  *CommitteeInfo // which signed the checkpoint
}

// verify checks that the entries are those of the signed log.
func (r *Range) verify(j *judge) (*proved, error) {
	checkpoint, info, err := r.Signed.verify(j)
	if err != nil {
		return nil, err
	}
	log, err := commitreveal.ParseLog(r.Before)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	p := &proved{first: log.Size(), checkpoint: checkpoint, committee: info}
	for _, b := range r.Entries {
		e, err := commitreveal.ParseEntry(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
		}
		if log, _, err = log.Append(b); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
		}
		p.entries = append(p.entries, e)
	}
	if log.Size() != checkpoint.LogSize || log.Root() != checkpoint.LogRoot {
		return nil, notProved("the entries are not those of the log that the committee signed")
	}
	return p, nil
}

// commits are the range's commit entries, in order.
func (p *proved) commits() (out []commitreveal.CommitEntry) {
	for _, e := range p.entries {
		if c, ok := e.(commitreveal.CommitEntry); ok {
			out = append(out, c)
		}
	}
	return out
}

// idsOf checks that ids are those of the commit entry.
func idsOf(c *commitreveal.CommitEntry, ids []commitreveal.Hash) ([]threshold.ID, error) {
	out := make([]threshold.ID, len(ids))
	for i, id := range ids {
		out[i] = threshold.ID(id)
	}
	if len(out) != int(c.Count) || commitreveal.BatchRoot(out) != c.Root {
		return nil, notProved("the ids are not those of the batch of height %d", c.Height)
	}
	return out, nil
}

func hashesOf(ids []threshold.ID) []commitreveal.Hash {
	out := make([]commitreveal.Hash, len(ids))
	for i, id := range ids {
		out[i] = commitreveal.Hash(id)
	}
	return out
}

// committeeName names a committee for people.
func committeeName(epoch uint64) string { return fmt.Sprintf("committee of epoch %d", epoch) }

// memberOf names a member of a committee for people.
func memberOf(c *CommitteeInfo, j uint32) string {
	return fmt.Sprintf("%s of epoch %d", c.member(j), c.Committee.Epoch)
}

// sortedIDs gives the ids in ascending order; ok is false if one is there twice.
func sortedIDs(ids []threshold.ID) (sorted []threshold.ID, ok bool) {
	sorted = slices.Clone(ids)
	slices.SortFunc(sorted, func(x, y threshold.ID) int { return bytes.Compare(x[:], y[:]) })
	return sorted, len(slices.Compact(slices.Clone(sorted))) == len(sorted)
}
