package compare

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestClasses(t *testing.T) {
	t.Parallel()
	f := func(class, yes, no string) {
		t.Helper()
		for text := range strings.FieldsSeq(yes) {
			if !HasClass(class, []byte(text)) {
				t.Errorf("%q is no %s", text, class)
			}
		}
		for text := range strings.FieldsSeq(no) {
			if HasClass(class, []byte(text)) {
				t.Errorf("%q is a %s", text, class)
			}
		}
		if HasClass(class, nil) || HasClass(class, make([]byte, maxMatched+1)) {
			t.Errorf("nothing, or too much, is a %s", class)
		}
	}
	f("uuid", "7f8b3a52-1c2d-4e5f-8a9b-0c1d2e3f4a5b 7F8B3A52-1C2D-4E5F-8A9B-0C1D2E3F4A5B", "7f8b3a521c2d4e5f8a9b0c1d2e3f4a5b 7f8b3a52-1c2d-4e5f-8a9b-0c1d2e3f4a5g")
	f("timestamp", "2026-11-21T12:00:00Z 2026-11-21t12:00:00.5z 2026-11-21T12:00:00+01:00 2026-11-21T12:00:00", "2026-11-21 2026-13-21T12:00:00Z 1763726400")
	f("date", "2026-11-21", "2026-11-31 2026-11-21T12:00:00Z")
	f("url", "https://a.example/x?y=1 ftp://h", "a.example /x mailto:a@b http://")
	f("email", "a@example.org a.b+c@x.example", "a@ @b a <a@b.c>")
	f("ip", "10.0.0.1 ::1", "10.0.0 10.0.0.256 localhost")
	f("integer", "0 -17 007", "1.5 1e3 - +1")
	f("number", "0 -17 1.5 1e3", "NaN 0x1 .5 1,5")
	f("hex", "ab 00FF", "a abc xy")
	f("base64", "b2Zm b2Zmcw== a-_b", "ab abcde a*cd ====")
	f("jwt", "eyJhbGciOiJub25lIn0.e30. eyJhbGciOiJub25lIn0.e30.c2ln", "eyJhbGciOiJub25lIn0 a.b.c e30.e30")
	if HasClass("guid", []byte("x")) {
		t.Error("there is no class guid")
	}
}

func TestReadTime(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	f := func(text, layout string, want time.Time) {
		t.Helper()
		got, ok := readTime([]byte(text), layout)
		if ok == want.IsZero() || !got.Equal(want) {
			t.Errorf("%q as %s is %v (%v), want %v", text, layout, got, ok, want)
		}
	}
	f("2026-11-21T12:00:00Z", "rfc3339", noon)
	f("2026-11-21 12:00:00", "rfc3339", noon)
	f("2026-11-21T13:00:00.25+01:00", "rfc3339", noon.Add(250*time.Millisecond))
	f("Sat, 21 Nov 2026 12:00:00 GMT", "http", noon)
	f("1795262400", "unix", noon)
	f("1795262400.5", "unix", noon.Add(500*time.Millisecond))
	f("1795262400000", "unix_ms", noon)
	f("1795262400000.25", "unix_ms", noon.Add(250*time.Microsecond))
	f("1e9", "unix", time.Time{})
	f("99999999999999999999", "unix", time.Time{})
	f("2026-11-21", "rfc3339", time.Time{})
	f(strings.Repeat("1", 100), "unix", time.Time{})
}

func TestPlain(t *testing.T) {
	t.Parallel()
	f := func(a, b string, same bool, words ...string) {
		t.Helper()
		r := &rule{source: Rule{Text: words}}
		if got := string(r.plain([]byte(a))) == string(r.plain([]byte(b))); got != same {
			t.Errorf("%v: %q and %q are alike: %v", words, a, b, got)
		}
	}
	f("Abc", "aBC", true, "case")
	f("K", "\u212a", true, "case") // the sign for kelvin
	f("ß", "ss", false, "case")
	f("a\xff", "A\xfe", false, "case")
	f("a\xff", "A\xff", true, "case")
	f(" a\t b ", "a b", true, "space")
	f("a b", "ab", false, "space")
	f("A  b", "a B", true, "case", "space")
}

// Under rules that have no direction, swapping sides mirrors what is found, and
// nothing differs from itself in another order.
func TestArrayModesHaveNoDirection(t *testing.T) {
	rules := [][]Rule{
		{{Path: "$..*", Array: Array{Mode: Multiset}}, {Path: "$", Array: Array{Mode: Multiset}}},
		{{Path: "$..*", Array: Array{Mode: Keyed, Key: Words{"a"}}}, {Path: "$", Array: Array{Mode: Keyed, Key: Words{"a"}}}},
		{{Path: "$..*", Array: Array{Mode: Multiset}}, {Path: "$..a", Class: "integer"}, {Path: "$..b", Null: Words{"missing", "empty"}}},
		{{Path: "$..*", Number: "text"}, {Path: "$..c", Text: Words{"case"}}, {Path: "$..at", Regex: ".*"}},
		{{Path: "$..[?@.a]", Array: Array{Mode: Multiset}}, {Path: "$..c", Tolerance: &Tolerance{Abs: "1"}, Array: Array{Mode: Set}}},
	}
	sets := make([]*Rules, len(rules))
	for i, list := range rules {
		sets[i] = compiled(t, list...)
	}
	pairs(t, 7, func(r *rand.Rand, p, c string) {
		use := r.IntN(len(sets))
		there, back := diffJSON(p, c, sets[use]), diffJSON(c, p, sets[use])
		if there.Outcome != back.Outcome {
			t.Fatalf("rules %d\n%s\n%s\n%s\n%s", use, p, c, found(there), found(back))
		}
		for _, d := range diffJSON(p, strings.ReplaceAll(p, ":", ": "), sets[use]).Differences {
			if d.Kind != Unfit {
				t.Fatalf("rules %d\n%s\n%v", use, p, d)
			}
		}
		if diff := gocmp.Diff(there, diffJSON(p, c, sets[use])); diff != "" {
			t.Fatalf("rules %d\n%s\n%s\n%s", use, p, c, diff)
		}
	})
}

// No rules and no documents make the walk fail, each place is told at most once,
// and what is equal has not moved.
func TestMovesAndExpectations(t *testing.T) {
	var sets []*Rules
	for _, paths := range [][2]string{
		{"$.a", "$.b"}, {"$.a", "$.a.b"}, {"$.a.b", "$.a"}, {"$.a.b", "$.c"}, {"$[*].a", "$[*].b.c"}, {"$..c.a", "$..c.b"},
		{"$[0]", "$[1]"}, {"$.a[0]", "$.b[-1]"}, {"$.*.a", "$.*.b"}, {"$[?@.a].b", "$[?@.a].c"},
	} {
		move := Rule{Path: paths[0], Move: &Move{To: paths[1]}}
		sets = append(sets, compiled(t, move), compiled(t, move, Rule{Path: "$", Array: Array{Mode: Multiset}}, Rule{Path: "$..*", Array: Array{Mode: Keyed, Key: Words{"a", "$.b.c"}}}),
			compiled(t, move, Rule{Path: paths[1], Expect: "any"}, Rule{Path: "$..c", Class: "integer"}))
	}
	pairs(t, 8, func(r *rand.Rand, p, c string) {
		use := r.IntN(len(sets))
		seen := map[string]bool{}
		for _, d := range diffJSON(p, c, sets[use]).Differences {
			if key := d.Path + " " + string(d.Kind); seen[key] && d.Kind != Extra && d.Kind != Unmet {
				t.Fatalf("%v\n%s\n%s\n%s is told twice", sets[use].List(), p, c, key)
			} else {
				seen[key] = true
			}
		}
		for _, d := range diffJSON(p, strings.ReplaceAll(p, ":", ": "), sets[use]).Differences {
			if d.Kind != Unmet && d.Kind != Unfit {
				t.Fatalf("%v\n%s\n%v", sets[use].List(), p, d)
			}
		}
	})
}
