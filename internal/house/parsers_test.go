package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every function of commitreveal and the packages below it that reads bytes or text of somebody else is reached from a fuzz target of its own
// package: those whose name says that they parse or unmarshal, and these.
var otherParsers = map[string][]string{
	"commitreveal/audit":  {"twoNotes"},
	"commitreveal/mirror": {"parseState", "copyBatch", "readRounds", "parseEvidenceList", "OpenLines"},
	"commitreveal/note":   {"Certified"},
}

func TestEveryParserIsFuzzed(t *testing.T) {
	for _, dir := range []string{"commitreveal", "commitreveal/tiles", "commitreveal/note", "commitreveal/audit", "commitreveal/mirror"} {
		parsers := append(slices.Clone(otherParsers[dir]), parsersIn(t, dir)...)
		if len(parsers) < 2 {
			t.Errorf("%s: only %v", dir, parsers)
		}
		reached := fuzzed(t, dir)
		for _, p := range parsers {
			if !reached[p] {
				t.Errorf("%s: no fuzz target reaches %s", dir, p)
			}
		}
	}
}

func filesOf(t *testing.T, dir string, tests bool) (files []*ast.File) {
	t.Helper()
	packages, err := parser.ParseDir(token.NewFileSet(), filepath.Join("..", "..", dir), func(f fs.FileInfo) bool { //nolint:staticcheck // no build tags here
		return strings.HasSuffix(f.Name(), "_test.go") == tests
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		for _, f := range p.Files {
			files = append(files, f)
		}
	}
	return files
}

// parsersIn are the exported functions that parse, and the types that unmarshal themselves.
func parsersIn(t *testing.T, dir string) (names []string) {
	for _, f := range filesOf(t, dir, false) {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() {
				continue
			}
			if fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Parse") {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

// fuzzed are all names that the fuzz targets of a package mention, or what they mention of the package's tests does.
func fuzzed(t *testing.T, dir string) map[string]bool {
	mentions := map[string][]string{} // of a function or variable of the tests
	var queue []string
	note := func(name string, n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				mentions[name] = append(mentions[name], id.Name)
			}
			return true
		})
	}
	for _, f := range filesOf(t, dir, true) {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				note(d.Name.Name, d)
				if strings.HasPrefix(d.Name.Name, "Fuzz") {
					queue = append(queue, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok {
						note(v.Names[0].Name, v)
					}
				}
			}
		}
	}
	reached := map[string]bool{}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if reached[name] {
			continue
		}
		reached[name] = true
		queue = append(queue, mentions[name]...)
	}
	return reached
}
