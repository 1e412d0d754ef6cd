package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"parallax/mirror/replay"
)

// Bounds of what a replay prints.
const (
	barEvery  = 100 * time.Millisecond // on a terminal
	lineEvery = 10 * time.Second       // elsewhere
	barWidth  = 30
	maxSkips  = 5 // skipped requests of a reason that are named
)

// progress shows how far a replay is: a bar on a terminal, plain lines
// elsewhere. It is used by one goroutine.
type progress struct {
	out      io.Writer
	terminal bool
	source   replay.Source
	now      func() time.Time
	began    time.Time
	shown    time.Time
	named    map[replay.Reason]int
}

func newProgress(out io.Writer, source replay.Source, now func() time.Time) *progress {
	f, ok := out.(*os.File)
	p := &progress{out: out, terminal: ok && term.IsTerminal(int(f.Fd())), source: source, now: now, began: now(), named: map[replay.Reason]int{}}
	p.shown = p.began
	return p
}

// skip names the first requests that are skipped for a reason. What a user asked
// to leave out is not named.
func (p *progress) skip(s *replay.Skip) {
	if s.Reason == replay.OutOfRange {
		return
	}
	switch n := p.named[s.Reason]; {
	case n < maxSkips:
		p.line("skipped (%s): %v", s.Reason, s)
	case n == maxSkips:
		p.line("skipped (%s): further ones are counted only", s.Reason)
	}
	p.named[s.Reason]++
}

// waits says that nothing will happen for a while.
func (p *progress) waits(where string, d time.Duration) {
	p.line("%s is due in %s; to wait for nothing, use --rate max", where, d.Round(time.Second))
}

func (p *progress) line(format string, args ...any) {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

// tell shows the state if it was not shown lately.
func (p *progress) tell(t replay.Totals) {
	every := lineEvery
	if p.terminal {
		every = barEvery
	}
	now := p.now()
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	done, total := p.source.Progress()
	text := p.text(t, now, done, total)
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(p.out, text)
}

// text is one state: a bar where the end is known, requests, rate, time left.
func (p *progress) text(t replay.Totals, now time.Time, done, total int64) string {
	took := now.Sub(p.began)
	text := fmt.Sprintf("%d replayed, %d skipped, %.0f/s", t.Replayed, t.Read-t.Replayed, float64(t.Replayed)/max(took.Seconds(), 0.001))
	if total <= 0 || done <= 0 {
		return text
	}
	share := min(float64(done)/float64(total), 1)
	left := time.Duration(float64(took) * (1 - share) / share).Round(time.Second)
	full := int(share * barWidth)
	return fmt.Sprintf("[%s%s] %3.0f %%  %s, %s left", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), 100*share, text, left)
}

// end takes the bar away.
func (p *progress) end(replay.Totals) {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
