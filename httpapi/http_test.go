package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// door is the API with a fake behind it; every answer is held to the contract.
type door struct {
	*fake
	contract *contract
	handler  http.Handler
	log      *bytes.Buffer
}

func newDoor(t *testing.T, opts Options) *door {
	d := &door{fake: newFake(), contract: loadContract(t), log: new(bytes.Buffer)}
	opts.Log = slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d.handler = New(d.fake, opts)
	return d
}

// do sends a request whose route is the contract's, "" if it has none.
func (d *door) do(t *testing.T, route string, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	d.handler.ServeHTTP(rec, r)
	d.contract.check(t, r.Method, route, rec)
	return rec
}

func (d *door) get(t *testing.T, route, target string) *httptest.ResponseRecorder {
	t.Helper()
	return d.do(t, route, httptest.NewRequest(http.MethodGet, target, nil))
}

func (d *door) post(t *testing.T, body string) *httptest.ResponseRecorder {
	t.Helper()
	return d.do(t, "/v1/transactions", postRequest(body))
}

func postRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/transactions", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func submission(ciphertext string) string {
	return fmt.Sprintf(`{"namespace":"demo","ciphertext":"%s"}`, v1.Hex(ciphertext))
}

func code(t *testing.T, rec *httptest.ResponseRecorder) string {
	t.Helper()
	var p v1.Problem
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
		t.Fatalf("not a problem: %s", rec.Body)
	}
	return p.Code
}

func TestAnswers(t *testing.T) {
	reg := prometheus.NewRegistry()
	d := newDoor(t, Options{Registerer: reg, Gatherer: reg, RatePerMinute: 1000})
	id := idOf([]byte("one"))
	d.post(t, submission("one"))
	d.post(t, submission("two"))
	d.reveal(id, 7, 0, []byte("plain"))
	two := idOf([]byte("two"))
	d.reveal(two, 7, 1, nil) // an empty plaintext is a plaintext

	for _, tt := range []struct {
		route, target string
		status        int
		contains      string
	}{
		{"/v1/limits", "/v1/limits", 200, `"rate_per_minute":1000,"max_page_size":200`},
		{"/v1/encryption-key", "/v1/encryption-key", 200, `"suite":"scrim/tdh2-bls12381g1/v1"`},
		{"/v1/committee", "/v1/committee", 200, `"certified":true`},
		{"/v1/committees", "/v1/committees", 200, `"change":"reshare"`},
		{"/v1/committees", "/v1/committees?from=2&limit=1", 200, `"next":3`},
		{"/v1/committees", "/v1/committees?from=3", 200, `"until":null`},
		{"/v1/committees", "/v1/committees?from=0", 200, `"change":"first"`},
		{"/v1/committees", "/v1/committees?from=4", 200, `"committees":[],"next":null`},
		{"/v1/committees", "/v1/committees?from=01", 400, `invalid_epoch`},
		{"/v1/committees", "/v1/committees?from=9007199254740992", 400, `invalid_epoch`},
		{"/v1/committees", "/v1/committees?limit=201", 400, `invalid_limit`},
		{"/v1/committees", "/v1/committees?epoch=1", 400, `unknown_parameter`},
		{"/v1/ceremonies", "/v1/ceremonies", 200, `"outcome":"running"`},
		{"/v1/ceremonies", "/v1/ceremonies", 200, `"change":"rotate","previous_epoch":1,"overlap":20`},
		{"/v1/ceremonies", "/v1/ceremonies", 200, `"next":null`},
		{"/v1/ceremonies", "/v1/ceremonies?limit=2", 200, `"next":"` + repeat(8, 32).String() + `"`},
		{"/v1/ceremonies", "/v1/ceremonies?before=" + repeat(8, 32).String(), 200, `"outcome":"failed"`},
		{"/v1/ceremonies", "/v1/ceremonies?before=" + repeat(7, 32).String(), 200, `{"ceremonies":[],"next":null}`},
		{"/v1/ceremonies", "/v1/ceremonies?before=" + repeat(1, 32).String(), 404, `not_found`},
		{"/v1/ceremonies", "/v1/ceremonies?before=9", 400, `invalid_id`},
		{"/v1/ceremonies", "/v1/ceremonies?limit=201", 400, `invalid_limit`},
		{"/v1/ceremonies", "/v1/ceremonies?after=1", 400, `unknown_parameter`},
		{"/v1/ceremonies/{id}", "/v1/ceremonies/" + repeat(9, 32).String(), 200, `"index":5,"role":"previous"`},
		{"/v1/ceremonies/{id}/transcript", "/v1/ceremonies/" + repeat(9, 32).String() + "/transcript", 200, "\x01\x02\x03"},
		{"/v1/ceremonies/{id}/transcript", "/v1/ceremonies/" + repeat(8, 32).String() + "/transcript", 404, `no transcript`},
		{"/v1/ceremonies/{id}/transcript", "/v1/ceremonies/9/transcript", 400, `invalid_id`},
		{"/v1/ceremonies/{id}/transcript", "/v1/ceremonies/" + repeat(9, 32).String() + "/transcript?x=1", 400, `unknown_parameter`},
		{"/v1/ceremonies/{id}", "/v1/ceremonies/" + repeat(9, 32).String(), 200, `"waiting":[2,4]`},
		{"/v1/ceremonies/{id}", "/v1/ceremonies/" + repeat(7, 32).String(), 200, `carol sent nothing`},
		{"/v1/ceremonies/{id}", "/v1/ceremonies/" + repeat(1, 32).String(), 404, `not_found`},
		{"/v1/ceremonies/{id}", "/v1/ceremonies/9", 400, `invalid_id`},
		{"/v1/transactions/{id}", "/v1/transactions/" + v1.Hex(id[:]).String(), 200, `"plaintext":"0x706c61696e"`},
		{"/v1/transactions/{id}", "/v1/transactions/" + v1.Hex(two[:]).String(), 200, `"plaintext":"0x"`},
		{"/v1/transactions/{id}", "/v1/transactions/" + repeat(1, 32).String(), 404, `not_found`},
		{"/v1/transactions/{id}", "/v1/transactions/" + strings.ToUpper(repeat(0xab, 32).String()), 400, `invalid_id`},
		{"/v1/transactions/{id}", "/v1/transactions/" + repeat(1, 31).String(), 400, `invalid_id`},
		{"/v1/transactions/{id}", "/v1/transactions/0x%300" + repeat(1, 31).String()[2:], 400, `invalid_id`},
		{"/v1/transactions/{id}", "/v1/transactions/" + v1.Hex(id[:]).String() + "?verbose=1", 400, `unknown_parameter`},
		{"/v1/transactions/{id}/order", "/v1/transactions/" + v1.Hex(id[:]).String() + "/order", 200, `"state":"ordered"`},
		{"/v1/transactions/{id}/order", "/v1/transactions/" + v1.Hex(id[:]).String() + "/order?other=" + v1.Hex(two[:]).String(), 200, `"reason":"beacon"`},
		{"/v1/transactions/{id}/order", "/v1/transactions/" + v1.Hex(id[:]).String() + "/order?other=0x12", 400, `invalid_id`},
		{"/v1/transactions/{id}/order", "/v1/transactions/" + repeat(1, 32).String() + "/order", 404, `not_found`},
		{"/v1/batches", "/v1/batches", 200, `"batches":[{"height":40`},
		{"/v1/batches", "/v1/batches?before=3&limit=1", 200, `"next":2`},
		{"/v1/batches", "/v1/batches?before=1", 200, `{"batches":[],"next":null}`},
		{"/v1/batches", "/v1/batches?before=0", 400, `invalid_height`},
		{"/v1/batches", "/v1/batches?before=1&before=2", 400, `unknown_parameter`},
		{"/v1/batches", "/v1/batches?before=%zz", 400, `unknown_parameter`},
		{"/v1/batches", "/v1/batches?limit=0", 400, `invalid_limit`},
		{"/v1/batches", "/v1/batches?limit=201", 400, `"max":200`},
		{"/v1/batches", "/v1/batches?limit=", 400, `invalid_limit`},
		{"/v1/batches/{height}", "/v1/batches/39", 200, `"phase":"revealed"`},
		{"/v1/batches/{height}", "/v1/batches/40", 200, `"certificate":null`},
		{"/v1/batches/{height}", "/v1/batches/41", 404, `not_found`},
		{"/v1/batches/{height}", "/v1/batches/040", 400, `invalid_height`},
		{"/v1/batches/{height}", "/v1/batches/9007199254740992", 400, `invalid_height`},
		{"/v1/namespaces/{namespace}/transactions", "/v1/namespaces/demo/transactions?limit=1", 200, `"next":"7-0","more":true`},
		{"/v1/namespaces/{namespace}/transactions", "/v1/namespaces/demo/transactions?after=7-0", 200, `"next":"7-1","more":false`},
		{"/v1/namespaces/{namespace}/transactions", "/v1/namespaces/demo/transactions?after=7-1", 200, `"transactions":[],"next":"7-1"`},
		{"/v1/namespaces/{namespace}/transactions", "/v1/namespaces/demo/transactions?after=7", 400, `invalid_cursor`},
		{"/v1/namespaces/{namespace}/transactions", "/v1/namespaces/demo/transactions?after=", 400, `invalid_cursor`},
		{"/v1/namespaces/{namespace}/transactions", "/v1/namespaces/-/transactions", 422, `invalid_namespace`},
		{"/v1/export", "/v1/export", 200, `scrim-audit-bundle/v1`},
		{"/v1/export", "/v1/export?x=1", 400, `unknown_parameter`},
		{"/v1/openapi.yaml", "/v1/openapi.yaml", 200, "openapi: 3.1.0"},
		{"/v1/openapi.json", "/v1/openapi.json", 200, `"openapi": "3.1.0"`},
		{"/problems", "/problems", 200, "mempool_full"},
		{"/problems/{code}", "/problems/mempool_full", 200, "What to do: "},
		{"/problems/{code}", "/problems/nonsense", 404, "not_found"},
		{"/healthz", "/healthz", 200, `"time":"2023-11-14T22:13:20.123Z"`},
		{"/readyz", "/readyz", 200, `"ready":true`},
		{"/metrics", "/metrics", 200, `scrim_http_requests_total{method="GET",route="/v1/batches/{height}",status="200"} 2`},
		{"", "/", 404, "not_found"},
		{"", "/v1/limits/", 404, "not_found"},
		{"", "/v1/transactions/a/b", 404, "not_found"},
		{"", "/v2/%2e%2e", 404, "not_found"},
		{"", "/v1/transactions", 405, "method_not_allowed"},
	} {
		t.Run(tt.target, func(t *testing.T) {
			rec := d.get(t, tt.route, tt.target)
			if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.contains) {
				t.Errorf("status %d, want %d with %s in\n%s", rec.Code, tt.status, tt.contains, rec.Body)
			}
			head := d.do(t, tt.route, httptest.NewRequest(http.MethodHead, tt.target, nil))
			if head.Code != rec.Code || head.Header().Get("Content-Type") != rec.Header().Get("Content-Type") {
				t.Errorf("HEAD: status %d, type %q; GET: %d, %q", head.Code, head.Header().Get("Content-Type"), rec.Code, rec.Header().Get("Content-Type"))
			}
		})
	}
}

func TestMetricsAreOptional(t *testing.T) {
	d := newDoor(t, Options{})
	if rec := d.get(t, "", "/metrics"); rec.Code != http.StatusNotFound {
		t.Errorf("status %d", rec.Code)
	}
}

func TestSubmit(t *testing.T) {
	d := newDoor(t, Options{})
	first := d.post(t, submission("sealed"))
	id := idOf([]byte("sealed"))
	if first.Code != http.StatusAccepted {
		t.Fatalf("status %d: %s", first.Code, first.Body)
	}
	if got, want := first.Header().Get("Location"), "/v1/transactions/"+v1.Hex(id[:]).String(); got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
	if rec := d.get(t, "/v1/transactions/{id}", first.Header().Get("Location")); rec.Code != http.StatusOK {
		t.Errorf("at Location: status %d", rec.Code)
	}
	// The same again, also when it is open already, is the same answer.
	for range 2 {
		if again := d.post(t, submission("sealed")); again.Code != first.Code || !bytes.Equal(again.Body.Bytes(), first.Body.Bytes()) {
			t.Errorf("repeated: status %d, %s\nfirst: %s", again.Code, again.Body, first.Body)
		}
		d.reveal(id, 9, 0, []byte("plain"))
	}
}

func TestSubmitRefusals(t *testing.T) {
	d := newDoor(t, Options{MaxBody: 400})
	good := submission("ok")
	for _, tt := range []struct {
		name, body, contentType string
		want, contains          string
	}{
		{name: "empty", body: "", want: "malformed_json"},
		{name: "not json", body: "{", want: "malformed_json"},
		{name: "array", body: "[]", want: "malformed_json", contains: "not a JSON object"},
		{name: "null", body: "null", want: "malformed_json"},
		{name: "empty object", body: "{}", want: "malformed_json", contains: `member \"namespace\" is missing`},
		{name: "ciphertext missing", body: `{"namespace":"demo"}`, want: "malformed_json", contains: `member \"ciphertext\" is missing`},
		{name: "unknown member", body: `{"namespace":"demo","ciphertext":"0x00","gas":1}`, want: "malformed_json", contains: `no member \"gas\"`},
		{name: "other case", body: `{"Namespace":"demo","ciphertext":"0x00"}`, want: "malformed_json", contains: `no member \"Namespace\"`},
		{name: "repeated member", body: `{"namespace":"a","namespace":"a","ciphertext":"0x00"}`, want: "malformed_json", contains: "twice"},
		{name: "null member", body: `{"namespace":null,"ciphertext":"0x00"}`, want: "malformed_json", contains: "not a string"},
		{name: "object member", body: `{"namespace":{"a":1},"ciphertext":"0x00"}`, want: "malformed_json", contains: "not a string"},
		{name: "trailing data", body: good + "{}", want: "malformed_json"},
		{name: "not utf-8", body: "{\"namespace\":\"\xff\",\"ciphertext\":\"0x00\"}", want: "malformed_json", contains: "UTF-8"},
		{name: "no 0x", body: `{"namespace":"demo","ciphertext":"00"}`, want: "malformed_hex", contains: `"member":"ciphertext"`},
		{name: "odd", body: `{"namespace":"demo","ciphertext":"0x0"}`, want: "malformed_hex", contains: "odd"},
		{name: "upper case", body: `{"namespace":"demo","ciphertext":"0xAB"}`, want: "malformed_hex", contains: "character 3"},
		{name: "too large", body: submission(strings.Repeat("x", 200)), want: "body_too_large", contains: `"max_bytes":400`},
		{name: "text", body: good, contentType: "text/plain", want: "unsupported_media_type"},
		{name: "no type", body: good, contentType: "-", want: "unsupported_media_type"},
		{name: "latin1", body: good, contentType: "application/json; charset=iso-8859-1", want: "unsupported_media_type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := postRequest(tt.body)
			switch tt.contentType {
			case "":
			case "-":
				r.Header.Del("Content-Type")
			default:
				r.Header.Set("Content-Type", tt.contentType)
			}
			rec := d.do(t, "/v1/transactions", r)
			if got := code(t, rec); got != tt.want || !strings.Contains(rec.Body.String(), tt.contains) {
				t.Errorf("code %s, want %s with %s in\n%s", got, tt.want, tt.contains, rec.Body)
			}
		})
	}
	t.Run("too large, without a length", func(t *testing.T) {
		r := postRequest("")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(submission(strings.Repeat("x", 1000)))), -1
		if got := code(t, d.do(t, "/v1/transactions", r)); got != "body_too_large" {
			t.Errorf("code %s", got)
		}
	})
	t.Run("compressed", func(t *testing.T) {
		r := postRequest(good)
		r.Header.Set("Content-Encoding", "gzip")
		if got := code(t, d.do(t, "/v1/transactions", r)); got != "unsupported_media_type" {
			t.Errorf("code %s", got)
		}
	})
	t.Run("utf-8 named", func(t *testing.T) {
		r := postRequest(good)
		r.Header.Set("Content-Type", "application/json; charset=UTF-8")
		if rec := d.do(t, "/v1/transactions", r); rec.Code != http.StatusAccepted {
			t.Errorf("status %d: %s", rec.Code, rec.Body)
		}
	})
}

func relayRequest(id, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/ceremonies/"+id+"/messages", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

// A ceremony message is taken with what it was, and refused with a reason.
func TestRelay(t *testing.T) {
	d := newDoor(t, Options{})
	known := repeat(9, 32).String()
	message := func(text string) string { return fmt.Sprintf(`{"message":"%s"}`, v1.Hex(text)) }
	for _, tt := range []struct {
		name, id, body string
		status         int
		contains       string
	}{
		{"taken", known, message("signed"), 202, `{"ceremony":"` + known + `","kind":"abort","member":2}`},
		{"not admitted", known, message("not_admitted"), 422, `"reason":"early"`},
		{"malformed", known, message("malformed_message"), 400, `"code":"malformed_message"`},
		{"behind", known, message("not_synced"), 503, `"code":"not_synced"`},
		{"no such ceremony", repeat(1, 32).String(), message("signed"), 404, `"code":"not_found"`},
		{"not an id", "0x12", message("signed"), 400, `"code":"invalid_id"`},
		{"not hex", known, `{"message":"signed"}`, 400, `"member":"message"`},
		{"another member", known, `{"message":"0x","x":""}`, 400, `"code":"malformed_json"`},
		{"nothing", known, ``, 400, `"code":"malformed_json"`},
		{"after the object", known, message("signed") + "{}", 400, `"code":"malformed_json"`},
		{"larger than any", known, message(strings.Repeat("x", keygen.MaxMessageSize+600)), 413, `"code":"body_too_large"`},
		{"the largest", known, message(strings.Repeat("x", keygen.MaxMessageSize)), 202, `"member":2`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := d.do(t, "/v1/ceremonies/{id}/messages", relayRequest(tt.id, tt.body))
			if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.contains) {
				t.Errorf("status %d, want %d with %s in\n%.300s", rec.Code, tt.status, tt.contains, rec.Body)
			}
		})
	}
}

// Messages and submissions of one address count together.
func TestRelayIsRateLimited(t *testing.T) {
	d := newDoor(t, Options{RatePerMinute: 2})
	relay := func() int {
		return d.do(t, "/v1/ceremonies/{id}/messages", relayRequest(repeat(9, 32).String(), `{"message":"0x01"}`)).Code
	}
	if got := []int{relay(), d.post(t, submission("x")).Code, relay(), d.post(t, submission("y")).Code}; !slices.Equal(got, []int{202, 202, 429, 429}) {
		t.Errorf("%v", got)
	}
}

// Every code that a backend may give keeps its status, detail and members.
func TestBackendProblems(t *testing.T) {
	d := newDoor(t, Options{})
	for _, p := range ProblemTypes() {
		switch p.Code {
		case v1.CodeNotFound, v1.CodeMethodNotAllowed: // no answer of a submission
			continue
		}
		t.Run(p.Code, func(t *testing.T) {
			rec := d.post(t, submission(p.Code))
			if got := code(t, rec); got != p.Code || rec.Code != p.Status || !strings.Contains(rec.Body.String(), "the reason") {
				t.Errorf("status %d, want %d %s: %s", rec.Code, p.Status, p.Code, rec.Body)
			}
		})
	}
}

func TestProblemMembers(t *testing.T) {
	d := newDoor(t, Options{})
	d.err = Errorf(v1.CodeMempoolFull, "full").With("limit", 5).With("status", 200)
	d.err.(*Error).RetryAfter = 1500 * time.Millisecond
	r := httptest.NewRequest(http.MethodGet, "/v1/committee", nil)
	r.Header.Set("X-Request-Id", "my.request-1")
	rec := d.do(t, "/v1/committee", r)
	want := `{"code":"mempool_full","detail":"full","instance":"/v1/committee","limit":5,"request_id":"my.request-1",` +
		`"status":503,"title":"The mempool is full","type":"/problems/mempool_full"}` + "\n"
	if diff := cmp.Diff(want, rec.Body.String()); diff != "" {
		t.Error(diff)
	}
	if got := rec.Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
}

func TestUnknownErrorsStayInside(t *testing.T) {
	for name, err := range map[string]error{
		"any error":    errors.New("secret detail"),
		"unknown code": Errorf("no_such_code", "secret detail"),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, Options{})
			d.err = err
			rec := d.get(t, "/v1/encryption-key", "/v1/encryption-key")
			if rec.Code != 500 || strings.Contains(rec.Body.String(), "secret") {
				t.Errorf("status %d: %s", rec.Code, rec.Body)
			}
			if !strings.Contains(d.log.String(), "secret detail") || !strings.Contains(d.log.String(), rec.Header().Get("X-Request-Id")) {
				t.Errorf("the log does not say what: %s", d.log)
			}
		})
	}
}

func TestPanic(t *testing.T) {
	d := newDoor(t, Options{})
	rec := d.post(t, submission("panic"))
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "secret") {
		t.Errorf("status %d: %s", rec.Code, rec.Body)
	}
	if !strings.Contains(d.log.String(), "secret detail") {
		t.Error("the log does not say what")
	}
}

func TestTimeout(t *testing.T) {
	d := newDoor(t, Options{Timeout: time.Millisecond})
	d.block = make(chan struct{})
	if rec := d.post(t, submission("x")); code(t, rec) != v1.CodeTimeout {
		t.Errorf("%s", rec.Body)
	}
}

func TestReadiness(t *testing.T) {
	d := newDoor(t, Options{})
	d.fake.ready = v1.Readiness{Height: 3, Epoch: 1, Reasons: []v1.Reason{{Code: "catching_up", Detail: "4 blocks behind"}}}
	rec := d.get(t, "/readyz", "/readyz")
	if rec.Code != 503 || code(t, rec) != v1.CodeNotReady || !strings.Contains(rec.Body.String(), `"reasons":[{"code":"catching_up","detail":"4 blocks behind"}]`) {
		t.Errorf("status %d: %s", rec.Code, rec.Body)
	}
}

func TestCaching(t *testing.T) {
	d := newDoor(t, Options{})
	d.post(t, submission("open"))
	d.post(t, submission("waiting"))
	open, waiting := idOf([]byte("open")), idOf([]byte("waiting"))
	d.reveal(open, 7, 0, []byte("plain"))
	elsewhere := idOf([]byte("elsewhere"))
	d.txs[elsewhere] = v1.Transaction{ID: elsewhere[:], Namespace: "demo"}
	d.reveal(elsewhere, 7, 1, []byte("plain"))

	unlogged, expired := idOf([]byte("unlogged")), idOf([]byte("too late"))
	d.post(t, submission("unlogged"))
	d.post(t, submission("too late"))
	d.reveal(unlogged, 8, 0, []byte("plain"))
	newest := idOf([]byte("newest"))
	d.post(t, submission("newest"))
	d.reveal(newest, 8, 1, []byte("plain"))
	for id, change := range map[threshold.ID]func(*v1.Transaction){
		newest:   func(tx *v1.Transaction) { tx.Times = blockTimes(false) }, // the time of its reveal is still to come
		unlogged: func(tx *v1.Transaction) { tx.RevealHeight = nil },
		expired:  func(tx *v1.Transaction) { tx.Status = v1.StatusExpired },
	} {
		tx := d.txs[id]
		change(&tx)
		d.txs[id] = tx
	}

	const never, ask, forever = "no-store", "no-cache", "public, max-age=31536000, immutable"
	tx := "/v1/transactions/{id}"
	for _, tt := range []struct{ route, target, want string }{
		{tx, "/v1/transactions/" + v1.Hex(open[:]).String(), forever},
		{tx, "/v1/transactions/" + v1.Hex(waiting[:]).String(), never},
		{tx, "/v1/transactions/" + v1.Hex(elsewhere[:]).String(), ask},
		{tx, "/v1/transactions/" + v1.Hex(unlogged[:]).String(), never},
		{tx, "/v1/transactions/" + v1.Hex(expired[:]).String(), forever},
		{tx, "/v1/transactions/" + repeat(1, 32).String(), never},
		{tx, "/v1/transactions/" + v1.Hex(newest[:]).String(), never},
		{"/v1/batches/{height}", "/v1/batches/38", forever},
		{"/v1/batches/{height}", "/v1/batches/39", never},
		{"/v1/batches/{height}", "/v1/batches/40", never},
		{"/v1/batches", "/v1/batches", never},
		{"/v1/ceremonies/{id}", "/v1/ceremonies/" + repeat(9, 32).String(), never},
		{"/v1/ceremonies/{id}", "/v1/ceremonies/" + repeat(8, 32).String(), forever},
		{"/v1/encryption-key", "/v1/encryption-key", never},
		{"/problems", "/problems", "public, max-age=3600"},
	} {
		t.Run(tt.target, func(t *testing.T) {
			rec := d.get(t, tt.route, tt.target)
			if got := rec.Header().Get("Cache-Control"); got != tt.want {
				t.Fatalf("Cache-Control %q, want %q", got, tt.want)
			}
			etag := rec.Header().Get("ETag")
			if (etag == "") != (tt.want == never) {
				t.Fatalf("ETag %q", etag)
			}
			for match, want := range map[string]int{etag: 304, `"x", W/` + etag: 304, "*": 304, `"x"`: 200} {
				if tt.want == never {
					want = rec.Code
				}
				r := httptest.NewRequest(http.MethodGet, tt.target, nil)
				r.Header.Set("If-None-Match", match)
				again := d.do(t, tt.route, r)
				if again.Code != want || want == 304 && again.Header().Get("ETag") != etag {
					t.Errorf("If-None-Match %s: status %d, want %d", match, again.Code, want)
				}
			}
		})
	}
}

func TestPagesAreBounded(t *testing.T) {
	d := newDoor(t, Options{})
	const n, size = 40, 128 << 10
	for i := range uint32(n) {
		body := fmt.Sprintf("big %d", i)
		d.post(t, submission(body))
		d.reveal(idOf([]byte(body)), 7, i, bytes.Repeat([]byte{byte(i)}, size))
	}
	var got []v1.Transaction
	for after, pages := (v1.Cursor{}), 0; ; pages++ {
		// The zero cursor is before the first: the fake's position 0 of height 7 is after it.
		rec := d.get(t, "/v1/namespaces/{namespace}/transactions", "/v1/namespaces/demo/transactions?after="+after.String())
		if rec.Body.Len() > maxPageBytes+2*size {
			t.Fatalf("a page of %d bytes", rec.Body.Len())
		}
		var page v1.StreamPage
		if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		got = append(got, page.Transactions...)
		after = page.Next
		if !page.More {
			if pages == 0 {
				t.Error("all of it was one page")
			}
			break
		}
	}
	if len(got) != n {
		t.Fatalf("%d transactions, want %d", len(got), n)
	}
	for i, tx := range got {
		if int(*tx.Position) != i {
			t.Fatalf("place %d has position %d", i, *tx.Position)
		}
	}
}

func TestMethodNotAllowed(t *testing.T) {
	d := newDoor(t, Options{})
	for _, tt := range []struct{ method, target, allow string }{
		{http.MethodGet, "/v1/transactions", "POST"},
		{http.MethodHead, "/v1/transactions", "POST"},
		{http.MethodPut, "/v1/transactions", "POST"},
		{http.MethodPost, "/v1/limits", "GET, HEAD"},
		{http.MethodDelete, "/v1/batches/3", "GET, HEAD"},
		{http.MethodOptions, "/v1/batches", "GET, HEAD"},
		{"BREW", "/v1/batches", "GET, HEAD"},
	} {
		rec := d.do(t, "", httptest.NewRequest(tt.method, tt.target, nil))
		if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != tt.allow {
			t.Errorf("%s %s: status %d, Allow %q, want %q", tt.method, tt.target, rec.Code, rec.Header().Get("Allow"), tt.allow)
		}
	}
	if rec := d.do(t, "", httptest.NewRequest("BREW", "/coffee", nil)); rec.Code != http.StatusNotFound {
		t.Errorf("unknown method at an unknown address: status %d", rec.Code)
	}
}

func TestRateLimit(t *testing.T) {
	d := newDoor(t, Options{RatePerMinute: 2, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	from := func(remote, forwarded string) int {
		r := postRequest(submission("x"))
		r.RemoteAddr = remote
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		rec := d.do(t, "/v1/transactions", r)
		if rec.Code == http.StatusTooManyRequests && !strings.Contains(rec.Body.String(), `"rate_per_minute":2`) {
			t.Errorf("the limit is not in the answer: %s", rec.Body)
		}
		return rec.Code
	}
	for i, tt := range []struct {
		remote, forwarded string
		want              int
	}{
		{"192.0.2.1:1000", "", 202},
		{"192.0.2.1:1001", "", 202},
		{"192.0.2.1:1002", "", 429},
		{"192.0.2.1:1002", "198.51.100.9", 429}, // its own word about itself is not believed
		{"192.0.2.2:1000", "", 202},
		{"[2001:db8::1]:1000", "", 202},
		{"[2001:db8::2]:1000", "", 202},
		{"[2001:db8::3]:1000", "", 429}, // one network is one caller
		{"[2001:db8:0:1::3]:1000", "", 202},
		{"10.0.0.1:1000", "198.51.100.1", 202},
		{"10.0.0.1:1000", "198.51.100.2, 198.51.100.1", 202},
		{"10.0.0.1:1000", "198.51.100.3, 198.51.100.1", 429}, // the one next to the proxy counts
		{"10.0.0.1:1000", "198.51.100.4", 202},
	} {
		if got := from(tt.remote, tt.forwarded); got != tt.want {
			t.Errorf("%d: from %s for %q: status %d, want %d", i, tt.remote, tt.forwarded, got, tt.want)
		}
	}
	for range 5 { // reading is not limited
		if rec := d.get(t, "/v1/limits", "/v1/limits"); rec.Code != 200 {
			t.Errorf("GET: status %d", rec.Code)
		}
	}
}

func TestInFlight(t *testing.T) {
	d := newDoor(t, Options{MaxInFlight: 1})
	d.block = make(chan struct{})
	done := make(chan int)
	started := make(chan struct{})
	go func() {
		rec := httptest.NewRecorder()
		close(started)
		d.handler.ServeHTTP(rec, postRequest(submission("x")))
		done <- rec.Code
	}()
	<-started
	deadline := time.Now().Add(5 * time.Second)
	for { // until the submission has its place
		rec := d.get(t, "/v1/committee", "/v1/committee")
		if rec.Code == 503 && code(t, rec) == v1.CodeBusy {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a second request was served")
		}
		time.Sleep(time.Millisecond)
	}
	if rec := d.get(t, "/healthz", "/healthz"); rec.Code != 200 {
		t.Errorf("health of a busy node: status %d", rec.Code)
	}
	close(d.block)
	if got := <-done; got != 202 {
		t.Errorf("the one in flight: status %d", got)
	}
	if rec := d.get(t, "/v1/committee", "/v1/committee"); rec.Code != 200 {
		t.Errorf("afterwards: status %d", rec.Code)
	}
}

func TestCORS(t *testing.T) {
	d := newDoor(t, Options{CORSOrigins: []string{"https://wallet.example"}})
	preflight := func(origin string) http.Header {
		r := httptest.NewRequest(http.MethodOptions, "/v1/transactions", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "content-type")
		rec := httptest.NewRecorder()
		d.handler.ServeHTTP(rec, r)
		return rec.Header()
	}
	if h := preflight("https://wallet.example"); h.Get("Access-Control-Allow-Origin") != "https://wallet.example" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%v", h)
	}
	if h := preflight("https://evil.example"); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", h)
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/batches/39", nil)
	r.Header.Set("Origin", "https://wallet.example")
	if h := d.do(t, "/v1/batches/{height}", r).Header(); h.Get("Vary") != "Origin" || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Retry-After") {
		t.Errorf("%v", h)
	}
	if h := newDoor(t, Options{}).do(t, "/v1/batches/{height}", r).Header(); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without CORS: %v", h)
	}
}

func TestRequestID(t *testing.T) {
	d := newDoor(t, Options{})
	for given, kept := range map[string]bool{"abc-1.2_Z": true, "": false, "a b": false, "a\x00": false, strings.Repeat("a", 65): false} {
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.Header.Set("X-Request-Id", given)
		if got := d.do(t, "/healthz", r).Header().Get("X-Request-Id"); (got == given) != kept || got == "" {
			t.Errorf("given %q, got %q", given, got)
		}
	}
}

// Neither bodies nor what they hold reach the log.
func TestLogIsDiscreet(t *testing.T) {
	d := newDoor(t, Options{})
	d.post(t, `{"namespace":"private-namespace","ciphertext":"0xdeadbeefdeadbeef"}`)
	d.post(t, `{"namespace":"private-namespace","ciphertext":"0xDEADBEEF"}`)
	for _, word := range []string{"deadbeef", "DEADBEEF", "private-namespace"} {
		if strings.Contains(d.log.String(), word) {
			t.Errorf("the log says %s: %s", word, d.log)
		}
	}
	if !strings.Contains(d.log.String(), "route=/v1/transactions") {
		t.Errorf("no line a request: %s", d.log)
	}
}

func TestExport(t *testing.T) {
	fail := errors.New("secret detail")
	t.Run("fails before it began", func(t *testing.T) {
		d := newDoor(t, Options{})
		d.fake.export = func(context.Context, io.Writer) error { return fail }
		if rec := d.get(t, "/v1/export", "/v1/export"); rec.Code != 500 || strings.Contains(rec.Body.String(), "secret") {
			t.Errorf("status %d: %s", rec.Code, rec.Body)
		}
	})
	t.Run("breaks off", func(t *testing.T) {
		d := newDoor(t, Options{})
		d.fake.export = func(_ context.Context, w io.Writer) error {
			w.Write(bytes.Repeat([]byte("x"), 1<<16))
			return fail
		}
		srv := httptest.NewServer(d.handler)
		defer srv.Close()
		resp, err := http.Get(srv.URL + "/v1/export")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("a part was taken for the whole")
		}
	})
	t.Run("outlasts the server's write timeout", func(t *testing.T) {
		d := newDoor(t, Options{Timeout: 10 * time.Millisecond})
		const lines = 20
		d.fake.export = func(ctx context.Context, w io.Writer) error {
			for range lines {
				time.Sleep(10 * time.Millisecond)
				if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<15)); err != nil {
					return err
				}
			}
			return ctx.Err()
		}
		srv := httptest.NewUnstartedServer(nil)
		srv.Config = NewServer("", d.handler)
		srv.Config.WriteTimeout = 50 * time.Millisecond
		srv.Start()
		defer srv.Close()
		resp, err := http.Get(srv.URL + "/v1/export")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if n, err := io.Copy(io.Discard, resp.Body); n != lines<<15 || err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	})
	t.Run("few at once", func(t *testing.T) {
		d := newDoor(t, Options{})
		release, running := make(chan struct{}), make(chan struct{}, MaxExports)
		d.fake.export = func(context.Context, io.Writer) error { running <- struct{}{}; <-release; return nil }
		done := make(chan struct{})
		for range MaxExports {
			go func() {
				d.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/v1/export", nil))
				done <- struct{}{}
			}()
			<-running
		}
		if rec := d.get(t, "/v1/export", "/v1/export"); rec.Code != 503 || code(t, rec) != v1.CodeBusy {
			t.Errorf("status %d: %s", rec.Code, rec.Body)
		}
		close(release)
		for range MaxExports {
			<-done
		}
	})
}

// Few transcripts are served at once: each is large.
func TestTranscriptsBusy(t *testing.T) {
	d := newDoor(t, Options{})
	d.reads, d.release = make(chan struct{}, MaxTranscripts), make(chan struct{})
	target, done := "/v1/ceremonies/"+repeat(9, 32).String()+"/transcript", make(chan int)
	for range MaxTranscripts {
		go func() {
			rec := httptest.NewRecorder()
			d.handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, target, nil))
			done <- rec.Code
		}()
		<-d.reads
	}
	if rec := d.get(t, "/v1/ceremonies/{id}/transcript", target); rec.Code != 503 || code(t, rec) != v1.CodeBusy {
		t.Errorf("status %d: %s", rec.Code, rec.Body)
	}
	close(d.release)
	for range MaxTranscripts {
		if status := <-done; status != 200 {
			t.Errorf("status %d", status)
		}
	}
}

// A caller that sends nothing, or slowly, does not hold a connection for long.
func TestServerTimeouts(t *testing.T) {
	s := NewServer("127.0.0.1:0", http.NotFoundHandler())
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= DefaultTimeout || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Fatalf("a limit is missing: %+v", s)
	}
	s.ReadHeaderTimeout = 30 * time.Millisecond
	l, err := net.Listen("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	defer s.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HT")
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the server kept the connection: %v", err)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = NewServer("", New(newFake(), Options{}))
	srv.Config.ConnState = limitConnections(1)
	l := srv.Listener
	go srv.Config.Serve(l)
	defer srv.Config.Close()

	answered := func(c net.Conn) bool {
		io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n")
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		b := make([]byte, 12)
		_, err := io.ReadFull(c, b)
		return err == nil && string(b) == "HTTP/1.1 200"
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := dial()
	if !answered(first) {
		t.Fatal("the first connection got no answer")
	}
	second := dial()
	defer second.Close()
	if answered(second) {
		t.Error("a second connection got an answer")
	}
	first.Close()
	deadline := time.Now().Add(5 * time.Second)
	for {
		c := dial()
		ok := answered(c)
		c.Close()
		if ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no connection got an answer after the first was closed")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// An extra member that JSON can't hold does not cost the caller the problem.
func TestProblemWithoutItsExtra(t *testing.T) {
	d := newDoor(t, Options{})
	d.err = Errorf(v1.CodeMempoolFull, "full").With("limit", make(chan int))
	if rec := d.get(t, "/v1/committee", "/v1/committee"); code(t, rec) != v1.CodeMempoolFull {
		t.Errorf("%s", rec.Body)
	}
}
