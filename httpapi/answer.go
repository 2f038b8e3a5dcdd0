package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// answer is what an endpoint says.
type answer struct {
	status   int // 0: 200
	location string
	body     any
	cache    cachePolicy
}

// cachePolicy says who may keep an answer and for how long.
type cachePolicy string

const (
	cacheNever      cachePolicy = "no-store"                            // it may change at any moment
	cacheRevalidate cachePolicy = "no-cache"                            // keep it, and ask whether it still holds
	cacheForever    cachePolicy = "public, max-age=31536000, immutable" // it never changes
	cacheForAnHour  cachePolicy = "public, max-age=3600"                // it changes with the program only
)

// serve runs the endpoint and writes what it says.
func (a *api) serve(w http.ResponseWriter, r *http.Request, e endpoint) {
	ans, err := e(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	body, err := json.Marshal(ans.body)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if ans.location != "" {
		w.Header().Set("Location", ans.location)
	}
	if ans.cache == "" {
		ans.cache = cacheNever
	}
	writeBody(w, r, ans.status, "application/json", ans.cache, append(body, '\n'))
}

// get makes an endpoint that takes no query a handler.
func (a *api) get(e endpoint) http.HandlerFunc {
	return a.getQuery(func(r *http.Request) (answer, error) {
		if _, err := query(r); err != nil {
			return answer{}, err
		}
		return e(r)
	})
}

// getQuery makes an endpoint that reads its query itself a handler.
func (a *api) getQuery(e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, e) }
}

// text serves a fixed body.
func text(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		writeBody(w, r, http.StatusOK, contentType, cacheForAnHour, []byte(body))
	}
}

// writeBody writes an answer, or that the caller's copy of it still holds.
func writeBody(w http.ResponseWriter, r *http.Request, status int, contentType string, cache cachePolicy, body []byte) {
	h := w.Header()
	h.Set("Cache-Control", string(cache))
	if cache != cacheNever {
		sum := sha256.Sum256(body)
		etag := `"` + hex.EncodeToString(sum[:16]) + `"`
		h.Set("ETag", etag)
		if matches(r.Header.Values("If-None-Match"), etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if status == 0 {
		status = http.StatusOK
	}
	h.Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // G705: no answer is HTML, and nosniff says so; fails when the client has gone
}

// matches is the weak comparison of RFC 9110, 13.1.2.
func matches(ifNoneMatch []string, etag string) bool {
	for _, field := range ifNoneMatch {
		for tag := range strings.SplitSeq(field, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}

// fail answers with the problem that err is. What is not the caller's to mend
// goes to the log, and the caller learns only that it is there.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	var problem *Error
	known := errors.As(err, &problem) && problem != nil
	if known {
		_, known = problemTypeByCode[problem.Code]
	}
	switch {
	case known:
		writeProblem(w, r, problem)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		writeProblem(w, r, &Error{Code: v1.CodeTimeout})
	default:
		a.log.Error("request failed", "request_id", w.Header().Get(headerRequestID), "route", route(r), "error", err)
		writeProblem(w, r, &Error{Code: v1.CodeInternal})
	}
}
