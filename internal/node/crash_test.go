package node

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	"github.com/scrimlabs/scrim/internal/pg"
	"github.com/scrimlabs/scrim/internal/pg/pgtest"
	"github.com/scrimlabs/scrim/internal/sim"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// The environment of a process that publishes and is killed.
const (
	crashURL  = "SCRIM_TEST_CRASH_URL"
	crashHome = "SCRIM_TEST_CRASH_HOME"
)

// At every write of a publication, the database server and the publishing process are killed, by SIGKILL and all their processes at
// once; the server recovers from its write-ahead log, with fsync on, and a new process goes on. Each process publishes other entries than
// the ones before, so that anything signed and then lost would be signed again with another root.
//
// What a kill does not lose is what the kernel has of files that are not synced: that takes a crash of the machine.
func TestPublicationKilledAtEveryWrite(t *testing.T) {
	if testing.Short() {
		t.Skip("some fifty restarts of Postgres")
	}
	server := pgtest.Durable(t)
	k := &killing{t: t, server: server, home: t.TempDir(), signed: make(map[uint64]string)}
	k.found()
	k.listen()
	k.round(0, false) // one that nobody disturbs
	k.check()
	if len(k.signed) == 0 {
		t.Fatal("nothing was signed")
	}
	for _, after := range []bool{false, true} {
		n := 1
		for ; k.round(n, after); n++ {
			if k.check(); t.Failed() {
				t.Fatalf("killed at write %d, after it: %t", n, after)
			}
		}
		if n < 15 {
			t.Errorf("a publication has only %d writes", n-1)
		}
		k.check()
	}
	t.Logf("%d restarts, %d sizes signed, %d signatures", k.kills, len(k.signed), k.signatures)
}

// killing runs publishing processes, and remembers what they have put their names to.
type killing struct {
	t          *testing.T
	server     *pgtest.Server
	home       string
	proxy      string // folder of the proxy's socket
	kills      int
	signed     map[uint64]string // root by size
	signatures int

	mu     sync.Mutex
	child  *exec.Cmd
	socket string // the real server's
	at     int    // the write at which to kill; 0 for none
	after  bool
	seen   int
	died   chan struct{} // closed when the kill is done
}

// listen lets the processes reach the server through a proxy that counts what they write.
func (k *killing) listen() {
	dir, err := os.MkdirTemp("/tmp", "scrim-x-") // a socket's path is short
	must(k.t, err)
	k.proxy = dir
	listener, err := new(net.ListenConfig).Listen(k.t.Context(), "unix", filepath.Join(dir, ".s.PGSQL.5432"))
	must(k.t, err)
	k.t.Cleanup(func() { _ = listener.Close(); _ = os.RemoveAll(dir) })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go k.forward(conn)
		}
	}()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// found remembers where the server, which has just been started, listens.
func (k *killing) found() {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, rest, _ := strings.Cut(k.server.URL("scrim"), "host=")
	dir, _, _ := strings.Cut(rest, "&")
	k.socket = filepath.Join(strings.ReplaceAll(dir, "%2F", "/"), ".s.PGSQL.5432")
}

func (k *killing) forward(client net.Conn) {
	defer client.Close()
	k.mu.Lock()
	socket := k.socket
	k.mu.Unlock()
	server, err := new(net.Dialer).DialContext(context.Background(), "unix", socket)
	if err != nil {
		return
	}
	defer server.Close()
	answered := make(chan struct{}, 1<<16)
	go func() {
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if n > 0 {
				answered <- struct{}{}
				if k.dead() { // the answer to the last write is never heard
					return
				}
				_, _ = client.Write(buffer[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 1<<20)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		switch k.write() {
		case writeNot:
			k.kill()
			return
		case writeLast:
			for len(answered) > 0 {
				<-answered
			}
			_, _ = server.Write(buffer[:n])
			select {
			case <-answered: // done, durably or not: nobody will hear of it
			case <-time.After(time.Second):
			}
			k.kill()
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

const (
	writeOn = iota
	writeNot
	writeLast
)

// write counts a write, and says what becomes of it.
func (k *killing) write() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at == 0 {
		return writeOn
	}
	k.seen++
	switch {
	case k.seen < k.at:
		return writeOn
	case k.after && k.seen == k.at:
		return writeLast
	}
	return writeNot
}

// dead says whether the last write has been made.
func (k *killing) dead() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.at > 0 && k.seen >= k.at
}

func (k *killing) kill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.died:
		return
	default:
	}
	if err := errors.Join(k.child.Process.Kill(), k.server.Crash()); err != nil {
		k.t.Error(err)
	}
	close(k.died)
}

// round runs a process that publishes one block, and is killed at its n-th write, from 1, or not at all. It says whether there was such a
// write; the server runs again then.
func (k *killing) round(n int, after bool) (killed bool) {
	k.t.Helper()
	said, childSaid, err := os.Pipe()
	must(k.t, err)
	goOn, tell, err := os.Pipe()
	must(k.t, err)
	defer said.Close()
	defer tell.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPublishingProcess$")
	cmd.Env = append(os.Environ(), crashURL+"=postgres://scrim@/scrim?port=5432&host="+k.proxy, crashHome+"="+k.home)
	cmd.ExtraFiles = []*os.File{childSaid, goOn}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	k.mu.Lock()
	k.child, k.at, k.after, k.seen, k.died = cmd, 0, after, 0, make(chan struct{})
	k.mu.Unlock()
	must(k.t, cmd.Start())
	must(k.t, errors.Join(childSaid.Close(), goOn.Close()))
	finished := false
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		switch word, rest, _ := strings.Cut(lines.Text(), " "); word {
		case "ready", "finished":
			k.mu.Lock()
			if k.at = n; word == "finished" {
				k.at = 0 // what it writes when it closes is no publication
			}
			k.mu.Unlock()
			finished = word == "finished"
			_, err := tell.WriteString("\n")
			must(k.t, err)
		case "signed":
			k.sign(rest)
		default:
			k.t.Errorf("the process: %s", lines.Text())
		}
	}
	err = cmd.Wait()
	if finished {
		must(k.t, err)
		return false
	}
	select {
	case <-k.died:
	case <-time.After(10 * time.Second):
		k.t.Fatalf("the process ended by itself: %v\n%s", err, out.String())
	}
	k.kills++
	k.server.Restart()
	k.found()
	return true
}

// sign takes what has left a process.
func (k *killing) sign(what string) {
	size, root, _ := strings.Cut(what, " ")
	n, err := strconv.ParseUint(size, 10, 64)
	must(k.t, err)
	k.signatures++
	if before, ok := k.signed[n]; ok && before != root {
		k.t.Errorf("the checkpoint of %d entries is signed with the roots %s and %s", n, before, root)
	}
	k.signed[n] = root
}

// check holds the recovered database to what has been signed, and to itself.
func (k *killing) check() {
	t, ctx := k.t, k.t.Context()
	t.Helper()
	store, err := pg.Open(ctx, k.server.URL("scrim"))
	must(t, err)
	defer store.Close()
	must(t, store.CheckDurable(ctx))
	log, height := logIn(t, store)
	c, err := store.LogCheckpoint(ctx, 0)
	must(t, err)
	if *c != (pg.LogCheckpoint{Size: log.Size(), Root: log.Root(), Height: height}) {
		t.Errorf("the newest checkpoint is %+v, the entries give %d with root %s at height %d", c, log.Size(), log.Root(), height)
	}
	root, err := tiles.Root(c.Size, func(i []int64) ([]commitreveal.Hash, error) { return store.LogHashes(ctx, i) })
	if err != nil || root != c.Root {
		t.Errorf("the hashes give the root %s, %v", root, err)
	}
	for size, root := range k.signed {
		if c, err := store.LogCheckpoint(ctx, size); err != nil || c.Root.String() != root {
			t.Errorf("%d entries with root %s were signed, the database has %+v, %v", size, root, c, err)
		}
	}
	record, err := openSignedLog(filepath.Join(k.home, signedLogName), sim.ChainID)
	must(t, err)
	if last := record.largest(); last.size > 0 {
		if c, err := store.LogCheckpoint(ctx, last.size); err != nil || c.Root != last.root {
			t.Errorf("the record is of %+v, the database has %+v, %v", last, c, err)
		}
	}
}

// logIn rebuilds the log from the entries of a database.
func logIn(t *testing.T, store *pg.Store) (log commitreveal.Log, height uint64) {
	t.Helper()
	c, err := store.Chain(t.Context())
	if errors.Is(err, pg.ErrEmpty) {
		must(t, store.InitChain(t.Context(), pg.Chain{ChainID: sim.ChainID, Snapshot: []byte("s"), Ceremony: []byte("c")}))
		return log, 0
	}
	must(t, err)
	for {
		entries, err := store.LogEntries(t.Context(), log.Size(), 0)
		must(t, err)
		if len(entries) == 0 {
			return log, c.Height
		}
		for _, e := range entries {
			log, _, err = log.Append(e.Entry)
			must(t, err)
		}
	}
}

// outside is where signatures go when they leave the process.
type outside struct{ w io.Writer }

func (o outside) Send(ed25519.PublicKey, []byte) bool { return true }

func (o outside) Broadcast(m []byte) {
	h := m[2:]
	o.signed(binary.BigEndian.Uint64(h), commitreveal.Hash(h[8:40]))
}

func (o outside) signed(size uint64, root commitreveal.Hash) {
	fmt.Fprintf(o.w, "signed %d %s\n", size, root)
}

// TestPublishingProcess is the process that TestPublicationKilledAtEveryWrite kills: it signs the head that it finds, as a node does
// when it starts, then commits a block and publishes it.
func TestPublishingProcess(t *testing.T) {
	if os.Getenv(crashURL) == "" {
		t.Skip("only for TestPublicationKilledAtEveryWrite")
	}
	ctx := t.Context()
	out, in := os.NewFile(3, "said"), os.NewFile(4, "go")
	store, err := pg.Open(ctx, os.Getenv(crashURL))
	must(t, err)
	defer store.Close()
	log, height := logIn(t, store)
	p := newPublisher()
	p.chainID, p.identity, p.store, p.net, p.log = sim.ChainID, ed25519.NewKeyFromSeed(make([]byte, 32)), store, outside{out}, slog.New(slog.NewTextHandler(os.Stderr, nil))
	p.epoch, p.members = 1, []keygen.Member{{Identity: p.identity.Public().(ed25519.PublicKey)}}
	p.before, err = openSignedLog(filepath.Join(os.Getenv(crashHome), signedLogName), sim.ChainID)
	must(t, err)
	p.setActive()
	must(t, p.once(ctx))       // what a process before this one committed, and may have signed or not
	say := func(word string) { // and waits for an answer
		_, err := fmt.Fprintln(out, word)
		must(t, err)
		_, err = in.Read(make([]byte, 1))
		must(t, err)
	}
	say("ready")

	r := &ordering.Result{Height: height + 1, AppHash: [32]byte{byte(height)}, Snapshot: []byte("s")}
	for range 3 {
		entry := []byte("entry " + rand.Text()) // of this process alone
		next, hashes, err := log.Append(entry)
		must(t, err)
		r.Records = append(r.Records, ordering.Record{Index: log.Size(), Entry: entry, Hashes: hashes})
		log = next
	}
	must(t, store.CommitBlock(ctx, r))
	p.heads = []head{{log.Size(), log.Root()}}
	must(t, p.once(ctx))
	row, err := store.LogCheckpoint(ctx, 0)
	must(t, err)
	n, err := p.signed(ctx, row) // as for GET /v1/log/checkpoint
	must(t, err)
	c, err := note.ParseCheckpoint(n.Text)
	must(t, err)
	outside{out}.signed(c.Size, c.Root)
	say("finished")
}
