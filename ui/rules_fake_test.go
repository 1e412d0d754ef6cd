package ui

import (
	"context"
	"fmt"
	"slices"

	"parallax/compare"
	"parallax/divergence"
)

// fakeRules are the rules in force in tests.
var fakeRules = []compare.Rule{
	{Path: "$..updated_at", Ignore: true, Reason: "clock", Owner: "team-shop"},
	{Endpoint: "GET /orders/{id}", Path: "$.items[*].price", Tolerance: &compare.Tolerance{Abs: "0.01"}},
	{Path: "$.note", Ignore: true, Reason: "<script>alert(1)</script>"},
}

func (f *fakeStore) RuleSets(context.Context, string) ([]divergence.RuleSet, error) {
	rules, _ := compare.Compile(fakeRules)
	return []divergence.RuleSet{{Version: rules.Version(), At: now, By: "reload"}, {Version: "aaaa0000bbbb", At: now.Add(-48 * 3600e9), By: "start"}}, f.err
}

func (f *fakeStore) RuleSet(_ context.Context, _, version string) (divergence.RuleSet, error) {
	if version != "aaaa0000bbbb" && f.err == nil {
		return divergence.RuleSet{}, fmt.Errorf("rules %q: %w", version, divergence.ErrNotFound)
	}
	return divergence.RuleSet{Version: version, At: now, By: "start", Text: "- {path: $.a, ignore: true}\n"}, f.err
}

func (f *fakeStore) RuleCounts(context.Context, string, divergence.Window) ([]divergence.RuleCount, error) {
	return []divergence.RuleCount{
		{Rule: fakeRules[0].Key(), Endpoint: "GET /orders/{id}", Day: "2026-11-21", Exchanges: 1200, Differences: 2400, Last: now, Example: firstID},
		{Rule: fakeRules[0].Key(), Endpoint: "GET /orders", Day: "2026-11-20", Exchanges: 3, Differences: 3, Last: now, Example: secondID},
	}, f.err
}

func (f *fakeStore) Chances(context.Context, string, []compare.Rule) (map[string]compare.Chance, error) {
	return map[string]compare.Chance{fakeRules[1].Key(): {Compared: 52_000}}, f.err
}

// fakeEditor keeps rules behind those of fakeRules.
type fakeEditor struct {
	saved divergence.SavedRules
	err   error
}

func (e *fakeEditor) Saved() divergence.SavedRules { return e.saved }

func (e *fakeEditor) Together(saved []compare.Rule) []compare.Rule {
	return append(slices.Clone(fakeRules), saved...)
}

func (e *fakeEditor) Save(_ context.Context, rules divergence.SavedRules, base string) error {
	if e.err == nil && base != e.saved.Version {
		return fmt.Errorf("%w: by bob", divergence.ErrOtherRules)
	}
	if e.err == nil {
		e.saved = rules
	}
	return e.err
}

// fakeRehearsal answers with what it was asked.
type fakeRehearsal struct {
	rules []compare.Rule
	pairs divergence.PairFilter
	err   error
}

func (r *fakeRehearsal) DryRun(_ context.Context, service string, rules []compare.Rule, f divergence.PairFilter) (divergence.DryRun, error) {
	r.rules, r.pairs = rules, f
	return divergence.DryRun{
		Service: service, RulesVersion: "cccc", Against: "dddd", Pairs: divergence.Sample{Looked: 1310, Stored: 4000, From: now, To: now},
		Hidden: 1243, Of: 1310, Diverged: divergence.Change{Before: 1300, After: 67}, Vanish: 2, Summary: "would hide 1 243 of 1 310 divergences, 2 issues vanish",
		Issues: []divergence.IssueChange{{
			Fingerprint: "1-0123456789abcdef", Endpoint: hostile, Path: "$.id", Kind: "type", Class: "number->string", Pairs: divergence.Change{Before: 298},
			By: []string{"rules[0] $.id"}, Primary: "17", Candidate: `"17"`, Examples: []string{firstID},
		}},
		Findings: []compare.Finding{{Index: 0, Path: "[0].owner", Check: compare.NoOwner, Text: "nobody", Hint: "name one"}},
	}, r.err
}

func (r *fakeRehearsal) Rejudge(_ context.Context, service string, rules []compare.Rule, f divergence.PairFilter) (divergence.Rejudged, error) {
	r.rules, r.pairs = rules, f
	return divergence.Rejudged{
		Service: service, RulesVersion: "cccc", Pairs: divergence.Sample{Looked: 2, Stored: 2}, Unjudged: 1, Changed: 1,
		Outcomes: map[string]divergence.Change{"match": {After: 1}, "diverged": {Before: 1}, "not_comparable": {}},
		Changes:  []divergence.OutcomeChange{{ID: firstID, Endpoint: "GET /orders", Before: "diverged", After: "match", Why: "nothing differs"}},
	}, r.err
}

func (r *fakeRehearsal) BlindSpots(_ context.Context, service string, rules []compare.Rule, f divergence.PairFilter) (divergence.BlindSpots, error) {
	r.rules, r.pairs = rules, f
	return *fakeBlindSpots(), r.err
}

func fakeBlindSpots() *divergence.BlindSpots {
	of := divergence.CaughtOf{N: 40, Caught: 30, Share: 0.75}
	return &divergence.BlindSpots{
		Service: "shop", RulesVersion: "cccc", At: now, Pairs: divergence.Sample{Looked: 20, Stored: 20},
		Endpoints: []divergence.EndpointBlindness{{
			Endpoint: "GET /orders/{id}", Answers: 10, CaughtOf: of, Flaws: map[compare.Flaw]divergence.CaughtOf{compare.ValueChanged: of},
			Hidden: []divergence.Blinder{{By: "rule", Detail: "rules[0] $.note", N: 10, Flaws: map[compare.Flaw]int{compare.ValueChanged: 10}, Path: "$.note", ID: firstID}},
		}},
	}
}
