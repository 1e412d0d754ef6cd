package divergence

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

// TestRowsTheCandidateWrote are listed once each, as it left them, those changed last first;
// an insert of the same batch that is repeated counts once.
func TestRowsTheCandidateWrote(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	x := pair(1, "POST /orders", 201, 201)
	change := func(op parallax.Op, id, total string, position uint64) WrittenEffects {
		e := wrote(id, total, "token")
		e.Op, e.Position, e.At = op, position, noon.UTC().Add(time.Duration(position)*time.Second)
		if op == parallax.Delete {
			e.After = nil
		}
		return WrittenEffects{ID: x.ID, Stamp: x.Stamp(), In: parallax.Primary, Effects: []parallax.Effect{e}}
	}
	for _, w := range []WrittenEffects{
		change(parallax.Insert, "17", "10", 1), change(parallax.Update, "17", "11", 3), change(parallax.Insert, "18", "5", 2), change(parallax.Delete, "18", "", 9),
	} {
		if left := s.rig.NoteWritten(w); len(left) > 0 {
			t.Fatalf("no room for %v", left)
		}
	}
	s.rig.NoteEffects([]EffectCount{{noon, "shop", "primary", "orders", "unlisted", 4}}, nil)
	s.flush(t)
	got, err := s.store.Written(t.Context(), "shop", WrittenFilter{})
	if err != nil {
		t.Fatal(err)
	}
	id17, id18, total, token := "17", "18", "11", "token"
	want := Written{Unlisted: 4, Gaps: []EffectGap{}, Rows: []WrittenRow{
		{Leg: "primary", Table: "orders", Key: []ColumnLine{{"id", &id18}}, Op: "delete", Changes: 2, Exchange: x.ID.String(), Endpoint: "POST /orders",
			First: noon.UTC().Add(2 * time.Second), Last: noon.UTC().Add(9 * time.Second)},
		{Leg: "primary", Table: "orders", Key: []ColumnLine{{"id", &id17}}, Op: "update", Changes: 2, Exchange: x.ID.String(), Endpoint: "POST /orders",
			After: []ColumnLine{{"id", &id17}, {"total", &total}, {"password", &token}, {"note", nil}}, First: noon.UTC().Add(time.Second), Last: noon.UTC().Add(3 * time.Second)},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got, err := s.store.Written(t.Context(), "shop", WrittenFilter{Limit: 1}); err != nil || len(got.Rows) != 1 || !got.More {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := s.store.Written(t.Context(), "shop", WrittenFilter{Table: "items"}); err != nil || len(got.Rows) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestWrittenRowsAreBounded notes more than an hour may have.
func TestWrittenRowsAreBounded(t *testing.T) {
	t.Parallel()
	var r Recorder
	stamp := parallax.Stamp{Service: "shop", Received: noon}
	kept, left := 0, 0
	for i := range 130 {
		w := WrittenEffects{Stamp: stamp, Effects: make([]parallax.Effect, 1_000)}
		for k := range w.Effects {
			id := fmt.Sprint(i*1000 + k)
			w.Effects[k].Key = []parallax.Column{{Name: "id", Value: &id}}
		}
		n := len(r.NoteWritten(w))
		left, kept = left+n, kept+1_000-n
		if i%10 == 0 {
			r.notes.take() // the store is there
		}
	}
	if kept != maxWrittenHour || left != 30_000 {
		t.Errorf("%d kept and %d not", kept, left)
	}
}
