package house

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	domain    = regexp.MustCompile(`^scrim/[a-z0-9/-]+/v[0-9]+`)
	domainRow = regexp.MustCompile("^\\| `(scrim/[^`]+)` \\| `([^`]+)` \\| ([^|]+) \\|")
)

// Every domain string stands in the code once, as a constant, so that two uses
// of one string are two uses of one name; none is the prefix of another, so that
// no message under one can be read as a message under another.
func TestDomainStrings(t *testing.T) {
	type place struct{ room, at string }
	found := map[string]place{}
	// A second implementation for tests repeats the strings on purpose.
	product := func(room string) bool { return room != "internal/house" && !strings.HasSuffix(room, "test") }
	for _, f := range sources(t, product) {
		constants := map[ast.Node]bool{}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if decl, ok := n.(*ast.GenDecl); ok && decl.Tok == token.CONST {
				for _, spec := range decl.Specs {
					for _, value := range spec.(*ast.ValueSpec).Values {
						constants[value] = true
					}
				}
			}
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			value, err := strconv.Unquote(lit.Value)
			value = strings.TrimSuffix(value, "\n") // of a text file's first line
			if err != nil || !domain.MatchString(value) {
				return true
			}
			if !constants[lit] {
				t.Errorf("%s: the domain string %q is not declared as a constant", f.at(n), value)
			}
			if before, twice := found[value]; twice {
				t.Errorf("%s: the domain string %q is also at %s", f.at(n), value, before.at)
			}
			found[value] = place{f.room, f.at(n)}
			return true
		})
	}
	if len(found) == 0 {
		t.Fatal("no domain strings found")
	}
	for a := range found {
		for b := range found {
			if a != b && strings.HasPrefix(b, a) {
				t.Errorf("%q is a prefix of %q", a, b)
			}
		}
	}

	listed := domainTable(t)
	for value, p := range found {
		switch room, ok := listed[value]; {
		case !ok:
			t.Errorf("%s: docs/spec/domains.md does not list %q", p.at, value)
		case room != p.room:
			t.Errorf("docs/spec/domains.md puts %q in %s, the code in %s", value, room, p.room)
		}
	}
	for value := range listed {
		if _, ok := found[value]; !ok {
			t.Errorf("docs/spec/domains.md lists %q, which is not in the code", value)
		}
	}
}

// domainTable reads the rows "| `domain` | `package` | use |".
func domainTable(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(moduleRoot(t), "docs", "spec", "domains.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	var order []string
	for line := range strings.Lines(string(b)) {
		m := domainRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if listed[m[1]] != "" {
			t.Errorf("docs/spec/domains.md lists %q twice", m[1])
		}
		listed[m[1]] = m[2]
		order = append(order, m[1])
	}
	if !slices.IsSorted(order) {
		t.Error("the rows of docs/spec/domains.md are not sorted")
	}
	return listed
}
