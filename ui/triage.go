package ui

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
	"parallax/reports"
)

// issueStates are the states that a list may be asked for.
var issueStates = []string{
	divergence.OpenIssue, divergence.AcceptedIssue, divergence.BugIssue, divergence.NoiseIssue, divergence.ResolvedIssue, divergence.RegressedIssue,
}

// issueFilter reads what a list of issues is asked for, but the window.
func (q *query) issueFilter(now time.Time) divergence.IssueFilter {
	f := divergence.IssueFilter{Endpoint: q.text("endpoint"), State: q.text("state"), Cause: q.text("cause"), At: now}
	if f.State != "" && !slices.Contains(issueStates, f.State) {
		q.fault("state", "want %s, found %.40q", strings.Join(issueStates, ", "), f.State)
	}
	if f.Cause != "" && !isFingerprint(f.Cause) {
		q.fault("cause", "%.60q is not a cause; it looks like 1-0123456789abcdef", f.Cause)
	}
	return f
}

// causeGroup is the issues of one cause: what looks alike on several endpoints.
type causeGroup struct {
	Cause     string    `json:"cause"`
	Path      string    `json:"path"`
	Kind      string    `json:"kind"`
	Class     string    `json:"class,omitempty"`
	Count     int64     `json:"count"` // exchanges in which it counts, of all endpoints
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Endpoints []string  `json:"endpoints"`
	Issues    []string  `json:"issues"` // their fingerprints
}

// groupByCause groups issues, the largest groups first.
func groupByCause(issues []divergence.Issue) []causeGroup {
	var groups []causeGroup
	at := map[string]int{}
	for _, i := range issues {
		n, ok := at[i.Cause]
		if !ok {
			n = len(groups)
			at[i.Cause] = n
			groups = append(groups, causeGroup{Cause: i.Cause, Path: i.Path, Kind: i.Kind, Class: i.Class, First: i.First, Last: i.Last})
		}
		g := &groups[n]
		g.Count += i.Count
		g.Issues = append(g.Issues, i.Fingerprint)
		if !slices.Contains(g.Endpoints, i.Endpoint) {
			g.Endpoints = append(g.Endpoints, i.Endpoint)
		}
		if i.First.Before(g.First) {
			g.First = i.First
		}
		if i.Last.After(g.Last) {
			g.Last = i.Last
		}
	}
	slices.SortStableFunc(groups, func(a, b causeGroup) int { return int(min(max(b.Count-a.Count, -1), 1)) })
	return groups
}

func (s *Server) apiIssues(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	f := q.issueFilter(s.now())
	f.Window, f.Suppressed, f.Limit = q.window(), q.flag("suppressed"), q.number("limit", 1, 1000)
	grouped := q.flag("grouped")
	if err := q.err("from", "to", "endpoint", "state", "cause", "suppressed", "limit", "grouped"); err != nil {
		return err
	}
	issues, err := s.cfg.Store.Issues(c.Request().Context(), service.Name, f)
	if err != nil {
		return err
	}
	out := map[string]any{"issues": list(issues)}
	if grouped {
		out["causes"] = list(groupByCause(issues))
	}
	return c.JSON(http.StatusOK, out)
}

// issueDocument is all that is known about one issue.
type issueDocument struct {
	divergence.Issue
	Values    []divergence.ValueExample    `json:"values"` // examples that are not alike
	History   []divergence.IssueDecision   `json:"history"`
	Exchanges []divergence.ExchangeSummary `json:"exchanges"` // the latest
	Common    reports.Common               `json:"in_common"`
}

func fingerprintOf(c echo.Context) (string, error) {
	fingerprint := c.Param("fingerprint")
	if !isFingerprint(fingerprint) {
		return "", badRequest(fmt.Sprintf("fingerprint: %.60q is not one; it looks like 1-0123456789abcdef", fingerprint))
	}
	return fingerprint, nil
}

// issueExchanges is how many of the latest exchanges an issue is shown with.
const issueExchanges = 10

func (s *Server) readIssue(ctx context.Context, service, fingerprint string) (doc issueDocument, err error) {
	if doc.Issue, err = s.cfg.Store.Issue(ctx, service, fingerprint, s.now()); err != nil {
		return doc, err
	}
	if doc.Values, err = s.cfg.Store.Values(ctx, service, fingerprint); err != nil {
		return doc, err
	}
	if doc.History, err = s.cfg.Store.History(ctx, service, fingerprint); err != nil {
		return doc, err
	}
	showing, others, err := s.cfg.Store.Contrast(ctx, service, doc.Issue)
	if err != nil {
		return doc, err
	}
	doc.Common = reports.InCommon(showing, others)
	doc.Exchanges, err = s.cfg.Store.Exchanges(ctx, service, divergence.ExchangeFilter{Fingerprint: fingerprint, Limit: issueExchanges})
	doc.Values, doc.History, doc.Exchanges = list(doc.Values), list(doc.History), list(doc.Exchanges)
	return doc, err
}

func (s *Server) apiIssue(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	fingerprint, err := fingerprintOf(c)
	if err != nil {
		return err
	}
	doc, err := s.readIssue(c.Request().Context(), service.Name, fingerprint)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, doc)
}

// decision is what a person says about an issue.
type decision struct {
	State string `json:"state"`
	Note  string `json:"note"`
	Until string `json:"until"`
	By    string `json:"by"`
	Scope string `json:"scope"` // "issue", or "cause": all endpoints that show the cause by now
}

// maxBy bounds the name of who decides, in bytes.
const maxBy = 100

func (d decision) faults(now time.Time) []string {
	faults := divergence.IssueDecision{State: d.State, Until: d.Until}.Check(now)
	suspends := d.State == divergence.AcceptedIssue || d.State == divergence.NoiseIssue
	for _, f := range checkReason(d.Note, suspends) {
		faults = append(faults, strings.Replace(f, "reason:", "note:", 1))
	}
	if len(d.By) > maxBy {
		faults = append(faults, fmt.Sprintf("by: is longer than %d bytes", maxBy))
	}
	if d.By == divergence.Itself {
		faults = append(faults, fmt.Sprintf("by: %s is who decides what Parallax decides by itself; give a name", divergence.Itself))
	}
	if d.Scope != "" && d.Scope != "issue" && d.Scope != "cause" {
		faults = append(faults, fmt.Sprintf("scope: want issue or cause, found %.40q", d.Scope))
	}
	return faults
}

// decide puts a decision in force.
func (s *Server) decide(ctx context.Context, service, fingerprint string, d decision) error {
	now := s.now().UTC()
	if faults := d.faults(now); len(faults) > 0 {
		return invalid(faults...)
	}
	issue, err := s.cfg.Store.Issue(ctx, service, fingerprint, now)
	if err != nil {
		return err
	}
	issues := []divergence.Issue{issue}
	if d.Scope == "cause" {
		if issues, err = s.cfg.Store.Issues(ctx, service, divergence.IssueFilter{Cause: issue.Cause, Suppressed: true, At: now, Limit: 1000}); err != nil {
			return err
		}
	}
	for _, i := range issues {
		if cannotBe(i, d.State) {
			return invalid("state: that the candidate gave no answer cannot be " + d.State + "; waive the endpoint in promotion.endpoints instead")
		}
	}
	return s.keepDecisions(ctx, service, issues, d, now)
}

// keepDecisions puts one decision on several issues in force.
func (s *Server) keepDecisions(ctx context.Context, service string, issues []divergence.Issue, d decision, now time.Time) error {
	if s.cfg.Decisions == nil {
		return newProblem(http.StatusNotImplemented, "not_supported", "nothing keeps decisions on issues here")
	}
	var decisions []divergence.IssueDecision
	for _, i := range issues {
		decisions = append(decisions, divergence.IssueDecision{At: now, Fingerprint: i.Fingerprint, Endpoint: i.Endpoint, State: d.State, Until: d.Until, Who: d.By, Note: d.Note})
	}
	if err := s.cfg.Decisions.Decide(ctx, service, decisions...); err != nil {
		return fmt.Errorf("cannot keep the decision on %s: %w", issues[0].Fingerprint, err)
	}
	s.log.Info("issues were decided on", "service", service, "issue", issues[0].Fingerprint, "state", d.State, "issues", len(decisions), "who", d.By)
	return nil
}

// cannotBe reports whether an issue may not be put into a state: that there is no answer is
// never meant.
func cannotBe(i divergence.Issue, state string) bool {
	return noAnswer(i) && (state == divergence.AcceptedIssue || state == divergence.NoiseIssue)
}

// noAnswer reports whether an issue is that the candidate gave no answer.
func noAnswer(i divergence.Issue) bool { return i.Kind == "error" || i.Kind == "timeout" }

func (s *Server) apiDecide(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	fingerprint, err := fingerprintOf(c)
	if err != nil {
		return err
	}
	var d decision
	if err := s.readBody(c, &d, false); err != nil {
		return err
	}
	d.By = signer(c, d.By)
	if err := s.decide(c.Request().Context(), service.Name, fingerprint, d); err != nil {
		return err
	}
	return s.apiIssue(c)
}
