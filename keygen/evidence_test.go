package keygen

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A ceremony in which members do everything that can be proved to an outsider.
func crimes(t testing.TB) *stage {
	st := newStage(t, testTerms(7, 4))
	for _, c := range [][]string{
		{"abort", "6", "bad=garbage"},
		{"deal", "1"}, {"deal", "1", "bad=other"},
		{"deal", "2", "bad=degree:3"}, {"deal", "3", "bad=share:7"}, {"deal", "4", "bad=possession"},
		{"deal", "5", "6", "7"},
		{"respond", "1", "bad=garbage"}, {"respond", "2", "3", "4", "5", "6", "7"},
		{"justify", "3", "bad=answer"},
	} {
		st.command(c)
	}
	return st
}

func TestEvidence(t *testing.T) {
	st := crimes(t)
	got := map[uint32][]FaultKind{}
	for _, e := range st.state.Evidence() {
		got[e.Member] = append(got[e.Member], e.Fault)
		if err := e.Verify(testTerms(7, 4)); err != nil {
			t.Error(err)
		}
		other := testTerms(7, 4)
		other.Attempt++
		if err := e.Verify(other); !errors.Is(err, ErrEvidence) {
			t.Errorf("under other terms: %v", err)
		}
	}
	want := map[uint32][]FaultKind{
		1: {FaultEquivocation, FaultEncoding}, 2: {FaultCommitments}, 3: {FaultJustification}, 4: {FaultPossession}, 6: {FaultEncoding},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := len(st.state.Status().Evidence); n != 6 {
		t.Errorf("the status lists %d", n)
	}
}

// What an honest member signed proves nothing against it, however it is arranged.
func TestEvidenceAgainstTheHonest(t *testing.T) {
	st := finishedOnce()
	third := crimes(t)
	var all []Evidence
	for f := FaultAbsent; f <= FaultCertificate; f++ {
		for j := uint32(1); j <= 4; j++ {
			var said []Statement
			for k := KindDeal; k <= kinds; k++ {
				if e := st.state.entry(k, j); e != nil {
					bare := e.statement()
					bare.Body = nil
					said = append(said, e.statement(), bare)
				}
			}
			for i := range said {
				all = append(all, Evidence{st.state.ceremony, f, j, said[i : i+1]})
				for k := range said {
					all = append(all, Evidence{st.state.ceremony, f, j, []Statement{said[i], said[k]}})
				}
			}
			all = append(all, Evidence{st.state.ceremony, f, j, nil})
		}
	}
	if len(all) < 1000 {
		t.Fatalf("only %d tries", len(all))
	}
	for _, e := range all {
		if err := e.Verify(st.terms); !errors.Is(err, ErrEvidence) {
			t.Errorf("%s by %d, %d statements: %v", e.Fault, e.Member, len(e.Statements), err)
		}
	}

	// An honest answer to a complaint that was false.
	honest := newStage(t, testTerms(4, 3))
	for _, c := range [][]string{{"deal", "all"}, {"respond", "1", "bad=complain:2"}, {"respond", "2", "3", "4"}, {"justify", "2"}} {
		honest.command(c)
	}
	e := Evidence{honest.state.ceremony, FaultJustification, 2, []Statement{honest.state.entry(KindDeal, 2).statement(), honest.state.entry(KindJustification, 2).statement()}}
	if err := e.Verify(honest.terms); !errors.Is(err, ErrEvidence) {
		t.Errorf("an honest answer: %v", err)
	}

	// True evidence, turned against somebody else or changed.
	for _, e := range third.state.Evidence() {
		for name, change := range map[string]func(*Evidence){
			"member":    func(e *Evidence) { e.Member = e.Member%7 + 1 },
			"nobody":    func(e *Evidence) { e.Member = 0 },
			"fault":     func(e *Evidence) { e.Fault = FaultTranscript },
			"signature": func(e *Evidence) { e.Statements[0].Signature[3] ^= 1 },
			"digest":    func(e *Evidence) { e.Statements[0].Digest[3] ^= 1 },
			"kind":      func(e *Evidence) { e.Statements[0].Kind++ },
			"none":      func(e *Evidence) { e.Statements = nil },
			"twice":     func(e *Evidence) { e.Statements = []Statement{e.Statements[0], e.Statements[0]} },
			"ceremony":  func(e *Evidence) { e.Ceremony[0] ^= 1 },
		} {
			changed := e
			changed.Statements = slices.Clone(e.Statements)
			change(&changed)
			if err := changed.Verify(third.terms); !errors.Is(err, ErrEvidence) && !errors.Is(err, ErrSignature) {
				t.Errorf("%s by %d with another %s: %v", e.Fault, e.Member, name, err)
			}
		}
	}
}

func TestParseEvidenceRefuses(t *testing.T) {
	good := must(crimes(t).state.Evidence()[0].MarshalBinary())(t)
	for name, bad := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)-1], "long": append(bytes.Clone(good), 0),
		"version": append([]byte{2}, good[1:]...),
		"three":   func() []byte { b := bytes.Clone(good); b[38] = 3; return b }(),
	} {
		if _, err := ParseEvidence(bad); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each fault's own proof, as Fault.Verify has it.
func TestFaultVerify(t *testing.T) {
	st := crimes(t)
	st.command([]string{"end", "height=20"})
	kinds := map[FaultKind]bool{}
	for _, f := range st.state.Blame() {
		kinds[f.Kind] = true
		err := f.Verify(st.terms)
		if f.Kind == FaultAbsent {
			if !errors.Is(err, ErrNoProof) {
				t.Errorf("%v: %v", f, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", f, err)
		}
		for name, change := range map[string]func(*Fault){
			"member":    func(f *Fault) { f.Member = f.Member%7 + 1 },
			"signature": func(f *Fault) { f.Signature[0] ^= 1 },
			"digest":    func(f *Fault) { f.Digest[0] ^= 1 },
		} {
			changed := f
			change(&changed)
			if err := changed.Verify(st.terms); !errors.Is(err, ErrSignature) {
				t.Errorf("%v with another %s: %v", f, name, err)
			}
		}
		if f.Kind == FaultEquivocation {
			same := f
			same.FirstDigest, same.FirstSignature = f.Digest, f.Signature
			if err := same.Verify(st.terms); !errors.Is(err, ErrEvidence) {
				t.Errorf("twice the same message: %v", err)
			}
			same.FirstDigest[0] ^= 1
			if err := same.Verify(st.terms); !errors.Is(err, ErrSignature) {
				t.Errorf("a first message that was not signed: %v", err)
			}
		}
	}
	if len(kinds) < 6 {
		t.Errorf("only %v", kinds)
	}
}
