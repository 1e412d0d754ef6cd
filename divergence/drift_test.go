package divergence

import (
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/compare"
)

// wroteRow returns an exchange that set a column of a row on both legs, the candidate's
// to another value perhaps.
func wroteRow(id byte, key, primary, candidate string) *parallax.Exchange {
	call := func(value string) *parallax.Call {
		name := parallax.Column{Name: "id", Type: parallax.NumberColumn, Value: &key}
		return &parallax.Call{Response: parallax.Response{Status: 200}, Effects: []parallax.Effect{{
			Table: "orders", Op: parallax.Update, Key: []parallax.Column{name}, After: []parallax.Column{name, {Name: "total", Type: parallax.NumberColumn, Value: &value}},
		}}}
	}
	return &parallax.Exchange{ID: parallax.ID{id}, Endpoint: "PUT /orders/{id}", Legs: [parallax.Legs]*parallax.Call{call(primary), call(candidate)}}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	e := &Effects{Drift: NewDrift(func() time.Time { return now }), Missed: func() bool { return false }}
	compared := func(x *parallax.Exchange) compare.Comparison {
		c := compare.Compare(x, compare.Input{Effects: e.of(x)})
		e.note(x.ID, &c)
		return c
	}
	f := func(what string, x *parallax.Exchange, want compare.Outcome, reason string) {
		t.Helper()
		c := compared(x)
		if c.Outcome != want || c.Reason != reason {
			t.Errorf("%s: %s %s, %+v", what, c.Outcome, c.Reason, c.Differences)
		}
		if reason == compare.ReasonInherited && (c.Inherited != 1 || c.Divergences != 0 || !strings.Contains(c.Differences[0].Suppressed.Detail, parallax.ID{1}.String())) {
			t.Errorf("%s: %+v", what, c)
		}
	}
	f("a row that is the same", wroteRow(0, "7", "1", "1"), compare.Match, "")
	f("the first difference", wroteRow(1, "7", "1", "2"), compare.Diverged, "")
	f("the first one, delivered again", wroteRow(1, "7", "1", "2"), compare.Diverged, "")
	f("the next one", wroteRow(2, "7", "5", "6"), compare.NotComparable, compare.ReasonInherited)
	f("another row", wroteRow(3, "8", "5", "6"), compare.Diverged, "")

	wrong := wroteRow(9, "7", "5", "6")
	wrong.Legs[parallax.Candidate] = wroteRow(9, "9", "5", "6").Legs[parallax.Candidate]
	f("another row in its place", wrong, compare.Diverged, "")

	both := wroteRow(4, "7", "5", "6")
	both.Legs[parallax.Candidate].Response.Status = 500
	f("something else too", both, compare.Diverged, "")
	if n := e.Drift.Rows(); n != 2 {
		t.Errorf("%d rows differ", n)
	}

	f("mended", wroteRow(5, "7", "9", "9"), compare.Match, "")
	f("differs anew", wroteRow(6, "7", "9", "8"), compare.Diverged, "")

	now = now.Add(driftFor - time.Minute)
	compared(wroteRow(7, "7", "9", "8"))
	now = now.Add(time.Minute)
	if n := e.Drift.Rows(); n != 1 {
		t.Errorf("%d rows are left of which one was touched", n)
	}
	f("long ago", wroteRow(8, "8", "5", "6"), compare.Diverged, "")
}

func TestDriftIsBounded(t *testing.T) {
	t.Parallel()
	e := &Effects{Drift: NewDrift(time.Now)}
	for i := range maxDrifted + 10 {
		e.note(parallax.ID{1}, &compare.Comparison{Drifted: []compare.Entity{{byte(i), byte(i >> 8), byte(i >> 16)}}})
	}
	if n := e.Drift.Rows(); n != maxDrifted {
		t.Errorf("%d rows are remembered", n)
	}
	if _, ok := e.Drift.rows[compare.Entity{}]; ok {
		t.Error("the oldest one is still there")
	}
}
