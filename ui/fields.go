package ui

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"parallax/compare"
	"parallax/divergence"
)

// fieldRow is a line of the tree of fields that differ: a branch, or an issue at a field.
type fieldRow struct {
	Depth      int    // levels below the root
	Name       string // what the place adds to that of its branch
	Issue      *issueRow
	NoiseShare float64 // of the compared exchanges, those in which it is taken away as noise; 0 where something else does that too
	IgnoreURL  string  // the editor with a rule that ignores the field; empty: no rule can
}

// maxFieldDepth is how many levels are set apart by the style sheet.
const maxFieldDepth = 6

// fieldTree puts the issues of an endpoint into the order of their documents. Branches
// with one thing below them are one line with it.
func fieldTree(service string, now time.Time, compared int64, issues []issueRow) []fieldRow {
	root := &fieldNode{}
	for i := range issues {
		root.add(splitPlace(issues[i].Path), &issues[i])
	}
	var out []fieldRow
	root.rows("", -1, func(r fieldRow) {
		if i := r.Issue; i != nil {
			r.NoiseShare, r.IgnoreURL = noiseShare(&i.Issue, compared), ignoreURL(service, &i.Issue, now)
		}
		out = append(out, r)
	})
	return out
}

// noiseShare is known where noise alone takes the difference away: counts are not kept
// by who does.
func noiseShare(i *divergence.Issue, compared int64) float64 {
	if compared == 0 || !slices.Equal(i.By, []string{"noise"}) {
		return 0
	}
	return float64(i.Suppressed) / float64(compared)
}

// ignoreFor is how long a rule holds that is begun from a link.
const ignoreFor = 90 * 24 * time.Hour

// ignoreURL leads to the editor with a rule about the place. It changes nothing.
func ignoreURL(service string, i *divergence.Issue, now time.Time) string {
	rule := compare.Rule{Endpoint: i.Endpoint, Path: i.Path, Ignore: true, Expires: now.Add(ignoreFor).UTC().Format(time.DateOnly)}
	if _, faults := compare.Compile([]compare.Rule{rule}); len(faults) > 0 {
		return ""
	}
	text, err := compare.RuleText([]compare.Rule{rule})
	if err != nil {
		return ""
	}
	return tryURL(service, text)
}

// tryURL leads to the editor with a rule that was written already.
func tryURL(service, rule string) string {
	return rulesPath(service) + "?" + url.Values{"rule": {rule}}.Encode() + "#try"
}

// fieldNode is a place that is in no issue, in one, or in several.
type fieldNode struct {
	name   string
	below  []*fieldNode
	issues []*issueRow
}

func (n *fieldNode) add(steps []string, i *issueRow) {
	if len(steps) == 0 {
		n.issues = append(n.issues, i)
		return
	}
	at := slices.IndexFunc(n.below, func(b *fieldNode) bool { return b.name == steps[0] })
	if at < 0 {
		at, n.below = len(n.below), append(n.below, &fieldNode{name: steps[0]})
	}
	n.below[at].add(steps[1:], i)
}

// rows hands out the lines of a node and of all below it.
func (n *fieldNode) rows(before string, depth int, give func(fieldRow)) {
	name := before + n.name
	if len(n.issues) == 0 && (len(n.below) == 1 || depth < 0) {
		for _, b := range n.sorted() {
			b.rows(name, max(depth, 0), give)
		}
		return
	}
	for _, i := range n.issues {
		give(fieldRow{Depth: min(depth, maxFieldDepth), Name: name, Issue: i})
	}
	if len(n.issues) == 0 {
		give(fieldRow{Depth: min(depth, maxFieldDepth), Name: name})
	}
	for _, b := range n.sorted() {
		b.rows("", depth+1, give)
	}
}

func (n *fieldNode) sorted() []*fieldNode {
	return slices.SortedFunc(slices.Values(n.below), func(a, b *fieldNode) int { return cmp.Compare(a.name, b.name) })
}

// splitPlace cuts a place into the steps that lead to it; joined they are the place.
func splitPlace(place string) (steps []string) {
	head, inside, found := strings.Cut(place, "$")
	root := ""
	if found {
		root = "$"
	}
	if kind, name, named := strings.Cut(head, ":"); named {
		steps = append(steps, kind+":")
		if head = strings.TrimSuffix(name, " "); head != name {
			root = " $"
		}
	}
	for _, step := range []string{head, root} {
		if step != "" {
			steps = append(steps, step)
		}
	}
	for inside != "" {
		n := stepEnd(inside)
		steps, inside = append(steps, inside[:n]), inside[n:]
	}
	return steps
}

// stepEnd is where the first step of a path ends: .name, ['name'] or [*].
func stepEnd(path string) int {
	quoted := strings.HasPrefix(path, "['")
	for i := 1; i < len(path); i++ {
		switch {
		case quoted && path[i] == '\\':
			i++
		case quoted && strings.HasPrefix(path[i:], "']") && i > 1:
			return i + 2
		case !quoted && (path[i] == '.' || path[i] == '['):
			return i
		}
	}
	return len(path)
}
