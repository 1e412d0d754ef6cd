package verify

import (
	"slices"
	"strings"

	"parallax"
	"parallax/compare"
)

// differ reports whether rows of one name differ in what counts.
func (w *work) differ(h *held) bool {
	if len(h[primary]) != len(h[candidate]) {
		return true
	}
	_, c := w.judge(&h[primary][0], &h[candidate][0])
	w.out.Ruled += c.Ruled
	return c.Outcome != compare.Match
}

// judge compares two rows as effects are compared: numbers by value, documents by
// content, and by the service's rules.
func (w *work) judge(p, c *row) (*parallax.Exchange, compare.Comparison) {
	x := &parallax.Exchange{Received: w.Now(), Legs: [parallax.Legs]*parallax.Call{w.judged(p), w.judged(c)}}
	return x, compare.Compare(x, compare.Input{Rules: w.Rules, Effects: &compare.Effects{}})
}

// report reports what differs in the rows of one name; false if nothing does that
// counts.
func (w *work) report(h *held) bool {
	var p, c *row
	if len(h[primary]) > 0 {
		p = &h[primary][0]
	}
	if len(h[candidate]) > 0 {
		c = &h[candidate][0]
	}
	return w.add(p, c)
}

func (w *work) add(p, c *row) bool {
	x, found := w.judge(p, c)
	w.place(p, c, found.Differences)
	if w.Redactor != nil {
		x, found = w.Redactor.Both(x, found)
	}
	counted := false
	for _, d := range found.Differences {
		if d.Suppressed.By != "" {
			continue
		}
		counted = true
		if len(w.out.Differences) >= w.Most {
			w.out.More = true
			return true
		}
		w.out.Differences = append(w.out.Differences, Difference{
			Table: w.Primary, Kind: d.Kind, Key: keyOf(x), Column: columnOf(d.Path), Primary: d.Primary, Candidate: d.Candidate,
		})
	}
	return counted
}

// named reports whether rows are named as the log names them: by the primary key.
func (w *work) named() bool {
	keys := w.legs[primary].keys
	return w.method == byRange && len(keys) > 0 && len(keys[0]) == len(w.plan.key) &&
		!slices.ContainsFunc(w.plan.key, func(f field) bool { return !slices.Contains(keys[0], f.name) })
}

// place notes where a row differs, for those who know it by its name.
func (w *work) place(p, c *row, found []compare.Difference) {
	if !w.named() || len(w.out.Places) >= w.Most {
		return
	}
	var place Place
	names := p
	if p == nil {
		names, place.Only = c, parallax.Candidate
	}
	for i, f := range w.plan.key {
		place.Key = append(place.Key, parallax.Column{Name: f.name, Value: &names.key[i]})
	}
	slices.SortFunc(place.Key, func(a, b parallax.Column) int { return strings.Compare(a.Name, b.Name) })
	for i := range found {
		if found[i].Suppressed.By == "" {
			place.At = found[i].InRow()
			w.out.Places = append(w.out.Places, place)
		}
	}
}

// keyOf returns what names a row, without secrets if the exchange has none.
func keyOf(x *parallax.Exchange) (out []Value) {
	for _, call := range x.Legs {
		if call == nil || len(call.Effects) == 0 {
			continue
		}
		for _, c := range call.Effects[0].Key {
			value := Value{Name: c.Name, Value: "NULL"}
			if c.Value != nil {
				value.Value = *c.Value
			}
			out = append(out, value)
		}
		return out
	}
	return nil
}

// columnOf returns the column of a place such as effects:orders[0] $.total, of a
// document with the path into it.
func columnOf(path string) string {
	_, in, _ := strings.Cut(path, "] $")
	return strings.TrimPrefix(in, ".")
}

// maxPaired bounds how many rows without a key are held against each other.
const maxPaired = 500

// pair brings rows together that have no key: those that have most in common, if that
// is at least half of what they hold, were changed; the others are missing or extra.
func (w *work) pair(alone [2][]row) {
	p, c := alone[primary], alone[candidate]
	taken := make([]bool, len(c))
	for i := range p {
		best, most := -1, 0
		for j := range c[:min(len(c), maxPaired)] {
			if n := common(&p[i], &c[j]); !taken[j] && i < maxPaired && n > most {
				best, most = j, n
			}
		}
		if best >= 0 && 2*most >= len(w.fields) {
			taken[best] = true
			w.add(&p[i], &c[best])
			continue
		}
		w.add(&p[i], nil)
	}
	for j := range c {
		if !taken[j] {
			w.add(nil, &c[j])
		}
	}
}

// common counts the values that two rows share.
func common(a, b *row) (n int) {
	for i := range a.values {
		if x, y := a.values[i], b.values[i]; x == y || x != nil && y != nil && *x == *y {
			n++
		}
	}
	return n
}
