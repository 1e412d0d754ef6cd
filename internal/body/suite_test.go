package body

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// choices reads the table in testdata/README.md: patterns of cases in which RFC
// 8259 leaves the choice, and whether they are accepted.
func choices(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.HasPrefix(cells[1], " `i_") {
			out[strings.Trim(cells[1], " `")+".json"] = strings.TrimSpace(cells[2]) == "accepted"
		}
	}
	return out
}

// wanted says what is to become of a case; known is false if no row names it.
func wanted(t *testing.T, name string, table map[string]bool) (accepted, known bool) {
	if name[0] != 'i' {
		return name[0] == 'y', true
	}
	for pattern, choice := range table {
		match, err := filepath.Match(pattern, name)
		if err != nil {
			t.Fatal(err)
		}
		if match {
			return choice, true
		}
	}
	return false, false
}

func TestJSONTestSuite(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/json-test-suite/test_parsing/*.json")
	if err != nil || len(files) < 300 {
		t.Fatalf("found %d files: %v", len(files), err)
	}
	table := choices(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		want, known := wanted(t, name, table)
		if !known {
			t.Errorf("%s: testdata/README.md does not say what becomes of it", name)
		}
		_, err = ParseJSON(text, DefaultLimits)
		if got := err == nil; got != want {
			t.Errorf("%s: accepted is %t, want %t (%v)", name, got, want, err)
		}
	}
}

type pathCase struct {
	Name     string          `json:"name"`
	Selector string          `json:"selector"`
	Document json.RawMessage `json:"document"`
	Invalid  bool            `json:"invalid_selector"`
	Paths    []string        `json:"result_paths"`
	Either   [][]string      `json:"results_paths"`
}

// TestJSONPathSuite runs the compliance suite: each case is answered as the suite
// has it, or refused with a column. The valid selectors that are refused are
// pinned in testdata/refused.txt.
func TestJSONPathSuite(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/jsonpath-cts/cts.json")
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests []pathCase `json:"tests"`
	}
	if err := json.Unmarshal(text, &suite); err != nil {
		t.Fatal(err)
	}
	right, invalid := 0, 0
	var refused []string
	for _, c := range suite.Tests {
		path, err := ParsePath(c.Selector)
		var wrong *PathError
		switch {
		case err != nil && (!errors.As(err, &wrong) || wrong.Column < 1):
			t.Errorf("%s: no column: %v", c.Name, err)
		case err != nil && c.Invalid:
			invalid++
		case err != nil:
			refused = append(refused, fmt.Sprintf("%q  column %d: %s", c.Selector, wrong.Column, wrong.Text))
		case c.Invalid:
			t.Errorf("%s: %s was accepted", c.Name, c.Selector)
		default:
			right++
			checkSelection(t, c, path)
		}
	}
	t.Logf("of %d cases %d are right, %d invalid selectors refused, %d valid ones refused", len(suite.Tests), right, invalid, len(refused))
	pinned, err := os.ReadFile("testdata/refused.txt")
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(strings.Split(string(pinned), "\n"), append(refused, "")); diff != "" {
		t.Errorf("other selectors are refused than testdata/refused.txt has (-pinned +refused)\n%s\n%s", diff, strings.Join(refused, "\n"))
	}
}

// checkSelection compares what a path selects with what the suite says, as sets:
// a rule either is about a value or is not.
func checkSelection(t *testing.T, c pathCase, path *Path) {
	t.Helper()
	want := [][]string{c.Paths}
	if c.Either != nil {
		want = c.Either
	}
	got := selected(t, c.Document, path)
	for _, w := range want {
		w = slices.Compact(slices.Sorted(slices.Values(w)))
		if cmp.Equal(w, got) {
			return
		}
	}
	t.Errorf("%s: %s selects %q, want %q", c.Name, c.Selector, got, want)
}

// selected returns the normalised paths of the values that path matches, sorted.
func selected(t *testing.T, document []byte, path *Path) []string {
	tree, err := ParseJSON(document, DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	doc := NewDoc(tree)
	var walk func(node int32, steps []Step, at string)
	walk = func(node int32, steps []Step, at string) {
		if path.Matches(steps) {
			out = append(out, at)
		}
		n := tree.Nodes[node]
		index := 0
		for child := node + 1; child < n.Next; child = tree.Nodes[child].Next {
			step := Step{Index: index, Len: int(n.Count), Element: n.Kind == Array, Doc: doc, Node: child}
			below := fmt.Sprintf("%s[%d]", at, index)
			if n.Kind == Object {
				step.Name = string(tree.Name(child))
				below = fmt.Sprintf("%s['%s']", at, normalName(step.Name))
			}
			walk(child, append(steps[:len(steps):len(steps)], step), below)
			index++
		}
	}
	walk(0, nil, "$")
	slices.Sort(out)
	return out
}

// normalName writes a name as RFC 9535, section 2.7 has it.
func normalName(name string) string {
	var b bytes.Buffer
	for _, r := range name {
		switch {
		case r == '\'' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r < 0x20:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
