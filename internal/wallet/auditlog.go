package wallet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/threshold"
)

// LogSource is what can be audited: the directory of a mirror, or the file of a
// bundle.
type LogSource struct {
	path   string
	mirror bool
}

// NewLogSource looks at what is at a path.
func NewLogSource(path string) (*LogSource, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &LogSource{path, info.IsDir()}, nil
}

// IsMirror says whether it is a directory.
func (s *LogSource) IsMirror() bool { return s.mirror }

// logLines are lines that are closed after use.
type logLines struct {
	audit.Lines
	io.Closer
	entries uint64 // 0: not known
}

func (s *LogSource) open() (*logLines, error) {
	if s.mirror {
		l, err := mirror.OpenLines(s.path)
		if err != nil {
			return nil, err
		}
		return &logLines{l, l, l.Size()}, nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	return &logLines{commitreveal.NewBundleReader(bufio.NewReader(f)), f, 0}, nil
}

// VerifyOptions say what a log is held against.
type VerifyOptions struct {
	TermsHash *[32]byte
	Receipts  []commitreveal.Receipt
	Policy    *note.Policy
	Progress  func(done, total uint64) // total is 0 if it is not known
}

// Verify audits the log. Of a mirror, also its checkpoints and the evidence in it.
func (s *LogSource) Verify(o VerifyOptions) (*audit.Report, error) {
	lines, err := s.open()
	if err != nil {
		return nil, err
	}
	defer lines.Close()
	opts := audit.Options{TermsHash: o.TermsHash, Receipts: o.Receipts, Policy: o.Policy}
	if o.Progress != nil {
		opts.Progress = func(entries uint64) { o.Progress(entries, lines.entries) }
	}
	if s.mirror {
		if err := s.beside(&opts); err != nil {
			return nil, err
		}
	} else if o.Policy != nil {
		return nil, errors.New("a bundle holds no signed checkpoints: a policy needs a mirror")
	}
	r, err := audit.Replay(lines, Checks(), opts)
	if err != nil {
		return nil, err
	}
	if l, ok := lines.Lines.(*mirror.Lines); ok {
		for _, d := range l.Damage() {
			r.Missing = append(r.Missing, d+": mirror the log once more into another directory")
		}
		r.Conclude()
	}
	return r, nil
}

// beside adds what a mirror holds besides the log.
func (s *LogSource) beside(o *audit.Options) error {
	notes, err := mirror.Checkpoints(s.path)
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(notes) {
		if strings.HasPrefix(name, "evidence/") {
			continue // one side of a split view, which is evidence of its own
		}
		o.Checkpoints = append(o.Checkpoints, audit.SignedNote{Name: name, Text: notes[name], Policy: name == "checkpoint"})
	}
	if o.Evidence, err = mirror.Evidence(s.path); err != nil {
		return err
	}
	o.Tree, err = mirror.Tree(s.path)
	return err
}

// WriteEvidence writes the portable evidence of a report into a directory, and
// names the files in its findings. The log is read again for receipts that were not
// kept. It gives the files.
func (s *LogSource) WriteEvidence(r *audit.Report, dir string) ([]string, error) {
	var files []string
	write := func(f *audit.EvidenceFile, height uint64) (string, error) {
		b, err := f.Marshal()
		if err != nil {
			return "", err
		}
		name := filepath.Join(dir, fmt.Sprintf("%03d-%s-%d.json", len(files)+1, f.Proof.Kind(), height))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(name, b, 0o644); err != nil {
			return "", err
		}
		files = append(files, name)
		return name, nil
	}
	var whole []*audit.Finding
	for i := range r.Findings {
		f := &r.Findings[i]
		proof := f.Proof
		if proof == nil && f.Late != nil {
			proof = s.proveLate(f.Late)
		}
		if proof == nil {
			whole = append(whole, f)
			continue
		}
		name, err := write(proof, f.Height)
		if err != nil {
			return files, err
		}
		f.Evidence = name
	}
	for _, m := range r.Misbehaviour {
		if m.File == nil {
			continue
		}
		if _, err := write(m.File, m.Height); err != nil {
			return files, err
		}
	}
	for i := range r.Evidence {
		e := &r.Evidence[i]
		if !e.Proved || strings.HasSuffix(e.Name, ".json") {
			continue
		}
		for _, f := range append([]*audit.EvidenceFile{e.File}, s.earlyShares(e.File)...) {
			if _, err := write(f, e.Established.Height); err != nil {
				return files, err
			}
		}
	}
	name, err := s.wholeLog(whole, filepath.Join(dir, fmt.Sprintf("%03d-log.jsonl", len(files)+1)))
	if name != "" {
		files = append(files, name)
	}
	return files, err
}

// wholeLog names the log itself as the evidence of findings against somebody that have no smaller one: a bundle as it is, of
// a mirror a bundle that is written now. Whoever has the file replays it with nothing else.
func (s *LogSource) wholeLog(findings []*audit.Finding, name string) (written string, err error) {
	findings = slices.DeleteFunc(findings, func(f *audit.Finding) bool { return f.Who == audit.WhoBundle || f.Evidence != "" })
	if len(findings) == 0 {
		return "", nil
	}
	if !s.mirror {
		name = s.path
	} else if written = name; s.writeBundle(name) != nil {
		// The mirror is not whole, which the report says.
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return "", nil
	}
	for _, f := range findings {
		f.Evidence = name
	}
	return written, nil
}

// writeBundle writes what the source holds as a bundle.
func (s *LogSource) writeBundle(name string) error {
	header, err := s.header()
	if err != nil {
		return err
	}
	lines, err := s.open()
	if err != nil {
		return err
	}
	defer lines.Close()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(copyLines(f, header, lines), f.Close())
}

func copyLines(out io.Writer, header *commitreveal.BundleHeader, lines audit.Lines) error {
	w, err := commitreveal.NewBundleWriter(out, *header)
	if err != nil {
		return err
	}
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return w.Close()
		}
		if err != nil {
			return err
		}
		switch line.(type) {
		case *commitreveal.BundleHeader, *commitreveal.BundleEnd:
			continue
		}
		if err := w.Line(line); err != nil {
			return err
		}
	}
}

// header is that of a bundle of the source. A mirror has no terms: those of its first certificate are the ones.
func (s *LogSource) header() (*commitreveal.BundleHeader, error) {
	lines, err := s.open()
	if err != nil {
		return nil, err
	}
	defer lines.Close()
	var header *commitreveal.BundleHeader
	for {
		line, err := lines.Next()
		if err != nil {
			return nil, err
		}
		switch l := line.(type) {
		case *commitreveal.BundleHeader:
			if header = l; len(l.Terms) > 0 {
				return header, nil
			}
		case *commitreveal.BundleCertificate:
			info, err := anyCommittee(l.Certificate)
			if err != nil {
				return nil, err
			}
			header.Terms = info.Terms
			return header, nil
		}
	}
}

// earlyShares makes of two shares for one height the evidence against those of a
// batch that the log does not have.
func (s *LogSource) earlyShares(f *audit.EvidenceFile) (out []*audit.EvidenceFile) {
	share, ok := f.Proof.(*audit.BadShare)
	if !ok {
		return nil
	}
	e, err := commitreveal.ParseEvidence(share.Evidence)
	two, ok := e.(*commitreveal.ConflictingShares)
	if err != nil || !ok {
		return nil
	}
	for _, m := range []*commitreveal.ShareMessage{&two.A, &two.B} {
		lines, err := s.open()
		if err != nil {
			return out
		}
		early, err := audit.ProveEarlyShare(lines, m)
		_ = lines.Close()
		if err != nil {
			continue
		}
		if _, err := early.Verify(Checks()); err == nil {
			out = append(out, early)
		}
	}
	return out
}

// window is how many blocks before its last height a ciphertext can have been
// ordered at the earliest, on a chain with the standard limits.
const window = 20_000

// proveLate makes the evidence of a receipt that was not kept, nil if it cannot be
// made small enough.
func (s *LogSource) proveLate(r *commitreveal.Receipt) *audit.EvidenceFile {
	for _, from := range []uint64{0, r.ValidUntil - min(r.ValidUntil, window)} {
		lines, err := s.open()
		if err != nil {
			return nil
		}
		f, err := audit.ProveNotOrdered(lines, r, from)
		_ = lines.Close()
		if err != nil {
			continue
		}
		if _, err := f.Verify(Checks()); err == nil {
			return f
		}
	}
	return nil
}

// ProveTx makes the bundle of one transaction, with those of the receipts that are
// for it.
func (s *LogSource) ProveTx(id threshold.ID, receipts []commitreveal.Receipt) (*audit.TxProof, error) {
	lines, err := s.open()
	if err != nil {
		return nil, err
	}
	defer lines.Close()
	p, err := audit.ProveTx(lines, Checks(), id)
	if err != nil {
		return nil, err
	}
	p.Receipts = receiptsFor(id, receipts)
	return p, nil
}

// ProveNamespace makes the file that shows all of a namespace's transactions in the batch
// of a height.
func (s *LogSource) ProveNamespace(height uint64, namespace string) (*audit.Completeness, error) {
	lines, err := s.open()
	if err != nil {
		return nil, err
	}
	defer lines.Close()
	return audit.ProveNamespace(lines, Checks(), height, namespace)
}

// PackEvidence makes a file of evidence of what a node serves. It is not verified.
func (s *LogSource) PackEvidence(body []byte) (*audit.EvidenceFile, error) {
	if !s.mirror {
		return nil, fmt.Errorf("%s is no mirror", s.path)
	}
	certificates, err := mirror.Certificates(s.path)
	if err != nil {
		return nil, err
	}
	tree, err := mirror.Tree(s.path)
	if err != nil {
		return nil, err
	}
	return audit.PackEvidence(Checks(), body, tree, certificates...)
}

// Policy is a policy file (c2sp.org/tlog-policy) for the committee in office of a log: its
// newest checkpoint must have the cosignatures of so many of its members; 0: of as many
// as it takes to open a batch. The log must verify up to its committees.
func (s *LogSource) Policy(quorum int, termsHash *[32]byte) ([]byte, error) {
	r, err := s.Verify(VerifyOptions{TermsHash: termsHash})
	if err != nil {
		return nil, err
	}
	if len(r.Committees) == 0 || r.Verdict != audit.Verified {
		return nil, fmt.Errorf("the log is not verified, so its committees are not either: %s: 'scrim audit verify' says why", r.Verdict)
	}
	info, err := anyCommittee(r.Committees[len(r.Committees)-1].Certificate)
	if err != nil {
		return nil, err
	}
	if quorum == 0 {
		quorum = info.Committee.Threshold
	}
	if n := len(info.Identities); quorum < 0 || quorum > n {
		return nil, fmt.Errorf("a quorum of %d in a committee of %d", quorum, n)
	}
	return note.CommitteePolicy(info.ChainID, info.Identities, quorum), nil
}
