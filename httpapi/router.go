package httpapi

import (
	_ "embed"
	"errors"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/scrimlabs/scrim/httpapi/explorer"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// The contract in both notations; a test keeps the second equal to the first.
var (
	//go:embed openapi.yaml
	openapiYAML string
	//go:embed openapi.json
	openapiJSON string
)

// router says which address is answered by what.
func (a *api) router() chi.Router {
	r := chi.NewRouter()
	r.Use(identify, a.watch, clientIP(a.opts.TrustedProxies))
	if len(a.opts.CORSOrigins) > 0 {
		r.Use(crossOrigin(a.opts.CORSOrigins))
	}
	r.Use(middleware.GetHead)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, Errorf(v1.CodeNotFound, "there is nothing at this address"))
	})
	r.MethodNotAllowed(a.methodNotAllowed(r))

	// Those who watch the node get an answer also when it is busy.
	r.Get("/healthz", a.get(a.health))
	r.Get("/readyz", a.get(a.ready))
	if a.opts.Gatherer != nil {
		r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(a.opts.Gatherer, promhttp.HandlerOpts{}))
	}
	r.Get("/problems", text("text/plain; charset=utf-8", problemIndex()))
	r.Get("/problems/{code}", a.problemPage)
	r.Get("/v1/openapi.yaml", text("application/yaml", openapiYAML))
	r.Get("/v1/openapi.json", text("application/json", openapiJSON))
	r.Get("/v1/limits", a.get(a.limits))

	r.Group(func(r chi.Router) {
		r.Use(a.bound)
		r.Get("/v1/export", a.export)
		r.Group(func(r chi.Router) {
			r.Use(a.hurry)
			r.Get("/v1/encryption-key", a.get(a.encryptionKeys))
			r.Get("/v1/committee", a.get(a.committee))
			r.Get("/v1/committees", a.getQuery(a.committees))
			r.Get("/v1/ceremonies", a.getQuery(a.ceremonies))
			r.Get("/v1/ceremonies/{id}", a.get(a.ceremony))
			r.Get("/v1/ceremonies/{id}/transcript", a.transcript)
			limited := r.With(a.rateLimit()) // both count together
			limited.Post("/v1/transactions", a.submit)
			limited.Post("/v1/ceremonies/{id}/messages", a.relay)
			r.Get("/v1/transactions/{id}", a.get(a.transaction))
			r.Get("/v1/transactions/{id}/order", a.getQuery(a.order))
			r.Get("/v1/batches", a.getQuery(a.batches))
			r.Get("/v1/batches/{height}", a.get(a.batch))
			r.Get("/v1/namespaces/{namespace}/transactions", a.getQuery(a.stream))
			a.logRoutes(r)
			r.Mount("/explorer", a.explorer())
		})
	})
	return r
}

// explorer is the pages for people. They are no part of the contract.
func (a *api) explorer() http.Handler {
	return explorer.New(a.backend, explorer.Options{
		NotFound: func(err error) bool {
			var problem *Error
			return errors.As(err, &problem) && problem.Code == v1.CodeNotFound
		},
		Failed: func(r *http.Request, err error) {
			a.log.Error("page not made", "route", route(r), "err", err)
		},
	})
}

// methodNotAllowed says which methods are.
func (a *api) methodNotAllowed(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allow []string
		for _, m := range []string{http.MethodGet, http.MethodPost} {
			if !routes.Match(chi.NewRouteContext(), m, r.URL.EscapedPath()) {
				continue
			}
			allow = append(allow, m)
			if m == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
		}
		if len(allow) == 0 {
			a.fail(w, r, Errorf(v1.CodeNotFound, "there is nothing at this address"))
			return
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		a.fail(w, r, Errorf(v1.CodeMethodNotAllowed, "only %s here", strings.Join(allow, ", ")).With("allow", allow))
	}
}

func (a *api) problemPage(w http.ResponseWriter, r *http.Request) {
	p, ok := ProblemTypeOf(chi.URLParam(r, "code"))
	if !ok {
		a.fail(w, r, Errorf(v1.CodeNotFound, "there is no such problem; /problems lists them"))
		return
	}
	writeBody(w, r, http.StatusOK, "text/plain; charset=utf-8", cacheForAnHour, []byte(p.page()))
}
