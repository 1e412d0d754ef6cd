package ids

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"parallax"
	"parallax/internal/body"
)

// placed is a value of a request, where it stands, and what that place is about.
type placed struct {
	place, value string
	words        []string
}

// about reports whether the place says what the request is about.
func (p placed) about() bool {
	return strings.HasPrefix(p.place, "path:") || strings.HasPrefix(p.place, "query:")
}

// notSuggested are headers whose values are nobody's identifiers, and those that
// are built in.
var notSuggested = map[string]bool{
	"accept": true, "accept-encoding": true, "accept-language": true, "age": true, "baggage": true, "cache-control": true,
	"connection": true, "content-length": true, "content-type": true, "cookie": true, "date": true, "etag": true, "expires": true,
	"forwarded": true, "host": true, "if-match": true, "if-modified-since": true, "if-none-match": true, "if-range": true,
	"if-unmodified-since": true, "last-modified": true, "link": true, "location": true, "origin": true, "referer": true,
	"server": true, "set-cookie": true, "traceparent": true, "tracestate": true, "transfer-encoding": true, "user-agent": true,
	"vary": true, "via": true, "x-forwarded-for": true, "x-parallax-exchange": true, "x-parallax-leg": true, "x-parallax-role": true,
}

// maxSuggestBody bounds a body that is looked into, decoded, in bytes.
const maxSuggestBody = 1 << 20

// requestValues returns the values of a request at places that may be declared.
func requestValues(endpoint string, r *parallax.Request) []placed {
	var out []placed
	path, query, _ := strings.Cut(r.Target, "?")
	out = append(out, pathValues(endpoint, path)...)
	if parameters, err := url.ParseQuery(query); err == nil {
		for name, values := range parameters {
			if slices.Contains(cursorParameters, name) {
				continue
			}
			for _, v := range values {
				out = append(out, placed{"query:" + name, v, words(name)})
			}
		}
	}
	for _, h := range r.Headers {
		if name := strings.ToLower(h.Name); name == "cookie" {
			for name, value := range cookiesOf(h.Value) {
				out = append(out, placed{"cookie:" + name, value, words(name)})
			}
		} else if !notSuggested[name] {
			start, end := token(h.Value)
			out = append(out, placed{"header:" + h.Name, h.Value[start:end], words(h.Name)})
		}
	}
	for place, values := range bodyValues(r.Headers, &r.Body) {
		for _, v := range values {
			out = append(out, placed{place, v, wordsOfPath(place)})
		}
	}
	return slices.DeleteFunc(out, func(p placed) bool { return p.value == "" || len(p.value) > maxValue })
}

// pathValues returns the segments of a path that an endpoint has names for.
func pathValues(endpoint, path string) []placed {
	_, template, ok := strings.Cut(endpoint, " ")
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if !ok || len(want) != len(have) {
		return nil
	}
	var out []placed
	for i, segment := range want {
		if !strings.HasPrefix(segment, "{") {
			continue
		}
		value, err := url.PathUnescape(have[i])
		if err != nil {
			continue
		}
		out = append(out, placed{"path:" + oneOf(want, i), value, words(strings.Join(want[max(i-1, 0):i], " "))})
	}
	return out
}

// oneOf writes a template in which only one segment has a name.
func oneOf(template []string, which int) string {
	out := slices.Clone(template)
	for i, segment := range out {
		if i != which && strings.HasPrefix(segment, "{") {
			out[i] = "*"
		}
	}
	return strings.Join(out, "/")
}

// answerValues returns the values of an answer by place, in their order.
func answerValues(r *parallax.Response) map[string][]string {
	out := bodyValues(r.Headers, &r.Body)
	for _, h := range r.Headers {
		switch name := strings.ToLower(h.Name); {
		case name == "set-cookie":
			pair, _, _ := strings.Cut(h.Value, ";")
			for name, value := range cookiesOf(pair) {
				out["cookie:"+name] = append(out["cookie:"+name], value)
			}
		case !notSuggested[name]:
			start, end := token(h.Value)
			out["header:"+h.Name] = append(out["header:"+h.Name], h.Value[start:end])
		}
	}
	for place, values := range out {
		out[place] = slices.DeleteFunc(values, func(v string) bool { return len(v) > maxValue })
	}
	return out
}

func cookiesOf(text string) map[string]string {
	out := map[string]string{}
	for pair := range strings.SplitSeq(text, ";") {
		if name, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && value != "" && parallax.IsToken(name) {
			out[name] = strings.Trim(value, `"`)
		}
	}
	return out
}

// bodyValues returns texts and numbers of a JSON or form body by path, with [*] for
// elements.
func bodyValues(headers []parallax.Field, b *parallax.Body) map[string][]string {
	out := map[string][]string{}
	if b.Cut || len(b.Bytes) == 0 {
		return out
	}
	plain, err := body.Decode(joined(headers, "Content-Encoding"), b.Bytes, maxSuggestBody)
	if err != nil || len(plain) > maxSuggestBody {
		return out
	}
	var tree *body.Tree
	switch kind := contentType(headers); {
	case isJSON(kind):
		tree, err = body.ParseJSON(plain, body.DefaultLimits)
	case kind == "application/x-www-form-urlencoded":
		tree, err = body.ParseForm(plain, body.DefaultLimits)
	}
	if tree == nil || err != nil {
		return out
	}
	collect(tree, 0, "$", out, new(int))
	return out
}

// collect adds the values at and below a node.
func collect(t *body.Tree, i int32, path string, out map[string][]string, n *int) {
	node := &t.Nodes[i]
	switch node.Kind {
	case body.String, body.Number:
		value := string(t.Text(i))
		if node.Kind == body.String {
			value = string(t.Value(i))
		}
		if *n++; *n <= MaxSpots && value != "" {
			out[path] = append(out[path], value)
		}
	case body.Object, body.Array:
		child := i + 1
		for range int(node.Count) {
			below := path + "[*]"
			if node.Kind == body.Object {
				below = path + member(string(t.Name(child)))
			}
			collect(t, child, below, out, n)
			child = t.Nodes[child].Next
		}
	}
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func member(name string) string {
	if plainName.MatchString(name) {
		return "." + name
	}
	return fmt.Sprintf("['%s']", strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name))
}

// words splits a name into what it is about: order_id, orderId and /orders are all
// about an order.
func words(name string) []string {
	var out []string
	for _, w := range nameWord.FindAllString(name, -1) {
		w = strings.ToLower(w)
		if len(w) > 3 {
			w = strings.TrimSuffix(w, "s")
		}
		switch w {
		case "id", "uuid", "x", "api", "ref", "key", "by":
		default:
			out = append(out, w)
		}
	}
	return out
}

var nameWord = regexp.MustCompile(`[A-Z]?[a-z]+|[A-Z]+`)

// wordsOfPath returns what the last name of a path is about.
func wordsOfPath(path string) []string {
	path = strings.TrimSuffix(path, "[*]")
	return words(path[strings.LastIndexAny(path, ".'[")+1:])
}

// wordsOf returns what a place of answers is about: its own name or, if that is no
// more than id, the last word of the endpoint.
func wordsOf(where answerPlace) []string {
	if own := wordsOfPath(where.place); strings.HasPrefix(where.place, "$") && len(own) > 0 {
		return own
	}
	if _, name, ok := strings.Cut(where.place, ":"); ok {
		return words(name)
	}
	_, template, _ := strings.Cut(where.endpoint, " ")
	segments := strings.Split(template, "/")
	for _, segment := range slices.Backward(segments) {
		if own := words(segment); len(own) > 0 && !strings.HasPrefix(segment, "{") {
			return own
		}
	}
	return nil
}

// nameFrom makes a name that is not in use.
func nameFrom(from []string, used map[string]bool) string {
	name := "identifier"
	if len(from) > 0 {
		name = from[len(from)-1]
	}
	if !identifierName.MatchString(name) || slices.Contains(builtInNames[:], name) {
		name = "identifier"
	}
	for i, stem := 2, name; used[name]; i++ {
		name = fmt.Sprintf("%s_%d", stem, i)
	}
	return name
}
