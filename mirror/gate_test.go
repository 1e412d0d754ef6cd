package mirror

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parallax"
)

func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		c := DefaultLeg()
		c.Breaker = Breaker{Failures: 3, Of: 5, OpenFor: time.Second, HalfOpen: 2}
		g := newGate(c, slog.New(slog.NewTextHandler(&log, nil)))
		through := func(what string, want bool) (era uint64) {
			t.Helper()
			era, why := g.pass()
			if got := why == ""; got != want || !got && why != parallax.LostBreakerOpen {
				t.Errorf("%s: got through: %t (%s)", what, got, why)
			}
			return era
		}
		ask := func(what string, kind parallax.ErrKind) {
			t.Helper()
			g.passed(through(what, true), kind)
		}
		ask("1st failure", parallax.Timeout)
		ask("an answer", parallax.NoError)
		ask("2nd failure", parallax.Refused)
		ask("not the leg's fault", parallax.NotAsked)
		hanging := through("sent while closed, fails later", true)
		if g.open() {
			t.Error("open after two failures of four")
		}
		ask("3rd failure", parallax.Reset)
		through("open", false)
		time.Sleep(time.Second - 1)
		through("open still", false)
		time.Sleep(time.Nanosecond)
		first := through("1st trial", true)
		g.passed(hanging, parallax.Timeout) // says nothing about now
		second := through("2nd trial", true)
		through("no more than two trials", false)
		g.passed(first, parallax.NoError)
		g.passed(second, parallax.BadAnswer)
		through("open again", false)
		if !g.open() {
			t.Error("closed after a failed trial")
		}
		time.Sleep(time.Second)
		ask("a trial that is not made", parallax.NotAsked)
		ask("1st good trial", parallax.NoError)
		ask("a trial whose caller left", parallax.CallerGone)
		if !g.open() {
			t.Error("closed after one good trial of two")
		}
		ask("2nd good trial", parallax.NoError)
		if g.open() {
			t.Error("open after two good trials")
		}
		for text, n := range map[string]int{"breaker opened": 1, "breaker closed": 1} {
			if got := strings.Count(log.String(), text); got != n {
				t.Errorf("%q was logged %d times, want %d:\n%s", text, got, n, &log)
			}
		}
	})
}

// TestGateUnderLoad tries a breaker from many sides at once, while it opens and
// is tried: no trial may get lost, or it would stay open for good.
func TestGateUnderLoad(t *testing.T) {
	t.Parallel()
	c := DefaultLeg()
	c.Breaker = Breaker{Failures: 1, Of: 1, OpenFor: time.Nanosecond, HalfOpen: 1}
	for range 20 {
		g := newGate(c, slog.New(slog.DiscardHandler))
		kinds := []parallax.ErrKind{parallax.NoError, parallax.Timeout, parallax.NotAsked, parallax.Reset}
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				for k := range 2000 {
					if era, why := g.pass(); why == "" {
						g.passed(era, kinds[(n+k)%len(kinds)])
					}
				}
			})
		}
		all.Wait()
		for range 3 {
			if era, why := g.pass(); why == "" {
				g.passed(era, parallax.NoError)
			}
		}
		if g.open() {
			t.Fatal("a breaker does not close although the leg answers")
		}
	}
}

func TestGateRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := DefaultLeg()
		c.MaxRPS, c.Breaker.Failures = 10, 0
		g := newGate(c, slog.New(slog.DiscardHandler))
		passed := 0
		for range 100 { // 100 requests a second, for ten
			for range 10 {
				if _, why := g.pass(); why == "" {
					passed++
				} else if why != parallax.LostRateLimited {
					t.Fatalf("refused for %s", why)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		if passed < 105 || passed > 110 { // ten a second, and ten that had been saved up
			t.Errorf("%d of 1000 requests in 10 s passed, want 10 a second", passed)
		}
	})
}
