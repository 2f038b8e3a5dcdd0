package fairsim

import (
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

func run(t *testing.T, c Config) *Result {
	t.Helper()
	r, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sizes are the committees of the tests; SCRIM_FAIR_LONG=1 asks for more of them, and for more seeds.
func sizes() (members []int, seeds uint64) {
	switch {
	case os.Getenv("SCRIM_FAIR_LONG") != "":
		return []int{4, 5, 7, 10, 13, 20}, 4
	case testing.Short():
		return []int{4, 7}, 1
	}
	return []int{4, 7, 10}, 2
}

// What is promised holds in every scenario, for every size: no guaranteed pair is inverted outside a component, nothing is
// lost, nothing is ordered that nobody sent. For the second rule, pairs whose times do not overlap.
func TestPromisesInEveryScenario(t *testing.T) {
	members, seeds := sizes()
	for _, name := range Scenarios() {
		t.Run(name, func(t *testing.T) {
			pairs := 0
			for _, n := range members {
				for seed := range seeds {
					c := Config{Seed: seed + 1, Members: n, Scenario: name, Transactions: 250}
					if name == "rotating" || n > 10 { // its chain has to be longer than W, and faulty proposers must have turns
						c.Transactions = max(400, 40*n)
					}
					r := run(t, c)
					for rule, f := range map[string]*Figures{"edges": &r.First, "times": &r.Second} {
						if f.Lost != 0 || f.Ghosts != 0 || f.Ordered != r.Sent || r.Sent < 250 {
							t.Errorf("n = %d, seed %d, %s: %d sent, %d ordered, %d lost, %d of nobody", n, seed, rule, r.Sent, f.Ordered, f.Lost, f.Ghosts)
						}
					}
					if r.First.Inverted != 0 || r.Second.ApartInverted != 0 {
						t.Errorf("n = %d, seed %d: %d guaranteed pairs inverted, %d pairs apart", n, seed, r.First.Inverted, r.Second.ApartInverted)
					}
					pairs += min(r.First.Guaranteed, r.Second.Apart)
					expect(t, name, r)
				}
			}
			if pairs == 0 {
				t.Error("no pairs: nothing was checked")
			}
		})
	}
}

// expect checks that a scenario is what its name says: that the attack took place, and what became of it.
func expect(t *testing.T, name string, r *Result) {
	t.Helper()
	f := r.Params.Faulty
	is := func(what string, ok bool) {
		t.Helper()
		if !ok {
			t.Errorf("%s, n = %d, seed %d: not so: %s. %+v", name, r.Config.Members, r.Config.Seed, what, r)
		}
	}
	if !slices.Contains([]string{"forked", "reversed", "partial", "together"}, name) { // who reverses may contradict itself
		is("nobody is proven to have forked", len(r.Forkers) == 0)
	}
	if name != "rotating" && name != "partial" && name != "together" && name != "partition" && name != "condorcet" {
		is("nothing is forced", r.First.ForcedIDs == 0)
	}
	switch name {
	case "calm":
		is("a block is one round", r.Rounds == 0 && r.Dropped == 0 && r.Refused == 0)
		is("two blocks are enough for half", r.First.DelayHeights[0] <= 2)
	case "forked":
		is("all that forked are proven to", len(r.Forkers) == f && r.Forkers[0] == r.Config.Members-f+1)
	case "stalling":
		is("some blocks had no statements", r.Stalled > 0)
	case "censoring":
		is("statements were left out", r.LeftOut > 0)
		is("no frame is forced, since W is above f", r.First.ForcedIDs == 0)
		is("the victim is not later than W more", r.First.DelayHeights[1] <= 3+int(r.Params.Wait))
	case "hostile":
		is("blocks were refused and rounds moved on", r.Refused > 0 && r.Rounds >= r.Refused)
		is("announcements were dropped", r.Dropped > 0)
	case "partition":
		is("rounds moved on from those cut off", r.Rounds > 0 || r.Config.Members > 4)
	case "condorcet":
		if !cyclesArePossible(r) {
			break
		}
		is("there are cycles", r.First.Largest >= 3)
	case "rotating":
		if !cyclesArePossible(r) {
			break
		}
		is("a chain was forced", r.First.ForcedIDs > 0 && r.First.ForcedFrames > 0)
		is("times know no chains", r.Second.ForcedIDs == 0)
	}
}

// cyclesArePossible says whether three groups of the honest members can outvote one another, and are few enough for a sender
// to reach all of each before one of the others relays.
func cyclesArePossible(r *Result) bool {
	honest := r.Config.Members - r.Params.Faulty
	largest := (honest + 2) / 3
	return largest <= r.Params.Rho() && honest-largest >= r.Params.Tau() && r.Config.Members <= 10
}

// Without W in reach the endless chain keeps back what it can; with it, nobody waits longer.
func TestWaitEndsTheChain(t *testing.T) {
	c := Config{Seed: 3, Members: 4, Scenario: "rotating", Transactions: 400}
	with := run(t, c)
	c.Wait = 500
	without := run(t, c)
	if with.First.ForcedIDs == 0 || without.First.ForcedIDs != 0 {
		t.Fatalf("%d ids forced with W, %d without", with.First.ForcedIDs, without.First.ForcedIDs)
	}
	if a, b := with.First.DelayHeights[1], without.First.DelayHeights[1]; a >= b {
		t.Errorf("p99 %d heights with W, %d without", a, b)
	}
	if without.First.Inverted+without.First.ForcedInverted != 0 {
		t.Error("without forced frames nothing is inverted")
	}
}

// One faulty member cannot slow the others down much, whatever it does: what it says is not needed.
func TestFaultyLogsDelayLittle(t *testing.T) {
	calm := run(t, Config{Seed: 2, Members: 7})
	for _, name := range []string{"reversed", "invented", "forked", "partial"} {
		r := run(t, Config{Seed: 2, Members: 7, Scenario: name})
		if r.First.DelayHeights[0] > calm.First.DelayHeights[0]+1 || r.First.DelayHeights[1] > calm.First.DelayHeights[1]+int(r.Params.Wait) {
			t.Errorf("%s: %v heights, calm %v", name, r.First.DelayHeights, calm.First.DelayHeights)
		}
	}
}

// Ids that were ground against a known beacon are not earlier in their blocks than others: they were chosen before the
// beacon that decides is known.
func TestGroundIDsGainNothing(t *testing.T) {
	ground, others := mean{}, mean{}
	for seed := range uint64(6) {
		c, err := Config{Seed: seed, Members: 4, Scenario: "grinding", Transactions: 400}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(c)
		w.load()
		for _, m := range w.members {
			m.speak(0)
		}
		for h := uint64(1); w.now < w.loadEnds() || w.open(); h++ {
			w.block(h)
		}
		if w.failure != nil {
			t.Fatal(w.failure)
		}
		blocks := map[uint64][]int{}
		for _, x := range w.first.order {
			h := w.first.place[x].height
			blocks[h] = append(blocks[h], x)
		}
		for _, xs := range blocks {
			for i, x := range xs {
				if len(xs) > 1 {
					m := &others
					if w.txs[x].client == victim {
						m = &ground
					}
					m.add(1000 * i / (len(xs) - 1))
				}
			}
		}
	}
	if ground.n < 50 || ground.mean() < others.mean()-120 || ground.mean() > others.mean()+120 {
		t.Errorf("%d ground ids are at %d of 1000 in the mean, others at %d", ground.n, ground.mean(), others.mean())
	}
}

type mean struct{ sum, n int }

func (m *mean) add(x int) { m.sum, m.n = m.sum+x, m.n+1 }

func (m *mean) mean() int { return m.sum / max(1, m.n) }

var update = flag.Bool("update", false, "rewrite testdata/page.txt")

// The same seed gives the same page, also in another process and on another machine; another one another.
func TestReproducible(t *testing.T) {
	c := Config{Seed: 5, Members: 4, Transactions: 60}
	a, err := Report(c)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Report(c)
	if err != nil || a != b {
		t.Errorf("two pages of one seed differ, %v", err)
	}
	if *update {
		if err := os.WriteFile("testdata/page.txt", []byte(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if golden, err := os.ReadFile("testdata/page.txt"); err != nil || string(golden) != a {
		t.Errorf("not the page of testdata, %v; if the simulator or a rule was changed: go test ./internal/fairsim -run TestReproducible -update\n%s", err, a)
	}
	c.Seed++
	if b, err = Report(c); err != nil || a == b {
		t.Errorf("two seeds give one page, %v", err)
	}
	for _, name := range Scenarios() {
		if strings.Count(a, "\n"+name) != 3 {
			t.Errorf("%s is not on the page three times", name)
		}
	}
	if lines := strings.Count(a, "\n"); lines > 70 {
		t.Errorf("a page of %d lines", lines)
	}
}

// The measuring instrument itself: an order that is turned round has inverted nearly all pairs.
func TestInversionsAreSeen(t *testing.T) {
	c, err := Config{Seed: 1, Members: 4, Transactions: 100}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(c)
	w.load()
	for _, m := range w.members {
		m.speak(0)
	}
	for h := uint64(1); w.now < w.loadEnds() || w.open(); h++ {
		w.block(h)
	}
	if f := w.figures(&w.first); f.Inverted != 0 || f.Guaranteed == 0 || f.SentInverted != 0 {
		t.Fatalf("%+v", f)
	}
	for _, s := range w.first.place {
		s.number, s.component = -s.number, -s.component
	}
	f := w.figures(&w.first)
	if f.Inverted != f.Guaranteed || f.ApartInverted != f.Apart || f.SentInverted != f.Sent || f.Sent == 0 {
		t.Errorf("%+v", f)
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"three members":   {Members: 3},
		"many members":    {Members: 65},
		"no scenario":     {Members: 4, Scenario: "none"},
		"a negative rate": {Members: 4, Rate: -1},
		"too many":        {Members: 4, Transactions: 20_001},
	} {
		if _, err := Run(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Report(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: Report: %v", name, err)
		}
	}
	if len(scenarios) != len(Scenarios()) {
		t.Errorf("%d scenarios, %d in the list", len(scenarios), len(Scenarios()))
	}
	for name, s := range scenarios {
		if s.about == "" || !slices.Contains(Scenarios(), name) {
			t.Errorf("%q has no description or is not listed", name)
		}
	}
	if percent(1, 3) != "33.3" || percent(2, 3) != "66.7" || percent(0, 0) != "-" {
		t.Error("percent")
	}
}
