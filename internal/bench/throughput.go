//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// subject is what throughput is measured of.
type subject struct {
	*proxy
	parallax *parallax // nil: it is something else
	profiles string    // folder
	samples  [len(kinds)][]sample
}

// sample is what one run of wrk showed.
type sample struct {
	rate       float64 // requests a second
	p50, p99   float64 // milliseconds
	cpu        float64 // microseconds of the serving processes per request
	helperCPU  float64 // the same of processes beside them: the engine
	errors     float64
	kept       kept
	drainedFor float64 // seconds that comparing went on after the run
}

// Names of subjects that ratios are taken to.
const (
	nginxMirror = "nginx-mirror"
	theProduct  = "Parallax"
)

// throughputInFlight is mirror.in_flight where throughput is measured: callers
// never wait for a shadow, so more requests than callers are under way.
const throughputInFlight = 4096

func throughput(ctx context.Context, o options, out io.Writer) (err error) {
	l, err := newLab()
	if err != nil {
		return err
	}
	defer l.closeInto(&err)
	subjects, err := startSubjects(ctx, l, o)
	if err != nil {
		return err
	}
	w, err := newWrk(l, o.connections)
	if err != nil {
		return err
	}
	for round := range o.rounds + 1 { // the first one warms up and is not kept
		span := o.duration
		if round == 0 {
			span = o.warmup
		}
		for turn := range subjects {
			s := subjects[(turn+round)%len(subjects)]
			for i, k := range kinds {
				o.progress("throughput, %s, %s: %s", roundName(round, o.rounds), k.title, s.name)
				got, err := s.measure(ctx, w, k, span)
				if err != nil {
					return err
				}
				if round > 0 {
					s.samples[i] = append(s.samples[i], got)
				}
			}
		}
	}
	printThroughput(out, subjects, o)
	return nil
}

func roundName(round, rounds int) string {
	if round == 0 {
		return "warming up"
	}
	return fmt.Sprintf("round %d of %d", round, rounds)
}

// startSubjects starts everything that is measured, in front of the same two
// backends.
func startSubjects(ctx context.Context, l *lab, o options) ([]*subject, error) {
	legs, err := startLegs(l, answers)
	if err != nil {
		return nil, err
	}
	list := []*subject{{proxy: legs.primary}}
	primary, candidate := legs.primary.address, legs.candidate.address
	haproxy, err := startHAProxy(ctx, l, primary)
	if err != nil {
		return nil, err
	}
	list = append(list, &subject{proxy: haproxy})
	for _, mirror := range []bool{false, true} {
		nginx, err := startNginx(ctx, l, primary, candidate, mirror)
		if err != nil {
			return nil, err
		}
		list = append(list, &subject{proxy: nginx})
	}
	for i, binary := range o.binaries {
		name := theProduct
		if i > 0 {
			name = binary
		}
		p, err := startParallax(ctx, l, binary, name, primary, candidate, mirrorOptions{inFlight: throughputInFlight})
		if err != nil {
			return nil, err
		}
		list = append(list, &subject{proxy: &p.proxy, parallax: p, profiles: o.profiles})
	}
	return list, nil
}

// settleWithin is how long a subject may go on working in the background, as
// the engine does when it merges what was written, before the next is measured.
const settleWithin = 20 * time.Second

// measure runs wrk against the subject. The processor time counts until the
// last exchange is compared and stored.
func (s *subject) measure(ctx context.Context, w wrk, k kind, span time.Duration) (sample, error) {
	var before, after accounting
	var err error
	if s.parallax != nil {
		if before, err = s.parallax.accounting(ctx); err != nil {
			return sample{}, s.failure(err)
		}
	}
	serving, helping, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	profiled := s.profile(ctx, k, span)
	r, err := w.run(ctx, s.address, k, span)
	if err := errors.Join(err, <-profiled); err != nil {
		return sample{}, s.failure(err)
	}
	got := sample{
		rate: float64(r.Requests) / r.Duration * 1e6, p50: r.P50 / 1e3, p99: r.P99 / 1e3, errors: float64(r.Errors),
	}
	if s.parallax != nil {
		took, err := s.parallax.drained(ctx)
		if err != nil {
			return sample{}, err
		}
		got.drainedFor = took.Seconds()
	}
	servingAfter, helpingAfter, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	if s.parallax != nil {
		if after, err = s.parallax.accounting(ctx); err != nil {
			return sample{}, s.failure(err)
		}
		if after.compared() == before.compared() {
			return sample{}, s.failure(errNothingCompared)
		}
		got.kept = after.since(before)
	}
	got.cpu = perRequest(servingAfter-serving, r.Requests)
	got.helperCPU = perRequest(helpingAfter-helping, r.Requests)
	return got, s.quiet(ctx, settleWithin)
}

// profile writes a profile of the time from now on where that is asked for. The
// last round's stays.
func (s *subject) profile(ctx context.Context, k kind, span time.Duration) <-chan error {
	done := make(chan error, 1)
	if s.parallax == nil || s.parallax.profiles == "" {
		done <- nil
		return done
	}
	go func() { done <- s.parallax.profile(ctx, span, filepath.Join(s.profiles, k.method+".pprof")) }()
	return done
}

// perRequest returns microseconds.
func perRequest(used time.Duration, requests int64) float64 {
	return float64(used) / float64(time.Microsecond) / float64(requests)
}

// Figures of a sample.
func rateOf(s sample) float64 { return s.rate }
func p50Of(s sample) float64  { return s.p50 }
func p99Of(s sample) float64  { return s.p99 }
func cpuOf(s sample) float64  { return s.cpu }

// throughputWanted is what Parallax must reach, as ratios to nginx's mirror.
var throughputWanted = [len(kinds)]struct{ rate, p99, cpu float64 }{{1.5, 1, 0.7}, {1.3, 1, 0.7}}

func printThroughput(out io.Writer, subjects []*subject, o options) {
	for i, k := range kinds {
		fmt.Fprintf(out, "\n## %s, %d keep-alive connections, medians of %d rounds of %v\n\n", k.title, o.connections, o.rounds, o.duration)
		t := newTable("", "requests/s", "to nginx-mirror", "p50 ms", "p99 ms", "CPU us/request", "to nginx-mirror", "errors")
		base := find(subjects, nginxMirror).samples[i]
		for _, s := range subjects {
			own := s.samples[i]
			t.add(s.name, figure(medianOf(own, rateOf)), times(medianRatio(own, base, rateOf)),
				figure(medianOf(own, p50Of)), figure(medianOf(own, p99Of)),
				figure(medianOf(own, cpuOf)), times(medianRatio(own, base, cpuOf)),
				count(medianOf(own, func(s sample) float64 { return s.errors })))
		}
		fmt.Fprint(out, t, "\n")
		for _, s := range subjects {
			if s.parallax != nil {
				printKept(out, s, i)
			}
		}
		product := find(subjects, theProduct).samples[i]
		want := throughputWanted[i]
		wanted(out, "requests/s to nginx-mirror", medianRatio(product, base, rateOf), want.rate, atLeast)
		wanted(out, "p99 to nginx-mirror", medianRatio(product, base, p99Of), want.p99, atMost)
		wanted(out, "CPU per request to nginx-mirror", medianRatio(product, base, cpuOf), want.cpu, atMost)
		wanted(out, "lost share, percent", 100*medianOf(product, func(s sample) float64 { return s.kept.lost }), 1, atMost)
	}
}

func printKept(out io.Writer, s *subject, i int) {
	own := s.samples[i]
	fmt.Fprintf(out, "%s: unmirrored %s, lost %s, engine %s us of CPU a request, all compared and stored %s s after the run.",
		s.name,
		percent(medianOf(own, func(s sample) float64 { return s.kept.unmirrored })),
		percent(medianOf(own, func(s sample) float64 { return s.kept.lost })),
		figure(medianOf(own, func(s sample) float64 { return s.helperCPU })),
		figure(medianOf(own, func(s sample) float64 { return s.drainedFor })))
	if why := own[len(own)-1].kept.why; why != "" {
		fmt.Fprintf(out, " Reasons in the last round: %s.", why)
	}
	fmt.Fprint(out, "\n\n")
}

func find(subjects []*subject, name string) *subject {
	for _, s := range subjects {
		if s.name == name {
			return s
		}
	}
	return &subject{}
}
