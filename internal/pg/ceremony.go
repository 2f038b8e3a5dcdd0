package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/scrimlabs/scrim/keygen"
)

// Ceremony is one that has ended, in short. CeremonyState has all of it.
type Ceremony struct {
	ID            [32]byte // hash of the terms
	Epoch         uint64
	Attempt       uint32
	Height        uint64 // of the block in which it ended
	Outcome       string // active, failed, aborted or rejected, as keygen.Phase spells it
	Change        string // as keygen.Change spells it
	PreviousEpoch uint64 // of the committee that hands over; 0: a first key
	Overlap       uint64 // rotation: blocks
	Threshold     uint32
	Members       uint32
	StartHeight   uint64
}

// endedRow is a ceremony that a block ended, with its canonical state.
type endedRow struct {
	Ceremony
	state []byte
}

func (b *block) addCeremonies() error {
	for _, s := range b.Ended {
		if !s.Done() {
			return fmt.Errorf("the ceremony %x, of which it says that it has ended, is %s", s.Ceremony(), s.Phase())
		}
		state, err := s.MarshalBinary()
		if err != nil {
			return err
		}
		b.ended = append(b.ended, endedRow{ceremonyOf(s, b.Height), state})
	}
	return nil
}

func ceremonyOf(s *keygen.State, height uint64) Ceremony {
	t := s.Terms()
	c := Ceremony{
		ID: s.Ceremony(), Epoch: t.Epoch, Attempt: t.Attempt, Height: height, Outcome: s.Phase().String(), Change: t.Change.String(),
		Overlap: t.Overlap, Threshold: uint32(t.Threshold), Members: uint32(len(t.Members)), StartHeight: t.StartHeight,
	}
	if t.Previous != nil {
		c.PreviousEpoch = t.Previous.Committee.Epoch
	}
	return c
}

// queue adds the ceremony's row to a block's.
func (c *endedRow) queue(q *pgx.Batch) {
	q.Queue(`INSERT INTO ceremonies (id, epoch, attempt, height, outcome, change, previous_epoch, overlap, threshold, members, start_height, state)
		VALUES ($1, $2, $3, $4, $5, $6, nullif($7::bigint, 0), $8, $9, $10, $11, $12)`,
		c.ID[:], c.Epoch, c.Attempt, c.Height, c.Outcome, c.Change, c.PreviousEpoch, c.Overlap, c.Threshold, c.Members, c.StartHeight, c.state)
}

const ceremonyColumns = `id, epoch, attempt, height, outcome, change, coalesce(previous_epoch, 0), overlap, threshold, members, start_height`

func scanCeremony(row pgx.CollectableRow) (c Ceremony, err error) {
	err = row.Scan(fixed(c.ID[:]), &c.Epoch, &c.Attempt, &c.Height, &c.Outcome, &c.Change, &c.PreviousEpoch, &c.Overlap, &c.Threshold, &c.Members, &c.StartHeight)
	return c, err
}

const ceremoniesQuery = `SELECT ` + ceremonyColumns + ` FROM ceremonies
WHERE (epoch, attempt) < ($1, $2) ORDER BY epoch DESC, attempt DESC LIMIT $3`

// Ceremonies gives those that have ended, newest first: the ones before an attempt at an
// epoch, or all if the attempt is 0. limit: see [MaxPage]; a page is the last one if it is
// shorter.
func (s *Store) Ceremonies(ctx context.Context, epoch uint64, attempt uint32, limit int) ([]Ceremony, error) {
	if attempt == 0 {
		epoch = maxHeight
	}
	rows, err := s.read.Query(ctx, ceremoniesQuery, min(epoch, maxHeight), attempt, pageLimit(limit))
	if err != nil {
		return nil, fmt.Errorf("read ceremonies: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanCeremony)
	if err != nil {
		return nil, fmt.Errorf("read ceremonies: %w", err)
	}
	return all, nil
}

// Ceremony gives one that has ended, by the hash of its terms; else ErrNotFound.
func (s *Store) Ceremony(ctx context.Context, id [32]byte) (*Ceremony, error) {
	rows, err := s.read.Query(ctx, `SELECT `+ceremonyColumns+` FROM ceremonies WHERE id = $1`, id[:])
	if err != nil {
		return nil, fmt.Errorf("read ceremony: %w", err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanCeremony)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("ceremony %x: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read ceremony: %w", err)
	}
	return &c, nil
}

// CeremonyState gives the canonical state of a ceremony that has ended, as keygen.ParseState
// reads it: all that was said, and who is to blame. ErrNotFound if there is none with the
// hash of the terms.
func (s *Store) CeremonyState(ctx context.Context, id [32]byte) (state []byte, err error) {
	err = s.read.QueryRow(ctx, `SELECT state FROM ceremonies WHERE id = $1`, id[:]).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("ceremony %x: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read ceremony: %w", err)
	}
	return state, nil
}
