// Package demo compares two releases of a real service, here and now: it
// installs them, puts a whole Parallax in front, drives every endpoint, and
// tells what it found. It sees Parallax as users do, over HTTP; starting it is
// the caller's part.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"parallax/divergence"
	"parallax/reports"
)

// Options are what a user may choose.
type Options struct {
	For    time.Duration // how long requests are sent
	Exit   bool          // end then, instead of leaving the page open
	JSON   bool          // one JSON document on Stdout; what goes on is on Stderr
	Rate   float64       // requests a second
	Dir    string        // where data is kept; empty: a temporary folder, removed at the end
	Listen string        // address of the page; empty: the usual one, or a free port
	NoOpen bool          // do not open the page in a browser
}

// check says what is wrong with the options.
func (o Options) check() error {
	switch {
	case o.For <= 0:
		return fmt.Errorf("cannot send requests for %v: write a time such as 90s", o.For)
	case !(o.Rate > 0 && o.Rate <= maxRate):
		return fmt.Errorf("cannot send %v requests a second: write a number above 0 and up to %d", o.Rate, maxRate)
	}
	return nil
}

// maxRate is more than the demo's one machine can answer.
const maxRate = 100_000

// Defaults of the options.
const (
	DefaultFor    = 90 * time.Second
	DefaultRate   = 320
	DefaultListen = "127.0.0.1:7070"
)

// World is what the demo has of the outside.
type World struct {
	Getenv         func(string) string
	Stdout, Stderr io.Writer
	Start          Start
}

// Start starts a whole Parallax in this process with the configuration of a
// file, logging to logs, and returns once its listeners accept. The function it
// returns drains and stops it.
type Start func(ctx context.Context, config string, logs io.Writer) (stop func(context.Context) error, err error)

// How long the demo waits for its parts.
const (
	backendPatience = 10 * time.Second
	readyPatience   = 60 * time.Second
	settlePatience  = 2 * time.Minute
	stopPatience    = 20 * time.Second
)

// callers is how many requests the demo has under way at most.
const callers = 64

// Run runs the demo. When ctx ends it stops sending, and tells what it found so
// far. The result is false when what it found about Parallax itself is not as
// promised: a caller saw an error, or an exchange is not accounted for.
func Run(ctx context.Context, o Options, w World) (bool, error) {
	if err := o.check(); err != nil {
		return false, err
	}
	d := &demo{Options: o, World: w, screen: newScreen(w.Stdout)}
	if o.JSON {
		d.screen = newScreen(w.Stderr)
	}
	defer d.close()
	for _, step := range []func(context.Context) error{d.prepare, d.install, d.startBackends, d.startParallax} {
		if err := step(ctx); err != nil {
			return false, err
		}
	}
	d.drive(ctx)
	result, err := d.conclude(ctx)
	if err != nil {
		return false, err
	}
	if err := d.tell(result); err != nil {
		return false, err
	}
	if !o.Exit && ctx.Err() == nil {
		d.screen.printf("\nThe page stays open on %s until you press Ctrl-C.\n", d.url())
		<-ctx.Done()
	}
	return result.Good, nil
}

// demo is a run of the demo.
type demo struct {
	Options
	World
	screen screen

	values   configValues
	config   string // path of demo.yaml
	backends []*Backend
	tally    Tally
	began    time.Time // requests are sent from here
	took     time.Duration

	closers []func() // in the order of their making
}

// close takes down what was built, last first.
func (d *demo) close() {
	for i := len(d.closers) - 1; i >= 0; i-- {
		d.closers[i]()
	}
}

func (d *demo) url() string { return "http://" + d.values.Admin }

// prepare makes the data folder and chooses the addresses.
func (d *demo) prepare(context.Context) error {
	dir, err := d.folder()
	if err != nil {
		return err
	}
	admin, err := d.adminAddress()
	if err != nil {
		return err
	}
	free, err := freePorts(4)
	if err != nil {
		return err
	}
	d.values = configValues{
		Old: Old, New: New, Dir: dir, Endpoints: Corpus(), Admin: admin, Proxy: free[0],
		Primary: "http://" + free[1], Candidate: "http://" + free[2], Secondary: "http://" + free[3],
	}
	d.backends = []*Backend{{Name: "primary", Addr: free[1]}, {Name: "candidate", Addr: free[2]}, {Name: "secondary", Addr: free[3]}}
	d.config, err = d.values.write()
	return err
}

// folder returns the absolute path of an empty folder for the demo's data.
func (d *demo) folder() (string, error) {
	if d.Dir == "" {
		dir, err := os.MkdirTemp("", "parallax-demo-")
		if err != nil {
			return "", fmt.Errorf("cannot make a folder for the demo's data: %w", err)
		}
		d.closers = append(d.closers, func() { _ = os.RemoveAll(dir) })
		return dir, nil
	}
	dir, err := filepath.Abs(d.Dir)
	if err != nil {
		return "", fmt.Errorf("cannot use --dir %q: %w", d.Dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot use --dir %q: %w", d.Dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("cannot use --dir %q: %w", d.Dir, err)
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("cannot use --dir %q: it is not empty, and the counts of two demos would mix; name a new folder", d.Dir)
	}
	return dir, nil
}

// adminAddress returns the address that was asked for, else the usual one, else
// a free one.
func (d *demo) adminAddress() (string, error) {
	if d.Listen != "" {
		return d.Listen, nil
	}
	listener, err := net.Listen("tcp", DefaultListen)
	if err == nil {
		return DefaultListen, listener.Close()
	}
	free, err := freePorts(1)
	if err != nil {
		return "", err
	}
	return free[0], nil
}

// install sees to it that both releases are in the cache.
func (d *demo) install(ctx context.Context) error {
	cache, err := Cache(d.Getenv)
	if err != nil {
		return err
	}
	old, err := d.installOne(ctx, Old, cache)
	if err != nil {
		return err
	}
	candidate, err := d.installOne(ctx, New, cache)
	if err != nil {
		return err
	}
	d.backends[0].Bin, d.backends[1].Bin, d.backends[2].Bin = old, candidate, old
	d.backends[1].Args = []string{"-log-level", "ERROR"} // the old release logs every request and knows no other way
	return nil
}

func (d *demo) installOne(ctx context.Context, r Release, cache string) (string, error) {
	if r.Installed(cache) {
		d.screen.printf("%s is installed in %s\n", r, filepath.Dir(r.binary(cache)))
		return r.binary(cache), nil
	}
	var binary string
	began := time.Now()
	line := func() string {
		return fmt.Sprintf("installing %s with the Go toolchain, once: %.0f s", r, time.Since(began).Seconds())
	}
	err := d.screen.during(line, func() (err error) {
		binary, err = r.Install(ctx, cache)
		return err
	})
	return binary, err
}

// startBackends starts the three instances and waits until all answer.
func (d *demo) startBackends(ctx context.Context) error {
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	for _, b := range d.backends {
		b.Log = filepath.Join(d.values.Dir, b.Name+".log")
		running.Go(func() {
			if err := b.Run(life); err != nil {
				end(err)
			}
		})
	}
	d.closers = append(d.closers, func() {
		end(nil)
		running.Wait()
	})
	wait, cancel := context.WithTimeout(life, backendPatience)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	for _, b := range d.backends {
		if err := b.Ready(wait); err != nil {
			return err
		}
		d.screen.printf("%-9s %s on %s\n", b.Name, filepath.Base(filepath.Dir(b.Bin)), b.URL())
	}
	return nil
}

// startParallax starts Parallax with demo.yaml and waits until it can serve.
func (d *demo) startParallax(ctx context.Context) error {
	logs, err := os.Create(filepath.Join(d.values.Dir, "parallax.log"))
	if err != nil {
		return fmt.Errorf("cannot make Parallax's log: %w", err)
	}
	d.closers = append(d.closers, func() { _ = logs.Close() })
	stop, err := d.Start(context.WithoutCancel(ctx), d.config, logs)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
		defer cancel()
		if err := stop(ctx); err != nil {
			_, _ = fmt.Fprintf(d.Stderr, "parallax: %v\n", err)
		}
	})
	wait, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	if err := newAPI(d.url()).ready(wait); err != nil {
		return fmt.Errorf("%w (its log is %s)", err, logs.Name())
	}
	d.screen.printf("parallax  in front on http://%s, configured by %s\n", d.values.Proxy, d.config)
	d.screen.printf("page      %s\n\n", d.url())
	d.open()
	return nil
}

// open shows the page in a browser where there is a display to show it on.
func (d *demo) open() {
	if d.NoOpen || !d.screen.terminal || (d.Getenv("DISPLAY") == "" && d.Getenv("WAYLAND_DISPLAY") == "") {
		return
	}
	cmd := exec.Command("xdg-open", d.url())
	if cmd.Start() == nil { // without xdg-open the address on the screen has to do
		_ = cmd.Process.Release()
	}
}

// drive sends the corpus and shows how it goes.
func (d *demo) drive(ctx context.Context) {
	transport := NewTransport(callers)
	defer transport.CloseIdleConnections()
	driver := Driver{
		Base: "http://" + d.values.Proxy, Rate: d.Rate, Bound: callers,
		Next: NewDeck(d.values.Endpoints).Next, Tally: &d.tally, HTTP: transport,
	}
	d.began = time.Now()
	_ = d.screen.during(d.line, func() error {
		driver.Run(ctx, d.For)
		return nil
	})
	d.took = time.Since(d.began)
}

// line says how far the driving is.
func (d *demo) line() string {
	passed := min(time.Since(d.began), d.For)
	seen := d.tally.Callers()
	return fmt.Sprintf("%s %3.0f of %.0f s  %s requests, %s errors, p50 %.1f ms, p99 %.1f ms",
		bar(passed.Seconds()/d.For.Seconds(), 16), passed.Seconds(), d.For.Seconds(),
		thousands(seen.Sent), thousands(seen.Errors), seen.P50*1e3, seen.P99*1e3)
}

// judged is how long after the last exchange a verdict has taken it into
// account: the counts are flushed and the judge looks once a second each.
const judged = 3 * time.Second

// conclude waits until every exchange is where it ends and the verdict knows of
// it, and collects what was found. It does so too when ctx ended before, but
// then does not take long.
func (d *demo) conclude(ctx context.Context) (result Result, err error) {
	patience := settlePatience
	if ctx.Err() != nil {
		ctx, patience = context.WithoutCancel(ctx), stopPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	line := func() string {
		return fmt.Sprintf("waiting until the last exchanges are compared and judged: %.0f s", time.Since(began).Seconds())
	}
	err = d.screen.during(line, func() (err error) {
		result, err = d.collect(ctx, newAPI(d.url()))
		return err
	})
	if err != nil {
		return Result{}, fmt.Errorf("cannot tell what was found: %w", err)
	}
	return result, nil
}

func (d *demo) collect(ctx context.Context, client api) (Result, error) {
	if _, err := until(ctx, client.reportSince(d.began), d.settled); err != nil {
		return Result{}, err
	}
	at := time.Now()
	verdict, err := until(ctx, client.verdict, func(v reports.Verdict) bool { return v.AsOf.After(at.Add(judged)) })
	if err != nil {
		return Result{}, err
	}
	report, err := until(ctx, client.reportSince(d.began), d.settled) // again, with the endpoints' final verdicts
	if err != nil {
		return Result{}, err
	}
	issues, err := until(ctx, client.issuesSince(d.began), func([]divergence.Issue) bool { return true })
	if err != nil {
		return Result{}, err
	}
	return d.result(report, issues, verdict), nil
}

// settled says that a report accounts for every request that was sent, and that
// nothing is in flight.
func (d *demo) settled(r reports.Report) bool {
	return r.Accounting.InFlight == 0 && r.Accounting.Received >= d.tally.Sent.Load()
}

// until asks until the answer is good enough. When that takes too long, the last
// answer has to do; without any, the last failure is the error.
func until[T any](ctx context.Context, ask func(context.Context) (T, error), enough func(T) bool) (T, error) {
	var last T
	failure := errors.New("nothing was asked yet")
	for {
		answer, err := ask(ctx)
		switch {
		case err == nil && enough(answer):
			return answer, nil
		case err == nil:
			last, failure = answer, nil
		case failure != nil:
			failure = err
		}
		select {
		case <-ctx.Done():
			return last, failure
		case <-time.After(250 * time.Millisecond):
		}
	}
}
