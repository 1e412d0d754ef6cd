package yamlstrict_test

import (
	"strings"
	"testing"
	"time"

	"parallax"
	"parallax/internal/yamlstrict"

	"github.com/google/go-cmp/cmp"
)

type leg struct {
	URLs  []string `yaml:"urls"`
	State string   `yaml:"state"`
}

func (l *leg) SetDefaults() { l.State = "shared" }

type config struct {
	Name    string         `yaml:"name"`
	Sample  float64        `yaml:"sample"`
	Limit   int            `yaml:"limit"`
	Timeout time.Duration  `yaml:"timeout"`
	Max     parallax.Size  `yaml:"max"`
	Auto    bool           `yaml:"auto"`
	Legs    []leg          `yaml:"legs"`
	Pins    map[string]leg `yaml:"pins"`
	Other   *leg           `yaml:"other"`
	Tap     bool           `yaml:"tap"`
}

func TestDecode(t *testing.T) {
	t.Parallel()
	got := config{Sample: 1, Limit: 7}
	_, faults := yamlstrict.Decode("c.yaml", []byte(`
name: shop
sample: 0.5
limit:            # empty keeps the default
timeout: 5s
max: 1MiB
auto: true
legs: [{urls: [a, b]}, {state: own}]
pins: {"staff-1": {state: none}}
other: {state: dry}
`), &got)
	want := config{
		Name: "shop", Sample: 0.5, Limit: 7, Timeout: 5 * time.Second, Max: 1 << 20, Auto: true,
		Legs: []leg{{URLs: []string{"a", "b"}, State: "shared"}, {State: "own"}}, Pins: map[string]leg{"staff-1": {State: "none"}}, Other: &leg{State: "dry"},
	}
	if d := cmp.Diff(want, got); d != "" || faults != nil {
		t.Errorf("faults %v, (-want +got)\n%s", faults, d)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	f := func(yaml string, want ...string) {
		t.Helper()
		var got []string
		_, faults := yamlstrict.Decode("c.yaml", []byte(yaml), &config{})
		for _, fault := range faults {
			got = append(got, fault.Error())
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got)\n%s", yaml, d)
		}
	}
	f("")
	f("nmae: x", `c.yaml:1: nmae: unknown key; did you mean "name"?`)
	f("name: x\nzzzzzz: 1\n", `c.yaml:2: zzzzzz: unknown key; known here: auto, legs, limit, max, name, other, pins, sample, tap, timeout`)
	f("name: x\nname: y", `c.yaml:2: name: this key is there twice; keep one of them`)
	f("sample: lots\nlimit: 1.5\nauto: maybe\n",
		`c.yaml:1: sample: want a number, found "lots"`,
		`c.yaml:2: limit: want a whole number, found "1.5"`,
		`c.yaml:3: auto: want true or false, found "maybe"`)
	f("timeout: 5", `c.yaml:1: timeout: want a duration, found "5"; write it like 500ms, 5s or 24h`)
	f("timeout: -5s", `c.yaml:1: timeout: want a duration, found "-5s"; write it like 500ms, 5s or 24h`)
	f("max: 1 apple", `c.yaml:1: max: cannot read size "1 apple": write it like 512KiB, 1MiB or 10GiB`)
	f("legs: {urls: []}", `c.yaml:1: legs: want a list, found a mapping`)
	f("legs:\n- urls: []\n- url: a\n", `c.yaml:3: legs[1].url: unknown key; did you mean "urls"?`)
	f("legs: [[]]", `c.yaml:1: legs[0]: want a mapping, found a list`)
	f("legs: [&a {}, *a]", `c.yaml:1: legs[1]: aliases are not read; write the value out`)
	f("name: a\n---\nname: b", `c.yaml:2: a second document begins here; keep one document a file`)
	f("pins: {a: {}, a: {}}", `c.yaml:1: pins["a"]: this key is there twice; keep one of them`)
	f("name: [", `c.yaml:1: did not find expected node content; this is not valid YAML; nothing after this place was read`)
}

func TestDocumentAt(t *testing.T) {
	t.Parallel()
	doc, _ := yamlstrict.Decode("c.yaml", []byte("name: x\nlegs:\n- urls: [a]\n- state: own\npins:\n  \"a.b\": {state: x}\n"), &config{})
	f := func(path string, line int) {
		t.Helper()
		if got := doc.At(path, "t", "h"); got.Line != line || got.Path != path {
			t.Errorf("At(%q) = line %d, want %d", path, got.Line, line)
		}
	}
	f("legs[1].state", 4)
	f("legs[1].missing", 4)
	f("legs[7]", 3)
	f(`pins["a.b"].state`, 6)
	f("", 1)
}

func FuzzDecode(f *testing.F) {
	f.Add("name: shop\nlegs: [{urls: [a]}]")
	f.Add("pins: {a: {state: *x}}")
	f.Fuzz(func(t *testing.T, text string) {
		doc, faults := yamlstrict.Decode("c.yaml", []byte(text), &config{})
		for _, fault := range faults {
			if fault.Error() == "" || strings.Contains(fault.Text, "reflect") {
				t.Errorf("fault says nothing useful: %+v", fault)
			}
		}
		doc.At("legs[0].urls[0]", "", "")
	})
}
