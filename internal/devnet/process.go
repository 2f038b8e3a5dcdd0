package devnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/scrimlabs/scrim/httpapi/client"
	"github.com/scrimlabs/scrim/internal/child"
	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/keygen"
)

// Node is one member's node. It may be started and ended any number of times.
type Node struct {
	Name    string
	URL     string // of its REST interface
	Config  *node.Config
	LogFile string // what it writes to standard output and error, over all its starts
	Client  *client.Client

	command []string
	env     []string

	mu   sync.Mutex
	proc *process // of the last start
}

// Home is the member's home folder: what --home of 'scrim member' names.
func (n *Node) Home() string { return n.Config.Home }

// CardFile is the path of the member's public card.
func (n *Node) CardFile() string { return n.Config.CardFile() }

// Card reads and verifies the member's public card.
func (n *Node) Card() (*keygen.Card, error) { return home.ReadCard(n.CardFile()) }

// process is one start of a node.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// stopWait is how long a node may take to end when asked.
const stopWait = 10 * time.Second

// Start starts the node with extra environment variables, such as those of a
// fault injection; it does not wait until it is ready.
func (n *Node) Start(env ...string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil && !n.proc.ended() {
		return fmt.Errorf("devnet: %s runs already", n.Name)
	}
	logFile, err := os.OpenFile(n.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("devnet: %w", err)
	}
	defer logFile.Close() // the child has its own descriptor
	args := append(append([]string{}, n.command[1:]...), "start", "--home", n.Config.Home)
	cmd := exec.Command(n.command[0], args...) //nolint:noctx // it runs until Stop or Kill
	cmd.Env = append(append(cleanEnvironment(), n.env...), env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	// Its own process group: Ctrl-C at the terminal reaches us alone, and we end the nodes in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := &process{cmd: cmd, done: make(chan struct{})}
	if err := child.Start(cmd, syscall.SIGKILL, func() { close(p.done) }); err != nil {
		return fmt.Errorf("devnet: start %s: %w", n.Name, err)
	}
	n.proc = p
	return nil
}

// cleanEnvironment is ours without what would change a node's configuration.
func cleanEnvironment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SCRIM_") {
			env = append(env, kv)
		}
	}
	return env
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (n *Node) process() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proc
}

// Running reports whether the node's process is there.
func (n *Node) Running() bool {
	p := n.process()
	return p != nil && !p.ended()
}

// PID is the process id of the last start, 0 before the first.
func (n *Node) PID() int {
	if p := n.process(); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

// Done is closed when the process of the last start has ended; nil before the first.
func (n *Node) Done() <-chan struct{} {
	if p := n.process(); p != nil {
		return p.done
	}
	return nil
}

// ExitCode is that of the last start's process: -1 while it runs, if a signal
// ended it, or before the first.
func (n *Node) ExitCode() int {
	p := n.process()
	if p == nil || !p.ended() {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// Kill ends the node with SIGKILL and returns when it is gone.
func (n *Node) Kill() {
	p := n.process()
	if p == nil || p.ended() {
		return
	}
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the node to end, and insists after a while. It returns when it is gone.
func (n *Node) Stop() {
	p := n.process()
	if p == nil || p.ended() {
		return
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopWait):
		n.Kill()
	}
}

// signal reaches the process and whatever it started.
func (p *process) signal(s syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, s) // an error means that it has ended
}

// WaitReady waits until the node says that it is ready.
func (n *Node) WaitReady(ctx context.Context) error {
	why := "it does not answer"
	for {
		if n.Running() {
			r, err := n.Client.Ready(ctx)
			switch {
			case err == nil && r.Ready:
				return nil
			case err == nil:
				var reasons []string
				for _, reason := range r.Reasons {
					reasons = append(reasons, reason.Detail)
				}
				why = strings.Join(reasons, "; ")
			case ctx.Err() == nil:
				why = err.Error()
			}
		}
		select {
		case <-n.Done():
			return n.endError()
		case <-ctx.Done():
			return fmt.Errorf("devnet: %s is not ready: %s: %w", n.Name, why, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ErrEnded reports a node that ended without being asked.
var ErrEnded = errors.New("the node ended by itself")

func (n *Node) endError() error {
	state := ""
	if p := n.process(); p != nil && p.ended() {
		state = p.cmd.ProcessState.String()
	}
	return fmt.Errorf("devnet: %s: %w (%s); the end of %s:\n%s", n.Name, ErrEnded, state, n.LogFile, n.logEnd())
}

// logEnd gives the last lines of the log.
func (n *Node) logEnd() []byte {
	const most, lines = 4096, 12
	f, err := os.Open(n.LogFile)
	if err != nil {
		return []byte(err.Error())
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, 2)
	}
	b := make([]byte, most)
	k, _ := f.Read(b)
	all := bytes.Split(bytes.TrimSpace(b[:k]), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}
