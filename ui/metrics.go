package ui

import (
	"github.com/prometheus/client_golang/prometheus"

	"parallax/reports"
)

// Collector exports what a service's verdict and step are at the moment of the
// scrape:
//
//	parallax_step_basis_points{service}   share of users on the candidate, 0 to 10000
//	parallax_group_step_basis_points{service,group}   the same of a group of endpoints with a step of its own
//	parallax_step_pushed{service,splitter}    share that was read at a splitter outside
//	parallax_step_shared{service}              1 while the mirrors that share the step are heard
//	parallax_step_confirmed{service,splitter} 1 while that is the step, 0 while it is pushed, unknown or somebody else's
//	parallax_verdict{service,verdict}     1 for the present verdict, 0 for the others
//	parallax_mirroring_paused{service}    1 while mirroring is paused
//	parallax_mirroring_tripped{service}   legs that are asked as a shadow no more
//	parallax_missed_writes{service,leg}   writes that a leg with a database of its own is still to get
//	parallax_missed_bytes{service,leg}    that they take on disk
//	parallax_tainted{service,leg}         users and entities whose state on the leg is another for good
//
// and of what is sent to the events' endpoint:
//
//	parallax_effects_events_total{service,leg,database,outcome}      events: read, duplicate, unlisted
//	parallax_effects_events_waiting{service,leg,database}            events that are queued or held
//	parallax_effects_events_refused_total{service,leg,reason}        bodies: wrong, full
//	parallax_effects_torn_transactions_total{service,leg,database,fault} transactions: late, incomplete
type Collector struct {
	services      func() []Service
	step, verdict *prometheus.Desc
	groupStep     *prometheus.Desc
	paused        *prometheus.Desc

	pushed, confirmed *prometheus.Desc
	shared            *prometheus.Desc
	tripped           *prometheus.Desc

	missed, missedBytes, tainted   *prometheus.Desc
	events, held, refused, faulted *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a collector over the services that there are at each
// scrape, to be registered once.
func NewCollector(services func() []Service) *Collector {
	return &Collector{
		services: services,
		step: prometheus.NewDesc("parallax_step_basis_points",
			"Share of users whose live leg is the candidate, in basis points.", []string{"service"}, nil),
		groupStep: prometheus.NewDesc("parallax_group_step_basis_points",
			"Share of users whose live leg is the candidate for a group of endpoints, in basis points.", []string{"service", "group"}, nil),
		pushed: prometheus.NewDesc("parallax_step_pushed",
			"Share of users on the candidate as it was read at a splitter outside, in basis points.", []string{"service", "splitter"}, nil),
		shared: prometheus.NewDesc("parallax_step_shared",
			"1 while the other mirrors of a shared step are heard, 0 while Redis does not answer and the step is the last that was heard.", []string{"service"}, nil),
		confirmed: prometheus.NewDesc("parallax_step_confirmed",
			"1 while the step is in force at a splitter outside, 0 while it is not, or nobody knows.", []string{"service", "splitter"}, nil),
		verdict: prometheus.NewDesc("parallax_verdict",
			"1 for the present verdict on the candidate, 0 for the others.", []string{"service", "verdict"}, nil),
		paused: prometheus.NewDesc("parallax_mirroring_paused",
			"1 while mirroring is paused, by whomever.", []string{"service"}, nil),
		tripped: prometheus.NewDesc("parallax_mirroring_tripped",
			"Legs that are asked as a shadow no more, because they did as one what they must not.", []string{"service"}, nil),
		missed: prometheus.NewDesc("parallax_missed_writes",
			"Writes that a leg with a database of its own has missed and is still to get.", []string{"service", "leg"}, nil),
		missedBytes: prometheus.NewDesc("parallax_missed_bytes",
			"Bytes on disk of the writes that a leg is still to get.", []string{"service", "leg"}, nil),
		tainted: prometheus.NewDesc("parallax_tainted",
			"Users and entities whose state on a leg is another for good, because it missed a write that it will never get.", []string{"service", "leg"}, nil),
		events: prometheus.NewDesc("parallax_effects_events_total",
			"Change events that were taken, by what became of them: read, duplicate (they had come before), unlisted (of a table that is not read).", []string{"service", "leg", "database", "outcome"}, nil),
		held: prometheus.NewDesc("parallax_effects_events_waiting",
			"Change events that are queued, or held until their transaction is complete.", []string{"service", "leg", "database"}, nil),
		refused: prometheus.NewDesc("parallax_effects_events_refused_total",
			"Bodies of change events that were refused: wrong, or full, for want of room.", []string{"service", "leg", "reason"}, nil),
		faulted: prometheus.NewDesc("parallax_effects_torn_transactions_total",
			"Transactions with a fault: late, more of them came when they had been handed over; incomplete, they were handed over without all that was announced or for want of room.", []string{"service", "leg", "database", "fault"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.step
	ch <- c.groupStep
	ch <- c.pushed
	ch <- c.confirmed
	ch <- c.shared
	ch <- c.verdict
	ch <- c.paused
	ch <- c.tripped
	ch <- c.missed
	ch <- c.missedBytes
	ch <- c.tainted
	ch <- c.events
	ch <- c.held
	ch <- c.refused
	ch <- c.faulted
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, service := range c.services() {
		ch <- prometheus.MustNewConstMetric(c.step, prometheus.GaugeValue, float64(service.Stepper.State().Step), service.Name)
		for _, g := range service.Groups {
			ch <- prometheus.MustNewConstMetric(c.groupStep, prometheus.GaugeValue, float64(service.Stepper.State().StepOf(g.Name)), service.Name, g.Name)
		}
		c.collectSplitters(ch, service)
		if service.Shared != nil {
			if shared := service.Shared(); shared != nil {
				ch <- prometheus.MustNewConstMetric(c.shared, prometheus.GaugeValue, map[bool]float64{true: 1}[shared.Reached], service.Name)
			}
		}
		paused, mirroring := 0.0, service.mirroring()
		if mirroring.Paused {
			paused = 1
		}
		ch <- prometheus.MustNewConstMetric(c.tripped, prometheus.GaugeValue, float64(len(mirroring.Tripped)), service.Name)
		ch <- prometheus.MustNewConstMetric(c.paused, prometheus.GaugeValue, paused, service.Name)
		c.collectMissed(ch, service)
		c.collectEvents(ch, service)
		present := service.Judge.Verdict().Decision
		for _, d := range []reports.Decision{reports.Promote, reports.Hold, reports.Rollback} {
			is := 0.0
			if d == present {
				is = 1
			}
			ch <- prometheus.MustNewConstMetric(c.verdict, prometheus.GaugeValue, is, service.Name, string(d))
		}
	}
}

// collectSplitters exports what stands at splitters outside.
func (c *Collector) collectSplitters(ch chan<- prometheus.Metric, service Service) {
	for _, s := range service.outside() {
		if s.Step != nil {
			ch <- prometheus.MustNewConstMetric(c.pushed, prometheus.GaugeValue, float64(*s.Step), service.Name, s.Name)
		}
		is := 0.0
		if s.State == splitterConfirmed {
			is = 1
		}
		ch <- prometheus.MustNewConstMetric(c.confirmed, prometheus.GaugeValue, is, service.Name, s.Name)
	}
}

// collectMissed exports what the legs with databases of their own lack.
func (c *Collector) collectMissed(ch chan<- prometheus.Metric, service Service) {
	for _, l := range service.legs() {
		if l.State != "own" {
			continue
		}
		var m MissedWrites
		if l.Missed != nil {
			m = *l.Missed
		}
		for desc, value := range map[*prometheus.Desc]float64{c.missed: float64(m.Waiting), c.missedBytes: float64(m.Bytes), c.tainted: float64(m.Tainted)} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, service.Name, l.Leg)
		}
	}
}

// collectEvents exports what was sent of the databases that Parallax does not read itself.
func (c *Collector) collectEvents(ch chan<- prometheus.Metric, service Service) {
	count := func(desc *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), append([]string{service.Name}, labels...)...)
	}
	for leg, stats := range service.eventStats() {
		count(c.refused, stats.Wrong, leg, "wrong")
		count(c.refused, stats.Full, leg, "full")
		for _, d := range stats.Databases {
			count(c.events, d.Read, leg, d.Database, "read")
			count(c.events, d.Duplicate, leg, d.Database, "duplicate")
			count(c.events, d.Unlisted, leg, d.Database, "unlisted")
			count(c.faulted, d.Late, leg, d.Database, "late")
			count(c.faulted, d.Incomplete, leg, d.Database, "incomplete")
			ch <- prometheus.MustNewConstMetric(c.held, prometheus.GaugeValue, float64(d.Waiting), service.Name, leg, d.Database)
		}
	}
}
