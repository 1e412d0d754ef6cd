//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"syscall"
)

// manyConnections is how many callers are connected at a time, and
// manyRate how often they ask in all.
const (
	manyConnections = 10_000
	manyRate        = 2000
)

// descriptorsWanted is enough for a proxy with manyConnections callers.
const descriptorsWanted = 2*manyConnections - 1000

// raiseLimit lets this process and those it starts open that many files.
func raiseLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	limit.Max = max(limit.Max, descriptorsWanted)
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("cannot raise the limit of open files to %d: %w; run: ulimit -n %d as root", limit.Cur, err, descriptorsWanted)
	}
	return nil
}

func connections(ctx context.Context, o options, out io.Writer) error {
	names := []string{nginxMirror, theProduct}
	trials := make([][]trial, len(names))
	for round := range o.rounds {
		for turn := range names {
			i := (turn + round) % len(names)
			o.progress("connections, %s: %s", roundName(round+1, o.rounds), names[i])
			got, err := tryConnections(ctx, o, names[i])
			if err != nil {
				return fmt.Errorf("%s: %w", names[i], err)
			}
			trials[i] = append(trials[i], got)
		}
	}
	printConnections(out, names, trials, o)
	return nil
}

// tryConnections measures a fresh proxy.
func tryConnections(ctx context.Context, o options, name string) (_ trial, err error) {
	l, err := newLab()
	if err != nil {
		return trial{}, err
	}
	defer l.closeInto(&err)
	legs, err := startLegs(l, answers)
	if err != nil {
		return trial{}, err
	}
	p, product, err := startMirror(ctx, l, o, name, legs)
	if err != nil {
		return trial{}, err
	}
	if err := p.quiet(ctx, settleWithin); err != nil {
		return trial{}, err
	}
	seen, err := p.watch()
	if err != nil {
		return trial{}, err
	}
	got, err := load{
		address: p.address, connections: manyConnections, rate: manyRate,
		warmup: o.warmup, span: max(o.duration, o.everyoneAsks()), request: ask("GET", "/items/1", nil),
	}.run(ctx)
	top := seen()
	if err != nil {
		return trial{}, p.failure(err)
	}
	t := trial{outcome: got, peak: top}
	if product != nil {
		a, err := product.accounting(ctx)
		t.kept = a.since(accounting{})
		return t, err
	}
	return t, nil
}

// startMirror starts one of the mirrors by its name. product is nil when it is
// not Parallax.
func startMirror(ctx context.Context, l *lab, o options, name string, legs legs) (_ *proxy, product *parallax, err error) {
	if name == nginxMirror {
		p, err := startNginx(ctx, l, legs.primary.address, legs.candidate.address, true)
		return p, nil, err
	}
	product, err = startParallax(ctx, l, o.binaries[0], theProduct, legs.primary.address, legs.candidate.address, mirrorOptions{inFlight: o.inFlight})
	if err != nil {
		return nil, nil, err
	}
	return &product.proxy, product, nil
}

// Limits of many connections.
const (
	manyP99     = 10.0 // milliseconds
	manyP99More = 3.0  // milliseconds more than nginx's mirror
	manyMemory  = 300.0
)

func printConnections(out io.Writer, names []string, trials [][]trial, o options) {
	fmt.Fprintf(out, "\n## %d keep-alive connections, %d GETs a second in all, medians of %d rounds\n\n", manyConnections, manyRate, o.rounds)
	t := newTable("", "answers/s", "errors", "p50 ms", "p99 ms", "max ms", "RSS MB", "descriptors", "unmirrored", "lost")
	for i, own := range trials {
		t.add(names[i],
			figure(medianOf(own, answeredRate)), count(medianOf(own, callerErrors)),
			figure(medianOf(own, trialP50)), figure(medianOf(own, trialP99)),
			figure(medianOf(own, func(t trial) float64 { return t.max })), figure(medianOf(own, memory)),
			count(medianOf(own, func(t trial) float64 { return float64(t.descriptors) })),
			percent(medianOf(own, func(t trial) float64 { return t.kept.unmirrored })),
			percent(medianOf(own, func(t trial) float64 { return t.kept.lost })))
	}
	fmt.Fprint(out, t, "\n")
	for i, own := range trials {
		printTroubles(out, names[i], own)
	}
	nginx, product := trials[0], trials[1]
	wanted(out, "errors", medianOf(product, callerErrors), 0, atMost)
	wanted(out, "p99 ms", medianOf(product, trialP99), min(manyP99, medianOf(nginx, trialP99)+manyP99More), atMost)
	wanted(out, "RSS MB", medianOf(product, memory), manyMemory, atMost)
}
