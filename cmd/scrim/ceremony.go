package main

import (
	"bytes"
	"context"
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
	"github.com/scrimlabs/scrim/internal/version"
	"github.com/scrimlabs/scrim/keygen"
)

func newPreflight() *cobra.Command {
	var where homeFlags
	var nodes []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "preflight TERMS",
		Short: "Look whether this member is ready for the ceremony",
		Long: `Look whether this member is ready for the ceremony under TERMS (a file of 'terms
sign', of 'scrim committee assemble', or genesis.json): keys, consent, phases, share
folder, disk, and, with --node, its own node and the clock.

Each line begins with ok, warn or fail and says what to do. Exit code 1 if one fails.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			terms, err := member.ReadTerms(args[0])
			if err != nil {
				return err
			}
			h, err := where.open()
			if err != nil {
				return err
			}
			p := &member.Preflight{Home: h, Terms: terms, Version: version.Release()}
			if len(nodes) > 0 {
				if p.Node, err = client.New(nodes[0], patience); err != nil {
					return usageError{err}
				}
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
			own := ""
			if h, err := where.open(); err == nil {
				if card, err := h.Card(); err == nil {
					own = card.Member.Name
				}
			}
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
func watchStatus(cmd *cobra.Command, node *client.Client, own string, every time.Duration, show func(*member.Status, io.Writer) error) error {
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
	var nodes []string
	var terms, termsHash string
	cmd := &cobra.Command{
		Use:   "verify (CERTIFICATE | --node URL)",
		Short: "Verify a committee's certificate: verified, violated or cannot tell",
		Long: `Verify a committee's certificate: its terms, that its keys fit together, that enough
members certified it, each with its identity and its share. CERTIFICATE is a file of
the canonical form, binary or hex, - is standard input; with --node a node is asked.

With --terms (a file of signed terms, of 'scrim committee assemble', or genesis.json)
it must be for these, and all members must have signed them; with --terms-hash it
must be for those. Without either nothing says that it is the right committee.

Exit code: 0 verified, 1 violated, 2 cannot tell (there is no certificate, or not all
consents); 64 wrong usage.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var e member.Expected
			if termsHash != "" {
				hash, err := parseHash("--terms-hash", termsHash)
				if err != nil {
					return err
				}
				e.TermsHash = &hash
			}
			if len(args) == 0 && len(nodes) == 0 {
				return usagef("a certificate file or --node is needed")
			}
			c, err := readCertificate(cmd, args, nodes)
			if err == nil && terms != "" {
				e.Terms, err = member.ReadTerms(terms)
			}
			if err == nil {
				err = member.Verify(c, e)
			}
			if err != nil {
				return verdict(err)
			}
			return member.WriteCertificate(cmd.OutOrStdout(), c, e)
		},
	}
	nodesFlag(cmd, &nodes)
	cmd.Flags().StringVar(&terms, "terms", "", "file of the terms with all consents")
	cmd.Flags().StringVar(&termsHash, "terms-hash", "", "hash of the terms (0x and 64 digits), as the members publish it")
	return cmd
}

// verdict says with an exit code what an error means for what was to be verified:
// a proof that fails is a violation, a proof that is not there is not.
func verdict(err error) error {
	var wrongUsage usageError
	if errors.As(err, &wrongUsage) {
		return err
	}
	var consent *keygen.ConsentError
	if errors.Is(err, keygen.ErrCertificate) || errors.As(err, &consent) && len(consent.Wrong) > 0 {
		return exitCode{int(audit.Violated), fmt.Errorf("violated: %w", err)}
	}
	return exitCode{int(audit.CannotTell), fmt.Errorf("cannot tell: %w", err)}
}

// readCertificate reads a file if one is named, and asks the nodes in turn if none is.
func readCertificate(cmd *cobra.Command, files, nodes []string) (*keygen.Certificate, error) {
	if len(files) == 0 {
		return fetchCertificate(cmd.Context(), nodes)
	}
	if files[0] == "-" {
		return member.ReadCertificate(cmd.InOrStdin())
	}
	f, err := os.Open(files[0])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := member.ReadCertificate(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", files[0], err)
	}
	return c, nil
}

func fetchCertificate(ctx context.Context, nodes []string) (*keygen.Certificate, error) {
	var problems []error
	for _, url := range nodes {
		c, err := client.New(url, patience)
		if err != nil {
			return nil, usageError{err}
		}
		committee, err := c.Committee(ctx)
		if err == nil {
			var cert *keygen.Certificate
			if cert, err = member.ReadCertificate(bytes.NewReader(committee.Certificate)); err == nil {
				return cert, nil
			}
		}
		problems = append(problems, fmt.Errorf("%s: %w", url, err))
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
			var files []string
			if certificate != "" {
				files = []string{certificate}
			}
			if len(files) == 0 && len(nodes) == 0 {
				return usagef("--certificate or --node is needed, to compare the share with the committee")
			}
			h, err := where.open()
			if err != nil {
				return err
			}
			c, err := readCertificate(cmd, files, nodes)
			if err != nil {
				return err
			}
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
