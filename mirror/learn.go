package mirror

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// DefaultEndpoints bounds the endpoints that a service makes of paths nobody
// declared, "METHOD other" included. Paths that would make more are counted as
// "METHOD other".
const DefaultEndpoints = 300

// Bounds of what is learned of paths.
const (
	maxDepth    = 16  // segments of a learned path; a deeper one is "other"
	maxGRPC     = 100 // endpoints that look like gRPC methods
	maxLiterals = 40  // values that one place of a path may have before it becomes a variable
	fewLiterals = 20  // the same below a variable
	minLiterals = 2   // the same when there is hardly any room
	grown       = 8   // endpoints below a value that show it to be a part of the structure
)

// methods are those that endpoints are told apart by; any other one is OTHER.
var methods = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "OTHER"}

// methodIndex returns the place of a method in methods.
func methodIndex(method string) int {
	for i, m := range methods[:len(methods)-1] {
		if m == method {
			return i
		}
	}
	return len(methods) - 1
}

// further is what the values of a place are called that came when it had many.
const further = "{name}"

// learner makes templates of paths that nobody declared. What looks like a value
// by itself becomes its class at once (template.go). A place of a path with many
// different values becomes a variable: the values that have endpoints by then
// keep them, and later ones share a template that begins at that moment. So no
// endpoint is ever renamed, and what it learns depends on the order of the paths
// and on nothing else.
//
// All it holds is bounded by the number of endpoints, whatever the paths. Finding
// a known template takes no lock and no allocation.
type learner struct {
	make func(name string, safe bool) *endpoint
	max  int // endpoints, without others

	full   atomic.Bool // nothing more is learned
	root   *place
	rpcs   *place       // of gRPC methods, each of which has an endpoint of its own
	rpcsIn atomic.Int32 // how many
	others [len(methods)]atomic.Pointer[endpoint]

	mu    sync.Mutex // held while learning
	names []string   // of the endpoints, in the order of their births
}

// place is one segment of learned templates. What a reader follows is swapped
// whole; what only learning needs is guarded by the learner's mutex.
type place struct {
	next atomic.Pointer[branches]
	ends [len(methods)]atomic.Pointer[endpoint] // templates that end here

	literals int // branches that are values as they stand
	births   int // endpoints here and below
}

// branches lead from one segment to the next: by value, by class such as {id}, or
// as {name}. The map is not changed once readers see it.
type branches map[string]*place

func newLearner(max int, make func(name string, safe bool) *endpoint) *learner {
	return &learner{make: make, max: max - len(methods), root: newPlace(), rpcs: newPlace()}
}

func newPlace() *place {
	p := &place{}
	p.next.Store(&branches{})
	return p
}

func (p *place) to(segment string) *place {
	if p == nil {
		return nil
	}
	return (*p.next.Load())[segment]
}

// find returns the endpoint of a path, which it learns if it must.
func (l *learner) find(method, path string) *endpoint {
	m := methodIndex(method)
	if !strings.HasPrefix(path, "/") || strings.Count(path, "/") > maxDepth { // OPTIONS *, or endless
		return l.other(m)
	}
	rpc := isGRPC(method, path)
	// Fast path: a template that is known costs no allocation (BenchmarkFindEndpoint).
	if e := l.known(rpc, m, path); e != nil {
		return e
	}
	if l.full.Load() || rpc && l.rpcsIn.Load() >= maxGRPC {
		return l.other(m)
	}
	return l.learn(rpc, m, path)
}

// known returns the endpoint of a path, nil if it has none yet.
func (l *learner) known(rpc bool, m int, path string) *endpoint {
	if rpc {
		service, method := cutSegment(path)
		return l.rpcs.to(service).to(method[1:]).end(m)
	}
	return l.root.find(m, path)
}

// learn makes the endpoint of a path that has none, if there is room.
func (l *learner) learn(rpc bool, m int, path string) *endpoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.known(rpc, m, path); e != nil { // somebody else has learned it
		return e
	}
	segments := strings.Split(path[1:], "/")
	if !rpc {
		l.generalise(segments)
	}
	if e := l.birth(rpc, m, segments); e != nil {
		return e
	}
	return l.other(m)
}

// find follows a path from its slash on. A value that has an endpoint of its own
// goes before {name}.
func (p *place) find(m int, path string) *endpoint {
	if path == "" {
		return p.end(m)
	}
	segment, remains := cutSegment(path)
	next := *p.next.Load()
	c := class(segment)
	if child := next[c]; child != nil {
		if e := child.find(m, remains); e != nil {
			return e
		}
	}
	if child := next[further]; child != nil && c == segment {
		return child.find(m, remains)
	}
	return nil
}

// other returns the endpoint of a method for what has no template.
func (l *learner) other(m int) *endpoint {
	if e := l.others[m].Load(); e != nil {
		return e
	}
	l.others[m].CompareAndSwap(nil, l.make(methods[m]+" other", safe(methods[m])))
	return l.others[m].Load()
}

// generalise turns the segments of a new path into those of its template.
func (l *learner) generalise(segments []string) {
	at := l.root // nil: nothing is known below
	inside := false
	for i, s := range segments {
		if segments[i] = class(s); segments[i] == s && at != nil {
			segments[i] = at.choose(s, l.literalsAt(inside))
		}
		at = at.to(segments[i])
		inside = inside || strings.HasPrefix(segments[i], "{")
	}
}

// literalsAt is how many values one place may have: fewer when more than half
// the room is taken.
func (l *learner) literalsAt(inside bool) int {
	most := maxLiterals
	if inside {
		most = fewLiterals
	}
	if room := l.max - len(l.names); room < l.max/2 {
		most = max(minLiterals, most*room/(l.max/2))
	}
	return most
}

// choose returns what a value is called in a new template: itself as long as the
// place has few values, {name} from then on. A value that leads to much of the
// structure remains itself.
func (p *place) choose(value string, most int) string {
	child := p.to(value)
	switch collapsed := p.to(further) != nil; {
	case !collapsed && (child != nil || p.literals < most), child != nil && child.births >= grown:
		return value
	}
	return further
}

// birth makes the endpoint of a template, and every place on the way to it. It
// returns nil when there is no room.
func (l *learner) birth(rpc bool, m int, template []string) *endpoint {
	if len(l.names) >= l.max {
		l.full.Store(true)
		return nil
	}
	at := l.root
	if rpc {
		if l.rpcsIn.Load() >= maxGRPC {
			return nil
		}
		l.rpcsIn.Add(1)
		at = l.rpcs
	}
	at.births++
	for _, s := range template {
		at = at.grow(s)
		at.births++
	}
	name := methods[m] + " /" + strings.Join(template, "/")
	e := l.make(name, safe(methods[m]))
	l.names = append(l.names, name)
	at.ends[m].Store(e)
	return e
}

// grow returns the place that a template's segment leads to, which it makes if
// need be.
func (p *place) grow(segment string) *place {
	next := *p.next.Load()
	if child := next[segment]; child != nil {
		return child
	}
	wider := make(branches, len(next)+1)
	maps.Copy(wider, next)
	wider[segment] = newPlace()
	if !strings.HasPrefix(segment, "{") {
		p.literals++
	}
	p.next.Store(&wider)
	return wider[segment]
}

// born returns the names of the endpoints that were learned, in the order of
// their births.
func (l *learner) born() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.names)
}

// remember makes endpoints that were born before, so that they outlast a reload.
// Names that are not of learned endpoints, and those without room, are left out.
func (l *learner) remember(names []string) {
	for _, name := range names {
		method, path, _ := strings.Cut(name, " ")
		m := methodIndex(method)
		if methods[m] != method || !strings.HasPrefix(path, "/") || strings.Count(path, "/") > maxDepth {
			continue
		}
		l.mu.Lock()
		rpc, template := isGRPC(method, path), strings.Split(path[1:], "/")
		at := l.root
		if rpc {
			at = l.rpcs
		}
		for _, s := range template {
			at = at.to(s)
		}
		if at.end(m) == nil {
			l.birth(rpc, m, template)
		}
		l.mu.Unlock()
	}
}

// end returns the endpoint of the template that ends here, nil when none does.
func (p *place) end(m int) *endpoint {
	if p == nil {
		return nil
	}
	return p.ends[m].Load()
}

// isGRPC reports whether a path looks like that of a gRPC method: a service with
// its package, and a method. Each has an endpoint of its own, up to a bound.
func isGRPC(method, path string) bool {
	service, rpc := cutSegment(path)
	dot := strings.LastIndexByte(service, '.')
	return method == "POST" && dot > 0 && len(path) <= 4*longLiteral &&
		identifiers(service) && len(rpc) > 1 && identifiers(rpc[1:]) && strings.IndexByte(rpc, '.') < 0
}

// identifiers reports whether a text is identifiers with dots between them.
func identifiers(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case c >= '0' && c <= '9', c == '.':
			if i == 0 || s[i-1] == '.' {
				return false
			}
		default:
			return false
		}
	}
	return s != "" && s[len(s)-1] != '.'
}
