package effects

import (
	"container/list"
	"time"

	"parallax"
	"parallax/internal/ids"
)

// waiting is an exchange that waits for its effects.
type waiting struct {
	x      *parallax.Exchange
	then   func(*parallax.Exchange)
	asked  time.Time // when it came
	done   time.Time // when its last answer was complete
	settle time.Time // until when its legs may work on
	give   time.Time // up
	bytes  int64
	said   *said // with correlation by key
	out    *parallax.Exchange

	made   []*entry         // what its legs committed
	learn  func() bool      // nil: there is nothing to be learnt from it
	parked *list.Element    // not nil once it has waited for others, until give
	needs  map[ids.Ref]bool // of others that it waits for
	lost   []string         // names of what it needs and will not be known
}

type dueHeap []*waiting

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, k int) bool { return h[i].settle.Before(h[k].settle) }
func (h dueHeap) Swap(i, k int)      { h[i], h[k] = h[k], h[i] }
func (h *dueHeap) Push(w any)        { *h = append(*h, w.(*waiting)) }
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	return w
}

// answered reports whether an exchange has what may be compared.
func answered(x *parallax.Exchange) bool {
	for _, leg := range legs {
		if call := x.Legs[leg]; call == nil || call.Err.Kind == parallax.NotAsked || call.Err.Kind == parallax.CallerGone {
			return false
		}
	}
	return true
}

func (j *Joiner) waitingOf(x *parallax.Exchange, then func(*parallax.Exchange)) *waiting {
	w := &waiting{x: x, then: then, asked: j.cfg.Now(), bytes: 1 << 10}
	var last time.Duration
	for _, call := range x.Legs {
		if call != nil {
			last = max(last, call.Done)
			w.bytes += int64(len(call.Request.Body.Bytes) + len(call.Response.Body.Bytes))
		}
	}
	w.done = x.Received.Add(last)
	w.settle = w.done.Add(j.cfg.Config.Settle)
	w.give = later(w.asked, w.settle).Add(j.cfg.Config.Wait)
	return w
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
