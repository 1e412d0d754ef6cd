package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"parallax/reports"
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
	rows := [][]string{{"endpoint", "compared", "match", "diverged", "not comp.", "noise", "rate", "at most", "p50 ms", "cand.", "verdict"}}
	for _, e := range r.Report.Endpoints {
		rows = append(rows, []string{
			e.Endpoint, thousands(e.Compared), thousands(e.Matched), thousands(e.Diverged), thousands(e.NotComparable), thousands(e.Noise),
			percent(e.Rate), percent(e.Upper), milliseconds(e.Primary.P50), milliseconds(e.Candidate.P50), string(e.Verdict) + why(e),
		})
	}
	writeTable(w, "lrrrrrrrrrl", rows)
}

// writeTable writes rows in columns that are aligned to the left (l) or the
// right (r).
func writeTable(w io.Writer, align string, rows [][]string) {
	width := make([]int, len(align))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			gap := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if align[i] == 'r' {
				line.WriteString("  " + gap + cell)
			} else {
				line.WriteString("  " + cell + gap)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// why says in brackets what keeps an endpoint from its promotion.
func why(e reports.Endpoint) string {
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

// How much of a finding and of the verdict is printed. The page has it all.
const (
	endpointsShown = 3
	valueShown     = 80 // characters
	contextShown   = 20 // characters before the first that differs
	reasonsShown   = 10
)

func (r Result) writeFindings(w io.Writer) {
	list := findings(r.Issues)
	fmt.Fprintf(w, "\nWhat the new release does differently: %d findings\n", len(list))
	for _, f := range list {
		fmt.Fprintf(w, "\n  %s %s, %s exchanges of %s\n", f.issue.Path, f.issue.Kind, thousands(f.count), names(f.endpoints))
		before, after := values(f.issue.Primary, f.issue.Candidate)
		fmt.Fprintf(w, "    old  %s\n    new  %s\n", before, after)
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
	rows := [][]string{{thousands(a.Received), "received", ""}}
	for _, group := range []struct {
		name   string
		counts map[string]int64
	}{{"unmirrored", a.Unmirrored}, {"compared", a.Compared}, {"lost", a.Lost}} {
		rows = append(rows, []string{thousands(sum(group.counts)), group.name, reasons(group.counts)})
	}
	rows = append(rows, []string{thousands(a.InFlight), "in flight", ""}, []string{thousands(r.Missing), "missing", ""})
	writeTable(w, "rll", rows)
	fmt.Fprintf(w, "\nCallers sent %s requests in %.0f s: %s errors, answers within %.1f ms (p50) and %.1f ms (p99).\n",
		thousands(r.Callers.Sent), r.Seconds, thousands(r.Callers.Errors), r.Callers.P50*1e3, r.Callers.P99*1e3)
	for _, leg := range slices.Sorted(maps.Keys(r.Starts)) {
		if r.Starts[leg] > 1 {
			fmt.Fprintf(w, "The %s backend died, and had %d starts in all.\n", leg, r.Starts[leg])
		}
	}
}

func (r Result) writeVerdict(w io.Writer) {
	passed := 0
	for _, e := range r.Report.Endpoints {
		if e.Verdict == reports.Promote {
			passed++
		}
	}
	fmt.Fprintf(w, "\nVerdict: %s. %d of %d endpoints may be promoted.\n", r.Verdict.Decision, passed, len(r.Report.Endpoints))
	for i, reason := range r.Verdict.Reasons {
		if i == reasonsShown {
			fmt.Fprintf(w, "  And %d more reasons.\n", len(r.Verdict.Reasons)-i)
			break
		}
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

// values returns both values on one line each, cut so that the first character
// that differs is among those shown.
func values(old, candidate string) (string, string) {
	a, b := oneLine(old), oneLine(candidate)
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	if skip := same - contextShown; skip > 0 && max(len(a), len(b)) > valueShown {
		a, b = append([]rune("…"), a[skip:]...), append([]rune("…"), b[skip:]...)
	}
	return clip(string(a), valueShown), clip(string(b), valueShown)
}

func oneLine(s string) []rune {
	if s == "" {
		return []rune("(nothing)")
	}
	return []rune(strings.Join(strings.Fields(s), " "))
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

func milliseconds(seconds float64) string { return fmt.Sprintf("%.1f", seconds*1e3) }

func percent(share float64) string { return fmt.Sprintf("%.2f %%", share*100) }

func sum(counts map[string]int64) int64 {
	var n int64
	for _, c := range counts {
		n += c
	}
	return n
}
