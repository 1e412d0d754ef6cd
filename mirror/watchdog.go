package mirror

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"parallax"
)

// WatchdogOptions is the watchdog of a service: it pauses mirroring when the live
// leg gets slower by it, as it does when both legs share a machine, a database or
// a service behind them.
//
// To tell that from a leg that is slow by itself, it takes mirroring away for
// moments, at random times, and compares the live leg's time to its first byte
// with that of moments like them: an experiment and not a guess from trends. It
// costs the share of coverage that is configured, counted as unmirrored/watchdog,
// and a pause opens state gaps where a leg keeps a database of its own (requests
// that such a leg must not miss are never left out of a measurement, only of a
// pause). So it is off unless somebody asks for it: nobody should find a tenth of
// the traffic missing from a report without having said so, and legs that share
// nothing cannot slow each other down. It is worth its price where a leg's state
// is shared.
type WatchdogOptions struct {
	Enabled  bool          `yaml:"enabled" doc:"watch whether mirroring slows the live leg down"`
	Ratio    float64       `yaml:"ratio" doc:"how many times as long the live leg may take with mirroring"`
	Plus     time.Duration `yaml:"plus" doc:"how much longer it may take on top of that"`
	Window   time.Duration `yaml:"window" doc:"how long one measurement lasts"`
	Share    float64       `yaml:"share" doc:"share of the time in which nothing is mirrored, to measure without; at most a third"`
	Cooldown time.Duration `yaml:"cooldown" doc:"how long the first pause lasts; each further one within an hour twice as long, up to an hour"`
}

// DefaultWatchdog are the values of the watchdog block where it is silent.
func DefaultWatchdog() WatchdogOptions {
	return WatchdogOptions{Ratio: 1.2, Plus: 2 * time.Millisecond, Window: 500 * time.Millisecond, Share: 0.1, Cooldown: time.Minute}
}

// Validate returns everything that is wrong with the watchdog block.
func (o WatchdogOptions) Validate() []parallax.Fault {
	var faults []parallax.Fault
	check := func(ok bool, path, hint, format string, args ...any) {
		if !ok {
			faults = append(faults, parallax.Fault{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint})
		}
	}
	if !o.Enabled {
		return nil
	}
	check(o.Ratio >= 1 && o.Ratio <= 100, "ratio", "write a number such as 1.2", "%v times as long", o.Ratio)
	check(o.Plus >= 0, "plus", "write a duration such as 2ms", "a tolerance of %s", o.Plus)
	check(o.Window >= 20*time.Millisecond && o.Window <= time.Minute, "window", "write a duration from 20ms to 1m, such as 500ms", "a window of %s", o.Window)
	check(o.Share > 0.001 && o.Share <= 1.0/3, "share", "write a share up to a third, such as 0.1", "a share of %v", o.Share)
	check(o.Cooldown > 0 && o.Cooldown <= maxCooldown, "cooldown", "write a duration such as 1m, at most 1h", "a pause of %s", o.Cooldown)
	return faults
}

const (
	windowSamples = 512         // kept of a window; further ones are left out
	fewestSamples = 20          // of a window that says something
	maxCooldown   = time.Hour   // also how long without an alarm makes the next pause short again
	watchTick     = time.Second // how often a watchdog that is off looks whether it still is
)

// window is one measurement of the live leg.
type window struct {
	off    bool      // nothing is mirrored in it
	counts time.Time // when requests begin to count: those before may have met what went on before it

	came     atomic.Int64 // requests of callers
	mirrored atomic.Int64
	asked    atomic.Int64                // of those that came, at most windowSamples
	answered atomic.Int64                // of those asked
	took     [windowSamples]atomic.Int64 // ns; zero while it is not known
}

func newWindow(off bool, counts time.Time) *window { return &window{off: off, counts: counts} }

// measured adds how long the live leg took to its first byte; zero means that it
// gave none, which says nothing about its pace.
func (w *window) measured(took time.Duration) {
	if took <= 0 {
		w.asked.Add(-1)
		return
	}
	w.took[(w.answered.Add(1)-1)%windowSamples].Store(int64(took))
}

// p90 returns the time within which nine of ten requests got their first byte,
// and whether there are enough of them to say. Requests that still wait count as
// slower than all others; if the one looked for is among them, it is taken to be
// as slow as the slowest that is known.
func (w *window) p90() (time.Duration, bool) {
	var took []time.Duration
	for i := range w.took {
		if t := w.took[i].Load(); t > 0 {
			took = append(took, time.Duration(t))
		}
	}
	asked := int(w.asked.Load())
	return quantile(took, asked), asked >= fewestSamples && len(took) > 0
}

// measure begins the measurement of a request: what is being measured is what is
// going on when it comes.
func (f *flight) measure() {
	w := f.m.window.Load()
	if w == nil {
		return
	}
	f.window = w
	if f.start.Before(w.counts) {
		return
	}
	w.came.Add(1)
	if f.timed = w.asked.Add(1) <= windowSamples; !f.timed {
		w.asked.Add(-1)
	}
}

// measured ends the measurement.
func (f *flight) measured(c *parallax.Call) {
	if f.timed {
		f.window.measured(c.First - c.Start)
	}
}

// heldForMeasure reports whether the request is not mirrored, so that the live leg
// can be measured without. One that a leg must not miss always is.
func (f *flight) heldForMeasure(missed bool) bool {
	switch {
	case f.window == nil:
		return false
	case f.window.off && !missed:
		return true
	}
	f.window.mirrored.Add(1)
	return false
}

// watch runs the watchdog until the context ends, whenever the configuration in
// force has one.
func (m *Mirror) watch(ctx context.Context) {
	id := m.deps.NewID()
	random := rand.New(rand.NewPCG(binary.BigEndian.Uint64(id[8:]), 0))
	var d detector
	var alarms int
	var resumed time.Time
	for ctx.Err() == nil {
		o := m.current.Load().options.Watchdog
		if _, paused := m.Paused(); !o.Enabled || paused {
			d = detector{}
			sleep(ctx, watchTick)
			continue
		}
		with, without, ok := m.experiment(ctx, o, random)
		if !ok || !d.add(with, without, o) {
			continue
		}
		if m.deps.Now().Sub(resumed) > maxCooldown {
			alarms = 0
		}
		m.standBack(ctx, cooldown(o.Cooldown, alarms), d.why())
		d, resumed = detector{}, m.deps.Now()
		alarms++
	}
}

// cooldown returns how long a pause lasts after this many before it.
func cooldown(first time.Duration, alarms int) time.Duration {
	return min(first<<min(alarms, 20), maxCooldown)
}

// standBack pauses mirroring for a while, or until somebody resumes it or turns
// the watchdog off.
func (m *Mirror) standBack(ctx context.Context, lasts time.Duration, why string) {
	now := m.deps.Now()
	m.Pause(Pause{By: ByWatchdog, Reason: why, At: now.UTC(), Until: now.Add(lasts).UTC()})
	defer m.Resume(ByWatchdog)
	for ctx.Err() == nil && m.PausedBy(ByWatchdog) && m.current.Load().options.Watchdog.Enabled {
		left := lasts - m.deps.Now().Sub(now)
		if left <= 0 {
			return
		}
		sleep(ctx, min(left, watchTick))
	}
}

// experiment measures the live leg's p90 with mirroring and without, in two
// windows next to each other at a random time; a coin says which comes first. It
// reports false when there is too little traffic for both: then mirroring is not
// taken away at all, or when somebody paused it in between, or configured the
// watchdog anew.
func (m *Mirror) experiment(ctx context.Context, o WatchdogOptions, random *rand.Rand) (with, without time.Duration, ok bool) {
	defer m.window.Store(nil)
	period := time.Duration(float64(o.Window) / o.Share)
	rest := period - 3*o.Window
	before := o.Window + time.Duration(random.Float64()*float64(rest))

	probe := newWindow(false, m.deps.Now())
	m.window.Store(probe)
	on := m.sleepUnder(ctx, before, o)
	m.window.Store(nil)
	expected := float64(probe.came.Load()) * float64(o.Window-washout(o)) / float64(before)
	if expected < fewestSamples || probe.mirrored.Load() == 0 || !on {
		return 0, 0, false
	}
	offFirst := random.IntN(2) == 0
	var windows [2]*window
	for i := range windows {
		windows[i] = newWindow(offFirst == (i == 0), m.deps.Now().Add(washout(o)))
		m.window.Store(windows[i])
		if !m.sleepUnder(ctx, o.Window, o) {
			return 0, 0, false
		}
	}
	m.window.Store(nil)
	on = m.sleepUnder(ctx, period-before-2*o.Window, o) // slow ones get their answers
	if _, paused := m.Paused(); paused || !on {
		return 0, 0, false
	}
	a, enough := windows[0].p90()
	b, both := windows[1].p90()
	if offFirst {
		a, b = b, a
	}
	return a, b, enough && both
}

// washout is the beginning of a window in which requests do not count: shadow
// requests of the time before are still under way.
func washout(o WatchdogOptions) time.Duration { return o.Window / 5 }

// sleepUnder waits while a configuration is in force, and reports whether it was
// all the time.
func (m *Mirror) sleepUnder(ctx context.Context, d time.Duration, o WatchdogOptions) bool {
	began := m.deps.Now()
	for ctx.Err() == nil && m.current.Load().options.Watchdog == o {
		left := d - m.deps.Now().Sub(began)
		if left <= 0 {
			return true
		}
		sleep(ctx, min(left, watchTick))
	}
	return false
}

// sleep waits, or until the context ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
