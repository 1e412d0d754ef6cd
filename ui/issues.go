package ui

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
)

// issueRow is an issue in a table.
type issueRow struct {
	divergence.Issue
	EndpointURL string
	ExampleURLs []string
	What        string // kind and class in words
	Reason      string // what suppresses it
}

func issueRows(service string, l lookback, issues []divergence.Issue) []issueRow {
	var rows []issueRow
	for _, i := range issues {
		r := issueRow{Issue: i, EndpointURL: l.keep(endpointPath(service, i.Endpoint)), What: whatDiffers(i.Kind, i.Class), Reason: strings.Join(i.By, ", ")}
		for _, id := range i.Examples {
			r.ExampleURLs = append(r.ExampleURLs, exchangePath(service, id))
		}
		if len(r.ExampleURLs) > 3 {
			r.ExampleURLs = r.ExampleURLs[:3]
		}
		rows = append(rows, r)
	}
	return rows
}

// whatDiffers says a kind of difference, and the value class if it tells more.
func whatDiffers(kind, class string) string {
	text := words(kind)
	if class != "" {
		text += ": " + class
	}
	return text
}

// issuesView is the list of issues of a service.
type issuesView struct {
	Service    string
	Lookback   lookback
	Endpoint   string
	Counting   []issueRow
	Suppressed []issueRow
	Away       string
	Limit      int
	Full       bool // there may be more than are shown
}

const issuesPerPage = 200

func (s *Server) pageIssues(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	view := issuesView{Service: service.Name, Lookback: q.lookback(s.now(), c.Request().URL.String()), Endpoint: q.text("endpoint"), Limit: issuesPerPage}
	if err := q.err("window", "endpoint"); err != nil {
		return err
	}
	ctx := c.Request().Context()
	issues, err := s.cfg.Store.Issues(ctx, service.Name, divergence.IssueFilter{
		Window: view.Lookback.Window, Endpoint: view.Endpoint, Suppressed: true, Limit: issuesPerPage,
	})
	if view.Away = awayText(ctx, err); err != nil && view.Away == "" {
		return err
	}
	view.Full = len(issues) == issuesPerPage
	view.Counting, view.Suppressed = parted(issueRows(service.Name, view.Lookback, issues))
	return s.render(c, http.StatusOK, "issues", "Issues of "+service.Name, service.Name,
		[]link{{Text: service.Name, URL: view.Lookback.keep(servicePath(service.Name))}, {Text: "Issues", Current: true}}, view)
}

// parted tells issues that count from those that were always suppressed.
func parted(rows []issueRow) (counting, suppressed []issueRow) {
	for _, r := range rows {
		if r.Count > 0 {
			counting = append(counting, r)
		} else {
			suppressed = append(suppressed, r)
		}
	}
	return counting, suppressed
}
