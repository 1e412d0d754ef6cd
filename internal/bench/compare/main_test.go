package main

import (
	"encoding/json"
	"testing"
)

// Each pair holds documents whose differences are the planted ones, as Parallax
// and go-cmp see it; up to 100 KB, for go-cmp's sake.
func TestPairingsHoldWhatWasPlanted(t *testing.T) {
	t.Parallel()
	for _, p := range pairings() {
		if !json.Valid(p.primary) || !json.Valid(p.candidate) {
			t.Fatalf("%s: no JSON", p.title())
		}
		if n := len(p.primary); n < p.size*9/10 || n > p.size*12/10 {
			t.Errorf("%s: %d bytes, want about %d", p.title(), n, p.size)
		}
		if p.size > 100<<10 {
			continue
		}
		for _, c := range contenders[:2] {
			if found := c.where(c.diff(p.primary, p.candidate)); !exact(p, found) {
				t.Errorf("%s: %s finds %v, planted are %v", p.title(), c.name, found, p.planted)
			}
		}
	}
}

func TestRatioIsOverTheExactOnes(t *testing.T) {
	t.Parallel()
	figures := []figure{{exact: true, time: 10}, {exact: true, time: 80}, {time: 20}, {exact: true, time: 55}}
	if got := ratio(figures); got != "**5.5x**" {
		t.Errorf("got %s", got)
	}
}
