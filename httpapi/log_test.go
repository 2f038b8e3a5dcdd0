package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/threshold"
)

// The log of the fake has 300 entries, and one batch of height 7, which is revealed, and one of height 8, which is not.

func (f *fake) LogCheckpoint(_ context.Context, size uint64) ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	if size != 0 && size != 300 {
		return nil, Errorf(v1.CodeNotFound, "none of %d", size)
	}
	return []byte("scrim/demo\n300\n"), nil
}

func (f *fake) LogTile(_ context.Context, t tiles.Tile) ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	if t.Level != tiles.Entries && t.Level != 0 || t.Index*tiles.Width+uint64(t.Width) > 300 {
		return nil, Errorf(v1.CodeNotFound, "no %s", t.Path())
	}
	return []byte(t.Path()), nil
}

func (f *fake) LogBatch(_ context.Context, height uint64) ([]byte, bool, error) {
	if height != 7 && height != 8 {
		return nil, false, Errorf(v1.CodeNotFound, "no batch")
	}
	return []byte("{}\n"), height == 7, f.err
}

func (f *fake) LogRounds(_ context.Context, after, height uint64) ([]byte, error) {
	if height > 9 {
		return nil, &Error{Code: v1.CodeNotFound}
	}
	return fmt.Appendf(nil, "rounds above %d up to %d\n", after, height), nil
}

func (f *fake) LogLimits() ([]byte, error) { return []byte(`{"max_batch":4}`), nil }

func (f *fake) LogCertificate(_ context.Context, hash commitreveal.Hash) ([]byte, error) {
	if hash != commitreveal.Hash(repeat(8, 32)) {
		return nil, Errorf(v1.CodeNotFound, "no certificate")
	}
	return []byte("certificate"), f.err
}

func (f *fake) LogEvidence(_ context.Context, hash commitreveal.Hash) ([]byte, error) {
	if hash != commitreveal.Hash(repeat(8, 32)) {
		return nil, Errorf(v1.CodeNotFound, "no evidence")
	}
	return []byte("recorded"), f.err
}

func (f *fake) LogProof(_ context.Context, id threshold.ID) ([]byte, error) {
	if id != threshold.ID(repeat(8, 32)) {
		return nil, Errorf(v1.CodeNotFound, "no transaction")
	}
	return []byte("c2sp.org/tlog-proof@v1\n"), f.err
}

func (f *fake) LogNamespace(_ context.Context, height uint64, namespace string) (v1.NamespaceProof, error) {
	if err := threshold.ValidNamespace(namespace); err != nil {
		return v1.NamespaceProof{}, Errorf(v1.CodeInvalidNamespace, "%v", err)
	}
	if height != 7 {
		return v1.NamespaceProof{}, Errorf(v1.CodeNotFound, "no batch")
	}
	p := v1.NamespaceProof{Height: 7, Namespace: namespace, EntryIndex: 3, Entry: repeat(1, 5), Proof: repeat(2, 5), TlogProof: "proof\n"}
	if namespace == "demo" {
		p.Transactions = []v1.NamespaceID{{Position: 4, ID: repeat(8, 32)}}
	}
	return p, f.err
}

func (f *fake) EvidenceList(_ context.Context, after uint64, limit int) (v1.EvidenceList, error) {
	page := v1.EvidenceList{}
	if after == 0 {
		next := uint64(7)
		page.Evidence = []v1.EvidenceSummary{{Number: 7, Kind: "bad_point", Epoch: 1, Member: 2, Height: 9, Size: 8, Hash: repeat(3, 32)}}
		page.Next = &next
	}
	return page, f.err
}

func (f *fake) OneEvidence(_ context.Context, number uint64) (string, []byte, error) {
	if number != 7 {
		return "", nil, Errorf(v1.CodeNotFound, "none")
	}
	return "bad_point", []byte("evidence"), f.err
}

func TestLogAnswers(t *testing.T) {
	d := newDoor(t, Options{})
	id := repeat(8, 32).String()
	forever, never, ask := string(cacheForever), string(cacheNever), string(cacheRevalidate)
	for _, tt := range []struct {
		route, target string
		status        int
		cache, media  string
		body          string
	}{
		{"/v1/log/checkpoint", "/v1/log/checkpoint", 200, never, "text/plain; charset=utf-8", "scrim/demo\n300\n"},
		{"/v1/log/checkpoint/{size}", "/v1/log/checkpoint/300", 200, ask, "text/plain; charset=utf-8", "scrim/demo\n300\n"},
		{"/v1/log/checkpoint/{size}", "/v1/log/checkpoint/299", 404, never, "", ""},
		{"/v1/log/checkpoint/{size}", "/v1/log/checkpoint/0300", 404, never, "", ""},
		{"/v1/log/checkpoint/{size}", "/v1/log/checkpoint/0", 404, never, "", ""},
		{"/v1/log/tile/{tile}", "/v1/log/tile/0/000", 200, forever, "application/octet-stream", "tile/0/000"},
		{"/v1/log/tile/{tile}", "/v1/log/tile/0/001.p/44", 200, forever, "application/octet-stream", "tile/0/001.p/44"},
		{"/v1/log/tile/{tile}", "/v1/log/tile/entries/001.p/44", 200, forever, "application/octet-stream", "tile/entries/001.p/44"},
		{"/v1/log/tile/{tile}", "/v1/log/tile/0/001.p/45", 404, never, "", ""},
		{"/v1/log/tile/{tile}", "/v1/log/tile/0/001.p/044", 404, never, "", ""},
		{"/v1/log/tile/{tile}", "/v1/log/tile/0/1", 404, never, "", ""},
		{"/v1/log/tile/{tile}", "/v1/log/tile/00/000", 404, never, "", ""},
		{"/v1/log/tile/{tile}", "/v1/log/tile/0/x000/000", 404, never, "", ""},
		{"/v1/log/tile/{tile}", "/v1/log/tile/0/%30%30%30", 404, never, "", ""},
		{"/v1/log/tile/{tile}", "/v1/log/tile/0/000.p/256", 404, never, "", ""},
		{"/v1/log/tile/{tile}", "/v1/log/tile/64/000", 404, never, "", ""},
		{"/v1/log/tile/{tile}", "/v1/log/tile/-1/000", 404, never, "", ""},
		{"/v1/log/tile/{tile}", "/v1/log/tile/0/000?x=1", 400, never, "", ""},
		{"/v1/log/batch/{height}", "/v1/log/batch/7", 200, forever, "application/x-ndjson", "{}\n"},
		{"/v1/log/batch/{height}", "/v1/log/batch/8", 200, never, "application/x-ndjson", "{}\n"},
		{"/v1/log/batch/{height}", "/v1/log/batch/9", 404, never, "", ""},
		{"/v1/log/batch/{height}", "/v1/log/batch/x", 400, never, "", ""},
		{"/v1/log/certificate/{hash}", "/v1/log/certificate/" + id, 200, forever, "application/octet-stream", "certificate"},
		{"/v1/log/certificate/{hash}", "/v1/log/certificate/" + repeat(9, 32).String(), 404, never, "", ""},
		{"/v1/log/certificate/{hash}", "/v1/log/certificate/0x08", 400, never, "", ""},
		{"/v1/log/evidence/{hash}", "/v1/log/evidence/" + id, 200, forever, "application/octet-stream", "recorded"},
		{"/v1/log/evidence/{hash}", "/v1/log/evidence/" + repeat(9, 32).String(), 404, never, "", ""},
		{"/v1/log/evidence/{hash}", "/v1/log/evidence/" + id + "00", 400, never, "", ""},
		{"/v1/log/proof/{id}", "/v1/log/proof/" + id, 200, ask, "text/plain; charset=utf-8", "c2sp.org/tlog-proof@v1\n"},
		{"/v1/log/proof/{id}", "/v1/log/proof/" + repeat(9, 32).String(), 404, never, "", ""},
		{"/v1/log/proof/{id}", "/v1/log/proof/" + id + "00", 400, never, "", ""},
		{"/v1/log/namespace/{height}/{namespace}", "/v1/log/namespace/7/demo", 200, ask, "application/json", ""},
		{"/v1/log/namespace/{height}/{namespace}", "/v1/log/namespace/7/other", 200, ask, "application/json", ""},
		{"/v1/log/namespace/{height}/{namespace}", "/v1/log/namespace/8/demo", 404, never, "", ""},
		{"/v1/log/namespace/{height}/{namespace}", "/v1/log/namespace/7/DEMO", 422, never, "", ""},
		{"/v1/log/namespace/{height}/{namespace}", "/v1/log/namespace/0/demo", 400, never, "", ""},
		{"/v1/evidence", "/v1/evidence", 200, never, "application/json", ""},
		{"/v1/evidence", "/v1/evidence?after=7&limit=2", 200, never, "application/json", `{"evidence":[],"next":null}` + "\n"},
		{"/v1/evidence", "/v1/evidence?after=x", 400, never, "", ""},
		{"/v1/evidence", "/v1/evidence?limit=0", 400, never, "", ""},
		{"/v1/evidence/{number}", "/v1/evidence/7", 200, forever, "application/octet-stream", "evidence"},
		{"/v1/evidence/{number}", "/v1/evidence/8", 404, never, "", ""},
		{"/v1/evidence/{number}", "/v1/evidence/07", 404, never, "", ""},
	} {
		rec := d.get(t, tt.route, tt.target)
		if rec.Code != tt.status || rec.Header().Get("Cache-Control") != tt.cache {
			t.Errorf("%s: status %d, cached %q; want %d, %q", tt.target, rec.Code, rec.Header().Get("Cache-Control"), tt.status, tt.cache)
		}
		if tt.status == 200 && rec.Header().Get("Content-Type") != tt.media {
			t.Errorf("%s: content type %q", tt.target, rec.Header().Get("Content-Type"))
		}
		if tt.body != "" && rec.Body.String() != tt.body {
			t.Errorf("%s: %q", tt.target, rec.Body)
		}
	}
	if kind := d.get(t, "/v1/evidence/{number}", "/v1/evidence/7").Header().Get("X-Scrim-Evidence-Kind"); kind != "bad_point" {
		t.Errorf("evidence of kind %q", kind)
	}
	if name := d.get(t, "/v1/log/proof/{id}", "/v1/log/proof/"+id).Header().Get("Content-Disposition"); !strings.HasSuffix(name, `.tlog-proof"`) {
		t.Errorf("the proof is saved as %s", name)
	}
}

func TestLogTilesAreNotSentTwice(t *testing.T) {
	d := newDoor(t, Options{})
	first := d.get(t, "/v1/log/tile/{tile}", "/v1/log/tile/0/000")
	r := httptest.NewRequest(http.MethodGet, "/v1/log/tile/0/000", nil)
	r.Header.Set("If-None-Match", first.Header().Get("ETag"))
	if again := d.do(t, "/v1/log/tile/{tile}", r); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("status %d, %d bytes", again.Code, again.Body.Len())
	}
	head := d.do(t, "/v1/log/tile/{tile}", httptest.NewRequest(http.MethodHead, "/v1/log/tile/entries/000", nil))
	if head.Code != http.StatusOK || head.Header().Get("ETag") == "" {
		t.Errorf("HEAD: status %d", head.Code)
	}
}

func TestLogErrorsStayInTheNode(t *testing.T) {
	d := newDoor(t, Options{})
	d.err = context.DeadlineExceeded
	if rec := d.get(t, "/v1/log/checkpoint", "/v1/log/checkpoint"); rec.Code != http.StatusServiceUnavailable || code(t, rec) != v1.CodeTimeout {
		t.Errorf("status %d: %s", rec.Code, rec.Body)
	}
	d.err = bytes.ErrTooLarge
	rec := d.get(t, "/v1/log/tile/{tile}", "/v1/log/tile/0/000")
	if rec.Code != http.StatusInternalServerError || strings.Contains(rec.Body.String(), "large") {
		t.Errorf("status %d: %s", rec.Code, rec.Body)
	}
}
