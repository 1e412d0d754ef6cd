package ids_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/ids"
)

// TestSheetsAreOfTheirRequest asks for the places of requests in turn: what is remembered
// of one is not another's, also where there are more places than are remembered.
func TestSheetsAreOfTheirRequest(t *testing.T) {
	t.Parallel()
	many := make([]string, 60)
	for i := range many {
		many[i] = fmt.Sprintf("POST /many%d $.id", i)
	}
	configs := []ids.Config{{Name: "order", From: ids.At("POST /orders $.id"), In: ids.At("path:/orders/{id}")}, {Name: "user", From: ids.At("$.user.id"), In: ids.At("GET /users/{id} path:/users/{id}")}}
	more := configs
	for i := range 6 {
		more = append(more, ids.Config{Name: fmt.Sprintf("many%d", i), From: ids.At(many...), In: ids.At("query:many")})
	}
	for name, set := range map[string]*ids.Set{"few": compile(t, configs...), "many": compile(t, more...)} {
		f := func(method, target string, want ...string) {
			t.Helper()
			var got []string
			answer := &parallax.Response{Headers: []parallax.Field{{Name: "Content-Type", Value: "application/json"}}, Body: parallax.Body{Bytes: []byte(`{"id":1,"user":{"id":2}}`)}}
			for _, s := range set.On(parallax.Primary, method, target).BornIn(answer) {
				got = append(got, s.Name+"="+s.Key)
			}
			for _, s := range set.On(parallax.Primary, method, target).InRequest(&parallax.Request{Method: method, Target: target}, nil) {
				got = append(got, s.Name+"="+s.Key)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s: %s %s (-want +got):\n%s", name, method, target, d)
			}
		}
		for range 2 {
			f("POST", "/orders", "order=1", "user=2")
			f("GET", "/orders/7", "user=2", "order=7")
			f("GET", "/users/8", "user=2", "user=8")
			f("POST", "/users/8", "user=2")
		}
	}
}

// BenchmarkSheet finds the places that hold for a request.
func BenchmarkSheet(b *testing.B) {
	set := compile(b, shop...)
	b.ReportAllocs()
	for b.Loop() {
		if set.On(parallax.Candidate, "POST", "/orders").Places() == 0 {
			b.Fatal("no places")
		}
	}
}

// BenchmarkInAnswer looks for identifiers in an answer of 2 KB.
func BenchmarkInAnswer(b *testing.B) {
	set := compile(b, shop[:2]...)
	text := `{"order_id":17,"items":[` + strings.Repeat(`{"sku":"P-1","quantity":3,"unit_cents":1200,"line_cents":3600},`, 30) + `{}]}`
	answer := &parallax.Response{Headers: []parallax.Field{{Name: "Content-Type", Value: "application/json"}}, Body: parallax.Body{Bytes: []byte(text)}}
	b.ReportAllocs()
	for b.Loop() {
		if got := set.On(parallax.Candidate, "GET", "/orders/17").InAnswer(answer); len(got) != 1 {
			b.Fatal(got)
		}
	}
}
