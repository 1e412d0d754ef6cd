package upstream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parallax"
)

// maxChecks bounds the health checks of a leg that are under way at a time.
const maxChecks = 16

// Health says how instances are asked how they are. Without a path they are not.
type Health struct {
	Path      string        `yaml:"path" doc:"target of a GET that tells whether an instance is up, such as /healthz; empty: instances are not checked"`
	Interval  time.Duration `yaml:"interval" doc:"time between two checks of an instance, give or take a tenth"`
	Timeout   time.Duration `yaml:"timeout" doc:"how long the head of an answer may take"`
	Healthy   int           `yaml:"healthy" doc:"good checks in a row that bring an instance back"`
	Unhealthy int           `yaml:"unhealthy" doc:"bad checks in a row that take an instance out"`
	Status    string        `yaml:"status" doc:"statuses that are good, such as 200 or 200-299,404"`
}

// DefaultHealth is the health block where it is silent.
func DefaultHealth() Health {
	return Health{Interval: 5 * time.Second, Timeout: 2 * time.Second, Healthy: 2, Unhealthy: 3, Status: "200-399"}
}

// Validate returns everything that is wrong with the block.
func (h Health) Validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, hint, format string, args ...any) {
		faults = append(faults, parallax.Fault{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	if h.Path != "" && (h.Path[0] != '/' || strings.ContainsFunc(h.Path, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' })) {
		fault("path", "write it like /healthz", "%q cannot be the target of a request", h.Path)
	}
	if h.Interval < 10*time.Millisecond {
		fault("interval", "write a duration such as 5s", "a check every %s", h.Interval)
	}
	if h.Timeout <= 0 {
		fault("timeout", "write a duration such as 2s", "a timeout of %s", h.Timeout)
	}
	if h.Healthy < 1 {
		fault("healthy", "write a number such as 2", "%d good checks", h.Healthy)
	}
	if h.Unhealthy < 1 {
		fault("unhealthy", "write a number such as 3", "%d bad checks", h.Unhealthy)
	}
	if _, err := statuses(h.Status); err != nil {
		fault("status", "write statuses and ranges of them, such as 200-299,404", "%v", err)
	}
	return faults
}

// Good reports whether a status says that an instance is up.
func (h Health) Good(status int) bool {
	ranges, _ := statuses(h.Status)
	for _, r := range ranges {
		if r[0] <= status && status <= r[1] {
			return true
		}
	}
	return false
}

// statuses reads statuses and ranges of them.
func statuses(text string) ([][2]int, error) {
	var out [][2]int
	for part := range strings.SplitSeq(text, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			to = from
		}
		low, err1 := strconv.Atoi(from)
		high, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || low < 200 || high > 599 || low > high {
			return nil, fmt.Errorf("cannot read %q as statuses", text)
		}
		out = append(out, [2]int{low, high})
	}
	return out, nil
}

// beginChecks begins to check an instance's health. The set's lock is held.
func (s *Set) beginChecks(i *Instance) {
	if s.check == nil {
		return
	}
	ctx, stop := context.WithCancel(s.running)
	i.stop = stop
	s.work.Go(func() { s.checkHealth(ctx, i) })
}

func (s *Set) checkHealth(ctx context.Context, i *Instance) {
	for {
		select {
		case s.checks <- struct{}{}:
		case <-ctx.Done():
			return
		}
		asking, end := context.WithTimeout(ctx, s.health.Timeout)
		err := s.check(asking, i)
		end()
		<-s.checks
		if ctx.Err() != nil {
			return
		}
		s.checked(i, err)
		if !sleep(ctx, jittered(s.health.Interval)) {
			return
		}
	}
}

// checked takes the result of a check.
func (s *Set) checked(i *Instance, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	good, healthy := err == nil, i.unhealthy == ""
	if s.closed || i.removed {
		return
	}
	if good == healthy {
		i.streak = 0
		if !good {
			i.unhealthy = err.Error()
		}
		return
	}
	i.streak++
	switch {
	case good && i.streak >= s.health.Healthy:
		i.unhealthy, i.streak = "", 0
		i.failures.Store(0)
		s.rebuild()
		s.log.Info("instance is healthy", "instance", i.name)
	case !good && i.streak >= s.health.Unhealthy:
		i.unhealthy, i.streak = err.Error(), 0
		s.rebuild()
		s.log.Warn("instance is not healthy", "instance", i.name, "error", err)
	}
}
