package node

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/age"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/ordering"
)

// A home holds everything that belongs to one member on one machine:
//
//	config.toml    what Config says
//	genesis.json   the chain's beginning, the same file at every member
//	member.json    the member's public keys, to be given to who assembles the genesis
//	member.age     the member's secret keys, encrypted to its age identity
//	shares/        ceremony seeds and key shares, encrypted likewise
//	comet/         CometBFT's blocks, votes and peers; never restore it from a copy
const (
	configName  = "config.toml"
	genesisName = "genesis.json"
	publicName  = "member.json"
	cometName   = "comet"

	// IdentityName is where InitHome puts a new age identity if no other place is named.
	IdentityName = "identity.txt"
)

// File returns the path of config.toml.
func (c *Config) File() string { return filepath.Join(c.Home, configName) }

// GenesisFile returns the path of genesis.json.
func (c *Config) GenesisFile() string { return filepath.Join(c.Home, genesisName) }

// PublicFile returns the path of member.json.
func (c *Config) PublicFile() string { return filepath.Join(c.Home, publicName) }

// CometDir returns the folder that is CometBFT's own.
func (c *Config) CometDir() string { return filepath.Join(c.Home, cometName) }

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
	if file := c.IdentityFile(); file != "" {
		return sharefile.LoadIdentities(file)
	}
	text := os.Getenv(c.Secrets.IdentityEnv)
	if text == "" {
		return nil, nil, &ConfigError{Source: c.File(), Key: "secrets.identity_file", Reason: "is empty, and so is the variable " + c.Secrets.IdentityEnv + " that identity_env names; set one of them to the age identity"}
	}
	ids, recipients, err := sharefile.ParseIdentities(text)
	if err != nil {
		return nil, nil, fmt.Errorf("age identity in %s: %w", c.Secrets.IdentityEnv, err)
	}
	return ids, recipients, nil
}

// Member opens the member's secret keys.
func (c *Config) Member() (*keygen.MemberSecret, error) {
	ids, _, err := c.Identities()
	if err != nil {
		return nil, err
	}
	return sharefile.ReadMember(c.MemberFile(), ids)
}

// ReadGenesis reads what genesis.json fixes for Scrim: the app_state of CometBFT's genesis.
func ReadGenesis(path string) (*ordering.Genesis, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist; 'scrimd genesis assemble' makes it once for all members, and it must lie in every home", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read genesis: %w", err)
	}
	var doc struct {
		AppState json.RawMessage `json:"app_state"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s is not a genesis file: %w", path, err)
	}
	if len(doc.AppState) == 0 {
		return nil, fmt.Errorf("%s is not a genesis file of Scrim: it has no app_state", path)
	}
	g, err := ordering.ParseGenesis(doc.AppState)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// ErrInitialised reports a home that already has a member in it.
var ErrInitialised = errors.New("the home already has a member")

// InitHome makes a home for a new member named name: secret keys, public keys
// and c as config.toml. With newIdentity it also makes the age identity that
// opens the secrets. It overwrites nothing.
func InitHome(c *Config, name string, newIdentity bool) (*keygen.Member, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	for _, file := range []string{c.MemberFile(), c.File()} {
		if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s exists; choose another --home, or move it away if no committee counts on it", ErrInitialised, file)
		}
	}
	secret, err := keygen.NewMemberSecret(rand.Reader)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	member := secret.Member(name)
	if err := member.Validate(); err != nil {
		return nil, err
	}
	public, err := json.MarshalIndent(member, "", "  ")
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{c.Home, c.ShareDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make home: %w", err)
		}
	}
	if newIdentity {
		if c.IdentityFile() == "" {
			return nil, errors.New("a new age identity needs a file to be kept in")
		}
		if err := sharefile.CreateIdentity(c.IdentityFile()); err != nil {
			return nil, err
		}
	}
	_, recipients, err := c.Identities()
	if err != nil {
		return nil, err
	}
	if err := sharefile.WriteMember(c.MemberFile(), secret, recipients); err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.PublicFile(), append(public, '\n'), 0o644); err != nil {
		return nil, err
	}
	// The configuration comes last: a home that has one is complete.
	return &member, c.Write()
}

// Write replaces config.toml.
func (c *Config) Write() error {
	tmp, err := os.CreateTemp(c.Home, ".config-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(c.Marshal()); err != nil {
		tmp.Close()
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return os.Rename(tmp.Name(), c.File())
}
