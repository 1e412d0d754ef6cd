package mirror

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"parallax"
)

// MemQueue is the queue between the mirror and the workers of the same process.
// It is bounded by count and by bytes, from Offer to Ack, so that what a worker
// has in hand counts as well. Its methods may be called from many goroutines.
type MemQueue struct {
	maxBytes int64
	maxCount int
	items    chan *parallax.Exchange
	turn     chan struct{} // held by the one receiver that exchanges may wake

	mu     sync.Mutex
	closed bool
	held   map[parallax.ID]int64 // offered and not yet acknowledged: its bytes
	bytes  int64                 // their sum
}

var _ Queue = (*MemQueue)(nil)

// NewMemQueue returns a queue that holds at most maxCount exchanges of at most
// maxBytes together.
func NewMemQueue(maxCount int, maxBytes int64) *MemQueue {
	return &MemQueue{
		maxBytes: maxBytes, maxCount: maxCount,
		items: make(chan *parallax.Exchange, maxCount),
		turn:  make(chan struct{}, 1),
		held:  map[parallax.ID]int64{},
	}
}

// Offer puts an exchange into the queue and reports whether there was room. It
// never waits for room. The caller does not touch the exchange afterwards.
func (q *MemQueue) Offer(x *parallax.Exchange) bool {
	size := footprint(x)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.held) >= q.maxCount || q.bytes+size > q.maxBytes {
		return false
	}
	q.held[x.ID] = size
	q.bytes += size
	q.items <- x // has room: it holds maxCount, and no more than that are held
	return true
}

// gather is how long a receiver that would get fewer exchanges than it may take
// waits for more. Nobody waits for a comparison, so nobody need be woken for each
// one (BenchmarkMemQueue).
const gather = time.Millisecond

// Receive returns at least one and at most max exchanges, the oldest first. It
// waits for the first until the context ends, and then, where there is room, a
// millisecond for others; after Close it returns what is left and then io.EOF.
func (q *MemQueue) Receive(ctx context.Context, max int) ([]*parallax.Exchange, error) {
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var out []*parallax.Exchange
	select {
	case x, ok := <-q.items:
		if !ok {
			return nil, io.EOF
		}
		out = append(out, x)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if len(out)+len(q.items) < max && q.roomFor(max) {
		time.Sleep(gather)
	}
	for len(out) < max {
		select {
		case x, ok := <-q.items:
			if !ok {
				return out, nil
			}
			out = append(out, x)
		default:
			return out, nil
		}
	}
	return out, nil
}

// roomFor reports whether that many more exchanges, and as many bytes as are held,
// fit in: then it is no loss that a receiver waits for more.
func (q *MemQueue) roomFor(more int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.closed && len(q.held)+more <= q.maxCount && 2*q.bytes <= q.maxBytes
}

// Ack says that exchanges which were received are dealt with, and makes room
// for others. Unknown ids are ignored. The error is always nil.
func (q *MemQueue) Ack(_ context.Context, ids ...parallax.ID) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		q.bytes -= q.held[id]
		delete(q.held, id)
	}
	return nil
}

// Len returns how many exchanges wait to be received.
func (q *MemQueue) Len() int { return len(q.items) }

// Close refuses further exchanges. What is in the queue can still be received.
// Closing again does nothing; the error is always nil.
func (q *MemQueue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.items)
	}
	return nil
}

// Sizes of what an exchange holds besides its bodies and texts, in bytes,
// rounded up.
const (
	exchangeBytes = 512
	callBytes     = 512
	fieldBytes    = 32
)

// footprint is about how many bytes an exchange keeps alive. Headers and other
// texts that legs share are counted for each.
func footprint(x *parallax.Exchange) int64 {
	n := exchangeBytes + len(x.Service) + len(x.Endpoint)
	bodies := make([]*byte, 0, 2*parallax.Legs)
	body := func(b *parallax.Body) {
		if len(b.Bytes) > 0 && !slices.Contains(bodies, &b.Bytes[0]) {
			bodies = append(bodies, &b.Bytes[0])
			n += cap(b.Bytes)
		}
	}
	for _, c := range x.Legs {
		if c == nil {
			continue
		}
		n += callBytes + len(c.Version) + len(c.Err.Text)
		n += len(c.Request.Method) + len(c.Request.Target) + len(c.Request.Host) + len(c.Request.Proto)
		for _, fields := range [...][]parallax.Field{c.Request.Headers, c.Request.Trailers, c.Response.Headers, c.Response.Trailers} {
			for _, f := range fields {
				n += fieldBytes + len(f.Name) + len(f.Value)
			}
		}
		body(&c.Request.Body)
		body(&c.Response.Body)
	}
	return int64(n)
}
