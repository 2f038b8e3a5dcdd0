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
	held              *prometheus.GaugeVec
	refused           *prometheus.CounterVec
	fetched           prometheus.Counter
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
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "scrim", Name: "receive_log_held",
			Help: "Ciphertexts that this member's log holds, or is about to, and that are not decided, by whose part of it they are in: common (half of max_live), door (what came in here beyond), relayed (what other members logged, beyond)."}, []string{"part"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "scrim", Name: "door_refused_total",
			Help: "Submissions that were refused as too much waits, by what was full: client (its share), door (this member's share), full (the whole log)."}, []string{"limit"}),
		fetched: counter("log_bodies_fetched_total", "Ciphertexts that this member has asked for since another member's log had them and they did not come by themselves."),
	}
	for _, limit := range []string{"client", "door", "full"} {
		m.refused.WithLabelValues(limit)
	}
	r.MustRegister(m.queued, m.live, m.own, m.rounds, m.forgotten, m.dropped, m.held, m.refused, m.fetched)
	return m
}

// admitted shows in whose part of the log its live ids are.
func (m *orderMetrics) admitted(common, door, relayed int) {
	m.held.WithLabelValues("common").Set(float64(common))
	m.held.WithLabelValues("door").Set(float64(door))
	m.held.WithLabelValues("relayed").Set(float64(relayed))
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
