package main

import (
	"encoding"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"parallax"
	"parallax/internal/yamlstrict"
	"parallax/mirror"
)

var update = flag.Bool("update", false, "write docs/config.md anew")

const referencePage = "../../docs/config.md"

// TestConfigReference holds docs/config.md against the configuration's structs:
// every key with what may be written there, its default and its sentence.
func TestConfigReference(t *testing.T) {
	t.Parallel()
	page := configReference()
	if *update {
		if err := os.WriteFile(referencePage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(committed), page); diff != "" {
		t.Errorf("docs/config.md is not what the keys say; run go test ./cmd/parallax -run TestConfigReference -update (-page +keys)\n%s", diff)
	}
}

// TestReferenceHasEveryKeyOfTheSchema: what editors are told of, people find too.
func TestReferenceHasEveryKeyOfTheSchema(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, row := range configRows() {
		listed[row.path] = true
	}
	var missing func(path string, schema map[string]any)
	missing = func(path string, schema map[string]any) {
		if items, ok := schema["items"].(map[string]any); ok {
			missing(path+"[]", items)
		}
		if values, ok := schema["additionalProperties"].(map[string]any); ok {
			missing(path+"{}", values)
		}
		properties, _ := schema["properties"].(map[string]any)
		for name, below := range properties {
			key := strings.TrimPrefix(path+"."+name, ".")
			if of := anyLeg.ReplaceAllString(key, "${1}LEG"); !listed[of] {
				t.Errorf("docs/config.md has no %s", of)
			}
			missing(key, below.(map[string]any))
		}
	}
	missing("", yamlstrict.Schema(reflect.TypeFor[Config]()))
	if len(listed) < 150 {
		t.Errorf("%d keys are listed, which cannot be all", len(listed))
	}
}

// anyLeg finds the legs in a path: they have the same keys, which are listed once.
var anyLeg = regexp.MustCompile(`^(services\[\]\.)(primary|candidate|secondary)\b`)

// configRow is one key: where it is, what may be written there, and what holds
// without it.
type configRow struct{ path, shape, standard, doc string }

func configRows() []configRow {
	return rowsOf("", reflect.ValueOf(defaultConfig()))
}

func rowsOf(path string, v reflect.Value) []configRow {
	var rows []configRow
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" || !f.IsExported() {
			continue
		}
		key := strings.TrimPrefix(path+"."+name, ".")
		if f.Type == reflect.TypeFor[mirror.LegConfig]() {
			if name != "primary" {
				continue
			}
			key, f.Tag = path+".LEG", `doc:"the legs: primary, candidate and secondary have the same keys"`
		}
		rows = append(rows, configRow{key, shapeOf(f.Type, f.Tag.Get("enum")), standardOf(v.FieldByIndex(f.Index)), f.Tag.Get("doc")})
		rows = append(rows, below(key, v.FieldByIndex(f.Index))...)
	}
	return rows
}

// below lists the keys inside a key: those of a block, of an element, of what a
// name stands for.
func below(key string, v reflect.Value) []configRow {
	switch {
	case readsItself(v.Type()):
		return nil
	case v.Kind() == reflect.Pointer:
		return below(key, reflect.New(v.Type().Elem()).Elem())
	case v.Kind() == reflect.Slice:
		return below(key+"[]", started(v.Type().Elem()))
	case v.Kind() == reflect.Map:
		return below(key+"{}", started(v.Type().Elem()))
	case v.Kind() == reflect.Struct:
		return rowsOf(key, v)
	}
	return nil
}

// started is an element as reading starts it.
func started(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if d, ok := v.Interface().(yamlstrict.Defaulter); ok {
		d.SetDefaults()
	}
	return v.Elem()
}

// readsItself tells types whose values are no blocks for this page.
func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t == reflect.TypeFor[time.Duration]() || p.Implements(reflect.TypeFor[yaml.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func shapeOf(t reflect.Type, enum string) string {
	switch {
	case enum != "":
		return "`" + strings.ReplaceAll(strings.TrimPrefix(enum, ","), ",", "`, `") + "`"
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[parallax.Size]():
		return "size"
	case reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]()):
		return "see there"
	case readsItself(t):
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return shapeOf(t.Elem(), "")
	case reflect.Struct:
		return "block"
	case reflect.Slice:
		return "list of " + shapeOf(t.Elem(), "")
	case reflect.Map:
		return "map to " + shapeOf(t.Elem(), "")
	case reflect.Bool:
		return "`true`, `false`"
	case reflect.Float64:
		return "number"
	case reflect.String:
		return "text"
	}
	return "whole number"
}

// standardOf is the default as it would be written, or nothing.
func standardOf(v reflect.Value) string {
	if v.IsZero() && v.Kind() != reflect.Bool {
		return "" // its sentence says what that means
	}
	switch d := v.Interface().(type) {
	case time.Duration:
		return zeroUnits.ReplaceAllString(d.String(), "$1")
	case fmt.Stringer:
		return d.String()
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Pointer:
		return ""
	case reflect.Slice, reflect.Map:
		return listed(v)
	}
	return fmt.Sprint(v.Interface())
}

// zeroUnits are the parts of a duration that say nothing: 1h0m0s is 1h.
var zeroUnits = regexp.MustCompile(`([hm])(0[ms])+$`)

func listed(v reflect.Value) string {
	text, err := json.Marshal(v.Interface())
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(text), ",", ", ")
}

// configReference is the page: a table for each key of the top, and for each block
// of a service.
func configReference() string {
	var titles []string
	tables := map[string]*strings.Builder{}
	rows := configRows()
	for i, row := range rows {
		block := i+1 < len(rows) && strings.HasPrefix(rows[i+1].path, row.path+".")
		title := sectionOf(row.path, block || strings.HasSuffix(row.shape, "block"))
		if tables[title] == nil {
			titles, tables[title] = append(titles, title), &strings.Builder{}
		}
		fmt.Fprintf(tables[title], "| `%s` | %s | %s | %s |\n", row.path, row.shape, code(row.standard), cell(row.doc))
	}
	page := referenceHead
	for _, title := range titles {
		page += "\n## " + title + "\n\n| key | value | default | what it is |\n| --- | --- | --- | --- |\n" + tables[title].String()
	}
	return page
}

const referenceHead = "# Every key\n\n" +
	"*Made from the code: `go test ./cmd/parallax -run TestConfigReference -update` writes it. Do not edit it by hand.*\n\n" +
	"A configuration is one YAML file. A key that is not listed here is an error, and so are one that is there twice and a value of another type;\n" +
	"`parallax check -c FILE` says all that is wrong at once, each with its line, and then what the file comes to with all defaults.\n" +
	"`parallax check --schema` prints the same as a JSON Schema, which editors understand.\n\n" +
	"`[]` stands for each element of a list, `{}` for each name of a map, `LEG` for `primary`, `candidate` and `secondary`. Durations are written like\n" +
	"`500ms`, `2s`, `24h`, sizes like `64KiB`, `10GiB`. Paths of files are as seen from the folder of the configuration. An empty default is\n" +
	"nothing, or 0: the sentence beside it says what that means.\n"

// sectionOf is the heading that a key stands under. Services are too much for one
// table: each of their blocks has its own.
func sectionOf(path string, block bool) string {
	first, rest, _ := strings.Cut(path, ".")
	if first != "services[]" {
		if !block && rest == "" {
			return "Files"
		}
		return strings.TrimSuffix(first, "[]")
	}
	name, deeper, _ := strings.Cut(rest, ".")
	if deeper == "" && !block {
		return "services"
	}
	return "services: " + strings.TrimRight(name, "[]{}")
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// cell is a text that a cell of a table can hold.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }
