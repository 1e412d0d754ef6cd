package ids

import (
	"cmp"
	"context"
	"slices"

	"parallax"
)

// View is what was known of the values of one exchange when it was compared. It
// does not change and may be shared; nil knows nothing. Stored with the exchange,
// it makes a later comparison judge by the same pairs.
type View struct {
	entries map[Ref]Entry
}

// Known is one line of a view: a value and its partner on another leg.
type Known struct {
	Name    string       `json:"name"`
	Leg     parallax.Leg `json:"leg"`
	Value   string       `json:"value"`
	To      parallax.Leg `json:"to"`
	State   State        `json:"state"`
	Partner string       `json:"partner,omitempty"`
}

// Bounds of asking for values.
const (
	maxView  = 5 * MaxSpots // of one view: those of three answers, and what two of them have by the primary
	maxAsked = 1000         // at once, so that nobody else waits long
)

// Find asks a map for any number of values, a thousand at a time.
func Find(ctx context.Context, m Map, refs []Ref) ([]Entry, error) {
	out := make([]Entry, 0, len(refs))
	for some := range slices.Chunk(refs, maxAsked) {
		found, err := m.Find(ctx, some...)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// Look asks a map for values and returns what it knows of them. At most 50 000
// values are asked for; truncated says that there were more.
func Look(ctx context.Context, m Map, refs []Ref) (v *View, truncated bool, err error) {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, compareRefs)
	refs = slices.Compact(refs)
	if truncated = len(refs) > maxView; truncated {
		refs = refs[:maxView]
	}
	v = &View{entries: make(map[Ref]Entry, len(refs))}
	if m == nil || len(refs) == 0 {
		return v, truncated, nil
	}
	found, err := Find(ctx, m, refs)
	if err != nil {
		return v, truncated, err
	}
	for i, e := range found {
		if e != (Entry{}) {
			v.entries[refs[i]] = e
		}
	}
	v.mirror()
	return v, truncated, nil
}

// NewView returns the view that [View.Known] wrote down.
func NewView(known []Known) *View {
	v := &View{entries: make(map[Ref]Entry, len(known))}
	for _, k := range known {
		if k.Leg >= parallax.Legs || k.To >= parallax.Legs {
			continue
		}
		ref := Ref{k.Name, k.Leg, k.Value}
		e := v.entries[ref]
		e[k.To] = Partner{k.State, k.Partner}
		v.entries[ref] = e
	}
	v.mirror()
	return v
}

// mirror adds the other sides of pairs of which a Map has forgotten one: sides are
// asked for, and so kept, each by itself. What two values claim as their partner
// stays unknown.
func (v *View) mirror() {
	type side struct {
		Ref
		to parallax.Leg
	}
	others := map[side]string{}
	for ref, e := range v.entries {
		for to, p := range e {
			if p.State != Paired {
				continue
			}
			other := side{Ref{ref.Name, parallax.Leg(to), p.Value}, ref.Leg}
			if _, twice := others[other]; twice {
				others[other] = ""
				continue
			}
			others[other] = ref.Value
		}
	}
	for other, value := range others {
		if e := v.entries[other.Ref]; value != "" && e[other.to].State == Unknown {
			e[other.to] = Partner{Paired, value}
			v.entries[other.Ref] = e
		}
	}
}

// Partner returns what is known of a value's partner on another leg.
func (v *View) Partner(ref Ref, to parallax.Leg) Partner {
	if v == nil || to >= parallax.Legs {
		return Partner{}
	}
	return v.entries[ref][to]
}

// Known returns all of the view, in a fixed order.
func (v *View) Known() []Known {
	if v == nil {
		return nil
	}
	var out []Known
	for ref, e := range v.entries {
		for to, p := range e {
			if p.State != Unknown {
				out = append(out, Known{ref.Name, ref.Leg, ref.Value, parallax.Leg(to), p.State, p.Value})
			}
		}
	}
	slices.SortFunc(out, func(a, b Known) int {
		return cmp.Or(compareRefs(Ref{a.Name, a.Leg, a.Value}, Ref{b.Name, b.Leg, b.Value}), cmp.Compare(a.To, b.To))
	})
	return out
}

func compareRefs(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Leg, b.Leg), cmp.Compare(a.Value, b.Value))
}
