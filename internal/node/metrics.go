package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/scrimlabs/scrim/internal/pg"
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
	epoch, member, committees        prometheus.Gauge
	rejected, badProposals           *prometheus.CounterVec
	omitting                         *prometheus.CounterVec
	persist, openLatency             prometheus.Histogram
	order                            *orderMetrics
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
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "scrim", Name: name, Help: help}, labels)
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
		order:            newOrderMetrics(r),
		ceremonyPhase:    phases,
		ceremonyAwaited:  gauge("ceremony_members_awaited", "Speakers whose message the phase of the newest key ceremony still wants: new members and, in a hand-over, those of the committee before."),
		ceremonyFaults:   gauge("ceremony_faults", "Faults that the newest key ceremony has found."),
		ceremonyBlocks:   gauge("ceremony_blocks_left", "Blocks until the phase of the newest key ceremony ends at the latest; 0 when it is over."),
		ceremoniesFailed: gauge("ceremonies_failed", "Attempts at the next committee that came to nothing: failed, aborted or rejected. 0 again when one has succeeded."),
		epoch:            gauge("committee_epoch", "Epoch of the committee in office; 0: there is none yet."),
		member:           gauge("committee_member", "Number of this member in the committee in office; 0: it is not in it."),
		committees:       gauge("committees_needed", "Committees that still have batches to open or a key that is taken, the one in office included."),
		height:           gauge("height", "Height of the last committed block."),
		pending:          gauge("batches_pending", "Batches that are ordered and not opened yet."),
		logSize:          gauge("log_entries", "Entries of the commit-reveal log."),
		received:         counter("ciphertexts_received_total", "Ciphertexts that this member gave a receipt for."),
		ordered:          counter("ciphertexts_ordered_total", "Ciphertexts ordered by committed blocks since the start."),
		opened:           counter("ciphertexts_opened_total", "Ciphertexts opened by committed blocks since the start, void ones included."),
		voids:            counter("ciphertexts_void_total", "Opened ciphertexts whose payload does not decrypt."),
		sharesReleased:   counter("batch_shares_released_total", "Shares of batches that this member released."),
		badShares:        vec("bad_shares_total", "Shares of batches that did not verify, by the epoch of their committee and member.", "epoch", "member"),
		badProposals:     vec("proposals_rejected_total", "Proposals of blocks that this node voted against, by the proposer's epoch and member; 0 if it is unknown.", "epoch", "member"),
		omitting:         vec("proposals_leaving_logs_out_total", "Proposals that take nothing of a member's receive log though this node had a fitting statement of it well before, by the proposer's epoch and member; 0 if it is unknown.", "epoch", "member"),
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

// place shows the committee in office, and whether this member is in it.
func (m *metrics) place(s *ordering.State, as pg.Receiver) {
	m.epoch.Set(float64(as.Epoch))
	m.member.Set(float64(as.Member))
	m.committees.Set(float64(len(s.Tenures())))
}

// shareHeld shows whether the node has its share of the key in office.
func shareHeld(r prometheus.Registerer, held func() bool) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "scrim", Name: "share_held", Help: "1 if this node has its share of the key in office, 0 if not, or if it is not in office."}, func() float64 {
		if held() {
			return 1
		}
		return 0
	}))
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
