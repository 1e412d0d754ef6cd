package mirror

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// mask keeps chosen fields of requests from the candidate while it is a shadow.
// A value is replaced by another of the same shape: digits by digits, letters by
// letters, everything else stays, so that what was a number, an address or a
// card's number still reads as one. It is made of the value under a key, so that
// equal values stay equal. It does not change and may be shared.
type mask struct {
	macs             *macs
	headers, cookies []string
	query            []string
	paths            []*body.Path
}

// errUnmaskable is why a request is not sent whose body may hold a field that is
// to be kept from the candidate.
var errUnmaskable = errors.New("mirror.request.mask names fields of the body, and this body cannot be read: it is neither JSON nor a form")

// errNoRoomToMask is why a request is not sent whose masked copy has no room.
var errNoRoomToMask = errors.New("there is no room for a masked copy of the request's body")

// newMask compiles the places of mirror.request.mask and returns everything that
// is wrong with them. Without places there is no mask.
func newMask(places []string, key *macs) (*mask, []parallax.Fault) {
	if len(places) == 0 {
		return nil, nil
	}
	m := &mask{macs: key}
	var faults []parallax.Fault
	for i, place := range places {
		if text, hint := m.add(place); text != "" {
			faults = append(faults, parallax.Fault{Path: fmt.Sprintf("mask[%d]", i), Text: text, Hint: hint})
		}
	}
	return m, faults
}

// add takes one place, or says what is wrong with it.
func (m *mask) add(place string) (text, hint string) {
	if strings.HasPrefix(place, "$") {
		path, err := body.ParsePath(place)
		if wrong := (*body.PathError)(nil); errors.As(err, &wrong) {
			return fmt.Sprintf("column %d: %s", wrong.Column, wrong.Text), "write a path such as $.card.number"
		}
		m.paths = append(m.paths, path)
		return "", ""
	}
	kind, name, _ := strings.Cut(place, ":")
	lists := map[string]*[]string{"header": &m.headers, "cookie": &m.cookies, "query": &m.query}
	list := lists[kind]
	switch {
	case list == nil || name == "":
		return fmt.Sprintf("%.80q names no place in a request", place), "write header:NAME, cookie:NAME, query:NAME or a path in the body such as $.card.number"
	case kind == "header" && (!parallax.IsToken(name) || forbidden(name)):
		return fmt.Sprintf("%.80q is no header that can be masked", name), headerHint
	}
	*list = append(*list, name)
	return "", ""
}

// conceal masks what the candidate is not to see of a shadow request. n is the
// request with other identifiers, if it has any; what is masked comes on top.
func (f *flight) conceal(l *leg, c *parallax.Call, n *renamed) *renamed {
	m := f.service.mask
	if m == nil || l.name != parallax.Candidate || unfit(c) != nil {
		return n
	}
	content, other := []byte(nil), n != nil && n.other
	if other {
		content = n.body
	} else if f.body != nil {
		content = f.body.copy.bytes
	}
	masked, coded, err := m.body(c.Request.Headers, content)
	m.request(&c.Request)
	if err == nil && len(masked) > 0 && &masked[0] != &content[0] && !f.m.deps.Budget.Reserve(int64(cap(masked))) {
		err = errNoRoomToMask
	}
	switch {
	case err != nil:
		c.Err = parallax.CallErr{Kind: parallax.NotAsked, Text: err.Error()}
		return n
	case len(masked) == 0 || &masked[0] == &content[0]:
		return n
	}
	c.Request.Headers = ofOtherBody(c.Request.Headers, coded)
	f.naming.mu.Lock()
	defer f.naming.mu.Unlock()
	if other {
		f.m.deps.Budget.Release(int64(cap(n.body)))
	}
	n = &renamed{target: c.Request.Target, headers: c.Request.Headers, body: masked, other: true}
	f.naming.prepared[l.name] = n
	return n
}

// request masks the head of a request in place. Its headers must be its own.
func (m *mask) request(r *parallax.Request) {
	for i := range r.Headers {
		h := &r.Headers[i]
		switch {
		case contains(m.headers, h.Name):
			h.Value = m.headerValue(h.Value)
		case len(m.cookies) > 0 && sameName(h.Name, "Cookie"):
			h.Value = m.pairs(h.Value, ';', m.cookies, false)
		}
	}
	if path, query, found := strings.Cut(r.Target, "?"); found && len(m.query) > 0 {
		r.Target = path + "?" + m.pairs(query, '&', m.query, true)
	}
}

// headerValue masks a header's value; a scheme such as Bearer stays.
func (m *mask) headerValue(value string) string {
	if scheme, credentials, ok := strings.Cut(value, " "); ok && (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "basic")) {
		return scheme + " " + m.value(credentials)
	}
	return m.value(value)
}

// pairs masks the values of those names in a list of name=value; the values may be
// escaped as in a query.
func (m *mask) pairs(text string, separator byte, names []string, escaped bool) string {
	parts := strings.Split(text, string(separator))
	for i, part := range parts {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			continue
		}
		if !escaped {
			if slices.Contains(names, strings.TrimSpace(name)) {
				parts[i] = name + "=" + m.value(value)
			}
			continue
		}
		if slices.Contains(names, unescapedName(name)) {
			parts[i] = name + "=" + url.QueryEscape(m.value(unescapedName(value)))
		}
	}
	return strings.Join(parts, string(separator))
}

// body returns a request's body with its fields masked, as another slice unless
// nothing in it is; coded says that its content coding was taken off. What cannot be
// read to be masked is an error: better no comparison than a field that leaks.
func (m *mask) body(headers []parallax.Field, text []byte) (out []byte, coded bool, err error) {
	if len(m.paths) == 0 || len(text) == 0 {
		return text, false, nil
	}
	encoding := strings.Join(values(headers, "Content-Encoding"), ",")
	plain, err := body.Decode(encoding, text, maxNamedBody)
	if err != nil {
		return nil, false, errUnmaskable
	}
	media, _, _ := strings.Cut(strings.ToLower(strings.Join(values(headers, "Content-Type"), ",")), ";")
	if strings.TrimSpace(media) == "application/x-www-form-urlencoded" && !looksLikeJSON(plain) {
		out = []byte(m.form(string(plain)))
	} else if out, err = m.json(plain); err != nil {
		return nil, false, err
	}
	if bytes.Equal(out, plain) {
		return text, false, nil
	}
	return out, encoding != "", nil
}

// looksLikeJSON reports whether what is called a form begins as documents do: clients
// that send JSON so are common, and there are servers that read it.
func looksLikeJSON(text []byte) bool {
	text = bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), " \t\r\n")
	return len(text) > 0 && (text[0] == '{' || text[0] == '[')
}

func (m *mask) json(text []byte) ([]byte, error) {
	tree, err := body.ParseJSON(text, body.DefaultLimits)
	if err != nil {
		return nil, errUnmaskable
	}
	d := maskedDocument{mask: m, tree: tree}
	d.value(0, false)
	d.out.Write(text[d.end:])
	return d.out.Bytes(), nil
}

// form masks the fields that the paths name: $.email is the field email.
func (m *mask) form(text string) string {
	parts := strings.Split(text, "&")
	for i, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		if m.covers([]body.Step{{Name: unescapedName(name)}}) && value != "" {
			parts[i] = name + "=" + url.QueryEscape(m.value(unescapedName(value)))
		}
	}
	return strings.Join(parts, "&")
}

func (m *mask) covers(steps []body.Step) bool {
	return slices.ContainsFunc(m.paths, func(p *body.Path) bool { return p.Covers(steps) })
}

// maskedDocument masks one JSON document by copying it, but for what is masked.
type maskedDocument struct {
	*mask
	tree  *body.Tree
	steps []body.Step
	out   bytes.Buffer
	end   int32 // of what is copied or masked
}

func (d *maskedDocument) value(i int32, masked bool) {
	n := &d.tree.Nodes[i]
	masked = masked || d.covers(d.steps)
	switch {
	case n.Kind == body.Array || n.Kind == body.Object:
		index := 0
		for child := i + 1; child < n.Next; child = d.tree.Nodes[child].Next {
			step := body.Step{Element: n.Kind == body.Array, Index: index, Len: int(n.Count)}
			if !step.Element {
				step.Name = string(d.tree.Name(child))
			}
			d.steps = append(d.steps, step)
			d.value(child, masked)
			d.steps = d.steps[:len(d.steps)-1]
			index++
		}
	case !masked:
	case n.Kind == body.String:
		quoted, _ := json.Marshal(d.mask.value(string(d.tree.Value(i)))) // a string always encodes
		d.replace(n, string(quoted))
	case n.Kind == body.Number:
		d.replace(n, d.number(string(d.tree.Text(i))))
	}
}

func (d *maskedDocument) replace(n *body.Node, text string) {
	d.out.Write(d.tree.Source[d.end:n.Start])
	d.out.WriteString(text)
	d.end = n.End
}

// number masks a number: as many digits, none of them a zero, and the sign, the
// point and the exponent stay.
func (m *mask) number(text string) string {
	mantissa := len(text)
	if e := strings.IndexAny(text, "eE"); e >= 0 {
		mantissa = e
	}
	out, masked := []byte(text), m.stream(text)
	for i := range mantissa {
		if out[i] >= '0' && out[i] <= '9' {
			out[i] = '1' + masked.next()%9
		}
	}
	fixCheckDigit(text, out)
	return string(out)
}

// value masks a text.
func (m *mask) value(text string) string {
	out, masked := []byte(text), m.stream(text)
	for i, c := range out {
		out[i] = shaped(c, masked.next())
	}
	fixCheckDigit(text, out)
	return string(out)
}

// shaped returns a byte of the same sort: a digit for a digit, a letter for a
// letter of its case. Parts of characters beyond ASCII become letters, so that no
// name shows through.
func shaped(c, by byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return '0' + by%10
	case c >= 'a' && c <= 'z', c >= 0x80:
		return 'a' + by%26
	case c >= 'A' && c <= 'Z':
		return 'A' + by%26
	}
	return c
}

// keyStream is a sequence of bytes that follows from a value and the key.
type keyStream struct {
	macs  *macs
	text  string
	block [32]byte
	used  int
	count int
}

func (m *mask) stream(text string) *keyStream {
	return &keyStream{macs: m.macs, text: text, used: len(keyStream{}.block)}
}

func (s *keyStream) next() byte {
	if s.used == len(s.block) {
		s.block = of(s.macs, fmt.Sprintf("parallax mask 1\n%d\n", s.count), s.text)
		s.used, s.count = 0, s.count+1
	}
	s.used++
	return s.block[s.used-1]
}

// leastCard is how many digits a payment card's number has at least.
const leastCard = 12

// fixCheckDigit sets the last digit so that the checksum of ISO/IEC 7812-1 holds
// if it held before: a service that checks it shall not refuse what is masked.
func fixCheckDigit(text string, out []byte) {
	n, sum := luhnSum([]byte(text))
	if n < leastCard || sum != 0 {
		return
	}
	last := bytes.LastIndexAny(out, "0123456789")
	out[last] = '0'
	if _, sum = luhnSum(out); sum != 0 {
		out[last] = '0' + byte(10-sum)
	}
}

// luhnSum returns how many digits a text has and their checksum, 0 to 9. A text
// with anything but digits, blanks and dashes has none.
func luhnSum(text []byte) (digits, sum int) {
	for i := len(text) - 1; i >= 0; i-- {
		c := text[i]
		switch {
		case c == ' ' || c == '-':
			continue
		case c < '0' || c > '9':
			return 0, 0
		}
		d := int(c - '0')
		if digits%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		digits, sum = digits+1, sum+d
	}
	return digits, sum % 10
}
