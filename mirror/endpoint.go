package mirror

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// endpoint is method and route template: the unit everything is counted by.
type endpoint struct {
	name    string
	safe    bool // its method is safe
	mayLive bool // the candidate may be live for it, as its state and split.endpoints have it
	counts  *endpointMetrics
}

// DefaultEndpoints is how many endpoints of unlisted paths a service may have.
// Paths that would make more are counted as "METHOD other".
const DefaultEndpoints = 300

// router finds the endpoint of a request. Its set of endpoints is closed: the
// configured ones, at most max learned ones, and one "other" per method.
type router struct {
	make   func(name string, safe bool) *endpoint
	listed map[string]*node // by method
	max    int

	mu      sync.Mutex // held while learning
	learned atomic.Pointer[map[string]*endpoint]
}

func newRouter(routes []string, max int, make func(name string, safe bool) *endpoint) (*router, error) {
	r := &router{make: make, listed: map[string]*node{}, max: max}
	r.learned.Store(&map[string]*endpoint{})
	for _, text := range routes {
		route, err := parseRoute(text)
		if err != nil {
			return nil, err
		}
		root := r.listed[route.method]
		if root == nil {
			root = &node{}
			r.listed[route.method] = root
		}
		root.add(route.segments, make(text, safe(route.method)))
	}
	return r, nil
}

// find returns the endpoint of a request.
func (r *router) find(method, target string) *endpoint {
	path := pathOf(target)
	if root := r.listed[method]; root != nil {
		if e := root.find(path); e != nil {
			return e
		}
	}
	var buf [maxTemplate + 64]byte
	name := appendTemplate(append(append(buf[:0], knownMethod(method)...), ' '), path)
	// Fast path: a template that is known costs no allocation (BenchmarkFindEndpoint).
	if e := (*r.learned.Load())[string(name)]; e != nil {
		return e
	}
	return r.learn(knownMethod(method), string(name))
}

func (r *router) learn(method, name string) *endpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := *r.learned.Load()
	if e := known[name]; e != nil {
		return e
	}
	if other := method + " other"; len(known) >= r.max && name != other {
		name = other
		if e := known[name]; e != nil {
			return e
		}
	}
	e := r.make(name, safe(method))
	grown := make(map[string]*endpoint, len(known)+1)
	for k, v := range known {
		grown[k] = v
	}
	grown[name] = e
	r.learned.Store(&grown)
	return e
}

// pathOf returns the path of a request target, as written.
func pathOf(target string) string {
	if i := strings.IndexByte(target, '?'); i >= 0 {
		return target[:i]
	}
	return target
}

// knownMethod keeps methods a closed set.
func knownMethod(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT":
		return method
	}
	return "OTHER"
}

// route is a configured endpoint.
type route struct {
	method   string
	segments []string
}

// parseRoute reads a method and a template such as GET /orders/{id} or
// GET /files/{rest...}.
func parseRoute(text string) (route, error) {
	method, path, _ := strings.Cut(text, " ")
	if method == "" || method != strings.ToUpper(method) || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?#") {
		return route{}, fmt.Errorf("cannot read endpoint %q", text)
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		opens, closes := strings.HasPrefix(s, "{"), strings.HasSuffix(s, "}")
		switch {
		case opens != closes, !opens && strings.ContainsAny(s, "{}"), s == "{}", s == "{...}":
			return route{}, fmt.Errorf("cannot read segment %q of endpoint %q", s, text)
		case rest(s) && i != len(segments)-1:
			return route{}, fmt.Errorf("%s is not the last segment of endpoint %q", s, text)
		}
	}
	return route{method, segments}, nil
}

func rest(segment string) bool     { return strings.HasSuffix(segment, "...}") }
func variable(segment string) bool { return strings.HasPrefix(segment, "{") }

// node is one segment of the configured routes of a method. A literal segment
// goes before a variable one, and that before a tail.
type node struct {
	literal  map[string]*node
	variable *node
	tail     *endpoint // of a {rest...} below this node
	endpoint *endpoint // of the route that ends here
}

func (n *node) add(segments []string, e *endpoint) {
	for _, s := range segments {
		switch {
		case rest(s):
			n.tail = e
			return
		case variable(s):
			if n.variable == nil {
				n.variable = &node{}
			}
			n = n.variable
		default:
			if n.literal == nil {
				n.literal = map[string]*node{}
			}
			if n.literal[s] == nil {
				n.literal[s] = &node{}
			}
			n = n.literal[s]
		}
	}
	n.endpoint = e
}

// find matches the path from its slash on.
func (n *node) find(path string) *endpoint {
	if path == "" {
		return n.endpoint
	}
	segment, remains := path[1:], ""
	if i := strings.IndexByte(segment, '/'); i >= 0 {
		segment, remains = segment[:i], segment[i:]
	}
	if child := n.literal[segment]; child != nil {
		if e := child.find(remains); e != nil {
			return e
		}
	}
	if n.variable != nil && segment != "" {
		if e := n.variable.find(remains); e != nil {
			return e
		}
	}
	return n.tail
}

// maxTemplate bounds a learned template, in bytes; a longer one is "other".
const maxTemplate = 160

// appendTemplate turns a path that is not configured into a template: what
// looks like a value becomes its class.
func appendTemplate(dst []byte, path string) []byte {
	start := len(dst)
	if !strings.HasPrefix(path, "/") {
		return append(dst, "other"...) // OPTIONS *
	}
	for path != "" {
		segment := path[1:]
		if i := strings.IndexByte(segment, '/'); i >= 0 {
			segment, path = segment[:i], segment[i:]
		} else {
			path = ""
		}
		dst = append(dst, '/')
		dst = append(dst, class(segment)...)
		if len(dst)-start > maxTemplate {
			return append(dst[:start], "other"...)
		}
	}
	return dst
}

// class returns what a segment is called in a template: itself, or the class of
// the value that it looks like.
func class(s string) string {
	var digits, hexes, others int
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'):
			hexes++
		case c <= ' ' || c >= 0x7f || c == '%' || c == '{' || c == '}':
			return "{text}"
		default:
			others++
		}
	}
	switch {
	case digits > 0 && digits == len(s):
		return "{id}"
	case len(s) == 36 && others == 4 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-':
		return "{uuid}"
	case len(s) == 10 && digits == 8 && s[4] == '-' && s[7] == '-':
		return "{date}"
	case others == 0 && len(s) >= 8 && digits > 0:
		return "{hash}"
	case len(s) >= 20 && digits >= 4:
		return "{token}"
	case len(s) > 48:
		return "{text}"
	}
	return s
}
