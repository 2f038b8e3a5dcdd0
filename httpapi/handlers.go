package httpapi

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/go-chi/chi/v5"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/threshold"
)

// An endpoint reads its request strictly, asks the backend, and says how the
// answer may be stored. How it is written is one place's business: serve.
type endpoint func(r *http.Request) (answer, error)

func (a *api) limits(r *http.Request) (answer, error) {
	l := a.backend.Limits(r.Context())
	l.MaxBodyBytes = uint64(a.opts.MaxBody)
	l.RatePerMinute = uint64(max(a.opts.RatePerMinute, 0))
	l.MaxPageSize = MaxPage
	return answer{body: l}, nil
}

func (a *api) health(r *http.Request) (answer, error) {
	return answer{body: a.backend.Health(r.Context())}, nil
}

func (a *api) ready(r *http.Request) (answer, error) {
	s := a.backend.Ready(r.Context())
	if s.Reasons == nil {
		s.Reasons = []v1.Reason{}
	}
	if s.Ready {
		return answer{body: s}, nil
	}
	return answer{}, (&Error{Code: v1.CodeNotReady}).
		With("reasons", s.Reasons).With("height", s.Height).With("epoch", s.Epoch).With("in_office", s.InOffice).With("peers", s.Peers)
}

func (a *api) encryptionKeys(r *http.Request) (answer, error) {
	keys, err := a.backend.EncryptionKeys(r.Context())
	keys.Keys = orEmpty(keys.Keys)
	return answer{body: keys}, err
}

func (a *api) committee(r *http.Request) (answer, error) {
	c, err := a.backend.Committee(r.Context())
	c.Members = orEmpty(c.Members)
	return answer{body: c}, err
}

func (a *api) committees(r *http.Request) (answer, error) {
	from, limit, err := pageQuery(r, "from", epoch)
	if err != nil {
		return answer{}, err
	}
	page, err := a.backend.Committees(r.Context(), from, limit)
	page.Committees = orEmpty(page.Committees)
	return answer{body: page}, err
}

func (a *api) ceremonies(r *http.Request) (answer, error) {
	before, limit, err := pageQuery(r, "before", idText)
	if err != nil {
		return answer{}, err
	}
	page, err := a.backend.Ceremonies(r.Context(), before, limit)
	page.Ceremonies = orEmpty(page.Ceremonies)
	return answer{body: page}, err
}

func (a *api) ceremony(r *http.Request) (answer, error) {
	id, err := pathID(r)
	if err != nil {
		return answer{}, err
	}
	c, err := a.backend.Ceremony(r.Context(), v1.Hex(id[:]).String())
	if err != nil {
		return answer{}, err
	}
	c.Status, c.Waiting, c.Blame = orEmpty(c.Status), orEmpty(c.Waiting), orEmpty(c.Blame)
	c.Aborting, c.Evidence = orEmpty(c.Aborting), orEmpty(c.Evidence)
	if c.Final() {
		return answer{body: c, cache: cacheForever}, nil
	}
	return answer{body: c}, nil
}

// transcript gives bytes: what was said in a ceremony, for those who check or recover
// a share with it.
func (a *api) transcript(w http.ResponseWriter, r *http.Request) {
	select {
	case a.transcripts <- struct{}{}:
		defer func() { <-a.transcripts }()
	default:
		a.fail(w, r, Errorf(v1.CodeBusy, "%d transcripts are being sent", MaxTranscripts).With("max", MaxTranscripts))
		return
	}
	state, err := a.readTranscript(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	writeBody(w, r, http.StatusOK, "application/octet-stream", cacheNever, state)
}

func (a *api) readTranscript(r *http.Request) ([]byte, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	return a.backend.Transcript(r.Context(), v1.Hex(id[:]).String())
}

// submit answers a repeated submission as it did the first: the answer states
// what was accepted, not what has become of it since.
func (a *api) submit(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, func(r *http.Request) (answer, error) {
		body, err := readJSON(w, r, a.opts.MaxBody)
		if err != nil {
			return answer{}, err
		}
		req, err := decodeSubmit(body)
		if err != nil {
			return answer{}, err
		}
		tx, err := a.backend.Submit(r.Context(), req.Namespace, req.Ciphertext)
		if err != nil {
			return answer{}, err
		}
		return answer{
			status:   http.StatusAccepted,
			location: "/v1/transactions/" + tx.ID.String(),
			body: v1.Transaction{
				ID: tx.ID, Namespace: tx.Namespace, Status: v1.StatusReceived,
				ValidUntil: tx.ValidUntil, Receipt: tx.Receipt,
			},
		}, nil
	})
}

// maxMessageBody is the largest ceremony message in hex, and room for the rest.
const maxMessageBody = 2*keygen.MaxMessageSize + 1024

// relay passes a ceremony message on. Anyone may send it: what it says is its
// member's word by the signature, not by who brings it.
func (a *api) relay(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, func(r *http.Request) (answer, error) {
		id, err := pathID(r)
		if err != nil {
			return answer{}, err
		}
		body, err := readJSON(w, r, min(a.opts.MaxBody, maxMessageBody))
		if err != nil {
			return answer{}, err
		}
		message, err := decodeMessage(body)
		if err != nil {
			return answer{}, err
		}
		taken, err := a.backend.Relay(r.Context(), v1.Hex(id[:]).String(), message)
		return answer{status: http.StatusAccepted, body: taken}, err
	})
}

func (a *api) transaction(r *http.Request) (answer, error) {
	id, err := pathID(r)
	if err != nil {
		return answer{}, err
	}
	tx, err := a.backend.Transaction(r.Context(), id)
	if err != nil {
		return answer{}, err
	}
	return answer{body: tx, cache: keepTransaction(tx)}, nil
}

func (a *api) order(r *http.Request) (answer, error) {
	id, err := pathID(r)
	if err != nil {
		return answer{}, err
	}
	q, err := query(r, "other")
	if err != nil {
		return answer{}, err
	}
	var other *threshold.ID
	if q.Has("other") {
		b, err := v1.ParseHex(q.Get("other"))
		if err != nil || len(b) != len(id) {
			return answer{}, &Error{Code: v1.CodeInvalidID}
		}
		other = (*threshold.ID)(b)
	}
	o, err := a.backend.Order(r.Context(), id, other)
	if err != nil {
		return answer{}, err
	}
	o.Logs = orEmpty(o.Logs)
	if o.Wait != nil {
		o.Wait.WaitsFor = orEmpty(o.Wait.WaitsFor)
	}
	if o.Other != nil {
		o.Other.Chain, o.Other.Component = orEmpty(o.Other.Chain), orEmpty(o.Other.Component)
	}
	return answer{body: o}, nil
}

// keepTransaction: a transaction that is open here, but not in the log yet, has
// no reveal height; one that was received elsewhere may still be submitted here,
// which adds a receipt.
func keepTransaction(tx v1.Transaction) cachePolicy {
	logged := tx.RevealHeight != nil && settled(tx.Times) || tx.Status == v1.StatusExpired
	switch {
	case !tx.Status.Final() || !logged:
		return cacheNever
	case tx.Receipt == nil:
		return cacheRevalidate
	}
	return cacheForever
}

// settled says whether no time can be added any more: the last comes with the block after the reveal.
func settled(t *v1.BlockTimes) bool { return t == nil || t.Recorded != nil }

func (a *api) batches(r *http.Request) (answer, error) {
	before, limit, err := pageQuery(r, "before", height)
	if err != nil {
		return answer{}, err
	}
	page, err := a.backend.Batches(r.Context(), before, limit)
	page.Batches = orEmpty(page.Batches)
	return answer{body: page}, err
}

func (a *api) batch(r *http.Request) (answer, error) {
	h, err := height(chi.URLParam(r, "height"))
	if err != nil {
		return answer{}, err
	}
	b, err := a.backend.Batch(r.Context(), h)
	if err != nil {
		return answer{}, err
	}
	b.Transactions = orEmpty(b.Transactions)
	if b.Phase == v1.PhaseRevealed && settled(b.Times) {
		return answer{body: b, cache: cacheForever}, nil
	}
	return answer{body: b}, nil
}

func (a *api) stream(r *http.Request) (answer, error) {
	after, limit, err := pageQuery(r, "after", cursor)
	if err != nil {
		return answer{}, err
	}
	page, err := a.backend.Stream(r.Context(), chi.URLParam(r, "namespace"), after, limit)
	if err != nil {
		return answer{}, err
	}
	page.Transactions = orEmpty(page.Transactions)
	trimPage(&page)
	return answer{body: page}, nil
}

// maxPageBytes is where a page of the stream ends even if it has fewer items
// than asked for; one item always fits.
const maxPageBytes = 4 << 20

func trimPage(p *v1.StreamPage) {
	size := 0
	for i, tx := range p.Transactions {
		size += 2*len(tx.Plaintext) + 1024 // 1024: about all the rest
		if size <= maxPageBytes || i == 0 || tx.Height == nil {
			continue
		}
		last := p.Transactions[i-1]
		if last.Height == nil || last.Place == nil {
			return
		}
		p.Transactions = p.Transactions[:i]
		p.Next = v1.Cursor{Height: *last.Height, Place: *last.Place}
		p.More = true
		return
	}
}

// pathID reads {id}.
func pathID(r *http.Request) (threshold.ID, error) { return parseID(chi.URLParam(r, "id")) }

// parseID reads 32 bytes in the one encoding.
func parseID(s string) (id threshold.ID, err error) {
	b, err := v1.ParseHex(s)
	if err != nil || len(b) != len(id) {
		return id, &Error{Code: v1.CodeInvalidID}
	}
	return threshold.ID(b), nil
}

func height(s string) (uint64, error) {
	h, err := v1.ParseInteger(s, v1.MaxInteger)
	if err != nil || h == 0 {
		return 0, &Error{Code: v1.CodeInvalidHeight}
	}
	return h, nil
}

// pageQuery reads where a page begins, the zero value if that is left out, and how long it may be.
func pageQuery[T any](r *http.Request, name string, parse func(string) (T, error)) (at T, limit int, err error) {
	q, err := query(r, name, "limit")
	if err != nil {
		return at, 0, err
	}
	if limit, err = pageLimit(q); err != nil || !q.Has(name) {
		return at, limit, err
	}
	at, err = parse(q.Get(name))
	return at, limit, err
}

func epoch(s string) (uint64, error) {
	n, err := v1.ParseInteger(s, v1.MaxInteger)
	if err != nil {
		return 0, &Error{Code: v1.CodeInvalidEpoch}
	}
	return n, nil
}

// idText is an id in its one spelling.
func idText(s string) (string, error) {
	id, err := parseID(s)
	if err != nil {
		return "", err
	}
	return v1.Hex(id[:]).String(), nil
}

func cursor(s string) (v1.Cursor, error) {
	c, err := v1.ParseCursor(s)
	if err != nil {
		return c, &Error{Code: v1.CodeInvalidCursor}
	}
	return c, nil
}

func pageLimit(q url.Values) (int, error) {
	if !q.Has("limit") {
		return DefaultPage, nil
	}
	n, err := v1.ParseInteger(q.Get("limit"), MaxPage)
	if err != nil || n == 0 {
		return 0, Errorf(v1.CodeInvalidLimit, "limit must be a number from 1 to %d", MaxPage).With("max", MaxPage)
	}
	return int(n), nil
}

// query reads the query with the known parameters, each at most once.
func query(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Errorf(v1.CodeUnknownParameter, "the query can't be decoded")
	}
	for name, values := range q {
		if !slices.Contains(known, name) {
			return nil, Errorf(v1.CodeUnknownParameter, "there is no parameter %.40q here", name).With("parameter", name)
		}
		if len(values) > 1 {
			return nil, Errorf(v1.CodeUnknownParameter, "the parameter %q is given twice", name).With("parameter", name)
		}
	}
	return q, nil
}

// orEmpty makes a list that the backend left nil an empty one in JSON.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
