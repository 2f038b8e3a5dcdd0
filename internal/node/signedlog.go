package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/internal/pg"
)

// signedFormat names the format of the file that a signedLog is.
const signedFormat = "scrim-signed-log/v1"

const maxSignedFile = 4096

var (
	// errSignedMore: the database has less of the log than this member has signed. It passes when the blocks are replayed.
	errSignedMore = errors.New("node: the database is behind the log that this member has signed; nothing is signed until it has caught up")
	// errSignedOther: what is to be signed is not of the log that this member has signed before.
	errSignedOther = errors.New("node: this member has signed another log before; it signs nothing of this one")
)

// signedLog remembers, in a file beside the database, the largest head of the log that this member has signed: a database
// that was put back to an older state, or that holds another chain by now, must not make it sign a second root for a size.
// It is a ratchet as a witness has it (c2sp.org/tlog-witness): a head is signed only if it is proved to be of one log with
// the largest one, whatever the database says.
type signedLog struct {
	path    string
	chainID string

	mu    sync.Mutex
	last  head                    // zero before the first
	crash func(step string) error // for tests: called before each step of a write
}

// signedFile is the file.
type signedFile struct {
	Format  string            `json:"format"`
	ChainID string            `json:"chain_id"`
	Size    uint64            `json:"size"` // entries
	Root    commitreveal.Hash `json:"root"`
}

// openSignedLog reads the file; without one, nothing was signed.
func openSignedLog(path, chainID string) (*signedLog, error) {
	l := &signedLog{path: path, chainID: chainID}
	b, err := readSmall(path, maxSignedFile)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what this member has signed: %w", err)
	}
	var f signedFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err = d.Decode(&f)
	switch {
	case err != nil:
	case d.Decode(new(any)) != io.EOF:
		err = errors.New("there is more in it than one record")
	case f.Format != signedFormat:
		err = fmt.Errorf("format %q, want %q", f.Format, signedFormat)
	case f.Size == 0 || f.Size > tiles.MaxSize:
		err = fmt.Errorf("a log of %d entries", f.Size)
	case f.ChainID != chainID:
		return nil, fmt.Errorf("%s is of the chain %s, and this home of %s by now: a home is one chain's; make another one, or move the file away if this member never signed for %[3]s", path, f.ChainID, chainID)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w. It keeps this member from signing two logs: restore it from a backup; or, if the database was never put back to an older state, remove it", path, err)
	}
	l.last = head{f.Size, f.Root}
	return l, nil
}

func readSmall(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// largest is the largest head that was signed; size 0 if none was.
func (l *signedLog) largest() head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// extend says whether h may be signed, and makes it durable that it is. read reads the hashes of the log that h is a head of.
// Errors are errSignedMore, errSignedOther, and those of the database and the disk.
func (l *signedLog) extend(h head, read tiles.Reader) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h == l.last {
		return nil
	}
	if err := l.check(h, read); err != nil {
		return err
	}
	if h.size < l.last.size {
		return nil
	}
	if err := l.write(h); err != nil {
		return fmt.Errorf("remember what this member signs: %w", err)
	}
	l.last = h
	return nil
}

// check proves that h and the largest head are of one log.
func (l *signedLog) check(h head, read tiles.Reader) error {
	if l.last.size == 0 {
		return nil
	}
	a, b := h, l.last
	if a.size > b.size {
		a, b = b, a
	}
	if a.size == b.size {
		return l.other(h)
	}
	proof, err := tiles.ProveConsistency(a.size, b.size, read)
	if errors.Is(err, pg.ErrNotFound) && h.size < l.last.size {
		return fmt.Errorf("%w: it has signed %d entries, these are %d", errSignedMore, l.last.size, h.size)
	}
	if err != nil {
		return err
	}
	if tiles.CheckConsistency(proof, a.size, a.root, b.size, b.root) != nil {
		return l.other(h)
	}
	return nil
}

func (l *signedLog) other(h head) error {
	return fmt.Errorf("%w: %d entries with root %s, as %s has it, and now %d with root %s. Was the database, or CometBFT's data, replaced by another chain's? Stop the node and keep both for analysis",
		errSignedOther, l.last.size, l.last.root, l.path, h.size, h.root)
}

// write replaces the file, and is done when that is durable.
func (l *signedLog) write(h head) (err error) {
	text, err := json.Marshal(signedFile{signedFormat, l.chainID, h.size, h.root})
	if err != nil {
		return err
	}
	if err := l.alive("create"); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(l.path), ".signed-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(append(text, '\n'))
	if err = errors.Join(err, l.alive("sync"), tmp.Sync(), tmp.Close(), l.alive("rename")); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), l.path); err != nil {
		return err
	}
	if err := l.alive("sync folder"); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(l.path))
}

func (l *signedLog) alive(step string) error {
	if l.crash == nil {
		return nil
	}
	return l.crash(step)
}
