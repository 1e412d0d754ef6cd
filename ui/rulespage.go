package ui

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"parallax/compare"
	"parallax/divergence"
)

// rulesView is the page of the rules of a service.
type rulesView struct {
	Service  string
	Away     string
	Days     int
	Version  string
	Rules    []ruleRow
	Findings []compare.Finding
	Sets     []setRow
	Form     ruleForm
	Verdict  verdictView
	Saved    *divergence.SavedRules // nil: nobody can save rules here
	URL      string                 // of the service
}

// ruleRow is a rule in the table.
type ruleRow struct {
	ruleLine
	ExampleURL string
	Counts     []divergence.RuleCount // by endpoint and day
}

// setRow is a set of rules that was in force.
type setRow struct {
	divergence.RuleSet
	URL     string
	Current bool
}

// ruleForm is where a person tries rules, and saves what was tried.
type ruleForm struct {
	URL, BlindURL string
	Text          string
	Faults        []string // what is wrong with the text, or with saving it
	Busy          string
	Others        string // why it cannot be saved: somebody else did
	Result        *divergence.DryRun
	Issues        []changeRow
	Saves         bool   // the text is what is saved; else it is all rules in force
	Version       string // of those that were saved last
	News          bool   // the text is another
	Save          permit
}

// changeRow is an issue that changes in a dry run.
type changeRow struct {
	divergence.IssueChange
	ExampleURLs []string
}

func rulesPath(service string) string      { return servicePath(service) + "/rules" }
func blindSpotsPath(service string) string { return servicePath(service) + "/blind-spots" }

func (s *Server) pageRules(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	rule := q.text("rule")
	if err := q.err("rule"); err != nil {
		return err
	}
	text, err := service.givenRule(rule)
	if err != nil {
		return err
	}
	return s.showRules(c, service, http.StatusOK, ruleForm{Text: text})
}

// showRules shows the page of rules with a form as it was filled in.
func (s *Server) showRules(c echo.Context, service *Service, status int, form ruleForm) error {
	ctx := c.Request().Context()
	form.URL, form.BlindURL, form.Save = rulesPath(service.Name), blindSpotsPath(service.Name), s.permits(c, evidence)
	if form.Result != nil {
		for _, i := range form.Result.Issues {
			row := changeRow{IssueChange: i}
			for _, id := range i.Examples {
				row.ExampleURLs = append(row.ExampleURLs, exchangePath(service.Name, id))
			}
			form.Issues = append(form.Issues, row)
		}
	}
	d, err := s.rules(ctx, service, divergence.Window{From: s.now().Add(-countsOf)})
	view := rulesView{Service: service.Name, Away: awayText(ctx, err), Days: int(countsOf.Hours() / 24), Version: d.RulesVersion, Findings: d.Findings, Form: form,
		Verdict: newVerdictView(service.Name, service.Judge.Verdict()), Saved: d.Saved, URL: servicePath(service.Name)}
	if d.Saved != nil {
		view.Form.Saves, view.Form.Version = true, d.Saved.Version
		view.Form.News = divergence.NewSavedRules(form.Text).Version != d.Saved.Version
	}
	if err != nil && view.Away == "" {
		return err
	}
	for _, r := range d.Rules {
		view.Rules = append(view.Rules, newRuleRow(service.Name, r, d.Counts))
	}
	for _, set := range d.Sets {
		view.Sets = append(view.Sets, setRow{set, rulesPath(service.Name) + "/" + url.PathEscape(set.Version), set.Version == d.RulesVersion})
	}
	return s.render(c, status, "rules", "Rules of "+service.Name, service.Name, []link{
		{Text: service.Name, URL: servicePath(service.Name)}, {Text: "Rules", Current: true},
	}, view)
}

// maxDayRows is how many lines of counts stand below a rule.
const maxDayRows = 30

func newRuleRow(service string, r ruleLine, counts []divergence.RuleCount) ruleRow {
	row := ruleRow{ruleLine: r}
	if r.Example != "" {
		row.ExampleURL = exchangePath(service, r.Example)
	}
	for _, c := range counts {
		if c.Rule == r.Key && len(row.Counts) < maxDayRows {
			row.Counts = append(row.Counts, c)
		}
	}
	return row
}

// pageDryRun tries the rules that a person wrote into the form.
func (s *Server) pageDryRun(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	form, _, err := s.readRulesForm(c)
	if err != nil {
		return err
	}
	var rules []compare.Rule
	if service.Editor != nil {
		rules, err = service.whole(form.Text)
	} else {
		rules, err = parseRules([]byte(form.Text))
	}
	if wrong := (*problem)(nil); errors.As(err, &wrong) {
		form.Faults = wrong.Faults
		return s.showRules(c, service, http.StatusUnprocessableEntity, form)
	}
	return s.dryRunPage(c, service, form, rules)
}

func (s *Server) dryRunPage(c echo.Context, service *Service, form ruleForm, rules []compare.Rule) error {
	if s.cfg.Rehearsal == nil {
		return newProblem(http.StatusNotImplemented, "not_supported", "rules cannot be tried on stored pairs here")
	}
	result, err := s.cfg.Rehearsal.DryRun(c.Request().Context(), service.Name, rules, divergence.PairFilter{})
	switch {
	case errors.Is(err, divergence.ErrBusy):
		form.Busy = err.Error()
		return s.showRules(c, service, http.StatusServiceUnavailable, form)
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		return err
	case err != nil:
		return storeAway(err)
	}
	form.Result = &result
	return s.showRules(c, service, http.StatusOK, form)
}

// readRulesForm reads the rules of a form, and whatever else is in it.
func (s *Server) readRulesForm(c echo.Context) (ruleForm, url.Values, error) {
	values, err := s.readForm(c, 3*maxRulesText+maxRequestBody) // a character may take three
	if err != nil {
		return ruleForm{}, nil, err
	}
	if len(values["rules"]) != 1 {
		return ruleForm{}, nil, badRequest("body: want the field rules, once")
	}
	return ruleForm{Text: divergence.NewSavedRules(values.Get("rules")).Text}, values, nil
}

// readForm reads a form within bounds of size and time.
func (s *Server) readForm(c echo.Context, most int64) (url.Values, error) {
	media, _, err := mime.ParseMediaType(c.Request().Header.Get("Content-Type"))
	if err != nil || media != echo.MIMEApplicationForm {
		return nil, newProblem(http.StatusUnsupportedMediaType, "media_type", "want the form of the page; programs use the API, which /openapi.json describes")
	}
	body, err := s.readText(c, most)
	if err != nil {
		return nil, err
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, badRequest("body: is no form")
	}
	return values, nil
}

// ruleSetView is one set of rules that was in force.
type ruleSetView struct {
	divergence.RuleSet
	Current bool
}

func (s *Server) pageRuleSet(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	set, err := s.cfg.Store.RuleSet(c.Request().Context(), service.Name, c.Param("version"))
	if err != nil {
		return err
	}
	view := ruleSetView{set, set.Version == service.rulesInForce().Version()}
	return s.render(c, http.StatusOK, "ruleset", "Rules "+set.Version, service.Name, []link{
		{Text: service.Name, URL: servicePath(service.Name)}, {Text: "Rules", URL: rulesPath(service.Name)}, {Text: set.Version, Current: true},
	}, view)
}

// blindSpotsView is what of a broken candidate would be found.
type blindSpotsView struct {
	Service string
	Known   *divergence.BlindSpots
	Rows    []blindRow
}

type blindRow struct {
	divergence.EndpointBlindness
	URL    string
	Hiders []hiderRow
}

type hiderRow struct {
	divergence.Blinder
	URL string
}

func (s *Server) pageBlindSpots(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	view := blindSpotsView{Service: service.Name}
	if service.BlindSpots != nil {
		view.Known = service.BlindSpots()
	}
	if view.Known != nil {
		for _, e := range view.Known.Endpoints {
			row := blindRow{EndpointBlindness: e, URL: endpointPath(service.Name, e.Endpoint)}
			for _, h := range e.Hidden {
				row.Hiders = append(row.Hiders, hiderRow{h, exchangePath(service.Name, h.ID)})
			}
			view.Rows = append(view.Rows, row)
		}
	}
	return s.render(c, http.StatusOK, "blindspots", "Blind spots of "+service.Name, service.Name, []link{
		{Text: service.Name, URL: servicePath(service.Name)}, {Text: "Rules", URL: rulesPath(service.Name)}, {Text: "Blind spots", Current: true},
	}, view)
}
