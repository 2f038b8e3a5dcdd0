package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/internal/version"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), cmd.Root().Name(), version.Text())
			return nil
		},
	}
}
