package ui

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
)

// issueRow is an issue in a table.
type issueRow struct {
	divergence.Issue
	URL         string
	EndpointURL string
	ExampleURLs []string
	What        string // kind and class in words
	Reason      string // what suppresses it
}

func issueRows(service string, l lookback, issues []divergence.Issue) []issueRow {
	var rows []issueRow
	for _, i := range issues {
		r := issueRow{Issue: i, URL: l.keep(issuePath(service, i.Fingerprint)), EndpointURL: l.keep(endpointPath(service, i.Endpoint)), What: whatDiffers(i.Kind, i.Class), Reason: takenAway(i.By)}
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
		text += ": " + cmp.Or(formWords[class], class)
	}
	return text
}

// formWords say the forms of texts that are classes.
var formWords = map[string]string{
	"string:uuid": "a text that is a UUID", "string:timestamp": "a text that is a time", "string:url": "a text that is an address", "string:number": "a text that is a number", "string": "a text",
}

// takenAway says what takes a difference away, such as: by a rule, as noise.
func takenAway(by []string) string {
	texts := make([]string, len(by))
	for i, each := range by {
		texts[i] = takenBy(each)
	}
	return strings.Join(texts, ", ")
}

func takenBy(by string) string {
	said := map[string]string{"rule": "by a rule", "noise": "as noise"}
	return cmp.Or(said[by], words(by))
}

// issuesView is the list of issues of a service.
type issuesView struct {
	Service    string
	Lookback   lookback
	Endpoint   string
	Cause      string
	States     []link     // filters
	Shared     []groupRow // causes on several endpoints
	Counting   []issueRow
	Suppressed []issueRow
	Away       string
	Limit      int
	Full       bool // there may be more than are shown
	Bulk       bulkForm
}

// groupRow is a cause in a table.
type groupRow struct {
	causeGroup
	URL, What string
}

// sharedCauses lists the causes that several endpoints show.
func sharedCauses(service string, l lookback, issues []divergence.Issue) []groupRow {
	var out []groupRow
	for _, g := range groupByCause(issues) {
		if len(g.Endpoints) > 1 {
			address := servicePath(service) + "/issues?" + url.Values{"cause": {g.Cause}}.Encode()
			out = append(out, groupRow{g, l.keep(address), whatDiffers(g.Kind, g.Class)})
		}
	}
	return out
}

// stateLinks are the filters by state.
func stateLinks(here, state string) []link {
	out := []link{{Text: "all", URL: with(here, "state", ""), Current: state == ""}}
	for _, s := range issueStates {
		out = append(out, link{Text: s, URL: with(here, "state", s), Current: s == state})
	}
	return out
}

const issuesPerPage = 200

func (s *Server) pageIssues(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	return s.showIssues(c, service, http.StatusOK, bulkForm{})
}

// showIssues shows the list with its form as it was filled in.
func (s *Server) showIssues(c echo.Context, service *Service, status int, bulk bulkForm) error {
	q := query{values: c.QueryParams()}
	here := c.Request().URL.String()
	f := q.issueFilter(s.now())
	view := issuesView{Service: service.Name, Lookback: q.lookback(s.now(), here), Endpoint: f.Endpoint, Cause: f.Cause, States: stateLinks(here, f.State), Limit: issuesPerPage}
	bulk.URL, bulk.States = here, bulkStates()
	view.Bulk = bulk
	if err := q.err("window", "endpoint", "state", "cause"); err != nil {
		return err
	}
	ctx := c.Request().Context()
	f.Window, f.Suppressed, f.Limit = view.Lookback.Window, true, issuesPerPage
	issues, err := s.cfg.Store.Issues(ctx, service.Name, f)
	if view.Away = awayText(ctx, err); err != nil && view.Away == "" {
		return err
	}
	if f.Cause == "" {
		view.Shared = sharedCauses(service.Name, view.Lookback, issues)
	}
	view.Full = len(issues) == issuesPerPage
	view.Counting, view.Suppressed = parted(issueRows(service.Name, view.Lookback, issues))
	return s.render(c, status, "issues", "Issues of "+service.Name, service.Name,
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
