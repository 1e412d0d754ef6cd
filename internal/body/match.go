package body

// Step is one level of the way from the root of a document to a value: a member
// of an object or an element of an array.
type Step struct {
	Name    string // of the member; empty for elements
	Index   int    // of the element
	Len     int    // number of elements of the array, for negative indices
	Element bool
	Implied bool // of an array that a path need not mention; see [Tree.Lax]

	Doc  *Doc  // what filters look at; without it they select nothing
	Node int32 // the value in Doc
}

// Matches reports whether the path selects the value that steps lead to.
func (p *Path) Matches(steps []Step) bool {
	// Fast path: most values are called otherwise than the path ends (BenchmarkPathMatches).
	if n := len(steps); n > 0 && p.ends && !steps[n-1].Implied && (steps[n-1].Element || steps[n-1].Name != p.end) {
		return false
	}
	exact, _ := p.run(steps)
	return exact
}

// MayEnd reports whether the path may select a member of a name.
func (p *Path) MayEnd(name []byte) bool { return !p.ends || p.end == string(name) }

// seal notes the name that all have which the path selects, if there is one. Of a path
// with filters it does not: they are to be asked, since they may give up.
func (p *Path) seal() {
	if len(p.segments) == 0 || p.Filters() {
		return
	}
	last := p.segments[len(p.segments)-1].selectors
	if p.ends = len(last) == 1 && last[0].kind == byName; p.ends {
		p.end = last[0].name
	}
}

// Covers reports whether the path selects the value that steps lead to or a
// value it lies in.
func (p *Path) Covers(steps []Step) bool {
	exact, above := p.run(steps)
	return exact || above
}

// run takes the steps through the path as an automaton whose states are the
// segments still to match: a descendant segment also waits in its own state. It
// takes len(steps) times len(segments) at most, however many descendants there
// are.
func (p *Path) run(steps []Step) (exact, above bool) {
	var states [2][maxPathSegments + 1]bool
	now, next := &states[0], &states[1]
	last := len(p.segments)
	now[0] = true
	for i := range steps {
		if now[last] {
			above = true
		}
		clear(next[:last+1])
		for at := range p.segments {
			if !now[at] {
				continue
			}
			s := &p.segments[at]
			next[at] = next[at] || s.descendant || steps[i].Implied
			next[at+1] = next[at+1] || s.selects(&steps[i])
		}
		next[last] = next[last] || now[last] && steps[i].Implied
		now, next = next, now
	}
	return now[last], above
}

func (s *segment) selects(step *Step) bool {
	for i := range s.selectors {
		if s.selectors[i].selects(step) {
			return true
		}
	}
	return false
}

func (s *selector) selects(step *Step) bool {
	switch s.kind {
	case byWildcard:
		return true
	case byName:
		return !step.Element && s.name == step.Name
	case byIndex:
		index := s.index
		if index < 0 {
			index += int64(step.Len)
		}
		return step.Element && index == int64(step.Index)
	case byFilter:
		return step.Doc != nil && step.Doc.selects(s.filter, step.Node)
	}
	return step.Element && s.inSlice(int64(step.Index), int64(step.Len))
}

// inSlice follows RFC 9535, section 2.3.4.2.2.
func (s *selector) inSlice(index, length int64) bool {
	if s.step == 0 {
		return false
	}
	lower, upper := s.bounds(length)
	if s.step > 0 {
		return index >= lower && index < upper && (index-lower)%s.step == 0
	}
	return index <= upper && index > lower && (upper-index)%-s.step == 0
}

func (s *selector) bounds(length int64) (lower, upper int64) {
	start, end := int64(0), length
	if s.step < 0 {
		start, end = length-1, -length-1
	}
	if s.hasStart {
		start = s.start
	}
	if s.hasEnd {
		end = s.end
	}
	start, end = fromEnd(start, length), fromEnd(end, length)
	if s.step > 0 {
		return min(max(start, 0), length), min(max(end, 0), length)
	}
	return min(max(end, -1), length-1), min(max(start, -1), length-1)
}

func fromEnd(i, length int64) int64 {
	if i < 0 {
		return length + i
	}
	return i
}
