package client_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// Each method asks at its address, and gives the answer as it is; it tries again when the connection breaks.
func TestLogMethods(t *testing.T) {
	attempts := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if attempts++; attempts == 1 {
			w.Header().Set("Content-Length", "100") // cut short
			_, _ = io.WriteString(w, "x")
			return
		}
		_, _ = io.WriteString(w, r.URL.RequestURI())
	}))
	defer s.Close()
	c, err := client.New(s.URL, client.Options{Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if c.LogPrefix() != s.URL+"/v1/log" {
		t.Errorf("prefix %s", c.LogPrefix())
	}
	id := v1.Hex{1, 2}
	for want, call := range map[string]func(ctx context.Context) ([]byte, error){
		"/v1/log/checkpoint":         c.LogCheckpoint,
		"/v1/log/checkpoint/9":       func(ctx context.Context) ([]byte, error) { return c.LogCheckpointOf(ctx, 9) },
		"/v1/log/tile/0/000.p/5":     func(ctx context.Context) ([]byte, error) { return c.LogTile(ctx, "tile/0/000.p/5") },
		"/v1/log/batch/7":            func(ctx context.Context) ([]byte, error) { return c.LogBatch(ctx, 7) },
		"/v1/log/rounds/3/7":         func(ctx context.Context) ([]byte, error) { return c.LogRounds(ctx, 3, 7) },
		"/v1/log/limits":             c.LogLimits,
		"/v1/log/evidence/0x0102":    func(ctx context.Context) ([]byte, error) { return c.LogEvidence(ctx, id) },
		"/v1/log/certificate/0x0102": func(ctx context.Context) ([]byte, error) { return c.LogCertificate(ctx, id) },
		"/v1/log/proof/0x0102":       func(ctx context.Context) ([]byte, error) { return c.LogProof(ctx, id) },
		"/v1/log/entry/0/proof":      func(ctx context.Context) ([]byte, error) { return c.LogEntryProof(ctx, 0) },
		"/v1/log/consistency/4":      func(ctx context.Context) ([]byte, error) { return c.LogConsistency(ctx, 4) },
		"/v1/evidence/3":             func(ctx context.Context) ([]byte, error) { return c.Evidence(ctx, 3) },
	} {
		if got, err := call(t.Context()); err != nil || string(got) != want {
			t.Errorf("asked at %q, want %q: %v", got, want, err)
		}
	}
}

func TestLogJSON(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/v1/log/namespace/7/demo":
			_, _ = io.WriteString(w, `{"height":7,"namespace":"demo","transactions":[{"position":1,"id":"0x01"}],"entry_index":3,"entry":"0x02","proof":"0x03","tlog_proof":"p"}`)
		case "/v1/evidence?after=4&limit=2":
			_, _ = io.WriteString(w, `{"evidence":[{"number":5,"kind":"bad_point","member":2,"height":9,"size":3,"hash":"0x01"}],"next":null}`)
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer s.Close()
	c, err := client.New(s.URL, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.LogNamespace(t.Context(), 7, "demo"); err != nil || len(p.Transactions) != 1 || p.EntryIndex != 3 || p.TlogProof != "p" {
		t.Errorf("%+v, %v", p, err)
	}
	if l, err := c.EvidenceList(t.Context(), 4, 2); err != nil || len(l.Evidence) != 1 || l.Evidence[0].Kind != "bad_point" || l.Next != nil {
		t.Errorf("%+v, %v", l, err)
	}
}
