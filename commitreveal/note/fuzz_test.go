package note_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal/note"
)

// FuzzCheckpoint: the text of a checkpoint has one spelling, signed or not.
func FuzzCheckpoint(f *testing.F) {
	f.Add(head.Text())
	f.Add("o\n0\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\nextension\n")
	f.Add("o\n007\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := note.ParseCheckpoint(text)
		if err != nil {
			if !errors.Is(err, note.ErrEncoding) {
				t.Error(err)
			}
			return
		}
		if c.Text() != text {
			t.Errorf("%q parses, and is written %q", text, c.Text())
		}
		n := &note.Note{Text: text, Signatures: []note.Signature{{Name: "x", KeyID: 1, Data: []byte{1}}}}
		signed, err := n.Marshal()
		if err != nil {
			return // too large with a signature
		}
		if _, again, err := note.ParseSigned(signed); err != nil || again.Text() != text {
			t.Errorf("%q, signed: %v", text, err)
		}
	})
}

// FuzzLine: a signature line has one spelling.
func FuzzLine(f *testing.F) {
	s := note.SignLog(identity(1), chainID, head.Text())
	f.Add(s.Line())
	f.Add("\u2014 x AAAAAAE=\n")
	f.Fuzz(func(t *testing.T, line string) {
		s, err := note.ParseLine(line)
		if err == nil && s.Line() != line {
			t.Errorf("%q parses, and is written %q", line, s.Line())
		}
		if err != nil && !errors.Is(err, note.ErrEncoding) {
			t.Error(err)
		}
	})
}

// FuzzWitnessAnswers: whatever a witness answers, what is kept is its own signature on our text, and a size has one spelling.
func FuzzWitnessAnswers(f *testing.F) {
	mine, other := note.Cosign(identity(2), chainID, head.Text(), 9), note.Cosign(identity(3), chainID, head.Text(), 9)
	f.Add([]byte(mine.Line()))
	f.Add([]byte(other.Line() + mine.Line()))
	f.Add([]byte("7\n"))
	f.Add([]byte("07\n"))
	k := note.MemberKey(chainID, public(2))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := note.ParseCosignatures(b, head.Text(), k); err == nil {
			if _, err := k.Verify(&note.Note{Text: head.Text(), Signatures: []note.Signature{s}}); err != nil || !strings.Contains(string(b), s.Line()) {
				t.Errorf("%q gives a signature that is none: %v", b, err)
			}
		}
		if size, err := note.ParseWitnessSize(b); err == nil && !bytes.Equal(b, []byte(decimal(size)+"\n")) {
			t.Errorf("%q is the size %d", b, size)
		}
	})
}

func decimal(n uint64) string {
	c := note.Checkpoint{Origin: "o", Size: n}
	return strings.Split(c.Text(), "\n")[1]
}

// FuzzCertified: of the committee's line only the signed checkpoint of the note's own tree comes out.
func FuzzCertified(f *testing.F) {
	c, _ := committee()
	cp, certificate := certified(f)
	line := note.CertificateLine(c.Key, cp, certificate)
	f.Add(head.Text(), line.Data)
	f.Add(head.Text(), line.Data[1:])
	f.Add("o\n", []byte{})
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		got, sig, err := note.Certified(text, data)
		if err != nil {
			return
		}
		parsed, err := note.ParseCheckpoint(text)
		if err != nil || got.LogSize != parsed.Size || got.LogRoot != parsed.Root || note.Origin(got.ChainID) != parsed.Origin {
			t.Errorf("%q gives %+v, %v", text, got, err)
		}
		if again := note.CertificateLine(c.Key, got, sig); note.Origin(got.ChainID) == note.Origin(chainID) && !bytes.Equal(again.Data, data) {
			t.Errorf("%x is written %x", data, again.Data)
		}
	})
}
