package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/internal/devnet/demo"
)

func newDemo() *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole path: a ceremony, sealed transactions, a killed member, an audit",
		Long: `Show the whole path on this machine: four nodes make a key, 100 transactions of an
Ethereum block go in sealed and come out ordered and opened, one member is killed
and comes back, and the run is audited offline. Fails if anything did not hold.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			o.Command = []string{self}
			o.Out = os.Stdout
			return demo.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Input, "input", "", "file with a transaction in 0x-hex on each line (default: mainnet block 18189758)")
	f.StringVar(&o.Namespace, "namespace", "eth", "namespace of the transactions")
	f.Float64Var(&o.Rate, "rate", 20, "transactions a second")
	f.IntVar(&o.Members, "nodes", 4, "how many members")
	f.StringVar(&o.Dir, "dir", "", "folder for everything the demo makes; kept (default: a temporary one, removed if all went well)")
	f.BoolVar(&o.Keep, "keep", false, "leave the committee running at the end, until Ctrl-C")
	return cmd
}
