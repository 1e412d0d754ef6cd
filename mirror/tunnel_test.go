package mirror_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

// Either side of a tunnel may say that it has sent all, and go on reading.
func TestTunnelsPassAHalfCloseOn(t *testing.T) {
	t.Parallel()
	const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n"
	heard := make(chan string, 1)
	hear := func(conn net.Conn) {
		rest, err := io.ReadAll(conn)
		if err != nil {
			t.Errorf("the leg heard %q, %v", rest, err)
		}
		heard <- string(rest)
	}
	legFirst := func(_ *mirrortest.Backend, conn net.Conn, _ *mirrortest.Seen) bool {
		io.WriteString(conn, switched+"all I have\n")
		conn.(*net.TCPConn).CloseWrite()
		hear(conn)
		return false
	}
	callerFirst := func(_ *mirrortest.Backend, conn net.Conn, _ *mirrortest.Seen) bool {
		io.WriteString(conn, switched)
		hear(conn)
		io.WriteString(conn, "all I have\n")
		return false
	}
	for name, leg := range map[string]mirrortest.Answer{"the leg first": legFirst, "the caller first": callerFirst} {
		primary := mirrortest.NewBackend(t, leg)
		r := start(t, pair(primary.URL, mirrortest.Refused(t), mirror.Own))
		in, conn := r.raw("GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = in.ReadString('\n'); err != nil {
				t.Fatalf("%s: no tunnel: %v", name, err)
			}
		}
		if name == "the leg first" {
			expectAll(t, name, in)
		}
		io.WriteString(conn, "over and out\n")
		conn.(*net.TCPConn).CloseWrite()
		if got := <-heard; got != "over and out\n" {
			t.Errorf("%s: the leg heard %q", name, got)
		}
		if name == "the caller first" {
			expectAll(t, name, in)
		}
		if places := r.settled(1); places[parallax.UnmirroredUpgrade] != 1 {
			t.Errorf("%s: places %v", name, places)
		}
	}
}

func expectAll(t *testing.T, name string, in *bufio.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(in); string(rest) != "all I have\n" || err != nil {
		t.Errorf("%s: the caller heard %q, %v", name, rest, err)
	}
}

func TestForwardedIsContinued(t *testing.T) {
	t.Parallel()
	primary, candidate := mirrortest.NewBackend(t, mirrortest.Status(200)), mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	f := func(want string, headers ...string) {
		t.Helper()
		r.do("GET", "/", "", headers...)
		x := r.next()
		for leg := range 2 {
			var got []string
			for _, h := range x.Legs[leg].Request.Headers {
				if strings.EqualFold(h.Name, "Forwarded") {
					got = append(got, h.Value)
				}
			}
			if strings.Join(got, " / ") != want {
				t.Errorf("%q: the %s got Forwarded: %q, want %q", headers, parallax.Leg(leg), got, want)
			}
		}
	}
	ours := `for=127.0.0.1;proto=http;host="` + r.Addr + `"`
	f("")
	f("for=192.0.2.43, "+ours, "Forwarded: for=192.0.2.43")
	f(`for="[2001:db8::1]";by=x, for=unknown, `+ours, `Forwarded: for="[2001:db8::1]";by=x`, "Forwarded: for=unknown")
}
