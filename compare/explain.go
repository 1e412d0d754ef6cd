package compare

import (
	"fmt"
	"strconv"
	"strings"
)

// String returns the difference as one line for people:
//
//	$.items[0].price  changed  9.99 -> 10.02
//	$.nick  missing  "al"
//	$.total  unmet  1  (rules[0] $.total)
func (d Difference) String() string {
	var values string
	switch d.Kind {
	case Missing, Unmet, Unfit:
		values = oneLine(d.Primary)
	case Extra:
		values = oneLine(d.Candidate)
	default:
		values = oneLine(d.Primary) + " -> " + oneLine(d.Candidate)
	}
	line := strings.TrimRight(oneLine(d.Path)+"  "+string(d.Kind)+"  "+values, " ")
	switch {
	case d.Suppressed.By == "" && d.Suppressed.Detail != "":
		line += "  (" + oneLine(d.Suppressed.Detail) + ")"
	case d.Suppressed.By != "":
		line += "  [" + d.Suppressed.By + ": " + oneLine(d.Suppressed.Detail) + "]"
	}
	return line
}

// oneLine quotes a text that would not stay on its line.
func oneLine(text string) string {
	for _, c := range text {
		if !strconv.IsPrint(c) {
			return strconv.Quote(text)
		}
	}
	return text
}

// Explain writes a comparison for people: what counts first, then what does not
// and why, then what came of it.
func Explain(c Comparison) string {
	var counts, excused strings.Builder
	for _, d := range c.Differences {
		if d.Suppressed.By == "" {
			counts.WriteString(d.String() + "\n")
		} else {
			excused.WriteString(d.String() + "\n")
		}
	}
	if c.Truncated {
		excused.WriteString("... there are more differences than are kept\n")
	}
	return counts.String() + excused.String() + summaryLine(c)
}

func summaryLine(c Comparison) string {
	switch c.Outcome {
	case NotComparable:
		return fmt.Sprintf("not comparable: %s\n", c.Reason)
	case Diverged:
		return fmt.Sprintf("%s%s\n", plural(c.Divergences, "difference"), excusedCounts(c))
	}
	return fmt.Sprintf("no difference%s\n", excusedCounts(c))
}

func excusedCounts(c Comparison) string {
	var parts []string
	for _, each := range []struct {
		n    int
		what string
	}{{c.Ruled, "taken away by rules"}, {c.Noise, "noise"}, {c.Accepted, "accepted"}} {
		if each.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", each.n, each.what))
		}
	}
	if parts == nil {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}
