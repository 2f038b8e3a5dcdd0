package explorer

import (
	"fmt"
	"html/template"
	"time"
	"unicode"
	"unicode/utf8"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// picture is a line with a mark for each step, for the template to draw.
type picture struct {
	Steps []step
	Timed bool // some have a time
}

// step is a mark of a picture. X is its place in the drawing's units.
type step struct {
	X     int
	Name  string
	When  string // a height, "" if it has not come
	At    *v1.Time
	After string // how long it took since the step before that has a time
	Note  string
	State string // class of the mark: done, wait, bad
}

const (
	firstStep = 100
	stepWidth = 210
)

// Width is that of the drawing in its own units.
func (p picture) Width() int { return p.End() + firstStep }

// End is the place of the last step.
func (p picture) End() int { return firstStep + stepWidth*(len(p.Steps)-1) }

// Last is the place of the last step that has come.
func (p picture) Last() int {
	last := firstStep
	for _, s := range p.Steps {
		if s.State != "wait" {
			last = s.X
		}
	}
	return last
}

// Between is the middle of the line that leads to a step.
func (s step) Between() int { return s.X - stepWidth/2 }

// draw places the steps, and says how long each took.
func draw(steps ...step) picture {
	p := picture{Steps: steps}
	var before *step
	for i := range steps {
		s := &steps[i]
		s.X = firstStep + i*stepWidth
		if s.At == nil {
			continue
		}
		if before != nil {
			s.After = took(s.At.Time().Sub(before.At.Time()))
			if s.After != "" && before.X != s.X-stepWidth {
				s.After += " since " + before.Name
			}
		}
		before, p.Timed = s, true
	}
	return p
}

// took is a duration in words, "" if it is negative: clocks of several members are compared.
func took(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < time.Second:
		return fmt.Sprintf("+%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("+%.1f s", d.Seconds())
	}
	return fmt.Sprintf("+%d min", int(d.Minutes()))
}

// done is a step that has come if it has a height.
func done(name string, height *uint64, at *v1.Time, note string) step {
	if height == nil {
		return step{Name: name, State: "wait"}
	}
	return step{Name: name, When: fmt.Sprintf("height %d", *height), At: at, Note: note, State: "done"}
}

// times are those of the steps ordered and recorded, nil as far as they are unknown.
func times(t *v1.BlockTimes) (ordered, recorded *v1.Time) {
	if t == nil {
		return nil, nil
	}
	return t.Ordered, t.Recorded
}

func transactionPicture(tx v1.Transaction) picture {
	received := step{Name: "received", When: "by another node", State: "done"}
	if tx.Receipt != nil {
		received.When = fmt.Sprintf("member %d", tx.Receipt.Member)
		received.At, received.Note = &tx.Receipt.Time, fmt.Sprintf("position %d of its log", tx.Receipt.Position)
	}
	if tx.Status == v1.StatusExpired {
		note := "never ordered"
		if tx.Reason != nil && *tx.Reason == v1.ExpiredKey {
			note = "its key is out of use"
		}
		return draw(received, step{Name: "expired", When: fmt.Sprintf("after height %d", tx.ValidUntil), Note: note, State: "bad"})
	}
	place := ""
	if tx.Position != nil {
		place = fmt.Sprintf("position %d, unread", *tx.Position)
	}
	ordered, recorded := times(tx.Times)
	opened := step{Name: "opened", State: "wait"}
	switch tx.Status {
	case v1.StatusRevealed:
		opened = step{Name: "opened", When: "by the committee", Note: "after the order", State: "done"}
	case v1.StatusVoid:
		opened = step{Name: "void", When: "by the committee", Note: "does not decrypt", State: "bad"}
	}
	return draw(received, done("ordered", tx.Height, ordered, place), opened, done("recorded", tx.RevealHeight, recorded, "opening and certificate"))
}

func batchPicture(b v1.BatchSummary) picture {
	ordered, recorded := times(b.Times)
	committed := step{Name: "committed", State: "wait"}
	if b.Checkpoint != nil {
		committed = step{Name: "committed", When: fmt.Sprintf("log of %d entries", b.Checkpoint.LogSize), State: "done"}
	}
	return draw(done("ordered", &b.Height, ordered, fmt.Sprintf("%d unread", b.Count)), committed, done("recorded", b.RevealHeight, recorded, fmt.Sprintf("%d void", b.Voids)))
}

// shownPlaintext bounds what a page shows of a plaintext, in bytes; the API has all of it.
const shownPlaintext = 4096

var words = template.FuncMap{
	"short": func(h v1.Hex) string {
		s := h.String()
		if len(s) <= 18 {
			return s
		}
		return s[:18] + "…"
	},
	"readable": readable,
	"cut": func(h v1.Hex) v1.Hex {
		return h[:min(len(h), shownPlaintext)]
	},
	"longer": func(h v1.Hex) bool { return len(h) > shownPlaintext },
}

// readable is a plaintext as text if it is text, else "".
func readable(h v1.Hex) string {
	s := string(h[:min(len(h), shownPlaintext)])
	if s == "" || !utf8.ValidString(s) {
		return ""
	}
	for _, c := range s {
		if !unicode.IsPrint(c) && c != '\n' && c != '\t' {
			return ""
		}
	}
	return s
}
