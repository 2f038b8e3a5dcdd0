package httpapi

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

const errorsFile = "../docs/errors.md"

// errorsMarkdown is docs/errors.md.
func errorsMarkdown() string {
	var b strings.Builder
	b.WriteString(`# Errors of the REST API

Every error is a problem of RFC 9457 (` + "`application/problem+json`" + `). Branch on ` + "`code`" + `, which is stable; ` + "`detail`" + ` is for
people and may change. ` + "`request_id`" + ` finds the request in the node's log. A node explains each code at ` + "`/problems/<code>`" + `.
Codes with a Retry-After header may succeed later without any change; a submission may always be repeated, it gets the same answer.

This file is made from the table in ` + "`httpapi/problem.go`" + `: ` + "`go test ./httpapi -run TestErrorsMarkdown -update`" + `.

| Code | HTTP status | Title |
|---|---|---|
`)
	for _, p := range ProblemTypes() {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %d | %s |\n", p.Code, p.Code, p.Status, p.Title)
	}
	for _, p := range ProblemTypes() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\nWhat to do: %s\n", p.Code, p.Meaning, p.Mend)
		if p.Members != "" {
			fmt.Fprintf(&b, "\nFurther members: %s.\n", p.Members)
		}
		if p.RetryAfter > 0 {
			fmt.Fprintf(&b, "\nComes with Retry-After.\n")
		}
	}
	return b.String()
}

func TestErrorsMarkdown(t *testing.T) {
	want := errorsMarkdown()
	if *update {
		if err := os.WriteFile(errorsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(errorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not the table: run go test ./httpapi -run TestErrorsMarkdown -update", errorsFile)
	}
}

// The table has every code of v1 once, with all that a caller needs.
func TestTable(t *testing.T) {
	source, err := os.ReadFile("v1/problem.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^\tCode\w+ += "([a-z_]+)"$`).FindAllStringSubmatch(string(source), -1)
	if len(declared) == 0 || len(declared) != len(ProblemTypes()) {
		t.Errorf("v1 declares %d codes, the table has %d rows", len(declared), len(ProblemTypes()))
	}
	for _, m := range declared {
		if _, ok := ProblemTypeOf(m[1]); !ok {
			t.Errorf("%s is not in the table", m[1])
		}
	}
	seen := make(map[string]bool)
	for _, p := range ProblemTypes() {
		if seen[p.Code] {
			t.Errorf("%s is in the table twice", p.Code)
		}
		seen[p.Code] = true
		if p.Status < 400 || p.Title == "" || p.Meaning == "" || p.Mend == "" {
			t.Errorf("%s: something is missing: %+v", p.Code, p)
		}
		if temporary := p.Status == 429 || p.Status == 503; temporary != (p.RetryAfter > 0) {
			t.Errorf("%s: status %d and Retry-After %v do not go together", p.Code, p.Status, p.RetryAfter)
		}
	}
	if _, ok := ProblemTypeOf(v1.CodeInternal); !ok {
		t.Error("no row for internal errors")
	}
}
