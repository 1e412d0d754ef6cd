package h1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parallax"
)

// kind returns the kind of a failed request and whether a byte had left.
func kind(t testing.TB, err error) (parallax.ErrKind, bool) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("%v (%T) is not an *Error", err, err)
	}
	return e.Kind, e.Sent
}

func wantKind(t testing.TB, what string, err error, want parallax.ErrKind, sent bool) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	if got, s := kind(t, err); got != want || s != sent {
		t.Errorf("%s: got %v, sent %v, want %v, %v: %v", what, got, s, want, sent, err)
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// request reads one request with its body, as it came.
func request(r *bufio.Reader) (head, body string, err error) {
	for {
		line, err := r.ReadString('\n')
		if head += line; err != nil {
			return head, "", err
		}
		if line == "\r\n" {
			break
		}
	}
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), r)))
	if err != nil {
		return head, "", err
	}
	b, err := io.ReadAll(io.LimitReader(req.Body, max(req.ContentLength, 0)))
	return head, string(b), err
}

func TestRequestsOnTheirWay(t *testing.T) {
	t.Parallel()
	fields := []parallax.Field{{Name: "x-b", Value: "1"}, {Name: "CONTENT-length", Value: "99"}, {Name: "Connection", Value: "x"}, {Name: "host", Value: "evil"}, {Name: "Expect", Value: "x"}, {Name: "X-a", Value: ""}, {Name: "x-b", Value: "3"}}
	for _, c := range []struct {
		name string
		m    Message
		want string
	}{
		{"order, case, repeats", Message{Method: "GET", Target: "/a%2fb//?x;y=%zz", Host: "shop:81", Headers: fields},
			"GET /a%2fb//?x;y=%zz HTTP/1.1\r\nHost: shop:81\r\nx-b: 1\r\nX-a: \r\nx-b: 3\r\n\r\n"},
		{"place of the length", Message{Method: "PUT", Target: "/", Host: "a", Headers: fields, Length: 2, Body: text("ok"), Ready: true},
			"PUT / HTTP/1.1\r\nHost: a\r\nx-b: 1\r\nCONTENT-length: 2\r\nX-a: \r\nx-b: 3\r\n\r\n"},
		{"no body where one is usual", Message{Method: "POST", Target: "/", Host: "a"},
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
		{"length of zero that was said", Message{Method: "GET", Target: "/", Host: "a", Headers: []parallax.Field{{Name: "content-length", Value: "0"}}},
			"GET / HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\n\r\n"},
		{"target like a host", Message{Method: "GET", Target: "//b/c", Host: "a"}, "GET //b/c HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"chunked", Message{Method: "POST", Target: "/", Host: "a", Length: -1, Body: text("ok"), TrailerNames: []string{"X-Sum", "Host"}},
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"},
	} {
		heads := make(chan string, 1)
		addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
			head, _, _ := request(r)
			heads <- head
			io.WriteString(conn, okAnswer)
		})
		if _, _, err := ask(t, pool(t), addr, &c.m); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		equal(t, c.name, <-heads, c.want)
	}
}

func TestNothingThatCouldBeTakenForMoreIsSent(t *testing.T) {
	t.Parallel()
	var dialled atomic.Bool
	p := pool(t, func(p *Pool) {
		p.Dial = func(context.Context, string, string) (net.Conn, error) {
			dialled.Store(true)
			return nil, io.ErrClosedPipe
		}
	})
	good := Message{Method: "GET", Target: "/", Host: "a"}
	for _, spoil := range []func(*Message){
		func(m *Message) { m.Method = "GET / HTTP/1.1\r\n" },
		func(m *Message) { m.Target = "/ HTTP/1.1\r\nX: y" },
		func(m *Message) { m.Host = "a\r\nX: y" },
		func(m *Message) { m.Upgrade = "x\r\nX: y" },
		func(m *Message) { m.Headers = []parallax.Field{{Name: "X", Value: "1\r\nY: 2"}} },
		func(m *Message) { m.Headers = []parallax.Field{{Name: "X", Value: "1\nY: 2"}} },
		func(m *Message) { m.Headers = []parallax.Field{{Name: "X: 1\r\nY", Value: "2"}} },
		func(m *Message) { m.Headers = []parallax.Field{{Name: "", Value: "2"}} },
	} {
		m := good
		spoil(&m)
		_, err := p.Do(context.Background(), at("127.0.0.1:1"), &m)
		wantKind(t, "message", err, parallax.NotAsked, false)
	}
	if dialled.Load() {
		t.Error("a connection was opened for it")
	}
}

// TestRequestIsSentOnce has a leg that reads a request and closes the
// connection, on one that was used before and on a new one.
func TestRequestIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 1} {
		var got atomic.Int32
		addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
			for i := 0; ; i++ {
				if _, _, err := request(r); err != nil {
					return
				}
				got.Add(1)
				if i == before {
					return
				}
				io.WriteString(conn, okAnswer)
			}
		})
		p := pool(t)
		for range before {
			if _, _, err := ask(t, p, addr, &Message{}); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err := ask(t, p, addr, &Message{})
		wantKind(t, "request", err, parallax.Reset, true)
		equal(t, "requests that arrived", int(got.Load()), before+1)
	}
}

// TestDeadIdleConnectionIsReplaced covers a leg that closed an idle connection,
// and one that said something on it that nobody asked for.
func TestDeadIdleConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	for _, extra := range []string{"", "HTTP/1.1 408 Request Timeout\r\n\r\n"} {
		over := make(chan struct{}, 2)
		addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
			if _, _, err := request(r); err != nil {
				return
			}
			io.WriteString(conn, okAnswer)
			<-over
			io.WriteString(conn, extra)
			conn.(*net.TCPConn).CloseWrite()
			r.ReadByte() // until the client closes it
		})
		p := pool(t)
		if _, _, err := ask(t, p, addr, &Message{}); err != nil {
			t.Fatal(err)
		}
		idle := p.hosts[address{"http", addr, ""}].idle
		if len(idle) != 1 {
			t.Fatalf("%d idle connections", len(idle))
		}
		c := idle[0]
		over <- struct{}{}
		over <- struct{}{}
		for !readable(t, c) {
		}
		if _, got, err := ask(t, p, addr, &Message{}); err != nil || got != "ok" {
			t.Errorf("after %q: %q, %v", extra, got, err)
		}
	}
}

// readable reports whether an idle connection has something to read.
func readable(t testing.TB, c *clientConn) (yes bool) {
	err := c.probeRaw.Control(func(fd uintptr) { yes = peerLeft(fd) })
	if err != nil {
		t.Fatal(err)
	}
	return yes
}

func TestBytesAfterAnAnswerEndTheConnection(t *testing.T) {
	t.Parallel()
	p := pool(t)
	addr := leg(t, okAnswer+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
	for range 2 {
		if _, got, err := ask(t, p, addr, &Message{}); err != nil || got != "ok" {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		okAnswer,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
	} {
		var connections atomic.Int32
		addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
			connections.Add(1)
			for {
				if _, _, err := request(r); err != nil {
					return
				}
				io.WriteString(conn, answer)
			}
		})
		p := &Pool{}
		for range 5 {
			if _, _, err := ask(t, p, addr, &Message{}); err != nil {
				t.Fatal(err)
			}
		}
		p.Close()
		equal(t, answer, int(connections.Load()), 1)
	}
}

func TestFailuresHaveAKind(t *testing.T) {
	t.Parallel()
	silent := scripted(t, func(_ net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })

	_, _, err := ask(t, pool(t), "127.0.0.1:1", &Message{})
	wantKind(t, "nobody listens", err, parallax.Refused, false)

	_, _, err = ask(t, pool(t), silent, &Message{Deadline: time.Now().Add(200 * time.Millisecond)})
	wantKind(t, "deadline", err, parallax.Timeout, true)

	_, _, err = ask(t, pool(t, func(p *Pool) { p.HeadTimeout = 20 * time.Millisecond }), silent, &Message{})
	wantKind(t, "head timeout", err, parallax.Timeout, true)

	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err = pool(t).Do(ctx, at(silent), &Message{Method: "GET", Target: "/", Host: "a"})
	wantKind(t, "context", err, parallax.Timeout, true)

	ctx, stop := context.WithCancel(context.Background())
	heard := scripted(t, func(_ net.Conn, r *bufio.Reader) {
		r.ReadByte()
		stop()
		io.Copy(io.Discard, r)
	})
	_, err = pool(t).Do(ctx, at(heard), &Message{Method: "GET", Target: "/", Host: "a"})
	wantKind(t, "cancelled", err, parallax.Reset, true)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	_, _, err = ask(t, pool(t), silent, &Message{Method: "POST", Length: 5, Body: text("abc"), Ready: true})
	wantKind(t, "body too short, at once", err, parallax.CallerGone, false)

	_, _, err = ask(t, pool(t), silent, &Message{Method: "POST", Length: 5, Body: text("abc")})
	wantKind(t, "body too short", err, parallax.CallerGone, true)

	p := pool(t)
	p.Close()
	_, _, err = ask(t, p, silent, &Message{})
	wantKind(t, "closed pool", err, parallax.Reset, false)
	if !errors.Is(err, ErrClosed) {
		t.Errorf("closed pool: %v", err)
	}

	_, _, err = ask(t, pool(t), leg(t, "SSH-2.0"), &Message{})
	wantKind(t, "another protocol", err, parallax.BadAnswer, true)

	_, _, err = ask(t, pool(t), leg(t, "HTTP/1.1 2"), &Message{})
	wantKind(t, "half a head", err, parallax.Reset, true)

	_, _, err = ask(t, pool(t), leg(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), &Message{})
	wantKind(t, "half a body", err, parallax.Reset, true)
}

func TestDeadlineHoldsForTheBody(t *testing.T) {
	t.Parallel()
	addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
		request(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		io.Copy(io.Discard, r)
	})
	res, got, err := ask(t, pool(t), addr, &Message{Deadline: time.Now().Add(300 * time.Millisecond)})
	if res == nil || got != "half" {
		t.Fatalf("got %v, %q, %v", res, got, err)
	}
	wantKind(t, "body", err, parallax.Timeout, true)
}

// TestEarlyAnswerIsSeen has a leg answer while the body is still coming, with a
// caller that never sends the rest.
func TestEarlyAnswerIsSeen(t *testing.T) {
	t.Parallel()
	addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := r.ReadString('\n'); err == nil {
			io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		}
		io.Copy(io.Discard, r)
	})
	body, rest := io.Pipe()
	go io.WriteString(rest, "begin")
	res, got, err := ask(t, pool(t), addr, &Message{Method: "POST", Length: -1, Body: body})
	if err != nil || res.Status != 413 || got != "no" {
		t.Fatalf("got %v, %q, %v", res, got, err)
	}
	rest.Close()
	for {
		if _, err := rest.Write([]byte("x")); err != nil {
			break // the upload has closed the body
		}
	}
}

// TestLargeUploadDoesNotBlockTheAnswer has a leg that answers a body which it
// does not read.
func TestLargeUploadDoesNotBlockTheAnswer(t *testing.T) {
	t.Parallel()
	addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
		r.ReadString('\n')
		io.WriteString(conn, "HTTP/1.1 507 Full\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, conn)
	})
	const size = 32 << 20
	res, got, err := ask(t, pool(t), addr, &Message{Method: "POST", Length: size, Body: text(strings.Repeat("a", size)), Ready: true})
	if err != nil || res.Status != 507 || got != "no" {
		t.Fatalf("got %v, %q, %v", res, got, err)
	}
}

func TestBodyWaitsForContinue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer string
		body         string
		informed     int
		patience     time.Duration
	}{
		{"asked for", "HTTP/1.1 100 Continue\r\n\r\n", "ok", 1, time.Minute},
		{"silence", "", "ok", 0, 200 * time.Millisecond},
		{"refused", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno", "", 0, time.Minute},
	} {
		bodies := make(chan string, 1)
		addr := scripted(t, func(conn net.Conn, r *bufio.Reader) {
			for line := ""; line != "\r\n"; {
				line, _ = r.ReadString('\n')
			}
			if r.Buffered() > 0 {
				t.Errorf("%s: the body came unasked", c.name)
			}
			io.WriteString(conn, c.answer)
			b := make([]byte, 2)
			n, _ := io.ReadFull(r, b)
			bodies <- string(b[:n])
			if n == 2 {
				io.WriteString(conn, okAnswer)
			}
		})
		informed := 0
		res, _, err := ask(t, pool(t, func(p *Pool) { p.ContinueTimeout = c.patience }), addr, &Message{
			Method: "POST", Length: 2, Body: text("ok"), Ready: true, Continue: true, Inform: func(int, []parallax.Field) { informed++ }})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if c.body == "" {
			equal(t, "status", res.Status, 417)
		}
		equal(t, c.name, <-bodies, c.body)
		equal(t, "informational answers", informed, c.informed)
	}
}

func TestInform(t *testing.T) {
	t.Parallel()
	addr := leg(t, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+okAnswer)
	var got []int
	_, body, err := ask(t, pool(t), addr, &Message{Inform: func(status int, headers []parallax.Field) {
		got = append(got, status)
		if status == 103 {
			equal(t, "headers", headers, []parallax.Field{{Name: "Link", Value: "</a>"}})
		}
	}})
	if err != nil || body != "ok" {
		t.Fatal(body, err)
	}
	equal(t, "statuses", got, []int{103, 102})
}

// Ready is what tells a proxy whether to send on what it has: it is never true
// when Read would wait.
func TestReadyNeverPromisesBytesThatAreNotThere(t *testing.T) {
	t.Parallel()
	f := func(first string, ready bool, then string) {
		t.Helper()
		goOn := make(chan struct{})
		addr := scripted(t, func(conn net.Conn, in *bufio.Reader) {
			if _, _, err := request(in); err != nil {
				return
			}
			io.WriteString(conn, first)
			<-goOn
			io.WriteString(conn, then)
		})
		res, err := pool(t).Do(t.Context(), at(addr), &Message{Method: "GET", Target: "/", Host: "a"})
		if err != nil {
			t.Fatal(err)
		}
		defer res.Close()
		equal(t, "ready after "+first, res.Ready(), ready)
		if ready {
			if n, err := res.Read(make([]byte, 1)); n != 1 && err != io.EOF {
				t.Errorf("ready after %q, but Read returned %d, %v", first, n, err)
			}
		}
		close(goOn)
		if _, err := io.ReadAll(res); err != nil {
			t.Errorf("after %q: %v", first, err)
		}
		equal(t, "ready at the end of "+first, res.Ready(), true)
	}
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false, "ok")
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", true, "k")
	f("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true, "")
	f("HTTP/1.1 200 OK\r\n\r\n", false, "ok")
	f("HTTP/1.1 200 OK\r\n\r\no", true, "k")
	f(chunked, false, "2\r\nok\r\n0\r\n\r\n")
	f(chunked+"2\r", false, "\nok\r\n0\r\n\r\n")
	f(chunked+"2\r\n", false, "ok\r\n0\r\n\r\n")
	f(chunked+"2\r\no", true, "k\r\n0\r\n\r\n")
	f(chunked+"0\r\n\r\n", true, "")
}
