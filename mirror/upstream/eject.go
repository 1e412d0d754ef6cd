package upstream

import (
	"fmt"
	"math"
	"time"

	"parallax"
)

// Eject says when an instance that fails requests is left alone for a while.
type Eject struct {
	Failures int           `yaml:"failures" doc:"failures in a row (no connection, no answer or a broken one; a status is an answer) after which an instance is left alone; 0 for never"`
	For      time.Duration `yaml:"for" doc:"for how long at first; twice as long each time it happens again, but no longer than max_for"`
	MaxFor   time.Duration `yaml:"max_for" doc:"for how long at most"`
	MaxShare float64       `yaml:"max_share" doc:"share of the leg's instances that may be ejected at a time, rounded to whole ones; never the last that is up"`
}

// DefaultEject is the eject block where it is silent.
func DefaultEject() Eject {
	return Eject{Failures: 5, For: 10 * time.Second, MaxFor: 5 * time.Minute, MaxShare: 0.5}
}

// Validate returns everything that is wrong with the block.
func (e Eject) Validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, hint, format string, args ...any) {
		faults = append(faults, parallax.Fault{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	if e.Failures < 0 || e.Failures > 1000 {
		fault("failures", "write a number such as 5, or 0 for never", "%d failures in a row", e.Failures)
	}
	if e.For <= 0 {
		fault("for", "write a duration such as 10s", "an ejection for %s", e.For)
	}
	if e.MaxFor < e.For {
		fault("max_for", "write a longer duration, such as 5m", "at most %s is less than %s at first", e.MaxFor, e.For)
	}
	if !(e.MaxShare >= 0 && e.MaxShare <= 1) {
		fault("max_share", "write a number from 0 to 1, such as 0.5", "a share of %v", e.MaxShare)
	}
	return faults
}

// tryEject leaves an instance alone for a while, unless too many are already.
func (s *Set) tryEject(i *Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || i.removed || !i.ejection.until.IsZero() || !s.mayEject() {
		return
	}
	now := time.Now()
	e := &i.ejection
	if e.times > 0 && now.Sub(e.back) > s.eject.lasting(e.times) {
		e.times = 0 // it was good for long
	}
	e.times++
	lasting := s.eject.lasting(e.times)
	e.until = now.Add(lasting)
	e.timer = time.AfterFunc(lasting, func() { s.takeBack(i) })
	s.rebuild()
	s.log.Warn("instance ejected", "instance", i.name, "failures", s.eject.Failures, "for", lasting)
}

// mayEject reports whether one more instance may be ejected.
func (s *Set) mayEject() bool {
	var up, ejected int
	for _, i := range s.instances {
		if i.up() {
			up++
		}
		if !i.ejection.until.IsZero() {
			ejected++
		}
	}
	return up > 1 && float64(ejected+1) <= math.Round(s.eject.MaxShare*float64(len(s.instances)))
}

// lasting is how long the n-th ejection in a row lasts.
func (e Eject) lasting(n int) time.Duration {
	d := e.For
	for ; n > 1 && d < e.MaxFor; n-- {
		d *= 2
	}
	return min(d, e.MaxFor)
}

// takeBack ends an ejection. The next failure ejects the instance again.
func (s *Set) takeBack(i *Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || i.removed {
		return
	}
	i.ejection.until, i.ejection.back = time.Time{}, time.Now()
	i.failures.Store(int32(s.eject.Failures) - 1)
	s.rebuild()
	s.log.Info("ejected instance is used again", "instance", i.name)
}
