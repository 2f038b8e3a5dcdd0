package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/internal/node"
)

func newStart() *cobra.Command {
	var home string
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run the node until it is interrupted",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := node.LoadConfig(home)
			if err != nil {
				return err
			}
			err = node.Run(cmd.Context(), cfg, newLogger(cfg.Log))
			if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
				return nil //nolint:nilerr // to be interrupted is how it ends
			}
			return err
		},
	}
	homeFlag(cmd, &home)
	return cmd
}
