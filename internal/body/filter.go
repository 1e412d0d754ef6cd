package body

import (
	"bytes"
)

// Doc is a tree as the filters of paths look at it. What a filter came to at a
// node is remembered for a while, and all filters together take a bounded number of looks at
// nodes; past the bound a filter selects nothing. A Doc belongs to one goroutine.
type Doc struct {
	tree  *Tree
	left  int // looks
	known map[filtered]bool
}

type filtered struct {
	by   *filter
	node int32
}

// Bounds of the looks that filters may take at a document.
const (
	filterLooks     = 4096 // at any document
	filterLooksNode = 16   // and for each of its nodes

	maxFiltered = 1 << 16 // results that are remembered
)

// NewDoc returns a tree for filters to look at.
func NewDoc(t *Tree) *Doc {
	return &Doc{tree: t, left: filterLooks + filterLooksNode*len(t.Nodes), known: map[filtered]bool{}}
}

// Looked returns how many looks the filters have taken.
func (d *Doc) Looked() int { return filterLooks + filterLooksNode*len(d.tree.Nodes) - d.left }

// GaveUp reports whether a filter selected nothing because no look was left.
func (d *Doc) GaveUp() bool { return d.left < 0 }

// filter is a condition on a node, @, and on the root of its document, $.
type filter struct {
	text string
	condition
}

type conditionKind uint8

const (
	anyOf conditionKind = iota
	allOf
	not
	exists
	compares
)

// condition is a logical expression of RFC 9535, section 2.3.5, without functions.
type condition struct {
	kind  conditionKind
	parts []condition // of anyOf, allOf and not
	query *query      // of exists
	left  operand     // of compares
	by    string      // ==, !=, <, <=, > or >=
	right operand
}

// query is a path from the node a filter is tried on, or from the root.
type query struct {
	root     bool
	segments []segment
}

// singular reports whether a query names at most one node.
func (q *query) singular() bool {
	for _, s := range q.segments {
		if s.descendant || len(s.selectors) != 1 || s.selectors[0].kind != byName && s.selectors[0].kind != byIndex {
			return false
		}
	}
	return true
}

// operand is one side of a comparison: a singular query, or a literal as a
// document of one node.
type operand struct {
	query   *query
	literal *Tree
}

// selects reports whether a filter selects a node.
func (d *Doc) selects(f *filter, node int32) bool {
	key := filtered{f, node}
	if result, ok := d.known[key]; ok {
		return result
	}
	d.left--
	result := d.holds(&f.condition, node) && d.left >= 0
	if len(d.known) >= maxFiltered {
		clear(d.known)
	}
	d.known[key] = result
	return result
}

func (d *Doc) holds(c *condition, node int32) bool {
	switch c.kind {
	case anyOf:
		for i := range c.parts {
			if d.holds(&c.parts[i], node) {
				return true
			}
		}
		return false
	case allOf:
		for i := range c.parts {
			if !d.holds(&c.parts[i], node) {
				return false
			}
		}
		return true
	case not:
		return !d.holds(&c.parts[0], node)
	case exists:
		return d.finds(c.query.from(node), c.query.segments)
	}
	a, i := d.resolve(&c.left, node)
	b, j := d.resolve(&c.right, node)
	switch c.by {
	case "==":
		return d.equal(a, i, b, j)
	case "!=":
		return !d.equal(a, i, b, j)
	case "<":
		return less(a, i, b, j)
	case ">":
		return less(b, j, a, i)
	case "<=":
		return less(a, i, b, j) || d.equal(a, i, b, j)
	}
	return less(b, j, a, i) || d.equal(a, i, b, j)
}

func (q *query) from(node int32) int32 {
	if q.root {
		return 0
	}
	return node
}

// finds reports whether segments lead from a node to any other.
func (d *Doc) finds(node int32, segments []segment) bool {
	if len(segments) == 0 {
		return true
	}
	s, n := &segments[0], &d.tree.Nodes[node]
	step := Step{Element: n.Kind == Array, Len: int(n.Count), Doc: d}
	if n.Kind < Array {
		return false
	}
	for child := node + 1; child < n.Next; child = d.tree.Nodes[child].Next {
		if d.left--; d.left < 0 {
			return false
		}
		if !step.Element {
			step.Name = string(d.tree.Name(child))
		}
		step.Node = child
		if s.selects(&step) && d.finds(child, segments[1:]) || s.descendant && d.finds(child, segments) {
			return true
		}
		step.Index++
	}
	return false
}

// resolve returns the node an operand stands for, nil if there is none.
func (d *Doc) resolve(o *operand, node int32) (*Tree, int32) {
	if o.literal != nil {
		return o.literal, 0
	}
	at := o.query.from(node)
	for i := range o.query.segments {
		if at = d.child(at, &o.query.segments[i].selectors[0]); at < 0 {
			return nil, 0
		}
	}
	return d.tree, at
}

// child returns the first child of a node that a name or an index selects, -1 if
// there is none.
func (d *Doc) child(node int32, s *selector) int32 {
	n := &d.tree.Nodes[node]
	index := s.index
	if index < 0 {
		index += int64(n.Count)
	}
	if n.Kind != Array && s.kind == byIndex || n.Kind != Object && s.kind == byName {
		return -1
	}
	at := int64(0)
	for child := node + 1; child < n.Next; child = d.tree.Nodes[child].Next {
		if d.left--; d.left < 0 {
			return -1
		}
		if s.kind == byIndex && at == index || s.kind == byName && string(d.tree.Name(child)) == s.name {
			return child
		}
		at++
	}
	return -1
}

// equal follows RFC 9535, section 2.3.5.2.2: two missing nodes are equal, numbers
// by their exact values, arrays element by element, objects member by member.
func (d *Doc) equal(t *Tree, i int32, u *Tree, j int32) bool {
	if t == nil || u == nil {
		return t == u
	}
	a, b := &t.Nodes[i], &u.Nodes[j]
	if d.left--; d.left < 0 || a.Kind != b.Kind || a.Count != b.Count {
		return false
	}
	switch a.Kind {
	case Array:
		for x, y := i+1, j+1; x < a.Next; x, y = t.Nodes[x].Next, u.Nodes[y].Next {
			if !d.equal(t, x, u, y) {
				return false
			}
		}
		return true
	case Object:
		for x := i + 1; x < a.Next; x = t.Nodes[x].Next {
			if y := d.member(u, j, t.Name(x)); y < 0 || !d.equal(t, x, u, y) {
				return false
			}
		}
		return true
	}
	return SameScalar(t, i, u, j)
}

func (d *Doc) member(t *Tree, object int32, name []byte) int32 {
	for child := object + 1; child < t.Nodes[object].Next; child = t.Nodes[child].Next {
		if d.left--; d.left < 0 {
			return -1
		}
		if bytes.Equal(t.Name(child), name) {
			return child
		}
	}
	return -1
}

// less orders numbers by value and strings by their characters; nothing else has
// an order.
func less(t *Tree, i int32, u *Tree, j int32) bool {
	if t == nil || u == nil || t.Nodes[i].Kind != u.Nodes[j].Kind {
		return false
	}
	switch t.Nodes[i].Kind {
	case Number:
		a, errA := decimalOf(t.Text(i))
		b, errB := decimalOf(u.Text(j))
		return errA == nil && errB == nil && a.less(b)
	case String:
		return bytes.Compare(t.Value(i), u.Value(j)) < 0
	}
	return false
}
