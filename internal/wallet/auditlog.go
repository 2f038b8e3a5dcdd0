package wallet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	for i := range r.Findings {
		f := &r.Findings[i]
		proof := f.Proof
		if proof == nil && f.Late != nil {
			proof = s.proveLate(f.Late)
		}
		if proof == nil {
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
	return files, nil
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
	for _, r := range receipts {
		if r.ID == id {
			p.Receipts = append(p.Receipts, r)
		}
	}
	return p, nil
}
