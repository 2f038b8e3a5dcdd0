package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/keygen/sharefile"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// ErrNoShare: this member's share of the committee's key is not there and cannot be
// rebuilt.
var ErrNoShare = errors.New("node: this member's share of the key is missing")

// keeper cares for this member's shares of the keys of committees: it hands each to the
// opener as long as the chain needs it, makes one that is lost again, and destroys it
// some time after.
type keeper struct {
	vault
	secret *keygen.MemberSecret
	own    ed25519.PublicKey // the member's identity
	margin uint64            // blocks for which the secrets of a committee or attempt that is over are kept
	ended  func(ctx context.Context, epoch uint64) (uint64, error)
	give   func(epoch uint64, s *threshold.SecretShare)
	log    *slog.Logger

	settled map[uint64]bool   // epochs whose share was given, or cannot be
	past    map[uint64]uint64 // heights at which offices ended, by epoch: what ended has said
	swept   uint64            // height at which sweep last looked
}

// hold gives the opener the share of every committee that the state needs and that this
// member is in. A file that is lost is made again if remake is set; while the node is
// catching up it is not, because what is missing then may have been destroyed. The error
// is ErrNoShare, for the committee in office only: what a former one has open, its other
// members can open.
func (k *keeper) hold(now *ordering.State, remake bool) error {
	for _, t := range now.Tenures() {
		if k.settled[t.Epoch()] || indexOf(t.Terms().Members, k.own) == 0 {
			continue
		}
		share, err := k.share(t, remake)
		switch {
		case err == nil:
			k.give(t.Epoch(), share)
		case !remake && (t.Until != 0 || errors.Is(err, sharefile.ErrNotFound)):
			continue // looked at again when the node has caught up
		case errors.Is(err, keygen.ErrShareLost):
			k.log.Error("this member has no share of the key: it validates blocks, and the others open the batches without it", "epoch", t.Epoch(), "err", err)
		case t.Until != 0:
			k.log.Error("the share of a former committee cannot be used; its other members open what is left without it", "epoch", t.Epoch(), "err", err)
		default:
			return err
		}
		k.settled[t.Epoch()] = true
	}
	return nil
}

// share reads this member's share of a committee's key, or makes it again from the
// member's keys and the chain.
func (k *keeper) share(t *ordering.Tenure, remake bool) (*threshold.SecretShare, error) {
	path := k.path(t.Terms(), "share")
	share, err := k.load(t.Terms())
	if errors.Is(err, sharefile.ErrNotFound) && remake {
		share, err = k.remake(t)
	}
	if errors.Is(err, keygen.ErrShareLost) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w. Restore %s from a backup of the same epoch, with the age identity that it was encrypted to", ErrNoShare, err, path)
	}
	if !keyMatches(t.Committee(), share) {
		defer share.Wipe()
		return nil, fmt.Errorf("%w: %s does not belong to member %d of epoch %d; restore the right file", ErrNoShare, path, share.Member(), t.Epoch())
	}
	return share, nil
}

func (k *keeper) remake(t *ordering.Tenure) (*threshold.SecretShare, error) {
	share, err := keygen.RecoverShare(k.secret, t.Ceremony)
	if err != nil {
		return nil, err
	}
	defer share.Wipe()
	k.log.Warn("share file was missing; made again from the member's keys and the chain", "file", k.path(t.Terms(), "share"))
	return k.store(t.Terms(), share)
}

func keyMatches(c *threshold.Committee, s *threshold.SecretShare) bool {
	if s.Member() < 1 || int(s.Member()) > c.N() {
		return false
	}
	return bytes.Equal(c.Members[s.Member()-1].Bytes(), s.MemberKey().Bytes())
}

// sweep destroys the seeds and shares that nothing needs any more: of committees that
// the state has let go, and of attempts that came to nothing, margin blocks after they
// were over. It looks once a block.
func (k *keeper) sweep(ctx context.Context, now *ordering.State) error {
	if now.Height() == k.swept {
		return nil
	}
	k.swept = now.Height()
	files, err := k.files()
	if err != nil {
		return err
	}
	for _, f := range files {
		over, err := k.over(ctx, now, f)
		if err != nil {
			return err
		}
		if over == 0 || now.Height() < over+k.margin {
			continue
		}
		if err := destroy(f.path); err != nil {
			return err
		}
		k.log.Info("destroyed a secret that is not needed any more", "file", f.path, "epoch", f.epoch, "attempt", f.attempt, "over_since", over)
	}
	return nil
}

// over gives the height since which a secret is of no use, 0 if it is or may be of use.
func (k *keeper) over(ctx context.Context, now *ordering.State, f secretFile) (uint64, error) {
	office := now.Office()
	if office == nil || f.epoch > office.Epoch() {
		return cameToNothing(now, f), nil
	}
	if t := now.Tenure(f.epoch); t != nil {
		if t.Terms().Attempt == f.attempt && !f.seed {
			return 0, nil
		}
		return t.Since, nil // an attempt before the one that succeeded, or a seed, from which a former member's old share can be computed
	}
	if k.past[f.epoch] == 0 {
		height, err := k.ended(ctx, f.epoch)
		if err != nil {
			return 0, err
		}
		k.past[f.epoch] = height
	}
	return k.past[f.epoch], nil
}

// cameToNothing gives the height at which an attempt at the next committee ended in vain,
// 0 if it runs or is unknown.
func cameToNothing(now *ordering.State, f secretFile) uint64 {
	records := slices.Clone(now.PastCeremonies())
	if r := now.Ceremony().Record(); r != nil {
		records = append(records, r)
	}
	for _, r := range records {
		if r.Terms.Epoch == f.epoch && r.Terms.Attempt == f.attempt {
			return r.Height
		}
	}
	return 0
}
