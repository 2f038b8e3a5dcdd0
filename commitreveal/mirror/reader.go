package mirror

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
)

// ErrMirror: a directory is no mirror, or not a whole one.
var ErrMirror = errors.New("mirror: not a whole mirror")

// Lines reads a mirror as the lines of a bundle, for package audit. It also
// recomputes the tiles of hashes; see [Lines.Damage].
type Lines struct {
	store   store
	state   state
	chainID string
	log     commitreveal.Log
	started bool
	entries [][]byte // of the bundle at hand that are still to come
	after   commitreveal.Entry
	batch   *batchLines
	said    *roundLines
	rounds  uint64 // height of the last committee, commit or expired entry
	tx      uint64
	check   [][]commitreveal.Hash // of the tile at hand of each level
	damage  []string
	follow  bool            // the log grows while it is read
	waiting map[uint64]bool // heights of batches that are not revealed, if follow
	err     error
}

// OpenLines reads the mirror in a directory, as far as it was whole when the
// last update ended. Errors wrap [ErrMirror]. Close it.
func OpenLines(dir string) (*Lines, error) {
	l := &Lines{store: store{dir: dir}}
	b, err := l.store.read(stateName, maxStateSize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMirror, err)
	}
	if l.state, _, err = parseState(b); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMirror, stateName, err)
	}
	if l.state.Origin == "" {
		return nil, fmt.Errorf("%w: nothing was mirrored yet", ErrMirror)
	}
	l.chainID = strings.TrimPrefix(l.state.Origin, note.Origin(""))
	return l, nil
}

// FollowLines is OpenLines for a mirror that is updated while it is read: at its
// end, and before a batch that waits for its reveal, Next gives io.EOF, and goes
// on there after the next [Lines.Refresh].
func FollowLines(dir string) (*Lines, error) {
	l, err := OpenLines(dir)
	if err != nil {
		return nil, err
	}
	l.follow = true
	return l, l.Refresh()
}

// Refresh takes notice of what an update brought.
func (l *Lines) Refresh() error {
	b, err := l.store.read(stateName, maxStateSize)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMirror, err)
	}
	if l.state, _, err = parseState(b); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMirror, stateName, err)
	}
	l.waiting = map[uint64]bool{}
	for _, b := range l.state.Waiting {
		if e, err := commitreveal.ParseEntry(b); err == nil {
			if c, ok := e.(commitreveal.CommitEntry); ok {
				l.waiting[c.Height] = true
			}
		}
	}
	return nil
}

// Size is the number of entries.
func (l *Lines) Size() uint64 { return l.state.Size }

// Close closes what is open.
func (l *Lines) Close() error {
	var err error
	if l.batch != nil {
		err = l.batch.Close()
	}
	if l.said != nil {
		err = errors.Join(err, l.said.Close())
	}
	l.batch, l.said = nil, nil
	return err
}

// Next implements audit.Lines.
func (l *Lines) Next() (commitreveal.BundleLine, error) {
	if l.err != nil {
		return nil, l.err
	}
	line, err := l.next()
	if l.follow && errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: %w", ErrMirror, err)
		}
		l.err = err
	}
	return line, err
}

func (l *Lines) next() (commitreveal.BundleLine, error) {
	if !l.started {
		return l.header()
	}
	if l.said != nil {
		if r, err := l.said.next(); r != nil || err != nil {
			return r, err
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	if l.batch != nil {
		if t, err := l.batch.next(); t != nil || err != nil {
			l.tx++
			return t, err
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	if e, ok := l.after.(commitreveal.CommitteeEntry); ok {
		l.after = nil
		b, err := l.store.read(certificateName(e.Certificate), commitreveal.MaxCertificateSize)
		return &commitreveal.BundleCertificate{Certificate: b}, err
	}
	if e, ok := l.after.(commitreveal.MisbehaviourEntry); ok {
		l.after = nil
		b, err := l.store.read(recordedName(e.Evidence), commitreveal.MaxEvidenceSize)
		if !errors.Is(err, fs.ErrNotExist) {
			return &commitreveal.BundleEvidence{Body: b}, err
		}
		// The audit says what that means.
	}
	if e, ok := l.after.(commitreveal.CommitEntry); ok {
		l.after = nil
		return l.openBatch(e)
	}
	return l.entry()
}

// header is there once the first committee is.
func (l *Lines) header() (commitreveal.BundleLine, error) {
	limits, err := l.store.read(limitsName, commitreveal.MaxLimitsSize)
	if errors.Is(err, fs.ErrNotExist) && len(l.state.Committees) == 0 {
		if l.follow {
			return nil, io.EOF
		}
		err = nil
	}
	if err != nil {
		return nil, err
	}
	l.started = true
	return &commitreveal.BundleHeader{ChainID: l.chainID, Limits: limits}, nil
}

// openRounds opens what blocks said for the order before the entry, if that is due.
func (l *Lines) openRounds(entry []byte) (due bool, err error) {
	e, err := commitreveal.ParseEntry(entry)
	if err != nil {
		return false, nil //nolint:nilerr // an entry that cannot be read has no rounds; the audit will say so
	}
	var height uint64
	switch e := e.(type) {
	case commitreveal.CommitteeEntry:
		height = e.Height
	case commitreveal.CommitEntry:
		height = e.Height
	case commitreveal.ExpiredEntry:
		height = e.Height
	}
	if height <= l.rounds {
		return false, nil
	}
	f, err := os.Open(l.store.path(roundsName(height)))
	if err != nil {
		return false, err
	}
	l.said = &roundLines{f, bufio.NewReaderSize(f, 64<<10), l.rounds, height}
	l.rounds = height
	return true, nil
}

// roundLines reads the lines of a file of rounds.
type roundLines struct {
	f      *os.File
	r      *bufio.Reader
	last   uint64
	height uint64 // of the entry after them
}

func (r *roundLines) Close() error { return r.f.Close() }

// next gives nil at the end.
func (r *roundLines) next() (commitreveal.BundleLine, error) {
	line, err := readLine(r.r)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", roundsName(r.height), err)
	}
	l, err := commitreveal.ParseBundleLine(line)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", roundsName(r.height), err)
	}
	round, ok := l.(*commitreveal.BundleRound)
	if !ok || round.Height <= r.last || round.Height > r.height {
		return nil, fmt.Errorf("%s: after height %d comes a line that is not due", roundsName(r.height), r.last)
	}
	r.last = round.Height
	return round, nil
}

func (l *Lines) openBatch(e commitreveal.CommitEntry) (commitreveal.BundleLine, error) {
	f, err := os.Open(l.store.path(batchName(e.Height)))
	if err != nil {
		return nil, err
	}
	l.batch = &batchLines{f, bufio.NewReaderSize(f, 64<<10), e.Height, 0}
	return l.next()
}

func (l *Lines) entry() (commitreveal.BundleLine, error) {
	index := l.log.Size()
	if index == l.state.Size {
		if l.follow {
			return nil, io.EOF
		}
		return l.end()
	}
	if len(l.entries) == 0 {
		if err := l.bundle(index); err != nil {
			return nil, err
		}
	}
	entry := l.entries[0]
	if l.follow && l.waits(entry) {
		return nil, io.EOF
	}
	if due, err := l.openRounds(entry); err != nil {
		return nil, err
	} else if due {
		return l.next()
	}
	l.entries = l.entries[1:]
	next, stored, err := l.log.Append(entry)
	if err != nil {
		return nil, err
	}
	l.log = next
	l.checkTiles(stored)
	if e, err := commitreveal.ParseEntry(entry); err == nil {
		l.after = e
	}
	return &commitreveal.BundleEntry{Index: index, Entry: entry}, nil
}

// waits reports whether the entry commits a batch that is not revealed yet.
func (l *Lines) waits(entry []byte) bool {
	e, err := commitreveal.ParseEntry(entry)
	if err != nil {
		return false
	}
	c, commit := e.(commitreveal.CommitEntry)
	return commit && l.waiting[c.Height]
}

// bundle reads the entries from an index to the end of its tile.
func (l *Lines) bundle(index uint64) error {
	width := min(l.state.Size-index/tiles.Width*tiles.Width, tiles.Width)
	tile := tiles.Tile{Level: tiles.Entries, Index: index / tiles.Width, Width: int(width)}
	b, err := l.store.read(tile.Path(), maxBundle)
	if err != nil {
		return err
	}
	if l.entries, err = tiles.ParseEntries(tile, b); err != nil {
		return fmt.Errorf("%s: %w", tile.Path(), err)
	}
	l.entries = l.entries[index%tiles.Width:]
	return nil
}

func (l *Lines) end() (commitreveal.BundleLine, error) {
	if l.entries == nil && l.state.Size > 0 {
		return nil, io.EOF
	}
	l.entries = nil
	for level := range l.check {
		if tile, ok := lastPartial(l.state.Size, level); ok {
			l.compareTile(tile, l.check[level])
		}
	}
	if l.state.Size == 0 {
		l.err = io.EOF
	}
	return &commitreveal.BundleEnd{Entries: l.state.Size, Transactions: l.tx}, nil
}

// checkTiles compares the tiles of hashes that an entry completes.
func (l *Lines) checkTiles(stored []commitreveal.Hash) {
	for level := 0; 8*level < len(stored); level++ {
		if level == len(l.check) {
			l.check = append(l.check, nil)
		}
		l.check[level] = append(l.check[level], stored[8*level])
		if len(l.check[level]) == tiles.Width {
			l.compareTile(tiles.Tile{Level: level, Index: l.log.Size()>>(8*level)/tiles.Width - 1, Width: tiles.Width}, l.check[level])
			l.check[level] = l.check[level][:0]
		}
	}
}

// maxDamage bounds what is remembered of wrong tiles.
const maxDamage = 20

func (l *Lines) compareTile(tile tiles.Tile, want []commitreveal.Hash) {
	b, err := l.store.read(tile.Path(), tiles.Width*commitreveal.HashSize)
	if err == nil && bytes.Equal(b, tiles.AppendHashes(nil, want)) || len(l.damage) >= maxDamage {
		return
	}
	if err != nil {
		l.damage = append(l.damage, fmt.Sprintf("%s cannot be read: %v", tile.Path(), err))
		return
	}
	l.damage = append(l.damage, tile.Path()+" does not have the hashes of the entries")
}

// Damage says, after the end, which tiles of hashes are missing or not those of
// the entries. The audit does not need them; other tools do.
func (l *Lines) Damage() []string { return l.damage }

// batchLines reads the lines of a batch's file.
type batchLines struct {
	f        *os.File
	r        *bufio.Reader
	height   uint64
	position uint32
}

func (b *batchLines) Close() error { return b.f.Close() }

// next gives nil at the end.
func (b *batchLines) next() (commitreveal.BundleLine, error) {
	line, err := readLine(b.r)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", batchName(b.height), err)
	}
	l, err := commitreveal.ParseBundleLine(line)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", batchName(b.height), err)
	}
	t, ok := l.(*commitreveal.BundleTransaction)
	if !ok || t.Height != b.height || t.Position != b.position || b.position >= commitreveal.MaxBatch {
		return nil, fmt.Errorf("%s: line %d is not the transaction that is due", batchName(b.height), b.position)
	}
	b.position++
	return t, nil
}

// Tree reads the stored hashes of a mirror's log from its tiles, each checked against
// the root that the directory names.
func Tree(dir string) (tiles.Reader, error) {
	s := &store{dir: dir}
	b, err := s.read(stateName, maxStateSize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMirror, err)
	}
	_, log, err := parseState(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMirror, stateName, err)
	}
	return diskTree(s, note.Checkpoint{Size: log.Size(), Root: log.Root()}).hashes, nil
}

// Certificates gives those of the committees of a mirror's log, in order.
func Certificates(dir string) ([][]byte, error) {
	s := &store{dir: dir}
	b, err := s.read(stateName, maxStateSize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMirror, err)
	}
	known, _, err := parseState(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMirror, stateName, err)
	}
	var out [][]byte
	for _, hash := range known.Committees {
		b, err := s.read(certificateName(hash), commitreveal.MaxCertificateSize)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMirror, err)
		}
		out = append(out, b)
	}
	return out, nil
}

// Checkpoints gives the signed notes that the mirror keeps, by their file names:
// the newest one is "checkpoint".
func Checkpoints(dir string) (map[string][]byte, error) {
	s := store{dir: dir}
	out := map[string][]byte{}
	if b, err := s.read(checkpointName, note.MaxSize); err == nil {
		out[checkpointName] = b
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrMirror, err)
	}
	for _, folder := range []string{"checkpoints", "evidence"} {
		names, err := os.ReadDir(s.path(folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", ErrMirror, err)
		}
		for _, n := range names {
			if folder == "evidence" && !strings.HasPrefix(n.Name(), "checkpoint-") || strings.HasPrefix(n.Name(), ".") {
				continue
			}
			name := folder + "/" + n.Name()
			if out[name], err = s.read(name, note.MaxSize); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrMirror, err)
			}
		}
	}
	return out, nil
}
