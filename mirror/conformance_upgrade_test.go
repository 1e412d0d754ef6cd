package mirror_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/websocket"

	"parallax"
	"parallax/mirror"
	"parallax/mirror/mirrortest"
)

func TestUpgradePassesThrough(t *testing.T) {
	t.Parallel()
	echo := func(_ *mirrortest.Backend, conn net.Conn, r *mirrortest.Seen) bool {
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
		io.Copy(conn, conn)
		return false
	}
	primary := mirrortest.NewBackend(t, echo)
	candidate := mirrortest.NewBackend(t, echo)
	r := start(t, pair(primary.URL, candidate.URL, mirror.Own))
	in, conn := r.raw("GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly ")
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("answer %v, %v", res, err)
	}
	io.WriteString(conn, "late")
	got := make([]byte, len("early late"))
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "early late" {
		t.Errorf("echo %q, %v", got, err)
	}
	conn.Close()
	if places := r.settled(1); places[parallax.UnmirroredUpgrade] != 1 || candidate.Count() != 0 {
		t.Errorf("places %v, candidate asked %d times", places, candidate.Count())
	}
}

// A WebSocket client and a WebSocket server talk to each other through Parallax.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	leg := httptest.NewServer(websocket.Handler(func(conn *websocket.Conn) {
		for message := ""; websocket.Message.Receive(conn, &message) == nil; {
			websocket.Message.Send(conn, message)
		}
	}))
	t.Cleanup(leg.Close)
	candidate := mirrortest.NewBackend(t, mirrortest.Status(200))
	r := start(t, pair(leg.URL, candidate.URL, mirror.Own))
	conn, err := websocket.Dial("ws://"+r.Addr+"/socket", "chat", "http://shop.example")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, message := range []string{"one", strings.Repeat("two", 100_000)} {
		if err := websocket.Message.Send(conn, message); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := websocket.Message.Receive(conn, &got); got != message || err != nil {
			t.Fatalf("%d bytes came back as %d, %v", len(message), len(got), err)
		}
	}
	conn.Close()
	if places := r.settled(1); places[parallax.UnmirroredUpgrade] != 1 || candidate.Count() != 0 {
		t.Errorf("places %v, candidate asked %d times", places, candidate.Count())
	}
}
