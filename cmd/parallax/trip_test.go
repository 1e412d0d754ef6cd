package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/divergence"
	"parallax/internal/rig"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
	"parallax/reports"
	"parallax/ui"
)

// TestTripsArePutOnDisk: who finds that a leg has tripped tells the mirror, and it is
// on disk when that returns; a person's word takes it off again.
func TestTripsArePutOnDisk(t *testing.T) {
	t.Parallel()
	dir, at := t.TempDir(), time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	now := func() time.Time { return at }
	options := mirror.DefaultOptions()
	newMirror := func() *mirror.Mirror {
		m, faults := mirror.New(mirror.Service{
			Name: "shop", Mirror: options,
			Primary: mirror.LegConfig{URLs: mirror.LegURLs("http://127.0.0.1:1")}, Candidate: mirror.LegConfig{URLs: mirror.LegURLs("http://127.0.0.1:2")},
		}, mirror.Deps{
			Queue: mirror.NewMemQueue(1, 1), Ledger: mirrortest.NewLedger(), Now: now, NewID: parallax.NewIDSource(time.Now, rand.Reader),
			Keys: mirror.Keys{User: []byte("0123456789abcdef"), Fleet: []byte("0123456789abcdef")},
		})
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		t.Cleanup(m.Close)
		return m
	}
	file, err := reports.OpenState(dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	m := newMirroring(newMirror(), file, &stepper{bounds: unbounded{}, service: "shop", now: now, log: slog.New(slog.DiscardHandler)})
	var history []divergence.Decision
	m.record = func(_ context.Context, d divergence.Decision) { history = append(history, d) }
	m.mirror.Trip(parallax.Candidate, "it committed an insert into orders.")

	want := []reports.LegTrip{{Leg: "candidate", Reason: "it committed an insert into orders.", At: at}}
	file, err = reports.OpenState(dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, file.State().Tripped); diff != "" {
		t.Errorf("on disk (-want +got)\n%s", diff)
	}
	if len(history) != 1 || history[0].Key != "tripped" || history[0].Value != "candidate" {
		t.Errorf("the history has %+v", history)
	}
	after := newMirroring(newMirror(), file, &stepper{bounds: unbounded{}, service: "shop", now: now, log: slog.New(slog.DiscardHandler)})
	after.record = m.record
	if got, want := after.tripped(), "the candidate is not asked as a shadow, it committed an insert into orders"; got != want {
		t.Errorf("after a restart: %q, want %q", got, want)
	}
	if err := after.Resume(t.Context(), "ada", "declared shared"); err != nil || after.tripped() != "" || len(file.State().Tripped) > 0 {
		t.Errorf("after a person's word: %v, %q, %v", err, after.tripped(), file.State().Tripped)
	}
}

// TestATripOutlivesTheProcess is the other half, seen from outside.
func TestATripOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := shopConfig(backend(t, "1.00"), backend(t, "1.00"), "")
	state := filepath.Join(dir, "parallax-state", "shop.json")
	text := `{"step":0,"who":"","reason":"","at":"0001-01-01T00:00:00Z","paused":false,"tripped":[{"leg":"candidate","reason":"it wrote to orders","at":"2026-11-23T05:00:00Z"}]}`
	if err := os.MkdirAll(filepath.Dir(state), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	p := rig.StartIn(t, dir, config)
	call(t, p, "GET", "/orders/1", "", 200)
	if n := settled(t, p, 1).Accounting.Unmirrored["tripped"]; n != 1 {
		t.Errorf("%d requests were kept from the leg, want 1", n)
	}
	rig.Eventually(t, "the verdict holds for the trip", func() error {
		var v reports.Verdict
		if err := p.JSON("/api/v1/services/shop/verdict", &v); err != nil {
			return err
		}
		for _, r := range v.Reasons {
			if r.Code == reports.Tripped && strings.Contains(r.Detail, "it wrote to orders") && v.Decision == reports.Hold {
				return nil
			}
		}
		return fmt.Errorf("%s: %v", v.Decision, v.Reasons)
	})
	post(t, p, "/api/v1/services/shop/mirroring:resume", "it is declared shared now")
	var mirroring ui.MirroringState
	if err := p.JSON("/api/v1/services/shop/mirroring", &mirroring); err != nil || len(mirroring.Tripped) > 0 {
		t.Error(errors.Join(err, fmt.Errorf("released, and still %+v", mirroring)))
	}
	p.Stop()
	p = rig.StartIn(t, dir, config)
	if err := p.JSON("/api/v1/services/shop/mirroring", &mirroring); err != nil || len(mirroring.Tripped) > 0 {
		t.Error(errors.Join(err, fmt.Errorf("after a restart again %+v", mirroring)))
	}
}
