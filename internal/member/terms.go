// Package member is what a committee member does by hand, for cmd/scrim: draw
// up terms and agree to them, look whether everything is ready, follow a ceremony,
// check what came out of it and the copies of it.
//
//	signed, err := member.Draft{ChainID: "my-net-1"}.Terms(cards)   // nobody has signed yet
//	genesis, err := member.Assemble(files)                          // with the consent of all
//	terms, err := member.Succession{Remove: []string{"dave"}}.Terms(office, 1, start) // the next committee
//	checks := (&member.Preflight{...}).Run(ctx)                     // ok, warn, fail
//	err := member.Status{...}.Write(os.Stdout)                      // who has done what, what to type next
//	ballot, err := (&member.Voter{...}).Prepare(ctx, keygen.KindAbort) // signed, not sent: Voter.Cast sends it
//	done, err := (&member.Recovery{...}).Run(ctx)                   // the own share, from the log and the member's keys
//
// What a file or a node says is believed only as far as a signature proves it: cards
// are signed by their member, terms by all of them, certificates by the committee.
// Secrets are only read here, through internal/home. The steps as a person takes
// them: docs/runbooks. It links neither CometBFT nor pgx.
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

// SignedTerms is the file that goes from member to member before there is a chain: terms,
// the chain's limits, whose hash is in the terms, and the consents so far. Whoever signs
// the terms agrees to the limits. JSON:
//
//	{"format": "scrim-signed-terms/v2", "limits": {...}, "terms": {...}, "consents": [...]}
type SignedTerms struct {
	keygen.SignedTerms
	Limits ordering.Params
}

const signedTermsFormat = "scrim-signed-terms/v2"

type signedTermsJSON struct {
	Format   string           `json:"format"`
	Limits   *ordering.Params `json:"limits"`
	Terms    keygen.Terms     `json:"terms"`
	Consents []keygen.Consent `json:"consents"`
}

// MarshalJSON writes the file form.
func (s *SignedTerms) MarshalJSON() ([]byte, error) {
	return json.Marshal(signedTermsJSON{signedTermsFormat, &s.Limits, s.Terms, append([]keygen.Consent{}, s.Consents...)})
}

// UnmarshalJSON refuses unknown fields, and what Validate refuses.
func (s *SignedTerms) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var j signedTermsJSON
	if err := d.Decode(&j); err != nil {
		return fmt.Errorf("signed terms: %w", err)
	}
	switch {
	case j.Format != signedTermsFormat:
		return fmt.Errorf("%w: format %q is not %q; draft them again with this release", ErrTermsFile, j.Format, signedTermsFormat)
	case j.Limits == nil:
		return fmt.Errorf("%w: the chain's limits are missing", ErrTermsFile)
	}
	out := SignedTerms{keygen.SignedTerms{Terms: j.Terms, Consents: j.Consents}, *j.Limits}
	if err := out.Validate(); err != nil {
		return err
	}
	*s = out
	return nil
}

// ErrTermsFile says that a file is not one of signed terms.
var ErrTermsFile = errors.New("not a file of signed terms")

// Validate checks the terms, that the limits are theirs, and the consents that are there.
func (s *SignedTerms) Validate() error {
	if hash := s.Limits.Hash(); s.Terms.Limits != hash {
		return fmt.Errorf("%w: the limits in it have hash 0x%x, the terms are for limits with hash 0x%x: somebody changed one of them; ask for the file again", ErrTermsFile, hash, s.Terms.Limits)
	}
	if err := s.startable(); err != nil {
		return err
	}
	return s.SignedTerms.Validate()
}

// startable says whether a chain could start from it once all have consented.
func (s *SignedTerms) startable() error {
	g := &ordering.Genesis{ChainID: s.Terms.ChainID, Params: s.Limits, Terms: s.Terms, Consents: s.Consents}
	err := g.Validate()
	var consent *keygen.ConsentError
	if errors.As(err, &consent) {
		return nil
	}
	return err
}

// TermsOf is what the members of a genesis have signed.
func TermsOf(g *ordering.Genesis) *SignedTerms {
	return &SignedTerms{keygen.SignedTerms{Terms: g.Terms, Consents: g.Consents}, g.Params}
}

// Draft says what terms of a first key are to be drawn up. Zero values are replaced: epoch,
// attempt and start height by 1, the threshold by keygen.DefaultThreshold, a phase by
// DefaultPhase, the limits by ordering.DefaultParams.
type Draft struct {
	ChainID     string
	Epoch       uint64
	Attempt     uint32
	Threshold   int
	Phases      keygen.Phases
	StartHeight uint64
	Limits      ordering.Params
}

// Terms draws up the terms for the members whose cards these are, in this order.
// All cards must verify.
func (d Draft) Terms(cards []*keygen.Card) (*SignedTerms, error) {
	limits := orElse(d.Limits, ordering.DefaultParams())
	t := keygen.Terms{
		ChainID:     d.ChainID,
		Epoch:       orElse(d.Epoch, 1),
		Attempt:     orElse(d.Attempt, 1),
		Threshold:   orElse(d.Threshold, keygen.DefaultThreshold(len(cards))),
		StartHeight: orElse(d.StartHeight, 1),
		Phases:      phasesOr(d.Phases, keygen.EqualPhases(DefaultPhase)),
		Limits:      limits.Hash(),
		Change:      keygen.ChangeFirst,
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
	s := &SignedTerms{keygen.SignedTerms{Terms: t}, limits}
	return s, s.startable()
}

// phasesOr puts other's lengths where p has none.
func phasesOr(p, other keygen.Phases) keygen.Phases {
	return keygen.Phases{
		Deal: orElse(p.Deal, other.Deal), Respond: orElse(p.Respond, other.Respond), Justify: orElse(p.Justify, other.Justify),
		Certify: orElse(p.Certify, other.Certify), Store: orElse(p.Store, other.Store),
	}
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
// The same terms give the same genesis, whoever makes it: the limits are in them.
func Assemble(files []*SignedTerms) (*ordering.Genesis, error) {
	if len(files) == 0 {
		return nil, errors.New("no signed terms")
	}
	all := &keygen.SignedTerms{Terms: files[0].Terms}
	for _, f := range files {
		if err := all.Merge(&f.SignedTerms); err != nil {
			return nil, err
		}
	}
	g := &ordering.Genesis{ChainID: all.Terms.ChainID, Params: files[0].Limits, Terms: all.Terms, Consents: all.Consents}
	return g, g.Validate()
}

// ReadTerms reads terms and the consents to them from a file of signed terms, from
// what Assemble made, or from genesis.json.
func ReadTerms(path string) (*SignedTerms, error) {
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

func parseTerms(text []byte) (*SignedTerms, error) {
	var kind struct {
		Format   *string         `json:"format"`
		AppState json.RawMessage `json:"app_state"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTermsFile, err)
	}
	switch {
	case kind.AppState != nil:
		text = kind.AppState
	case kind.Format != nil:
		s := new(SignedTerms)
		if err := json.Unmarshal(text, s); err != nil {
			return nil, err
		}
		return s, nil
	}
	g, err := ordering.ParseGenesis(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTermsFile, err)
	}
	return TermsOf(g), nil
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
func WriteTerms(out io.Writer, s *SignedTerms) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	writeTerms(w, &s.Terms)
	writeLimits(w, s.Limits)
	fmt.Fprintf(w, "members\t%d; compare each fingerprint with its member by voice\n\n", s.Terms.N())
	if err := w.Flush(); err != nil {
		return err
	}
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "#\tname\tfingerprint\tconsent\n")
	for i, m := range s.Terms.Members {
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

// writeTerms writes what a table of terms begins with.
func writeTerms(w io.Writer, t *keygen.Terms) {
	blocks := phaseBlocks(t.Phases)
	fmt.Fprintf(w, "terms hash\t0x%x\n", t.Hash())
	if t.Change == keygen.ChangeFirst {
		fmt.Fprintf(w, "terms pin\t0x%x (wallets keep it; another attempt does not change it)\n", t.Pin())
	}
	fmt.Fprintf(w, "chain\t%s\n", t.ChainID)
	fmt.Fprintf(w, "committee\tepoch %d, attempt %d, %s\n", t.Epoch, t.Attempt, changeText(t))
	fmt.Fprintf(w, "threshold\t%d of %d: any %d open together, any %d cannot; %d may be away\n", t.Threshold, t.N(), t.Threshold, t.Threshold-1, t.N()-t.Threshold)
	if risk := standstill(t); risk != "" {
		fmt.Fprintf(w, "warning\t%s\n", risk)
	}
	fmt.Fprintf(w, "begins\tat height %d\n", t.StartHeight)
	fmt.Fprintf(w, "phases\tdeal %d, respond %d, justify %d, certify %d, store %d blocks at most\n", t.Phases.Deal, t.Phases.Respond, t.Phases.Justify, t.Phases.Certify, t.Phases.Store)
	fmt.Fprintf(w, "\ttogether %d, at %v a block %v; a phase ends when all its messages are in\n", blocks, fastBlock, time.Duration(blocks)*fastBlock)
}

// standstill says what a threshold risks that is lower than what blocks need; "" if it is
// not. Each member has one vote, and blocks need more than two thirds of them.
func standstill(t *keygen.Terms) string {
	blocks := 2*t.N()/3 + 1
	if t.Threshold >= blocks {
		return ""
	}
	return fmt.Sprintf("%d members open a batch and bring the committee into office, but blocks need %d of %d: with fewer running, also right after the change, the chain stands still; better --threshold %d",
		t.Threshold, blocks, t.N(), keygen.DefaultThreshold(t.N()))
}

func phaseBlocks(p keygen.Phases) uint64 { return p.Deal + p.Respond + p.Justify + p.Certify + p.Store }

// changeText says how the committee comes about.
func changeText(t *keygen.Terms) string {
	switch t.Change {
	case keygen.ChangeReshare:
		return "takes over the key of epoch " + fmt.Sprint(t.Epoch-1)
	case keygen.ChangeRotate:
		return fmt.Sprintf("makes a new key; that of epoch %d is taken for %d more blocks", t.Epoch-1, t.Overlap)
	default:
		return "makes the chain's first key"
	}
}

func writeLimits(w io.Writer, p ordering.Params) {
	fmt.Fprintf(w, "limits\tciphertexts to %d bytes (size class %d), valid for %d blocks at most, %d in a block, %d batches waiting\n",
		256<<p.MaxSizeClass, p.MaxSizeClass, p.MaxValidity, p.MaxBatch, p.MaxPending)
	o := p.Order
	fmt.Fprintf(w, "order\trule %v, solid slack %d, agreement slack %d, no wait above %d blocks, statements up to %d blocks old, chunks of %d, %d in a log\n",
		o.Rule, o.SolidSlack, o.AgreementSlack, o.Wait, o.Stale, o.MaxChunk, o.MaxLive)
}

func consentText(s *SignedTerms) string {
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
