package sharefile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/threshold"
)

func identity(t *testing.T) ([]age.Identity, []age.Recipient) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "identity.txt")
	if err := sharefile.CreateIdentity(path); err != nil {
		t.Fatal(err)
	}
	ids, recipients, err := sharefile.LoadIdentities(path)
	if err != nil || len(ids) != 1 || len(recipients) != 1 {
		t.Fatalf("%d identities, %d recipients, %v", len(ids), len(recipients), err)
	}
	return ids, recipients
}

var (
	seed     = [32]byte(bytes.Repeat([]byte("seed"), 8))
	ceremony = [32]byte{1, 2, 3}
	secret   = keygen.MemberSecretFromSeed([32]byte(bytes.Repeat([]byte("mine"), 8)))
	meta     = sharefile.ShareMeta{ChainID: "scrim-test", Ceremony: ceremony, Epoch: 7, KeyID: threshold.KeyID{9}}
)

func share(t *testing.T) *threshold.SecretShare {
	t.Helper()
	s, err := threshold.NewSecretShare(3, (*[32]byte)(bytes.Repeat([]byte("shar"), 8)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// writers write one file of each kind.
func writers(t *testing.T) map[string]func(path string, r []age.Recipient) error {
	own := share(t)
	return map[string]func(string, []age.Recipient) error{
		"member": func(path string, r []age.Recipient) error { return sharefile.WriteMember(path, secret, r) },
		"seed":   func(path string, r []age.Recipient) error { return sharefile.WriteSeed(path, ceremony, seed, r) },
		"share":  func(path string, r []age.Recipient) error { return sharefile.WriteShare(path, meta, own, r) },
	}
}

// readers say whether what they read is what was written.
func readers(t *testing.T) map[string]func(path string, ids []age.Identity) error {
	own := share(t)
	return map[string]func(string, []age.Identity) error{
		"member": func(path string, ids []age.Identity) error {
			s, err := sharefile.ReadMember(path, ids)
			if err == nil && s.ExposeSeed() != secret.ExposeSeed() {
				t.Error("another secret was read")
			}
			return err
		},
		"seed": func(path string, ids []age.Identity) error {
			s, err := sharefile.ReadSeed(path, ceremony, ids)
			if err == nil && s != seed {
				t.Error("another seed was read")
			}
			return err
		},
		"share": func(path string, ids []age.Identity) error {
			m, s, err := sharefile.ReadShare(path, ids)
			if err == nil && (s.ExposeSecretBytes() != own.ExposeSecretBytes() || s.Member() != own.Member() || cmp.Diff(meta, m) != "") {
				t.Error("another share was read")
			}
			return err
		},
	}
}

func TestRoundTrip(t *testing.T) {
	ids, recipients := identity(t)
	otherIDs, otherRecipients := identity(t)
	for kind, write := range writers(t) {
		path := filepath.Join(t.TempDir(), "new folder", kind+".age")
		read := readers(t)[kind]
		if err := write(path, append(recipients, otherRecipients...)); err != nil {
			t.Fatal(err)
		}
		for _, id := range [][]age.Identity{ids, otherIDs} {
			if err := read(path, id); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", kind, info.Mode(), err)
		}
		content, _ := os.ReadFile(path)
		for _, plain := range []string{"seed", "mine", "shar"} {
			if strings.Contains(string(content), strings.Repeat(plain, 3)) {
				t.Errorf("%s: the secret is in the clear", kind)
			}
		}
		if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
			t.Errorf("%s: left behind: %v", kind, names)
		}
	}
}

// wantError checks what the error is, and that it names the file and says what to do.
func wantError(t *testing.T, what string, err, want error, path, advice string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
		return
	}
	for _, part := range []string{path, advice} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q does not say %q", what, err, part)
		}
	}
}

func TestErrors(t *testing.T) {
	ids, recipients := identity(t)
	stranger, _ := identity(t)
	for kind, write := range writers(t) {
		read := readers(t)[kind]
		dir := t.TempDir()
		path := filepath.Join(dir, kind+".age")
		wantError(t, kind+" without recipient", write(path, nil), sharefile.ErrNoRecipient, path, "recipient")
		wantError(t, kind+" that is not there", read(path, ids), sharefile.ErrNotFound, path, "backup")
		if err := write(path, recipients); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(path)
		wantError(t, kind+" again", write(path, recipients), sharefile.ErrExists, path, "never overwritten")
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s was overwritten", kind)
		}
		wantError(t, kind+" for a stranger", read(path, stranger), sharefile.ErrWrongIdentity, path, "identity")
		wantError(t, kind+" without identity", read(path, nil), sharefile.ErrNoIdentity, path, "identity")
		for other, readOther := range readers(t) {
			if other != kind {
				wantError(t, kind+" as "+other, readOther(path, ids), sharefile.ErrFormat, path, "another kind")
			}
		}
		for name, content := range map[string][]byte{
			"empty": {}, "text": []byte("hello"), "cut": before[:len(before)-1], "head": before[:30],
			"flipped": append(before[:len(before)-5:len(before)-5], 0, 0, 0, 0, 0),
		} {
			damaged := filepath.Join(dir, name)
			if err := os.WriteFile(damaged, content, 0o600); err != nil {
				t.Fatal(err)
			}
			wantError(t, kind+" "+name, read(damaged, ids), sharefile.ErrFormat, damaged, "backup")
		}
	}

	path := filepath.Join(t.TempDir(), "seed.age")
	if err := sharefile.WriteSeed(path, ceremony, seed, recipients); err != nil {
		t.Fatal(err)
	}
	_, err := sharefile.ReadSeed(path, [32]byte{8}, ids)
	wantError(t, "seed of another ceremony", err, sharefile.ErrOther, path, "another path")
	bad := meta
	bad.ChainID = "no good"
	if err := sharefile.WriteShare(filepath.Join(t.TempDir(), "x"), bad, share(t), recipients); !errors.Is(err, threshold.ErrChainID) {
		t.Errorf("share of a chain that cannot be: %v", err)
	}
}

func TestIdentityFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "identity.txt")
	_, _, err := sharefile.LoadIdentities(path)
	wantError(t, "not there", err, sharefile.ErrNotFound, path, "create")
	if err := sharefile.CreateIdentity(path); err != nil {
		t.Fatal(err)
	}
	wantError(t, "again", sharefile.CreateIdentity(path), sharefile.ErrExists, path, "never overwritten")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	text, _ := os.ReadFile(path)
	fromFile, _, err := sharefile.LoadIdentities(path)
	if err != nil {
		t.Fatal(err)
	}
	fromText, recipients, err := sharefile.ParseIdentities(string(text))
	if err != nil || len(recipients) != 1 || fromText[0].(*age.X25519Identity).String() != fromFile[0].(*age.X25519Identity).String() {
		t.Errorf("file and text differ: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err = sharefile.LoadIdentities(path)
	wantError(t, "open to others", err, sharefile.ErrPermissions, path, "chmod 600")

	for name, text := range map[string]string{"empty": "", "comment": "# nothing\n", "wrong": "AGE-SECRET-KEY-1SECRETSECRET", "public": recipients[0].(*age.X25519Recipient).String()} {
		_, _, err := sharefile.ParseIdentities(text)
		wantError(t, name, err, sharefile.ErrNoIdentity, "", "AGE-SECRET-KEY-1")
		if strings.Contains(err.Error(), "SECRETSECRET") {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	os.WriteFile(filepath.Join(dir, "bad"), []byte("AGE-SECRET-KEY-1SECRETSECRET"), 0o600)
	_, _, err = sharefile.LoadIdentities(filepath.Join(dir, "bad"))
	wantError(t, "bad file", err, sharefile.ErrNoIdentity, "bad", "AGE-SECRET-KEY-1")
}

// Of many that write one name at once, one wins and the others are told.
func TestRace(t *testing.T) {
	_, recipients := identity(t)
	path := filepath.Join(t.TempDir(), "seed.age")
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = sharefile.WriteSeed(path, ceremony, seed, recipients) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, sharefile.ErrExists) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d wrote the file", won, len(errs))
	}
}
