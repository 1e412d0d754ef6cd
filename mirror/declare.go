package mirror

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"parallax"
)

// EndpointOptions is what mirror.endpoints declares of the endpoints that one
// key names. What it leaves out holds as it does for the service. Where several
// keys name an endpoint, each setting is that of the key that names the fewest:
// a whole path before a beginning, a longer beginning before a shorter one, a
// method before any. What GET has holds for HEAD, unless a key says HEAD.
type EndpointOptions struct {
	Safe   *bool    `yaml:"safe,omitempty" doc:"whether these requests change nothing, where their method does not say it: true for a search by POST, and for a GET that only looks like an act; false for a GET that is one"`
	Unsafe Unsafe   `yaml:"unsafe,omitempty" enum:"never,allowed" doc:"in place of mirror.unsafe"`
	Sample *float64 `yaml:"sample,omitempty" doc:"in place of mirror.sample"`
	Mirror *bool    `yaml:"mirror,omitempty" doc:"false: never mirrored, whatever else is declared"`
}

// declaration is one line of mirror.endpoints.
type declaration struct {
	parallax.Pattern
	key string
	EndpointOptions
}

// declarations are the lines of mirror.endpoints, those that name less first.
// Keys that are no patterns are left out.
func (o Options) declarations() []declaration {
	var out []declaration
	for _, key := range slices.Sorted(maps.Keys(o.Endpoints)) {
		if p, err := parallax.ParsePattern(key); err == nil {
			out = append(out, declaration{p, key, o.Endpoints[key]})
		}
	}
	slices.SortStableFunc(out, func(a, b declaration) int {
		if strings.TrimPrefix(a.key, "HEAD ") == strings.TrimPrefix(b.key, "GET ") {
			return -1 // of HEAD requests it names less
		}
		return a.Compare(b.Pattern)
	})
	return out
}

// holdsFor reports whether the declaration names an endpoint. What is declared of
// GET holds for HEAD too, which servers answer by running the same code.
func (d declaration) holdsFor(endpoint string) bool {
	method, path, _ := strings.Cut(endpoint, " ")
	return d.Names(method, path) || method == "HEAD" && d.Names("GET", path)
}

// methods returns the methods of endpoints that the declaration names.
func (d declaration) methods() []string {
	switch d.Method() {
	case "*":
		return methods[:len(methods)-3] // without those that are hardly ever seen
	case "GET":
		return []string{"GET", "HEAD"}
	}
	return []string{d.Method()}
}

// declare makes sure that a declaration holds whatever else the learner makes of
// the paths that it names: those that come when there is no room for templates,
// or when a place has so many values that it became a variable, belong to it too.
func (r *router) declare(d declaration) {
	path, open := d.Path()
	if open {
		r.begin = append(r.begin, &beginning{declaration: d, segments: strings.Split(strings.TrimPrefix(path, "/"), "/")})
		return
	}
	for _, method := range d.methods() {
		name := method + " " + path
		switch route, err := parseRoute(name); {
		case err != nil, slices.Contains(route.segments, further): // an operation of GraphQL's; what the learner alone can tell
		case learnable(route):
			r.learned.remember([]string{name})
		default:
			r.list(name, route)
		}
	}
}

// learnable reports whether the learner gives templates such names.
func learnable(r route) bool {
	return methods[methodIndex(r.method)] == r.method && !slices.ContainsFunc(r.segments, func(s string) bool {
		return !slices.Contains(classes, s) && class(s) != s
	})
}

// beginning is a declaration of all paths that begin alike.
type beginning struct {
	declaration
	segments []string                               // of what they begin with, the last one incomplete
	ends     [len(methods)]atomic.Pointer[endpoint] // of paths whose learned names do not show the beginning
}

// covers reports whether a path begins like this. It costs no allocation.
func (b *beginning) covers(method, path string) bool {
	if m := b.Method(); m != "*" && m != method && (m != "GET" || method != "HEAD") {
		return false
	}
	last := len(b.segments) - 1
	for i, s := range b.segments {
		if path == "" || path[0] != '/' {
			return false
		}
		var segment string
		segment, path = cutSegment(path)
		if i == last {
			return strings.HasPrefix(segment, s)
		}
		if segment != s && class(segment) != s {
			return false
		}
	}
	return false
}

// find returns the endpoint of all those paths of a method.
func (b *beginning) find(method string, make func(name string, safe bool) *endpoint) *endpoint {
	end := &b.ends[methodIndex(method)]
	if e := end.Load(); e != nil {
		return e
	}
	if b.Method() == "*" {
		method = methods[methodIndex(method)] // of those that a caller makes up there is no end
	}
	path, _ := b.Path()
	end.CompareAndSwap(nil, make(method+" /"+strings.TrimPrefix(path, "/")+"{rest...}", safe(method)))
	return end.Load()
}

// endpointPolicy is what is decided once for all requests of an endpoint.
type endpointPolicy struct {
	safe   bool    // by its method, or declared
	unsafe bool    // mirror.unsafe, or its own
	sample float64 // mirror.sample, or its own
	off    bool    // declared as never mirrored
	act    *judgement
}

// policyOf decides about an endpoint. safe is what its method says.
func policyOf(name string, safe bool, o Options, declared []declaration) endpointPolicy {
	p := endpointPolicy{safe: safe, unsafe: o.Unsafe == UnsafeAllowed, sample: o.Sample}
	var safety, unsafe, sample, mirror bool // already found in a declaration that names less
	for _, d := range declared {
		if !d.holdsFor(name) {
			continue
		}
		if d.Safe != nil && !safety {
			safety, p.safe = true, *d.Safe
		}
		if d.Unsafe != "" && !unsafe {
			unsafe, p.unsafe = true, d.Unsafe == UnsafeAllowed
		}
		if d.Sample != nil && !sample {
			sample, p.sample = true, *d.Sample
		}
		if d.Mirror != nil && !mirror {
			mirror, p.off = true, !*d.Mirror
		}
	}
	if !safety && safe {
		p.act = judge(name)
	}
	return p
}

// validateEndpoints returns what is wrong with mirror.endpoints by itself.
func (o Options) validateEndpoints() []parallax.Fault {
	var faults []parallax.Fault
	for _, key := range slices.Sorted(maps.Keys(o.Endpoints)) {
		if _, err := parallax.ParsePattern(key); err != nil {
			faults = append(faults, parallax.Fault{Path: "endpoints." + key, Text: err.Error(), Hint: `write an endpoint or a pattern, such as "POST /search" or "GET /admin/*"`})
			continue
		}
		if _, err := parseRoute(key); err != nil && !strings.HasSuffix(key, "*") && strings.Count(key, " ") == 1 {
			faults = append(faults, parallax.Fault{Path: "endpoints." + key, Text: err.Error(), Hint: `write a template such as "GET /orders/{id}"`})
			continue
		}
		faults = append(faults, parallax.Under("endpoints."+key, o.Endpoints[key].validate())...)
	}
	return faults
}

func (o EndpointOptions) validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, hint, format string, args ...any) {
		faults = append(faults, parallax.Fault{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	if o == (EndpointOptions{}) {
		fault("", "write safe, unsafe, sample or mirror", "nothing is declared")
	}
	if o.Unsafe != "" && o.Unsafe != UnsafeNever && o.Unsafe != UnsafeAllowed {
		fault("unsafe", "write never or allowed", "unknown value %q", o.Unsafe)
	}
	if s := o.Sample; s != nil && !(*s >= 0 && *s <= 1) {
		fault("sample", "write a number from 0 to 1", "a share of %v", *s)
	}
	off := o.Mirror != nil && !*o.Mirror
	if off && o.Sample != nil {
		fault("sample", "leave it out, or leave mirror: false out", "it can never matter: mirror is false")
	}
	if off && o.Unsafe == UnsafeAllowed {
		fault("unsafe", "leave it out, or leave mirror: false out", "it can never matter: mirror is false")
	}
	if o.Safe != nil && *o.Safe && o.Unsafe != "" {
		fault("unsafe", "leave it out, or leave safe: true out", "it can never matter: safe is true")
	}
	return faults
}

// idleDeclarations returns the declarations that can never matter, given the
// legs and the endpoints of the service.
func (s Service) idleDeclarations() []parallax.Fault {
	var faults []parallax.Fault
	if s.Tap && s.Mirror.Watchdog.Enabled {
		faults = append(faults, parallax.Fault{Path: "mirror.watchdog.enabled", Text: "it can never matter: with tap nobody waits for the live leg", Hint: "leave it out"})
	}
	for _, d := range s.Mirror.declarations() {
		fault := func(path, hint, format string, args ...any) {
			at := "mirror.endpoints." + d.key
			if path != "" {
				at += "." + path
			}
			faults = append(faults, parallax.Fault{Path: at, Text: "it can never matter: " + fmt.Sprintf(format, args...), Hint: hint})
		}
		if variable := s.unknownVariable(d.Pattern); variable != "" {
			fault("", "list in endpoints the templates that begin like this", "no endpoint has a variable %s there", variable)
			continue
		}
		if segment := s.neverNamed(d.Pattern); segment != "" {
			fault("", fmt.Sprintf("write the endpoint's template, with %s for %q, or a pattern that ends in *", class(segment), segment), "no endpoint is called this")
			continue
		}
		method := d.Method()
		unsafe := method == "*" || !safe(method) || d.Safe != nil && !*d.Safe
		if d.Unsafe == UnsafeAllowed && !unsafe {
			fault("unsafe", "declare safe: false as well, if it is an act", "requests with the method %s are safe", method)
		} else if d.Unsafe == UnsafeAllowed && !s.someLegTakesUnsafe() {
			fault("unsafe", "declare the state of the candidate: none, dry or own", "no leg may get unsafe requests as a shadow")
		}
		if d.Sample != nil && method != "*" && !safe(method) && (d.Safe == nil || !*d.Safe) && s.onlyOwnTakeUnsafe() {
			fault("sample", "leave it out", "unsafe requests are mirrored to legs whose state is own, and never left out there")
		}
	}
	return faults
}

// neverNamed returns the segment of a whole path that is plainly a value, so that
// templates have its class in its place; "" when an endpoint may be called this.
func (s Service) neverNamed(p parallax.Pattern) string {
	path, beginning := p.Path()
	if beginning || slices.ContainsFunc(s.declaredRoutes(), p.Matches) {
		return ""
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch class(segment) {
		case "{id}", "{uuid}", "{date}", "{hash}":
			return segment
		}
	}
	return ""
}

// unknownVariable returns the variable of a beginning that no template has there;
// "" when endpoints may begin like this.
func (s Service) unknownVariable(p parallax.Pattern) string {
	path, beginning := p.Path()
	if !beginning || slices.ContainsFunc(s.declaredRoutes(), p.Matches) {
		return ""
	}
	for segment := range strings.SplitSeq(path, "/") {
		if hasVariable(segment) && segment != further && !slices.Contains(classes, segment) {
			return segment
		}
	}
	return ""
}

// declaredRoutes are the endpoints that the configuration or a document names.
func (s Service) declaredRoutes() []string {
	return slices.Concat(s.Endpoints, s.Documented)
}

func (s Service) someLegTakesUnsafe() bool {
	return slices.ContainsFunc(s.otherLegs(), func(l LegConfig) bool { return l.State.TakesUnsafe() })
}

func (s Service) onlyOwnTakeUnsafe() bool {
	legs := s.otherLegs()
	return s.someLegTakesUnsafe() && !slices.ContainsFunc(legs, func(l LegConfig) bool { return l.State == None || l.State == Dry })
}

// otherLegs are the legs besides the primary that are configured.
func (s Service) otherLegs() []LegConfig {
	var out []LegConfig
	for _, l := range []LegConfig{s.Candidate, s.Secondary} {
		if len(l.URLs) > 0 {
			out = append(out, l)
		}
	}
	return out
}

// Suspicious is an endpoint that looks like an act although its method is safe.
type Suspicious struct{ Endpoint, Why string }

// SuspiciousEndpoints returns the configured endpoints that are not mirrored
// because they look like acts, until mirror.endpoints declares them. Others may
// turn up with traffic.
func (s Service) SuspiciousEndpoints() []Suspicious {
	var out []Suspicious
	declared := s.Mirror.declarations()
	for _, name := range s.declaredRoutes() {
		method, template, _ := strings.Cut(name, " ")
		if p := policyOf(name, safe(method), s.Mirror, declared); p.act != nil && !p.off {
			if why := actInPath(template); why != "" {
				out = append(out, Suspicious{name, why})
			}
		}
	}
	return out
}
