package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// tell prints the result, for people or for machines.
func (d *demo) tell(r Result) error {
	if d.JSON {
		encoder := json.NewEncoder(d.Stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	var text strings.Builder
	r.write(&text)
	_, err := io.WriteString(d.Stdout, text.String())
	return err
}

// write prints the result for people.
func (r Result) write(w io.Writer) {
	r.writeEndpoints(w)
	r.writeFindings(w)
	r.writeNoise(w)
	r.writeAccounting(w)
	r.writeVerdict(w)
	r.writePromises(w)
}

func (r Result) writeEndpoints(w io.Writer) {
	fmt.Fprintf(w, "\nEndpoints: %s (primary) against %s (candidate)\n\n", r.Old, r.New)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "endpoint\tcompared\tmatch\tdiverged\tnot comp.\tnoise\trate\tat most\tp50 ms\tcand.\tverdict")
	for _, e := range r.Report.Endpoints {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%.1f\t%.1f\t%s\n", e.Endpoint, e.Compared, e.Matched, e.Diverged, e.NotComparable,
			e.Noise, percent(e.Rate), percent(e.Upper), e.Primary.P50*1e3, e.Candidate.P50*1e3, e.Verdict+why(e))
	}
	_ = table.Flush()
}

// why says in brackets what keeps an endpoint from its promotion.
func why(e EndpointReport) string {
	var codes []string
	for _, reason := range e.Reasons {
		if code := string(reason.Code); !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	if len(codes) == 0 {
		return ""
	}
	return " (" + strings.Join(codes, ", ") + ")"
}

// A finding is printed with at most this many endpoints, and this many
// characters of a value.
const (
	endpointsShown = 3
	valueShown     = 60
)

func (r Result) writeFindings(w io.Writer) {
	list := findings(r.Issues)
	fmt.Fprintf(w, "\nWhat the new release does differently: %d findings\n", len(list))
	for _, f := range list {
		fmt.Fprintf(w, "\n  %s %s, %s exchanges of %s\n", f.issue.Path, f.issue.Kind, thousands(f.count), names(f.endpoints))
		fmt.Fprintf(w, "    old  %s\n    new  %s\n", value(f.issue.Primary), value(f.issue.Candidate))
	}
}

func (r Result) writeNoise(w io.Writer) {
	list := noises(r.Issues)
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, "\nNoise, which does not count since two instances of the old release differ there too:")
	for _, f := range list {
		fmt.Fprintf(w, "  %s, %s exchanges of %s\n", f.issue.Path, thousands(f.count), names(f.endpoints))
	}
}

func (r Result) writeAccounting(w io.Writer) {
	a := r.Report.Accounting
	fmt.Fprintf(w, "\nAccounting: every exchange is in one place, counted where it happens\n\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%s\treceived\t\n", thousands(a.Received))
	for _, group := range []struct {
		name   string
		counts map[string]int64
	}{{"unmirrored", a.Unmirrored}, {"compared", a.Compared}, {"lost", a.Lost}} {
		fmt.Fprintf(table, "%s\t%s\t%s\n", thousands(sum(group.counts)), group.name, reasons(group.counts))
	}
	fmt.Fprintf(table, "%s\tin flight\t\n", thousands(a.InFlight))
	fmt.Fprintf(table, "%s\tmissing\t\n", thousands(r.Missing))
	_ = table.Flush()
	fmt.Fprintf(w, "\nCallers sent %s requests in %.0f s: %s errors, answers within %.1f ms (p50) and %.1f ms (p99).\n",
		thousands(r.Callers.Sent), r.Seconds, thousands(r.Callers.Errors), r.Callers.P50*1e3, r.Callers.P99*1e3)
	for _, leg := range slices.Sorted(maps.Keys(r.Starts)) {
		if again := r.Starts[leg] - 1; again > 0 {
			fmt.Fprintf(w, "The %s backend died and was started again %d times.\n", leg, again)
		}
	}
}

func (r Result) writeVerdict(w io.Writer) {
	passed := 0
	for _, e := range r.Report.Endpoints {
		if e.Verdict == "promote" {
			passed++
		}
	}
	fmt.Fprintf(w, "\nVerdict: %s. %d of %d endpoints may be promoted.\n", r.Verdict.Verdict, passed, len(r.Report.Endpoints))
	for _, reason := range r.Verdict.Reasons {
		fmt.Fprintf(w, "  %s\n", reason.Sentence())
	}
}

func (r Result) writePromises(w io.Writer) {
	if r.Good {
		fmt.Fprintln(w, "\nParallax kept its promises: no caller saw an error, and the accounting is exact.")
		return
	}
	fmt.Fprintln(w, "\nParallax did not keep its promises:")
	for _, b := range r.Broken {
		fmt.Fprintf(w, "  %s\n", b)
	}
}

// names lists endpoints, shortened.
func names(endpoints []string) string {
	if len(endpoints) <= endpointsShown+1 {
		return strings.Join(endpoints, ", ")
	}
	return fmt.Sprintf("%s and %d more endpoints", strings.Join(endpoints[:endpointsShown], ", "), len(endpoints)-endpointsShown)
}

// value is a value on one line, shortened.
func value(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return clip(strings.Join(strings.Fields(s), " "), valueShown)
}

// reasons lists counts by reason: 12 unsafe, 3 sample.
func reasons(counts map[string]int64) string {
	var list []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		if counts[reason] > 0 {
			list = append(list, thousands(counts[reason])+" "+reason)
		}
	}
	return strings.Join(list, ", ")
}

func percent(share float64) string { return fmt.Sprintf("%.2f %%", share*100) }

func sum(counts map[string]int64) int64 {
	var n int64
	for _, c := range counts {
		n += c
	}
	return n
}
