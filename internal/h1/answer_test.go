package h1

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"parallax"
)

// undated takes the Date line out of an answer.
func undated(s string) string {
	before, after, ok := strings.Cut(s, "Date: ")
	if !ok {
		return s
	}
	_, after, _ = strings.Cut(after, "\r\n")
	return before + after
}

const bye = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

// headers has one of each kind of field.
var headers = []parallax.Field{{Name: "x-b", Value: "1"}, {Name: "CONTENT-LENGTH", Value: "99"}, {Name: "Connection", Value: "x"}, {Name: "X-a", Value: "2"}, {Name: "x-b", Value: "3"}}

// answerCases are what handlers do, and what their callers get to see of it but
// for Date.
var answerCases = []struct {
	name, request string
	handler       func(*Request, *Writer)
	want          string
}{
	{"order, case, repeats and the place of the length", bye, func(_ *Request, w *Writer) {
		w.Head(200, headers, 2, nil, false)
		w.Write([]byte("ok"))
	}, "HTTP/1.1 200 OK\r\nx-b: 1\r\nCONTENT-LENGTH: 2\r\nX-a: 2\r\nx-b: 3\r\nConnection: close\r\n\r\nok"},
	{"length that nobody gave", bye, func(_ *Request, w *Writer) {
		w.Head(200, nil, 2, nil, false)
		w.Write([]byte("ok"))
	}, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"},
	{"unknown length", bye, func(_ *Request, w *Writer) {
		w.Head(200, headers[:2], -1, nil, false)
		w.Write([]byte("ok"))
	}, "HTTP/1.1 200 OK\r\nx-b: 1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
	{"unknown length in HTTP/1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", func(_ *Request, w *Writer) {
		w.Head(200, nil, -1, nil, false)
		w.Write([]byte("ok"))
	}, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"},
	{"keep-alive in HTTP/1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n", func(_ *Request, w *Writer) {
		w.Head(200, nil, 1, nil, false)
		w.Write([]byte("k"))
	}, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nkHTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nk"},
	{"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(_ *Request, w *Writer) {
		w.Head(200, nil, 7, nil, false)
		w.Write([]byte("nothing"))
	}, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n"},
	{"HEAD of unknown length", "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(_ *Request, w *Writer) {
		w.Head(200, nil, -1, nil, false)
	}, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
	{"204", bye, func(_ *Request, w *Writer) { w.Head(204, headers[1:2], 0, nil, false) },
		"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"},
	{"304", bye, func(_ *Request, w *Writer) { w.Head(304, nil, 5, nil, false) },
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"},
	{"status without a name", bye, func(_ *Request, w *Writer) { w.Head(799, nil, 0, nil, false) },
		"HTTP/1.1 799 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"trailers", bye, func(_ *Request, w *Writer) {
		w.Head(200, nil, -1, []string{"X-Sum", "Content-Length"}, false)
		w.Write([]byte("ok"))
		w.Trailers([]parallax.Field{{Name: "X-Sum", Value: "1"}, {Name: "Host", Value: "evil"}})
	}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"},
	{"no line can be smuggled in", bye, func(_ *Request, w *Writer) {
		w.Head(200, []parallax.Field{{Name: "X", Value: "1\r\nY: 2"}, {Name: "Z: 1\r\nQ", Value: "3"}, {Name: "", Value: "4"}}, 0, nil, false)
	}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"nothing answered", bye, func(_ *Request, w *Writer) {},
		"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"last", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", func(_ *Request, w *Writer) { w.Head(200, nil, 0, nil, true) },
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"early hints", bye, func(_ *Request, w *Writer) {
		w.Inform(100, nil) // nobody waits for it
		w.Inform(103, []parallax.Field{{Name: "Link", Value: "</a>"}, {Name: "Connection", Value: "x"}})
		w.Head(200, nil, 0, nil, false)
		w.Inform(103, nil) // too late
	}, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"no early hints in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", func(_ *Request, w *Writer) {
		w.Inform(103, nil)
		w.Head(200, nil, 0, nil, false)
	}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"aborted chunks", bye, func(_ *Request, w *Writer) {
		w.Head(200, nil, -1, nil, false)
		w.Write([]byte("ok"))
		w.Abort()
	}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n"},
	{"shorter than declared", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", func(_ *Request, w *Writer) {
		w.Head(200, nil, 5, nil, false)
		w.Write([]byte("ok"))
	}, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"},
	{"panic after the head", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", func(_ *Request, w *Writer) {
		w.Head(200, nil, -1, nil, false)
		panic("defect")
	}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"pipelined", "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nunreadHEAD /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", func(r *Request, w *Writer) {
		w.Head(200, nil, 2, nil, false)
		w.Write([]byte(r.Target))
	}, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/1HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/2HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"},
}

func TestAnswersOnTheWire(t *testing.T) {
	t.Parallel()
	for _, c := range answerCases {
		_, addr := start(t, c.handler)
		got := raw(t, addr, c.request)
		for undated(got) != got {
			got = undated(got)
		}
		equal(t, c.name, got, c.want)
	}
}

func TestDateIsAddedOnce(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(r *Request, w *Writer) {
		var own []parallax.Field
		if r.Target == "/own" {
			own = []parallax.Field{{Name: "date", Value: "yesterday"}}
		}
		w.Head(200, own, 0, nil, true)
	})
	_, without := start(t, echo, func(s *Server) { s.NoDate = true })
	if got := raw(t, without, bye); strings.Contains(got, "Date") {
		t.Errorf("Date although it is not wanted: %q", got)
	}
	if got := raw(t, addr, bye); strings.Count(got, "Date: ") != 1 || !strings.Contains(got, " GMT\r\n") {
		t.Errorf("no Date: %q", got)
	}
	if got := raw(t, addr, "GET /own HTTP/1.1\r\nHost: a\r\n\r\n"); strings.Contains(got, "Date") || !strings.Contains(got, "date: yesterday\r\n") {
		t.Errorf("not the leg's Date: %q", got)
	}
}

func TestWriteIsHeldToItsLength(t *testing.T) {
	t.Parallel()
	errs := make(chan error, 3)
	_, addr := start(t, func(_ *Request, w *Writer) {
		_, err := w.Write([]byte("x"))
		errs <- err
		w.Head(200, nil, 2, nil, true)
		_, err = w.Write([]byte("okay"))
		errs <- err
		_, err = w.Write([]byte("y"))
		errs <- err
	})
	if got := raw(t, addr, bye); !strings.HasSuffix(got, "\r\n\r\nok") {
		t.Errorf("got %q", got)
	}
	for _, want := range []error{ErrNoHead, ErrLength, ErrLength} {
		if err := <-errs; !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestContinueIsSentWhenTheBodyIsWanted(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(r *Request, w *Writer) {
		if r.Target == "/read" {
			echo(r, w)
			return
		}
		if r.Target == "/leg" {
			w.Inform(100, nil)
			echo(r, w)
			return
		}
		w.Head(413, nil, 0, nil, false)
	})
	const head = " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
	for _, target := range []string{"/read", "/leg"} {
		conn := dial(t, addr)
		in := bufio.NewReader(conn)
		io.WriteString(conn, "POST "+target+head)
		line, err := in.ReadString('\n')
		if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%s: got %q, %v", target, line, err)
		}
		in.ReadString('\n')
		io.WriteString(conn, "ok")
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: got %v, %v", target, res, err)
		}
		got, _ := io.ReadAll(res.Body)
		equal(t, "body", string(got), "ok")
	}
	// A body that nobody asked for may come or not, so the connection ends.
	got := raw(t, addr, "POST /refuse"+head)
	if !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.Contains(got, "Connection: close\r\n") {
		t.Errorf("got %q", got)
	}
}

func TestRequestTrailers(t *testing.T) {
	t.Parallel()
	type result struct {
		names    []string
		trailers []parallax.Field
	}
	results := make(chan result, 1)
	_, addr := start(t, func(r *Request, w *Writer) {
		if r.Body != nil {
			io.Copy(io.Discard, r.Body)
			results <- result{r.TrailerNames, r.Body.Trailers()}
		}
		w.Head(200, nil, 0, nil, false)
	})
	raw(t, addr, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Host\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nHost: evil\r\nX-sum: 2\r\n\r\n"+bye)
	got := <-results
	equal(t, "names", got.names, []string{"X-Sum"})
	equal(t, "trailers", got.trailers, []parallax.Field{{Name: "X-Sum", Value: "1"}, {Name: "X-sum", Value: "2"}})
}

func TestSwitch(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(r *Request, w *Writer) {
		conn, err := w.Switch([]parallax.Field{{Name: "Upgrade", Value: r.Upgrade}, {Name: "Connection", Value: "upgrade"}})
		if err != nil {
			w.Head(400, nil, 0, nil, true)
			return
		}
		defer conn.Close()
		io.Copy(conn, conn)
	})
	conn := dial(t, addr)
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\nahead")
	conn.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "conversation", string(got), "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nahead")
	if got := raw(t, addr, bye); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Errorf("switched without being asked: %q", got)
	}
}

func TestAbortIsSeenWithoutFraming(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(_ *Request, w *Writer) {
		w.Head(200, nil, -1, nil, false)
		w.Write([]byte("ok"))
		w.Abort()
	})
	conn := dial(t, addr)
	io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	if got, err := io.ReadAll(conn); err == nil {
		t.Errorf("the answer looks complete: %q", got)
	}
}

// TestTakenBodyNeverLooksComplete answers before the body was read. What the
// server then discards must not be missing in the middle, or at the end, of what
// somebody else still reads.
func TestTakenBodyNeverLooksComplete(t *testing.T) {
	t.Parallel()
	results := make(chan error, 1)
	answered := make(chan struct{})
	_, addr := start(t, func(r *Request, w *Writer) {
		if r.Body == nil {
			w.Head(200, nil, 0, nil, false)
			return
		}
		b := r.Body
		b.Read(make([]byte, 2))
		go func() {
			<-answered
			_, err := io.Copy(io.Discard, b)
			results <- err
		}()
		w.Head(200, nil, 0, nil, false)
	})
	conn := dial(t, addr)
	in := bufio.NewReader(conn)
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"+bye)
	for range 2 { // the second answer comes when the first request is over
		if _, err := http.ReadResponse(in, nil); err != nil {
			t.Fatal(err)
		}
	}
	close(answered)
	if err := <-results; err != ErrBodyLate {
		t.Errorf("got %v", err)
	}
}

// TestEarlyAnswerArrives has a caller that sends on while it is answered; if the
// connection was reset, it would lose the answer.
func TestEarlyAnswerArrives(t *testing.T) {
	t.Parallel()
	_, addr := start(t, func(r *Request, w *Writer) {
		var first [1]byte
		r.Body.Read(first[:])
		w.Head(413, nil, 0, nil, true)
	})
	conn := dial(t, addr)
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("a", 100_000))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "status", res.StatusCode, 413)
}

// TestEarlyAnswerOfALegArrives is the same through a proxy: the body is being
// waited for by the upload when the handler is through.
func TestEarlyAnswerOfALegArrives(t *testing.T) {
	t.Parallel()
	leg := scripted(t, func(conn net.Conn, r *bufio.Reader) {
		r.ReadString('\n')
		io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		io.Copy(io.Discard, r)
	})
	_, addr := start(t, relay(pool(t), leg))
	conn := dial(t, addr)
	in := bufio.NewReader(conn)
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n")
	if _, err := in.Peek(1); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "10000\r\n"+strings.Repeat("a", 1<<16)+"\r\n") // it had not looked yet
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 413 || string(got) != "no" {
		t.Errorf("got %d, %q, %v", res.StatusCode, got, err)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the connection does not end well: %v", err)
	}
}

func TestBodyEndsWithItsRequest(t *testing.T) {
	t.Parallel()
	kept := make(chan *RequestBody, 1)
	reading := make(chan struct{})
	read := make(chan error, 1)
	_, addr := start(t, func(r *Request, w *Writer) {
		if r.Target == "/late" {
			kept <- r.Body
		} else {
			b := r.Body
			go func() {
				io.ReadFull(b, make([]byte, 1))
				close(reading)
				_, err := b.Read(make([]byte, 1))
				read <- err
			}()
			<-reading
		}
		w.Head(200, nil, 0, nil, false)
	})
	raw(t, addr, "POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	if _, err := (<-kept).Read(make([]byte, 1)); err != ErrBodyLate && err != io.EOF {
		t.Errorf("late read: %v", err)
	}
	// One that is being waited for ends, too.
	conn := dial(t, addr)
	io.WriteString(conn, "POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\no")
	if err := <-read; err == nil {
		t.Error("a body that nobody wants was read on")
	}
}
