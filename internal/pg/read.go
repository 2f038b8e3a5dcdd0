package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/threshold"
)

// transactionColumns is what scanTransaction reads, of the tables ordered o, openings p,
// batches b and received r. Each query adds the ciphertext, or none.
const transactionColumns = `
	coalesce(o.id, r.id), coalesce(o.namespace, r.namespace), coalesce(o.valid_until, r.valid_until),
	coalesce(o.height, 0), coalesce(o.position, 0),
	coalesce(b.reveal_height, 0), p.opening, coalesce(p.place, 0), coalesce(p.void, false), p.plaintext,
	coalesce(r.position, 0), coalesce(r.received_at, 0), r.head, coalesce(r.epoch, 0), coalesce(r.member, 0),
	coalesce((SELECT code FROM dropped d WHERE d.id = r.id), ''), ` + timeColumns

// timeColumns are what scanning a Times reads, of the table batches b.
const timeColumns = `
	coalesce((SELECT header_time FROM blocks WHERE height = b.height), 0),
	coalesce((SELECT header_time FROM blocks WHERE height = b.height + 1), 0),
	coalesce((SELECT header_time FROM blocks WHERE height = b.reveal_height + 1), 0)`

func scanTransaction(row pgx.CollectableRow) (Transaction, error) {
	var t Transaction
	var r Received
	opening, head := optional{dst: t.Opening[:]}, optional{dst: r.Head[:]}
	err := row.Scan(fixed(t.ID[:]), &t.Namespace, &t.ValidUntil, &t.Height, &t.Position,
		&t.RevealHeight, &opening, &t.Place, &t.Void, &t.Plaintext, &r.Position, &r.Time, &head, &r.Epoch, &r.Member, &t.Dropped,
		&t.Header, &t.Ordered, &t.Recorded, &t.Ciphertext)
	if err != nil {
		return t, err
	}
	t.Revealed = opening.set
	if head.set {
		r.ID, r.Namespace, r.ValidUntil = t.ID, t.Namespace, t.ValidUntil
		t.Received = &r
	}
	return t, nil
}

const transactionQuery = `SELECT ` + transactionColumns + `, coalesce(o.ciphertext, i.ciphertext)
FROM (SELECT $1::bytea AS id) k
	LEFT JOIN ordered o ON o.id = k.id
	LEFT JOIN openings p ON p.height = o.height AND p.position = o.position
	LEFT JOIN batches b ON b.height = o.height
	LEFT JOIN received r ON r.id = k.id
	LEFT JOIN inbox i ON i.id = k.id
WHERE o.id IS NOT NULL OR r.id IS NOT NULL`

// Transaction gives what is known about an id that was received here or ordered;
// else ErrNotFound.
func (s *Store) Transaction(ctx context.Context, id threshold.ID) (*Transaction, error) {
	rows, err := s.read.Query(ctx, transactionQuery, id[:])
	if err != nil {
		return nil, fmt.Errorf("read transaction: %w", err)
	}
	t, err := pgx.CollectExactlyOneRow(rows, scanTransaction)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("transaction %x: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read transaction: %w", err)
	}
	return &t, nil
}

const batchTransactionsQuery = `SELECT ` + transactionColumns + `, o.ciphertext
FROM ordered o
	JOIN batches b ON b.height = o.height
	LEFT JOIN openings p ON p.height = o.height AND p.position = o.position
	LEFT JOIN received r ON r.id = o.id
WHERE o.height = $1 ORDER BY o.position`

// BatchTransactions gives the transactions of the batch of that height, in order;
// ErrNotFound if the block ordered nothing.
func (s *Store) BatchTransactions(ctx context.Context, height uint64) ([]Transaction, error) {
	all, err := s.transactions(ctx, batchTransactionsQuery, height)
	if err != nil {
		return nil, fmt.Errorf("read batch %d: %w", height, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("batch %d: %w", height, ErrNotFound)
	}
	return all, nil
}

func (s *Store) transactions(ctx context.Context, query string, args ...any) ([]Transaction, error) {
	rows, err := s.read.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanTransaction)
}

// The stream ends before the first batch that is not revealed, although batches are
// revealed in order, so that a reader can never skip one.
const streamQuery = `
SELECT o.id, o.namespace, o.valid_until, o.height, o.position, o.reveal_height, o.opening, o.place, o.void, o.plaintext,
	coalesce(r.position, 0), coalesce(r.received_at, 0), r.head, coalesce(r.epoch, 0), coalesce(r.member, 0), '', 0, 0, 0, NULL::bytea
FROM (
	SELECT o.*, (SELECT reveal_height FROM batches b WHERE b.height = o.height), coalesce(octet_length(o.plaintext), 0) AS size,
		sum(coalesce(octet_length(o.plaintext), 0)) OVER (ORDER BY o.height, o.place) AS bytes
	FROM (
		SELECT o.id, o.namespace, o.valid_until, o.height, o.position, p.place, p.opening, p.void, p.plaintext
		FROM ordered o JOIN openings p ON p.height = o.height AND p.position = o.position
		WHERE o.namespace = $1 AND o.height >= $2 AND (o.height > $2 OR p.place > $3)
			AND o.height < coalesce((SELECT min(height) FROM batches WHERE reveal_height IS NULL), 9223372036854775807)
		ORDER BY o.height, p.place LIMIT $4
	) o
) o LEFT JOIN received r ON r.id = o.id
WHERE o.bytes - o.size < $5 ORDER BY o.height, o.place`

// Stream gives the revealed transactions of a namespace in the order of the chain,
// beginning after (afterHeight, afterPlace); (0, 0) is the beginning. It ends before the
// first batch that is not revealed yet. limit: see [MaxPage]; a page is the last one for
// now only when it is empty.
func (s *Store) Stream(ctx context.Context, namespace string, afterHeight uint64, afterPlace uint32, limit int) ([]Transaction, error) {
	all, err := s.transactions(ctx, streamQuery, namespace, afterHeight, afterPlace, pageLimit(limit), pageBytes)
	if err != nil {
		return nil, fmt.Errorf("read stream of %s: %w", namespace, err)
	}
	return all, nil
}

const batchColumns = `b.height, b.epoch, b.root, b.checkpoint,
	coalesce(b.reveal_height, 0), b.certificate, coalesce(b.voids, 0),
	EXISTS (SELECT FROM share_guard g WHERE g.height = b.height), ` + timeColumns + `,
	ARRAY(SELECT o.id FROM ordered o WHERE o.height = b.height ORDER BY o.position)`

func scanBatch(row pgx.CollectableRow) (BatchInfo, error) {
	var b BatchInfo
	var checkpoint []byte
	var sharing bool
	var ids [][]byte
	certificate := optional{dst: b.Certificate[:]}
	err := row.Scan(&b.Height, &b.Epoch, fixed(b.Root[:]), &checkpoint,
		&b.RevealHeight, &certificate, &b.Voids, &sharing, &b.Header, &b.Ordered, &b.Recorded, &ids)
	if err != nil {
		return b, err
	}
	c, err := commitreveal.ParseCheckpoint(checkpoint)
	if err != nil {
		return b, err
	}
	b.Checkpoint = *c
	b.IDs = make([]threshold.ID, len(ids))
	for i, id := range ids {
		if err := fixed(b.IDs[i][:]).ScanBytes(id); err != nil {
			return b, err
		}
	}
	b.Phase = phase(certificate.set, sharing)
	return b, nil
}

// phase follows from what is there; see the table batches.
func phase(revealed, sharing bool) commitreveal.Phase {
	switch {
	case revealed:
		return commitreveal.Revealed
	case sharing:
		return commitreveal.Sharing
	}
	return commitreveal.Committed
}

// Batch gives the batch of that height; ErrNotFound if the block ordered nothing.
func (s *Store) Batch(ctx context.Context, height uint64) (*BatchInfo, error) {
	rows, err := s.read.Query(ctx, `SELECT `+batchColumns+` FROM batches b WHERE height = $1`, height)
	if err != nil {
		return nil, fmt.Errorf("read batch %d: %w", height, err)
	}
	b, err := pgx.CollectExactlyOneRow(rows, scanBatch)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("batch %d: %w", height, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read batch %d: %w", height, err)
	}
	return &b, nil
}

const batchesQuery = `SELECT ` + batchColumns + ` FROM (
	SELECT *, sum(size) OVER (ORDER BY height DESC) AS ids FROM (
		SELECT * FROM batches WHERE $1 = 0 OR height < $1 ORDER BY height DESC LIMIT $2
	) newest
) b WHERE ids - size < $3 ORDER BY height DESC`

// Batches gives batches below the height before (0: all), newest first. limit: see
// [MaxPage]; a page is the last one only when it is empty.
func (s *Store) Batches(ctx context.Context, before uint64, limit int) ([]BatchInfo, error) {
	rows, err := s.read.Query(ctx, batchesQuery, before, pageLimit(limit), pageIDs)
	if err != nil {
		return nil, fmt.Errorf("read batches: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanBatch)
	if err != nil {
		return nil, fmt.Errorf("read batches: %w", err)
	}
	return all, nil
}

const logEntriesQuery = `
SELECT index, entry FROM (
	SELECT *, sum(octet_length(entry)) OVER (ORDER BY index) AS bytes
	FROM (SELECT index, entry FROM log_entries WHERE index >= $1 ORDER BY index LIMIT $2) e
) page WHERE bytes - octet_length(entry) < $3 ORDER BY index`

// LogEntries gives the entries of the commit-reveal log from index from on. limit:
// see [MaxPage]; a page is the last one only when it is empty.
func (s *Store) LogEntries(ctx context.Context, from uint64, limit int) ([]LogEntry, error) {
	rows, err := s.read.Query(ctx, logEntriesQuery, from, pageLimit(limit), pageBytes)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LogEntry])
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return all, nil
}

// LogHashes gives stored hashes of the log's tree by their tlog index, in the order asked
// for; ErrNotFound if one is not there. It is a tlog.HashReader's source for proofs.
func (s *Store) LogHashes(ctx context.Context, indexes []int64) ([]commitreveal.Hash, error) {
	return logHashes(ctx, s.read, indexes)
}

// Counts gives how many ciphertexts were received here, and how many the chain has ordered,
// revealed (void ones included) and found void.
func (s *Store) Counts(ctx context.Context) (received, ordered, revealed, void uint64, err error) {
	err = s.read.QueryRow(ctx, `SELECT coalesce((SELECT max(position) FROM received), 0),
		coalesce(max(ordered), 0), coalesce(max(revealed), 0), coalesce(max(voids), 0) FROM chain`).
		Scan(&received, &ordered, &revealed, &void)
	if err != nil {
		err = fmt.Errorf("count: %w", err)
	}
	return received, ordered, revealed, void, err
}
