package compare

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/quick"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"parallax"
)

// TestCauses runs the cases of testdata/causes: whatever the values are, one cause
// has one class. want has a line for each normalised path with its kind and class,
// and how often that came.
func TestCauses(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/causes/*.txtar")
	if err != nil || len(files) < 15 {
		t.Fatalf("found %d cases: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { causeCase(t, file) })
	}
}

func causeCase(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	legs := map[string]*parallax.Call{}
	for _, f := range archive.Files {
		if leg, ending, _ := strings.Cut(f.Name, "."); leg != "want" {
			legs[leg] = callOf(t, ending, f.Data)
		}
	}
	forth := causesFound(Compare(pair(legs["primary"], legs["candidate"]), Input{}))
	back := causesFound(Compare(pair(legs["candidate"], legs["primary"]), Input{}))
	want := &archive.Files[len(archive.Files)-1]
	if flag.Lookup("update").Value.String() == "true" {
		want.Data = []byte(forth + "swapped:\n" + back)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(want.Data), forth+"swapped:\n"+back); diff != "" {
		t.Errorf("%s(-want +got)\n%s", archive.Comment, diff)
	}
}

func pair(p, c *parallax.Call) *parallax.Exchange {
	return &parallax.Exchange{Endpoint: "GET /orders/{id}", Received: testTime, Legs: [parallax.Legs]*parallax.Call{p, c}}
}

func causesFound(c Comparison) string {
	var order []string
	n := map[string]int{}
	for _, d := range c.Differences {
		line := fmt.Sprintf("%s  %s  %s", d.Normal, d.Kind, d.Class)
		if n[line]++; n[line] == 1 {
			order = append(order, line)
		}
	}
	var b strings.Builder
	for _, line := range order {
		fmt.Fprintf(&b, "%s  x%d\n", line, n[line])
	}
	return b.String()
}

func TestCausesMirror(t *testing.T) {
	t.Parallel()
	mirrored := func(a, b side) bool {
		there, back := causeOf(Changed, a, b), causeOf(Changed, b, a)
		if name, named := swapped[there]; named {
			return name == back
		}
		_, named := swapped[back]
		return !named
	}
	texts := func(a, b string) bool {
		return a == b || mirrored(side{text: []byte(a), class: "string"}, side{text: []byte(b), class: "string"})
	}
	numbers := func(a, b int16, scaleA, scaleB uint8) bool {
		x, y := fmt.Sprintf("%de%d", a, int(scaleA%8)-5), fmt.Sprintf("%de%d", b, int(scaleB%8)-5)
		return mirrored(side{text: []byte(x), class: "number"}, side{text: []byte(y), class: "number"})
	}
	for name, f := range map[string]any{"texts": texts, "numbers": numbers} {
		if err := quick.Check(f, &quick.Config{MaxCount: 20_000}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLongValuesHaveTheClassOfTheirForm(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxCauseBytes+1)
	got := causeOf(Changed, side{text: []byte(long), class: "string"}, side{text: []byte("x"), class: "string"})
	if got != "string" {
		t.Errorf("a long text has the class %q", got)
	}
}

// FuzzCause asks that looking for a cause never fails and stays in the list.
func FuzzCause(f *testing.F) {
	f.Add("1500", "1.5")
	f.Add("2026-11-21T12:00:00Z", "2026-11-21T14:00:00Z")
	f.Add("Müller", "MÃ¼ller")
	f.Add("1e99999999999", "1")
	f.Fuzz(func(t *testing.T, a, b string) {
		p, c := side{text: []byte(a), class: stringClass([]byte(a))}, side{text: []byte(b), class: stringClass([]byte(b))}
		name := becomes(p, c)
		if name != "" && rank(name) == len(ValueClasses) {
			t.Errorf("%q is not in the list", name)
		}
		_ = causeOf(Changed, p, c)
	})
}
