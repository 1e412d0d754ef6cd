package compare

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// Flaw is one way in which a candidate may be wrong.
type Flaw string

// The flaws that mutants have.
const (
	ValueChanged   Flaw = "value_changed"   // a number, text or boolean is another
	TypeChanged    Flaw = "type_changed"    // 1 became "1", a text null, null {}
	FieldMissing   Flaw = "field_missing"   // a member is not there
	FieldAdded     Flaw = "field_added"     // an object has a member too many
	ItemsSwapped   Flaw = "items_swapped"   // two neighbours in an array changed places
	ItemDropped    Flaw = "item_dropped"    // an array lacks an element
	WrongReference Flaw = "wrong_reference" // an identifier names something else
	StatusChanged  Flaw = "status_changed"
	HeaderDropped  Flaw = "header_dropped"
)

// Mutant is an answer with one flaw in it.
type Mutant struct {
	Flaw Flaw
	Call *parallax.Call
}

// Mutants returns copies of a call that answered completely, each with one flaw in its answer
// or in what it wrote: up to each of every kind that there is a place for. What was redacted is
// left alone, and so are headers in which legs name their versions by the rules. The same call and seed give the same mutants. A call without a
// complete answer has none.
//
// They stand for a broken candidate: what [Compare] makes of the call as the
// primary's and a mutant as the candidate's shows what would be found.
func Mutants(call *parallax.Call, rules *Rules, seed uint64, each int) []Mutant {
	if call == nil || call.Err.Kind != parallax.NoError || call.Response.Body.Cut {
		return nil
	}
	m := &mutator{call: call, rules: rules, each: each, random: (*dice)(&seed)}
	m.status()
	m.header()
	m.bodies()
	m.effects()
	return m.out
}

// mutator makes the mutants of one call.
type mutator struct {
	call   *parallax.Call
	rules  *Rules
	each   int
	random *dice
	out    []Mutant

	tree    *body.Tree // of the answer, nil while it is not JSON
	parents []int32    // of the nodes
}

// dice are a sequence of numbers that follows from where it begins: SplitMix64
// (Steele, Lea and Flood, OOPSLA 2014).
type dice uint64

// intN returns a number from 0 to n-1.
func (d *dice) intN(n int) int {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}

// perm returns the numbers from 0 to n-1 in some order.
func (d *dice) perm(n int) []int {
	out := make([]int, n)
	for i := range out {
		k := d.intN(i + 1)
		out[i], out[k] = out[k], i
	}
	return out
}

// add takes a mutant; alter changes the copy of the answer.
func (m *mutator) add(flaw Flaw, alter func(*parallax.Response)) {
	call := *m.call
	alter(&call.Response)
	m.out = append(m.out, Mutant{flaw, &call})
}

func (m *mutator) status() {
	was := m.call.Response.Status
	for _, status := range []int{500, 404, 200}[:min(m.each, 3)] {
		if status != was {
			m.add(StatusChanged, func(r *parallax.Response) { r.Status = status })
		}
	}
}

// header drops a header that is compared: all values of its name.
func (m *mutator) header() {
	var names []string
	for _, f := range m.call.Response.Headers {
		name := strings.ToLower(f.Name)
		if v := volatileHeader(name); (v == nil || v.Presence) && (m.rules == nil || !namesVersion(name, m.rules.versions)) {
			names = append(names, name)
		}
	}
	for _, i := range m.pick(len(names)) {
		m.add(HeaderDropped, func(r *parallax.Response) { r.Headers = withoutHeader(r.Headers, names[i]) })
	}
}

func withoutHeader(fields []parallax.Field, name string) []parallax.Field {
	out := make([]parallax.Field, 0, len(fields))
	for _, f := range fields {
		if !strings.EqualFold(f.Name, name) {
			out = append(out, f)
		}
	}
	return out
}

// pick returns up to each of n indices, without repeats.
func (m *mutator) pick(n int) []int {
	return m.random.perm(n)[:min(n, m.each)]
}

// bodies makes the mutants of the body, which they have without its coding.
func (m *mutator) bodies() {
	r := &m.call.Response
	text, err := body.Decode(header(r.Headers, "content-encoding"), r.Body.Bytes, maxDecoded)
	if err != nil || len(text) == 0 || string(text) == removedNote {
		return
	}
	if FormatOf(header(r.Headers, "content-type")) == JSON {
		if m.tree, err = body.ParseJSON(text, body.DefaultLimits); err == nil {
			m.document()
			return
		}
	}
	for range m.each {
		if changed := alterText(m.random, text); changed != nil {
			m.body(ValueChanged, changed)
		}
	}
}

// body adds a mutant with another body.
func (m *mutator) body(flaw Flaw, text []byte) {
	m.add(flaw, func(r *parallax.Response) {
		r.Headers = withoutHeader(r.Headers, "content-encoding")
		r.Body = parallax.Body{Bytes: text, Size: int64(len(text))}
	})
}

// alterText returns the text with one letter or digit replaced, nil if it has
// none.
func alterText(random *dice, text []byte) []byte {
	start := random.intN(len(text))
	for k := range text {
		i := (start + k) % len(text)
		c := text[i]
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') {
			continue
		}
		out := bytes.Clone(text)
		switch {
		case c == '9':
			out[i] = '0'
		case c|0x20 == 'f', c|0x20 == 'z': // a hexadecimal digit stays one
			out[i] = c&0x20 | 'A'
		default:
			out[i]++
		}
		return out
	}
	return nil
}

// splice replaces a part of a document.
type splice struct {
	start, end int32
	with       []byte
}

// edit adds a mutant whose document has parts replaced, given in their order.
func (m *mutator) edit(flaw Flaw, parts ...splice) {
	var out []byte
	at := int32(0)
	for _, p := range parts {
		out = append(append(out, m.tree.Source[at:p.start]...), p.with...)
		at = p.end
	}
	m.body(flaw, append(out, m.tree.Source[at:]...))
}

// sites are the nodes of a document where a flaw can be.
type sites struct {
	scalars, members, objects, elements, references []int32
}

// document makes the mutants of a JSON document.
func (m *mutator) document() {
	s := m.sites()
	for _, i := range m.pick(len(s.scalars)) {
		if with := m.otherValue(s.scalars[i]); with != nil {
			m.replace(ValueChanged, s.scalars[i], with)
		}
	}
	for _, i := range m.pick(len(s.scalars)) {
		m.replace(TypeChanged, s.scalars[i], otherType(m.tree, s.scalars[i]))
	}
	for _, i := range m.pick(len(s.members)) {
		m.remove(FieldMissing, s.members[i])
	}
	for _, i := range m.pick(len(s.objects)) {
		m.grow(s.objects[i])
	}
	for _, i := range m.pick(len(s.elements)) {
		m.swap(s.elements[i])
	}
	for _, i := range m.pick(len(s.elements)) {
		m.remove(ItemDropped, s.elements[i])
	}
	for _, i := range m.pick(len(s.references)) {
		m.refer(s.references, s.references[i])
	}
}

// sites sorts the nodes by what can be wrong with them.
func (m *mutator) sites() (s sites) {
	t := m.tree
	m.parents = make([]int32, len(t.Nodes))
	m.parents[0] = -1
	for i := range int32(len(t.Nodes)) {
		n := &t.Nodes[i]
		if n.Kind < body.Array {
			if !IsRedacted(t.Text(i)) {
				s.scalars = append(s.scalars, i)
				if isReference(t, i) {
					s.references = append(s.references, i)
				}
			}
			continue
		}
		if n.Kind == body.Object {
			s.objects = append(s.objects, i)
		}
		for c := i + 1; c < n.Next; c = t.Nodes[c].Next {
			m.parents[c] = i
			if n.Kind == body.Object {
				s.members = append(s.members, c)
			} else {
				s.elements = append(s.elements, c)
			}
		}
	}
	return s
}

// isReference reports whether a value looks like an identifier: by its name, or
// because it is a UUID.
func isReference(t *body.Tree, i int32) bool {
	if k := t.Nodes[i].Kind; k != body.String && k != body.Number {
		return false
	}
	name := string(t.Name(i))
	return strings.EqualFold(name, "id") || strings.HasSuffix(name, "_id") || strings.HasSuffix(name, "Id") || strings.HasSuffix(name, "ID") ||
		t.Nodes[i].Kind == body.String && isUUID(t.Value(i))
}

func (m *mutator) replace(flaw Flaw, i int32, with []byte) {
	n := &m.tree.Nodes[i]
	m.edit(flaw, splice{n.Start, n.End, with})
}

// otherValue writes another value of the same type, nil where there is none.
func (m *mutator) otherValue(i int32) []byte {
	text := m.tree.Text(i)
	switch m.tree.Nodes[i].Kind {
	case body.True:
		return []byte("false")
	case body.False:
		return []byte("true")
	case body.Number:
		return otherNumber(m.random, text)
	case body.String:
		inner := text[1 : len(text)-1]
		if len(inner) > 0 && bytes.IndexByte(inner, '\\') < 0 {
			if changed := alterText(m.random, inner); changed != nil {
				return quoted(changed)
			}
		}
		return quoted(append(bytes.Clone(inner), 'x'))
	}
	return nil
}

func quoted(text []byte) []byte { return append(append([]byte{'"'}, text...), '"') }

// otherNumber changes the last digit of a number, or makes it larger by far.
func otherNumber(random *dice, text []byte) []byte {
	out := bytes.Clone(text)
	if last := &out[len(out)-1]; random.intN(2) == 0 {
		if *last = '0' + (*last-'0'+1)%10; !body.EqualNumbers(text, out) {
			return out
		}
	}
	sign := bytes.HasPrefix(text, []byte("-"))
	digits := bytes.TrimPrefix(text, []byte("-"))
	if digits[0] == '0' {
		digits = append([]byte("1"), digits[1:]...)
	} else {
		digits = append([]byte("1"), digits...)
	}
	if sign {
		digits = append([]byte("-"), digits...)
	}
	return digits
}

// otherType writes a value as one of another type.
func otherType(t *body.Tree, i int32) []byte {
	switch t.Nodes[i].Kind {
	case body.Number:
		return quoted(t.Text(i))
	case body.String:
		return []byte("null")
	case body.Null:
		return []byte("{}")
	}
	return []byte("0")
}

// remove takes a member or an element out.
func (m *mutator) remove(flaw Flaw, i int32) {
	t := m.tree
	n, parent := &t.Nodes[i], &t.Nodes[m.parents[i]]
	switch {
	case parent.Count == 1:
		m.edit(flaw, splice{parent.Start + 1, parent.End - 1, nil})
	case n.Next < parent.Next: // another follows
		m.edit(flaw, splice{m.start(i), m.start(n.Next), nil})
	default:
		m.edit(flaw, splice{t.Nodes[m.before(i)].End, n.End, nil})
	}
}

// start is where a node begins, the name of a member included.
func (m *mutator) start(i int32) int32 {
	n := &m.tree.Nodes[i]
	if m.tree.Nodes[m.parents[i]].Kind == body.Object {
		return n.KeyStart - 1
	}
	return n.Start
}

// before returns the sibling before a node that has one.
func (m *mutator) before(i int32) int32 {
	c := m.parents[i] + 1
	for m.tree.Nodes[c].Next != i {
		c = m.tree.Nodes[c].Next
	}
	return c
}

// grow adds a member to an object.
func (m *mutator) grow(i int32) {
	n := &m.tree.Nodes[i]
	member := []byte(`,"parallax_added":1`)
	if n.Count == 0 {
		member = member[1:]
	}
	m.edit(FieldAdded, splice{n.End - 1, n.End - 1, member})
}

// swap lets an element change places with the one behind it, unless both are one
// value however it is written.
func (m *mutator) swap(i int32) {
	t := m.tree
	next := t.Nodes[i].Next
	if next == t.Nodes[m.parents[i]].Next {
		return
	}
	var a, b any
	if json.Unmarshal(t.Text(i), &a) != nil || json.Unmarshal(t.Text(next), &b) != nil || reflect.DeepEqual(a, b) {
		return
	}
	m.edit(ItemsSwapped, splice{t.Nodes[i].Start, t.Nodes[i].End, t.Text(next)}, splice{t.Nodes[next].Start, t.Nodes[next].End, t.Text(i)})
}

// refer gives an identifier the value of another one of the document, or one that
// nobody has.
func (m *mutator) refer(all []int32, i int32) {
	t := m.tree
	for _, k := range m.random.perm(len(all)) {
		if other := all[k]; t.Nodes[other].Kind == t.Nodes[i].Kind && !body.SameScalar(t, i, t, other) {
			m.replace(WrongReference, i, t.Text(other))
			return
		}
	}
	m.replace(WrongReference, i, m.otherValue(i))
}
