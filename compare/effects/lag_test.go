package effects_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"parallax"
	"parallax/compare/effects"
	"parallax/compare/effects/effectstest"
)

// closed is a database that is not read until it is opened.
type closed struct {
	*effectstest.Log
	opened chan struct{}
}

// Run implements [effects.Reader].
func (c *closed) Run(ctx context.Context, to effects.Sink) error {
	select {
	case <-ctx.Done():
		return nil
	case <-c.opened:
		return c.Log.Run(ctx, to)
	}
}

// TestLagIsThatOfAllDatabases: a leg of which one database is not read shows no lag,
// whatever its others say.
func TestLagIsThatOfAllDatabases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		j := effects.NewJoiner(effects.JoinerConfig{
			Service: "shop", Config: effects.DefaultConfig(), Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: effects.NewMetrics(registry),
		})
		second := &closed{effectstest.NewLog(time.Now), make(chan struct{})}
		j.Add(parallax.Primary, "old/shop", effectstest.NewLog(time.Now))
		j.Add(parallax.Primary, "old/mails", second)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- j.Run(ctx) }()
		shown := func(want int) {
			t.Helper()
			time.Sleep(time.Second) // of the bubble
			synctest.Wait()
			if n, err := testutil.GatherAndCount(registry, "parallax_effects_lag_seconds"); err != nil || n != want {
				t.Errorf("%d legs show a lag, want %d: %v", n, want, err)
			}
		}
		shown(0)
		close(second.opened)
		shown(1)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
