package mirror_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"parallax"

	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestStreamsPassAtOnce(t *testing.T) {
	t.Parallel()
	step := make(chan string)
	stream := func(b *mirrortest.Backend, conn net.Conn, _ *mirrortest.Seen) bool {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		for event := range step {
			fmt.Fprintf(conn, "%x\r\n%s\r\n", len(event), event)
		}
		io.WriteString(conn, "0\r\n\r\n")
		return true
	}
	primary := mirrortest.NewBackend(t, stream)
	candidate := mirrortest.NewBackend(t, mirrortest.Hang)
	r := start(t, pair(primary.URL, candidate.URL, mirror.Shared))
	in, _ := r.raw("GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
	res, err := http.ReadResponse(in, nil) // the head comes before the first event
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(res.Body)
	for _, event := range []string{"data: 1\n", "data: 2\n"} {
		step <- event
		if got, err := lines.ReadString('\n'); got != event || err != nil {
			t.Fatalf("event %q arrived as %q, %v", event, got, err)
		}
	}
	close(step)
	if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
		t.Errorf("after the last event: %q, %v", rest, err)
	}
	candidate.Stop()
}

func TestRequestBodiesStream(t *testing.T) {
	t.Parallel()
	got := make(chan string)
	primary := mirrortest.NewBackend(t, func(b *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		in := r.Rest
		for range 2 {
			in.ReadString('\n') // the chunk's length
			line, _ := in.ReadString('\n')
			got <- strings.TrimSpace(line)
		}
		conn.Write(mirrortest.Message(200, "thanks"))
		return false
	}).AnswerEarly()
	r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")})
	in, conn := r.raw("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, piece := range []string{"first", "second"} {
		fmt.Fprintf(conn, "%x\r\n%s\r\n", len(piece), piece)
		if arrived := <-got; arrived != piece {
			t.Fatalf("the leg got %q, want %q", arrived, piece)
		}
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("early answer: %v, %v", res, err)
	}
	if !res.Close {
		t.Error("the connection is kept although its request never ended")
	}
}

func TestBothDirectionsStreamAtOnce(t *testing.T) {
	t.Parallel()
	// A leg that echoes each piece as it comes, beginning before the request ends.
	primary := mirrortest.NewBackend(t, func(_ *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			length, err := r.Rest.ReadString('\n')
			if err != nil {
				return false
			}
			piece, _ := r.Rest.ReadString('\n')
			fmt.Fprintf(conn, "%s%s", length, piece)
			if length == "0\r\n" {
				return false
			}
		}
	}).AnswerEarly()
	r := start(t, mirror.Service{Name: "shop", Mirror: mirror.DefaultOptions(), Primary: at(primary.URL, "")})
	in, conn := r.raw("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{"first", "second", "third"} {
		fmt.Fprintf(conn, "%x\r\n%s\r\n", len(piece), piece)
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != piece {
			t.Fatalf("%q came back as %q, %v", piece, got, err)
		}
	}
	io.WriteString(conn, "0\r\n\r\n")
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("at the end: %q, %v", rest, err)
	}
}

// Events pass as they come, and what may never end is not compared.
func TestEventStreamsPassAtOnceAndAreCounted(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		next := make(chan string)
		primary := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			w.(http.Flusher).Flush()
			for event := range next {
				io.WriteString(w, "data: "+event+"\n\n")
				w.(http.Flusher).Flush()
			}
		}
		candidate := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, "data: endless\n\n"); err != nil {
					return
				}
			}
		}
		cfg := pair(speaker(t, primary), speaker(t, candidate), mirror.Own)
		cfg.Mirror.Timeout = 200 * time.Millisecond
		if v.leg {
			cfg = asksHTTP2(cfg)
		}
		r := start(t, cfg)
		if v.caller {
			r.Client = h2c(t)
		}
		res, err := r.Client.Get(r.URL + "/events") // returns with the head
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		in := bufio.NewReader(res.Body)
		for i := range 3 {
			next <- fmt.Sprint(i)
			if line, err := in.ReadString('\n'); line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("%s: the caller got %q, %v", v.name, line, err)
			}
			in.ReadString('\n')
		}
		close(next)
		if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
			t.Errorf("%s: the rest is %q, %v", v.name, rest, err)
		}
		res.Body.Close()
		if places := r.settled(1); places[parallax.UnmirroredStream] != 1 {
			t.Errorf("%s: places %v", v.name, places)
		}
	}
}
