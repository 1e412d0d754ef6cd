package ui

import (
	"strings"
	"testing"
	"time"

	"parallax/reports"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	f := func(got, want string) {
		t.Helper()
		if got = strings.ReplaceAll(got, thin, "_"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(count(0), "0")
	f(count(9999), "9999")
	f(count(10000), "10_000")
	f(count(1234567), "1_234_567")
	f(count(-12345), "\u221212_345")
	f(percent(0), "0_%")
	f(percent(1), "100_%")
	f(percent(0.026), "2.6_%")
	f(percent(0.5), "50_%")
	f(percent(0.1234), "12.3_%")
	f(percent(0.00037), "0.037_%")
	f(percent(7.5617e-05), "0.0076_%")
	f(percent(0.9999), "99.99_%")
	f(seconds(0), "–")
	f(seconds(0.00018), "180_µs")
	f(seconds(0.0041), "4.1_ms")
	f(seconds(0.0123), "12.3_ms")
	f(seconds(0.250), "250_ms")
	f(seconds(3.14159), "3.14_s")
	f(size(1023), "1023_B")
	f(size(1536), "1.5_KiB")
	f(size(10<<20), "10_MiB")
	f(stepShare(0), "0_%")
	f(stepShare(25), "0.25_%")
	f(stepShare(10000), "100_%")
	f(utc(time.Time{}), "–")
	f(cut("grüße", 4), "grü…")
	f(cut("grüße", 5), "grüße")
	f(words("not_comparable"), "not comparable")
}

func TestLead(t *testing.T) {
	t.Parallel()
	f := func(d reports.Decision, want string, codes ...reports.Code) {
		t.Helper()
		v := reports.Verdict{Decision: d}
		for _, c := range codes {
			v.Reasons = append(v.Reasons, reports.Reason{Code: c})
		}
		if got := lead(v); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(reports.Promote, "The candidate may take over: every endpoint passes every test.")
	f(reports.Hold, "The candidate may not take over yet: one thing is missing.", reports.TooShort)
	f(reports.Hold, "The candidate may not take over yet: 2 things are missing.", reports.TooShort, reports.TooSlow)
	f(reports.Hold, "Nothing is known yet: no exchange was compared.", reports.NoTraffic)
	f(reports.Hold, "Nothing can be said at the moment: the store is away.", reports.StoreAway)
	f(reports.Rollback, "The candidate is worse than the primary: one test says so.", reports.DivergenceRate)
	f(reports.Rollback, "The candidate is worse than the primary: 2 tests say so.", reports.DivergenceRate, reports.CandidateErrors)
}
