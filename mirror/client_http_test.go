package mirror

import (
	"context"
	"errors"
	"io"
	"net"
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
	s := newHTTPSender(0, 0, newBufferPool())
	defer s.Close()
	var last net.Conn
	dial := s.transport.DialContext
	s.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
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
		s := newHTTPSender(0, 0, newBufferPool())
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
