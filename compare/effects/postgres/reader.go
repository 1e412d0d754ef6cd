package postgres

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"parallax/compare/effects"
)

const (
	firstWait   = 100 * time.Millisecond // before a connection is tried again
	longestWait = 10 * time.Second       // the longest such wait, half as long again at most by chance
	leaveTime   = 10 * time.Second       // to see that nothing is left behind
	blockedFor  = 3 * time.Second        // until we say what a new slot waits for
	maxSlots    = 16                     // lost ones, that are dropped when the server can be reached
)

// ErrNotReading is what Position returns while nothing is read.
var ErrNotReading = errors.New("the database's log is not read at the moment")

// Reader reads what is committed to the tables of one source.
type Reader struct {
	source source
	log    *slog.Logger
	now    func() time.Time

	current atomic.Pointer[session]
	mu      sync.Mutex
	until   time.Time // everything committed before was handed over
}

var _ effects.Reader = (*Reader)(nil)

// New returns a reader. It fails on what [Source.Validate] finds; the database is
// only asked by Run.
func New(s Source, log *slog.Logger, now func() time.Time) (*Reader, error) {
	src, err := s.ready()
	if err != nil {
		return nil, err
	}
	return &Reader{source: src, log: log, now: now}, nil
}

// Run reads until the context ends. Before it reads for the first time and whenever
// the connection is lost there is a gap, which ends when a new slot exists. The sink
// hears of a gap when it begins, again whenever another try has failed, and once more
// with its end; then it is told the position from which reading goes on, which in
// another server may be less than what was passed before.
func (r *Reader) Run(ctx context.Context, to effects.Sink) error {
	gap := gap{sink: to, from: r.now(), why: "reading has not begun"}
	var slots []string // that may be left
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		gap.begin()
		s, err := r.connect(ctx, &gap, slots)
		if s != nil {
			slots = append(slots[max(0, len(slots)-maxSlots):], s.slot)
		}
		if err == nil {
			gap.end(s.stream.since)
			err = s.read(ctx, to)
			gap.from = s.readUntil()
			if r.now().Sub(s.stream.since) > longestWait {
				wait = firstWait
			}
		}
		if ctx.Err() != nil {
			return r.leave(ctx, s, slots)
		}
		s.close()
		r.failed(&gap, err)
		pause(ctx, wait/2+rand.N(wait)) // not all readers of a server at once
	}
}

// failed notes why nothing is read, and says it once.
func (r *Reader) failed(g *gap, err error) {
	why := r.source.hidden(err).Error()
	if why != g.why {
		r.log.Warn("effects are not read", "database", r.where(), "publication", r.source.publication, "err", why)
	}
	g.why = why
}

// gap tells a sink of times in which nothing was read.
type gap struct {
	sink effects.Sink
	from time.Time
	why  string
}

func (g *gap) begin()              { g.sink.Gap(g.from, time.Time{}, g.why) }
func (g *gap) end(until time.Time) { g.sink.Gap(g.from, until, g.why) }

// connect opens a session. Slots of sessions that were lost are dropped first: the
// server may not have noticed yet.
func (r *Reader) connect(ctx context.Context, g *gap, slots []string) (*session, error) {
	asker, err := r.source.asker(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{reader: r, asker: asker, clock: asker.beside(), slot: newSlot()}
	if len(slots) > 0 {
		err = asker.dropSlotsSoon(ctx, slots)
	}
	if err == nil {
		err = r.source.prepare(ctx, asker)
	}
	if err == nil {
		s.stream, err = s.slotOf(ctx, g)
	}
	if err == nil {
		err = s.stream.open(r.source.publication)
	}
	if err != nil {
		return s, err
	}
	r.log.Info("effects are read", "database", r.where(), "publication", r.source.publication, "slot", s.slot, "position", lsn(s.stream.start))
	return s, nil
}

// leave ends a session for good, and makes sure that no slot is left. There may be
// no session.
func (r *Reader) leave(ctx context.Context, s *session, slots []string) error {
	if len(slots) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	var asker *asker
	var err error
	var process uint32
	if s != nil {
		s.clock.close()
		asker, process = s.asker, s.closeStream()
	} else if asker, err = r.source.asker(ctx); err != nil {
		return r.unsure(slots, err)
	}
	defer asker.close()
	err = asker.dropSlots(ctx, slots, process)
	if err != nil && !errors.Is(err, errOther) { // Its connection was lost, and nobody had noticed.
		err = asker.dropSlots(ctx, slots, process)
	}
	if err != nil && !errors.Is(err, errOther) { // slots of ours do not outlive their server
		return r.unsure(slots, err)
	}
	return nil
}

func (r *Reader) unsure(slots []string, err error) error {
	return fmt.Errorf("cannot tell whether %s has lost replication slot %s; it goes with its connection: %w", r.where(), slots[len(slots)-1], err)
}

// Position returns a position that everything committed until now lies at or
// before, also by sessions that do not wait for the disk. It fails while nothing is
// read.
func (r *Reader) Position(ctx context.Context) (effects.Position, error) {
	s := r.current.Load()
	if s == nil {
		return 0, ErrNotReading
	}
	return s.position(ctx)
}

// ReadUntil returns a time before which everything that was committed was handed
// over; by how much it lies behind is the reader's lag. It is zero before anything
// was read. While nobody asks for positions it moves once a second.
func (r *Reader) ReadUntil() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.until
}

func (r *Reader) readUntil(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.After(r.until) {
		r.until = at
	}
}

func (r *Reader) where() string {
	c := r.source.config
	return fmt.Sprintf("%s@%s:%d/%s", c.User, c.Host, c.Port, c.Database)
}

// newSlot makes up a name: a server keeps the slot of a lost connection for a while.
func newSlot() string {
	var b [8]byte
	cryptorand.Read(b[:]) // never fails
	return "parallax_" + hex.EncodeToString(b[:])
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
