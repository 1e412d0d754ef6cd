package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"parallax"
)

// jsonCall is a call that was answered with a JSON document.
func jsonCall(text string) *parallax.Call {
	return &parallax.Call{Response: parallax.Response{
		Status:  200,
		Headers: []parallax.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "Location", Value: "/x"}, {Name: "Date", Value: "now"}},
		Body:    parallax.Body{Bytes: []byte(text), Size: int64(len(text))},
	}}
}

// against compares a call with a mutant of it.
func against(call *parallax.Call, m Mutant, in Input) Comparison {
	x := &parallax.Exchange{Endpoint: "GET /x", Received: lintDay}
	x.Legs[parallax.Primary], x.Legs[parallax.Candidate] = call, m.Call
	return Compare(x, in)
}

const orderText = ` { "id" : 17, "customer_id": 4, "items": [ {"sku":"A-1","n":1}, {"sku":"B-2","n":2} , 3 ], "note": "a\"b", "paid": true, "gone": null, "empty": {}, "none": [] } `

// TestMutantsAreCaught: without rules and noise no flaw of a JSON answer passes.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	kinds := map[Flaw]int{}
	for seed := range uint64(200) {
		call := jsonCall(orderText)
		for _, m := range Mutants(call, nil, seed, 3) {
			kinds[m.Flaw]++
			if c := against(call, m, Input{}); c.Outcome != Diverged {
				t.Fatalf("%s passes: %d %s\n%+v", m.Flaw, m.Call.Response.Status, m.Call.Response.Body.Bytes, c)
			}
		}
		if string(call.Response.Body.Bytes) != orderText || len(call.Response.Headers) != 3 {
			t.Fatal("the original was changed")
		}
	}
	want := []Flaw{FieldAdded, FieldMissing, HeaderDropped, ItemDropped, ItemsSwapped, StatusChanged, TypeChanged, ValueChanged, WrongReference}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(kinds))); diff != "" {
		t.Error(diff)
	}
}

// TestMutantsOfAnyDocumentAreCaught draws documents.
func TestMutantsOfAnyDocumentAreCaught(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		call := jsonCall(drawDocument(t, 3))
		for _, m := range Mutants(call, nil, rapid.Uint64().Draw(t, "seed"), 2) {
			if c := against(call, m, Input{}); c.Outcome != Diverged || len(c.Differences) == 0 || c.Differences[0].Kind == Undecoded {
				t.Fatalf("%s of %s: %s\n%+v", m.Flaw, call.Response.Body.Bytes, m.Call.Response.Body.Bytes, c)
			}
		}
	})
}

func drawDocument(t *rapid.T, depth int) string {
	kinds := 7
	if depth > 0 {
		kinds = 9
	}
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return "null"
	case 1:
		return "true"
	case 2:
		return fmt.Sprint(rapid.IntRange(-99, 99).Draw(t, "number"))
	case 3:
		return rapid.SampledFrom([]string{"0e5", "-0", "1.0", "1e0", "0.10", "9007199254740993", "1E+2"}).Draw(t, "spelling")
	case 4, 5:
		return `"` + rapid.SampledFrom([]string{"", "a", "zz", "9", `\u00e9`, `\"`, "é", "-", "f0000000-0000-4000-8000-000000000009"}).Draw(t, "text") + `"`
	case 6, 8:
		n := rapid.IntRange(0, 3).Draw(t, "elements")
		list := make([]string, n)
		for i := range list {
			list[i] = drawDocument(t, depth-1)
		}
		return "[" + strings.Join(list, " , ") + "]"
	}
	n := rapid.IntRange(0, 3).Draw(t, "members")
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`%q : %s`, rapid.SampledFrom([]string{"id", "a", "b c", "order_id"}).Draw(t, "name"), drawDocument(t, depth-1))
	}
	return "{" + strings.Join(list, ",") + "}"
}

func TestMutantsAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	one, two := Mutants(jsonCall(orderText), nil, 7, 2), Mutants(jsonCall(orderText), nil, 7, 2)
	if diff := cmp.Diff(one, two); diff != "" {
		t.Error(diff)
	}
}

// TestMutantsOfOtherAnswers: texts and bytes have other values, redacted values
// stay, and what is no whole answer has no mutants.
func TestMutantsOfOtherAnswers(t *testing.T) {
	t.Parallel()
	plain := jsonCall("hello 9")
	plain.Response.Headers[0].Value = "text/plain"
	values := 0
	for _, m := range Mutants(plain, nil, 1, 4) {
		if m.Flaw == ValueChanged {
			values++
		}
		if c := against(plain, m, Input{}); c.Outcome != Diverged {
			t.Errorf("%s passes: %s", m.Flaw, m.Call.Response.Body.Bytes)
		}
	}
	if values != 4 {
		t.Errorf("%d other texts", values)
	}
	for _, m := range Mutants(jsonCall(`["redacted:0123456789abcdef"]`), nil, 1, 4) {
		if m.Flaw == ValueChanged || m.Flaw == TypeChanged || m.Flaw == WrongReference {
			t.Errorf("%s of what was redacted: %s", m.Flaw, m.Call.Response.Body.Bytes)
		}
	}
	failed := jsonCall("{}")
	failed.Err.Kind = parallax.Timeout
	cut := jsonCall("{}")
	cut.Response.Body.Cut = true
	for _, call := range []*parallax.Call{nil, failed, cut} {
		if list := Mutants(call, nil, 1, 1); len(list) > 0 {
			t.Errorf("%d mutants of %+v", len(list), call)
		}
	}
}
