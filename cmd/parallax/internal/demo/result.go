package demo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"parallax/divergence"
	"parallax/reports"
)

// Result is what a run of the demo found. It is what --json prints.
type Result struct {
	Old     string             `json:"old"`
	New     string             `json:"new"`
	URL     string             `json:"url"`
	Seconds float64            `json:"seconds"` // requests were sent for
	Rate    float64            `json:"rate"`    // requests a second that were asked for
	Callers Callers            `json:"callers"`
	Starts  map[string]int     `json:"backend_starts"` // how often each backend was started: more than 1 means that it died
	Report  reports.Report     `json:"report"`
	Missing int64              `json:"missing"` // received that are in no place of the accounting
	Issues  []divergence.Issue `json:"issues"`
	Verdict reports.Verdict    `json:"verdict"`
	Good    bool               `json:"good"`
	Broken  []string           `json:"broken_promises"` // why Good is false
}

// result puts together what was found, and judges Parallax by its promises.
func (d *demo) result(report reports.Report, issues []divergence.Issue, verdict reports.Verdict) Result {
	r := Result{
		Old: Old.String(), New: New.String(), URL: d.url(), Seconds: d.took.Seconds(), Rate: d.Rate,
		Callers: d.tally.Callers(), Starts: map[string]int{},
		Report: report, Missing: report.Accounting.Missing(), Issues: issues, Verdict: verdict,
	}
	for _, b := range d.backends {
		r.Starts[b.Name] = b.Starts()
	}
	r.Broken = broken(r)
	r.Good = len(r.Broken) == 0
	return r
}

// broken lists the promises that Parallax did not keep. The callers' count and
// the accounting are taken at different places and must agree to the unit.
func broken(r Result) []string {
	list := []string{}
	a := r.Report.Accounting
	if r.Callers.Errors > 0 {
		list = append(list, fmt.Sprintf("%d caller errors, such as: %s", r.Callers.Errors, strings.Join(r.Callers.Examples, "; ")))
	}
	if r.Callers.Sent == 0 {
		list = append(list, "no request was sent")
	}
	if a.Received != r.Callers.Sent {
		list = append(list, fmt.Sprintf("callers sent %d requests, Parallax counted %d", r.Callers.Sent, a.Received))
	}
	if r.Missing != 0 {
		list = append(list, fmt.Sprintf("%d exchanges are in no place of the accounting", r.Missing))
	}
	if a.InFlight != 0 {
		list = append(list, fmt.Sprintf("%d exchanges are still in flight", a.InFlight))
	}
	return list
}

// finding is an issue as it shows on all the endpoints that have it.
type finding struct {
	issue     divergence.Issue // one of them
	endpoints []string
	count     int64 // exchanges
}

// findings groups the issues that count by place, kind and both values, the most
// widespread first.
func findings(issues []divergence.Issue) []finding {
	counts := func(i divergence.Issue) int64 { return i.Count }
	return group(issues, counts, func(i divergence.Issue) string {
		return strings.Join([]string{i.Path, i.Kind, i.Primary, i.Candidate}, "\x00")
	})
}

// suppressed groups by place the differences that never counted, because of
// noise or a rule.
func suppressed(issues []divergence.Issue, by string) []finding {
	counts := func(i divergence.Issue) int64 {
		if i.Count > 0 || !slices.Contains(i.By, by) {
			return 0
		}
		return i.Suppressed
	}
	return group(issues, counts, func(i divergence.Issue) string { return i.Path })
}

// group gathers the issues with a positive count by key.
func group(issues []divergence.Issue, count func(divergence.Issue) int64, key func(divergence.Issue) string) []finding {
	var list []finding
	place := map[string]int{}
	for _, issue := range issues {
		n := count(issue)
		if n == 0 {
			continue
		}
		at, known := place[key(issue)]
		if !known {
			at = len(list)
			place[key(issue)] = at
			list = append(list, finding{issue: issue})
		}
		list[at].count += n
		if !slices.Contains(list[at].endpoints, issue.Endpoint) {
			list[at].endpoints = append(list[at].endpoints, issue.Endpoint)
		}
	}
	slices.SortStableFunc(list, func(a, b finding) int {
		return cmp.Or(len(b.endpoints)-len(a.endpoints), strings.Compare(a.endpoints[0], b.endpoints[0]), strings.Compare(a.issue.Path, b.issue.Path))
	})
	return list
}
