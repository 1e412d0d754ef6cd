package body

// Fork returns what two paths begin with in common, and the steps in which they
// go on from there. It fails if one of these rests names more than one place, or
// the paths are the same.
func Fork(p, q *Path) (common *Path, restP, restQ []Step, ok bool) {
	n := 0
	for n < len(p.segments)-1 && n < len(q.segments)-1 && sameSegment(&p.segments[n], &q.segments[n]) {
		n++
	}
	rest := func(p *Path) ([]Step, bool) { return (&Path{segments: p.segments[n:]}).Steps() }
	restP, okP := rest(p)
	restQ, okQ := rest(q)
	same := len(p.segments) == len(q.segments) && len(p.segments) == n+1 && sameSegment(&p.segments[n], &q.segments[n])
	return &Path{text: "$", segments: p.segments[:n]}, restP, restQ, okP && okQ && len(restP) > 0 && len(restQ) > 0 && !same
}

// sameSegment reports whether two segments are written alike.
func sameSegment(a, b *segment) bool {
	if a.descendant != b.descendant || len(a.selectors) != len(b.selectors) {
		return false
	}
	for i := range a.selectors {
		s, t := a.selectors[i], b.selectors[i]
		if (s.filter == nil) != (t.filter == nil) || s.filter != nil && s.filter.text != t.filter.text {
			return false
		}
		s.filter, t.filter = nil, nil
		if s != t {
			return false
		}
	}
	return true
}
