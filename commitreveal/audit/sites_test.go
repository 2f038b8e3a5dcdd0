package audit

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// said is what the audits of this package's tests have said: findings, and what was missing.
var said struct {
	sync.Mutex
	texts map[string]bool
}

func record(findings []Finding, missing []string) {
	said.Lock()
	defer said.Unlock()
	if said.texts == nil {
		said.texts = map[string]bool{}
	}
	for _, f := range findings {
		said.texts[f.What] = true
	}
	for _, m := range missing {
		said.texts[m] = true
	}
}

// recorded notes what a report of one thing says.
func recorded[R interface{ about() *ProofReport }](r R, err error) (R, error) {
	if err == nil {
		record(r.about().Findings, r.about().Missing)
	}
	return r, err
}

func (r *ProofReport) about() *ProofReport { return r }

// TestMain ends with the list of the auditor's checks that no test of the package has made fail: for each place in the
// package at which something is found, or is missing, some bundle or proof must have been planted that gets there. It is
// looked at when all tests have run.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && all() {
		sites, err := checkSites()
		if err != nil || len(sites) < 60 {
			fmt.Println("the auditor's checks cannot be listed:", len(sites), err)
			code = 1
		}
		for _, s := range sites {
			if !s.planted() {
				fmt.Printf("%s: no test plants what is found here: %q\n", s.at, s.format)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// all reports whether the whole package is tested.
func all() bool {
	for _, name := range []string{"test.run", "test.skip", "test.fuzz", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return true
}

// site is a place at which the auditor says something.
type site struct {
	at, format string
}

// unreachable are the texts of checks that no small bundle gets to, and of one that could be anything.
var unreachable = []string{
	"batch of height %d: more than %d bytes",                 // 512 MiB
	"more than %d batches wait for their reveal",             // 65,536
	"more than %d expired entries wait for a batch",          // 65,536
	"more than %d misbehaviour entries",                      // 65,536
	"batch of height %d: ciphertext %d cannot be opened: %v", // threshold.Open knows void, and nothing else
	"%v",
}

func (s site) planted() bool {
	if slices.Contains(unreachable, s.format) {
		return true
	}
	pattern := regexp.MustCompile(`%[+#]?[a-z]`).ReplaceAllString(regexp.QuoteMeta(s.format), `.*`)
	like := regexp.MustCompile(`(?s)` + pattern)
	for text := range said.texts {
		if like.MatchString(text) {
			return true
		}
	}
	return false
}

// checkSites finds all places.
func checkSites() (sites []site, err error) {
	speaks := []string{"found", "altered", "wrong", "missing", "stop", "unruly", "blame"}
	files := token.NewFileSet()
	packages, err := parser.ParseDir(files, ".", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0) //nolint:staticcheck // one package, no build tags
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		ast.Inspect(p, func(n ast.Node) bool {
			var text ast.Node
			switch n := n.(type) {
			case *ast.CallExpr:
				name := ""
				switch f := n.Fun.(type) {
				case *ast.SelectorExpr:
					name = f.Sel.Name
				case *ast.Ident:
					name = f.Name
				}
				if !slices.Contains(speaks, name) {
					return true
				}
				text = n
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); !ok || k.Name != "What" {
					return true
				}
				text = n.Value
			default:
				return true
			}
			if format, ok := firstText(text); ok {
				sites = append(sites, site{files.Position(n.Pos()).String(), format})
			}
			return true
		})
	}
	return sites, nil
}

// firstText is the first string in a piece of syntax.
func firstText(n ast.Node) (text string, ok bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, is := n.(*ast.BasicLit); is && lit.Kind == token.STRING && !ok {
			text, _ = strconv.Unquote(lit.Value)
			ok = true
		}
		return !ok
	})
	return text, ok
}
