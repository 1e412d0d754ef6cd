package egress

import (
	"github.com/prometheus/client_golang/prometheus"

	"parallax"
)

// result says what became of a call.
type result string

// The values of the label result.
const (
	resultSent       result = "sent"       // it went on, and an answer came
	resultTunnel     result = "tunnel"     // a tunnel was opened
	resultRefused    result = "refused"    // it is not allowed
	resultProtected  result = "protected"  // its name resolves to an address that is not allowed
	resultRecorded   result = "recorded"   // it was answered as the live leg's was
	resultUnanswered result = "unanswered" // the live leg made no such call in time
	resultFailed     result = "failed"     // no connection, or no answer
	resultLoop       result = "loop"       // it leads back to the proxy
	resultBusy       result = "busy"       // too many calls at a time
)

// Metrics counts what the proxies of all services do. Its labels are of closed sets: no
// host is among them.
type Metrics struct {
	calls, attributed, dropped, strangers *prometheus.CounterVec
	inFlight                              *prometheus.GaugeVec
}

// NewMetrics registers the metrics of egress.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"service"}, labels...))
	}
	m := &Metrics{
		calls:      counter("parallax_egress_calls_total", "Calls that legs made through the proxy, by what became of them.", "leg", "role", "result"),
		attributed: counter("parallax_egress_attributed_total", "The same, by what told their exchange.", "leg", "by"),
		dropped:    counter("parallax_egress_dropped_total", "Calls that were made faster than their exchanges' effects are read; these are not comparable.", "leg"),
		strangers:  counter("parallax_egress_strangers_total", "Requests to the proxy that named no leg, came from elsewhere than egress.from, or could not be read.", "why"),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "parallax_egress_in_flight", Help: "Calls and tunnels that are open.",
		}, []string{"service", "role"}),
	}
	reg.MustRegister(m.calls, m.attributed, m.dropped, m.strangers, m.inFlight)
	return m
}

func (m *Metrics) call(service string, w who, r result) {
	m.calls.WithLabelValues(service, w.leg.String(), w.role(), string(r)).Inc()
	m.attributed.WithLabelValues(service, w.leg.String(), string(w.by)).Inc()
}

func (m *Metrics) drop(service string, leg parallax.Leg) {
	m.dropped.WithLabelValues(service, leg.String()).Inc()
}

func (w who) role() string {
	if w.shadow {
		return "shadow"
	}
	return "live"
}
