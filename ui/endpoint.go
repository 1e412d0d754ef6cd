package ui

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"parallax/compare"
	"parallax/divergence"
	"parallax/reports"
)

// endpointView is one endpoint.
type endpointView struct {
	Service    string
	Endpoint   string
	Word       string
	Class      string
	Reasons    []reasonView
	SignURL    string
	Signed     *reports.Signed
	Offer      *divergence.SignOff  // what may be signed, nil for nothing
	Pool       *reports.PoolVerdict // that the page is about instead of an endpoint; nil for none
	limit      float64              // share that may diverge, 0 for unknown
	Stats      reports.Endpoint
	Lookback   lookback
	Charts     charts
	Latencies  []latencyRow
	Matrix     matrix
	Noise      []compare.NoisePlace
	Suggested  []compare.Suggestion
	Values     bool // with what callers had; figures alone otherwise
	Fields     []fieldRow
	Counting   []issueRow
	Suppressed []issueRow
	Exchanges  []exchangeRow
	Outcomes   []link
	Older      string // where older exchanges are; empty when there are none
	Away       string
}

// latencyRow is one quantile of both legs.
type latencyRow struct {
	Name               string
	Primary, Candidate float64
	Change             string
}

func latencyRows(p, c divergence.Latency) []latencyRow {
	rows := []latencyRow{
		{Name: "median", Primary: p.P50, Candidate: c.P50},
		{Name: "95 % within", Primary: p.P95, Candidate: c.P95},
		{Name: "99 % within", Primary: p.P99, Candidate: c.P99},
	}
	for i := range rows {
		r := &rows[i]
		if r.Primary > 0 && r.Candidate > 0 {
			r.Change = fmt.Sprintf("× %.2f", r.Candidate/r.Primary)
		}
	}
	return rows
}

// matrix is which statuses the legs answered with, by each other.
type matrix struct {
	Columns []string // the candidate's
	Rows    []matrixRow
}

type matrixRow struct {
	Status string // the primary's
	Cells  []matrixCell
}

type matrixCell struct {
	Count int64
	Odd   bool // the legs answered differently
}

func newMatrix(counts map[string]int64) matrix {
	rows, columns := map[string]bool{}, map[string]bool{}
	for pair := range counts {
		p, c, _ := strings.Cut(pair, "/")
		rows[p], columns[c] = true, true
	}
	m := matrix{Columns: slices.Sorted(maps.Keys(columns))}
	for _, p := range slices.Sorted(maps.Keys(rows)) {
		r := matrixRow{Status: p}
		for _, c := range m.Columns {
			r.Cells = append(r.Cells, matrixCell{Count: counts[p+"/"+c], Odd: p != c})
		}
		m.Rows = append(m.Rows, r)
	}
	return m
}

// exchangeRow is an exchange in a table.
type exchangeRow struct {
	divergence.ExchangeSummary
	URL, Class         string
	Primary, Candidate divergence.LegLine
}

func exchangeRows(service string, exchanges []divergence.ExchangeSummary) []exchangeRow {
	var rows []exchangeRow
	for _, x := range exchanges {
		r := exchangeRow{ExchangeSummary: x, URL: exchangePath(service, x.ID), Class: outcomeClass(x.Outcome)}
		for _, leg := range x.Legs {
			switch leg.Leg {
			case "primary":
				r.Primary = leg
			case "candidate":
				r.Candidate = leg
			}
		}
		rows = append(rows, r)
	}
	return rows
}

func outcomeClass(outcome string) string {
	switch outcome {
	case "match":
		return "good"
	case "diverged":
		return "bad"
	}
	return ""
}

const exchangesPerPage = 25

func (s *Server) pageEndpoint(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	here := c.Request().URL.String()
	view := endpointView{Service: service.Name, Endpoint: q.text("endpoint"), Values: s.mayRead(c), Lookback: q.lookback(s.now(), with(here, "before", ""))}
	f := q.exchangeFilter()
	f.Window, f.Limit = view.Lookback.Window, exchangesPerPage
	if view.Endpoint == "" {
		q.fault("endpoint", "is missing; it is a name from the list of endpoints, such as GET /orders/{id}")
	}
	if err := q.err("endpoint", "window", "outcome", "issue", "before"); err != nil {
		return err
	}
	v := service.Judge.Verdict()
	view.judge(service.Name, v)
	view.limit = cmp.Or(view.limit, service.MaxDivergenceRate)
	ctx := c.Request().Context()
	err = s.readEndpoint(ctx, service, v, &view, f, here)
	if view.Away = awayText(ctx, err); err != nil && view.Away == "" {
		return err
	}
	return s.render(c, http.StatusOK, "endpoint", view.Endpoint, service.Name,
		[]link{{Text: service.Name, URL: view.Lookback.keep(servicePath(service.Name))}, {Text: "Endpoint", Current: true}}, view)
}

// judge fills in the verdict on the endpoint, hold where there is none.
func (view *endpointView) judge(service string, v reports.Verdict) {
	each := reports.EndpointVerdict{Decision: reports.Hold}
	for _, e := range v.Endpoints {
		if e.Endpoint == view.Endpoint {
			each = e
		}
	}
	if view.Pool = poolOf(v, view.Endpoint); view.Pool != nil {
		each.Decision, each.Reasons, each.Signed, each.Offer = view.Pool.Decision, view.Pool.Reasons, view.Pool.Signed, view.Pool.Offer
	}
	view.limit = each.Limit
	view.Word, view.Class = decisionWord(each.Decision), decisionClass(each.Decision)
	view.Reasons = reasonViews(service, each.Reasons)
	view.SignURL, view.Signed, view.Offer = servicePath(service)+"/endpoint", each.Signed, each.Offer
	if each.Unpaired != nil {
		view.Reasons = append([]reasonView{{Text: each.Unpaired.Sentence()}}, view.Reasons...)
	}
	if each.Pool != "" {
		text := fmt.Sprintf("It is judged together with the other endpoints of the pool %s, so it needs no exchanges of its own.", each.Pool)
		view.Reasons = append([]reasonView{{Text: text}}, view.Reasons...)
	}
	if each.NotCovered != "" {
		view.Reasons = append([]reasonView{{Text: "The verdict on the service does not wait for this endpoint: " + each.NotCovered + "."}}, view.Reasons...)
	}
}

func (s *Server) readEndpoint(ctx context.Context, service *Service, v reports.Verdict, view *endpointView, f divergence.ExchangeFilter, here string) error {
	report, err := s.report(ctx, service, view.Lookback.Window)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(report.Endpoints, func(e reports.Endpoint) bool { return e.Endpoint == view.Endpoint })
	if i < 0 {
		return nil // nothing in this window; the page says so
	}
	view.Stats = report.Endpoints[i]
	view.Latencies = latencyRows(view.Stats.Primary, view.Stats.Candidate)
	view.Matrix = newMatrix(view.Stats.StatusMatrix)
	points, err := s.rates(ctx, service.Name, view.Endpoint, view.Lookback.Window, view.Stats.First)
	if err != nil {
		return err
	}
	marks, err := s.marks(ctx, service.Name)
	if err != nil {
		return err
	}
	view.Charts = newCharts(series{points: points, limits: limitsOf(points, v.Alpha), threshold: view.limit, marks: marks}, 1112, 230)
	issues, err := s.cfg.Store.Issues(ctx, service.Name, divergence.IssueFilter{Window: view.Lookback.Window, Endpoint: view.Endpoint, Suppressed: true, Limit: 100, At: s.now()})
	if err != nil {
		return err
	}
	view.Noise = service.noisePlaces(view.Endpoint)
	rows := issueRows(service.Name, view.Lookback, issues)
	view.Fields = fieldTree(service.Name, s.now(), view.Stats.Matched+view.Stats.Diverged, rows)
	if !view.Values {
		return nil
	}
	if view.Suggested, err = reports.Suggest(ctx, s.cfg.Store, service.Name, view.Endpoint, view.Lookback.Window, []divergence.EndpointStats{view.Stats.EndpointStats}); err != nil {
		return err
	}
	view.Counting, view.Suppressed = parted(rows)
	return s.readExchanges(ctx, service, view, f, here)
}

// readExchanges shows diverged exchanges unless the URL asks for others or there
// are none.
func (s *Server) readExchanges(ctx context.Context, service *Service, view *endpointView, f divergence.ExchangeFilter, here string) error {
	here = with(here, "before", "")
	chosen := f.Outcome
	if chosen == "" && f.Fingerprint == "" && view.Stats.Diverged > 0 {
		chosen = "diverged"
	}
	f.Outcome = chosen
	for _, o := range []part{{"diverged", view.Stats.Diverged}, {"match", view.Stats.Matched}, {"not_comparable", view.Stats.NotComparable}} {
		view.Outcomes = append(view.Outcomes, link{
			Text: words(o.Name) + " " + count(o.Count), URL: with(here, "outcome", o.Name) + "#exchanges", Current: o.Name == chosen,
		})
	}
	exchanges, err := s.cfg.Store.Exchanges(ctx, service.Name, f)
	if err != nil {
		return err
	}
	view.Exchanges = exchangeRows(service.Name, exchanges)
	if len(exchanges) == exchangesPerPage {
		view.Older = with(here, "before", exchanges[len(exchanges)-1].ID) + "#exchanges"
	}
	return nil
}

// limitsOf returns what the rate since the chart's beginning lies between, at
// each point: the band narrows as evidence grows.
func limitsOf(points []divergence.RatePoint, alpha float64) []limits {
	if !(alpha > 0 && alpha < 1) {
		return nil
	}
	var out []limits
	var k, n uint64
	for _, p := range points {
		k, n = k+uint64(p.K), n+uint64(p.N)
		out = append(out, limits{reports.LowerLimit(k, n, alpha), reports.UpperLimit(k, n, alpha)})
	}
	return out
}
