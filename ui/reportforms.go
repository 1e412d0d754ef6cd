package ui

import (
	"bytes"
	"io"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"parallax/divergence"
	"parallax/reports"
)

// reportForm is a form besides JSON in which the API gives a report.
type reportForm struct {
	name, contentType string
	write             func(io.Writer, reports.Handout) error
}

// reportForms are all there are.
var reportForms = []reportForm{
	{"text", "text/plain; charset=utf-8", ofBoth(reports.WriteText)},
	{"markdown", "text/markdown; charset=utf-8", ofBoth(reports.WriteMarkdown)},
	{"junit", "application/xml; charset=utf-8", ofBoth(reports.WriteJUnit)},
	{"html", "text/html; charset=utf-8", reports.WriteHTML},
}

func ofBoth(write func(io.Writer, reports.Report, reports.Verdict) error) func(io.Writer, reports.Handout) error {
	return func(w io.Writer, h reports.Handout) error { return write(w, h.Report, h.Verdict) }
}

// form returns the form that is asked for; JSON has no name.
func (q *query) form() (f reportForm) {
	name := q.text("format")
	i := slices.IndexFunc(reportForms, func(f reportForm) bool { return f.name == name })
	switch {
	case i >= 0:
		return reportForms[i]
	case name != "" && name != "json":
		q.fault("format", "want json, text, markdown, junit or html, found %.20q", name)
	}
	return f
}

// handedIssues is how many issues an HTML report has.
const handedIssues = 50

// hand answers with a report in a form; one with values in it only to who may see them.
func (s *Server) hand(c echo.Context, service *Service, report reports.Report, f reportForm) error {
	h := reports.Handout{Report: report, Verdict: service.Judge.Verdict(), At: s.now()}
	if f.name == "html" && s.mayRead(c) {
		w := divergence.Window{From: report.From, To: report.To}
		issues, err := s.cfg.Store.Issues(c.Request().Context(), service.Name, divergence.IssueFilter{Window: w, Limit: handedIssues + 1, At: s.now()})
		if err != nil {
			return err
		}
		h.More, h.Issues = len(issues) > handedIssues, list(issues[:min(len(issues), handedIssues)])
	}
	var out bytes.Buffer
	if err := f.write(&out, h); err != nil {
		return err
	}
	return c.Blob(http.StatusOK, f.contentType, out.Bytes())
}
