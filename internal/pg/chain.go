package pg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

// Chain gives the chain and its state after the last committed block; ErrEmpty if
// InitChain has not been called.
func (s *Store) Chain(ctx context.Context) (*Chain, error) {
	c := new(Chain)
	err := s.write.QueryRow(ctx, `SELECT chain_id, genesis_hash, height, app_hash, snapshot, ceremony FROM chain`).
		Scan(&c.ChainID, fixed(c.GenesisHash[:]), &c.Height, fixed(c.AppHash[:]), &c.Snapshot, &c.Ceremony)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrEmpty
	}
	if err != nil {
		return nil, fmt.Errorf("read chain: %w", err)
	}
	return c, nil
}

// InitChain makes the database this chain's. Height is the one before the first
// block. Doing it again with the same values is harmless until a block is
// committed. ErrForeignChain if the database is another chain's, ErrConflict if the
// same chain is there already, in another state.
func (s *Store) InitChain(ctx context.Context, c Chain) error {
	_, err := s.write.Exec(ctx, `INSERT INTO chain (chain_id, genesis_hash, height, app_hash, snapshot, ceremony)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, c.ChainID, c.GenesisHash[:], c.Height, c.AppHash[:], notNil(c.Snapshot), notNil(c.Ceremony))
	if err != nil {
		return fmt.Errorf("init chain: %w", err)
	}
	have, err := s.Chain(ctx)
	if err != nil {
		return fmt.Errorf("init chain: %w", err)
	}
	haveID, wantID := Identity{have.ChainID, have.GenesisHash}, Identity{c.ChainID, c.GenesisHash}
	if haveID != wantID {
		return &ForeignChainError{Have: haveID, Want: wantID}
	}
	if have.Height != c.Height || have.AppHash != c.AppHash || !bytes.Equal(have.Snapshot, c.Snapshot) || !bytes.Equal(have.Ceremony, c.Ceremony) {
		return fmt.Errorf("%w: init chain %s: the database is at height %d already; a node whose CometBFT data was lost needs an empty database, to replay into",
			ErrConflict, c.ChainID, have.Height)
	}
	return nil
}

// CommitBlock stores everything that a block changed, in one transaction. A block
// that is there already, with the same app hash, is no error, so a caller whose COMMIT's
// answer was lost calls again. ErrGap if the block is not the next, ErrConflict if another block
// of its height is there or its log records or reveals do not fit, ErrEmpty before InitChain.
func (s *Store) CommitBlock(ctx context.Context, r *ordering.Result) error {
	return s.CommitBlockAt(ctx, r, 0)
}

// CommitBlockAt is CommitBlock with the time in the block's header, Unix milliseconds, 0 if it is unknown. The time is for
// people: nothing that is signed or hashed depends on it, so it is no part of the result.
func (s *Store) CommitBlockAt(ctx context.Context, r *ordering.Result, at int64) error {
	b, err := newBlock(r)
	if err != nil {
		return err
	}
	b.at = max(0, at)
	err = s.inTx(ctx, func(tx pgx.Tx) error { return b.write(ctx, tx) })
	if errors.Is(err, errNotNext) {
		return s.explainNotNext(ctx, b)
	}
	if err != nil {
		return fmt.Errorf("commit block %d: %w", r.Height, classify(err))
	}
	return nil
}

// classify marks what the database's own rules refuse, an id that comes twice, say:
// trying again is of no use then.
func classify(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (strings.HasPrefix(pg.Code, "23") || strings.HasPrefix(pg.Code, "22")) {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

// errNotNext: the guarded update of the chain's row found it elsewhere.
var errNotNext = errors.New("not the next block")

// maxHeight is the largest height that a bigint holds.
const maxHeight = math.MaxInt64

// block is a Result as rows.
type block struct {
	*ordering.Result
	at         int64    // header time, Unix milliseconds; 0 if unknown
	checkpoint []byte   // of the batch
	frames     []byte   // of the batch
	ids        [][]byte // that are ordered
	ordered    [][]any
	openings   [][]any
	entries    [][]any
	hashes     [][]any
	voids      []int64    // by reveal
	committee  *Committee // that it puts in office
	ended      []endedRow // ceremonies
}

// newBlock checks that the result is whole before anything is sent.
func newBlock(r *ordering.Result) (*block, error) {
	b := &block{Result: r}
	if r.Height == 0 || r.Height > maxHeight {
		return nil, fmt.Errorf("%w: commit block %d: there is no such height", ErrInvalid, r.Height)
	}
	for _, step := range []func() error{b.addBatch, b.addReveals, b.addRecords, b.checkMisbehaviour, b.addCommittee, b.addCeremonies} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("%w: commit block %d: %w", ErrInvalid, r.Height, err)
		}
	}
	return b, nil
}

func (b *block) addBatch() (err error) {
	if b.Batch == nil {
		return nil
	}
	batch := b.Batch.Batch
	if batch.Height != b.Height {
		return fmt.Errorf("its batch is of height %d", batch.Height)
	}
	if batch.Phase != commitreveal.Committed {
		return fmt.Errorf("its batch is %s, not yet or no longer committed", batch.Phase)
	}
	if len(b.Batch.Ciphertexts) != len(batch.IDs) {
		return fmt.Errorf("its batch has %d ids and %d ciphertexts", len(batch.IDs), len(b.Batch.Ciphertexts))
	}
	if b.checkpoint, err = batch.Checkpoint.MarshalBinary(); err != nil {
		return err
	}
	if b.frames, err = ordering.MarshalFrames(b.Batch.Frames); err != nil {
		return err
	}
	for i, ct := range b.Batch.Ciphertexts {
		id, h := ct.ID(), ct.Header()
		if id != batch.IDs[i] {
			return fmt.Errorf("ciphertext %d of its batch is %x, not %x", i, id, batch.IDs[i])
		}
		if h.ValidUntil > maxHeight {
			return fmt.Errorf("ciphertext %d of its batch is valid until %d", i, h.ValidUntil)
		}
		b.ids = append(b.ids, id[:])
		b.ordered = append(b.ordered, []any{b.Height, i, id[:], h.Namespace, h.ValidUntil, ct.Ciphertext().Bytes()})
	}
	return nil
}

func (b *block) addReveals() error {
	for _, r := range b.Reveals {
		if len(r.Outcomes) != len(r.Batch.IDs) {
			return fmt.Errorf("its reveal of batch %d has %d outcomes for %d ids", r.Batch.Height, len(r.Outcomes), len(r.Batch.IDs))
		}
		places, err := placesOf(r)
		if err != nil {
			return err
		}
		voids := int64(0)
		for i, o := range r.Outcomes {
			if o.ID != r.Batch.IDs[i] {
				return fmt.Errorf("outcome %d of its reveal of batch %d is of %x", i, r.Batch.Height, o.ID)
			}
			var plaintext []byte
			if o.Void {
				voids++
			} else {
				plaintext = notNil(o.Plaintext)
			}
			b.openings = append(b.openings, []any{r.Batch.Height, i, o.Opening[:], o.Void, plaintext, places[o.ID]})
		}
		b.voids = append(b.voids, voids)
	}
	return nil
}

// placesOf gives for each id of the batch its place in the order of execution.
func placesOf(r ordering.Reveal) (map[threshold.ID]int, error) {
	places := make(map[threshold.ID]int, len(r.Order))
	for i, id := range r.Order {
		places[id] = i
	}
	for _, id := range r.Batch.IDs {
		if _, ok := places[id]; !ok || len(places) != len(r.Batch.IDs) || len(r.Order) != len(places) {
			return nil, fmt.Errorf("the order of its reveal of batch %d is not one of its ids", r.Batch.Height)
		}
	}
	return places, nil
}

func (b *block) addRecords() error {
	for i, r := range b.Records {
		if r.Index != b.Records[0].Index+uint64(i) {
			return fmt.Errorf("its log records are not consecutive: %d after %d", r.Index, b.Records[i-1].Index)
		}
		first := storedHashes(r.Index)
		if n := storedHashes(r.Index+1) - first; uint64(len(r.Hashes)) != n {
			return fmt.Errorf("its log record %d has %d hashes instead of %d", r.Index, len(r.Hashes), n)
		}
		b.entries = append(b.entries, []any{r.Index, r.Entry})
		for j, h := range r.Hashes {
			b.hashes = append(b.hashes, []any{first + uint64(j), h[:]})
		}
	}
	return nil
}

func (b *block) checkMisbehaviour() error {
	for _, m := range b.Misbehaviour {
		if m.Entry.Evidence != commitreveal.EvidenceHash(m.Body) {
			return fmt.Errorf("its evidence against member %d is not the one that its entry names", m.Entry.Member)
		}
	}
	return nil
}

func (b *block) addCommittee() (err error) {
	b.committee, err = committeeOf(b.Result)
	return err
}

// storedHashes is how many hashes a log of n entries stores, and so the index of
// the next one (tlog's order): one for each complete subtree.
func storedHashes(n uint64) (count uint64) {
	for ; n > 0; n >>= 1 {
		count += n
	}
	return count
}

// write is the block's transaction. The guarded update comes first: it takes the
// lock that makes blocks follow one another.
func (b *block) write(ctx context.Context, tx pgx.Tx) error {
	if err := b.advance(ctx, tx); err != nil {
		return err
	}
	for _, table := range []struct {
		name    string
		columns []string
		rows    [][]any
	}{
		{"ordered", []string{"height", "position", "id", "namespace", "valid_until", "ciphertext"}, b.ordered},
		{"openings", []string{"height", "position", "opening", "void", "plaintext", "place"}, b.openings},
		{"log_entries", []string{"index", "entry"}, b.entries},
		{"log_hashes", []string{"index", "hash"}, b.hashes},
	} {
		if len(table.rows) == 0 {
			continue
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{table.name}, table.columns, pgx.CopyFromRows(table.rows)); err != nil {
			return err
		}
	}
	// Last the tree head, over what is stored by now: see docs/spec/log.md.
	checkpoint, err := b.checkpointRow(ctx, tx)
	if err != nil {
		return err
	}
	return b.writeRest(ctx, tx, checkpoint)
}

// advance moves the chain's row on, if this block is the next.
func (b *block) advance(ctx context.Context, tx pgx.Tx) error {
	firstRecord := int64(-1) // none
	if len(b.Records) > 0 {
		firstRecord = int64(b.Records[0].Index)
	}
	voids := int64(0)
	for _, n := range b.voids {
		voids += n
	}
	tag, err := tx.Exec(ctx, `UPDATE chain SET height = $1, app_hash = $2, snapshot = $3, log_size = log_size + $4,
			ordered = ordered + $5, revealed = revealed + $6, voids = voids + $7, ceremony = coalesce($9, ceremony)
		WHERE height = $1 - 1 AND ($8::bigint < 0 OR log_size = $8)`,
		b.Height, b.AppHash[:], notNil(b.Snapshot), len(b.entries), len(b.ordered), len(b.openings), voids, firstRecord, b.Ceremony)
	if err == nil && tag.RowsAffected() != 1 {
		err = errNotNext
	}
	return err
}

// writeRest sends the single rows in one round trip.
func (b *block) writeRest(ctx context.Context, tx pgx.Tx, checkpoint *LogCheckpoint) error {
	q := new(pgx.Batch)
	q.Queue(`INSERT INTO blocks (height, app_hash, header_time) VALUES ($1, $2, nullif($3::bigint, 0))`, b.Height, b.AppHash[:], b.at)
	if b.Batch != nil {
		v := b.Batch.Batch
		q.Queue(`INSERT INTO batches (height, epoch, root, size, checkpoint) VALUES ($1, $2, $3, $4, $5)`,
			v.Height, v.Epoch, v.Root[:], len(v.IDs), b.checkpoint)
		q.Queue(`DELETE FROM inbox WHERE id = ANY($1)`, b.ids)
	}
	if b.committee != nil {
		b.committee.queue(q)
	}
	b.writeRound(q)
	for i := range b.ended {
		b.ended[i].queue(q)
	}
	for i, r := range b.Reveals {
		q.Queue(`UPDATE batches SET reveal_height = $1, certificate = $2, voids = $3
			WHERE height = $4 AND root = $5 AND size = $6 AND reveal_height IS NULL`,
			b.Height, r.Certificate[:], b.voids[i], r.Batch.Height, r.Batch.Root[:], len(r.Outcomes)).
			Exec(func(tag pgconn.CommandTag) error {
				if tag.RowsAffected() != 1 {
					return fmt.Errorf("%w: batch %d with root %s is not there to be revealed", ErrConflict, r.Batch.Height, r.Batch.Root)
				}
				return nil
			})
	}
	for _, c := range b.Certificates {
		hash := commitreveal.CertificateHash(c)
		q.Queue(`INSERT INTO certificates (hash, body) VALUES ($1, $2) ON CONFLICT DO NOTHING`, hash[:], notNil(c))
	}
	for _, m := range b.Misbehaviour {
		q.Queue(`INSERT INTO recorded_evidence (hash, body) VALUES ($1, $2) ON CONFLICT DO NOTHING`, m.Entry.Evidence[:], notNil(m.Body))
	}
	if c := checkpoint; c != nil {
		q.Queue(`INSERT INTO log_checkpoints (size, root, height) VALUES ($1, $2, $3)`, c.Size, c.Root[:], c.Height)
	}
	return tx.SendBatch(ctx, q).Close()
}

// explainNotNext says why a block was not the next; nil if it is there already.
func (s *Store) explainNotNext(ctx context.Context, b *block) error {
	var height, logSize uint64
	var have []byte // app hash of the block's height, if there is one
	err := s.write.QueryRow(ctx, `SELECT height, log_size, (SELECT app_hash FROM blocks WHERE height = $1) FROM chain`, b.Height).
		Scan(&height, &logSize, &have)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("commit block %d: %w", b.Height, ErrEmpty)
	case err != nil:
		return fmt.Errorf("commit block %d: %w", b.Height, err)
	case bytes.Equal(have, b.AppHash[:]):
		return nil
	case have != nil:
		return fmt.Errorf("%w: commit block %d: it is there with app hash %x, not %x", ErrConflict, b.Height, have, b.AppHash)
	case height+1 != b.Height:
		return &GapError{Have: height, Want: b.Height}
	case len(b.Records) == 0 || b.Records[0].Index == logSize:
		return fmt.Errorf("commit block %d: it was not the next, but is by now; try again", b.Height) // another process commits, too
	}
	return fmt.Errorf("%w: commit block %d: the log has %d entries, its first record is number %d", ErrConflict, b.Height, logSize, b.Records[0].Index)
}

const seenQuery = `SELECT id, valid_until FROM ordered WHERE valid_until >= $1
	UNION ALL SELECT id, valid_until FROM dropped WHERE valid_until >= $1`

// Seen gives the ordered ids that may not be forgotten at height yet: those whose
// valid_until is at or above it. The order is of no meaning.
func (s *Store) Seen(ctx context.Context, height uint64) ([]ordering.Seen, error) {
	rows, err := s.read.Query(ctx, seenQuery, height)
	if err != nil {
		return nil, fmt.Errorf("read seen ids: %w", err)
	}
	seen, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v ordering.Seen, err error) {
		err = row.Scan(fixed(v.ID[:]), &v.ValidUntil)
		return v, err
	})
	if err != nil {
		return nil, fmt.Errorf("read seen ids: %w", err)
	}
	return seen, nil
}

// Ciphertexts gives the wire bytes of the batch of that height, in order;
// ErrNotFound if the block ordered nothing.
func (s *Store) Ciphertexts(ctx context.Context, height uint64) ([][]byte, error) {
	rows, err := s.read.Query(ctx, `SELECT ciphertext FROM ordered WHERE height = $1 ORDER BY position`, height)
	if err != nil {
		return nil, fmt.Errorf("read ciphertexts: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("read ciphertexts: %w", err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("batch %d: %w", height, ErrNotFound)
	}
	return all, nil
}
