package spool

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/internal/atomicfile"
)

// Missing is a write that a caller was told is done, and that the leg does not have.
type Missing struct {
	Exchange string    `json:"exchange"`
	Endpoint string    `json:"endpoint"`
	Received time.Time `json:"received"`
	Why      string    `json:"why,omitempty"` // it will never get it; empty: it waits to be caught up
}

// maxLost bounds the list of writes that the leg will never get, in bytes on disk. More are
// counted while the process runs.
const maxLost = 16 << 20

// lostFile is that list, one JSON document a line.
func (s *Spool) lostFile() string { return filepath.Join(s.dir, "lost") }

// Lose lists a write that the leg will never get, as far as anybody knows.
func (s *Spool) Lose(x *parallax.Exchange, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose(x, why)
}

// lose is Lose with the lock held.
func (s *Spool) lose(x *parallax.Exchange, why string) {
	text, err := json.Marshal(Missing{Exchange: x.ID.String(), Endpoint: x.Endpoint, Received: x.Received.UTC(), Why: why})
	if err != nil {
		return // it is four texts
	}
	s.lost.writes++
	if s.lost.bytes += int64(len(text)) + 1; s.lost.bytes > maxLost {
		return
	}
	s.do(func() {
		if err := s.writeLine(s.lostFile(), string(text)+"\n"); err != nil {
			s.log.Error("a write that the leg will never get is not listed", "exchange", x.ID.String(), "endpoint", x.Endpoint, "error", err)
		}
	})
}

// lost is how long the list is.
type lost struct {
	writes int
	bytes  int64
}

// countLost reads how long the list is.
func (s *Spool) countLost() error {
	var found lost
	err := s.eachLost(func(_ Missing, line string) {
		found.writes, found.bytes = found.writes+1, found.bytes+int64(len(line))+1
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = found
	return err
}

func (s *Spool) eachLost(each func(m Missing, line string)) error {
	file, err := os.Open(s.lostFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var m Missing
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			m = Missing{Why: "its line cannot be read"} // the process was killed while it wrote it
		}
		each(m, lines.Text())
	}
	return lines.Err()
}

// List returns writes that callers were told are done and that the leg does not have: those
// that it will never get, then those that wait, each the oldest first, and limit of both at most.
func (s *Spool) List(limit int) ([]Missing, error) {
	var out []Missing
	err := s.eachLost(func(m Missing, _ string) {
		if len(out) < limit {
			out = append(out, m)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the writes that a leg has missed: %w", err)
	}
	for _, p := range s.queued(limit - len(out)) {
		s.mu.Lock()
		there := p.journal != nil
		s.mu.Unlock()
		if !there {
			continue // on its way to disk
		}
		x, err := p.read()
		if err != nil {
			continue // caught up meanwhile, and its journal is gone
		}
		out = append(out, Missing{Exchange: x.ID.String(), Endpoint: x.Endpoint, Received: x.Received.UTC()})
	}
	return out, nil
}

// queued returns the oldest places.
func (s *Spool) queued(limit int) []*Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Place
	for _, l := range s.lanes {
		all = append(all, l.queue...)
	}
	slices.SortFunc(all, func(a, b *Place) int { return cmp.Compare(a.number, b.number) })
	return all[:min(len(all), limit)]
}

// oldest returns since when the first write has waited. The lock is held.
func (s *Spool) oldest() time.Time {
	var first uint64
	for _, l := range s.lanes {
		if len(l.queue) > 0 && (first == 0 || l.queue[0].number < first) {
			first = l.queue[0].number
		}
	}
	if first == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(first))
}

// rewriteLost leaves out what was received before a time.
func (s *Spool) rewriteLost(before time.Time) error {
	var kept strings.Builder
	if err := s.eachLost(func(m Missing, line string) {
		if !m.Received.Before(before) {
			kept.WriteString(line + "\n")
		}
	}); err != nil {
		return err
	}
	if _, err := os.Stat(s.lostFile()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return atomicfile.Replace(s.lostFile(), []byte(kept.String()))
}
