package redisqueue

import (
	"context"
	"errors"
	"io"
	"time"

	"parallax"
)

// sendMax is how many exchanges are sent at once.
const sendMax = 64

// send moves what is offered to Redis, or to disk while Redis is away, until the queue is closed
// and everything is sent, or the context ends.
func (q *Queue) send(ctx context.Context) {
	for {
		q.empty(ctx)
		list, err := q.offered(ctx)
		q.give(ctx, list)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			q.leave(ctx)
			return
		}
	}
}

// offered waits for exchanges, but not for long while there are some on disk.
func (q *Queue) offered(ctx context.Context) ([]*parallax.Exchange, error) {
	if q.spool != nil && (!q.spool.usable() || !q.spool.empty()) {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, retry)
		defer stop()
	}
	return q.buffer.Receive(ctx, sendMax)
}

// give takes exchanges to Redis, or to disk, or tries until the context ends.
func (q *Queue) give(ctx context.Context, list []*parallax.Exchange) {
	for len(list) > 0 {
		n := min(len(list), q.fitting(list))
		q.giveSome(ctx, list[:n])
		list = list[n:]
	}
}

// fitting is how many of a list are sent at once, so that none of the commands gets too long.
func (q *Queue) fitting(list []*parallax.Exchange) (n int) {
	size := 0
	for n < len(list) && (n == 0 || size < maxEntry) {
		for _, call := range list[n].Legs {
			if call != nil {
				size += len(call.Request.Body.Bytes) + len(call.Response.Body.Bytes)
			}
		}
		n++
	}
	return n
}

func (q *Queue) giveSome(ctx context.Context, list []*parallax.Exchange) {
	sealed := make([]entry, 0, len(list))
	fits := make([]*parallax.Exchange, 0, len(list))
	for _, x := range list {
		text, err := q.box.seal(x)
		if err != nil {
			q.refuse(x)
			continue
		}
		sealed, fits = append(sealed, entry{text: string(text), tag: tag(x), size: len(text)}), append(fits, x)
	}
	for len(sealed) > 0 && !q.sendNow(ctx, fits, sealed) && !q.putAside(fits, sealed) {
		if !pause(ctx, retry) {
			q.refuse(fits...)
			return
		}
	}
}

// sendNow sends exchanges, unless Redis does not answer. Those for which it has no room are lost.
func (q *Queue) sendNow(ctx context.Context, list []*parallax.Exchange, sealed []entry) bool {
	q.adds()
	took, f, err := q.stream.add(ctx, q.deps.Exchanges, q.deps.Bytes, sealed)
	q.free(list[:took])
	q.added(f, took)
	if q.hears(err); err != nil {
		return false
	}
	for _, x := range list[:took] {
		q.deps.Sent(x.Stamp(), false)
	}
	q.refuse(list[took:]...)
	return true
}

// putAside keeps exchanges on disk, if they all have room there.
func (q *Queue) putAside(list []*parallax.Exchange, sealed []entry) bool {
	if q.spool == nil {
		return false
	}
	for i := range sealed {
		sealed[i].waited = true
	}
	if err := q.spool.put(sealed); err != nil {
		return false
	}
	for _, x := range list {
		q.deps.Aside(x.Stamp())
	}
	q.free(list)
	q.mu.Lock()
	q.ahead -= int64(len(list))
	q.mu.Unlock()
	return true
}

// free makes room in the buffer.
func (q *Queue) free(list []*parallax.Exchange) {
	ids := make([]parallax.ID, len(list))
	for i, x := range list {
		ids[i] = x.ID
	}
	q.buffer.Ack(context.Background(), ids...)
}

// refuse loses exchanges for which there is no room.
func (q *Queue) refuse(list ...*parallax.Exchange) {
	for _, x := range list {
		q.deps.Lost(x.Stamp(), parallax.LostQueueFull)
	}
	q.free(list)
	q.mu.Lock()
	q.ahead -= int64(len(list))
	q.mu.Unlock()
}

// empty sends what is on disk, as long as Redis takes it.
func (q *Queue) empty(ctx context.Context) {
	for ctx.Err() == nil && !q.spool.empty() {
		list, found, err := q.spool.first()
		if err != nil {
			q.deps.Log.Error("exchanges that waited on disk cannot be read; they are lost", "error", err)
		}
		if !q.emptyInto(ctx, list, found) {
			return
		}
		if err := q.spool.done(); err != nil {
			q.deps.Log.Error("exchanges that waited on disk and are sent cannot be removed", "error", err)
		}
	}
}

// emptyInto sends what was on disk, and reports whether all of it is sent.
func (q *Queue) emptyInto(ctx context.Context, list []entry, found bool) bool {
	for len(list) > 0 {
		q.adds()
		took, f, err := q.stream.add(ctx, q.deps.Exchanges, q.deps.Bytes, chunk(list))
		q.added(f, 0)
		if q.hears(err); err != nil || took == 0 {
			return false
		}
		for _, e := range list[:took] {
			q.arrived(e, found)
		}
		if err := q.spool.note(took); err != nil {
			q.deps.Log.Error("that exchanges which waited on disk are sent cannot be noted; they may be sent twice", "error", err)
		}
		list = list[took:]
	}
	return true
}

// chunk is what is sent at once of a list.
func chunk(list []entry) []entry {
	size := 0
	for i, e := range list[:min(len(list), sendMax)] {
		if size += e.size; size > maxEntry && i > 0 {
			return list[:i]
		}
	}
	return list[:min(len(list), sendMax)]
}

func (q *Queue) arrived(e entry, found bool) {
	s, ok := stampOf(e.tag)
	if !ok {
		return
	}
	if found {
		q.deps.Found(s)
	}
	q.deps.Sent(s, true)
}

// leaveWithin bounds the last try to send, in time.
const leaveWithin = 2 * time.Second

// leave loses what is in the buffer: the context has ended, or everything is sent.
func (q *Queue) leave(ctx context.Context) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer stop()
	q.Close()
	for {
		list, err := q.buffer.Receive(ctx, sendMax)
		q.give(ctx, list)
		if err != nil {
			break
		}
	}
	q.empty(ctx)
}
