package ui

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
	"parallax/reports"
)

// issueView is the page of one issue.
type issueView struct {
	Service, EndpointURL, CauseURL string
	URL                            string
	Lookback                       lookback
	issueDocument
	What      string
	Diagnosis *reports.Diagnosis
	Values    []valueRow
	Exchanges []exchangeRow
	States    []link // those a person may choose; the present one is current
	Away      string
	NoAnswer  bool // it cannot be accepted
}

// valueRow is an example with a link to its exchange.
type valueRow struct {
	divergence.ValueExample
	URL string
}

func (s *Server) pageIssue(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	fingerprint, err := fingerprintOf(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	view := issueView{Service: service.Name, URL: issuePath(service.Name, fingerprint), Lookback: q.lookback(s.now(), c.Request().URL.String())}
	if err := q.err("window"); err != nil {
		return err
	}
	ctx := c.Request().Context()
	view.issueDocument, err = s.readIssue(ctx, service.Name, fingerprint)
	if view.Away = awayText(ctx, err); err != nil && view.Away == "" {
		return err
	}
	if err == nil {
		view.fill()
		report, err := s.report(ctx, service, view.Lookback.Window)
		if view.Away = awayText(ctx, err); err != nil && view.Away == "" {
			return err
		}
		if i := slices.IndexFunc(report.Endpoints, func(e reports.Endpoint) bool { return e.Endpoint == view.Endpoint }); i >= 0 {
			view.Diagnosis = report.Endpoints[i].Diagnosis
		}
	}
	return s.render(c, http.StatusOK, "issue", "Issue "+fingerprint, service.Name, []link{
		{Text: service.Name, URL: view.Lookback.keep(servicePath(service.Name))},
		{Text: "Issues", URL: view.Lookback.keep(servicePath(service.Name) + "/issues")}, {Text: "Issue", Current: true},
	}, view)
}

// fill makes links and words of what was read.
func (view *issueView) fill() {
	doc := view.issueDocument
	view.EndpointURL = view.Lookback.keep(endpointPath(view.Service, doc.Endpoint))
	view.CauseURL = view.Lookback.keep(servicePath(view.Service) + "/issues?" + url.Values{"cause": {doc.Cause}}.Encode())
	view.What, view.NoAnswer = whatDiffers(doc.Kind, doc.Class), noAnswer(doc.Issue)
	for _, v := range doc.Values {
		view.Values = append(view.Values, valueRow{v, exchangePath(view.Service, v.Exchange)})
	}
	view.Exchanges = exchangeRows(view.Service, doc.Exchanges)
	for _, state := range issueStates {
		suspends := state == divergence.AcceptedIssue || state == divergence.NoiseIssue
		if state != divergence.RegressedIssue && !(view.NoAnswer && suspends) {
			view.States = append(view.States, link{Text: state, Current: state == doc.State})
		}
	}
}

// formDecide is the form of an issue's page.
func (s *Server) formDecide(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	fingerprint, err := fingerprintOf(c)
	if err != nil {
		return err
	}
	form, err := s.readForm(c, maxRequestBody)
	if err != nil {
		return err
	}
	d := decisionOf(c, form)
	if err := s.decide(c.Request().Context(), service.Name, fingerprint, d); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, issuePath(service.Name, fingerprint))
}
