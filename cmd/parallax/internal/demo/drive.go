package demo

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Driver sends requests at a steady rate whether or not earlier ones were
// answered (an open loop), as independent callers do. At most Bound are under
// way; when all are, the next one goes out late and is not skipped.
type Driver struct {
	Base  string  // where Parallax listens: http://127.0.0.1:8080
	Rate  float64 // requests a second
	Bound int
	Next  func() Request // called by one goroutine
	Tally *Tally
	HTTP  http.RoundTripper
}

// NewTransport returns a transport that keeps bound connections, asks for no
// compression of its own, and knows no proxies.
func NewTransport(bound int) *http.Transport {
	return &http.Transport{
		MaxIdleConns:          bound,
		MaxIdleConnsPerHost:   bound,
		DisableCompression:    true,
		ResponseHeaderTimeout: callerPatience,
	}
}

// callerPatience is how long a caller of the demo waits for an answer.
const callerPatience = 30 * time.Second

// due is a request with the time it should have been sent at.
type due struct {
	Request
	at time.Time
}

// grace is how long after its end a run may still send the requests that are
// late.
const grace = 10 * time.Second

// Run sends the requests that are due within length, or until ctx ends, and
// waits for the answers that are still to come.
func (d *Driver) Run(ctx context.Context, length time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, length+grace)
	defer cancel()
	queue := make(chan due)
	var callers sync.WaitGroup
	for range d.Bound {
		callers.Go(func() {
			for next := range queue {
				d.send(next)
			}
		})
	}
	d.schedule(ctx, queue, int(math.Ceil(d.Rate*length.Seconds())))
	close(queue)
	callers.Wait()
}

// schedule offers n requests, the i-th when it is due, which depends on the
// start and i alone.
func (d *Driver) schedule(ctx context.Context, queue chan<- due, n int) {
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range n {
		at := start.Add(time.Duration(float64(i) / d.Rate * float64(time.Second)))
		timer.Reset(time.Until(at))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		select {
		case <-ctx.Done():
			return
		case queue <- due{d.Next(), at}:
		}
	}
}

func (d *Driver) send(next due) {
	d.Tally.Sent.Add(1)
	err := d.ask(next.Request)
	d.Tally.answered(time.Since(next.at), err)
}

// ask sends one request and judges the answer as its caller would. The error
// says what the caller would complain about.
func (d *Driver) ask(r Request) error {
	attempts := 0
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { attempts++ }}
	ctx, cancel := context.WithTimeout(httptrace.WithClientTrace(context.Background(), trace), callerPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, r.Method, d.Base+r.Target, strings.NewReader(r.Body))
	if err != nil {
		return err
	}
	maps.Copy(request.Header, r.Header)
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "parallax-demo")
	}
	response, err := d.HTTP.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return verdictOf(r, response, attempts, err)
}

// verdictOf tells whether a caller has a reason to complain.
func verdictOf(r Request, response *http.Response, attempts int, body error) error {
	switch {
	case body != nil:
		return fmt.Errorf("%s %s: the answer broke off: %w", r.Method, r.Target, body)
	case strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json"):
		return fmt.Errorf("%s %s: Parallax answered instead of the service: %s", r.Method, r.Target, response.Status)
	case !slices.Contains(r.Want, response.StatusCode):
		return fmt.Errorf("%s %s: %s, which is not how the old release answers", r.Method, r.Target, response.Status)
	case attempts > 1: // Go's client asks again by itself when a connection is closed under it
		return fmt.Errorf("%s %s: answered at attempt %d, since connections broke", r.Method, r.Target, attempts)
	}
	return nil
}

// Tally counts what the callers saw. It may be read while it is written.
type Tally struct {
	Sent     atomic.Int64
	Answered atomic.Int64 // as the old release would have
	Errors   atomic.Int64

	mu       sync.Mutex
	examples []string // first errors, at most maxExamples
	latency  histogram
}

const maxExamples = 5

func (t *Tally) answered(took time.Duration, err error) {
	if err == nil {
		t.Answered.Add(1)
	} else {
		t.Errors.Add(1)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.latency.add(took)
	if err != nil && len(t.examples) < maxExamples {
		t.examples = append(t.examples, err.Error())
	}
}

// Callers is a tally at rest.
type Callers struct {
	Sent     int64    `json:"sent"`
	Answered int64    `json:"answered"`
	Errors   int64    `json:"errors"`
	Examples []string `json:"error_examples,omitempty"`
	P50      float64  `json:"p50_seconds"` // from when a request was due to the end of its answer
	P99      float64  `json:"p99_seconds"`
}

// Callers returns what was counted so far.
func (t *Tally) Callers() Callers {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Callers{
		Sent: t.Sent.Load(), Answered: t.Answered.Load(), Errors: t.Errors.Load(),
		Examples: slices.Clone(t.examples),
		P50:      t.latency.quantile(0.50).Seconds(), P99: t.latency.quantile(0.99).Seconds(),
	}
}
