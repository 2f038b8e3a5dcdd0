package member

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/wallet/wallettest"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/threshold"
)

func TestConfirmStored(t *testing.T) {
	c := wallettest.NewCommittee(t, "member-test")
	dir := t.TempDir()
	h, err := home.Open(dir, filepath.Join(dir, "identity.txt"))
	must(t, err)
	must(t, sharefile.CreateIdentity(h.IdentityFile))
	_, recipients, err := h.Identities()
	must(t, err)
	must(t, sharefile.WriteMember(h.MemberFile, c.Secret(1), recipients))
	terms := c.Certificate.Terms
	good := sharefile.ShareMeta{ChainID: terms.ChainID, Ceremony: terms.Hash(), Epoch: terms.Epoch}

	for name, test := range map[string]struct {
		meta  func(*sharefile.ShareMeta)
		share *threshold.SecretShare
		says  string // empty: it is good
	}{
		"good":              {nil, c.Share(1), ""},
		"another member's":  {nil, c.Share(2), "the share of member 2, this home is member 1"},
		"another committee": {nil, wallettest.NewCommittee(t, "member-test").Share(1), "does not fit this member's key"},
		"another ceremony":  {func(m *sharefile.ShareMeta) { m.Ceremony[0]++ }, c.Share(1), "the certificate is for chain member-test"},
		"another chain":     {func(m *sharefile.ShareMeta) { m.ChainID = "other" }, c.Share(1), "is of chain other"},
		"another epoch":     {func(m *sharefile.ShareMeta) { m.Epoch = 2 }, c.Share(1), "epoch 2"},
	} {
		t.Run(name, func(t *testing.T) {
			meta := good
			if test.meta != nil {
				test.meta(&meta)
			}
			copied := filepath.Join(t.TempDir(), "copy.age")
			must(t, sharefile.WriteShare(copied, meta, test.share, recipients))
			index, err := ConfirmStored(h, copied, c.Certificate)
			switch {
			case test.says == "" && (err != nil || index != 1):
				t.Errorf("member %d, %v", index, err)
			case test.says != "" && (!errors.Is(err, ErrNotStored) || !strings.Contains(err.Error(), test.says)):
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}

	copied := filepath.Join(t.TempDir(), "copy.age")
	must(t, sharefile.WriteShare(copied, good, c.Share(1), recipients))
	forged := *c.Certificate
	forged.Transcript[0]++
	if _, err := ConfirmStored(h, copied, &forged); !errors.Is(err, keygen.ErrCertificate) {
		t.Errorf("forged certificate: %v", err)
	}
}
