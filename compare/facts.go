package compare

import (
	"bytes"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// Fact is one thing about a request or about how it was answered: what stands at a
// place. A place may have several values in one exchange, such as the prices of items.
type Fact struct {
	Place string // in words, such as: path {id}, query page, header accept, body $.items[*].price
	Value string // as JSON; empty: something is there, and its value says nothing

	Answer bool // of what the primary answered, and not of what was asked
}

// StatusFact is the place of the status that the primary answered with.
const StatusFact = "status of the primary"

const (
	maxFacts      = 400 // of one exchange
	maxFactValue  = 80  // bytes of a value, beyond which it says nothing
	maxFactPlace  = 200 // bytes; what is longer is left out
	maxFactTarget = 8 << 10
)

// Facts lists what can be said about a call of an endpoint: the variables of its path,
// its query, its headers, its body, and the status and body of its answer. Values that
// were redacted say nothing.
func Facts(endpoint string, c *parallax.Call) []Fact {
	f := facts{}
	if len(c.Request.Target) <= maxFactTarget {
		path, query, _ := strings.Cut(c.Request.Target, "?")
		f.path(endpoint, path)
		f.query(query)
	}
	f.headers(c.Request.Headers)
	f.body("body", c.Request.Headers, &c.Request.Body)
	f.answer = true
	f.add(StatusFact, strconv.Itoa(c.Response.Status))
	f.body("answer of the primary", c.Response.Headers, &c.Response.Body)
	return f.list
}

// facts collects facts up to their bound.
type facts struct {
	list   []Fact
	answer bool // what is added now is of the answer
}

func (f *facts) add(place, value string) {
	if len(value) > maxFactValue || IsRedacted([]byte(value)) {
		value = ""
	}
	if len(f.list) < maxFacts && len(place) <= maxFactPlace {
		f.list = append(f.list, Fact{place, value, f.answer})
	}
}

// text adds what stands as text outside of JSON: a number where it is written as one.
func (f *facts) text(place, value string) {
	if t, err := body.ParseJSON([]byte(value), body.Limits{Depth: 1, Nodes: 1}); err == nil && t.Nodes[0].Kind == body.Number {
		f.add(place, value)
		return
	}
	f.add(place, string(body.AppendQuoted(nil, value)))
}

func (f *facts) path(endpoint, path string) {
	_, template, _ := strings.Cut(endpoint, " ")
	names, values := strings.Split(template, "/"), strings.Split(path, "/")
	for i := range min(len(names), len(values)) {
		if strings.HasPrefix(names[i], "{") {
			value, err := url.PathUnescape(values[i])
			if err != nil {
				value = values[i]
			}
			f.text("path "+names[i], value)
		}
	}
}

// query adds parameters; what url.ParseQuery drops, such as one with a semicolon, is not
// worth a fact.
func (f *facts) query(query string) {
	values, _ := url.ParseQuery(query)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			f.text("query "+name, value)
		}
	}
}

// headers adds the caller's headers. Of cookies only the names count, and what Parallax
// adds by itself is no trait of the request.
func (f *facts) headers(fields []parallax.Field) {
	for _, h := range fields {
		switch name := strings.ToLower(h.Name); {
		case name == "cookie":
			for pair := range strings.SplitSeq(h.Value, ";") {
				cookie, _, _ := strings.Cut(strings.TrimSpace(pair), "=")
				f.add("cookie "+cookie, "")
			}
		case !strings.HasPrefix(name, "x-parallax-"):
			f.text("header "+name, h.Value)
		}
	}
}

func (f *facts) body(of string, fields []parallax.Field, b *parallax.Body) {
	if b.Size == 0 {
		return
	}
	f.add(of, "")
	plain, err := body.Decode(header(fields, "content-encoding"), b.Bytes, 1<<20)
	if err != nil || b.Cut {
		return
	}
	limits := body.Limits{Depth: 32, Nodes: 20_000}
	t, err := body.ParseJSON(plain, limits)
	if strings.HasPrefix(header(fields, "content-type"), "application/x-www-form-urlencoded") {
		t, err = body.ParseForm(bytes.Clone(plain), limits)
	}
	if err == nil && len(t.Nodes) > 0 {
		f.node(of+" ", t, 0, []byte("$"))
	}
}

// node adds a value and what is below it. Of an array its length is a fact.
func (f *facts) node(of string, t *body.Tree, i int32, path []byte) {
	if len(f.list) >= maxFacts {
		return
	}
	n := &t.Nodes[i]
	switch n.Kind {
	case body.Array:
		f.add("number of elements of "+of+string(path), strconv.Itoa(int(n.Count)))
	case body.Object:
		f.add(of+string(path), "")
	default:
		f.add(of+string(path), string(t.Text(i)))
		return
	}
	for c := i + 1; c < n.Next; c = t.Nodes[c].Next {
		step := body.Step{Element: n.Kind == body.Array, Implied: n.Kind == body.Array && t.Lax}
		if !step.Element {
			step.Name = string(t.Name(c))
		}
		f.node(of, t, c, appendNormal(path[:len(path):len(path)], &step))
	}
}
