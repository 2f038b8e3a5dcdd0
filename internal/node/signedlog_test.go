package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/ordering"
)

func newSignedLog(t *testing.T) *signedLog {
	t.Helper()
	l, err := openSignedLog(filepath.Join(t.TempDir(), signedLogName), sim.ChainID)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// reopenSignedLog is what a new process finds.
func reopenSignedLog(t *testing.T, l *signedLog) *signedLog {
	t.Helper()
	again, err := openSignedLog(l.path, l.chainID)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// testLog is a log in memory.
type testLog struct {
	log    commitreveal.Log
	hashes []commitreveal.Hash
}

func (l *testLog) add(t *testing.T, entries ...string) head {
	t.Helper()
	for _, e := range entries {
		next, hashes, err := l.log.Append([]byte(e))
		if err != nil {
			t.Fatal(err)
		}
		l.log, l.hashes = next, append(l.hashes, hashes...)
	}
	return head{l.log.Size(), l.log.Root()}
}

func (l *testLog) read(indexes []int64) ([]commitreveal.Hash, error) {
	var out []commitreveal.Hash
	for _, i := range indexes {
		if i >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("hash %d: %w", i, pg.ErrNotFound)
		}
		out = append(out, l.hashes[i])
	}
	return out, nil
}

var _ tiles.Reader = (&testLog{}).read

// Only heads of one log are signed, in whatever order they come and over restarts.
func TestSignedLogIsARatchet(t *testing.T) {
	l := newSignedLog(t)
	var one, other testLog
	three := one.add(t, "a", "b", "c")
	other.add(t, "a", "b")
	fork := other.add(t, "x")
	if err := l.extend(three, one.read); err != nil {
		t.Fatal(err)
	}
	short := testLog{log: one.log, hashes: one.hashes}
	seven := one.add(t, "d", "e", "f", "g")
	longFork := other.add(t, "d", "e", "f", "g", "h")
	sameSize := head{seven.size, longFork.root}
	for i := range 2 {
		for name, tt := range map[string]struct {
			h    head
			read tiles.Reader
			want error
		}{
			"further":                    {seven, one.read, nil},
			"again":                      {seven, one.read, nil},
			"earlier":                    {three, one.read, nil},
			"another root of its size":   {sameSize, one.read, errSignedOther},
			"another log, further":       {longFork, other.read, errSignedOther},
			"another log, earlier":       {fork, other.read, errSignedOther},
			"another log over our rows":  {fork, one.read, errSignedOther},
			"our head over another rows": {seven, other.read, nil}, // it is the one that was signed
		} {
			if name != "further" {
				if err := l.extend(seven, one.read); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.extend(tt.h, tt.read); !errors.Is(err, tt.want) {
				t.Errorf("%s, time %d: %v", name, i, err)
			}
		}
		if err := l.extend(three, short.read); !errors.Is(err, errSignedMore) {
			t.Errorf("a database that is behind: %v", err)
		}
		if err := l.extend(head{2, commitreveal.Hash{1}}, short.read); !errors.Is(err, errSignedMore) {
			t.Errorf("another root in a database that is behind: %v", err)
		}
		if l.largest() != seven {
			t.Errorf("%+v", l.largest())
		}
		l = reopenSignedLog(t, l)
	}
}

// At whatever step of the write the process dies, a head that was answered with yes is remembered by the next process.
func TestSignedLogDiesAtEveryStep(t *testing.T) {
	steps := []string{"create", "sync", "rename", "sync folder"}
	for _, at := range steps {
		l := newSignedLog(t)
		var one testLog
		first := one.add(t, "a")
		if err := l.extend(first, one.read); err != nil {
			t.Fatal(err)
		}
		second := one.add(t, "b")
		died := errors.New("the process is dead")
		l.crash = func(step string) error {
			if step == at {
				return died
			}
			return nil
		}
		if err := l.extend(second, one.read); !errors.Is(err, died) {
			t.Fatalf("%s: %v", at, err)
		}
		again := reopenSignedLog(t, l)
		if got := again.largest(); got != first && got != second {
			t.Errorf("%s: %+v", at, got)
		}
		if err := again.extend(second, one.read); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		if got := reopenSignedLog(t, l).largest(); got != second {
			t.Errorf("%s: %+v in the end", at, got)
		}
	}
}

func TestSignedLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), signedLogName)
	root := commitreveal.Hash{7}.String()
	good := fmt.Sprintf(`{"format":%q,"chain_id":%q,"size":3,"root":%q}`, signedFormat, sim.ChainID, root)
	for text, want := range map[string]string{
		good:                                   "",
		"":                                     "damaged",
		"{}":                                   "damaged",
		good[:len(good)-1]:                     "damaged",
		strings.Replace(good, "v1", "v9", 1):   "format",
		strings.Replace(good, `:3,`, `:0,`, 1): "0 entries",
		strings.Replace(good, root[:6], "0xzz", 1):                   "damaged",
		strings.Replace(good, `"size"`, `"more":1,"size"`, 1):        "damaged",
		strings.Replace(good, sim.ChainID, "another", 1):             "one chain's",
		strings.Replace(good, `:3,`, `:99999999999999999999999,`, 1): "damaged",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := openSignedLog(path, sim.ChainID)
		if want == "" {
			if err != nil || l.largest() != (head{3, commitreveal.Hash{7}}) {
				t.Errorf("%s: %v", text, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// A database that is put back to an older state makes the member sign nothing a second time: not while it is behind, not when it was
// filled with another chain, and everything again when it has the chain of before.
func TestRestoredDatabaseSignsNothingTwice(t *testing.T) {
	p := newPublishing(t)
	pub, ctx := p.publishers[0], t.Context()
	p.block(ordering.Proposal{Txs: p.SealTxs("a")})
	p.block(ordering.Proposal{Openings: p.Open(1, 2, 3)})
	p.Must(pub.once(ctx))
	old := p.backup(1)

	p.block(ordering.Proposal{Txs: p.SealTxs("b")})
	p.block(ordering.Proposal{Openings: p.Open(1, 2, 3)})
	p.Must(pub.once(ctx))
	signed := head{p.State.Log().Size(), p.State.Log().Root()}
	if pub.before.largest() != signed {
		t.Fatalf("remembered %+v, signed %+v", pub.before.largest(), signed)
	}
	behind, err := old.LogCheckpoint(ctx, 0)
	p.Must(err)

	// The node starts on the older state.
	start := func() *publisher {
		again := newPublisher()
		again.chainID, again.identity, again.store, again.net, again.log = sim.ChainID, pub.identity, old, pub.net, pub.log
		again.before = reopenSignedLog(t, pub.before)
		again.setActive()
		return again
	}
	sent := p.checkSentIsStored(1)
	again := start()
	again.epoch, again.members = pub.epoch, pub.members
	again.heads = []head{{behind.Size, behind.Root}}
	p.Must(again.once(ctx))
	if n := p.checkSentIsStored(1); n != sent {
		t.Errorf("%d cosignatures left while the database is behind", n-sent)
	}
	b := backend{&running{store: old, publish: again, chain: &still{chain: p.Chain}}}
	if _, err := b.LogCheckpoint(ctx, 0); !errors.Is(err, errNotSynced) {
		t.Errorf("the checkpoint of a database that is behind: %v", err)
	}
	if _, err := b.LogNamespace(ctx, p.Results[len(p.Results)-4].Height, "nobody"); !errors.Is(err, errNotSynced) {
		t.Errorf("a proof from a database that is behind: %v", err)
	}
	if again.why() == "" {
		t.Error("it does not say why it signs nothing")
	}

	// It is filled with other blocks than before.
	fork := old
	r := *p.Results[len(p.Results)-2]
	r.Records = nil
	last := behind.Size
	log := p.logOf(fork)
	for i := range 6 {
		entry := fmt.Appendf(nil, "another entry %d", i)
		next, hashes, err := log.Append(entry)
		p.Must(err)
		r.Records = append(r.Records, ordering.Record{Index: last + uint64(i), Entry: entry, Hashes: hashes})
		log = next
	}
	r.Batch, r.Reveals, r.Round, r.Dropped = nil, nil, nil, nil
	good := p.backup(1) // with what it had, for later
	p.Must(fork.CommitBlock(ctx, &r))
	again = start()
	again.epoch, again.members = pub.epoch, pub.members
	again.heads = []head{{log.Size(), log.Root()}}
	if err := again.once(ctx); !errors.Is(err, errSignedOther) {
		t.Errorf("another log: %v", err)
	}
	if n := p.checkSentIsStored(1); n != sent {
		t.Errorf("%d cosignatures on another log left", n-sent)
	}
	b = backend{&running{store: fork, publish: again, chain: &still{chain: p.Chain}}}
	for _, size := range []uint64{0, behind.Size, log.Size()} {
		if text, err := b.LogCheckpoint(ctx, size); err == nil {
			t.Errorf("size %d of another log is signed:\n%s", size, text)
		}
	}
	if again.before.largest() != signed {
		t.Errorf("it remembers %+v now", again.before.largest())
	}

	// Back on the chain of before, it goes on.
	again = start()
	again.store, again.epoch, again.members = good, pub.epoch, pub.members
	again.heads = []head{signed}
	p.Must(again.once(ctx))
	b = backend{&running{store: good, publish: again, chain: &still{chain: p.Chain}}}
	text, err := b.LogCheckpoint(ctx, 0)
	p.Must(err)
	if _, c, err := note.ParseSigned(text); err != nil || c.Root != signed.root || again.why() != "" {
		t.Errorf("after the restore: %v, %s", err, text)
	}
}

// A node does not run on a server that may forget, unless it was told to.
func TestUnsafeDatabaseIsRefused(t *testing.T) {
	store, err := pg.Open(t.Context(), pgtest.New(t))
	must(t, err)
	defer store.Close()
	var warned strings.Builder
	log, cfg := slog.New(slog.NewTextHandler(&warned, nil)), DefaultConfig()
	err = checkDurable(t.Context(), store, cfg, log)
	if err == nil {
		t.Skip("DATABASE_URL names a server that syncs")
	}
	if !errors.Is(err, pg.ErrUnsafe) || !strings.Contains(err.Error(), "fsync = off") || !strings.Contains(err.Error(), "postgres.allow_unsafe") {
		t.Errorf("%v", err)
	}
	cfg.Postgres.AllowUnsafe = true
	if err := checkDurable(t.Context(), store, cfg, log); err != nil || !strings.Contains(warned.String(), "UNSAFE DATABASE") {
		t.Errorf("allowed: %v, log %q", err, warned.String())
	}
}

// Old cosignatures are deleted by the node that runs, and what is published of old checkpoints still proves what it should.
func TestOldCosignaturesAreDeleted(t *testing.T) {
	p := newPublishing(t)
	ctx, pub := t.Context(), p.publishers[0]
	pub.keep = 2
	p.block(ordering.Proposal{Txs: p.SealTxs("a")})
	id, old := p.State.Pending()[0].Batch.IDs[0], p.State.Log().Size()
	for range 3 {
		p.block(ordering.Proposal{Openings: p.Open(1, 2, 3)})
		p.Must(pub.once(ctx))
		p.block(ordering.Proposal{Txs: p.SealTxs("more")})
		p.Must(pub.once(ctx))
	}
	p.Must(pub.prune(ctx))
	lines, err := p.stores[0].LogSignatures(ctx, old)
	p.Must(err)
	newest, err := p.stores[0].LogSignatures(ctx, p.State.Log().Size())
	p.Must(err)
	if len(lines) != 0 || len(newest) == 0 {
		t.Errorf("%d cosignatures on an old checkpoint, %d on the newest", len(lines), len(newest))
	}
	text, err := p.backend(1).LogProof(ctx, id)
	p.Must(err)
	proof, err := note.ParseProof(text)
	p.Must(err)
	for _, key := range []note.Key{note.CommitteeKey(sim.ChainID, p.State.Committee().Key), note.LogKey(sim.ChainID, p.identities[0])} {
		if _, err := key.Verify(proof.Note); err != nil {
			t.Errorf("the proof of an old transaction: %v", err)
		}
	}
	if pub.pruned.IsZero() {
		t.Error("nothing more is due, and it does not know")
	}
}

// backup copies a member's database as it is.
func (p *publishing) backup(member uint32) *pg.Store {
	p.t.Helper()
	url := p.urls[member-1]
	p.stores[member-1].Close() // Postgres copies a database that nobody uses
	copied := pgtest.Copy(p.t, url)
	store, err := pg.Open(context.Background(), url)
	p.Must(err)
	p.t.Cleanup(store.Close)
	p.stores[member-1] = store
	p.publishers[member-1].store = store
	p.openers[member-1].guard = store
	out, err := pg.Open(context.Background(), copied)
	p.Must(err)
	p.t.Cleanup(out.Close)
	return out
}

// logOf rebuilds the log of a database.
func (p *publishing) logOf(store *pg.Store) (log commitreveal.Log) {
	p.t.Helper()
	entries, err := store.LogEntries(context.Background(), 0, 0)
	p.Must(err)
	for _, e := range entries {
		log, _, err = log.Append(e.Entry)
		p.Must(err)
	}
	return log
}
