package mirror

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// lockName is an empty file in the directory, whose lock is held as long as a mirror is open.
const lockName = ".lock"

// ErrInUse: another process has the mirror open.
var ErrInUse = errors.New("mirror: another process works with the directory")

// lockDir makes the directory, unless it is there, and this process the only one that may change it. The kernel gives
// the lock back when the process ends, however it does.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	taken, err := tryLock(f)
	if err == nil && !taken {
		err = fmt.Errorf("%w: %s; let it end, or take another directory", ErrInUse, dir)
	} else if err != nil {
		err = fmt.Errorf("mirror: lock %s: %w", f.Name(), err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
