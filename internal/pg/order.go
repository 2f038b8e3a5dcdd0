package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// writeRound queues what the block said and decided for the order.
func (b *block) writeRound(q *pgx.Batch) {
	if b.frames != nil {
		q.Queue(`INSERT INTO frames (height, frames) VALUES ($1, $2)`, b.Height, b.frames)
	}
	if r := b.Round; r != nil {
		aside := make([][]byte, len(r.Aside))
		copy(aside, r.Aside)
		q.Queue(`INSERT INTO rounds (height, section, aside) VALUES ($1, $2, $3)`, b.Height, r.Section, aside)
	}
	var gone [][]byte
	for _, d := range b.Dropped { // twice, if logs bring it again when it is no longer remembered
		gone = append(gone, d.ID[:])
		q.Queue(`INSERT INTO dropped (id, height, valid_until, code) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, d.ID[:], b.Height, d.ValidUntil, d.Code)
	}
	for _, id := range b.Forgotten {
		gone = append(gone, id[:])
	}
	if len(gone) > 0 {
		q.Queue(`DELETE FROM inbox WHERE id = ANY($1)`, gone)
	}
	// A ciphertext that can no longer be ordered must never be opened either: not keeping it means that no later loss of
	// the key can open it. Who orders an id must show its body, so it stays while the id may still be decided.
	q.Queue(`DELETE FROM inbox WHERE valid_until <= $1`, int64(b.Height)-int64(b.Grace))
}

// Rounds gives what blocks said for the order, of heights above after and up to last, oldest first. limit: see [MaxPage];
// a page is the last one only when it is empty.
func (s *Store) Rounds(ctx context.Context, after, last uint64, limit int) ([]ordering.Round, error) {
	rows, err := s.read.Query(ctx, `
SELECT height, section, aside FROM (
	SELECT *, sum(coalesce(octet_length(section), 0)) OVER (ORDER BY height) AS bytes
	FROM (SELECT height, section, aside FROM rounds WHERE height > $1 AND height <= $2 ORDER BY height LIMIT $3) r
) page WHERE bytes - coalesce(octet_length(section), 0) < $4 ORDER BY height`, after, last, pageLimit(limit), pageBytes)
	if err != nil {
		return nil, fmt.Errorf("read rounds: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r ordering.Round, err error) {
		err = row.Scan(&r.Height, &r.Section, &r.Aside)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read rounds: %w", err)
	}
	return all, nil
}

// mentionBytes bounds the sections that Mentions looks through for one page.
var mentionBytes = 4 << 20

// Mentions gives, newest first, those rounds of heights up to last whose sections have one of the ids, without what is aside. It
// looks through a page of rounds, at most limit (see [MaxPage]) and some megabytes, and says where that ended: the next
// page is up to rest, and there is none if that is 0. A section may also be given because its bytes happen to be an id's.
func (s *Store) Mentions(ctx context.Context, ids []threshold.ID, last uint64, limit int) (found []ordering.Round, rest uint64, err error) {
	keys := make([][]byte, len(ids))
	for i := range ids {
		keys[i] = ids[i][:]
	}
	rows, err := s.read.Query(ctx, `
SELECT height, CASE WHEN EXISTS (SELECT FROM unnest($1::bytea[]) id WHERE position(id IN section) > 0) THEN section END FROM (
	SELECT *, sum(coalesce(octet_length(section), 0)) OVER (ORDER BY height DESC) AS bytes
	FROM (SELECT height, section FROM rounds WHERE height <= $2 ORDER BY height DESC LIMIT $3) r
) page WHERE bytes - coalesce(octet_length(section), 0) < $4 ORDER BY height DESC`, keys, min(last, maxHeight), pageLimit(limit), mentionBytes)
	if err != nil {
		return nil, 0, fmt.Errorf("search rounds: %w", err)
	}
	var r ordering.Round
	_, err = pgx.ForEachRow(rows, []any{&r.Height, &r.Section}, func() error {
		rest = r.Height - 1
		if r.Section != nil {
			found = append(found, r)
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("search rounds: %w", err)
	}
	return found, rest, nil
}

// Frames gives what the receive logs said about the batch of that height; ErrNotFound if the block ordered nothing.
func (s *Store) Frames(ctx context.Context, height uint64) (frames []byte, err error) {
	err = s.read.QueryRow(ctx, `SELECT frames FROM frames WHERE height = $1`, height).Scan(&frames)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("frames of batch %d: %w", height, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read frames: %w", err)
	}
	return frames, nil
}

// ReceivedAfter gives the entries of the receive log after a position, in order, without their ciphertexts. limit: see
// [MaxPage]; a page is the last one only when it is empty.
func (s *Store) ReceivedAfter(ctx context.Context, after uint64, limit int) ([]Received, error) {
	rows, err := s.read.Query(ctx, `SELECT position, id, namespace, valid_until, received_at, head FROM received
		WHERE position > $1 ORDER BY position LIMIT $2`, after, pageLimit(limit))
	if err != nil {
		return nil, fmt.Errorf("read receive log: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Received, err error) {
		err = row.Scan(&r.Position, fixed(r.ID[:]), &r.Namespace, &r.ValidUntil, &r.Time, fixed(r.Head[:]))
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read receive log: %w", err)
	}
	return all, nil
}

// ReceiveHead gives the head of the receive log after a position; ErrNotFound if the log never was so long, or lost that part.
// Position 0 is always there.
func (s *Store) ReceiveHead(ctx context.Context, position uint64) (head commitreveal.Hash, err error) {
	if position == 0 {
		return head, nil
	}
	err = s.read.QueryRow(ctx, `SELECT head FROM received WHERE position = $1 UNION ALL SELECT head FROM receive_base WHERE position = $1`, position).
		Scan(fixed(head[:]))
	if errors.Is(err, pgx.ErrNoRows) {
		return head, fmt.Errorf("receive log, position %d: %w", position, ErrNotFound)
	}
	if err != nil {
		return head, fmt.Errorf("read receive log: %w", err)
	}
	return head, nil
}

// ResumeLog lets a receive log that was lost go on where the chain has committed it. ErrConflict if it is that long already.
func (s *Store) ResumeLog(ctx context.Context, position uint64, head commitreveal.Hash) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		last, _, err := lockReceived(ctx, tx, nil)
		if err != nil {
			return err
		}
		if last.Position >= position {
			return fmt.Errorf("%w: the receive log has %d entries", ErrConflict, last.Position)
		}
		_, err = tx.Exec(ctx, `INSERT INTO receive_base (position, head) VALUES ($1, $2)`, position, head[:])
		return err
	})
	if err != nil {
		return fmt.Errorf("resume receive log at %d: %w", position, err)
	}
	return nil
}

// SettleReceived returns when no append to the receive log is under way, also none whose answer was lost: after it, the log has
// all that earlier calls of Receive ever bring.
func (s *Store) SettleReceived(ctx context.Context) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(receiveLock))
		return err
	})
	if err != nil {
		return fmt.Errorf("settle receive log: %w", err)
	}
	return nil
}

// ReserveTime makes durable that this member may promise of its receive log whatever is up to this time, in milliseconds since
// 1970. An earlier time than before changes nothing.
func (s *Store) ReserveTime(ctx context.Context, until uint64) error {
	_, err := s.write.Exec(ctx, `INSERT INTO receive_clock (until) VALUES ($1)
		ON CONFLICT (one) DO UPDATE SET until = excluded.until WHERE receive_clock.until < excluded.until`, until)
	if err != nil {
		return fmt.Errorf("reserve time: %w", err)
	}
	return nil
}

// ReservedTime is the latest time of ReserveTime, 0 if there is none.
func (s *Store) ReservedTime(ctx context.Context) (until uint64, err error) {
	err = s.read.QueryRow(ctx, `SELECT until FROM receive_clock`).Scan(&until)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read reserved time: %w", err)
	}
	return until, nil
}

// Bodies gives the ciphertexts with these ids that were received here and are not ordered yet, as many as fit a page, in no order.
func (s *Store) Bodies(ctx context.Context, ids []threshold.ID) ([][]byte, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	keys := make([][]byte, len(ids))
	for i := range ids {
		keys[i] = ids[i][:]
	}
	rows, err := s.read.Query(ctx, `SELECT ciphertext FROM inbox WHERE id = ANY($1)`, keys)
	if err != nil {
		return nil, fmt.Errorf("read bodies: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("read bodies: %w", err)
	}
	return all, nil
}
