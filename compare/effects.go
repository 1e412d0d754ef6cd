package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"parallax"
	"parallax/compare/rows"
	"parallax/internal/body"
	"parallax/internal/ids"
)

// Effects is what the effects of one exchange are compared by. It is not changed and, without
// Rows, may be shared.
type Effects struct {
	Tables *EffectTables
	View   *ids.View // of the values that [EffectRows.Refs] lists

	// Rows are those of the exchange, so that they are made once; nil: each time they are needed.
	Rows *EffectRows

	// Before returns what earlier exchanges left of a row, the same for all of a comparison;
	// nil: nothing is known, and nothing is noted. What differs where the row differed before
	// is inherited: it does not count, and without a difference that does the exchange is not
	// comparable, [ReasonInherited].
	Before func(Entity) RowState
	Key    []byte // that the names of rows are made with

	// Gap says that values may have been made up while nobody read what was committed:
	// then one without a partner may yet stand for another one.
	Gap bool
}

// effectName is what the identifier map calls the values of a column TABLE.COLUMN, and
// values that nobody writes by chance wherever they stand.
func effectName(in string) string {
	if in == "" {
		in = "*"
	}
	return "effects:" + in
}

// rows returns the rows of an exchange.
func (e *Effects) rows(x *parallax.Exchange) *EffectRows {
	if e.Rows != nil {
		return e.Rows
	}
	return e.Tables.Rows(x)
}

// Born returns what is to be learnt from the rows that both legs made with an exchange:
// which value of one stands for which of the other.
func (e *Effects) Born(x *parallax.Exchange) []ids.Fact {
	p, c := x.Legs[parallax.Primary], x.Legs[parallax.Candidate]
	if e == nil || p == nil || c == nil || p.Unread != "" || c.Unread != "" || len(p.Effects) == 0 || len(c.Effects) == 0 {
		return nil
	}
	var facts []ids.Fact
	learn := func(in string, b rows.Born) {
		facts = append(facts, ids.Fact{Ref: ids.Ref{Name: effectName(in), Leg: parallax.Primary, Value: b.Primary}, To: parallax.Candidate, State: ids.Paired, Partner: b.Candidate})
	}
	for _, b := range e.match(e.rows(x), nil).Born() {
		learn(b.In, b)
		if ids.Bits(b.Primary) >= ids.BareBits && ids.Bits(b.Candidate) >= ids.BareBits {
			learn("", b)
		}
	}
	return facts
}

// pairedRows is the rows of both legs and which of them belong together.
type pairedRows struct {
	*rows.Matching
	p, c []rows.Row
}

// match pairs the rows of two legs.
func (e *Effects) match(list *EffectRows, find *finder) pairedRows {
	a, b := list.legs[parallax.Primary], list.legs[parallax.Candidate]
	m := rows.Match(a, b, rows.Options{
		Loose: find.loose,
		Known: func(in, value string) (string, bool) {
			known := e.partner(in, parallax.Candidate, value)
			return known.Value, known.State == ids.Paired
		},
		Taken: func(in, value string) bool {
			known := e.partner(in, parallax.Primary, value)
			return known.State == ids.Paired && known.Value != value
		},
	})
	return pairedRows{m, a, b}
}

// partner returns what is known of a value's partner on the other leg.
func (e *Effects) partner(in string, leg parallax.Leg, value string) ids.Partner {
	return e.View.Partner(ids.Ref{Name: effectName(in), Leg: leg, Value: value}, parallax.Candidate-leg)
}

// effectsUnknown reports whether nobody knows all that the legs did.
func effectsUnknown(p, c *parallax.Call, e *Effects) bool {
	return e != nil && (p.Unread != "" || c.Unread != "")
}

// none reports whether there is nothing to compare in two calls' effects.
func (e *Effects) none(p, c *parallax.Call) bool {
	return e == nil || len(p.Effects)+len(c.Effects) == 0
}

// rowAt is where a row stands: its table and its number among the rows of it.
type rowAt struct {
	table string
	n     int
	names map[string]rowName // of its columns with values that the databases make up
	sent  *[2]int            // of what is sent to the outside: how often by the primary and the candidate; else nil
	drift *rowDrift          // nil where nothing is known or noted of it
}

// rowName is what a value of the candidate stands for.
type rowName struct {
	in       string // the column that makes such values up
	own      string
	standing rows.Standing
	known    bool // the primary's value has a partner
	gap      bool
}

// compareEffects compares what two legs did to their databases.
func compareEffects(x *parallax.Exchange, e *Effects, find *finder) {
	if e == nil {
		return
	}
	m := e.match(e.rows(x), find)
	numbers, touched, sent := map[string]int{}, map[string]bool{}, m.sent()
	for _, pair := range m.Pairs {
		at := &rowAt{}
		switch {
		case pair.Primary >= 0:
			at.table = m.p[pair.Primary].Table
		default:
			at.table = m.c[pair.Candidate].Table
		}
		at.sent = sent[at.table]
		at.n = numbers[at.table]
		numbers[at.table]++
		touched[at.table] = true
		e.compareEntity(m, pair, at, find)
	}
	find.expectRows(touched)
}

// sent counts what both legs sent to the outside, by where to.
func (m pairedRows) sent() map[string]*[2]int {
	var out map[string]*[2]int
	for leg, list := range [][]rows.Row{m.p, m.c} {
		for i := range list {
			if list[i].Op != parallax.Emit {
				continue
			}
			if out == nil {
				out = map[string]*[2]int{}
			}
			if out[list[i].Table] == nil {
				out[list[i].Table] = &[2]int{}
			}
			out[list[i].Table][leg]++
		}
	}
	return out
}

// compareRow compares two rows that belong together, or reports that one is missing.
func (e *Effects) compareRow(m pairedRows, pair rows.Pair, at *rowAt, find *finder) {
	defer find.inRow(at)()
	root := &place{kind: placeJSON, row: at}
	if pair.Primary < 0 || pair.Candidate < 0 {
		kind, sides := Missing, [2]side{}
		if pair.Primary < 0 {
			kind, sides[1] = Extra, rowSide(&m.c[pair.Candidate])
		} else {
			sides[0] = rowSide(&m.p[pair.Primary])
		}
		find.add(root, kind, sides[0], sides[1])
		return
	}
	p, c := &m.p[pair.Primary], &m.c[pair.Candidate]
	if p.Op != c.Op {
		find.add(root, Type, rowSide(p), rowSide(c))
		return
	}
	a, b := m.Says(p, c)
	find.nulls(root, a, b)
	textP, textC := object(a), object(e.translated(m, p, c, b, at))
	if bytes.Equal(textP, textC) && !find.assertsAt(placeJSON) {
		return
	}
	treeP, errP := body.ParseJSON(textP, rowLimits)
	treeC, errC := body.ParseJSON(textC, rowLimits)
	if errP != nil || errC != nil {
		find.add(root, Changed, rowSide(p), rowSide(c))
		return
	}
	find.meter = find.allow(textP, textC)
	walk(treeP, treeC, find)
	if find.meter.spent() {
		find.stop()
	}
}

// rowLimits bounds the document that a row is compared as.
var rowLimits = body.Limits{Depth: 200, Nodes: 1 << 20}

// nulls reports columns that are NULL on one leg and the document null on the other: as
// documents they are written alike.
func (f *finder) nulls(row *place, p, c []parallax.Column) {
	for i := range p {
		k := slices.IndexFunc(c, func(d parallax.Column) bool { return d.Name == p[i].Name })
		if k < 0 || !(isNullDocument(&p[i]) && c[k].Value == nil || p[i].Value == nil && isNullDocument(&c[k])) {
			continue
		}
		side := func(c *parallax.Column) side {
			if c.Value == nil {
				return side{text: []byte("NULL"), class: "null"}
			}
			return side{text: []byte("null"), class: "document"}
		}
		f.add(&place{kind: placeJSON, row: row.row, steps: []body.Step{{Name: p[i].Name}}, nodes: []nodes{{-1, -1}}}, Type, side(&p[i]), side(&c[k]))
	}
}

func isNullDocument(c *parallax.Column) bool {
	return c.Type == parallax.JSONColumn && c.Value != nil && strings.TrimSpace(*c.Value) == "null"
}

// translated returns the columns of the candidate's row with the primary's values where
// a database made them up, and notes what they were.
func (e *Effects) translated(m pairedRows, p, c *rows.Row, columns []parallax.Column, at *rowAt) []parallax.Column {
	out := slices.Clone(columns)
	at.names = map[string]rowName{}
	for i := range out {
		to := &out[i]
		in, _, ok := c.Named(to)
		if !ok {
			continue
		}
		own := *to.Value
		value, standing := m.Primary(c, to)
		if standing == rows.Plain {
			continue
		}
		name := rowName{in: in, own: own, standing: standing, gap: e.Gap || e.lost(parallax.Candidate, c, to)}
		theirs := p.Column(to.Name)
		if theirs != nil && theirs.Value != nil {
			name.known = m.Known(p, theirs) || e.taken(p, theirs)
			name.gap = name.gap || e.lost(parallax.Primary, p, theirs)
		}
		switch {
		case standing == rows.Foreign:
			value, to.Type = own+ownMark, parallax.TextColumn
		case standing == rows.Paired && theirs != nil:
			to.Type = theirs.Type // An id that became a UUID is still the same id.
		}
		to.Value = &value
		at.names[to.Name] = name
	}
	return out
}

// lost reports whether a value was made up earlier, and nobody has learnt what its partner is.
func (e *Effects) lost(leg parallax.Leg, row *rows.Row, c *parallax.Column) bool {
	in, value, ok := row.Named(c)
	return ok && e.partner(in, leg, value).State == ids.Failed
}

// taken reports whether a value of the primary was known before to have a partner.
func (e *Effects) taken(row *rows.Row, c *parallax.Column) bool {
	in, value, ok := row.Named(c)
	return ok && e.partner(in, parallax.Primary, value).State == ids.Paired
}

// judge tells what a difference between two values that databases make up comes to, or
// one in how often something was sent; false if it is neither.
func (at *rowAt) judge(where *place, kind Kind, candidate side) (named, bool) {
	if at != nil && at.sent != nil && (kind == Missing || kind == Extra) && len(where.steps) == 0 {
		return named{kind: kind, candidate: candidate.text, why: fmt.Sprintf("of such the primary sent %d, the candidate %d", at.sent[0], at.sent[1])}, true
	}
	if at == nil || len(where.steps) != 1 || kind != Changed && kind != Type {
		return named{}, false
	}
	name, ok := at.names[where.steps[0].Name]
	if !ok {
		return named{}, false
	}
	out := named{kind: Changed, candidate: []byte(name.own), own: name.own}
	switch meant := string(candidate.value()); {
	case name.standing == rows.Foreign:
		out.why = fmt.Sprintf("%s %s of the candidate is of a row that the primary did not write, or calls otherwise", name.in, name.own)
	case name.standing == rows.Paired:
		out.why = fmt.Sprintf("%s %s of the candidate stands for %s of the primary", name.in, name.own, meant)
	case name.gap && !name.known:
		out.unknown, out.why = true, name.in+": neither value has a partner on the other leg, and not all that was made up is known"
	default:
		out.why = fmt.Sprintf("%s %s of the candidate stands for nothing else known", name.in, name.own)
	}
	return out, true
}

// loose reports whether rules excuse what a column says, so that it does not tell rows
// apart.
func (f *finder) loose(table, column string) bool {
	if f == nil {
		return false
	}
	at := &place{kind: placeJSON, steps: []body.Step{{Name: column}}}
	for _, r := range f.rules {
		if r.row != nil && (r.name == "" || r.name == table) && (r.row.isAbout(at) || r.row.covers(at)) {
			return true
		}
	}
	return false
}

// inRow makes the finder take the differences of a row: by the rules for its table, and
// without noise, since the secondary's effects are not known. The function it returns
// takes that back.
func (f *finder) inRow(at *rowAt) (back func()) {
	was := *f
	f.row, f.rules, f.asked, f.names, f.graphql, f.answers = at, nil, asks{}, nil, false, answers{}
	f.noise = &excuses{endpoint: f.endpoint}
	for _, r := range was.rules {
		if r.row != nil && (r.name == "" || r.name == at.table) {
			f.rules = append(f.rules, r.row)
		}
	}
	return func() {
		f.row, f.rules, f.asked, f.names, f.graphql, f.answers = was.row, was.rules, was.asked, was.names, was.graphql, was.answers
		f.noise, f.meter, f.p, f.c = was.noise, was.meter, was.p, was.c
	}
}

// expectRows reports differences that are expected in tables that neither leg touched.
func (f *finder) expectRows(touched map[string]bool) {
	for _, r := range f.rules {
		if r.row == nil || r.source.Expect == "" || r.name == "" || touched[r.name] {
			continue
		}
		at := &rowAt{table: r.name}
		back := f.inRow(at)
		f.unmet(r.row, &place{kind: placeJSON, row: at}, side{})
		back()
	}
}

// rowSide writes a whole row for people.
func rowSide(r *rows.Row) side {
	return side{text: object(r.Columns), class: string(r.Op)}
}

// object writes columns as a JSON object, in their order.
func object(columns []parallax.Column) []byte {
	out := []byte{'{'}
	for i := range columns {
		if columns[i].Type == parallax.Unchanged {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = appendText(out, columns[i].Name)
		out = append(out, ':')
		out = appendColumn(out, &columns[i])
	}
	return append(out, '}')
}

// appendColumn writes a column's value as JSON.
func appendColumn(out []byte, c *parallax.Column) []byte {
	if c.Value == nil {
		return append(out, "null"...)
	}
	value := *c.Value
	switch c.Type {
	case parallax.NumberColumn:
		if _, err := body.ParseDecimal([]byte(value)); err == nil {
			return append(out, value...)
		}
	case parallax.BoolColumn:
		switch value {
		case "t", "true":
			return append(out, "true"...)
		case "f", "false":
			return append(out, "false"...)
		}
	case parallax.JSONColumn:
		if _, err := body.ParseJSON([]byte(value), rowLimits); err == nil {
			return append(out, value...)
		}
	case parallax.TimeColumn:
		return appendText(out, rfc3339(value))
	case parallax.ArrayColumn:
		if elements, ok := arrayElements(value); ok {
			return append(out, elements...)
		}
	}
	return appendText(out, value)
}

func appendText(out []byte, text string) []byte {
	quoted, _ := json.Marshal(text) // texts always encode
	return append(out, quoted...)
}

// rfc3339 writes a time as PostgreSQL does, 2026-11-23 04:00:00.5+00, as RFC 3339 has it,
// so that rules about times can read it.
func rfc3339(value string) string {
	day, rest, ok := strings.Cut(value, " ")
	if !ok || len(day) != len("2026-11-23") {
		return value
	}
	if utc, ok := strings.CutSuffix(rest, "+00"); ok {
		return day + "T" + utc + "Z"
	}
	return value
}

// maxArrayDepth is how deep PostgreSQL nests arrays.
const maxArrayDepth = 6

// arrayElements writes an array as PostgreSQL does, {a,"b c",NULL,{d}}, as JSON. Elements
// are texts. It is false for what is not written like that.
func arrayElements(value string) (out []byte, ok bool) {
	if _, dims, bounded := strings.Cut(value, "]="); bounded && strings.HasPrefix(value, "[") {
		value = dims
	}
	depth := 0
	for i := 0; i < len(value); {
		switch c := value[i]; c {
		case '{':
			if depth++; depth > maxArrayDepth {
				return nil, false
			}
			out, i = append(out, '['), i+1
		case '}':
			if depth--; depth < 0 {
				return nil, false
			}
			out, i = append(out, ']'), i+1
		case ',':
			out, i = append(out, ','), i+1
		default:
			element, quoted, end := arrayElement(value, i)
			if end < 0 || depth == 0 {
				return nil, false
			}
			if i = end; !quoted && element == "NULL" {
				out = append(out, "null"...)
			} else {
				out = appendText(out, element)
			}
		}
	}
	return out, depth == 0 && len(out) > 0 && json.Valid(out)
}

// arrayElement reads one element from a position; end is -1 where it does not end.
func arrayElement(value string, i int) (text string, quoted bool, end int) {
	if value[i] != '"' {
		n := strings.IndexAny(value[i:], ",}")
		if n < 0 {
			return "", false, -1
		}
		return value[i : i+n], false, i + n
	}
	var b strings.Builder
	for i++; i < len(value); i++ {
		switch value[i] {
		case '"':
			return b.String(), true, i + 1
		case '\\':
			if i++; i == len(value) {
				return "", true, -1
			}
		}
		b.WriteByte(value[i])
	}
	return "", true, -1
}

// String writes the row as a place: effects:orders[2].
func (at *rowAt) String() string { return "effects:" + at.table + "[" + strconv.Itoa(at.n) + "]" }
