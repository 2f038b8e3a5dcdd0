package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

const (
	// Format names the format of a mirror's state file.
	Format = "scrim-mirror/v2"

	stateName      = "mirror.json"
	checkpointName = "checkpoint"
	limitsName     = "limits"
	maxStateSize   = 64 << 20
	maxWaiting     = 4096
)

// names of files below the directory
func noteName(size uint64) string                 { return "checkpoints/" + strconv.FormatUint(size, 10) }
func batchName(height uint64) string              { return "batch/" + strconv.FormatUint(height, 10) }
func roundsName(height uint64) string             { return "rounds/" + strconv.FormatUint(height, 10) }
func certificateName(h commitreveal.Hash) string  { return "certificate/" + h.String() }
func nodeEvidenceName(h commitreveal.Hash) string { return "evidence/" + h.String() }
func splitViewName(a, b uint64, root string) string {
	return fmt.Sprintf("evidence/split-view-%d-%d-%s.json", a, b, root)
}

// state is what the directory says of itself.
type state struct {
	Format string            `json:"format"`
	Origin string            `json:"origin"` // of the log; "" before the first checkpoint
	Terms  commitreveal.Hash `json:"terms_hash"`
	Seen   uint64            `json:"seen"` // size of the largest checkpoint that was shown
	// Size entries are here, with the log that they make.
	Size uint64      `json:"size"`
	Log  audit.Bytes `json:"log"`
	// Rounds is the height of the last committee or commit entry: up to there is here what blocks said for the order.
	Rounds uint64 `json:"rounds"`
	// Said is the hash over all that, which the next commit entry must have.
	Said commitreveal.Hash `json:"said"`
	// Committees are the certificates of the log so far, by their hashes, in order.
	Committees []commitreveal.Hash `json:"committees"`
	// Waiting are the commit entries whose batches are not revealed yet.
	Waiting []audit.Bytes `json:"waiting"`
}

// Options of a mirror.
type Options struct {
	// Checks that the mirror makes: Committee is needed.
	Checks audit.Checks
	// TermsHash pins the first committee; without it the first one shown is
	// believed, and remembered.
	TermsHash *[32]byte
	// Progress, if set, is told how many entries of how many are there.
	Progress func(done, total uint64)
}

// Mirror is a directory with a copy of a log. One process may update it at a time.
type Mirror struct {
	store   store
	opts    Options
	state   state // of what is done in memory
	saved   state // as it is on disk
	log     commitreveal.Log
	known   []*audit.CommitteeInfo // of the log so far
	certs   [][]byte               // theirs
	waiting map[uint64]*commitreveal.CommitEntry
	writer  *tileWriter
}

// Open opens a mirror. Unless it is there, the directory is made.
func Open(dir string, o Options) (*Mirror, error) {
	if o.Checks.Committee == nil {
		return nil, errors.New("mirror: the check of certificates is needed")
	}
	m := &Mirror{store: store{dir: dir}, opts: o}
	if err := m.load(); err != nil {
		return nil, err
	}
	return m, nil
}

// load reads the directory, whatever was in memory.
func (m *Mirror) load() error {
	*m = Mirror{store: store{dir: m.store.dir}, opts: m.opts, waiting: map[uint64]*commitreveal.CommitEntry{}}
	b, err := m.store.read(stateName, maxStateSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m.fresh()
	case err != nil:
		return fmt.Errorf("mirror: %w", err)
	}
	if m.state, m.log, err = parseState(b); err != nil {
		return m.damaged(err)
	}
	m.saved = m.state
	for _, hash := range m.state.Committees {
		if err := m.loadCommittee(hash); err != nil {
			return m.damaged(err)
		}
	}
	for _, b := range m.state.Waiting {
		e, err := commitreveal.ParseEntry(b)
		c, ok := e.(commitreveal.CommitEntry)
		if err != nil || !ok {
			return m.damaged(errors.Join(err, errors.New("a waiting batch without its commit entry")))
		}
		m.waiting[c.Height] = &c
	}
	if m.writer, err = loadTileWriter(&m.store, m.state.Size); err != nil {
		return m.damaged(err)
	}
	return m.pinned()
}

// parseState reads a state file.
func parseState(b []byte) (s state, log commitreveal.Log, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, log, err
	}
	if s.Format != Format {
		return s, log, fmt.Errorf("format %q, want %q", s.Format, Format)
	}
	if log, err = commitreveal.ParseLog(s.Log); err != nil {
		return s, log, err
	}
	if log.Size() != s.Size {
		return s, log, fmt.Errorf("a log of %d entries, want %d", log.Size(), s.Size)
	}
	return s, log, nil
}

func (m *Mirror) fresh() error {
	names, err := os.ReadDir(m.store.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("mirror: %w", err)
	}
	if len(names) > 0 {
		return fmt.Errorf("mirror: %s is not empty, and no mirror: take another directory", m.store.dir)
	}
	m.state = state{Format: Format, Committees: []commitreveal.Hash{}, Waiting: []audit.Bytes{}}
	if m.writer, err = loadTileWriter(&m.store, 0); err != nil {
		return err
	}
	return m.save()
}

func (m *Mirror) damaged(err error) error {
	return fmt.Errorf("mirror: %s is damaged: take another directory, and keep this one if it holds evidence: %w", m.store.dir, err)
}

func (m *Mirror) loadCommittee(hash commitreveal.Hash) error {
	b, err := m.store.read(certificateName(hash), commitreveal.MaxCertificateSize)
	if err != nil {
		return err
	}
	if commitreveal.CertificateHash(b) != hash {
		return fmt.Errorf("%s does not have its hash", certificateName(hash))
	}
	info, err := m.opts.Checks.Committee(b)
	if err != nil {
		return err
	}
	m.known, m.certs = append(m.known, &info), append(m.certs, b)
	return nil
}

// pinned compares the terms that the directory remembers with the user's pin.
func (m *Mirror) pinned() error {
	if m.opts.TermsHash == nil || m.state.Terms == (commitreveal.Hash{}) {
		return nil
	}
	return m.sameTerms(*m.opts.TermsHash)
}

func (m *Mirror) sameTerms(trusted commitreveal.Hash) error {
	if m.state.Terms == trusted {
		return nil
	}
	return fmt.Errorf("%w: it is that of a committee with the terms %s, not of the trusted one with the terms %s", ErrUntrusted, m.state.Terms, trusted)
}

// save makes durable that all entries so far are there.
func (m *Mirror) save() error {
	if err := m.writer.flush(); err != nil {
		return err
	}
	edge, err := m.log.MarshalBinary()
	if err != nil {
		return err
	}
	m.state.Size, m.state.Log, m.state.Waiting = m.log.Size(), edge, []audit.Bytes{}
	for _, c := range m.waitingInOrder() {
		b, err := commitreveal.MarshalEntry(*c)
		if err != nil {
			return err
		}
		m.state.Waiting = append(m.state.Waiting, b)
	}
	if err := m.writeState(m.state); err != nil {
		return err
	}
	m.writer.prune()
	return nil
}

func (m *Mirror) writeState(s state) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := m.store.replace(stateName, append(b, '\n')); err != nil {
		return err
	}
	m.saved = s
	return nil
}

// remember makes durable that a checkpoint was shown, before its entries are.
func (m *Mirror) remember(h *signedHead) error {
	if err := m.store.replace(noteName(h.Size), h.bytes); err != nil {
		return err
	}
	before := m.saved.Seen
	m.state.Origin, m.state.Seen = h.Origin, h.Size
	s := m.saved
	s.Origin, s.Seen, s.Terms = h.Origin, h.Size, m.state.Terms
	if err := m.writeState(s); err != nil {
		return err
	}
	if before != h.Size { // what the newer one extends says nothing more
		_ = os.Remove(m.store.path(noteName(before)))
	}
	return nil
}

// Size is how many entries are there.
func (m *Mirror) Size() uint64 { return m.log.Size() }

// Root is the root over them.
func (m *Mirror) Root() commitreveal.Hash { return m.log.Root() }

// Checkpoint is the newest checkpoint all of whose entries are there: as it was
// signed, nil if there is none.
func (m *Mirror) Checkpoint() ([]byte, error) {
	b, err := m.store.read(checkpointName, note.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// TermsHash is that of the first committee's terms; zero before there is one.
func (m *Mirror) TermsHash() commitreveal.Hash { return m.state.Terms }

// Committees are those of the log, in order.
func (m *Mirror) Committees() []*audit.CommitteeInfo { return m.known }

// Certificates are theirs, in the same order.
func (m *Mirror) Certificates() [][]byte { return m.certs }

// tileWriter writes the tiles of a log that grows.
type tileWriter struct {
	store   *store
	size    uint64
	hashes  [][]commitreveal.Hash // of the last, partial tile of each level
	entries [][]byte              // of the last bundle
	stale   []string              // partial tiles that a later one replaces
	partial []string              // on disk
}

func loadTileWriter(s *store, size uint64) (*tileWriter, error) {
	w := &tileWriter{store: s, size: size}
	for level := 0; level <= tiles.MaxLevel && size>>(8*level) > 0; level++ {
		tile, ok := lastPartial(size, level)
		w.hashes = append(w.hashes, nil)
		if !ok {
			continue
		}
		b, err := s.read(tile.Path(), tiles.Width*commitreveal.HashSize)
		if err != nil {
			return nil, err
		}
		if w.hashes[level], err = tiles.ParseHashes(tile, b); err != nil {
			return nil, err
		}
		w.partial = append(w.partial, tile.Path())
	}
	if tile, ok := lastPartial(size, tiles.Entries); ok {
		b, err := s.read(tile.Path(), maxBundle)
		if err != nil {
			return nil, err
		}
		if w.entries, err = tiles.ParseEntries(tile, b); err != nil {
			return nil, err
		}
		w.partial = append(w.partial, tile.Path())
	}
	return w, nil
}

// maxBundle bounds a tile of entries in bytes.
const maxBundle = tiles.Width * (2 + commitreveal.MaxEntrySize)

// lastPartial is the partial tile at the end of a level, if there is one.
func lastPartial(size uint64, level int) (tiles.Tile, bool) {
	n := size
	if level > 0 {
		n >>= 8 * level
	}
	width := int(n % tiles.Width)
	return tiles.Tile{Level: level, Index: n / tiles.Width, Width: width}, width > 0
}

// add writes the tiles that an entry completes. stored are the hashes that
// commitreveal.Log.Append gives for it: the root of a subtree of 1<<j entries at j.
func (w *tileWriter) add(entry []byte, stored []commitreveal.Hash) error {
	w.entries = append(w.entries, bytes.Clone(entry))
	w.size++
	for level := 0; 8*level < len(stored); level++ {
		if level == len(w.hashes) {
			w.hashes = append(w.hashes, nil)
		}
		w.hashes[level] = append(w.hashes[level], stored[8*level])
		if len(w.hashes[level]) < tiles.Width {
			continue
		}
		tile := tiles.Tile{Level: level, Index: w.size>>(8*level)/tiles.Width - 1, Width: tiles.Width}
		if err := w.store.write(tile.Path(), tiles.AppendHashes(nil, w.hashes[level])); err != nil {
			return err
		}
		w.hashes[level] = w.hashes[level][:0]
	}
	if len(w.entries) < tiles.Width {
		return nil
	}
	return w.bundle(tiles.Tile{Level: tiles.Entries, Index: w.size/tiles.Width - 1, Width: tiles.Width})
}

func (w *tileWriter) bundle(tile tiles.Tile) error {
	b, err := tiles.AppendEntries(nil, w.entries)
	if err != nil {
		return err
	}
	if tile.Width == tiles.Width {
		w.entries = w.entries[:0]
	}
	return w.store.write(tile.Path(), b)
}

// flush writes the partial tiles.
func (w *tileWriter) flush() error {
	w.stale, w.partial = append(w.stale, w.partial...), nil
	for level := range w.hashes {
		if tile, ok := lastPartial(w.size, level); ok {
			if err := w.store.write(tile.Path(), tiles.AppendHashes(nil, w.hashes[level])); err != nil {
				return err
			}
			w.partial = append(w.partial, tile.Path())
		}
	}
	tile, ok := lastPartial(w.size, tiles.Entries)
	if !ok {
		return nil
	}
	w.partial = append(w.partial, tile.Path())
	return w.bundle(tile)
}

// prune removes partial tiles that later ones contain. What cannot be removed does
// no harm.
func (w *tileWriter) prune() {
	for _, name := range w.stale {
		if !contains(w.partial, name) {
			_ = os.Remove(w.store.path(name))
		}
	}
	w.stale = nil
}
