package reports

import (
	"time"

	"parallax/divergence"
)

// Report is what is known about a service in a span of time. Its JSON is the
// answer of GET /api/v1/services/{s}/report.
type Report struct {
	Service      string                `json:"service"`
	From         time.Time             `json:"from"`
	To           time.Time             `json:"to"`
	RulesVersion string                `json:"rules_version"`
	Accounting   divergence.Accounting `json:"accounting"`
	Endpoints    []Endpoint            `json:"endpoints"` // by name

	// Pools are the verdicts on endpoints that are judged together, on all their evidence
	// whatever the report's span.
	Pools []PoolVerdict `json:"pools,omitempty"`

	// Tables is what comparing whole tables of both databases found last, whatever the
	// report's span; nil where they are not.
	Tables *Tables `json:"tables,omitempty"`

	// Effects is what became of what the legs committed to their databases, nil where
	// nothing is read.
	Effects *divergence.EffectsSummary `json:"effects,omitempty"`
}

// Endpoint is what is known about one endpoint in a report's span of time.
type Endpoint struct {
	divergence.EndpointStats

	// Rate is Diverged / (Matched + Diverged), 0 when nothing was comparable.
	// Lower and Upper are its limits: together with the limits at all other
	// times they hold with probability 1-alpha each.
	Rate  float64 `json:"rate"`
	Lower float64 `json:"lower"`
	Upper float64 `json:"upper"`

	// Verdict and Reasons are those of the evidence under the present rules,
	// policy and versions, whatever the report's span. An endpoint of which
	// nothing is known by now is on hold without a reason.
	Verdict Decision `json:"verdict"`
	Reasons []Reason `json:"reasons"`

	// Diagnosis is one cause behind most of what the endpoint shows, nil where
	// there is none.
	Diagnosis *Diagnosis `json:"diagnosis,omitempty"`

	// NotCovered says why the service's verdict does not require the endpoint.
	NotCovered string `json:"not_covered,omitempty"`

	// Pool is the pool that the endpoint is judged in, empty for none.
	Pool string `json:"pool,omitempty"`

	// Unpaired is what it is judged by where nothing is compared, nil for nothing.
	Unpaired *Unpaired `json:"unpaired,omitempty"`

	// Signed is the sign-off that the endpoint passes by, nil for none.
	Signed *Signed `json:"signed,omitempty"`

	// Caught is which share of flaws would be found; nil without stored answers.
	Caught *Caught `json:"caught,omitempty"`
}

// Build makes the report of a span of time from what the store holds of it and
// the present verdict.
func Build(window divergence.Window, held divergence.Summary, v Verdict) Report {
	r := Report{
		Service: v.Service, From: window.From.UTC(), To: window.To.UTC(), RulesVersion: v.RulesVersion,
		Accounting: whole(held.Accounting), Endpoints: make([]Endpoint, 0, len(held.Endpoints)), Pools: v.Pools,
	}
	judged := make(map[string]EndpointVerdict, len(v.Endpoints))
	for _, each := range v.Endpoints {
		judged[each.Endpoint] = each
	}
	for _, stats := range held.Endpoints {
		each, ok := judged[stats.Endpoint]
		if !ok {
			each = EndpointVerdict{Decision: Hold}
		}
		e := line(stats, each, v.Alpha)
		if caught, known := v.Caught[stats.Endpoint]; known {
			e.Caught = &caught
		}
		r.Endpoints = append(r.Endpoints, e)
	}
	return r
}

func line(stats divergence.EndpointStats, v EndpointVerdict, alpha float64) Endpoint {
	k, n := uint64(max(stats.Diverged, 0)), uint64(max(stats.Matched+stats.Diverged, 0))
	if stats.StatusMatrix == nil {
		stats.StatusMatrix = map[string]int64{}
	}
	e := Endpoint{
		EndpointStats: stats, Verdict: v.Decision, NotCovered: v.NotCovered, Reasons: v.Reasons, Signed: v.Signed, Pool: v.Pool, Unpaired: v.Unpaired,
		Upper: 1, Diagnosis: Diagnose(stats.StatusMatrix),
	}
	if inside(alpha) { // else the verdict is the zero value, and nothing is known
		e.Lower, e.Upper = LowerLimit(k, n, alpha), UpperLimit(k, n, alpha)
	}
	if e.Reasons == nil {
		e.Reasons = []Reason{}
	}
	if n > 0 {
		e.Rate = float64(k) / float64(n)
	}
	return e
}
