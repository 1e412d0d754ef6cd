package ui

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
)

// bulkForm is one decision on several issues of the list, as it was filled in.
type bulkForm struct {
	URL     string   // where the list is as it is shown
	States  []string // that a person may choose
	Refused []string // why nothing was decided
	Said    decision
	chosen  []string
}

// Chosen reports whether an issue was ticked.
func (f bulkForm) Chosen(fingerprint string) bool { return slices.Contains(f.chosen, fingerprint) }

// bulkStates are those that a person may choose.
func bulkStates() []string {
	return slices.DeleteFunc(slices.Clone(issueStates), func(s string) bool { return s == divergence.RegressedIssue })
}

// decisionOf reads what a form says about issues.
func decisionOf(c echo.Context, form url.Values) decision {
	d := decision{State: form.Get("state"), Note: form.Get("note"), Until: form.Get("until"), By: form.Get("by"), Scope: form.Get("scope")}
	if d.State != divergence.AcceptedIssue && d.State != divergence.NoiseIssue {
		d.Until = "" // the form always sends its field
	}
	d.By = signer(c, d.By)
	return d
}

// formDecideAll decides on the issues that were ticked: on all of them, or on none and the page
// says why.
func (s *Server) formDecideAll(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	values, err := s.readForm(c, maxRequestBody)
	if err != nil {
		return err
	}
	form := bulkForm{Said: decisionOf(c, values), chosen: values["issue"]}
	form.Refused, err = s.decideAll(c.Request().Context(), service.Name, form)
	if err != nil {
		return err
	}
	if len(form.Refused) > 0 {
		form.Said.By = values.Get("by")
		return s.showIssues(c, service, http.StatusUnprocessableEntity, form)
	}
	return c.Redirect(http.StatusSeeOther, c.Request().URL.RequestURI())
}

// decideAll puts a decision in force, or says why it may not be.
func (s *Server) decideAll(ctx context.Context, service string, form bulkForm) (refused []string, err error) {
	now := s.now().UTC()
	refused = form.Said.faults(now)
	switch {
	case len(form.chosen) == 0:
		refused = append(refused, "issue: none was chosen; tick those that the decision is about")
	case len(form.chosen) > issuesPerPage:
		refused = append(refused, fmt.Sprintf("issue: %d were chosen, and %d can be decided on at once", len(form.chosen), issuesPerPage))
	}
	if len(refused) > 0 {
		return refused, nil
	}
	issues, refused, err := s.chosenIssues(ctx, service, form)
	if err != nil || len(refused) > 0 {
		return refused, err
	}
	return nil, s.keepDecisions(ctx, service, issues, form.Said, now)
}

// chosenIssues reads the issues that were ticked.
func (s *Server) chosenIssues(ctx context.Context, service string, form bulkForm) (issues []divergence.Issue, refused []string, err error) {
	known, err := s.cfg.Store.Issues(ctx, service, divergence.IssueFilter{Suppressed: true, At: s.now(), Limit: 1000})
	if err != nil {
		return nil, nil, err
	}
	for _, fingerprint := range slices.Compact(slices.Sorted(slices.Values(form.chosen))) {
		i := slices.IndexFunc(known, func(i divergence.Issue) bool { return i.Fingerprint == fingerprint })
		switch {
		case i < 0:
			refused = append(refused, fmt.Sprintf("issue: %.60q is not among the issues there are", fingerprint))
		case cannotBe(known[i], form.Said.State):
			refused = append(refused, fmt.Sprintf("%s %s: that the candidate gave no answer cannot be %s", known[i].Endpoint, known[i].Path, form.Said.State))
		default:
			issues = append(issues, known[i])
		}
	}
	return issues, refused, nil
}
