// Package yamlstrict decodes YAML into structs and reports every fault at once,
// each with its line, its path and, where one can be guessed, a suggestion.
//
// A key that the struct does not have is a fault, and so are duplicate keys,
// values of another type, aliases and more than one document. Keys that are
// planned but not there yet are named as such. Reading goes on after a fault, so
// that one run shows them all.
package yamlstrict

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Fault is one thing that is wrong, where, and what to write instead. Line and
// Column count from 1; they are 0 when the fault has no place in the document.
type Fault struct {
	File         string
	Line, Column int
	Path         string
	Text         string
	Hint         string
}

// Error returns the fault in one line, in the form compilers use.
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Text)
	if f.Hint != "" {
		b.WriteString("; " + f.Hint)
	}
	return b.String()
}

// Document is a decoded document. It remembers where its values stood, so that
// later validation can point at lines too.
type Document struct {
	file string
	root *yaml.Node
}

// Defaulter is a list element or map value that does not start from zero.
type Defaulter interface{ SetDefaults() }

// Decode reads data into the struct that into points at. Fields are matched by
// their yaml tag; fields without one are not read. What the document does not
// mention keeps the value it has. file is used in messages only.
func Decode(file string, data []byte, into any) (*Document, []Fault) {
	doc := &Document{file: file}
	parser := yaml.NewDecoder(strings.NewReader(string(data)))
	var top yaml.Node
	if err := parser.Decode(&top); err != nil {
		if errors.Is(err, io.EOF) {
			return doc, nil
		}
		return doc, []Fault{syntaxFault(file, err)}
	}
	doc.root = top.Content[0]
	d := &decoder{file: file}
	var next yaml.Node
	if err := parser.Decode(&next); err == nil {
		d.fault(&next, "", "a second document begins here", "keep one document a file")
	}
	d.value(doc.root, reflect.ValueOf(into).Elem(), "")
	return doc, d.faults
}

// At returns a fault at path, with the line of the deepest part of path that
// the document has.
func (doc *Document) At(path, text, hint string) Fault {
	f := Fault{File: doc.file, Path: path, Text: text, Hint: hint}
	node := doc.root
	for _, step := range splitPath(path) {
		next := child(node, step)
		if next == nil {
			break
		}
		node = next
	}
	if node != nil {
		f.Line, f.Column = node.Line, node.Column
	}
	return f
}

// child returns the node that one step of a path leads to, nil if there is none.
func child(node *yaml.Node, step string) *yaml.Node {
	if node == nil {
		return nil
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if n, err := strconv.Atoi(step); err == nil && n >= 0 && n < len(node.Content) {
			return node.Content[n]
		}
	}
	return nil
}

var pathStep = regexp.MustCompile(`\["([^"]*)"\]|\[(\d+)\]|([^.\[\]]+)`)

func splitPath(path string) []string {
	var steps []string
	for _, m := range pathStep.FindAllStringSubmatch(path, -1) {
		steps = append(steps, m[1]+m[2]+m[3])
	}
	return steps
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

func syntaxFault(file string, err error) Fault {
	f := Fault{File: file, Text: err.Error(), Hint: "this is not valid YAML; nothing after this place was read"}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		f.Line, _ = strconv.Atoi(m[1])
		f.Text = m[2]
	}
	return f
}

type decoder struct {
	file   string
	faults []Fault
}

func (d *decoder) fault(n *yaml.Node, path, text, hint string) {
	d.faults = append(d.faults, Fault{File: d.file, Line: n.Line, Column: n.Column, Path: path, Text: text, Hint: hint})
}

var durationType = reflect.TypeFor[time.Duration]()

func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		d.fault(n, path, "aliases are not read", "write the value out")
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // Written but empty: keep the default.
	}
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		if !v.IsNil() {
			fresh.Elem().Set(v.Elem())
		}
		d.value(n, fresh.Elem(), path)
		v.Set(fresh)
		return
	}
	if u, ok := v.Addr().Interface().(yaml.Unmarshaler); ok {
		if err := u.UnmarshalYAML(n); err != nil {
			d.fault(n, path, err.Error(), "")
		}
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind != yaml.ScalarNode {
			d.wrongType(n, path, "a single value")
		} else if err := u.UnmarshalText([]byte(n.Value)); err != nil {
			d.fault(n, path, err.Error(), "")
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) wrongType(n *yaml.Node, path, want string) {
	got := "a list"
	switch {
	case n.Kind == yaml.MappingNode:
		got = "a mapping"
	case n.Kind == yaml.ScalarNode:
		got = fmt.Sprintf("%q", n.Value)
	}
	d.fault(n, path, fmt.Sprintf("want %s, found %s", want, got), "")
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, path, "a mapping")
		return
	}
	fields := Fields(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if seen[key.Value] {
			d.fault(key, at, "this key is there twice", "keep one of them")
			continue
		}
		seen[key.Value] = true
		index, ok := fields[key.Value]
		if !ok {
			d.fault(key, at, "unknown key", suggest(key.Value, fields))
			continue
		}
		d.value(value, v.FieldByIndex(index), at)
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.wrongType(n, path, "a list")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		setDefaults(out.Index(i))
		d.value(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, path, "a mapping")
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := reflect.ValueOf(n.Content[i].Value).Convert(v.Type().Key())
		at := fmt.Sprintf("%s[%q]", path, n.Content[i].Value)
		if out.MapIndex(key).IsValid() {
			d.fault(n.Content[i], at, "this key is there twice", "keep one of them")
			continue
		}
		item := reflect.New(v.Type().Elem()).Elem()
		setDefaults(item)
		d.value(n.Content[i+1], item, at)
		out.SetMapIndex(key, item)
	}
	v.Set(out)
}

func setDefaults(v reflect.Value) {
	if d, ok := v.Addr().Interface().(Defaulter); ok {
		d.SetDefaults()
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	want, hint := scalarNames(v)
	if n.Kind != yaml.ScalarNode {
		d.wrongType(n, path, want)
		return
	}
	if err := setScalar(n, v); err != nil {
		d.fault(n, path, fmt.Sprintf("want %s, found %q", want, n.Value), hint)
	}
}

func scalarNames(v reflect.Value) (want, hint string) {
	switch {
	case v.Type() == durationType:
		return "a duration", "write it like 500ms, 5s or 24h"
	case v.Kind() == reflect.Bool:
		return "true or false", ""
	case v.CanInt() || v.CanUint():
		return "a whole number", ""
	case v.CanFloat():
		return "a number", ""
	}
	return "text", "put it in quotes"
}

var errType = errors.New("wrong type")

func setScalar(n *yaml.Node, v reflect.Value) error {
	switch {
	case v.Type() == durationType:
		d, err := time.ParseDuration(n.Value)
		if err != nil || d < 0 {
			return errType
		}
		v.SetInt(int64(d))
		return nil
	case v.Kind() == reflect.String:
		// A number or a word such as true is text too where text is wanted.
		v.SetString(n.Value)
		return nil
	case v.Kind() == reflect.Bool && n.Tag != "!!bool",
		(v.CanInt() || v.CanUint()) && n.Tag != "!!int",
		v.CanFloat() && n.Tag != "!!int" && n.Tag != "!!float":
		return errType
	}
	return n.Decode(v.Addr().Interface())
}

// Fields returns the index of every field of a struct type by its YAML key.
// Fields of embedded structs are included.
func Fields(t reflect.Type) map[string][]int {
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name != "" && name != "-" && f.IsExported() {
			fields[name] = f.Index
		}
	}
	return fields
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func suggest(key string, fields map[string][]int) string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	sort.Strings(names)
	return Suggest(key, names)
}

// Suggest says which of the names somebody may have meant, all of them where none is near.
func Suggest(key string, names []string) string {
	if len(key) > 64 {
		key = key[:64]
	}
	best, at := "", len(strings.TrimLeft(key, "-"))/2+1 // the dashes of a flag are no likeness
	for _, name := range names {
		if n := distance(strings.ToLower(key), name); n < at {
			best, at = name, n
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "known here: " + strings.Join(names, ", ")
}

// distance is the optimal string alignment distance: insertions, deletions,
// changes and swaps of neighbours cost one each.
func distance(a, b string) int {
	cost := make([][]int, len(a)+1)
	for i := range cost {
		cost[i] = make([]int, len(b)+1)
		cost[i][0] = i
	}
	for j := range cost[0] {
		cost[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := cost[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			cost[i][j] = min(change, cost[i-1][j]+1, cost[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cost[i][j] = min(cost[i][j], cost[i-2][j-2]+1)
			}
		}
	}
	return cost[len(a)][len(b)]
}
