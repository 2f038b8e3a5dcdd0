// Package member is what a committee member does by hand, for cmd/scrim: draw
// up terms and agree to them, look whether everything is ready, follow a ceremony,
// check what came out of it and the copies of it.
//
//	signed, err := member.Draft{ChainID: "my-net-1"}.Terms(cards)   // nobody has signed yet
//	genesis, err := member.Assemble(params, files)                  // with the consent of all
//	checks := (&member.Preflight{...}).Run(ctx)                     // ok, warn, fail
//	err := member.Status{...}.Write(os.Stdout)                      // who has done what, what to type next
//	ballot, err := (&member.Voter{...}).Prepare(ctx, keygen.KindAbort) // signed, not sent: Voter.Cast sends it
//
// What a file or a node says is believed only as far as a signature proves it: cards
// are signed by their member, terms by all of them, certificates by the committee.
// Secrets are only read here, through internal/home. The steps as a person takes
// them: docs/runbooks/new-network.md. It links neither CometBFT nor pgx.
package member

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// DefaultPhase is how many blocks each phase of a drafted ceremony may last: a
// minute at the fastest rate of blocks, in which a machine restarts.
const DefaultPhase = 1500

// fastBlock is how quickly blocks follow each other in a ceremony, with the standard timeouts on a local network.
const fastBlock = 40 * time.Millisecond

// Draft says what terms are to be drawn up. Zero values are replaced: epoch,
// attempt and start height by 1, the threshold by keygen.DefaultThreshold, a
// phase by DefaultPhase.
type Draft struct {
	ChainID     string
	Epoch       uint64
	Attempt     uint32
	Threshold   int
	Phases      keygen.Phases
	StartHeight uint64
}

// Terms draws up the terms for the members whose cards these are, in this order.
// All cards must verify.
func (d Draft) Terms(cards []*keygen.Card) (*keygen.SignedTerms, error) {
	t := keygen.Terms{
		ChainID:     d.ChainID,
		Epoch:       orElse(d.Epoch, 1),
		Attempt:     orElse(d.Attempt, 1),
		Threshold:   orElse(d.Threshold, keygen.DefaultThreshold(len(cards))),
		StartHeight: orElse(d.StartHeight, 1),
		Phases: keygen.Phases{
			Deal: orElse(d.Phases.Deal, DefaultPhase), Respond: orElse(d.Phases.Respond, DefaultPhase),
			Justify: orElse(d.Phases.Justify, DefaultPhase), Certify: orElse(d.Phases.Certify, DefaultPhase),
			Store: orElse(d.Phases.Store, DefaultPhase),
		},
	}
	for _, c := range cards {
		if err := c.Verify(); err != nil {
			return nil, err
		}
		t.Members = append(t.Members, c.Member)
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return &keygen.SignedTerms{Terms: t}, nil
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// Assemble makes what a chain starts from out of the members' signed terms. All
// must be for the same terms, and together they must hold everybody's consent.
// The same terms and parameters give the same genesis, whoever makes it.
func Assemble(params ordering.Params, files []*keygen.SignedTerms) (*ordering.Genesis, error) {
	if len(files) == 0 {
		return nil, errors.New("no signed terms")
	}
	all := &keygen.SignedTerms{Terms: files[0].Terms}
	for _, f := range files {
		if err := all.Merge(f); err != nil {
			return nil, err
		}
	}
	g := &ordering.Genesis{ChainID: all.Terms.ChainID, Params: params, Terms: all.Terms, Consents: all.Consents}
	return g, g.Validate()
}

// ReadTerms reads terms and the consents to them from a file of signed terms, from
// what Assemble made, or from genesis.json.
func ReadTerms(path string) (*keygen.SignedTerms, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read terms: %w", err)
	}
	s, err := parseTerms(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func parseTerms(text []byte) (*keygen.SignedTerms, error) {
	var kind struct {
		Format   *string         `json:"format"`
		AppState json.RawMessage `json:"app_state"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return nil, fmt.Errorf("not a file of terms: %w", err)
	}
	switch {
	case kind.AppState != nil:
		text = kind.AppState
	case kind.Format != nil:
		return keygen.ReadSignedTerms(text)
	}
	g, err := ordering.ParseGenesis(text)
	if err != nil {
		return nil, fmt.Errorf("not a file of terms: %w", err)
	}
	return &keygen.SignedTerms{Terms: g.Terms, Consents: g.Consents}, nil
}

// WriteNew writes v as JSON to a file that must not exist, unless it holds exactly that already.
func WriteNew(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, text) {
			return nil
		}
		return fmt.Errorf("%s exists; name another file with --output", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// WriteTerms says in words what the terms are, so that people can compare them.
func WriteTerms(out io.Writer, s *keygen.SignedTerms) error {
	t := &s.Terms
	n := t.N()
	blocks := t.Phases.Deal + t.Phases.Respond + t.Phases.Justify + t.Phases.Certify + t.Phases.Store
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "terms hash\t0x%x\n", t.Hash())
	fmt.Fprintf(w, "chain\t%s\n", t.ChainID)
	fmt.Fprintf(w, "committee\tepoch %d, attempt %d\n", t.Epoch, t.Attempt)
	fmt.Fprintf(w, "threshold\t%d of %d: any %d open together, any %d cannot; %d may be away\n", t.Threshold, n, t.Threshold, t.Threshold-1, n-t.Threshold)
	fmt.Fprintf(w, "begins\tat height %d\n", t.StartHeight)
	fmt.Fprintf(w, "phases\tdeal %d, respond %d, justify %d, certify %d, store %d blocks at most\n", t.Phases.Deal, t.Phases.Respond, t.Phases.Justify, t.Phases.Certify, t.Phases.Store)
	fmt.Fprintf(w, "\ttogether %d, at %v a block %v; a phase ends when all its messages are in\n", blocks, fastBlock, time.Duration(blocks)*fastBlock)
	fmt.Fprintf(w, "members\t%d; compare each fingerprint with its member by voice\n\n", n)
	if err := w.Flush(); err != nil {
		return err
	}
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "#\tname\tfingerprint\tconsent\n")
	for i, m := range t.Members {
		consent := "not yet"
		if s.Consented(uint32(i + 1)) {
			consent = "signed"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", i+1, m.Name, m.Fingerprint(), consent)
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, consentText(s))
	return err
}

func consentText(s *keygen.SignedTerms) string {
	var missing []string
	for i, m := range s.Terms.Members {
		if !s.Consented(uint32(i + 1)) {
			missing = append(missing, m.Name)
		}
	}
	if len(missing) == 0 {
		return fmt.Sprintf("All %d members have signed these terms.", s.Terms.N())
	}
	return fmt.Sprintf("%d of %d members have signed; missing: %s.", s.Terms.N()-len(missing), s.Terms.N(), strings.Join(missing, ", "))
}
