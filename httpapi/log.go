package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/scrimlabs/scrim/commitreveal"
	"github.com/scrimlabs/scrim/commitreveal/tiles"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/threshold"
)

// LogBackend is what the API needs of a node to publish its log (docs/spec/log.md) and its evidence. Codes are as for [Backend].
type LogBackend interface {
	// LogCheckpoint gives the signed checkpoint of a size, 0 for the newest; code not_found if there is none.
	LogCheckpoint(ctx context.Context, size uint64) ([]byte, error)
	// LogTile gives the content of a tile; code not_found if the log does not have all of it.
	LogTile(ctx context.Context, t tiles.Tile) ([]byte, error)
	// LogBatch gives the bundle lines of the batch of a height, and whether it is revealed, after which they never change. Code not_found if
	// there is none.
	LogBatch(ctx context.Context, height uint64) (lines []byte, revealed bool, err error)
	// LogRounds gives the first bundle lines of the rounds of heights above after and up to height, none if there are no more; code not_found if
	// the block is not there yet.
	LogRounds(ctx context.Context, after, height uint64) (lines []byte, err error)
	// LogLimits gives the chain's limits, as the bundle's header has them.
	LogLimits() ([]byte, error)
	// LogCertificate gives the ceremony certificate of a hash; code not_found if the log names none such.
	LogCertificate(ctx context.Context, hash commitreveal.Hash) ([]byte, error)
	// LogEvidence gives the evidence of a hash; code not_found if no misbehaviour entry of the log names it.
	LogEvidence(ctx context.Context, hash commitreveal.Hash) ([]byte, error)
	// LogProof gives the .tlog-proof of a transaction; code not_found if it is not in the log.
	LogProof(ctx context.Context, id threshold.ID) ([]byte, error)
	// LogEntryProof gives the .tlog-proof of an entry, with the entry as extra, at the newest checkpoint; code not_found if it does not have it.
	LogEntryProof(ctx context.Context, index uint64) ([]byte, error)
	// LogConsistency gives the proof that the newest checkpoint extends the first old entries, as a witness is asked (note.AddCheckpoint); code
	// not_found if it has fewer.
	LogConsistency(ctx context.Context, old uint64) ([]byte, error)
	// LogNamespace gives the completeness proof of a namespace in a batch; codes not_found and invalid_namespace.
	LogNamespace(ctx context.Context, height uint64, namespace string) (v1.NamespaceProof, error)
	// EvidenceList gives at most limit pieces of evidence with a number above after, oldest first.
	EvidenceList(ctx context.Context, after uint64, limit int) (v1.EvidenceList, error)
	// OneEvidence gives the kind and body of one; code not_found if there is none.
	OneEvidence(ctx context.Context, number uint64) (kind string, body []byte, err error)
}

const (
	typeText   = "text/plain; charset=utf-8" // tlog-tiles, Checkpoints
	typeBytes  = "application/octet-stream"  // tlog-tiles, Merkle Tree and Log entries
	typeJSON   = "application/json"
	typeLines  = "application/x-ndjson"
	headerKind = "X-Scrim-Evidence-Kind"
)

// logRoutes adds the addresses of the log.
func (a *api) logRoutes(r chi.Router) {
	r.Get("/v1/log/checkpoint", a.raw(a.logCheckpoint))
	r.Get("/v1/log/checkpoint/{size}", a.raw(a.logCheckpointOf))
	r.Get("/v1/log/tile/*", a.raw(a.logTile))
	r.Get("/v1/log/batch/{height}", a.raw(a.logBatch))
	r.Get("/v1/log/rounds/{from}/{height}", a.raw(a.logRounds))
	r.Get("/v1/log/limits", a.raw(a.logLimits))
	r.Get("/v1/log/certificate/{hash}", a.raw(a.logCertificate))
	r.Get("/v1/log/evidence/{hash}", a.raw(a.logEvidence))
	r.Get("/v1/log/proof/{id}", a.raw(a.logProof))
	r.Get("/v1/log/entry/{index}/proof", a.raw(a.logEntryProof))
	r.Get("/v1/log/consistency/{old}", a.raw(a.logConsistency))
	r.Get("/v1/log/namespace/{height}/{namespace}", a.get(a.logNamespace))
	r.Get("/v1/evidence", a.getQuery(a.evidenceList))
	r.Get("/v1/evidence/{number}", a.raw(a.oneEvidence))
}

// rawAnswer is an answer that is no JSON.
type rawAnswer struct {
	contentType string
	cache       cachePolicy
	kind        string // of evidence
	filename    string // under which to save it
	body        []byte
}

// raw makes an endpoint that answers with bytes a handler.
func (a *api) raw(e func(r *http.Request) (rawAnswer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := query(r); err != nil {
			a.fail(w, r, err)
			return
		}
		ans, err := e(r)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		if ans.kind != "" {
			w.Header().Set(headerKind, ans.kind)
		}
		if ans.filename != "" {
			w.Header().Set("Content-Disposition", `attachment; filename="`+ans.filename+`"`)
		}
		writeBody(w, r, http.StatusOK, ans.contentType, ans.cache, ans.body)
	}
}

func (a *api) logCheckpoint(r *http.Request) (rawAnswer, error) {
	b, err := a.backend.LogCheckpoint(r.Context(), 0)
	return rawAnswer{contentType: typeText, cache: cacheNever, body: b}, err
}

func (a *api) logCheckpointOf(r *http.Request) (rawAnswer, error) {
	size, err := number(chi.URLParam(r, "size"), "a size of the log")
	if err != nil {
		return rawAnswer{}, err
	}
	b, err := a.backend.LogCheckpoint(r.Context(), size)
	return rawAnswer{contentType: typeText, cache: cacheRevalidate, body: b}, err
}

// logTile serves the paths of tlog-tiles, each in its one spelling.
func (a *api) logTile(r *http.Request) (rawAnswer, error) {
	t, err := tiles.ParsePath(strings.TrimPrefix(r.URL.EscapedPath(), "/v1/log/"))
	if err != nil {
		return rawAnswer{}, Errorf(v1.CodeNotFound, "not the path of a tile; see c2sp.org/tlog-tiles")
	}
	b, err := a.backend.LogTile(r.Context(), t)
	return rawAnswer{contentType: typeBytes, cache: cacheForever, body: b}, err
}

func (a *api) logBatch(r *http.Request) (rawAnswer, error) {
	h, err := height(chi.URLParam(r, "height"))
	if err != nil {
		return rawAnswer{}, err
	}
	b, revealed, err := a.backend.LogBatch(r.Context(), h)
	ans := rawAnswer{contentType: typeLines, cache: cacheNever, body: b}
	if revealed {
		ans.cache = cacheForever
	}
	return ans, err
}

func (a *api) logRounds(r *http.Request) (rawAnswer, error) {
	h, err := height(chi.URLParam(r, "height"))
	if err != nil {
		return rawAnswer{}, err
	}
	from, err := height(chi.URLParam(r, "from"))
	if err != nil {
		return rawAnswer{}, err
	}
	b, err := a.backend.LogRounds(r.Context(), from-1, h)
	return rawAnswer{contentType: typeLines, cache: cacheForever, body: b}, err
}

func (a *api) logLimits(*http.Request) (rawAnswer, error) {
	b, err := a.backend.LogLimits()
	return rawAnswer{contentType: typeJSON, cache: cacheForever, body: b}, err
}

func (a *api) logCertificate(r *http.Request) (rawAnswer, error) {
	return besideLog(r, a.backend.LogCertificate)
}

func (a *api) logEvidence(r *http.Request) (rawAnswer, error) {
	return besideLog(r, a.backend.LogEvidence)
}

// besideLog serves a body that a log entry names by its hash.
func besideLog(r *http.Request, read func(context.Context, commitreveal.Hash) ([]byte, error)) (rawAnswer, error) {
	b, err := v1.ParseHex(chi.URLParam(r, "hash"))
	if err != nil || len(b) != commitreveal.HashSize {
		return rawAnswer{}, &Error{Code: v1.CodeInvalidID}
	}
	body, err := read(r.Context(), commitreveal.Hash(b))
	return rawAnswer{contentType: typeBytes, cache: cacheForever, body: body}, err
}

func (a *api) logProof(r *http.Request) (rawAnswer, error) {
	id, err := pathID(r)
	if err != nil {
		return rawAnswer{}, err
	}
	b, err := a.backend.LogProof(r.Context(), id)
	return rawAnswer{contentType: typeText, cache: cacheRevalidate, filename: v1.HexOf(id[:]).String() + ".tlog-proof", body: b}, err
}

func (a *api) logNamespace(r *http.Request) (answer, error) {
	h, err := height(chi.URLParam(r, "height"))
	if err != nil {
		return answer{}, err
	}
	p, err := a.backend.LogNamespace(r.Context(), h, chi.URLParam(r, "namespace"))
	p.Transactions = orEmpty(p.Transactions)
	// The checkpoint in it gets further signatures as time goes by.
	return answer{body: p, cache: cacheRevalidate}, err
}

func (a *api) evidenceList(r *http.Request) (answer, error) {
	after, limit, err := pageQuery(r, "after", evidenceNumber)
	if err != nil {
		return answer{}, err
	}
	page, err := a.backend.EvidenceList(r.Context(), after, limit)
	page.Evidence = orEmpty(page.Evidence)
	return answer{body: page}, err
}

func (a *api) oneEvidence(r *http.Request) (rawAnswer, error) {
	n, err := number(chi.URLParam(r, "number"), "a number of evidence")
	if err != nil {
		return rawAnswer{}, err
	}
	kind, body, err := a.backend.OneEvidence(r.Context(), n)
	return rawAnswer{contentType: typeBytes, cache: cacheForever, kind: kind, filename: "evidence-" + strconv.FormatUint(n, 10), body: body}, err
}

// evidenceNumber reads the next of an earlier page of evidence.
func evidenceNumber(s string) (uint64, error) {
	n, err := number(s, "next of an earlier page")
	if err != nil {
		return 0, &Error{Code: v1.CodeInvalidCursor}
	}
	return n, nil
}

// number reads a number of a path, from 1; another spelling is no address.
func number(s, what string) (uint64, error) {
	n, err := v1.ParseInteger(s, v1.MaxInteger)
	if err != nil || n == 0 {
		return 0, Errorf(v1.CodeNotFound, "%.40q is not %s: a decimal number from 1 without leading zeros", s, what)
	}
	return n, nil
}
