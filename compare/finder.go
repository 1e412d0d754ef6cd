package compare

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parallax/internal/body"
)

// Bounds of what one comparison keeps. Differences that count end the walk at
// their bound; those that a rule or noise took away are still counted beyond it,
// so that they never hide one that counts.
const (
	maxKept       = 256 // differences that count, and as many that do not
	maxNoiseFound = 256 // places of a noise sample
)

// side is one value as a finder takes it.
type side struct {
	text  []byte
	class string // empty when there is no value
}

// finder takes the differences of one pair of answers and judges each.
type finder struct {
	endpoint string
	rules    []*rule
	noise    *excuses // nil: nothing is noise

	p, c *body.Tree // the documents walked now, for duplicate names

	kept       []Difference
	counting   int // that count
	noisy      int
	ruled      int
	suppressed int // kept although they do not count
	truncated  bool
	limit      int             // of differences that count; 0 means maxKept
	places     map[string]bool // for the noise sample; what rules took away is not in it
}

// full reports that no further difference is of use.
func (f *finder) full() bool { return f.counting >= cmp.Or(f.limit, maxKept) }

// add takes one difference.
func (f *finder) add(at *place, kind Kind, primary, candidate side) {
	if f.full() {
		f.truncated = true
		return
	}
	why := Suppression{}
	normal := ""
	if r := f.ruleFor(at, primary, candidate); r != nil {
		why = Suppression{By: "rule", Detail: r.text}
		f.ruled++
	} else {
		normal = at.normal()
		key := noisePlace(normal, kind)
		f.note(key)
		if at.kind != placeAnswer {
			why = f.noise.excuse(key)
		}
		if why.By != "" {
			f.noisy++
		}
	}
	if why.By == "" {
		f.counting++
	} else if f.suppressed++; f.suppressed > maxKept {
		f.truncated = true
		return
	}
	if normal == "" {
		normal = at.normal()
	}
	f.keep(at, normal, kind, primary, candidate, why)
}

func (f *finder) note(key string) {
	if len(f.places) >= maxNoiseFound && !f.places[key] {
		f.truncated = true
		return
	}
	if f.places == nil {
		f.places = map[string]bool{}
	}
	f.places[key] = true
}

func (f *finder) keep(at *place, normal string, kind Kind, primary, candidate side, why Suppression) {
	class := changeClass(primary.class, candidate.class)
	d := Difference{
		Path: at.path() + f.occurrence(at), Normal: normal, Kind: kind,
		Primary: cut(primary.text), Candidate: cut(candidate.text),
		Class: class, Suppressed: why,
		Fingerprint: fingerprint(f.endpoint, kind, normal, class),
		Cause:       fingerprint("", kind, normal, class),
	}
	f.kept = append(f.kept, d)
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
	nth := 1
	for i := parent + 1; i < node; i = tree.Nodes[i].Next {
		if string(tree.Name(i)) == name {
			nth++
		}
	}
	if nth == 1 {
		return ""
	}
	return fmt.Sprintf("#%d", nth)
}

// ruleFor returns the rule that takes a difference away, nil if there is none.
func (f *finder) ruleFor(at *place, primary, candidate side) *rule {
	for _, r := range f.rules {
		if at.kind == placeAnswer {
			return nil
		}
		if r.source.Ignore && r.covers(at) {
			return r
		}
		if at.kind == placeJSON && r.source.Tolerance != nil && primary.class == "number" && candidate.class == "number" &&
			r.path.Matches(at.steps) && body.Within(primary.text, candidate.text, r.abs, r.rel) {
			return r
		}
	}
	return nil
}

// sorted returns what was kept, by path, then kind.
func (f *finder) sorted() []Difference {
	slices.SortStableFunc(f.kept, func(a, b Difference) int {
		if n := naturally(a.Path, b.Path); n != 0 {
			return n
		}
		return strings.Compare(string(a.Kind), string(b.Kind))
	})
	return f.kept
}

// sample returns the places found, sorted.
func (f *finder) sample() []string {
	if len(f.places) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(f.places))
}

// fingerprint is "1-" and the first 16 hex digits of SHA-256 over the parts, each
// ended by a zero byte.
func fingerprint(endpoint string, kind Kind, normal, class string) string {
	h := sha256.New()
	for _, part := range []string{endpoint, string(kind), normal, class} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return "1-" + hex.EncodeToString(h.Sum(nil)[:8])
}

// excuses is what counts as noise in one exchange.
type excuses struct {
	endpoint  string
	model     *NoiseModel
	secondary map[string]bool // where primary and secondary differ in this exchange
	judged    bool            // primary and secondary could be compared in this exchange
}

// excuse says why a difference at a place is noise; the zero value means that it
// is not.
func (e *excuses) excuse(key string) Suppression {
	count, now, ok := e.judge(key)
	switch {
	case !ok:
		return Suppression{}
	case now:
		return Suppression{By: "noise", Detail: "primary and secondary differ here too"}
	}
	return Suppression{By: "noise", Detail: fmt.Sprintf(
		"primary and secondary have differed here before (candidate alone %d times, secondary alone %d)", count.b, count.c)}
}

// judge decides whether a difference at a place is noise, from the past and this
// exchange, which counts as one more where only the candidate differs.
func (e *excuses) judge(key string) (count noiseCount, now, ok bool) {
	if e == nil {
		return count, false, false
	}
	count, now = e.model.count(e.endpoint, key), e.secondary[key]
	if !now && !count.known {
		return count, now, false
	}
	if e.judged && !now {
		count.b++
	}
	return count, now, !count.blamed()
}

// any reports whether anything could be noise at all.
func (e *excuses) any() bool {
	return e != nil && (len(e.secondary) > 0 || e.model.knows(e.endpoint))
}
