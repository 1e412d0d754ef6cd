//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// load is an open loop: requests go out when they are due, spread over
// connections that are all kept, whether earlier ones were answered or not.
type load struct {
	address     string
	connections int
	rate        float64 // requests a second in all
	warmup      time.Duration
	span        time.Duration // after the warm-up
	request     []byte
	warmedUp    func() error // nil: nothing to do when the measurement begins
}

// outcome is what the callers of a load saw. Latency counts from when a request
// was due, so that what a stalled server makes wait is counted too.
type outcome struct {
	sent, answered int // in the measured span, as all that follows
	errors         int
	p50, p99, max  float64 // milliseconds; NaN when nothing was answered
	rate           float64 // answers a second
	firstError     error
}

// stragglers is how long after the last request was due its answer may come.
const stragglers = 10 * time.Second

// run drives the load.
func (l load) run(ctx context.Context) (outcome, error) {
	callers, err := l.dial(ctx)
	if err != nil {
		return outcome{}, err
	}
	plan := newSchedule(time.Now().Add(100*time.Millisecond), l.rate, l.warmup+l.span)
	from := plan.start.Add(l.warmup)
	var all sync.WaitGroup
	for _, c := range callers {
		c.prepare(plan, len(callers), from)
		all.Go(func() { c.run(ctx) })
	}
	var warmErr error
	if l.warmedUp != nil {
		all.Go(func() {
			sleepUntil(from)
			warmErr = l.warmedUp()
		})
	}
	plan.run(ctx, func(k int, due time.Time) { callers[k%len(callers)].due <- due })
	for _, c := range callers {
		close(c.due)
	}
	all.Wait()
	return summarise(callers, l.span), errors.Join(warmErr, ctx.Err())
}

// dial opens all connections, some at a time.
func (l load) dial(ctx context.Context) ([]*caller, error) {
	callers := make([]*caller, l.connections)
	failures := make([]error, l.connections)
	places := make(chan struct{}, 64)
	var all sync.WaitGroup
	for i := range callers {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			callers[i] = &caller{address: l.address, request: l.request}
			failures[i] = callers[i].dial()
		})
	}
	all.Wait()
	if err := errors.Join(slices.DeleteFunc(failures, func(err error) bool { return err == nil })...); err != nil {
		for _, c := range callers {
			c.hangUp()
		}
		return nil, fmt.Errorf("cannot open %d connections to %s: %w", l.connections, l.address, err)
	}
	return callers, ctx.Err()
}

// caller is one connection of a load.
type caller struct {
	address string
	request []byte
	due     chan time.Time
	from    time.Time // what was due earlier is not counted
	give    time.Time // when the last answer is given up

	conn      net.Conn
	reader    *bufio.Reader
	latencies []time.Duration
	sent      int
	failed    int
	failure   error // the first one
}

func (c *caller) prepare(plan schedule, callers int, from time.Time) {
	c.due = make(chan time.Time, plan.total/callers+1) // holds all of them: the schedule never waits
	c.from, c.give = from, plan.end().Add(stragglers)
}

func (c *caller) dial() error {
	conn, err := (&net.Dialer{Timeout: patience, Deadline: c.give}).Dial("tcp", c.address)
	if err != nil {
		return err
	}
	c.conn, c.reader = conn, bufio.NewReaderSize(conn, 2<<10)
	return nil
}

func (c *caller) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// run sends what is due until nothing more will be.
func (c *caller) run(ctx context.Context) {
	defer c.hangUp()
	for due := range c.due {
		if ctx.Err() != nil {
			return
		}
		err := c.exchange()
		if due.Before(c.from) {
			continue
		}
		c.sent++
		if err == nil {
			c.latencies = append(c.latencies, time.Since(due))
			continue
		}
		c.failed++
		if c.failure == nil {
			c.failure = err
		}
	}
}

// exchange asks once. After a failure the next one opens a new connection.
func (c *caller) exchange() (err error) {
	if time.Now().After(c.give) {
		return errors.New("given up: the server is too far behind")
	}
	if c.conn == nil {
		if err := c.dial(); err != nil {
			return err
		}
	}
	defer func() {
		if err != nil {
			c.hangUp()
		}
	}()
	if err := c.conn.SetDeadline(c.give); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	size, err := io.Copy(io.Discard, resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK || size != answerSize:
		return fmt.Errorf("answered %s with %d bytes", resp.Status, size)
	case resp.Close:
		c.hangUp()
	}
	return nil
}

func summarise(callers []*caller, span time.Duration) outcome {
	var o outcome
	var all []time.Duration
	for _, c := range callers {
		all = append(all, c.latencies...)
		o.sent += c.sent
		o.errors += c.failed
		if o.firstError == nil {
			o.firstError = c.failure
		}
	}
	slices.Sort(all)
	milliseconds := func(q float64) float64 {
		if len(all) == 0 {
			return math.NaN()
		}
		return float64(quantile(all, q)) / float64(time.Millisecond)
	}
	o.answered = len(all)
	o.p50, o.p99, o.max = milliseconds(0.5), milliseconds(0.99), milliseconds(1)
	o.rate = float64(len(all)) / span.Seconds()
	return o
}

// ask returns the bytes of a request.
func ask(method, path string, body []byte) []byte {
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: bench.test\r\n", method, path)
	if len(body) > 0 {
		head += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return append([]byte(head+"\r\n"), body...)
}
