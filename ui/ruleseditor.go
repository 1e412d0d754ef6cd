package ui

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/compare"
	"parallax/divergence"
)

// apiSaveRules puts rules in place of those that were saved last, and answers what is in force
// then. The version of those, which GET tells, must be named: who began from older ones would
// take back what somebody else saved.
func (s *Server) apiSaveRules(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	var in struct {
		Version *string `json:"version"`
		Text    string  `json:"text"`
		Reason  string  `json:"reason"`
	}
	if err := s.readBodyOf(c, &in, false, 2*maxRulesText); err != nil { // a line's end takes two characters
		return err
	}
	faults := checkReason(in.Reason, true)
	if in.Version == nil {
		faults = append(faults, "version: is missing; it is saved.version of GET rules, from which these were made")
	}
	if len(faults) > 0 {
		return invalid(faults...)
	}
	rules := divergence.NewSavedRules(in.Text)
	if _, err := service.whole(rules.Text); err != nil {
		return err
	}
	if err := s.saveRules(c, service, rules, *in.Version, in.Reason); err != nil {
		return err
	}
	d, err := s.rules(c.Request().Context(), service, divergence.Window{})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, d)
}

func (s *Server) saveRules(c echo.Context, service *Service, rules divergence.SavedRules, base, reason string) error {
	rules.At, rules.Who, rules.Reason = s.now(), caller(c), reason
	err := service.Editor.Save(c.Request().Context(), rules, base)
	if errors.Is(err, divergence.ErrOtherRules) {
		return newProblem(http.StatusConflict, "other_rules", err.Error())
	}
	if err != nil {
		return fmt.Errorf("cannot save the rules of %s: %w", service.Name, err)
	}
	return nil
}

// whole returns the rules that would be in force with these saved. What is wrong with them is
// one problem with every fault.
func (service *Service) whole(text string) ([]compare.Rule, error) {
	if service.Editor == nil {
		return nil, newProblem(http.StatusNotImplemented, "not_supported", "rules cannot be saved here")
	}
	if len(text) > maxRulesText {
		return nil, invalid(fmt.Sprintf("text: is longer than %d bytes", maxRulesText))
	}
	rules, err := parseRules([]byte(text))
	if err != nil {
		return nil, err
	}
	all := service.Editor.Together(rules)
	var faults []string
	for _, f := range compare.Lint(rules, time.Time{}) { // whatever the day
		if f.Refused {
			faults = append(faults, fmt.Sprintf("rules%s: %s; %s", f.Path, f.Text, f.Hint))
		}
	}
	if _, wrong := compare.Compile(all); len(wrong) > 0 {
		faults = append(faults, "with those of the configuration: "+wrong[0].Text+"; "+wrong[0].Hint)
	}
	if len(faults) > 0 {
		return nil, invalid(faults...)
	}
	return all, nil
}

// formSaveRules saves rules that a person tried, and shows the page with them in force.
func (s *Server) formSaveRules(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	form, values, err := s.readRulesForm(c)
	if err != nil {
		return err
	}
	rules := divergence.NewSavedRules(form.Text)
	_, err = service.whole(rules.Text)
	if faults := checkReason(values.Get("reason"), true); err == nil && len(faults) > 0 {
		err = invalid(faults...)
	}
	if err == nil {
		err = s.saveRules(c, service, rules, values.Get("version"), values.Get("reason"))
	}
	wrong := (*problem)(nil)
	switch {
	case err == nil:
		return c.Redirect(http.StatusSeeOther, rulesPath(service.Name)+"#saved")
	case errors.As(err, &wrong) && wrong.Status == http.StatusConflict:
		form.Others = wrong.Detail
	case errors.As(err, &wrong) && len(wrong.Faults) > 0:
		form.Faults = wrong.Faults
	default:
		return err
	}
	return s.showRules(c, service, wrong.Status, form)
}

// givenRule is the text of the editor for a link that brings a rule along: it stands behind
// those that were saved, or behind all in force where nobody can save.
func (service *Service) givenRule(rule string) (string, error) {
	given := divergence.NewSavedRules(rule).Text
	if service.Editor != nil {
		return service.Editor.Saved().Text + given, nil
	}
	rules := service.rulesInForce().List()
	if len(rules) == 0 && given != "" {
		return given, nil
	}
	text, err := compare.RuleText(rules)
	return text + given, err
}
