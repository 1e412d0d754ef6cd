package graphql_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"parallax/mirror/graphql"
)

func TestFromBody(t *testing.T) {
	t.Parallel()
	f := func(body, want string) {
		t.Helper()
		if got := graphql.FromBody("application/json; charset=utf-8", "", []byte(body)).String(); got != want {
			t.Errorf("%s is %q, want %q", body, got, want)
		}
	}
	f(`{"query":"query GetOrders { orders { id } }"}`, "query GetOrders")
	f(`{"query":"{ orders { id } }","operationName":null,"variables":{"a":[1]},"extensions":{}}`, "query")
	f(` {"query":"mutation Pay($id: ID!) { pay(id: $id) { id } }","variables":{"id":1}}`, "mutation Pay")
	f(`{"query":"mutation { pay }"}`, "mutation")
	f(`{"query":"subscription S { ticks }"}`, "subscription S")
	f(`{"query":"# mutation\nquery A { a }\nmutation B { b }","operationName":"A"}`, "query A")
	f(`{"query":"query A { a } mutation B { b }","operationName":"B"}`, "mutation B")
	f(`{"query":"query A { a ...F } fragment F on T { mutation }"}`, "query A")
	f(`{"query":"query A { a(text: \"\"\"} mutation B { b\"\"\") }"}`, "query A")
	f(`{"query":"# query A { a }\rmutation B { b }"}`, "mutation B")
	f(`{"qu\u0065ry":"query A { a }"}`, "query A")
	f(`{"query":"query `+strings.Repeat("A", 65)+` { a }"}`, "query")
	// Whatever can be read in more than one way is not taken for a query.
	f(`{"query":"query A { a } mutation B { b }"}`, "unclear")
	f(`{"query":"query A { a } mutation B { b }","operationName":""}`, "unclear")
	f(`{"query":"query A { a } mutation B { b }","operationName":"C"}`, "unclear")
	f(`{"query":"query A { a } mutation A { b }","operationName":"A"}`, "unclear")
	f(`{"query":"{ a } mutation B { b }"}`, "unclear")
	f(`{"query":"{ a } mutation B { b }","operationName":"B"}`, "unclear")
	f(`{"query":"query A { a }","query":"mutation B { b }"}`, "unclear")
	f(`{"query":"query A { a }","Query":"mutation B { b }"}`, "unclear")
	f(`{"query":"query A { a }","id":"9f"}`, "unclear")
	f(`{"query":"query A { a }","extensions":{"persistedQuery":{"sha256Hash":"9f"}}}`, "unclear")
	f(`{"operationName":"A","extensions":{"persistedQuery":{"sha256Hash":"9f"}}}`, "unclear")
	f(`{"query":"query A { a }"} {"query":"mutation B { b }"}`, "unclear")
	f(`{"query":"query A { a"}`, "unclear")
	f(`{"query":"query A { a }"`, "unclear")
	f(`{"query":7}`, "unclear")
	f(`{"query":"type T { a: Int }"}`, "unclear")
	f(`{"query":"fragment F on T { a }"}`, "unclear")
	f("{\"query\":\"query A { a(b: \\\"\xff\\\") }\"}", "unclear")
	f(`{"query":"`+strings.Repeat("{a", 15_000)+strings.Repeat("}", 15_000)+`"}`, "unclear")
	f(`"query A { a }"`, "unclear")
	f(``, "unclear")
	f(`null`, "unclear")
	f(`{}`, "unclear")
	// Batches.
	f(`[{"query":"query A { a }"},{"query":"{ b }"}]`, "batch query")
	f(`[{"query":"mutation A { a }"}]`, "batch mutation")
	f(`[{"query":"query A { a }"},{"query":"mutation B { b }"}]`, "batch unclear")
	f(`[{"query":"query A { a }"},`, "batch unclear")
	f(`[]`, "batch unclear")
	f(`[`+strings.Repeat(`{"query":"{ b }"},`, 100)+`{"query":"{ b }"}]`, "batch unclear")
}

func TestFromBodyOfOtherTypes(t *testing.T) {
	t.Parallel()
	f := func(contentType, query, body, want string) {
		t.Helper()
		if got := graphql.FromBody(contentType, query, []byte(body)).String(); got != want {
			t.Errorf("%s %s?%s is %q, want %q", contentType, body, query, got, want)
		}
	}
	f("application/graphql", "", "query A { a }", "query A")
	f("application/graphql", "trace=1", "mutation A { a }", "mutation A")
	f("application/json", "query=mutation{b}", `{"query":"query A { a }"}`, "unclear")
	f("application/json", "operationName=B", `{"query":"query A { a }"}`, "unclear")
	f("application/json", "QUERY=x", `{"query":"query A { a }"}`, "unclear")
	f("application/json", "%zz", `{"query":"query A { a }"}`, "unclear")
	f("application/json; charset=utf-16", "", `{"query":"query A { a }"}`, "unclear")
	f("multipart/form-data; boundary=x", "", `{"query":"query A { a }"}`, "unclear")
	f("", "", `{"query":"query A { a }"}`, "unclear")
}

func TestFromQuery(t *testing.T) {
	t.Parallel()
	f := func(query, want string) {
		t.Helper()
		op, ok := graphql.FromQuery(query)
		got := op.String()
		if !ok {
			got = "none"
		}
		if got != want {
			t.Errorf("%s is %q, want %q", query, got, want)
		}
	}
	f("", "none")
	f("page=1", "none")
	f("query="+url.QueryEscape("query A { a }")+"&variables={}&page=1", "query A")
	f("query="+url.QueryEscape("query A { a } query B { b }")+"&operationName=B", "query B")
	f("query="+url.QueryEscape("mutation A { a }"), "mutation A")
	f("query="+url.QueryEscape("{ a }")+"&query="+url.QueryEscape("mutation A { a }"), "unclear")
	f("query="+url.QueryEscape("{ a }")+"&Query="+url.QueryEscape("mutation A { a }"), "unclear")
	f("query="+url.QueryEscape("{ a }")+"&documentId=7", "unclear")
	f("query="+url.QueryEscape("{ a }")+"&+query="+url.QueryEscape("mutation A { a }"), "unclear")
	f("query="+url.QueryEscape("{ a }")+"&query[]="+url.QueryEscape("mutation A { a }"), "unclear")
	f("query[]="+url.QueryEscape("mutation A { a }"), "unclear")
	f("page[size]=1", "none")
	f("extensions={}", "unclear")
	f("operationName=A", "unclear")
	f("query=%zz", "unclear")
}

// FuzzNoMutationIsAQuery holds what is called a query against a scanner that
// looks at nothing but how each definition of a document begins.
func FuzzNoMutationIsAQuery(f *testing.F) {
	for _, seed := range []string{
		"", "query A { a }", "mutation Pay { pay }", "# x\rmutation Pay { pay }", "query A { a(t: \"\"\"} mutation B { b\"\"\") }",
		"{a} mutation Pay { pay }", "fragment F on T { a }", "\ufeffmutation Pay { pay }", "query A($x: I = {a: 1}) @d(x: {}) { a } mutation Pay { pay }",
	} {
		f.Add(seed, "")
		f.Add(seed, "Pay")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		if !utf8.ValidString(text) || !utf8.ValidString(name) {
			t.Skip()
		}
		body, err := json.Marshal(map[string]any{"query": text, "operationName": name})
		if err != nil {
			t.Skip()
		}
		op := graphql.FromBody("application/json", "", body)
		if op.Kind != graphql.Query {
			return
		}
		runs := 0
		for _, d := range definitions(text) {
			if d[0] == "fragment" || name != "" && (len(d) < 2 || d[1] != name) {
				continue
			}
			if runs++; d[0] != "query" && d[0] != "{" {
				t.Errorf("%q with name %q is %q, but %q runs", text, name, op, d)
			}
		}
		if runs != 1 {
			t.Errorf("%q with name %q is %q, but %d operations could run", text, name, op, runs)
		}
	})
}

// definitions returns the first tokens of each definition of a document.
func definitions(text string) [][]string {
	var out [][]string
	var current []string
	depth := 0
	for rest := text; rest != ""; {
		token, size := next(rest)
		rest = rest[size:]
		if token == "" {
			continue
		}
		if current = append(current, token); depth == 0 && token == "}" {
			return append(out, []string{"}"})
		}
		switch token {
		case "{", "(", "[":
			depth++
		case "}", ")", "]":
			if depth--; depth == 0 && token == "}" {
				out, current = append(out, current), nil
			}
		}
	}
	if current != nil {
		out = append(out, current)
	}
	return out
}

// next returns the first token of a text, "" for what is none, and its size.
func next(text string) (token string, size int) {
	switch c := text[0]; {
	case strings.HasPrefix(text, `"""`):
		for i := 3; i < len(text); i++ {
			if strings.HasPrefix(text[i:], `\"""`) {
				i += 3
			} else if strings.HasPrefix(text[i:], `"""`) {
				return "string", i + 3
			}
		}
		return "string", len(text)
	case c == '"':
		for i := 1; i < len(text); i++ {
			if text[i] == '\\' {
				i++
			} else if text[i] == '"' {
				return "string", i + 1
			}
		}
		return "string", len(text)
	case c == '#':
		if i := strings.IndexAny(text, "\r\n"); i >= 0 {
			return "", i
		}
		return "", len(text)
	case word(c):
		i := 1
		for i < len(text) && word(text[i]) {
			i++
		}
		return text[:i], i
	case strings.IndexByte("{}()[]", c) >= 0:
		return text[:1], 1
	}
	return "", 1
}

func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
