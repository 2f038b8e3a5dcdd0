package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// node starts a server that answers every request with h, and gives a quick client for it.
func node(t *testing.T, o client.Options, h http.HandlerFunc) *client.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	if o.Backoff == 0 {
		o.Backoff = time.Millisecond
	}
	c, err := client.New(srv.URL+"/", o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func problem(w http.ResponseWriter, status int, code, extra string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"/problems/%s","title":"T","status":%d,"detail":"D","instance":"/x","code":%q,"request_id":"r"%s}`, code, status, code, extra)
}

// Each method asks for the address of the contract and reads its shape.
func TestRequests(t *testing.T) {
	var got string
	c := node(t, client.Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = strings.TrimSpace(r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("Content-Type") + " " + string(body))
		next := "null"
		if strings.Contains(got, "namespaces") {
			next = `"7-1"`
		}
		io.WriteString(w, `{"from_a_newer_node":1,"chain_id":"c","height":7,"id":"0x01","next":`+next+`}`)
	})
	ctx := t.Context()
	id := v1.Hex(bytes.Repeat([]byte{1}, 32))
	for _, tt := range []struct {
		want string
		call func() (any, error)
	}{
		{"GET /v1/limits", func() (any, error) { return c.Limits(ctx) }},
		{"GET /healthz", func() (any, error) { return c.Health(ctx) }},
		{"GET /readyz", func() (any, error) { return c.Ready(ctx) }},
		{"GET /v1/encryption-key", func() (any, error) { return c.EncryptionKeys(ctx) }},
		{`POST /v1/transactions application/json {"namespace":"demo","ciphertext":"0xab"}`, func() (any, error) { return c.Submit(ctx, "demo", []byte{0xab}) }},
		{`POST /v1/transactions application/json {"namespace":"demo","ciphertext":"0x"}`, func() (any, error) { return c.Submit(ctx, "demo", nil) }},
		{"GET /v1/transactions/" + id.String(), func() (any, error) { return c.Transaction(ctx, id) }},
		{"GET /v1/batches", func() (any, error) { return c.Batches(ctx, 0, 0) }},
		{"GET /v1/batches?before=9&limit=3", func() (any, error) { return c.Batches(ctx, 9, 3) }},
		{"GET /v1/batches/9", func() (any, error) { return c.Batch(ctx, 9) }},
		{"GET /v1/namespaces/a%2F%252E./transactions?limit=5", func() (any, error) { return c.Stream(ctx, "a/%2E.", v1.Cursor{}, 5) }},
		{"GET /v1/namespaces/demo/transactions?after=7-1", func() (any, error) { return c.Stream(ctx, "demo", v1.Cursor{Height: 7, Place: 1}, 0) }},
		{"GET /v1/committee", func() (any, error) { return c.Committee(ctx) }},
		{"GET /v1/committees", func() (any, error) { return c.Committees(ctx, 0, 0) }},
		{"GET /v1/committees?from=3&limit=9", func() (any, error) { return c.Committees(ctx, 3, 9) }},
		{"GET /v1/ceremonies/" + id.String() + "/transcript", func() (any, error) { return c.Transcript(ctx, id) }},
		{"GET /v1/ceremonies", func() (any, error) { return c.Ceremonies(ctx) }},
		{"GET /v1/ceremonies/" + id.String(), func() (any, error) { return c.Ceremony(ctx, id) }},
		{"POST /v1/ceremonies/" + id.String() + `/messages application/json {"message":"0xab"}`, func() (any, error) { return c.Relay(ctx, id, []byte{0xab}) }},
		{"GET /v1/export", func() (any, error) { return nil, c.Export(ctx, io.Discard) }},
	} {
		_, err := tt.call()
		if err != nil || got != tt.want {
			t.Errorf("%s, %v, want %s", got, err, tt.want)
		}
	}
}

// A transcript that breaks off is asked for again, and never half an answer.
func TestTranscriptBreaksOff(t *testing.T) {
	var asked atomic.Int32
	c := node(t, client.Options{Retries: 2}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		if asked.Add(1) == 1 {
			io.WriteString(w, "ab")
			return
		}
		io.WriteString(w, "abcd")
	})
	got, err := c.Transcript(t.Context(), v1.Hex{1})
	if err != nil || string(got) != "abcd" || asked.Load() != 2 {
		t.Errorf("%q, %v, asked %d times", got, err, asked.Load())
	}
}

func TestProblem(t *testing.T) {
	c := node(t, client.Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		problem(w, 422, v1.CodeExpired, `,"valid_until":9`)
	})
	_, err := c.Submit(t.Context(), "demo", []byte{1})
	var p *client.Problem
	if !errors.As(err, &p) {
		t.Fatalf("%v is not a problem", err)
	}
	want := &client.Problem{Code: "expired", Title: "T", Detail: "D", Status: 422, RequestID: "", RetryAfter: 7 * time.Second,
		Extra: map[string]json.RawMessage{"valid_until": json.RawMessage("9")}}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Error(diff)
	}
	if err.Error() != "expired: D" || p.Temporary() {
		t.Error(err)
	}
}

func TestNotANode(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"html":     func(w http.ResponseWriter, r *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"problem, not JSON": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadRequest)
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := node(t, client.Options{}, h).Limits(t.Context())
			var p *client.Problem
			if !errors.As(err, &p) || p.Code != "" || p.Status < 300 {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("not JSON", func(t *testing.T) {
		_, err := node(t, client.Options{}, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }).Limits(t.Context())
		if err == nil || !strings.Contains(err.Error(), "can't be read") {
			t.Errorf("%v", err)
		}
	})
}

func TestAnswersAreBounded(t *testing.T) {
	var sent atomic.Int64
	c := node(t, client.Options{}, func(w http.ResponseWriter, r *http.Request) {
		spaces := bytes.Repeat([]byte(" "), 1<<20)
		for range 1 << 10 {
			n, err := w.Write(spaces)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	if _, err := c.Limits(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v", err)
	}
	if sent.Load() > 128<<20 {
		t.Errorf("%d bytes were read", sent.Load())
	}
}

func TestReadyIsAnAnswer(t *testing.T) {
	var calls atomic.Int32
	c := node(t, client.Options{}, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		problem(w, 503, v1.CodeNotReady, `,"height":3,"epoch":1,"peers":2,"reasons":[{"code":"catching_up","detail":"behind"}]`)
	})
	got, err := c.Ready(t.Context())
	want := &v1.Readiness{Height: 3, Epoch: 1, Peers: 2, Reasons: []v1.Reason{{Code: "catching_up", Detail: "behind"}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	if calls.Load() != 1 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestRetries(t *testing.T) {
	fail := func(status int, code, retryAfter string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if retryAfter != "" {
				w.Header().Set("Retry-After", retryAfter)
			}
			problem(w, status, code, "")
		}
	}
	cut := func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
	half := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, `{"id":`)
	}
	get := func(ctx context.Context, c *client.Client) error { _, err := c.Limits(ctx); return err }
	submit := func(ctx context.Context, c *client.Client) error {
		_, err := c.Submit(ctx, "demo", []byte{1})
		return err
	}
	health := func(ctx context.Context, c *client.Client) error { _, err := c.Health(ctx); return err }
	export := func(ctx context.Context, c *client.Client) error { return c.Export(ctx, io.Discard) }
	for _, tt := range []struct {
		name  string
		opts  client.Options
		fail  http.HandlerFunc
		call  func(context.Context, *client.Client) error
		fails int32 // how often, before it succeeds
		calls int32
		ok    bool
	}{
		{"503, read", client.Options{}, fail(503, "busy", ""), get, 2, 3, true},
		{"429, submission", client.Options{}, fail(429, "rate_limited", "0"), submit, 2, 3, true},
		{"connection cut, submission", client.Options{}, cut, submit, 2, 3, true},
		{"half an answer", client.Options{}, half, get, 1, 2, true},
		{"503, export", client.Options{}, fail(503, "busy", ""), export, 1, 2, true},
		{"too often", client.Options{}, fail(503, "busy", ""), get, 9, 4, false},
		{"none wanted", client.Options{Retries: -1}, fail(503, "busy", ""), get, 1, 1, false},
		{"422 is final", client.Options{}, fail(422, "expired", ""), submit, 1, 1, false},
		{"500 is final", client.Options{}, fail(500, "internal", ""), get, 1, 1, false},
		{"more patience than allowed", client.Options{}, fail(503, "busy", "3600"), get, 1, 1, false},
		{"health is asked once", client.Options{}, fail(503, "busy", ""), health, 1, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int32
			c := node(t, tt.opts, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					if body, _ := io.ReadAll(r.Body); !bytes.Contains(body, []byte("0x01")) {
						t.Errorf("attempt %d sent %q", calls.Load(), body)
					}
				}
				if calls.Add(1) <= tt.fails {
					tt.fail(w, r)
					return
				}
				io.WriteString(w, "{}")
			})
			err := tt.call(t.Context(), c)
			if (err == nil) != tt.ok || calls.Load() != tt.calls {
				t.Errorf("%v after %d calls, want %d", err, calls.Load(), tt.calls)
			}
		})
	}
}

func TestRetryAfterIsRespected(t *testing.T) {
	var calls atomic.Int32
	c := node(t, client.Options{}, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			problem(w, 503, v1.CodeBusy, "")
			return
		}
		io.WriteString(w, "{}")
	})
	start := time.Now()
	if _, err := c.Limits(t.Context()); err != nil || time.Since(start) < time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	// A context that ends before that is not waited for.
	calls.Store(0)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start = time.Now()
	if _, err := c.Limits(ctx); err == nil || time.Since(start) > 250*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

func TestNoOneListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	c, err := client.New("http://"+addr, client.Options{Retries: 1, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Limits(t.Context()); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("%v", err)
	}
}

func TestAttemptsEnd(t *testing.T) {
	var calls atomic.Int32
	c := node(t, client.Options{Timeout: 20 * time.Millisecond, Retries: 1}, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		<-r.Context().Done()
	})
	if _, err := c.Limits(t.Context()); !errors.Is(err, context.DeadlineExceeded) || calls.Load() != 2 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Limits(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestExportKnowsAPart(t *testing.T) {
	c := node(t, client.Options{}, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", 1<<16))
		panic(http.ErrAbortHandler)
	})
	var out bytes.Buffer
	if err := c.Export(t.Context(), &out); err == nil {
		t.Errorf("%d bytes were taken for the whole", out.Len())
	}
}

func TestAddresses(t *testing.T) {
	for _, s := range []string{"", "localhost:80", "ftp://a", "http://", "http://a?x", "http://a#x", "://", "http://a b"} {
		if c, err := client.New(s, client.Options{}); err == nil {
			t.Errorf("%q was taken as %s", s, c.URL())
		}
	}
	if _, err := client.New("ftp://user:secret@host", client.Options{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	c, err := client.New("https://node.example/scrim/", client.Options{})
	if err != nil || c.URL() != "https://node.example/scrim" {
		t.Errorf("%v %v", c, err)
	}
}

// A wallet that links the client links nothing else of the node.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := strings.Fields(string(out))
	want := []string{"github.com/scrimlabs/scrim/httpapi/v1", "github.com/scrimlabs/scrim/httpapi/client"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
