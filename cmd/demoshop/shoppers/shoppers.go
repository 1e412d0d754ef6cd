package shoppers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Options say who comes.
type Options struct {
	Base   string  // of the shop: http://127.0.0.1:8000
	Count  int     // of shoppers
	Seed   uint64  // of what they do; part of their names
	Rate   float64 // requests a second of all together; 0: as fast as answers come
	Visits int     // how often each comes; 0: until the run's context ends
	HTTP   http.RoundTripper
	Seen   func(Answer) // told of each answer, by many goroutines at once; may be nil
}

// Answer is one request and how it went, as its shopper sees it.
type Answer struct {
	Shopper int
	Method  string
	Target  string
	Route   string        // GET /orders/{id}
	Status  int           // 0: none came
	Waited  time.Duration // from when the request was sent to the end of its answer
	Err     error         // what the shopper would complain about
}

// Counts are what shoppers saw.
type Counts struct {
	Sent     int64
	Errors   int64
	Routes   map[string]int64 // requests by route
	Examples []string         // the first errors
}

const maxExamples = 10

// Run sends all shoppers, and returns when they have made their visits, or ctx has
// ended and the requests under way are answered. What the end of ctx cuts short is
// no error.
func Run(ctx context.Context, o Options) Counts {
	limit := rate.NewLimiter(rate.Inf, 0)
	if o.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(o.Rate), max(1, int(o.Rate/20)))
	}
	t := &tally{counts: Counts{Routes: map[string]int64{}}, then: o.Seen}
	var everybody sync.WaitGroup
	for n := range o.Count {
		s := &shopper{
			Options: o, number: n, limit: limit, tally: t,
			name:   fmt.Sprintf("shopper-%d-%d", o.Seed, n),
			random: rand.New(rand.NewPCG(o.Seed, uint64(n))),
		}
		everybody.Go(func() { s.live(ctx) })
	}
	everybody.Wait()
	return t.sum()
}

// tally gathers what shoppers see.
type tally struct {
	mu     sync.Mutex
	counts Counts
	then   func(Answer)
}

func (t *tally) add(a Answer) {
	if t.then != nil {
		t.then(a)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Sent++
	t.counts.Routes[a.Route]++
	if a.Err == nil {
		return
	}
	t.counts.Errors++
	if len(t.counts.Examples) < maxExamples {
		t.counts.Examples = append(t.counts.Examples, a.Err.Error())
	}
}

func (t *tally) sum() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.counts
	out.Examples = slices.Clone(out.Examples)
	return out
}
