// Package sharefile writes a member's secrets to disk and reads them back. It
// is the only code in Scrim that does.
//
// Three kinds of file, each encrypted with age to at least one native recipient:
//
//	member   the member's secret        WriteMember, ReadMember
//	seed     the seed of one ceremony   WriteSeed, ReadSeed: before the first message leaves
//	share    the share of one committee WriteShare, ReadShare: before the certification leaves
//
// and the identity that decrypts them, in age's own text form: CreateIdentity,
// LoadIdentities (from a file), ParseIdentities (from an environment variable).
//
// When a write returns nil the file is complete and on disk: it was written
// beside, synced, and linked to its name, and the folder was synced too. It has
// mode 0600. No write ever replaces a file. What is inside: docs/spec/keygen.md.
package sharefile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// Errors that callers branch on. What is returned says more, and what to do.
var (
	ErrExists        = errors.New("sharefile: the file exists already")
	ErrNotFound      = errors.New("sharefile: there is no such file")
	ErrWrongIdentity = errors.New("sharefile: the file is not encrypted to this age identity")
	ErrFormat        = errors.New("sharefile: not a file of this kind, or damaged")
	ErrOther         = errors.New("sharefile: the file belongs to another ceremony")
	ErrNoIdentity    = errors.New("sharefile: no age identity")
	ErrNoRecipient   = errors.New("sharefile: no age recipient")
	ErrPermissions   = errors.New("sharefile: other users can read the age identity")
)

// failed says what happened to which file, and what to do about it.
func failed(err error, path, advice string) error {
	return fmt.Errorf("%w: %s: %s", err, path, advice)
}

// LoadIdentities reads an age identity file: lines of AGE-SECRET-KEY-1…, empty
// ones, and comments after '#'. It also gives the recipients that belong to
// the identities.
func LoadIdentities(path string) ([]age.Identity, []age.Recipient, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, failed(ErrNotFound, path, "create an identity, or set the path to yours")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("sharefile: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, nil, failed(ErrPermissions, path, "run chmod 600 on it")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("sharefile: %w", err)
	}
	defer clear(text)
	ids, recipients, err := ParseIdentities(string(text))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return ids, recipients, nil
}

// ParseIdentities is LoadIdentities for text that is at hand, as from an
// environment variable. Errors never quote the text.
func ParseIdentities(text string) ([]age.Identity, []age.Recipient, error) {
	const advice = "expected lines that begin with AGE-SECRET-KEY-1 (age-keygen prints one)"
	ids, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil || len(ids) == 0 {
		return nil, nil, fmt.Errorf("%w: %s", ErrNoIdentity, advice)
	}
	var recipients []age.Recipient
	for _, id := range ids {
		switch id := id.(type) {
		case *age.X25519Identity:
			recipients = append(recipients, id.Recipient())
		case *age.HybridIdentity:
			recipients = append(recipients, id.Recipient())
		default:
			return nil, nil, fmt.Errorf("%w: %s", ErrNoIdentity, advice)
		}
	}
	return ids, recipients, nil
}

// CreateIdentity writes a new age identity to path. It is the key to all other
// files and is not encrypted itself: keep a copy somewhere else.
func CreateIdentity(path string) error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("sharefile: %w", err)
	}
	text := fmt.Sprintf("# age identity of a Scrim member: decrypts its secret, seeds and shares. Keep a copy elsewhere.\n# public key: %s\n%s\n", id.Recipient(), id)
	return create(path, []byte(text))
}

// WriteMember stores the member's secret.
func WriteMember(path string, s *keygen.MemberSecret, r []age.Recipient) error {
	seed := s.ExposeSeed()
	defer clear(seed[:])
	return encrypt(path, kindMember, seed[:], r)
}

// ReadMember reads the member's secret.
func ReadMember(path string, ids []age.Identity) (*keygen.MemberSecret, error) {
	body, err := decrypt(path, kindMember, ids)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	if len(body) != 32 {
		return nil, failed(ErrFormat, path, "restore it from your backup")
	}
	return keygen.MemberSecretFromSeed([32]byte(body)), nil
}

// WriteSeed stores the seed of the ceremony whose terms hash is given.
func WriteSeed(path string, ceremony [32]byte, seed [32]byte, r []age.Recipient) error {
	body := append(ceremony[:], seed[:]...)
	defer clear(body)
	return encrypt(path, kindSeed, body, r)
}

// ReadSeed reads a ceremony's seed. The error is ErrOther if the file is
// another ceremony's.
func ReadSeed(path string, ceremony [32]byte, ids []age.Identity) (seed [32]byte, err error) {
	body, err := decrypt(path, kindSeed, ids)
	if err != nil {
		return seed, err
	}
	defer clear(body)
	if len(body) != 64 {
		return seed, failed(ErrFormat, path, "restore it from your backup")
	}
	if [32]byte(body) != ceremony {
		return seed, failed(ErrOther, path, fmt.Sprintf("it is for terms %x, this ceremony is %x: use another path", body[:4], ceremony[:4]))
	}
	return [32]byte(body[32:]), nil
}

// ShareMeta says which committee a share is of.
type ShareMeta struct {
	ChainID  string
	Ceremony [32]byte // terms hash
	Epoch    uint64
	KeyID    threshold.KeyID
}

// WriteShare stores a share.
func WriteShare(path string, meta ShareMeta, share *threshold.SecretShare, r []age.Recipient) error {
	if err := threshold.ValidChainID(meta.ChainID); err != nil {
		return fmt.Errorf("sharefile: %w", err)
	}
	secret := share.ExposeSecretBytes()
	defer clear(secret[:])
	body := append([]byte{byte(len(meta.ChainID))}, meta.ChainID...)
	body = append(body, meta.Ceremony[:]...)
	body = binary.BigEndian.AppendUint64(body, meta.Epoch)
	body = append(body, meta.KeyID[:]...)
	body = binary.BigEndian.AppendUint32(body, share.Member())
	body = append(body, secret[:]...)
	defer clear(body)
	return encrypt(path, kindShare, body, r)
}

// ReadShare reads a share and which committee it is of; compare that with the
// committee it is to serve.
func ReadShare(path string, ids []age.Identity) (meta ShareMeta, share *threshold.SecretShare, err error) {
	body, err := decrypt(path, kindShare, ids)
	if err != nil {
		return meta, nil, err
	}
	defer clear(body)
	damaged := failed(ErrFormat, path, "restore it from your backup, or recover the share from the log")
	if len(body) < 1 || len(body) != 1+int(body[0])+32+8+32+4+threshold.ScalarSize {
		return meta, nil, damaged
	}
	rest := body[1+int(body[0]):]
	meta.ChainID = string(body[1 : 1+int(body[0])])
	meta.Ceremony = [32]byte(rest)
	meta.Epoch = binary.BigEndian.Uint64(rest[32:])
	meta.KeyID = threshold.KeyID(rest[40:])
	scalar := [threshold.ScalarSize]byte(rest[76:])
	defer clear(scalar[:])
	share, err = threshold.NewSecretShare(binary.BigEndian.Uint32(rest[72:]), &scalar)
	if err != nil || threshold.ValidChainID(meta.ChainID) != nil {
		return ShareMeta{}, nil, damaged
	}
	return meta, share, nil
}

const domainFile = "scrim/secret-file/v1"

// What is encrypted begins with magic and one byte for the kind.
const magic = domainFile + "\n"

const (
	kindMember = 1
	kindSeed   = 2
	kindShare  = 3
)

const maxFile = 64 << 10 // no file here comes near it

func encrypt(path string, kind byte, body []byte, recipients []age.Recipient) error {
	if len(recipients) == 0 {
		return failed(ErrNoRecipient, path, "name at least one age recipient to encrypt it to")
	}
	plain := append(append([]byte(magic), kind), body...)
	defer clear(plain)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipients...)
	if err != nil {
		return fmt.Errorf("sharefile: encrypt %s: %w", path, err)
	}
	if _, err := w.Write(plain); err != nil {
		return fmt.Errorf("sharefile: encrypt %s: %w", path, err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("sharefile: encrypt %s: %w", path, err)
	}
	return create(path, out.Bytes())
}

// decrypt gives the body of a file of the kind.
func decrypt(path string, kind byte, ids []age.Identity) ([]byte, error) {
	if len(ids) == 0 {
		return nil, failed(ErrNoIdentity, path, "give the identity that decrypts it")
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, failed(ErrNotFound, path, "check the path, or restore the file from your backup")
	}
	if err != nil {
		return nil, fmt.Errorf("sharefile: %w", err)
	}
	defer f.Close()
	r, err := age.Decrypt(io.LimitReader(f, maxFile), ids...)
	if noMatch := new(age.NoIdentityMatchError); errors.As(err, &noMatch) {
		return nil, failed(ErrWrongIdentity, path, "use the identity that it was encrypted to")
	}
	if err != nil {
		return nil, failed(ErrFormat, path, "it is not encrypted with age; restore it from your backup")
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, failed(ErrFormat, path, "it is damaged; restore it from your backup")
	}
	body, ok := bytes.CutPrefix(plain, []byte(magic))
	if !ok || len(body) < 1 {
		return nil, failed(ErrFormat, path, "it was not written by this version of Scrim")
	}
	if body[0] != kind {
		return nil, failed(ErrFormat, path, "it holds another kind of secret: check the path")
	}
	return body[1:], nil
}

// create writes a new file so that after a crash at any moment the name either
// does not exist or holds all of content.
func create(path string, content []byte) error {
	if _, err := os.Lstat(path); err == nil {
		return failed(ErrExists, path, "it is never overwritten; move it away if you mean to replace it")
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("sharefile: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".scrim-secret-*") // mode 0600
	if err != nil {
		return fmt.Errorf("sharefile: %w", err)
	}
	defer os.Remove(tmp.Name())
	if err := writeSynced(tmp, content); err != nil {
		return fmt.Errorf("sharefile: write %s: %w", path, err)
	}
	if err := publish(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func writeSynced(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// publish gives the file its name. A link fails if the name is taken, where a
// rename would replace; file systems without links get the rename.
func publish(tmp, path string) error {
	err := os.Link(tmp, path)
	if errors.Is(err, fs.ErrExist) {
		return failed(ErrExists, path, "another process has just written it")
	}
	if err == nil {
		return nil
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("sharefile: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sharefile: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sharefile: sync folder: %w", err)
	}
	return nil
}
