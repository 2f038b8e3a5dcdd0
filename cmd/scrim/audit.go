package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/internal/wallet"
)

func newAudit() *cobra.Command {
	var termsHash, receipts string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "audit BUNDLE",
		Short: "Replay an exported run offline: verified, violated or cannot tell",
		Long: `Replay an exported run offline. Every id, order, batch root, log root, committee
certificate, opening and plaintext of the bundle is computed again; - reads it
from standard input. Bundles come from 'scrimd export' or GET /v1/export.

With --terms-hash the committee must be the one with these terms; without it the
bundle's own committee is believed to be the right one, which is said. With
--receipts every receipt must have been honoured.

Exit code: 0 verified, 1 violated (it says what, and whose doing it is), 2 cannot
tell (the bundle is incomplete, damaged, or not one); 64 wrong usage.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var o audit.Options
			if termsHash != "" {
				hash, err := parseHash("--terms-hash", termsHash)
				if err != nil {
					return err
				}
				o.TermsHash = &hash
			}
			report, err := runAudit(cmd.InOrStdin(), args[0], receipts, o)
			if err != nil {
				return exitCode{int(audit.CannotTell), fmt.Errorf("cannot tell: %w", err)}
			}
			write := wallet.WriteReport
			if asJSON {
				write = func(w io.Writer, r *audit.Report) error { return json.NewEncoder(w).Encode(r) }
			}
			if err := write(cmd.OutOrStdout(), report); err != nil {
				return err
			}
			if report.Verdict != audit.Verified {
				return exitCode{code: int(report.Verdict)}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&termsHash, "terms-hash", "", "hash of the committee's terms (0x and 64 digits), as its members publish it")
	f.StringVar(&receipts, "receipts", "", "receipts file of 'scrim tx send': check that its receipts were honoured")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func runAudit(stdin io.Reader, path, receipts string, o audit.Options) (*audit.Report, error) {
	if receipts != "" {
		records, err := wallet.ReadRecords(receipts)
		if err != nil {
			return nil, err
		}
		o.Receipts = wallet.Receipts(records)
	}
	bundle := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		bundle = f
	}
	return wallet.Audit(bufio.NewReader(bundle), o)
}
