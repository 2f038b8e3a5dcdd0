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

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/keygen"
)

// Status is where a ceremony stands, as a node tells it, and what to do next.
type Status struct {
	Node       string      `json:"node"` // its address
	Height     uint64      `json:"height"`
	BlocksLeft *uint64     `json:"blocks_left"` // of the phase, at most; null when the ceremony is over
	Next       string      `json:"next"`        // for people
	Ceremony   v1.Ceremony `json:"ceremony"`

	own    ed25519.PublicKey // of the member who asks, nil if unknown
	node   *client.Client
	behind bool   // the node still fetches blocks: what it shows is past
	alone  bool   // too few members are connected to the node for blocks
	handed uint64 // height after which the committee before this one was not in office any more; 0: it is, or nobody asked
}

// notInIt begins what somebody is told who is in none of the newest ceremony's committees.
const notInIt = "you are not a member of the newest ceremony"

// GetStatus asks a node for its newest ceremony. own is the identity of the member who asks, or nil.
func GetStatus(ctx context.Context, node *client.Client, own ed25519.PublicKey) (*Status, error) {
	list, err := node.Ceremonies(ctx)
	if err != nil {
		return nil, err
	}
	if len(list.Ceremonies) == 0 {
		return nil, errors.New("the node knows of no ceremony")
	}
	ceremony, err := node.Ceremony(ctx, list.Ceremonies[0].ID)
	if err != nil {
		return nil, err
	}
	limits, err := node.Limits(ctx) // after the ceremony, so that the height is not behind it
	if err != nil {
		return nil, err
	}
	s := &Status{Node: node.URL(), Height: limits.Height, Ceremony: *ceremony, own: own, node: node}
	if ceremony.Deadline != nil {
		left := max(*ceremony.Deadline, limits.Height) - limits.Height
		s.BlocksLeft = &left
	}
	if ready, err := node.Ready(ctx); err == nil {
		has := func(code string) bool {
			return slices.ContainsFunc(ready.Reasons, func(r v1.Reason) bool { return r.Code == code })
		}
		s.behind, s.alone = has("catching_up"), has("no_peers")
	}
	if s.left() {
		s.handed = handedOver(ctx, node, ceremony.Epoch-1)
	}
	s.Next = s.next()
	return s, nil
}

// handedOver gives the last height in office of a committee; 0 if the node does not say.
func handedOver(ctx context.Context, node *client.Client, epoch uint64) uint64 {
	page, err := node.Committees(ctx, epoch, 1)
	if err != nil || len(page.Committees) == 0 || page.Committees[0].Epoch != epoch || page.Committees[0].Until == nil {
		return 0
	}
	return *page.Committees[0].Until
}

// Over says whether the ceremony has ended.
func (s *Status) Over() bool { return s.Ceremony.Final() }

// Succeeded says whether it has made a committee.
func (s *Status) Succeeded() bool { return s.Ceremony.Outcome == v1.CeremonySucceeded }

// roles are the lines of the member who asks.
func (s *Status) roles() (out []v1.CeremonyMember) {
	for _, m := range s.Ceremony.Status {
		if s.own != nil && bytes.Equal(m.Identity, s.own) {
			out = append(out, m)
		}
	}
	return out
}

// role gives the line of the member who asks in one role, nil if it has it not.
func (s *Status) role(name string) *v1.CeremonyMember {
	for _, m := range s.roles() {
		if m.Role == name {
			return &m
		}
	}
	return nil
}

// succession says whether there is a committee in office that hands over.
func (s *Status) succession() bool {
	return s.Ceremony.Change != v1.ChangeFirst && s.Ceremony.Change != ""
}

// left says whether the member who asks has handed over and left.
func (s *Status) left() bool {
	return s.own != nil && s.Succeeded() && s.succession() && s.role(v1.RoleMember) == nil && s.role(v1.RolePrevious) != nil
}

// next says what the member who asks has to do.
func (s *Status) next() string {
	c := &s.Ceremony
	switch {
	case s.Succeeded():
		return s.afterSuccess()
	case s.Over():
		return s.afterFailure()
	case c.Phase == keygen.PhaseProposed.String():
		return s.toAnswer()
	case s.mayAbort():
		return s.names(c.Aborting) + " asked to end this ceremony; to agree: scrim member abort --node " + s.Node + ". To go on, keep the node running"
	case len(c.Waiting) == 0:
		return fmt.Sprintf("nothing to type; the ceremony begins after height %d when enough members are connected. Keep the node running", c.StartHeight-1)
	}
	own, others := s.awaited()
	switch {
	case len(own) > 0 && c.Phase == keygen.PhaseDealing.String() && c.Change == v1.ChangeReshare:
		return "your deal is awaited: your node makes it of your share of the key; if it does not run, scrimd start; if its log says that the share is missing: scrim member recover --node " + s.Node
	case len(own) > 0:
		return "your own message is awaited: your node sends it by itself; if it does not run, scrimd start, and look into its log"
	case s.own != nil && len(s.roles()) == 0:
		return "nothing to type; you are in neither committee of this ceremony, which waits for " + strings.Join(others, ", ")
	}
	return "nothing to type; keep the node running, and ask " + strings.Join(others, ", ") + " to start theirs"
}

// awaited splits those whom the phase waits for: the lines of the member who asks, and the others' names.
func (s *Status) awaited() (own []v1.CeremonyMember, others []string) {
	var rest []uint32
	for _, j := range slices.Sorted(slices.Values(s.Ceremony.Waiting)) {
		i := slices.IndexFunc(s.roles(), func(m v1.CeremonyMember) bool { return m.Index == j })
		if i >= 0 {
			own = append(own, s.roles()[i])
		} else {
			rest = append(rest, j)
		}
	}
	return own, s.distinct(rest)
}

func (s *Status) afterSuccess() string {
	c := &s.Ceremony
	if s.left() {
		return "you are no member any more. " + Farewell(s.handed, s.Height)
	}
	if s.own != nil && s.succession() && len(s.roles()) == 0 {
		return "nothing to type; you are in neither committee. To check it: scrim member verify --node " + s.Node
	}
	if s.own != nil && len(s.roles()) == 0 {
		return notInIt + ". To join, give your member.json to somebody in office, who proposes you: scrim member reshare --add member.json"
	}
	text := "scrim member verify --node " + s.Node
	if !s.succession() {
		text += ", publish the terms pin and hash"
	}
	text += fmt.Sprintf(", copy the share file epoch-%d-attempt-%d.share.age to a second medium, and: scrim member confirm-stored COPY --node %s", c.Epoch, c.Attempt, s.Node)
	if s.role(v1.RolePrevious) != nil {
		text += ". Then delete the copies of the old share"
	}
	return text
}

func (s *Status) afterFailure() string {
	c := &s.Ceremony
	if s.succession() {
		return fmt.Sprintf("the committee of epoch %d stays in office, nothing has changed. Settle with those who are blamed what went wrong; then one of you: "+
			"scrim member retry --node %s (the same again), or scrim member %s with others; and all: scrim member accept", c.Epoch-1, s.Node, c.Change)
	}
	return fmt.Sprintf("settle with those who are blamed what went wrong; then one of you: scrim member retry --node %s, and all: scrim member accept. "+
		"Or all members set ceremony.attempts to %d (SCRIM_CEREMONY_ATTEMPTS=%d) and restart their nodes. "+
		"If one is gone for good, a new chain is needed: scrim member terms draft --chain-id NEW ...", s.Node, c.Attempt+1, c.Attempt+1)
}

// Farewell says how long who has left has to stay, and what to do then. handed is the
// last height of the own committee in office, 0 if it is unknown.
func Farewell(handed, height uint64) string {
	since := "the change"
	if handed > 0 {
		since = fmt.Sprintf("height %d (it is %d)", handed, height)
	}
	return "Keep the node running until its log says that it has destroyed your old share: ceremony.keep_old_shares blocks (1000 if config.toml says nothing else) after " + since +
		", when all that was sealed before is open. Blocks come with transactions; where there are few, start it again with SCRIM_CEREMONY_KEEP_OLD_SHARES=0. " +
		"Then stop it, and delete your backups of that share, and the age identity or member.age with its backups: with both, the share can be made again from the chain"
}

// toAnswer is for a ceremony that is proposed.
func (s *Status) toAnswer() string {
	own, others := s.awaited()
	accept := "scrim member accept --node " + s.Node
	reject := ", or: scrim member reject --node " + s.Node
	switch {
	case len(own) == 0 && s.own != nil && len(s.roles()) == 0:
		return "nothing to type; you are in neither committee, whose members have to answer: " + strings.Join(others, ", ")
	case len(own) > 0 && s.succession() && s.role(v1.RolePrevious) == nil:
		return "you are asked to join: compare the terms hash with the others' by voice, then: scrim member join --node " + s.Node + reject
	case len(own) > 0 && s.succession() && s.role(v1.RoleMember) == nil:
		return "you are asked to hand over and leave: compare the terms hash with the others' by voice, then: " + accept + reject
	case len(own) > 0 || s.own == nil:
		return "all members have to answer: compare the terms hash with the others' by voice, then: " + accept + reject
	}
	if len(others) == 0 {
		return fmt.Sprintf("nothing to type; all have answered, it begins after height %d. Keep the node running", s.Ceremony.StartHeight-1)
	}
	text := "nothing to type; ask " + strings.Join(others, ", ") + " to answer: scrim member accept"
	if s.succession() {
		text += " (those who are new: scrim member join)"
	}
	return text
}

// mayAbort says whether others have asked to abort, and the member who asks could too.
func (s *Status) mayAbort() bool {
	c := &s.Ceremony
	roles := s.roles()
	asked := slices.ContainsFunc(roles, func(m v1.CeremonyMember) bool { return slices.Contains(c.Aborting, m.Index) })
	return len(c.Aborting) > 0 && !asked && (s.own == nil || len(roles) > 0) && slices.Contains(abortable, c.Phase)
}

// name is how people call a speaker; who hands over is told apart from a member of the same name.
func (s *Status) name(index uint32) string {
	for _, m := range s.Ceremony.Status {
		switch {
		case m.Index != index:
		case m.Role == v1.RolePrevious:
			return m.Name + " (previous)"
		default:
			return m.Name
		}
	}
	return fmt.Sprintf("member %d", index)
}

func (s *Status) names(members []uint32) string {
	return strings.Join(s.distinct(members), ", ")
}

// distinct names people once, also those who are listed in both of their roles.
func (s *Status) distinct(members []uint32) (names []string) {
	for _, j := range slices.Sorted(slices.Values(members)) {
		if !s.listedAsNew(members, j) {
			names = append(names, s.name(j))
		}
	}
	return names
}

// listedAsNew says whether a speaker who hands over is among members as one of the new ones too.
func (s *Status) listedAsNew(members []uint32, j uint32) bool {
	i := slices.IndexFunc(s.Ceremony.Status, func(m v1.CeremonyMember) bool { return m.Index == j })
	return i >= 0 && s.Ceremony.Status[i].Role == v1.RolePrevious && slices.ContainsFunc(s.Ceremony.Status, func(m v1.CeremonyMember) bool {
		return m.Role == v1.RoleMember && bytes.Equal(m.Identity, s.Ceremony.Status[i].Identity) && slices.Contains(members, m.Index)
	})
}

// Write writes the matrix of members and phases, for people.
func (s *Status) Write(out io.Writer) error {
	c := &s.Ceremony
	var b strings.Builder
	fmt.Fprintf(&b, "chain %s, epoch %d, attempt %d: %s (%d of %d open)\n", c.ChainID, c.Epoch, c.Attempt, c.Phase, c.Threshold, c.Members)
	if s.succession() {
		fmt.Fprintf(&b, "%s of the committee of epoch %d, %s\n", c.Change, c.Epoch-1, s.keyText())
	}
	fmt.Fprintf(&b, "terms hash %s\n", c.ID)
	if s.BlocksLeft != nil {
		fmt.Fprintf(&b, "height %d; the phase ends after height %d at the latest, in %d blocks\n\n", s.Height, *c.Deadline, *s.BlocksLeft)
	} else {
		fmt.Fprintf(&b, "height %d; the ceremony is over: %s\n\n", s.Height, c.Outcome)
	}
	s.writeMatrix(&b)
	b.WriteByte('\n')
	if len(c.Waiting) > 0 {
		fmt.Fprintf(&b, "waiting for  %s\n", s.names(c.Waiting))
	}
	if s.behind {
		b.WriteString("warning      this node still fetches blocks: what it shows is past\n")
	}
	if s.alone && !s.Over() {
		b.WriteString("warning      this node is connected to too few members: where no more than two thirds of those in office run there are no blocks, and the ceremony stands still\n")
	}
	if len(c.Aborting) > 0 {
		fmt.Fprintf(&b, "aborting     %s; %s\n", s.names(c.Aborting), s.abortNeeds())
	}
	for _, f := range c.Blame {
		fmt.Fprintf(&b, "blame        %s: %s\n", s.name(f.Member), f.Reason)
	}
	fmt.Fprintf(&b, "next         %s\n", s.Next)
	_, err := io.WriteString(out, b.String())
	return err
}

func (s *Status) keyText() string {
	if s.Ceremony.Change == v1.ChangeReshare {
		return "the key stays"
	}
	return fmt.Sprintf("a new key; the old one is taken for %d more blocks", s.Ceremony.Overlap)
}

// abortNeeds says how many end the ceremony.
func (s *Status) abortNeeds() string {
	text := fmt.Sprintf("%d of the members", s.Ceremony.Threshold)
	if t, err := keygen.ParseTerms(s.Ceremony.Terms); err == nil && t.Previous != nil {
		text += fmt.Sprintf(", or %d of the previous ones,", t.Previous.Committee.Threshold)
	}
	return text + " end it"
}

func (s *Status) writeMatrix(b *strings.Builder) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "#\tname\tconsent\tdeal\tresponse\tjustification\tcertification\tstored\tqualified\n")
	for _, m := range s.Ceremony.Status {
		name := s.name(m.Index)
		if s.own != nil && bytes.Equal(m.Identity, s.own) {
			name += " (you)"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Index, name, m.Consent, m.Deal, m.Response, m.Justification, m.Certification, m.Stored, yesNo(m.Qualified))
	}
	_ = w.Flush() // to a buffer
}
