package redisqueue

import (
	"cmp"
	"context"
	"errors"
	"io"
	"time"

	"parallax"
)

// block is how long one reading waits for exchanges; a context that ends meanwhile is noticed
// after it.
const block = time.Second

// blockAtEnd is the same once the queue is closed.
const blockAtEnd = 10 * time.Millisecond

// Receive returns at least one and at most max exchanges. It waits for the first until the
// context ends, or a second longer; after Close it returns what is left and then io.EOF.
func (q *Queue) Receive(ctx context.Context, max int) ([]*parallax.Exchange, error) {
	q.receives.Store(true)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		list, end, err := q.next(ctx, min(max, maxRead))
		if err != nil {
			return nil, cmp.Or(ctx.Err(), errors.New(err.Error())) // a connection that breaks is an io.EOF, and not the queue's end
		}
		if out := q.unpack(ctx, list); len(out) > 0 {
			return out, nil
		}
		if end && len(list) == 0 {
			return nil, io.EOF
		}
	}
}

// next returns entries that were taken over, or else new ones, and whether no more can come
// if there are none.
func (q *Queue) next(ctx context.Context, max int) (list []entry, end bool, err error) {
	if q.stale.Load() {
		q.takeOver(ctx)
	}
	q.mu.Lock()
	n := min(max, len(q.taken))
	list, q.taken = q.taken[:n:n], q.taken[n:]
	end = q.closed && q.ahead == 0
	q.mu.Unlock()
	if n > 0 {
		return list, end, nil
	}
	wait := block
	if end || q.isClosed() {
		wait = blockAtEnd
	}
	list, err = q.stream.read(ctx, max, wait)
	if ctx.Err() == nil {
		q.hears(err)
	}
	return q.once(ctx, list), end, err
}

func (q *Queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// unpack decodes entries. What cannot be read is lost, and what is held already is there twice.
func (q *Queue) unpack(ctx context.Context, list []entry) []*parallax.Exchange {
	out := make([]*parallax.Exchange, 0, len(list))
	for _, e := range list {
		x, err := q.box.unseal([]byte(e.text))
		if err != nil {
			q.deps.Log.Warn("an exchange in the queue cannot be read", "entry", e.id, "error", err)
			q.discard(ctx, e, parallax.LostCodec)
			continue
		}
		if !q.take(x.ID, e) {
			q.drop(ctx, []entry{e})
			continue
		}
		out = append(out, x)
	}
	return out
}

// take notes that an entry is held here, unless its exchange is already.
func (q *Queue) take(id parallax.ID, e entry) bool {
	e.text = ""
	q.mu.Lock()
	defer q.mu.Unlock()
	if had := q.held[id]; had != nil {
		return had.id == e.id
	}
	q.held[id] = &holding{e, time.Now()}
	return true
}

// discard ends an entry that nobody will compare.
func (q *Queue) discard(ctx context.Context, e entry, why parallax.Place) {
	if s, ok := stampOf(e.tag); ok {
		q.deps.Dropped(s, why)
	}
	q.drop(ctx, []entry{e})
}

// Ack says that exchanges which were received are dealt with: they leave the stream. Those
// that were not received here are ignored. After an error they may come again.
func (q *Queue) Ack(ctx context.Context, ids ...parallax.ID) error {
	q.mu.Lock()
	list := make([]entry, 0, len(ids))
	for _, id := range ids {
		if h := q.held[id]; h != nil {
			list = append(list, h.entry)
			delete(q.held, id)
		}
	}
	q.mu.Unlock()
	return q.drop(ctx, list)
}

// dropMax is how many entries one command drops: a script takes some thousand arguments.
const dropMax = 1000

func (q *Queue) drop(ctx context.Context, list []entry) error {
	for len(list) > 0 {
		n := min(len(list), dropMax)
		gone, f, err := q.stream.drop(ctx, list[:n])
		if err != nil {
			return err
		}
		q.dropped(f, gone)
		list = list[n:]
	}
	return nil
}

// keep says what is held, takes over what others have left, and looks how full the stream is,
// until the context ends.
func (q *Queue) keep(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var kept time.Time
	for {
		if now := time.Now(); q.receives.Load() && now.Sub(kept) >= q.cfg.ClaimAfter/4 {
			kept = now
			q.hold(ctx, now)
			q.takeOver(ctx)
			q.forget(ctx, now)
		}
		select {
		case <-ctx.Done():
			q.release(context.WithoutCancel(ctx))
			return
		case <-look.C:
		}
		f, err := q.stream.look(ctx)
		if q.hears(err); err == nil {
			q.dropped(f, 0)
		}
	}
}

// release lets others have what is held here at once: this process ends.
func (q *Queue) release(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, leaveWithin)
	defer stop()
	q.mu.Lock()
	ids := make([]string, 0, len(q.held)+len(q.taken))
	for _, h := range q.held {
		ids = append(ids, h.id)
	}
	for _, e := range q.taken {
		ids = append(ids, e.id)
	}
	q.mu.Unlock()
	for n := 0; len(ids) > 0; ids = ids[n:] {
		n = min(len(ids), dropMax)
		if err := q.stream.hold(ctx, ids[:n], q.cfg.ClaimAfter); err != nil {
			q.deps.Log.Info("what this worker had received is taken over later", "error", err)
			return
		}
	}
}

// goneFor is how long a worker that has nothing was not heard of when Redis forgets it.
const goneFor = time.Hour

// forget makes Redis forget workers that are gone, now and then.
func (q *Queue) forget(ctx context.Context, now time.Time) {
	if now.Sub(q.forgot) < goneFor/4 {
		return
	}
	q.forgot = now
	if err := q.stream.forget(ctx, goneFor); err != nil {
		q.deps.Log.Info("workers that are gone are not forgotten yet", "error", err)
	}
}

// lookEvery is how often the stream is looked at.
const lookEvery = 250 * time.Millisecond

// hold says to Redis what is held here, since it would be given to another worker otherwise.
func (q *Queue) hold(ctx context.Context, now time.Time) {
	var ids []string
	q.mu.Lock()
	for _, h := range q.held {
		if now.Sub(h.said) >= q.cfg.ClaimAfter/4 {
			ids = append(ids, h.id)
			h.said = now
		}
	}
	for _, e := range q.taken {
		ids = append(ids, e.id)
	}
	q.mu.Unlock()
	for len(ids) > 0 && ctx.Err() == nil {
		n := min(len(ids), dropMax)
		if err := q.stream.hold(ctx, ids[:n], 0); err != nil {
			q.hears(err)
		}
		ids = ids[n:]
	}
}

// takeOver takes exchanges over of which their holders have said nothing for a while, as many
// as one reading may have, unless there are some to be received already. Where there may be
// more, whoever receives asks for them.
func (q *Queue) takeOver(ctx context.Context) {
	q.mu.Lock()
	enough := len(q.taken) > 0 || q.closed
	q.mu.Unlock()
	if enough || q.deps.Ready() != nil {
		return
	}
	list, err := q.stream.stale(ctx, q.cfg.ClaimAfter, maxRead)
	if before := q.stale.Swap(err == nil && len(list) == maxRead); !before && err == nil && len(list) > 0 {
		q.deps.Log.Info("exchanges of a worker that is silent are taken over", "at_least", len(list))
	}
	if err != nil || len(list) == 0 {
		return
	}
	got, err := q.stream.claim(ctx, q.cfg.ClaimAfter, list)
	if err != nil {
		return
	}
	got = q.once(ctx, q.withoutPoison(ctx, got))
	q.mu.Lock()
	q.taken = append(q.taken, got...)
	q.mu.Unlock()
}

// withoutPoison leaves out what too many workers were given.
func (q *Queue) withoutPoison(ctx context.Context, list []entry) []entry {
	out := list[:0]
	for _, e := range list {
		if e.deliveries <= maxDeliveries {
			out = append(out, e)
			continue
		}
		q.deps.Log.Error("an exchange was given to too many workers, and none came to an end with it; it is among the dead letters", "entry", e.id, "deliveries", e.deliveries-1)
		if err := q.stream.bury(ctx, e, "none of the workers that it was given to came to an end with it"); err == nil {
			q.discard(ctx, e, parallax.LostPoison)
		}
	}
	return out
}

// once leaves out what the store has, of entries that may have been compared before. While the
// store does not answer none of those is returned: they are left for another time.
func (q *Queue) once(ctx context.Context, list []entry) []entry {
	known := map[int]parallax.ID{}
	for i, e := range list {
		if !e.waited && e.deliveries == 0 {
			continue
		}
		if x, err := q.box.unseal([]byte(e.text)); err == nil {
			known[i] = x.ID
		}
	}
	if len(known) == 0 {
		return list
	}
	ids := make([]parallax.ID, 0, len(known))
	for _, id := range known {
		ids = append(ids, id)
	}
	stored, err := q.deps.Stored(ctx, ids)
	out := list[:0:0]
	for i, e := range list {
		id, asked := known[i]
		switch {
		case asked && err != nil: // it stays where it is, and is taken over later
		case asked && stored[id]: // it was compared, and not acknowledged
			q.drop(ctx, []entry{e})
		default:
			out = append(out, e)
		}
	}
	return out
}
