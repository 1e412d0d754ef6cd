package mirror

import (
	"log/slog"
	"strings"
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
		g.giveBack(through("a trial that is not made", true))
		through("open again", false)
		time.Sleep(time.Second)
		ask("1st good trial", parallax.NoError)
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
