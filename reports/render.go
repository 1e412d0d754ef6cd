package reports

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"parallax/divergence"
)

// WriteJSON writes the verdict as GET /api/v1/services/{s}/verdict answers it,
// indented.
func WriteJSON(w io.Writer, v Verdict) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// WriteText writes a report and a verdict for a terminal: the verdict, a table of
// endpoints, the accounting, and the reasons as sentences.
func WriteText(w io.Writer, r Report, v Verdict) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s  %s\n", plain(v.Service), strings.ToUpper(string(v.Decision)), plain(subject(v)))
	for i, e := range diagnosed(r) {
		if i == 0 {
			b.WriteString("\nWhat is probably behind it:\n")
		}
		fmt.Fprintf(&b, "  - %s: %s\n", plain(e.Endpoint), plain(e.Diagnosis.Sentence()))
	}
	if len(r.Endpoints) > 0 {
		b.WriteByte('\n')
		writeColumns(&b, columns(v.Alpha), rows(r))
	}
	for i, g := range v.Groups {
		if i == 0 {
			b.WriteString("\nGroups, one after the other:\n")
		}
		fmt.Fprintf(&b, "  - %s\n", plain(g.Sentence()))
	}
	for i, q := range r.Pools {
		if i == 0 {
			b.WriteString("\nJudged together:\n")
		}
		fmt.Fprintf(&b, "  - %s\n", plain(q.Sentence()))
	}
	for i, u := range v.Unpaired {
		if i == 0 {
			b.WriteString("\nNot compared, judged by what callers got of the live candidate:\n")
		}
		fmt.Fprintf(&b, "  - %s\n", plain(u.Sentence()))
	}
	fmt.Fprintf(&b, "\n%s\n", accountingLine(r.Accounting))
	if r.Tables != nil {
		fmt.Fprintf(&b, "%s\n", plain(r.Tables.Sentence()))
	}
	if r.Effects != nil {
		fmt.Fprintf(&b, "%s\n", plain(effectsLine(r.Effects)))
	}
	if len(v.Reasons) > 0 {
		fmt.Fprintf(&b, "\nWhy %s:\n", v.Decision)
	}
	for _, reason := range v.Reasons {
		fmt.Fprintf(&b, "  - %s\n", plain(reason.Sentence()))
	}
	if !v.VersionKnown {
		fmt.Fprintf(&b, "\n%s\n", unknownVersion)
	}
	for i, s := range v.Signed {
		if i == 0 {
			b.WriteString("\nPassed on a person's word:\n")
		}
		fmt.Fprintf(&b, "  - %s\n", plain(s.Sentence()))
	}
	if len(v.NotCovered) > 0 {
		b.WriteString("\nNot covered by any test:\n")
	}
	for _, note := range v.NotCovered {
		fmt.Fprintf(&b, "  - %s\n", plain(note))
	}
	if v.Chain != "" {
		fmt.Fprintf(&b, "\nChain: %s\n", plain(v.Chain))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMarkdown writes a report and a verdict as Markdown with tables as GitHub
// and GitLab show them, for a job summary.
func WriteMarkdown(w io.Writer, r Report, v Verdict) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s: %s\n\n%s\n", escaped(v.Service), v.Decision, escaped(subject(v)))
	for i, e := range diagnosed(r) {
		if i == 0 {
			b.WriteString("\n### What is probably behind it\n\n")
		}
		fmt.Fprintf(&b, "- %s: %s\n", escaped(e.Endpoint), escaped(e.Diagnosis.Sentence()))
	}
	if len(v.Reasons) > 0 {
		fmt.Fprintf(&b, "\n### Why %s\n\n", v.Decision)
	}
	for _, reason := range v.Reasons {
		fmt.Fprintf(&b, "- %s\n", escaped(reason.Sentence()))
	}
	if !v.VersionKnown {
		fmt.Fprintf(&b, "\n%s\n", escaped(unknownVersion))
	}
	if len(r.Endpoints) > 0 {
		b.WriteString("\n### Endpoints\n\n")
		writePipes(&b, columns(v.Alpha), rows(r))
	}
	for i, g := range v.Groups {
		if i == 0 {
			b.WriteString("\n### Groups, one after the other\n\n")
		}
		fmt.Fprintf(&b, "- %s\n", escaped(g.Sentence()))
	}
	for i, q := range r.Pools {
		if i == 0 {
			b.WriteString("\n### Judged together\n\n")
		}
		fmt.Fprintf(&b, "- %s\n", escaped(q.Sentence()))
	}
	for i, u := range v.Unpaired {
		if i == 0 {
			b.WriteString("\n### Not compared, judged by what callers got of the live candidate\n\n")
		}
		fmt.Fprintf(&b, "- %s\n", escaped(u.Sentence()))
	}
	for i, s := range v.Signed {
		if i == 0 {
			b.WriteString("\n### Passed on a person's word\n\n")
		}
		fmt.Fprintf(&b, "- %s\n", escaped(s.Sentence()))
	}
	if len(v.NotCovered) > 0 {
		b.WriteString("\n### Not covered by any test\n\n")
	}
	for _, note := range v.NotCovered {
		fmt.Fprintf(&b, "- %s\n", escaped(note))
	}
	fmt.Fprintf(&b, "\n### Accounting\n\n%s\n", escaped(accountingLine(r.Accounting)))
	if r.Tables != nil {
		fmt.Fprintf(&b, "\n%s\n", escaped(r.Tables.Sentence()))
	}
	if r.Effects != nil {
		fmt.Fprintf(&b, "\n%s\n", escaped(effectsLine(r.Effects)))
	}
	if v.Chain != "" {
		fmt.Fprintf(&b, "\nChain: %s\n", escaped(v.Chain))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// diagnosed lists the endpoints that have a diagnosis.
func diagnosed(r Report) []Endpoint {
	return slices.DeleteFunc(slices.Clone(r.Endpoints), func(e Endpoint) bool { return e.Diagnosis == nil })
}

// unknownVersion is what people should know of a verdict on a candidate without a
// version.
const unknownVersion = "The candidate does not tell its version, so this may be about an older build of it: let it send the header that candidate.version names, or restart the evidence with each build."

// subject says what the verdict is about.
func subject(v Verdict) string {
	var parts []string
	if v.CandidateVersion != "" || v.PrimaryVersion != "" {
		parts = append(parts, fmt.Sprintf("candidate %s against primary %s", orUnknown(v.CandidateVersion), orUnknown(v.PrimaryVersion)))
	}
	parts = append(parts, fmt.Sprintf("step %.2f %%", float64(v.Step)/100))
	if v.RulesVersion != "" {
		parts = append(parts, "rules "+v.RulesVersion)
	}
	if v.PolicyVersion != "" {
		parts = append(parts, "policy "+v.PolicyVersion)
	}
	parts = append(parts, "as of "+v.AsOf.UTC().Format(time.DateTime)+" UTC")
	return strings.Join(parts, ", ")
}

func orUnknown(version string) string {
	if version == "" {
		return "of unknown version"
	}
	return version
}

// column is the head of a column. Figures stand to the right.
type column struct {
	head   string
	figure bool
}

func columns(alpha float64) []column {
	return []column{
		{"endpoint", false}, {"compared", true}, {"matched", true}, {"diverged", true}, {"not comp.", true},
		{"noise", true}, {"lost", true}, {"rate", true}, {"lower", true}, {"upper", true},
		{"p95 old", true}, {"p95 new", true}, {fmt.Sprintf("verdict (%s limits)", percent(1-alpha)), false},
	}
}

// rows writes the endpoints that need a person first: rollback, then hold, then
// promote; by name among those alike.
func rows(r Report) [][]string {
	rank := map[Decision]int{Rollback: 0, Hold: 1, Promote: 2}
	sorted := slices.Clone(r.Endpoints)
	slices.SortStableFunc(sorted, func(a, b Endpoint) int { return rank[a.Verdict] - rank[b.Verdict] })
	var out [][]string
	for _, e := range sorted {
		figures := []int64{e.Compared, e.Matched, e.Diverged, e.NotComparable, e.Noise, e.Lost}
		row := []string{e.Endpoint}
		for _, n := range figures {
			row = append(row, count(uint64(max(n, 0))))
		}
		rate := []string{"-", "-", "-"}
		if e.Matched+e.Diverged > 0 {
			rate = []string{percent(e.Rate), percent(e.Lower), percent(e.Upper)}
		}
		row = append(row, rate...)
		out = append(out, append(row, millis(e.Primary.P95), millis(e.Candidate.P95), string(e.Verdict)+codes(e)))
	}
	return out
}

// codes says in a word or two, in brackets, what holds an endpoint.
func codes(e Endpoint) string {
	var out []string
	if e.Unpaired != nil {
		out = append(out, "unpaired")
	}
	if e.Pool != "" {
		out = append(out, "in pool "+e.Pool)
	}
	if e.Signed != nil {
		out = append(out, "signed")
	}
	for _, r := range e.Reasons {
		if word := strings.ReplaceAll(string(r.Code), "_", " "); !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return " (" + strings.Join(out, ", ") + ")"
}

func millis(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", 1000*seconds)
}

// accountingLine says where every exchange went, so that the sum can be checked
// by eye.
func accountingLine(a divergence.Accounting) string {
	text := fmt.Sprintf("received %s = unmirrored %s + compared %s + lost %s + in flight %d",
		number(a.Received), parts(a.Unmirrored), parts(a.Compared), parts(a.Lost), a.InFlight)
	if missing := a.Missing(); missing != 0 {
		text += fmt.Sprintf(" + unaccounted for %d", missing)
	}
	if a.Dropped > 0 || a.DroppedBodies > 0 {
		text += fmt.Sprintf("; to keep the store within its size, %s of the compared and the bodies of %s answers were dropped: their details cannot be looked at, and latencies and statuses are of the rest", number(a.Dropped), number(a.DroppedBodies))
	}
	return text
}

func parts(counts map[string]int64) string {
	var sum int64
	var each []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[reason]; n != 0 {
			sum += n
			each = append(each, fmt.Sprintf("%s %s", strings.ReplaceAll(reason, "_", " "), number(n)))
		}
	}
	if len(each) == 0 {
		return "0"
	}
	return fmt.Sprintf("%s (%s)", number(sum), strings.Join(each, ", "))
}

func number(n int64) string {
	if n < 0 {
		return "-" + count(uint64(-n))
	}
	return count(uint64(n))
}

// writeColumns writes a table whose columns are as wide as their widest cell.
func writeColumns(b *strings.Builder, heads []column, lines [][]string) {
	table := [][]string{make([]string, len(heads))}
	for i, c := range heads {
		table[0][i] = strings.ToUpper(c.head)
	}
	table = append(table, lines...)
	widths := make([]int, len(heads))
	for _, row := range table {
		for i := range row {
			row[i] = plain(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range table {
		var line strings.Builder
		for i, cell := range row {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if heads[i].figure {
				line.WriteString(gap + cell + "  ")
			} else {
				line.WriteString(cell + gap + "  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// writePipes writes a table in Markdown.
func writePipes(b *strings.Builder, heads []column, lines [][]string) {
	names, rule := "|", "|"
	for _, c := range heads {
		names += " " + c.head + " |"
		if c.figure {
			rule += " ---: |"
		} else {
			rule += " --- |"
		}
	}
	b.WriteString(names + "\n" + rule + "\n")
	for _, row := range lines {
		b.WriteString("|")
		for _, cell := range row {
			b.WriteString(" " + escaped(cell) + " |")
		}
		b.WriteByte('\n')
	}
}

// plain takes out what could move a terminal's cursor: endpoints and versions
// come from traffic.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// escaped is plain text with what Markdown and HTML would take as markup escaped.
func escaped(s string) string {
	return markup.Replace(plain(s))
}

var markup = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "#", `\#`, "~", `\~`)
