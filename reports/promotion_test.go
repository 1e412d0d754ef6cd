package reports

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDefaultPromotionIsValid(t *testing.T) {
	t.Parallel()
	if faults := DefaultPromotion().Validate(); len(faults) > 0 {
		t.Errorf("faults in the default policy: %v", faults)
	}
}

func TestPromotionValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	p := Promotion{
		MaxDivergenceRate: 1, MaxErrorRate: -0.1, Slower: Slower{Ratio: 0.9, Plus: -1, MaxShare: math.NaN()},
		Alpha: 0, Beta: 2, MinDuration: -1, MaxLostShare: 1.1, Auto: true,
		Endpoints: map[string]Waiver{
			"GET /good": {Waived: "2026-12-31 team-pay"}, "GET /day": {Waived: "soon team-pay"}, "GET /owner": {Waived: "2026-12-31"}, "GET /none": {},
		},
	}
	var got []string
	for _, f := range p.Validate() {
		got = append(got, f.Path)
	}
	want := []string{
		"max_divergence_rate", "max_error_rate", "slower.max_share", "alpha", "beta", "max_lost_share", "slower.ratio", "slower.plus",
		"min_duration", "steps", `endpoints["GET /day"].waived`, `endpoints["GET /none"].waived`, `endpoints["GET /owner"].waived`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// Evidence is kept apart by what it is tested against, and by nothing else.
func TestPromotionHash(t *testing.T) {
	t.Parallel()
	base := DefaultPromotion()
	same := base
	same.Endpoints = map[string]Waiver{"GET /a": {Waived: "2026-12-31 team-pay"}}
	if base.Hash() != same.Hash() {
		t.Error("a waiver changes the hash")
	}
	seen := map[string]string{base.Hash(): "default"}
	for name, change := range map[string]func(*Promotion){
		"divergence": func(p *Promotion) { p.MaxDivergenceRate = 0.01 },
		"errors":     func(p *Promotion) { p.MaxErrorRate = 0.01 },
		"ratio":      func(p *Promotion) { p.Slower.Ratio = 2 },
		"plus":       func(p *Promotion) { p.Slower.Plus = time.Second },
		"share":      func(p *Promotion) { p.Slower.MaxShare = 0.1 },
		"alpha":      func(p *Promotion) { p.Alpha = 0.01 },
		"beta":       func(p *Promotion) { p.Beta = 0.01 },
		"duration":   func(p *Promotion) { p.MinDuration = 0 },
		"lost":       func(p *Promotion) { p.MaxLostShare = 0 },
	} {
		p := DefaultPromotion()
		change(&p)
		if other, ok := seen[p.Hash()]; ok {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[p.Hash()] = name
	}
}

// TestVerdictNamesTheLimit: of an endpoint with a limit of its own, and of the others.
func TestVerdictNamesTheLimit(t *testing.T) {
	t.Parallel()
	p := quick()
	p.Endpoints = map[string]Waiver{"GET /b": {MaxDivergenceRate: 0.02}}
	a, b := tick("GET /a", 1, 10, 0), tick("GET /b", 1, 10, 0)
	a.PolicyHash, b.PolicyHash = p.Hash(), p.Hash()
	v := at(fold(p, a, b), 1)
	if len(v.Endpoints) != 2 || v.Endpoints[0].Limit != 0.01 || v.Endpoints[1].Limit != 0.02 {
		t.Errorf("%+v", v.Endpoints)
	}
}
