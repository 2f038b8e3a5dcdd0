package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/httpapi/client"
	"github.com/scrimlabs/scrim/internal/wallet"
)

func newProveNamespace() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "prove-namespace FROM HEIGHT NAMESPACE",
		Short: "Make the file that shows all transactions of a namespace in a batch",
		Long: `Make the file that shows all transactions that a namespace has in the batch of a height, or that it has
none, for 'scrim audit verify-namespace'. FROM is a mirror, a bundle, or the address of a node (http://...).`,
		Args: usage(cobra.ExactArgs(3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			height, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil || height == 0 {
				return usagef("HEIGHT must be that of a block, a number from 1")
			}
			p, err := proveNamespace(cmd.Context(), args[0], height, args[2])
			if err != nil {
				return err
			}
			return writeFile(cmd, out, p)
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write to this file")
	return cmd
}

func proveNamespace(ctx context.Context, from string, height uint64, namespace string) (*audit.Completeness, error) {
	return prove(from,
		func(node *client.Client) (*audit.Completeness, error) {
			return wallet.FetchNamespace(ctx, node, height, namespace)
		},
		func(log *wallet.LogSource) (*audit.Completeness, error) { return log.ProveNamespace(height, namespace) })
}

func newVerifyNamespace() *cobra.Command {
	var termsHash, certificate, evidence string
	var txs []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify-namespace FILE",
		Short: "Check that these are all transactions of a namespace in a batch",
		Long: `Check offline what the file of 'scrim audit prove-namespace' shows: that the committee is certified and
signed the batch and the log, and that these transactions are all that the namespace has in the tree that the batch's commit
entry names. Prints their places in the batch and their ids.

The FILE may also be what a node answers (GET /v1/log/namespace/HEIGHT/NAMESPACE), with the committee's certificate beside it
(--certificate, GET /v1/log/certificate/HASH).

That the tree leaves nothing out is the committee's word, which everyone who has the batch checks ('scrim audit verify'). With
--tx, a file of 'scrim audit prove-tx', a transaction of this batch and namespace must be among them; if it is not, the
committee left it out, and --evidence says where to write the proof of that.

Exit code: 0 verified, 1 violated, 2 cannot tell.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			hash, err := termsHashOf(termsHash)
			if err != nil {
				return err
			}
			p, err := readCompleteness(args[0], certificate)
			if err != nil {
				return cannotTell(err)
			}
			report, err := p.Verify(wallet.Checks(), hash)
			if err != nil {
				return cannotTell(err)
			}
			for _, name := range txs {
				if err := notOmitted(report, p, name, evidence); err != nil {
					return cannotTell(err)
				}
			}
			return answer(cmd, report.Verdict, asJSON, report, func(w io.Writer) error { return wallet.WriteCompletenessReport(w, report) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&termsHash, "terms-hash", "", "hash of the terms of the committee whose batch it is (0x and 64 digits)")
	f.StringVar(&certificate, "certificate", "", "file with the committee's certificate, for an answer of a node")
	f.StringArrayVar(&txs, "tx", nil, "file of 'scrim audit prove-tx': if it is of this batch and namespace, it must be among them; may be repeated")
	f.StringVar(&evidence, "evidence", "", "write the evidence of an omission to this directory")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// readCompleteness reads a file of prove-namespace, or a node's answer with its certificate.
func readCompleteness(path, certificate string) (*audit.Completeness, error) {
	text, err := readFile(path, audit.MaxCompletenessSize)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(text, []byte(`{"format":`)) {
		return audit.ParseCompleteness(text)
	}
	if certificate == "" {
		return nil, errors.New("a node's answer does not hold the committee's certificate: name it with --certificate")
	}
	cert, err := readFile(certificate, commitreveal.MaxCertificateSize)
	if err != nil {
		return nil, err
	}
	return wallet.ReadNamespaceAnswer(text, cert)
}

// notOmitted holds a verified report against a transaction.
func notOmitted(r *audit.CompletenessReport, p *audit.Completeness, name, dir string) error {
	tx, err := readTxProof(name, "", "")
	if err != nil {
		return err
	}
	proved, err := p.Omits(tx)
	if errors.Is(err, audit.ErrNotFound) || r.Verdict != audit.Verified && err == nil {
		return nil
	}
	if err != nil {
		return err
	}
	established, err := proved.Verify(wallet.Checks())
	if err != nil {
		return err
	}
	f := audit.Finding{Code: audit.CodeNamespaces, Height: r.Height, Who: established.Who, What: established.What, Proof: proved}
	if dir != "" {
		text, err := proved.Marshal()
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		f.Evidence = filepath.Join(dir, "omitted_transaction-"+strconv.FormatUint(r.Height, 10)+".json")
		if err := os.WriteFile(f.Evidence, text, 0o644); err != nil {
			return err
		}
	}
	r.Findings = append(r.Findings, f)
	r.Verdict = audit.Violated
	return nil
}

func newPolicy() *cobra.Command {
	var termsHash string
	var quorum int
	cmd := &cobra.Command{
		Use:   "policy FROM",
		Short: "Print a policy file that asks for the cosignatures of the committee's members",
		Long: `Print a policy file (c2sp.org/tlog-policy) for the committee in office of a mirror or a bundle: any member may
have published the checkpoint, and --quorum of them must have cosigned it. Lines for outside witnesses can be added by hand. What
it asks for, 'scrim audit verify --policy FILE' checks.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			hash, err := termsHashOf(termsHash)
			if err != nil {
				return err
			}
			source, err := wallet.NewLogSource(args[0])
			if err != nil {
				return err
			}
			text, err := source.Policy(quorum, hash)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	cmd.Flags().StringVar(&termsHash, "terms-hash", "", "hash of the first committee's terms (0x and 64 digits)")
	cmd.Flags().IntVar(&quorum, "quorum", 0, "how many members must have cosigned; 0: as many as open a batch")
	return cmd
}
