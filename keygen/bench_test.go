package keygen

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkCeremony is the crypto time of one member in a whole ceremony in which all
// goes well: what it computes to say its four messages, and what it and every reader of
// the log computes to take those of all. Files and signatures on blocks are not in it.
func BenchmarkCeremony(b *testing.B) {
	for _, n := range []int{4, 7, 16, 32} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			begun := must(New(testTerms(n, DefaultThreshold(n))))(b)
			log, _ := hold(b, begun, nil)
			benchmarkLog(b, begun, log, nil)
		})
	}
}

// BenchmarkReshare is the same for n members that deal their key anew among
// themselves. The first member, which is measured, speaks in both roles.
func BenchmarkReshare(b *testing.B) {
	for _, n := range []int{4, 7, 16, 32} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			_, office := hold(b, must(New(testTerms(n, DefaultThreshold(n))))(b), nil)
			terms := testTerms(n, DefaultThreshold(n))
			terms.Epoch, terms.StartHeight, terms.Change = 2, 10, ChangeReshare
			terms.Previous = must(PreviousOf(office.Certificate()))(b)
			proposal := must(ProposeTerms(testSecret(1), terms))(b)
			log, _ := hold(b, accepted(b, office, proposal), office)
			var propose, parse time.Duration
			for range 3 {
				began := time.Now()
				must(BeginSuccession(office.Certificate(), 1, 1, proposal))(b)
				propose += time.Since(began)
				began = time.Now()
				must(ParseTerms(proposal.Body))(b)
				parse += time.Since(began)
			}
			benchmarkLog(b, accepted(b, office, proposal), log, office)
			b.ReportMetric(milliseconds(propose, 3), "ms-read-proposal")
			b.ReportMetric(milliseconds(parse, 3), "ms-parse-terms")
			b.ReportMetric(float64(len(proposal.Body)), "proposal-bytes")
		})
	}
}

// accepted is a succession to which all have consented, where dealing begins.
func accepted(t testing.TB, office *State, proposal *Message) *State {
	s := must(BeginSuccession(office.Certificate(), 1, 1, proposal))(t)
	step := func(e Event) {
		next, _, err := Step(s, e)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	for j := 1; j <= s.terms.N(); j++ {
		for _, m := range must(Votes(testSecret(j), s.terms, KindConsent))(t) {
			if s.Admit(m) == nil { // more approvals than are needed come late
				step(Event{1, m})
			}
		}
	}
	step(Event{Height: s.terms.StartHeight - 1})
	if s.Phase() != PhaseDealing {
		t.Fatal(s.Phase())
	}
	return s
}

// benchmarkLog measures what the first member computes to say its part of a log, and what everybody does to read it.
func benchmarkLog(b *testing.B, begun *State, log []*Message, office *State) {
	own, read := map[Kind]time.Duration{}, map[Kind]time.Duration{}
	bytes := 0
	for b.Loop() {
		bytes = 0
		s, p := begun, member(b, begun.terms, 1, office)
		for _, m := range log {
			bytes += len(must(m.MarshalBinary())(b))
			if slices.Contains(p.Roles(), m.Member) {
				began := time.Now()
				said := one(b, say(b, p, s))
				own[m.Kind] += time.Since(began)
				if said.digest() != m.digest() {
					b.Fatal("the member says something else")
				}
			}
			began := time.Now()
			next, _, err := Step(s, Event{max(1, begun.height), m})
			if err != nil {
				b.Fatal(err)
			}
			read[m.Kind] += time.Since(began)
			s = next
		}
		if s.Phase() != PhaseActive {
			b.Fatal(s.Phase())
		}
	}
	for _, k := range []Kind{KindDeal, KindResponse, KindCertification, KindStored} {
		b.ReportMetric(milliseconds(own[k], b.N), "ms-say-"+k.String())
		b.ReportMetric(milliseconds(read[k], b.N), "ms-read-"+k.String())
	}
	b.ReportMetric(float64(bytes), "log-bytes")
}

func milliseconds(d time.Duration, n int) float64 { return d.Seconds() * 1000 / float64(n) }

// member takes part, with its share of the committee in office if there is one.
func member(t testing.TB, terms *Terms, j int, office *State) *Participant {
	p := must(NewParticipant(testSecret(j), terms, testSeed(j)))(t)
	if office != nil {
		if err := p.UseShare(must(RecoverShare(testSecret(j), office))(t)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// say is what a member does in a phase, without the disk.
func say(t testing.TB, p *Participant, s *State) []*Message {
	if s.Phase() == PhaseCertifying {
		share := must(p.Share(s))(t)
		p.ConfirmStored(share)
		p.ConfirmReadBack(share)
	}
	return must(p.Next(s))(t)
}

// hold plays a ceremony without incident: what its members say, in order, and how it ends.
func hold(t testing.TB, s *State, office *State) (log []*Message, end *State) {
	var members []*Participant
	for j := 1; j <= s.terms.N(); j++ {
		members = append(members, member(t, s.terms, j, office))
	}
	for !s.Done() {
		var block []*Message
		for _, p := range members {
			block = append(block, say(t, p, s)...)
		}
		for _, m := range block {
			next, _, err := Step(s, Event{max(1, s.height), m})
			if err != nil {
				t.Fatal(err)
			}
			s = next
		}
		log = append(log, block...)
	}
	return log, s
}

// BenchmarkBlocks plays ceremonies in which every message is in the next block.
func BenchmarkBlocks(b *testing.B) {
	terms := testTerms(4, 3)
	log, _ := hold(b, must(New(terms))(b), nil)
	for b.Loop() {
		s, height := must(New(terms))(b), uint64(1)
		for len(log) > 0 && !s.Done() {
			phase := s.Phase()
			for _, m := range log {
				if s.Admit(m) == nil && s.Phase() == phase {
					s, _, _ = Step(s, Event{height, m})
				}
			}
			s, _, _ = Step(s, Event{Height: height})
			height++
		}
		b.ReportMetric(float64(height-1), "blocks")
	}
}

func BenchmarkParseState(b *testing.B) {
	for _, n := range []int{4, 16} {
		state := must(finished(b, testTerms(n, DefaultThreshold(n))).state.MarshalBinary())(b)
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			for b.Loop() {
				must(ParseState(state))(b)
			}
		})
	}
}

func BenchmarkVerifyCertificate(b *testing.B) {
	for _, n := range []int{4, 16} {
		st := finished(b, testTerms(n, DefaultThreshold(n)))
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			for b.Loop() {
				if err := VerifyCertificate(st.state.Certificate(), st.terms); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
