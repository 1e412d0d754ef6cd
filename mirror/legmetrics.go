package mirror

import (
	"github.com/prometheus/client_golang/prometheus"
)

// legCollector reads the state of legs when metrics are asked for, so that what a
// reload took away is not told of.
type legCollector struct {
	mirrors                           func() []*Mirror
	up, ignored, known, broken, share *prometheus.Desc
}

var _ prometheus.Collector = (*legCollector)(nil)

// NewLegCollector returns the metrics of how the legs of services are doing, and of
// what share of each endpoint they get; mirrors tells which services there are now. An
// instance's label is its URL and, if that was looked up, its address; there are
// at most upstream.MaxInstances of them a leg.
func NewLegCollector(mirrors func() []*Mirror) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"service", "leg"}, labels...), nil)
	}
	return &legCollector{
		mirrors: mirrors,
		up:      desc("parallax_instance_up", "Whether an instance of a leg is up: neither its health check fails nor is it ejected.", "instance"),
		known:   desc("parallax_instances", "Instances of a leg that are known, up or not."),
		ignored: desc("parallax_instances_ignored", "Addresses of a leg that were found and are left out, because there are too many."),
		broken:  desc("parallax_breaker_open", "Whether a leg is not asked as a shadow, or only tried, because it gave no answers."),
		share: prometheus.NewDesc("parallax_mirrored_share", "Share of an endpoint's exchanges that mirror.adaptive mirrors, of those in the sample.",
			[]string{"service", "endpoint"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *legCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.known, c.ignored, c.broken, c.share} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *legCollector) Collect(out chan<- prometheus.Metric) {
	for _, m := range c.mirrors() {
		for _, l := range m.Legs() {
			gauge := func(d *prometheus.Desc, v float64, labels ...string) {
				out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{m.name, l.Leg.String()}, labels...)...)
			}
			for _, i := range l.Instances {
				gauge(c.up, oneIf(i.Up), i.Name)
			}
			gauge(c.known, float64(len(l.Instances)))
			gauge(c.ignored, float64(l.Ignored))
			gauge(c.broken, oneIf(l.BreakerOpen))
		}
		for endpoint, part := range m.current.Load().pace.parts() {
			out <- prometheus.MustNewConstMetric(c.share, prometheus.GaugeValue, part, m.name, endpoint)
		}
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
