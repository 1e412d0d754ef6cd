package compare

// asks is what the rules of one comparison ask of the walk, gathered once.
type asks struct {
	ready   bool
	arrays  bool    // some arrays are not compared as lists
	spells  bool    // the spelling of some numbers counts
	filters bool    // some paths have filters
	finds   bool    // some of those find differences: they ask something of equal values, or of spelling
	asserts []*rule // that ask something of equal values too: class, regex and expect
	expects []*rule // of asserts, those that expect a difference
	moves   []*rule
	decodes []*rule // that open texts inside documents
}

// asks returns what the rules ask. Between two instances of one version no rule
// asks anything of equal values.
func (f *finder) asks() *asks {
	if f.asked.ready {
		return &f.asked
	}
	a := &f.asked
	a.ready = true
	for _, r := range f.rules {
		s := &r.source
		a.arrays = a.arrays || s.Array.Mode != ""
		a.spells = a.spells || s.Number != ""
		if r.path != nil && r.path.Filters() {
			a.filters = true
			a.finds = a.finds || s.Number != "" || s.asserts() && !f.listen
		}
		if r.opens != nil {
			a.decodes = append(a.decodes, r)
		}
		if s.Move != nil {
			a.moves = append(a.moves, r)
		}
		if s.Expect != "" && !f.listen {
			a.expects = append(a.expects, r)
		}
		if s.asserts() && !f.listen {
			a.asserts = append(a.asserts, r)
		}
	}
	return a
}

// asserts reports whether the rule asks something of values even if both sides
// have the same, so that equal bytes are no match by themselves.
func (s *Rule) asserts() bool { return s.Class != "" || s.Regex != "" || s.Expect != "" }

// asserting reports whether any of the rules asks something of equal values.
func asserting(rules []*rule) bool {
	for _, r := range rules {
		if r.source.asserts() {
			return true
		}
	}
	return false
}

// assertsAt reports whether a rule asks something of equal values in one of some
// parts of an answer.
func (f *finder) assertsAt(kinds ...placeKind) bool {
	for _, r := range f.asks().asserts {
		for _, kind := range kinds {
			if r.place == kind {
				return true
			}
		}
	}
	return false
}

// agree takes a place at which both sides have the same value and asks the rules
// about it: a difference that a rule expects is not there, or the value is not what
// a rule says it is.
func (f *finder) agree(at *place, s side) {
	f.meter.tries(len(f.asks().asserts), at)
	for _, r := range f.asks().asserts {
		switch {
		case !r.isAbout(at):
		case r.source.Expect != "":
			f.unmet(r, at, s)
		default:
			if own := f.names.own(at, s); !r.fits(s) || !r.fits(own) {
				f.ask(r, at, Unfit, s, own)
			}
		}
	}
}

// unmet reports that a difference is not there which a rule expects. Where both
// answers are errors nothing is expected of what comes with the status.
func (f *finder) unmet(r *rule, at *place, s side) {
	if !f.errors || at.kind == placeStatus {
		f.ask(r, at, Unmet, s, s)
	}
}

// ask takes a place that a rule asks something of in vain.
func (f *finder) ask(r *rule, at *place, kind Kind, primary, candidate side) {
	f.asking = r
	f.add(at, kind, primary, candidate)
	f.asking = nil
}

// meets reports whether a difference is the one that a rule expects.
func (r *rule) meets(f *finder, at *place, kind Kind, primary, candidate side) bool {
	if kind == Unmet || kind == Unfit {
		return false
	}
	if r.source.Expect == "any" {
		return r.covers(at) && (!r.values() || r.takes(f, kind, primary, candidate))
	}
	return string(kind) == r.source.Expect && r.isAbout(at) && (!r.values() || r.takes(f, kind, primary, candidate))
}

// breaks reports whether a difference can be no noise: a rule asked for it in
// vain, or one of the values is what a rule says and the other is not.
func (f *finder) breaks(at *place, kind Kind, primary, candidate side) bool {
	if kind == Unmet || kind == Unfit {
		return true
	}
	for _, r := range f.asks().asserts {
		if r.source.Expect == "" && r.isAbout(at) && r.fits(primary) != r.fits(candidate) {
			return true
		}
	}
	return false
}

// expectNamed reports differences that are expected at a place which neither side
// has; found says whether one of them has it.
func (f *finder) expectNamed(kind placeKind, found func(name string) bool) {
	for _, r := range f.asks().expects {
		if r.place == kind && r.name != "" && !found(r.name) {
			f.unmet(r, &place{kind: kind, name: r.name}, side{})
		}
	}
}

// expectBody reports that two bodies are the same where a rule expects otherwise.
// Before is what had been found before they were compared.
func (f *finder) expectBody(before int) {
	for _, r := range f.asks().expects {
		if r.place == placeBody && f.found == before {
			f.unmet(r, &place{kind: placeBody}, side{})
		}
	}
}

// expectPaths reports differences that are expected at a single place which
// neither document has.
func (w *walker) expectPaths() {
	for _, r := range w.asks.expects {
		if r.place != placeJSON || r.steps == nil {
			continue
		}
		if at := descend(w.p, 0, r.steps); at >= 0 {
			continue
		}
		if at := descend(w.c, 0, r.steps); at >= 0 {
			continue
		}
		at := &place{kind: placeJSON, row: w.find.row, steps: r.steps, nodes: make([]nodes, len(r.steps))}
		for i := range at.nodes {
			at.nodes[i] = nodes{-1, -1}
		}
		w.find.unmet(r, at, side{})
	}
}
