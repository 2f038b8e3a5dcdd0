package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/audit"
	"github.com/scrimlabs/scrim/commitreveal/mirror"
	"github.com/scrimlabs/scrim/commitreveal/note"
	"github.com/scrimlabs/scrim/internal/wallet"
)

func newProveEntry() *cobra.Command {
	return proveCommand("prove-entry MIRROR|URL INDEX", "Make the .tlog-proof of any entry of the log (INDEX from 0)",
		func(p *mirror.Prover, index uint64) (marshaler, error) { return p.Entry(index) })
}

func newProveConsistency() *cobra.Command {
	return proveCommand("prove-consistency MIRROR|URL OLD", "Make the file that proves that the log extends its first OLD entries",
		func(p *mirror.Prover, old uint64) (marshaler, error) { return p.Consistency(old) })
}

type marshaler interface{ Marshal() ([]byte, error) }

// proveCommand makes a proof about a number, at the newest checkpoint of a mirror or a node.
func proveCommand(use, short string, prove func(p *mirror.Prover, n uint64) (marshaler, error)) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long:  short + ",\nat the newest checkpoint of a mirror, or of a node whose tiles are read.\n\nExit code: 0 it is made, 2 it cannot be (the log has no such entry, or does not fit its checkpoint).",
		Args:  usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil {
				return usagef("%.40q is not a number of entries", args[1])
			}
			p, err := newProver(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			proof, err := prove(p, n)
			if err != nil {
				return cannotTell(err)
			}
			text, err := proof.Marshal()
			if err != nil {
				return cannotTell(err)
			}
			return writeText(cmd, out, text)
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write to this file")
	return cmd
}

// newProver reads a mirror, or a node if it is named by its address.
func newProver(ctx context.Context, from string) (*mirror.Prover, error) {
	var p *mirror.Prover
	var err error
	if isURL(from) {
		c, bad := mirror.NewClient(from, nil)
		if bad != nil {
			return nil, usageError{bad}
		}
		p, err = mirror.NewRemoteProver(ctx, c)
	} else {
		p, err = mirror.NewProver(from)
	}
	if err != nil {
		return nil, cannotTell(err)
	}
	return p, nil
}

// signers says whose signatures a checkpoint must have: those that a policy asks for, or that of a member of a committee.
type signers struct{ policy, certificate, termsHash string }

const signersHelp = `Its checkpoint must have the signatures that --policy asks for (c2sp.org/tlog-policy), or,
with --certificate (GET /v1/log/certificate/HASH), that of a member of this committee.`

func (s *signers) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.policy, "policy", "", "file with the signatures that a checkpoint must have (c2sp.org/tlog-policy)")
	f.StringVar(&s.certificate, "certificate", "", "file with the certificate of a committee, one of whose members must have signed")
	f.StringVar(&s.termsHash, "terms-hash", "", "with --certificate: hash of the terms that it must be about (0x and 64 digits)")
}

// read gives the policy, and the terms hash that the user has to compare, "" if nothing but the policy is believed.
func (s *signers) read() (p *note.Policy, compare string, err error) {
	hash, err := termsHashOf(s.termsHash)
	switch {
	case err != nil:
		return nil, "", err
	case (s.policy == "") == (s.certificate == ""):
		return nil, "", usagef("say whose signatures count: either --policy or --certificate")
	case hash != nil && s.certificate == "":
		return nil, "", usagef("--terms-hash goes with --certificate")
	}
	if s.policy == "" {
		return policyOf(s.certificate, hash)
	}
	text, err := readFile(s.policy, note.MaxPolicySize)
	if err != nil {
		return nil, "", cannotTell(err)
	}
	if p, err = note.ParsePolicy(text); err != nil {
		return nil, "", cannotTell(err)
	}
	if len(p.Logs) == 0 {
		return nil, "", cannotTell(errors.New("the policy names no log whose signature a checkpoint must have"))
	}
	return p, "", nil
}

// policyOf asks for the signature of a member of a certified committee.
func policyOf(path string, want *[32]byte) (p *note.Policy, compare string, err error) {
	certificate, err := readFile(path, commitreveal.MaxCertificateSize)
	if err != nil {
		return nil, "", cannotTell(err)
	}
	info, err := wallet.Checks().Committee(certificate)
	if err != nil {
		return nil, "", cannotTell(err)
	}
	if want != nil && info.TermsHash != *want {
		return nil, "", cannotTell(fmt.Errorf("the certificate is of a committee with the terms %s, not of the one with the terms %s", commitreveal.Hash(info.TermsHash), commitreveal.Hash(*want)))
	}
	if want == nil {
		compare = commitreveal.Hash(info.TermsHash).String()
	}
	p, err = note.ParsePolicy(note.CommitteePolicy(info.ChainID, info.Identities, 0))
	return p, compare, err
}

// headReport is a checkpoint that has the signatures that it must have.
type headReport struct {
	Log      string            `json:"log"`
	Size     uint64            `json:"size"`
	Root     commitreveal.Hash `json:"root"`
	Signed   []string          `json:"signed"`   // names and ids of the log's keys
	Cosigned []string          `json:"cosigned"` // the policy's names of witnesses
}

// check holds a checkpoint to the policy.
func check(p *note.Policy, n *note.Note, c note.Checkpoint) (headReport, error) {
	s, err := p.CheckNote(n, c)
	if err != nil {
		return headReport{}, err
	}
	r := headReport{Log: c.Origin, Size: c.Size, Root: c.Root, Signed: []string{}, Cosigned: slices.Sorted(maps.Keys(s.Witnesses))}
	for _, k := range s.Logs {
		r.Signed = append(r.Signed, fmt.Sprintf("%s+%08x", k.Name, k.ID()))
	}
	if r.Cosigned == nil {
		r.Cosigned = []string{}
	}
	return r, nil
}

func (r *headReport) String() string {
	text := fmt.Sprintf("%d entries with root %s, signed by %s", r.Size, r.Root, strings.Join(r.Signed, ", "))
	if len(r.Cosigned) > 0 {
		text += ", cosigned by " + strings.Join(r.Cosigned, ", ")
	}
	return text
}

// entryReport is the answer of verify-entry.
type entryReport struct {
	Verdict    audit.Verdict `json:"verdict"`
	Index      uint64        `json:"index"`
	Kind       string        `json:"kind"`
	Entry      audit.Bytes   `json:"entry"`
	Checkpoint headReport    `json:"checkpoint"`
	compare    string
}

func newVerifyEntry() *cobra.Command {
	var s signers
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify-entry FILE",
		Short: "Check that an entry is in the log: a .tlog-proof with the entry in it",
		Long: `Check offline that an entry is in the log, from the file that 'scrim audit prove-entry'
makes and nodes serve (GET /v1/log/entry/INDEX/proof).
` + signersHelp + `

Exit code: 0 verified, 2 cannot tell: a file that proves nothing accuses nobody.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			policy, compare, err := s.read()
			if err != nil {
				return err
			}
			r, err := verifyEntry(args[0], policy)
			if err != nil {
				return cannotTell(err)
			}
			r.compare = compare
			return answer(cmd, r.Verdict, asJSON, r, r.write)
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func verifyEntry(path string, policy *note.Policy) (*entryReport, error) {
	text, err := readFile(path, note.MaxProofSize)
	if err != nil {
		return nil, err
	}
	p, err := note.ParseProof(text)
	if err != nil {
		return nil, err
	}
	if p.Extra == nil {
		return nil, errors.New("the proof does not hold the entry, as its extra line")
	}
	entry, err := commitreveal.ParseEntry(p.Extra)
	if err != nil {
		return nil, err
	}
	c, err := p.Check(p.Extra)
	if err != nil {
		return nil, err
	}
	r := &entryReport{Index: p.Index, Kind: kindOf(entry), Entry: p.Extra}
	r.Checkpoint, err = check(policy, p.Note, c)
	return r, err
}

// kindOf is what docs/spec/log.md calls the kind of an entry.
func kindOf(e commitreveal.Entry) string {
	switch e.(type) {
	case commitreveal.CommitteeEntry:
		return "committee"
	case commitreveal.CommitEntry:
		return "commit"
	case commitreveal.RevealEntry:
		return "reveal"
	case commitreveal.VoidEntry:
		return "void"
	case commitreveal.ExpiredEntry:
		return "expired"
	case commitreveal.MisbehaviourEntry:
		return "misbehaviour"
	default:
		return "unknown"
	}
}

func (r *entryReport) write(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "entry %d of the log %s: %s\n%x\nin %s\n", r.Index, r.Checkpoint.Log, r.Kind, []byte(r.Entry), &r.Checkpoint)
	writeCompare(&b, r.compare)
	fmt.Fprintf(&b, "%s\n", r.Verdict)
	_, err := w.Write(b.Bytes())
	return err
}

func writeCompare(w io.Writer, termsHash string) {
	if termsHash != "" {
		fmt.Fprintf(w, "  nothing but the certificate says that this is the right committee: compare the terms hash %s\n", termsHash)
	}
}

// consistencyReport is the answer of verify-consistency.
type consistencyReport struct {
	Verdict audit.Verdict `json:"verdict"`
	Old     headReport    `json:"old"`
	New     headReport    `json:"new"`
	compare string
}

func newVerifyConsistency() *cobra.Command {
	var s signers
	var old string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify-consistency FILE --old CHECKPOINT",
		Short: "Check that a checkpoint extends an earlier one",
		Long: `Check offline that the checkpoint in the file that 'scrim audit prove-consistency' makes,
and nodes serve (GET /v1/log/consistency/SIZE), extends the one in the file --old: that
nothing was taken out of the log, put in, or changed, between the two.
` + signersHelp + `
That is asked of both.

Exit code: 0 verified, 1 violated (both are signed, of one size, and of two logs: keep
both), 2 cannot tell: a file that proves nothing accuses nobody.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if old == "" {
				return usagef("name the earlier checkpoint: --old with its file")
			}
			policy, compare, err := s.read()
			if err != nil {
				return err
			}
			r, err := verifyConsistency(args[0], old, policy)
			if err != nil {
				return cannotTell(err)
			}
			r.compare = compare
			return answer(cmd, r.Verdict, asJSON, r, r.write)
		},
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&old, "old", "", "file with the earlier checkpoint, as it was signed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func verifyConsistency(path, oldPath string, policy *note.Policy) (*consistencyReport, error) {
	text, err := readFile(path, note.MaxAddCheckpoint)
	if err != nil {
		return nil, err
	}
	p, err := note.ParseAddCheckpoint(text)
	if err != nil {
		return nil, err
	}
	newer, err := note.ParseCheckpoint(p.Note.Text)
	if err != nil {
		return nil, err
	}
	signed, err := readFile(oldPath, note.MaxSize)
	if err != nil {
		return nil, err
	}
	n, old, err := note.ParseSigned(signed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", oldPath, err)
	}
	r := new(consistencyReport)
	if r.New, err = check(policy, p.Note, newer); err != nil {
		return nil, err
	}
	if r.Old, err = check(policy, n, old); err != nil {
		return nil, fmt.Errorf("%s: %w", oldPath, err)
	}
	if old.Origin == newer.Origin && old.Size == newer.Size && old.Root != newer.Root {
		r.Verdict = audit.Violated // whatever the proof
		return r, nil
	}
	_, err = p.Check(old)
	return r, err
}

func (r *consistencyReport) write(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "log %s\nold: %s\nnew: %s\n", r.New.Log, &r.Old, &r.New)
	if r.Verdict == audit.Violated {
		fmt.Fprintf(&b, "two logs: the checkpoints have one size and two roots; keep both, and see 'scrim audit mirror' for evidence\n")
	}
	writeCompare(&b, r.compare)
	fmt.Fprintf(&b, "%s\n", r.Verdict)
	_, err := w.Write(b.Bytes())
	return err
}
