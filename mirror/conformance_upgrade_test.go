package mirror_test

import (
	"io"
	"net"
	"net/http"
	"testing"

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
