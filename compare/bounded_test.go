package compare

import (
	"fmt"
	"strings"
	"testing"

	"parallax/internal/body"
)

// Keys, multisets, moves and filters cost what a document is long, not its square:
// what is looked at, and the pairs and rules that are tried, are counted as steps.
func TestRulesAreBounded(t *testing.T) {
	t.Parallel()
	list := func(n, from, step int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"id":%d,"old":1.5,"tags":["x",%d]},`, from+i*step, from+i*step)
		}
		return "[" + strings.TrimSuffix(b.String(), ",") + "]"
	}
	const n = 20_000
	p, c := list(n, 0, 1), strings.ReplaceAll(list(n, n-1, -1), `"old"`, `"new"`)
	rules := compiled(t,
		Rule{Path: "$", Array: Array{Mode: Keyed, Key: Words{"id"}}},
		Rule{Path: "$[*].old", Move: &Move{To: "$[*].new"}},
		Rule{Path: "$[*].tags", Array: Array{Mode: Multiset}},
		Rule{Path: "$[?@.id == $[0].id].tags[*]", Tolerance: &Tolerance{Abs: "1"}},
	)
	find := &finder{rules: rules.rules}
	w := newWalker(treeOf(t, p), treeOf(t, c), find)
	w.value(0, 0)
	if find.ruled != n || find.counting != 0 {
		t.Errorf("%d moves, %d differences", find.ruled, find.counting)
	}
	if w.countLooks(); find.meter.taken > 64*len(w.p.Nodes) {
		t.Errorf("%d steps for %d values", find.meter.taken, len(w.p.Nodes))
	}
}

func treeOf(t *testing.T, text string) *body.Tree {
	t.Helper()
	tree, err := body.ParseJSON([]byte(text), body.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
