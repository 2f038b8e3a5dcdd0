package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/member"
	"github.com/scrimlabs/scrim/internal/version"
	"github.com/scrimlabs/scrim/keygen"
)

// nextFlags say how the next committee is to differ from the one in office.
type nextFlags struct {
	voteFlags
	add, remove, members []string
	next                 member.Succession
}

const proposedNext = `

Only a member of the committee in office can propose. All members of the next
committee and the threshold of those in office have to accept ('accept', and 'join'
for those who are new) before the start height, --start-in blocks ahead. The ceremony
begins at that height, and the nodes of all have to run then; until the next committee
is in office, and if the ceremony fails, the present one serves as before.`

func newReshare() *cobra.Command {
	var f nextFlags
	f.next.Change = keygen.ChangeReshare
	cmd := &cobra.Command{
		Use:   "reshare --node URL [--add CARD]... [--remove NAME]...",
		Short: "Propose a next committee that takes over the key",
		Long: `Propose a next committee that takes over the key of the one in office: members join
(--add, a card that they made with 'scrim member init') or leave (--remove), the
threshold changes (--threshold), or, without any of it, the same members get new shares
so that old copies are worth nothing. --members, once for each, gives a whole new list.
The key stays: wallets notice nothing, and what was sealed before is opened by the new
committee.` + proposedNext + shownBefore,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.propose(cmd) },
	}
	f.registerNext(cmd)
	return cmd
}

func newRotate() *cobra.Command {
	var f nextFlags
	f.next.Change = keygen.ChangeRotate
	cmd := &cobra.Command{
		Use:   "rotate --node URL [--overlap BLOCKS]",
		Short: "Propose a next committee with a new key",
		Long: `Propose a next committee that makes a new key: because the old one may be known to
somebody, or so many members are lost that it could not be handed over. Members join,
leave or change as with 'reshare'.

Wallets seal to the new key as soon as it is in office. What is sealed to the old one is
still ordered for --overlap blocks after that; then it is refused (key_retired).` + proposedNext + shownBefore,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.propose(cmd) },
	}
	f.registerNext(cmd)
	cmd.Flags().Uint64Var(&f.next.Overlap, "overlap", 0, "blocks during which what is sealed to the old key is still ordered (default: as many as a ciphertext may be valid, so that none is lost)")
	return cmd
}

func newLeave() *cobra.Command {
	var f nextFlags
	f.next.Change = keygen.ChangeReshare
	cmd := &cobra.Command{
		Use:   "leave --node URL",
		Short: "Propose a next committee without oneself",
		Long: `Propose a next committee without oneself, which takes over the key: a 'reshare' that
removes the member of this home. It stays a member, with all duties, until the next
committee is in office; then its node destroys the share.` + proposedNext + shownBefore,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := f.where.open()
			if err != nil {
				return err
			}
			card, err := h.Card()
			if err != nil {
				return fmt.Errorf("who is to leave is on the card: %w", err)
			}
			f.remove = []string{card.Member.Name}
			return f.propose(cmd)
		},
	}
	f.register(cmd)
	f.leadFlag(cmd)
	cmd.Flags().IntVar(&f.next.Threshold, "threshold", 0, "how many members open a batch then (default: more than two thirds)")
	return cmd
}

func (f *nextFlags) registerNext(cmd *cobra.Command) {
	f.register(cmd)
	f.leadFlag(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.add, "add", nil, "card (member.json) of somebody who joins; once for each")
	flags.StringArrayVar(&f.remove, "remove", nil, "name of a member who leaves; once for each")
	flags.StringArrayVar(&f.members, "members", nil, "card of a member of the next committee, instead of --add and --remove; once for each, in order")
	flags.IntVar(&f.next.Threshold, "threshold", 0, "how many members open a batch then (default: as now if as many are members, else more than two thirds)")
	phaseFlags(cmd, &f.next.Phases, 0, " (default: as now)")
}

func (f *nextFlags) propose(cmd *cobra.Command) error {
	if len(f.members) > 0 && len(f.add)+len(f.remove) > 0 {
		return usagef("give either --members, or --add and --remove")
	}
	var err error
	if f.next.Add, err = readCards(f.add); err != nil {
		return err
	}
	if f.next.Members, err = readCards(f.members); err != nil {
		return err
	}
	f.next.Remove = f.remove
	return f.run(cmd, keygen.KindProposal, func(v *member.Voter) (*member.Succession, error) {
		if f.next.Change != keygen.ChangeRotate || cmd.Flags().Changed("overlap") {
			return &f.next, nil
		}
		limits, err := v.Nodes[0].Limits(cmd.Context())
		if err != nil {
			return nil, fmt.Errorf("how long a ciphertext may be valid: %w; or give --overlap", err)
		}
		f.next.Overlap = limits.MaxValidity
		return &f.next, nil
	})
}

func newJoin() *cobra.Command {
	var f voteFlags
	cmd := &cobra.Command{
		Use:   "join (FILE | --node URL)",
		Short: "Take part in a ceremony: check, consent, and follow it to the end",
		Long: `Take part in a ceremony, in one command that can be broken off and typed again at any
time: it does what is not done yet.

With a FILE of terms, before there is a chain: the checks of 'preflight', then the
consent as with 'terms sign'. With --node, the node of this member's home: the same
checks; the consent to what is proposed, if it is missing ('accept'); then it shows how
the ceremony goes on, until the committee is in office and this member's share is
stored and checked. Who has just been asked into a chain that runs needs a home with
config.toml and the chain's genesis.json, and a node that follows the chain.` + shownBefore,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && len(f.nodes) == 0 {
				return usagef("name a file of terms, or the node of this member with --node http://127.0.0.1:8080")
			}
			if len(args) == 1 {
				if err := f.joinFile(cmd, args[0]); err != nil || !cmd.Flags().Changed("node") {
					return err
				}
			}
			return f.joinChain(cmd)
		},
	}
	f.register(cmd)
	f.hashFlag(cmd)
	return cmd
}

// joinFile checks the home under the terms of a file, and signs them.
func (f *voteFlags) joinFile(cmd *cobra.Command, file string) error {
	terms, err := member.ReadTerms(file)
	if err != nil {
		return err
	}
	h, err := f.where.open()
	if err != nil {
		return err
	}
	secret, err := h.Secret()
	if err != nil {
		return err
	}
	defer secret.Wipe()
	index, err := terms.Terms.IndexOf(secret)
	if err != nil {
		return fmt.Errorf("%w: do not sign; ask who drafted them to use your member.json", err)
	}
	if terms.Consented(index) {
		if err := f.checked(cmd, &member.Preflight{Home: h, Terms: terms, Version: version.Release()}); err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "You have signed. Next: with everybody's file: scrim committee assemble FILE...; when your node runs: scrim member join --node http://127.0.0.1:8080\n")
		return nil
	}
	if err := member.WriteTerms(cmd.ErrOrStderr(), terms); err != nil {
		return err
	}
	if err := f.agree(cmd, terms.Terms.Hash(), "nothing was signed"); err != nil {
		return err
	}
	if _, err := terms.Sign(secret); err != nil {
		return err
	}
	if err := f.checked(cmd, &member.Preflight{Home: h, Terms: terms, Version: version.Release()}); err != nil {
		return err
	}
	return signTerms(cmd, h, terms, file, "")
}

// checked runs a preflight and refuses to go on if a check failed.
func (*voteFlags) checked(cmd *cobra.Command, p *member.Preflight) error {
	checks := p.Run(cmd.Context())
	if err := member.WriteChecks(cmd.ErrOrStderr(), checks); err != nil {
		return err
	}
	if member.Failed(checks) {
		return errors.New("not ready: mend what failed above, then type the same again; nothing was signed or sent")
	}
	return nil
}

// joinChain answers what is proposed, and follows it to the end.
func (f *voteFlags) joinChain(cmd *cobra.Command) error {
	voter, err := f.voter()
	if err != nil {
		return err
	}
	defer voter.Secret.Wipe()
	h, err := f.where.open()
	if err != nil {
		return err
	}
	s, asked, err := needsConsent(cmd, voter)
	if err != nil {
		return err
	}
	if !s.Over() {
		if err := f.checked(cmd, &member.Preflight{Home: h, Status: s, Node: voter.Nodes[0], Version: version.Release()}); err != nil {
			return err
		}
	}
	if asked {
		if err := f.say(cmd, voter, keygen.KindConsent); err != nil {
			return err
		}
	}
	return follow(cmd, voter, h, s)
}

// needsConsent waits for a node that still fetches blocks: that of somebody who joins has just been started.
func needsConsent(cmd *cobra.Command, voter *member.Voter) (*member.Status, bool, error) {
	for said := false; ; said = true {
		s, asked, err := voter.NeedsConsent(cmd.Context())
		if !errors.Is(err, member.ErrBehind) {
			return s, asked, err
		}
		if !said {
			warn(cmd, []string{err.Error(), "waiting until it has caught up; a node that was started before its member was proposed may not have been let in: start it again"})
		}
		select {
		case <-cmd.Context().Done():
			return nil, false, err
		case <-time.After(time.Second):
		}
	}
}

// shareWait is how long a share may take to be on disk after its committee is in office.
const shareWait = 10 * time.Second

func follow(cmd *cobra.Command, voter *member.Voter, h *home.Home, s *member.Status) error {
	out := cmd.ErrOrStderr()
	c, err := voter.Follow(cmd.Context(), s, func(s *member.Status) { _ = errors.Join(s.Write(out), newline(out)) })
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), shareWait)
	defer cancel()
	path, index, err := member.AwaitShare(ctx, h, c)
	t := c.Terms
	switch {
	case errors.Is(err, member.ErrNoPart):
		fmt.Fprintf(cmd.OutOrStdout(), "done: the committee of epoch %d is in office, and this member has left.\n"+
			"next: %s\n", t.Epoch, member.Farewell(0, 0))
		return nil
	case err != nil:
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "done: the committee of epoch %d is in office; %s is the share of %s (member %d of %d), checked against its certificate.\n"+
		"next: copy that file to a second medium, and: scrim member confirm-stored COPY --node %s\n", t.Epoch, path, t.Members[index-1].Name, index, t.N(), s.Node)
	return nil
}

func newRecover() *cobra.Command {
	var where homeFlags
	var nodes []string
	var terms string
	var epoch uint64
	cmd := &cobra.Command{
		Use:   "recover --node URL",
		Short: "Rebuild a lost share file from the log",
		Long: `Rebuild this member's share file from what was said in the ceremony, which every node
has: the dealers encrypted the share to this member's keys. It needs member.age and the
age identity, and nothing else of the old disk. The share is checked against the
committee's certificate, and that against the terms of the first committee (--terms, or
genesis.json of the home). It never overwrites a file.

Nodes keep this for the committee in office, and for one before it as long as something
of it is to be opened (--epoch).`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(nodes) == 0 {
				return usagef("no node is named; give --node http://host:port of any node of the network, or set SCRIM_NODES")
			}
			clients, err := connect(nodes)
			if err != nil {
				return err
			}
			h, err := where.open()
			if err != nil {
				return err
			}
			known, err := knownTerms(h, terms)
			if err != nil {
				return err
			}
			done, err := (&member.Recovery{Home: h, Nodes: clients, Known: known, Epoch: epoch}).Run(cmd.Context())
			if err != nil {
				return err
			}
			t, verb := done.Certificate.Terms, "recovered"
			if done.Existed {
				verb = "nothing to do, it is there"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s is the share of %s (member %d), chain %s, epoch %d, checked against the certificate\n",
				verb, done.Path, t.Members[done.Member-1].Name, done.Member, t.ChainID, t.Epoch)
			fmt.Fprintf(cmd.ErrOrStderr(), "Next: start the node if it does not run; copy the file to a second medium, and: scrim member confirm-stored COPY --node %s\n", clients[0].URL())
			return nil
		},
	}
	where.register(cmd)
	nodesFlag(cmd, &nodes)
	cmd.Flags().StringVar(&terms, "terms", "", "terms of the first committee, as genesis.json (default: that of the home)")
	cmd.Flags().Uint64Var(&epoch, "epoch", 0, "epoch of the committee (default: the one in office)")
	return cmd
}
