package effectstest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/compare/effects"
)

// Database is a database with one table, notes(id number primary key, note text), that a
// reader under test reads.
type Database struct {
	Reader effects.Reader

	// Write inserts rows in one transaction, with tags before them, and rolls it back
	// unless commit is set.
	Write func(commit bool, tags []string, ids ...int)
	// Cut ends the reader's connection; it may connect again at once.
	Cut func()
}

// Conformance checks what the joiner relies on, for each test with a database of its own.
func Conformance(t *testing.T, open func(t *testing.T) Database) {
	t.Run("transactions come in order, with their tags and nothing that was rolled back", func(t *testing.T) {
		d, seen := start(t, open)
		d.Write(true, []string{"a"}, 1, 2)
		d.Write(false, []string{"b"}, 3)
		d.Write(true, nil, 4)
		d.Write(true, []string{"c", "d"}, 5)
		pass(t, d, seen)
		if diff := cmp.Diff([]string{"[a] 1 2", "[] 4", "[c d] 5"}, seen.lines()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		seen.check(t)
	})
	t.Run("a position covers everything before it, also where nothing is written", func(t *testing.T) {
		d, seen := start(t, open)
		for id := range 20 {
			d.Write(true, nil, id)
			pass(t, d, seen)
			if got := len(seen.lines()); got != id+1 {
				t.Fatalf("%d transactions were handed over when the position of %d was passed", got, id+1)
			}
		}
		pass(t, d, seen)
		pass(t, d, seen)
	})
	t.Run("a lost connection is a gap, and reading goes on", func(t *testing.T) {
		d, seen := start(t, open)
		d.Write(true, nil, 1)
		pass(t, d, seen)
		before := time.Now()
		d.Cut()
		until(t, "the second gap has ended", func() bool { return seen.ended() == 2 })
		seen.mu.Lock()
		last := seen.gaps[len(seen.gaps)-1]
		seen.mu.Unlock()
		if last.Until.Before(before.Add(-time.Second)) || last.From.After(last.Until) || last.Why == "" {
			t.Errorf("the gap is %+v; the connection was cut at %s", last, before)
		}
		d.Write(true, []string{"after"}, 2)
		pass(t, d, seen)
		lines := seen.lines()
		if got := lines[len(lines)-1]; got != "[after] 2" {
			t.Errorf("the last transaction is %s", got)
		}
	})
}

// start runs the reader of a new database until the test ends, and waits until it reads.
func start(t *testing.T, open func(t *testing.T) Database) (Database, *sink) {
	t.Helper()
	d, seen := open(t), &sink{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Reader.Run(ctx, seen) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	until(t, "the first gap has ended", func() bool { return seen.ended() == 1 })
	return d, seen
}

// pass asks for a position and waits until it is passed.
func pass(t *testing.T, d Database, seen *sink) {
	t.Helper()
	var to effects.Position
	until(t, "a position is told", func() (told bool) {
		var err error
		to, err = d.Reader.Position(t.Context())
		return err == nil
	})
	until(t, fmt.Sprintf("position %d is passed", to), func() bool {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		return seen.passed >= to
	})
}

// until waits for a state.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("it is not so: %s", what)
		}
	}
}

// sink notes what a reader hands over.
type sink struct {
	mu     sync.Mutex
	list   []effects.Transaction
	passed effects.Position
	gaps   []effects.Gap
	wrong  []string
}

// Transaction implements [effects.Sink].
func (s *sink) Transaction(tx effects.Transaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tx.Position <= s.passed {
		s.wrong = append(s.wrong, fmt.Sprintf("a transaction at %d came after %d was passed", tx.Position, s.passed))
	}
	if tx.ID == "" || tx.At.IsZero() {
		s.wrong = append(s.wrong, fmt.Sprintf("a transaction has no id or time: %+v", tx))
	}
	s.list = append(s.list, tx)
}

// Passed implements [effects.Sink].
func (s *sink) Passed(p effects.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed = p
}

// Gap implements [effects.Sink].
func (s *sink) Gap(from, until time.Time, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps = append(s.gaps, effects.Gap{From: from, Until: until, Why: why})
	s.passed = 0
}

func (s *sink) ended() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.gaps {
		if !g.Until.IsZero() {
			n++
		}
	}
	return n
}

func (s *sink) check(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.wrong {
		t.Error(text)
	}
	for _, tx := range s.list {
		for _, c := range tx.Changes {
			if c.Op != parallax.Insert || c.Table != "notes" || len(c.Key) != 1 || c.Key[0].Type != parallax.NumberColumn || len(c.After) != 2 {
				t.Errorf("the change is %+v", c)
			}
		}
	}
}

// lines writes the transactions as [tags] keys.
func (s *sink) lines() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, tx := range s.list {
		line := fmt.Sprint(tx.Tags)
		for _, c := range tx.Changes {
			line += " " + *c.Key[0].Value
		}
		out = append(out, strings.TrimSpace(line))
	}
	return out
}
