package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"parallax"
)

// TakeOver takes in what other processes left. It is done once a second as well.
func (s *Spool) TakeOver() error {
	if err := s.readTaints(); err != nil {
		return err
	}
	files, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, file := range files {
		path := filepath.Join(s.dir, file.Name())
		if filepath.Ext(path) != ".spool" {
			continue
		}
		s.mu.Lock()
		mine := s.closed || slices.ContainsFunc(s.journals, func(j *journal) bool { return j.path == path })
		s.mu.Unlock()
		if mine {
			continue
		}
		j, err := adopt(path)
		if err == nil && j != nil {
			err = s.takeIn(j)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return nil
}

// killedWhile is why nobody knows whether the leg has a write.
const killedWhile = "it was being caught up when the process was killed"

// killed gives up a write that was begun and not ended. That is noted behind the taint, so that
// it is listed once however many processes take the journal over. The lock is held.
func (s *Spool) killed(p *Place) {
	s.taint(p.about, p.lane.key, killedWhile)
	if x, err := p.read(); err == nil {
		s.lose(x, killedWhile)
	}
	s.do(func() {
		if err := (&Write{place: p}).note(ended); err != nil {
			s.log.Error("after a restart a write would be tainted once more", "error", err)
		}
	})
	s.leave(p)
}

// takeIn reads a journal that was left. What was begun and not ended is tainted.
func (s *Spool) takeIn(j *journal) error {
	type left struct {
		place *Place
		key   Key
		begun bool
	}
	writes := map[uint64]*left{}
	err := j.replay(s.box, s.bound, func(k kind, number uint64, content []byte, at, size int64) error {
		switch w := writes[number]; {
		case k == kept && len(content) >= fixed:
			p := &Place{spool: s, about: Entity{Key(content[16:32]), content[32] == 1}, number: number, order: int64(number), journal: j, at: at, size: size}
			if x, err := parallax.DecodeExchange(content[fixed:]); err == nil { // what is not read when its turn comes is tainted then
				p.order = x.Received.UnixNano()
			}
			writes[number] = &left{place: p, key: Key(content[:16])}
		case w == nil:
		case k == begun:
			w.begun = true
		case k == again:
			w.begun = false
		case k == ended:
			delete(writes, number)
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, j.close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.left = len(writes) + 1
	s.journals = append(s.journals, j)
	for _, w := range writes {
		s.bytes += w.place.size
		s.enqueue(w.key, w.place)
		if w.begun {
			s.killed(w.place)
		}
	}
	for _, w := range writes {
		s.list(w.place.lane)
	}
	s.release(j)
	return nil
}
