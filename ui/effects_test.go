package ui

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/divergence"
)

func TestEffectsView(t *testing.T) {
	t.Parallel()
	got := newEffectsView(divergence.EffectsSummary{Counts: []divergence.EffectCount{
		{Leg: "candidate", Table: "orders", Count: "tag", N: 3}, {Leg: "candidate", Table: "orders", Count: "unattributed", N: 1},
		{Leg: "primary", Table: "orders", Count: "late", N: 2},
	}})
	want := effectsView{Ways: []string{"tag", "late", "unattributed"}, Tables: []effectTableRow{
		{Leg: "candidate", Table: "orders", N: []uint64{3, 0, 1}, Nobodys: true}, {Leg: "primary", Table: "orders", N: []uint64{0, 2, 0}}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	from := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	if got := gapText(divergence.EffectGap{From: from, Until: from.Add(1500 * time.Millisecond)}); got != "1.5s" {
		t.Errorf("a gap lasts %q", got)
	}
	if got := gapText(divergence.EffectGap{From: from}); got != "it lasts" {
		t.Errorf("an open gap lasts %q", got)
	}
}

func TestPagesShowEffects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id, total := "17", "10.00"
	detail := r.store.details[firstID]
	detail.Unread = map[string]string{"candidate": "the log was not read"}
	detail.Effects = []divergence.EffectLine{{Leg: "primary", Table: "orders", Op: "insert", Correlation: "tag", Late: true, At: time.Now(),
		Key: []divergence.ColumnLine{{Name: "id", Value: &id}}, After: []divergence.ColumnLine{{Name: "total", Value: &total}, {Name: "note"}}}}
	r.store.details[firstID] = detail
	target := exchangePath("shop", firstID)
	says(t, target, parsePage(t, r, target, 200), "Side effects", "What the candidate did to its databases is not all known: the log was not read.",
		"insert orders id 17", "total 10.00, note NULL", "found by tag late, not compared", "no such change")
	r.store.effects = divergence.EffectsSummary{
		Counts: []divergence.EffectCount{{Leg: "candidate", Table: "orders", Count: "tag", N: 3}, {Leg: "candidate", Table: "orders", Count: "unattributed", N: 1}},
		Gaps:   []divergence.EffectGap{{Leg: "primary", Database: "old/shop", From: time.Now(), Why: "the server went away"}},
	}
	says(t, "/services/shop", parsePage(t, r, "/services/shop", 200), "Side effects", "orders background work 3 1", "old/shop of the primary was not read from", "it lasts: the server went away.")
}
