package commitreveal

import (
	"errors"
	"testing"
)

// FuzzHash: a hash has one spelling.
func FuzzHash(f *testing.F) {
	text, err := Hash{1, 2, 0xff}.MarshalText()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("0X00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Hash
		if err := h.UnmarshalText(b); err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Error(err)
			}
			return
		}
		if again, err := h.MarshalText(); err != nil || string(again) != string(b) {
			t.Errorf("%s is written %s, %v", b, again, err)
		}
	})
}

// FuzzPhase: so has a phase.
func FuzzPhase(f *testing.F) {
	f.Add("ordered")
	f.Add("revealed")
	f.Add("Ordered")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePhase(s); err == nil && p.String() != s {
			t.Errorf("%q is the phase %q", s, p)
		}
	})
}
