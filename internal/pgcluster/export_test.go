package pgcluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// WithPrograms searches these folders only.
func WithPrograms(path string) Option {
	return func(o *options) { o.path, o.globs = path, nil }
}

// WithoutNamespace is as in a container that forbids them.
func WithoutNamespace() Option { return func(o *options) { o.noNamespace = true } }

// SetLockWait changes how long Provide waits for a folder in use.
func SetLockWait(d time.Duration) (restore func()) {
	before := lockWait
	lockWait = d
	return func() { lockWait = before }
}

// Internals that tests look at.
var (
	ParseMajor      = parseMajor
	LastLines       = lastLines
	WithoutPassword = withoutPassword
	Listening       = listening
)

func (s *Server) PID() int          { return s.private.cmd.Process.Pid }
func (s *Server) Base() string      { return s.private.base }
func (s *Server) SocketDir() string { return s.private.sockets }
func (s *Server) Socket() string    { return filepath.Join(s.private.sockets, socketName) }
func (s *Server) Programs() string  { return s.private.programs.dir }

// Orphan starts the cluster of a stopped server again, with nobody to end it.
func (s *Server) Orphan(ctx context.Context) error {
	c := s.private
	if err := os.MkdirAll(c.sockets, 0o700); err != nil {
		return err
	}
	if err := c.user.own(c.sockets); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(c.base, "orphan.log"))
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := c.command(ctx, "pg_ctl", "start", "--wait", "--pgdata", c.data, "-o",
		fmt.Sprintf("-c listen_addresses= -c unix_socket_directories=%s", c.sockets))
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}
