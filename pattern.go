package parallax

import (
	"fmt"
	"strings"
)

// Pattern names endpoints: GET /orders/{id} is that one, GET /orders/* those that
// begin like this, and * in place of the method is any.
type Pattern struct {
	method string // "*": any
	path   string
	prefix bool // path ended in *: it is a beginning
}

// ParsePattern reads a pattern. The error quotes the text that is none: a pattern
// that could match nothing, such as one with * within the path or with a query,
// would quietly declare nothing.
func ParsePattern(text string) (Pattern, error) {
	method, path, _ := strings.Cut(text, " ")
	p := Pattern{method: method}
	p.path, p.prefix = strings.CutSuffix(path, "*")
	anyMethod := method == "*"
	named := IsToken(method) && method == strings.ToUpper(method) && !strings.Contains(method, "*")
	rooted := path == "*" || strings.HasPrefix(path, "/")
	if !anyMethod && !named || !rooted || strings.ContainsAny(p.path, "*?#") || strings.HasSuffix(path, " ") {
		return Pattern{}, fmt.Errorf("cannot read endpoint pattern %q", text)
	}
	return p, nil
}

// Matches reports whether the pattern names an endpoint.
func (p Pattern) Matches(endpoint string) bool {
	method, path, _ := strings.Cut(endpoint, " ")
	return p.Names(method, path)
}

// Names reports whether the pattern names a method and a path.
func (p Pattern) Names(method, path string) bool {
	if p.method != "*" && p.method != method {
		return false
	}
	if p.prefix {
		return strings.HasPrefix(path, p.path)
	}
	return path == p.path
}

// Method is the method a pattern names, "*" for any.
func (p Pattern) Method() string { return p.method }

// Path is the path a pattern names, and whether it is only a beginning.
func (p Pattern) Path() (path string, beginning bool) { return p.path, p.prefix }

// Compare puts the pattern that names less before the one that names more: a
// whole path before a beginning, a longer beginning before a shorter one, a
// method before any. It is 0 for patterns that are alike.
func (p Pattern) Compare(q Pattern) int {
	switch {
	case p.prefix != q.prefix:
		return order(!p.prefix)
	case len(p.path) != len(q.path):
		return order(len(p.path) > len(q.path))
	case (p.method == "*") != (q.method == "*"):
		return order(p.method != "*")
	}
	return strings.Compare(p.method+" "+p.path, q.method+" "+q.path)
}

func order(before bool) int {
	if before {
		return -1
	}
	return 1
}
