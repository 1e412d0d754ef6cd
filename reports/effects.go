package reports

import (
	"fmt"
	"strings"

	"parallax/divergence"
)

// effectsLine says how the exchanges of changes in the databases were found, and which
// tables have some that nobody explains.
func effectsLine(s *divergence.EffectsSummary) string {
	ways, nobodys := map[string]int64{}, map[string]int64{}
	for _, c := range s.Counts {
		ways[c.Count] += int64(c.N)
		if c.Count == "unattributed" {
			nobodys[c.Leg+" "+c.Table] += int64(c.N)
		}
	}
	text := "changes in the databases: " + parts(ways)
	if len(nobodys) > 0 {
		text += "; unattributed: " + strings.TrimSuffix(strings.SplitN(parts(nobodys), "(", 2)[1], ")")
	}
	if n := len(s.Gaps); n > 0 {
		text += fmt.Sprintf("; times in which they were not read: %d", n)
	}
	return text
}
