package body

import (
	"fmt"
	"net/url"
	"strings"
)

// namedValues are texts by name, in the order in which names appear. Each is
// written as JSON already.
type namedValues struct {
	names  []string
	values map[string][]string
}

func (n *namedValues) add(name, value string) {
	if n.values == nil {
		n.values = map[string][]string{}
	}
	if _, known := n.values[name]; !known {
		n.names = append(n.names, name)
	}
	n.values[name] = append(n.values[name], value)
}

// tree returns the values as a lax tree: an object with an array for each name.
func (n *namedValues) tree(limits Limits) (*Tree, error) {
	out := []byte{'{'}
	for i, name := range n.names {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(AppendQuoted(out, name), ":["...)
		out = append(append(out, strings.Join(n.values[name], ",")...), ']')
	}
	tree, err := ParseJSON(append(out, '}'), limits)
	if err != nil {
		return nil, err
	}
	tree.Lax = true
	return tree, nil
}

// ParseForm reads application/x-www-form-urlencoded as a lax tree:
//
//	a=1&b=x+y&a=2
//	{"a": ["1", "2"], "b": ["x y"]}
//
// so that names are found in any order, and repeats of one name in theirs. A name
// without a value has an empty one, and a line end behind the last value belongs to it.
func ParseForm(source []byte, limits Limits) (*Tree, error) {
	var all namedValues
	for pair := range strings.SplitSeq(string(source), "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return nil, fmt.Errorf("not a form: the name %.40q: %w", rawName, err)
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			return nil, fmt.Errorf("not a form: the value of %.40q: %w", name, err)
		}
		all.add(name, string(AppendQuoted(nil, value)))
	}
	return all.tree(limits)
}
