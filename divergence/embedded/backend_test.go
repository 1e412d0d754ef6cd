package embedded

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
)

// fakeLibrary counts its open sessions and runs query for every statement.
func fakeLibrary(open *atomic.Int64, query func() uintptr) *library {
	handle := new(uintptr)
	return &library{
		connect: func(int32, **byte) *uintptr { open.Add(1); return handle },
		hangUp:  func(*uintptr) { open.Add(-1) },
		query: func(uintptr, *byte, uintptr, *byte, uintptr, **byte, *uintptr, **byte, *uintptr, uintptr) uintptr {
			return query()
		},
		resultError:  func(uintptr) string { return "" },
		resultBuffer: func(uintptr) *byte { return nil },
		resultLength: func(uintptr) uintptr { return 0 },
		destroy:      func(uintptr) {},
	}
}

func TestPanicLeaksNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir(incoming, 0o700); err != nil {
		t.Fatal(err)
	}
	var open atomic.Int64
	b, err := newBackend(fakeLibrary(&open, func() uintptr { panic("on purpose") }), nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(&handler{run: b.run})
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	defer server.Close()
	for _, sql := range []string{"SELECT 1", "INSERT INTO t FORMAT CSV\n1"} {
		for range readersMax + 1 {
			res, err := http.Post(server.URL, "", strings.NewReader(sql))
			if err == nil {
				_ = res.Body.Close()
				t.Fatalf("got %s for a request that panicked", res.Status)
			}
		}
	}
	b.close()
	if n := open.Load(); n != 0 {
		t.Errorf("%d sessions are still open", n)
	}
	for _, q := range b.lanes {
		if len(q.places)+len(q.waiting) != 0 {
			t.Errorf("%d places of a lane are still taken, %d wait", len(q.places), len(q.waiting))
		}
	}
	if files, err := os.ReadDir(incoming); err != nil || len(files) != 0 {
		t.Errorf("rows are left behind: %v, %v", files, err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	q := newQueue(1, 1)
	if err := q.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	entered := make(chan error)
	go func() { entered <- q.enter(ctx) }()
	until(t, func() bool { return len(q.waiting) == 1 })
	var ex *Exception
	if err := q.enter(t.Context()); !errors.As(err, &ex) || ex.Code != 202 {
		t.Errorf("got %v from a full queue, want code 202", err)
	}
	leave()
	if err := <-entered; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v for a caller that left", err)
	}
	go func() { entered <- q.enter(t.Context()) }()
	until(t, func() bool { return len(q.waiting) == 1 })
	q.leave()
	if err := <-entered; err != nil {
		t.Error(err)
	}
}

func TestSpool(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir(incoming, 0o700); err != nil {
		t.Fatal(err)
	}
	path, err := spool(strings.NewReader("12345678"), 8)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "12345678" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
	var ex *Exception
	if _, err := spool(strings.NewReader("123456789"), 8); !errors.As(err, &ex) || ex.Code != 307 || !strings.Contains(ex.Text, "8 bytes") {
		t.Errorf("got %v for too many rows", err)
	}
	if _, err := spool(iotest.ErrReader(io.ErrUnexpectedEOF), 8); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v for rows that break off", err)
	}
	if files, err := os.ReadDir(incoming); err != nil || len(files) != 0 {
		t.Errorf("rows are left behind: %v, %v", files, err)
	}
}

func TestException(t *testing.T) {
	t.Parallel()
	f := func(text string, code int, want string) {
		t.Helper()
		if e := newException(text); e.Code != code || e.Error() != want {
			t.Errorf("%q: got %d %q, want %d %q", text, e.Code, e.Text, code, want)
		}
	}
	f("Code: 60. DB::Exception: no table", 60, "Code: 60. DB::Exception: no table")
	f("Code: 60. DB::Exception: Code: 60. DB::Exception: no table", 60, "Code: 60. DB::Exception: no table")
	f("Code: 60. DB::Exception: Code: 61. DB::Exception: x", 60, "Code: 60. DB::Exception: Code: 61. DB::Exception: x")
	f("something else", 0, "something else")
}
