package egress_test

import (
	"context"
	"testing"

	"parallax"
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
