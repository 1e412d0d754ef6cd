package divergence

import (
	"cmp"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"parallax"
	"parallax/compare"
)

// BlindSpots says what of a broken candidate would be found. Stored answers of the
// candidate, or of the primary where the candidate's is wrong already, are given
// flaws, one at a time ([compare.Mutants]), and compared under rules and noise: what
// counts then and was not there before was found.
type BlindSpots struct {
	Service      string              `json:"service"`
	RulesVersion string              `json:"rules_version"`
	At           time.Time           `json:"at"`
	Pairs        Sample              `json:"pairs"`
	Endpoints    []EndpointBlindness `json:"endpoints"` // those with stored answers, by name
}

// EndpointBlindness is what would be found on one endpoint.
type EndpointBlindness struct {
	Endpoint string                    `json:"endpoint"`
	Answers  int                       `json:"answers"` // that flaws were put into
	Flaws    map[compare.Flaw]CaughtOf `json:"flaws"`
	Hidden   []Blinder                 `json:"hidden"` // what hides the rest, what hides most first
	CaughtOf                           // of all flaws
}

// CaughtOf is which share of flaws was found: Caught of N.
type CaughtOf struct {
	N      int     `json:"n"`
	Caught int     `json:"caught"`
	Share  float64 `json:"caught_share"` // Caught / N
}

// Blinder is something that hides flaws.
type Blinder struct {
	By     string               `json:"by"`               // rule, noise, or the reason why an exchange is not comparable
	Detail string               `json:"detail,omitempty"` // the rule, or the noise figures of an example
	N      int                  `json:"n"`                // flaws that it alone or it first hid
	Flaws  map[compare.Flaw]int `json:"flaws"`
	Path   string               `json:"path,omitempty"` // of an example
	ID     string               `json:"example"`        // the pair whose answer it was
}

// Bounds of a look for blind spots.
const (
	blindPairs = 20 // of an endpoint and outcome
	blindLimit = 2000
	blindFlaws = 2  // of each kind in an answer
	blinders   = 20 // of an endpoint
)

// BlindSpots puts flaws into stored answers and says what would be found under
// other rules or, if rules is nil, those in force. The same stored answers come to
// the same result. It fails as [Rehearsal.DryRun] does.
func (r *Rehearsal) BlindSpots(ctx context.Context, service string, rules []compare.Rule, f PairFilter) (BlindSpots, error) {
	j, err := r.find(service)
	if err != nil {
		return BlindSpots{}, err
	}
	by := j.Rules
	if rules != nil {
		by, _ = by.Replaced(rules)
	}
	f.Each, f.Limit = cmp.Or(f.Each, blindPairs), cmp.Or(f.Limit, blindLimit)
	end := r.now().Add(rehearseTime)
	over := func() bool { return ctx.Err() != nil || r.now().After(end) }
	b := &blindness{judge: j, rules: by, noise: j.Noise, at: r.now(), over: over, endpoints: map[string]*EndpointBlindness{}}
	out := BlindSpots{Service: service, RulesVersion: by.Version(), At: r.now().UTC(), Endpoints: []EndpointBlindness{}}
	if out.Pairs, err = r.eachPair(ctx, service, f, b.add); err != nil {
		return BlindSpots{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(b.endpoints)) {
		out.Endpoints = append(out.Endpoints, b.endpoints[name].done())
	}
	return out, nil
}

// blindness is a look for blind spots under way.
type blindness struct {
	judge     *Judge
	known     *compare.Identifiers // of the pair at hand
	effects   *compare.Effects     // likewise
	rules     *compare.Rules
	noise     *compare.NoiseModel
	at        time.Time
	over      func() bool // no time is left: one answer may take as many comparisons as flaws times rules
	endpoints map[string]*EndpointBlindness
}

// add puts flaws into an answer of a pair: the candidate's if it is right, else the
// primary's, as if the candidate had given it.
func (b *blindness) add(p *StoredPair, x *parallax.Exchange) {
	restored, ok := compare.Restored(x)
	if !ok {
		return
	}
	trial := *restored
	b.known, b.effects = b.judge.IDs.stored(p.known), b.judge.Effects.stored(p.known)
	base := b.compare(&trial)
	if base.Outcome == compare.Diverged {
		b.known = nil // The primary's own values stand for themselves.
		if b.effects != nil {
			b.effects = &compare.Effects{}
		}
		trial.Legs[parallax.Candidate] = trial.Legs[parallax.Primary]
		base = b.compare(&trial)
	}
	if base.Outcome == compare.NotComparable && base.Reason != compare.ReasonRedacted {
		return
	}
	mutants := compare.Mutants(trial.Legs[parallax.Candidate], b.rules, binary.BigEndian.Uint64(p.ID[8:]), blindFlaws)
	if len(mutants) == 0 {
		return
	}
	e := b.endpoints[p.Endpoint]
	if e == nil {
		e = &EndpointBlindness{Endpoint: p.Endpoint, Flaws: map[compare.Flaw]CaughtOf{}, Hidden: []Blinder{}}
		b.endpoints[p.Endpoint] = e
	}
	e.Answers++
	before := allOf(&base)
	for _, m := range mutants {
		if b.over() {
			return
		}
		trial.Legs[parallax.Candidate] = m.Call
		c := b.compare(&trial)
		found := slices.ContainsFunc(c.Differences, func(d compare.Difference) bool { return d.Suppressed.By == "" && !before[wholeKey(&d)] })
		e.count(m.Flaw, found)
		if !found {
			if by, detail, path := b.blame(&trial, &c, before); by != "" {
				e.hide(by, detail, path, p.ID.String(), m.Flaw)
			}
		}
	}
}

func (b *blindness) compare(x *parallax.Exchange) compare.Comparison {
	return b.under(x, b.rules)
}

// under compares by other rules and, as workers do, by what people accepted.
func (b *blindness) under(x *parallax.Exchange, rules *compare.Rules) compare.Comparison {
	return compare.Compare(x, compare.Input{Rules: rules, Noise: b.noise, Accepted: b.judge.accepted(), IDs: b.known, Effects: b.effects, Stored: true, At: b.at})
}

// wholeKey tells a difference from one that was there before the flaw.
func wholeKey(d *compare.Difference) string {
	return differenceKey(d) + " " + d.Candidate
}

func allOf(c *compare.Comparison) map[string]bool {
	out := map[string]bool{}
	for i := range c.Differences {
		out[wholeKey(&c.Differences[i])] = true
	}
	return out
}

// blame says what hid a flaw: what took its differences away or, where none was
// seen at all, the rule without which one is; "" if there was no time to find out.
func (b *blindness) blame(x *parallax.Exchange, c *compare.Comparison, before map[string]bool) (by, detail, path string) {
	for i := range c.Differences {
		d := &c.Differences[i]
		switch {
		case before[wholeKey(d)]:
		case d.Suppressed.By == "rule":
			return d.Suppressed.By, d.Suppressed.Detail, d.Path
		case by == "":
			by, path = d.Suppressed.By, d.Path
		}
	}
	if by != "" {
		return by, "", path
	}
	if c.Outcome == compare.NotComparable {
		return c.Reason, "", ""
	}
	rules := b.rules.List()
	for i := range rules {
		if b.over() {
			return "", "", ""
		}
		without, _ := b.rules.Replaced(slices.Delete(slices.Clone(rules), i, i+1))
		if b.under(x, without).Outcome != c.Outcome {
			return "rule", compare.RuleName(i, rules[i]), rules[i].Path
		}
	}
	return "rules together", "", ""
}

func (e *EndpointBlindness) count(flaw compare.Flaw, caught bool) {
	of := e.Flaws[flaw]
	of.N++
	of.Caught += one01(caught)
	e.Flaws[flaw] = of
	e.N++
	e.Caught += one01(caught)
}

func (e *EndpointBlindness) hide(by, detail, path, id string, flaw compare.Flaw) {
	i := slices.IndexFunc(e.Hidden, func(h Blinder) bool { return h.By == by && h.Detail == detail })
	if i < 0 {
		if len(e.Hidden) == blinders {
			return
		}
		i = len(e.Hidden)
		e.Hidden = append(e.Hidden, Blinder{By: by, Detail: detail, Path: path, ID: id, Flaws: map[compare.Flaw]int{}})
	}
	e.Hidden[i].N++
	e.Hidden[i].Flaws[flaw]++
}

func (e *EndpointBlindness) done() EndpointBlindness {
	share := func(c CaughtOf) CaughtOf {
		if c.N == 0 { // time was over before the first flaw
			return c
		}
		c.Share = float64(c.Caught) / float64(c.N)
		return c
	}
	for flaw, of := range e.Flaws {
		e.Flaws[flaw] = share(of)
	}
	e.CaughtOf = share(e.CaughtOf)
	slices.SortStableFunc(e.Hidden, func(a, b Blinder) int { return cmp.Compare(b.N, a.N) })
	return *e
}
