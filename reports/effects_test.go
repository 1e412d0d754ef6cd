package reports

import (
	"strings"
	"testing"
	"time"

	"parallax/divergence"
)

func TestReportsTellOfEffects(t *testing.T) {
	t.Parallel()
	r := Report{Effects: &divergence.EffectsSummary{
		Counts: []divergence.EffectCount{
			{Leg: "candidate", Table: "orders", Count: "tag", N: 30}, {Leg: "primary", Table: "jobs", Count: "unattributed", N: 2},
			{Leg: "primary", Table: "orders", Count: "late", N: 1}, {Leg: "primary", Table: "orders", Count: "tag", N: 31},
		},
		Gaps: []divergence.EffectGap{{Leg: "primary", From: time.Unix(1, 0)}},
	}}
	const want = "changes in the databases: 64 (late 1, tag 61, unattributed 2); unattributed: primary jobs 2; times in which they were not read: 1"
	for name, write := range map[string]func(*strings.Builder) error{
		"text":     func(b *strings.Builder) error { return WriteText(b, r, Verdict{}) },
		"markdown": func(b *strings.Builder) error { return WriteMarkdown(b, r, Verdict{}) },
	} {
		var b strings.Builder
		if err := write(&b); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %v\n%s", name, err, b.String())
		}
	}
}
