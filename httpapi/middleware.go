package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/cors"
	"github.com/go-chi/httprate"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

const headerRequestID = "X-Request-Id"

// identify gives every request an id, the caller's own if it is a sane one.
func identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(headerRequestID)
		if !saneID(id) {
			var b [8]byte
			rand.Read(b[:])
			id = hex.EncodeToString(b[:])
		}
		h := w.Header()
		h.Set(headerRequestID, id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

func saneID(id string) bool {
	for _, c := range []byte(id) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return 0 < len(id) && len(id) <= 64
}

// route is the pattern that the request matched, "unmatched" if none.
func route(r *http.Request) string {
	if rctx := chi.RouteContext(r.Context()); rctx != nil {
		if p := rctx.RoutePattern(); p != "" && p != "/*" {
			return p
		}
	}
	return "unmatched"
}

// watch counts and times requests, writes the debug line, and turns a panic
// into a problem.
func (a *api) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		start := time.Now()
		defer func() {
			took := time.Since(start)
			a.metrics.observe(r, ww.Status(), took)
			a.log.Debug("request", "request_id", w.Header().Get(headerRequestID), "method", method(r), "route", route(r),
				"status", ww.Status(), "bytes", ww.BytesWritten(), "took", took)
		}()
		defer a.recover(ww, r)
		next.ServeHTTP(ww, r)
	})
}

func (a *api) recover(w middleware.WrapResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	a.log.Error("panic in a request", "request_id", w.Header().Get(headerRequestID), "route", route(r),
		"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if w.Status() != 0 { // too late for a problem; do not let a part pass for the whole
		panic(http.ErrAbortHandler)
	}
	for _, name := range []string{"Content-Type", "ETag", "Location", "Content-Disposition"} {
		w.Header().Del(name)
	}
	writeProblem(w, r, &Error{Code: v1.CodeInternal})
}

// bound limits how many requests are served at once.
func (a *api) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case a.inFlight <- struct{}{}:
			defer func() { <-a.inFlight }()
			next.ServeHTTP(w, r)
		default:
			a.fail(w, r, Errorf(v1.CodeBusy, "%d requests are being served", cap(a.inFlight)).With("max", cap(a.inFlight)))
		}
	})
}

// hurry ends the context of a request that takes too long.
func (a *api) hurry(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), a.opts.Timeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// rateLimit limits the submissions of one address.
func (a *api) rateLimit() func(http.Handler) http.Handler {
	perMinute := a.opts.RatePerMinute
	if perMinute <= 0 {
		return func(next http.Handler) http.Handler { return next }
	}
	key := func(r *http.Request) (string, error) {
		return ClientAddress(r.Context()), nil
	}
	const reset = "X-Ratelimit-Reset"
	limited := func(w http.ResponseWriter, r *http.Request) {
		e := Errorf(v1.CodeRateLimited, "more than %d submissions in a minute", perMinute).With("rate_per_minute", perMinute)
		if at, err := strconv.ParseInt(w.Header().Get(reset), 10, 64); err == nil {
			e.RetryAfter = max(time.Until(time.Unix(at, 0)), 0) + time.Second
		}
		a.fail(w, r, e)
	}
	return httprate.LimitBy(perMinute, time.Minute, key,
		httprate.WithLimitHandler(limited),
		httprate.WithErrorHandler(a.fail),
		httprate.WithResponseHeaders(httprate.ResponseHeaders{
			Limit: "X-Ratelimit-Limit", Remaining: "X-Ratelimit-Remaining", Reset: reset,
		}))
}

// ClientAddress is the address whose request it is, as the rate limit counts it: an IPv6 /64 is one. Empty outside of a request.
func ClientAddress(ctx context.Context) string {
	return httprate.CanonicalizeIP(middleware.GetClientIP(ctx))
}

// clientIP finds out whose request it is.
func clientIP(trusted []netip.Prefix) func(http.Handler) http.Handler {
	if len(trusted) == 0 {
		return middleware.ClientIPFromRemoteAddr
	}
	prefixes := make([]string, len(trusted))
	for i, p := range trusted {
		prefixes[i] = p.String()
	}
	return middleware.ClientIPFromXFF(prefixes...)
}

// crossOrigin lets browsers of the given origins call the API. Nothing in it
// depends on cookies, so credentials are never allowed.
func crossOrigin(origins []string) func(http.Handler) http.Handler {
	return cors.Handler(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders: []string{"Content-Type", "If-None-Match", headerRequestID},
		ExposedHeaders: []string{"ETag", "Location", "Retry-After", headerRequestID},
		MaxAge:         600,
	})
}

// metrics are the API's own; the zero value counts nothing.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	if reg == nil {
		return metrics{}
	}
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scrim_http_requests_total", Help: "Requests by method, route and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "scrim_http_request_seconds", Help: "Time to answer by method and route.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15},
		}, []string{"method", "route"}),
	}
	reg.MustRegister(m.requests, m.seconds)
	return m
}

func (m metrics) observe(r *http.Request, status int, took time.Duration) {
	if m.requests == nil {
		return
	}
	if status == 0 { // nothing written: net/http says 200
		status = http.StatusOK
	}
	m.requests.WithLabelValues(method(r), route(r), strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(method(r), route(r)).Observe(took.Seconds())
}

// method is the request's, as one of few labels.
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions:
		return r.Method
	}
	return "other"
}
