package httpapi

import (
	"context"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

func (f *fake) LogEntryProof(_ context.Context, index uint64) ([]byte, error) {
	if index >= 300 {
		return nil, Errorf(v1.CodeNotFound, "300 entries")
	}
	return []byte("c2sp.org/tlog-proof@v1\n"), f.err
}

func (f *fake) LogConsistency(_ context.Context, old uint64) ([]byte, error) {
	if old > 300 {
		return nil, Errorf(v1.CodeNotFound, "300 entries")
	}
	return []byte("old 4\n"), f.err
}

func TestLogProofAnswers(t *testing.T) {
	d := newDoor(t, Options{})
	const entry, consistency = "/v1/log/entry/{index}/proof", "/v1/log/consistency/{old}"
	for _, tt := range []struct {
		route, target string
		status        int
	}{
		{entry, "/v1/log/entry/0/proof", 200},
		{entry, "/v1/log/entry/299/proof", 200},
		{entry, "/v1/log/entry/300/proof", 404},
		{entry, "/v1/log/entry/007/proof", 404},
		{entry, "/v1/log/entry/-1/proof", 404},
		{entry, "/v1/log/entry/9007199254740992/proof", 404},
		{entry, "/v1/log/entry/18446744073709551616/proof", 404},
		{entry, "/v1/log/entry/1/proof?at=4", 400},
		{consistency, "/v1/log/consistency/0", 200},
		{consistency, "/v1/log/consistency/300", 200},
		{consistency, "/v1/log/consistency/301", 404},
		{consistency, "/v1/log/consistency/01", 404},
		{consistency, "/v1/log/consistency/x", 404},
		{consistency, "/v1/log/consistency/1?x", 400},
	} {
		rec := d.get(t, tt.route, tt.target)
		if rec.Code != tt.status || rec.Header().Get("Cache-Control") != string(cacheNever) {
			t.Errorf("%s: status %d, cached %q; want %d", tt.target, rec.Code, rec.Header().Get("Cache-Control"), tt.status)
		}
		if tt.status == http.StatusOK && rec.Header().Get("Content-Type") != typeText {
			t.Errorf("%s: content type %q", tt.target, rec.Header().Get("Content-Type"))
		}
	}
	if name := d.get(t, entry, "/v1/log/entry/7/proof").Header().Get("Content-Disposition"); !strings.HasSuffix(name, `"entry-7.tlog-proof"`) {
		t.Errorf("the proof is saved as %s", name)
	}
}
