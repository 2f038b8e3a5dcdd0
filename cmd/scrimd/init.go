package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/scrimlabs/scrim/internal/node"
	"github.com/spf13/cobra"
)

func newInit() *cobra.Command {
	var home, name, identityFile string
	var newIdentity bool
	cmd := &cobra.Command{
		Use:   "init --name NAME (--new-identity | --identity-file FILE)",
		Short: "Make a member's home: keys, configuration, and its public part on standard output",
		Long: `Make a member's home: secret keys (encrypted with age), configuration, and the
public keys, which are also printed: give them to who assembles the genesis.

The secrets are encrypted to an age identity. --new-identity makes one;
--identity-file names an existing one (age-keygen makes them), or the place for
the new one. Without either, the identity is expected in $SCRIM_AGE_IDENTITY.
Whoever has the identity and the home is the member: keep them apart, back both up.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" {
				return usagef("--name is missing: how the other members shall call this one, such as alice")
			}
			cfg := node.DefaultConfig()
			dir, err := filepath.Abs(home)
			if err != nil {
				return err
			}
			cfg.Home = dir
			switch {
			case identityFile != "":
				if cfg.Secrets.IdentityFile, err = filepath.Abs(identityFile); err != nil {
					return err
				}
			case newIdentity:
				cfg.Secrets.IdentityFile = node.IdentityName
			}
			member, err := node.InitHome(cfg, name, newIdentity)
			if err != nil {
				return err
			}
			out, err := json.MarshalIndent(member, "", "  ")
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), string(out))
			fmt.Fprintf(cmd.ErrOrStderr(), "Made %s (node id %s).\n", cfg.Home, node.NodeID(member.Node))
			if newIdentity {
				fmt.Fprintf(cmd.ErrOrStderr(), "The age identity is in %s: back it up, and move it off this disk.\n", cfg.IdentityFile())
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Next: give %s to who assembles the genesis, put genesis.json beside it, and set postgres and p2p.peers in %s.\n", cfg.PublicFile(), cfg.File())
			return nil
		},
	}
	homeFlag(cmd, &home)
	cmd.Flags().StringVar(&name, "name", "", "the member's name, as the other members will see it")
	cmd.Flags().BoolVar(&newIdentity, "new-identity", false, "make a new age identity")
	cmd.Flags().StringVar(&identityFile, "identity-file", "", "file of the age identity (default with --new-identity: identity.txt in the home)")
	return cmd
}
