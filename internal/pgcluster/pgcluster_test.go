package pgcluster_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/internal/pgcluster"
)

// childDir makes this test program a process that runs a cluster in the folder named.
const childDir = "SCRIM_PGCLUSTER_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	os.Unsetenv(pgcluster.EnvURL) // these tests are about private servers
	code := m.Run()
	dir, _ := madeOnce() // a failure has been reported
	os.RemoveAll(dir)
	os.Exit(code)
}

// child runs a cluster. On SIGINT it shows that the server is still there, as nodes that
// shut down need it, then stops it.
func child(dir string) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	server, err := pgcluster.Provide(context.Background(), dir, quiet, pgcluster.WithoutSync())
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("ready", server.Socket())
	<-ctx.Done()
	defer stop()
	time.Sleep(300 * time.Millisecond)
	fmt.Println("alive", pgcluster.Listening(server.Socket()))
	fmt.Println("stopped", server.Stop())
}

var quiet = slog.New(slog.DiscardHandler)

// folder is one that every user reaches.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgcluster-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// madeOnce is a folder with a cluster. Copying it is quicker than initdb.
var madeOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pgcluster-made-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return dir, err
	}
	server, err := pgcluster.Provide(context.Background(), dir, quiet, pgcluster.WithoutSync())
	if err != nil {
		return dir, err
	}
	return dir, server.Stop()
})

// made is a folder with a cluster that was stopped.
func made(t *testing.T) string {
	t.Helper()
	from, err := madeOnce()
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	if out, err := exec.Command("cp", "-a", filepath.Join(from, "data"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

func provide(t *testing.T, dir string, opts ...pgcluster.Option) *pgcluster.Server {
	t.Helper()
	server, err := pgcluster.Provide(t.Context(), dir, quiet, append(opts, pgcluster.WithoutSync())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Remove(); err != nil && !errors.Is(err, pgcluster.ErrInUse) {
			t.Error(err)
		}
	})
	return server
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	out, err := exec.Command("psql", "-X", "-A", "-t", "-d", url, "-c", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

func stop(t *testing.T, s *pgcluster.Server) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if pgcluster.Listening(s.Socket()) {
		t.Fatal("the server still listens after Stop")
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(30 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not happen: " + what)
		}
	}
}

func TestProvide(t *testing.T) {
	// What would lead the programs astray.
	for _, v := range []string{"PGHOST", "PGDATA", "PGDATABASE", "PGUSER", "PGSERVICE", "PGOPTIONS", "LC_ALL", "LANG"} {
		t.Setenv(v, "nonsense")
	}
	t.Setenv("PGPORT", "1")
	dir := folder(t)
	server := provide(t, filepath.Join(dir, "a new", "folder, with commas"))
	for _, v := range []string{"PGHOST", "PGDATA", "PGDATABASE", "PGUSER", "PGSERVICE", "PGOPTIONS", "PGPORT", "LC_ALL", "LANG"} {
		os.Unsetenv(v) // for psql
	}
	for range 2 {
		if err := server.CreateDatabase(t.Context(), "member_1"); err != nil {
			t.Fatal(err)
		}
	}
	query(t, server.URL("member_1"), "CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)")
	for setting, want := range map[string]string{
		"listen_addresses": "", "max_connections": "200", "server_encoding": "UTF8", "fsync": "off", "unix_socket_permissions": "0700",
	} {
		if got := query(t, server.AdminURL(), "SHOW "+setting); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	stop(t, server)
	stop(t, server)
	select {
	case <-server.Done():
	default:
		t.Error("Done is open after Stop")
	}

	again := provide(t, filepath.Join(dir, "a new", "folder, with commas"))
	if got := query(t, again.URL("member_1"), "SELECT n FROM kept"); got != "42" {
		t.Errorf("after a restart: %q", got)
	}
	if err := again.Remove(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "a new", "*")); len(left) != 0 {
		t.Errorf("Remove left %v", left)
	}
}

// A demo's data survives a power cut.
func TestSyncIsTheDefault(t *testing.T) {
	server, err := pgcluster.Provide(t.Context(), made(t), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Remove()
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if got := query(t, server.AdminURL(), "SHOW "+setting); got != "on" {
			t.Errorf("%s = %s", setting, got)
		}
	}
}

// outOfReach is a folder below one that only root may enter.
func outOfReach(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root steps down to another user")
	}
	closed := folder(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(closed, "pg")
}

func TestFolderOutOfReach(t *testing.T) {
	dir := outOfReach(t)
	server := provide(t, dir)
	if server.Base() != dir {
		t.Skipf("no user namespaces here: the data is at %s", server.Base())
	}
	query(t, server.AdminURL(), "CREATE TABLE kept (n int)")
	stop(t, server)
	again := provide(t, dir)
	query(t, again.AdminURL(), "SELECT * FROM kept")
	stop(t, again)

	p := startChild(t, dir) // bound to its parent as ever
	p.Process.Kill()
	p.Wait()
	eventually(t, "the server ends", func() bool { return !pgcluster.Listening(p.socket) })
}

func TestFolderOutOfReachWithoutNamespace(t *testing.T) {
	dir := outOfReach(t)
	server := provide(t, dir, pgcluster.WithoutNamespace())
	base := server.Base()
	if strings.HasPrefix(base, filepath.Dir(dir)) {
		t.Fatalf("the data is at %s, which the server's user cannot reach", base)
	}
	query(t, server.AdminURL(), "CREATE TABLE kept (n int)")
	stop(t, server)
	again := provide(t, dir, pgcluster.WithoutNamespace())
	if again.Base() != base {
		t.Errorf("the second start uses %s, not %s", again.Base(), base)
	}
	query(t, again.AdminURL(), "SELECT * FROM kept")
	if err := again.Remove(); err != nil {
		t.Error(err)
	}
	for _, gone := range []string{base, dir} {
		if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", gone, err)
		}
	}

	// Somebody else has taken the name meanwhile: it is not used.
	squatted := folder(t)
	if err := os.Chown(squatted, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "elsewhere"), []byte(squatted), 0o600); err != nil {
		t.Fatal(err)
	}
	if third := provide(t, dir, pgcluster.WithoutNamespace()); third.Base() == squatted {
		t.Error("another user's folder was used")
	}
}

func TestLongPath(t *testing.T) {
	dir := filepath.Join(folder(t), strings.Repeat("long/", 25))
	server := provide(t, dir)
	if got := query(t, server.AdminURL(), "SELECT 1"); got != "1" {
		t.Error(got)
	}
	if !strings.HasPrefix(server.Base(), dir) {
		t.Errorf("only the socket moves, not the data: %s", server.Base())
	}
	stop(t, server)
	if _, err := os.Stat(server.SocketDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's folder is left: %v", err)
	}
}

func TestInUse(t *testing.T) {
	defer pgcluster.SetLockWait(100 * time.Millisecond)()
	dir := made(t)
	server := provide(t, dir)
	if _, err := pgcluster.Provide(t.Context(), dir, quiet); !errors.Is(err, pgcluster.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second: %v", err)
	}
	if got := query(t, server.AdminURL(), "SELECT 1"); got != "1" {
		t.Error("the first one was disturbed")
	}

	// Who has stopped cannot delete what the next one runs.
	stop(t, server)
	next := provide(t, dir)
	if err := server.Remove(); !errors.Is(err, pgcluster.ErrInUse) {
		t.Errorf("remove: %v", err)
	}
	if got := query(t, next.AdminURL(), "SELECT 1"); got != "1" {
		t.Error("the next one was disturbed")
	}
}

// Of processes that make the cluster at the same time, each gets it, one after the other.
func TestFirstStartsRace(t *testing.T) {
	defer pgcluster.SetLockWait(time.Minute)()
	dir := folder(t)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			server, err := pgcluster.Provide(t.Context(), dir, quiet, pgcluster.WithoutSync())
			if err != nil {
				t.Error(err)
				return
			}
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if left, _ := filepath.Glob(filepath.Join(dir, "data.new-*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestOtherVersion(t *testing.T) {
	dir := made(t)
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := pgcluster.Provide(t.Context(), dir, quiet)
	if !errors.Is(err, pgcluster.ErrVersion) || !strings.Contains(err.Error(), "install PostgreSQL 99") {
		t.Error(err)
	}
}

func TestNoPrograms(t *testing.T) {
	for name, path := range map[string]string{"nothing": folder(t), "unset": ""} {
		_, err := pgcluster.Provide(t.Context(), folder(t), quiet, pgcluster.WithPrograms(path))
		if !errors.Is(err, pgcluster.ErrNoPostgres) || !strings.Contains(err.Error(), "apt-get install postgresql") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func script(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestInstalls(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root installs")
	}
	real := provide(t, made(t)).Programs()
	path := folder(t)
	script(t, filepath.Join(path, "apt-get"), fmt.Sprintf(`
echo "$@" >> %[1]s/called
if [ "$1" = install ]; then ln -s %[2]s/initdb %[2]s/postgres %[1]s/; fi`, path, real))
	server := provide(t, made(t), pgcluster.WithPrograms(path))
	if server.Programs() != real {
		t.Errorf("links were not followed: %s", server.Programs())
	}
	called, err := os.ReadFile(filepath.Join(path, "called"))
	if err != nil || string(called) != "update\ninstall --yes --no-install-recommends postgresql\n" {
		t.Errorf("called %q %v", called, err)
	}

	broken := folder(t)
	script(t, filepath.Join(broken, "apt-get"), "echo no network >&2; exit 100")
	_, err = pgcluster.Provide(t.Context(), folder(t), quiet, pgcluster.WithPrograms(broken))
	if !errors.Is(err, pgcluster.ErrNoPostgres) || !strings.Contains(err.Error(), "no network") {
		t.Errorf("apt-get fails: %v", err)
	}
}

// What the programs say is in the error, and a failed start can be repeated.
func TestFailedStart(t *testing.T) {
	broken := folder(t)
	script(t, filepath.Join(broken, "initdb"), "echo the disk is full >&2; exit 1")
	script(t, filepath.Join(broken, "postgres"), "echo 'postgres (PostgreSQL) 17.1'")
	dir := folder(t)
	_, err := pgcluster.Provide(t.Context(), dir, quiet, pgcluster.WithPrograms(broken))
	if err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("initdb fails: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "data.new-half"), 0o700); err != nil {
		t.Fatal(err)
	}
	server := provide(t, dir)
	stop(t, server)
	if left, _ := filepath.Glob(filepath.Join(dir, "data.new-*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}

	conf, err := os.OpenFile(filepath.Join(dir, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(conf, "no_such_setting = 1")
	conf.Close()
	if _, err = pgcluster.Provide(t.Context(), dir, quiet); err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("postgres fails: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := pgcluster.Provide(ctx, folder(t), quiet); err == nil {
		t.Error("a start that was cancelled succeeded")
	}
}

func TestServerDies(t *testing.T) {
	dir := made(t)
	server := provide(t, dir)
	query(t, server.AdminURL(), "CREATE TABLE kept (n int); CHECKPOINT")
	if err := syscall.Kill(server.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-server.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("nobody noticed")
	}
	stop(t, server)
	query(t, provide(t, dir).AdminURL(), "SELECT * FROM kept") // its socket and pid file were left behind
}

func TestOrphanIsReplaced(t *testing.T) {
	dir := made(t)
	server := provide(t, dir)
	stop(t, server)
	if err := server.Orphan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !pgcluster.Listening(server.Socket()) {
		t.Fatal("there is no orphan")
	}
	again := provide(t, dir)
	if got := query(t, again.AdminURL(), "SHOW max_connections"); got != "200" {
		t.Errorf("the orphan still serves: max_connections = %s", got)
	}
}

// A pid file whose process id belongs to somebody else now does not lead to that one's end.
func TestStalePidFile(t *testing.T) {
	dir := made(t)
	server := provide(t, dir)
	stop(t, server)
	bystander := exec.Command("sleep", "60")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer bystander.Wait()
	defer bystander.Process.Kill()
	pid := fmt.Sprintf("%d\n%s/data\n0\n5432\n%s\n\n0 0\nready   \n", bystander.Process.Pid, dir, server.SocketDir())
	if err := os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(pid), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := pgcluster.Provide(t.Context(), dir, quiet, pgcluster.WithoutSync())
	if err == nil {
		again.Stop()
	}
	if err := bystander.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the bystander was ended: %v", err)
	}
}

type process struct {
	*exec.Cmd
	out    *bufio.Reader
	socket string
}

func startChild(t *testing.T, dir string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a shell's job
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	p := &process{Cmd: cmd, out: bufio.NewReader(pipe)}
	line, err := p.out.ReadString('\n')
	socket, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ok {
		t.Fatalf("the child says %q, %v", line, err)
	}
	p.socket = socket
	return p
}

// The server does not outlive its parent, even when that one cannot do anything about it.
func TestParentIsKilled(t *testing.T) {
	dir := made(t)
	for range 3 {
		p := startChild(t, dir)
		if !pgcluster.Listening(p.socket) {
			t.Fatal("the server does not listen")
		}
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.Wait()
		eventually(t, "the server ends", func() bool { return !pgcluster.Listening(p.socket) })
		eventually(t, "its processes end", func() bool { return !processMentions(t, dir) })
	}
	// At once after the kill, while the old server may still be ending.
	p := startChild(t, dir)
	p.Process.Kill()
	p.Wait()
	query(t, provide(t, dir).AdminURL(), "SELECT 1")
}

// processMentions reports whether a process other than this one has dir in its command line.
func processMentions(t *testing.T, dir string) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Skip("no /proc")
	}
	for _, f := range files {
		b, _ := os.ReadFile(f) // the process may be gone
		if bytes.Contains(b, []byte(dir)) && filepath.Base(filepath.Dir(f)) != strconv.Itoa(os.Getpid()) {
			return true
		}
	}
	return false
}

// Ctrl-C at a terminal goes to the whole process group: the parent's, not the server's.
func TestInterruptLeavesTheServerToItsParent(t *testing.T) {
	p := startChild(t, made(t))
	if err := syscall.Kill(-p.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(p.out)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("alive true\nstopped <nil>\n", string(said)); d != "" {
		t.Error(d)
	}
}

func TestCreateDatabase(t *testing.T) {
	server := provide(t, made(t))
	for _, name := range []string{"", "a b", `x"; DROP`, "Upper", "1st", "a'b", strings.Repeat("a", 64)} {
		if err := server.CreateDatabase(t.Context(), name); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if err := server.CreateDatabase(t.Context(), "together"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := query(t, server.URL("together"), "SELECT current_database()"); got != "together" {
		t.Error(got)
	}
}

func TestNamedServer(t *testing.T) {
	private := provide(t, made(t))
	t.Setenv(pgcluster.EnvURL, private.AdminURL())
	dir := filepath.Join(folder(t), "unused")
	server, err := pgcluster.Provide(t.Context(), dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was used: %v", err)
	}
	if err := server.CreateDatabase(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if err := server.Remove(); err != nil {
		t.Error(err)
	}
	if got := query(t, server.URL("other"), "SELECT current_database()"); got != "other" {
		t.Error(got)
	}

	for admin, want := range map[string]string{
		"postgres://u:p@h:1/postgres?sslmode=disable": "postgres://u:p@h:1/x?sslmode=disable",
		"postgres://h/a?options=-c%20jit%3Doff":       "postgres://h/x?options=-c%20jit%3Doff",
		"postgresql://h/?dbname=postgres&user=u":      "postgresql://h/x?user=u",
		"postgres://h":                                "postgres://h/x",
		"host=h dbname=postgres":                      "host=h dbname=postgres dbname=x",
	} {
		t.Setenv(pgcluster.EnvURL, admin)
		server, err := pgcluster.Provide(t.Context(), dir, quiet)
		if err != nil || server.URL("x") != want {
			t.Errorf("%s: %s, want %s (%v)", admin, server.URL("x"), want, err)
		}
	}
}

func TestWithoutPassword(t *testing.T) {
	rest, password := pgcluster.WithoutPassword("postgres://u:hush%2Fhush@h:1/db?sslmode=disable")
	if rest != "postgres://u@h:1/db?sslmode=disable" || password != "hush/hush" {
		t.Errorf("%s %s", rest, password)
	}
}

func TestParseMajor(t *testing.T) {
	for version, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 18beta1\n":                        18,
		"postgres (PostgreSQL) 9.6.24\n":                         9,
		"something else":                                         0,
		"":                                                       0,
	} {
		if got := pgcluster.ParseMajor(version); got != want {
			t.Errorf("%q: %d, want %d", version, got, want)
		}
	}
}

func TestLastLines(t *testing.T) {
	long := strings.Repeat("a line of some length\n", 100) + "the end\n"
	got := pgcluster.LastLines([]byte(long))
	if len(got) > 1000 || !strings.HasSuffix(got, "the end") || !strings.HasPrefix(got, "a line") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := pgcluster.LastLines([]byte(" short \n")); got != "short" {
		t.Errorf("%q", got)
	}
}
