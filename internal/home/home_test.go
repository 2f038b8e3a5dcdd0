package home

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/keygen/sharefile"
)

func open(t *testing.T, dir, identity string) *Home {
	t.Helper()
	h, err := Open(dir, identity)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestMake(t *testing.T) {
	t.Setenv(IdentityEnv, "")
	dir := filepath.Join(t.TempDir(), "a", "home")
	identity := filepath.Join(t.TempDir(), "key.txt")
	h := open(t, dir, identity)
	card, err := h.Make("alice", "alice.example.org:26656", true)
	if err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{dir: 0o700, h.ShareDir: 0o700, h.MemberFile: 0o600, identity: 0o600, h.CardFile(): 0o644} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %o", path, info, err, mode)
		}
	}
	read, err := h.Card()
	if err != nil || cmp.Diff(card, read) != "" {
		t.Errorf("card: %v %s", err, cmp.Diff(card, read))
	}
	secret, err := h.Secret()
	if err != nil || cmp.Diff(card.Member, secret.Member("alice")) != "" {
		t.Errorf("member.age holds another member: %v", err)
	}
	if _, err := h.Make("bob", "", false); !errors.Is(err, ErrInitialised) {
		t.Errorf("a second time: %v", err)
	}

	// A card that is lost is made again from the secret; so is one with another address.
	if err := os.Remove(h.CardFile()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Make("alice", "", false); !errors.Is(err, ErrInitialised) {
		t.Errorf("made again over a secret: %v", err)
	}
	if _, err := h.Sign("", ""); err == nil {
		t.Error("a card without a name")
	}
	again, err := h.Sign("alice", "other.example.org:26656")
	if err != nil || again.Fingerprint() != card.Fingerprint() || again.Address != "other.example.org:26656" {
		t.Errorf("%+v, %v", again, err)
	}
	if kept, err := h.Sign("", ""); err != nil || cmp.Diff(again, kept) != "" {
		t.Errorf("signing changes the card: %v", err)
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Setenv(IdentityEnv, "")
	for name, test := range map[string]struct {
		member, address, identity string
		newIdentity               bool
	}{
		"no name":            {"", "", "key.txt", true},
		"bad address":        {"alice", "alice", "key.txt", true},
		"no identity":        {"alice", "", "", false},
		"no place for it":    {"alice", "", "", true},
		"identity not there": {"alice", "", "none.txt", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			identity := test.identity
			if identity != "" {
				identity = filepath.Join(t.TempDir(), identity)
			}
			h := open(t, dir, identity)
			if _, err := h.Make(test.member, test.address, test.newIdentity); err == nil {
				t.Error("accepted")
			}
			if h.Initialised() {
				t.Error("left a member")
			}
		})
	}
}

// Where the secrets are is found as the node finds it.
func TestOpenFindsTheSecrets(t *testing.T) {
	t.Setenv(IdentityEnv, "")
	dir := t.TempDir()
	if h := open(t, dir, ""); h.IdentityFile != "" || h.MemberFile != filepath.Join(dir, MemberName) || h.ShareDir != filepath.Join(dir, ShareName) {
		t.Errorf("empty home: %+v", h)
	}
	if err := sharefile.CreateIdentity(filepath.Join(dir, IdentityName)); err != nil {
		t.Fatal(err)
	}
	if h := open(t, dir, ""); h.IdentityFile != filepath.Join(dir, IdentityName) {
		t.Errorf("identity in the home: %+v", h)
	}
	config := "[http]\nlisten = \"x:1\"\n[secrets]\nmember_file = \"m.age\"\nshare_dir = \"/elsewhere\"\nidentity_file = \"i.txt\"\nidentity_env = \"MY_IDENTITY\"\n"
	if err := os.WriteFile(filepath.Join(dir, ConfigName), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	want := Home{Dir: dir, MemberFile: filepath.Join(dir, "m.age"), ShareDir: "/elsewhere", IdentityFile: filepath.Join(dir, "i.txt"), IdentityEnv: "MY_IDENTITY"}
	if diff := cmp.Diff(&want, open(t, dir, "")); diff != "" {
		t.Error(diff)
	}
	t.Setenv("SCRIM_SECRETS_IDENTITY_FILE", "/run/keys/i.txt")
	want.IdentityFile = "/run/keys/i.txt"
	if diff := cmp.Diff(&want, open(t, dir, "")); diff != "" {
		t.Error(diff)
	}
	want.IdentityFile = "/flag.txt"
	if diff := cmp.Diff(&want, open(t, dir, "/flag.txt")); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(filepath.Join(dir, ConfigName), []byte("[secrets\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, ""); err == nil {
		t.Error("a broken config.toml")
	}
}
