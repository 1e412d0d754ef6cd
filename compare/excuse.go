package compare

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"parallax/internal/body"
)

// Bounds of what one exchange says about noise.
const (
	maxNoiseFound = 4096    // places of a noise sample
	maxSpots      = 1 << 16 // places at which the secondary is known to differ
)

// spot is a place of this exchange at which the secondary differs from the
// primary: an exact one, such as $.items[3].price changed or text line 12
// missing. Extra elements and lines are one spot for each shape and array, since
// they stand nowhere in the primary's answer.
type spot struct {
	key   string // the noise place it belongs to
	other side   // what the secondary has there
	n     int    // how many there are
	used  int    // how many of them the candidate differs at too
	alone bool   // the secondary differs otherwise than the candidate does
}

// excuses is what counts as noise in one exchange, and what the candidate makes
// of it.
type excuses struct {
	endpoint string
	model    *NoiseModel
	heard    bool // the secondary answered in this exchange
	judged   bool // with the primary's status and a body that could be compared

	blameless bool // no candidate is judged: noise is noise also where one was blamed

	spots      map[string]*spot
	alone      map[string]bool // noise places at which only the candidate differs
	masks      map[string]bool // normalised paths at which values are noise, once asked for
	incomplete bool            // not all of them are known
	unsure     bool            // something was excused that only a secondary could judge
}

// hear takes one place at which the secondary differs.
func (e *excuses) hear(at *place, occurrence string, kind Kind, primary, other side) {
	id := spotID(at, occurrence, kind, other)
	if known := e.spots[id]; known != nil {
		known.n++
		return
	}
	if len(e.spots) >= maxSpots {
		e.incomplete = true
		return
	}
	if e.spots == nil {
		e.spots = map[string]*spot{}
	}
	e.spots[id] = &spot{key: noisePlace(at.normal(), kind, primary, other), other: other, n: 1}
}

// spotID names an exact place. Extra elements and lines are named after what
// they were added to.
func spotID(at *place, occurrence string, kind Kind, other side) string {
	path := at.path() + occurrence
	if kind == Extra && elementwise(at, kind) {
		if at.kind == placeJSON {
			path = path[:strings.LastIndexByte(path, '[')]
		} else {
			path = string(placeText)
		}
		path += "[] " + shape(other)
	}
	return path + " " + string(kind)
}

// elementwise reports whether a difference is about the elements of an array or
// the lines of a text. Where the secondary has the primary's, no past excuses a
// candidate that has not.
func elementwise(at *place, kind Kind) bool {
	if at.kind == placeText {
		return true
	}
	return at.kind == placeJSON && (kind == Missing || kind == Extra || kind == Moved) &&
		len(at.steps) > 0 && at.steps[len(at.steps)-1].Element
}

// noisePlace names the place of a difference in the noise model: the normalised
// path, the kind, and the shape of what the other leg has there, so that a field
// that is made up anew does not excuse an error text in it. Of statuses both
// belong to the place.
func noisePlace(normal string, kind Kind, primary, other side) string {
	what := shape(other)
	if normal == string(placeStatus) {
		what = primary.class + "->" + other.class
	}
	return normal + " " + string(kind) + " " + what
}

// allows reports whether a candidate's value differs as the secondary's does. It
// refutes a text that differs from the primary's where the secondary agrees.
func (s *spot) allows(primary, candidate side) (ok, refuted bool) {
	if s == nil || s.used >= s.n {
		return false, false
	}
	return differsAs(primary, s.other, candidate)
}

// differsAs reports whether one value differs from the primary's as another does:
// it is the same, or of like shape and, as a text, with all words that the primary
// and the other have in common. It refutes a text without them.
func differsAs(primary, other, value side) (ok, refuted bool) {
	if other.class == value.class && bytes.Equal(other.value(), value.value()) {
		return true, false
	}
	if like := shape(value); like != shape(other) && like != shape(primary) {
		return false, false
	}
	if hasWords(primary) && hasWords(other) && hasWords(value) {
		ok = fits(primary.value(), other.value(), value.value())
		return ok, !ok
	}
	return true, false
}

// meet notes that the candidate differs where the secondary does. The secondary is
// alone there all the same if it would not be excused by the candidate: what counts
// against either must be the mirror image of what counts against the other.
func (s *spot) meet(primary, candidate side) {
	s.used++
	if ok, _ := differsAs(primary, candidate, s.other); !ok {
		s.alone = true
	}
}

// excuse says why a difference is noise; the zero value means that it is not.
// With probe nothing is remembered.
func (e *excuses) excuse(at *place, occurrence string, kind Kind, primary, candidate side, probe bool) Suppression {
	if e == nil || at.kind == placeAnswer {
		return Suppression{}
	}
	here := e.spots[spotID(at, occurrence, kind, candidate)]
	key := noisePlace(at.normal(), kind, primary, candidate)
	now, refuted := here.allows(primary, candidate)
	if at.kind == placeStatus && e.model.countAt(e.endpoint, noisePlace(at.normal(), kind, candidate, primary)).s == 0 {
		now, refuted = false, true // Two instances of one version take turns; what only one ever answers is a fault.
	}
	judged := e.judged || e.heard && at.kind == placeStatus
	count, seen := e.model.look(e.endpoint, key)
	past := !refuted && count.excuses(seen, judged)
	if elementwise(at, kind) {
		past = past && !judged
		judged = false // What is judged line by line needs no blame, which would outlast its cause.
		e.unsure = e.unsure || past && !now && !probe
	}
	if !probe && here != nil && (now || !elementwise(at, kind)) {
		here.meet(primary, candidate)
	}
	if !probe && !now && judged {
		e.candidateAlone(key)
	}
	if judged && !now {
		count.b++
	}
	switch {
	case count.blamed() && !e.blameless || !now && !past:
		return Suppression{}
	case now:
		return Suppression{By: "noise", Detail: "primary and secondary differ here too"}
	}
	return Suppression{By: "noise", Detail: fmt.Sprintf(
		"primary and secondary have differed here in %d of %d exchanges (candidate alone in %d, secondary alone in %d)", count.s, seen, count.b, count.c)}
}

func (e *excuses) candidateAlone(key string) {
	if len(e.alone) >= maxNoiseFound && !e.alone[key] {
		e.incomplete = true
		return
	}
	if e.alone == nil {
		e.alone = map[string]bool{}
	}
	e.alone[key] = true
}

// sample is what the exchange says about noise; nothing if there is too much of
// it.
func (e *excuses) sample(complete bool) NoiseSample {
	all, alone := map[string]bool{}, map[string]bool{}
	for _, s := range e.spots {
		all[s.key] = true
		if (s.used < s.n || s.alone) && (e.judged || strings.HasPrefix(s.key, string(placeStatus)+" ")) {
			alone[s.key] = true
		}
	}
	if e.incomplete || len(all) > maxNoiseFound {
		return NoiseSample{Endpoint: e.endpoint}
	}
	return NoiseSample{
		Endpoint: e.endpoint, Complete: complete && e.heard,
		Secondary: sortedKeys(all), SecondaryAlone: sortedKeys(alone), CandidateAlone: sortedKeys(e.alone),
	}
}

func sortedKeys(set map[string]bool) []string {
	if len(set) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(set))
}

// any reports whether anything could be noise at all.
func (e *excuses) any() bool {
	return e != nil && (len(e.spots) > 0 || e.model.knows(e.endpoint))
}

// masked reports whether the value at a place is noise, for the alignment of
// arrays: whatever it is, it says nothing about which elements belong together.
func (e *excuses) masked(at *place) bool {
	if e.masks == nil {
		e.masks = e.model.changing(e.endpoint)
		for _, s := range e.spots {
			if normal, ok := changing(s.key); ok {
				e.masks[normal] = true
			}
		}
	}
	return e.masks[at.normal()]
}

// changing returns the normalised path of a noise place of kind changed.
func changing(key string) (normal string, ok bool) {
	rest := key[:max(strings.LastIndexByte(key, ' '), 0)]
	return strings.CutSuffix(rest, " "+string(Changed))
}

// occurrence tells members of one name apart: #2 for the second one.
func (f *finder) occurrence(at *place) string {
	if len(at.steps) == 0 || at.steps[len(at.steps)-1].Element {
		return ""
	}
	last, name := at.nodes[len(at.nodes)-1], at.steps[len(at.steps)-1].Name
	above := nodes{}
	if len(at.nodes) > 1 {
		above = at.nodes[len(at.nodes)-2]
	}
	tree, node, parent := f.p, last.p, above.p
	if node < 0 {
		tree, node, parent = f.c, last.c, above.c
	}
	return f.nth(tree, parent, node, name)
}

func (f *finder) nth(tree *body.Tree, parent, node int32, name string) string {
	n := 1
	for i := parent + 1; i < node; i = tree.Nodes[i].Next {
		if f.meter.step(1); string(tree.Name(i)) == name {
			n++
		}
	}
	if n == 1 {
		return ""
	}
	return "#" + strconv.Itoa(n)
}
