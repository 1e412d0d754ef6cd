package redis

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// TestListeningBacksOff: a Redis that hangs up on everybody is left alone for longer each time.
func TestListeningBacksOff(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := DefaultConfig()
	cfg.URL = "unix://" + at
	store, err := Open(cfg, "mirror")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		store.Step("shop").listen(ctx, nil)
	}()
	began, connections := time.Now(), 0
	for time.Since(began) < 10*listenAgain { // 1 at once, and after 100, 300, 700 ms; the library connects twice each time
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		connections++
	}
	if connections > 10 {
		t.Errorf("%d connections in %v", connections, time.Since(began))
	}
	cancel()
	<-ended
}
