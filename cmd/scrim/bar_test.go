package main

import (
	"strings"
	"testing"
	"time"
)

// The bar says how far it is, how long it will take, and is gone at the end.
func TestBar(t *testing.T) {
	var out strings.Builder
	b := &bar{w: &out, start: time.Now().Add(-10 * time.Second)}
	b.draw(250, 1000)
	for _, want := range []string{"[#######.......................]", "25% 250 of 1000 log entries", "30s left"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
	before := out.Len()
	b.draw(251, 1000)
	if out.Len() != before {
		t.Error("it is drawn again at once")
	}
	b.draw(1000, 1000)
	if text := out.String()[before:]; !strings.Contains(text, "100% 1000 of 1000") || strings.Contains(text, "left") {
		t.Errorf("at the end: %q", text)
	}
	b.clear()
	if !strings.HasSuffix(out.String(), "\r\x1b[K") {
		t.Error("it stays")
	}
	out.Reset()
	unknown := &bar{w: &out}
	unknown.draw(7, 0)
	if !strings.Contains(out.String(), "7 log entries") {
		t.Errorf("a total that is not known: %q", out.String())
	}
	(&bar{}).draw(1, 2) // no terminal
}
