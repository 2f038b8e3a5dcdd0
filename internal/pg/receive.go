package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// receiveLock is the advisory lock of whoever appends to the receive log.
const receiveLock = 0x7363_7269_6d_01 // "scrim", 1

// Receive appends the ciphertexts to the receive log, all in one transaction, and gives the
// entry of each. An id that is there already, or comes twice, gets its one entry with the time and
// head it had, and as whom it was received then. now is Unix milliseconds.
//
// Callers may be concurrent: positions stay gapless and the heads one chain.
// Under load, hand over many at once.
func (s *Store) Receive(ctx context.Context, now int64, as []Receiver, cts []*threshold.Ciphertext) ([]Received, error) {
	if len(as) != len(cts) {
		return nil, fmt.Errorf("%w: %d receivers of %d ciphertexts", ErrInvalid, len(as), len(cts))
	}
	if len(cts) == 0 {
		return nil, nil
	}
	var entries map[threshold.ID]Received
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		entries, err = appendReceived(ctx, tx, now, as, cts)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("receive %d ciphertexts: %w", len(cts), err)
	}
	out := make([]Received, len(cts))
	for i, ct := range cts {
		out[i] = entries[ct.ID()]
		out[i].Ciphertext = ct.Bytes() // the id is the hash of the bytes
	}
	return out, nil
}

func appendReceived(ctx context.Context, tx pgx.Tx, now int64, as []Receiver, cts []*threshold.Ciphertext) (map[threshold.ID]Received, error) {
	ids := make([][]byte, len(cts))
	for i, ct := range cts {
		id := ct.ID()
		ids[i] = id[:]
	}
	last, entries, err := lockReceived(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	var fresh receivedColumns
	for i, ct := range cts {
		id := ct.ID()
		if _, known := entries[id]; known {
			continue
		}
		if as[i].Member == 0 {
			return nil, fmt.Errorf("%w: %x is received by no member", ErrInvalid, id)
		}
		h := ct.Header()
		if h.ValidUntil > maxHeight {
			return nil, fmt.Errorf("%w: %x is valid until %d", ErrInvalid, id, h.ValidUntil)
		}
		last = Received{
			Position: last.Position + 1, ID: id, Namespace: h.Namespace, ValidUntil: h.ValidUntil,
			Time: now, Head: commitreveal.NextHead(last.Head, id), Receiver: as[i],
		}
		entries[id] = last
		fresh.add(last, ct.Bytes())
	}
	return entries, fresh.insert(ctx, tx)
}

// lockReceived makes this transaction the only one that appends, and reads the last
// entry of the log and those of ids.
func lockReceived(ctx context.Context, tx pgx.Tx, ids [][]byte) (last Received, known map[threshold.ID]Received, err error) {
	known = make(map[threshold.ID]Received, len(ids))
	q := new(pgx.Batch)
	q.Queue(`SELECT pg_advisory_xact_lock($1)`, int64(receiveLock))
	q.Queue(`SELECT position, head FROM (
			(SELECT position, head FROM received ORDER BY position DESC LIMIT 1) UNION ALL
			(SELECT position, head FROM receive_base ORDER BY position DESC LIMIT 1)
		) l ORDER BY position DESC LIMIT 1`).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&last.Position, fixed(last.Head[:]))
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // the log is empty: position 0, head zero
		}
		return err
	})
	q.Queue(`SELECT position, id, namespace, valid_until, received_at, head, epoch, member FROM received WHERE id = ANY($1)`, ids).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var r Received
			if err := rows.Scan(&r.Position, fixed(r.ID[:]), &r.Namespace, &r.ValidUntil, &r.Time, fixed(r.Head[:]), &r.Epoch, &r.Member); err != nil {
				return err
			}
			known[r.ID] = r
		}
		return rows.Err()
	})
	return last, known, tx.SendBatch(ctx, q).Close()
}

// receivedColumns are new entries, turned for unnest: for a few rows that is fewer
// round trips than COPY.
type receivedColumns struct {
	positions, validUntil, times []int64
	epochs, members              []int64
	ids, heads, bodies           [][]byte
	namespaces                   []string
}

func (c *receivedColumns) add(r Received, body []byte) {
	c.positions = append(c.positions, int64(r.Position))
	c.validUntil = append(c.validUntil, int64(r.ValidUntil))
	c.times = append(c.times, r.Time)
	c.epochs = append(c.epochs, int64(r.Epoch))
	c.members = append(c.members, int64(r.Member))
	c.ids = append(c.ids, r.ID[:])
	c.heads = append(c.heads, r.Head[:])
	c.bodies = append(c.bodies, body)
	c.namespaces = append(c.namespaces, r.Namespace)
}

func (c *receivedColumns) insert(ctx context.Context, tx pgx.Tx) error {
	if len(c.ids) == 0 {
		return nil
	}
	q := new(pgx.Batch)
	q.Queue(`INSERT INTO received (position, id, namespace, valid_until, received_at, head, epoch, member)
		SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bigint[], $8::bigint[])`,
		c.positions, c.ids, c.namespaces, c.validUntil, c.times, c.heads, c.epochs, c.members)
	q.Queue(`INSERT INTO inbox (position, id, valid_until, ciphertext)
		SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bytea[])`,
		c.positions, c.ids, c.validUntil, c.bodies)
	return tx.SendBatch(ctx, q).Close()
}

// Waiting gives, by position and beginning after the position after, what was received
// here, was not ordered yet and may still be ordered at height. limit: see [MaxPage];
// a page is the last one only when it is empty.
func (s *Store) Waiting(ctx context.Context, height, after uint64, limit int) ([]Received, error) {
	rows, err := s.read.Query(ctx, waitingQuery, height, after, pageLimit(limit), pageBytes)
	if err != nil {
		return nil, fmt.Errorf("read waiting: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Received, err error) {
		err = row.Scan(&r.Position, fixed(r.ID[:]), &r.Namespace, &r.ValidUntil, &r.Time, fixed(r.Head[:]), &r.Epoch, &r.Member, &r.Ciphertext)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read waiting: %w", err)
	}
	return all, nil
}

// What arrives here after it was ordered elsewhere stays in the inbox until it expires,
// hence the look into ordered: one by one as the page fills, which NOT EXISTS would not do.
const waitingQuery = `
SELECT position, id, namespace, valid_until, received_at, head, epoch, member, ciphertext FROM (
	SELECT r.*, i.ciphertext, sum(octet_length(i.ciphertext)) OVER (ORDER BY i.position) AS bytes
	FROM (
		SELECT position, ciphertext FROM inbox
		WHERE position > $2 AND valid_until >= $1 AND (SELECT true FROM ordered o WHERE o.id = inbox.id) IS NULL
		ORDER BY position LIMIT $3
	) i JOIN received r USING (position)
) page WHERE bytes - octet_length(ciphertext) < $4 ORDER BY position`
