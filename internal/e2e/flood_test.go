package e2e

import (
	crand "crypto/rand"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scrimlabs/scrim/httpapi/client"
	v1 "github.com/scrimlabs/scrim/httpapi/v1"
	"github.com/scrimlabs/scrim/internal/node"
	"github.com/scrimlabs/scrim/internal/wallet"
	"github.com/scrimlabs/scrim/ordering"
)

// from sends requests as a client with another address, through a proxy that the nodes trust.
type from string

func (f from) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", string(f))
	return http.DefaultTransport.RoundTrip(r)
}

// A client floods one member's door with more than the chain can order, and is told to wait. Another one's transactions pass
// meanwhile, at the same door and at others, and whatever got a receipt is opened.
func TestFloodingClient(t *testing.T) {
	n := open(t, 3*time.Minute, func(c *node.Config) { c.HTTP.TrustedProxies = []string{"127.0.0.0/8"} }, func(g *ordering.Genesis) {
		g.Params.MaxBatch, g.Params.Order.MaxChunk, g.Params.Order.MaxLive = 4, 64, 64
	})
	for _, member := range n.Nodes {
		n.must(member.Start())
	}
	n.must(n.WaitReady(n.ctx))
	n.openWallet()

	as := func(address string) *wallet.Wallet {
		w, err := wallet.Open(n.ctx, n.URLs(), wallet.Options{Client: client.Options{HTTP: &http.Client{Transport: from(address)}, Retries: -1}})
		n.must(err)
		return w
	}
	const flooders = 4
	var mu sync.Mutex
	var refused, taken atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range flooders {
		flood := as("192.0.2.1")
		wg.Go(func() {
			for !stop.Load() {
				plaintext := payload(20)
				ct, err := flood.Seal(crand.Reader, wallet.SealOptions{Namespace: "flood"}, plaintext)
				if err != nil {
					continue
				}
				tx := &transaction{plaintext: plaintext, sealed: ct}
				receipt, err := flood.SubmitTo(n.ctx, 0, ct)
				switch {
				case err == nil:
					taken.Add(1)
					tx.record = recordOf(tx, receipt)
					mu.Lock()
					n.sent = append(n.sent, tx)
					mu.Unlock()
				case isCode(err, v1.CodeTooManyWaiting):
					refused.Add(1)
					time.Sleep(10 * time.Millisecond)
				default:
					t.Errorf("the flood is answered with %v", err)
				}
			}
		})
	}
	for deadline := time.Now().Add(time.Minute); refused.Load() == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the flood was never too much: %d taken", taken.Load())
		}
	}
	quiet := as("192.0.2.2")
	for i := range 8 {
		plaintext := payload(20)
		ct, err := quiet.Seal(crand.Reader, wallet.SealOptions{Namespace: "e2e"}, plaintext)
		n.must(err)
		tx := &transaction{plaintext: plaintext, sealed: ct}
		receipt, err := quiet.SubmitTo(n.ctx, []int{0, 0, 1, 2}[i%4], ct)
		if err != nil {
			t.Errorf("submission %d of the quiet client: %v", i+1, err)
			continue
		}
		tx.record = recordOf(tx, receipt)
		n.final(3, ct.ID()) // in the midst of the flood
		mu.Lock()
		n.sent = append(n.sent, tx)
		mu.Unlock()
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("the flood: %d taken, %d refused", taken.Load(), refused.Load())
	n.allOpened()
	n.sameBatches()
	n.audited(0)
	n.audited(3)
}
