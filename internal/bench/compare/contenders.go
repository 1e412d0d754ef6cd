package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/josephburnett/jd/v2"
	"github.com/wI2L/jsondiff"

	"parallax"
	"parallax/compare"
)

// contender is one way to compare two JSON texts. It returns the JSON pointers
// of the places that differ; decoding is its own affair.
type contender struct {
	name  string
	diff  func(primary, candidate []byte) any
	where func(found any) []string
}

// contenders lists Parallax first, then the others. Each does in diff what its
// users do; where only reads the result and is not measured, except for go-cmp,
// which tells places by a reporter while it compares.
var contenders = []contender{
	{"Parallax", parallaxDiff, parallaxPlaces},
	{"go-cmp", cmpDiff, cmpPlaces},
	{"jsondiff", jsondiffDiff, jsondiffPlaces},
	{"jd", jdDiff, jdPlaces},
}

var received = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// parallaxDiff compares two whole answers, as the service does.
func parallaxDiff(primary, candidate []byte) any {
	answer := func(text []byte) *parallax.Call {
		return &parallax.Call{Response: parallax.Response{
			Status:  200,
			Headers: []parallax.Field{{Name: "Content-Type", Value: "application/json"}},
			Body:    parallax.Body{Bytes: text, Size: int64(len(text))},
		}}
	}
	x := &parallax.Exchange{Service: "shop", Endpoint: "GET /orders", Received: received}
	x.Legs[parallax.Primary], x.Legs[parallax.Candidate] = answer(primary), answer(candidate)
	return compare.Compare(x, compare.Input{})
}

func parallaxPlaces(found any) []string {
	var out []string
	for _, d := range found.(compare.Comparison).Differences {
		out = append(out, strings.NewReplacer("$", "", ".", "/", "[", "/", "]", "").Replace(d.Path))
	}
	return out
}

// places is a reporter of go-cmp that notes where values differ.
type places struct {
	path  cmp.Path
	found []string
}

func (p *places) PushStep(s cmp.PathStep) { p.path = append(p.path, s) }
func (p *places) PopStep()                { p.path = p.path[:len(p.path)-1] }

func (p *places) Report(r cmp.Result) {
	if r.Equal() {
		return
	}
	var at strings.Builder
	for _, s := range p.path {
		switch s := s.(type) {
		case cmp.MapIndex:
			fmt.Fprintf(&at, "/%v", s.Key())
		case cmp.SliceIndex:
			fmt.Fprintf(&at, "/%d", s.Key())
		}
	}
	p.found = append(p.found, at.String())
}

// cmpDiff decodes numbers as they are written: as float64 go-cmp would not see
// every difference.
func cmpDiff(primary, candidate []byte) any {
	decode := func(text []byte) any {
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			panic(err)
		}
		return v
	}
	var p places
	cmp.Equal(decode(primary), decode(candidate), cmp.Reporter(&p))
	return p.found
}

func cmpPlaces(found any) []string { return found.([]string) }

func jsondiffDiff(primary, candidate []byte) any {
	patch, err := jsondiff.CompareJSON(primary, candidate)
	if err != nil {
		panic(err)
	}
	return patch
}

func jsondiffPlaces(found any) []string {
	var out []string
	for _, operation := range found.(jsondiff.Patch) {
		out = append(out, operation.Path)
	}
	return out
}

func jdDiff(primary, candidate []byte) any {
	a, err := jd.ReadJsonString(string(primary))
	if err != nil {
		panic(err)
	}
	b, err := jd.ReadJsonString(string(candidate))
	if err != nil {
		panic(err)
	}
	return a.Diff(b)
}

func jdPlaces(found any) []string {
	var out []string
	for _, d := range found.(jd.Diff) {
		var at strings.Builder
		for _, step := range d.Path {
			fmt.Fprintf(&at, "/%v", step)
		}
		out = append(out, at.String())
	}
	return out
}
