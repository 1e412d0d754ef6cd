package compare

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"mime"
	"regexp"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// wasEncoded is the header that a stored message has in place of
// Content-Encoding when its body is stored decoded.
const wasEncoded = "X-Parallax-Was-Encoded"

// wasOfType is the header that a stored message has in place of Content-Type when
// its body is stored as the tree it was read as.
const wasOfType = "X-Parallax-Was-Type"

// removedNote stands for a body that could not be read to be redacted.
const removedNote = "[removed by parallax: this body could not be decoded, so that secrets in it could not be found]"

// message redacts the headers and the body of a request or a response. What was
// left to be hashed once it is stored is hashed here, while its bytes are there.
func (s *scrubber) message(fields []parallax.Field, b parallax.Body) ([]parallax.Field, parallax.Body) {
	out := s.fields(fields)
	b.SHA256 = b.Sum()
	if len(b.Bytes) == 0 {
		return out, b
	}
	coding := header(fields, "content-encoding")
	codings, err := body.Codings(coding)
	plain := b.Bytes
	if err == nil && len(codings) > 0 {
		if b.Cut {
			return withoutCoding(out), s.replaced(b, []byte(removedNote))
		}
		plain, err = body.Decode(coding, b.Bytes, maxDecoded)
	}
	if err != nil {
		return withoutCoding(out), s.replaced(b, []byte(removedNote))
	}
	whole := plain
	if b.Cut {
		whole = []byte(s.withoutBeginning(string(plain)))
	}
	contentType := header(fields, "content-type")
	if clean, ok := s.asMessage(fields, whole, b.Cut); ok {
		return asTreeOf(withoutCoding(out), messageTreeType), s.replaced(b, clean)
	}
	if clean, ok := s.asTree(whole, contentType, b.Cut); ok {
		return asTreeOf(withoutCoding(out), laxTreeType), s.replaced(b, clean)
	}
	clean := s.content(whole, contentType)
	if bytes.Equal(clean, plain) {
		return out, b
	}
	return withoutCoding(out), s.replaced(b, clean)
}

// asTree redacts a body that is read as a tree, but is not JSON, where
// configuration names places in bodies: as the tree that paths are about. It does so
// whether there is something to redact or not, so that two bodies of one format stay
// of one format. A body that cannot be read is left out.
func (s *scrubber) asTree(plain []byte, contentType string, cut bool) (clean []byte, ok bool) {
	format := FormatOf(contentType)
	if len(s.paths) == 0 || !format.structured() || format == JSON || format == laxTree {
		return nil, false
	}
	c := content{format: format, text: plain}
	_, params, err := mime.ParseMediaType(contentType)
	if err == nil {
		c.boundary = params["boundary"]
		c.text, err = body.ToUTF8(params["charset"], plain)
	}
	if err != nil || cut {
		return []byte(removedNote), true
	}
	tree, err := c.tree()
	if err != nil {
		return []byte(removedNote), true
	}
	d := document{scrubber: s, tree: tree}
	d.value(0, false)
	d.out.Write(tree.Source[d.end:])
	return []byte(s.text(d.out.String())), true
}

// asTreeOf says in the headers that the body is stored as the tree it was read as,
// and of what media type that is.
func asTreeOf(fields []parallax.Field, media string) []parallax.Field {
	for i := range fields {
		if strings.EqualFold(fields[i].Name, "content-type") {
			fields[i].Name = wasOfType
		}
	}
	return append(fields, parallax.Field{Name: "Content-Type", Value: media})
}

// StoredAsTree reports whether the body of a stored message with these headers is
// the tree that it was read as, and not what was sent.
func StoredAsTree(fields []parallax.Field) bool { return header(fields, wasOfType) != "" }

// withoutCoding says in the headers that the body is stored decoded.
func withoutCoding(fields []parallax.Field) []parallax.Field {
	for i := range fields {
		if strings.EqualFold(fields[i].Name, "content-encoding") {
			fields[i].Name = wasEncoded
		}
	}
	return fields
}

// replaced returns the body with other bytes. Its hash would let short secrets be
// guessed, so that it is replaced by a keyed one.
func (s *scrubber) replaced(b parallax.Body, content []byte) parallax.Body {
	b.Bytes = content
	if hashed(&b) {
		mac := hmac.New(sha256.New, s.key)
		mac.Write(b.SHA256[:])
		mac.Sum(b.SHA256[:0])
	}
	return b
}

// content redacts a decoded body. Text of any kind is searched; other bytes only
// for secrets known from elsewhere.
func (s *scrubber) content(plain []byte, contentType string) []byte {
	text, media := string(plain), strings.ToLower(contentType)
	switch {
	case strings.HasPrefix(media, "multipart/"), strings.HasPrefix(text, "--"):
		return []byte(s.multipart(text, contentType))
	case FormatOf(contentType) == Bytes && strings.IndexByte(text, 0) >= 0:
		return []byte(s.replaceKnown(text))
	case strings.HasPrefix(media, "application/x-www-form-urlencoded"):
		text = s.parameters(text)
	}
	return []byte(s.text(text))
}

// multipart redacts the parts of a body one by one, so that a binary part hides
// none of the others. Without a boundary the first line is taken for one.
func (s *scrubber) multipart(text, contentType string) string {
	_, params, _ := mime.ParseMediaType(contentType)
	boundary := "--" + params["boundary"]
	if params["boundary"] == "" {
		line, _, _ := strings.Cut(text, "\n")
		boundary = strings.TrimRight(line, "\r")
	}
	if len(boundary) <= 2 || !strings.Contains(text, boundary) {
		return s.text(text)
	}
	parts := strings.Split(text, boundary)
	for i, part := range parts {
		parts[i] = s.part(part)
	}
	return strings.Join(parts, boundary)
}

// part redacts one part: all of its content if its name is secret, otherwise what
// is secret in it.
func (s *scrubber) part(part string) string {
	head, content, ok := cutHead(part)
	if !ok {
		return s.text(part)
	}
	end := len(strings.TrimRight(content, "\r\n"))
	value, rest := content[:end], content[end:]
	if name := partName.FindStringSubmatch(head); name != nil && SecretName(name[1]) && value != "" {
		return s.text(head) + s.secret(value) + rest
	}
	if strings.IndexByte(value, 0) >= 0 {
		return s.text(head) + s.replaceKnown(value) + rest
	}
	return s.text(head) + s.text(value) + rest
}

var partName = regexp.MustCompile(`(?i)\bname="?([^"\r\n;]+)`)

// cutHead splits a part behind the empty line that ends its head.
func cutHead(part string) (head, content string, ok bool) {
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if i := strings.Index(part, end); i >= 0 {
			return part[:i+len(end)], part[i+len(end):], true
		}
	}
	return "", "", false
}

// jsonText redacts members of a JSON document by name and by configured place.
// Other text stays as it is. A document that is cut or broken is read as far as
// its tokens go.
func (s *scrubber) jsonText(text string) string {
	start := strings.TrimLeft(text, " \t\r\n\xef\xbb\xbf")
	if start == "" || start[0] != '{' && start[0] != '[' && start[0] != '"' {
		return text
	}
	tree, err := body.ParseJSON([]byte(text), body.DefaultLimits)
	if err != nil {
		if start[0] == '"' {
			return text // Text that begins with a quotation.
		}
		return s.brokenJSON(text)
	}
	d := document{scrubber: s, tree: tree}
	d.value(0, false)
	if d.end == 0 {
		return text
	}
	d.out.Write(tree.Source[d.end:])
	return d.out.String()
}

// document redacts one JSON document by copying it, but for secrets.
type document struct {
	*scrubber
	tree  *body.Tree
	steps []body.Step
	out   bytes.Buffer
	end   int32 // of what is copied or replaced
}

func (d *document) value(i int32, secret bool) {
	n := &d.tree.Nodes[i]
	secret = secret || d.covered(d.steps)
	switch n.Kind {
	case body.Array, body.Object:
		d.children(i, secret)
	case body.String:
		d.str(i, secret)
	case body.Number:
		if secret || luhnNumber(d.tree.Text(i)) {
			d.replace(n, d.secret(string(d.tree.Text(i))))
		}
	}
}

// str redacts a string. One with escapes is searched as what it says, since a
// secret in it may be spelled in many ways.
func (d *document) str(i int32, secret bool) {
	n := &d.tree.Nodes[i]
	if n.End-n.Start <= 2 {
		return
	}
	if secret {
		d.replace(n, d.secret(string(d.tree.Value(i))))
		return
	}
	if bytes.IndexByte(d.tree.Text(i), '\\') < 0 {
		return // The search of the whole text will do.
	}
	plain := string(d.tree.Value(i))
	if clean := d.text(plain); clean != plain {
		d.replace(n, clean)
	}
}

// luhnNumber reports whether a number looks like a payment card's.
func luhnNumber(text []byte) bool {
	return cardForm.Match(text) && luhn(string(text))
}

func (d *document) children(i int32, secret bool) {
	n := &d.tree.Nodes[i]
	index := 0
	for child := i + 1; child < n.Next; child = d.tree.Nodes[child].Next {
		step := body.Step{Element: n.Kind == body.Array, Index: index, Len: int(n.Count), Implied: d.tree.Lax && n.Kind == body.Array}
		below := secret
		if n.Kind == body.Object {
			step.Name = string(d.tree.Name(child))
			below = secret || SecretName(step.Name)
		}
		d.steps = append(d.steps, step)
		d.value(child, below)
		d.steps = d.steps[:len(d.steps)-1]
		index++
	}
}

func (d *document) replace(n *body.Node, text string) {
	d.out.Write(d.tree.Source[d.end:n.Start])
	quoted, _ := json.Marshal(text) // a string always encodes
	d.out.Write(quoted)
	d.end = n.End
}

// brokenJSON redacts what is left of a document that cannot be parsed: every
// string and number from a secret name on to the end of its value. Where
// configuration names places, all their names are secret, and if one ends without
// a name nothing is kept.
func (s *scrubber) brokenJSON(text string) string {
	names := map[string]bool{}
	for _, p := range s.paths {
		all := p.Names()
		if len(all) == 0 {
			return removedNote
		}
		names[all[len(all)-1]] = true
	}
	b := broken{scrubber: s, text: text, names: names, secretAt: -1}
	for b.at < len(text) {
		b.token()
	}
	b.out.WriteString(text[b.end:])
	return b.out.String()
}

// broken reads tokens without asking for structure.
type broken struct {
	*scrubber
	text     string
	names    map[string]bool
	at, end  int
	depth    int
	secretAt int // depth of the secret value that is being read, -1 none
	out      strings.Builder
}

func (b *broken) token() {
	switch c := b.text[b.at]; {
	case c == '"':
		b.str()
	case c == '{' || c == '[':
		b.depth++
		b.at++
	case c == '}' || c == ']':
		b.depth--
		b.at++
		b.leave()
	case c == ',':
		b.at++
		b.leave()
	case (isDigit(c) || c == '-') && b.secretAt >= 0:
		start := b.at
		for b.at < len(b.text) && strings.IndexByte("+-.eE0123456789", b.text[b.at]) >= 0 {
			b.at++
		}
		b.replace(start, `"`+b.secret(b.text[start:b.at])+`"`)
	default:
		b.at++
	}
}

// leave ends the secret value when a comma or bracket ends it.
func (b *broken) leave() {
	if b.depth <= b.secretAt {
		b.secretAt = -1
	}
}

// str reads a string, which is a name if a colon follows.
func (b *broken) str() {
	start := b.at + 1
	b.at = start
	for b.at < len(b.text) && b.text[b.at] != '"' {
		if b.text[b.at] == '\\' {
			b.at++
		}
		b.at++
	}
	b.at = min(b.at, len(b.text))
	value := b.text[start:b.at]
	b.at = min(b.at+1, len(b.text))
	rest := strings.TrimLeft(b.text[b.at:], " \t\r\n")
	switch {
	case strings.HasPrefix(rest, ":"):
		if b.secretAt < 0 && (SecretName(value) || b.names[value]) {
			b.secretAt = b.depth
		}
	case b.secretAt >= 0 && value != "":
		b.replace(start, b.secret(value))
		b.end = start + len(value)
	}
}

func (b *broken) replace(start int, token string) {
	b.out.WriteString(b.text[b.end:start])
	b.out.WriteString(token)
	b.end = b.at
}
