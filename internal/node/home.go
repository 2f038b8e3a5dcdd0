package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/ordering"
)

// A home holds everything that belongs to one member on one machine:
//
//	config.toml    what Config says
//	genesis.json   the chain's beginning, the same file at every member
//	member.json    the member's public card, for the other members
//	member.age     the member's secret keys, encrypted to its age identity
//	shares/        ceremony seeds and key shares, encrypted likewise
//	signed-log.json  the largest head of the published log that the member has signed
//	comet/         CometBFT's blocks, votes and peers; never restore it from a copy
const (
	cometName     = "comet"
	signedLogName = "signed-log.json"

	// IdentityName is where InitHome puts a new age identity if no other place is named.
	IdentityName = home.IdentityName
)

// ErrInitialised reports a home that already has a member in it.
var ErrInitialised = home.ErrInitialised

// File returns the path of config.toml.
func (c *Config) File() string { return filepath.Join(c.Home, home.ConfigName) }

// GenesisFile returns the path of genesis.json.
func (c *Config) GenesisFile() string { return filepath.Join(c.Home, home.GenesisName) }

// CardFile returns the path of member.json.
func (c *Config) CardFile() string { return c.home().CardFile() }

// home is the part of the home that the member's own tool knows too.
func (c *Config) home() *home.Home {
	return &home.Home{Dir: c.Home, MemberFile: c.MemberFile(), ShareDir: c.ShareDir(), IdentityFile: c.IdentityFile(), IdentityEnv: c.Secrets.IdentityEnv}
}

// CometDir returns the folder that is CometBFT's own.
func (c *Config) CometDir() string { return filepath.Join(c.Home, cometName) }

// SignedLogFile returns the path of the file that keeps the member from signing two logs.
func (c *Config) SignedLogFile() string { return filepath.Join(c.Home, signedLogName) }

// MemberFile returns the path of the member's encrypted keys.
func (c *Config) MemberFile() string { return c.path(c.Secrets.MemberFile) }

// ShareDir returns the folder of the encrypted ceremony seeds and shares.
func (c *Config) ShareDir() string { return c.path(c.Secrets.ShareDir) }

// IdentityFile returns the path of the age identity, "" if it comes from the environment.
func (c *Config) IdentityFile() string {
	if c.Secrets.IdentityFile == "" {
		return ""
	}
	return c.path(c.Secrets.IdentityFile)
}

func (c *Config) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.Home, p)
}

// Identities returns the age identities that open the member's files, and the recipients that new files are encrypted to.
func (c *Config) Identities() ([]age.Identity, []age.Recipient, error) {
	ids, recipients, err := c.home().Identities()
	if errors.Is(err, home.ErrNoIdentity) {
		return nil, nil, &ConfigError{Source: c.File(), Key: "secrets.identity_file", Reason: "is empty, and so is the variable " + c.Secrets.IdentityEnv + " that identity_env names; set one of them to the age identity"}
	}
	return ids, recipients, err
}

// Member opens the member's secret keys.
func (c *Config) Member() (*keygen.MemberSecret, error) {
	ids, _, err := c.Identities()
	if err != nil {
		return nil, err
	}
	return sharefile.ReadMember(c.MemberFile(), ids)
}

// ReadGenesis reads a genesis file and checks all of it: the parameters, every member's
// consent, and that CometBFT's validators are exactly the members.
func ReadGenesis(path string) (*ordering.Genesis, error) {
	_, g, err := readGenesis(path)
	return g, err
}

// InitHome makes a home for a new member named name: secret keys, public card and c as
// config.toml. With newIdentity it also makes the age identity that opens the secrets.
// If the home has a member already, made by 'scrim member init', only the
// configuration is added. It overwrites nothing.
func InitHome(c *Config, name, address string, newIdentity bool) (*keygen.Card, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(c.File()); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s exists; choose another --home, or move it away if no committee counts on it", ErrInitialised, c.File())
	}
	h := c.home()
	var card *keygen.Card
	var err error
	if h.Initialised() {
		card, err = adopt(h, name, address, newIdentity)
	} else {
		card, err = h.Make(name, address, newIdentity)
	}
	if err != nil {
		return nil, err
	}
	// The configuration comes last: a home that has one is complete.
	return card, c.Write()
}

// adopt checks that a home's member is the one that is asked for and that its secret opens.
func adopt(h *home.Home, name, address string, newIdentity bool) (*keygen.Card, error) {
	card, err := h.Card()
	if err != nil {
		return nil, err
	}
	switch {
	case newIdentity:
		return nil, fmt.Errorf("%w: %s; its secrets have an age identity, name that one with --identity-file", ErrInitialised, card.Member.Name)
	case name != "" && name != card.Member.Name, address != "" && address != card.Address:
		return nil, fmt.Errorf("%w: %s at %q; leave name and address out to add the configuration for it", ErrInitialised, card.Member.Name, card.Address)
	}
	secret, err := h.Secret()
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	if secret.Member(card.Member.Name).Fingerprint() != card.Fingerprint() {
		return nil, fmt.Errorf("%s is not the card of the member in %s", h.CardFile(), h.MemberFile)
	}
	return card, os.MkdirAll(h.ShareDir, 0o700)
}

// Write replaces config.toml.
func (c *Config) Write() error {
	tmp, err := os.CreateTemp(c.Home, ".config-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(c.Marshal())
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return os.Rename(tmp.Name(), c.File())
}
