package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/errgroup"

	"parallax/divergence"
	"parallax/reports"
)

// serviceView is a service as pages show it.
type serviceView struct {
	Name, URL, Listen string
	Verdict           verdictView
	Diagnoses         []reasonView // one cause for most of an endpoint
	Step              stepDocument
	Legs              []LegStatus
	Mirroring         MirroringState
	Copying           *Copy // of the candidate's database; nil: none is being made
	Lookback          lookback
	Away              string // why there are no figures; empty when there are
	Accounting        accountingView
	Effects           effectsView
	WrittenURL        string // of the rows that the candidate changed as the live leg; empty for none
	Tables            *reports.Tables
	Charts            charts
	Endpoints         []endpointRow
	Shown             []link // all of them, or those that need attention
	Attention         bool   // the latter is asked for
	Here              string // the page's own address
	Issues            []issueRow
	IssuesURL         string
	RulesURL          string
	PromotionURL      string
	Detailed          bool // with endpoints and issues
	Values            bool // with what callers and databases had
}

// verdictView is a verdict in words.
type verdictView struct {
	Word, Class, Lead string
	Reasons, More     []reasonView
	NotCovered        []string
	reports.Verdict
}

// reasonView is a reason as a sentence; the endpoint, if it is about one, is a
// link before it.
type reasonView struct {
	Endpoint, URL, Text string
}

// shownReasons is how many reasons stand below a verdict; the others fold away.
const shownReasons = 6

func newVerdictView(service string, v reports.Verdict) verdictView {
	out := verdictView{Word: decisionWord(v.Decision), Class: decisionClass(v.Decision), Lead: lead(v), NotCovered: v.NotCovered, Verdict: v}
	if !saysItAll(v.Reasons) {
		out.Reasons = reasonViews(service, v.Reasons)
	}
	if len(out.Reasons) > shownReasons+1 {
		out.Reasons, out.More = out.Reasons[:shownReasons], out.Reasons[shownReasons:]
	}
	return out
}

// saysItAll tells whether the lead says already what the only reason says.
func saysItAll(reasons []reports.Reason) bool {
	return len(reasons) == 1 && (reasons[0].Code == reports.NoTraffic || reasons[0].Code == reports.StoreAway)
}

func reasonViews(service string, reasons []reports.Reason) []reasonView {
	var out []reasonView
	for _, r := range reasons {
		text := r.Sentence()
		if !reports.IsEndpoint(r.Endpoint) && !reports.IsPool(r.Endpoint) { // nothing else has a page
			out = append(out, reasonView{Text: text})
			continue
		}
		text = strings.TrimPrefix(text, r.Endpoint+": ")
		out = append(out, reasonView{Endpoint: r.Endpoint, URL: endpointPath(service, r.Endpoint), Text: text})
	}
	return out
}

// diagnoses lists what is probably behind whole endpoints.
func diagnoses(service string, l lookback, endpoints []reports.Endpoint) []reasonView {
	var out []reasonView
	for _, e := range endpoints {
		if e.Diagnosis != nil {
			out = append(out, reasonView{Endpoint: e.Endpoint, URL: l.keep(endpointPath(service, e.Endpoint)), Text: e.Diagnosis.Sentence()})
		}
	}
	return out
}

func decisionClass(d reports.Decision) string {
	switch d {
	case reports.Promote:
		return "good"
	case reports.Rollback:
		return "bad"
	}
	return "wait"
}

// charts is one picture for wide screens and one for narrow ones; a style sheet
// shows one of them. Data is the same for the script that draws it with a cursor.
type charts struct {
	Wide, Narrow *chart
	Data         string
}

func newCharts(s series, wide, height int) charts {
	c := charts{Wide: newChart(s, wide, height), Narrow: newChart(s, 340, 190)}
	if c.Wide != nil {
		c.Data = plotData(s, c.Wide.most, c.Wide.Summary)
	}
	return c
}

// accountingView is the accounting as an equation.
type accountingView struct {
	Terms   []term
	Missing int64
	Dropped string // what cannot be looked at any more; empty for nothing
}

type term struct {
	Name  string
	Total int64
	Parts []part
}

type part struct {
	Name  string
	Count int64
}

func newAccountingView(a divergence.Accounting) accountingView {
	return accountingView{
		Terms: []term{
			{Name: "received", Total: a.Received},
			newTerm("unmirrored", a.Unmirrored),
			newTerm("compared", a.Compared),
			newTerm("lost", a.Lost),
			{Name: "in flight", Total: a.InFlight, Parts: newTerm("", a.At).Parts},
		},
		Missing: a.Missing(), Dropped: droppedText(a),
	}
}

// droppedText says what went before its time.
func droppedText(a divergence.Accounting) string {
	if a.Dropped == 0 && a.DroppedBodies == 0 {
		return ""
	}
	return fmt.Sprintf("To keep the store within store.max_disk, the rows of %s compared exchanges and the bodies of %s answers were dropped. They stay counted; latencies, statuses and issues are of the rest.", count(a.Dropped), count(a.DroppedBodies))
}

// newTerm adds up the reasons of a term, the largest first.
func newTerm(name string, counts map[string]int64) term {
	t := term{Name: name}
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[reason]; n != 0 {
			t.Total += n
			t.Parts = append(t.Parts, part{Name: words(reason), Count: n})
		}
	}
	slices.SortStableFunc(t.Parts, func(a, b part) int { return cmp.Compare(b.Count, a.Count) })
	return t
}

// endpointRow is an endpoint in the table of a service.
type endpointRow struct {
	reports.Endpoint
	URL, Word, Class string
	Compared         int64
}

func endpointRows(service string, l lookback, endpoints []reports.Endpoint) []endpointRow {
	var rows []endpointRow
	for _, e := range endpoints {
		rows = append(rows, endpointRow{
			Endpoint: e, URL: l.keep(endpointPath(service, e.Endpoint)),
			Word: decisionWord(e.Verdict), Class: decisionClass(e.Verdict), Compared: e.Matched + e.Diverged,
		})
	}
	slices.SortStableFunc(rows, func(a, b endpointRow) int { // by impact
		return cmp.Or(cmp.Compare(b.Diverged, a.Diverged), cmp.Compare(b.CandidateFailed, a.CandidateFailed),
			cmp.Compare(b.Compared, a.Compared), cmp.Compare(a.Endpoint.Endpoint, b.Endpoint.Endpoint))
	})
	return rows
}

// choose shows all endpoints, or those that need attention.
func (view *serviceView) choose(endpoints []reports.Endpoint) {
	if len(endpoints) == 0 {
		return
	}
	needing := slices.DeleteFunc(slices.Clone(endpoints), func(e reports.Endpoint) bool { return !e.NeedsAttention() })
	view.Shown = []link{
		{Text: "all " + count(int64(len(endpoints))), URL: with(view.Here, "show", "") + "#endpoints", Current: !view.Attention},
		{Text: "needing attention " + count(int64(len(needing))), URL: with(view.Here, "show", showAttention) + "#endpoints", Current: view.Attention},
	}
	if view.Attention {
		endpoints = needing
	}
	view.Endpoints = endpointRows(view.Name, view.Lookback, endpoints)
}

// showAttention is the value of show that leaves out endpoints that need nobody.
const showAttention = "attention"

// brief is the part of a service's page that needs no store.
func (s *Server) brief(service *Service, l lookback) serviceView {
	v := service.Judge.Verdict()
	return serviceView{
		Name: service.Name, URL: l.keep(servicePath(service.Name)), Listen: service.Listen,
		Verdict: newVerdictView(service.Name, v), Step: service.step(), Legs: service.legs(), Mirroring: service.mirroring(), Copying: service.copying(), Lookback: l,
		IssuesURL: l.keep(servicePath(service.Name) + "/issues"),
		RulesURL:  rulesPath(service.Name),

		PromotionURL: promotionPath(service.Name),
	}
}

// topIssues is how many issues the page of a service shows.
const topIssues = 8

// figures fills in what the store knows. A store that is away is no error: the
// page then says so.
func (s *Server) figures(ctx context.Context, service *Service, view *serviceView) error {
	err := s.readFigures(ctx, service, view)
	if away := awayText(ctx, err); away != "" {
		view.Away = away
		return nil
	}
	return err
}

// readFigures asks the store for all at once: what takes longest is the report, and it
// is not needed to find the issues.
func (s *Server) readFigures(ctx context.Context, service *Service, view *serviceView) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(s.unbroken("report", func() error { return s.readReport(ctx, service, view) }))
	if view.Detailed && view.Values {
		all.Go(s.unbroken("issues", func() error { return s.readIssues(ctx, service, view) }))
	}
	return all.Wait()
}

// readReport fills in everything that is made of counts.
func (s *Server) readReport(ctx context.Context, service *Service, view *serviceView) error {
	report, err := s.report(ctx, service, view.Lookback.Window)
	if err != nil {
		return err
	}
	view.Accounting = newAccountingView(report.Accounting)
	if view.Tables = report.Tables; !view.Values {
		view.Tables = withoutRows(report.Tables)
	}
	view.Diagnoses = diagnoses(service.Name, view.Lookback, report.Endpoints)
	if view.Detailed && report.Effects != nil {
		view.Effects = newEffectsView(*report.Effects)
	}
	if view.Detailed {
		view.choose(report.Endpoints)
	}
	points, err := s.rates(ctx, service.Name, "", view.Lookback.Window, firstOf(report.Endpoints))
	if err != nil {
		return err
	}
	marks, err := s.marks(ctx, service.Name)
	view.Charts = newCharts(series{points: points, limits: limitsOf(points, view.Verdict.Alpha), threshold: service.MaxDivergenceRate, marks: marks}, 1112, 210)
	return err
}

// readIssues fills in the issues, and whether the candidate changed rows.
func (s *Server) readIssues(ctx context.Context, service *Service, view *serviceView) error {
	written, err := s.cfg.Store.Written(ctx, service.Name, divergence.WrittenFilter{Window: view.Lookback.Window, Limit: 1})
	if err != nil {
		return err
	}
	if len(written.Rows) > 0 || written.Unlisted > 0 {
		view.WrittenURL = writtenPath(service.Name)
	}
	issues, err := s.cfg.Store.Issues(ctx, service.Name, divergence.IssueFilter{Window: view.Lookback.Window, Limit: topIssues, At: s.now()})
	view.Issues = issueRows(service.Name, view.Lookback, issues)
	return err
}

// awayText says why the store does not answer, or nothing if that is not what is
// wrong.
func awayText(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, divergence.ErrAway):
		return err.Error()
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
		return "it did not answer in time"
	}
	return ""
}

func firstOf(endpoints []reports.Endpoint) (first time.Time) {
	for _, e := range endpoints {
		if !e.First.IsZero() && (first.IsZero() || e.First.Before(first)) {
			first = e.First
		}
	}
	return first
}

// pageOverview shows the one service there is, or all of them in brief.
func (s *Server) pageOverview(c echo.Context) error {
	services := s.Services()
	if len(services) == 1 {
		return s.showService(c, &services[0])
	}
	q := query{values: c.QueryParams()}
	here := c.Request().URL.String()
	l := q.lookback(s.now(), here)
	if err := q.err("window"); err != nil {
		return err
	}
	views := make([]serviceView, len(services))
	for i := range services {
		views[i] = s.brief(&services[i], l)
		if err := s.figures(c.Request().Context(), &services[i], &views[i]); err != nil {
			return err
		}
	}
	return s.render(c, http.StatusOK, "overview", "Services", "", nil, struct {
		Lookback lookback
		Here     string
		Services []serviceView
	}{l, here, views})
}

func (s *Server) pageService(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	return s.showService(c, service)
}

func (s *Server) showService(c echo.Context, service *Service) error {
	q := query{values: c.QueryParams()}
	here := c.Request().URL.String()
	l := q.lookback(s.now(), here)
	show := q.text("show")
	if show != "" && show != showAttention {
		q.fault("show", "want %s, found %.40q", showAttention, show)
	}
	if err := q.err("window", "show"); err != nil {
		return err
	}
	view := s.brief(service, l)
	view.Here, view.Attention = here, show == showAttention
	view.Detailed, view.Values = true, s.mayRead(c)
	if err := s.figures(c.Request().Context(), service, &view); err != nil {
		return err
	}
	return s.render(c, http.StatusOK, "service", service.Name, service.Name, nil, view)
}
