package reports

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What was compared before a pause says nothing about the time since.
func TestPausedMirroringHolds(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /a", 1, 4000, 0))
	is(t, at(e, 1), Promote)
	v := e.Verdict(at(e, 1).AsOf, Context{Service: "shop", MirroringPaused: "it pages people."})
	is(t, v, Hold, "mirroring_paused ")
	want := "Mirroring is paused, so nothing new is learned about the candidate: it pages people."
	if got := v.Reasons[0].Sentence(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	is(t, e.Verdict(v.AsOf, Context{Service: "shop"}), Promote)
}

func TestPauseOfMirroringSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := OpenState(dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	pause := &MirroringPause{Who: "ada", Reason: "it pages people", At: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	for _, change := range []func(*State){
		func(s *State) { s.Step = 500 },
		func(s *State) { s.Mirroring = pause },
		func(s *State) { s.Step = 2500 },
	} {
		if err := f.Update(change); err != nil {
			t.Fatal(err)
		}
	}
	if f, err = OpenState(dir, "shop"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(State{Step: 2500, Mirroring: pause}, f.State()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// What an older version wrote is read as before.
	if err := os.WriteFile(filepath.Join(dir, "old.json"), []byte(`{"step":100,"who":"","reason":"","at":"0001-01-01T00:00:00Z","paused":false}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err = OpenState(dir, "old"); err != nil || f.State().Mirroring != nil {
		t.Errorf("%+v, %v", f, err)
	}
}

// A leg that did what it must not holds whatever was compared, until it is released.
func TestATrippedLegHolds(t *testing.T) {
	t.Parallel()
	e := fold(quick(), tick("GET /a", 1, 4000, 0))
	is(t, at(e, 1), Promote)
	v := e.Verdict(at(e, 1).AsOf, Context{Service: "shop", Tripped: "the candidate is not asked as a shadow, it wrote to orders"})
	is(t, v, Hold, "tripped ")
	want := "Mirroring has stopped until a person resumes it: the candidate is not asked as a shadow, it wrote to orders."
	if got := v.Reasons[0].Sentence(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	is(t, e.Verdict(v.AsOf, Context{Service: "shop"}), Promote)
}

func TestTripsSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := OpenState(dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	trips := []LegTrip{{Leg: "candidate", Reason: "it wrote", At: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}}
	if err := f.Update(func(s *State) { s.Tripped = trips }); err != nil {
		t.Fatal(err)
	}
	if f, err = OpenState(dir, "shop"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(State{Tripped: trips}, f.State()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := os.WriteFile(filepath.Join(dir, "odd.json"), []byte(`{"step":100,"tripped":[{"leg":"canary","reason":"x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(dir, "odd"); err == nil {
		t.Error("a leg that there is not is taken for one")
	}
}
