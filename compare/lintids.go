package compare

import (
	"fmt"
	"strings"

	"parallax/internal/ids"
)

// Reference says that a rule takes away what tells a wrong reference from a right one.
const Reference Check = "reference"

// LintIdentifiers looks for rules that take away differences by the class or the
// pattern of values where the values of an identifier stand: there the wrong order
// looks like the right one. Findings come in the order of the rules.
func LintIdentifiers(rules []Rule, set *ids.Set) []Finding {
	compiled, _ := Compile(rules)
	l := linter{rules: compiled.rules}
	for _, r := range l.rules {
		if r.source.Class == "" && r.source.Regex == "" {
			continue
		}
		l.r = r
		if name := identifierAt(r, set); name != "" {
			l.find(Reference, "path", fmt.Sprintf("values of the identifier %s stand there, and any of its class is taken for right: a wrong reference is not found", name),
				"remove it: identifiers are compared by what they stand for")
		}
	}
	return l.found
}

// identifierAt returns the name of an identifier of whose values the primary may have
// some at a rule's place; "" if there is none.
func identifierAt(r *rule, set *ids.Set) string {
	method, path, _ := strings.Cut(strings.TrimSuffix(r.source.Endpoint, "*"), " ")
	if path == "" || r.source.Endpoint != strings.TrimSuffix(r.source.Endpoint, "*") {
		method, path = "", "" // several endpoints, of which some may do
	}
	switch r.place {
	case placeJSON:
		return set.NamesAt(method, path, r.path)
	case placeHeader, placeCookie:
		return set.NamesIn(method, path, r.place == placeCookie, r.name)
	}
	return ""
}
