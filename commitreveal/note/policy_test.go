package note_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal/note"
)

// key gives the verifier key of a member as a cosigner ("w") or publisher ("l").
func key(kind string, member int) string {
	if kind == "l" {
		return note.LogKey(chainID, public(member)).String()
	}
	return note.MemberKey(chainID, public(member)).String()
}

func TestPolicyQuorums(t *testing.T) {
	witnesses := "log " + key("l", 1) + " https://example.com/log\n"
	for i, name := range []string{"a", "b", "c", "d"} {
		witnesses += "witness " + name + " " + key("w", i+1) + "\n"
	}
	tests := map[string]struct {
		rules string
		with  []int
		ok    bool
	}{
		"none":              {"quorum none", nil, true},
		"one":               {"quorum b", []int{2}, true},
		"another":           {"quorum b", []int{1, 3}, false},
		"any":               {"group g any a b\nquorum g", []int{2}, true},
		"any of others":     {"group g any a b\nquorum g", []int{3, 4}, false},
		"all":               {"group g all a b\nquorum g", []int{1, 2}, true},
		"not all":           {"group g all a b\nquorum g", []int{1, 3, 4}, false},
		"two of three":      {"group g 2 a b c\nquorum g", []int{1, 3}, true},
		"one of three":      {"group g 2 a b c\nquorum g", []int{3}, false},
		"groups":            {"group g any a b\ngroup h any c d\ngroup i all g h\nquorum i", []int{2, 4}, true},
		"one group":         {"group g any a b\ngroup h any c d\ngroup i all g h\nquorum i", []int{1, 2}, false},
		"blank and comment": {"# x\n\n \t \ngroup\tg  1 a \n  # y\n quorum g ", []int{1}, true},
	}
	for name, tt := range tests {
		p, err := note.ParsePolicy([]byte(witnesses + tt.rules + "\n"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s, err := p.Check(marshal(t, signed(tt.with...)))
		if tt.ok && (err != nil || len(s.Witnesses) != len(tt.with) || len(s.Logs) != 1) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if !tt.ok && !errors.Is(err, note.ErrPolicy) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPolicySignatures(t *testing.T) {
	p, err := note.ParsePolicy([]byte("log " + key("l", 2) + "\nwitness a " + key("w", 1) + "\nquorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(marshal(t, signed(1))); !errors.Is(err, note.ErrPolicy) {
		t.Errorf("published by another log: %v", err)
	}
	p, err = note.ParsePolicy([]byte("log " + key("l", 1) + "\nwitness a " + key("w", 1) + "\nquorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		n := signed(1)
		n.Signatures[i].Data[20] ^= 1
		if _, err := p.Check(marshal(t, n)); !errors.Is(err, note.ErrSignature) {
			t.Errorf("signature %d of a known key altered: %v", i, err)
		}
	}
	n := signed(1, 3)
	n.Signatures[2].Data[20] ^= 1
	if _, err := p.Check(marshal(t, n)); err != nil {
		t.Errorf("signature of an unknown key altered: %v", err) // signed-note: unknown keys are ignored
	}
	open, err := note.ParsePolicy([]byte("witness a " + key("w", 1) + "\nquorum a\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := open.Check(marshal(t, signed(1))); err != nil || len(s.Logs) != 0 {
		t.Errorf("without a log: %v", err)
	}
	if _, err := open.Check([]byte("x")); !errors.Is(err, note.ErrEncoding) {
		t.Errorf("no note: %v", err)
	}
}

func TestPolicyIsStrict(t *testing.T) {
	w := "witness a " + key("w", 1) + "\n"
	many := "witness a " + key("w", 1) + "\ngroup g0 any a\n"
	for range 2000 {
		many += "group g" + strings.Repeat("x", len(many)%1000) + " any g0\n"
	}
	for name, text := range map[string]string{
		"empty": "", "no quorum": w, "two quorums": "quorum none\nquorum none\n", "quorum undefined": "quorum a\n", "quorum before": "quorum a\n" + w,
		"no end": "quorum none", "crlf": "quorum none\r\n", "control": "quorum none\x01\n", "delete": "# \x7f\nquorum none\n", "unknown word": "quorun none\n", "quorum with two": w + "quorum a a\n",
		"name twice": w + "witness a " + key("w", 2) + "\nquorum a\n", "key twice": w + "witness b " + key("w", 1) + "\nquorum a\n", "log twice": "log " + key("l", 1) + "\nlog " + key("l", 1) + "\nquorum none\n",
		"witness called none": "witness none " + key("w", 1) + "\nquorum none\n", "group called a": w + "group a any a\nquorum a\n", "log with a cosigner's key": "log " + key("w", 1) + "\nquorum none\n",
		"witness with a log's key": "witness a " + key("l", 1) + "\nquorum a\n", "0 of 1": w + "group g 0 a\nquorum g\n", "2 of 1": w + "group g 2 a\nquorum g\n", "01 of 1": w + "group g 01 a\nquorum g\n",
		"no member": w + "group g any\nquorum g\n", "member none": w + "group g any none\nquorum g\n", "member twice": w + "group g any a a\nquorum g\n",
		"member of two": w + "group g any a\ngroup h any a\nquorum g\n", "forward": "group g any a\n" + w + "quorum g\n", "itself": w + "group g any g\nquorum g\n",
		"bad key": "log x\nquorum none\n", "three on a log": "log " + key("l", 1) + " u v\nquorum none\n", "too large": "#" + strings.Repeat("x", note.MaxPolicySize) + "\nquorum none\n", "many": many,
	} {
		if _, err := note.ParsePolicy([]byte(text)); !errors.Is(err, note.ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
