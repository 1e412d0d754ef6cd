package reports

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"parallax/compare"
	"parallax/divergence"
)

// trait is something that some of the exchanges have.
type trait struct {
	text string
	rank int   // of two that tell as much, the lower one is more of a hint
	in   []int // which exchanges have it, in ascending order
}

// The ranks of traits. Those of the answer come behind all of the request, but for its status.
const (
	hasValue = iota
	isThere
	isBeyond
	ofAnswer
)

// rank is that of a kind of trait at a place.
func (p *placed) rank(kind int, place string) int {
	if p.answer && place != compare.StatusFact {
		return kind + ofAnswer
	}
	return kind
}

// placed is what stands at a place in each of the exchanges.
type placed struct {
	answer bool // it is a place of answers
	there  []int
	values map[string][]int
	lowest map[int]float64 // of an exchange's numbers
	most   map[int]float64
}

// traitsOf lists the traits that at least so many exchanges have and not all. Others
// could not be shown whichever side has them, so they need not be paid for in the test
// of many (R. E. Tarone, "A modified Bonferroni method for discrete data", Biometrics
// 46(2), 1990).
func traitsOf(list []divergence.Sampled, least int) []trait {
	places := placedIn(list)
	var out []trait
	note := func(rank int, in []int, text ...string) {
		if len(in) >= least && len(in) < len(list) && len(out) < maxTried {
			out = append(out, trait{strings.Join(text, " "), rank, in})
		}
	}
	for _, place := range slices.Sorted(maps.Keys(places)) {
		s := places[place]
		note(s.rank(isThere, place), s.there, place, "is there")
		note(s.rank(isThere, place), missingIn(s.there, len(list)), place, "is not there")
		for _, value := range slices.Sorted(maps.Keys(s.values)) {
			note(s.rank(hasValue, place), s.values[value], place, "is", value)
		}
		if place == compare.StatusFact {
			continue // its numbers have no order
		}
		for _, at := range cuts(s) {
			text := strconv.FormatFloat(at, 'f', -1, 64)
			note(s.rank(isBeyond, place), s.where(s.most, func(v float64) bool { return v >= at }), place, "is at least", text)
			note(s.rank(isBeyond, place), s.where(s.lowest, func(v float64) bool { return v < at }), place, "is less than", text)
		}
	}
	return out
}

// placedIn turns what each exchange has into what each place has.
func placedIn(list []divergence.Sampled) map[string]*placed {
	places := map[string]*placed{}
	for i := range list {
		for _, f := range factsOf(&list[i]) {
			s := places[f.Place]
			if s == nil {
				if len(places) >= maxTried {
					continue
				}
				s = &placed{answer: f.Answer, values: map[string][]int{}, lowest: map[int]float64{}, most: map[int]float64{}}
				places[f.Place] = s
			}
			s.add(i, f.Value)
		}
	}
	return places
}

// factsOf adds to the facts of a call what is known about the exchange besides.
func factsOf(x *divergence.Sampled) []compare.Fact {
	out := compare.Facts(x.Endpoint, x.Call)
	out = append(out, compare.Fact{Place: "answering leg", Value: x.Live}, compare.Fact{Place: "source", Value: x.Source})
	for _, leg := range x.Legs {
		if leg.Version != "" {
			out = append(out, compare.Fact{Place: "version of the " + leg.Leg, Value: leg.Version})
		}
	}
	if x.Concurrent {
		out = append(out, compare.Fact{Place: "another request of the user at the same time"})
	}
	return out
}

func (s *placed) add(i int, value string) {
	s.there = noted(s.there, i)
	if value == "" {
		return
	}
	s.values[value] = noted(s.values[value], i)
	v, err := strconv.ParseFloat(value, 64)
	if err != nil || value[0] == '"' || math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	if _, known := s.most[i]; !known {
		s.lowest[i], s.most[i] = v, v
	}
	s.lowest[i], s.most[i] = min(s.lowest[i], v), max(s.most[i], v)
}

// noted appends an exchange unless it is the last one already.
func noted(in []int, i int) []int {
	if len(in) > 0 && in[len(in)-1] == i {
		return in
	}
	return append(in, i)
}

// where lists the exchanges whose number is as asked for.
func (s *placed) where(numbers map[int]float64, ok func(float64) bool) (in []int) {
	for _, i := range s.there {
		if v, known := numbers[i]; known && ok(v) {
			in = append(in, i)
		}
	}
	return in
}

// cuts returns up to 15 numbers that part the exchanges about evenly. The lowest one
// parts nothing, and two do what the values themselves do.
func cuts(s *placed) []float64 {
	all := slices.Sorted(maps.Values(s.most))
	all = append(all, slices.Collect(maps.Values(s.lowest))...)
	slices.Sort(all)
	distinct := slices.Compact(slices.Clone(all))
	if len(distinct) <= 2 {
		return nil
	}
	if len(distinct) <= maxCuts+1 {
		return distinct[1:]
	}
	var out []float64
	for i := 1; i <= maxCuts; i++ {
		if at := all[i*len(all)/(maxCuts+1)]; at > all[0] {
			out = append(out, at)
		}
	}
	return slices.Compact(out)
}

// missingIn lists the exchanges of n that are not in a list.
func missingIn(in []int, n int) (out []int) {
	for i := range n {
		if _, found := slices.BinarySearch(in, i); !found {
			out = append(out, i)
		}
	}
	return out
}
