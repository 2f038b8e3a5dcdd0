package explorer

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/threshold"
)

// node is a backend with one batch: an opened, a void and a received transaction.
type node struct {
	batch v1.Batch
	txs   map[threshold.ID]v1.Transaction
	err   error
}

var errMissing = errors.New("nothing there")

func (n *node) Limits(context.Context) v1.Limits { return v1.Limits{ChainID: "scrim-test-1"} }

func (n *node) Batches(_ context.Context, before uint64, _ int) (v1.Batches, error) {
	if before != 0 && before <= n.batch.Height {
		return v1.Batches{}, n.err
	}
	return v1.Batches{Batches: []v1.BatchSummary{n.batch.BatchSummary}, Next: &n.batch.Height}, n.err
}

func (n *node) Batch(_ context.Context, height uint64) (v1.Batch, error) {
	if height != n.batch.Height {
		return v1.Batch{}, errMissing
	}
	return n.batch, n.err
}

func (n *node) Transaction(_ context.Context, id threshold.ID) (v1.Transaction, error) {
	tx, ok := n.txs[id]
	if !ok {
		return tx, errMissing
	}
	return tx, n.err
}

func id(b byte) threshold.ID { return threshold.ID{b, 31: b} }

func hexOf(b byte, n int) v1.Hex {
	h := make(v1.Hex, n)
	for i := range h {
		h[i] = b
	}
	return h
}

func ptr[T any](v T) *T { return &v }

const hostile = `<script src="https://evil.example/x.js"></script>"'&`

func newNode() *node {
	height, reveal := uint64(41), uint64(42)
	n := &node{txs: make(map[threshold.ID]v1.Transaction)}
	n.batch = v1.Batch{BatchSummary: v1.BatchSummary{
		Height: height, Epoch: 3, Phase: v1.PhaseRevealed, Count: 2, Root: hexOf(7, 32), Voids: 1, RevealHeight: &reveal, Certificate: hexOf(8, 48),
		Times:      blockTimes(),
		Checkpoint: &v1.Checkpoint{LogSize: 19, LogRoot: hexOf(9, 32), Message: hexOf(10, 60)},
	}}
	for i, status := range []v1.Status{v1.StatusRevealed, v1.StatusVoid} {
		at := id(byte(i + 1))
		tx := v1.Transaction{ID: at[:], Namespace: "eth", Status: status, ValidUntil: 99, Height: &height, Position: ptr(uint32(i)), Opening: hexOf(11, 48), RevealHeight: &reveal, Times: blockTimes()}
		if status == v1.StatusRevealed {
			tx.Plaintext = v1.Hex(hostile)
			tx.Receipt = &v1.Receipt{Member: 2, Position: 5, Time: v1.TimeOf(time.Unix(1_800_000_000, 0)), Head: hexOf(12, 32), Signature: hexOf(13, 64)}
		}
		n.txs[at] = tx
		n.batch.Transactions = append(n.batch.Transactions, v1.BatchItem{Position: uint32(i), ID: at[:], Namespace: "eth", Status: status})
	}
	waits, late := id(3), id(4)
	n.txs[waits] = v1.Transaction{ID: waits[:], Namespace: "eth", Status: v1.StatusReceived, ValidUntil: 99}
	n.txs[late] = v1.Transaction{ID: late[:], Namespace: "eth", Status: v1.StatusExpired, Reason: ptr(v1.ExpiredTooLate), ValidUntil: 12}
	return n
}

func blockTimes() *v1.BlockTimes {
	return &v1.BlockTimes{Header: v1.UnixMilli(1_799_999_000_000), Ordered: ptr(v1.UnixMilli(1_800_000_000_085)), Recorded: ptr(v1.UnixMilli(1_800_000_001_335))}
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://node.example:8080"+path, nil))
	return w
}

func mounted(n *node) http.Handler {
	r := chi.NewRouter()
	r.Mount("/explorer", New(n, Options{NotFound: func(err error) bool { return errors.Is(err, errMissing) }}))
	return r
}

func hexID(b byte) string { at := id(b); return v1.HexOf(at[:]).String() }

func TestPages(t *testing.T) {
	h := mounted(newNode())
	for _, test := range []struct {
		path   string
		status int
		want   []string
	}{
		{"/explorer/", 200, []string{`href="/explorer/batches/41"`, "scrim-test-1", `href="/explorer/?before=41"`}},
		{"/explorer/?before=41", 200, []string{"No batches yet"}},
		{"/explorer/?before=x", 400, []string{"must be a height"}},
		{"/explorer/batches/41", 200, []string{hexID(1), hexID(2), "log of 19 entries", "2027-01-15T08:00:00.085Z", "&#43;1.2 s since ordered",
			"scrim audit mirror http://node.example:8080 m\nscrim audit verify m", "scrim audit prove-namespace http://node.example:8080 41 eth -o namespace.json", strings.Repeat("08", 48)}},
		{"/explorer/batches/40", 404, []string{"no batch of that height"}},
		{"/explorer/batches/041", 400, []string{"a number"}},
		{"/explorer/transactions/" + hexID(1), 200, []string{"height 41", "height 42", "member 2", "position 5", "2027-01-15T08:00:00.000Z", "2027-01-15T08:00:00.085Z", "2027-01-15T08:00:01.335Z",
			"&#43;85 ms", "&#43;1.2 s since ordered", "by its member's clock", "&lt;script", "scrim audit prove-tx http://node.example:8080 " + hexID(1) + " -o tx.json", strings.Repeat("0b", 48)}},
		{"/explorer/transactions/" + hexID(2), 200, []string{"does not decrypt"}},
		{"/explorer/transactions/" + hexID(3), 200, []string{"received", `class="wait"`, "scrim tx status " + hexID(3) + " --node http://node.example:8080"}},
		{"/explorer/transactions/" + hexID(4), 200, []string{"after height 12", "never ordered"}},
		{"/explorer/transactions/" + hexID(5), 404, []string{"knows nothing of that"}},
		{"/explorer/transactions/0xAB", 400, []string{"64 hexadecimal digits"}},
		{"/explorer/nothing", 404, []string{"no such page"}},
		{"/explorer/search?q=cat", 400, []string{"Type a height"}},
	} {
		w := get(t, h, test.path)
		body := w.Body.String()
		if w.Code != test.status {
			t.Errorf("%s: %d, want %d", test.path, w.Code, test.status)
		}
		for _, want := range test.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %q in\n%s", test.path, want, body)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); csp != contentPolicy {
			t.Errorf("%s: policy %q", test.path, csp)
		}
		for _, outside := range regexp.MustCompile(`(?:src|href|action)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			if !strings.HasPrefix(outside[1], "/") || strings.HasPrefix(outside[1], "//") {
				t.Errorf("%s: leads to %s", test.path, outside[1])
			}
		}
		if strings.Contains(body, "<script") || strings.Contains(body, "style=") {
			t.Errorf("%s: script or inline style", test.path)
		}
	}
}

func TestSearchLeadsOn(t *testing.T) {
	h := mounted(newNode())
	for q, want := range map[string]string{
		"41": "/explorer/batches/41", "%2041%20": "/explorer/batches/41",
		strings.ToUpper(hexID(1)[2:]):        "",
		"0x" + strings.ToUpper(hexID(1)[2:]): "/explorer/transactions/" + hexID(1),
		"//evil.example":                     "",
		"18446744073709551616":               "",
	} {
		w := get(t, h, "/explorer/search?q="+q)
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("%s leads to %q, want %q", q, got, want)
		}
	}
}

func TestBackendErrorIsNotShown(t *testing.T) {
	n := newNode()
	n.err = errors.New("secret detail of the database")
	w := get(t, mounted(n), "/explorer/batches/41")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestHostileHost(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for host, want := range map[string]string{
		"a.example:8": "http://a.example:8", "[::1]:80": "http://[::1]:80", "": "http://NODE",
		"x;rm -rf /": "http://NODE", strings.Repeat("a", 300): "http://NODE",
	} {
		if r.Host = host; address(r) != want {
			t.Errorf("%q: %s", host, address(r))
		}
	}
}

func TestReadable(t *testing.T) {
	for text, want := range map[string]string{"": "", "hello\n": "hello\n", "\x00": "", "\xff\xfe": "", "grüß dich": "grüß dich", "a\u202eb": ""} {
		if got := readable(v1.Hex(text)); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// Steps whose times are unknown, or contradict each other, are drawn without.
func TestTimesThatAreMissing(t *testing.T) {
	for name, change := range map[string]func(*v1.Transaction){
		"unknown":       func(tx *v1.Transaction) { tx.Times = nil },
		"not yet":       func(tx *v1.Transaction) { tx.Times.Ordered, tx.Times.Recorded = nil, nil },
		"clocks differ": func(tx *v1.Transaction) { tx.Receipt.Time, tx.Times.Recorded = v1.UnixMilli(1_900_000_000_000), nil },
	} {
		n := newNode()
		tx := n.txs[id(1)]
		change(&tx)
		n.txs[id(1)] = tx
		body := get(t, mounted(n), "/explorer/transactions/"+hexID(1)).Body.String()
		if strings.Contains(body, `class="after"`) || !strings.Contains(body, "height 41") {
			t.Errorf("%s:\n%s", name, body)
		}
	}
	for d, want := range map[time.Duration]string{-1: "", 0: "+0 ms", 999 * time.Millisecond: "+999 ms", 12340 * time.Millisecond: "+12.3 s", 2 * time.Hour: "+120 min"} {
		if got := took(d); got != want {
			t.Errorf("%v: %q", d, got)
		}
	}
}

// The style sheet asks for nothing either.
func TestStyleIsSelfContained(t *testing.T) {
	css, err := os.ReadFile("pages/style.css")
	if err != nil || strings.Contains(string(css), "url(") || strings.Contains(string(css), "@import") {
		t.Errorf("%v or it loads something", err)
	}
	if w := get(t, mounted(newNode()), "/explorer/style.css"); w.Body.String() != string(css) || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") {
		t.Error("another style sheet is served")
	}
}
