package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

// get asks for a JSON answer, again where that can help.
func get[T any](ctx context.Context, c *Client, path string, q url.Values) (*T, error) {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return exchange[T](ctx, c, c.opts.Retries, http.MethodGet, path, nil)
}

// once asks for a JSON answer without trying again.
func once[T any](ctx context.Context, c *Client, path string) (*T, error) {
	return exchange[T](ctx, c, 0, http.MethodGet, path, nil)
}

// post sends what the node takes any number of times, again where that can help.
func post[T any](ctx context.Context, c *Client, path string, body any) (*T, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("client: encode request: %w", err)
	}
	return exchange[T](ctx, c, c.opts.Retries, http.MethodPost, path, b)
}

func exchange[T any](ctx context.Context, c *Client, retries int, method, path string, body []byte) (*T, error) {
	return retry(ctx, c.opts, retries, func() (*T, error) {
		ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
		defer cancel()
		resp, err := c.send(ctx, method, path, body)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return decode[T](c, resp)
	})
}

// maxTranscript bounds a ceremony's state: the messages of twice 256 members.
const maxTranscript = 128 << 20

// getBytes asks for an answer of at most max bytes that is not JSON.
func (c *Client) getBytes(ctx context.Context, path string, max int64) ([]byte, error) {
	return retry(ctx, c.opts, c.opts.Retries, func() ([]byte, error) {
		resp, err := c.send(ctx, http.MethodGet, path, nil)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return readBounded(c, resp, max)
	})
}

func readBounded(c *Client, resp *http.Response, max int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, max+1))
	if err != nil {
		return nil, &transportError{fmt.Errorf("client: read answer of %s: %w", c.base, err)}
	}
	if int64(len(body)) > max {
		return nil, fmt.Errorf("client: the answer of %s is larger than %d bytes", c.base, max)
	}
	return body, nil
}

// send makes one attempt; an answer that is no success is a *Problem.
func (c *Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/octet-stream, application/x-ndjson, application/problem+json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &transportError{fmt.Errorf("client: %w", err)}
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, readProblem(resp)
	}
	return resp, nil
}

// decode reads a JSON answer. Members it does not know are a newer node's.
func decode[T any](c *Client, resp *http.Response) (*T, error) {
	body, err := readBounded(c, resp, maxAnswer)
	if err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("client: the answer of %s can't be read: %w", c.base, err)
	}
	return v, nil
}

// transportError is a request that got no (whole) answer.
type transportError struct{ err error }

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

// retry makes attempts until one succeeds, can't be helped by another, or the
// patience of the options or the context ends. The last attempt's error is given.
func retry[T any](ctx context.Context, o Options, retries int, attempt func() (T, error)) (T, error) {
	backoff := o.Backoff
	for i := 0; ; i++ {
		v, err := attempt()
		if err == nil || i >= retries || ctx.Err() != nil {
			return v, err
		}
		wait, ok := patience(err, backoff)
		if !ok || wait > o.MaxWait {
			return v, err
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, err
		case <-time.After(wait):
		}
		backoff = min(2*backoff, o.MaxWait)
	}
}

// patience says how long to wait before the next attempt, and whether one makes sense.
func patience(err error, backoff time.Duration) (time.Duration, bool) {
	// Half of it at random, so that many clients do not come back together.
	wait := backoff/2 + rand.N(backoff/2+1)
	var transport *transportError
	if errors.As(err, &transport) {
		return wait, true
	}
	var p *Problem
	if errors.As(err, &p) && p.Temporary() {
		return max(wait, p.RetryAfter), true
	}
	return 0, false
}
