package explorer

import (
	"fmt"
	"html/template"
	"unicode"
	"unicode/utf8"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// picture is a line with a mark for each step, for the template to draw.
type picture struct {
	Steps []step
}

// step is a mark of a picture. X is its place in the drawing's units.
type step struct {
	X     int
	Name  string
	When  string // a height or a time, "" if it has not come
	Note  string
	State string // class of the mark: done, wait, bad
}

const (
	firstStep = 90
	stepWidth = 190
)

// Width is that of the drawing in its own units.
func (p picture) Width() int { return 2*firstStep + stepWidth*(len(p.Steps)-1) }

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

func draw(steps ...step) picture {
	for i := range steps {
		steps[i].X = firstStep + i*stepWidth
	}
	return picture{steps}
}

// done is a step that has come if it has a height.
func done(name string, height *uint64, note string) step {
	if height == nil {
		return step{Name: name, State: "wait"}
	}
	return step{Name: name, When: fmt.Sprintf("height %d", *height), Note: note, State: "done"}
}

func transactionPicture(tx v1.Transaction) picture {
	received := step{Name: "received", Note: "by another node", State: "done"}
	if tx.Receipt != nil {
		received.When = tx.Receipt.Time.String()
		received.Note = fmt.Sprintf("member %d, position %d", tx.Receipt.Member, tx.Receipt.Position)
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
	opened := step{Name: "opened", State: "wait"}
	switch tx.Status {
	case v1.StatusRevealed:
		opened = step{Name: "opened", When: "by the committee", State: "done"}
	case v1.StatusVoid:
		opened = step{Name: "void", When: "by the committee", Note: "does not decrypt", State: "bad"}
	}
	return draw(received, done("ordered", tx.Height, place), opened, done("in the log", tx.RevealHeight, "opening and certificate"))
}

func batchPicture(b v1.BatchSummary) picture {
	committed := step{Name: "committed", State: "wait"}
	if b.Checkpoint != nil {
		committed = step{Name: "committed", When: fmt.Sprintf("log of %d entries", b.Checkpoint.LogSize), State: "done"}
	}
	return draw(done("ordered", &b.Height, fmt.Sprintf("%d unread", b.Count)), committed, done("revealed", b.RevealHeight, fmt.Sprintf("%d void", b.Voids)))
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

// End is the place of the last step.
func (p picture) End() int { return firstStep + stepWidth*(len(p.Steps)-1) }
