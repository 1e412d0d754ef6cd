package mirror_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// Informational answers pass while the answer is still being made.
func TestInformationalAnswersPassAtOnce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hints := func(_ *mirrortest.Backend, conn net.Conn, _ *mirrortest.Seen) bool {
		io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n")
		<-release
		conn.Write(mirrortest.Message(200, "done"))
		return true
	}
	primary := mirrortest.NewBackend(t, hints)
	candidate := mirrortest.NewBackend(t, hints)
	r := start(t, pair(primary.URL, candidate.URL, mirror.Shared))
	in, _ := r.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got, want := head(t, in), "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"; got != want {
		t.Errorf("the caller got %q, want %q", got, want)
	}
	close(release)
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
		t.Errorf("after the hints: %v, %v", res, err)
	}
	for leg, c := range r.next().Legs {
		if c != nil && c.Response.Status != 200 {
			t.Errorf("leg %d is said to have answered %d", leg, c.Response.Status)
		}
	}
}

// The head of an answer passes before its body has begun, whether its length is
// known or not.
func TestHeadsPassAtOnce(t *testing.T) {
	t.Parallel()
	for _, framing := range []string{"Content-Length: 2", "Transfer-Encoding: chunked"} {
		release := make(chan struct{})
		primary := mirrortest.NewBackend(t, func(_ *mirrortest.Backend, conn net.Conn, _ *mirrortest.Seen) bool {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+framing+"\r\n\r\n")
			<-release
			if framing == "Content-Length: 2" {
				io.WriteString(conn, "hi")
			} else {
				io.WriteString(conn, "2\r\nhi\r\n0\r\n\r\n")
			}
			return true
		})
		r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")})
		in, _ := r.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if got := head(t, in); got != "HTTP/1.1 200 OK\r\n"+framing+"\r\n\r\n" {
			t.Errorf("%s: the caller got %q", framing, got)
		}
		close(release)
		r.settled(1)
	}
}

// head reads up to the next empty line.
func head(t *testing.T, in *bufio.Reader) string {
	t.Helper()
	var text strings.Builder
	for {
		line, err := in.ReadString('\n')
		text.WriteString(line)
		if err != nil {
			t.Fatalf("after %q: %v", text.String(), err)
		}
		if line == "\r\n" {
			return text.String()
		}
	}
}

func TestContinueComesFromTheLiveLeg(t *testing.T) {
	t.Parallel()
	primary := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")})
	const head = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"

	in, conn := r.raw(head)
	if line, err := in.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" || err != nil {
		t.Fatalf("a leg that agrees: %q, %v", line, err)
	}
	in.ReadString('\n')
	io.WriteString(conn, "body")
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 200 {
		t.Fatalf("after the body: %v, %v", res, err)
	}

	primary.AnswerEarly().Become(mirrortest.Closing(mirrortest.Message(417, "no")))
	for range 20 {
		in, _ = r.raw(head)
		if line, err := in.ReadString('\n'); line != "HTTP/1.1 417 Expectation Failed\r\n" || err != nil {
			t.Fatalf("a leg that refuses: %q, %v", line, err)
		}
		res, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 417 No\r\n"), in)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); string(body) != "no" || err != nil || !res.Close {
			t.Fatalf("a leg that refuses: body %q, %v, closed %t", body, err, res.Close)
		}
	}
}

// Go's client hears of hints before the answer, and sends its body only once the
// live leg has asked for it.
func TestInformationalAnswersOfGo(t *testing.T) {
	t.Parallel()
	leg := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		io.Copy(w, req.Body) // which asks for it
	}))
	t.Cleanup(leg.Close)
	r := start(t, pair(leg.URL, leg.URL, mirror.Own))
	var got []string
	trace := &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			got = append(got, fmt.Sprintf("%d %s", code, header.Get("Link")))
			return nil
		},
		Got100Continue: func() { got = append(got, "continue") },
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "POST", r.URL+"/orders", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue")
	r.Client.Transport.(*http.Transport).ExpectContinueTimeout = time.Hour
	res, err := r.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); string(body) != "hello" || err != nil {
		t.Errorf("answered %q, %v", body, err)
	}
	if diff := cmp.Diff([]string{"103 </a.css>; rel=preload", "continue", "100 "}, got); diff != "" {
		t.Errorf("the caller heard of others (-want +got):\n%s", diff)
	}
	r.next()
}

// curl prints every head it gets, in order.
func TestInformationalAnswersOfCurl(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	primary := mirrortest.NewBackend(t, mirrortest.Raw([]byte(answer)))
	r := start(t, pair(primary.URL, primary.URL, mirror.Own))
	if got := curl(t, 0, "--include", r.URL+"/orders/1"); got != answer {
		t.Errorf("curl got %q, want %q", got, answer)
	}
}
