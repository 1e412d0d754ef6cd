package compare

import (
	"slices"
	"strings"

	"parallax"
	"parallax/internal/ids"
)

// secretPairs remembers the values of identifiers that are secret: those of an
// identifier with the name of a secret, and the partners of those that were found to
// be secret. A partner may stand nowhere in the exchange, and still be named by the
// reason of a difference.
func (s *scrubber) secretPairs(known []ids.Known) {
	for range parallax.Legs { // from leg to leg there are no more steps
		for _, k := range known {
			value, partner := idValue(k.Value), idValue(k.Partner)
			if SecretName(k.Name) || s.isSecret(value) || s.isSecret(partner) {
				s.remember(value)
				s.remember(partner)
			}
		}
	}
}

// isSecret reports whether a value was found to be secret, however short it is.
func (s *scrubber) isSecret(value string) bool { return s.found[value] || s.short[value] }

// withoutShort redacts the short secrets that are words of a reason, which may name
// values of identifiers.
func (s *scrubber) withoutShort(text string) string {
	if len(s.short) == 0 {
		return text
	}
	words := strings.Split(text, " ")
	for i, w := range words {
		if s.short[w] {
			words[i] = s.token(w)
		}
	}
	return strings.Join(words, " ")
}

// idValue returns the value in the key of an identifier, which may have an URL
// before it.
func idValue(key string) string {
	if _, value, qualified := strings.Cut(key, "\n"); qualified {
		return value
	}
	return key
}

// pairsOf redacts values of identifiers as bodies and headers are: one that was
// found to be secret is so here too, whatever goes before it in its key.
func (s *scrubber) pairsOf(known []ids.Known) []ids.Known {
	if known == nil {
		return nil
	}
	out := make([]ids.Known, len(known))
	for i, k := range known {
		k.Value, k.Partner = s.idKey(k.Value), s.idKey(k.Partner)
		out[i] = k
	}
	return out
}

// idKey redacts the key of an identifier: a value, perhaps behind an URL.
func (s *scrubber) idKey(key string) string {
	url, value, qualified := strings.Cut(key, "\n")
	if !qualified {
		url, value = "", key
	}
	if s.isSecret(value) {
		value = s.token(value)
	} else {
		value = s.text(value)
	}
	if !qualified {
		return value
	}
	return s.target(url) + "\n" + value
}

// sample leaves out places that are named after a secret: what is learnt about noise
// is kept on disk and shown. A difference there counts unless its own exchange
// excuses it.
func (s *scrubber) sample(n NoiseSample) NoiseSample {
	for _, list := range []*[]string{&n.Secondary, &n.SecondaryAlone, &n.CandidateAlone} {
		named := func(place string) bool { return s.path(place) != place }
		if slices.ContainsFunc(*list, named) {
			*list = slices.DeleteFunc(slices.Clone(*list), named)
		}
	}
	return n
}
