package compare

import (
	"slices"
	"strings"
	"testing"

	"parallax"
)

func TestFacts(t *testing.T) {
	t.Parallel()
	text := `{"a":{"b":[1,2.50]},"c":"x","token":"redacted:0123456789abcdef","7":null}`
	c := &parallax.Call{
		Request: parallax.Request{
			Target:  "/orders/17/items/a%2Fb?page=2&q=&q=%22",
			Headers: []parallax.Field{{Name: "Accept", Value: "*/*"}, {Name: "X-Parallax-Id", Value: "1"}, {Name: "Cookie", Value: "sid=1; theme=dark"}, {Name: "X-Long", Value: strings.Repeat("x", 100)}},
			Body:    parallax.Body{Bytes: []byte(text), Size: int64(len(text))},
		},
		Response: parallax.Response{Status: 404, Headers: []parallax.Field{{Name: "Content-Type", Value: "application/x-www-form-urlencoded; charset=utf-8"}}, Body: parallax.Body{Bytes: []byte("k=v+w"), Size: 5}},
	}
	want := []Fact{
		{"path {id}", "17", false}, {"path {item}", `"a/b"`, false}, {"query page", "2", false}, {"query q", `""`, false}, {"query q", `"\""`, false},
		{"header accept", `"*/*"`, false}, {"cookie sid", "", false}, {"cookie theme", "", false}, {"header x-long", "", false},
		{"body", "", false}, {"body $", "", false}, {"body $.a", "", false}, {"number of elements of body $.a.b", "2", false}, {"body $.a.b[*]", "1", false}, {"body $.a.b[*]", "2.50", false},
		{"body $.c", `"x"`, false}, {"body $.token", "", false}, {"body $.*", "null", false},
		{"status of the primary", "404", true}, {"answer of the primary", "", true}, {"answer of the primary $", "", true},
		{"number of elements of answer of the primary $.k", "1", true}, {"answer of the primary $.k", `"v w"`, true},
	}
	if got := Facts("GET /orders/{id}/items/{item}", c); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestFactsAreBounded: whatever a caller sends, there are 400 at most, each short.
func TestFactsAreBounded(t *testing.T) {
	t.Parallel()
	f := func(target, text string) {
		t.Helper()
		c := &parallax.Call{Request: parallax.Request{Target: target, Body: parallax.Body{Bytes: []byte(text), Size: int64(len(text))}}}
		got := Facts("GET /{a}", c)
		if len(got) > maxFacts || slices.ContainsFunc(got, func(f Fact) bool { return len(f.Value) > maxFactValue || len(f.Place) > maxFactPlace }) {
			t.Errorf("%.30s %.30s gave %d facts: %v", target, text, len(got), got)
		}
	}
	f("/a?"+strings.Repeat("a=1&", 2000), "")
	f("/"+strings.Repeat("a", 10_000), "")
	f("", "")
	f("?%zz", "{")
	f("/%zz", strings.Repeat("[", 100_000))
	f("/a", "["+strings.Repeat(`"a",`, 15_000)+"1]")
	f("/a", `{"`+strings.Repeat("k", 60_000)+`":1}`)
}
