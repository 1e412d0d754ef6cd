package egress_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare"
	"parallax/compare/effects/egress"
)

// TestRecordedAnswers gives a shadow what the live leg was answered.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	pay, asked := outside(t)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Answer, c.Wait, c.Allow = egress.AnswerRecorded, 300*time.Millisecond, []egress.Allow{{Host: hostport(pay, "127.0.0.1"), LiveOnly: true, As: "payments"}}
	})
	live, shadow := r.client("primary", nil), r.client("candidate", nil)
	for n := range 2 {
		if _, text := do(t, live, "POST", pay.URL+"/pay", "7", "Baggage", "live"); text != fmt.Sprint("answer ", n+1) {
			t.Fatalf("the live leg got %q", text)
		}
	}
	f := func(status int, want, path string, header ...string) {
		t.Helper()
		if got, text := do(t, shadow, "POST", pay.URL+path, "7", header...); got != status || !strings.Contains(text, want) {
			t.Errorf("%s %q: %d %q, want %d %q", path, header, got, text, status, want)
		}
	}
	f(202, "answer 1", "/pay", "Baggage", "shadow")
	f(202, "answer 2", "/pay", "Baggage", "shadow")
	f(504, "no such call", "/pay", "Baggage", "shadow")
	f(504, "no such call", "/pay?twice", "Baggage", "shadow")
	f(403, "for which exchange", "/pay")
	if len(*asked) != 2 {
		t.Errorf("outside was asked %q", *asked)
	}
	p, c := r.logs[parallax.Primary].take(t, 0), r.logs[parallax.Candidate].take(t, 0)
	if d := cmp.Diff(p.Changes, c.Changes); d != "" || columns(c.Changes[0].After)["status"] != "202" {
		t.Errorf("the two calls differ (-live +shadow):\n%s", d)
	}
}

// TestEachShadowHasTheAnswers: what one shadow was answered is there for another one too.
func TestEachShadowHasTheAnswers(t *testing.T) {
	t.Parallel()
	pay, _ := outside(t)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Answer, c.Wait, c.Allow = egress.AnswerRecorded, 50*time.Millisecond, []egress.Allow{{Host: hostport(pay, "127.0.0.1"), LiveOnly: true}}
	})
	do(t, r.client("primary", nil), "POST", pay.URL+"/pay", "7", "Baggage", "live")
	for _, leg := range []string{"candidate", "secondary"} {
		if status, text := do(t, r.client(leg, nil), "POST", pay.URL+"/pay", "7", "Baggage", "shadow"); status != 202 || text != "answer 1" {
			t.Errorf("the %s got %d %q", leg, status, text)
		}
	}
}

// TestAnswersOfATraceOfManyExchanges: a trace of the caller's may have several exchanges,
// so an answer is not given again by it; one that began with its exchange is that one's.
func TestAnswersOfATraceOfManyExchanges(t *testing.T) {
	t.Parallel()
	pay, _ := outside(t)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Answer, c.Wait, c.Allow = egress.AnswerRecorded, 50*time.Millisecond, []egress.Allow{{Host: hostport(pay, "127.0.0.1"), LiveOnly: true}}
	})
	own := parallax.NewIDSource(time.Now, rand.Reader)()
	for _, c := range []struct {
		trace, want string
		status      int
	}{
		{"4bf92f3577b34da6a3ce929d0e0e4736", "nobody knows for which exchange", 403},
		{hex.EncodeToString(own[:]), "answer 2", 202},
	} {
		trace := "00-" + c.trace + "-00f067aa0ba902b7-01"
		do(t, r.client("primary", nil), "POST", pay.URL+"/pay", "7", "Traceparent", trace)
		if status, text := do(t, r.client("candidate", nil), "POST", pay.URL+"/pay", "7", "Traceparent", trace); status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("trace %s: the shadow got %d %q, want %d %q", c.trace, status, text, c.status, c.want)
		}
	}
}

// TestShadowsWaitForTheLive has the shadow call first.
func TestShadowsWaitForTheLive(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	pay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("X-Stays", "1")
		fmt.Fprint(w, "paid")
	}))
	t.Cleanup(pay.Close)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Answer, c.Wait, c.Allow = egress.AnswerRecorded, 10*time.Second, []egress.Allow{{Host: hostport(pay, "127.0.0.1"), LiveOnly: true}}
	})
	live, shadow := r.client("primary", nil), r.client("candidate", nil)
	lived := make(chan struct{})
	go func() {
		defer close(lived)
		do(t, live, "POST", pay.URL, "7", "X-Parallax-Exchange", exchange.String())
	}()
	<-arrived
	got := make(chan *http.Response)
	go func() {
		defer close(got)
		req, _ := http.NewRequest("POST", pay.URL, strings.NewReader("7"))
		req.Header.Set("X-Parallax-Exchange", exchange.String())
		if res, err := shadow.Do(req); err == nil {
			got <- res
		}
	}()
	close(release)
	res := <-got
	<-lived
	if res == nil {
		t.Fatal("the shadow got no answer")
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); string(text) != "paid" || err != nil || res.Header.Get("X-Stays") != "1" || res.Header.Get("X-Hop") != "" {
		t.Errorf("the shadow got %q %v, headers %v", text, err, res.Header)
	}
}

// TestAnswersThatCannotBeGivenAgain are too long, or none.
func TestAnswersThatCannotBeGivenAgain(t *testing.T) {
	t.Parallel()
	big := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, strings.Repeat("x", 2000)) }))
	t.Cleanup(big.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Answer, c.MaxBody = egress.AnswerRecorded, 1000
		c.Allow = []egress.Allow{{Host: hostport(big, "127.0.0.1"), LiveOnly: true}, {Host: hostport(gone, "127.0.0.1"), LiveOnly: true}}
	})
	for to, want := range map[string]string{big.URL: "longer than egress.max_body", gone.URL: "there was no answer"} {
		do(t, r.client("primary", nil), "POST", to, "7", "Baggage", "live")
		if status, text := do(t, r.client("candidate", nil), "POST", to, "7", "Baggage", "shadow"); status != 502 || !strings.Contains(text, want) {
			t.Errorf("the shadow got %d %q, want %q", status, text, want)
		}
	}
}

// TestTheDoubleMailIsFound has a candidate that sends a mail twice, and one with another
// amount, and compares what the logs say of the exchange.
func TestTheDoubleMailIsFound(t *testing.T) {
	t.Parallel()
	mail, asked := outside(t)
	r := start(t, func(c *egress.Config, _ *egress.Deps) {
		c.Allow = []egress.Allow{{Host: hostport(mail, "127.0.0.1"), LiveOnly: true, As: "mails"}}
	})
	send := func(user, path, body string) {
		do(t, r.client(user, nil), "POST", mail.URL+path, body, "X-Parallax-Exchange", exchange.String(), "Content-Type", "application/json")
	}
	send("primary", "/send", `{"to":"ann","total":10.00}`)
	send("primary", "/receipt", `{"to":"bob","total":10.00}`)
	send("candidate", "/send", `{"total":10.0,"to":"ann"}`)
	send("candidate", "/send", `{"total":10.0,"to":"ann"}`)
	send("candidate", "/receipt", `{"total":9.99,"to":"bob"}`)
	x := parallax.Exchange{ID: exchange, Endpoint: "POST /orders"}
	for leg, calls := range map[parallax.Leg]int{parallax.Primary: 2, parallax.Candidate: 3} {
		call := &parallax.Call{Response: parallax.Response{Status: 201}, First: 1, Done: 2}
		for n := range calls {
			for _, change := range r.logs[leg].take(t, n).Changes {
				call.Effects = append(call.Effects, parallax.Effect{Table: change.Table, Op: change.Op, After: change.After, Correlation: parallax.ByTag})
			}
		}
		x.Legs[leg] = call
	}
	rules, faults := compare.Compile(nil)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	got := map[string]bool{}
	for _, d := range compare.Compare(&x, compare.Input{Rules: rules, Effects: &compare.Effects{}}).Differences {
		at, _, _ := strings.Cut(d.Path, "[")
		_, column, _ := strings.Cut(d.Path, "] ")
		got[fmt.Sprint(at, " ", column, " ", d.Kind)] = true
	}
	if d := cmp.Diff(map[string]bool{"effects:mails  extra": true, "effects:mails $.body.total changed": true}, got); d != "" {
		t.Errorf("differences (-want +got):\n%s", d)
	}
	if len(*asked) != 2 {
		t.Errorf("outside was asked %q", *asked)
	}
}

// TestLoopsThroughOthers comes back by way of another server.
func TestLoopsThroughOthers(t *testing.T) {
	t.Parallel()
	var r *rig
	inner := make(chan int, 1)
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		status, _ := do(t, r.client("primary", nil), "GET", "http://"+req.Host, "", "Via", req.Header.Get("Via"))
		inner <- status
	}))
	t.Cleanup(back.Close)
	r = start(t, func(c *egress.Config, _ *egress.Deps) { c.Allow = []egress.Allow{{Host: hostport(back, "127.0.0.1")}} })
	do(t, r.client("primary", nil), "GET", back.URL, "")
	if status := <-inner; status != 508 {
		t.Errorf("the second time it got %d", status)
	}
}
