package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/node"
)

func newInit() *cobra.Command {
	var dir, name, address, identityFile string
	var newIdentity bool
	cmd := &cobra.Command{
		Use:   "init [--name NAME (--new-identity | --identity-file FILE)]",
		Short: "Make a member's home: keys, configuration, and its public card on standard output",
		Long: `Make a member's home: secret keys (encrypted with age), configuration, and the
public card, which is also printed: give it to the other members.

The secrets are encrypted to an age identity. --new-identity makes one;
--identity-file names an existing one (age-keygen makes them), or the place for
the new one. Without either, the identity is expected in $SCRIM_AGE_IDENTITY.
Whoever has the identity and the home is the member: keep them apart, back both up.

If 'scrim member init' made the member already, only the configuration is added;
name and address are then those of its card.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := home.Open(dir, identityFile)
			if err != nil {
				return err
			}
			if name == "" && !h.Initialised() {
				return usagef("--name is missing: how the other members shall call this one, such as alice")
			}
			cfg := node.DefaultConfig()
			cfg.Home = h.Dir
			switch {
			case identityFile == "" && (newIdentity || h.IdentityFile == filepath.Join(h.Dir, node.IdentityName)):
				cfg.Secrets.IdentityFile = node.IdentityName
			default:
				cfg.Secrets.IdentityFile = h.IdentityFile
			}
			card, err := node.InitHome(cfg, name, address, newIdentity)
			if err != nil {
				return err
			}
			text, err := home.MarshalCard(card)
			if err != nil {
				return err
			}
			if _, err := cmd.OutOrStdout().Write(text); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Made %s (node id %s).\nFingerprint of %s, to compare by voice: %s\n", cfg.Home, node.NodeID(card.Member.Node), card.Member.Name, card.Fingerprint())
			if newIdentity {
				fmt.Fprintf(cmd.ErrOrStderr(), "The age identity is in %s: back it up, and move it off this disk.\n", cfg.IdentityFile())
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Next: give %s to the other members, agree on terms (scrim member terms), put genesis.json beside it, and set postgres and p2p.peers in %s.\n", cfg.CardFile(), cfg.File())
			return nil
		},
	}
	homeFlag(cmd, &dir)
	cmd.Flags().StringVar(&name, "name", "", "the member's name, as the other members will see it")
	cmd.Flags().StringVar(&address, "address", "", "host:port at which the other members reach this node")
	cmd.Flags().BoolVar(&newIdentity, "new-identity", false, "make a new age identity")
	cmd.Flags().StringVar(&identityFile, "identity-file", "", "file of the age identity (default with --new-identity: identity.txt in the home)")
	return cmd
}
