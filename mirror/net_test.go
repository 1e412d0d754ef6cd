package mirror_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/internal/ids"
	"parallax/mirror"
	"parallax/mirror/mirrortest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// caught is a service whose candidate is live for everybody, with a net below it.
func caught(primary, candidate string) mirror.Service {
	cfg := pair(primary, candidate, mirror.None)
	cfg.Net = mirror.Net{Wait: time.Minute, Statuses: []int{500}}
	return cfg
}

// TestCallersOfSafeMethodsSeeNoFailure: whatever a live candidate does before its first byte, the
// caller gets the primary's answer, of the one time that the primary is asked; and it counts
// against the candidate.
func TestCallersOfSafeMethodsSeeNoFailure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		candidate mirrortest.Answer
		kind      parallax.ErrKind
	}{
		"resets":       {mirrortest.Reset, parallax.Reset},
		"hangs":        {mirrortest.Hang, parallax.Timeout},
		"is garbage":   {mirrortest.Garbage, parallax.BadAnswer},
		"answers 500":  {mirrortest.Status(500), parallax.NoError},
		"500, cut off": {mirrortest.Closing([]byte("HTTP/1.1 500 No\r\nContent-Length: 10\r\n\r\nno")), parallax.Reset},
		"500, stalls":  {stalls500, parallax.Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := mirrortest.NewBackend(t, mirrortest.JSON(`{"from":"old"}`))
			candidate := mirrortest.NewBackend(t, c.candidate)
			cfg := caught(primary.URL, candidate.URL)
			if c.kind == parallax.Timeout {
				cfg.Net.Wait = 50 * time.Millisecond
			}
			r := start(t, cfg)
			r.Mirror.Split().SetStep(10_000)
			res, body := r.do("GET", "/orders/7", "")
			if res.StatusCode != 200 || body != `{"from":"old"}` || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("the caller got %s %q", res.Status, body)
			}
			x := r.next()
			call := x.Legs[parallax.Candidate]
			if !x.Covered || x.Live != parallax.Candidate || call.Err.Kind != c.kind || c.kind == parallax.NoError && call.Response.Status != 500 {
				t.Errorf("covered %t, live %s, the candidate's call %+v %d", x.Covered, x.Live, call.Err, call.Response.Status)
			}
			if p := x.Legs[parallax.Primary]; p == nil || p.Response.Status != 200 || primary.Count() != 1 {
				t.Errorf("the primary was asked %d times: %+v", primary.Count(), p)
			}
		})
	}
	t.Run("is not there", func(t *testing.T) {
		t.Parallel()
		primary := mirrortest.NewBackend(t, mirrortest.JSON(`{"from":"old"}`))
		r := start(t, caught(primary.URL, mirrortest.Refused(t)))
		r.Mirror.Split().SetStep(10_000)
		if res, body := r.do("GET", "/orders/7", ""); res.StatusCode != 200 || body != `{"from":"old"}` {
			t.Errorf("the caller got %s %q", res.Status, body)
		}
		if x := r.next(); !x.Covered || x.Legs[parallax.Candidate].Err.Kind != parallax.Refused || primary.Count() != 1 {
			t.Errorf("covered %t, %+v, the primary was asked %d times", x.Covered, x.Legs[parallax.Candidate].Err, primary.Count())
		}
	})
}

// stalls500 sends the head of a failure and a part of its body, and nothing more.
func stalls500(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
	if _, err := fmt.Fprint(conn, "HTTP/1.1 500 No\r\nContent-Length: 10\r\n\r\nno"); err != nil {
		return false
	}
	return mirrortest.Hang(b, conn, r)
}

// TestWhatTheNetLeavesAlone: what the candidate answers for itself.
func TestWhatTheNetLeavesAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method    string
		candidate mirrortest.Answer
		change    func(*mirror.Service)
		status    int
		body      string
	}{
		"a wrong 200":                   {"GET", mirrortest.JSON(`{"from":"new"}`), nil, 200, `{"from":"new"}`},
		"a status that is not listed":   {"GET", mirrortest.Status(502), nil, 502, "status 502\n"},
		"a write to a shared database":  {"POST", mirrortest.Status(500), func(s *mirror.Service) { s.Candidate.State = mirror.Shared }, 500, "status 500\n"},
		"without a net":                 {"GET", mirrortest.Status(500), func(s *mirror.Service) { s.Net = mirror.Net{} }, 500, "status 500\n"},
		"users of the primary":          {"GET", mirrortest.Status(500), func(s *mirror.Service) { s.Split.Key, s.Split.Pin = "ip", map[string]string{"127.0.0.1": "primary"} }, 200, "status 200\n"},
		"a request that looks like one": {"GET", mirrortest.Status(500), func(s *mirror.Service) { s.Endpoints = []string{"GET /orders/{id}/delete"} }, 500, "status 500\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := mirrortest.NewBackend(t, mirrortest.Status(200))
			candidate := mirrortest.NewBackend(t, c.candidate)
			cfg := caught(primary.URL, candidate.URL)
			target := "/orders/7"
			if c.change != nil {
				c.change(&cfg)
			}
			if strings.HasSuffix(cfg.Endpoints[0], "/delete") {
				target += "/delete"
			}
			if c.method == "POST" {
				target = "/orders"
			}
			r := start(t, cfg)
			r.Mirror.Split().SetStep(10_000)
			if res, body := r.do(c.method, target, ""); res.StatusCode != c.status || body != c.body {
				t.Errorf("the caller got %s %q, want %d %q", res.Status, body, c.status, c.body)
			}
		})
	}
}

// TestAnAnswerThatHasBegunIsNotReplaced: its caller has a part of it already.
func TestAnAnswerThatHasBegunIsNotReplaced(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	candidate := mirrortest.NewBackend(t, mirrortest.Lie)
	r := start(t, caught(primary.URL, candidate.URL))
	r.Mirror.Split().SetStep(10_000)
	res, err := r.Client.Get(r.URL + "/orders/7")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text := make([]byte, 100)
	n, _ := res.Body.Read(text)
	if string(text[:n]) != "only this" {
		t.Errorf("the caller got %q", text[:n])
	}
	r.settled(1)
}

// TestTheNetAsksThePrimaryItself where its answer as a shadow is none, or longer than what is
// kept; but not once more where it failed.
func TestTheNetAsksThePrimaryItself(t *testing.T) {
	t.Parallel()
	const long = 100 << 10
	for name, c := range map[string]struct {
		primary mirrortest.Answer
		change  func(*mirror.Service)
		status  int
		length  int
		asked   int
	}{
		"a long answer":    {mirrortest.Sized(long), func(s *mirror.Service) { s.Mirror.MaxBody = 1 << 10 }, 200, long, 2},
		"not mirrored":     {mirrortest.Sized(10), func(s *mirror.Service) { s.Mirror.Sample = 0 }, 200, 10, 1},
		"kept in order":    {mirrortest.Sized(10), func(s *mirror.Service) { s.Mirror.OrderBy = "ip" }, 200, 10, 2},
		"a slow answer":    {slowAside, func(s *mirror.Service) { s.Mirror.Timeout = 500 * time.Millisecond }, 200, 9, 2},
		"it failed":        {mirrortest.Reset, nil, 500, len("status 500\n"), 1},
		"it answers 500":   {mirrortest.Status(500), nil, 500, len("status 500\n"), 1},
		"its breaker":      {mirrortest.Sized(10), func(s *mirror.Service) { s.Primary.MaxRPS = 1e-9 }, 200, 10, 1},
		"no answer either": {mirrortest.Hang, func(s *mirror.Service) { s.Mirror.Timeout = 50 * time.Millisecond }, 500, len("status 500\n"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := mirrortest.NewBackend(t, c.primary)
			candidate := mirrortest.NewBackend(t, mirrortest.Status(500))
			cfg := caught(primary.URL, candidate.URL)
			if c.change != nil {
				c.change(&cfg)
			}
			r := start(t, cfg)
			r.Mirror.Split().SetStep(10_000)
			res, body := r.do("GET", "/orders/7", "")
			if res.StatusCode != c.status || len(body) != c.length {
				t.Errorf("the caller got %s with %d bytes, want %d with %d", res.Status, len(body), c.status, c.length)
			}
			r.settled(1)
			if got := primary.Count(); got > c.asked {
				t.Errorf("the primary was asked %d times, want at most %d", got, c.asked)
			}
		})
	}
}

// slowAside never ends its answers to shadows.
func slowAside(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
	if r.Header.Get("X-Parallax-Role") == "shadow" {
		return mirrortest.StopMidBody(b, conn, r)
	}
	return mirrortest.Raw(mirrortest.Message(200, "only this"))(b, conn, r)
}

// TestHeadIsCaught with the head of the primary's answer, on a connection that goes on.
func TestHeadIsCaught(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.JSON(`{"from":"old"}`))
	candidate := mirrortest.NewBackend(t, mirrortest.Reset)
	r := start(t, caught(primary.URL, candidate.URL))
	r.Mirror.Split().SetStep(10_000)
	reader, _ := r.raw("HEAD /orders/7 HTTP/1.1\r\nHost: x\r\n\r\nGET /orders/8 HTTP/1.1\r\nHost: x\r\n\r\n")
	for _, method := range []string{"HEAD", "GET"} {
		res, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		if res.StatusCode != 200 || res.ContentLength != 14 {
			t.Errorf("%s: %s, length %d", method, res.Status, res.ContentLength)
		}
		if method == "GET" {
			text := make([]byte, 14)
			if n, _ := res.Body.Read(text); string(text[:n]) != `{"from":"old"}` {
				t.Errorf("body %q", text[:n])
			}
		}
		res.Body.Close()
	}
	r.settled(2)
}

// TestAskingAfreshLeavesTheRecordAlone: what the candidate was sent is what the exchange says.
func TestAskingAfreshLeavesTheRecordAlone(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.Sized(4<<10)), mirrortest.NewBackend(t, mirrortest.Status(500))
	cfg := caught(primary.URL, candidate.URL)
	cfg.Mirror.MaxBody = 1 << 10
	r := start(t, cfg)
	r.Mirror.Split().SetStep(10_000)
	r.do("GET", "/orders/7", "")
	for _, h := range r.next().Legs[parallax.Candidate].Request.Headers {
		if want := candidate.Seen()[0].Header.Get(h.Name); h.Value != want {
			t.Errorf("the exchange says %s: %s, the candidate was sent %q", h.Name, h.Value, want)
		}
	}
}

// TestTheNetAsksByThePrimarysNames: callers know the candidate's identifiers, and the primary may call
// another thing by them.
func TestTheNetAsksByThePrimarysNames(t *testing.T) {
	t.Parallel()
	f := func(name string, sample float64, want int, asked int) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary, candidate := mirrortest.NewBackend(t, mirrortest.JSON(`{"from":"old"}`)), mirrortest.NewBackend(t, mirrortest.Status(500))
			cfg := caught(primary.URL, candidate.URL)
			cfg.Mirror.Sample, cfg.Mirror.Timeout = sample, time.Second
			cfg.Identifiers = []ids.Config{{Name: "order", Unmapped: ids.UnmappedSame, From: ids.At("POST /orders $.id"), In: ids.At("path:/orders/{id}")}}
			r := start(t, cfg)
			r.Mirror.Split().SetStep(10_000)
			if res, _ := r.do("GET", "/orders/7", ""); res.StatusCode != want {
				t.Errorf("the caller got %s, want %d", res.Status, want)
			}
			r.settled(1)
			for _, s := range primary.Seen() {
				if role := s.Header.Get("X-Parallax-Role"); role != "shadow" {
					t.Errorf("the primary was asked as the %s leg", role)
				}
			}
			if got := primary.Count(); got != asked {
				t.Errorf("the primary was asked %d times, want %d", got, asked)
			}
		})
	}
	f("as the shadow", 1, 200, 1)
	f("not at all", 0, 500, 0)
}

// TestWhatIsNotCaughtIsCounted with why.
func TestWhatIsNotCaughtIsCounted(t *testing.T) {
	t.Parallel()
	good := mirrortest.Status(200)
	f := func(method string, primary, candidate mirrortest.Answer, want string, change func(*mirror.Service)) {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			cfg := caught(mirrortest.NewBackend(t, primary).URL, mirrortest.NewBackend(t, candidate).URL)
			cfg.Mirror.Endpoints = map[string]mirror.EndpointOptions{"POST /orders": {Safe: new(true)}}
			if change != nil {
				change(&cfg)
			}
			reg := prometheus.NewRegistry()
			r := start(t, cfg, func(d *mirror.Deps) { d.Metrics = mirror.NewMetrics(reg) })
			r.Mirror.Split().SetStep(10_000)
			body := ""
			if method == "POST" {
				body = "qq"
			}
			req, err := http.NewRequestWithContext(t.Context(), method, r.URL+"/orders", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if res, err := r.Client.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body) // it may break off
				res.Body.Close()
			}
			r.settled(1)
			expect := fmt.Sprintf(`
# HELP parallax_uncovered_total Failures of a live candidate at safe requests that callers saw although there is a net, by why; see net.
# TYPE parallax_uncovered_total counter
parallax_uncovered_total{reason=%q,service="shop"} 1
`, want)
			if err := testutil.GatherAndCompare(reg, strings.NewReader(expect), "parallax_uncovered_total"); err != nil {
				t.Error(err)
			}
		})
	}
	f("GET", good, mirrortest.Lie, "begun", nil)
	f("GET", mirrortest.Reset, mirrortest.Status(500), "primary_failed", nil)
	f("POST", good, mirrortest.Status(500), "request_body", func(s *mirror.Service) { s.Mirror.MaxBody = 1 })
	f("GET", good, mirrortest.Status(500), "identifiers", func(s *mirror.Service) {
		s.Mirror.Sample = 0
		s.Identifiers = []ids.Config{{Name: "order", From: ids.At("POST /orders $.id"), In: ids.At("path:/orders/{id}")}}
	})
}
