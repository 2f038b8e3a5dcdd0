package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/scrimlabs/scrim/httpapi"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/member"
	"github.com/scrimlabs/scrim/internal/wallet/wallettest"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// These scripts are about the committee after the first one. alice, bob, carol and dave are in
// office, each with a home and a share; erin and zoe have homes with the same genesis.json.
// $NODE is where the script agrees on a resharing (dave leaves, erin joins): when all have
// accepted, the nodes of all hold the ceremony and store the shares in the homes; $SLOW is the same
// node, which has to catch up first. $OTHER is for
// what comes to nothing. $THIRD is a node of a chain of theirs that has come to a third
// committee, with a new key; $FORGED shows a second one to which nobody handed over.
func TestSuccessionScripts(t *testing.T) {
	c := wallettest.NewCommittee(t, "script-test")
	erin, zoe := wallettest.NewPerson(t, "erin"), wallettest.NewPerson(t, "zoe")
	next := append(slices.Clone(c.People[:3]), erin)
	second := c.Succeed(t, long, next...)
	third := second.Succeed(t, func(terms *keygen.Terms) { long(terms); terms.Change, terms.Overlap = keygen.ChangeRotate, 50 }, next...)
	usurper := wallettest.NewCommittee(t, "script-test").Succeed(t, nil, next...)
	forged := second.Member(1)
	forged.LieCommittees = func(all *v1.Committees) {
		b, err := usurper.Certificate.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		all.Committees[1].Certificate = b
	}
	node, dir := c.Member(1), ""
	node.OnAccepted = func(m *wallettest.Member) {
		held := m.Hold(t, next...)
		for i, p := range held.People {
			if err := writeShare(filepath.Join(dir, p.Name), held.Certificate.Terms, held.Share(uint32(i+1))); err != nil {
				t.Error(err)
			}
		}
	}
	slow := httptest.NewServer(httpapi.New(&behind{Member: node}, httpapi.Options{}))
	t.Cleanup(slow.Close)
	hash := func(h [32]byte) string { return v1.Hex(h[:]).String() }
	runScripts(t, "testdata/succession", map[string]string{
		"NODE":   node.Serve(t),
		"SLOW":   slow.URL,
		"OTHER":  c.Member(2).Serve(t),
		"THIRD":  third.Member(1).Serve(t),
		"FORGED": forged.Serve(t),
		"PIN":    hash(c.Certificate.Terms.Pin()),
		"TERMS":  hash(c.Certificate.Terms.Hash()),
	}, func(work string) error {
		if filepath.Base(work) == "script-reshare" { // the only one that holds a ceremony
			dir = work
		}
		var errs []error
		for i, p := range append(slices.Clone(c.People), erin, zoe) {
			var share *threshold.SecretShare
			if i < len(c.People) {
				share = c.Share(uint32(i + 1))
			}
			errs = append(errs, writePerson(filepath.Join(work, p.Name), p, c, share))
		}
		for name, cert := range map[string]*keygen.Certificate{"first.bin": c.Certificate, "second.bin": second.Certificate, "third.bin": third.Certificate, "usurper.bin": usurper.Certificate} {
			b, err := cert.MarshalBinary()
			errs = append(errs, err, os.WriteFile(filepath.Join(work, name), b, 0o600))
		}
		return errors.Join(errs...)
	})
}

// behind is a node that has to fetch blocks when it is asked for the first times.
type behind struct {
	*wallettest.Member
	asked atomic.Int32
}

func (b *behind) Ready(ctx context.Context) v1.Readiness {
	r := b.Member.Ready(ctx)
	if b.asked.Add(1) <= 2 {
		r.Ready, r.Reasons = false, []v1.Reason{{Code: "catching_up", Detail: "it fetches blocks"}}
	}
	return r
}

// long makes the phases long enough for preflight.
func long(t *keygen.Terms) { t.Phases = keygen.EqualPhases(400) }

// writePerson makes a home with the genesis of the first committee, and a share if there is one.
func writePerson(dir string, p wallettest.Person, c *wallettest.Committee, share *threshold.SecretShare) error {
	t := c.Certificate.Terms
	signed := &member.SignedTerms{SignedTerms: keygen.SignedTerms{Terms: *t}, Limits: ordering.DefaultParams()}
	for i := range c.People {
		if _, err := signed.Sign(c.Secret(uint32(i + 1))); err != nil {
			return err
		}
	}
	genesis, err := member.Assemble([]*member.SignedTerms{signed})
	if err != nil {
		return err
	}
	if err := writeHome(dir, p.Secret, p.Name, t, share); err != nil {
		return err
	}
	return member.WriteNew(filepath.Join(dir, home.GenesisName), genesis)
}

func writeShare(dir string, t *keygen.Terms, share *threshold.SecretShare) error {
	h, err := home.Open(dir, "")
	if err != nil {
		return err
	}
	_, recipients, err := h.Identities()
	if err != nil {
		return err
	}
	return sharefile.WriteShare(h.ShareFile(t), sharefile.ShareMeta{ChainID: t.ChainID, Ceremony: t.Hash(), Epoch: t.Epoch}, share, recipients)
}
