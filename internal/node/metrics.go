package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/scrimlabs/scrim/keygen"
	"github.com/scrimlabs/scrim/ordering"
)

// metrics are the node's own; CometBFT's and the REST interface's are served beside them.
type metrics struct {
	height, pending, logSize         prometheus.Gauge
	ceremonyPhase                    *prometheus.GaugeVec
	ceremonyAwaited, ceremonyFaults  prometheus.Gauge
	ceremonyBlocks, ceremoniesFailed prometheus.Gauge
	received, ordered, opened, voids prometheus.Counter
	sharesReleased                   prometheus.Counter
	badShares                        *prometheus.CounterVec
	rejected                         *prometheus.CounterVec
	persist, openLatency             prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "scrim", Name: name, Help: help})
		r.MustRegister(g)
		return g
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "scrim", Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "scrim", Name: name, Help: help}, []string{label})
		r.MustRegister(c)
		return c
	}
	seconds := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "scrim", Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)})
		r.MustRegister(h)
		return h
	}
	phases := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "scrim", Name: "ceremony_phase", Help: "1 for the phase in which the newest key ceremony is, 0 for all others."}, []string{"phase"})
	r.MustRegister(phases)
	return &metrics{
		ceremonyPhase:    phases,
		ceremonyAwaited:  gauge("ceremony_members_awaited", "Members whose message the phase of the newest key ceremony still wants."),
		ceremonyFaults:   gauge("ceremony_faults", "Faults that the newest key ceremony has found."),
		ceremonyBlocks:   gauge("ceremony_blocks_left", "Blocks until the phase of the newest key ceremony ends at the latest; 0 when it is over."),
		ceremoniesFailed: gauge("ceremonies_failed", "Key ceremonies of this chain that ended without a key: failed, aborted or rejected."),
		height:           gauge("height", "Height of the last committed block."),
		pending:          gauge("batches_pending", "Batches that are ordered and not opened yet."),
		logSize:          gauge("log_entries", "Entries of the commit-reveal log."),
		received:         counter("ciphertexts_received_total", "Ciphertexts that this member gave a receipt for."),
		ordered:          counter("ciphertexts_ordered_total", "Ciphertexts ordered by committed blocks since the start."),
		opened:           counter("ciphertexts_opened_total", "Ciphertexts opened by committed blocks since the start, void ones included."),
		voids:            counter("ciphertexts_void_total", "Opened ciphertexts whose payload does not decrypt."),
		sharesReleased:   counter("batch_shares_released_total", "Shares of batches that this member released."),
		badShares:        vec("bad_shares_total", "Shares of batches that did not verify, by member.", "member"),
		rejected:         vec("submissions_rejected_total", "Submissions that were not accepted, by code.", "code"),
		persist:          seconds("persist_seconds", "Time to make a block durable in Postgres."),
		openLatency:      seconds("open_seconds", "Time from a batch's commit at this member until it was opened here."),
	}
}

// ceremony shows the newest ceremony, and how many before it came to nothing. Every phase has its line, so that an alert can
// tell 0 from nothing.
func (m *metrics) ceremony(chain *ordering.State) {
	s := chain.Ceremony()
	for p := keygen.PhaseProposed; p <= keygen.PhaseAborted; p++ {
		here := 0.0
		if p == s.Phase() {
			here = 1
		}
		m.ceremonyPhase.WithLabelValues(p.String()).Set(here)
	}
	m.ceremonyAwaited.Set(float64(len(s.Waiting())))
	m.ceremonyFaults.Set(float64(len(s.Blame())))
	left, failed := 0.0, float64(len(chain.PastCeremonies()))
	switch {
	case !s.Done():
		left = float64(s.Deadline()) - float64(s.Height())
	case s.Phase() != keygen.PhaseActive:
		failed++
	}
	m.ceremonyBlocks.Set(left)
	m.ceremoniesFailed.Set(failed)
}

func (m *metrics) committed(s *ordering.State, r *ordering.Result) {
	m.ceremony(s)
	m.height.Set(float64(s.Height()))
	m.pending.Set(float64(len(s.Pending())))
	m.logSize.Set(float64(s.Log().Size()))
	if r.Batch != nil {
		m.ordered.Add(float64(len(r.Batch.Ciphertexts)))
	}
	for _, reveal := range r.Reveals {
		m.opened.Add(float64(len(reveal.Outcomes)))
		for _, o := range reveal.Outcomes {
			if o.Void {
				m.voids.Inc()
			}
		}
	}
}
