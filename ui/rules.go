package ui

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"parallax/compare"
	"parallax/divergence"
)

// RuleBook answers which rules there were and what they took away.
type RuleBook interface {
	RuleSets(ctx context.Context, service string) ([]divergence.RuleSet, error)
	RuleSet(ctx context.Context, service, version string) (divergence.RuleSet, error)
	RuleCounts(ctx context.Context, service string, w divergence.Window) ([]divergence.RuleCount, error)
	Chances(ctx context.Context, service string, rules []compare.Rule) (map[string]compare.Chance, error)
}

// Rehearsal tries rules on stored pairs. No rules at all, nil, stands for those in
// force.
type Rehearsal interface {
	DryRun(ctx context.Context, service string, rules []compare.Rule, f divergence.PairFilter) (divergence.DryRun, error)
	Rejudge(ctx context.Context, service string, rules []compare.Rule, f divergence.PairFilter) (divergence.Rejudged, error)
	BlindSpots(ctx context.Context, service string, rules []compare.Rule, f divergence.PairFilter) (divergence.BlindSpots, error)
	SuggestIdentifiers(ctx context.Context, service string, f divergence.PairFilter) (divergence.SuggestedIdentifiers, error)
}

var _ Rehearsal = (*divergence.Rehearsal)(nil)

// RuleEditor keeps the rules that people save, besides those of the configuration.
type RuleEditor interface {
	// Saved returns those that were saved last.
	Saved() divergence.SavedRules
	// Together returns the rules that are in force once these are saved, those of the
	// configuration first.
	Together(saved []compare.Rule) []compare.Rule
	// Save puts rules in place of those of the version base. It fails with
	// [divergence.ErrOtherRules] if they are not those of base any more.
	Save(ctx context.Context, rules divergence.SavedRules, base string) error
}

// maxRulesText bounds rules that are sent to be tried or saved, in bytes.
const maxRulesText = divergence.MaxSavedRules

// rulesDocument is the rules of a service and their lives.
type rulesDocument struct {
	Service      string                 `json:"service"`
	RulesVersion string                 `json:"rules_version"`
	Rules        []ruleLine             `json:"rules"` // in force, in their order
	Findings     []compare.Finding      `json:"findings"`
	Counts       []divergence.RuleCount `json:"counts"` // by rule, endpoint and day, the latest first
	Sets         []divergence.RuleSet   `json:"sets"`   // that were ever in force, the latest first, without their texts

	Saved *divergence.SavedRules `json:"saved,omitempty"` // those of them that people saved; left out where nobody can
}

// ruleLine is one rule in force and what it took away in the window.
type ruleLine struct {
	Index       int    `json:"index"`
	Key         string `json:"key"` // what it is counted by, whatever its position, reason, owner and last day
	Text        string `json:"text"`
	Endpoint    string `json:"endpoint"`
	Path        string `json:"path"`
	Reason      string `json:"reason"`
	Owner       string `json:"owner"`
	Expires     string `json:"expires"`
	Saved       bool   `json:"saved"` // by a person, while the service ran; else it is of the configuration
	Exchanges   int64  `json:"exchanges"`
	Differences int64  `json:"differences"`
	Example     string `json:"example,omitempty"` // id of an exchange
}

// rulesInForce returns the rules of a service.
func (service *Service) rulesInForce() *compare.Rules {
	if service.Rules == nil {
		return nil
	}
	return service.Rules()
}

// configured is how many of the rules in force are those of the configuration, which come
// first.
func (service *Service) configured() int {
	if service.Editor == nil {
		return len(service.rulesInForce().List())
	}
	return len(service.Editor.Together(nil))
}

// rules reads all that is known about the rules of a service.
func (s *Server) rules(ctx context.Context, service *Service, w divergence.Window) (rulesDocument, error) {
	rules, configured := service.rulesInForce(), service.configured()
	d := rulesDocument{Service: service.Name, RulesVersion: rules.Version(), Rules: []ruleLine{}, Findings: list(compare.Lint(rules.List(), s.now()))}
	for i, r := range rules.List() {
		text, err := compare.RuleText([]compare.Rule{r})
		if err != nil {
			return d, err
		}
		d.Rules = append(d.Rules, ruleLine{
			Index: i, Key: r.Key(), Text: strings.TrimPrefix(strings.TrimSpace(text), "- "),
			Endpoint: r.Endpoint, Path: r.Path, Reason: r.Reason, Owner: r.Owner, Expires: r.Expires, Saved: i >= configured,
		})
	}
	if service.Editor != nil {
		saved := service.Editor.Saved()
		d.Saved = &saved
	}
	var err error
	if d.Counts, err = s.cfg.Store.RuleCounts(ctx, service.Name, w); err != nil {
		return d, err
	}
	if d.Sets, err = s.cfg.Store.RuleSets(ctx, service.Name); err != nil {
		return d, err
	}
	chances, err := s.cfg.Store.Chances(ctx, service.Name, rules.List())
	if err != nil {
		return d, err
	}
	d.Findings = append(d.Findings, compare.Unused(rules.List(), chances)...)
	slices.SortStableFunc(d.Findings, func(a, b compare.Finding) int { return a.Index - b.Index })
	d.Counts, d.Sets = list(d.Counts), list(d.Sets)
	d.addCounts()
	return d, nil
}

// addCounts adds up what each rule in force took away.
func (d *rulesDocument) addCounts() {
	for i := range d.Rules {
		line := &d.Rules[i]
		for _, c := range d.Counts { // the latest first, so the first example is the latest
			if c.Rule != line.Key {
				continue
			}
			line.Exchanges += c.Exchanges
			line.Differences += c.Differences
			if line.Example == "" {
				line.Example = c.Example
			}
		}
	}
}

func (s *Server) apiRules(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	q := query{values: c.QueryParams()}
	w := q.window()
	if err := q.err("from", "to"); err != nil {
		return err
	}
	d, err := s.rules(c.Request().Context(), service, w)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, d)
}

func (s *Server) apiRuleSet(c echo.Context) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	set, err := s.cfg.Store.RuleSet(c.Request().Context(), service.Name, c.Param("version"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, set)
}

func (s *Server) apiDryRun(c echo.Context) error {
	return rehearse(s, c, true, Rehearsal.DryRun)
}

func (s *Server) apiRejudge(c echo.Context) error {
	return rehearse(s, c, false, Rehearsal.Rejudge)
}

func (s *Server) apiBlindSpots(c echo.Context) error {
	return rehearse(s, c, false, Rehearsal.BlindSpots)
}

// rehearse reads rules and a choice of pairs and answers what trying them comes to.
// Without rules those in force are tried, unless they are required.
func rehearse[T any](s *Server, c echo.Context, required bool, try func(Rehearsal, context.Context, string, []compare.Rule, divergence.PairFilter) (T, error)) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	if s.cfg.Rehearsal == nil {
		return newProblem(http.StatusNotImplemented, "not_supported", "rules cannot be tried on stored pairs here")
	}
	q := query{values: c.QueryParams()}
	f := divergence.PairFilter{Window: q.window(), Endpoint: q.text("endpoint"), Limit: q.number("limit", 1, 10_000)}
	if err := q.err("from", "to", "endpoint", "limit"); err != nil {
		return err
	}
	var rules []compare.Rule
	if r := c.Request(); required || r.ContentLength != 0 {
		if rules, err = s.readRules(c); err != nil {
			return err
		}
	}
	out, err := try(s.cfg.Rehearsal, c.Request().Context(), service.Name, rules, f)
	if err != nil {
		return rehearsalProblem(err)
	}
	return c.JSON(http.StatusOK, out)
}

// rehearsalProblem says that somebody else tries rules, if that is so.
func rehearsalProblem(err error) error {
	if !errors.Is(err, divergence.ErrBusy) {
		return err
	}
	p := newProblem(http.StatusServiceUnavailable, "busy", err.Error())
	p.retryAfter = 5
	return p
}

// readRules reads rules from the body of a request, YAML or JSON.
func (s *Server) readRules(c echo.Context) ([]compare.Rule, error) {
	contentType := c.Request().Header.Get("Content-Type")
	switch media, _, err := mime.ParseMediaType(contentType); {
	case err == nil && slices.Contains([]string{"application/json", "application/yaml", "application/x-yaml", "text/yaml", "text/plain"}, media):
	default:
		return nil, newProblem(http.StatusUnsupportedMediaType, "media_type", fmt.Sprintf("want Content-Type: application/yaml or application/json, found %.60q", contentType))
	}
	text, err := s.readText(c, maxRulesText)
	if err != nil {
		return nil, err
	}
	return parseRules(text)
}

// parseRules reads rules. What is wrong with them is one problem with every fault.
func parseRules(text []byte) ([]compare.Rule, error) {
	rules, faults := compare.ReadRules("rules", text)
	if len(faults) == 0 {
		return rules, nil
	}
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.Error()
	}
	return nil, invalid(lines...)
}

// countsOf is how far back the page of rules counts.
const countsOf = 30 * 24 * time.Hour
