package compare

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"parallax/internal/body"
)

// jdCase is a case of jd's suite: two documents, options, and what differs.
type jdCase struct {
	Name     string            `json:"name"`
	A        string            `json:"content_a"`
	B        string            `json:"content_b"`
	Options  []json.RawMessage `json:"options"`
	Output   string            `json:"expected_output"`
	Lines    [][]string        `json:"accepted_lines"`
	Fails    bool              `json:"expect_error"`
	Deed     string            `json:"operation"`
	Category string            `json:"category"`
}

// jdElsewhere lists the cases that have no counterpart here: patches, documents
// that are nothing at all, and options that our rules lack.
var jdElsewhere = map[string]string{
	"floating_point_precision": "numbers are exact here",
	"diff_on_allowlist":        "there is no rule that ignores everything but a place",

	// Here tolerances inside sets work: see set_within_tolerance.txtar.
	"precision_with_set_conflict":      "no conflict here",
	"precision_with_multiset_conflict": "no conflict here",
}

// TestJDSpec runs the cases of jd: whether two documents are equal under options,
// which are rules here.
func TestJDSpec(t *testing.T) {
	t.Parallel()
	right := 0
	var elsewhere []string
	for _, file := range []string{"core", "options", "errors"} {
		text, err := os.ReadFile("testdata/jd-spec/" + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var cases []jdCase
		if err := json.Unmarshal(text, &cases); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			if jdElsewhere[c.Name] != "" || c.Deed == "patch" || !isDocument(c.A) || !isDocument(c.B) {
				elsewhere = append(elsewhere, c.Name)
				continue
			}
			right++
			c.check(t)
		}
	}
	t.Logf("%d cases are right, elsewhere are %q", right, elsewhere)
	if right < 55 {
		t.Errorf("only %d cases were run", right)
	}
}

func isDocument(text string) bool {
	_, err := body.ParseJSON([]byte(text), body.DefaultLimits)
	return err == nil
}

func (c *jdCase) check(t *testing.T) {
	t.Helper()
	var rules []Rule
	for _, option := range c.Options {
		rules = append(rules, jdRules(t, option, nil)...)
	}
	set, faults := Compile(rules)
	if c.Fails != (len(faults) > 0) {
		t.Errorf("%s: faults %v, want some: %v", c.Name, faults, c.Fails)
	}
	if c.Fails {
		return
	}
	equal := c.Output == "" && c.Lines == nil
	got := diffJSON(c.A, c.B, set)
	if (got.Outcome == Match) != equal {
		t.Errorf("%s: %s\n%s\n%v\nequal is %v, want %v", c.Name, c.A, c.B, found(got), !equal, equal)
	}
}

// jdRules returns the rules that say what an option of jd does at a path of jd.
func jdRules(t *testing.T, option json.RawMessage, at []any) []Rule {
	var word string
	if json.Unmarshal(option, &word) == nil {
		switch word {
		case "SET", "MULTISET":
			return everywhere(at, Rule{Array: Array{Mode: map[string]ArrayMode{"SET": Set, "MULTISET": Multiset}[word]}})
		case "DIFF_OFF":
			return everywhere(at, Rule{Ignore: true})
		}
	}
	var deed struct {
		Precision *json.Number      `json:"precision"`
		Keys      []string          `json:"keys"`
		At        []any             `json:"@"`
		Then      []json.RawMessage `json:"^"`
	}
	if err := json.Unmarshal(option, &deed); err != nil {
		t.Fatalf("option %s: %v", option, err)
	}
	switch {
	case deed.Precision != nil:
		return everywhere(at, Rule{Tolerance: &Tolerance{Abs: deed.Precision.String()}})
	case deed.Then == nil:
		return everywhere(at, Rule{Array: Array{Mode: Keyed, Key: deed.Keys}})
	}
	var out []Rule
	for _, then := range deed.Then {
		out = append(out, jdRules(t, then, deed.At)...)
	}
	return out
}

// everywhere makes a rule for a place and whatever is below it.
func everywhere(at []any, r Rule) []Rule {
	path := "$"
	for _, step := range at {
		if name, ok := step.(string); ok {
			path += fmt.Sprintf("['%s']", name)
		} else {
			path += fmt.Sprintf("[%v]", step)
		}
	}
	below := r
	r.Path, below.Path = path, path+"..*"
	return []Rule{r, below}
}
