package ids_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax"
	"parallax/internal/ids"
)

func compile(t testing.TB, configs ...ids.Config) *ids.Set {
	t.Helper()
	set, faults := ids.Compile(configs)
	if len(faults) > 0 {
		t.Fatalf("Compile: %v", faults)
	}
	return set
}

var shop = []ids.Config{
	{Name: "order", From: ids.At("POST /orders $.id", "POST /orders location:/orders/{id}"), In: ids.At("path:/orders/{id}", "path:/orders/{id}/**", "query:order", "$.order_id", "$.orders[*]")},
	{Name: "token", From: ids.At("POST /login $.token", "POST /login cookie:sid"), In: ids.At("header:Authorization", "cookie:sid")},
	{Name: "trace", From: ids.At("$.trace"), In: ids.At("path", "query", "body")},
}

// partners stands for a Map in tests: a value has the partner "x" + itself, but
// orders, which are 9000 more.
func partner(s ids.Spot) string {
	value := s.Value(s.Key)
	if s.Name == "order" {
		return "90" + value
	}
	return "x" + value
}

func rewritten(set *ids.Set, method, target, kind, body string, headers ...parallax.Field) (parallax.Request, string, []string) {
	r := parallax.Request{Method: method, Target: target, Headers: append([]parallax.Field{{Name: "Content-Type", Value: kind}}, headers...)}
	var edits []ids.Edit
	var names []string
	for _, s := range set.On(parallax.Candidate, method, target).InRequest(&r, []byte(body)) {
		edits = append(edits, ids.Edit{Span: s.Span, Value: partner(s)})
		names = append(names, s.Name+"="+s.Value(s.Key))
	}
	b := ids.Rewrite(&r, []byte(body), edits)
	return r, string(b), names
}

func TestRequestsAreRewrittenAtTheirPlacesOnly(t *testing.T) {
	t.Parallel()
	set := compile(t, shop...)
	const token = "0f8fad5bd9cb469fa16570867728950e"
	f := func(target, kind, body, wantTarget, wantBody string) {
		t.Helper()
		r, b, _ := rewritten(set, "GET", target, kind, body)
		if r.Target != wantTarget || b != wantBody {
			t.Errorf("%s %s\n got %s %s\nwant %s %s", target, body, r.Target, b, wantTarget, wantBody)
		}
	}
	f("/orders/17", "", "", "/orders/9017", "")
	f("/orders/17/items?order=3&q=17&order=4", "", "", "/orders/9017/items?order=903&q=17&order=904", "")
	f("/orders", "application/json", `{"order_id":17, "quantity" : 17}`, "/orders", `{"order_id":9017, "quantity" : 17}`)
	f("/orders", "application/json; charset=utf-8", `{"order_id":"17","orders":[1,"2"],"n":1}`, "/orders", `{"order_id":"9017","orders":[901,"902"],"n":1}`)
	f("/orders", "application/x-www-form-urlencoded", `quantity=17&order_id=17&orders=1&orders=2`, "/orders", `quantity=17&order_id=9017&orders=901&orders=902`)
	f("/orders", "text/plain", `{"order_id":17}`, "/orders", `{"order_id":17}`)
	f("/orders", "application/json", `{"order_id":17`, "/orders", `{"order_id":17`)
	f("/a/"+token+"/b?x="+token+"&y=17", "application/json", `["`+token+`","administrator",17]`,
		"/a/x"+token+"/b?x=x"+token+"&y=17", `["x`+token+`","administrator",17]`)
	f("/orders/a%2Fb", "", "", "/orders/90a%2Fb", "")
}

func TestHeadersAndCookiesAreRewritten(t *testing.T) {
	t.Parallel()
	set := compile(t, shop...)
	r, _, names := rewritten(set, "GET", "/o", "", "",
		parallax.Field{Name: "Authorization", Value: "Bearer abc"},
		parallax.Field{Name: "cookie", Value: "a=1; sid=xyz; b=sid"},
		parallax.Field{Name: "If-None-Match", Value: `"1,2", W/"3"`},
		parallax.Field{Name: "If-Modified-Since", Value: "Mon, 23 Nov 2026 01:00:00 GMT"})
	want := []parallax.Field{{Name: "Content-Type"},
		{Name: "Authorization", Value: "Bearer xabc"},
		{Name: "cookie", Value: "a=1; sid=xxyz; b=sid"},
		{Name: "If-None-Match", Value: `x"1,2", xW/"3"`},
		{Name: "If-Modified-Since", Value: "xMon, 23 Nov 2026 01:00:00 GMT"}}
	if diff := cmp.Diff(want, r.Headers); diff != "" {
		t.Error(diff)
	}
	wantNames := []string{`etag="1,2"`, `etag=W/"3"`, "last_modified=Mon, 23 Nov 2026 01:00:00 GMT", "token=abc", "token=xyz"}
	if diff := cmp.Diff(wantNames, names); diff != "" {
		t.Error(diff)
	}
}

func TestAnswersNameWhatIsBorn(t *testing.T) {
	t.Parallel()
	set := compile(t, shop...)
	f := func(method, target, body string, headers []parallax.Field, want ...string) {
		t.Helper()
		r := &parallax.Response{Headers: append(headers, parallax.Field{Name: "Content-Type", Value: "application/json"}), Body: parallax.Body{Bytes: []byte(body)}}
		var got []string
		for _, s := range set.On(parallax.Primary, method, target).InAnswer(r) {
			word := s.Name
			if s.Born {
				word += "*"
			}
			got = append(got, word+"="+s.Value(s.Key))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s: %s", method, target, diff)
		}
	}
	f("POST", "/orders", `{"id":17,"order_id":3}`, []parallax.Field{{Name: "Location", Value: "http://127.0.0.1:9001/orders/17"}},
		"order*=17", "order*=17", "order=3")
	f("GET", "/orders", `{"id":17,"items":{"next_cursor":"c1"}}`, nil, "cursor*=c1")
	f("POST", "/login", `{"token":"t1"}`, []parallax.Field{{Name: "Set-Cookie", Value: "sid=s1; Path=/; HttpOnly"}}, "token*=s1", "token*=t1")
	f("GET", "/x", `{}`, []parallax.Field{{Name: "ETag", Value: `W/"7"`}, {Name: "Link", Value: `</x?cursor=p>; rel="prev", </x?cursor=c2&n=3>; rel="last next"`}}, `etag*=W/"7"`, "cursor*=c2")
}

func TestBitsTellIdentifiersFromWords(t *testing.T) {
	t.Parallel()
	f := func(value string, want bool) {
		t.Helper()
		if got := ids.Bits(value) >= 64; got != want {
			t.Errorf("Bits(%q) = %.1f", value, ids.Bits(value))
		}
	}
	f("17", false)
	f("9007199254740993", false)
	f("12345678901234567890", true)
	f("00000000000000000000", false)
	f("administration-of-orders", false)
	f("0f8fad5b-d9cb-469f-a165-70867728950e", true)
	f("0f8fad5bd9cb469f", true)
	f("01HZXK5Q8V7M3N2P4R6S", true)
	f("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123", true)
}

func TestFaultsSayWhatToDo(t *testing.T) {
	t.Parallel()
	f := func(c ids.Config, path, text string) {
		t.Helper()
		_, faults := ids.Compile([]ids.Config{c})
		if len(faults) != 1 || faults[0].Path != path || !strings.Contains(faults[0].Text, text) || faults[0].Hint == "" {
			t.Errorf("%+v\n got %+v\nwant %s %s", c, faults, path, text)
		}
	}
	from, in := ids.At("POST /orders $.id"), ids.At("path:/orders/{id}")
	f(ids.Config{Name: "Order", From: from, In: in}, "[0].name", "cannot be the name")
	f(ids.Config{Name: "etag", From: from}, "[0].name", "built in")
	f(ids.Config{Name: "order", In: in}, "[0].from", "born")
	f(ids.Config{Name: "order", From: from}, "[0].in", "named")
	f(ids.Config{Name: "order", From: from, In: ids.At("order_id")}, "[0].in[0]", "no place")
	f(ids.Config{Name: "order", From: from, In: ids.At("path:/users/{user}/orders/{id}")}, "[0].in[0]", "more than one variable")
	f(ids.Config{Name: "order", From: from, In: ids.At("path:/orders")}, "[0].in[0]", "no variable")
	f(ids.Config{Name: "order", From: ids.At("query:id"), In: in}, "[0].from[0]", "no value is born")
	f(ids.Config{Name: "order", From: ids.At("POST /orders"), In: in}, "[0].from[0]", "names no place")
	f(ids.Config{Name: "order", From: ids.At("$.id["), In: in}, "[0].from[0]", "column")
	f(ids.Config{Name: "order", From: from, In: in, Unmapped: "never"}, "[0].unmapped", "unknown value")
	legs := ids.Places{{"$.id"}, {"$x"}, {"$.id"}}
	f(ids.Config{Name: "order", From: legs, In: in}, "[0].from.candidate[0]", "column")
}

func TestPlacesMayDifferPerLeg(t *testing.T) {
	t.Parallel()
	set := compile(t, ids.Config{Name: "order",
		From: ids.Places{{"$.id"}, {"$.purchase"}, {"$.id"}}, In: ids.Places{{"path:/orders/{id}"}, {"path:/v2/purchases/{id}"}, {"path:/orders/{id}"}}})
	if r, _, _ := rewritten(set, "GET", "/v2/purchases/17", "", ""); r.Target != "/v2/purchases/9017" {
		t.Errorf("the candidate's place is not its own: %s", r.Target)
	}
	if r, _, _ := rewritten(set, "GET", "/orders/17", "", ""); r.Target != "/orders/17" {
		t.Errorf("the primary's place holds for the candidate: %s", r.Target)
	}
}

// FuzzRewrite: a rewritten body is JSON if and only if it was, and differs at named
// places only.
func FuzzRewrite(f *testing.F) {
	f.Add(`{"order_id":17,"quantity":17,"orders":["a\u0022",1e3]}`, "/orders/1?order=2", "17")
	f.Add(`{"order_id":{"order_id":1},"orders":[[1]]}`, "/orders/%zz?order=%", "\x00")
	set := compile(f, shop[:2]...)
	f.Fuzz(func(t *testing.T, body, target, value string) {
		r := parallax.Request{Method: "POST", Target: target, Headers: []parallax.Field{{Name: "Content-Type", Value: "application/json"}}}
		var edits, back []ids.Edit
		spots := set.On(parallax.Candidate, r.Method, target).InRequest(&r, []byte(body))
		for _, s := range spots {
			edits = append(edits, ids.Edit{Span: s.Span, Value: value})
		}
		out := ids.Rewrite(&r, []byte(body), edits)
		if json.Valid([]byte(body)) != json.Valid(out) {
			t.Fatalf("%q became %q", body, out)
		}
		if len(edits) == 0 && (r.Target != target || string(out) != body) {
			t.Fatalf("%q %q became %q %q", target, body, r.Target, out)
		}
		// Every named place put back to what it was gives a document that means the same.
		again := set.On(parallax.Candidate, r.Method, r.Target).InRequest(&r, out)
		if len(again) != len(spots) || value == "" {
			return // an empty value, or one that changes the shape of the path, is not found again
		}
		for i, s := range again {
			back = append(back, ids.Edit{Span: s.Span, Value: spots[i].Value(spots[i].Key)})
		}
		restored := ids.Rewrite(&r, out, back)
		var was, is any
		if json.Unmarshal([]byte(body), &was) != nil {
			return
		}
		if err := json.Unmarshal(restored, &is); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(texts(was), texts(is)); diff != "" {
			t.Fatalf("%q\n%q\n%q\n%s", body, out, restored, diff)
		}
	})
}

// texts makes numbers and texts alike, since a number may have become a text.
func texts(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = texts(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = texts(v[k])
		}
	case float64:
		b, _ := json.Marshal(v)
		return string(b)
	case string:
		var n float64
		if json.Unmarshal([]byte(v), &n) == nil {
			return texts(n)
		}
		return url.QueryEscape(v)
	}
	return v
}
