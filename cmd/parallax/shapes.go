package main

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"parallax"
	"parallax/compare"
	"parallax/compare/effects"
	"parallax/divergence"
	"parallax/mirror"
)

// maxKinds bounds the kinds of change that an endpoint is judged by.
const maxKinds = 32

// shapes count what requests wrote that one leg alone was asked, by endpoint, until the recorder
// takes it: the evidence on what a live candidate writes where nothing is compared. The zero
// value is ready.
type shapes struct {
	mu        sync.Mutex
	endpoints map[string]*endpointShapes // bounded as endpoints are
}

// endpointShapes are those of one endpoint.
type endpointShapes struct {
	primary, candidate divergence.Lived // Read and Unread only
	kinds              map[effects.Kind]*kindShapes
	fresh              map[effects.Kind]bool // seen since, and not counted by before the next look
}

// kindShapes is one kind of change.
type kindShapes struct {
	primary, candidate divergence.Wrote
	sizes              map[uint64]float64 // how often the primary made so many of them, older ones fading
	sum                float64
	usual              uint64 // the most frequent of sizes at the last look, 0 while there are too few
}

// Bounds of what is remembered of numbers of changes.
const (
	maxSizes  = 64   // different ones
	enoughSum = 20   // before which no number is the usual one
	manySum   = 2000 // of which those there are count half from then on
)

// keepShape counts what an exchange wrote.
func (svc *service) keepShape(s effects.Shape) {
	var tables *compare.EffectTables
	if did := svc.terms.Load().compares.Effects; did != nil {
		tables = did.Tables
	}
	changes := map[effects.Kind]uint64{}
	for kind, n := range s.Changes {
		kind.Table = tables.Name(s.Live, kind.Table)
		changes[kind] += n
	}
	s.Changes = changes
	svc.shapes.add(s)
}

func (s *shapes) add(of effects.Shape) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endpoints == nil {
		s.endpoints = map[string]*endpointShapes{}
	}
	e := s.endpoints[of.Stamp.Endpoint]
	if e == nil {
		e = &endpointShapes{kinds: map[effects.Kind]*kindShapes{}, fresh: map[effects.Kind]bool{}}
		s.endpoints[of.Stamp.Endpoint] = e
	}
	e.add(of)
}

func (e *endpointShapes) add(s effects.Shape) {
	total := &e.primary
	if s.Live == parallax.Candidate {
		total = &e.candidate
	}
	if s.Unread != "" {
		total.Unread++
		return
	}
	total.Read++
	for kind, k := range e.kinds {
		k.add(s.Live, s.Changes[kind])
	}
	for kind := range s.Changes {
		if e.kinds[kind] == nil && len(e.fresh) < maxKinds {
			e.fresh[kind] = true
		}
	}
}

// add counts a request with so many changes.
func (k *kindShapes) add(leg parallax.Leg, n uint64) {
	w := &k.primary
	if leg == parallax.Candidate {
		w = &k.candidate
	}
	w.N++
	switch {
	case n == 0:
		w.None++
	case k.usual > 0:
		w.Sized++
		if n != k.usual {
			w.Other++
		}
	}
	if n > 0 && leg == parallax.Primary {
		k.remember(n)
	}
}

// remember notes how many changes a request of the primary's made.
func (k *kindShapes) remember(n uint64) {
	if _, known := k.sizes[n]; !known && len(k.sizes) >= maxSizes {
		return
	}
	k.sizes[n]++
	if k.sum++; k.sum <= manySum {
		return
	}
	k.sum = 0
	for size, often := range k.sizes {
		if often < 1 {
			delete(k.sizes, size)
			continue
		}
		k.sizes[size] = often / 2
		k.sum += often / 2
	}
}

// settle says what the usual number is from now on: that is told by what was before, never by
// the requests that are judged.
func (k *kindShapes) settle() {
	if k.sum < enoughSum {
		return
	}
	k.usual = slices.MaxFunc(slices.Sorted(maps.Keys(k.sizes)), func(a, b uint64) int { return cmp.Compare(k.sizes[a], k.sizes[b]) })
}

// next returns what was counted since the call before, of endpoints without pairs.
func (s *shapes) next(service string, seen []mirror.Seen) (out []divergence.Live) {
	s.mu.Lock()
	defer s.mu.Unlock()
	alone := map[string]bool{}
	for _, each := range unmirrored(seen) {
		alone[each.Endpoint] = true
	}
	for _, name := range slices.Sorted(maps.Keys(s.endpoints)) {
		if !alone[name] {
			delete(s.endpoints, name)
			continue
		}
		if l := s.endpoints[name].next(); l.Primary != l.Candidate || l.Primary != (divergence.Lived{}) {
			l.Service, l.Endpoint = service, name
			out = append(out, l)
		}
	}
	return out
}

func (e *endpointShapes) next() divergence.Live {
	l := divergence.Live{Primary: e.primary, Candidate: e.candidate}
	e.primary, e.candidate = divergence.Lived{}, divergence.Lived{}
	for _, kind := range sortedKinds(e.kinds) {
		k := e.kinds[kind]
		if k.primary.N+k.candidate.N > 0 {
			l.Writes = append(l.Writes, divergence.LiveWrite{Table: kind.Table, Op: string(kind.Op), Primary: k.primary, Candidate: k.candidate})
		}
		k.primary, k.candidate = divergence.Wrote{}, divergence.Wrote{}
		k.settle()
	}
	for _, kind := range sortedKinds(e.fresh) {
		if len(e.kinds) < maxKinds {
			e.kinds[kind] = &kindShapes{sizes: map[uint64]float64{}}
		}
	}
	clear(e.fresh)
	return l
}

func sortedKinds[V any](kinds map[effects.Kind]V) []effects.Kind {
	return slices.SortedFunc(maps.Keys(kinds), func(a, b effects.Kind) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Op, b.Op))
	})
}
