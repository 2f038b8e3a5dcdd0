package member

import (
	"context"
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

	own string // the name of the member who asks, "" if unknown
}

// GetStatus asks a node for its newest ceremony. own is the name of the member who asks, or empty.
func GetStatus(ctx context.Context, node *client.Client, own string) (*Status, error) {
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
	s := &Status{Node: node.URL(), Height: limits.Height, Ceremony: *ceremony, own: own}
	if ceremony.Deadline != nil {
		left := max(*ceremony.Deadline, limits.Height) - limits.Height
		s.BlocksLeft = &left
	}
	s.Next = s.next()
	return s, nil
}

// Over says whether the ceremony has ended.
func (s *Status) Over() bool { return s.Ceremony.Final() }

// Succeeded says whether it has made a committee.
func (s *Status) Succeeded() bool { return s.Ceremony.Outcome == v1.CeremonySucceeded }

// next says what the member who asks has to do.
func (s *Status) next() string {
	c := &s.Ceremony
	switch c.Outcome {
	case v1.CeremonySucceeded:
		return "scrim member verify --node " + s.Node + ", publish the terms hash, copy the share file to a second medium, and: scrim member confirm-stored COPY"
	case v1.CeremonyFailed, v1.CeremonyAborted, v1.CeremonyRejected:
		return fmt.Sprintf("settle with those who are blamed what went wrong; then one of you: scrim member retry --node %s, and all: scrim member accept. "+
			"Or all members set ceremony.attempts to %d (SCRIM_CEREMONY_ATTEMPTS=%d) and restart their nodes. "+
			"If one is gone for good, a new chain is needed: scrim member terms draft --chain-id NEW ...", s.Node, c.Attempt+1, c.Attempt+1)
	}
	if len(c.Waiting) == 0 && !s.mayAbort() {
		return "nothing to type; the ceremony begins after height " + fmt.Sprint(c.StartHeight-1) + " when enough members are connected. Keep the node running"
	}
	var others []string
	awaited := false
	for _, j := range c.Waiting {
		if name := s.name(j); name == s.own {
			awaited = true
		} else {
			others = append(others, name)
		}
	}
	switch {
	case c.Phase == keygen.PhaseProposed.String() && (awaited || s.own == ""):
		return "all members have to answer: compare the terms hash with the others' by voice, then: scrim member accept --node " + s.Node + ", or: scrim member reject --node " + s.Node
	case c.Phase == keygen.PhaseProposed.String():
		return "nothing to type; ask " + strings.Join(others, ", ") + " to answer: scrim member accept"
	case s.mayAbort():
		return s.names(c.Aborting) + " asked to end this ceremony; to agree: scrim member abort --node " + s.Node + ". To go on, keep the node running"
	}
	if awaited {
		return "your own message is awaited: your node sends it by itself; if it does not run, scrimd start, and look into its log"
	}
	return "nothing to type; keep the node running, and ask " + strings.Join(others, ", ") + " to start theirs"
}

// mayAbort says whether others have asked to abort, and the member who asks could too.
func (s *Status) mayAbort() bool {
	c := &s.Ceremony
	asked := slices.ContainsFunc(c.Aborting, func(j uint32) bool { return s.name(j) == s.own })
	return len(c.Aborting) > 0 && !asked && slices.Contains(abortable, c.Phase)
}

func (s *Status) name(index uint32) string {
	for _, m := range s.Ceremony.Status {
		if m.Index == index {
			return m.Name
		}
	}
	return fmt.Sprintf("member %d", index)
}

func (s *Status) names(members []uint32) string {
	var names []string
	for _, j := range slices.Sorted(slices.Values(members)) {
		names = append(names, s.name(j))
	}
	return strings.Join(names, ", ")
}

// Write writes the matrix of members and phases, for people.
func (s *Status) Write(out io.Writer) error {
	c := &s.Ceremony
	var b strings.Builder
	fmt.Fprintf(&b, "chain %s, epoch %d, attempt %d: %s (%d of %d open)\n", c.ChainID, c.Epoch, c.Attempt, c.Phase, c.Threshold, c.Members)
	fmt.Fprintf(&b, "terms hash %s\n", c.ID)
	if s.BlocksLeft != nil {
		fmt.Fprintf(&b, "height %d; the phase ends after height %d at the latest, in %d blocks\n\n", s.Height, *c.Deadline, *s.BlocksLeft)
	} else {
		fmt.Fprintf(&b, "height %d; the ceremony is over: %s\n\n", s.Height, c.Outcome)
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "#\tname\tconsent\tdeal\tresponse\tjustification\tcertification\tstored\tqualified\n")
	for _, m := range c.Status {
		name := m.Name
		if name == s.own {
			name += " (you)"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Index, name, m.Consent, m.Deal, m.Response, m.Justification, m.Certification, m.Stored, yesNo(m.Qualified))
	}
	_ = w.Flush() // to a buffer
	b.WriteByte('\n')
	if len(c.Waiting) > 0 {
		fmt.Fprintf(&b, "waiting for  %s\n", s.names(c.Waiting))
	}
	if len(c.Aborting) > 0 {
		fmt.Fprintf(&b, "aborting     %s; %d of them end it\n", s.names(c.Aborting), c.Threshold)
	}
	for _, f := range c.Blame {
		fmt.Fprintf(&b, "blame        %s: %s\n", s.name(f.Member), f.Reason)
	}
	fmt.Fprintf(&b, "next         %s\n", s.Next)
	_, err := io.WriteString(out, b.String())
	return err
}
