// Package openapi reads the endpoints of a service from its OpenAPI document.
// Versions 3.0 and 3.1 are read, as JSON or YAML. What a document says about
// schemas, parameters or answers has no influence. Nothing is fetched from the
// network: references lead to files of this machine or to nothing.
package openapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Bounds of what is read.
const (
	MaxFile      = 16 << 20 // bytes of one file
	maxFiles     = 1000     // that a document refers to, itself included
	maxEndpoints = 5000
)

// Endpoints returns the endpoints of the document in a file, sorted, each as
// method and template: GET /v1/orders/{id}. Base paths of the document's
// servers, its paths' and its operations' stand in front. A part of a path with
// several variables, such as {from}-{to}, becomes one: {from-to}.
//
// The error joins all faults that were found. Each begins with the file, and the
// line where it is known.
func Endpoints(file string) ([]string, error) {
	doc, err := load(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the OpenAPI document %s: %w", file, err)
	}
	r := &reader{file: file, doc: doc, seen: map[string]bool{}}
	if doc.Paths.Len() == 0 {
		r.fault(nil, "the document has no paths")
	}
	for path, item := range doc.Paths.Map() {
		r.path(path, item)
	}
	if len(r.faults) > 0 {
		slices.SortFunc(r.faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, errors.Join(r.faults...)
	}
	slices.Sort(r.endpoints)
	return r.endpoints, nil
}

// load reads a document and what it refers to.
func load(file string) (*openapi3.T, error) {
	files := 0
	loader := openapi3.NewLoader()
	loader.IncludeOrigin = true
	loader.IsExternalRefsAllowed = true
	loader.ReadFromURIFunc = func(_ *openapi3.Loader, u *url.URL) ([]byte, error) {
		if u.Host != "" || u.Scheme != "" && u.Scheme != "file" {
			return nil, fmt.Errorf("it refers to %s; only files are read, so put a copy beside it", u.Redacted())
		}
		if files++; files > maxFiles {
			return nil, fmt.Errorf("it refers to more than %d files", maxFiles)
		}
		return read(filepath.FromSlash(u.Path))
	}
	doc, err := loader.LoadFromFile(file)
	switch {
	case err != nil:
		return nil, err
	case doc.OpenAPI == "" && doc.Extensions["swagger"] != nil:
		return nil, errors.New("it is a Swagger 2.0 document; convert it to OpenAPI 3")
	case !strings.HasPrefix(doc.OpenAPI, "3."):
		return nil, fmt.Errorf("its version is %q; OpenAPI 3.0 and 3.1 are read", doc.OpenAPI)
	}
	return doc, nil
}

// read returns the content of a plain file of bounded size.
func read(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", name)
	case info.Size() > MaxFile:
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that are read", name, info.Size(), MaxFile)
	}
	return os.ReadFile(name)
}

// reader collects the endpoints of one document.
type reader struct {
	file      string
	doc       *openapi3.T
	endpoints []string
	seen      map[string]bool
	faults    []error
}

func (r *reader) fault(at *openapi3.Origin, format string, args ...any) {
	place := r.file
	if at != nil && at.Key != nil && at.Key.Line > 0 {
		place = fmt.Sprintf("%s:%d", cmp.Or(at.Key.File, r.file), at.Key.Line)
	}
	r.faults = append(r.faults, fmt.Errorf("%s: %s", place, fmt.Sprintf(format, args...)))
}

func (r *reader) path(path string, item *openapi3.PathItem) {
	if item == nil {
		return
	}
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?#") {
		r.fault(item.Origin, "cannot use the path %q: it begins with a slash and has no query", path)
		return
	}
	template, err := templateOf(path)
	if err != nil {
		r.fault(item.Origin, "cannot use the path %q: %v", path, err)
		return
	}
	for method, op := range item.Operations() {
		if method != strings.ToUpper(method) {
			r.fault(op.Origin, "cannot use the method %q of %q: it is not in capitals", method, path)
			continue
		}
		servers := r.doc.Servers
		if len(item.Servers) > 0 {
			servers = item.Servers
		}
		if op.Servers != nil && len(*op.Servers) > 0 {
			servers = *op.Servers
		}
		for _, base := range r.bases(servers) {
			r.add(method + " " + base + template)
		}
	}
}

func (r *reader) add(endpoint string) {
	switch {
	case r.seen[endpoint]:
	case len(r.endpoints) == maxEndpoints:
		r.fault(nil, "the document has more than %d endpoints", maxEndpoints)
	default:
		r.endpoints = append(r.endpoints, endpoint)
	}
	r.seen[endpoint] = true
}

// bases returns the paths that servers put in front of those of the document,
// without a slash at the end.
func (r *reader) bases(servers openapi3.Servers) []string {
	if len(servers) == 0 {
		return []string{""}
	}
	var out []string
	for _, s := range servers {
		base, err := basePath(s)
		if err != nil {
			r.fault(s.Origin, "cannot use the server %q: %v", s.URL, err)
			continue
		}
		if !slices.Contains(out, base) {
			out = append(out, base)
		}
	}
	return out
}

func basePath(s *openapi3.Server) (string, error) {
	text := s.URL
	for name, v := range s.Variables {
		if v != nil {
			text = strings.ReplaceAll(text, "{"+name+"}", v.Default)
		}
	}
	u, err := url.Parse(text)
	if err != nil || strings.ContainsAny(text, "{} ") {
		return "", errors.New("it is not a URL whose variables have defaults")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if path != "" && path[0] != '/' { // relative to where the document lies
		path = "/" + strings.TrimPrefix(path, "./")
	}
	if path == "/." {
		path = ""
	}
	return path, nil
}

// templateOf returns a path with one variable a segment at most.
func templateOf(path string) (string, error) {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		opens, closes := strings.IndexByte(s, '{'), strings.LastIndexByte(s, '}')
		if opens < 0 && closes < 0 {
			continue
		}
		if opens < 0 || closes < opens || strings.Count(s, "{") != strings.Count(s, "}") {
			return "", fmt.Errorf("the braces of %q do not match", s)
		}
		name := strings.NewReplacer("{", "", "}", "").Replace(s[opens : closes+1])
		if name == "" || strings.HasSuffix(name, "...") {
			return "", fmt.Errorf("the variable of %q has no usable name", s)
		}
		segments[i] = s[:opens] + "{" + name + "}" + s[closes+1:]
	}
	return strings.Join(segments, "/"), nil
}
