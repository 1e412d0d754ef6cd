package demo

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestScreenElsewhereThanOnATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		began := time.Now()
		line := func() string { return time.Since(began).String() }
		err := newScreen(&out).during(line, func() error {
			time.Sleep(12 * time.Second) // the bubble's clock
			return nil
		})
		if got, want := out.String(), "5s\n10s\n12s\n"; err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	})
}

func TestScreenOnATerminalDrawsOneLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := screen{out: &out, terminal: true, width: 5, every: redraw}
		_ = s.during(func() string { return "abcdef" }, func() error {
			time.Sleep(redraw + redraw/2) // the bubble's clock
			return nil
		})
		if got, want := out.String(), strings.Repeat("\r\x1b[Kabc…", 2)+"\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestBar(t *testing.T) {
	t.Parallel()
	f := func(done float64, want string) {
		t.Helper()
		if got := bar(done, 4); got != want {
			t.Errorf("bar(%v) is %s, want %s", done, got, want)
		}
	}
	f(-1, "░░░░")
	f(0.5, "██░░")
	f(0.99, "███░")
	f(7, "████")
}

func TestThousands(t *testing.T) {
	t.Parallel()
	f := func(n int64, want string) {
		t.Helper()
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) is %q, want %q", n, got, want)
		}
	}
	f(0, "0")
	f(999, "999")
	f(1000, "1 000")
	f(-1234567, "-1 234 567")
	f(-100, "-100")
}
