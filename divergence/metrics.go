package divergence

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parallax"
	"parallax/compare"
)

// Metrics are what this room tells Prometheus. The accounting comes from the
// ledger, so that metrics and reports count the same moves. Endpoints are those
// of the ledger, whose number is capped.
type Metrics struct {
	ledger      *Ledger
	divergences *prometheus.CounterVec
	again       *prometheus.CounterVec
	writes      *prometheus.CounterVec
	seconds     prometheus.Histogram
	buffered    prometheus.Gauge
}

// NewMetrics registers the metrics of this room:
//
//	parallax_exchanges_total{service,endpoint,outcome}   compared exchanges that are stored
//	parallax_unmirrored_total{service,reason}            exchanges that went to one leg only
//	parallax_lost_total{service,reason}                  mirrored exchanges that were not compared
//	parallax_queue_depth{service}                        exchanges that wait to be compared
//	parallax_in_flight{service,place}                    exchanges on their way
//	parallax_divergences_total{service,endpoint,kind}    differences that count
//	parallax_second_answers_total{service,result}        exchanges that were asked again: transient, flaky, steady, unknown
//	parallax_store_writes_total{result}                  batches: ok, failed (tried again)
//	parallax_store_write_seconds                         time to write one batch
//	parallax_store_buffer_bytes                          memory of what waits for the store
func NewMetrics(reg prometheus.Registerer, ledger *Ledger) *Metrics {
	m := &Metrics{
		ledger: ledger,
		divergences: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_divergences_total", Help: "Differences that count, by kind.",
		}, []string{"service", "endpoint", "kind"}),
		again: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_second_answers_total", Help: "Exchanges that were asked again, by what that showed: transient, flaky, steady or unknown.",
		}, []string{"service", "result"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_store_writes_total", Help: "Batches written to the store, by result; failed ones are tried again.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "parallax_store_write_seconds", Help: "Time to write one batch.", Buckets: prometheus.ExponentialBuckets(0.002, 3, 10),
		}),
		buffered: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "parallax_store_buffer_bytes", Help: "Memory of compared exchanges that wait for the store.",
		}),
	}
	reg.MustRegister(ledgerCollector{ledger}, m.divergences, m.again, m.writes, m.seconds, m.buffered)
	return m
}

// compared counts what a comparison found.
func (m *Metrics) compared(s parallax.Stamp, c compare.Comparison) {
	if c.Divergences == 0 {
		return
	}
	endpoint := m.ledger.label(s)
	for _, d := range c.Differences {
		if d.Suppressed.By == "" {
			m.divergences.WithLabelValues(s.Service, endpoint, string(d.Kind)).Inc()
		}
	}
}

// askedAgain counts what second answers showed.
func (m *Metrics) askedAgain(service string, s seconds, transient bool) {
	result := "unknown"
	switch {
	case transient:
		result = "transient"
	case s.flaky:
		result = "flaky"
	case s.how == [2]compare.Steadiness{compare.Steady, compare.Steady}:
		result = "steady"
	}
	m.again.WithLabelValues(service, result).Inc()
}

// wrote counts one try to write a batch.
func (m *Metrics) wrote(took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.writes.WithLabelValues(result).Inc()
	m.seconds.Observe(took.Seconds())
}

// label is the endpoint an exchange is counted under: its own, or OtherEndpoint
// when the ledger has no room for it.
func (l *Ledger) label(s parallax.Stamp) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entry(s.Service, s.Endpoint).endpoint
}

// ledgerCollector shows a ledger's totals to Prometheus.
type ledgerCollector struct{ ledger *Ledger }

var (
	exchangesDesc  = prometheus.NewDesc("parallax_exchanges_total", "Compared exchanges by outcome.", []string{"service", "endpoint", "outcome"}, nil)
	unmirroredDesc = prometheus.NewDesc("parallax_unmirrored_total", "Exchanges that were not sent to the other legs, by reason.", []string{"service", "reason"}, nil)
	lostDesc       = prometheus.NewDesc("parallax_lost_total", "Mirrored exchanges that will never be compared, by reason.", []string{"service", "reason"}, nil)
	queueDesc      = prometheus.NewDesc("parallax_queue_depth", "Exchanges that wait to be compared.", []string{"service"}, nil)
	inFlightDesc   = prometheus.NewDesc("parallax_in_flight", "Exchanges on their way, by the place they are in.", []string{"service", "place"}, nil)
)

func (c ledgerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{exchangesDesc, unmirroredDesc, lostDesc, queueDesc, inFlightDesc} {
		ch <- d
	}
}

// series is one line of the ledger's metrics, with the first n of its labels.
type series struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	n      int
	labels [3]string
}

// seriesOf lists the lines a total is part of. Received is in none: it is the sum
// of all.
func seriesOf(service, endpoint string, p parallax.Place) []series {
	switch p.Group() {
	case "compared":
		return []series{{exchangesDesc, prometheus.CounterValue, 3, [3]string{service, endpoint, p.Reason()}}}
	case "unmirrored":
		return []series{{unmirroredDesc, prometheus.CounterValue, 2, [3]string{service, p.Reason()}}}
	case "lost":
		return []series{{lostDesc, prometheus.CounterValue, 2, [3]string{service, p.Reason()}}}
	case "in_flight":
		lines := []series{{inFlightDesc, prometheus.GaugeValue, 2, [3]string{service, p.Reason()}}}
		if p == parallax.InQueue {
			lines = append(lines, series{queueDesc, prometheus.GaugeValue, 1, [3]string{service}})
		}
		return lines
	}
	return nil
}

// Collect sends every counter that ever counted anything, and all gauges.
func (c ledgerCollector) Collect(ch chan<- prometheus.Metric) {
	sums := map[series]int64{}
	c.ledger.eachTotal(func(service, endpoint string, p parallax.Place, n int64) {
		for _, s := range seriesOf(service, endpoint, p) {
			sums[s] += n
		}
	})
	for s, n := range sums {
		if n == 0 && s.kind == prometheus.CounterValue {
			continue
		}
		ch <- prometheus.MustNewConstMetric(s.desc, s.kind, float64(n), s.labels[:s.n]...)
	}
}

// eachTotal calls f with every total, read at one instant.
func (l *Ledger) eachTotal(f func(service, endpoint string, p parallax.Place, n int64)) {
	type row struct {
		service, endpoint string
		n                 []int64
	}
	l.mu.Lock()
	rows := make([]row, 0, len(l.entries))
	for _, e := range l.entries {
		rows = append(rows, row{e.service, e.endpoint, append([]int64(nil), e.n...)})
	}
	l.mu.Unlock()
	for _, r := range rows {
		f(r.service, r.endpoint, Received, r.n[received])
		for i, p := range parallax.Places {
			f(r.service, r.endpoint, p, r.n[i+1])
		}
	}
}
