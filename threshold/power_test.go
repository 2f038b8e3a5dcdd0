package threshold

import (
	"fmt"
	"slices"
	"testing"
)

// The coefficients depend on everything that is checked: whoever could choose a point after them would make errors that
// cancel out.
func TestCoefficientsDependOnEverything(t *testing.T) {
	r := testRand(t)
	bases := []g1{randomPoint(r), randomPoint(r), randomPoint(r)}
	first, second := []g1{randomPoint(r), randomPoint(r), randomPoint(r)}, []g1{randomPoint(r), randomPoint(r), randomPoint(r)}
	draw := func(domain string, bases []g1, q1, q2 string, first, second []g1) string {
		c := newPowerCheck(domain, bases)
		c.add([]byte(q1), first)
		c.add([]byte(q2), second)
		c.draw()
		return fmt.Sprint(c.coefficients)
	}
	seen := map[string]string{}
	note := func(what, coefficients string) {
		if before, ok := seen[coefficients]; ok {
			t.Errorf("%s: the same coefficients as with %s", what, before)
		}
		seen[coefficients] = what
	}
	note("nothing changed", draw("d", bases, "q", "r", first, second))
	note("other domain", draw("e", bases, "q", "r", first, second))
	note("other first key", draw("d", bases, "p", "r", first, second))
	note("other second key", draw("d", bases, "q", "p", first, second))
	for i := range bases {
		change := func(p []g1) []g1 { p = slices.Clone(p); p[i].Neg(&p[i]); return p }
		note(fmt.Sprint("base ", i), draw("d", change(bases), "q", "r", first, second))
		note(fmt.Sprint("first point ", i), draw("d", bases, "q", "r", change(first), second))
		note(fmt.Sprint("second point ", i), draw("d", bases, "q", "r", first, change(second)))
	}
	c := coefficients([32]byte{}, 300)
	for i := range c {
		for j := range i {
			if c[i] == c[j] {
				t.Fatalf("coefficients %d and %d are equal", i, j)
			}
		}
	}
}
