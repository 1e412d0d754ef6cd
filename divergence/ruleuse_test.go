package divergence

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parallax/compare"
)

func TestRuleSets(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	one := RuleSet{Version: "aa", At: noon, By: "start", Text: "- {path: $.a, ignore: true}\n"}
	two := RuleSet{Version: "bb", At: noon.Add(time.Hour), By: "reload", Text: "- {path: $.b, ignore: true}\n"}
	again := RuleSet{Version: "aa", At: noon.Add(2 * time.Hour), By: "reload", Text: one.Text}
	for _, set := range []RuleSet{one, two, again, again} {
		if err := s.AppendRuleSet(t.Context(), "shop", set); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.RuleSets(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]RuleSet{two, one}, got, cmpopts.IgnoreFields(RuleSet{}, "Text")); diff != "" {
		t.Error(diff)
	}
	whole, err := s.RuleSet(t.Context(), "shop", "aa")
	if diff := cmp.Diff(one, whole); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if diff := cmp.Diff([]compare.Rule{{Path: "$.a", Ignore: true}}, whole.Rules()); diff != "" {
		t.Error(diff)
	}
	if _, err := s.RuleSet(t.Context(), "shop", "cc"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a version that never was: %v", err)
	}
	if _, err := s.RuleSet(t.Context(), "other", "aa"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the version of another service: %v", err)
	}
}

// TestRuleCounts: what rules took away is added up by endpoint and day, across
// batches, and the example is one with bodies if there is any.
func TestRuleCounts(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "i1", s, s, Limits{BatchRows: 2})
	ruled := func(key string, n int) compare.Comparison {
		return compare.Comparison{Ruled: n, Differences: []compare.Difference{difference("1-aa", "$.a", "rule")}, Uses: []compare.RuleUse{{Key: key, N: n}}}
	}
	r.record(pair(1, "GET /a", 200, 200), ruled("k1", 3), true)
	r.record(pair(2, "GET /a", 200, 200), ruled("k1", 1), false)
	r.record(pair(3, "GET /a", 200, 200), ruled("k1", 1), false)
	r.record(pair(4, "GET /b", 200, 200), ruled("k2", 2), false)
	r.record(pair(5, "GET /b", 200, 200), matched, false)
	r.mustFlush(t)
	today := noon.Format(time.DateOnly)
	want := []RuleCount{
		{Rule: "k1", Endpoint: "GET /a", Day: today, Exchanges: 3, Differences: 5, Last: pair(3, "", 0, 0).Received, Example: testID(1).String()},
		{Rule: "k2", Endpoint: "GET /b", Day: today, Exchanges: 1, Differences: 2, Last: pair(4, "", 0, 0).Received, Example: testID(4).String()},
	}
	got, err := s.RuleCounts(t.Context(), "shop", Window{From: noon, To: noon.Add(time.Hour)})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if before, err := s.RuleCounts(t.Context(), "shop", Window{To: noon.Add(-48 * time.Hour)}); err != nil || len(before) > 0 {
		t.Errorf("days before: %v, %v", before, err)
	}
}

// TestChances: a rule had a chance in every exchange of its endpoints since it is
// in force without a break.
func TestChances(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	old, young, back := compare.Rule{Path: "$.a", Ignore: true}, compare.Rule{Endpoint: "GET /a", Path: "$.b", Ignore: true}, compare.Rule{Path: "$.c", Ignore: true}
	note := func(version string, at time.Time, rules ...compare.Rule) {
		t.Helper()
		text, err := compare.RuleText(rules)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.AppendRuleSet(t.Context(), "shop", RuleSet{Version: version, At: at, By: "start", Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	r := newRig(t, "i1", s, s, Limits{})
	record := func(n int, endpoint string, uses ...compare.RuleUse) {
		r.record(pair(n, endpoint, 200, 200), compare.Comparison{Uses: uses}, false)
		r.mustFlush(t)
	}
	note("1", time.Now().Add(-2*time.Hour), old, back)
	record(1, "GET /a", compare.RuleUse{Key: old.Key(), N: 2})
	record(2, "GET /b")
	note("2", time.Now().Add(-time.Hour), old)
	note("3", time.Now(), old, young, back)
	record(3, "GET /a")
	record(4, "GET /b")
	got, err := s.Chances(t.Context(), "shop", []compare.Rule{old, young, back})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]compare.Chance{old.Key(): {Compared: 4, Differences: 2}, young.Key(): {Compared: 1}, back.Key(): {Compared: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
