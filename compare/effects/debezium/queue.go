package debezium

import "sync"

// Bounds of what waits to be read, for each source.
const (
	maxQueued      = 50_000
	maxQueuedBytes = 64 << 20
)

// queue holds events until their reader takes them.
type queue struct {
	mu    sync.Mutex
	list  []event
	bytes int
	ready chan struct{} // holds one while the list is not empty
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// room reports whether so many events more have a place. The caller holds the lock.
func (q *queue) room(events, bytes int) bool {
	return len(q.list)+events <= maxQueued && (q.bytes+bytes <= maxQueuedBytes || len(q.list) == 0)
}

// push appends events. The caller holds the lock.
func (q *queue) push(list []event) {
	q.list = append(q.list, list...)
	q.bytes += size(list)
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take returns all events and leaves none.
func (q *queue) take() []event {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list, q.bytes = nil, 0
	return list
}

// waiting returns how many events there are.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list)
}

func size(list []event) (bytes int) {
	for i := range list {
		bytes += list[i].size
	}
	return bytes
}
