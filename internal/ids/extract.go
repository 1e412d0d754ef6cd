package ids

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// Bounds of what is looked at.
const (
	maxDecoded = 8 << 20 // bytes of a decoded body; a longer one is not looked into
	maxValue   = 8 << 10 // bytes of one value; a longer one is no identifier
)

// MaxSpots bounds the values that are found in one message; further ones are not
// looked at.
const MaxSpots = 10_000

// Spot is a value of an identifier in a message, and where it stands.
type Spot struct {
	*Identifier
	Born  bool
	Key   string // what it is known by in a Map
	Place string // as it was written
	Index int    // of the place, among those of its kind (from, in) on its leg
	Bare  bool   // the place is a bare one: the value may be none of the identifier's
	Span  Span
}

// Ref is the spot's value as one of a leg.
func (s Spot) Ref(leg parallax.Leg) Ref { return Ref{s.Name, leg, s.Key} }

// Span is a range of bytes of a part of a message. Spots of several identifiers
// may share one.
type Span struct {
	part       part
	index      int // of the header
	start, end int
	spelling   spelling
}

// Empty reports whether the span says in which header the value stands, but not
// where: in a Location that is not written as addresses are.
func (s Span) Empty() bool { return s.start == s.end }

// Number reports whether the value is written as a JSON number.
func (s Span) Number() bool { return s.spelling == asNumber }

type part uint8

const (
	ofTarget part = iota
	ofHeader
	ofBody
)

// NamesRecord reports whether the value stands where requests name what they are
// about: in the path, the query or the body, and not in a header.
func (s Span) NamesRecord() bool { return s.part != ofHeader }

// spelling says how a value is written where it stands.
type spelling uint8

const (
	asField spelling = iota
	asCookie
	asSegment
	asParameter
	asText   // JSON
	asNumber // JSON
)

// finder collects spots.
type finder struct {
	sheet *Sheet
	spots []Spot
	seen  map[seen]bool
}

// seen is a value that was found; one that is born there is not named there as
// well.
type seen struct {
	id   *Identifier
	span Span
	key  string
}

func (f *finder) add(p *sheetPlace, value string, span Span) {
	if value == "" || len(value) > maxValue || len(f.spots) >= MaxSpots || p.bare() && Bits(value) < BareBits {
		return
	}
	s := Spot{Identifier: p.id, Born: p.born, Key: f.sheet.Key(p.id, value), Place: p.text, Index: p.index, Bare: p.bare(), Span: span}
	at := seen{p.id, span, s.Key}
	if f.seen[at] {
		return
	}
	if f.seen == nil {
		f.seen = map[seen]bool{}
	}
	f.seen[at] = true
	f.spots = append(f.spots, s)
}

// InRequest returns the values that a request names. b is its body; that of a
// coded one has to be decoded before.
func (s *Sheet) InRequest(r *parallax.Request, b []byte) []Spot {
	f := &finder{sheet: s}
	path, query, _ := strings.Cut(r.Target, "?")
	for i := range s.places {
		p := &s.places[i]
		if p.born {
			continue
		}
		switch p.kind {
		case inPath:
			if start, end, ok := p.where.find(path); ok {
				f.segment(p, path, start, end)
			}
		case anyInPath:
			f.segments(p, path)
		case inQuery, anyInQuery:
			f.parameters(query, len(path)+1, Span{part: ofTarget}, func(name string, _ int) []*sheetPlace {
				if p.kind == anyInQuery || p.name == name {
					return []*sheetPlace{p}
				}
				return nil
			})
		case inHeader, inTagList:
			f.headers(p, r.Headers, p.name)
		case inCookie:
			f.cookies(p, r.Headers)
		}
	}
	f.body(contentType(r.Headers), b, false)
	return f.spots
}

// BornIn returns the values that an answer makes up, as InAnswer does.
func (s *Sheet) BornIn(r *parallax.Response) []Spot {
	born := *s
	born.places = s.born
	return born.InAnswer(r)
}

// InAnswer returns the values in an answer, born there or not. Of a body that is
// cut, neither JSON nor a form, or longer than 8 MiB when it is decoded, it returns none.
func (s *Sheet) InAnswer(r *parallax.Response) []Spot {
	f := &finder{sheet: s}
	for i := range s.places {
		p := &s.places[i]
		switch p.kind {
		case inHeader, inTagList, inNextLink:
			if p.id.qualifier == byItself || p.born {
				f.headers(p, r.Headers, p.name)
			}
		case inLocation:
			f.headers(p, r.Headers, "Location")
		case inCookie:
			f.cookies(p, r.Headers)
		}
	}
	if !s.HasBody() || r.Body.Cut || len(r.Body.Bytes) == 0 {
		return f.spots
	}
	kind := contentType(r.Headers)
	if !isJSON(kind) && kind != formType {
		return f.spots
	}
	if b, err := body.Decode(joined(r.Headers, "Content-Encoding"), r.Body.Bytes, maxDecoded); err == nil {
		f.body(kind, b, true)
	}
	return f.spots
}

func (f *finder) segment(p *sheetPlace, path string, start, end int) {
	if value, err := url.PathUnescape(path[start:end]); err == nil {
		f.add(p, value, Span{part: ofTarget, start: start, end: end, spelling: asSegment})
	}
}

func (f *finder) segments(p *sheetPlace, path string) {
	for start := 0; start < len(path); {
		end := len(path)
		if i := strings.IndexByte(path[start:], '/'); i >= 0 {
			end = start + i
		}
		f.segment(p, path, start, end)
		start = end + 1
	}
}

// parameters looks at the pairs of a query or a form, which begins at an offset of
// the part that a span is in. which returns the places that a parameter is, given its
// name and how many of that name went before; how many follow is not known.
func (f *finder) parameters(query string, offset int, span Span, which func(name string, index int) []*sheetPlace) {
	var before map[string]int
	for start := 0; start < len(query); {
		end := len(query)
		if i := strings.IndexByte(query[start:], '&'); i >= 0 {
			end = start + i
		}
		raw, text, ok := strings.Cut(query[start:end], "=")
		from := offset + start + len(raw) + 1
		start = end + 1
		if !ok {
			continue
		}
		name, err := url.QueryUnescape(raw)
		value, wrong := url.QueryUnescape(text)
		if err != nil || wrong != nil {
			continue
		}
		if before == nil {
			before = map[string]int{}
		}
		for _, p := range which(name, before[name]) {
			span.start, span.end, span.spelling = from, from+len(text), asParameter
			f.add(p, value, span)
		}
		before[name]++
	}
}

func (f *finder) headers(p *sheetPlace, fields []parallax.Field, name string) {
	for i, field := range fields {
		if !strings.EqualFold(field.Name, name) {
			continue
		}
		span := Span{part: ofHeader, index: i, spelling: asField}
		switch p.kind {
		case inTagList:
			for _, at := range tags(field.Value) {
				span.start, span.end = at[0], at[1]
				f.add(p, field.Value[at[0]:at[1]], span)
			}
		case inNextLink:
			for _, at := range nextQueries(field.Value) {
				f.parameters(field.Value[at[0]:at[1]], at[0], span, func(name string, _ int) []*sheetPlace {
					if slices.Contains(cursorParameters, name) {
						return []*sheetPlace{p}
					}
					return nil
				})
			}
		case inLocation:
			f.location(p, field.Value, span)
		default:
			span.start, span.end = token(field.Value)
			if value := field.Value[span.start:span.end]; p.id.Name != LastModified || !isTag(value) {
				f.add(p, value, span)
			}
		}
	}
}

// location looks at the path of an address.
func (f *finder) location(p *sheetPlace, address string, span Span) {
	u, err := url.Parse(address)
	if err != nil {
		return
	}
	path := u.EscapedPath()
	if start, end, ok := p.where.find(path); ok {
		if value, err := url.PathUnescape(path[start:end]); err == nil {
			if before, _, ok := strings.Cut(address, path); ok {
				span.start, span.end, span.spelling = len(before)+start, len(before)+end, asSegment
			}
			f.add(p, value, span)
		}
	}
}

// token returns where the value of a header stands: behind a scheme such as
// Bearer, if there is one and nothing else.
func token(text string) (start, end int) {
	scheme, value, ok := strings.Cut(text, " ")
	if ok && parallax.IsToken(scheme) && value != "" && !strings.ContainsAny(value, " ,") {
		return len(scheme) + 1, len(text)
	}
	return 0, len(text)
}

// tags returns where the entity tags of a list stand. A time, which If-Range may hold
// in their place, has none.
func tags(list string) (at [][2]int) {
	if _, err := http.ParseTime(list); err == nil {
		return nil
	}
	start, quoted := 0, false
	for i := 0; i <= len(list); i++ {
		if i < len(list) {
			if list[i] == '"' {
				quoted = !quoted
			}
			if quoted || list[i] != ',' {
				continue
			}
		}
		from, to := start, i
		for from < to && (list[from] == ' ' || list[from] == '\t') {
			from++
		}
		for to > from && (list[to-1] == ' ' || list[to-1] == '\t') {
			to--
		}
		if tag := list[from:to]; tag != "" && tag != "*" && (isTag(tag) || !strings.Contains(tag, " ")) {
			at = append(at, [2]int{from, to})
		}
		start = i + 1
	}
	return at
}

func isTag(text string) bool { return strings.HasPrefix(text, `"`) || strings.HasPrefix(text, `W/"`) }

// nextQueries returns where the queries of the addresses stand whose rel is next, in a
// Link header (RFC 8288).
func nextQueries(link string) (at [][2]int) {
	for end := 0; ; {
		open := strings.IndexByte(link[end:], '<')
		if open < 0 {
			return at
		}
		open += end + 1
		size := strings.IndexByte(link[open:], '>')
		if size < 0 {
			return at
		}
		end = open + size
		parameters, _, _ := strings.Cut(link[end+1:], "<")
		address, _, _ := strings.Cut(link[open:end], "#")
		if start := strings.IndexByte(address, '?'); start >= 0 && isNext(parameters) {
			at = append(at, [2]int{open + start + 1, open + len(address)})
		}
	}
}

// isNext reports whether the parameters of a link say that it leads to the next
// page.
func isNext(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "rel") {
			for word := range strings.FieldsSeq(strings.Trim(strings.TrimRight(value, " ,"), `"`)) {
				if strings.EqualFold(word, "next") {
					return true
				}
			}
		}
	}
	return false
}

// cookies looks at Cookie and Set-Cookie.
func (f *finder) cookies(p *sheetPlace, fields []parallax.Field) {
	for i, field := range fields {
		sets := strings.EqualFold(field.Name, "Set-Cookie")
		if !sets && !strings.EqualFold(field.Name, "Cookie") {
			continue
		}
		at := 0
		for pair := range strings.SplitSeq(field.Value, ";") {
			start := at
			at += len(pair) + 1
			name, value, ok := strings.Cut(pair, "=")
			if ok && strings.TrimSpace(name) == p.name {
				from := start + len(name) + 1
				trimmed := strings.Trim(value, " \t\"")
				from += strings.Index(value, trimmed)
				f.add(p, trimmed, Span{part: ofHeader, index: i, start: from, end: from + len(trimmed), spelling: asCookie})
			}
			if sets {
				break // what follows are attributes
			}
		}
	}
}

// body looks at a JSON or form body.
func (f *finder) body(kind string, b []byte, born bool) {
	if len(b) == 0 || len(b) > maxDecoded {
		return
	}
	var places []*sheetPlace
	for i := range f.sheet.places {
		if p := &f.sheet.places[i]; (p.kind == inBody || p.kind == anyInBody) && (born || !p.born) {
			places = append(places, p)
		}
	}
	switch {
	case len(places) == 0:
	case isJSON(kind):
		if tree, err := body.ParseJSON(b, body.DefaultLimits); err == nil {
			f.tree(places, tree)
		}
	case kind == formType:
		f.form(places, string(b))
	}
}

func (f *finder) form(places []*sheetPlace, b string) {
	f.parameters(b, 0, Span{part: ofBody}, func(name string, index int) []*sheetPlace {
		var out []*sheetPlace
		steps := []body.Step{{Name: name}, {Element: true, Index: index}}
		for _, p := range places {
			if p.kind == anyInBody || p.path.Matches(steps[:1]) || p.path.Matches(steps) {
				out = append(out, p)
			}
		}
		return out
	})
}

// tree looks at the texts and numbers of a document.
func (f *finder) tree(places []*sheetPlace, t *body.Tree) {
	var walk func(i int32, steps []body.Step)
	walk = func(i int32, steps []body.Step) {
		n := &t.Nodes[i]
		switch n.Kind {
		case body.String, body.Number:
			f.scalar(places, t, i, steps)
		case body.Object, body.Array:
			child := i + 1
			for index := range int(n.Count) {
				step := body.Step{Element: true, Index: index, Len: int(n.Count)}
				next := t.Nodes[child].Next
				if n.Kind == body.Object {
					name := t.Name(child)
					if next == child+1 && !mayBe(places, name) { // Fast path: no identifier is called so (BenchmarkInAnswer).
						child = next
						continue
					}
					step = body.Step{Name: string(name)}
				}
				walk(child, append(steps, step))
				child = next
			}
		}
	}
	walk(0, make([]body.Step, 0, 16))
}

// mayBe reports whether any of the places may be a member of a name.
func mayBe(places []*sheetPlace, name []byte) bool {
	return slices.ContainsFunc(places, func(p *sheetPlace) bool { return p.kind != inBody || p.path.MayEnd(name) })
}

func (f *finder) scalar(places []*sheetPlace, t *body.Tree, i int32, steps []body.Step) {
	n := &t.Nodes[i]
	for _, p := range places {
		if p.kind == inBody && !p.path.Matches(steps) {
			continue
		}
		span := Span{part: ofBody, start: int(n.Start), end: int(n.End), spelling: asNumber}
		value := t.Text(i)
		if n.Kind == body.String {
			span.spelling, value = asText, t.Value(i)
		}
		f.add(p, string(value), span)
	}
}

func contentType(fields []parallax.Field) string {
	kind, _, _ := strings.Cut(joined(fields, "Content-Type"), ";") // whatever its parameters look like
	return strings.ToLower(strings.TrimSpace(kind))
}

const formType = "application/x-www-form-urlencoded"

func isJSON(kind string) bool {
	return kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json")
}

// joined returns all values of a header, with commas between them.
func joined(fields []parallax.Field, name string) string {
	var out string
	for _, f := range fields {
		if !strings.EqualFold(f.Name, name) {
			continue
		}
		if out != "" {
			out += ", "
		}
		out += f.Value
	}
	return out
}
