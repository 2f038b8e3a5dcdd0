package member

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
)

// ErrNotStored says that a copy of a share is not one that would help.
var ErrNotStored = errors.New("not a good copy of the share")

// ConfirmStored reads a copy of this member's share file again, from the medium it
// is kept on, and checks that it is the share of the committee that the certificate
// proves. The certificate is verified first. It returns whose share it is, 1 to n.
func ConfirmStored(h *home.Home, path string, c *keygen.Certificate) (uint32, error) {
	if err := keygen.VerifyCertificate(c, nil); err != nil {
		return 0, err
	}
	if same, err := sameFile(path, h.ShareFile(c.Terms)); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotStored, err)
	} else if same {
		return 0, fmt.Errorf("%w: %s is the file in the home itself; name the copy on the backup medium", ErrNotStored, path)
	}
	return CheckShare(h, path, c)
}

// CheckShare reads a share file and checks that it is this home's member's share of the
// committee that the certificate, which must have been verified, proves. It returns whose
// share it is, 1 to n.
func CheckShare(h *home.Home, path string, c *keygen.Certificate) (uint32, error) {
	secret, err := h.Secret()
	if err != nil {
		return 0, err
	}
	defer secret.Wipe()
	index, err := c.Terms.IndexOf(secret)
	if err != nil {
		return 0, err
	}
	ids, _, err := h.Identities()
	if err != nil {
		return 0, err
	}
	meta, share, err := sharefile.ReadShare(path, ids)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	defer share.Wipe()
	switch {
	case meta.ChainID != c.Terms.ChainID || meta.Ceremony != c.Terms.Hash() || meta.Epoch != c.Terms.Epoch:
		return 0, fmt.Errorf("%w: %s is of chain %s, epoch %d, terms 0x%x; the certificate is for chain %s, epoch %d, terms 0x%x",
			ErrNotStored, path, meta.ChainID, meta.Epoch, meta.Ceremony, c.Terms.ChainID, c.Terms.Epoch, c.Terms.Hash())
	case share.Member() != index:
		return 0, fmt.Errorf("%w: %s is the share of member %d, this home is member %d", ErrNotStored, path, share.Member(), index)
	case !bytes.Equal(share.MemberKey().Bytes(), c.Committee.Members[index-1].Bytes()):
		return 0, fmt.Errorf("%w: %s does not fit this member's key in the certificate", ErrNotStored, path)
	}
	return index, nil
}

// sameFile says whether both names lead to one file; the second need not exist.
func sameFile(path, other string) (bool, error) {
	a, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	b, err := os.Stat(other)
	return err == nil && os.SameFile(a, b), nil
}
