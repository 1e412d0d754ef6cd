package effects

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parallax"
)

// Metrics are those of effects, of all services. Nil counts nothing.
type Metrics struct {
	lagging  *prometheus.GaugeVec
	total    *prometheus.CounterVec
	nobodys  *prometheus.CounterVec
	gaps     *prometheus.CounterVec
	held     *prometheus.GaugeVec
	barriers prometheus.Histogram
}

// NewMetrics registers the metrics of effects.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		lagging: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "parallax_effects_lag_seconds", Help: "How far reading what a leg does is behind, the slowest of its databases; there is none while one is not read.",
		}, []string{"service", "leg"}),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_effects_total", Help: "Changes that legs committed, by how their exchange was found: tag, trace, column, key; late, uncompared, torn, stray, unattributed where it was not, or not in time.",
		}, []string{"service", "leg", "correlation"}),
		nobodys: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_effects_unattributed_total", Help: "Changes that no exchange explains, by table.",
		}, []string{"service", "leg", "table"}),
		gaps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_effects_gaps_total", Help: "Times in which a leg's database was not read. Exchanges that overlap one are not comparable: effects_unknown.",
		}, []string{"service", "leg"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "parallax_effects_waiting", Help: "Exchanges that wait for their effects.",
		}, []string{"service"}),
		barriers: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "parallax_effects_barrier_seconds", Help: "Time from an exchange's answers until everything that was committed before them is read.",
			Buckets: []float64{.005, .01, .02, .03, .05, .075, .1, .15, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	reg.MustRegister(m.lagging, m.total, m.nobodys, m.gaps, m.held, m.barriers)
	return m
}

func (m *Metrics) lag(service string, leg parallax.Leg, d time.Duration) {
	if m != nil {
		m.lagging.WithLabelValues(service, leg.String()).Set(d.Seconds())
	}
}

func (m *Metrics) noLag(service string, leg parallax.Leg) {
	if m != nil {
		m.lagging.DeleteLabelValues(service, leg.String())
	}
}

func (m *Metrics) counted(service string, leg parallax.Leg, table string, what Count) {
	if m == nil {
		return
	}
	m.total.WithLabelValues(service, leg.String(), string(what)).Inc()
	if what == unattributed {
		m.nobodys.WithLabelValues(service, leg.String(), table).Inc()
	}
}

func (m *Metrics) gap(service string, leg parallax.Leg) {
	if m != nil {
		m.gaps.WithLabelValues(service, leg.String()).Inc()
	}
}

func (m *Metrics) waiting(service string, n int) {
	if m != nil {
		m.held.WithLabelValues(service).Set(float64(n))
	}
}

func (m *Metrics) barrier(d time.Duration) {
	if m != nil {
		m.barriers.Observe(max(d, 0).Seconds())
	}
}
