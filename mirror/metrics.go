package mirror

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parallax"
)

// Metrics counts what the legs were asked and how long they took. One value
// serves all mirrors of a process.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	lanes    *prometheus.GaugeVec
	gaps     *prometheus.CounterVec
	misses   *prometheus.CounterVec
	unmapped *prometheus.CounterVec
	again    *prometheus.CounterVec
	dropped  *prometheus.CounterVec
	covered  *prometheus.CounterVec
	uncaught *prometheus.CounterVec
}

// NewMetrics makes the mirror's metrics and registers them, unless reg is nil.
// It panics when they are registered already.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_requests_total",
			Help: "Requests sent to a leg; code is the answer's status, or why there was no complete answer.",
		}, []string{"service", "endpoint", "leg", "role", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "parallax_request_duration_seconds",
			Help:    "Time from request sent to the end of the leg's answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"service", "endpoint", "leg"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_refused_total",
			Help: "Requests that could not be understood as HTTP, or were too large, and were answered with status; none of them counts as received.",
		}, []string{"service", "status"}),
		lanes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "parallax_lane_depth",
			Help: "Requests that wait for their turn at a shadow leg, in all lanes of the service; see mirror.order_by.",
		}, []string{"service", "leg"}),
		gaps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_state_gaps_total",
			Help: "Unsafe requests that the live leg took, or may have, and a leg with a database of its own was not sent or did not answer, by why.",
		}, []string{"service", "reason"}),
		misses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_missed_writes_total",
			Help: "Unsafe requests that a leg with a database of its own has missed: spooled to be caught up, caught_up, in_copy, which its database was made from, or tainted, which it will never get.",
		}, []string{"service", "leg", "result"}),
		unmapped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_unmapped_identifiers_total",
			Help: "Exchanges that are not comparable because a shadow request named a value that its leg has no partner for, by the identifier's name.",
		}, []string{"service", "identifier"}),
		again: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_asked_again_total",
			Help: "Diverging safe exchanges that both legs were asked again about (asked), or why not; see mirror.ask_again.",
		}, []string{"service", "result"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_identifiers_dropped_total",
			Help: "Values of identifiers that were forgotten or not taken in, by why.",
		}, []string{"service", "reason"}),
		covered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_covered_total",
			Help: "Requests that a live candidate failed, or was too late with, and that were answered by the primary; see net.",
		}, []string{"service", "endpoint"}),
		uncaught: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "parallax_uncovered_total",
			Help: "Failures of a live candidate at safe requests that callers saw although there is a net, by why; see net.",
		}, []string{"service", "reason"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.duration, m.refused, m.lanes, m.gaps, m.misses, m.unmapped, m.again, m.dropped, m.covered, m.uncaught)
	}
	return m
}

// refuse counts a request that was answered with a status before it was one.
func (m *Metrics) refuse(service string, status int) {
	m.refused.WithLabelValues(service, strconv.Itoa(status)).Inc()
}

// lanesOf returns how many requests wait in the lanes of a service, by leg.
func (m *Metrics) lanesOf(service string) (depth [parallax.Legs]prometheus.Gauge) {
	for l := range depth {
		depth[l] = m.lanes.WithLabelValues(service, parallax.Leg(l).String())
	}
	return depth
}

// gap counts a write that a leg's own database lacks from now on. The reason is
// that of a place, or a kind of failure of the leg.
func (m *Metrics) gap(service, reason string) {
	m.gaps.WithLabelValues(service, reason).Inc()
}

// missed counts what becomes of a write that a leg has missed.
func (m *Metrics) missed(service string, l parallax.Leg, result string) {
	m.misses.WithLabelValues(service, l.String(), result).Inc()
}

// unmappedIdentifier counts an exchange that names a value without a partner.
func (m *Metrics) unmappedIdentifier(service, name string) {
	m.unmapped.WithLabelValues(service, name).Inc()
}

// askedAgain counts a diverging safe exchange by whether it is asked again.
func (m *Metrics) askedAgain(service, result string) {
	m.again.WithLabelValues(service, result).Inc()
}

// droppedIdentifier counts a value that was forgotten or not taken in.
func (m *Metrics) droppedIdentifier(service, reason string) {
	m.dropped.WithLabelValues(service, reason).Inc()
}

// endpointMetrics are the metrics of one endpoint with their labels resolved,
// so that a request looks up no label.
type endpointMetrics struct {
	metrics           *Metrics
	service, endpoint string
	legs              [parallax.Legs]legMetrics
}

type legMetrics struct {
	once     sync.Once
	duration prometheus.Observer
	codes    [roles]codeCounters
}

func (m *Metrics) of(service, endpoint string) *endpointMetrics {
	return &endpointMetrics{metrics: m, service: service, endpoint: endpoint}
}

// count counts a finished call.
func (e *endpointMetrics) count(l parallax.Leg, r role, c *parallax.Call) {
	lm := &e.legs[l]
	lm.once.Do(func() {
		lm.duration = e.metrics.duration.WithLabelValues(e.service, e.endpoint, l.String())
	})
	lm.duration.Observe(time.Duration(c.Done - c.Start).Seconds())
	lm.codes[r].get(codeOf(c), func(code string) prometheus.Counter {
		return e.metrics.requests.WithLabelValues(e.service, e.endpoint, l.String(), r.String(), code)
	}).Inc()
}

// cover counts a request that was answered by the primary in place of a live candidate.
func (e *endpointMetrics) cover() {
	e.metrics.covered.WithLabelValues(e.service, e.endpoint).Inc()
}

// uncover counts a failure of a live candidate that its caller saw.
func (e *endpointMetrics) uncover(why string) {
	e.metrics.uncaught.WithLabelValues(e.service, why).Inc()
}

// code is a status, or an error kind as a negative number. It keeps the label a
// closed set: three digits or the name of an error.
type code int

func codeOf(c *parallax.Call) code {
	if c.Err.Kind != parallax.NoError {
		return -code(c.Err.Kind)
	}
	return code(c.Response.Status)
}

func (c code) String() string {
	if c < 0 {
		return parallax.ErrKind(-c).String()
	}
	return strconv.Itoa(int(c))
}

// codeCounters finds the counter of a code without a lock once it is known.
type codeCounters struct {
	mu    sync.Mutex // held while one is added
	known atomic.Pointer[map[code]prometheus.Counter]
}

func (s *codeCounters) get(c code, resolve func(string) prometheus.Counter) prometheus.Counter {
	if known := s.known.Load(); known != nil {
		if counter := (*known)[c]; counter != nil {
			return counter
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	grown := map[code]prometheus.Counter{c: resolve(c.String())}
	if known := s.known.Load(); known != nil {
		for k, v := range *known {
			grown[k] = v
		}
	}
	s.known.Store(&grown)
	return grown[c]
}
