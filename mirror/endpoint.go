package mirror

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"parallax"
)

// endpoint is method and route template: the unit everything is counted by.
type endpoint struct {
	name    string
	never   parallax.Place // why its requests are never mirrored; "" when they may be
	mayLive bool           // the candidate may be live for it, as its state and split.endpoints have it
	group   string         // that its step is of; empty where split has no groups
	actLive bool           // also for those of its requests that look like acts
	counts  *endpointMetrics
	sight   *sight

	operations *operations // of a path of GraphQL's, when the body will tell which; else nil

	endpointPolicy
	told  atomic.Bool                 // the log has that it looks like an act
	share share                       // of mirror.max_rps
	alone [parallax.Legs]atomic.Int64 // until when a shadow leg is not asked, since its answers are too long; Unix time in ns, negated while a request tries
}

// router finds the endpoint of a request. Its set of endpoints is closed: the
// declared ones, and what the learner makes of other paths.
type router struct {
	graphql map[string]*operations // by path
	listed  map[string]*node       // by method
	begin   []*beginning           // those that name less first
	learned *learner
	make    func(name string, safe bool) *endpoint
}

func newRouter(routes []string, max int, make func(name string, safe bool) *endpoint) (*router, error) {
	r := &router{graphql: map[string]*operations{}, listed: map[string]*node{}, learned: newLearner(max, make), make: make}
	for _, text := range routes {
		route, err := parseRoute(text)
		if err != nil {
			return nil, err
		}
		r.list(text, route)
	}
	return r, nil
}

// list makes the endpoint of a route. Of two that match the same paths the first
// stays.
func (r *router) list(name string, route route) {
	root := r.listed[route.method]
	if root == nil {
		root = &node{}
		r.listed[route.method] = root
	}
	if end := root.grow(route.segments); *end == nil {
		*end = r.make(name, safe(route.method))
	}
}

// find returns the endpoint of a request.
func (r *router) find(method, target string) *endpoint {
	path := pathOf(target)
	if o := r.graphql[path]; o != nil {
		if e := o.find(method, target); e != nil {
			return e
		}
	}
	if root := r.listed[method]; root != nil {
		if e := root.find(path); e != nil {
			return e
		}
	}
	e := r.learned.find(method, path)
	for _, b := range r.begin {
		if b.covers(method, path) && !b.holdsFor(e.name) {
			return b.find(method, r.make)
		}
	}
	return e
}

// pathOf returns the path of a request target, as written.
func pathOf(target string) string {
	if i := strings.IndexByte(target, '?'); i >= 0 {
		return target[:i]
	}
	return target
}

// route is a configured endpoint.
type route struct {
	method   string
	segments []string
}

// parseRoute reads a method and a template such as GET /orders/{id},
// GET /reports/{id}.{format} or GET /files/{rest...}.
func parseRoute(text string) (route, error) {
	method, path, _ := strings.Cut(text, " ")
	if method == "" || method != strings.ToUpper(method) || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?#") {
		return route{}, fmt.Errorf("cannot read endpoint %q", text)
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		prefix, suffix, ok := variable(s)
		name := s[len(prefix) : len(s)-len(suffix)]
		switch {
		case !ok && strings.ContainsAny(s, "{}"), ok && strings.ContainsAny(name[1:len(name)-1], "{}"),
			ok && (name == "{}" || name == "{...}"), rest(name) && name != s:
			return route{}, fmt.Errorf("cannot read segment %q of endpoint %q", s, text)
		case rest(s) && i != len(segments)-1:
			return route{}, fmt.Errorf("%s is not the last segment of endpoint %q", s, text)
		}
	}
	return route{method, segments}, nil
}

func rest(segment string) bool { return strings.HasSuffix(segment, "...}") }

// variable splits a segment such as {id}, {id}:cancel or report.{format} into
// what stands around its variable.
func variable(segment string) (prefix, suffix string, ok bool) {
	opens, closes := strings.IndexByte(segment, '{'), strings.LastIndexByte(segment, '}')
	if opens < 0 || closes < opens {
		return "", "", false
	}
	return segment[:opens], segment[closes+1:], true
}

// node is one segment of the declared routes of a method. A literal segment goes
// before one with a variable and text around it, those before a whole variable,
// and that before a tail.
type node struct {
	literal  map[string]*node
	partial  []partial
	variable *node
	tail     *endpoint // of a {rest...} below this node
	endpoint *endpoint // of the route that ends here
}

// partial is a segment with text before or after its variable.
type partial struct {
	prefix, suffix string
	next           *node
}

// match reports whether a segment is one of this kind, with at least one byte
// for the variable.
func (p partial) match(segment string) bool {
	return len(segment) > len(p.prefix)+len(p.suffix) &&
		strings.HasPrefix(segment, p.prefix) && strings.HasSuffix(segment, p.suffix)
}

// grow makes the way of a route and returns where its endpoint belongs.
func (n *node) grow(segments []string) **endpoint {
	for _, s := range segments {
		if rest(s) {
			return &n.tail
		}
		n = n.child(s)
	}
	return &n.endpoint
}

// child returns the node of a template's segment, which it makes if need be.
func (n *node) child(segment string) *node {
	prefix, suffix, ok := variable(segment)
	switch {
	case !ok:
		if n.literal == nil {
			n.literal = map[string]*node{}
		}
		if n.literal[segment] == nil {
			n.literal[segment] = &node{}
		}
		return n.literal[segment]
	case prefix == "" && suffix == "":
		if n.variable == nil {
			n.variable = &node{}
		}
		return n.variable
	}
	for _, p := range n.partial {
		if p.prefix == prefix && p.suffix == suffix {
			return p.next
		}
	}
	p := partial{prefix, suffix, &node{}}
	n.partial = append(n.partial, p)
	slices.SortStableFunc(n.partial, func(a, b partial) int { // the most text first
		return cmp.Compare(len(b.prefix)+len(b.suffix), len(a.prefix)+len(a.suffix))
	})
	return p.next
}

// find matches the path from its slash on.
func (n *node) find(path string) *endpoint {
	if path == "" {
		return n.endpoint
	}
	segment, remains := cutSegment(path)
	if child := n.literal[segment]; child != nil {
		if e := child.find(remains); e != nil {
			return e
		}
	}
	for _, p := range n.partial {
		if p.match(segment) {
			if e := p.next.find(remains); e != nil {
				return e
			}
		}
	}
	if n.variable != nil && segment != "" {
		if e := n.variable.find(remains); e != nil {
			return e
		}
	}
	return n.tail
}

// cutSegment takes the first segment off a path that begins with a slash.
func cutSegment(path string) (segment, remains string) {
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[1 : 1+i], path[1+i:]
	}
	return path[1:], ""
}
