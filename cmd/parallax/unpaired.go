package main

import (
	"sync"
	"time"

	"parallax"
	"parallax/divergence"
	"parallax/mirror"
	"parallax/reports"
)

// lived knows what callers of endpoints that are not mirrored got from each leg, so that what
// is new can be told: it is the evidence on a live candidate there.
type lived struct {
	mu       sync.Mutex
	services map[string]*livedService
}

// livedService is one service at the last look.
type livedService struct {
	seen      sightings
	endpoints map[string]*livedEndpoint // bounded as endpoints are
}

// livedEndpoint is one endpoint at the last look.
type livedEndpoint struct {
	met    bool            // a caller met the candidate there
	times  [2]mirror.Times // of the primary and of the candidate
	recent recentTimes
}

// live returns what callers got since the call before.
func (s *server) live() []divergence.Live {
	s.unpaired.mu.Lock()
	defer s.unpaired.mu.Unlock()
	if s.unpaired.services == nil {
		s.unpaired.services = map[string]*livedService{}
	}
	lineup := s.current.Load()
	var out []divergence.Live
	for name, svc := range lineup.byName {
		known := s.unpaired.services[name]
		if known == nil {
			known = &livedService{endpoints: map[string]*livedEndpoint{}}
			s.unpaired.services[name] = known
		}
		out = append(out, svc.live(known)...)
	}
	for name := range s.unpaired.services {
		if lineup.byName[name] == nil {
			delete(s.unpaired.services, name)
		}
	}
	return out
}

// live returns what is new on the endpoints of one service.
func (svc *service) live(known *livedService) []divergence.Live {
	terms, at := svc.terms.Load(), svc.steps.now()
	slower := terms.compares.Slower
	normal := func(endpoint string, status int) bool { return terms.compares.Rules.Normal(endpoint, at, status) }
	var out []divergence.Live
	for endpoint, news := range known.seen.next(unmirrored(svc.mirror.Seen()), normal) {
		e := known.endpoints[endpoint]
		if e == nil {
			e = &livedEndpoint{}
			known.endpoints[endpoint] = e
		}
		times := [2]mirror.Times{svc.mirror.LiveTimes(endpoint, parallax.Primary), svc.mirror.LiveTimes(endpoint, parallax.Candidate)}
		l := e.next(news, times, slower)
		if l.Service, l.Endpoint = svc.name, endpoint; l.Candidate.N > 0 || e.met && l.Primary.N > 0 {
			out = append(out, l)
		}
	}
	return append(out, svc.shapes.next(svc.name, svc.mirror.Seen())...)
}

// unmirrored leaves out endpoints of which a shadow was asked: they have pairs.
func unmirrored(seen []mirror.Seen) []mirror.Seen {
	paired := map[string]bool{}
	for _, s := range seen {
		paired[s.Endpoint] = paired[s.Endpoint] || !s.Live
	}
	var out []mirror.Seen
	for _, s := range seen {
		if !paired[s.Endpoint] {
			out = append(out, s)
		}
	}
	return out
}

// next adds how much of what is new on an endpoint was slow. What is slow is told by what the primary took
// before, never by the times that are judged.
func (e *livedEndpoint) next(news reports.Sight, times [2]mirror.Times, slower divergence.Slower) divergence.Live {
	primary, candidate := newTimes(e.times[0], times[0]), newTimes(e.times[1], times[1])
	l := divergence.Live{
		Primary:   divergence.Lived{N: news.Primary.N, Failed: news.Primary.Failed},
		Candidate: divergence.Lived{N: news.Candidate.N, Failed: news.Candidate.Failed},
	}
	if median, ok := e.recent.median(); ok {
		slow := mirror.TimeBucket(time.Duration(slower.Ratio*float64(median)) + slower.Plus)
		l.Primary.Timed, l.Primary.Slow = above(primary, slow)
		l.Candidate.Timed, l.Candidate.Slow = above(candidate, slow)
	}
	e.met, e.times = e.met || news.Candidate.N > 0, times
	e.recent.add(primary)
	return l
}

// newTimes is what was counted between two looks.
func newTimes(before, now mirror.Times) (out mirror.Times) {
	for i, n := range now {
		out[i] = n - min(n, before[i])
	}
	return out
}

// above counts times, and those of them in buckets above one.
func above(t mirror.Times, bucket int) (all, slow uint64) {
	for i, n := range t {
		all += n
		if i > bucket {
			slow += n
		}
	}
	return all, slow
}

// recentTimes are the primary's latest times, older ones fading.
type recentTimes struct {
	n   [mirror.TimeBuckets]float64
	sum float64
}

const (
	enoughTimes = 20   // before which there is no median to go by
	manyTimes   = 2000 // of which those there are count half from then on
)

func (r *recentTimes) add(t mirror.Times) {
	for i, n := range t {
		r.n[i] += float64(n)
		r.sum += float64(n)
	}
	if r.sum > manyTimes {
		for i := range r.n {
			r.n[i] /= 2
		}
		r.sum /= 2
	}
}

// median is the time that half of them took no longer than, rounded up to the end of a
// bucket; false while there are too few.
func (r *recentTimes) median() (time.Duration, bool) {
	if r.sum < enoughTimes {
		return 0, false
	}
	half := r.sum / 2
	for i, n := range r.n {
		if half -= n; half <= 0 {
			return mirror.BucketEnd(i), true
		}
	}
	return mirror.BucketEnd(mirror.TimeBuckets - 1), true
}
