package fairsim

import (
	"fmt"
	"strings"
)

// Report runs all scenarios with one seed and puts what came out on a page. Config.Scenario, if it is set, is the only one.
func Report(c Config) (string, error) {
	names := Scenarios()
	if c.Scenario != "" {
		names = []string{c.Scenario}
	}
	var results []*Result
	for _, name := range names {
		c.Scenario = name
		r, err := Run(c)
		if err != nil {
			return "", err
		}
		results = append(results, r)
	}
	return page(results), nil
}

func page(results []*Result) string {
	var b strings.Builder
	c, p := results[0].Config, results[0].Params
	fmt.Fprintf(&b, "Fair order, simulated: n = %d, f = %d, s = %d, h* = %d, W = %d; seed %d\n", p.Members, p.Faulty, p.Solid, p.Agreement, p.Wait, c.Seed)
	fmt.Fprintf(&b, "%d transactions at %d a second and those of attackers; members 5 to 40 ms apart, clients 5 to 60 ms, clocks 20 ms off\n", c.Transactions, c.Rate)
	fmt.Fprintf(&b, "\n%-11s %-49s %5s %6s %6s %7s %7s %7s %8s %s\n", "scenario", "", "sent", "blocks", "rounds", "dropped", "refused", "stalled", "left out", "forks by")
	for _, r := range results {
		fmt.Fprintf(&b, "%-11s %-49s %5d %6d %6d %7d %7d %7d %8d %s\n", r.Config.Scenario, scenarios[r.Config.Scenario].about,
			r.Sent, r.Heights, r.Rounds, r.Dropped, r.Refused, r.Stalled, r.LeftOut, members(r.Forkers))
	}
	table(&b, "Rule 1, strong edges", results, func(r *Result) *Figures { return &r.First })
	table(&b, "Rule 2, times", results, func(r *Result) *Figures { return &r.Second })
	b.WriteString("\nrounds: more than one a block. dropped: announcements not their sender's. refused: blocks. stalled: blocks without statements. left out: statements, by censors.\n" +
		"alike: pairs that h* honest members received in one order. apart: pairs whose honest times do not overlap. split: pairs on which more\n" +
		"than half, but fewer than h*, agree. sent: 50 ms apart or more. inv: ordered the other way, and not in one component; +: in forced frames.\n" +
		"ms and heights: from the first honest receipt to the block that orders, p50/p99. cycles: components of several ids (rule 2: of one\n" +
		"millisecond), and the largest. forced: ids in forced frames. bytes: of a block's statements, mean.\n")
	return b.String()
}

func members(xs []int) string {
	if len(xs) == 0 {
		return "-"
	}
	return strings.Trim(fmt.Sprint(xs), "[]")
}

func table(b *strings.Builder, title string, results []*Result, of func(*Result) *Figures) {
	fmt.Fprintf(b, "\n%s\n%-11s %8s %9s %7s %9s %6s %6s %11s %9s %12s %7s %7s %5s %6s\n", title, "scenario", "alike", "inv", "apart", "inv", "split%", "sent%",
		"ms", "heights", "victim ms", "cycles", "largest", "forced", "bytes")
	for _, r := range results {
		f := of(r)
		fmt.Fprintf(b, "%-11s %8d %9s %7d %9s %6s %6s %11s %9s %12s %7d %7d %5d %6d", r.Config.Scenario, f.Guaranteed, plus(f.Inverted, f.ForcedInverted),
			f.Apart, plus(f.ApartInverted, f.ApartForced), percent(f.SplitInverted, f.Split), percent(f.SentInverted, f.Sent),
			slash(f.DelayMS), slash(f.DelayHeights), slash(f.VictimMS), f.Cycles, f.Largest, f.ForcedIDs, f.SectionBytes)
		if f.Lost+f.Ghosts > 0 {
			fmt.Fprintf(b, "  LOST %d, GHOSTS %d", f.Lost, f.Ghosts)
		}
		b.WriteByte('\n')
	}
}

func plus(a, b int) string {
	if b == 0 {
		return fmt.Sprint(a)
	}
	return fmt.Sprintf("%d +%d", a, b)
}

func slash(p [2]int) string { return fmt.Sprintf("%d/%d", p[0], p[1]) }

// percent is in tenths, without floats.
func percent(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	tenths := (1000*part + whole/2) / whole
	return fmt.Sprintf("%d.%d", tenths/10, tenths%10)
}
