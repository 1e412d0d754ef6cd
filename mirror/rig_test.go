package mirror_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a mirror between a caller and backends, started and stopped.
type rig struct {
	t      testing.TB
	URL    string
	Addr   string
	Client *http.Client
	Mirror *mirror.Mirror
	Ledger *mirrortest.Ledger
	Queue  *mirror.MemQueue
	Budget *mirror.Budget
	Stop   func() // ends Serve and waits for it
}

var keys = mirror.Keys{User: []byte("user key of the tests"), Fleet: []byte("fleet key of the tests")}

// at returns a leg at one backend.
func at(url string, state mirror.State) mirror.LegConfig {
	return mirror.LegConfig{URLs: mirror.LegURLs(url), State: state, Outbound: mirror.OutboundContained, Jobs: mirror.JobsOff}
}

// pair is a service with two legs, unsafe requests allowed where state permits.
func pair(primary, candidate string, state mirror.State) mirror.Service {
	o := mirror.DefaultOptions()
	o.Unsafe = mirror.UnsafeAllowed
	return mirror.Service{
		Name: "shop", Mirror: o, Endpoints: []string{"GET /orders/{id}", "POST /orders"},
		Primary: at(primary, ""), Candidate: at(candidate, state),
	}
}

func start(t testing.TB, cfg mirror.Service, change ...func(*mirror.Deps)) *rig {
	t.Helper()
	r := &rig{t: t, Ledger: mirrortest.NewLedger(), Queue: mirror.NewMemQueue(1<<16, 1<<30), Budget: mirror.NewBudget(mirror.DefaultBudget)}
	deps := mirror.Deps{
		Queue: r.Queue, Ledger: r.Ledger, Budget: r.Budget, Keys: keys,
		Now: time.Now, NewID: parallax.NewIDSource(time.Now, rand.Reader),
	}
	for _, c := range change {
		c(&deps)
	}
	m, faults := mirror.New(cfg, deps)
	if len(faults) > 0 {
		t.Fatalf("mirror.New: %v", faults)
	}
	r.Mirror = m
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot listen: %v", err)
	}
	r.Addr, r.URL = l.Addr().String(), "http://"+l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, l) }()
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256}
	r.Client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	stopped := false
	r.Stop = func() {
		if stopped {
			return
		}
		stopped = true
		transport.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		for _, err := range r.Ledger.Check() {
			t.Errorf("accounting: %v", err)
		}
		if n := r.Budget.InUse(); n != 0 {
			t.Errorf("%d bytes of the budget are still reserved", n)
		}
	}
	t.Cleanup(r.Stop)
	return r
}

// do sends a request and returns the answer with its body read.
func (r *rig) do(method, target, body string, headers ...string) (*http.Response, string) {
	r.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.URL+target, reader)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	res, err := r.Client.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatalf("%s %s: cannot read the answer: %v", method, target, err)
	}
	return res, string(got)
}

// raw sends bytes as they are and returns a reader of what comes back.
func (r *rig) raw(text string) (*bufio.Reader, net.Conn) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.Addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		r.t.Fatal(err)
	}
	return bufio.NewReader(conn), conn
}

// next returns the next exchange of the queue.
func (r *rig) next() *parallax.Exchange {
	r.t.Helper()
	xs, err := r.Queue.Receive(r.t.Context(), 1)
	if err != nil {
		r.t.Fatalf("no exchange: %v", err)
	}
	if err := r.Queue.Ack(r.t.Context(), xs[0].ID); err != nil {
		r.t.Fatal(err)
	}
	return xs[0]
}

// atShadows waits until no exchange is with the live leg, which callers do not
// wait for, and only n are with shadows, and returns the places.
func (r *rig) atShadows(n int) map[parallax.Place]int {
	r.t.Helper()
	err := r.Ledger.Wait(r.t.Context(), func(places map[parallax.Place]int) bool {
		return places[parallax.InLive] == 0 && places[parallax.InShadow] == n
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.Ledger.Places()
}

// settled waits until no exchange is with a leg and returns the places.
func (r *rig) settled(n int) map[parallax.Place]int {
	r.t.Helper()
	err := r.Ledger.Wait(r.t.Context(), func(places map[parallax.Place]int) bool {
		total := 0
		for _, c := range places {
			total += c
		}
		return total >= n && mirrortest.Settled(places)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return r.Ledger.Places()
}

// dealtWith waits until workers have taken what is in the queue, or on its way to it.
func (r *rig) dealtWith() {
	r.t.Helper()
	err := r.Ledger.Wait(r.t.Context(), func(places map[parallax.Place]int) bool {
		return places[parallax.InQueue] == 0 && places[parallax.InWorker] == 0
	})
	if err != nil {
		r.t.Fatal(err)
	}
}
