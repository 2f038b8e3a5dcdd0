//go:build byzantine

// Command byzantine is scrimd for the end-to-end tests: `byzantine start --home DIR` runs a
// node, and one that sends wrong shares if BYZANTINE is set. It is built with -tags byzantine.
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
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
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
	if os.Getenv("BYZANTINE") != "" {
		return node.RunByzantine(ctx, cfg, log)
	}
	return node.Run(ctx, cfg, log)
}
