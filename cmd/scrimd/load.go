package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/httpapi/client"
	"github.com/scrimlabs/scrim/internal/devnet"
	"github.com/scrimlabs/scrim/internal/devnet/load"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/internal/wallet"
)

func newLoad() *cobra.Command {
	var rates []int
	var o load.Options
	var members int
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Measure a committee of this machine: latency and throughput at given rates",
		Long: `Start a devnet in a temporary folder, send sealed transactions to its nodes at each
of the given rates, and print how long they took: to the receipt, until ordered,
until a node served the plaintext (opened), until a block recorded it (final).
Times are from the moment a transaction was due to be sent, as a client sees them.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return runLoad(cmd, members, rates, o) },
	}
	cmd.Flags().IntSliceVar(&rates, "rate", []int{50}, "transactions a second; several rates are measured one after the other")
	cmd.Flags().DurationVar(&o.Duration, "for", 20*time.Second, "how long each rate is held")
	cmd.Flags().IntVar(&o.Size, "size", 200, "bytes of plaintext")
	cmd.Flags().IntVar(&members, "nodes", devnet.DefaultMembers, "how many members")
	return cmd
}

func runLoad(cmd *cobra.Command, members int, rates []int, o load.Options) (err error) {
	for _, o.Rate = range rates {
		if err := o.Validate(); err != nil {
			return usageError{err}
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "scrim-load")
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	net, err := devnet.Open(ctx, devnet.Options{
		Command: []string{self}, Dir: dir, Members: members,
		Configure: func(_ int, c *node.Config) { c.HTTP.RatePerMinute = 0 },
		Log:       newLogger(node.LogConfig{Level: "warn", Format: "text"}),
	})
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, net.Remove(), os.RemoveAll(dir)) }()
	if err := net.Start(); err != nil {
		return err
	}
	if err := net.WaitReady(ctx); err != nil {
		return err
	}
	var clients []*client.Client
	for _, url := range net.URLs() {
		c, err := client.New(url, client.Options{Retries: -1})
		if err != nil {
			return err
		}
		clients = append(clients, c)
	}
	out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "rate/s\tsent\trefused\topened\topened/s\treceipt p50\tp99\tordered p50\tp99\topened p50\tp99\tfinal p50\tp99\t")
	for _, o.Rate = range rates {
		hash := net.Genesis.Terms.Hash()
		w, err := wallet.Open(ctx, net.URLs(), wallet.Options{TermsHash: &hash, TrustFile: filepath.Join(dir, "trust.json")})
		if err != nil {
			return err
		}
		r, err := load.Run(ctx, w, clients, o)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d\t%d\t%d\t%d\t%.0f\t", o.Rate, r.Sent, r.Refused, r.Opened, r.Rate)
		for _, q := range []load.Quantiles{r.Answered, r.OrderedIn, r.OpenedIn, r.FinalIn} {
			fmt.Fprintf(out, "%d\t%d\t", q.P50.Milliseconds(), q.P99.Milliseconds())
		}
		fmt.Fprintln(out)
		if r.FirstError != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "at %d/s: %v\n", o.Rate, r.FirstError)
		}
	}
	return out.Flush()
}
