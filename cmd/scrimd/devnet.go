package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/internal/devnet"
	"github.com/scrimlabs/scrim/internal/node"
)

func newDevnet() *cobra.Command {
	var dir string
	var members int
	cmd := &cobra.Command{
		Use:   "devnet",
		Short: "Run a whole committee on this machine until it is interrupted",
		Long: `Run a whole committee on this machine until it is interrupted: a private Postgres
(or the one that DATABASE_URL names) and one node process for each member. No
process stays behind. The folder keeps everything; started again with it, the
devnet goes on.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			ctx, out := cmd.Context(), cmd.OutOrStdout()
			net, err := devnet.Open(ctx, devnet.Options{
				Command: []string{self},
				Dir:     dir,
				Members: members,
				Log:     newLogger(node.LogConfig{Level: "warn", Format: "text"}),
			})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, net.Close()) }()
			if err := net.Start(); err != nil {
				return err
			}
			fmt.Fprintf(out, "chain %s, terms hash 0x%x\n", net.Genesis.ChainID, net.Genesis.Terms.Hash())
			for _, n := range net.Nodes {
				fmt.Fprintf(out, "%s %s (log: %s)\n", n.Name, n.URL, n.LogFile)
			}
			if err := net.WaitReady(ctx); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			fmt.Fprintf(out, "ready; Ctrl-C ends it. Try:\n  export SCRIM_NODES=%s\n  echo hello | scrim tx send --namespace demo\n", strings.Join(net.URLs(), ","))
			return net.Watch(ctx)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "devnet", "the devnet's folder")
	cmd.Flags().IntVar(&members, "nodes", 0, fmt.Sprintf("how many members (default %d, or as the folder has)", devnet.DefaultMembers))
	return cmd
}
