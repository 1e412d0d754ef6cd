package mirror

import (
	"sync"
	"sync/atomic"

	"parallax"
)

// Seen is what one leg made of one endpoint's requests since this process began. Requests
// whose caller left are not in it: nobody knows what would have come.
type Seen struct {
	Endpoint string
	Leg      parallax.Leg
	Live     bool // its answers went to callers

	Requests     uint64
	Errors       uint64         // no complete answer
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
}

func (o *outcomes) count(c *parallax.Call) {
	if c.Err.Kind == parallax.CallerGone {
		return
	}
	o.requests.Add(1) // before its failure: who reads them the other way round finds no more failures than requests
	switch status := c.Response.Status; {
	case c.Err.Kind != parallax.NoError:
		o.errors.Add(1)
	case status >= 500 && status < 600:
		o.serverErrors()[status-500].Add(1)
	}
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
