package httpapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

var update = flag.Bool("update", false, "rewrite openapi.json and docs/errors.md from what they are made of")

// contract is openapi.yaml, ready to hold answers to it.
type contract struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
}

// loadContract reads it once: tests here do not run in parallel.
func loadContract(t testing.TB) *contract {
	t.Helper()
	if loaded != nil {
		return loaded
	}
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(openapiYAML), &doc); err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	// Once through JSON, so that numbers and maps are what the validator expects.
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	strict, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"paths", "components"} {
		forbidMore(strict.(map[string]any)[path])
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("openapi.json", strict); err != nil {
		t.Fatal(err)
	}
	loaded = &contract{doc: doc, compiler: c}
	return loaded
}

var loaded *contract

// forbidMore makes every object schema refuse members that it does not name.
// The contract leaves answers open for later members; the server of today must
// not send any that are not in it.
func forbidMore(node any) {
	switch node := node.(type) {
	case []any:
		for _, v := range node {
			forbidMore(v)
		}
	case map[string]any:
		forbidMoreInside(node)
		if ref, _ := node["$ref"].(string); strings.HasPrefix(ref, "#/components/schemas/") {
			node["unevaluatedProperties"] = false
		}
	}
}

// forbidMoreInside leaves open what may be a part of a whole: the named schemas,
// which are closed where they are used, and the parts of an allOf.
func forbidMoreInside(node map[string]any) {
	for key, v := range node {
		switch key {
		case "schemas":
			for _, schema := range v.(map[string]any) {
				forbidMoreInside(schema.(map[string]any))
			}
		case "allOf":
			for _, part := range v.([]any) {
				forbidMoreInside(part.(map[string]any))
			}
		default:
			forbidMore(v)
		}
	}
}

// resolve follows a local reference.
func (c *contract) resolve(t testing.TB, node any) (map[string]any, string) {
	t.Helper()
	return c.resolveAt(t, node, "")
}

func (c *contract) resolveAt(t testing.TB, node any, pointer string) (map[string]any, string) {
	m, ok := node.(map[string]any)
	if !ok {
		t.Fatalf("openapi.yaml: %s is not an object", pointer)
	}
	ref, ok := m["$ref"].(string)
	if !ok {
		return m, pointer
	}
	var at any = c.doc
	for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.(map[string]any)[part]
	}
	return c.resolveAt(t, at, strings.TrimPrefix(ref, "#"))
}

// operation gives what the contract says of a method and a route, and where.
func (c *contract) operation(t testing.TB, method, route string) (map[string]any, string) {
	t.Helper()
	if method == http.MethodHead {
		method = http.MethodGet
	}
	item, ok := c.doc["paths"].(map[string]any)[route].(map[string]any)
	if !ok {
		t.Fatalf("%s is not in openapi.yaml", route)
	}
	op, ok := item[strings.ToLower(method)].(map[string]any)
	if !ok {
		t.Fatalf("%s %s is not in openapi.yaml", method, route)
	}
	return op, "/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(route) + "/" + strings.ToLower(method)
}

// valid holds a JSON value to the schema at the pointer.
func (c *contract) valid(t testing.TB, pointer string, body []byte) {
	t.Helper()
	schema, err := c.compiler.Compile("openapi.json#" + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(pointer))
	if err != nil {
		t.Fatalf("schema %s: %v", pointer, err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Errorf("the answer is not JSON: %v\n%s", err, body)
		return
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("the answer breaks the contract: %v\n%s", err, body)
	}
}

// check holds an answer to the contract.
func (c *contract) check(t testing.TB, method, route string, rec *httptest.ResponseRecorder) {
	t.Helper()
	media, _, err := mime.ParseMediaType(rec.Header().Get("Content-Type"))
	if err != nil && rec.Code != http.StatusNotModified {
		t.Errorf("no content type: %v", err)
	}
	if rec.Code >= 400 {
		c.checkProblem(t, media, rec)
	}
	if route == "" || rec.Code == http.StatusMethodNotAllowed {
		return // no operation's answer
	}
	op, pointer := c.operation(t, method, route)
	status := strconv.Itoa(rec.Code)
	declared, ok := op["responses"].(map[string]any)[status]
	if !ok {
		t.Errorf("%s %s answered %s, which is not in openapi.yaml", method, route, status)
		return
	}
	response, pointer := c.resolveAt(t, declared, pointer+"/responses/"+status)
	c.checkHeaders(t, response, rec.Header())
	content, _ := response["content"].(map[string]any)
	if content == nil {
		if rec.Body.Len() > 0 {
			t.Errorf("%s has a body, the contract gives it none", status)
		}
		return
	}
	body, ok := content[media].(map[string]any)
	if !ok {
		t.Errorf("%s %s answered %s, which is not in openapi.yaml", method, route, media)
		return
	}
	if _, ok := body["schema"]; ok && method != http.MethodHead {
		c.valid(t, pointer+"/content/"+strings.ReplaceAll(media, "/", "~1")+"/schema", rec.Body.Bytes())
	}
}

func (c *contract) checkHeaders(t testing.TB, response map[string]any, got http.Header) {
	t.Helper()
	headers, _ := response["headers"].(map[string]any)
	for name, node := range headers {
		header, pointer := c.resolve(t, node)
		value := got.Get(name)
		if value == "" {
			if header["required"] == true {
				t.Errorf("the header %s is missing", name)
			}
			continue
		}
		if pointer != "" {
			c.valid(t, pointer+"/schema", []byte(strconv.Quote(value)))
		}
	}
}

// checkProblem holds an error to RFC 9457 and to the table.
func (c *contract) checkProblem(t testing.TB, media string, rec *httptest.ResponseRecorder) {
	t.Helper()
	if media != "application/problem+json" {
		t.Fatalf("status %d with %s instead of a problem: %s", rec.Code, media, rec.Body)
	}
	if rec.Body.Len() == 0 { // HEAD
		return
	}
	c.valid(t, "/components/schemas/Problem", rec.Body.Bytes())
	var p v1.Problem
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	kind, ok := ProblemTypeOf(p.Code)
	if !ok || kind.Status != rec.Code || p.Status != rec.Code || p.Type != "/problems/"+p.Code || p.Title != kind.Title || p.Detail == "" {
		t.Errorf("problem %+v does not follow the table's %+v", p, kind)
	}
	if p.RequestID != rec.Header().Get("X-Request-Id") {
		t.Errorf("request_id is %q, the header says %q", p.RequestID, rec.Header().Get("X-Request-Id"))
	}
	if (kind.RetryAfter > 0) != (rec.Header().Get("Retry-After") != "") {
		t.Errorf("%s: Retry-After is %q", p.Code, rec.Header().Get("Retry-After"))
	}
}

// Every route is in the contract, and the contract promises none that is not there.
func TestRoutesAreTheContracts(t *testing.T) {
	c := loadContract(t)
	var served, promised []string
	routes := New(newFake(), Options{Gatherer: prometheus.NewRegistry()}).(chi.Routes)
	err := chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if !strings.HasPrefix(route, "/explorer/") { // pages for people
			// A tile's path has slashes, for which the contract has no notation.
			served = append(served, method+" "+strings.Replace(route, "/tile/*", "/tile/{tile}", 1))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for route, item := range c.doc["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			promised = append(promised, strings.ToUpper(method)+" "+route)
		}
	}
	slices.Sort(served)
	slices.Sort(promised)
	if diff := cmp.Diff(promised, served); diff != "" {
		t.Errorf("openapi.yaml and the router differ (-contract +router):\n%s", diff)
	}
}

// Path parameters and query parameters of the contract are the ones that handlers read.
func TestParametersAreTheContracts(t *testing.T) {
	c := loadContract(t)
	h := New(newFake(), Options{Gatherer: prometheus.NewRegistry()})
	values := map[string]string{
		"id": repeat(8, 32).String(), "height": "7", "namespace": "demo", "code": "busy",
		"before": "9", "limit": "2", "after": "3-1", "other": repeat(9, 32).String(), "from": "2", "size": "7", "index": "7", "old": "7", "hash": repeat(8, 32).String(), "tile": "entries/000", "number": "7",
	}
	for route, item := range c.doc["paths"].(map[string]any) {
		op, ok := item.(map[string]any)["get"].(map[string]any)
		if !ok {
			continue
		}
		path, query := route, ""
		params, _ := op["parameters"].([]any)
		for _, node := range params {
			p, _ := c.resolve(t, node)
			name := p["name"].(string)
			value := values[name]
			switch {
			case route == "/v1/ceremonies" && name == "before":
				value = values["id"]
			case route == "/v1/evidence" && name == "after":
				value = "7"
			}
			if p["in"] == "path" {
				path = strings.ReplaceAll(path, "{"+name+"}", value)
			} else {
				query += "&" + name + "=" + value
			}
		}
		if strings.Contains(path, "{") {
			t.Errorf("%s: a path parameter is not in openapi.yaml", route)
		}
		for query, want := range map[string]int{strings.TrimPrefix(query, "&"): 0, "nonsense=1": http.StatusBadRequest} {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path+"?"+query, nil))
			if want == 0 && rec.Code == http.StatusBadRequest {
				t.Errorf("GET %s?%s: %s", path, query, rec.Body)
			}
			if _, strict := op["responses"].(map[string]any)["400"]; want != 0 && strict && rec.Code != want {
				t.Errorf("GET %s?%s: status %d, want %d", path, query, rec.Code, want)
			}
		}
	}
}

// Limits that both the contract and the program state are the same.
func TestNumbersAreTheContracts(t *testing.T) {
	c := loadContract(t)
	limit := c.doc["components"].(map[string]any)["parameters"].(map[string]any)["Limit"].(map[string]any)["schema"].(map[string]any)
	if limit["maximum"] != MaxPage || limit["default"] != DefaultPage {
		t.Errorf("limit is at most %v, by default %v; the program says %d and %d", limit["maximum"], limit["default"], MaxPage, DefaultPage)
	}
	var want []any
	for _, p := range ProblemTypes() {
		want = append(want, p.Code)
	}
	got := c.doc["components"].(map[string]any)["schemas"].(map[string]any)["ProblemCode"].(map[string]any)["enum"]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ProblemCode differs from the table (-table +contract):\n%s", diff)
	}
}

// openapi.json is openapi.yaml; run with -update after a change.
func TestOpenAPIJSON(t *testing.T) {
	b, err := json.MarshalIndent(loadContract(t).doc, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := string(b) + "\n"
	if *update {
		if err := os.WriteFile("openapi.json", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if openapiJSON != want {
		t.Error("openapi.json is not openapi.yaml: run go test ./httpapi -run TestOpenAPIJSON -update")
	}
}

// The validator itself must be able to fail, also on members that are not named.
func TestContractCatches(t *testing.T) {
	c := loadContract(t)
	for name, tt := range map[string]struct{ pointer, body string }{
		"wrong type":                 {"/paths/~1healthz/get/responses/200/content/application~1json/schema", `{"status":"ok","chain_id":"c","node":"a","height":"1","version":"v","time":"2026-01-01T00:00:00.000Z"}`},
		"member missing":             {"/paths/~1healthz/get/responses/200/content/application~1json/schema", `{"status":"ok","chain_id":"c","height":1,"version":"v","time":"2026-01-01T00:00:00.000Z"}`},
		"member not in the contract": {"/paths/~1healthz/get/responses/200/content/application~1json/schema", `{"status":"ok","chain_id":"c","node":"a","height":1,"version":"v","time":"2026-01-01T00:00:00.000Z","x":1}`},
		"nested, not in the contract": {"/paths/~1readyz/get/responses/200/content/application~1json/schema",
			`{"ready":false,"height":1,"epoch":1,"peers":1,"reasons":[{"code":"x","detail":"y","z":1}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			schema, err := c.compiler.Compile("openapi.json#" + tt.pointer)
			if err != nil {
				t.Fatal(err)
			}
			v, err := jsonschema.UnmarshalJSON(strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if schema.Validate(v) == nil {
				t.Error("was let through")
			}
		})
	}
}
