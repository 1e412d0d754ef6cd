package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen writes what goes on: on a terminal one line that is drawn again and
// again, elsewhere a plain line every few seconds.
type screen struct {
	out      io.Writer
	terminal bool
	width    int           // columns of the terminal
	every    time.Duration // between two drawings
}

// How often a line is drawn on a terminal, and written elsewhere.
const (
	redraw  = 200 * time.Millisecond
	rewrite = 5 * time.Second
)

func newScreen(out io.Writer) screen {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return screen{out: out, every: rewrite}
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	return screen{out: out, terminal: true, width: width, every: redraw}
}

// printf writes lines that stay.
func (s screen) printf(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format, args...) }

// during shows line() while do runs, and at its end leaves the last line() on
// the screen.
func (s screen) during(line func() string, do func() error) error {
	ctx, stop := context.WithCancel(context.Background())
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		s.show(ctx, line)
	}()
	err := do()
	stop()
	<-shown
	s.draw(line())
	if s.terminal {
		s.printf("\n")
	}
	return err
}

// show draws until ctx ends.
func (s screen) show(ctx context.Context, line func() string) {
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.draw(line())
		}
	}
}

func (s screen) draw(line string) {
	if !s.terminal {
		s.printf("%s\n", line)
		return
	}
	s.printf("\r\x1b[K%s", clip(line, s.width-1))
}

// clip cuts a line to a number of characters.
func clip(line string, characters int) string {
	if utf8.RuneCountInString(line) <= characters {
		return line
	}
	return string([]rune(line)[:max(characters-1, 0)]) + "…"
}

// bar is a progress bar of the given number of characters.
func bar(done float64, characters int) string {
	full := int(min(max(done, 0), 1) * float64(characters))
	return strings.Repeat("█", full) + strings.Repeat("░", characters-full)
}

// thousands writes a count with thin groups: 28 800.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
