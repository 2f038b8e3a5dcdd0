package keygen

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkCeremony is the crypto time of one member in a whole ceremony in which all
// goes well: what it computes to say its four messages, and what it and every reader of
// the log computes to take those of all. Files and signatures on blocks are not in it.
func BenchmarkCeremony(b *testing.B) {
	for _, n := range []int{4, 7, 16, 32} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			terms := testTerms(n, DefaultThreshold(n))
			log := wholeLog(b, terms)
			own, read := map[Kind]time.Duration{}, map[Kind]time.Duration{}
			bytes := 0
			for b.Loop() {
				bytes = 0
				s := must(New(terms))(b)
				p := must(NewParticipant(testSecret(1), terms, testSeed(1)))(b)
				for _, m := range log {
					bytes += len(must(m.MarshalBinary())(b))
					if m.Member == 1 {
						began := time.Now()
						said := say(b, p, s)
						own[m.Kind] += time.Since(began)
						if said.digest() != m.digest() {
							b.Fatal("the member says something else")
						}
					}
					began := time.Now()
					next, _, err := Step(s, Event{1, m})
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
		})
	}
}

func milliseconds(d time.Duration, n int) float64 { return d.Seconds() * 1000 / float64(n) }

// say is what a member does in a phase, without the disk.
func say(t testing.TB, p *Participant, s *State) *Message {
	if s.Phase() == PhaseCertifying {
		share := must(p.Share(s))(t)
		p.ConfirmStored(share)
		p.ConfirmReadBack(share)
	}
	return must(p.Next(s))(t)
}

// wholeLog is what members say in a ceremony without incident, in order.
func wholeLog(t testing.TB, terms *Terms) (log []*Message) {
	s := must(New(terms))(t)
	var members []*Participant
	for j := 1; j <= terms.N(); j++ {
		members = append(members, must(NewParticipant(testSecret(j), terms, testSeed(j)))(t))
	}
	for !s.Done() {
		var block []*Message
		for _, p := range members {
			block = append(block, say(t, p, s))
		}
		for _, m := range block {
			next, _, err := Step(s, Event{1, m})
			if err != nil {
				t.Fatal(err)
			}
			s = next
		}
		log = append(log, block...)
	}
	return log
}

// BenchmarkBlocks plays ceremonies in which every message is in the next block.
func BenchmarkBlocks(b *testing.B) {
	terms := testTerms(4, 3)
	log := wholeLog(b, terms)
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
