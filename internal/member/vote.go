package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/keygen"
)

// Errors of a vote: what a member would say does not fit the ceremony, or is not needed.
var (
	ErrWrongPhase = errors.New("the ceremony is in another phase")
	ErrAnswered   = errors.New("already answered")
	ErrOtherTerms = errors.New("the node's terms are not the known ones")
	ErrNotShown   = errors.New("sent, and not in a block yet")
)

// DefaultLead is how many blocks a proposal gives the members to answer: ten
// minutes at the fastest rate of blocks.
const DefaultLead = 15000

// Voter is a member who says something in a ceremony by hand: KindAbort, KindProposal
// of the next attempt, KindConsent or KindRejection.
type Voter struct {
	Nodes  []*client.Client
	Known  *keygen.Terms // terms of this committee that the member has seen before, of whichever attempt
	Secret *keygen.MemberSecret
	Lead   uint64        // of a proposal: blocks until its start height; 0 is DefaultLead
	Every  time.Duration // between two looks at the nodes; 0 is half a second
}

// Ballot is a signed word, ready to be cast. Nobody has seen it yet.
type Ballot struct {
	Kind   keygen.Kind
	Member uint32
	Terms  *keygen.Terms // of the ceremony that the word is about; of a proposal, the proposed ones
	Status *Status       // of the newest ceremony, as a node told it

	known    *keygen.Terms
	ceremony v1.Hex // where it is said
	message  []byte
}

// Prepare asks the nodes where the ceremony stands, checks that the word fits and that
// the terms are those of the known members, and signs. Nothing is sent.
func (v *Voter) Prepare(ctx context.Context, k keygen.Kind) (*Ballot, error) {
	s, err := v.newest(ctx)
	if err != nil {
		return nil, err
	}
	terms, err := v.terms(s)
	if err != nil {
		return nil, err
	}
	index, err := terms.IndexOf(v.Secret)
	if err != nil {
		return nil, err
	}
	b := &Ballot{Kind: k, Member: index, Terms: terms, Status: s, known: v.Known, ceremony: s.Ceremony.ID}
	if err := b.fits(); err != nil {
		return nil, err
	}
	var m *keygen.Message
	if k == keygen.KindProposal {
		b.Terms = terms.Retry(s.Height + orElse(v.Lead, DefaultLead))
		m, err = keygen.ProposeRetry(v.Secret, b.Terms)
	} else {
		m, err = keygen.Vote(v.Secret, terms, k)
	}
	if err != nil {
		return nil, err
	}
	b.message, err = m.MarshalBinary()
	return b, err
}

// newest is what the node says that is furthest ahead. One that is catching up shows
// what is past.
func (v *Voter) newest(ctx context.Context) (best *Status, err error) {
	var problems []error
	for _, node := range v.Nodes {
		s, err := v.ask(ctx, node)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("%s: %w", node.URL(), err))
		case best == nil || s.Height > best.Height:
			best = s
		}
	}
	if best == nil {
		return nil, errors.Join(problems...)
	}
	return best, nil
}

func (v *Voter) ask(ctx context.Context, node *client.Client) (*Status, error) {
	ready, err := node.Ready(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range ready.Reasons {
		if r.Code == "catching_up" {
			return nil, fmt.Errorf("the node is behind: %s; ask another one, or wait", r.Detail)
		}
	}
	return GetStatus(ctx, node, "")
}

// terms are those of the newest ceremony, if they are of the known members.
func (v *Voter) terms(s *Status) (*keygen.Terms, error) {
	t, err := keygen.ParseTerms(s.Ceremony.Terms)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Node, err)
	}
	if hash := t.Hash(); v1.Hex(hash[:]).String() != s.Ceremony.ID.String() {
		return nil, fmt.Errorf("%w: %s shows terms with hash 0x%x as %s", ErrOtherTerms, s.Node, hash, s.Ceremony.ID)
	}
	if t.Hash() != v.Known.Hash() && !otherAttempt(v.Known, t) {
		return nil, fmt.Errorf("%w: %s holds a ceremony with other members, another chain id, epoch or threshold; nothing was signed", ErrOtherTerms, s.Node)
	}
	return t, nil
}

// abortable are the phases in which the table of moves takes an abort.
var abortable = []string{keygen.PhaseAccepted.String(), keygen.PhaseDealing.String(), keygen.PhaseResponding.String(),
	keygen.PhaseJustifying.String(), keygen.PhaseCertifying.String()}

// fits says whether the word can be said now.
func (b *Ballot) fits() error {
	c := &b.Status.Ceremony
	wrong := func(why string) error {
		return fmt.Errorf("%w: attempt %d is %s; %s", ErrWrongPhase, c.Attempt, c.Phase, why)
	}
	answered := func(what string) error {
		return fmt.Errorf("%w: %s has %s attempt %d", ErrAnswered, b.name(), what, c.Attempt)
	}
	switch b.Kind {
	case keygen.KindAbort:
		if slices.Contains(c.Aborting, b.Member) {
			return answered("asked to abort")
		}
		if c.Phase == keygen.PhaseProposed.String() {
			return wrong("what is proposed is not aborted but rejected: scrim member reject")
		}
		if !slices.Contains(abortable, c.Phase) {
			return wrong("it cannot be aborted any more")
		}
	case keygen.KindProposal:
		if c.Phase == keygen.PhaseProposed.String() {
			return wrong("it waits for the members' answers: scrim member accept, or reject")
		}
		if !c.Final() {
			return wrong("another attempt can be proposed when it has come to nothing")
		}
		if c.Outcome == v1.CeremonySucceeded {
			return wrong("there is a committee, and nothing to try again")
		}
	case keygen.KindConsent, keygen.KindRejection:
		switch consent := b.consent(c); {
		case b.Kind == keygen.KindConsent && consent == keygen.CellDone:
			return answered("accepted")
		case consent == keygen.CellRejects:
			return answered("rejected")
		case c.Phase != keygen.PhaseProposed.String():
			return wrong("there is no proposal to answer")
		}
	}
	return nil
}

func (b *Ballot) consent(c *v1.Ceremony) string {
	for _, m := range c.Status {
		if m.Index == b.Member {
			return m.Consent
		}
	}
	return ""
}

func (b *Ballot) name() string { return b.Terms.Members[b.Member-1].Name }

// Differences lists what the terms have otherwise than the known ones, apart from the
// attempt and the start height.
func (b *Ballot) Differences() (out []string) {
	was, is := b.known.Phases, b.Terms.Phases
	for _, p := range []struct {
		name    string
		was, is uint64
	}{
		{"deal", was.Deal, is.Deal}, {"respond", was.Respond, is.Respond}, {"justify", was.Justify, is.Justify},
		{"certify", was.Certify, is.Certify}, {"store", was.Store, is.Store},
	} {
		if p.was != p.is {
			out = append(out, fmt.Sprintf("%s: %d blocks instead of %d", p.name, p.is, p.was))
		}
	}
	return out
}

// Write says in words what was signed, and what it will do.
func (b *Ballot) Write(out io.Writer) error {
	t := b.Terms
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "you\t%s, member %d of %d\n", b.name(), b.Member, t.N())
	fmt.Fprintf(w, "you say\t%s\n", b.meaning())
	fmt.Fprintf(w, "about\tchain %s, epoch %d, attempt %d\n", t.ChainID, t.Epoch, t.Attempt)
	fmt.Fprintf(w, "terms hash\t0x%x\n", t.Hash())
	if b.Kind == keygen.KindConsent || b.Kind == keygen.KindProposal {
		fmt.Fprintf(w, "members\tthe %d of the terms you know; %d open together\n", t.N(), t.Threshold)
		fmt.Fprintf(w, "attempt\t%d; you know the terms of attempt %d\n", t.Attempt, b.known.Attempt)
		fmt.Fprintf(w, "begins\tat height %d; it is height %d: %s\n", t.StartHeight, b.Status.Height, blocksLeft(t.StartHeight, b.Status.Height))
		differences := strings.Join(b.Differences(), "; ")
		fmt.Fprintf(w, "phases\t%s\n", orElse(differences, "as you know them"))
	}
	for i, line := range b.effect() {
		label := ""
		if i == 0 {
			label = "effect"
		}
		fmt.Fprintf(w, "%s\t%s\n", label, line)
	}
	return w.Flush()
}

func blocksLeft(at, height uint64) string {
	left := max(at, height) - height
	return fmt.Sprintf("%d blocks, at %v a block %v", left, fastBlock, (time.Duration(left) * fastBlock).Round(time.Second))
}

func (b *Ballot) meaning() string {
	switch b.Kind {
	case keygen.KindAbort:
		return "end this ceremony without a key"
	case keygen.KindProposal:
		return "let us hold another attempt under these terms"
	case keygen.KindConsent:
		return "I take part under these terms"
	default:
		return "I do not take part under these terms"
	}
}

func (b *Ballot) effect() []string {
	t := b.Terms
	switch b.Kind {
	case keygen.KindAbort:
		asked := len(b.Status.Ceremony.Aborting) + 1
		if asked >= t.Threshold {
			return []string{fmt.Sprintf("you are the last of the %d needed: the ceremony ends at once", t.Threshold), "it cannot be taken back"}
		}
		return []string{fmt.Sprintf("%d of the %d needed to end it; until then it goes on, with you", asked, t.Threshold), "it cannot be taken back"}
	case keygen.KindProposal:
		return []string{fmt.Sprintf("the proposal stands until height %d; all %d members have to accept it, you too", t.StartHeight-1, t.N()), "one who rejects it, or says nothing, ends it"}
	case keygen.KindConsent:
		return []string{fmt.Sprintf("when all %d have accepted, the ceremony begins at height %d, and your node has to run then", t.N(), t.StartHeight),
			"until the last has accepted you may still reject it"}
	default:
		return []string{"the proposal ends at once for all; another one has to be made", "it cannot be taken back"}
	}
}

// Cast sends the word to the nodes until the one that it can ask shows it in a block.
// The status is the last that was seen, of the ceremony that the word is about. When
// ctx ends before that the error is ErrNotShown: the word may still count.
func (v *Voter) Cast(ctx context.Context, b *Ballot) (*Status, error) {
	tick := time.NewTicker(orElse(v.Every, 500*time.Millisecond))
	defer tick.Stop()
	const again = 8 // ticks until it is sent again: a node that restarts forgets it
	for i := 0; ; i++ {
		if i%again == 0 {
			err := v.send(ctx, b)
			if err != nil && (i == 0 || refused(err)) && ctx.Err() == nil {
				return nil, err
			}
		}
		s, shown := v.shown(ctx, b)
		if shown {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("%w: are enough members connected to make blocks? Type the same again, or see: scrim member status", ErrNotShown)
		case <-tick.C:
		}
	}
}

// send gives the message to every node. One that takes it is enough, and so is one that
// says that the log has it.
func (v *Voter) send(ctx context.Context, b *Ballot) error {
	var problems []error
	taken := false
	for _, node := range v.Nodes {
		_, err := node.Relay(ctx, b.ceremony, b.message)
		if err == nil || b.settled(ctx, node, err) {
			taken = true
			continue
		}
		problems = append(problems, fmt.Errorf("%s: %w", node.URL(), err))
	}
	if taken {
		return nil
	}
	return errors.Join(problems...)
}

// settled says whether a refusal means that the word is in the log already: it is
// there, or has ended the ceremony.
func (b *Ballot) settled(ctx context.Context, node *client.Client, err error) bool {
	if !refused(err) {
		return false
	}
	_, shown := b.shownBy(ctx, node)
	return shown
}

// refused says whether the ceremony does not take the word: another attempt does not help.
func refused(err error) bool {
	var p *client.Problem
	return errors.As(err, &p) && p.Code == v1.CodeNotAdmitted
}

func (v *Voter) shown(ctx context.Context, b *Ballot) (last *Status, shown bool) {
	for _, node := range v.Nodes {
		s, shown := b.shownBy(ctx, node)
		if shown {
			return s, true
		}
		if s != nil {
			last = s
		}
	}
	return last, false
}

// shownBy asks a node for the ceremony that the word is about, and whether the word is
// in it. A proposal is when there is such a ceremony.
func (b *Ballot) shownBy(ctx context.Context, node *client.Client) (*Status, bool) {
	id := b.Terms.Hash()
	c, err := node.Ceremony(ctx, v1.Hex(id[:]))
	if err != nil || c.ID.String() != v1.Hex(id[:]).String() {
		return nil, false
	}
	s := &Status{Node: node.URL(), Ceremony: *c}
	switch b.Kind {
	case keygen.KindAbort:
		return s, slices.Contains(c.Aborting, b.Member)
	case keygen.KindProposal:
		return s, true
	case keygen.KindConsent:
		return s, b.consent(c) == keygen.CellDone
	default:
		return s, c.Outcome == v1.CeremonyRejected
	}
}

// WriteResult says what has become of the word, and who has not answered yet.
func (b *Ballot) WriteResult(out io.Writer, s *Status) error {
	c := &s.Ceremony
	lines := []string{fmt.Sprintf("done: it is in a block; attempt %d is %s", c.Attempt, c.Phase)}
	node := s.Node
	switch {
	case b.Kind == keygen.KindAbort && !c.Final():
		lines = append(lines, fmt.Sprintf("missing: %d more of %s: scrim member abort", max(0, int(c.Threshold)-len(c.Aborting)), b.others(c.Aborting)))
	case c.Phase == keygen.PhaseProposed.String():
		lines = append(lines, fmt.Sprintf("missing: %s; they have until height %d: scrim member accept", s.names(c.Waiting), c.StartHeight-1))
		if b.Kind == keygen.KindProposal {
			lines = append(lines, "next: tell all members the terms hash, and accept it yourself: scrim member accept --node "+node)
		}
	case b.Kind == keygen.KindConsent:
		lines = append(lines, "all have accepted", "next: keep the node running; scrim member status --watch --node "+node)
	case c.Final() && c.Outcome != v1.CeremonySucceeded:
		lines = append(lines, "next: when the members have agreed on another attempt, one of them: scrim member retry --node "+node)
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

// others names the members that are not in the list.
func (b *Ballot) others(members []uint32) string {
	var names []string
	for i, m := range b.Terms.Members {
		if !slices.Contains(members, uint32(i+1)) {
			names = append(names, m.Name)
		}
	}
	return strings.Join(names, ", ")
}
