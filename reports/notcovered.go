package reports

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/divergence"
)

// notMirrored says how many requests no test saw, by the reason they were not
// mirrored for. Left out is what the verdict does not miss: a sample stands for all,
// and calls of shadows are nobody's requests.
func notMirrored(a divergence.Accounting) []string {
	var out []string
	for _, reason := range slices.Sorted(maps.Keys(a.Unmirrored)) {
		n := a.Unmirrored[reason]
		if n <= 0 || reason == parallax.UnmirroredSample.Reason() || reason == parallax.UnmirroredShadowCall.Reason() {
			continue
		}
		out = append(out, fmt.Sprintf("requests that were not mirrored (%s): %s", strings.ReplaceAll(reason, "_", " "), count(uint64(n))))
	}
	return out
}

// maxNeverSeen is how many endpoints without a request a verdict names.
const maxNeverSeen = 50

// parameter is what a template calls a part of a path by. Two documents may call it
// by different names.
var parameter = regexp.MustCompile(`\{[^{}]*\}`)

// neverSeen says which endpoints are declared and had no request lately.
func (e *Evidence) neverSeen(declared []string, now time.Time) []string {
	seen := map[string]bool{}
	for _, p := range e.order {
		if !p.seen.IsZero() && now.Sub(p.seen) <= Lately {
			words := strings.Fields(parameter.ReplaceAllString(p.name, "{}"))
			seen[strings.Join(words[:min(len(words), 2)], " ")] = true // without the operation: POST /graphql query A
		}
	}
	var out []string
	for _, name := range slices.Sorted(slices.Values(declared)) {
		if key := parameter.ReplaceAllString(name, "{}"); !seen[key] {
			seen[key] = true // once, whatever its parameters are called
			out = append(out, name+": declared, and without a request lately")
		}
	}
	if more := len(out) - maxNeverSeen; more > 0 {
		out = append(out[:maxNeverSeen], fmt.Sprintf("endpoints that are declared, and without a request lately: %d more", more))
	}
	return out
}
