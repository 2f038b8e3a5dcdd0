package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/internal/fairsim"
)

func newSim() *cobra.Command {
	var c fairsim.Config
	cmd := &cobra.Command{
		Use:    "sim",
		Hidden: true, // for those who work on the order rules
		Short:  "Simulate both order rules under delays and attacks, and print a page of figures",
		Long: `Run the order functions on a simulated network, with members, proposers and senders
that lie, and print what became of the order: inverted pairs, delays, cycles and forced
frames. Everything follows from the seed. Scenarios: ` + strings.Join(fairsim.Scenarios(), ", ") + `.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := fairsim.Report(c)
			if errors.Is(err, fairsim.ErrConfig) {
				return usageError{err}
			}
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), page)
			return nil
		},
	}
	cmd.Flags().IntVar(&c.Members, "n", 4, "how many members")
	cmd.Flags().Uint64Var(&c.Seed, "seed", 1, "what everything follows from")
	cmd.Flags().IntVar(&c.Transactions, "transactions", 600, "how many transactions clients send")
	cmd.Flags().IntVar(&c.Rate, "rate", 100, "how many of them a second")
	cmd.Flags().Uint64Var(&c.Wait, "wait", 0, "W, the heights that an id waits at most (default that of a genesis)")
	cmd.Flags().StringVar(&c.Scenario, "scenario", "", "one scenario instead of all")
	return cmd
}
