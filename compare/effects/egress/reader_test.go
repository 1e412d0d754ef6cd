package egress_test

import (
	"context"
	"testing"

	"parallax"
	"parallax/compare/effects/egress"
)

// TestReadersTakeTurns has another joiner read, as after a reload.
func TestReadersTakeTurns(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	log, c := r.Reader(parallax.Secondary), r.client("secondary", nil)
	run := func(s *sink) (end func()) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- log.Run(ctx, s) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	first, second := newSink(), newSink()
	endFirst := run(first)
	first.until(t, "the log is read", func() bool { return len(first.gaps) == 1 })
	endSecond := run(second)
	do(t, c, "GET", "http://mail.example/1", "")
	first.take(t, 0)
	endFirst()
	second.until(t, "the log is read by the second", func() bool { return len(second.gaps) == 1 && second.last == 1 })
	do(t, c, "GET", "http://mail.example/2", "")
	if got := columns(second.take(t, 0).Changes[0].After)["path"]; got != "/2" {
		t.Errorf("the second reads %s", got)
	}
	endSecond()
	waiting := newSink()
	endThird, endFourth := run(waiting), run(waiting)
	endThird()
	endFourth()
}

// TestRetire leaves the listener to another process while a client keeps a connection.
func TestRetire(t *testing.T) {
	t.Parallel()
	mail, asked := outside(t)
	r := start(t, func(c *egress.Config, _ *egress.Deps) { c.Allow = []egress.Allow{{Host: hostport(mail, "127.0.0.1")}} })
	c := r.client("primary", nil)
	do(t, c, "POST", mail.URL, "1")
	if err := r.Retire(); err != nil {
		t.Fatal(err)
	}
	s := r.logs[parallax.Primary]
	s.until(t, "the joiner hears of it", func() bool { return len(s.gaps) == 2 })
	if status, _ := do(t, c, "POST", mail.URL, "2"); status != 202 {
		t.Errorf("on the connection that was open: %d", status)
	}
	if res, err := c.Post(mail.URL, "", nil); err == nil {
		res.Body.Close()
		t.Error("the connection is still used")
	}
	if len(*asked) != 2 {
		t.Errorf("outside was asked %q", *asked)
	}
}
