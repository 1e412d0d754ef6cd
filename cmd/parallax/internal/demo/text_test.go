package demo

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
	"parallax/reports"
)

var update = flag.Bool("update", false, "write golden files")

func sample() Result {
	stats := func(name string, match, diverged, not, noise int64) divergence.EndpointStats {
		return divergence.EndpointStats{
			Endpoint: name, Received: match + diverged + not, Compared: match + diverged + not, Matched: match, Diverged: diverged, NotComparable: not, Noise: noise,
			Primary: divergence.Latency{P50: 0.0012}, Candidate: divergence.Latency{P50: 0.0011},
		}
	}
	counts := func(endpoint string, count int64, path, kind, old, candidate string) divergence.Issue {
		return divergence.Issue{Endpoint: endpoint, Path: path, Kind: kind, Primary: old, Candidate: candidate, Count: count}
	}
	noise := func(endpoint, path string) divergence.Issue {
		return divergence.Issue{Endpoint: endpoint, Path: path, Kind: "changed", Primary: endpoint, Suppressed: 440, By: []string{"noise"}}
	}
	const before, after = "application/json; encoding=utf-8", "application/json; charset=utf-8"
	divergent := reports.Reason{Code: reports.DivergenceRate, Endpoint: "GET /json", Test: reports.DivergenceTest, N: 440, K: 440, Threshold: 0.01, Lower: 0.98, Upper: 1}
	r := Result{
		Old: "go-httpbin v2.9.0", New: "go-httpbin v2.26.0", URL: "http://127.0.0.1:7070", Seconds: 90, Rate: 340,
		Callers: Callers{Sent: 1770, Answered: 1770, P50: 0.003, P99: 0.021},
		Starts:  map[string]int{"primary": 1, "candidate": 2, "secondary": 1},
		Report: reports.Report{
			Accounting: divergence.Accounting{
				Received: 1770, Unmirrored: map[string]int64{}, Lost: map[string]int64{"queue_full": 10},
				Compared: map[string]int64{"match": 880, "diverged": 440, "not_comparable": 440},
			},
			Endpoints: []reports.Endpoint{
				{EndpointStats: stats("GET /html", 440, 0, 0, 0), Upper: 0.0085, Verdict: reports.Promote},
				{EndpointStats: stats("GET /json", 0, 440, 0, 0), Rate: 1, Lower: 0.98, Upper: 1, Verdict: reports.Rollback, Reasons: []reports.Reason{divergent}},
				{EndpointStats: stats("GET /status/500", 0, 0, 440, 0), Upper: 1, Verdict: reports.Hold, Reasons: []reports.Reason{{Code: reports.NotComparable}}},
				{EndpointStats: stats("GET /uuid", 440, 0, 0, 440), Upper: 0.0085, Verdict: reports.Promote},
			},
		},
		Issues: []divergence.Issue{
			counts("GET /version", 44, "status", "changed", "404", "200"),
			counts("GET /json", 440, "header:content-type", "changed", before, after),
			counts("GET /get", 440, "header:content-type", "changed", before, after),
			counts("GET /etag/{etag}", 220, "header:content-type", "changed", "application/json", "text/plain; charset=utf-8"),
			counts("GET /cookies", 10, "$.cookies", "extra", "", "{\n  \"theme\": \"dark\"\n}"),
			counts("GET /", 440, "text", "changed", "line 1", "Line 1"), counts("GET /", 440, "text", "changed", "line 2", "Line 2"),
			counts("GET /", 440, "text", "changed", "line 3", "Line 3"), counts("GET /", 440, "text", "changed", "line 4", "Line 4"),
			{Endpoint: "GET /uuid", Path: "header:content-type", Kind: "changed", Primary: before, Candidate: after, Suppressed: 440, By: []string{"rule"}},
			noise("GET /uuid", "$.uuid"), noise("GET /get", "$.headers['X-Parallax-Leg'][*]"), noise("GET /headers", "$.headers['X-Parallax-Leg'][*]"),
		},
		Verdict: reports.Verdict{Decision: reports.Rollback, Final: true, Reasons: []reports.Reason{divergent}},
	}
	r.Broken = broken(r)
	r.Good = len(r.Broken) == 0
	return r
}

func TestWhatWasFound(t *testing.T) {
	t.Parallel()
	f := func(golden string, r Result) {
		t.Helper()
		var text strings.Builder
		r.writeFound(&text)
		if *update {
			if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), text.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", golden, diff)
		}
	}
	f("testdata/good.txt", sample())
	bad := sample()
	bad.Callers.Errors, bad.Callers.Examples = 2, []string{"no answer: refused"}
	bad.Broken = broken(bad)
	bad.Good = false
	f("testdata/bad.txt", bad)
}

func TestResultForPeopleHasAllParts(t *testing.T) {
	t.Parallel()
	r := sample()
	var text, found, report strings.Builder
	r.writeFound(&found)
	if err := errors.Join(r.write(&text), reports.WriteText(&report, r.Report, r.Verdict)); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{r.Old, r.New, report.String(), found.String()} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("lacks:\n%s", part)
		}
	}
}

func TestBrokenPromises(t *testing.T) {
	t.Parallel()
	f := func(spoil func(*Result), want ...string) {
		t.Helper()
		r := sample()
		spoil(&r)
		if diff := cmp.Diff(append([]string{}, want...), broken(r)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	f(func(*Result) {})
	f(func(r *Result) { r.Callers.Sent++ }, "callers sent 1771 requests, Parallax counted 1770")
	f(func(r *Result) { r.Missing = -1 }, "-1 exchanges are in no place of the accounting")
	f(func(r *Result) { r.Report.Accounting.InFlight = 3 }, "3 exchanges are still in flight")
	f(func(r *Result) { r.Callers.Errors, r.Callers.Examples = 1, []string{"x"} }, "1 caller errors, such as: x")
	f(func(r *Result) { r.Callers.Sent, r.Report.Accounting.Received = 0, 0 }, "no request was sent")
}

func TestValuesShowWhereTheyDiffer(t *testing.T) {
	t.Parallel()
	f := func(old, candidate, wantOld, wantNew string) {
		t.Helper()
		gotOld, gotNew := values(old, candidate)
		if diff := cmp.Diff([]string{wantOld, wantNew}, []string{gotOld, gotNew}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	long := strings.Repeat("same ", 40)
	f("1", "2", "1", "2")
	f("", "a\n  b", "(nothing)", "a b")
	f(long+"x", long+"y", "…same same same same x", "…same same same same y")
	f(long, "a"+long, clip(long, valueShown), clip("a"+long, valueShown))
}
