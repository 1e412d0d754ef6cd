package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"parallax/divergence"
	"parallax/mirror/split"
	"parallax/reports"
)

// awayStore is a store whose address nobody listens on.
func awayStore(t *testing.T) *divergence.Store {
	t.Helper()
	opts, err := divergence.ParseDSN("http://127.0.0.1:1/parallax")
	if err != nil {
		t.Fatal(err)
	}
	store, err := divergence.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// newStepper keeps its state in dir.
func newStepper(t *testing.T, dir string) *stepper {
	t.Helper()
	file, err := reports.OpenState(dir, "shop")
	if err != nil {
		t.Fatal(err)
	}
	splitter, faults := split.New(split.Config{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return &stepper{bounds: unbounded{}, service: "shop", file: file, chain: reports.NewChain(t.TempDir(), "shop", time.Now, testLog(t)), split: splitter, store: awayStore(t), now: time.Now, log: testLog(t)}
}

// TestStepInForceIsStepOnDisk moves the step from several sides at once.
func TestStepInForceIsStepOnDisk(t *testing.T) {
	t.Parallel()
	for range 30 {
		s := newStepper(t, t.TempDir())
		var all sync.WaitGroup
		for _, step := range []int{100, 500, 2500} {
			all.Go(func() {
				if err := s.SetStep(t.Context(), step, "a test", "race"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			if err := s.Rollback(t.Context(), "a test", "race"); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		if in, on := s.split.Step(), s.file.State().Step; in != on {
			t.Fatalf("step %d is in force and %d on disk", in, on)
		}
	}
}

// TestRollbackIsInForceThoughTheDiskFails loses the state's folder.
func TestRollbackIsInForceThoughTheDiskFails(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	s := newStepper(t, dir)
	if err := s.SetStep(t.Context(), 5000, "a test", "up"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.SetStep(t.Context(), 7500, "a test", "up"); err == nil || s.split.Step() != 5000 {
		t.Errorf("a step that cannot be written: error %v, %d in force", err, s.split.Step())
	}
	if err := s.Rollback(t.Context(), "a test", "down"); err == nil {
		t.Error("a rollback that is not on disk was called done")
	}
	if got := s.split.Step(); got != 0 {
		t.Errorf("step %d is in force", got)
	}
}

// TestPauseEndsWithTheNextStep is about what a person's rollback leaves behind.
func TestPauseEndsWithTheNextStep(t *testing.T) {
	t.Parallel()
	s := newStepper(t, t.TempDir())
	if err := s.Rollback(t.Context(), "a test", "down"); err != nil || !s.State().Paused {
		t.Fatalf("after a rollback: %+v, %v", s.State(), err)
	}
	if err := s.SetStep(t.Context(), 100, "a test", "again"); err != nil || s.State().Paused || s.State().Step != 100 {
		t.Errorf("after the next step: %+v, %v", s.State(), err)
	}
}

// TestAVoidLatchTakesNoOtherAlong: one that was written while the judge looked stays.
func TestAVoidLatchTakesNoOtherAlong(t *testing.T) {
	t.Parallel()
	file, err := reports.OpenState(t.TempDir(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	s := &stepper{file: file}
	void := reports.Latch{At: time.Now(), CandidateVersion: "1", Reasons: []reports.Reason{{Code: reports.LiveErrors, Endpoint: "GET /a"}}}
	fresh := void
	fresh.Reasons = append(slices.Clone(void.Reasons), reports.Reason{Code: reports.LiveErrors, Endpoint: "GET /b"})
	if err := errors.Join(s.latch(void), s.latch(fresh), s.unlatch(void)); err != nil || file.State().Latch == nil {
		t.Errorf("the fresh one is gone: %+v, %v", file.State().Latch, err)
	}
	if err := s.unlatch(fresh); err != nil || file.State().Latch != nil {
		t.Errorf("it is still there: %+v, %v", file.State().Latch, err)
	}
}
