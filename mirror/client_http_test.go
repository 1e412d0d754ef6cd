package mirror

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"parallax"
	"parallax/mirror/mirrortest"
)

// A connection that is closed before anything of a request was written to it
// costs nobody an answer, and is not asking twice.
func TestClosedConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	backend := mirrortest.NewBackend(t, mirrortest.Status(200))
	to, _ := url.Parse(backend.URL)
	s := newHTTPSender(0, DefaultConnections())
	defer s.Close()
	var last net.Conn
	var dialer net.Dialer
	s.pool.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		last = conn
		return conn, err
	}
	const requests = 50
	for i := range requests {
		for _, method := range []string{"GET", "POST"} {
			out := &outgoing{Method: method, Target: "/", Host: "a"}
			if method == "POST" {
				out.Length, out.Body = 4, io.NopCloser(strings.NewReader("body"))
			}
			a, err := s.Send(t.Context(), to, out)
			if err != nil {
				t.Fatalf("request %d, %s: %v", i, method, err)
			}
			io.Copy(io.Discard, a.Body)
			a.Body.Close()
			last.Close()
		}
	}
	if got := backend.Count(); got != 2*requests {
		t.Errorf("the leg was asked %d times, want %d", got, 2*requests)
	}
}

func TestKindOfFailure(t *testing.T) {
	t.Parallel()
	f := func(url string, want parallax.ErrKind) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		if want == parallax.Timeout {
			ctx, cancel = context.WithTimeout(t.Context(), 20e6)
		}
		defer cancel()
		s := newHTTPSender(0, DefaultConnections())
		defer s.Close()
		_, err := s.Send(ctx, mustURL(t, url), &outgoing{Method: "GET", Target: "/", Host: "a"})
		if got := callErr(err); got.Kind != want || got.Text == "" {
			t.Errorf("failed as %s (%s), want %s", got.Kind, got.Text, want)
		}
	}
	f(mirrortest.Refused(t), parallax.Refused)
	f(mirrortest.NewBackend(t, mirrortest.Hang).URL, parallax.Timeout)
	f(mirrortest.NewBackend(t, mirrortest.Reset).URL, parallax.Reset)
	f(mirrortest.NewBackend(t, mirrortest.Closing(nil)).URL, parallax.Reset)
	f(mirrortest.NewBackend(t, mirrortest.Garbage).URL, parallax.BadAnswer)
	f(mirrortest.NewBackend(t, mirrortest.Closing([]byte("HTTP/1.1 042 Odd\r\n\r\n"))).URL, parallax.BadAnswer)
	f(mirrortest.NewBackend(t, mirrortest.Closing([]byte("HTTP/1.1 101 Why\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"))).URL, parallax.BadAnswer)
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestErrorTextIsBounded(t *testing.T) {
	t.Parallel()
	got := callErr(&sendError{kind: parallax.Reset, err: errors.New(strings.Repeat("x", 1000))})
	if len(got.Text) != maxErrorText {
		t.Errorf("%d bytes of error text are kept, want %d", len(got.Text), maxErrorText)
	}
}

// What a leg sends instead of HTTP may be anything, and error texts are shown on
// pages.
func TestErrorTextRepeatsNothingOfAnAnswer(t *testing.T) {
	t.Parallel()
	f := func(answer string) {
		t.Helper()
		backend := mirrortest.NewBackend(t, mirrortest.Closing([]byte(answer)))
		s := newHTTPSender(0, DefaultConnections())
		defer s.Close()
		a, err := s.Send(t.Context(), mustURL(t, backend.URL), &outgoing{Method: "GET", Target: "/", Host: "a"})
		if err == nil {
			_, err = io.ReadAll(a.Body)
			a.Body.Close()
		}
		if err == nil {
			t.Errorf("%q is taken for an answer", answer)
			return
		}
		if got := callErr(err); got.Kind != parallax.BadAnswer || got.Text == "" || strings.Contains(got.Text, "s3cret") {
			t.Errorf("%q failed as %s: %s", answer, got.Kind, got.Text)
		}
	}
	f("220 s3cret ESMTP\r\n")
	f("HTTP/1.1 s3cret\r\n\r\n")
	f("HTTP/1.1 200 OK\r\ns3cret server closed idle connection\r\n\r\n")
	f("HTTP/1.1 200 OK\r\ns3cret\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nContent-Length: s3cret\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: s3cret\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("s3cret", maxAnswerHead/6+1) + "\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ns3cret\r\n")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\ns3cret\r\n\r\n")
}

// A request that cannot be written is not held against the leg, and a leg that
// cannot be reached gave no bad answer.
func TestRequestsThatReachNoLeg(t *testing.T) {
	t.Parallel()
	backend := mirrortest.NewBackend(t, mirrortest.Status(200))
	s := newHTTPSender(0, DefaultConnections())
	defer s.Close()
	f := func(url string, out outgoing, want parallax.ErrKind) {
		t.Helper()
		_, err := s.Send(t.Context(), mustURL(t, url), &out)
		if got := callErr(err); got.Kind != want || strings.ContainsAny(got.Text, "\r\n") {
			t.Errorf("%+v failed as %s (%q), want %s", out, got.Kind, got.Text, want)
		}
	}
	f(backend.URL, outgoing{Method: "GET", Target: "/", Host: "a", Headers: []parallax.Field{{Name: "X Shadow", Value: "1"}}}, parallax.NotAsked)
	f(backend.URL, outgoing{Method: "GET", Target: "/", Host: "a", Headers: []parallax.Field{{Name: "X", Value: "x\ny"}}}, parallax.NotAsked)
	f(backend.URL, outgoing{Method: "G T", Target: "/", Host: "a"}, parallax.NotAsked)
	secured := httptest.NewTLSServer(http.NotFoundHandler()) // with a certificate of its own making
	secured.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer secured.Close()
	f(secured.URL, outgoing{Method: "GET", Target: "/", Host: "a"}, parallax.Refused)
	if backend.Count() != 0 {
		t.Errorf("the leg was asked %d times", backend.Count())
	}
}

func TestLegsOverTLS(t *testing.T) {
	t.Parallel()
	connections := map[string]bool{}
	secured := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr] = true
		io.Copy(w, r.Body)
	}))
	defer secured.Close()
	s := newHTTPSender(0, DefaultConnections())
	defer s.Close()
	s.pool.TLS = secured.Client().Transport.(*http.Transport).TLSClientConfig
	for range 5 {
		a, err := s.Send(t.Context(), mustURL(t, secured.URL), &outgoing{Method: "POST", Target: "/", Host: "example.com", Length: 5, Body: io.NopCloser(strings.NewReader("hello")), Ready: true})
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(a.Body); string(body) != "hello" || err != nil || a.Status != 200 {
			t.Errorf("answered %d %q, %v", a.Status, body, err)
		}
		a.Body.Close()
	}
	if len(connections) != 1 {
		t.Errorf("5 requests in a row took %d connections", len(connections))
	}
}

// A failure says truly whether its connection had served others: that decides
// whether a caller's request is tried again.
func TestFailuresTellWhetherTheConnectionWasUsed(t *testing.T) {
	t.Parallel()
	f := func(breaks mirrortest.Answer, used bool) {
		t.Helper()
		backend := mirrortest.NewBackend(t, mirrortest.JSON(`{}`))
		s := newHTTPSender(0, DefaultConnections())
		defer s.Close()
		out := &outgoing{Method: "GET", Target: "/", Host: "a"}
		if used {
			a, err := s.Send(t.Context(), mustURL(t, backend.URL), out)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, a.Body)
			a.Body.Close()
		}
		backend.Become(breaks)
		a, err := s.Send(t.Context(), mustURL(t, backend.URL), out)
		if err == nil {
			_, err = io.ReadAll(a.Body)
			a.Body.Close()
		}
		if e, ok := errors.AsType[*sendError](err); !ok || e.kind != parallax.Reset || e.reused != used {
			t.Errorf("failed with %+v, want a reset with reused %t", err, used)
		}
	}
	for _, used := range []bool{false, true} {
		f(mirrortest.Closing(nil), used)
		f(mirrortest.Reset, used)
		f(mirrortest.Lie, used)
	}
}
