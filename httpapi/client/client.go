// Package client is the Go client of Scrim's REST API: one [Client] a node.
//
//	c, err := client.New("http://127.0.0.1:8080", client.Options{})
//	keys, err := c.EncryptionKeys(ctx)
//	tx, err := c.Submit(ctx, "my-rollup", ciphertext)
//
// It reads and writes the shapes of httpapi/v1, bounds what it reads, and tries
// again where that is safe: reads, and submissions, which are idempotent. It
// checks nothing cryptographic: what a node says about keys, receipts and
// openings is for the caller to verify. A node's refusal is a [*Problem].
//
// The package imports httpapi/v1 and the standard library only.
package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// Options say how a Client behaves; the zero value is fine.
type Options struct {
	HTTP    *http.Client  // nil: one of its own, which follows no redirects
	Timeout time.Duration // of one attempt, except Export; 0: DefaultTimeout
	Retries int           // further attempts at most; 0: DefaultRetries, negative: none
	Backoff time.Duration // before the first of them, then doubled; 0: DefaultBackoff
	MaxWait time.Duration // a node that asks for more patience is given up at once; 0: DefaultMaxWait
}

// Defaults of Options.
const (
	DefaultTimeout = 15 * time.Second
	DefaultRetries = 3
	DefaultBackoff = 200 * time.Millisecond
	DefaultMaxWait = 10 * time.Second
)

// maxAnswer bounds the JSON answers that are read: above the largest page or batch.
const maxAnswer = 32 << 20

// Client talks to one node. It is safe for concurrent use.
type Client struct {
	base string // without a slash at the end
	http *http.Client
	opts Options
}

// New gives a client for the node at baseURL, as http://127.0.0.1:8080, also
// with a path in front of the API's own.
func New(baseURL string, opts Options) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("client: node address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("client: node address must be of the form http://host:port or https://host, not %q", u.Redacted())
	}
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Retries == 0 {
		opts.Retries = DefaultRetries
	}
	if opts.Backoff <= 0 {
		opts.Backoff = DefaultBackoff
	}
	if opts.MaxWait <= 0 {
		opts.MaxWait = DefaultMaxWait
	}
	c := &Client{base: strings.TrimRight(u.String(), "/"), http: opts.HTTP, opts: opts}
	if c.http == nil {
		c.http = newHTTP()
	}
	return c, nil
}

func newHTTP() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxIdleConnsPerHost:    32,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		},
	}
}

// URL is the node's address.
func (c *Client) URL() string { return c.base }

// Limits gives what the node enforces.
func (c *Client) Limits(ctx context.Context) (*v1.Limits, error) {
	return get[v1.Limits](ctx, c, "/v1/limits", nil)
}

// Health asks once whether the node's process answers.
func (c *Client) Health(ctx context.Context) (*v1.Health, error) {
	return once[v1.Health](ctx, c, "/healthz")
}

// Ready asks once whether the node can serve. That it can not is an answer with
// the reasons, not an error.
func (c *Client) Ready(ctx context.Context) (*v1.Readiness, error) {
	r, err := once[v1.Readiness](ctx, c, "/readyz")
	var p *Problem
	if errors.As(err, &p) && p.Code == v1.CodeNotReady {
		return p.readiness()
	}
	return r, err
}

// EncryptionKeys gives the active keys; Problem no_committee if there is none yet.
func (c *Client) EncryptionKeys(ctx context.Context) (*v1.EncryptionKeys, error) {
	return get[v1.EncryptionKeys](ctx, c, "/v1/encryption-key", nil)
}

// Submit sends a sealed transaction and gives the node's receipt for it. It may
// be repeated: the answer is the same.
func (c *Client) Submit(ctx context.Context, namespace string, ciphertext []byte) (*v1.Transaction, error) {
	return post[v1.Transaction](ctx, c, "/v1/transactions", v1.SubmitRequest{Namespace: namespace, Ciphertext: v1.HexOf(ciphertext)})
}

// Order says why a transaction stands where it stands, and before or after the other one if that is not empty.
func (c *Client) Order(ctx context.Context, id, other v1.Hex) (*v1.Order, error) {
	q := url.Values{}
	if len(other) > 0 {
		q.Set("other", other.String())
	}
	return get[v1.Order](ctx, c, "/v1/transactions/"+id.String()+"/order", q)
}

// Transaction gives one by its id; Problem not_found if the node knows nothing of it.
func (c *Client) Transaction(ctx context.Context, id v1.Hex) (*v1.Transaction, error) {
	return get[v1.Transaction](ctx, c, "/v1/transactions/"+id.String(), nil)
}

// Batches gives a page of batches below height before, newest first. A before
// of 0 begins at the newest, a limit of 0 is the node's default.
func (c *Client) Batches(ctx context.Context, before uint64, limit int) (*v1.Batches, error) {
	q := url.Values{}
	if before != 0 {
		q.Set("before", strconv.FormatUint(before, 10))
	}
	return get[v1.Batches](ctx, c, "/v1/batches", withLimit(q, limit))
}

// Batch gives the batch of a height; Problem not_found if it ordered nothing.
func (c *Client) Batch(ctx context.Context, height uint64) (*v1.Batch, error) {
	return get[v1.Batch](ctx, c, "/v1/batches/"+strconv.FormatUint(height, 10), nil)
}

// Stream gives a page of a namespace's revealed transactions after the cursor,
// in final order. The zero Cursor is the beginning, a limit of 0 is the node's default.
func (c *Client) Stream(ctx context.Context, namespace string, after v1.Cursor, limit int) (*v1.StreamPage, error) {
	q := url.Values{}
	if after != (v1.Cursor{}) {
		q.Set("after", after.String())
	}
	return get[v1.StreamPage](ctx, c, "/v1/namespaces/"+url.PathEscape(namespace)+"/transactions", withLimit(q, limit))
}

// Committee gives the active committee; Problem no_committee if there is none yet.
func (c *Client) Committee(ctx context.Context) (*v1.Committee, error) {
	return get[v1.Committee](ctx, c, "/v1/committee", nil)
}

// Committees gives a page of the chain's committees from the epoch on, oldest first.
// A from of 0 begins at the first, a limit of 0 is the node's default. Follow Next: a
// page may be shorter than the limit.
func (c *Client) Committees(ctx context.Context, from uint64, limit int) (*v1.Committees, error) {
	q := url.Values{}
	if from != 0 {
		q.Set("from", strconv.FormatUint(from, 10))
	}
	return get[v1.Committees](ctx, c, "/v1/committees", withLimit(q, limit))
}

// Ceremonies lists the key ceremonies, newest first: the first page, of the node's default
// length. CeremoniesBefore gives the others.
func (c *Client) Ceremonies(ctx context.Context) (*v1.Ceremonies, error) {
	return c.CeremoniesBefore(ctx, nil, 0)
}

// CeremoniesBefore gives a page of the key ceremonies before the one with an id, newest
// first. No id begins at the newest, a limit of 0 is the node's default. Problem not_found
// if the node does not know the id.
func (c *Client) CeremoniesBefore(ctx context.Context, before v1.Hex, limit int) (*v1.Ceremonies, error) {
	q := url.Values{}
	if len(before) > 0 {
		q.Set("before", before.String())
	}
	return get[v1.Ceremonies](ctx, c, "/v1/ceremonies", withLimit(q, limit))
}

// Ceremony gives one key ceremony by the hash of its terms.
func (c *Client) Ceremony(ctx context.Context, id v1.Hex) (*v1.Ceremony, error) {
	return get[v1.Ceremony](ctx, c, "/v1/ceremonies/"+id.String(), nil)
}

// Transcript gives the canonical state of a ceremony by the hash of its terms, with all
// that was said in it: keygen.ParseState reads it. Problem not_found if the node does not
// know the ceremony.
func (c *Client) Transcript(ctx context.Context, id v1.Hex) ([]byte, error) {
	return c.getBytes(ctx, "/v1/ceremonies/"+id.String()+"/transcript", maxTranscript)
}

// Relay sends a signed ceremony message, in its canonical form. ceremony is the one
// that it is said in; of a proposal, the one that it follows. It may be repeated
// until the message is in a block; then Problem not_admitted says duplicate or over.
func (c *Client) Relay(ctx context.Context, ceremony v1.Hex, message []byte) (*v1.CeremonyMessage, error) {
	return post[v1.CeremonyMessage](ctx, c, "/v1/ceremonies/"+ceremony.String()+"/messages", v1.MessageRequest{Message: v1.HexOf(message)})
}

// Export copies the audit bundle to w. It is as long as the chain's history and
// takes as long as ctx allows. On an error w may hold a part of it.
func (c *Client) Export(ctx context.Context, w io.Writer) error {
	resp, err := retry(ctx, c.opts, c.opts.Retries, func() (*http.Response, error) {
		return c.send(ctx, http.MethodGet, "/v1/export", nil)
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("client: export from %s: %w", c.base, err)
	}
	return nil
}

func withLimit(q url.Values, limit int) url.Values {
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return q
}
