// Package httpapi is Scrim's REST API: it turns HTTP into calls of a [Backend],
// and its answers and errors back into JSON. It knows how to say things, not
// what is allowed: the rules are the backend's.
//
// Most people need [New], which gives the handler, and [NewServer], which gives
// a server with timeouts to run it in. A backend answers with shapes of
// httpapi/v1, and with an [*Error] where the caller did something wrong; any
// other error becomes a 500 without detail. The Go client is httpapi/client.
//
// The contract is openapi.yaml (OpenAPI 3.1), served at /v1/openapi.yaml; tests
// hold routes and answers to it. Problems follow RFC 9457, caching RFC 9111 and
// the rest RFC 9110.
//
// Invariants: requests are read strictly and bounded; every error is a problem
// with a stable code; an answer that can still change is not stored by caches;
// nothing of a body is ever logged.
package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/threshold"
)

// Backend is what the API needs of a node. Its methods are called from many
// goroutines at once, and end when their context does. Errors that are the
// caller's to mend are *Error, also wrapped.
type Backend interface {
	// Limits gives what the node enforces; the server fills in its own limits.
	Limits(ctx context.Context) v1.Limits
	// Health answers as long as the process lives.
	Health(ctx context.Context) v1.Health
	// Ready says whether the node can serve, with the reasons if not.
	Ready(ctx context.Context) v1.Readiness

	// EncryptionKeys gives the active keys; code no_committee if there is none yet.
	EncryptionKeys(ctx context.Context) (v1.EncryptionKeys, error)
	// Committee gives the active committee; code no_committee if there is none yet.
	Committee(ctx context.Context) (v1.Committee, error)
	// Committees gives at most limit committees of the chain from the epoch on, oldest
	// first. A page may be shorter; Next then leads on.
	Committees(ctx context.Context, from uint64, limit int) (v1.Committees, error)
	// Ceremonies gives at most limit ceremonies of the chain before the one with the id,
	// newest first; with "" it begins at the newest. Code not_found if the id is unknown.
	Ceremonies(ctx context.Context, before string, limit int) (v1.Ceremonies, error)
	// Ceremony gives one; id is "0x" and 64 digits. Code not_found if unknown.
	Ceremony(ctx context.Context, id string) (v1.Ceremony, error)
	// Transcript gives a ceremony's canonical state, with all that was said in it. Code
	// not_found if the node does not know the ceremony.
	Transcript(ctx context.Context, id string) ([]byte, error)
	// Relay offers a signed ceremony message to the ordered log. id names the
	// ceremony that it is said in; of a proposal, the one that it follows. Codes
	// malformed_message, not_admitted, and not_found if the ceremony is unknown.
	Relay(ctx context.Context, id string, message []byte) (v1.CeremonyMessage, error)

	// Submit admits a ciphertext and gives its receipt. A ciphertext that was
	// submitted before gets its first receipt again.
	Submit(ctx context.Context, namespace string, ciphertext []byte) (v1.Transaction, error)
	// Transaction gives one; code not_found if this node knows nothing of it.
	Transaction(ctx context.Context, id threshold.ID) (v1.Transaction, error)
	// Order says why it stands where it stands, and before or after the other one if that is not nil; code not_found if
	// this node knows nothing of one of them.
	Order(ctx context.Context, id threshold.ID, other *threshold.ID) (v1.Order, error)

	// Batches gives at most limit batches below height before (0: the newest), newest first.
	Batches(ctx context.Context, before uint64, limit int) (v1.Batches, error)
	// Batch gives the batch of a height; code not_found if the height ordered nothing.
	Batch(ctx context.Context, height uint64) (v1.Batch, error)
	// Stream gives at most limit revealed transactions of the namespace after the
	// cursor, in final order. Code invalid_namespace if it can't be one.
	Stream(ctx context.Context, namespace string, after v1.Cursor, limit int) (v1.StreamPage, error)
	// Export writes the audit bundle. A write may block as long as the reader is slow.
	Export(ctx context.Context, w io.Writer) error

	LogBackend
}

// Options say how the API is served. The zero value serves everything with
// default limits, and neither rate limit, CORS, metrics nor log.
type Options struct {
	// Log gets internal errors, and one debug line a request.
	Log *slog.Logger
	// Registerer gets the API's own metrics, if set.
	Registerer prometheus.Registerer
	// Gatherer is what /metrics shows; without it the route does not exist.
	Gatherer prometheus.Gatherer
	// MaxBody bounds a request's body in bytes; 0 means DefaultMaxBody.
	MaxBody int64
	// RatePerMinute bounds the submissions and ceremony messages of one address (an
	// IPv6 /64), together; 0 means no bound.
	RatePerMinute int
	// TrustedProxies are the networks of reverse proxies whose X-Forwarded-For
	// is believed. Empty: the address of the connection counts.
	TrustedProxies []netip.Prefix
	// CORSOrigins may call the API from a browser; "*" is everyone, none is no one.
	CORSOrigins []string
	// MaxInFlight bounds the requests served at once; 0 means DefaultMaxInFlight.
	MaxInFlight int
	// Timeout bounds the work for one request, except exports; 0 means DefaultTimeout.
	Timeout time.Duration
}

// Defaults and fixed limits of the API.
const (
	DefaultMaxBody     = 512 << 10 // twice a ciphertext of 128 KiB, and room for the rest
	DefaultMaxInFlight = 512
	DefaultTimeout     = 15 * time.Second

	DefaultPage = 100
	MaxPage     = 200 // items; a page also ends near maxPageBytes
	MaxExports  = 2   // at once

	// MaxTranscripts bounds the transcripts served at once: each is some megabytes.
	MaxTranscripts = 4
)

// New gives the handler of the API. It panics only if its metrics clash with
// others of the Registerer.
func New(backend Backend, opts Options) http.Handler {
	if opts.MaxBody <= 0 {
		opts.MaxBody = DefaultMaxBody
	}
	if opts.MaxInFlight <= 0 {
		opts.MaxInFlight = DefaultMaxInFlight
	}
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	a := &api{
		backend:  backend,
		opts:     opts,
		log:      opts.Log,
		metrics:  newMetrics(opts.Registerer),
		inFlight: make(chan struct{}, opts.MaxInFlight),
		exports:  make(chan struct{}, MaxExports),

		transcripts: make(chan struct{}, MaxTranscripts),
	}
	return a.router()
}

// api is the handler's state: everything else is the backend's.
type api struct {
	backend  Backend
	opts     Options
	log      *slog.Logger
	metrics  metrics
	inFlight chan struct{}
	exports  chan struct{}

	transcripts chan struct{}
}
