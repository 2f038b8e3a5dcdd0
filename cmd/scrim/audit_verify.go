package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/httpapi/client"
	"github.com/scrimlabs/scrim/internal/wallet"
)

func newAuditVerify() *cobra.Command {
	var termsHash, receipts, policy, evidence string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Check a mirror (or a bundle) offline, and write the evidence of what is wrong",
		Long: `Check the directory of 'scrim audit mirror', or the file of a bundle, without any
network: everything that 'scrim audit BUNDLE' checks, the log's root against the signed
checkpoints, the tiles, the signatures that a policy asks for (c2sp.org/tlog-policy),
and the evidence that nodes hold.

What is found is written as files of evidence, where it can be: each can be given to
anybody and checked with 'scrim audit evidence verify'.

Exit code: 0 verified, 1 violated, 2 cannot tell (it says what is missing).`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			b := newBar(cmd)
			o := wallet.VerifyOptions{Progress: b.draw}
			var err error
			if o.TermsHash, err = termsHashOf(termsHash); err != nil {
				return err
			}
			report, err := verifyLog(args[0], receipts, policy, evidence, o)
			b.clear()
			if err != nil {
				return cannotTell(err)
			}
			return answer(cmd, report.Verdict, asJSON, report, func(w io.Writer) error { return wallet.WriteReport(w, report) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&termsHash, "terms-hash", "", "hash of the first committee's terms (0x and 64 digits), as its members publish it")
	f.StringVar(&receipts, "receipts", "", "receipts file of 'scrim tx send': check that its receipts were honoured")
	f.StringVar(&policy, "policy", "", "file with the signatures that the newest checkpoint must have (c2sp.org/tlog-policy)")
	f.StringVar(&evidence, "evidence", "", "write files of evidence to this directory (standard: found/ in a mirror)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func verifyLog(path, receipts, policy, evidence string, o wallet.VerifyOptions) (*audit.Report, error) {
	source, err := wallet.NewLogSource(path)
	if err != nil {
		return nil, err
	}
	if receipts != "" {
		records, err := wallet.ReadRecords(receipts)
		if err != nil {
			return nil, err
		}
		o.Receipts = wallet.Receipts(records)
	}
	if policy != "" {
		text, err := readFile(policy, note.MaxPolicySize)
		if err != nil {
			return nil, err
		}
		if o.Policy, err = note.ParsePolicy(text); err != nil {
			return nil, err
		}
	}
	report, err := source.Verify(o)
	if err != nil {
		return nil, err
	}
	if evidence == "" && source.IsMirror() {
		evidence = filepath.Join(path, "found")
	}
	if evidence != "" {
		if _, err := source.WriteEvidence(report, evidence); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// readFile reads a file of at most max bytes.
func readFile(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s has more than %d bytes", path, max)
	}
	return b, err
}

func newVerifyTx() *cobra.Command {
	var termsHash, certificate, receipts string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify-tx FILE",
		Short: "Check one transaction: receipts, place, certificate, opening, plaintext",
		Long: `Check one transaction offline from the file that 'scrim audit prove-tx' makes: that the
committee is certified, that it signed the batch and the log, that the ciphertext is at
its place in it, that the opening is the ciphertext's, and what it opens to; and that the
receipts in the file were kept.

The FILE may also be the .tlog-proof that nodes serve (GET /v1/log/proof/ID), with the
committee's certificate beside it (--certificate, GET /v1/log/certificate/HASH).

Exit code: 0 verified, 1 violated, 2 cannot tell.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			hash, err := termsHashOf(termsHash)
			if err != nil {
				return err
			}
			p, err := readTxProof(args[0], certificate, receipts)
			if err != nil {
				return cannotTell(err)
			}
			report, err := p.Verify(wallet.Checks(), hash)
			if err != nil {
				return cannotTell(err)
			}
			return answer(cmd, report.Verdict, asJSON, report, func(w io.Writer) error { return wallet.WriteTxReport(w, report) })
		},
	}
	cmd.Flags().StringVar(&termsHash, "terms-hash", "", "hash of the terms of the committee that opened it (0x and 64 digits)")
	cmd.Flags().StringVar(&certificate, "certificate", "", "file with the committee's certificate, for a .tlog-proof")
	cmd.Flags().StringVar(&receipts, "receipts", "", "receipts file of 'scrim tx send': check those for this transaction")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// readTxProof reads a transaction's bundle, or a .tlog-proof with its certificate, and
// adds the receipts that are for it.
func readTxProof(path, certificate, receipts string) (*audit.TxProof, error) {
	text, err := readFile(path, audit.MaxTxProofSize)
	if err != nil {
		return nil, err
	}
	var p *audit.TxProof
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		p, err = audit.ParseTxProof(text)
	case certificate == "":
		err = errors.New("a .tlog-proof does not hold the committee's certificate: name it with --certificate")
	default:
		p = &audit.TxProof{Proof: text}
		p.Certificate, err = readFile(certificate, commitreveal.MaxCertificateSize)
	}
	if err != nil || receipts == "" {
		return p, err
	}
	held, err := readReceipts(receipts)
	if err != nil {
		return nil, err
	}
	id, err := p.ID()
	if err != nil {
		return nil, err
	}
	for _, r := range held {
		if r.ID == id {
			p.Receipts = append(p.Receipts, r)
		}
	}
	return p, nil
}

func newProveTx() *cobra.Command {
	var receipts, out string
	cmd := &cobra.Command{
		Use:   "prove-tx FROM ID",
		Short: "Make the file that proves one transaction, from a mirror, a bundle or a node",
		Long: `Make the file that proves one transaction, for 'scrim audit verify-tx'. FROM is a mirror, a bundle,
or the address of a node (http://...), which answers for this one transaction only.`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseHash("ID", args[1])
			if err != nil {
				return err
			}
			var held []commitreveal.Receipt
			if receipts != "" {
				if held, err = readReceipts(receipts); err != nil {
					return err
				}
			}
			p, err := proveTx(cmd.Context(), args[0], id, held)
			if err != nil {
				return err
			}
			return writeFile(cmd, out, p)
		},
	}
	cmd.Flags().StringVar(&receipts, "receipts", "", "receipts file of 'scrim tx send': put those for this transaction in")
	cmd.Flags().StringVarP(&out, "output", "o", "", "write to this file")
	return cmd
}

func proveTx(ctx context.Context, from string, id [32]byte, held []commitreveal.Receipt) (*audit.TxProof, error) {
	return prove(from,
		func(node *client.Client) (*audit.TxProof, error) { return wallet.FetchTx(ctx, node, id, held) },
		func(log *wallet.LogSource) (*audit.TxProof, error) { return log.ProveTx(id, held) })
}

// prove makes a proof with what a node is asked for, or from a mirror or a bundle.
func prove[T any](from string, fetch func(*client.Client) (*T, error), read func(*wallet.LogSource) (*T, error)) (*T, error) {
	if isURL(from) {
		node, err := client.New(from, patience)
		if err != nil {
			return nil, usageError{err}
		}
		return fetch(node)
	}
	log, err := wallet.NewLogSource(from)
	if err != nil {
		return nil, err
	}
	return read(log)
}

// isURL tells a node from a file.
func isURL(s string) bool { return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") }

// writeFile writes a proof to a file, or to standard output.
func writeFile(cmd *cobra.Command, name string, proof marshaler) error {
	text, err := proof.Marshal()
	if err != nil {
		return err
	}
	return writeText(cmd, name, text)
}

func writeText(cmd *cobra.Command, name string, text []byte) error {
	if name != "" {
		return os.WriteFile(name, text, 0o644)
	}
	_, err := cmd.OutOrStdout().Write(text)
	return err
}

// receiptReport is the answer of verify-receipt.
type receiptReport struct {
	Verdict  audit.Verdict         `json:"verdict"`
	Receipts []audit.ReceiptResult `json:"receipts"`
	Findings []audit.Finding       `json:"findings"`
	Missing  []string              `json:"missing"`
}

func newVerifyReceipt() *cobra.Command {
	var termsHash, log, evidence string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify-receipt FILE",
		Short: "Check that receipts are genuine, and whether they were kept",
		Long: `Check receipts, as 'scrim tx send' keeps them or one by itself, against a mirror or a
bundle (--log): that a member signed each, and whether it was kept: its ciphertext is in a
certified batch at or below the height that it promises. If not, the file of evidence
against the member is written (--evidence).

Exit code: 0 all were kept, 1 one was broken, 2 cannot tell (not due yet, or of nobody).`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if log == "" {
				return usagef("name what the receipts are held against: --log with a mirror or a bundle")
			}
			var o wallet.VerifyOptions
			var err error
			if o.TermsHash, err = termsHashOf(termsHash); err != nil {
				return err
			}
			if o.Receipts, err = readReceipts(args[0]); err != nil {
				return cannotTell(err)
			}
			b := newBar(cmd)
			o.Progress = b.draw
			report, err := verifyReceipts(log, evidence, o)
			b.clear()
			if err != nil {
				return cannotTell(err)
			}
			return answer(cmd, report.Verdict, asJSON, report, report.write)
		},
	}
	f := cmd.Flags()
	f.StringVar(&log, "log", "", "mirror or bundle")
	f.StringVar(&termsHash, "terms-hash", "", "hash of the first committee's terms (0x and 64 digits)")
	f.StringVar(&evidence, "evidence", "", "write files of evidence to this directory")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// readReceipts reads a receipts file, or a file with one receipt.
func readReceipts(path string) ([]commitreveal.Receipt, error) {
	records, err := wallet.ReadRecords(path)
	if err == nil {
		return wallet.Receipts(records), nil
	}
	text, readErr := readFile(path, 1<<20)
	if readErr != nil {
		return nil, readErr
	}
	var one commitreveal.Receipt
	if json.Unmarshal(bytes.TrimSpace(text), &one) != nil {
		return nil, err
	}
	return []commitreveal.Receipt{one}, nil
}

// receiptCodes are the findings that are about a receipt.
var receiptCodes = []string{audit.CodeReceipt, audit.CodeLog, audit.CodeContradiction}

func verifyReceipts(log, evidence string, o wallet.VerifyOptions) (*receiptReport, error) {
	source, err := wallet.NewLogSource(log)
	if err != nil {
		return nil, err
	}
	full, err := source.Verify(o)
	if err != nil {
		return nil, err
	}
	if evidence != "" {
		if _, err := source.WriteEvidence(full, evidence); err != nil {
			return nil, err
		}
	}
	r := &receiptReport{Receipts: full.Receipts, Findings: []audit.Finding{}, Missing: full.Missing}
	for _, f := range full.Findings {
		if slices.Contains(receiptCodes, f.Code) {
			r.Findings = append(r.Findings, f)
		}
	}
	if others := len(full.Findings) - len(r.Findings); others > 0 {
		r.Missing = append(r.Missing, fmt.Sprintf("a log without fault: 'scrim audit verify' finds %d other violations in it", others))
	}
	if len(full.Receipts) == 0 {
		r.Missing = append(r.Missing, "a receipt: the file has none")
	}
	switch {
	case len(r.Findings) > 0:
		r.Verdict = audit.Violated
	case len(r.Missing) > 0:
		r.Verdict = audit.CannotTell
	}
	return r, nil
}

func (r *receiptReport) write(w io.Writer) error {
	var b bytes.Buffer
	for _, x := range r.Receipts {
		fmt.Fprintf(&b, "%s, member %d: %s", x.ID, x.Member, x.Status)
		if x.Height > 0 {
			fmt.Fprintf(&b, ", block %d position %d", x.Height, x.Position)
		}
		b.WriteByte('\n')
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s: %s (%s)\n", f.Who, f.What, f.Code)
		if f.Evidence != "" {
			fmt.Fprintf(&b, "  evidence: %s\n", f.Evidence)
		}
	}
	for _, text := range r.Missing {
		fmt.Fprintf(&b, "missing: %s\n", text)
	}
	fmt.Fprintln(&b, r.Verdict)
	_, err := w.Write(b.Bytes())
	return err
}

func newEvidence() *cobra.Command {
	return group("evidence", "Look at, and check, what somebody is accused with", newEvidenceShow(), newEvidencePack(), newEvidenceVerify())
}

func readEvidence(path string) (*audit.EvidenceFile, error) {
	text, err := readFile(path, audit.MaxEvidenceSize)
	if err != nil {
		return nil, err
	}
	return audit.ParseEvidence(text)
}

func newEvidenceShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Print what a file of evidence holds, without checking it",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := readEvidence(args[0])
			if err != nil {
				return cannotTell(err)
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%s on chain %s (nothing of it has been checked)\n", f.Proof.Kind(), f.ChainID)
			for _, c := range f.Certificates {
				hash := commitreveal.CertificateHash(c)
				fmt.Fprintf(out, "certificate 0x%s\n", hex.EncodeToString(hash[:]))
			}
			proof, err := json.MarshalIndent(f.Proof, "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(out, "%s\n", proof)
			return err
		},
	}
}

func newEvidencePack() *cobra.Command {
	var log, out string
	var certificates []string
	cmd := &cobra.Command{
		Use:   "pack FILE",
		Short: "Make a file of evidence of what a node serves",
		Long: `Make a file of evidence of what a node serves (GET /v1/evidence/NUMBER): with the certificates of the chain's
committees beside it (--certificate, GET /v1/log/certificate/HASH), or with a mirror that has them (--log). Only what proves
itself is written. 'scrim audit verify' does the same for all evidence in a mirror.

Exit code: 0 it is written, 1 it proves nothing, 2 cannot tell (no evidence of a kind that is known, say).`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := readFile(args[0], audit.MaxEvidenceSize)
			if err != nil {
				return err
			}
			f, err := packEvidence(body, log, certificates)
			if err != nil {
				return cannotTell(err)
			}
			if _, err := f.Verify(wallet.Checks()); errors.Is(err, audit.ErrNotProved) {
				return exitCode{int(audit.Violated), err}
			} else if err != nil {
				return cannotTell(err)
			}
			return writeFile(cmd, out, f)
		},
	}
	cmd.Flags().StringArrayVar(&certificates, "certificate", nil, "file with a committee's certificate; once for each committee concerned")
	cmd.Flags().StringVar(&log, "log", "", "mirror that has the certificates, and the log's hashes")
	cmd.Flags().StringVarP(&out, "output", "o", "", "write to this file")
	return cmd
}

func packEvidence(body []byte, log string, certificates []string) (*audit.EvidenceFile, error) {
	if log != "" {
		source, err := wallet.NewLogSource(log)
		if err != nil {
			return nil, err
		}
		return source.PackEvidence(body)
	}
	var all [][]byte
	for _, name := range certificates {
		c, err := readFile(name, commitreveal.MaxCertificateSize)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return audit.PackEvidence(wallet.Checks(), body, nil, all...)
}

// evidenceReport is the answer of evidence verify.
type evidenceReport struct {
	Proved      bool               `json:"proved"`
	Established *audit.Established `json:"established"`
	Why         string             `json:"why"`
}

func newEvidenceVerify() *cobra.Command {
	var termsHash string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check a file of evidence: what it proves, and against whom",
		Long: `Check a file of evidence, with nothing but the file. It proves something against the
members of a committee; that the committee is the chain's, --terms-hash says.

Exit code: 0 it proves what it says, 1 it proves nothing, 2 cannot tell (it is not a file
of evidence, or about another committee).`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			hash, err := termsHashOf(termsHash)
			if err != nil {
				return err
			}
			f, err := readEvidence(args[0])
			if err != nil {
				return cannotTell(err)
			}
			proved, err := f.Verify(wallet.Checks())
			r := evidenceReport{Proved: err == nil, Established: proved}
			verdict := audit.Verified
			switch {
			case errors.Is(err, audit.ErrNotProved):
				verdict, r.Why = audit.Violated, err.Error()
			case err != nil:
				return cannotTell(err)
			case hash != nil && !knows(proved, *hash):
				return cannotTell(fmt.Errorf("the evidence is against members of committees with the terms %v, not of the one with the terms %s", proved.TermsHashes, termsHash))
			}
			return answer(cmd, verdict, asJSON, r, func(w io.Writer) error { return r.write(w, hash != nil) })
		},
	}
	cmd.Flags().StringVar(&termsHash, "terms-hash", "", "hash of the terms of a committee that the evidence must be about (0x and 64 digits)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func knows(e *audit.Established, hash [32]byte) bool {
	for _, h := range e.TermsHashes {
		if h == commitreveal.Hash(hash) {
			return true
		}
	}
	return false
}

func (r *evidenceReport) write(w io.Writer, anchored bool) error {
	var b bytes.Buffer
	if !r.Proved {
		fmt.Fprintf(&b, "it proves nothing: %s\n", r.Why)
		_, err := w.Write(b.Bytes())
		return err
	}
	e := r.Established
	fmt.Fprintf(&b, "%s on chain %s", e.Kind, e.ChainID)
	if e.Height > 0 {
		fmt.Fprintf(&b, ", block %d", e.Height)
	}
	fmt.Fprintf(&b, "\n%s: %s\n", e.Who, e.What)
	if e.Remains != "" {
		fmt.Fprintf(&b, "not shown by this file: %s\n", e.Remains)
	}
	for _, h := range e.TermsHashes {
		fmt.Fprintf(&b, "terms hash %s\n", h)
	}
	if !anchored {
		b.WriteString("  nothing but the file says that this is the chain's committee: --terms-hash was not given\n")
	}
	b.WriteString("proved\n")
	_, err := w.Write(b.Bytes())
	return err
}
