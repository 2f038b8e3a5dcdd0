package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/threshold"
)

// LogCheckpoint is a tree head at which a block ended.
type LogCheckpoint struct {
	Size   uint64 // entries
	Root   commitreveal.Hash
	Height uint64 // of the block
}

// LogSignature is a signature line on the checkpoint of a size.
type LogSignature struct {
	Size uint64
	note.Signature
}

// rowReader is what reads need of a pool or a transaction.
type rowReader interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// checkpointRow computes the tree head after the block's entries from the hashes that the transaction has stored, so that
// what is signed is what the tiles give. ErrConflict if the batch's checkpoint says otherwise.
func (b *block) checkpointRow(ctx context.Context, tx pgx.Tx) (*LogCheckpoint, error) {
	if len(b.Records) == 0 {
		return nil, nil //nolint:nilnil // the log did not grow
	}
	size := b.Records[len(b.Records)-1].Index + 1
	root, err := tiles.Root(size, func(indexes []int64) ([]commitreveal.Hash, error) { return logHashes(ctx, tx, indexes) })
	if err != nil {
		return nil, err
	}
	if b.Batch != nil {
		if c := b.Batch.Batch.Checkpoint; c.LogSize != size || c.LogRoot != root {
			return nil, fmt.Errorf("%w: the log has %d entries with root %s, the batch's checkpoint says %d with root %s", ErrConflict, size, root, c.LogSize, c.LogRoot)
		}
	}
	return &LogCheckpoint{size, root, b.Height}, nil
}

// logHashes gives stored hashes by their index, in the order asked for.
func logHashes(ctx context.Context, db rowReader, indexes []int64) ([]commitreveal.Hash, error) {
	rows, err := db.Query(ctx, `SELECT index, hash FROM log_hashes WHERE index = ANY($1)`, indexes)
	if err != nil {
		return nil, fmt.Errorf("read log hashes: %w", err)
	}
	found := make(map[int64]commitreveal.Hash, len(indexes))
	var index int64
	var hash commitreveal.Hash
	_, err = pgx.ForEachRow(rows, []any{&index, fixed(hash[:])}, func() error {
		found[index] = hash
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read log hashes: %w", err)
	}
	out := make([]commitreveal.Hash, len(indexes))
	for i, index := range indexes {
		h, ok := found[index]
		if !ok {
			return nil, fmt.Errorf("log hash %d: %w", index, ErrNotFound)
		}
		out[i] = h
	}
	return out, nil
}

// LogCheckpoint gives the checkpoint of a size, 0 for the newest; ErrNotFound if no block ended there.
func (s *Store) LogCheckpoint(ctx context.Context, size uint64) (*LogCheckpoint, error) {
	c := new(LogCheckpoint)
	err := s.read.QueryRow(ctx, `SELECT size, root, height FROM log_checkpoints WHERE size = $1 OR $1 = 0 ORDER BY size DESC LIMIT 1`, size).
		Scan(&c.Size, fixed(c.Root[:]), &c.Height)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("log checkpoint of %d entries: %w", size, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read log checkpoint: %w", err)
	}
	return c, nil
}

// AddLogSignatures keeps signature lines. One by a key that has signed the size already adds nothing, and one for a size
// that is not here is left out.
func (s *Store) AddLogSignatures(ctx context.Context, lines []LogSignature) error {
	q := new(pgx.Batch)
	for _, l := range lines {
		q.Queue(`INSERT INTO log_signatures (size, name, key_id, data)
			SELECT size, $2, $3, $4 FROM log_checkpoints WHERE size = $1 ON CONFLICT DO NOTHING`, l.Size, l.Name, int64(l.KeyID), notNil(l.Data))
	}
	if err := s.write.SendBatch(ctx, q).Close(); err != nil {
		return fmt.Errorf("add log signatures: %w", err)
	}
	return nil
}

// LogSignatures gives the signature lines that were kept for the checkpoint of a size, by name and key id.
func (s *Store) LogSignatures(ctx context.Context, size uint64) ([]note.Signature, error) {
	rows, err := s.read.Query(ctx, `SELECT name, key_id, data FROM log_signatures WHERE size = $1 ORDER BY name, key_id LIMIT $2`, size, note.MaxSignatures-2)
	if err != nil {
		return nil, fmt.Errorf("read log signatures: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l note.Signature, err error) {
		var id int64
		err = row.Scan(&l.Name, &id, &l.Data)
		l.KeyID = uint32(id)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("read log signatures: %w", err)
	}
	return all, nil
}

// LogSignatureFrom gives the signature by a key on the smallest checkpoint that is not below size; ErrNotFound if there is none.
func (s *Store) LogSignatureFrom(ctx context.Context, size uint64, name string, id uint32) (*LogSignature, error) {
	l := &LogSignature{Signature: note.Signature{Name: name, KeyID: id}}
	err := s.read.QueryRow(ctx, `SELECT size, data FROM log_signatures WHERE size >= $1 AND name = $2 AND key_id = $3 ORDER BY size LIMIT 1`, size, name, int64(id)).
		Scan(&l.Size, &l.Data)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("log signature of %s from %d entries on: %w", name, size, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read log signature: %w", err)
	}
	return l, nil
}

// PruneLogSignatures deletes at most limit signature lines on checkpoints older than the newest keep ones, oldest first,
// and says how many it has. The newest line of every key stays, however old it is.
func (s *Store) PruneLogSignatures(ctx context.Context, keep, limit int) (deleted int, err error) {
	tag, err := s.write.Exec(ctx, `WITH newest AS (SELECT size FROM log_checkpoints ORDER BY size DESC OFFSET $1 LIMIT 1)
		DELETE FROM log_signatures WHERE (size, name, key_id) IN (
			SELECT s.size, s.name, s.key_id FROM newest JOIN log_signatures s ON s.size <= newest.size
			WHERE EXISTS (SELECT FROM log_signatures n WHERE n.name = s.name AND n.key_id = s.key_id AND n.size > s.size)
			ORDER BY s.size LIMIT $2)`, keep, limit)
	if err != nil {
		return 0, fmt.Errorf("prune log signatures: %w", err)
	}
	return int(tag.RowsAffected()), nil
}

// Certificates gives all ceremony certificates; there is one for each committee the chain had.
func (s *Store) Certificates(ctx context.Context) ([][]byte, error) {
	rows, err := s.read.Query(ctx, `SELECT body FROM certificates`)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	return all, nil
}

// BatchNamespaces gives the ids of the batch of a height, in order, and the namespace of each; ErrNotFound if the block ordered
// nothing.
func (s *Store) BatchNamespaces(ctx context.Context, height uint64) (ids []threshold.ID, namespaces []string, err error) {
	rows, err := s.read.Query(ctx, `SELECT id, namespace FROM ordered WHERE height = $1 ORDER BY position`, height)
	if err != nil {
		return nil, nil, fmt.Errorf("read namespaces: %w", err)
	}
	var id threshold.ID
	var name string
	_, err = pgx.ForEachRow(rows, []any{fixed(id[:]), &name}, func() error {
		ids, namespaces = append(ids, id), append(namespaces, name)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read namespaces: %w", err)
	}
	if len(ids) == 0 {
		return nil, nil, fmt.Errorf("batch %d: %w", height, ErrNotFound)
	}
	return ids, namespaces, nil
}

// LogTile gives the content of a tile; ErrNotFound if the log does not have all of it.
func (s *Store) LogTile(ctx context.Context, t tiles.Tile) ([]byte, error) {
	if t.Level == tiles.Entries {
		return s.entryTile(ctx, t)
	}
	indexes, err := t.HashIndexes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	hashes, err := logHashes(ctx, s.read, indexes)
	if err != nil {
		return nil, err
	}
	return tiles.AppendHashes(make([]byte, 0, len(hashes)*commitreveal.HashSize), hashes), nil
}

func (s *Store) entryTile(ctx context.Context, t tiles.Tile) ([]byte, error) {
	from, count := t.Range()
	rows, err := s.read.Query(ctx, `SELECT entry FROM log_entries WHERE index >= $1 AND index < $2 ORDER BY index`, from, from+uint64(count))
	if err != nil {
		return nil, fmt.Errorf("read log entries: %w", err)
	}
	entries, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("read log entries: %w", err)
	}
	if len(entries) != count { // indexes have no gaps
		return nil, fmt.Errorf("log entries %d to %d: %w", from, from+uint64(count)-1, ErrNotFound)
	}
	return tiles.AppendEntries(nil, entries)
}

// Certificate gives the ceremony certificate of a hash; ErrNotFound if no committee entry names it.
func (s *Store) Certificate(ctx context.Context, hash commitreveal.Hash) ([]byte, error) {
	return s.besideLog(ctx, "certificate", `SELECT body FROM certificates WHERE hash = $1`, hash)
}

// RecordedEvidence gives the evidence of a hash; ErrNotFound if no misbehaviour entry names it.
func (s *Store) RecordedEvidence(ctx context.Context, hash commitreveal.Hash) ([]byte, error) {
	return s.besideLog(ctx, "recorded evidence", `SELECT body FROM recorded_evidence WHERE hash = $1`, hash)
}

// besideLog reads a body that a log entry names by its hash.
func (s *Store) besideLog(ctx context.Context, what, query string, hash commitreveal.Hash) ([]byte, error) {
	var body []byte
	err := s.read.QueryRow(ctx, query, hash[:]).Scan(&body)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%s %s: %w", what, hash, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return body, nil
}

// OneEvidence gives the evidence of a number; ErrNotFound if there is none.
func (s *Store) OneEvidence(ctx context.Context, number uint64) (*Evidence, error) {
	e := new(Evidence)
	err := s.read.QueryRow(ctx, `SELECT number, kind, epoch, member, height, body FROM evidence WHERE number = $1`, number).
		Scan(&e.Number, &e.Kind, &e.Epoch, &e.Member, &e.Height, &e.Body)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("evidence %d: %w", number, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read evidence: %w", err)
	}
	return e, nil
}
