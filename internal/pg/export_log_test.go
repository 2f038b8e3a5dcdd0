package pg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/scrimlabs/scrim/ordering"
)

// CommitBlockFailing is CommitBlock of a node that dies at the n-th call, from 0, to the database in the block's
// transaction, either before the call or right after it; it reports whether there was such a call. The
// connection ends without a word, as it does with the process.
func CommitBlockFailing(ctx context.Context, s *Store, r *ordering.Result, n int, after bool) (died bool, err error) {
	b, err := newBlock(r)
	if err != nil {
		return false, err
	}
	dying := &dyingTx{at: n, after: after}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		dying.Tx = tx
		return b.write(ctx, dying)
	})
	return dying.dead, err
}

var errDead = errors.New("the process is dead")

// dyingTx ends its connection at one of its calls.
type dyingTx struct {
	pgx.Tx
	at, calls int
	after     bool
	dead      bool
}

func (d *dyingTx) die(ctx context.Context) error {
	d.dead = true
	_ = d.Conn().PgConn().Conn().Close() // nothing is sent any more, no ROLLBACK either
	_ = ctx
	return errDead
}

// step counts a call, and says whether it is the last one.
func (d *dyingTx) step() (last bool) {
	last = d.calls == d.at
	d.calls++
	return last
}

func (d *dyingTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	last := d.step()
	if last && !d.after {
		return pgconn.CommandTag{}, d.die(ctx)
	}
	tag, err := d.Tx.Exec(ctx, sql, args...)
	if last {
		return tag, d.die(ctx)
	}
	return tag, err
}

func (d *dyingTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	last := d.step()
	if last && !d.after {
		return 0, d.die(ctx)
	}
	n, err := d.Tx.CopyFrom(ctx, table, columns, rows)
	if last {
		return n, d.die(ctx)
	}
	return n, err
}

func (d *dyingTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if d.step() {
		return nil, d.die(ctx)
	}
	return d.Tx.Query(ctx, sql, args...)
}

func (d *dyingTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	last := d.step()
	if last && !d.after {
		return deadResults{d.die(ctx)}
	}
	results := d.Tx.SendBatch(ctx, b)
	if last {
		_ = results.Close()
		return deadResults{d.die(ctx)}
	}
	return results
}

type deadResults struct{ err error }

func (r deadResults) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, r.err }
func (r deadResults) Query() (pgx.Rows, error)         { return nil, r.err }
func (r deadResults) QueryRow() pgx.Row                { return nil }
func (r deadResults) Close() error                     { return r.err }
func (r deadResults) Tx() pgx.Tx                       { return nil }

// CheckpointCost does again, in a transaction that is rolled back, what a block adds for the log's publication: the root over
// the stored hashes, and its row.
func CheckpointCost(ctx context.Context, s *Store, size uint64) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		b := &block{Result: &ordering.Result{Height: size + 1<<40, Records: []ordering.Record{{Index: size - 1}}}}
		c, err := b.checkpointRow(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO log_checkpoints (size, root, height) VALUES ($1, $2, $3)`, c.Size+1<<40, c.Root[:], c.Height); err != nil {
			return err
		}
		return errDead
	})
	if errors.Is(err, errDead) {
		return nil
	}
	return err
}
