package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"parallax/compare/effects"

	"github.com/jackc/pgx/v5"
)

const (
	beat      = time.Second           // between questions for a position when nobody else asks
	pushAfter = 20 * time.Millisecond // a position may stay ahead before the log is pushed to the disk
	lookAfter = 5 * time.Second       // between looks at the publication
)

// session is one slot that is read, and the connections that ask beside it.
type session struct {
	reader *Reader
	asker  *asker // for the catalogue, and to push the log
	clock  *asker // for positions alone: exchanges wait for them
	slot   string
	stream *stream

	// Of the goroutine that reads.
	ctx       context.Context
	sink      effects.Sink
	assembler assembler

	passed atomic.Uint64 // everything committed at or before was handed over
	asked  atomic.Uint64 // the greatest position that Position returned
	wanted chan struct{} // holds a token when asked moved past passed

	mu       sync.Mutex
	ahead    effects.Position // a position asked for and not passed yet; 0: there is none
	aheadAt  time.Time        // when it was asked for
	rightAt  time.Time        // when the publication was last seen to be right
	wrong    bool             // it was not, later
	brokenBy error            // why the session was ended from inside
}

// slotOf creates the session's slot, and says what that waits for.
func (s *session) slotOf(ctx context.Context, g *gap) (*stream, error) {
	type result struct {
		stream *stream
		err    error
	}
	done := make(chan result, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		stream, err := s.asker.createSlot(ctx, s.slot, s.reader.now)
		done <- result{stream, err}
	}()
	look := time.NewTicker(blockedFor)
	defer look.Stop()
	for {
		select {
		case r := <-done:
			if why := context.Cause(ctx); why != nil && r.err != nil {
				r.err = why
			}
			return r.stream, r.err
		case <-look.C:
			if err := s.tooFar(ctx); err != nil { // or the server does not answer, and never may
				cancel(err)
				continue
			}
			who, err := s.asker.blockers(ctx)
			if err == nil && who != "" {
				g.sink.Gap(g.from, time.Time{}, "a new replication slot waits for open transactions: "+who)
			}
		}
	}
}

// read reads until the connection ends or the context does.
func (s *session) read(ctx context.Context, to effects.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.ctx, s.sink, s.wanted = ctx, to, make(chan struct{}, 1)
	s.assembler = assembler{listed: s.reader.source.tables, resolve: s.resolve, tables: map[uint32]*table{}}
	s.rightAt = s.stream.since
	stop := context.AfterFunc(ctx, s.stream.close)
	defer stop()

	s.reached(s.stream.start)
	s.reader.readUntil(s.stream.since)
	s.reader.current.Store(s)
	defer s.reader.current.Store(nil)

	var beside sync.WaitGroup
	beside.Go(func() { s.beat(ctx) })
	err := s.stream.read(s)
	s.stream.close()
	cancel()
	beside.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.brokenBy != nil {
		return s.brokenBy
	}
	return err
}

// change takes a message of the stream.
func (s *session) change(message []byte) error {
	done, tx, err := s.assembler.take(message)
	if err != nil || !done {
		return err
	}
	if tx.ID != "" {
		s.sink.Transaction(tx)
	}
	s.reached(tx.Position)
	return nil
}

// reached notes how far the stream has come. The server's word may be behind what
// it brought.
func (s *session) reached(p effects.Position) {
	if uint64(p) <= s.passed.Load() {
		return
	}
	s.passed.Store(uint64(p))
	s.sink.Passed(p)
	s.mu.Lock()
	at := s.aheadAt
	known := s.ahead != 0 && p >= s.ahead
	if known {
		s.ahead = 0
	}
	s.mu.Unlock()
	if known {
		s.reader.readUntil(at)
	}
}

func (s *session) resolve(m *relation) (t *table, err error) {
	err = s.asker.do(s.ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if t, err = s.reader.source.describe(ctx, conn, m); err == nil {
			t.raw = s.asker.raw
		}
		return err
	})
	return t, err
}

// position asks where the log is, and remembers when it did.
func (s *session) position(ctx context.Context) (effects.Position, error) {
	at := s.reader.now()
	p, err := s.clock.position(ctx)
	if errors.Is(err, errOther) {
		s.end(err)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot ask for the log's position: %w", err)
	}
	for { // the greatest counts
		before := s.asked.Load()
		if uint64(p) <= before || s.asked.CompareAndSwap(before, uint64(p)) {
			break
		}
	}
	s.mu.Lock()
	passed := effects.Position(s.passed.Load()) >= p
	if !passed && s.ahead == 0 {
		s.ahead, s.aheadAt = p, at
	}
	s.mu.Unlock()
	if passed {
		s.reader.readUntil(at)
		return p, nil
	}
	select {
	case s.wanted <- struct{}{}:
	default: // it is known
	}
	return p, nil
}

// beat keeps the session alive beside the reading: it confirms, asks for a position
// where nobody else does, pushes the log, and looks whether every table is still in
// the publication.
func (s *session) beat(ctx context.Context) {
	tick, look := time.NewTicker(beat), time.NewTicker(lookAfter)
	defer tick.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.position(ctx) // what it learns is in ReadUntil
			if err := s.stream.confirm(effects.Position(s.passed.Load()), true); err != nil {
				s.end(err)
			}
		case <-look.C:
			s.look(ctx)
			if err := s.tooFar(ctx); errors.Is(err, errTooFar) {
				s.end(err)
			}
		case <-s.wanted:
			s.push(ctx)
		}
	}
}

// push makes sure that the stream gets as far as it was asked for, soon: what is not
// on the disk is not streamed, and the server may be in no hurry to write it.
func (s *session) push(ctx context.Context) {
	pause(ctx, pushAfter)
	asked := s.asked.Load()
	if s.passed.Load() >= asked {
		return
	}
	s.asker.push(ctx, effects.Position(asked)) // without it the disk is slower
	select {
	case s.wanted <- struct{}{}:
	default: // another position was asked for
	}
}

// look ends the session when a table is not read any more.
func (s *session) look(ctx context.Context) {
	at := s.reader.now()
	var wrong error
	err := s.asker.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		wrong, err = s.reader.source.right(ctx, conn)
		return err
	})
	if err != nil {
		return // the stream says whether the server is there
	}
	s.mu.Lock()
	if s.wrong = wrong != nil; !s.wrong {
		s.rightAt = at
	}
	s.mu.Unlock()
	if wrong != nil {
		s.end(wrong)
	}
}

// tooFar returns an error if the server has to keep more of its log for the session's slot
// than it may: a reader that is behind, or a transaction that stays open, must not fill
// its disk. The next slot begins at the log's end, after a gap.
func (s *session) tooFar(ctx context.Context) error {
	kept, err := s.asker.retained(ctx, s.slot)
	if most := s.reader.source.maxLag; err == nil && kept > most {
		return fmt.Errorf("%w: the server would have to keep %d MiB of its log for it, and max_lag is %d MiB", errTooFar, kept>>20, most>>20)
	}
	return err
}

// errTooFar says that a slot was given up.
var errTooFar = errors.New("the replication slot was given up")

// readUntil returns a time before which everything was handed over.
func (s *session) readUntil() time.Time {
	until := s.reader.ReadUntil()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wrong && s.rightAt.Before(until) {
		return s.rightAt
	}
	return until
}

// end ends the session with a reason.
func (s *session) end(why error) {
	s.mu.Lock()
	if s.brokenBy == nil {
		s.brokenBy = why
	}
	s.mu.Unlock()
	s.stream.close()
}

// close gives up what the session holds; it may be nil, or half open.
func (s *session) close() {
	if s == nil {
		return
	}
	s.closeStream()
	s.clock.close()
	s.asker.close()
}

// closeStream ends the stream, if there is one, and returns the server's process that
// goes with it.
func (s *session) closeStream() (process uint32) {
	if s.stream == nil {
		return 0
	}
	s.stream.close()
	return s.stream.pid
}
