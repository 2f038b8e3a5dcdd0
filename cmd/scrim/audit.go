package main

import (
	"bufio"
	"encoding/json"
	"errors"
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
		Short: "Check a chain's log: verified, violated or cannot tell",
		Long: `Check a chain's log without trusting anyone.

'scrim audit mirror' copies a node's log, 'verify' checks it offline, 'watch'
follows live nodes; 'verify-tx' and 'verify-receipt' check one thing, 'evidence'
what somebody is accused with.

With a BUNDLE it replays an exported run offline. Every id, order, batch root, log
root, committee certificate, opening and plaintext of the bundle is computed again; -
reads it from standard input. Bundles come from 'scrimd export' or GET /v1/export.

With --terms-hash the committee must be the one with these terms; without it the
bundle's own committee is believed to be the right one, which is said. With
--receipts every receipt must have been honoured.

Exit code: 0 verified, 1 violated (it says what, and whose doing it is), 2 cannot
tell (the bundle is incomplete, damaged, or not one); 64 wrong usage.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := audit.Options{}
			hash, err := termsHashOf(termsHash)
			if err != nil {
				return err
			}
			o.TermsHash = hash
			b := newBar(cmd)
			o.Progress = func(entries uint64) { b.draw(entries, 0) }
			report, err := runAudit(cmd.InOrStdin(), args[0], receipts, o)
			b.clear()
			if err != nil {
				return cannotTell(err)
			}
			return answer(cmd, report.Verdict, asJSON, report, func(w io.Writer) error { return wallet.WriteReport(w, report) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&termsHash, "terms-hash", "", "hash of the committee's terms (0x and 64 digits), as its members publish it")
	f.StringVar(&receipts, "receipts", "", "receipts file of 'scrim tx send': check that its receipts were honoured")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(newAuditMirror(), newAuditVerify(), newVerifyReceipt(), newVerifyTx(), newProveTx(), newVerifyNamespace(), newProveNamespace(),
		newProveEntry(), newVerifyEntry(), newProveConsistency(), newVerifyConsistency(), newPolicy(), newEvidence(), newAuditWatch())
	neverViolated(cmd)
	return cmd
}

// neverViolated gives the errors of a command and all below it the exit code of cannot tell: that something failed is no
// answer, and 1 is one.
func neverViolated(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			err := run(cmd, args)
			var code exitCode
			var usage usageError
			if err == nil || errors.As(err, &code) || errors.As(err, &usage) {
				return err
			}
			return exitCode{int(audit.CannotTell), err}
		}
	}
	for _, child := range cmd.Commands() {
		neverViolated(child)
	}
}

// cannotTell is the answer of an audit that could not be made.
func cannotTell(err error) error {
	return exitCode{int(audit.CannotTell), fmt.Errorf("cannot tell: %w", err)}
}

// answer prints a report and ends with its verdict.
func answer(cmd *cobra.Command, v audit.Verdict, asJSON bool, report any, forPeople func(w io.Writer) error) error {
	out := cmd.OutOrStdout()
	write := forPeople
	if asJSON {
		write = func(w io.Writer) error { return json.NewEncoder(w).Encode(report) }
	}
	if err := write(out); err != nil {
		return cannotTell(fmt.Errorf("the answer, %s, cannot be written: %w", v, err))
	}
	if v != audit.Verified {
		return exitCode{code: int(v)}
	}
	return nil
}

// termsHashOf reads --terms-hash; nil if it was not given.
func termsHashOf(text string) (*[32]byte, error) {
	if text == "" {
		return nil, nil
	}
	hash, err := parseHash("--terms-hash", text)
	if err != nil {
		return nil, err
	}
	return &hash, nil
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
