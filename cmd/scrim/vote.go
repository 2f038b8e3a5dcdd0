package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/httpapi/client"
	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/member"
	"github.com/scrimlabs/scrim/keygen"
)

// voteFlags are those of the commands with which a member says something in a ceremony.
type voteFlags struct {
	where   homeFlags
	nodes   []string
	terms   string
	hash    string
	lead    uint64
	yes     bool
	timeout time.Duration
}

func newAbort() *cobra.Command {
	return newVote(keygen.KindAbort, "abort --node URL", "Ask to end the running ceremony without a key", `Ask to end the running ceremony without a key, because waiting for its deadline makes
no sense: a member is away for long, a share is in the wrong hands. As soon as the
threshold of members has asked, it ends; another attempt can follow ('retry'). One
member alone changes nothing. It cannot be taken back.`)
}

func newRetry() *cobra.Command {
	return newVote(keygen.KindProposal, "retry --node URL", "Propose another attempt after a ceremony that came to nothing", `Propose another attempt after a ceremony that failed, was aborted or rejected: the same
members and phases, the next number, and a start height --start-in blocks ahead. All
members have to accept it before that height ('accept'), also the one who proposes.
The ceremony begins at that height, not earlier, and all nodes have to run then.`)
}

func newAccept() *cobra.Command {
	return newVote(keygen.KindConsent, "accept --node URL", "Accept the proposed attempt", `Accept the attempt that a member proposes: take part under its terms. It shows what is
different from the terms that this member knows. Compare the hash with the other
members' by voice; --hash accepts these terms only. If phases have other lengths,
--yes needs --hash.`)
}

func newReject() *cobra.Command {
	return newVote(keygen.KindRejection, "reject --node URL", "Reject the proposed attempt", `Reject the attempt that a member proposes: the proposal ends at once, for all. It cannot
be taken back; another one can be made ('retry').`)
}

func newVote(k keygen.Kind, use, short, long string) *cobra.Command {
	var f voteFlags
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long: long + `

What is signed, and what it does, is shown before anything is sent; it is sent when
you type yes, or with --yes. The keys stay here: the node gets the signed message.
--terms is a file with terms of this committee that this member has seen before, of
any attempt: what the node shows must be of the same members.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, k) },
	}
	f.where.register(cmd)
	nodesFlag(cmd, &f.nodes)
	flags := cmd.Flags()
	flags.StringVar(&f.terms, "terms", "", "terms of this committee, as genesis.json (default: that of the home)")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "how long to wait until it is in a block")
	switch k {
	case keygen.KindProposal:
		flags.Uint64Var(&f.lead, "start-in", member.DefaultLead, "blocks from now until the ceremony begins")
	case keygen.KindConsent:
		flags.StringVar(&f.hash, "hash", "", "accept only terms with this hash (0x and 64 digits)")
	}
	return cmd
}

func (f *voteFlags) run(cmd *cobra.Command, k keygen.Kind) error {
	voter, err := f.voter()
	if err != nil {
		return err
	}
	defer voter.Secret.Wipe()
	ballot, err := voter.Prepare(cmd.Context(), k)
	if err != nil {
		return err
	}
	if err := ballot.Write(cmd.ErrOrStderr()); err != nil {
		return err
	}
	if err := f.confirm(cmd, ballot); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	s, err := voter.Cast(ctx, ballot)
	if err != nil {
		return err
	}
	return ballot.WriteResult(cmd.OutOrStdout(), s)
}

// voter finds the nodes, what the member knows, and its secret, in the order of what
// costs least.
func (f *voteFlags) voter() (*member.Voter, error) {
	if len(f.nodes) == 0 {
		return nil, usagef("no node is named; give --node http://127.0.0.1:8080, or set SCRIM_NODES")
	}
	v := &member.Voter{Lead: f.lead}
	for _, url := range f.nodes {
		node, err := client.New(url, patience)
		if err != nil {
			return nil, usageError{err}
		}
		v.Nodes = append(v.Nodes, node)
	}
	h, err := f.where.open()
	if err != nil {
		return nil, err
	}
	path := f.terms
	if path == "" {
		path = filepath.Join(h.Dir, home.GenesisName)
	}
	known, err := member.ReadTerms(path)
	if errors.Is(err, os.ErrNotExist) && f.terms == "" {
		return nil, usagef("there is no %s to compare the node's terms with; name a file of this committee's terms with --terms", path)
	}
	if err != nil {
		return nil, err
	}
	v.Known = &known.Terms
	v.Secret, err = h.Secret()
	return v, err
}

// confirm lets the member stop before anything is sent.
func (f *voteFlags) confirm(cmd *cobra.Command, b *member.Ballot) error {
	const nothing = "nothing was sent"
	if f.hash != "" {
		expected, err := parseHash("--hash", f.hash)
		if err != nil {
			return err
		}
		if have := b.Terms.Hash(); have != expected {
			return fmt.Errorf("the proposed terms have hash 0x%x, not the expected 0x%x; %s", have, expected, nothing)
		}
	}
	if differences := b.Differences(); f.yes && f.hash == "" && b.Kind == keygen.KindConsent && len(differences) > 0 {
		return fmt.Errorf("phases have other lengths than in the terms you know (%s): --yes accepts them only with --hash; %s", strings.Join(differences, "; "), nothing)
	}
	if f.yes {
		return nil
	}
	if in, ok := cmd.InOrStdin().(*os.File); !ok || !isTerminal(in) {
		return usagef("there is no terminal to ask on; read the above and give --yes; %s", nothing)
	}
	fmt.Fprint(cmd.ErrOrStderr(), "\nType yes to send it: ")
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return fmt.Errorf("not confirmed; %s", nothing)
	}
	return nil
}
