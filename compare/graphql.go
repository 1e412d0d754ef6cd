package compare

import (
	"slices"
	"strings"

	"parallax/internal/body"
)

// graphqlType is the media type of GraphQL's answers (GraphQL over HTTP).
const graphqlType = "application/graphql-response+json"

// Classes of differences between answers of GraphQL of which one has errors and the
// other has none.
const (
	errorsAppeared = "GraphQL errors appeared"
	errorsGone     = "GraphQL errors gone"
)

// graphqlRules are in force for answers of GraphQL, before any others: errors, of
// one answer and of a batch, stand in no order.
var graphqlRules = func() []*rule {
	built, _ := Compile([]Rule{
		{Path: "$.errors", Array: Array{Mode: Multiset}, Reason: "built in: errors of GraphQL have no order"},
		{Path: "$[*].errors", Array: Array{Mode: Multiset}, Reason: "built in: errors of GraphQL have no order"},
	})
	return built.rules
}()

// isOperation reports whether an endpoint is an operation of GraphQL: its name has
// the kind behind the path, as in POST /graphql query Order.
func isOperation(endpoint string) bool {
	_, rest, _ := strings.Cut(endpoint, " ")
	_, operation, found := strings.Cut(rest, " ")
	if !found {
		return false
	}
	kind, _, _ := strings.Cut(strings.TrimPrefix(operation, "batch "), " ")
	return slices.Contains([]string{"query", "mutation", "subscription", "unclear"}, kind)
}

// bothGraphQL makes two answers GraphQL's if one of them is and the other may be.
func bothGraphQL(a, b *content) {
	if (a.format == GraphQL || b.format == GraphQL) && (a.format == JSON || b.format == JSON) {
		a.format, b.format = GraphQL, GraphQL
	}
}

// asGraphQL lets errors stand in any order, unless a rule says otherwise, and names
// differences of which they are the cause.
func (f *finder) asGraphQL() {
	f.graphql = true
	f.rules = append(slices.Clip(graphqlRules), f.rules...)
	f.asked = asks{}
}

// graphqlClass returns the class of a difference that says that errors appeared or
// are gone altogether, "" for all others.
func (f *finder) graphqlClass(at *place, kind Kind, primary, candidate side) string {
	steps := at.steps
	if !f.graphql || at.kind != placeJSON || len(steps) == 0 {
		return ""
	}
	depth := 0
	if steps[0].Element { // of a batch
		depth = 1
	}
	if len(steps) <= depth || len(steps) > depth+2 || steps[depth].Name != "errors" {
		return ""
	}
	if len(steps) == depth+2 && !f.oneWithout(at.nodes[depth]) {
		return ""
	}
	switch {
	case hasErrors(candidate) && !hasErrors(primary):
		return errorsAppeared
	case hasErrors(primary) && !hasErrors(candidate):
		return errorsGone
	}
	return ""
}

// hasErrors reports whether one side of a difference at errors, or at one of them,
// has any.
func hasErrors(s side) bool { return s.class != "" && s.class != "null" && s.class != "[]" }

// oneWithout reports whether one of two lists is empty.
func (f *finder) oneWithout(n nodes) bool {
	empty := func(t *body.Tree, i int32) bool {
		return i >= 0 && t.Nodes[i].Kind == body.Array && t.Nodes[i].Count == 0
	}
	return empty(f.p, n.p) || empty(f.c, n.c)
}
