package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

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
	if err := r.write(&text); err != nil {
		return err
	}
	_, err := io.WriteString(d.Stdout, text.String())
	return err
}

// write prints the result for people.
func (r Result) write(w io.Writer) error {
	fmt.Fprintf(w, "\n%s (primary) against %s (candidate)\n\n", r.Old, r.New)
	verdict, more := r.Verdict, 0
	if more = len(verdict.Reasons) - reasonsShown; more > 0 {
		verdict.Reasons = verdict.Reasons[:reasonsShown]
	}
	if err := reports.WriteText(w, r.Report, verdict); err != nil {
		return err
	}
	if more > 0 {
		fmt.Fprintf(w, "\nThese are %d of %d reasons; the table has the others.\n", reasonsShown, reasonsShown+more)
	}
	r.writeFound(w)
	return nil
}

// writeFound prints what the report and the verdict do not say.
func (r Result) writeFound(w io.Writer) {
	r.writeFindings(w)
	r.writeSuppressed(w, "noise", "Noise, which does not count since two instances of the old release differ there too")
	r.writeSuppressed(w, "rule", "Agreed on, which does not count since a rule in demo.yaml says so")
	r.writeConclusion(w)
}

// How much of the reasons and findings is printed. The page has it all.
const (
	reasonsShown   = 5
	endpointsShown = 3
	valueShown     = 80 // characters
	contextShown   = 20 // characters before the first that differs
	alikeShown     = 3  // findings at one path of one endpoint
)

func (r Result) writeFindings(w io.Writer) {
	list := findings(r.Issues)
	fmt.Fprintf(w, "\nWhat the new release does differently: %d findings\n", len(list))
	alike := map[string]int{}
	for _, f := range list {
		place := f.endpoints[0] + " " + f.issue.Path
		if alike[place]++; alike[place] > alikeShown {
			continue
		}
		fmt.Fprintf(w, "\n  %s %s, %s exchanges of %s\n", f.issue.Path, f.issue.Kind, thousands(f.count), names(f.endpoints))
		before, after := values(f.issue.Primary, f.issue.Candidate)
		fmt.Fprintf(w, "    old  %s\n    new  %s\n", before, after)
	}
	for _, place := range slices.Sorted(maps.Keys(alike)) {
		if more := alike[place] - alikeShown; more > 0 {
			fmt.Fprintf(w, "\n  And %d more at %s: see %s\n", more, place, r.URL)
		}
	}
}

// writeSuppressed prints what does not count, and why.
func (r Result) writeSuppressed(w io.Writer, by, why string) {
	list := suppressed(r.Issues, by)
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", why)
	for _, f := range list {
		fmt.Fprintf(w, "  %s, %s exchanges of %s\n", f.issue.Path, thousands(f.count), names(f.endpoints))
	}
}

// writeConclusion says last what a reader looks for first.
func (r Result) writeConclusion(w io.Writer) {
	fmt.Fprintf(w, "\nCallers sent %s requests in %.0f s: %s errors, answers within %.1f ms (p50) and %.1f ms (p99).\n",
		thousands(r.Callers.Sent), r.Seconds, thousands(r.Callers.Errors), r.Callers.P50*1e3, r.Callers.P99*1e3)
	for _, leg := range slices.Sorted(maps.Keys(r.Starts)) {
		if r.Starts[leg] > 1 {
			fmt.Fprintf(w, "The %s backend died, and had %d starts in all.\n", leg, r.Starts[leg])
		}
	}
	if r.Good {
		fmt.Fprintln(w, "Parallax kept its promises: no caller saw an error, and every exchange is accounted for.")
	} else {
		fmt.Fprintln(w, "Parallax did not keep its promises:")
	}
	for _, b := range r.Broken {
		fmt.Fprintf(w, "  %s\n", b)
	}
	passed := 0
	for _, e := range r.Report.Endpoints {
		if e.Verdict == reports.Promote {
			passed++
		}
	}
	fmt.Fprintf(w, "Verdict: %s. %d of %d endpoints may be promoted.\n", r.Verdict.Decision, passed, len(r.Report.Endpoints))
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
