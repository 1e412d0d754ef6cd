package ids

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"parallax"
)

// Suggester looks for values that nobody has declared as identifiers: that differ
// between primary and candidate, are one to one over many exchanges, and come back
// in later requests. It keeps hashes of values only, and a bounded number of them.
// It is not for several goroutines at once; the zero value is ready.
type Suggester struct {
	answers  map[answerPlace]*pairs
	requests map[string]map[uint64]time.Time // place -> value -> when it was named last
	words    map[string][]string             // of a place of requests
	left     int
}

// Suggestion is an identifier that may be worth declaring, and why.
type Suggestion struct {
	Name  string   `json:"name"`
	From  []string `json:"from"`
	In    []string `json:"in"`
	Pairs int      `json:"pairs"` // values that were seen with a partner
	Named int      `json:"named"` // of those how many later requests named
	YAML  string   `json:"yaml"`  // to paste below identifiers
}

// answerPlace is a place in the answers of an endpoint.
type answerPlace struct{ endpoint, place string }

// pairs is what was seen at a place of answers.
type pairs struct {
	partner map[uint64]uint64    // the candidate's value by the primary's
	back    map[uint64]uint64    // and the other way
	seen    map[uint64]time.Time // when the primary's was seen first
	asked   map[uint64]bool      // the request named it already
	equal   int                  // values that legs agreed on
	broken  bool                 // not one to one
	long    bool                 // all have 64 bits and more
	words   []string
}

// Bounds of a Suggester, and how much it takes to suggest something.
const (
	maxSuggestPlaces = 512 // of answers, and as many of requests
	maxSuggestValues = 256 // of a place
	minSuggestPairs  = 3   // that differ, and that requests named later
	longBits         = 64  // shorter values may meet by chance: a place of requests must be about the same thing
	maxSuggestEqual  = 10  // one value in so many may be the same on both legs
)

var suggestSeed = maphash.MakeSeed()

func hashed(value string) uint64 { return maphash.String(suggestSeed, value) }

// Add looks at one exchange of an endpoint. Exchanges may come in any order: at is
// when it was received.
func (s *Suggester) Add(endpoint string, at time.Time, x *parallax.Exchange) {
	primary, candidate := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
	if primary == nil || candidate == nil {
		return
	}
	named := map[uint64]bool{}
	if x.Live == parallax.Primary {
		for _, v := range requestValues(endpoint, &primary.Request) {
			if v.about() || Bits(v.value) >= longBits {
				named[hashed(v.value)] = true
			}
			s.addNamed(v, at)
		}
	}
	if primary.Err.Kind != parallax.NoError || candidate.Err.Kind != parallax.NoError {
		return
	}
	theirs := answerValues(&candidate.Response)
	for place, mine := range answerValues(&primary.Response) {
		if other, ok := theirs[place]; ok && len(mine) == len(other) {
			for i := range mine {
				s.addPair(answerPlace{endpoint, place}, mine[i], other[i], at, named[hashed(mine[i])])
			}
		}
	}
}

// Left returns how many values were not kept, since a bound was reached.
func (s *Suggester) Left() int { return s.left }

func (s *Suggester) addNamed(v placed, at time.Time) {
	if s.requests == nil {
		s.requests, s.words = map[string]map[uint64]time.Time{}, map[string][]string{}
	}
	values := s.requests[v.place]
	if values == nil {
		if len(s.requests) == maxSuggestPlaces {
			s.left++
			return
		}
		values = map[uint64]time.Time{}
		s.requests[v.place], s.words[v.place] = values, v.words
	}
	key := hashed(v.value)
	if _, known := values[key]; !known && len(values) == maxSuggestValues {
		s.left++
		return
	}
	if values[key].Before(at) {
		values[key] = at
	}
}

func (s *Suggester) addPair(where answerPlace, mine, other string, at time.Time, asked bool) {
	if s.answers == nil {
		s.answers = map[answerPlace]*pairs{}
	}
	p := s.answers[where]
	if p == nil {
		if len(s.answers) == maxSuggestPlaces {
			s.left++
			return
		}
		p = &pairs{partner: map[uint64]uint64{}, back: map[uint64]uint64{}, seen: map[uint64]time.Time{}, asked: map[uint64]bool{}, long: true, words: wordsOf(where)}
		s.answers[where] = p
	}
	p.add(s, mine, other, at, asked)
}

func (p *pairs) add(s *Suggester, mine, other string, at time.Time, asked bool) {
	if mine == other {
		p.equal++
		return
	}
	a, b := hashed(mine), hashed(other)
	known, ok := p.partner[a]
	before, back := p.back[b]
	switch {
	case ok && known != b || back && before != a:
		p.broken = true
		return
	case !ok && len(p.partner) == maxSuggestValues:
		s.left++
		return
	}
	p.partner[a], p.back[b] = b, a
	if first, ok := p.seen[a]; !ok || at.Before(first) {
		p.seen[a] = at
	}
	p.asked[a] = p.asked[a] || asked
	p.long = p.long && Bits(mine) >= longBits && Bits(other) >= longBits
}

// candidate reports whether the values of a place look made up by each leg.
func (p *pairs) candidate() bool {
	return !p.broken && len(p.partner) >= minSuggestPairs && p.equal*maxSuggestEqual <= len(p.partner)
}

// agrees reports whether two places hold the same values: enough of them, with the
// same partners.
func (p *pairs) agrees(q *pairs) bool {
	shared := 0
	for a, b := range p.partner {
		if other, ok := q.partner[a]; ok {
			if other != b {
				return false
			}
			shared++
		}
	}
	return shared >= minSuggestPairs
}

// family is places of answers that hold the same values.
type family struct {
	places []answerPlace
	first  map[uint64]time.Time
	long   bool
}

// Suggest returns what may be worth declaring, what most requests name first. It is
// for people: nothing of it is in force.
func (s *Suggester) Suggest() []Suggestion {
	var out []Suggestion
	used := map[string]bool{}
	for _, f := range s.families() {
		if one, ok := s.suggestion(f, used); ok {
			used[one.Name] = true
			out = append(out, one)
		}
	}
	slices.SortStableFunc(out, func(a, b Suggestion) int { return cmp.Or(b.Named-a.Named, cmp.Compare(a.Name, b.Name)) })
	return out
}

func (s *Suggester) families() []*family {
	var order []answerPlace
	for where, p := range s.answers {
		if p.candidate() {
			order = append(order, where)
		}
	}
	slices.SortFunc(order, func(a, b answerPlace) int {
		return cmp.Or(cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(a.place, b.place))
	})
	var all []*family
	for _, where := range order {
		p := s.answers[where]
		i := slices.IndexFunc(all, func(f *family) bool {
			return slices.ContainsFunc(f.places, func(other answerPlace) bool { return p.agrees(s.answers[other]) })
		})
		if i < 0 {
			i = len(all)
			all = append(all, &family{first: map[uint64]time.Time{}, long: true})
		}
		all[i].join(where, p)
	}
	return all
}

func (f *family) join(where answerPlace, p *pairs) {
	f.places = append(f.places, where)
	f.long = f.long && p.long
	for value, at := range p.seen {
		if first, ok := f.first[value]; !ok || at.Before(first) {
			f.first[value] = at
		}
	}
}

// suggestion turns a family into an identifier; false if no later request names
// enough of its values.
func (s *Suggester) suggestion(f *family, used map[string]bool) (Suggestion, bool) {
	births := s.births(f)
	if len(births) == 0 {
		return Suggestion{}, false
	}
	var from, in, words []string
	for _, where := range births {
		from = append(from, where.endpoint+" "+where.place)
		words = append(words, s.answers[where].words...)
	}
	named := map[uint64]bool{}
	for place, values := range s.requests {
		if !f.long && !slices.ContainsFunc(s.words[place], func(w string) bool { return slices.Contains(words, w) }) {
			continue
		}
		if s.namesOf(f, values, named) {
			in = append(in, place)
		}
	}
	if len(in) == 0 {
		return Suggestion{}, false
	}
	for _, where := range f.places {
		if !slices.Contains(births, where) && !slices.Contains(in, where.place) {
			in = append(in, where.endpoint+" "+where.place)
		}
	}
	slices.Sort(in)
	name := nameFrom(words, used)
	if _, faults := Compile([]Config{{Name: name, From: At(from...), In: At(in...)}}); len(faults) > 0 {
		return Suggestion{}, false // a place that cannot be written
	}
	return Suggestion{Name: name, From: from, In: in, Pairs: len(f.first), Named: len(named), YAML: yamlLine(name, from, in)}, true
}

// births returns where the values of a family are made up. What answers to reads
// have was made up before, if only by a request that is not stored; unless reads are
// all there is.
func (s *Suggester) births(f *family) []answerPlace {
	var all, written []answerPlace
	for _, where := range f.places {
		if !s.answers[where].bornHere(f) {
			continue
		}
		all = append(all, where)
		if !strings.HasPrefix(where.endpoint, "GET ") && !strings.HasPrefix(where.endpoint, "HEAD ") {
			written = append(written, where)
		}
	}
	if len(written) > 0 {
		return written
	}
	return all
}

// bornHere reports whether most values of a place were seen there first, in answers
// to requests that did not name them.
func (p *pairs) bornHere(f *family) bool {
	born := 0
	for value, at := range p.seen {
		if !p.asked[value] && at.Equal(f.first[value]) {
			born++
		}
	}
	return 2*born > len(p.seen)
}

// namesOf reports whether a place of requests names enough values of a family,
// after they were made up, and hardly anything else.
func (s *Suggester) namesOf(f *family, values map[uint64]time.Time, named map[uint64]bool) bool {
	var hits []uint64
	for value, at := range values {
		if first, ok := f.first[value]; ok && at.After(first) {
			hits = append(hits, value)
		}
	}
	if len(hits) < minSuggestPairs || 2*len(hits) < len(values) {
		return false
	}
	for _, value := range hits {
		named[value] = true
	}
	return true
}

// yamlLine writes an identifier as it is written by hand.
func yamlLine(name string, from, in []string) string {
	quoted := func(list []string) string {
		out := make([]string, len(list))
		for i, text := range list {
			out[i] = fmt.Sprintf("%q", text)
		}
		return strings.Join(out, ", ")
	}
	return fmt.Sprintf("- { name: %s, from: [%s], in: [%s] }", name, quoted(from), quoted(in))
}
