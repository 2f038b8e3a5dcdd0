//go:build byzantine

// Command byzantine is scrimd for the end-to-end tests, with faults that the environment
// chooses: `byzantine start --home DIR` runs a node. It is built with -tags byzantine.
//
//	BYZANTINE=1            it sends wrong shares of batches
//	BYZANTINE=reverse      it logs what it receives backwards
//	BYZANTINE=censor       as proposer, it leaves out the statements while they have something of the namespace "victim"
//	BYZANTINE=fork         it tells every second member another receive log
//	BYZANTINE=secretive    it tells what it received to two members only, and gives nobody a body
//	BYZANTINE=drop         as proposer, it leaves out a ciphertext that its block must have
//	DIE_IN=certifying      it kills itself with SIGKILL when a ceremony comes to this phase
//	DIE_EPOCH=2            a ceremony for this epoch only
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/scrimlabs/scrim/internal/node"
)

func main() {
	log := slog.New(mortal{slog.NewTextHandler(os.Stderr, nil)})
	if err := start(log); err != nil {
		log.Error("node ended", "err", err)
		os.Exit(1)
	}
}

func start(log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := node.LoadConfig(os.Args[3])
	if err != nil {
		return err
	}
	switch how := os.Getenv("BYZANTINE"); how {
	case "":
	case "reverse":
		return node.RunReversing(ctx, cfg, log)
	case "censor":
		return node.RunCensoring(ctx, cfg, log, "victim")
	case "fork":
		return node.RunForking(ctx, cfg, log)
	case "secretive":
		return node.RunSecretive(ctx, cfg, log)
	case "drop":
		return node.RunDropping(ctx, cfg, log)
	default:
		return node.RunByzantine(ctx, cfg, log)
	}
	return node.Run(ctx, cfg, log)
}

// mortal ends the process, without any clean-up, when the node says that a ceremony came
// to the phase DIE_IN: it says so before it acts in that phase.
type mortal struct{ slog.Handler }

func (m mortal) Handle(ctx context.Context, r slog.Record) error {
	err := m.Handler.Handle(ctx, r)
	phase, epoch := os.Getenv("DIE_IN"), os.Getenv("DIE_EPOCH")
	if r.Message != "ceremony" || phase == "" {
		return err
	}
	found := make(map[string]string)
	r.Attrs(func(a slog.Attr) bool {
		found[a.Key] = a.Value.String()
		return true
	})
	if found["phase"] == phase && (epoch == "" || found["epoch"] == epoch) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it comes
	}
	return err
}

func (m mortal) WithAttrs(attrs []slog.Attr) slog.Handler { return mortal{m.Handler.WithAttrs(attrs)} }
func (m mortal) WithGroup(name string) slog.Handler       { return mortal{m.Handler.WithGroup(name)} }
