//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// faultsRate is how many POSTs of 4 KB a second the callers send.
const (
	faultsRate        = 2000
	faultsConnections = 64
)

// trouble is a state of the candidate.
type trouble struct {
	name    string
	mode    string // of the backend
	refused bool   // nothing listens
	stopped bool   // SIGSTOP once the connections are warm
}

var healthy = trouble{name: "healthy", mode: answers}

var troubles = []trouble{
	healthy,
	{name: "refused", refused: true},
	{name: "hangs", mode: hangs},
	{name: "stopped", mode: answers, stopped: true},
	{name: "1 s late", mode: answersLate},
	{name: "10 MB answers", mode: answersHuge},
}

// trial is what callers saw of Parallax while its candidate was in a state, and
// what that cost.
type trial struct {
	outcome
	peak
	kept kept
}

func faults(ctx context.Context, o options, out io.Writer) error {
	trials := make([][]trial, len(troubles))
	for round := range o.rounds {
		for turn := range troubles {
			i := (turn + round) % len(troubles)
			o.progress("faults, %s: candidate %s", roundName(round+1, o.rounds), troubles[i].name)
			got, err := tryFault(ctx, o, troubles[i])
			if err != nil {
				return fmt.Errorf("candidate %s: %w", troubles[i].name, err)
			}
			trials[i] = append(trials[i], got)
		}
	}
	printFaults(out, trials, o)
	return nil
}

// tryFault measures a fresh Parallax, so that what it holds is owed to this
// state of the candidate alone.
func tryFault(ctx context.Context, o options, t trouble) (_ trial, err error) {
	l, err := newLab()
	if err != nil {
		return trial{}, err
	}
	defer l.closeInto(&err)
	primary, err := startLeg(l, thePrimary, answers)
	if err != nil {
		return trial{}, err
	}
	address, warmedUp, stop, err := t.start(l)
	if err != nil {
		return trial{}, err
	}
	defer stop()
	p, err := startParallax(ctx, l, o.binaries[0], theProduct, primary.address, address, mirrorOptions{inFlight: o.inFlight})
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
		address: p.address, connections: faultsConnections, rate: faultsRate, warmup: o.warmup, span: o.duration,
		request: ask("POST", "/items", jsonOf(4<<10)), warmedUp: warmedUp,
	}.run(ctx)
	top := seen()
	if err != nil {
		return trial{}, p.failure(err)
	}
	a, err := p.accounting(ctx)
	return trial{outcome: got, peak: top, kept: a.since(accounting{})}, err
}

// start brings up a candidate in this state. warmedUp is called when the
// measurement begins, stop when it is over.
func (t trouble) start(l *lab) (address string, warmedUp func() error, stop func(), err error) {
	if t.refused {
		address, stop, err := refuses()
		return address, nil, stop, err
	}
	leg, err := startLeg(l, theCandidate, t.mode)
	if err != nil {
		return "", nil, nil, err
	}
	if t.stopped {
		warmedUp = func() error { return leg.cmd.Process.Signal(syscall.SIGSTOP) }
	}
	return leg.address, warmedUp, func() {}, nil
}

// refuses returns an address that refuses connections until stop is called: a
// bound port that does not listen, so that nobody else can take it.
func refuses() (address string, stop func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("cannot reserve a port: %w", err)
	}
	stop = func() { _ = syscall.Close(fd) }
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		stop()
		return "", nil, fmt.Errorf("cannot reserve a port: %w", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("cannot reserve a port: %w", err)
	}
	own := name.(*syscall.SockaddrInet4)
	return (&net.TCPAddr{IP: own.Addr[:], Port: own.Port}).String(), stop, nil
}

const megabyte = 1 << 20

// Limits of what a candidate's state may cost callers and the machine.
const (
	faultP50        = 1.15 // to healthy
	faultP99        = 1.5  // to healthy, or
	faultP99More    = 2.0  // milliseconds more than healthy
	faultMemoryMore = 64.0 // MB more than healthy
)

func printFaults(out io.Writer, trials [][]trial, o options) {
	fmt.Fprintf(out, "\n## Open loop, %d POSTs of 4 KB a second, medians of %d rounds of %v\n\n", faultsRate, o.rounds, o.duration.Round(time.Second))
	t := newTable("candidate", "answers/s", "errors", "p50 ms", "to healthy", "p99 ms", "to healthy", "max ms", "RSS MB", "to healthy", "descriptors", "unmirrored", "lost")
	base := trials[0]
	for i, own := range trials {
		t.add(troubles[i].name,
			figure(medianOf(own, answeredRate)), count(medianOf(own, callerErrors)),
			figure(medianOf(own, trialP50)), times(medianRatio(own, base, trialP50)),
			figure(medianOf(own, trialP99)), times(medianRatio(own, base, trialP99)),
			figure(medianOf(own, func(t trial) float64 { return t.max })),
			figure(medianOf(own, memory)), fmt.Sprintf("%+.0f", medianOf(own, memory)-medianOf(base, memory)),
			count(medianOf(own, func(t trial) float64 { return float64(t.descriptors) })),
			percent(medianOf(own, func(t trial) float64 { return t.kept.unmirrored })),
			percent(medianOf(own, func(t trial) float64 { return t.kept.lost })))
	}
	fmt.Fprint(out, t, "\n")
	for i, own := range trials {
		printTroubles(out, "candidate "+troubles[i].name, own)
	}
	for i, own := range trials {
		judgeFault(out, troubles[i].name, own, base)
	}
}

// printTroubles prints why callers got errors and what Parallax did not compare,
// as of the last round.
func printTroubles(out io.Writer, name string, own []trial) {
	last := own[len(own)-1]
	if last.firstError != nil {
		fmt.Fprintf(out, "%s: the first error that a caller saw: %v.\n\n", name, last.firstError)
	}
	if last.kept.why != "" {
		fmt.Fprintf(out, "%s: not compared: %s.\n\n", name, last.kept.why)
	}
}

// judgeFault prints what is wanted of a state of the candidate.
func judgeFault(out io.Writer, name string, own, base []trial) {
	wanted(out, name+": errors", medianOf(own, callerErrors), 0, atMost)
	wanted(out, name+": answers/s", medianOf(own, answeredRate), faultsRate*0.995, atLeast)
	if name == healthy.name {
		return
	}
	wanted(out, name+": p50 to healthy", medianRatio(own, base, trialP50), faultP50, atMost)
	p99 := medianOf(base, trialP99)
	wanted(out, name+": p99 ms", medianOf(own, trialP99), max(faultP99*p99, p99+faultP99More), atMost)
	wanted(out, name+": MB more than healthy", medianOf(own, memory)-medianOf(base, memory), faultMemoryMore, atMost)
}

// Figures of a trial.
func answeredRate(t trial) float64 { return t.rate }
func callerErrors(t trial) float64 { return float64(t.errors) }
func trialP50(t trial) float64     { return t.p50 }
func trialP99(t trial) float64     { return t.p99 }
func memory(t trial) float64       { return float64(t.resident) / megabyte }
