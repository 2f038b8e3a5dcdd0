package httpapi

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// MaxConnections is how many connections a server of NewServer holds; further
// ones are closed at once.
const MaxConnections = 4096

// NewServer gives a server for the handler with the timeouts that a public
// address needs. Start it with ListenAndServe or Serve, end it with Shutdown.
// The export stream moves its own write deadline as long as its reader reads.
func NewServer(addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnState:         limitConnections(MaxConnections),
	}
}

// limitConnections closes connections above max as they come.
func limitConnections(max int64) func(net.Conn, http.ConnState) {
	var open atomic.Int64
	return func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if open.Add(1) > max {
				_ = c.Close()
			}
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
}
