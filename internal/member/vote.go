package member

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/succession"
	"github.com/scrimlabs/scrim/keygen"
)

// Errors of a vote: what a member would say does not fit the ceremony, or is not needed.
var (
	ErrWrongPhase = errors.New("the ceremony is in another phase")
	ErrAnswered   = errors.New("already answered")
	ErrOtherTerms = errors.New("the node's terms are not the known ones")
	ErrNotShown   = errors.New("sent, and not in a block yet")

	ErrBehind      = errors.New("the node is behind")
	ErrNotInOffice = errors.New("only a member of the committee in office can propose the next one")
)

// DefaultLead is how many blocks a proposal gives the members to answer: ten
// minutes at the fastest rate of blocks.
const DefaultLead = 15000

// Voter is a member who says something in a ceremony by hand: KindAbort, KindProposal
// of another attempt or of the next committee, KindConsent or KindRejection. Who is in
// both committees of a ceremony says it for both.
type Voter struct {
	Nodes  []*client.Client
	Known  *keygen.Terms // of the chain's first committee, of whichever attempt, as in its genesis
	Secret *keygen.MemberSecret
	Next   *Succession   // of a proposal: how the next committee is to differ; nil: another attempt at the same
	Lead   uint64        // of a proposal: blocks until its start height; 0 is DefaultLead
	Every  time.Duration // between two looks at the nodes; 0 is half a second
}

// Ballot is a signed word, ready to be cast. Nobody has seen it yet.
type Ballot struct {
	Kind   keygen.Kind
	Roles  []uint32      // the speakers as which it is said
	Terms  *keygen.Terms // of the ceremony that the word is about; of a proposal, the proposed ones
	Status *Status       // of the newest ceremony, as a node told it

	known    *keygen.Terms // what they are compared with: known terms, of a succession those of the committee before
	ceremony v1.Hex        // where it is said
	messages []ballotMessage
}

type ballotMessage struct {
	role uint32
	wire []byte
}

// Prepare asks the nodes where the ceremony stands, checks that the word fits and that
// the terms are those of the known members, or of committees to which these handed over,
// and signs. Nothing is sent.
func (v *Voter) Prepare(ctx context.Context, k keygen.Kind) (*Ballot, error) {
	s, err := v.newest(ctx)
	if err != nil {
		return nil, err
	}
	b := &Ballot{Kind: k, Status: s, ceremony: s.Ceremony.ID}
	if b.Terms, b.known, err = v.terms(ctx, s); err != nil {
		return nil, err
	}
	if k == keygen.KindProposal {
		if err := b.mayPropose(v.Next != nil); err != nil {
			return nil, err
		}
		if err := v.draft(ctx, b); err != nil {
			return nil, err
		}
	}
	if b.Roles, err = b.Terms.Roles(v.Secret); err != nil {
		return nil, fmt.Errorf("%w; the home is that of somebody who is in neither committee", err)
	}
	if k != keygen.KindProposal {
		if err := b.fits(); err != nil {
			return nil, err
		}
	}
	return b, b.sign(v.Secret)
}

// draft puts the proposed terms to the ballot.
func (v *Voter) draft(ctx context.Context, b *Ballot) error {
	start := b.Status.Height + orElse(v.Lead, DefaultLead)
	if v.Next == nil {
		b.Terms = b.Terms.Retry(start)
		return nil
	}
	line, err := v.line(ctx, b.Status)
	if err != nil {
		return err
	}
	office := line.Office()
	attempt, err := nextAttempt(ctx, b.Status.node, office.Terms.Epoch+1)
	if err != nil {
		return err
	}
	if _, err := office.Terms.IndexOf(v.Secret); err != nil {
		return fmt.Errorf("%w: ask one of %s to propose it", ErrNotInOffice, names(office.Terms.Members))
	}
	b.known = office.Terms
	b.Terms, err = v.Next.Terms(office, attempt, start)
	return err
}

// nextAttempt is 1 and, beyond, the number of ceremonies that were held for the epoch in vain.
func nextAttempt(ctx context.Context, node *client.Client, epoch uint64) (uint32, error) {
	list, err := node.Ceremonies(ctx)
	if err != nil {
		return 0, err
	}
	next := uint32(1)
	for _, c := range list.Ceremonies {
		if c.Epoch == epoch {
			next = max(next, c.Attempt+1)
		}
	}
	return next, nil
}

// sign makes the messages, for each role that has not said it yet.
func (b *Ballot) sign(secret *keygen.MemberSecret) error {
	var messages []*keygen.Message
	var err error
	if b.Kind == keygen.KindProposal {
		var m *keygen.Message
		m, err = keygen.ProposeTerms(secret, b.Terms)
		messages = []*keygen.Message{m}
	} else {
		messages, err = keygen.Votes(secret, b.Terms, b.Kind)
	}
	if err != nil {
		return err
	}
	for _, m := range messages {
		if b.Kind != keygen.KindProposal && b.saidBy(&b.Status.Ceremony, m.Member) {
			continue
		}
		wire, err := m.MarshalBinary()
		if err != nil {
			return err
		}
		b.messages = append(b.messages, ballotMessage{m.Member, wire})
	}
	return nil
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
			return nil, fmt.Errorf("%w: %s; ask another one, or wait", ErrBehind, r.Detail)
		}
	}
	return GetStatus(ctx, node, v.Secret.Identity().Public().(ed25519.PublicKey))
}

// terms are those of the newest ceremony, and what to compare them with, if they are of
// the known members or of a committee to which those handed over, one after the other.
func (v *Voter) terms(ctx context.Context, s *Status) (t, known *keygen.Terms, err error) {
	t, err = keygen.ParseTerms(s.Ceremony.Terms)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.Node, err)
	}
	if hash := t.Hash(); v1.Hex(hash[:]).String() != s.Ceremony.ID.String() {
		return nil, nil, fmt.Errorf("%w: %s shows terms with hash 0x%x as %s", ErrOtherTerms, s.Node, hash, s.Ceremony.ID)
	}
	if t.Change == keygen.ChangeFirst {
		if t.Pin() != v.Known.Pin() || t.Attempt == v.Known.Attempt && t.Hash() != v.Known.Hash() {
			return nil, nil, fmt.Errorf("%w: %s holds a ceremony with other members, limits or phases, another chain id, epoch or threshold; nothing was signed", ErrOtherTerms, s.Node)
		}
		return t, v.Known, nil
	}
	line, err := v.line(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	before := line.Epoch(t.Epoch - 1)
	if before == nil {
		return nil, nil, fmt.Errorf("%w: %s holds a ceremony for epoch %d, and does not prove a committee of epoch %d; nothing was signed", ErrOtherTerms, s.Node, t.Epoch, t.Epoch-1)
	}
	previous, err := keygen.PreviousOf(before)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case !previous.Equal(t.Previous):
		return nil, nil, fmt.Errorf("%w: %s holds a ceremony in which another committee hands over than the one of epoch %d; nothing was signed", ErrOtherTerms, s.Node, t.Epoch-1)
	case t.ChainID != v.Known.ChainID || t.Limits != v.Known.Limits:
		return nil, nil, fmt.Errorf("%w: %s holds a ceremony for another chain or other limits; nothing was signed", ErrOtherTerms, s.Node)
	}
	return t, before.Terms, nil
}

// line follows the committees from the known one.
func (v *Voter) line(ctx context.Context, s *Status) (succession.Line, error) {
	line, err := succession.Fetch(ctx, s.node)
	if err != nil {
		return nil, err
	}
	if line.Pin() != v.Known.Pin() {
		return nil, fmt.Errorf("%w: the first committee that %s tells of has other members, limits, another chain id, epoch or threshold; nothing was signed", ErrOtherTerms, s.Node)
	}
	return line, nil
}

// abortable are the phases in which the table of moves takes an abort.
var abortable = []string{keygen.PhaseAccepted.String(), keygen.PhaseDealing.String(), keygen.PhaseResponding.String(),
	keygen.PhaseJustifying.String(), keygen.PhaseCertifying.String()}

// mayPropose says whether another ceremony can be proposed now: the same again, or that
// of the next committee.
func (b *Ballot) mayPropose(next bool) error {
	c := &b.Status.Ceremony
	switch {
	case c.Phase == keygen.PhaseProposed.String():
		return b.wrong("it waits for the members' answers: scrim member accept, or reject")
	case !c.Final():
		return b.wrong("another one can be proposed when it has come to nothing")
	case !next && c.Outcome == v1.CeremonySucceeded:
		return b.wrong("there is a committee, and nothing to try again; for another one: scrim member reshare, or rotate")
	case next && c.Outcome != v1.CeremonySucceeded && !b.Status.succession():
		return b.wrong("there is no committee yet that could hand over; for another attempt: scrim member retry")
	}
	return nil
}

func (b *Ballot) wrong(why string) error {
	c := &b.Status.Ceremony
	return fmt.Errorf("%w: attempt %d is %s; %s", ErrWrongPhase, c.Attempt, c.Phase, why)
}

// fits says whether the word can be said now.
func (b *Ballot) fits() error {
	c := &b.Status.Ceremony
	answered := func(what string) error {
		return fmt.Errorf("%w: %s has %s attempt %d", ErrAnswered, b.name(), what, c.Attempt)
	}
	all := !slices.ContainsFunc(b.Roles, func(j uint32) bool { return !b.saidBy(c, j) })
	rejected := slices.ContainsFunc(b.Roles, func(j uint32) bool { return consent(c, j) == keygen.CellRejects })
	switch b.Kind {
	case keygen.KindAbort:
		switch {
		case all:
			return answered("asked to abort")
		case c.Phase == keygen.PhaseProposed.String():
			return b.wrong("what is proposed is not aborted but rejected: scrim member reject")
		case !slices.Contains(abortable, c.Phase):
			return b.wrong("it cannot be aborted any more")
		}
	default:
		switch {
		case rejected:
			return answered("rejected")
		case b.Kind == keygen.KindConsent && all:
			return answered("accepted")
		case c.Phase != keygen.PhaseProposed.String() && !c.Final() && b.succession():
			return b.wrong("enough others have accepted, and there is nothing to answer any more: keep the node running; scrim member status says what comes next")
		case c.Phase != keygen.PhaseProposed.String():
			return b.wrong("there is no proposal to answer")
		}
	}
	return nil
}

// saidBy says whether the ceremony has the word of a speaker.
func (b *Ballot) saidBy(c *v1.Ceremony, j uint32) bool {
	switch b.Kind {
	case keygen.KindAbort:
		return slices.Contains(c.Aborting, j)
	case keygen.KindConsent:
		return consent(c, j) == keygen.CellDone
	default:
		return consent(c, j) == keygen.CellRejects
	}
}

func consent(c *v1.Ceremony, speaker uint32) string {
	for _, m := range c.Status {
		if m.Index == speaker {
			return m.Consent
		}
	}
	return ""
}

func (b *Ballot) name() string { return b.Terms.Speaker(b.Roles[0]).Name }

// succession says whether the terms are those of a later committee.
func (b *Ballot) succession() bool { return b.Terms.Change != keygen.ChangeFirst }

// Differences lists what the terms have otherwise than the known ones, apart from the
// attempt and the start height: phases, and all that a succession changes.
func (b *Ballot) Differences() (out []string) {
	if !b.succession() {
		return phaseDifferences(b.known.Phases, b.Terms.Phases)
	}
	for _, d := range Differences(b.Terms, b.known.Phases) {
		out = append(out, d.What+": "+d.Text)
	}
	return out
}

// Write says in words what was signed, and what it will do.
func (b *Ballot) Write(out io.Writer) error {
	t := b.Terms
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "you\t%s, %s\n", b.name(), b.rolesText())
	fmt.Fprintf(w, "you say\t%s\n", b.meaning())
	fmt.Fprintf(w, "about\tchain %s, epoch %d, attempt %d, which %s\n", t.ChainID, t.Epoch, t.Attempt, changeText(t))
	fmt.Fprintf(w, "terms hash\t0x%x\n", t.Hash())
	if b.Kind == keygen.KindConsent || b.Kind == keygen.KindProposal {
		b.writeTerms(w)
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

func (b *Ballot) writeTerms(w io.Writer) {
	t := b.Terms
	if b.succession() {
		for _, d := range Differences(t, b.known.Phases) {
			fmt.Fprintf(w, "%s\t%s\n", d.What, d.Text)
		}
	} else {
		fmt.Fprintf(w, "members\tthe %d of the terms you know; %d open together\n", t.N(), t.Threshold)
		fmt.Fprintf(w, "attempt\t%d; you know the terms of attempt %d\n", t.Attempt, b.known.Attempt)
	}
	if risk := standstill(t); risk != "" {
		fmt.Fprintf(w, "warning\t%s\n", risk)
	}
	fmt.Fprintf(w, "begins\tat height %d; it is height %d: %s\n", t.StartHeight, b.Status.Height, blocksLeft(t.StartHeight, b.Status.Height))
	if len(phaseDifferences(b.known.Phases, t.Phases)) == 0 {
		fmt.Fprint(w, "phases\tas you know them\n")
	} else if !b.succession() {
		fmt.Fprintf(w, "phases\t%s\n", strings.Join(b.Differences(), "; "))
	}
}

// rolesText says as who the member speaks.
func (b *Ballot) rolesText() string {
	t := b.Terms
	var parts []string
	for _, j := range b.Roles {
		switch {
		case !b.succession():
			parts = append(parts, fmt.Sprintf("member %d of %d", j, t.N()))
		case int(j) <= t.N():
			parts = append(parts, fmt.Sprintf("member %d of %d of the next committee", j, t.N()))
		default:
			parts = append(parts, fmt.Sprintf("member %d of %d of the one in office", int(j)-t.N(), t.Speakers()-t.N()))
		}
	}
	return strings.Join(parts, ", ")
}

func blocksLeft(at, height uint64) string {
	left := max(at, height) - height
	return fmt.Sprintf("%d blocks, at %v a block %v", left, fastBlock, (time.Duration(left) * fastBlock).Round(time.Second))
}

func (b *Ballot) meaning() string {
	var in, previous bool
	for _, j := range b.Roles {
		in, previous = in || int(j) <= b.Terms.N(), previous || int(j) > b.Terms.N()
	}
	switch {
	case b.Kind == keygen.KindAbort && b.succession():
		return "end this ceremony; the committee in office stays"
	case b.Kind == keygen.KindAbort:
		return "end this ceremony without a key"
	case b.Kind == keygen.KindProposal && b.succession():
		return "let the next committee be this one"
	case b.Kind == keygen.KindProposal:
		return "let us hold another attempt under these terms"
	case b.Kind == keygen.KindRejection:
		return "I do not take part under these terms"
	case in && previous:
		return "I hand over, and take part, under these terms"
	case previous:
		return "I hand over under these terms, and leave"
	default:
		return "I take part under these terms"
	}
}

func (b *Ballot) effect() []string {
	t := b.Terms
	switch b.Kind {
	case keygen.KindAbort:
		return b.abortEffect()
	case keygen.KindProposal:
		if b.succession() {
			return b.stay(fmt.Sprintf("the proposal stands until height %d; all %d members of the next committee and %d of the %d in office have to accept it, you too",
				t.StartHeight-1, t.N(), t.Previous.Committee.Threshold, len(t.Previous.Members)), "until the next committee is in office the present one serves as before")
		}
		return []string{fmt.Sprintf("the proposal stands until height %d; all %d members have to accept it, you too", t.StartHeight-1, t.N()), "one who rejects it, or says nothing, ends it"}
	case keygen.KindConsent:
		if b.succession() {
			return b.stay(fmt.Sprintf("when enough have accepted, the ceremony begins at height %d, and your node has to run then", t.StartHeight),
				"until the last has accepted you may still reject it")
		}
		return []string{fmt.Sprintf("when all %d have accepted, the ceremony begins at height %d, and your node has to run then", t.N(), t.StartHeight),
			"until the last has accepted you may still reject it"}
	default:
		if b.succession() && int(b.Roles[0]) > t.N() {
			return []string{fmt.Sprintf("the proposal ends when %d of the %d in office can not accept it any more", t.Previous.Committee.Threshold, len(t.Previous.Members)), "it cannot be taken back"}
		}
		return []string{"the proposal ends at once for all; another one has to be made", "it cannot be taken back"}
	}
}

// stay adds to effects, for who leaves, how long the node has to run.
func (b *Ballot) stay(effects ...string) []string {
	if int(b.Roles[0]) <= b.Terms.N() {
		return effects
	}
	return append(effects, "you leave: keep your node running until the next committee is in office, and then until its log says that your old share is destroyed, "+
		"ceremony.keep_old_shares blocks later (1000 if config.toml says nothing else)")
}

// abortEffect says how many have asked to end it, for each committee that the member is in.
func (b *Ballot) abortEffect() (out []string) {
	t := b.Terms
	for _, j := range b.Roles {
		needed, of, from, to := t.Threshold, "", uint32(1), uint32(t.N())
		if b.succession() {
			of = " of the next committee"
		}
		if j > to {
			needed, of, from, to = t.Previous.Committee.Threshold, " of the committee in office", to+1, uint32(t.Speakers())
		}
		asked := 1
		for _, other := range b.Status.Ceremony.Aborting {
			if other != j && other >= from && other <= to {
				asked++
			}
		}
		if asked >= needed {
			return []string{fmt.Sprintf("you are the last of the %d%s needed: the ceremony ends at once", needed, of), "it cannot be taken back"}
		}
		out = append(out, fmt.Sprintf("%d of the %d%s needed to end it; until then it goes on, with you", asked, needed, of))
	}
	return append(out, "it cannot be taken back")
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

// send gives the messages to every node. One that takes them is enough, and so is one that
// says that the log has them.
func (v *Voter) send(ctx context.Context, b *Ballot) error {
	var problems []error
	taken := false
	for _, node := range v.Nodes {
		err := b.relay(ctx, node)
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

// relay gives a node what it does not show yet: the words of two roles may come into two blocks.
func (b *Ballot) relay(ctx context.Context, node *client.Client) error {
	var c *v1.Ceremony
	if len(b.messages) > 1 {
		c, _ = b.about(ctx, node)
	}
	for _, m := range b.messages {
		if c != nil && b.saidBy(c, m.role) {
			continue
		}
		if _, err := node.Relay(ctx, b.ceremony, m.wire); err != nil {
			return err
		}
	}
	return nil
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
// in it, of all roles. A proposal is when there is such a ceremony.
func (b *Ballot) shownBy(ctx context.Context, node *client.Client) (*Status, bool) {
	c, err := b.about(ctx, node)
	if err != nil {
		return nil, false
	}
	s := &Status{Node: node.URL(), Ceremony: *c, own: b.Status.own, node: node}
	if b.Kind == keygen.KindProposal || b.Kind == keygen.KindRejection && c.Outcome == v1.CeremonyRejected || b.Kind == keygen.KindAbort && c.Outcome == v1.CeremonyAborted {
		return s, true
	}
	missing := slices.ContainsFunc(b.messages, func(m ballotMessage) bool { return !b.saidBy(c, m.role) })
	if missing && b.Kind == keygen.KindConsent && c.Phase != keygen.PhaseProposed.String() { // enough others had answered for one of the roles
		missing = !slices.ContainsFunc(b.messages, func(m ballotMessage) bool { return b.saidBy(c, m.role) })
	}
	return s, !missing
}

// about asks a node for the ceremony that the word is about.
func (b *Ballot) about(ctx context.Context, node *client.Client) (*v1.Ceremony, error) {
	id := b.Terms.Hash()
	c, err := node.Ceremony(ctx, v1.Hex(id[:]))
	if err == nil && !bytes.Equal(c.ID, id[:]) {
		return nil, fmt.Errorf("%s: it answered for another ceremony", node.URL())
	}
	return c, err
}

// WriteResult says what has become of the word, and who has not answered yet.
func (b *Ballot) WriteResult(out io.Writer, s *Status) error {
	c := &s.Ceremony
	lines := []string{fmt.Sprintf("done: it is in a block; attempt %d is %s", c.Attempt, c.Phase)}
	node := s.Node
	switch {
	case b.Kind == keygen.KindAbort && !c.Final() && b.succession():
		lines = append(lines, "missing: "+s.abortNeeds()+"; they have: "+s.names(c.Aborting))
	case b.Kind == keygen.KindAbort && !c.Final():
		lines = append(lines, fmt.Sprintf("missing: %d more of %s: scrim member abort", max(0, int(c.Threshold)-len(c.Aborting)), b.others(c.Aborting)))
	case c.Phase == keygen.PhaseProposed.String():
		lines = append(lines, b.missing(s)...)
	case b.Kind == keygen.KindConsent && !c.Final():
		lines = append(lines, "all have accepted", "next: keep the node running; scrim member status --watch --node "+node)
	case c.Final() && c.Outcome != v1.CeremonySucceeded:
		lines = append(lines, "next: when the members have agreed on another attempt, one of them: scrim member retry --node "+node)
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

// missing says who has not answered a proposal, and what they type.
func (b *Ballot) missing(s *Status) []string {
	c := &s.Ceremony
	what := "scrim member accept"
	if b.succession() {
		what += " (those who are new: scrim member join)"
	}
	lines := []string{fmt.Sprintf("missing: %s; they have until height %d: %s", s.names(c.Waiting), c.StartHeight-1, what)}
	if b.Kind == keygen.KindProposal {
		lines = append(lines, "next: tell all members the terms hash, and accept it yourself: scrim member accept --node "+s.Node)
	}
	return lines
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
