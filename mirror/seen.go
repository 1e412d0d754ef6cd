package mirror

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"parallax"
)

// Seen is what one leg made of one endpoint's requests since this process began. Requests
// whose caller left are not in it: nobody knows what would have come.
type Seen struct {
	Endpoint string
	Leg      parallax.Leg
	Live     bool // its answers went to callers

	Requests     uint64
	Errors       uint64         // no complete answer; of a shadow that was cut off in the middle of one, none
	ServerErrors map[int]uint64 // complete answers by a status from 500 to 599; nil for none
}

// Seen returns what was seen of the legs so far, in no order. It takes no lock that a
// request waits for.
func (m *Mirror) Seen() []Seen {
	var out []Seen
	m.current.Load().sights.Range(func(name, s any) bool {
		for l := range s.(*sight) {
			for r := range roles {
				if c := &s.(*sight)[l][r]; c.requests.Load() > 0 {
					seen := c.read()
					seen.Endpoint, seen.Leg, seen.Live = name.(string), parallax.Leg(l), r == live
					out = append(out, seen)
				}
			}
		}
		return true
	})
	return out
}

// TimeBuckets is how many buckets [Times] has.
const TimeBuckets = 84

// Times counts answers by how long their first byte took: four buckets an octave, from 64 us
// on; the first holds what was faster, the last what took more than a minute.
type Times [TimeBuckets]uint64

// TimeBucket is where a time is counted.
func TimeBucket(d time.Duration) int {
	octaves := math.Log2(float64(max(d, 1)) / float64(64*time.Microsecond))
	return int(min(max(math.Floor(4*octaves)+1, 0), TimeBuckets-1))
}

// BucketEnd is the longest time that is counted in a bucket; the last has none.
func BucketEnd(bucket int) time.Duration {
	return time.Duration(float64(64*time.Microsecond) * math.Exp2(float64(bucket)/4))
}

// LiveTimes returns how long callers of one endpoint waited for a leg so far.
func (m *Mirror) LiveTimes(endpoint string, leg parallax.Leg) (out Times) {
	found, ok := m.current.Load().sights.Load(endpoint)
	if !ok {
		return out
	}
	if times := found.(*sight)[leg][live].times.Load(); times != nil {
		for i := range times {
			out[i] = times[i].Load()
		}
	}
	return out
}

// sights are the counts of endpoints by name. They outlive a reload, and are no more than
// the endpoints there ever were, which are bounded.
type sights struct{ sync.Map }

// of returns the counts of an endpoint.
func (s *sights) of(endpoint string) *sight {
	found, _ := s.LoadOrStore(endpoint, new(sight))
	return found.(*sight)
}

type sight [parallax.Legs][roles]outcomes

// outcomes count finished calls.
type outcomes struct {
	requests, errors atomic.Uint64
	server           atomic.Pointer[[100]atomic.Uint64] // by status less 500; nil until there is one
	times            atomic.Pointer[[TimeBuckets]atomic.Uint64]
}

// count counts a finished call. A shadow that was cut off in the middle of its answer counts by
// its status: a live leg may go on for as long as it likes, as streams of events do.
func (o *outcomes) count(r role, c *parallax.Call) {
	if c.Err.Kind == parallax.CallerGone {
		return
	}
	cut := r == shadow && c.Err.Kind == parallax.Timeout && c.Response.Status != 0
	o.requests.Add(1) // before its failure: who reads them the other way round finds no more failures than requests
	switch status := c.Response.Status; {
	case c.Err.Kind != parallax.NoError && !cut:
		o.errors.Add(1)
	case status >= 500 && status < 600:
		o.serverErrors()[status-500].Add(1)
	}
}

// time counts how long a caller waited for an answer, if there was one.
func (o *outcomes) time(c *parallax.Call) {
	took, ok := c.Latency()
	if !ok || c.Err.Kind != parallax.NoError {
		return
	}
	if o.times.Load() == nil {
		o.times.CompareAndSwap(nil, new([TimeBuckets]atomic.Uint64))
	}
	o.times.Load()[TimeBucket(took)].Add(1)
}

func (o *outcomes) serverErrors() *[100]atomic.Uint64 {
	if o.server.Load() == nil {
		o.server.CompareAndSwap(nil, new([100]atomic.Uint64))
	}
	return o.server.Load()
}

// read returns the counts, failures first.
func (o *outcomes) read() Seen {
	s := Seen{}
	if server := o.server.Load(); server != nil {
		s.ServerErrors = map[int]uint64{}
		for i := range server {
			if n := server[i].Load(); n > 0 {
				s.ServerErrors[500+i] = n
			}
		}
	}
	s.Errors = o.errors.Load()
	s.Requests = o.requests.Load()
	return s
}
