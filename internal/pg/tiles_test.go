package pg_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/ordering"
)

// long makes a log of n entries in few blocks.
func (c *chain) long(n int) *ordering.Result {
	r := c.empty()
	for range n {
		c.record(r, fmt.Appendf(nil, "entry %d", c.log.Size()))
	}
	return r
}

// Every tile of the log, hashed together, is the log's root, at every width.
func TestTilesAreTheLog(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	for _, n := range []int{1, 5, 250, 1, 600, 3} { // 860 entries: three full tiles, one of 92
		commit(t, s, c.long(n))
		size := c.log.Size()
		head, err := s.LogCheckpoint(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if *head != (pg.LogCheckpoint{Size: size, Root: c.log.Root(), Height: c.height}) {
			t.Fatalf("newest checkpoint %+v, want %d entries with root %s", head, size, c.log.Root())
		}
		var all commitreveal.Log
		for _, tile := range tiles.Needed(size, tiles.Entries, 0) {
			b, err := s.LogTile(ctx, tile)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := tiles.ParseEntries(tile, b)
			if err != nil {
				t.Fatal(err)
			}
			hashTile := tiles.Tile{Index: tile.Index, Width: tile.Width}
			h, err := s.LogTile(ctx, hashTile)
			if err != nil {
				t.Fatal(err)
			}
			hashes, err := tiles.ParseHashes(hashTile, h)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range entries {
				if all, _, err = all.Append(e); err != nil {
					t.Fatal(err)
				}
				if hashes[i] != tiles.LeafHash(e) {
					t.Fatalf("%s: hash %d is not that of the entry", hashTile.Path(), i)
				}
			}
		}
		if all.Root() != head.Root {
			t.Fatalf("%d entries hash to %s, the checkpoint says %s", all.Size(), all.Root(), head.Root)
		}
	}
	level1, err := s.LogTile(ctx, tiles.Tile{Level: 1, Width: 3})
	if err != nil {
		t.Fatal(err)
	}
	full, err := s.LogTile(ctx, tiles.Tile{Level: 0, Index: 1, Width: 256})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := commitreveal.Hash(level1[32:64]), subtree(t, tiles.Tile{Level: 0, Index: 1, Width: 256}, full); got != want {
		t.Errorf("level 1 has %s for a tile that hashes to %s", got, want)
	}
	for _, missing := range []tiles.Tile{
		{Level: 0, Index: 3, Width: 93}, {Level: 0, Index: 3, Width: 256}, {Level: 0, Index: 4, Width: 1}, {Level: 1, Width: 4}, {Level: 2, Width: 1},
		{Level: tiles.Entries, Index: 3, Width: 93}, {Level: tiles.Entries, Index: 9, Width: 256}, {Level: 63, Index: 1, Width: 256}, {Level: 0, Index: 1 << 59, Width: 256},
	} {
		if _, err := s.LogTile(ctx, missing); !errors.Is(err, pg.ErrNotFound) {
			t.Errorf("%s: %v", missing.Path(), err)
		}
	}
	partial, err := s.LogTile(ctx, tiles.Tile{Level: 0, Index: 1, Width: 7}) // served after the full one exists
	if err != nil || !bytes.Equal(partial, full[:7*32]) {
		t.Errorf("a partial tile is not the beginning of the full one: %v", err)
	}
}

// subtree is the root over a full tile of hashes.
func subtree(t *testing.T, tile tiles.Tile, b []byte) commitreveal.Hash {
	t.Helper()
	level, err := tiles.ParseHashes(tile, b)
	if err != nil {
		t.Fatal(err)
	}
	for len(level) > 1 {
		var up []commitreveal.Hash
		for i := 0; i < len(level); i += 2 {
			up = append(up, tiles.NodeHash(level[i], level[i+1]))
		}
		level = up
	}
	return level[0]
}

// A node that dies at any call of a block's transaction leaves the log of the block before, whole, and afterwards commits
// the block with the one checkpoint that it always has.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			s, _ := newStore(t)
			c := &chain{t: t}
			first := c.order(seal(t, 1, 3, "a", 100))
			commit(t, s, first)
			before := *mustCheckpoint(t, s, 0)
			r := c.revealAndOrder(first, seal(t, 2, 3, "b", 100))
			r.Certificates = [][]byte{[]byte("certificate")}
			died, err := pg.CommitBlockFailing(t.Context(), s, r, n, after)
			if !died {
				if n < 7 || err != nil {
					t.Fatalf("only %d calls in a block's transaction: %v", n, err)
				}
				break
			}
			if err == nil {
				t.Fatalf("died at call %d, and no error", n)
			}
			checkWhole(t, s, first)
			if got := *mustCheckpoint(t, s, 0); got != before {
				t.Fatalf("died at call %d: newest checkpoint %+v, want %+v", n, got, before)
			}
			if _, err := s.LogTile(t.Context(), tiles.Tile{Width: int(before.Size) + 1}); !errors.Is(err, pg.ErrNotFound) {
				t.Fatalf("died at call %d: a tile beyond the checkpoint: %v", n, err)
			}
			commit(t, s, r)
			checkWhole(t, s, first, r)
			if got := *mustCheckpoint(t, s, 0); got.Root != c.log.Root() || got.Size != c.log.Size() {
				t.Fatalf("died at call %d: checkpoint %+v afterwards", n, got)
			}
			if body, err := s.Certificate(t.Context(), commitreveal.CertificateHash([]byte("certificate"))); err != nil || string(body) != "certificate" {
				t.Fatalf("certificate: %q, %v", body, err)
			}
		}
	}
}

func mustCheckpoint(t testing.TB, s *pg.Store, size uint64) *pg.LogCheckpoint {
	t.Helper()
	c, err := s.LogCheckpoint(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// One root for a size, whatever a program or a person tries.
func TestOneRootForASize(t *testing.T) {
	s, url := newStore(t)
	c := &chain{t: t}
	fork := &chain{t: t}
	commit(t, s, c.long(4))
	head := *mustCheckpoint(t, s, 4)

	other := fork.long(3)
	fork.record(other, []byte("another entry"))
	other.AppHash[0] ^= 1
	if err := s.CommitBlock(t.Context(), other); !errors.Is(err, pg.ErrConflict) {
		t.Errorf("another block of the height: %v", err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, sql := range []string{
		`INSERT INTO log_checkpoints (size, root, height) VALUES (4, sha256('x'), 99)`,
		`UPDATE log_checkpoints SET root = sha256('x')`,
		`DELETE FROM log_checkpoints`,
		`TRUNCATE log_checkpoints CASCADE`,
		`UPDATE log_signatures SET data = 'x'`,
		`DELETE FROM certificates`,
		`DELETE FROM recorded_evidence`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s: done", sql)
		}
	}
	if got := *mustCheckpoint(t, s, 0); got != head {
		t.Errorf("the checkpoint is %+v, it was %+v", got, head)
	}
	if _, err := s.LogCheckpoint(t.Context(), 3); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("a size at which no block ended: %v", err)
	}
}

// A batch whose checkpoint is not that of the stored log is refused, with all of its block.
func TestCheckpointThatIsNotTheLogs(t *testing.T) {
	for name, change := range map[string]func(c *commitreveal.Checkpoint){
		"root": func(c *commitreveal.Checkpoint) { c.LogRoot[0] ^= 1 },
		"size": func(c *commitreveal.Checkpoint) { c.LogSize++ },
	} {
		s, _ := newStore(t)
		c := &chain{t: t}
		r := c.order(seal(t, 1, 2, "a", 100))
		change(&r.Batch.Batch.Checkpoint)
		if err := s.CommitBlock(t.Context(), r); !errors.Is(err, pg.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
		checkWhole(t, s)
	}
}

func TestLogSignatures(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	commit(t, s, c.long(2))
	line := func(size uint64, name string, id uint32, data string) pg.LogSignature {
		return pg.LogSignature{Size: size, Signature: note.Signature{Name: name, KeyID: id, Data: []byte(data)}}
	}
	err := s.AddLogSignatures(ctx, []pg.LogSignature{
		line(2, "b", 1<<31, "first"), line(2, "a", 7, "x"), line(2, "b", 1<<31, "second"), line(9, "a", 7, "of a size that is not here"),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.LogSignatures(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "signatures", got, []note.Signature{{Name: "a", KeyID: 7, Data: []byte("x")}, {Name: "b", KeyID: 1 << 31, Data: []byte("first")}})
	if got, err := s.LogSignatures(ctx, 9); err != nil || len(got) != 0 {
		t.Errorf("signatures on nothing: %v, %v", got, err)
	}
}

// Old cosignatures go, oldest first and in bounded steps; those on the newest checkpoints stay, and of every key the newest.
func TestPruneLogSignatures(t *testing.T) {
	s, url := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	const blocks, keep = 30, 10
	var lines []pg.LogSignature
	for i := range blocks {
		commit(t, s, c.long(2))
		for _, name := range []string{"here", "left"} {
			if name == "here" || i < 5 {
				lines = append(lines, pg.LogSignature{Size: c.log.Size(), Signature: note.Signature{Name: name, KeyID: 7, Data: fmt.Appendf(nil, "%s %d", name, i)}})
			}
		}
	}
	if err := s.AddLogSignatures(ctx, lines); err != nil {
		t.Fatal(err)
	}
	left := func() (out []pg.LogSignature) {
		for size := uint64(2); size <= 2*blocks; size += 2 {
			all, err := s.LogSignatures(ctx, size)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range all {
				out = append(out, pg.LogSignature{Size: size, Signature: one})
			}
		}
		return out
	}
	if n, err := s.PruneLogSignatures(ctx, 1000, 100); err != nil || n != 0 {
		t.Fatalf("%d deleted of a short log, %v", n, err)
	}
	equal(t, "all lines", left(), lines)
	n, err := s.PruneLogSignatures(ctx, keep, 4)
	if err != nil || n != 4 {
		t.Fatalf("a step deleted %d, %v", n, err)
	}
	equal(t, "after a step", left(), lines[4:])
	total := n
	for n > 0 {
		if n, err = s.PruneLogSignatures(ctx, keep, 4); err != nil || n > 4 {
			t.Fatalf("a step deleted %d, %v", n, err)
		}
		total += n
	}
	want := append([]pg.LogSignature{lines[9]}, lines[blocks-keep+5:]...) // the last of who has left
	equal(t, "in the end", left(), want)
	if total != len(lines)-len(want) {
		t.Errorf("%d deleted", total)
	}
	if got, err := s.LogSignatureFrom(ctx, 3, "left", 7); err != nil || got.Size != 10 {
		t.Errorf("the newest of who has left: %+v, %v", got, err)
	}
	conn := connect(t, url)
	for _, sql := range []string{`DELETE FROM log_signatures`, `DELETE FROM log_signatures WHERE name = 'left'`, `DELETE FROM log_signatures WHERE size = 60`} {
		if _, err := conn.Exec(ctx, sql); err == nil {
			t.Errorf("%s: done", sql)
		}
	}
	equal(t, "after bad deletes", left(), want)
}

func TestOneEvidence(t *testing.T) {
	s, _ := newStore(t)
	if err := s.AddEvidence(t.Context(), pg.Evidence{Kind: "bad_point", Epoch: 1, Member: 2, Height: 7, Body: []byte("body")}); err != nil {
		t.Fatal(err)
	}
	list, err := s.Evidence(t.Context(), 0, 0)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	one, err := s.OneEvidence(t.Context(), list[0].Number)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "evidence", *one, list[0])
	if _, err := s.OneEvidence(t.Context(), 99); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("no such evidence: %v", err)
	}
}
