// Package succession follows a chain's committees from the first one to the one in
// office, for everybody who does not trust the node that tells of them.
//
//	line, err := succession.Fetch(ctx, node) // every certificate verified, and each against the one before it
//	pin := line.Pin()                        // to compare with what the first committee's members published
//	office := line.Office()                  // the certificate whose key counts now
//
// A line proves that t members of each committee handed over to the next; it does not
// prove that the first is the right one, and not that there is no newer one. What a
// node says besides certificates (heights, places in the log) is only its word.
package succession

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// Errors that callers branch on.
var (
	ErrFalse       = errors.New("the committees do not hand over to each other")
	ErrNoCommittee = errors.New("the chain has no committee yet")
	ErrFork        = errors.New("two lines of committees that part")
)

// maxCommittees bounds what is fetched: a committee each day for a lifetime.
const maxCommittees = 1 << 15

// Committee is one of a line.
type Committee struct {
	*keygen.Certificate         // verified
	Since               uint64  // by the node's word: height of the block that put it in office
	Until               *uint64 // by the node's word: of the block that put the next in office, nil: none
	LogIndex            uint64  // by the node's word: of its entry in the log
}

// Line is a chain's committees, the first first; there is at least one.
type Line []Committee

// Verify checks certificates, given the first first: each by itself, the first as that of
// a first committee, and each other against the one before it. Errors wrap ErrFalse.
func Verify(certificates ...*keygen.Certificate) (Line, error) {
	var line Line
	for _, c := range certificates {
		if err := line.add(Committee{Certificate: c}); err != nil {
			return nil, err
		}
	}
	if len(line) == 0 {
		return nil, ErrNoCommittee
	}
	return line, nil
}

// VerifyPart is Verify for a line whose beginning is not at hand: nothing says where the
// first of the certificates comes from.
func VerifyPart(certificates ...*keygen.Certificate) (Line, error) {
	var line Line
	for _, c := range certificates {
		if err := line.follow(Committee{Certificate: c}); err != nil {
			return nil, err
		}
	}
	if len(line) == 0 {
		return nil, ErrNoCommittee
	}
	return line, nil
}

func (l *Line) add(c Committee) error {
	if len(*l) == 0 && (c.Terms == nil || c.Terms.Change != keygen.ChangeFirst) {
		return fmt.Errorf("%w: the first one succeeds another, which is not shown", ErrFalse)
	}
	return l.follow(c)
}

func (l *Line) follow(c Committee) error {
	refuse := func(err error) error { return fmt.Errorf("%w: committee %d: %w", ErrFalse, len(*l)+1, err) }
	if err := keygen.VerifyCertificate(c.Certificate, nil); err != nil {
		return refuse(err)
	}
	if len(*l) == 0 {
		*l = append(*l, c)
		return nil
	}
	if err := keygen.VerifySuccession(c.Certificate, l.Office()); err != nil {
		return refuse(err)
	}
	*l = append(*l, c)
	return nil
}

// Fetch asks a node for all committees and verifies them. ErrNoCommittee if there is none yet.
func Fetch(ctx context.Context, node *client.Client) (Line, error) {
	var line Line
	for from := uint64(0); len(line) < maxCommittees; {
		page, err := node.Committees(ctx, from, 0)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Committees {
			if err := line.take(r); err != nil {
				return nil, fmt.Errorf("%s: %w", node.URL(), err)
			}
		}
		if page.Next == nil || len(page.Committees) == 0 {
			break
		}
		from = *page.Next
	}
	if len(line) == 0 {
		return nil, fmt.Errorf("%s: %w", node.URL(), ErrNoCommittee)
	}
	return line, nil
}

func (l *Line) take(r v1.CommitteeRecord) error {
	c, err := keygen.ParseCertificate(r.Certificate)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFalse, err)
	}
	return l.add(Committee{Certificate: c, Since: r.Since, Until: r.Until, LogIndex: r.LogIndex})
}

// Pin names the first committee: what a wallet keeps. See keygen.Terms.Pin.
func (l Line) Pin() [32]byte { return l[0].Terms.Pin() }

// TermsHash is that of the first committee's terms.
func (l Line) TermsHash() [32]byte { return l[0].Terms.Hash() }

// ChainID is the chain that all committees are of.
func (l Line) ChainID() string { return l[0].Terms.ChainID }

// Office is the certificate of the last committee.
func (l Line) Office() *keygen.Certificate { return l[len(l)-1].Certificate }

// Epoch gives the committee of an epoch, nil if the line has none.
func (l Line) Epoch(epoch uint64) *keygen.Certificate {
	i := slices.IndexFunc(l, func(c Committee) bool { return c.Terms.Epoch == epoch })
	if i < 0 {
		return nil
	}
	return l[i].Certificate
}

// Key gives the public key with an id, nil if no committee has held it.
func (l Line) Key(id [32]byte) *threshold.PublicKey {
	i := slices.IndexFunc(l, func(c Committee) bool { return c.Certificate.Committee.Key.ID() == id })
	if i < 0 {
		return nil
	}
	return l[i].Certificate.Committee.Key
}

// Longer gives the longer of two lines; ErrFork unless one goes on where the other ends.
func Longer(a, b Line) (Line, error) {
	if len(a) < len(b) {
		a, b = b, a
	}
	for i := range b {
		x, y := a[i].Certificate, b[i].Certificate
		if x.Terms.Hash() != y.Terms.Hash() || x.Committee.Key.ID() != y.Committee.Key.ID() {
			return nil, fmt.Errorf("%w: at epoch %d", ErrFork, x.Terms.Epoch)
		}
	}
	return a, nil
}
