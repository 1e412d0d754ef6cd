package spool

import (
	"context"
	"fmt"

	"parallax"
)

// Next returns the next write to be caught up: the first of a lane of which none is
// being so. It waits for one, and fails when the context ends.
func (s *Spool) Next(ctx context.Context) (*Write, error) {
	for {
		if p := s.takeReady(); p != nil {
			x, err := p.read()
			if err == nil {
				return &Write{Exchange: x, place: p}, nil
			}
			s.log.Error("a write that the leg has missed cannot be read any more", "error", err)
			(&Write{place: p}).Taint("it cannot be read any more")
			continue
		}
		select {
		case <-s.hasReady:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Spool) takeReady() *Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ready) > 0 {
		l := s.ready[0]
		s.ready = s.ready[1:]
		l.listed = false
		if l.busy || len(l.queue) == 0 || l.queue[0].journal == nil {
			continue
		}
		l.busy = true
		return l.queue[0]
	}
	return nil
}

// read returns the write of a place.
func (p *Place) read() (*parallax.Exchange, error) {
	_, number, content, _, err := p.journal.read(p.spool.box, p.spool.bound, p.at)
	if err == nil && (number != p.number || len(content) < fixed) {
		err = errChanged
	}
	if err != nil {
		return nil, err
	}
	return parallax.DecodeExchange(content[fixed:])
}

// fixed is what stands before the exchange in a record: lane, entity, whether below.
const fixed = 2*16 + 1

// Write is a write that is being caught up. Done, Again or Taint ends that.
type Write struct {
	Exchange *parallax.Exchange
	place    *Place
}

// Lane returns the lane that the write is in.
func (w *Write) Lane() Key { return w.place.lane.key }

// Begin says that the write is about to be sent. With an error it must not be.
func (w *Write) Begin() error {
	w.place.tries++
	return w.note(begun)
}

// Tries returns how often it was begun by this process.
func (w *Write) Tries() int { return w.place.tries }

func (w *Write) note(k kind) error {
	p := w.place
	_, _, err := p.journal.append(p.spool.box, p.spool.bound, k, p.number, nil)
	if err != nil {
		return fmt.Errorf("cannot note how a write that was missed goes on: %w", err)
	}
	return nil
}

// Done says that the leg has it now.
func (w *Write) Done() { w.end() }

// Taint says that the leg will never have it, or that nobody knows. That is on disk before
// the write ends there: a process that is killed in between taints it once more, and never
// leaves it as if the leg had it.
func (w *Write) Taint(why string) {
	p, kept := w.place, make(chan struct{})
	p.spool.mu.Lock()
	p.spool.taint(p.about, p.lane.key, why)
	p.spool.do(func() { close(kept) }) // behind all that was tainted by now
	p.spool.mu.Unlock()
	<-kept
	w.end()
}

func (w *Write) end() {
	s := w.place.spool
	if err := w.note(ended); err != nil {
		s.log.Error("after a restart a write would be tainted that the leg has", "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.place.lane.busy = false
	s.leave(w.place)
}

// Again says that the write was not sent; its lane's turn comes again.
func (w *Write) Again() {
	s := w.place.spool
	if err := w.note(again); err != nil {
		s.log.Error("after a restart a write would be tainted that was not sent", "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.place.lane.busy = false
	s.list(w.place.lane)
}
