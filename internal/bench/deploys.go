//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"syscall"
	"time"
)

// Deploys under load: how often what happens, and to how many requests.
const (
	deploysSpan        = time.Minute
	deploysRate        = 1000
	deploysConnections = 64
	reloadEvery        = 5 * time.Second
	restartEvery       = 20 * time.Second
)

// deploy is a Parallax that is reloaded and restarted: the process that serves is
// another one after each restart.
type deploy struct {
	*parallax
	pid               int
	reloads, restarts int
}

// deploys measures what callers notice of reloads and restarts.
func deploys(ctx context.Context, o options, out io.Writer) (err error) {
	l, err := newLab()
	if err != nil {
		return err
	}
	defer l.closeInto(&err)
	legs, err := startLegs(l, answers)
	if err != nil {
		return err
	}
	admin, err := freeAddress()
	if err != nil {
		return err
	}
	p, err := startParallax(ctx, l, o.binaries[0], theProduct, legs.primary.address, legs.candidate.address, mirrorOptions{inFlight: o.inFlight, admin: admin})
	if err != nil {
		return err
	}
	d := &deploy{parallax: p, pid: p.cmd.Process.Pid}
	o.progress("deploys: a reload every %v and a restart every %v, for %v", reloadEvery, restartEvery, deploysSpan)
	got, err := load{
		address: p.address, connections: deploysConnections, rate: deploysRate, warmup: o.warmup, span: deploysSpan,
		request: ask("POST", "/items", jsonOf(4<<10)), warmedUp: func() error { return d.again(ctx) },
	}.run(ctx)
	if err != nil {
		return p.failure(err)
	}
	a, err := d.settled(ctx, int64(deploysRate*(o.warmup+deploysSpan).Seconds()))
	if err != nil {
		return p.failure(err)
	}
	d.print(out, got, a)
	return nil
}

// again reloads and restarts until the load is over.
func (d *deploy) again(ctx context.Context) error {
	began := time.Now()
	for k := 1; time.Duration(k)*reloadEvery < deploysSpan; k++ {
		sleepUntil(began.Add(time.Duration(k) * reloadEvery))
		what := d.reload
		if time.Duration(k)*reloadEvery%restartEvery == 0 {
			what = d.restart
		}
		if err := what(ctx); err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	return nil
}

func (d *deploy) reload(ctx context.Context) error {
	d.reloads++
	return postEmpty(ctx, d.admin+"/api/v1/reload")
}

// restart asks for a new process and waits until that one answers.
func (d *deploy) restart(ctx context.Context) error {
	d.restarts++
	before := d.pid
	if err := syscall.Kill(before, syscall.SIGUSR2); err != nil {
		return fmt.Errorf("cannot restart process %d: %w", before, err)
	}
	return until(ctx, func() error {
		var live struct{ PID int }
		err := getJSON(ctx, d.admin+"/livez", &live)
		if d.pid = live.PID; err == nil && d.pid == before {
			err = errors.New("the old process still answers")
		}
		return err
	})
}

// settled waits until every request is accounted for.
func (d *deploy) settled(ctx context.Context, sent int64) (a accounting, err error) {
	return a, until(ctx, func() error {
		if a, err = d.accounting(ctx); err == nil && (a.InFlight > 0 || a.Received < sent) {
			err = fmt.Errorf("%d of %d requests are accounted for, %d in flight", a.Received, sent, a.InFlight)
		}
		return err
	})
}

// until calls ok until it returns nil, the last time after patience.
func until(ctx context.Context, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

func (d *deploy) print(out io.Writer, got outcome, a accounting) {
	kept := a.since(accounting{})
	fmt.Fprintf(out, "\n## Deploys: %d POSTs of 4 KB a second for %v, %d reloads and %d restarts\n\n", deploysRate, deploysSpan, d.reloads, d.restarts)
	t := newTable("sent", "failed", "p50 ms", "p99 ms", "max ms", "received", "compared", "unmirrored", "lost")
	t.add(fmt.Sprint(got.sent), fmt.Sprint(got.errors), figure(got.p50), figure(got.p99), figure(got.max),
		fmt.Sprint(a.Received), fmt.Sprint(a.compared()), percent(kept.unmirrored), percent(kept.lost))
	fmt.Fprint(out, t, "\n")
	if got.firstError != nil {
		fmt.Fprintf(out, "The first error that a caller saw: %v.\n\n", got.firstError)
	}
	if kept.why != "" {
		fmt.Fprintf(out, "Not compared: %s.\n\n", kept.why)
	}
	wanted(out, "deploys: failed requests", float64(got.errors), 0, atMost)
	wanted(out, "deploys: received but not accounted for", math.Abs(float64(a.Received-a.compared()))-float64(a.Received)*(kept.unmirrored+kept.lost), 0.5, atMost)
}
