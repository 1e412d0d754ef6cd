package nginx

import (
	"errors"
	"testing"
	"time"
)

// TestTriesRestLonger each time the same step fails, and not for another step.
func TestTriesRestLonger(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	broken := errors.New("broken")
	var tried tries
	f := func(want time.Duration) {
		t.Helper()
		tried = tried.after(500, broken, now)
		now = now.Add(want - 1)
		if err := tried.early(500, now); !errors.Is(err, broken) {
			t.Errorf("%v before %v", err, want)
		}
		if err := tried.early(0, now); err != nil {
			t.Errorf("a rollback waits: %v", err)
		}
		now = now.Add(1)
		if err := tried.early(500, now); err != nil {
			t.Errorf("%v after %v", err, want)
		}
	}
	f(5 * time.Second)
	f(10 * time.Second)
	f(20 * time.Second)
	f(40 * time.Second)
	f(time.Minute)
	f(time.Minute)
	tried = tried.after(500, nil, now)
	f(5 * time.Second)
	tried = tried.after(0, broken, now)
	if err := tried.early(500, now); err != nil {
		t.Errorf("another step failed: %v", err)
	}
}
