package pg

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/scrimlabs/scrim/commitreveal"
)

// RecordShare is the share guard: it makes durable that this member lets its share
// of the batch (epoch, height, root) go. The same batch again is no error. ErrGuard if another
// root or epoch was recorded for the height, or if no such batch is committed here;
// then the share must not leave.
func (s *Store) RecordShare(ctx context.Context, epoch, height uint64, root commitreveal.Hash) error {
	_, err := s.write.Exec(ctx, `INSERT INTO share_guard (height, epoch, root)
		SELECT height, epoch, root FROM batches WHERE height = $1 AND epoch = $2 AND root = $3
		ON CONFLICT DO NOTHING`, height, epoch, root[:])
	if err != nil {
		return fmt.Errorf("record share of batch %d: %w", height, err)
	}
	// Its own statement, so that it sees a row that the insert had to wait for.
	var haveEpoch uint64
	var have commitreveal.Hash
	err = s.write.QueryRow(ctx, `SELECT epoch, root FROM share_guard WHERE height = $1`, height).Scan(&haveEpoch, fixed(have[:]))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%w: no batch of height %d and epoch %d with root %s is committed", ErrGuard, height, epoch, root)
	case err != nil:
		return fmt.Errorf("record share of batch %d: %w", height, err)
	case haveEpoch != epoch || have != root:
		return fmt.Errorf("%w: the share of height %d went out for root %s of epoch %d, and never goes out for root %s of epoch %d",
			ErrGuard, height, have, haveEpoch, root, epoch)
	}
	return nil
}

// AddEvidence keeps something that a member signed and should not have. The same
// kind and body again is no error and adds nothing. The number is the database's.
func (s *Store) AddEvidence(ctx context.Context, e Evidence) error {
	hash := sha256.Sum256(e.Body)
	_, err := s.write.Exec(ctx, `INSERT INTO evidence (kind, epoch, member, height, hash, body) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		e.Kind, e.Epoch, e.Member, e.Height, hash[:], notNil(e.Body))
	if err != nil {
		return fmt.Errorf("add evidence: %w", err)
	}
	return nil
}

// Accusation is what evidence is about, without the evidence.
type Accusation struct {
	Kind   string
	Epoch  uint64
	Member uint32
}

// Accusations gives what the evidence with a number above after is about, each once, of epochs from the given one on; upTo is the
// highest number that there was.
func (s *Store) Accusations(ctx context.Context, after, epoch uint64) (all []Accusation, upTo uint64, err error) {
	rows, err := s.read.Query(ctx, `SELECT kind, epoch, member, max(number) FROM evidence
		WHERE number > $1 AND epoch >= $2 GROUP BY epoch, member, kind ORDER BY epoch, member, kind`, after, epoch)
	if err != nil {
		return nil, 0, fmt.Errorf("read accusations: %w", err)
	}
	upTo = after
	var a Accusation
	var number uint64
	_, err = pgx.ForEachRow(rows, []any{&a.Kind, &a.Epoch, &a.Member, &number}, func() error {
		all, upTo = append(all, a), max(upTo, number)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read accusations: %w", err)
	}
	return all, upTo, nil
}

// NextEvidence gives the oldest evidence about something with a number above after; ErrNotFound if there is none.
func (s *Store) NextEvidence(ctx context.Context, a Accusation, after uint64) (*Evidence, error) {
	e := &Evidence{Kind: a.Kind, Epoch: a.Epoch, Member: a.Member}
	err := s.read.QueryRow(ctx, `SELECT number, height, body FROM evidence
		WHERE epoch = $1 AND member = $2 AND kind = $3 AND number > $4 ORDER BY number LIMIT 1`, a.Epoch, a.Member, a.Kind, after).
		Scan(&e.Number, &e.Height, &e.Body)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("evidence of %s: %w", a.Kind, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	return e, nil
}

// Evidence gives the evidence whose number is above after, oldest first. limit: see [MaxPage].
func (s *Store) Evidence(ctx context.Context, after uint64, limit int) ([]Evidence, error) {
	rows, err := s.read.Query(ctx, `
SELECT number, kind, epoch, member, height, body FROM (
	SELECT *, sum(octet_length(body)) OVER (ORDER BY number) AS bytes
	FROM (SELECT number, kind, epoch, member, height, body FROM evidence WHERE number > $1 ORDER BY number LIMIT $2) e
) page WHERE bytes - octet_length(body) < $3 ORDER BY number`, after, pageLimit(limit), pageBytes)
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Evidence, err error) {
		err = row.Scan(&e.Number, &e.Kind, &e.Epoch, &e.Member, &e.Height, &e.Body)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	return all, nil
}
