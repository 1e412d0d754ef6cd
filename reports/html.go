package reports

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"parallax/divergence"
)

// Handout is a report as it is handed to somebody who has no access to Parallax.
type Handout struct {
	Report  Report
	Verdict Verdict
	At      time.Time // when it was made

	// Issues are what differs, the ones in most exchanges first; nil: whoever made this may not
	// see values.
	Issues []divergence.Issue
	More   bool // there are further issues
}

//go:embed report.html
var handoutText string

var handoutPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"upper": strings.ToUpper, "percent": percent, "number": number,
	"day": func(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" },
}).Parse(handoutText))

// WriteHTML writes a report as one HTML file that needs nothing else: no script, no picture, no
// other file. It reads well in the light, in the dark and on paper.
func WriteHTML(w io.Writer, h Handout) error {
	if err := handoutPage.Execute(w, newHandoutView(h)); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}

// handoutView is what the page shows: sentences and tables.
type handoutView struct {
	Handout
	Subject  string
	Likely   []string // what is probably behind it
	Reasons  []string
	Unknown  string // that the candidate does not tell its version
	Heads    []handoutHead
	Rows     [][]string
	Sections []handoutSection
	Books    []handoutBook
	Received string
	Missing  int64
	Hidden   bool // the issues are not for whoever made this
}

// handoutHead is a column's head and how it stands.
type handoutHead struct {
	Head   string
	Figure bool
}

type handoutSection struct {
	Title     string
	Sentences []string
}

// handoutBook is one side of the accounting.
type handoutBook struct {
	Name  string
	Sum   string
	Lines []handoutLine
}

type handoutLine struct{ Reason, N string }

func newHandoutView(h Handout) handoutView {
	v := h.Verdict
	out := handoutView{Handout: h, Hidden: h.Issues == nil, Subject: subject(v), Rows: rows(h.Report), Reasons: sentences(v.Reasons), Missing: h.Report.Accounting.Missing(), Received: number(h.Report.Accounting.Received)}
	for _, e := range diagnosed(h.Report) {
		out.Likely = append(out.Likely, e.Endpoint+": "+e.Diagnosis.Sentence())
	}
	if !v.VersionKnown {
		out.Unknown = unknownVersion
	}
	for _, c := range columns(v.Alpha) {
		out.Heads = append(out.Heads, handoutHead{c.head, c.figure})
	}
	add := func(title string, list []string) {
		if len(list) > 0 {
			out.Sections = append(out.Sections, handoutSection{title, list})
		}
	}
	add("Groups, one after the other", sentences(v.Groups))
	add("Judged together", sentences(h.Report.Pools))
	add("Not compared, judged by what callers got of the live candidate", sentences(v.Unpaired))
	add("Passed on a person's word", sentences(v.Signed))
	if t := h.Report.Tables; t != nil {
		add("Whole tables", []string{t.Sentence()})
	}
	if e := h.Report.Effects; e != nil {
		add("What both versions wrote", []string{effectsLine(e)})
	}
	add("Not covered by any test", v.NotCovered)
	out.Books = books(h.Report.Accounting)
	return out
}

// sentences are those of a list of things that have one.
func sentences[T interface{ Sentence() string }](list []T) []string {
	var out []string
	for _, x := range list {
		out = append(out, x.Sentence())
	}
	return out
}

// books are the right side of the equation, each with what it is made of.
func books(a divergence.Accounting) []handoutBook {
	return []handoutBook{
		book("not mirrored", a.Unmirrored), book("compared", a.Compared), book("lost", a.Lost),
		{Name: "in flight", Sum: number(a.InFlight)},
	}
}

func book(name string, counts map[string]int64) handoutBook {
	out, sum := handoutBook{Name: name}, int64(0)
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[reason]; n != 0 {
			sum += n
			out.Lines = append(out.Lines, handoutLine{strings.ReplaceAll(reason, "_", " "), number(n)})
		}
	}
	out.Sum = number(sum)
	return out
}
