package divergence

import (
	"context"
	"encoding/json"
	"time"

	"parallax"
	"parallax/compare"
	"parallax/internal/ids"
)

// Identifiers is what a judge knows of values that each leg makes up by itself.
type Identifiers struct {
	Set     *ids.Set
	Map     ids.Map                 // where their pairs are kept
	Origins [parallax.Legs][]string // of each leg, see [compare.Identifiers]
}

// lookTime bounds how long a worker asks for the pairs of one exchange. Where they
// are shared, their store may be away: then nothing is known, and exchanges with
// identifiers that differ are not comparable.
const lookTime = time.Second

// of returns what is known of the values of an exchange.
func (i *Identifiers) of(x *parallax.Exchange) *compare.Identifiers {
	if i == nil || !i.Set.Declared() && i.noOrigins() && !hasLink(x) {
		return nil // Fast path: nobody declares any (BenchmarkExchange).
	}
	out := &compare.Identifiers{Set: i.Set, Origins: i.Origins}
	if refs := out.Refs(x); len(refs) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), lookTime)
		defer cancel()
		// Without an answer nothing is known; the map counts that it was away.
		out.View, _, _ = ids.Look(ctx, i.Map, refs)
	}
	return out
}

// stored returns what was known of the values of a stored exchange.
func (i *Identifiers) stored(known []ids.Known) *compare.Identifiers {
	if i == nil {
		return nil
	}
	return &compare.Identifiers{Set: i.Set, View: ids.NewView(known), Origins: i.Origins}
}

func (i *Identifiers) noOrigins() bool {
	for _, list := range i.Origins {
		for _, o := range list {
			if o != i.Origins[parallax.Primary][0] {
				return false
			}
		}
	}
	return true
}

func hasLink(x *parallax.Exchange) bool {
	for _, c := range x.Legs {
		if c != nil && compare.HasLink(&c.Response) {
			return true
		}
	}
	return false
}

// knownText is the column identifiers of an exchange.
type knownText struct {
	Unmapped []string    `json:"unmapped,omitempty"`
	Pairs    []ids.Known `json:"pairs,omitempty"`
}

func (k knownText) String() string {
	if len(k.Unmapped) == 0 && len(k.Pairs) == 0 {
		return ""
	}
	text, _ := json.Marshal(k) // plain values always encode
	return string(text)
}

func readKnown(text string) (k knownText, err error) {
	if text == "" {
		return k, nil
	}
	err = json.Unmarshal([]byte(text), &k)
	return k, err
}

// pairsOf lists the pairs of the primary's values, for people.
func pairsOf(known []ids.Known) []IdentifierPair {
	var out []IdentifierPair
	for _, k := range known {
		if k.Leg == parallax.Primary && k.State == ids.Paired {
			out = append(out, IdentifierPair{Name: k.Name, Primary: k.Value, Leg: k.To.String(), Value: k.Partner})
		}
	}
	return out
}
