package keygen

import (
	"fmt"
	"testing"
)

// BenchmarkMember is the crypto time of one member in a whole ceremony: it
// says four messages and checks those of all.
func BenchmarkMember(b *testing.B) {
	for _, n := range []int{4, 7, 16, 32} {
		terms := testTerms(n, DefaultThreshold(n))
		st := finished(b, terms)
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			bytes := 0
			for b.Loop() {
				bytes = 0
				s := must(New(terms))(b)
				p := must(NewParticipant(testSecret(1), terms, testSeed(1)))(b)
				for _, k := range []Kind{KindDeal, KindResponse, KindCertification, KindStored} {
					if k == KindCertification || k == KindStored {
						share := must(p.Share(s))(b)
						p.ConfirmStored(share)
						p.ConfirmReadBack(share)
					}
					for j := uint32(1); int(j) <= n; j++ {
						m := st.state.Message(k, j)
						if j == 1 {
							m = must(p.Next(s))(b)
						}
						bytes += len(must(m.MarshalBinary())(b))
						next, _, err := Step(s, Event{1, m})
						if err != nil {
							b.Fatal(err)
						}
						s = next
					}
				}
				if s.Phase() != PhaseActive {
					b.Fatal(s.Phase())
				}
			}
			b.ReportMetric(float64(bytes), "log-bytes")
		})
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
