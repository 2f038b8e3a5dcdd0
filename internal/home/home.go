// Package home is a member's home folder, as far as its keys go: which file is
// what, how it is made, and who may open it.
//
//	h, err := home.Open(dir, "")              // of a folder that is there, or is to be made
//	card, err := h.Make("alice", "", true)    // a new member: secret, card, age identity
//	secret, err := h.Secret()                 // the member's keys, decrypted
//
// The node (internal/node) and the member's tool (internal/member) both build
// on it, so that a home made by one is a home for the other. What else the node
// keeps in a home is its own. Nothing here ever overwrites a secret.
package home

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/age"
	"github.com/BurntSushi/toml"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
)

// Names of files in a home; the secrets' places can be configured.
const (
	ConfigName   = "config.toml"
	GenesisName  = "genesis.json" // the chain's beginning, the same file at every member
	CardName     = "member.json"  // the member's public card
	MemberName   = "member.age"   // the member's secret keys
	ShareName    = "shares"       // folder of ceremony seeds and key shares
	IdentityName = "identity.txt" // the age identity, if it is kept in the home

	// IdentityEnv is the variable that holds the age identity if no file does.
	IdentityEnv = "SCRIM_AGE_IDENTITY"
)

var (
	// ErrInitialised reports a home that already has a member in it.
	ErrInitialised = errors.New("the home already has a member")
	// ErrNoIdentity reports that nothing leads to an age identity.
	ErrNoIdentity = errors.New("no age identity")
)

// Home says where a member's keys are. All paths are absolute, or as good.
type Home struct {
	Dir          string
	MemberFile   string
	ShareDir     string
	IdentityFile string // "": the identity is in the variable IdentityEnv
	IdentityEnv  string
}

// Open finds the files of the home dir, which need not exist yet. Where they
// are, say in this order: identityFile if not empty, the variables
// SCRIM_SECRETS_..., section [secrets] of config.toml, the standard names.
func Open(dir, identityFile string) (*Home, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Secrets struct {
			MemberFile   string `toml:"member_file"`
			ShareDir     string `toml:"share_dir"`
			IdentityFile string `toml:"identity_file"`
			IdentityEnv  string `toml:"identity_env"`
		} `toml:"secrets"`
	}
	s := &doc.Secrets
	s.MemberFile, s.ShareDir, s.IdentityEnv = MemberName, ShareName, IdentityEnv
	config := filepath.Join(dir, ConfigName)
	if _, err := toml.DecodeFile(config, &doc); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", config, err)
	}
	for name, value := range map[string]*string{
		"MEMBER_FILE": &s.MemberFile, "SHARE_DIR": &s.ShareDir, "IDENTITY_FILE": &s.IdentityFile, "IDENTITY_ENV": &s.IdentityEnv,
	} {
		if text := os.Getenv("SCRIM_SECRETS_" + name); text != "" {
			*value = text
		}
	}
	h := &Home{Dir: dir, MemberFile: within(dir, s.MemberFile), ShareDir: within(dir, s.ShareDir), IdentityEnv: s.IdentityEnv}
	standard := filepath.Join(dir, IdentityName)
	switch {
	case identityFile != "":
		h.IdentityFile, err = filepath.Abs(identityFile)
	case s.IdentityFile != "":
		h.IdentityFile = within(dir, s.IdentityFile)
	case exists(standard) && os.Getenv(h.IdentityEnv) == "":
		h.IdentityFile = standard
	}
	return h, err
}

func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// CardFile is the path of the member's public card.
func (h *Home) CardFile() string { return filepath.Join(h.Dir, CardName) }

// SeedFile is the path of the seed of the ceremony under the terms t.
func (h *Home) SeedFile(t *keygen.Terms) string { return CeremonyFile(h.ShareDir, t, "seed") }

// ShareFile is the path of the share that the ceremony under the terms t gives.
func (h *Home) ShareFile(t *keygen.Terms) string { return CeremonyFile(h.ShareDir, t, "share") }

// CeremonyFile names a secret file of one ceremony; kind is seed or share.
func CeremonyFile(shareDir string, t *keygen.Terms, kind string) string {
	return filepath.Join(shareDir, fmt.Sprintf("epoch-%d-attempt-%d.%s.age", t.Epoch, t.Attempt, kind))
}

// Identities gives the age identities that open the member's files, and the
// recipients that new files are encrypted to.
func (h *Home) Identities() ([]age.Identity, []age.Recipient, error) {
	if h.IdentityFile != "" {
		return sharefile.LoadIdentities(h.IdentityFile)
	}
	text := os.Getenv(h.IdentityEnv)
	if text == "" {
		return nil, nil, fmt.Errorf("%w: no identity file is named, and the variable %s is empty", ErrNoIdentity, h.IdentityEnv)
	}
	ids, recipients, err := sharefile.ParseIdentities(text)
	if err != nil {
		return nil, nil, fmt.Errorf("age identity in %s: %w", h.IdentityEnv, err)
	}
	return ids, recipients, nil
}

// Secret opens the member's secret keys.
func (h *Home) Secret() (*keygen.MemberSecret, error) {
	ids, _, err := h.Identities()
	if err != nil {
		return nil, err
	}
	return sharefile.ReadMember(h.MemberFile, ids)
}

// Card reads the member's public card.
func (h *Home) Card() (*keygen.Card, error) { return ReadCard(h.CardFile()) }

// ReadCard reads and verifies a card file.
func ReadCard(path string) (*keygen.Card, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read member card: %w", err)
	}
	c, err := keygen.ReadCard(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a good member card (member.json of a home): %w", path, err)
	}
	return c, nil
}

// MarshalCard is the text of a card file.
func MarshalCard(c *keygen.Card) ([]byte, error) {
	text, err := json.MarshalIndent(c, "", "  ")
	return append(text, '\n'), err
}

// Initialised says whether the home has a member.
func (h *Home) Initialised() bool { return exists(h.MemberFile) }

// Make makes a new member: secret keys, encrypted to the age identity, and the
// public card. With newIdentity it also makes that identity, in IdentityFile.
// It overwrites nothing.
func (h *Home) Make(name, address string, newIdentity bool) (*keygen.Card, error) {
	for _, file := range []string{h.MemberFile, h.CardFile()} {
		if exists(file) {
			return nil, fmt.Errorf("%w: %s exists; choose another --home, or move it away if no committee counts on it", ErrInitialised, file)
		}
	}
	secret, err := keygen.NewMemberSecret(rand.Reader)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	card, err := keygen.NewCard(secret, name, address)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{h.Dir, h.ShareDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make home: %w", err)
		}
	}
	if newIdentity {
		if h.IdentityFile == "" {
			return nil, errors.New("a new age identity needs a file to be kept in")
		}
		if err := sharefile.CreateIdentity(h.IdentityFile); err != nil {
			return nil, err
		}
	}
	_, recipients, err := h.Identities()
	if err != nil {
		return nil, err
	}
	if err := sharefile.WriteMember(h.MemberFile, secret, recipients); err != nil {
		return nil, err
	}
	return card, h.writeCard(card)
}

// Sign makes the card anew, with another name or address; an empty one stays as it is.
// It replaces the card file and no key.
func (h *Home) Sign(name, address string) (*keygen.Card, error) {
	if old, err := h.Card(); err == nil {
		name, address = cmp.Or(name, old.Member.Name), cmp.Or(address, old.Address)
	} else if name == "" {
		return nil, fmt.Errorf("%w; give the member's name, to make it anew", err)
	}
	secret, err := h.Secret()
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	card, err := keygen.NewCard(secret, name, address)
	if err != nil {
		return nil, err
	}
	return card, h.writeCard(card)
}

func (h *Home) writeCard(c *keygen.Card) error {
	text, err := MarshalCard(c)
	if err != nil {
		return err
	}
	tmp := h.CardFile() + ".new"
	if err := os.WriteFile(tmp, text, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, h.CardFile())
}
