package parallax

import "testing"

func TestPatternsThatNameNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "GET", "GET ", " /x", "GET  /x", "get /x", "GET x", "GET,POST /x", "G* /x",
		"GET /orders/*/items", "GET /**", "GET /x?a=1", "GET /x#a", "GET /x ",
	} {
		if p, err := ParsePattern(text); err == nil {
			t.Errorf("%q is read as %+v", text, p)
		}
	}
	for _, text := range []string{"GET *", "* *", "* /x", "GET /", "POST /orders/{id}", "GET /files/{rest...}", "POST /graphql query Get*", "M-SEARCH /x"} {
		if _, err := ParsePattern(text); err != nil {
			t.Error(err)
		}
	}
}
