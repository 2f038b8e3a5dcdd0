package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/scrimlabs/scrim/internal/child"
)

const (
	superuser  = "scrim"
	port       = "5432" // only part of the socket's name
	socketName = ".s.PGSQL." + port
	// maxSocketPath is what the smallest of the systems' socket addresses holds (macOS; Linux has 107).
	maxSocketPath  = 103
	maxConnections = 200 // four nodes and the tests beside them

	fastWait  = 20 * time.Second // for a clean shutdown with its checkpoint
	quickWait = 5 * time.Second  // for a shutdown without
	poll      = 10 * time.Millisecond
)

var lockWait = 5 * time.Second // for a predecessor that is just stopping

// cluster is a private cluster. Below its base folder:
//
//	data/          the cluster, owned by the account that runs it
//	data.new-*     a cluster being made; renamed to data when complete
//	run/           the socket, unless its path would be too long
//	postgres.log   what the server said since the last start
//
// The folder that was asked for has the file lock, held while the server runs, and
// perhaps the file elsewhere, which names the base folder if it is another one.
type cluster struct {
	dir, base, data, sockets string
	user                     account
	programs                 programs
	options                  options
	lock                     *os.File
	cmd                      *exec.Cmd
	done                     chan struct{}
	mu                       sync.Mutex // of stop and remove
}

func startCluster(ctx context.Context, dir string, o options, log *slog.Logger) (_ *cluster, err error) {
	c := &cluster{options: o, done: make(chan struct{})}
	if c.dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := makeDir(c.dir, 0o755); err != nil {
		return nil, err
	}
	if err := c.takeLock(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.release()
		}
	}()
	if err := c.settle(); err != nil {
		return nil, err
	}
	if c.programs, err = choosePrograms(ctx, c.data, o, log); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := c.initialise(ctx); err != nil {
		return nil, err
	}
	if err := c.endPredecessor(ctx); err != nil {
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	log.Info("started a private Postgres", "version", c.programs.major, "data", c.data, "socket_dir", c.sockets,
		"took_ms", time.Since(began).Milliseconds())
	return c, nil
}

// makeDir creates dir with exactly this mode, whatever the umask; an existing one stays as it is.
func makeDir(dir string, mode os.FileMode) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, mode)
}

// takeLock makes this process the only one that runs the cluster. The kernel
// gives the lock back when the process ends, however it does.
func (c *cluster) takeLock(ctx context.Context) error {
	for deadline := time.Now().Add(lockWait); ; {
		f, err := tryLock(filepath.Join(c.dir, "lock"))
		if err != nil {
			return err
		}
		if f != nil {
			c.lock = f
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: %s; stop it, or use another folder", ErrInUse, c.dir)
		}
		if err := sleep(ctx, poll); err != nil {
			return err
		}
	}
}

// tryLock locks the file, or gives nil if another process has it.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		_ = f.Close()
		return nil, nil
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !isAt(f, path) {
		_ = f.Close() // it was removed while we waited: the lock is on nothing
		return nil, nil
	}
	return f, nil
}

// isAt reports whether path leads to the open file.
func isAt(f *os.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

// settle decides where the files go and who runs the server.
func (c *cluster) settle() error {
	c.base = c.dir
	if where, err := os.ReadFile(filepath.Join(c.dir, "elsewhere")); err == nil && ours(strings.TrimSpace(string(where))) {
		c.base = strings.TrimSpace(string(where))
	}
	c.data = filepath.Join(c.base, "data")
	info, err := os.Stat(c.data)
	switch {
	case err == nil:
		c.user, err = ownerAccount(c.data, info)
	case errors.Is(err, os.ErrNotExist):
		err = c.settleNew()
	}
	if err != nil {
		return err
	}
	return c.settleSockets()
}

// settleNew does it for a cluster that is to be made. If the one whom root steps
// down to cannot reach the folder, root itself in a user namespace can; where there are none,
// the files go elsewhere.
func (c *cluster) settleNew() (err error) {
	if c.user, err = newAccount(); err != nil {
		return err
	}
	if c.user.reaches(c.base) {
		return nil
	}
	if inside := c.user.inNamespace(); !c.options.noNamespace && inside.reaches(c.base) {
		c.user = inside
		return nil
	}
	if c.base, err = makeElsewhere(c.user); err != nil {
		return err
	}
	c.data = filepath.Join(c.base, "data")
	return os.WriteFile(filepath.Join(c.dir, "elsewhere"), []byte(c.base+"\n"), 0o600)
}

// ours reports whether dir is a folder that this user made: names in a temporary folder
// can be taken by others once they are free.
func ours(dir string) bool {
	info, err := os.Lstat(dir)
	return err == nil && info.IsDir() && info.Sys().(*syscall.Stat_t).Uid == uint32(os.Geteuid())
}

// makeElsewhere makes a folder that the account can reach.
func makeElsewhere(a account) (string, error) {
	for _, parent := range []string{os.TempDir(), "/var/tmp", "/tmp"} {
		if !a.reaches(parent) {
			continue
		}
		dir, err := os.MkdirTemp(parent, "scrim-postgres-")
		if err != nil {
			continue
		}
		return dir, os.Chmod(dir, 0o711)
	}
	return "", fmt.Errorf("user %d, who must run Postgres, reaches neither the folder asked for nor a temporary one", a.uid)
}

// settleSockets makes the folder of the socket, whose path has a short limit and in a
// URL must not have a comma.
func (c *cluster) settleSockets() (err error) {
	c.sockets = filepath.Join(c.base, "run")
	if len(filepath.Join(c.sockets, socketName)) > maxSocketPath || strings.Contains(c.sockets, ",") {
		if c.sockets, err = os.MkdirTemp("/tmp", "scrim-"); err != nil {
			return err
		}
	} else if err := makeDir(c.sockets, 0o700); err != nil {
		return err
	}
	return c.user.own(c.sockets)
}

// initialise makes the cluster if there is none. It is made in a side folder, so
// that data exists only complete.
func (c *cluster) initialise(ctx context.Context) error {
	halves, _ := filepath.Glob(filepath.Join(globQuote(c.base), "data.new-*"))
	for _, half := range halves {
		if err := os.RemoveAll(half); err != nil {
			return err
		}
	}
	if _, err := os.Stat(c.data); err == nil {
		return nil
	}
	side, err := os.MkdirTemp(c.base, "data.new-")
	if err != nil {
		return err
	}
	if err := c.user.own(side); err != nil {
		return err
	}
	args := []string{"--pgdata", side, "--username", superuser, "--encoding", "UTF8", "--locale", "C",
		"--auth-local", "trust", "--auth-host", "reject"}
	if c.options.noSync {
		args = append(args, "--no-sync")
	}
	cmd := c.command(ctx, "initdb", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("initdb: %w: %s", err, lastLines(out)), os.RemoveAll(side))
	}
	return os.Rename(side, c.data)
}

// globQuote escapes what Glob would take for a pattern.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// command prepares a server program, run by the account. A cancelled ctx kills its
// whole group: initdb has children.
func (c *cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.programs.path(name), args...)
	cmd.Env = cleanEnvironment()
	cmd.Dir = c.base
	c.user.apply(cmd)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// cleanEnvironment drops what would make the programs talk to another server, or
// in another language.
func cleanEnvironment() []string {
	env := []string{"LC_ALL=C"}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PG") && !strings.HasPrefix(e, "LC_") && !strings.HasPrefix(e, "LANG") {
			env = append(env, e)
		}
	}
	return env
}

// endPredecessor ends a server that is still there although we hold the lock: the
// process that started it is gone, and its own end is under way or failed.
// A process id proves nothing, so the socket is asked whether somebody listens.
func (c *cluster) endPredecessor(ctx context.Context) error {
	lines := c.pidFile()
	if len(lines) < 5 || !listening(filepath.Join(lines[4], socketName)) {
		return nil
	}
	out, err := c.command(ctx, "pg_ctl", "stop", "--pgdata", c.data, "--mode", "fast", "--wait").CombinedOutput()
	if err != nil && listening(filepath.Join(lines[4], socketName)) {
		return fmt.Errorf("an earlier server still runs in %s and does not stop: %s", c.data, lastLines(out))
	}
	return nil
}

// pidFile is the server's own account of itself: line 0 is its process id, line 4 the
// folder of its socket, line 7 its status.
func (c *cluster) pidFile() []string {
	b, err := os.ReadFile(filepath.Join(c.data, "postmaster.pid"))
	if err != nil {
		return nil
	}
	return strings.Split(string(b), "\n")
}

func listening(socket string) bool {
	conn, err := net.Dial("unix", socket) //nolint:noctx // the kernel answers at once
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// lingerWait is how long the processes of a server that was killed may take to end. They
// notice by themselves, and no server starts in the folder before.
const lingerWait = 20 * time.Second

func (c *cluster) start(ctx context.Context) error {
	for until := time.Now().Add(lingerWait); ; {
		err := c.launch(ctx)
		if err == nil || !strings.Contains(err.Error(), "pre-existing shared memory block") || time.Now().After(until) {
			return err
		}
		if err := sleep(ctx, 10*poll); err != nil {
			return err
		}
	}
}

func (c *cluster) launch(ctx context.Context) error {
	logFile, err := os.Create(filepath.Join(c.base, "postgres.log"))
	if err != nil {
		return err
	}
	defer logFile.Close() // the server has its own descriptor

	// Not bound to ctx: that is for the start only.
	c.cmd = c.command(context.WithoutCancel(ctx), "postgres", c.settings()...)
	c.cmd.Stdout, c.cmd.Stderr = logFile, logFile
	done := make(chan struct{})
	c.done = done
	if err := child.Start(c.cmd, syscall.SIGINT, func() { close(done) }); err != nil {
		return err
	}
	if err := c.waitReady(ctx); err != nil {
		return errors.Join(err, c.shutDown())
	}
	return nil
}

func (c *cluster) settings() []string {
	args := []string{"-D", c.data}
	set := func(name, value string) { args = append(args, "-c", name+"="+value) }
	set("listen_addresses", "")
	set("unix_socket_directories", `"`+strings.ReplaceAll(c.sockets, `"`, `""`)+`"`)
	set("unix_socket_permissions", "0700")
	set("port", port)
	set("max_connections", strconv.Itoa(maxConnections))
	set("wal_level", "minimal") // there is no replica
	set("max_wal_senders", "0")
	set("log_min_messages", "warning")
	if c.options.noSync {
		set("fsync", "off")
		set("full_page_writes", "off")
		set("autovacuum_naptime", "10min") // keeps it out of the way of short tests
	}
	return args
}

// waitReady reads the status that pg_ctl reads: connections are accepted from then on.
func (c *cluster) waitReady(ctx context.Context) error {
	pid := strconv.Itoa(c.cmd.Process.Pid)
	for {
		lines := c.pidFile()
		if len(lines) > 7 && lines[0] == pid && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("the server ended at its start (%s): %s", c.cmd.ProcessState, c.logEnd())
		case <-ctx.Done():
			return fmt.Errorf("the server did not become ready: %w: %s", ctx.Err(), c.logEnd())
		case <-time.After(poll):
		}
	}
}

func (c *cluster) logEnd() string {
	b, err := os.ReadFile(filepath.Join(c.base, "postgres.log"))
	if err != nil {
		return err.Error()
	}
	return lastLines(b)
}

func (c *cluster) url(db string) string {
	u := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + db}
	u.RawQuery = encodeQuery(url.Values{"host": {c.sockets}, "port": {port}})
	return u.String()
}

// stop ends the server and gives the folder back.
func (c *cluster) stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.release()
	return c.shutDown()
}

// crash ends the server and all that it has started, none of which can act any more before the others are ended.
func (c *cluster) crash() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.release()
	pid := c.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // it starts no more
		return err
	}
	children, err := childrenOf(pid)
	if err != nil {
		return err
	}
	for _, child := range children {
		_ = syscall.Kill(child, syscall.SIGKILL) // an error means that it has ended
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	<-c.done
	return nil
}

// shutDown asks three times, each time less politely.
func (c *cluster) shutDown() error {
	for _, ask := range []struct {
		sig  syscall.Signal
		wait time.Duration
	}{{syscall.SIGINT, fastWait}, {syscall.SIGQUIT, quickWait}, {syscall.SIGKILL, quickWait}} {
		_ = c.cmd.Process.Signal(ask.sig) // an error means that it has ended
		select {
		case <-c.done:
			return nil
		case <-time.After(ask.wait):
		}
	}
	return fmt.Errorf("the Postgres in %s (process %d) does not end", c.data, c.cmd.Process.Pid)
}

// release gives back what the running cluster held.
func (c *cluster) release() {
	if c.sockets != "" && filepath.Dir(c.sockets) != c.base {
		_ = os.RemoveAll(c.sockets)
	}
	if c.lock != nil {
		_ = c.lock.Close()
		c.lock = nil
	}
}

// remove ends the server and deletes everything that was made, and the folders if nothing
// else is in them; under the lock, so that nobody starts the cluster meanwhile.
func (c *cluster) remove() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.release()
	if err := c.shutDown(); err != nil {
		return err
	}
	if _, err := os.Stat(c.dir); errors.Is(err, os.ErrNotExist) && c.base == c.dir {
		return nil
	}
	if c.lock == nil { // stopped before
		if err := makeDir(c.dir, 0o755); err != nil {
			return err
		}
		if err := c.takeLock(context.Background()); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range []string{"data", "run", "postgres.log"} {
		errs = append(errs, os.RemoveAll(filepath.Join(c.base, name)))
	}
	for _, name := range []string{"elsewhere", "lock"} {
		errs = append(errs, os.RemoveAll(filepath.Join(c.dir, name)))
	}
	_ = os.Remove(c.base)
	_ = os.Remove(c.dir)
	return errors.Join(errs...)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
