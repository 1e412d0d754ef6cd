package ids

import (
	"slices"
	"strings"
	"sync"

	"parallax"
)

// Sheet is the places of a set that hold for one request of a leg and its answer.
type Sheet struct {
	places []sheetPlace // shared with other sheets
	born   []sheetPlace // those of them where values are born
	target string
	path   string
}

type sheetPlace struct {
	*place
	id    *Identifier
	index int
	born  bool
}

// On returns the places that hold for a request that a leg got, and its answer.
// target is path and query as they were sent.
func (s *Set) On(leg parallax.Leg, method, target string) *Sheet {
	path, _, _ := strings.Cut(target, "?")
	sheet := &Sheet{target: target, path: path}
	if s != nil {
		held := s.on[leg].of(method, path)
		sheet.places, sheet.born = held.all, held.born
	}
	return sheet
}

// As has values known by another path and query than those that the leg was sent:
// by the caller's.
func (s *Sheet) As(target string) *Sheet {
	s.target = target
	s.path, _, _ = strings.Cut(target, "?")
	return s
}

// Places returns how many places values are looked for at.
func (s *Sheet) Places() int { return len(s.places) }

// HasBody reports whether any place may be in a body.
func (s *Sheet) HasBody() bool {
	return slices.ContainsFunc(s.places, func(p sheetPlace) bool { return p.kind == inBody || p.kind == anyInBody })
}

// sheets are the places of one leg, and which of them hold together: the same ones for
// most requests of an endpoint (BenchmarkSheet).
type sheets struct {
	all []sheetPlace

	mu    sync.RWMutex
	known map[placeMask]*sheetPlaces
}

type sheetPlaces struct{ all, born []sheetPlace }

// placeMask says which places hold. Of a leg with more places than it has bits nothing is
// remembered.
type placeMask [4]uint64

const (
	maskedPlaces = 4 * 64
	maxSheets    = 1024 // that are remembered of a leg
)

func (s *sheets) fill(list []*Identifier, leg parallax.Leg) {
	s.all, s.known = nil, map[placeMask]*sheetPlaces{}
	for _, id := range list {
		for i := range id.from[leg] {
			s.all = append(s.all, sheetPlace{&id.from[leg][i], id, i, true})
		}
		for i := range id.in[leg] {
			s.all = append(s.all, sheetPlace{&id.in[leg][i], id, i, false})
		}
	}
}

// of returns the places that hold for a request.
func (s *sheets) of(method, path string) *sheetPlaces {
	if len(s.all) > maskedPlaces {
		return s.holding(func(i int) bool { return s.all[i].applies(method, path) })
	}
	var mask placeMask
	for i := range s.all {
		if s.all[i].applies(method, path) {
			mask[i/64] |= 1 << (i % 64)
		}
	}
	s.mu.RLock()
	out := s.known[mask]
	s.mu.RUnlock()
	if out != nil {
		return out
	}
	out = s.holding(func(i int) bool { return mask[i/64]&(1<<(i%64)) != 0 })
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) < maxSheets {
		s.known[mask] = out
	}
	return out
}

func (s *sheets) holding(holds func(i int) bool) *sheetPlaces {
	out := &sheetPlaces{}
	for i := range s.all {
		if holds(i) {
			out.all = append(out.all, s.all[i])
		}
	}
	out.born = slices.DeleteFunc(slices.Clone(out.all), func(p sheetPlace) bool { return !p.born })
	return out
}
