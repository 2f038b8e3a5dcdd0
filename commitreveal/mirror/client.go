package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrServer: a node's answer is missing, malformed or does not fit what it signed.
// Nothing follows from it about the log.
var ErrServer = errors.New("mirror: the node's answer cannot be used")

// Client asks one node for its log.
type Client struct {
	base string
	http *http.Client
	// Idle is how long an answer may pause, Total how long it may take, Attempts how
	// often a request is made.
	Idle, Total time.Duration
	Attempts    int
	// Pause is slept between attempts, doubled each time.
	Pause time.Duration
}

// NewClient asks the node at a base URL such as https://node.example. The HTTP
// client may be nil. Redirects are not followed.
func NewClient(base string, c *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("mirror: %q is not the address of a node, such as https://node.example", base)
	}
	if c == nil {
		c = &http.Client{Transport: http.DefaultTransport}
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: strings.TrimSuffix(u.String(), "/"), http: &own, Idle: 20 * time.Second, Total: 10 * time.Minute, Attempts: 4, Pause: 200 * time.Millisecond}, nil
}

// URL is the node's address.
func (c *Client) URL() string { return c.base }

// get reads an answer of at most max bytes.
func (c *Client) get(ctx context.Context, path string, max int64) ([]byte, error) {
	var body []byte
	err := c.stream(ctx, path, max, func(r io.Reader) (err error) {
		body, err = io.ReadAll(r)
		return err
	})
	return body, err
}

// errGone is an answer 404.
var errGone = errors.New("not found")

// stream hands the answer to read, again from its beginning if a connection broke.
// It has at most max bytes; a byte more is an error.
func (c *Client) stream(ctx context.Context, path string, max int64, read func(r io.Reader) error) error {
	pause := c.Pause
	for attempt := 1; ; attempt++ {
		err := c.once(ctx, path, max, read)
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		var again *temporary
		if !errors.As(err, &again) || attempt >= c.Attempts {
			return fmt.Errorf("%w: %s%s: %w", ErrServer, c.base, path, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// temporary is an error after which a request is made again.
type temporary struct{ error }

func (t *temporary) Unwrap() error { return t.error }

func (c *Client) once(ctx context.Context, path string, max int64, read func(r io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.Total)
	defer cancel()
	watchdog := time.AfterFunc(c.Idle, cancel)
	defer watchdog.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return &temporary{err}
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound:
		return errGone
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return &temporary{fmt.Errorf("status %s", res.Status)}
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("status %s", res.Status)
	case res.ContentLength > max:
		return fmt.Errorf("an answer of %d bytes, at most %d are taken", res.ContentLength, max)
	}
	body := &patient{r: res.Body, left: max, watchdog: watchdog, idle: c.Idle}
	if err := read(body); err != nil {
		if body.broken != nil {
			return &temporary{body.broken}
		}
		return err
	}
	return nil
}

// patient reads an answer as long as it goes on, up to a bound.
type patient struct {
	r        io.Reader
	left     int64
	watchdog *time.Timer
	idle     time.Duration
	broken   error // the connection's error
}

func (p *patient) Read(b []byte) (int, error) {
	if int64(len(b)) > p.left+1 {
		b = b[:p.left+1]
	}
	n, err := p.r.Read(b)
	if n > 0 {
		p.watchdog.Reset(p.idle)
	}
	if p.left -= int64(n); p.left < 0 {
		return 0, errors.New("the answer is larger than it may be")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		p.broken = err
	}
	return n, err
}
