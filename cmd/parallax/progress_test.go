package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"parallax/mirror/replay"
)

// halfway is a recording that is half read.
type halfway struct{ replay.Source }

func (halfway) Progress() (done, total int64) { return 50, 100 }

func TestProgress(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	p := newProgress(&out, halfway{}, func() time.Time { return now })
	p.tell(replay.Totals{Read: 1, Replayed: 1}) // too early
	now = now.Add(20 * time.Second)
	p.tell(replay.Totals{Read: 110, Replayed: 100})
	if want := "[===============               ]  50 %  100 replayed, 10 skipped, 5/s, 20s left\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	out.Reset()
	for range maxSkips + 3 {
		p.skip(&replay.Skip{Reason: replay.NoBody, Where: "r.log:7", Err: errors.New("no body")})
		p.skip(&replay.Skip{Reason: replay.OutOfRange, Where: "r.log:8"})
	}
	if n := strings.Count(out.String(), "\n"); n != maxSkips+1 || !strings.Contains(out.String(), "skipped (no_body): r.log:7: no body\n") {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}
