package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/scrimlabs/scrim/ordering"
)

// orderMetrics show the order's state at this node.
type orderMetrics struct {
	queued, live, own prometheus.Gauge
	rounds, forgotten prometheus.Counter
	dropped           *prometheus.CounterVec
}

func newOrderMetrics(r prometheus.Registerer) *orderMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "scrim", Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "scrim", Name: name, Help: help})
	}
	m := &orderMetrics{
		queued:    gauge("order_queued", "Ciphertexts that are decided and wait for a block with room."),
		live:      gauge("order_live", "Ciphertexts that some committed receive log holds and that are not decided."),
		own:       gauge("receive_log_live", "Of them, those in this member's log; when it is full it takes no more."),
		rounds:    counter("order_sections_total", "Blocks with members' statements since the start."),
		forgotten: counter("order_forgotten_total", "Ciphertexts that too few members ever held, forgotten since the start."),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "scrim", Name: "order_dropped_total",
			Help: "Ciphertexts that were decided when they could not be executed any more, by code."}, []string{"code"}),
	}
	r.MustRegister(m.queued, m.live, m.own, m.rounds, m.forgotten, m.dropped)
	return m
}

func (m *orderMetrics) committed(s *ordering.State, r *ordering.Result, own int) {
	m.queued.Set(float64(s.Queued()))
	if logs, ok := s.ReceiveLogs(); ok {
		m.live.Set(float64(logs.Live()))
	}
	m.own.Set(float64(own))
	if r.Round != nil && r.Round.Section != nil {
		m.rounds.Inc()
	}
	m.forgotten.Add(float64(len(r.Forgotten)))
	for _, d := range r.Dropped {
		m.dropped.WithLabelValues(d.Code).Inc()
	}
}
