package divergence

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/compare"
)

// TestIssueNews: what began to count since a time, and what regressed since; whether or not Parallax
// has written that down, and never what counted before, or does not count.
func TestIssueNews(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	r := newRig(t, "i1", s, s, Limits{})
	diverged := func(millisecond int, fingerprint, by string) {
		r.record(pair(millisecond, "GET /a", 200, 200), compare.Comparison{
			Outcome: compare.Diverged, Divergences: 1, Differences: []compare.Difference{difference(fingerprint, "$.a", by)},
		}, false)
	}
	at := func(millisecond int) time.Time { return noon.Add(time.Duration(millisecond) * time.Millisecond) }
	said := func(millisecond int, fingerprint, value string) {
		t.Helper()
		if err := s.AppendDecision(t.Context(), Decision{At: at(millisecond), Service: "shop", Kind: IssueKind, Key: fingerprint, Value: value, Who: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	for millisecond, fingerprint := range []string{"1-old", "1-back", "1-known"} {
		diverged(millisecond, fingerprint, "")
	}
	said(100, "1-back", `{"state":"resolved"}`)
	said(100, "1-known", `{"state":"bug"}`)
	for i, fingerprint := range []string{"1-old", "1-back", "1-known", "1-new", "1-back"} {
		diverged(200+i, fingerprint, "")
	}
	diverged(300, "1-ruled", "rule")
	r.mustFlush(t)

	want := []IssueNews{
		{Fingerprint: "1-back", Endpoint: "GET /a", Path: "$.a", Kind: "changed", Class: "number", First: at(1), Resolved: at(100), Regressed: at(201)},
		{Fingerprint: "1-new", Endpoint: "GET /a", Path: "$.a", Kind: "changed", Class: "number", First: at(203)},
	}
	ask := func(want []IssueNews, since, count int) {
		t.Helper()
		got, err := s.IssueNews(t.Context(), "shop", at(since), count)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	ask(want, 200, 10)
	ask(want[:1], 200, 1)
	ask(want[1:], 203, 10)
	ask(nil, 204, 10)
	said(400, "1-back", `{"state":"regressed"}`)
	ask(want, 200, 10)
	said(500, "1-back", "bug")
	ask(want[1:], 200, 10)
	if got, err := s.IssueNews(t.Context(), "other", at(0), 10); err != nil || got != nil {
		t.Errorf("of another service: %+v, %v", got, err)
	}
}

// TestMarks: the latest of each receiver and service stands, in whichever order they come.
func TestMarks(t *testing.T) {
	t.Parallel()
	s := openShared(t)
	if got, err := s.Mark(t.Context(), "shop", "chat"); err != nil || got != nil {
		t.Errorf("before the first: %q, %v", got, err)
	}
	for _, m := range []struct {
		receiver, mark string
		second         int
	}{{"chat", "a", 1}, {"chat", "c", 3}, {"chat", "b", 2}, {"pager", "d", 4}} {
		if err := s.SetMark(t.Context(), "shop", m.receiver, noon.Add(time.Duration(m.second)*time.Second), []byte(m.mark)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Mark(t.Context(), "shop", "chat"); err != nil || string(got) != "c" {
		t.Errorf("the last is %q, %v", got, err)
	}
	if _, err := awayStore(t).Mark(t.Context(), "shop", "chat"); !errors.Is(err, ErrAway) {
		t.Errorf("with the store away: %v", err)
	}
}
