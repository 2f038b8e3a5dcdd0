// Package explorer is a node's pages for people: the newest batches, a batch, a
// transaction with its way from received to opened, and the hashes and commands
// with which anybody rechecks what a page says.
//
//	r.Mount("/explorer", explorer.New(backend))
//
// The pages are plain HTML with an inline SVG picture: no script, no request to
// anywhere else, and a Content-Security-Policy that allows neither. What they show
// is what the REST API answers, not more; nothing on them is proof by itself.
package explorer

import (
	"bytes"
	"context"
	"embed"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/threshold"
)

// Backend is what the pages are made of: a part of httpapi.Backend.
type Backend interface {
	Limits(ctx context.Context) v1.Limits
	Batches(ctx context.Context, before uint64, limit int) (v1.Batches, error)
	Batch(ctx context.Context, height uint64) (v1.Batch, error)
	Transaction(ctx context.Context, id threshold.ID) (v1.Transaction, error)
}

// Options of the pages.
type Options struct {
	// NotFound reports whether an error of the backend means that there is no such thing.
	NotFound func(error) bool
	// Failed is told of every other error, with the request.
	Failed func(*http.Request, error)
}

//go:embed pages/*.html pages/style.css
var files embed.FS

// contentPolicy lets a page load its one style sheet and send its one form, and nothing else.
const contentPolicy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

const perPage = 50

type pages struct {
	backend Backend
	options Options
	views   map[string]*template.Template
	style   []byte
}

// New is the handler of the pages, to be mounted at /explorer.
func New(b Backend, o Options) http.Handler {
	p := &pages{backend: b, options: o, views: make(map[string]*template.Template)}
	for _, name := range []string{"batches", "batch", "transaction", "error"} {
		p.views[name] = template.Must(template.New("frame.html").Funcs(words).ParseFS(files, "pages/frame.html", "pages/"+name+".html"))
	}
	p.style, _ = files.ReadFile("pages/style.css") // it is embedded
	r := chi.NewRouter()
	r.Get("/", p.batches)
	r.Get("/batches/{height}", p.batch)
	r.Get("/transactions/{id}", p.transaction)
	r.Get("/search", p.search)
	r.Get("/style.css", p.css)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		p.problem(w, r, http.StatusNotFound, "There is no such page.")
	})
	return r
}

func (p *pages) css(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(p.style)
}

// frame is what every page shows around its own content.
type frame struct {
	Title string
	Chain string
	Node  string // the address under which the reader sees this node
	Body  any
}

func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, view, title string, body any) {
	limits := p.backend.Limits(r.Context())
	var out bytes.Buffer
	f := frame{Title: title, Chain: limits.ChainID, Node: address(r), Body: body}
	if err := p.views[view].Execute(&out, f); err != nil {
		p.failed(r, err)
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w) // fails when the reader has gone
}

// address is the node's own, for the commands that a page shows. What a request says of
// it is not believed further than the characters of a host and port.
func address(r *http.Request) string {
	strange := func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune(".:-[]", c)
	}
	if r.Host == "" || len(r.Host) > 253 || strings.ContainsFunc(r.Host, strange) {
		return "http://NODE"
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (p *pages) problem(w http.ResponseWriter, r *http.Request, status int, what string) {
	p.show(w, r, status, "error", http.StatusText(status), what)
}

func (p *pages) failed(r *http.Request, err error) {
	if p.options.Failed != nil {
		p.options.Failed(r, err)
	}
}

// refuse answers for an error of the backend.
func (p *pages) refuse(w http.ResponseWriter, r *http.Request, err error, missing string) {
	if p.options.NotFound != nil && p.options.NotFound(err) {
		p.problem(w, r, http.StatusNotFound, missing)
		return
	}
	p.failed(r, err)
	p.problem(w, r, http.StatusInternalServerError, "The node could not answer. Try again; its operator finds the reason in the log.")
}

func (p *pages) batches(w http.ResponseWriter, r *http.Request) {
	before := uint64(0)
	if text := r.URL.Query().Get("before"); text != "" {
		var err error
		if before, err = v1.ParseInteger(text, v1.MaxInteger); err != nil {
			p.problem(w, r, http.StatusBadRequest, "before must be a height.")
			return
		}
	}
	page, err := p.backend.Batches(r.Context(), before, perPage)
	if err != nil {
		p.refuse(w, r, err, "There are no batches.")
		return
	}
	p.show(w, r, http.StatusOK, "batches", "Batches", page)
}

func (p *pages) batch(w http.ResponseWriter, r *http.Request) {
	height, err := v1.ParseInteger(chi.URLParam(r, "height"), v1.MaxInteger)
	if err != nil {
		p.problem(w, r, http.StatusBadRequest, "A batch is named by its height, a number.")
		return
	}
	b, err := p.backend.Batch(r.Context(), height)
	if err != nil {
		p.refuse(w, r, err, "This node knows no batch of that height. Most heights have none: blocks without transactions order nothing.")
		return
	}
	p.show(w, r, http.StatusOK, "batch", "Batch "+chi.URLParam(r, "height"), struct {
		v1.Batch
		Picture picture
	}{b, batchPicture(b.BatchSummary)})
}

func (p *pages) transaction(w http.ResponseWriter, r *http.Request) {
	id, err := v1.ParseHex(chi.URLParam(r, "id"))
	if err != nil || len(id) != len(threshold.ID{}) {
		p.problem(w, r, http.StatusBadRequest, "A transaction is named by its id: 0x and 64 hexadecimal digits.")
		return
	}
	tx, err := p.backend.Transaction(r.Context(), threshold.ID(id))
	if err != nil {
		p.refuse(w, r, err, "This node knows nothing of that transaction. It may have reached other nodes only.")
		return
	}
	view := struct {
		v1.Transaction
		Batch   *v1.BatchSummary
		Picture picture
	}{Transaction: tx}
	if tx.Height != nil {
		b, err := p.backend.Batch(r.Context(), *tx.Height)
		if err != nil {
			p.refuse(w, r, err, "Its batch is not known here.")
			return
		}
		view.Batch = &b.BatchSummary
	}
	view.Picture = transactionPicture(tx)
	p.show(w, r, http.StatusOK, "transaction", "Transaction", view)
}

// search leads from what somebody typed to its page: an id or a height.
func (p *pages) search(w http.ResponseWriter, r *http.Request) {
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	if height, err := v1.ParseInteger(q, v1.MaxInteger); err == nil {
		http.Redirect(w, r, "/explorer/batches/"+strconv.FormatUint(height, 10), http.StatusSeeOther)
		return
	}
	if id, err := v1.ParseHex(strings.ToLower(q)); err == nil && len(id) == len(threshold.ID{}) {
		http.Redirect(w, r, "/explorer/transactions/"+id.String(), http.StatusSeeOther) //nolint:gosec // a path of our own, and hexadecimal digits
		return
	}
	p.problem(w, r, http.StatusBadRequest, "Type a height, or a transaction's id: 0x and 64 hexadecimal digits.")
}
