package mirror

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"parallax"
)

// trial draws the p90 of a window from a distribution that drifts, jumps and has
// outliers, as real ones do.
type trial struct {
	random *rand.Rand
	level  float64
}

func (t *trial) p90(factor float64) time.Duration {
	t.level = 0.95*t.level + 0.2*t.random.NormFloat64()
	ms := 5 * math.Exp(t.level+0.1*t.random.NormFloat64()) * factor
	if t.random.IntN(50) == 0 {
		ms *= 10
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// pair draws the two windows of a pair in the order that a coin says.
func (t *trial) pair(effect float64) (with, without time.Duration) {
	if t.random.IntN(2) == 0 {
		with = t.p90(effect)
		return with, t.p90(1)
	}
	without = t.p90(1)
	return t.p90(effect), without
}

// strict tolerates nothing, so that each pair without an effect is a fair toss:
// the worst case for false alarms.
var strict = WatchdogOptions{Ratio: 1}

func TestWatchdogRarelyErrs(t *testing.T) {
	t.Parallel()
	const pairs = 1_000_000 // 58 days of pairs, with the default options
	alarms := 0
	x, d := trial{random: rand.New(rand.NewPCG(1, 1))}, detector{}
	for range pairs {
		with, without := x.pair(1)
		if d.add(with, without, strict) {
			alarms++
			d = detector{}
		}
	}
	if alarms > 10 { // what the bound allows on average
		t.Errorf("%d alarms in %d pairs without an effect, at most 10 are promised", alarms, pairs)
	}
}

func TestWatchdogFindsAnEffect(t *testing.T) {
	t.Parallel()
	f := func(effect float64, o WatchdogOptions, calm, within int) {
		t.Helper()
		var delays []int
		for seed := range uint64(50) {
			x, d := trial{random: rand.New(rand.NewPCG(seed, 2))}, detector{}
			for range calm { // long peace does not make it sleepy
				with, without := x.pair(1)
				if d.add(with, without, o) {
					d = detector{}
				}
			}
			delay := 1
			for ; delay < 10*within; delay++ {
				if with, without := x.pair(effect); d.add(with, without, o) {
					break
				}
			}
			delays = append(delays, delay)
		}
		slices.Sort(delays)
		if got := delays[len(delays)/2]; got > within {
			t.Errorf("an effect of %v times after %d pairs without is found after %d pairs in the median, want at most %d", effect, calm, got, within)
		}
	}
	defaults := DefaultWatchdog()
	f(10, defaults, 0, 25)
	f(3, defaults, 0, 30)
	f(3, defaults, 20_000, 30)
	f(2, strict, 0, 60)
	f(2, strict, 20_000, 60)
}

func TestWatchdogToleratesWhatIsAllowed(t *testing.T) {
	t.Parallel()
	d, o := detector{}, WatchdogOptions{Ratio: 1.2, Plus: 2 * time.Millisecond}
	for range 1000 {
		if d.add(14*time.Millisecond, 10*time.Millisecond, o) {
			t.Fatal("14 ms is not more than 1.2 times 10 ms and 2 ms")
		}
	}
	for i := range 20 {
		if alarm := d.add(21*time.Millisecond, 10*time.Millisecond, o); alarm != (i == 19) {
			t.Fatalf("pair %d: alarm %t, want it at the 20th", i+1, alarm)
		}
	}
	want := "the live leg is slower with mirroring: its p90 is 2.1 times as long, in 20 of 20 pairs of windows"
	if got := d.why(); !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestQuantileCountsWhatStillWaits(t *testing.T) {
	t.Parallel()
	f := func(n int, want time.Duration, took ...time.Duration) {
		t.Helper()
		if got := quantile(took, n); got != want {
			t.Errorf("%v of %d: %v, want %v", took, n, got, want)
		}
	}
	f(0, 0)
	f(10, 9, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
	f(10, 5, 1, 2, 3, 4, 5) // the others have not ended
	f(1, 7, 7)
}

func TestWindow(t *testing.T) {
	t.Parallel()
	w := newWindow(false, time.Time{})
	m := &Mirror{}
	m.window.Store(w)
	var flights []*flight
	for range 2 * windowSamples {
		f := &flight{m: m, start: time.Now()}
		f.measure()
		flights = append(flights, f)
	}
	for i, f := range flights {
		c := &parallax.Call{First: time.Duration(1+i) * time.Millisecond}
		if i%2 == 0 {
			c.First = 0 // no answer says nothing
		}
		f.measured(c)
	}
	got, ok := w.p90()
	if want := time.Duration(windowSamples*9/10) * time.Millisecond; !ok || got < want-4*time.Millisecond || got > want+4*time.Millisecond {
		t.Errorf("p90 is %v, %t, want about %v of the first %d requests", got, ok, want, windowSamples)
	}
	if w.came.Load() != 2*windowSamples || w.asked.Load() != windowSamples/2 {
		t.Errorf("%d came, %d count", w.came.Load(), w.asked.Load())
	}
	early := &flight{m: m, start: time.Now()}
	m.window.Store(newWindow(true, time.Now().Add(time.Hour)))
	early.measure()
	if early.timed || early.window == nil {
		t.Error("a request in the beginning of a window counts")
	}
	if !early.heldForMeasure(false) || early.heldForMeasure(true) {
		t.Error("only requests that a leg's own database must not miss are mirrored in a window without mirroring")
	}
}

func TestCooldownGrows(t *testing.T) {
	t.Parallel()
	for alarms, want := range map[int]time.Duration{0: time.Minute, 1: 2 * time.Minute, 5: 32 * time.Minute, 6: time.Hour, 1000: time.Hour} {
		if got := cooldown(time.Minute, alarms); got != want {
			t.Errorf("after %d alarms: %v, want %v", alarms, got, want)
		}
	}
}

func TestWatchdogOptionsAreChecked(t *testing.T) {
	t.Parallel()
	faults := WatchdogOptions{Enabled: true, Ratio: 0.5, Plus: -1, Window: 1, Share: 0.5, Cooldown: 2 * time.Hour}.Validate()
	var paths []string
	for _, f := range faults {
		paths = append(paths, f.Path)
	}
	if want := []string{"ratio", "plus", "window", "share", "cooldown"}; !slices.Equal(paths, want) {
		t.Errorf("faults at %v, want %v", paths, want)
	}
	if faults := DefaultWatchdog().Validate(); len(faults) > 0 || DefaultWatchdog().Enabled {
		t.Errorf("the default: %v", faults)
	}
}
