package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"filippo.io/age"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/threshold"
)

// vault is the folder of a member's seeds and shares: a seed and a share for each
// ceremony, named by epoch and attempt. Nothing in it is ever replaced.
type vault struct {
	dir        string
	identities []age.Identity
	recipients []age.Recipient
}

func (v vault) path(t *keygen.Terms, kind string) string { return home.CeremonyFile(v.dir, t, kind) }

func (v vault) readSeed(t *keygen.Terms) ([32]byte, error) {
	return sharefile.ReadSeed(v.path(t, "seed"), t.Hash(), v.identities)
}

// drawSeed makes the ceremony's seed, and stores it before anything that depends on it
// can be said.
func (v vault) drawSeed(t *keygen.Terms) (seed [32]byte, err error) {
	if err := os.MkdirAll(v.dir, 0o700); err != nil {
		return seed, err
	}
	if _, err := rand.Read(seed[:]); err != nil {
		return seed, err
	}
	return seed, sharefile.WriteSeed(v.path(t, "seed"), t.Hash(), seed, v.recipients)
}

// load reads the share that the ceremony gave.
func (v vault) load(t *keygen.Terms) (*threshold.SecretShare, error) {
	path := v.path(t, "share")
	meta, share, err := sharefile.ReadShare(path, v.identities)
	if err != nil {
		return nil, err
	}
	if meta.Ceremony != t.Hash() {
		share.Wipe()
		return nil, fmt.Errorf("%s belongs to another ceremony; move it away", path)
	}
	return share, nil
}

// store writes a share, if it is not there yet, and gives what was read back from the disk.
func (v vault) store(t *keygen.Terms, share *threshold.SecretShare) (*threshold.SecretShare, error) {
	meta := sharefile.ShareMeta{ChainID: t.ChainID, Ceremony: t.Hash(), Epoch: t.Epoch}
	err := sharefile.WriteShare(v.path(t, "share"), meta, share, v.recipients)
	if err != nil && !errors.Is(err, sharefile.ErrExists) {
		return nil, err
	}
	stored, err := v.load(t)
	if err != nil {
		return nil, err
	}
	if stored.Member() != share.Member() || !bytes.Equal(stored.MemberKey().Bytes(), share.MemberKey().Bytes()) {
		stored.Wipe()
		return nil, fmt.Errorf("%s holds another share than this ceremony gives; move it away and start again", v.path(t, "share"))
	}
	return stored, nil
}

// secretFile is a file of the vault.
type secretFile struct {
	path    string
	epoch   uint64
	attempt uint32
	seed    bool // else a share
}

var secretName = regexp.MustCompile(`^epoch-([0-9]{1,20})-attempt-([0-9]{1,10})\.(seed|share)\.age$`)

// files lists the seeds and shares; what has another name is not the vault's.
func (v vault) files() (out []secretFile, err error) {
	entries, err := os.ReadDir(v.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		m := secretName.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		epoch, err1 := strconv.ParseUint(m[1], 10, 64)
		attempt, err2 := strconv.ParseUint(m[2], 10, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		out = append(out, secretFile{filepath.Join(v.dir, e.Name()), epoch, uint32(attempt), m[3] == "seed"})
	}
	return out, err
}

// destroy overwrites a file on the disk, then removes it. If it is interrupted, the file
// is there to be destroyed again.
func destroy(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("destroy: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, info.Size()), 0)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("destroy: overwrite %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("destroy: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("destroy: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
