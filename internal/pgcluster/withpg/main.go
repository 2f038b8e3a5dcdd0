// Command withpg runs a command with DATABASE_URL set to a Postgres server that
// lives as long as the command does: one server for all test processes of a run.
//
//	go run ./internal/pgcluster/withpg -- go test ./...
//
// If DATABASE_URL is set already, the command uses that server. The private
// server does not sync to disk: it is for tests. The exit code is the command's.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/scrimlabs/scrim/internal/pgcluster"
)

const startTimeout = 2 * time.Minute // apt-get may have to run first

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: withpg -- command [argument...]")
		os.Exit(2)
	}
	code, err := run(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
	}
	os.Exit(code)
}

func run(args []string) (code int, err error) {
	// A signal is the command's to obey; the server goes when the command has gone.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)

	dir, err := os.MkdirTemp("", "scrim-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	// Postgres may run as another user, who must be able to pass through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := pgcluster.Provide(ctx, dir, log, pgcluster.WithoutSync())
	if err != nil {
		return 1, err
	}
	defer func() {
		if e := server.Remove(); e != nil {
			code, err = max(code, 1), errors.Join(err, e)
		}
	}()
	return command(args, server.AdminURL(), signals)
}

func command(args []string, url string, signals <-chan os.Signal) (int, error) {
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // a signal is the command's to obey
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), pgcluster.EnvURL+"="+url)
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			_ = cmd.Process.Signal(sig) // an error means that it has just ended
		case err := <-ended:
			return exitCode(err)
		}
	}
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil // killed by a signal: ExitCode is -1
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}
