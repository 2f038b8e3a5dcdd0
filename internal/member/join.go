package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/succession"
	"github.com/scrimlabs/scrim/keygen"
)

// Errors of a join.
var (
	ErrNoPart   = errors.New("this home takes no part in the newest ceremony")
	ErrEnded    = errors.New("the ceremony came to nothing")
	ErrRejected = errors.New("this member has rejected the ceremony")
)

// NeedsConsent says whether the member whom a voter speaks for is asked to answer the
// newest ceremony's proposal and has not. ErrNoPart if it is in neither of its committees,
// ErrRejected if it has said no.
func (v *Voter) NeedsConsent(ctx context.Context) (*Status, bool, error) {
	s, err := v.newest(ctx)
	if err != nil {
		return nil, false, err
	}
	t, _, err := v.terms(ctx, s)
	if err != nil {
		return nil, false, err
	}
	roles, err := t.Roles(v.Secret)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w; ask whoever proposes to use your member.json", ErrNoPart, err)
	}
	if slices.ContainsFunc(roles, func(j uint32) bool { return consent(&s.Ceremony, j) == keygen.CellRejects }) {
		return nil, false, ErrRejected
	}
	if s.Over() && !s.Succeeded() {
		return nil, false, fmt.Errorf("%w: attempt %d for epoch %d %s; %s", ErrEnded, s.Ceremony.Attempt, s.Ceremony.Epoch, s.Ceremony.Outcome, s.Next)
	}
	if s.Ceremony.Phase != keygen.PhaseProposed.String() {
		return s, false, nil
	}
	b := &Ballot{Kind: keygen.KindConsent}
	return s, slices.ContainsFunc(roles, func(j uint32) bool { return !b.saidBy(&s.Ceremony, j) }), nil
}

// Follow watches the ceremony with the terms of s until it is over, and calls show with
// every status that differs from the one before. Nodes that do not answer are asked again.
// It returns the certificate, or ErrEnded.
func (v *Voter) Follow(ctx context.Context, s *Status, show func(*Status)) (*keygen.Certificate, error) {
	tick := time.NewTicker(orElse(v.Every, 500*time.Millisecond))
	defer tick.Stop()
	id := s.Ceremony.ID
	var last string
	for {
		now, err := v.newest(ctx)
		if err == nil {
			if now.Ceremony.ID.String() != id.String() {
				return nil, fmt.Errorf("%w: another one has begun (epoch %d, attempt %d): type the same again to join it", ErrEnded, now.Ceremony.Epoch, now.Ceremony.Attempt)
			}
			if at := progress(&now.Ceremony); at != last {
				show(now)
				last = at
			}
			if now.Over() {
				return v.outcome(ctx, now)
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: the ceremony goes on without this command; type the same again to follow it", ctx.Err())
		case <-tick.C:
		}
	}
}

// progress changes when somebody has done something.
func progress(c *v1.Ceremony) string {
	return fmt.Sprint(c.Phase, c.Waiting, c.Aborting, len(c.Blame))
}

func (v *Voter) outcome(ctx context.Context, s *Status) (*keygen.Certificate, error) {
	if !s.Succeeded() {
		return nil, fmt.Errorf("%w: %s; %s", ErrEnded, s.Ceremony.Outcome, s.Next)
	}
	line, err := v.line(ctx, s)
	if err != nil {
		return nil, err
	}
	c := line.Epoch(s.Ceremony.Epoch)
	if c == nil {
		return nil, fmt.Errorf("%w: %s says that the ceremony succeeded, and has no certificate of it", succession.ErrFalse, s.Node)
	}
	return c, nil
}

// AwaitShare waits until the home's node has stored this member's share of a committee,
// and checks it. A member that has none, because it leaves, is told ErrNoPart.
func AwaitShare(ctx context.Context, h *home.Home, c *keygen.Certificate) (path string, index uint32, err error) {
	path = h.ShareFile(c.Terms)
	for {
		index, err = CheckShare(h, path, c)
		switch {
		case err == nil:
			return path, index, nil
		case errors.Is(err, keygen.ErrNotMember):
			return "", 0, fmt.Errorf("%w: %w", ErrNoPart, err)
		}
		select {
		case <-ctx.Done():
			return "", 0, fmt.Errorf("%w; if this member's node runs in another home, name that with --home; else: scrim member recover", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
