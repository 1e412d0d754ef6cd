package ui

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunStopsWithALongPollUnderWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, l) }()

	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	type result struct {
		text string
		err  error
	}
	answers := make(chan result, 1)
	go func() {
		answer, err := client.Get("http://" + l.Addr().String() + "/api/v1/services/shop/verdict?wait=50s")
		if err != nil {
			answers <- result{err: err}
			return
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		answers <- result{string(body), err}
	}()
	<-r.judge.waiting
	stop()
	if got := <-answers; got.err != nil || !strings.Contains(got.text, `"verdict":"hold"`) {
		t.Errorf("the long poll got %q, %v", got.text, got.err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestRunSaysWhyItCannotServe(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := newRig(t).Run(t.Context(), l); err == nil || !strings.Contains(err.Error(), "admin server: ") {
		t.Errorf("Run: %v", err)
	}
}

// TestStepOverTheWire is TestStepIsSetAndRolledBack on a real connection, where
// reading the body has a deadline that must not outlive it.
func TestStepOverTheWire(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, l) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for _, body := range []string{`{"step":500,"reason":"a"}`, `{"step":700,"reason":"b"}`} {
		request, err := http.NewRequest("PUT", "http://"+l.Addr().String()+"/api/v1/services/shop/step", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		if err := request.Write(conn); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(reader, request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != 200 {
			t.Errorf("%s: %d, %v", body, answer.StatusCode, err)
		}
		answer.Body.Close()
	}
	if got := r.stepper.State().Step; got != 700 {
		t.Errorf("step %d", got)
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	f := func(says string, cfg Config) {
		t.Helper()
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	store, judge, stepper := newFakeStore(), newFakeJudge(fakeVerdict()), &fakeStepper{}
	f("store and summaries", Config{})
	f(`service "" lacks`, Config{Store: store, Summaries: store, Services: []Service{{}}})
	f(`service "a" lacks`, Config{Store: store, Summaries: store, Services: []Service{{Name: "a", Judge: judge}}})
	f("there twice", Config{Store: store, Summaries: store, Services: []Service{{Name: "a", Judge: judge, Stepper: stepper}, {Name: "a", Judge: judge, Stepper: stepper}}})
}

func TestCollector(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	r := newRig(t, func(c *Config) {
		c.Gatherer = registry
		registry.MustRegister(NewCollector(func() []Service { return c.Services }))
	})
	r.stepper.state.Step, r.mirroring.state.Paused = 2500, true
	answer := r.call("GET", "/metrics", "")
	for _, want := range []string{
		`parallax_step_basis_points{service="shop"} 2500`,
		`parallax_mirroring_tripped{service="shop"} 0`,
		`parallax_missed_writes{leg="candidate",service="shop"} 0`,
		`parallax_tainted{leg="candidate",service="shop"} 0`,
		`parallax_mirroring_paused{service="shop"} 1`,
		`parallax_effects_events_total{database="legacy",leg="primary",outcome="duplicate",service="shop"} 3`,
		`parallax_effects_events_total{database="legacy",leg="primary",outcome="read",service="shop"} 10`,
		`parallax_effects_events_total{database="legacy",leg="candidate",outcome="unlisted",service="shop"} 4`,
		`parallax_effects_events_waiting{database="legacy",leg="candidate",service="shop"} 7`,
		`parallax_effects_events_refused_total{leg="candidate",reason="wrong",service="shop"} 1`,
		`parallax_effects_events_refused_total{leg="candidate",reason="full",service="shop"} 2`,
		`parallax_effects_torn_transactions_total{database="legacy",fault="late",leg="primary",service="shop"} 5`,
		`parallax_effects_torn_transactions_total{database="legacy",fault="incomplete",leg="primary",service="shop"} 6`,
		`parallax_verdict{service="shop",verdict="hold"} 1`,
		`parallax_verdict{service="shop",verdict="promote"} 0`,
		`parallax_verdict{service="shop",verdict="rollback"} 0`,
	} {
		if !strings.Contains(answer.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, answer.Body)
		}
	}
}
