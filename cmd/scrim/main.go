// Command scrim is the tool of wallets, committee members and auditors.
//
//	scrim tx send --node URL --namespace eth --file tx.bin   seal here, submit, keep the receipts
//	scrim tx watch ID                                        wait, and check what was opened
//	scrim audit bundle.jsonl                                 replay an exported run, offline
//	scrim member init|terms|preflight|join|status|verify ... agree on a committee, follow its ceremony
//	scrim member accept|reject|abort|retry                   say something in it by hand
//	scrim member reshare|rotate|leave                        propose the next committee
//	scrim member recover|confirm-stored                      the share: get it back, check a copy
//	scrim committee assemble FILE...                         put the members' signed terms together
//
// Exit codes: 0 done, 1 failed, 64 wrong usage. Those of 'scrim audit' and 'scrim
// member verify' are an answer: 0 verified, 1 violated, 2 cannot tell.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

const (
	exitFailed = 1
	exitUsage  = 64
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
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
	var code exitCode
	if errors.As(err, &code) {
		if code.error != nil {
			fmt.Fprintf(os.Stderr, "scrim: %v\n", code.error)
		}
		return code.code
	}
	fmt.Fprintf(os.Stderr, "scrim: %v\n", err)
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(os.Stderr, "See '%s --help'.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailed
}

// exitCode ends the program with a code that is an answer; the error may be nil.
type exitCode struct {
	code int
	error
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
	root := group("scrim", "Send sealed transactions, check what became of them, audit a run, be a committee member",
		group("tx", "Send and follow transactions", newSend(), newStatus(), newWatch()),
		newAudit(), newMember(), newCommittee(), newVersion())
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

// configFile is the place of a file that the tool keeps for its user; "" if there is no such place.
func configFile(name string) string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "scrim", name)
}

// nodesFlag is --node, which may be repeated; SCRIM_NODES holds them separated by commas.
func nodesFlag(cmd *cobra.Command, nodes *[]string) {
	var standard []string
	for url := range strings.SplitSeq(os.Getenv("SCRIM_NODES"), ",") {
		if url = strings.TrimSpace(url); url != "" {
			standard = append(standard, url)
		}
	}
	cmd.Flags().StringArrayVar(nodes, "node", standard, "address of a node, as http://127.0.0.1:8080; once for each ($SCRIM_NODES, separated by commas)")
}
