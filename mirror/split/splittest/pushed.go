package splittest

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"parallax/mirror/split/push"
)

// Pusher runs a pusher on a driver until the test ends.
func Pusher(t testing.TB, s push.Splitter) *push.Pusher {
	t.Helper()
	p := push.New(push.Config{
		Name: "outside", Splitter: s, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Confirmed: func() push.Confirmed { return push.Confirmed{} },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.Run(ctx) // it returns nil
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return p
}

// Set has a pusher say a word of a person's, and returns when it is confirmed.
func Set(ctx context.Context, p *push.Pusher, step int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p.Set(push.Word{Step: step, At: time.Now(), Person: true})
	if s := p.Settle(ctx); s.State != push.InForce || s.Error != "" {
		return fmt.Errorf("%s, %s", s.State, s.Error)
	}
	return nil
}

// Driver has a driver write steps and read them back, in any order and twice.
func Driver(t *testing.T, s push.Splitter) {
	t.Helper()
	for _, step := range []int{1, 1, 10000, 9999, 0, 0, 25, 2500, 0} {
		if err := s.Push(t.Context(), step); err != nil {
			t.Fatalf("pushing %d: %v", step, err)
		}
		got, err := s.Read(t.Context())
		if err != nil || got.Step != step {
			t.Fatalf("read %+v, %v; want step %d", got, err, step)
		}
	}
}
