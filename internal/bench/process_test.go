//go:build linux

package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testLab(t *testing.T) *lab {
	t.Helper()
	l, err := newLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(l.dir); !os.IsNotExist(err) {
			t.Errorf("the folder of the run is left behind: %v", err)
		}
	})
	return l
}

// TestNothingIsLeftRunning has a shell that leaves its child behind when it is
// asked to end. Both are suspended at that moment.
func TestNothingIsLeftRunning(t *testing.T) {
	t.Parallel()
	l := testLab(t)
	p, err := l.start("stubborn", "/bin/sh", "-c", `trap 'kill -KILL $$' TERM; sleep 1000 & echo ready; wait`)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := p.line(); err != nil || text != "ready" {
		t.Fatalf("got %q, %v", text, err)
	}
	serving, helping, err := p.family()
	if err != nil || len(serving) != 2 || len(helping) != 0 {
		t.Fatalf("got %v and %v, %v; want the shell and its child", serving, helping, err)
	}
	if got := held(serving); got.resident == 0 || got.descriptors == 0 {
		t.Errorf("two processes hold %+v", got)
	}
	for _, s := range serving {
		if err := syscall.Kill(s.pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	p.stop()
	for _, s := range serving {
		waitForEnd(t, s.pid)
	}
	p.stop() // again: nothing to do
}

// waitForEnd waits until a process that was killed has ended.
func waitForEnd(t *testing.T, pid int) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil || strings.Contains(string(text), ") Z ") {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("process %d is left running: %s", pid, text)
		case <-again.C:
		}
	}
}

func TestAProcessThatEndsSaysWhy(t *testing.T) {
	t.Parallel()
	p, err := testLab(t).start("broken", "/bin/sh", "-c", "echo no such backend >&2; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.line(); err == nil || !strings.Contains(err.Error(), "broken: it ended") {
		t.Errorf("line: got %v", err)
	}
	<-p.done
	if err := p.listens(context.Background(), "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "no such backend") {
		t.Errorf("listens: got %v, want the end of the log", err)
	}
	if _, _, err := p.cpu(); err == nil {
		t.Error("a process that ended still uses processor time")
	}
}

// listen serves backends in this process until the test ends.
func listen(t *testing.T, b *backend) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(conn)
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l.Addr().String()
}

func answering() *backend {
	return &backend{mode: answers, answer: response(jsonOf(answerSize)), sums: map[string]string{}}
}

func TestLoadAsksAtItsRate(t *testing.T) {
	t.Parallel()
	warmed := false
	got, err := load{
		address: listen(t, answering()), connections: 8, rate: 1000, warmup: 100 * time.Millisecond, span: 200 * time.Millisecond,
		request: ask("POST", "/items", jsonOf(4<<10)), warmedUp: func() error { warmed = true; return nil },
	}.run(context.Background())
	if err != nil || got.firstError != nil {
		t.Fatal(err, got.firstError)
	}
	if got.sent != 200 || got.answered != 200 || got.errors != 0 || got.rate != 1000 || !warmed {
		t.Errorf("got %+v, warmed up: %t; want 200 of the 300 counted", got, warmed)
	}
	if got.p50 <= 0 || got.p99 < got.p50 || got.max < got.p99 {
		t.Errorf("latencies out of order: %+v", got)
	}
}

// TestLatencyCountsFromWhenDue sends what was due an hour ago.
func TestLatencyCountsFromWhenDue(t *testing.T) {
	t.Parallel()
	c := &caller{address: listen(t, answering()), request: ask("GET", "/items/1", nil)}
	c.due, c.give = make(chan time.Time, 2), time.Now().Add(patience)
	c.due <- time.Now().Add(-time.Hour)
	close(c.due)
	c.run(context.Background())
	if c.failure != nil || len(c.latencies) != 1 || c.latencies[0] < time.Hour {
		t.Errorf("got %v, %v; want one latency over an hour", c.latencies, c.failure)
	}
}

func TestErrorsOfCallersAreCounted(t *testing.T) {
	t.Parallel()
	address, stop, err := refuses()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := (load{address: address, connections: 2, rate: 10, span: time.Second}).run(context.Background()); err == nil {
		t.Error("connections to nobody were opened")
	}
	c := &caller{address: address, due: make(chan time.Time, 1), give: time.Now().Add(patience)}
	c.due <- time.Now()
	close(c.due)
	c.run(context.Background())
	o := summarise([]*caller{c}, time.Second)
	if o.sent != 1 || o.errors != 1 || o.answered != 0 || o.firstError == nil || o.p50 == o.p50 {
		t.Errorf("got %+v, want one error and no latency", o)
	}
}

// TestBackendSumsUploads sends the same body with a length and in chunks.
func TestBackendSumsUploads(t *testing.T) {
	t.Parallel()
	b := answering()
	conn, err := net.Dial("tcp", listen(t, b))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, request := range []string{
		"POST /uploads/a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
		"POST /uploads/b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
	} {
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, int64(len(b.answer))); err != nil {
			t.Fatal(err)
		}
	}
	var sums map[string]string
	if err := getJSON(context.Background(), "http://"+conn.RemoteAddr().String()+sumsPath, &sums); err != nil {
		t.Fatal(err)
	}
	adminClient.CloseIdleConnections()
	if want := checksum(5, 0x9a71bb4c); sums["/uploads/a"] != want || sums["/uploads/b"] != want {
		t.Errorf("got %v, want %s twice", sums, want)
	}
}
