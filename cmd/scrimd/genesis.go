package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

func newGenesis() *cobra.Command {
	return group("genesis", "Make or read a chain's beginning", newGenesisAssemble(), newGenesisShow())
}

func newGenesisAssemble() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "assemble FILE",
		Short: "Make genesis.json from what 'scrim committee assemble' wrote",
		Long: `Make genesis.json from what 'scrim committee assemble' wrote: the terms, the
consent of every member to them, and the chain's limits, which the terms bind. Every
consent is checked.

The same file gives the same genesis.json, so every member can make it and compare
its hash, which is printed. Nobody has to be trusted with it.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			g, err := ordering.ParseGenesis(text)
			if err != nil {
				return fmt.Errorf("%s is not what 'scrim committee assemble' writes: %w", args[0], err)
			}
			genesis, err := node.MakeGenesis(g)
			if err != nil {
				return err
			}
			if err := writeOutput(cmd, out, func(w io.Writer) error { _, err := w.Write(genesis); return err }); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "chain %s, %d of %d members, all have consented\nterms hash   0x%x\nterms pin    0x%x\ngenesis hash 0x%x (sha256sum of the file; compare it with the other members')\n",
				g.ChainID, g.Terms.Threshold, len(g.Terms.Members), g.Terms.Hash(), g.Terms.Pin(), sha256.Sum256(genesis))
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "-", "file to write; it must not exist")
	return cmd
}

func newGenesisShow() *cobra.Command {
	var cards []string
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Print what a genesis.json fixes: hashes, members, node ids, limits",
		Long: `Print what a genesis.json fixes: hashes, members with their fingerprints and node
ids, limits. It fails if a member's consent is missing.

With --card, once for each other member, it also prints the line p2p.peers of
config.toml, from the addresses on the cards.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := node.ReadGenesis(args[0])
			if err != nil {
				return err
			}
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "chain\t%s\nterms hash\t0x%x\nterms pin\t0x%x\ngenesis hash\t0x%x\nthreshold\t%d of %d\n",
				g.ChainID, g.Terms.Hash(), g.Terms.Pin(), sha256.Sum256(text), g.Terms.Threshold, len(g.Terms.Members))
			p := g.Params
			fmt.Fprintf(w, "limits\tsize class %d, validity %d blocks, batch %d, pending %d\n", p.MaxSizeClass, p.MaxValidity, p.MaxBatch, p.MaxPending)
			fmt.Fprintf(w, "order\trule %v, solid slack %d, agreement slack %d, wait %d, stale %d, chunk %d, live %d\n",
				p.Order.Rule, p.Order.SolidSlack, p.Order.AgreementSlack, p.Order.Wait, p.Order.Stale, p.Order.MaxChunk, p.Order.MaxLive)
			if err := w.Flush(); err != nil {
				return err
			}
			for i, m := range g.Terms.Members {
				fmt.Fprintf(w, "member %d\t%s\t%s\tconsented\tnode id %s\n", i+1, m.Name, m.Fingerprint(), node.NodeID(m.Node))
			}
			if err := w.Flush(); err != nil || len(cards) == 0 {
				return err
			}
			line, err := peers(g, cards)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), line)
			return err
		},
	}
	cmd.Flags().StringArrayVar(&cards, "card", nil, "card of another member (member.json); once for each")
	return cmd
}

// peers is the line of config.toml that names the nodes of the members whose cards these are.
func peers(g *ordering.Genesis, cards []string) (string, error) {
	var list []string
	for _, path := range cards {
		c, err := home.ReadCard(path)
		if err != nil {
			return "", err
		}
		known := slices.ContainsFunc(g.Terms.Members, func(m keygen.Member) bool { return m.Fingerprint() == c.Fingerprint() })
		switch {
		case !known:
			return "", fmt.Errorf("%s: %s is no member of this genesis", path, c.Member.Name)
		case c.Address == "":
			return "", fmt.Errorf("%s: the card has no address; %s can make one with 'scrim member card --address host:port'", path, c.Member.Name)
		}
		list = append(list, strconv.Quote(node.NodeID(c.Member.Node)+"@"+c.Address))
	}
	return "peers = [" + strings.Join(list, ", ") + "]", nil
}

// writeOutput calls write with standard output, or with a new file that appears only when it is complete.
func writeOutput(cmd *cobra.Command, path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(cmd.OutOrStdout())
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s exists; name another file with --output", path)
	}
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
