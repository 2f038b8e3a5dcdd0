package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/httpapi/client"
	"github.com/scrimlabs/scrim/internal/member"
	"github.com/scrimlabs/scrim/internal/succession"
	"github.com/scrimlabs/scrim/internal/version"
	"github.com/scrimlabs/scrim/keygen"
)

func newPreflight() *cobra.Command {
	var where homeFlags
	var nodes []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "preflight [TERMS] [--node URL]",
		Short: "Look whether this member is ready for the ceremony",
		Long: `Look whether this member is ready for the ceremony under TERMS (a file of 'terms
sign', of 'scrim committee assemble', or genesis.json), or, with --node alone, for the
newest one that its own node knows: keys, consent, phases, share folder, the share that
a resharing is dealt from, disk, and, with --node, the node and the clock.

Each line begins with ok, warn or fail and says what to do. Exit code 1 if one fails.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := where.open()
			if err != nil {
				return err
			}
			p := &member.Preflight{Home: h, Version: version.Release()}
			if len(args) == 1 && !cmd.Flags().Changed("node") {
				nodes = nil // SCRIM_NODES is set before a node runs
			}
			if len(nodes) > 0 {
				if p.Node, err = client.New(nodes[0], patience); err != nil {
					return usageError{err}
				}
			}
			switch {
			case len(args) == 1:
				p.Terms, err = member.ReadTerms(args[0])
			case p.Node != nil:
				p.Status, err = member.GetStatus(cmd.Context(), p.Node, where.identity())
			default:
				err = usagef("name a file of terms, or the node of this member with --node http://127.0.0.1:8080")
			}
			if err != nil {
				return err
			}
			checks := p.Run(cmd.Context())
			write := member.WriteChecks
			if asJSON {
				write = func(w io.Writer, checks []member.Check) error { return json.NewEncoder(w).Encode(checks) }
			}
			if err := write(cmd.OutOrStdout(), checks); err != nil {
				return err
			}
			if member.Failed(checks) {
				return exitCode{code: exitFailed}
			}
			return nil
		},
	}
	where.register(cmd)
	nodesFlag(cmd, &nodes)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// identity is the one on the home's card; nil if there is none.
func (f *homeFlags) identity() ed25519.PublicKey {
	h, err := f.open()
	if err != nil {
		return nil
	}
	card, err := h.Card()
	if err != nil {
		return nil
	}
	return card.Member.Identity
}

func newMemberStatus() *cobra.Command {
	var where homeFlags
	var nodes []string
	var watch, asJSON bool
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "status --node URL",
		Short: "Show who has done what in the ceremony, and what to type next",
		Long: `Show the newest ceremony as the node tells it: the matrix of members and phases, how
many blocks are left, whom it waits for, who is to blame for what, and what to type
next. With --watch it is shown again when somebody has done something (on a terminal
all the time), until the ceremony is over; it then ends with 1 if the ceremony failed.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(nodes) == 0 {
				return usagef("no node is named; give --node http://127.0.0.1:8080, or set SCRIM_NODES")
			}
			node, err := client.New(nodes[0], patience)
			if err != nil {
				return usageError{err}
			}
			own := where.identity()
			show := func(s *member.Status, w io.Writer) error { return s.Write(w) }
			if asJSON {
				show = func(s *member.Status, w io.Writer) error { return json.NewEncoder(w).Encode(s) }
			}
			if watch && !asJSON {
				show = func(s *member.Status, w io.Writer) error { return errors.Join(s.Write(w), newline(w)) }
			}
			if watch {
				return watchStatus(cmd, node, own, every, show)
			}
			s, err := member.GetStatus(cmd.Context(), node, own)
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout())
		},
	}
	where.register(cmd)
	nodesFlag(cmd, &nodes)
	f := cmd.Flags()
	f.BoolVar(&watch, "watch", false, "go on until the ceremony is over")
	f.BoolVar(&asJSON, "json", false, "print JSON, an object on each line")
	f.DurationVar(&every, "every", 2*time.Second, "how often the node is asked")
	return cmd
}

func newline(w io.Writer) error {
	_, err := io.WriteString(w, "\n")
	return err
}

// watchStatus shows the ceremony again when somebody has done something; on a terminal
// it keeps one screen, so that the blocks that are left can be seen to run out.
func watchStatus(cmd *cobra.Command, node *client.Client, own ed25519.PublicKey, every time.Duration, show func(*member.Status, io.Writer) error) error {
	out := cmd.OutOrStdout()
	screen := isTerminal(out)
	var last []byte
	tick := time.NewTicker(max(every, 10*time.Millisecond))
	defer tick.Stop()
	for {
		s, err := member.GetStatus(cmd.Context(), node, own)
		switch {
		case err != nil:
			warn(cmd, []string{err.Error()}) // the node may come back
		case screen:
			if err := redraw(out, s, show); err != nil {
				return err
			}
		default:
			now, err := json.Marshal(s.Ceremony)
			if err == nil && !bytes.Equal(now, last) {
				err = show(s, out)
			}
			if err != nil {
				return err
			}
			last = now
		}
		if err == nil && s.Over() {
			return outcome(s)
		}
		select {
		case <-cmd.Context().Done():
			return exitCode{code: exitFailed}
		case <-tick.C:
		}
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const clearScreen = "\x1b[H\x1b[2J"

func redraw(out io.Writer, s *member.Status, show func(*member.Status, io.Writer) error) error {
	b := bytes.NewBufferString(clearScreen)
	if err := show(s, b); err != nil {
		return err
	}
	_, err := b.WriteTo(out)
	return err
}

func outcome(s *member.Status) error {
	if s.Succeeded() {
		return nil
	}
	return exitCode{code: exitFailed}
}

func newMemberVerify() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify (CERTIFICATE... | --node URL)",
		Short: "Verify committees' certificates: verified, violated or cannot tell",
		Long: `Verify committees' certificates: the terms of each, that its keys fit together, that
enough members certified it, each with its identity and its share; of each but the first
that enough members of the one before approved it, and that the key stayed, or not, as
its terms say. CERTIFICATE, once for each in order, is a file of the canonical form,
binary or hex, - is standard input; with --node a node is asked for all of the chain.

With --terms (a file of signed terms, of 'scrim committee assemble', or genesis.json)
the first must be for these, and all members must have signed them; with --terms-pin the
first must be one for terms with this pin, of whichever attempt; with --terms-hash one of
them must be for those. Without any of it nothing says that they are the right ones.

With --bundle (of 'scrimd export', GET /v1/export) the certificates must be in the log
that it holds, under a signature of the committee; the bundle is audited for that.

Exit code: 0 verified, 1 violated, 2 cannot tell (there is no certificate, not all
consents, or a log that does not reach so far); 64 wrong usage.`,
		Args: usage(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && len(f.nodes) == 0 {
				return usagef("a certificate file or --node is needed")
			}
			e, err := f.expected()
			if err != nil {
				return verdict(err)
			}
			line, err := readLine(cmd, args, f.nodes)
			if err == nil {
				err = member.Verify(line, e)
			}
			if err != nil {
				return verdict(err)
			}
			return member.WriteLine(cmd.OutOrStdout(), line, e)
		},
	}
	nodesFlag(cmd, &f.nodes)
	flags := cmd.Flags()
	flags.StringVar(&f.terms, "terms", "", "file of the first committee's terms with all consents")
	flags.StringVar(&f.termsPin, "terms-pin", "", "pin of the first committee's terms (0x and 64 digits), as the members publish it")
	flags.StringVar(&f.termsHash, "terms-hash", "", "hash of a committee's terms (0x and 64 digits)")
	flags.StringVar(&f.bundle, "bundle", "", "audit bundle whose log must have the certificates")
	return cmd
}

// verifyFlags say what is expected of committees.
type verifyFlags struct {
	nodes                              []string
	terms, termsPin, termsHash, bundle string
}

func (f *verifyFlags) expected() (e member.Expected, err error) {
	if e.TermsHash, err = optionalHash("--terms-hash", f.termsHash); err != nil {
		return e, err
	}
	if e.TermsPin, err = optionalHash("--terms-pin", f.termsPin); err != nil {
		return e, err
	}
	if f.terms != "" {
		terms, err := member.ReadTerms(f.terms)
		if err != nil {
			return e, err
		}
		e.Terms = &terms.SignedTerms
	}
	if f.bundle == "" {
		return e, nil
	}
	report, err := runAudit(nil, f.bundle, "", audit.Options{})
	if err != nil {
		return e, err
	}
	if report.Verdict == audit.Violated {
		return e, fmt.Errorf("%w: the bundle does not hold: scrim audit %s", keygen.ErrCertificate, f.bundle)
	}
	e.Log, e.Certified = report.Committees, report.CertifiedSize
	return e, nil
}

// verdict says with an exit code what an error means for what was to be verified:
// a proof that fails is a violation, a proof that is not there is not.
func verdict(err error) error {
	var wrongUsage usageError
	if errors.As(err, &wrongUsage) {
		return err
	}
	var consent *keygen.ConsentError
	if errors.Is(err, keygen.ErrCertificate) || errors.Is(err, succession.ErrFalse) || errors.As(err, &consent) && len(consent.Wrong) > 0 {
		return exitCode{int(audit.Violated), fmt.Errorf("violated: %w", err)}
	}
	return exitCode{int(audit.CannotTell), fmt.Errorf("cannot tell: %w", err)}
}

// readLine reads files if any are named, and asks the nodes in turn if none is. What it gives is verified.
func readLine(cmd *cobra.Command, files, nodes []string) (succession.Line, error) {
	if len(files) == 0 {
		return fetchLine(cmd.Context(), nodes)
	}
	var certificates []*keygen.Certificate
	for _, file := range files {
		c, err := readCertificate(cmd, file)
		if err != nil {
			return nil, err
		}
		certificates = append(certificates, c)
	}
	return succession.VerifyPart(certificates...)
}

func readCertificate(cmd *cobra.Command, file string) (*keygen.Certificate, error) {
	if file == "-" {
		return member.ReadCertificate(cmd.InOrStdin())
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := member.ReadCertificate(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

func fetchLine(ctx context.Context, nodes []string) (succession.Line, error) {
	clients, err := connect(nodes)
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, node := range clients {
		line, err := succession.Fetch(ctx, node)
		if err == nil {
			return line, nil
		}
		problems = append(problems, err)
	}
	return nil, errors.Join(problems...)
}

func newConfirmStored() *cobra.Command {
	var where homeFlags
	var nodes []string
	var certificate string
	cmd := &cobra.Command{
		Use:   "confirm-stored COPY (--certificate FILE | --node URL)",
		Short: "Read a backup of the share again, and check that it is good",
		Long: `Read a backup of this member's share file again, from the medium that it is kept on:
decrypt it with the age identity, and check that it is this member's share of the
committee that the certificate proves. Nothing is written. The copy must not be the
file in the home itself.

Exit code: 0 it is good, 1 it is not, or could not be checked.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if certificate == "" && len(nodes) == 0 {
				return usagef("--certificate or --node is needed, to compare the share with the committee")
			}
			h, err := where.open()
			if err != nil {
				return err
			}
			var files []string
			if certificate != "" {
				files = []string{certificate}
			}
			line, err := readLine(cmd, files, nodes)
			if err != nil {
				return err
			}
			c := line.Office()
			index, err := member.ConfirmStored(h, args[0], c)
			if err != nil {
				return err
			}
			t := c.Terms
			fmt.Fprintf(cmd.OutOrStdout(), "yes: %s is the share of %s (member %d), chain %s, epoch %d, terms hash 0x%x\n",
				args[0], t.Members[index-1].Name, index, t.ChainID, t.Epoch, t.Hash())
			return nil
		},
	}
	where.register(cmd)
	nodesFlag(cmd, &nodes)
	cmd.Flags().StringVar(&certificate, "certificate", "", "file of the committee's certificate, binary or hex")
	return cmd
}
