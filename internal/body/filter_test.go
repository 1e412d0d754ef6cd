package body

import (
	"errors"
	"strings"
	"testing"
)

func TestFilterFaults(t *testing.T) {
	t.Parallel()
	f := func(text string, column int, want string) {
		t.Helper()
		_, err := ParsePath(text)
		var wrong *PathError
		if !errors.As(err, &wrong) || wrong.Column != column || !strings.Contains(wrong.Text, want) {
			t.Errorf("%s: %v, want column %d: %s", text, err, column, want)
		}
	}
	f("$[?length(@.a) > 1]", 4, "functions such as length() are not supported")
	f("$[?@.a == @.*]", 11, "several values")
	f("$[?@..a == 1]", 4, "several values")
	f("$[?1]", 5, "a value alone is no condition")
	f("$[?@.a == ]", 11, "want a query")
	f("$[?!1]", 5, "behind the !")
	f("$[?(@.a]", 8, "want && or || or )")
	f("$[?@.a = 1]", 8, "want , or ]")
	f("$[?"+strings.Repeat("(", 40)+"@.a", 36, "nested more than 32 deep")
}

// A filter is paid for once for each node, and past its bound selects nothing.
func TestFilterIsBounded(t *testing.T) {
	t.Parallel()
	many := "[" + strings.Repeat(`{"a":[1,2,3]},`, 5000) + "1]"
	tree, err := ParseJSON([]byte(many), DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	f := func(text string, want, spent bool) {
		t.Helper()
		doc, path := NewDoc(tree), mustPath(t, text)
		last := tree.Nodes[1].Next
		for i := int32(1); i < int32(len(tree.Nodes)); i = tree.Nodes[i].Next {
			path.Matches([]Step{{Element: true, Len: 5001, Doc: doc, Node: i}})
			last = i
		}
		before := doc.left
		got := path.Matches([]Step{{Element: true, Len: 5001, Doc: doc, Node: last}})
		if got != want || (doc.left < 0) != spent || doc.left != before {
			t.Errorf("%s selects the last element: %v, looks left: %d, then %d", text, got, before, doc.left)
		}
	}
	f("$[?!@.a]", true, false)
	f("$[?$[5000] == @]", false, true) // 5000 looks for each element
	f("$[?!($..b)]", false, true)
}

func TestFilterNeedsADocument(t *testing.T) {
	t.Parallel()
	path := mustPath(t, "$[?!@.a]")
	if path.Matches([]Step{{Element: true, Len: 1}}) || !path.Filters() || mustPath(t, "$.a").Filters() {
		t.Error("a filter selects a node of no document")
	}
}
