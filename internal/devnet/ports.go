package devnet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Ports are taken from below the ranges that systems take the ports of outgoing
// connections from: between two starts of a node nobody gets its port by accident.
const firstPort, lastPort = 20000, 31999

// choosePorts keeps the ports that are free and replaces the others.
func (m *manifest) choosePorts(ctx context.Context) error {
	var held []net.Listener // until all are chosen, so that none is chosen twice
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for i := range m.Members {
		listeners, err := m.Members[i].hold(ctx)
		held = append(held, listeners...)
		if err != nil {
			return err
		}
	}
	return nil
}

// choosePorts chooses those of one member.
func (m *manifestMember) choosePorts(ctx context.Context) error {
	held, err := m.hold(ctx)
	for _, l := range held {
		_ = l.Close()
	}
	return err
}

// hold listens at the member's ports, which it chooses if they are not free.
func (m *manifestMember) hold(ctx context.Context) (held []net.Listener, err error) {
	for _, address := range []*string{&m.HTTP, &m.P2P} {
		l, err := freePort(ctx, *address)
		if err != nil {
			return held, err
		}
		held = append(held, l)
		*address = l.Addr().String()
	}
	return held, nil
}

func freePort(ctx context.Context, preferred string) (net.Listener, error) {
	var listen net.ListenConfig
	if preferred != "" {
		if l, err := listen.Listen(ctx, "tcp", preferred); err == nil {
			return l, nil
		}
	}
	var last error
	for range 100 {
		l, err := listen.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort+1)))
		if err == nil {
			return l, nil
		}
		last = err
	}
	return nil, fmt.Errorf("devnet: no free port: %w", last)
}

const lockName = "lock"

// ErrInUse reports a folder whose devnet runs already.
var ErrInUse = errors.New("devnet: another process runs the one in this folder")

// lockDir makes this process the only one that runs the devnet; the kernel gives
// the lock back when the process ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("devnet: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, fmt.Errorf("devnet: lock %s: %w", dir, err)
	}
	return f, nil
}
