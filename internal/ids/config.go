package ids

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"parallax"
)

// Config declares one identifier.
type Config struct {
	Name       string        `yaml:"name" json:"name" doc:"what the values are called, such as order; etag, last_modified and cursor are built in and take no places but further ones of cursor"`
	From       Places        `yaml:"from" json:"from,omitzero" doc:"where values are born, in answers: such as POST /orders $.id; a list, or {primary: [...], candidate: [...]} where legs differ"`
	In         Places        `yaml:"in" json:"in,omitzero" doc:"where values are named: path:/orders/{id}, query:NAME, header:NAME, cookie:NAME, location:/orders/{id}, $.order_id; bare path, query and body only for values of 64 bits and more; a list, or {primary: [...], candidate: [...]}"`
	Unmapped   Unmapped      `yaml:"unmapped" json:"unmapped,omitempty" enum:"mark,same" doc:"a value that nobody made up during this run: mark makes the exchange not comparable; same has it stand for itself, as in a copy of the data"`
	Wait       time.Duration `yaml:"wait" json:"wait,omitempty" doc:"how long a shadow request that names a value waits for the other leg's one; mirror.timeout when empty"`
	Compatible bool          `yaml:"compatible" json:"-" doc:"each leg takes the values that the other one made up, so that users may move to a candidate with a database of its own"`
	TTL        time.Duration `yaml:"ttl" json:"ttl,omitempty" doc:"how long a pair is remembered after it was last asked for; 24h when empty"`
}

// Unmapped says what a value without a partner is taken for.
type Unmapped string

// The values of unmapped. The zero value means mark.
const (
	UnmappedMark Unmapped = "mark"
	UnmappedSame Unmapped = "same"
)

// DefaultTTL is how long a pair is remembered where nothing is declared.
const DefaultTTL = 24 * time.Hour

// Places are places of an identifier, for each leg. What is written as one list
// holds for all legs. A leg that is not named has those of the primary, and the
// secondary always may.
type Places [parallax.Legs][]string

// At returns places that are the same on all legs.
func At(places ...string) Places { return Places{places, places, places} }

// IsZero reports whether there is no place.
func (p Places) IsZero() bool {
	return len(p[parallax.Primary])+len(p[parallax.Candidate])+len(p[parallax.Secondary]) == 0
}

// UnmarshalYAML reads a place, a list of places, or a mapping from legs to lists.
func (p *Places) UnmarshalYAML(n *yaml.Node) error {
	errShape := errors.New(`want a list of places, or a mapping such as {primary: ["$.id"], candidate: ["$.order_id"]}`)
	if n.Kind != yaml.MappingNode {
		list, ok := listOf(n)
		if !ok {
			return errShape
		}
		*p = At(list...)
		return nil
	}
	var named [parallax.Legs]bool
	for i := 0; i+1 < len(n.Content); i += 2 {
		leg, known := legNamed(n.Content[i].Value)
		list, ok := listOf(n.Content[i+1])
		if !known || !ok {
			return errShape
		}
		p[leg], named[leg] = list, true
	}
	if !named[parallax.Primary] {
		return errors.New("want the primary's places too")
	}
	for leg := range p {
		if !named[leg] {
			p[leg] = p[parallax.Primary]
		}
	}
	return nil
}

func listOf(n *yaml.Node) (list []string, ok bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		return []string{n.Value}, true
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, false
			}
			list = append(list, item.Value)
		}
		return list, true
	}
	return nil, false
}

func legNamed(name string) (parallax.Leg, bool) {
	for leg := range parallax.Leg(parallax.Legs) {
		if leg.String() == name {
			return leg, true
		}
	}
	return 0, false
}

// MarshalYAML writes the shorter form where legs do not differ.
func (p Places) MarshalYAML() (any, error) {
	if slices.Equal(p[parallax.Primary], p[parallax.Candidate]) && slices.Equal(p[parallax.Primary], p[parallax.Secondary]) {
		return p[parallax.Primary], nil
	}
	out := map[string][]string{}
	for leg, list := range p {
		out[parallax.Leg(leg).String()] = list
	}
	return out, nil
}

// Bounds of what may be declared.
const (
	maxIdentifiers = 64
	maxPlaces      = 64 // of one identifier, on one leg
)

var identifierName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// Compile checks identifiers and makes them ready for use, with those that are
// built in. It returns every fault there is, each with its path from the list of
// identifiers, such as [2].in[0].
func Compile(configs []Config) (*Set, []parallax.Fault) {
	set := &Set{declared: len(configs) > 0}
	var faults []parallax.Fault
	if len(configs) > maxIdentifiers {
		faults = append(faults, parallax.Fault{Text: fmt.Sprintf("%d identifiers", len(configs)), Hint: fmt.Sprintf("declare %d at most", maxIdentifiers)})
		configs = configs[:maxIdentifiers]
	}
	set.list = builtIn(len(configs) > 0)
	for i, c := range configs {
		id, wrong := compile(c)
		if j := set.index(c.Name); j >= len(builtInNames) {
			wrong = append(wrong, parallax.Fault{Path: "name", Text: fmt.Sprintf("%q is declared twice", c.Name), Hint: "put all places of an identifier into one"})
		} else if j >= 0 && len(wrong) == 0 {
			set.list[j].adjust(id)
			continue
		}
		faults = append(faults, parallax.Under(fmt.Sprintf("[%d]", i), wrong)...)
		if len(wrong) == 0 {
			set.list = append(set.list, id)
		}
	}
	set.seal()
	return set, faults
}

func compile(c Config) (*Identifier, []parallax.Fault) {
	id := &Identifier{Name: c.Name, Same: c.Unmapped == UnmappedSame, Wait: c.Wait, TTL: c.TTL}
	var faults []parallax.Fault
	fault := func(path, hint, format string, args ...any) {
		faults = append(faults, parallax.Fault{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	builtin := slices.Contains(builtInNames[:], c.Name)
	switch {
	case !identifierName.MatchString(c.Name):
		fault("name", "write up to 32 of a-z, 0-9 and underscore, such as order", "%q cannot be the name of an identifier", c.Name)
	case builtin && c.Name != "cursor" && !(c.From.IsZero() && c.In.IsZero()):
		fault("name", "leave from and in out, or choose another name", "%s is built in, with its places", c.Name)
	}
	if c.Unmapped != "" && c.Unmapped != UnmappedMark && c.Unmapped != UnmappedSame {
		fault("unmapped", "write mark or same", "unknown value %q", c.Unmapped)
	}
	if c.Wait < 0 || c.Wait > time.Minute {
		fault("wait", "write a duration up to 1m, such as 5s", "a wait of %s", c.Wait)
	}
	if c.TTL < 0 {
		fault("ttl", "write a duration such as 24h", "pairs are remembered for %s", c.TTL)
	}
	if c.From.IsZero() && !builtin {
		fault("from", `write where answers have new values, such as ["POST /orders $.id"]`, "nothing says where values are born")
	}
	if c.In.IsZero() && !builtin {
		fault("in", `write where values are named, such as ["path:/orders/{id}", "$.order_id"]`, "nothing says where values are named")
	}
	for _, part := range []struct {
		key    string
		places Places
		into   *[parallax.Legs][]place
		born   bool
	}{{"from", c.From, &id.from, true}, {"in", c.In, &id.in, false}} {
		wrong := compilePlaces(part.places, part.into, part.born)
		faults = append(faults, parallax.Under(part.key, wrong)...)
	}
	if id.TTL == 0 {
		id.TTL = DefaultTTL
	}
	return id, faults
}

// compilePlaces reads the places of all legs. Those that legs share are read, and
// their faults told, once.
func compilePlaces(places Places, into *[parallax.Legs][]place, born bool) []parallax.Fault {
	var faults []parallax.Fault
	shared, _ := places.MarshalYAML()
	_, same := shared.([]string)
	for leg, list := range places {
		if same && leg > 0 {
			into[leg] = into[0]
			continue
		}
		prefix := ""
		if !same {
			prefix = parallax.Leg(leg).String()
		}
		if len(list) > maxPlaces {
			faults = append(faults, parallax.Fault{Path: prefix, Text: fmt.Sprintf("%d places", len(list)), Hint: fmt.Sprintf("write %d at most", maxPlaces)})
			continue
		}
		for i, text := range list {
			p, err := parsePlace(text, born)
			if err != nil {
				faults = append(faults, parallax.Fault{Path: fmt.Sprintf("%s[%d]", prefix, i), Text: err.text, Hint: err.hint})
				continue
			}
			into[leg] = append(into[leg], p)
		}
	}
	return faults
}

// placeError is what is wrong with a place.
type placeError struct{ text, hint string }

// parsePlace reads a place, perhaps behind a method and a template.
func parsePlace(text string, born bool) (place, *placeError) {
	p := place{text: text}
	rest := strings.TrimSpace(text)
	if method, after, ok := strings.Cut(rest, " "); ok && isMethod(method) {
		path, after, ok := strings.Cut(strings.TrimSpace(after), " ")
		if !ok {
			return p, &placeError{fmt.Sprintf("%q names no place", text), "write the place behind the endpoint, such as POST /orders $.id"}
		}
		t, err := parseTemplate(path, false)
		if err != nil {
			return p, err
		}
		p.method, p.scope, rest = method, t, strings.TrimSpace(after)
	}
	err := p.locate(rest, born)
	return p, err
}

func isMethod(word string) bool {
	return word == "*" || word != "" && !strings.ContainsFunc(word, func(c rune) bool { return c < 'A' || c > 'Z' })
}
