package httpapi

import (
	"net/http"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// exportPatience is how long one write of an export may wait for its reader.
const exportPatience = 30 * time.Second

// export streams the audit bundle. It may take longer than any other answer, so
// its write deadline moves on with every write; if it breaks off, so does the
// connection, and no reader takes a part for the whole.
func (a *api) export(w http.ResponseWriter, r *http.Request) {
	if _, err := query(r); err != nil {
		a.fail(w, r, err)
		return
	}
	select {
	case a.exports <- struct{}{}:
		defer func() { <-a.exports }()
	default:
		a.fail(w, r, Errorf(v1.CodeBusy, "%d exports are running", MaxExports).With("max", MaxExports))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", string(cacheNever))
	h.Set("Content-Disposition", `attachment; filename="scrim-audit-bundle.jsonl"`)
	if r.Method == http.MethodHead {
		return
	}
	out := &patientWriter{w: w, rc: http.NewResponseController(w)}
	err := a.backend.Export(r.Context(), out)
	switch {
	case err == nil:
	case !out.begun:
		h.Del("Content-Disposition")
		a.fail(w, r, err)
	default:
		if r.Context().Err() == nil {
			a.log.Warn("export broke off", "request_id", h.Get(headerRequestID), "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// patientWriter gives each write its own deadline.
type patientWriter struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	begun bool
}

func (p *patientWriter) Write(b []byte) (int, error) {
	p.begun = true
	// Not supported by every ResponseWriter; then the server's own timeout holds.
	_ = p.rc.SetWriteDeadline(time.Now().Add(exportPatience))
	return p.w.Write(b)
}
