package body

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// everywhere opens every text as a decoding says.
func everywhere(d Decoding) Opener {
	return func(_ []Step, text []byte) []byte {
		out, err := d.Open(text, DefaultLimits, 1<<20)
		if err != nil {
			return nil
		}
		return out
	}
}

func decoding(t testing.TB, text string) Decoding {
	t.Helper()
	d, err := ParseDecoding(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parsed(t testing.TB, text string) *Tree {
	t.Helper()
	tree, err := ParseJSON([]byte(text), DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestOpen(t *testing.T) {
	t.Parallel()
	f := func(how, text, want string, inside ...int) {
		t.Helper()
		tree := parsed(t, text).Open(DefaultLimits, false, everywhere(decoding(t, how)))
		if string(tree.Source) != want {
			t.Errorf("%s of %s: got %s, want %s", how, text, tree.Source, want)
		}
		var got []int
		for i := range tree.Nodes {
			if tree.Nodes[i].Inside {
				got = append(got, i)
			}
		}
		if diff := cmp.Diff(inside, got); diff != "" {
			t.Errorf("%s of %s: (-want +got)\n%s", how, text, diff)
		}
	}
	f("json", `{"a":"{\"b\":[1, 2]}","c":"x","d":" 5 "}`, `{"a":{"b":[1, 2]},"c":"x","d":5}`, 1, 6)
	f("json", `"null"`, `null`, 0)
	f("json", `["x"]`, `["x"]`)
	f("base64", `["AAE=","_-8","!"]`, "[\"\\u0000\\u0001\",\"\xff\xef\",\"!\"]", 1, 2)
	f("base64+json", `["eyJhIjoxfQ"]`, `[{"a":1}]`, 1)
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"u1"}`)) + ".sig"
	f("jwt", `"`+token+`"`, `{"header":{"alg":"none"},"payload":{"sub":"u1"},"signature":"sig"}`, 0)
	f("jwt", `"a.b"`, `"a.b"`)
}

// Texts inside texts are opened by opening again; what opening gave is never opened
// as a text itself.
func TestOpenAgain(t *testing.T) {
	t.Parallel()
	open := everywhere(decoding(t, "json"))
	once := parsed(t, `["{\"a\":\"[1]\"}"," \"7\" "]`).Open(DefaultLimits, false, open)
	twice := once.Open(DefaultLimits, false, open)
	if got := string(twice.Source); got != `[{"a":[1]},"7"]` {
		t.Errorf("got %s", got)
	}
	if again := twice.Open(DefaultLimits, false, open); again != twice {
		t.Errorf("opened a third time: %s", again.Source)
	}
	var inside []int
	for i := range twice.Nodes {
		if twice.Nodes[i].Inside {
			inside = append(inside, i)
		}
	}
	if diff := cmp.Diff([]int{1, 2, 4}, inside); diff != "" {
		t.Error(diff)
	}
}

// A small text that would come to very much stays closed.
func TestOpenIsBounded(t *testing.T) {
	t.Parallel()
	bomb := base64.StdEncoding.EncodeToString(coded(t, "gzip", make([]byte, 4<<20)))
	d := decoding(t, "base64+gzip")
	if _, err := d.Open([]byte(bomb), DefaultLimits, 1<<20); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	deep := parsed(t, `["`+strings.Repeat("[", 20)+strings.Repeat("]", 20)+`"]`)
	if got := deep.Open(Limits{Depth: 10, Nodes: 100}, false, everywhere(decoding(t, "json"))); got != deep {
		t.Errorf("opened past the limit: %s", got.Source)
	}
}

func TestParseDecoding(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		if _, err := ParseDecoding(text); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	f("", `unknown word ""`)
	f("yaml", `unknown word "yaml"`)
	f("json+base64", `unknown word "json"`)
	f("text", "a text is text already")
	f("base64+base64+gzip+gzip+base64", "5 codings, at most 4 are taken off")
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"a":"{\"b\":\"eyJhIjoxfQ\"}"}`), "json")
	f.Add([]byte(`["eyJhIjoxfQ"]`), "base64+json")
	f.Add([]byte(`["e30.e30.x"]`), "jwt")
	f.Fuzz(func(t *testing.T, source []byte, how string) {
		tree, err := ParseJSON(source, DefaultLimits)
		d, wrong := ParseDecoding(how)
		if err != nil || wrong != nil {
			return
		}
		before := bytes.Clone(source)
		opened := tree.Open(DefaultLimits, true, everywhere(d))
		if !bytes.Equal(before, source) {
			t.Fatal("the source is changed")
		}
		if _, err := ParseJSON(opened.Source, DefaultLimits); err != nil {
			t.Fatalf("what was opened is no JSON: %v", err)
		}
	})
}
