package body

// Contains reports whether p covers every place that q can select, whatever the
// document: it selects the place itself or one that it lies in. A false answer may
// mean that it is not certain.
func (p *Path) Contains(q *Path) bool { return contains(p, q, true) }

// SelectsAll is Contains without the places below: p itself selects every place
// that q can select.
func (p *Path) SelectsAll(q *Path) bool { return contains(p, q, false) }

// Meets reports whether some place may be selected by both paths. A true answer
// may mean that it cannot be ruled out.
func (p *Path) Meets(q *Path) bool {
	type pair struct{ p, q int }
	seen := map[pair]bool{{0, 0}: true}
	for open := []pair{{0, 0}}; len(open) > 0; {
		at := open[0]
		open = open[1:]
		if at.p == len(p.segments) || at.q == len(q.segments) {
			if at.p == len(p.segments) && at.q == len(q.segments) {
				return true
			}
			continue
		}
		s, t := &p.segments[at.p], &q.segments[at.q]
		for _, next := range []struct {
			pair
			possible bool
		}{
			{pair{at.p + 1, at.q + 1}, meet(s.selectors, t.selectors)},
			{pair{at.p, at.q + 1}, s.descendant},
			{pair{at.p + 1, at.q}, t.descendant},
		} {
			if next.possible && !seen[next.pair] {
				seen[next.pair] = true
				open = append(open, next.pair)
			}
		}
	}
	return false
}

// maxContainStates bounds how many states of two paths are looked at. Paths that
// people write have a dozen.
const maxContainStates = 4096

// states is a set of positions in a path.
type states [maxPathSegments/64 + 1]uint64

func (s *states) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *states) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// contains takes the steps that q allows through p, going only where p is sure to
// go: each state is a position in q with the positions that p has then reached.
func contains(p, q *Path, below bool) bool {
	type state struct {
		q  int
		at states
	}
	var start state
	start.at.add(0)
	seen := map[state]bool{start: true}
	for open := []state{start}; len(open) > 0; {
		now := open[0]
		open = open[1:]
		done := now.at.has(len(p.segments))
		switch {
		case done && below:
			continue
		case now.q == len(q.segments):
			if !done {
				return false
			}
			continue
		case len(seen) > maxContainStates:
			return false
		}
		s := &q.segments[now.q]
		next := make([]state, 0, len(s.selectors)+1)
		if s.descendant {
			next = append(next, state{now.q, p.follow(&now.at, nil)})
		}
		for i := range s.selectors {
			next = append(next, state{now.q + 1, p.follow(&now.at, &s.selectors[i])})
		}
		for _, n := range next {
			if !seen[n] {
				seen[n] = true
				open = append(open, n)
			}
		}
	}
	return true
}

// follow returns where p surely is after a step that a selector allows, any step
// at all if there is none.
func (p *Path) follow(at *states, by *selector) (next states) {
	for i := range p.segments {
		if !at.has(i) {
			continue
		}
		s := &p.segments[i]
		if s.descendant {
			next.add(i)
		}
		for k := range s.selectors {
			if s.selectors[k].kind == byWildcard || by != nil && s.selectors[k].includes(by) {
				next.add(i + 1)
				break
			}
		}
	}
	return next
}

// includes reports whether s surely selects whatever t does.
func (s *selector) includes(t *selector) bool {
	switch {
	case s.kind == byName:
		return t.kind == byName && s.name == t.name
	case s.kind == byIndex:
		return t.kind == byIndex && s.index == t.index
	case s.kind == byFilter:
		return t.kind == byFilter && s.filter.text == t.filter.text
	case s.kind != bySlice:
		return false
	case t.kind == bySlice:
		return s.start == t.start && s.end == t.end && s.step == t.step && s.hasStart == t.hasStart && s.hasEnd == t.hasEnd
	}
	return t.kind == byIndex && t.index >= 0 && s.start >= 0 && s.step > 0 && (!s.hasEnd || s.end >= 0) && s.inSlice(t.index, t.index+1)
}

// meet reports whether one step may be selected by one selector of each list.
func meet(a, b []selector) bool {
	for i := range a {
		for k := range b {
			if a[i].meets(&b[k]) {
				return true
			}
		}
	}
	return false
}

func (s *selector) meets(t *selector) bool {
	switch {
	case s.kind == byName && t.kind == byName:
		return s.name == t.name
	case s.kind == byIndex && t.kind == byIndex:
		return s.index == t.index || s.index < 0 != (t.index < 0) // [-1] may be [3]
	case s.kind == byName:
		return t.kind != byIndex && t.kind != bySlice
	case t.kind == byName:
		return s.kind != byIndex && s.kind != bySlice
	}
	return true
}
