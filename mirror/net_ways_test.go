package mirror_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parallax"
	"parallax/internal/ids"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
	"parallax/mirror/split"
)

// startNet starts a service whose candidate is live for everybody, with a net below it that waits for
// longer than any test takes.
func startNet(t testing.TB, primary, candidate string, change ...func(*mirror.Service)) (*rig, *prometheus.Registry) {
	t.Helper()
	cfg := caught(primary, candidate)
	cfg.Net = mirror.Net{Wait: time.Hour, Statuses: []int{500, 502, 503, 504}}
	for _, c := range change {
		c(&cfg)
	}
	reg := prometheus.NewRegistry()
	r := start(t, cfg, func(d *mirror.Deps) { d.Metrics = mirror.NewMetrics(reg) })
	r.Mirror.Split().SetStep(10_000)
	return r, reg
}

// backendOr starts a backend that answers so, and returns its address; without an answer nobody listens.
func backendOr(t testing.TB, answer mirrortest.Answer) string {
	t.Helper()
	if answer == nil {
		return mirrortest.Refused(t)
	}
	return mirrortest.NewBackend(t, answer).URL
}

// sumOf returns the sum of a counter over its labels.
func sumOf(t testing.TB, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

// callsOf returns how many calls of a leg are counted.
func callsOf(t testing.TB, reg *prometheus.Registry, leg string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "parallax_requests_total" && l.GetName() == "leg" && l.GetValue() == leg {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

// counts checks how many failures were caught, and how many callers saw.
func counts(t testing.TB, reg *prometheus.Registry, covered, uncovered float64) {
	t.Helper()
	if c, u := sumOf(t, reg, "parallax_covered_total"), sumOf(t, reg, "parallax_uncovered_total"); c != covered || u != uncovered {
		t.Errorf("%v covered and %v not, want %v and %v", c, u, covered, uncovered)
	}
}

// TestTheNetIsRefusedWhereItCannotBe.
func TestTheNetIsRefusedWhereItCannotBe(t *testing.T) {
	t.Parallel()
	f := func(want string, change func(*mirror.Service)) {
		t.Helper()
		cfg := caught("http://127.0.0.1:1", "http://127.0.0.1:2")
		change(&cfg)
		var got []string
		for _, fault := range cfg.Validate() {
			got = append(got, fault.Path)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("faults at %q, want %q", got, want)
		}
	}
	f("", func(*mirror.Service) {})
	f("net", func(s *mirror.Service) { s.Tap, s.Split.Key = true, "" })
	f("net", func(s *mirror.Service) { s.Candidate.URLs = nil })
	outside := []split.Outside{{HAProxy: &split.HAProxy{Socket: "/run/admin.sock", Map: "/etc/split.map"}}}
	f("net", func(s *mirror.Service) { s.Split.Push = outside })
	f("", func(s *mirror.Service) {
		s.Split.Push, s.Split.Key, s.Split.Pin = outside, "ip", map[string]string{"127.0.0.1": "candidate"}
	})
	f("net.wait", func(s *mirror.Service) { s.Net.Wait = -1; s.Net.Statuses = nil })
	f("net.wait", func(s *mirror.Service) { s.Net.Wait = 0 })
	f("net.statuses[1]", func(s *mirror.Service) { s.Net.Statuses = []int{500, 404} })
	f("", func(s *mirror.Service) { s.Net, s.Candidate.URLs = mirror.Net{}, nil })
}

// TestBothFail: the candidate's answer is then passed on as it is, however long; and where it has none, the
// primary's is the best there is.
func TestBothFail(t *testing.T) {
	t.Parallel()
	long := mirrortest.Raw(mirrortest.Message(500, strings.Repeat("x", 100<<10), "Content-Type: text/plain"))
	small := func(s *mirror.Service) { s.Mirror.MaxBody = 1 << 10 }
	unmirrored := func(s *mirror.Service) { s.Mirror.Sample = 0 }
	f := func(name string, primary, candidate mirrortest.Answer, status, length int, covered float64, change func(*mirror.Service)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, reg := startNet(t, backendOr(t, primary), backendOr(t, candidate), change)
			if res, body := r.do("GET", "/orders/7", ""); res.StatusCode != status || length >= 0 && len(body) != length {
				t.Errorf("the caller got %s with %d bytes, want %d with %d", res.Status, len(body), status, length)
			}
			r.settled(1)
			counts(t, reg, covered, 1-covered)
		})
	}
	f("500, longer than is kept; the primary is down", nil, long, 500, 100<<10, 0, small)
	f("500, longer than is kept; so is the primary's", long, long, 500, 100<<10, 0, small)
	f("500; the primary 503", mirrortest.Status(503), mirrortest.Status(500), 500, 11, 0, func(*mirror.Service) {})
	f("500; the primary 503, asked anew", mirrortest.Status(503), mirrortest.Status(500), 500, 11, 0, unmirrored)
	f("500; the primary is down, asked anew", nil, mirrortest.Status(500), 500, 11, 0, unmirrored)
	f("both are down", nil, nil, 502, -1, 0, func(*mirror.Service) {})
	f("no answer; the primary 503", mirrortest.Status(503), nil, 503, 11, 1, func(*mirror.Service) {})
	f("no answer; the primary 503, asked anew", mirrortest.Status(503), nil, 503, 11, 1, unmirrored)
}

// TestWhatWasReplacedIsKept since it says what went wrong.
func TestWhatWasReplacedIsKept(t *testing.T) {
	t.Parallel()
	r, _ := startNet(t, backendOr(t, mirrortest.JSON(`{}`)), backendOr(t, mirrortest.Status(500)))
	r.do("GET", "/orders/7", "")
	if got := r.next().Legs[parallax.Candidate].Response.Body; string(got.Bytes) != "status 500\n" || got.Cut {
		t.Errorf("kept %q, cut %t", got.Bytes, got.Cut)
	}
}

// TestARequestThatCannotBeRewrittenIsCaught: the rules of the candidate are at fault, and nobody was asked.
func TestARequestThatCannotBeRewrittenIsCaught(t *testing.T) {
	t.Parallel()
	to := "$1"
	f := func(method, body string, change func(*mirror.Service)) {
		primary := mirrortest.NewBackend(t, mirrortest.JSON(`{"from":"old"}`))
		r, reg := startNet(t, primary.URL, backendOr(t, mirrortest.JSON(`{"from":"new"}`)), func(s *mirror.Service) {
			s.Candidate.Rewrite = []mirror.Rewrite{{Path: "^/orders/(.*)$", To: &to}}
			s.Mirror.Endpoints = map[string]mirror.EndpointOptions{"POST /orders/{id}": {Safe: new(true)}}
			s.Endpoints = append(s.Endpoints, "POST /orders/{id}")
			change(s)
		})
		if res, got := r.do(method, "/orders/7", body); res.StatusCode != 200 || got != `{"from":"old"}` {
			t.Errorf("%s: the caller got %s %q", method, res.Status, got)
		}
		r.settled(1)
		counts(t, reg, 1, 0)
		if got := primary.Count(); got != 1 {
			t.Errorf("%s: the primary was asked %d times", method, got)
		}
	}
	f("GET", "", func(*mirror.Service) {})
	f("GET", "", func(s *mirror.Service) { s.Mirror.Sample = 0 })
	f("POST", "q", func(*mirror.Service) {})
}

// TestTheNetWaitsForTheCandidate as long as it says after the primary's answer, and not at all behind one that is a
// failure.
func TestTheNetWaitsForTheCandidate(t *testing.T) {
	t.Parallel()
	good := mirrortest.JSON(`"primary"`)
	f := func(name string, primary mirrortest.Answer, wait time.Duration, want string, covered bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			p, c := mirrortest.NewBackend(t, primary), mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.JSON(`"candidate"`)))
			r, _ := startNet(t, p.URL, c.URL, func(s *mirror.Service) { s.Net.Wait = wait })
			late := make(chan struct{})
			go func() {
				defer close(late)
				p.Wait(t, 1)
				c.Wait(t, 1)
				if !covered {
					r.untilIdle(parallax.Primary)
					close(release)
				}
			}()
			if _, got := r.do("GET", "/orders/7", ""); got != want {
				t.Errorf("the caller got %q, want %q", got, want)
			}
			<-late
			if x := r.next(); x.Covered != covered {
				t.Errorf("covered %t", x.Covered)
			}
		})
	}
	f("late", good, 5*time.Millisecond, `"primary"`, true)
	f("in time", good, time.Hour, `"candidate"`, false)
	f("behind a failure", mirrortest.Status(500), time.Nanosecond, `"candidate"`, false)
	f("behind a failure that is not listed", mirrortest.Status(501), time.Nanosecond, `"candidate"`, false)
}

// untilIdle waits until nothing is under way to a leg any more.
func (r *rig) untilIdle(name parallax.Leg) {
	for r.t.Context().Err() == nil {
		for _, l := range r.Mirror.Legs() {
			if l.Leg == name && l.InFlight == 0 {
				return
			}
		}
	}
}

// events answers with a stream of events that goes on until the backend stops; told is the leg's role then.
func events(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
	if _, err := fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: "+r.Header.Get("X-Parallax-Role")+"\n\n"); err != nil {
		return false
	}
	return mirrortest.Hang(b, conn, r)
}

// TestAStreamOfEventsIsCaughtAtOnce: nobody waits until the shadow's is over; and a candidate that does not
// begin one is late behind the head of the primary's.
func TestAStreamOfEventsIsCaughtAtOnce(t *testing.T) {
	t.Parallel()
	for name, candidate := range map[string]mirrortest.Answer{"is not there": nil, "answers 500": mirrortest.Status(500), "hangs": mirrortest.Hang} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := mirrortest.NewBackend(t, events)
			r, reg := startNet(t, primary.URL, backendOr(t, candidate), func(s *mirror.Service) {
				s.Mirror.Timeout = time.Hour
				if name == "hangs" {
					s.Net.Wait = 5 * time.Millisecond
				}
			})
			req, err := http.NewRequestWithContext(t.Context(), "GET", r.URL+"/orders/7", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := r.Client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			part := make([]byte, len("data: live\n\n"))
			if _, err := io.ReadFull(res.Body, part); err != nil || string(part) != "data: live\n\n" {
				t.Errorf("the caller got %q, %v", part, err)
			}
			counts(t, reg, 1, 0) // and against the candidate, long before the stream is over
			if got := callsOf(t, reg, "candidate"); got != 1 {
				t.Errorf("%v calls of the candidate are counted", got)
			}
			primary.Stop()
			_, _ = io.Copy(io.Discard, res.Body) // it ends where the primary does
			r.settled(1)
			counts(t, reg, 1, 0)
		})
	}
}

// TestALongAnswerIsNotWaitedFor when its head says that it will not be kept.
func TestALongAnswerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	const long = 100 << 10
	primary := mirrortest.NewBackend(t, func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		if r.Header.Get("X-Parallax-Role") == "live" {
			return mirrortest.Sized(long)(b, conn, r)
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", long)
		return mirrortest.Hang(b, conn, r)
	})
	r, reg := startNet(t, primary.URL, backendOr(t, nil), func(s *mirror.Service) {
		s.Mirror.MaxBody, s.Mirror.Timeout = 1<<10, time.Hour
	})
	if res, got := r.do("GET", "/orders/7", ""); res.StatusCode != 200 || len(got) != long {
		t.Errorf("the caller got %s with %d bytes", res.Status, len(got))
	}
	counts(t, reg, 1, 0)
	primary.Stop()
	r.settled(1)
}

// TestWhatAShadowIsAskedOtherwiseIsNotGiven: where shadow requests are changed, their answers are not those to
// the caller's request.
func TestWhatAShadowIsAskedOtherwiseIsNotGiven(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		if r.Header.Get("Authorization") == "" {
			return mirrortest.Status(401)(b, conn, r)
		}
		return mirrortest.JSON(`{"from":"old"}`)(b, conn, r)
	})
	r, reg := startNet(t, primary.URL, backendOr(t, mirrortest.Status(500)), func(s *mirror.Service) { s.Mirror.Request.Remove = []string{"Authorization"} })
	if res, got := r.do("GET", "/orders/7", "", "Authorization: Bearer 1"); res.StatusCode != 200 || got != `{"from":"old"}` {
		t.Errorf("the caller got %s %q", res.Status, got)
	}
	r.settled(1)
	counts(t, reg, 1, 0)
}

// TestTheNetWaitsForNoTurn: where users are kept in order, what waits in its lane is asked for at once, and
// what does not is asked once.
func TestTheNetWaitsForNoTurn(t *testing.T) {
	t.Parallel()
	first := make(chan struct{})
	primary := mirrortest.NewBackend(t, func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		if r.Header.Get("X-Parallax-Role") == "shadow" && r.Target == "/orders/1" {
			return mirrortest.Held(first, mirrortest.Status(200))(b, conn, r)
		}
		return mirrortest.JSON(`"`+r.Header.Get("X-Parallax-Role")+`"`)(b, conn, r)
	})
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r, reg := startNet(t, primary.URL, candidate.URL, func(s *mirror.Service) { s.Mirror.OrderBy, s.Mirror.Timeout = "header:X-User", time.Minute })
	r.do("GET", "/orders/1", "", "X-User: ann") // holds ann's lane
	primary.Wait(t, 1)
	candidate.Become(mirrortest.Status(500))
	if _, got := r.do("GET", "/orders/2", "", "X-User: ann"); got != `"live"` {
		t.Errorf("ann got %q", got)
	}
	if _, got := r.do("GET", "/orders/2", "", "X-User: ben"); got != `"shadow"` {
		t.Errorf("ben got %q", got)
	}
	close(first)
	r.settled(3)
	counts(t, reg, 2, 0)
}

// TestRequestsWithABodyAreCaught if they are declared safe, as long as all of it is kept.
func TestRequestsWithABodyAreCaught(t *testing.T) {
	t.Parallel()
	f := func(name string, candidate mirrortest.Answer, size, want int, chunked bool, change ...func(*mirror.Service)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := mirrortest.NewBackend(t, mirrortest.Status(200))
			r, reg := startNet(t, primary.URL, backendOr(t, candidate), append(change, func(s *mirror.Service) {
				s.Mirror.Endpoints = map[string]mirror.EndpointOptions{"POST /orders": {Safe: new(true)}}
				s.Mirror.MaxBody = 1 << 10
			})...)
			body := strings.Repeat("q", size)
			var reader io.Reader = strings.NewReader(body)
			if chunked {
				reader = io.MultiReader(reader)
			}
			req, err := http.NewRequestWithContext(t.Context(), "POST", r.URL+"/orders", reader)
			if err != nil {
				t.Fatal(err)
			}
			res, err := r.Client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body) // its status tells
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("the caller got %s, want %d", res.Status, want)
			}
			r.settled(1)
			if want != 200 {
				counts(t, reg, 0, 1)
				return
			}
			counts(t, reg, 1, 0)
			if seen := primary.Seen(); len(seen) != 1 || string(seen[0].Body) != body {
				t.Errorf("the primary was asked %d times", len(seen))
			}
		})
	}
	unmirrored := func(s *mirror.Service) { s.Mirror.Sample = 0 }
	pool := func(s *mirror.Service) {
		s.Candidate.URLs = append(s.Candidate.URLs, mirror.LegURL{URL: mirrortest.Refused(t)})
	}
	f("refused", nil, 100, 200, false)
	f("refused, in chunks", nil, 100, 200, true)
	f("refused, by two", nil, 100, 200, false, pool)
	f("refused, not mirrored", nil, 100, 200, false, unmirrored)
	f("resets", mirrortest.Reset, 100, 200, false)
	f("answers 500", mirrortest.Status(500), 100, 200, false)
	f("answers 500, not mirrored", mirrortest.Status(500), 100, 200, true, unmirrored)
	f("refused, too long", nil, 4<<10, 502, false)
	f("answers 500, too long", mirrortest.Status(500), 4<<10, 500, false)
	f("answers 500, too long, not mirrored", mirrortest.Status(500), 4<<10, 500, true, unmirrored)
}

// TestACallerWhoWaitsToSendIsCaught: nobody else would say that the body is wanted.
func TestACallerWhoWaitsToSendIsCaught(t *testing.T) {
	t.Parallel()
	r, reg := startNet(t, backendOr(t, mirrortest.Status(200)), backendOr(t, nil), func(s *mirror.Service) {
		s.Mirror.Endpoints = map[string]mirror.EndpointOptions{"POST /orders": {Safe: new(true)}}
	})
	in, conn := r.raw("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	if got := head(t, in); got != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("the caller got %q", got)
	}
	io.WriteString(conn, "body")
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
		t.Errorf("after the body: %v, %v", res, err)
	}
	r.settled(1)
	counts(t, reg, 1, 0)
}

// TestWhatThePrimaryGivesIsGivenWhole: no body where there is none, trailers, and the connection goes on.
func TestWhatThePrimaryGivesIsGivenWhole(t *testing.T) {
	t.Parallel()
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nonly\r\n5\r\n this\r\n0\r\nX-Sum: 9\r\n\r\n"
	f := func(name, method, answer, want string, change ...func(*mirror.Service)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := mirrortest.NewBackend(t, func(_ *mirrortest.Backend, conn net.Conn, _ *mirrortest.Seen) bool {
				_, err := io.WriteString(conn, answer)
				return err == nil
			})
			r, reg := startNet(t, primary.URL, backendOr(t, mirrortest.Status(500)), change...)
			request := method + " /orders/7 HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n"
			in, conn := r.raw(request)
			for i := range 3 {
				res, err := http.ReadResponse(in, &http.Request{Method: method})
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				if got := fmt.Sprint(res.StatusCode, " ", res.ContentLength, " ", res.Header.Get("Content-Length"), " ", string(body), " ", res.Trailer.Get("X-Sum")); got != want || err != nil {
					t.Errorf("the caller got %q, %v, want %q", got, err, want)
				}
				if i < 2 {
					io.WriteString(conn, request)
				}
			}
			r.settled(3)
			counts(t, reg, 3, 0)
		})
	}
	for _, anew := range []bool{false, true} {
		change := func(s *mirror.Service) {
			if anew {
				s.Mirror.Sample = 0
			}
		}
		f(fmt.Sprintf("304, anew %t", anew), "GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1000\r\n\r\n", "304 0 1000  ", change)
		f(fmt.Sprintf("204, anew %t", anew), "GET", "HTTP/1.1 204 No Content\r\n\r\n", "204 0   ", change)
		f(fmt.Sprintf("HEAD, anew %t", anew), "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "200 1000 1000  ", change)
		f(fmt.Sprintf("trailers, anew %t", anew), "GET", chunked, "200 -1  only this 9", change)
		f(fmt.Sprintf("empty, anew %t", anew), "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 0 0  ", change)
	}
}

// TestHintsOfACandidateThatFails are passed on; the answer is the primary's all the same.
func TestHintsOfACandidateThatFails(t *testing.T) {
	t.Parallel()
	hints := mirrortest.Closing([]byte("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"))
	r, reg := startNet(t, backendOr(t, mirrortest.JSON(`{}`)), backendOr(t, hints))
	in, _ := r.raw("GET /orders/7 HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := head(t, in); !strings.HasPrefix(got, "HTTP/1.1 103 ") {
		t.Fatalf("the caller got %q", got)
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); res.StatusCode != 200 || string(body) != "{}" || err != nil {
		t.Errorf("the caller got %s %q, %v", res.Status, body, err)
	}
	r.settled(1)
	counts(t, reg, 1, 0)
}

// TestTheNetOverHTTP2 on both sides.
func TestTheNetOverHTTP2(t *testing.T) {
	t.Parallel()
	for name, candidate := range map[string]http.HandlerFunc{
		"hangs":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"breaks":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"answers 502": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) },
		"502, stalls": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(502)
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, reg := startNet(t, speaker(t, echoWithSum), speaker(t, candidate), func(s *mirror.Service) {
				*s = asksHTTP2(*s)
				s.Mirror.Endpoints = map[string]mirror.EndpointOptions{"POST /orders": {Safe: new(true)}}
				if name == "hangs" {
					s.Net.Wait = 10 * time.Millisecond
				}
			})
			r.Client = h2c(t)
			for i := range 12 {
				method, body := []string{"GET", "HEAD", "POST"}[i%3], []string{"", "", "ask"}[i%3]
				res, got := r.do(method, "/orders", body)
				if want := map[string]string{"GET": "HTTP/2.0 ", "POST": "HTTP/2.0 ask"}[method]; res.StatusCode != 200 || got != want {
					t.Fatalf("%s %d: the caller got %s %q", method, i, res.Status, got)
				}
				if method != "HEAD" && res.Trailer.Get("X-Sum") != "1" {
					t.Errorf("%s %d: trailers %v", method, i, res.Trailer)
				}
				if x := r.next(); !x.Covered {
					t.Errorf("%s %d: not covered", method, i)
				}
			}
			counts(t, reg, 12, 0)
		})
	}
}

// echoWithSum answers with what it was sent, and a trailer.
func echoWithSum(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	body.ReadFrom(r.Body)
	w.Header().Set("Trailer", "X-Sum")
	fmt.Fprintf(w, "%s %s", r.Proto, body.String())
	w.Header().Set("X-Sum", "1")
}

// TestCallersLeaveWhileBothLegsAreAsked: they are nobody's failure, and nothing goes on for them.
func TestCallersLeaveWhileBothLegsAreAsked(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]struct {
		primary, candidate mirrortest.Answer
		http2              bool
	}{
		"both hang":                        {mirrortest.Hang, mirrortest.Hang, false},
		"both hang, HTTP/2":                {mirrortest.Hang, mirrortest.Hang, true},
		"the candidate has failed":         {mirrortest.Hang, mirrortest.Status(500), false},
		"the candidate has failed, HTTP/2": {mirrortest.Hang, mirrortest.Status(500), true},
		"the candidate's 500 stalls":       {mirrortest.Hang, stalls500, false},
		"the primary streams":              {events, mirrortest.Hang, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const callers = 8
			primary, candidate := mirrortest.NewBackend(t, answers.primary), mirrortest.NewBackend(t, answers.candidate)
			r, reg := startNet(t, primary.URL, candidate.URL, func(s *mirror.Service) { s.Mirror.Timeout = time.Second })
			if answers.http2 {
				r.Client = h2c(t)
			}
			ctx, leave := context.WithCancel(t.Context())
			left := make(chan error, callers)
			for range callers {
				go func() { left <- ask(ctx, r) }()
			}
			candidate.Wait(t, callers)
			primary.Wait(t, callers)
			leave()
			for range callers {
				if err := <-left; err == nil {
					t.Error("somebody answered")
				}
			}
			r.settled(callers)
			for _, l := range r.Mirror.Legs() {
				if l.InFlight != 0 {
					t.Errorf("%d requests to the %s are under way", l.InFlight, l.Leg)
				}
			}
			counts(t, reg, 0, 0)
			candidate.Become(mirrortest.JSON(`{}`))
			if _, got := r.do("GET", "/orders/7", ""); got != "{}" {
				t.Errorf("the next caller got %q", got)
			}
		})
	}
}

func ask(ctx context.Context, r *rig) error {
	req, err := http.NewRequestWithContext(ctx, "GET", r.URL+"/orders/7", nil)
	if err != nil {
		return err
	}
	res, err := r.Client.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// TestTheNetHoldsNoAnswerBack: the candidate's never waits for the primary, only a failure does.
func TestTheNetHoldsNoAnswerBack(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Hang)
	r, reg := startNet(t, primary.URL, backendOr(t, mirrortest.JSON(`{}`)), func(s *mirror.Service) { s.Mirror.Timeout, s.Mirror.InFlight = time.Hour, 8 })
	for range 24 {
		if res, got := r.do("GET", "/orders/7", ""); res.StatusCode != 200 || got != `{}` {
			t.Fatalf("the caller got %s %q", res.Status, got)
		}
	}
	r.atShadows(8)
	primary.Stop()
	r.settled(24)
	counts(t, reg, 0, 0)
}

// TestNothingIsCutThatCannotBeReplaced: by names that the primary does not know it is not asked anew, so a late
// candidate is the best there is.
func TestNothingIsCutThatCannotBeReplaced(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	primary := mirrortest.NewBackend(t, mirrortest.Sized(4<<10))
	candidate := mirrortest.NewBackend(t, mirrortest.Held(release, mirrortest.JSON(`"late"`)))
	r, reg := startNet(t, primary.URL, candidate.URL, func(s *mirror.Service) {
		s.Net.Wait, s.Mirror.MaxBody = time.Nanosecond, 1<<10
		s.Identifiers = []ids.Config{{Name: "order", Unmapped: ids.UnmappedSame, From: ids.At("POST /orders $.id"), In: ids.At("path:/orders/{id}")}}
	})
	go func() {
		primary.Wait(t, 1)
		candidate.Wait(t, 1)
		r.untilIdle(parallax.Primary)
		close(release)
	}()
	if res, got := r.do("GET", "/orders/7", ""); got != `"late"` {
		t.Errorf("the caller got %s %q", res.Status, got)
	}
	r.settled(1)
	counts(t, reg, 0, 0)
}

// TestTheNetNeedsNoCopies: where the budget of copies is used up, the primary is asked for the caller.
func TestTheNetNeedsNoCopies(t *testing.T) {
	t.Parallel()
	cfg := caught(backendOr(t, mirrortest.Sized(100<<10)), backendOr(t, mirrortest.Status(500)))
	cfg.Mirror.Endpoints = map[string]mirror.EndpointOptions{"POST /orders": {Safe: new(true)}}
	reg := prometheus.NewRegistry()
	r := start(t, cfg, func(d *mirror.Deps) { d.Metrics, d.Budget = mirror.NewMetrics(reg), mirror.NewBudget(1) })
	r.Mirror.Split().SetStep(10_000)
	if res, got := r.do("GET", "/orders/7", ""); res.StatusCode != 200 || len(got) != 100<<10 {
		t.Errorf("the caller got %s with %d bytes", res.Status, len(got))
	}
	if res, _ := r.do("POST", "/orders", "ask"); res.StatusCode != 500 {
		t.Errorf("without a copy of the question the caller got %s", res.Status)
	}
	r.settled(2)
	counts(t, reg, 1, 1)
}

// TestManyOnOneConnection are caught each for itself.
func TestManyOnOneConnection(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Raw(mirrortest.Message(206, `{"from":"old"}`, "X-Leg: primary")))
	for name, candidate := range map[string]mirrortest.Answer{"refuses": nil, "resets": mirrortest.Reset, "is not HTTP": mirrortest.Garbage, "answers 500": mirrortest.Status(500)} {
		r, reg := startNet(t, primary.URL, backendOr(t, candidate))
		for i := range 12 {
			method := []string{"GET", "HEAD", "OPTIONS", "GET"}[i%4]
			res, got := r.do(method, "/orders/7", "", "Range: bytes=0-")
			want := map[bool]string{false: `{"from":"old"}`}[method == "HEAD"]
			if res.StatusCode != 206 || got != want || res.Header.Get("X-Leg") != "primary" || res.ContentLength != 14 {
				t.Fatalf("%s: %s: the caller got %s, %d bytes, %q", name, method, res.Status, res.ContentLength, got)
			}
		}
		r.settled(12)
		counts(t, reg, 12, 0)
	}
	if got := primary.Count(); got != 4*12 {
		t.Errorf("the primary was asked %d times, want %d", got, 4*12)
	}
}

// TestWhatIsAskedForACallerIsNoEvidence: the primary was asked because the candidate had failed, so how often it fails then
// says nothing about how often it does.
func TestWhatIsAskedForACallerIsNoEvidence(t *testing.T) {
	t.Parallel()
	r, reg := startNet(t, backendOr(t, mirrortest.Status(503)), backendOr(t, mirrortest.Status(500)), func(s *mirror.Service) { s.Mirror.Sample = 0 })
	r.do("GET", "/orders/7", "")
	r.settled(1)
	for _, s := range r.Mirror.Seen() {
		if s.Leg != parallax.Candidate || !s.Live || s.ServerErrors[500] != 1 {
			t.Errorf("seen: %+v", s)
		}
	}
	if got := callsOf(t, reg, "primary"); got != 1 {
		t.Errorf("%v calls of the primary are counted", got)
	}
}

// behaviours are what a leg does with a request, by a header that says so.
var behaviours = map[string]mirrortest.Answer{
	"200": nil, "404": mirrortest.Status(404), "500": mirrortest.Status(500), "501": mirrortest.Status(501),
	"resets": mirrortest.Reset, "hangs": mirrortest.Hang, "breaks off": mirrortest.Lie,
}

// told answers as the header of its leg says.
func told(leg string) mirrortest.Answer {
	return func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		if answer := behaviours[r.Header.Get("X-"+leg)]; answer != nil {
			return answer(b, conn, r)
		}
		return mirrortest.JSON(`"`+leg+`"`)(b, conn, r)
	}
}

// whatCallersGet is the promise of the net: by what the two legs do with a request, and whether it is mirrored.
func whatCallersGet(primary, candidate string, mirrored bool) (answer string, covered, uncovered bool) {
	switch candidate {
	case "200":
		return `200 "candidate"`, false, false
	case "404", "501":
		return candidate + " status " + candidate + "\n", false, false
	case "breaks off":
		return "broken", false, true
	}
	own := map[string]string{"500": "500 status 500\n", "resets": "502", "hangs": "504"}[candidate]
	switch {
	case primary == "200":
		return `200 "primary"`, true, false
	case primary == "breaks off" && !mirrored:
		return "broken", true, false
	case primary == "resets", primary == "hangs", primary == "breaks off", primary == "500" && candidate == "500":
		return own, false, true
	}
	return primary + " status " + primary + "\n", true, false
}

// TestEveryPairOfFailures keeps the promise, for requests with a body and without.
func TestEveryPairOfFailures(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, told("primary")), mirrortest.NewBackend(t, told("candidate"))
	for _, mirrored := range []bool{true, false} {
		r, reg := startNet(t, primary.URL, candidate.URL, func(s *mirror.Service) {
			s.Mirror.Endpoints = map[string]mirror.EndpointOptions{"POST /orders": {Safe: new(true)}}
			s.Primary.Timeout, s.Candidate.Timeout, s.Mirror.Timeout = time.Second, time.Second, time.Second
			s.Primary.Breaker = mirror.Breaker{Of: 20, OpenFor: time.Second, HalfOpen: 1} // never
			s.Mirror.Sample = map[bool]float64{true: 1}[mirrored]
		})
		var callers sync.WaitGroup
		var all, covered, uncovered float64
		for p := range behaviours {
			for c := range behaviours {
				want, yes, no := whatCallersGet(p, c, mirrored)
				for _, body := range []string{"", "ask"} {
					all++
					covered += map[bool]float64{true: 1}[yes]
					uncovered += map[bool]float64{true: 1}[no]
					callers.Go(func() {
						got := answerTo(t.Context(), r, body, p, c)
						if got != want && !strings.HasPrefix(got, want+" {") {
							t.Errorf("primary %s, candidate %s, mirrored %t, body %q: the caller got %q, want %q", p, c, mirrored, body, got, want)
						}
					})
				}
			}
		}
		callers.Wait()
		r.settled(int(all))
		counts(t, reg, covered, uncovered)
	}
}

// TestCallersLeaveAtAnyMoment, whatever the legs do: nothing is under way any more, and everything is accounted for.
func TestCallersLeaveAtAnyMoment(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, told("primary")), mirrortest.NewBackend(t, told("candidate"))
	r, _ := startNet(t, primary.URL, candidate.URL, func(s *mirror.Service) {
		s.Mirror.Endpoints = map[string]mirror.EndpointOptions{"POST /orders": {Safe: new(true)}}
		s.Net.Wait, s.Mirror.Timeout, s.Mirror.Sample = time.Millisecond, 50*time.Millisecond, 0.7
	})
	var callers sync.WaitGroup
	all := 0
	for p := range behaviours {
		for c := range behaviours {
			for i := range 6 {
				all++
				callers.Go(func() {
					ctx, leave := context.WithTimeout(t.Context(), time.Duration(i*i*4)*time.Millisecond+time.Microsecond)
					defer leave()
					_ = answerTo(ctx, r, []string{"", "ask"}[i%2], p, c)
				})
			}
		}
	}
	callers.Wait()
	r.Stop() // some of them may only be coming in
	places := r.settled(0)
	entered := 0
	for _, n := range places {
		entered += n
	}
	if entered == 0 || entered > all {
		t.Errorf("%d requests came, of %d: %v", entered, all, places)
	}
	for _, l := range r.Mirror.Legs() {
		if l.InFlight != 0 {
			t.Errorf("%d requests to the %s are under way", l.InFlight, l.Leg)
		}
	}
}

// answerTo returns the status and the body of an answer, or that it broke off.
func answerTo(ctx context.Context, r *rig, body, primary, candidate string) string {
	method, reader := "GET", io.Reader(nil)
	if body != "" {
		method, reader = "POST", strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.URL+"/orders", reader)
	if err != nil {
		return err.Error()
	}
	req.Header.Set("X-Primary", primary)
	req.Header.Set("X-Candidate", candidate)
	res, err := r.Client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return "broken"
	}
	return fmt.Sprint(res.StatusCode, " ", string(text))
}
