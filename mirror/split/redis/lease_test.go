package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"parallax/internal/rig"
)

// holding runs a lease of a store until stop is called.
func holding(t *testing.T, s *Store) (l *Lease, stop func()) {
	t.Helper()
	l = s.Lease()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return l, stop
}

func held(t *testing.T, l *Lease, want bool) {
	t.Helper()
	rig.Eventually(t, fmt.Sprintf("held is %v", want), func() error {
		if l.Held() != want {
			return errors.New("it is not")
		}
		return nil
	})
}

// TestOneHasTheLease: the next has it when the one before ends, and what is raised under it is
// refused from the one before, however sure that is of it.
func TestOneHasTheLease(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	a, b := open(t, r), open(t, r)
	first, end := holding(t, a)
	held(t, first, true)
	second, _ := holding(t, b)
	word, err := a.Step("shop").FollowUnder(t.Context(), first, Word{}, Word{Step: 100})
	if err != nil || second.Held() {
		t.Fatalf("the holder may not raise: %v; the other holds it too: %v", err, second.Held())
	}
	if _, err := b.Step("shop").FollowUnder(t.Context(), second, word, Word{Step: 500}); !errors.Is(err, ErrNoLease) {
		t.Errorf("without the lease: %v", err)
	}
	end()
	if first.Held() {
		t.Error("it is held after its end")
	}
	held(t, second, true)
	if _, err := a.Step("shop").FollowUnder(t.Context(), first, word, Word{Step: 500}); !errors.Is(err, ErrNoLease) {
		t.Errorf("by the one before: %v", err)
	}
	if _, err := b.Step("shop").FollowUnder(t.Context(), second, word, Word{Step: 500}); err != nil {
		t.Errorf("by the next: %v", err)
	}
}

// TestALeaseEndsWithoutRedis: who does not hear from Redis for as long as a lease lasts does
// not hold it, and whoever asks first when Redis is back has it.
func TestALeaseEndsWithoutRedis(t *testing.T) {
	t.Parallel()
	r := rig.StartRedis(t)
	l, _ := holding(t, open(t, r))
	held(t, l, true)
	r.Kill()
	held(t, l, false)
	r.Start()
	held(t, l, true)
}
