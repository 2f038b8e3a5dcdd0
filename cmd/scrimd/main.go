// Command scrimd runs a committee member's node, and whole committees on one
// machine for trying things out.
//
//	scrimd init --home DIR --name alice --new-identity   make a member
//	scrimd genesis assemble --chain-id ID --member ...   make the chain's beginning
//	scrimd start --home DIR                              run the node
//	scrimd devnet                                        run four of them here
//	scrimd export --home DIR -o run.jsonl                write the audit bundle
//
// Exit codes: 0 clean, 1 error, 64 wrong usage, 70 consensus failure (the node
// stopped because its state disagrees with the committee's; do not restart it
// blindly).
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/internal/node"
)

const (
	exitError     = 1
	exitUsage     = 64
	exitConsensus = 70
)

func main() {
	// Without the hang-up signal a closed terminal would leave the nodes of a devnet behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "scrimd: %v\n", err)
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "See '%s --help'.\n", cmd.CommandPath())
		return exitUsage
	case errors.Is(err, node.ErrConsensusFailure):
		return exitConsensus
	}
	return exitError
}

// usageError is an error of the command line itself.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

func newRoot() *cobra.Command {
	root := group("scrimd", "Node of a Scrim committee member, and a devnet of several",
		newInit(), newGenesis(), newStart(), newExport(), newDevnet(), newDemo(), newLoad(), newSim(), newVersion())
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	return root
}

// group is a command that only has subcommands.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(children...)
	return cmd
}

func homeFlag(cmd *cobra.Command, home *string) {
	standard := os.Getenv("SCRIM_HOME")
	if standard == "" {
		standard = ".scrim"
		if dir, err := os.UserHomeDir(); err == nil {
			standard = filepath.Join(dir, ".scrim")
		}
	}
	cmd.Flags().StringVar(home, "home", standard, "the member's home folder ($SCRIM_HOME)")
}

func newLogger(c node.LogConfig) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(c.Level))); err != nil {
		level = slog.LevelInfo // the configuration was checked before
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
