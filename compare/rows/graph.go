package rows

import (
	"slices"
	"strings"

	"parallax"
	"parallax/internal/body"
	"parallax/internal/ids"
)

// The legs, as indices.
const (
	primary   = 0
	candidate = 1
)

// graph holds the rows of both legs as nodes: those of the primary, then those of
// the candidate.
type graph struct {
	rows   [2][]Row
	know   Options
	keys   map[string][]string // of tables that the legs name rows of by other columns: those that both do
	nodes  []node
	born   [2]map[value]maker  // the rows that made values up
	bare   [2]map[string]maker // the same, of values that nobody writes by chance
	paired uint64              // how many pairs there are
	budget int                 // how many more nodes and edges may be looked at
}

// value is a value that a column made up.
type value struct{ in, text string }

// maker is the column of a row that made a value up.
type maker struct {
	node   int
	column string
}

// node is one row. Its constants are what it says by itself, its edges what it says
// of other rows of the exchange.
type node struct {
	row       *Row
	leg       int
	constants []cell
	edges     []edge
	back      []edge // of the rows that refer to it
	start     uint64 // colour by its table, its effect and its constants
	colour    uint64
	partner   int // -1: none yet
}

// cell is one column of a row, its value as the primary would have it.
type cell struct {
	name  string
	text  string // canonical
	null  bool
	loose bool // it does not tell rows apart
}

// edge leads to another row of the same leg, by a column.
type edge struct {
	label uint64
	name  string
	to    int
}

// maxLooks bounds what matching the rows of one exchange may cost.
const maxLooks = 4 << 20

func newGraph(p, c []Row, know Options) *graph {
	g := &graph{rows: [2][]Row{p, c}, know: know, keys: sharedKeys(p, c), budget: maxLooks}
	for leg, list := range g.rows {
		g.born[leg], g.bare[leg] = map[value]maker{}, map[string]maker{}
		for i := range list {
			g.nodes = append(g.nodes, node{row: &list[i], leg: leg, partner: -1})
			g.note(leg, len(g.nodes)-1)
		}
	}
	for i := range g.nodes {
		g.read(i)
	}
	for i := range g.nodes {
		for _, e := range g.nodes[i].edges {
			to := &g.nodes[e.to]
			to.back = append(to.back, edge{label: ^e.label, name: e.name, to: i})
		}
	}
	return g
}

// note writes down the values that a row made up.
func (g *graph) note(leg, i int) {
	row := g.nodes[i].row
	for _, c := range row.Columns {
		if !row.makesUp(&c) {
			continue
		}
		g.born[leg][value{row.Table + "." + c.Name, canonical(&c)}] = maker{i, c.Name}
		if ids.Bits(*c.Value) >= ids.BareBits {
			g.bare[leg][*c.Value] = maker{i, c.Name}
		}
	}
}

// makesUp reports whether a column's value was made up with the row. A key that nobody
// says is made up may be an address or a number that the caller gave: a wrong one differs.
func (r *Row) makesUp(c *parallax.Column) bool {
	return r.Op == parallax.Insert && c.Value != nil && c.Ref == "" && c.Made
}

// names returns the column that makes up what stands in a column of the row:
// TABLE.COLUMN; empty where values are what they are.
func (r *Row) names(c *parallax.Column) string {
	switch {
	case !c.Made:
		return ""
	case c.Ref != "":
		return c.Ref
	}
	return r.Table + "." + c.Name
}

// read takes a row apart into constants and edges.
func (g *graph) read(i int) {
	n := &g.nodes[i]
	h := mix(hash(n.row.Table), hash(string(n.row.Op)))
	columns := g.says(n.row)
	for k := range columns {
		c := &columns[k]
		if n.row.makesUp(c) || c.Type == parallax.Unchanged {
			continue
		}
		if to, ok := g.refers(n, c); ok {
			label := hash(c.Name)
			if to == i {
				label = mix(label, 1) // What refers to itself is not like two that refer to each other.
			}
			n.edges = append(n.edges, edge{label, c.Name, to})
			continue
		}
		one := g.cell(n, c)
		n.constants = append(n.constants, one)
		if !one.loose {
			h += mix(hash(c.Name), one.hash()) // A sum, so that the order of columns does not count.
		}
	}
	n.start = h
}

// refers returns the row of this exchange that a column refers to.
func (g *graph) refers(n *node, c *parallax.Column) (to int, ok bool) {
	by, ok := g.maker(n.leg, n.row, c)
	return by.node, ok
}

// maker returns what made up the value of a column on a leg, with this exchange.
func (g *graph) maker(leg int, row *Row, c *parallax.Column) (by maker, ok bool) {
	if c.Value == nil {
		return by, false
	}
	if in := row.names(c); in != "" {
		by, ok = g.born[leg][value{in, canonical(c)}]
	} else {
		by, ok = g.bare[leg][*c.Value]
	}
	return by, ok
}

// cell reads a column as the primary would have it.
func (g *graph) cell(n *node, c *parallax.Column) cell {
	out := cell{name: c.Name, null: c.Value == nil, loose: c.Type == parallax.TimeColumn || g.know.loose(n.row.Table, c.Name)}
	if out.null {
		return out
	}
	out.text = canonical(c)
	if n.leg == candidate {
		in := n.row.names(c)
		if known, ok := g.know.known(in, out.text); ok {
			out.text = known
		} else if g.know.taken(in, out.text) {
			out.text += foreignMark
		}
	}
	return out
}

// foreignMark follows a value of the candidate that the primary calls something else by. No
// text of a database has a zero byte.
const foreignMark = "\x00"

func (c *cell) hash() uint64 {
	if c.null {
		return 1
	}
	return hash(c.text)
}

func (c *cell) equal(d *cell) bool { return c.null == d.null && c.text == d.text }

// canonical writes a value so that equal numbers are written alike, and as the numbers
// they are: a partner's name takes the place of a value.
func canonical(c *parallax.Column) string {
	if c.Type == parallax.NumberColumn {
		if _, err := body.ParseDecimal([]byte(*c.Value)); err == nil {
			return canonicalNumber(*c.Value)
		}
	}
	return *c.Value
}

// canonicalNumber writes a number without zeros that say nothing. Databases write numbers
// that name rows without exponents.
func canonicalNumber(text string) string {
	if strings.ContainsAny(text, "eE") {
		return string(body.CanonicalNumber([]byte(text)))
	}
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if text == "-0" {
		return "0"
	}
	return text
}

// byKey pairs the rows whose key both legs know: none of its values was made up with
// the exchange.
func (g *graph) byKey() {
	var at [2]map[string]int
	for leg := range at {
		at[leg] = map[string]int{}
	}
	for i := range g.nodes {
		n := &g.nodes[i]
		name, ok := g.knownKey(n)
		if !ok {
			continue
		}
		if _, twice := at[n.leg][name]; twice {
			at[n.leg][name] = -1
			continue
		}
		at[n.leg][name] = i
	}
	for i := range g.nodes[:len(g.rows[primary])] {
		name, ok := g.knownKey(&g.nodes[i])
		if j, both := at[candidate][name]; ok && both && j >= 0 && at[primary][name] == i {
			g.pair(i, j)
		}
	}
}

// knownKey writes the key of a row as the primary has it; false if it was made up, or
// refers to a row that was.
func (g *graph) knownKey(n *node) (string, bool) {
	key := slices.Clone(n.row.Key)
	if names, differ := g.keys[n.row.Table]; differ {
		key = only(key, names)
	}
	if len(key) == 0 {
		return "", false
	}
	for i := range key {
		c := &key[i]
		if n.row.makesUp(c) {
			return "", false
		}
		if _, ok := g.refers(n, c); ok {
			return "", false
		}
		one := g.cell(n, c)
		if !one.null {
			c.Value = &one.text
		}
	}
	return identity(n.row.Table, key), true
}

// pair says that two rows belong together.
func (g *graph) pair(i, j int) {
	g.paired++
	g.nodes[i].partner, g.nodes[j].partner = j, i
	colour := mix(g.paired, 0x9e3779b97f4a7c15)
	g.nodes[i].colour, g.nodes[j].colour = colour, colour
}

// part takes back that two rows belong together.
func (g *graph) part(i, j int) { g.nodes[i].partner, g.nodes[j].partner = -1, -1 }

// hash is FNV-1a of a text, 64 bits.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix makes one number out of two, such that small changes of either change all of it
// (the finaliser of SplitMix64).
func mix(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 + b
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
