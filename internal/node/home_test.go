package node

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestInitHome(t *testing.T) {
	c := DefaultConfig()
	c.Home = filepath.Join(t.TempDir(), "a", "home")
	c.Secrets.IdentityFile = IdentityName
	card, err := InitHome(c, "alice", "", true)
	if err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{
		c.Home: 0o700, c.ShareDir(): 0o700, c.MemberFile(): 0o600, c.IdentityFile(): 0o600, c.File(): 0o600, c.CardFile(): 0o644,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %o", path, info, err, mode)
		}
	}
	loaded, err := LoadConfigFile(c.Home)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := loaded.Member()
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Wipe()
	if own := secret.Member("alice"); own.Fingerprint() != card.Fingerprint() {
		t.Error("member.age holds another member than was printed")
	}

	before := files(t, c.Home)
	if _, err := InitHome(c, "bob", "", true); !errors.Is(err, ErrInitialised) {
		t.Errorf("a second time: %v", err)
	}
	if after := files(t, c.Home); after != before {
		t.Error("the second time changed the home")
	}
}

// A member that 'scrim member init' made gets a configuration, and nothing else changes.
func TestInitHomeAdopts(t *testing.T) {
	t.Setenv("SCRIM_AGE_IDENTITY", "")
	c := DefaultConfig()
	c.Home = t.TempDir()
	c.Secrets.IdentityFile = IdentityName
	card, err := c.home().Make("alice", "alice:26656", true)
	if err != nil {
		t.Fatal(err)
	}
	before := files(t, c.Home)
	for name, try := range map[string]func() error{
		"another name":    func() error { _, err := InitHome(c, "bob", "", false); return err },
		"another address": func() error { _, err := InitHome(c, "alice", "bob:26656", false); return err },
		"a new identity":  func() error { _, err := InitHome(c, "alice", "", true); return err },
	} {
		if err := try(); !errors.Is(err, ErrInitialised) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := *c
	other.Secrets.IdentityFile = "nowhere.txt"
	if _, err := InitHome(&other, "", "", false); err == nil {
		t.Error("adopted without the identity")
	}
	if files(t, c.Home) != before {
		t.Error("refused, but changed")
	}
	again, err := InitHome(c, "", "", false)
	if err != nil || again.Fingerprint() != card.Fingerprint() {
		t.Fatalf("%v, %v", again, err)
	}
	if _, err := LoadConfigFile(c.Home); err != nil {
		t.Error(err)
	}
	if _, err := InitHome(c, "", "", false); !errors.Is(err, ErrInitialised) {
		t.Errorf("a second time: %v", err)
	}
}

// What cannot be finished leaves no home that looks finished.
func TestInitHomeRefuses(t *testing.T) {
	t.Setenv("SCRIM_AGE_IDENTITY", "")
	for name, change := range map[string]func(c *Config) (member string, newIdentity bool){
		"no name":              func(*Config) (string, bool) { return "", true },
		"no identity":          func(*Config) (string, bool) { return "alice", false },
		"no place for it":      func(*Config) (string, bool) { return "alice", true },
		"identity not there":   func(c *Config) (string, bool) { c.Secrets.IdentityFile = "none"; return "alice", false },
		"broken configuration": func(c *Config) (string, bool) { c.HTTP.Listen = "x"; return "alice", true },
	} {
		t.Run(name, func(t *testing.T) {
			c := DefaultConfig()
			c.Home = t.TempDir()
			member, newIdentity := change(c)
			if _, err := InitHome(c, member, "", newIdentity); err == nil {
				t.Error("accepted")
			}
			for _, path := range []string{c.File(), c.MemberFile()} {
				if _, err := os.Stat(path); err == nil {
					t.Errorf("left %s", path)
				}
			}
		})
	}
}

// files is the content of all files below dir.
func files(t *testing.T, dir string) string {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all.WriteString(path + "\n" + string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
