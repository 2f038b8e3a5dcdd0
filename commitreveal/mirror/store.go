package mirror

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// store is a directory whose files are replaced as a whole.
type store struct {
	dir   string
	dirty []string     // written since the last sync
	crash func() error // for tests: called before anything is written or synced
}

func (s *store) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// write replaces a file. It is durable after sync.
func (s *store) write(name string, content []byte) error {
	return s.writeFrom(name, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// writeFrom replaces a file by what fill writes, unless fill fails.
func (s *store) writeFrom(name string, fill func(w io.Writer) error) error {
	path := s.path(name)
	if err := s.alive(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	err = errors.Join(fill(tmp), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	s.dirty = append(s.dirty, path)
	return nil
}

func (s *store) alive() error {
	if s.crash == nil {
		return nil
	}
	return s.crash()
}

// sync makes durable what was written, names included.
func (s *store) sync() error {
	if err := s.alive(); err != nil {
		return err
	}
	dirs := map[string]bool{}
	for _, path := range s.dirty {
		if err := syncPath(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for dir := filepath.Dir(path); !dirs[dir] && len(dir) >= len(s.dir); dir = filepath.Dir(dir) {
			dirs[dir] = true
		}
	}
	for dir := range dirs {
		if err := syncPath(dir); err != nil {
			return err
		}
	}
	s.dirty = s.dirty[:0]
	return nil
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// replace writes a file that must be durable before anything else happens.
func (s *store) replace(name string, content []byte) error {
	if err := s.sync(); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	if err := s.write(name, content); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	return nil
}

// read gives a file of at most max bytes.
func (s *store) read(name string, max int64) ([]byte, error) {
	f, err := os.Open(s.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, fmt.Errorf("mirror: %s has more than %d bytes", name, max)
	}
	return b, nil
}

func (s *store) has(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}
