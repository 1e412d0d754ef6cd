package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"parallax/internal/atomicfile"
)

// Untaint forgives what was tainted before a time: the leg has a copy of the data of then.
// Until it returns nothing is to be sent to the leg.
func (s *Spool) Untaint(before time.Time) error {
	done := make(chan error, 1)
	s.mu.Lock()
	s.do(func() { done <- errors.Join(s.rewriteTaints(before), s.rewriteLost(before)) }) // behind all that was tainted by now
	s.mu.Unlock()
	if err := <-done; err != nil {
		return fmt.Errorf("cannot forgive what a leg was tainted with: %w", err)
	}
	s.mu.Lock()
	s.tainted = taints{}
	s.refresh()
	s.mu.Unlock()
	return errors.Join(s.readTaints(), s.countLost())
}

// TaintAnew has what is tainted already written down once more when it is tainted again: a
// later [Spool.Untaint] forgives what was before a time, not what came after it.
func (s *Spool) TaintAnew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := stale{keys: make(map[Key]bool, len(s.tainted.known)), all: s.tainted.all}
	for k := range s.tainted.known {
		again.keys[k] = true
	}
	s.tainted.again = again
}

// rewriteTaints leaves out the lines of before a time. What says no time stays.
func (s *Spool) rewriteTaints(before time.Time) error {
	text, err := os.ReadFile(s.taintsFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var kept strings.Builder
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		words := strings.SplitN(lines.Text(), " ", 3)
		if len(words) > 1 {
			// A line says the second, and its write was over by then.
			if at, err := time.Parse(time.RFC3339, words[1]); err == nil && at.Add(time.Second).Before(before) {
				continue
			}
		}
		kept.WriteString(lines.Text() + "\n")
	}
	return atomicfile.Replace(s.taintsFile(), []byte(kept.String()))
}
