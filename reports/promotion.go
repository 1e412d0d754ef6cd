package reports

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parallax"
	"parallax/compare"
)

// Promotion is what a candidate must show before it may take over. Rates are
// shares between 0 and 1.
type Promotion struct {
	MaxDivergenceRate float64             `yaml:"max_divergence_rate" doc:"share of exchanges of any one endpoint that may diverge, between 0 and 1"`
	MaxErrorRate      float64             `yaml:"max_error_rate" doc:"share of exchanges in which the candidate may fail where the primary did not"`
	Slower            Slower              `yaml:"slower" doc:"when the candidate counts as slower, and how often it may be"`
	Alpha             float64             `yaml:"alpha" doc:"chance of ever promoting a version that is worse than the limits above"`
	Beta              float64             `yaml:"beta" doc:"chance of ever rolling back a version that keeps them"`
	MinDuration       time.Duration       `yaml:"min_duration" doc:"how long the candidate must have been compared before it is promoted"`
	Hours             []string            `yaml:"hours" json:",omitempty" doc:"hours of the week (UTC) in each of which something must have been compared: Mon-Fri 09-17, Sun 22-02, Sat"`
	MaxLostShare      float64             `yaml:"max_lost_share" doc:"share of mirrored exchanges of an endpoint that may be lost before they are compared, and of compared ones that may be not comparable though the primary answered"`
	MaxNoiseShare     float64             `yaml:"max_noise_share" doc:"share of an endpoint's compared exchanges that may have noise, places where primary and secondary differ too; above it the verdict holds; 1 for no limit"`
	MaxTransientShare float64             `yaml:"max_transient_share" doc:"share of an endpoint's compared exchanges that may be transient: they diverged, and the primary itself answered otherwise when it was asked again; above it the verdict holds; 1 for no limit"`
	MaxUnmappedShare  float64             `yaml:"max_unmapped_share" doc:"share of an endpoint's compared exchanges that may name an identifier without a known partner; above it the verdict holds; 1 for no limit"`
	MaxUnknownShare   float64             `yaml:"max_unknown_share" doc:"share of an endpoint's compared exchanges whose effects may be unknown, and of those whose effects may be found by their key alone, which is no proof; above it the verdict holds; 1 for no limit"`
	MaxInheritedShare float64             `yaml:"max_inherited_share" doc:"share of an endpoint's compared exchanges whose effects may differ in rows only that differed before; above it the verdict holds; 1 for no limit"`
	MaxRepeatShare    float64             `yaml:"max_repeat_share" doc:"share of an endpoint's evidence that one and the same request may be: it counts 20 times, and further as long as it is no more than that; 1 for no limit"`
	Zero              []string            `yaml:"zero" json:",omitempty" doc:"places at which one divergence holds the verdict until a person closes its issue: $.amount, effects:ledger, effects:ledger $.amount"`
	Pools             map[string][]string `yaml:"pools" json:",omitempty" doc:"endpoints with little traffic that are judged together, by a name for them: GET /orders/{id}, or a beginning such as GET /archive/*"`
	Steps             []int               `yaml:"steps" json:",omitempty" doc:"the shares of users on the candidate, in basis points, that it is raised through"`
	Bake              time.Duration       `yaml:"bake" json:",omitempty" doc:"how long a step stands before the next one"`
	BakeRequests      uint64              `yaml:"bake_requests" json:",omitempty" doc:"how many requests the candidate must have answered as the live leg at a step before the next one"`
	Freeze            []string            `yaml:"freeze" json:",omitempty" doc:"times (UTC) at which no step is raised: Fri 16-24, Sat, 2026-12-24, 2026-12-20..2027-01-02; going back always may"`
	Override          time.Duration       `yaml:"override" json:",omitempty" doc:"how long a step that a person sets stands before the policy moves it again"`
	Auto              bool                `yaml:"auto" doc:"true: the verdict moves the step; false: a person or CI does, and the policy says what it would do"`
	Endpoints         map[string]Waiver   `yaml:"endpoints" doc:"exceptions, by endpoint as in reports"`
}

// Slower says when one exchange counts as slower on the candidate: when it took
// more than Ratio times the primary's time and Plus. MaxShare is the share of
// exchanges that may.
type Slower struct {
	Ratio    float64       `yaml:"ratio" doc:"the candidate is slower when it takes more than ratio times the primary's time, and plus"`
	Plus     time.Duration `yaml:"plus" doc:"see ratio"`
	MaxShare float64       `yaml:"max_share" doc:"share of exchanges that may be slower"`
}

// Waiver is what holds for one endpoint instead: it is out of the verdict until a day,
// on somebody's word, or has limits of its own. A limit of 0 is the service's.
type Waiver struct {
	Waived            string  `yaml:"waived" json:",omitempty" doc:"last day (UTC) and owner: 2026-12-31 team-pay"`
	MaxDivergenceRate float64 `yaml:"max_divergence_rate" json:",omitempty" doc:"the endpoint's own limit, for one with little traffic; empty: the service's"`
	MaxErrorRate      float64 `yaml:"max_error_rate" json:",omitempty" doc:"likewise"`
	MaxRepeatShare    float64 `yaml:"max_repeat_share" json:",omitempty" doc:"likewise; 1 for an endpoint that is asked one and the same thing"`
}

// DefaultPromotion returns the policy of a service that configures none.
func DefaultPromotion() Promotion {
	return Promotion{
		MaxDivergenceRate: 0.001,
		MaxErrorRate:      0.001,
		Slower:            Slower{Ratio: 1.1, Plus: 2 * time.Millisecond, MaxShare: 0.05},
		Alpha:             0.05,
		Beta:              0.001,
		MinDuration:       24 * time.Hour,
		MaxLostShare:      0.01,
		MaxNoiseShare:     0.5,
		MaxTransientShare: 0.05,
		MaxUnmappedShare:  0.01,
		MaxUnknownShare:   0.01,
		MaxInheritedShare: 0.01,
		MaxRepeatShare:    0.01,
		Steps:             []int{0, 100, 500, 2500, 5000, 10_000},
		Bake:              10 * time.Minute,
		BakeRequests:      100,
		Override:          24 * time.Hour,
	}
}

// Validate returns everything that is wrong with the policy, with paths seen from
// it.
func (p Promotion) Validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	for _, share := range []struct {
		path  string
		value float64
		hint  string
	}{
		{"max_divergence_rate", p.MaxDivergenceRate, "0.001 is one in a thousand"},
		{"max_error_rate", p.MaxErrorRate, "0.001 is one in a thousand"},
		{"slower.max_share", p.Slower.MaxShare, "0.05 is one in twenty"},
		{"alpha", p.Alpha, "0.05 is one wrong promotion in twenty"},
		{"beta", p.Beta, "0.001 is one wrong rollback in a thousand"},
	} {
		if !inside(share.value) {
			fault(share.path, fmt.Sprintf("want a share above 0 and below 1, found %v", share.value), share.hint)
		}
	}
	for _, share := range []struct {
		path  string
		value float64
		hint  string
	}{
		{"max_lost_share", p.MaxLostShare, "0.01 is one in a hundred"},
		{"max_noise_share", p.MaxNoiseShare, "0.5 is every other exchange"},
		{"max_transient_share", p.MaxTransientShare, "0.05 is one in twenty"},
		{"max_unmapped_share", p.MaxUnmappedShare, "0.01 is one in a hundred"},
		{"max_inherited_share", p.MaxInheritedShare, "0.01 is one in a hundred"},
		{"max_unknown_share", p.MaxUnknownShare, "0.01 is one in a hundred"},
		{"max_repeat_share", p.MaxRepeatShare, "0.01 asks for a hundred different requests, 1 for one"},
	} {
		if !(share.value >= 0 && share.value <= 1) {
			fault(share.path, fmt.Sprintf("want a share from 0 to 1, found %v", share.value), share.hint)
		}
	}
	if !(p.Slower.Ratio >= 1) {
		fault("slower.ratio", fmt.Sprintf("want 1 or more, found %v", p.Slower.Ratio), "1.1 allows a tenth more time")
	}
	if p.Slower.Plus < 0 {
		fault("slower.plus", "want no negative time", "2ms")
	}
	if p.MinDuration < 0 {
		fault("min_duration", "want no negative time", "24h")
	}
	for i, text := range p.Hours {
		if _, err := parseHours(text); err != nil {
			fault(fmt.Sprintf("hours[%d]", i), err.Error(), "write days and hours in UTC: Mon-Fri 09-17, Sun 22-02, or Sat for all of it")
		}
	}
	_, wrong := compare.ParseZero(p.Zero)
	faults = append(faults, parallax.Under("zero", wrong)...)
	faults = append(faults, p.validatePools()...)
	faults = append(faults, p.validateSteps()...)
	for _, name := range slices.Sorted(maps.Keys(p.Endpoints)) {
		w := p.Endpoints[name]
		for _, own := range []struct {
			key   string
			value float64
		}{{"max_divergence_rate", w.MaxDivergenceRate}, {"max_error_rate", w.MaxErrorRate}} {
			if own.value != 0 && !inside(own.value) {
				fault(fmt.Sprintf("endpoints[%q].%s", name, own.key), fmt.Sprintf("want a share above 0 and below 1, found %v", own.value), "0.01 is one in a hundred")
			}
		}
		if !(w.MaxRepeatShare >= 0 && w.MaxRepeatShare <= 1) {
			fault(fmt.Sprintf("endpoints[%q].max_repeat_share", name), fmt.Sprintf("want a share from 0 to 1, found %v", w.MaxRepeatShare), "1 is for an endpoint that is asked one and the same thing")
		}
		if _, _, err := w.parse(); err != nil && (w.Waived != "" || !w.limited()) {
			fault(fmt.Sprintf("endpoints[%q].waived", name), err.Error(), `write the last day and who says so: "2026-12-31 team-pay"`)
		}
	}
	return faults
}

// validateSteps returns what is wrong with how the step is moved.
func (p Promotion) validateSteps() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	for i, step := range p.Steps {
		switch {
		case step < 0 || step > 10_000:
			fault(fmt.Sprintf("steps[%d]", i), fmt.Sprintf("want 0 to 10000 basis points, found %d", step), "100 is 1 % of users, 10000 is everybody")
		case i > 0 && step <= p.Steps[i-1]:
			fault(fmt.Sprintf("steps[%d]", i), fmt.Sprintf("%d does not come after %d", step, p.Steps[i-1]), "write them from the smallest to the largest")
		}
	}
	if p.Auto && p.next(0) == 0 {
		fault("steps", "there is none above 0 that auto could move to", "leave steps out, or write [0, 100, 500, 2500, 5000, 10000]")
	}
	if p.Bake < 0 {
		fault("bake", "want no negative time", "10m")
	}
	if p.Override < 0 {
		fault("override", "want no negative time", "24h")
	}
	for i, text := range p.Freeze {
		if _, err := parseFreeze(text); err != nil {
			fault(fmt.Sprintf("freeze[%d]", i), err.Error(), "write hours of the week in UTC such as Fri 16-24 or Sat, or days such as 2026-12-20..2027-01-02")
		}
	}
	return faults
}

// RepeatShare is which share of an endpoint's evidence one and the same request may be.
func (p Promotion) RepeatShare(endpoint string) float64 { return p.of(endpoint).MaxRepeatShare }

// Hash identifies what the evidence is tested against: 12 hex digits over
// everything but waivers and how the step is moved. A waiver changes which
// endpoints count, not what was measured on them.
func (p Promotion) Hash() string {
	limits := map[string]Waiver{}
	for name, w := range p.Endpoints {
		if w.limited() {
			w.Waived = ""
			limits[name] = w
		}
	}
	p.Auto, p.Steps, p.Bake, p.BakeRequests, p.Freeze, p.Override = false, nil, 0, 0, nil, 0
	if p.Endpoints = nil; len(limits) > 0 {
		p.Endpoints = limits
	}
	text, err := json.Marshal(p)
	if err != nil { // NaN or infinity, which Validate refuses
		text = fmt.Append(nil, p)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// limited reports whether there are limits of its own.
func (w Waiver) limited() bool {
	return w.MaxDivergenceRate != 0 || w.MaxErrorRate != 0 || w.MaxRepeatShare != 0
}

// of returns the policy as it is for one endpoint, with the limits of its own.
func (p Promotion) of(endpoint string) Promotion {
	w := p.Endpoints[endpoint]
	p.MaxDivergenceRate = cmp.Or(w.MaxDivergenceRate, p.MaxDivergenceRate)
	p.MaxErrorRate = cmp.Or(w.MaxErrorRate, p.MaxErrorRate)
	p.MaxRepeatShare = cmp.Or(w.MaxRepeatShare, p.MaxRepeatShare)
	return p
}

// waiver returns the owner and last day of an endpoint's waiver if it is in force
// at that time. A waiver that cannot be read is not.
func (p Promotion) waiver(endpoint string, at time.Time) (owner string, until time.Time, ok bool) {
	w, ok := p.Endpoints[endpoint]
	if !ok {
		return "", time.Time{}, false
	}
	until, owner, err := w.parse()
	return owner, until, err == nil && at.Before(until.AddDate(0, 0, 1))
}

func (w Waiver) parse() (until time.Time, owner string, err error) {
	day, owner, _ := strings.Cut(strings.TrimSpace(w.Waived), " ")
	until, err = time.Parse(time.DateOnly, day)
	owner = strings.TrimSpace(owner)
	switch {
	case err != nil:
		return until, owner, fmt.Errorf("cannot read waiver %q: it does not start with a day", w.Waived)
	case owner == "":
		return until, owner, fmt.Errorf("cannot read waiver %q: it names no owner", w.Waived)
	}
	return until, owner, nil
}
