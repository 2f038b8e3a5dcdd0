package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
	"github.com/spf13/cobra"
)

func newGenesis() *cobra.Command {
	return group("genesis", "Make or read a chain's beginning", newGenesisAssemble(), newGenesisShow())
}

func newGenesisAssemble() *cobra.Command {
	var members []string
	var out string
	g := ordering.Genesis{Params: ordering.DefaultParams()}
	phase := uint64(300)
	cmd := &cobra.Command{
		Use:   "assemble --chain-id ID --member FILE...",
		Short: "Make genesis.json from the members' public files",
		Long: `Make genesis.json from the members' public files (member.json of each home).
The order of the --member flags is the order of the members and the same file
must lie in every member's home. The terms' hash is printed: it is what members
compare and wallets pin.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if g.ChainID == "" || len(members) == 0 {
				return usagef("--chain-id and at least one --member are needed")
			}
			for _, path := range members {
				m, err := readMember(path)
				if err != nil {
					return err
				}
				g.Terms.Members = append(g.Terms.Members, *m)
			}
			g.Terms.ChainID, g.Terms.Attempt = g.ChainID, 1
			g.Terms.Phases = keygen.EqualPhases(phase)
			if g.Terms.Threshold == 0 {
				g.Terms.Threshold = keygen.DefaultThreshold(len(members))
			}
			text, err := node.MakeGenesis(&g)
			if err != nil {
				return err
			}
			if err := writeOutput(cmd, out, func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "chain %s, %d of %d members, terms hash 0x%x\n", g.ChainID, g.Terms.Threshold, len(members), g.Terms.Hash())
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&g.ChainID, "chain-id", "", "the chain's name; never used before")
	f.StringArrayVar(&members, "member", nil, "a member's public file; once for each member")
	f.IntVar(&g.Terms.Threshold, "threshold", 0, "how many members open a batch (default: more than two thirds)")
	f.Uint64Var(&g.Terms.Epoch, "epoch", 1, "number of the first committee")
	f.Uint64Var(&g.Terms.StartHeight, "start-height", 1, "height at which the key ceremony begins")
	f.Uint64Var(&phase, "phase-blocks", phase, "most blocks that a phase of the ceremony lasts")
	f.Uint8Var(&g.Params.MaxSizeClass, "max-size-class", g.Params.MaxSizeClass, "largest ciphertext: 256<<class bytes")
	f.Uint64Var(&g.Params.MaxValidity, "max-validity", g.Params.MaxValidity, "most blocks that a ciphertext may stay valid")
	f.Uint32Var(&g.Params.MaxBatch, "max-batch", g.Params.MaxBatch, "most ciphertexts in a block")
	f.Uint32Var(&g.Params.MaxPending, "max-pending", g.Params.MaxPending, "most batches that may wait for their opening")
	f.StringVarP(&out, "output", "o", "-", "file to write; it must not exist")
	return cmd
}

func readMember(path string) (*keygen.Member, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read member: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var m keygen.Member
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("%s is not a member's public file (member.json of a home): %w", path, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: there is more after the member", path)
	}
	return &m, nil
}

func newGenesisShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Print what a genesis.json fixes: terms hash, members, node ids",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := node.ReadGenesis(args[0])
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "chain\t%s\nterms hash\t0x%x\nthreshold\t%d of %d\n", g.ChainID, g.Terms.Hash(), g.Terms.Threshold, len(g.Terms.Members))
			for i, m := range g.Terms.Members {
				fmt.Fprintf(w, "member %d\t%s\tnode id %s\n", i+1, m.Name, node.NodeID(m.Node))
			}
			return w.Flush()
		},
	}
}

// writeOutput calls write with standard output, or with a new file that appears only when it is complete.
func writeOutput(cmd *cobra.Command, path string, write func(io.Writer) error) (err error) {
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
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
