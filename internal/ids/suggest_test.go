package ids

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parallax"
)

// told is one exchange with JSON bodies. The legs' answers differ in what %d is.
func told(method, target, authorization, asked, answer string, primary, candidate int) *parallax.Exchange {
	headers := []parallax.Field{{Name: "Content-Type", Value: "application/json"}}
	x := &parallax.Exchange{}
	for leg, n := range []int{primary, candidate} {
		q := parallax.Request{Method: method, Target: target, Headers: headers, Body: parallax.Body{Bytes: []byte(asked)}}
		if authorization != "" {
			q.Headers = append(q.Headers[:1:1], parallax.Field{Name: "Authorization", Value: authorization})
		}
		x.Legs[leg] = &parallax.Call{Request: q, Response: parallax.Response{Status: 200, Headers: headers, Body: parallax.Body{Bytes: fmt.Appendf(nil, answer, n)}}}
	}
	return x
}

// life adds what 20 users of a shop do. Orders and users are called by small
// numbers that are the same, quantities are too.
func life(s *Suggester) {
	at := time.Unix(1_800_000_000, 0)
	for i := range 20 {
		tick := func() time.Time { at = at.Add(time.Second); return at }
		own, other := i+1, 500-i
		token := fmt.Sprintf("tok-8c1f0be27a%010d", own)
		s.Add("POST /users", tick(), told("POST", "/users", "", `{}`, `{"id":%d,"rank":7}`, own, 300+i))
		s.Add("POST /login", tick(), told("POST", "/login", "", `{}`, `{"token":"tok-8c1f0be27a%010d"}`, own, 7000+i))
		s.Add("POST /orders", tick(), told("POST", "/orders", "Bearer "+token, fmt.Sprintf(`{"quantity":%d,"user_id":%d}`, i%5+1, own), `{"id":%d}`, own, other))
		s.Add("GET /orders/{id}", tick(), told("GET", fmt.Sprintf("/orders/%d", own), "Bearer "+token, "", `{"id":%d,"at":1}`, own, other))
		s.Add("GET /clock", tick(), told("GET", "/clock", "", "", `{"now":%d}`, 100_000+i, 200_000+i))
	}
}

// TestSuggested finds what legs made up, and keeps small numbers of one thing apart
// from those of another.
func TestSuggested(t *testing.T) {
	t.Parallel()
	var s Suggester
	life(&s)
	var got []string
	for _, one := range s.Suggest() {
		got = append(got, one.YAML)
		if one.Named != 20 {
			t.Errorf("%s: later requests named %d of 20", one.Name, one.Named)
		}
	}
	want := []string{
		`- { name: order, from: ["POST /orders $.id"], in: ["GET /orders/{id} $.id", "path:/orders/{id}"] }`,
		`- { name: token, from: ["POST /login $.token"], in: ["header:Authorization"] }`,
		`- { name: user, from: ["POST /users $.id"], in: ["$.user_id"] }`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("suggestions (-want +got)\n%s", d)
	}
}

// TestNothingIsSuggested where legs agree, where values are not one to one, and
// where nobody names them later.
func TestNothingIsSuggested(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_800_000_000, 0)
	for name, candidate := range map[string]func(i int) int{
		"the same":         func(i int) int { return i },
		"not one to one":   func(i int) int { return 1000 + i/2 },
		"mostly the same":  func(i int) int { return i + i%4/3*1000 },
		"two at one value": func(i int) int { return 1000 },
	} {
		var s Suggester
		for i := range 20 {
			s.Add("POST /orders", at.Add(time.Duration(i)*time.Second), told("POST", "/orders", "", "{}", `{"id":%d}`, i, candidate(i)))
			s.Add("GET /orders/{id}", at.Add(time.Duration(100+i)*time.Second), told("GET", fmt.Sprintf("/orders/%d", i), "", "", `{"n":%d}`, 1, 1))
		}
		if got := s.Suggest(); len(got) > 0 {
			t.Errorf("%s: %s", name, got[0].YAML)
		}
	}
	var s Suggester
	for i := range 20 {
		s.Add("GET /orders/{id}", at.Add(time.Duration(i)*time.Second), told("GET", fmt.Sprintf("/orders/%d", i), "", "", `{"n":%d}`, 1, 1))
		s.Add("POST /orders", at.Add(time.Duration(100+i)*time.Second), told("POST", "/orders", "", "{}", `{"id":%d}`, i, 1000+i))
	}
	if got := s.Suggest(); len(got) > 0 {
		t.Errorf("named before it was made up: %s", got[0].YAML)
	}
}

// TestSuggesterIsBounded in places and values, and counts what it left.
func TestSuggesterIsBounded(t *testing.T) {
	t.Parallel()
	var s Suggester
	for i := range 2000 {
		s.Add(fmt.Sprintf("POST /p%d", i), time.Unix(int64(i), 0), told("POST", "/p", "", fmt.Sprintf(`{"a%d":1}`, i), `{"id":%d}`, i, -i-1))
		s.Add("POST /orders", time.Unix(int64(i), 0), told("POST", "/orders", "", "{}", `{"id":%d}`, i, -i-1))
	}
	if len(s.answers) > maxSuggestPlaces || len(s.requests) > maxSuggestPlaces || s.Left() == 0 {
		t.Errorf("%d places of answers and %d of requests, %d values left", len(s.answers), len(s.requests), s.Left())
	}
	for _, p := range s.answers {
		if len(p.partner) > maxSuggestValues {
			t.Fatalf("%d values of a place", len(p.partner))
		}
	}
}
