package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/internal/node"
)

func newExport() *cobra.Command {
	var home, out string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the audit bundle of everything this member has, for 'scrim audit'",
		Long: `Write the audit bundle of everything this member has, for 'scrim audit'.
It is read from the member's database; the node may run or not.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := node.LoadConfig(home)
			if err != nil {
				return err
			}
			return writeOutput(cmd, out, func(w io.Writer) error { return node.Export(cmd.Context(), cfg, w) })
		},
	}
	homeFlag(cmd, &home)
	cmd.Flags().StringVarP(&out, "output", "o", "-", "file to write; it must not exist")
	return cmd
}
