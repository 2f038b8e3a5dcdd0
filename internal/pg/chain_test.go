package pg_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/scrimlabs/scrim/threshold"
)

func TestChainIsEmptyAtFirst(t *testing.T) {
	s := open(t, pgtest.New(t))
	if _, err := s.Chain(t.Context()); !errors.Is(err, pg.ErrEmpty) {
		t.Errorf("Chain: %v", err)
	}
	c := &chain{t: t}
	if err := s.CommitBlock(t.Context(), c.empty()); !errors.Is(err, pg.ErrEmpty) {
		t.Errorf("CommitBlock: %v", err)
	}
	if r, o, v, d, err := s.Counts(t.Context()); r+o+v+d != 0 || err != nil {
		t.Errorf("Counts: %d %d %d %d %v", r, o, v, d, err)
	}
}

func TestInitChain(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	if err := s.InitChain(ctx, genesis()); err != nil {
		t.Errorf("again: %v", err)
	}
	for name, change := range map[string]func(*pg.Chain){
		"another chain id": func(c *pg.Chain) { c.ChainID = "other" },
		"another genesis":  func(c *pg.Chain) { c.GenesisHash[0]++ },
	} {
		c := genesis()
		change(&c)
		err := s.InitChain(ctx, c)
		var foreign *pg.ForeignChainError
		if !errors.As(err, &foreign) || !errors.Is(err, pg.ErrForeignChain) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		equal(t, name, *foreign, pg.ForeignChainError{Have: pg.Identity{ChainID: chainID, GenesisHash: genesis().GenesisHash},
			Want: pg.Identity{ChainID: c.ChainID, GenesisHash: c.GenesisHash}})
	}
	other := genesis()
	other.AppHash[0]++
	if err := s.InitChain(ctx, other); !errors.Is(err, pg.ErrConflict) {
		t.Errorf("another app hash: %v", err)
	}
	c := &chain{t: t}
	r := c.empty()
	commit(t, s, r)
	if err := s.InitChain(ctx, genesis()); !errors.Is(err, pg.ErrConflict) {
		t.Errorf("after a block: %v", err)
	}
	checkWhole(t, s, r)
}

func TestCommitBlock(t *testing.T) {
	s, _ := newStore(t)
	c := &chain{t: t}
	var all []*ordering.Result
	add := func(r *ordering.Result) *ordering.Result {
		commit(t, s, r)
		all = append(all, r)
		checkWhole(t, s, all...)
		return r
	}
	add(c.empty())
	b2 := add(c.order(seal(t, 2, 5, "a", 100)))
	b3both := add(c.revealAndOrder(b2, seal(t, 3, 4, "b", 100)))
	b4 := add(c.order(seal(t, 4, 3, "a", 100)))
	add(c.reveal(b3both, b4))
	add(c.empty())

	// Every block again, in any order, changes nothing.
	for _, i := range rand.Perm(len(all)) {
		commit(t, s, all[i])
	}
	checkWhole(t, s, all...)

	hashes, err := s.LogHashes(t.Context(), []int64{3, 0, int64(len(c.hashes)) - 1})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "stored hashes", hashes, []commitreveal.Hash{c.hashes[3], c.hashes[0], c.hashes[len(c.hashes)-1]})
	if _, err := s.LogHashes(t.Context(), []int64{0, int64(len(c.hashes))}); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("hash beyond the log: %v", err)
	}
}

func TestCommitBlockRefuses(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	b1 := c.order(seal(t, 1, 3, "a", 100))
	b2 := c.empty()
	commit(t, s, b1, b2)

	next := func(log commitreveal.Log) *chain { return &chain{t: t, height: 2, log: log} }
	gap := (&chain{t: t, height: 4}).empty()
	otherHash := *b1
	otherHash.AppHash[5]++
	otherBatch := (&chain{t: t}).order(seal(t, 9, 1, "a", 100))
	unknown := next(c.log).reveal(otherBatch)
	sameID := next(c.log).order(seal(t, 1, 1, "a", 100))
	logGap := next(c.log).order(seal(t, 5, 1, "a", 100))
	logGap.Records[0].Index, logGap.Records[0].Hashes = 2, make([]commitreveal.Hash, 1) // 2 stands where 1 belongs
	uncommitted := next(c.log).order(seal(t, 5, 1, "a", 100))
	uncommitted.Batch.Batch.Phase = commitreveal.Ordered
	mixedUp := next(c.log).order(seal(t, 5, 2, "a", 100))
	slices.Reverse(mixedUp.Batch.Ciphertexts)
	short := next(c.log).reveal(b1)
	short.Reveals[0].Outcomes = short.Reveals[0].Outcomes[:2]
	fewHashes := next(c.log).reveal(b1)
	fewHashes.Records[0].Hashes = fewHashes.Records[0].Hashes[:1]
	foreignHeight := next(c.log).order(seal(t, 5, 1, "a", 100))
	foreignHeight.Batch.Batch.Height++
	forEver := next(c.log).order(seal(t, 5, 1, "a", 1<<63))
	late := next(c.log).order(seal(t, 5, 1, "a", 2)) // expired

	for _, test := range []struct {
		name string
		r    *ordering.Result
		want error
	}{
		{"gap", gap, pg.ErrGap},
		{"another app hash for an old height", &otherHash, pg.ErrConflict},
		{"reveal of a batch that is not there", unknown, pg.ErrConflict},
		{"an id again", sameID, pg.ErrConflict},
		{"gap in the log", logGap, pg.ErrConflict},
		{"batch not committed", uncommitted, pg.ErrInvalid},
		{"ciphertexts out of order", mixedUp, pg.ErrInvalid},
		{"outcome missing", short, pg.ErrInvalid},
		{"tree hash missing", fewHashes, pg.ErrInvalid},
		{"batch of another height", foreignHeight, pg.ErrInvalid},
		{"ordered after it expired", late, pg.ErrConflict},
		{"valid for ever", forEver, pg.ErrInvalid},
		{"no height", new(ordering.Result), pg.ErrInvalid},
	} {
		err := s.CommitBlock(ctx, test.r)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		checkWhole(t, s, b1, b2)
	}
	var facts *pg.GapError
	if err := s.CommitBlock(ctx, gap); !errors.As(err, &facts) || *facts != (pg.GapError{Have: 2, Want: 5}) {
		t.Errorf("gap: %v", err)
	}

	// A batch is revealed once.
	b3 := next(c.log).reveal(b1)
	commit(t, s, b3)
	again := (&chain{t: t, height: 3, log: appended(t, c.log, b3)}).reveal(b1)
	if err := s.CommitBlock(ctx, again); !errors.Is(err, pg.ErrConflict) {
		t.Errorf("revealed twice: %v", err)
	}
	checkWhole(t, s, b1, b2, b3)
}

func appended(t *testing.T, log commitreveal.Log, r *ordering.Result) commitreveal.Log {
	t.Helper()
	for _, rec := range r.Records {
		next, _, err := log.Append(rec.Entry)
		if err != nil {
			t.Fatal(err)
		}
		log = next
	}
	return log
}

// A caller that gives up in the middle, as a crash would, leaves all or nothing, and a
// retry completes the block.
func TestCommitBlockCancelled(t *testing.T) {
	s, url := newStore(t)
	other := connect(t, url)
	c := &chain{t: t}
	var all []*ordering.Result
	interrupted := 0
	for i := range 40 {
		cts := seal(t, uint64(i), 20, "a", 1000)
		var r *ordering.Result
		if i == 0 {
			r = c.order(cts)
		} else {
			r = c.revealAndOrder(all[i-1], cts)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Duration(rand.IntN(4000))*time.Microsecond, cancel)
		err := s.CommitBlock(ctx, r)
		cancel()
		if err != nil {
			interrupted++
			// A COMMIT may be on its way still; it holds the row until it is through.
			if _, err := other.Exec(t.Context(), `SELECT FROM chain FOR UPDATE`); err != nil {
				t.Fatal(err)
			}
			have, err := s.Chain(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if have.Height == r.Height { // COMMIT got through
				checkWhole(t, s, append(all, r)...)
			} else {
				checkWhole(t, s, all...)
			}
		}
		commit(t, s, r)
		all = append(all, r)
	}
	if interrupted == 0 {
		t.Error("nothing was interrupted; the test proves nothing")
	}
	checkWhole(t, s, all...)
}

// The same with the server's processes terminated under us.
func TestCommitBlockTerminated(t *testing.T) {
	s, url := newStore(t)
	killer, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer killer.Close(context.Background())
	var stop atomic.Bool
	var pause atomic.Int64 // microseconds at most between kills; longer if a slow machine gets nothing done
	pause.Store(3000)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	wg.Go(func() {
		for !stop.Load() {
			_, err := killer.Exec(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`)
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(time.Duration(rand.Int64N(pause.Load())) * time.Microsecond)
		}
	})
	c := &chain{t: t}
	var all []*ordering.Result
	failed := 0
	for i := range 25 {
		r := c.order(seal(t, uint64(i), 30, "a", 1000))
		for try := 0; ; try++ {
			err := s.CommitBlock(t.Context(), r)
			if err == nil {
				break
			}
			if failed++; try > 500 {
				t.Fatal(err)
			}
			if try > 10 {
				pause.Add(500)
			}
		}
		all = append(all, r)
	}
	stop.Store(true)
	wg.Wait()
	if failed == 0 {
		t.Error("nothing was terminated; the test proves nothing")
	}
	// The pool may still hold connections that are dead.
	for range 20 {
		if s.Ping(t.Context()) == nil {
			if _, err := s.Chain(t.Context()); err == nil {
				break
			}
		}
	}
	checkWhole(t, s, all...)
}

// COMMIT arrives, its answer does not: the caller sees an error, and the retry sees that it is done.
func TestCommitBlockAnswerLost(t *testing.T) {
	_, url := newStore(t)
	proxy := newProxy(t, url)
	s := open(t, proxy.url)
	c := &chain{t: t}
	b1 := c.order(seal(t, 1, 10, "a", 100))
	proxy.loseAnswerTo("commit\x00")
	if err := s.CommitBlock(t.Context(), b1); err == nil {
		t.Fatal("no error although the answer was lost")
	}
	direct := open(t, url)
	checkWhole(t, direct, b1)
	commit(t, s, b1)
	checkWhole(t, s, b1)
}

// Two processes, or a process and its dying predecessor, commit the same blocks.
func TestCommitBlockRace(t *testing.T) {
	_, url := newStore(t)
	c := &chain{t: t}
	var all []*ordering.Result
	for i := range 10 {
		all = append(all, c.order(seal(t, uint64(i), 5, "a", 100)))
	}
	var wg sync.WaitGroup
	for range 4 {
		s := open(t, url)
		wg.Go(func() {
			for _, r := range all {
				if err := s.CommitBlock(t.Context(), r); err != nil {
					t.Errorf("block %d: %v", r.Height, err)
				}
			}
		})
	}
	wg.Wait()
	checkWhole(t, open(t, url), all...)
}

func TestSeenAndCiphertexts(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	early, late := seal(t, 1, 3, "a", 5), seal(t, 2, 2, "a", 8)
	commit(t, s, c.order(early), c.order(late))
	for height, want := range map[uint64][]*threshold.Checked{5: append(slices.Clone(early), late...), 6: late, 8: late, 9: nil} {
		got, err := s.Seen(ctx, height)
		if err != nil {
			t.Fatal(err)
		}
		var wantSeen []ordering.Seen
		for _, ct := range want {
			wantSeen = append(wantSeen, ordering.Seen{ID: ct.ID(), ValidUntil: ct.Header().ValidUntil})
		}
		byID := func(a, b ordering.Seen) int { return slices.Compare(a.ID[:], b.ID[:]) }
		slices.SortFunc(got, byID)
		slices.SortFunc(wantSeen, byID)
		equal(t, "seen", got, wantSeen)
	}
	got, err := s.Ciphertexts(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ciphertexts", got, [][]byte{late[0].Ciphertext().Bytes(), late[1].Ciphertext().Bytes()})
	if _, err := s.Ciphertexts(ctx, 3); !errors.Is(err, pg.ErrNotFound) {
		t.Errorf("no batch: %v", err)
	}
}

// proxy stands between a store and its server.
type proxy struct {
	url  string
	lose atomic.Value // string: a statement whose answer is lost, with the connection
}

func newProxy(t *testing.T, url string) *proxy {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	network, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{}
	p.lose.Store("")
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial(network, address)
			if err != nil {
				client.Close()
				return
			}
			go p.pass(client, server)
		}
	}()
	host, port, _ := net.SplitHostPort(l.Addr().String())
	password := ""
	if cfg.Password != "" {
		password = ":" + cfg.Password
	}
	p.url = "postgres://" + cfg.User + password + "@" + host + ":" + port + "/" + cfg.Database + "?sslmode=disable"
	return p
}

func (p *proxy) loseAnswerTo(statement string) { p.lose.Store(statement) }

func (p *proxy) pass(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	var lost atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer client.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			if err != nil || lost.Load() {
				return // the answer is here, and goes no further
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		if what := p.lose.Load().(string); what != "" && strings.Contains(string(buf[:n]), what) {
			p.lose.Store("")
			lost.Store(true)
		}
		if _, err := server.Write(buf[:n]); err != nil {
			break
		}
		if lost.Load() {
			break
		}
	}
	if lost.Load() {
		<-done // the server has answered: it is committed
	}
}

// The times of a batch are those of the headers: its own, and of the blocks after it and after its reveal, which say when the
// members voted for them.
func TestTimesOfABatch(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	c := &chain{t: t}
	first := c.order(seal(t, 1, 2, "a", 100))
	id := first.Batch.Batch.IDs[1]
	blocks := []*ordering.Result{first, c.reveal(first), c.empty(), c.order(seal(t, 2, 1, "a", 100))}
	wants := []pg.Times{{Header: 1000}, {Header: 1000, Ordered: 1500}, {Header: 1000, Ordered: 1500, Recorded: 1700}, {Header: 1000, Ordered: 1500, Recorded: 1700}}
	for i, at := range []int64{1000, 1500, 1700, 0} {
		for range 2 { // once more after a lost answer
			if err := s.CommitBlockAt(ctx, blocks[i], at); err != nil {
				t.Fatal(err)
			}
		}
		b, err := s.Batch(ctx, first.Height)
		if err != nil {
			t.Fatal(err)
		}
		tx, err := s.Transaction(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "batch", b.Times, wants[i])
		equal(t, "transaction", tx.Times, wants[i])
	}
	all, err := s.Batches(ctx, 0, 0)
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	equal(t, "without a time", []pg.Times{all[0].Times, all[1].Times}, []pg.Times{{}, wants[3]})
}
