package pg_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

func TestTransaction(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	cts := seal(t, 1, 4, "shop", 100)
	if _, err := s.Transaction(ctx, cts[0].ID()); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	got := receive(t, s, 1234, plain(cts[:1])...)[0]
	got.Ciphertext = nil
	transaction := func(ct *threshold.Checked) pg.Transaction {
		t.Helper()
		tx, err := s.Transaction(ctx, ct.ID())
		if err != nil {
			t.Fatal(err)
		}
		return *tx
	}
	want := pg.Transaction{ID: cts[0].ID(), Namespace: "shop", ValidUntil: 100, Received: &got, Ciphertext: cts[0].Ciphertext().Bytes()}
	equal(t, "received", transaction(cts[0]), want)

	b1 := c.order([]*threshold.Checked{cts[1], cts[0], cts[2]})
	commit(t, s, b1)
	want.Height, want.Position = 1, 1
	equal(t, "ordered", transaction(cts[0]), want)

	b2 := c.reveal(b1)
	commit(t, s, b2)
	want.Revealed, want.RevealHeight, want.Place = true, 2, 1
	want.Opening, want.Plaintext = b2.Reveals[0].Outcomes[1].Opening, b2.Reveals[0].Outcomes[1].Plaintext
	equal(t, "revealed", transaction(cts[0]), want)

	// Here before only at other members; void.
	equal(t, "void", transaction(cts[2]), pg.Transaction{
		ID: cts[2].ID(), Namespace: "shop", ValidUntil: 100, Height: 1, Position: 2, Revealed: true, RevealHeight: 2, Void: true,
		Opening: b2.Reveals[0].Outcomes[2].Opening, Ciphertext: cts[2].Ciphertext().Bytes(),
	})
	if tx := transaction(cts[1]); tx.Plaintext == nil || len(tx.Plaintext) != 0 {
		t.Errorf("an empty plaintext came back as %v", tx.Plaintext)
	}
	if _, err := s.Transaction(ctx, cts[3].ID()); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
}

func TestBatches(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	b1, b2 := c.order(seal(t, 1, 3, "a", 100)), c.order(seal(t, 2, 2, "a", 100))
	e3 := c.empty()
	b4 := c.order(seal(t, 4, 1, "a", 100))
	r5 := c.reveal(b1)
	commit(t, s, b1, b2, e3, b4, r5)
	info := func(r *ordering.Result) pg.BatchInfo { return pg.BatchInfo{Batch: r.Batch.Batch} }
	i1, i2, i4 := info(b1), info(b2), info(b4)
	i1.Phase, i1.RevealHeight, i1.Certificate, i1.Voids = commitreveal.Revealed, 5, r5.Reveals[0].Certificate, 1

	got, err := s.Batch(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "batch", *got, i1)
	if _, err := s.Batch(ctx, 3); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("an empty block's batch: %v", err)
	}
	for _, test := range []struct {
		before uint64
		limit  int
		want   []pg.BatchInfo
	}{
		{0, 0, []pg.BatchInfo{i4, i2, i1}},
		{0, 2, []pg.BatchInfo{i4, i2}},
		{2, 2, []pg.BatchInfo{i1}},
		{1, 2, nil},
		{100, 1, []pg.BatchInfo{i4}},
	} {
		got, err := s.Batches(ctx, test.before, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("batches before %d", test.before), got, test.want)
	}
}

func TestStream(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	// Namespaces that a lax collation could confuse, mixed in each batch.
	mix := func(seed uint64) []*threshold.Checked {
		a, b := seal(t, seed, 4, "a-b", 1000), seal(t, seed+100, 2, "ab", 1000)
		return []*threshold.Checked{a[0], b[0], a[1], a[2], b[1], a[3]}
	}
	b1, b2, b3 := c.order(mix(1)), c.order(mix(2)), c.order(mix(3))
	commit(t, s, b1, b2, b3)
	all := func(namespace string, page int) (ids []threshold.ID) {
		t.Helper()
		var height uint64
		var place uint32
		for {
			txs, err := s.Stream(ctx, namespace, height, place, page)
			if err != nil {
				t.Fatal(err)
			}
			if len(txs) == 0 {
				return ids
			}
			if page > 0 && len(txs) > page {
				t.Fatalf("a page of %d, at most %d asked for", len(txs), page)
			}
			for _, tx := range txs {
				if !tx.Revealed || tx.RevealHeight == 0 || tx.Opening == (threshold.Opening{}) || tx.Ciphertext != nil || tx.Namespace != namespace {
					t.Fatalf("in the stream: %+v", tx)
				}
				ids = append(ids, tx.ID)
				height, place = tx.Height, tx.Place
			}
		}
	}
	want := func(namespace string, blocks ...*ordering.Result) (ids []threshold.ID) {
		for _, b := range blocks {
			for _, ct := range slices.Backward(b.Batch.Ciphertexts) { // the fixture's order of execution
				if ct.Header().Namespace == namespace {
					ids = append(ids, ct.ID())
				}
			}
		}
		return ids
	}
	equal(t, "nothing is revealed", all("a-b", 0), []threshold.ID(nil))
	commit(t, s, c.reveal(b1, b2))
	for _, page := range []int{0, 1, 3, 4, 100} {
		equal(t, "a-b", all("a-b", page), want("a-b", b1, b2))
		equal(t, "ab", all("ab", page), want("ab", b1, b2))
	}
	commit(t, s, c.reveal(b3))
	equal(t, "a-b", all("a-b", 5), want("a-b", b1, b2, b3))
	equal(t, "no such namespace", all("a", 0), []threshold.ID(nil))
}

// Even if a later batch were revealed before an earlier one, a reader that follows the
// stream does not lose the earlier one.
func TestStreamStopsBeforeTheFirstUnrevealed(t *testing.T) {
	s, _ := newStore(t)
	c := &chain{t: t}
	b1, b2, b3 := c.order(seal(t, 1, 2, "a", 100)), c.order(seal(t, 2, 2, "a", 100)), c.order(seal(t, 3, 2, "a", 100))
	commit(t, s, b1, b2, b3, c.reveal(b1), c.reveal(b3))
	heights := func() (out []uint64) {
		t.Helper()
		txs, err := s.Stream(t.Context(), "a", 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, tx := range txs {
			out = append(out, tx.Height)
		}
		return out
	}
	equal(t, "with a hole", heights(), []uint64{1, 1})
	commit(t, s, c.reveal(b2))
	equal(t, "without", heights(), []uint64{1, 1, 2, 2, 3, 3})
}

// Pages are bounded in bytes as well, always have one row, and lose none.
func TestPagesAreBounded(t *testing.T) {
	const room = 9000
	defer pg.SetPageBytes(room)()
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	b1 := c.order(seal(t, 1, 8, "a", 100))
	r2 := c.reveal(b1)
	big := bytes.Repeat([]byte{1}, room/3)
	for i := range r2.Reveals[0].Outcomes {
		o := &r2.Reveals[0].Outcomes[i]
		o.Void, o.Plaintext = false, big
	}
	r2.Reveals[0].Outcomes[6].Plaintext = bytes.Repeat([]byte{2}, room+1)
	commit(t, s, b1, r2)
	var pages []int
	var height uint64
	var position uint32
	for {
		txs, err := s.Stream(ctx, "a", height, position, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(txs) == 0 {
			break
		}
		pages = append(pages, len(txs))
		height, position = txs[len(txs)-1].Height, txs[len(txs)-1].Place
	}
	// A row is in the page if the rows before it leave room: a third and the huge one (executed in the fixture's order, backwards), then three thirds twice.
	equal(t, "stream pages", pages, []int{2, 3, 3})

	for i := range 3 {
		if err := s.AddEvidence(ctx, pg.Evidence{Kind: "k", Member: 1, Height: 1, Body: append(big, byte(i))}); err != nil {
			t.Fatal(err)
		}
	}
	ev, err := s.Evidence(ctx, 0, 2)
	if err != nil || len(ev) != 2 {
		t.Errorf("%d pieces of evidence, %v", len(ev), err)
	}
}

// The reads by id, namespace and height use an index, and read no more than their page.
func TestQueriesUseIndexes(t *testing.T) {
	s, url := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	b1 := c.order(seal(t, 1, 4, "a", 1<<40))
	commit(t, s, b1, c.reveal(b1))
	receive(t, s, 1, plain(seal(t, 2, 1, "a", 1<<40))...)
	conn := connect(t, url)
	// Enough rows that scanning them would be the wrong plan.
	for _, sql := range []string{
		`INSERT INTO batches SELECT h, 1, sha256(h::text::bytea), 10, 'x', h + 1, substring(sha256('c') || sha256('d') FROM 1 FOR 48), 0 FROM generate_series(10, 2009) h`,
		`INSERT INTO blocks SELECT h, sha256('a'), 1000 * h FROM generate_series(10, 2009) h`,
		`INSERT INTO ordered SELECT h, p, sha256((h || '/' || p)::bytea), 'n' || p, h + 100, sha256('body') FROM generate_series(10, 2009) h, generate_series(0, 9) p`,
		`INSERT INTO openings SELECT height, position, substring(sha256('c') || sha256('d') FROM 1 FOR 48), false, 'plain', 9 - position FROM ordered WHERE height >= 10`,
		`INSERT INTO received SELECT p, sha256(p::text::bytea), 'a', 1, 1, sha256('h'), 1, 1 FROM generate_series(2, 20000) p`,
		`INSERT INTO committees SELECT e, 10 * e, 'reshare', 3, 4, sha256('k'), sha256(e::text::bytea), e, 'certificate' FROM generate_series(1, 5000) e`,
		`INSERT INTO ceremonies SELECT sha256(e::text::bytea), e / 3 + 1, e % 3 + 1, e, 'failed', 'reshare', 1, 0, 3, 4, 1, 'state' FROM generate_series(1, 5000) e`,
		`INSERT INTO inbox SELECT position, id, 5000, 'body' FROM received WHERE position > 15000`,
		`INSERT INTO dropped SELECT sha256(('d' || i)::bytea), i, i, 'expired' FROM generate_series(1, 2000) i`,
		`INSERT INTO log_entries SELECT i, 'entry' FROM generate_series(100, 20000) i`,
		`INSERT INTO share_guard SELECT height, epoch, root FROM batches`,
		`VACUUM ANALYZE`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	id := b1.Batch.Batch.IDs[2]
	for _, test := range []struct {
		name, query string
		args        []any
		indexes     []string // of the plan, at least
		rows        float64  // read from any one table, at most
	}{
		{"transaction by id", pg.TransactionQuery, []any{id[:]}, []string{"ordered_id_key", "openings_pkey", "batches_pkey", "received_id_key", "inbox_id_key"}, 1},
		{"batch by height", pg.BatchTransactionsQuery, []any{1000}, []string{"ordered_pkey", "openings_place", "batches_pkey", "received_id_key"}, 10},
		{"stream by namespace", pg.StreamQuery, []any{"n3", 1000, 5, 20, pg.PageBytes()}, []string{"ordered_namespace", "openings_pkey", "batches_unrevealed"}, 40},
		{"batches", pg.BatchesQuery, []any{500, 20, 1 << 17}, []string{"batches_pkey"}, 400},
		{"waiting", pg.WaitingQuery, []any{7, 16000, 20, pg.PageBytes()}, []string{"inbox_pkey", "ordered_id_key", "received_pkey"}, 40},
		{"log", pg.LogEntriesQuery, []any{5000, 20, pg.PageBytes()}, []string{"log_entries_pkey"}, 20},
		{"committees", pg.CommitteesQuery, []any{4000, 20, pg.CommitteeBytes()}, []string{"committees_pkey", "committees_since_key"}, 20},
		{"ceremonies", pg.CeremoniesQuery, []any{1000, 2, 20}, []string{"ceremonies_epoch_attempt_key"}, 20},
		{"seen", pg.SeenQuery, []any{2105}, []string{"ordered_valid_until"}, 2000},
	} {
		p := explain(t, conn, test.query, test.args...)
		for _, want := range test.indexes {
			if !slices.Contains(p.indexes, want) {
				t.Errorf("%s: index %s is not used, but %v:\n%s", test.name, want, p.indexes, p.text)
			}
		}
		if len(p.scanned) > 0 {
			t.Errorf("%s: scans %v:\n%s", test.name, p.scanned, p.text)
		}
		if p.rows > test.rows {
			t.Errorf("%s: reads %v rows, at most %v belong in it:\n%s", test.name, p.rows, test.rows, p.text)
		}
	}
}

type plan struct {
	indexes, scanned []string
	rows             float64 // the most that one node read from a table
	text             string
}

type planNode struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Rows     float64 `json:"Actual Rows"`
	Loops    float64 `json:"Actual Loops"`
	Removed  float64 `json:"Rows Removed by Filter"`
	Plans    []planNode
}

func explain(t *testing.T, conn *pgx.Conn, query string, args ...any) plan {
	t.Helper()
	var out []byte
	if err := conn.QueryRow(t.Context(), `EXPLAIN (ANALYZE, FORMAT JSON) `+query, args...).Scan(&out); err != nil {
		t.Fatal(err)
	}
	var roots []struct{ Plan planNode }
	if err := json.Unmarshal(out, &roots); err != nil || len(roots) != 1 {
		t.Fatal(err)
	}
	p := plan{text: string(out)}
	var walk func(planNode)
	walk = func(n planNode) {
		if n.Index != "" {
			p.indexes = append(p.indexes, n.Index)
		}
		if strings.Contains(n.Type, "Seq Scan") {
			p.scanned = append(p.scanned, n.Relation)
		}
		if n.Relation != "" {
			p.rows = max(p.rows, (n.Rows+n.Removed)*n.Loops)
		}
		for _, sub := range n.Plans {
			walk(sub)
		}
	}
	walk(roots[0].Plan)
	return p
}
