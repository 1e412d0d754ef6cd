//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == backendVerb {
		fmt.Fprintln(os.Stderr, runBackend(os.Args[2], os.Stdout))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run measures what args ask for. It returns the exit code: 0 when all was
// measured, whatever the figures are.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err == nil:
		err = o.run(ctx, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

// options are what the flags say.
type options struct {
	parts       []string
	rounds      int
	duration    time.Duration
	warmup      time.Duration
	connections int
	inFlight    int
	binaries    []string // of parallax; the first is measured everywhere, the others for throughput
	profiles    string   // folder for profiles of throughput; empty: none
	stderr      io.Writer
	started     time.Time
}

// part measures something and prints it.
type part func(context.Context, options, io.Writer) error

// parts are what can be measured, in the order in which it is.
var parts = []struct {
	name string
	run  part
}{
	{"throughput", throughput},
	{"faults", faults},
	{"connections", connections},
	{"uploads", uploads},
	{"deploys", deploys},
}

func partNames() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{stderr: stderr, started: time.Now()}
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	list := set.String("part", strings.Join(partNames(), ","), "what to measure, `NAMES` with commas between them")
	set.IntVar(&o.rounds, "rounds", 3, "how often each subject is measured")
	set.DurationVar(&o.duration, "duration", 5*time.Second, "how long one measurement takes")
	set.DurationVar(&o.warmup, "warmup", 2*time.Second, "how long a subject is warmed up")
	set.IntVar(&o.connections, "connections", 64, "keep-alive connections where throughput is measured")
	set.IntVar(&o.inFlight, "in-flight", 0, "mirror.in_flight under faults and many connections; 0: Parallax' default")
	binary := set.String("parallax", "", "binary to measure, and after commas others to compare its throughput with; empty: build it")
	set.StringVar(&o.profiles, "profile", "", "`FOLDER` to write CPU profiles of Parallax to, one for each table of throughput")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	o.parts = strings.Split(*list, ",")
	for _, name := range o.parts {
		if !slices.Contains(partNames(), name) {
			return o, fmt.Errorf("cannot measure %q: write one of %s", name, strings.Join(partNames(), ", "))
		}
	}
	if *binary != "" && o.profiles != "" {
		return o, errors.New("cannot profile a binary that was built elsewhere: leave out -parallax")
	}
	if *binary != "" {
		o.binaries = strings.Split(*binary, ",")
	}
	if set.NArg() > 0 || o.rounds < 1 || o.duration < time.Second || o.warmup < time.Second || o.connections < 2 {
		return o, errors.New("rounds must be at least 1, duration and warmup a second, connections 2, and no argument may follow the flags")
	}
	return o, nil
}

// run measures the parts and prints their tables as they come.
func (o options) run(ctx context.Context, out io.Writer) (err error) {
	if err := installed("wrk", "nginx", "haproxy"); err != nil {
		return err
	}
	if err := raiseLimit(); err != nil {
		return err
	}
	l, err := newLab()
	if err != nil {
		return err
	}
	defer l.closeInto(&err)
	if len(o.binaries) == 0 {
		if o.binaries, err = build(ctx, l, o.profiles != ""); err != nil {
			return err
		}
	}
	for i, path := range o.binaries { // programs are started from other folders
		if o.binaries[i], err = filepath.Abs(path); err != nil {
			return err
		}
	}
	for _, p := range parts {
		if !slices.Contains(o.parts, p.name) {
			continue
		}
		if err := o.runPart(ctx, p.run, out); err != nil {
			return fmt.Errorf("cannot measure %s: %w", p.name, err)
		}
	}
	return nil
}

// runPart runs a part and says how much of the machine was not its own.
func (o options) runPart(ctx context.Context, run part, out io.Writer) error {
	before, err := lookAtMachine()
	if err != nil {
		return err
	}
	if err := run(ctx, o, out); err != nil {
		return err
	}
	after, err := lookAtMachine()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nMeanwhile other programs used %s of the %d processors.\n", percent(after.others(before)), runtime.NumCPU())
	return nil
}

func installed(programs ...string) error {
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is missing: run make bench-mirror, which installs it", name)
		}
	}
	return nil
}

// everyoneAsks is how long each of many callers needs to have asked once.
func (o options) everyoneAsks() time.Duration { return manyConnections / manyRate * time.Second }

// progress says on stderr what is measured now.
func (o options) progress(format string, args ...any) {
	fmt.Fprintf(o.stderr, "%6s  %s\n", time.Since(o.started).Round(time.Second), fmt.Sprintf(format, args...))
}

// closeInto closes the lab and adds what went wrong to *err.
func (l *lab) closeInto(err *error) { *err = errors.Join(*err, l.Close()) }
