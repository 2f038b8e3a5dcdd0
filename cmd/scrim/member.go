package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/internal/home"
	"github.com/scrimlabs/scrim/internal/member"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

func newMember() *cobra.Command {
	return group("member", "Be a committee member: keys, terms, a ceremony, and what came of it",
		newMemberInit(), newMemberCard(),
		group("terms", "Draw up, read and sign the terms of a ceremony", newTermsDraft(), newTermsShow(), newTermsSign()),
		newPreflight(), newJoin(), newMemberStatus(), newAccept(), newReject(), newAbort(), newRetry(),
		newReshare(), newRotate(), newLeave(), newRecover(), newMemberVerify(), newConfirmStored())
}

func newCommittee() *cobra.Command {
	return group("committee", "Make a committee of members who have signed terms", newAssemble())
}

// homeFlags say where the member's secrets are.
type homeFlags struct{ dir, identityFile string }

func (f *homeFlags) register(cmd *cobra.Command) {
	standard := os.Getenv("SCRIM_HOME")
	if standard == "" {
		standard = ".scrim"
		if dir, err := os.UserHomeDir(); err == nil {
			standard = filepath.Join(dir, ".scrim")
		}
	}
	cmd.Flags().StringVar(&f.dir, "home", standard, "the member's home folder ($SCRIM_HOME)")
	cmd.Flags().StringVar(&f.identityFile, "identity-file", "", "file of the age identity (default: as config.toml says, else identity.txt in the home, else $SCRIM_AGE_IDENTITY)")
}

func (f *homeFlags) open() (*home.Home, error) { return home.Open(f.dir, f.identityFile) }

func newMemberInit() *cobra.Command {
	var where homeFlags
	var name, address string
	var newIdentity bool
	cmd := &cobra.Command{
		Use:   "init --name NAME (--new-identity | --identity-file FILE)",
		Short: "Make a member: secret keys, encrypted, and a public card",
		Long: `Make a member: its secret keys, encrypted with age, and its public card, which is
also printed: give it to the other members. The fingerprint is to be compared with
them by voice.

The secrets are encrypted to an age identity. --new-identity makes one in the home,
or where --identity-file says; --identity-file alone names one that exists
(age-keygen makes them). Without either, the identity is expected in
$SCRIM_AGE_IDENTITY. Whoever has the identity and the home is the member: keep them
apart, back both up.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" {
				return usagef("--name is missing: how the other members shall call this one, such as alice")
			}
			h, err := where.open()
			if err != nil {
				return err
			}
			if newIdentity && h.IdentityFile == "" {
				h.IdentityFile = filepath.Join(h.Dir, home.IdentityName)
			}
			card, err := h.Make(name, address, newIdentity)
			if err != nil {
				return err
			}
			if err := printCard(cmd, card); err != nil {
				return err
			}
			if newIdentity {
				fmt.Fprintf(cmd.ErrOrStderr(), "The age identity is in %s: back it up, and move it off this disk.\n", h.IdentityFile)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Next: give %s to the other members and compare the fingerprints by voice; then: scrim member terms draft --chain-id ID CARD...\n", h.CardFile())
			return nil
		},
	}
	where.register(cmd)
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "the member's name, as the other members will see it")
	f.StringVar(&address, "address", "", "host:port at which the other members reach the node; it can be added later (scrim member card)")
	f.BoolVar(&newIdentity, "new-identity", false, "make a new age identity")
	return cmd
}

func printCard(cmd *cobra.Command, c *keygen.Card) error {
	text, err := home.MarshalCard(c)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Fingerprint of %s, to compare by voice: %s\n", c.Member.Name, c.Fingerprint())
	_, err = cmd.OutOrStdout().Write(text)
	return err
}

func newMemberCard() *cobra.Command {
	var where homeFlags
	var name, address string
	var peers bool
	cmd := &cobra.Command{
		Use:   "card [FILE...]",
		Short: "Check cards of other members, or print one's own",
		Long: `Check cards of other members: each is verified, and its name, fingerprint and
address are printed. Read the fingerprints to their members by voice: the signature
says that a card is whole, not whose it is. With --peers it prints the line p2p.peers of
config.toml for the nodes of these members, the home's own left out.

Without a file, print the home's own card. With --address or --name it is made anew
with them, or made again if it was lost. The name is part of the fingerprint.`,
		Args: usage(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			if peers && len(args) == 0 {
				return usagef("--peers needs the cards of the members whose nodes are to be connected to")
			}
			if len(args) > 0 && (name != "" || address != "") {
				return usagef("--name and --address are for one's own card, not for a file")
			}
			if len(args) > 0 {
				cards, err := readCards(args)
				if peers && err != nil {
					return err
				}
				if peers {
					return printPeers(cmd, cards, where.identity())
				}
				for _, c := range cards {
					fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s\n", c.Fingerprint(), c.Member.Name, c.Address)
				}
				return err
			}
			h, err := where.open()
			if err != nil {
				return err
			}
			read := h.Card
			if name != "" || address != "" {
				read = func() (*keygen.Card, error) { return h.Sign(name, address) }
			}
			card, err := read()
			if err != nil {
				return err
			}
			return printCard(cmd, card)
		},
	}
	where.register(cmd)
	cmd.Flags().BoolVar(&peers, "peers", false, "print the line p2p.peers of config.toml for these cards")
	cmd.Flags().StringVar(&name, "name", "", "sign the own card anew, with this name")
	cmd.Flags().StringVar(&address, "address", "", "sign the own card anew, with this host:port")
	return cmd
}

// printPeers prints the line p2p.peers of config.toml, without the member own.
func printPeers(cmd *cobra.Command, cards []*keygen.Card, own ed25519.PublicKey) error {
	var list []string
	for _, c := range cards {
		switch {
		case c.Member.Identity.Equal(own):
			continue
		case c.Address == "":
			return fmt.Errorf("the card of %s has no address: ask for one that has, made with scrim member card --address host:port", c.Member.Name)
		}
		list = append(list, strconv.Quote(nodeID(c.Member.Node)+"@"+c.Address))
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "peers = [%s]\n", strings.Join(list, ", "))
	return err
}

// nodeID is how CometBFT calls a node: the first 20 bytes of the SHA-256 of its key, in hex
// (its spec/p2p/legacy-docs/peer.md, "Peer Identity").
func nodeID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:20])
}

// readCards gives the good ones also if others are not.
func readCards(paths []string) (cards []*keygen.Card, err error) {
	for _, path := range paths {
		c, bad := home.ReadCard(path)
		if bad != nil {
			err = errors.Join(err, bad)
			continue
		}
		cards = append(cards, c)
	}
	return cards, err
}

func newTermsDraft() *cobra.Command {
	var d member.Draft
	var out string
	cmd := &cobra.Command{
		Use:   "draft --chain-id ID CARD...",
		Short: "Draw up terms for the members whose cards these are",
		Long: `Draw up the terms of a key ceremony for the members whose cards (member.json) these
are, in this order, and write it down with the chain's limits. Every card's signature
is checked. It binds nobody: each member reads the terms and signs them, or not.
Anybody can draft. The next committee of a chain that runs is not drafted but
proposed: 'scrim member reshare', 'rotate'.`,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if d.ChainID == "" {
				return usagef("--chain-id is missing: the chain's name, never used before, such as my-net-1")
			}
			cards, err := readCards(args)
			if err != nil {
				return err
			}
			terms, err := d.Terms(cards)
			if err != nil {
				return err
			}
			if err := member.WriteNew(out, terms); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Wrote %s. Next: give it to all members; each reads and signs it: scrim member terms sign %s\n", out, filepath.Base(out))
			return member.WriteTerms(cmd.OutOrStdout(), terms)
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.ChainID, "chain-id", "", "the chain's name; never used before")
	limitFlags(cmd, &d.Limits)
	f.IntVar(&d.Threshold, "threshold", 0, "how many members open a batch (default: more than two thirds)")
	f.Uint64Var(&d.Epoch, "epoch", 1, "number of the committee that the ceremony makes")
	f.Uint32Var(&d.Attempt, "attempt", 1, "which attempt for this epoch it is")
	f.Uint64Var(&d.StartHeight, "start-height", 1, "height at which the ceremony begins")
	phaseFlags(cmd, &d.Phases, member.DefaultPhase, "")
	f.StringVarP(&out, "output", "o", "terms.json", "file to write; it must not exist")
	return cmd
}

// limitFlags are the chain's limits.
func limitFlags(cmd *cobra.Command, p *ordering.Params) {
	f := cmd.Flags()
	*p = ordering.DefaultParams()
	f.Uint8Var(&p.MaxSizeClass, "max-size-class", p.MaxSizeClass, "largest ciphertext: 256<<class bytes")
	f.Uint64Var(&p.MaxValidity, "max-validity", p.MaxValidity, "most blocks that a ciphertext may stay valid")
	f.Uint32Var(&p.MaxBatch, "max-batch", p.MaxBatch, "most ciphertexts in a block")
	f.Uint32Var(&p.MaxPending, "max-pending", p.MaxPending, "most batches that may wait for their opening")
	o := &p.Order
	f.TextVar(&o.Rule, "order-rule", o.Rule, "how ciphertexts are ordered: receive-order, or receive-time, which believes the members' clocks")
	f.Uint8Var(&o.SolidSlack, "solid-slack", o.SolidSlack, "receive logs below n-f that are enough to order a ciphertext")
	f.Uint8Var(&o.AgreementSlack, "agreement-slack", o.AgreementSlack, "honest members below n-f whose agreement on a pair is honoured")
	f.Uint32Var(&o.Wait, "order-wait", o.Wait, "blocks after which a ciphertext that enough members hold waits no longer")
	f.Uint8Var(&o.Stale, "statement-age", o.Stale, "blocks that a statement of a receive log may be old")
	f.Uint32Var(&o.MaxChunk, "max-chunk", o.MaxChunk, "most new ciphertexts that one member states in a block")
	f.Uint32Var(&o.MaxLive, "max-live", o.MaxLive, "most ciphertexts in a receive log that are not ordered; a full log stops")
}

// phaseFlags are the lengths of the phases; standard says what 0 means.
func phaseFlags(cmd *cobra.Command, p *keygen.Phases, blocks uint64, standard string) {
	f := cmd.Flags()
	f.Uint64Var(&p.Deal, "deal-blocks", blocks, "most blocks for dealing"+standard)
	f.Uint64Var(&p.Respond, "respond-blocks", blocks, "most blocks for responding"+standard)
	f.Uint64Var(&p.Justify, "justify-blocks", blocks, "most blocks for justifying"+standard)
	f.Uint64Var(&p.Certify, "certify-blocks", blocks, "most blocks for certifying"+standard)
	f.Uint64Var(&p.Store, "store-blocks", blocks, "most blocks for storing"+standard)
}

func newTermsShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Say in words what terms hold, and who has signed them",
		Long: `Say in words what terms hold, and who has signed them. FILE is of 'terms draft', of
'terms sign', of 'scrim committee assemble', or a genesis.json.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			terms, err := member.ReadTerms(args[0])
			if err != nil {
				return err
			}
			return member.WriteTerms(cmd.OutOrStdout(), terms)
		},
	}
}

func newTermsSign() *cobra.Command {
	var where homeFlags
	var out, hash string
	cmd := &cobra.Command{
		Use:   "sign FILE",
		Short: "Consent to terms: sign their hash with the own identity",
		Long: `Consent to terms: sign their hash with the member's identity. Read them before
(scrim member terms show), and compare fingerprints and hash with the other members
by voice. It refuses terms that name this member with a key that is not its own.

What it writes holds the terms and all consents that FILE had, with the own one
added. A second time writes the same.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			terms, err := member.ReadTerms(args[0])
			if err != nil {
				return err
			}
			if hash != "" {
				expected, err := parseHash("--hash", hash)
				if err != nil {
					return err
				}
				if have := terms.Terms.Hash(); have != expected {
					return fmt.Errorf("the terms in %s have hash 0x%x, not the expected 0x%x; nothing was signed", args[0], have, expected)
				}
			}
			h, err := where.open()
			if err != nil {
				return err
			}
			return signTerms(cmd, h, terms, args[0], out)
		},
	}
	where.register(cmd)
	cmd.Flags().StringVar(&hash, "hash", "", "sign only if this is the terms' hash (0x and 64 digits)")
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write (default: FILE with the member's name in it)")
	return cmd
}

// signTerms adds the home's consent to the terms that a file holds, and writes them to out, or
// beside the file.
func signTerms(cmd *cobra.Command, h *home.Home, terms *member.SignedTerms, file, out string) error {
	secret, err := h.Secret()
	if err != nil {
		return err
	}
	defer secret.Wipe()
	index, err := terms.Sign(secret)
	if err != nil {
		return err
	}
	name := terms.Terms.Members[index-1].Name
	if out == "" {
		out = strings.TrimSuffix(file, ".json") + "." + name + ".json"
	}
	if err := member.WriteNew(out, terms); err != nil {
		return err
	}
	if err := member.WriteTerms(cmd.OutOrStdout(), terms); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s (member %d) has signed. Wrote %s.\nNext: give it to all members; with everybody's file: scrim committee assemble FILE...\n", name, index, out)
	return nil
}

func newAssemble() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "assemble FILE...",
		Short: "Put the members' signed terms together, ready for a genesis",
		Long: `Put the members' signed terms together: what 'scrimd genesis assemble' makes
genesis.json of. It needs the consent of every member and says whose is missing.
Every member can do it: the same terms give the same file. The chain's limits are
those that the members have signed with the terms.`,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var files []*member.SignedTerms
			for _, path := range args {
				s, err := member.ReadTerms(path)
				if err != nil {
					return err
				}
				files = append(files, s)
			}
			g, err := member.Assemble(files)
			if err != nil {
				return err
			}
			if err := member.WriteNew(out, g); err != nil {
				return err
			}
			if err := member.WriteTerms(cmd.OutOrStdout(), member.TermsOf(g)); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Wrote %s. Next: scrimd genesis assemble -o genesis.json %s\n", out, filepath.Base(out))
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "committee.json", "file to write; it must not exist")
	return cmd
}
