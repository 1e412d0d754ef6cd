package h1

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"parallax"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves handler on a port of its own until the test ends.
func start(t testing.TB, handler func(*Request, *Writer), set ...func(*Server)) (s *Server, addr string) {
	t.Helper()
	s = &Server{Handler: handler, Log: slog.New(slog.DiscardHandler)}
	for _, f := range set {
		f(s)
	}
	return s, serve(t, s)
}

func serve(t testing.TB, s *Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// pool returns a pool that lives as long as the test.
func pool(t testing.TB, set ...func(*Pool)) *Pool {
	t.Helper()
	p := &Pool{}
	for _, f := range set {
		f(p)
	}
	t.Cleanup(p.Close)
	return p
}

func at(addr string) *url.URL { return &url.URL{Scheme: "http", Host: addr} }

// dial opens a raw connection that ends with the test.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// raw sends text and returns everything that comes back until the connection
// ends.
func raw(t testing.TB, addr, text string) string {
	t.Helper()
	conn := dial(t, addr)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Logf("read: %v", err)
	}
	return string(got)
}

// leg is a server that answers every connection with fixed bytes once it has
// read a head, and then closes it.
func leg(t testing.TB, answer string) (addr string) {
	return scripted(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err == nil {
			io.WriteString(conn, answer)
		}
	})
}

// scripted is a server that does script with each connection, then closes it.
func scripted(t testing.TB, script func(net.Conn, *bufio.Reader)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			script(conn, bufio.NewReader(conn))
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-over
	})
	return l.Addr().String()
}

// ask sends a request and reads the whole answer.
func ask(t testing.TB, p *Pool, addr string, m *Message) (*Response, string, error) {
	t.Helper()
	if m.Method == "" {
		m.Method = "GET"
	}
	if m.Target == "" {
		m.Target = "/"
	}
	if m.Host == "" {
		m.Host = addr
	}
	res, err := p.Do(context.Background(), at(addr), m)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(res)
	return res, string(b), err
}

func text(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// echo answers with what it was asked.
func echo(r *Request, w *Writer) {
	var b []byte
	if r.Body != nil {
		b, _ = io.ReadAll(r.Body)
	}
	w.Head(200, []parallax.Field{{Name: "X-Method", Value: r.Method}, {Name: "X-Target", Value: r.Target}, {Name: "X-Host", Value: r.Host}}, int64(len(b)), nil, false)
	w.Write(b)
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	_, addr := start(t, echo)
	p := pool(t)
	for range 3 {
		res, got, err := ask(t, p, addr, &Message{Method: "POST", Target: "/a%2Fb//c?x=1;y=%zz", Host: "shop.example", Body: text("hello"), Length: 5, Ready: true})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "status", res.Status, 200)
		equal(t, "body", got, "hello")
		equal(t, "target", field(res.Headers, "X-Target"), "/a%2Fb//c?x=1;y=%zz")
		equal(t, "host", field(res.Headers, "X-Host"), "shop.example")
	}
	equal(t, "connections", openTo(p, addr), 1)
}

func field(fields []parallax.Field, name string) string {
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// openTo is how many connections a pool has to an instance.
func openTo(p *Pool, addr string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.hosts[address{"http", addr, ""}]; h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.open
	}
	return 0
}
