package demo

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// screen shows what happens: finished lines, and on a terminal one live line below
// them. Elsewhere live lines are printed now and then.
type screen struct {
	out      io.Writer
	terminal bool
	interval time.Duration // at which a live line is worth updating

	mu      sync.Mutex
	current string    // the live line
	printed time.Time // when a live line was last printed, if this is no terminal
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out, interval: time.Second}
	if f, ok := out.(*os.File); ok && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == "" {
		info, err := f.Stat()
		s.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if s.terminal {
		s.interval = 100 * time.Millisecond
	}
	return s
}

// title begins a part.
func (s *screen) title(text string) {
	s.print("\n" + text + "\n")
}

// done is a line that stays, for something that was achieved.
func (s *screen) done(format string, args ...any) {
	s.print("  " + fmt.Sprintf(format, args...) + "\n")
}

// line is a line that stays.
func (s *screen) line(format string, args ...any) {
	s.print(fmt.Sprintf(format, args...) + "\n")
}

const clearLine = "\r\x1b[K"

func (s *screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal && s.current != "" {
		fmt.Fprint(s.out, clearLine)
	}
	s.current = ""
	fmt.Fprint(s.out, text)
}

// live replaces the live line.
func (s *screen) live(format string, args ...any) {
	text := "  " + fmt.Sprintf(format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == s.current {
		return
	}
	s.current = text
	if s.terminal {
		fmt.Fprint(s.out, clearLine+text)
	} else if time.Since(s.printed) >= s.interval {
		s.printed = time.Now()
		fmt.Fprintln(s.out, text)
	}
}

// settle takes the live line away.
func (s *screen) settle() { s.print("") }
