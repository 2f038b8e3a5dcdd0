package client

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
)

// Problem is an answer that is not the one asked for. Branch on Code, which is
// one of httpapi/v1; it is empty if what answered is not a Scrim node, as a proxy.
type Problem struct {
	Code       string
	Title      string
	Detail     string
	Status     int
	RequestID  string                     // what the node's log calls the request
	RetryAfter time.Duration              // 0: the node does not say
	Extra      map[string]json.RawMessage // further members: the limit that was hit, say
}

// Error says the code and the detail.
func (p *Problem) Error() string {
	if p.Code == "" {
		return fmt.Sprintf("HTTP status %d %s", p.Status, p.Detail)
	}
	return p.Code + ": " + p.Detail
}

// Temporary reports whether the same request may succeed later.
func (p *Problem) Temporary() bool {
	return p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable
}

const maxProblem = 64 << 10

// readProblem reads what a node says instead of the answer.
func readProblem(resp *http.Response) *Problem {
	p := &Problem{
		Status:     resp.StatusCode,
		Title:      http.StatusText(resp.StatusCode),
		RequestID:  resp.Header.Get("X-Request-Id"),
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media != "application/problem+json" {
		p.Detail = fmt.Sprintf("(%.80s is not an answer of a Scrim node)", media)
		return p
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	var v v1.Problem
	if err != nil || json.Unmarshal(body, &v) != nil || json.Unmarshal(body, &p.Extra) != nil {
		p.Detail = "(the problem can't be read)"
		return p
	}
	standard := []string{"type", "title", "status", "detail", "instance", "code", "request_id"}
	for name := range p.Extra {
		if slices.Contains(standard, name) {
			delete(p.Extra, name)
		}
	}
	p.Code, p.Title, p.Detail = v.Code, v.Title, v.Detail
	return p
}

// retryAfter reads either form of the header, RFC 9110, 10.2.3.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// readiness is the not_ready problem as the answer it is.
func (p *Problem) readiness() (*v1.Readiness, error) {
	b, err := json.Marshal(p.Extra)
	if err != nil {
		return nil, fmt.Errorf("client: read reasons: %w", err)
	}
	r := new(v1.Readiness)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("client: read reasons: %w", err)
	}
	r.Ready = false
	return r, nil
}
