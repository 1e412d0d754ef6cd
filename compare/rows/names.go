package rows

import (
	"parallax"
	"parallax/internal/ids"
)

// Standing says what a value of the candidate stands for.
type Standing uint8

// The standings of a value.
const (
	Plain   Standing = iota // nobody makes such values up: it is what it is
	Paired                  // the primary has another name for it, or the same
	Foreign                 // the primary has none: it names a row that the primary did not make, or the primary calls another row by it
	Unknown                 // it was there before this exchange, and nobody knows what the primary calls it
)

// Primary returns what the primary calls the value of a column of the candidate's row,
// and how that is known. What has no other name is returned as it is.
func (m *Matching) Primary(row *Row, c *parallax.Column) (string, Standing) {
	if c.Value == nil {
		return "", Plain
	}
	g, in := m.graph, row.names(c)
	if by, ok := g.maker(candidate, row, c); ok {
		return g.partnerOf(by, *c.Value)
	}
	if known, ok := g.know.known(in, canonical(c)); ok {
		return known, Paired
	}
	switch _, taken := g.born[primary][value{in, canonical(c)}]; {
	case in == "":
		return *c.Value, Plain
	case taken, g.know.taken(in, canonical(c)):
		return *c.Value, Foreign
	}
	return *c.Value, Unknown
}

// partnerOf returns what the primary calls the value that a column of the candidate
// made up with this exchange.
func (g *graph) partnerOf(by maker, own string) (string, Standing) {
	n := &g.nodes[by.node]
	if n.partner < 0 {
		return own, Foreign
	}
	if same := g.nodes[n.partner].row.Column(by.column); same != nil && same.Value != nil {
		return *same.Value, Paired
	}
	return own, Foreign
}

// Known reports whether the primary's value of a column is known to have a partner: of
// a row that the exchange made on both legs.
func (m *Matching) Known(row *Row, c *parallax.Column) bool {
	by, ok := m.graph.maker(primary, row, c)
	return ok && m.graph.nodes[by.node].partner >= 0
}

// Born is a value that both legs made up for one row.
type Born struct {
	In                 string // the column: TABLE.COLUMN
	Primary, Candidate string
}

// Born returns the values that both legs made up with the exchange, by the primary's
// rows.
func (m *Matching) Born() []Born {
	var out []Born
	for _, pair := range m.Pairs {
		if pair.Primary < 0 || pair.Candidate < 0 {
			continue
		}
		p, c := &m.graph.rows[primary][pair.Primary], &m.graph.rows[candidate][pair.Candidate]
		for i := range p.Columns {
			a := &p.Columns[i]
			b := c.Column(a.Name)
			if b != nil && p.makesUp(a) && c.makesUp(b) {
				out = append(out, Born{p.Table + "." + a.Name, canonical(a), canonical(b)})
			}
		}
	}
	return out
}

// Makes returns which column made up a value with the row, TABLE.COLUMN, and the value so
// that equal ones are written alike; false if it was not made up.
func (r *Row) Makes(c *parallax.Column) (in, value string, ok bool) {
	if !r.makesUp(c) {
		return "", "", false
	}
	return r.Table + "." + c.Name, canonical(c), true
}

// Named returns which column makes up the values of a column of the row, TABLE.COLUMN or
// "" for a value that nobody writes by chance, and the value so that equal ones are
// written alike; false if nobody makes them up.
func (r *Row) Named(c *parallax.Column) (in, value string, ok bool) {
	if c.Value == nil {
		return "", "", false
	}
	in = r.names(c)
	if in == "" && (c.Type == parallax.JSONColumn || ids.Bits(*c.Value) < ids.BareBits) {
		return "", "", false
	}
	return in, canonical(c), true
}
