// Package mirrortest is a rig for what stands around a mirror: backends that
// misbehave in every way a leg can, a ledger, and the suite that every queue
// between mirror and workers passes.
package mirrortest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Seen is a request as it arrived at a backend, byte for byte.
type Seen struct {
	Line   string // request line
	Head   []string
	Method string
	Target string
	Size   int64 // of the body
	SHA256 [32]byte
	Body   []byte // its first 64 KiB
	Header http.Header
	Conn   int           // which connection it came on, counted from 1
	Rest   *bufio.Reader // what follows the head, for an early answer to read
}

// Answer writes an answer to a request, or does whatever else it likes to the
// connection. It returns false to have the connection closed. Closing is called
// when the backend stops.
type Answer func(b *Backend, conn net.Conn, r *Seen) bool

// Backend is an HTTP/1.1 server of raw sockets: it sees requests as they are
// written, and can answer as no proper server would.
type Backend struct {
	URL string

	listener net.Listener
	stopped  chan struct{}
	done     sync.WaitGroup

	mu      sync.Mutex
	answer  Answer
	early   bool
	seen    []*Seen
	keep    bool
	count   int
	conns   map[net.Conn]bool
	accepts int
	changed chan struct{}
}

// NewBackend starts a backend that gives every request the same kind of answer.
// It stops when the test ends.
func NewBackend(t testing.TB, answer Answer) *Backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot start a backend: %v", err)
	}
	b := &Backend{
		URL: "http://" + l.Addr().String(), listener: l, answer: answer, keep: true,
		stopped: make(chan struct{}), conns: map[net.Conn]bool{}, changed: make(chan struct{}),
	}
	b.done.Add(1)
	go b.accept()
	t.Cleanup(b.Stop)
	return b
}

// Stop closes the listener and all connections, and waits for their goroutines.
func (b *Backend) Stop() {
	b.mu.Lock()
	select {
	case <-b.stopped:
		b.mu.Unlock()
		return
	default:
	}
	close(b.stopped)
	b.listener.Close()
	for c := range b.conns {
		c.Close()
	}
	b.mu.Unlock()
	b.done.Wait()
}

// Stopped is closed when the backend stops; answers that hang wait for it.
func (b *Backend) Stopped() <-chan struct{} { return b.stopped }

// Become changes what the backend answers from the next request on.
func (b *Backend) Become(answer Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

// AnswerEarly makes the backend answer before it reads a request's body, and
// close the connection afterwards.
func (b *Backend) AnswerEarly() *Backend {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.early = true
	return b
}

// Forget makes the backend count requests without keeping them, for benchmarks.
func (b *Backend) Forget() *Backend {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keep = false
	return b
}

// Seen returns the requests that came, in the order of their ends.
func (b *Backend) Seen() []*Seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen)
}

// Count returns how many requests came.
func (b *Backend) Count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// Connections returns how many connections were accepted, and how many of them
// are open.
func (b *Backend) Connections() (accepted, open int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.accepts, len(b.conns)
}

// Wait returns once at least n requests came. It fails the test when the test's
// context ends before.
func (b *Backend) Wait(t testing.TB, n int) []*Seen {
	t.Helper()
	for {
		b.mu.Lock()
		seen, changed := slices.Clone(b.seen), b.changed
		b.mu.Unlock()
		if len(seen) >= n {
			return seen
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("%d requests came, want %d", len(seen), n)
		}
	}
}

func (b *Backend) accept() {
	defer b.done.Done()
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		select {
		case <-b.stopped:
			b.mu.Unlock()
			conn.Close()
			return
		default:
		}
		b.conns[conn] = true
		b.accepts++
		n := b.accepts
		b.done.Add(1)
		b.mu.Unlock()
		go b.serve(conn, n)
	}
}

func (b *Backend) serve(conn net.Conn, n int) {
	defer b.done.Done()
	defer func() {
		conn.Close()
		b.mu.Lock()
		delete(b.conns, conn)
		b.mu.Unlock()
	}()
	in := bufio.NewReader(conn)
	for {
		r, err := readHead(in)
		if err != nil {
			return
		}
		r.Conn = n
		b.mu.Lock()
		answer, early := b.answer, b.early
		b.mu.Unlock()
		if early {
			r.Rest = in
			b.note(r)
			answer(b, conn, r)
			return
		}
		if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
			if _, err := io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
				return
			}
		}
		if err := r.readBody(in); err != nil {
			return
		}
		b.note(r)
		if !answer(b, conn, r) {
			return
		}
	}
}

func (b *Backend) note(r *Seen) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count++
	if b.keep {
		b.seen = append(b.seen, r)
		close(b.changed)
		b.changed = make(chan struct{})
	}
}

func readHead(in *bufio.Reader) (*Seen, error) {
	r := &Seen{Header: http.Header{}}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case r.Line == "":
			r.Line = line
			parts := strings.SplitN(line, " ", 3)
			if len(parts) != 3 {
				return nil, fmt.Errorf("request line %q", line)
			}
			r.Method, r.Target = parts[0], parts[1]
		case line == "":
			return r, nil
		default:
			r.Head = append(r.Head, line)
			name, value, _ := strings.Cut(line, ":")
			r.Header.Add(name, strings.TrimSpace(value))
		}
	}
}

const keptBody = 64 << 10

func (r *Seen) readBody(in *bufio.Reader) error {
	sum := sha256.New()
	sink := io.Writer(sum)
	var err error
	switch {
	case strings.EqualFold(r.Header.Get("Transfer-Encoding"), "chunked"):
		err = r.readChunks(in, sink)
	case r.Header.Get("Content-Length") != "":
		var n int64
		if n, err = strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64); err == nil {
			err = r.take(in, n, sink)
		}
	}
	sum.Sum(r.SHA256[:0])
	return err
}

func (r *Seen) readChunks(in *bufio.Reader, sink io.Writer) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimRight(line, "\r\n"), 16, 64)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := r.take(in, n, sink); err != nil {
			return err
		}
		if _, err := in.Discard(2); err != nil {
			return err
		}
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			return nil
		}
		r.Head = append(r.Head, "trailer "+line)
	}
}

func (r *Seen) take(in io.Reader, n int64, sink io.Writer) error {
	buf := make([]byte, min(n, 32<<10))
	for n > 0 {
		got, err := in.Read(buf[:min(n, int64(len(buf)))])
		sink.Write(buf[:got])
		r.Size += int64(got)
		n -= int64(got)
		if room := keptBody - len(r.Body); room > 0 {
			r.Body = append(r.Body, buf[:min(got, room)]...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// JSON answers 200 with a body, kept alive.
func JSON(body string) Answer { return Raw(Message(200, body, "Content-Type: application/json")) }

// Sized answers 200 with n bytes.
func Sized(n int) Answer {
	return Raw(Message(200, strings.Repeat("x", n), "Content-Type: text/plain"))
}

// Status answers with a status and a short body.
func Status(code int) Answer {
	return Raw(Message(code, fmt.Sprintf("status %d\n", code), "Content-Type: text/plain"))
}

// Message is a whole answer as it goes over the wire.
func Message(code int, body string, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", code, http.StatusText(code))
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.Bytes()
}

// Raw writes bytes as they are and keeps the connection. A HEAD request gets
// the head alone.
func Raw(answer []byte) Answer {
	head, _, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
	head = answer[:min(len(head)+4, len(answer))]
	return func(_ *Backend, conn net.Conn, r *Seen) bool {
		out := answer
		if r.Method == http.MethodHead {
			out = head
		}
		_, err := conn.Write(out)
		return err == nil
	}
}

// Closing writes bytes as they are and closes the connection.
func Closing(answer []byte) Answer {
	return func(_ *Backend, conn net.Conn, _ *Seen) bool {
		_, _ = conn.Write(answer)
		return false
	}
}

// Hang reads the request and answers nothing until the backend stops.
func Hang(b *Backend, conn net.Conn, _ *Seen) bool {
	<-b.stopped
	return false
}

// Held answers once release is closed.
func Held(release <-chan struct{}, then Answer) Answer {
	return func(b *Backend, conn net.Conn, r *Seen) bool {
		select {
		case <-release:
			return then(b, conn, r)
		case <-b.stopped:
			return false
		}
	}
}

// Reset breaks the connection instead of answering.
func Reset(_ *Backend, conn net.Conn, _ *Seen) bool {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return false
}

// Lie promises more bytes than it sends, and closes.
func Lie(_ *Backend, conn net.Conn, r *Seen) bool {
	_, _ = conn.Write(partial(r))
	return false
}

// partial is an answer that ends before its length. One to HEAD is complete.
func partial(r *Seen) []byte {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
	if r.Method == http.MethodHead {
		return []byte(head)
	}
	return []byte(head + "only this")
}

// Garbage answers something that is not HTTP.
func Garbage(_ *Backend, conn net.Conn, _ *Seen) bool {
	_, _ = io.WriteString(conn, "220 smtp.example.org ESMTP\r\n")
	return false
}

// StopMidBody sends a part of its answer and then nothing.
func StopMidBody(b *Backend, conn net.Conn, r *Seen) bool {
	if _, err := conn.Write(partial(r)); err != nil {
		return false
	}
	return Hang(b, conn, r)
}

// Refused returns the URL of a port on which nobody listens until the test ends: it is
// held, so that no other test's server gets it.
func Refused(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatalf("cannot hold a port: %v", err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatalf("cannot hold a port: %v", err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatalf("cannot hold a port: %v", err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}
