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
