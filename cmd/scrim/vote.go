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
	return newVote(keygen.KindAbort, "abort --node URL", "Ask to end the running ceremony", `Ask to end the running ceremony, because waiting for its deadline makes no sense: a
member is away for long, a share is in the wrong hands. As soon as the threshold of
members has asked, it ends; another attempt can follow ('retry'). One member alone
changes nothing. It cannot be taken back. If there is a committee, it stays in office;
the threshold of its members can end the ceremony as well.`)
}

func newRetry() *cobra.Command {
	return newVote(keygen.KindProposal, "retry --node URL", "Propose another attempt after a ceremony that came to nothing", `Propose another attempt after a ceremony that failed, was aborted or rejected: the same
members and phases, the next number, and a start height --start-in blocks ahead. All
members have to accept it before that height ('accept'), also the one who proposes,
and if there is a committee the threshold of its members.
The ceremony begins at that height, not earlier, and all nodes have to run then.`)
}

func newAccept() *cobra.Command {
	return newVote(keygen.KindConsent, "accept --node URL", "Accept what is proposed: another attempt, or the next committee", `Accept what a member proposes: another attempt, or the next committee. It shows what is
different from the terms that this member knows: who joins, who leaves, the threshold,
whether the key stays. Who is in both committees accepts for both. Compare the hash with
the other members' by voice; --hash accepts these terms only. With a next committee, or
phases of other lengths, --yes needs --hash.`)
}

func newReject() *cobra.Command {
	return newVote(keygen.KindRejection, "reject --node URL", "Reject what is proposed", `Reject what a member proposes. It cannot be taken back; another proposal can be made
('retry', 'reshare', 'rotate'). One member of the committee that is to be made ends it
for all; of the committee in office as many as leave fewer than its threshold.`)
}

func newVote(k keygen.Kind, use, short, long string) *cobra.Command {
	var f voteFlags
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long:  long + shownBefore,
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd, k, nil) },
	}
	f.register(cmd)
	switch k {
	case keygen.KindProposal:
		f.leadFlag(cmd)
	case keygen.KindConsent:
		f.hashFlag(cmd)
	}
	return cmd
}

const shownBefore = `

What is signed, and what it does, is shown before anything is sent; it is sent when
you type yes, or with --yes. The keys stay here: the node gets the signed message.
--terms is a file with the terms of the chain's first committee, as genesis.json: what
the node shows must be of those members, or of others to whom they handed over.`

func (f *voteFlags) register(cmd *cobra.Command) {
	f.where.register(cmd)
	nodesFlag(cmd, &f.nodes)
	flags := cmd.Flags()
	flags.StringVar(&f.terms, "terms", "", "terms of the first committee, as genesis.json (default: that of the home)")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "how long to wait until it is in a block")
}

func (f *voteFlags) leadFlag(cmd *cobra.Command) {
	cmd.Flags().Uint64Var(&f.lead, "start-in", member.DefaultLead, "blocks from now until the ceremony begins")
}

func (f *voteFlags) hashFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.hash, "hash", "", "accept only terms with this hash (0x and 64 digits)")
}

// run says a word. next, of a proposal, is the committee to propose.
func (f *voteFlags) run(cmd *cobra.Command, k keygen.Kind, next func(*member.Voter) (*member.Succession, error)) error {
	voter, err := f.voter()
	if err != nil {
		return err
	}
	defer voter.Secret.Wipe()
	if next != nil {
		if voter.Next, err = next(voter); err != nil {
			return err
		}
	}
	return f.say(cmd, voter, k)
}

// say prepares a word, asks, and casts it.
func (f *voteFlags) say(cmd *cobra.Command, voter *member.Voter, k keygen.Kind) error {
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
	var err error
	if v.Nodes, err = connect(f.nodes); err != nil {
		return nil, err
	}
	h, err := f.where.open()
	if err != nil {
		return nil, err
	}
	if v.Known, err = knownTerms(h, f.terms); err != nil {
		return nil, err
	}
	v.Secret, err = h.Secret()
	return v, err
}

func connect(urls []string) (nodes []*client.Client, err error) {
	for _, url := range urls {
		node, err := client.New(url, patience)
		if err != nil {
			return nil, usageError{err}
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// knownTerms are those of the first committee: from a file that is named, or the home's genesis.json.
func knownTerms(h *home.Home, file string) (*keygen.Terms, error) {
	path := file
	if path == "" {
		path = filepath.Join(h.Dir, home.GenesisName)
	}
	known, err := member.ReadTerms(path)
	if errors.Is(err, os.ErrNotExist) && file == "" {
		return nil, usagef("there is no %s to compare the node's terms with; name a file of the first committee's terms with --terms", path)
	}
	if err != nil {
		return nil, err
	}
	return &known.Terms, nil
}

// confirm lets the member stop before anything is sent.
func (f *voteFlags) confirm(cmd *cobra.Command, b *member.Ballot) error {
	const nothing = "nothing was sent"
	if differences := b.Differences(); f.yes && f.hash == "" && b.Kind == keygen.KindConsent && len(differences) > 0 {
		return fmt.Errorf("the terms differ from those you know (%s): --yes accepts them only with --hash; %s", strings.Join(differences, "; "), nothing)
	}
	return f.agree(cmd, b.Terms.Hash(), nothing)
}

// agree compares the hash of the terms with the expected one, and asks for a yes.
func (f *voteFlags) agree(cmd *cobra.Command, have [32]byte, nothing string) error {
	if f.hash != "" {
		expected, err := parseHash("--hash", f.hash)
		if err != nil {
			return err
		}
		if have != expected {
			return fmt.Errorf("the terms have hash 0x%x, not the expected 0x%x; %s", have, expected, nothing)
		}
	}
	if f.yes {
		return nil
	}
	if in, ok := cmd.InOrStdin().(*os.File); !ok || !isTerminal(in) {
		return usagef("there is no terminal to ask on; read the above and give --yes; %s", nothing)
	}
	fmt.Fprint(cmd.ErrOrStderr(), "\nType yes to go on: ")
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return fmt.Errorf("not confirmed; %s", nothing)
	}
	return nil
}
