package reports

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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
