package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sourceFile is one parsed file of product code.
type sourceFile struct {
	room, name string // name is relative to the module
	syntax     *ast.File
	at         func(ast.Node) string
}

// sources parses the product code of the rooms that keep accepts.
func sources(t *testing.T, keep func(room string) bool) []sourceFile {
	t.Helper()
	var files []sourceFile
	set := token.NewFileSet()
	for _, p := range packages(t) {
		if !keep(p.room()) {
			continue
		}
		for _, name := range p.GoFiles {
			syntax, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			rel := p.room() + "/" + name
			files = append(files, sourceFile{p.room(), rel, syntax, func(n ast.Node) string {
				return rel + ":" + strconv.Itoa(set.Position(n.Pos()).Line)
			}})
		}
	}
	if len(files) == 0 {
		t.Fatal("no source files: the test would prove nothing")
	}
	return files
}

// impure are the imports by which chance or the outside comes in.
var impure = []string{"os", "net", "log", "io/ioutil", "math/rand", "math/rand/v2", "crypto/rand",
	"database/sql", "syscall", "runtime", "context", "testing"}

// Of these two packages a part is pure: slog's values, with which secrets redact themselves, and everything of time but
// the clock.
var (
	slogValues = []string{"Value", "StringValue", "LogValuer"}
	clock      = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTicker", "NewTimer"}
)

func TestPurePackagesArePure(t *testing.T) {
	for _, f := range sources(t, func(room string) bool { return slices.Contains(pure, parentRoom(room)) }) {
		for _, complaint := range impurities(f) {
			t.Error(complaint)
		}
	}
}

func impurities(f sourceFile) (found []string) {
	add := func(n ast.Node, what string) { found = append(found, f.at(n)+": "+what) }
	for _, spec := range f.syntax.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		first, _, _ := strings.Cut(path, "/")
		if slices.Contains(impure, path) || first == "net" || first == "os" {
			add(spec, "imports "+path)
		}
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			add(n, "starts a goroutine")
		case *ast.SelectStmt:
			add(n, "waits in a select")
		case *ast.Ident:
			if n.Name == "float64" || n.Name == "float32" {
				add(n, "uses "+n.Name)
			}
		case *ast.BasicLit:
			if n.Kind == token.FLOAT {
				add(n, "uses the float "+n.Value)
			}
		case *ast.SelectorExpr:
			x, _ := n.X.(*ast.Ident)
			switch {
			case x == nil:
			case x.Name == "slog" && !slices.Contains(slogValues, n.Sel.Name):
				add(n, "logs with slog."+n.Sel.Name)
			case x.Name == "time" && slices.Contains(clock, n.Sel.Name):
				add(n, "asks the clock with time."+n.Sel.Name)
			}
		}
		return true
	})
	return found
}

// The rule must bite: each of these lines is one impurity.
func TestImpuritiesAreFound(t *testing.T) {
	const code = `package p
import "time"
import "net/http"
import "log/slog"
func f(c chan int) {
	go f(c)
	select { case <-c: default: }
	slog.Info("x")
	_ = float64(1)
	_ = 0.5
	_ = slog.StringValue("redacted")
	_ = time.UnixMilli(0)
	_ = time.Now()
}`
	set := token.NewFileSet()
	syntax, err := parser.ParseFile(set, "p.go", code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	f := sourceFile{"p", "p.go", syntax, func(n ast.Node) string { return strconv.Itoa(set.Position(n.Pos()).Line) }}
	var lines []string
	for _, complaint := range impurities(f) {
		line, _, _ := strings.Cut(complaint, ":")
		lines = append(lines, line)
	}
	slices.Sort(lines)
	if want := []string{"10", "13", "3", "6", "7", "8", "9"}; !slices.Equal(lines, want) {
		t.Errorf("impurities in lines %v, want %v", lines, want)
	}
}

// exposing are the only ways by which bytes leave a secret type, and the rooms that may call them.
var exposing = map[string][]string{
	"ExposeSecretBytes": {"threshold", "keygen", "keygen/sharefile"},
	"ExposeSeed":        {"keygen", "keygen/sharefile"},
}

func TestSecretsAreExposedOnlyWhereTheyMay(t *testing.T) {
	seen := map[string]int{}
	for _, f := range sources(t, func(string) bool { return true }) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || exposing[sel.Sel.Name] == nil {
				return true
			}
			seen[sel.Sel.Name]++
			if !slices.Contains(exposing[sel.Sel.Name], f.room) {
				t.Errorf("%s calls %s", f.at(n), sel.Sel.Name)
			}
			return true
		})
	}
	for name := range exposing {
		if seen[name] == 0 {
			t.Errorf("nobody calls %s: has it another name now? Then this test looks for the wrong one", name)
		}
	}
}
