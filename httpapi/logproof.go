package httpapi

import (
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// Both proofs are at the newest checkpoint, so the next answer may be another one.

func (a *api) logEntryProof(r *http.Request) (rawAnswer, error) {
	index, err := numberFromZero(chi.URLParam(r, "index"), "an index of an entry")
	if err != nil {
		return rawAnswer{}, err
	}
	b, err := a.backend.LogEntryProof(r.Context(), index)
	return rawAnswer{contentType: typeText, cache: cacheNever, filename: "entry-" + strconv.FormatUint(index, 10) + ".tlog-proof", body: b}, err
}

func (a *api) logConsistency(r *http.Request) (rawAnswer, error) {
	old, err := numberFromZero(chi.URLParam(r, "old"), "a size of the log")
	if err != nil {
		return rawAnswer{}, err
	}
	b, err := a.backend.LogConsistency(r.Context(), old)
	return rawAnswer{contentType: typeText, cache: cacheNever, filename: "consistency-" + strconv.FormatUint(old, 10), body: b}, err
}

// numberFromZero reads a number of a path; another spelling is no address.
func numberFromZero(s, what string) (uint64, error) {
	n, err := v1.ParseInteger(s, v1.MaxInteger)
	if err != nil {
		return 0, Errorf(v1.CodeNotFound, "%.40q is not %s: a decimal number without leading zeros", s, what)
	}
	return n, nil
}
