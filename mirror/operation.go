package mirror

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"parallax"
	"parallax/mirror/graphql"
)

// maxOperations bounds the endpoints that the names of operations make at one
// path of GraphQL's; further ones are "query other" and "mutation other".
const maxOperations = 100

// operations are the endpoints of one path at which GraphQL is spoken. A GET
// names its operation in its URL. A POST does so in its body, which nobody waits
// for: it is served as unsafe, and its endpoint is refined once the body is
// complete and the live leg has agreed (flight.refine).
type operations struct {
	path      string
	make      func(name string, safe bool) *endpoint
	get, post *endpoint // of requests whose operation is not known, or not yet

	mu    sync.Mutex // held while one is added
	known atomic.Pointer[map[string]*endpoint]
}

func newOperations(path string, make func(name string, safe bool) *endpoint) *operations {
	o := &operations{path: path, make: make, get: make("GET "+path, true), post: make("POST "+path, false)}
	o.post.safe, o.post.operations = false, o // whatever is declared: it may be a mutation
	o.known.Store(&map[string]*endpoint{})
	return o
}

// find returns the endpoint of a request as far as its head tells; nil when its
// method is not one of GraphQL's.
func (o *operations) find(method, target string) *endpoint {
	switch method {
	case "POST":
		return o.post
	case "GET":
		_, query, _ := strings.Cut(target, "?")
		if op, ok := graphql.FromQuery(query); ok {
			return o.of(method, op)
		}
		return o.get
	}
	return nil
}

// of returns the endpoint of an operation.
func (o *operations) of(method string, op graphql.Operation) *endpoint {
	name := method + " " + o.path + " " + op.String()
	if e := (*o.known.Load())[name]; e != nil {
		return e
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	known := *o.known.Load()
	if e := known[name]; e != nil {
		return e
	}
	if len(known) >= maxOperations && op.Name != "" {
		name = method + " " + o.path + " " + op.Kind.String() + " other"
		if e := known[name]; e != nil {
			return e
		}
	}
	e := o.make(name, op.Kind == graphql.Query)
	if op.Kind == graphql.Subscription {
		e.never = parallax.UnmirroredStream
	}
	more := maps.Clone(known)
	more[name] = e
	o.known.Store(&more)
	return e
}

// refineAndAsk asks the shadow legs that may get the operation.
func (f *flight) refineAndAsk() {
	if f.refineSafely() {
		f.askShadows(f.firstLegs())
		return
	}
	f.leave()
}

// refineSafely keeps a defect in a parser from taking more than one comparison.
func (f *flight) refineSafely() bool {
	defer f.noteDefect()
	return f.refine()
}

// refine finds the operation of a request whose body is complete, and which of
// the legs may get it. It reports whether any does. What it decides is read by
// whoever settles the exchange.
func (f *flight) refine() bool {
	var body []byte
	if f.body != nil {
		body = f.body.copy.bytes
	}
	_, query, _ := strings.Cut(f.in.Target, "?")
	var op graphql.Operation
	if value(f.in.Headers, "Content-Encoding") == "" {
		op = graphql.FromBody(strings.Join(values(f.in.Headers, "Content-Type"), ","), query, body)
	}
	f.refined = f.endpoint.operations.of(f.in.Method, op)
	planned := slices.Clone(f.shadows)
	if f.shadows, f.unfit = nil, f.refined.never; f.unfit == "" {
		f.shadows, f.unfit = f.legsFor(f.refined)
	}
	if f.beside() && f.unfit == "" && !f.bothCompared() {
		f.shadows, f.unfit = nil, parallax.UnmirroredUnsafe
	}
	for _, l := range planned {
		if !slices.Contains(f.shadows, l) {
			f.endTurn(l)
		}
	}
	return f.unfit == ""
}

// values returns all values of a header.
func values(fields []parallax.Field, name string) []string {
	var out []string
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			out = append(out, f.Value)
		}
	}
	return out
}

// validateGraphQL returns what is wrong with the paths of GraphQL.
func (s Service) validateGraphQL() []parallax.Fault {
	var faults []parallax.Fault
	seen := map[string]bool{}
	for i, path := range s.GraphQL {
		at := fmt.Sprintf("graphql[%d]", i)
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?#{}*") {
			faults = append(faults, parallax.Fault{Path: at, Text: fmt.Sprintf("cannot use %q as a path", path), Hint: "write a path without variables, such as /graphql"})
		} else if seen[path] {
			faults = append(faults, parallax.Fault{Path: at, Text: fmt.Sprintf("%q stands here twice", path)})
		}
		seen[path] = true
	}
	return faults
}
